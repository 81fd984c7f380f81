//! DBCC, and KILL.

use sqlparser::ast::Expr;

use crate::error::{SqlError, SqlResult};
use crate::storage::{ColumnId, Identity, ReadRequest};
use crate::value::{Length, SqlType, Value, convert, format};

use super::super::parse;
use super::super::session::{ColumnMetadata, Isolation, Output, OutputSink};
use super::super::state::Execution;
use super::target::{self, Target};
use super::{done, send, transaction, value_of};

/// Lets an update of one row's unique key show as an update in change tables.
const UPDATES_IN_PLACE: u32 = 8207;

pub fn dbcc(
    execution: &mut Execution<'_>,
    command: &str,
    arguments: &[Expr],
    options: &[String],
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    let quiet = options.iter().any(|option| option == "NO_INFOMSGS");
    if let Some(option) = options.iter().find(|option| *option != "NO_INFOMSGS") {
        return Err(SqlError::unsupported(format!("DBCC {command} WITH {option}")));
    }
    let mut given = Vec::with_capacity(arguments.len());
    for argument in arguments {
        given.push(match argument {
            // A word without quotes is a text.
            Expr::Identifier(word) if !word.value.starts_with('@') => Value::text(&word.value),
            argument => value_of(execution, argument)?.0,
        });
    }
    match command {
        "TRACEON" => trace(execution, &given, true)?,
        "TRACEOFF" => trace(execution, &given, false)?,
        "TRACESTATUS" => trace_status(execution, &given, out)?,
        "CHECKIDENT" => check_identity(execution, &given, quiet, out)?,
        "USEROPTIONS" => user_options(execution, out)?,
        "CHECKDB" => {
            let name = match given.first().and_then(Value::as_text) {
                Some(name) => name.to_owned(),
                None => execution.state.database_name(execution.state.database).to_string(),
            };
            execution.state.storage.database_named(&name).ok_or_else(|| SqlError::no_database(&name))?;
            let text = format!("CHECKDB found 0 allocation errors and 0 consistency errors in database '{name}'.");
            tell(8989, &text, quiet, out)?;
        }
        "CHECKTABLE" => {
            let target = table(execution, &given)?;
            let rows = execution.state.storage.row_count(target.database, target.table.object_id);
            let text = format!("There are {rows} rows in 1 pages for object \"{}\".", target.table.name);
            tell(2593, &text, quiet, out)?;
        }
        // There is no cache, so that it is free.
        "FREEPROCCACHE" | "DROPCLEANBUFFERS" | "FREESYSTEMCACHE" | "FREESESSIONCACHE" => {}
        other => return Err(SqlError::unsupported(format!("DBCC {other}"))),
    }
    let text = "DBCC execution completed. If DBCC printed error messages, contact your system administrator.";
    tell(2528, text, quiet, out)?;
    done(execution, None, out)
}

fn tell(number: i32, text: &str, quiet: bool, out: &mut OutputSink<'_>) -> SqlResult<()> {
    if quiet { Ok(()) } else { send(out, Output::Message(SqlError::new(number, 10, text))) }
}

fn numbers(given: &[Value]) -> SqlResult<Vec<i64>> {
    given.iter().map(|value| value.as_integer().ok_or_else(|| SqlError::syntax_near("DBCC"))).collect()
}

fn trace(execution: &mut Execution<'_>, given: &[Value], on: bool) -> SqlResult<()> {
    if !execution.state.sysadmin {
        return Err(SqlError::new(
            2571,
            14,
            format!("User '{}' does not have permission to run DBCC TRACEON.", execution.state.login_name),
        ));
    }
    let numbers = numbers(given)?;
    let global = numbers.last() == Some(&-1);
    let flags: Vec<i64> = numbers.into_iter().filter(|flag| *flag != -1).collect();
    for flag in &flags {
        if *flag != i64::from(UPDATES_IN_PLACE) {
            return Err(SqlError::unsupported(format!("trace flag {flag}")));
        }
        if !global {
            return Err(SqlError::unsupported(
                "trace flag 8207 for one session; it is one of the whole server, DBCC TRACEON(8207, -1)",
            ));
        }
        execution.state.storage.capture().set_in_place_singletons(on);
    }
    Ok(())
}

fn trace_status(execution: &mut Execution<'_>, given: &[Value], out: &mut OutputSink<'_>) -> SqlResult<()> {
    let asked: Vec<i64> = numbers(given)?.into_iter().filter(|flag| *flag != -1).collect();
    // A test may have set it by the server's control.
    let on = execution.state.storage.capture().in_place_singletons();
    let mut flags = if on { vec![i64::from(UPDATES_IN_PLACE)] } else { Vec::new() };
    if !asked.is_empty() {
        flags = asked;
    }
    let flag_row = |flag: i64| {
        let set = i16::from(on && flag == i64::from(UPDATES_IN_PLACE));
        let number = i16::try_from(flag).unwrap_or(i16::MAX);
        [number, set, set, 0].map(Value::SmallInt).to_vec()
    };
    let columns = ["TraceFlag", "Status", "Global", "Session"];
    let rows: Vec<Vec<Value>> = flags.into_iter().map(flag_row).collect();
    give(execution, columns.map(|name| (name, SqlType::SmallInt)).to_vec(), rows, out)
}

fn give(
    execution: &mut Execution<'_>,
    columns: Vec<(&str, SqlType)>,
    rows: Vec<Vec<Value>>,
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    let column = |(name, sql_type): (&str, SqlType)| ColumnMetadata {
        name: name.to_owned(),
        sql_type,
        nullable: true,
        identity: false,
        computed: false,
    };
    let count = u64::try_from(rows.len()).ok();
    send(out, Output::Columns(columns.into_iter().map(column).collect()))?;
    if !rows.is_empty() {
        send(out, Output::Rows(rows))?;
    }
    done(execution, count, out)
}

fn table(execution: &Execution<'_>, given: &[Value]) -> SqlResult<Target> {
    let name = given.first().and_then(Value::as_text).ok_or_else(|| SqlError::syntax_near("DBCC"))?;
    let missing = || {
        SqlError::new(
            2501,
            16,
            format!("Cannot find a table or object with the name \"{name}\". Check the system catalog."),
        )
    };
    target::find(execution, &parse::name(name)?).map_err(|_| missing())
}

/// `DBCC CHECKIDENT ('t')`, `('t', NORESEED)`, `('t', RESEED)`, `('t', RESEED, n)`.
fn check_identity(
    execution: &mut Execution<'_>,
    given: &[Value],
    quiet: bool,
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    let target = table(execution, given)?;
    target::check_permission(execution, &target, "ALTER")?;
    let found = target.table.columns.iter().find_map(|column| Some((column.column_id, column.identity?)));
    let Some((column, identity)) = found else {
        let text = format!("'{}' does not contain an identity column.", target.table.name);
        return Err(SqlError::new(7997, 16, text));
    };
    let (database, table) = (target.database, target.table.object_id);
    let last = execution.state.transaction().identity_last(database, table)?;
    let shown = |value: Option<i128>| value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
    let manner = given.get(1).and_then(Value::as_text).map(str::to_ascii_uppercase);
    let wanted = given.get(2).and_then(convert::exact).map(|number| number.units());
    let greatest = greatest(execution, &target, column, identity)?;
    let next = match (manner.as_deref(), wanted) {
        // A table that never had a row gives the new value itself, another one the value after it.
        (Some("RESEED"), Some(wanted)) => Some(if last.is_none() { wanted - identity.increment } else { wanted }),
        (Some("RESEED") | None, None) => match (last, greatest) {
            (Some(last), Some(greatest)) if (greatest > last) == (identity.increment > 0) && greatest != last => {
                Some(greatest)
            }
            (None, Some(greatest)) => Some(greatest),
            _ => None,
        },
        (Some("NORESEED"), None) => None,
        _ => return Err(SqlError::syntax_near("CHECKIDENT")),
    };
    if let Some(next) = next {
        execution.state.transaction().set_identity_last(database, table, Some(next))?;
        if execution.state.transaction_count == 0 {
            execution.state.transaction = None;
        }
    }
    let text = match wanted {
        Some(_) => format!("Checking identity information: current identity value '{}'.", shown(last)),
        None => format!(
            "Checking identity information: current identity value '{}', current column value '{}'.",
            shown(last),
            shown(greatest)
        ),
    };
    tell(7998, &text, quiet, out)
}

/// The value that is farthest in the direction in which the column counts.
fn greatest(
    execution: &mut Execution<'_>,
    target: &Target,
    column: ColumnId,
    identity: Identity,
) -> SqlResult<Option<i128>> {
    let request = ReadRequest::all(target.database, target.table.clone());
    let rows = transaction::atomic(execution, |execution| execution.state.transaction().read_all(&request))?;
    let Some(column) = target.table.column(column) else { return Ok(None) };
    let values = rows.iter().filter_map(|(_, row)| convert::exact(target.table.value(column, row)));
    let values = values.map(|number| number.units());
    Ok(if identity.increment > 0 { values.max() } else { values.min() })
}

fn user_options(execution: &mut Execution<'_>, out: &mut OutputSink<'_>) -> SqlResult<()> {
    let options = &execution.state.options;
    let timeout = options.lock_timeout.map_or_else(|| "-1".to_owned(), |wait| wait.as_millis().to_string());
    let snapshot = execution.state.catalog(execution.state.database)?.options.read_committed_snapshot;
    let isolation = match options.isolation {
        Isolation::ReadUncommitted => "read uncommitted",
        Isolation::ReadCommitted if snapshot => "read committed snapshot",
        Isolation::ReadCommitted => "read committed",
        Isolation::RepeatableRead => "repeatable read",
        Isolation::Serializable => "serializable",
        Isolation::Snapshot => "snapshot",
    };
    let mut rows = vec![
        ("textsize", "2147483647".to_owned()),
        ("language", "us_english".to_owned()),
        ("dateformat", "mdy".to_owned()),
        ("datefirst", options.date_first.to_string()),
        ("lock_timeout", timeout),
    ];
    let on = [
        ("nocount", options.no_count),
        ("xact_abort", options.xact_abort),
        ("implicit_transactions", options.implicit_transactions),
        ("quoted_identifier", true),
        ("arithabort", true),
        ("ansi_null_dflt_on", true),
        ("ansi_warnings", true),
        ("ansi_padding", true),
        ("ansi_nulls", true),
        ("concat_null_yields_null", true),
    ];
    rows.extend(on.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "SET".to_owned())));
    rows.push(("isolation level", isolation.to_owned()));
    let rows = rows.into_iter().map(|(name, value)| vec![Value::text(name), Value::text(&value)]).collect();
    let text = SqlType::NVarChar(Length::Limited(128));
    give(execution, vec![("Set Option", text), ("Value", text)], rows, out)
}

/// `KILL 53`.
pub fn kill(execution: &mut Execution<'_>, session: &Expr) -> SqlResult<()> {
    let (value, from) = value_of(execution, session)?;
    let Some(number) = value.as_integer().and_then(|number| u32::try_from(number).ok()) else {
        let shown = format::text(&value, from, None).unwrap_or_default();
        return Err(SqlError::new(6101, 16, format!("Session ID {shown} is not valid.")));
    };
    if !execution.state.sysadmin {
        return Err(SqlError::new(6102, 14, "User does not have permission to use the KILL statement."));
    }
    if number == execution.state.session_id {
        return Err(SqlError::new(6104, 16, "Cannot use KILL to kill your own process."));
    }
    let peers = execution.state.peers.clone();
    if peers.is_some_and(|peers| peers.end(number)) {
        return Ok(());
    }
    Err(SqlError::new(6106, 16, format!("Process ID {number} is not an active process ID.")))
}
