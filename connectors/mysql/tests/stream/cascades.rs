//! Foreign keys whose work isn't logged.

use millstream_mysql::MySqlConfig;
use millstream_testkit::{Flavor, Server, ServerOptions, require_server, shared_with};

use super::follow::Fixture;
use super::statement_servers;

const TABLES: &str = "CREATE TABLE parent (id INT PRIMARY KEY, code INT, note INT, UNIQUE (code));
    CREATE TABLE t (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE);
    CREATE TABLE u (id INT PRIMARY KEY, t INT, code INT,
        FOREIGN KEY (t) REFERENCES t (id) ON DELETE SET NULL,
        FOREIGN KEY (code) REFERENCES parent (code) ON UPDATE CASCADE);
    INSERT INTO parent VALUES (1, 10, 0), (2, 20, 0), (3, 30, 0);
    INSERT INTO t VALUES (1, 1), (2, 2); INSERT INTO u VALUES (1, 1, 10), (2, 2, 20), (3, NULL, 30)";

async fn unlogged(endpoint: millstream_testkit::Endpoint) {
    let mut fixture = Fixture::new(endpoint).await;
    // As a user with the documented privileges sees it: the catalog hides most about foreign keys from it.
    let user = format!("u_{}", fixture.database);
    fixture.endpoint.create_replication_user(&user, "pw").await.unwrap();
    fixture.source = MySqlConfig::new(fixture.endpoint.uri(&user, "pw", "")).build("test").unwrap();
    fixture.select(&["t", "u"]);
    fixture.sql(TABLES).await;
    let mut follow = fixture.follow().await;
    fixture.sql("UPDATE parent SET note = 1; INSERT INTO parent VALUES (4, 40, 0)").await;
    assert_eq!(follow.lines().await, [""; 0]);
    fixture.sql("UPDATE parent SET code = code + 1 WHERE id = 3").await;
    assert_eq!(follow.lines().await, ["u rows replaced"]);
    fixture.sql("DELETE FROM u WHERE code < 30; DELETE FROM parent WHERE id = 1").await;
    assert_eq!(follow.lines().await, ["u - 1", "u - 2", "t rows replaced", "u rows replaced"]);
    // Selected parents, too.
    fixture.sql("INSERT INTO t VALUES (7, 2); INSERT INTO u VALUES (7, 7, 31)").await;
    fixture.sql("BEGIN; DELETE FROM t WHERE id = 7; DELETE FROM t WHERE id = 2; COMMIT").await;
    assert_eq!(follow.lines().await, ["t + 7,2", "u + 7,7,31", "t - 7", "t - 2", "u rows replaced"]);
    // It is told at the transaction's end: a row that comes in between may be gone by then.
    fixture.sql("INSERT INTO t VALUES (5, 3), (6, 3)").await;
    fixture
        .sql("BEGIN; DELETE FROM t WHERE id = 5; INSERT INTO u VALUES (8, 6, 31); DELETE FROM t WHERE id = 6; COMMIT")
        .await;
    assert_eq!(follow.lines().await, ["t + 5,3", "t + 6,3", "t - 5", "u + 8,6,31", "t - 6", "u rows replaced"]);
    let before = follow.position.clone();
    // Once the foreign key is gone, nothing follows the parent any more; but who comes late can't know since when.
    fixture.sql("INSERT INTO t VALUES (9, 2)").await;
    let name = "SELECT constraint_name FROM information_schema.key_column_usage WHERE table_name = 't' \
                AND referenced_table_name = 'parent' AND table_schema = ";
    let name = fixture.endpoint.value(&format!("{name} '{}'", fixture.database)).await.unwrap().unwrap();
    fixture.sql(&format!("ALTER TABLE t DROP FOREIGN KEY {name}; DELETE FROM parent WHERE id = 2")).await;
    assert_eq!(follow.lines().await, ["t + 9,2", "t altered (id,parent)"]);
    let (_, catalog) = fixture.here().await;
    let mut late = fixture.follow_from(&before, catalog).await;
    assert_eq!(late.lines().await, ["t + 9,2", "t rows replaced", "u rows replaced", "t altered (id,parent)"]);
    // Even where the statement that removed it is the last in the log.
    let (position, catalog) = fixture.here().await;
    let name = "SELECT constraint_name FROM information_schema.key_column_usage WHERE table_name = 'u' \
                AND referenced_table_name = 't' AND table_schema = ";
    let name = fixture.endpoint.value(&format!("{name} '{}'", fixture.database)).await.unwrap().unwrap();
    fixture.sql(&format!("DELETE FROM t WHERE id = 9; ALTER TABLE u DROP FOREIGN KEY {name}")).await;
    let mut late = fixture.follow_from(&position, catalog).await;
    assert_eq!(late.lines().await, ["t - 9", "u rows replaced", "u altered (id,t,code)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unlogged_cascades_of_mariadb_are_seen_in_their_parents() {
    require_server!(Flavor::MariaDb);
    unlogged(shared_with(Flavor::MariaDb, "default", ServerOptions::new()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unlogged_cascades_of_mysql_are_seen_in_their_parents() {
    require_server!(Flavor::MySql);
    let options = ServerOptions::new().set("innodb_native_foreign_keys", "ON");
    let server = Server::start(Flavor::MySql, options).await.unwrap();
    unlogged(server.endpoint()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_foreign_key_did_is_made_good_where_it_is_removed() {
    require_server!(Flavor::MariaDb);
    let mut fixture = Fixture::new(shared_with(Flavor::MariaDb, "default", ServerOptions::new()).await.unwrap()).await;
    fixture.select(&["a", "b", "c"]);
    let link = "ALTER TABLE b ADD CONSTRAINT fb FOREIGN KEY (p) REFERENCES a (id) ON DELETE CASCADE";
    fixture
        .sql(&format!(
            "CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (id INT PRIMARY KEY, p INT);
             CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES b (id) ON DELETE CASCADE);
             {link}; INSERT INTO a VALUES (1), (2), (3), (4);
             INSERT INTO b VALUES (1, 1), (2, 2), (3, 3), (4, 4); INSERT INTO c VALUES (1, 1), (2, 2), (3, 3), (4, 4)"
        ))
        .await;
    let unlink = "ALTER TABLE b DROP FOREIGN KEY fb";
    // By who comes late, and who comes between the two statements.
    let (before, catalog) = fixture.here().await;
    fixture.sql("DELETE FROM a WHERE id = 1").await;
    let (between, _) = fixture.here().await;
    fixture.sql(unlink).await;
    let mut late = fixture.follow_from(&before, catalog.clone()).await;
    let unlinked = ["b rows replaced", "c rows replaced", "b altered (id,p)"];
    assert_eq!(late.lines().await, [&["a - 1"][..], &unlinked].concat());
    let mut late = fixture.follow_from(&between, catalog).await;
    assert_eq!(late.lines().await, unlinked);
    // Live, at once: whether the foreign key is seen depends on the moment of the look.
    let mut follow = fixture.follow().await;
    fixture.sql(&format!("{link}; DELETE FROM a WHERE id = 2; {unlink}")).await;
    let lines = follow.lines().await;
    let deleted = lines.iter().position(|line| line == "a - 2").unwrap();
    assert!(lines[deleted..].iter().any(|line| line == "b rows replaced"), "{lines:?}");
    assert!(lines[deleted..].iter().any(|line| line == "c rows replaced"), "{lines:?}");
    // With its table.
    fixture.sql(link).await;
    let (before, catalog) = fixture.here().await;
    fixture.sql("DELETE FROM a WHERE id = 3; SET foreign_key_checks = 0; DROP TABLE b").await;
    let mut late = fixture.follow_from(&before, catalog).await;
    assert_eq!(late.lines().await, ["a - 3", "c rows replaced", "b dropped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn logged_cascades_are_rows_like_others() {
    require_server!(Flavor::MySql);
    let mut fixture = Fixture::new(shared_with(Flavor::MySql, "default", ServerOptions::new()).await.unwrap()).await;
    fixture.select(&["t", "u"]);
    fixture.sql(TABLES).await;
    let mut follow = fixture.follow().await;
    fixture.sql("DELETE FROM u WHERE code < 20; DELETE FROM parent WHERE id = 1").await;
    assert_eq!(follow.lines().await, ["u - 1", "t - 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_statement_format_nobody_logs_cascades() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for mut fixture in statement_servers().await {
        let flavor = fixture.endpoint.flavor();
        fixture.select(&["t", "u"]);
        fixture.sql(TABLES).await;
        let mut follow = fixture.follow().await;
        fixture.sql("SET SESSION binlog_format = STATEMENT; INSERT INTO parent VALUES (4, 40, 0)").await;
        assert_eq!(follow.lines().await, [""; 0], "{flavor:?}");
        let delete =
            "DELETE FROM u WHERE id = 1; SET SESSION binlog_format = STATEMENT; DELETE FROM parent WHERE id = 1";
        fixture.sql(delete).await;
        assert_eq!(follow.lines().await, ["u - 1", "t rows replaced", "u rows replaced"], "{flavor:?}");
        fixture.sql("SET SESSION binlog_format = STATEMENT; UPDATE parent SET code = 21 WHERE id = 2").await;
        assert_eq!(follow.lines().await, ["t rows replaced", "u rows replaced"], "{flavor:?}");
    }
}
