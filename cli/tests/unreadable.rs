//! A table that nobody can read, although the user may.

use millstream_testkit::{Flavor, Server, ServerOptions, require_server};
use serde_json::json;

use crate::workspace::{Workspace, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_its_tablespace_is_held_and_the_others_are_compared() {
    require_server!(Flavor::MySql);
    let mut server = Server::start(Flavor::MySql, ServerOptions::new()).await.unwrap();
    let database = server.create_database("shop").await.unwrap();
    let tables = "CREATE TABLE lost (id INT PRIMARY KEY); INSERT INTO lost VALUES (1), (2);
                  CREATE TABLE sound (id INT PRIMARY KEY); INSERT INTO sound VALUES (1)";
    server.sql_in(&database, tables).await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    workspace.run(&["run", "--until-current"]).good();
    // The file can be copied while the server is down.
    server.stop().await.unwrap();
    let file = server.data_dir().unwrap().join(&database).join("lost.ibd");
    let copy = workspace.path("lost.ibd");
    std::fs::copy(&file, &copy).unwrap();
    server.restart().await.unwrap();
    server.sql_in(&database, "ALTER TABLE lost DISCARD TABLESPACE; INSERT INTO sound VALUES (2)").await.unwrap();

    // Once while nothing runs, which finds it out, and once while it is known.
    not_compared(&workspace);
    let running = workspace.follow();
    not_compared(&workspace);
    assert_eq!(state(&workspace), json!("held"));
    assert_eq!(workspace.rows().len(), 4, "what is stored stays");
    let said = workspace.run(&["reload", "lost"]).failed(1);
    assert!(said.contains("Tablespace is discarded"), "{said}");

    std::fs::copy(&copy, &file).unwrap();
    server.sql_in(&database, "ALTER TABLE lost IMPORT TABLESPACE; INSERT INTO lost VALUES (3)").await.unwrap();
    wait_for("the table to be live again", || state(&workspace) == json!("live"));
    workspace.run(&["verify"]).good();
    assert_eq!(workspace.rows().len(), 5);
    running.signal("TERM");
    running.wait().good();
    workspace.run(&["run", "--until-current"]).good();
}

#[track_caller]
fn not_compared(workspace: &Workspace) {
    let finished = workspace.run(&["verify", "--json"]);
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let report = &finished.lines_json()[0];
    let [sound] = &report["tables"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!((&sound["rows_compared"], &sound["differences_total"]), (&json!(2), &json!(0)));
    let [lost] = &report["not_compared"].as_array().unwrap()[..] else { panic!("{report}") };
    assert!(lost["table"].as_str().unwrap().ends_with(".lost"), "{lost}");
    assert!(lost["reason"].as_str().unwrap().contains("Tablespace is discarded"), "{lost}");
}

fn state(workspace: &Workspace) -> serde_json::Value {
    let status = &workspace.json(&["status"])[0];
    let tables = status["sources"][0]["tables"].as_array().unwrap();
    tables.iter().find(|table| table["table"].as_str().unwrap().ends_with(".lost")).unwrap()["state"].clone()
}
