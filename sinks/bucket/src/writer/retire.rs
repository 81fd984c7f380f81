//! The removal of what belongs to former definitions. Nobody sees it any more, so it can take its time; after a restart
//! it begins anew and finds less to do.

use std::collections::VecDeque;
use std::sync::Arc;

use millstream_core::error::SinkError;

use super::Writer;
use super::jobs::{Progress, Slice};
use crate::key::{self, DefinitionId, TableKey};
use crate::row_state::RowState;
use crate::store::{Direction, KeyRange, Keyspace};

/// Definitions that are being removed.
pub(super) struct Retirement {
    definitions: Vec<DefinitionId>,
    /// What is deleted without looking at it.
    ranges: VecDeque<(Keyspace, KeyRange)>,
    /// The rows that may still mention their buckets.
    rows: KeyRange,
}

impl Retirement {
    pub(super) fn new(definitions: Vec<DefinitionId>) -> Retirement {
        let of_definition = |id: &DefinitionId| {
            [
                (Keyspace::Ops, key::ops_of(*id)),
                (Keyspace::Buckets, key::bucket_names_of(*id)),
                (Keyspace::Buckets, key::buckets_of(*id)),
                (Keyspace::Lookups, key::lookups_of(*id)),
                (Keyspace::Lookups, key::owners_of(*id)),
            ]
        };
        let ranges = definitions.iter().flat_map(of_definition).collect();
        Retirement { definitions, ranges, rows: KeyRange::all() }
    }
}

impl Writer {
    pub(super) fn retire_slice(&mut self, retirement: &mut Retirement) -> Result<Progress, SinkError> {
        self.pass_mid_switch();
        if let Some((keyspace, range)) = retirement.ranges.pop_front() {
            let store = &*self.ledger.store;
            if let Some(rest) = self.ledger.batch.delete_range(store, keyspace, &range, self.tuning.slice_rows_max)? {
                retirement.ranges.push_front((keyspace, rest));
            }
            return Ok(Progress::More);
        }
        let mut slice = Slice::new(&self.tuning);
        let store = Arc::clone(&self.ledger.store);
        for pair in store.scan(Keyspace::Rows, &retirement.rows, Direction::Forward) {
            let pair = pair?;
            self.strip(&pair.0, RowState::decode(&pair.1)?)?;
            if self.is_over_after(&pair, &mut slice) {
                retirement.rows = retirement.rows.starting_after(&pair.0);
                return Ok(Progress::More);
            }
        }
        for definition in &retirement.definitions {
            self.ledger.definitions.remove(*definition, &mut self.ledger.batch);
        }
        self.ledger.buckets.forget_all();
        Ok(Progress::Done)
    }

    /// Takes what belongs to former definitions out of a row's state.
    fn strip(&mut self, address: &[u8], mut state: RowState<'_>) -> Result<(), SinkError> {
        let before = (state.outputs.len(), state.lookups.len());
        self.ledger.retain_live(&mut state);
        if before == (state.outputs.len(), state.lookups.len()) {
            return Ok(());
        }
        self.set_stripped_row(address, &state)
    }

    /// Stores what is left of a row without what belongs to former definitions. A row that has nothing left leaves its
    /// stamp, as a tombstone, where a chunk could still bring back what it was before the stream wrote it.
    pub(super) fn set_stripped_row(&mut self, address: &[u8], state: &RowState<'_>) -> Result<(), SinkError> {
        if !state.is_tombstone() {
            self.ledger.set_row(address, Some(state.encode()));
            return Ok(());
        }
        let table = self.tables.entry(TableKey::of(address)?);
        table.uncount();
        let is_being_read = table.is_being_read(state.generation);
        self.ledger.set_row(address, is_being_read.then(|| state.encode()));
        Ok(())
    }
}
