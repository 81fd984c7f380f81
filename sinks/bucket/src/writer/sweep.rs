//! The end of a pass: rows that it has neither read nor seen written are gone.
//!
//! A sweep looks at all stored rows of the table, slice by slice, while other writes go on between: rows that these
//! write carry the pass's generation, so it doesn't matter on which side of the sweep they fall.
//!
//! Readers must not see the removal half done. Mostly there is little to remove: it is collected while looking, with
//! checkpoints going on, and removed in one batch at the end. Only if it gets too much is it removed as it is found, and
//! checkpoints are held back until all is; from then on the sweep is noted in the store, and is taken up again if the
//! process dies.

use millstream_core::error::SinkError;
use millstream_core::sink::{DifferenceKind, PassMode, PassReport};
use tokio::sync::oneshot;

use super::Writer;
use super::jobs::{Job, Progress};
use super::placing::{DifferencePlace, Differences, Placing};
use crate::key::TableKey;
use crate::kill::KillPoint;
use crate::meta::{self, TableFact};
use crate::row_state::RowState;
use crate::store::{KeyRange, Keyspace};

/// A sweep on its way.
pub(super) struct Sweep {
    pub(super) table: TableKey,
    generation: u64,
    pub(super) mode: PassMode,
    /// The rows not looked at yet.
    rest: KeyRange,
    /// Rows to be removed.
    found: Vec<Vec<u8>>,
    /// Whether rows have been removed already.
    is_removing: bool,
    reply: Option<oneshot::Sender<PassReport>>,
}

impl Sweep {
    /// A sweep that had begun to remove rows when the process died.
    pub(super) fn resumed(table: TableKey, generation: u64) -> Sweep {
        Sweep {
            table,
            generation,
            mode: PassMode::Repair,
            rest: table.rows(),
            found: Vec::new(),
            is_removing: true,
            reply: None,
        }
    }

    pub(super) fn is_removing(&self) -> bool {
        self.is_removing
    }
}

impl Writer {
    pub(super) fn begin_sweep(
        &mut self,
        table: TableKey,
        generation: u64,
        mode: PassMode,
        reply: oneshot::Sender<PassReport>,
    ) {
        // One that was taken up after a restart has nobody waiting; this one does its work.
        let before = self.jobs.take_sweep(table);
        self.tables.entry(table).read_generation = generation;
        self.jobs.add(Job::Sweep(Sweep {
            table,
            generation,
            mode,
            rest: table.rows(),
            found: Vec::new(),
            is_removing: before.is_some_and(|sweep| sweep.is_removing),
            reply: Some(reply),
        }));
    }

    pub(super) fn sweep_slice(&mut self, sweep: &mut Sweep) -> Result<Progress, SinkError> {
        if !sweep.is_removing && self.tables.get(sweep.table).is_some_and(|table| table.is_all_of(sweep.generation)) {
            return Ok(Progress::Done);
        }
        let rows = self.ledger.slice(Keyspace::Rows, &sweep.rest, self.tuning.slice_max)?;
        let is_last = rows.len() < self.tuning.slice_max;
        for (address, state) in &rows {
            let state = RowState::decode(state)?;
            if state.is_tombstone() {
                if state.generation <= sweep.generation {
                    self.ledger.set_row(address, None);
                }
            } else if state.generation < sweep.generation {
                match sweep.mode {
                    PassMode::Repair => sweep.found.push(address.clone()),
                    PassMode::Verify => self.report_extra(sweep, address, &state)?,
                }
            }
        }
        if let Some((address, _)) = rows.last() {
            sweep.rest = sweep.rest.starting_after(address);
        }
        if is_last && !sweep.is_removing {
            // All of it in this batch.
            self.remove_found(sweep)?;
        } else if sweep.is_removing || sweep.found.len() > self.tuning.sweep_collected_max {
            self.remove_in_slices(sweep)?;
        }
        Ok(if is_last { Progress::Done } else { Progress::More })
    }

    /// Begins, or goes on, to remove what is found while checkpoints are held back.
    fn remove_in_slices(&mut self, sweep: &mut Sweep) -> Result<(), SinkError> {
        if sweep.is_removing {
            self.kill.pass(KillPoint::MidSweep);
        }
        sweep.is_removing = true;
        meta::put(&mut self.ledger.batch, &TableFact::Sweeping.key(sweep.table), &sweep.generation)?;
        self.remove_found(sweep)
    }

    fn remove_found(&mut self, sweep: &mut Sweep) -> Result<(), SinkError> {
        for address in std::mem::take(&mut sweep.found) {
            let Some(stored) = self.ledger.row(&address)? else { continue };
            // It may have been written since it was found.
            if RowState::decode(&stored)?.generation >= sweep.generation {
                continue;
            }
            let placing = Placing::removal(&address, sweep.generation);
            let placed = self.ledger.place(placing, Some(&stored), None)?;
            let (_, row_key) = TableKey::split(&address)?;
            let table = self.tables.entry(sweep.table);
            table.count(&placed);
            table.tally.of(sweep.generation).ops_written += placed.ops;
            let schema = table.record.as_ref().and_then(|record| record.schema.clone());
            self.note_differences(sweep.table, sweep.generation, schema.as_deref(), row_key, &placed.differences)?;
        }
        Ok(())
    }

    /// Says what a removal would remove.
    fn report_extra(&mut self, sweep: &Sweep, address: &[u8], state: &RowState<'_>) -> Result<(), SinkError> {
        let mut state = state.clone();
        self.ledger.retain_live(&mut state);
        let mut differences = Differences::default();
        for output in &state.outputs {
            differences.add(DifferenceKind::Extra, || DifferencePlace::Bucket(output.bucket));
        }
        for lookup in &state.lookups {
            differences.add(DifferenceKind::Extra, || DifferencePlace::Lookup(format!("lookup {}", lookup.lookup)));
        }
        let (_, row_key) = TableKey::split(address)?;
        let schema = self
            .tables
            .get(sweep.table)
            .and_then(|table| table.record.as_ref())
            .and_then(|record| record.schema.clone());
        self.note_differences(sweep.table, sweep.generation, schema.as_deref(), row_key, &differences)
    }

    /// Reports a sweep that is done, or that has nothing left to do because the table has been emptied.
    pub(super) fn end_sweep(&mut self, sweep: Sweep) -> Result<(), SinkError> {
        if sweep.is_removing {
            self.ledger.batch.delete(Keyspace::Meta, &TableFact::Sweeping.key(sweep.table));
        }
        if sweep.mode == PassMode::Repair {
            self.settle(sweep.table, Some(sweep.generation))?;
        }
        let report = self.tables.entry(sweep.table).tally.of(sweep.generation).report();
        if let Some(reply) = sweep.reply {
            self.replies.push((reply, report));
        }
        Ok(())
    }
}
