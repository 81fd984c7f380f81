//! Several sources, one of which is followed no more.

use millstream_testkit::{Endpoint, Flavor, require_server, shared};
use serde_json::{Value, json};

use crate::workspace::{Workspace, wait_for};

/// Two databases of one server, each followed by a user of its own, which can be locked out.
struct Two {
    server: Endpoint,
    workspace: Workspace,
    databases: Vec<String>,
}

impl Two {
    async fn new() -> Self {
        let server = shared(Flavor::MySql).await.unwrap();
        let workspace = Workspace::new();
        let (mut config, mut databases) = (String::from("sources:\n"), Vec::new());
        for name in ["one", "two"] {
            let database = server.create_database(name).await.unwrap();
            server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await.unwrap();
            server.create_replication_user(&format!("u_{database}"), "secret").await.unwrap();
            let uri = server.uri(&format!("u_{database}"), "secret", &database);
            config.push_str(&format!("  - name: {name}\n    type: mysql\n    uri: {uri}\n"));
            databases.push(database);
        }
        workspace.write("millstream.yaml", &config);
        let queries: String = ["one", "two"]
            .iter()
            .zip(&databases)
            .map(|(name, database)| format!("      - SELECT * FROM {name}.{database}.t\n"))
            .collect();
        workspace.write("sync-config.yaml", &format!("bucket_definitions:\n  all:\n    data:\n{queries}"));
        Self { server, workspace, databases }
    }

    /// The second source needs a new connection, and doesn't get it.
    async fn lock_out(&self) {
        let user = format!("u_{}", self.databases[1]);
        self.server.sql(&format!("ALTER USER {user} IDENTIFIED BY 'another'")).await.unwrap();
        let query = format!("SELECT id FROM information_schema.processlist WHERE user = '{user}'");
        for row in self.server.rows(&query).await.unwrap() {
            // It may have gone by itself.
            let _killed = self.server.sql(&format!("KILL {}", row[0].as_ref().unwrap())).await;
        }
    }

    fn status_of_second(&self) -> Value {
        self.workspace.json(&["status"])[0]["sources"][1].clone()
    }

    fn verify(&self) -> Value {
        let finished = self.workspace.run(&["verify", "--json"]);
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        finished.lines_json().remove(0)
    }

    fn check_verified(&self, verified: &Value) {
        assert_eq!(verified["equal"], json!(false));
        assert_eq!(verified["tables"][0]["table"], json!(format!("{}.t", self.databases[0])), "{verified}");
        let missing = &verified["not_compared"][0];
        assert_eq!(
            (&missing["source"], &missing["table"]),
            (&json!("two"), &json!(format!("{}.t", self.databases[1])))
        );
        assert!(missing["reason"].as_str().unwrap().contains("Access denied"), "{verified}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_no_more_is_told_by_every_command() {
    require_server!(Flavor::MySql);
    let two = Two::new().await;
    let running = two.workspace.follow();
    wait_for("both tables", || two.workspace.rows().len() == 2);
    two.lock_out().await;
    wait_for("the end of the second source", || {
        two.status_of_second()["reason"].as_str().is_some_and(|reason| reason.contains("isn't being followed any more"))
    });
    let second = two.status_of_second();
    let reason = second["reason"].as_str().unwrap();
    assert!(
        reason.contains("Access denied") && reason.contains("assword") && reason.contains("start millstream again"),
        "{reason}"
    );
    assert_eq!(second["behind_ms"], json!(null));
    let said = two.workspace.run(&["status", "--source", "two"]).good();
    assert!(said.contains("trouble:") && !said.contains("up to date"), "{said}");
    two.check_verified(&two.verify());
    let said = two.workspace.run(&["reload", &format!("{}.t", two.databases[1])]).failed(1);
    assert!(said.contains("Access denied"), "{said}");
    // The other one goes on.
    two.server.sql_in(&two.databases[0], "INSERT INTO t VALUES (2)").await.unwrap();
    wait_for("a row of the first source", || two.workspace.rows().len() == 3);
    running.signal("INT");
    let finished = running.wait();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("source two"), "{}", finished.stderr);

    two.workspace.run(&["run", "--until-current"]).failed(1);
    two.check_verified(&two.verify());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_works_alone_answers_what_others_ask() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("alone").await.unwrap();
    server
        .sql_in(
            &database,
            "CREATE TABLE t (id INT PRIMARY KEY); SET SESSION cte_max_recursion_depth = 100000;
             INSERT INTO t WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 60000) SELECT n FROM s",
        )
        .await
        .unwrap();
    let workspace = Workspace::on(&server, &database).await;
    workspace.run(&["run", "--until-current"]).good();
    let before = workspace.read("millstream.yaml");
    workspace
        .write("millstream.yaml", &before.replace("    # rows_per_second_max: 20000", "    rows_per_second_max: 4000"));
    let verify = workspace.start(&["verify"]);
    wait_for("the control socket", || workspace.path("millstream-data/control.sock").exists());
    let said = workspace.run(&["status"]).good();
    assert!(said.contains("`millstream verify`, begun at 20") && said.contains("60000"), "{said}");
    assert_eq!(workspace.json(&["buckets"])[0]["rows"], 60_000);
    for (command, code) in [(&["verify"][..], 2), (&["reload", "t"], 1), (&["run"], 1)] {
        let said = workspace.run(command).failed(code);
        assert!(
            said.contains("`millstream verify`, begun at 20") && said.contains("wait until it has ended"),
            "{said}"
        );
    }
    assert!(verify.wait().good().contains("Equal:"));
    assert!(!workspace.path("millstream-data/control.sock").exists());
}
