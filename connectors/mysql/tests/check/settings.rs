//! Settings of servers.

use millstream_testkit::{Flavor, Server, ServerOptions, require_server};

use super::{check_uri, find, subjects};

/// Settings without any problem.
fn good(flavor: Flavor) -> ServerOptions {
    ServerOptions::new().gtid(flavor).set("binlog_row_metadata", "FULL")
}

#[tokio::test]
async fn a_good_mysql_has_no_problem() {
    require_server!(Flavor::MySql);
    no_problem(Flavor::MySql).await;
}

#[tokio::test]
async fn a_good_mariadb_has_no_problem() {
    require_server!(Flavor::MariaDb);
    no_problem(Flavor::MariaDb).await;
}

async fn no_problem(flavor: Flavor) {
    let server = Server::start(flavor, good(flavor)).await.unwrap();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.item (id INT PRIMARY KEY)").await.unwrap();
    server.create_replication_user("follower", "pw").await.unwrap();
    let problems = check_uri(&server.uri("follower", "pw", ""), &["shop.item", "shop.i%"]).await;
    assert_eq!(subjects(&problems), [""; 0], "{problems:#?}");
}

#[tokio::test]
async fn a_mysql_without_a_log_is_found() {
    require_server!(Flavor::MySql);
    no_log(Flavor::MySql).await;
}

#[tokio::test]
async fn a_mariadb_without_a_log_is_found() {
    require_server!(Flavor::MariaDb);
    no_log(Flavor::MariaDb).await;
}

async fn no_log(flavor: Flavor) {
    let mut server = Server::start(flavor, good(flavor).flag("skip-log-bin")).await.unwrap();
    let problems = check_uri(&server.uri("root", "", ""), &[]).await;
    assert_eq!(subjects(&problems), ["E log_bin"], "{problems:#?}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_bad_setting_of_a_mysql_is_found_at_once_and_its_remedy_works() {
    require_server!(Flavor::MySql);
    let bad = ServerOptions::new()
        .set("binlog_format", "MIXED")
        .set("binlog_row_image", "MINIMAL")
        .set("binlog_row_value_options", "PARTIAL_JSON")
        .set("binlog_expire_logs_seconds", "3600")
        .set("server-id", "0")
        .set("gtid_mode", "OFF")
        .set("enforce_gtid_consistency", "OFF")
        .set("binlog_ignore_db", "shop");
    let server = Server::start(Flavor::MySql, bad).await.unwrap();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.item (id INT PRIMARY KEY)").await.unwrap();
    let uri = server.uri("root", "", "");
    let problems = check_uri(&uri, &["shop.item"]).await;
    assert_eq!(
        subjects(&problems),
        [
            "E server_id",
            "E binlog_format",
            "E binlog_ignore_db",
            "W binlog_row_image",
            "W binlog_row_value_options",
            "W binlog_row_metadata",
            "W gtid_mode",
            "W binary log retention",
        ],
        "{problems:#?}"
    );
    for problem in problems.iter().filter(|problem| problem.remedy.starts_with("SET ")) {
        let (statements, _) = problem.remedy.rsplit_once(';').unwrap();
        server.sql(statements).await.unwrap();
    }
    assert_eq!(subjects(&check_uri(&uri, &["shop.item"]).await), ["E binlog_ignore_db"]);
}

#[tokio::test]
async fn every_bad_setting_of_a_mariadb_is_found_at_once_and_its_remedy_works() {
    require_server!(Flavor::MariaDb);
    let bad = ServerOptions::new()
        .set("binlog_format", "STATEMENT")
        .set("binlog_row_image", "NOBLOB")
        .set("expire_logs_days", "1")
        .set("binlog_do_db", "other")
        .set("lower_case_table_names", "1");
    let server = Server::start(Flavor::MariaDb, bad).await.unwrap();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.item (id INT PRIMARY KEY)").await.unwrap();
    let uri = server.uri("root", "", "");
    let problems = check_uri(&uri, &["shop.Item"]).await;
    assert_eq!(
        subjects(&problems),
        [
            "E binlog_format",
            "E table pattern shop.Item",
            "E binlog_do_db",
            "W binlog_row_image",
            "W binlog_row_metadata",
            "W binary log retention",
            "W table pattern shop.Item",
        ],
        "{problems:#?}"
    );
    assert!(find(&problems, "table pattern shop.Item").remedy.contains("shop.item"));
    for problem in problems.iter().filter(|problem| problem.remedy.starts_with("SET ")) {
        let (statement, _) = problem.remedy.split_once(';').unwrap();
        server.sql(statement).await.unwrap();
    }
    assert_eq!(subjects(&check_uri(&uri, &["shop.item"]).await), ["E binlog_do_db"]);
}

#[tokio::test]
async fn a_replica_that_logs_nothing_of_its_primarys_changes_is_found() {
    require_server!(Flavor::MySql);
    let server = Server::start(Flavor::MySql, good(Flavor::MySql).set("log_replica_updates", "OFF")).await.unwrap();
    assert_eq!(subjects(&check_uri(&server.uri("root", "", ""), &[]).await), [""; 0]);
    server.sql("CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'elsewhere', SOURCE_USER = 'u'").await.unwrap();
    let problems = check_uri(&server.uri("root", "", ""), &[]).await;
    assert_eq!(subjects(&problems), ["E log_replica_updates"], "{problems:#?}");
}

#[tokio::test]
async fn a_mariadb_replica_that_logs_nothing_of_its_primarys_changes_is_found() {
    require_server!(Flavor::MariaDb);
    let server = Server::start(Flavor::MariaDb, good(Flavor::MariaDb)).await.unwrap();
    server.sql("CHANGE MASTER TO MASTER_HOST = 'elsewhere', MASTER_USER = 'u'").await.unwrap();
    let problems = check_uri(&server.uri("root", "", ""), &[]).await;
    assert_eq!(subjects(&problems), ["E log_slave_updates"], "{problems:#?}");
}
