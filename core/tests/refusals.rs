//! What the pipeline does while a source refuses: a log that doesn't reach back to where the sink is, tables that may not
//! be seen or read.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::schema::{IdentityKind, TableName};
use millstream_core::schema_change::{Effect, SchemaChangeKind};
use millstream_core::table::TableState;
use tokio::time::timeout;

use crate::history::{follow, sink, source, table};
use crate::simulated_source::{ReadFault, SimulatedSource, State, schema, schema_event};

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
    source.fail_reads(&table(), Some(ReadFault::Refused));
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    assert!(matches!(sink.record(&table()).unwrap().state, TableState::Held { .. }), "until somebody does something");
    tokio::time::sleep(Duration::from_secs(600)).await;
    source.fail_reads(&table(), None);
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
    let name = shape.table.clone();
    let state = State::from([(name.clone(), (shape, vec![(1, 1)]))]);
    let (source, sink) = (Arc::new(SimulatedSource::new(1, false, state)), sink());
    source.fail_reads(&name, Some(ReadFault::Lost));
    let (handle, running) = follow(&source, &sink);
    tokio::time::sleep(Duration::from_secs(60)).await;
    // Each range of the table begins it anew.
    let reads = source.reads();
    assert!((5..=30).contains(&reads), "{reads} in a minute");
    source.fail_reads(&name, None);
    handle.until_current().await.unwrap();
    assert_eq!(sink.visible().values().map(|rows| rows.len()).sum::<usize>(), 1);
    handle.stop();
    running.await.unwrap().unwrap();
}

/// A source with a table of this kind whose reads may fail, and another one.
fn two_tables(kind: IdentityKind) -> (Arc<SimulatedSource>, TableName) {
    let (shape, other) = (schema("failing", kind, 0), schema("other", IdentityKind::PrimaryKey, 0));
    let failing = shape.table.clone();
    let rows = |shape| (shape, (0..30).map(|id| (id, 1)).collect());
    let state = State::from([(failing.clone(), rows(shape)), (other.table.clone(), rows(other))]);
    (Arc::new(SimulatedSource::new(1, false, state)), failing)
}

#[tokio::test(start_paused = true)]
async fn a_table_that_nobody_can_read_is_held_and_heals_by_itself() {
    for kind in [IdentityKind::PrimaryKey, IdentityKind::WholeRow] {
        let ((source, failing), sink) = (two_tables(kind), sink());
        let (handle, running) = follow(&source, &sink);
        handle.until_current().await.unwrap();

        source.fail_reads(&failing, Some(ReadFault::Unexpected));
        let replaced = schema_event(&failing, SchemaChangeKind::RowsReplaced { cause: "a statement".into() });
        source.commit(source.now(), vec![replaced]);
        handle.until_current().await.unwrap();
        let TableState::Held { reason, remedy } = sink.record(&failing).unwrap().state else { panic!("it is held") };
        assert!(reason.contains("its file is missing") && remedy.contains("readable"), "{reason}. {remedy}");
        assert_eq!(sink.visible()[&failing].len(), 30, "what is stored stays");
        let report = handle.verify(None).await.unwrap();
        let compared: Vec<_> = report.tables.iter().map(|table| table.table.name.as_str()).collect();
        assert_eq!(compared, ["other"]);
        assert!(report.not_compared[0].reason.contains("its file is missing"), "{report:?}");
        let refused = handle.reload(failing.clone()).await.unwrap_err().to_string();
        assert!(refused.contains("its file is missing"), "{refused}");

        tokio::time::sleep(Duration::from_secs(60)).await;
        source.fail_reads(&failing, None);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(sink.record(&failing).unwrap().state, TableState::Live);
        assert!(handle.verify(None).await.unwrap().is_equal());
        handle.stop();
        running.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shape_that_the_stream_is_still_to_tell_holds_nothing() {
    let ((source, failing), sink) = (two_tables(IdentityKind::PrimaryKey), sink());
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    // Changed so that reads see it, and far enough ahead of the stream that these fail for a minute.
    let mut state = source.now();
    let shape = schema("failing", IdentityKind::PrimaryKey, 1);
    state.get_mut(&failing).unwrap().0 = Arc::clone(&shape);
    let replaced = schema_event(&failing, SchemaChangeKind::RowsReplaced { cause: "a statement".into() });
    source.commit(state.clone(), vec![replaced]);
    for _ in 0..6_000 {
        source.commit(state.clone(), Vec::new());
    }
    let altered = SchemaChangeKind::Altered { schema: shape, values_kept: Vec::new(), rows_replaced: false };
    source.commit(state, vec![schema_event(&failing, altered)]);
    let begun = tokio::time::Instant::now();
    while sink.record(&failing).unwrap().state != TableState::Live || begun.elapsed() < Duration::from_secs(30) {
        let state = sink.record(&failing).unwrap().state;
        assert!(!matches!(state, TableState::Held { .. }), "{:?}: {state:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    handle.stop();
    running.await.unwrap().unwrap();
}

/// Tables that can't be read took up the places of those that are read at once.
#[tokio::test(start_paused = true)]
async fn however_many_tables_cant_be_read_the_others_are() {
    let rows = |name: &str| {
        let shape = schema(name, IdentityKind::PrimaryKey, 0);
        (shape.table.clone(), (shape, (0..30).map(|id| (id, 1)).collect()))
    };
    let names = ["other", "one", "two", "three", "four"];
    let tables: Vec<TableName> = names.map(|name| rows(name).0).into();
    let (source, sink) = (Arc::new(SimulatedSource::new(1, false, State::from(names.map(rows)))), sink());
    let [other, failing @ ..] = &tables[..] else { unreachable!() };
    for fault in [ReadFault::Refused, ReadFault::Unexpected, ReadFault::Lost] {
        failing.iter().for_each(|table| source.fail_reads(table, Some(fault)));
        let (handle, running) = follow(&source, &sink);
        let is_readable = timeout(Duration::from_secs(600), handle.until_readable(Some(vec![other.clone()])));
        is_readable.await.expect("it doesn't wait").unwrap();
        let event = |table| schema_event(table, SchemaChangeKind::RowsReplaced { cause: "a statement".into() });
        source.commit(source.now(), tables.iter().rev().map(event).collect());
        handle.until_readable(None).await.unwrap();
        assert_eq!(sink.record(other).unwrap().state, TableState::Live, "{fault:?}");
        timeout(Duration::from_secs(600), handle.reload(other.clone())).await.expect("it is read").unwrap();
        failing.iter().for_each(|table| source.fail_reads(table, None));
        handle.until_current().await.unwrap();
        handle.stop();
        running.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_comparison_of_one_table_waits_for_no_other() {
    let ((source, waiting), sink) = (two_tables(IdentityKind::PrimaryKey), sink());
    let other = TableName { name: "other".into(), ..waiting.clone() };
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    // As a connector says of a table that it goes on to settle by itself.
    let unreadable = SchemaChangeKind::Unreadable { reason: "its shape isn't known".into(), remedy: None };
    source.commit(source.now(), vec![schema_event(&waiting, unreadable)]);
    let long = Duration::from_secs(60);
    assert!(timeout(long, handle.verify(None)).await.is_err(), "all are compared once all are settled");
    let report = timeout(long, handle.verify(Some(vec![other.clone()]))).await.expect("it doesn't wait").unwrap();
    assert!(report.is_equal(), "{report:?}");
    assert_eq!(report.tables.iter().map(|table| &table.table).collect::<Vec<_>>(), [&other]);
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_comparison_passes_over_a_table_whose_reads_fail_again_and_again() {
    for kind in [IdentityKind::PrimaryKey, IdentityKind::WholeRow] {
        for is_live in [true, false] {
            let ((source, failing), sink) = (two_tables(kind), sink());
            let (handle, running) = follow(&source, &sink);
            handle.until_current().await.unwrap();
            source.fail_reads(&failing, Some(ReadFault::Lost));
            if !is_live {
                let replaced = schema_event(&failing, SchemaChangeKind::RowsReplaced { cause: "a statement".into() });
                source.commit(source.now(), vec![replaced]);
            }
            let report = handle.verify(None).await.unwrap();
            let compared: Vec<_> = report.tables.iter().map(|table| table.table.name.as_str()).collect();
            assert_eq!(compared, ["other"], "{kind:?} {is_live}");
            assert!(report.not_compared[0].reason.contains("a lost connection"), "{report:?}");
            let refused = handle.reload(failing.clone()).await.unwrap_err().to_string();
            assert!(refused.contains("a lost connection"), "{refused}");

            // Whoever wants all of it waits, as a connection comes back.
            let waiting = tokio::time::timeout(Duration::from_secs(60), handle.until_current());
            assert!(waiting.await.is_err(), "{kind:?} {is_live}");
            source.fail_reads(&failing, None);
            handle.until_current().await.unwrap();
            assert!(handle.verify(None).await.unwrap().is_equal());
            assert!(handle.status().tables.iter().all(|table| table.reason.is_none()));
            handle.stop();
            running.await.unwrap().unwrap();
        }
    }
}
