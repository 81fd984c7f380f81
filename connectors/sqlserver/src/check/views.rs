//! Tables of which the server shows this user other rows or values than there are.
//!
//! Change tables show everything, so reads that don't would give other values than the log.

use std::collections::BTreeMap;

use millstream_core::error::SourceError;
use millstream_core::schema::TableName;
use millstream_core::source::{Problem, Severity};

use super::permissions::Permissions;
use super::{attempt, problem};
use crate::capture::table::CapturedTable;
use crate::connect::Connection;
use crate::field::{int, text};
use crate::quote::quoted;

pub(super) async fn problems(
    connection: &mut Connection,
    tables: &BTreeMap<TableName, CapturedTable>,
    permissions: &Permissions,
) -> Result<Vec<Problem>, SourceError> {
    let mut problems = masked(connection, tables, permissions).await?;
    problems.extend(filtered(connection, tables).await?);
    Ok(problems)
}

/// Columns with dynamic data masking.
async fn masked(
    connection: &mut Connection,
    tables: &BTreeMap<TableName, CapturedTable>,
    permissions: &Permissions,
) -> Result<Vec<Problem>, SourceError> {
    let query = "SELECT s.name, t.name, c.name, HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'UNMASK') FROM sys.masked_columns \
                 AS c JOIN sys.tables AS t ON t.object_id = c.object_id JOIN sys.schemas AS s ON s.schema_id = \
                 t.schema_id WHERE c.is_masked = 1";
    let rows = attempt(connection, query).await?.unwrap_or_default();
    let mut columns: BTreeMap<TableName, Vec<String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| int(row, 3) != Some(1)) {
        columns.entry(TableName::new(text(row, 0), text(row, 1))).or_default().push(text(row, 2));
    }
    let of_table = |(table, columns): (TableName, Vec<String>)| {
        tables.contains_key(&table).then(|| {
            problem(
                Severity::Error,
                format!("table {table}"),
                format!("the values of {} are masked for user {}", columns.join(", "), permissions.user),
                permissions.grant_unmask(),
            )
        })
    };
    Ok(columns.into_iter().filter_map(of_table).collect())
}

/// Tables with row-level security. Whether it hides anything from this user is up to a function of the operator's.
async fn filtered(
    connection: &mut Connection,
    tables: &BTreeMap<TableName, CapturedTable>,
) -> Result<Vec<Problem>, SourceError> {
    let query = "SELECT s.name, t.name, policy.name FROM sys.security_predicates AS predicate JOIN sys.security_policies \
                 AS policy ON policy.object_id = predicate.object_id JOIN sys.tables AS t ON t.object_id = \
                 predicate.target_object_id JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE policy.is_enabled = \
                 1 AND predicate.predicate_type_desc = N'FILTER'";
    let rows = attempt(connection, query).await?.unwrap_or_default();
    let of_row = |row: &tiberius::Row| {
        let table = TableName::new(text(row, 0), text(row, 1));
        tables.contains_key(&table).then(|| {
            problem(
                Severity::Warning,
                format!("table {table}"),
                format!("security policy {} may hide rows from Millstream, which the log shows", text(row, 2)),
                format!("Have the policy {} let this user see every row", quoted(&text(row, 2))),
            )
        })
    };
    Ok(rows.iter().filter_map(of_row).collect())
}
