//! What a newcomer does first.

use std::os::unix::fs::PermissionsExt;

use millstream_testkit::{Flavor, require_server, shared};
use serde_json::json;

use crate::workspace::{Workspace, files_with};

const SHOP: &str = "
    CREATE TABLE products (id INT PRIMARY KEY, name VARCHAR(50), price DECIMAL(10,2));
    CREATE TABLE order_items (order_no INT, line INT, product INT, PRIMARY KEY (order_no, line));
    CREATE TABLE notes (text VARCHAR(50));
    INSERT INTO products VALUES (1, 'cup', 4.50), (2, 'jug', 12.00);
    INSERT INTO order_items VALUES (7, 1, 2), (7, 2, 1);
    INSERT INTO notes VALUES ('nobody can name this row');";

#[tokio::test(flavor = "multi_thread")]
async fn from_init_to_verify_on_mysql() {
    require_server!(Flavor::MySql);
    from_init_to_verify(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_init_to_verify_on_mariadb() {
    require_server!(Flavor::MariaDb);
    from_init_to_verify(Flavor::MariaDb).await;
}

async fn from_init_to_verify(flavor: Flavor) {
    let server = shared(flavor).await.unwrap();
    let shop = server.create_database("first").await.unwrap();
    server.sql_in(&shop, SHOP).await.unwrap();
    let user = format!("u_{shop}");
    server.create_replication_user(&user, "pa55word").await.unwrap();

    let workspace = Workspace::new();
    let said = workspace.run(&["init", &server.uri(&user, "pa55word", &shop)]).good();
    assert!(said.contains("3 tables") && said.contains("Left out") && said.contains("millstream check"), "{said}");
    assert_eq!(files_with(&workspace.path(""), "pa55word"), [workspace.path("millstream.env")]);
    let mode = workspace.path("millstream.env").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    workspace.run(&["init", &server.uri(&user, "other", &shop)]).failed(1);
    assert!(workspace.read("millstream.env").contains("pa55word"), "nothing is overwritten");

    workspace.run(&["check"]).good();
    workspace.run(&["run", "--until-current"]).good();
    let items = [
        ("order_items/7/1", json!({"id": "7/1", "order_no": 7, "line": 1, "product": 2})),
        ("order_items/7/2", json!({"id": "7/2", "order_no": 7, "line": 2, "product": 1})),
    ];
    let mut expected = items.to_vec();
    expected.push(("products/1", json!({"id": "1", "name": "cup", "price": "4.50"})));
    expected.push(("products/2", json!({"id": "2", "name": "jug", "price": "12.00"})));
    assert_eq!(workspace.rows(), expected.map_keys());

    server
        .sql_in(
            &shop,
            "UPDATE products SET price = 5.00 WHERE id = 1;
             ALTER TABLE products ADD COLUMN stock INT NOT NULL DEFAULT 3;
             DELETE FROM products WHERE id = 2;
             TRUNCATE TABLE order_items;",
        )
        .await
        .unwrap();
    workspace.run(&["run", "--until-current"]).good();
    let cup = json!({"id": "1", "name": "cup", "price": "5.00", "stock": 3});
    assert_eq!(workspace.rows(), [("products/1".to_owned(), cup)]);
    check_history(&workspace, &shop);
    check_status(&workspace, &shop);
    assert_eq!(workspace.json(&["verify"])[0]["equal"], json!(true));
    // What Millstream keeps and logs holds no password.
    assert_eq!(files_with(&workspace.path(""), "pa55word"), [workspace.path("millstream.env")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn init_gives_every_row_an_id_of_its_own() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("ids").await.unwrap();
    server
        .sql_in(
            &database,
            "CREATE TABLE stamped (at TIMESTAMP PRIMARY KEY, _created TIMESTAMP NULL);
             CREATE TABLE paths (a VARCHAR(9), b VARCHAR(9), PRIMARY KEY (a, b));
             CREATE TABLE moments (at DATETIME(6) PRIMARY KEY, id INT);
             SET time_zone = '+00:00';
             INSERT INTO stamped VALUES ('2024-01-01', '2024-01-02');
             INSERT INTO paths VALUES ('x/y', 'z'), ('x', 'y/z');
             INSERT INTO moments VALUES ('2024-01-01 00:00:00.000001', 1), ('2024-01-01 00:00:00.000002', 2);",
        )
        .await
        .unwrap();
    // Neither YAML nor the file of secrets may take it for anything else.
    let (user, password) = (format!("u_{database}"), "\" 0x10 ");
    server.create_replication_user(&user, password).await.unwrap();
    let workspace = Workspace::new();
    let said = workspace.run(&["init", &server.uri(&user, "%22%200x10%20", &database), "--source", "on"]).good();
    assert!(said.contains("The column id of") && said.contains(".moments"), "{said}");
    workspace.run(&["check"]).good();
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(workspace.json(&["status"])[0]["sources"][0]["name"], "on");
    let ids: Vec<String> = workspace.rows().into_iter().map(|(key, _)| key).collect();
    let (first, second) = ("moments/2024-01-01T00:00:00.000001Z", "moments/2024-01-01T00:00:00.000002Z");
    let paths = ["paths/1/x/y/z", "paths/3/x/y/z"];
    assert_eq!(ids[..4], [first, second, paths[0], paths[1]]);
    assert!(ids[4].starts_with("stamped/2024-01-01T00:00:00"), "{ids:?}");
    let created = workspace.rows()[4].1["_created"].clone();
    assert!(created.as_str().is_some_and(|text| text.starts_with("2024-01-02")), "{created}");
}

trait MapKeys {
    fn map_keys(self) -> Vec<(String, serde_json::Value)>;
}

impl MapKeys for Vec<(&str, serde_json::Value)> {
    fn map_keys(self) -> Vec<(String, serde_json::Value)> {
        self.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

fn check_history(workspace: &Workspace, shop: &str) {
    let history = workspace.json(&["schema", "--history"]);
    let of = |table: &str| history.iter().find(|line| line["table"] == json!(format!("{shop}.{table}"))).unwrap();
    assert_eq!(of("products")["effect"], "reconcile");
    assert!(of("products")["statement"].as_str().unwrap().contains("ADD COLUMN stock"));
    assert_eq!(of("order_items")["change"], "truncated");
    assert_eq!(of("order_items")["ops_written"], 2);
    let keys: Vec<&String> = of("products").as_object().unwrap().keys().collect();
    let documented =
        ["position", "time", "table", "change", "effect", "statement", "rows_read", "ops_written", "duration_ms"];
    assert_eq!(keys, documented);
}

fn check_status(workspace: &Workspace, shop: &str) {
    let status = &workspace.json(&["status"])[0];
    let source = &status["sources"][0];
    assert_eq!(source["name"], json!(shop));
    assert_eq!(source["type"], "mysql");
    assert!(source["position"].is_string() && source["head"].is_string(), "{status}");
    let tables = source["tables"].as_array().unwrap();
    let rows: Vec<(&str, &str, u64)> = tables
        .iter()
        .map(|table| {
            let text = |key: &str| table[key].as_str().unwrap();
            (text("table").rsplit('.').next().unwrap(), text("state"), table["rows"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(rows, [("order_items", "live", 0), ("products", "live", 1)]);
    assert!(status["checkpoint"]["op_id"].as_u64().unwrap() > 0);
    assert!(status["checkpoint"]["position"].is_string());
    let buckets = workspace.json(&["buckets"]);
    assert_eq!(buckets[0]["bucket"], "everything[]");
    assert_eq!(buckets[0]["rows"], 1);
    let schema = &workspace.json(&["schema"])[0];
    assert_eq!(schema.as_array().unwrap().len(), 2);
    assert_eq!(schema[1]["identity"], json!(["id"]));
    assert_eq!(schema[1]["columns"][3]["name"], "stock");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_followed_until_it_has_something() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("empty").await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(workspace.rows(), []);
    let status = workspace.run(&["status"]).good();
    assert!(status.contains("checkpoint: op 0 at "), "{status}");
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await.unwrap();
    workspace.run(&["run", "--until-current"]).good();
    assert_eq!(workspace.rows(), [("t/1".to_owned(), json!({"id": "1"}))]);
    workspace.run(&["verify"]).good();
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_run_there_is_nothing_to_see_and_nothing_is_created() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("unread").await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    let status = &workspace.json(&["status"])[0];
    assert_eq!(status["sources"][0]["position"], json!(null));
    assert!(status["sources"][0]["head"].is_string());
    assert_eq!(status["checkpoint"], json!({"op_id": 0, "position": null}));
    assert_eq!(workspace.json(&["schema"]), [json!([])]);
    for command in [&["schema", "--history"][..], &["buckets"], &["buckets", "dump"]] {
        assert_eq!(workspace.json(command), [] as [serde_json::Value; 0]);
    }
    let said = workspace.run(&["buckets", "dump", "nope"]).failed(1);
    assert!(said.contains("there is no bucket `nope`"), "{said}");
    let said = workspace.run(&["verify"]).failed(2);
    assert!(said.contains("nothing is stored") && said.contains("millstream run"), "{said}");
    assert!(!workspace.path("millstream-data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_run_refuses_no_other_command_begins() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("unready").await.unwrap();
    server.sql_in(&database, "CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
    let user = format!("ms_{database}");
    server.create_user(&user, "secret", "USAGE").await.unwrap();
    server.sql_in(&database, &format!("GRANT SELECT ON t TO {user}")).await.unwrap();
    let workspace = Workspace::new();
    workspace.run(&["init", &server.uri(&user, "secret", &database)]).good();
    for _ in 0..2 {
        let said = workspace.run(&["run", "--until-current"]).failed(1);
        assert!(said.contains("isn't ready"), "{said}");
        for (command, code) in [(&["verify"][..], 2), (&["reload", "t"], 1)] {
            let said = workspace.run(command).failed(code);
            assert!(said.contains("nothing") && said.contains("millstream run"), "{said}");
        }
    }
}
