//! Privileges that are taken away and given back.

use millstream_testkit::{Flavor, Server, ServerOptions, require_server};

use crate::workspace::{Workspace, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_lost_while_a_table_is_hidden_on_mysql() {
    require_server!(Flavor::MySql);
    a_lost_log(Flavor::MySql, "RESET BINARY LOGS AND GTIDS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_lost_while_a_table_is_hidden_on_mariadb() {
    require_server!(Flavor::MariaDb);
    a_lost_log(Flavor::MariaDb, "RESET MASTER").await;
}

/// The rows of a hidden table stay, as they may still be there; those of a table that is gone don't.
async fn a_lost_log(flavor: Flavor, reset: &str) {
    let server = Server::start(flavor, ServerOptions::new()).await.unwrap();
    let database = server.create_database("shop").await.unwrap();
    let tables = "CREATE TABLE hidden (id INT PRIMARY KEY); INSERT INTO hidden VALUES (1), (2);
                  CREATE TABLE gone (id INT PRIMARY KEY); INSERT INTO gone VALUES (1);
                  CREATE TABLE seen (id INT PRIMARY KEY); INSERT INTO seen VALUES (1)";
    server.sql_in(&database, tables).await.unwrap();
    server.create_user("ms", "secret", "REPLICATION SLAVE, REPLICATION CLIENT").await.unwrap();
    for table in ["hidden", "gone", "seen"] {
        server.sql_in(&database, &format!("GRANT SELECT ON {table} TO ms")).await.unwrap();
    }
    let workspace = Workspace::new();
    workspace.run(&["init", &server.uri("ms", "secret", &database)]).good();
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(ids(&workspace), ["gone/1", "hidden/1", "hidden/2", "seen/1"]);

    let meanwhile =
        format!("REVOKE SELECT ON hidden FROM ms; DROP TABLE gone; DELETE FROM hidden WHERE id = 2; {reset}");
    server.sql_in(&database, &meanwhile).await.unwrap();
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(ids(&workspace), ["hidden/1", "hidden/2", "seen/1"]);
    let (state, reason) = hidden(&workspace);
    assert_eq!(state, "held");
    let grant = format!("GRANT SELECT ON `{database}`.`hidden` TO 'ms'@'%';");
    assert!(reason.contains(&grant), "{reason}");
    let history = workspace.json(&["schema", "--history"]);
    let held = history.iter().find(|line| line["table"].as_str().unwrap().ends_with(".hidden")).unwrap();
    assert_eq!((held["change"].as_str(), held["effect"].as_str()), (Some("log lost"), Some("hold")), "{history:#?}");
    assert!(history.iter().all(|line| line["position"].as_str().unwrap().contains(" begun=")), "{history:#?}");

    let running = workspace.follow();
    server.sql(&grant).await.unwrap();
    wait_for("the table to be live again", || hidden(&workspace).0 == "live");
    assert_eq!(ids(&workspace), ["hidden/1", "seen/1"]);
    workspace.run(&["verify"]).good();
    running.signal("TERM");
    running.wait().good();
}

fn ids(workspace: &Workspace) -> Vec<String> {
    workspace.rows().into_iter().map(|(id, _)| id).collect()
}

/// The state of the hidden table, and why.
fn hidden(workspace: &Workspace) -> (String, String) {
    let status = &workspace.json(&["status"])[0];
    let tables = status["sources"][0]["tables"].as_array().unwrap();
    let table = tables.iter().find(|table| table["table"].as_str().unwrap().ends_with(".hidden")).unwrap();
    let text = |key: &str| table[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}
