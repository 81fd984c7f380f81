//! Whether scans of the log follow one another, and if not, why.
//!
//! The capture job scans the log every few seconds. If it is stopped, or if it comes upon a change that it can't write, no
//! change of any table arrives, while everything else looks as if nothing had happened. The server keeps both the scans
//! and their errors; this reads them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::schema::TableName;
use millstream_core::source::Remark;
use tiberius::Row;

use crate::capture::statements;
use crate::connect::Connection;
use crate::error::QueryError;
use crate::fence::Scans;
use crate::field::{bigint, int, text};
use crate::noticed::Noticed;
use crate::quote::within;
use crate::server::Server;

/// Without a new scan for this long the server is asked why, this often.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// How far apart the scans of a job are if nothing else is known, in seconds: by default, and in Azure SQL Database.
const PAUSE_SECONDS: i64 = 5;
const PAUSE_SECONDS_AZURE: i64 = 20;
/// … and the longest that is sensible, where the user may not see what the job was told.
const PAUSE_SECONDS_MAX: i64 = 300;
/// How much longer than two pauses a scan may be ago, in seconds.
const SLACK_SECONDS: i64 = 5;
/// How long a scan may take, in seconds: after a busy time it takes a while.
const SCAN_SECONDS_MAX: i64 = 300;
/// The numbers that change data capture gives to its own errors, which say what came of the cause.
const CONSEQUENCES: std::ops::RangeInclusive<i32> = 22_800..=22_999;

/// Why no scan follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standstill {
    /// There has been no scan since the server started.
    Never,
    /// The last one ended at this moment, by the server's clock.
    Since {
        moment: String,
        /// Whether it is known how far apart the job's scans are.
        is_certain: bool,
    },
    /// The last one came upon something that it can't write.
    Broken {
        /// What the server says about it.
        error: String,
        /// Capture instances whose columns aren't as their table's any more, which is the likeliest cause.
        suspects: Vec<(TableName, String)>,
    },
}

/// Watches for a standstill.
pub(crate) struct Pulse {
    noticed: Arc<Noticed>,
    seen: Option<Scans>,
    last: Instant,
    asked: Instant,
}

impl Pulse {
    pub(crate) fn new(noticed: Arc<Noticed>) -> Self {
        Self { noticed, seen: None, last: Instant::now(), asked: Instant::now() }
    }

    /// The scans as they were just seen; `None` if nothing is captured, which is nobody's standstill.
    pub(crate) async fn feel(&mut self, connection: &mut Connection, now: Option<Scans>) -> Result<(), QueryError> {
        if now.is_none() || now != self.seen {
            self.seen = now;
            self.last = Instant::now();
            self.noticed.set_standstill(None);
        } else if self.last.elapsed() >= QUIET_MAX && self.asked.elapsed() >= QUIET_MAX {
            let standstill = look(connection).await?;
            self.asked = Instant::now();
            self.noticed.set_standstill(standstill.map(|standstill| standstill.remark(&connection.server)));
        }
        Ok(())
    }
}

impl Standstill {
    /// What to say of it.
    pub(crate) fn remark(&self, server: &Server) -> Remark {
        let start = match server.engine.has_agent() {
            true => "EXEC sys.sp_cdc_start_job @job_type = N'capture';",
            false => "SELECT * FROM sys.dm_cdc_errors ORDER BY entry_time DESC; -- tells what the scheduler met",
        };
        let (found, remedy) = match self {
            Standstill::Never => (
                "the log hasn't been scanned since the server started, so no changes arrive".to_owned(),
                start.to_owned(),
            ),
            Standstill::Since { moment, is_certain } => {
                let found = format!("the capture job stands still: it scanned the log at {moment} for the last time");
                let doubt = "; or its polling interval is a long one, which the user may not see in msdb.dbo.cdc_jobs";
                (format!("{found}{}", if *is_certain { "" } else { doubt }), start.to_owned())
            }
            Standstill::Broken { error, suspects } => {
                let found = format!("the capture job can't get on, so that no table's changes arrive: {error}");
                return broken(found, suspects, start, &server.database);
            }
        };
        Remark { found, remedy: within(&server.database, &remedy) }
    }
}

/// The remedy can be run in one piece: starting a job that goes on by itself does no harm at its end.
fn broken(found: String, suspects: &[(TableName, String)], start: &str, database: &str) -> Remark {
    if suspects.is_empty() {
        let look = "SELECT * FROM sys.dm_cdc_errors ORDER BY entry_time DESC; -- tells which table's changes can't be \
                    captured: drop its capture instance by sys.sp_cdc_disable_table, and start the job again";
        return Remark { found, remedy: within(database, look) };
    }
    let tables: Vec<String> = suspects.iter().map(|(table, _)| table.to_string()).collect();
    let found = format!(
        "{found}; captured columns of {} were altered so that values in the log don't fit any more",
        tables.join(", ")
    );
    let statements: Vec<String> =
        suspects.iter().map(|(table, instance)| statements::disable(table, instance)).collect();
    let all = format!(
        "{}; {start} -- the table is read again once it has a new instance, which `millstream check` tells",
        statements.join("; ")
    );
    Remark { found, remedy: within(database, &all) }
}

/// Asks the server whether scans follow one another; `None` if they do, or if the user may not see it.
pub(crate) async fn look(connection: &mut Connection) -> Result<Option<Standstill>, QueryError> {
    const CAPTURED: &str = "SELECT TOP (1) 1 FROM cdc.change_tables";
    const ENDED: &str = "SELECT TOP (1) session_id, error_count, DATEDIFF(second, end_time, GETDATE()), \
                         CONVERT(nvarchar(19), end_time, 120) FROM sys.dm_cdc_log_scan_sessions \
                         WHERE session_id > 0 AND end_time IS NOT NULL ORDER BY session_id DESC";
    const BEGUN: &str = "SELECT TOP (1) DATEDIFF(second, start_time, GETDATE()) FROM sys.dm_cdc_log_scan_sessions \
                         WHERE session_id > 0 AND end_time IS NULL ORDER BY session_id DESC";
    let Some(rows) = attempt(connection, &format!("{CAPTURED}; {ENDED}; {BEGUN}")).await? else { return Ok(None) };
    let of = |index: usize| rows.iter().find(|row| row.result_index() == index);
    // The job is made with the first capture instance.
    if of(0).is_none() {
        return Ok(None);
    }
    let is_scanning = of(2).and_then(|row| int(row, 0)).is_some_and(|seconds| i64::from(seconds) < SCAN_SECONDS_MAX);
    let Some(ended) = of(1) else { return Ok((!is_scanning).then_some(Standstill::Never)) };
    let (session, errors, age) = (int(ended, 0), int(ended, 1).unwrap_or_default(), int(ended, 2).unwrap_or_default());
    if errors > 0
        && let Some(error) = error_of(connection, session.unwrap_or_default()).await?
    {
        return Ok(Some(Standstill::Broken { error, suspects: suspects(connection).await? }));
    }
    let moment = text(ended, 3);
    let pause = pause_seconds(connection).await?;
    let age_max = pause.unwrap_or(PAUSE_SECONDS_MAX).saturating_mul(2).saturating_add(SLACK_SECONDS);
    let stands_still = !is_scanning && i64::from(age) > age_max;
    Ok(stands_still.then_some(Standstill::Since { moment, is_certain: pause.is_some() }))
}

/// How far apart the job's scans are; `None` if the user may not see it.
async fn pause_seconds(connection: &mut Connection) -> Result<Option<i64>, QueryError> {
    if !connection.server.engine.has_agent() {
        return Ok(Some(PAUSE_SECONDS_AZURE));
    }
    let query = "SELECT CAST(pollinginterval AS bigint) FROM msdb.dbo.cdc_jobs WHERE database_id = DB_ID() AND \
                 job_type = N'capture'";
    let rows = attempt(connection, query).await?;
    Ok(rows.map(|rows| rows.first().and_then(|row| bigint(row, 0)).unwrap_or(PAUSE_SECONDS)))
}

/// What broke a scan.
async fn error_of(connection: &mut Connection, session: i32) -> Result<Option<String>, QueryError> {
    let query = format!(
        "SELECT TOP (20) error_number, error_message FROM sys.dm_cdc_errors WHERE session_id = {session} \
         ORDER BY entry_time"
    );
    let rows = attempt(connection, &query).await?.unwrap_or_default();
    let told = |row: &Row| Some((int(row, 0)?, text(row, 1).trim_end().to_owned()));
    let all: Vec<(i32, String)> = rows.iter().filter_map(told).collect();
    let cause = all.iter().find(|(number, _)| !CONSEQUENCES.contains(number)).or(all.first());
    Ok(cause.map(|(number, message)| format!("{message} (error {number})")))
}

/// Instances with a column that holds less in the table than in the change table, or other things: what is in the log from
/// before can't be taken over.
async fn suspects(connection: &mut Connection) -> Result<Vec<(TableName, String)>, QueryError> {
    let query = "SELECT DISTINCT s.name, t.name, c.capture_instance FROM cdc.change_tables AS c \
                 JOIN sys.tables AS t ON t.object_id = c.source_object_id \
                 JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
                 JOIN cdc.captured_columns AS k ON k.object_id = c.object_id \
                 JOIN sys.columns AS now ON now.object_id = t.object_id AND now.column_id = k.column_id \
                 JOIN sys.columns AS was ON was.object_id = c.object_id AND was.name = k.column_name \
                 WHERE now.is_computed = 0 AND now.system_type_id <> 189 AND (now.system_type_id <> was.system_type_id OR \
                 (now.max_length < was.max_length AND now.max_length <> -1) OR was.max_length = -1 AND now.max_length <> -1 \
                 OR now.precision < was.precision OR now.scale < was.scale)";
    let rows = attempt(connection, query).await?.unwrap_or_default();
    Ok(rows.iter().map(|row| (TableName::new(text(row, 0), text(row, 1)), text(row, 2))).collect())
}

/// `None` if the server refuses to answer.
async fn attempt(connection: &mut Connection, query: &str) -> Result<Option<Vec<Row>>, QueryError> {
    match connection.rows("look at the scans of the log", query, &[]).await {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.is_refusal() => Ok(None),
        Err(error) => Err(error),
    }
}
