//! How fast the stream delivers, beside `mysqlbinlog` on the same log in the same run.
//!
//! Usage: `cargo run --release --example stream_rate [ROWS]`. Starts a MySQL server of its own, writes 7-column rows of
//! about 160 bytes in transactions of 40, then reads them all back, both ways.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use millstream_core::change::Event;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::Catalog;
use millstream_mysql::MySqlConfig;
use millstream_testkit::{Flavor, Server, ServerOptions};

const ROWS_A_TRANSACTION: usize = 40;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(400_000), |text| text.parse())?;
    let options = ServerOptions::new().gtid(Flavor::MySql).set("max_binlog_size", "1G");
    let server = Server::start(Flavor::MySql, options).await?;
    server
        .sql(
            "CREATE DATABASE shop; CREATE TABLE shop.item (id BIGINT PRIMARY KEY, customer INT NOT NULL, \
             name VARCHAR(60), price DECIMAL(10,2), note VARCHAR(80), changed DATETIME(3), state TINYINT)",
        )
        .await?;
    let source = MySqlConfig::new(server.uri("root", "", "shop")).build("rate")?;
    let selection = Selection { patterns: vec![TablePattern { schema: "shop".into(), table: "%".into() }] };
    let discovery = source.discover(&selection).await?;
    fill(&server, rows).await?;
    let (raw_bytes, raw) = mysqlbinlog(&server)?;
    println!("mysqlbinlog: {raw_bytes} bytes in {raw:.2?}: {:.0} MB/s", rate(raw_bytes, raw) / 1e6);

    let tables = discovery.tables.iter().map(|schema| (schema.table.clone(), Some(schema.clone()))).collect();
    let head = source.head().await?;
    let begun = Instant::now();
    let mut stream = source.stream(&discovery.position, Catalog { selection, tables }).await?;
    let (mut seen, mut log_bytes, mut deliveries) = (0, 0, 0);
    while let Some(delivery) = stream.next().await {
        let delivery = delivery?;
        deliveries += 1;
        for event in &delivery.events {
            if let Event::Rows(changes) = event {
                seen += changes.rows.len();
            }
        }
        let Some(commit) = delivery.commit else { continue };
        log_bytes += commit.log_bytes;
        if commit.position >= head {
            break;
        }
    }
    let took = begun.elapsed();
    println!(
        "stream: {seen} rows, {log_bytes} bytes, {deliveries} deliveries in {took:.2?}: {:.0} rows/s, {:.0} MB/s",
        rate(seen, took),
        rate(log_bytes as usize, took) / 1e6
    );
    println!("stream / mysqlbinlog: {:.2}", rate(log_bytes as usize, took) / rate(raw_bytes, raw));
    Ok(())
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

async fn fill(server: &Server, rows: usize) -> Result<(), Failure> {
    const STATEMENTS_A_CALL: usize = 500;
    let transactions: Vec<usize> = (0..rows / ROWS_A_TRANSACTION).collect();
    for some in transactions.chunks(STATEMENTS_A_CALL) {
        let mut text = String::new();
        for transaction in some {
            let row = |row: usize| {
                let id = transaction * ROWS_A_TRANSACTION + row;
                format!("({id},{},'{:>50}',{}.25,'{:>60}',NOW(3),{})", id % 977, id, id % 10_000, id * 7, id % 5)
            };
            let values: Vec<String> = (0..ROWS_A_TRANSACTION).map(row).collect();
            text.push_str(&format!("INSERT INTO shop.item VALUES {};", values.join(",")));
        }
        server.sql(&text).await?;
    }
    Ok(())
}

/// Reads the whole log as the tool does, to nowhere.
fn mysqlbinlog(server: &Server) -> Result<(usize, Duration), Failure> {
    let bytes: usize = std::fs::read_dir(server.data_dir()?)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("binlog.0"))
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len() as usize)
        .sum();
    let folder = tempfile::tempdir()?;
    let begun = Instant::now();
    let status = Command::new(server.tool("mysqlbinlog")?)
        .args(["--no-defaults", "--read-from-remote-server", "--raw", "--to-last-log", "--user=root"])
        .arg(format!("--socket={}", server.socket()?.display()))
        .arg(format!("--result-file={}/", folder.path().display()))
        .arg("binlog.000001")
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("mysqlbinlog ended with {status}").into());
    }
    Ok((bytes, begun.elapsed()))
}
