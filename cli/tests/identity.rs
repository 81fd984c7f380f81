//! Another key for a table: clients download nothing, however often the program is killed meanwhile.

use millstream_testkit::{Flavor, require_server, shared};

use crate::workspace::{Running, Workspace};

/// So many rows of such a size that a pass takes several chunks.
const ROWS: u32 = 6_000;
const ROW_BYTES: u32 = 2_000;

fn ops(workspace: &Workspace) -> String {
    workspace.run(&["buckets", "dump", "--ops", "--json"]).good()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_takes_no_op_even_if_killed_half_way() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("identity").await.unwrap();
    let fill = format!(
        "CREATE TABLE t (id INT PRIMARY KEY, code INT NOT NULL, note TEXT CHARACTER SET latin1);
         SET SESSION cte_max_recursion_depth = {ROWS};
         INSERT INTO t WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS})
         SELECT n, {ROWS} - n, REPEAT(CHAR(97 + n % 26), {ROW_BYTES}) FROM s"
    );
    server.sql_in(&database, &fill).await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    workspace.run(&["run", "--until-current"]).good();
    let before = ops(&workspace);
    assert_eq!(before.lines().count(), ROWS as usize);

    // Where a run with so many commits ends by itself, nothing is killed.
    let keys = ["DROP PRIMARY KEY, ADD PRIMARY KEY (code)", "DROP PRIMARY KEY", "ADD PRIMARY KEY (id, code)"];
    let mut deaths = 0;
    for (key, commits) in keys.into_iter().cycle().zip([1, 3, 4, 5, 6, 8, 12]) {
        server.sql_in(&database, &format!("ALTER TABLE t {key}")).await.unwrap();
        let mut command = workspace.command(&["run", "--until-current"]);
        command.env("MILLSTREAM_KILL_AT", format!("after_commit:{commits}"));
        deaths += u32::from(Running::spawn(command).wait().code.is_none());
        workspace.run(&["run", "--until-current"]).good();
        assert!(ops(&workspace) == before, "{key}, killed after {commits} commits");
    }
    assert!(deaths >= 4, "only {deaths} were killed");
    workspace.run(&["verify"]).good();
    let history = workspace.json(&["schema", "--history"]);
    assert!(history.len() >= 7 && history.iter().all(|line| line["ops_written"] == 0), "{history:?}");

    // What clients know goes on under the new key: one op for a row that changes.
    server.sql_in(&database, "UPDATE t SET note = 'x' WHERE id = 5; DELETE FROM t WHERE id = 6").await.unwrap();
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(ops(&workspace).lines().count(), ROWS as usize + 2);
    assert_eq!(workspace.rows().len(), ROWS as usize - 1);
    workspace.run(&["verify"]).good();
}
