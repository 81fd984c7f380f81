//! Millstream's figures beside those of the raw tools, on the same machine in the same run, as what counts is the ratio.
//!
//! Everything is measured from outside: the released program, a real server, a stop-watch, and the kernel's word on
//! memory. Only the latency of a commit is taken inside one process, as it needs a clock common to both ends.

mod failure;
mod latency;
mod process;
mod sqlserver;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use millstream_testkit::{Flavor, Server, ServerOptions};

use failure::Failure;
use process::{Measured, run};
use workload::Workload;

/// Measures Millstream against mysqldump and mysqlbinlog; see `make bench`.
#[derive(Debug, Parser)]
struct Arguments {
    /// The kinds of source to measure, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Mysql, Kind::Sqlserver])]
    source: Vec<Kind>,
    /// The last part to measure. Each goes on with what the one before has left.
    #[arg(long, value_enum, default_value_t = Part::Memory)]
    upto: Part,
    /// How often the first read is measured, each time beside mysqldump.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    snapshots: u32,
    /// Rows of the table that is read.
    #[arg(long, default_value_t = 500_000)]
    rows: u64,
    /// Row changes that are streamed.
    #[arg(long, default_value_t = 200_000)]
    changes: u64,
    /// Rows of the table for the memory bound (16 million are ten times 256 MiB); 0 leaves it out.
    #[arg(long, default_value_t = 16_000_000)]
    large_rows: u64,
    /// Commits whose latency is taken.
    #[arg(long, default_value_t = 500)]
    commits: u32,
    /// Capture instances in which nothing changes, for the cost of a poll; SQL Server only. 0 leaves it out.
    #[arg(long, default_value_t = 1_000)]
    instances: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Mysql,
    /// A simulated one.
    Sqlserver,
}

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Part {
    /// The first read of a table.
    Snapshot,
    /// Following changes.
    Stream,
    /// From a commit to its checkpoint.
    Latency,
    /// The bound on memory, with a large table.
    Memory,
}

/// The bound on the program's memory, in MiB.
const MEMORY_MIB_MAX: f64 = 256.0;
const MIB: f64 = 1_048_576.0;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if arguments.source.contains(&Kind::Mysql) {
        mysql(&arguments).await?;
    }
    if arguments.source.contains(&Kind::Sqlserver) {
        sqlserver(&arguments).await?;
    }
    Ok(())
}

async fn mysql(arguments: &Arguments) -> Result<(), Failure> {
    println!("starting a private MySQL");
    let server = Server::start(Flavor::MySql, ServerOptions::new().gtid(Flavor::MySql)).await?;
    let workload = Workload::prepare(&server).await?;
    snapshot(&workload, arguments.rows, arguments.snapshots).await?;
    if arguments.upto >= Part::Stream {
        stream(&workload, arguments.changes).await?;
    }
    if arguments.upto >= Part::Latency {
        latency::print(&workload, arguments.commits).await?;
    }
    if arguments.upto >= Part::Memory && arguments.large_rows > 0 {
        memory(&workload, arguments.large_rows).await?;
    }
    Ok(())
}

async fn sqlserver(arguments: &Arguments) -> Result<(), Failure> {
    println!("starting a simulated SQL Server");
    let server = sqlserver::SimulatedServer::start().await?;
    if arguments.changes > 0 {
        sqlserver::print_stream(&server, arguments.changes).await?;
    }
    if arguments.instances > 0 {
        sqlserver::print_idle(&server, arguments.instances).await?;
    }
    Ok(())
}

fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn report(name: &str, ours: f64, raw_name: &str, raw: f64, unit: &str) {
    println!(
        "{name:<10} millstream {:>8.1} k {unit}/s   {raw_name} {:>8.1} k {unit}/s   ratio {:.2}",
        ours / 1e3,
        raw / 1e3,
        ours / raw
    );
}

async fn snapshot(workload: &Workload<'_>, rows: u64, times: u32) -> Result<(), Failure> {
    println!("loading {rows} rows");
    workload.load(rows).await?;
    for time in 0..times {
        if time > 0 {
            workload.forget_buckets()?;
        }
        let raw = run(&workload.mysqldump()?).await?;
        let ours = run(&workload.millstream_until_current()?).await?;
        report("snapshot", rate(rows, ours.took), "mysqldump", rate(rows, raw.took), "rows");
        println!("{:<10} peak {:.0} MiB of {MEMORY_MIB_MAX:.0} MiB", "", ours.peak_bytes as f64 / MIB);
    }
    Ok(())
}

async fn stream(workload: &Workload<'_>, changes: u64) -> Result<(), Failure> {
    println!("changing {changes} rows in transactions of {}", workload::ROWS_PER_TRANSACTION);
    let from = workload.change(changes).await?;
    let raw = run(&workload.mysqlbinlog(&from)?).await?;
    let idle = run(&workload.millstream_status()?).await?;
    let ours = run(&workload.millstream_until_current()?).await?;
    report("stream", rate(changes, ours.took), "mysqlbinlog", rate(changes, raw.took), "changes");
    println!(
        "{:<10} peak {:.0} MiB of {MEMORY_MIB_MAX:.0} MiB; of the {:.2} s, starting up takes about {:.2} s",
        "",
        ours.peak_bytes as f64 / MIB,
        ours.took.as_secs_f64(),
        idle.took.as_secs_f64()
    );
    Ok(())
}

async fn memory(workload: &Workload<'_>, rows: u64) -> Result<(), Failure> {
    println!("loading {rows} rows (this takes minutes)");
    workload.load(rows).await?;
    workload.forget_buckets()?;
    let Measured { took, peak_bytes } = run(&workload.millstream_until_current()?).await?;
    let peak_mib = peak_bytes as f64 / MIB;
    println!(
        "{:<10} peak {peak_mib:.0} MiB of {MEMORY_MIB_MAX:.0} MiB over {rows} rows, at {:.1} k rows/s{}",
        "memory",
        rate(rows, took) / 1e3,
        if peak_mib > MEMORY_MIB_MAX { ": above the bound" } else { "" }
    );
    Ok(())
}

/// The released program.
fn millstream() -> Result<PathBuf, Failure> {
    beside("millstream", "millstream")
}

/// A program built beside this one, and the package that it is built from.
fn beside(program: &str, package: &'static str) -> Result<PathBuf, Failure> {
    let beside = std::env::current_exe().map_err(Failure::own("finding this program"))?.with_file_name(program);
    if beside.exists() { Ok(beside) } else { Err(Failure::NoProgram { expected: beside, package }) }
}
