//! What is wrong with a server's set-up, all at once: the database, permissions, the capture job, tables.
//!
//! Each finding has its remedy as T-SQL or configuration that can be used as it stands.

mod database;
mod job;
mod patterns;
mod permissions;
mod table;
mod views;

use std::collections::HashSet;

use millstream_core::error::SourceError;
use millstream_core::selection::Selection;
use millstream_core::source::{Problem, Severity};
use tiberius::Row;

use crate::capture::catalog::Catalog;
use crate::connect::{Connection, Connector};
use crate::error::{connection_problem, number};
use crate::field::int;
use database::Database;
use permissions::Permissions;

/// Every problem of the database and of the selected tables. A server that can't be reached or logged in to is a
/// problem, too. `Err` is for connections that break half-way.
pub(crate) async fn check(connector: &Connector, selection: &Selection) -> Result<Vec<Problem>, SourceError> {
    let mut connection = match connector.open().await {
        Ok(connection) => connection,
        Err(error) => return Ok(vec![connection_problem(&connector.settings().address.to_string(), &error)]),
    };
    let connection = &mut connection;
    let database = Database::read(connection).await?;
    let permissions = Permissions::read(connection).await?;
    let mut problems = database.problems(&permissions);
    problems.extend(permissions.problems(connector.settings(), database.captures));
    if database.captures && permissions.sees_state {
        problems.extend(job::problems(connection, connector.settings().cleanup).await?);
    }
    let mut catalog = Catalog::default();
    let mut hidden = HashSet::new();
    let looked = match catalog.look(connection, selection).await {
        Err(error) if error.number() == Some(number::PERMISSION_DENIED) => {
            hidden = tracked(connection).await?;
            catalog.look_without_instances(connection, selection).await
        }
        looked => looked,
    };
    match looked {
        Ok(()) => {
            problems.extend(patterns::problems(connection, selection, catalog.tables(), &permissions).await?);
            problems.extend(table::problems(connection, connector.settings(), &catalog, &permissions, &hidden).await?);
            problems.extend(views::problems(connection, catalog.tables(), &permissions).await?);
        }
        // What is lacking has been told above.
        Err(error) if error.is_refusal() => {}
        Err(error) => return Err(error.into()),
    }
    // The worst first; among equals the order above, from the database to its tables.
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    Ok(problems)
}

/// The tables that have capture instances, as everybody may know who sees the tables.
async fn tracked(connection: &mut Connection) -> Result<HashSet<i32>, SourceError> {
    let query = "SELECT object_id FROM sys.tables WHERE is_tracked_by_cdc = 1";
    let rows = connection.rows("look for captured tables", query, &[]).await?;
    Ok(rows.iter().filter_map(|row| int(row, 0)).collect())
}

fn problem(
    severity: Severity,
    subject: impl Into<String>,
    found: impl Into<String>,
    remedy: impl Into<String>,
) -> Problem {
    Problem { severity, subject: subject.into(), found: found.into(), remedy: remedy.into() }
}

/// The rows of a query that may be refused: `None` then.
async fn attempt(connection: &mut Connection, query: &str) -> Result<Option<Vec<Row>>, SourceError> {
    match connection.rows("check the server", query, &[]).await {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.is_refusal() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
