//! What the history says of changes and of what they took.

use std::sync::Arc;

use millstream_core::change::Event;
use millstream_core::pipeline::{Handle, Pipeline, PipelineError, PipelineOptions};
use millstream_core::schema::{IdentityKind, TableName, TableSchema};
use millstream_core::schema_change::{Effect, SchemaChange, SchemaChangeKind};
use tokio::task::JoinHandle;

use crate::model_sink::{ModelSink, shared};
use crate::simulated_source::{Connector, SimulatedSource, State, schema, schema_event};

const ROWS: i64 = 30;

pub fn table() -> TableName {
    TableName::new("shop", "keyed")
}

/// A source with one table.
pub fn source() -> Arc<SimulatedSource> {
    let shape = schema("keyed", IdentityKind::PrimaryKey, 0);
    let rows = (0..ROWS).map(|id| (id, 1)).collect();
    Arc::new(SimulatedSource::new(1, false, State::from([(shape.table.clone(), (shape, rows))])))
}

pub fn sink() -> Arc<ModelSink> {
    Arc::new(ModelSink::new(Box::new(|_, _| {})))
}

pub type Running = JoinHandle<Result<(), PipelineError>>;

pub fn follow(source: &Arc<SimulatedSource>, sink: &Arc<ModelSink>) -> (Handle, Running) {
    let options = PipelineOptions { chunk_rows_max: 5, ..PipelineOptions::default() };
    let connector = Arc::new(Connector(Arc::clone(source)));
    let (pipeline, handle) = Pipeline::new("simulated", connector, shared(sink), options);
    (handle, tokio::spawn(pipeline.run()))
}

/// An alteration to this revision of the shape, with replaced rows, by a statement. The statement is its origin, too.
fn altered(revision: usize, statement: &str) -> Event {
    let shape = schema("keyed", IdentityKind::PrimaryKey, revision);
    let schema = Arc::new(TableSchema { origin: Some(statement.to_owned()), ..TableSchema::clone(&shape) });
    let kind = SchemaChangeKind::Altered { schema, values_kept: Vec::new(), rows_replaced: true };
    Event::Schema(SchemaChange { table: table(), kind, statement: Some(statement.to_owned()), at_ms: 0 })
}

fn replaced() -> Event {
    schema_event(&table(), SchemaChangeKind::RowsReplaced { cause: "a cascade".into() })
}

/// Removes half of the rows, as the events don't tell.
fn commit(source: &SimulatedSource, revision: usize, events: Vec<Event>) {
    let mut state = source.now();
    let (shape, rows) = state.get_mut(&table()).unwrap();
    *shape = schema("keyed", IdentityKind::PrimaryKey, revision);
    rows.retain(|(id, _)| id % 2 == 0);
    source.commit(state, events);
}

#[tokio::test(start_paused = true)]
async fn an_alteration_that_replaces_rows_is_one_line_whatever_the_shape() {
    for revision in [0, 1] {
        let (source, sink) = (source(), sink());
        let (handle, running) = follow(&source, &sink);
        handle.until_current().await.unwrap();
        commit(&source, revision, vec![altered(revision, "ALTER TABLE keyed DROP PARTITION p")]);
        handle.until_current().await.unwrap();
        let history = sink.history();
        let [line] = &history[..] else { panic!("{history:?}") };
        assert_eq!(line.statement.as_deref(), Some("ALTER TABLE keyed DROP PARTITION p"));
        assert_eq!((line.change.as_str(), line.effect), ("altered", Effect::Reconcile));
        assert_eq!(line.rows_read, ROWS as u64 / 2);
        assert!(line.duration_ms.is_some());
        let stored = sink.record(&table()).unwrap().schema.unwrap();
        assert_eq!(stored.origin, line.statement, "a connector must find it again after a restart");
        handle.stop();
        running.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_table_is_read_is_answered_by_the_next_read_and_told_once() {
    let (source, sink) = (source(), sink());
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    // All of it arrives before the first of them has read a row.
    commit(&source, 0, vec![altered(0, "first"), replaced(), replaced(), replaced(), altered(0, "second")]);
    handle.until_current().await.unwrap();
    let history = sink.history();
    let told: Vec<_> =
        history.iter().map(|line| (line.statement.as_deref(), line.change.as_str(), line.rows_read)).collect();
    let rows = ROWS as u64 / 2;
    let expected = [(Some("first"), "altered", rows), (None, "rows replaced", rows), (Some("second"), "altered", 0)];
    assert_eq!(told, expected);
    assert!(history.iter().all(|line| line.duration_ms.is_some()), "{history:?}");
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn lines_are_completed_across_a_crash() {
    let (source, sink) = (source(), sink());
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    commit(&source, 0, vec![altered(0, "first"), altered(0, "second")]);
    while sink.history().len() < 2 {
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(sink.history().iter().any(|line| line.duration_ms.is_none()), "their effect lasts");
    running.abort();
    let _end = running.await;
    drop(handle);
    sink.crash(false);
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    let history = sink.history();
    assert_eq!(history.len(), 2, "{history:?}");
    assert!(history.iter().all(|line| line.duration_ms.is_some()), "{history:?}");
    assert_eq!(history[0].rows_read, ROWS as u64 / 2, "{history:?}");
    handle.stop();
    running.await.unwrap().unwrap();
}
