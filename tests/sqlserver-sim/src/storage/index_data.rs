//! An index of a table's rows.

use std::collections::BTreeSet;

use crate::value::Value;

use super::filter::RowFilter;
use super::key::{self, Entry, KeyPart, RowId};
use super::table::{Index, IndexId, Row, Table};

#[derive(Debug)]
pub(super) struct IndexData {
    pub id: IndexId,
    pub unique: bool,
    pub parts: Vec<KeyPart>,
    filter: RowFilter,
    pub entries: BTreeSet<Entry>,
}

impl IndexData {
    pub fn new(table: &Table, index: &Index) -> Self {
        let filter = RowFilter::new(table, index.filter.as_ref());
        Self { id: index.index_id, unique: index.unique, parts: parts(table, index), filter, entries: BTreeSet::new() }
    }

    /// Whether it does what the other one does.
    pub fn is_like(&self, other: &Self) -> bool {
        self.id == other.id
            && self.unique == other.unique
            && same_parts(&self.parts, &other.parts)
            && self.filter == other.filter
    }

    /// A row's entry; none where the index doesn't have the row.
    pub fn entry(&self, row: &Row, id: RowId) -> Option<Entry> {
        self.filter.passes(row).then(|| key::entry(&self.parts, row, id))
    }

    /// The entry without the row's number.
    pub fn prefix(&self, row: &Row) -> Option<Vec<u8>> {
        self.filter.passes(row).then(|| key::prefix_of_row(&self.parts, row))
    }

    pub fn put(&mut self, row: &Row, id: RowId) {
        if let Some(entry) = self.entry(row, id) {
            self.entries.insert(entry);
        }
    }

    /// The values of a row's key.
    pub fn key_values(&self, row: &Row) -> Vec<Value> {
        self.parts.iter().map(|part| row.get(part.slot).unwrap_or(&part.missing).clone()).collect()
    }
}

fn parts(table: &Table, index: &Index) -> Vec<KeyPart> {
    let part = |key: &super::table::KeyColumn| {
        let column = table.column(key.column_id)?;
        let missing = column.missing.clone().unwrap_or(Value::Null);
        Some(KeyPart { slot: column.slot()?, descending: key.descending, missing })
    };
    index.key.iter().filter_map(part).collect()
}

fn same_parts(a: &[KeyPart], b: &[KeyPart]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.slot == b.slot && a.descending == b.descending)
}
