//! The capture job, the database and the server.

use std::time::Duration;

use millstream_core::selection::{Selection, TablePattern};
use millstream_sqlserver_sim::Restore;

use super::world::{Manual, World};

const ONE_TABLE: &str = "CREATE TABLE dbo.t (id int PRIMARY KEY, a int); INSERT INTO dbo.t VALUES (1, 10)";

#[tokio::test(flavor = "multi_thread")]
async fn capture_that_stands_still_is_waited_for() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("INSERT INTO dbo.t VALUES (2, 20)");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.rows("t").len(), 1, "nobody has scanned the log");
    assert_eq!(world.state("t"), "live");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=10, id=1)", "(a=20, id=2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_database_moves_on() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    let before = world.sink.position().unwrap();
    world.sql("CREATE TABLE dbo.elsewhere (id int); INSERT INTO dbo.elsewhere VALUES (1)");
    world.settle().await;
    let after = world.sink.position().unwrap();
    assert!(after > before, "{after} isn't after {before}");
    assert_eq!(world.rows("t"), ["(a=10, id=1)"]);
    // Where it is there now is an entry that stands for no transaction. It is as good a place to go on from.
    world.expect("(SELECT TOP (1) tran_id FROM cdc.lsn_time_mapping ORDER BY start_lsn DESC) = 0x00");
    world.kill().await;
    world.sql("INSERT INTO dbo.t VALUES (2, 20)");
    world.start();
    world.settle().await;
    assert_eq!((world.rows("t").len(), world.news(), world.cost()), (2, Vec::new(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_disabled_for_the_database_and_enabled_again() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("EXEC sys.sp_cdc_disable_db");
    for _ in 0..1_000 {
        if world.state("t").starts_with("held") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nobody waits for a capture that is off.
    world.sql("INSERT INTO dbo.t VALUES (4, 40)");
    world.settle().await;
    let report = world.compare().await;
    assert_eq!(report.not_compared.len(), 1, "{report:?}");
    let state = world.state("t");
    assert!(state.contains("sp_cdc_enable_db") && state.contains("sp_cdc_enable_table"), "{state}");
    world.sql("INSERT INTO dbo.t VALUES (2, 20)");
    world.sql("EXEC sys.sp_cdc_enable_db");
    world.enable("t", "dbo_t");
    world.sql("INSERT INTO dbo.t VALUES (3, 30)");
    world.until_true("t is followed", |world| world.state("t") == "live").await;
    world.settle().await;
    assert_eq!(world.rows("t").len(), 4);
    assert_eq!(world.news(), ["t unreadable hold", "t settled reconcile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowing_that_stops_the_scan_ends_when_the_table_is_captured_anew() {
    let mut world = World::new(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY, a varchar(20))");
    world.capture(&["t"]);
    world.start();
    world.settle().await;
    world.sql("INSERT INTO dbo.t VALUES (1, 'a long text'); UPDATE dbo.t SET a = 'short'");
    world.sql("ALTER TABLE dbo.t ALTER COLUMN a varchar(5)");
    world.sql("INSERT INTO dbo.t VALUES (2, 'b')");
    let scan = world.control().scan("shop").unwrap_err();
    assert_eq!(scan.number(), Some(2628), "{scan}");
    world.disable("t", "dbo_t");
    world.enable("t", "dbo_t");
    world.until_true("t is read again", |world| world.rows("t").len() == 2).await;
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a='b', id=2)", "(a='short', id=1)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_breaks_is_told_with_what_mends_it() {
    let mut world = World::new(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY, a int)");
    world.sql("CREATE TABLE dbo.t2 (id int PRIMARY KEY)");
    world.capture(&["t", "t2"]);
    world.start();
    world.settle().await;
    assert_eq!(world.handle().status().standstill, None);
    world.sql("INSERT INTO dbo.t VALUES (1, 70000); UPDATE dbo.t SET a = 7; INSERT INTO dbo.t2 VALUES (1)");
    world.sql("ALTER TABLE dbo.t ALTER COLUMN a smallint");
    world.control().scan("shop").unwrap_err();
    world.until_true_unscanned("it is told", |world| world.handle().status().standstill.is_some()).await;
    let remark = world.handle().status().standstill.unwrap();
    assert!(remark.found.contains("error 220") || remark.found.contains("error 8115"), "{remark:?}");
    let in_order = ["USE [shop]; EXEC sys.sp_cdc_disable_table", "N'dbo_t'; EXEC sys.sp_cdc_start_job", "--"];
    let places: Vec<_> = in_order.iter().map(|part| remark.remedy.find(part).expect(part)).collect();
    assert!(places.is_sorted(), "what is pasted does all: {remark:?}");
    let selection = Selection { patterns: vec![TablePattern { schema: "dbo".into(), table: "t%".into() }] };
    let problems = world.connector().check(&selection).await.unwrap();
    assert!(problems.iter().any(|problem| problem.remedy == remark.remedy), "{problems:#?}");
    // Nobody has to start the job here: the log is scanned by hand.
    world.sql(remark.remedy.split("EXEC sys.sp_cdc_start_job").next().unwrap());
    world.until_true("t2's row arrives", |world| world.rows("t2").len() == 1).await;
    world.enable("t", "dbo_t");
    world.until_true("t is read again", |world| world.rows("t").len() == 1).await;
    world.settle().await;
    world.until_true("all is well", |world| world.handle().status().standstill.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_that_stands_still_is_told() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("INSERT INTO dbo.t VALUES (2, 20)");
    world.control().advance_clock(std::time::Duration::from_secs(20));
    world.until_true_unscanned("it is told", |world| world.handle().status().standstill.is_some()).await;
    let remark = world.handle().status().standstill.unwrap();
    assert!(remark.found.contains("stands still") && remark.remedy.contains("sp_cdc_start_job"), "{remark:?}");
    world.settle().await;
    world.until_true("it is over", |world| world.handle().status().standstill.is_none()).await;
    assert_eq!(world.rows("t").len(), 2);
}

/// Another database of the same name, with the same tables, whose log has grown past what was followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_replaced_is_read_again_even_if_nothing_had_been_captured() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.kill().await;
    world.sql("USE master; DROP DATABASE shop; CREATE DATABASE shop");
    world.sql("EXEC sys.sp_cdc_enable_db");
    world.sql("CREATE TABLE dbo.t (id int PRIMARY KEY, a int); INSERT INTO dbo.t VALUES (1, 77)");
    world.enable("t", "dbo_t");
    world.sql("CREATE TABLE dbo.elsewhere (id int)");
    let position = world.sink.position().unwrap();
    for _ in 0..200 {
        world.sql("INSERT INTO dbo.elsewhere SELECT 1 FROM (VALUES (1), (2), (3), (4), (5), (6)) AS v(n)");
    }
    world.scan();
    let head = world.connector().head().await.unwrap();
    assert!(head.token().split(' ').next() > position.token().split(' ').next(), "{head} isn't past {position}");
    world.start();
    world.until_true("t is read again", |world| world.rows("t") == ["(a=77, id=1)"]).await;
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_on_another_server_is_read_again() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    let backup = world.control().back_up("shop").unwrap();
    world.sql("INSERT INTO dbo.t VALUES (2, 20)");
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
    world.settle().await;
    assert_eq!(world.rows("t").len(), 2);
    world.control().restore("shop", &backup, Restore::OtherServerKeepCdc).unwrap();
    world.until_true("the rows of the backup are back", |world| world.rows("t") == ["(a=10, id=1)"]).await;
    world.sql("INSERT INTO dbo.t VALUES (3, 30)");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=10, id=1)", "(a=30, id=3)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_that_has_grown_past_the_position_is_noticed() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    let backup = world.control().back_up("shop").unwrap();
    world.sql("INSERT INTO dbo.t VALUES (2, 20)");
    world.settle().await;
    world.kill().await;
    world.control().restore("shop", &backup, Restore::SameServer).unwrap();
    for id in 100..160 {
        world.sql(&format!("INSERT INTO dbo.t VALUES ({id}, 0)"));
    }
    world.sql("DELETE FROM dbo.t WHERE id >= 100");
    world.scan();
    world.start();
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=10, id=1)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_and_a_failover_lose_nothing() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("INSERT INTO dbo.t VALUES (2, 20)");
    world.control().crash().unwrap();
    world.sql("INSERT INTO dbo.t VALUES (3, 30)");
    world.settle().await;
    world.control().fail_over(true).unwrap();
    world.sql("INSERT INTO dbo.t VALUES (4, 40)");
    world.settle().await;
    assert_eq!(world.rows("t").len(), 4);
    assert_eq!(world.news(), [""; 0]);
}
