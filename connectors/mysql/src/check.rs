//! What is wrong with a server's set-up, all at once: settings, privileges, tables.
//!
//! Each finding has its remedy as SQL or configuration that can be used as it stands.

mod cascades;
#[cfg(test)]
mod cascades_on_servers;
mod databases;
mod grants;
mod patterns;
mod settings;
mod tables;

use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::selection::Selection;
use millstream_core::source::{Problem, Severity};
use mysql_async::prelude::FromRow;

pub(crate) use cascades::{Cascades, ParentChange, cascades, unlogged_cascades};
pub(crate) use grants::Grants;

use crate::connect::{Connection, Connector, address};
use crate::discover;
use crate::error::connection_problem;

/// Every problem of the server and of the selected tables. A server that can't be reached or logged in to is a problem,
/// too. `Err` is for connections that break half-way.
pub(crate) async fn check(connector: &Connector, selection: &Selection) -> Result<Vec<Problem>, SourceError> {
    let mut connection = match connector.open().await {
        Ok(connection) => connection,
        Err(error) => return Ok(vec![connection_problem(&address(&connector.settings().opts), &error)]),
    };
    let limit = connector.query_timeout();
    let grants = Grants::read(&mut connection, limit).await?;
    let mut problems = settings::problems(&mut connection, limit, selection, &grants).await?;
    problems.extend(grants.problems(connection.server.version));
    let found = discover::selected(&mut connection, limit, selection).await?;
    let database = connector.settings().database.as_deref();
    let databases = databases::problems(&mut connection, limit, selection, database, &grants).await?;
    problems.extend(patterns::problems(&mut connection, limit, selection, &found, &databases, &grants).await?);
    problems.extend(databases.into_values());
    problems.extend(tables::problems(&mut connection, limit, &found, &grants).await?);
    let cascades = unlogged_cascades(&mut connection, limit).await?.unwrap_or_default();
    problems.extend(tables::cascade_problems(&cascades, &found, connection.server.version));
    // The worst first; among equals the order above, from the server to its tables.
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    Ok(problems)
}

fn problem(
    severity: Severity,
    subject: impl Into<String>,
    found: impl Into<String>,
    remedy: impl Into<String>,
) -> Problem {
    Problem { severity, subject: subject.into(), found: found.into(), remedy: remedy.into() }
}

/// The rows of a query that the user may lack the privilege for or that this server may not know: `None` then.
async fn attempt<T>(connection: &mut Connection, limit: Duration, query: &str) -> Result<Option<Vec<T>>, SourceError>
where
    T: FromRow + Send + 'static,
{
    match connection.rows(limit, "check the server", query).await {
        Ok(rows) => Ok(Some(rows)),
        Err(SourceError::Definite { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
