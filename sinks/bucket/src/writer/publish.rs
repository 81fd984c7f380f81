//! Showing a loaded table to readers, all at once.
//!
//! While a table is loaded beside others that readers see, its objects are kept with its rows instead of in the op log.
//! When its record says that it is visible, they are put into the log; checkpoints are held back until all are. Rows
//! that the stream writes meanwhile go to the log directly, and are found done when the slice comes to them.

use millstream_core::error::SinkError;

use super::Writer;
use super::jobs::{Job, Progress};
use crate::key::TableKey;
use crate::kill::KillPoint;
use crate::meta::{self, TableFact};
use crate::op::ObjectRef;
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

impl Writer {
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
                let op_id = self.ledger.put_object(slot, object, data, output.content_hash, true)?;
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
