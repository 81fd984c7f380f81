//! MERGE.

use std::collections::HashSet;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Row, RowId, UpdateManner};
use crate::value::Value;
use crate::value::collation::folded;

use super::super::bind::{Binder, NamedColumn, NamedSource};
use super::super::evaluate::Scope;
use super::super::expression::{Expression, Predicate};
use super::super::plan::Query;
use super::super::run;
use super::super::session::{Flow, OutputSink};
use super::super::state::Execution;
use super::super::statement::{Merge, MergeAction, MergeClause, MergeMatch, TriggerEvents};
use super::assignment::{BoundAssignment, assigned, bind_assignments};
use super::data::{self, Change};
use super::output::{BoundOutput, bind_output};
use super::row::{Maker, named};
use super::{done, module, reference, target, transaction, versioning};

/// The target's place among the rows that conditions see; the sources' come after it.
const TARGET: usize = 0;

enum Action {
    Update(Vec<BoundAssignment>),
    Delete,
    Insert { slots: Vec<usize>, values: Vec<Option<Expression>> },
}

struct Clause {
    when: MergeMatch,
    condition: Option<Predicate>,
    action: Action,
}

/// What is to be written.
#[derive(Default)]
struct Writes {
    updated: Vec<(RowId, Row)>,
    deleted: Vec<RowId>,
    inserted: Vec<Row>,
    changes: Vec<Change>,
}

/// A MERGE whose names are resolved.
pub struct Bound {
    maker: Maker,
    /// Of the source's rows.
    plan: Query,
    on: Predicate,
    clauses: Vec<Clause>,
    output: Option<BoundOutput>,
}

pub fn bind(execution: &mut Execution<'_>, merge: &Merge) -> SqlResult<Bound> {
    let target = target::find(execution, &merge.target)?;
    let maker = Maker::new(execution, target.clone())?;
    let (plan, mut sources) = Binder::new(execution).query_with_sources(&merge.source)?;
    // Rows of the source query hold all columns of all its sources side by side.
    let mut offset = 0;
    for source in &mut sources {
        shift(source, &mut offset);
    }
    let alias = merge.alias.as_deref().unwrap_or(&merge.target.object);
    let mut all = vec![named(&target.table, alias, TARGET)];
    all.extend(sources.iter().cloned());
    let on = Binder::with_sources(execution, all.clone()).predicate(&merge.condition)?;
    let mut clauses = Vec::with_capacity(merge.clauses.len());
    for clause in &merge.clauses {
        clauses.push(bind_clause(execution, &maker, clause, &all)?);
        let permission = match clause.action {
            MergeAction::Update(_) => "UPDATE",
            MergeAction::Delete => "DELETE",
            MergeAction::Insert { .. } => "INSERT",
        };
        target::check_permission(execution, &target, permission)?;
    }
    let output = bind_output(execution, merge.output.as_ref(), &target, &all, true, None)?;
    Ok(Bound { maker, plan, on, clauses, output })
}

pub fn merge(execution: &mut Execution<'_>, merge: &Merge, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let rows = transaction::atomic(execution, |execution| {
        let Bound { maker, plan, on, clauses, output } = bind(execution, merge)?;
        let mut source_rows: Vec<Row> = Vec::new();
        run::query(execution, &plan, None, &mut |_, row| {
            source_rows.push(Row::from(row));
            Ok(Flow::Continue)
        })?;
        let writes = decide(execution, &maker, &on, &clauses, &source_rows)?;
        carry_out(execution, &maker, &writes)?;
        let names: Vec<String> = updated_names(merge);
        let does = |wanted: fn(&MergeAction) -> bool| merge.clauses.iter().any(|clause| wanted(&clause.action));
        let events = TriggerEvents {
            insert: does(|action| matches!(action, MergeAction::Insert { .. })),
            update: does(|action| matches!(action, MergeAction::Update(_))),
            delete: does(|action| matches!(action, MergeAction::Delete)),
        };
        module::fire(execution, &maker.target, &writes.changes, events, &names, out)?;
        if let Some(output) = &output {
            output.give(execution, &writes.changes, out)?;
        }
        Ok(writes.changes.len())
    })?;
    done(execution, u64::try_from(rows).ok(), out)
}

fn updated_names(merge: &Merge) -> Vec<String> {
    let assignments = merge.clauses.iter().filter_map(|clause| match &clause.action {
        MergeAction::Update(assignments) => Some(assignments),
        _ => None,
    });
    assignments.flatten().filter_map(|assignment| assignment.column.as_deref()).map(folded).collect()
}

/// The source's columns in the one row that follows the target's.
fn shift(source: &mut NamedSource, offset: &mut usize) {
    let columns: Vec<NamedColumn> = source
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| NamedColumn { at: *offset + at, ..column.clone() })
        .collect();
    *offset += columns.len();
    source.columns = columns;
    source.slot = TARGET + 1;
}

fn bind_clause(
    execution: &mut Execution<'_>,
    maker: &Maker,
    clause: &MergeClause,
    all: &[NamedSource],
) -> SqlResult<Clause> {
    let condition = match &clause.condition {
        Some(condition) => Some(Binder::with_sources(execution, all.to_vec()).predicate(condition)?),
        None => None,
    };
    let action = match &clause.action {
        MergeAction::Delete => Action::Delete,
        MergeAction::Update(assignments) => {
            Action::Update(bind_assignments(execution, maker, assignments, all, TARGET, None)?)
        }
        MergeAction::Insert { columns, values } => {
            let slots = super::insert::insert_slots(execution, maker, columns.as_deref())?;
            let values = values.clone().unwrap_or_else(|| vec![None; slots.len()]);
            if values.len() != slots.len() {
                return Err(SqlError::new(
                    10_709,
                    16,
                    "The number of columns for each row in a table value constructor must be the same.",
                ));
            }
            let mut bound = Vec::with_capacity(values.len());
            for (value, slot) in values.iter().zip(&slots) {
                bound.push(match value {
                    Some(value) => {
                        let value = Binder::with_sources(execution, all.to_vec()).scalar(value)?;
                        if !value.is_null_literal() {
                            maker.check_type(*slot, value.sql_type)?;
                        }
                        Some(value)
                    }
                    None => None,
                });
            }
            Action::Insert { slots, values: bound }
        }
    };
    Ok(Clause { when: clause.when, condition, action })
}

fn decide(
    execution: &mut Execution<'_>,
    maker: &Maker,
    on: &Predicate,
    clauses: &[Clause],
    source_rows: &[Row],
) -> SqlResult<Writes> {
    let target = &maker.target;
    let request = crate::storage::ReadRequest::all(target.database, target.table.clone())
        .visible(crate::storage::Visibility::Current);
    let stored = execution.state.transaction().read_all(&request)?;
    let (whole, _) = super::super::bind::table_source(&mut Binder::new(execution), 0, target.database, &target.table)?;
    let mut target_rows = Vec::with_capacity(stored.len());
    for (id, row) in stored {
        target_rows.push((id, run::whole_row(execution, &whole, row)?));
    }
    let nulls: Row = Row::from(vec![Value::Null; target.table.row_width()]);
    let width = source_rows.first().map_or(0, |row| row.len());
    let source_nulls: Row = Row::from(vec![Value::Null; width]);
    let mut writes = Writes::default();
    let mut touched: HashSet<RowId> = HashSet::new();
    let mut matched_targets: HashSet<RowId> = HashSet::new();
    for source in source_rows {
        let mut matched = false;
        for (id, row) in &target_rows {
            let with = [row.clone(), source.clone()];
            if !on.holds(execution, &Scope { row: &with, outer: None })? {
                continue;
            }
            matched = true;
            matched_targets.insert(*id);
            if apply(execution, maker, clauses, MergeMatch::Matched, Some((*id, row)), &with, &mut writes)?
                && !touched.insert(*id)
            {
                return Err(SqlError::new(
                    8672,
                    16,
                    "The MERGE statement attempted to UPDATE or DELETE the same row more than once. This happens when a target row matches more than one source row. A MERGE statement cannot UPDATE/DELETE the same row of the target table multiple times. Refine the ON clause to ensure a target row matches at most one source row, or use the GROUP BY clause to group the source rows.",
                ));
            }
        }
        if !matched {
            let with = [nulls.clone(), source.clone()];
            apply(execution, maker, clauses, MergeMatch::NotMatchedByTarget, None, &with, &mut writes)?;
        }
    }
    if clauses.iter().any(|clause| clause.when == MergeMatch::NotMatchedBySource) {
        for (id, row) in target_rows.iter().filter(|(id, _)| !matched_targets.contains(id)) {
            let with = [row.clone(), source_nulls.clone()];
            apply(execution, maker, clauses, MergeMatch::NotMatchedBySource, Some((*id, row)), &with, &mut writes)?;
        }
    }
    Ok(writes)
}

/// The first clause that fits; false where none does.
fn apply(
    execution: &mut Execution<'_>,
    maker: &Maker,
    clauses: &[Clause],
    when: MergeMatch,
    row: Option<(RowId, &Row)>,
    with: &[Row],
    writes: &mut Writes,
) -> SqlResult<bool> {
    for clause in clauses.iter().filter(|clause| clause.when == when) {
        let scope = Scope { row: with, outer: None };
        if let Some(condition) = &clause.condition
            && !condition.holds(execution, &scope)?
        {
            continue;
        }
        match (&clause.action, row) {
            (Action::Update(assignments), Some((id, row))) => {
                let after = assigned(execution, maker, assignments, row, with)?;
                let seen = maker.seen(execution, &after)?;
                writes.updated.push((id, after));
                writes.changes.push(Change { before: Some(row.clone()), after: Some(seen), found_with: with.to_vec() });
            }
            (Action::Delete, Some((id, row))) => {
                writes.deleted.push(id);
                writes.changes.push(Change { before: Some(row.clone()), after: None, found_with: with.to_vec() });
            }
            (Action::Insert { slots, values }, None) => {
                let mut whole: Vec<Option<Value>> = vec![None; maker.target.table.row_width()];
                for (slot, value) in slots.iter().zip(values) {
                    let Some(expression) = value else { continue };
                    let value = expression.evaluate(execution, &scope)?;
                    let stored = maker.stored(execution, *slot, &value, expression.sql_type)?;
                    if let Some(place) = whole.get_mut(*slot) {
                        *place = Some(stored);
                    }
                }
                let row = maker.inserted(execution, whole)?;
                let seen = maker.seen(execution, &row)?;
                writes.inserted.push(row);
                writes.changes.push(Change { before: None, after: Some(seen), found_with: with.to_vec() });
            }
            _ => {
                return Err(SqlError::new(
                    10_711,
                    15,
                    "An action of this type is not allowed in this 'WHEN' clause of a MERGE statement.",
                ));
            }
        }
        return Ok(true);
    }
    Ok(false)
}

/// Deletions first, so that keys they free can be taken.
fn carry_out(execution: &mut Execution<'_>, maker: &Maker, writes: &Writes) -> SqlResult<()> {
    let target = &maker.target;
    data::write(execution, target, |transaction, target| {
        if !writes.deleted.is_empty() {
            transaction.delete(target.database, &target.table, &writes.deleted)?;
        }
        if !writes.updated.is_empty() {
            transaction.update(target.database, &target.table, &writes.updated, UpdateManner::Deferred)?;
        }
        if !writes.inserted.is_empty() {
            transaction.insert(target.database, &target.table, &writes.inserted)?;
        }
        Ok(())
    })?;
    let written: Vec<Row> = writes.changes.iter().filter_map(|change| change.after.clone()).collect();
    versioning::keep(execution, target, &writes.changes)?;
    reference::check_children(execution, target, &written, "MERGE")?;
    reference::parents_changed(execution, target, &writes.changes, "MERGE")
}
