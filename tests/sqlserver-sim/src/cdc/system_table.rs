//! The tables in which change data capture keeps its own catalog. They are tables like any other, so that readers see them
//! in their transactions as everything else.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    Column, ColumnId, DatabaseId, Index, IndexId, KeyColumn, KeyRange, ReadRequest, Row, RowId, SchemaId, Table,
    Transaction, UpdateManner, Visibility,
};
use crate::value::{Length, SqlType, Value};

/// One of the tables of the schema `cdc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SystemTable {
    ChangeTables,
    CapturedColumns,
    IndexColumns,
    DdlHistory,
    LsnTimeMapping,
}

/// Columns of `cdc.change_tables` by position.
pub mod change_tables {
    pub const CAPTURE_INSTANCE: usize = 3;
    pub const START_LSN: usize = 4;
    pub const HAS_DROP_PENDING: usize = 7;
}

/// Columns of `cdc.lsn_time_mapping` by position.
pub mod lsn_time_mapping {
    pub const START_LSN: usize = 0;
    pub const TRAN_END_TIME: usize = 2;
}

const LSN: SqlType = SqlType::Binary(10);

/// Name, type, and whether it may be NULL.
type Shape = (&'static str, SqlType, bool);

impl SystemTable {
    pub const ALL: [Self; 5] =
        [Self::ChangeTables, Self::CapturedColumns, Self::IndexColumns, Self::DdlHistory, Self::LsnTimeMapping];

    pub fn name(self) -> &'static str {
        match self {
            Self::ChangeTables => "change_tables",
            Self::CapturedColumns => "captured_columns",
            Self::IndexColumns => "index_columns",
            Self::DdlHistory => "ddl_history",
            Self::LsnTimeMapping => "lsn_time_mapping",
        }
    }

    fn columns(self) -> &'static [Shape] {
        match self {
            Self::ChangeTables => &[
                ("object_id", SqlType::Int, false),
                ("version", SqlType::Int, true),
                ("source_object_id", SqlType::Int, true),
                ("capture_instance", SqlType::SysName, false),
                ("start_lsn", LSN, true),
                ("end_lsn", LSN, true),
                ("supports_net_changes", SqlType::Bit, true),
                ("has_drop_pending", SqlType::Bit, true),
                ("role_name", SqlType::SysName, true),
                ("index_name", SqlType::SysName, true),
                ("filegroup_name", SqlType::SysName, true),
                ("create_date", SqlType::DateTime, true),
                ("partition_switch", SqlType::Bit, false),
            ],
            Self::CapturedColumns => &[
                ("object_id", SqlType::Int, false),
                ("column_name", SqlType::SysName, false),
                ("column_id", SqlType::Int, true),
                ("column_type", SqlType::SysName, false),
                ("column_ordinal", SqlType::Int, false),
                ("is_computed", SqlType::Bit, true),
                ("masking_function", SqlType::NVarChar(Length::Limited(4000)), true),
            ],
            Self::IndexColumns => &[
                ("object_id", SqlType::Int, false),
                ("column_name", SqlType::SysName, false),
                ("index_ordinal", SqlType::TinyInt, false),
                ("column_id", SqlType::Int, false),
            ],
            Self::DdlHistory => &[
                ("source_object_id", SqlType::Int, true),
                ("object_id", SqlType::Int, false),
                ("required_column_update", SqlType::Bit, true),
                ("ddl_command", SqlType::NVarChar(Length::Max), true),
                ("ddl_lsn", LSN, false),
                ("ddl_time", SqlType::DateTime, true),
            ],
            Self::LsnTimeMapping => &[
                ("start_lsn", LSN, false),
                ("tran_begin_time", SqlType::DateTime, true),
                ("tran_end_time", SqlType::DateTime, true),
                ("tran_id", SqlType::VarBinary(Length::Limited(10)), true),
                ("tran_begin_lsn", LSN, true),
            ],
        }
    }

    /// The clustered index: its name, its columns by position, whether it is unique.
    fn key(self) -> (&'static str, &'static [usize], bool) {
        match self {
            Self::ChangeTables => ("change_tables_clustered_idx", &[0], true),
            Self::CapturedColumns => ("captured_columns_clustered_idx", &[0, 4], true),
            Self::IndexColumns => ("index_columns_clustered_idx", &[0, 2], true),
            // One transaction may have several statements.
            Self::DdlHistory => ("ddl_history_clustered_idx", &[1, 4], false),
            Self::LsnTimeMapping => ("lsn_time_mapping_clustered_idx", &[0], true),
        }
    }

    /// Its description, to be created in `schema`.
    pub fn definition(self, schema: SchemaId) -> Table {
        let (index, key, unique) = self.key();
        let mut table = definition(schema, self.name(), self.columns(), (index, key, unique));
        if self == Self::LsnTimeMapping {
            table.indexes.push(index_on(
                "lsn_time_mapping_nonunique_idx",
                IndexId(2),
                &[lsn_time_mapping::TRAN_END_TIME],
                false,
            ));
        }
        table
    }

    /// Finds it in a database.
    ///
    /// # Errors
    /// 22901 where the database isn't enabled.
    pub fn find(self, transaction: &Transaction, database: DatabaseId) -> SqlResult<Arc<Table>> {
        let catalog = transaction.catalog(database)?;
        let schema = catalog.schema_named("cdc").filter(|_| catalog.options.cdc_enabled);
        let table = schema.and_then(|schema| catalog.table_named(schema.schema_id, self.name()));
        table.cloned().ok_or_else(|| super::errors::not_enabled(transaction, database))
    }

    /// Adds rows.
    pub fn insert(self, transaction: &mut Transaction, database: DatabaseId, rows: Vec<Vec<Value>>) -> SqlResult<()> {
        let table = self.find(transaction, database)?;
        let rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
        transaction.insert(database, &table, &rows).map(drop)
    }

    /// Rows as the transaction sees them, of one object (the first key column) or all.
    pub fn rows(
        self,
        transaction: &mut Transaction,
        database: DatabaseId,
        first: Option<Value>,
    ) -> SqlResult<Vec<(RowId, Row)>> {
        let table = self.find(transaction, database)?;
        let range = first.map_or(KeyRange::ALL, |first| KeyRange::prefix(vec![first]));
        transaction.read_all(&ReadRequest::all(database, table).range(IndexId::CLUSTERED, range))
    }

    /// Rows as they are now, for changing them.
    pub fn current_rows(
        self,
        transaction: &mut Transaction,
        database: DatabaseId,
        first: Option<Value>,
    ) -> SqlResult<Vec<(RowId, Row)>> {
        let table = self.find(transaction, database)?;
        let range = first.map_or(KeyRange::ALL, |first| KeyRange::prefix(vec![first]));
        let request = ReadRequest::all(database, table).range(IndexId::CLUSTERED, range).visible(Visibility::Current);
        transaction.read_all(&request)
    }

    /// Removes the rows of an object.
    pub fn delete(self, transaction: &mut Transaction, database: DatabaseId, object: Value) -> SqlResult<()> {
        let table = self.find(transaction, database)?;
        let rows = self.current_rows(transaction, database, Some(object))?;
        let ids: Vec<RowId> = rows.into_iter().map(|(id, _)| id).collect();
        transaction.delete(database, &table, &ids)
    }

    /// Changes one value of a row.
    pub fn set(
        self,
        transaction: &mut Transaction,
        database: DatabaseId,
        row: &(RowId, Row),
        column: usize,
        value: Value,
    ) -> SqlResult<()> {
        let table = self.find(transaction, database)?;
        let changed: Row =
            row.1.iter().enumerate().map(|(at, old)| if at == column { value.clone() } else { old.clone() }).collect();
        transaction.update(database, &table, &[(row.0, changed)], UpdateManner::InPlace)
    }
}

/// A table with its clustered index.
pub fn definition(
    schema: SchemaId,
    name: &str,
    columns: &[Shape],
    (index, key, unique): (&str, &[usize], bool),
) -> Table {
    let mut table = Table::new(schema, name);
    for (name, sql_type, nullable) in columns {
        let column = Column::new(name, *sql_type);
        table.push_column(if *nullable { column } else { column.not_null() });
    }
    table.indexes.push(index_on(index, IndexId::CLUSTERED, key, unique));
    table.system = true;
    table
}

/// An index on columns by their positions.
pub fn index_on(name: &str, index_id: IndexId, positions: &[usize], unique: bool) -> Index {
    let key = |position: &usize| KeyColumn {
        column_id: ColumnId(i32::try_from(*position).map_or(i32::MAX, |position| position + 1)),
        descending: false,
    };
    Index {
        index_id,
        name: Arc::from(name),
        unique,
        constraint: None,
        key: positions.iter().map(key).collect(),
        included: Vec::new(),
        disabled: false,
        filter: None,
    }
}

/// A value by position, NULL where the row is shorter.
pub fn value(row: &Row, position: usize) -> &Value {
    row.get(position).unwrap_or(&Value::Null)
}

/// A lookup that can't fail unless the catalog is broken, said as an error all the same.
pub fn broken(what: &str) -> SqlError {
    SqlError::new(22832, 16, format!("The metadata of change data capture could not be read: {what} is missing."))
}
