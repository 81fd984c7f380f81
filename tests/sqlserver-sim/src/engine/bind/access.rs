//! How the rows of a SELECT are found: conditions go to the source that can check them first, tables are read through
//! indexes where conditions or the wanted order allow, and joins look rows up by their equalities.

use crate::storage::{Index, IndexId};

use super::super::evaluate::comparable;
use super::super::expression::{ColumnRef, Comparison, Expression, Predicate};
use super::super::plan::{AggregateKind, Join, JoinKind, OrderValue, Select, Source, TableSource};

/// Fills in the accesses of a plan.
pub fn choose(plan: &mut Select) {
    let mut pool = std::mem::take(&mut plan.filter);
    settle(&mut plan.source, &mut pool);
    plan.filter = pool;
    order_by_index(plan);
    extreme_by_index(plan);
}

/// Whether a condition looks at no other places than these (and rows of queries around).
fn within(predicate: &Predicate, slots: &[usize]) -> bool {
    let mut inside = true;
    predicate.columns(&mut |column| inside &= column.depth > 0 || slots.contains(&column.source));
    inside
}

fn expression_within(expression: &Expression, slots: &[usize]) -> bool {
    let (mut inside, mut any) = (true, false);
    expression.columns(&mut |column| {
        if column.depth == 0 {
            any = true;
            inside &= slots.contains(&column.source);
        }
    });
    inside && any
}

fn take_within(pool: &mut Vec<Predicate>, slots: &[usize]) -> Vec<Predicate> {
    let (inside, outside) = std::mem::take(pool).into_iter().partition(|part| within(part, slots));
    *pool = outside;
    inside
}

/// Moves conditions that hold for all rows of a source into it, as far down as they can be checked.
fn settle(source: &mut Source, pool: &mut Vec<Predicate>) {
    let slots = source.slots();
    match source {
        Source::Nothing | Source::Working { .. } => {}
        Source::Table(table) => {
            table.filter.extend(take_within(pool, &slots));
            table_access(table);
        }
        Source::Relation(relation) => {
            relation.filter.extend(take_within(pool, &slots));
            let equalities = equalities(&relation.filter, relation.slot);
            relation.equal = equalities.into_iter().map(|(column, value)| (column.column, value)).collect();
        }
        Source::Derived { filter, .. }
        | Source::Function { filter, .. }
        | Source::Recursive { filter, .. }
        | Source::Held { filter, .. } => {
            filter.extend(take_within(pool, &slots));
        }
        Source::Join(join) => settle_join(join, pool),
    }
}

/// Conditions of WHERE hold for the joined rows: before the join they may be checked only on a side whose rows aren't
/// filled up with NULLs. Those of ON say which rows belong together: they may be checked beforehand only on a side whose
/// rows needn't all appear.
fn settle_join(join: &mut Join, pool: &mut Vec<Predicate>) {
    match join.kind {
        JoinKind::Inner => {
            let both: Vec<usize> = join.left_slots.iter().chain(&join.right_slots).copied().collect();
            join.on.extend(take_within(pool, &both));
            settle(&mut join.left, &mut join.on);
            settle(&mut join.right, &mut join.on);
        }
        JoinKind::Left => {
            settle(&mut join.left, pool);
            settle(&mut join.right, &mut join.on);
        }
        JoinKind::Right => {
            settle(&mut join.right, pool);
            settle(&mut join.left, &mut join.on);
        }
        JoinKind::Full => {
            settle(&mut join.left, &mut Vec::new());
            settle(&mut join.right, &mut Vec::new());
        }
    }
    join.keys = join.on.iter().filter_map(|part| key_of(part, join)).collect();
    look_up_by_index(join);
    let mut dependent = false;
    join.right.columns(&mut |column| {
        dependent |= column.depth == 0 && !join.right_slots.contains(&column.source);
    });
    join.dependent = dependent;
}

/// An equality between the sides: the left's value, the right's value.
fn key_of(predicate: &Predicate, join: &Join) -> Option<(Expression, Expression)> {
    let Predicate::Compare { comparison: Comparison::Equal, left, right } = predicate else { return None };
    if !comparable(left.sql_type, right.sql_type) || same_hash(left, right).is_none() {
        return None;
    }
    if expression_within(left, &join.left_slots) && expression_within(right, &join.right_slots) {
        Some((left.clone(), right.clone()))
    } else if expression_within(right, &join.left_slots) && expression_within(left, &join.right_slots) {
        Some((right.clone(), left.clone()))
    } else {
        None
    }
}

/// Values are looked up by hash, which agrees with equality within a family of types.
fn same_hash(left: &Expression, right: &Expression) -> Option<()> {
    (left.sql_type.family() == right.sql_type.family()).then_some(())
}

/// Where the right side is a table with an index on the columns of the equalities, each left row looks its matches up.
fn look_up_by_index(join: &mut Join) {
    if !matches!(join.kind, JoinKind::Inner | JoinKind::Left) {
        return;
    }
    let keys = join.keys.clone();
    let Source::Table(table) = &mut join.right else { return };
    let mut known: Vec<(ColumnRef, Expression)> = equalities(&table.filter, table.slot);
    let from_left = keys.iter().filter_map(|(value, column)| Some((column.as_column()?, value.clone())));
    known.extend(from_left.filter(|(column, _)| column.source == table.slot && column.depth == 0));
    if let Some((index, equal)) = best_index(table, &known)
        && (equal.len() > table.access.equal.len())
    {
        table.access.index = Some(index);
        table.access.equal = equal;
        set_bounds(table);
    }
}

/// The columns of a source that conditions give a value that doesn't depend on it.
fn equalities(filter: &[Predicate], slot: usize) -> Vec<(ColumnRef, Expression)> {
    let free = |value: &Expression| {
        let mut free = true;
        value.columns(&mut |column| free &= column.depth > 0);
        free
    };
    let mut found = Vec::new();
    for part in filter {
        if let Predicate::Compare { comparison: Comparison::Equal, left, right } = part {
            for (column, value) in [(left, right), (right, left)] {
                if let Some(column) = column.as_column().filter(|column| column.depth == 0 && column.source == slot)
                    && free(value)
                {
                    found.push((column, value.clone()));
                    break;
                }
            }
        }
    }
    found
}

fn slot_of(table: &TableSource, index: &Index, position: usize) -> Option<usize> {
    let key = index.key.get(position)?;
    table.table.column(key.column_id)?.slot()
}

/// The index that has most of its first columns among the known ones.
fn best_index(table: &TableSource, known: &[(ColumnRef, Expression)]) -> Option<(IndexId, Vec<Expression>)> {
    let mut best: Option<(IndexId, Vec<Expression>)> = None;
    for index in table.table.indexes.iter().filter(|index| index.is_readable()) {
        let mut equal = Vec::new();
        while let Some(slot) = slot_of(table, index, equal.len())
            && let Some((_, value)) = known.iter().find(|(column, _)| column.column == slot)
        {
            equal.push(value.clone());
        }
        if !equal.is_empty() && best.as_ref().is_none_or(|(_, best)| equal.len() > best.len()) {
            best = Some((index.index_id, equal));
        }
    }
    best
}

fn table_access(table: &mut TableSource) {
    let known = equalities(&table.filter, table.slot);
    if let Some((index, equal)) = best_index(table, &known) {
        table.access.index = Some(index);
        table.access.equal = equal;
        set_bounds(table);
        return;
    }
    let bounded = table.table.indexes.iter().filter(|index| index.is_readable()).find(|index| {
        slot_of(table, index, 0).is_some_and(|slot| {
            let column = ColumnRef { depth: 0, source: table.slot, column: slot };
            table.filter.iter().any(|part| bounds(part, column))
        })
    });
    if let Some(index) = bounded {
        table.access.index = Some(index.index_id);
        set_bounds(table);
    }
}

/// Bounds of the column after those that have a value.
fn set_bounds(table: &mut TableSource) {
    let index = table.access.index.and_then(|id| table.table.index(id));
    let slot = index.and_then(|index| slot_of(table, index, table.access.equal.len()));
    table.access.bounds = slot.and_then(|slot| {
        let column = ColumnRef { depth: 0, source: table.slot, column: slot };
        let parts: Vec<Predicate> = table.filter.iter().filter(|part| bounds(part, column)).cloned().collect();
        (!parts.is_empty()).then_some((column, parts))
    });
}

/// Whether a condition says within which bounds a column's values are.
fn bounds(predicate: &Predicate, column: ColumnRef) -> bool {
    match predicate {
        Predicate::Compare { comparison, left, right } => {
            let other = match (left.as_column() == Some(column), right.as_column() == Some(column)) {
                (true, false) => right,
                (false, true) => left,
                _ => return false,
            };
            let mut free = true;
            other.columns(&mut |looked| free &= looked.depth > 0);
            free && *comparison != Comparison::NotEqual
        }
        Predicate::And(parts) => parts.iter().any(|part| bounds(part, column)),
        Predicate::Or(parts) => !parts.is_empty() && parts.iter().all(|part| bounds(part, column)),
        _ => false,
    }
}

/// Spares the sorting where an index gives the rows in the order wanted.
fn order_by_index(plan: &mut Select) {
    if plan.order.is_empty() || plan.grouping.is_some() || !plan.windows.is_empty() {
        return;
    }
    let wanted: Option<Vec<(ColumnRef, bool)>> = plan
        .order
        .iter()
        .map(|key| {
            let value = match &key.value {
                OrderValue::Output(at) => plan.output.get(*at)?,
                OrderValue::Expression(value) => value,
            };
            Some((value.as_column()?, key.descending))
        })
        .collect();
    let (Some(wanted), Source::Table(table)) = (wanted, &mut plan.source) else { return };
    let candidates: Vec<&Index> = match table.access.index {
        Some(id) => table.table.index(id).into_iter().collect(),
        None => table.table.indexes.iter().filter(|index| index.is_readable()).collect(),
    };
    for index in candidates {
        if let Some(descending) = gives_order(table, index, &wanted) {
            table.access.index = Some(index.index_id);
            table.access.descending = descending;
            plan.ordered = true;
            return;
        }
    }
}

/// Whether an index gives the order, and if so whether it is to be read from its high end.
fn gives_order(table: &TableSource, index: &Index, wanted: &[(ColumnRef, bool)]) -> Option<bool> {
    let mut direction: Option<bool> = None;
    let mut position = 0;
    for (column, descending) in wanted {
        if column.depth != 0 || column.source != table.slot {
            return None;
        }
        // What has one value only has any order.
        while position < table.access.equal.len() && slot_of(table, index, position) != Some(column.column) {
            position += 1;
        }
        if position >= index.key.len() {
            // All of a unique key precedes: no two rows are left to be ordered.
            return if index.unique { direction.or(Some(false)) } else { None };
        }
        if slot_of(table, index, position) != Some(column.column) {
            return None;
        }
        let own = index.key.get(position)?.descending;
        if position >= table.access.equal.len() && *direction.get_or_insert(own != *descending) != (own != *descending)
        {
            return None;
        }
        position += 1;
    }
    Some(direction.unwrap_or(false))
}

/// MIN and MAX of an indexed column need one row.
fn extreme_by_index(plan: &mut Select) {
    let Some(grouping) = plan.grouping.as_ref().filter(|grouping| grouping.keys.is_empty()) else { return };
    let [aggregate] = grouping.aggregates.as_slice() else { return };
    let highest = match aggregate.kind {
        AggregateKind::Minimum => false,
        AggregateKind::Maximum => true,
        _ => return,
    };
    let Some(column) = aggregate.value.as_ref().and_then(Expression::as_column) else { return };
    let Source::Table(table) = &mut plan.source else { return };
    if column.depth != 0 || column.source != table.slot {
        return;
    }
    let candidates: Vec<&Index> = match table.access.index {
        Some(id) => table.table.index(id).into_iter().collect(),
        None => table.table.indexes.iter().filter(|index| index.is_readable()).collect(),
    };
    for index in candidates {
        let position = table.access.equal.len();
        if slot_of(table, index, position) == Some(column.column)
            && let Some(key) = index.key.get(position)
        {
            table.access.descending = highest != key.descending;
            table.access.index = Some(index.index_id);
            return;
        }
    }
}
