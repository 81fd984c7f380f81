//! The databases of the server, and their files.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{DatabaseId, DatabaseInfo};
use crate::value::{SqlType, Value};

use super::Named;
use super::columns::COLLATION;
use super::scope::Scope;
use super::view::{
    BIGINT, BIT, DATETIME, INT, SMALLINT, SYSNAME, TINYINT, View, bit, datetime, int, nvarchar, text, varbinary,
};

fn all(scope: &Scope<'_>) -> Vec<DatabaseInfo> {
    scope.storage().databases()
}

fn id(database: &DatabaseInfo) -> i32 {
    i32::try_from(database.id.0).unwrap_or(i32::MAX)
}

fn is_system(database: &DatabaseInfo) -> bool {
    database.id <= DatabaseId::MSDB
}

/// Whether row versions can be read; those of the server itself always can in two of its databases.
fn snapshot_allowed(database: &DatabaseInfo) -> bool {
    database.catalog.options.allow_snapshot_isolation || matches!(database.id, DatabaseId::MASTER | DatabaseId::MSDB)
}

/// Why the log can't be cut: changes that no capture has read.
fn log_waits(database: &DatabaseInfo, scope: &Scope<'_>) -> bool {
    let pending = scope.storage().with_log(database.id, |log| log.pending_count());
    database.catalog.options.cdc_enabled && pending.is_ok_and(|pending| pending > 0)
}

fn databases_view() -> Arc<dyn Relation> {
    View::of(all)
        .field("name", SYSNAME, |it, _| text(&it.name))
        .field("database_id", INT, |it, _| int(id(it)))
        .nulls(INT, &["source_database_id"])
        .always("owner_sid", varbinary(85), Value::binary(&[1]))
        .field("create_date", DATETIME, |it, _| datetime(it.created))
        .field("compatibility_level", TINYINT, |it, _| Value::TinyInt(it.catalog.options.compatibility_level))
        .nullable("collation_name", SYSNAME, |_, _| text(COLLATION))
        .nullable("user_access", TINYINT, |_, _| Value::TinyInt(0))
        .nullable("user_access_desc", nvarchar(60), |_, _| text("MULTI_USER"))
        .nullable("is_read_only", BIT, |it, _| bit(it.catalog.options.read_only))
        .unset(&["is_auto_close_on", "is_auto_shrink_on"])
        .nullable("state", TINYINT, |_, _| Value::TinyInt(0))
        .nullable("state_desc", nvarchar(60), |_, _| text("ONLINE"))
        .unset(&["is_in_standby", "is_cleanly_shutdown", "is_supplemental_logging_enabled"])
        .nullable("snapshot_isolation_state", TINYINT, |it, _| Value::TinyInt(u8::from(snapshot_allowed(it))))
        .nullable("snapshot_isolation_state_desc", nvarchar(60), |it, _| {
            text(if snapshot_allowed(it) { "ON" } else { "OFF" })
        })
        .nullable("is_read_committed_snapshot_on", BIT, |it, _| bit(it.catalog.options.read_committed_snapshot))
        .nullable("recovery_model", TINYINT, |it, _| Value::TinyInt(if is_system(it) { 3 } else { 1 }))
        .nullable("recovery_model_desc", nvarchar(60), |it, _| text(if is_system(it) { "SIMPLE" } else { "FULL" }))
        .nullable("page_verify_option", TINYINT, |_, _| Value::TinyInt(2))
        .nullable("page_verify_option_desc", nvarchar(60), |_, _| text("CHECKSUM"))
        .always("is_auto_create_stats_on", BIT, bit(true))
        .unset(&["is_auto_create_stats_incremental_on"])
        .always("is_auto_update_stats_on", BIT, bit(true))
        .unset(&["is_auto_update_stats_async_on", "is_ansi_null_default_on", "is_ansi_nulls_on", "is_ansi_padding_on"])
        .unset(&[
            "is_ansi_warnings_on",
            "is_arithabort_on",
            "is_concat_null_yields_null_on",
            "is_numeric_roundabort_on",
        ])
        .unset(&["is_quoted_identifier_on", "is_recursive_triggers_on", "is_cursor_close_on_commit_on"])
        .unset(&["is_local_cursor_default", "is_fulltext_enabled", "is_trustworthy_on", "is_db_chaining_on"])
        .unset(&["is_parameterization_forced", "is_master_key_encrypted_by_server", "is_query_store_on"])
        .field("is_published", BIT, |it, scope| bit(scope.storage().capture().with(it.id, |capture| capture.published)))
        .unset(&["is_subscribed", "is_merge_published", "is_distributor", "is_sync_with_backup"])
        .always("service_broker_guid", SqlType::UniqueIdentifier, Value::Uuid([0; 16]))
        .unset(&["is_broker_enabled"])
        .nullable("log_reuse_wait", TINYINT, |it, scope| Value::TinyInt(if log_waits(it, scope) { 6 } else { 0 }))
        .nullable("log_reuse_wait_desc", nvarchar(60), |it, scope| {
            text(if log_waits(it, scope) { "REPLICATION" } else { "NOTHING" })
        })
        .unset(&["is_date_correlation_on"])
        .field("is_cdc_enabled", BIT, |it, _| bit(it.catalog.options.cdc_enabled))
        .unset(&["is_encrypted", "is_honor_broker_priority_on"])
        .nulls(SqlType::UniqueIdentifier, &["replica_id", "group_database_id"])
        .nulls(INT, &["resource_pool_id"])
        .nulls(SMALLINT, &["default_language_lcid"])
        .nulls(nvarchar(128), &["default_language_name"])
        .always("containment", TINYINT, Value::TinyInt(0))
        .always("containment_desc", nvarchar(60), text("NONE"))
        .always("target_recovery_time_in_seconds", INT, int(60))
        .always("delayed_durability", INT, int(0))
        .always("delayed_durability_desc", nvarchar(60), text("DISABLED"))
        .unset(&[
            "is_memory_optimized_elevate_to_snapshot_on",
            "is_federation_member",
            "is_remote_data_archive_enabled",
        ])
        .unset(&[
            "is_mixed_page_allocation_on",
            "is_temporal_history_retention_enabled",
            "is_accelerated_database_recovery_on",
        ])
        .build()
}

/// Clients of old ask here.
fn old_databases_view() -> Arc<dyn Relation> {
    View::of(all)
        .field("name", SYSNAME, |it, _| text(&it.name))
        .field("dbid", SMALLINT, |it, _| Value::SmallInt(i16::try_from(it.id.0).unwrap_or(i16::MAX)))
        .field("crdate", DATETIME, |it, _| datetime(it.created))
        .field("cmptlevel", TINYINT, |it, _| Value::TinyInt(it.catalog.options.compatibility_level))
        .build()
}

/// A file that a database would have on a disk.
struct File {
    database: DatabaseInfo,
    log: bool,
}

impl File {
    fn name(&self) -> String {
        format!("{}{}", self.database.name, if self.log { "_log" } else { "" })
    }
}

fn files_of(databases: Vec<DatabaseInfo>) -> Vec<File> {
    databases
        .into_iter()
        .flat_map(|database| [false, true].map(|log| File { database: database.clone(), log }))
        .collect()
}

fn files_view(things: for<'a> fn(&Scope<'a>) -> Vec<File>) -> Arc<dyn Relation> {
    View::of(things)
        .field("database_id", INT, |it, _| int(id(&it.database)))
        .field("file_id", INT, |it, _| int(if it.log { 2 } else { 1 }))
        .field("type", TINYINT, |it, _| Value::TinyInt(u8::from(it.log)))
        .nullable("type_desc", nvarchar(60), |it, _| text(if it.log { "LOG" } else { "ROWS" }))
        .field("data_space_id", INT, |it, _| int(i32::from(!it.log)))
        .field("name", SYSNAME, |it, _| text(&it.name()))
        .field("physical_name", nvarchar(260), |it, _| {
            text(&format!("/var/opt/mssql/data/{}.{}", it.name(), if it.log { "ldf" } else { "mdf" }))
        })
        .always("state", TINYINT, Value::TinyInt(0))
        .always("state_desc", nvarchar(60), text("ONLINE"))
        .always("size", INT, int(1024))
        .always("max_size", INT, int(-1))
        .always("growth", INT, int(8192))
        .build()
}

/// Tables whose changes are tracked in the manner that isn't change data capture: none.
fn change_tracking_view(columns: &[&str]) -> Arc<dyn Relation> {
    let view = View::<()>::of(|_| Vec::new());
    let view = columns.iter().fold(view, |view, column| view.always(column, INT, int(0)));
    view.unset(&["is_auto_cleanup_on", "is_track_columns_updated_on"]).nulls(BIGINT, &["min_valid_version"]).build()
}

pub fn views() -> Vec<Named> {
    vec![
        ("sys", "databases", databases_view()),
        ("sys", "sysdatabases", old_databases_view()),
        ("dbo", "sysdatabases", old_databases_view()),
        ("sys", "master_files", files_view(|scope| files_of(all(scope)))),
        (
            "sys",
            "database_files",
            files_view(|scope| files_of(scope.storage().database(scope.database()).into_iter().collect())),
        ),
        ("sys", "change_tracking_databases", change_tracking_view(&["database_id", "retention_period"])),
        ("sys", "change_tracking_tables", change_tracking_view(&["object_id"])),
    ]
}
