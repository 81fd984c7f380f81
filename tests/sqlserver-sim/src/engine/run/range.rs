//! Which range of an index the conditions of a query leave.

use std::ops::Bound;

use crate::error::SqlResult;
use crate::storage::KeyRange;
use crate::value::{SqlType, Value};

use super::super::evaluate::{Scope, comparable};
use super::super::expression::{Comparison, Expression, Predicate};
use super::super::plan::TableSource;
use super::super::state::Execution;
use super::Frame;

/// The range that the access describes; None where no row can be in it.
pub fn key_range(
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
pub fn fitted(value: &Value, from: SqlType, to: SqlType) -> Option<Value> {
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
