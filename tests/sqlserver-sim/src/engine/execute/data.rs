//! UPDATE and DELETE.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Row, RowId, UpdateManner};
use crate::value::collation::{equal, folded};

use super::super::bind::{Binder, NamedSource};
use super::super::plan::{Body, Source, TableSource};
use super::super::run;
use super::super::session::OutputSink;
use super::super::state::Execution;
use super::super::statement::{Delete, Name, TriggerEvents, Update};
use super::assignment::{BoundAssignment, assigned, bind_assignments};
use super::output::{BoundOutput, bind_output};
use super::row::Maker;
use super::target::{self, Target};
use super::through::{self, Through};
use super::{done, module, reference, transaction, versioning};

/// What a statement did to a row.
#[derive(Clone, Debug)]
pub struct Change {
    pub before: Option<Row>,
    pub after: Option<Row>,
    /// The sources' rows that it was found with.
    pub found_with: Vec<Row>,
}

/// Writes in the statement's transaction; to a table variable in one of its own, as no rollback takes its rows back.
pub fn write(
    execution: &mut Execution<'_>,
    target: &Target,
    write: impl FnOnce(&mut crate::storage::Transaction, &Target) -> SqlResult<()>,
) -> SqlResult<()> {
    if !target.variable && execution.function {
        let text = "Invalid use of a side-effecting operator within a function.";
        return Err(SqlError::new(443, 16, text));
    }
    if !target.variable {
        return write(execution.state.transaction(), target);
    }
    let begin = crate::storage::Begin {
        isolation: super::super::session::Isolation::ReadCommitted,
        session_id: execution.state.session_id,
        cancelled: Arc::clone(&execution.state.cancelled),
        lock_timeout: execution.state.options.lock_timeout,
        deadlock_priority: execution.state.options.deadlock_priority,
        of_capture: false,
    };
    let mut own = execution.state.storage.begin(begin);
    write(&mut own, target)?;
    own.commit()
}

// UPDATE and DELETE

/// The plan of a statement's rows, and which of its sources is the target.
struct Rows {
    plan: super::super::plan::Query,
    place: run::TargetPlace,
    sources: Vec<NamedSource>,
    target: Target,
    /// Where the target shows the table's rows without being the table.
    through: Option<Through>,
}

/// `set` are the columns that are to be set.
fn rows_of_target(
    execution: &mut Execution<'_>,
    name: &Name,
    query: &sqlparser::ast::Query,
    set: &[&str],
) -> SqlResult<Rows> {
    let (mut plan, sources) = Binder::new(execution).query_with_sources(query)?;
    let Body::Select(select) = &mut plan.body else { return Err(SqlError::syntax_near("FROM")) };
    // By alias first; otherwise the source that is the table of that name.
    let by_alias =
        name.schema.is_none().then(|| sources.iter().find(|source| equal(&source.name, &name.object))).flatten();
    let shown = match by_alias {
        Some(source) if table_at(&select.source, source.slot).is_none() => Some(source),
        Some(_) => None,
        None if through::is_view(execution, name)? => {
            let is_named = |source: &&NamedSource| equal(&source.name, &name.object) && source.schema.is_some();
            Some(sources.iter().find(is_named).ok_or_else(|| SqlError::invalid_object(&name.to_string()))?)
        }
        None => None,
    };
    let through = shown.map(|source| Through::open(&mut select.source, source, set)).transpose()?;
    let (place, mut target) = match (&through, by_alias) {
        (Some(through), _) => (through.place(), through.target.clone()),
        (None, by_alias) => {
            let found = match by_alias {
                Some(source) => table_at(&select.source, source.slot),
                None => {
                    let target = target::find(execution, name)?;
                    let is_it =
                        |own: &Target| own.database == target.database && own.table.object_id == target.table.object_id;
                    tables(&select.source).into_iter().find(|(_, own)| is_it(own))
                }
            };
            let (slot, target) = found.ok_or_else(|| SqlError::invalid_object(&name.to_string()))?;
            (run::TargetPlace { slot, id_at: None }, target)
        }
    };
    target.variable = execution.variables.tables.values().any(|own| **own == *target.table.name);
    let read_only = |name: &String| execution.variables.tables.get(name).is_some_and(|own| **own == *target.table.name);
    if let Some(parameter) = execution.variables.read_only.iter().find(|name| read_only(name)) {
        return Err(target::read_only(parameter));
    }
    Ok(Rows { plan, place, sources, target, through })
}

fn tables(source: &Source) -> Vec<(usize, Target)> {
    match source {
        Source::Table(table) => {
            vec![(table.slot, Target { database: table.database, table: Arc::clone(&table.table), variable: false })]
        }
        Source::Join(join) => [tables(&join.left), tables(&join.right)].concat(),
        _ => Vec::new(),
    }
}

fn table_at(source: &Source, slot: usize) -> Option<(usize, Target)> {
    tables(source).into_iter().find(|(own, _)| *own == slot)
}

/// A row to be changed: its number, its values now, and the sources' rows that it was found with.
struct Found {
    id: RowId,
    row: Row,
    with: Vec<Row>,
}

/// Finds the rows and locks them. What another transaction changed in the meantime is looked for anew, until nothing
/// changes any more: the locks already held make that end.
fn found_rows(execution: &mut Execution<'_>, rows: &mut Rows) -> SqlResult<Vec<Found>> {
    if rows.through.is_some() {
        return found_through(execution, rows);
    }
    if let Body::Select(select) = &mut rows.plan.body {
        read_current(&mut select.source, rows.place.slot);
    }
    loop {
        let found = run::target_rows(execution, &rows.plan, rows.place)?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let locked: Vec<(RowId, Row)> =
            found.iter().filter_map(|(id, with)| Some((*id, with.get(rows.place.slot)?.clone()))).collect();
        let target = &rows.target;
        let transaction = execution.state.transaction();
        if target.variable {
            return Ok(into_found(found, rows.place.slot));
        }
        let mut stored = Vec::with_capacity(locked.len());
        for (id, _) in &locked {
            if let Some(row) = transaction.row(target.database, &target.table, *id)? {
                stored.push((*id, row));
            }
        }
        let changed = transaction.lock_rows(target.database, &target.table, &stored)?;
        if changed.is_empty() && stored.len() == locked.len() && unchanged(execution, rows, &locked, &stored)? {
            return Ok(into_found(found, rows.place.slot));
        }
        execution.state.check_cancelled()?;
    }
}

/// As [`found_rows`]: the rows shown don't tell whether the table's have changed, so the query is run again once these are
/// locked, until it finds the same.
fn found_through(execution: &mut Execution<'_>, rows: &Rows) -> SqlResult<Vec<Found>> {
    let target = &rows.target;
    let mut locked: Vec<run::TargetRow> = Vec::new();
    loop {
        let found = run::target_rows(execution, &rows.plan, rows.place)?;
        let is_same = same_rows(&locked, &found);
        let mut stored = Vec::with_capacity(found.len());
        for (id, _) in &found {
            if let Some(row) = execution.state.transaction().row(target.database, &target.table, *id)? {
                stored.push((*id, row));
            }
        }
        if is_same || target.variable {
            let source = whole_source(execution, target)?;
            let mut all = Vec::with_capacity(found.len());
            for ((id, row), (_, with)) in stored.into_iter().zip(found) {
                all.push(Found { id, row: run::whole_row(execution, &source, row)?, with });
            }
            return Ok(all);
        }
        execution.state.transaction().lock_rows(target.database, &target.table, &stored)?;
        execution.state.check_cancelled()?;
        locked = found;
    }
}

fn same_rows(left: &[run::TargetRow], right: &[run::TargetRow]) -> bool {
    let same_row = |(a, b): (&Row, &Row)| {
        a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| crate::storage::identical(a, b))
    };
    let same = |((a, left), (b, right)): (&run::TargetRow, &run::TargetRow)| {
        a == b && left.len() == right.len() && left.iter().zip(right).all(same_row)
    };
    left.len() == right.len() && left.iter().zip(right).all(same)
}

/// The target as a source of whole rows.
fn whole_source(execution: &mut Execution<'_>, target: &Target) -> SqlResult<TableSource> {
    let binder = &mut Binder::new(execution);
    Ok(super::super::bind::table_source(binder, 0, target.database, &target.table)?.0)
}

/// Whether the rows are still those that the conditions let through.
fn unchanged(
    execution: &mut Execution<'_>,
    rows: &Rows,
    read: &[(RowId, Row)],
    stored: &[(RowId, Row)],
) -> SqlResult<bool> {
    let source = whole_source(execution, &rows.target)?;
    for ((_, read), (_, stored)) in read.iter().zip(stored) {
        let whole = run::whole_row(execution, &source, Row::clone(stored))?;
        if !Arc::ptr_eq(read, stored) && !read.iter().zip(whole.iter()).all(|(a, b)| crate::storage::identical(a, b)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn into_found(found: Vec<(RowId, Vec<Row>)>, slot: usize) -> Vec<Found> {
    found.into_iter().filter_map(|(id, with)| Some(Found { id, row: with.get(slot)?.clone(), with })).collect()
}

/// The target is read as it is now, not from a snapshot of the statement: it is about to be changed.
fn read_current(source: &mut Source, slot: usize) {
    match source {
        Source::Table(table) if table.slot == slot => {
            table.hints.update_lock = true;
            // What is passed over must be known before it is waited for.
            table.hints.lock_rows |= table.hints.read_past;
        }
        Source::Join(join) => {
            read_current(&mut join.left, slot);
            read_current(&mut join.right, slot);
        }
        _ => {}
    }
}

/// An UPDATE whose names are resolved.
pub struct BoundUpdate {
    rows: Rows,
    maker: Maker,
    assignments: Vec<BoundAssignment>,
    output: Option<BoundOutput>,
}

pub fn bind_update(execution: &mut Execution<'_>, update: &Update) -> SqlResult<BoundUpdate> {
    let set: Vec<&str> = update.assignments.iter().filter_map(|assignment| assignment.column.as_deref()).collect();
    let rows = rows_of_target(execution, &update.target, &update.rows, &set)?;
    through::check_permission(execution, &update.target, &rows.target, "UPDATE")?;
    let maker = Maker::new(execution, rows.target.clone())?;
    let (slot, through) = (rows.place.slot, rows.through.as_ref());
    let assignments = bind_assignments(execution, &maker, &update.assignments, &rows.sources, slot, through)?;
    let output = bind_output(execution, update.output.as_ref(), &rows.target, &rows.sources, false, through)?;
    Ok(BoundUpdate { rows, maker, assignments, output })
}

pub fn update(execution: &mut Execution<'_>, update: &Update, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let rows = transaction::atomic(execution, |execution| {
        let BoundUpdate { mut rows, maker, assignments, output } = bind_update(execution, update)?;
        let found = found_rows(execution, &mut rows)?;
        let mut changes = Vec::with_capacity(found.len());
        let mut written = Vec::with_capacity(found.len());
        for Found { id, row, with } in found {
            let after = assigned(execution, &maker, &assignments, &row, &with)?;
            let seen = maker.seen(execution, &after)?;
            written.push((id, after));
            changes.push(Change { before: Some(row), after: Some(seen), found_with: with });
        }
        write(execution, &rows.target, |transaction, target| {
            transaction.update(target.database, &target.table, &written, UpdateManner::InPlace)
        })?;
        let after: Vec<Row> = written.into_iter().map(|(_, row)| row).collect();
        versioning::keep(execution, &rows.target, &changes)?;
        reference::check_children(execution, &rows.target, &after, "UPDATE")?;
        reference::parents_changed(execution, &rows.target, &changes, "UPDATE")?;
        let names: Vec<String> =
            assignments.iter().filter_map(|set| rows.target.column_at(set.slot?)).map(folded).collect();
        module::fire(execution, &rows.target, &changes, TriggerEvents::UPDATE, &names, out)?;
        if let Some(output) = &output {
            output.give(execution, &changes, out)?;
        }
        Ok(changes.len())
    })?;
    done(execution, u64::try_from(rows).ok(), out)
}

/// A DELETE whose names are resolved: its rows, and what it gives.
pub struct BoundDelete {
    rows: Rows,
    output: Option<BoundOutput>,
}

pub fn bind_delete(execution: &mut Execution<'_>, delete: &Delete) -> SqlResult<BoundDelete> {
    let rows = rows_of_target(execution, &delete.target, &delete.rows, &[])?;
    through::check_permission(execution, &delete.target, &rows.target, "DELETE")?;
    let through = rows.through.as_ref();
    let output = bind_output(execution, delete.output.as_ref(), &rows.target, &rows.sources, false, through)?;
    Ok(BoundDelete { rows, output })
}

pub fn delete(execution: &mut Execution<'_>, delete: &Delete, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let rows = transaction::atomic(execution, |execution| {
        let BoundDelete { mut rows, output } = bind_delete(execution, delete)?;
        let found = found_rows(execution, &mut rows)?;
        let ids: Vec<RowId> = found.iter().map(|found| found.id).collect();
        write(execution, &rows.target, |transaction, target| transaction.delete(target.database, &target.table, &ids))?;
        let changes: Vec<Change> = found
            .into_iter()
            .map(|found| Change { before: Some(found.row), after: None, found_with: found.with })
            .collect();
        versioning::keep(execution, &rows.target, &changes)?;
        reference::parents_changed(execution, &rows.target, &changes, "DELETE")?;
        module::fire(execution, &rows.target, &changes, TriggerEvents::DELETE, &[], out)?;
        if let Some(output) = &output {
            output.give(execution, &changes, out)?;
        }
        Ok(changes.len())
    })?;
    done(execution, u64::try_from(rows).ok(), out)
}
