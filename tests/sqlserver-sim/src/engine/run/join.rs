//! Joins.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::SqlResult;
use crate::storage::{Row, RowId};
use crate::value::Value;

use super::super::evaluate::Scope;
use super::super::expression::Expression;
use super::super::plan::{Join, JoinKind};
use super::super::session::Flow;
use super::super::state::Execution;
use super::source::{passes, scan};
use super::{Frame, Frames, ROWS_BETWEEN_LOOKS};

/// The right side's rows: one row a slot, with their numbers.
type Parts = Vec<(Row, Option<RowId>)>;

pub fn scan_join(
    execution: &mut Execution<'_>,
    join: &Join,
    frame: &mut Frame,
    outer: Option<&Scope<'_>>,
    sink: &mut Frames<'_>,
) -> SqlResult<Flow> {
    if join.dependent {
        return dependent_join(execution, join, frame, outer, sink);
    }
    let right = right_rows(execution, join, frame, outer)?;
    let lookup = Lookup::new(execution, join, &right, frame, outer)?;
    let mut matched = vec![false; if matches!(join.kind, JoinKind::Right | JoinKind::Full) { right.len() } else { 0 }];
    let mut passed = 0_u32;
    let flow = scan(execution, &join.left, frame, outer, &mut |execution, frame| {
        passed += 1;
        if passed.is_multiple_of(ROWS_BETWEEN_LOOKS) {
            execution.state.check_cancelled()?;
        }
        let mut found = false;
        for at in lookup.candidates(execution, join, frame, outer)? {
            let Some(parts) = right.get(at) else { continue };
            put_parts(frame, &join.right_slots, parts);
            if !passes(execution, &join.on, frame, outer)? {
                continue;
            }
            found = true;
            if let Some(matched) = matched.get_mut(at) {
                *matched = true;
            }
            if sink(execution, frame)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        if found { Ok(Flow::Continue) } else { unmatched(execution, join, frame, sink) }
    })?;
    if flow == Flow::Stop {
        return Ok(Flow::Stop);
    }
    for (parts, matched) in right.iter().zip(matched) {
        if !matched {
            put_nulls(frame, &join.left_slots, &join.left_widths);
            put_parts(frame, &join.right_slots, parts);
            if sink(execution, frame)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
    }
    Ok(Flow::Continue)
}

/// The right side runs for each row of the left: APPLY, or an index lookup.
fn dependent_join(
    execution: &mut Execution<'_>,
    join: &Join,
    frame: &mut Frame,
    outer: Option<&Scope<'_>>,
    sink: &mut Frames<'_>,
) -> SqlResult<Flow> {
    scan(execution, &join.left, frame, outer, &mut |execution, frame| {
        let mut found = false;
        let flow = scan(execution, &join.right, frame, outer, &mut |execution, frame| {
            if !passes(execution, &join.on, frame, outer)? {
                return Ok(Flow::Continue);
            }
            found = true;
            sink(execution, frame)
        })?;
        if flow == Flow::Stop {
            return Ok(Flow::Stop);
        }
        if found { Ok(Flow::Continue) } else { unmatched(execution, join, frame, sink) }
    })
}

/// A row of the left to which the right has none.
fn unmatched(execution: &mut Execution<'_>, join: &Join, frame: &mut Frame, sink: &mut Frames<'_>) -> SqlResult<Flow> {
    if !matches!(join.kind, JoinKind::Left | JoinKind::Full) {
        return Ok(Flow::Continue);
    }
    put_nulls(frame, &join.right_slots, &join.right_widths);
    sink(execution, frame)
}

fn right_rows(
    execution: &mut Execution<'_>,
    join: &Join,
    frame: &mut Frame,
    outer: Option<&Scope<'_>>,
) -> SqlResult<Vec<Parts>> {
    let mut rows = Vec::new();
    scan(execution, &join.right, frame, outer, &mut |_, frame| {
        let part = |slot: &usize| {
            let row = frame.rows.get(*slot).cloned().unwrap_or_else(|| Row::from(Vec::new()));
            (row, frame.ids.get(*slot).copied().flatten())
        };
        rows.push(join.right_slots.iter().map(part).collect());
        Ok(Flow::Continue)
    })?;
    Ok(rows)
}

fn put_parts(frame: &mut Frame, slots: &[usize], parts: &Parts) {
    for (slot, (row, id)) in slots.iter().zip(parts) {
        frame.put(*slot, Arc::clone(row), *id);
    }
}

fn put_nulls(frame: &mut Frame, slots: &[usize], widths: &[usize]) {
    for (slot, width) in slots.iter().zip(widths) {
        frame.put(*slot, Row::from(vec![Value::Null; *width]), None);
    }
}

/// What a side of the join's equalities is for the rows at hand.
fn values<'e>(
    execution: &mut Execution<'_>,
    side: impl Iterator<Item = &'e Expression>,
    frame: &Frame,
    outer: Option<&Scope<'_>>,
) -> SqlResult<Vec<Value>> {
    let scope = Scope { row: &frame.rows, outer };
    side.map(|expression| expression.evaluate(execution, &scope)).collect()
}

/// Right rows by the values of the join's equalities; all of them where it has none.
enum Lookup {
    All(usize),
    ByKey(HashMap<Vec<Value>, Vec<usize>>),
}

impl Lookup {
    fn new(
        execution: &mut Execution<'_>,
        join: &Join,
        right: &[Parts],
        frame: &mut Frame,
        outer: Option<&Scope<'_>>,
    ) -> SqlResult<Self> {
        if join.keys.is_empty() {
            return Ok(Self::All(right.len()));
        }
        let mut map: HashMap<Vec<Value>, Vec<usize>> = HashMap::with_capacity(right.len());
        for (at, parts) in right.iter().enumerate() {
            put_parts(frame, &join.right_slots, parts);
            let key = values(execution, join.keys.iter().map(|(_, right)| right), frame, outer)?;
            // NULL is equal to nothing.
            if !key.iter().any(Value::is_null) {
                map.entry(key).or_default().push(at);
            }
        }
        Ok(Self::ByKey(map))
    }

    fn candidates(
        &self,
        execution: &mut Execution<'_>,
        join: &Join,
        frame: &Frame,
        outer: Option<&Scope<'_>>,
    ) -> SqlResult<Vec<usize>> {
        match self {
            Self::All(count) => Ok((0..*count).collect()),
            Self::ByKey(map) => {
                let key = values(execution, join.keys.iter().map(|(left, _)| left), frame, outer)?;
                Ok(map.get(&key).cloned().unwrap_or_default())
            }
        }
    }
}
