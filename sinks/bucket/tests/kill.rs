//! Killing the process at every named place, on a store on disk.
//!
//! The test starts this binary again as a child that works through a script and dies on the way. What the store shows
//! then must be consistent, and a child that takes the script up must end where one ends that was never killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use millstream_bucket::kill::{KillPoint, VARIABLE};
use millstream_bucket::store::FjallStore;
use millstream_bucket::{BucketReader, Tuning};
use millstream_core::sink::{PassMode, Sink};
use millstream_core::table::{TableId, TableState};

use crate::world::*;

/// Where the child's store is, and which of the configs it has.
const STORE: &str = "MILLSTREAM_TEST_STORE";
const CONFIG_INDEX: &str = "MILLSTREAM_TEST_CONFIG";

const NOTES: TableId = TableId(2);
const LAST: u128 = 16;

/// With the last one `notes` can't be read, so that `all` stays as it is.
const WITH_HELD: usize = 2;

const CONFIGS: [&str; 3] = [
    r"
bucket_definitions:
  all: { data: [ 'SELECT id, owner, note FROM items', 'SELECT id, note FROM notes' ] }
  mine: { parameters: SELECT request.user_id() AS owner, data: [ 'SELECT id, note FROM items WHERE owner = bucket.owner' ] }
",
    r"
bucket_definitions:
  all: { data: [ 'SELECT id, owner, note FROM items', 'SELECT id, note FROM notes' ] }
  other: { data: [ 'SELECT id, owner FROM items' ] }
",
    r"
bucket_definitions:
  all: { data: [ 'SELECT id, owner FROM items', 'SELECT id, note AS name FROM notes' ] }
  other: { data: [ 'SELECT id, note FROM items' ] }
",
];

/// The rows of `items` at a position.
fn items_at(position: u128) -> Vec<Row> {
    const NOTES: [&str; 13] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
    match position {
        0 => Vec::new(),
        1..=12 => {
            let changed = NOTES[position as usize - 1];
            (0..60).map(|id| (id, "ann", if id < 20 { changed } else { "a" })).collect()
        }
        13 | 14 => items_at(12).into_iter().filter(|(id, ..)| *id < 20).collect(),
        _ => (0..5).map(|id| (id, "bob", NOTES[position as usize - 13])).collect(),
    }
}

fn notes() -> Vec<Row> {
    (0..30).map(|id| (id, "ann", "n")).collect()
}

/// The process that is killed.
#[tokio::test]
#[ignore = "is started by the other tests"]
async fn child() {
    let (Ok(path), Ok(config)) = (std::env::var(STORE), std::env::var(CONFIG_INDEX)) else { return };
    let tuning = Tuning {
        compact_dead_ops_min: 3,
        slice_rows_max: 4,
        slice_bytes_max: 600,
        sweep_collected_bytes_max: 300,
        batch_bytes_max: 1_500,
        load_bytes_max: 1_500,
        load_bytes_min: 1,
    };
    let store = Arc::new(FjallStore::open(Path::new(&path)).unwrap());
    let config: usize = config.parse().unwrap();
    let world = World::tuned(store, CONFIGS[config], &tuning).await;
    let is_deployment = config != 0;
    let generation = u64::from(world.restored.incarnation) << 32;
    let mut script = Script { generation, world, is_held: config == WITH_HELD };
    script.run().await;
    // What nobody waits for ends with the process, so it gets its turns here: one at least with each of these.
    for _ in 0..if is_deployment { 40 } else { 0 } {
        script.world.sink.sync("db").await.unwrap();
    }
    script.world.sink.close().await.unwrap();
}

struct Script {
    world: World,
    generation: u64,
    /// Whether `notes` can't be read.
    is_held: bool,
}

impl Script {
    async fn run(&mut self) {
        let at = self.world.restored.position.as_ref().map_or(0, |position| position.order());
        for restored in self.world.restored.tables.clone() {
            let is_stale = self.world.restored.stale.contains(&restored.name);
            if self.is_held && restored.id == NOTES {
                self.world.accept(vec![table(held(NOTES, "notes", restored.generation))], commit(at)).await;
            } else if restored.state != TableState::Live || is_stale {
                self.pass(restored.id, restored.visible, at).await;
            }
        }
        for step in at + 1..=LAST {
            self.step(step).await;
        }
        self.world.accept(Vec::new(), commit(LAST)).await;
        self.world.reach(LAST).await;
    }

    async fn step(&mut self, step: u128) {
        match step {
            1 => self.pass(ITEMS, false, step).await,
            13 => self.pass(ITEMS, true, step).await,
            14 => self.pass(NOTES, false, step).await,
            15 => {
                let (cleared, _report) = clear(ITEMS);
                self.world.accept(vec![cleared], None).await;
                self.upsert(step).await;
            }
            _ => self.upsert(step).await,
        }
    }

    async fn upsert(&mut self, step: u128) {
        let changes: Vec<_> = items_at(step).into_iter().filter(|(id, ..)| *id < 20).map(put).collect();
        let (first, second) = changes.split_at(changes.len() / 2);
        self.world.accept(vec![stream(ITEMS, self.generation, false, first)], None).await;
        self.world.accept(vec![stream(ITEMS, self.generation, false, second)], commit(step)).await;
        self.world.durable(step).await;
    }

    async fn pass(&mut self, table_id: TableId, visible: bool, at: u128) {
        self.generation += 1;
        let (name, rows) = if table_id == ITEMS { ("items", items_at(at)) } else { ("notes", notes()) };
        let state = if visible { TableState::Reconciling } else { TableState::Loading };
        self.world.accept(vec![table(record(table_id, name, state, self.generation))], commit(at)).await;
        for part in rows.chunks(7) {
            self.world.accept(vec![chunk_of(name, table_id, self.generation, part)], commit(at)).await;
        }
        self.world.sweep(table_id, self.generation, PassMode::Repair).await;
        self.world.accept(vec![table(record(table_id, name, TableState::Live, self.generation))], commit(at)).await;
    }
}

fn run_child(store: &Path, config: usize, kill: Option<&str>) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["kill::child", "--exact", "--ignored", "--quiet"]);
    command.env(STORE, store).env(CONFIG_INDEX, config.to_string()).env_remove(VARIABLE);
    if let Some(kill) = kill {
        command.env(VARIABLE, kill);
    }
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status().unwrap()
}

/// What readers see, which must be consistent whenever they look.
fn seen(store: &Path) -> BTreeMap<String, Rows> {
    let reader = BucketReader::open(store).unwrap();
    let seen = buckets(&reader);
    let Some(checkpoint) = reader.checkpoint() else { return BTreeMap::new() };
    let items = items_at(checkpoint.positions["db"].order());
    let tables = reader.tables("db").unwrap();
    let is_live = tables.iter().any(|table| table.record.id == ITEMS && table.record.state == TableState::Live);
    let is_at_checkpoint = reader.sources().unwrap()[0].position.as_ref() == checkpoint.positions.get("db");
    if is_live && is_at_checkpoint {
        let shown = seen.get("all[]").into_iter().flatten().filter(|((object_type, _), _)| object_type == "items");
        let shown: Vec<_> = shown.map(|(_, data)| data.clone()).collect();
        let mut expected: Vec<_> = items
            .iter()
            .map(|(id, owner, note)| (id.to_string(), format!(r#"{{"id":"{id}","owner":"{owner}","note":"{note}"}}"#)))
            .collect();
        expected.sort();
        assert_eq!(shown, expected.into_iter().map(|(_, data)| data).collect::<Vec<_>>());
    }
    seen
}

#[test]
fn every_place_can_be_died_at() {
    let reference = tempfile::tempdir().unwrap();
    assert!(run_child(reference.path(), 0, None).success());
    let filled = seen(reference.path());
    assert!(run_child(reference.path(), 1, None).success());
    let deployed = seen(reference.path());
    assert_eq!(filled["all[]"].len(), 35);
    assert_eq!(deployed.keys().collect::<Vec<_>>(), ["all[]", "other[]"]);
    assert!(run_child(reference.path(), WITH_HELD, None).success());
    let in_part = seen(reference.path());
    assert_eq!(in_part["all[]"], deployed["all[]"]);
    assert_ne!(in_part["other[]"], deployed["other[]"]);

    for point in KillPoint::ALL {
        // Only a deployment dies in the middle of a switch.
        let configs: &[usize] = if point == KillPoint::MidSwitch { &[1, 2] } else { &[0, 1, 2] };
        let mut deaths = 0;
        for count in [1, 3, 9, 30] {
            let store = tempfile::tempdir().unwrap();
            if !configs.contains(&0) {
                assert!(run_child(store.path(), 0, None).success());
            }
            for config in configs {
                if !run_child(store.path(), *config, Some(&format!("{}:{count}", point.name()))).success() {
                    deaths += 1;
                    seen(store.path());
                }
                assert!(run_child(store.path(), *config, None).success(), "after {} {count}", point.name());
                let expected = [&filled, &deployed, &in_part][*config];
                assert_eq!(&seen(store.path()), expected, "after {} {count}", point.name());
            }
        }
        assert!(deaths > 0, "nothing dies at {}", point.name());
    }
}

#[test]
fn a_misspelt_place_is_refused() {
    let store = tempfile::tempdir().unwrap();
    assert!(!run_child(store.path(), 0, Some("before_comit:1")).success());
}
