//! The errors of change data capture, each by its number.

use crate::error::SqlError;
use crate::storage::{DatabaseId, Transaction};

fn error(number: i32, text: String) -> SqlError {
    SqlError::new(number, 16, text)
}

fn database_name(transaction: &Transaction, database: DatabaseId) -> String {
    transaction.storage().database(database).map_or_else(String::new, |database| database.name.to_string())
}

pub fn not_enabled(transaction: &Transaction, database: DatabaseId) -> SqlError {
    let name = database_name(transaction, database);
    error(
        22901,
        format!("The database '{name}' is not enabled for change data capture. Enable it with sys.sp_cdc_enable_db."),
    )
}

pub fn not_sysadmin() -> SqlError {
    error(22902, "Only members of the sysadmin fixed server role can do this.".to_owned())
}

pub fn not_owner() -> SqlError {
    error(
        22904,
        "Only members of sysadmin or db_owner can do this while the database is enabled for change data capture."
            .to_owned(),
    )
}

/// Informational: enabling twice does nothing.
pub fn already_enabled(database: &str) -> SqlError {
    SqlError::new(22905, 10, format!("Database '{database}' is already enabled for change data capture."))
}

pub fn cdc_name_taken(kind: &str, database: &str) -> SqlError {
    error(
        22906,
        format!(
            "The database '{database}' cannot be enabled for change data capture: it has a {kind} named 'cdc' already. Drop or rename it first."
        ),
    )
}

pub fn role_missing() -> SqlError {
    error(22907, "Parameter @role_name cannot be empty. Give a role, or NULL for no gating role.".to_owned())
}

pub fn net_changes_without_key(table: &str) -> SqlError {
    error(
        22939,
        format!("Net changes of the table '{table}' need a primary key, or a unique index named by @index_name."),
    )
}

pub fn key_not_captured(table: &str, index: &str) -> SqlError {
    error(22943, format!("All columns of the index '{index}' of the table '{table}' must be in @captured_column_list."))
}

pub fn no_source_table(schema: &str, table: &str) -> SqlError {
    error(22931, format!("The source table '{schema}.{table}' does not exist, or you may not see it."))
}

pub fn no_source_column(column: &str) -> SqlError {
    error(22930, format!("The column '{column}' of @captured_column_list is not a column of the source table."))
}

pub fn bad_column_list() -> SqlError {
    error(22942, "The columns of @captured_column_list could not be read: give names separated by commas.".to_owned())
}

pub fn instance_taken(instance: &str) -> SqlError {
    error(
        22926,
        format!("A capture instance named '{instance}' exists already. Give another name by @capture_instance."),
    )
}

pub fn instance_name_long(instance: &str) -> SqlError {
    error(22927, format!("The capture instance name '{instance}' is longer than 100 characters."))
}

pub fn two_instances(table: &str) -> SqlError {
    error(
        22962,
        format!(
            "Two capture instances exist already for the table '{table}'. Disable one of them before creating another."
        ),
    )
}

pub fn no_index(index: &str, table: &str) -> SqlError {
    error(22928, format!("The index '{index}' does not exist on the table '{table}'."))
}

pub fn index_not_unique(index: &str) -> SqlError {
    error(22929, format!("The index '{index}' must be unique to tell rows apart."))
}

pub fn index_nullable(index: &str) -> SqlError {
    error(22838, format!("All columns of the index '{index}' must be NOT NULL for it to tell rows apart."))
}

pub fn cdc_schema_table() -> SqlError {
    error(22974, "Tables of the schema 'cdc' cannot be enabled for change data capture.".to_owned())
}

pub fn reserved_column(column: &str) -> SqlError {
    error(22975, format!("The column name '{column}' is reserved for change tables."))
}

pub fn too_many_columns() -> SqlError {
    error(22925, "A captured table can have at most 1018 captured columns.".to_owned())
}

pub fn no_filegroup(name: &str) -> SqlError {
    error(22973, format!("The filegroup '{name}' does not exist in the database."))
}

pub fn system_database(name: &str) -> SqlError {
    error(22989, format!("Change data capture cannot be enabled for the system database '{name}'."))
}

pub fn table_not_enabled(schema: &str, table: &str) -> SqlError {
    error(22985, format!("Change data capture has not been enabled for the source table '{schema}.{table}'."))
}

pub fn no_instance_to_disable(instance: &str, table: &str) -> SqlError {
    error(22920, format!("The capture instance '{instance}' does not exist for the source table '{table}'."))
}

pub fn no_instance(instance: &str) -> SqlError {
    error(22960, format!("The capture instance '{instance}' does not exist, or you may not read its changes."))
}

pub fn low_mark_unknown(lsn: &str) -> SqlError {
    error(22964, format!("The low water mark {lsn} is not a start_lsn of cdc.lsn_time_mapping."))
}

pub fn low_mark_out_of_range(lsn: &str, instance: &str) -> SqlError {
    error(
        22957,
        format!("The low water mark {lsn} is not within the validity interval of the capture instance '{instance}'."),
    )
}

pub fn log_reader_busy() -> SqlError {
    error(22903, "Another connection with session ID 0 is already running 'sp_replcmds' for change data capture in the current database.".to_owned())
}

/// Metadata is changed by one session at a time, under an application lock.
pub fn lock_not_got(resource: &str, inner: &SqlError) -> SqlError {
    let result = match inner.number {
        1222 => -1,
        1205 => -3,
        _ => -2,
    };
    error(
        22840,
        format!(
            "The application lock request '{resource}' needed to modify the metadata of change data capture was not granted. The value returned from the request was {result}: -1 = timeout; -2 = canceled; -3 = deadlock victim."
        ),
    )
}

pub fn no_owner(database: &str) -> SqlError {
    error(
        15517,
        format!(
            "Cannot execute as the database principal because the principal \"dbo\" does not exist in database '{database}': its owner's login is gone."
        ),
    )
}

pub fn lob_too_long(bytes: usize, bytes_max: usize) -> SqlError {
    error(
        7139,
        format!(
            "Length of LOB data ({bytes}) to be replicated exceeds configured maximum {bytes_max}. Use the stored procedure sp_configure to increase the configured maximum value for max text repl size option, which defaults to 65536. A configured value of -1 indicates no limit, other that the limit imposed by the data type."
        ),
    )
}

/// Off-row values of a column that was of an old large type aren't understood by the scan any more.
pub fn off_row_after_text(column: &str) -> SqlError {
    error(
        22859,
        format!(
            "Log Scan Process failed in processing log records: the column '{column}' was of type text, ntext or image when capture began and now has a value off the row. Disable and enable capture of the table."
        ),
    )
}

/// Which change of metadata failed: what fails within comes out in a wrapper that carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metadata {
    EnableDatabase,
    EnableTable,
    DisableTable,
}

pub fn wrapped(metadata: Metadata, command: &str, inner: &SqlError) -> SqlError {
    let (number, state) = match metadata {
        // A deadlock has a wrapper of its own.
        _ if inner.number == 1205 => (22834, "was changed"),
        Metadata::EnableDatabase => (22830, "that the database is enabled"),
        Metadata::EnableTable => (22832, "that the table is enabled"),
        Metadata::DisableTable => (22833, "that the table is not enabled"),
    };
    error(
        number,
        format!(
            "Could not update the metadata of change data capture to say {state}. The failure occurred when executing the command '{command}'. The error returned was {}: '{}'. Use the action and error to determine the cause of the failure and resubmit the request.",
            inner.number, inner.message
        ),
    )
}
