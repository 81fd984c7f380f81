//! One file as a table.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use millstream_core::row::{RowBatch, ValueTooLong};
use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};
use millstream_core::value::ValueRef;
use serde::{Deserialize, Serialize};

use crate::NAMESPACE;

/// The fields of one line; `None` for empty ones.
pub(crate) type Fields = Vec<Option<String>>;

/// What to do about a file that is no table.
pub(crate) const MEND: &str =
    "Mend the file: a header, then as many fields in each line, of which the first names the row";

/// What a file held when it was last looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    /// The lines by their first field.
    pub(crate) rows: BTreeMap<String, Fields>,
}

/// Why a file's content isn't known.
pub(crate) enum Unread {
    /// There is no such file any more.
    Gone,
    /// It is no table: why, for a person.
    Doubtful(String),
}

impl Table {
    pub(crate) fn read(path: &Path) -> Result<Self, Unread> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Unread::Gone,
            _ => Unread::Doubtful(error.to_string()),
        })?;
        // The reader's own messages say what and in which line, and show no values.
        Self::parse(file).map_err(Unread::Doubtful)
    }

    fn parse(content: impl io::Read) -> Result<Self, String> {
        let mut reader = csv::Reader::from_reader(content);
        let columns: Vec<String> =
            reader.headers().map_err(|error| error.to_string())?.iter().map(str::to_owned).collect();
        let mut names = columns.clone();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() || names.len() != columns.len() || columns.iter().any(String::is_empty) {
            return Err("the header must name each column once".to_owned());
        }
        let mut rows = BTreeMap::new();
        for (number, record) in (2..).zip(reader.records()) {
            let record = record.map_err(|error| error.to_string())?;
            let fields: Fields = record.iter().map(|field| (!field.is_empty()).then(|| field.to_owned())).collect();
            let identity = fields.first().cloned().flatten();
            let identity = identity.ok_or_else(|| format!("record {number} has nothing in its first field"))?;
            if rows.insert(identity, fields).is_some() {
                return Err(format!("record {number} has the same first field as one before"));
            }
        }
        Ok(Self { columns, rows })
    }

    /// The same rows in another shape: columns that weren't there are NULL. Under another identity there are none.
    pub(crate) fn reshaped(&self, columns: &[String]) -> Self {
        let same_identity = columns.first() == self.columns.first();
        let places: Vec<Option<usize>> =
            columns.iter().map(|name| self.columns.iter().position(|column| column == name)).collect();
        let reshape = |fields: &Fields| -> Fields {
            places.iter().map(|place| place.and_then(|place| fields.get(place).cloned().flatten())).collect()
        };
        let rows = self.rows.iter().filter(|_| same_identity);
        let rows = rows.map(|(identity, fields)| (identity.clone(), reshape(fields))).collect();
        Self { columns: columns.to_vec(), rows }
    }
}

/// The name that the core knows a table by.
pub(crate) fn full_name(table: &str) -> TableName {
    TableName::new(NAMESPACE, table)
}

/// The schema of a table with these columns.
pub(crate) fn schema(table: &str, columns: &[String]) -> Arc<TableSchema> {
    let column = |(index, name): (usize, &String)| Column {
        name: name.clone(),
        source_type: "text".to_owned(),
        nullable: index > 0,
        collation: None,
        generated: None,
        default: None,
    };
    Arc::new(TableSchema {
        table: full_name(table),
        columns: columns.iter().enumerate().map(column).collect(),
        identity: Identity { kind: IdentityKind::PrimaryKey, columns: vec![0] },
        origin: None,
    })
}

/// Appends a row.
pub(crate) fn push(batch: &mut RowBatch, fields: &Fields) -> Result<(), ValueTooLong> {
    fields.iter().try_for_each(|field| batch.push(field.as_deref().map_or(ValueRef::Null, ValueRef::Text)))
}

/// Appends a row of which only the identity is known.
pub(crate) fn push_identity(batch: &mut RowBatch, identity: &str, columns: usize) -> Result<(), ValueTooLong> {
    batch.push(ValueRef::Text(identity))?;
    (1..columns).try_for_each(|_| batch.push(ValueRef::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_header_and_rows() {
        let table = Table::parse("id,name\n7,\"a, b\"\n3,\n".as_bytes()).unwrap();
        assert_eq!(table.columns, ["id", "name"]);
        assert_eq!(table.rows["7"], [Some("7".to_owned()), Some("a, b".to_owned())]);
        assert_eq!(table.rows["3"], [Some("3".to_owned()), None]);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for content in ["id,id\n", "id,a\n1\n", "id,a\n,2\n", "id,a\n1,2\n1,3\n", ""] {
            assert!(Table::parse(content.as_bytes()).is_err(), "{content:?}");
        }
        assert!(Table::parse(&b"id,a\n1,\xff\n"[..]).is_err());
    }

    #[test]
    fn a_column_that_was_not_there_is_null() {
        let table = Table::parse("id,a\n1,x\n".as_bytes()).unwrap();
        let reshaped = table.reshaped(&["id".to_owned(), "b".to_owned(), "a".to_owned()]);
        assert_eq!(reshaped.rows["1"], [Some("1".to_owned()), None, Some("x".to_owned())]);
        assert!(table.reshaped(&["a".to_owned(), "id".to_owned()]).rows.is_empty());
    }
}
