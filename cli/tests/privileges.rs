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

/// What clients have of a table stays when its definition changes while the table is hidden; the others change.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_config_that_changes_while_a_table_is_hidden() {
    require_server!(Flavor::MySql);
    let server = Server::start(Flavor::MySql, ServerOptions::new()).await.unwrap();
    let database = server.create_database("shop").await.unwrap();
    let tables = "CREATE TABLE hidden (id INT PRIMARY KEY, a INT, b INT); INSERT INTO hidden VALUES (1, 10, 11);
                  CREATE TABLE seen (id INT PRIMARY KEY, a INT, b INT); INSERT INTO seen VALUES (1, 20, 21)";
    server.sql_in(&database, tables).await.unwrap();
    server.create_user("ms", "secret", "REPLICATION SLAVE, REPLICATION CLIENT").await.unwrap();
    for table in ["hidden", "seen"] {
        server.sql_in(&database, &format!("GRANT SELECT ON {table} TO ms")).await.unwrap();
    }
    let workspace = Workspace::new();
    workspace.run(&["init", &server.uri("ms", "secret", &database)]).good();
    let config = |column: &str| {
        let query = |table: &str| format!("'SELECT id, {column} FROM {table}'");
        let (hidden, seen) = (query("hidden"), query("seen"));
        let both = format!("both: {{ data: [ {hidden}, {seen} ] }}");
        workspace.write("sync-config.yaml", &format!("bucket_definitions: {{ {both}, seen: {{ data: [ {seen} ] }} }}"));
    };
    let fields = || workspace.rows().into_iter().map(|(id, row)| format!("{id} {row}")).collect::<Vec<_>>();
    config("a");
    workspace.run(&["run", "--until-current"]).good();
    let of_a = [r#"hidden/1 {"id":"1","a":10}"#, r#"seen/1 {"id":"1","a":20}"#, r#"seen/1 {"id":"1","a":20}"#];
    assert_eq!(fields(), of_a);

    server.sql_in(&database, "REVOKE SELECT ON hidden FROM ms").await.unwrap();
    config("b");
    let finished = workspace.run(&["run", "--until-current"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("a changed definition waits for a table that is held"), "{}", finished.stderr);
    assert_eq!(fields(), [of_a[0], of_a[1], r#"seen/1 {"id":"1","b":21}"#]);
    let status = &workspace.json(&["status"])[0];
    let waiting = &status["waiting"][0];
    assert_eq!((waiting["definition"].as_str(), status["waiting"].as_array().unwrap().len()), (Some("both"), 1));
    let grant = format!("GRANT SELECT ON `{database}`.`hidden` TO 'ms'@'%';");
    assert!(waiting["reason"].as_str().unwrap().contains(&grant), "{waiting}");
    assert!(workspace.run(&["status"]).good().contains("waiting: the changed `both`"));

    let running = workspace.follow();
    server.sql_in(&database, "UPDATE seen SET a = 30").await.unwrap();
    wait_for("the former definition to follow its other table", || fields()[1] == r#"seen/1 {"id":"1","a":30}"#);
    server.sql(&grant).await.unwrap();
    let of_b = [r#"hidden/1 {"id":"1","b":11}"#, r#"seen/1 {"id":"1","b":21}"#, r#"seen/1 {"id":"1","b":21}"#];
    wait_for("the whole sync config to be deployed", || fields() == of_b);
    assert_eq!(workspace.json(&["status"])[0].get("waiting"), None);
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
