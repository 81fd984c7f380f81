//! Cursors. One reads all its rows when it is opened, so that it shows the data of that moment.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::value::collation::folded;
use crate::value::{SqlType, Value, convert};

use super::super::bind::Binder;
use super::super::run;
use super::super::session::{Flow, Output, OutputSink};
use super::super::state::{Cursor, Execution, OpenCursor};
use super::super::statement::{CursorDefinition, CursorName, Fetch, Kind};
use super::{done, metadata, send, transaction, value_of};

pub fn statement(execution: &mut Execution<'_>, kind: &Kind, out: &mut OutputSink<'_>) -> SqlResult<()> {
    match kind {
        Kind::DeclareCursor { name, definition } => declare(execution, name, definition)?,
        Kind::OpenCursor(name) => open(execution, name)?,
        Kind::CloseCursor(name) => find(execution, name)?.open.take().map(|_| ()).ok_or_else(not_open)?,
        Kind::DeallocateCursor(name) => {
            find(execution, name)?;
            let key = folded(&name.name);
            if name.global || execution.cursors.remove(&key).is_none() {
                execution.state.cursors.remove(&key);
            }
        }
        Kind::FetchCursor { fetch, name, into } => return self::fetch(execution, fetch, name, into, out),
        _ => {}
    }
    done(execution, None, out)
}

fn missing(name: &str) -> SqlError {
    SqlError::new(16_916, 16, format!("A cursor with the name '{name}' does not exist."))
}

fn not_open() -> SqlError {
    SqlError::new(16_917, 16, "Cursor is not open.")
}

/// The cursor of a name: the batch's own before the session's.
fn find<'x>(execution: &'x mut Execution<'_>, name: &CursorName) -> SqlResult<&'x mut Cursor> {
    let key = folded(&name.name);
    let own = if name.global { None } else { execution.cursors.get_mut(&key) };
    own.or_else(|| execution.state.cursors.get_mut(&key)).ok_or_else(|| missing(&name.name))
}

fn declare(execution: &mut Execution<'_>, name: &CursorName, definition: &CursorDefinition) -> SqlResult<()> {
    let key = folded(&name.name);
    let variable = key.starts_with('@');
    if variable && !execution.cursor_variables.contains(&key) {
        return Err(SqlError::undeclared(&name.name));
    }
    // What can't be resolved now never could be.
    transaction::atomic(execution, |execution| Binder::new(execution).query(&definition.query).map(|_| ()))?;
    let cursor = Cursor { definition: definition.clone(), variables: execution.variables.clone(), open: None };
    let place: &mut HashMap<String, Cursor> =
        if name.global { &mut execution.state.cursors } else { &mut execution.cursors };
    if !variable && place.contains_key(&key) {
        return Err(SqlError::new(16_915, 16, format!("A cursor with the name '{}' already exists.", name.name)));
    }
    place.insert(key, cursor);
    Ok(())
}

/// A variable that can hold a cursor, and holds none yet.
pub fn declare_variable(execution: &mut Execution<'_>, name: &str) -> SqlResult<()> {
    if execution.variables.find(name).is_some() {
        let text = format!(
            "The variable name '{name}' has already been declared. Variable names must be unique within a query batch or stored procedure."
        );
        return Err(SqlError::new(134, 15, text));
    }
    execution.cursor_variables.insert(folded(name));
    Ok(())
}

fn open(execution: &mut Execution<'_>, name: &CursorName) -> SqlResult<()> {
    let cursor = find(execution, name)?;
    if cursor.open.is_some() {
        return Err(SqlError::new(16_905, 16, "The cursor is already open."));
    }
    let (query, mut variables) = (cursor.definition.query.clone(), cursor.variables.clone());
    std::mem::swap(&mut execution.variables, &mut variables);
    let read = transaction::atomic(execution, |execution| {
        let plan = Binder::new(execution).query(&query)?;
        let mut rows = Vec::new();
        run::query(execution, &plan, None, &mut |_, row| {
            rows.push(row);
            Ok(Flow::Continue)
        })?;
        Ok((metadata(&plan), rows))
    });
    std::mem::swap(&mut execution.variables, &mut variables);
    let (columns, rows) = read?;
    execution.state.cursor_rows = i32::try_from(rows.len()).unwrap_or(i32::MAX);
    find(execution, name)?.open = Some(OpenCursor { columns, rows: Arc::new(rows), at: 0 });
    Ok(())
}

fn fetch(
    execution: &mut Execution<'_>,
    fetch: &Fetch,
    name: &CursorName,
    into: &[String],
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    let amount = match fetch {
        Fetch::Absolute(amount) | Fetch::Relative(amount) => {
            let amount = value_of(execution, amount)?.0.as_integer();
            amount.ok_or_else(|| SqlError::new(16_902, 16, "FETCH: the row number must be a whole number."))?
        }
        _ => 0,
    };
    let cursor = find(execution, name)?;
    if !cursor.definition.scroll && !matches!(fetch, Fetch::Next) {
        let text = "fetch: The fetch type cannot be used with forward only cursors.";
        return Err(SqlError::new(16_911, 16, text));
    }
    let open = cursor.open.as_mut().ok_or_else(not_open)?;
    let count = i64::try_from(open.rows.len()).unwrap_or(i64::MAX);
    let now = i64::try_from(open.at).unwrap_or(i64::MAX);
    let wanted = match fetch {
        Fetch::Next => now + 1,
        Fetch::Prior => now - 1,
        Fetch::First => 1,
        Fetch::Last => count,
        Fetch::Absolute(_) if amount < 0 => count + 1 + amount,
        Fetch::Absolute(_) => amount,
        Fetch::Relative(_) => now.saturating_add(amount),
    };
    open.at = usize::try_from(wanted.clamp(0, count + 1)).unwrap_or(0);
    let row = open.at.checked_sub(1).and_then(|at| open.rows.get(at)).cloned();
    let columns = open.columns.clone();
    execution.state.fetch_status = if row.is_some() { 0 } else { -1 };
    if into.is_empty() {
        let rows = u64::from(row.is_some());
        send(out, Output::Columns(columns))?;
        if let Some(row) = row {
            send(out, Output::Rows(vec![row]))?;
        }
        return done(execution, Some(rows), out);
    }
    if into.len() != columns.len() {
        let text =
            "Cursorfetch: The number of variables declared in the INTO list must match that of selected columns.";
        return Err(SqlError::new(16_924, 16, text));
    }
    let Some(row) = row else { return done(execution, Some(0), out) };
    for ((variable, value), column) in into.iter().zip(&row).zip(&columns) {
        let slot = execution.variables.find(variable).ok_or_else(|| SqlError::undeclared(variable))?;
        let to = execution.variables.get(slot).map_or(SqlType::Int, |variable| variable.sql_type);
        let value = if value.is_null() { Value::Null } else { convert::convert(value, column.sql_type, to, None)? };
        execution.variables.set(slot, value);
    }
    done(execution, Some(1), out)
}
