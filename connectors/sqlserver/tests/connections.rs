//! Ways to a server: instances by name, logins by token.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millstream_core::source::Severity;
use millstream_sqlserver::{Authentication, SqlServerConfig, Tls, TlsMode};
use millstream_sqlserver_sim::{Options, Schedule};

use crate::database::{Database, selection};

/// Answers as the SQL Server Browser service does, for one instance, and counts the questions.
fn browser(instance: &'static str, port: u16) -> (u16, Arc<AtomicUsize>) {
    const ASKED_FOR_INSTANCE: u8 = 4;
    const ANSWER: u8 = 5;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut question = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            count.fetch_add(1, Ordering::SeqCst);
            // It says nothing of instances that it doesn't know.
            if question[..length] == [&[ASKED_FOR_INSTANCE], instance.as_bytes()].concat() {
                let text =
                    format!("ServerName;SIM;InstanceName;{instance};IsClustered;No;Version;16.0.1000.6;tcp;{port};;");
                let bytes = u16::try_from(text.len()).unwrap().to_le_bytes();
                let answer = [&[ANSWER], bytes.as_slice(), text.as_bytes()].concat();
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    (at, asked)
}

#[tokio::test]
async fn a_named_instance_is_found_by_the_browser_service() {
    let database = Database::without_capture();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    let (at, asked) = browser("SALES", database.sim().address().port());
    let config = |instance: &str| SqlServerConfig {
        instance: Some(instance.to_owned()),
        tls: Tls { mode: TlsMode::Required, ..Tls::default() },
        ..SqlServerConfig::new(format!("mssql://sa:{}@127.0.0.1:{at}/shop", Options::default().password))
    };
    let source = config("SALES").build("shop").unwrap();
    assert_eq!(source.tables(&selection(&["t"])).await.unwrap().len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    let source = config("BUYING").build("shop").unwrap();
    let error = source.head().await.unwrap_err();
    assert!(error.is_transient(), "the service may come to know it: {error:?}");
    let problems = source.check(&selection(&["t"])).await.unwrap();
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(problem.severity, Severity::Error);
    assert!(problem.found.contains("SQL Server Browser") && problem.found.contains("BUYING"), "{problem:?}");
    assert!(problem.found.contains(&at.to_string()), "{problem:?}");
}

#[tokio::test]
async fn a_login_by_token_reads_the_file_each_time() {
    let token = "eyJ0eXAiOiJKV1QifQ.made-up";
    let schedule = Schedule::Every(Duration::from_millis(20));
    let options = Options { access_token: Some(token.to_owned()), schedule, ..Options::default() };
    let database = Database::start_with(options);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "one-that-ran-out").unwrap();
    let config = SqlServerConfig {
        authentication: Authentication::EntraToken(file.clone()),
        tls: Tls { mode: TlsMode::Required, ..Tls::default() },
        ..SqlServerConfig::new(format!("mssql://localhost:{}/shop", database.sim().address().port()))
    };
    let source = config.clone().build("shop").unwrap();
    let error = source.head().await.unwrap_err();
    assert!(error.is_transient(), "whoever renews the token may be about to: {error:?}");
    let problems = source.check(&selection(&["t"])).await.unwrap();
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.found.contains("18456") && problem.remedy.contains("token"), "{problem:?}");
    assert!(!format!("{problem:?} {error:?}").contains("one-that-ran-out"), "a token shows");

    std::fs::write(&file, format!("{token}\n")).unwrap();
    source.head().await.expect("the file is read again for each connection");

    let tls = Tls { mode: TlsMode::Disabled, ..Tls::default() };
    let fault = SqlServerConfig { tls, ..config }.build("shop").err().unwrap().to_string();
    assert!(fault.contains("access token") && fault.contains("has a fault:"), "{fault}");
}

#[cfg(not(feature = "kerberos"))]
#[test]
fn a_build_without_kerberos_says_so() {
    let config =
        SqlServerConfig { authentication: Authentication::Kerberos, ..SqlServerConfig::new("mssql://db.example/shop") };
    let fault = config.build("shop").err().unwrap().to_string();
    assert!(fault.contains("--features kerberos"), "{fault}");
}
