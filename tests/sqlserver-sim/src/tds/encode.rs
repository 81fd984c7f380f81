//! Values as they follow their type in a row or a return value.

use encoding_rs::{EncoderResult, WINDOWS_1252};
use thiserror::Error;

use crate::value::{Decimal, Length, SqlType, Value};

use super::reader::utf16_of_text;

/// A value of one family in a column of another: the engine's mistake, told to the client in place of the row.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("a value of type {found} can't be sent as {declared}")]
pub struct Mismatch {
    declared: SqlType,
    found: SqlType,
}

/// Appends a value of a column or return value of this type.
pub fn write(value: &Value, sql_type: SqlType, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    if value.is_null() {
        null(sql_type, out);
        return Ok(());
    }
    let mismatch = || Mismatch { declared: sql_type, found: value.natural_type() };
    match sql_type {
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Numeric { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Date
        | SqlType::Time(_)
        | SqlType::SmallDateTime
        | SqlType::DateTime
        | SqlType::DateTime2(_)
        | SqlType::DateTimeOffset(_)
        | SqlType::UniqueIdentifier => {
            let start = out.len();
            out.push(0);
            plain(value, sql_type, out).ok_or_else(mismatch)?;
            let bytes = u8::try_from(out.len() - start - 1).unwrap_or(u8::MAX);
            if let Some(length) = out.get_mut(start) {
                *length = bytes;
            }
        }
        SqlType::Char(_)
        | SqlType::NChar(_)
        | SqlType::SysName
        | SqlType::Binary(_)
        | SqlType::RowVersion
        | SqlType::VarChar(Length::Limited(_))
        | SqlType::NVarChar(Length::Limited(_))
        | SqlType::VarBinary(Length::Limited(_)) => {
            let content = content(value, sql_type).ok_or_else(mismatch)?;
            // 0xFFFF would be NULL; the engine allows no more than 8,000.
            let bytes = u16::try_from(content.len()).ok().filter(|bytes| *bytes != u16::MAX).ok_or_else(mismatch)?;
            out.extend(bytes.to_le_bytes());
            out.extend(content);
        }
        SqlType::Text | SqlType::NText | SqlType::Image => {
            let content = content(value, sql_type).ok_or_else(mismatch)?;
            // A pointer and a timestamp, which no client looks at, but some want to be there.
            out.push(16);
            out.extend([0x11; 16]);
            out.extend([0x22; 8]);
            out.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend(content);
        }
        SqlType::VarChar(Length::Max)
        | SqlType::NVarChar(Length::Max)
        | SqlType::VarBinary(Length::Max)
        | SqlType::Xml
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => chunked(&content(value, sql_type).ok_or_else(mismatch)?, out),
        SqlType::Variant => super::variant::write(value, out)?,
    }
    Ok(())
}

fn null(sql_type: SqlType, out: &mut Vec<u8>) {
    match sql_type {
        SqlType::Char(_)
        | SqlType::NChar(_)
        | SqlType::SysName
        | SqlType::Binary(_)
        | SqlType::RowVersion
        | SqlType::VarChar(Length::Limited(_))
        | SqlType::NVarChar(Length::Limited(_))
        | SqlType::VarBinary(Length::Limited(_)) => out.extend(u16::MAX.to_le_bytes()),
        SqlType::VarChar(Length::Max)
        | SqlType::NVarChar(Length::Max)
        | SqlType::VarBinary(Length::Max)
        | SqlType::Xml
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => out.extend(u64::MAX.to_le_bytes()),
        SqlType::Variant => out.extend(0_u32.to_le_bytes()),
        _ => out.push(0),
    }
}

/// One chunk, if there is anything, and the end.
fn chunked(content: &[u8], out: &mut Vec<u8>) {
    out.extend((content.len() as u64).to_le_bytes());
    // A chunk of nothing would be the end.
    for chunk in content.chunks(1 << 20) {
        out.extend(u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    out.extend(0_u32.to_le_bytes());
}

/// The bytes of a text or binary value.
pub fn content(value: &Value, sql_type: SqlType) -> Option<Vec<u8>> {
    Some(match value {
        Value::Text(text) if sql_type.is_unicode() => utf16_of_text(text),
        Value::Text(text) => code_page(text),
        Value::Binary(bytes) => bytes.to_vec(),
        _ => return None,
    })
}

/// A text in the code page of the collation, with question marks for what it doesn't have.
fn code_page(text: &str) -> Vec<u8> {
    if text.is_ascii() {
        return text.as_bytes().to_vec();
    }
    let mut encoder = WINDOWS_1252.new_encoder();
    let mut bytes = vec![0; text.len()];
    let (mut rest, mut written) = (text, 0);
    while let Some(room) = bytes.get_mut(written..) {
        let (result, read, count) = encoder.encode_from_utf8_without_replacement(rest, room, true);
        written += count;
        rest = rest.get(read..).unwrap_or_default();
        match result {
            // What can't be written took at least two bytes of UTF-8, so there is room for its substitute.
            EncoderResult::Unmappable(_) => {
                if let Some(place) = bytes.get_mut(written) {
                    *place = b'?';
                    written += 1;
                }
            }
            EncoderResult::InputEmpty | EncoderResult::OutputFull => break,
        }
    }
    bytes.truncate(written);
    bytes
}

/// Appends the bytes of a value that has no length of its own; `None` where it isn't of the type.
pub fn plain(value: &Value, sql_type: SqlType, out: &mut Vec<u8>) -> Option<()> {
    match (sql_type, value) {
        (SqlType::Bit, _) => out.push(u8::from(value.as_integer()? != 0)),
        (SqlType::TinyInt, _) => out.push(u8::try_from(value.as_integer()?).ok()?),
        (SqlType::SmallInt, _) => out.extend(i16::try_from(value.as_integer()?).ok()?.to_le_bytes()),
        (SqlType::Int, _) => out.extend(i32::try_from(value.as_integer()?).ok()?.to_le_bytes()),
        (SqlType::BigInt, _) => out.extend(value.as_integer()?.to_le_bytes()),
        (SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale }, Value::Decimal(number)) => {
            decimal(number.fitted(precision, scale).ok()?, precision, out);
        }
        (SqlType::Money, Value::Money(units)) => {
            // The high half first.
            out.extend(i32::try_from(units >> 32).ok()?.to_le_bytes());
            out.extend(u32::try_from(units & 0xffff_ffff).ok()?.to_le_bytes());
        }
        (SqlType::SmallMoney, Value::Money(units)) => out.extend(i32::try_from(*units).ok()?.to_le_bytes()),
        (SqlType::Real, Value::Real(number)) => out.extend(number.to_le_bytes()),
        (SqlType::Float, Value::Float(number)) => out.extend(number.to_le_bytes()),
        (SqlType::Date, Value::Date(days)) => date(*days, out)?,
        (SqlType::Time(scale), Value::Time(ticks)) => time(*ticks, scale, out),
        (SqlType::SmallDateTime, Value::SmallDateTime { days, minutes }) => {
            out.extend(days.to_le_bytes());
            out.extend(minutes.to_le_bytes());
        }
        (SqlType::DateTime, Value::DateTime { days, ticks }) => {
            out.extend(days.to_le_bytes());
            out.extend(ticks.to_le_bytes());
        }
        (SqlType::DateTime2(scale), Value::DateTime2(moment)) => {
            time(moment.ticks, scale, out);
            date(moment.days, out)?;
        }
        (SqlType::DateTimeOffset(scale), Value::DateTimeOffset(moment, minutes)) => {
            time(moment.ticks, scale, out);
            date(moment.days, out)?;
            out.extend(minutes.to_le_bytes());
        }
        (SqlType::UniqueIdentifier, Value::Uuid(id)) => out.extend(swapped_uuid(*id)),
        _ => return None,
    }
    Some(())
}

fn decimal(number: Decimal, precision: u8, out: &mut Vec<u8>) {
    out.push(u8::from(number.units() >= 0));
    let magnitude = number.units().unsigned_abs().to_le_bytes();
    let bytes = usize::from(super::type_info::decimal_bytes(precision)) - 1;
    out.extend(magnitude.iter().take(bytes));
}

fn date(days: i32, out: &mut Vec<u8>) -> Option<()> {
    let [a, b, c, _] = u32::try_from(days).ok()?.to_le_bytes();
    out.extend([a, b, c]);
    Some(())
}

/// The time in units of the scale, in as many bytes as those of a day need.
fn time(ticks: u64, scale: u8, out: &mut Vec<u8>) {
    let units = ticks / 10_u64.pow(u32::from(7_u8.saturating_sub(scale)));
    let bytes = time_bytes(scale);
    out.extend(units.to_le_bytes().iter().take(bytes));
}

pub fn time_bytes(scale: u8) -> usize {
    match scale {
        0..=2 => 3,
        3 | 4 => 4,
        _ => 5,
    }
}

/// Between the order of the text and that of the wire, in which the first three groups are turned round.
pub fn swapped_uuid(id: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = id;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_in_the_code_page() {
        assert_eq!(code_page("aé€漢b"), [b'a', 0xe9, 0x80, b'?', b'b']);
        assert_eq!(code_page("漢"), [b'?']);
    }

    #[test]
    fn a_value_of_another_family_is_refused() {
        assert!(write(&Value::text("a"), SqlType::Int, &mut Vec::new()).is_err());
        assert!(write(&Value::Int(70_000), SqlType::SmallInt, &mut Vec::new()).is_err());
    }
}
