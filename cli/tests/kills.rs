//! Killed fifty times while a load runs: nothing is lost, and nothing is there twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream_testkit::{Endpoint, Flavor, require_server, shared};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::workspace::{Running, Workspace};

const KILLS: u32 = 50;

/// Places in the program (see `millstream_bucket::kill`) that this load passes.
const PLACES: &[&str] = &["before_commit", "after_commit", "mid_sweep", "mid_clear", "mid_compaction"];

/// Changes rows, and now and then a whole table, until told to stop.
async fn load(server: Endpoint, database: String, stop: Arc<AtomicBool>) {
    let mut round = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let id = round * 37 % 2_000;
        let mut statements = format!(
            "BEGIN; REPLACE INTO t VALUES ({id}, {round}), ({id} + 1, {round}); \
             UPDATE t SET n = n + 1 WHERE id % 100 = {}; DELETE FROM t WHERE id = {}; COMMIT; ",
            round % 100,
            round * 53 % 2_000
        );
        match round % 40 {
            7 => statements.push_str("TRUNCATE TABLE u"),
            17 => statements.push_str("INSERT IGNORE INTO u SELECT id, n FROM t"),
            27 => statements.push_str(&format!("ALTER TABLE u ADD COLUMN c{round} INT NOT NULL DEFAULT {round}")),
            37 => statements.push_str(&format!("ALTER TABLE u DROP COLUMN c{}", round - 10)),
            _ => {}
        }
        server.sql_in(&database, &statements).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_under_load_lose_nothing_and_double_nothing() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("kills").await.unwrap();
    let tables = "CREATE TABLE t (id INT PRIMARY KEY, n INT); CREATE TABLE u (id INT PRIMARY KEY, n INT)";
    server.sql_in(&database, tables).await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    let stop = Arc::new(AtomicBool::new(false));
    let loading = tokio::spawn(load(server.clone(), database.clone(), Arc::clone(&stop)));

    let seed =
        std::env::var("MILLSTREAM_SEED").map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("seed {seed} (replay: MILLSTREAM_SEED={seed})");
    let mut random = StdRng::seed_from_u64(seed);
    for kill in 0..KILLS {
        let mut command = workspace.command(&["run"]);
        if kill % 2 == 0 {
            let place = PLACES[random.random_range(0..PLACES.len())];
            command.env("MILLSTREAM_KILL_AT", format!("{place}:{}", random.random_range(1..8)));
        }
        let running = Running::spawn(command);
        tokio::time::sleep(Duration::from_millis(random.random_range(100..1_200))).await;
        running.signal("KILL");
        let finished = running.wait();
        assert_eq!(finished.code, None, "killed, not ended by itself:\n{}", finished.stderr);
    }
    stop.store(true, Ordering::Relaxed);
    loading.await.unwrap();

    workspace.run(&["run", "--until-current"]).good();
    workspace.run(&["verify"]).good();
    let ops: Vec<u64> =
        workspace.json(&["buckets", "dump", "--ops"]).iter().map(|op| op["op_id"].as_u64().unwrap()).collect();
    assert_eq!(ops.iter().collect::<BTreeSet<_>>().len(), ops.len(), "an op is there twice");
    let rows = workspace.rows();
    assert_eq!(rows.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(), rows.len(), "a row is there twice");
    let count = "SELECT (SELECT COUNT(*) FROM t) + (SELECT COUNT(*) FROM u)";
    let count = server.value(&count.replace("FROM ", &format!("FROM `{database}`."))).await.unwrap();
    assert_eq!(Some(rows.len().to_string()), count);
}
