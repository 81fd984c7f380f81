//! Another key for a table of a SQL Server, whose capture it interrupts: clients download nothing.

use std::time::Duration;

use millstream_sqlserver_sim::{Options, Schedule, SqlServerSim};

use crate::workspace::{Workspace, wait_for};

const ROWS: usize = 500;

fn database(sim: &SqlServerSim, script: &str) {
    sim.run_script(&format!("USE shop;\nGO\n{script}")).unwrap_or_else(|error| panic!("{error}\n{script}"));
}

fn capture(sim: &SqlServerSim) {
    database(
        sim,
        "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, \
         @supports_net_changes = 0",
    );
}

/// The server refuses to change the key of a table that is captured.
fn change_key(sim: &SqlServerSim, columns: &str) {
    database(
        sim,
        "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N't', @capture_instance = N'all'",
    );
    database(sim, "ALTER TABLE dbo.t DROP CONSTRAINT k");
    database(sim, &format!("ALTER TABLE dbo.t ADD CONSTRAINT k PRIMARY KEY ({columns})"));
    capture(sim);
}

fn workspace(sim: &SqlServerSim, password: &str) -> Workspace {
    let workspace = Workspace::new();
    let port = sim.address().port();
    let config = format!(
        "sources:\n  - name: shop\n    type: sqlserver\n    uri: mssql://sa@localhost:{port}/shop\n    \
         password: {password}\n    tls:\n      mode: required\n    poll_interval_ms: 50\n"
    );
    workspace.write("millstream.yaml", &config);
    workspace.write("sync-config.yaml", "bucket_definitions:\n  all:\n    data:\n      - SELECT * FROM t\n");
    workspace
}

fn ops(workspace: &Workspace) -> String {
    workspace.run(&["buckets", "dump", "--ops", "--json"]).good()
}

#[test]
fn another_key_takes_no_op_on_sql_server() {
    let options = Options { schedule: Schedule::Every(Duration::from_millis(20)), ..Options::default() };
    let sim = SqlServerSim::start(&options).unwrap();
    sim.run_script("CREATE DATABASE shop").unwrap();
    database(&sim, "EXEC sys.sp_cdc_enable_db");
    database(&sim, "CREATE TABLE dbo.t (id int NOT NULL, n int NOT NULL, a int, CONSTRAINT k PRIMARY KEY (id))");
    let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, {}, {})", ROWS - id, id % 7)).collect();
    database(&sim, &format!("INSERT INTO dbo.t VALUES {}", rows.join(", ")));
    capture(&sim);
    let workspace = workspace(&sim, &options.password);
    workspace.run(&["run", "--until-current"]).good();
    let before = ops(&workspace);
    assert_eq!(before.lines().count(), ROWS);

    // While nobody follows.
    change_key(&sim, "id, n");
    workspace.run(&["run", "--until-current"]).good();
    assert!(ops(&workspace) == before, "a key changed between two runs");
    let history = workspace.json(&["schema", "--history"]);
    assert!(!history.is_empty() && history.iter().all(|line| line["ops_written"] == 0), "{history:#?}");
    assert_eq!(history.iter().filter_map(|line| line["rows_read"].as_u64()).sum::<u64>(), ROWS as u64, "{history:#?}");

    // And while it is followed.
    let running = workspace.follow();
    change_key(&sim, "n");
    let has_read_again = || {
        let history = workspace.json(&["schema", "--history"]);
        history.iter().filter_map(|line| line["rows_read"].as_u64()).sum::<u64>() >= 2 * ROWS as u64
    };
    wait_for("the table to be read by its new key", has_read_again);
    workspace.run(&["verify"]).good();
    running.signal("TERM");
    running.wait();
    assert!(ops(&workspace) == before, "a key changed while it was followed");

    // What clients know goes on under the new key: one op for a row that changes.
    database(&sim, "UPDATE dbo.t SET a = 100 WHERE id = 5; DELETE FROM dbo.t WHERE id = 6");
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(ops(&workspace).lines().count(), ROWS + 2);
    assert_eq!(workspace.rows().len(), ROWS - 1);
}
