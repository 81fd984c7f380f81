//! Conversions between types: which are allowed, and what they give.

mod moment;
mod text;
mod xml;

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};

use super::calendar;
use super::decimal::{Decimal, Overflow};
use super::sql_type::Family;
use super::{Length, SqlType, Value, literal};
use moment::to_moment;
use text::{cut_text, to_text};

/// Whether a conversion stands in the statement or is the server's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    Implicit,
    Explicit,
}

/// Whether a conversion exists at all between two types.
///
/// # Errors
/// 257 where it must be written, 529 where there is none, 206 where the types have nothing to do with each other.
pub fn check(from: SqlType, to: SqlType, manner: Manner) -> SqlResult<()> {
    use Family::{Approximate, Binary, Character, Clr, DateTime, Integer, Money, Uuid, Variant, Xml};
    let (source, target) = (from.family(), to.family());
    let never = || match manner {
        Manner::Explicit => {
            let text = format!("Explicit conversion from data type {} to {} is not allowed.", from.name(), to.name());
            SqlError::new(529, 16, text).with_state(2)
        }
        Manner::Implicit => SqlError::operand_clash(from.name(), to.name()),
    };
    let must_be_written = || SqlError::implicit_conversion_refused(from.name(), to.name());
    let implicit = manner == Manner::Implicit;
    match (source, target) {
        (Character, Binary) if implicit && to != SqlType::RowVersion => Err(must_be_written()),
        (Character, Binary) if implicit => Err(must_be_written()),
        (Binary, Approximate) | (Approximate, Binary) if target == Approximate => Err(never()),
        (Integer | Family::Decimal | Money | Approximate, Uuid)
        | (Uuid, Integer | Family::Decimal | Money | Approximate) => Err(never()),
        (Uuid, DateTime) | (DateTime, Uuid) | (Uuid, Xml) | (Xml, Uuid) => Err(never()),
        // Only datetime and smalldatetime are numbers of days.
        (DateTime, Integer | Family::Decimal | Money | Approximate) => {
            if !matches!(from, SqlType::DateTime | SqlType::SmallDateTime) {
                Err(never())
            } else if implicit {
                Err(must_be_written())
            } else {
                Ok(())
            }
        }
        (Integer | Family::Decimal | Money | Approximate, DateTime)
            if !matches!(to, SqlType::DateTime | SqlType::SmallDateTime) =>
        {
            Err(never())
        }
        (DateTime, Binary) if implicit => Err(must_be_written()),
        (DateTime, DateTime) => match (from, to) {
            (SqlType::Date, SqlType::Time(_)) | (SqlType::Time(_), SqlType::Date) => Err(never()),
            _ => Ok(()),
        },
        (Variant, other) if implicit && other != Variant => Err(must_be_written()),
        (Xml, Integer | Family::Decimal | Money | Approximate | DateTime) => Err(never()),
        (Integer | Family::Decimal | Money | Approximate | DateTime, Xml) => Err(never()),
        (Clr, Character | Binary) | (Character | Binary, Clr) if !implicit || source == Character => Ok(()),
        (Clr, Clr) if from == to => Ok(()),
        (Clr, _) | (_, Clr) => Err(never()),
        _ => Ok(()),
    }
}

/// The value as the target type holds it. Texts and bytes that are too long are cut, as `CAST` does.
///
/// # Errors
/// 241, 242, 245, 248, 8114, 8115, 8169 and 220 where the value has no counterpart.
pub fn convert(value: &Value, from: SqlType, to: SqlType, style: Option<i32>) -> SqlResult<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    // The value of a variant says itself what it is.
    let from = if from == SqlType::Variant { value.natural_type() } else { from };
    match to {
        SqlType::Variant => Ok(value.clone()),
        SqlType::Bit => to_bit(value, from),
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => to_integer(value, from, to),
        SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
            to_decimal(value, from, to, precision, scale)
        }
        SqlType::Money | SqlType::SmallMoney => to_money(value, from, to),
        SqlType::Real | SqlType::Float => to_float(value, from, to),
        SqlType::UniqueIdentifier => to_uuid(value, from),
        SqlType::Binary(_) | SqlType::VarBinary(_) | SqlType::Image | SqlType::RowVersion => {
            to_binary(value, from, to, style)
        }
        SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography => {
            if let Value::Text(_) = value {
                return Err(SqlError::unsupported(format!("texts as {}; give the bytes", to.name())));
            }
            to_binary(value, from, SqlType::VarBinary(Length::Max), style)
        }
        SqlType::Date
        | SqlType::Time(_)
        | SqlType::SmallDateTime
        | SqlType::DateTime
        | SqlType::DateTime2(_)
        | SqlType::DateTimeOffset(_) => to_moment(value, from, to, style),
        SqlType::Xml if from != SqlType::Xml => {
            let made = to_text(value, from, to, style)?;
            made.as_text().map_or(Ok(()), xml::check_form)?;
            Ok(made)
        }
        _ => to_text(value, from, to, style),
    }
}

/// What of a text would be cut off by storing it, as error 2628 shows it: the part that fits. None where all fits.
pub fn truncated_text(value: &Value, to: SqlType) -> Option<String> {
    match (value, to) {
        (Value::Text(text), _) if to.is_character() => {
            let units = to.character_length().units()?;
            let cut = cut_text(text, units, to.is_unicode());
            let rest = text.get(cut.len()..).unwrap_or_default();
            (!rest.chars().all(|c| c == ' ')).then(|| cut.to_owned())
        }
        (Value::Binary(bytes), SqlType::Binary(n)) => {
            let rest = bytes.get(usize::from(n)..)?;
            rest.iter().any(|byte| *byte != 0).then(String::new)
        }
        (Value::Binary(bytes), SqlType::VarBinary(Length::Limited(n))) => {
            bytes.get(usize::from(n)..).filter(|rest| !rest.is_empty()).map(|_| String::new())
        }
        _ => None,
    }
}

fn overflow(from: SqlType, to: SqlType) -> SqlError {
    let source = match from.family() {
        Family::Integer => "expression".to_owned(),
        Family::Decimal => "numeric".to_owned(),
        _ => from.name().to_owned(),
    };
    let target = if to.family() == Family::Decimal { "numeric" } else { to.name() };
    SqlError::arithmetic_overflow(&source, target)
}

fn refused(from: SqlType, to: SqlType) -> SqlError {
    let text = format!("Error converting data type {} to {}.", from.name(), to.name());
    SqlError::new(8114, 16, text).with_state(5)
}

fn to_bit(value: &Value, from: SqlType) -> SqlResult<Value> {
    Ok(Value::Bit(match value {
        Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" => true,
            "false" | "" => false,
            digits => match digits.parse::<i64>() {
                Ok(number) => number != 0,
                Err(_) => return Err(SqlError::conversion_failed(from.name(), text, "bit")),
            },
        },
        Value::Decimal(n) => !n.is_zero(),
        Value::Money(n) => *n != 0,
        Value::Real(n) => *n != 0.0,
        Value::Float(n) => *n != 0.0,
        Value::Binary(bytes) => bytes.iter().any(|byte| *byte != 0),
        other => other.as_integer().ok_or_else(|| refused(from, SqlType::Bit))? != 0,
    }))
}

fn to_integer(value: &Value, from: SqlType, to: SqlType) -> SqlResult<Value> {
    let whole: i128 = match value {
        Value::Text(text) => return text_to_integer(text, from, to),
        Value::Decimal(n) => n.truncated(0).map_err(|Overflow| overflow(from, to))?.units(),
        Value::Money(n) => {
            // Money rounds where decimals are cut.
            i128::from(n.signum()) * ((i128::from(n.abs()) + 5_000) / 10_000)
        }
        Value::Real(n) => float_to_whole(f64::from(*n), from, to)?,
        Value::Float(n) => float_to_whole(*n, from, to)?,
        Value::Binary(bytes) => binary_to_whole(bytes, to),
        Value::DateTime { .. } | Value::SmallDateTime { .. } => float_to_whole(days_of(value).round(), from, to)?,
        other => i128::from(other.as_integer().ok_or_else(|| refused(from, to))?),
    };
    integer(whole, to).ok_or_else(|| integer_overflow(whole, from, to))
}

fn integer_overflow(whole: i128, from: SqlType, to: SqlType) -> SqlError {
    match to {
        SqlType::TinyInt | SqlType::SmallInt if from.family() == Family::Integer => {
            let text = format!("Arithmetic overflow error for data type {}, value = {whole}.", to.name());
            SqlError::new(220, 16, text)
        }
        _ => overflow(from, to),
    }
}

/// A whole number in the width of an integer type; None where it doesn't fit.
pub fn integer(whole: i128, to: SqlType) -> Option<Value> {
    Some(match to {
        SqlType::Bit => Value::Bit(whole != 0),
        SqlType::TinyInt => Value::TinyInt(whole.try_into().ok()?),
        SqlType::SmallInt => Value::SmallInt(whole.try_into().ok()?),
        SqlType::Int => Value::Int(whole.try_into().ok()?),
        _ => Value::BigInt(whole.try_into().ok()?),
    })
}

fn text_to_integer(text: &str, from: SqlType, to: SqlType) -> SqlResult<Value> {
    let digits = text.trim();
    if digits.is_empty() {
        return integer(0, to).ok_or_else(|| overflow(from, to));
    }
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits).trim_start();
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        if to == SqlType::BigInt {
            return Err(refused(from, to));
        }
        return Err(SqlError::conversion_failed(from.name(), text, to.name()));
    }
    let magnitude: Option<i128> = unsigned.parse().ok();
    let whole = magnitude.map(|n| if digits.starts_with('-') { -n } else { n });
    whole.and_then(|whole| integer(whole, to)).ok_or_else(|| match to {
        SqlType::BigInt => overflow(from, to),
        SqlType::Int => {
            let message = format!("The conversion of the {} value '{text}' overflowed an int column.", from.name());
            SqlError::new(248, 16, message)
        }
        _ => {
            let width = if to == SqlType::TinyInt { "INT1" } else { "INT2" };
            let message = format!("The conversion of the {} value '{text}' overflowed an {width} column.", from.name());
            SqlError::new(244, 16, message).with_state(2)
        }
    })
}

fn float_to_whole(number: f64, from: SqlType, to: SqlType) -> SqlResult<i128> {
    let whole = number.trunc();
    if whole.abs() < 1e19 {
        // In range: the cast is exact.
        #[expect(clippy::cast_possible_truncation)]
        return Ok(whole as i128);
    }
    Err(overflow(from, to))
}

/// The rightmost bytes, the highest first.
fn binary_to_whole(bytes: &[u8], to: SqlType) -> i128 {
    let width = usize::try_from(to.max_length()).unwrap_or(8);
    let kept = bytes.get(bytes.len().saturating_sub(width)..).unwrap_or_default();
    let unsigned = kept.iter().fold(0_i128, |sum, byte| (sum << 8) | i128::from(*byte));
    let full = kept.len() == width && to != SqlType::TinyInt;
    if full && kept.first().is_some_and(|byte| byte & 0x80 != 0) {
        unsigned - (1_i128 << (8 * width))
    } else {
        unsigned
    }
}

/// Days since 1900 with the part of the day as a fraction.
fn days_of(value: &Value) -> f64 {
    match value {
        Value::DateTime { days, ticks } => {
            f64::from(*days) + f64::from(*ticks) / f64::from(calendar::DATETIME_TICKS_PER_DAY)
        }
        Value::SmallDateTime { days, minutes } => f64::from(*days) + f64::from(*minutes) / 1440.0,
        _ => 0.0,
    }
}

/// The exact number of a value that has one; floats by their shortest text.
pub fn exact(value: &Value) -> Option<Decimal> {
    Some(match value {
        Value::Decimal(n) => *n,
        Value::Money(n) => Decimal::new(i128::from(*n), 4),
        other => Decimal::new(i128::from(other.as_integer()?), 0),
    })
}

fn float_to_decimal(number: f64, scale: u8) -> Option<Result<Decimal, Overflow>> {
    // The server rounds at the seventeenth significant digit, which the plain notation below passes on.
    if !number.is_finite() {
        return None;
    }
    Decimal::parse(&format!("{number:.*}", usize::from(scale)))
}

fn to_decimal(value: &Value, from: SqlType, to: SqlType, precision: u8, scale: u8) -> SqlResult<Value> {
    let number = match value {
        Value::Text(text) => match Decimal::parse(text) {
            Some(number) => number,
            None => {
                return Err(SqlError::new(8114, 16, format!("Error converting data type {} to numeric.", from.name()))
                    .with_state(5));
            }
        },
        Value::Real(n) => float_to_decimal(f64::from(*n), scale).ok_or_else(|| refused(from, to))?,
        Value::Float(n) => float_to_decimal(*n, scale).ok_or_else(|| refused(from, to))?,
        Value::DateTime { .. } | Value::SmallDateTime { .. } => {
            float_to_decimal(days_of(value), scale).ok_or_else(|| refused(from, to))?
        }
        Value::Binary(bytes) => Ok(Decimal::new(binary_to_whole(bytes, SqlType::BigInt), 0)),
        other => Ok(exact(other).ok_or_else(|| refused(from, to))?),
    };
    number.and_then(|number| number.fitted(precision, scale)).map(Value::Decimal).map_err(|Overflow| {
        match from.family() {
            Family::Integer => SqlError::arithmetic_overflow(from.name(), "numeric").with_state(8),
            _ => overflow(from, to).with_state(8),
        }
    })
}

fn to_money(value: &Value, from: SqlType, to: SqlType) -> SqlResult<Value> {
    let number = match value {
        Value::Text(text) => {
            let plain: String = text.trim().chars().filter(|c| !matches!(c, ',' | '$')).collect();
            match Decimal::parse(if plain.is_empty() { "0" } else { &plain }) {
                Some(number) => number,
                None => {
                    return Err(SqlError::new(
                        235,
                        16,
                        "Cannot convert a char value to money. The char value has incorrect syntax.",
                    ));
                }
            }
        }
        Value::Real(n) => float_to_decimal(f64::from(*n), 4).ok_or_else(|| refused(from, to))?,
        Value::Float(n) => float_to_decimal(*n, 4).ok_or_else(|| refused(from, to))?,
        Value::DateTime { .. } | Value::SmallDateTime { .. } => {
            float_to_decimal(days_of(value), 4).ok_or_else(|| refused(from, to))?
        }
        Value::Binary(bytes) => Ok(Decimal::new(binary_to_whole(bytes, SqlType::BigInt), 4)),
        other => Ok(exact(other).ok_or_else(|| refused(from, to))?),
    };
    let units = number.and_then(|number| number.rescaled(4)).ok().and_then(|number| i64::try_from(number.units()).ok());
    let fits = |units: &i64| to == SqlType::Money || i32::try_from(*units).is_ok();
    units.filter(fits).map(Value::Money).ok_or_else(|| overflow(from, to))
}

fn to_float(value: &Value, from: SqlType, to: SqlType) -> SqlResult<Value> {
    let number = match value {
        Value::Text(text) => {
            let trimmed = text.trim();
            let plain =
                trimmed.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
            match trimmed.parse::<f64>() {
                Ok(number) if plain => number,
                _ if trimmed.is_empty() => 0.0,
                _ => return Err(refused(from, to)),
            }
        }
        Value::Real(n) => f64::from(*n),
        Value::Float(n) => *n,
        Value::DateTime { .. } | Value::SmallDateTime { .. } => days_of(value),
        other => exact(other).ok_or_else(|| refused(from, to))?.to_f64(),
    };
    if to == SqlType::Float {
        return if number.is_finite() { Ok(Value::Float(number)) } else { Err(overflow(from, to)) };
    }
    #[expect(clippy::cast_possible_truncation)]
    let narrow = number as f32;
    if narrow.is_finite() { Ok(Value::Real(narrow)) } else { Err(overflow(from, to)) }
}

fn to_uuid(value: &Value, from: SqlType) -> SqlResult<Value> {
    match value {
        Value::Uuid(id) => Ok(Value::Uuid(*id)),
        Value::Text(text) => literal::uuid(text).map(Value::Uuid).ok_or_else(|| {
            SqlError::new(8169, 16, "Conversion failed when converting from a character string to uniqueidentifier.")
                .with_state(2)
        }),
        Value::Binary(bytes) => match bytes.get(..16).map(<[u8; 16]>::try_from) {
            Some(Ok(wire)) => Ok(Value::Uuid(swapped_uuid(&wire))),
            _ => Err(SqlError::new(8170, 16, "Insufficient result space to convert binary value to uniqueidentifier.")),
        },
        _ => Err(refused(from, SqlType::UniqueIdentifier)),
    }
}

/// Between the order of the text form and that of the bytes, in which the first three groups are turned round.
pub fn swapped_uuid(id: &[u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *id;
    let [i, j, k, l, m, n, o, p] = rest;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

fn to_binary(value: &Value, from: SqlType, to: SqlType, style: Option<i32>) -> SqlResult<Value> {
    let (bytes, from_number): (Vec<u8>, bool) = match value {
        Value::Binary(bytes) => (bytes.to_vec(), false),
        Value::Text(text) => (text_to_bytes(text, from, style)?, false),
        Value::Bit(bit) => (vec![u8::from(*bit)], true),
        Value::TinyInt(n) => (n.to_be_bytes().to_vec(), true),
        Value::SmallInt(n) => (n.to_be_bytes().to_vec(), true),
        Value::Int(n) => (n.to_be_bytes().to_vec(), true),
        Value::BigInt(n) | Value::Money(n) => (n.to_be_bytes().to_vec(), true),
        Value::Real(n) => (n.to_be_bytes().to_vec(), true),
        Value::Float(n) => (n.to_be_bytes().to_vec(), true),
        Value::Uuid(id) => (swapped_uuid(id).to_vec(), false),
        Value::DateTime { days, ticks } => ([days.to_be_bytes(), ticks.to_be_bytes()].concat(), true),
        Value::SmallDateTime { days, minutes } => ([days.to_be_bytes(), minutes.to_be_bytes()].concat(), true),
        _ => return Err(SqlError::unsupported(format!("the conversion of {from} to {to}"))),
    };
    let wanted = match to {
        SqlType::Binary(n) => Some((usize::from(n), true)),
        SqlType::RowVersion => Some((8, true)),
        SqlType::VarBinary(Length::Limited(n)) => Some((usize::from(n), false)),
        _ => None,
    };
    Ok(Value::Binary(Arc::from(match wanted {
        Some((length, fixed)) => resized(bytes, length, fixed, from_number),
        None => bytes,
    })))
}

/// Numbers keep their low bytes and are filled up on the left; the rest is cut and filled up on the right.
fn resized(mut bytes: Vec<u8>, length: usize, fixed: bool, from_number: bool) -> Vec<u8> {
    if from_number {
        if bytes.len() > length {
            return bytes.split_off(bytes.len() - length);
        }
        if fixed {
            let mut filled = vec![0; length - bytes.len()];
            filled.append(&mut bytes);
            return filled;
        }
        return bytes;
    }
    bytes.truncate(length);
    if fixed {
        bytes.resize(length, 0);
    }
    bytes
}

fn text_to_bytes(text: &str, from: SqlType, style: Option<i32>) -> SqlResult<Vec<u8>> {
    let digits = match style {
        Some(1) => text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")),
        Some(2) => Some(text),
        _ => {
            return Ok(if from.is_unicode() {
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            } else {
                encoding_rs::WINDOWS_1252.encode(text).0.into_owned()
            });
        }
    };
    digits.and_then(literal::bytes).ok_or_else(|| refused(from, SqlType::VarBinary(Length::Max)))
}

#[cfg(test)]
mod tests;
