//! How much memory, disk and work the engine may take. Every bound is here.
//!
//! In memory together: the block cache, and for each keyspace its memtable [`SEALED_MEMTABLES_MAX`] + 1 times over at
//! worst. The journal and the tables are on disk.

use std::path::Path;

use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
};
use fjall::{CompressionType, Database, DatabaseBuilder, KeyspaceCreateOptions};

use super::Keyspace;

/// Blocks of tables, indexes and filters that are kept in memory.
const CACHE_BYTES_MAX: u64 = 24 * 1024 * 1024;

/// Writes to one of the keyspaces that grow with the data, held in memory until they are flushed as a table.
const MEMTABLE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The same for the small keyspaces.
const SMALL_MEMTABLE_BYTES_MAX: u64 = 1024 * 1024;

/// Memtables of a keyspace that wait for being flushed before writers wait too.
pub(super) const SEALED_MEMTABLES_MAX: usize = 2;

/// Flushed tables of a keyspace that wait for being merged before writers wait too. Each costs a lookup per read.
pub(super) const UNSORTED_RUNS_MAX: usize = 16;

/// Journal files together, on disk. When it is reached the memtables that hold old ones back are flushed.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Threads that flush and merge. The first one prefers flushing.
const WORKER_THREADS: usize = 2;

/// Files of tables kept open; below the usual limit of a process by far.
const OPEN_FILES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Tuning {}

impl Tuning {
    pub(super) fn database(&self, path: &Path) -> DatabaseBuilder<Database> {
        Database::builder(path)
            .cache_size(CACHE_BYTES_MAX)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .worker_threads(WORKER_THREADS)
            .manual_journal_persist(true)
    }

    pub(super) fn keyspace(&self, keyspace: Keyspace) -> KeyspaceCreateOptions {
        let options = KeyspaceCreateOptions::default().manual_journal_persist(true);
        match keyspace {
            Keyspace::Ops => options
                .max_memtable_size(MEMTABLE_BYTES_MAX)
                .data_block_size_policy(BlockSizePolicy::all(16 * 1024))
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                .expect_point_read_hits(true),
            Keyspace::Rows => options
                .max_memtable_size(MEMTABLE_BYTES_MAX)
                .data_block_size_policy(BlockSizePolicy::all(4 * 1024))
                .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0)))),
            Keyspace::Lookups => options.max_memtable_size(MEMTABLE_BYTES_MAX / 2),
            Keyspace::Meta | Keyspace::Buckets | Keyspace::History => {
                options.max_memtable_size(SMALL_MEMTABLE_BYTES_MAX)
            }
        }
    }
}
