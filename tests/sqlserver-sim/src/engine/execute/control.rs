//! Variables, branches, loops, errors and messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlparser::ast::Expr;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Begin, DatabaseId};
use crate::value::calendar::TICKS_PER_DAY;
use crate::value::collation::folded;
use crate::value::{SqlType, Value, convert};

use super::super::bind::{Binder, named_type, table_type};
use super::super::evaluate::Scope;
use super::super::session::{Isolation, Output, OutputSink};
use super::super::state::Execution;
use super::super::statement::{Declaration, DeclarationKind, Kind, Statement, TableShape};
use super::{Next, done, run_all, send, table, transaction, value_of};

pub fn control(execution: &mut Execution<'_>, kind: &Kind, out: &mut OutputSink<'_>) -> SqlResult<Next> {
    match kind {
        Kind::If { condition, then, otherwise } => {
            let branch = if holds(execution, condition)? { Some(then) } else { otherwise.as_ref() };
            match branch {
                Some(branch) => run_all(execution, std::slice::from_ref(branch), out),
                None => Ok(Next::Continue),
            }
        }
        Kind::While { condition, body } => {
            while holds(execution, condition)? {
                match run_all(execution, std::slice::from_ref(body), out)? {
                    Next::Continue | Next::Again => {}
                    Next::Break => break,
                    out_of @ (Next::Return(_) | Next::Goto(_)) => return Ok(out_of),
                }
                execution.state.check_cancelled()?;
            }
            Ok(Next::Continue)
        }
        Kind::Block(statements) => run_all(execution, statements, out),
        Kind::TryCatch { body, handler } => try_catch(execution, body, handler, out),
        Kind::Break => Ok(Next::Break),
        Kind::Continue => Ok(Next::Again),
        Kind::Label(_) => Ok(Next::Continue),
        Kind::Goto(label) => Ok(Next::Goto(label.clone())),
        Kind::Return(Some(value)) if execution.returns.is_some() => {
            let returns = execution.returns.unwrap_or(SqlType::Int);
            let value = transaction::atomic(execution, |execution| {
                let mut binder = Binder::new(execution);
                let value = binder.scalar(value)?;
                let value = binder.converted(value, returns)?;
                value.evaluate(execution, &Scope::EMPTY)
            })?;
            execution.returned = Some(value);
            Ok(Next::Return(0))
        }
        Kind::Return(value) => {
            let status = match value {
                Some(value) => value_of(execution, value)?
                    .0
                    .as_integer()
                    .and_then(|status| i32::try_from(status).ok())
                    .unwrap_or(0),
                None => 0,
            };
            Ok(Next::Return(status))
        }
        Kind::Declare(declarations) => {
            for declaration in declarations {
                declare(execution, declaration)?;
            }
            Ok(Next::Continue)
        }
        Kind::SetVariable { name, operator, value } => {
            let slot = execution.variables.find(name).ok_or_else(|| SqlError::undeclared(name))?;
            let value = transaction::atomic(execution, |execution| {
                let sql_type = execution.variables.get(slot).map_or(SqlType::Int, |variable| variable.sql_type);
                let mut binder = Binder::new(execution);
                let mut bound = binder.scalar(value)?;
                if let Some(operator) = operator {
                    let own = Expr::Identifier(sqlparser::ast::Ident::new(name));
                    let own = binder.scalar(&own)?;
                    bound = binder.operation(*operator, own, bound)?;
                }
                let bound = binder.converted(bound, sql_type)?;
                bound.evaluate(execution, &Scope::EMPTY)
            })?;
            execution.variables.set(slot, value);
            Ok(Next::Continue)
        }
        Kind::Print(value) => {
            let (value, from) = value_of(execution, value)?;
            let text = convert::convert(&value, from, SqlType::NVarChar(crate::value::Length::Limited(4000)), None)?;
            let message = SqlError::new(0, 0, text.as_text().unwrap_or_default());
            send(out, Output::Message(message))?;
            Ok(Next::Continue)
        }
        Kind::RaiseError { arguments, options } => raise_error(execution, arguments, options, out),
        Kind::Throw(arguments) => Err(throw(execution, arguments.as_ref())?),
        Kind::WaitFor { delay, time } => {
            let (value, from) = value_of(execution, time)?;
            let time = convert::convert(&value, from, SqlType::Time(7), None)?;
            let Value::Time(mut ticks) = time else { return Err(SqlError::syntax_near("DELAY")) };
            if !delay {
                // Until the server's clock shows the time of day, tomorrow if it is past.
                let now = execution.state.now.ticks;
                ticks = if ticks >= now { ticks - now } else { ticks + TICKS_PER_DAY - now };
            }
            wait(execution, Duration::from_nanos(ticks.saturating_mul(100)))?;
            done(execution, None, out)?;
            Ok(Next::Continue)
        }
        _ => Ok(Next::Continue),
    }
}

/// How often a wait looks whether the request was cancelled.
const WAIT_STEP: Duration = Duration::from_millis(10);

fn wait(execution: &Execution<'_>, time: Duration) -> SqlResult<()> {
    let end = Instant::now() + time;
    loop {
        execution.state.check_cancelled()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(WAIT_STEP));
    }
}

fn holds(execution: &mut Execution<'_>, condition: &Expr) -> SqlResult<bool> {
    transaction::atomic(execution, |execution| {
        let bound = Binder::new(execution).predicate(condition)?;
        bound.holds(execution, &Scope::EMPTY)
    })
}

fn try_catch(
    execution: &mut Execution<'_>,
    body: &[Statement],
    handler: &[Statement],
    out: &mut OutputSink<'_>,
) -> SqlResult<Next> {
    execution.state.tries += 1;
    let outcome = run_all(execution, body, out);
    execution.state.tries -= 1;
    match outcome {
        Ok(next) => Ok(next),
        // Cancellation, and errors that end the connection, are caught by nobody.
        Err(error) if error.is_fatal() || error.number == SqlError::cancelled().number => Err(error),
        Err(error) => {
            let before = execution.caught.replace(error);
            let outcome = run_all(execution, handler, out);
            execution.caught = before;
            outcome
        }
    }
}

fn declare(execution: &mut Execution<'_>, declaration: &Declaration) -> SqlResult<()> {
    let taken = || {
        let text = format!(
            "The variable name '{}' has already been declared. Variable names must be unique within a query batch or stored procedure.",
            declaration.name
        );
        SqlError::new(134, 15, text)
    };
    match &declaration.kind {
        DeclarationKind::Cursor => {
            super::cursor::declare_variable(execution, &declaration.name)?;
            Ok(())
        }
        DeclarationKind::Scalar { data_type, value } => {
            if let Some(shape) = table_type(execution.state, &data_type.name)? {
                return declare_table(execution, &declaration.name, &shape).map(|_| ());
            }
            let sql_type = named_type(execution.state, data_type)?;
            let given = value.is_some();
            let value = match value {
                Some(value) => transaction::atomic(execution, |execution| {
                    let mut binder = Binder::new(execution);
                    let bound = binder.scalar(value)?;
                    let bound = binder.converted(bound, sql_type)?;
                    bound.evaluate(execution, &Scope::EMPTY)
                })?,
                None => Value::Null,
            };
            match execution.variables.find(&declaration.name) {
                // In a loop the same declaration comes again, and leaves the value as it is unless it gives one.
                Some(slot) if execution.variables.get(slot).is_some_and(|variable| variable.sql_type == sql_type) => {
                    if given {
                        execution.variables.set(slot, value);
                    }
                    Ok(())
                }
                Some(_) => Err(taken()),
                None => {
                    execution.variables.declare(&declaration.name, sql_type, value);
                    Ok(())
                }
            }
        }
        DeclarationKind::Table(shape) => declare_table(execution, &declaration.name, shape).map(|_| ()),
    }
}

/// Work on table variables is done in transactions of their own, as no rollback takes it back.
fn own_transaction(execution: &Execution<'_>) -> crate::storage::Transaction {
    execution.state.storage.begin(Begin {
        isolation: Isolation::ReadCommitted,
        session_id: execution.state.session_id,
        cancelled: Arc::clone(&execution.state.cancelled),
        lock_timeout: None,
        deadlock_priority: 0,
        of_capture: false,
    })
}

/// Declares a table variable; gives what it is called in tempdb. It goes at the end of the request.
pub fn declare_table(execution: &mut Execution<'_>, name: &str, shape: &TableShape) -> SqlResult<Arc<str>> {
    let own = execution.state.temporary_name(name);
    let described = table::described(execution, &own, crate::storage::SchemaId::DBO, shape)?;
    let mut transaction = own_transaction(execution);
    transaction.create_table(DatabaseId::TEMPDB, described)?;
    transaction.commit()?;
    execution.variables.tables.insert(folded(name), Arc::clone(&own));
    execution.state.dropped_at_end.push(Arc::clone(&own));
    Ok(own)
}

/// Takes the rows out of a table variable, in the order of its columns, and drops it. This is done in the statement's own
/// transaction, whose locks on the table nobody else gets past before it ends; should it be rolled back, the table goes at
/// the end of the request.
pub fn drop_table_variable(execution: &mut Execution<'_>, own: &Arc<str>) -> SqlResult<Vec<Vec<Value>>> {
    let catalog = execution.state.catalog(DatabaseId::TEMPDB)?;
    let Some(table) = catalog.table_named(crate::storage::SchemaId::DBO, own).cloned() else { return Ok(Vec::new()) };
    let request = crate::storage::ReadRequest::all(DatabaseId::TEMPDB, Arc::clone(&table));
    let request = request.visible(crate::storage::Visibility::Current);
    let transaction = execution.state.transaction();
    let rows = transaction.read_all(&request)?;
    transaction.drop_untracked(DatabaseId::TEMPDB, &table)?;
    let values = |row: &crate::storage::Row| {
        table.columns.iter().map(|column| table.value(column, row).clone()).collect::<Vec<Value>>()
    };
    Ok(rows.iter().map(|(_, row)| values(row)).collect())
}

fn throw(execution: &mut Execution<'_>, arguments: Option<&[Expr; 3]>) -> SqlResult<SqlError> {
    let Some([number, message, state]) = arguments else {
        return execution.caught.clone().ok_or_else(|| {
            SqlError::new(10_704, 15, "To rethrow an error, a THROW statement must be used inside a CATCH block. Insert the THROW statement inside a CATCH block, or add error parameters to the THROW statement.")
        });
    };
    let number =
        value_of(execution, number)?.0.as_integer().and_then(|number| i32::try_from(number).ok()).unwrap_or(50_000);
    let (text, from) = value_of(execution, message)?;
    let text = convert::convert(&text, from, SqlType::NVarChar(crate::value::Length::Limited(2048)), None)?;
    let state = value_of(execution, state)?.0.as_integer().and_then(|state| u8::try_from(state).ok()).unwrap_or(1);
    if number < 50_000 {
        let text = format!(
            "Error number {number} in the THROW statement is outside the valid range. Specify an error number in the valid range of 50000 to 2147483647."
        );
        return Err(SqlError::new(35_100, 16, text));
    }
    Ok(SqlError::new(number, 16, text.as_text().unwrap_or_default()).with_state(state))
}

fn raise_error(
    execution: &mut Execution<'_>,
    arguments: &[Expr],
    options: &[String],
    out: &mut OutputSink<'_>,
) -> SqlResult<Next> {
    let [message, severity, state, rest @ ..] = arguments else { return Err(SqlError::syntax_near("RAISERROR")) };
    let (message, from) = value_of(execution, message)?;
    let severity = value_of(execution, severity)?
        .0
        .as_integer()
        .and_then(|severity| u8::try_from(severity).ok())
        .unwrap_or(16)
        .min(25);
    let state = value_of(execution, state)?.0.as_integer().and_then(|state| u8::try_from(state).ok()).unwrap_or(1);
    let mut values = Vec::with_capacity(rest.len());
    for argument in rest {
        let (value, from) = value_of(execution, argument)?;
        let text = convert::convert(&value, from, SqlType::NVarChar(crate::value::Length::Max), None)?;
        values.push(text.as_text().unwrap_or("(null)").to_owned());
    }
    let number = match message.as_integer() {
        Some(number) => i32::try_from(number).unwrap_or(50_000),
        None => 50_000,
    };
    let pattern = convert::convert(&message, from, SqlType::NVarChar(crate::value::Length::Max), None)?;
    let text = formatted(pattern.as_text().unwrap_or_default(), &values);
    let mut error = SqlError::new(number, severity, text).with_state(state);
    if error.is_information() {
        if options.iter().any(|option| option == "SETERROR") {
            execution.state.error_number = number;
        }
        send(out, Output::Message(error))?;
        return Ok(Next::Continue);
    }
    if severity > 18 && !execution.state.sysadmin {
        error.severity = 18;
    }
    Err(error)
}

/// `%s`, `%d` and their like are filled in order.
fn formatted(pattern: &str, values: &[String]) -> String {
    let mut text = String::new();
    let mut values = values.iter();
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        if rest.peek() == Some(&'%') {
            rest.next();
            text.push('%');
            continue;
        }
        let mut upper = false;
        for next in rest.by_ref() {
            if next.is_ascii_alphabetic() && !matches!(next, 'l' | 'h' | 'I') {
                upper = next == 'X';
                break;
            }
        }
        let value = values.next().map_or("(null)", String::as_str);
        text.push_str(&if upper { value.to_uppercase() } else { value.to_owned() });
    }
    text
}
