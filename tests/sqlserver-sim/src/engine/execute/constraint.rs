//! Keys, checks, references and indexes: from how they are written to how the storage keeps them.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Check, ColumnId, Constraint, ForeignKey, Index, KeyColumn, ObjectId, ReferentialAction, Table};
use crate::value::collation::equal;
use crate::value::{Length, SqlType};

use super::super::bind::Binder;
use super::super::state::Execution;
use super::super::statement::{ConstraintDefinition, ConstraintKind, CreateIndex, ForeignKeyAction, Written};
use super::index_filter::filter_of;
use super::row::named;
use super::table::{definition, made_name};
use super::target;

fn key_columns(table: &Table, columns: &[super::super::statement::KeyColumn]) -> SqlResult<Vec<KeyColumn>> {
    let key = |column: &super::super::statement::KeyColumn| {
        let found = table.column_named(&column.name).ok_or_else(|| {
            let text = format!("Column name '{}' does not exist in the target table or view.", column.name);
            SqlError::new(1911, 16, text)
        })?;
        let unbounded = matches!(
            found.sql_type,
            SqlType::VarChar(Length::Max) | SqlType::NVarChar(Length::Max) | SqlType::VarBinary(Length::Max)
        );
        if found.sql_type.is_incomparable() || unbounded {
            let text = format!(
                "Column '{}' in table '{}' is of a type that is invalid for use as a key column in an index.",
                found.name, table.name
            );
            return Err(SqlError::new(1919, 16, text));
        }
        Ok(KeyColumn { column_id: found.column_id, descending: column.descending })
    };
    columns.iter().map(key).collect()
}

/// Keys that differ by case alone would be taken for duplicates.
fn check_collations(table: &Table, columns: &[super::super::statement::KeyColumn]) -> SqlResult<()> {
    let collations = columns.iter().filter_map(|column| table.column_named(&column.name)?.collation.as_deref());
    for collation in collations {
        let upper = collation.to_ascii_uppercase();
        if upper.contains("_CS_") || upper.contains("_BIN") || upper.contains("_CI_AI") {
            return Err(SqlError::unsupported(format!(
                "unique columns of the collation {collation}; texts compare without regard to case and with regard to accents"
            )));
        }
    }
    Ok(())
}

/// The index of a PRIMARY KEY or UNIQUE constraint.
pub fn key_index(
    execution: &mut Execution<'_>,
    table: &Table,
    name: Option<&str>,
    primary: bool,
    clustered: Option<bool>,
    columns: &[super::super::statement::KeyColumn],
) -> SqlResult<Index> {
    if primary && table.primary_key().is_some() {
        let text = format!("Table '{}' already has a primary key defined on it.", table.name);
        return Err(SqlError::new(1779, 16, text));
    }
    let clustered = clustered.unwrap_or(primary && table.clustered().is_none());
    if clustered && let Some(other) = table.clustered() {
        let text = format!(
            "Cannot create more than one clustered index on table '{}'. Drop the existing clustered index '{}' before creating another.",
            table.name, other.name
        );
        return Err(SqlError::new(1902, 16, text));
    }
    let name = match name {
        Some(name) => Arc::from(name),
        None => made_name(execution, if primary { "PK" } else { "UQ" }, &table.name),
    };
    check_collations(table, columns)?;
    Ok(Index {
        index_id: table.next_index_id(clustered),
        name,
        unique: true,
        constraint: Some(Constraint { object_id: ObjectId(0), primary }),
        key: key_columns(table, columns)?,
        included: Vec::new(),
        disabled: false,
        filter: None,
    })
}

/// Adds the column that has its values at a place of a row.
pub fn note_column(table: &Table, slot: usize, columns: &mut Vec<ColumnId>) {
    let found = table.columns.iter().find(|column| column.slot() == Some(slot)).map(|column| column.column_id);
    columns.extend(found.filter(|id| !columns.contains(id)));
}

pub fn check_of(execution: &mut Execution<'_>, table: &Table, name: Option<&str>, check: &Written) -> SqlResult<Check> {
    let bound = Binder::with_sources(execution, vec![named(table, &table.name, 0)]).predicate(&check.expression)?;
    let mut columns = Vec::new();
    bound.columns(&mut |reference| note_column(table, reference.column, &mut columns));
    let name = match name {
        Some(name) => Arc::from(name),
        None => made_name(execution, "CK", &table.name),
    };
    Ok(Check { object_id: ObjectId(0), name, definition: definition(&check.text), columns, disabled: false })
}

fn action_of(action: ForeignKeyAction) -> ReferentialAction {
    match action {
        ForeignKeyAction::NoAction => ReferentialAction::NoAction,
        ForeignKeyAction::Cascade => ReferentialAction::Cascade,
        ForeignKeyAction::SetNull => ReferentialAction::SetNull,
        ForeignKeyAction::SetDefault => ReferentialAction::SetDefault,
    }
}

pub fn foreign_key(
    execution: &mut Execution<'_>,
    table: &Table,
    name: Option<&str>,
    kind: &ConstraintKind,
) -> SqlResult<ForeignKey> {
    let ConstraintKind::ForeignKey { columns, table: parent, referenced, on_delete, on_update } = kind else {
        return Err(SqlError::syntax_near("FOREIGN KEY"));
    };
    let ids = |table: &Table, names: &[String]| -> SqlResult<Vec<ColumnId>> {
        names
            .iter()
            .map(|name| {
                table.column_named(name).map(|column| column.column_id).ok_or_else(|| SqlError::invalid_column(name))
            })
            .collect()
    };
    let parent_table = match target::find(execution, parent) {
        Ok(target) => target.table,
        // A table may refer to itself before it is there; its number is filled in with its own.
        Err(_) if equal(&parent.object, &table.name) => {
            return Err(SqlError::unsupported(
                "foreign keys to the table itself within CREATE TABLE; add them by ALTER TABLE",
            ));
        }
        Err(_) => {
            let text = format!("Foreign key '{}' references invalid table '{parent}'.", name.unwrap_or_default());
            return Err(SqlError::new(1767, 16, text));
        }
    };
    let referenced_columns = if referenced.is_empty() {
        parent_table.primary_key().map(|key| key.key.iter().map(|key| key.column_id).collect()).unwrap_or_default()
    } else {
        ids(&parent_table, referenced)?
    };
    let covered = parent_table.indexes.iter().any(|index| {
        index.is_key()
            && index.key.len() == referenced_columns.len()
            && index.key.iter().all(|key| referenced_columns.contains(&key.column_id))
    });
    if !covered || referenced_columns.len() != columns.len() {
        let text = format!(
            "There are no primary or candidate keys in the referenced table '{}' that match the referencing column list in the foreign key '{}'.",
            parent_table.name,
            name.unwrap_or_default()
        );
        return Err(SqlError::new(1776, 16, text));
    }
    let name = match name {
        Some(name) => Arc::from(name),
        None => made_name(execution, "FK", &table.name),
    };
    Ok(ForeignKey {
        object_id: ObjectId(0),
        name,
        columns: ids(table, columns)?,
        referenced_table: parent_table.object_id,
        referenced_columns,
        on_delete: action_of(*on_delete),
        on_update: action_of(*on_update),
        disabled: false,
    })
}

pub fn add_constraint(
    execution: &mut Execution<'_>,
    table: &mut Table,
    constraint: &ConstraintDefinition,
) -> SqlResult<()> {
    let name = constraint.name.as_deref();
    match &constraint.kind {
        ConstraintKind::PrimaryKey { clustered, columns } => {
            let index = key_index(execution, table, name, true, *clustered, columns)?;
            for key in &index.key {
                if let Some(column) = table.columns.iter_mut().find(|column| column.column_id == key.column_id) {
                    column.nullable = false;
                }
            }
            table.indexes.push(index);
        }
        ConstraintKind::Unique { clustered, columns } => {
            let index = key_index(execution, table, name, false, *clustered, columns)?;
            table.indexes.push(index);
        }
        ConstraintKind::Check(check) => {
            let check = check_of(execution, table, name, check)?;
            table.checks.push(check);
        }
        ConstraintKind::ForeignKey { .. } => {
            let key = foreign_key(execution, table, name, &constraint.kind)?;
            table.foreign_keys.push(key);
        }
        ConstraintKind::Default { .. } => return Err(SqlError::syntax_near("DEFAULT")),
    }
    Ok(())
}

pub fn index_of(execution: &mut Execution<'_>, table: &Table, index: &CreateIndex) -> SqlResult<Index> {
    if index.columnstore {
        return Err(SqlError::unsupported("columnstore indexes"));
    }
    if table.index_named(&index.name).is_some() {
        let text = format!(
            "The operation failed because an index or statistics with name '{}' already exists on table '{}'.",
            index.name, table.name
        );
        return Err(SqlError::new(1913, 16, text));
    }
    if index.clustered
        && let Some(other) = table.clustered()
    {
        let text = format!(
            "Cannot create more than one clustered index on table '{}'. Drop the existing clustered index '{}' before creating another.",
            table.name, other.name
        );
        return Err(SqlError::new(1902, 16, text));
    }
    if index.unique {
        check_collations(table, &index.columns)?;
    }
    if index.clustered && index.filter.is_some() {
        return Err(SqlError::syntax_near("WHERE"));
    }
    let included = index.included.iter().map(|name| {
        table.column_named(name).map(|column| column.column_id).ok_or_else(|| SqlError::invalid_column(name))
    });
    Ok(Index {
        index_id: table.next_index_id(index.clustered),
        name: Arc::from(index.name.as_str()),
        unique: index.unique,
        constraint: None,
        key: key_columns(table, &index.columns)?,
        included: included.collect::<SqlResult<_>>()?,
        disabled: false,
        filter: filter_of(execution, table, index)?,
    })
}

pub fn constraint_named(table: &Table, name: &str) -> Option<ObjectId> {
    let keys = table.indexes.iter().filter_map(|index| Some((&index.name, index.constraint.as_ref()?.object_id)));
    let defaults = table
        .columns
        .iter()
        .filter_map(|column| column.default.as_ref().map(|default| (&default.name, default.object_id)));
    let checks = table.checks.iter().map(|check| (&check.name, check.object_id));
    let foreign = table.foreign_keys.iter().map(|key| (&key.name, key.object_id));
    keys.chain(defaults).chain(checks).chain(foreign).find(|(own, _)| equal(own, name)).map(|(_, id)| id)
}
