//! The jobs of the agent: capture and cleanup, and their parameters in `msdb.dbo.cdc_jobs`. Azure SQL Database has no
//! agent; there the parameters are in `cdc.cdc_jobs` of the database itself.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::relation::Column;
use crate::error::{SqlError, SqlResult};
use crate::storage::{
    DatabaseId, Edition, IndexId, KeyRange, ReadRequest, Row, RowId, SchemaId, Table, Transaction, UpdateManner,
    Visibility,
};
use crate::value::{Length, SqlType, Value, collation};

use super::errors;
use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult, RowSet};
use super::state::CaptureParameters;
use super::system_table::{broken, definition, value};

/// A hundred years, in minutes.
const RETENTION_MINUTES_MAX: i64 = 52_594_800;
/// Less than a day.
const POLLING_SECONDS_MAX: i64 = 86_399;
/// How often the service of Azure SQL Database scans, whatever the parameters say.
const AZURE_POLLING_SECONDS: u64 = 20;

/// Columns of `cdc_jobs` by position.
mod column {
    pub const JOB_TYPE: usize = 1;
    pub const JOB_ID: usize = 2;
    pub const MAXTRANS: usize = 3;
    pub const MAXSCANS: usize = 4;
    pub const CONTINUOUS: usize = 5;
    pub const POLLINGINTERVAL: usize = 6;
    pub const RETENTION: usize = 7;
    pub const THRESHOLD: usize = 8;
}

pub static PROCEDURES: &[Procedure] = &[
    Procedure { name: "sp_cdc_add_job", parameters: ADD_JOB, run: add_job },
    Procedure { name: "sp_cdc_change_job", parameters: CHANGE_JOB, run: change_job },
    Procedure { name: "sp_cdc_drop_job", parameters: JOB_TYPE, run: drop_job },
    Procedure { name: "sp_cdc_start_job", parameters: JOB_TYPE_OR_CAPTURE, run: start_job },
    Procedure { name: "sp_cdc_stop_job", parameters: JOB_TYPE_OR_CAPTURE, run: stop_job },
    Procedure { name: "sp_cdc_help_jobs", parameters: &[], run: help_jobs },
];

const TYPE: SqlType = SqlType::NVarChar(Length::Limited(20));

const fn optional(name: &'static str, sql_type: SqlType) -> ProcedureParameter {
    ProcedureParameter { name, sql_type, default: Some(Value::Null) }
}

static JOB_TYPE: &[ProcedureParameter] = &[ProcedureParameter { name: "@job_type", sql_type: TYPE, default: None }];
/// NULL is the capture job.
static JOB_TYPE_OR_CAPTURE: &[ProcedureParameter] = &[optional("@job_type", TYPE)];
static ADD_JOB: &[ProcedureParameter] = &[
    ProcedureParameter { name: "@job_type", sql_type: TYPE, default: None },
    ProcedureParameter { name: "@start_job", sql_type: SqlType::Bit, default: Some(Value::Bit(true)) },
    optional("@maxtrans", SqlType::Int),
    optional("@maxscans", SqlType::Int),
    optional("@continuous", SqlType::Bit),
    optional("@pollinginterval", SqlType::BigInt),
    optional("@retention", SqlType::BigInt),
    optional("@threshold", SqlType::BigInt),
];
static CHANGE_JOB: &[ProcedureParameter] = &[
    optional("@job_type", TYPE),
    optional("@maxtrans", SqlType::Int),
    optional("@maxscans", SqlType::Int),
    optional("@continuous", SqlType::Bit),
    optional("@pollinginterval", SqlType::BigInt),
    optional("@retention", SqlType::BigInt),
    optional("@threshold", SqlType::BigInt),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    Capture,
    Cleanup,
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Cleanup => "cleanup",
        }
    }

    fn parse(value: &Value) -> SqlResult<Self> {
        match value.as_text().map(str::trim) {
            None => Ok(Self::Capture),
            Some(name) if collation::equal(name, "capture") => Ok(Self::Capture),
            Some(name) if collation::equal(name, "cleanup") => Ok(Self::Cleanup),
            Some(name) => Err(SqlError::new(
                22992,
                16,
                format!("The job type '{name}' is not one of those of change data capture: 'capture' and 'cleanup'."),
            )),
        }
    }

    /// `cdc.<database>_capture`.
    fn full_name(self, transaction: &Transaction, database: DatabaseId) -> String {
        let name = transaction.storage().database(database).map_or_else(String::new, |info| info.name.to_string());
        format!("cdc.{name}_{}", self.name())
    }
}

/// What a job runs with; a capture job doesn't use the last two, a cleanup job only those.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Parameters {
    maxtrans: i64,
    maxscans: i64,
    continuous: bool,
    polling_seconds: i64,
    retention_minutes: i64,
    threshold: i64,
}

impl Parameters {
    fn default_of(job: Job) -> Self {
        let none = Self {
            maxtrans: 0,
            maxscans: 0,
            continuous: false,
            polling_seconds: 0,
            retention_minutes: 0,
            threshold: 0,
        };
        match job {
            Job::Capture => Self { maxtrans: 500, maxscans: 10, continuous: true, polling_seconds: 5, ..none },
            Job::Cleanup => Self { retention_minutes: 4320, threshold: 5000, ..none },
        }
    }

    fn of_row(row: &Row) -> Self {
        let number = |at: usize| value(row, at).as_integer().unwrap_or(0);
        Self {
            maxtrans: number(column::MAXTRANS),
            maxscans: number(column::MAXSCANS),
            continuous: number(column::CONTINUOUS) != 0,
            polling_seconds: number(column::POLLINGINTERVAL),
            retention_minutes: number(column::RETENTION),
            threshold: number(column::THRESHOLD),
        }
    }

    /// With those that are given: maxtrans, maxscans, continuous, pollinginterval, retention, threshold.
    fn with(mut self, given: &[Value]) -> Self {
        let number = |at: usize| given.get(at).and_then(Value::as_integer);
        self.maxtrans = number(0).unwrap_or(self.maxtrans);
        self.maxscans = number(1).unwrap_or(self.maxscans);
        self.continuous = number(2).map_or(self.continuous, |continuous| continuous != 0);
        // Polling belongs to a job that goes on.
        self.polling_seconds = number(3).unwrap_or(if self.continuous { self.polling_seconds } else { 0 });
        self.retention_minutes = number(4).unwrap_or(self.retention_minutes);
        self.threshold = number(5).unwrap_or(self.threshold);
        self
    }

    fn check(self, job: Job) -> SqlResult<Self> {
        match job {
            Job::Capture => {
                capture_parameters(self.maxtrans, self.maxscans, self.continuous, self.polling_seconds)?;
            }
            Job::Cleanup => {
                if !(1..=RETENTION_MINUTES_MAX).contains(&self.retention_minutes) {
                    let text =
                        format!("The parameter @retention must be between 1 and {RETENTION_MINUTES_MAX} minutes.");
                    return Err(SqlError::new(22994, 16, text));
                }
                if self.threshold < 1 {
                    return Err(SqlError::new(22850, 16, "The parameter @threshold must be greater than 0."));
                }
            }
        }
        Ok(self)
    }
}

/// Checks what a scan is to run with.
///
/// # Errors
/// 22991, 22970, 22990 and 22999 where a number is out of its range.
pub fn capture_parameters(
    maxtrans: i64,
    maxscans: i64,
    continuous: bool,
    polling_seconds: i64,
) -> SqlResult<CaptureParameters> {
    let refuse = |number: i32, text: String| Err(SqlError::new(number, 16, text));
    let positive = |n: i64| usize::try_from(n).ok().filter(|n| *n > 0);
    let Some(transactions_max) = positive(maxtrans) else {
        return refuse(22991, "The parameter @maxtrans must be greater than 0.".to_owned());
    };
    let Some(scans_max) = positive(maxscans) else {
        return refuse(22970, "The parameter @maxscans must be greater than 0.".to_owned());
    };
    if !continuous && polling_seconds != 0 {
        return refuse(22999, "The parameter @pollinginterval must be NULL or 0 where @continuous is 0.".to_owned());
    }
    if !(0..=POLLING_SECONDS_MAX).contains(&polling_seconds) {
        return refuse(
            22990,
            format!("The parameter @pollinginterval must be between 0 and {POLLING_SECONDS_MAX} seconds."),
        );
    }
    let polling_interval = Duration::from_secs(u64::try_from(polling_seconds).unwrap_or(0));
    Ok(CaptureParameters { transactions_max, scans_max, continuous, polling_interval })
}

/// One cycle by hand.
pub fn one_cycle(transactions_max: usize) -> CaptureParameters {
    CaptureParameters { transactions_max, scans_max: 1, continuous: false, polling_interval: Duration::ZERO }
}

/// Where the jobs' table is.
fn place(transaction: &Transaction, database: DatabaseId) -> SqlResult<(DatabaseId, SchemaId)> {
    if transaction.storage().edition() != Edition::AzureSqlDatabase {
        return Ok((DatabaseId::MSDB, SchemaId::DBO));
    }
    let catalog = transaction.catalog(database)?;
    let schema = catalog.schema_named("cdc").ok_or_else(|| errors::not_enabled(transaction, database))?;
    Ok((database, schema.schema_id))
}

fn find_table(transaction: &Transaction, database: DatabaseId) -> SqlResult<Option<(DatabaseId, Arc<Table>)>> {
    let Ok((place, schema)) = place(transaction, database) else { return Ok(None) };
    let table = transaction.catalog(place)?.table_named(schema, "cdc_jobs").cloned();
    Ok(table.map(|table| (place, table)))
}

fn ensure_table(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<(DatabaseId, Arc<Table>)> {
    if let Some(found) = find_table(transaction, database)? {
        return Ok(found);
    }
    let (place, schema) = place(transaction, database)?;
    let columns = [
        ("database_id", SqlType::Int, false),
        ("job_type", TYPE, false),
        ("job_id", SqlType::UniqueIdentifier, true),
        ("maxtrans", SqlType::Int, true),
        ("maxscans", SqlType::Int, true),
        ("continuous", SqlType::Bit, true),
        ("pollinginterval", SqlType::BigInt, true),
        ("retention", SqlType::BigInt, true),
        ("threshold", SqlType::BigInt, true),
    ];
    let table = definition(schema, "cdc_jobs", &columns, ("cdc_jobs_clustered_idx", &[0, 1], true));
    Ok((place, transaction.create_table(place, table)?))
}

fn key(database: DatabaseId) -> Value {
    Value::Int(i32::try_from(database.0).unwrap_or(i32::MAX))
}

fn rows(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<Vec<(RowId, Row)>> {
    let Some((place, table)) = find_table(transaction, database)? else { return Ok(Vec::new()) };
    let range = KeyRange::prefix(vec![key(database)]);
    let request = ReadRequest::all(place, table).range(IndexId::CLUSTERED, range).visible(Visibility::Current);
    transaction.read_all(&request)
}

fn find(transaction: &mut Transaction, database: DatabaseId, job: Job) -> SqlResult<Option<(RowId, Row)>> {
    let named =
        |row: &Row| value(row, column::JOB_TYPE).as_text().is_some_and(|name| collation::equal(name, job.name()));
    Ok(rows(transaction, database)?.into_iter().find(|(_, row)| named(row)))
}

fn job_row(database: DatabaseId, job: Job, id: Value, parameters: Parameters) -> Row {
    let int = |n: i64| Value::Int(i32::try_from(n).unwrap_or(i32::MAX));
    Row::from(vec![
        key(database),
        Value::text(job.name()),
        id,
        int(parameters.maxtrans),
        int(parameters.maxscans),
        Value::Bit(parameters.continuous),
        Value::BigInt(parameters.polling_seconds),
        Value::BigInt(parameters.retention_minutes),
        Value::BigInt(parameters.threshold),
    ])
}

fn add(transaction: &mut Transaction, database: DatabaseId, job: Job, parameters: Parameters) -> SqlResult<()> {
    let (place, table) = ensure_table(transaction, database)?;
    // Ids only need to differ.
    let mut id = [0_u8; 16];
    for (target, byte) in
        id.iter_mut().zip(u64::from(database.0).to_be_bytes().into_iter().chain(transaction.id().to_be_bytes()))
    {
        *target = byte;
    }
    if let Some(last) = id.last_mut() {
        *last ^= if job == Job::Capture { 0x10 } else { 0x20 };
    }
    let row = job_row(database, job, Value::Uuid(id), parameters);
    transaction.insert(place, &table, &[row]).map(drop)
}

/// Whether transactional replication reads the log of the database already.
pub fn is_published(transaction: &Transaction, database: DatabaseId) -> bool {
    transaction.storage().capture().with(database, |capture| capture.published)
}

/// What the log reader of replication captures with: it goes on, and knows nothing of the capture job.
///
/// # Errors
/// None that these numbers could have.
pub fn log_reader_parameters() -> SqlResult<CaptureParameters> {
    let Parameters { maxtrans, maxscans, continuous, polling_seconds, .. } = Parameters::default_of(Job::Capture);
    capture_parameters(maxtrans, maxscans, continuous, polling_seconds)
}

/// Creates those of the two jobs that aren't there, and starts capture. Without a capture job where a log reader reads
/// the log already. True where one was created.
///
/// # Errors
/// 1205, 1222 or cancellation.
pub fn create_missing(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<bool> {
    let mut created = false;
    let wanted: &[Job] =
        if is_published(transaction, database) { &[Job::Cleanup] } else { &[Job::Capture, Job::Cleanup] };
    for job in wanted.iter().copied() {
        if find(transaction, database, job)?.is_none() {
            add(transaction, database, job, Parameters::default_of(job))?;
            created = true;
            if job == Job::Capture {
                start(transaction, database)?;
            }
        }
    }
    Ok(created)
}

/// Removes both jobs.
///
/// # Errors
/// 1205, 1222 or cancellation.
pub fn remove_all(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<()> {
    transaction.storage().capture().with(database, |capture| capture.capture = None);
    let ids: Vec<RowId> = rows(transaction, database)?.into_iter().map(|(id, _)| id).collect();
    match find_table(transaction, database)? {
        Some((place, table)) => transaction.delete(place, &table, &ids),
        None => Ok(()),
    }
}

/// What the capture job runs with, as it is stored.
///
/// # Errors
/// 22901 and its kin where there is none.
pub fn stored_capture_parameters(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<CaptureParameters> {
    let row = find(transaction, database, Job::Capture)?.ok_or_else(|| broken("the capture job"))?.1;
    let stored = Parameters::of_row(&row);
    let mut parameters =
        capture_parameters(stored.maxtrans, stored.maxscans, stored.continuous, stored.polling_seconds)?;
    if transaction.storage().edition() == Edition::AzureSqlDatabase {
        parameters.polling_interval = Duration::from_secs(AZURE_POLLING_SECONDS);
    }
    Ok(parameters)
}

/// Minutes that changes are kept, and rows that cleanup deletes at once.
///
/// # Errors
/// Those of reading the table.
pub fn stored_cleanup_parameters(
    transaction: &mut Transaction,
    database: DatabaseId,
) -> SqlResult<Option<(i64, usize)>> {
    let row = find(transaction, database, Job::Cleanup)?;
    Ok(row.map(|(_, row)| {
        let stored = Parameters::of_row(&row);
        (stored.retention_minutes, usize::try_from(stored.threshold).unwrap_or(1).max(1))
    }))
}

/// Lets the capture job run with what is stored now, if the agent runs.
fn start(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<()> {
    if !transaction.storage().capture().agent_running() {
        return Ok(());
    }
    let parameters = stored_capture_parameters(transaction, database)?;
    transaction.storage().capture().with(database, |capture| capture.capture = Some(parameters));
    Ok(())
}

/// What the agent does when it comes up: capture jobs begin with it.
///
/// # Errors
/// Those of reading the jobs' table.
pub fn start_at_boot(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<()> {
    if find(transaction, database, Job::Capture)?.is_some() {
        start(transaction, database)?;
    }
    Ok(())
}

fn check_owner(context: &CdcContext<'_>) -> SqlResult<()> {
    if !context.catalog()?.options.cdc_enabled {
        return Err(errors::not_enabled(context.transaction, context.database));
    }
    if context.is_owner()? { Ok(()) } else { Err(errors::not_owner()) }
}

/// # Errors
/// 22911 where a log reader is in the capture job's place.
fn check_log_reader(context: &CdcContext<'_>, job: Job) -> SqlResult<()> {
    if job == Job::Capture && is_published(context.transaction, context.database) {
        return Err(errors::log_reader_reads());
    }
    Ok(())
}

fn no_agent() -> SqlError {
    SqlError::new(22022, 16, "SQLServerAgent is not currently running so it cannot be notified of this action.")
}

fn no_job(name: &str) -> SqlError {
    SqlError::new(14262, 16, format!("The specified @job_name ('{name}') does not exist."))
}

fn add_job(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    check_owner(context)?;
    let [job_type, start_job, given @ ..] = arguments else { return Err(broken("an argument")) };
    let job = Job::parse(job_type)?;
    check_log_reader(context, job)?;
    if find(context.transaction, context.database, job)?.is_some() {
        let name = job.full_name(context.transaction, context.database);
        return Err(SqlError::new(14261, 16, format!("The specified @name ('{name}') already exists.")));
    }
    add(context.transaction, context.database, job, Parameters::default_of(job).with(given).check(job)?)?;
    if job == Job::Capture && start_job.as_integer() == Some(1) {
        start(context.transaction, context.database)?;
    }
    Ok(ProcedureResult::default())
}

/// A job that runs goes on with what it was started with.
fn change_job(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    check_owner(context)?;
    let [job_type, given @ ..] = arguments else { return Err(broken("an argument")) };
    let job = Job::parse(job_type)?;
    let interval_given = given.get(2..4).is_some_and(|given| given.iter().any(|value| !value.is_null()));
    if interval_given && context.storage().edition() == Edition::AzureSqlDatabase {
        let text = "The parameters @pollinginterval and @continuous cannot be changed in Azure SQL Database.";
        return Err(SqlError::new(22990, 16, text));
    }
    let found = find(context.transaction, context.database, job)?;
    let (id, row) = found.ok_or_else(|| no_job(&job.full_name(context.transaction, context.database)))?;
    let parameters = Parameters::of_row(&row).with(given).check(job)?;
    let (place, table) = ensure_table(context.transaction, context.database)?;
    let row = job_row(context.database, job, value(&row, column::JOB_ID).clone(), parameters);
    context.transaction.update(place, &table, &[(id, row)], UpdateManner::InPlace)?;
    Ok(ProcedureResult::default())
}

fn drop_job(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    check_owner(context)?;
    let [job_type] = arguments else { return Err(broken("an argument")) };
    let job = Job::parse(job_type)?;
    let found = find(context.transaction, context.database, job)?;
    let (id, _) = found.ok_or_else(|| no_job(&job.full_name(context.transaction, context.database)))?;
    let (place, table) = ensure_table(context.transaction, context.database)?;
    context.transaction.delete(place, &table, &[id])?;
    if job == Job::Capture {
        context.storage().capture().with(context.database, |capture| capture.capture = None);
    }
    Ok(ProcedureResult::default())
}

fn start_job(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    check_owner(context)?;
    let job = Job::parse(arguments.first().unwrap_or(&Value::Null))?;
    check_log_reader(context, job)?;
    if find(context.transaction, context.database, job)?.is_none() {
        return Err(no_job(&job.full_name(context.transaction, context.database)));
    }
    if !context.storage().capture().agent_running() {
        return Err(no_agent());
    }
    match job {
        Job::Capture => {
            let running = context.storage().capture().with(context.database, |capture| capture.capture.is_some());
            if running {
                let name = job.full_name(context.transaction, context.database);
                let text = format!(
                    "SQLServerAgent Error: Request to run job {name} refused because the job is already running."
                );
                return Err(SqlError::new(22022, 16, text));
            }
            start(context.transaction, context.database)?;
        }
        Job::Cleanup => super::cleanup::run(&context.storage(), context.database)?,
    }
    Ok(ProcedureResult::default())
}

fn stop_job(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    check_owner(context)?;
    let job = Job::parse(arguments.first().unwrap_or(&Value::Null))?;
    if find(context.transaction, context.database, job)?.is_none() {
        return Err(no_job(&job.full_name(context.transaction, context.database)));
    }
    if !context.storage().capture().agent_running() {
        return Err(no_agent());
    }
    if job == Job::Capture {
        let running = context.storage().capture().with(context.database, |capture| capture.capture.take());
        if running.is_none() {
            let name = job.full_name(context.transaction, context.database);
            let text = format!(
                "SQLServerAgent Error: Request to stop job {name} refused because the job is not currently running."
            );
            return Err(SqlError::new(22022, 16, text));
        }
    }
    Ok(ProcedureResult::default())
}

fn help_jobs(context: &mut CdcContext<'_>, _arguments: &[Value]) -> SqlResult<ProcedureResult> {
    check_owner(context)?;
    let columns = vec![
        Column::new("job_id", SqlType::UniqueIdentifier, true),
        Column::new("job_type", TYPE, false),
        Column::new("job_name", SqlType::SysName, true),
        Column::new("maxtrans", SqlType::Int, true),
        Column::new("maxscans", SqlType::Int, true),
        Column::new("continuous", SqlType::Bit, true),
        Column::new("pollinginterval", SqlType::BigInt, true),
        Column::new("retention", SqlType::BigInt, true),
        Column::new("threshold", SqlType::BigInt, true),
    ];
    let mut given = Vec::new();
    for (_, row) in rows(context.transaction, context.database)? {
        let job = Job::parse(value(&row, column::JOB_TYPE))?;
        let mut values = vec![
            value(&row, column::JOB_ID).clone(),
            value(&row, column::JOB_TYPE).clone(),
            Value::text(&job.full_name(context.transaction, context.database)),
        ];
        values.extend((column::MAXTRANS..=column::THRESHOLD).map(|at| value(&row, at).clone()));
        given.push(values);
    }
    Ok(ProcedureResult { results: vec![RowSet { columns, rows: given }], ..ProcedureResult::default() })
}
