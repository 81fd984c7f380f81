//! Operators, functions and casts, one by one.

use millstream_core::value::ValueRef::{self, Blob, Int, Null, Real, Text};
use millstream_sync_config::EvaluationError;

use crate::fixture::{config, evaluate, table};

const ROW: [(&str, &str, ValueRef<'static>); 8] = [
    ("id", "int", Int(1)),
    ("i", "int", Int(7)),
    ("r", "double", Real(2.5)),
    ("s", "text", Text("héllo😀")),
    ("j", "json", Text(r#"{"a":{"b":[1,2.0,"x",true,null]},"a.b":"dot","n":null,"$.x":1,"big":18446744073709551615}"#)),
    ("b", "blob", Blob(&[0xde, 0xad])),
    ("n", "int", Null),
    ("bad", "text", Text("{nonsense")),
];

/// The JSON of `expression` over the row; nothing if it is a blob.
fn evaluated(edition: u8, expression: &str) -> Result<Option<String>, EvaluationError> {
    let quoted = expression.replace('\'', "''");
    let config = config(&format!(
        "config: {{edition: {edition}}}\nbucket_definitions:\n  g:\n    data: ['SELECT id, {quoted} AS x FROM t']\n"
    ));
    let columns = ROW.map(|(name, source_type, _)| format!("{name} {source_type}"));
    let schema = table("shop.t", &columns.each_ref().map(String::as_str));
    let out = evaluate(&config, &schema, &ROW.map(|(_, _, value)| value));
    match out.faults.first() {
        Some(fault) => Err(fault.error),
        None => {
            let data = &out.rows[0].data;
            Ok(data.strip_prefix(r#"{"id":"1","x":"#).and_then(|rest| rest.strip_suffix('}')).map(str::to_owned))
        }
    }
}

fn assert_values(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(evaluated(2, expression), Ok(Some((*expected).to_owned())), "{expression}");
    }
}

fn assert_fails(expression: &str, error: EvaluationError) {
    assert_eq!(evaluated(2, expression), Err(error), "{expression}");
}

#[test]
fn literals() {
    assert_values(&[
        ("1", "1"),
        ("-5", "-5"),
        ("- i", "-7"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.0", "1.0"),
        ("1e2", "100.0"),
        ("'it''s'", r#""it's""#),
        ("NULL", "null"),
        ("TRUE", "1"),
        ("false", "0"),
    ]);
}

#[test]
fn comparisons() {
    assert_values(&[
        ("i = 7", "1"),
        ("i = 7.0", "1"),
        ("i = '7'", "0"),
        ("i != 7", "0"),
        ("i <> 8", "1"),
        ("i < 8", "1"),
        ("i <= 7", "1"),
        ("i > 7", "0"),
        ("i >= 7.5", "0"),
        ("'a' < 'b'", "1"),
        ("9 < 'a'", "1"),
        ("n = n", "null"),
        ("n = 1", "null"),
        ("n != 1", "null"),
        ("1 < n", "null"),
        ("n IS NULL", "1"),
        ("i IS NULL", "0"),
        ("i IS NOT NULL", "1"),
        ("n IS NOT NULL", "0"),
        ("i = 7 IS NULL", "0"),
    ]);
}

#[test]
fn logic_takes_null_for_false() {
    assert_values(&[
        ("1 AND 1", "1"),
        ("1 AND n", "0"),
        ("0 OR n", "0"),
        ("n OR 2", "1"),
        ("NOT 1", "0"),
        ("NOT n", "1"),
        ("NOT i = 7", "0"),
        ("NOT 0 AND 0", "0"),
        ("1 OR 0 AND 0", "1"),
        ("(1 OR 0) AND 0", "0"),
        ("'1' AND 'x'", "0"),
    ]);
}

#[test]
fn arithmetic() {
    assert_values(&[
        ("i + 1", "8"),
        ("i - 10", "-3"),
        ("i * 2", "14"),
        ("i / 2", "3"),
        ("-7 / 2", "-3"),
        ("i / 2.0", "3.5"),
        ("i / 0", "null"),
        ("i / 0.0", "null"),
        ("i % 4", "3"),
        ("i % 0", "null"),
        ("r % 2", "0.5"),
        ("r + r", "5.0"),
        ("n + 1", "null"),
        ("'3' + 4", "7"),
        ("'3.5' + 4", "7.5"),
        ("'x' + 4", "4"),
        ("9223372036854775807 + 1", "9223372036854776000.0"),
        ("-9223372036854775808 / -1", "9223372036854776000.0"),
        ("-9223372036854775808 % -1", "0"),
        ("1e308 * 10", "null"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("10 - 3 - 2", "5"),
        ("i + 1 = 8", "1"),
    ]);
}

#[test]
fn bits() {
    assert_values(&[
        ("6 & 3", "2"),
        ("6 | 3", "7"),
        ("1 << 4", "16"),
        ("1 << 63", "-9223372036854775808"),
        ("1 << 64", "0"),
        ("-16 >> 2", "-4"),
        ("-1 >> 99", "-1"),
        ("1 >> 64", "0"),
        ("16 >> -1", "32"),
        ("16 << -2", "4"),
        ("n & 1", "null"),
        ("'6' & 3.9", "2"),
    ]);
}

#[test]
fn concatenation_writes_numbers_as_texts() {
    assert_values(&[
        ("'a' || 'b'", r#""ab""#),
        ("i || '-' || r", r#""7-2.5""#),
        ("2.0 || ''", r#""2""#),
        ("n || 'a'", "null"),
        ("1 + 2 || '3'", "24"),
    ]);
}

#[test]
fn membership_in_json_arrays() {
    assert_values(&[
        ("i IN '[1, 7]'", "1"),
        ("i IN '[7.0]'", "1"),
        ("i IN '[\"7\"]'", "0"),
        ("i IN '[]'", "0"),
        ("i IN (j -> '$.a.b')", "0"),
        ("1 IN j -> '$.a.b'", "1"),
        ("'x' IN j -> '$.a.b'", "1"),
        ("n IN '[1]'", "null"),
        ("1 IN n", "null"),
        ("1 IN NULL", "null"),
        ("i NOT IN '[1]'", "1"),
        ("i NOT IN '[7]'", "0"),
        ("n NOT IN '[7]'", "null"),
        ("1 IN json_keys('{\"1\": 0}')", "0"),
        ("'1' IN json_keys('{\"1\": 0}')", "1"),
    ]);
    assert_fails("1 IN s", EvaluationError::NotArray);
    assert_fails("1 IN j", EvaluationError::NotArray);
}

#[test]
fn casts() {
    assert_values(&[
        ("CAST(i AS TEXT)", r#""7""#),
        ("r :: text", r#""2.5""#),
        ("5.0 :: text", r#""5""#),
        ("CAST('12abc' AS integer)", "12"),
        ("2.9 :: integer", "2"),
        ("-2.1 :: integer", "-3"),
        ("'x' :: integer", "0"),
        ("'1.5x' :: numeric", "1.5"),
        ("'15' :: numeric", "15"),
        ("'1e2' :: numeric", "100.0"),
        ("'1.5x' :: real", "1.5"),
        ("7 :: real", "7.0"),
        ("'x' :: real", "0.0"),
        ("n :: text", "null"),
        ("n :: blob", "null"),
        ("typeof(i :: blob)", r#""blob""#),
        ("hex(i :: blob)", r#""37""#),
        ("b :: text", "\"\u{7ad}\""),
        ("-1 :: text", r#""-1""#),
    ]);
    assert_eq!(evaluated(2, "'x' :: blob"), Ok(None));
}

#[test]
fn text_functions() {
    assert_values(&[
        ("upper(s)", "\"HÉLLO😀\""),
        ("lower('ÀB')", "\"àb\""),
        ("upper(i)", r#""7""#),
        ("length(s)", "7"),
        ("length(b)", "2"),
        ("length(12.5)", "4"),
        ("hex('Aé')", r#""41C3A9""#),
        ("hex(b)", r#""DEAD""#),
        ("hex(255)", r#""323535""#),
        ("base64(b)", r#""3q0=""#),
        ("base64('')", r#""""#),
        ("base64('abc')", r#""YWJj""#),
        ("base64('a')", r#""YQ==""#),
        ("instr(s, 'l')", "3"),
        ("instr(s, '😀')", "6"),
        ("instr(s, 'z')", "0"),
        ("instr(s, '')", "1"),
        ("instr(b, b)", "1"),
        ("hex(uuid_blob('550e8400-e29b-41d4-a716-446655440000'))", r#""550E8400E29B41D4A716446655440000""#),
        ("uuid_blob('550e8400')", "null"),
        ("uuid_blob('550e8400-e29b-41d4-a716-44665544000g')", "null"),
        ("uuid_blob('5-50e8400e29b41d4a716446655440000')", "null"),
        ("typeof(n) || typeof(i) || typeof(r) || typeof(s) || typeof(b)", r#""nullintegerrealtextblob""#),
        ("ifnull(n, 3)", "3"),
        ("ifnull(i, 3)", "7"),
        ("ifnull(i, bad ->> 'x')", "7"),
        ("iif(i > 5, 'big', 'small')", r#""big""#),
        ("iif(n, 1, 2)", "2"),
    ]);
    for function in ["upper", "lower", "length", "hex", "base64", "uuid_blob", "json_valid", "json_keys"] {
        assert_values(&[(&format!("{function}(n)"), "null")]);
    }
    assert_values(&[("instr(s, n)", "null"), ("substring(n, 1)", "null"), ("json_array_length(n)", "null")]);
}

#[test]
fn substrings_follow_sqlite_in_utf16_units() {
    assert_values(&[
        ("substring('hello', 2)", r#""ello""#),
        ("substr('hello', 2, 2)", r#""el""#),
        ("substring('hello', 0, 3)", r#""he""#),
        ("substring('hello', 0)", r#""hello""#),
        ("substring('hello', -3)", r#""llo""#),
        ("substring('hello', -3, 2)", r#""ll""#),
        ("substring('hello', -9, 6)", r#""he""#),
        ("substring('hello', 4, -2)", r#""el""#),
        ("substring('hello', 9)", r#""""#),
        ("substring('hello', 2, 0)", r#""""#),
        ("substring('hello', 2, n)", "null"),
        ("substring('hello', n)", "null"),
        ("substring('hello', 9223372036854775807, 9223372036854775807)", r#""""#),
        ("substring('hello', -9223372036854775808, -9223372036854775808)", r#""""#),
        ("substring(s, 2, 1)", "\"é\""),
        ("substring(s, 6, 2)", "\"😀\""),
        ("substring(s, 6, 1)", "\"\u{fffd}\""),
        ("substring(12345, 2, 2)", r#""23""#),
    ]);
}

#[test]
fn json_operators() {
    assert_values(&[
        ("j -> 'a'", r#""{\"b\":[1,2.0,\"x\",true,null]}""#),
        ("j -> 'a' -> 'b' -> 2", r#""\"x\"""#),
        ("j -> 'a' ->> 'b'", r#""[1,2.0,\"x\",true,null]""#),
        ("j -> 'a' -> 'b' ->> 0", "1"),
        ("j -> 'a' -> 'b' ->> 1", "2.0"),
        ("j -> 'a' -> 'b' ->> 2", r#""x""#),
        ("j -> 'a' -> 'b' ->> 3", "1"),
        ("j -> 'a' -> 'b' ->> 4", "null"),
        ("j -> 'a' -> 'b' ->> 5", "null"),
        ("j -> 'a' -> 'b' ->> -3", r#""x""#),
        ("j -> 'a' -> 'b' ->> '2'", r#""x""#),
        ("j ->> '$.a.b[2]'", r#""x""#),
        ("j ->> '$.a.b[#-3]'", r#""x""#),
        ("j ->> '$.\"a.b\"'", r#""dot""#),
        ("j ->> 'a.b'", r#""dot""#),
        ("j ->> 'big'", r#""18446744073709551615""#),
        ("j ->> 'absent'", "null"),
        ("j ->> n", "null"),
        ("j ->> s", "null"),
        ("n ->> 'a'", "null"),
        ("j ->> 'a.b' || '!'", r#""dot!""#),
        ("5 ->> 'a'", "null"),
    ]);
    assert_fails("bad ->> 'a'", EvaluationError::NotJson);
    assert_fails("bad -> 0", EvaluationError::NotJson);
}

#[test]
fn the_first_edition_cuts_every_path_and_keeps_json_null() {
    for (expression, expected) in [
        ("j ->> 'a.b.2'", r#""x""#),
        ("j ->> '$.a.b.2'", r#""x""#),
        ("j ->> 'n'", r#""null""#),
        ("j -> 'n'", r#""null""#),
        ("j ->> 'absent'", "null"),
    ] {
        assert_eq!(evaluated(1, expression), Ok(Some(expected.to_owned())), "{expression}");
    }
    assert_values(&[("j ->> 'n'", "null"), ("j -> 'n'", "null")]);
}

#[test]
fn json_functions() {
    assert_values(&[
        ("json_extract(j, '$.a.b[2]')", r#""x""#),
        ("json_extract(j, '$.a.b')", r#""[1,2.0,\"x\",true,null]""#),
        ("json_extract(j, '$.absent')", "null"),
        ("json_extract('[1,2]', '$')", r#""[1,2]""#),
        ("json_extract('[0.9009004917506227]', '$[0]')", "0.9009004917506227"),
        ("json_extract(n, '$')", "null"),
        ("json_array_length('[1,2]')", "2"),
        ("json_array_length('{}')", "0"),
        ("json_array_length(j, '$.a.b')", "5"),
        ("json_array_length(j, '$.c')", "null"),
        ("json_valid('{}')", "1"),
        ("json_valid(bad)", "0"),
        ("json_keys('{\"b\":1,\"a\":2}')", r#""[\"b\",\"a\"]""#),
        ("json_keys('null')", "null"),
    ]);
    assert_fails("json_keys('[1]')", EvaluationError::NotObject);
    assert_fails("json_keys(bad)", EvaluationError::NotJson);
    assert_fails("json_extract(bad, '$')", EvaluationError::NotJson);
    assert_fails("json_extract(j, s)", EvaluationError::BadPath);
}

#[test]
fn json_beyond_what_is_read() {
    let nested = |levels| format!("json_valid('{}{}')", "[".repeat(levels), "]".repeat(levels));
    assert_values(&[
        (&nested(127), "1"),
        (&nested(128), "0"),
        ("json_valid('[1e308,-1e308]')", "1"),
        ("json_valid('[1e999]')", "0"),
    ]);
    assert_fails("json_extract('[1e999,1]', '$[1]')", EvaluationError::NotJson);
}

#[test]
fn times() {
    assert_values(&[
        ("unixepoch('2024-05-01T10:20:30.987654Z')", "1714558830"),
        ("unixepoch('2024-05-01T10:20:30.987654Z', 'subsec')", "1714558830.987"),
        ("unixepoch('2024-05-01T10:20:30Z', 'subsecond')", "1714558830.0"),
        ("unixepoch('2024-05-01 12:20:30+02:00')", "1714558830"),
        ("unixepoch('2024-05-01')", "1714521600"),
        ("unixepoch('1969-12-31 23:59:59.5')", "-1"),
        ("unixepoch(1714558830, 'unixepoch')", "1714558830"),
        ("unixepoch(2440587.5)", "0"),
        ("unixepoch('00:01')", "946684860"),
        ("unixepoch('0000-01-01')", "-62167219200"),
        ("unixepoch('9999-12-31 23:59:59')", "253402300799"),
        ("unixepoch('2024-13-01')", "null"),
        ("unixepoch('2024-05-01x')", "null"),
        ("unixepoch('now')", "null"),
        ("unixepoch('x')", "null"),
        ("unixepoch('')", "null"),
        ("unixepoch(n)", "null"),
        ("unixepoch('2024-05-01', 'localtime')", "null"),
        ("unixepoch(1e300)", "null"),
        ("datetime('2024-05-01T10:20:30.987654Z')", r#""2024-05-01 10:20:30""#),
        ("datetime('2024-05-01T10:20:30.987654Z', 'subsec')", r#""2024-05-01 10:20:30.987""#),
        ("datetime(1714558830, 'unixepoch')", r#""2024-05-01 10:20:30""#),
        ("datetime(1714558830.5, 'unixepoch', 'subsec')", r#""2024-05-01 10:20:30.500""#),
        ("datetime('2024-02-28 23:00-02:00')", r#""2024-02-29 01:00:00""#),
        ("datetime('1900-03-01')", r#""1900-03-01 00:00:00""#),
        ("datetime('2000-02-29T24:00')", r#""2000-03-01 00:00:00""#),
        ("datetime('é')", "null"),
    ]);
}
