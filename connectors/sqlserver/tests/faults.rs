//! What is told when the way to the database, or the user, isn't as it must be.

use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::source::Severity;
use millstream_sqlserver::{SqlServerConfig, Tls, TlsMode};

use crate::database::{Database, discovered, selection};

/// The only problem that `check` finds, which every other call meets as an error.
async fn problem(config: SqlServerConfig) -> (String, String, SourceError) {
    let source = config.build("shop").unwrap();
    let problems = source.check(&selection(&["t"])).await.unwrap();
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(problem.severity, Severity::Error);
    let error = source.head().await.unwrap_err();
    (problem.found.clone(), problem.remedy.clone(), error)
}

#[tokio::test]
async fn a_wrong_password_is_told_with_what_to_correct() {
    let database = Database::without_capture();
    let (found, remedy, error) = problem(database.config_as("sa", "wrong")).await;
    assert!(found.contains("Login failed for user 'sa'") && found.contains("18456"), "{found}");
    assert!(remedy.contains("password"), "{remedy}");
    assert!(!found.contains("wrong") && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_database_that_isnt_there_is_told() {
    let database = Database::without_capture();
    let config = database.config();
    let uri = database.uri_as("sa", "Simulated-1433").replace("/shop", "/shob");
    let (found, remedy, error) = problem(SqlServerConfig { uri: SqlServerConfig::new(uri).uri, ..config }).await;
    assert!(found.contains("4060") && remedy.contains("CREATE USER"), "{found} {remedy}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_server_that_isnt_there_is_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let config = SqlServerConfig::new(format!("mssql://sa:x@localhost:{port}/shop"));
    let (_, remedy, error) = problem(config).await;
    assert!(remedy.contains("start the server"), "{remedy}");
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = SqlServerConfig {
        connect_timeout_seconds: 1,
        ..SqlServerConfig::new(format!("mssql://sa:x@localhost:{port}/shop"))
    };
    let outcome = tokio::time::timeout(Duration::from_secs(10), problem(config)).await;
    let (_, remedy, error) = outcome.expect("gave up in time");
    assert!(remedy.contains("Nothing answers"), "{remedy}");
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_certificate_is_verified_unless_told_otherwise() {
    let database = Database::without_capture();
    let with = |tls| SqlServerConfig { tls, ..database.config() };
    let (found, remedy, error) = problem(with(Tls::default())).await;
    assert!(found.contains("certificate") && remedy.contains("tls.ca_certificate"), "{found} {remedy}");
    assert!(!found.contains("Config::") && !error.is_transient(), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, database.sim().authority_pem()).unwrap();
    let verified = Tls { ca_certificate: Some(authority.clone()), ..Tls::default() };
    for mode in [TlsMode::VerifyIdentity, TlsMode::Strict] {
        let source = with(Tls { mode, ..verified.clone() }).build("shop").unwrap();
        source.tables(&selection(&["t"])).await.unwrap();
    }
    let another_name = Tls { certificate_host: Some("elsewhere.example".into()), ..verified };
    assert!(!problem(with(another_name)).await.2.is_transient());
}

#[tokio::test]
async fn only_the_login_is_encrypted_where_encryption_is_off() {
    let database = Database::without_capture();
    let tls = Tls { mode: TlsMode::Disabled, ..Tls::default() };
    let source = SqlServerConfig { tls, ..database.config() }.build("shop").unwrap();
    source.tables(&selection(&["t"])).await.unwrap();
}

#[tokio::test]
async fn a_user_without_permissions_is_told_every_grant() {
    let database = Database::start();
    database.run(
        "CREATE LOGIN reader WITH PASSWORD = 'Secret-1234'\nGO\nCREATE USER reader FOR LOGIN reader\nGO\n\
         CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)",
    );
    database.capture("t");
    discovered(database.source().as_ref(), &["t"]).await;
    let source = database.config_as("reader", "Secret-1234").build("shop").unwrap();
    assert!(matches!(source.head().await.unwrap_err(), SourceError::Definite { .. }));
    // The statements that are told are enough, run as they stand.
    let mut granted = Vec::new();
    loop {
        let problems = source.check(&selection(&["t"])).await.unwrap();
        let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        if errors.is_empty() {
            break;
        }
        for problem in errors {
            let grant = problem.remedy.split(" -- or ").next().unwrap().to_owned();
            assert!(!granted.contains(&grant), "{grant} doesn't mend {problem:?}");
            database.run(&grant);
            granted.push(grant);
        }
    }
    granted.sort_unstable();
    let expected = [
        "USE [shop]; GRANT SELECT ON SCHEMA::cdc TO [reader];",
        "USE [shop]; GRANT SELECT ON [dbo].[t] TO [reader];",
        "USE [shop]; GRANT VIEW DATABASE PERFORMANCE STATE TO [reader];",
    ];
    assert_eq!(granted, expected);
    discovered(source.as_ref(), &["t"]).await;
    source.head().await.unwrap();
}
