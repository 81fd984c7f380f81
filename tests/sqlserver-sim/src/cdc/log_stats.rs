//! `sys.dm_db_log_stats`: where the log of a database begins and ends.

use crate::engine::context::has_permission;
use crate::engine::relation::{Column, RowSink};
use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, Securable};
use crate::value::{Length, SqlType, Value};

use super::registry::CdcContext;

const LSN_TEXT: SqlType = SqlType::NVarChar(Length::Limited(24));
const TEXT: SqlType = SqlType::NVarChar(Length::Limited(60));

pub fn columns() -> Vec<Column> {
    vec![
        Column::new("database_id", SqlType::Int, false),
        Column::new("recovery_model", TEXT, false),
        Column::new("log_min_lsn", LSN_TEXT, false),
        Column::new("log_end_lsn", LSN_TEXT, false),
    ]
}

/// One row, or none where there is no such database.
///
/// # Errors
/// 297 without the permission to see the database's state.
pub fn rows(context: &mut CdcContext<'_>, arguments: &[Value], sink: &mut RowSink<'_>) -> SqlResult<()> {
    check_permission(context)?;
    let Some(number) = arguments.first().and_then(Value::as_integer).and_then(|number| u32::try_from(number).ok())
    else {
        return Ok(());
    };
    let storage = context.storage();
    let Some(database) = storage.databases().into_iter().find(|database| database.id == DatabaseId(number)) else {
        return Ok(());
    };
    let end = storage.with_log(database.id, |log| log.end())?;
    let text = |lsn: crate::storage::Lsn| Value::text(&lsn.to_string());
    sink(vec![
        Value::Int(i32::try_from(number).unwrap_or(i32::MAX)),
        Value::text("FULL"),
        text(crate::storage::Lsn::ZERO),
        text(end),
    ])
}

fn check_permission(context: &CdcContext<'_>) -> SqlResult<()> {
    let by_login = context
        .login
        .permissions
        .iter()
        .any(|held| matches!(&**held, "VIEW SERVER STATE" | "VIEW SERVER PERFORMANCE STATE"));
    if context.is_owner()? || by_login {
        return Ok(());
    }
    let catalog = context.catalog()?;
    let names = ["VIEW DATABASE STATE", "VIEW DATABASE PERFORMANCE STATE"];
    if names.iter().any(|name| has_permission(&catalog, context.user, name, Securable::Database)) {
        return Ok(());
    }
    Err(SqlError::new(297, 16, "The user does not have permission to perform this action."))
}
