//! From change tables to durable buckets.

use crate::failure::Failure;
use crate::kept_data::KeptData;
use crate::process::run;
use crate::workload::ROWS_PER_TRANSACTION;
use crate::{UNTIL_CURRENT, rate, report};

use super::raw;
use super::server::SimulatedServer;
use super::workload::{TABLES, Workload};

/// Rows of all tables together.
const ROWS: u64 = 200_000;

pub(crate) async fn print(server: &SimulatedServer, changes: u64, times: u32) -> Result<(), Failure> {
    println!("loading {ROWS} rows into {TABLES} tables of a simulated SQL Server");
    let mut workload = Workload::prepare(server, ROWS).await?;
    run(&workload.millstream(UNTIL_CURRENT)?).await?;
    println!("changing {changes} rows in transactions of {ROWS_PER_TRANSACTION}, which gives two change rows each");
    let rows = workload.change(changes).await?;
    let kept = KeptData::keep(server.directory()).await?;
    for time in 0..times {
        if time > 0 {
            kept.put_back().await?;
        }
        measure(server, &workload, rows).await?;
    }
    Ok(())
}

async fn measure(server: &SimulatedServer, workload: &Workload<'_>, rows: u64) -> Result<(), Failure> {
    let before = server.cpu_time();
    let raw = raw::read(server).await?;
    let raw_server = server.cpu_time().saturating_sub(before);
    if raw.rows != rows {
        return Err(Failure::Setup(format!("the change tables have {} rows instead of {rows}", raw.rows)));
    }
    let idle = run(&workload.millstream(&["status"])?).await?;
    let before = server.cpu_time();
    let ours = run(&workload.millstream(UNTIL_CURRENT)?).await?;
    let ours_server = server.cpu_time().saturating_sub(before);

    report("sqlserver", rate(rows, ours.took), "tiberius", rate(rows, raw.took), "change rows");
    println!(
        "{:<10} {} (without that, ratio {:.2})",
        "",
        ours.weight_beside(&idle),
        raw.took.as_secs_f64() / ours.took.saturating_sub(idle.took).as_secs_f64()
    );
    println!(
        "{:<10} CPU time: {:.2} s of millstream; of the simulated server, another process on the same cores, {:.2} s for \
         millstream, {:.2} s for tiberius",
        "",
        ours.cpu_time.as_secs_f64(),
        ours_server.as_secs_f64(),
        raw_server.as_secs_f64()
    );
    Ok(())
}
