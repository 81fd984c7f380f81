//! What it costs that a large table gets another key, and how long the commits of another source wait meanwhile.
//!
//! ```text
//! cargo test --release -p millstream-bucket -- another_key --ignored --nocapture
//! ```
//!
//! `MILLSTREAM_ROWS=2000000` takes so many rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_bucket::store::FjallStore;
use millstream_bucket::{BucketSink, BucketSinkOptions, SourceOptions};
use millstream_core::row::RowBatch;
use millstream_core::schema::{Identity, IdentityKind, TableSchema};
use millstream_core::sink::{PassMode, Sink, Write, WriteItem};
use millstream_core::table::{TableId, TableRecord, TableState};
use tokio::sync::oneshot;

use crate::world::*;

const ROWS_DEFAULT: i64 = 300_000;
const CHUNK_ROWS: i64 = 2_000;
const OTHERS: TableId = TableId(1);
/// How often the other source commits.
const COMMIT_INTERVAL: Duration = Duration::from_millis(20);

const MEASURED: &str = r"
bucket_definitions:
  all:
    data:
      - SELECT * FROM items
      - SELECT * FROM elsewhere.others
";

/// The rows of a chunk; by the second key they lie in another order.
fn rows(from: i64, all: i64, is_second: bool) -> RowBatch {
    let note = "x".repeat(120);
    let id = |at: i64| if is_second { at * 7_919 % all } else { at };
    batch((from..(from + CHUNK_ROWS).min(all)).map(id).map(|id| (id, format!("customer {}", id / 3), &note)))
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

struct Measured {
    sink: Arc<BucketSink>,
    rows: i64,
}

struct Read {
    took: Duration,
    cpu: Duration,
    ops: u64,
}

impl Measured {
    async fn accept(&self, source: &str, items: Vec<WriteItem>, at: Option<u128>) {
        let commit = at.and_then(commit);
        self.sink.accept(source, Write { items, commit }).await.unwrap();
    }

    fn record(&self, schema: &Arc<TableSchema>, state: TableState, generation: u64) -> WriteItem {
        table(TableRecord { schema: Some(Arc::clone(schema)), ..record(ITEMS, "items", state, generation) })
    }

    /// Reads the table as a pass does.
    async fn read(&self, schema: Arc<TableSchema>, generation: u64, at: u128, state: TableState) -> Read {
        let (began, cpu_before) = (Instant::now(), cpu());
        let is_second = generation == 3;
        self.accept("db", vec![self.record(&schema, state, generation)], Some(at)).await;
        for from in (0..self.rows).step_by(CHUNK_ROWS as usize) {
            let rows = rows(from, self.rows, is_second);
            let (schema, mode) = (Arc::clone(&schema), PassMode::Repair);
            self.accept("db", vec![WriteItem::Chunk { table: ITEMS, generation, mode, schema, rows }], Some(at)).await;
        }
        println!("    rows handed over after {:.2?}", began.elapsed());
        let (reply, report) = oneshot::channel();
        let sweep = WriteItem::Sweep { table: ITEMS, generation, mode: PassMode::Repair, reply };
        self.accept("db", vec![sweep], Some(at)).await;
        let report = report.await.unwrap();
        self.accept("db", vec![self.record(&schema, TableState::Live, generation)], Some(at + 1)).await;
        let mut durable = self.sink.durable("db");
        durable.wait_for(|durable| durable.as_ref().is_some_and(|durable| *durable >= position(at + 1))).await.unwrap();
        Read { took: began.elapsed(), cpu: cpu() - cpu_before, ops: report.ops_written }
    }

    /// Commits one row of the other source again and again; gives how long each took until it was durable.
    async fn commit_others(self: Arc<Self>, mut until: oneshot::Receiver<()>) -> Vec<Duration> {
        let mut waits = Vec::new();
        let mut durable = self.sink.durable("other");
        for at in 2.. {
            if until.try_recv().is_ok() {
                break;
            }
            let began = Instant::now();
            let row = stream(OTHERS, 1, false, &[put((at as i64, "ann", "x"))]);
            self.accept("other", vec![row], Some(at)).await;
            let is_it = |durable: &Option<millstream_core::position::Position>| {
                durable.as_ref().is_some_and(|durable| *durable >= position(at))
            };
            durable.wait_for(is_it).await.unwrap();
            waits.push(began.elapsed());
            tokio::time::sleep(COMMIT_INTERVAL.saturating_sub(began.elapsed())).await;
        }
        waits.sort_unstable();
        waits
    }
}

fn by(columns: &[usize]) -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&schema("items"));
    schema.identity = Identity { kind: IdentityKind::PrimaryKey, columns: columns.to_vec() };
    Arc::new(schema)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn another_key_beside_other_commits() {
    let rows = std::env::var("MILLSTREAM_ROWS").map_or(ROWS_DEFAULT, |rows| rows.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let source = |name: &str, schema: &str| SourceOptions { name: name.into(), default_schema: schema.into() };
    let options =
        BucketSinkOptions { sources: vec![source("db", "shop"), source("other", "elsewhere")], ..options(MEASURED) };
    let sink = BucketSink::with_store(Arc::new(FjallStore::open(directory.path()).unwrap()), options).unwrap();
    for source in ["db", "other"] {
        sink.restore(source).await.unwrap();
    }
    let measured = Arc::new(Measured { sink, rows });
    measured.accept("other", vec![table(record(OTHERS, "others", TableState::Live, 1))], Some(1)).await;

    let first = measured.read(by(&[0]), 1, 1, TableState::Loading).await;
    println!("first read   {:.2?}, CPU {:.2?}, ops {}, peak {} MiB", first.took, first.cpu, first.ops, peak_mib());
    for (generation, name, columns) in [(2, "again", &[0][..]), (3, "another key", &[1, 0]), (4, "the next", &[0])] {
        let (end, until) = oneshot::channel();
        let waits = tokio::spawn(Arc::clone(&measured).commit_others(until));
        let at = u128::from(generation) * 10;
        let read = measured.read(by(columns), generation, at, TableState::Reconciling).await;
        end.send(()).unwrap();
        let waits = waits.await.unwrap();
        let of_first = |duration: Duration, first: Duration| duration.as_secs_f64() / first.as_secs_f64();
        println!(
            "{name:12} {:.2?} ({:.1} times the first), CPU {:.2?} ({:.1} times), ops {}, peak {} MiB; {} other commits \
             waited {:.2?} in the median, {:.2?} at most",
            read.took,
            of_first(read.took, first.took),
            read.cpu,
            of_first(read.cpu, first.cpu),
            read.ops,
            peak_mib(),
            waits.len(),
            waits[waits.len() / 2],
            waits[waits.len() - 1],
        );
    }
}
