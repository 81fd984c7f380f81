//! The dynamic views of the capture process and of the server's services.

use std::sync::Arc;

use crate::engine::context::Context;
use crate::engine::relation::{Column, Relation, RowSink, Wanted};
use crate::error::{SqlError, SqlResult};
use crate::storage::{Edition, Lsn, Securable, Storage};
use crate::value::{Length, Moment, SqlType, Value, collation};

use super::change_table::datetime;
use super::registry::NamedRelation;
use super::state::{ScanError, ScanSession};

const LSN_TEXT: SqlType = SqlType::NVarChar(Length::Limited(23));
const TEXT: SqlType = SqlType::NVarChar(Length::Limited(256));

/// The views, each with its name.
pub fn relations(storage: &Arc<Storage>) -> Vec<NamedRelation> {
    let mut all: Vec<NamedRelation> = vec![
        ("sys.dm_cdc_log_scan_sessions", Arc::new(ScanSessions::new())),
        ("sys.dm_cdc_errors", Arc::new(ScanErrors::new())),
    ];
    if storage.edition() != Edition::AzureSqlDatabase {
        all.push(("sys.dm_server_services", Arc::new(Services::new(storage))));
    }
    all
}

fn nullable(columns: &[(&str, SqlType)]) -> Vec<Column> {
    columns.iter().map(|(name, sql_type)| Column::new(name, *sql_type, true)).collect()
}

/// Whether the session may see the state of the database that it is in.
fn check_database_state(context: &Context<'_>) -> SqlResult<()> {
    if sees_server(context) {
        return Ok(());
    }
    for name in ["VIEW DATABASE STATE", "VIEW DATABASE PERFORMANCE STATE"] {
        if context.has_permission(name, Securable::Database)? {
            return Ok(());
        }
    }
    Err(SqlError::new(297, 16, "The user does not have permission to perform this action."))
}

fn sees_server(context: &Context<'_>) -> bool {
    context.storage.login_named(context.login).is_some_and(|login| {
        let permissions = ["VIEW SERVER STATE", "VIEW SERVER PERFORMANCE STATE", "CONTROL SERVER"];
        login.sysadmin
            || login.permissions.iter().any(|held| permissions.iter().any(|wanted| collation::equal(held, wanted)))
    })
}

/// `sys.dm_cdc_log_scan_sessions`: row 0 sums up the others.
struct ScanSessions {
    columns: Vec<Column>,
}

impl ScanSessions {
    fn new() -> Self {
        let columns = nullable(&[
            ("session_id", SqlType::Int),
            ("start_time", SqlType::DateTime),
            ("end_time", SqlType::DateTime),
            ("duration", SqlType::BigInt),
            ("scan_phase", SqlType::NVarChar(Length::Limited(200))),
            ("error_count", SqlType::Int),
            ("start_lsn", LSN_TEXT),
            ("current_lsn", LSN_TEXT),
            ("end_lsn", LSN_TEXT),
            ("tran_count", SqlType::BigInt),
            ("last_commit_lsn", LSN_TEXT),
            ("last_commit_time", SqlType::DateTime),
            ("log_record_count", SqlType::BigInt),
            ("schema_change_count", SqlType::Int),
            ("command_count", SqlType::BigInt),
            ("first_begin_cdc_lsn", LSN_TEXT),
            ("last_commit_cdc_lsn", LSN_TEXT),
            ("last_commit_cdc_time", SqlType::DateTime),
            ("latency", SqlType::Int),
            ("empty_scan_count", SqlType::Int),
            ("failed_sessions_count", SqlType::Int),
        ]);
        Self { columns }
    }
}

fn lsn(lsn: Lsn) -> Value {
    Value::text(&lsn.to_string())
}

fn seconds(from: Moment, to: Moment) -> i64 {
    i64::try_from((to.total_ticks() - from.total_ticks()) / 10_000_000).unwrap_or(i64::MAX)
}

fn session_row(session: &ScanSession) -> Vec<Value> {
    let commit_time = session.last_commit_time.map_or(Value::Null, datetime);
    let latency = session.last_commit_time.map_or(0, |time| seconds(time, session.end_time));
    vec![
        Value::Int(session.session_id),
        datetime(session.start_time),
        datetime(session.end_time),
        Value::BigInt(seconds(session.start_time, session.end_time)),
        Value::text(session.phase),
        Value::Int(session.error_count),
        lsn(session.start_lsn),
        lsn(session.end_lsn),
        lsn(session.end_lsn),
        Value::BigInt(session.transactions),
        lsn(session.last_commit_lsn),
        commit_time.clone(),
        Value::BigInt(session.records),
        Value::Int(session.schema_changes),
        Value::BigInt(session.commands),
        lsn(session.start_lsn),
        lsn(session.last_commit_lsn),
        commit_time,
        Value::Int(i32::try_from(latency).unwrap_or(i32::MAX)),
        Value::Int(session.empty_scans),
        Value::Int(session.failed_sessions),
    ]
}

/// The row of session 0, where there are sessions.
fn aggregate(sessions: &[ScanSession]) -> Option<ScanSession> {
    let (first, last) = (sessions.first()?, sessions.last()?);
    let latest = sessions.iter().rev().find(|session| session.last_commit_time.is_some()).unwrap_or(last);
    Some(ScanSession {
        session_id: 0,
        start_time: first.start_time,
        end_time: last.end_time,
        phase: "Aggregate",
        error_count: sessions.iter().map(|session| session.error_count).sum(),
        start_lsn: first.start_lsn,
        end_lsn: latest.end_lsn,
        transactions: sessions.iter().map(|session| session.transactions).sum(),
        last_commit_lsn: latest.last_commit_lsn,
        last_commit_time: latest.last_commit_time,
        records: sessions.iter().map(|session| session.records).sum(),
        schema_changes: sessions.iter().map(|session| session.schema_changes).sum(),
        commands: sessions.iter().map(|session| session.commands).sum(),
        empty_scans: sessions.iter().map(|session| session.empty_scans).sum(),
        failed_sessions: sessions.iter().map(|session| session.failed_sessions).sum(),
    })
}

impl Relation for ScanSessions {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn rows(&self, context: &Context<'_>, _wanted: &Wanted, sink: &mut RowSink<'_>) -> SqlResult<()> {
        check_database_state(context)?;
        let sessions: Vec<ScanSession> =
            context.storage.capture().with(context.database, |capture| capture.sessions.iter().cloned().collect());
        if let Some(sum) = aggregate(&sessions) {
            sink(session_row(&sum))?;
        }
        sessions.iter().try_for_each(|session| sink(session_row(session)))
    }
}

/// `sys.dm_cdc_errors`.
struct ScanErrors {
    columns: Vec<Column>,
}

impl ScanErrors {
    fn new() -> Self {
        let columns = nullable(&[
            ("session_id", SqlType::Int),
            ("phase_number", SqlType::Int),
            ("entry_time", SqlType::DateTime),
            ("error_number", SqlType::Int),
            ("error_severity", SqlType::Int),
            ("error_state", SqlType::Int),
            ("error_message", SqlType::NVarChar(Length::Limited(1024))),
            ("start_lsn", LSN_TEXT),
            ("begin_lsn", LSN_TEXT),
            ("sequence_value", LSN_TEXT),
        ]);
        Self { columns }
    }
}

impl Relation for ScanErrors {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn rows(&self, context: &Context<'_>, _wanted: &Wanted, sink: &mut RowSink<'_>) -> SqlResult<()> {
        check_database_state(context)?;
        let errors: Vec<ScanError> =
            context.storage.capture().with(context.database, |capture| capture.errors.iter().cloned().collect());
        errors.into_iter().try_for_each(|entry| {
            sink(vec![
                Value::Int(entry.session_id),
                Value::Int(7),
                datetime(entry.time),
                Value::Int(entry.error.number),
                Value::Int(i32::from(entry.error.severity)),
                Value::Int(i32::from(entry.error.state)),
                Value::text(&entry.error.message),
                lsn(entry.start_lsn),
                lsn(entry.begin_lsn),
                lsn(Lsn::ZERO),
            ])
        })
    }
}

/// `sys.dm_server_services`: the engine and its agent.
struct Services {
    columns: Vec<Column>,
    started: Moment,
}

impl Services {
    fn new(storage: &Arc<Storage>) -> Self {
        let columns = vec![
            Column::new("servicename", TEXT, false),
            Column::new("startup_type", SqlType::Int, true),
            Column::new("startup_type_desc", TEXT, false),
            Column::new("status", SqlType::Int, true),
            Column::new("status_desc", TEXT, false),
            Column::new("process_id", SqlType::Int, true),
            Column::new("last_startup_time", SqlType::DateTimeOffset(7), true),
            Column::new("service_account", TEXT, false),
            Column::new("filename", TEXT, false),
            Column::new("is_clustered", SqlType::NVarChar(Length::Limited(1)), false),
            Column::new("cluster_nodename", TEXT, true),
        ];
        Self { columns, started: storage.clock().now() }
    }
}

impl Relation for Services {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn rows(&self, context: &Context<'_>, _wanted: &Wanted, sink: &mut RowSink<'_>) -> SqlResult<()> {
        if !sees_server(context) {
            return Err(SqlError::new(
                300,
                14,
                "VIEW SERVER STATE permission was denied on object 'server', database 'master'.",
            ));
        }
        let has_agent = context.storage.edition() != Edition::Express;
        let services = [
            ("SQL Server (MSSQLSERVER)", true),
            ("SQL Server Agent (MSSQLSERVER)", has_agent && context.storage.capture().agent_running()),
        ];
        services.into_iter().try_for_each(|(name, running)| {
            let (status, text) = if running { (4, "Running") } else { (1, "Stopped") };
            sink(vec![
                Value::text(name),
                Value::Int(2),
                Value::text("Automatic"),
                Value::Int(status),
                Value::text(text),
                if running { Value::Int(1) } else { Value::Null },
                if running { Value::DateTimeOffset(self.started, 0) } else { Value::Null },
                Value::text("NT Service\\MSSQLSERVER"),
                Value::text("sqlserver-sim"),
                Value::text("N"),
                Value::Null,
            ])
        })
    }
}
