//! Whether the log is being captured, fast enough, and how long changes are kept.

use millstream_core::error::SourceError;
use millstream_core::source::{Problem, Remark, Severity};
use tiberius::Row;

use super::{attempt, problem};
use crate::config::Cleanup;
use crate::connect::Connection;
use crate::field::{bigint, bit, text};
use crate::pulse::{self, Standstill};
use crate::quote::within;

/// Changes that are kept for less than this are gone after one night in which nobody was there. In minutes.
const RETENTION_MIN_MINUTES: i64 = 24 * 60;
/// Changes that are looked for less often than this come late for nothing. In seconds.
const PAUSE_MAX_SECONDS: i64 = 60;
/// How late changes may come before it is worth saying that scans are full. In seconds.
const LATENCY_MAX_SECONDS: i64 = 60;
/// How many scans in a row have to be full.
const FULL_SCANS_MIN: usize = 3;

/// Settings of a job take hold when it starts, and it takes a moment to stop.
const RESTART: &str = "EXEC sys.sp_cdc_stop_job @job_type = N'capture'; WAITFOR DELAY '00:00:05'; EXEC \
                       sys.sp_cdc_start_job @job_type = N'capture';";

/// What the capture job is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    continuous: bool,
    /// Transactions of one cycle, and cycles before a pause.
    transactions: i64,
    cycles: i64,
    pause_seconds: i64,
}

pub(super) async fn problems(connection: &mut Connection, cleanup: Cleanup) -> Result<Vec<Problem>, SourceError> {
    let mut problems = Vec::new();
    let database = connection.server.database.clone();
    let here = |problem: Problem| Problem { remedy: within(&database, &problem.remedy), ..problem };
    let has_agent = connection.server.engine.has_agent();
    // Without an agent that runs, what its jobs do or don't is no news.
    let agent = if has_agent { agent_problem(connection).await? } else { None };
    let jobs = Jobs::read(connection).await?;
    // It is made with the first capture instance.
    let is_wanted = has_agent
        && !attempt(connection, "SELECT TOP (1) 1 FROM cdc.change_tables").await?.unwrap_or_default().is_empty();
    let capture = if is_wanted { jobs.capture_problem().map(here) } else { None };
    let pace = jobs.pace().filter(|_| has_agent);
    match agent.or(capture) {
        Some(reason) => problems.push(reason),
        None => {
            problems.extend(scan_problem(connection).await?);
            if let Some(pace) = pace {
                problems.extend(pace.problem(&scans(connection).await?).map(here));
            }
        }
    }
    problems.extend(jobs.cleanup_problem(cleanup).map(here));
    Ok(problems)
}

/// Unless scans come one after the other.
async fn scan_problem(connection: &mut Connection) -> Result<Option<Problem>, SourceError> {
    let standstill = pulse::look(connection).await?;
    Ok(standstill.map(|standstill| {
        let severity = match standstill {
            Standstill::Since { is_certain: false, .. } => Severity::Warning,
            _ => Severity::Error,
        };
        let Remark { found, remedy } = standstill.remark(&connection.server);
        problem(severity, "capture job", found, remedy)
    }))
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

/// Transactions and latency in seconds of the newest scans that found anything, the newest first.
async fn scans(connection: &mut Connection) -> Result<Vec<(i64, i64)>, SourceError> {
    let query = "SELECT TOP (10) CAST(tran_count AS bigint), CAST(latency AS bigint) FROM \
                 sys.dm_cdc_log_scan_sessions WHERE session_id > 0 AND tran_count > 0 ORDER BY session_id DESC";
    let rows = attempt(connection, query).await?.unwrap_or_default();
    Ok(rows.iter().filter_map(|row| bigint(row, 0).zip(bigint(row, 1))).collect())
}

/// The jobs' settings, where the user may see them.
struct Jobs(Option<Vec<Row>>);

impl Jobs {
    async fn read(connection: &mut Connection) -> Result<Self, SourceError> {
        let table = if connection.server.engine.has_agent() { "msdb.dbo.cdc_jobs" } else { "cdc.cdc_jobs" };
        let query = format!(
            "SELECT job_type, continuous, CAST(maxtrans AS bigint), CAST(maxscans AS bigint), \
             CAST(pollinginterval AS bigint), CAST(retention AS bigint) FROM {table} WHERE database_id = DB_ID()"
        );
        Ok(Self(attempt(connection, &query).await?))
    }

    fn named(&self, wanted: &str) -> Option<&Row> {
        self.0.iter().flatten().find(|row| text(row, 0).trim() == wanted)
    }

    fn pace(&self) -> Option<Pace> {
        let row = self.named("capture")?;
        let number = |place| bigint(row, place).unwrap_or_default();
        Some(Pace { continuous: bit(row, 1), transactions: number(2), cycles: number(3), pause_seconds: number(4) })
    }

    fn capture_problem(&self) -> Option<Problem> {
        let is_missing = self.0.is_some() && self.named("capture").is_none();
        is_missing.then(|| {
            problem(
                Severity::Error,
                "capture job",
                "there is none (a restored database comes without its jobs; where a publication for replication \
                 exists, its log reader captures instead)",
                "EXEC sys.sp_cdc_add_job @job_type = N'capture';",
            )
        })
    }

    fn cleanup_problem(&self, cleanup: Cleanup) -> Option<Problem> {
        let jobs = self.0.as_ref()?;
        match self.named("cleanup") {
            None if jobs.is_empty() || cleanup == Cleanup::Server => Some(problem(
                Severity::Warning,
                "cleanup job",
                "there is none: change tables grow for ever, unless cleanup: acknowledged is set",
                "EXEC sys.sp_cdc_add_job @job_type = N'cleanup';",
            )),
            None => None,
            Some(row) => retention_problem(bigint(row, 5)),
        }
    }
}

impl Pace {
    /// What makes changes late; `scans` are the newest first.
    fn problem(self, scans: &[(i64, i64)]) -> Option<Problem> {
        let Self { continuous, transactions, cycles, pause_seconds } = self;
        let warn = |found: String, remedy| Some(problem(Severity::Warning, "capture job", found, remedy));
        if !continuous {
            return warn(
                "it scans the log once and ends, instead of going on".to_owned(),
                format!(
                    "EXEC sys.sp_cdc_change_job @job_type = N'capture', @continuous = 1, @pollinginterval = 5; {RESTART}"
                ),
            );
        }
        let is_full = |(count, _): &(i64, i64)| *count >= transactions;
        let latency = scans.first().map_or(0, |(_, latency)| *latency);
        if scans.len() >= FULL_SCANS_MIN
            && scans.iter().take(FULL_SCANS_MIN).all(is_full)
            && latency > LATENCY_MAX_SECONDS
        {
            return warn(
                format!(
                    "it falls behind: changes come {latency} s late, and of each scan it takes {transactions} \
                     transactions, {cycles} times before a pause of {pause_seconds} s"
                ),
                format!(
                    "EXEC sys.sp_cdc_change_job @job_type = N'capture', @maxtrans = {}, @maxscans = {}, \
                     @pollinginterval = 1; {RESTART}",
                    transactions.saturating_mul(10).clamp(5_000, 100_000),
                    cycles.max(100)
                ),
            );
        }
        if pause_seconds > PAUSE_MAX_SECONDS {
            return warn(
                format!("it looks for changes every {pause_seconds} s only"),
                format!("EXEC sys.sp_cdc_change_job @job_type = N'capture', @pollinginterval = 5; {RESTART}"),
            );
        }
        None
    }
}

fn retention_problem(minutes: Option<i64>) -> Option<Problem> {
    let minutes = minutes.filter(|minutes| *minutes < RETENTION_MIN_MINUTES)?;
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

    #[test]
    fn a_job_that_falls_behind_is_told_from_one_that_was_busy_once() {
        let stock = Pace { continuous: true, transactions: 500, cycles: 10, pause_seconds: 5 };
        let late = stock.problem(&[(500, 120), (500, 100), (700, 90), (3, 1)]).unwrap();
        assert!(
            late.found.contains("120 s late") && late.remedy.contains("@maxtrans = 5000, @maxscans = 100"),
            "{late:?}"
        );
        assert_eq!(stock.problem(&[(500, 20), (500, 10), (500, 5)]), None, "it keeps up");
        assert_eq!(stock.problem(&[(500, 120), (20, 100), (500, 90)]), None, "it catches up");
        assert_eq!(stock.problem(&[]), None);
        let slow = Pace { pause_seconds: 3_600, ..stock }.problem(&[]).unwrap();
        assert!(slow.remedy.contains("@pollinginterval = 5"), "{slow:?}");
        assert!(Pace { continuous: false, ..stock }.problem(&[]).unwrap().remedy.contains("@continuous = 1"));
    }
}
