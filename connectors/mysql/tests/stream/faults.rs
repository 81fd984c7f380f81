//! Connections that break, servers that go away or are replaced, logs that are gone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_core::change::{Event, RowChange};
use millstream_core::error::SourceError;
use millstream_core::value::ValueRef;
use millstream_mysql::{MySqlConfig, Tls, TlsMode};
use millstream_testkit::{FaultProxy, Flavor, Server, ServerOptions, require_server, shared_with, skip};

use super::follow::{Fixture, Follow};

async fn fixture_through(proxy: &FaultProxy, server: &Server) -> Fixture {
    let mut fixture = Fixture::new(server.endpoint()).await;
    let uri = format!("mysql://root@127.0.0.1:{}/{}", proxy.port(), fixture.database);
    fixture.source = MySqlConfig::new(uri).build("test").unwrap();
    fixture
}

/// The rows of a table with two INT columns, as the deliveries make them. Parts count at their commit.
#[derive(Default)]
struct Model {
    rows: BTreeMap<i64, i64>,
    open: Vec<(RowChange, i64, Option<i64>)>,
    changes: usize,
}

impl Model {
    fn apply(&mut self, delivery: &millstream_core::change::Delivery) {
        let int = |value| match value {
            Some(ValueRef::Int(value)) => Some(value),
            _ => None,
        };
        for event in &delivery.events {
            let Event::Rows(changes) = event else { panic!("{event:?}") };
            for (row, change) in changes.rows.rows().zip(&changes.changes) {
                self.open.push((*change, int(row.get(0)).unwrap(), int(row.get(1))));
            }
        }
        if delivery.commit.is_some() {
            for (change, id, value) in self.open.drain(..) {
                self.changes += 1;
                match change {
                    RowChange::Upsert => drop(self.rows.insert(id, value.unwrap())),
                    RowChange::Delete => drop(self.rows.remove(&id).expect("what is deleted was there")),
                    RowChange::Recheck => panic!("nothing to look up"),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_and_repeat_nothing() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let server = Server::start(flavor, ServerOptions::new().gtid(flavor)).await.unwrap();
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        let fixture = fixture_through(&proxy, &server).await;
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT)").await;
        let (start, catalog) = fixture.here().await;
        let mut changes = 0;
        for round in 0..60 {
            let values: Vec<String> = (0..200).map(|row| format!("({}, {round})", round * 200 + row)).collect();
            let gone = if round > 0 { (round - 1) * 200 } else { -1 };
            let statements = format!(
                "BEGIN; INSERT INTO t VALUES {}; UPDATE t SET a = a + 1 WHERE id >= {}; DELETE FROM t WHERE id = {gone}; COMMIT",
                values.join(","),
                round * 200
            );
            fixture.sql(&statements).await;
            changes += 400 + usize::from(gone >= 0);
        }
        let head = fixture.source.head().await.unwrap();
        let mut model = Model::default();
        let mut position = start;
        let mut cuts = 0;
        while position < head {
            let Ok(stream) = fixture.source.stream(&position, catalog.clone()).await else { continue };
            let mut follow = Follow::new(stream, position.clone(), fixture.source.clone());
            proxy.cut_after(20_000 + 1_777 * cuts);
            model.open.clear();
            while follow.position < head {
                match follow.next().await {
                    Ok(delivery) => model.apply(&delivery),
                    Err(error) => {
                        assert!(error.is_transient(), "{error}");
                        cuts += 1;
                        break;
                    }
                }
            }
            position = follow.position;
        }
        assert!(cuts > 3, "only {cuts} cuts");
        assert_eq!(model.changes, changes, "{flavor}");
        let rows = server.rows(&format!("SELECT id, a FROM {}.t", fixture.database)).await.unwrap();
        let expected: BTreeMap<i64, i64> = rows
            .iter()
            .map(|row| (row[0].as_ref().unwrap().parse().unwrap(), row[1].as_ref().unwrap().parse().unwrap()))
            .collect();
        assert_eq!(model.rows, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_log_is_a_lost_position() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        for options in [ServerOptions::new(), ServerOptions::new().gtid(flavor)] {
            let server = Server::start(flavor, options).await.unwrap();
            let fixture = Fixture::new(server.endpoint()).await;
            fixture.sql("CREATE TABLE t (id INT PRIMARY KEY)").await;
            let (position, catalog) = fixture.here().await;
            fixture.sql("FLUSH BINARY LOGS; INSERT INTO t VALUES (1); FLUSH BINARY LOGS").await;
            purge_all_but_the_last(&server).await;
            let error = outcome(&fixture, &position, catalog.clone()).await;
            assert!(matches!(error, SourceError::PositionLost { .. }), "{flavor}: {error}");
            // What is discovered afterwards comes after everything before.
            let (again, catalog) = fixture.here().await;
            assert!(again > position, "{again} after {position}");
            let mut follow = fixture.follow_from(&again, catalog).await;
            fixture.sql("INSERT INTO t VALUES (2)").await;
            assert_eq!(follow.lines().await, ["t + 2"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_log_is_a_lost_position() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let server = Server::start(flavor, ServerOptions::new().gtid(flavor)).await.unwrap();
        let fixture = Fixture::new(server.endpoint()).await;
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)").await;
        let (position, catalog) = fixture.here().await;
        let reset = if flavor == Flavor::MySql { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" };
        fixture.sql(reset).await;
        fixture.sql("INSERT INTO t VALUES (3)").await;
        let error = outcome(&fixture, &position, catalog).await;
        assert!(matches!(error, SourceError::PositionLost { .. }), "{flavor}: {error}");
        let (again, _) = fixture.here().await;
        assert!(again > position, "{again} after {position}");
    }
}

/// A server keeps files for a while that its engines haven't confirmed.
async fn purge_all_but_the_last(server: &Server) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut files = server.rows("SHOW BINARY LOGS").await.unwrap();
        if files.len() == 1 {
            return;
        }
        let last = files.pop().unwrap()[0].clone().unwrap();
        server.sql(&format!("PURGE BINARY LOGS TO '{last}'")).await.unwrap();
        assert!(Instant::now() < deadline, "{} files are left", files.len());
    }
}

async fn outcome(
    fixture: &Fixture,
    position: &millstream_core::position::Position,
    catalog: millstream_core::source::Catalog,
) -> SourceError {
    match fixture.source.stream(position, catalog).await {
        Err(error) => error,
        Ok(stream) => {
            let mut follow = Follow::new(stream, position.clone(), fixture.source.clone());
            loop {
                match follow.next().await {
                    Err(error) => break error,
                    Ok(delivery) if delivery.events.is_empty() => {}
                    Ok(delivery) => panic!("{delivery:?}"),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_goes_on_by_gtid() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let options = ServerOptions::new().gtid(flavor).set("log_replica_updates", "ON");
        let options =
            if flavor == Flavor::MariaDb { ServerOptions::new().set("log_slave_updates", "ON") } else { options };
        let first = Server::start(flavor, options.clone()).await.unwrap();
        let second = Server::start(flavor, options).await.unwrap();
        let port = first.port();
        let replicate = match flavor {
            Flavor::MySql => format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', \
                 SOURCE_AUTO_POSITION = 1; START REPLICA"
            ),
            Flavor::MariaDb => format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', \
                 MASTER_USE_GTID = slave_pos; START SLAVE"
            ),
        };
        second.sql(&replicate).await.unwrap();
        let proxy = FaultProxy::start(first.address()).await.unwrap();
        let fixture = fixture_through(&proxy, &first).await;
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
        let (position, catalog) = fixture.here().await;
        let mut follow = fixture.follow_from(&position, catalog.clone()).await;
        fixture.sql("INSERT INTO t VALUES (2)").await;
        assert_eq!(follow.lines().await, ["t + 2"]);
        fixture.sql("INSERT INTO t VALUES (3)").await;
        // Another file and offset there, with other lengths before it.
        second.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS").await.unwrap();
        let count = format!("SELECT COUNT(*) FROM {}.t", fixture.database);
        let deadline = Instant::now() + Duration::from_secs(30);
        while second.value(&count).await.ok().flatten().as_deref() != Some("3") {
            assert!(Instant::now() < deadline, "the replica doesn't follow");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let position = follow.position.clone();
        drop(follow);
        proxy.set_target(second.address());
        proxy.cut_all();
        // Readers notice on their own that their connections are gone.
        while fixture.source.head().await.is_err() {}
        second.sql(&format!("INSERT INTO {}.t VALUES (4)", fixture.database)).await.unwrap();
        let mut follow = fixture.follow_from(&position, catalog).await;
        let lines = follow.lines().await;
        // The delivery of 3 may have come before the failover as well.
        assert!(lines == ["t + 3", "t + 4"] || lines == ["t + 4"], "{flavor}: {lines:?}");
        assert!(follow.position > position && follow.position.token().contains("epoch=1"), "{}", follow.position);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_noticed_and_an_idle_one_isnt() {
    require_server!(Flavor::MySql);
    let mut server = Server::start(Flavor::MySql, ServerOptions::new()).await.unwrap();
    let fixture = Fixture::new(server.endpoint()).await;
    let mut follow = fixture.follow().await;
    for _ in 0..3 {
        let begun = Instant::now();
        let delivery = follow.next().await.unwrap();
        assert!(delivery.events.is_empty());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    server.freeze().unwrap();
    let begun = Instant::now();
    let error = loop {
        if let Err(error) = follow.next().await {
            break error;
        }
    };
    assert!(error.is_transient(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    server.thaw().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_is_encrypted() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        every_connection_is_encrypted_to(flavor).await;
    }
}

async fn every_connection_is_encrypted_to(flavor: Flavor) {
    let options = ServerOptions::new().tls().set("require_secure_transport", "ON");
    let server = Server::start(flavor, options).await.unwrap();
    for mode in [TlsMode::Preferred, TlsMode::Required, TlsMode::VerifyCa] {
        let fixture = Fixture::with(server.endpoint(), |config| {
            config.tls.mode = mode;
            config.tls.ca_certificate = (mode == TlsMode::VerifyCa).then(|| server.ca_certificate().unwrap());
        })
        .await;
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut follow = fixture.follow().await;
        fixture.sql("INSERT INTO t VALUES (1)").await;
        assert_eq!(follow.lines().await, ["t + 1"], "{mode:?}");
    }
    every_certificate_is_verified_as_asked(&server).await;
    for mode in [TlsMode::Disabled, TlsMode::VerifyIdentity, TlsMode::VerifyCa] {
        let fixture = Fixture::with(server.endpoint(), |config| config.tls.mode = mode).await;
        let error = fixture.source.head().await.unwrap_err();
        assert!(matches!(error, SourceError::Definite { .. }), "{mode:?}: {error:?}");
    }
}

/// By a name that isn't the certificate's.
async fn every_certificate_is_verified_as_asked(server: &Server) {
    for (mode, is_good) in [(TlsMode::VerifyCa, true), (TlsMode::VerifyIdentity, false)] {
        let mut config = MySqlConfig::new(server.uri("root", "", "").replace("127.0.0.1", "localhost"));
        config.tls = Tls { mode, ca_certificate: Some(server.ca_certificate().unwrap()), ..Tls::default() };
        let head = config.build("test").unwrap().head().await;
        assert_eq!(head.is_ok(), is_good, "{mode:?}: {head:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_open_every_connection() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    let sha2 = "IDENTIFIED WITH caching_sha2_password BY 'se''cret'";
    let native = "IDENTIFIED VIA mysql_native_password USING PASSWORD('se''cret')";
    // The first login of a user takes the whole exchange, later ones a shorter one.
    passwords_open(Flavor::MySql, "plain_first", sha2, &[TlsMode::Disabled, TlsMode::Required]).await;
    passwords_open(Flavor::MySql, "tls_first", sha2, &[TlsMode::Required, TlsMode::Disabled]).await;
    passwords_open(Flavor::MariaDb, "native", native, &[TlsMode::Disabled, TlsMode::Preferred]).await;
}

#[tokio::test]
async fn passwords_open_every_connection_by_ed25519() {
    require_server!(Flavor::MariaDb);
    let endpoint = shared_with(Flavor::MariaDb, "default", ServerOptions::new()).await.unwrap();
    let there = "SELECT COUNT(*) FROM information_schema.plugins WHERE plugin_name = 'ed25519'";
    let installed = endpoint.sql("INSTALL SONAME 'auth_ed25519'").await;
    if endpoint.value(there).await.unwrap().as_deref() != Some("1") {
        return skip(&format!("this MariaDB has no plugin auth_ed25519: {installed:?}"));
    }
    let identified = "IDENTIFIED VIA ed25519 USING PASSWORD('se''cret')";
    passwords_open(Flavor::MariaDb, "ed25519", identified, &[TlsMode::Preferred]).await;
}

async fn passwords_open(flavor: Flavor, user: &str, identified: &str, modes: &[TlsMode]) {
    let endpoint = shared_with(flavor, "default", ServerOptions::new()).await.unwrap();
    let grant = format!("GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}");
    endpoint.sql(&format!("CREATE USER {user} {identified}; {grant}")).await.unwrap();
    for mode in modes {
        let mut fixture = Fixture::new(endpoint.clone()).await;
        let with = |password: &str| {
            let mut config = MySqlConfig::new(endpoint.uri(user, password, &fixture.database));
            config.tls.mode = *mode;
            config.build("test").unwrap()
        };
        let (right, wrong) = (with("se'cret"), with("other"));
        let error = wrong.head().await.unwrap_err();
        assert!(matches!(error, SourceError::Definite { .. }), "{identified}: {error:?}");
        fixture.source = right;
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut follow = fixture.follow().await;
        fixture.sql("INSERT INTO t VALUES (1)").await;
        assert_eq!(follow.lines().await, ["t + 1"], "{identified} {mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_with_the_same_id_is_no_lost_position() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let endpoint = shared_with(flavor, "default", ServerOptions::new()).await.unwrap();
        let with_id = |config: &mut MySqlConfig| config.server_id = Some(4_000_000_001);
        let first = Fixture::with(endpoint.clone(), with_id).await;
        first.sql("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (position, catalog) = first.here().await;
        let mut follow = first.follow_from(&position, catalog.clone()).await;
        let second = Fixture::with(endpoint, with_id).await;
        let _other = second.follow().await;
        // The server ends the older of the two, with the error by which it also says that files are gone.
        let error = loop {
            if let Err(error) = follow.next().await {
                break error;
            }
        };
        assert!(error.is_transient(), "{flavor}: {error}");
        let mut again = first.follow_from(&follow.position, catalog).await;
        first.sql("INSERT INTO t VALUES (1)").await;
        assert_eq!(again.lines().await, ["t + 1"]);
    }
}
