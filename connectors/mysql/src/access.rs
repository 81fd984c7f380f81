//! Whether the user may read a table, and what lets it. The catalog doesn't tell: it hides what the user has no
//! privilege on, as if it weren't there.

use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::schema::TableName;
use mysql_async::prelude::Queryable;
use tokio::time::timeout;

use crate::connect::Connection;
use crate::discover::quoted;
use crate::error::{classify_read, is_access_denied, is_lock_timeout};

/// How a table answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// It can be read.
    Granted,
    /// There is no such table, or the server can't open it.
    Nothing,
    /// The user may not read all of it; this statement lets it.
    Denied {
        /// A whole statement.
        grant: String,
    },
    /// Somebody else has held a lock on it for as long as the session waits for one.
    Locked,
}

/// Asks a table for no row of all columns. That waits until no statement works on the table's definition.
pub(crate) async fn probe(
    connection: &mut Connection,
    limit: Duration,
    table: &TableName,
) -> Result<Access, SourceError> {
    let statement = format!("SELECT * FROM {}.{} LIMIT 0", quoted(&table.schema), quoted(&table.name));
    match timeout(limit, connection.conn.query_drop(statement)).await {
        Ok(Ok(())) => Ok(Access::Granted),
        Ok(Err(error)) if is_access_denied(&error) => {
            let user = account(connection, limit).await?;
            Ok(Access::Denied { grant: grant_select(&user, &table.schema, Some(table)) })
        }
        Ok(Err(error)) if is_lock_timeout(&error) => Ok(Access::Locked),
        Ok(Err(error)) => match classify_read(table, error) {
            SourceError::Table { .. } => Ok(Access::Nothing),
            error => Err(error),
        },
        Err(elapsed) => Err(SourceError::transient(format!("wait for the definition of {table}"), elapsed)),
    }
}

/// The user that the server takes the connection for, as GRANT wants it.
pub(crate) async fn account(connection: &mut Connection, limit: Duration) -> Result<String, SourceError> {
    let user: Vec<String> = connection.rows(limit, "read the user's name", "SELECT CURRENT_USER()").await?;
    Ok(quoted_account(&user.concat()))
}

/// The statement that lets a user read a table of a database, or all of them if none is named.
pub(crate) fn grant_select(account: &str, database: &str, table: Option<&TableName>) -> String {
    let scope = table.map_or("*".to_owned(), |table| quoted(&table.name));
    format!("GRANT SELECT ON {}.{scope} TO {account};", quoted(database))
}

fn quoted_account(user: &str) -> String {
    let quote = |part: &str| format!("'{}'", part.replace('\\', "\\\\").replace('\'', "''"));
    match user.rsplit_once('@') {
        Some((name, host)) => format!("{}@{}", quote(name), quote(host)),
        None => quote(user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_statements_as_they_stand() {
        assert_eq!(quoted_account("o'neil@work@10.0.0.%"), "'o''neil@work'@'10.0.0.%'");
        let user = quoted_account("u@%");
        let table = TableName::new("a_`b", "t_1");
        assert_eq!(grant_select(&user, "a_`b", Some(&table)), "GRANT SELECT ON `a_``b`.`t_1` TO 'u'@'%';");
        assert_eq!(grant_select(&user, "a_b", None), "GRANT SELECT ON `a_b`.* TO 'u'@'%';");
    }
}
