//! Selected tables.

use millstream_core::source::Problem;
use millstream_testkit::{Endpoint, Flavor, Server, ServerOptions, require_server, shared};

use super::{check_uri, find, subjects};

async fn table_problems(server: &Endpoint, patterns: &[&str]) -> Vec<Problem> {
    let problems = check_uri(&server.uri("root", "", ""), patterns).await;
    problems.into_iter().filter(|problem| problem.subject.starts_with("table ")).collect()
}

#[tokio::test]
async fn patterns_without_a_table_come_with_the_name_that_was_meant() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("patterns").await.unwrap();
    server.sql_in(&database, "CREATE TABLE items (id INT PRIMARY KEY); CREATE VIEW v AS SELECT 1").await.unwrap();
    let patterns =
        [format!("{database}.item"), format!("{database}.i%"), format!("{database}.v"), "nowhere.t".to_owned()];
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let problems = table_problems(&server, &patterns).await;
    let expected: Vec<String> =
        [patterns[0], patterns[2]].iter().map(|pattern| format!("W table pattern {pattern}")).collect();
    assert_eq!(subjects(&problems), expected, "{problems:#?}");
    let misspelt = find(&problems, &format!("table pattern {database}.item"));
    assert!(misspelt.remedy.contains(&format!("did you mean {database}.items?")), "{misspelt:?}");
    let everything = check_uri(&server.uri("root", "", ""), &["nowhere.t"]).await;
    assert!(subjects(&everything).contains(&"W database nowhere".to_owned()), "{everything:#?}");
    assert!(find(&problems, &format!("table pattern {database}.v")).found.contains("views"), "{problems:#?}");
}

#[tokio::test]
async fn tables_without_a_key_are_found_and_the_remedy_gives_them_one() {
    require_server!(Flavor::MySql);
    keyless(Flavor::MySql).await;
}

#[tokio::test]
async fn tables_without_a_key_are_found_on_mariadb_and_the_remedy_gives_them_one() {
    require_server!(Flavor::MariaDb);
    keyless(Flavor::MariaDb).await;
}

async fn keyless(flavor: Flavor) {
    let server = shared(flavor).await.unwrap();
    let database = server.create_database("keyless").await.unwrap();
    let tables = "CREATE TABLE heap (a INT, UNIQUE (a)); CREATE TABLE keyed (a INT NOT NULL, UNIQUE (a))";
    server.sql_in(&database, tables).await.unwrap();
    let pattern = format!("{database}.%");
    let problems = table_problems(&server, &[&pattern]).await;
    assert_eq!(subjects(&problems), [format!("W table {database}.heap")], "{problems:#?}");
    server.sql(&problems[0].remedy).await.unwrap();
    assert_eq!(subjects(&table_problems(&server, &[&pattern]).await), [""; 0]);
}

#[tokio::test]
async fn engines_that_know_no_transactions_are_found_on_mysql() {
    require_server!(Flavor::MySql);
    engines(Flavor::MySql, &["MyISAM", "MEMORY", "MRG_MyISAM"]).await;
}

#[tokio::test]
async fn engines_that_know_no_transactions_are_found_on_mariadb() {
    require_server!(Flavor::MariaDb);
    engines(Flavor::MariaDb, &["MyISAM", "MEMORY", "Aria"]).await;
}

async fn engines(flavor: Flavor, engines: &[&str]) {
    let server = shared(flavor).await.unwrap();
    let database = server.create_database("engines").await.unwrap();
    let create = |engine: &&str| format!("CREATE TABLE {engine} (id INT PRIMARY KEY) ENGINE = {engine};");
    let statements: String = engines.iter().map(create).collect();
    server.sql_in(&database, &format!("{statements} CREATE TABLE good (id INT PRIMARY KEY)")).await.unwrap();
    let problems = table_problems(&server, &[&format!("{database}.%")]).await;
    let mut expected: Vec<String> = engines.iter().map(|engine| format!("W table {database}.{engine}")).collect();
    expected.sort();
    assert_eq!(subjects(&problems), expected, "{problems:#?}");
    assert!(problems.iter().all(|problem| problem.found.starts_with("engine ")));
}

const FAMILY: &str = "CREATE TABLE parent (id INT PRIMARY KEY); \
    CREATE TABLE child (id INT PRIMARY KEY, parent INT, CONSTRAINT up FOREIGN KEY (parent) REFERENCES parent (id) \
    ON DELETE CASCADE ON UPDATE SET NULL); \
    CREATE TABLE strict (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE RESTRICT)";

#[tokio::test]
async fn cascades_that_mariadb_doesnt_log_are_found() {
    require_server!(Flavor::MariaDb);
    let server = shared(Flavor::MariaDb).await.unwrap();
    let database = server.create_database("cascades").await.unwrap();
    server.sql_in(&database, FAMILY).await.unwrap();
    // The parent needn't be selected.
    let problems = table_problems(&server, &[&format!("{database}.child"), &format!("{database}.strict")]).await;
    assert_eq!(subjects(&problems), [format!("W table {database}.child")], "{problems:#?}");
    assert!(
        problems[0].found.contains("foreign key up") && problems[0].found.contains("are deleted or get another key")
    );
}

#[tokio::test]
async fn cascades_of_a_mysql_that_logs_them_are_no_problem_and_those_of_one_that_doesnt_are() {
    require_server!(Flavor::MySql);
    let server = Server::start(Flavor::MySql, ServerOptions::new()).await.unwrap();
    server.sql(&format!("CREATE DATABASE family; USE family; {FAMILY}")).await.unwrap();
    assert_eq!(subjects(&table_problems(&server, &["family.%"]).await), [""; 0]);
    let mut server = server;
    server.restart_with(ServerOptions::new().set("innodb_native_foreign_keys", "ON")).await.unwrap();
    let problems = table_problems(&server, &["family.%"]).await;
    assert_eq!(subjects(&problems), ["W table family.child"], "{problems:#?}");
    assert!(problems[0].remedy.contains("innodb_native_foreign_keys = OFF"));
}

#[tokio::test]
async fn what_mariadb_has_beside_plain_tables_is_no_problem() {
    require_server!(Flavor::MariaDb);
    let server = shared(Flavor::MariaDb).await.unwrap();
    let database = server.create_database("kinds").await.unwrap();
    let statements = "CREATE TABLE versioned (id INT PRIMARY KEY) WITH SYSTEM VERSIONING; CREATE SEQUENCE numbers";
    server.sql_in(&database, statements).await.unwrap();
    let problems = table_problems(&server, &[&format!("{database}.%")]).await;
    assert_eq!(subjects(&problems), [""; 0], "{problems:#?}");
}

#[tokio::test]
async fn a_table_that_the_server_cant_open_is_found_and_doesnt_hide_the_others() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("broken").await.unwrap();
    let statements =
        "CREATE TABLE broken (id INT PRIMARY KEY); ALTER TABLE broken DISCARD TABLESPACE; CREATE TABLE heap (a INT)";
    server.sql_in(&database, statements).await.unwrap();
    let problems = table_problems(&server, &[&format!("{database}.%")]).await;
    assert_eq!(subjects(&problems), [format!("E table {database}.broken"), format!("W table {database}.heap")]);
    assert!(problems[0].found.contains("discarded"), "{problems:#?}");
}
