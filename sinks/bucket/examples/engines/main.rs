//! Measures storage engines with the loads of a bucket sink, and prints them beside each other and beside the floor:
//! the same bytes appended to a file and synced as often.
//!
//! ```text
//! cargo run --release -p millstream-bucket --example engines --features compare-engines -- [ROWS] [DIRECTORY]
//! ```
//!
//! Each engine runs in a process of its own, so that its peak of memory is its own.
#![allow(clippy::indexing_slicing, clippy::panic, reason = "a measurement that meets what it doesn't expect ends")]

mod floor;
mod load;
mod redb_store;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use load::Figures;
use millstream_bucket::store::{FjallStore, Store};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROWS_DEFAULT: u64 = 500_000;
const ENGINES: [&str; 3] = ["floor", "fjall", "redb"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engines: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("--engine") {
        let engine = arguments.next().ok_or("--engine needs a name")?;
        let rows = arguments.next().ok_or("--engine needs a number of rows")?.parse()?;
        let directory = PathBuf::from(arguments.next().ok_or("--engine needs a directory")?);
        println!("{}", measure(&engine, rows, &directory)?.to_line());
        return Ok(());
    }
    let rows = first.map_or(Ok(ROWS_DEFAULT), |rows| rows.parse())?;
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let only = arguments.next();
    let mut results = Vec::new();
    for engine in ENGINES.iter().filter(|engine| only.as_deref().is_none_or(|only| only == **engine)) {
        eprintln!("measuring {engine} with {rows} rows");
        results.push((*engine, measure_in_process(engine, rows, &parent)?));
    }
    load::print_table(&results);
    Ok(())
}

fn measure_in_process(engine: &str, rows: u64, parent: &Path) -> Outcome<Figures> {
    let directory = parent.join(format!("millstream-engines-{}-{engine}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--engine", engine, &rows.to_string()])
        .arg(&directory)
        .stderr(std::process::Stdio::inherit())
        .output();
    std::fs::remove_dir_all(&directory)?;
    let output = output?;
    if !output.status.success() {
        return Err(format!("{engine} ended with {}", output.status).into());
    }
    Figures::from_line(&String::from_utf8(output.stdout)?)
}

fn measure(engine: &str, rows: u64, directory: &Path) -> Outcome<Figures> {
    let store: Box<dyn Store> = match engine {
        "floor" => return floor::measure(rows, directory),
        "fjall" => Box::new(FjallStore::open(&directory.join("store"))?),
        "redb" => Box::new(redb_store::RedbStore::open(&directory.join("store.redb"))?),
        other => return Err(format!("no engine is called {other}").into()),
    };
    load::measure(store.as_ref(), rows)
}
