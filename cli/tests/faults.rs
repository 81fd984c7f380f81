//! Bad set-ups: what is wrong, where, and how to mend it.

use std::fs;

use millstream_sqlserver_sim::{Options, SqlServerSim};
use millstream_testkit::{Endpoint, Flavor, Server, ServerOptions, require_server, shared};

use crate::workspace::{Running, Workspace};

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

/// A database with a table, and a user who may read it and has these privileges besides; their names.
async fn poor_user(server: &Endpoint, name: &str, table: &str, privileges: &str) -> (String, String) {
    let database = server.create_database(name).await.unwrap();
    server.sql_in(&database, table).await.unwrap();
    let user = format!("poor_{database}");
    server.create_user(&user, "topsecret", privileges).await.unwrap();
    server.sql(&format!("GRANT SELECT ON {database}.* TO '{user}'@'%'")).await.unwrap();
    (database, user)
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
    let (database, user) = poor_user(&server, "privileges", "CREATE TABLE t (id INT PRIMARY KEY)", "").await;
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
    assert!(workspace.run(&["run"]).failed(1).contains(&format!("\ntable {database}.t: ")));
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
    assert!(said.contains("sync-config.yaml:9:") && said.contains("fix: did you mean"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_every_file_and_every_source_in_one_round() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let (table, privileges) =
        ("CREATE TABLE orders (id INT PRIMARY KEY, state INT)", "REPLICATION SLAVE, REPLICATION CLIENT");
    let (database, user) = poor_user(&server, "round", table, privileges).await;
    let workspace = configured(&server.uri(&user, "topsecret", &database));
    let source = workspace.read("millstream.yaml");
    workspace.write(
        "millstream.yaml",
        &format!("{source}  - name: other\n    type: mysql\n    uri: mysql://u@h/d\n    readers: many\ndta: x\n"),
    );
    workspace.write(
        "sync-config.yaml",
        "bucket_definitions:\n  a:\n    parameters: SELECT request.user() AS u\n    data:\n\
         \x20     - SELECT id, stat FROM orders WHERE id = bucket.u\n      - SELECT * FROM orders WHERE id = bucket.w\n\
         \x20     - SELECT * FROM oders WHERE id = bucket.u\n  b:\n    data:\n      - SELECT * FORM t\n\
         \x20     - SELECT * FROM other.d.t\n      - SELECT * FROM nobody.d.t\n",
    );
    let finished = workspace.run(&["check", "--json"]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let problems = finished.lines_json().remove(0)["problems"].as_array().unwrap().clone();
    let said: Vec<String> = problems
        .iter()
        .map(|problem| {
            let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
            let place = if problem["file"].is_null() {
                format!("{}: {}", text("source"), text("subject"))
            } else {
                text("subject")
            };
            format!("{place}: {} {}", text("found"), text("remedy"))
        })
        .collect();
    for (place, word) in [
        ("millstream.yaml:8:14", "`many`"),
        ("millstream.yaml:9:1", "`data`"),
        ("sync-config.yaml:3:32", "request.user()"),
        ("sync-config.yaml:5:20", "`state`"),
        ("sync-config.yaml:6:48", "bucket parameter `w`"),
        ("sync-config.yaml:10:18", "FORM"),
        ("sync-config.yaml:12:23", "`nobody`"),
        ("shop: binlog_row_metadata", "FULL"),
        ("sync-config.yaml:7:23", "oders"),
    ] {
        let found = said.iter().any(|line| line.starts_with(place) && line.contains(word));
        assert!(found, "{place} with {word} isn't told:\n{}", said.join("\n"));
    }
    assert_eq!(said.len(), 9, "{}", said.join("\n"));
    let said = workspace.run(&["check"]).failed(1);
    assert!(said.contains("1 source with faults in the configuration can't be looked at"), "{said}");
}

#[test]
fn a_password_that_is_not_encoded() {
    let workspace = Workspace::new();
    let said = workspace.run(&["init", "mysql://root:p@ss/word#1@127.0.0.1:3306/shop"]).failed(1);
    assert!(said.contains("%40") && said.contains("MILLSTREAM_PASSWORD"), "{said}");
    assert!(!said.contains("word#1") && !said.contains("millstream.yaml"), "{said}");
}

/// As in Millstream's own image, which holds nothing but the program.
#[test]
fn a_certificate_of_an_unknown_authority_where_the_machine_names_none() {
    let sim = SqlServerSim::start(&Options::default()).unwrap();
    let workspace = Workspace::new();
    let uri = format!("mssql://sa:topsecret@localhost:{}/shop", sim.address().port());
    workspace.write("millstream.yaml", &format!("sources:\n  - name: shop\n    type: sqlserver\n    uri: {uri}\n"));
    workspace.write("sync-config.yaml", SYNC_CONFIG);
    fs::create_dir(workspace.path("authorities")).unwrap();
    let mut command = workspace.command(&["check"]);
    command.env("SSL_CERT_DIR", workspace.path("authorities")).env_remove("SSL_CERT_FILE");
    let said = Running::spawn(command).wait().failed(1);
    assert!(said.contains("UnknownIssuer") && said.contains("tls.ca_certificate"), "{said}");
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
    let said = workspace.run(&["check"]).failed(1);
    assert!(said.contains("can't create the folder millstream-data: Not a directory"), "{said}");
    assert_eq!(workspace.read("millstream-data"), "");
}

#[test]
fn a_data_folder_that_cannot_be_made() {
    let workspace = configured("mysql://root@127.0.0.1:1/shop");
    let before = workspace.read("millstream.yaml");
    workspace.write("millstream.yaml", &format!("{before}data: /proc/1/data\n"));
    let said = workspace.run(&["check"]).failed(1);
    assert!(said.contains("millstream.yaml:5:7") && said.contains("can't create the folder /proc/1/data"), "{said}");
    workspace.write("millstream.yaml", &format!("{before}data: a/b\n"));
    let said = workspace.run(&["check"]).failed(1);
    assert!(!said.contains("create the folder") && !workspace.path("a").exists(), "{said}");
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
    fs::write(&marker, text.replace("format 3", "format 99")).unwrap();
    for command in ["run", "status", "buckets", "check"] {
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
