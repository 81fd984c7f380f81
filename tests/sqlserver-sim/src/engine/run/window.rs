//! Window functions: values that a row gets from its partition.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::error::{SqlError, SqlResult};
use crate::storage::Row;
use crate::value::Value;

use super::super::evaluate::Scope;
use super::super::plan::{Running, Window, WindowKind};
use super::super::state::Execution;
use super::group::Accumulator;

/// The rows with one source more: the values of the windows, in their order.
pub fn with_values(
    execution: &mut Execution<'_>,
    windows: &[Window],
    rows: Vec<Vec<Row>>,
    outer: Option<&Scope<'_>>,
) -> SqlResult<Vec<Vec<Row>>> {
    let mut values: Vec<Vec<Value>> = vec![Vec::with_capacity(windows.len()); rows.len()];
    for window in windows {
        for (place, value) in values.iter_mut().zip(of_window(execution, window, &rows, outer)?) {
            place.push(value);
        }
    }
    Ok(rows
        .into_iter()
        .zip(values)
        .map(|(mut row, values)| {
            row.push(Row::from(values));
            row
        })
        .collect())
}

/// A partition's rows in the window's order: their places among all rows, and the values that order them.
type Partition = Vec<(usize, Vec<Value>)>;

fn of_window(
    execution: &mut Execution<'_>,
    window: &Window,
    rows: &[Vec<Row>],
    outer: Option<&Scope<'_>>,
) -> SqlResult<Vec<Value>> {
    let mut by_key: HashMap<Vec<Value>, usize> = HashMap::new();
    let mut partitions: Vec<Partition> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let scope = Scope { row, outer };
        let mut key = Vec::with_capacity(window.partition.len());
        for expression in &window.partition {
            key.push(expression.evaluate(execution, &scope)?);
        }
        let mut order = Vec::with_capacity(window.order.len());
        for (expression, _) in &window.order {
            order.push(expression.evaluate(execution, &scope)?);
        }
        let partition = *by_key.entry(key).or_insert_with(|| {
            partitions.push(Vec::new());
            partitions.len() - 1
        });
        if let Some(partition) = partitions.get_mut(partition) {
            partition.push((at, order));
        }
    }
    let mut values = vec![Value::Null; rows.len()];
    for partition in &mut partitions {
        partition.sort_by(|(_, a), (_, b)| compare(window, a, b));
        for (at, value) in of_partition(execution, window, partition, rows, outer)? {
            if let Some(place) = values.get_mut(at) {
                *place = value;
            }
        }
    }
    Ok(values)
}

fn compare(window: &Window, a: &[Value], b: &[Value]) -> Ordering {
    for ((a, b), (_, descending)) in a.iter().zip(b).zip(&window.order) {
        let order = if *descending { b.order(a) } else { a.order(b) };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn big(number: usize) -> Value {
    Value::BigInt(i64::try_from(number).unwrap_or(i64::MAX))
}

fn of_partition(
    execution: &mut Execution<'_>,
    window: &Window,
    partition: &Partition,
    rows: &[Vec<Row>],
    outer: Option<&Scope<'_>>,
) -> SqlResult<Vec<(usize, Value)>> {
    let scope_at = |place: usize| {
        let row = partition.get(place).and_then(|(at, _)| rows.get(*at)).map_or(&[][..], Vec::as_slice);
        Scope { row, outer }
    };
    let places = partition.iter().map(|(at, _)| *at);
    match &window.kind {
        WindowKind::RowNumber => Ok(places.enumerate().map(|(place, at)| (at, big(place + 1))).collect()),
        WindowKind::Rank | WindowKind::DenseRank => Ok(ranks(window, partition)),
        WindowKind::Tiles(count) => {
            let count =
                count.evaluate(execution, &scope_at(0))?.as_integer().and_then(|count| usize::try_from(count).ok());
            let count = count.filter(|count| *count > 0).ok_or_else(|| {
                SqlError::new(4196, 16, "The NTILE function's number of groups must be a positive number.")
            })?;
            let (size, larger) = (partition.len() / count, partition.len() % count);
            let tile = |place: usize| {
                if place < larger * (size + 1) {
                    place / (size + 1)
                } else {
                    larger + (place - larger * (size + 1)) / size.max(1)
                }
            };
            Ok(places.enumerate().map(|(place, at)| (at, big(tile(place) + 1))).collect())
        }
        WindowKind::Neighbour { value, distance, default, back } => {
            let mut values = Vec::with_capacity(partition.len());
            for (place, (at, _)) in partition.iter().enumerate() {
                let distance = match distance {
                    Some(distance) => distance
                        .evaluate(execution, &scope_at(place))?
                        .as_integer()
                        .and_then(|d| usize::try_from(d).ok()),
                    None => Some(1),
                };
                let distance = distance.ok_or_else(|| {
                    SqlError::new(8730, 16, "Offset parameter for Lag and Lead functions cannot be a negative value.")
                })?;
                let other = if *back { place.checked_sub(distance) } else { place.checked_add(distance) };
                let found = match (other.filter(|other| *other < partition.len()), default) {
                    (Some(other), _) => value.evaluate(execution, &scope_at(other))?,
                    (None, Some(default)) => default.evaluate(execution, &scope_at(place))?,
                    (None, None) => Value::Null,
                };
                values.push((*at, found));
            }
            Ok(values)
        }
        WindowKind::First(value) => {
            let first = value.evaluate(execution, &scope_at(0))?;
            Ok(places.map(|at| (at, first.clone())).collect())
        }
        WindowKind::Last(value) => {
            let mut values = Vec::with_capacity(partition.len());
            for (place, (at, order)) in partition.iter().enumerate() {
                // By default the frame ends with the last of the row's equals.
                let end = if window.order.is_empty() {
                    partition.len() - 1
                } else {
                    last_peer(window, partition, place, order)
                };
                values.push((*at, value.evaluate(execution, &scope_at(end))?));
            }
            Ok(values)
        }
        WindowKind::Aggregate { aggregate, running } => {
            let mut values = Vec::with_capacity(partition.len());
            let mut end = 0;
            let mut accumulator = Accumulator::new(aggregate);
            let mut current = Value::Null;
            for (place, (at, order)) in partition.iter().enumerate() {
                let wanted = match running {
                    Running::Whole => partition.len(),
                    Running::ToRow => place + 1,
                    Running::ToPeers => last_peer(window, partition, place, order) + 1,
                };
                if wanted > end || place == 0 {
                    while end < wanted {
                        accumulator.add(execution, aggregate, &scope_at(end))?;
                        end += 1;
                    }
                    current = accumulator.clone().finish(aggregate)?;
                }
                values.push((*at, current.clone()));
            }
            Ok(values)
        }
    }
}

fn last_peer(window: &Window, partition: &Partition, place: usize, order: &[Value]) -> usize {
    let mut last = place;
    while partition.get(last + 1).is_some_and(|(_, next)| compare(window, order, next) == Ordering::Equal) {
        last += 1;
    }
    last
}

fn ranks(window: &Window, partition: &Partition) -> Vec<(usize, Value)> {
    let dense = matches!(window.kind, WindowKind::DenseRank);
    let (mut rank, mut before): (usize, Option<&Vec<Value>>) = (0, None);
    let mut values = Vec::with_capacity(partition.len());
    for (place, (at, order)) in partition.iter().enumerate() {
        let equal = before.is_some_and(|before| compare(window, before, order) == Ordering::Equal);
        if !equal {
            rank = if dense { rank + 1 } else { place + 1 };
        }
        before = Some(order);
        values.push((*at, big(rank)));
    }
    values
}
