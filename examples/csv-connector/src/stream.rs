//! The journal's entries as deliveries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use millstream_core::change::{Commit, Delivery, Event, RowChange, RowChanges};
use millstream_core::error::SourceError;
use millstream_core::row::ValueTooLong;
use millstream_core::schema::TableSchema;
use millstream_core::schema_change::{SchemaChange, SchemaChangeKind};
use millstream_core::source::{Catalog, DeliveryStream};
use tokio::time::{Instant, sleep};

use crate::connector::CsvSource;
use crate::journal::{Change, Entry, Tables, position};
use crate::table::{Fields, MEND, full_name, push, push_identity, schema};

/// How often the directory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often a stream says that it lives while nothing happens; the contract asks for ten seconds at most.
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(5);

/// A stream at some place of the journal.
struct Follower {
    source: CsvSource,
    catalog: Catalog,
    /// The shapes of the tables that the core knows of; `None` while one isn't known.
    schemas: BTreeMap<String, Option<Arc<TableSchema>>>,
    reached: u64,
    /// What has to be said before anything else.
    first: Vec<Event>,
}

/// The deliveries after a place; `tables` are the ones there.
pub(crate) fn follow(source: CsvSource, reached: u64, catalog: Catalog, tables: &Tables) -> DeliveryStream {
    let mut follower = Follower { source, schemas: BTreeMap::new(), reached, first: Vec::new(), catalog };
    for (name, known) in follower.catalog.tables.clone() {
        follower.schemas.insert(name.name.clone(), known.clone());
        // Wanted, but the core doesn't know its shape: here it is. If it came to be later, its entry tells.
        if let (None, Some(Some(table))) = (known, tables.get(&name.name)) {
            let schema = schema(&name.name, &table.columns);
            follower.schemas.insert(name.name.clone(), Some(Arc::clone(&schema)));
            follower.first.push(schema_event(&name.name, 0, SchemaChangeKind::Settled { schema }));
        } else if !tables.contains_key(&name.name) {
            follower.schemas.remove(&name.name);
        }
    }
    let deliveries = futures::stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next().await {
            Ok(delivery) => Some((Ok(delivery), Some(follower))),
            // After an error the stream ends.
            Err(error) => Some((Err(error), None)),
        }
    });
    deliveries.boxed()
}

impl Follower {
    /// The next entry, or a sign of life. Dropping it at any await loses nothing: `reached` moves at the end.
    async fn next(&mut self) -> Result<Delivery, SourceError> {
        let began = Instant::now();
        loop {
            let reached = self.reached;
            let entry = self.source.looked(move |watched| Ok(watched.journal.after(reached))).await?;
            if let Some(entry) = entry {
                let mut events = std::mem::take(&mut self.first);
                events.extend(self.events(&entry)?);
                self.reached = entry.sequence;
                return Ok(delivery(events, entry.sequence, entry.at_ms));
            }
            if !self.first.is_empty() || began.elapsed() > SIGN_OF_LIFE_INTERVAL {
                return Ok(delivery(std::mem::take(&mut self.first), self.reached, 0));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    fn events(&mut self, entry: &Entry) -> Result<Vec<Event>, SourceError> {
        let mut events = Vec::new();
        for change in &entry.changes {
            let (Change::Shape { table, .. }
            | Change::Rows { table, .. }
            | Change::Dropped { table }
            | Change::Doubtful { table, .. }) = change;
            if !self.catalog.selection.matches(&full_name(table)) {
                continue;
            }
            let event = match change {
                Change::Shape { columns, .. } => {
                    let schema = schema(table, columns);
                    let before = self.schemas.insert(table.clone(), Some(Arc::clone(&schema)));
                    let kind = match before {
                        // Its rows follow in the same entry.
                        None => SchemaChangeKind::Created { schema, empty: true },
                        Some(None) => SchemaChangeKind::Settled { schema },
                        Some(Some(_)) => {
                            SchemaChangeKind::Altered { schema, values_kept: Vec::new(), rows_replaced: false }
                        }
                    };
                    Some(schema_event(table, entry.at_ms, kind))
                }
                Change::Rows { rows, gone, .. } => match self.schemas.get(table) {
                    Some(Some(schema)) => Some(row_event(schema, rows, gone).map_err(too_long)?),
                    _ => None,
                },
                Change::Dropped { .. } => {
                    self.schemas.remove(table).map(|_| schema_event(table, entry.at_ms, SchemaChangeKind::Dropped))
                }
                Change::Doubtful { reason, .. } => {
                    self.schemas.insert(table.clone(), None);
                    let kind = SchemaChangeKind::Unreadable { reason: reason.clone(), remedy: Some(MEND.to_owned()) };
                    Some(schema_event(table, entry.at_ms, kind))
                }
            };
            events.extend(event);
        }
        Ok(events)
    }
}

fn row_event(schema: &Arc<TableSchema>, rows: &[Fields], gone: &[String]) -> Result<Event, ValueTooLong> {
    let mut changes = RowChanges::new(Arc::clone(schema));
    for identity in gone {
        push_identity(&mut changes.rows, identity, schema.columns.len())?;
        changes.changes.push(RowChange::Delete);
    }
    for fields in rows {
        push(&mut changes.rows, fields)?;
        changes.changes.push(RowChange::Upsert);
    }
    Ok(Event::Rows(changes))
}

pub(crate) fn too_long(error: ValueTooLong) -> SourceError {
    SourceError::definite(error.to_string(), "Keep such values out of the files")
}

fn schema_event(table: &str, at_ms: i64, kind: SchemaChangeKind) -> Event {
    Event::Schema(SchemaChange { table: full_name(table), kind, statement: None, at_ms })
}

fn delivery(events: Vec<Event>, sequence: u64, committed_at_ms: i64) -> Delivery {
    let commit = Commit { position: position(sequence), committed_at_ms, transactions: 1, log_bytes: 0 };
    Delivery { events, commit: Some(commit) }
}
