//! What the pipeline does while a source refuses: a log that doesn't reach back to where the sink is, tables that may not
//! be seen or read.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::schema::IdentityKind;
use millstream_core::schema_change::{Effect, SchemaChangeKind};
use millstream_core::table::TableState;

use crate::history::{follow, sink, source, table};
use crate::simulated_source::{SimulatedSource, State, schema, schema_event};

#[tokio::test(start_paused = true)]
async fn rows_of_a_table_that_is_only_hidden_are_kept_until_it_is_seen_again() {
    let (source, sink) = (source(), sink());
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    let before = sink.visible();
    assert!(!before[&table()].is_empty());
    handle.stop();
    running.await.unwrap().unwrap();

    source.hide(&[table()]);
    let mut state = source.now();
    state.get_mut(&table()).unwrap().1.push((1_000, 1));
    source.commit(state, Vec::new());
    source.purge();
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    assert_eq!(sink.visible(), before, "nothing is removed that may be there");
    let TableState::Held { remedy, .. } = sink.record(&table()).unwrap().state else { panic!("it is held") };
    assert_eq!(remedy, "Show it");
    let last = sink.history().pop().unwrap();
    assert_eq!((last.change.as_str(), last.effect), ("log lost", Effect::Hold));

    source.hide(&[]);
    let state = source.now();
    let schema = state[&table()].0.clone();
    source.commit(state, vec![schema_event(&table(), SchemaChangeKind::Settled { schema })]);
    handle.until_current().await.unwrap();
    assert!(sink.visible()[&table()].contains(&(1_000, 1)));
    assert_eq!(sink.record(&table()).unwrap().state, TableState::Live);
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_lost_again_and_again_is_asked_for_less_and_less() {
    let (source, sink) = (source(), sink());
    source.lose_for_ever();
    let (handle, running) = follow(&source, &sink);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let discoveries = source.discoveries();
    assert!((5..=12).contains(&discoveries), "{discoveries} in a minute");
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_table_that_may_be_read_again_is_read_within_seconds() {
    let (source, sink) = (source(), sink());
    source.refuse_reads(true);
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    assert!(matches!(sink.record(&table()).unwrap().state, TableState::Held { .. }), "until somebody does something");
    tokio::time::sleep(Duration::from_secs(600)).await;
    source.refuse_reads(false);
    let allowed = tokio::time::Instant::now();
    while sink.record(&table()).unwrap().state != TableState::Live {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(allowed.elapsed() < Duration::from_millis(2_500), "{:?}", allowed.elapsed());
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_is_lost_again_and_again_is_begun_less_and_less_often() {
    let shape = schema("keyless", IdentityKind::WholeRow, 0);
    let state = State::from([(shape.table.clone(), (shape, vec![(1, 1)]))]);
    let (source, sink) = (Arc::new(SimulatedSource::new(1, false, state)), sink());
    source.lose_reads(true);
    let (handle, running) = follow(&source, &sink);
    tokio::time::sleep(Duration::from_secs(60)).await;
    // Each range of the table begins it anew.
    let reads = source.reads();
    assert!((5..=30).contains(&reads), "{reads} in a minute");
    source.lose_reads(false);
    handle.until_current().await.unwrap();
    assert_eq!(sink.visible().values().map(|rows| rows.len()).sum::<usize>(), 1);
    handle.stop();
    running.await.unwrap().unwrap();
}
