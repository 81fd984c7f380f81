//! The end of a pass: rows that it has neither read nor seen written are gone.
//!
//! A sweep looks at all stored rows of the table, slice by slice, while other writes go on between: rows that these
//! write carry the pass's generation, so it doesn't matter on which side of the sweep they fall.
//!
//! Readers must not see the removal half done. Mostly there is little to remove: it is collected while looking, with
//! checkpoints going on, and removed in one batch at the end. Only if it gets too much is it removed as it is found, and
//! checkpoints are held back until all is; from then on the sweep is noted in the store, and is taken up again if the
//! process dies.

use std::sync::Arc;

use millstream_core::error::SinkError;
use millstream_core::sink::{DifferenceKind, PassMode, PassReport};
use tokio::sync::oneshot;

use super::Writer;
use super::filing::Filing;
use super::jobs::{Job, Progress, Slice};
use super::placing::{DifferencePlace, Differences, Placing};
use crate::key::{self, IdentityNumber, TableKey};
use crate::kill::KillPoint;
use crate::meta::{self, TableFact};
use crate::row_state::RowState;
use crate::store::{Direction, KeyRange, Keyspace};

/// A sweep on its way.
pub(super) struct Sweep {
    pub(super) table: TableKey,
    generation: u64,
    pub(super) mode: PassMode,
    /// The rows not looked at yet.
    rest: KeyRange,
    /// Rows to be removed.
    found: Vec<Vec<u8>>,
    found_bytes: usize,
    /// Under which identity the rows were read. Once all rows have been looked at, none of former ones is left.
    identity: Option<IdentityNumber>,
    /// What remains then of the list of their objects.
    listed: KeyRange,
    is_through: bool,
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
            found_bytes: 0,
            identity: None,
            listed: key::left_of(table),
            is_through: false,
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
        let entry = self.tables.entry(table);
        entry.read_generation = generation;
        let identity = entry.filing.as_ref().map(Filing::number);
        self.jobs.add(Job::Sweep(Sweep {
            table,
            generation,
            mode,
            rest: table.rows(),
            found: Vec::new(),
            found_bytes: 0,
            identity,
            listed: key::left_of(table),
            is_through: false,
            is_removing: before.is_some_and(|sweep| sweep.is_removing),
            reply: Some(reply),
        }));
    }

    pub(super) fn sweep_slice(&mut self, sweep: &mut Sweep) -> Result<Progress, SinkError> {
        if !sweep.is_removing && self.tables.get(sweep.table).is_some_and(|table| table.is_all_of(sweep.generation)) {
            return Ok(Progress::Done);
        }
        if sweep.is_through {
            return match sweep.identity {
                Some(identity) => self.forget_left_slice(sweep.table, identity, &mut sweep.listed),
                None => Ok(Progress::Done),
            };
        }
        sweep.is_through = self.look_for_unread(sweep)? == Progress::Done;
        if sweep.is_through && !sweep.is_removing {
            // All of it in this batch.
            self.remove_found(sweep)?;
        } else if sweep.is_removing || sweep.found_bytes > self.tuning.sweep_collected_bytes_max {
            self.remove_in_slices(sweep)?;
        }
        let forgets = sweep.mode == PassMode::Repair && self.tables.has_left(sweep.table);
        Ok(if sweep.is_through && !forgets { Progress::Done } else { Progress::More })
    }

    /// Collects, or reports, the rows of a slice that the pass hasn't met.
    fn look_for_unread(&mut self, sweep: &mut Sweep) -> Result<Progress, SinkError> {
        let mut slice = Slice::new(&self.tuning);
        let store = Arc::clone(&self.ledger.store);
        for pair in store.scan(Keyspace::Rows, &sweep.rest, Direction::Forward) {
            let pair = pair?;
            let (address, bytes) = &pair;
            let state = RowState::decode(bytes)?;
            if state.is_tombstone() {
                if state.generation <= sweep.generation {
                    self.ledger.set_row(address, None);
                }
            } else if state.generation < sweep.generation {
                match sweep.mode {
                    PassMode::Repair => {
                        // Removing it takes about as much as its state.
                        sweep.found_bytes += address.len() + bytes.len();
                        sweep.found.push(address.clone());
                    }
                    PassMode::Verify => self.report_extra(sweep, address, &state)?,
                }
            }
            if self.is_over_after(&pair, &mut slice) {
                sweep.rest = sweep.rest.starting_after(address);
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
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
        sweep.found_bytes = 0;
        for address in std::mem::take(&mut sweep.found) {
            let Some(stored) = self.ledger.row(&address)? else { continue };
            // It may have been written since it was found.
            if RowState::decode(&stored)?.generation >= sweep.generation {
                continue;
            }
            let placing = Placing::removal(&address, sweep.generation);
            let placed = self.ledger.place(placing, Some(&stored), None)?;
            let (identity, row_key) = key::row(&address)?;
            let table = self.tables.entry(sweep.table);
            table.count(&placed);
            table.tally.of(sweep.generation).ops_written += placed.ops;
            let schema = table.schema_of(identity);
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
        let (identity, row_key) = key::row(address)?;
        let schema = self.tables.get(sweep.table).and_then(|table| table.schema_of(identity));
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
