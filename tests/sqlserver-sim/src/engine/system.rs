//! The engine's way to the functions and procedures of change data capture.

use std::sync::Arc;

use crate::catalog;
use crate::cdc::registry::{self, CdcContext};
use crate::error::{SqlError, SqlResult};
use crate::storage::{Catalog, DatabaseId, Login, SchemaId};
use crate::value::{SqlType, Value};

use super::relation::{Column, RowSink};
use super::state::{Execution, State};

pub use crate::cdc::registry::{Function, Procedure, ProcedureResult, TableFunction as SystemTable};

/// A scalar function of `sys` by its name.
pub fn function(name: &str) -> Option<Function> {
    registry::function(&name.to_lowercase())
}

/// A procedure of `sys` by its name.
pub fn procedure(name: &str) -> Option<Procedure> {
    let name = name.to_lowercase();
    registry::procedure(&name).or_else(|| catalog::procedure(&name))
}

/// A function that gives rows, of a schema of a database.
pub fn table_function(catalog: &Catalog, schema: SchemaId, name: &str) -> Option<Arc<SystemTable>> {
    registry::table_function(catalog, schema, name).map(Arc::new)
}

pub fn table_columns(function: &SystemTable) -> &[Column] {
    &function.columns
}

pub fn table_parameters(function: &SystemTable) -> &[SqlType] {
    &function.parameters
}

fn with_context<T>(
    state: &mut State,
    database: DatabaseId,
    run: impl FnOnce(&mut CdcContext<'_>) -> SqlResult<T>,
) -> SqlResult<T> {
    let user = state.user(database)?;
    let login = state.storage.login_named(&state.login_name);
    let login = match login {
        // Whoever is a user of one database alone has no rights on the server.
        _ if state.user.is_some() => Arc::new(Login {
            name: Arc::clone(&state.login_name),
            password: Arc::from(""),
            sysadmin: false,
            default_database: Arc::from("master"),
            permissions: Vec::new(),
        }),
        Some(login) => login,
        None => return Err(SqlError::new(18456, 14, format!("Login failed for user '{}'.", state.login_name))),
    };
    let mut context = CdcContext { transaction: state.transaction(), database, user, login: &login };
    run(&mut context)
}

/// Calls a scalar function with arguments of its parameters' types.
pub fn call_function(execution: &mut Execution<'_>, function: &Function, arguments: &[Value]) -> SqlResult<Value> {
    let database = execution.state.database;
    with_context(execution.state, database, |context| (function.run)(context, arguments))
}

/// Calls a procedure with arguments of its parameters' types.
pub fn call_procedure(
    state: &mut State,
    database: DatabaseId,
    procedure: &Procedure,
    arguments: &[Value],
) -> SqlResult<ProcedureResult> {
    with_context(state, database, |context| (procedure.run)(context, arguments))
}

/// The rows of a function.
pub fn table_rows(
    state: &mut State,
    database: DatabaseId,
    function: &SystemTable,
    arguments: &[Value],
    sink: &mut RowSink<'_>,
) -> SqlResult<()> {
    with_context(state, database, |context| function.rows(context, arguments, sink))
}
