//! The sink's contract in its simplest form: maps in memory, everything durable at its commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;

use millstream_core::change::RowChange;
use millstream_core::error::SinkError;
use millstream_core::position::Position;
use millstream_core::row::RowRef;
use millstream_core::schema::TableName;
use millstream_core::schema_change::HistoryEntry;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::sink::{PassMode, PassReport, Restored, Sink, Write, WriteItem};
use millstream_core::table::{TableId, TableRecord, TableState};
use millstream_core::value::ValueRef;

#[derive(Clone, Default)]
struct Stored {
    generation: u64,
    /// `None` is a tombstone.
    row: Option<(i64, i64)>,
}

#[derive(Clone, Default)]
struct Content {
    tables: BTreeMap<TableId, TableRecord>,
    rows: BTreeMap<(TableId, Vec<u8>), Stored>,
    position: Option<Position>,
    history: BTreeMap<u64, HistoryEntry>,
    incarnation: u32,
    unfinished: bool,
}

/// What is called with the tables that must keep the promise, at every commit.
type Watcher = Box<dyn Fn(&Position, &BTreeMap<TableName, BTreeSet<(i64, i64)>>) + Send + Sync>;

pub struct ModelSink {
    durable: Mutex<Content>,
    /// What has been accepted since: lost by a crash.
    current: Mutex<Content>,
    position: watch::Sender<Option<Position>>,
    watcher: Watcher,
    ops_written: Mutex<u64>,
    is_full: AtomicBool,
}

impl ModelSink {
    pub fn new(watcher: Watcher) -> Self {
        Self {
            durable: Mutex::default(),
            current: Mutex::default(),
            position: watch::channel(None).0,
            watcher,
            ops_written: Mutex::default(),
            is_full: AtomicBool::new(false),
        }
    }

    /// From now on nothing more can be stored.
    pub fn fill(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }

    /// The process dies: what has no commit may be there or not.
    pub fn crash(&self, keep_uncommitted_rows: bool) {
        let mut current = self.current.lock().unwrap();
        let mut durable = self.durable.lock().unwrap().clone();
        if keep_uncommitted_rows {
            durable.rows = current.rows.clone();
            durable.unfinished = true;
        }
        *current = durable;
    }

    pub fn ops_written(&self) -> u64 {
        *self.ops_written.lock().unwrap()
    }

    /// The durable history, oldest first.
    pub fn history(&self) -> Vec<HistoryEntry> {
        self.durable.lock().unwrap().history.values().cloned().collect()
    }

    /// The durable record of a table.
    pub fn record(&self, table: &TableName) -> Option<TableRecord> {
        self.durable.lock().unwrap().tables.values().find(|record| record.name == *table).cloned()
    }

    pub fn visible(&self) -> BTreeMap<TableName, BTreeSet<(i64, i64)>> {
        visible(&self.durable.lock().unwrap(), |_| true)
    }

    fn put(&self, content: &mut Content, key: (TableId, Vec<u8>), generation: u64, row: Option<(i64, i64)>) {
        let stored = content.rows.entry(key).or_default();
        if stored.row != row {
            *self.ops_written.lock().unwrap() += 1;
        }
        *stored = Stored { generation, row };
    }

    fn apply(&self, content: &mut Content, item: WriteItem) {
        let mut key = Vec::new();
        match item {
            WriteItem::Stream { table, generation, changes, .. } => {
                assert_eq!(
                    content.tables[&table].generation, generation,
                    "a write of another generation than the table's"
                );
                for (row, change) in changes.rows.rows().zip(&changes.changes) {
                    changes.schema.row_key(row, &mut key);
                    let values = match change {
                        RowChange::Upsert => Some(values(row)),
                        RowChange::Delete => None,
                        RowChange::Recheck => panic!("a recheck reached the sink"),
                    };
                    self.put(content, (table, key.clone()), generation, values);
                }
            }
            WriteItem::Chunk { table, generation, mode, schema, rows } => {
                for row in rows.rows() {
                    schema.row_key(row, &mut key);
                    let place = (table, key.clone());
                    if content.rows.get(&place).is_some_and(|stored| stored.generation == generation) {
                        continue;
                    }
                    assert!(
                        mode == PassMode::Repair
                            || content.rows.get(&place).is_some_and(|stored| stored.row == Some(values(row))),
                        "verify found a difference"
                    );
                    self.put(content, place, generation, Some(values(row)));
                }
            }
            WriteItem::Sweep { table, generation, reply, .. } => {
                let old: Vec<_> = content
                    .rows
                    .iter()
                    .filter(|((id, _), stored)| {
                        *id == table && (stored.generation < generation || stored.row.is_none())
                    })
                    .map(|(place, _)| place.clone())
                    .collect();
                for place in old {
                    self.put(content, place.clone(), generation, None);
                    content.rows.remove(&place);
                }
                let _ = reply.send(PassReport::default());
            }
            WriteItem::Clear { table, reply } => {
                content.rows.retain(|(id, _), _| *id != table);
                let _ = reply.send(PassReport::default());
            }
            WriteItem::Table(record) => {
                content.tables.insert(record.id, *record);
            }
            WriteItem::Forget { table } => {
                content.tables.remove(&table);
            }
            WriteItem::History { id, entry } => drop(content.history.insert(id, entry)),
        }
    }
}

fn visible(content: &Content, wanted: impl Fn(&TableRecord) -> bool) -> BTreeMap<TableName, BTreeSet<(i64, i64)>> {
    let wanted = content.tables.values().filter(|record| wanted(record));
    wanted
        .map(|record| {
            let rows = content.rows.iter().filter(|((id, _), _)| *id == record.id);
            (record.name.clone(), rows.filter_map(|(_, stored)| stored.row).collect())
        })
        .collect()
}

fn values(row: RowRef<'_>) -> (i64, i64) {
    match (row.get(0), row.get(1)) {
        (Some(ValueRef::Int(id)), Some(ValueRef::Int(value))) => (id, value),
        other => panic!("a row with other columns: {other:?}"),
    }
}

#[async_trait]
impl Sink for ModelSink {
    fn selection(&self, _: &str) -> Selection {
        Selection { patterns: vec![TablePattern { schema: "shop".into(), table: "%".into() }] }
    }

    async fn restore(&self, _: &str) -> Result<Restored, SinkError> {
        let mut content = self.current.lock().unwrap();
        content.incarnation += 1;
        let known: Vec<TableId> = content.tables.keys().copied().collect();
        content.rows.retain(|(id, _), _| known.contains(id));
        self.durable.lock().unwrap().incarnation = content.incarnation;
        Ok(Restored {
            incarnation: content.incarnation,
            unfinished: content.unfinished,
            position: content.position.clone(),
            tables: content.tables.values().cloned().collect(),
            stale: Vec::new(),
            last_history_id: content.history.keys().next_back().copied().unwrap_or(0),
        })
    }

    async fn accept(&self, _: &str, write: Write) -> Result<(), SinkError> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(SinkError::new("no space is left", "Make space"));
        }
        let mut content = self.current.lock().unwrap();
        for item in write.items {
            self.apply(&mut content, item);
        }
        if let Some(commit) = write.commit {
            content.position = Some(commit.position.clone());
            content.unfinished = false;
            *self.durable.lock().unwrap() = content.clone();
            self.position.send_replace(Some(commit.position.clone()));
            (self.watcher)(&commit.position, &visible(&content, |record| record.state == TableState::Live));
        }
        Ok(())
    }

    fn durable(&self, _: &str) -> watch::Receiver<Option<Position>> {
        self.position.subscribe()
    }

    async fn sync(&self, _: &str) -> Result<(), SinkError> {
        Ok(())
    }

    fn stored_rows(&self, _: &str, _: TableId) -> Option<u64> {
        None
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A sink as a trait object.
pub fn shared(sink: &Arc<ModelSink>) -> Arc<dyn Sink> {
    Arc::clone(sink) as Arc<dyn Sink>
}
