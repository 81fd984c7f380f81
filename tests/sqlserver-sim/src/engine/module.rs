//! Views, procedures, functions and triggers of users, which are kept as their text and read again at each use.

use std::sync::Arc;

use sqlparser::ast::Query;

use crate::error::{SqlError, SqlResult};
use crate::storage::{ModuleKind as StoredKind, Object};
use crate::value::{SqlType, Value};

use super::bind::{Binder, named_type};
use super::evaluate::Scope;
use super::execute;
use super::parse;
use super::state::{Execution, Variables};
use super::statement::{Kind, Module, ModuleKind, ModuleParameter, Name, Statement};

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
    if execution.state.nesting >= NESTING_MAX {
        return Err(too_deep());
    }
    let mut variables = Variables::default();
    for (parameter, value) in function.parameters.iter().zip(arguments) {
        variables.declare(&parameter.name, parameter.sql_type, value);
    }
    execution.state.nesting += 1;
    let outcome = {
        let mut inner = Execution::new(execution.state);
        inner.variables = variables;
        inner.procedure = Some(Arc::clone(&function.name));
        run_function(&mut inner, &function.body, function.returns).map(|value| value.unwrap_or(Value::Null))
    };
    execution.state.nesting -= 1;
    outcome
}

/// The value of the RETURN that was reached, if one was.
fn run_function(execution: &mut Execution<'_>, body: &[Statement], returns: SqlType) -> SqlResult<Option<Value>> {
    for statement in body {
        let reached = match &statement.kind {
            Kind::Block(inner) => run_function(execution, inner, returns)?,
            Kind::Return(Some(value)) => {
                let mut binder = Binder::new(execution);
                let value = binder.scalar(value)?;
                let value = binder.converted(value, returns)?;
                Some(value.evaluate(execution, &Scope::EMPTY)?)
            }
            Kind::If { condition, then, otherwise } => {
                let condition = Binder::new(execution).predicate(condition)?;
                let held = condition.holds(execution, &Scope::EMPTY)?;
                match if held { Some(then.as_ref()) } else { otherwise.as_deref() } {
                    Some(branch) => run_function(execution, std::slice::from_ref(branch), returns)?,
                    None => None,
                }
            }
            Kind::Declare(_) | Kind::SetVariable { .. } | Kind::Select(_) => {
                execute::without_results(execution, statement)?;
                None
            }
            _ => return Err(SqlError::unsupported("this statement within a function")),
        };
        if reached.is_some() {
            return Ok(reached);
        }
    }
    Ok(None)
}

pub fn too_deep() -> SqlError {
    SqlError::new(217, 16, "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32).")
}
