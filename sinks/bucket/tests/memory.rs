//! What the sink takes in memory.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_bucket::Tuning;
use millstream_bucket::store::FjallStore;
use millstream_core::change::{RowChange, RowChanges};
use millstream_core::sink::{PassMode, WriteItem};
use millstream_core::table::{TableId, TableState};

use crate::world::*;

/// What the whole program may take. This process holds the rows that it sends, as a source would; that the program
/// itself stays within it is tested with the program.
const MEMORY_MIB_MAX: u64 = 256;

/// In the buckets they come to far more than that.
const ROWS: i64 = 30;
const ROW_BYTES: usize = 900_000;
const BUCKETS: usize = 15;
const NOTES: TableId = TableId(2);

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
        config + &format!("  b{bucket}:\n    data: [ 'SELECT id, note FROM items', 'SELECT id, note FROM notes' ]\n")
    });
    let directory = tempfile::tempdir().unwrap();
    let tuning = Tuning { compact_dead_ops_min: 10, ..Tuning::default() };
    let world = World::tuned(Arc::new(FjallStore::open(directory.path()).unwrap()), &config, &tuning).await;
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

    for (at, letter) in [(3, "y"), (4, "z")] {
        for ids in &writes {
            let mut changes = RowChanges::new(schema("items"));
            changes.rows = rows(ids, letter);
            changes.changes = vec![RowChange::Upsert; ids.len()];
            let stream = WriteItem::Stream { table: ITEMS, generation: 1, pass_active: false, changes };
            world.accept(vec![stream], None).await;
        }
        world.accept(Vec::new(), commit(at)).await;
        world.reach(at).await;
    }
    let updated = peak_mib();
    // One op stands for all that were replaced.
    let patience = Instant::now() + Duration::from_secs(60);
    while world.ops("b7[]") > ROWS as u64 + 1 {
        assert!(Instant::now() < patience, "{} ops are left", world.ops("b7[]"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let compacted = peak_mib();

    // Beside the other table this one is kept with its rows, and shown at once.
    world.accept(vec![table(record(NOTES, "notes", TableState::Loading, 1))], commit(5)).await;
    for ids in &writes {
        let (schema, rows) = (schema("notes"), rows(ids, "n"));
        let chunk = WriteItem::Chunk { table: NOTES, generation: 1, mode: PassMode::Repair, schema, rows };
        world.accept(vec![chunk], commit(5)).await;
    }
    world.sweep(NOTES, 1, PassMode::Repair).await;
    world.accept(vec![table(record(NOTES, "notes", TableState::Live, 1))], commit(6)).await;
    world.reach(6).await;
    assert_eq!(summaries(&world.reader())["b7[]"].counters.rows, 2 * ROWS as u64);
    let shown = peak_mib();
    let peaks = format!(
        "{loaded} MiB with the first load, {updated} MiB with updates, {compacted} MiB with compaction, {shown} MiB with \
         a table that is shown beside another"
    );
    println!("{peaks}");
    assert!(shown <= MEMORY_MIB_MAX, "{peaks}");
}
