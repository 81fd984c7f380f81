//! Names of tables: from the client's bytes to the server's spelling.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};
use millstream_core::schema::TableName;
use mysql_common::collations::{Collation, CollationId};

/// The server's `lower_case_table_names`: how names of tables and databases compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameCase {
    /// 0: as they are written.
    Sensitive,
    /// 1: stored in lower case; the log has them in lower case save in statements' text.
    Lower,
    /// 2: stored as written and compared in lower case.
    Insensitive,
}

impl NameCase {
    /// From the server's variable; `None` for a number that means nothing.
    pub(crate) fn from_variable(value: u8) -> Option<Self> {
        match value {
            0 => Some(NameCase::Sensitive),
            1 => Some(NameCase::Lower),
            2 => Some(NameCase::Insensitive),
            _ => None,
        }
    }

    /// The form in which names compare by their bytes. The reader of statements gives all names in it, and so does every
    /// reader of the catalog and of the log's table maps: MySQL has names in lower case in the maps and as they were
    /// written in the catalog where it compares them in lower case.
    pub(crate) fn fold(self, name: &str) -> String {
        match self {
            NameCase::Sensitive => name.to_owned(),
            // The server maps character by character, so one that becomes several here keeps only its first.
            NameCase::Lower | NameCase::Insensitive => {
                name.chars().map(|character| character.to_lowercase().next().unwrap_or(character)).collect()
            }
        }
    }
}

impl NameCase {
    /// A table's name in that form.
    pub(crate) fn table(self, schema: &str, name: &str) -> TableName {
        TableName::new(self.fold(schema), self.fold(name))
    }
}

/// What stands for bytes that aren't text in the client's character set.
pub(super) const UNDECODABLE: char = char::REPLACEMENT_CHARACTER;

/// The statement's bytes as text.
pub(super) fn decode(statement: &[u8], collation: Option<u16>) -> Cow<'_, str> {
    match collation.map(encoding) {
        Some(Some(encoding)) => encoding.decode_without_bom_handling(statement).0,
        // A character set without a decoder: its ASCII half is everybody's, the rest stays unknown.
        Some(None) => statement
            .iter()
            .map(|byte| if byte.is_ascii() { char::from(*byte) } else { UNDECODABLE })
            .collect::<String>()
            .into(),
        None => String::from_utf8_lossy(statement),
    }
}

/// The decoder for the character set of a collation that a client may have.
fn encoding(collation: u16) -> Option<&'static Encoding> {
    let collation = Collation::resolve(CollationId::from(collation));
    let label: &[u8] = match collation.charset() {
        "utf8" | "utf8mb3" | "utf8mb4" | "ascii" | "binary" => return Some(UTF_8),
        "latin1" => b"windows-1252",
        "latin2" => b"iso-8859-2",
        "latin5" => b"windows-1254",
        "latin7" => b"iso-8859-13",
        "greek" => b"iso-8859-7",
        "hebrew" => b"iso-8859-8",
        "cp1250" => b"windows-1250",
        "cp1251" => b"windows-1251",
        "cp1256" => b"windows-1256",
        "cp1257" => b"windows-1257",
        "cp866" => b"ibm866",
        "koi8r" => b"koi8-r",
        "koi8u" => b"koi8-u",
        "tis620" => b"windows-874",
        "macroman" => b"macintosh",
        "big5" => b"big5",
        "gb2312" | "gbk" => b"gbk",
        "gb18030" => b"gb18030",
        "sjis" | "cp932" => b"shift_jis",
        "ujis" | "eucjpms" => b"euc-jp",
        "euckr" => b"euc-kr",
        _ => return None,
    };
    Encoding::for_label(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_decoded_by_the_clients_character_set() {
        // Collations 8, 28, 33, 255 and 4: latin1, gbk, utf8mb3, utf8mb4 and cp850, which has no decoder.
        for (bytes, collation, expected) in [
            (&b"t\xe9"[..], Some(8), "té"),
            (&b"\xd5\x5c"[..], Some(28), "誠"),
            ("té".as_bytes(), Some(33), "té"),
            ("t😀".as_bytes(), Some(255), "t😀"),
            (&b"t\x82"[..], Some(4), "t\u{fffd}"),
            (&b"t\xe9"[..], None, "t\u{fffd}"),
        ] {
            assert_eq!(decode(bytes, collation), expected);
        }
        assert!((0..=u16::MAX).all(|collation| decode(b"plain", Some(collation)) == "plain"));
    }

    #[test]
    fn tables_have_one_name_whoever_tells_of_them() {
        let table = |names: NameCase| names.table("Shop", "Orders").to_string();
        assert_eq!(table(NameCase::Sensitive), "Shop.Orders");
        assert_eq!(
            (table(NameCase::Lower), table(NameCase::Insensitive)),
            ("shop.orders".into(), "shop.orders".into())
        );
    }

    #[test]
    fn names_fold_as_the_servers_do() {
        assert_eq!(NameCase::Sensitive.fold("Ab\u{c9}"), "Ab\u{c9}");
        assert_eq!(NameCase::Lower.fold("Ab\u{c9}\u{130}"), "ab\u{e9}i");
        assert_eq!(NameCase::from_variable(1), Some(NameCase::Lower));
        assert_eq!(NameCase::from_variable(3), None);
    }
}
