//! The values of parameters.

use encoding_rs::WINDOWS_1252;

use crate::value::calendar::{DAY_LAST, TICKS_PER_DAY};
use crate::value::{Decimal, Moment, SqlType, Value};

use super::encode::{swapped_uuid, time_bytes};
use super::reader::{ProtocolError, Reader, text_of_utf16};
use super::type_info::{Declared, Framing};
use super::variant;

const UNKNOWN_LENGTH: u64 = u64::MAX - 1;

/// Reads the value that follows a parameter's type.
pub fn read(declared: Declared, from: &mut Reader<'_>) -> Result<Value, ProtocolError> {
    let what = "a parameter's value";
    let bytes = match declared.framing {
        // The type of NULL.
        Framing::Fixed(0) => return Ok(Value::Null),
        Framing::Fixed(bytes) => bytes,
        Framing::ShortOrNull => match from.u8(what)? {
            0 => return Ok(Value::Null),
            bytes => usize::from(bytes),
        },
        Framing::Short => match from.u8(what)? {
            u8::MAX => return Ok(Value::Null),
            bytes => usize::from(bytes),
        },
        Framing::Medium => match from.u16(what)? {
            u16::MAX => return Ok(Value::Null),
            bytes => usize::from(bytes),
        },
        Framing::Long => match from.u32(what)? {
            u32::MAX => return Ok(Value::Null),
            bytes => bytes as usize,
        },
        Framing::Variant => match from.u32(what)? {
            0 => return Ok(Value::Null),
            bytes => return variant::read(from.bytes(bytes as usize, what)?),
        },
        Framing::Chunked => {
            return match chunks(from)? {
                Some(bytes) => content(&bytes, declared.sql_type),
                None => Ok(Value::Null),
            };
        }
    };
    content(from.bytes(bytes, what)?, declared.sql_type)
}

/// A value in chunks; the total length before them is a hint that isn't trusted.
fn chunks(from: &mut Reader<'_>) -> Result<Option<Vec<u8>>, ProtocolError> {
    let what = "a value in chunks";
    let total = from.u64(what)?;
    if total == u64::MAX {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    loop {
        match from.u32(what)? {
            0 => break,
            count => bytes.extend_from_slice(from.bytes(count as usize, what)?),
        }
    }
    if total != UNKNOWN_LENGTH && total != bytes.len() as u64 {
        return Err(ProtocolError::Invalid { what: "the total of a value in chunks", value: total });
    }
    Ok(Some(bytes))
}

/// A value that isn't NULL from its bytes.
pub fn content(bytes: &[u8], sql_type: SqlType) -> Result<Value, ProtocolError> {
    let mut from = Reader::new(bytes);
    let what = "a parameter's value";
    let value = match sql_type {
        SqlType::Bit => Value::Bit(from.u8(what)? != 0),
        SqlType::TinyInt => Value::TinyInt(from.u8(what)?),
        SqlType::SmallInt => Value::SmallInt(from.i16(what)?),
        SqlType::Int => Value::Int(from.i32(what)?),
        SqlType::BigInt => Value::BigInt(from.i64(what)?),
        SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
            decimal(from.rest(), precision, scale)?
        }
        SqlType::Money => {
            let high = from.i32(what)?;
            let low = from.u32(what)?;
            Value::Money((i64::from(high) << 32) | i64::from(low))
        }
        SqlType::SmallMoney => Value::Money(i64::from(from.i32(what)?)),
        SqlType::Real => Value::Real(f32::from_bits(from.u32(what)?)),
        SqlType::Float => Value::Float(f64::from_bits(from.u64(what)?)),
        SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text => {
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(from.rest());
            Value::text(&text)
        }
        SqlType::NChar(_) | SqlType::NVarChar(_) | SqlType::NText | SqlType::SysName => {
            Value::text(&text_of_utf16(from.rest()))
        }
        SqlType::Xml => Value::text(text_of_utf16(from.rest()).trim_start_matches('\u{feff}')),
        SqlType::Binary(_)
        | SqlType::VarBinary(_)
        | SqlType::Image
        | SqlType::RowVersion
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => Value::binary(from.rest()),
        SqlType::Date => Value::Date(date(&mut from)?),
        SqlType::Time(scale) => Value::Time(time(&mut from, scale)?),
        SqlType::SmallDateTime => {
            let (days, minutes) = (from.u16(what)?, from.u16(what)?);
            if minutes >= 1440 {
                return Err(ProtocolError::Invalid { what: "a smalldatetime's minutes", value: u64::from(minutes) });
            }
            Value::SmallDateTime { days, minutes }
        }
        SqlType::DateTime => datetime(&mut from)?,
        SqlType::DateTime2(scale) => Value::DateTime2(moment(&mut from, scale)?),
        SqlType::DateTimeOffset(scale) => {
            let moment = moment(&mut from, scale)?;
            let minutes = from.i16(what)?;
            if minutes.unsigned_abs() > 14 * 60 {
                return Err(ProtocolError::Invalid {
                    what: "an offset from UTC",
                    value: u64::from(minutes.unsigned_abs()),
                });
            }
            Value::DateTimeOffset(moment, minutes)
        }
        SqlType::UniqueIdentifier => {
            let id = from.bytes(16, what)?.try_into().map_err(|_| ProtocolError::Truncated(what))?;
            Value::Uuid(swapped_uuid(id))
        }
        SqlType::Variant => return variant::read(from.rest()),
    };
    if from.is_empty() {
        Ok(value)
    } else {
        Err(ProtocolError::Invalid { what: "a parameter's length", value: bytes.len() as u64 })
    }
}

fn decimal(bytes: &[u8], precision: u8, scale: u8) -> Result<Value, ProtocolError> {
    let invalid = || ProtocolError::Invalid { what: "a decimal's length", value: bytes.len() as u64 };
    let (sign, magnitude) = bytes.split_first().ok_or_else(invalid)?;
    let mut wide = [0; 16];
    wide.get_mut(..magnitude.len()).ok_or_else(invalid)?.copy_from_slice(magnitude);
    let units = i128::try_from(u128::from_le_bytes(wide)).map_err(|_| invalid())?;
    let number = Decimal::new(if *sign == 0 { -units } else { units }, scale);
    // More digits than were declared, and all that is built on 38 would break.
    let number = number.fitted(precision, scale).map_err(|_| invalid())?;
    Ok(Value::Decimal(number))
}

fn date(from: &mut Reader<'_>) -> Result<i32, ProtocolError> {
    let days = little_endian(from.bytes(3, "a date")?);
    i32::try_from(days)
        .ok()
        .filter(|days| *days <= DAY_LAST)
        .ok_or(ProtocolError::Invalid { what: "a date", value: days })
}

fn time(from: &mut Reader<'_>, scale: u8) -> Result<u64, ProtocolError> {
    let units = little_endian(from.bytes(time_bytes(scale), "a time")?);
    let ticks = units.saturating_mul(10_u64.pow(u32::from(7_u8.saturating_sub(scale))));
    if ticks < TICKS_PER_DAY { Ok(ticks) } else { Err(ProtocolError::Invalid { what: "a time", value: units }) }
}

fn moment(from: &mut Reader<'_>, scale: u8) -> Result<Moment, ProtocolError> {
    let ticks = time(from, scale)?;
    Ok(Moment { days: date(from)?, ticks })
}

fn datetime(from: &mut Reader<'_>) -> Result<Value, ProtocolError> {
    use crate::value::calendar::{DATETIME_DAY_FIRST, DATETIME_TICKS_PER_DAY, DAYS_TO_1900};
    let (days, ticks) = (from.i32("a datetime")?, from.u32("a datetime")?);
    if !(DATETIME_DAY_FIRST..=DAY_LAST - DAYS_TO_1900).contains(&days) || ticks >= DATETIME_TICKS_PER_DAY {
        return Err(ProtocolError::Invalid { what: "a datetime", value: u64::from(ticks) });
    }
    Ok(Value::DateTime { days, ticks })
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
