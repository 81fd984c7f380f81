//! Loads that tests of connectors make must not wait for the simulator.

use std::time::{Duration, Instant};

use super::{Harness, row};
use crate::storage::{IndexId, ReadRequest};
use crate::value::Value;

/// Ten times what it takes on the slowest machine that it was tried on, unoptimised.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn many_rows_are_captured_and_their_end_is_found_at_once() {
    let (harness, table) = Harness::with_table();
    let began = Instant::now();
    for batch in 0..50 {
        let rows: Vec<Vec<Value>> = (0..1000).map(|n| row(batch * 1000 + n, "name", n)).collect();
        harness.insert(&table, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    let loaded = began.elapsed();
    harness.scan();
    let scanned = began.elapsed();
    let change_table = harness.named("cdc", "dbo_t_CT").unwrap();
    let mut request = ReadRequest::all(harness.database, change_table);
    request.index = Some(IndexId::CLUSTERED);
    request.descending = true;
    let seek = Instant::now();
    for _ in 0..1000 {
        harness.step(|transaction| transaction.read_first(&request)).unwrap().unwrap();
    }
    eprintln!("loaded {loaded:?}, scanned {:?}, sought {:?} a thousand times", scanned - loaded, seek.elapsed());
    assert!(began.elapsed() < LIMIT);
}
