//! Another key for a table of a SQL Server, whose capture it interrupts: clients download nothing.

use crate::sqlserver_shop::SqlServerShop;
use crate::workspace::{Workspace, wait_for};

const ROWS: usize = 500;

/// The server refuses to change the key of a table that is captured.
fn change_key(shop: &SqlServerShop, columns: &str) {
    shop.sql("EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N't', @capture_instance = N'all'");
    shop.sql("ALTER TABLE dbo.t DROP CONSTRAINT k");
    shop.sql(&format!("ALTER TABLE dbo.t ADD CONSTRAINT k PRIMARY KEY ({columns})"));
    shop.capture("dbo_t");
}

fn ops(workspace: &Workspace) -> String {
    workspace.run(&["buckets", "dump", "--ops", "--json"]).good()
}

#[test]
fn another_key_takes_no_op_on_sql_server() {
    let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, {}, {})", ROWS - id, id % 7)).collect();
    let script = format!(
        "CREATE TABLE dbo.t (id int NOT NULL, n int NOT NULL, a int, CONSTRAINT k PRIMARY KEY (id)); \
         INSERT INTO dbo.t VALUES {}",
        rows.join(", ")
    );
    let shop = SqlServerShop::with_job(&script, "");
    let workspace = &shop.workspace;
    workspace.run(&["run", "--until-current"]).good();
    let before = ops(workspace);
    assert_eq!(before.lines().count(), ROWS);

    // While nobody follows.
    change_key(&shop, "id, n");
    workspace.run(&["run", "--until-current"]).good();
    assert!(ops(workspace) == before, "a key changed between two runs");
    let history = workspace.json(&["schema", "--history"]);
    assert!(!history.is_empty() && history.iter().all(|line| line["ops_written"] == 0), "{history:#?}");
    assert_eq!(history.iter().filter_map(|line| line["rows_read"].as_u64()).sum::<u64>(), ROWS as u64, "{history:#?}");

    // And while it is followed.
    let running = workspace.follow();
    change_key(&shop, "n");
    let has_read_again = || {
        let history = workspace.json(&["schema", "--history"]);
        history.iter().filter_map(|line| line["rows_read"].as_u64()).sum::<u64>() >= 2 * ROWS as u64
    };
    wait_for("the table to be read by its new key", has_read_again);
    workspace.run(&["verify"]).good();
    running.signal("TERM");
    running.wait();
    assert!(ops(workspace) == before, "a key changed while it was followed");

    // What clients know goes on under the new key: one op for a row that changes.
    shop.sql("UPDATE dbo.t SET a = 100 WHERE id = 5; DELETE FROM dbo.t WHERE id = 6");
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(ops(workspace).lines().count(), ROWS + 2);
    assert_eq!(workspace.rows().len(), ROWS - 1);
}
