//! The scalar functions: LSNs, times, update masks.

use std::ops::Bound;

use crate::error::SqlResult;
use crate::storage::{DatabaseId, IndexId, KeyRange, Lsn, ReadRequest, Row, Transaction};
use crate::value::{Length, SqlType, Value, collation};

use super::changes;
use super::registry::{CdcContext, Function};
use super::system_table::{SystemTable, change_tables, lsn_time_mapping, value};

const LSN: SqlType = SqlType::Binary(10);
const NAME: SqlType = SqlType::SysName;
const MASK: SqlType = SqlType::VarBinary(Length::Limited(128));

pub static FUNCTIONS: &[Function] = &[
    Function { name: "fn_cdc_get_max_lsn", parameters: &[], returns: LSN, run: get_max_lsn },
    Function { name: "fn_cdc_get_min_lsn", parameters: &[NAME], returns: LSN, run: get_min_lsn },
    Function { name: "fn_cdc_increment_lsn", parameters: &[LSN], returns: LSN, run: increment_lsn },
    Function { name: "fn_cdc_decrement_lsn", parameters: &[LSN], returns: LSN, run: decrement_lsn },
    Function {
        name: "fn_cdc_map_time_to_lsn",
        parameters: &[SqlType::NVarChar(Length::Limited(30)), SqlType::DateTime],
        returns: LSN,
        run: map_time_to_lsn,
    },
    Function { name: "fn_cdc_map_lsn_to_time", parameters: &[LSN], returns: SqlType::DateTime, run: map_lsn_to_time },
    Function { name: "fn_cdc_is_bit_set", parameters: &[SqlType::Int, MASK], returns: SqlType::Bit, run: is_bit_set },
    Function {
        name: "fn_cdc_get_column_ordinal",
        parameters: &[NAME, NAME],
        returns: SqlType::Int,
        run: column_ordinal,
    },
    Function {
        name: "fn_cdc_has_column_changed",
        parameters: &[NAME, NAME, MASK],
        returns: SqlType::Bit,
        run: has_column_changed,
    },
];

/// The greatest LSN of `cdc.lsn_time_mapping` that the transaction sees.
///
/// # Errors
/// 22901 where the database isn't enabled.
pub fn max_lsn(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<Option<Lsn>> {
    let table = SystemTable::LsnTimeMapping.find(transaction, database)?;
    let mut request = ReadRequest::all(database, table);
    request.descending = true;
    let newest = transaction.read_first(&request)?;
    Ok(newest.and_then(|(_, row)| Lsn::from_value(value(&row, lsn_time_mapping::START_LSN))))
}

/// The low end of an instance as the transaction sees it; None where there is no such instance or it isn't recognised.
///
/// # Errors
/// 22901 where the database isn't enabled.
pub fn start_lsn(transaction: &mut Transaction, database: DatabaseId, instance: &str) -> SqlResult<Option<Lsn>> {
    let rows = SystemTable::ChangeTables.rows(transaction, database, None)?;
    let named = |row: &Row| {
        value(row, change_tables::CAPTURE_INSTANCE).as_text().is_some_and(|name| collation::equal(name, instance))
    };
    let row = rows.iter().find(|(_, row)| named(row));
    Ok(row.and_then(|(_, row)| Lsn::from_value(value(row, change_tables::START_LSN))))
}

/// NULL in a database that isn't enabled.
fn if_enabled<T>(context: &CdcContext<'_>, found: SqlResult<Option<T>>) -> SqlResult<Option<T>> {
    if context.catalog()?.options.cdc_enabled { found } else { Ok(None) }
}

fn optional(lsn: Option<Lsn>) -> Value {
    lsn.map_or(Value::Null, Lsn::to_value)
}

fn get_max_lsn(context: &mut CdcContext<'_>, _arguments: &[Value]) -> SqlResult<Value> {
    let found = max_lsn(context.transaction, context.database);
    Ok(optional(if_enabled(context, found)?))
}

/// Zero where the instance is unknown, not ready, or not for the caller.
fn get_min_lsn(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<Value> {
    let zero = Lsn::ZERO.to_value();
    let catalog = context.catalog()?;
    let name = arguments.first().and_then(Value::as_text).unwrap_or_default();
    let Some(instance) = catalog.instance_named(name).filter(|_| catalog.options.cdc_enabled) else { return Ok(zero) };
    if !changes::may_read(context, instance)? {
        return Ok(zero);
    }
    let lsn = start_lsn(context.transaction, context.database, name)?;
    Ok(lsn.map_or(zero, Lsn::to_value))
}

fn increment_lsn(_context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<Value> {
    Ok(optional(arguments.first().and_then(Lsn::from_value).and_then(Lsn::next)))
}

fn decrement_lsn(_context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<Value> {
    Ok(optional(arguments.first().and_then(Lsn::from_value).and_then(Lsn::previous)))
}

/// By the time of the transactions' end. Of several with one time, the smallest LSN answers `>=` and `<`… the relation
/// says which side.
fn map_time_to_lsn(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<Value> {
    let [relation, time] = arguments else { return Ok(Value::Null) };
    if !context.catalog()?.options.cdc_enabled || time.is_null() {
        return Ok(Value::Null);
    }
    let time = vec![time.clone()];
    let (low, high, descending) = match relation.as_text().unwrap_or_default().trim().to_lowercase().as_str() {
        "largest less than" => (Bound::Unbounded, Bound::Excluded(time), true),
        "largest less than or equal" => (Bound::Unbounded, Bound::Included(time), true),
        "smallest greater than" => (Bound::Excluded(time), Bound::Unbounded, false),
        "smallest greater than or equal" => (Bound::Included(time), Bound::Unbounded, false),
        _ => return Ok(Value::Null),
    };
    let table = SystemTable::LsnTimeMapping.find(context.transaction, context.database)?;
    let mut request = ReadRequest::all(context.database, table).range(IndexId(2), KeyRange { low, high });
    request.descending = descending;
    // Entries of one time are in the order of their rows, which is that of their LSNs.
    let found = context.transaction.read_first(&request)?;
    Ok(found.map_or(Value::Null, |(_, row)| value(&row, lsn_time_mapping::START_LSN).clone()))
}

fn map_lsn_to_time(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<Value> {
    let Some(lsn) = arguments.first().filter(|lsn| !lsn.is_null()) else { return Ok(Value::Null) };
    if !context.catalog()?.options.cdc_enabled {
        return Ok(Value::Null);
    }
    let rows = SystemTable::LsnTimeMapping.rows(context.transaction, context.database, Some(lsn.clone()))?;
    Ok(rows.first().map_or(Value::Null, |(_, row)| value(row, lsn_time_mapping::TRAN_END_TIME).clone()))
}

/// The first bit is the lowest of the last byte.
fn is_set(position: i64, mask: &[u8]) -> Option<bool> {
    let bit = usize::try_from(position).ok()?.checked_sub(1)?;
    let byte = mask.get(mask.len().checked_sub(1 + bit / 8)?)?;
    Some(byte >> (bit % 8) & 1 == 1)
}

fn is_bit_set(_context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<Value> {
    let [position, mask] = arguments else { return Ok(Value::Null) };
    let set =
        position.as_integer().zip(mask.as_bytes()).map(|(position, mask)| is_set(position, mask).unwrap_or(false));
    Ok(set.map_or(Value::Null, Value::Bit))
}

fn ordinal(context: &CdcContext<'_>, instance: &Value, column: &Value) -> SqlResult<Option<i32>> {
    let catalog = context.catalog()?;
    let (Some(instance), Some(column)) = (instance.as_text(), column.as_text()) else { return Ok(None) };
    let Some(instance) = catalog.instance_named(instance) else { return Ok(None) };
    if !changes::may_read(context, instance)? {
        return Ok(None);
    }
    let column = instance.columns.iter().find(|captured| collation::equal(&captured.name, column));
    Ok(column.map(|column| column.ordinal))
}

fn column_ordinal(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<Value> {
    let [instance, column] = arguments else { return Ok(Value::Null) };
    Ok(ordinal(context, instance, column)?.map_or(Value::Null, Value::Int))
}

fn has_column_changed(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<Value> {
    let [instance, column, mask] = arguments else { return Ok(Value::Null) };
    let ordinal = ordinal(context, instance, column)?;
    let set = ordinal.zip(mask.as_bytes()).map(|(ordinal, mask)| is_set(i64::from(ordinal), mask).unwrap_or(false));
    Ok(set.map_or(Value::Null, Value::Bit))
}
