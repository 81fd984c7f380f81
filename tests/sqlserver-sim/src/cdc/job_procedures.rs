//! The procedures by which jobs are added, changed, started, stopped and told of.

use crate::engine::relation::Column;
use crate::error::{SqlError, SqlResult};
use crate::storage::{Edition, UpdateManner};
use crate::value::{SqlType, Value};

use super::errors;
use super::jobs::{Job, Parameters, TYPE, add, column, ensure_table, find, is_published, job_row, rows, start};
use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult, RowSet};
use super::system_table::{broken, value};

pub static PROCEDURES: &[Procedure] = &[
    Procedure { name: "sp_cdc_add_job", parameters: ADD_JOB, run: add_job },
    Procedure { name: "sp_cdc_change_job", parameters: CHANGE_JOB, run: change_job },
    Procedure { name: "sp_cdc_drop_job", parameters: JOB_TYPE, run: drop_job },
    Procedure { name: "sp_cdc_start_job", parameters: JOB_TYPE_OR_CAPTURE, run: start_job },
    Procedure { name: "sp_cdc_stop_job", parameters: JOB_TYPE_OR_CAPTURE, run: stop_job },
    Procedure { name: "sp_cdc_help_jobs", parameters: &[], run: help_jobs },
];

const fn optional(name: &'static str, sql_type: SqlType) -> ProcedureParameter {
    ProcedureParameter { name, sql_type, default: Some(Value::Null) }
}

/// Parameters of a procedure's own, and behind them what a job runs with, in the order that [`Parameters::with`] takes.
macro_rules! with_settings {
    ($($own:expr),+) => {
        &[
            $($own,)+
            optional("@maxtrans", SqlType::Int),
            optional("@maxscans", SqlType::Int),
            optional("@continuous", SqlType::Bit),
            optional("@pollinginterval", SqlType::BigInt),
            optional("@retention", SqlType::BigInt),
            optional("@threshold", SqlType::BigInt),
        ]
    };
}

const NAMED_JOB: ProcedureParameter = ProcedureParameter { name: "@job_type", sql_type: TYPE, default: None };
/// NULL is the capture job.
const JOB_OR_CAPTURE: ProcedureParameter = optional("@job_type", TYPE);
const START_JOB: ProcedureParameter =
    ProcedureParameter { name: "@start_job", sql_type: SqlType::Bit, default: Some(Value::Bit(true)) };

static JOB_TYPE: &[ProcedureParameter] = &[NAMED_JOB];
static JOB_TYPE_OR_CAPTURE: &[ProcedureParameter] = &[JOB_OR_CAPTURE];
static ADD_JOB: &[ProcedureParameter] = with_settings!(NAMED_JOB, START_JOB);
static CHANGE_JOB: &[ProcedureParameter] = with_settings!(JOB_OR_CAPTURE);

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

pub(super) fn no_job(name: &str) -> SqlError {
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

pub(super) fn start_job(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
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

pub(super) fn stop_job(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
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
