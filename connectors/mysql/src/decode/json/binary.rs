//! The server's binary form of a document.
//!
//! A value is a type byte and what it needs. An array or object begins with its number of elements and its size, then
//! come fixed-size entries that point to keys and values within it; literals and small integers lie in the entry
//! itself. "Small" ones count in two bytes, "large" ones in four.

use super::super::DecodeError;
use super::super::bytes::Bytes;
use super::super::decimal::DecimalLayout;
use super::super::number::write_json_double;
use super::text::write_json_string;

const DOCUMENT: &str = "a JSON document";
/// The server allows 100 levels.
const DEPTH_MAX: usize = 128;

/// Appends the text of a document.
pub(crate) fn write_binary(raw: &[u8], out: &mut String) -> Result<(), DecodeError> {
    // A column that was made NOT NULL under IGNORE holds no bytes at all; the server reads that as the literal null.
    let Some((kind, body)) = raw.split_first() else {
        out.push_str("null");
        return Ok(());
    };
    Writer { budget_bytes: raw.len(), out }.value(*kind, body, 0)
}

pub(super) struct Writer<'o> {
    /// What entries may still take. In a sound document no byte serves two values, so what is read can't exceed the
    /// whole; in a hostile one, pointers to the same place could multiply without end.
    budget_bytes: usize,
    out: &'o mut String,
}

impl Writer<'_> {
    fn value(&mut self, kind: u8, body: &[u8], depth: usize) -> Result<(), DecodeError> {
        let mut bytes = Bytes::new(body);
        match kind {
            0x00..=0x03 => Container::read(kind, body)?.write(self, depth)?,
            0x04 => self.out.push_str(match bytes.u8(DOCUMENT)? {
                0 => "null",
                1 => "true",
                2 => "false",
                other => return Err(DecodeError::malformed(DOCUMENT, format!("literal {other}"))),
            }),
            0x05 => self.number(bytes.u16(DOCUMENT)? as i16),
            0x06 => self.number(bytes.u16(DOCUMENT)?),
            0x07 => self.number(bytes.u32(DOCUMENT)? as i32),
            0x08 => self.number(bytes.u32(DOCUMENT)?),
            0x09 => self.number(bytes.u64(DOCUMENT)? as i64),
            0x0a => self.number(bytes.u64(DOCUMENT)?),
            0x0b => write_json_double(f64::from_bits(bytes.u64(DOCUMENT)?), self.out),
            0x0c => {
                let text = with_variable_length(&mut bytes)?;
                self.spend(text.len())?;
                self.string(text);
            }
            0x0f => {
                let field_type = bytes.u8(DOCUMENT)?;
                let data = with_variable_length(&mut bytes)?;
                self.spend(data.len())?;
                self.opaque(field_type, data)?;
            }
            other => return Err(DecodeError::malformed(DOCUMENT, format!("value type {other}"))),
        }
        Ok(())
    }

    fn number(&mut self, number: impl ToString) {
        self.out.push_str(&number.to_string());
    }

    fn string(&mut self, text: &[u8]) {
        write_json_string(&String::from_utf8_lossy(text), self.out);
    }

    fn spend(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.budget_bytes = self
            .budget_bytes
            .checked_sub(bytes)
            .ok_or_else(|| DecodeError::malformed(DOCUMENT, "values that overlap"))?;
        Ok(())
    }

    /// A value of an SQL type that JSON itself doesn't have.
    fn opaque(&mut self, field_type: u8, data: &[u8]) -> Result<(), DecodeError> {
        const TIMESTAMP: u8 = 7;
        const DATE: u8 = 10;
        const TIME: u8 = 11;
        const DATETIME: u8 = 12;
        const DECIMAL: u8 = 246;
        match field_type {
            DECIMAL => {
                let mut bytes = Bytes::new(data);
                let (precision, scale) = (bytes.u8(DOCUMENT)?, bytes.u8(DOCUMENT)?);
                let layout = DecimalLayout::new(precision, scale)
                    .ok_or_else(|| DecodeError::malformed(DOCUMENT, "a DECIMAL of impossible size"))?;
                layout.write(bytes.take(layout.size_bytes(), DOCUMENT)?, self.out)
            }
            DATE => self.moment(data, false),
            DATETIME | TIMESTAMP => self.moment(data, true),
            TIME => self.time(data),
            other => {
                self.out.push_str(&format!("\"base64:type{other}:"));
                write_base64(data, self.out);
                self.out.push('"');
                Ok(())
            }
        }
    }

    fn moment(&mut self, data: &[u8], with_time: bool) -> Result<(), DecodeError> {
        let packed = Bytes::new(data).u64(DOCUMENT)?;
        let (bits, micros) = (packed >> 24, packed & 0xff_ffff);
        let (time, date) = (bits & 0x1_ffff, bits >> 17);
        let (months, day) = (date >> 5, date & 31);
        let text = format!("\"{:04}-{:02}-{day:02}", months / 13, months % 13);
        self.out.push_str(&text);
        if with_time {
            let (hour, minute, second) = (time >> 12, time >> 6 & 63, time & 63);
            self.out.push_str(&format!(" {hour:02}:{minute:02}:{second:02}.{micros:06}"));
        }
        self.out.push('"');
        Ok(())
    }

    fn time(&mut self, data: &[u8]) -> Result<(), DecodeError> {
        let packed = Bytes::new(data).u64(DOCUMENT)? as i64;
        let sign = if packed < 0 { "-" } else { "" };
        let magnitude = packed.unsigned_abs();
        let (bits, micros) = (magnitude >> 24, magnitude & 0xff_ffff);
        let (hours, minutes, seconds) = (bits >> 12 & 0x3ff, bits >> 6 & 63, bits & 63);
        self.out.push_str(&format!("\"{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}\""));
        Ok(())
    }
}

/// An array or object whose entries' places are known.
struct Container<'a> {
    body: &'a [u8],
    count: usize,
    is_object: bool,
    /// How many bytes counts and offsets take: two or four.
    width: usize,
}

impl<'a> Container<'a> {
    fn read(kind: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let width = if kind & 1 == 0 { 2 } else { 4 };
        let is_object = kind < 2;
        let mut bytes = Bytes::new(body);
        let count = bytes.uint(width, DOCUMENT)? as usize;
        let size = bytes.uint(width, DOCUMENT)? as usize;
        let body = body.get(..size).ok_or(DecodeError::Truncated { what: DOCUMENT })?;
        let container = Container { body, count, is_object, width };
        // Their fixed-size entries must fit, which bounds the loop over them.
        let header = count.saturating_mul(container.key_entry_bytes() + width + 1).saturating_add(2 * width);
        if header > size {
            return Err(DecodeError::Truncated { what: DOCUMENT });
        }
        Ok(container)
    }

    fn key_entry_bytes(&self) -> usize {
        if self.is_object { self.width + 2 } else { 0 }
    }

    /// The key of an object's element.
    fn key(&self, index: usize) -> Result<&'a [u8], DecodeError> {
        let mut entry = self.at(2 * self.width + index * self.key_entry_bytes())?;
        let offset = entry.uint(self.width, DOCUMENT)? as usize;
        let length = usize::from(entry.u16(DOCUMENT)?);
        self.at(offset)?.take(length, DOCUMENT)
    }

    /// The type and the bytes of an element.
    fn element(&self, index: usize) -> Result<(u8, &'a [u8]), DecodeError> {
        let entries = 2 * self.width + self.count * self.key_entry_bytes();
        let mut entry = self.at(entries + index * (self.width + 1))?;
        let kind = entry.u8(DOCUMENT)?;
        let inlined = matches!(kind, 0x04..=0x06) || self.width == 4 && matches!(kind, 0x07 | 0x08);
        if inlined {
            return Ok((kind, entry.rest()));
        }
        let offset = entry.uint(self.width, DOCUMENT)? as usize;
        Ok((kind, self.at(offset)?.rest()))
    }

    fn at(&self, offset: usize) -> Result<Bytes<'a>, DecodeError> {
        self.body.get(offset..).map(Bytes::new).ok_or(DecodeError::Truncated { what: DOCUMENT })
    }

    fn write(&self, writer: &mut Writer<'_>, depth: usize) -> Result<(), DecodeError> {
        if depth >= DEPTH_MAX {
            return Err(DecodeError::malformed(DOCUMENT, format!("more than {DEPTH_MAX} levels")));
        }
        writer.out.push(if self.is_object { '{' } else { '[' });
        for index in 0..self.count {
            if index > 0 {
                writer.out.push(',');
            }
            writer.spend(self.width + 1)?;
            if self.is_object {
                let key = self.key(index)?;
                writer.spend(key.len())?;
                writer.string(key);
                writer.out.push(':');
            }
            let (kind, body) = self.element(index)?;
            writer.value(kind, body, depth + 1)?;
        }
        writer.out.push(if self.is_object { '}' } else { ']' });
        Ok(())
    }
}

/// A length in groups of seven bits, the lowest first, and then as many bytes.
fn with_variable_length<'a>(bytes: &mut Bytes<'a>) -> Result<&'a [u8], DecodeError> {
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21, 28] {
        let byte = bytes.u8(DOCUMENT)?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return bytes.take(length, DOCUMENT);
        }
    }
    Err(DecodeError::malformed(DOCUMENT, "a length of more than five bytes"))
}

/// The server breaks the lines of base 64 after 76 characters, and JSON escapes the break.
fn write_base64(data: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const BYTES_PER_LINE: usize = 76 / 4 * 3;
    for (line, bytes) in data.chunks(BYTES_PER_LINE).enumerate() {
        if line > 0 {
            out.push_str("\\n");
        }
        for group in bytes.chunks(3) {
            let bits =
                group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = ALPHABET.get(bits >> (18 - 6 * place) & 63).copied().map_or('=', char::from);
                out.push(if place <= group.len() { digit } else { '=' });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &[u8]) -> Result<String, DecodeError> {
        let mut out = String::new();
        write_binary(raw, &mut out).map(|()| out)
    }

    #[test]
    fn small_documents_become_text() {
        // {"a": 1}
        assert_eq!(text(&[0, 1, 0, 12, 0, 11, 0, 1, 0, 5, 1, 0, b'a']).unwrap(), r#"{"a":1}"#);
        assert_eq!(text(&[2, 0, 0, 4, 0]).unwrap(), "[]");
        assert_eq!(text(&[4, 1]).unwrap(), "true");
        assert_eq!(text(&[12, 1, b'x']).unwrap(), r#""x""#);
        assert_eq!(text(&[]).unwrap(), "null");
    }

    #[test]
    fn pointers_that_loop_or_overlap_end() {
        // An array whose only element is the array itself.
        assert!(text(&[2, 1, 0, 7, 0, 2, 0, 0]).is_err());
        // An array of many elements that all point to the same long string.
        let count = 200_u16;
        let string_at = 4 + 3 * count;
        let mut raw = vec![2];
        raw.extend_from_slice(&count.to_le_bytes());
        raw.extend_from_slice(&(string_at + 101).to_le_bytes());
        for _ in 0..count {
            raw.push(12);
            raw.extend_from_slice(&string_at.to_le_bytes());
        }
        raw.push(100);
        raw.extend_from_slice(&[b'x'; 100]);
        assert!(text(&raw).is_err());
    }

    #[test]
    fn base64_is_broken_and_padded_as_the_server_does() {
        let mut out = String::new();
        write_base64(b"abcde", &mut out);
        assert_eq!(out, "YWJjZGU=");
        out.clear();
        write_base64(&[0; 58], &mut out);
        assert_eq!(out, format!("{}\\nAA==", "A".repeat(76)));
    }
}
