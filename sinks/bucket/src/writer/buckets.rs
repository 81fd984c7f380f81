//! The records of the buckets that are being written to, kept in memory between commits.

use std::collections::HashMap;

use millstream_core::error::SinkError;

use crate::bucket::BucketRecord;
use crate::key::{self, BucketId, DefinitionId};
use crate::meta::Sequence;
use crate::record::Malformed;
use crate::store::{Batch, Keyspace, Read};

/// How many records are kept after a commit; beyond that all are read anew.
const KEPT_MAX: usize = 20_000;

/// What a record in the cache takes, about.
const ENTRY_BYTES: usize = 512;

/// A place in the cache; good until the next [`Buckets::store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

#[derive(Debug)]
struct Entry {
    id: BucketId,
    record: BucketRecord,
    is_new: bool,
    is_changed: bool,
}

/// A write-back cache of bucket records.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    entries: Vec<Entry>,
    by_id: HashMap<BucketId, usize>,
    by_name: HashMap<DefinitionId, HashMap<Box<str>, usize>>,
    changed: Vec<usize>,
    /// The entry that was asked for last: neighbouring rows mostly go to the same bucket.
    last_named: usize,
}

impl Buckets {
    /// The bucket of a name, created if there is none.
    pub(super) fn named(
        &mut self,
        store: &dyn Read,
        sequence: &mut Sequence,
        definition: DefinitionId,
        name: &str,
    ) -> Result<Slot, SinkError> {
        if let Some(entry) = self.entries.get(self.last_named)
            && entry.id.definition == definition
            && entry.record.name == name
        {
            return Ok(Slot(self.last_named));
        }
        if let Some(index) = self.by_name.get(&definition).and_then(|names| names.get(name)) {
            self.last_named = *index;
            return Ok(Slot(*index));
        }
        match store.get(Keyspace::Buckets, &key::bucket_name(definition, name))? {
            Some(number) => {
                let number = number.as_slice().try_into().map_err(|_| Malformed("a bucket's number"))?;
                self.load(store, BucketId { definition, number: u32::from_be_bytes(number) })
            }
            None => {
                let number = sequence.last_bucket.checked_add(1).ok_or_else(no_more_buckets)?;
                sequence.last_bucket = number;
                let id = BucketId { definition, number };
                let slot = self.insert(id, BucketRecord::new(name), true);
                // Rows may come to mention it before it has any op.
                self.change(slot);
                Ok(slot)
            }
        }
    }

    /// The bucket of a number that is known to exist.
    pub(super) fn numbered(&mut self, store: &dyn Read, id: BucketId) -> Result<Slot, SinkError> {
        match self.by_id.get(&id) {
            Some(index) => Ok(Slot(*index)),
            None => self.load(store, id),
        }
    }

    fn load(&mut self, store: &dyn Read, id: BucketId) -> Result<Slot, SinkError> {
        let bytes = store.get(Keyspace::Buckets, &key::bucket(id))?.ok_or(Malformed("a row in a bucket"))?;
        Ok(self.insert(id, BucketRecord::decode(&bytes)?, false))
    }

    fn insert(&mut self, id: BucketId, record: BucketRecord, is_new: bool) -> Slot {
        let index = self.entries.len();
        self.by_id.insert(id, index);
        self.by_name.entry(id.definition).or_default().insert(record.name.as_str().into(), index);
        self.entries.push(Entry { id, record, is_new, is_changed: false });
        Slot(index)
    }

    pub(super) fn id(&self, slot: Slot) -> Option<BucketId> {
        self.entries.get(slot.0).map(|entry| entry.id)
    }

    pub(super) fn record(&self, slot: Slot) -> Option<&BucketRecord> {
        self.entries.get(slot.0).map(|entry| &entry.record)
    }

    /// The record of a bucket, to be changed.
    pub(super) fn change(&mut self, slot: Slot) -> Option<&mut BucketRecord> {
        let entry = self.entries.get_mut(slot.0)?;
        if !entry.is_changed {
            entry.is_changed = true;
            self.changed.push(slot.0);
        }
        Some(&mut entry.record)
    }

    /// The memory that records beyond those that are kept anyway take, in bytes: counted towards the size of a batch, so
    /// that they don't grow without end where nothing changes.
    pub(super) fn excess_bytes(&self) -> usize {
        self.entries.len().saturating_sub(KEPT_MAX) * ENTRY_BYTES
    }

    /// Adds what has changed to a batch, and shows each changed bucket to `visit`.
    pub(super) fn store(&mut self, batch: &mut Batch, mut visit: impl FnMut(BucketId, &BucketRecord)) {
        for index in self.changed.drain(..) {
            let Some(entry) = self.entries.get_mut(index) else { continue };
            batch.put(Keyspace::Buckets, &key::bucket(entry.id), &entry.record.encode());
            if entry.is_new {
                let name = key::bucket_name(entry.id.definition, &entry.record.name);
                batch.put(Keyspace::Buckets, &name, &entry.id.number.to_be_bytes());
            }
            entry.is_new = false;
            entry.is_changed = false;
            visit(entry.id, &entry.record);
        }
        if self.entries.len() > KEPT_MAX {
            self.forget_all();
        }
    }

    /// Forgets what is unchanged; nothing may be changed.
    pub(super) fn forget_all(&mut self) {
        self.entries.clear();
        self.by_id.clear();
        self.by_name.clear();
        self.changed.clear();
    }
}

fn no_more_buckets() -> SinkError {
    SinkError::new(
        "The bucket store has given out all of its 2^32 bucket numbers",
        "Use bucket parameters with fewer values in the sync config, and start with an empty store",
    )
}
