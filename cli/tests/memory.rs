//! What the whole program takes in memory when rows are large and go to many buckets.

use std::time::Instant;

use millstream_testkit::{Endpoint, Flavor, require_server, shared};
use serde_json::Value;

use crate::workspace::{Workspace, wait_for};

/// What is promised.
const MEMORY_MIB_MAX: u64 = 256;

/// All rows together come to far more than that in the buckets.
const ROWS: u32 = 20;
const ROW_BYTES: u32 = 900_000;
const BUCKETS: usize = 15;

/// Definitions that put each row of both tables into a bucket each.
fn config(buckets: usize) -> String {
    (0..buckets).fold("bucket_definitions:\n".to_owned(), |config, bucket| {
        config + &format!("  b{bucket}:\n    data:\n      - SELECT * FROM t\n      - SELECT * FROM late\n")
    })
}

async fn fill(server: &Endpoint, database: &str, table: &str) {
    let columns = "id INT PRIMARY KEY, note MEDIUMTEXT CHARACTER SET latin1, spare INT DEFAULT 1";
    let rows = format!(
        "CREATE TABLE {table} ({columns}); INSERT INTO {table} (id, note) \
         WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS}) \
         SELECT n, REPEAT(CHAR(97 + n % 26), {ROW_BYTES}) FROM s"
    );
    server.sql_in(database, &rows).await.unwrap();
}

/// What all buckets have together: ops and rows.
fn total(workspace: &Workspace) -> (u64, u64) {
    let number = |bucket: &Value, field: &str| bucket[field].as_u64().unwrap();
    let buckets = workspace.json(&["buckets"]);
    buckets.iter().fold((0, 0), |(ops, rows), bucket| (ops + number(bucket, "ops"), rows + number(bucket, "rows")))
}

#[tokio::test(flavor = "multi_thread")]
async fn large_rows_in_many_buckets_stay_within_bounds() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("memory").await.unwrap();
    fill(&server, &database, "t").await;
    fill(&server, &database, "other").await;
    let workspace = Workspace::on(&server, &database).await;
    workspace.write("sync-config.yaml", &config(BUCKETS));
    let mut peaks = Vec::new();
    let mut note = |what: &str, began: Instant, peak: u64| {
        println!("{what}: {peak} MiB, {:?}", began.elapsed());
        assert!(peak > 0, "it wasn't weighed");
        peaks.push((what.to_owned(), peak));
    };

    // One process, as what is left over of one thing counts while it does the next.
    let began = Instant::now();
    let running = workspace.follow();
    let all = u64::from(ROWS) * BUCKETS as u64;
    wait_for("the first load", || total(&workspace) == (all, all));
    note("the first load", began, running.peak_mib());
    let steps = [
        ("an update of all rows in one transaction", "UPDATE t SET note = REVERSE(CONCAT(note, id))", (2, 1)),
        ("a column that is dropped", "ALTER TABLE t DROP COLUMN spare", (3, 1)),
        // As its rows come from elsewhere, the log doesn't show them; they appear beside the others, all at once.
        ("a table that appears beside others", "RENAME TABLE other TO late", (4, 2)),
        ("a removal of all rows in one transaction", "DELETE FROM late", (5, 1)),
    ];
    for (what, statement, (ops, rows)) in steps {
        let began = Instant::now();
        server.sql_in(&database, statement).await.unwrap();
        wait_for(what, || total(&workspace) == (ops * all, rows * all));
        note(what, began, running.peak_mib());
    }
    running.signal("INT");
    running.wait().good();

    for (what, buckets) in [("one definition more", BUCKETS + 1), ("one definition less", BUCKETS)] {
        workspace.write("sync-config.yaml", &config(buckets));
        let began = Instant::now();
        let (finished, peak) = workspace.start(&["run", "--until-current"]).wait_and_weigh();
        finished.good();
        note(what, began, peak);
    }
    assert_eq!(total(&workspace), (5 * all, all));
    assert!(peaks.iter().all(|(_, peak)| *peak <= MEMORY_MIB_MAX), "{peaks:?}");
}
