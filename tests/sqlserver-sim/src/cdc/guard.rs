//! Statements that change data capture forbids, or must know of.

use crate::error::{SqlError, SqlResult};
use crate::storage::{Alteration, Catalog, Column, ColumnId, DatabaseId, Ddl, Index, Row, Storage, Table, Transaction};
use crate::value::{Length, SqlType, Value, collation};

use super::errors;

/// TRUNCATE leaves no rows in the log.
pub fn truncate_refused(table: &str) -> SqlError {
    let text = format!(
        "Cannot truncate table '{table}' because it is published for replication or enabled for Change Data Capture."
    );
    SqlError::new(4711, 16, text)
}

/// Whether a tracked table may be altered so.
///
/// # Errors
/// 22914 without the right, 4928 for a captured column's name, 22854 for a column set, 22979 and 22983 for the constraint
/// or index by which rows are told apart.
pub fn before_alter(catalog: &Catalog, table: &Table, alterations: &[Alteration], ddl: &Ddl<'_>) -> SqlResult<()> {
    check_right(ddl)?;
    for alteration in alterations {
        match alteration {
            Alteration::RenameColumn { column, .. } => check_rename(catalog, table, *column)?,
            Alteration::AddColumns(columns) if columns.iter().any(|column| column.column_set) => {
                return Err(errors::column_set(&table.name));
            }
            Alteration::DropIndex(index) | Alteration::DisableIndex(index) | Alteration::ReplaceIndex { index, .. } => {
                check_index(catalog, table, table.index(*index))?;
            }
            Alteration::DropConstraint(id) => {
                let of_constraint =
                    |index: &&Index| index.constraint.as_ref().is_some_and(|constraint| constraint.object_id == *id);
                check_index(catalog, table, table.indexes.iter().find(of_constraint))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The index by which capture tells rows apart stays, and so does the constraint that has it.
fn check_index(catalog: &Catalog, table: &Table, index: Option<&Index>) -> SqlResult<()> {
    let Some(index) = index.filter(|index| is_capture_index(catalog, table, &index.name)) else { return Ok(()) };
    let (name, table) = (&index.name, &table.name);
    Err(match index.constraint {
        Some(_) => SqlError::new(
            22979,
            16,
            format!(
                "The unique index '{name}' on table '{table}' is used by change data capture. Its constraint can't be dropped or disabled."
            ),
        ),
        None => SqlError::new(
            22983,
            16,
            format!(
                "The unique index '{name}' on table '{table}' is used by change data capture. Disable capture of the table before you alter or drop it."
            ),
        ),
    })
}

fn check_right(ddl: &Ddl<'_>) -> SqlResult<()> {
    if ddl.by_owner {
        return Ok(());
    }
    let text = "Only members of the sysadmin, db_owner or db_ddladmin roles can change the shape of a table that change data capture tracks.";
    Err(SqlError::new(22914, 16, text))
}

fn check_rename(catalog: &Catalog, table: &Table, column: ColumnId) -> SqlResult<()> {
    let captured = catalog
        .instances_of(table.object_id)
        .any(|instance| instance.columns.iter().any(|captured| captured.source == column));
    if !captured {
        return Ok(());
    }
    let name = table.column(column).map_or("", |column| &column.name);
    Err(SqlError::new(4928, 16, format!("Cannot alter column '{name}' because it is 'REPLICATED'.")))
}

fn is_capture_index(catalog: &Catalog, table: &Table, index: &str) -> bool {
    catalog
        .instances_of(table.object_id)
        .any(|instance| instance.index_name.as_ref().is_some_and(|name| collation::equal(name, index)))
}

/// A tracked table is about to be dropped: capture of it ends, and changes that weren't captured are lost.
///
/// # Errors
/// 22914 without the right; those of dropping the change tables.
pub fn before_drop(transaction: &mut Transaction, database: DatabaseId, table: &Table, ddl: &Ddl<'_>) -> SqlResult<()> {
    check_right(ddl)?;
    super::disable::with_source(transaction, database, table.object_id)
}

/// Partitions of tracked tables may be switched only where every instance allows it.
///
/// # Errors
/// 22842 for a tracked destination, 22843 for a tracked source.
pub fn before_switch(catalog: &Catalog, from: &Table, to: &Table) -> SqlResult<()> {
    for (table, number, role) in [(to, 22842, "destination"), (from, 22843, "source")] {
        if catalog.instances_of(table.object_id).any(|instance| !instance.allow_partition_switch) {
            let text = format!(
                "ALTER TABLE SWITCH failed: the partitioned {role} table '{}' is enabled for change data capture with @allow_partition_switch = 0.",
                table.name
            );
            return Err(SqlError::new(number, 16, text));
        }
    }
    Ok(())
}

/// Large values of captured columns have a limit, `max text repl size`, beyond which the statement fails.
///
/// # Errors
/// 7139 where one is longer.
pub fn check_large_values<'a>(
    catalog: &Catalog,
    storage: &Storage,
    table: &Table,
    rows: impl Iterator<Item = &'a Row>,
) -> SqlResult<()> {
    if !catalog.table(table.object_id).is_some_and(|table| table.tracked) {
        return Ok(());
    }
    let Some(bytes_max) = storage.capture().lob_bytes_max() else { return Ok(()) };
    let captured = |id: ColumnId| {
        catalog.instances_of(table.object_id).any(|instance| instance.columns.iter().any(|column| column.source == id))
    };
    let large: Vec<&Column> =
        table.columns.iter().filter(|column| is_large(column.sql_type) && captured(column.column_id)).collect();
    if large.is_empty() {
        return Ok(());
    }
    for row in rows {
        for column in &large {
            let bytes = match table.value(column, row) {
                // Two bytes a character, or one in the old code pages.
                Value::Text(text) if column.sql_type.is_unicode() => text.encode_utf16().count() * 2,
                Value::Text(text) => text.chars().count(),
                Value::Binary(bytes) => bytes.len(),
                _ => 0,
            };
            if bytes > bytes_max {
                return Err(errors::lob_too_long(bytes, bytes_max));
            }
        }
    }
    Ok(())
}

fn is_large(sql_type: SqlType) -> bool {
    match sql_type {
        SqlType::Text | SqlType::NText | SqlType::Image | SqlType::Xml => true,
        SqlType::VarChar(length) | SqlType::NVarChar(length) | SqlType::VarBinary(length) => length == Length::Max,
        _ => false,
    }
}
