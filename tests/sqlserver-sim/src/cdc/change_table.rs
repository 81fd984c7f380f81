//! Change tables: their shape, and the rows that log records become.

use std::sync::Arc;

use crate::error::SqlResult;
use crate::storage::alter::stored;
use crate::storage::{
    CaptureInstance, CapturedColumn, Column, ColumnId, Constraint, Index, IndexId, KeyColumn, Lsn, Row, SchemaId, Table,
};
use crate::value::{Length, Moment, SqlType, Value};

/// `__$operation`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Delete = 1,
    Insert = 2,
    UpdateBefore = 3,
    UpdateAfter = 4,
}

/// Columns that come before the captured ones, by position. `__$command_id` is the last of all.
pub const START_LSN: usize = 0;
pub const SEQVAL: usize = 2;
pub const OPERATION: usize = 3;
pub const UPDATE_MASK: usize = 4;
pub const FIRST_CAPTURED: usize = 5;

pub const LSN: SqlType = SqlType::Binary(10);
pub const MASK: SqlType = SqlType::VarBinary(Length::Limited(128));

const RESERVED: [&str; 6] =
    ["__$start_lsn", "__$end_lsn", "__$seqval", "__$operation", "__$update_mask", "__$command_id"];

pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// The type that a captured column has in the change table.
pub fn captured_type(sql_type: SqlType) -> SqlType {
    match sql_type {
        SqlType::RowVersion => SqlType::Binary(8),
        other => other,
    }
}

/// A type's name as `cdc.captured_columns` has it.
pub fn type_name(sql_type: SqlType) -> &'static str {
    sql_type.name()
}

/// A moment as `datetime`.
pub fn datetime(moment: Moment) -> Value {
    moment.to_datetime().map_or(Value::Null, |(days, ticks)| Value::DateTime { days, ticks })
}

/// The table `cdc.<instance>_CT`. Before servers learnt to tell a transaction's commands apart it had no column for them.
pub fn definition(
    schema: SchemaId,
    instance: &str,
    captured: &[CapturedColumn],
    key: &[ColumnId],
    tells_commands: bool,
) -> Table {
    let mut table = Table::new(schema, &format!("{instance}_CT"));
    let start = table.push_column(Column::new("__$start_lsn", LSN).not_null());
    table.push_column(Column::new("__$end_lsn", LSN));
    let seqval = table.push_column(Column::new("__$seqval", LSN).not_null());
    let operation = table.push_column(Column::new("__$operation", SqlType::Int).not_null());
    table.push_column(Column::new("__$update_mask", MASK));
    let mut key_columns = Vec::with_capacity(key.len());
    for column in captured {
        let id = table.push_column(Column::new(&column.name, captured_type(column.sql_type)));
        if key.contains(&column.source) {
            key_columns.push((key.iter().position(|source| *source == column.source), id));
        }
    }
    let command = tells_commands.then(|| table.push_column(Column::new("__$command_id", SqlType::Int)));
    let ordered: Vec<ColumnId> = [Some(start), command, Some(seqval), Some(operation)].into_iter().flatten().collect();
    table.indexes.push(index(&format!("{instance}_CT_clustered_idx"), IndexId::CLUSTERED, &ordered));
    if !key.is_empty() {
        key_columns.sort_unstable();
        let columns: Vec<ColumnId> = key_columns.into_iter().map(|(_, id)| id).chain(ordered).collect();
        table.indexes.push(index(&format!("{instance}_CT_idx"), IndexId(2), &columns));
    }
    table.system = true;
    table
}

fn index(name: &str, index_id: IndexId, columns: &[ColumnId]) -> Index {
    Index {
        index_id,
        name: Arc::from(name),
        unique: true,
        constraint: None::<Constraint>,
        key: columns.iter().map(|column_id| KeyColumn { column_id: *column_id, descending: false }).collect(),
        included: Vec::new(),
        disabled: false,
        filter: None,
    }
}

/// What a change table's rows have besides the captured values.
pub struct Place {
    pub start_lsn: Lsn,
    pub seqval: Lsn,
    pub command_id: i32,
}

/// What a record says of a row. `source` is the source table as it was when the row was written: what it hadn't then is
/// NULL.
pub struct Image<'a> {
    pub source: &'a Table,
    pub operation: Operation,
    pub mask: &'a Value,
    pub values: &'a Row,
}

/// One row of a change table.
///
/// # Errors
/// 2628, 8115 and others where a value doesn't fit the change table's column.
pub fn row(
    instance: &CaptureInstance,
    change_table: &Table,
    place: &Place,
    image: &Image<'_>,
    unchanged: impl Fn(&Column) -> bool,
) -> SqlResult<Row> {
    let mut row = Vec::with_capacity(FIRST_CAPTURED + instance.columns.len() + 1);
    row.push(place.start_lsn.to_value());
    row.push(Value::Null);
    row.push(place.seqval.to_value());
    row.push(Value::Int(image.operation as i32));
    row.push(image.mask.clone());
    for (captured, target) in instance.columns.iter().zip(change_table.columns.iter().skip(FIRST_CAPTURED)) {
        row.push(match image.source.column(captured.source) {
            Some(column) if !captured.computed && !is_absent(column, image.operation, &unchanged) => {
                captured_value(image.source, column, image.values, change_table, target)?
            }
            _ => Value::Null,
        });
    }
    if change_table.columns.len() > row.len() {
        row.push(Value::Int(place.command_id));
    }
    Ok(Row::from(row))
}

/// Large values that the log doesn't have: the old kinds' never before a change; the `max` kinds' not before an update
/// that leaves them as they are.
fn is_absent(column: &Column, operation: Operation, unchanged: &impl Fn(&Column) -> bool) -> bool {
    match column.sql_type {
        SqlType::Text | SqlType::NText | SqlType::Image => {
            matches!(operation, Operation::Delete | Operation::UpdateBefore)
        }
        SqlType::VarChar(Length::Max) | SqlType::NVarChar(Length::Max) | SqlType::VarBinary(Length::Max) => {
            operation == Operation::UpdateBefore && unchanged(column)
        }
        _ => false,
    }
}

fn captured_value(
    source: &Table,
    column: &Column,
    values: &Row,
    change_table: &Table,
    target: &Column,
) -> SqlResult<Value> {
    let value = source.value(column, values);
    let from = captured_type(column.sql_type);
    if from == target.sql_type || value.is_null() {
        return Ok(value.clone());
    }
    stored(value, from, target.sql_type, &change_table.name, &target.name)
}

/// The mask with all captured columns' bits set.
pub fn full_mask(instance: &CaptureInstance) -> Value {
    mask(instance, |_| true)
}

/// Bit `ordinal - 1` counted from the last byte's lowest bit.
pub fn mask(instance: &CaptureInstance, changed: impl Fn(&CapturedColumn) -> bool) -> Value {
    let length = instance.columns.len().div_ceil(8).max(1);
    let mut bytes = vec![0_u8; length];
    for captured in instance.columns.iter().filter(|captured| changed(captured)) {
        let bit = usize::try_from(captured.ordinal - 1).unwrap_or(0);
        if let Some(byte) = length.checked_sub(1 + bit / 8).and_then(|at| bytes.get_mut(at)) {
            *byte |= 1 << (bit % 8);
        }
    }
    Value::binary(&bytes)
}
