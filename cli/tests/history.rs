//! What the history tells of alterations that also replace rows.

use millstream_testkit::{Flavor, ServerOptions, require_server, shared_with};
use serde_json::{Value, json};

use crate::workspace::Workspace;

/// Statements, each with the ops that it takes and what the history keeps of it.
const STATEMENTS: [(&str, u64, &str, &str); 4] = [
    ("ALTER TABLE p DROP PARTITION p0", 4, "altered", "ALTER TABLE p DROP PARTITION p0"),
    (
        "ALTER TABLE d DROP COLUMN a, ADD COLUMN a INT DEFAULT 5",
        2,
        "altered",
        "ALTER TABLE d DROP COLUMN a, ADD COLUMN a INT DEFAULT 5",
    ),
    (
        "SET SESSION binlog_format = STATEMENT; UPDATE d SET b = 'my secret' WHERE id = 2",
        1,
        "rows replaced",
        "UPDATE d SET b = ? WHERE id = ?",
    ),
    ("TRUNCATE TABLE p", 2, "truncated", "TRUNCATE TABLE p"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_alteration_is_one_line_with_its_statement_on_mysql() {
    require_server!(Flavor::MySql);
    one_line_each(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alteration_is_one_line_with_its_statement_on_mariadb() {
    require_server!(Flavor::MariaDb);
    one_line_each(Flavor::MariaDb).await;
}

async fn one_line_each(flavor: Flavor) {
    // Not where other tests' sources would read everything again on account of a statement.
    let server = shared_with(flavor, "statements", ServerOptions::new()).await.unwrap();
    let database = server.create_database("history").await.unwrap();
    let tables = "CREATE TABLE p (id INT PRIMARY KEY) PARTITION BY RANGE (id) \
                  (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20));
                  INSERT INTO p VALUES (1), (2), (3), (4), (11), (12);
                  CREATE TABLE d (id INT PRIMARY KEY, a INT, b VARCHAR(20)); INSERT INTO d VALUES (1, 1, 'x'), (2, 2, 'y')";
    server.sql_in(&database, tables).await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    server.sql(&format!("GRANT TRIGGER, SHOW VIEW ON *.* TO ms_{database}")).await.unwrap();
    let running = workspace.follow();
    workspace.run(&["verify"]).good();
    for (statements, ..) in STATEMENTS {
        server.sql_in(&database, statements).await.unwrap();
        workspace.run(&["verify"]).good();
    }
    let history = workspace.json(&["schema", "--history"]);
    let told = |line: &Value| (line["statement"].clone(), line["change"].clone(), line["ops_written"].clone());
    let expected: Vec<_> =
        STATEMENTS.iter().map(|(_, ops, change, kept)| (json!(kept), json!(change), json!(ops))).collect();
    assert_eq!(history.iter().map(told).collect::<Vec<_>>(), expected, "{history:#?}");
    let read: Vec<_> = history.iter().map(|line| line["rows_read"].as_u64().unwrap()).collect();
    assert_eq!(read, [2, 2, 2, 0]);
    assert!(history.iter().all(|line| line["duration_ms"].is_u64()), "{history:#?}");
    running.signal("TERM");
    let log = running.wait();
    assert!(!log.stderr.contains("my secret"), "{}", log.stderr);
}
