//! What it costs to look for changes where there are none.

use std::time::Duration;

use futures::StreamExt;
use millstream_core::source::Catalog;
use millstream_sqlserver::{ServerUri, SqlServerConfig};
use millstream_sqlserver_sim::Options;
use millstream_testkit::FaultProxy;

use crate::database::{Database, discovered, selection};

/// What the stream has to find out at first, it has found out by then.
const SETTLES_WITHIN: Duration = Duration::from_millis(1_500);
/// A time of many polls. By its end no look at the catalog is due yet.
const WHILE: Duration = Duration::from_secs(2);

/// What the server sends for the polls of a while.
async fn idle_bytes(tables: usize) -> u64 {
    let database = Database::start();
    let names: Vec<String> = (0..tables).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        database.run(&format!("CREATE TABLE dbo.{name} (id int PRIMARY KEY)"));
        database.capture(name);
    }
    let discovery = discovered(&*database.source(), &names).await;
    let proxy = FaultProxy::start(database.sim().address()).await.unwrap();
    let uri = format!("mssql://sa:{}@localhost:{}/shop", Options::default().password, proxy.port());
    let source = SqlServerConfig { uri: ServerUri::new(uri), ..database.config() }.build("shop").unwrap();
    let tables = discovery.tables.into_iter().map(|schema| (schema.table.clone(), Some(schema))).collect();
    let catalog = Catalog { selection: selection(&names), tables };
    let mut stream = source.stream(&discovery.position, catalog).await.unwrap();
    let mut take_in = async |time| {
        let all = async { while stream.next().await.expect("it goes on").is_ok() {} };
        tokio::time::timeout(time, all).await.expect_err("it goes on without an error");
        proxy.bytes_from_server()
    };
    let before = take_in(SETTLES_WITHIN).await;
    take_in(WHILE).await - before
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_polls_cost_the_same_however_many_tables_there_are() {
    let (one, many) = (idle_bytes(1).await, idle_bytes(40).await);
    println!("{one} bytes for one table, {many} for forty");
    assert!(one > 0 && many < one * 3, "{one} bytes for one table, {many} for forty");
}
