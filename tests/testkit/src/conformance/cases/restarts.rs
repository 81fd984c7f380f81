//! Stops, kills and cancelled calls: whoever comes back finds everything.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rand::Rng;

use millstream_core::position::Position;
use millstream_core::source::{KeyRange, ReadRequest, ReadScope};

use crate::conformance::backend::Capability;
use crate::conformance::cases::schema_changes::{Change, ready};
use crate::conformance::recording::{Recording, next};
use crate::conformance::scene::has;
use crate::conformance::{Backend, Pace, Scene};

const RESTARTS_MAX: usize = 12;

fn tables<B: Backend>() -> &'static [&'static str] {
    if has::<B>(Capability::CompositeKeys) { &["t1", "t2"] } else { &["t1", "t3"] }
}

async fn create_tables<B: Backend>(scene: &mut Scene<B>) {
    for table in tables::<B>() {
        match *table {
            "t2" => scene.writer.create_composite(table).await,
            table => scene.writer.create_keyed(table).await,
        }
        scene.writer.insert(table, 20).await;
    }
}

/// Positions pass through their stored form, as between two processes.
fn stored(position: &Position) -> Position {
    let text = serde_json::to_string(position).expect("a position can be stored");
    serde_json::from_str(&text).expect("a stored position can be read")
}

pub async fn a_new_stream_from_any_commit_delivers_the_same<B: Backend>(mut scene: Scene<B>) {
    create_tables(&mut scene).await;
    let connector = scene.connector();
    let mut whole = Recording::begin(connector.as_ref(), &scene.selection()).await;
    for _ in 0..8 {
        scene.writer.change_often(tables::<B>(), 3).await;
        whole.catch_up(connector.as_ref()).await;
    }
    drop(connector);
    assert!(whole.commits.len() > 2, "all came in one piece: {} commits", whole.commits.len());
    let step = whole.commits.len().div_ceil(RESTARTS_MAX);
    for commit in whole.commits.iter().step_by(step) {
        let connector = scene.connector();
        let mut again = Recording::from(stored(&commit.position), commit.catalog.clone());
        again.catch_up(connector.as_ref()).await;
        assert_eq!(again.items, whole.items[commit.items..], "a stream from {}", commit.position);
    }
}

/// As above, but through the pipeline and across schema changes.
pub async fn the_pipeline_resumes_at_any_checkpoint<B: Backend>(mut scene: Scene<B>) {
    create_tables(&mut scene).await;
    scene.writer.create_keyed("t").await;
    scene.writer.insert("t", 10).await;
    scene.replica.sink.keep_checkpoints();
    scene.replica.start();
    scene.replica.settle().await;
    for change in [Change::ColumnAdded, Change::ColumnAddedWithADefault, Change::ColumnDropped, Change::TableTruncated]
    {
        if !change.is_possible::<B>() {
            continue;
        }
        scene.writer.change_often(&["t"], 2).await;
        for operation in change.operations("t") {
            scene.writer.execute_one(operation).await;
        }
        scene.writer.change_often(&["t", tables::<B>()[0]], 3).await;
        scene.replica.settle().await;
    }
    let checkpoints = scene.replica.sink.checkpoints();
    let step = checkpoints.len().div_ceil(RESTARTS_MAX).max(1);
    for checkpoint in checkpoints.into_iter().step_by(step) {
        println!("resuming at {:?}", checkpoint.position().map(ToString::to_string));
        scene.replica.resume_at(checkpoint).await;
        scene.replica.start();
        scene.replica.settle().await;
    }
}

pub async fn nothing_is_lost_while_stopped<B: Backend>(mut scene: Scene<B>) {
    create_tables(&mut scene).await;
    for _ in 0..4 {
        scene.replica.start();
        scene.writer.change_often(tables::<B>(), 3).await;
        scene.replica.settle().await;
        scene.writer.change_often(tables::<B>(), 2).await;
        scene.replica.stop().await;
        scene.writer.change_often(tables::<B>(), 5).await;
    }
    scene.replica.start();
    scene.replica.settle().await;
    scene.replica.verify().await;
}

/// A future that is dropped after so many polls, as `None`.
struct CutShort<F> {
    inner: Option<Pin<Box<F>>>,
    polls_left: u32,
}

impl<F: Future> Future for CutShort<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let left = self.polls_left.checked_sub(1);
        let Some((inner, left)) = self.inner.as_mut().zip(left) else {
            self.inner = None;
            return Poll::Ready(None);
        };
        let outcome = inner.as_mut().poll(context).map(Some);
        self.polls_left = left;
        if left == 0 && outcome.is_pending() {
            self.inner = None;
            return Poll::Ready(None);
        }
        outcome
    }
}

fn cut_short<F: Future>(polls: u32, inner: F) -> CutShort<F> {
    CutShort { inner: Some(Box::pin(inner)), polls_left: polls }
}

/// Calls are dropped after one poll, after two, and so on until they come to their end; the next must find nothing of
/// it.
pub async fn calls_may_be_dropped_at_any_await<B: Backend>(mut scene: Scene<B>) {
    const POLLS_MAX: u32 = 60;
    create_tables(&mut scene).await;
    let table = tables::<B>()[0];
    let connector = scene.connector();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    let schema = recording.schema(table);
    let mut cut = 0;
    for polls in 1..POLLS_MAX {
        let scope = ReadScope::Range(KeyRange::default());
        let request = ReadRequest { table: schema.clone(), scope, limit_rows: 10 };
        let found = cut_short(polls, connector.discover(&recording.catalog().selection)).await;
        let chunk = cut_short(polls, connector.read(request)).await;
        let head = cut_short(polls, connector.head()).await;
        cut += usize::from(found.is_none()) + usize::from(chunk.is_none()) + usize::from(head.is_none());
        assert!(chunk.is_none_or(|chunk| chunk.is_ok_and(|chunk| chunk.rows.len() == 10)), "after {polls} polls");
        assert!(found.is_none_or(|found| found.is_ok_and(|found| found.tables.len() == tables::<B>().len())));
        assert!(head.is_none_or(|head| head.is_ok()));
    }
    println!("{cut} calls were dropped before their end");
    let before = scene.writer.state();
    for polls in 1..POLLS_MAX {
        scene.writer.change(tables::<B>()).await;
        let stream = cut_short(polls, connector.stream(recording.position(), recording.catalog().clone())).await;
        let Some(Ok(mut stream)) = stream else { continue };
        for _ in 0..scene.writer.random.random_range(0..3) {
            match cut_short(polls, next(&mut stream)).await {
                Some(delivery) => recording.take(delivery.expect("the stream goes on")),
                None => break,
            }
        }
        drop(stream);
        recording.forget_uncommitted();
    }
    recording.catch_up(connector.as_ref()).await;
    let state = recording.folded(connector.as_ref(), &before, recording.items.len()).await;
    for (name, content) in scene.writer.state() {
        assert_eq!(state[&name].fingerprint(), content.fingerprint(), "table {name} isn't what the source holds");
    }
    // Folding forgives what came twice; whoever delivers twice is found by the number of changes.
    let mut straight = Recording::from(recording.commits[0].position.clone(), recording.commits[0].catalog.clone());
    straight.catch_up(connector.as_ref()).await;
    assert_eq!(recording.items, straight.items);
}

pub async fn kills_under_load_lose_nothing<B: Backend>(mut scene: Scene<B>) {
    create_tables(&mut scene).await;
    for round in 0..12 {
        scene.replica.start();
        let before_the_kill = Duration::from_millis(scene.writer.random.random_range(0..400));
        let count = scene.writer.random.random_range(1..12);
        tokio::join!(scene.writer.change_often(tables::<B>(), count), tokio::time::sleep(before_the_kill));
        scene.replica.kill(round % 2 == 0).await;
        scene.writer.change(tables::<B>()).await;
    }
    scene.replica.start();
    scene.replica.settle().await;
    scene.replica.verify().await;
}

/// Commits that the sink has accepted and that aren't durable yet are lost by a kill and must be delivered again.
pub async fn a_late_sink_loses_nothing_by_a_kill<B: Backend>(mut scene: Scene<B>) {
    create_tables(&mut scene).await;
    scene.replica.sink.set_pace(Pace { durable: Duration::from_millis(150), ..Pace::default() });
    for _ in 0..4 {
        scene.replica.start();
        scene.replica.settle().await;
        scene.writer.change_often(tables::<B>(), 8).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        scene.replica.kill(false).await;
    }
    scene.replica.start();
    scene.replica.settle().await;
    ready(&mut scene).await;
}
