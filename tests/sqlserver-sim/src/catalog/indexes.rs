//! Indexes, and the storage that the catalog says they have.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{ColumnId, Index, IndexId, ObjectId, Table};
use crate::value::Value;

use super::Named;
use super::scope::Scope;
use super::view::{
    BIGINT, BIT, INT, SYSNAME, TEXT, TINYINT, View, bigint, bit, count, int, nvarchar, optional_text, text,
};

/// An index, or the heap of a table without a clustered one.
pub struct TableIndex {
    pub table: Arc<Table>,
    pub index: Option<Index>,
}

impl TableIndex {
    fn id(&self) -> i32 {
        self.index.as_ref().map_or(0, |index| index.index_id.0)
    }

    fn is(&self, property: fn(&Index) -> bool) -> Value {
        bit(self.index.as_ref().is_some_and(property))
    }
}

fn all(scope: &Scope<'_>) -> Vec<TableIndex> {
    let mut indexes = Vec::new();
    for table in scope.tables() {
        if table.clustered().is_none() {
            indexes.push(TableIndex { table: Arc::clone(&table), index: None });
        }
        let named =
            table.indexes.iter().map(|index| TableIndex { table: Arc::clone(&table), index: Some(index.clone()) });
        indexes.extend(named);
    }
    indexes.sort_by_key(|it| (it.table.object_id, it.id()));
    indexes
}

/// The table's partition scheme, or the filegroup PRIMARY.
fn data_space(it: &TableIndex, scope: &Scope<'_>) -> i32 {
    it.table.partition.as_ref().and_then(|key| super::partitions::scheme_id(scope, &key.scheme)).unwrap_or(1)
}

fn indexes_view() -> Arc<dyn Relation> {
    View::of(all)
        .field("object_id", INT, |it, _| int(it.table.object_id.0))
        .nullable("name", SYSNAME, |it, _| optional_text(it.index.as_ref().map(|index| &*index.name)))
        .field("index_id", INT, |it, _| int(it.id()))
        .field("type", TINYINT, |it, _| Value::TinyInt(u8::try_from(it.id().min(2)).unwrap_or(2)))
        .nullable("type_desc", nvarchar(60), |it, _| {
            text(match it.id() {
                0 => "HEAP",
                1 => "CLUSTERED",
                _ => "NONCLUSTERED",
            })
        })
        .nullable("is_unique", BIT, |it, _| it.is(|index| index.unique))
        .field("data_space_id", INT, |it, scope| int(data_space(it, scope)))
        .unset(&["ignore_dup_key"])
        .nullable("is_primary_key", BIT, |it, _| it.is(Index::is_primary))
        .nullable("is_unique_constraint", BIT, |it, _| {
            it.is(|index| index.constraint.as_ref().is_some_and(|constraint| !constraint.primary))
        })
        .always("fill_factor", TINYINT, Value::TinyInt(0))
        .unset(&["is_padded"])
        .nullable("is_disabled", BIT, |it, _| it.is(|index| index.disabled))
        .unset(&["is_hypothetical", "is_ignored_in_optimization"])
        .always("allow_row_locks", BIT, bit(true))
        .always("allow_page_locks", BIT, bit(true))
        .nullable("has_filter", BIT, |it, _| it.is(|index| index.filter.is_some()))
        .nullable("filter_definition", TEXT, |it, _| {
            let filter = it.index.as_ref().and_then(|index| index.filter.as_ref());
            optional_text(filter.map(|filter| &*filter.definition))
        })
        .nulls(INT, &["compression_delay"])
        .unset(&["suppress_dup_key_messages", "auto_created", "optimize_for_sequential_key"])
        .build()
}

/// A column of an index.
struct IndexColumn {
    table: Arc<Table>,
    index_id: IndexId,
    /// From 1, included columns after those of the key.
    position: usize,
    column: ColumnId,
    /// Place in the key; 0 for an included column.
    key_position: u8,
    descending: bool,
}

fn index_columns(scope: &Scope<'_>) -> Vec<IndexColumn> {
    let mut columns = Vec::new();
    for it in all(scope) {
        let Some(index) = &it.index else { continue };
        let key = index.key.iter().zip(1..).map(|(key, place)| (key.column_id, place, key.descending));
        let included = index.included.iter().map(|column| (*column, 0, false));
        for (position, (column, key_position, descending)) in key.chain(included).enumerate() {
            let table = Arc::clone(&it.table);
            let position = position + 1;
            columns.push(IndexColumn { table, index_id: index.index_id, position, column, key_position, descending });
        }
    }
    columns
}

fn index_columns_view() -> Arc<dyn Relation> {
    View::of(index_columns)
        .field("object_id", INT, |it, _| int(it.table.object_id.0))
        .field("index_id", INT, |it, _| int(it.index_id.0))
        .field("index_column_id", INT, |it, _| count(it.position))
        .field("column_id", INT, |it, _| int(it.column.0))
        .field("key_ordinal", TINYINT, |it, _| Value::TinyInt(it.key_position))
        .always("partition_ordinal", TINYINT, Value::TinyInt(0))
        .nullable("is_descending_key", BIT, |it, _| bit(it.descending))
        .nullable("is_included_column", BIT, |it, _| bit(it.key_position == 0))
        .always("column_store_order_ordinal", TINYINT, Value::TinyInt(0))
        .build()
}

/// A partition of an index.
struct Partition {
    of: TableIndex,
    /// From 1.
    number: u16,
    rowset: u64,
    rows: u64,
}

fn partitions(scope: &Scope<'_>) -> Vec<Partition> {
    let mut partitions = Vec::new();
    let mut last: Option<(ObjectId, Vec<u64>)> = None;
    for of in all(scope) {
        let table = of.table.object_id;
        let rows = match last.take() {
            Some((id, rows)) if id == table => rows,
            _ => scope.partition_rows(table),
        };
        for ((number, rows), rowset) in (1..).zip(&rows).zip(of.table.rowsets.numbers()) {
            let of = TableIndex { table: Arc::clone(&of.table), index: of.index.clone() };
            partitions.push(Partition { of, number, rowset: *rowset, rows: *rows });
        }
        last = Some((table, rows));
    }
    partitions
}

/// A number for a partition of an index, as unlike other numbers as a real one.
fn partition_id(it: &Partition) -> u64 {
    72_057_594_037_927_936 + (it.rowset << 12) + u64::from(it.of.id().unsigned_abs())
}

fn partitions_view() -> Arc<dyn Relation> {
    View::of(partitions)
        .field("partition_id", BIGINT, |it, _| bigint(partition_id(it)))
        .field("object_id", INT, |it, _| int(it.of.table.object_id.0))
        .field("index_id", INT, |it, _| int(it.of.id()))
        .field("partition_number", INT, |it, _| int(it.number.into()))
        .field("hobt_id", BIGINT, |it, _| bigint(partition_id(it)))
        .nullable("rows", BIGINT, |it, _| bigint(it.rows))
        .always("filestream_filegroup_id", crate::value::SqlType::SmallInt, Value::SmallInt(0))
        .always("data_compression", TINYINT, Value::TinyInt(0))
        .always("data_compression_desc", nvarchar(60), text("NONE"))
        .build()
}

/// Pages of eight kilobytes, on the guess that a row takes a hundred bytes.
fn pages(it: &Partition, _: &Scope<'_>) -> Value {
    bigint(it.rows.div_ceil(80))
}

fn partition_stats_view() -> Arc<dyn Relation> {
    View::of(partitions)
        .field("partition_id", BIGINT, |it, _| bigint(partition_id(it)))
        .field("object_id", INT, |it, _| int(it.of.table.object_id.0))
        .field("index_id", INT, |it, _| int(it.of.id()))
        .field("partition_number", INT, |it, _| int(it.number.into()))
        .field("in_row_data_page_count", BIGINT, pages)
        .field("in_row_used_page_count", BIGINT, pages)
        .field("in_row_reserved_page_count", BIGINT, pages)
        .always("lob_used_page_count", BIGINT, Value::BigInt(0))
        .always("lob_reserved_page_count", BIGINT, Value::BigInt(0))
        .always("row_overflow_used_page_count", BIGINT, Value::BigInt(0))
        .always("row_overflow_reserved_page_count", BIGINT, Value::BigInt(0))
        .field("used_page_count", BIGINT, pages)
        .field("reserved_page_count", BIGINT, pages)
        .field("row_count", BIGINT, |it, _| bigint(it.rows))
        .build()
}

/// Each index has statistics of its own; the server makes no others.
fn statistics_view() -> Arc<dyn Relation> {
    View::of(|scope| all(scope).into_iter().filter(|it| it.index.is_some()).collect())
        .field("object_id", INT, |it: &TableIndex, _| int(it.table.object_id.0))
        .nullable("name", SYSNAME, |it, _| optional_text(it.index.as_ref().map(|index| &*index.name)))
        .field("stats_id", INT, |it, _| int(it.id()))
        .unset(&["auto_created", "user_created", "no_recompute"])
        .nullable("has_filter", BIT, |it, _| it.is(|index| index.filter.is_some()))
        .unset(&["is_temporary", "is_incremental"])
        .build()
}

fn allocation_units_view() -> Arc<dyn Relation> {
    View::of(partitions)
        .field("allocation_unit_id", BIGINT, |it, _| bigint(partition_id(it)))
        .always("type", TINYINT, Value::TinyInt(1))
        .always("type_desc", nvarchar(60), text("IN_ROW_DATA"))
        .field("container_id", BIGINT, |it, _| bigint(partition_id(it)))
        .always("data_space_id", INT, int(1))
        .field("total_pages", BIGINT, pages)
        .field("used_pages", BIGINT, pages)
        .field("data_pages", BIGINT, pages)
        .build()
}

fn data_spaces_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .always("name", SYSNAME, text("PRIMARY"))
        .always("data_space_id", INT, int(1))
        .always("type", crate::value::SqlType::Char(2), text("FG"))
        .always("type_desc", nvarchar(60), text("ROWS_FILEGROUP"))
        .always("is_default", BIT, bit(true))
        .unset(&["is_system"])
        .build()
}

pub fn views() -> Vec<Named> {
    vec![
        ("sys", "indexes", indexes_view()),
        ("sys", "index_columns", index_columns_view()),
        ("sys", "stats", statistics_view()),
        ("sys", "partitions", partitions_view()),
        ("sys", "allocation_units", allocation_units_view()),
        ("sys", "dm_db_partition_stats", partition_stats_view()),
        ("sys", "data_spaces", data_spaces_view()),
        ("sys", "filegroups", data_spaces_view()),
    ]
}
