//! Texts in the server's character sets.
//!
//! Both paths hand over the bytes as the column stores them, the log by its nature and queries because their sessions
//! ask for no conversion. So one decoder serves both, and bytes that are no text in their character set come out the
//! same: with U+FFFD in place of what can't be read.

use std::sync::Arc;

use mysql_common::collations::{Collation, CollationId};

use super::charset_tables::{SWE7, UPPER_HALVES};
use super::east_asian::EastAsian;

/// A character set of the server.
#[derive(Debug, Clone)]
pub(crate) struct Charset {
    name: &'static str,
    coding: Coding,
}

#[derive(Debug, Clone)]
enum Coding {
    Ascii,
    Utf8,
    Utf16 { big_endian: bool },
    Utf32,
    OneByte(Arc<[char; 256]>),
    EastAsian(EastAsian),
}

/// How many bytes a character may take, by which the log's table maps count. Those that aren't here take one.
const CHARACTER_BYTES_MAX: &[(&str, usize)] = &[
    ("big5", 2),
    ("cp932", 2),
    ("eucjpms", 3),
    ("euckr", 2),
    ("gb18030", 4),
    ("gb2312", 2),
    ("gbk", 2),
    ("sjis", 2),
    ("ucs2", 2),
    ("ujis", 3),
    ("utf16", 4),
    ("utf16le", 4),
    ("utf32", 4),
    ("utf8mb3", 3),
    ("utf8mb4", 4),
];

impl Charset {
    /// By its name; `None` for `binary` and for what the server doesn't have.
    pub(crate) fn named(name: &str) -> Option<Charset> {
        let name = if name == "utf8" { "utf8mb3" } else { name };
        let multi_byte = CHARACTER_BYTES_MAX.iter().map(|(name, _)| *name);
        let one_byte = UPPER_HALVES.iter().map(|(name, _)| *name);
        let name = multi_byte.chain(one_byte).chain(["ascii", "swe7"]).find(|known| *known == name)?;
        let coding = match name {
            "ascii" => Coding::Ascii,
            "utf8mb3" | "utf8mb4" => Coding::Utf8,
            "ucs2" | "utf16" => Coding::Utf16 { big_endian: true },
            "utf16le" => Coding::Utf16 { big_endian: false },
            "utf32" => Coding::Utf32,
            name => match EastAsian::named(name) {
                Some(charset) => Coding::EastAsian(charset),
                None => Coding::OneByte(Arc::new(one_byte_table(name))),
            },
        };
        Some(Charset { name, coding })
    }

    /// By the name of a collation, which begins with the character set's.
    pub(crate) fn of_collation(collation: &str) -> Option<Charset> {
        Charset::named(collation.split('_').next().unwrap_or_default())
    }

    /// The server's name for it; `utf8` is called `utf8mb3` throughout.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// How many bytes a character may take.
    pub(crate) fn character_bytes_max(&self) -> usize {
        CHARACTER_BYTES_MAX.iter().find(|(name, _)| *name == self.name).map_or(1, |(_, bytes)| *bytes)
    }

    /// Whether a column of that many characters is one of at most that many bytes.
    pub(crate) fn fits(&self, characters: u32, bytes: u16) -> bool {
        u64::from(characters) * self.character_bytes_max() as u64 == u64::from(bytes)
    }

    /// The text of `bytes`, either they themselves or what is written into `scratch` for it.
    pub(crate) fn decode<'a>(&self, bytes: &'a [u8], scratch: &'a mut String) -> &'a str {
        match &self.coding {
            Coding::Utf8 => match str::from_utf8(bytes) {
                Ok(text) => return text,
                Err(_) => scratch.push_str(&String::from_utf8_lossy(bytes)),
            },
            Coding::Ascii => match str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() => return text,
                _ => scratch
                    .extend(bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '\u{fffd}' })),
            },
            Coding::OneByte(table) => match str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() && self.name != "swe7" => return text,
                _ => scratch
                    .extend(bytes.iter().map(|byte| table.get(usize::from(*byte)).copied().unwrap_or('\u{fffd}'))),
            },
            Coding::Utf16 { big_endian } => decode_utf16(bytes, *big_endian, scratch),
            Coding::Utf32 => scratch.extend(bytes.chunks(4).map(|unit| {
                let scalar = <[u8; 4]>::try_from(unit).map(u32::from_be_bytes).ok();
                scalar.and_then(char::from_u32).unwrap_or('\u{fffd}')
            })),
            Coding::EastAsian(charset) => match str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() => return text,
                _ => charset.decode(bytes, scratch),
            },
        }
        scratch
    }
}

/// The character set of a collation by its number, as the log's metadata and results' columns name it; `None` for
/// `binary` and for numbers that are newer than this program.
pub(crate) fn charset_of_collation_id(id: u64) -> Option<&'static str> {
    let id = u16::try_from(id).ok()?;
    let of_mysql =
        |id: u16| Charset::named(Collation::resolve(CollationId::from(id)).charset()).map(|charset| charset.name);
    match id {
        // MariaDB numbers its collations of the Unicode of 2021 in blocks by character set.
        2_048..=2_303 => Some("utf8mb3"),
        2_304..=2_559 => Some("utf8mb4"),
        2_560..=2_815 => Some("ucs2"),
        2_816..=3_071 => Some("utf16"),
        3_072..=3_327 => Some("utf32"),
        // MariaDB numbers those that don't pad like those that do, 1024 higher.
        1_024..=2_047 => of_mysql(id - 1_024),
        _ => of_mysql(id),
    }
}

fn decode_utf16(bytes: &[u8], big_endian: bool, out: &mut String) {
    let units = bytes.chunks(2).map(|unit| match (unit, big_endian) {
        ([high, low], true) | ([low, high], false) => u16::from_be_bytes([*high, *low]),
        // Half a unit at the end: a lone surrogate stands for it, so that it is replaced as every unreadable unit is.
        _ => 0xd800,
    });
    out.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')));
}

fn one_byte_table(name: &str) -> [char; 256] {
    let mut table = ['\u{fffd}'; 256];
    for (byte, place) in (0_u8..128).zip(table.iter_mut()) {
        *place = char::from(byte);
    }
    if let Some((_, upper)) = UPPER_HALVES.iter().find(|(known, _)| *known == name) {
        table.iter_mut().skip(128).zip(upper.chars()).for_each(|(place, character)| *place = character);
    } else {
        for (byte, character) in SWE7 {
            if let Some(place) = table.get_mut(usize::from(*byte)) {
                *place = *character;
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(charset: &str, bytes: &[u8]) -> String {
        Charset::named(charset).unwrap().decode(bytes, &mut String::new()).to_owned()
    }

    #[test]
    fn every_table_has_its_128_characters() {
        for (name, upper) in UPPER_HALVES {
            assert_eq!(upper.chars().count(), 128, "{name}");
        }
    }

    #[test]
    fn texts_come_out_of_their_character_sets() {
        assert_eq!(decode("latin1", b"\x80 caf\xe9 \x81"), "€ café \u{81}");
        assert_eq!(decode("utf8mb4", "😀é".as_bytes()), "😀é");
        assert_eq!(decode("utf16", &[0xd8, 0x3d, 0xde, 0x00, 0, b'a']), "😀a");
        assert_eq!(decode("utf16le", &[0x3d, 0xd8, 0x00, 0xde, b'a', 0]), "😀a");
        assert_eq!(decode("utf32", &[0, 1, 0xf6, 0]), "😀");
        assert_eq!(decode("ucs2", &[0, 0xe9]), "é");
        assert_eq!(decode("gbk", &[0xc4, 0xe3]), "你");
        assert_eq!(decode("swe7", b"@["), "ÉÄ");
    }

    #[test]
    fn unreadable_bytes_are_replaced() {
        assert_eq!(decode("utf8mb4", b"a\xffb"), "a\u{fffd}b");
        assert_eq!(decode("ascii", b"a\xe9"), "a\u{fffd}");
        assert_eq!(decode("utf16", &[0xd8, 0x3d, 0]), "\u{fffd}\u{fffd}");
        assert_eq!(decode("utf32", &[0, 1]), "\u{fffd}");
        assert_eq!(decode("utf32", &[0xff, 0xff, 0xff, 0xff]), "\u{fffd}");
    }

    #[test]
    fn collations_name_their_character_set() {
        let name = |collation| Charset::of_collation(collation).map(|charset| charset.name());
        assert_eq!(name("utf8mb4_0900_ai_ci"), Some("utf8mb4"));
        assert_eq!(name("utf8_general_ci"), Some("utf8mb3"));
        assert_eq!(name("latin1_swedish_ci"), Some("latin1"));
        assert_eq!(name("binary"), None);
        assert_eq!(name("klingon_ci"), None);
    }
}
