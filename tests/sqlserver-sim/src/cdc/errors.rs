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

/// An index of more columns can't tell rows apart for net changes.
pub fn key_too_wide(index: &str, table: &str, columns_max: usize) -> SqlError {
    error(
        22865,
        format!(
            "The index '{index}' of the table '{table}' has more than {columns_max} columns, too many for net changes."
        ),
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

pub fn index_disabled(index: &str, table: &str) -> SqlError {
    error(
        22980,
        format!(
            "The unique index '{index}' on the table '{table}' is disabled. Rebuild it before using it to tell rows apart."
        ),
    )
}

pub fn index_not_unique(index: &str) -> SqlError {
    error(22929, format!("The index '{index}' must be unique to tell rows apart."))
}

pub fn index_nullable(index: &str) -> SqlError {
    error(22838, format!("All columns of the index '{index}' must be NOT NULL for it to tell rows apart."))
}

/// Of a table that has a column for all its sparse columns, or is to get one.
pub fn column_set(table: &str) -> SqlError {
    error(22854, format!("Change data capture of the table '{table}' is not possible together with a column set."))
}

/// What stands above the reason why a gating role couldn't be created.
pub fn role_not_created(role: &str, inner: &SqlError) -> SqlError {
    error(22944, format!("The role '{role}' that is to gate the changes could not be created: {}", inner.message))
}

pub fn argument_missing(parameter: &str) -> SqlError {
    error(22963, format!("The parameter '{parameter}' cannot be NULL or empty."))
}

pub fn half_a_name() -> SqlError {
    error(22972, "Give both @source_schema and @source_name, or neither.".to_owned())
}

pub fn edition_refused(edition: &str) -> SqlError {
    error(
        22988,
        format!(
            "This instance of SQL Server is the {edition}. Change data capture needs the Enterprise, Developer, Enterprise Evaluation or Standard edition."
        ),
    )
}

/// A database that is enabled doesn't start on an edition that can't capture.
pub fn database_refused(database: &str) -> SqlError {
    error(
        934,
        format!(
            "SQL Server cannot load the database '{database}' because change data capture is enabled in it, which this edition does not have."
        ),
    )
}

/// Where the database is published too, the log reader of replication reads the log for both.
pub fn log_reader_reads() -> SqlError {
    error(
        22911,
        "The capture job cannot read the log of a database that has transactional publications: there the log reader agent reads it for both.".to_owned(),
    )
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

/// The table has none of this name.
pub fn no_instance_of_table(instance: &str, table: &str) -> SqlError {
    error(22960, format!("The capture instance '{instance}' has not been enabled for the source table '{table}'."))
}

/// The database has none of this name that the caller may read.
pub fn no_instance(instance: &str, transaction: &Transaction, database: DatabaseId) -> SqlError {
    let database = database_name(transaction, database);
    error(22920, format!("The capture instance '{instance}' does not exist for the database '{database}'."))
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

/// What the old servers' capture of CLR types breaks at.
pub fn clr_type(column: &str) -> SqlError {
    error(913, format!("Could not find the database of the type of the captured column '{column}'."))
}

// What `sys.dm_cdc_errors` has after the cause of a failed scan.

pub fn column_not_altered(column: &str, change_table: &str, source: &str) -> SqlError {
    error(
        22976,
        format!(
            "The column '{column}' of the change table '{change_table}' could not be altered as that of the source table '{source}' was. Refer to the errors before this one."
        ),
    )
}

pub fn history_not_written(change_table: &str) -> SqlError {
    error(
        22977,
        format!(
            "The history of definitions could not be written for the change table '{change_table}'. Refer to the errors before this one."
        ),
    )
}

pub fn captured_column_not_updated(column: &str, change_table: &str) -> SqlError {
    error(
        22978,
        format!(
            "The row of cdc.captured_columns for the column '{column}' of the change table '{change_table}' could not be updated. Refer to the errors before this one."
        ),
    )
}

pub fn times_not_written() -> SqlError {
    error(22858, "Rows of cdc.lsn_time_mapping could not be written. Refer to the errors before this one.".to_owned())
}

pub fn changes_not_written() -> SqlError {
    error(22863, "Rows of change tables could not be written. Refer to the errors before this one.".to_owned())
}

pub fn log_records_failed() -> SqlError {
    error(22859, "Log Scan process failed in processing log records. Refer to the errors before this one.".to_owned())
}

pub fn definition_record_failed() -> SqlError {
    error(
        22860,
        "Log scan process failed in processing a ddl log record. Refer to the errors before this one.".to_owned(),
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
