//! The stream by itself: everything once, in order, whole.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::conformance::model::State;
use crate::conformance::recording::{Item, Recording, next};
use crate::conformance::{Backend, ColumnType, Input, Operation, Scene, Value};

/// The contract says ten seconds; a busy machine gets some more.
const SIGN_OF_LIFE_MAX: Duration = Duration::from_secs(15);
const LARGE_TEXT_CHARS: usize = 40;
const LARGE_STATEMENTS: i64 = 200;
const LARGE_STATEMENT_ROWS: i64 = 500;

/// Every version of a row is delivered, in the order in which they came to be.
pub async fn changes_come_once_and_in_order<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 4).await;
    let connector = scene.connector();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    let mut expected = Vec::new();
    for version in 0..25 {
        for index in 0..4 {
            let table = scene.writer.model.table("t");
            let row = table.row_name(&table.rows[index]);
            let id = scene.backend.delivered(&ColumnType::Integer, &row[0].1);
            let value = Input::Integer(version);
            expected.push((id, scene.backend.delivered(&ColumnType::Integer, &value)));
            let set = vec![("n".to_owned(), Input::Integer(version))];
            scene.writer.execute_one(Operation::Update { table: "t".to_owned(), row, set }).await;
        }
    }
    recording.catch_up(connector.as_ref()).await;
    let delivered = recording.items.iter().map(|item| match item {
        Item::Upsert { row, .. } => (row.get("id"), row.get("n")),
        other => panic!("rows were updated, but the stream says {other:?}"),
    });
    // The first update may have changed nothing.
    let delivered: Vec<(Value, Value)> = delivered.collect();
    let skipped = expected.len() - delivered.len().min(expected.len());
    assert!(skipped <= 4, "{} updates, {} delivered", expected.len(), delivered.len());
    assert!(expected.ends_with(&delivered[delivered.len().saturating_sub(96)..]), "in another order: {delivered:?}");
}

/// At each commit, what was delivered is what the source held after some transaction.
async fn fits_at_every_commit<B: Backend>(scene: &Scene<B>, recording: &Recording, before: &State) {
    let connector = scene.connector();
    let states = scene.writer.states();
    let fingerprints = |state: &State| {
        let tables = state.iter().filter(|(_, content)| content.rows().next().is_some());
        tables.map(|(name, content)| (name.clone(), content.fingerprint())).collect::<Vec<_>>()
    };
    let mut from = 0;
    for commit in &recording.commits {
        let found = recording.folded(connector.as_ref(), before, commit.items).await;
        let found = fingerprints(&found);
        let steps = states.iter().skip(from).position(|state| fingerprints(state) == found);
        from += steps.unwrap_or_else(|| panic!("at {} the stream shows a state that never was", commit.position));
    }
    assert_eq!(
        fingerprints(&states[from]),
        fingerprints(&scene.writer.state()),
        "at the end the stream shows what the source holds"
    );
}

pub async fn transactions_arrive_whole<B: Backend>(mut scene: Scene<B>) {
    for table in ["t1", "t2"] {
        scene.writer.create_keyed(table).await;
        scene.writer.insert(table, 20).await;
    }
    let connector = scene.connector();
    let before = scene.writer.state();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    for _ in 0..10 {
        scene.writer.change_often(&["t1", "t2"], 6).await;
        recording.catch_up(connector.as_ref()).await;
    }
    fits_at_every_commit(&scene, &recording, &before).await;
}

pub async fn a_large_transaction_comes_in_parts<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.create_keyed("t_small").await;
    let connector = scene.connector();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    scene.writer.insert("t_small", 1).await;
    let text = "x".repeat(LARGE_TEXT_CHARS);
    let statement = |number: i64| {
        let ids = (0..LARGE_STATEMENT_ROWS).map(|index| number * LARGE_STATEMENT_ROWS + index);
        let row = |id| vec![Input::Integer(id), Input::Integer(1), Input::Null, Input::text(text.clone())];
        Operation::Insert { table: "t".to_owned(), rows: ids.map(row).collect() }
    };
    scene.writer.execute((0..LARGE_STATEMENTS).map(statement).collect()).await;
    scene.writer.insert("t_small", 1).await;
    recording.catch_up(connector.as_ref()).await;
    let of_large = |item: &Item| item.table() == "t";
    let all = (LARGE_STATEMENTS * LARGE_STATEMENT_ROWS) as usize;
    for commit in &recording.commits {
        let rows = recording.items.iter().take(commit.items).filter(|item| of_large(item)).count();
        assert!(
            rows == 0 || rows == all,
            "{rows} of {all} rows of one transaction before the commit at {}",
            commit.position
        );
    }
    assert_eq!(recording.items.len(), all + 2);
    assert!(
        recording.parts > 0,
        "a transaction of {all} rows came in one piece of {} bytes",
        recording.delivery_bytes_max
    );
}

pub async fn what_is_rolled_back_never_was<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 3).await;
    let connector = scene.connector();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    let row = |id| vec![Input::Integer(id), Input::Integer(0), Input::Null, Input::Null];
    let insert = |id| Operation::Insert { table: "t".to_owned(), rows: vec![row(id)] };
    scene.backend.roll_back(&[insert(100_001), insert(100_002)]).await.expect("a transaction is taken back");
    scene.writer.insert("t", 1).await;
    scene.backend.roll_back(&[insert(100_003)]).await.expect("a transaction is taken back");
    recording.catch_up(connector.as_ref()).await;
    assert_eq!(recording.items.len(), 1, "{:?}", recording.items);
    scene.replica.start();
    scene.replica.settle().await;
}

pub async fn another_key_is_another_row<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 3).await;
    let connector = scene.connector();
    let before = scene.writer.state();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    let table = scene.writer.model.table("t");
    let row = table.row_name(&table.rows[1]);
    let old = scene.backend.delivered(&ColumnType::Integer, &row[0].1);
    let set = vec![("id".to_owned(), Input::Integer(100_001))];
    scene.writer.execute_one(Operation::Update { table: "t".to_owned(), row, set }).await;
    recording.catch_up(connector.as_ref()).await;
    let is_gone = |item: &Item| match item {
        Item::Delete { key, .. } | Item::Recheck { key, .. } => key.first() == Some(&old),
        _ => false,
    };
    assert!(recording.items.iter().any(is_gone), "nothing tells that the old row is gone: {:?}", recording.items);
    let state = recording.folded(connector.as_ref(), &before, recording.items.len()).await;
    assert_eq!(state["t"].fingerprint(), scene.writer.state()["t"].fingerprint());
}

pub async fn rows_without_a_key_are_followed<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyless("t").await;
    scene.writer.insert("t", 30).await;
    scene.replica.start();
    scene.replica.settle().await;
    for _ in 0..5 {
        scene.writer.change_often(&["t"], 10).await;
        scene.replica.settle().await;
    }
    scene.replica.verify().await;
}

pub async fn tables_that_are_not_selected_are_not_delivered<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    scene.writer.create_keyed("hidden").await;
    let connector = scene.connector();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    for _ in 0..5 {
        scene.writer.change(&["hidden"]).await;
        scene.writer.insert("t", 1).await;
    }
    scene.writer.create_keyed("hidden_too").await;
    scene.writer.create_keyed("t_new").await;
    scene.writer.insert("hidden_too", 2).await;
    scene.writer.insert("t_new", 2).await;
    recording.catch_up(connector.as_ref()).await;
    let delivered = |table: &str| recording.items.iter().filter(|item| item.table() == table).count();
    assert_eq!((delivered("hidden"), delivered("hidden_too")), (0, 0), "{:?}", recording.items);
    assert_eq!(delivered("t"), 5);
    assert!(delivered("t_new") > 0, "the table was there when the log ended where it was read to");
}

pub async fn an_idle_stream_gives_signs_of_life<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    let connector = scene.connector();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    let mut stream = recording.stream(connector.as_ref()).await;
    for _ in 0..2 {
        let asked = Instant::now();
        // Others may use the server, so that a delivery may also tell how far their transactions went.
        let delivery = timeout(SIGN_OF_LIFE_MAX, next(&mut stream)).await.expect("a sign of life").expect("no error");
        println!("a sign of life after {:?}", asked.elapsed());
        recording.take(delivery);
    }
    assert!(recording.items.is_empty(), "{:?}", recording.items);
}
