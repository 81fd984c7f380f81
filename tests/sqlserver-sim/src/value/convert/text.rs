//! Texts from other types.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};

use super::super::{SqlType, Value, format};
use super::overflow;

fn bytes_to_text(bytes: &[u8], to: SqlType, style: Option<i32>) -> String {
    match style {
        Some(1) => format!("0x{}", format::hex(bytes)),
        Some(2) => format::hex(bytes),
        _ if to.is_unicode() => {
            let units: Vec<u16> = bytes
                .chunks(2)
                .map(|pair| u16::from_le_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)]))
                .collect();
            String::from_utf16_lossy(&units)
        }
        _ => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

pub fn to_text(value: &Value, from: SqlType, to: SqlType, style: Option<i32>) -> SqlResult<Value> {
    let text: Arc<str> = match value {
        Value::Text(text) => text.clone(),
        Value::Binary(bytes) => Arc::from(bytes_to_text(bytes, to, style)),
        other => {
            let text = format::text(other, from, style).ok_or_else(|| {
                SqlError::new(
                    281,
                    16,
                    format!(
                        "{} is not a valid style number when converting from {} to a character string.",
                        style.unwrap_or(0),
                        from.name()
                    ),
                )
            })?;
            if let Some(too_long) = number_too_long(other, &text, from, to)? {
                return Ok(too_long);
            }
            Arc::from(text)
        }
    };
    let units = to.character_length().units();
    let unicode = to.is_unicode();
    let text = if unicode { text } else { in_code_page(text) };
    let text = match units {
        Some(units) if text.len() > units => Arc::from(cut_text(&text, units, unicode)),
        _ => text,
    };
    Ok(Value::Text(match to {
        SqlType::Char(n) | SqlType::NChar(n) => padded(text, usize::from(n), unicode),
        _ => text,
    }))
}

/// A number that doesn't fit is no number cut: whole ones become `*` in `char` and `varchar`, the rest fail.
fn number_too_long(value: &Value, text: &str, from: SqlType, to: SqlType) -> SqlResult<Option<Value>> {
    let Some(units) = to.character_length().units() else { return Ok(None) };
    if text.len() <= units {
        return Ok(None);
    }
    match value {
        Value::Bit(_) | Value::TinyInt(_) | Value::SmallInt(_) | Value::Int(_) if !to.is_unicode() => {
            Ok(Some(Value::text("*")))
        }
        Value::Uuid(_) => {
            Err(SqlError::new(8170, 16, "Insufficient result space to convert uniqueidentifier value to char."))
        }
        _ if from.is_number() => Err(overflow(from, to)),
        _ => Ok(None),
    }
}

/// Characters that the code page of the collation lacks become question marks.
fn in_code_page(text: Arc<str>) -> Arc<str> {
    if text.is_ascii() {
        return text;
    }
    let known = |c: char| c.is_ascii() || !encoding_rs::WINDOWS_1252.encode(c.encode_utf8(&mut [0; 4])).2;
    if text.chars().all(known) {
        text
    } else {
        text.chars().map(|c| if known(c) { c } else { '?' }).collect::<String>().into()
    }
}

/// The longest beginning that fits into `units` characters, or UTF-16 units.
pub fn cut_text(text: &str, units: usize, unicode: bool) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += if unicode { character.len_utf16() } else { 1 };
        if used > units {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

fn padded(text: Arc<str>, units: usize, unicode: bool) -> Arc<str> {
    let used = if unicode { text.encode_utf16().count() } else { text.chars().count() };
    if used >= units {
        return text;
    }
    let mut filled = text.to_string();
    filled.extend(std::iter::repeat_n(' ', units - used));
    Arc::from(filled)
}
