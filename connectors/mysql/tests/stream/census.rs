//! The transactions before a place in the log are known exactly, however many are being committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_mysql::MySqlConfig;
use millstream_testkit::{Endpoint, Flavor, Server, ServerOptions, require_server};

use super::follow::Fixture;

const WRITERS: usize = 8;
const READINGS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_position_has_exactly_the_transactions_before_it() {
    require_server!(Flavor::MySql);
    // Each commit waits for the disk, so that some are always half-way.
    let options = ServerOptions::new().gtid(Flavor::MySql).set("binlog_order_commits", "OFF").durable();
    let server = Server::start(Flavor::MySql, options).await.unwrap();
    let fixture = Fixture::new(server.endpoint()).await;
    fixture.sql("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, c VARCHAR(200))").await;
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| tokio::spawn(write(fixture.endpoint.clone(), fixture.database.clone(), done.clone())))
        .collect();
    let mut positions = Vec::new();
    for reading in 0..READINGS {
        if reading == READINGS / 2 {
            fixture.sql("FLUSH BINARY LOGS").await;
        }
        // Half of them go on from what is known, half are new.
        let uri = fixture.endpoint.uri("root", "", &fixture.database);
        let fresh = MySqlConfig::new(uri).build("test").unwrap();
        let source = if reading % 2 == 0 { &fixture.source } else { &fresh };
        positions.push(source.discover(&fixture.selection).await.unwrap().position);
    }
    done.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    for position in positions {
        let (place, rest) = position.token().split_once(" server=").unwrap();
        let (file, offset) = place.rsplit_once(':').unwrap();
        let told = numbers(rest.split_once("gtid=").unwrap().1);
        assert_eq!(told, counted(&fixture.endpoint, file, offset.parse().unwrap()).await, "{position}");
    }
}

async fn write(endpoint: Endpoint, database: String, done: Arc<AtomicBool>) {
    while !done.load(Ordering::Relaxed) {
        let statements = "INSERT INTO t (c) VALUES (REPEAT('x', 100));".repeat(20);
        endpoint.sql_in(&database, &statements).await.unwrap();
    }
}

/// The numbers of a set with one server: `uuid:1-3:7`.
fn numbers(set: &str) -> BTreeSet<u64> {
    let intervals = set.split(':').skip(1).map(|part| part.split_once('-').unwrap_or((part, part)));
    intervals.flat_map(|(first, last)| first.parse::<u64>().unwrap()..=last.parse().unwrap()).collect()
}

/// The same from the server's own listing of the log.
async fn counted(endpoint: &Endpoint, file: &str, offset: u64) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for size in endpoint.rows("SHOW BINARY LOGS").await.unwrap() {
        let name = size[0].clone().unwrap();
        for event in endpoint.rows(&format!("SHOW BINLOG EVENTS IN '{name}'")).await.unwrap() {
            let [_, at, kind, _, _, info] = event.as_slice() else { panic!("{event:?}") };
            let at: u64 = at.as_ref().unwrap().parse().unwrap();
            if kind.as_deref() == Some("Gtid") && (name.as_str() < file || (name == file && at < offset)) {
                let number = info.as_ref().unwrap().trim_end_matches('\'').rsplit(':').next().unwrap().to_owned();
                found.insert(number.parse().unwrap());
            }
        }
    }
    found
}
