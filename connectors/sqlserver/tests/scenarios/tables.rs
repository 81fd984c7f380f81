//! Tables created, dropped, renamed, made again.

use super::world::{Auto, Manual, World};

#[tokio::test(flavor = "multi_thread")]
async fn table_created_while_running() {
    let mut world = World::new(Auto, "CREATE TABLE dbo.t (id int PRIMARY KEY)");
    world.start();
    world.until_true("t is followed", |world| world.state("t") == "live").await;
    world.sql("CREATE TABLE dbo.t2 (id int PRIMARY KEY); INSERT INTO dbo.t2 VALUES (1)");
    world.until_true("t2 is followed", |world| world.state("t2") == "live").await;
    world.sql("INSERT INTO dbo.t2 VALUES (2)");
    world.settle().await;
    assert_eq!((world.rows("t2").join(" "), world.cost()), ("(id=1) (id=2)".to_owned(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn table_created_without_capture_is_held_with_the_statement_to_run() {
    let mut world = World::new(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY)");
    world.capture(&["t"]);
    world.start();
    world.settle().await;
    world.sql("CREATE TABLE dbo.t2 (id int PRIMARY KEY); INSERT INTO dbo.t2 VALUES (1)");
    world.until_true("t2 is held", |world| world.state("t2").starts_with("held")).await;
    let state = world.state("t2");
    let statement = state.split_once("Run: ").expect("it says what to run").1.to_owned();
    world.sql(&statement);
    world.until_true("t2 is followed", |world| world.state("t2") == "live").await;
    world.settle().await;
    assert_eq!((world.rows("t2").join(" "), world.cost()), ("(id=1)".to_owned(), 1));
    assert_eq!(world.news(), ["t2 unreadable hold", "t2 settled reconcile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn table_dropped_also_while_stopped() {
    let mut world = World::new(
        Manual,
        "CREATE TABLE dbo.t (id int PRIMARY KEY); CREATE TABLE dbo.t2 (id int PRIMARY KEY); \
         INSERT INTO dbo.t VALUES (1); INSERT INTO dbo.t2 VALUES (1)",
    );
    world.sql("CREATE TABLE dbo.t3 (id int PRIMARY KEY)");
    world.capture(&["t", "t2", "t3"]);
    world.follow().await;
    world.sql("DROP TABLE dbo.t");
    world.sql("INSERT INTO dbo.t3 VALUES (1)");
    world.settle().await;
    assert_eq!((world.state("t").as_str(), world.rows("t")), ("gone", Vec::new()));
    world.kill().await;
    world.sql("INSERT INTO dbo.t2 VALUES (2)");
    world.sql("DROP TABLE dbo.t2");
    world.sql("INSERT INTO dbo.t3 VALUES (2)");
    world.scan();
    world.start();
    world.settle().await;
    assert_eq!(world.tables().into_iter().collect::<Vec<_>>(), ["t3"]);
    assert_eq!(world.rows("t3"), ["(id=1)", "(id=2)"]);
    assert_eq!(world.news(), ["t dropped remove", "t2 dropped remove"]);
    assert!(world.cost() <= 6, "a row of each table that is gone, two rows of t3, and one that t2 had at last");
}

#[tokio::test(flavor = "multi_thread")]
async fn table_renamed_into_and_out_of_view() {
    let mut world = World::new(
        Manual,
        "CREATE TABLE dbo.t (id int PRIMARY KEY); CREATE TABLE dbo.other (id int PRIMARY KEY, x int); \
         INSERT INTO dbo.t VALUES (1); INSERT INTO dbo.other VALUES (5, 50)",
    );
    world.capture(&["t", "other"]);
    world.follow().await;
    world.sql("EXEC sp_rename 'dbo.other', 't2'");
    world.sql("INSERT INTO dbo.t2 VALUES (6, 60)");
    world.until_true("t2 is followed", |world| world.state("t2") == "live").await;
    world.settle().await;
    assert_eq!(world.rows("t2"), ["(id=5, x=50)", "(id=6, x=60)"]);
    world.sql("EXEC sp_rename 'dbo.t', 'gone'");
    world.sql("INSERT INTO dbo.t2 VALUES (7, 70)");
    world.settle().await;
    assert_eq!(world.state("t"), "gone");
    assert_eq!(world.news(), ["t2 created load", "t dropped remove"]);
    assert_eq!(world.cost(), 4, "three rows of t2, and the one of t that is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_swapped_while_stopped_are_read_again() {
    let mut world = World::new(
        Manual,
        "CREATE TABLE dbo.t (id int PRIMARY KEY); CREATE TABLE dbo.t2 (id int PRIMARY KEY); \
         INSERT INTO dbo.t VALUES (1); INSERT INTO dbo.t2 VALUES (2)",
    );
    world.capture(&["t", "t2"]);
    world.follow().await;
    world.kill().await;
    world.sql("EXEC sp_rename 'dbo.t', 'x'; EXEC sp_rename 'dbo.t2', 't'; EXEC sp_rename 'dbo.x', 't2'");
    world.sql("INSERT INTO dbo.t VALUES (22)");
    world.scan();
    world.start();
    world.settle().await;
    assert_eq!(world.rows("t"), ["(id=2)", "(id=22)"]);
    assert_eq!(world.rows("t2"), ["(id=1)"]);
    assert_eq!(world.news(), ["t replaced reconcile", "t2 replaced reconcile"]);
    assert_eq!(world.cost(), 5, "in t one row gone and two new, in t2 one gone and one new");
}

#[tokio::test(flavor = "multi_thread")]
async fn table_dropped_and_made_again_under_its_name() {
    for stopped in [false, true] {
        let mut world =
            World::new(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY, a int); INSERT INTO dbo.t VALUES (1, 1)");
        world.capture(&["t"]);
        world.start();
        world.settle().await;
        if stopped {
            world.kill().await;
        }
        world.sql("DROP TABLE dbo.t; CREATE TABLE dbo.t (id int PRIMARY KEY, b int); INSERT INTO dbo.t VALUES (1, 2)");
        world.enable("t", "dbo_t");
        world.sql("INSERT INTO dbo.t VALUES (3, 3)");
        world.scan();
        if stopped {
            world.start();
        }
        world.until_true("the new table is read", |world| world.rows("t").iter().any(|row| row.contains("b=3"))).await;
        world.settle().await;
        assert_eq!(world.rows("t"), ["(b=2, id=1)", "(b=3, id=3)"]);
        assert!(world.cost() <= 4, "the first row twice at most, and the second");
    }
}
