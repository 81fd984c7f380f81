//! Columns that are computed, unseen, or the server's own.

use millstream_testkit::{Flavor, Server, ServerOptions, require_server};

use super::bed::Bed;

on_servers!(generated_columns, generated_identities);
on_one!(MySql, generated_keys_of_the_server, functional_indexes);
on_one!(MariaDb, hashes_of_unique_texts, versioned_tables, versioned_tables_with_declared_periods);

async fn generated_columns(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a INT, s INT AS (a * 3) STORED, v VARCHAR(20) AS (CONCAT('v', a)) VIRTUAL)",
            "INSERT INTO t (id, a) VALUES (1, 2), (2, NULL); UPDATE t SET a = 9 WHERE id = 1",
        )
        .await;
    assert_eq!(rows, ["1,9,27,'v9'", "2,NULL,NULL,NULL"]);
}

/// Of tables without a key every column is part of the identity, virtual ones too; what the log shows of them before
/// an update must be what they were.
async fn generated_identities(bed: &Bed) {
    let (from, schema) = bed.create("a INT, v INT AS (a * 2) VIRTUAL, s INT AS (a * 3) STORED, b INT)").await;
    bed.sql("INSERT INTO t (a, b) VALUES (1, 1), (5, 5); UPDATE t SET a = 2 WHERE a = 1; DELETE FROM t WHERE a = 2")
        .await;
    let told = bed.told(&from, &schema).await;
    assert_eq!(told.lines, ["+ 1,2,3,1", "+ 5,10,15,5", "? 1,2,3,1", "+ 2,4,6,1", "? 2,4,6,1"]);
    assert_eq!(bed.compare(&told).await, ["5,10,15,5"]);
}

async fn generated_keys_of_the_server(bed: &Bed) {
    bed.sql("SET sql_generate_invisible_primary_key = ON; CREATE TABLE made (a INT, b INT INVISIBLE DEFAULT 4)").await;
    let (from, schema) = {
        bed.sql("DROP TABLE IF EXISTS t; RENAME TABLE made TO t").await;
        bed.found().await
    };
    bed.sql("INSERT INTO t (a) VALUES (7), (8); UPDATE t SET a = 9 WHERE a = 8").await;
    let told = bed.told(&from, &schema).await;
    assert_eq!(bed.compare(&told).await, ["1,7,4", "2,9,4"]);
}

async fn functional_indexes(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a VARCHAR(20), b JSON, KEY ((UPPER(a))),
             KEY ((CAST(b->'$[*]' AS UNSIGNED ARRAY))))",
            "INSERT INTO t VALUES (1, 'x', '[1, 2]'); UPDATE t SET a = 'y'",
        )
        .await;
    assert_eq!(rows, ["1,'y','[1,2]'"]);
}

async fn hashes_of_unique_texts(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a TEXT, b INT, UNIQUE (a), UNIQUE (b, a))",
            "INSERT INTO t VALUES (1, 'x', 2), (2, NULL, NULL); UPDATE t SET a = 'yyy' WHERE id = 1;
             INSERT INTO t VALUES (3, 'z', 1); DELETE FROM t WHERE id = 3",
        )
        .await;
    assert_eq!(rows, ["1,'yyy',2", "2,NULL,NULL"]);
}

const LIVES: &str =
    "INSERT INTO t (id, a) VALUES (1, 2), (2, 3); UPDATE t SET a = 4 WHERE id = 1; DELETE FROM t WHERE id = 2;
                     INSERT INTO t (id, a) VALUES (3, 5);
                     SET binlog_row_image = MINIMAL; DELETE FROM t WHERE id = 3; SET binlog_row_image = FULL;
                     DELETE HISTORY FROM t";

/// What rows were is in the log, too, and isn't a row.
async fn versioned_tables(bed: &Bed) {
    let rows = bed.rows("id INT PRIMARY KEY, a INT) WITH SYSTEM VERSIONING", LIVES).await;
    assert_eq!(rows, ["1,4"]);
}

/// The server can show all its sessions what rows were at some moment.
#[tokio::test(flavor = "multi_thread")]
async fn versioned_tables_where_sessions_look_back() {
    require_server!(Flavor::MariaDb);
    let server = Server::start(Flavor::MariaDb, ServerOptions::new()).await.unwrap();
    server.sql("SET GLOBAL system_versioning_asof = '2020-01-01'").await.unwrap();
    let bed = Bed::on(server.endpoint()).await;
    versioned_tables(&bed).await;
}

async fn versioned_tables_with_declared_periods(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
             e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
            LIVES,
        )
        .await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].starts_with("1,4,'20") && rows[0].ends_with("'2038-01-19T03:14:07.999999Z'"), "{}", rows[0]);
}
