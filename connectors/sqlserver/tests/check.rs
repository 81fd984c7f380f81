//! What `check` says.

use millstream_core::source::{Problem, Severity};
use millstream_sqlserver::{CaptureInstances, SqlServerConfig};

use crate::database::{Database, selection};

async fn problems(database: &Database, tables: &[&str]) -> Vec<Problem> {
    database.source().check(&selection(tables)).await.unwrap()
}

fn about<'a>(problems: &'a [Problem], subject: &str) -> Vec<&'a Problem> {
    problems.iter().filter(|problem| problem.subject == subject).collect()
}

#[track_caller]
fn only<'a>(problems: &'a [Problem], subject: &str) -> &'a Problem {
    match about(problems, subject)[..] {
        [problem] => problem,
        _ => panic!("not one about {subject}: {problems:#?}"),
    }
}

#[tokio::test]
async fn a_database_without_capture_is_told_how_to_turn_it_on() {
    let database = Database::without_capture();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    let problems = problems(&database, &["t"]).await;
    let problem = only(&problems, "database shop");
    assert_eq!(problem.severity, Severity::Error);
    assert!(problem.remedy.contains("USE [shop]; EXEC sys.sp_cdc_enable_db;"), "{}", problem.remedy);
    database.run("EXEC sys.sp_cdc_enable_db");
    let problems = self::problems(&database, &["t"]).await;
    assert!(about(&problems, "database shop").is_empty(), "{problems:?}");
}

#[tokio::test]
async fn the_statement_for_a_table_that_isnt_captured_works_as_it_stands() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.[my t] (id int NOT NULL PRIMARY KEY)");
    let found = problems(&database, &["my t"]).await;
    let problem = only(&found, "table dbo.my t");
    assert_eq!(problem.severity, Severity::Error);
    database.run(&problem.remedy);
    assert!(about(&problems(&database, &["my t"]).await, "table dbo.my t").is_empty());
}

#[tokio::test]
async fn what_millstream_does_by_itself_is_no_error() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    let config = SqlServerConfig { capture_instances: CaptureInstances::Auto, ..database.config() };
    let found = config.build("shop").unwrap().check(&selection(&["t"])).await.unwrap();
    let problem = only(&found, "table dbo.t");
    assert_eq!(problem.severity, Severity::Warning);
    assert!(problem.remedy.contains("Nothing has to be done"), "{}", problem.remedy);
}

#[tokio::test]
async fn doubtful_tables_are_named_with_their_reason() {
    let database = Database::start();
    database.run(
        "CREATE TABLE dbo.bare (a int NULL)\nGO\nCREATE TABLE dbo.old (a int NULL, b text NULL)\nGO\n\
         CREATE TABLE dbo.computed (id int NOT NULL PRIMARY KEY, n int NULL, twice AS (n * 2))",
    );
    let tables = ["bare", "old", "computed"];
    tables.iter().for_each(|table| database.capture(table));
    database.discovered(database.source().as_ref(), &tables).await;
    let found = problems(&database, &["%"]).await;
    assert!(only(&found, "table dbo.bare").found.contains("without a primary key"), "{found:?}");
    assert!(only(&found, "table dbo.old").found.contains("read again after each"), "{found:?}");
    assert!(only(&found, "table dbo.computed").found.contains("twice"), "{found:?}");
    assert!(found.iter().all(|problem| problem.severity == Severity::Warning), "{found:?}");
    assert!(about(&found, "setting max text repl size").len() <= 1);
}

#[tokio::test]
async fn a_pattern_without_a_table_is_told_with_what_may_have_been_meant() {
    let database = Database::start();
    database.run(
        "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY)\nGO\nCREATE VIEW dbo.v AS SELECT id FROM dbo.orders",
    );
    database.capture("orders");
    let found = problems(&database, &["order", "v", "orders"]).await;
    assert!(only(&found, "table pattern dbo.order").remedy.contains("did you mean dbo.orders?"), "{found:?}");
    assert!(only(&found, "table pattern dbo.v").found.contains("views"), "{found:?}");
    assert!(about(&found, "table pattern dbo.orders").is_empty());
}

#[tokio::test]
async fn a_third_instance_is_refused_so_an_older_one_has_to_go() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    database.capture("t");
    database.run(
        "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, \
         @capture_instance = N'second'",
    );
    let found = problems(&database, &["t"]).await;
    let problem = only(&found, "table dbo.t");
    assert!(problem.found.contains("two capture instances"), "{problem:?}");
    assert!(problem.remedy.contains("@capture_instance = N'dbo_t'"), "{problem:?}");
}
