//! The twin in memory, for tests.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use super::batch::Batch;
use super::error::StoreError;
use super::range::{Direction, KeyRange};
use super::{Durability, Keyspace, Read, Scan, ScanItem, Store};

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// The keyspaces at one moment. Each is shared with the snapshots that saw the same and copied when it changes while one
/// still does.
#[derive(Debug, Clone, Default)]
struct State {
    keyspaces: BTreeMap<Keyspace, Arc<Pairs>>,
}

/// A store that lives and dies with its process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: RwLock<State>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    fn pairs(&self, keyspace: Keyspace) -> Arc<Pairs> {
        self.keyspaces.get(&keyspace).map(Arc::clone).unwrap_or_default()
    }

    fn apply(&mut self, batch: &Batch) {
        for entry in batch.entries() {
            let pairs = Arc::make_mut(self.keyspaces.entry(entry.keyspace).or_default());
            match entry.value {
                Some(value) => pairs.insert(entry.key.to_vec(), value.to_vec()),
                None => pairs.remove(entry.key),
            };
        }
    }
}

impl Read for State {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.keyspaces.get(&keyspace).and_then(|pairs| pairs.get(key)).cloned())
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        Box::new(MemoryScan { pairs: self.pairs(keyspace), rest: range.clone(), direction })
    }
}

impl Read for MemoryStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        Box::new(MemoryScan { pairs: self.state().pairs(keyspace), rest: range.clone(), direction })
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Box<dyn Read> {
        Box::new(self.state())
    }

    fn commit(&self, batch: &Batch, _durability: Durability) -> Result<(), StoreError> {
        batch.check_lengths()?;
        self.state.write().unwrap_or_else(PoisonError::into_inner).apply(batch);
        Ok(())
    }

    fn reclaim(&self, _keyspace: Keyspace) -> Result<(), StoreError> {
        Ok(())
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        let state = self.state();
        let bytes: usize =
            state.keyspaces.values().flat_map(|pairs| pairs.iter()).map(|(key, value)| key.len() + value.len()).sum();
        Ok(bytes as u64)
    }
}

/// Looks its next pair up by key each time, so that it can own what it scans.
struct MemoryScan {
    pairs: Arc<Pairs>,
    rest: KeyRange,
    direction: Direction,
}

impl Iterator for MemoryScan {
    type Item = ScanItem;

    fn next(&mut self) -> Option<ScanItem> {
        if self.rest.is_empty() {
            return None;
        }
        let mut range = self.pairs.range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>(self.rest.bounds());
        let (key, value) = match self.direction {
            Direction::Forward => range.next(),
            Direction::Backward => range.next_back(),
        }?;
        self.rest = match self.direction {
            Direction::Forward => self.rest.starting_after(key),
            Direction::Backward => self.rest.ending_before(key),
        };
        Some(Ok((key.clone(), value.clone())))
    }
}
