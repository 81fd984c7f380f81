//! System-versioned tables: each row has the period in which it is the newest, and past rows go to a table of their own.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Column, DatabaseId, Object, ObjectId, Row, SystemTime, Table};
use crate::value::collation::equal;
use crate::value::{Moment, SqlType, Value, calendar};

use super::super::state::Execution;
use super::super::statement::{CreateTable, Name, TableShape, Versioning};
use super::data::Change;
use super::table;
use super::target::Target;

/// Gives a table its period.
///
/// # Errors
/// 13504 and 13505 where its columns aren't GENERATED ALWAYS, 13501 where they are of another type.
pub fn describe(table: &mut Table, shape: &TableShape) -> SqlResult<()> {
    let generated = |start: bool| shape.columns.iter().find(|column| column.row_start == Some(start));
    let Some((start, end)) = &shape.period else {
        return match generated(true).or(generated(false)) {
            Some(_) => {
                let text = "Temporal 'GENERATED ALWAYS AS ROW START' column definition cannot be used without PERIOD FOR SYSTEM_TIME.";
                Err(SqlError::new(13_509, 16, text))
            }
            None => Ok(()),
        };
    };
    let mut ids = Vec::new();
    for (name, starts, number) in [(start, true, 13_504), (end, false, 13_505)] {
        let column = generated(starts).filter(|column| equal(&column.name, name));
        let found = column.and_then(|column| table.column_named(&column.name)).ok_or_else(|| {
            let what = if starts { "ROW START" } else { "ROW END" };
            SqlError::new(number, 16, format!("Temporal 'GENERATED ALWAYS AS {what}' column definition missing."))
        })?;
        if !matches!(found.sql_type, SqlType::DateTime2(_)) {
            let text = format!("Temporal generated always column '{}' has invalid data type.", found.name);
            return Err(SqlError::new(13_501, 16, text));
        }
        ids.push(found.column_id);
    }
    if let [start, end] = ids.as_slice() {
        table.system_time = Some(SystemTime { start: *start, end: *end, history: None });
    }
    Ok(())
}

pub fn create(
    execution: &mut Execution<'_>,
    database: DatabaseId,
    table: Table,
    create: &CreateTable,
) -> SqlResult<()> {
    let table = execution.state.transaction().create_table(database, table)?;
    match &create.versioning {
        Some(versioning) => begin(execution, database, &table, versioning),
        None => Ok(()),
    }
}

/// `SET (SYSTEM_VERSIONING = …)`.
pub fn set(execution: &mut Execution<'_>, target: &Target, versioning: Option<&Versioning>) -> SqlResult<()> {
    match versioning {
        Some(versioning) => begin(execution, target.database, &target.table, versioning),
        None if history(&target.table).is_none() => {
            let text = format!("SYSTEM_VERSIONING is not turned ON for table '{}'.", target.table.name);
            Err(SqlError::new(13_591, 16, text))
        }
        None => execution.state.transaction().set_history(target.database, target.table.object_id, None),
    }
}

/// Lets past rows be kept from now on: in a new table, or in the one that is named.
fn begin(
    execution: &mut Execution<'_>,
    database: DatabaseId,
    table: &Arc<Table>,
    versioning: &Versioning,
) -> SqlResult<()> {
    if table.system_time.is_none() {
        let text = "Cannot set SYSTEM_VERSIONING to ON when SYSTEM_TIME period is not defined.";
        return Err(SqlError::new(13_510, 16, text));
    }
    if table.primary_key().is_none() {
        let text = format!("System versioned temporal table '{}' must have primary key defined.", table.name);
        return Err(SqlError::new(13_553, 16, text));
    }
    let made = format!("MSSQL_TemporalHistoryFor_{}", table.object_id.0);
    let name = versioning.history.clone().unwrap_or(Name { database: None, schema: None, object: made });
    let schema = match &name.schema {
        Some(_) => table::schema_for(execution, database, &name)?,
        None => table.schema_id,
    };
    let existing = execution.state.catalog(database)?.object_named(schema, &name.object);
    let history = match existing {
        Some(Object::Table(history)) if same_columns(table, &history) => history.object_id,
        Some(_) => {
            let text = format!(
                "Setting SYSTEM_VERSIONING to ON failed because table '{}' has other columns than '{name}'.",
                table.name
            );
            return Err(SqlError::new(13_523, 16, text));
        }
        None => {
            let mut history = Table::new(schema, &name.object);
            for column in &table.columns {
                let mut copy = Column::new(&column.name, column.sql_type);
                copy.nullable = column.nullable;
                copy.collation.clone_from(&column.collation);
                history.push_column(copy);
            }
            execution.state.transaction().create_table(database, history)?.object_id
        }
    };
    execution.state.transaction().set_history(database, table.object_id, Some(history))
}

fn same_columns(table: &Table, history: &Table) -> bool {
    let columns = |table: &Table| {
        let column = |column: &Column| (crate::value::collation::folded(&column.name), column.sql_type);
        table.columns.iter().map(column).collect::<Vec<_>>()
    };
    columns(table) == columns(history)
}

fn history(table: &Table) -> Option<ObjectId> {
    table.system_time.as_ref().and_then(|system_time| system_time.history)
}

/// # Errors
/// 13545 where past rows are kept.
pub fn check_truncated(target: &Target) -> SqlResult<()> {
    check(target, 13_545, "Truncate failed on table")
}

/// # Errors
/// 13552 where past rows are kept.
pub fn check_dropped(target: &Target) -> SqlResult<()> {
    check(target, 13_552, "Drop table operation failed on table")
}

fn check(target: &Target, number: i32, what: &str) -> SqlResult<()> {
    if history(&target.table).is_none() {
        return Ok(());
    }
    let text =
        format!("{what} '{}' because it is not a supported operation on system-versioned tables.", target.table.name);
    Err(SqlError::new(number, 16, text))
}

/// # Errors
/// 40517 for columns of a table whose past rows are kept.
pub fn check_altered(target: &Target) -> SqlResult<()> {
    if history(&target.table).is_none() {
        return Ok(());
    }
    Err(SqlError::unsupported(
        "ALTER TABLE of a system-versioned table; set SYSTEM_VERSIONING = OFF, alter both tables, and set it ON again",
    ))
}

/// The end of the period of a row that is the newest.
fn end_of_time(scale: u8) -> Value {
    let ticks = calendar::TICKS_PER_DAY - 10_u64.pow(u32::from(7_u8.saturating_sub(scale)));
    Value::DateTime2(Moment { days: calendar::DAY_LAST, ticks })
}

/// The time of a change: that at which its transaction began.
fn time_of_change(execution: &mut Execution<'_>, scale: u8) -> Value {
    let began = execution.state.transaction().began();
    let unit = 10_u64.pow(u32::from(7_u8.saturating_sub(scale)));
    Value::DateTime2(Moment { days: began.days, ticks: began.ticks - began.ticks % unit })
}

fn scale_of(column: &Column) -> u8 {
    match column.sql_type {
        SqlType::DateTime2(scale) => scale,
        _ => 7,
    }
}

/// Sets the period of a row that is about to be written.
pub fn stamp(execution: &mut Execution<'_>, table: &Table, values: &mut [Value]) {
    let Some(system_time) = &table.system_time else { return };
    for (id, starts) in [(system_time.start, true), (system_time.end, false)] {
        let Some(column) = table.column(id) else { continue };
        let scale = scale_of(column);
        let value = if starts { time_of_change(execution, scale) } else { end_of_time(scale) };
        if let Some(place) = column.slot().and_then(|slot| values.get_mut(slot)) {
            *place = value;
        }
    }
}

/// Keeps the rows that a statement changed or deleted as they were, their period now ended.
pub fn keep(execution: &mut Execution<'_>, target: &Target, changes: &[Change]) -> SqlResult<()> {
    let Some(id) = history(&target.table) else { return Ok(()) };
    let Some(system_time) = target.table.system_time.clone() else { return Ok(()) };
    let catalog = execution.state.catalog(target.database)?;
    let Some(history) = catalog.table(id).cloned() else { return Ok(()) };
    let mut rows = Vec::new();
    for before in changes.iter().filter_map(|change| change.before.as_ref()) {
        let mut values = vec![Value::Null; history.row_width()];
        for (column, copy) in target.table.columns.iter().zip(&history.columns) {
            let value = if column.column_id == system_time.end {
                time_of_change(execution, scale_of(column))
            } else {
                target.table.value(column, before).clone()
            };
            if let Some(place) = copy.slot().and_then(|slot| values.get_mut(slot)) {
                *place = value;
            }
        }
        rows.push(Row::from(values));
    }
    if rows.is_empty() {
        return Ok(());
    }
    execution.state.transaction().insert(target.database, &history, &rows).map(|_| ())
}

/// A query for the rows of a table as they were at a time, for FROM.
///
/// # Errors
/// 13544 where past rows aren't kept.
pub fn as_of(execution: &Execution<'_>, name: &Name, time: &str) -> SqlResult<String> {
    let target = super::target::find(execution, name)?;
    let catalog = execution.state.catalog(target.database)?;
    let found = target.table.system_time.as_ref().and_then(|it| Some((it, catalog.table(it.history?)?)));
    let Some((system_time, history)) = found else {
        let text = format!(
            "Temporal FOR SYSTEM_TIME clause can only be used with system-versioned tables. '{name}' is not a system-versioned table."
        );
        return Err(SqlError::new(13_544, 16, text));
    };
    let bracketed = |name: &str| format!("[{}]", name.replace(']', "]]"));
    let column = |id| target.table.column(id).map_or_else(String::new, |column: &Column| bracketed(&column.name));
    let (start, end) = (column(system_time.start), column(system_time.end));
    let columns: Vec<String> = target.table.columns.iter().map(|column| bracketed(&column.name)).collect();
    let database = execution.state.database_name(target.database);
    let select = |table: &Table| {
        let schema = catalog.schema(table.schema_id).map_or("dbo", |schema| &schema.name);
        let full = format!("{}.{}.{}", bracketed(&database), bracketed(schema), bracketed(&table.name));
        format!("SELECT {} FROM {full} WHERE {start} <= ({time}) AND {end} > ({time})", columns.join(", "))
    };
    Ok(format!("{} UNION ALL {}", select(&target.table), select(history)))
}
