//! Rows and transactions.

use millstream_testkit::{Flavor, ServerOptions, require_server, shared_with};

use super::follow::Fixture;

async fn fixture(flavor: Flavor, name: &str, options: ServerOptions) -> Fixture {
    Fixture::new(shared_with(flavor, name, options).await.unwrap()).await
}

async fn changes_arrive(fixture: Fixture) {
    fixture
        .sql("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20)); CREATE TABLE u (a INT, b INT, UNIQUE (b, a))")
        .await;
    fixture.sql("INSERT INTO t VALUES (1, 'before')").await;
    let mut follow = fixture.follow().await;
    fixture.sql("INSERT INTO t VALUES (2, 'two'), (3, 'three'); UPDATE t SET name = 'zwei' WHERE id = 2").await;
    fixture.sql("UPDATE t SET id = 4 WHERE id = 3; DELETE FROM t WHERE id = 1").await;
    fixture.sql("START TRANSACTION; INSERT INTO t VALUES (5, NULL); INSERT INTO u VALUES (7, 8); COMMIT").await;
    fixture.sql("START TRANSACTION; INSERT INTO t VALUES (6, NULL); ROLLBACK").await;
    assert_eq!(
        follow.lines().await,
        ["t + 2,two", "t + 3,three", "t + 2,zwei", "t - 3", "t + 4,three", "t - 1", "t + 5,NULL", "u + 7,8"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_from_mysql() {
    require_server!(Flavor::MySql);
    changes_arrive(fixture(Flavor::MySql, "default", ServerOptions::new()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_from_mysql_with_gtids_full_metadata_and_compression() {
    require_server!(Flavor::MySql);
    changes_arrive(fixture(Flavor::MySql, "rich", rich()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_from_mariadb() {
    require_server!(Flavor::MariaDb);
    changes_arrive(fixture(Flavor::MariaDb, "default", ServerOptions::new()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_from_mariadb_with_compressed_events() {
    require_server!(Flavor::MariaDb);
    let options = ServerOptions::new().set("log_bin_compress", "ON").set("log_bin_compress_min_len", "10");
    changes_arrive(fixture(Flavor::MariaDb, "compressed", options).await).await;
}

/// GTIDs, all metadata, compressed transactions.
fn rich() -> ServerOptions {
    let options = ServerOptions::new().gtid(Flavor::MySql);
    options.set("binlog_row_metadata", "FULL").set("binlog_transaction_compression", "ON")
}
