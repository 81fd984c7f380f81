//! What the catalog tells of a module: found out when it is defined, as on a real server.

use std::sync::Arc;

use sqlparser::ast::{Query, SetExpr};

use crate::error::{SqlError, SqlResult};
use crate::storage::{Column, ColumnId, Parameter, SchemaId, Signature, TriggerEvent};

use super::super::bind::{Binder, named_type};
use super::super::plan::OutputColumn;
use super::super::state::Execution;
use super::super::statement::{Module, ModuleKind, ModuleParameter, TriggerEvents};
use super::{compilation, table, target};

/// # Errors
/// Those of a view's query, and of types that aren't there.
pub fn of(execution: &mut Execution<'_>, schema: SchemaId, module: &Module) -> SqlResult<Signature> {
    let mut signature = Signature::default();
    match &module.kind {
        ModuleKind::View { query, columns } => {
            signature.columns = of_view(execution, query, columns)?;
        }
        ModuleKind::InlineFunction { parameters, query } => {
            signature.parameters = parameters_of(execution, parameters);
            signature.columns = of_inline_function(execution, parameters, query)?;
        }
        ModuleKind::TableFunction { parameters, shape, .. } => {
            signature.parameters = parameters_of(execution, parameters);
            signature.columns = table::described(execution, "", schema, shape)?.columns;
        }
        ModuleKind::ScalarFunction { parameters, returns, .. } => {
            signature.parameters = parameters_of(execution, parameters);
            signature.returns = Some(named_type(execution.state, returns)?);
        }
        ModuleKind::Procedure { parameters, .. } => signature.parameters = parameters_of(execution, parameters),
        ModuleKind::Trigger { table, events, .. } => {
            let table = target::find(execution, table)?.table.object_id;
            signature.trigger = Some((table, events_of(*events)));
        }
    }
    Ok(signature)
}

fn events_of(events: TriggerEvents) -> Vec<TriggerEvent> {
    let all = [
        (events.insert, TriggerEvent::Insert),
        (events.update, TriggerEvent::Update),
        (events.delete, TriggerEvent::Delete),
    ];
    all.into_iter().filter_map(|(fires, event)| fires.then_some(event)).collect()
}

fn parameters_of(execution: &Execution<'_>, parameters: &[ModuleParameter]) -> Vec<Parameter> {
    let parameter = |parameter: &ModuleParameter| Parameter {
        name: Arc::from(parameter.name.as_str()),
        sql_type: named_type(execution.state, &parameter.data_type).ok(),
        output: parameter.output,
        read_only: parameter.read_only,
    };
    parameters.iter().map(parameter).collect()
}

/// # Errors
/// 1033 where a view's rows are in an order, 4511 where a column of it has no name.
fn of_view(execution: &mut Execution<'_>, query: &Query, columns: &[String]) -> SqlResult<Vec<Column>> {
    let limited = query.limit_clause.is_some()
        || query.fetch.is_some()
        || matches!(query.body.as_ref(), SetExpr::Select(select) if select.top.is_some());
    if query.order_by.is_some() && query.for_clause.is_none() && !limited {
        return Err(SqlError::new(
            1033,
            15,
            "The ORDER BY clause is invalid in views, inline functions, derived tables, subqueries, and common table expressions, unless TOP, OFFSET or FOR XML is also specified.",
        ));
    }
    let bound = Binder::new(execution).query(query)?;
    match bound.columns.iter().position(|column| column.name.is_empty()) {
        Some(at) if columns.is_empty() => {
            let text =
                format!("Create View or Function failed because no column name was specified for column {}.", at + 1);
            Err(SqlError::new(4511, 16, text))
        }
        _ => Ok(stored_columns(&bound.columns, columns)),
    }
}

fn of_inline_function(
    execution: &mut Execution<'_>,
    parameters: &[ModuleParameter],
    query: &Query,
) -> SqlResult<Vec<Column>> {
    // A table that is a parameter has no rows, nor a name, before the function is called.
    if parameters.iter().any(|parameter| parameter.read_only) {
        return Ok(Vec::new());
    }
    let mut inner = Execution::new(execution.state);
    compilation::declare_parameters(&mut inner, parameters);
    let bound = Binder::new(&mut inner).query(query)?;
    Ok(stored_columns(&bound.columns, &[]))
}

fn stored_columns(columns: &[OutputColumn], renamed: &[String]) -> Vec<Column> {
    let column = |(at, column): (usize, &OutputColumn)| Column {
        column_id: ColumnId(i32::try_from(at + 1).unwrap_or(i32::MAX)),
        nullable: column.nullable,
        ..Column::new(renamed.get(at).unwrap_or(&column.name), column.sql_type)
    };
    columns.iter().enumerate().map(column).collect()
}
