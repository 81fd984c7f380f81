//! Showing a loaded table to readers, all at once.
//!
//! While a table is loaded beside others that readers see, its objects are kept with its rows instead of in the op log.
//! A table that couldn't be loaded before the first checkpoint is withdrawn first: its objects are taken out of the log.
//!
//! When its record says that it is visible, they are put into the log; checkpoints are held back until all are. Rows
//! that the stream writes meanwhile go to the log directly, and are found done when the slice comes to them.

use millstream_core::error::SinkError;

use super::Writer;
use super::jobs::{Job, Progress};
use super::ledger::Put;
use crate::key::{self, TableKey};
use crate::kill::KillPoint;
use crate::meta::{self, TableFact};
use crate::op::{ObjectRef, Op, OpKind};
use crate::row_state::{Place, RowState};
use crate::store::{KeyRange, Keyspace};

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

impl Writer {
    /// Before the first checkpoint: takes out of the buckets what it must not show, tables that couldn't be loaded.
    pub(super) fn withdraw_if_first(&mut self) {
        if self.ledger.has_checkpoint() || !self.is_consistent() || !self.is_loaded() {
            return;
        }
        for table in self.tables.to_withdraw() {
            self.tables.entry(table).is_withdrawn = true;
            self.jobs.add(Job::Withdraw(Withdrawal { table, rest: table.rows() }));
        }
    }

    pub(super) fn withdraw_slice(&mut self, withdrawal: &mut Withdrawal) -> Result<Progress, SinkError> {
        let rows = self.ledger.slice(Keyspace::Rows, &withdrawal.rest, self.tuning.slice_max)?;
        for (address, state) in &rows {
            self.withdraw_row(address, state)?;
        }
        let Some((last, _)) = rows.last().filter(|_| rows.len() == self.tuning.slice_max) else {
            return Ok(Progress::Done);
        };
        withdrawal.rest = withdrawal.rest.starting_after(last);
        Ok(Progress::More)
    }

    fn withdraw_row(&mut self, address: &[u8], stored: &[u8]) -> Result<(), SinkError> {
        let mut ops = Vec::new();
        let mut state = RowState::decode(stored)?;
        self.ledger.retain_live(&mut state);
        for output in &state.outputs {
            ops.push(match output.place {
                Place::Log { op_id } => self.ledger.store.get(Keyspace::Ops, &key::op(output.bucket, op_id))?,
                Place::Staged { .. } => None,
            });
        }
        for (output, op) in state.outputs.iter_mut().zip(&ops) {
            let Some(op) = op else { continue };
            let OpKind::Put { object, data } = Op::decode(op)?.kind else { continue };
            let slot = self.ledger.bucket_numbered(output.bucket)?;
            self.ledger.remove_object(slot, object)?;
            output.place = Place::Staged { data };
        }
        for lookup in &mut state.lookups {
            self.ledger.remove_lookup(lookup, address);
            lookup.op_id = None;
        }
        self.ledger.set_row(address, Some(state.encode()));
        Ok(())
    }

    pub(super) fn begin_publishing(&mut self, table: TableKey) -> Result<(), SinkError> {
        meta::put(&mut self.ledger.batch, &TableFact::Publishing.key(table), &())?;
        self.jobs.add(Job::Publish(Publishing::new(table)));
        Ok(())
    }

    pub(super) fn publish_slice(&mut self, publishing: &mut Publishing) -> Result<Progress, SinkError> {
        let rows = self.ledger.slice(Keyspace::Rows, &publishing.rest, self.tuning.slice_max)?;
        for (address, state) in &rows {
            self.publish_row(address, RowState::decode(state)?)?;
        }
        let Some((last, _)) = rows.last().filter(|_| rows.len() == self.tuning.slice_max) else {
            return Ok(Progress::Done);
        };
        publishing.rest = publishing.rest.starting_after(last);
        self.kill.pass(KillPoint::MidPublish);
        Ok(Progress::More)
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
                let object = ObjectRef { object_type: output.object_type, object_id: output.object_id, row: address };
                let put = Put { is_new: true, is_loaded: false };
                let op_id = self.ledger.put_object(slot, object, data, output.content_hash, put)?;
                output.place = Place::Log { op_id };
            }
        }
        for lookup in &mut state.lookups {
            if lookup.op_id.is_none() {
                lookup.op_id = Some(self.ledger.add_lookup(lookup, address));
            }
        }
        self.ledger.set_row(address, Some(state.encode()));
        Ok(())
    }

    pub(super) fn end_publishing(&mut self, publishing: &Publishing) {
        self.ledger.batch.delete(Keyspace::Meta, &TableFact::Publishing.key(publishing.table));
    }
}
