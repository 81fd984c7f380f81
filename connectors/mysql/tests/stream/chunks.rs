//! Chunks of a table over connections that break, and over encrypted ones.

use std::sync::Arc;

use millstream_core::error::SourceError;
use millstream_core::schema::TableSchema;
use millstream_core::source::{Chunk, KeyRange, ReadRequest, ReadScope, SourceConnector};
use millstream_core::value::ValueRef;
use millstream_mysql::{MySqlConfig, TlsMode};
use millstream_testkit::{FaultProxy, Flavor, Server, ServerOptions, require_server};

use super::follow::Fixture;

/// More than what a connection's buffer holds, and than a packet of the protocol.
const LONG_BYTES: [usize; 3] = [1_000, 300_000, 17_000_000];
const ROWS: i64 = 3_000;
/// Two for rows and two for what is asked beside them.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// A table of many short rows, and one of a few long ones.
async fn tables(fixture: &Fixture) -> [Arc<TableSchema>; 2] {
    fixture.sql("CREATE TABLE short (id INT PRIMARY KEY, a VARCHAR(200)); CREATE TABLE long_ (id INT PRIMARY KEY, b LONGBLOB)").await;
    let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, REPEAT('x', 200))")).collect();
    fixture.sql(&format!("INSERT INTO short VALUES {}", rows.join(","))).await;
    for (id, bytes) in LONG_BYTES.into_iter().enumerate() {
        fixture.sql(&format!("INSERT INTO long_ VALUES ({id}, REPEAT('y', {bytes}))")).await;
    }
    let (_, catalog) = fixture.here().await;
    ["short", "long_"].map(|name| {
        let mut tables = catalog.tables.iter();
        tables.find_map(|(table, schema)| schema.clone().filter(|_| table.name == name)).expect("it was found")
    })
}

async fn read(source: &dyn SourceConnector, table: &Arc<TableSchema>, range: KeyRange) -> Result<Chunk, SourceError> {
    let (table, scope) = (Arc::clone(table), ReadScope::Range(range));
    source.read(ReadRequest { table, scope, limit_rows: 1_000 }).await
}

/// All rows' ids, and the length of what each holds.
async fn read_whole(source: &dyn SourceConnector, table: &Arc<TableSchema>) -> Vec<(i64, usize)> {
    let mut rows = Vec::new();
    let mut range = KeyRange::default();
    let mut errors = 0;
    loop {
        let chunk = match read(source, table, range.clone()).await {
            // Of a cut each connection that was idle learns when it is used again.
            Err(error) if error.is_transient() && errors < IDLE_CONNECTIONS_MAX => {
                errors += 1;
                continue;
            }
            outcome => outcome.unwrap(),
        };
        rows.extend(chunk.rows.rows().map(|row| match (row.get(0), row.get(1)) {
            (Some(ValueRef::Int(id)), Some(ValueRef::Text(text))) => (id, text.len()),
            (Some(ValueRef::Int(id)), Some(ValueRef::Blob(bytes))) => (id, bytes.len()),
            other => panic!("{other:?}"),
        }));
        match chunk.next {
            Some(next) => range = KeyRange { after: Some(next), upto: None },
            None => return rows,
        }
    }
}

fn long_rows() -> Vec<(i64, usize)> {
    (0..).zip(LONG_BYTES).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_within_a_chunk_is_transient_and_the_next_read_is_whole() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let options = ServerOptions::new().gtid(flavor).set("max_allowed_packet", "64M");
        let server = Server::start(flavor, options).await.unwrap();
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        let mut fixture = Fixture::new(server.endpoint()).await;
        let uri = format!("mysql://root@127.0.0.1:{}/{}", proxy.port(), fixture.database);
        fixture.source = MySqlConfig::new(uri).build("test").unwrap();
        let [short, long] = tables(&fixture).await;
        let source = &*fixture.source;
        for bytes in [60_000, 100_000, 150_000] {
            proxy.cut_after(bytes);
            let error = read(source, &short, KeyRange::default()).await.unwrap_err();
            assert!(error.is_transient(), "{flavor}: {error}");
            let expected: Vec<_> = (0..ROWS).map(|id| (id, 200)).collect();
            assert!(read_whole(source, &short).await == expected, "{flavor} after a cut at {bytes}");
        }
        proxy.cut_after(10_000_000);
        let mut range = KeyRange::default();
        let error = loop {
            match read(source, &long, range).await {
                Ok(chunk) => range = KeyRange { after: chunk.next, upto: None },
                Err(error) => break error,
            }
        };
        assert!(error.is_transient(), "{flavor}: {error}");
        assert_eq!(read_whole(source, &long).await, long_rows(), "{flavor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_encrypted_where_that_is_asked_for() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let options = ServerOptions::new().tls().set("require_secure_transport", "ON").set("max_allowed_packet", "64M");
        let server = Server::start(flavor, options).await.unwrap();
        let fixture = Fixture::with(server.endpoint(), |config| {
            config.tls.mode = TlsMode::VerifyCa;
            config.tls.ca_certificate = Some(server.ca_certificate().unwrap());
        });
        let fixture = fixture.await;
        let [short, long] = tables(&fixture).await;
        assert_eq!(read_whole(&*fixture.source, &short).await.len(), 3_000, "{flavor}");
        assert_eq!(read_whole(&*fixture.source, &long).await, long_rows(), "{flavor}");
    }
}
