//! The sources, as far as their transactions have been written.

use std::collections::BTreeMap;

use millstream_core::change::Commit;
use millstream_core::error::SinkError;
use millstream_core::position::Position;
use millstream_core::schema_change::HistoryEntry;
use millstream_core::table::{TableId, TableRecord};
use tokio::sync::watch;

use crate::meta::{self, SourceRecord};
use crate::store::Batch;

/// One source.
pub(super) struct Source {
    pub(super) name: String,
    record: SourceRecord,
    /// What the open transaction says about tables and history; stored with its commit.
    pub(super) deferred: Deferred,
    /// Whether it has been told what is stored.
    pub(super) is_restored: bool,
    /// Whether it has committed anything since the process began.
    pub(super) has_committed: bool,
    is_changed: bool,
    durable: watch::Sender<Option<Position>>,
}

/// What waits for a commit.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    pub(super) tables: BTreeMap<TableId, DeferredTable>,
    pub(super) history: Vec<(u64, HistoryEntry)>,
}

/// What the open transaction says about a table.
#[derive(Debug, Default)]
pub(super) struct DeferredTable {
    /// Whether the table that had this number before is gone.
    pub(super) is_forgotten: bool,
    /// The new record; none if it is gone without a successor.
    pub(super) record: Option<Box<TableRecord>>,
}

impl Source {
    pub(super) fn new(name: String, record: SourceRecord, durable: watch::Sender<Option<Position>>) -> Source {
        Source {
            name,
            record,
            deferred: Deferred::default(),
            is_restored: false,
            has_committed: false,
            is_changed: false,
            durable,
        }
    }

    /// Parts of a transaction are being written.
    pub(super) fn begin(&mut self) {
        if !self.record.has_open_transaction {
            self.record.has_open_transaction = true;
            self.is_changed = true;
        }
    }

    /// Everything written so far is complete.
    pub(super) fn commit(&mut self, commit: &Commit) {
        self.record.has_open_transaction = false;
        self.record.position = Some(commit.position.clone());
        self.record.committed_at_ms = commit.committed_at_ms;
        self.has_committed = true;
        self.is_changed = true;
    }

    pub(super) fn is_open(&self) -> bool {
        self.record.has_open_transaction
    }

    pub(super) fn position(&self) -> Option<&Position> {
        self.record.position.as_ref()
    }

    /// Whether a commit waits for being reported as durable.
    pub(super) fn awaits_sync(&self) -> bool {
        *self.durable.borrow() != self.record.position
    }

    /// Adds what has changed to a batch.
    pub(super) fn store(&mut self, batch: &mut Batch) -> Result<(), SinkError> {
        if self.is_changed {
            meta::put(batch, &meta::source_key(&self.name), &self.record)?;
            self.is_changed = false;
        }
        Ok(())
    }

    /// Everything written up to a position is on disk.
    pub(super) fn report_durable(&self, position: Option<&Position>) {
        self.durable.send_if_modified(|durable| {
            let is_changed = durable.as_ref() != position;
            if is_changed {
                *durable = position.cloned();
            }
            is_changed
        });
    }
}
