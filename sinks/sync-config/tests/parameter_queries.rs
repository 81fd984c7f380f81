//! Parameter queries of every kind, from rows and requests to bucket names.

use millstream_core::value::ValueRef::{self, Int, Null, Real, Text};
use millstream_sync_config::{EvaluatedLookup, EvaluationError, Request};
use serde_json::{Value as Json, json};

use crate::fixture::{config, evaluate, table};

fn with_queries(queries: &[&str]) -> String {
    let list: String = queries.iter().map(|query| format!("\n      - >-\n        {query}")).collect();
    let parameters =
        "id id2".split(' ').filter(|name| queries.iter().all(|query| query.contains(&format!("AS {name}"))));
    let conditions: Vec<String> = parameters.map(|name| format!("{name} = bucket.{name}")).collect();
    let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    format!(
        "config: {{edition: 2}}\nbucket_definitions:\n  b:\n    accept_potentially_dangerous_queries: true\n    parameters:{list}\n    data: [SELECT * FROM data{filter}]\n"
    )
}

fn request(jwt: Json, parameters: Json) -> Request {
    let map = |json: Json| json.as_object().unwrap().clone();
    Request::new("u1", map(jwt), map(parameters))
}

fn ada() -> Request {
    request(
        json!({"sub": "u1", "org": 7, "ids": ["a", 1], "none": null, "parameters": {"team": "t"}}),
        json!({"page": 2, "picked": ["x", "y", null], "word": "w"}),
    )
}

/// The buckets that `rows` of the table `t` and the request give.
fn buckets(queries: &[&str], rows: &[&[ValueRef<'_>]]) -> Result<Vec<String>, EvaluationError> {
    let config = config(&with_queries(queries));
    let schema = table("shop.t", &["id int", "owner text", "members json", "level double", "org int"]);
    let lookups: Vec<EvaluatedLookup> = rows.iter().flat_map(|row| evaluate(&config, &schema, row).lookups).collect();
    let mut look_up = |query: usize, lookup: &str| {
        let found = lookups.iter().filter(|found| found.query == query && found.lookup == lookup);
        found.map(|found| found.output.clone()).collect()
    };
    let found = config.definitions()[0].buckets_for(&ada(), &mut look_up).map_err(|fault| fault.error)?;
    Ok(found.into_iter().map(|bucket| bucket.name).collect())
}

fn assert_buckets(queries: &[&str], rows: &[&[ValueRef<'_>]], expected: &[&str]) {
    assert_eq!(buckets(queries, rows), Ok(expected.iter().map(|name| (*name).to_owned()).collect()), "{queries:?}");
}

#[test]
fn static_queries() {
    for (query, expected) in [
        ("SELECT request.user_id() AS id", &[r#"b["u1"]"#][..]),
        ("SELECT token_parameters.user_id AS id", &[r#"b["u1"]"#]),
        ("SELECT token_parameters.team AS id", &[r#"b["t"]"#]),
        ("SELECT user_parameters.word AS id", &[r#"b["w"]"#]),
        ("SELECT request.jwt() ->> 'sub' AS id", &[r#"b["u1"]"#]),
        ("SELECT request.jwt() ->> 'org' AS id, request.parameter('page') * 1.0 AS id2", &["b[7,2]"]),
        ("SELECT request.parameters() ->> 'word' AS id", &[r#"b["w"]"#]),
        ("SELECT request.jwt() ->> 'none' AS id", &[]),
        ("SELECT request.jwt() ->> 'absent' AS id", &[]),
        ("SELECT 1 AS id, 'x' AS id2", &[r#"b[1,"x"]"#]),
        ("SELECT request.user_id() AS id WHERE request.jwt() ->> 'org' = 7", &[r#"b["u1"]"#]),
        ("SELECT request.user_id() AS id WHERE request.jwt() ->> 'org' = 8", &[]),
        ("SELECT request.user_id() AS id WHERE NOT request.jwt() ->> 'org' > 8 OR 0", &[r#"b["u1"]"#]),
        ("SELECT WHERE request.jwt() ->> 'org' = 7", &["b[]"]),
        ("SELECT request.user_id() AS id WHERE request.user_id() IN '[\"u1\"]'", &[r#"b["u1"]"#]),
    ] {
        assert_buckets(&[query], &[], expected);
    }
}

#[test]
fn queries_over_arrays_of_the_request() {
    for (query, expected) in [
        ("SELECT value AS id FROM json_each(request.jwt() -> 'ids')", &[r#"b["a"]"#, "b[1]"][..]),
        ("SELECT e.value AS id, e.key AS id2 FROM json_each(request.jwt() -> 'ids') AS e", &[r#"b["a",0]"#, "b[1,1]"]),
        ("SELECT json_each.value AS id FROM json_each(request.jwt() -> 'ids')", &[r#"b["a"]"#, "b[1]"]),
        ("SELECT value AS id FROM json_each(request.parameters() -> 'picked') WHERE value != 'x'", &[r#"b["y"]"#]),
        ("SELECT value AS id FROM json_each(request.parameter('picked'))", &[r#"b["x"]"#, r#"b["y"]"#]),
        ("SELECT key AS id FROM json_each(request.jwt() -> 'parameters')", &[r#"b["team"]"#]),
        ("SELECT value AS id FROM json_each(request.jwt() -> 'org')", &["b[7]"]),
        ("SELECT value AS id FROM json_each(request.jwt() -> 'absent')", &[]),
        (
            "SELECT value AS id, request.user_id() AS id2 FROM json_each(request.jwt() -> 'ids') WHERE request.jwt() ->> 'org' = 7",
            &[r#"b["a","u1"]"#, r#"b[1,"u1"]"#],
        ),
    ] {
        assert_buckets(&[query], &[], expected);
    }
    let broken = "SELECT value AS id FROM json_each(request.jwt() ->> 'sub')";
    assert_eq!(buckets(&[broken], &[]), Err(EvaluationError::NotJson));
}

#[test]
fn queries_over_tables() {
    let mine = [Int(1), Text("u1"), Text(r#"["u1", "u2"]"#), Real(2.0), Int(7)];
    let other = [Int(2), Text("u2"), Text("[]"), Real(0.5), Int(7)];
    let nobody = [Int(3), Null, Null, Null, Int(8)];
    let rows: [&[ValueRef<'_>]; 3] = [&mine, &other, &nobody];
    for (query, expected) in [
        ("SELECT t.id AS id FROM t WHERE owner = request.user_id()", &["b[1]"][..]),
        ("SELECT t.id AS id FROM t WHERE request.user_id() = t.owner AND level > 1", &["b[1]"]),
        ("SELECT t.id AS id FROM t WHERE owner = request.user_id() AND level > 2", &[]),
        ("SELECT t.id AS id FROM t", &["b[1]", "b[2]", "b[3]"]),
        ("SELECT owner AS id FROM t", &[r#"b["u1"]"#, r#"b["u2"]"#]),
        ("SELECT level AS id FROM t WHERE org = request.jwt() ->> 'org'", &["b[2]", "b[0.5]"]),
        ("SELECT t.id AS id FROM t WHERE request.user_id() IN members", &["b[1]"]),
        ("SELECT t.id AS id FROM t WHERE owner IN '[\"u1\",\"u2\"]'", &["b[1]", "b[2]"]),
        ("SELECT t.id AS id FROM t WHERE t.id IN request.jwt() -> 'ids'", &["b[1]"]),
        ("SELECT t.id AS id FROM t WHERE level IN request.parameter('absent')", &[]),
        (
            "SELECT t.id AS id, request.user_id() AS id2 FROM t WHERE org = token_parameters.team OR org = token_parameters.team",
            &[],
        ),
        ("SELECT request.user_id() AS id2, t.id AS id FROM t WHERE owner = 'u2'", &[r#"b["u1",2]"#]),
        ("SELECT FROM t WHERE owner = request.user_id()", &["b[]"]),
        ("SELECT FROM t WHERE owner = request.jwt() ->> 'team'", &[]),
        ("SELECT t.id AS id FROM t WHERE owner = request.user_id() OR t.id + 1 = request.user_id()", &["b[1]"]),
        ("SELECT t.id AS id FROM t WHERE owner = request.user_id() AND request.jwt() ->> 'org' = 7", &["b[1]"]),
        ("SELECT t.id AS id FROM t WHERE owner = request.user_id() AND request.jwt() ->> 'org' = 9", &[]),
        ("SELECT t.id AS id FROM t WHERE owner = request.user_id() AND org = request.jwt() ->> 'org'", &["b[1]"]),
        ("SELECT t.id AS id FROM t WHERE level = request.parameter('page')", &["b[1]"]),
    ] {
        assert_buckets(&[query], &rows, expected);
    }
    let not_an_array = "SELECT t.id AS id FROM t WHERE t.id IN request.jwt() ->> 'sub'";
    assert_eq!(buckets(&[not_an_array], &rows), Err(EvaluationError::NotArray));
}

#[test]
fn several_queries_give_each_bucket_once_in_the_first_ones_order() {
    let mine: &[ValueRef<'_>] = &[Int(1), Text("u1"), Null, Null, Null];
    assert_buckets(
        &[
            "SELECT 1 AS id, 'u1' AS id2",
            "SELECT owner AS id2, t.id AS id FROM t WHERE owner = request.user_id()",
            "SELECT 'u9' AS id2, value AS id FROM json_each(request.jwt() -> 'ids')",
        ],
        &[mine],
        &[r#"b[1,"u1"]"#, r#"b["a","u9"]"#, r#"b[1,"u9"]"#],
    );
}

#[test]
fn priorities_are_the_definitions_or_the_querys() {
    let priorities = |text: &str| -> Vec<(String, u8)> {
        let config = config(text);
        let definition = &config.definitions()[0];
        let found = definition.buckets_for(&ada(), &mut |_, _| Vec::new()).unwrap();
        found.into_iter().map(|bucket| (bucket.name, bucket.priority)).collect()
    };
    let named =
        |pairs: &[(&str, u8)]| pairs.iter().map(|(name, priority)| ((*name).to_owned(), *priority)).collect::<Vec<_>>();
    assert_eq!(priorities("bucket_definitions: {b: {priority: 1, data: [SELECT * FROM d]}}"), named(&[("b[]", 1)]));
    assert_eq!(
        priorities(
            "bucket_definitions:
  b:
    parameters:
      - SELECT 1 AS id
      - SELECT 1 AS id, 0 AS _priority
      - SELECT 2 AS id, 2 AS _priority
    data: [SELECT * FROM d WHERE id = bucket.id]
"
        ),
        named(&[("b[1]", 0), ("b[2]", 2)])
    );
}

#[test]
fn a_rows_lookups_are_canonical_and_each_stands_once() {
    let config = config(&with_queries(&[
        "SELECT t.id AS id FROM t WHERE level = request.parameter('page')",
        "SELECT t.id AS id FROM t WHERE request.user_id() IN members",
    ]));
    let schema = table("shop.t", &["id double", "owner text", "members json", "level double", "org int"]);
    let row = [Real(1.0), Null, Text(r#"["u1", "u1", 1, 1.0]"#), Real(2.0), Null];
    let lookup = |query: usize, lookup: &str| EvaluatedLookup {
        definition: 0,
        query,
        lookup: lookup.to_owned(),
        output: "[1]".to_owned(),
    };
    assert_eq!(evaluate(&config, &schema, &row).lookups, [lookup(0, "[2]"), lookup(1, r#"["u1"]"#), lookup(1, "[1]")]);
    let broken = evaluate(&config, &schema, &[Real(1.0), Null, Text("secret"), Real(2.0), Null]);
    assert_eq!(broken.lookups, [lookup(0, "[2]")]);
    assert_eq!(broken.faults[0].error, EvaluationError::NotArray);
}
