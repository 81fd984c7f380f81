//! What hangs on a column: keys, indexes, constraints and computed columns, for whose sake it can't be altered, dropped or
//! renamed.

use crate::error::{SqlError, SqlResult};
use crate::value::{Length, SqlType};

use super::table::{Check, Column, ColumnId, ForeignKey, Index, Table};

/// What is about to happen to a column.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    Drop,
    /// To another type, or to whether it may be NULL.
    Alter {
        sql_type: SqlType,
        nullable: bool,
    },
    Collate,
}

/// Whether nothing stands in the way of a change. `referencing` are the foreign keys that refer to the table.
///
/// # Errors
/// 4922, after a 5074 for each thing that does.
pub fn check_free(table: &Table, column: &Column, change: Change, referencing: &[ForeignKey]) -> SqlResult<()> {
    let found = dependents(table, column, change, referencing);
    if found.is_empty() {
        return Ok(());
    }
    let statement = match change {
        Change::Drop => "DROP",
        Change::Alter { .. } | Change::Collate => "ALTER",
    };
    let text = format!(
        "ALTER TABLE {statement} COLUMN {} failed because one or more objects access this column.",
        column.name
    );
    let each = found.into_iter().map(|(kind, name)| {
        SqlError::new(5074, 16, format!("The {kind} '{name}' is dependent on column '{}'.", column.name))
    });
    Err(SqlError::new(4922, 16, text).with_state(9).after(each.collect()))
}

/// Whether a check, or a computed column, has the column's name in its text.
pub fn is_named_elsewhere(table: &Table, id: ColumnId) -> bool {
    table.checks.iter().any(|check| check.columns.contains(&id)) || computed_from(table, id).next().is_some()
}

fn dependents<'t>(
    table: &'t Table,
    column: &'t Column,
    change: Change,
    referencing: &'t [ForeignKey],
) -> Vec<(&'static str, &'t str)> {
    let id = column.column_id;
    let default = column.default.iter().filter(|_| hinders_default(column, change)).map(|default| &default.name);
    let checks = table.checks.iter().filter(|check| hinders_check(check, column, change)).map(|check| &check.name);
    let own = table.foreign_keys.iter().filter(|key| key.columns.contains(&id));
    let keys = own
        .chain(referencing.iter().filter(|key| key.referenced_columns.contains(&id)))
        .filter(|_| hinders_reference(column, change))
        .map(|key| &key.name);
    let objects = default.chain(checks).chain(keys).map(|name| ("object", &**name));
    let indexes = table.indexes.iter().filter(|index| hinders_index(index, column, change));
    let indexes = indexes.map(|index| (if index.constraint.is_some() { "object" } else { "index" }, &*index.name));
    let computed = computed_from(table, id).map(|computed| ("column", &*computed.name));
    let scheme = table.partition.iter().filter(|key| key.column == id).map(|key| ("object", &*key.scheme));
    objects.chain(indexes).chain(computed).chain(scheme).collect()
}

fn computed_from(table: &Table, id: ColumnId) -> impl Iterator<Item = &Column> {
    table
        .columns
        .iter()
        .filter(move |column| column.computed.as_ref().is_some_and(|computed| computed.columns.contains(&id)))
}

/// A default goes with another length, precision or scale, and with another collation, but not with another type.
fn hinders_default(column: &Column, change: Change) -> bool {
    match change {
        Change::Drop => true,
        Change::Alter { sql_type, .. } => !is_same_kind(column.sql_type, sql_type),
        Change::Collate => false,
    }
}

/// A check goes with another length of a type of variable length.
fn hinders_check(check: &Check, column: &Column, change: Change) -> bool {
    check.columns.contains(&column.column_id)
        && match change {
            Change::Drop | Change::Collate => true,
            Change::Alter { sql_type, .. } => {
                column.sql_type != sql_type
                    && !(is_same_kind(column.sql_type, sql_type) && variable_length(sql_type).is_some())
            }
        }
}

fn hinders_reference(column: &Column, change: Change) -> bool {
    match change {
        Change::Drop | Change::Collate => true,
        Change::Alter { sql_type, .. } => column.sql_type != sql_type,
    }
}

/// An index goes with a greater length of a type of variable length, a primary key with nothing.
fn hinders_index(index: &Index, column: &Column, change: Change) -> bool {
    index.needs(column.column_id)
        && match change {
            Change::Drop | Change::Collate => true,
            Change::Alter { sql_type, nullable } => {
                let same = column.sql_type == sql_type;
                let kept = same || (!index.is_primary() && is_longer(column.sql_type, sql_type));
                !kept || (column.nullable && !nullable) || (index.is_primary() && nullable)
            }
        }
}

fn is_same_kind(from: SqlType, to: SqlType) -> bool {
    std::mem::discriminant(&from) == std::mem::discriminant(&to)
}

fn is_longer(from: SqlType, to: SqlType) -> bool {
    is_same_kind(from, to)
        && match (variable_length(from), variable_length(to)) {
            (Some(_), Some(Length::Max)) => true,
            (Some(Length::Limited(from)), Some(Length::Limited(to))) => from <= to,
            _ => false,
        }
}

fn variable_length(sql_type: SqlType) -> Option<Length> {
    match sql_type {
        SqlType::VarChar(length) | SqlType::NVarChar(length) | SqlType::VarBinary(length) => Some(length),
        _ => None,
    }
}
