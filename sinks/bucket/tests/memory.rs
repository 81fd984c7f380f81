//! What the sink takes in memory.

use std::process::Command;
use std::sync::Arc;

use millstream_bucket::Tuning;
use millstream_bucket::store::FjallStore;
use millstream_core::change::{RowChange, RowChanges};
use millstream_core::sink::{PassMode, WriteItem};
use millstream_core::table::TableState;

use crate::world::*;

/// What the whole program may take is 256 MiB. This process holds the rows that it sends, as a source would.
const MEMORY_MIB_MAX: u64 = 240;

const ROWS: i64 = 60;
const ROW_BYTES: usize = 900_000;
const BUCKETS: usize = 15;

/// A write has about as much as the pipeline hands over at a time.
const WRITE_ROWS: usize = 8;

/// The most that this process has had in memory so far.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// A process of its own, as others' memory would count.
#[test]
fn large_rows_in_many_buckets_stay_within_bounds() {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::large_rows", "--ignored", "--nocapture", "--test-threads=1"])
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
#[ignore = "the process that the test of memory starts"]
async fn large_rows() {
    let config = (0..BUCKETS).fold("bucket_definitions:\n".to_string(), |config, bucket| {
        config + &format!("  b{bucket}:\n    data:\n      - SELECT id, note FROM items\n")
    });
    let directory = tempfile::tempdir().unwrap();
    let world = World::tuned(Arc::new(FjallStore::open(directory.path()).unwrap()), &config, &Tuning::default()).await;
    let writes: Vec<Vec<i64>> = (0..ROWS).collect::<Vec<_>>().chunks(WRITE_ROWS).map(<[_]>::to_vec).collect();
    let rows = |ids: &[i64], letter: &str| batch(ids.iter().map(|id| (*id, "", letter.repeat(ROW_BYTES))));

    world.accept(vec![table(record(ITEMS, "items", TableState::Loading, 1))], commit(1)).await;
    for ids in &writes {
        let (schema, rows) = (schema("items"), rows(ids, "x"));
        world
            .accept(vec![WriteItem::Chunk { table: ITEMS, generation: 1, mode: PassMode::Repair, schema, rows }], None)
            .await;
    }
    world.sweep(ITEMS, 1, PassMode::Repair).await;
    world.accept(vec![table(record(ITEMS, "items", TableState::Live, 1))], commit(2)).await;
    world.reach(2).await;
    let loaded = peak_mib();

    for ids in &writes {
        let mut changes = RowChanges::new(schema("items"));
        changes.rows = rows(ids, "y");
        changes.changes = vec![RowChange::Upsert; ids.len()];
        world.accept(vec![WriteItem::Stream { table: ITEMS, generation: 1, pass_active: false, changes }], None).await;
    }
    world.accept(Vec::new(), commit(3)).await;
    world.reach(3).await;
    let updated = peak_mib();
    println!("{loaded} MiB for the first load, {updated} MiB with the update");
    assert_eq!(world.ops("b7[]"), 2 * ROWS as u64);
    assert!(updated <= MEMORY_MIB_MAX, "{loaded} MiB for the first load, {updated} MiB with the update");
}
