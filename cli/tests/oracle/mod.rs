//! The oracle: random rows and schema changes at a real server, random stops, kills and restarts of the real program,
//! then "the buckets equal a fresh read": once by `millstream verify`, once by reading source and buckets here.
//!
//! `MILLSTREAM_ORACLE_SECONDS` sets for how long (60 by default), `MILLSTREAM_ORACLE_SEED` replays one life. What the
//! program and the server do at the same time is theirs to order, so a replay may need a few attempts.

mod comparison;
mod life;
mod statements;

use std::time::{Duration, Instant};

use millstream_testkit::{Flavor, Server, ServerOptions, require_server};

use life::Life;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number")))
}

/// Lives one after another until the time is over; the seed of each is printed before it begins.
async fn lives(flavor: Flavor) {
    let seconds = number("MILLSTREAM_ORACLE_SECONDS").unwrap_or(60);
    let fixed = number("MILLSTREAM_ORACLE_SEED");
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut seed = fixed.unwrap_or_else(|| u64::from(std::process::id()) * 1_000_003 % 1_000_000_000);
    // Metadata that tells everything, or as little as the server does by default; compressed transactions, or plain.
    let (metadata, compression) = (["MINIMAL", "FULL"], ["OFF", "ON"]);
    let compression_setting = match flavor {
        Flavor::MySql => "binlog_transaction_compression",
        Flavor::MariaDb => "log_bin_compress",
    };
    let options = ServerOptions::new()
        .gtid(flavor)
        .set("binlog_row_metadata", metadata[(seed % 2) as usize])
        .set(compression_setting, compression[(seed / 2 % 2) as usize]);
    let server = Server::start(flavor, options).await.expect("the server starts");
    let (mut lived, mut rows_compared) = (0, 0);
    while lived == 0 || (fixed.is_none() && Instant::now() < end) {
        println!("{flavor} oracle: seed {seed} (replay: MILLSTREAM_ORACLE_SEED={seed})");
        rows_compared += Life::begin(&server, seed).await.live(end).await;
        lived += 1;
        seed += 1;
    }
    println!("{flavor} oracle: {lived} lives, {rows_compared} rows compared, no difference");
    assert!(rows_compared > 0, "nothing was compared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oracle_on_mysql() {
    require_server!(Flavor::MySql);
    lives(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oracle_on_mariadb() {
    require_server!(Flavor::MariaDb);
    lives(Flavor::MariaDb).await;
}
