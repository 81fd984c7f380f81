//! Deploying changed sync configs.

use std::sync::Arc;

use millstream_bucket::store::{MemoryStore, Store};
use millstream_bucket::{BucketSink, BucketSinkOptions, DeploymentProgress, SourceOptions, WaitingDefinition};
use millstream_core::sink::{PassMode, Sink, WriteItem};
use millstream_core::table::{TableId, TableRecord, TableState};

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
    world.accept(vec![table(held(ITEMS, "items", 2))], commit(3)).await;
    world.reach(3).await;
    assert_eq!(world.buckets().keys().collect::<Vec<_>>(), ["all[]"]);
    assert_eq!(world.reader().deployment().unwrap(), DeploymentProgress::default());
}

const NOTES: TableId = TableId(2);

/// Two definitions of two tables, each in several wordings.
fn of_both(both: &str, notes: &str) -> String {
    let both = match both {
        "first" => "data: [ 'SELECT id, owner FROM items', 'SELECT id, owner FROM notes' ]",
        "second" => "data: [ 'SELECT id, note FROM items', 'SELECT id, note FROM notes' ]",
        "without items" => "data: [ 'SELECT id, note FROM notes' ]",
        other => panic!("{other}"),
    };
    format!("bucket_definitions:\n  both: {{ {both} }}\n  notes: {{ data: [ 'SELECT {notes} FROM notes' ] }}\n")
}

/// With a row in each table, and `items` held from then on.
async fn with_a_held_table() -> World {
    let world = World::with_config(&of_both("first", "id, owner")).await;
    let live = |id, name| table(record(id, name, TableState::Live, 1));
    world.accept(vec![live(ITEMS, "items"), live(NOTES, "notes")], commit(1)).await;
    world.reach(1).await;
    let items = stream(ITEMS, 1, false, &[put((1, "ann", "x"))]);
    let notes = stream_of("notes", NOTES, 1, false, &[put((2, "bob", "y"))]);
    world.accept(vec![items, notes], commit(2)).await;
    world.accept(vec![table(held(ITEMS, "items", 1))], commit(3)).await;
    world.reach(3).await;
    world
}

impl World {
    async fn read(&self, id: TableId, name: &str, generation: u64, rows: &[Row], at: u128) {
        self.accept(vec![table(record(id, name, TableState::Reconciling, generation))], commit(at)).await;
        self.accept(vec![chunk_of(name, id, generation, rows)], commit(at)).await;
        self.sweep(id, generation, PassMode::Repair).await;
        self.accept(vec![table(record(id, name, TableState::Live, generation))], commit(at)).await;
        self.reach(at).await;
    }

    /// Another config is deployed, and `notes` is read for it.
    async fn deploy(self, config: &str, generation: u64, rows: &[Row], at: u128) -> World {
        let world = self.crash(config).await;
        world.read(NOTES, "notes", generation, rows, at).await;
        world
    }

    fn waiting(&self) -> Vec<String> {
        let progress = self.reader().deployment().unwrap();
        assert!(!progress.is_under_way);
        let told = |waiting: WaitingDefinition| {
            format!("{} {} {} {}", waiting.definition, waiting.source, waiting.table, waiting.reason)
        };
        progress.waiting.into_iter().map(told).collect()
    }
}

const BOB: &str = r#"{"id":"2","owner":"bob"}"#;
const ANN: &str = r#"{"id":"1","owner":"ann"}"#;
const WAITS: [&str; 1] = ["both db shop.items it is hidden"];

#[tokio::test]
async fn rows_of_a_held_table_stay_until_it_is_read_for_a_changed_definition() {
    let world = with_a_held_table().await;
    let config = of_both("second", "id, note");
    let world = world.deploy(&config, 2, &[(2, "bob", "y")], 4).await;
    assert_eq!(world.bucket("notes[]"), [r#"{"id":"2","note":"y"}"#], "the others are deployed");
    assert_eq!(world.bucket("both[]"), [ANN, BOB]);
    assert_eq!(world.waiting(), WAITS);
    // The former definition is kept up to date for its other table, also after a restart.
    for at in 5..7_u32 {
        let change = stream_of("notes", NOTES, 2, false, &[put((i64::from(at), "cid", "z"))]);
        world.accept(vec![change], commit(at.into())).await;
        world.reach(at.into()).await;
        assert_eq!(world.bucket("both[]").len(), at as usize - 2);
        assert_eq!(world.bucket("notes[]").len(), at as usize - 3);
    }
    let world = world.crash(&config).await;
    assert_eq!(world.restored.stale, [schema("items").table.clone()]);
    world.accept(vec![table(held(ITEMS, "items", 1))], commit(7)).await;
    let change = stream_of("notes", NOTES, 2, false, &[delete(5), delete(6)]);
    world.accept(vec![change], commit(8)).await;
    world.reach(8).await;
    assert_eq!(world.bucket("both[]"), [ANN, BOB]);
    assert_eq!(world.waiting(), WAITS);

    world.read(ITEMS, "items", 3, &[(1, "ann", "x"), (9, "dan", "v")], 9).await;
    let after = [r#"{"id":"1","note":"x"}"#, r#"{"id":"9","note":"v"}"#, r#"{"id":"2","note":"y"}"#];
    assert_eq!(world.bucket("both[]"), after);
    assert_eq!(world.reader().deployment().unwrap(), DeploymentProgress::default());
    world.sink.close().await.unwrap();
    let world = world.crash(&config).await;
    assert!(world.restored.stale.is_empty());
    assert_eq!(world.bucket("both[]"), after);
    assert_eq!(world.sink.selection("db").patterns.len(), 2);
}

#[tokio::test]
async fn a_third_config_keeps_what_is_shown_and_needed() {
    let rows = [(2, "bob", "y")];
    let world = with_a_held_table().await.deploy(&of_both("second", "id, note"), 2, &rows, 4).await;
    // Of the definitions that are shown now, each is from another config, and the next one has neither.
    let third = of_both("second", "id, note, owner");
    let world = world.deploy(&third, 3, &rows, 5).await;
    assert_eq!(world.bucket("notes[]"), [r#"{"id":"2","note":"y","owner":"bob"}"#]);
    assert_eq!(world.bucket("both[]"), [ANN, BOB]);
    assert_eq!(world.waiting(), WAITS);
    world.accept(vec![stream_of("notes", NOTES, 3, false, &[put((2, "cid", "y"))])], commit(6)).await;
    world.reach(6).await;
    assert_eq!(world.bucket("both[]"), [ANN, r#"{"id":"2","owner":"cid"}"#]);
    // What waits is taken back: what it was to replace was there all the time.
    let ops = world.ops("both[]");
    let world = world.crash(&of_both("first", "id, note, owner")).await;
    assert!(world.restored.stale.is_empty());
    world.accept(Vec::new(), commit(7)).await;
    world.reach(7).await;
    assert_eq!(world.reader().deployment().unwrap(), DeploymentProgress::default());
    assert_eq!((world.bucket("both[]").len(), world.ops("both[]")), (2, ops));
}

#[tokio::test]
async fn nothing_waits_for_what_is_removed() {
    let rows = [(2, "bob", "y")];
    let world = with_a_held_table().await.deploy(&of_both("second", "id, note"), 2, &rows, 4).await;
    assert_eq!(world.waiting(), WAITS);
    let world = world.deploy(&of_both("without items", "id, note"), 3, &rows, 5).await;
    assert_eq!(world.bucket("both[]"), [r#"{"id":"2","note":"y"}"#]);
    assert_eq!(world.reader().deployment().unwrap(), DeploymentProgress::default());

    let world = with_a_held_table().await.deploy(&of_both("second", "id, note"), 2, &rows, 4).await;
    let gone = "bucket_definitions: { notes: { data: [ 'SELECT id, note FROM notes' ] } }";
    let world = world.crash(gone).await;
    world.accept(Vec::new(), commit(5)).await;
    world.reach(5).await;
    assert_eq!(world.buckets().keys().collect::<Vec<_>>(), ["notes[]"]);
}

#[tokio::test]
async fn a_table_that_is_gone_is_not_waited_for() {
    let rows = [(2, "bob", "y")];
    let world = with_a_held_table().await.deploy(&of_both("second", "id, note"), 2, &rows, 4).await;
    world.accept(vec![clear(ITEMS).0, WriteItem::Forget { table: ITEMS }], commit(5)).await;
    world.reach(5).await;
    assert_eq!(world.bucket("both[]"), [r#"{"id":"2","note":"y"}"#]);
}

#[tokio::test]
async fn what_has_been_read_of_a_table_for_the_first_time_does_not_show_when_it_is_held() {
    let world = filled().await;
    let config = format!("{CONFIG}  more: {{ data: [ 'SELECT id, note FROM notes' ] }}\n");
    let world = world.crash(&config).await;
    world.accept(vec![table(record(NOTES, "notes", TableState::Loading, 1))], commit(3)).await;
    world.accept(vec![chunk_of("notes", NOTES, 1, &[(1, "ann", "x")])], commit(3)).await;
    world.accept(vec![table(TableRecord { visible: false, ..held(NOTES, "notes", 1) })], commit(4)).await;
    world.reach(4).await;
    assert!(world.bucket("more[]").is_empty());
    assert_eq!(world.reader().deployment().unwrap(), DeploymentProgress::default());
    world.accept(vec![table(record(NOTES, "notes", TableState::Loading, 2))], commit(4)).await;
    world.accept(vec![chunk_of("notes", NOTES, 2, &[(1, "ann", "x"), (2, "bob", "y")])], commit(4)).await;
    world.sweep(NOTES, 2, PassMode::Repair).await;
    world.accept(vec![table(record(NOTES, "notes", TableState::Live, 2))], commit(5)).await;
    world.reach(5).await;
    assert_eq!(world.bucket("more[]"), [r#"{"id":"1","note":"x"}"#, r#"{"id":"2","note":"y"}"#]);
}
