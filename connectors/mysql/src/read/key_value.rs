//! Values of keys: as they are kept in a cursor, and as SQL literals that compare as the column itself does.

use millstream_core::schema::Column;
use millstream_core::value::ValueRef;
use mysql_async::Value;

use crate::decode::bytes::big_endian;
use crate::decode::column_type::ColumnType;

use super::key_column::{hexadecimal, text_literal};
use super::result_column::{date_time, duration};

/// One value of a key, exact, as text whose form follows from the column's type: digits for numbers, bits and labels;
/// the shortest exponent form for floating-point numbers; hexadecimal bytes in the column's own character set for
/// texts and binary strings; the server's notation for dates, times and addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyValue(String);

/// How a column's values can be compared in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Number,
    Float,
    Double,
    Text,
    Bytes,
    Quoted,
}

impl Form {
    /// `None` for what SQL doesn't compare by content.
    fn of(column_type: &ColumnType) -> Option<Form> {
        Some(match column_type {
            ColumnType::Int { .. }
            | ColumnType::Decimal { .. }
            | ColumnType::Year
            | ColumnType::Bit { .. }
            | ColumnType::Enum { .. }
            | ColumnType::Set { .. } => Form::Number,
            ColumnType::Float { .. } => Form::Float,
            ColumnType::Double { .. } => Form::Double,
            ColumnType::Char { .. } | ColumnType::VarChar { .. } | ColumnType::Text { .. } => Form::Text,
            ColumnType::Binary { .. } | ColumnType::VarBinary { .. } | ColumnType::Blob { .. } => Form::Bytes,
            ColumnType::Date
            | ColumnType::Time { .. }
            | ColumnType::DateTime { .. }
            | ColumnType::Timestamp { .. }
            | ColumnType::Uuid
            | ColumnType::Inet4
            | ColumnType::Inet6 => Form::Quoted,
            ColumnType::Json | ColumnType::Geometry | ColumnType::Vector => return None,
        })
    }

    /// Whether a cursor's text is of this form; a cursor that isn't is refused, so that none can be more than a value.
    fn admits(self, text: &str) -> bool {
        let all = |allowed: fn(u8) -> bool| !text.is_empty() && text.bytes().all(allowed);
        match self {
            Form::Number => all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')),
            Form::Float | Form::Double => all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'e')),
            Form::Text | Form::Bytes => {
                text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            Form::Quoted => all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b':' | b'.' | b' ')),
        }
    }
}

impl KeyValue {
    /// From a cursor.
    pub(super) fn from_cursor(text: &str, column_type: &ColumnType) -> Option<KeyValue> {
        Form::of(column_type)?.admits(text).then(|| KeyValue(text.to_owned()))
    }

    /// For a cursor.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// From a number, for a column of integers.
    pub(super) fn from_integer(number: i128) -> KeyValue {
        KeyValue(number.to_string())
    }

    /// From bytes, for a column of binary strings.
    pub(super) fn from_bytes(bytes: &[u8]) -> KeyValue {
        KeyValue(hexadecimal(bytes))
    }

    /// From a query's answer. `None` for NULL and for what isn't of the type.
    pub(super) fn from_answer(value: &Value, column_type: &ColumnType) -> Option<KeyValue> {
        let text = match (Form::of(column_type)?, value) {
            (_, Value::Int(number)) => number.to_string(),
            (_, Value::UInt(number)) => number.to_string(),
            (Form::Float, Value::Float(number)) => format!("{number:e}"),
            (Form::Double, Value::Double(number)) => format!("{number:e}"),
            // Bits come as bytes, decimals as digits.
            (Form::Number, Value::Bytes(bytes)) if matches!(column_type, ColumnType::Bit { .. }) => {
                big_endian(bytes).to_string()
            }
            (Form::Number | Form::Quoted, Value::Bytes(bytes)) => str::from_utf8(bytes).ok()?.to_owned(),
            (Form::Text | Form::Bytes, Value::Bytes(bytes)) => hexadecimal(bytes),
            (Form::Quoted, Value::Date(..)) => {
                let mut text = String::new();
                date_time(value).ok()?.write(6, &mut text);
                server_notation(&text)
            }
            (Form::Quoted, Value::Time(..)) => {
                let mut text = String::new();
                duration(value).ok()?.write(6, &mut text);
                text
            }
            _ => return None,
        };
        KeyValue::from_cursor(&text, column_type)
    }

    /// The literal for a column's value that came from a cursor or an answer.
    pub(super) fn literal(&self, column_type: &ColumnType, column: &Column) -> Option<String> {
        Some(match Form::of(column_type)? {
            Form::Number => self.0.clone(),
            // The server widens a FLOAT to compare it, so the literal is the same number widened.
            Form::Float => format!("{:e}", f64::from(self.0.parse::<f32>().ok()?)),
            Form::Double => format!("{:e}", self.0.parse::<f64>().ok()?),
            Form::Text => {
                let collation = column.collation.as_deref()?;
                let charset = collation.split('_').next()?;
                format!("_{charset} X'{}' COLLATE {collation}", self.0)
            }
            Form::Bytes => format!("X'{}'", self.0),
            Form::Quoted => format!("'{}'", self.0),
        })
    }
}

/// The literal for a value as the stream delivers it. `None` if it can't be compared in SQL, or isn't of the type.
pub(super) fn literal_of_value(value: ValueRef<'_>, column_type: &ColumnType, column: &Column) -> Option<String> {
    let text = match (Form::of(column_type)?, value) {
        (_, ValueRef::Null) => return Some("NULL".to_owned()),
        (Form::Number, ValueRef::Int(number)) => number.to_string(),
        (Form::Number, ValueRef::Text(text)) => match column_type {
            ColumnType::Enum { labels } => enum_number(text, labels)?.to_string(),
            ColumnType::Set { labels } => set_bits(text, labels)?.to_string(),
            _ => text.to_owned(),
        },
        (Form::Number, ValueRef::Blob(bits)) => big_endian(bits).to_string(),
        (Form::Float, ValueRef::Real(number)) => format!("{:e}", number as f32),
        (Form::Double, ValueRef::Real(number)) => format!("{number:e}"),
        (Form::Text, ValueRef::Text(text)) => {
            // The server itself turns it into the column's character set, so that an index on the column serves.
            let collation = column.collation.as_deref()?;
            let charset = collation.split('_').next()?;
            return Some(format!("CONVERT({} USING {charset}) COLLATE {collation}", text_literal(text)));
        }
        (Form::Bytes, ValueRef::Blob(bytes)) => hexadecimal(bytes),
        (Form::Quoted, ValueRef::Text(text)) => match column_type {
            ColumnType::DateTime { .. } | ColumnType::Timestamp { .. } => server_notation(text),
            _ => text.to_owned(),
        },
        _ => return None,
    };
    KeyValue::from_cursor(&text, column_type)?.literal(column_type, column)
}

/// `2024-01-02T03:04:05.000Z` as the server writes it.
fn server_notation(text: &str) -> String {
    text.trim_end_matches('Z').replace('T', " ")
}

fn enum_number(label: &str, labels: &[String]) -> Option<usize> {
    match labels.iter().position(|known| known == label) {
        Some(index) => Some(index + 1),
        None => label.is_empty().then_some(0),
    }
}

fn set_bits(text: &str, labels: &[String]) -> Option<u64> {
    let chosen: Vec<String> = serde_json::from_str(text).ok()?;
    chosen.iter().try_fold(0, |bits, label| {
        let index = labels.iter().position(|known| known == label)?;
        Some(bits | 1_u64.checked_shl(u32::try_from(index).ok()?)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(source_type: &str, collation: Option<&str>) -> (ColumnType, Column) {
        let column = Column {
            name: "k".to_owned(),
            source_type: source_type.to_owned(),
            nullable: false,
            collation: collation.map(str::to_owned),
            generated: None,
            default: None,
        };
        (ColumnType::parse(source_type).unwrap(), column)
    }

    #[test]
    fn cursors_hold_nothing_but_values() {
        for (source_type, bad) in [
            ("int", "1 OR 1=1"),
            ("int", ""),
            ("varchar(10)", "zz"),
            ("varchar(10)", "abc"),
            ("date", "' OR ''='"),
            ("double", "1,2"),
            ("json", "1"),
        ] {
            assert_eq!(KeyValue::from_cursor(bad, &ColumnType::parse(source_type).unwrap()), None, "{source_type}");
        }
    }

    #[test]
    fn values_of_answers_and_of_the_stream_give_the_literals() {
        let literals = |source_type: &str, collation: Option<&str>, answer: Value, value: ValueRef<'_>| {
            let (column_type, column) = column(source_type, collation);
            let key = KeyValue::from_answer(&answer, &column_type).unwrap();
            (key.literal(&column_type, &column).unwrap(), literal_of_value(value, &column_type, &column).unwrap())
        };
        let both = |literal: &str| (literal.to_owned(), literal.to_owned());
        assert_eq!(literals("bigint", None, Value::Int(-5), ValueRef::Int(-5)), both("-5"));
        assert_eq!(literals("float", None, Value::Float(0.1), ValueRef::Real(0.1)), both("1.0000000149011612e-1"));
        let moment = Value::Date(2024, 1, 2, 3, 4, 5, 600_000);
        let text = ValueRef::Text("2024-01-02T03:04:05.600000Z");
        assert_eq!(literals("datetime(6)", None, moment, text), both("'2024-01-02 03:04:05.600000'"));
        assert_eq!(literals("bit(9)", None, Value::Bytes(vec![1, 2]), ValueRef::Blob(&[1, 2])), both("258"));
        assert_eq!(literals("enum('a','b')", None, Value::UInt(2), ValueRef::Text("b")), both("2"));
        assert_eq!(literals("set('a','b')", None, Value::UInt(3), ValueRef::Text(r#"["a","b"]"#)), both("3"));
        assert_eq!(
            literals("varchar(3)", Some("latin1_bin"), Value::Bytes(vec![0xe9]), ValueRef::Text("é")),
            (
                "_latin1 X'E9' COLLATE latin1_bin".to_owned(),
                "CONVERT(_utf8mb4 X'C3A9' USING latin1) COLLATE latin1_bin".to_owned()
            )
        );
    }
}
