//! Looks up the columns that a batch names before any of it runs.
//!
//! A server compiles a batch whole. A column that a table doesn't have ends it before its first statement, even where the
//! statement that names the column would never run, or would run only after another has added it. What isn't there at all,
//! a table or a view, is looked for when its statement runs: its names are *deferred*.

use std::sync::Arc;

use sqlparser::ast::Expr;

use crate::error::SqlResult;
use crate::value::Value;

use super::super::bind::{Binder, named_type};
use super::super::state::{Execution, TriggerRows};
use super::super::statement::{
    Declaration, DeclarationKind, Insert, InsertSource, Kind, Module, ModuleKind, ModuleParameter, Name, Statement,
};
use super::insert::{self, InsertTarget};
use super::row::Maker;
use super::{data, merge, output, target};

/// Errors that are found when a batch is compiled: unknown and ambiguous columns, and those that aren't grouped by.
const NUMBERS: &[i32] = &[207, 209, 4104, 8120];

/// # Errors
/// 207 and its kin where a statement names a column that a table or view of now doesn't have.
pub fn check_batch(execution: &mut Execution<'_>, statements: &[Statement]) -> SqlResult<()> {
    // One statement by itself looks its names up before it does anything.
    if let [only] = statements
        && !has_parts(&only.kind)
    {
        return Ok(());
    }
    let variables = execution.variables.clone();
    let outcome = apart(execution, |execution| check_all(execution, statements));
    execution.variables = variables;
    outcome
}

/// The body of a procedure, function or trigger that is being defined.
///
/// # Errors
/// As [`check_batch`].
pub fn check_module(execution: &mut Execution<'_>, module: &Module) -> SqlResult<()> {
    let (parameters, body): (&[ModuleParameter], _) = match &module.kind {
        ModuleKind::Procedure { parameters, body }
        | ModuleKind::TableFunction { parameters, body, .. }
        | ModuleKind::ScalarFunction { parameters, body, .. } => (parameters, body),
        ModuleKind::Trigger { body, .. } => (&[], body),
        // A view is bound when it is defined; an inline function when it is used.
        ModuleKind::View { .. } | ModuleKind::InlineFunction { .. } => return Ok(()),
    };
    let trigger = match &module.kind {
        ModuleKind::Trigger { table, .. } => Some(Arc::new(rows_of(execution, table)?)),
        _ => None,
    };
    apart(execution, |execution| {
        // Temporary tables are those of whoever calls it.
        let temporary = std::mem::take(&mut execution.state.temporary);
        let mut inner = Execution::new(execution.state);
        inner.trigger = trigger;
        inner.procedure = Some(Arc::from(module.name.object.as_str()));
        declare_parameters(&mut inner, parameters);
        let outcome = check_all(&mut inner, body);
        execution.state.temporary = temporary;
        outcome
    })
}

/// Leaves the session as it was.
fn apart(execution: &mut Execution<'_>, check: impl FnOnce(&mut Execution<'_>) -> SqlResult<()>) -> SqlResult<()> {
    let database = execution.state.database;
    let within = execution.state.transaction.is_some();
    let outcome = check(execution);
    execution.state.database = database;
    if !within {
        execution.state.transaction = None;
    }
    outcome
}

fn has_parts(kind: &Kind) -> bool {
    matches!(kind, Kind::If { .. } | Kind::While { .. } | Kind::Block(_) | Kind::TryCatch { .. })
}

/// `inserted` and `deleted`, without a row.
fn rows_of(execution: &Execution<'_>, table: &Name) -> SqlResult<TriggerRows> {
    let target = target::find(execution, table)?;
    Ok(TriggerRows {
        database: target.database,
        table: target.table,
        inserted: Arc::default(),
        deleted: Arc::default(),
        updated: Vec::new(),
    })
}

pub fn declare_parameters(execution: &mut Execution<'_>, parameters: &[ModuleParameter]) {
    for parameter in parameters.iter().filter(|parameter| !parameter.read_only) {
        if let Ok(sql_type) = named_type(execution.state, &parameter.data_type) {
            execution.variables.declare(&parameter.name, sql_type, Value::Null);
        }
    }
}

fn check_all(execution: &mut Execution<'_>, statements: &[Statement]) -> SqlResult<()> {
    statements.iter().try_for_each(|statement| check_one(execution, statement))
}

fn check_one(execution: &mut Execution<'_>, statement: &Statement) -> SqlResult<()> {
    match &statement.kind {
        Kind::Block(statements) => return check_all(execution, statements),
        Kind::TryCatch { body, handler } => {
            check_all(execution, body)?;
            return check_all(execution, handler);
        }
        Kind::If { then, otherwise, .. } => {
            check_one(execution, then)?;
            if let Some(otherwise) = otherwise {
                check_one(execution, otherwise)?;
            }
        }
        Kind::While { body, .. } => check_one(execution, body)?,
        _ => {}
    }
    match names(execution, &statement.kind) {
        Err(error) if NUMBERS.contains(&error.number) => {
            let error = error.at_line(statement.line);
            Err(match &execution.procedure {
                Some(procedure) => error.in_procedure(procedure),
                None => error,
            })
        }
        // What else is wrong is told when the statement runs.
        _ => Ok(()),
    }
}

/// Resolves the names of a statement, as it does itself before it runs.
fn names(execution: &mut Execution<'_>, kind: &Kind) -> SqlResult<()> {
    match kind {
        Kind::Select(query) => Binder::new(execution).query(query).map(drop),
        Kind::Insert(insert) => check_insert(execution, insert),
        Kind::Update(update) => data::bind_update(execution, update).map(drop),
        Kind::Delete(delete) => data::bind_delete(execution, delete).map(drop),
        Kind::Merge(merge) => merge::bind(execution, merge).map(drop),
        Kind::DeclareCursor { definition, .. } => Binder::new(execution).query(&definition.query).map(drop),
        Kind::If { condition, .. } | Kind::While { condition, .. } => {
            Binder::new(execution).predicate(condition).map(drop)
        }
        Kind::SetVariable { value, .. } | Kind::Print(value) | Kind::Return(Some(value)) => scalar(execution, value),
        Kind::Declare(declarations) => declarations.iter().try_for_each(|declaration| declare(execution, declaration)),
        Kind::Use(name) => {
            if let Some(database) = execution.state.storage.database_named(name) {
                execution.state.database = database;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn scalar(execution: &mut Execution<'_>, value: &Expr) -> SqlResult<()> {
    Binder::new(execution).scalar(value).map(drop)
}

fn declare(execution: &mut Execution<'_>, declaration: &Declaration) -> SqlResult<()> {
    let DeclarationKind::Scalar { data_type, value } = &declaration.kind else { return Ok(()) };
    let checked = value.as_ref().map_or(Ok(()), |value| scalar(execution, value));
    let sql_type = named_type(execution.state, data_type)?;
    execution.variables.declare(&declaration.name, sql_type, Value::Null);
    checked
}

fn check_insert(execution: &mut Execution<'_>, insert: &Insert) -> SqlResult<()> {
    if let InsertSource::Query(query) = &insert.source {
        Binder::new(execution).query(query)?;
    }
    let InsertTarget { target, columns, through } = InsertTarget::find(execution, insert)?;
    output::bind_output(execution, insert.output.as_ref(), &target, &[], false, through.as_ref())?;
    let maker = Maker::new(execution, target)?;
    insert::insert_slots(execution, &maker, columns.as_deref()).map(drop)
}
