//! What rows were called by keys that their table had before.
//!
//! After a table's key has changed, each row's object is filed under what the former key says of the row. Where the
//! columns of that key are still there, as they were, the row itself tells it: so the same columns are packed with each row
//! for the writer, as long as rows of a former identity are stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_core::row::RowBatch;
use millstream_core::schema::{Identity, IdentityKind, TableSchema};
use serde::{Deserialize, Serialize};

use crate::evaluated::EvaluatedRows;
use crate::key::TableKey;

/// How many former keys of a table are told by its rows.
pub(crate) const FORMER_KEYS_MAX: usize = 4;

/// The columns that named a table's rows at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyColumns {
    /// Whether there was no key: rows are then named by a hash of all columns.
    is_whole_row: bool,
    columns: Vec<KeyColumn>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeyColumn {
    name: String,
    /// Values of another type may have another encoding.
    source_type: String,
}

impl KeyColumns {
    pub(crate) fn of(schema: &TableSchema) -> KeyColumns {
        let columns = key_columns(schema)
            .map(|column| KeyColumn { name: column.name.clone(), source_type: column.source_type.clone() });
        KeyColumns { is_whole_row: is_whole_row(schema), columns: columns.collect() }
    }

    /// Whether they are what names the rows of a table of this shape.
    pub(crate) fn are_of(&self, schema: &TableSchema) -> bool {
        self.is_whole_row == is_whole_row(schema)
            && self.columns.iter().map(KeyColumn::parts).eq(key_columns(schema).map(|it| (&*it.name, &*it.source_type)))
    }

    /// The shape with these columns as its identity, if it has them all as they were.
    fn within(&self, schema: &TableSchema) -> Option<TableSchema> {
        let kind = if self.is_whole_row { IdentityKind::WholeRow } else { IdentityKind::PrimaryKey };
        let index_of = |column: &KeyColumn| {
            let index = schema.column_index(&column.name)?;
            (schema.columns.get(index)?.source_type == column.source_type).then_some(index)
        };
        let columns = self.columns.iter().map(index_of).collect::<Option<Vec<_>>>()?;
        Some(TableSchema { identity: Identity { kind, columns }, ..schema.clone() })
    }
}

impl KeyColumn {
    fn parts(&self) -> (&str, &str) {
        (&self.name, &self.source_type)
    }
}

fn is_whole_row(schema: &TableSchema) -> bool {
    schema.identity.kind == IdentityKind::WholeRow
}

fn key_columns(schema: &TableSchema) -> impl Iterator<Item = &millstream_core::schema::Column> {
    schema.identity.columns.iter().filter_map(|index| schema.columns.get(*index))
}

/// The keys that tables have had, as far as rows may be filed by them that are stored or on their way to the writer.
///
/// It may know of more than there is, which costs some work, or of less: then the writer goes the longer way.
#[derive(Debug, Default)]
pub(crate) struct FormerKeys {
    tables: Mutex<HashMap<TableKey, Keys>>,
}

#[derive(Debug)]
struct Keys {
    newest: Arc<KeyColumns>,
    former: Vec<Arc<KeyColumns>>,
}

impl FormerKeys {
    /// Notes what is stored of a table.
    pub(crate) fn load(&self, table: TableKey, newest: KeyColumns, former: impl Iterator<Item = KeyColumns>) {
        let keys = Keys { newest: Arc::new(newest), former: former.map(Arc::new).collect() };
        self.tables().insert(table, keys);
    }

    /// Packs with rows of a table what they are called by its former keys.
    pub(crate) fn tell(&self, table: TableKey, schema: &TableSchema, rows: &RowBatch, slices: &mut [EvaluatedRows]) {
        for columns in self.note(table, schema) {
            let Some(former) = columns.within(schema) else { continue };
            let mut rows = rows.rows();
            let mut key = Vec::new();
            for slice in &mut *slices {
                slice.begin_former_keys(&columns);
                for row in rows.by_ref().take(slice.len()) {
                    former.row_key(row, &mut key);
                    slice.push_former_key(&key);
                }
            }
        }
    }

    /// Notes that rows of this shape follow; gives the keys before.
    fn note(&self, table: TableKey, schema: &TableSchema) -> Vec<Arc<KeyColumns>> {
        let mut tables = self.tables();
        let Some(keys) = tables.get_mut(&table) else {
            tables.insert(table, Keys { newest: Arc::new(KeyColumns::of(schema)), former: Vec::new() });
            return Vec::new();
        };
        if !keys.newest.are_of(schema) {
            let before = std::mem::replace(&mut keys.newest, Arc::new(KeyColumns::of(schema)));
            keys.former.retain(|former| *former != before);
            if keys.former.len() >= FORMER_KEYS_MAX {
                keys.former.remove(0);
            }
            keys.former.push(before);
        }
        keys.former.clone()
    }

    /// Notes that rows which are filed by these keys are gone.
    pub(crate) fn forget_former(&self, table: TableKey, gone: &[KeyColumns]) {
        if let Some(keys) = self.tables().get_mut(&table) {
            keys.former.retain(|former| !gone.contains(former));
        }
    }

    /// Notes that a table is gone.
    pub(crate) fn forget(&self, table: TableKey) {
        self.tables().remove(&table);
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<TableKey, Keys>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::schema::{Column, TableName};
    use millstream_core::table::TableId;
    use millstream_core::value::ValueRef;

    use super::*;
    use crate::key::SourceId;

    const TABLE: TableKey = TableKey { source: SourceId(1), table: TableId(2) };

    fn schema(kind: IdentityKind, key: &[usize], columns: &[(&str, &str)]) -> TableSchema {
        let column = |(name, source_type): &(&str, &str)| Column {
            name: (*name).to_string(),
            source_type: (*source_type).to_string(),
            nullable: true,
            collation: None,
            generated: None,
            default: None,
        };
        TableSchema {
            table: TableName::new("shop", "t"),
            columns: columns.iter().map(column).collect(),
            identity: Identity { kind, columns: key.to_vec() },
            origin: None,
        }
    }

    fn by_key(key: &[usize], columns: &[(&str, &str)]) -> TableSchema {
        schema(IdentityKind::PrimaryKey, key, columns)
    }

    fn key_of(schema: &TableSchema, values: &[&str]) -> Vec<u8> {
        let mut batch = RowBatch::new(values.len());
        values.iter().for_each(|value| batch.push(ValueRef::Text(value)).unwrap());
        let mut key = Vec::new();
        schema.row_key(batch.row(0).unwrap(), &mut key);
        key
    }

    #[test]
    fn a_former_key_is_found_by_names_and_types_wherever_its_columns_are_now() {
        let before = by_key(&[1, 0], &[("a", "int"), ("b", "text")]);
        let columns = KeyColumns::of(&before);
        assert!(columns.are_of(&before) && !columns.are_of(&by_key(&[0, 1], &[("a", "int"), ("b", "text")])));
        let now = by_key(&[0], &[("new", "int"), ("b", "text"), ("a", "int")]);
        let former = columns.within(&now).unwrap();
        assert_eq!(key_of(&former, &["n", "B", "A"]), key_of(&before, &["A", "B"]));
        // Dropped or renamed, and retyped.
        assert_eq!(columns.within(&by_key(&[0], &[("a", "int"), ("c", "text")])), None);
        assert_eq!(columns.within(&by_key(&[0], &[("a", "bigint"), ("b", "text")])), None);
    }

    #[test]
    fn rows_without_a_key_are_found_by_all_columns_of_then() {
        let before = schema(IdentityKind::WholeRow, &[0, 1], &[("a", "int"), ("b", "text")]);
        let now = by_key(&[2], &[("a", "int"), ("b", "text"), ("id", "int")]);
        let former = KeyColumns::of(&before).within(&now).unwrap();
        assert_eq!(key_of(&former, &["A", "B", "1"]), key_of(&before, &["A", "B"]));
    }

    #[test]
    fn only_so_many_keys_are_kept_each_once_and_none_that_is_gone() {
        let columns = [("a", "t"), ("b", "t"), ("c", "t"), ("d", "t"), ("e", "t"), ("f", "t")];
        let by = |key: usize| by_key(&[key], &columns);
        let keys = FormerKeys::default();
        let former = |key: usize| keys.note(TABLE, &by(key)).iter().map(|it| (**it).clone()).collect::<Vec<_>>();
        let of = |all: &[usize]| all.iter().map(|key| KeyColumns::of(&by(*key))).collect::<Vec<_>>();
        assert_eq!(former(0), []);
        assert_eq!(former(0), []);
        assert_eq!(former(1), of(&[0]));
        assert_eq!(former(0), of(&[0, 1]));
        assert_eq!(former(1), of(&[1, 0]));
        for key in 2..6 {
            former(key);
        }
        assert_eq!(former(5), of(&[1, 2, 3, 4]));
        keys.forget_former(TABLE, &of(&[1, 3]));
        assert_eq!(former(5), of(&[2, 4]));
        keys.forget(TABLE);
        assert_eq!(former(0), []);
    }
}
