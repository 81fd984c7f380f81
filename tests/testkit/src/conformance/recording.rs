//! A connector's stream written down, without any pipeline: for what the contract says of the stream itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use tokio::time::timeout;

use millstream_core::change::{Delivery, Event, RowChange, RowChanges};
use millstream_core::error::SourceError;
use millstream_core::position::Position;
use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::schema_change::SchemaChangeKind;
use millstream_core::selection::Selection;
use millstream_core::source::{Catalog, DeliveryStream, ReadRequest, ReadScope, SourceConnector};

use super::model::{State, TableContent};
use super::replica::PATIENCE;
use super::value::{Row, Value};

/// One thing that a stream delivered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Upsert { table: String, key: Vec<Value>, row: Row },
    Delete { table: String, key: Vec<Value> },
    Recheck { table: String, key: Vec<Value>, row: RowBatch, schema: Arc<TableSchema> },
    Schema { table: String, word: &'static str },
}

impl Item {
    pub(super) fn table(&self) -> &str {
        match self {
            Item::Upsert { table, .. }
            | Item::Delete { table, .. }
            | Item::Recheck { table, .. }
            | Item::Schema { table, .. } => table,
        }
    }
}

/// The end of one or several transactions.
#[derive(Debug, Clone)]
pub(super) struct RecordedCommit {
    pub(super) position: Position,
    /// How many items came before it.
    pub(super) items: usize,
    /// What a stream from here starts with.
    pub(super) catalog: Catalog,
}

/// What a stream delivered from a place on.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub(super) items: Vec<Item>,
    pub(super) commits: Vec<RecordedCommit>,
    /// How many deliveries came without a commit.
    pub(super) parts: usize,
    /// The largest delivery.
    pub(super) delivery_bytes_max: usize,
    position: Position,
    catalog: Catalog,
}

impl Recording {
    /// Begins with what is true now.
    pub(super) async fn begin(connector: &dyn SourceConnector, selection: &Selection) -> Self {
        let discovery = connector.discover(selection).await.expect("discover finds the tables");
        let tables = discovery.tables.into_iter().map(|schema| (schema.table.clone(), Some(schema))).collect();
        Self::from(discovery.position, Catalog { selection: selection.clone(), tables })
    }

    pub(super) fn from(position: Position, catalog: Catalog) -> Self {
        let first = RecordedCommit { position: position.clone(), items: 0, catalog: catalog.clone() };
        let (items, commits) = (Vec::new(), vec![first]);
        Self { items, commits, parts: 0, delivery_bytes_max: 0, position, catalog }
    }

    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The schema of a table as it is by now.
    pub(super) fn schema(&self, table: &str) -> Arc<TableSchema> {
        let found = self.catalog.tables.iter().find(|(name, _)| name.name == table);
        let schema = found.unwrap_or_else(|| panic!("table {table} wasn't found")).1.clone();
        schema.unwrap_or_else(|| panic!("the schema of table {table} isn't known"))
    }

    /// A stream that goes on where this ends.
    pub(super) async fn stream(&self, connector: &dyn SourceConnector) -> DeliveryStream {
        let stream = timeout(PATIENCE, connector.stream(&self.position, self.catalog.clone())).await;
        stream.expect("the stream opens in time").expect("the stream opens")
    }

    /// Follows until everything is recorded that is committed by now.
    pub(super) async fn catch_up(&mut self, connector: &dyn SourceConnector) {
        let head = connector.head().await.expect("the head is known");
        if self.position < head {
            let mut stream = self.stream(connector).await;
            self.follow(&mut stream, &head).await;
        }
    }

    pub(super) async fn follow(&mut self, stream: &mut DeliveryStream, until: &Position) {
        while self.position < *until {
            let delivery = next(stream).await.expect("the stream goes on");
            self.take(delivery);
        }
    }

    pub(super) fn take(&mut self, delivery: Delivery) {
        let mut bytes = 0;
        for event in delivery.events {
            match event {
                Event::Rows(changes) => {
                    bytes += changes.rows.size_bytes();
                    self.take_rows(&changes);
                }
                Event::Schema(change) => {
                    let word = change.kind.word();
                    let name = change.table;
                    self.items.push(Item::Schema { table: name.name.clone(), word });
                    let before = self.catalog.tables.iter().position(|(other, _)| *other == name);
                    let before = before.map(|index| self.catalog.tables.remove(index).1);
                    match change.kind {
                        SchemaChangeKind::Created { schema, .. }
                        | SchemaChangeKind::Replaced { schema }
                        | SchemaChangeKind::Altered { schema, .. }
                        | SchemaChangeKind::Settled { schema } => self.catalog.tables.push((name, Some(schema))),
                        SchemaChangeKind::Unreadable { .. } => self.catalog.tables.push((name, None)),
                        SchemaChangeKind::Truncated | SchemaChangeKind::RowsReplaced { .. } => {
                            self.catalog.tables.extend(before.map(|schema| (name, schema)));
                        }
                        SchemaChangeKind::Dropped => {}
                    }
                }
            }
        }
        self.delivery_bytes_max = self.delivery_bytes_max.max(bytes);
        let Some(commit) = delivery.commit else {
            self.parts += 1;
            return;
        };
        assert!(commit.position >= self.position, "a commit at {} follows {}", commit.position, self.position);
        self.position = commit.position.clone();
        let (items, catalog) = (self.items.len(), self.catalog.clone());
        self.commits.push(RecordedCommit { position: commit.position, items, catalog });
    }

    fn take_rows(&mut self, changes: &RowChanges) {
        let schema = &changes.schema;
        let table = &schema.table;
        assert_eq!(changes.rows.len(), changes.changes.len(), "as many changes as rows");
        let is_known = self.catalog.tables.iter().any(|(name, _)| name == table);
        assert!(is_known, "rows of {table}, of which the stream didn't tell that it exists");
        for (row, change) in changes.rows.rows().zip(&changes.changes) {
            let identity = schema.identity.columns.iter();
            let key = identity.map(|index| Value::from(row.get(*index).expect("a value for each column"))).collect();
            let table = table.name.clone();
            self.items.push(match change {
                RowChange::Upsert => Item::Upsert { table, key, row: Row::of(schema, row) },
                RowChange::Delete => Item::Delete { table, key },
                RowChange::Recheck => {
                    let mut one = RowBatch::new(schema.columns.len());
                    one.push_row(row).expect("no value is too long");
                    Item::Recheck { table, key, row: one, schema: Arc::clone(schema) }
                }
            });
        }
    }

    /// Takes back what came after the last commit, as a stream that starts over delivers it again.
    pub(super) fn forget_uncommitted(&mut self) {
        let last = self.commits.last().expect("there is a first");
        self.items.truncate(last.items);
        self.catalog = last.catalog.clone();
    }

    /// What comes of so many items, starting from the contents `before`. What must be asked for is asked for now.
    pub(super) async fn folded(&self, connector: &dyn SourceConnector, before: &State, items: usize) -> State {
        let mut tables: BTreeMap<String, BTreeMap<Vec<Value>, Row>> = BTreeMap::new();
        for (name, content) in before {
            let schema = self.commits.first().and_then(|first| schema_in(&first.catalog, name));
            let Some(schema) = schema else { continue };
            let keyed =
                content.rows().map(|row| (schema.identity_names().map(|name| row.get(name)).collect(), row.clone()));
            tables.insert(name.clone(), keyed.collect());
        }
        for item in self.items.iter().take(items) {
            let rows = tables.entry(item.table().to_owned()).or_default();
            match item {
                Item::Upsert { key, row, .. } => drop(rows.insert(key.clone(), row.clone())),
                Item::Delete { key, .. } => drop(rows.remove(key)),
                Item::Recheck { key, row, schema, .. } => {
                    let scope = ReadScope::Keys(row.clone());
                    let request = ReadRequest { table: Arc::clone(schema), scope, limit_rows: 1 };
                    let chunk = connector.read(request).await.expect("a row can be asked for");
                    match chunk.rows.row(0) {
                        Some(found) => drop(rows.insert(key.clone(), Row::of(schema, found))),
                        None => drop(rows.remove(key)),
                    }
                }
                Item::Schema { table, word } => panic!("{table} {word}: only row changes were made"),
            }
        }
        tables.into_iter().map(|(name, rows)| (name, Arc::new(TableContent::new(rows.into_iter())))).collect()
    }
}

fn schema_in(catalog: &Catalog, table: &str) -> Option<Arc<TableSchema>> {
    catalog.tables.iter().find(|(name, _)| name.name == table).and_then(|(_, schema)| schema.clone())
}

/// The next delivery or error; a stream doesn't end otherwise.
pub(super) async fn next(stream: &mut DeliveryStream) -> Result<Delivery, SourceError> {
    let item = timeout(PATIENCE, stream.next()).await.expect("something comes, if only a sign of life");
    item.expect("a stream ends with an error")
}
