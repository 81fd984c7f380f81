//! What stands in FROM: tables, views of the catalog, subqueries, functions, and their joins.

use std::sync::Arc;

use crate::error::SqlResult;
use crate::storage::{DatabaseId, LockDuration, LockMode, ReadCursor, ReadRequest, Row, RowId, Visibility};
use crate::value::Value;

use super::super::evaluate::Scope;
use super::super::expression::{Expression, Predicate};
use super::super::plan::{Query, RelationSource, Source, TableFunction, TableSource};
use super::super::relation::Wanted;
use super::super::session::Flow;
use super::super::state::Execution;
use super::super::{module, system};
use super::join::scan_join;
use super::range::{fitted, key_range};
use super::{Frame, Frames, query};

/// Rows that are read from a table at a time: few at first, as many queries want the first row alone.
const BATCH_ROWS_FIRST: usize = 16;
const BATCH_ROWS_MAX: usize = 1024;

pub fn scan(
    execution: &mut Execution<'_>,
    source: &Source,
    frame: &mut Frame,
    outer: Option<&Scope<'_>>,
    sink: &mut Frames<'_>,
) -> SqlResult<Flow> {
    match source {
        Source::Nothing => sink(execution, frame),
        Source::Table(table) => scan_table(execution, table, frame, outer, sink),
        Source::Relation(relation) => scan_relation(execution, relation, frame, outer, sink),
        Source::Derived { slot, query: plan, filter } => {
            scan_query(execution, plan, frame, outer, &mut |execution, frame, row| {
                give(execution, frame, *slot, Row::from(row), None, filter, outer, sink)
            })
        }
        Source::Function { slot, function, arguments, filter } => {
            let rows = function_rows(execution, function, arguments, frame, outer)?;
            give_rows(execution, rows.into_iter().map(Row::from), frame, *slot, filter, outer, sink)
        }
        Source::Working { slot, table } => {
            let rows = execution.working.get(*table).cloned().unwrap_or_default();
            give_rows(execution, rows.iter().cloned(), frame, *slot, &[], outer, sink)
        }
        Source::Held { slot, rows, filter } => {
            give_rows(execution, rows.iter().cloned(), frame, *slot, filter, outer, sink)
        }
        Source::Recursive { slot, table, steps_max, anchor, step, filter } => {
            let rows = recursive(execution, *table, *steps_max, anchor, step, frame, outer)?;
            give_rows(execution, rows.into_iter(), frame, *slot, filter, outer, sink)
        }
        Source::Join(join) => scan_join(execution, join, frame, outer, sink),
    }
}

/// What is done with each row, and the frame that it belongs to.
type RowSink<'a> = dyn FnMut(&mut Execution<'_>, &mut Frame, Vec<Value>) -> SqlResult<Flow> + 'a;

/// Runs a query that stands in FROM: it sees the frame as the row around it.
fn scan_query(
    execution: &mut Execution<'_>,
    plan: &Query,
    frame: &mut Frame,
    outer: Option<&Scope<'_>>,
    sink: &mut RowSink<'_>,
) -> SqlResult<Flow> {
    let around = frame.rows.clone();
    let scope = Scope { row: &around, outer };
    query(execution, plan, Some(&scope), &mut |execution, row| sink(execution, frame, row))
}

/// Puts a row into its place and hands the frame on if the filter lets it through.
#[expect(clippy::too_many_arguments, reason = "a step of a loop that has all of these at hand")]
fn give(
    execution: &mut Execution<'_>,
    frame: &mut Frame,
    slot: usize,
    row: Row,
    id: Option<RowId>,
    filter: &[Predicate],
    outer: Option<&Scope<'_>>,
    sink: &mut Frames<'_>,
) -> SqlResult<Flow> {
    frame.put(slot, row, id);
    if passes(execution, filter, frame, outer)? { sink(execution, frame) } else { Ok(Flow::Continue) }
}

fn give_rows(
    execution: &mut Execution<'_>,
    rows: impl Iterator<Item = Row>,
    frame: &mut Frame,
    slot: usize,
    filter: &[Predicate],
    outer: Option<&Scope<'_>>,
    sink: &mut Frames<'_>,
) -> SqlResult<Flow> {
    for row in rows {
        if give(execution, frame, slot, row, None, filter, outer, sink)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::Continue)
}

pub fn passes(
    execution: &mut Execution<'_>,
    filter: &[Predicate],
    frame: &Frame,
    outer: Option<&Scope<'_>>,
) -> SqlResult<bool> {
    let scope = Scope { row: &frame.rows, outer };
    for part in filter {
        if !part.holds(execution, &scope)? {
            return Ok(false);
        }
    }
    Ok(true)
}

// Tables

fn scan_table(
    execution: &mut Execution<'_>,
    source: &TableSource,
    frame: &mut Frame,
    outer: Option<&Scope<'_>>,
    sink: &mut Frames<'_>,
) -> SqlResult<Flow> {
    let Some(range) = key_range(execution, source, frame, outer)? else { return Ok(Flow::Continue) };
    if source.hints.table_lock || source.hints.hold {
        // Who means to change what is held shuts out others that mean to: shared locks would end in a deadlock.
        let alone = source.hints.exclusive || (source.hints.hold && source.hints.update_lock);
        let mode = if alone { LockMode::Exclusive } else { LockMode::Shared };
        let hold = source.hints.hold || source.hints.exclusive;
        let duration = if hold { LockDuration::Transaction } else { LockDuration::Statement };
        execution.state.transaction().lock_table(source.database, source.table.object_id, mode, duration)?;
    }
    let visibility = if source.hints.no_lock {
        Visibility::Uncommitted
    } else if source.hints.read_past {
        Visibility::SkipHeld
    } else if source.hints.update_lock || source.hints.exclusive || source.hints.read_committed_lock {
        Visibility::Current
    } else {
        Visibility::Isolation
    };
    let request = ReadRequest {
        database: source.database,
        table: Arc::clone(&source.table),
        index: source.access.index,
        range,
        descending: source.access.descending,
        visibility,
    };
    let mut cursor = ReadCursor::default();
    let mut batch = BATCH_ROWS_FIRST;
    loop {
        execution.state.check_cancelled()?;
        let mut rows = Vec::with_capacity(batch);
        let more = execution.state.transaction().read(&request, &mut cursor, batch, &mut rows)?;
        for (id, row) in rows {
            let shown = shown_row(execution, source, id, row.clone())?;
            frame.put(source.slot, shown, Some(id));
            if passes(execution, &source.filter, frame, outer)?
                && (!source.hints.lock_rows || lock_row(execution, source, frame, outer, id, row)?)
                && sink(execution, frame)? == Flow::Stop
            {
                return Ok(Flow::Stop);
            }
        }
        if !more {
            return Ok(Flow::Continue);
        }
        batch = (batch * 4).min(BATCH_ROWS_MAX);
    }
}

/// Locks a row that was let through, for `UPDLOCK` and `XLOCK`. False where it isn't there any more as it was let through,
/// or where another holds it and `READPAST` passes over it. Whoever had to wait looks at the row again: the lock it then
/// has makes the second look the last.
fn lock_row(
    execution: &mut Execution<'_>,
    source: &TableSource,
    frame: &mut Frame,
    outer: Option<&Scope<'_>>,
    id: RowId,
    mut row: Row,
) -> SqlResult<bool> {
    // Temporary tables are the session's own, and table variables are written in transactions of their own.
    if source.database == DatabaseId::TEMPDB {
        return Ok(true);
    }
    loop {
        execution.state.check_cancelled()?;
        let transaction = execution.state.transaction();
        let unchanged = if source.hints.read_past {
            match transaction.try_lock_row(source.database, &source.table, id, &row)? {
                Some(unchanged) => unchanged,
                None => return Ok(false),
            }
        } else {
            transaction.lock_rows(source.database, &source.table, &[(id, row.clone())])?.is_empty()
        };
        if unchanged {
            return Ok(true);
        }
        let Some(now) = execution.state.transaction().row(source.database, &source.table, id)? else {
            return Ok(false);
        };
        row = now;
        let shown = shown_row(execution, source, id, row.clone())?;
        frame.put(source.slot, shown, Some(id));
        if !passes(execution, &source.filter, frame, outer)? {
            return Ok(false);
        }
    }
}

/// The row as the source gives it.
fn shown_row(execution: &mut Execution<'_>, source: &TableSource, id: RowId, row: Row) -> SqlResult<Row> {
    let whole = whole_row(execution, source, row)?;
    if !source.tells_id {
        return Ok(whole);
    }
    let number = Value::BigInt(i64::try_from(id.0).unwrap_or(i64::MAX));
    Ok(whole.iter().cloned().chain(std::iter::once(number)).collect())
}

/// The row with a value for every column that there is now, computed ones included.
pub fn whole_row(execution: &mut Execution<'_>, source: &TableSource, row: Row) -> SqlResult<Row> {
    let width = source.table.row_width();
    if row.len() == width && source.computed.is_empty() {
        return Ok(row);
    }
    let mut values = row.to_vec();
    values.resize(width, Value::Null);
    for column in &source.table.columns {
        if let (Some(slot), Some(missing)) = (column.slot(), &column.missing)
            && slot >= row.len()
            && let Some(place) = values.get_mut(slot)
        {
            *place = missing.clone();
        }
    }
    for (slot, expression) in &source.computed {
        let stored: Row = Row::from(values.clone());
        let value = expression.evaluate(execution, &Scope { row: &[stored], outer: None })?;
        if let Some(place) = values.get_mut(*slot) {
            *place = value;
        }
    }
    Ok(Row::from(values))
}

// Views of the catalog

fn scan_relation(
    execution: &mut Execution<'_>,
    source: &RelationSource,
    frame: &mut Frame,
    outer: Option<&Scope<'_>>,
    sink: &mut Frames<'_>,
) -> SqlResult<Flow> {
    let mut wanted = Wanted::default();
    for (column, expression) in &source.equal {
        let value = expression.evaluate(execution, &Scope { row: &frame.rows, outer })?;
        if value.is_null() {
            return Ok(Flow::Continue);
        }
        if let Some(sql_type) = source.relation.columns().get(*column).map(|column| column.sql_type)
            && let Some(value) = fitted(&value, expression.sql_type, sql_type)
        {
            wanted.equal.push((*column, value));
        }
    }
    let mut rows = Vec::new();
    let relation = Arc::clone(&source.relation);
    relation.rows(&execution.state.context(source.database), &wanted, &mut |row| {
        rows.push(Row::from(row));
        Ok(())
    })?;
    give_rows(execution, rows.into_iter(), frame, source.slot, &source.filter, outer, sink)
}

// Functions

fn function_rows(
    execution: &mut Execution<'_>,
    function: &TableFunction,
    arguments: &[Expression],
    frame: &Frame,
    outer: Option<&Scope<'_>>,
) -> SqlResult<Vec<Vec<Value>>> {
    let scope = Scope { row: &frame.rows, outer };
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        values.push(argument.evaluate(execution, &scope)?);
    }
    let mut rows = Vec::new();
    match function {
        TableFunction::System { function, database } => {
            system::table_rows(execution.state, *database, function, &values, &mut |row| {
                rows.push(row);
                Ok(())
            })?;
        }
        TableFunction::SplitString { numbered } => {
            if let (Some(text), Some(separator)) =
                (values.first().and_then(Value::as_text), values.get(1).and_then(Value::as_text))
            {
                for (part, number) in text.split(separator).zip(1_i64..) {
                    let mut row = vec![Value::text(part)];
                    row.extend(numbered.then_some(Value::BigInt(number)));
                    rows.push(row);
                }
            }
        }
        TableFunction::User(function) => rows = module::call_table(execution, function, values)?,
        TableFunction::OpenJson(function) => rows = function.rows(&values)?,
        TableFunction::GenerateSeries(sql_type) => {
            let number = |at: usize| values.get(at).and_then(Value::as_integer);
            let (from, to) = (number(0), number(1));
            let step = number(2).unwrap_or(if from <= to { 1 } else { -1 });
            if let (Some(mut at), Some(to)) = (from, to) {
                while step != 0 && ((step > 0 && at <= to) || (step < 0 && at >= to)) {
                    rows.push(vec![crate::value::convert::integer(i128::from(at), *sql_type).unwrap_or(Value::Null)]);
                    at += step;
                }
            }
        }
    }
    Ok(rows)
}

fn recursive(
    execution: &mut Execution<'_>,
    table: usize,
    steps_max: u32,
    anchor: &Query,
    step: &Query,
    frame: &Frame,
    outer: Option<&Scope<'_>>,
) -> SqlResult<Vec<Row>> {
    let scope = Scope { row: &frame.rows, outer };
    let collect = |execution: &mut Execution<'_>, plan: &Query| -> SqlResult<Vec<Row>> {
        Ok(super::collect(execution, plan, Some(&scope))?.into_iter().map(Row::from).collect())
    };
    let mut last = collect(execution, anchor)?;
    let mut all = last.clone();
    let mut steps = 0_u32;
    while !last.is_empty() {
        steps += 1;
        if steps_max > 0 && steps > steps_max {
            let text = format!(
                "The statement terminated. The maximum recursion {steps_max} has been exhausted before statement completion."
            );
            return Err(crate::error::SqlError::new(530, 16, text));
        }
        if execution.working.len() <= table {
            execution.working.resize(table + 1, Arc::default());
        }
        if let Some(place) = execution.working.get_mut(table) {
            *place = Arc::new(last);
        }
        last = collect(execution, step)?;
        all.extend(last.iter().cloned());
    }
    Ok(all)
}
