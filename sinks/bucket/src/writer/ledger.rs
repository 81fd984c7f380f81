//! What has been decided but not stored yet, seen together with what is stored.

use std::sync::Arc;

use millstream_core::error::SinkError;

use super::buckets::{Buckets, Slot};
use super::known_rows::{Addresses, KnownRows};
use crate::bucket::BucketRecord;
use crate::definitions::Definitions;
use crate::key::{self, BucketId};
use crate::kill::KillPoints;
use crate::load::Load;
use crate::loader::Loader;
use crate::meta::{self, Checkpoint, Sequence};
use crate::op::{ObjectRef, Op};
use crate::record::{Cursor, Malformed, put_bytes};
use crate::row_state::{Lookup, RowState};
use crate::store::{Batch, Direction, Durability, KeyRange, Keyspace, Store};

/// How many keys of removed lookups are deleted with one commit.
const SUPERSEDED_SLICE_MAX: usize = 500;

/// Stands for the absence of an output in a version of a lookup's entry.
pub(crate) const LOOKUP_REMOVED: u8 = 0;
/// Precedes the output in a version of a lookup's entry.
pub(crate) const LOOKUP_PRESENT: u8 = 1;

/// The pending batch and what is needed to add to it.
pub(super) struct Ledger {
    /// As it is when the load that is on its way has been stored.
    pub(super) store: Arc<dyn Store>,
    loader: Arc<Loader>,
    pub(super) batch: Batch,
    /// Among them are the row states that the batch will set or delete: rows written later see them.
    rows: KnownRows,
    /// New rows of a first load, which go into the store by themselves, ahead of the batch.
    load: Load,
    load_bytes_min: usize,
    pub(super) buckets: Buckets,
    pub(super) definitions: Definitions,
    sequence: Sequence,
    sequence_stored: Sequence,
    /// The newest checkpoint's op id.
    checkpoint_op: Option<u64>,
    /// Visible versions of lookups' entries that the pending batch makes obsolete.
    superseded: Vec<Superseded>,
    /// Whether obsolete versions wait in the store for being deleted.
    has_superseded_stored: bool,
    encoded: Vec<u8>,
}

/// How an object is put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Put {
    /// It wasn't in the bucket before.
    pub(super) is_new: bool,
    /// It belongs to a row that goes by the load.
    pub(super) is_loaded: bool,
}

/// How what is pending is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storing<'a> {
    pub(super) durability: Durability,
    pub(super) checkpoint: Option<&'a Checkpoint>,
    /// Whether rows of the next load may come before this one is stored.
    pub(super) may_go_on: bool,
}

/// What has become of what was pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Whole,
    /// It was a load, which is stored beside what follows.
    OnItsWay,
}

struct Superseded {
    entry: Vec<u8>,
    /// The version that readers see.
    shown: u64,
    /// The op id under which it is removed.
    removed: u64,
}

impl Ledger {
    pub(super) fn open(
        store: Arc<dyn Store>,
        definitions: Definitions,
        load_bytes_min: usize,
        kill: KillPoints,
    ) -> Result<Ledger, SinkError> {
        let sequence: Sequence = meta::read(&*store, meta::SEQUENCE)?.unwrap_or_default();
        let checkpoint: Option<Checkpoint> = meta::read(&*store, meta::CHECKPOINT)?;
        let mut superseded = store.scan(Keyspace::Lookups, &key::superseded_upto(u64::MAX), Direction::Forward);
        let has_superseded_stored = superseded.next().transpose()?.is_some();
        drop(superseded);
        let loader = Arc::new(Loader::new(store, kill));
        Ok(Ledger {
            store: Arc::clone(&loader) as Arc<dyn Store>,
            loader,
            batch: Batch::new(),
            rows: KnownRows::default(),
            load: Load::default(),
            load_bytes_min,
            buckets: Buckets::default(),
            definitions,
            sequence,
            sequence_stored: sequence,
            checkpoint_op: checkpoint.map(|checkpoint| checkpoint.op_id),
            superseded: Vec::new(),
            has_superseded_stored,
            encoded: Vec::new(),
        })
    }

    /// The memory that the pending writes take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.batch.bytes() + self.rows.pending_bytes() + self.buckets.excess_bytes()
    }

    /// The memory that the pending rows of a load take, in bytes.
    pub(super) fn load_bytes(&self) -> usize {
        self.load.bytes()
    }

    /// Makes the pending rows of a load ordinary ones, which later rows see.
    pub(super) fn dissolve_load(&mut self) {
        let rows = &mut self.rows;
        self.load.dissolve(&mut self.batch, |address, state| rows.set(address, Some(state.to_vec())));
    }

    /// Whether nothing is pending.
    pub(super) fn is_clean(&self) -> bool {
        let has_rows = !self.load.is_empty() || self.rows.has_pending();
        self.batch.is_empty() && !has_rows && self.buckets.excess_bytes() == 0
    }

    pub(super) fn last_op(&self) -> u64 {
        self.sequence.last_op
    }

    pub(super) fn has_checkpoint(&self) -> bool {
        self.checkpoint_op.is_some()
    }

    /// The newest checkpoint's op id; 0 if there is none.
    pub(super) fn checkpoint_op(&self) -> u64 {
        self.checkpoint_op.unwrap_or(0)
    }

    /// The state of a row, pending or stored.
    pub(super) fn row(&self, address: &[u8]) -> Result<Option<Vec<u8>>, SinkError> {
        match self.rows.get(address) {
            Some(known) => Ok(known.map(<[u8]>::to_vec)),
            None => Ok(self.store.get(Keyspace::Rows, address)?),
        }
    }

    /// Sets the state of a row, or deletes it.
    pub(super) fn set_row(&mut self, address: &[u8], state: Option<Vec<u8>>) {
        self.rows.set(address, state);
    }

    /// Looks up rows that are about to be written.
    pub(super) fn look_ahead(&mut self, addresses: &Addresses) -> Result<(), SinkError> {
        self.rows.look_ahead(&*self.store, addresses)
    }

    /// Forgets what it has looked up.
    pub(super) fn forget_ahead(&mut self) {
        self.rows.forget_ahead();
    }

    /// Sets the state of a row whose ops, from `first_op` on, are the last ones.
    pub(super) fn load_state(&mut self, address: &[u8], state: &RowState<'_>, first_op: u64) {
        self.encoded.clear();
        state.encode_into(&mut self.encoded);
        self.load.put_row(address, &self.encoded, first_op..=self.sequence.last_op);
    }

    /// The bucket of a name.
    pub(super) fn bucket(&mut self, definition: key::DefinitionId, name: &str) -> Result<Slot, SinkError> {
        self.buckets.named(&*self.store, &mut self.sequence, definition, name)
    }

    /// The bucket of a number that a stored row has.
    pub(super) fn bucket_numbered(&mut self, id: BucketId) -> Result<Slot, SinkError> {
        self.buckets.numbered(&*self.store, id)
    }

    /// Puts an object. `is_new` tells that it wasn't in the bucket before.
    pub(super) fn put_object(
        &mut self,
        slot: Slot,
        object: ObjectRef<'_>,
        data: &str,
        content_hash: u64,
        put: Put,
    ) -> Result<u64, SinkError> {
        let (bucket, op_id) = self.append(slot, Op::put(object, data, content_hash), u64::from(put.is_new), 0)?;
        let key = key::op(bucket, op_id);
        if put.is_loaded {
            self.load.put_op(&key, &self.encoded);
        } else {
            self.batch.put(Keyspace::Ops, &key, &self.encoded);
        }
        Ok(op_id)
    }

    /// Removes an object that is in the bucket.
    pub(super) fn remove_object(&mut self, slot: Slot, object: ObjectRef<'_>) -> Result<u64, SinkError> {
        let (bucket, op_id) = self.append(slot, Op::remove(object), 0, 1)?;
        self.batch.put(Keyspace::Ops, &key::op(bucket, op_id), &self.encoded);
        Ok(op_id)
    }

    /// Gives an op its id and counts it; leaves its stored form in `encoded`.
    fn append(
        &mut self,
        slot: Slot,
        op: Op<'_>,
        rows_more: u64,
        rows_fewer: u64,
    ) -> Result<(BucketId, u64), SinkError> {
        let op_id = self.next_op();
        let bucket = self.buckets.id(slot).ok_or(Malformed("a bucket"))?;
        self.encoded.clear();
        op.encode_into(&mut self.encoded);
        let checkpoint_op = self.checkpoint_op();
        let record = self.buckets.change(slot).ok_or(Malformed("a bucket"))?;
        let counters = record.grow(op_id, checkpoint_op);
        counters.add_op(self.encoded.len(), op.checksum);
        counters.rows = (counters.rows + rows_more).saturating_sub(rows_fewer);
        Ok((bucket, op_id))
    }

    fn next_op(&mut self) -> u64 {
        self.sequence.last_op += 1;
        self.sequence.last_op
    }

    /// Adds an entry to the parameter index; gives its version.
    pub(super) fn add_lookup(&mut self, lookup: &Lookup<'_>, address: &[u8]) -> u64 {
        let op_id = self.next_op();
        self.encoded.clear();
        self.encoded.push(LOOKUP_PRESENT);
        self.encoded.extend_from_slice(lookup.output.as_bytes());
        self.batch.put(Keyspace::Lookups, &key::lookup_version(entry(lookup, address), op_id), &self.encoded);
        op_id
    }

    /// Removes an entry from the parameter index. While readers see it, it stays until the next checkpoint.
    pub(super) fn remove_lookup(&mut self, lookup: &Lookup<'_>, address: &[u8]) {
        let Some(shown) = lookup.op_id else { return };
        let entry = entry(lookup, address);
        if shown > self.checkpoint_op() {
            self.batch.delete(Keyspace::Lookups, &key::lookup_version(entry, shown));
        } else {
            let removed = self.next_op();
            self.superseded.push(Superseded { entry, shown, removed });
        }
    }

    /// Stores all that is pending. `visit` sees every bucket that has changed.
    pub(super) fn commit(
        &mut self,
        how: Storing<'_>,
        visit: impl FnMut(BucketId, &BucketRecord),
    ) -> Result<Stored, SinkError> {
        let Storing { durability, checkpoint, may_go_on } = how;
        if self.load.bytes() < self.load_bytes_min {
            self.dissolve_load();
        }
        self.rows.store(&mut self.batch);
        self.buckets.store(&mut self.batch, visit);
        self.settle_lookups(checkpoint.is_some())?;
        if self.sequence != self.sequence_stored {
            meta::put(&mut self.batch, meta::SEQUENCE, &self.sequence)?;
            self.sequence_stored = self.sequence;
        }
        if let Some(checkpoint) = checkpoint {
            meta::put(&mut self.batch, meta::CHECKPOINT, checkpoint)?;
            self.checkpoint_op = Some(checkpoint.op_id);
        }
        if self.load.is_empty() {
            self.store.commit(&self.batch, durability)?;
            self.batch.clear();
            return Ok(Stored::Whole);
        }
        let (load, batch) = (std::mem::take(&mut self.load), std::mem::take(&mut self.batch));
        self.load = self.loader.begin(load.whole(batch, durability)?)?;
        if may_go_on {
            return Ok(Stored::OnItsWay);
        }
        self.loader.settle()?;
        if checkpoint.is_some() {
            // There are no more loads.
            self.load = Load::default();
            self.loader.forget_spare();
        }
        Ok(Stored::Whole)
    }

    /// Waits until the load that is on its way is stored.
    pub(super) fn settle_load(&self) -> Result<(), SinkError> {
        Ok(self.loader.settle()?)
    }

    /// Deletes entries that no reader sees any more: with a checkpoint those that this batch removes, without one those
    /// that earlier batches have removed since the checkpoint before. The others are marked as removed, for readers at
    /// the next checkpoint, and noted for being deleted after it.
    fn settle_lookups(&mut self, is_checkpoint: bool) -> Result<(), SinkError> {
        self.delete_superseded()?;
        for Superseded { entry, shown, removed } in self.superseded.drain(..) {
            let shown = key::lookup_version(entry.clone(), shown);
            if is_checkpoint {
                self.batch.delete(Keyspace::Lookups, &shown);
            } else {
                let mark = key::lookup_version(entry, removed);
                let mut note = Vec::new();
                put_bytes(&mut note, &shown);
                put_bytes(&mut note, &mark);
                self.batch.put(Keyspace::Lookups, &mark, &[LOOKUP_REMOVED]);
                self.batch.put(Keyspace::Lookups, &key::superseded(removed), &note);
                self.has_superseded_stored = true;
            }
        }
        Ok(())
    }

    fn delete_superseded(&mut self) -> Result<(), SinkError> {
        if !self.has_superseded_stored {
            return Ok(());
        }
        let range = key::superseded_upto(self.checkpoint_op());
        for pair in self.store.scan(Keyspace::Lookups, &range, Direction::Forward).take(SUPERSEDED_SLICE_MAX) {
            let (note_key, note) = pair?;
            let mut cursor = Cursor::new(&note, "a note of a removed lookup");
            self.batch.delete(Keyspace::Lookups, cursor.bytes()?);
            self.batch.delete(Keyspace::Lookups, cursor.bytes()?);
            self.batch.delete(Keyspace::Lookups, &note_key);
        }
        Ok(())
    }

    /// The first stored key of a range; nothing may be pending, as it wouldn't be seen.
    pub(super) fn first(&self, keyspace: Keyspace, range: &KeyRange) -> Result<Option<Vec<u8>>, SinkError> {
        let first = self.store.scan(keyspace, range, Direction::Forward).next().transpose()?;
        Ok(first.map(|(key, _)| key))
    }
}

fn entry(lookup: &Lookup<'_>, address: &[u8]) -> Vec<u8> {
    key::lookup_entry(key::lookup(lookup.definition, lookup.query, lookup.lookup), address, lookup.output)
}
