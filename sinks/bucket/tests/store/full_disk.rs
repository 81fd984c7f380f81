//! A real full file system: the test starts itself again where a small one is mounted that nobody else sees.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use millstream_bucket::store::{Durability, FjallStore, PoisonCause, StoreError};

use super::ledger;

const DIRECTORY_VARIABLE: &str = "MILLSTREAM_FULL_DISK_TEST_DIRECTORY";

const FILE_SYSTEM_MIB: usize = 48;
const LARGER_FILE_SYSTEM_MIB: usize = 96;

/// What is taken on the file system at first: so much that the first table can't be written, and so much that the
/// journal breaks off later.
const FILLERS_MIB: [usize; 2] = [35, 24];

/// More than fit on the file system by far.
const COMMITS_MAX: u64 = 20_000;

#[test]
fn a_full_disk_poisons_the_store_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    if let Err(why) = on_small_disk(directory.path(), Path::new("true"), &[]) {
        millstream_testkit::skip(&format!("a small file system can't be mounted for it: {why}"));
        return;
    }
    let arguments = ["--exact", "store::full_disk::inside", "--ignored", "--nocapture", "--test-threads=1"];
    match on_small_disk(directory.path(), &std::env::current_exe().unwrap(), &arguments) {
        Ok(shown) => assert!(shown.contains("1 passed"), "{shown}"),
        Err(shown) => panic!("{shown}"),
    }
}

/// Runs a program that alone sees a small file system at a directory. Returns what it shows, in both cases.
fn on_small_disk(mount: &Path, program: &Path, arguments: &[&str]) -> Result<String, String> {
    let script = format!("mount -t tmpfs -o size={FILE_SYSTEM_MIB}m tmpfs \"$0\" && exec \"$@\"");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .args([mount, program])
        .args(arguments)
        .env(DIRECTORY_VARIABLE, mount)
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(shown) } else { Err(shown) }
}

#[test]
#[ignore = "what the test of full disks runs on its small file system"]
fn inside() {
    let mount = PathBuf::from(std::env::var(DIRECTORY_VARIABLE).expect("started by another test"));
    let filler = mount.join("filler");
    for filler_mib in FILLERS_MIB {
        let path = mount.join(format!("store-{filler_mib}"));
        fs::write(&filler, vec![1; filler_mib * 1024 * 1024]).unwrap();
        let durable = fill(&path);
        fs::remove_file(&filler).unwrap();
        goes_on(&path, durable);
        fs::remove_dir_all(&path).unwrap();
    }
    // Without a filler it fills the disk alone, with tables and several journals; then the disk grows.
    let path = mount.join("store");
    let durable = fill(&path);
    let size = format!("remount,size={LARGER_FILE_SYSTEM_MIB}m");
    assert!(Command::new("mount").args(["-o", &size]).arg(&mount).status().unwrap().success());
    goes_on(&path, durable);
}

fn goes_on(path: &Path, durable: u64) {
    let store = FjallStore::open(path).unwrap();
    let count = ledger::check(&store);
    assert!(count >= durable, "{durable} commits were durable, {count} are there");
    for n in count + 1..count + 200 {
        ledger::commit(&store, n, Durability::Synced).unwrap();
    }
    ledger::check(&store);
}

/// Commits until the disk is full, and returns how many commits were durable by then.
fn fill(path: &Path) -> u64 {
    let store = FjallStore::open(path).unwrap();
    let mut durable = ledger::committed(&store);
    let error = loop {
        match ledger::commit(&store, durable + 1, Durability::Synced) {
            Ok(()) => durable += 1,
            Err(error) => break error,
        }
        assert!(durable < COMMITS_MAX, "the disk never filled");
    };
    assert!(matches!(&error, StoreError::Poisoned { cause: PoisonCause::DiskFull { .. }, .. }), "{error}");
    let shown = error.to_string();
    assert!(shown.contains("No space is left") && shown.contains("Make space"), "{shown}");
    // It refuses with the same reason from then on, whatever is asked; what it has can be read.
    for durability in [Durability::Buffered, Durability::Synced] {
        let again = ledger::commit(&store, durable + 1, durability).unwrap_err();
        assert_eq!(again.to_string(), shown);
    }
    assert!(ledger::committed(&store) >= durable);
    println!("full after {durable} commits: {shown}");
    drop(store);
    // Opening it while the disk is still full may fail for that reason, or succeed and lose nothing.
    match FjallStore::open(path) {
        Ok(store) => assert!(ledger::check(&store) >= durable),
        Err(error) => assert!(matches!(error, StoreError::Io { .. }), "{error}"),
    }
    durable
}
