//! Transactions of every kind, and the log's own events.

use millstream_core::change::Event;
use millstream_testkit::{Flavor, Server, ServerOptions, require_server, shared_with};

use super::follow::{Fixture, shown};
use super::servers;

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_transactions_and_rotated_files() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for fixture in servers().await {
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT) ENGINE = MyISAM").await;
        let mut follow = fixture.follow().await;
        fixture.sql("INSERT INTO t VALUES (1, 1); FLUSH BINARY LOGS; UPDATE t SET a = 2; FLUSH BINARY LOGS").await;
        assert_eq!(follow.lines().await, ["t + 1,1", "t + 1,2"]);
        fixture.sql("BEGIN; DELETE FROM t; INSERT INTO t VALUES (3, 3); ROLLBACK").await;
        let lines = follow.lines().await;
        assert_eq!(lines[..2], ["t - 1", "t + 3,3"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distributed_transaction_counts_when_it_is_committed() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for fixture in servers().await {
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT)").await;
        let (position, catalog) = fixture.here().await;
        let mut follow = fixture.follow_from(&position, catalog.clone()).await;
        fixture.sql("XA START 'a','b',3; INSERT INTO t VALUES (1, 1); XA END 'a','b',3; XA PREPARE 'a','b',3").await;
        fixture.sql("INSERT INTO t VALUES (2, 2)").await;
        assert_eq!(follow.lines().await, ["t + 2,2"]);
        let between = follow.position.clone();
        fixture.until_sql("XA COMMIT 'a','b',3").await;
        assert_eq!(follow.lines().await, ["t + 1,1"]);
        // In one session: to another one it is known only some time after this one has ended.
        fixture.sql("XA START 'c'; INSERT INTO t VALUES (3, 3); XA END 'c'; XA PREPARE 'c'; XA ROLLBACK 'c'").await;
        fixture.sql("XA START 'd'; INSERT INTO t VALUES (4, 4); XA END 'd'; XA COMMIT 'd' ONE PHASE").await;
        assert_eq!(follow.lines().await, ["t + 4,4"]);
        drop(follow);
        // Whoever begins after the PREPARE doesn't know what was prepared.
        let mut late = fixture.follow_from(&between, catalog).await;
        assert_eq!(late.lines().await, ["t rows replaced", "t + 4,4"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_comes_in_parts() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    let compressed = ServerOptions::new().set("binlog_transaction_compression", "ON");
    let mut fixtures = servers().await;
    fixtures.push(Fixture::new(shared_with(Flavor::MySql, "compressed", compressed).await.unwrap()).await);
    for fixture in fixtures {
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(500)); CREATE TABLE u (id INT PRIMARY KEY)").await;
        let mut follow = fixture.follow().await;
        let doubled = "INSERT INTO t (a) SELECT a FROM t;".repeat(16);
        fixture
            .sql(&format!(
                "INSERT INTO u VALUES (1); BEGIN; INSERT INTO t (a) VALUES (REPEAT('x', 500)); {doubled} COMMIT; \
                 INSERT INTO u VALUES (2)"
            ))
            .await;
        let head = fixture.source.head().await.unwrap();
        let (mut rows, mut open) = (0, false);
        let mut small = Vec::new();
        while follow.position < head {
            let delivery = follow.next().await.unwrap();
            let mut bytes = 0;
            for event in &delivery.events {
                match event {
                    Event::Rows(changes) if changes.schema.table.name == "t" => {
                        rows += changes.rows.len();
                        bytes += changes.rows.size_bytes();
                    }
                    event => small.extend(shown(event)),
                }
            }
            assert!(bytes < 6 << 20, "a delivery of {bytes} bytes");
            if !open && delivery.commit.is_none() {
                assert_eq!(small, ["u + 1"], "whole transactions don't wait for a large one");
            }
            open = delivery.commit.is_none();
        }
        assert_eq!(rows, 1 << 16);
        assert_eq!(small, ["u + 1", "u + 2"]);
        assert!(follow.parts >= 5, "{} parts", follow.parts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_row_images_are_looked_up() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for fixture in servers().await {
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT); INSERT INTO t VALUES (1, 2, 3)").await;
        let mut follow = fixture.follow().await;
        fixture.sql("SET SESSION binlog_row_image = MINIMAL; UPDATE t SET a = 5; DELETE FROM t").await;
        assert_eq!(follow.lines().await, ["t ? 1", "t - 1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tagged_gtids() {
    require_server!(Flavor::MySql);
    let options = ServerOptions::new().gtid(Flavor::MySql);
    let server = Server::start(Flavor::MySql, options).await.unwrap();
    let fixture = Fixture::new(server.endpoint()).await;
    fixture.sql("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let (position, catalog) = fixture.here().await;
    let mut follow = fixture.follow_from(&position, catalog.clone()).await;
    fixture.sql("SET gtid_next = 'AUTOMATIC:blue'; INSERT INTO t VALUES (1); SET gtid_next = 'AUTOMATIC'").await;
    assert_eq!(follow.lines().await, ["t + 1"]);
    assert!(follow.position.token().contains(":blue:1"), "{}", follow.position);
    let between = follow.position.clone();
    fixture.sql("INSERT INTO t VALUES (2)").await;
    assert_eq!(fixture.follow_from(&between, catalog).await.lines().await, ["t + 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn versioned_tables_show_the_rows_that_exist() {
    require_server!(Flavor::MariaDb);
    let mariadb = shared_with(Flavor::MariaDb, "default", ServerOptions::new()).await.unwrap();
    let fixture = Fixture::new(mariadb).await;
    fixture.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT) WITH SYSTEM VERSIONING; INSERT INTO t VALUES (1, 1)").await;
    let mut follow = fixture.follow().await;
    fixture.sql("UPDATE t SET a = 2; INSERT INTO t VALUES (3, 3); DELETE FROM t WHERE id = 1").await;
    assert_eq!(follow.lines().await, ["t + 1,2", "t + 3,3", "t - 1"]);
}
