//! Where a bucket sink keeps what it must not forget: an ordered key-value store with a fixed set of keyspaces.
//!
//! [`Store`] says what the sink needs of an engine and no more. [`FjallStore`] keeps it on disk; [`MemoryStore`] is its
//! twin for tests, and one model test runs over both.
//!
//! # Atomicity
//!
//! A [`Batch`] spans keyspaces and is stored whole or not at all, whatever kills the process or the machine. Commits are
//! kept in their order: after a crash the store holds a prefix of them, which contains at least everything up to the
//! last commit that returned with [`Durability::Synced`].
//!
//! # Failure
//!
//! A store whose write or sync has failed doesn't know what the disk holds. It refuses every later write with the first
//! cause ([`StoreError::Poisoned`]) until it is opened again, which reads the disk anew. Reads go on.

mod batch;
mod directory;
mod error;
mod fjall;
mod memory;
mod range;

use std::fmt;

pub use self::batch::{Batch, BatchEntry};
pub use self::error::{PoisonCause, StoreError};
pub use self::fjall::FjallStore;
pub use self::memory::MemoryStore;
pub use self::range::{Direction, KeyRange};

/// The longest key that a store takes. Longer ones are refused by [`Store::commit`] and found by no read.
pub const KEY_BYTES_MAX: usize = 32 * 1024;

/// The longest value that a store takes. Longer ones are refused by [`Store::commit`].
pub const VALUE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The parts of a store, each with its own order of keys and its own tuning.
///
/// A keyspace that a store on disk doesn't have yet is created when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Keyspace {
    /// Few small records about the whole: positions, table records, counters. The key [`META_FORMAT_KEY`] is the
    /// store's own.
    Meta,
    /// The op log of every bucket. Written mostly in key order within a bucket, read by ranges.
    Ops,
    /// The state of every source row. Read by key before nearly every write, often in vain.
    Rows,
    /// The parameter index. Read by prefix.
    Lookups,
    /// One record for each bucket, changed with nearly every commit that touches it.
    Buckets,
    /// The history of schema changes. Small.
    History,
}

/// The key in [`Keyspace::Meta`] under which a store keeps its magic and format version.
pub const META_FORMAT_KEY: &[u8] = b"\0format";

/// The key in [`Keyspace::Meta`] that is there while something is [ingested](Store::ingest) that isn't whole yet.
pub const META_LOADING_KEY: &[u8] = b"loading";

impl Keyspace {
    /// Every keyspace.
    pub const ALL: [Keyspace; 6] =
        [Keyspace::Meta, Keyspace::Ops, Keyspace::Rows, Keyspace::Lookups, Keyspace::Buckets, Keyspace::History];

    /// Its name on disk and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Keyspace::Meta => "meta",
            Keyspace::Ops => "ops",
            Keyspace::Rows => "rows",
            Keyspace::Lookups => "lookups",
            Keyspace::Buckets => "buckets",
            Keyspace::History => "history",
        }
    }
}

impl fmt::Display for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a commit survives once it has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process, but not that of the machine: the operating system has it.
    Buffered,
    /// Everything: it is on disk, and every earlier commit with it.
    Synced,
}

/// One pair of a scan, or what stopped it.
pub type ScanItem = Result<(Vec<u8>, Vec<u8>), StoreError>;

/// An ordered scan. Holds a bounded part of what it passes over in memory, and sees the store as it was when the scan
/// began. After an error it ends.
pub type Scan<'a> = Box<dyn Iterator<Item = ScanItem> + Send + 'a>;

/// What can be read: a store as it is, or a snapshot of it.
pub trait Read: Send + Sync {
    /// The value of a key.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The pairs of a range in the order of their keys, or in the opposite one.
    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_>;
}

/// An engine that keeps a bucket sink's state.
///
/// Any number of threads may read; writes may come from several threads too, and are then in the order in which they
/// took the engine's lock. A `get` on the store itself sees the newest commit and may fall between the parts of one
/// that is being applied by another thread: who reads several keys that belong together while somebody else writes
/// takes a [`snapshot`](Store::snapshot).
pub trait Store: Read {
    /// The state as of the last commit, which later commits don't change. Keeps what they replace on disk until it is
    /// dropped, so it should live seconds or minutes, not hours.
    fn snapshot(&self) -> Box<dyn Read>;

    /// Stores a batch whole, across keyspaces. Within a batch the later of two entries with the same key wins.
    ///
    /// An empty batch with [`Durability::Synced`] makes everything committed before durable. May wait while the engine
    /// is behind with its background work; that wait is what bounds its memory.
    ///
    /// # Errors
    ///
    /// [`StoreError::KeyTooLong`] and [`StoreError::ValueTooLong`] store nothing and leave the store as it was. Every
    /// other error leaves it poisoned, see [`StoreError::Poisoned`].
    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError>;

    /// Stores two batches of puts whose keys the store doesn't hold, and returns once they are on disk. Meant for large
    /// batches: an engine that can puts them straight where they end up. Nothing of `second` is ever there without all
    /// of `first`; `between` is called in between.
    ///
    /// Unlike a [`commit`](Store::commit) a batch is not atomic. Whoever needs more notes under [`META_LOADING_KEY`], in
    /// a synced commit before, what is to be taken back, and removes that note in a commit after.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Store::commit).
    fn ingest(&self, first: &Batch, second: &Batch, between: &mut dyn FnMut()) -> Result<(), StoreError> {
        self.commit(first, Durability::Synced)?;
        between();
        self.commit(second, Durability::Synced)
    }

    /// Gives up the space of what has been replaced or deleted in a keyspace, now rather than in time. Rewrites the
    /// keyspace: costs minutes for gigabytes, and as much disk as the keyspace has.
    fn reclaim(&self, keyspace: Keyspace) -> Result<(), StoreError>;

    /// The space that the store takes on disk, in bytes; what it takes in memory for a store in memory.
    fn disk_bytes(&self) -> Result<u64, StoreError>;
}
