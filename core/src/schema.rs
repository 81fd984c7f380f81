//! Tables as the stream needs to know them: names, columns, identity, and a version that is a hash of all that.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::row::RowRef;

/// The longest key that stands for itself.
const ROW_KEY_BYTES_MAX: usize = 16 << 10;
/// What the hash of a longer one begins with. Values begin with smaller numbers.
pub const LONG_KEY: u8 = 0xff;

/// The full name of a table, in the source's own spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// The namespace: a database in MySQL, a schema in SQL Server.
    pub schema: String,
    /// The table's own name.
    pub name: String,
}

impl TableName {
    /// A name from its two parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.schema, self.name)
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Its name, in the source's spelling.
    pub name: String,
    /// Its type as the source writes it, whole: `decimal(10,2) unsigned`, `enum('a','b')`.
    #[serde(rename = "type")]
    pub source_type: String,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// The character set and collation of texts, as the source names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<String>,
    /// How a generated (computed) column comes by its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<Generated>,
    /// What rows that exist hold in this column right after it is added, when that isn't NULL: the default's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// How a generated (computed) column comes by its values. Both hold the expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generated {
    /// Computed when the row is written, and stored with it.
    Stored(String),
    /// Computed whenever the row is read, by the session that reads it.
    Virtual(String),
}

/// Why these columns name a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// The primary key.
    PrimaryKey,
    /// The first unique key without a nullable column, where there is no primary key.
    UniqueKey,
    /// No key: all columns together, and equal rows are told apart by nothing.
    WholeRow,
}

/// The columns that name a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Why these.
    pub kind: IdentityKind,
    /// Indexes into [`TableSchema::columns`], in the key's order; all of them for [`IdentityKind::WholeRow`].
    pub columns: Vec<usize>,
}

/// A table's shape at some place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableSchema {
    /// Which table.
    pub table: TableName,
    /// Its columns, in the order in which rows carry their values.
    pub columns: Vec<Column>,
    /// What names a row.
    pub identity: Identity,
    /// Which of the source's objects the name denotes, and through what its changes are read, in the connector's own
    /// words; `None` where the name says it all. Stored with the schema, so that a connector recognises the table
    /// again after a restart. No part of the shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl TableSchema {
    /// A hash of the shape: equal versions mean equal shapes. Sixteen hexadecimal digits.
    pub fn version(&self) -> SchemaVersion {
        let mut content = Vec::with_capacity(256);
        let mut text = |text: &str| {
            content.extend_from_slice(&(text.len() as u64).to_le_bytes());
            content.extend_from_slice(text.as_bytes());
        };
        text(&self.table.schema);
        text(&self.table.name);
        for column in &self.columns {
            text(&column.name);
            text(&column.source_type);
            text(if column.nullable { "null" } else { "not null" });
            let generated = column.generated.as_ref().map(|generated| match generated {
                Generated::Stored(expression) => format!("stored {expression}"),
                Generated::Virtual(expression) => format!("virtual {expression}"),
            });
            for part in [&column.collation, &generated, &column.default] {
                text(part.as_deref().map_or("-", |_| "+"));
                text(part.as_deref().unwrap_or_default());
            }
        }
        text(match self.identity.kind {
            IdentityKind::PrimaryKey => "primary key",
            IdentityKind::UniqueKey => "unique key",
            IdentityKind::WholeRow => "whole row",
        });
        for column in &self.identity.columns {
            content.extend_from_slice(&(*column as u64).to_le_bytes());
        }
        SchemaVersion(xxhash_rust::xxh3::xxh3_64(&content))
    }

    /// The index of a column by its exact name.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The names of the identity's columns, in order.
    pub fn identity_names(&self) -> impl Iterator<Item = &str> {
        self.identity.columns.iter().filter_map(|index| self.columns.get(*index)).map(|column| column.name.as_str())
    }

    /// Writes the bytes that name `row` within this table into `key`, replacing what it held.
    ///
    /// Equal identities give equal bytes and no others do. Without any key the bytes are a 128-bit hash of all
    /// values, as whole rows would make keys of any length; and so they are for a key of more than 16 KiB, behind a byte
    /// that no encoded value begins with: a key on the first letters of a column names rows by all of its letters.
    pub fn row_key(&self, row: RowRef<'_>, key: &mut Vec<u8>) {
        key.clear();
        for index in &self.identity.columns {
            row.get(*index).unwrap_or(crate::value::ValueRef::Null).encode_into(key);
        }
        let is_whole = self.identity.kind == IdentityKind::WholeRow;
        if is_whole || key.len() > ROW_KEY_BYTES_MAX {
            let hash = xxhash_rust::xxh3::xxh3_128(key);
            key.clear();
            if !is_whole {
                key.push(LONG_KEY);
            }
            key.extend_from_slice(&hash.to_be_bytes());
        }
    }
}

/// See [`TableSchema::version`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SchemaVersion(u64);

impl fmt::Display for SchemaVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::RowBatch;
    use crate::value::ValueRef;

    fn key(kind: IdentityKind, value: &str) -> Vec<u8> {
        let column = Column {
            name: "k".into(),
            source_type: "text".into(),
            nullable: false,
            collation: None,
            generated: None,
            default: None,
        };
        let schema = TableSchema {
            table: TableName::new("shop", "t"),
            columns: vec![column],
            identity: Identity { kind, columns: vec![0] },
            origin: None,
        };
        let mut row = RowBatch::new(1);
        row.push(ValueRef::Text(value)).unwrap();
        let mut key = Vec::new();
        schema.row_key(row.row(0).unwrap(), &mut key);
        key
    }

    #[test]
    fn a_key_is_never_long() {
        let long = "x".repeat(50_000);
        let hashed = key(IdentityKind::PrimaryKey, &long);
        assert_eq!((hashed.len(), hashed[0]), (17, LONG_KEY));
        assert_eq!(hashed, key(IdentityKind::PrimaryKey, &long));
        assert_ne!(hashed, key(IdentityKind::PrimaryKey, &format!("{long}y")));
        assert_ne!(hashed, key(IdentityKind::WholeRow, &long));
        assert_eq!(key(IdentityKind::PrimaryKey, "x"), [3, 0, 0, 0, 0, 0, 0, 0, 1, b'x']);
    }
}
