//! The store after its process was killed, and after a power cut.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use millstream_bucket::store::{Durability, FjallStore, Keyspace, Store, StoreError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::ledger;

const DIRECTORY_VARIABLE: &str = "MILLSTREAM_STORE_TEST_DIRECTORY";

/// How often the writer is killed at work, and how often while it creates its store.
const KILLS: usize = 25;

/// Commits forever and prints the number of each that is durable. Started by the tests below, and killed by them.
#[test]
#[ignore = "the process that the tests of kills start and kill"]
fn writer() {
    let directory = PathBuf::from(std::env::var(DIRECTORY_VARIABLE).expect("started by another test"));
    let store = FjallStore::open(&directory).unwrap();
    let mut n = ledger::committed(&store);
    println!("durable {n}");
    loop {
        n += 1;
        let durability = if n.is_multiple_of(7) { Durability::Synced } else { Durability::Buffered };
        ledger::commit(&store, n, durability).unwrap();
        println!("durable {n}");
    }
}

fn start_writer(directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::crash::writer", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY_VARIABLE, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the writer has reported last. Against the death of its process alone a buffered commit is as good as a synced.
fn last_reported(writer: &mut Child) -> u64 {
    let output = BufReader::new(writer.stdout.take().unwrap());
    let numbers = output.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("durable ")?.parse().ok());
    numbers.last().unwrap_or(0)
}

#[test]
fn a_writer_killed_again_and_again_loses_nothing_and_leaves_no_half_commit() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let mut before = 0;
    for kill in 0..KILLS {
        let mut writer = start_writer(directory.path());
        std::thread::sleep(Duration::from_millis(random.random_range(20..200)));
        writer.kill().unwrap();
        let reported = last_reported(&mut writer).max(before);
        writer.wait().unwrap();
        let store = FjallStore::open(directory.path()).unwrap();
        let count = ledger::check(&store);
        assert!(count >= reported, "kill {kill}: {reported} commits were reported, {count} are there");
        before = count;
    }
    assert!(before > 0, "no writer came as far as its first commit");
}

#[test]
fn a_creation_killed_at_any_moment_is_completed() {
    let parent = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(2);
    for kill in 0..KILLS {
        let path = parent.path().join(kill.to_string());
        let mut writer = start_writer(&path);
        // Wait until it has begun, else all kills would hit the process before it has done anything.
        while !path.exists() {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let store = FjallStore::open(&path).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        let count = ledger::check(&store);
        ledger::commit(&store, count + 1, Durability::Synced).unwrap();
    }
}

/// A store with ten commits in its journal, closed, and the place in the journal at which the last of them lies.
fn store_with_journal(directory: &Path) -> PathBuf {
    let store = FjallStore::open(directory).unwrap();
    for n in 1..=10 {
        ledger::commit(&store, n, Durability::Synced).unwrap();
    }
    drop(store);
    directory.join("engine/0.jnl")
}

/// Where the journal's batches end, which zeros follow.
fn end_of_content(journal: &Path) -> u64 {
    let bytes = fs::read(journal).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

fn overwrite(journal: &Path, position: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(journal).unwrap();
    file.seek(SeekFrom::Start(position)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_torn_end_of_the_journal_is_cut_off_wherever_it_is_torn() {
    let mut random = StdRng::seed_from_u64(3);
    for round in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let journal = store_with_journal(directory.path());
        let end = end_of_content(&journal);
        // The last commit takes a little more than its op.
        let position = end - random.random_range(1..4096);
        match round % 3 {
            // Pages of the last batch that never reached the disk.
            0 => overwrite(&journal, position, &vec![0; random.random_range(1..=(end - position) as usize)]),
            // The file ends inside it.
            1 => OpenOptions::new().write(true).open(&journal).unwrap().set_len(position).unwrap(),
            // What was in the blocks before.
            _ => overwrite(&journal, position, &[0xa5; 64][..64.min((end - position) as usize)]),
        }
        let store = FjallStore::open(directory.path()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(ledger::check(&store), 9, "round {round}");
        for n in 10..=12 {
            ledger::commit(&store, n, Durability::Synced).unwrap();
        }
        drop(store);
        let store = FjallStore::open(directory.path()).unwrap();
        assert_eq!(ledger::check(&store), 12, "round {round}: the journal wasn't fit for more after the cut");
    }
}

#[test]
fn a_journal_broken_before_what_was_flushed_is_damaged_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).unwrap();
    for n in 1..=4 {
        ledger::commit(&store, n, Durability::Synced).unwrap();
    }
    // Writes the ops to a table, for which the engine syncs the journal first.
    let handle = || store.reclaim(Keyspace::Ops);
    handle().unwrap();
    drop(store);
    let journal = directory.path().join("engine/0.jnl");
    overwrite(&journal, end_of_content(&journal) - 2000, &[0xa5; 64]);
    let mut damaged = Vec::new();
    fs::File::open(&journal).unwrap().read_to_end(&mut damaged).unwrap();
    for _ in 0..2 {
        match FjallStore::open(directory.path()) {
            Err(StoreError::Damaged { reason, .. }) => assert!(reason.contains("journal"), "{reason}"),
            Err(error) => panic!("{error}"),
            Ok(store) => panic!("it was opened with {} commits", ledger::committed(&store)),
        }
    }
    assert!(fs::read(&journal).unwrap() == damaged, "the evidence was changed");
}
