//! Two whole configs, from rows to the buckets of clients.

use std::collections::HashMap;

use millstream_core::row::RowBatch;
use millstream_core::selection::TablePattern;
use millstream_core::value::ValueRef::{self, Blob, Int, Null, Text};
use millstream_sync_config::{Evaluated, EvaluatedLookup, Request, SyncConfig};
use serde_json::{Value as Json, json};

use crate::fixture::{SHOP, config, evaluate, report, rows, table};

fn pattern(schema: &str, table: &str) -> TablePattern {
    TablePattern { schema: schema.to_owned(), table: table.to_owned() }
}

fn request(user: &str, jwt: Json, parameters: Json) -> Request {
    let map = |json: Json| json.as_object().unwrap().clone();
    Request::new(user, map(jwt), map(parameters))
}

/// Finds lookups as a store would.
#[derive(Default)]
struct Lookups(HashMap<(usize, usize, String), Vec<String>>);

impl Lookups {
    fn add(&mut self, found: Vec<EvaluatedLookup>) {
        for EvaluatedLookup { definition, query, lookup, output } in found {
            self.0.entry((definition, query, lookup)).or_default().push(output);
        }
    }

    fn buckets(&self, config: &SyncConfig, request: &Request) -> Vec<String> {
        let mut names = Vec::new();
        for (index, definition) in config.definitions().iter().enumerate() {
            let mut look_up = |query: usize, lookup: &str| {
                self.0.get(&(index, query, lookup.to_owned())).cloned().unwrap_or_default()
            };
            let buckets = definition.buckets_for(request, &mut look_up).unwrap();
            names.extend(buckets.into_iter().map(|bucket| format!("{} {}", bucket.priority, bucket.name)));
        }
        names
    }
}

#[test]
fn the_first_edition_from_rows_to_a_clients_buckets() {
    let config = config(include_str!("configs/legacy.yaml"));
    assert_eq!(config.warnings(), []);
    assert_eq!(
        config.patterns(SHOP),
        ["categories", "moves", "staff", "stock_lines", "stops"].map(|name| pattern("shop", name))
    );

    let categories = table("shop.categories", &["id int", "label text", "icon blob", "hidden tinyint"]);
    let shown = evaluate(&config, &categories, &[Int(7), Text("Tools"), Blob(&[0xca, 0xfe]), Int(0)]);
    assert_eq!(rows(&shown), [r#"everyone[] categories 7 {"id":"7","label":"Tools","icon_hex":"CAFE"}"#]);
    assert_eq!(rows(&evaluate(&config, &categories, &[Int(7), Text("Tools"), Null, Int(1)])), [""; 0]);

    let stock = table("shop.stock_lines", &["id int", "warehouse_id int", "qty int"]);
    let line = evaluate(&config, &stock, &[Int(1), Int(3), Int(20)]);
    assert_eq!(rows(&line), [r#"per_warehouse[3] stock_lines 1 {"id":"1","warehouse_id":3,"qty":20}"#]);

    let staff = table("shop.staff", &["id int", "login_id text", "warehouse_id int", "active tinyint"]);
    let mut lookups = Lookups::default();
    for (login, warehouse, active) in [("ada", 3, 1), ("ada", 4, 1), ("ada", 5, 0), ("bob", 4, 1)] {
        let row: [ValueRef<'_>; 4] = [Int(1), Text(login), Int(warehouse), Int(active)];
        lookups.add(evaluate(&config, &staff, &row).lookups);
    }
    assert_eq!(
        lookups.buckets(&config, &request("ada", json!({}), json!({"routes": ["r1", 2, 2.0]}))),
        ["1 everyone[]", "3 per_warehouse[3]", "3 per_warehouse[4]", r#"3 chosen_routes["r1"]"#, "3 chosen_routes[2]"]
    );
    assert_eq!(lookups.buckets(&config, &request("eve", json!({}), json!({}))), ["1 everyone[]"]);
}

#[test]
fn the_second_edition_with_schemas_and_partitions() {
    let config = config(include_str!("configs/partitioned.yaml"));
    assert_eq!(config.patterns(SHOP), [pattern("billing", "invoices"), pattern("shop", "events_%")]);
    assert_eq!(config.events()[0].name, "write_checkpoints");

    let events = table("shop.events_2024", &["id varchar(36)", "tenant_id varchar(10)", "_hidden int"]);
    let event = evaluate(&config, &events, &[Text("e1"), Text("t\"1"), Int(1)]);
    assert_eq!(rows(&event), [r#"by_tenant["t\"1"] events e1 {"id":"e1","tenant_id":"t\"1","year":"2024"}"#]);
    let invoices = table("billing.invoices", &["id int", "tenant_id varchar(10)"]);
    assert_eq!(
        rows(&evaluate(&config, &invoices, &[Int(9), Text("t1")])),
        [r#"by_tenant["t1"] invoices 9 {"id":"9","tenant_id":"t1"}"#]
    );
    let none = Lookups::default();
    assert_eq!(none.buckets(&config, &request("u", json!({"tenant": "t1"}), json!({}))), [r#"3 by_tenant["t1"]"#]);
    assert_eq!(none.buckets(&config, &request("u", json!({}), json!({}))), [""; 0]);
}

#[test]
fn the_documents_example_is_sound() {
    let page = include_str!("../../../docs/sync-config.md");
    let example = page.split("```").find_map(|part| part.strip_prefix("yaml\n")).unwrap();
    let config = config(example);
    assert_eq!(config.warnings(), []);
    assert_eq!(config.definitions().len(), 2);
}

#[test]
fn a_cleared_result_is_used_again() {
    let config = config(include_str!("configs/legacy.yaml"));
    let stock = table("shop.stock_lines", &["id int", "warehouse_id int", "qty int"]);
    let evaluator = config.bind(SHOP, &stock);
    assert!(evaluator.faults().is_empty(), "{}", report(evaluator.faults()));
    let mut batch = RowBatch::new(3);
    for value in [Int(1), Int(3), Int(20), Int(2), Null, Int(30), Int(3), Int(4), Null] {
        batch.push(value).unwrap();
    }
    let mut out = Evaluated::default();
    let mut seen = Vec::new();
    for row in batch.rows() {
        evaluator.evaluate(row, &mut out);
        seen.push(rows(&out));
    }
    assert_eq!(
        seen,
        [
            vec![r#"per_warehouse[3] stock_lines 1 {"id":"1","warehouse_id":3,"qty":20}"#.to_owned()],
            vec![],
            vec![r#"per_warehouse[4] stock_lines 3 {"id":"3","warehouse_id":4,"qty":null}"#.to_owned()],
        ]
    );
}
