//! The procedures that tell of instances, their columns and their history.

use std::sync::Arc;

use crate::engine::relation::Column;
use crate::error::SqlResult;
use crate::storage::{CaptureInstance, Catalog, ReadRequest};
use crate::value::{Length, SqlType, Value};

use super::changes::may_read;
use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult, RowSet};
use super::system_table::{SystemTable, value};
use super::{errors, request};

const LSN: SqlType = SqlType::Binary(10);
const LIST: SqlType = SqlType::NVarChar(Length::Max);

pub static PROCEDURES: &[Procedure] = &[
    Procedure { name: "sp_cdc_help_change_data_capture", parameters: SOURCE, run: help },
    Procedure { name: "sp_cdc_get_ddl_history", parameters: INSTANCE, run: ddl_history },
    Procedure { name: "sp_cdc_get_captured_columns", parameters: INSTANCE, run: captured_columns },
];

static SOURCE: &[ProcedureParameter] = &[
    ProcedureParameter { name: "@source_schema", sql_type: SqlType::SysName, default: Some(Value::Null) },
    ProcedureParameter { name: "@source_name", sql_type: SqlType::SysName, default: Some(Value::Null) },
];

static INSTANCE: &[ProcedureParameter] =
    &[ProcedureParameter { name: "@capture_instance", sql_type: SqlType::SysName, default: None }];

fn check_enabled(context: &CdcContext<'_>) -> SqlResult<Arc<Catalog>> {
    let catalog = context.catalog()?;
    if catalog.options.cdc_enabled {
        Ok(catalog)
    } else {
        Err(errors::not_enabled(context.transaction, context.database))
    }
}

fn one(columns: Vec<Column>, rows: Vec<Vec<Value>>) -> ProcedureResult {
    ProcedureResult { results: vec![RowSet { columns, rows }], ..ProcedureResult::default() }
}

/// The source's schema and table as they are called now.
fn source_names(catalog: &Catalog, instance: &CaptureInstance) -> (Value, Value) {
    let Some(table) = catalog.table(instance.source) else { return (Value::Null, Value::Null) };
    let schema = catalog.schema(table.schema_id).map_or(Value::Null, |schema| Value::text(&schema.name));
    (schema, Value::text(&table.name))
}

fn help(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let catalog = check_enabled(context)?;
    let named = |at: usize| arguments.get(at).and_then(Value::as_text).filter(|name| !name.is_empty());
    let wanted = match (named(0), named(1)) {
        (Some(schema), Some(name)) => Some(request::source_table(&catalog, schema, name)?),
        (None, None) => None,
        _ => return Err(errors::half_a_name()),
    };
    let columns = vec![
        Column::new("source_schema", SqlType::SysName, true),
        Column::new("source_table", SqlType::SysName, true),
        Column::new("capture_instance", SqlType::SysName, false),
        Column::new("object_id", SqlType::Int, false),
        Column::new("source_object_id", SqlType::Int, false),
        Column::new("start_lsn", LSN, true),
        Column::new("end_lsn", LSN, true),
        Column::new("supports_net_changes", SqlType::Bit, true),
        Column::new("has_drop_pending", SqlType::Bit, true),
        Column::new("role_name", SqlType::SysName, true),
        Column::new("index_name", SqlType::SysName, true),
        Column::new("filegroup_name", SqlType::SysName, true),
        Column::new("create_date", SqlType::DateTime, true),
        Column::new("index_column_list", LIST, true),
        Column::new("captured_column_list", LIST, true),
    ];
    let mut rows = Vec::new();
    for (_, row) in SystemTable::ChangeTables.rows(context.transaction, context.database, None)? {
        let object = value(&row, 0).as_integer();
        let instance = catalog.instances().find(|instance| Some(i64::from(instance.change_table.0)) == object);
        let Some(instance) = instance else { continue };
        if wanted.as_ref().is_some_and(|table| table.object_id != instance.source) || !may_read(context, instance)? {
            continue;
        }
        let (schema, table) = source_names(&catalog, instance);
        let keys =
            SystemTable::IndexColumns.rows(context.transaction, context.database, Some(value(&row, 0).clone()))?;
        let key_names = keys.iter().map(|(_, key)| value(key, 1).as_text().unwrap_or_default());
        let captured_names = instance.columns.iter().map(|column| &*column.name);
        let mut given = vec![schema, table, value(&row, 3).clone(), value(&row, 0).clone(), value(&row, 2).clone()];
        given.extend((4..=11).map(|at| value(&row, at).clone()));
        given.push(name_list(key_names));
        given.push(name_list(captured_names));
        rows.push(given);
    }
    Ok(one(columns, rows))
}

fn name_list<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    let quoted: Vec<String> = names.map(|name| format!("[{}]", name.replace(']', "]]"))).collect();
    if quoted.is_empty() { Value::Null } else { Value::text(&quoted.join(", ")) }
}

fn instance_of(context: &CdcContext<'_>, arguments: &[Value]) -> SqlResult<(Arc<Catalog>, Arc<CaptureInstance>)> {
    let catalog = check_enabled(context)?;
    let name = arguments.first().and_then(Value::as_text).unwrap_or_default();
    let none = || errors::no_instance(name, context.transaction, context.database);
    let instance = catalog.instance_named(name).cloned().ok_or_else(none)?;
    if may_read(context, &instance)? { Ok((catalog, instance)) } else { Err(none()) }
}

fn ddl_history(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let (catalog, instance) = instance_of(context, arguments)?;
    let columns = vec![
        Column::new("source_schema", SqlType::SysName, true),
        Column::new("source_table", SqlType::SysName, true),
        Column::new("capture_instance", SqlType::SysName, true),
        Column::new("required_column_update", SqlType::Bit, true),
        Column::new("ddl_command", LIST, true),
        Column::new("ddl_lsn", LSN, false),
        Column::new("ddl_time", SqlType::DateTime, true),
    ];
    let (schema, table) = source_names(&catalog, &instance);
    let object = Value::Int(instance.change_table.0);
    let history = SystemTable::DdlHistory.rows(context.transaction, context.database, Some(object))?;
    let row = |row: &crate::storage::Row| {
        let mut given = vec![schema.clone(), table.clone(), Value::text(&instance.name)];
        given.extend((2..=5).map(|at| value(row, at).clone()));
        given
    };
    Ok(one(columns, history.iter().map(|(_, history)| row(history)).collect()))
}

fn captured_columns(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let (catalog, instance) = instance_of(context, arguments)?;
    let columns = vec![
        Column::new("source_schema", SqlType::SysName, true),
        Column::new("source_table", SqlType::SysName, true),
        Column::new("capture_instance", SqlType::SysName, true),
        Column::new("column_name", SqlType::SysName, true),
        Column::new("column_id", SqlType::Int, true),
        Column::new("column_ordinal", SqlType::Int, true),
        Column::new("data_type", SqlType::SysName, true),
        Column::new("character_maximum_length", SqlType::Int, true),
        Column::new("numeric_precision", SqlType::TinyInt, true),
        Column::new("numeric_precision_radix", SqlType::SmallInt, true),
        Column::new("numeric_scale", SqlType::Int, true),
        Column::new("datetime_precision", SqlType::SmallInt, true),
    ];
    let table = SystemTable::CapturedColumns.find(context.transaction, context.database)?;
    let request = ReadRequest::all(context.database, table);
    let (schema, name) = source_names(&catalog, &instance);
    let mut rows = Vec::new();
    for (_, row) in context.transaction.read_all(&request)? {
        if value(&row, 0).as_integer() != Some(i64::from(instance.change_table.0)) {
            continue;
        }
        let id = value(&row, 2).as_integer();
        let captured = instance.columns.iter().find(|captured| Some(i64::from(captured.source.0)) == id);
        let mut given = vec![schema.clone(), name.clone(), Value::text(&instance.name)];
        given.extend([1, 2, 4, 3].map(|at| value(&row, at).clone()));
        given.extend(captured.map_or_else(|| vec![Value::Null; 5], |captured| shape(captured.sql_type)));
        rows.push(given);
    }
    Ok(one(columns, rows))
}

/// Length, precision, radix, scale and fraction of a type, as far as they apply.
fn shape(sql_type: SqlType) -> Vec<Value> {
    let length = match sql_type {
        SqlType::Text | SqlType::NText | SqlType::Image => Value::Int(i32::MAX),
        _ if sql_type.is_character() => length(sql_type.character_length()),
        SqlType::Binary(_) | SqlType::VarBinary(_) => length(sql_type.character_length()),
        _ => Value::Null,
    };
    let (precision, radix, scale) = match sql_type.decimal_shape() {
        Some((precision, scale)) if sql_type != SqlType::Bit => {
            (Value::TinyInt(precision), Value::SmallInt(10), Value::Int(i32::from(scale)))
        }
        _ if sql_type.is_number() && sql_type != SqlType::Bit => {
            (Value::TinyInt(sql_type.precision()), Value::SmallInt(2), Value::Null)
        }
        _ => (Value::Null, Value::Null, Value::Null),
    };
    let fraction = match sql_type {
        SqlType::Date | SqlType::SmallDateTime => Value::SmallInt(0),
        SqlType::DateTime | SqlType::Time(_) | SqlType::DateTime2(_) | SqlType::DateTimeOffset(_) => {
            Value::SmallInt(i16::from(sql_type.scale()))
        }
        _ => Value::Null,
    };
    vec![length, precision, radix, scale, fraction]
}

fn length(length: Length) -> Value {
    Value::Int(length.units().and_then(|units| i32::try_from(units).ok()).unwrap_or(-1))
}
