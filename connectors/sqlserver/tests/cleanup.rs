//! `cleanup: acknowledged`: what goes, and what stays.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use millstream_core::change::Event;
use millstream_core::position::Position;
use millstream_core::source::{Catalog, DeliveryStream, SourceConnector};
use millstream_sqlserver::{Cleanup, SqlServerConfig};

use crate::database::{Database, discovered, selection};

const PATIENCE: Duration = Duration::from_secs(60);
/// How many rows the change table has.
const KEPT: &str = "SELECT COUNT(*) FROM cdc.dbo_t_CT";

fn source(database: &Database, cleanup: Cleanup) -> Arc<dyn SourceConnector> {
    SqlServerConfig { cleanup, ..database.config() }.build("shop").unwrap()
}

/// Whether a condition on the database holds.
fn holds(database: &Database, condition: &str) -> bool {
    let script = format!("USE shop;\nGO\nIF NOT ({condition}) RAISERROR('no', 16, 1)");
    tokio::task::block_in_place(|| database.sim().run_script(&script)).is_ok()
}

async fn until(database: &Database, condition: &str) {
    let patience_ends = Instant::now() + PATIENCE;
    while !holds(database, condition) {
        assert!(Instant::now() < patience_ends, "never: {condition}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The position after so many row changes.
async fn position_after(stream: &mut DeliveryStream, mut rows: usize) -> Position {
    loop {
        let delivery = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        for event in &delivery.events {
            match event {
                Event::Rows(changes) => rows -= changes.changes.len(),
                Event::Schema(change) => panic!("{change:?}"),
            }
        }
        if rows == 0 {
            return delivery.commit.unwrap().position;
        }
    }
}

/// Adds rows, a second apart: transactions that ended at one time are cleaned up together, and a time is three
/// milliseconds.
fn insert(database: &Database, ids: RangeInclusive<u32>) {
    for id in ids {
        database.sim().control().advance_clock(Duration::from_secs(1));
        database.run(&format!("INSERT INTO dbo.t VALUES ({id})"));
    }
}

/// An empty table that is captured, and where to follow it from.
async fn captured(database: &Database) -> (Position, Catalog) {
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    database.capture("t");
    let source = source(database, Cleanup::Server);
    let discovery = discovered(source.as_ref(), &["t"]).await;
    let tables = discovery.tables.iter().map(|table| (table.table.clone(), Some(Arc::clone(table)))).collect();
    (discovery.position, Catalog { selection: selection(&["t"]), tables })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_goes_and_nothing_else() {
    let database = Database::start();
    let (from, catalog) = captured(&database).await;
    let follower = source(&database, Cleanup::Acknowledged);
    let mut deliveries = follower.stream(&from, catalog.clone()).await.unwrap();
    insert(&database, 1..=5);
    let durable = position_after(&mut deliveries, 5).await;
    // Read, but not durable at our end.
    insert(&database, 6..=8);
    let delivered = position_after(&mut deliveries, 3).await;
    assert!(delivered > durable);
    follower.acknowledge(&durable).await.unwrap();
    until(&database, &format!("({KEPT} WHERE id <= 4) = 0")).await;
    assert!(holds(&database, &format!("({KEPT} WHERE id > 5) = 3")), "what isn't durable must stay");

    // A restart from there loses nothing, no table is read again, and cleaning goes on.
    drop(deliveries);
    let again = source(&database, Cleanup::Acknowledged);
    again.acknowledge(&durable).await.unwrap();
    let mut deliveries = again.stream(&durable, catalog).await.unwrap();
    let end = position_after(&mut deliveries, 3).await;
    assert!(end >= delivered);
    again.acknowledge(&end).await.unwrap();
    until(&database, &format!("({KEPT} WHERE id <= 7) = 0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn change_tables_are_left_to_the_server_unless_asked_for() {
    let database = Database::start();
    let (from, catalog) = captured(&database).await;
    let follower = source(&database, Cleanup::Server);
    let mut deliveries = follower.stream(&from, catalog).await.unwrap();
    for id in 1..=3 {
        insert(&database, id..=id);
        let durable = position_after(&mut deliveries, 1).await;
        follower.acknowledge(&durable).await.unwrap();
    }
    assert!(holds(&database, &format!("({KEPT}) = 3")));
}
