//! Every bucket whose log is mostly dead is compacted sooner or later, whether it changes again or not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_bucket::Tuning;
use millstream_bucket::store::MemoryStore;
use millstream_core::table::TableState;

use crate::world::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// Many slices to a compaction, so that much happens while one goes on.
fn tuning(compact_dead_ops_min: u64) -> Tuning {
    Tuning { compact_dead_ops_min, slice_rows_max: 2, ..Tuning::default() }
}

async fn live(tuning: &Tuning) -> World {
    let world = World::tuned(Arc::new(MemoryStore::new()), CONFIG, tuning).await;
    world.accept(vec![table(record(ITEMS, "items", TableState::Live, 1))], commit(1)).await;
    world.reach(1).await;
    world
}

/// Changes three rows in turn, in as many transactions as it takes to do that so often.
async fn change(world: &World, changes: u128) {
    for at in 2..changes + 2 {
        let row = (i64::try_from(at % 3).unwrap(), "ann", if at % 2 == 0 { "even" } else { "odd" });
        world.accept(vec![stream(ITEMS, 1, false, &[put(row)])], commit(at)).await;
        world.reach(at).await;
    }
}

/// Waits until none of these buckets has more ops than that, while nothing changes.
async fn shrink(world: &World, buckets: &[String], ops_max: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = summaries(&world.reader());
        let large = buckets.iter().filter(|bucket| all[*bucket].counters.ops > ops_max).count();
        if large == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{large} of {} buckets aren't compacted", buckets.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_written_while_a_bucket_is_compacted_is_compacted_then() {
    let world = live(&tuning(2)).await;
    change(&world, 300).await;
    // The three live ops, what replaces the dead ones, and the few that died under the last compaction's eyes: too few
    // to be worth another.
    shrink(&world, &["all[]".to_owned()], 9).await;
    assert_eq!(world.bucket("all[]").len(), 3);
}

/// Fills a bucket that isn't compacted, and opens it again with settings by which it is.
async fn is_compacted_by_the_next(tuning_of_next: &Tuning) {
    let world = live(&tuning(u64::MAX)).await;
    change(&world, 50).await;
    assert_eq!(world.ops("all[]"), 50);
    let store = Arc::clone(&world.store);
    drop(world);
    let world = World::tuned(store, CONFIG, tuning_of_next).await;
    shrink(&world, &["all[]".to_owned()], 6).await;
    assert_eq!(world.bucket("all[]").len(), 3);
}

#[tokio::test]
async fn what_a_process_had_not_come_to_is_compacted_by_the_next() {
    is_compacted_by_the_next(&tuning(2)).await;
}

/// As it is where each op is larger than a slice may be: the dead ops at the front become one CLEAR all the same.
#[tokio::test]
async fn ops_that_fill_a_slice_each_are_compacted_together() {
    is_compacted_by_the_next(&Tuning { slice_rows_max: 1, ..tuning(2) }).await;
}

#[tokio::test]
async fn more_buckets_than_can_wait_are_compacted_one_after_another() {
    // More than can wait at once, each with one row, and all changed by one transaction.
    let owners: Vec<&'static str> = (0..1_500).map(|n| String::leak(format!("owner{n}")) as &str).collect();
    let world = live(&tuning(2)).await;
    for note in ["a", "b", "c", "d", "e"] {
        let changes: Vec<_> = (0..).zip(&owners).map(|(id, owner)| put((id, *owner, note))).collect();
        world.accept(vec![stream(ITEMS, 1, false, &changes)], None).await;
    }
    world.accept(Vec::new(), commit(2)).await;
    world.reach(2).await;
    let buckets: Vec<String> = owners.iter().map(|owner| format!("mine[\"{owner}\"]")).collect();
    shrink(&world, &buckets, 3).await;
    assert_eq!(world.bucket(&buckets[0]).len(), 1);
}
