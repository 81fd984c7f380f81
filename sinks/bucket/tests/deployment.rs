//! Deploying changed sync configs.

use std::sync::Arc;

use millstream_bucket::store::{MemoryStore, Store};
use millstream_bucket::{BucketSink, BucketSinkOptions, SourceOptions};
use millstream_core::sink::{PassMode, Sink};
use millstream_core::table::{TableId, TableState};

use crate::world::*;

const CHANGED: &str = r"
# all is as before
bucket_definitions:
  all:
    data: [ 'SELECT id, owner, note FROM items' ]
  named:
    data:
      - SELECT id, owner FROM items
";

async fn filled() -> World {
    let world = World::live().await;
    let rows = stream(ITEMS, 1, false, &[put((1, "ann", "x")), put((2, "bob", "y"))]);
    world.accept(vec![rows], commit(2)).await;
    world.reach(2).await;
    world
}

#[tokio::test]
async fn another_layout_changes_nothing() {
    let world = filled().await;
    let before = (world.buckets(), world.ops("all[]"));
    let world = world.crash(&format!("# a comment\n{CONFIG}")).await;
    assert!(world.restored.stale.is_empty());
    world.accept(Vec::new(), commit(3)).await;
    world.reach(3).await;
    assert_eq!((world.buckets(), world.ops("all[]")), before);
}

/// The wording was the same, so the buckets kept other tables' rows.
#[test]
fn names_that_mean_other_tables_than_before_are_refused() {
    let store = Arc::new(MemoryStore::new());
    let open = |config: &str, sources: &[(&str, &str)]| {
        let source = |(name, schema): &(&str, &str)| SourceOptions {
            name: (*name).to_owned(),
            default_schema: (*schema).to_owned(),
        };
        let options = BucketSinkOptions { sources: sources.iter().map(source).collect(), ..options(config) };
        BucketSink::with_store(Arc::clone(&store) as Arc<dyn Store>, options).map(drop)
    };
    let unqualified = "bucket_definitions: { home: { data: [ 'SELECT id FROM items' ] } }";
    let qualified = "bucket_definitions: { home: { data: [ 'SELECT id FROM a.shop.items' ] } }";
    open(unqualified, &[("a", "shop")]).unwrap();
    open(unqualified, &[("a", "shop"), ("b", "shop")]).unwrap();
    for sources in [&[("b", "shop"), ("a", "shop")][..], &[("a", "other")], &[("new", "shop"), ("a", "shop")]] {
        let error = open(unqualified, sources).unwrap_err();
        assert!(error.diagnosis.contains("`home`") && error.remedy.contains("another name"), "{error}");
    }
    // A source of another name is another source.
    open(unqualified, &[("c", "other")]).unwrap();
    open(qualified, &[("b", "shop"), ("a", "shop")]).unwrap();
    open(qualified, &[("a", "other"), ("b", "shop")]).unwrap();
}

#[tokio::test]
async fn a_changed_config_is_filled_out_of_sight_and_shown_at_once() {
    let world = filled().await;
    let before = world.buckets();
    let ops_before = world.ops("all[]");
    let world = world.crash(CHANGED).await;
    assert_eq!(world.restored.stale, [schema("items").table.clone()]);
    world.accept(vec![table(record(ITEMS, "items", TableState::Reconciling, 2))], commit(2)).await;
    world.accept(vec![stream(ITEMS, 2, true, &[put((3, "ann", "z"))])], commit(3)).await;
    world.reach(3).await;
    assert_eq!(world.bucket("mine[\"ann\"]").len(), 2, "the old definitions are kept up to date");
    assert!(world.bucket("named[]").is_empty());

    // A restart in between goes on.
    world.accept(vec![chunk(ITEMS, 2, PassMode::Repair, &[(1, "ann", "x")])], commit(3)).await;
    let world = world.crash(CHANGED).await;
    assert!(world.restored.stale.is_empty(), "the pass was begun for this already");
    world.accept(vec![chunk(ITEMS, 2, PassMode::Repair, &[(1, "ann", "x"), (2, "bob", "y")])], commit(3)).await;
    world.reach(3).await;
    assert!(world.bucket("named[]").is_empty());
    world.sweep(ITEMS, 2, PassMode::Repair).await;
    world.accept(vec![table(record(ITEMS, "items", TableState::Live, 2))], commit(4)).await;
    world.reach(4).await;
    let after = world.buckets();
    assert_eq!(after.keys().collect::<Vec<_>>(), ["all[]", "named[]"]);
    assert_eq!(after["named[]"].len(), 3);
    assert!(before["all[]"].iter().all(|row| after["all[]"].iter().any(|other| other == row)));
    assert_eq!(world.ops("all[]"), ops_before + 1, "nobody downloads what hasn't changed");
    assert!(world.reader().lookup("mine", 0, "[\"x\"]").unwrap().is_empty());

    // What belonged to the old definitions goes away, and a restart finds nothing to do.
    world.sink.close().await.unwrap();
    let world = world.crash(CHANGED).await;
    assert!(world.restored.stale.is_empty());
    assert_eq!(world.buckets(), after);
}

#[tokio::test]
async fn a_deployment_that_is_taken_back_leaves_nothing() {
    let world = filled().await;
    let before = world.buckets();
    let world = world.crash(CHANGED).await;
    world.accept(vec![table(record(ITEMS, "items", TableState::Reconciling, 2))], commit(2)).await;
    world.accept(vec![chunk(ITEMS, 2, PassMode::Repair, &[(1, "ann", "x"), (2, "bob", "y")])], commit(3)).await;
    world.durable(3).await;
    let world = world.crash(CONFIG).await;
    assert!(world.restored.stale.is_empty());
    world.accept(Vec::new(), commit(4)).await;
    world.reach(4).await;
    assert_eq!(world.buckets(), before);
    // Deployed again it begins anew.
    let world = world.crash(CHANGED).await;
    assert_eq!(world.restored.stale.len(), 1);
}

#[tokio::test]
async fn a_definition_that_is_only_removed_takes_no_reading() {
    let world = filled().await;
    let only = "bucket_definitions:\n  all:\n    data:\n      - SELECT id, owner, note FROM items\n";
    let world = world.crash(only).await;
    assert!(world.restored.stale.is_empty());
    world.accept(Vec::new(), commit(3)).await;
    world.reach(3).await;
    assert_eq!(world.buckets().keys().collect::<Vec<_>>(), ["all[]"]);
}

#[tokio::test]
async fn a_table_that_only_the_new_config_selects_is_waited_for() {
    let world = filled().await;
    let config = format!("{CONFIG}  more:\n    data:\n      - SELECT id, note FROM notes\n");
    let world = world.crash(&config).await;
    assert!(world.restored.stale.is_empty());
    assert_eq!(world.sink.selection("db").patterns.len(), 2);
    let notes = TableId(2);
    world.accept(vec![table(record(notes, "notes", TableState::Loading, 1))], commit(3)).await;
    world.reach(3).await;
    let rows = chunk_of("notes", notes, 1, &[(1, "ann", "x")]);
    world.accept(vec![rows], commit(4)).await;
    world.reach(4).await;
    assert!(world.bucket("more[]").is_empty());
    world.sweep(notes, 1, PassMode::Repair).await;
    world.accept(vec![table(record(notes, "notes", TableState::Live, 1))], commit(5)).await;
    world.reach(5).await;
    assert_eq!(world.bucket("more[]"), [r#"{"id":"1","note":"x"}"#]);
    assert_eq!(world.bucket("all[]").len(), 2);
}

#[tokio::test]
async fn a_held_table_does_not_hold_up_a_deployment() {
    let world = filled().await;
    let world = world.crash(CHANGED).await;
    let held = TableState::Held { reason: "r".to_string(), remedy: "m".to_string() };
    let mut held = record(ITEMS, "items", held, 2);
    held.visible = true;
    world.accept(vec![table(held)], commit(3)).await;
    world.reach(3).await;
    assert_eq!(world.buckets().keys().collect::<Vec<_>>(), ["all[]"]);
}
