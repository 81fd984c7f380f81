//! The capture process: it reads the log in the order of commits and writes change tables.
//!
//! One cycle is one transaction over all change tables and `cdc.lsn_time_mapping`, so that readers see all that a
//! transaction of a source did, or nothing. A cycle that fails leaves nothing behind; the next one begins at the same
//! place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::session::Isolation;
use crate::error::{SqlError, SqlResult};
use crate::storage::{
    Begin, Catalog, DatabaseId, Edition, LogChange, LogRecord, LoggedTransaction, Lsn, ObjectId, Retyped, Row, RowId,
    Storage, Table, Transaction,
};
use crate::value::{Moment, SqlType, Value};

use super::change_table::{self, Place};
use super::failure::{Failure, ScanResult};
use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult};
use super::state::{CaptureParameters, ScanError, ScanSession};
use super::system_table::{SystemTable, broken, change_tables, lsn_time_mapping, value};
use super::target::Target;
use super::{disable, errors, jobs};

/// Rows that are held before they go to a change table.
const BUFFERED_ROWS_MAX: usize = 50_000;

pub static PROCEDURES: &[Procedure] = &[
    Procedure { name: "sp_cdc_scan", parameters: SCAN, run: scan_procedure },
    Procedure { name: "sp_mscdc_capture_job", parameters: &[], run: capture_job },
];

const fn parameter(name: &'static str, sql_type: SqlType, default: Value) -> ProcedureParameter {
    ProcedureParameter { name, sql_type, default: Some(default) }
}

static SCAN: &[ProcedureParameter] = &[
    parameter("@maxtrans", SqlType::Int, Value::Int(500)),
    parameter("@maxscans", SqlType::Int, Value::Int(10)),
    parameter("@continuous", SqlType::TinyInt, Value::TinyInt(0)),
    parameter("@pollinginterval", SqlType::BigInt, Value::BigInt(0)),
    parameter("@is_from_job", SqlType::Int, Value::Int(0)),
];

fn scan_procedure(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let number = |at: usize| arguments.get(at).and_then(Value::as_integer).unwrap_or(0);
    if !context.catalog()?.options.cdc_enabled {
        return Err(errors::not_enabled(context.transaction, context.database));
    }
    if !context.is_owner()? {
        return Err(errors::not_owner());
    }
    check_log_reader(context)?;
    check_job(context)?;
    let parameters = jobs::capture_parameters(number(0), number(1), number(2) != 0, number(3))?;
    run(&context.storage(), context.database, parameters)?;
    Ok(ProcedureResult::default())
}

/// What the job's step calls: a scan with the job's own parameters. It comes back after one round here, where a real one
/// goes on until it is stopped.
fn capture_job(context: &mut CdcContext<'_>, _arguments: &[Value]) -> SqlResult<ProcedureResult> {
    if !context.is_owner()? {
        return Err(errors::not_owner());
    }
    check_log_reader(context)?;
    check_job(context)?;
    let parameters = jobs::stored_capture_parameters(context.transaction, context.database)?;
    run(&context.storage(), context.database, parameters)?;
    Ok(ProcedureResult::default())
}

/// # Errors
/// 22911 where transactional replication reads the log.
fn check_log_reader(context: &CdcContext<'_>) -> SqlResult<()> {
    if jobs::is_published(context.transaction, context.database) {
        return Err(errors::log_reader_reads());
    }
    Ok(())
}

/// A capture job that goes on is the log's reader between its scans too; the scheduler of Azure SQL Database only while
/// it scans.
///
/// # Errors
/// 22903 where such a job runs.
fn check_job(context: &CdcContext<'_>) -> SqlResult<()> {
    let storage = context.storage();
    if storage.edition() != Edition::AzureSqlDatabase && storage.capture().job_goes_on(context.database) {
        return Err(errors::log_reader_busy());
    }
    Ok(())
}

/// What a cycle came upon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Transactions read.
    pub transactions: usize,
    /// Rows written to change tables.
    pub rows: usize,
}

/// Scans until the log's end, or as many cycles as the parameters allow.
///
/// # Errors
/// 22903 where another scan is going on; those of a cycle, which `sys.dm_cdc_errors` keeps too.
pub fn run(storage: &Arc<Storage>, database: DatabaseId, parameters: CaptureParameters) -> SqlResult<Progress> {
    let turn = storage.capture().take_turn(database).ok_or_else(errors::log_reader_busy)?;
    let mut total = Progress::default();
    for _ in 0..parameters.scans_max {
        if turn.cancelled().load(Ordering::Relaxed) {
            return Err(SqlError::cancelled());
        }
        let progress = session(storage, database, parameters.transactions_max, turn.cancelled())?;
        total.transactions += progress.transactions;
        total.rows += progress.rows;
        if progress.transactions < parameters.transactions_max {
            break;
        }
    }
    Ok(total)
}

/// A cycle, with its row in the view of sessions.
fn session(
    storage: &Arc<Storage>,
    database: DatabaseId,
    transactions_max: usize,
    cancelled: &Arc<AtomicBool>,
) -> SqlResult<Progress> {
    let start_time = storage.clock().now();
    let session_id = storage.capture().with(database, super::state::DatabaseCapture::next_session_id);
    let mut cycle = Cycle::new(storage, database, transactions_max)?;
    let outcome = cycle.run(cancelled);
    let last = cycle.pending.last();
    let row = ScanSession {
        session_id,
        start_time,
        end_time: storage.clock().now(),
        phase: if outcome.is_ok() { "Done" } else { "Aborted" },
        error_count: i32::from(outcome.is_err()),
        start_lsn: cycle.pending.first().map_or(Lsn::ZERO, |first| first.begin_lsn),
        end_lsn: last.map_or(Lsn::ZERO, |last| last.commit_lsn),
        transactions: i64::try_from(cycle.pending.len()).unwrap_or(i64::MAX),
        last_commit_lsn: last.map_or(Lsn::ZERO, |last| last.commit_lsn),
        last_commit_time: last.map(|last| last.committed),
        records: cycle.pending.iter().map(|logged| i64::try_from(logged.records.len()).unwrap_or(0)).sum(),
        schema_changes: cycle.schema_changes,
        commands: i64::try_from(cycle.rows).unwrap_or(i64::MAX),
        empty_scans: i32::from(outcome.is_ok() && cycle.pending.is_empty()),
        failed_sessions: i32::from(outcome.is_err()),
    };
    let (time, (start_lsn, begin_lsn)) = (row.end_time, cycle.at);
    storage.capture().with(database, |capture| {
        capture.push_session(row);
        for error in outcome.as_ref().err().into_iter().flat_map(Failure::errors) {
            capture.push_error(ScanError { session_id, time, error: error.clone(), start_lsn, begin_lsn });
        }
    });
    let progress = Progress { transactions: cycle.pending.len(), rows: cycle.rows };
    outcome.map(|()| progress).map_err(|failure| failure.cause)
}

/// Of rows that don't fit their change table, or can't be written to it.
fn not_written(cause: SqlError) -> Failure {
    Failure::from(cause).led_to(errors::changes_not_written()).led_to(errors::log_records_failed())
}

/// One cycle. First it looks at the log, then it writes down what it found there.
pub(super) struct Cycle {
    storage: Arc<Storage>,
    database: DatabaseId,
    pending: Vec<Arc<LoggedTransaction>>,
    /// The last commit of others as it was when the log held nothing else for capture.
    idle_at: Option<Lsn>,
    instances: Vec<Target>,
    buffered: usize,
    rows: usize,
    schema_changes: i32,
    /// Commit and beginning of the transaction at hand, for errors.
    at: (Lsn, Lsn),
}

impl Cycle {
    pub(super) fn new(storage: &Arc<Storage>, database: DatabaseId, transactions_max: usize) -> SqlResult<Self> {
        let (pending, idle_at) = storage.with_log(database, |log| {
            let pending = log.pending(transactions_max);
            let idle_at = pending.is_empty().then(|| log.last_commit());
            (pending, idle_at)
        })?;
        Ok(Self {
            storage: Arc::clone(storage),
            database,
            pending,
            idle_at,
            instances: Vec::new(),
            buffered: 0,
            rows: 0,
            schema_changes: 0,
            at: (Lsn::ZERO, Lsn::ZERO),
        })
    }

    pub(super) fn run(&mut self, cancelled: &Arc<AtomicBool>) -> ScanResult<()> {
        let mut transaction = self.storage.begin(Begin {
            isolation: Isolation::ReadCommitted,
            session_id: 0,
            cancelled: Arc::clone(cancelled),
            lock_timeout: None,
            deadlock_priority: 0,
            of_capture: true,
        });
        let catalog = transaction.catalog(self.database)?;
        if !catalog.options.cdc_enabled {
            return Err(errors::not_enabled(&transaction, self.database).into());
        }
        disable::pending(&mut transaction, self.database)?;
        let catalog = transaction.catalog(self.database)?;
        self.find_instances(&mut transaction, &catalog)?;
        for logged in self.pending.clone() {
            self.at = (logged.commit_lsn, logged.begin_lsn);
            self.transaction(&mut transaction, &logged)?;
        }
        self.flush(&mut transaction)?;
        if let Some(last_commit) = self.idle_at {
            self.mark_idle(&mut transaction, last_commit)?;
        }
        transaction.commit()?;
        Ok(self.storage.with_log(self.database, |log| log.discard(self.pending.len()))?)
    }

    fn find_instances(&mut self, transaction: &mut Transaction, catalog: &Catalog) -> SqlResult<()> {
        let clr_types_break = self.storage.capture().clr_types_break();
        let mut rows: BTreeMap<i64, (RowId, Row)> = BTreeMap::new();
        for row in SystemTable::ChangeTables.current_rows(transaction, self.database, None)? {
            rows.insert(value(&row.1, 0).as_integer().unwrap_or(0), row);
        }
        for instance in catalog.instances() {
            let Some(row) = rows.remove(&i64::from(instance.change_table.0)) else { continue };
            let change_table = catalog.table(instance.change_table).ok_or_else(|| broken("a change table"))?;
            self.instances.push(Target {
                recognised: !value(&row.1, change_tables::START_LSN).is_null(),
                instance: Arc::clone(instance),
                change_table: Arc::clone(change_table),
                full_mask: change_table::full_mask(instance),
                row,
                rows: Vec::new(),
                clr_types_break,
            });
        }
        Ok(())
    }

    fn transaction(&mut self, transaction: &mut Transaction, logged: &LoggedTransaction) -> ScanResult<()> {
        let rows_before = self.rows;
        for record in &logged.records {
            match &record.change {
                LogChange::Enabled { change_table } => self.recognise(transaction, *change_table, logged.commit_lsn)?,
                LogChange::Ddl { table, command, retyped } => {
                    self.flush(transaction)?;
                    self.schema_change(transaction, logged, *table, command, retyped)
                        .map_err(|failure| failure.led_to(errors::definition_record_failed()))?;
                }
                LogChange::Insert { table, .. } | LogChange::Delete { table, .. } | LogChange::Update { table, .. } => {
                    self.record(logged.commit_lsn, table, record).map_err(not_written)?;
                }
            }
            if self.buffered >= BUFFERED_ROWS_MAX {
                self.flush(transaction)?;
            }
        }
        let id = if self.rows > rows_before { transaction_id(logged.transaction_id) } else { Value::binary(&[0]) };
        map_time(transaction, self.database, logged.commit_lsn, logged.began, logged.committed, id, logged.begin_lsn)
            .map_err(|cause| {
                Failure::from(cause).led_to(errors::times_not_written()).led_to(errors::log_records_failed())
            })
    }

    /// The instance begins: what commits after this goes to its change table.
    fn recognise(&mut self, transaction: &mut Transaction, change_table: ObjectId, lsn: Lsn) -> SqlResult<()> {
        let Some(target) = self.instances.iter_mut().find(|target| target.instance.change_table == change_table) else {
            return Ok(());
        };
        let column = change_tables::START_LSN;
        SystemTable::ChangeTables.set(transaction, self.database, &target.row, column, lsn.to_value())?;
        target.recognised = true;
        Ok(())
    }

    fn record(&mut self, commit_lsn: Lsn, source: &Arc<Table>, record: &LogRecord) -> SqlResult<()> {
        let place = Place { start_lsn: commit_lsn, seqval: record.lsn, command_id: record.command_id };
        for target in &mut self.instances {
            if target.recognised && target.instance.source == source.object_id {
                let added = target.add(&place, source, &record.change)?;
                self.buffered += added;
                self.rows += added;
            }
        }
        Ok(())
    }

    /// Writes what is buffered.
    fn flush(&mut self, transaction: &mut Transaction) -> ScanResult<()> {
        for target in &mut self.instances {
            if !target.rows.is_empty() {
                let rows = std::mem::take(&mut target.rows);
                transaction.insert(self.database, &target.change_table, &rows).map_err(not_written)?;
            }
        }
        self.buffered = 0;
        Ok(())
    }

    /// The phase "schema versioning": a row of history for each instance, and change tables follow columns' types.
    fn schema_change(
        &mut self,
        transaction: &mut Transaction,
        logged: &LoggedTransaction,
        table: ObjectId,
        command: &Arc<str>,
        retyped: &[Retyped],
    ) -> ScanResult<()> {
        self.schema_changes += 1;
        let database = self.database;
        let catalog = transaction.catalog(database)?;
        let source = catalog.table(table).map_or("", |table| &table.name);
        for target in self.instances.iter_mut().filter(|target| target.recognised && target.instance.source == table) {
            let followed = target.follow(transaction, database, source, retyped)?;
            let row = vec![
                Value::Int(table.0),
                Value::Int(target.instance.change_table.0),
                Value::Bit(followed),
                Value::Text(Arc::clone(command)),
                logged.commit_lsn.to_value(),
                change_table::datetime(logged.committed),
            ];
            SystemTable::DdlHistory
                .insert(transaction, database, vec![row])
                .map_err(|cause| Failure::from(cause).led_to(errors::history_not_written(&target.change_table.name)))?;
        }
        Ok(())
    }

    /// A row without transaction tells readers that they are at the end of the log: when others have committed something
    /// that isn't captured, and from time to time.
    fn mark_idle(&mut self, transaction: &mut Transaction, last_commit: Lsn) -> SqlResult<()> {
        let now = self.storage.clock().now();
        let newest = newest_mapping(transaction, self.database)?;
        let lsn = match newest {
            Some((lsn, _)) if last_commit > lsn => Some(last_commit),
            Some((_, time)) if elapsed(time, now) < self.storage.capture().idle_after() => return Ok(()),
            None if self.instances.iter().all(|target| !target.recognised) => return Ok(()),
            _ => transaction.log_idle(self.database)?,
        };
        // What has been committed since the log was looked at is for the next cycle: no place behind it is told before.
        let Some(lsn) = lsn else { return Ok(()) };
        map_time(transaction, self.database, lsn, now, now, Value::binary(&[0]), Lsn::ZERO)
    }
}

fn elapsed(from: Option<Moment>, to: Moment) -> std::time::Duration {
    let ticks = from.map_or(i128::MAX, |from| to.total_ticks() - from.total_ticks());
    std::time::Duration::from_micros(u64::try_from((ticks / 10).max(0)).unwrap_or(u64::MAX))
}

/// The last row of the mapping: its LSN and the time of its end.
fn newest_mapping(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<Option<(Lsn, Option<Moment>)>> {
    let table = SystemTable::LsnTimeMapping.find(transaction, database)?;
    let mut request = crate::storage::ReadRequest::all(database, table).visible(crate::storage::Visibility::Current);
    request.descending = true;
    let newest = transaction.read_first(&request)?;
    Ok(newest.and_then(|(_, row)| {
        let lsn = Lsn::from_value(value(&row, lsn_time_mapping::START_LSN))?;
        let time = match value(&row, lsn_time_mapping::TRAN_END_TIME) {
            Value::DateTime { days, ticks } => Some(Moment::from_datetime(*days, *ticks)),
            _ => None,
        };
        Some((lsn, time))
    }))
}

fn map_time(
    transaction: &mut Transaction,
    database: DatabaseId,
    lsn: Lsn,
    began: Moment,
    ended: Moment,
    id: Value,
    begin_lsn: Lsn,
) -> SqlResult<()> {
    let row =
        vec![lsn.to_value(), change_table::datetime(began), change_table::datetime(ended), id, begin_lsn.to_value()];
    SystemTable::LsnTimeMapping.insert(transaction, database, vec![row])
}

/// Six bytes, as the server has them.
fn transaction_id(id: u64) -> Value {
    let [_, _, bytes @ ..] = id.to_be_bytes();
    Value::binary(&bytes)
}

/// Reads the log to its end, whatever the job's parameters are.
///
/// # Errors
/// As [`run`].
pub fn run_to_end(storage: &Arc<Storage>, database: DatabaseId) -> SqlResult<Progress> {
    let everything = CaptureParameters {
        transactions_max: 500,
        scans_max: usize::MAX,
        continuous: false,
        polling_interval: std::time::Duration::ZERO,
    };
    run(storage, database, everything)
}
