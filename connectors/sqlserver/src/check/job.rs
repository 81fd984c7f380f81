//! Whether the log is being captured, and how long changes are kept.

use millstream_core::error::SourceError;
use millstream_core::source::{Problem, Severity};

use super::{attempt, bit, int, problem, text};
use crate::connect::Connection;

/// A scan that ended longer ago than this is none of a job that runs: it polls every five seconds by default, in
/// Azure SQL Database every twenty, and after a busy time a scan takes a while. In seconds.
const SCAN_AGE_MAX_SECONDS: i32 = 300;
/// Changes that are kept for less than this are gone after one night in which nobody was there. In minutes.
const RETENTION_MIN_MINUTES: i32 = 24 * 60;

pub(super) async fn problems(connection: &mut Connection) -> Result<Vec<Problem>, SourceError> {
    let mut problems = Vec::new();
    let runs = scan_problem(connection, &mut problems).await?;
    if connection.server.engine.has_agent() {
        if !runs {
            problems.extend(agent_problem(connection).await?);
        }
        problems.extend(job_problems(connection).await?);
    }
    Ok(problems)
}

/// Whether scans come one after the other.
async fn scan_problem(connection: &mut Connection, problems: &mut Vec<Problem>) -> Result<bool, SourceError> {
    let start = match connection.server.engine.has_agent() {
        true => "EXEC sys.sp_cdc_start_job @job_type = N'capture';",
        false => "Look for what the scheduler met: SELECT * FROM sys.dm_cdc_errors ORDER BY entry_time DESC;",
    };
    let query = "SELECT MAX(session_id), DATEDIFF(second, MAX(end_time), GETDATE()) \
                 FROM sys.dm_cdc_log_scan_sessions WHERE session_id > 0";
    let rows = attempt(connection, query).await?.unwrap_or_default();
    let Some(row) = rows.first() else { return Ok(true) };
    let found = match (int(row, 0), int(row, 1)) {
        (None, _) => "the log hasn't been scanned since the server started".to_owned(),
        (_, Some(age)) if age > SCAN_AGE_MAX_SECONDS => format!("the log was scanned {age} s ago for the last time"),
        _ => return Ok(true),
    };
    problems.push(problem(Severity::Error, "capture job", found, start));
    Ok(false)
}

async fn agent_problem(connection: &mut Connection) -> Result<Option<Problem>, SourceError> {
    let query =
        "SELECT servicename, status_desc FROM sys.dm_server_services WHERE servicename LIKE N'SQL Server Agent%'";
    let rows = attempt(connection, query).await?.unwrap_or_default();
    let stopped = rows.first().map(|row| (text(row, 0), text(row, 1))).filter(|(_, status)| status != "Running");
    Ok(stopped.map(|(service, status)| {
        let remedy = "Start the service SQL Server Agent, and have it start with the server. In a Linux container: \
                      MSSQL_AGENT_ENABLED=true";
        problem(Severity::Error, service, format!("{status}; it is what runs the capture job"), remedy)
    }))
}

/// The jobs' settings, where the user may see them.
async fn job_problems(connection: &mut Connection) -> Result<Vec<Problem>, SourceError> {
    let query = "SELECT job_type, continuous, retention FROM msdb.dbo.cdc_jobs WHERE database_id = DB_ID()";
    let Some(rows) = attempt(connection, query).await? else { return Ok(Vec::new()) };
    let job = |wanted: &str| rows.iter().find(|row| text(row, 0).trim() == wanted);
    let mut problems = Vec::new();
    match job("capture") {
        None => problems.push(problem(
            Severity::Error,
            "capture job",
            "there is none (a restored database comes without its jobs; where a publication for replication exists, its \
             log reader captures instead)",
            "EXEC sys.sp_cdc_add_job @job_type = N'capture';",
        )),
        Some(row) if !bit(row, 1) => problems.push(problem(
            Severity::Warning,
            "capture job",
            "it scans the log once and ends, instead of going on",
            "EXEC sys.sp_cdc_change_job @job_type = N'capture', @continuous = 1; then stop it and start it: EXEC \
             sys.sp_cdc_stop_job @job_type = N'capture'; EXEC sys.sp_cdc_start_job @job_type = N'capture';",
        )),
        Some(_) => {}
    }
    match job("cleanup") {
        None => problems.push(problem(
            Severity::Warning,
            "cleanup job",
            "there is none: change tables grow for ever, unless cleanup: acknowledged is set",
            "EXEC sys.sp_cdc_add_job @job_type = N'cleanup';",
        )),
        Some(row) => problems.extend(retention_problem(row.try_get::<i64, _>(2).ok().flatten())),
    }
    Ok(problems)
}

fn retention_problem(minutes: Option<i64>) -> Option<Problem> {
    let minutes = minutes.filter(|minutes| *minutes < i64::from(RETENTION_MIN_MINUTES))?;
    Some(problem(
        Severity::Warning,
        "cleanup job",
        format!(
            "changes are kept for {minutes} min: if Millstream is down for longer, every table has to be read again"
        ),
        "EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 4320;",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_must_be_kept() {
        assert!(retention_problem(Some(60)).unwrap().remedy.contains("@retention = 4320"));
        assert_eq!(retention_problem(Some(4_320)), None);
        assert_eq!(retention_problem(None), None);
    }
}
