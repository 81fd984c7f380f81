//! Starting, stopping and killing servers, and SQL on them.

use millstream_testkit::{Error, Flavor, Server, ServerOptions, may_run, require_server, shared, shared_with};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts};

async fn starts_stops_and_restarts(flavor: Flavor) {
    let mut server = Server::start(flavor, ServerOptions::new()).await.unwrap();
    let port = server.port();
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b TEXT)").await.unwrap();
    server.sql_in("d", "INSERT INTO t VALUES (1, 'one'); INSERT INTO t VALUES (2, NULL)").await.unwrap();

    server.restart().await.unwrap();
    server.kill().await.unwrap();
    assert!(!server.is_running());
    assert!(matches!(server.sql("DO 1").await, Err(Error::Sql { .. })));
    server.restart().await.unwrap();

    let rows = server.rows("SELECT * FROM d.t ORDER BY a").await.unwrap();
    let expected = vec![vec![Some("1".to_owned()), Some("one".to_owned())], vec![Some("2".to_owned()), None]];
    assert_eq!(rows, expected);
    assert_eq!(server.port(), port);
    assert_eq!(server.value("SELECT @@log_bin, @@binlog_format").await.unwrap(), Some("1".to_owned()));
    assert_eq!(server.value("SELECT @@binlog_format").await.unwrap(), Some("ROW".to_owned()));
    assert_eq!(server.value("SELECT NULL").await.unwrap(), None);
}

#[tokio::test]
async fn mysql_starts_stops_and_restarts() {
    require_server!(Flavor::MySql);
    starts_stops_and_restarts(Flavor::MySql).await;
}

#[tokio::test]
async fn mariadb_starts_stops_and_restarts() {
    require_server!(Flavor::MariaDb);
    starts_stops_and_restarts(Flavor::MariaDb).await;
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing() {
    for flavor in Flavor::ALL {
        if !may_run(flavor) {
            continue;
        }
        let server = Server::start(flavor, ServerOptions::new()).await.unwrap();
        let (data, id) = (server.data_dir().unwrap(), server.process_id().unwrap());
        assert!(process_runs(id) && data.is_dir());
        drop(server);
        assert!(!process_runs(id), "the server lives on");
        assert!(!data.exists(), "its data is still there");
    }
}

fn process_runs(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

#[tokio::test]
async fn settings_reach_the_server() {
    require_server!(Flavor::MySql);
    let options = ServerOptions::new().gtid(Flavor::MySql).set("binlog_row_metadata", "FULL");
    let mut server = Server::start(Flavor::MySql, options).await.unwrap();
    assert_eq!(server.value("SELECT @@gtid_mode").await.unwrap().as_deref(), Some("ON"));
    assert_eq!(server.value("SELECT @@binlog_row_metadata").await.unwrap().as_deref(), Some("FULL"));

    server.restart_with(ServerOptions::new().flag("skip-log-bin")).await.unwrap();
    assert_eq!(server.value("SELECT @@log_bin").await.unwrap().as_deref(), Some("0"));
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_is_reported_with_its_log() {
    require_server!(Flavor::MySql);
    let error = Server::start(Flavor::MySql, ServerOptions::new().set("no_such_setting", "1")).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("no_such_setting"), "{message}");
}

#[tokio::test]
async fn a_failing_statement_is_named() {
    for flavor in Flavor::ALL {
        if !may_run(flavor) {
            continue;
        }
        let server = shared(flavor).await.unwrap();
        // The second of two statements: its fault must not be swallowed.
        let error = server.sql("DO 1; SELECT * FROM no_such.thing").await.unwrap_err();
        assert!(error.to_string().contains("no_such.thing"), "{error}");
    }
}

#[tokio::test]
async fn users_connect_over_tcp() {
    for flavor in Flavor::ALL {
        if !may_run(flavor) {
            continue;
        }
        let server = shared_with(flavor, "users", ServerOptions::new()).await.unwrap();
        server.create_replication_user("reader", "secret").await.unwrap();
        server.create_user("nobody", "secret", "").await.unwrap();
        let database = server.create_database("d").await.unwrap();
        for (user, password, works) in
            [("reader", "secret", true), ("reader", "wrong", false), ("root", "", true), ("nobody", "secret", false)]
        {
            let uri = server.uri(user, password, &database) + "?prefer_socket=false";
            let opts = mysql_async::Opts::from_url(&uri).unwrap();
            let outcome = mysql_async::Conn::new(opts).await;
            assert_eq!(outcome.is_ok(), works, "{flavor} {user} {password}: {:?}", outcome.err());
        }
    }
}

#[tokio::test]
async fn shared_servers_are_shared_by_name() {
    require_server!(Flavor::MariaDb);
    let (first, second) = tokio::join!(shared(Flavor::MariaDb), shared(Flavor::MariaDb));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.port(), second.port());
    assert_ne!(first.create_database("d").await.unwrap(), second.create_database("d").await.unwrap());
}

#[tokio::test]
async fn a_frozen_server_is_silent_until_thawed() {
    require_server!(Flavor::MariaDb);
    let mut server = Server::start(Flavor::MariaDb, ServerOptions::new()).await.unwrap();
    server.freeze().unwrap();
    let silence = std::time::Duration::from_millis(300);
    let endpoint = server.endpoint();
    let mut statement = tokio::spawn(async move { endpoint.sql("DO 1").await });
    assert!(tokio::time::timeout(silence, &mut statement).await.is_err(), "it answered");
    server.thaw().unwrap();
    statement.await.unwrap().unwrap();
}

#[tokio::test]
async fn tls_can_be_required() {
    for flavor in Flavor::ALL {
        if !may_run(flavor) {
            continue;
        }
        let options = ServerOptions::new().tls().set("require_secure_transport", "ON");
        let server = Server::start(flavor, options).await.unwrap();
        server.create_replication_user("reader", "secret").await.unwrap();
        let plain = || {
            let builder = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(server.port());
            builder.user(Some("reader")).pass(Some("secret")).prefer_socket(false)
        };
        assert!(Conn::new(plain()).await.is_err(), "{flavor} let in a connection without TLS");

        let tls = SslOpts::default().with_root_certs(vec![server.ca_certificate().unwrap().into()]);
        let mut connection = Conn::new(plain().ssl_opts(tls)).await.unwrap();
        let cipher: Option<(String, String)> = connection.query_first("SHOW STATUS LIKE 'Ssl_cipher'").await.unwrap();
        assert!(!cipher.unwrap().1.is_empty());
    }
}
