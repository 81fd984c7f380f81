//! What change rows tell of: keys that change, updates in two rows, order, size, values left out.

use futures::StreamExt;

use super::world::{Manual, World};

#[tokio::test(flavor = "multi_thread")]
async fn primary_key_updated_in_one_row_and_in_many() {
    let world = World::captured(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY, a int)", &["t"]);
    let connector = world.connector();
    let (from, catalog) = world.here(&connector).await;
    world.sql("INSERT INTO dbo.t VALUES (1, 10), (2, 20), (3, 30)");
    world.sql("UPDATE dbo.t SET id = 9 WHERE id = 3");
    world.sql("UPDATE dbo.t SET id = id + 1 WHERE id < 9");
    world.sql("INSERT INTO dbo.t VALUES (100, 0)");
    world.scan();
    let lines = world.lines_until(&connector, &from, catalog, "t + 100,0").await;
    let mut rows = std::collections::BTreeMap::new();
    for line in &lines {
        let (sign, row) = line.strip_prefix("t ").unwrap().split_once(' ').unwrap();
        let (id, value) = row.split_once(',').unwrap_or((row, ""));
        match sign {
            "+" => drop(rows.insert(id.to_owned(), value.to_owned())),
            _ => drop(rows.remove(id)),
        }
    }
    let rows: Vec<String> = rows.into_iter().map(|(id, value)| format!("{id}={value}")).collect();
    assert_eq!(rows, ["100=0", "2=10", "3=20", "9=30"], "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deferred_update_by_merge() {
    let mut world = World::captured(
        Manual,
        "CREATE TABLE dbo.t (id int PRIMARY KEY, u int NOT NULL UNIQUE); INSERT INTO dbo.t VALUES (1, 1), (2, 2)",
        &["t"],
    );
    world.start();
    world.settle().await;
    world.sql(
        "MERGE dbo.t AS t USING (VALUES (1, 2), (2, 1), (3, 3)) AS s (id, u) ON t.id = s.id \
             WHEN MATCHED THEN UPDATE SET u = s.u WHEN NOT MATCHED THEN INSERT (id, u) VALUES (s.id, s.u);",
    );
    world.settle().await;
    assert_eq!(world.rows("t"), ["(id=1, u=2)", "(id=2, u=1)", "(id=3, u=3)"]);
    // Each update is two rows, which don't say that they belong together.
    world.expect("(SELECT COUNT(*) FROM cdc.dbo_t_CT WHERE __$operation = 1) = 2");
    world.expect("NOT EXISTS (SELECT 1 FROM cdc.dbo_t_CT WHERE __$operation IN (3, 4))");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tables_in_one_transaction_come_in_order() {
    let world = World::captured(
        Manual,
        "CREATE TABLE dbo.t (id int PRIMARY KEY); CREATE TABLE dbo.t2 (id int PRIMARY KEY)",
        &["t", "t2"],
    );
    let connector = world.connector();
    let (from, catalog) = world.here(&connector).await;
    world.sql(
        "BEGIN TRANSACTION; INSERT INTO dbo.t2 VALUES (1); INSERT INTO dbo.t VALUES (1); \
             INSERT INTO dbo.t2 VALUES (2); DELETE FROM dbo.t WHERE id = 1; COMMIT",
    );
    world.sql("INSERT INTO dbo.t VALUES (2)");
    world.scan();
    let lines = world.lines_until(&connector, &from, catalog, "t + 2").await;
    assert_eq!(lines, ["t2 + 1", "t + 1", "t2 + 2", "t - 1", "t + 2"]);
}

/// Many rows in one transaction.
const LARGE: &str = "WITH d AS (SELECT n FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS x (n)) \
                     INSERT INTO dbo.t SELECT a.n + 10 * b.n + 100 * c.n + 1000 * e.n + 10000 * f.n, \
                     REPLICATE('x', 300) FROM d AS a, d AS b, d AS c, d AS e, (SELECT n FROM d WHERE n < 2) AS f";

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_comes_in_parts() {
    let world = World::captured(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY, a varchar(400))", &["t"]);
    let connector = world.connector();
    let (from, catalog) = world.here(&connector).await;
    world.sql(LARGE);
    world.scan();
    let mut stream = connector.stream(&from, catalog).await.unwrap();
    let (mut rows, mut parts) = (0, 0);
    while rows < 20_000 {
        let delivery = stream.next().await.unwrap().unwrap();
        for event in &delivery.events {
            let millstream_core::change::Event::Rows(changes) = event else { panic!("{event:?}") };
            rows += changes.changes.len();
        }
        parts += usize::from(delivery.commit.is_none());
    }
    assert_eq!(rows, 20_000);
    assert!(parts > 0, "it was small");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_begins_again_amid_a_transaction_tells_it_whole() {
    let world = World::captured(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY, a varchar(400))", &["t"]);
    let connector = world.connector();
    let (from, catalog) = world.here(&connector).await;
    world.sql(LARGE);
    world.sql("DELETE FROM dbo.t WHERE id = 7");
    world.scan();
    let mut stream = connector.stream(&from, catalog.clone()).await.unwrap();
    // A sign of life may come first.
    let mut position = from;
    loop {
        let delivery = stream.next().await.unwrap().unwrap();
        match delivery.commit {
            Some(commit) => position = commit.position,
            None => break,
        }
    }
    drop(stream);
    let lines = world.lines_until(&connector, &position, catalog, "t - 7").await;
    assert_eq!(lines.len(), 20_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_amid_a_large_transaction_loses_nothing() {
    let mut world = World::captured(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY, a varchar(400))", &["t"]);
    world.start();
    world.settle().await;
    world.sql(LARGE);
    world.scan();
    for pause_ms in [50, 150, 400, 800] {
        tokio::time::sleep(std::time::Duration::from_millis(pause_ms)).await;
        world.kill().await;
        world.start();
    }
    world.settle().await;
    assert_eq!(world.rows("t").len(), 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_that_an_update_didn_t_touch_is_asked_for() {
    let mut world = World::captured(
        Manual,
        "CREATE TABLE dbo.t (id int PRIMARY KEY, a int, big varchar(max)); \
         INSERT INTO dbo.t VALUES (1, 1, REPLICATE('x', 20)), (2, 2, NULL)",
        &["t"],
    );
    world.follow().await;
    world.sql("UPDATE dbo.t SET a = 11 WHERE id = 1; UPDATE dbo.t SET a = 22 WHERE id = 2");
    world.settle().await;
    assert_eq!(world.rows("t"), [format!("(a=11, big='{}', id=1)", "x".repeat(20)), "(a=22, id=2)".to_owned()]);
    world.sql("UPDATE dbo.t SET big = NULL WHERE id = 1; UPDATE dbo.t SET big = 'y' WHERE id = 2");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=11, id=1)", "(a=22, big='y', id=2)"]);
    assert_eq!(world.news(), [""; 0], "no table is read again for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_are_followed() {
    let mut world = World::captured(
        Manual,
        "CREATE TABLE dbo.t (a int, b int); INSERT INTO dbo.t VALUES (1, 1), (1, 1), (2, 2)",
        &["t"],
    );
    world.start();
    world.settle().await;
    world.sql("DELETE TOP (1) FROM dbo.t WHERE a = 1");
    world.sql("UPDATE dbo.t SET b = 3 WHERE a = 2");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=1, b=1)", "(a=2, b=3)"]);
    world.sql("DELETE FROM dbo.t WHERE a = 1");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=2, b=3)"]);
}

/// A row that was handed on behind the doubt counted as seen by the read that the doubt had begun.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_and_go_behind_a_doubtful_change_go() {
    let script = "CREATE TABLE dbo.t (id int, a int, note nvarchar(max) NULL); INSERT INTO dbo.t VALUES (1, 1, NULL);
         CREATE TABLE dbo.t2 (id int, a int, note text); INSERT INTO dbo.t2 VALUES (1, 1, 'n')";
    let mut world = World::followed(Manual, script, &["t", "t2"]).await;
    for statement in [
        "UPDATE dbo.t SET a = 2 WHERE id = 1",
        "INSERT INTO dbo.t VALUES (7, 100, NULL)",
        "UPDATE dbo.t SET a = 101 WHERE id = 7",
        "UPDATE dbo.t2 SET a = 2 WHERE id = 1",
        "INSERT INTO dbo.t2 VALUES (7, 100, 'n')",
        "DELETE FROM dbo.t2 WHERE id = 7",
    ] {
        world.sql(statement);
    }
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=2, id=1)", "(a=101, id=7)"]);
    assert_eq!(world.rows("t2"), ["(a=2, id=1, note='n')"]);
    // Doubts of their own, in commits of their own.
    world.sql("INSERT INTO dbo.t VALUES (8, 8, NULL)");
    world.settle().await;
    world.sql("UPDATE dbo.t SET a = 9 WHERE id = 8");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=2, id=1)", "(a=9, id=8)", "(a=101, id=7)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_is_refused() {
    let mut world =
        World::captured(Manual, "CREATE TABLE dbo.t (id int PRIMARY KEY); INSERT INTO dbo.t VALUES (1)", &["t"]);
    world.start();
    world.settle().await;
    assert_eq!(world.try_sql("TRUNCATE TABLE dbo.t").unwrap_err().number(), 4711);
    world.sql("INSERT INTO dbo.t VALUES (2)");
    world.settle().await;
    assert_eq!(world.rows("t").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn computed_columns_are_left_out() {
    let mut world = World::captured(
        Manual,
        "CREATE TABLE dbo.t (id int PRIMARY KEY, a int, twice AS a * 2); INSERT INTO dbo.t (id, a) VALUES (1, 1)",
        &["t"],
    );
    world.start();
    world.settle().await;
    world.sql("INSERT INTO dbo.t (id, a) VALUES (2, 2); UPDATE dbo.t SET a = 5 WHERE id = 1");
    world.settle().await;
    assert_eq!(world.rows("t"), ["(a=2, id=2)", "(a=5, id=1)"]);
}
