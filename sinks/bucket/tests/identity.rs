//! Tables whose identity changes: clients download nothing for it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_bucket::store::{Batch, Direction, Durability, FjallStore, KeyRange, Keyspace, MemoryStore, Store};
use millstream_bucket::{BucketChange, BucketOp, Tuning};
use millstream_core::change::{RowChange, RowChanges};
use millstream_core::schema::TableSchema;
use millstream_core::sink::{PassMode, PassReport, Sink, WriteItem};
use millstream_core::table::{TableRecord, TableState};

use crate::client::Client;
use crate::world::*;

/// Everything in one bucket, by its id; and rows whose ids aren't their own.
const SHARED: &str = r"
bucket_definitions:
  all: { data: [ 'SELECT id, owner, note FROM items' ] }
  shared: { data: [ 'SELECT owner AS id, note FROM items' ] }
";

const BY_ID: &[usize] = &[0];
const BY_NOTE: &[usize] = &[2];
const BY_NOTE_AND_ID: &[usize] = &[2, 0];
const WHOLE: &[usize] = WHOLE_ROW;

fn table_by(identity: &[usize], state: TableState, generation: u64) -> WriteItem {
    table_of(&schema_by("items", identity), state, generation)
}

fn table_of(schema: &Arc<TableSchema>, state: TableState, generation: u64) -> WriteItem {
    table(TableRecord { schema: Some(Arc::clone(schema)), ..record(ITEMS, "items", state, generation) })
}

fn chunk_by(identity: &[usize], generation: u64, mode: PassMode, rows: &[Row]) -> WriteItem {
    chunk_in(&schema_by("items", identity), generation, mode, rows)
}

fn chunk_in(schema: &Arc<TableSchema>, generation: u64, mode: PassMode, rows: &[Row]) -> WriteItem {
    let rows = batch(rows.iter().copied());
    WriteItem::Chunk { table: ITEMS, generation, mode, schema: Arc::clone(schema), rows }
}

/// The same columns with other types, the n-th time: rows don't tell what they were called by keys of before.
fn retyped(identity: &[usize], times: usize) -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&schema_by("items", identity));
    schema.columns.iter_mut().for_each(|column| column.source_type.insert_str(0, &"wide ".repeat(times)));
    Arc::new(schema)
}

fn stream_by(identity: &[usize], generation: u64, pass_active: bool, changes: &[(RowChange, Row)]) -> WriteItem {
    let mut all = RowChanges::new(schema_by("items", identity));
    all.rows = batch(changes.iter().map(|(_, row)| *row));
    all.changes = changes.iter().map(|(change, _)| *change).collect();
    WriteItem::Stream { table: ITEMS, generation, pass_active, changes: all }
}

/// What clients would notice: for each bucket its ops so far, its rows and its checksum.
fn noticed(world: &World) -> BTreeMap<String, (u64, u64, u32)> {
    let of = |summary: millstream_bucket::BucketSummary| {
        (summary.counters.ops, summary.counters.rows, summary.counters.checksum)
    };
    summaries(&world.reader()).into_iter().map(|(name, summary)| (name, of(summary))).collect()
}

fn stored(world: &World, keyspace: Keyspace) -> usize {
    world.store.scan(keyspace, &KeyRange::all(), Direction::Forward).count()
}

impl World {
    /// Reads all rows under an identity, as a pass does, from its begin to its end.
    async fn pass_by(&self, identity: &[usize], generation: u64, at: u128, rows: &[Row]) -> PassReport {
        self.pass_in(&schema_by("items", identity), generation, at, rows).await
    }

    async fn pass_in(&self, schema: &Arc<TableSchema>, generation: u64, at: u128, rows: &[Row]) -> PassReport {
        self.accept(vec![table_of(schema, TableState::Reconciling, generation)], commit(at)).await;
        for part in rows.chunks(3) {
            self.accept(vec![chunk_in(schema, generation, PassMode::Repair, part)], commit(at)).await;
        }
        self.end_pass_in(schema, generation, at).await
    }

    async fn end_pass_by(&self, identity: &[usize], generation: u64, at: u128) -> PassReport {
        self.end_pass_in(&schema_by("items", identity), generation, at).await
    }

    async fn end_pass_in(&self, schema: &Arc<TableSchema>, generation: u64, at: u128) -> PassReport {
        let report = self.sweep(ITEMS, generation, PassMode::Repair).await;
        self.accept(vec![table_of(schema, TableState::Live, generation)], commit(at)).await;
        self.reach(at).await;
        report
    }

    async fn verify_by(&self, identity: &[usize], generation: u64, rows: &[Row]) -> PassReport {
        self.accept(vec![chunk_by(identity, generation, PassMode::Verify, rows)], None).await;
        self.sweep(ITEMS, generation, PassMode::Verify).await
    }
}

async fn filled(store: Arc<dyn Store>, config: &str, rows: &[Row]) -> World {
    let world = World::on(store, config).await;
    let changes: Vec<_> = rows.iter().map(|row| put(*row)).collect();
    let items = vec![table_by(BY_ID, TableState::Live, 1), stream_by(BY_ID, 1, false, &changes)];
    world.accept(items, commit(1)).await;
    world.reach(1).await;
    world
}

fn in_memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

const ROWS: [Row; 7] = [
    (1, "ann", "a"),
    (2, "ann", "b"),
    (3, "bob", "c"),
    (4, "bob", "d"),
    (5, "bob", "e"),
    (6, "cid", "f"),
    (7, "cid", "g"),
];

async fn another_key_writes_nothing(store: Arc<dyn Store>) {
    let world = filled(store, CONFIG, &ROWS).await;
    let before = noticed(&world);
    let lookups = stored(&world, Keyspace::Lookups);
    let mut client = Client::default();
    client.sync(&world.reader(), "all[]");
    for (round, identity) in (2..).zip([BY_NOTE, WHOLE, BY_ID, BY_NOTE_AND_ID, WHOLE, BY_NOTE]) {
        let generation = 10 * round;
        let report = world.pass_by(identity, generation, round.into(), &ROWS).await;
        assert_eq!((report.ops_written, report.rows_compared), (0, 7), "{identity:?}");
        assert_eq!(noticed(&world), before, "{identity:?}");
        assert_eq!(stored(&world, Keyspace::Rows), 7, "nothing of the former identity is left");
        assert_eq!(world.sink.stored_rows("db", ITEMS), Some(7));
        assert_eq!(world.verify_by(identity, generation + 1, &ROWS).await.differences, []);
    }
    // One note a row that has come over, whatever its way, in each of its two buckets.
    world.accept(Vec::new(), commit(8)).await;
    world.reach(8).await;
    assert!(stored(&world, Keyspace::Lookups) <= lookups + 2 * 7, "no list is left");
    // What came over goes on as it was: one op an object, and clients know it again.
    let changes = [put((1, "ann", "a")), put((2, "bob", "b")), delete_by_note("c"), put((8, "cid", "h"))];
    world.accept(vec![stream_by(BY_NOTE, 200, false, &changes)], commit(9)).await;
    world.reach(9).await;
    assert_eq!(world.ops("all[]"), before["all[]"].0 + 3);
    client.sync(&world.reader(), "all[]");
    assert_eq!(client.ops_seen, before["all[]"].0 + 3);
    assert_eq!(client.rows().len(), 7);
    let ids: Vec<_> = client.rows().into_keys().map(|(_, id, _)| id).collect();
    assert_eq!(ids, ["1", "2", "4", "5", "6", "7", "8"]);
    world.buckets();
}

fn delete_by_note(note: &'static str) -> (RowChange, Row) {
    (RowChange::Delete, (0, "", note))
}

#[tokio::test]
async fn another_key_writes_nothing_in_memory() {
    another_key_writes_nothing(in_memory()).await;
}

#[tokio::test]
async fn another_key_writes_nothing_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    another_key_writes_nothing(Arc::new(FjallStore::open(directory.path()).unwrap())).await;
}

#[tokio::test]
async fn what_has_changed_takes_one_op() {
    let world = filled(in_memory(), CONFIG, &ROWS).await;
    let (ops, subkeys) = (world.ops("all[]"), subkeys(&world));
    // 1 has another owner, 7 is gone, 8 is new.
    let mut rows = ROWS.to_vec();
    rows[0].1 = "bob";
    rows[6] = (8, "cid", "h");
    let report = world.pass_by(BY_NOTE, 2, 2, &rows).await;
    assert_eq!(world.ops("all[]"), ops + 3);
    // And in the owners' buckets one is taken out, one put, one taken out, one put.
    assert_eq!(report.ops_written, 3 + 4);
    let after = self::subkeys(&world);
    assert_eq!(after["1"], subkeys["1"], "clients see a change, not another object");
    assert_eq!(after.len(), 7);
    assert_eq!(world.verify_by(BY_NOTE, 3, &rows).await.differences, []);
    world.buckets();
}

/// The subkey of each object of the bucket that has all.
fn subkeys(world: &World) -> BTreeMap<String, String> {
    let mut client = Client::default();
    client.sync(&world.reader(), "all[]");
    client.rows().into_keys().map(|(_, id, subkey)| (id, subkey)).collect()
}

#[tokio::test]
async fn the_stream_goes_on_while_the_table_is_read_by_another_key() {
    let world = filled(in_memory(), CONFIG, &ROWS).await;
    let ops = world.ops("all[]");
    world.accept(vec![table_by(BY_NOTE, TableState::Reconciling, 2)], commit(2)).await;
    // Before any row of the pass: one is changed, one written to what it was, one deleted, one new.
    let changes = [put((1, "bob", "a")), put((2, "ann", "b")), delete_by_note("c"), put((8, "cid", "h"))];
    world.accept(vec![stream_by(BY_NOTE, 2, true, &changes)], commit(3)).await;
    world.reach(3).await;
    assert_eq!(world.ops("all[]"), ops + 2);
    // The chunk was read before all that.
    world.accept(vec![chunk_by(BY_NOTE, 2, PassMode::Repair, &ROWS)], commit(3)).await;
    let changes = [put((4, "cid", "d")), delete_by_note("e")];
    world.accept(vec![stream_by(BY_NOTE, 2, true, &changes)], commit(4)).await;
    world.end_pass_by(BY_NOTE, 2, 5).await;
    // Four changes that clients get, and 3, of which only the new key was told, goes with the sweep.
    assert_eq!(world.ops("all[]"), ops + 5);
    let now = [(1, "bob", "a"), (2, "ann", "b"), (4, "cid", "d"), (6, "cid", "f"), (7, "cid", "g"), (8, "cid", "h")];
    assert_eq!(world.verify_by(BY_NOTE, 6, &now).await.differences, []);
    assert_eq!(world.bucket("all[]").len(), 6);
    assert_eq!(stored(&world, Keyspace::Rows), 6);
}

#[tokio::test]
async fn rows_that_share_an_object_keep_one_each() {
    let world = filled(in_memory(), SHARED, &ROWS).await;
    let before = noticed(&world);
    assert_eq!(before["shared[]"].1, 7);
    assert_eq!(world.pass_by(BY_NOTE, 2, 2, &ROWS).await.ops_written, 0);
    assert_eq!(noticed(&world), before);
    // One of another content, which isn't told by the former key any more.
    let mut rows = ROWS.to_vec();
    rows[1].2 = "a";
    let report = world.pass_by(BY_NOTE_AND_ID, 3, 3, &rows).await;
    // One object is put and one removed in each bucket.
    assert_eq!(report.ops_written, 4);
    let before = noticed(&world);
    assert_eq!(world.pass_by(WHOLE, 4, 4, &rows).await.ops_written, 0);
    assert_eq!(noticed(&world), before);
    assert_eq!(world.verify_by(WHOLE, 5, &rows).await.differences, []);
    let mut client = Client::default();
    client.sync(&world.reader(), "shared[]");
    assert_eq!(client.rows().len(), 7);
}

/// Where one of them has changed, the others keep theirs: by the former key each knows its own.
#[tokio::test]
async fn one_of_the_rows_that_share_an_object_may_change() {
    let world = filled(in_memory(), SHARED, &ROWS).await;
    let ops = world.ops("shared[]");
    let mut rows = ROWS.to_vec();
    rows[3].2 = "z";
    // Once among all objects and once among those of the row's owner.
    assert_eq!(world.pass_by(BY_NOTE_AND_ID, 2, 2, &rows).await.ops_written, 2);
    assert_eq!(world.ops("shared[]"), ops + 1);
    assert_eq!(world.verify_by(BY_NOTE_AND_ID, 3, &rows).await.differences, []);
}

/// Rows that don't tell what they were called before find their objects in a list.
#[tokio::test]
async fn columns_of_the_former_key_may_have_other_types() {
    let world = filled(in_memory(), SHARED, &ROWS).await;
    let before = noticed(&world);
    let lookups = stored(&world, Keyspace::Lookups);
    for (times, identity) in (1..).zip([BY_NOTE, WHOLE, BY_NOTE_AND_ID, BY_ID]) {
        let (schema, generation) = (retyped(identity, times), 10 * times as u64);
        assert_eq!(world.pass_in(&schema, generation, times as u128 + 1, &ROWS).await.ops_written, 0, "{identity:?}");
        assert_eq!(noticed(&world), before, "{identity:?}");
        assert_eq!(stored(&world, Keyspace::Rows), 7);
    }
    assert!(stored(&world, Keyspace::Lookups) <= lookups + 2 * 7, "no list is left");
    // The same content twice: either object will do.
    let mut rows = ROWS.to_vec();
    rows[1].2 = "a";
    let report = world.pass_in(&retyped(BY_NOTE_AND_ID, 5), 100, 10, &rows).await;
    // One op in each bucket.
    assert_eq!(report.ops_written, 2);
}

/// The entries of the list of objects that rows of former identities have.
fn listed(world: &World) -> usize {
    world.store.scan(Keyspace::Lookups, &KeyRange::prefix(&[3]), Direction::Forward).count()
}

/// Other writes would wait for it.
#[tokio::test]
async fn nothing_is_listed_where_rows_tell_their_former_keys() {
    let store = in_memory();
    let world = filled(Arc::clone(&store), CONFIG, &ROWS).await;
    let before = noticed(&world);
    // Passes that are given up for a further change, with a restart between: each has brought some of the rows.
    let mut world = world;
    for (round, identity) in (2..).zip([BY_NOTE, WHOLE, BY_NOTE_AND_ID, BY_NOTE]) {
        world.accept(vec![table_by(identity, TableState::Reconciling, round)], commit(2)).await;
        let some = &ROWS[round as usize..round as usize + 2];
        world.accept(vec![chunk_by(identity, round, PassMode::Repair, some)], commit(2)).await;
        world.sink.sync("db").await.unwrap();
        assert_eq!(listed(&world), 0, "{identity:?}");
        if round == 3 {
            world.sink.close().await.unwrap();
            drop(world);
            world = World::on(Arc::clone(&store), CONFIG).await;
        }
    }
    // One more than is kept.
    world.accept(vec![table_by(BY_ID, TableState::Reconciling, 9)], commit(3)).await;
    world.accept(vec![chunk_by(BY_ID, 9, PassMode::Repair, &ROWS[..4])], commit(3)).await;
    world.sink.sync("db").await.unwrap();
    assert!(listed(&world) > 0);
    world.accept(vec![chunk_by(BY_ID, 9, PassMode::Repair, &ROWS[4..])], commit(3)).await;
    assert_eq!(world.end_pass_by(BY_ID, 9, 4).await.ops_written, 0);
    assert_eq!(noticed(&world), before);
    assert_eq!((stored(&world, Keyspace::Rows), listed(&world)), (7, 0));
    // And from here on they are told again.
    world.accept(vec![table_by(BY_NOTE, TableState::Reconciling, 10)], commit(5)).await;
    world.accept(vec![chunk_by(BY_NOTE, 10, PassMode::Repair, &ROWS[..4])], commit(5)).await;
    world.sink.sync("db").await.unwrap();
    assert_eq!(listed(&world), 0);
}

/// Older stores don't say which columns the identity has.
#[tokio::test]
async fn without_word_of_the_former_key_the_objects_are_listed() {
    let store = in_memory();
    let world = filled(Arc::clone(&store), CONFIG, &ROWS).await;
    let before = noticed(&world);
    world.accept(vec![table_by(BY_NOTE, TableState::Reconciling, 2)], commit(2)).await;
    world.accept(vec![chunk_by(BY_NOTE, 2, PassMode::Repair, &ROWS[..3])], commit(2)).await;
    world.sink.close().await.unwrap();
    drop(world);
    let mut written = Batch::new();
    for pair in store.scan(Keyspace::Meta, &KeyRange::prefix(b"filing/"), Direction::Forward) {
        let (key, filing) = pair.unwrap();
        let text = String::from_utf8(filing).unwrap();
        let (of_before, _) = text.split_once(",\"columns\"").unwrap();
        written.put(Keyspace::Meta, &key, format!("{of_before}}}").as_bytes());
    }
    assert_eq!(written.len(), 1);
    store.commit(&written, Durability::Synced).unwrap();

    let world = World::on(store, CONFIG).await;
    world.accept(vec![table_by(BY_NOTE, TableState::Reconciling, 2)], commit(3)).await;
    world.accept(vec![chunk_by(BY_NOTE, 2, PassMode::Repair, &ROWS[3..])], commit(3)).await;
    world.sink.sync("db").await.unwrap();
    assert!(listed(&world) > 0);
    assert_eq!(world.end_pass_by(BY_NOTE, 2, 4).await.ops_written, 0);
    assert_eq!(noticed(&world), before);
    assert_eq!(stored(&world, Keyspace::Rows), 7);
}

async fn a_crash_half_way_changes_nothing(open: impl Fn() -> Arc<dyn Store>) {
    let world = filled(open(), CONFIG, &ROWS).await;
    let before = noticed(&world);
    world.accept(vec![table_by(BY_NOTE, TableState::Reconciling, 2)], commit(2)).await;
    world.accept(vec![chunk_by(BY_NOTE, 2, PassMode::Repair, &ROWS[..3])], commit(2)).await;
    world.sink.close().await.unwrap();
    drop(world);
    // The pass goes on where it was.
    let world = World::on(open(), CONFIG).await;
    world.accept(vec![table_by(BY_NOTE, TableState::Reconciling, 2)], commit(3)).await;
    world.accept(vec![chunk_by(BY_NOTE, 2, PassMode::Repair, &ROWS[3..])], commit(3)).await;
    assert_eq!(world.end_pass_by(BY_NOTE, 2, 4).await.ops_written, 0);
    assert_eq!(noticed(&world), before);
    assert_eq!(stored(&world, Keyspace::Rows), 7);
}

#[tokio::test]
async fn a_crash_half_way_changes_nothing_in_memory() {
    let store = in_memory();
    a_crash_half_way_changes_nothing(|| Arc::clone(&store)).await;
}

#[tokio::test]
async fn a_crash_half_way_changes_nothing_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    a_crash_half_way_changes_nothing(|| on_disk(directory.path())).await;
}

fn on_disk(path: &Path) -> Arc<dyn Store> {
    Arc::new(FjallStore::open(path).unwrap())
}

/// The stream had brought the change and rows behind it when the process died, and begins before it again.
#[tokio::test]
async fn rows_of_before_the_change_may_come_again() {
    let store = in_memory();
    let world = filled(Arc::clone(&store), CONFIG, &ROWS).await;
    let items = vec![
        stream_by(BY_ID, 1, false, &[put((1, "cid", "a"))]),
        table_by(BY_NOTE, TableState::Reconciling, 2),
        stream_by(BY_NOTE, 2, true, &[put((2, "cid", "b")), delete_by_note("c")]),
        chunk_by(BY_NOTE, 2, PassMode::Repair, &ROWS[3..]),
    ];
    world.accept(items, None).await;
    world.sink.close().await.unwrap();
    drop(world);
    let world = World::on(store, CONFIG).await;
    assert!(world.restored.unfinished);
    let again = [put((1, "cid", "a")), put((5, "ann", "e")), (RowChange::Delete, (6, "", "")), put((9, "ann", "i"))];
    world.accept(vec![stream_by(BY_ID, 1, false, &again)], None).await;
    world.accept(vec![table_by(BY_NOTE, TableState::Reconciling, 1 << 32)], None).await;
    let behind = [put((2, "cid", "b")), delete_by_note("c")];
    world.accept(vec![stream_by(BY_NOTE, 1 << 32, true, &behind)], commit(3)).await;
    let rows = [(1, "cid", "a"), (2, "cid", "b"), (4, "bob", "d"), (5, "ann", "e"), (7, "cid", "g"), (9, "ann", "i")];
    world.accept(vec![chunk_by(BY_NOTE, 1 << 32, PassMode::Repair, &rows)], commit(3)).await;
    world.end_pass_by(BY_NOTE, 1 << 32, 4).await;
    assert_eq!(world.verify_by(BY_NOTE, 2 << 32, &rows).await.differences, []);
    assert_eq!(world.bucket("all[]").len(), 6);
    assert_eq!(stored(&world, Keyspace::Rows), 6);
}

#[tokio::test]
async fn objects_that_came_over_survive_compaction() {
    let tuning = Tuning { compact_dead_ops_min: 2, slice_rows_max: 2, ..Tuning::default() };
    let world = World::tuned(in_memory(), CONFIG, &tuning).await;
    let changes: Vec<_> = ROWS.iter().map(|row| put(*row)).collect();
    world.accept(vec![table_by(BY_ID, TableState::Live, 1), stream_by(BY_ID, 1, false, &changes)], commit(1)).await;
    world.pass_by(BY_NOTE, 2, 2, &ROWS).await;
    let mut client = Client::default();
    client.sync(&world.reader(), "all[]");
    let mut rows = ROWS.to_vec();
    for round in 0..30_u64 {
        change_again(&world, &mut rows, round).await;
        if round == 15 {
            assert_eq!(world.pass_by(WHOLE, 3, 18, &rows).await.ops_written, 0);
            assert_eq!(world.pass_by(BY_NOTE, 4, 18, &rows).await.ops_written, 0);
        }
    }
    assert_eq!(world.verify_by(BY_NOTE, 9, &rows).await.differences, []);
    // Compaction takes its turn when there is nothing else to do.
    let patience = Instant::now() + Duration::from_secs(60);
    while puts(&world, "all[]") >= 30 {
        assert!(Instant::now() < patience, "{} ops that put are left", puts(&world, "all[]"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.bucket("all[]").len(), 7);
    let mut fresh = Client::default();
    fresh.sync(&world.reader(), "all[]");
    client.sync(&world.reader(), "all[]");
    assert_eq!(client.rows(), fresh.rows());
    assert_eq!(client.checksum(), fresh.checksum());
}

/// Changes a row, and replaces another, in the stream.
async fn change_again(world: &World, rows: &mut [Row], round: u64) {
    let row = &mut rows[round as usize % 3];
    row.1 = if row.1 == "ann" { "bob" } else { "ann" };
    let changes = [put(*row), delete_by_note("g"), put((7, "cid", "g"))];
    let generation = if round <= 15 { 2 } else { 4 };
    let at = u128::from(round) + 3;
    world.accept(vec![stream_by(BY_NOTE, generation, false, &changes)], commit(at)).await;
    world.reach(at).await;
}

/// How many ops of a bucket put something.
fn puts(world: &World, bucket: &str) -> u32 {
    let mut puts = 0;
    let count = &mut |op: BucketOp<'_>| {
        puts += u32::from(matches!(op.change, BucketChange::Put { .. }));
        ControlFlow::Continue(())
    };
    world.reader().ops(bucket, 0, count).unwrap();
    puts
}

#[tokio::test]
async fn a_table_that_is_emptied_leaves_nothing_of_former_identities() {
    let world = filled(in_memory(), CONFIG, &ROWS).await;
    world.accept(vec![table_by(BY_NOTE, TableState::Reconciling, 2)], commit(2)).await;
    world.accept(vec![chunk_by(BY_NOTE, 2, PassMode::Repair, &ROWS[..3])], commit(2)).await;
    let (clear, report) = clear(ITEMS);
    world.accept(vec![clear], commit(3)).await;
    assert_eq!(report.await.unwrap().ops_written, 14);
    world.reach(3).await;
    assert!(world.buckets().is_empty());
    world.accept(vec![stream_by(BY_NOTE, 2, false, &[put(ROWS[0])])], commit(4)).await;
    world.accept(Vec::new(), commit(5)).await;
    world.reach(5).await;
    assert_eq!((stored(&world, Keyspace::Rows), stored(&world, Keyspace::Lookups)), (1, 1));
}
