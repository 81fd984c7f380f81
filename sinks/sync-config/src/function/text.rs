//! Functions on texts and bytes. Lengths and positions of texts count UTF-16 units, as JavaScript does.

use std::borrow::Cow;

use crate::value::Value;

const HEX: &[u8; 16] = b"0123456789ABCDEF";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn upper(value: &Value<'_>) -> Value<'static> {
    value.to_text().map_or(Value::Null, |text| Value::text(text.to_uppercase()))
}

pub(super) fn lower(value: &Value<'_>) -> Value<'static> {
    value.to_text().map_or(Value::Null, |text| Value::text(text.to_lowercase()))
}

pub(super) fn length(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Blob(bytes) => Value::Int(bytes.len() as i64),
        other => other.to_text().map_or(Value::Null, |text| Value::Int(text.encode_utf16().count() as i64)),
    }
}

/// SQLite's `substr`: positions count from 1, negative ones from the end; position 0 stands before the first unit and
/// uses up one of the length; a negative length takes what lies before the position.
pub(super) fn substring(value: &Value<'_>, start: &Value<'_>, length: Option<&Value<'_>>) -> Value<'static> {
    let (Some(text), Some(start)) = (value.to_text(), start.to_integer()) else { return Value::Null };
    let units: Vec<u16> = text.encode_utf16().collect();
    let count = units.len() as i128;
    let length = match length.map(Value::to_integer) {
        None => count + 1,
        Some(None) => return Value::Null,
        Some(Some(length)) => i128::from(length),
    };
    // `from` and `to` count units from 0 and may lie outside the text.
    let from = match i128::from(start) {
        start if start < 0 => count + start,
        start => start - 1,
    };
    let (from, to) = if length < 0 { (from + length, from) } else { (from, from + length) };
    let clamp = |position: i128| usize::try_from(position.clamp(0, count)).unwrap_or(0);
    let part = units.get(clamp(from)..clamp(to)).unwrap_or_default();
    // A cut through a surrogate pair leaves no character; U+FFFD stands for it.
    Value::text(String::from_utf16_lossy(part))
}

pub(super) fn instr(value: &Value<'_>, part: &Value<'_>) -> Value<'static> {
    if let (Value::Blob(bytes), Value::Blob(part)) = (value, part) {
        let found = match part.is_empty() {
            true => Some(0),
            false => bytes.windows(part.len()).position(|window| window == part.as_ref()),
        };
        return Value::Int(found.map_or(0, |at| at as i64 + 1));
    }
    let (Some(text), Some(part)) = (value.to_text(), part.to_text()) else { return Value::Null };
    let before = text.find(part.as_ref()).and_then(|at| text.get(..at));
    Value::Int(before.map_or(0, |before| before.encode_utf16().count() as i64 + 1))
}

pub(super) fn hex(value: Value<'_>) -> Value<'static> {
    let Some(bytes) = value.into_bytes() else { return Value::Null };
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes.iter() {
        out.push(digit(HEX, byte >> 4));
        out.push(digit(HEX, byte & 15));
    }
    Value::text(out)
}

pub(super) fn base64(value: Value<'_>) -> Value<'static> {
    let Some(bytes) = value.into_bytes() else { return Value::Null };
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            // n bytes fill n + 1 digits; the others are padding.
            match index <= chunk.len() {
                true => out.push(digit(BASE64, (group >> (18 - 6 * index) & 63) as u8)),
                false => out.push('='),
            }
        }
    }
    Value::text(out)
}

fn digit(alphabet: &[u8], index: u8) -> char {
    alphabet.get(usize::from(index)).map_or(' ', |digit| char::from(*digit))
}

/// The 16 bytes of a UUID's text; NULL for anything else.
pub(super) fn uuid_blob(value: &Value<'_>) -> Value<'static> {
    if let Value::Blob(bytes) = value
        && bytes.len() == 16
    {
        return value.clone().into_owned();
    }
    let Some(text) = value.to_text() else { return Value::Null };
    let text = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(&text);
    let mut bytes = Vec::with_capacity(16);
    let mut high = None;
    for c in text.chars() {
        match (c.to_digit(16), high) {
            // Hyphens stand between bytes.
            (None, None) if c == '-' => {}
            (None, _) => return Value::Null,
            (Some(digit), None) => high = Some(digit),
            (Some(digit), Some(first)) => {
                bytes.push((first << 4 | digit) as u8);
                high = None;
            }
        }
    }
    match bytes.len() == 16 && high.is_none() {
        true => Value::Blob(Cow::Owned(bytes)),
        false => Value::Null,
    }
}
