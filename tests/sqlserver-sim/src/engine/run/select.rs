//! SELECT: from the sources' rows to the result.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Row, RowId};
use crate::value::{SqlType, Value, convert};

use super::super::evaluate::Scope;
use super::super::expression::Predicate;
use super::super::plan::{OrderValue, Query, Select, Top};
use super::super::session::Flow;
use super::super::state::Execution;
use super::{Frame, Rows, group, source, window};

pub fn select(
    execution: &mut Execution<'_>,
    plan: &Select,
    outer: Option<&Scope<'_>>,
    sink: &mut Rows<'_>,
) -> SqlResult<Flow> {
    let top = match &plan.top {
        Some(top) => Some(TopRows::new(execution, top, outer)?),
        None => None,
    };
    if let Some(TopRows { count: 0, percent: None, .. }) = top {
        return Ok(Flow::Continue);
    }
    let mut seen = HashSet::new();
    let sorted = !plan.order.is_empty() && !plan.ordered;
    if !sorted && !top.as_ref().is_some_and(|top| top.percent.is_some() || top.ties) {
        let mut given = 0_u64;
        let limit = top.as_ref().map(|top| top.count);
        let mut flow = Flow::Continue;
        frames(execution, plan, outer, &mut |execution, scope_row| {
            let row = output(execution, plan, scope_row, outer)?;
            if plan.distinct && !seen.insert(row.clone()) {
                return Ok(Flow::Continue);
            }
            given += 1;
            flow = sink(execution, row)?;
            Ok(if flow == Flow::Stop || limit.is_some_and(|limit| given >= limit) {
                Flow::Stop
            } else {
                Flow::Continue
            })
        })?;
        return Ok(flow);
    }
    let mut rows: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    frames(execution, plan, outer, &mut |execution, scope_row| {
        let row = output(execution, plan, scope_row, outer)?;
        if plan.distinct && !seen.insert(row.clone()) {
            return Ok(Flow::Continue);
        }
        let scope = Scope { row: scope_row, outer };
        let mut key = Vec::with_capacity(plan.order.len());
        for part in &plan.order {
            key.push(match &part.value {
                OrderValue::Output(column) => row.get(*column).cloned().unwrap_or(Value::Null),
                OrderValue::Expression(expression) => expression.evaluate(execution, &scope)?,
            });
        }
        rows.push((key, row));
        Ok(Flow::Continue)
    })?;
    if !plan.ordered {
        rows.sort_by(|(a, _), (b, _)| by_keys(plan, a, b));
    }
    let mut count = rows.len();
    if let Some(top) = &top {
        count = top.of(rows.len());
        if top.ties && count > 0 {
            let last = rows.get(count - 1).map(|(key, _)| key.clone()).unwrap_or_default();
            while rows.get(count).is_some_and(|(key, _)| by_keys(plan, key, &last) == Ordering::Equal) {
                count += 1;
            }
        }
    }
    for (_, row) in rows.into_iter().take(count) {
        if sink(execution, row)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::Continue)
}

fn by_keys(plan: &Select, a: &[Value], b: &[Value]) -> Ordering {
    for ((a, b), part) in a.iter().zip(b).zip(&plan.order) {
        let order = if part.descending { b.order(a) } else { a.order(b) };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// How many rows TOP lets through.
struct TopRows {
    count: u64,
    percent: Option<f64>,
    ties: bool,
}

impl TopRows {
    fn new(execution: &mut Execution<'_>, top: &Top, outer: Option<&Scope<'_>>) -> SqlResult<Self> {
        let value = top.quantity.evaluate(execution, &Scope { row: &[], outer })?;
        let refused = || {
            SqlError::new(
                1060,
                15,
                "The number of rows provided for a TOP or FETCH clauses row count parameter must be an integer.",
            )
        };
        if value.is_null() {
            return Err(refused());
        }
        if top.percent {
            let Value::Float(percent) = convert::convert(&value, top.quantity.sql_type, SqlType::Float, None)? else {
                return Err(refused());
            };
            if !(0.0..=100.0).contains(&percent) {
                return Err(SqlError::new(1031, 15, "Percent values must be between 0 and 100."));
            }
            return Ok(Self { count: 0, percent: Some(percent), ties: top.ties });
        }
        let Value::BigInt(count) = convert::convert(&value, top.quantity.sql_type, SqlType::BigInt, None)? else {
            return Err(refused());
        };
        let count = u64::try_from(count)
            .map_err(|_| SqlError::new(127, 15, "A TOP N or FETCH rowcount value may not be negative."))?;
        Ok(Self { count, percent: None, ties: top.ties })
    }

    fn of(&self, rows: usize) -> usize {
        match self.percent {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count in memory"
            )]
            Some(percent) => ((rows as f64 * percent / 100.0).ceil() as usize).min(rows),
            None => usize::try_from(self.count).unwrap_or(usize::MAX).min(rows),
        }
    }
}

fn output(
    execution: &mut Execution<'_>,
    plan: &Select,
    row: &[Row],
    outer: Option<&Scope<'_>>,
) -> SqlResult<Vec<Value>> {
    let scope = Scope { row, outer };
    let mut values = Vec::with_capacity(plan.output.len());
    for expression in &plan.output {
        values.push(expression.evaluate(execution, &scope)?);
    }
    // Assignments see each other's, from left to right, so each is made at once.
    if let Some(variables) = &plan.assignments {
        for (slot, expression) in variables.iter().zip(&plan.output) {
            let value = expression.evaluate(execution, &scope)?;
            execution.variables.set(*slot, value);
        }
    }
    Ok(values)
}

/// The rows that the outputs are computed from: the sources', or one for each group, with the windows' values.
fn frames(
    execution: &mut Execution<'_>,
    plan: &Select,
    outer: Option<&Scope<'_>>,
    sink: &mut dyn FnMut(&mut Execution<'_>, &[Row]) -> SqlResult<Flow>,
) -> SqlResult<Flow> {
    if !plan.windows.is_empty() {
        let mut rows: Vec<Vec<Row>> = Vec::new();
        grouped(execution, plan, outer, &mut |_, row| {
            rows.push(row.to_vec());
            Ok(Flow::Continue)
        })?;
        for row in window::with_values(execution, &plan.windows, rows, outer)? {
            if sink(execution, &row)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        return Ok(Flow::Continue);
    }
    grouped(execution, plan, outer, sink)
}

fn grouped(
    execution: &mut Execution<'_>,
    plan: &Select,
    outer: Option<&Scope<'_>>,
    sink: &mut dyn FnMut(&mut Execution<'_>, &[Row]) -> SqlResult<Flow>,
) -> SqlResult<Flow> {
    let Some(grouping) = &plan.grouping else {
        let mut frame = Frame::new(plan.width);
        return source::scan(execution, &plan.source, &mut frame, outer, &mut |execution, frame| {
            if holds(execution, &plan.filter, &frame.rows, outer)? {
                sink(execution, &frame.rows)
            } else {
                Ok(Flow::Continue)
            }
        });
    };
    let rows = group::rows(execution, plan, grouping, outer)?;
    for row in rows {
        let row = [row];
        if let Some(having) = &plan.having
            && !having.holds(execution, &Scope { row: &row, outer })?
        {
            continue;
        }
        if sink(execution, &row)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::Continue)
}

pub fn holds(
    execution: &mut Execution<'_>,
    filter: &[Predicate],
    row: &[Row],
    outer: Option<&Scope<'_>>,
) -> SqlResult<bool> {
    let scope = Scope { row, outer };
    for part in filter {
        if !part.holds(execution, &scope)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A row that an UPDATE or DELETE is to change, and the sources' rows that it was found with.
pub type TargetRow = (RowId, Vec<Row>);

/// Where the source is whose rows are to be changed, and where its rows have the table's numbers, if it isn't the table
/// itself.
#[derive(Clone, Copy, Debug)]
pub struct TargetPlace {
    pub slot: usize,
    pub id_at: Option<usize>,
}

impl TargetPlace {
    /// The number of the table's row; None for the NULLs of an outer join.
    fn id(self, frame: &Frame) -> Option<RowId> {
        let Some(at) = self.id_at else { return frame.ids.get(self.slot).copied().flatten() };
        let number = frame.rows.get(self.slot)?.get(at)?.as_integer()?;
        u64::try_from(number).ok().map(RowId)
    }
}

/// The rows of one source of a query that its conditions let through, each once, with the row found first for it.
pub fn target_rows(execution: &mut Execution<'_>, plan: &Query, place: TargetPlace) -> SqlResult<Vec<TargetRow>> {
    let super::super::plan::Body::Select(plan) = &plan.body else {
        return Err(SqlError::unsupported("set operations as the rows of an UPDATE or DELETE"));
    };
    if plan.grouping.is_some() || plan.distinct {
        return Err(SqlError::unsupported("grouped rows as the rows of an UPDATE or DELETE"));
    }
    let limit = match &plan.top {
        Some(top) => Some(TopRows::new(execution, top, None)?),
        None => None,
    };
    if limit.as_ref().is_some_and(|top| top.percent.is_some()) {
        return Err(SqlError::unsupported("TOP … PERCENT in UPDATE and DELETE"));
    }
    let count = limit.map_or(u64::MAX, |top| top.count);
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut frame = Frame::new(plan.width);
    if count == 0 {
        return Ok(found);
    }
    source::scan(execution, &plan.source, &mut frame, None, &mut |execution, frame| {
        let Some(id) = place.id(frame) else { return Ok(Flow::Continue) };
        if !holds(execution, &plan.filter, &frame.rows, None)? || !seen.insert(id) {
            return Ok(Flow::Continue);
        }
        found.push((id, frame.rows.clone()));
        Ok(if u64::try_from(found.len()).is_ok_and(|found| found >= count) { Flow::Stop } else { Flow::Continue })
    })?;
    Ok(found)
}
