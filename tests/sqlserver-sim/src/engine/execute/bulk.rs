//! Bulk load: a statement names the table, and the rows come after it.

use crate::error::{SqlError, SqlResult};
use crate::storage::Row;
use crate::value::{SqlType, Value};

use super::super::session::OutputSink;
use super::super::state::Execution;
use super::super::statement::{InsertBulk, TriggerEvents};
use super::data::{Change, write};
use super::row::Maker;
use super::{done, module, reference, target, transaction};

/// `INSERT BULK`: what comes next are its rows.
pub fn begin(execution: &mut Execution<'_>, bulk: &InsertBulk, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let target = target::find(execution, &bulk.table)?;
    target::check_permission(execution, &target, "INSERT")?;
    for name in &bulk.columns {
        target.table.column_named(name).ok_or_else(|| SqlError::invalid_column(name))?;
    }
    execution.state.bulk = Some(Box::new(bulk.clone()));
    done(execution, None, out)
}

/// Loads rows of values of given types, in the order of the columns that the statement named. Checks, references and
/// triggers are passed over unless it asked for them.
///
/// # Errors
/// 4002 where no statement came before; those of INSERT.
pub fn load(
    execution: &mut Execution<'_>,
    types: &[SqlType],
    rows: Vec<Vec<Value>>,
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    let bulk = execution.state.bulk.take();
    let bulk = bulk.ok_or_else(|| {
        SqlError::new(
            4002,
            16,
            "The incoming tabular data stream (TDS) protocol stream is incorrect. The stream ended unexpectedly.",
        )
    })?;
    let count = transaction::atomic(execution, |execution| {
        let target = target::find(execution, &bulk.table)?;
        let mut maker = Maker::new(execution, target.clone())?;
        if !bulk.check_constraints {
            maker.pass_checks();
        }
        let slots = slots(&maker, &bulk, types)?;
        let mut made = Vec::with_capacity(rows.len());
        for row in &rows {
            made.push(made_row(execution, &maker, &bulk, &slots, types, row)?);
        }
        write(execution, &target, |transaction, target| {
            transaction.insert(target.database, &target.table, &made).map(|_| ())
        })?;
        if bulk.check_constraints {
            reference::check_children(execution, &target, &made, "INSERT")?;
        }
        if bulk.fire_triggers {
            let mut changes = Vec::with_capacity(made.len());
            for row in &made {
                changes.push(Change { before: None, after: Some(maker.seen(execution, row)?), found_with: Vec::new() });
            }
            module::fire(execution, &target, &changes, TriggerEvents::INSERT, &[], out)?;
        }
        Ok(made.len())
    })?;
    done(execution, u64::try_from(count).ok(), out)
}

fn slots(maker: &Maker, bulk: &InsertBulk, types: &[SqlType]) -> SqlResult<Vec<usize>> {
    if types.len() != bulk.columns.len() {
        let text = "Invalid column count in the bulk load: the rows have another number of columns than the statement.";
        return Err(SqlError::new(4819, 16, text));
    }
    let mut slots = Vec::with_capacity(types.len());
    for (name, from) in bulk.columns.iter().zip(types) {
        let column = maker.target.table.column_named(name).ok_or_else(|| SqlError::invalid_column(name))?;
        let slot = column.slot().ok_or_else(|| SqlError::invalid_column(name))?;
        if column.computed.is_some() || column.sql_type == SqlType::RowVersion {
            let text = format!(
                "The column \"{name}\" cannot be modified because it is either a computed column or is the result of a UNION operator."
            );
            return Err(SqlError::new(271, 16, text));
        }
        maker.check_type(slot, *from)?;
        slots.push(slot);
    }
    Ok(slots)
}

fn made_row(
    execution: &mut Execution<'_>,
    maker: &Maker,
    bulk: &InsertBulk,
    slots: &[usize],
    types: &[SqlType],
    row: &[Value],
) -> SqlResult<Row> {
    let mut whole: Vec<Option<Value>> = vec![None; maker.target.table.row_width()];
    for ((slot, value), from) in slots.iter().zip(row).zip(types) {
        let stored = maker.stored(execution, *slot, value, *from)?;
        // NULL stands for the default unless it shall be kept.
        let value = if stored.is_null() && !bulk.keep_nulls && maker.has_default(*slot) { None } else { Some(stored) };
        if let Some(place) = whole.get_mut(*slot) {
            *place = value;
        }
    }
    maker.inserted(execution, whole)
}
