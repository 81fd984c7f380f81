//! Chunks: what a read of a table may and may not hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_core::error::SourceError;
use millstream_core::position::Position;
use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::source::{Chunk, KeyRange, ReadRequest, ReadScope, SourceConnector};

use crate::conformance::recording::Recording;
use crate::conformance::{Backend, ColumnDefinition, ColumnType, Operation, Row, Scene, TableContent};

const CHUNK_ROWS_MAX: usize = 10;

async fn read(
    connector: &dyn SourceConnector,
    schema: &Arc<TableSchema>,
    range: KeyRange,
    limit_rows: usize,
) -> Result<Chunk, SourceError> {
    let scope = ReadScope::Range(range);
    connector.read(ReadRequest { table: Arc::clone(schema), scope, limit_rows }).await
}

/// All rows of a table, range by range and chunk by chunk.
async fn read_all(connector: &dyn SourceConnector, schema: &Arc<TableSchema>, parts: usize) -> Vec<Row> {
    let ranges = connector.split(schema, parts).await.expect("the table can be split");
    assert!((1..=parts).contains(&ranges.len()), "{} ranges instead of at most {parts}", ranges.len());
    let ends: Vec<_> = ranges.iter().map(|range| range.upto.clone()).collect();
    let begins: Vec<_> = ranges.iter().map(|range| range.after.clone()).collect();
    assert_eq!(begins.first(), Some(&None), "the first range has no beginning");
    assert_eq!(ends.last(), Some(&None), "the last range has no end");
    assert_eq!(begins.get(1..), ends.get(..ends.len() - 1), "each range begins where the one before ends");
    let mut rows = Vec::new();
    for mut range in ranges {
        loop {
            let chunk = read(connector, schema, range.clone(), CHUNK_ROWS_MAX).await.expect("a chunk can be read");
            assert!(chunk.rows.len() <= CHUNK_ROWS_MAX, "a chunk of {} rows", chunk.rows.len());
            rows.extend(chunk.rows.rows().map(|row| Row::of(schema, row)));
            range.after = chunk.next;
            if range.after.is_none() {
                break;
            }
        }
    }
    rows
}

async fn holds_every_row_once<B: Backend>(scene: Scene<B>) {
    let connector = scene.connector();
    let schema = Recording::begin(connector.as_ref(), &scene.selection()).await.schema("t");
    let expected: Vec<Row> = scene.writer.state()["t"].rows().cloned().collect();
    for parts in [1, 4] {
        let mut rows = read_all(connector.as_ref(), &schema, parts).await;
        rows.sort();
        let mut expected = expected.clone();
        expected.sort();
        assert_eq!(rows, expected, "in {parts} parts");
    }
    let estimate = connector.estimate_rows(&schema).await.expect("the number of rows can be asked for");
    assert!(estimate.is_none_or(|rows| rows < 1_000_000), "{estimate:?} rows estimated");
}

pub async fn chunks_hold_every_row_once<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 137).await;
    holds_every_row_once(scene).await;
}

pub async fn chunks_of_composite_keys_hold_every_row_once<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_composite("t").await;
    scene.writer.insert("t", 137).await;
    holds_every_row_once(scene).await;
}

pub async fn tables_without_a_key_are_read_whole<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyless("t").await;
    scene.writer.insert("t", 80).await;
    let connector = scene.connector();
    let schema = Recording::begin(connector.as_ref(), &scene.selection()).await.schema("t");
    let rows: BTreeSet<Row> = read_all(connector.as_ref(), &schema, 2).await.into_iter().collect();
    let expected: BTreeSet<Row> = scene.writer.state()["t"].rows().cloned().collect();
    assert_eq!(rows, expected);
}

pub async fn rows_are_found_by_their_identity<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 30).await;
    let connector = scene.connector();
    let schema = Recording::begin(connector.as_ref(), &scene.selection()).await.schema("t");
    let all = read(connector.as_ref(), &schema, KeyRange::default(), 1_000).await.expect("the table can be read").rows;
    let mut asked = RowBatch::new(all.width());
    for row in all.rows().step_by(2) {
        asked.push_row(row).expect("no value is too long");
    }
    // One of the rows asked for isn't there any more.
    let first = Row::of(&schema, asked.row(0).expect("rows were asked for")).get("id");
    let table = scene.writer.model.table("t");
    let mut names = table.rows.iter().map(|row| table.row_name(row));
    let gone = names.find(|name| scene.backend.delivered(&ColumnType::Integer, &name[0].1) == first);
    let row = gone.expect("the model has what the source has");
    scene.writer.execute_one(Operation::Delete { table: "t".to_owned(), row }).await;
    let request = ReadRequest { table: Arc::clone(&schema), scope: ReadScope::Keys(asked.clone()), limit_rows: 1_000 };
    let found = connector.read(request).await.expect("rows can be looked up");
    let expected: BTreeSet<Row> = asked.rows().skip(1).map(|row| Row::of(&schema, row)).collect();
    let rows: Vec<Row> = found.rows.rows().map(|row| Row::of(&schema, row)).collect();
    assert_eq!(rows.len(), expected.len(), "each once");
    assert_eq!(rows.into_iter().collect::<BTreeSet<Row>>(), expected);
    assert_eq!(found.next, None);
}

/// A chunk read while the table is being changed.
struct Read {
    /// The newest state that the stream had delivered when the chunk was asked for.
    reached: usize,
    high: Position,
    rows: BTreeSet<Row>,
}

pub async fn a_chunk_is_a_state_between_the_stream_and_its_high<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 20).await;
    let connector = scene.connector();
    let before = scene.writer.state();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    let schema = recording.schema("t");
    let mut reads = Vec::new();
    for _ in 0..12 {
        recording.catch_up(connector.as_ref()).await;
        let reached = scene.writer.states().len() - 1;
        let ((), chunk) = tokio::join!(
            scene.writer.change_often(&["t"], 4),
            read(connector.as_ref(), &schema, KeyRange::default(), 10_000)
        );
        let chunk = chunk.expect("the table can be read");
        let rows = chunk.rows.rows().map(|row| Row::of(&schema, row)).collect();
        reads.push(Read { reached, high: chunk.high, rows });
    }
    recording.catch_up(connector.as_ref()).await;
    let states: Vec<BTreeSet<Row>> =
        scene.writer.states().iter().map(|state| state.get("t").map_or_else(BTreeSet::new, rows_of)).collect();
    for Read { reached, high, rows } in reads {
        let state = states.iter().skip(reached).position(|state| *state == rows);
        let state = reached + state.expect("a chunk shows the table as it was at some moment since the stream's");
        let at_high = recording.commits.iter().find(|commit| commit.position >= high);
        let items = at_high.map_or(recording.items.len(), |commit| commit.items);
        let folded = recording.folded(connector.as_ref(), &before, items).await;
        let newest = states.iter().rposition(|state| *state == rows_of(&folded["t"]));
        let newest = newest.expect("the stream shows the table as it was at some moment");
        assert!(state <= newest, "a chunk shows state {state}, but the stream at its high {high} only state {newest}");
    }
}

fn rows_of(content: &Arc<TableContent>) -> BTreeSet<Row> {
    content.rows().cloned().collect()
}

pub async fn a_table_of_another_shape_is_refused<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 3).await;
    let connector = scene.connector();
    let schema = Recording::begin(connector.as_ref(), &scene.selection()).await.schema("t");
    let mut other = TableSchema::clone(&schema);
    other.columns.iter_mut().filter(|column| column.name == "b").for_each(|column| column.name = "c".to_owned());
    let column = ColumnDefinition::nullable("added", ColumnType::Integer);
    scene.writer.execute_one(Operation::AddColumn { table: "t".to_owned(), column }).await;
    let outcome = read(connector.as_ref(), &Arc::new(other), KeyRange::default(), 10).await;
    assert!(matches!(outcome, Err(SourceError::Table { .. })), "a column that isn't there was read: {outcome:?}");
}

pub async fn a_table_that_is_gone_is_refused<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    let connector = scene.connector();
    let schema = Recording::begin(connector.as_ref(), &scene.selection()).await.schema("t");
    scene.writer.execute_one(Operation::DropTable { table: "t".to_owned() }).await;
    let outcome = read(connector.as_ref(), &schema, KeyRange::default(), 10).await;
    assert!(matches!(outcome, Err(SourceError::Table { .. })), "a table that isn't there was read: {outcome:?}");
}
