//! Tables that the catalog doesn't show, though they exist.
//!
//! SQL Server's catalog views leave out what a user has no permission on, so a table that can't be read any more looks
//! just like one that was dropped: its rows would be removed from every bucket. What tells the two apart is the list of
//! capture instances, which names tables by object id and belongs to the user's reading of schema `cdc`: dropping a
//! table removes its instances in the same transaction, taking a permission away doesn't. Without an object id, or
//! with capture off, it can't be told; then a table counts as hidden unless the user may read all of its schema, of
//! which nothing is hidden.

use std::collections::HashSet;

use millstream_core::schema::TableName;
use millstream_core::source::HiddenTable;

use crate::connect::Connection;
use crate::error::{QueryError, number};
use crate::field::{int, text};
use crate::quote::{literal, quoted, quoted_table, within};

const REASON: &str = "the table isn't shown to the user any more: SELECT on it was taken away";
const REASON_IN_DOUBT: &str =
    "the table isn't shown to the user any more: it was dropped, or SELECT on it was taken away";

/// Those of some missing tables that may exist all the same. Each comes with its object id if that is known.
pub(crate) async fn hidden(
    connection: &mut Connection,
    missing: &[(TableName, Option<i32>)],
) -> Result<Vec<HiddenTable>, QueryError> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let unseen = unseen_objects(connection).await?;
    let mut found = Vec::new();
    for (table, object) in missing {
        let reason = match (object, &unseen) {
            (Some(object), Some(unseen)) => unseen.contains(object).then_some(REASON),
            (None, Some(unseen)) if unseen.is_empty() => None,
            (_, _) => (!sees_schema(connection, &table.schema).await?).then_some(REASON_IN_DOUBT),
        };
        if let Some(reason) = reason {
            let remedy = Some(grant(connection, table).await?);
            found.push(HiddenTable { table: table.clone(), reason: reason.to_owned(), remedy });
        }
    }
    Ok(found)
}

/// The captured tables that the catalog doesn't show; `None` if nothing is captured in this database.
async fn unseen_objects(connection: &mut Connection) -> Result<Option<HashSet<i32>>, QueryError> {
    let query = "SELECT c.source_object_id FROM cdc.change_tables AS c \
                 WHERE (c.has_drop_pending IS NULL OR c.has_drop_pending = 0) \
                 AND NOT EXISTS (SELECT 1 FROM sys.tables AS t WHERE t.object_id = c.source_object_id)";
    match connection.rows("look for captured tables that aren't shown", query, &[]).await {
        Err(error) if error.number() == Some(number::OBJECT_UNKNOWN) => Ok(None),
        rows => Ok(Some(rows?.iter().filter_map(|row| int(row, 0)).collect())),
    }
}

/// Whether all tables of a schema are shown.
pub(crate) async fn sees_schema(connection: &mut Connection, schema: &str) -> Result<bool, QueryError> {
    let query = format!("SELECT HAS_PERMS_BY_NAME({}, 'SCHEMA', 'SELECT')", literal(&quoted(schema)));
    let row = connection.row("look at the user's permissions", &query, &[]).await?;
    Ok(row.and_then(|row| int(&row, 0)) == Some(1))
}

/// The statement that shows a table to the user again.
async fn grant(connection: &mut Connection, table: &TableName) -> Result<String, QueryError> {
    let row = connection.row("ask for the user's name", "SELECT USER_NAME()", &[]).await?;
    let user = row.map(|row| quoted(&text(&row, 0))).unwrap_or_default();
    Ok(within(&connection.server.database, &format!("GRANT SELECT ON {} TO {user};", quoted_table(table))))
}
