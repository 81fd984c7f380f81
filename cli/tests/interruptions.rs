//! Whatever ends `run`, nothing is lost.

use std::process::Command;

use millstream_testkit::{Flavor, Server, ServerOptions, require_server, shared};

use crate::workspace::{Running, Workspace, wait_for};

/// More than one row a transaction, so that a kill may fall into one.
async fn load(server: &millstream_testkit::Endpoint, database: &str, from: u32, count: u32) {
    for first in (from..from + count).step_by(50) {
        let values: Vec<String> = (first..first + 50).map(|id| format!("({id}, {})", id * 7)).collect();
        server.sql_in(database, &format!("INSERT INTO t VALUES {}", values.join(","))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_continues_where_it_was() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("killed").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY, n INT)").await.unwrap();
    load(&server, &database, 0, 2000).await;
    let workspace = Workspace::on(&server, &database).await;
    for round in 1..=3 {
        let running = workspace.follow();
        load(&server, &database, round * 10_000, 1000).await;
        running.signal("KILL");
        assert_eq!(running.wait().code, None);
        assert!(workspace.path("millstream-data/control.sock").exists(), "a killed process leaves its socket");
        // Nobody listens at the socket that was left; the store answers.
        workspace.run(&["status"]).good();
    }
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(workspace.rows().len(), 5000);
    let ops = workspace.json(&["buckets", "dump", "--ops"]);
    let mut ids: Vec<u64> = ops.iter().map(|op| op["op_id"].as_u64().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), ops.len(), "no op twice");
    assert_eq!(ops.len(), 5000, "and no row put twice");
    workspace.run(&["verify"]).good();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_cleanly() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("sigterm").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY, n INT)").await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    let running = workspace.follow();
    running.signal("TERM");
    let finished = running.wait();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("stopped"), "{}", finished.stderr);
}

#[test]
fn ctrl_c_stops_what_has_not_begun_yet() {
    // Something that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let workspace = Workspace::new();
    let uri = format!("mysql://root@{}/shop", silent.local_addr().unwrap());
    workspace.write("millstream.yaml", &format!("sources:\n  - name: shop\n    type: mysql\n    uri: {uri}\n"));
    workspace.write("sync-config.yaml", "bucket_definitions:\n  all:\n    data:\n      - SELECT * FROM t\n");
    let running = workspace.start(&["run"]);
    let _connection = silent.accept().unwrap();
    let asked = std::time::Instant::now();
    running.signal("INT");
    let finished = running.wait();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("stopped before"), "{}", finished.stderr);
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_waited_for() {
    require_server!(Flavor::MySql);
    let mut server = Server::start(Flavor::MySql, ServerOptions::new()).await.unwrap();
    let database = server.create_database("away").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1)").await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    let running = workspace.follow();
    wait_for("the first row", || workspace.rows().len() == 1);
    server.kill().await.unwrap();
    wait_for("the trouble to be shown", || workspace.run(&["status"]).good().contains("trying again"));
    let said = workspace.run(&["verify"]).failed(2);
    assert!(said.contains("can't be reached"), "{said}");
    server.restart().await.unwrap();
    server.sql_in(&database, "INSERT INTO t VALUES (2, 2)").await.unwrap();
    wait_for("the second row", || workspace.rows().len() == 2);
    workspace.run(&["verify"]).good();
    running.signal("INT");
    assert_eq!(running.wait().code, Some(0));
    // And when it is away while nothing runs: what is stored can be seen all the same.
    server.kill().await.unwrap();
    let status = workspace.run(&["status"]).good();
    assert!(status.contains("trouble"), "{status}");
    assert_eq!(workspace.rows().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_survived() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("full").await.unwrap();
    server
        .sql_in(
            &database,
            "CREATE TABLE t (id INT PRIMARY KEY, filler VARCHAR(2000));
             SET SESSION cte_max_recursion_depth = 100000;
             INSERT INTO t WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 8000)
             SELECT n, CONCAT(SHA2(n, 512), SHA2(-n, 512), SHA2(n / 3, 512), SHA2(n / 7, 512), SHA2(n / 9, 512)) FROM s",
        )
        .await
        .unwrap();
    let workspace = Workspace::on(&server, &database).await;
    // In a name space of its own, where a small file system can be mounted that nobody else sees.
    let script = "mount -t tmpfs -o size=4m tmpfs millstream-data || exit 9
        \"$0\" run --until-current && exit 8
        mount -o remount,size=200m millstream-data || exit 7
        \"$0\" run --until-current && \"$0\" verify";
    std::fs::create_dir(workspace.path("millstream-data")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_millstream")]);
    command.current_dir(workspace.path(""));
    let finished = Running::spawn(command).wait();
    let said = &finished.stderr;
    assert!(said.contains("No space is left") && said.contains("Make space"), "{said}");
    assert!(finished.good().contains("Equal: 8000 rows"));
}
