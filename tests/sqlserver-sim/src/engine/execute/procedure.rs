//! EXEC: procedures of users, of change data capture, and of the server.

use std::sync::Arc;

use sqlparser::ast::Expr;

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, ModuleKind as StoredKind, Object, PrincipalId, Securable};
use crate::value::collation::{equal, folded};
use crate::value::{Length, SqlType, Value, convert};

use super::super::bind::{named_type, table_type};
use super::super::context::has_permission;
use super::super::module as modules;
use super::super::session::{ColumnMetadata, Flow, Output, OutputSink};
use super::super::state::{Execution, Variables};
use super::super::statement::{Execute, ModuleKind, ModuleParameter, Name, ProcedureName, Statement, TableShape};
use super::super::{parse, system};
use super::control::declare_table;
use super::property::{self, Manner};
use super::{Next, configuration, dynamic, impersonation, module, run_all, send, table, transaction, value_of};

/// An argument as it is given: by name or position.
#[derive(Clone, Debug)]
pub struct Given {
    /// With its `@`.
    pub name: Option<String>,
    /// None for `DEFAULT`, and for a table.
    pub value: Option<(Value, SqlType)>,
    /// A table variable, as it is called in tempdb.
    pub table: Option<Arc<str>>,
}

/// What a procedure gave back: its status, and output parameters by name.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: i32,
    pub outputs: Vec<(String, SqlType, Value)>,
}

pub fn execute(execution: &mut Execution<'_>, execute: &Execute, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let name = match &execute.procedure {
        ProcedureName::Written(name) => name.clone(),
        ProcedureName::Variable(variable) => {
            let slot = execution.variables.find(variable).ok_or_else(|| SqlError::undeclared(variable))?;
            let value = execution.variables.get(slot).map_or(Value::Null, |variable| variable.value.clone());
            parse::name(value.as_text().unwrap_or_default())?
        }
    };
    let mut given = Vec::with_capacity(execute.arguments.len());
    let mut receivers = Vec::new();
    for (at, argument) in execute.arguments.iter().enumerate() {
        let table = match &argument.value {
            Some(Expr::Identifier(word)) => execution.variables.tables.get(&folded(&word.value)).cloned(),
            _ => None,
        };
        let value = match &argument.value {
            _ if table.is_some() => None,
            // A word without quotes is a text.
            Some(Expr::Identifier(word)) if !word.value.starts_with('@') => {
                Some((Value::text(&word.value), SqlType::NVarChar(Length::Limited(4000))))
            }
            Some(value) => Some(value_of(execution, value)?),
            None => None,
        };
        if argument.output
            && let Some(Expr::Identifier(variable)) = &argument.value
        {
            receivers.push((argument.name.clone(), at, variable.value.clone()));
        }
        given.push(Given { name: argument.name.clone(), value, table });
    }
    let answer = call_by_name(execution, &name, given, out)?;
    for (parameter, at, variable) in receivers {
        let found = match &parameter {
            Some(parameter) => answer.outputs.iter().find(|(name, ..)| equal(name, parameter)),
            None => {
                answer.outputs.iter().find(|(name, ..)| *name == format!("#{at}")).or_else(|| answer.outputs.get(at))
            }
        };
        if let (Some((_, from, value)), Some(slot)) = (found, execution.variables.find(&variable)) {
            let to = execution.variables.get(slot).map_or(*from, |variable| variable.sql_type);
            let value = convert::convert(value, *from, to, None)?;
            execution.variables.set(slot, value);
        }
    }
    if let Some(status) = &execute.status {
        let slot = execution.variables.find(status).ok_or_else(|| SqlError::undeclared(status))?;
        execution.variables.set(slot, Value::Int(answer.status));
    }
    Ok(())
}

/// Runs statements with variables of their own, as a procedure or batch within the one that runs.
pub fn nested(
    execution: &mut Execution<'_>,
    procedure: Option<Arc<str>>,
    variables: Variables,
    statements: &[Statement],
    out: &mut OutputSink<'_>,
) -> SqlResult<(Next, Variables)> {
    if execution.state.nesting >= modules::NESTING_MAX {
        return Err(modules::too_deep());
    }
    execution.state.nesting += 1;
    let options = execution.state.options.clone();
    let temporary = execution.state.temporary.clone();
    let impersonations = execution.state.impersonations.len();
    let (trigger, own) = (execution.trigger.clone(), execution.procedure.clone());
    let mut inner = Execution::new(execution.state);
    inner.variables = variables;
    inner.trigger = trigger;
    inner.procedure = procedure.or(own);
    let outcome = run_all(&mut inner, statements, out);
    let variables = std::mem::take(&mut inner.variables);
    let state = &mut *execution.state;
    state.nesting -= 1;
    // What is set within a procedure holds within it.
    state.options = options;
    impersonation::revert_to(state, impersonations);
    let gone: Vec<String> = state.temporary.keys().filter(|name| !temporary.contains_key(*name)).cloned().collect();
    let dropped = table::drop_temporary(execution, &gone);
    let next = outcome?;
    dropped?;
    Ok((next, variables))
}

/// Calls a procedure, wherever it is.
pub fn call_by_name(
    execution: &mut Execution<'_>,
    name: &Name,
    given: Vec<Given>,
    out: &mut OutputSink<'_>,
) -> SqlResult<Answer> {
    let database = execution.state.database_of(name)?;
    if let Some((_, Object::Module(module))) = execution.state.object(database, name)?
        && module.kind == StoredKind::Procedure
        && !module.system
    {
        return call_user(execution, database, &module, given, out);
    }
    let lower = folded(&name.object);
    if let Some(procedure) = system::procedure(&lower) {
        return call_system(execution, database, &procedure, given, out);
    }
    match lower.as_str() {
        "sp_executesql" => dynamic::sp_executesql(execution, given, out),
        "sp_rename" => super::rename::sp_rename(execution, &given, out).map(|()| Answer::default()),
        "sp_addrolemember" | "sp_droprolemember" | "sp_addsrvrolemember" => {
            super::security::role_member(execution, &lower, &given).map(|()| Answer::default())
        }
        "sp_getapplock" => module::application_lock(execution, &given),
        "sp_releaseapplock" => module::application_unlock(execution, &given),
        "sp_configure" => configuration::sp_configure(execution, &given, out),
        "sp_set_session_context" => set_session_context(execution, &given),
        "sp_addextendedproperty" => property::change(execution, Manner::Add, &given).map(|()| Answer::default()),
        "sp_updateextendedproperty" => property::change(execution, Manner::Update, &given).map(|()| Answer::default()),
        "sp_dropextendedproperty" => property::change(execution, Manner::Drop, &given).map(|()| Answer::default()),
        // Plans are made anew at each run, by no statistics, and views are read again at each use.
        "sp_updatestats" | "sp_recompile" | "sp_refreshview" => Ok(Answer::default()),
        "sp_reset_connection" => Ok(Answer::default()),
        "sp_help"
        | "sp_helptext"
        | "sp_helpindex"
        | "sp_helpconstraint"
        | "sp_helpdb"
        | "sp_helpuser"
        | "sp_helprole"
        | "sp_helprotect"
        | "sp_who"
        | "sp_who2"
        | "sp_lock"
        | "sp_depends"
        | "sp_replcmds"
        | "sp_repldone"
        | "sp_replflush"
        | "sp_replcounters"
        | "sp_replshowcmds"
        | "sp_repltrans"
        | "sp_spaceused"
        | "sp_monitor"
        | "sp_tableoption"
        | "sp_indexoption"
        | "sp_settriggerorder"
        | "sp_bindefault"
        | "sp_bindrule"
        | "sp_attach_db"
        | "sp_detach_db"
        | "sp_addlinkedserver"
        | "sp_serveroption"
        | "sp_refreshsqlmodule"
        | "sp_describe_undeclared_parameters"
        | "sp_invoke_external_rest_endpoint"
        | "xp_cmdshell"
        | "xp_readerrorlog"
        | "sp_readerrorlog"
        | "sp_estimate_data_compression_savings"
        | "sp_send_dbmail"
        | "sp_xml_preparedocument" => Err(SqlError::unsupported(lower)),
        _ => Err(SqlError::no_procedure(&name.to_string())),
    }
}

/// `sp_set_session_context @key, @value, @read_only`.
fn set_session_context(execution: &mut Execution<'_>, given: &[Given]) -> SqlResult<Answer> {
    let key = argument(given, "@key", 0).and_then(Value::as_text).map(folded);
    let key = key.ok_or_else(|| SqlError::parameter_missing("sp_set_session_context", "@key"))?;
    let value = argument(given, "@value", 1).cloned().unwrap_or(Value::Null);
    let read_only = argument(given, "@read_only", 2).and_then(Value::as_integer) == Some(1);
    let context = &mut execution.state.session_context;
    if context.get(&key).is_some_and(|(_, read_only)| *read_only) {
        let text = format!(
            "Cannot set key '{key}' in the session context. The key has been set as read_only for this session."
        );
        return Err(SqlError::new(15_664, 16, text));
    }
    context.insert(key, (value, read_only));
    Ok(Answer::default())
}

/// The table of a parameter that is one: what the caller gave, or an empty one.
pub fn table_argument(
    execution: &mut Execution<'_>,
    procedure: &str,
    parameter: &ModuleParameter,
    argument: Option<&Given>,
) -> SqlResult<Arc<str>> {
    let unknown = || {
        let text = format!(
            "Column, parameter, or variable {}: Cannot find data type {}.",
            parameter.name, parameter.data_type.name
        );
        SqlError::new(2715, 16, text)
    };
    let shape = table_type(execution.state, &parameter.data_type.name)?.ok_or_else(unknown)?;
    match argument {
        Some(Given { table: Some(own), .. }) => {
            let names =
                |shape: &TableShape| shape.columns.iter().map(|column| folded(&column.name)).collect::<Vec<_>>();
            let catalog = execution.state.catalog(DatabaseId::TEMPDB)?;
            let given = catalog.table_named(crate::storage::SchemaId::DBO, own);
            let given: Option<Vec<String>> =
                given.map(|table| table.columns.iter().map(|column| folded(&column.name)).collect());
            if given.is_some_and(|given| given == names(&shape)) {
                return Ok(Arc::clone(own));
            }
            let text = format!("Operand type clash: table is incompatible with {}", parameter.data_type.name);
            Err(SqlError::new(206, 16, text))
        }
        Some(Given { value: Some((_, from)), .. }) => {
            let text = format!("Operand type clash: {} is incompatible with {}", from.name(), parameter.data_type.name);
            Err(SqlError::new(206, 16, text).in_procedure(procedure))
        }
        // Left out, it has no rows.
        _ => {
            let variables = execution.variables.tables.clone();
            let own = declare_table(execution, &parameter.name, &shape);
            execution.variables.tables = variables;
            own
        }
    }
}

/// One value for each parameter: by name, then by position, then the default.
pub fn matched<'g>(procedure: &str, names: &[String], given: &'g [Given]) -> SqlResult<Vec<Option<&'g Given>>> {
    let mut values: Vec<Option<&Given>> = vec![None; names.len()];
    let mut named = false;
    for (at, argument) in given.iter().enumerate() {
        let place = match &argument.name {
            Some(name) => {
                named = true;
                names.iter().position(|own| equal(own, name)).ok_or_else(|| SqlError::no_parameter(procedure, name))?
            }
            None if named => {
                let text =
                    format!("Must pass parameter number {} and subsequent parameters as '@name = value'.", at + 1);
                return Err(SqlError::new(119, 15, text));
            }
            None => at,
        };
        let place = values.get_mut(place).ok_or_else(|| SqlError::too_many_arguments(procedure))?;
        if place.replace(argument).is_some() {
            let name = argument.name.as_deref().unwrap_or_default();
            return Err(SqlError::new(8143, 16, format!("Parameter '{name}' was supplied multiple times.")));
        }
    }
    Ok(values)
}

fn call_user(
    execution: &mut Execution<'_>,
    database: DatabaseId,
    stored: &crate::storage::Module,
    given: Vec<Given>,
    out: &mut OutputSink<'_>,
) -> SqlResult<Answer> {
    let catalog = execution.state.catalog(database)?;
    let user = execution.state.user(database)?;
    if user != PrincipalId::DBO
        && execution.procedure.is_none()
        && !has_permission(&catalog, user, "EXECUTE", Securable::Object(stored.object_id))
    {
        let schema =
            catalog.schema(stored.schema_id).map_or_else(|| Arc::from("dbo"), |schema| Arc::clone(&schema.name));
        return Err(SqlError::permission_denied(
            "EXECUTE",
            &stored.name,
            &execution.state.database_name(database),
            &schema,
        ));
    }
    let module = modules::read(&stored.definition)?;
    let ModuleKind::Procedure { parameters, body } = module.kind else {
        return Err(SqlError::no_procedure(&stored.name));
    };
    let names: Vec<String> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
    let arguments = matched(&stored.name, &names, &given)?;
    let mut variables = Variables::default();
    let mut outputs = Vec::new();
    for (parameter, argument) in parameters.iter().zip(&arguments) {
        if parameter.read_only {
            let own = table_argument(execution, &stored.name, parameter, *argument)?;
            variables.tables.insert(folded(&parameter.name), own);
            variables.read_only.insert(folded(&parameter.name));
            continue;
        }
        let sql_type = named_type(execution.state, &parameter.data_type)?;
        let value = match argument.and_then(|argument| argument.value.as_ref()) {
            Some((value, from)) => {
                convert::check(*from, sql_type, convert::Manner::Implicit)
                    .or_else(|error| if value.is_null() { Ok(()) } else { Err(error) })?;
                convert::convert(value, *from, sql_type, None)?
            }
            None => {
                let default = parameter
                    .default
                    .as_ref()
                    .ok_or_else(|| SqlError::parameter_missing(&stored.name, &parameter.name))?;
                let (value, from) = match default {
                    Expr::Identifier(word) => (Value::text(&word.value), SqlType::NVarChar(Length::Limited(4000))),
                    default => value_of(execution, default)?,
                };
                convert::convert(&value, from, sql_type, None)?
            }
        };
        variables.declare(&parameter.name, sql_type, value);
        if parameter.output {
            outputs.push((parameter.name.clone(), sql_type));
        }
    }
    let own = std::mem::replace(&mut execution.state.database, database);
    let impersonations = execution.state.impersonations.len();
    impersonation::begin_module(execution, &module.execute_as)?;
    let outcome = nested(execution, Some(Arc::clone(&stored.name)), variables, &body, out);
    impersonation::revert_to(execution.state, impersonations);
    execution.state.database = own;
    let (next, variables) = outcome?;
    let value = |name: &str| {
        let slot = variables.find(name)?;
        variables.get(slot).map(|variable| variable.value.clone())
    };
    let outputs = parameters
        .iter()
        .filter_map(|parameter| {
            let sql_type = outputs.iter().find(|(name, _)| *name == parameter.name)?.1;
            let at = names.iter().position(|name| *name == parameter.name)?;
            let positional = arguments.get(at).copied().flatten().is_some_and(|argument| argument.name.is_none());
            let name = if positional { format!("#{at}") } else { parameter.name.clone() };
            Some((name, sql_type, value(&parameter.name).unwrap_or(Value::Null)))
        })
        .collect();
    Ok(Answer { status: if let Next::Return(status) = next { status } else { 0 }, outputs })
}

fn call_system(
    execution: &mut Execution<'_>,
    database: DatabaseId,
    procedure: &system::Procedure,
    given: Vec<Given>,
    out: &mut OutputSink<'_>,
) -> SqlResult<Answer> {
    let names: Vec<String> = procedure.parameters.iter().map(|parameter| parameter.name.to_owned()).collect();
    let arguments = matched(procedure.name, &names, &given)?;
    let mut values = Vec::with_capacity(arguments.len());
    for (parameter, argument) in procedure.parameters.iter().zip(arguments) {
        values.push(match argument.and_then(|argument| argument.value.as_ref()) {
            Some((value, from)) => convert::convert(value, *from, parameter.sql_type, None)?,
            None => {
                parameter.default.clone().ok_or_else(|| SqlError::parameter_missing(procedure.name, parameter.name))?
            }
        });
    }
    let result = transaction::atomic(execution, |execution| {
        system::call_procedure(execution.state, database, procedure, &values)
    })?;
    for message in result.messages {
        send(out, Output::Message(message))?;
    }
    for set in result.results {
        let column = |column: &super::super::relation::Column| ColumnMetadata {
            name: column.name.to_string(),
            sql_type: column.sql_type,
            nullable: column.nullable,
            identity: false,
            computed: false,
        };
        send(out, Output::Columns(set.columns.iter().map(column).collect()))?;
        let rows = u64::try_from(set.rows.len()).ok();
        if !set.rows.is_empty() {
            send(out, Output::Rows(set.rows))?;
        }
        send(out, Output::Done { finished: super::super::session::Finished::InProcedure, rows, failed: false })?;
    }
    let outputs = result.outputs.into_iter().filter_map(|(at, value)| {
        let parameter = procedure.parameters.get(at)?;
        Some((parameter.name.to_owned(), parameter.sql_type, value))
    });
    Ok(Answer { status: result.status, outputs: outputs.collect() })
}

/// The rows that a statement of EXEC gives, for INSERT … EXEC.
pub fn rows_of(
    execution: &mut Execution<'_>,
    statement: &Statement,
    out: &mut OutputSink<'_>,
) -> SqlResult<(Vec<Vec<Value>>, Vec<SqlType>)> {
    let mut types: Option<Vec<SqlType>> = None;
    let mut rows = Vec::new();
    let mut failed = None;
    run_all(execution, std::slice::from_ref(statement), &mut |output| {
        match output {
            Output::Columns(columns) => {
                let own: Vec<SqlType> = columns.iter().map(|column| column.sql_type).collect();
                types.get_or_insert(own);
            }
            Output::Rows(batch) => rows.extend(batch),
            Output::Error(error) => failed = Some(error),
            message @ Output::Message(_) => return out(message),
            _ => {}
        }
        Flow::Continue
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok((rows, types.unwrap_or_default())),
    }
}

/// A value for a parameter, by name or position.
pub fn argument<'g>(given: &'g [Given], name: &str, position: usize) -> Option<&'g Value> {
    let by_name = given.iter().find(|given| given.name.as_deref().is_some_and(|own| equal(own, name)));
    let found = by_name.or_else(|| given.get(position).filter(|given| given.name.is_none()));
    found.and_then(|given| given.value.as_ref()).map(|(value, _)| value)
}
