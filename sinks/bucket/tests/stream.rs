//! Rows of the stream, transactions, checkpoints, restarts.

use std::ops::ControlFlow;
use std::sync::Arc;

use millstream_bucket::BucketReader;
use millstream_core::schema_change::{Effect, HistoryEntry};
use millstream_core::sink::{Sink, WriteItem};
use millstream_core::table::{TableId, TableState};

use crate::world::*;

#[tokio::test]
async fn rows_go_where_the_definitions_say() {
    let world = World::live().await;
    let rows = stream(ITEMS, 1, false, &[put((1, "ann", "x")), put((2, "bob", "y")), put((3, "ann", "z"))]);
    world.accept(vec![rows], commit(2)).await;
    world.reach(2).await;
    assert_eq!(world.bucket("all[]").len(), 3);
    assert_eq!(world.bucket("mine[\"ann\"]"), [r#"{"id":"1","note":"x"}"#, r#"{"id":"3","note":"z"}"#]);
    assert_eq!(world.bucket("mine[\"bob\"]"), [r#"{"id":"2","note":"y"}"#]);
    let summary = summaries(&world.reader()).remove("all[]").unwrap();
    assert_eq!((summary.priority, summary.counters.ops, summary.counters.rows), (3, 3, 3));
    assert_eq!(world.sink.stored_rows("db", ITEMS), Some(3));

    let changes = [put((1, "bob", "x")), delete(2), put((3, "ann", "z"))];
    world.accept(vec![stream(ITEMS, 1, false, &changes)], commit(3)).await;
    world.reach(3).await;
    assert_eq!(world.bucket("mine[\"ann\"]"), [r#"{"id":"3","note":"z"}"#]);
    assert_eq!(world.bucket("mine[\"bob\"]"), [r#"{"id":"1","note":"x"}"#]);
    // Changed, removed, and nothing for the row that is the same.
    assert_eq!(world.ops("all[]"), 5);
    assert_eq!(world.ops("mine[\"ann\"]"), 3);
    assert_eq!(world.sink.stored_rows("db", ITEMS), Some(2));
}

#[tokio::test]
async fn lookups_follow_their_rows() {
    let world = World::live().await;
    let find = |world: &World, user: &str| world.reader().lookup("mine", 0, &format!("[\"{user}\"]")).unwrap();
    world.accept(vec![stream(ITEMS, 1, false, &[put((1, "ann", "u1")), put((2, "bob", "u1"))])], commit(2)).await;
    world.reach(2).await;
    assert_eq!(find(&world, "u1"), [r#"["ann"]"#, r#"["bob"]"#]);
    assert!(find(&world, "u2").is_empty());
    world.accept(vec![stream(ITEMS, 1, false, &[put((1, "cid", "u1")), delete(2)])], commit(3)).await;
    world.reach(3).await;
    assert_eq!(find(&world, "u1"), [r#"["cid"]"#]);
    // Removed and brought back within transactions that are stored in parts: nothing shows before the commit.
    world.accept(vec![stream(ITEMS, 1, false, &[delete(1), put((5, "eve", "u1"))])], None).await;
    world.accept(vec![stream(ITEMS, 1, false, &[put((1, "cid", "u1"))])], None).await;
    settle(&world).await;
    assert_eq!(find(&world, "u1"), [r#"["cid"]"#]);
    world.accept(Vec::new(), commit(4)).await;
    world.reach(4).await;
    assert_eq!(find(&world, "u1"), [r#"["cid"]"#, r#"["eve"]"#]);
    world.accept(vec![stream(ITEMS, 1, false, &[delete(1)])], commit(5)).await;
    world.reach(5).await;
    assert_eq!(find(&world, "u1"), [r#"["eve"]"#]);
}

/// Waits until the writer has stored what it was given: a sweep of a table that isn't there is answered then.
async fn settle(world: &World) {
    world.sweep(TableId(99), 1, millstream_core::sink::PassMode::Verify).await;
}

#[tokio::test]
async fn readers_never_see_half_a_transaction() {
    let world = World::live().await;
    world.accept(vec![stream(ITEMS, 1, false, &[put((1, "ann", "x"))])], commit(2)).await;
    world.reach(2).await;
    let before = world.buckets();
    world.accept(vec![stream(ITEMS, 1, false, &[put((1, "ann", "y")), put((2, "ann", "x"))])], None).await;
    settle(&world).await;
    assert_eq!(world.buckets(), before);
    assert_eq!(world.checkpoint_order(), Some(2));

    // Nor after a crash, when parts of it are stored.
    let world = world.crash(CONFIG).await;
    assert!(world.restored.unfinished);
    assert_eq!(world.restored.position, Some(position(2)));
    assert_eq!(world.buckets(), before);
    assert_eq!(buckets(&BucketReader::of_store(Arc::clone(&world.store)).unwrap()), before);
    // Offered again, what was stored costs no more ops.
    let ops = [put((1, "ann", "y")), put((2, "ann", "x"))];
    world.accept(vec![stream(ITEMS, 1, false, &ops)], commit(3)).await;
    world.reach(3).await;
    assert_eq!(world.bucket("all[]").len(), 2);
    assert_eq!(world.ops("all[]"), 3);
    let world = world.crash(CONFIG).await;
    assert!(!world.restored.unfinished);
    assert_eq!(world.restored.incarnation, 3);
}

#[tokio::test]
async fn records_and_history_wait_for_their_commit() {
    let world = World::live().await;
    let line = |change: &str| HistoryEntry {
        position: "p".to_string(),
        at_ms: 1,
        table: schema("items").table.clone(),
        change: change.to_string(),
        effect: Effect::Keep,
        statement: None,
        rows_read: 0,
        ops_written: 0,
        duration_ms: None,
    };
    let items = || {
        vec![
            stream(ITEMS, 1, false, &[put((1, "ann", "x"))]),
            table(record(ITEMS, "items", TableState::Reconciling, 2)),
            WriteItem::History { id: 4, entry: line("altered") },
        ]
    };
    world.accept(items(), None).await;
    settle(&world).await;
    let world = world.crash(CONFIG).await;
    assert_eq!(world.restored.tables, [record(ITEMS, "items", TableState::Live, 1)]);
    assert_eq!(world.restored.last_history_id, 0);
    world.accept(items(), None).await;
    world.accept(vec![WriteItem::History { id: 4, entry: line("changed") }], commit(2)).await;
    world.durable(2).await;
    let world = world.crash(CONFIG).await;
    assert_eq!(world.restored.tables.len(), 1);
    assert_eq!(world.restored.tables[0].generation, 2);
    assert_eq!(world.restored.last_history_id, 4);
    let mut lines = Vec::new();
    world
        .reader()
        .history("db", &mut |id, entry| {
            lines.push((id, entry.change));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(lines, [(4, "changed".to_string())]);
}

#[tokio::test]
async fn a_cleared_table_is_empty_at_the_commit() {
    let world = World::live().await;
    let rows: Vec<_> = (0..2500).map(|id| put((id, "ann", "x"))).collect();
    world.accept(vec![stream(ITEMS, 1, false, &rows)], commit(2)).await;
    world.reach(2).await;
    let (item, report) = clear(ITEMS);
    world.accept(vec![item, stream(ITEMS, 1, false, &[put((7, "ann", "new"))])], None).await;
    assert_eq!(report.await.unwrap().ops_written, 5000);
    assert_eq!(world.bucket("all[]").len(), 2500, "nothing shows before the commit");
    world.accept(Vec::new(), commit(3)).await;
    world.reach(3).await;
    assert_eq!(world.bucket("all[]").len(), 1);
    assert_eq!(world.sink.stored_rows("db", ITEMS), Some(1));

    let (item, _report) = clear(ITEMS);
    world.accept(vec![item, WriteItem::Forget { table: ITEMS }], commit(4)).await;
    world.reach(4).await;
    assert!(world.buckets().is_empty());
    assert_eq!(world.sink.stored_rows("db", ITEMS), None);
    assert!(world.crash(CONFIG).await.restored.tables.is_empty());
}

#[tokio::test]
async fn rows_of_a_table_that_was_never_committed_are_removed_at_the_start() {
    let world = World::live().await;
    let other = TableId(7);
    let items =
        vec![table(record(other, "items", TableState::Live, 1)), stream(other, 1, false, &[put((1, "a", "b"))])];
    world.accept(items, None).await;
    settle(&world).await;
    let world = world.crash(CONFIG).await;
    assert_eq!(world.restored.tables.len(), 1);
    world.accept(Vec::new(), commit(2)).await;
    world.reach(2).await;
    assert!(world.buckets().is_empty());
}

#[tokio::test]
async fn rows_of_a_source_that_is_no_longer_configured_are_removed() {
    let world = World::live().await;
    world.accept(vec![stream(ITEMS, 1, false, &[put((1, "ann", "x"))])], commit(2)).await;
    world.sink.close().await.unwrap();
    let mut options = options(CONFIG);
    options.sources[0].name = "other".to_string();
    let store = Arc::clone(&world.store);
    let sink = millstream_bucket::BucketSink::with_store(store, options).unwrap();
    let restored = sink.restore("other").await.unwrap();
    assert!(restored.position.is_none() && restored.tables.is_empty());
    sink.accept("other", millstream_core::sink::Write { items: Vec::new(), commit: commit(1) }).await.unwrap();
    sink.close().await.unwrap();
    assert!(buckets(&sink.reader().unwrap()).is_empty());
}

#[tokio::test]
async fn closing_stores_everything_and_a_closed_sink_says_so() {
    let world = World::live().await;
    world.accept(vec![stream(ITEMS, 1, false, &[put((1, "ann", "x"))])], commit(2)).await;
    world.sink.close().await.unwrap();
    assert_eq!(world.bucket("all[]").len(), 1);
    assert_eq!(world.sink.durable("db").borrow().clone(), Some(position(2)));
    let error = world.try_accept(Vec::new(), commit(3)).await.unwrap_err();
    assert!(error.diagnosis.contains("closed"), "{error}");
}

#[tokio::test]
async fn what_is_stored_between_two_positions_is_durable_once_somebody_has_waited_for_it() {
    let mut world = World::live().await;
    for generation in 2..20 {
        // The position that is durable already tells nothing of it.
        let reconciling = table(record(ITEMS, "items", TableState::Reconciling, generation));
        world.accept(vec![reconciling], commit(1)).await;
        world.sink.sync("db").await.unwrap();
        world = world.crash(CONFIG).await;
        assert_eq!(world.restored.tables[0].generation, generation);
    }
    world.sink.close().await.unwrap();
    let error = world.sink.sync("db").await.unwrap_err();
    assert!(error.diagnosis.contains("closed"), "{error}");
}

#[tokio::test]
async fn a_checkpoint_waits_for_all_sources() {
    let mut options = options(CONFIG);
    options.sources.push(millstream_bucket::SourceOptions { name: "b".into(), default_schema: "shop".into() });
    let store = Arc::new(millstream_bucket::store::MemoryStore::new());
    let sink = millstream_bucket::BucketSink::with_store(store, options).unwrap();
    let write = |commit| millstream_core::sink::Write { items: Vec::new(), commit };
    let durable = |source: &str, order| {
        let mut durable = sink.durable(source);
        async move { durable.wait_for(|at| *at == Some(position(order))).await.map(drop).unwrap() }
    };
    sink.restore("db").await.unwrap();
    sink.accept("db", write(commit(5))).await.unwrap();
    durable("db", 5).await;
    assert!(sink.checkpoints().borrow().is_none());
    sink.restore("b").await.unwrap();
    sink.accept("b", write(commit(2))).await.unwrap();
    sink.checkpoints().wait_for(Option::is_some).await.unwrap();
    // From here on an open transaction of either holds checkpoints of both.
    sink.accept(
        "b",
        millstream_core::sink::Write { items: vec![stream(ITEMS, 1, false, &[put((1, "ann", "x"))])], commit: None },
    )
    .await
    .unwrap();
    sink.accept("db", write(commit(6))).await.unwrap();
    durable("db", 6).await;
    assert_eq!(sink.checkpoints().borrow().as_ref().unwrap().positions["db"], position(5));
    sink.accept("b", write(commit(3))).await.unwrap();
    sink.checkpoints()
        .wait_for(|checkpoint| checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.positions["db"] == position(6)))
        .await
        .unwrap();
}

#[tokio::test]
async fn two_rows_with_one_id_are_two_objects() {
    let config = "bucket_definitions:\n  b:\n    data:\n      - SELECT owner AS id, note FROM items\n";
    let world = World::with_config(config).await;
    let rows = stream(ITEMS, 1, false, &[put((1, "same", "x")), put((2, "same", "y"))]);
    world.accept(vec![table(record(ITEMS, "items", TableState::Live, 1)), rows], commit(1)).await;
    world.reach(1).await;
    assert_eq!(summaries(&world.reader())["b[]"].counters.rows, 2);
    world.accept(vec![stream(ITEMS, 1, false, &[delete(2)])], commit(2)).await;
    world.reach(2).await;
    assert_eq!(world.bucket("b[]"), [r#"{"id":"same","note":"x"}"#]);
}

#[tokio::test]
async fn an_unknown_source_is_refused() {
    let world = World::live().await;
    let error = world.sink.accept("nobody", millstream_core::sink::Write::default()).await.unwrap_err();
    assert!(error.diagnosis.contains("nobody"), "{error}");
    assert!(world.sink.restore("nobody").await.is_err());
    assert!(world.sink.selection("nobody").patterns.is_empty());
    assert_eq!(world.sink.selection("db").patterns.len(), 1);
}
