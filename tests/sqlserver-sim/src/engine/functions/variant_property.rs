//! `SQL_VARIANT_PROPERTY`.

use crate::error::SqlResult;
use crate::value::sql_type::Family;
use crate::value::{SqlType, Value};

use super::Parameter::{Any, Text};
use super::{Builtin, text_at, variant};

pub const FUNCTIONS: &[Builtin] =
    &[Builtin::new("SQL_VARIANT_PROPERTY", 2..=2, &[Any, Text], variant, |_, values, types, _| {
        let value = values.first().unwrap_or(&Value::Null);
        let declared = types.first().copied().unwrap_or(SqlType::Variant);
        // A variant knows its value, and by that its type.
        let base = if declared == SqlType::Variant { value.natural_type() } else { declared };
        property(value, base, text_at(values, 1))
    })];

fn property(value: &Value, base: SqlType, name: &str) -> SqlResult<Value> {
    let int = |number: i64| Value::Int(i32::try_from(number).unwrap_or(i32::MAX));
    Ok(match name.to_ascii_lowercase().as_str() {
        "basetype" => Value::text(base.name()),
        "precision" => int(i64::from(precision(base))),
        "scale" => int(i64::from(scale(base))),
        "maxlength" => int(i64::from(base.max_length())),
        "totalbytes" => int(content_bytes(value, base) + i64::from(overhead(base))),
        "collation" if base.is_character() => Value::text("SQL_Latin1_General_CP1_CI_AS"),
        _ => Value::Null,
    })
}

fn precision(base: SqlType) -> u8 {
    match base {
        SqlType::Bit => 1,
        SqlType::TinyInt => 3,
        SqlType::SmallInt => 5,
        SqlType::Int => 10,
        SqlType::BigInt => 19,
        SqlType::Money => 19,
        SqlType::SmallMoney => 10,
        SqlType::Real => 24,
        SqlType::Float => 53,
        SqlType::Decimal { precision, .. } | SqlType::Numeric { precision, .. } => precision,
        SqlType::Date => 10,
        SqlType::SmallDateTime => 16,
        SqlType::DateTime => 23,
        SqlType::Time(scale) => 8 + u8::from(scale > 0) + scale,
        SqlType::DateTime2(scale) => 19 + u8::from(scale > 0) + scale,
        SqlType::DateTimeOffset(scale) => 26 + u8::from(scale > 0) + scale,
        _ => 0,
    }
}

fn scale(base: SqlType) -> u8 {
    match base {
        SqlType::Money | SqlType::SmallMoney => 4,
        SqlType::Decimal { scale, .. } | SqlType::Numeric { scale, .. } => scale,
        SqlType::DateTime => 3,
        SqlType::Time(scale) | SqlType::DateTime2(scale) | SqlType::DateTimeOffset(scale) => scale,
        _ => 0,
    }
}

fn content_bytes(value: &Value, base: SqlType) -> i64 {
    let bytes = match value {
        Value::Text(text) if base.is_unicode() => text.encode_utf16().count() * 2,
        Value::Text(text) => text.chars().count(),
        Value::Binary(bytes) => bytes.len(),
        _ => return i64::from(base.max_length()),
    };
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What a variant takes beside its content: the type, its version, and what describes it.
fn overhead(base: SqlType) -> u8 {
    match base.family() {
        Family::Character => 8,
        Family::Binary | Family::Decimal => 4,
        _ => match base {
            SqlType::Time(_) | SqlType::DateTime2(_) | SqlType::DateTimeOffset(_) => 3,
            _ => 2,
        },
    }
}
