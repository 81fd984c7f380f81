//! Nothing that anybody writes makes the reader or the evaluation panic.
//!
//! A failing run prints its seed; `PROPTEST_RNG_SEED` replays it, and `PROPTEST_CASES` makes runs longer.

use millstream_core::row::RowBatch;
use millstream_core::value::ValueRef;
use millstream_sync_config::{Evaluated, Fault, SyncConfig};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::Config;

use crate::fixture::{SHOP, table};

const CONFIGS: [&str; 3] = [
    include_str!("configs/legacy.yaml"),
    include_str!("configs/partitioned.yaml"),
    include_str!("configs/ten-faults.yaml"),
];

/// Pieces that configs are made of, and some that they aren't.
const PIECES: [&str; 64] = [
    "SELECT ",
    "FROM ",
    "WHERE ",
    "AND ",
    "OR ",
    "NOT ",
    "IN ",
    "IS NULL ",
    "IS NOT NULL",
    "AS x ",
    "id ",
    "t ",
    "* ",
    "t.*",
    ", ",
    "(",
    ")",
    "= ",
    "!= ",
    "< ",
    "- ",
    "+ ",
    "/ ",
    "|| ",
    "-> ",
    "->> ",
    "<< ",
    ":: text",
    "CAST(",
    "AS integer)",
    "bucket.u ",
    "request.user_id() ",
    "request.jwt() ",
    "json_each(",
    "'a' ",
    "'[1]' ",
    "'$.a' ",
    "\"q\"",
    "1 ",
    "2.5 ",
    "-9223372036854775808 ",
    "NULL ",
    "upper(",
    "substr(",
    "iif(",
    "st_x(",
    "--",
    "/*",
    ";",
    "\n",
    "\n  ",
    "\n      - ",
    ": ",
    "|\n",
    "'",
    "\"",
    "&a ",
    "*a ",
    "!t ",
    "é",
    "\u{0}",
    "\t",
    "# ",
    "%",
];

fn runs(cases: u32) -> Config {
    let config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { Config { cases, ..config } }
}

/// Every fault must point into the file.
fn assert_placed(text: &str, faults: &[Fault]) {
    let lines: Vec<&str> = text.split('\n').collect();
    for fault in faults {
        let line = lines.get(fault.line as usize - 1);
        assert!(line.is_some() && fault.column >= 1, "{fault} isn't in {text:?}");
    }
}

fn read(text: &str) -> Option<SyncConfig> {
    match SyncConfig::parse(text, "f.yaml") {
        Ok(config) => {
            assert_placed(text, config.warnings());
            Some(config)
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a word: {text:?}");
            assert_placed(text, &faults);
            None
        }
    }
}

fn any_value() -> impl Strategy<Value = OwnedValue> {
    prop_oneof![
        Just(OwnedValue::Null),
        select(vec![0, 1, -1, 7, i64::MAX, i64::MIN]).prop_map(OwnedValue::Int),
        any::<i64>().prop_map(OwnedValue::Int),
        any::<f64>().prop_map(OwnedValue::Real),
        select(vec![
            "",
            "a",
            "[1, \"a\", null]",
            "{\"a\":{\"b\":[1.5]}}",
            "$.a",
            "2024-05-01T10:20:30.5Z",
            "😀é",
            "1e400"
        ])
        .prop_map(|text| OwnedValue::Text(text.to_owned())),
        any::<String>().prop_map(OwnedValue::Text),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(OwnedValue::Blob),
        // The beginnings of geometries.
        (0..8_u8, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(code, rest)| OwnedValue::Blob([&[1, code, 0, 0, 0][..], &rest].concat())),
    ]
}

#[derive(Debug, Clone)]
enum OwnedValue {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl OwnedValue {
    fn borrow(&self) -> ValueRef<'_> {
        match self {
            OwnedValue::Null => ValueRef::Null,
            OwnedValue::Int(value) => ValueRef::Int(*value),
            OwnedValue::Real(value) => ValueRef::Real(*value),
            OwnedValue::Text(text) => ValueRef::Text(text),
            OwnedValue::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

/// Expressions over the columns `a`, `b` and `c` that are always well-formed.
fn any_expression() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "a",
        "b",
        "c",
        "NULL",
        "0",
        "1",
        "-1",
        "2.5",
        "9223372036854775807",
        "''",
        "'x'",
        "'[1]'",
        "'{\"a\":[1]}'",
        "'$.a'",
        "'subsec'",
        "'unixepoch'",
    ])
    .prop_map(str::to_owned);
    let binary = vec![
        "=", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "&", "|", "<<", ">>", "||", "->", "->>", "AND", "OR",
    ];
    let unary = vec![
        "NOT (_)",
        "(_) IS NULL",
        "- (_)",
        "CAST(_ AS text)",
        "(_) :: integer",
        "(_) :: numeric",
        "(_) :: real",
        "(_) :: blob",
        "upper(_)",
        "lower(_)",
        "hex(_)",
        "length(_)",
        "base64(_)",
        "uuid_blob(_)",
        "typeof(_)",
        "json_array_length(_)",
        "json_valid(_)",
        "json_keys(_)",
        "unixepoch(_)",
        "datetime(_)",
        "st_asgeojson(_)",
        "st_astext(_)",
        "st_x(_)",
        "st_y(_)",
        "(_) IN '[1, \"x\"]'",
        "iif(_, 1, 2)",
    ];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        prop_oneof![
            (inner.clone(), select(binary.clone()), inner.clone())
                .prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})")),
            (select(unary.clone()), inner.clone()).prop_map(|(shape, part)| shape.replace('_', &part)),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("substring({a}, {b}, {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("instr({a}, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("json_extract(a || ({a}), b || ({b}))")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("datetime({a}, {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("ifnull({a}, {b})")),
        ]
    })
}

proptest! {
    #![proptest_config(runs(2000))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn any_query_is_read_or_refused(pieces in prop::collection::vec(select(PIECES.to_vec()), 0..30)) {
        let query = pieces.concat().replace('\'', "''");
        read(&format!("bucket_definitions:\n  b:\n    parameters: SELECT 1 AS u\n    data:\n      - '{query}'\n"));
        read(&format!("bucket_definitions:\n  b:\n    parameters: '{query}'\n    data:\n      - SELECT * FROM t\n"));
    }

    #[test]
    fn a_mutated_config_is_read_or_refused(
        config in select(CONFIGS.to_vec()),
        edits in prop::collection::vec((any::<Index>(), 0..12_usize, select(PIECES.to_vec())), 1..6),
    ) {
        let mut text = config.to_owned();
        for (at, length, piece) in edits {
            let floor = |mut offset: usize| { while !text.is_char_boundary(offset) { offset -= 1 } offset };
            let start = floor(at.index(text.len() + 1));
            let end = floor((start + length).min(text.len()));
            text.replace_range(start..end, piece);
        }
        read(&text);
    }
}

proptest! {
    #![proptest_config(runs(1500))]

    #[test]
    fn any_expression_has_a_value_or_a_fault(
        expression in any_expression(),
        edition in 1..3,
        values in [any_value(), any_value(), any_value()],
    ) {
        let quoted = expression.replace('\'', "''");
        let text = format!(
            "config: {{edition: {edition}}}\nbucket_definitions:\n  b:\n    parameters: SELECT 1 AS u\n    data:\n      - 'SELECT c AS id, {quoted} AS x, * FROM t WHERE bucket.u = ({quoted})'\n"
        );
        // Some are refused, as a path of json_extract that is known to be none.
        let Some(config) = read(&text) else { return Ok(()) };
        let schema = table("shop.t", &["a text", "b datetime(6)", "c int"]);
        let mut batch = RowBatch::new(3);
        values.iter().for_each(|value| batch.push(value.borrow()).unwrap());
        let mut out = Evaluated::default();
        config.bind(SHOP, &schema).evaluate(batch.row(0).unwrap(), &mut out);
        for row in &out.rows {
            let data: serde_json::Value = serde_json::from_str(&row.data).unwrap();
            prop_assert_eq!(data["id"].as_str(), Some(row.object_id.as_str()));
            let parameters = row.bucket.strip_prefix('b').unwrap();
            prop_assert!(serde_json::from_str::<Vec<serde_json::Value>>(parameters).unwrap().len() == 1);
        }
        prop_assert!(out.rows.len() + out.faults.len() <= 1);
    }
}
