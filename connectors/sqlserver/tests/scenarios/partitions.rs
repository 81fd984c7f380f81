//! Rows that change hands with no change row: `ALTER TABLE … SWITCH`.

use super::world::{Manual, World};

/// Two tables of one shape, the first captured and followed.
async fn with_an_archive() -> World {
    let mut world = World::new(
        Manual,
        "CREATE TABLE dbo.t (id int PRIMARY KEY, a int); CREATE TABLE dbo.archive (id int PRIMARY KEY, a int); \
         INSERT INTO dbo.t VALUES (1, 10), (2, 20)",
    );
    follow(&mut world, 1).await;
    world
}

/// The parameter forbids something only where there are partitions.
async fn follow(world: &mut World, allow_partition_switch: u8) {
    world.sql(&format!(
        "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, \
         @allow_partition_switch = {allow_partition_switch}"
    ));
    world.scan();
    world.follow().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_switched_out() {
    let mut world = with_an_archive().await;
    // Row 1 is changed and then gone, with one change row to show for both.
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1");
    world.sql("ALTER TABLE dbo.t SWITCH TO dbo.archive");
    world.sql("INSERT INTO dbo.t VALUES (3, 30)");
    world.until_true("row 3 is there", |world| world.rows("t") == ["(a=30, id=3)"]).await;
    world.settle().await;
    assert_eq!(world.news(), ["t altered reconcile"]);
    assert_eq!(world.cost(), 3, "two rows removed, one written");
    world.sql("UPDATE dbo.t SET a = 31 WHERE id = 3");
    world.settle().await;
    assert_eq!((world.rows("t"), world.cost()), (vec!["(a=31, id=3)".to_owned()], 1));
    assert_eq!(world.news(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_switched_in() {
    let mut world = with_an_archive().await;
    world.sql("INSERT INTO dbo.archive VALUES (1, 10), (7, 70)");
    world.sql("DELETE FROM dbo.t");
    world.sql("ALTER TABLE dbo.archive SWITCH TO dbo.t");
    world.sql("UPDATE dbo.t SET a = 71 WHERE id = 7");
    world.until_true("row 7 is there", |world| world.rows("t") == ["(a=10, id=1)", "(a=71, id=7)"]).await;
    world.settle().await;
    assert_eq!(world.news(), ["t altered reconcile"]);
    assert!(world.cost() <= 4, "row 1 is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_switched_while_stopped() {
    let mut world = with_an_archive().await;
    world.kill().await;
    world.sql("UPDATE dbo.t SET a = 21 WHERE id = 2");
    world.sql("ALTER TABLE dbo.t SWITCH TO dbo.archive");
    world.sql("INSERT INTO dbo.t VALUES (1, 10), (4, 40)");
    world.scan();
    world.start();
    world.until_true("row 4 is there", |world| world.rows("t") == ["(a=10, id=1)", "(a=40, id=4)"]).await;
    world.settle().await;
    assert_eq!(world.news(), ["t altered reconcile"]);
    assert_eq!(world.cost(), 2, "row 1 is as it was, row 2 is gone, row 4 is new");
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_switched_while_a_restart_waits_for_capture() {
    let mut world = with_an_archive().await;
    world.sql("ALTER TABLE dbo.t SWITCH TO dbo.archive");
    // Nobody scans the log, so it isn't done.
    world.until_true_unscanned("t is being read", |world| world.state("t") == "reconciling").await;
    world.kill().await;
    world.sql("INSERT INTO dbo.t VALUES (5, 50)");
    world.sql("UPDATE dbo.t SET a = 51 WHERE id = 5");
    world.start();
    world.until_true("row 5 is there", |world| world.rows("t") == ["(a=51, id=5)"]).await;
    world.settle().await;
    assert!(world.cost() <= 4, "two rows removed, one written and changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_switch_is_refused_where_the_instance_says_so() {
    let mut world = World::new(
        Manual,
        "CREATE PARTITION FUNCTION halves (int) AS RANGE LEFT FOR VALUES (100); \
         CREATE PARTITION SCHEME places AS PARTITION halves ALL TO ([PRIMARY]); \
         CREATE TABLE dbo.t (id int PRIMARY KEY, a int) ON places (id); \
         CREATE TABLE dbo.archive (id int PRIMARY KEY, a int); INSERT INTO dbo.t VALUES (1, 10), (2, 20)",
    );
    follow(&mut world, 0).await;
    let error = world.try_sql("ALTER TABLE dbo.t SWITCH PARTITION 1 TO dbo.archive").unwrap_err();
    assert_eq!(error.number(), 22843, "{error}");
    world.settle().await;
    assert_eq!((world.rows("t").len(), world.cost(), world.news()), (2, 0, Vec::new()));
}
