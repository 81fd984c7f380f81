//! The selected tables, one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::schema::{Column, IdentityKind, TableName, TableSchema};
use millstream_core::source::{Problem, Severity};
use mysql_async::prelude::Queryable;
use tokio::time::timeout;

use super::Grants;
use super::cascades::{Cascade, Cascades, Rule};
use super::problem;
use crate::connect::Connection;
use crate::discover::{literal, quoted};
use crate::error::classify_read;
use crate::version::{Flavor, Version};
use crate::virtual_columns::{is_restless, session_dependent};

/// Storage engines whose changes are part of transactions.
const TRANSACTIONAL: &[&str] = &["InnoDB", "ROCKSDB", "TokuDB", "ndbcluster"];
/// Storage engines whose rows belong to other tables or other servers, and change with no word in this server's log.
const ELSEWHERE: &[&str] =
    &["MRG_MyISAM", "FEDERATED", "CONNECT", "SPIDER", "S3", "OQGRAPH", "SPHINX", "PERFORMANCE_SCHEMA"];

pub(super) async fn problems(
    connection: &mut Connection,
    limit: Duration,
    found: &BTreeMap<TableName, TableSchema>,
    grants: &Grants,
) -> Result<Vec<Problem>, SourceError> {
    let version = connection.server.version;
    let engines = engines(connection, limit, found).await?;
    let mut problems = Vec::new();
    for (name, schema) in found {
        problems.extend(unreadable(connection, limit, schema, grants).await?);
        problems.extend(key_problem(schema, version));
        problems.extend(virtual_column_problem(schema, version.flavor));
        problems.extend(engines.get(name).and_then(|engine| engine_problem(name, engine)));
    }
    Ok(problems)
}

async fn engines(
    connection: &mut Connection,
    limit: Duration,
    found: &BTreeMap<TableName, TableSchema>,
) -> Result<BTreeMap<TableName, String>, SourceError> {
    let schemas: BTreeSet<String> = found.keys().map(|name| literal(&name.schema)).collect();
    if schemas.is_empty() {
        return Ok(BTreeMap::new());
    }
    let schemas = schemas.into_iter().collect::<Vec<_>>().join(", ");
    let query = format!(
        "SELECT table_schema, table_name, engine FROM information_schema.tables \
         WHERE table_schema IN ({schemas}) AND engine IS NOT NULL"
    );
    let rows: Vec<(String, String, String)> = connection.rows(limit, "read the tables' engines", &query).await?;
    Ok(rows.into_iter().map(|(schema, name, engine)| (TableName::new(schema, name), engine)).collect())
}

/// Asks for no row of all columns, which takes SELECT on each, however it was granted. The star is for columns that the
/// catalog hides from a user without a privilege on them, the names are for those that the star leaves out, being
/// invisible.
async fn unreadable(
    connection: &mut Connection,
    limit: Duration,
    schema: &TableSchema,
    grants: &Grants,
) -> Result<Option<Problem>, SourceError> {
    let columns: Vec<String> = schema.columns.iter().map(|column| quoted(&column.name)).collect();
    let table = &schema.table;
    let name = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
    let privileges = format!("SELECT *, {} FROM {name} LIMIT 0", columns.join(", "));
    // The server opens a table's files only for a row.
    let files = format!("SELECT 1 FROM {name} LIMIT 1");
    let mut outcome = timeout(limit, connection.conn.query_drop(privileges)).await;
    if matches!(outcome, Ok(Ok(()))) {
        outcome = timeout(limit, connection.conn.query_drop(files)).await;
    }
    let error = match outcome {
        Ok(Ok(())) => return Ok(None),
        Ok(Err(error)) => classify_read(table, error),
        Err(elapsed) => return Err(SourceError::transient(format!("read {table}"), elapsed)),
    };
    let (found, remedy) = match error {
        SourceError::Definite { .. } => {
            ("SELECT isn't granted on all of its columns".to_owned(), grants.grant_select(&table.schema, Some(table)))
        }
        SourceError::Table { reason, .. } => {
            (reason, format!("Repair the table; the server says more about it to CHECK TABLE {name};"))
        }
        other => return Err(other),
    };
    Ok(Some(problem(Severity::Error, format!("table {table}"), found, remedy)))
}

fn key_problem(schema: &TableSchema, version: Version) -> Option<Problem> {
    if schema.identity.kind != IdentityKind::WholeRow {
        return None;
    }
    let table = &schema.table;
    let invisible = match version.flavor {
        Flavor::MySql if !version.at_least(8, 0, 23) => "",
        _ => " INVISIBLE",
    };
    let remedy = format!(
        "ALTER TABLE {}.{} ADD COLUMN _row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT{invisible} PRIMARY KEY;",
        quoted(&table.schema),
        quoted(&table.name)
    );
    Some(problem(
        Severity::Warning,
        format!("table {table}"),
        "it has neither a primary key nor a unique key without nullable columns, so that each deleted or updated row is \
         looked for by all its values, and the table is read in one piece",
        remedy,
    ))
}

/// Columns that are never taken from the log, at the price of queries, and among them those that no two reads agree on.
fn virtual_column_problem(schema: &TableSchema, flavor: Flavor) -> Option<Problem> {
    let dependent = session_dependent(&schema.columns, flavor);
    let dependent: Vec<&Column> =
        schema.columns.iter().zip(dependent).filter_map(|(column, dependent)| dependent.then_some(column)).collect();
    let restless: Vec<&Column> = dependent.iter().copied().filter(|column| is_restless(column, flavor)).collect();
    let names = |columns: &[&Column]| {
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        names.join(", ")
    };
    let table = &schema.table;
    let (found, remedy) = match (dependent.as_slice(), restless.as_slice()) {
        ([], _) => return None,
        (_, []) => {
            let found = format!(
                "what the virtual columns {} give may depend on the session (its time zone, language or SQL mode), so \
                 that each changed row is read again instead of taken from the log",
                names(&dependent)
            );
            (
                found,
                "If the table changes much, make them STORED columns, or leave them out and compute them in the sync config",
            )
        }
        (_, restless) => {
            let found = format!(
                "what the virtual columns {} give may differ between any two reads, so that no copy can equal the \
                 table: the buckets hold what they gave when the row was last read, and `verify` may find differences",
                names(restless)
            );
            (found, "Drop them from the table, or leave them out of the queries of the sync config")
        }
    };
    Some(problem(Severity::Warning, format!("table {table}"), found, remedy))
}

fn engine_problem(table: &TableName, engine: &str) -> Option<Problem> {
    let among = |engines: &[&str]| engines.iter().any(|name| name.eq_ignore_ascii_case(engine));
    if among(TRANSACTIONAL) {
        return None;
    }
    let found = match () {
        () if among(ELSEWHERE) => "its rows live elsewhere and change without a word in this server's log",
        () if engine.eq_ignore_ascii_case("MEMORY") => "its rows vanish when the server restarts",
        () if engine.eq_ignore_ascii_case("BLACKHOLE") => "it keeps no rows, though the log shows them",
        () => "it knows no transactions: what a statement changed before it failed, or before a rollback, stays",
    };
    let remedy = match among(ELSEWHERE) {
        true => {
            "Select the tables that it is made of instead, and write to those: what is written through this one is \
                 logged as its own"
                .to_owned()
        }
        false => format!("ALTER TABLE {}.{} ENGINE = InnoDB;", quoted(&table.schema), quoted(&table.name)),
    };
    Some(problem(Severity::Warning, format!("table {table}"), format!("engine {engine}: {found}"), remedy))
}

/// The selected tables that change by cascades which the log doesn't show.
pub(super) fn cascade_problems(
    cascades: &Cascades,
    found: &BTreeMap<TableName, TableSchema>,
    version: Version,
) -> Vec<Problem> {
    let remedy = match version.flavor {
        Flavor::MySql if version.at_least(9, 6, 0) => {
            "Put `innodb_native_foreign_keys = OFF` into the server's [mysqld] section and restart it, so that cascades are logged"
        }
        Flavor::MySql => {
            "Nothing has to be done: Millstream re-reads the table whenever that happens. Where that is too often, have \
             the application change the rows itself, or upgrade to MySQL 9.6, which logs cascades"
        }
        Flavor::MariaDb => {
            "Nothing has to be done: Millstream re-reads the table whenever that happens. Where that is too often, have \
             the application change the rows itself"
        }
    };
    let selected = cascades.iter().filter(|cascade| found.contains_key(&cascade.child));
    selected
        .map(|cascade| problem(Severity::Warning, format!("table {}", cascade.child), description(cascade), remedy))
        .collect()
}

fn description(cascade: &Cascade) -> String {
    let Cascade { constraint, parent, on_delete, on_update, .. } = cascade;
    let causes = [(*on_delete, "are deleted"), (*on_update, "get another key")];
    let causes: Vec<&str> =
        causes.into_iter().filter(|(rule, _)| *rule != Rule::Nothing).map(|(_, text)| text).collect();
    format!(
        "foreign key {constraint}: when rows of {parent} {}, the storage engine changes rows of this table without logging it",
        causes.join(" or ")
    )
}
