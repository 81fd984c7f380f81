//! System-versioned tables: each row has the period in which it is the newest, and past rows go to a table of their own.

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, Table};

use super::super::state::Execution;
use super::super::statement::{CreateTable, Versioning};
use super::target::Target;

pub fn create(
    execution: &mut Execution<'_>,
    database: DatabaseId,
    table: Table,
    create: &CreateTable,
) -> SqlResult<()> {
    if create.versioning.is_some() || create.shape.period.is_some() {
        return Err(SqlError::unsupported("system-versioned tables"));
    }
    execution.state.transaction().create_table(database, table).map(|_| ())
}

pub fn set(_: &mut Execution<'_>, _: &Target, _: Option<&Versioning>) -> SqlResult<()> {
    Err(SqlError::unsupported("system-versioned tables"))
}

pub fn check_truncated(_: &Target) -> SqlResult<()> {
    Ok(())
}
