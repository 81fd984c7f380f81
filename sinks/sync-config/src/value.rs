//! Values during evaluation: casts, comparison, truth.

use std::borrow::Cow;
use std::cmp::Ordering;

use millstream_core::value::ValueRef;

use crate::number::write_real;

/// A value; it borrows from the row or the query where it can.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(Cow<'a, str>),
    Blob(Cow<'a, [u8]>),
}

impl<'a> From<ValueRef<'a>> for Value<'a> {
    fn from(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Null => Value::Null,
            ValueRef::Int(value) => Value::Int(value),
            ValueRef::Real(value) => Value::Real(value),
            ValueRef::Text(text) => Value::Text(Cow::Borrowed(text)),
            ValueRef::Blob(bytes) => Value::Blob(Cow::Borrowed(bytes)),
        }
    }
}

/// A number: what arithmetic works on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Real(f64),
}

impl<'a> From<Number> for Value<'a> {
    fn from(number: Number) -> Self {
        match number {
            Number::Int(value) => Value::Int(value),
            Number::Real(value) => Value::Real(value),
        }
    }
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Value::Text(Cow::Owned(text.into()))
    }

    /// SQL has no booleans here: 1 and 0.
    pub(crate) fn boolean(value: bool) -> Self {
        Value::Int(i64::from(value))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The same value, borrowing from this one.
    pub(crate) fn borrow(&self) -> Value<'_> {
        match self {
            Value::Null => Value::Null,
            Value::Int(value) => Value::Int(*value),
            Value::Real(value) => Value::Real(*value),
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            Value::Blob(bytes) => Value::Blob(Cow::Borrowed(bytes)),
        }
    }

    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Int(value) => Value::Int(value),
            Value::Real(value) => Value::Real(value),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Blob(bytes) => Value::Blob(Cow::Owned(bytes.into_owned())),
        }
    }

    /// The type's name, as `typeof` gives it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Int(_) => "integer",
            Value::Real(_) => "real",
            Value::Text(_) => "text",
            Value::Blob(_) => "blob",
        }
    }

    /// Whether a condition holds: a number other than 0. NULL doesn't; texts are read as numbers.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Int(value) => *value != 0,
            Value::Real(value) => *value != 0.0,
            Value::Text(_) | Value::Blob(_) => match self.to_number() {
                Some(Number::Int(value)) => value != 0,
                Some(Number::Real(value)) => value != 0.0,
                None => false,
            },
        }
    }

    /// `CAST(.. AS TEXT)`; `None` for NULL. A whole real is written without a fraction, so that an id or a lookup by
    /// 5.0 is one by 5. Bytes that aren't UTF-8 are replaced.
    pub(crate) fn to_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Null => None,
            Value::Int(value) => Some(Cow::Owned(value.to_string())),
            Value::Real(value) => {
                let mut text = String::new();
                write_real(&mut text, *value);
                Some(Cow::Owned(text))
            }
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
        }
    }

    /// [`to_text`](Self::to_text), keeping what is borrowed from the row borrowed.
    pub(crate) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Value::Text(text) => Some(text),
            Value::Blob(Cow::Borrowed(bytes)) => Some(String::from_utf8_lossy(bytes)),
            other => other.to_text().map(|text| Cow::Owned(text.into_owned())),
        }
    }

    /// `CAST(.. AS BLOB)`; `None` for NULL. Numbers become the bytes of their text.
    pub(crate) fn into_bytes(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Value::Blob(bytes) => Some(bytes),
            Value::Text(Cow::Borrowed(text)) => Some(Cow::Borrowed(text.as_bytes())),
            other => other.into_text().map(|text| Cow::Owned(text.into_owned().into_bytes())),
        }
    }

    /// `CAST(.. AS INTEGER)`; `None` for NULL. Reals are rounded down; of texts the leading digits count. What
    /// doesn't fit 64 bits becomes the nearest number that does.
    pub(crate) fn to_integer(&self) -> Option<i64> {
        match self {
            Value::Null => None,
            Value::Int(value) => Some(*value),
            // A cast from float to integer saturates, and turns NaN into 0.
            Value::Real(value) => Some(value.floor() as i64),
            Value::Text(text) => Some(leading_integer(text)),
            Value::Blob(bytes) => Some(leading_integer(&String::from_utf8_lossy(bytes))),
        }
    }

    /// `CAST(.. AS REAL)`; `None` for NULL.
    pub(crate) fn to_real(&self) -> Option<f64> {
        match self {
            Value::Real(value) => Some(*value),
            other => other.to_number().map(|number| match number {
                Number::Int(value) => value as f64,
                Number::Real(value) => value,
            }),
        }
    }

    /// `CAST(.. AS NUMERIC)`, which arithmetic applies to its operands; `None` for NULL. A text with a fraction or an
    /// exponent becomes a real, one of digits an integer, any other 0.
    pub(crate) fn to_number(&self) -> Option<Number> {
        match self {
            Value::Null => None,
            Value::Int(value) => Some(Number::Int(*value)),
            Value::Real(value) => Some(Number::Real(*value)),
            Value::Text(text) => Some(leading_number(text)),
            Value::Blob(bytes) => Some(leading_number(&String::from_utf8_lossy(bytes))),
        }
    }

    /// How two values compare; `None` if either is NULL. Numbers compare by value whether integer or real; numbers
    /// come before texts, texts before blobs.
    pub(crate) fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        Some(match (self, other) {
            (Value::Null, _) | (_, Value::Null) => return None,
            (Value::Int(left), Value::Int(right)) => left.cmp(right),
            (Value::Int(left), Value::Real(right)) => compare_mixed(*left, *right),
            (Value::Real(left), Value::Int(right)) => compare_mixed(*right, *left).reverse(),
            // There is no NaN in a database; treating it as equal keeps the comparison total.
            (Value::Real(left), Value::Real(right)) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
            (Value::Text(left), Value::Text(right)) => left.cmp(right),
            (Value::Blob(left), Value::Blob(right)) => left.cmp(right),
            (left, right) => left.rank().cmp(&right.rank()),
        })
    }

    /// Whether two values are equal; NULL equals nothing.
    pub(crate) fn equals(&self, other: &Value<'_>) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Int(_) | Value::Real(_) => 1,
            Value::Text(_) => 2,
            Value::Blob(_) => 3,
        }
    }
}

/// Compares without rounding: an integer of 64 bits doesn't always fit a double.
fn compare_mixed(left: i64, right: f64) -> Ordering {
    if right.is_nan() {
        return Ordering::Equal;
    }
    // Both bounds are powers of two, so they are doubles exactly.
    if right >= 9_223_372_036_854_775_808.0 {
        return Ordering::Less;
    }
    if right < -9_223_372_036_854_775_808.0 {
        return Ordering::Greater;
    }
    let whole = right.floor();
    left.cmp(&(whole as i64)).then(if right > whole { Ordering::Less } else { Ordering::Equal })
}

/// The longest prefix of `text` that `[+-]?[0-9]+` matches, after white space.
fn integer_prefix(text: &str) -> &str {
    let text = text.trim_ascii_start();
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = text.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
    if digits == 0 { "" } else { text.get(..sign + digits).unwrap_or_default() }
}

fn leading_integer(text: &str) -> i64 {
    let prefix = integer_prefix(text);
    if prefix.is_empty() {
        return 0;
    }
    // Only the range can be wrong.
    prefix.parse().unwrap_or(if prefix.starts_with('-') { i64::MIN } else { i64::MAX })
}

fn leading_number(text: &str) -> Number {
    let prefix = number_prefix(text);
    match prefix.parse::<i64>() {
        Ok(value) => Number::Int(value),
        Err(_) => match prefix.parse::<f64>() {
            Ok(value) if value.is_finite() => Number::Real(value),
            _ => Number::Int(0),
        },
    }
}

/// The longest prefix of `text` that reads as a decimal number, after white space.
fn number_prefix(text: &str) -> &str {
    let text = text.trim_ascii_start();
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(text.starts_with(['+', '-']));
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return "";
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent_sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + exponent_sign);
        if exponent > 0 {
            end += 1 + exponent_sign + exponent;
        }
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text))
    }

    #[test]
    fn casts_to_integer_take_leading_digits_and_round_down() {
        for (input, expected) in [
            ("12", 12),
            ("12.9", 12),
            ("-12x", -12),
            ("+7", 7),
            (" 7", 7),
            ("x7", 0),
            ("", 0),
            ("-", 0),
            ("1e3", 1),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", i64::MIN),
        ] {
            assert_eq!(text(input).to_integer(), Some(expected), "{input}");
        }
        assert_eq!(Value::Real(1.9).to_integer(), Some(1));
        assert_eq!(Value::Real(-1.1).to_integer(), Some(-2));
        assert_eq!(Value::Real(1e300).to_integer(), Some(i64::MAX));
        assert_eq!(Value::Null.to_integer(), None);
        assert_eq!(Value::Blob(Cow::Borrowed(b"42")).to_integer(), Some(42));
    }

    #[test]
    fn casts_to_numeric_keep_fractions_and_exponents() {
        for (input, expected) in [
            ("12", Number::Int(12)),
            ("12.5abc", Number::Real(12.5)),
            ("1e3", Number::Real(1000.0)),
            ("1e", Number::Int(1)),
            (".5", Number::Real(0.5)),
            ("5.", Number::Real(5.0)),
            (".", Number::Int(0)),
            ("abc", Number::Int(0)),
            ("inf", Number::Int(0)),
            ("9223372036854775808", Number::Real(9_223_372_036_854_775_808.0)),
            ("1e999", Number::Int(0)),
        ] {
            assert_eq!(text(input).to_number(), Some(expected), "{input}");
        }
        assert_eq!(text("12abc").to_real(), Some(12.0));
        assert_eq!(text("abc").to_real(), Some(0.0));
    }

    #[test]
    fn numbers_compare_by_value_and_types_by_rank() {
        assert!(Value::Int(1).equals(&Value::Real(1.0)));
        assert!(!Value::Int(1).equals(&text("1")));
        assert!(!Value::Null.equals(&Value::Null));
        assert_eq!(Value::Int(i64::MAX).compare(&Value::Real(9_223_372_036_854_775_808.0)), Some(Ordering::Less));
        assert_eq!(Value::Real(2.5).compare(&Value::Int(2)), Some(Ordering::Greater));
        assert_eq!(Value::Real(-2.5).compare(&Value::Int(-2)), Some(Ordering::Less));
        assert_eq!(Value::Int(9).compare(&text("1")), Some(Ordering::Less));
        assert_eq!(text("z").compare(&Value::Blob(Cow::Borrowed(b"a"))), Some(Ordering::Less));
    }

    #[test]
    fn truth_is_a_number_other_than_zero() {
        for (value, expected) in [
            (Value::Null, false),
            (Value::Int(0), false),
            (Value::Int(-1), true),
            (Value::Real(0.5), true),
            (Value::Real(0.0), false),
            (text("1"), true),
            (text("0.5"), true),
            (text("true"), false),
            (text(""), false),
        ] {
            assert_eq!(value.is_true(), expected, "{value:?}");
        }
    }

    #[test]
    fn texts_of_numbers() {
        assert_eq!(Value::Real(5.0).to_text().unwrap(), "5");
        assert_eq!(Value::Real(5.25).to_text().unwrap(), "5.25");
        assert_eq!(Value::Int(i64::MIN).to_text().unwrap(), "-9223372036854775808");
        assert_eq!(Value::Null.to_text(), None);
    }
}
