//! What names rows, changed.

use super::world::{Auto, Manual, World};

const ONE_TABLE: &str = "CREATE TABLE dbo.t (id int NOT NULL, n int NOT NULL, a int, CONSTRAINT k PRIMARY KEY (id)); \
                         INSERT INTO dbo.t VALUES (1, 7, 10), (2, 7, 20), (3, 8, 30)";

/// The server refuses it while the table is captured.
fn change_key(world: &World) {
    let statement = "ALTER TABLE dbo.t DROP CONSTRAINT k";
    assert!(world.try_sql(statement).is_err(), "captured, its key can't be changed");
    world.disable("t", "dbo_t");
    world.sql(statement);
    world.sql("ALTER TABLE dbo.t ADD CONSTRAINT k PRIMARY KEY (id, n)");
    world.enable("t", "dbo_t");
}

const ROWS: [&str; 4] = ["(a=10, id=1, n=7)", "(a=21, id=2, n=7)", "(a=30, id=3, n=8)", "(a=40, id=1, n=8)"];

/// This sink knows rows by their identities, so three go and four come. The bucket sink compares what comes out of them.
const FILED_ANEW: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn primary_key_changed() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    change_key(&world);
    world.sql("INSERT INTO dbo.t VALUES (1, 8, 40); UPDATE dbo.t SET a = 21 WHERE id = 2");
    world.until_true("t is followed again", |world| world.rows("t").len() == 4).await;
    world.settle().await;
    assert_eq!(world.rows("t"), ROWS);
    let news = world.news();
    assert_eq!(news.iter().filter(|line| line.ends_with("reconcile")).count(), 1, "it is read once: {news:?}");
    assert_eq!(world.cost(), FILED_ANEW);
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_key_changed_while_stopped() {
    let mut world = World::followed(Manual, ONE_TABLE, &["t"]).await;
    world.kill().await;
    change_key(&world);
    world.sql("INSERT INTO dbo.t VALUES (1, 8, 40); UPDATE dbo.t SET a = 21 WHERE id = 2");
    world.scan();
    world.start();
    world.until_true("t is followed again", |world| world.rows("t").len() == 4).await;
    world.settle().await;
    assert_eq!(world.rows("t"), ROWS);
    let news = world.news();
    assert_eq!(news.iter().filter(|line| line.ends_with("reconcile")).count(), 1, "it is read once: {news:?}");
    assert_eq!(world.cost(), FILED_ANEW);
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_key_added() {
    let mut world = World::new(Auto, "CREATE TABLE dbo.t (id int NOT NULL, a int); INSERT INTO dbo.t VALUES (1, 1)");
    world.capture(&["t"]);
    world.start();
    world.settle().await;
    world.cost();
    world.sql("ALTER TABLE dbo.t ADD CONSTRAINT k PRIMARY KEY (id)");
    world.sql("UPDATE dbo.t SET a = 2 WHERE id = 1");
    world
        .until_true("the key is known", |world| {
            let records = world.sink.records();
            records.iter().any(|record| record.schema.as_ref().is_some_and(|schema| schema.identity.columns == [0]))
        })
        .await;
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=2, id=1)"]);
    assert!(world.cost() <= 2, "one row, by one identity and then by another");
}
