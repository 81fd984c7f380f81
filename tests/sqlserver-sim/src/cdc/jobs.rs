//! The jobs of the agent: capture and cleanup, and their parameters in `msdb.dbo.cdc_jobs`. Azure SQL Database has no
//! agent; there the parameters are in `cdc.cdc_jobs` of the database itself.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    DatabaseId, Edition, IndexId, KeyRange, ReadRequest, Row, RowId, SchemaId, Table, Transaction, Visibility,
};
use crate::value::{Length, SqlType, Value, collation};

use super::errors;
use super::state::CaptureParameters;
use super::system_table::{broken, definition, value};

/// A hundred years, in minutes.
const RETENTION_MINUTES_MAX: i64 = 52_594_800;
/// Less than a day.
const POLLING_SECONDS_MAX: i64 = 86_399;
/// How often the service of Azure SQL Database scans, whatever the parameters say.
const AZURE_POLLING_SECONDS: u64 = 20;

/// Columns of `cdc_jobs` by position.
pub mod column {
    pub const JOB_TYPE: usize = 1;
    pub const JOB_ID: usize = 2;
    pub const MAXTRANS: usize = 3;
    pub const MAXSCANS: usize = 4;
    pub const CONTINUOUS: usize = 5;
    pub const POLLINGINTERVAL: usize = 6;
    pub const RETENTION: usize = 7;
    pub const THRESHOLD: usize = 8;
}

pub const TYPE: SqlType = SqlType::NVarChar(Length::Limited(20));

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

    pub fn parse(value: &Value) -> SqlResult<Self> {
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
    pub fn full_name(self, transaction: &Transaction, database: DatabaseId) -> String {
        let name = transaction.storage().database(database).map_or_else(String::new, |info| info.name.to_string());
        format!("cdc.{name}_{}", self.name())
    }
}

/// What a job runs with; a capture job doesn't use the last two, a cleanup job only those.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parameters {
    maxtrans: i64,
    maxscans: i64,
    continuous: bool,
    polling_seconds: i64,
    retention_minutes: i64,
    threshold: i64,
}

impl Parameters {
    pub fn default_of(job: Job) -> Self {
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

    pub fn of_row(row: &Row) -> Self {
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
    pub fn with(mut self, given: &[Value]) -> Self {
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

    pub fn check(self, job: Job) -> SqlResult<Self> {
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

pub fn ensure_table(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<(DatabaseId, Arc<Table>)> {
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

pub fn rows(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<Vec<(RowId, Row)>> {
    let Some((place, table)) = find_table(transaction, database)? else { return Ok(Vec::new()) };
    let range = KeyRange::prefix(vec![key(database)]);
    let request = ReadRequest::all(place, table).range(IndexId::CLUSTERED, range).visible(Visibility::Current);
    transaction.read_all(&request)
}

pub fn find(transaction: &mut Transaction, database: DatabaseId, job: Job) -> SqlResult<Option<(RowId, Row)>> {
    let named =
        |row: &Row| value(row, column::JOB_TYPE).as_text().is_some_and(|name| collation::equal(name, job.name()));
    Ok(rows(transaction, database)?.into_iter().find(|(_, row)| named(row)))
}

pub fn job_row(database: DatabaseId, job: Job, id: Value, parameters: Parameters) -> Row {
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

pub fn add(transaction: &mut Transaction, database: DatabaseId, job: Job, parameters: Parameters) -> SqlResult<()> {
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
pub fn start(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<()> {
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
