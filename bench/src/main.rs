//! Millstream's figures beside those of the raw tools, on the same machine in the same run, as what counts is the ratio.
//!
//! Everything is measured from outside: the released program, a real server, a stop-watch, and the kernel's word on
//! memory. Only the latency of a commit is taken inside one process, as it needs a clock common to both ends.

mod failure;
mod kept_data;
mod latency;
mod process;
mod sqlserver;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use millstream_testkit::{Flavor, Server, ServerOptions};

use failure::Failure;
use kept_data::{KeptData, forget_data};
use process::run;
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
    #[arg(long, default_value_t = 400_000)]
    changes: u64,
    /// Rows of the table for the memory bound (16 million are ten times 256 MiB); 0 leaves it out.
    #[arg(long, default_value_t = 16_000_000)]
    large_rows: u64,
    /// How often following them is measured, each time beside the plain read of the log.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    streams: u32,
    /// Rows of the table that gets another key; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    key_rows: u64,
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
    /// Another key for a table: all is read again, and nothing written.
    Key,
    /// The bound on memory, with a large table.
    Memory,
}

/// Works off everything that there is, and ends.
const UNTIL_CURRENT: &[&str] = &["run", "--until-current"];

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
        stream(&workload, arguments.changes, arguments.streams).await?;
    }
    if arguments.upto >= Part::Latency {
        latency::print(&workload, arguments.commits).await?;
    }
    if arguments.upto >= Part::Key && arguments.key_rows > 0 {
        key(&workload, arguments.key_rows).await?;
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
        sqlserver::print_stream(&server, arguments.changes, arguments.streams).await?;
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
            forget_data(workload.directory())?;
        }
        let raw = run(&workload.mysqldump()?).await?;
        let ours = run(&workload.millstream(UNTIL_CURRENT)?).await?;
        report("snapshot", rate(rows, ours.took), "mysqldump", rate(rows, raw.took), "rows");
        println!("{:<10} {}", "", ours.weight());
    }
    Ok(())
}

async fn stream(workload: &Workload<'_>, changes: u64, times: u32) -> Result<(), Failure> {
    println!("changing {changes} rows in transactions of {}", workload::ROWS_PER_TRANSACTION);
    let from = workload.change(changes).await?;
    let kept = KeptData::keep(workload.directory()).await?;
    for time in 0..times {
        if time > 0 {
            kept.put_back().await?;
        }
        let raw = run(&workload.mysqlbinlog(&from)?).await?;
        let idle = run(&workload.millstream(&["status"])?).await?;
        let ours = run(&workload.millstream(UNTIL_CURRENT)?).await?;
        report("stream", rate(changes, ours.took), "mysqlbinlog", rate(changes, raw.took), "changes");
        println!("{:<10} {}; CPU time {:.2} s", "", ours.weight_beside(&idle), ours.cpu_time.as_secs_f64());
    }
    Ok(())
}

async fn key(workload: &Workload<'_>, rows: u64) -> Result<(), Failure> {
    println!("loading {rows} rows, and giving their table another key");
    workload.load(rows).await?;
    forget_data(workload.directory())?;
    let first = run(&workload.millstream(UNTIL_CURRENT)?).await?;
    workload.change_key().await?;
    let again = run(&workload.millstream(UNTIL_CURRENT)?).await?;
    run(&workload.millstream(&["verify"])?).await?;
    println!(
        "{:<10} {:.1} s for another key, {:.1} times as long as the first read; {}",
        "key",
        again.took.as_secs_f64(),
        again.took.as_secs_f64() / first.took.as_secs_f64(),
        again.weight()
    );
    Ok(())
}

async fn memory(workload: &Workload<'_>, rows: u64) -> Result<(), Failure> {
    println!("loading {rows} rows (this takes minutes)");
    workload.load(rows).await?;
    forget_data(workload.directory())?;
    let ours = run(&workload.millstream(UNTIL_CURRENT)?).await?;
    println!("{:<10} {} over {rows} rows, at {:.1} k rows/s", "memory", ours.weight(), rate(rows, ours.took) / 1e3);
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
