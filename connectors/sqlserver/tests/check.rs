//! What `check` says.

use std::time::{Duration, Instant};

use millstream_core::source::{Problem, Severity};
use millstream_sqlserver::{CaptureInstances, SqlServerConfig};
use millstream_sqlserver_sim::{Edition, Options, Schedule};

use crate::database::{Database, discovered, selection};

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
    discovered(database.source().as_ref(), &tables).await;
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

/// A captured table, on a server whose jobs run as its own do.
fn with_jobs(edition: Edition) -> Database {
    let database = Database::start_with(Options { schedule: Schedule::Jobs, edition, ..Options::default() });
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    database.capture("t");
    database
}

/// What is said of the jobs, once there has been a scan.
async fn of_jobs(database: &Database) -> Vec<Problem> {
    let patience_ends = Instant::now() + Duration::from_secs(60);
    loop {
        let mut found = problems(database, &["t"]).await;
        found.retain(|problem| problem.subject.contains("job") || problem.subject.contains("Agent"));
        let waits = found.iter().any(|problem| problem.found.contains("hasn't been scanned"));
        if !waits || Instant::now() > patience_ends {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_stopped_agent_is_told_at_once() {
    let database = with_jobs(Edition::Developer);
    assert!(of_jobs(&database).await.is_empty());
    database.sim().control().stop_agent();
    let found = of_jobs(&database).await;
    let [problem] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(problem.severity, Severity::Error);
    assert!(
        problem.subject.contains("SQL Server Agent") && problem.remedy.contains("Start the service"),
        "{problem:?}"
    );
    database.sim().control().start_agent().unwrap();
    assert!(of_jobs(&database).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_jobs_mends_them_as_it_stands() {
    let database = with_jobs(Edition::Developer);
    assert!(of_jobs(&database).await.is_empty());
    let change = |what: &str| format!("EXEC sys.sp_cdc_change_job @job_type = N'{what}");
    for (trouble, severity, word) in [
        ("EXEC sys.sp_cdc_drop_job @job_type = N'capture'".to_owned(), Severity::Error, "there is none"),
        ("EXEC sys.sp_cdc_drop_job @job_type = N'cleanup'".to_owned(), Severity::Warning, "there is none"),
        (change("cleanup', @retention = 60"), Severity::Warning, "kept for 60 min"),
        (change("capture', @pollinginterval = 3600"), Severity::Warning, "every 3600 s only"),
        (change("capture', @continuous = 0, @pollinginterval = 0"), Severity::Warning, "scans the log once"),
    ] {
        database.run(&trouble);
        let found = of_jobs(&database).await;
        let [problem] = &found[..] else { panic!("{trouble}: {found:#?}") };
        assert_eq!(problem.severity, severity, "{problem:?}");
        assert!(problem.found.contains(word), "{problem:?}");
        tokio::task::block_in_place(|| database.run(&problem.remedy));
        let left = of_jobs(&database).await;
        assert!(left.is_empty(), "{} didn't mend it: {left:#?}", problem.remedy);
    }
}

#[tokio::test]
async fn a_capture_job_that_stands_still_is_told_after_a_while() {
    let clock = Some(Duration::from_secs(1_790_000_000));
    let database = Database::start_with(Options { schedule: Schedule::ByHand, clock, ..Options::default() });
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    database.capture("t");
    let found = problems(&database, &["t"]).await;
    assert!(only(&found, "capture job").found.contains("hasn't been scanned"), "{found:?}");
    database.sim().control().scan("shop").unwrap();
    assert!(about(&problems(&database, &["t"]).await, "capture job").is_empty());
    database.sim().control().advance_clock(Duration::from_secs(3_600));
    let found = problems(&database, &["t"]).await;
    let problem = only(&found, "capture job");
    assert!(problem.found.contains("stands still") && problem.remedy.contains("sp_cdc_start_job"), "{problem:?}");
    database.sim().control().scan("shop").unwrap();
    database.sim().control().advance_clock(Duration::from_secs(20));
    let found = problems(&database, &["t"]).await;
    assert!(only(&found, "capture job").found.contains("stands still"), "three scans are missing: {found:?}");
}

#[tokio::test]
async fn a_job_that_comes_with_the_first_table_isnt_missed_before() {
    let database = Database::start_with(Options { schedule: Schedule::Jobs, ..Options::default() });
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    let found = problems(&database, &["t"]).await;
    assert!(about(&found, "capture job").is_empty(), "{found:#?}");
    database.run(&only(&found, "table dbo.t").remedy);
    assert!(of_jobs(&database).await.is_empty());
}

#[tokio::test]
async fn azure_sql_database_has_a_scheduler_and_no_agent() {
    let (schedule, edition) = (Schedule::ByHand, Edition::AzureSqlDatabase);
    let clock = Some(Duration::from_secs(1_790_000_000));
    let database = Database::without_capture_on(Options { schedule, edition, clock, ..Options::default() });
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    let found = problems(&database, &["t"]).await;
    let problem = only(&found, "database shop");
    assert_eq!(problem.remedy, "USE [shop]; EXEC sys.sp_cdc_enable_db;", "an owner may do it");
    database.run(&problem.remedy);
    database.capture("t");
    database.sim().control().scan("shop").unwrap();
    let found = problems(&database, &["t"]).await;
    assert!(found.iter().all(|problem| problem.severity == Severity::Warning), "{found:#?}");
    assert!(!found.iter().any(|problem| problem.subject.contains("Agent")), "{found:#?}");
    database.run("EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 60");
    let found = problems(&database, &["t"]).await;
    database.run(&only(&found, "cleanup job").remedy);
    assert!(about(&problems(&database, &["t"]).await, "cleanup job").is_empty());
    database.sim().control().advance_clock(Duration::from_secs(3_600));
    let found = problems(&database, &["t"]).await;
    let problem = only(&found, "capture job");
    assert!(problem.remedy.contains("dm_cdc_errors"), "nobody can start a job there: {problem:?}");
    database.run(&problem.remedy);
}

#[tokio::test]
async fn a_managed_instance_has_an_agent_as_any_server() {
    let database = with_jobs(Edition::ManagedInstance);
    assert!(of_jobs(&database).await.is_empty());
    database.run("EXEC sys.sp_cdc_drop_job @job_type = N'capture'");
    database.run(&only(&of_jobs(&database).await, "capture job").remedy);
    assert!(of_jobs(&database).await.is_empty());
}

#[tokio::test]
async fn hosts_with_a_procedure_of_their_own_are_told_theirs() {
    for (made_by_the_host, statement) in [
        ("CREATE DATABASE rdsadmin", "EXEC msdb.dbo.rds_cdc_enable_db N'shop';"),
        (
            "USE msdb;\nGO\nCREATE PROCEDURE dbo.gcloudsql_cdc_enable_db @database sysname AS SELECT 1",
            "EXEC msdb.dbo.gcloudsql_cdc_enable_db N'shop';",
        ),
    ] {
        let database = Database::without_capture();
        database.sim().run_script(made_by_the_host).unwrap();
        database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
        let found = problems(&database, &["t"]).await;
        assert_eq!(only(&found, "database shop").remedy, statement);
    }
}

#[tokio::test]
async fn large_values_are_let_in_by_what_is_said() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a varchar(max) NULL)");
    database.capture("t");
    let insert = "USE shop;\nGO\nINSERT INTO dbo.t VALUES (1, REPLICATE(CAST('x' AS varchar(max)), 70000))";
    assert_eq!(database.sim().run_script(insert).unwrap_err().number(), 7139);
    let found = problems(&database, &["t"]).await;
    let problem = only(&found, "setting max text repl size");
    assert!(problem.found.contains("65536"), "{problem:?}");
    database.run(&problem.remedy);
    database.sim().run_script(insert).unwrap();
    assert!(about(&problems(&database, &["t"]).await, "setting max text repl size").is_empty());
}

#[tokio::test]
async fn a_change_table_of_an_older_server_is_made_anew() {
    let database = Database::start();
    database.sim().control().set_command_ids(false);
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    database.capture("t");
    let found = problems(&database, &["t"]).await;
    let problem = only(&found, "table dbo.t");
    assert!(problem.found.contains("older version"), "{problem:?}");
    database.sim().control().set_command_ids(true);
    database.run(&problem.remedy);
    assert!(about(&problems(&database, &["t"]).await, "table dbo.t").is_empty());
}

#[tokio::test]
async fn what_a_fresh_database_lacks_is_told_at_once() {
    let database = Database::without_capture();
    database.run(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)\nGO\nCREATE LOGIN reader WITH PASSWORD = 'Secret-1234'\nGO\n\
         CREATE USER reader FOR LOGIN reader\nGO\nGRANT SELECT ON SCHEMA::dbo TO reader",
    );
    let source = database.config_as("reader", "Secret-1234").build("shop").unwrap();
    let errors = async || {
        let mut found = source.check(&selection(&["t"])).await.unwrap();
        found.retain(|problem| problem.severity == Severity::Error);
        found
    };
    for problem in errors().await {
        // A session begins in another database.
        database.sim().run_script(&problem.remedy).unwrap_or_else(|error| panic!("{error}: {problem:?}"));
    }
    discovered(source.as_ref(), &["t"]).await;
    assert_eq!(errors().await, []);
}

/// Nothing was said of the tables as long as the capture instances couldn't be seen.
#[tokio::test]
async fn what_is_wrong_is_told_at_once_to_a_user_who_may_not_see_the_capture_instances() {
    let database = Database::start();
    database.run(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)\nGO\nCREATE TABLE dbo.u (id int NOT NULL PRIMARY KEY, twice AS \
         id * 2)\nGO\nCREATE TABLE dbo.bare (id int NULL)\nGO\nCREATE LOGIN reader WITH PASSWORD = \
         'Secret-1234'\nGO\nCREATE USER reader FOR LOGIN reader\nGO\nGRANT SELECT ON SCHEMA::dbo TO reader\nGO\nGRANT VIEW DATABASE STATE TO reader",
    );
    database.capture("t");
    database.capture("bare");
    let source = database.config_as("reader", "Secret-1234").build("shop").unwrap();
    let selection = selection(&["t", "u", "bare", "nothing"]);
    let check = async || {
        let mut found = source.check(&selection).await.unwrap();
        found.retain(|problem| !problem.subject.starts_with("capture job"));
        found
    };
    let first = check().await;
    let subjects = |problems: &[Problem]| problems.iter().map(|problem| problem.subject.clone()).collect::<Vec<_>>();
    let of_u = about(&first, "table dbo.u");
    assert!(of_u.iter().any(|problem| problem.found.contains("no capture instance")), "{first:#?}");
    assert!(of_u.iter().any(|problem| problem.found.contains("twice")), "{first:#?}");
    assert!(about(&first, "table pattern dbo.nothing").len() == 1, "{first:#?}");
    assert!(about(&first, "table dbo.t").is_empty(), "it is captured: {first:#?}");
    database.run(&only(&first, "permission SELECT on schema cdc").remedy);
    let second = check().await;
    let news: Vec<String> =
        subjects(&second).into_iter().filter(|subject| !subjects(&first).contains(subject)).collect();
    // Whether an instance names rows by an index can't be known before.
    assert_eq!(news, ["table dbo.bare"]);
}

#[tokio::test]
async fn texts_in_another_code_page_become_national_ones() {
    let database = Database::start();
    database.run(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a varchar(6000) COLLATE Latin1_General_CI_AS NOT NULL, \
         b char(20) COLLATE Latin1_General_CI_AS NOT NULL, c varchar(max) COLLATE Latin1_General_CI_AS NULL, \
         d varchar(20) NOT NULL)",
    );
    database.capture("t");
    let found = problems(&database, &["t"]).await;
    let problem = found.iter().find(|problem| problem.found.contains("another collation")).unwrap();
    let column = |column: &str| format!("ALTER TABLE [dbo].[t] ALTER COLUMN {column};");
    let statements =
        [column("[a] nvarchar(max) NOT NULL"), column("[b] nchar(20) NOT NULL"), column("[c] nvarchar(max) NULL")];
    assert_eq!(problem.remedy, format!("USE [shop]; {} -- makes them national texts", statements.join(" ")));
    database.run(&problem.remedy);
    let found = problems(&database, &["t"]).await;
    assert!(!found.iter().any(|problem| problem.found.contains("another collation")), "{found:?}");
}

/// The user that the documentation makes can't see how far apart the scans are.
#[tokio::test]
async fn a_slow_capture_job_isnt_taken_for_one_that_stands_still() {
    let clock = Some(Duration::from_secs(1_790_000_000));
    let database = Database::start_with(Options { schedule: Schedule::ByHand, clock, ..Options::default() });
    database.run(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)\nGO\nCREATE LOGIN reader WITH PASSWORD = 'Secret-1234'\nGO\n\
         CREATE USER reader FOR LOGIN reader\nGO\nGRANT SELECT ON SCHEMA::dbo TO reader\nGO\n\
         GRANT SELECT ON SCHEMA::cdc TO reader\nGO\nGRANT VIEW DATABASE STATE TO reader",
    );
    database.capture("t");
    database.run("EXEC sys.sp_cdc_change_job @job_type = N'capture', @pollinginterval = 60");
    let source = database.config_as("reader", "Secret-1234").build("shop").unwrap();
    let of_job = async || {
        let mut found = source.check(&selection(&["t"])).await.unwrap();
        found.retain(|problem| problem.subject == "capture job");
        found
    };
    database.sim().control().scan("shop").unwrap();
    database.sim().control().advance_clock(Duration::from_secs(60));
    assert_eq!(of_job().await, []);
    database.sim().control().advance_clock(Duration::from_secs(3_600));
    let found = of_job().await;
    let problem = only(&found, "capture job");
    assert_eq!(problem.severity, Severity::Warning, "{problem:?}");
    assert!(problem.found.contains("may not see in msdb.dbo.cdc_jobs"), "{problem:?}");
    // As the documentation has it.
    database.run("USE msdb; CREATE USER reader FOR LOGIN reader; GRANT SELECT ON dbo.cdc_jobs TO reader;");
    assert_eq!(only(&of_job().await, "capture job").severity, Severity::Error);
}
