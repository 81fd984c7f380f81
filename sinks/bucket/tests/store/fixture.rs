//! Stores that earlier releases wrote. `fixtures/store-vN` is one of format N, with the content of [`content`].

use std::fs;
use std::path::{Path, PathBuf};

use millstream_bucket::store::{Batch, Direction, Durability, FjallStore, KeyRange, Keyspace, Read, Store};

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/store-v{format}"))
}

/// What is in the tables of every fixture, and what is in its journal only.
fn content() -> (Batch, Batch) {
    let (mut tables, mut journal) = (Batch::new(), Batch::new());
    for keyspace in Keyspace::ALL {
        for n in 0..20_u32 {
            let batch = if n < 15 { &mut tables } else { &mut journal };
            batch.put(keyspace, &n.to_be_bytes(), format!("{keyspace} {n} ").repeat(n as usize).as_bytes());
        }
        journal.delete(keyspace, &3_u32.to_be_bytes());
    }
    (tables, journal)
}

fn pairs(store: &dyn Read, keyspace: Keyspace) -> Vec<(Vec<u8>, Vec<u8>)> {
    let numbered = KeyRange::between(&0_u32.to_be_bytes(), &100_u32.to_be_bytes());
    store.scan(keyspace, &numbered, Direction::Forward).map(|pair| pair.unwrap()).collect()
}

#[test]
fn a_store_of_format_3_opens_with_all_that_it_had() {
    let directory = tempfile::tempdir().unwrap();
    copy(&fixture(3), directory.path());
    let store = FjallStore::open(directory.path()).unwrap();
    let (tables, journal) = content();
    let expected = millstream_bucket::store::MemoryStore::new();
    expected.commit(&tables, Durability::Synced).unwrap();
    expected.commit(&journal, Durability::Synced).unwrap();
    for keyspace in Keyspace::ALL {
        assert_eq!(pairs(&store, keyspace), pairs(&expected, keyspace), "{keyspace}");
    }
    super::ledger::commit(&store, 1, Durability::Synced).unwrap();
}

/// Run with `cargo test -- --ignored write_the_fixture` when the format changes; never for a format that was released.
#[test]
#[ignore = "writes the fixture of a new format"]
fn write_the_fixture() {
    let path = fixture(3);
    assert!(!path.exists(), "{} is there; the fixture of a released format stays as it is", path.display());
    let (tables, journal) = content();
    let store = FjallStore::open(&path).unwrap();
    store.commit(&tables, Durability::Synced).unwrap();
    Keyspace::ALL.into_iter().for_each(|keyspace| store.reclaim(keyspace).unwrap());
    store.commit(&journal, Durability::Synced).unwrap();
    drop(store);
    // Opening it again cuts the space off that the journal was allocated ahead.
    drop(FjallStore::open(&path).unwrap());
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
