//! What the whole program takes in memory when rows are large and go to many buckets.

use std::time::Instant;

use millstream_testkit::{Endpoint, Flavor, require_server, shared};

use crate::workspace::Workspace;

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

#[tokio::test(flavor = "multi_thread")]
async fn large_rows_in_many_buckets_stay_within_bounds() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("memory").await.unwrap();
    fill(&server, &database, "t").await;
    fill(&server, &database, "other").await;
    let workspace = Workspace::on(&server, &database).await;
    let mut peaks = Vec::new();
    let mut run = |what: &'static str, buckets: usize| {
        workspace.write("sync-config.yaml", &config(buckets));
        let began = Instant::now();
        let (finished, peak) = workspace.start(&["run", "--until-current"]).wait_and_weigh();
        finished.good();
        println!("{what}: {peak} MiB, {:?}", began.elapsed());
        peaks.push((what, peak));
    };
    let change = async |sql: String| server.sql_in(&database, &sql).await.unwrap();

    run("the first load", BUCKETS);
    change("UPDATE t SET note = REVERSE(CONCAT(note, id))".to_owned()).await;
    run("an update of all rows in one transaction", BUCKETS);
    run("one more definition", BUCKETS + 1);
    run("one definition less", BUCKETS);
    change("ALTER TABLE t DROP COLUMN spare".to_owned()).await;
    run("a column that is dropped", BUCKETS);
    // As the rows come from elsewhere, the log doesn't show them; they appear beside the others, all at once.
    change("RENAME TABLE other TO late".to_owned()).await;
    run("a table that appears beside others", BUCKETS);
    change("DELETE FROM late".to_owned()).await;
    run("a removal of all rows in one transaction", BUCKETS);

    let rows = workspace.json(&["buckets"]).iter().map(|bucket| bucket["rows"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(rows, u64::from(ROWS) * BUCKETS as u64);
    assert!(peaks.iter().all(|(_, peak)| *peak <= MEMORY_MIB_MAX), "{peaks:?}");
}
