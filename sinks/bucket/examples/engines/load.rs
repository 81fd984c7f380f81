//! The loads.

use std::time::{Duration, Instant};

use millstream_bucket::store::{Batch, Direction, Durability, KeyRange, Keyspace, Store};

use crate::Outcome;

pub const SYNC_BYTES: usize = 8 * 1024 * 1024;
pub const TINY_COMMITS: usize = 500;
pub const CHANGES: u64 = 200_000;
pub const CHANGES_PER_COMMIT: u64 = 2_000;
const ROWS_PER_BATCH: u64 = 5_000;
const BUCKETS: u64 = 100;

/// What one engine reached.
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    pub load_rows_per_s: f64,
    pub load_cpu_us: f64,
    pub load_peak_mib: f64,
    pub stream_changes_per_s: f64,
    pub stream_cpu_us: f64,
    pub stream_slowest_commit_ms: f64,
    pub scan_ops_per_s: f64,
    pub tiny_sync_p50_ms: f64,
    pub tiny_sync_p99_ms: f64,
    pub peak_mib: f64,
    pub disk_bytes_per_row: f64,
}

const COLUMNS: [&str; 11] = [
    "load, rows/s",
    "load, CPU us/row",
    "load, peak MiB",
    "stream, changes/s",
    "stream, CPU us/change",
    "stream, slowest commit ms",
    "scan, ops/s",
    "tiny synced commit p50 ms",
    "tiny synced commit p99 ms",
    "peak MiB in all",
    "disk bytes/row",
];

impl Figures {
    fn values(&self) -> [f64; 11] {
        [
            self.load_rows_per_s,
            self.load_cpu_us,
            self.load_peak_mib,
            self.stream_changes_per_s,
            self.stream_cpu_us,
            self.stream_slowest_commit_ms,
            self.scan_ops_per_s,
            self.tiny_sync_p50_ms,
            self.tiny_sync_p99_ms,
            self.peak_mib,
            self.disk_bytes_per_row,
        ]
    }

    pub fn to_line(self) -> String {
        self.values().map(|value| value.to_string()).join(" ")
    }

    pub fn from_line(line: &str) -> Outcome<Figures> {
        let values: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [load, load_cpu, load_peak, stream, stream_cpu, slowest, scan, p50, p99, peak, disk] = values[..] else {
            return Err(format!("not a line of figures: {line}").into());
        };
        Ok(Figures {
            load_rows_per_s: load,
            load_cpu_us: load_cpu,
            load_peak_mib: load_peak,
            stream_changes_per_s: stream,
            stream_cpu_us: stream_cpu,
            stream_slowest_commit_ms: slowest,
            scan_ops_per_s: scan,
            tiny_sync_p50_ms: p50,
            tiny_sync_p99_ms: p99,
            peak_mib: peak,
            disk_bytes_per_row: disk,
        })
    }
}

/// Each figure, and in brackets how many times that of the first engine it is.
pub fn print_table(results: &[(&str, Figures)]) {
    print!("{:<28}", "");
    results.iter().for_each(|(engine, _)| print!("{engine:>22}"));
    println!();
    for (line, name) in COLUMNS.iter().enumerate() {
        print!("{name:<28}");
        let floor = results.first().map_or(0.0, |(_, figures)| figures.values()[line]);
        for (_, figures) in results {
            let value = figures.values()[line];
            print!("{:>22}", format!("{value:.1} ({:.2})", value / floor));
        }
        println!();
    }
}

pub fn measure(store: &dyn Store, rows: u64) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let mut op_id = 0;
    let started = Phase::begin()?;
    load(store, rows, &mut op_id)?;
    (figures.load_rows_per_s, figures.load_cpu_us) = started.end(rows)?;
    figures.load_peak_mib = peak_mib()?;

    let started = Phase::begin()?;
    let slowest = stream(store, rows, &mut op_id)?;
    (figures.stream_changes_per_s, figures.stream_cpu_us) = started.end(CHANGES)?;
    figures.stream_slowest_commit_ms = slowest.as_secs_f64() * 1e3;

    let started = Instant::now();
    let ops = scan(store)?;
    figures.scan_ops_per_s = ops as f64 / started.elapsed().as_secs_f64();

    (figures.tiny_sync_p50_ms, figures.tiny_sync_p99_ms) = tiny_commits(|number| {
        let mut batch = Batch::new();
        batch.put(Keyspace::Meta, b"position", &number.to_be_bytes());
        op_id += 1;
        batch.put(Keyspace::Ops, &op_key(number, op_id), &op_value(number, op_id));
        Ok(store.commit(&batch, Durability::Synced)?)
    })?;
    figures.peak_mib = peak_mib()?;
    figures.disk_bytes_per_row = store.disk_bytes()? as f64 / rows as f64;
    Ok(figures)
}

/// A first read: rows in the order of their keys, none of which is stored yet.
fn load(store: &dyn Store, rows: u64, op_id: &mut u64) -> Outcome<()> {
    let mut batch = Batch::new();
    let mut unsynced_bytes = 0;
    for first in (0..rows).step_by(ROWS_PER_BATCH as usize) {
        batch.clear();
        let before = store.snapshot();
        for row in first..(first + ROWS_PER_BATCH).min(rows) {
            if before.get(Keyspace::Rows, &row_key(row))?.is_some() {
                return Err(format!("row {row} is stored already").into());
            }
            put_change(&mut batch, row, op_id);
        }
        batch.put(Keyspace::Meta, b"position", &first.to_be_bytes());
        unsynced_bytes += batch.bytes();
        let durability = if unsynced_bytes < SYNC_BYTES { Durability::Buffered } else { Durability::Synced };
        store.commit(&batch, durability)?;
        if durability == Durability::Synced {
            unsynced_bytes = 0;
        }
    }
    Ok(store.commit(&Batch::new(), Durability::Synced)?)
}

/// Changes of random rows, in synced groups. Returns the longest that one group's commit took.
fn stream(store: &dyn Store, rows: u64, op_id: &mut u64) -> Outcome<Duration> {
    let mut batch = Batch::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut slowest = Duration::ZERO;
    for group in 0..CHANGES / CHANGES_PER_COMMIT {
        batch.clear();
        let before = store.snapshot();
        for _ in 0..CHANGES_PER_COMMIT {
            let row = next_random(&mut random) % rows;
            if before.get(Keyspace::Rows, &row_key(row))?.is_none() {
                return Err(format!("row {row} isn't stored").into());
            }
            put_change(&mut batch, row, op_id);
        }
        for bucket in 0..BUCKETS {
            batch.put(Keyspace::Buckets, &bucket.to_be_bytes(), &[7; 32]);
        }
        batch.put(Keyspace::Meta, b"position", &group.to_be_bytes());
        let started = Instant::now();
        store.commit(&batch, Durability::Synced)?;
        slowest = slowest.max(started.elapsed());
    }
    Ok(slowest)
}

/// What clients read: every bucket's ops in order.
fn scan(store: &dyn Store) -> Outcome<u64> {
    let snapshot = store.snapshot();
    let mut ops = 0;
    let mut bytes = 0;
    for bucket in 0..BUCKETS as u32 {
        for pair in snapshot.scan(Keyspace::Ops, &KeyRange::prefix(&bucket.to_be_bytes()), Direction::Forward) {
            bytes += pair?.1.len();
            ops += 1;
        }
    }
    if bytes == 0 {
        return Err("the scan found nothing".into());
    }
    Ok(ops)
}

/// The p50 and p99 of commits as an idle server's, in milliseconds.
pub fn tiny_commits(mut commit: impl FnMut(u64) -> Outcome<()>) -> Outcome<(f64, f64)> {
    let mut latencies = Vec::with_capacity(TINY_COMMITS);
    for number in 0..TINY_COMMITS as u64 {
        let started = Instant::now();
        commit(number)?;
        latencies.push(started.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(2));
    }
    latencies.sort_by(f64::total_cmp);
    Ok((latencies[TINY_COMMITS / 2], latencies[TINY_COMMITS * 99 / 100]))
}

fn put_change(batch: &mut Batch, row: u64, op_id: &mut u64) {
    *op_id += 1;
    let mut state = [0; 60];
    state[..8].copy_from_slice(&op_id.to_be_bytes());
    state[8..16].copy_from_slice(&op_id.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    batch.put(Keyspace::Rows, &row_key(row), &state);
    batch.put(Keyspace::Ops, &op_key(row, *op_id), &op_value(row, *op_id));
}

pub fn row_key(row: u64) -> [u8; 20] {
    let mut key = [0; 20];
    key[3] = 1;
    key[7] = 4;
    key[12..].copy_from_slice(&row.to_be_bytes());
    key
}

fn op_key(row: u64, op_id: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&((row % BUCKETS) as u32).to_be_bytes());
    key[4..].copy_from_slice(&op_id.to_be_bytes());
    key
}

/// JSON of about 220 bytes, whose values differ from row to row as real ones do.
pub fn op_value(row: u64, op_id: u64) -> Vec<u8> {
    let mut seed = op_id;
    let mut word = || next_random(&mut seed);
    format!(
        "{{\"id\":{row},\"customer_id\":{},\"status\":\"{}\",\"total\":\"{}.{:02}\",\"note\":\"{:016x}{:016x}{:016x}\",\
         \"created_at\":\"2026-{:02}-{:02}T{:02}:{:02}:00\",\"version\":{op_id},\"reference\":\"{:016x}\"}}",
        word() % 100_000,
        ["new", "paid", "shipped", "returned"][(word() % 4) as usize],
        word() % 10_000,
        word() % 100,
        word(),
        word(),
        word(),
        1 + word() % 12,
        1 + word() % 28,
        word() % 24,
        word() % 60,
        word(),
    )
    .into_bytes()
}

pub fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A stretch of work, by the clock and by the processor time of all threads.
pub struct Phase {
    started: Instant,
    cpu_ticks: u64,
}

impl Phase {
    pub fn begin() -> Outcome<Phase> {
        Ok(Phase { started: Instant::now(), cpu_ticks: cpu_ticks()? })
    }

    /// Items a second, and microseconds of processor time per item.
    pub fn end(self, items: u64) -> Outcome<(f64, f64)> {
        let per_second = items as f64 / self.started.elapsed().as_secs_f64();
        let cpu_us = (cpu_ticks()? - self.cpu_ticks) as f64 * 1e6 / TICKS_PER_S;
        Ok((per_second, cpu_us / items as f64))
    }
}

/// What Linux counts processor time in, on every platform that it has today.
const TICKS_PER_S: f64 = 100.0;

fn cpu_ticks() -> Outcome<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the name in parentheses, which may contain anything; utime and stime are fields 14 and 15.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = after_name.split_whitespace().skip(11);
    let mut field = || -> Outcome<u64> { Ok(fields.next().ok_or("/proc/self/stat is too short")?.parse()?) };
    Ok(field()? + field()?)
}

/// The most memory that this process has had, in MiB.
pub fn peak_mib() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
