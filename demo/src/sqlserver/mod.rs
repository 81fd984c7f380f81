//! A simulated SQL Server with a sample shop: a column is added under load, and its values arrive.

mod load;
mod shop;

use std::fs;
use std::time::{Duration, Instant};

use millstream_sqlserver_sim::{Options, Schedule, SqlServerSim};
use serde_json::Value;
use tokio::time::sleep;

use crate::Outcome;
use crate::command::{Millstream, is_live};
use crate::stage::Stage;
use load::Load;

/// How often the server scans its log; a real one does every five seconds.
const SCAN_EVERY: Duration = Duration::from_millis(250);
/// For how long the load goes on before and after the change.
const LOAD_ALONE: Duration = Duration::from_secs(1);

const ADD_COLUMN: &str = "ALTER TABLE products ADD stock int NOT NULL DEFAULT 5";

pub(crate) async fn show() -> Outcome<()> {
    let started = Instant::now();
    let stage = Stage::new();
    stage.heading("A simulated SQL Server with a sample shop");
    let options = Options { schedule: Schedule::Every(SCAN_EVERY), ..Options::default() };
    let sim = stage.timed("starting the server", async { SqlServerSim::start(&options) }).await?;
    let rows = stage.timed("loading products and orders, with CDC on", async { shop::load(&sim) }).await?;
    stage.line(&format!("SQL Server, simulated, on port {}, {rows} rows", sim.address().port()));

    stage.heading("Setting up and filling the buckets");
    let folder = tempfile::Builder::new().prefix("millstream-demo-").tempdir()?;
    let mut millstream = Millstream::new(folder.path())?;
    fs::write(folder.path().join(shop::AUTHORITY), sim.authority_pem())?;
    stage.command(&format!("millstream init --ca-certificate {} {}", shop::AUTHORITY, shop::uri(&sim, "********")));
    millstream.show(&["init", "--ca-certificate", shop::AUTHORITY, &shop::uri(&sim, shop::PASSWORD)])?;
    stage.line("millstream.yaml: let Millstream make the capture instances that changed tables need");
    stage.line("    capture_instances: auto");
    shop::set_up(folder.path())?;
    stage.command("millstream check");
    millstream.show(&["check"])?;
    stage.command("millstream run --until-current");
    millstream.show(&["run", "--until-current"])?;
    stage.command("millstream buckets");
    millstream.show(&["buckets"])?;

    stage.heading("A column is added while the shop is busy");
    stage.command("millstream run &");
    millstream.start()?;
    millstream.wait_until("every table is live", |status, _| is_live(status)).await?;
    let load = Load::start(sim);
    sleep(LOAD_ALONE).await;
    let before = load.changes();
    stage.statement(ADD_COLUMN);
    load.server().run_script(&format!("USE {};\nGO\n{ADD_COLUMN}", shop::DATABASE))?;
    let altered = Instant::now();
    // The capture instance of before knows nothing of the column: rows changed from here until the next instance takes
    // over come without it.
    millstream
        .wait_until("the column's values are in the buckets", |status, history| {
            is_live(status) && history.iter().any(is_repair)
        })
        .await?;
    stage.line(&format!(
        "    → every row has its value {:.1} s later; {} rows were changed meanwhile",
        altered.elapsed().as_secs_f64(),
        load.changes().saturating_sub(before)
    ));
    sleep(LOAD_ALONE).await;
    let (sim, changes) = load.stop()?;
    stage.line(&format!("The load has ended after {changes} changed rows."));
    stage.line("");
    stage.command("millstream schema --history");
    millstream.show(&["schema", "--history"])?;

    stage.heading("Reading everything again to compare");
    stage.command("millstream verify");
    millstream.show(&["verify"])?;
    millstream.stop()?;
    drop(sim);
    stage.line("");
    stage.line(&format!("Everything is stopped and removed again. It took {:.1} s.", started.elapsed().as_secs_f64()));
    Ok(())
}

/// A line of the history that tells of rows read again, to the end.
fn is_repair(line: &Value) -> bool {
    let number = |key: &str| line.get(key).and_then(Value::as_u64);
    number("duration_ms").is_some() && number("rows_read").is_some_and(|rows| rows > 0)
}
