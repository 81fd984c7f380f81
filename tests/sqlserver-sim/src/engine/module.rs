//! Views, procedures, functions and triggers of users, which are kept as their text and read again at each use.

use std::sync::Arc;

use sqlparser::ast::Query;

use crate::error::{SqlError, SqlResult};
use crate::storage::{ModuleKind as StoredKind, Object, SchemaId};
use crate::value::{SqlType, Value};

use super::bind::{Binder, named_type};
use super::execute;
use super::parse;
use super::relation::Column;
use super::state::{Execution, Variables};
use super::statement::{Kind, Module, ModuleKind, ModuleParameter, Name, Statement, TableShape};

/// How deep procedures, functions and triggers may call each other.
pub const NESTING_MAX: u32 = 32;

#[derive(Clone, Debug)]
pub struct Parameter {
    pub name: String,
    pub sql_type: SqlType,
}

/// A scalar function.
#[derive(Clone, Debug)]
pub struct ScalarFunction {
    pub name: Arc<str>,
    pub parameters: Vec<Parameter>,
    pub returns: SqlType,
    pub body: Arc<[Statement]>,
}

/// Reads a module's text.
pub fn read(definition: &str) -> SqlResult<Module> {
    let mut statements = parse::batch(definition)?.into_iter();
    match (statements.next().map(|statement| statement.kind), statements.next()) {
        (Some(Kind::CreateModule(module)), None) => Ok(*module),
        _ => Err(SqlError::new(102, 15, "The definition of a module can't be read.")),
    }
}

/// The query of a view, and the names that it gives to its columns.
pub fn view(definition: &str) -> SqlResult<(Vec<String>, Box<Query>)> {
    match read(definition)?.kind {
        ModuleKind::View { columns, query } => Ok((columns, query)),
        _ => Err(SqlError::new(102, 15, "The definition of a view can't be read.")),
    }
}

pub fn inline_function(definition: &str) -> SqlResult<(Vec<ModuleParameter>, Box<Query>)> {
    match read(definition)?.kind {
        ModuleKind::InlineFunction { parameters, query } => Ok((parameters, query)),
        _ => Err(SqlError::new(102, 15, "The definition of a function can't be read.")),
    }
}

/// A scalar function by its name.
///
/// # Errors
/// 4121 where there is none.
pub fn scalar_function(binder: &mut Binder<'_, '_>, name: &Name) -> SqlResult<Arc<ScalarFunction>> {
    let state = &*binder.execution.state;
    let missing = || {
        let text = format!(
            "Cannot find either column \"{}\" or the user-defined function or aggregate \"{name}\", or the name is ambiguous.",
            name.schema.as_deref().unwrap_or_default()
        );
        SqlError::new(4121, 16, text)
    };
    let database = state.database_of(name)?;
    let Some((_, Object::Module(module))) = state.object(database, name)? else { return Err(missing()) };
    if module.kind != StoredKind::ScalarFunction {
        return Err(missing());
    }
    let ModuleKind::ScalarFunction { parameters, returns, body } = read(&module.definition)?.kind else {
        return Err(missing());
    };
    let mut typed = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        typed.push(Parameter { sql_type: named_type(state, &parameter.data_type)?, name: parameter.name });
    }
    Ok(Arc::new(ScalarFunction {
        name: Arc::clone(&module.name),
        parameters: typed,
        returns: named_type(state, &returns)?,
        body,
    }))
}

/// Runs a scalar function: its statements may not write, and end with RETURN.
pub fn call_scalar(
    execution: &mut Execution<'_>,
    function: &ScalarFunction,
    arguments: Vec<Value>,
) -> SqlResult<Value> {
    within(execution, &function.name, &function.parameters, arguments, |inner| {
        inner.returns = Some(function.returns);
        execute::run_function(inner, &function.body).map(|()| inner.returned.take().unwrap_or(Value::Null))
    })
}

/// Runs something as the body of a function that was called with these arguments.
fn within<T>(
    execution: &mut Execution<'_>,
    name: &Arc<str>,
    parameters: &[Parameter],
    arguments: Vec<Value>,
    body: impl FnOnce(&mut Execution<'_>) -> SqlResult<T>,
) -> SqlResult<T> {
    if execution.state.nesting >= NESTING_MAX {
        return Err(too_deep());
    }
    let mut variables = Variables::default();
    for (parameter, value) in parameters.iter().zip(arguments) {
        variables.declare(&parameter.name, parameter.sql_type, value);
    }
    execution.state.nesting += 1;
    let outcome = {
        let mut inner = Execution::new(execution.state);
        inner.variables = variables;
        inner.procedure = Some(Arc::clone(name));
        inner.function = true;
        body(&mut inner)
    };
    execution.state.nesting -= 1;
    outcome
}

/// A table function of several statements.
#[derive(Clone, Debug)]
pub struct TableFunction {
    pub name: Arc<str>,
    pub parameters: Vec<Parameter>,
    /// The table variable that its rows are put into.
    pub variable: String,
    pub shape: TableShape,
    pub columns: Vec<Column>,
    pub body: Arc<[Statement]>,
}

/// A table function by its text.
///
/// # Errors
/// Those of a definition whose types aren't there any more.
pub fn table_function(execution: &mut Execution<'_>, name: &Arc<str>, definition: &str) -> SqlResult<TableFunction> {
    let ModuleKind::TableFunction { parameters, variable, shape, body } = read(definition)?.kind else {
        return Err(SqlError::new(102, 15, "The definition of a function can't be read."));
    };
    let mut typed = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        typed.push(Parameter { sql_type: named_type(execution.state, &parameter.data_type)?, name: parameter.name });
    }
    let table = execute::described(execution, &variable, SchemaId::DBO, &shape)?;
    let column = |column: &crate::storage::Column| Column::new(&column.name, column.sql_type, column.nullable);
    let columns = table.columns.iter().map(column).collect();
    Ok(TableFunction { name: Arc::clone(name), parameters: typed, variable, shape, columns, body })
}

/// Runs a table function; gives what it left in its table.
///
/// # Errors
/// Its statements'.
pub fn call_table(
    execution: &mut Execution<'_>,
    function: &TableFunction,
    arguments: Vec<Value>,
) -> SqlResult<Vec<Vec<Value>>> {
    within(execution, &function.name, &function.parameters, arguments, |inner| {
        let own = execute::declare_table(inner, &function.variable, &function.shape)?;
        let outcome = execute::run_function(inner, &function.body);
        let rows = execute::drop_table_variable(inner, &own);
        outcome.and(rows)
    })
}

/// Whether a function does no more than compute: it writes to its own table variables alone.
///
/// # Errors
/// 443 where it does.
pub fn check_function(body: &[Statement]) -> SqlResult<()> {
    let own = |name: &Name| name.object.starts_with('@');
    for statement in body {
        let refused = match &statement.kind {
            Kind::Block(inner) => {
                check_function(inner)?;
                None
            }
            Kind::While { body, .. } => {
                check_function(std::slice::from_ref(body))?;
                None
            }
            Kind::If { then, otherwise, .. } => {
                check_function(std::slice::from_ref(then))?;
                otherwise.as_deref().map_or(Ok(()), |otherwise| check_function(std::slice::from_ref(otherwise)))?;
                None
            }
            Kind::Insert(insert) => (!own(&insert.target)).then_some("INSERT"),
            Kind::Update(update) => (!own(&update.target) && update.target.schema.is_some()).then_some("UPDATE"),
            Kind::Delete(delete) => (!own(&delete.target) && delete.target.schema.is_some()).then_some("DELETE"),
            Kind::Select(_)
            | Kind::Declare(_)
            | Kind::SetVariable { .. }
            | Kind::Return(_)
            | Kind::Break
            | Kind::Continue
            | Kind::Label(_)
            | Kind::Goto(_)
            | Kind::DeclareCursor { .. }
            | Kind::OpenCursor(_)
            | Kind::FetchCursor { .. }
            | Kind::CloseCursor(_)
            | Kind::DeallocateCursor(_) => None,
            Kind::Merge(_) => Some("MERGE"),
            Kind::Execute(_) | Kind::ExecuteText(_) => Some("EXECUTE"),
            Kind::TryCatch { .. } => Some("BEGIN TRY"),
            Kind::Print(_) => Some("PRINT"),
            Kind::RaiseError { .. } => Some("RAISERROR"),
            _ => Some("this statement"),
        };
        if let Some(what) = refused {
            let text = format!("Invalid use of a side-effecting operator '{what}' within a function.");
            return Err(SqlError::new(443, 16, text).at_line(statement.line));
        }
    }
    Ok(())
}

pub fn too_deep() -> SqlError {
    SqlError::new(217, 16, "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32).")
}
