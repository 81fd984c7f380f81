//! A user who may see less than before.

use super::world::{Manual, World};

const TWO_TABLES: &str = "CREATE TABLE dbo.t (id int PRIMARY KEY, a int); INSERT INTO dbo.t VALUES (1, 10); \
                          CREATE TABLE dbo.t2 (id int PRIMARY KEY, a int); INSERT INTO dbo.t2 VALUES (1, 10)";

async fn followed(grants: &str) -> World {
    let mut world = World::new(Manual, TWO_TABLES);
    world.follow_as_plain_user(grants);
    world.capture(&["t", "t2"]);
    world.follow().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_hidden_keeps_its_rows() {
    let mut world = followed("GRANT SELECT ON dbo.t TO ms; GRANT SELECT ON dbo.t2 TO ms").await;
    world.sql("REVOKE SELECT ON dbo.t FROM ms; INSERT INTO dbo.t VALUES (2, 20); INSERT INTO dbo.t2 VALUES (2, 20)");
    world.until_true("t is held", |world| world.state("t").starts_with("held")).await;
    assert!(world.state("t").contains("GRANT SELECT ON [dbo].[t] TO [ms];"), "{}", world.state("t"));
    world.settle().await;
    assert_eq!((world.rows("t").len(), world.rows("t2").len()), (1, 2));
    world.sql("GRANT SELECT ON dbo.t TO ms");
    world.until_true("t is followed again", |world| world.state("t") == "live").await;
    world.settle().await;
    assert_eq!(world.rows("t").len(), 2);
    assert_eq!(world.news(), ["t unreadable hold", "t settled reconcile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_hidden_while_stopped_keeps_its_rows() {
    let mut world = followed("GRANT SELECT ON SCHEMA::dbo TO ms").await;
    world.kill().await;
    world.sql("REVOKE SELECT ON SCHEMA::dbo FROM ms; GRANT SELECT ON dbo.t2 TO ms");
    for _ in 0..2 {
        world.start();
        world.until_true("t is held", |world| world.state("t").starts_with("held")).await;
        world.settle().await;
        assert_eq!(world.rows("t").len(), 1);
        world.kill().await;
    }
    world.sql("GRANT SELECT ON SCHEMA::dbo TO ms; INSERT INTO dbo.t VALUES (2, 20)");
    world.start();
    world.until_true("t is followed again", |world| world.state("t") == "live").await;
    world.settle().await;
    assert_eq!(world.rows("t").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_is_gone_for_a_plain_user_too() {
    let mut world = followed("GRANT SELECT ON dbo.t TO ms; GRANT SELECT ON dbo.t2 TO ms").await;
    world.sql("DROP TABLE dbo.t");
    world.until_true("t is gone", |world| world.rows("t").is_empty()).await;
    world.settle().await;
    assert_eq!(world.news(), ["t dropped remove"]);
}
