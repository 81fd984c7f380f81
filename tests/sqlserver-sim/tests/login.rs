//! Logging in.

use tiberius::{AuthMethod, EncryptionLevel};

use crate::client::{config, connect_with, start, wary_config};

#[tokio::test]
async fn every_level_of_encryption_logs_in() {
    let sim = start();
    for level in [
        EncryptionLevel::NotSupported,
        EncryptionLevel::Off,
        EncryptionLevel::On,
        EncryptionLevel::Required,
        EncryptionLevel::Strict,
    ] {
        let mut config = config(&sim);
        config.encryption(level);
        let mut client = connect_with(config).await.unwrap_or_else(|error| panic!("{level:?}: {error}"));
        let query = "SELECT encrypt_option FROM sys.dm_exec_connections WHERE session_id = @@SPID";
        let row = client.simple_query(query).await.unwrap().into_row().await.unwrap().unwrap();
        // Off still encrypts the login.
        let all = !matches!(level, EncryptionLevel::NotSupported | EncryptionLevel::Off);
        assert_eq!(row.get::<&str, _>(0), Some(if all { "TRUE" } else { "FALSE" }), "{level:?}");
    }
}

#[tokio::test]
async fn the_certificate_can_be_checked() {
    let sim = start();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, sim.authority_pem()).unwrap();
    let mut checked = wary_config(&sim);
    checked.trust_cert_ca(authority.display());
    connect_with(checked).await.unwrap();

    let stranger = start();
    std::fs::write(&authority, stranger.authority_pem()).unwrap();
    let mut checked = wary_config(&sim);
    checked.trust_cert_ca(authority.display());
    assert!(connect_with(checked).await.is_err(), "another authority's certificate was taken");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_login_are_refused_alike() {
    let sim = start();
    for (user, password) in [("sa", "wrong"), ("nobody", "wrong"), ("sa", "")] {
        let mut config = config(&sim);
        config.authentication(AuthMethod::sql_server(user, password));
        let error = connect_with(config).await.unwrap_err();
        assert_eq!(error.code(), Some(18_456), "{error}");
        assert!(error.to_string().contains(&format!("Login failed for user '{user}'.")), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_isnt_there_is_refused() {
    let sim = start();
    let mut config = config(&sim);
    config.database("nowhere");
    assert_eq!(connect_with(config).await.unwrap_err().code(), Some(4060));
}
