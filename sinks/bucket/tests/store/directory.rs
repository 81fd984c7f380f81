//! What a directory may hold for a store to be opened or created in it.

use std::fs;
use std::path::Path;

use millstream_bucket::store::{
    Batch, Durability, FjallStore, KEY_BYTES_MAX, Keyspace, META_FORMAT_KEY, Read, Store, StoreError,
};
use millstream_core::error::SinkError;

use super::ledger;

fn refused(path: &Path) -> StoreError {
    match FjallStore::open(path) {
        Ok(_) => panic!("a store was opened in {}", path.display()),
        Err(error) => error,
    }
}

#[test]
fn a_store_is_created_where_nothing_was_and_found_again() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("new/store");
    let store = FjallStore::open(&path).unwrap();
    ledger::commit(&store, 1, Durability::Synced).unwrap();
    assert!(store.disk_bytes().unwrap() > 0);
    drop(store);
    assert_eq!(ledger::check(&FjallStore::open(&path).unwrap()), 1);
}

#[test]
fn a_store_in_use_names_its_holder_and_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let error = refused(directory.path());
    let StoreError::Held { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    let shown = error.to_string();
    assert!(shown.contains("another millstream process") && shown.contains("control socket"), "{shown}");
    drop(store);
    FjallStore::open(directory.path()).unwrap();
}

#[test]
fn a_directory_of_something_else_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("holiday.jpg"), "a picture").unwrap();
    let error = refused(directory.path());
    assert!(matches!(&error, StoreError::Foreign { found, .. } if found.contains("holiday.jpg")), "{error}");
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["holiday.jpg"]);
}

#[test]
fn a_marker_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for marker in ["", "another program\nformat 1\n", "millstream bucket store\nformat one\n", "\0\0\0\0"] {
        fs::write(directory.path().join("format"), marker).unwrap();
        let error = refused(directory.path());
        assert!(matches!(error, StoreError::Foreign { .. }), "{marker:?}: {error}");
    }
    assert!(!directory.path().join("engine").exists());
}

#[test]
fn the_format_of_before_the_first_release_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(FjallStore::open(directory.path()).unwrap());
    fs::write(directory.path().join("format"), "millstream bucket store\nformat 1\n").unwrap();
    let error = SinkError::from(refused(directory.path()));
    assert!(error.diagnosis.contains("format 1") && error.remedy.contains("Remove it"), "{error}");
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    drop(FjallStore::open(directory.path()).unwrap());
    fs::write(directory.path().join("format"), "millstream bucket store\nformat 7\nand more\n").unwrap();
    let error = refused(directory.path());
    assert!(matches!(error, StoreError::NewerFormat { found: 7, supported: 3, .. }), "{error}");
    let error = SinkError::from(error);
    assert!(error.diagnosis.contains("format 7") && error.remedy.contains("release"), "{error}");
}

#[test]
fn the_record_inside_the_engine_counts_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut batch = Batch::new();
    batch.put(Keyspace::Meta, META_FORMAT_KEY, b"millstream bucket store\nformat 9\n");
    store.commit(&batch, Durability::Synced).unwrap();
    drop(store);
    assert!(matches!(refused(directory.path()), StoreError::NewerFormat { found: 9, .. }));
}

#[test]
fn an_engine_with_data_but_without_a_record_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut batch = Batch::new();
    batch.delete(Keyspace::Meta, META_FORMAT_KEY);
    batch.put(Keyspace::Rows, b"row", b"of somebody else");
    store.commit(&batch, Durability::Synced).unwrap();
    drop(store);
    assert!(matches!(refused(directory.path()), StoreError::Damaged { .. }));
    fs::remove_file(directory.path().join("format")).unwrap();
    assert!(matches!(refused(directory.path()), StoreError::Damaged { .. }));
}

#[test]
fn a_store_with_data_whose_marker_is_lost_is_damaged() {
    for durability in [Durability::Synced, Durability::Buffered] {
        let directory = tempfile::tempdir().unwrap();
        let store = FjallStore::open(directory.path()).unwrap();
        ledger::commit(&store, 1, durability).unwrap();
        drop(store);
        let marker = directory.path().join("format");
        let content = fs::read(&marker).unwrap();
        fs::remove_file(&marker).unwrap();
        for _ in 0..2 {
            let error = refused(directory.path());
            assert!(matches!(&error, StoreError::Damaged { reason, .. } if reason.contains("format")), "{error}");
        }
        fs::write(&marker, content).unwrap();
        assert_eq!(ledger::check(&FjallStore::open(directory.path()).unwrap()), 1);
    }
}

/// The marker is the last that a creation writes.
#[test]
fn a_store_without_data_gets_the_marker_that_its_creation_lacked() {
    let directory = tempfile::tempdir().unwrap();
    drop(FjallStore::open(directory.path()).unwrap());
    fs::remove_file(directory.path().join("format")).unwrap();
    drop(FjallStore::open(directory.path()).unwrap());
    assert!(directory.path().join("format").exists());
}

#[test]
fn an_engine_whose_creation_broke_off_is_created_again() {
    for has_marker in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let engine = directory.path().join("engine");
        // What the engine has made before its marker, which comes last; the marker may be there without its bytes.
        fs::create_dir_all(engine.join("keyspaces")).unwrap();
        fs::write(engine.join("lock"), "").unwrap();
        fs::write(engine.join("0.jnl"), [0; 1000]).unwrap();
        if has_marker {
            fs::write(engine.join("version"), "").unwrap();
        }
        let store = FjallStore::open(directory.path()).unwrap();
        assert_eq!(ledger::check(&store), 0);
        ledger::commit(&store, 1, Durability::Synced).unwrap();
    }
}

#[test]
fn a_finished_store_without_its_engine_is_damaged_not_new() {
    let directory = tempfile::tempdir().unwrap();
    drop(FjallStore::open(directory.path()).unwrap());
    fs::remove_file(directory.path().join("engine/version")).unwrap();
    assert!(matches!(refused(directory.path()), StoreError::Damaged { .. }));
}

#[test]
fn a_path_that_is_a_file_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = refused(file.path());
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().contains(&file.path().display().to_string()));
}

#[test]
fn a_key_that_is_too_long_is_refused_and_nothing_else_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    let mut batch = Batch::new();
    batch.put(Keyspace::Rows, b"short", b"value");
    batch.put(Keyspace::Rows, &vec![1; KEY_BYTES_MAX + 1], b"value");
    assert!(matches!(store.commit(&batch, Durability::Synced), Err(StoreError::KeyTooLong { .. })));
    assert_eq!(store.get(Keyspace::Rows, b"short").unwrap(), None);
    assert_eq!(store.get(Keyspace::Rows, &vec![1; 100_000]).unwrap(), None);
    ledger::commit(&store, 1, Durability::Synced).unwrap();
}
