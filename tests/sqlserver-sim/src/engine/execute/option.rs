//! `SET` options.

use std::time::Duration;

use crate::error::{SqlError, SqlResult};

use super::super::session::Isolation;
use super::super::state::Execution;
use super::super::statement::Name;
use super::target;

/// Sets what the words say: `XACT_ABORT, NOCOUNT ON`.
pub fn set(execution: &mut Execution<'_>, words: &[String]) -> SqlResult<()> {
    let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    if let ["TRANSACTION", "ISOLATION", "LEVEL", level @ ..] = upper.as_slice() {
        return isolation(execution, level);
    }
    let Some((value, names)) = upper.split_last() else { return Err(SqlError::syntax_near("SET")) };
    if let ["IDENTITY_INSERT", ..] = names {
        return identity_insert(execution, words, *value == "ON");
    }
    let on = *value == "ON";
    for name in names.iter().filter(|name| **name != ",") {
        let options = &mut execution.state.options;
        match *name {
            "NOCOUNT" => options.no_count = on,
            "XACT_ABORT" => options.xact_abort = on,
            "IMPLICIT_TRANSACTIONS" => options.implicit_transactions = on,
            // A minus is a word of its own.
            "-" => {}
            "DEADLOCK_PRIORITY" => deadlock_priority(execution, value, names.contains(&"-"))?,
            "LOCK_TIMEOUT" => {
                // -1 waits for ever.
                let negative = names.contains(&"-");
                let wait: u64 = value.parse().map_err(|_| SqlError::syntax_near(value))?;
                options.lock_timeout = (!negative).then(|| Duration::from_millis(wait));
                let timeout = options.lock_timeout;
                if let Some(transaction) = &mut execution.state.transaction {
                    transaction.set_lock_timeout(timeout);
                }
            }
            "ROWCOUNT" => options.row_count = value.parse().map_err(|_| SqlError::syntax_near(value))?,
            "DATEFIRST" => {
                let first: u8 = value.parse().map_err(|_| SqlError::syntax_near(value))?;
                if !(1..=7).contains(&first) {
                    return Err(SqlError::new(2744, 16, format!("The SET DATEFIRST value {first} is not valid.")));
                }
                options.date_first = first;
            }
            "CONTEXT_INFO" => {
                let bytes = crate::value::literal::bytes(value.trim_start_matches("X'").trim_end_matches('\''));
                let mut bytes = bytes.ok_or_else(|| SqlError::syntax_near(value))?;
                bytes.resize(CONTEXT_INFO_BYTES, 0);
                execution.state.context_info = crate::value::Value::binary(&bytes);
            }
            name => quiet(name, value)?,
        }
    }
    Ok(())
}

/// What `CONTEXT_INFO` holds.
const CONTEXT_INFO_BYTES: usize = 128;

/// Options that change nothing here, as long as they are set to what holds here anyway.
fn quiet(name: &str, value: &str) -> SqlResult<()> {
    /// Whose effect shows in no result: how plans are made, and what is told of them.
    const EITHER: &[&str] = &[
        "ARITHIGNORE",
        "CURSOR_CLOSE_ON_COMMIT",
        "FORCEPLAN",
        "QUERY_GOVERNOR_COST_LIMIT",
        "REMOTE_PROC_TRANSACTIONS",
    ];
    const ON: &[&str] = &[
        "ANSI_DEFAULTS",
        "ANSI_NULLS",
        "ANSI_NULL_DFLT_ON",
        "ANSI_PADDING",
        "ANSI_WARNINGS",
        "ARITHABORT",
        "CONCAT_NULL_YIELDS_NULL",
        "QUOTED_IDENTIFIER",
    ];
    const OFF: &[&str] = &[
        "ANSI_NULL_DFLT_OFF",
        "FMTONLY",
        "IO",
        "NOEXEC",
        "NUMERIC_ROUNDABORT",
        "PARSEONLY",
        "PROFILE",
        "SHOWPLAN_ALL",
        "SHOWPLAN_TEXT",
        "SHOWPLAN_XML",
        "STATISTICS",
        "TIME",
        "XML",
    ];
    let holds = match name {
        "TEXTSIZE" => {
            value.parse::<i64>().is_ok_and(|bytes| bytes == 0 || bytes >= i64::from(i32::MAX)) || value == "1"
        }
        "LANGUAGE" => matches!(value, "US_ENGLISH" | "ENGLISH"),
        "DATEFORMAT" => value == "MDY",
        name if EITHER.contains(&name) => true,
        name if ON.contains(&name) => value == "ON",
        name if OFF.contains(&name) => value == "OFF",
        _ => return Err(SqlError::new(195, 15, format!("'{name}' is not a recognized SET option."))),
    };
    if holds { Ok(()) } else { Err(SqlError::unsupported(format!("SET {name} {value}"))) }
}

/// The words stand for -5, 0 and 5.
fn deadlock_priority(execution: &mut Execution<'_>, value: &str, negative: bool) -> SqlResult<()> {
    let priority = match value {
        "LOW" => -5,
        "NORMAL" => 0,
        "HIGH" => 5,
        number => {
            let number: i8 =
                number.parse().ok().filter(|number| *number <= 10).ok_or_else(|| SqlError::syntax_near(value))?;
            if negative { -number } else { number }
        }
    };
    execution.state.options.deadlock_priority = priority;
    if let Some(transaction) = &mut execution.state.transaction {
        transaction.set_deadlock_priority(priority);
    }
    Ok(())
}

fn isolation(execution: &mut Execution<'_>, level: &[&str]) -> SqlResult<()> {
    let isolation = match level {
        ["READ", "UNCOMMITTED"] => Isolation::ReadUncommitted,
        ["READ", "COMMITTED"] => Isolation::ReadCommitted,
        ["REPEATABLE", "READ"] => Isolation::RepeatableRead,
        ["SERIALIZABLE"] => Isolation::Serializable,
        ["SNAPSHOT"] => Isolation::Snapshot,
        _ => return Err(SqlError::syntax_near(&level.join(" "))),
    };
    execution.state.set_isolation(isolation)
}

fn identity_insert(execution: &mut Execution<'_>, words: &[String], on: bool) -> SqlResult<()> {
    let name: String = words.get(1..words.len().saturating_sub(1)).unwrap_or_default().concat();
    let name: Name = super::super::parse::name(&name)?;
    let target = target::find(execution, &name)?;
    let key = (target.database, target.table.object_id);
    let options = &mut execution.state.options;
    if !on {
        if options.identity_insert == Some(key) {
            options.identity_insert = None;
        }
        return Ok(());
    }
    if !target.table.columns.iter().any(|column| column.identity.is_some()) {
        let text =
            format!("Table '{}' does not have the identity property. Cannot perform SET operation.", target.table.name);
        return Err(SqlError::new(8106, 16, text));
    }
    if options.identity_insert.is_some_and(|other| other != key) {
        return Err(SqlError::new(
            8107,
            16,
            "IDENTITY_INSERT is already ON for another table. Cannot perform SET operation.",
        ));
    }
    options.identity_insert = Some(key);
    Ok(())
}
