//! How much memory, disk and work the engine may take. Every bound is here.
//!
//! In memory together 87 MiB at most: the block cache, and for each keyspace its memtable [`SEALED_MEMTABLES_MAX`] + 1
//! times over. To that come what the allocator adds and what a merge has in hand, about a third of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{CompressionType, Database, DatabaseBuilder, KeyspaceCreateOptions};

use super::Keyspace;

/// Blocks of tables, indexes and filters that are kept in memory.
const CACHE_BYTES_MAX: u64 = 24 * 1024 * 1024;

/// Writes to one of the keyspaces that grow with the data, held in memory until they are flushed as a table.
const LARGE_MEMTABLE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The same for the keyspaces that stay small.
const SMALL_MEMTABLE_BYTES_MAX: u64 = 1024 * 1024;

/// Memtables of a keyspace that wait for being flushed before writers wait too.
pub(super) const SEALED_MEMTABLES_MAX: usize = 2;

/// Flushed tables of a keyspace that wait for being merged before writers wait too. Each costs a look per read.
pub(super) const UNSORTED_RUNS_MAX: usize = 12;

/// How long writers wait for that at most, each time that a memtable is full.
pub(super) const MERGE_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long the writer waits at most, before it adds a table that was ingested, for the one before to be moved.
pub(super) const MOVE_WAIT_MAX: Duration = Duration::from_millis(10);

/// Journal files together, on disk. When it is reached the memtables that hold old ones back are flushed.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Threads that flush and merge. With two, the first waits for flushes by asking without a pause while the second
/// merges, which costs a core.
const WORKER_THREADS: usize = 1;

/// Tables are cut at this size, and the levels sized by it: the smaller, the sooner the one thread has time to flush.
const TABLE_BYTES: u64 = 16 * 1024 * 1024;

/// Files of tables kept open; below the usual limit of a process by far.
const OPEN_FILES_MAX: usize = 256;

const LARGE_BLOCK_BYTES: u32 = 16 * 1024;
const SMALL_BLOCK_BYTES: u32 = 4 * 1024;

/// How many bits of filter a key costs; one look in a hundred is in vain.
const FILTER_BITS_PER_KEY: f32 = 10.0;

/// The memtable of a keyspace is handed over for flushing at this size.
pub(super) fn memtable_bytes_max(keyspace: Keyspace) -> u64 {
    match keyspace {
        Keyspace::Ops | Keyspace::Rows => LARGE_MEMTABLE_BYTES_MAX,
        Keyspace::Lookups => LARGE_MEMTABLE_BYTES_MAX / 4,
        Keyspace::Meta | Keyspace::Buckets | Keyspace::History => SMALL_MEMTABLE_BYTES_MAX,
    }
}

/// The engine would hand it over by itself at this size: the store does so before.
pub(super) fn engine_memtable_bytes_max(keyspace: Keyspace) -> u64 {
    2 * memtable_bytes_max(keyspace)
}

pub(super) fn database(path: &Path) -> DatabaseBuilder<Database> {
    Database::builder(path)
        .cache_size(CACHE_BYTES_MAX)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .max_cached_files(Some(OPEN_FILES_MAX))
        .worker_threads(WORKER_THREADS)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
}

pub(super) fn keyspace(keyspace: Keyspace) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(engine_memtable_bytes_max(keyspace))
        .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES)))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None));
    match keyspace {
        // Read in long ranges; who asks for one op knows that it is there, so the last level needs no filter. What has
        // settled below the first two levels is compressed: above that it would be done again with each merge.
        Keyspace::Ops => options
            .data_block_size_policy(BlockSizePolicy::all(LARGE_BLOCK_BYTES))
            .data_block_compression_policy(CompressionPolicy::new([
                CompressionType::None,
                CompressionType::None,
                CompressionType::Lz4,
            ]))
            .expect_point_read_hits(true),
        // Asked for keys that mostly aren't there while a table is loaded, and for random ones later.
        Keyspace::Rows => options.data_block_size_policy(BlockSizePolicy::all(SMALL_BLOCK_BYTES)).filter_policy(
            FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(FILTER_BITS_PER_KEY))),
        ),
        Keyspace::Lookups | Keyspace::Meta | Keyspace::Buckets | Keyspace::History => options,
    }
}
