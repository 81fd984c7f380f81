//! How far the store has been synced, noted beside it.
//!
//! The engine takes a journal that ends early, or isn't there, for one that has nothing more to tell, and would give the
//! numbers in the lost part again to other content. So every commit is numbered inside the store, and the number of the
//! newest synced one stands in a file of its own. A store that doesn't reach that number has lost what it had promised.
//!
//! The file is written after the sync that it tells of, and isn't synced itself: a power cut may leave an older number,
//! which is as true, only weaker. So it costs a write of sixteen bytes for each sync, and no sync. Only its creation is
//! synced, before the first commit is numbered: where commits are numbered and the file is gone or makes no sense,
//! nothing but a failing disk or somebody's hand has done that.
//!
//! A store of a release that didn't number commits has neither the numbers nor the file, and gets both when it is
//! opened.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
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
    /// Whether commits are numbered in a store.
    pub(super) fn are_numbered(database: &engine::Database) -> bool {
        database.keyspace_exists(KEYSPACE)
    }

    /// Looks up the last number in the store, and in the file that must not be ahead of it; creates what isn't there.
    pub(super) fn open(path: &Path, database: &engine::Database) -> Result<(Commits, Mark), engine::Error> {
        let synced = match noted(path)? {
            Some(synced) => synced,
            None => create(path)?,
        };
        let mark = OpenOptions::new().write(true).open(path)?;
        let handle = database.keyspace(KEYSPACE, || super::tuning::keyspace(super::Keyspace::Meta))?;
        let last = match handle.get(LAST)? {
            Some(number) => number.first_chunk().map_or(0, |number| u64::from_le_bytes(*number)),
            None => 0,
        };
        Ok((Commits { handle, last: Mutex::new(last), mark }, Mark { stored: last, synced }))
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
        self.mark.write_all_at(&note(number), 0)
    }
}

/// What was found when the store was opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) stored: u64,
    pub(super) synced: u64,
}

impl Mark {
    /// Whether commits are missing that had been synced.
    pub(super) fn is_behind(self) -> bool {
        self.stored < self.synced
    }
}

/// The number that a file notes; `None` if it isn't there or makes no sense.
pub(in crate::store) fn noted(path: &Path) -> io::Result<Option<u64>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(17).read_to_end(&mut bytes)?;
    let number = bytes.first_chunk().map(|number| u64::from_le_bytes(*number));
    Ok(number.filter(|number| bytes == note(*number)))
}

/// Creates the file, durably, for a store of which nothing is known to be synced.
fn create(path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all_at(&note(0), 0)?;
    file.sync_all()?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(0)
}

/// A number as it is noted, with its checksum.
fn note(number: u64) -> Vec<u8> {
    let number = number.to_le_bytes();
    [number, xxh3_64(&number).to_le_bytes()].concat()
}
