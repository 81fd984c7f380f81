//! Groups and aggregates.

use std::collections::{HashMap, HashSet};

use crate::error::{SqlError, SqlResult};
use crate::storage::Row;
use crate::value::arithmetic::{self, Operator};
use crate::value::{SqlType, Value, convert};

use super::super::evaluate::Scope;
use super::super::plan::{Aggregate, AggregateKind, Grouping, Select, Source};
use super::super::session::Flow;
use super::super::state::Execution;
use super::{Frame, select, source};

/// One row for each group: its keys, then its aggregates. Without keys there is one group, empty or not.
pub fn rows(
    execution: &mut Execution<'_>,
    plan: &Select,
    grouping: &Grouping,
    outer: Option<&Scope<'_>>,
) -> SqlResult<Vec<Row>> {
    let mut groups: HashMap<Vec<Value>, usize> = HashMap::new();
    let mut found: Vec<(Vec<Value>, Vec<Accumulator>)> = Vec::new();
    let fresh = || grouping.aggregates.iter().map(Accumulator::new).collect::<Vec<_>>();
    if grouping.keys.is_empty() {
        found.push((Vec::new(), fresh()));
    }
    let first_decides = first_row_decides(plan, grouping);
    let mut frame = Frame::new(plan.width);
    source::scan(execution, &plan.source, &mut frame, outer, &mut |execution, frame| {
        if !select::holds(execution, &plan.filter, &frame.rows, outer)? {
            return Ok(Flow::Continue);
        }
        let scope = Scope { row: &frame.rows, outer };
        let mut key = Vec::with_capacity(grouping.keys.len());
        for expression in &grouping.keys {
            key.push(expression.evaluate(execution, &scope)?);
        }
        let at = if grouping.keys.is_empty() {
            0
        } else {
            *groups.entry(key).or_insert_with_key(|key| {
                found.push((key.clone(), fresh()));
                found.len() - 1
            })
        };
        let Some((_, accumulators)) = found.get_mut(at) else { return Ok(Flow::Continue) };
        let mut decided = first_decides;
        for (aggregate, accumulator) in grouping.aggregates.iter().zip(accumulators) {
            accumulator.add(execution, aggregate, &scope)?;
            decided &= accumulator.best.is_some();
        }
        Ok(if decided { Flow::Stop } else { Flow::Continue })
    })?;
    let mut rows = Vec::with_capacity(found.len());
    for (mut row, accumulators) in found {
        for (aggregate, accumulator) in grouping.aggregates.iter().zip(accumulators) {
            row.push(accumulator.finish(aggregate)?);
        }
        rows.push(Row::from(row));
    }
    Ok(rows)
}

/// Whether the first value found is the only one that matters: MIN or MAX of the column by which an index gives its rows,
/// from that end.
fn first_row_decides(plan: &Select, grouping: &Grouping) -> bool {
    let (Source::Table(table), [aggregate], true) =
        (&plan.source, grouping.aggregates.as_slice(), grouping.keys.is_empty())
    else {
        return false;
    };
    let Some(index) = table.access.index.and_then(|id| table.table.index(id)) else { return false };
    let Some(key) = index.key.get(table.access.equal.len()) else { return false };
    let column = aggregate.value.as_ref().and_then(super::super::expression::Expression::as_column);
    let of_key = column.is_some_and(|column| {
        column.depth == 0
            && column.source == table.slot
            && table.table.column(key.column_id).and_then(crate::storage::Column::slot) == Some(column.column)
    });
    let from_high_end = table.access.descending != key.descending;
    match aggregate.kind {
        AggregateKind::Minimum => of_key && !from_high_end,
        AggregateKind::Maximum => of_key && from_high_end,
        _ => false,
    }
}

/// What an aggregate has seen.
#[derive(Clone)]
pub struct Accumulator {
    count: i64,
    sum: Option<Value>,
    /// The least or greatest so far.
    best: Option<Value>,
    seen: Option<HashSet<Value>>,
    /// Texts to be concatenated, with the values that order them.
    texts: Vec<(Vec<Value>, String)>,
    separator: String,
    floats: Vec<f64>,
}

impl Accumulator {
    pub fn new(aggregate: &Aggregate) -> Self {
        Self {
            count: 0,
            sum: None,
            best: None,
            seen: aggregate.distinct.then(HashSet::new),
            texts: Vec::new(),
            separator: String::new(),
            floats: Vec::new(),
        }
    }

    pub fn add(&mut self, execution: &mut Execution<'_>, aggregate: &Aggregate, scope: &Scope<'_>) -> SqlResult<()> {
        let Some(expression) = &aggregate.value else {
            self.count += 1;
            return Ok(());
        };
        let value = expression.evaluate(execution, scope)?;
        if value.is_null() || self.seen.as_mut().is_some_and(|seen| !seen.insert(value.clone())) {
            return Ok(());
        }
        self.count += 1;
        match aggregate.kind {
            AggregateKind::CountRows | AggregateKind::Count => {}
            AggregateKind::Sum | AggregateKind::Average => {
                let value = convert::convert(&value, expression.sql_type, sum_type(expression.sql_type), None)?;
                self.sum = Some(match self.sum.take() {
                    Some(sum) => arithmetic::apply(Operator::Add, &sum, &value, sum_type(expression.sql_type))?,
                    None => value,
                });
            }
            AggregateKind::Minimum => {
                if self.best.as_ref().is_none_or(|best| value.order(best).is_lt()) {
                    self.best = Some(value);
                }
            }
            AggregateKind::Maximum => {
                if self.best.as_ref().is_none_or(|best| value.order(best).is_gt()) {
                    self.best = Some(value);
                }
            }
            AggregateKind::Concatenate => self.add_text(execution, aggregate, value, expression.sql_type, scope)?,
            AggregateKind::Deviation { .. } => {
                if let Value::Float(number) = convert::convert(&value, expression.sql_type, SqlType::Float, None)? {
                    self.floats.push(number);
                }
            }
        }
        Ok(())
    }

    fn add_text(
        &mut self,
        execution: &mut Execution<'_>,
        aggregate: &Aggregate,
        value: Value,
        from: SqlType,
        scope: &Scope<'_>,
    ) -> SqlResult<()> {
        let text = convert::convert(&value, from, aggregate.sql_type, None)?;
        let mut key = Vec::with_capacity(aggregate.order.len());
        for (expression, _) in &aggregate.order {
            key.push(expression.evaluate(execution, scope)?);
        }
        if let Some(separator) = &aggregate.separator {
            self.separator = separator.evaluate(execution, scope)?.as_text().unwrap_or_default().to_owned();
        }
        self.texts.push((key, text.as_text().unwrap_or_default().to_owned()));
        Ok(())
    }

    pub fn finish(mut self, aggregate: &Aggregate) -> SqlResult<Value> {
        Ok(match aggregate.kind {
            AggregateKind::CountRows | AggregateKind::Count => {
                convert::integer(i128::from(self.count), aggregate.sql_type)
                    .ok_or_else(|| SqlError::arithmetic_overflow("expression", "int"))?
            }
            AggregateKind::Sum => match self.sum {
                Some(sum) => convert::convert(&sum, sum.natural_type(), aggregate.sql_type, None)?,
                None => Value::Null,
            },
            AggregateKind::Average => match (self.sum, &aggregate.value) {
                (Some(sum), Some(expression)) => {
                    let divisor = convert::convert(
                        &Value::BigInt(self.count),
                        SqlType::BigInt,
                        divisor_type(expression.sql_type),
                        None,
                    )?;
                    arithmetic::apply(Operator::Divide, &sum, &divisor, aggregate.sql_type)?
                }
                _ => Value::Null,
            },
            AggregateKind::Minimum | AggregateKind::Maximum => self.best.unwrap_or(Value::Null),
            AggregateKind::Concatenate => {
                if self.texts.is_empty() {
                    return Ok(Value::Null);
                }
                self.texts.sort_by(|(a, _), (b, _)| {
                    let mut pairs = a.iter().zip(b).zip(&aggregate.order);
                    pairs
                        .find_map(|((a, b), (_, descending))| {
                            let order = if *descending { b.order(a) } else { a.order(b) };
                            order.is_ne().then_some(order)
                        })
                        .unwrap_or(std::cmp::Ordering::Equal)
                });
                let texts: Vec<&str> = self.texts.iter().map(|(_, text)| text.as_str()).collect();
                Value::text(&texts.join(&self.separator))
            }
            AggregateKind::Deviation { population, variance } => deviation(&self.floats, population, variance),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of values in memory")]
fn deviation(values: &[f64], population: bool, variance: bool) -> Value {
    let count = values.len() as f64;
    let divisor = if population { count } else { count - 1.0 };
    if divisor <= 0.0 {
        return Value::Null;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let result = squares / divisor;
    Value::Float(if variance { result } else { result.sqrt() })
}

/// The type in which values are added up, wide enough that only the result's own type may overflow.
fn sum_type(of: SqlType) -> SqlType {
    match of {
        SqlType::BigInt | SqlType::Int | SqlType::SmallInt | SqlType::TinyInt | SqlType::Bit => SqlType::BigInt,
        SqlType::Decimal { scale, .. } | SqlType::Numeric { scale, .. } => SqlType::Numeric { precision: 38, scale },
        SqlType::SmallMoney => SqlType::Money,
        SqlType::Real => SqlType::Float,
        other => other,
    }
}

fn divisor_type(of: SqlType) -> SqlType {
    match sum_type(of) {
        SqlType::Float => SqlType::Float,
        _ => SqlType::BigInt,
    }
}

/// The type of an aggregate's result.
///
/// # Errors
/// 8117 where the type doesn't go with the aggregate.
pub fn result_type(kind: AggregateKind, of: SqlType) -> SqlResult<SqlType> {
    let refused = |name: &str| {
        let text = format!("Operand data type {} is invalid for {name} operator.", of.name());
        SqlError::new(8117, 16, text)
    };
    Ok(match kind {
        AggregateKind::CountRows | AggregateKind::Count => SqlType::Int,
        AggregateKind::Sum | AggregateKind::Average => {
            let name = if kind == AggregateKind::Sum { "sum" } else { "avg" };
            match of {
                SqlType::Int | SqlType::SmallInt | SqlType::TinyInt => SqlType::Int,
                SqlType::BigInt => SqlType::BigInt,
                SqlType::Decimal { scale, .. } | SqlType::Numeric { scale, .. } => {
                    of.with_decimal_shape(38, if kind == AggregateKind::Average { scale.max(6) } else { scale })
                }
                SqlType::Money | SqlType::SmallMoney => SqlType::Money,
                SqlType::Real | SqlType::Float => SqlType::Float,
                _ => return Err(refused(name)),
            }
        }
        AggregateKind::Minimum | AggregateKind::Maximum => {
            if of.is_incomparable() || of == SqlType::Bit {
                return Err(refused(if kind == AggregateKind::Minimum { "min" } else { "max" }));
            }
            of
        }
        AggregateKind::Concatenate => {
            if of.is_unicode() || !of.is_character() {
                SqlType::NVarChar(crate::value::Length::Max)
            } else {
                SqlType::VarChar(crate::value::Length::Max)
            }
        }
        AggregateKind::Deviation { .. } => SqlType::Float,
    })
}
