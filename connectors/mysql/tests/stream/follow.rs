//! Following a source and writing down what comes, one line an event.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use millstream_core::change::{Delivery, Event, RowChange};
use millstream_core::error::SourceError;
use millstream_core::position::Position;
use millstream_core::schema::TableSchema;
use millstream_core::schema_change::SchemaChangeKind;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::{Catalog, DeliveryStream, SourceConnector};
use millstream_core::value::ValueRef;
use millstream_mysql::MySqlConfig;
use millstream_testkit::Endpoint;
use tokio::time::timeout;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source on one database of a server.
pub struct Fixture {
    pub endpoint: Endpoint,
    pub database: String,
    pub source: Arc<dyn SourceConnector>,
    pub selection: Selection,
}

impl Fixture {
    /// A database of its own, all of whose tables are selected.
    pub async fn new(endpoint: Endpoint) -> Self {
        Self::with(endpoint, |_| {}).await
    }

    pub async fn with(endpoint: Endpoint, edit: impl FnOnce(&mut MySqlConfig)) -> Self {
        let database = endpoint.create_database("stream").await.unwrap();
        let mut config = MySqlConfig::new(endpoint.uri("root", "", &database));
        edit(&mut config);
        let source = config.build("test").unwrap();
        let selection = Selection { patterns: vec![TablePattern { schema: database.clone(), table: "%".into() }] };
        Self { endpoint, database, source, selection }
    }

    pub fn select(&mut self, tables: &[&str]) {
        let pattern = |table: &&str| TablePattern { schema: self.database.clone(), table: (*table).to_owned() };
        self.selection.patterns = tables.iter().map(pattern).collect();
    }

    pub async fn sql(&self, statements: &str) {
        self.endpoint.sql_in(&self.database, statements).await.unwrap();
    }

    /// Tries until the server accepts it: what another session prepared is known only once that session has ended.
    pub async fn until_sql(&self, statements: &str) {
        for _ in 0..100 {
            match self.endpoint.sql_in(&self.database, statements).await {
                Ok(()) => return,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
        self.sql(statements).await;
    }

    /// What is true now, as a place to follow from.
    pub async fn here(&self) -> (Position, Catalog) {
        let discovery = self.source.discover(&self.selection).await.unwrap();
        let tables = discovery.tables.into_iter().map(|schema| (schema.table.clone(), Some(schema))).collect();
        (discovery.position, Catalog { selection: self.selection.clone(), tables })
    }

    pub async fn follow_from(&self, position: &Position, catalog: Catalog) -> Follow {
        let stream = self.source.stream(position, catalog).await.unwrap();
        Follow::new(stream, position.clone(), self.source.clone())
    }

    pub async fn follow(&self) -> Follow {
        let (position, catalog) = self.here().await;
        self.follow_from(&position, catalog).await
    }
}

/// A stream being read.
pub struct Follow {
    pub stream: DeliveryStream,
    pub position: Position,
    source: Arc<dyn SourceConnector>,
    /// How many deliveries came without a commit.
    pub parts: usize,
    pub transactions: u32,
}

impl Follow {
    pub fn new(stream: DeliveryStream, position: Position, source: Arc<dyn SourceConnector>) -> Self {
        Self { stream, position, source, parts: 0, transactions: 0 }
    }

    /// The next delivery or error.
    pub async fn next(&mut self) -> Result<Delivery, SourceError> {
        let item = timeout(PATIENCE, self.stream.next()).await.expect("something comes");
        let delivery = item.expect("a stream ends with an error")?;
        match &delivery.commit {
            Some(commit) => {
                assert!(commit.position >= self.position, "{} after {}", commit.position, self.position);
                self.position = commit.position.clone();
                self.transactions += commit.transactions;
            }
            None => self.parts += 1,
        }
        Ok(delivery)
    }

    /// Everything up to now, one line an event, tables without their database.
    pub async fn lines(&mut self) -> Vec<String> {
        let head = self.source.head().await.unwrap();
        let mut lines = Vec::new();
        while self.position < head {
            let delivery = self.next().await.unwrap();
            delivery.events.iter().for_each(|event| lines.extend(shown(event)));
        }
        lines
    }
}

/// An event as text: `t + 1,a` for a row that exists, `t - 1` for one that is gone, `t ? 1` for one to look up.
pub fn shown(event: &Event) -> Vec<String> {
    match event {
        Event::Rows(changes) => {
            assert_eq!(changes.rows.len(), changes.changes.len());
            let name = &changes.schema.table.name;
            let row = |(row, change): (millstream_core::row::RowRef<'_>, &RowChange)| {
                let identity = &changes.schema.identity.columns;
                let values: Vec<String> = match change {
                    RowChange::Upsert => row.iter().map(value).collect(),
                    _ => identity.iter().map(|index| value(row.get(*index).unwrap())).collect(),
                };
                let sign = match change {
                    RowChange::Upsert => "+",
                    RowChange::Delete => "-",
                    RowChange::Recheck => "?",
                };
                format!("{name} {sign} {}", values.join(","))
            };
            changes.rows.rows().zip(&changes.changes).map(row).collect()
        }
        Event::Schema(change) => {
            let detail = match &change.kind {
                SchemaChangeKind::Created { schema, empty: true } => format!(" empty {}", columns(schema)),
                SchemaChangeKind::Altered { schema, rows_replaced: true, .. } => {
                    format!(" {} and rows", columns(schema))
                }
                SchemaChangeKind::Created { schema, empty: false }
                | SchemaChangeKind::Replaced { schema }
                | SchemaChangeKind::Altered { schema, .. }
                | SchemaChangeKind::Settled { schema } => format!(" {}", columns(schema)),
                _ => String::new(),
            };
            vec![format!("{} {}{detail}", change.table.name, change.kind.word())]
        }
    }
}

fn columns(schema: &TableSchema) -> String {
    let columns: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    format!("({})", columns.join(","))
}

fn value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Int(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(text) => text.into(),
        ValueRef::Blob(bytes) => format!("{bytes:02x?}"),
    }
}
