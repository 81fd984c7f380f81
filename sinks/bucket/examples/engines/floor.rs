//! What no engine can beat by much: the same bytes appended to one file and synced as often, nothing looked up.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::load::{self, CHANGES, CHANGES_PER_COMMIT, Figures, Phase, SYNC_BYTES};

pub fn measure(rows: u64, directory: &Path) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let mut file = BufWriter::new(File::create(directory.join("floor"))?);

    let started = Phase::begin()?;
    let mut unsynced_bytes = 0;
    for row in 0..rows {
        unsynced_bytes += append(&mut file, row, row)?;
        if unsynced_bytes >= SYNC_BYTES {
            sync(&mut file)?;
            unsynced_bytes = 0;
        }
    }
    sync(&mut file)?;
    (figures.load_rows_per_s, figures.load_cpu_us) = started.end(rows)?;
    figures.load_peak_mib = load::peak_mib()?;

    let started = Phase::begin()?;
    let mut slowest = Duration::ZERO;
    for _ in 0..CHANGES / CHANGES_PER_COMMIT {
        for change in 0..CHANGES_PER_COMMIT {
            append(&mut file, change, change)?;
        }
        let syncing = Instant::now();
        sync(&mut file)?;
        slowest = slowest.max(syncing.elapsed());
    }
    (figures.stream_changes_per_s, figures.stream_cpu_us) = started.end(CHANGES)?;
    figures.stream_slowest_commit_ms = slowest.as_secs_f64() * 1e3;

    let started = Instant::now();
    let bytes = std::fs::read(directory.join("floor"))?;
    figures.scan_ops_per_s = (rows + CHANGES) as f64 / started.elapsed().as_secs_f64();
    figures.disk_bytes_per_row = bytes.len() as f64 / rows as f64;
    drop(bytes);

    (figures.tiny_sync_p50_ms, figures.tiny_sync_p99_ms) = load::tiny_commits(|number| {
        append(&mut file, number, number)?;
        sync(&mut file)
    })?;
    figures.peak_mib = figures.load_peak_mib;
    Ok(figures)
}

fn append(file: &mut BufWriter<File>, row: u64, op_id: u64) -> Outcome<usize> {
    let value = load::op_value(row, op_id);
    file.write_all(&load::row_key(row))?;
    file.write_all(&[0; 72])?;
    file.write_all(&value)?;
    Ok(value.len() + 92)
}

fn sync(file: &mut BufWriter<File>) -> Outcome<()> {
    file.flush()?;
    Ok(file.get_ref().sync_data()?)
}
