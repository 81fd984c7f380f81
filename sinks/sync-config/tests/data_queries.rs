//! Data queries: which buckets a row lies in, and what it looks like there.

use millstream_core::value::ValueRef::{self, Blob, Int, Null, Real, Text};
use millstream_sync_config::{EvaluationError, SourceScope};

use crate::fixture::{SHOP, config, evaluate, report, rows, table};

/// A config of one definition with the bucket parameters `parameters` and one data query.
fn with_query(parameters: &[&str], query: &str) -> String {
    let select: Vec<String> = parameters.iter().map(|name| format!("request.jwt() ->> '{name}' AS {name}")).collect();
    let select =
        if select.is_empty() { String::new() } else { format!("\n    parameters: SELECT {}", select.join(", ")) };
    format!("bucket_definitions:\n  b:{select}\n    data:\n      - >-\n        {query}\n")
}

const COLUMNS: [&str; 4] = ["id int", "a int", "tags json", "name text"];

fn buckets(parameters: &[&str], query: &str, row: &[ValueRef<'_>]) -> Vec<String> {
    let out = evaluate(&config(&with_query(parameters, query)), &table("shop.t", &COLUMNS), row);
    assert_eq!(out.faults, []);
    out.rows.into_iter().map(|row| row.bucket).collect()
}

#[test]
fn parameters_are_matched_by_equality_and_membership() {
    let row = [Int(1), Int(5), Text(r#"["x", 2, 2.0, null, "x"]"#), Text("n")];
    for (parameters, query, expected) in [
        (&[][..], "SELECT * FROM t", &["b[]"][..]),
        (&["p"], "SELECT * FROM t WHERE a = bucket.p", &["b[5]"]),
        (&["p"], "SELECT * FROM t WHERE bucket_parameters.p = t.a", &["b[5]"]),
        (&["p"], "SELECT * FROM t WHERE bucket.p = a + 0.5", &["b[5.5]"]),
        (&["p"], "SELECT * FROM t WHERE bucket.p = a * 1.0", &["b[5]"]),
        (&["p"], "SELECT * FROM t WHERE bucket.p = 'all'", &[r#"b["all"]"#]),
        (&["p"], "SELECT * FROM t WHERE bucket.p = NULL", &[]),
        (&["p"], "SELECT * FROM t WHERE bucket.p IN tags", &[r#"b["x"]"#, "b[2]"]),
        (&["p", "q"], "SELECT * FROM t WHERE bucket.q IN tags AND bucket.p = a", &[r#"b[5,"x"]"#, "b[5,2]"]),
        (&["p"], "SELECT * FROM t WHERE bucket.p = a OR bucket.p = name", &["b[5]", r#"b["n"]"#]),
        (&["p"], "SELECT * FROM t WHERE bucket.p = a OR bucket.p = id + 4", &["b[5]"]),
        (&["p"], "SELECT * FROM t WHERE bucket.p = a AND bucket.p = id", &[]),
        (&["p"], "SELECT * FROM t WHERE bucket.p = a AND bucket.p = id + 4", &["b[5]"]),
        (&["p"], "SELECT * FROM t WHERE bucket.p = 2 AND bucket.p IN tags", &["b[2]"]),
        (&["p"], "SELECT * FROM t WHERE (bucket.p = a OR bucket.p = id) AND name = 'n'", &["b[5]", "b[1]"]),
        (&["p"], "SELECT * FROM t WHERE (bucket.p = a AND id > 1) OR (bucket.p = id AND a = 5)", &["b[1]"]),
        (&["p"], "SELECT * FROM t WHERE a = bucket.p AND NOT name = 'n'", &[]),
        (&["p"], "SELECT * FROM t WHERE a = bucket.p AND name IN '[\"m\", \"n\"]'", &["b[5]"]),
    ] {
        assert_eq!(buckets(parameters, query, &row), expected, "{query}");
    }
}

#[test]
fn a_value_that_no_parameter_can_have_lies_in_no_bucket() {
    let query = "SELECT * FROM t WHERE name = bucket.p";
    for value in [Null, Blob(b"x"), Real(f64::NAN)] {
        assert_eq!(buckets(&["p"], query, &[Int(1), Null, Null, value]), [""; 0]);
    }
    assert_eq!(buckets(&["p"], "SELECT * FROM t WHERE bucket.p IN tags", &[Int(1), Null, Null, Null]), [""; 0]);
}

#[test]
fn a_row_that_fails_is_left_out_with_a_fault_that_has_no_values() {
    let text = "bucket_definitions:
  first:
    data:
      - SELECT * FROM t WHERE tags ->> 'x' = 1
  second:
    data:
      - SELECT * FROM t
";
    let out = evaluate(&config(text), &table("shop.t", &COLUMNS), &[Int(1), Null, Text("secret"), Null]);
    assert_eq!(out.rows.iter().map(|row| row.bucket.as_str()).collect::<Vec<_>>(), ["second[]"]);
    let [fault] = &out.faults[..] else { panic!("{:?}", out.faults) };
    assert_eq!((fault.definition, fault.place.line, fault.place.column), (0, 4, 9));
    assert_eq!(fault.error, EvaluationError::NotJson);
    assert!(!fault.error.to_string().contains("secret"));
}

fn output(select: &str, columns: &[&str], row: &[ValueRef<'_>]) -> String {
    let out = evaluate(&config(&with_query(&[], select)), &table("shop.t", columns), row);
    assert_eq!(out.faults, []);
    rows(&out).join("\n")
}

#[test]
fn star_skips_underscored_columns_and_fills_only_what_is_null() {
    let columns = ["id int", "a text", "_secret text", "n text"];
    let row = [Int(1), Text("x"), Text("s"), Null];
    for (select, expected) in [
        ("SELECT * FROM t", r#"b[] t 1 {"id":"1","a":"x","n":null}"#),
        ("SELECT t.* FROM t", r#"b[] t 1 {"id":"1","a":"x","n":null}"#),
        ("SELECT *, 'y' AS a FROM t", r#"b[] t 1 {"id":"1","a":"y","n":null}"#),
        ("SELECT 'y' AS a, * FROM t", r#"b[] t 1 {"a":"y","id":"1","n":null}"#),
        ("SELECT n AS a, * FROM t", r#"b[] t 1 {"a":"x","id":"1","n":null}"#),
        ("SELECT *, _secret FROM t", r#"b[] t 1 {"id":"1","a":"x","n":null,"_secret":"s"}"#),
        ("SELECT a AS id, id AS a FROM t", r#"b[] t x {"id":"x","a":1}"#),
        ("SELECT id, a \"A b\" FROM t", r#"b[] t 1 {"id":"1","A b":"x"}"#),
        ("SELECT id FROM t AS other", r#"b[] other 1 {"id":"1"}"#),
        ("SELECT other.id FROM t other WHERE other.a = 'x'", r#"b[] other 1 {"id":"1"}"#),
        ("SELECT id, 1 AS a, 2 AS a FROM t", r#"b[] t 1 {"id":"1","a":2}"#),
    ] {
        assert_eq!(output(select, &columns, &row), expected, "{select}");
    }
}

#[test]
fn ids_are_texts_and_blobs_are_dropped() {
    let columns = ["id varbinary(16)", "b blob", "r double"];
    for (id, expected) in [
        (Int(5), r#"b[] t 5 {"id":"5","r":1.0}"#),
        (Real(5.0), r#"b[] t 5 {"id":"5","r":1.0}"#),
        (Text("é"), r#"b[] t é {"id":"é","r":1.0}"#),
        (Null, r#"b[] t  {"id":"","r":1.0}"#),
        (Blob(b"abc"), r#"b[] t abc {"id":"abc","r":1.0}"#),
    ] {
        assert_eq!(output("SELECT * FROM t", &columns, &[id, Blob(&[1]), Real(1.0)]), expected);
    }
    let out = evaluate(
        &config(&with_query(&[], "SELECT * FROM t")),
        &table("shop.t", &columns),
        &[Blob(&[0xff]), Null, Null],
    );
    assert_eq!(out.rows, []);
    assert_eq!(out.faults[0].error, EvaluationError::BinaryId);
}

fn hash(select: &str, columns: &[&str], row: &[ValueRef<'_>]) -> u64 {
    evaluate(&config(&with_query(&[], select)), &table("shop.t", columns), row).rows[0].content_hash
}

#[test]
fn the_content_hash_ignores_order_and_nulls_and_nothing_else() {
    let columns = ["id int", "a text", "c text"];
    let row = [Int(1), Text("x"), Text("y")];
    let first = hash("SELECT * FROM t", &columns, &row);
    assert_eq!(first, hash("SELECT c, a, id FROM t", &columns, &row));
    assert_eq!(first, hash("SELECT *, NULL AS d FROM t", &columns, &row));
    let wider = ["c text", "d text", "id int", "a text"];
    assert_eq!(first, hash("SELECT * FROM t", &wider, &[Text("y"), Null, Int(1), Text("x")]));
    for (select, other) in [
        ("SELECT * FROM t", [Int(2), Text("x"), Text("y")]),
        ("SELECT * FROM t", [Int(1), Text("y"), Text("x")]),
        ("SELECT * FROM t", [Int(1), Text("x"), Null]),
        ("SELECT * FROM t", [Int(1), Int(1), Text("y")]),
        ("SELECT * FROM t AS u", row),
        ("SELECT id, a AS c, c AS a FROM t", row),
        ("SELECT id, a, c AS d FROM t", row),
    ] {
        assert_ne!(first, hash(select, &columns, &other), "{select}");
    }
    let one = hash("SELECT * FROM t", &columns, &[Int(1), Int(1), Null]);
    assert_ne!(one, hash("SELECT * FROM t", &columns, &[Int(1), Real(1.0), Null]));
    assert_ne!(one, hash("SELECT * FROM t", &columns, &[Int(1), Text("1"), Null]));
}

#[test]
fn timestamps_have_the_precision_of_the_config_or_of_their_source() {
    let columns = ["id int", "d datetime(6)", "t timestamp", "o datetimeoffset(7)", "text varchar(40)", "day date"];
    let at = "2024-05-01T10:20:30.1234567Z";
    let row = [Int(1), Text(at), Text("2024-05-01T10:20:30Z"), Text(at), Text(at), Text("2024-05-01")];
    let shown = |head: &str| {
        let text = format!("{head}{}", with_query(&[], "SELECT * FROM t WHERE d < '2025'"));
        rows(&evaluate(&config(&text), &table("shop.t", &columns), &row)).join("")
    };
    let line = |d: &str, t: &str, o: &str| {
        format!(r#"b[] t 1 {{"id":"1","d":"{d}","t":"{t}","o":"{o}","text":"{at}","day":"2024-05-01"}}"#)
    };
    let default = line("2024-05-01T10:20:30.123Z", "2024-05-01T10:20:30.000Z", "2024-05-01T10:20:30.123456700Z");
    assert_eq!(shown(""), default);
    assert_eq!(shown("config: {edition: 2}\n"), default);
    assert_eq!(
        shown("config: {edition: 2, timestamp_max_precision: seconds}\n"),
        line("2024-05-01T10:20:30Z", "2024-05-01T10:20:30Z", "2024-05-01T10:20:30Z")
    );
    assert_eq!(
        shown("config: {timestamps_iso8601: true, timestamp_max_precision: microseconds}\n"),
        line("2024-05-01T10:20:30.123456Z", "2024-05-01T10:20:30.000000Z", "2024-05-01T10:20:30.123456Z")
    );
}

#[test]
fn tables_are_found_by_source_schema_and_wildcard() {
    let text = "bucket_definitions:
  b:
    data:
      - SELECT * FROM orders
      - SELECT * FROM crm.people
      - SELECT * FROM archive.old.orders
      - SELECT * FROM \"Events_%\" WHERE _table_suffix = '2024'
";
    let config = config(text);
    let archive = SourceScope { name: "archive", default_schema: "old", is_default: false };
    let listed = |scope| config.patterns(scope).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(listed(SHOP), ["crm.people", "shop.Events_%", "shop.orders"]);
    assert_eq!(listed(archive), ["old.orders"]);
    assert_eq!(config.definitions()[0].patterns(archive).len(), 1);
    assert!(config.bind(archive, &table("shop.orders", &["id int"])).is_empty());
    assert!(!config.bind(archive, &table("old.orders", &["id int"])).is_empty());
    assert!(config.bind(SHOP, &table("shop.other", &["id int"])).is_empty());

    for (name, expected) in [("shop.Events_2024", &[r#"b[] Events_2024 1 {"id":"1"}"#][..]), ("shop.Events_x", &[])] {
        assert_eq!(rows(&evaluate(&config, &table(name, &["id int"]), &[Int(1)])), expected, "{name}");
    }
    assert_eq!(config.unknown_sources(&["shop", "archive"]), []);
    assert_eq!(
        report(&config.unknown_sources(&["shop", "archives"])),
        "sync-config.yaml:6:23: error: there is no source `archive` (did you mean `archives`?)\n"
    );
}

#[test]
fn columns_that_a_table_lacks_are_null_with_a_warning() {
    let text = with_query(&["p"], "SELECT id, nam, \"NAME\" FROM t WHERE ownerid = bucket.p AND nam IS NULL");
    let config = config(&text);
    let schema = table("shop.t", &["id int", "name text", "OwnerID int"]);
    assert_eq!(
        report(config.bind(SHOP, &schema).faults()),
        "sync-config.yaml:6:20: warning: the table shop.t has no column `nam`; it reads as NULL (did you mean `name`?)\n\
         sync-config.yaml:6:25: warning: the table shop.t has no column `NAME`; it reads as NULL (write \"name\" in double quotes to keep its case)\n\
         sync-config.yaml:6:45: warning: the table shop.t has no column `ownerid`; it reads as NULL (write \"OwnerID\" in double quotes to keep its case)\n\
         sync-config.yaml:6:68: warning: the table shop.t has no column `nam`; it reads as NULL (did you mean `name`?)\n"
    );
    let keyless = crate::fixture::config(&with_query(&[], "SELECT * FROM t"));
    assert_eq!(
        report(keyless.bind(SHOP, &table("shop.t", &["code int"])).faults()),
        "sync-config.yaml:5:9: warning: the table shop.t has no column `id`, so that all its rows are one (select what names a row AS id)\n"
    );
    let row = evaluate(&keyless, &table("shop.t", &["code int"]), &[Int(4)]);
    assert_eq!(rows(&row), [r#"b[] t  {"code":4}"#]);
}
