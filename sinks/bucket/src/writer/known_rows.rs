//! Row states that are known without a look into the store: what the pending batch makes of rows, and what was looked up
//! ahead.
//!
//! Looking up the states of rows, one here and one there, is half of the work for changes to rows that exist. In the order
//! of their keys it is much less, as neighbours lie on the same paths, which the processor's cache then has. So the rows of
//! a write are looked up together, before the first is placed.
//!
//! A state that was looked up stays true, as every change to a row goes through [`KnownRows::set`]; until then, or until it
//! is forgotten at the end of the rows it was looked up for.

use std::collections::HashMap;

use millstream_core::error::SinkError;

use crate::store::{Batch, Keyspace, Read};

/// How many rows are looked up together.
pub(super) const AHEAD_ROWS_MAX: usize = 4_096;

/// How much is looked up together, in bytes: states of rows that nobody shall see yet hold their data.
const AHEAD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What an entry takes in memory besides its address and state, about.
const ENTRY_BYTES: usize = 96;

/// See the module's docs.
#[derive(Debug, Default)]
pub(super) struct KnownRows {
    rows: HashMap<Vec<u8>, Row>,
    /// What the pending ones take in memory, about.
    pending_bytes: usize,
    /// Whether rows that were looked up ahead are to stay.
    is_ahead: bool,
}

#[derive(Debug)]
struct Row {
    /// `None` if there is no such row.
    state: Option<Vec<u8>>,
    /// Whether the store has another.
    is_pending: bool,
}

/// Addresses of rows that are about to be written.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Addresses {
    pub(super) fn push(&mut self, filed: &[u8], row_key: &[u8]) {
        self.bytes.extend_from_slice(filed);
        self.bytes.extend_from_slice(row_key);
        self.ends.push(self.bytes.len());
    }

    fn sorted(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let parts = starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end));
        let mut sorted: Vec<&[u8]> = parts.collect();
        sorted.sort_unstable();
        sorted.dedup();
        sorted
    }
}

impl KnownRows {
    /// The state of a row, if it is known: `Some(None)` tells that there is none.
    pub(super) fn get(&self, address: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(address).map(|row| row.state.as_deref())
    }

    /// What the pending batch will make of a row.
    pub(super) fn set(&mut self, address: &[u8], state: Option<Vec<u8>>) {
        self.pending_bytes += address.len() + state.as_ref().map_or(0, Vec::len) + ENTRY_BYTES;
        let row = Row { state, is_pending: true };
        match self.rows.get_mut(address) {
            Some(known) => *known = row,
            None => drop(self.rows.insert(address.to_vec(), row)),
        }
    }

    /// The memory that pending rows take, in bytes.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    pub(super) fn has_pending(&self) -> bool {
        self.pending_bytes > 0
    }

    /// Looks up rows that aren't known, in the order of their keys, and keeps them until told to forget them.
    pub(super) fn look_ahead(&mut self, store: &dyn Read, addresses: &Addresses) -> Result<(), SinkError> {
        self.is_ahead = true;
        let mut bytes = 0;
        for address in addresses.sorted() {
            if bytes >= AHEAD_BYTES_MAX {
                break;
            }
            if self.rows.contains_key(address) {
                continue;
            }
            let state = store.get(Keyspace::Rows, address)?;
            bytes += state.as_ref().map_or(0, Vec::len);
            self.rows.insert(address.to_vec(), Row { state, is_pending: false });
        }
        Ok(())
    }

    /// Forgets what was looked up ahead.
    pub(super) fn forget_ahead(&mut self) {
        if std::mem::take(&mut self.is_ahead) {
            self.rows.retain(|_, row| row.is_pending);
        }
    }

    /// Adds what is pending to a batch that is being stored.
    pub(super) fn store(&mut self, batch: &mut Batch) {
        for (address, row) in &mut self.rows {
            if std::mem::take(&mut row.is_pending) {
                match &row.state {
                    Some(state) => batch.put(Keyspace::Rows, address, state),
                    None => batch.delete(Keyspace::Rows, address),
                }
            }
        }
        self.pending_bytes = 0;
        if !self.is_ahead {
            self.rows.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Durability, MemoryStore, Store};

    fn stored(pairs: &[(&[u8], &[u8])]) -> MemoryStore {
        let store = MemoryStore::default();
        let mut batch = Batch::new();
        pairs.iter().for_each(|(address, state)| batch.put(Keyspace::Rows, address, state));
        store.commit(&batch, Durability::Synced).unwrap();
        store
    }

    #[test]
    fn what_is_looked_up_ahead_never_hides_what_was_written() {
        let store = stored(&[(b"ta", b"1"), (b"tb", b"1")]);
        let mut rows = KnownRows::default();
        rows.set(b"tb", Some(b"2".to_vec()));
        let mut addresses = Addresses::default();
        [b"c", b"b", b"a", b"c"].iter().for_each(|key| addresses.push(b"t", *key));
        rows.look_ahead(&store, &addresses).unwrap();
        assert_eq!(rows.get(b"ta"), Some(Some(b"1".as_slice())));
        assert_eq!(rows.get(b"tb"), Some(Some(b"2".as_slice())));
        assert_eq!(rows.get(b"tc"), Some(None));
        assert_eq!(rows.get(b"td"), None);

        rows.set(b"ta", None);
        let mut batch = Batch::new();
        rows.store(&mut batch);
        store.commit(&batch, Durability::Synced).unwrap();
        assert!(!rows.has_pending() && batch.len() == 2);
        // Still known, as the store has it now.
        assert_eq!(rows.get(b"ta"), Some(None));
        rows.set(b"tc", Some(b"3".to_vec()));
        rows.forget_ahead();
        assert_eq!(rows.get(b"ta"), None);
        assert_eq!(rows.get(b"tc"), Some(Some(b"3".as_slice())));
        assert_eq!(store.get(Keyspace::Rows, b"tb").unwrap().as_deref(), Some(b"2".as_slice()));
    }

    #[test]
    fn large_states_are_not_all_looked_up_ahead() {
        let large = vec![0; AHEAD_BYTES_MAX];
        let store = stored(&[(b"a", &large), (b"b", &large)]);
        let mut rows = KnownRows::default();
        let mut addresses = Addresses::default();
        [b"b", b"a"].iter().for_each(|key| addresses.push(b"", *key));
        rows.look_ahead(&store, &addresses).unwrap();
        assert!(rows.get(b"a").is_some() && rows.get(b"b").is_none());
    }
}
