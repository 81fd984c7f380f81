//! What older servers, and switches of any, write otherwise.

use super::world::{Auto, Manual, World};

async fn followed(change_tables_tell_commands: bool, script: &str) -> World {
    let mut world = World::new(Manual, script);
    world.control().set_command_ids(change_tables_tell_commands);
    world.capture(&["t"]);
    world.follow().await;
    world
}

const ONE_TABLE: &str = "CREATE TABLE dbo.t (id int PRIMARY KEY, a int); \
                         INSERT INTO dbo.t VALUES (1, 10), (2, 20), (3, 30)";

#[tokio::test(flavor = "multi_thread")]
async fn change_tables_without_command_ids() {
    let mut world = followed(false, ONE_TABLE).await;
    world.sql("UPDATE dbo.t SET id = 9 WHERE id = 3");
    world.sql("UPDATE dbo.t SET id = id + 1 WHERE id < 9");
    world.sql("BEGIN TRANSACTION; DELETE FROM dbo.t WHERE id = 9; INSERT INTO dbo.t VALUES (9, 90); COMMIT");
    world.sql("BEGIN TRANSACTION; INSERT INTO dbo.t VALUES (5, 50); DELETE FROM dbo.t WHERE id = 5; COMMIT");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=10, id=2)", "(a=20, id=3)", "(a=90, id=9)"]);
    assert_eq!(world.news(), [""; 0], "no table is read again for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_amid_change_rows_without_command_ids() {
    let mut world = followed(false, "CREATE TABLE dbo.t (id int PRIMARY KEY, a varchar(400))").await;
    let tens = "WITH d AS (SELECT n FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS x (n)) \
                INSERT INTO dbo.t SELECT a.n + 10 * b.n + 100 * c.n + 1000 * e.n, REPLICATE('x', 300) \
                FROM d AS a, d AS b, d AS c, d AS e";
    world.sql(tens);
    world.sql("UPDATE dbo.t SET a = 'y' WHERE id < 5000");
    world.scan();
    world.until_true("some rows are there", |world| !world.rows("t").is_empty()).await;
    world.kill().await;
    world.start();
    world.settle().await;
    let rows = world.rows("t");
    assert_eq!((rows.len(), rows.iter().filter(|row| row.contains("'y'")).count()), (10_000, 5_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_instance_with_command_ids_takes_over_from_one_without() {
    let mut world = followed(false, ONE_TABLE).await;
    world.control().set_command_ids(true);
    world.enable("t", "dbo_t_2");
    world.sql("DELETE FROM dbo.t WHERE id = 1");
    world.settle().await;
    assert_eq!(world.news(), ["t altered keep"]);
    assert_eq!((world.rows("t").len(), world.cost()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_keys_in_place_under_trace_flag_8207() {
    let mut world = followed(true, ONE_TABLE).await;
    world.control().set_trace_flag_8207(true);
    world.sql("UPDATE dbo.t SET id = 9 WHERE id = 3");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=10, id=1)", "(a=20, id=2)", "(a=30, id=9)"]);
    assert_eq!((world.cost(), world.news()), (2, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_rows_of_the_mapping_are_no_transactions() {
    let mut world = followed(true, ONE_TABLE).await;
    world.control().set_idle_interval(std::time::Duration::ZERO);
    for id in 10..13 {
        world.sql(&format!("INSERT INTO dbo.t VALUES ({id}, 0)"));
        (0..3).for_each(|_| world.scan());
        world.settle().await;
    }
    world.kill().await;
    (0..3).for_each(|_| world.scan());
    world.start();
    world.sql("DELETE FROM dbo.t WHERE id >= 10");
    world.settle().await;
    assert_eq!((world.rows("t").len(), world.cost(), world.news()), (3, 6, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_while_a_table_is_held_leave_one_line_of_history() {
    let mut world = World::new(Manual, ONE_TABLE);
    world.sql("CREATE TABLE dbo.t2 (id int PRIMARY KEY)");
    world.capture(&["t2"]);
    for _ in 0..3 {
        world.start();
        world.until_true("t is held", |world| world.state("t").starts_with("held")).await;
        world.sql("INSERT INTO dbo.t2 SELECT COUNT(*) FROM dbo.t2");
        world.settle().await;
        world.kill().await;
    }
    assert_eq!(world.news(), ["t unreadable hold"]);
    world.allow_instances();
    assert!(matches!(world.capture_instances(), Auto));
    world.start();
    world.until_true("t is followed", |world| world.state("t") == "live").await;
    world.settle().await;
    assert_eq!(world.news(), ["t settled reconcile"]);
}
