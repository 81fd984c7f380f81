//! `msdb.dbo.sp_start_job` and `sp_stop_job`, for the jobs of change data capture, which are the only ones.

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, Edition, PrincipalId};
use crate::value::{Length, SqlType, Value, collation, format};

use super::job_procedures::{self, no_job};
use super::jobs::{self, Job, column};
use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult};
use super::system_table::value;

pub static PROCEDURES: &[Procedure] = &[
    Procedure { name: "sp_start_job", parameters: START, run: start },
    Procedure { name: "sp_stop_job", parameters: STOP, run: stop },
];

const fn optional(name: &'static str, sql_type: SqlType) -> ProcedureParameter {
    ProcedureParameter { name, sql_type, default: Some(Value::Null) }
}

const NAME: ProcedureParameter = optional("@job_name", SqlType::SysName);
const ID: ProcedureParameter = optional("@job_id", SqlType::UniqueIdentifier);
const SERVER: ProcedureParameter = optional("@server_name", SqlType::NVarChar(Length::Limited(128)));

static START: &[ProcedureParameter] = &[
    NAME,
    optional("@error_flag", SqlType::Int),
    SERVER,
    ID,
    optional("@step_name", SqlType::SysName),
    optional("@output_flag", SqlType::Int),
];
/// Where `@job_id` stands in both.
const ID_PLACE: usize = 3;
static STOP: &[ProcedureParameter] = &[NAME, optional("@originating_server", SqlType::SysName), SERVER, ID];

fn start(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let (name, mut result) = run(context, "sp_start_job", arguments, job_procedures::start_job)?;
    result.messages.push(SqlError::new(14_243, 10, format!("Job '{name}' started successfully.")));
    Ok(result)
}

fn stop(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let (name, mut result) = run(context, "sp_stop_job", arguments, job_procedures::stop_job)?;
    result.messages.push(SqlError::new(14_254, 10, format!("Job '{name}' stopped successfully.")));
    Ok(result)
}

/// Does something with the job that the arguments name, as its owner.
fn run(
    context: &mut CdcContext<'_>,
    procedure: &str,
    arguments: &[Value],
    act: fn(&mut CdcContext<'_>, &[Value]) -> SqlResult<ProcedureResult>,
) -> SqlResult<(String, ProcedureResult)> {
    if context.database != DatabaseId::MSDB || context.storage().edition() == Edition::AzureSqlDatabase {
        return Err(SqlError::no_procedure(procedure));
    }
    let (name, id) = (arguments.first().unwrap_or(&Value::Null), arguments.get(ID_PLACE).unwrap_or(&Value::Null));
    let wanted = match (name.as_text(), id) {
        (Some(name), Value::Null) => Wanted::Name(name),
        (None, id) if !id.is_null() => Wanted::Id(id),
        _ => {
            let text = "Supply either @job_id or @job_name to identify the job.";
            return Err(SqlError::new(14_294, 16, text));
        }
    };
    let found = find(context, &wanted)?;
    let (database, job, job_type) = found.ok_or_else(|| wanted.unknown())?;
    let name = job.full_name(context.transaction, database);
    let mut owner =
        CdcContext { transaction: &mut *context.transaction, database, user: PrincipalId::DBO, login: context.login };
    let result = act(&mut owner, &[job_type])?;
    Ok((name, result))
}

/// Which job is meant.
enum Wanted<'a> {
    Name(&'a str),
    Id(&'a Value),
}

impl Wanted<'_> {
    fn unknown(&self) -> SqlError {
        match self {
            Self::Name(name) => no_job(name),
            Self::Id(id) => {
                let id = format::text(id, SqlType::UniqueIdentifier, None).unwrap_or_default();
                SqlError::new(14_262, 16, format!("The specified @job_id ('{id}') does not exist."))
            }
        }
    }
}

/// The job's database and kind. Others than sysadmin see only their own jobs, and those of change data capture aren't
/// theirs.
fn find(context: &mut CdcContext<'_>, wanted: &Wanted<'_>) -> SqlResult<Option<(DatabaseId, Job, Value)>> {
    if !context.is_sysadmin() {
        return Ok(None);
    }
    for database in context.storage().databases() {
        for (_, row) in jobs::rows(context.transaction, database.id)? {
            let job_type = value(&row, column::JOB_TYPE).clone();
            let job = Job::parse(&job_type)?;
            let found = match wanted {
                Wanted::Name(name) => collation::equal(name, &job.full_name(context.transaction, database.id)),
                Wanted::Id(id) => value(&row, column::JOB_ID) == *id,
            };
            if found {
                return Ok(Some((database.id, job, job_type)));
            }
        }
    }
    Ok(None)
}
