//! A database on a simulated server, and a source that follows it.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use millstream_core::change::{Event, RowChange};
use millstream_core::position::Position;
use millstream_core::row::{RowBatch, RowRef};
use millstream_core::schema::{TableName, TableSchema};
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::{Catalog, Discovery, KeyRange, ReadRequest, ReadScope, SourceConnector};
use millstream_core::value::ValueRef;
use millstream_sqlserver::{SqlServerConfig, Tls, TlsMode};
use millstream_sqlserver_sim::{Options, Schedule, SqlServerSim};

use crate::server::Login;

/// How long anything may take in a test.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the log is scanned.
const SCAN_EVERY: Duration = Duration::from_millis(20);

/// A database called `shop`, with change data capture on.
pub(crate) struct Database {
    sim: SqlServerSim,
    password: String,
}

impl Database {
    pub(crate) fn start() -> Self {
        Self::start_with(Options { schedule: Schedule::Every(SCAN_EVERY), ..Options::default() })
    }

    pub(crate) fn start_with(options: Options) -> Self {
        let database = Self::without_capture_on(options);
        database.run("EXEC sys.sp_cdc_enable_db");
        database
    }

    pub(crate) fn without_capture() -> Self {
        Self::without_capture_on(Options { schedule: Schedule::Every(SCAN_EVERY), ..Options::default() })
    }

    pub(crate) fn without_capture_on(options: Options) -> Self {
        let sim = SqlServerSim::start(&options).expect("the simulated server starts");
        sim.run_script("CREATE DATABASE shop").expect("a database is made");
        Self { sim, password: options.password }
    }

    pub(crate) fn sim(&self) -> &SqlServerSim {
        &self.sim
    }

    /// Runs batches in the database as an administrator.
    pub(crate) fn run(&self, script: &str) {
        self.sim.run_script(&format!("USE shop;\nGO\n{script}")).unwrap_or_else(|error| panic!("{error}\n{script}"));
    }

    /// Has a table of the schema `dbo` captured, and the capture process take notice of it.
    pub(crate) fn capture(&self, table: &str) {
        self.run(&format!(
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', @role_name = NULL, \
             @supports_net_changes = 0"
        ));
    }

    pub(crate) fn uri_as(&self, user: &str, password: &str) -> String {
        format!("mssql://{user}:{password}@localhost:{}/shop", self.sim.address().port())
    }

    /// How an administrator logs in.
    pub(crate) fn login(&self) -> Login {
        Login { port: self.sim.address().port(), password: self.password.clone() }
    }

    pub(crate) fn config(&self) -> SqlServerConfig {
        self.config_as("sa", &self.password)
    }

    pub(crate) fn config_as(&self, user: &str, password: &str) -> SqlServerConfig {
        SqlServerConfig {
            tls: Tls { mode: TlsMode::Required, ..Tls::default() },
            poll_interval_ms: 20,
            ..SqlServerConfig::new(self.uri_as(user, password))
        }
    }

    pub(crate) fn source(&self) -> Arc<dyn SourceConnector> {
        self.config().build("shop").expect("the configuration has no fault")
    }

    /// A position that everything committed before this call lies before.
    pub(crate) async fn head(&self, source: &dyn SourceConnector) -> Position {
        source.head().await.expect("the log has an end")
    }
}

/// What is found of these tables once the capture process has noticed them all.
pub(crate) async fn discovered(source: &dyn SourceConnector, tables: &[&str]) -> Discovery {
    let found = async {
        loop {
            let discovery = source.discover(&selection(tables)).await.expect("discovery succeeds");
            if discovery.tables.len() == tables.len() {
                return discovery;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the tables are captured in time")
}

/// All rows of a table with a key, in small chunks.
pub(crate) async fn read_all(source: &dyn SourceConnector, schema: &Arc<TableSchema>) -> RowBatch {
    let mut rows = RowBatch::new(schema.columns.len());
    let mut range = KeyRange::default();
    loop {
        let scope = ReadScope::Range(range.clone());
        let request = ReadRequest { table: Arc::clone(schema), scope, limit_rows: 3 };
        let chunk = source.read(request).await.expect("a chunk is read");
        chunk.rows.rows().for_each(|row| rows.push_row(row).expect("a row fits"));
        match chunk.next {
            Some(next) => range.after = Some(next),
            None => return rows,
        }
    }
}

/// The first so many row changes after a discovery.
pub(crate) async fn row_changes(
    source: &dyn SourceConnector,
    discovery: &Discovery,
    count: usize,
) -> Vec<(RowChange, Vec<String>)> {
    let names: Vec<&str> = discovery.tables.iter().map(|table| table.table.name.as_str()).collect();
    let tables = discovery.tables.iter().map(|table| (table.table.clone(), Some(Arc::clone(table)))).collect();
    let catalog = Catalog { selection: selection(&names), tables };
    let mut stream = source.stream(&discovery.position, catalog).await.expect("a stream begins");
    let mut changes = Vec::new();
    let taken = async {
        while changes.len() < count {
            let delivery = stream.next().await.expect("the stream goes on").expect("the stream doesn't fail");
            for event in delivery.events {
                match event {
                    Event::Rows(rows) => {
                        changes.extend(rows.changes.iter().copied().zip(rows.rows.rows().map(cells)));
                    }
                    Event::Schema(change) => panic!("{change:?}"),
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("the changes come in time");
    changes
}

pub(crate) fn selection(tables: &[&str]) -> Selection {
    let pattern = |table: &&str| TablePattern { schema: "dbo".into(), table: (*table).into() };
    Selection { patterns: tables.iter().map(pattern).collect() }
}

pub(crate) fn table(name: &str) -> TableName {
    TableName::new("dbo", name)
}

/// A row's values as texts that tell their types.
pub(crate) fn cells(row: RowRef<'_>) -> Vec<String> {
    let cell = |value| match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Int(value) => value.to_string(),
        ValueRef::Real(value) => format!("{value:?}"),
        ValueRef::Text(text) => format!("'{text}'"),
        ValueRef::Blob(bytes) => format!("x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    };
    row.iter().map(cell).collect()
}
