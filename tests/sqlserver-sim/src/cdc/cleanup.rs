//! Cleanup: which changes are kept, and how the others go.

use std::ops::Bound;
use std::sync::Arc;

use crate::engine::session::Isolation;
use crate::error::SqlResult;
use crate::storage::{
    Begin, DatabaseId, IndexId, KeyRange, Lsn, ReadCursor, ReadRequest, RowId, Storage, Table, Transaction, Visibility,
    never_cancelled,
};
use crate::value::{Length, Moment, SqlType, Value, collation};

use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult};
use super::system_table::{SystemTable, broken, change_tables, lsn_time_mapping, value};
use super::{errors, functions, jobs};

pub static PROCEDURES: &[Procedure] = &[
    Procedure { name: "sp_cdc_cleanup_change_table", parameters: CLEANUP, run: cleanup_change_table },
    Procedure { name: "sp_mscdc_cleanup_job", parameters: &[], run: cleanup_job },
];

static CLEANUP: &[ProcedureParameter] = &[
    ProcedureParameter { name: "@capture_instance", sql_type: SqlType::SysName, default: None },
    ProcedureParameter { name: "@low_water_mark", sql_type: SqlType::Binary(10), default: None },
    ProcedureParameter { name: "@threshold", sql_type: SqlType::BigInt, default: Some(Value::BigInt(5000)) },
    ProcedureParameter { name: "@fcleanupfailed", sql_type: SqlType::Bit, default: Some(Value::Bit(false)) },
];
/// Position of the output.
const CLEANUP_FAILED: usize = 3;

const THRESHOLD_TYPE: SqlType = SqlType::VarBinary(Length::Limited(10));

fn cleanup_change_table(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let [name, low, threshold, ..] = arguments else { return Err(broken("an argument")) };
    let catalog = context.catalog()?;
    if !catalog.options.cdc_enabled {
        return Err(errors::not_enabled(context.transaction, context.database));
    }
    if !context.is_owner()? {
        return Err(errors::not_owner());
    }
    let name = name.as_text().unwrap_or_default();
    let none = errors::no_instance(name, context.transaction, context.database);
    let Some(instance) = catalog.instance_named(name) else { return Err(none) };
    let threshold = threshold.as_integer().and_then(|threshold| usize::try_from(threshold).ok()).unwrap_or(5000).max(1);
    let start = functions::start_lsn(context.transaction, context.database, name)?;
    let low = match Lsn::from_value(low) {
        None => start.ok_or(none)?,
        Some(low) => {
            let mark = crate::value::format::text(&low.to_value(), THRESHOLD_TYPE, Some(1)).unwrap_or_default();
            check_mapped(context.transaction, context.database, low, &mark)?;
            let within = start.is_some_and(|start| start <= low);
            if !within {
                return Err(errors::low_mark_out_of_range(&mark, name));
            }
            smallest_of_its_time(context.transaction, context.database, low)?
        }
    };
    let only = Some(&*instance.name);
    let storage = context.storage();
    raise(&storage, context.database, low, only)?;
    let change_table = catalog.table(instance.change_table).ok_or_else(|| broken("the change table"))?;
    delete_below(&storage, context.database, change_table, low, threshold)?;
    Ok(ProcedureResult { outputs: vec![(CLEANUP_FAILED, Value::Bit(false))], ..ProcedureResult::default() })
}

fn cleanup_job(context: &mut CdcContext<'_>, _arguments: &[Value]) -> SqlResult<ProcedureResult> {
    if !context.is_owner()? {
        return Err(errors::not_owner());
    }
    run(&context.storage(), context.database)?;
    Ok(ProcedureResult::default())
}

fn check_mapped(transaction: &mut Transaction, database: DatabaseId, low: Lsn, mark: &str) -> SqlResult<()> {
    if SystemTable::LsnTimeMapping.rows(transaction, database, Some(low.to_value()))?.is_empty() {
        return Err(errors::low_mark_unknown(mark));
    }
    Ok(())
}

/// Transactions that ended at one time go together: the mark is the smallest LSN of its time.
fn smallest_of_its_time(transaction: &mut Transaction, database: DatabaseId, low: Lsn) -> SqlResult<Lsn> {
    let rows = SystemTable::LsnTimeMapping.rows(transaction, database, Some(low.to_value()))?;
    let Some((_, row)) = rows.first() else { return Ok(low) };
    let time = value(row, lsn_time_mapping::TRAN_END_TIME).clone();
    Ok(first_from(transaction, database, time)?.filter(|first| *first < low).unwrap_or(low))
}

/// The smallest LSN among the transactions that ended at `time` or after.
fn first_from(transaction: &mut Transaction, database: DatabaseId, time: Value) -> SqlResult<Option<Lsn>> {
    let table = SystemTable::LsnTimeMapping.find(transaction, database)?;
    let range = KeyRange { low: Bound::Included(vec![time]), high: Bound::Unbounded };
    let first = transaction.read_first(&ReadRequest::all(database, table).range(IndexId(2), range))?;
    Ok(first.and_then(|(_, row)| Lsn::from_value(value(&row, lsn_time_mapping::START_LSN))))
}

fn begin(storage: &Arc<Storage>) -> Transaction {
    storage.begin(Begin {
        isolation: Isolation::ReadCommitted,
        session_id: 0,
        cancelled: never_cancelled(),
        lock_timeout: None,
        deadlock_priority: 0,
        of_capture: true,
    })
}

/// What the cleanup job does: the mark is the retention before the last transaction's end, and holds for all instances.
///
/// # Errors
/// 1205 and the like; what was done until then stays done.
pub fn run(storage: &Arc<Storage>, database: DatabaseId) -> SqlResult<()> {
    let mut transaction = begin(storage);
    let Some((retention_minutes, threshold)) = jobs::stored_cleanup_parameters(&mut transaction, database)? else {
        return Ok(());
    };
    let low = low_mark(&mut transaction, database, retention_minutes)?;
    transaction.commit()?;
    match low {
        Some(low) => run_to(storage, database, low, threshold),
        None => Ok(()),
    }
}

fn low_mark(transaction: &mut Transaction, database: DatabaseId, retention_minutes: i64) -> SqlResult<Option<Lsn>> {
    let table = SystemTable::LsnTimeMapping.find(transaction, database)?;
    let mut request = ReadRequest::all(database, table).range(IndexId(2), KeyRange::ALL);
    request.descending = true;
    let Some((_, newest)) = transaction.read_first(&request)? else { return Ok(None) };
    let Value::DateTime { days, ticks } = value(&newest, lsn_time_mapping::TRAN_END_TIME) else { return Ok(None) };
    let minutes = i32::try_from(retention_minutes).unwrap_or(i32::MAX);
    let Some((days, ticks)) = Moment::from_datetime(*days, *ticks).plus_minutes(-minutes).and_then(Moment::to_datetime)
    else {
        return Ok(None);
    };
    first_from(transaction, database, Value::DateTime { days, ticks })
}

/// Cleans up below a mark in all instances.
///
/// # Errors
/// As [`run`].
pub fn run_to(storage: &Arc<Storage>, database: DatabaseId, low: Lsn, threshold: usize) -> SqlResult<()> {
    raise(storage, database, low, None)?;
    let catalog = storage.catalog(database)?;
    for instance in catalog.instances() {
        if let Some(change_table) = catalog.table(instance.change_table) {
            delete_below(storage, database, change_table, low, threshold)?;
        }
    }
    forget_times(storage, database, threshold)
}

/// First the low ends are raised, so that nobody asks for what is about to go: of every instance below the mark, or of one.
fn raise(storage: &Arc<Storage>, database: DatabaseId, low: Lsn, only: Option<&str>) -> SqlResult<()> {
    let mut transaction = begin(storage);
    for row in SystemTable::ChangeTables.current_rows(&mut transaction, database, None)? {
        let name = value(&row.1, change_tables::CAPTURE_INSTANCE).as_text().unwrap_or_default();
        let chosen = only.is_none_or(|only| collation::equal(name, only));
        let start = Lsn::from_value(value(&row.1, change_tables::START_LSN));
        if chosen && start.is_some_and(|start| start < low) {
            let column = change_tables::START_LSN;
            SystemTable::ChangeTables.set(&mut transaction, database, &row, column, low.to_value())?;
        }
    }
    transaction.commit()
}

/// Deletes a table's rows below the mark, at most `threshold` in a transaction.
fn delete_below(
    storage: &Arc<Storage>,
    database: DatabaseId,
    table: &Arc<Table>,
    low: Lsn,
    threshold: usize,
) -> SqlResult<()> {
    let range = KeyRange { low: Bound::Unbounded, high: Bound::Excluded(vec![low.to_value()]) };
    let request =
        ReadRequest::all(database, Arc::clone(table)).range(IndexId::CLUSTERED, range).visible(Visibility::Current);
    loop {
        let mut transaction = begin(storage);
        let mut rows = Vec::new();
        let mut cursor = ReadCursor::default();
        while rows.len() < threshold && transaction.read(&request, &mut cursor, threshold - rows.len(), &mut rows)? {}
        if rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<RowId> = rows.into_iter().map(|(id, _)| id).collect();
        transaction.delete(database, table, &ids)?;
        transaction.commit()?;
    }
}

/// Rows of the mapping below all low ends are of no use any more.
fn forget_times(storage: &Arc<Storage>, database: DatabaseId, threshold: usize) -> SqlResult<()> {
    let mut transaction = begin(storage);
    let rows = SystemTable::ChangeTables.rows(&mut transaction, database, None)?;
    let lowest = rows.iter().map(|(_, row)| Lsn::from_value(value(row, change_tables::START_LSN))).min().flatten();
    let table = SystemTable::LsnTimeMapping.find(&transaction, database)?;
    transaction.commit()?;
    match lowest {
        Some(lowest) => delete_below(storage, database, &table, lowest, threshold),
        None => Ok(()),
    }
}
