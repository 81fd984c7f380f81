//! JSON in and out: writing values, reading elements.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value as Json;

use crate::expression::EvaluationError;
use crate::number::write_json_real;
use crate::value::Value;

/// Appends a text as a JSON string.
pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // Whole runs are copied; only quotes, backslashes and control characters need escaping.
    while let Some(at) = first_escaped(rest.as_bytes()) {
        let (clean, escaped) = rest.split_at(at);
        out.push_str(clean);
        let mut chars = escaped.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(control) => {
                // Writing to a String can't fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// The first byte that can't stand in a JSON string as it is.
fn first_escaped(bytes: &[u8]) -> Option<usize> {
    /// Looked at together, without a branch for each byte: a few vector instructions.
    const RUN_BYTES: usize = 16;
    let is_escaped = |byte: &u8| (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
    let is_clean = |run: &&[u8]| !run.iter().fold(false, |found, byte| found | is_escaped(byte));
    let clean_bytes = bytes.chunks_exact(RUN_BYTES).take_while(is_clean).count() * RUN_BYTES;
    let found = bytes.iter().skip(clean_bytes).position(is_escaped)?;
    Some(clean_bytes + found)
}

/// Appends an integer.
pub(crate) fn write_integer(out: &mut String, value: i64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 || at == 0 {
            break;
        }
    }
    if value < 0 {
        out.push('-');
    }
    out.push_str(digits.get(at..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default());
}

/// Appends a value as it stands in an output row; a blob has no JSON and writes nothing.
pub(crate) fn write_value(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Int(value) => write_integer(out, *value),
        Value::Real(value) => write_json_real(out, *value),
        Value::Text(text) => write_text(out, text),
        Value::Blob(_) => {}
    }
}

/// Whether a value can be part of a bucket's name or of a lookup: neither NULL nor a blob.
pub(crate) fn is_parameter(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Blob(_) => false,
        Value::Real(value) => value.is_finite(),
        Value::Int(_) | Value::Text(_) => true,
    }
}

/// Appends a value to a bucket's name or a lookup, where 1 and 1.0 are the same.
pub(crate) fn write_parameter(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Real(real) => match as_integer(*real) {
            Some(integer) => write_integer(out, integer),
            None => write_json_real(out, *real),
        },
        other => write_value(out, other),
    }
}

/// A JSON array of parameters.
pub(crate) fn parameter_array<'v, 'a: 'v>(values: impl IntoIterator<Item = &'v Value<'a>>) -> String {
    let mut out = String::from("[");
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_parameter(&mut out, value);
    }
    out.push(']');
    out
}

fn as_integer(real: f64) -> Option<i64> {
    let in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&real);
    (in_range && real.floor() == real).then_some(real as i64)
}

/// Reads a JSON text.
pub(crate) fn parse(text: &str) -> Result<Json, EvaluationError> {
    serde_json::from_str(text).map_err(|_| EvaluationError::NotJson)
}

/// An element as a value: booleans are 1 and 0, arrays and objects their JSON text. An integer beyond 64 bits signed
/// is its text, as from a source.
pub(crate) fn element_value(element: &Json) -> Value<'static> {
    match element {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::boolean(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value),
            (None, Some(value)) => Value::text(value.to_string()),
            (None, None) => Value::Real(number.as_f64().unwrap_or(0.0)),
        },
        Json::String(text) => Value::Text(Cow::Owned(text.clone())),
        Json::Array(_) | Json::Object(_) => Value::text(element.to_string()),
    }
}

/// The elements of a JSON array, as the right side of IN has it; `None` for NULL.
pub(crate) fn array_values(value: &Value<'_>) -> Result<Option<Vec<Value<'static>>>, EvaluationError> {
    let Some(text) = value.to_text() else { return Ok(None) };
    match parse(&text) {
        Ok(Json::Array(elements)) => Ok(Some(elements.iter().map(element_value).collect())),
        Ok(_) | Err(_) => Err(EvaluationError::NotArray),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_json_wants() {
        for text in [
            "",
            "plain",
            "a\"b\\c",
            "\n\r\t\u{8}\u{c}\u{1}\u{1f}",
            "é€😀",
            "ends\"",
            "sixteen and more\nthan that",
            "a whole run of 16",
        ] {
            let mut out = String::new();
            write_text(&mut out, text);
            assert_eq!(out, serde_json::to_string(text).unwrap());
        }
    }

    #[test]
    fn integers_are_written_whole() {
        for value in [0, 1, -1, 10, 99, i64::MAX, i64::MIN, 1_000_000] {
            let mut out = String::new();
            write_integer(&mut out, value);
            assert_eq!(out, value.to_string());
        }
    }

    #[test]
    fn parameters_write_whole_reals_as_integers() {
        let values = [Value::Int(1), Value::Real(1.0), Value::Real(1.5), Value::text("a\"")];
        assert_eq!(parameter_array(&values), r#"[1,1,1.5,"a\""]"#);
        assert_eq!(parameter_array(&[Value::Real(1e300)]), "[1e+300]");
        assert_eq!(parameter_array(&[]), "[]");
    }

    #[test]
    fn elements_become_values() {
        let array = Value::text(r#"[1, 2.0, "x", true, null, {"a": [1]}, 18446744073709551615]"#);
        assert_eq!(
            array_values(&array).unwrap().unwrap(),
            [
                Value::Int(1),
                Value::Real(2.0),
                Value::text("x"),
                Value::Int(1),
                Value::Null,
                Value::text(r#"{"a":[1]}"#),
                Value::text("18446744073709551615"),
            ]
        );
        assert_eq!(array_values(&Value::Null), Ok(None));
        assert_eq!(array_values(&Value::text("{}")), Err(EvaluationError::NotArray));
        assert_eq!(array_values(&Value::text("nonsense")), Err(EvaluationError::NotArray));
    }
}
