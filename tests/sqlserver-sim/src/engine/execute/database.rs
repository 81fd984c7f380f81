//! Databases.

use crate::cdc::jobs;
use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, Edition};

use super::super::session::{Output, OutputSink};
use super::super::state::Execution;
use super::super::statement::Kind;
use super::{done, send, transaction};

pub fn use_database(execution: &mut Execution<'_>, name: &str, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let state = &mut *execution.state;
    let database = state.storage.database_named(name).ok_or_else(|| SqlError::no_database(name))?;
    if !state.may_enter(database) {
        let text = format!(
            "The server principal \"{}\" is not able to access the database \"{name}\" under the current security context.",
            state.login_name
        );
        return Err(SqlError::new(916, 14, text));
    }
    let from = state.database_name(state.database).to_string();
    state.database = database;
    let to = state.database_name(database).to_string();
    send(out, Output::DatabaseChanged { from, to })?;
    done(execution, None, out)
}

fn check_outside_transaction(execution: &Execution<'_>, statement: &str) -> SqlResult<()> {
    if execution.state.transaction_count > 0 {
        return Err(SqlError::new(
            226,
            16,
            format!("{statement} statement not allowed within multi-statement transaction."),
        ));
    }
    if !execution.state.sysadmin {
        return Err(SqlError::new(262, 14, format!("{statement} permission denied in database 'master'.")));
    }
    Ok(())
}

pub fn define(execution: &mut Execution<'_>, kind: &Kind) -> SqlResult<()> {
    match kind {
        Kind::CreateDatabase { name } => {
            check_outside_transaction(execution, "CREATE DATABASE")?;
            let database = execution.state.storage.create_database(name)?;
            if execution.state.storage.edition() != Edition::AzureSqlDatabase {
                return Ok(());
            }
            // There readers see versions unless they are told not to.
            transaction::atomic(execution, |execution| {
                execution.state.transaction().edit_catalog(database, |catalog| {
                    catalog.options.read_committed_snapshot = true;
                    catalog.options.allow_snapshot_isolation = true;
                    Ok(())
                })
            })
        }
        Kind::DropDatabase { names, if_exists } => {
            check_outside_transaction(execution, "DROP DATABASE")?;
            for name in names {
                match execution.state.storage.database_named(name) {
                    Some(found) => drop_database(execution, name, found)?,
                    None if *if_exists => {}
                    None => return Err(SqlError::cannot_drop("database", name)),
                }
            }
            Ok(())
        }
        Kind::AlterDatabase { name, options } => alter(execution, name.as_deref(), options),
        _ => Err(SqlError::unsupported("this statement")),
    }
}

/// With the jobs that capture its changes, and all that is known of its capture: the next database may get its number.
fn drop_database(execution: &mut Execution<'_>, name: &str, database: DatabaseId) -> SqlResult<()> {
    if database == execution.state.database {
        let text = format!("Cannot drop database \"{name}\" because it is currently in use.");
        return Err(SqlError::new(3702, 16, text));
    }
    transaction::atomic(execution, |execution| jobs::remove_all(execution.state.transaction(), database))?;
    let storage = &execution.state.storage;
    // A scan that goes on has come to its end before.
    drop(storage.capture().seize_turn(database));
    storage.drop_database(name)?;
    storage.capture().remove(database);
    Ok(())
}

fn alter(execution: &mut Execution<'_>, name: Option<&str>, options: &[String]) -> SqlResult<()> {
    let database = match name {
        Some(name) => execution.state.storage.database_named(name).ok_or_else(|| {
            SqlError::new(5011, 14, format!("User does not have permission to alter database '{name}', the database does not exist, or the database is not in a state that allows access checks."))
        })?,
        None => execution.state.database,
    };
    let upper: Vec<String> = options.iter().map(|option| option.to_ascii_uppercase()).collect();
    let words: Vec<&str> = upper.iter().map(String::as_str).collect();
    let on = words.get(2).copied() == Some("ON");
    if let ["SET", "SINGLE_USER" | "RESTRICTED_USER" | "READ_ONLY" | "OFFLINE", rest @ ..] = words.as_slice()
        && rest.contains(&"ROLLBACK")
        && let Some(peers) = execution.state.peers.clone()
    {
        peers.end_others_in(&execution.state.database_name(database), execution.state.session_id);
    }
    transaction::atomic(execution, |execution| {
        let transaction = execution.state.transaction();
        transaction.edit_catalog(database, |catalog| {
            match words.as_slice() {
                ["SET", "ALLOW_SNAPSHOT_ISOLATION", ..] => catalog.options.allow_snapshot_isolation = on,
                ["SET", "READ_COMMITTED_SNAPSHOT", ..] => catalog.options.read_committed_snapshot = on,
                ["SET", "READ_ONLY", ..] => catalog.options.read_only = true,
                ["SET", "READ_WRITE", ..] => catalog.options.read_only = false,
                ["SET", "COMPATIBILITY_LEVEL", "=", level, ..] => {
                    catalog.options.compatibility_level = level.parse().map_err(|_| SqlError::syntax_near(level))?;
                }
                // What has no effect that anyone sees here.
                [
                    "SET",
                    "RECOVERY"
                    | "AUTO_CLOSE"
                    | "AUTO_SHRINK"
                    | "SINGLE_USER"
                    | "MULTI_USER"
                    | "RESTRICTED_USER"
                    | "TRUSTWORTHY"
                    | "PAGE_VERIFY"
                    | "AUTO_CREATE_STATISTICS"
                    | "AUTO_UPDATE_STATISTICS"
                    | "DELAYED_DURABILITY"
                    | "TARGET_RECOVERY_TIME"
                    | "QUERY_STORE"
                    | "ANSI_NULLS"
                    | "QUOTED_IDENTIFIER"
                    | "ACCELERATED_DATABASE_RECOVERY",
                    ..,
                ] => {}
                _ => return Err(SqlError::unsupported(format!("ALTER DATABASE {}", words.join(" ")))),
            }
            Ok(())
        })
    })?;
    Ok(())
}
