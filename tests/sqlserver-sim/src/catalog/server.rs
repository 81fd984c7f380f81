//! The server's state: settings, sessions, transactions.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::engine::session::Isolation;
use crate::storage::{DatabaseInfo, Edition, LogPositions};
use crate::value::{Decimal, SqlType, Value};

use super::Named;
use super::scope::Scope;
use super::view::{
    BIGINT, BIT, DATETIME, INT, SMALLINT, SYSNAME, View, bigint, bit, datetime, int, nvarchar, optional_text, text,
};

/// A setting of the server: number, name, value, what it is about.
type Setting = (i32, &'static str, i32, &'static str);

const SETTINGS: [Setting; 8] = [
    (101, "recovery interval (min)", 0, "Maximum recovery interval in minutes"),
    (103, "user connections", 0, "Number of user connections allowed"),
    (115, "nested triggers", 1, "Allow triggers to be invoked within triggers"),
    (518, "show advanced options", 0, "Show advanced options"),
    (1536, "max text repl size (B)", 65_536, "Maximum size of a text field in replication"),
    (1539, "max degree of parallelism", 0, "Maximum degree of parallelism"),
    (1544, "max server memory (MB)", i32::MAX, "Maximum size of server memory (MB)"),
    (16_384, "Agent XPs", 1, "Enable or disable Agent XPs"),
];

/// What a setting is set to, and what the server runs with.
fn set_to((_, name, first, _): Setting, scope: &Scope<'_>) -> (i32, i32) {
    let (configured, running) = scope.storage().settings().option(name, i64::from(first));
    let number = |value| i32::try_from(value).unwrap_or(first);
    (number(configured), number(running))
}

fn settings_view() -> Arc<dyn Relation> {
    View::of(|_| SETTINGS.to_vec())
        .field("configuration_id", INT, |it, _| int(it.0))
        .field("name", nvarchar(35), |it, _| text(it.1))
        .nullable("value", SqlType::Variant, |it, scope| int(set_to(*it, scope).0))
        .always("minimum", SqlType::Variant, int(-1))
        .always("maximum", SqlType::Variant, int(i32::MAX))
        .nullable("value_in_use", SqlType::Variant, |it, scope| int(set_to(*it, scope).1))
        .field("description", nvarchar(255), |it, _| text(it.3))
        .always("is_dynamic", BIT, bit(true))
        .always("is_advanced", BIT, bit(true))
        .build()
}

fn servers_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .always("server_id", INT, int(0))
        .field("name", SYSNAME, |(), scope| text(scope.storage().server_name()))
        .always("product", SYSNAME, text("SQL Server"))
        .always("provider", SYSNAME, text("SQLNCLI"))
        .nullable("data_source", nvarchar(4000), |(), scope| text(scope.storage().server_name()))
        .unset(&["is_linked", "is_remote_login_enabled"])
        .build()
}

/// The session that asks: others are their own business.
fn sessions_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .field("session_id", SMALLINT, session_id)
        .field("login_time", DATETIME, |(), scope| datetime(scope.context().now))
        .nullable("host_name", nvarchar(128), |(), scope| {
            optional_text(scope.context().client.map(|client| client.host.as_str()))
        })
        .nullable("program_name", nvarchar(128), |(), scope| {
            optional_text(scope.context().client.map(|client| client.application.as_str()))
        })
        .field("login_name", nvarchar(128), |(), scope| text(scope.context().login))
        .field("original_login_name", nvarchar(128), |(), scope| text(scope.context().login))
        .always("status", nvarchar(30), text("running"))
        .field("database_id", SMALLINT, |(), scope| {
            Value::SmallInt(i16::try_from(scope.database().0).unwrap_or(i16::MAX))
        })
        .always("is_user_process", BIT, bit(true))
        .field("open_transaction_count", INT, |(), scope| {
            int(i32::try_from(scope.context().transaction_count).unwrap_or(i32::MAX))
        })
        .field("transaction_isolation_level", SMALLINT, |(), scope| Value::SmallInt(isolation_level(scope)))
        .build()
}

fn isolation_level(scope: &Scope<'_>) -> i16 {
    match scope.context().transaction.isolation() {
        Isolation::ReadUncommitted => 1,
        Isolation::ReadCommitted => 2,
        Isolation::RepeatableRead => 3,
        Isolation::Serializable => 4,
        Isolation::Snapshot => 5,
    }
}

fn session_id(_: &(), scope: &Scope<'_>) -> Value {
    Value::SmallInt(i16::try_from(scope.context().session_id).unwrap_or(i16::MAX))
}

fn connections_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .nullable("session_id", INT, |(), scope| int(i32::try_from(scope.context().session_id).unwrap_or(i32::MAX)))
        .field("connect_time", DATETIME, |(), scope| datetime(scope.context().now))
        .always("net_transport", nvarchar(40), text("TCP"))
        .always("protocol_type", nvarchar(40), text("TSQL"))
        .field("encrypt_option", nvarchar(40), |(), scope| {
            text(if scope.context().client.is_some_and(|client| client.encrypted) { "TRUE" } else { "FALSE" })
        })
        .always("auth_scheme", nvarchar(40), text("SQL"))
        .build()
}

fn requests_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .field("session_id", SMALLINT, session_id)
        .always("request_id", INT, int(0))
        .field("start_time", DATETIME, |(), scope| datetime(scope.context().now))
        .always("status", nvarchar(30), text("running"))
        .always("command", nvarchar(32), text("SELECT"))
        .field("database_id", SMALLINT, |(), scope| {
            Value::SmallInt(i16::try_from(scope.database().0).unwrap_or(i16::MAX))
        })
        .always("blocking_session_id", SMALLINT, Value::SmallInt(0))
        .field("transaction_id", BIGINT, transaction_id)
        .build()
}

fn transaction_id(_: &(), scope: &Scope<'_>) -> Value {
    bigint(scope.context().transaction.id())
}

fn current_transaction_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .field("transaction_id", BIGINT, transaction_id)
        .field("transaction_sequence_num", BIGINT, |(), scope| bigint(scope.storage().commits()))
        .field("transaction_is_snapshot", BIT, |(), scope| {
            bit(scope.context().transaction.isolation() == Isolation::Snapshot)
        })
        .field("first_snapshot_sequence_num", BIGINT, |(), scope| bigint(scope.storage().commits()))
        .field("last_transaction_sequence_num", BIGINT, |(), scope| bigint(scope.storage().commits()))
        .field("first_useful_sequence_num", BIGINT, |(), scope| bigint(scope.storage().commits()))
        .build()
}

/// The transaction of the session that asks, once for each database whose log it has written to.
fn database_transactions(scope: &Scope<'_>) -> Vec<(DatabaseInfo, LogPositions)> {
    let transaction = &scope.context().transaction;
    let databases = scope.storage().databases().into_iter();
    databases
        .filter_map(|database| Some((transaction.log_positions(database.id)?, database)))
        .map(|(at, it)| (it, at))
        .collect()
}

const LSN: SqlType = SqlType::Numeric { precision: 25, scale: 0 };

fn database_transactions_view() -> Arc<dyn Relation> {
    View::of(database_transactions)
        .field("transaction_id", BIGINT, |_, scope| bigint(scope.context().transaction.id()))
        .field("database_id", INT, |(it, _), _| int(i32::try_from(it.id.0).unwrap_or(i32::MAX)))
        .nullable("database_transaction_begin_time", DATETIME, |_, scope| datetime(scope.context().transaction.began()))
        .always("database_transaction_type", INT, int(1))
        .always("database_transaction_state", INT, int(4))
        .always("database_transaction_status", INT, int(0))
        .nullable("database_transaction_begin_lsn", LSN, |(_, at), _| decimal(at.begin.to_decimal()))
        .nullable("database_transaction_last_lsn", LSN, |(_, at), _| decimal(at.last.to_decimal()))
        .nullable("database_transaction_most_recent_savepoint_lsn", LSN, |(_, at), _| decimal(at.last.to_decimal()))
        .nulls(LSN, &["database_transaction_commit_lsn", "database_transaction_last_rollback_lsn"])
        .nulls(LSN, &["database_transaction_next_undo_lsn"])
        .build()
}

fn decimal(units: i128) -> Value {
    Value::Decimal(Decimal::new(units, 0))
}

fn session_transactions_view() -> Arc<dyn Relation> {
    View::of(|scope| if scope.context().transaction_count > 0 { vec![()] } else { Vec::new() })
        .field("session_id", INT, |(), scope| int(i32::try_from(scope.context().session_id).unwrap_or(i32::MAX)))
        .field("transaction_id", BIGINT, transaction_id)
        .field("open_transaction_count", INT, |(), scope| {
            int(i32::try_from(scope.context().transaction_count).unwrap_or(i32::MAX))
        })
        .always("is_user_transaction", BIT, bit(true))
        .always("is_local", BIT, bit(true))
        .build()
}

fn active_transactions_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .field("transaction_id", BIGINT, transaction_id)
        .always("name", nvarchar(32), text("user_transaction"))
        .field("transaction_begin_time", DATETIME, |(), scope| datetime(scope.context().transaction.began()))
        .always("transaction_type", INT, int(1))
        .always("transaction_state", INT, int(2))
        .build()
}

fn system_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .always("cpu_count", INT, int(2))
        .always("physical_memory_kb", BIGINT, Value::BigInt(8 << 20))
        .field("sqlserver_start_time", DATETIME, |(), scope| datetime(started(scope)))
        .always("virtual_machine_type_desc", nvarchar(60), text("NONE"))
        .build()
}

/// The system databases are as old as the server.
fn started(scope: &Scope<'_>) -> crate::value::Moment {
    scope.storage().database(crate::storage::DatabaseId::MASTER).map_or(scope.context().now, |master| master.created)
}

fn host_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .always("host_platform", nvarchar(256), text("Linux"))
        .always("host_distribution", nvarchar(256), text("Ubuntu"))
        .always("host_release", nvarchar(256), text("22.04"))
        .always("host_service_pack_level", nvarchar(256), text(""))
        .always("os_language_version", INT, int(0))
        .build()
}

/// No server is part of an availability group, and none keeps a mirror.
fn availability_view() -> Arc<dyn Relation> {
    View::<()>::of(|_| Vec::new())
        .always("database_id", INT, int(0))
        .nulls(SqlType::UniqueIdentifier, &["group_id", "replica_id", "group_database_id"])
        .nulls(BIT, &["is_local", "is_primary_replica"])
        .nulls(nvarchar(60), &["role_desc", "synchronization_state_desc"])
        .nulls(LSN, &["last_commit_lsn", "last_hardened_lsn"])
        .build()
}

fn availability_groups_view() -> Arc<dyn Relation> {
    View::<()>::of(|_| Vec::new()).nulls(SqlType::UniqueIdentifier, &["group_id"]).nulls(SYSNAME, &["name"]).build()
}

fn languages_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .always("langid", SMALLINT, Value::SmallInt(0))
        .always("dateformat", SqlType::NChar(3), text("mdy"))
        .always("datefirst", SqlType::TinyInt, Value::TinyInt(7))
        .always("name", SYSNAME, text("us_english"))
        .always("alias", SYSNAME, text("English"))
        .always("lcid", INT, int(1033))
        .build()
}

/// The one that has the types that aren't the engine's own.
fn assemblies_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .always("name", SYSNAME, text("Microsoft.SqlServer.Types"))
        .always("principal_id", INT, int(4))
        .always("assembly_id", INT, int(1))
        .always("permission_set", SqlType::TinyInt, Value::TinyInt(3))
        .always("permission_set_desc", nvarchar(60), text("UNSAFE_ACCESS"))
        .always("is_visible", BIT, bit(true))
        .unset(&["is_user_defined"])
        .build()
}

/// The server's own.
fn xml_schemas_view() -> Arc<dyn Relation> {
    View::of(|_| vec![()])
        .always("xml_collection_id", INT, int(1))
        .always("schema_id", INT, int(4))
        .nulls(INT, &["principal_id"])
        .always("name", SYSNAME, text("sys"))
        .build()
}

/// What an edition that isn't a service has none of.
fn service_objectives_view() -> Arc<dyn Relation> {
    View::of(|scope| match scope.storage().edition() {
        Edition::AzureSqlDatabase => vec![()],
        Edition::Developer | Edition::Express | Edition::ManagedInstance => Vec::new(),
    })
    .field("database_id", INT, |(), scope| int(i32::try_from(scope.database().0).unwrap_or(i32::MAX)))
    .nullable("edition", SYSNAME, |(), _| optional_text(Some("Standard")))
    .nullable("service_objective", SYSNAME, |(), _| optional_text(Some("S3")))
    .nulls(SYSNAME, &["elastic_pool_name"])
    .build()
}

pub fn views() -> Vec<Named> {
    let views = [
        ("configurations", settings_view()),
        ("servers", servers_view()),
        ("syslanguages", languages_view()),
        ("dm_exec_sessions", sessions_view()),
        ("dm_exec_connections", connections_view()),
        ("dm_exec_requests", requests_view()),
        ("dm_tran_current_transaction", current_transaction_view()),
        ("dm_tran_database_transactions", database_transactions_view()),
        ("dm_tran_session_transactions", session_transactions_view()),
        ("dm_tran_active_transactions", active_transactions_view()),
        ("dm_os_sys_info", system_view()),
        ("dm_os_host_info", host_view()),
        ("dm_hadr_database_replica_states", availability_view()),
        ("availability_groups", availability_groups_view()),
        ("database_service_objectives", service_objectives_view()),
        ("assemblies", assemblies_view()),
        ("xml_schema_collections", xml_schemas_view()),
    ];
    views.map(|(name, view)| ("sys", name, view)).into()
}
