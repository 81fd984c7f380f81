//! A load whose commits can be checked one by one: commit n leaves a mark in several keyspaces, and what the store holds
//! afterwards says exactly which commits it has.

use millstream_bucket::store::{Batch, Direction, Durability, KeyRange, Keyspace, Store, StoreError};

const COUNTER: &[u8] = b"counter";

/// Rows that the commits update in turn.
const ROWS: u64 = 97;

/// Large enough for some hundred commits to fill a memtable.
const OP_BYTES: usize = 4096;

/// How many commits a store has.
pub fn committed(store: &dyn Store) -> u64 {
    let counter = store.get(Keyspace::Meta, COUNTER).unwrap();
    counter.map_or(0, |counter| u64::from_be_bytes(counter.try_into().unwrap()))
}

/// Makes commit n, where n - 1 were made before.
pub fn commit(store: &dyn Store, n: u64, durability: Durability) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    batch.put(Keyspace::Meta, COUNTER, &n.to_be_bytes());
    batch.put(Keyspace::Ops, &n.to_be_bytes(), &op(n));
    batch.put(Keyspace::Rows, &(n % ROWS).to_be_bytes(), &n.to_be_bytes());
    batch.put(Keyspace::Lookups, &n.to_be_bytes(), b"");
    if let Some(old) = n.checked_sub(ROWS).filter(|old| *old > 0) {
        batch.delete(Keyspace::Lookups, &old.to_be_bytes());
    }
    store.commit(&batch, durability)
}

/// Checks that a store has whole commits only, from the first without a gap, and returns their number.
pub fn check(store: &dyn Store) -> u64 {
    let count = committed(store);
    let mut expected = 1;
    for pair in store.scan(Keyspace::Ops, &KeyRange::all(), Direction::Forward) {
        let (key, value) = pair.unwrap();
        assert_eq!(key, u64::to_be_bytes(expected), "op {expected} of {count} is missing");
        assert!(value == op(expected), "op {expected} of {count} has another value");
        expected += 1;
    }
    assert_eq!(expected - 1, count, "the op log ends elsewhere than the counter");
    for pair in store.scan(Keyspace::Rows, &KeyRange::all(), Direction::Forward) {
        let (key, value) = pair.unwrap();
        let row = u64::from_be_bytes(key.try_into().unwrap());
        let last = (0..=count).rev().find(|n| n % ROWS == row).unwrap();
        assert_eq!(value, last.to_be_bytes(), "row {row} isn't as commit {last} of {count} left it");
    }
    let lookups = store.scan(Keyspace::Lookups, &KeyRange::all(), Direction::Backward).map(|pair| pair.unwrap().0);
    let newest: Vec<Vec<u8>> = (1..=count).rev().take(ROWS as usize).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(lookups.collect::<Vec<_>>(), newest, "the lookups aren't those of the newest of {count} commits");
    count
}

/// Doesn't compress, so that it fills memtables and disks as it should.
fn op(n: u64) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = Vec::with_capacity(OP_BYTES);
    while value.len() < OP_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend_from_slice(&state.to_le_bytes());
    }
    value
}
