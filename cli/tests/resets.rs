//! Logs that start over under a program that follows them.

use std::time::Duration;

use millstream_testkit::{Endpoint, Flavor, Server, ServerOptions, require_server};
use serde_json::json;

use crate::workspace::{Workspace, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_log_on_mysql() {
    require_server!(Flavor::MySql);
    a_reset_log(Flavor::MySql, "RESET BINARY LOGS AND GTIDS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_log_on_mariadb() {
    require_server!(Flavor::MariaDb);
    a_reset_log(Flavor::MariaDb, "RESET MASTER").await;
}

async fn a_reset_log(flavor: Flavor, reset: &str) {
    let server = Server::start(flavor, ServerOptions::new().gtid(flavor)).await.unwrap();
    let database = server.create_database("shop").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, c VARCHAR(3000))").await.unwrap();
    write(&server, &database, 10).await;
    let workspace = Workspace::on(&server, &database).await;
    let running = workspace.follow();
    workspace.run(&["verify"]).good();
    // Live, at once asked for; live, left alone until it is noticed; live, with a new log that is longer.
    for (rows, pause) in [(1, 0), (1, 3), (60, 0)] {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        server.sql(reset).await.unwrap();
        write(&server, &database, rows).await;
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let said = workspace.run(&["verify", "--json"]);
        assert_eq!(said.code, Some(0), "{rows} rows, {pause} s: {} {}", said.stdout, said.stderr);
    }
    running.signal("TERM");
    let followed = running.wait();
    assert_eq!(followed.code, Some(0), "{}", followed.stderr);
    // Stopped, with a log of another length.
    for rows in [1, 100] {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        server.sql(reset).await.unwrap();
        write(&server, &database, rows).await;
        workspace.run(&["run", "--until-current"]).good();
        assert_eq!(workspace.json(&["verify"])[0]["equal"], json!(true));
    }
    let history = workspace.json(&["schema", "--history"]);
    let lost: Vec<_> = history.iter().filter(|line| line["change"] == "log lost").collect();
    assert_eq!(lost.len(), 5, "{history:?}\n{}", followed.stderr);
    // A reset may be noticed before the first row of the new log is written.
    assert!(
        lost.iter().all(|line| line["effect"] == "reconcile" && line["rows_read"].as_u64() >= Some(10)),
        "{lost:?}"
    );
    // What was deleted while the log was away is gone.
    server
        .sql_in(&database, &format!("SET sql_log_bin = 0; DELETE FROM t WHERE id < 5; SET sql_log_bin = 1; {reset}"))
        .await
        .unwrap();
    workspace.run(&["run", "--until-current"]).good();
    assert!(workspace.rows().iter().all(|(id, _)| id != "t/1"));
    workspace.run(&["verify"]).good();
}

async fn write(server: &Endpoint, database: &str, rows: usize) {
    let statements = "INSERT INTO t (c) VALUES (REPEAT('x', 2000));".repeat(rows);
    server.sql_in(database, &statements).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_may_not_be_read_any_more() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let server = millstream_testkit::shared(flavor).await.unwrap();
        let database = server.create_database("revoked").await.unwrap();
        let tables =
            "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO t VALUES (1)";
        server.sql_in(&database, tables).await.unwrap();
        let user = format!("ms_{database}");
        server.create_user(&user, "secret", "REPLICATION SLAVE, REPLICATION CLIENT").await.unwrap();
        server.sql_in(&database, &format!("GRANT SELECT ON t TO {user}; GRANT SELECT ON u TO {user}")).await.unwrap();
        let workspace = Workspace::new();
        workspace.run(&["init", &server.uri(&user, "secret", &database)]).good();
        let running = workspace.follow();
        workspace.run(&["verify"]).good();
        let change =
            format!("REVOKE SELECT ON t FROM {user}; ALTER TABLE t ADD COLUMN c INT; INSERT INTO u VALUES (1)");
        server.sql_in(&database, &change).await.unwrap();
        let of_t = || {
            let status = workspace.json(&["status"]).remove(0);
            status["sources"][0]["tables"]
                .as_array()
                .unwrap()
                .iter()
                .find(|table| table["table"] == format!("{database}.t"))
                .cloned()
                .unwrap()
        };
        wait_for("the table to be held", || of_t()["state"] == "held");
        let reason = of_t()["reason"].as_str().unwrap().to_owned();
        let grant = format!("GRANT SELECT ON `{database}`.`t` TO '{user}'@'%';");
        assert!(reason.contains(&grant), "{reason}");
        // The rest is compared.
        let finished = workspace.run(&["verify", "--json"]);
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        let report = finished.lines_json().remove(0);
        assert_eq!(report["tables"].as_array().unwrap().len(), 1, "{report}");
        assert!(report["not_compared"][0]["reason"].as_str().unwrap().contains(&grant), "{report}");
        server.sql(&grant).await.unwrap();
        wait_for("the table to be live again", || of_t()["state"] == "live");
        workspace.run(&["verify"]).good();
        drop(running);
    }
}
