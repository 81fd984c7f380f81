//! Column types with values at their bounds, and what must come out: docs/mysql.md as a table.

use millstream_testkit::Flavor;
use millstream_testkit::conformance::{TypeCase, Value};

fn case<'a>(column: &str, values: impl IntoIterator<Item = (&'a str, Value)>) -> TypeCase {
    TypeCase::new(column, values)
}

/// Texts as they are.
fn texts(column: &str, values: &[&'static str]) -> TypeCase {
    let quoted: Vec<(String, Value)> = values.iter().map(|text| (format!("'{text}'"), Value::text(*text))).collect();
    TypeCase { column: column.to_owned(), values: quoted }
}

fn int(literal: &'static str) -> (&'static str, Value) {
    (literal, Value::Int(literal.parse().unwrap()))
}

/// A literal and the text that comes of it.
fn text(literal: &'static str, delivered: &str) -> (&'static str, Value) {
    (literal, Value::text(delivered))
}

fn blob(literal: &'static str, delivered: &[u8]) -> (&'static str, Value) {
    (literal, Value::Blob(delivered.to_vec()))
}

pub fn of(flavor: Flavor) -> Vec<TypeCase> {
    let mut cases = numbers();
    cases.extend(times());
    cases.extend(characters_and_bytes());
    cases.push(match flavor {
        Flavor::MySql => case("json", [text(r#"'{"b": [1, 2.5, null], "a": "x"}'"#, r#"{"a":"x","b":[1,2.5,null]}"#)]),
        Flavor::MariaDb => case("json", [text(r#"'{"b": [1, 2.5, null]}'"#, r#"{"b": [1, 2.5, null]}"#)]),
    });
    if flavor == Flavor::MariaDb {
        cases.push(texts("uuid", &["123e4567-e89b-12d3-a456-426655440000"]));
        cases.push(texts("inet6", &["2001:db8::ff00:42:8329"]));
    }
    cases
}

fn numbers() -> Vec<TypeCase> {
    vec![
        case("tinyint", [int("-128"), int("127"), int("0")]),
        case("tinyint unsigned", [int("255")]),
        case("smallint", [int("-32768"), int("32767")]),
        case("mediumint", [int("-8388608"), int("8388607")]),
        case("mediumint unsigned", [int("16777215")]),
        case("int", [int("-2147483648"), int("2147483647")]),
        case("int unsigned", [int("4294967295")]),
        case("bigint", [int("-9223372036854775808"), int("9223372036854775807")]),
        case(
            "bigint unsigned",
            [
                int("9223372036854775807"),
                text("9223372036854775808", "9223372036854775808"),
                text("18446744073709551615", "18446744073709551615"),
            ],
        ),
        case("year", [int("1901"), int("2155")]),
        case(
            "decimal(20,4)",
            [text("-12345678901234.5678", "-12345678901234.5678"), text("0", "0.0000"), text("0.5", "0.5000")],
        ),
        case("float", [("0.1", Value::Real(0.1)), ("-1.5e10", Value::Real(-1.5e10))]),
        case("double", [("0.1", Value::Real(0.1)), ("1e300", Value::Real(1e300)), ("-2.5", Value::Real(-2.5))]),
        case("bit(10)", [blob("b'1000000001'", &[2, 1])]),
    ]
}

fn times() -> Vec<TypeCase> {
    vec![
        case("date", [text("'2024-02-29'", "2024-02-29"), text("'9999-12-31'", "9999-12-31")]),
        case("datetime", [text("'2024-02-29 23:59:59'", "2024-02-29T23:59:59.000Z")]),
        case("datetime(6)", [text("'2024-02-29 23:59:59.123456'", "2024-02-29T23:59:59.123456Z")]),
        case("timestamp(3)", [text("'2024-02-29 12:00:00.125'", "2024-02-29T12:00:00.125Z")]),
        case("time(1)", [text("'-838:59:58.5'", "-838:59:58.5"), text("'00:00:00'", "00:00:00.0")]),
    ]
}

fn characters_and_bytes() -> Vec<TypeCase> {
    vec![
        texts("varchar(40)", &["", "a", "Zürich ŧ→🦀", "trailing "]),
        texts("varchar(40) character set latin1", &["Zürich"]),
        texts("char(5)", &["ab"]),
        texts("text", &["", "two\nlines"]),
        texts("longtext", &["日本語"]),
        texts("enum('red','green')", &["red", "green"]),
        case("set('a','b','c')", [text("'a,c'", r#"["a","c"]"#), text("''", "[]")]),
        case("binary(4)", [blob("x'0001'", &[0, 1, 0, 0])]),
        case("varbinary(10)", [blob("x'00ff00'", &[0, 255, 0]), blob("''", &[])]),
        case("blob", [blob("x'80ff'", &[128, 255])]),
    ]
}
