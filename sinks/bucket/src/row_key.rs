//! Row keys in words.

use std::fmt::Write as _;

use millstream_core::schema::{IdentityKind, LONG_KEY, TableSchema};

use crate::record::{Cursor, Malformed};

/// How many characters of a text are shown.
const TEXT_SHOWN_MAX: usize = 100;

/// What a row's key says, for people: `id=5, name="x"`. Without the schema, or with one of another shape, columns have
/// no names.
pub(crate) fn readable(key: &[u8], schema: Option<&TableSchema>) -> String {
    if schema.is_some_and(|schema| schema.identity.kind == IdentityKind::WholeRow) {
        return format!("the row with hash {}", hexadecimal(key));
    }
    if let Some((&LONG_KEY, hash)) = key.split_first() {
        return format!("the row with the long key of hash {}", hexadecimal(hash));
    }
    let Ok(values) = values(key) else { return format!("the row with key {}", hexadecimal(key)) };
    let mut names = schema.into_iter().flat_map(TableSchema::identity_names);
    let mut text = String::new();
    for value in values {
        if !text.is_empty() {
            text.push_str(", ");
        }
        if let Some(name) = names.next() {
            text.push_str(name);
            text.push('=');
        }
        text.push_str(&value);
    }
    text
}

/// Reads what [`ValueRef::encode_into`](millstream_core::value::ValueRef::encode_into) wrote.
fn values(key: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut cursor = Cursor::new(key, "a row's key");
    let mut values = Vec::new();
    while cursor.end().is_err() {
        values.push(match cursor.byte()? {
            0 => "NULL".to_string(),
            1 => i64::from_be_bytes(cursor.array()?).to_string(),
            2 => f64::from_bits(u64::from_be_bytes(cursor.array()?)).to_string(),
            3 => quoted(&String::from_utf8_lossy(encoded_bytes(&mut cursor)?)),
            4 => format!("0x{}", hexadecimal(encoded_bytes(&mut cursor)?)),
            _ => return Err(cursor.malformed()),
        });
    }
    Ok(values)
}

fn encoded_bytes<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let length = u64::from_be_bytes(cursor.array()?);
    cursor.take(usize::try_from(length).map_err(|_| cursor.malformed())?)
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(TEXT_SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use millstream_core::row::RowBatch;
    use millstream_core::schema::{Column, Identity, TableName};
    use millstream_core::value::ValueRef;

    use super::*;

    fn schema(kind: IdentityKind) -> TableSchema {
        let column = |name: &str| Column {
            name: name.to_string(),
            source_type: "t".to_string(),
            nullable: true,
            collation: None,
            generated: None,
            default: None,
        };
        TableSchema {
            table: TableName::new("shop", "t"),
            columns: ["a", "b", "c"].map(column).to_vec(),
            identity: Identity { kind, columns: vec![2, 0, 1] },
            origin: None,
        }
    }

    fn key(schema: &TableSchema) -> Vec<u8> {
        let mut batch = RowBatch::new(3);
        for value in [ValueRef::Text("it's"), ValueRef::Blob(&[1, 255]), ValueRef::Int(-5)] {
            batch.push(value).unwrap();
        }
        let mut key = Vec::new();
        schema.row_key(batch.row(0).unwrap(), &mut key);
        key
    }

    #[test]
    fn a_key_is_shown_with_its_columns() {
        let schema = schema(IdentityKind::PrimaryKey);
        assert_eq!(readable(&key(&schema), Some(&schema)), r#"c=-5, a="it's", b=0x01ff"#);
        assert_eq!(readable(&key(&schema), None), r#"-5, "it's", 0x01ff"#);
        assert_eq!(readable(b"\x09x", None), "the row with key 0978");
    }

    #[test]
    fn a_row_without_a_key_is_shown_by_its_hash() {
        let schema = schema(IdentityKind::WholeRow);
        let text = readable(&key(&schema), Some(&schema));
        assert_eq!(text.len(), "the row with hash ".len() + 32, "{text}");
    }

    #[test]
    fn a_long_key_is_shown_by_its_hash() {
        assert_eq!(readable(&[LONG_KEY, 1, 0xab], None), "the row with the long key of hash 01ab");
    }
}
