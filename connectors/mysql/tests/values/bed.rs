//! A table on a real server, followed in the log and read by queries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use millstream_core::change::{Event, RowChange, RowChanges};
use millstream_core::position::Position;
use millstream_core::row::{RowBatch, RowRef};
use millstream_core::schema::TableSchema;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::{Catalog, KeyRange, ReadRequest, ReadScope, SourceConnector};
use millstream_core::value::ValueRef;
use millstream_mysql::MySqlConfig;
use millstream_testkit::{Endpoint, Flavor, ServerOptions, shared_with};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A database of a test's own.
pub struct Bed {
    pub endpoint: Endpoint,
    pub database: String,
    pub source: Arc<dyn SourceConnector>,
}

impl Told {
    /// The rows after all changes, each once however often it is there, in the order of their lines.
    pub fn distinct(&self) -> Vec<String> {
        let mut rows: Vec<String> = self.rows.values().cloned().collect();
        rows.sort();
        rows
    }
}

/// What the log told of a table.
pub struct Told {
    pub schema: Arc<TableSchema>,
    /// A line for each change: `+` and the row, `-` and its identity, `?` and the identity to look up.
    pub lines: Vec<String>,
    /// Whether a row's identity was unknown, so that all rows count as replaced.
    pub replaced: bool,
    /// The rows by their keys, after all changes, with looked up what had to be.
    rows: BTreeMap<Vec<u8>, String>,
}

impl Bed {
    /// One on a server whose log tells little beside the rows, one on a server whose log tells all it can.
    pub async fn all(flavor: Flavor) -> [Bed; 2] {
        let full = ServerOptions::new().set("binlog_row_metadata", "FULL");
        let little = shared_with(flavor, "default", ServerOptions::new()).await.unwrap();
        let all = shared_with(flavor, "all-metadata", full).await.unwrap();
        [Bed::on(little).await, Bed::on(all).await]
    }

    pub async fn on(endpoint: Endpoint) -> Bed {
        let database = endpoint.create_database("values").await.unwrap();
        let source = MySqlConfig::new(endpoint.uri("root", "", &database)).build("test").unwrap();
        Bed { endpoint, database, source }
    }

    /// Statements without any mode that refuses values, with instants in UTC.
    pub async fn sql(&self, statements: &str) {
        let session = "SET NAMES utf8mb4; SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'";
        self.endpoint.sql_in(&self.database, &format!("{session};\n{statements}")).await.unwrap();
    }

    /// Makes a table `t`, and tells how it is and where in the log.
    pub async fn create(&self, columns: &str) -> (Position, Arc<TableSchema>) {
        self.sql(&format!("DROP TABLE IF EXISTS t;\nCREATE TABLE t ({columns}")).await;
        self.found().await
    }

    /// The table `t` as it is, and where in the log.
    pub async fn found(&self) -> (Position, Arc<TableSchema>) {
        let discovery = self.source.discover(&self.selection()).await.unwrap();
        let schema = discovery.tables.into_iter().find(|schema| schema.table.name == "t").expect("t was found");
        (discovery.position, schema)
    }

    pub fn selection(&self) -> Selection {
        Selection { patterns: vec![TablePattern { schema: self.database.clone(), table: "t".into() }] }
    }

    /// What the log tells of the table between a position and now.
    pub async fn told(&self, from: &Position, schema: &Arc<TableSchema>) -> Told {
        let catalog =
            Catalog { selection: self.selection(), tables: vec![(schema.table.clone(), Some(schema.clone()))] };
        let head = self.source.head().await.unwrap();
        let mut stream = self.source.stream(from, catalog).await.unwrap();
        let mut told = Told { schema: schema.clone(), lines: Vec::new(), replaced: false, rows: BTreeMap::new() };
        let mut reached = from.clone();
        while reached < head {
            let delivery = timeout(PATIENCE, stream.next()).await.expect("something comes").unwrap().unwrap();
            for event in delivery.events {
                match event {
                    Event::Rows(changes) => self.take_in(&mut told, &changes).await,
                    Event::Schema(change) if change.kind.word() == "rows replaced" => told.replaced = true,
                    Event::Schema(change) => panic!("the shape changed: {change:?}"),
                }
            }
            if let Some(commit) = delivery.commit {
                reached = commit.position;
            }
        }
        told
    }

    async fn take_in(&self, told: &mut Told, changes: &RowChanges) {
        assert_eq!(changes.rows.len(), changes.changes.len());
        let mut doubtful = RowBatch::new(changes.schema.columns.len());
        let mut key = Vec::new();
        for (row, change) in changes.rows.rows().zip(&changes.changes) {
            changes.schema.row_key(row, &mut key);
            let identity = || {
                let values = changes.schema.identity.columns.iter().map(|index| shown(row.get(*index).unwrap()));
                values.collect::<Vec<_>>().join(",")
            };
            match change {
                RowChange::Upsert => {
                    told.lines.push(format!("+ {}", line(row)));
                    told.rows.insert(key.clone(), line(row));
                }
                RowChange::Delete => {
                    told.lines.push(format!("- {}", identity()));
                    told.rows.remove(&key);
                }
                RowChange::Recheck => {
                    told.lines.push(format!("? {}", identity()));
                    told.rows.remove(&key);
                    doubtful.push_row(row).unwrap();
                }
            }
        }
        for (key, row) in self.read_keys(&changes.schema, doubtful).await {
            told.rows.insert(key, row);
        }
    }

    /// The rows with these identities, as queries give them.
    pub async fn read_keys(&self, schema: &Arc<TableSchema>, identities: RowBatch) -> BTreeMap<Vec<u8>, String> {
        let scope = ReadScope::Keys(identities);
        let chunk = self.source.read(ReadRequest { table: schema.clone(), scope, limit_rows: 0 }).await.unwrap();
        assert_eq!(chunk.next, None);
        keyed(schema, &chunk.rows)
    }

    /// All rows in the order in which queries give them, in chunks of at most so many rows.
    pub async fn read(&self, schema: &Arc<TableSchema>, range: KeyRange, limit_rows: usize) -> RowBatch {
        let mut all = RowBatch::new(schema.columns.len());
        let mut left = range;
        loop {
            let scope = ReadScope::Range(left.clone());
            let request = ReadRequest { table: schema.clone(), scope, limit_rows };
            let chunk = self.source.read(request).await.unwrap();
            assert!(chunk.rows.len() <= limit_rows);
            chunk.rows.rows().for_each(|row| all.push_row(row).unwrap());
            left.after = chunk.next;
            if left.after.is_none() {
                return all;
            }
        }
    }

    /// Makes a table, changes it, and compares what the log told with queries in every manner of reading. Gives the
    /// rows in key order.
    pub async fn rows(&self, columns: &str, statements: &str) -> Vec<String> {
        let (from, schema) = self.create(columns).await;
        self.sql(statements).await;
        let told = self.told(&from, &schema).await;
        assert!(!told.replaced, "the log tells every row");
        self.compare(&told).await
    }

    pub async fn compare(&self, told: &Told) -> Vec<String> {
        let read = self.read(&told.schema, KeyRange::default(), 3).await;
        same("read by range", &told.rows, &keyed(&told.schema, &read));
        assert_eq!(read.len(), told.rows.len(), "no row is read twice");
        let mut identities = RowBatch::new(read.width());
        read.rows().for_each(|row| identities.push_row(row).unwrap());
        same("read by identity", &told.rows, &self.read_keys(&told.schema, identities).await);
        read.rows().map(line).collect()
    }
}

fn same(how: &str, log: &BTreeMap<Vec<u8>, String>, query: &BTreeMap<Vec<u8>, String>) {
    for (key, row) in log {
        assert_eq!(Some(row), query.get(key), "the log and what was {how}");
    }
    for (key, row) in query {
        assert!(log.contains_key(key), "only {how}: {row}");
    }
}

fn keyed(schema: &TableSchema, rows: &RowBatch) -> BTreeMap<Vec<u8>, String> {
    let mut keyed = BTreeMap::new();
    for row in rows.rows() {
        let mut key = Vec::new();
        schema.row_key(row, &mut key);
        keyed.insert(key, line(row));
    }
    keyed
}

pub fn line(row: RowRef<'_>) -> String {
    row.iter().map(shown).collect::<Vec<_>>().join(",")
}

/// One form for each value and no other: `1`, `1.0`, `'text'`, `x00ff`, `NULL`.
pub fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Int(value) => value.to_string(),
        ValueRef::Real(value) => format!("{value:?}"),
        ValueRef::Text(text) => format!("'{text}'"),
        ValueRef::Blob(bytes) => bytes.iter().fold("x".to_owned(), |text, byte| text + &format!("{byte:02x}")),
    }
}
