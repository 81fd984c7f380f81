//! Showing a loaded table to readers, all at once.
//!
//! While a table is loaded beside others that readers see, its objects are kept with its rows instead of in the op log.
//! A table that couldn't be loaded before the first checkpoint is withdrawn first: its objects are taken out of the log.
//!
//! When its record says that it is visible, they are put into the log; checkpoints are held back until all are. Rows
//! that the stream writes meanwhile go to the log directly, and are found done when the slice comes to them.

use std::sync::Arc;

use millstream_core::error::SinkError;

use super::Writer;
use super::jobs::{Job, Progress, Slice};
use super::ledger::Put;
use crate::key::{self, TableKey};
use crate::kill::KillPoint;
use crate::meta::{self, TableFact};
use crate::op::{Op, OpKind};
use crate::row_state::{Place, RowState};
use crate::store::{Direction, KeyRange, Keyspace};

/// A table that is being shown.
pub(super) struct Publishing {
    pub(super) table: TableKey,
    /// The rows not looked at yet.
    rest: KeyRange,
}

impl Publishing {
    pub(super) fn new(table: TableKey) -> Publishing {
        Publishing { table, rest: table.rows() }
    }
}

/// A table that is being taken out of the buckets before anybody has seen it there.
pub(super) struct Withdrawal {
    pub(super) table: TableKey,
    /// The rows not looked at yet.
    rest: KeyRange,
}

impl Withdrawal {
    pub(super) fn new(table: TableKey) -> Withdrawal {
        Withdrawal { table, rest: table.rows() }
    }
}

impl Writer {
    /// Before the first checkpoint: takes out of the buckets what it must not show, tables that couldn't be loaded.
    pub(super) fn withdraw_if_first(&mut self) -> Result<(), SinkError> {
        if self.ledger.has_checkpoint() || !self.is_consistent() || !self.is_loaded() {
            return Ok(());
        }
        for table in self.tables.to_withdraw() {
            self.tables.entry(table).is_withdrawn = true;
            meta::put(&mut self.ledger.batch, &TableFact::Withdrawn.key(table), &())?;
            self.jobs.add(Job::Withdraw(Withdrawal::new(table)));
        }
        Ok(())
    }

    pub(super) fn withdraw_slice(&mut self, withdrawal: &mut Withdrawal) -> Result<Progress, SinkError> {
        let mut slice = Slice::new(&self.tuning);
        let store = Arc::clone(&self.ledger.store);
        for pair in store.scan(Keyspace::Rows, &withdrawal.rest, Direction::Forward) {
            let pair = pair?;
            self.withdraw_row(&pair.0, &pair.1)?;
            if self.is_over_after(&pair, &mut slice) {
                withdrawal.rest = withdrawal.rest.starting_after(&pair.0);
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    fn withdraw_row(&mut self, address: &[u8], stored: &[u8]) -> Result<(), SinkError> {
        let mut ops = Vec::new();
        let mut state = RowState::decode(stored)?;
        if state.is_tombstone() {
            return Ok(());
        }
        self.ledger.retain_live(&mut state);
        for output in &state.outputs {
            ops.push(match output.place {
                Place::Log { op_id, .. } => self.ledger.store.get(Keyspace::Ops, &key::op(output.bucket, op_id))?,
                Place::Staged { .. } => None,
            });
        }
        for (output, op) in state.outputs.iter_mut().zip(&ops) {
            let Some(op) = op else { continue };
            let OpKind::Put { object, data } = Op::decode(op)?.kind else { continue };
            let slot = self.ledger.bucket_numbered(output.bucket)?;
            self.ledger.remove_object(slot, object)?;
            self.ledger.disown(output);
            output.place = Place::Staged { data };
        }
        for lookup in &mut state.lookups {
            self.ledger.remove_lookup(lookup, address);
            lookup.op_id = None;
        }
        self.set_stripped_row(address, &state)
    }

    pub(super) fn begin_publishing(&mut self, table: TableKey) -> Result<(), SinkError> {
        meta::put(&mut self.ledger.batch, &TableFact::Publishing.key(table), &())?;
        self.jobs.add(Job::Publish(Publishing::new(table)));
        Ok(())
    }

    pub(super) fn publish_slice(&mut self, publishing: &mut Publishing) -> Result<Progress, SinkError> {
        let mut slice = Slice::new(&self.tuning);
        let store = Arc::clone(&self.ledger.store);
        for pair in store.scan(Keyspace::Rows, &publishing.rest, Direction::Forward) {
            let pair = pair?;
            self.publish_row(&pair.0, RowState::decode(&pair.1)?)?;
            if self.is_over_after(&pair, &mut slice) {
                publishing.rest = publishing.rest.starting_after(&pair.0);
                self.kill.pass(KillPoint::MidPublish);
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    fn publish_row(&mut self, address: &[u8], mut state: RowState<'_>) -> Result<(), SinkError> {
        let is_staged = state.outputs.iter().any(|output| matches!(output.place, Place::Staged { .. }))
            || state.lookups.iter().any(|lookup| lookup.op_id.is_none());
        if !is_staged {
            return Ok(());
        }
        self.ledger.retain_live(&mut state);
        for output in &mut state.outputs {
            if let Place::Staged { data } = output.place {
                let slot = self.ledger.bucket_numbered(output.bucket)?;
                let put = Put { is_new: true, is_loaded: false };
                let op_id = self.ledger.put_object(slot, output.object(address), data, output.content_hash, put)?;
                output.place = Place::Log { op_id, origin: None };
            }
        }
        for lookup in &mut state.lookups {
            if lookup.op_id.is_none() {
                lookup.op_id = Some(self.ledger.add_lookup(lookup, address));
            }
        }
        self.set_stripped_row(address, &state)
    }

    pub(super) fn end_publishing(&mut self, publishing: &Publishing) {
        self.ledger.batch.delete(Keyspace::Meta, &TableFact::Publishing.key(publishing.table));
    }
}
