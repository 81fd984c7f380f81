//! The selected tables, one by one.

use std::collections::HashSet;

use millstream_core::error::SourceError;
use millstream_core::schema::{Column, TableName};
use millstream_core::source::{Problem, Severity};

use super::permissions::Permissions;
use super::{attempt, problem};
use crate::capture::catalog::Catalog;
use crate::capture::instance::Instance;
use crate::capture::statements;
use crate::capture::table::{CapturedTable, Want};
use crate::config::{CaptureInstances, Settings};
use crate::connect::Connection;
use crate::decode::ColumnType;
use crate::error::number;
use crate::field::int;
use crate::quote::{quoted, quoted_table};

/// An insert of a larger value into a captured table fails, as long as the server's setting is the default. In bytes.
const REPL_SIZE_DEFAULT_BYTES: i32 = 65_536;

/// The most letters of a national text with a bound.
const NATIONAL_LETTERS_MAX: u32 = 4_000;

/// `hidden` are the objects whose capture instances the user may not see.
pub(super) async fn problems(
    connection: &mut Connection,
    settings: &Settings,
    catalog: &Catalog,
    permissions: &Permissions,
    hidden: &HashSet<i32>,
) -> Result<Vec<Problem>, SourceError> {
    let mut problems = Vec::new();
    let here = |problem: Problem| Problem { remedy: permissions.within(&problem.remedy), ..problem };
    let collation = connection.server.collation.clone();
    for table in catalog.tables().values() {
        problems.extend(unreadable(connection, table, permissions).await?);
        // Of instances that can't be seen there is nothing to say, nor of the keys that they may have.
        if !hidden.contains(&table.object) {
            problems.extend(capture_problems(table, settings, catalog, permissions));
            problems.extend(key_problem(table).map(here));
        }
        problems.extend(computed_problem(table));
        problems.extend(collation_problem(table, &collation).map(here));
    }
    problems.extend(repl_size_problem(connection, catalog).await?);
    Ok(problems)
}

/// Asks for no row of all columns, which takes SELECT on each, however it was granted.
async fn unreadable(
    connection: &mut Connection,
    table: &CapturedTable,
    permissions: &Permissions,
) -> Result<Option<Problem>, SourceError> {
    let query = format!("SELECT TOP (0) * FROM {}", quoted_table(&table.name));
    let Err(error) = connection.rows(format!("read {}", table.name), &query, &[]).await else { return Ok(None) };
    match error.number() {
        Some(number::PERMISSION_DENIED | number::COLUMN_PERMISSION_DENIED) => Ok(Some(problem(
            Severity::Error,
            subject(&table.name),
            "SELECT isn't granted on all of its columns",
            permissions.grant_select(&table.name),
        ))),
        // Dropped since the list was read.
        Some(number::OBJECT_UNKNOWN) => Ok(None),
        _ => Err(error.into()),
    }
}

fn subject(table: &TableName) -> String {
    format!("table {table}")
}

/// What its capture lacks.
fn capture_problems(
    table: &CapturedTable,
    settings: &Settings,
    catalog: &Catalog,
    permissions: &Permissions,
) -> Vec<Problem> {
    let taken = |name: &str| catalog.is_taken(name);
    // Whoever may not run the statements can't do without somebody who may.
    let automatic = settings.capture_instances == CaptureInstances::Auto && permissions.is_owner();
    let wanted = |severity, want: Want| {
        let remedy = match automatic {
            true => format!("Nothing has to be done, Millstream runs it: {};", want.statement),
            false => permissions.within(&format!("{};", want.statement)),
        };
        let severity = if automatic { Severity::Warning } else { severity };
        problem(severity, subject(&table.name), want.reason, remedy)
    };
    let mut problems = Vec::new();
    problems.extend(table.wanted_first(taken).map(|want| wanted(Severity::Error, want)));
    let next = table.wanted_next(taken);
    let is_preferred = |instance: &Instance| table.preferred() == Some(instance);
    match (next, table.instances.as_slice()) {
        // The server refuses a third.
        (Some(want), [one, other]) if !automatic || table.has_no_room() => {
            let other = if is_preferred(one) { other } else { one };
            let first = statements::disable(&table.name, &other.name);
            let remedy = format!("{first}; {}; -- if nobody else reads {}", want.statement, other.name);
            let found = format!("{}, and it has two instances, which is the most there can be", want.reason);
            problems.push(problem(Severity::Warning, subject(&table.name), found, permissions.within(&remedy)));
        }
        (Some(want), _) => problems.push(wanted(Severity::Warning, want)),
        (None, [one, other]) if !automatic || table.has_no_room() => {
            let other = if is_preferred(one) { other } else { one };
            let remedy = format!(
                "{}; -- once Millstream has gone over to the other one, and if nobody else reads {}",
                statements::disable(&table.name, &other.name),
                other.name
            );
            problems.push(problem(
                Severity::Warning,
                subject(&table.name),
                "it has two capture instances: each change of it is written twice, and the next change of its columns \
                 will find no room for a third",
                permissions.within(&remedy),
            ));
        }
        (None, _) => {}
    }
    let here = |problem: Problem| Problem { remedy: permissions.within(&problem.remedy), ..problem };
    problems.extend(uncaptured_problem(table).map(here));
    problems.extend(order_problem(table).map(here));
    problems
}

/// The table of an instance that an older server made.
fn order_problem(table: &CapturedTable) -> Option<Problem> {
    let newest = table.preferred().filter(|newest| !newest.tells_commands)?;
    let enable = statements::enable(&table.name, &newest.name, &newest.options, None);
    Some(problem(
        Severity::Warning,
        subject(&table.name),
        format!(
            "capture instance {} was made by an older version of the server, which doesn't tell the order of commands \
             within a transaction: rows that are deleted are looked up",
            newest.name
        ),
        format!("{}; {enable};", statements::disable(&table.name, &newest.name)),
    ))
}

/// Columns that are left out on purpose are left out of everything.
fn uncaptured_problem(table: &CapturedTable) -> Option<Problem> {
    let newest = table.preferred()?;
    // Those that came later are missed, which is another matter.
    let later: Vec<i32> = table.added_since(newest).iter().map(|column| column.column_id).collect();
    let is_captured = |id: i32| newest.columns.iter().any(|captured| captured.column_id == id);
    let missing: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| !column.computed && !column.hidden && !is_captured(column.column_id))
        .filter(|column| !later.contains(&column.column_id))
        .map(|column| column.column.name.as_str())
        .collect();
    if missing.is_empty() {
        return None;
    }
    let enable = statements::enable(&table.name, &newest.name, &newest.options, None);
    Some(problem(
        Severity::Warning,
        subject(&table.name),
        format!("capture instance {} leaves out {}, so Millstream does", newest.name, missing.join(", ")),
        format!("{}; {enable}; -- if they are wanted", statements::disable(&table.name, &newest.name)),
    ))
}

fn key_problem(table: &CapturedTable) -> Option<Problem> {
    // A key that the instance doesn't know of yet wants a new instance, which is said elsewhere.
    let has_key = table.has_primary_key || table.preferred().is_some_and(|instance| !instance.key.is_empty());
    if has_key {
        return None;
    }
    let columns = || table.columns.iter().map(|column| &column.column);
    let old = columns().find(|column| matches!(column.source_type.as_str(), "text" | "ntext" | "image"));
    let mut found =
        "it is captured without a primary key or unique index, so that each deleted or updated row is looked \
                     for by all its values, and the table is read in one piece"
            .to_owned();
    if let Some(Column { name, source_type, .. }) = old {
        found.push_str(&format!(
            "; since old values of {name} ({source_type}) aren't captured, the whole table is read again after each"
        ));
    }
    let remedy = format!(
        "ALTER TABLE {} ADD _row_id bigint IDENTITY NOT NULL PRIMARY KEY; -- or, for a table with a unique index of \
         columns that are NOT NULL, make a capture instance with @index_name",
        quoted_table(&table.name)
    );
    Some(problem(Severity::Warning, subject(&table.name), found, remedy))
}

fn computed_problem(table: &CapturedTable) -> Option<Problem> {
    let computed: Vec<&str> =
        table.columns.iter().filter(|column| column.computed).map(|column| column.column.name.as_str()).collect();
    if computed.is_empty() {
        return None;
    }
    Some(problem(
        Severity::Warning,
        subject(&table.name),
        format!("computed columns aren't captured, so Millstream leaves out {}", computed.join(", ")),
        "Compute them in the sync config or at the client, or make them ordinary columns",
    ))
}

/// A fault of the server's: its capture process keeps texts in a place of the database's collation for a moment.
fn collation_problem(table: &CapturedTable, database: &str) -> Option<Problem> {
    let differs = |column: &Column| {
        let in_code_page =
            matches!(ColumnType::parse(&column.source_type), ColumnType::Text { .. } | ColumnType::LongText);
        in_code_page && column.collation.as_deref().is_some_and(|collation| collation != database)
    };
    let columns: Vec<&Column> =
        table.columns.iter().map(|column| &column.column).filter(|column| differs(column)).collect();
    if columns.is_empty() {
        return None;
    }
    let statements: Vec<String> = columns.iter().map(|column| national(&table.name, column)).collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    Some(problem(
        Severity::Warning,
        subject(&table.name),
        format!(
            "{} have another collation than the database ({database}): the server may capture letters beyond ASCII in \
             them wrongly",
            names.join(", ")
        ),
        format!("{} -- makes them national texts", statements.join(" ")),
    ))
}

/// Makes a column of texts in a code page a national one, which is longer in bytes. The old types without a bound can't
/// become their national kin.
fn national(table: &TableName, column: &Column) -> String {
    let letters = |text: &str| text.split_once('(')?.1.strip_suffix(')')?.parse::<u32>().ok();
    let national = match letters(&column.source_type) {
        Some(letters) if letters <= NATIONAL_LETTERS_MAX => format!("n{}", column.source_type),
        _ => "nvarchar(max)".to_owned(),
    };
    let nullable = if column.nullable { "NULL" } else { "NOT NULL" };
    format!("ALTER TABLE {} ALTER COLUMN {} {national} {nullable};", quoted_table(table), quoted(&column.name))
}

/// The server refuses to write large values into captured tables by default.
async fn repl_size_problem(connection: &mut Connection, catalog: &Catalog) -> Result<Option<Problem>, SourceError> {
    let is_large = |table: &&CapturedTable| {
        table.columns.iter().any(|column| ColumnType::parse(&column.column.source_type).is_lob())
    };
    let Some(table) = catalog.tables().values().find(is_large) else { return Ok(None) };
    let query = "SELECT CAST(value_in_use AS int) FROM sys.configurations WHERE name = N'max text repl size (B)'";
    let rows = attempt(connection, query).await?.unwrap_or_default();
    let limit = rows.first().and_then(|row| int(row, 0));
    Ok(limit.filter(|limit| (0..=REPL_SIZE_DEFAULT_BYTES).contains(limit)).map(|limit| {
        problem(
            Severity::Warning,
            "setting max text repl size",
            format!(
                "{limit} bytes: the server refuses to write larger values into captured tables with large columns, such \
                 as {}",
                table.name
            ),
            "EXEC sp_configure 'max text repl size', -1; RECONFIGURE;",
        )
    }))
}
