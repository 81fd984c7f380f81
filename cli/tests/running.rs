//! Commands while `run` is running.

use std::process::{Command, Stdio};

use millstream_testkit::{Flavor, require_server, shared};
use serde_json::json;

use crate::workspace::{Workspace, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_while_run_is_running() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("running").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 10)").await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    let running = workspace.follow();
    wait_for("the first row", || workspace.rows().len() == 1);

    server.sql_in(&database, "INSERT INTO t VALUES (2, 20); ALTER TABLE t ADD COLUMN c INT DEFAULT 5").await.unwrap();
    wait_for("the new column", || workspace.rows().iter().all(|(_, row)| row["c"] == json!(5)));
    assert_eq!(workspace.rows().len(), 2);
    let table = format!("{database}.t");
    assert_eq!(workspace.json(&["status"])[0]["sources"][0]["tables"][0]["table"], json!(table));
    assert_eq!(workspace.json(&["schema"])[0][0]["columns"].as_array().unwrap().len(), 3);
    assert_eq!(workspace.json(&["schema", "--history"]).len(), 1);
    assert_eq!(workspace.json(&["buckets"])[0]["rows"], 2);
    assert!(!workspace.json(&["buckets", "dump", "everything[]", "--ops"]).is_empty());
    let dumped = workspace.run(&["buckets", "--json", "dump"]);
    assert_eq!((dumped.code, dumped.lines_json().len()), (Some(0), 2), "{}", dumped.stderr);
    let reloaded = &workspace.json(&["reload", "t"])[0];
    assert_eq!((&reloaded["rows_read"], &reloaded["ops_written"]), (&json!(2), &json!(0)));
    let verified = &workspace.json(&["verify", &table])[0];
    assert_eq!(verified["tables"][0]["rows_compared"], 2);
    assert_eq!(verified["equal"], json!(true));

    let said = workspace.run(&["run"]).failed(1);
    assert!(said.contains("another `millstream run`"), "{said}");
    running.signal("INT");
    let finished = running.wait();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!workspace.path("millstream-data/control.sock").exists());
    assert_eq!(workspace.rows().len(), 2, "and when it isn't running");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_meanwhile_are_told_until_they_are_deployed() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("outdated").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    let outdated = || workspace.json(&["status"])[0]["outdated_files"].clone();
    let running = workspace.follow();
    assert_eq!(outdated(), json!(null));
    assert!(!workspace.run(&["check"]).good().contains("sync-config.yaml"));
    let before = workspace.read("sync-config.yaml");
    workspace.write("sync-config.yaml", &format!("{before}# a change\n"));
    assert_eq!(outdated(), json!(["sync-config.yaml"]));
    for command in ["status", "check"] {
        let said = workspace.run(&[command]).good();
        assert!(said.contains("sync-config.yaml") && said.contains("restart `millstream run`"), "{said}");
    }
    workspace.write("sync-config.yaml", &before);
    assert_eq!(outdated(), json!(null), "it is as it was");
    let before = workspace.read("millstream.yaml");
    workspace.write("millstream.yaml", &format!("{before}# a change\n"));
    assert_eq!(outdated(), json!(["millstream.yaml"]));
    // A fault doesn't concern whoever only asks the `run` in progress.
    workspace.write("millstream.yaml", &before.replace("uri:", "urii:"));
    assert_eq!(outdated(), json!(["millstream.yaml"]));
    let asked = workspace.run(&["schema"]);
    assert_eq!(asked.code, Some(0), "{}", asked.stderr);
    assert!(asked.stderr.contains("warning:") && asked.stderr.contains("`urii`"), "{}", asked.stderr);
    running.signal("INT");
    running.wait().good();
    let said = workspace.run(&["status"]).failed(1);
    assert!(said.contains("`urii`"), "{said}");
    workspace.write("millstream.yaml", &before);
    let running = workspace.follow();
    assert_eq!(outdated(), json!(null));
    running.signal("INT");
    running.wait().good();
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_shown_and_mended() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("differences").await.unwrap();
    server
        .sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
        .await
        .unwrap();
    let workspace = Workspace::on(&server, &database).await;
    workspace.run(&["run", "--until-current"]).good();
    // Changes that no log tells of.
    server
        .sql_in(
            &database,
            "SET SESSION sql_log_bin = 0; UPDATE t SET n = 9 WHERE id = 1; DELETE FROM t WHERE id = 2;
             INSERT INTO t VALUES (4, 4)",
        )
        .await
        .unwrap();
    let finished = workspace.run(&["verify", "--json"]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let table = &finished.lines_json()[0]["tables"][0];
    assert_eq!(table["differences_total"], 3);
    let mut kinds: Vec<&str> = table["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| difference["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["changed", "extra", "missing"]);
    let said = workspace.run(&["verify"]).failed(1);
    assert!(said.contains("3 differences") && said.contains("millstream reload"), "{said}");

    assert_eq!(workspace.json(&["reload", "t"])[0]["ops_written"], 3);
    workspace.run(&["verify"]).good();
    assert_eq!(workspace.rows().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_enough_is_no_error() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("pipe").await.unwrap();
    server
        .sql_in(
            &database,
            "CREATE TABLE t (id INT PRIMARY KEY, filler CHAR(200) DEFAULT 'x');
             SET SESSION cte_max_recursion_depth = 10000;
             INSERT INTO t (id) WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 5000) SELECT n FROM s",
        )
        .await
        .unwrap();
    let workspace = Workspace::on(&server, &database).await;
    workspace.run(&["run", "--until-current"]).good();
    let mut command = workspace.command(&["buckets", "dump"]);
    let mut dump = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let head = Command::new("head").arg("-n1").stdin(dump.stdout.take().unwrap()).output().unwrap();
    assert_eq!(head.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    let ended = dump.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sources_feed_the_same_buckets() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    let (mysql, mariadb) = (shared(Flavor::MySql).await.unwrap(), shared(Flavor::MariaDb).await.unwrap());
    let workspace = Workspace::new();
    let mut config = String::from("sources:\n");
    let mut one = String::new();
    for (name, server) in [("one", &mysql), ("two", &mariadb)] {
        let database = server.create_database(name).await.unwrap();
        let sql = format!("CREATE TABLE t_{name} (id INT PRIMARY KEY); INSERT INTO t_{name} VALUES (1)");
        server.sql_in(&database, &sql).await.unwrap();
        let user = format!("u_{database}");
        server.create_replication_user(&user, "secret").await.unwrap();
        let uri = server.uri(&user, "secret", &database);
        config.push_str(&format!("  - name: {name}\n    type: mysql\n    uri: {uri}\n"));
        if name == "one" {
            one = database;
        } else {
            let table = format!("two.{database}.t_two");
            workspace.write(
                "sync-config.yaml",
                &format!("bucket_definitions:\n  all:\n    data:\n      - SELECT * FROM t_one\n      - SELECT * FROM {table}\n"),
            );
        }
    }
    workspace.write("millstream.yaml", &config);
    workspace.run(&["check"]).good();
    workspace.run(&["run", "--until-current"]).good();
    let rows: Vec<String> = workspace.rows().into_iter().map(|(key, _)| key).collect();
    assert_eq!(rows, ["t_one/1", "t_two/1"]);
    let status = &workspace.json(&["status"])[0];
    let position = status["checkpoint"]["position"].as_str().unwrap();
    assert!(position.contains("one=") && position.contains("two="), "{position}");
    assert_eq!(workspace.json(&["verify"])[0]["tables"].as_array().unwrap().len(), 2);
    let said = workspace.run(&["verify"]).good();
    assert!(said.contains("one.") && said.contains("two."), "{said}");
    assert_eq!(workspace.json(&["verify", "--source", "two"])[0]["tables"].as_array().unwrap().len(), 1);
    assert_eq!(workspace.json(&["schema", "--source", "one"])[0].as_array().unwrap().len(), 1);
    mysql.sql_in(&one, "ALTER TABLE t_one ADD COLUMN n INT").await.unwrap();
    workspace.run(&["run", "--until-current"]).good();
    let history = workspace.json(&["schema", "--history"]);
    assert_eq!(history.iter().map(|line| &line["source"]).collect::<Vec<_>>(), ["one"]);
    let said = workspace.run(&["status", "--source", "three"]).failed(1);
    assert!(said.contains("one, two"), "{said}");

    // A name without a source is one of the first: whoever forgets it gets no rows of the second, and is told why.
    workspace.write("sync-config.yaml", "bucket_definitions:\n  all:\n    data:\n      - SELECT * FROM t_one\n");
    let said = workspace.run(&["check"]).good();
    assert!(said.contains("no query reads a table of source two") && said.contains("`two."), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_named_with_its_source_where_several_have_it() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    let (mysql, mariadb) = (shared(Flavor::MySql).await.unwrap(), shared(Flavor::MariaDb).await.unwrap());
    let workspace = Workspace::new();
    let mut config = String::from("sources:\n");
    let mut queries = String::from("bucket_definitions:\n  all:\n    data:\n");
    let mut tables = Vec::new();
    for (name, server) in [("my", &mysql), ("ma", &mariadb)] {
        let database = server.create_database(name).await.unwrap();
        server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await.unwrap();
        let user = format!("u_{database}");
        server.create_replication_user(&user, "secret").await.unwrap();
        let uri = server.uri(&user, "secret", &database);
        config.push_str(&format!("  - name: {name}\n    type: mysql\n    uri: {uri}\n"));
        queries.push_str(&format!("      - SELECT * FROM {name}.{database}.t\n"));
        tables.push(format!("{database}.t"));
    }
    workspace.write("millstream.yaml", &config);
    workspace.write("sync-config.yaml", &queries);
    workspace.run(&["run", "--until-current"]).good();
    let running = workspace.follow();
    let (my, ma) = (format!("my.{}", tables[0]), format!("ma.{}", tables[1]));
    for (name, source) in [(&my, "my"), (&ma, "ma"), (&tables[1], "ma")] {
        assert_eq!(workspace.json(&["reload", name])[0]["source"], json!(source), "{name}");
    }
    let said = workspace.run(&["reload", &ma]).good();
    assert!(said.starts_with(&format!("{ma}: ")), "as it can be typed: {said}");
    let verified = &workspace.json(&["verify", &ma, &my])[0]["tables"];
    assert_eq!(verified.as_array().unwrap().len(), 2, "{verified}");
    for command in ["reload", "verify"] {
        let finished = workspace.run(&[command, "t"]);
        assert_ne!(finished.code, Some(0));
        let said = finished.stderr;
        assert!(said.contains(&format!("write `{}` or `{}`", tables[0], tables[1])), "{said}");
        assert!(workspace.run(&[command, "t", "--source", "ma"]).code == Some(0));
    }
    running.signal("TERM");
    running.wait().good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_sync_config_leaves_the_other_buckets_as_they_are() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("deploy").await.unwrap();
    let tables = "CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1), (2);
                  CREATE TABLE b (id INT PRIMARY KEY, owner INT); INSERT INTO b VALUES (1, 7), (2, 8), (3, 7);";
    server.sql_in(&database, tables).await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    let first = "bucket_definitions:\n  all_a:\n    data:\n      - SELECT * FROM a\n";
    workspace.write("sync-config.yaml", first);
    workspace.run(&["run", "--until-current"]).good();
    let before = workspace.run(&["buckets", "dump", "all_a[]", "--ops", "--json"]).good();
    assert_eq!(before.lines().count(), 2);

    let second = "  by_owner:\n    parameters: SELECT request.parameter('owner') AS owner\n    \
                  accept_potentially_dangerous_queries: true\n    data:\n      - SELECT * FROM b WHERE owner = bucket.owner\n";
    workspace.write("sync-config.yaml", &format!("{first}{second}"));
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(workspace.run(&["buckets", "dump", "all_a[]", "--ops", "--json"]).good(), before);
    let buckets: Vec<(String, u64)> = workspace
        .json(&["buckets"])
        .iter()
        .map(|bucket| (bucket["bucket"].as_str().unwrap().to_owned(), bucket["rows"].as_u64().unwrap()))
        .collect();
    let expected = [("all_a[]", 2), ("by_owner[7]", 2), ("by_owner[8]", 1)];
    assert_eq!(buckets, expected.map(|(name, rows)| (name.to_owned(), rows)));
    workspace.run(&["verify"]).good();

    workspace.write("sync-config.yaml", first);
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(workspace.run(&["buckets", "dump", "--ops", "--json"]).good(), before);
    let status = &workspace.json(&["status"])[0];
    let tables = status["sources"][0]["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 1, "a table that nothing selects any more isn't followed: {tables:?}");
    let said = workspace.run(&["buckets", "dump", "by_owner[7]"]).failed(1);
    assert!(said.contains("no bucket `by_owner[7]`"), "{said}");
    workspace.run(&["verify"]).good();
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_can_be_json() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("logs").await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    let finished = workspace.run(&["run", "--until-current", "--log-format", "json"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""));
    for line in finished.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(line["level"].is_string() && line["message"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    assert!(finished.stderr.lines().count() >= 2, "{}", finished.stderr);
}
