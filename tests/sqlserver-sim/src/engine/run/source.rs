//! What stands in FROM: tables, views of the catalog, subqueries, functions, and their joins.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::error::SqlResult;
use crate::storage::{KeyRange, LockDuration, LockMode, ReadCursor, ReadRequest, Row, RowId, Visibility};
use crate::value::{SqlType, Value};

use super::super::evaluate::{Scope, comparable};
use super::super::expression::{Comparison, Expression, Predicate};
use super::super::plan::{Join, JoinKind, Query, RelationSource, Source, TableFunction, TableSource};
use super::super::relation::Wanted;
use super::super::session::Flow;
use super::super::state::Execution;
use super::super::system;
use super::{Frame, Frames, ROWS_BETWEEN_LOOKS, query};

/// Rows that are read from a table at a time: few at first, as many queries want the first row alone.
const BATCH_ROWS_FIRST: usize = 16;
const BATCH_ROWS_MAX: usize = 1024;

/// A limit for recursive common table expressions, as the server has one.
const RECURSION_MAX: usize = 100;

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
        Source::Recursive { slot, table, anchor, step, filter } => {
            let rows = recursive(execution, *table, anchor, step, frame, outer)?;
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

fn passes(
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
        let mode = if source.hints.exclusive { LockMode::Exclusive } else { LockMode::Shared };
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
            let row = whole_row(execution, source, row)?;
            frame.put(source.slot, row, Some(id));
            if passes(execution, &source.filter, frame, outer)? && sink(execution, frame)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        if !more {
            return Ok(Flow::Continue);
        }
        batch = (batch * 4).min(BATCH_ROWS_MAX);
    }
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

/// The range that the access describes; None where no row can be in it.
fn key_range(
    execution: &mut Execution<'_>,
    source: &TableSource,
    frame: &Frame,
    outer: Option<&Scope<'_>>,
) -> SqlResult<Option<KeyRange>> {
    let Some(index) = source.access.index.and_then(|id| source.table.index(id)) else { return Ok(Some(KeyRange::ALL)) };
    let scope = Scope { row: &frame.rows, outer };
    let mut prefix = Vec::with_capacity(source.access.equal.len() + 1);
    for (expression, key) in source.access.equal.iter().zip(&index.key) {
        let value = expression.evaluate(execution, &scope)?;
        let Some(column) = source.table.column(key.column_id) else { return Ok(Some(KeyRange::ALL)) };
        if value.is_null() {
            return Ok(None);
        }
        match fitted(&value, expression.sql_type, column.sql_type) {
            Some(value) => prefix.push(value),
            // No value of the column's type is equal to it.
            None => return Ok(None),
        }
    }
    let range = match &source.access.bounds {
        Some((column, predicates)) => {
            let mut range = Range::ALL;
            for predicate in predicates {
                range = range.and(implied(execution, predicate, *column, &scope)?);
            }
            range
        }
        None => Range::ALL,
    };
    let next = index.key.get(prefix.len());
    let sql_type = next.and_then(|key| source.table.column(key.column_id)).map(|column| column.sql_type);
    let Some((key, sql_type)) = next.zip(sql_type) else { return Ok(Some(prefix_range(prefix))) };
    let Some((low, high)) = range.fitted(sql_type) else { return Ok(Some(prefix_range(prefix))) };
    // In the index's own order, a descending column's high values come first.
    let (low, high) = if key.descending { (high, low) } else { (low, high) };
    let whole = |bound: Bound<Value>| match bound {
        Bound::Unbounded if prefix.is_empty() => Bound::Unbounded,
        Bound::Unbounded => Bound::Included(prefix.clone()),
        Bound::Included(value) => Bound::Included([prefix.as_slice(), &[value]].concat()),
        Bound::Excluded(value) => Bound::Excluded([prefix.as_slice(), &[value]].concat()),
    };
    Ok(Some(KeyRange { low: whole(low), high: whole(high) }))
}

fn prefix_range(prefix: Vec<Value>) -> KeyRange {
    if prefix.is_empty() { KeyRange::ALL } else { KeyRange::prefix(prefix) }
}

/// The value in the column's type, if that has one that is equal.
fn fitted(value: &Value, from: SqlType, to: SqlType) -> Option<Value> {
    if !comparable(from, to) {
        return None;
    }
    if from.is_character() || from.family() == crate::value::sql_type::Family::Binary {
        return Some(value.clone());
    }
    let converted = crate::value::convert::convert(value, from, to, None).ok()?;
    (converted == *value).then_some(converted)
}

/// What a condition says of one column's values. Unknown conditions say nothing.
struct Range {
    low: Bound<(Value, SqlType)>,
    high: Bound<(Value, SqlType)>,
}

impl Range {
    const ALL: Self = Self { low: Bound::Unbounded, high: Bound::Unbounded };

    fn and(self, other: Self) -> Self {
        Self { low: tighter(self.low, other.low, true), high: tighter(self.high, other.high, false) }
    }

    fn or(self, other: Self) -> Self {
        Self { low: looser(self.low, other.low, true), high: looser(self.high, other.high, false) }
    }

    /// Bounds in the column's type; None where they can't be said in it.
    fn fitted(self, to: SqlType) -> Option<(Bound<Value>, Bound<Value>)> {
        let bound = |bound: Bound<(Value, SqlType)>| {
            Some(match bound {
                Bound::Unbounded => Bound::Unbounded,
                Bound::Included((value, from)) => Bound::Included(fitted(&value, from, to)?),
                Bound::Excluded((value, from)) => Bound::Excluded(fitted(&value, from, to)?),
            })
        };
        Some((bound(self.low)?, bound(self.high)?))
    }
}

fn order_of(a: &Bound<(Value, SqlType)>, b: &Bound<(Value, SqlType)>) -> Option<std::cmp::Ordering> {
    let value = |bound: &Bound<(Value, SqlType)>| match bound {
        Bound::Included((value, _)) | Bound::Excluded((value, _)) => Some(value.clone()),
        Bound::Unbounded => None,
    };
    Some(value(a)?.order(&value(b)?))
}

fn tighter(a: Bound<(Value, SqlType)>, b: Bound<(Value, SqlType)>, low: bool) -> Bound<(Value, SqlType)> {
    match order_of(&a, &b) {
        None => {
            if matches!(a, Bound::Unbounded) {
                b
            } else {
                a
            }
        }
        Some(std::cmp::Ordering::Equal) => {
            if matches!(a, Bound::Excluded(_)) {
                a
            } else {
                b
            }
        }
        Some(order) => {
            if order.is_gt() == low {
                a
            } else {
                b
            }
        }
    }
}

fn looser(a: Bound<(Value, SqlType)>, b: Bound<(Value, SqlType)>, low: bool) -> Bound<(Value, SqlType)> {
    match order_of(&a, &b) {
        None => Bound::Unbounded,
        Some(std::cmp::Ordering::Equal) => {
            if matches!(a, Bound::Included(_)) {
                a
            } else {
                b
            }
        }
        Some(order) => {
            if order.is_lt() == low {
                a
            } else {
                b
            }
        }
    }
}

/// What a condition implies for a column. `a > 1 OR (a = 1 AND b > 2)` implies `a >= 1`: that is how pages are asked
/// for by key.
fn implied(
    execution: &mut Execution<'_>,
    predicate: &Predicate,
    column: super::super::expression::ColumnRef,
    scope: &Scope<'_>,
) -> SqlResult<Range> {
    match predicate {
        Predicate::And(parts) => {
            let mut range = Range::ALL;
            for part in parts {
                range = range.and(implied(execution, part, column, scope)?);
            }
            Ok(range)
        }
        Predicate::Or(parts) => {
            let mut range: Option<Range> = None;
            for part in parts {
                let other = implied(execution, part, column, scope)?;
                range = Some(match range {
                    Some(range) => range.or(other),
                    None => other,
                });
            }
            Ok(range.unwrap_or(Range::ALL))
        }
        Predicate::Compare { comparison, left, right } => {
            let (comparison, other) = if left.as_column() == Some(column) && !looks_at(right, column.source) {
                (*comparison, right)
            } else if right.as_column() == Some(column) && !looks_at(left, column.source) {
                (comparison.turned(), left)
            } else {
                return Ok(Range::ALL);
            };
            bounds_of(execution, comparison, other, scope)
        }
        _ => Ok(Range::ALL),
    }
}

fn bounds_of(
    execution: &mut Execution<'_>,
    comparison: Comparison,
    other: &Expression,
    scope: &Scope<'_>,
) -> SqlResult<Range> {
    // An error here comes again where the condition itself is tested, if a row gets there.
    let Ok(value) = other.evaluate(execution, scope) else { return Ok(Range::ALL) };
    if value.is_null() {
        return Ok(Range::ALL);
    }
    let value = (value, other.sql_type);
    Ok(match comparison {
        Comparison::Equal => Range { low: Bound::Included(value.clone()), high: Bound::Included(value) },
        Comparison::Less => Range { low: Bound::Unbounded, high: Bound::Excluded(value) },
        Comparison::LessOrEqual => Range { low: Bound::Unbounded, high: Bound::Included(value) },
        Comparison::Greater => Range { low: Bound::Excluded(value), high: Bound::Unbounded },
        Comparison::GreaterOrEqual => Range { low: Bound::Included(value), high: Bound::Unbounded },
        Comparison::NotEqual => Range::ALL,
    })
}

/// Whether an expression looks at a source of this query, or at one that comes later.
pub fn looks_at(expression: &Expression, source: usize) -> bool {
    let mut found = false;
    expression.columns(&mut |column| found |= column.depth == 0 && column.source >= source);
    found
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
        TableFunction::SplitString => {
            if let (Some(text), Some(separator)) =
                (values.first().and_then(Value::as_text), values.get(1).and_then(Value::as_text))
            {
                rows.extend(text.split(separator).map(|part| vec![Value::text(part)]));
            }
        }
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
    let mut steps = 0;
    while !last.is_empty() {
        steps += 1;
        if steps > RECURSION_MAX {
            let text =
                "The statement terminated. The maximum recursion 100 has been exhausted before statement completion.";
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

// Joins

/// The right side's rows: one row a slot, with their numbers.
type Parts = Vec<(Row, Option<RowId>)>;

fn scan_join(
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
        if !found && matches!(join.kind, JoinKind::Left | JoinKind::Full) {
            put_nulls(frame, &join.right_slots, &join.right_widths);
            return sink(execution, frame);
        }
        Ok(Flow::Continue)
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
        if !found && join.kind == JoinKind::Left {
            put_nulls(frame, &join.right_slots, &join.right_widths);
            return sink(execution, frame);
        }
        Ok(Flow::Continue)
    })
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
            let scope = Scope { row: &frame.rows, outer };
            let mut key = Vec::with_capacity(join.keys.len());
            for (_, expression) in &join.keys {
                key.push(expression.evaluate(execution, &scope)?);
            }
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
                let scope = Scope { row: &frame.rows, outer };
                let mut key = Vec::with_capacity(join.keys.len());
                for (expression, _) in &join.keys {
                    key.push(expression.evaluate(execution, &scope)?);
                }
                Ok(map.get(&key).cloned().unwrap_or_default())
            }
        }
    }
}
