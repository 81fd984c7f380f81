//! Runs plans. Rows are pushed: whoever wants them gives a function that takes each, and says whether it wants more.

mod group;
mod join;
mod range;
mod select;
mod source;
mod window;

use std::collections::HashSet;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Row, RowId};
use crate::value::Value;

use super::evaluate::Scope;
use super::plan::{Body, Query, SetOperation};
use super::session::Flow;
use super::state::Execution;

pub use group::result_type as aggregate_type;
pub use select::{TargetPlace, TargetRow, target_rows};
pub use source::whole_row;

/// Takes a row of a result.
pub type Rows<'a> = dyn FnMut(&mut Execution<'_>, Vec<Value>) -> SqlResult<Flow> + 'a;

/// The sources' rows as they are put together, with the rows' numbers where they come from tables.
#[derive(Clone, Debug)]
pub struct Frame {
    pub rows: Vec<Row>,
    pub ids: Vec<Option<RowId>>,
}

impl Frame {
    pub fn new(width: usize) -> Self {
        let empty: Row = Row::from(Vec::new());
        Self { rows: vec![empty; width], ids: vec![None; width] }
    }

    fn put(&mut self, slot: usize, row: Row, id: Option<RowId>) {
        if let Some(place) = self.rows.get_mut(slot) {
            *place = row;
        }
        if let Some(place) = self.ids.get_mut(slot) {
            *place = id;
        }
    }
}

/// Takes the sources' rows of a query.
type Frames<'a> = dyn FnMut(&mut Execution<'_>, &mut Frame) -> SqlResult<Flow> + 'a;

/// How many rows pass between two looks at whether the request was cancelled.
const ROWS_BETWEEN_LOOKS: u32 = 256;

/// Runs a query.
pub fn query(
    execution: &mut Execution<'_>,
    query: &Query,
    outer: Option<&Scope<'_>>,
    sink: &mut Rows<'_>,
) -> SqlResult<Flow> {
    let scope = Scope { row: &[], outer };
    let offset = limit(execution, query.offset.as_ref(), &scope)?.unwrap_or(0);
    let fetch = limit(execution, query.fetch.as_ref(), &scope)?;
    if offset == 0 && fetch.is_none() {
        return body(execution, query, outer, sink);
    }
    let (mut skipped, mut given) = (0_u64, 0_u64);
    let mut stopped = Flow::Continue;
    body(execution, query, outer, &mut |execution, row| {
        if skipped < offset {
            skipped += 1;
            return Ok(Flow::Continue);
        }
        if fetch.is_some_and(|fetch| given >= fetch) {
            return Ok(Flow::Stop);
        }
        given += 1;
        stopped = sink(execution, row)?;
        if stopped == Flow::Stop || fetch.is_some_and(|fetch| given >= fetch) {
            Ok(Flow::Stop)
        } else {
            Ok(Flow::Continue)
        }
    })?;
    Ok(stopped)
}

fn limit(
    execution: &mut Execution<'_>,
    expression: Option<&super::expression::Expression>,
    scope: &Scope<'_>,
) -> SqlResult<Option<u64>> {
    let Some(expression) = expression else { return Ok(None) };
    let value = expression.evaluate(execution, scope)?;
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
    number.map(Some).ok_or_else(|| {
        SqlError::new(10_742, 15, "The offset specified in a OFFSET clause may not be negative, and the number of rows in a FETCH clause must be greater than zero.")
    })
}

fn body(
    execution: &mut Execution<'_>,
    query: &Query,
    outer: Option<&Scope<'_>>,
    sink: &mut Rows<'_>,
) -> SqlResult<Flow> {
    if query.order.is_empty() {
        return unordered(execution, query, outer, sink);
    }
    let mut rows = Vec::new();
    unordered(execution, query, outer, &mut |_, row| {
        rows.push(row);
        Ok(Flow::Continue)
    })?;
    rows.sort_by(|a, b| {
        for (column, descending) in &query.order {
            let (a, b) = (a.get(*column).unwrap_or(&Value::Null), b.get(*column).unwrap_or(&Value::Null));
            let order = if *descending { b.order(a) } else { a.order(b) };
            if order.is_ne() {
                return order;
            }
        }
        std::cmp::Ordering::Equal
    });
    give_all(execution, rows, sink)
}

fn give_all(execution: &mut Execution<'_>, rows: Vec<Vec<Value>>, sink: &mut Rows<'_>) -> SqlResult<Flow> {
    for row in rows {
        if sink(execution, row)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::Continue)
}

fn unordered(
    execution: &mut Execution<'_>,
    query: &Query,
    outer: Option<&Scope<'_>>,
    sink: &mut Rows<'_>,
) -> SqlResult<Flow> {
    match &query.body {
        Body::Select(plan) => select::select(execution, plan, outer, sink),
        Body::Values(rows) => {
            let scope = Scope { row: &[], outer };
            for row in rows {
                let mut values = Vec::with_capacity(row.len());
                for value in row {
                    values.push(value.evaluate(execution, &scope)?);
                }
                if sink(execution, values)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            Ok(Flow::Continue)
        }
        Body::Formed { query, form, columns } => {
            let rows = collect(execution, query, outer)?;
            match form.write(columns, &rows)? {
                Some(text) => sink(execution, vec![Value::text(&text)]),
                None => Ok(Flow::Continue),
            }
        }
        Body::UnionAll(parts) => {
            for part in parts {
                if self::query(execution, part, outer, sink)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            Ok(Flow::Continue)
        }
        Body::Set { operation, left, right } => set_operation(execution, *operation, left, right, outer, sink),
    }
}

fn collect(execution: &mut Execution<'_>, plan: &Query, outer: Option<&Scope<'_>>) -> SqlResult<Vec<Vec<Value>>> {
    let mut rows = Vec::new();
    query(execution, plan, outer, &mut |_, row| {
        rows.push(row);
        Ok(Flow::Continue)
    })?;
    Ok(rows)
}

fn set_operation(
    execution: &mut Execution<'_>,
    operation: SetOperation,
    left: &Query,
    right: &Query,
    outer: Option<&Scope<'_>>,
    sink: &mut Rows<'_>,
) -> SqlResult<Flow> {
    match operation {
        SetOperation::Union => {
            let mut seen = HashSet::new();
            for side in [left, right] {
                let flow = query(execution, side, outer, &mut |execution, row| {
                    if seen.insert(row.clone()) { sink(execution, row) } else { Ok(Flow::Continue) }
                })?;
                if flow == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            Ok(Flow::Continue)
        }
        SetOperation::Except | SetOperation::Intersect => {
            let others: HashSet<Vec<Value>> = collect(execution, right, outer)?.into_iter().collect();
            let mut seen = HashSet::new();
            let wanted = operation == SetOperation::Intersect;
            query(execution, left, outer, &mut |execution, row| {
                if others.contains(&row) == wanted && seen.insert(row.clone()) {
                    sink(execution, row)
                } else {
                    Ok(Flow::Continue)
                }
            })
        }
    }
}
