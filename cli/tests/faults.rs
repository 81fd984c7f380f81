//! Bad set-ups: what is wrong, where, and how to mend it.

use std::fs;

use millstream_testkit::{Flavor, Server, ServerOptions, require_server, shared};

use crate::workspace::Workspace;

const SYNC_CONFIG: &str = "bucket_definitions:\n  all:\n    data:\n      - SELECT * FROM t\n";

/// A workspace with this source.
fn configured(uri: &str) -> Workspace {
    let workspace = Workspace::new();
    workspace.write("millstream.yaml", &format!("sources:\n  - name: shop\n    type: mysql\n    uri: {uri}\n"));
    workspace.write("sync-config.yaml", SYNC_CONFIG);
    workspace
}

/// `check` and `run` both say so, and neither shows the password.
#[track_caller]
fn assert_told(workspace: &Workspace, expected: &[&str]) {
    for command in [&["check"][..], &["run", "--until-current"]] {
        let said = workspace.run(command).failed(1);
        for part in expected {
            assert!(
                said.to_lowercase().contains(&part.to_lowercase()),
                "`{part}` isn't in what {command:?} said:\n{said}"
            );
        }
        assert!(!said.contains("topsecret"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("password").await.unwrap();
    let workspace = configured(&server.uri("root", "topsecret", &database));
    assert_told(&workspace, &["access denied", "password"]);
    let said = workspace.run(&["init", "--force", &server.uri("root", "topsecret", &database)]).failed(1);
    assert!(said.to_lowercase().contains("access denied") && !said.contains("topsecret"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_changed_since() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("changed").await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    workspace.run(&["run", "--until-current"]).good();
    server.sql(&format!("ALTER USER 'ms_{database}'@'%' IDENTIFIED BY 'topsecret'")).await.unwrap();
    let said = workspace.run(&["run"]).failed(1);
    assert!(said.to_lowercase().contains("access denied") && said.contains("fix:"), "{said}");
    assert!(workspace.run(&["status"]).good().to_lowercase().contains("access denied"));
    workspace.write("millstream.env", "MILLSTREAM_PASSWORD=topsecret\n");
    workspace.run(&["run", "--until-current"]).good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_host_or_port() {
    assert_told(&configured("mysql://u:topsecret@no-such-host.invalid/d"), &["no-such-host.invalid"]);
    // Port 1 is nobody's.
    assert_told(&configured("mysql://u:topsecret@127.0.0.1:1/d"), &["127.0.0.1:1", "fix:"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_privileges() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("privileges").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
    let user = format!("poor_{database}");
    server.create_user(&user, "topsecret", "").await.unwrap();
    server.sql(&format!("GRANT SELECT ON {database}.* TO '{user}'@'%'")).await.unwrap();
    assert_told(&configured(&server.uri(&user, "topsecret", &database)), &["REPLICATION SLAVE", "GRANT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_privileges_at_all() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("nothing").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
    let user = format!("poor_{database}");
    server.create_user(&user, "topsecret", "").await.unwrap();
    let uri = server.uri(&user, "topsecret", &database);
    // All that is missing at once, each with the statement.
    let grants = [
        format!("GRANT REPLICATION SLAVE ON *.* TO '{user}'@'%';"),
        format!("GRANT REPLICATION CLIENT ON *.* TO '{user}'@'%';"),
        format!("GRANT SELECT ON `{database}`.`t` TO '{user}'@'%';"),
    ];
    let workspace = configured(&uri);
    assert_told(&workspace, &grants.each_ref().map(String::as_str));
    // Nothing can be seen that a file could be made of.
    let said = workspace.run(&["init", "--force", &uri]).failed(1);
    assert!(said.contains(&format!("GRANT SELECT ON `{database}`.* TO '{user}'@'%';")), "{said}");
    server.sql(&grants.concat()).await.unwrap();
    workspace.run(&["run", "--until-current"]).good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_isnt_there() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("misnamed").await.unwrap();
    let uri = server.uri("root", "", &database.replace("named", "mamed"));
    let meant = format!("did you mean {database}?");
    assert_told(&configured(&uri), &["the server has no such database", &meant]);
    let said = Workspace::new().run(&["init", &uri]).failed(1);
    assert!(said.contains(&meant), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_what_it_can_see_of_a_server_that_isnt_set_up() {
    require_server!(Flavor::MySql);
    let server = Server::start(Flavor::MySql, ServerOptions::new().flag("skip-log-bin")).await.unwrap();
    let database = server.create_database("d").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
    let user = format!("u_{database}");
    server.create_user(&user, "topsecret", "SELECT").await.unwrap();
    let workspace = Workspace::new();
    let said = workspace.run(&["init", &server.uri(&user, "topsecret", &database)]).good();
    assert!(said.contains("1 table") && said.contains("problems"), "{said}");
    assert!(workspace.read("sync-config.yaml").contains("\"t\""));
    assert_told(&workspace, &["log_bin", "REPLICATION SLAVE", "REPLICATION CLIENT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_binary_log() {
    require_server!(Flavor::MySql);
    let options = ServerOptions::new().flag("skip-log-bin");
    let server = Server::start(Flavor::MySql, options).await.unwrap();
    let database = server.create_database("d").await.unwrap();
    assert_told(&configured(&server.uri("root", "", &database)), &["log_bin", "fix:"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_log_format() {
    require_server!(Flavor::MySql);
    let options = ServerOptions::new().set("binlog-format", "STATEMENT").set("binlog-row-image", "MINIMAL");
    let server = Server::start(Flavor::MySql, options).await.unwrap();
    let database = server.create_database("d").await.unwrap();
    assert_told(&configured(&server.uri("root", "", &database)), &["binlog_format", "SET PERSIST binlog_format"]);
}

#[test]
fn a_sync_config_with_ten_faults() {
    let workspace = configured("mysql://u@127.0.0.1:1/d");
    workspace.write(
        "sync-config.yaml",
        "config:\n  editoin: 2\nbucket_definition: {}\nbucket_definitions:\n\
         \x20 a:\n    priority: 9\n    data:\n      - SELECT * FORM t\n      - SELECT uper(name) AS id FROM t\n\
         \x20 b:\n    parameters: SELECT request.user() AS u\n    data:\n      - SELECT * FROM t WHERE t.u = bucket.u\n\
         \x20 c:\n    data: SELECT * FROM t\n\
         \x20 d:\n    data:\n      - SELECT * FROM t JOIN s ON t.a = s.a\n      - SELECT * FROM t WHERE x = bucket.nothing\n\
         \x20     - SELECT * FROM t ORDER BY a\n      - UPDATE t SET a = 1\n\
         \x20 e:\n    dta:\n      - SELECT * FROM t\n",
    );
    let finished = workspace.run(&["check", "--json"]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let problems = finished.lines_json().remove(0)["problems"].as_array().unwrap().clone();
    let lines: std::collections::BTreeSet<u64> = problems
        .iter()
        .filter(|problem| problem["file"] == "sync-config.yaml" && problem["severity"] == "error")
        .map(|problem| problem["line"].as_u64().unwrap())
        .collect();
    let expected = [2, 3, 6, 8, 9, 11, 15, 18, 19, 20, 21, 23];
    assert!(lines.is_superset(&expected.into()), "lines with faults: {lines:?}\n{problems:#?}");
    // The configuration's own source is looked at all the same.
    assert!(problems.iter().any(|problem| problem["source"] == "shop"), "{problems:#?}");
    let said = workspace.run(&["run"]).failed(1);
    assert!(said.contains("sync-config.yaml:9:") && said.contains("did you mean"), "{said}");
}

#[test]
fn no_configuration_at_all() {
    let workspace = Workspace::new();
    for command in ["check", "run", "status", "schema", "buckets"] {
        let said = workspace.run(&[command]).failed(1);
        assert!(said.contains("millstream.yaml") && said.contains("millstream init"), "{said}");
    }
    workspace.run(&["verify"]).failed(2);
    let said = workspace.run(&["--config", "other.yaml", "status"]).failed(1);
    assert!(said.contains("other.yaml"), "{said}");
}

#[test]
fn files_that_are_not_text() {
    let workspace = configured("mysql://root@127.0.0.1:1/shop");
    fs::write(workspace.path("sync-config.yaml"), b"bucket_definitions:\n  caf\xe9:\n").unwrap();
    let said = workspace.run(&["run"]).failed(1);
    assert!(said.contains("sync-config.yaml:2:6") && said.contains("UTF-8"), "{said}");
    fs::write(workspace.path("millstream.yaml"), b"\xff\xfes").unwrap();
    let said = workspace.run(&["status"]).failed(1);
    assert!(said.contains("millstream.yaml:1:1") && said.contains("UTF-8"), "{said}");
}

#[test]
fn a_file_where_the_data_folder_should_be() {
    let workspace = configured("mysql://root@127.0.0.1:1/shop");
    workspace.write("millstream-data", "");
    for command in ["status", "verify", "buckets"] {
        let said = workspace.run(&[command]);
        assert!(said.stderr.contains("millstream-data isn't a folder"), "{command}: {}", said.stderr);
    }
    assert_eq!(workspace.read("millstream-data"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_this_release_cannot_read() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("format").await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    workspace.run(&["run", "--until-current"]).good();
    let marker = workspace.path("millstream-data/store/format");
    let text = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, text.replace("format 2", "format 99")).unwrap();
    for command in ["run", "status", "buckets"] {
        let said = workspace.run(&[command]).failed(1);
        assert!(said.contains("format 99") && said.contains("newer"), "{said}");
    }
    fs::write(&marker, "").unwrap();
    let said = workspace.run(&["status"]).failed(1);
    assert!(said.contains("millstream-data/store"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_a_store_stays_as_it_is() {
    let workspace = configured("mysql://u@127.0.0.1:1/d");
    fs::create_dir_all(workspace.path("millstream-data/store")).unwrap();
    workspace.write("millstream-data/store/letter.txt", "dear diary");
    let said = workspace.run(&["run"]).failed(1);
    assert!(said.contains("isn't a bucket store"), "{said}");
    assert_eq!(workspace.read("millstream-data/store/letter.txt"), "dear diary");
}

#[test]
fn somebody_else_holds_the_store() {
    let workspace = configured("mysql://u@127.0.0.1:1/d");
    let store = workspace.path("millstream-data/store");
    fs::create_dir_all(&store).unwrap();
    let lock = fs::File::create(store.join("lock")).unwrap();
    lock.lock().unwrap();
    let said = workspace.run(&["status"]).failed(1);
    assert!(said.contains("another process holds the store") && said.contains("lock"), "{said}");
}
