//! Rows of a first load, on their way into the store past its journal.
//!
//! Most rows that a sink ever stores come with the first read of a table: new keys, in bulk, nothing to compare with. The
//! store takes such rows for half the work if it needn't make them one atomic batch with everything else
//! ([`Store::ingest`]). What the batch gave is had by other means:
//!
//! 1. A [`Load`] is noted, synced: the op ids that are to be given, and the addresses that rows are to have.
//! 2. The rows' states are ingested, then their ops.
//! 3. The ordinary batch follows, with everything that refers to them: the buckets' counters, the sequence of op ids,
//!    table records and positions. It removes the note.
//!
//! Meanwhile the writer goes on with rows of the next load; see [`loader`](crate::loader).
//!
//! After a crash before the third step the note is there, and everything of the load is taken back by [`undo`]: no row of
//! the load had been stored before, so a state within the noted addresses is of the load if it mentions an op id of the
//! load, and not otherwise, as these ids weren't given before. Ops lie where the states say; there are no ops without
//! states, as states come first. So the store is as it was before the load, and what it held is read again.
//!
//! Readers see nothing of it: only before the first checkpoint are rows loaded this way.

use millstream_core::error::SinkError;
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::key;
use crate::meta;
use crate::row_state::{Place, RowState};
use crate::store::{Batch, Direction, Durability, KeyRange, Keyspace, META_LOADING_KEY, Store, StoreError};

/// How many rows are taken back in one batch.
const UNDO_SLICE_MAX: usize = 4_096;

/// The rows of a load that have gathered so far.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// The rows' states. Nothing but puts.
    rows: Batch,
    /// Their ops. Nothing but puts.
    ops: Batch,
    note: Option<Note>,
}

/// How a load is known by what it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    first_op: u64,
    last_op: u64,
    first_row: Vec<u8>,
    last_row: Vec<u8>,
}

impl Note {
    fn includes(&self, op_id: u64) -> bool {
        (self.first_op..=self.last_op).contains(&op_id)
    }

    fn is_of_load(&self, state: &RowState<'_>) -> bool {
        let is_new = |place: &Place<'_>| matches!(place, Place::Log { op_id, .. } if self.includes(*op_id));
        state.outputs.iter().any(|output| is_new(&output.place))
            || state.lookups.iter().any(|lookup| lookup.op_id.is_some_and(|op_id| self.includes(op_id)))
    }
}

impl Load {
    /// Adds an op.
    pub(crate) fn put_op(&mut self, key: &[u8], op: &[u8]) {
        self.ops.put(Keyspace::Ops, key, op);
    }

    /// Adds the state of a row whose last op has this id.
    pub(crate) fn put_row(&mut self, address: &[u8], state: &[u8], ops: std::ops::RangeInclusive<u64>) {
        self.rows.put(Keyspace::Rows, address, state);
        match &mut self.note {
            Some(note) => {
                note.last_op = *ops.end();
                if address < note.first_row.as_slice() {
                    note.first_row = address.to_vec();
                } else if address > note.last_row.as_slice() {
                    note.last_row = address.to_vec();
                }
            }
            None => {
                let (first_row, last_row) = (address.to_vec(), address.to_vec());
                self.note = Some(Note { first_op: *ops.start(), last_op: *ops.end(), first_row, last_row });
            }
        }
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes() + self.ops.bytes()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.note.is_none()
    }

    /// All of it, with the batch that refers to it and makes it final, stored as `durability` says.
    pub(crate) fn whole(mut self, mut batch: Batch, durability: Durability) -> Result<WholeLoad, SinkError> {
        let mut noting = Batch::new();
        if let Some(note) = self.note.take() {
            meta::put(&mut noting, META_LOADING_KEY, &note)?;
        }
        batch.delete(Keyspace::Meta, META_LOADING_KEY);
        Ok(WholeLoad { noting, load: self, batch, durability })
    }

    /// Takes everything out, to go the ordinary way: ops into `batch`, states to `set_row`.
    pub(crate) fn dissolve(&mut self, batch: &mut Batch, mut set_row: impl FnMut(&[u8], &[u8])) {
        for op in self.ops.entries() {
            batch.put(op.keyspace, op.key, op.value.unwrap_or_default());
        }
        for row in self.rows.entries() {
            set_row(row.key, row.value.unwrap_or_default());
        }
        self.rows.clear();
        self.ops.clear();
        self.note = None;
    }
}

/// A load with everything that is stored together with it.
#[derive(Debug)]
pub(crate) struct WholeLoad {
    noting: Batch,
    load: Load,
    batch: Batch,
    durability: Durability,
}

impl WholeLoad {
    /// Stores all of it; gives back the load, emptied. `pass` is called after each step.
    pub(crate) fn store(self, store: &dyn Store, mut pass: impl FnMut()) -> Result<Load, StoreError> {
        let WholeLoad { noting, mut load, batch, durability } = self;
        store.commit(&noting, Durability::Synced)?;
        pass();
        store.ingest(&load.rows, &load.ops, &mut pass)?;
        pass();
        store.commit(&batch, durability)?;
        pass();
        load.rows.clear();
        load.ops.clear();
        Ok(load)
    }
}

/// Takes back a load that a crash has left half done.
pub(crate) fn undo(store: &dyn Store) -> Result<(), SinkError> {
    let Some(note) = meta::read::<Note>(store, META_LOADING_KEY)? else { return Ok(()) };
    let mut rows = 0_u64;
    let mut batch = Batch::new();
    let mut in_batch = 0;
    let range = KeyRange::between(&note.first_row, &[note.last_row.as_slice(), &[0]].concat());
    for pair in store.scan(Keyspace::Rows, &range, Direction::Forward) {
        let (address, state) = pair?;
        let state = RowState::decode(&state)?;
        if !note.is_of_load(&state) {
            continue;
        }
        for output in &state.outputs {
            if let Place::Log { op_id, .. } = output.place {
                batch.delete(Keyspace::Ops, &key::op(output.bucket, op_id));
            }
        }
        batch.delete(Keyspace::Rows, &address);
        rows += 1;
        in_batch += 1;
        if in_batch == UNDO_SLICE_MAX {
            store.commit(&batch, Durability::Buffered)?;
            batch.clear();
            in_batch = 0;
        }
    }
    batch.delete(Keyspace::Meta, META_LOADING_KEY);
    store.commit(&batch, Durability::Synced)?;
    info!(rows, "rows whose loading was interrupted are taken back, to be read again");
    Ok(())
}
