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

/// A store with ten commits in its journal, closed. The first nine are synced.
fn store_with_journal(directory: &Path) -> PathBuf {
    let store = FjallStore::open(directory).unwrap();
    for n in 1..=10 {
        ledger::commit(&store, n, if n < 10 { Durability::Synced } else { Durability::Buffered }).unwrap();
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

fn expect_damaged(directory: &Path, word: &str) -> String {
    match FjallStore::open(directory) {
        Err(error @ StoreError::Damaged { .. }) => {
            let text = error.to_string();
            assert!(text.contains(word) && text.contains("back-up"), "{text}");
            assert!(!text.contains("Error") && !text.contains('{'), "{text}");
            text
        }
        Err(error) => panic!("{error}"),
        Ok(store) => panic!("it was opened with {} commits", ledger::committed(&store)),
    }
}

/// No power cut does that to what has been synced: a failing disk does, or somebody's hand.
#[test]
fn a_journal_that_lacks_synced_commits_is_damaged_and_stays_as_it_is() {
    let random_place = |end: u64| StdRng::seed_from_u64(4).random_range(end / 4..end / 2);
    for round in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let journal = store_with_journal(directory.path());
        let place = random_place(end_of_content(&journal));
        match round {
            0 => overwrite(&journal, place, &[0xa5; 64]),
            1 => OpenOptions::new().write(true).open(&journal).unwrap().set_len(place).unwrap(),
            2 => overwrite(&journal, place, &vec![0; 200_000]),
            _ => fs::remove_file(&journal).unwrap(),
        }
        let damaged = fs::read(&journal).ok();
        for _ in 0..2 {
            expect_damaged(directory.path(), "had been synced");
            // A journal that is gone is created anew by the engine, empty.
            assert!(damaged.is_none() || fs::read(&journal).ok() == damaged, "round {round}: the evidence was changed");
        }
    }
}

/// Without the note a journal that is cut short would go unseen. No power cut does that to it: its creation is synced,
/// and after that its sixteen bytes are only overwritten.
#[test]
fn a_lost_note_of_what_is_synced_is_damage() {
    for content in [None, Some(&b""[..]), Some(&[0; 16]), Some(b"0123456789abcdef0")] {
        let directory = tempfile::tempdir().unwrap();
        let journal = store_with_journal(directory.path());
        let note = directory.path().join("synced");
        let sound = fs::read(&note).unwrap();
        match content {
            Some(content) => fs::write(&note, content).unwrap(),
            None => fs::remove_file(&note).unwrap(),
        }
        for _ in 0..2 {
            expect_damaged(directory.path(), "synced is missing or overwritten");
        }
        assert_eq!(fs::read(&note).ok().as_deref(), content, "the evidence was changed");
        // Neither does it open once the journal is gone too.
        let whole = fs::read(&journal).unwrap();
        fs::remove_file(&journal).unwrap();
        expect_damaged(directory.path(), "synced is missing or overwritten");
        fs::write(&journal, whole).unwrap();
        fs::write(&note, sound).unwrap();
        assert_eq!(ledger::check(&FjallStore::open(directory.path()).unwrap()), 10);
    }
}

/// Every file of the engine, overwritten or gone, and every folder, gone: the store opens with all that it had, or says
/// that it is damaged.
#[test]
fn a_broken_part_of_the_engine_is_told_in_words() {
    for is_flushed in [true, false] {
        let whole = tempfile::tempdir().unwrap();
        let store = FjallStore::open(whole.path()).unwrap();
        for n in 1..=4 {
            ledger::commit(&store, n, Durability::Synced).unwrap();
        }
        if is_flushed {
            Keyspace::ALL.into_iter().for_each(|keyspace| store.reclaim(keyspace).unwrap());
        }
        drop(store);
        let (files, folders) = parts_below(&whole.path().join("engine"));
        let files = files.iter().flat_map(|file| [(file, Breakage::Overwritten), (file, Breakage::Removed)]);
        let folders = folders.iter().map(|folder| (folder, Breakage::FolderRemoved));
        let outcomes: Vec<bool> =
            files.chain(folders).map(|(name, breakage)| is_damaged_by(whole.path(), name, breakage)).collect();
        let damaged = outcomes.iter().filter(|is_damaged| **is_damaged).count();
        assert!(damaged > 10, "{damaged} of {}", outcomes.len());
    }
}

/// Whatever is lost with the folder of a keyspace, its journal can't bring back.
#[test]
fn a_store_that_lacks_the_folder_of_a_keyspace_is_damaged() {
    let whole = tempfile::tempdir().unwrap();
    store_with_journal(whole.path());
    for keyspace in 0..=7 {
        let directory = tempfile::tempdir().unwrap();
        super::fixture::copy(whole.path(), directory.path());
        let folder = directory.path().join("engine/keyspaces").join(keyspace.to_string());
        fs::rename(&folder, directory.path().join("aside")).unwrap();
        for _ in 0..2 {
            expect_damaged(directory.path(), "keyspaces");
        }
        fs::rename(directory.path().join("aside"), &folder).unwrap();
        assert_eq!(ledger::check(&FjallStore::open(directory.path()).unwrap()), 10);
    }
}

#[derive(Debug, Clone, Copy)]
enum Breakage {
    Overwritten,
    Removed,
    FolderRemoved,
}

/// Whether a copy of a store that is broken so says that it is damaged. If not, it must have everything.
fn is_damaged_by(whole: &Path, name: &Path, breakage: Breakage) -> bool {
    let directory = tempfile::tempdir().unwrap();
    super::fixture::copy(whole, directory.path());
    let part = directory.path().join("engine").join(name);
    match breakage {
        Breakage::Overwritten => fs::write(&part, b"something else").unwrap(),
        Breakage::Removed => fs::remove_file(&part).unwrap(),
        Breakage::FolderRemoved => fs::remove_dir_all(&part).unwrap(),
    }
    let opened = std::panic::catch_unwind(|| FjallStore::open(directory.path()));
    match opened.unwrap_or_else(|_| panic!("{name:?} {breakage:?} makes the engine panic")) {
        Ok(store) => {
            let count = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ledger::check(&store)));
            assert_eq!(count.ok(), Some(4), "{name:?} {breakage:?}");
            false
        }
        Err(error @ StoreError::Damaged { .. }) => {
            let text = error.to_string();
            assert!(!text.contains("Error") && !text.contains('{'), "{name:?} {breakage:?}: {text}");
            true
        }
        Err(error) => panic!("{name:?} {breakage:?}: {error}"),
    }
}

/// The files and the folders below a directory, itself included, by their paths from there.
fn parts_below(directory: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    let mut rest = vec![directory.to_path_buf()];
    while let Some(folder) = rest.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => rest.push(path),
                false => files.push(path.strip_prefix(directory).unwrap().to_path_buf()),
            }
        }
        folders.push(folder.strip_prefix(directory).unwrap().to_path_buf());
    }
    (files, folders)
}
