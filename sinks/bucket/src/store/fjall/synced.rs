//! How far the store has been synced, noted beside it.
//!
//! The engine takes a journal that ends early, or isn't there, for one that has nothing more to tell, and would give the
//! numbers in the lost part again to other content. So every commit is numbered inside the store, and the number of the
//! newest synced one stands in a file of its own. A store that doesn't reach that number has lost what it had promised.
//!
//! The file is written after the sync that it tells of, and isn't synced itself: a power cut may leave an older number,
//! which is as true, only weaker. So it costs a write of sixteen bytes for each sync, and no sync.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fjall as engine;
use xxhash_rust::xxh3::xxh3_64;

/// The engine's keyspace with the number of the newest commit, and its only key.
const KEYSPACE: &str = "commits";
const LAST: &[u8] = b"last";

/// The numbers of commits.
pub(super) struct Commits {
    handle: engine::Keyspace,
    last: Mutex<u64>,
    mark: File,
}

impl Commits {
    /// Looks up the last number in the store, and in the file that must not be ahead of it.
    pub(super) fn open(mark: &Path, handle: engine::Keyspace) -> Result<(Commits, Mark), engine::Error> {
        let last = match handle.get(LAST)? {
            Some(number) => number.first_chunk().map_or(0, |number| u64::from_le_bytes(*number)),
            None => 0,
        };
        let mut mark = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(mark)?;
        let synced = read(&mut mark)?;
        Ok((Commits { handle, last: Mutex::new(last), mark }, Mark { stored: last, synced }))
    }

    /// The options of the keyspace by its name.
    pub(super) fn keyspace(database: &engine::Database) -> Result<engine::Keyspace, engine::Error> {
        database.keyspace(KEYSPACE, || super::tuning::keyspace(super::Keyspace::Meta))
    }

    pub(super) fn handle(&self) -> &engine::Keyspace {
        &self.handle
    }

    /// The number of the newest commit. Held while the next one is made, so that numbers are stored in their order.
    pub(super) fn last(&self) -> MutexGuard<'_, u64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds its number to a commit.
    pub(super) fn number(&self, write: &mut engine::OwnedWriteBatch, number: u64) {
        write.insert(&self.handle, LAST, number.to_le_bytes());
    }

    /// Notes that everything up to a commit is on disk.
    pub(super) fn note_synced(&self, number: u64) -> io::Result<()> {
        let [number, checksum] = [number.to_le_bytes(), xxh3_64(&number.to_le_bytes()).to_le_bytes()];
        self.mark.write_all_at(&[number, checksum].concat(), 0)
    }
}

/// What was found when the store was opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) stored: u64,
    /// 0 if nothing is known.
    pub(super) synced: u64,
}

impl Mark {
    /// Whether commits are missing that had been synced.
    pub(super) fn is_behind(self) -> bool {
        self.stored < self.synced
    }
}

/// An empty or torn file, as a power cut may leave, says nothing.
fn read(mark: &mut File) -> io::Result<u64> {
    let mut bytes = Vec::new();
    mark.take(17).read_to_end(&mut bytes)?;
    let [number, checksum] = match bytes.as_chunks::<8>() {
        ([number, checksum], []) => [*number, *checksum],
        _ => return Ok(0),
    };
    Ok(if xxh3_64(&number).to_le_bytes() == checksum { u64::from_le_bytes(number) } else { 0 })
}
