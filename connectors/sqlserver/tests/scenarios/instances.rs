//! Capture instances made, dropped, late, equal, overtaken by cleanup.

use super::world::{Auto, Manual, World};
use crate::database::selection;

const ONE_TABLE: &str = "CREATE TABLE dbo.t (id int PRIMARY KEY, a int); INSERT INTO dbo.t VALUES (1, 10), (2, 20)";

#[tokio::test(flavor = "multi_thread")]
async fn two_rotations_in_sequence() {
    let mut world = World::followed(Auto, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t ADD b int NULL");
    world.sql("ALTER TABLE dbo.t ADD c int NULL");
    world.sql("UPDATE dbo.t SET b = 1, c = 2 WHERE id = 1");
    world.until_true("c is captured", |world| world.rows("t").iter().any(|row| row.contains("c="))).await;
    world.settle().await;
    world.sql("ALTER TABLE dbo.t ADD d int NULL");
    world.sql("UPDATE dbo.t SET d = 3 WHERE id = 2");
    world.until_true("d is captured", |world| world.rows("t").iter().any(|row| row.contains("d="))).await;
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=10, b=1, c=2, id=1)", "(a=20, d=3, id=2)"]);
    world.expect("EXISTS (SELECT 1 FROM cdc.change_tables WHERE capture_instance = N'dbo_t')");
    assert!(world.cost() <= 3, "row 1 for b and for c, row 2 for d");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_instance_is_refused_until_the_oldest_has_gone() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.enable("t", "dbo_t_2");
    let third = "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, \
                 @capture_instance = N'dbo_t_3'";
    assert_eq!(world.try_sql(third).unwrap_err().number(), 22962);
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
    world.settle().await;
    assert_eq!((world.news(), world.cost()), (vec!["t altered keep".to_owned()], 1));
    // With leave to do so Millstream makes instances, and room for them, but not at the cost of others.
    world.kill().await;
    world.allow_instances();
    world.start();
    world.sql("ALTER TABLE dbo.t ADD b int NULL");
    world.sql("UPDATE dbo.t SET b = 1 WHERE id = 1");
    world.until_true("what is lacking is told", |world| world.state("t").contains("it has two instances")).await;
    let found = world.connector().check(&selection(&["t"])).await.unwrap();
    let remedy = found.iter().find(|problem| problem.found.contains("it has two instances")).unwrap().remedy.clone();
    assert!(remedy.ends_with("-- if nobody else reads dbo_t"), "{remedy}");
    world.sql(&remedy);
    world.until_true("b is captured", |world| world.rows("t").iter().any(|row| row.contains("b="))).await;
    world.settle().await;
    assert_eq!((world.rows("t").join(" "), world.cost()), ("(a=11, b=1, id=1) (a=20, id=2)".to_owned(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_by_the_servers_own_name_takes_nobody_elses_away() {
    let mut world = World::new(Auto, ONE_TABLE);
    world.enable("t", "debezium_t");
    world.scan();
    world.enable("t", "dbo_t");
    world.follow().await;
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
    world.settle().await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.settle().await;
    world.expect("(SELECT COUNT(*) FROM cdc.change_tables) = 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_fewer_columns_takes_nothing_over() {
    for capture_instances in [Manual, Auto] {
        let mut world = World::followed(capture_instances, ONE_TABLE, &["t"]).await;
        world.sql(
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, \
             @capture_instance = N'only_id', @captured_column_list = N'id'",
        );
        world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
        world.settle().await;
        world.sql("UPDATE dbo.t SET a = 21 WHERE id = 2");
        world.settle().await;
        assert_eq!(world.rows("t"), ["(a=11, id=1)", "(a=21, id=2)"]);
        assert_eq!(world.news(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_others_made_stay() {
    let mut world = World::followed(Auto, ONE_TABLE, &["t"]).await;
    world.enable("t", "somebody_elses");
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
    world.settle().await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.sql("UPDATE dbo.t SET a = 21 WHERE id = 2");
    world.settle().await;
    world.expect("(SELECT COUNT(*) FROM cdc.change_tables) = 2");
    assert_eq!(world.rows("t"), ["(a=11, id=1)", "(a=21, id=2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_dropped_before_it_was_read_costs_one_reading() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.kill().await;
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
    world.sql("DELETE FROM dbo.t WHERE id = 2");
    world.scan();
    world.disable("t", "dbo_t");
    world.enable("t", "dbo_t_2");
    world.sql("INSERT INTO dbo.t VALUES (3, 30)");
    world.scan();
    world.start();
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=11, id=1)", "(a=30, id=3)"]);
    assert_eq!(world.news(), ["t altered keep", "t rows replaced reconcile"]);
    assert_eq!(world.cost(), 3, "one row changed, one gone, one new");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_instance_dropped_while_the_newer_has_everything_costs_nothing() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.enable("t", "dbo_t_2");
    world.settle().await;
    world.news();
    world.kill().await;
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
    world.scan();
    world.disable("t", "dbo_t");
    world.start();
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=11, id=1)", "(a=20, id=2)"]);
    assert_eq!((world.news(), world.cost()), (Vec::new(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_makes_the_starts_of_two_instances_equal() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.sql("ALTER TABLE dbo.t ADD b int NULL");
    world.enable("t", "dbo_t_2");
    // A cleanup goes to the first place of the mark's time, which datetime keeps in steps of 3.3 ms.
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    world.sql("UPDATE dbo.t SET b = 1 WHERE id = 1");
    world.settle().await;
    world.news();
    world.cost();
    world.clean_up_to_one_place(&["dbo_t", "dbo_t_2"]);
    world.expect("(SELECT COUNT(DISTINCT start_lsn) FROM cdc.change_tables) = 1");
    world.sql("UPDATE dbo.t SET b = 2 WHERE id = 2");
    world.settle().await;
    world.kill().await;
    world.sql("UPDATE dbo.t SET b = 3 WHERE id = 1");
    world.scan();
    world.start();
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=10, b=3, id=1)", "(a=20, b=2, id=2)"]);
    assert_eq!((world.news(), world.cost()), (Vec::new(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_that_overtakes_the_reader_costs_one_reading_of_that_table() {
    let mut world = World::new(Manual, ONE_TABLE);
    world.sql("CREATE TABLE dbo.t2 (id int PRIMARY KEY); INSERT INTO dbo.t2 VALUES (1)");
    world.capture(&["t", "t2"]);
    world.start();
    world.settle().await;
    world.kill().await;
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1; DELETE FROM dbo.t WHERE id = 2");
    world.sql("INSERT INTO dbo.t2 VALUES (2)");
    world.scan();
    world.clean_up("dbo_t");
    world.sql("INSERT INTO dbo.t VALUES (3, 30)");
    world.scan();
    world.news();
    world.cost();
    world.start();
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=11, id=1)", "(a=30, id=3)"]);
    assert_eq!(world.rows("t2"), ["(id=1)", "(id=2)"]);
    let news = world.news();
    assert_eq!(news, ["t altered keep", "t rows replaced reconcile"], "and nothing about t2");
    assert_eq!(world.cost(), 4, "three rows of t, and the new one of t2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_the_capture_process_hasn_t_noticed_waits() {
    let mut world = World::new(Manual, ONE_TABLE);
    world.sql("CREATE TABLE dbo.t2 (id int PRIMARY KEY); INSERT INTO dbo.t2 VALUES (1)");
    world.capture(&["t2"]);
    world.enable("t", "dbo_t");
    world.start();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!world.tables().contains("t"), "{:?}", world.tables());
    world.until_true("t is followed", |world| world.state("t") == "live").await;
    world.settle().await;
    assert_eq!(world.rows("t").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_deleted_and_made_again() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.disable("t", "dbo_t");
    world.until_true("t is held", |world| world.state("t").starts_with("held")).await;
    let state = world.state("t");
    assert!(state.contains("EXEC sys.sp_cdc_enable_table") && state.contains("N't'"), "{state}");
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
    world.enable("t", "dbo_t");
    world.until_true("t is followed", |world| world.state("t") == "live").await;
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=11, id=1)", "(a=20, id=2)"]);
    assert_eq!(world.news(), ["t unreadable hold", "t settled reconcile"]);
    assert_eq!(world.cost(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_instance_is_made_where_that_is_wanted() {
    let mut world = World::new(Auto, ONE_TABLE);
    world.start();
    world.until_true("t is followed", |world| world.state("t") == "live").await;
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=10, id=1)", "(a=20, id=2)"]);
}
