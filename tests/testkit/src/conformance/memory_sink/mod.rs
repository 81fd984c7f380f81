//! The sink's contract in its simplest form: maps in memory.

mod content;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use millstream_core::error::SinkError;
use millstream_core::position::Position;
use millstream_core::schema::TableName;
use millstream_core::schema_change::HistoryEntry;
use millstream_core::selection::Selection;
use millstream_core::sink::{Restored, Sink, Write};
use millstream_core::table::{TableId, TableRecord, TableState};

use super::value::Row;
use content::Content;

/// Looks at the live tables at every commit, before it is durable; what it objects to ends the pipeline.
pub type Observer = Box<dyn Fn(&Position, &LiveTables<'_>) -> Result<(), String> + Send + Sync>;

/// How a sink takes its time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// How long it takes to accept a write.
    pub accept: Duration,
    /// How long after its acceptance a commit becomes durable.
    pub durable: Duration,
}

/// A sink that keeps the rows of one source in memory, as they are, and can crash.
pub struct MemorySink {
    itself: Weak<MemorySink>,
    selection: Selection,
    observer: Observer,
    inner: Mutex<Inner>,
    durable: watch::Sender<Option<Position>>,
}

struct Inner {
    /// With everything that was accepted.
    current: Content,
    /// What a crash leaves.
    durable: Content,
    pace: Pace,
    ops_written: u64,
    /// What was durable at each commit, where that is kept.
    kept: Option<Vec<Content>>,
}

/// What a sink held at a commit; a sink can begin with it.
#[derive(Clone)]
pub struct Checkpoint(Content);

impl Checkpoint {
    /// Where it was.
    pub fn position(&self) -> Option<&Position> {
        self.0.position.as_ref()
    }
}

/// The tables that must keep the promise at a commit.
pub struct LiveTables<'a> {
    content: &'a Content,
}

impl LiveTables<'_> {
    /// The records of the live tables.
    pub fn records(&self) -> impl Iterator<Item = &TableRecord> {
        self.content.tables.values().filter(|record| record.state == TableState::Live && record.pass.is_none())
    }

    /// The rows of a table.
    pub fn rows(&self, table: TableId) -> BTreeSet<Row> {
        self.content.rows_of(table)
    }

    /// A number that is the same for equal sets of rows.
    pub fn fingerprint(&self, table: TableId) -> u64 {
        self.content.fingerprint(table)
    }
}

impl MemorySink {
    /// An empty sink.
    pub fn new(selection: Selection, observer: Observer) -> Arc<Self> {
        Self::from_checkpoint(selection, observer, Checkpoint(Content::default()))
    }

    /// A sink that holds what another held.
    pub fn from_checkpoint(selection: Selection, observer: Observer, checkpoint: Checkpoint) -> Arc<Self> {
        let Checkpoint(content) = checkpoint;
        let durable = watch::channel(content.position.clone()).0;
        let inner =
            Inner { current: content.clone(), durable: content, pace: Pace::default(), ops_written: 0, kept: None };
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            selection,
            observer,
            inner: Mutex::new(inner),
            durable,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A case that panicked has failed already.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it takes its time.
    pub fn set_pace(&self, pace: Pace) {
        self.inner().pace = pace;
    }

    /// From now on it keeps what it holds at each commit.
    pub fn keep_checkpoints(&self) {
        self.inner().kept = Some(Vec::new());
    }

    /// What it held at each commit since [`keep_checkpoints`](Self::keep_checkpoints).
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        self.inner().kept.iter().flatten().cloned().map(Checkpoint).collect()
    }

    /// The process dies: what isn't durable is lost. With `keep_uncommitted`, row changes whose commit didn't come have
    /// been stored all the same, as a sink may do with parts of a large transaction.
    pub fn crash(&self, keep_uncommitted: bool) {
        let mut inner = self.inner();
        let mut left = inner.durable.clone();
        if keep_uncommitted && inner.current.position == left.position {
            left.keep_rows_of(&inner.current);
        }
        inner.current = left;
    }

    /// How many rows were written or removed so far, equal ones not counted.
    pub fn ops_written(&self) -> u64 {
        self.inner().ops_written
    }

    /// The durable rows of all tables.
    pub fn tables(&self) -> BTreeMap<TableName, BTreeSet<Row>> {
        let inner = self.inner();
        let records = inner.durable.tables.values();
        records.map(|record| (record.name.clone(), inner.durable.rows_of(record.id))).collect()
    }

    /// The records of all tables.
    pub fn records(&self) -> Vec<TableRecord> {
        self.inner().durable.tables.values().cloned().collect()
    }

    /// The schema changes and what they required, oldest first.
    pub fn history(&self) -> Vec<HistoryEntry> {
        self.inner().durable.history.values().cloned().collect()
    }

    /// The durable position.
    pub fn position(&self) -> Option<Position> {
        self.inner().durable.position.clone()
    }

    fn publish(&self, content: Content) {
        let mut inner = self.inner();
        // A crash may have come in between; then this was lost with it.
        let is_newer = inner.durable.commits < content.commits && content.commits <= inner.current.commits;
        if !is_newer || inner.current.incarnation != content.incarnation {
            return;
        }
        self.durable.send_replace(content.position.clone());
        inner.durable = content;
    }

    /// Gives the content to be made durable, if the write ends a transaction.
    fn take(&self, write: Write) -> Result<Option<Content>, SinkError> {
        let mut guard = self.inner();
        let inner = &mut *guard;
        for item in write.items {
            inner.ops_written += inner.current.apply(item);
        }
        let Some(commit) = write.commit else { return Ok(None) };
        let position = commit.position;
        if inner.current.position.as_ref().is_some_and(|before| *before > position) {
            let remedy = "Positions only grow: this is a fault of the connector or the pipeline";
            return Err(SinkError::new(format!("a commit at {position} follows a later one"), remedy));
        }
        (self.observer)(&position, &LiveTables { content: &inner.current })
            .map_err(|objection| SinkError::new(objection, "The promise is broken"))?;
        inner.current.position = Some(position);
        inner.current.unfinished = false;
        inner.current.commits += 1;
        if let Some(kept) = &mut inner.kept {
            kept.push(inner.current.clone());
        }
        Ok(Some(inner.current.clone()))
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn selection(&self, _: &str) -> Selection {
        self.selection.clone()
    }

    async fn restore(&self, _: &str) -> Result<Restored, SinkError> {
        let mut guard = self.inner();
        let inner = &mut *guard;
        let restored = inner.current.restore();
        inner.durable.incarnation = restored.incarnation;
        Ok(restored)
    }

    async fn accept(&self, _: &str, write: Write) -> Result<(), SinkError> {
        let Pace { accept, durable } = self.inner().pace;
        tokio::time::sleep(accept).await;
        let Some(content) = self.take(write)? else { return Ok(()) };
        if durable.is_zero() {
            self.publish(content);
        } else if let Some(sink) = self.itself.upgrade() {
            tokio::spawn(async move {
                tokio::time::sleep(durable).await;
                sink.publish(content);
            });
        }
        Ok(())
    }

    fn durable(&self, _: &str) -> watch::Receiver<Option<Position>> {
        self.durable.subscribe()
    }

    async fn sync(&self, _: &str) -> Result<(), SinkError> {
        let wanted = self.inner().current.commits;
        let mut published = self.durable.subscribe();
        while self.inner().durable.commits < wanted {
            // The sender lives as long as this sink.
            let _ = published.changed().await;
        }
        Ok(())
    }

    fn stored_rows(&self, _: &str, table: TableId) -> Option<u64> {
        Some(self.inner().durable.rows_of(table).len() as u64)
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
