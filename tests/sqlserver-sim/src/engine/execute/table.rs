//! Definitions of tables and indexes.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    Alteration, Check, Column, ColumnId, Computed, Constraint, DatabaseId, DefaultConstraint, ForeignKey, Identity,
    Index, IndexId, KeyColumn, Object, ObjectId, ReferentialAction, SchemaId, Table,
};
use crate::value::collation::{equal, folded};
use crate::value::{SqlType, Value};

use super::super::bind::{Binder, named_type};
use super::super::parse;
use super::super::run;
use super::super::session::{Flow, Output, OutputSink};
use super::super::state::Execution;
use super::super::statement::{
    AlterAction, ColumnDefinition, ConstraintDefinition, ConstraintKind, CreateIndex, CreateTable, ForeignKeyAction,
    Name, TableShape,
};
use super::procedure::{Given, argument};
use super::row::named;
use super::target::{self, Target};
use super::{data, done, send, transaction};

/// Gives constraints without a name one like the server's: the table, the kind, and a number that no other has.
fn made_name(execution: &mut Execution<'_>, prefix: &str, table: &str) -> Arc<str> {
    let id = execution.state.next_uuid();
    let digits: String = id.iter().take(4).map(|byte| format!("{byte:02X}")).collect();
    let short: String = table.chars().take(9).collect();
    Arc::from(format!("{prefix}__{short}__{digits}"))
}

/// Definitions are shown in parentheses.
fn definition(text: &str) -> Arc<str> {
    let text = text.trim();
    let whole = text.starts_with('(')
        && text.ends_with(')')
        && parse::expression(text).is_ok_and(|e| matches!(e, sqlparser::ast::Expr::Nested(_)));
    if whole { Arc::from(text) } else { Arc::from(format!("({text})")) }
}

/// The schema that a new object of this name gets.
pub fn schema_for(execution: &Execution<'_>, database: DatabaseId, name: &Name) -> SqlResult<SchemaId> {
    let state = &*execution.state;
    let catalog = state.catalog(database)?;
    let own = catalog.principal(state.user(database)?).and_then(|user| user.default_schema.clone());
    let schema = name.schema.clone().or(own.map(|own| own.to_string())).unwrap_or_else(|| "dbo".to_owned());
    let found = catalog.schema_named(&schema).map(|schema| schema.schema_id);
    found.ok_or_else(|| {
        let text = format!(
            "The specified schema name \"{schema}\" either does not exist or you do not have permission to use it."
        );
        SqlError::new(2760, 16, text)
    })
}

pub fn create(execution: &mut Execution<'_>, create: &CreateTable) -> SqlResult<()> {
    let key = folded(&create.name.object);
    let temporary = create.name.is_temporary();
    transaction::atomic(execution, |execution| {
        if temporary {
            if execution.state.temporary.contains_key(&key) {
                return Err(SqlError::object_exists(&create.name.object));
            }
            let own = execution.state.temporary_name(&create.name.object);
            let table = described(execution, &own, SchemaId::DBO, &create.shape)?;
            execution.state.transaction().create_table(DatabaseId::TEMPDB, table)?;
            execution.state.temporary.insert(key, own);
            return Ok(());
        }
        let database = execution.state.database_of(&create.name)?;
        target::check_definer(execution.state, database)?;
        let schema = schema_for(execution, database, &create.name)?;
        if execution.state.catalog(database)?.object_named(schema, &create.name.object).is_some() {
            return Err(SqlError::object_exists(&create.name.object));
        }
        let own = std::mem::replace(&mut execution.state.database, database);
        let table = described(execution, &create.name.object, schema, &create.shape);
        execution.state.database = own;
        execution.state.transaction().create_table(database, table?).map(|_| ())
    })
}

/// A table as its definition describes it.
pub fn described(execution: &mut Execution<'_>, name: &str, schema: SchemaId, shape: &TableShape) -> SqlResult<Table> {
    let mut table = Table::new(schema, name);
    let mut constraints: Vec<ConstraintDefinition> = Vec::new();
    for definition in &shape.columns {
        let column = column(execution, &table, definition)?;
        table.push_column(column);
        constraints.extend(definition.constraints.iter().cloned());
    }
    constraints.extend(shape.constraints.iter().cloned());
    // A clustered index takes the first number, so what is clustered must be known before names are given.
    for constraint in constraints {
        add_constraint(execution, &mut table, &constraint)?;
    }
    for index in &shape.indexes {
        let made = index_of(&table, index)?;
        table.indexes.push(made);
    }
    Ok(table)
}

fn column(execution: &mut Execution<'_>, table: &Table, definition: &ColumnDefinition) -> SqlResult<Column> {
    if table.column_named(&definition.name).is_some() {
        let text = format!(
            "Column names in each table must be unique. Column name '{}' in table '{}' is specified more than once.",
            definition.name, table.name
        );
        return Err(SqlError::new(2705, 16, text));
    }
    if let Some(computed) = &definition.computed {
        let bound = Binder::with_sources(execution, vec![named(table, &table.name, 0)]).scalar(&computed.expression)?;
        let mut column = Column::new(&definition.name, bound.sql_type);
        column.nullable = definition.nullable.unwrap_or(bound.nullable);
        column.computed =
            Some(Computed { definition: self::definition(&computed.text), persisted: definition.persisted });
        return Ok(column);
    }
    let written = definition.data_type.as_ref().ok_or_else(|| SqlError::syntax_near(&definition.name))?;
    let sql_type = named_type(execution.state, written)?;
    let mut column = Column::new(&definition.name, sql_type);
    let primary =
        definition.constraints.iter().any(|constraint| matches!(constraint.kind, ConstraintKind::PrimaryKey { .. }));
    if primary && definition.nullable == Some(true) {
        let text = format!("Cannot define PRIMARY KEY constraint on nullable column in table '{}'.", table.name);
        return Err(SqlError::new(8111, 16, text));
    }
    let identity = definition
        .identity
        .map(|(seed, increment)| Identity { seed: i128::from(seed), increment: i128::from(increment) });
    column.nullable = definition
        .nullable
        .unwrap_or(!primary && identity.is_none() && sql_type != SqlType::RowVersion && sql_type != SqlType::SysName);
    if let Some(identity) = identity {
        let whole = matches!(sql_type, SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt)
            || sql_type.decimal_shape().is_some_and(|(_, scale)| scale == 0);
        if !whole || sql_type == SqlType::Bit {
            let text = format!(
                "Identity column '{}' must be of data type int, bigint, smallint, tinyint, or decimal or numeric with a scale of 0, unencrypted, and constrained to be nonnullable.",
                definition.name
            );
            return Err(SqlError::new(2749, 16, text));
        }
        column.identity = Some(identity);
    }
    column.collation = definition.collation.as_deref().map(Arc::from);
    if let Some((name, default)) = &definition.default {
        // An expression that can't be converted is refused now, not at the first row.
        let mut binder = Binder::new(execution);
        let bound = binder.scalar(&default.expression)?;
        binder.converted(bound, sql_type)?;
        let name = match name {
            Some(name) => Arc::from(name.as_str()),
            None => made_name(execution, "DF", &format!("{}__{}", table.name, definition.name)),
        };
        column.default =
            Some(DefaultConstraint { object_id: ObjectId(0), name, definition: self::definition(&default.text) });
    }
    Ok(column)
}

fn key_columns(table: &Table, columns: &[super::super::statement::KeyColumn]) -> SqlResult<Vec<KeyColumn>> {
    let key = |column: &super::super::statement::KeyColumn| {
        let found = table.column_named(&column.name).ok_or_else(|| {
            let text = format!("Column name '{}' does not exist in the target table or view.", column.name);
            SqlError::new(1911, 16, text)
        })?;
        if found.sql_type.is_incomparable()
            || matches!(found.sql_type.character_length(), crate::value::Length::Max if found.sql_type.is_character())
        {
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

/// The index of a PRIMARY KEY or UNIQUE constraint.
fn key_index(
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

fn check_of(
    execution: &mut Execution<'_>,
    table: &Table,
    name: Option<&str>,
    check: &super::super::statement::Written,
) -> SqlResult<Check> {
    Binder::with_sources(execution, vec![named(table, &table.name, 0)]).predicate(&check.expression)?;
    let name = match name {
        Some(name) => Arc::from(name),
        None => made_name(execution, "CK", &table.name),
    };
    Ok(Check { object_id: ObjectId(0), name, definition: definition(&check.text), disabled: false })
}

fn action_of(action: ForeignKeyAction) -> ReferentialAction {
    match action {
        ForeignKeyAction::NoAction => ReferentialAction::NoAction,
        ForeignKeyAction::Cascade => ReferentialAction::Cascade,
        ForeignKeyAction::SetNull => ReferentialAction::SetNull,
        ForeignKeyAction::SetDefault => ReferentialAction::SetDefault,
    }
}

fn foreign_key(
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
        index.unique
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

fn add_constraint(
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

fn index_of(table: &Table, index: &CreateIndex) -> SqlResult<Index> {
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
    if index.unique && index.filter.is_some() {
        return Err(SqlError::unsupported("unique indexes with a filter"));
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
        filter: index.filter.as_ref().map(|filter| definition(&filter.text)),
    })
}

// Changes

fn change(execution: &mut Execution<'_>, target: &Target, alterations: Vec<Alteration>, text: &str) -> SqlResult<()> {
    let ddl = target::ddl(execution.state, target.database, text)?;
    if !ddl.by_owner && target.database != DatabaseId::TEMPDB {
        target::check_permission(execution, target, "ALTER")?;
    }
    execution.state.transaction().alter_table(target.database, target.table.object_id, alterations, &ddl).map(|_| ())
}

pub fn create_index(execution: &mut Execution<'_>, index: &CreateIndex, text: &str) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let target = target::find(execution, &index.table)?;
        let made = index_of(&target.table, index)?;
        change(execution, &target, vec![Alteration::AddIndex(made)], text)
    })
}

pub fn drop_index(
    execution: &mut Execution<'_>,
    index: &str,
    table: &Name,
    if_exists: bool,
    text: &str,
) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let target = target::find(execution, table)?;
        let Some(found) = target.table.index_named(index) else {
            return if if_exists { Ok(()) } else { Err(SqlError::cannot_drop("index", &format!("{table}.{index}"))) };
        };
        if found.constraint.is_some() {
            let text = format!(
                "An explicit DROP INDEX is not allowed on index '{table}.{index}'. It is being used for PRIMARY KEY or UNIQUE KEY constraint enforcement."
            );
            return Err(SqlError::new(3723, 16, text));
        }
        change(execution, &target, vec![Alteration::DropIndex(found.index_id)], text)
    })
}

pub fn alter_index(
    execution: &mut Execution<'_>,
    index: Option<&str>,
    table: &Name,
    action: &str,
    text: &str,
) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let target = target::find(execution, table)?;
        let ids: Vec<IndexId> = match index {
            Some(name) => vec![
                target
                    .table
                    .index_named(name)
                    .map(|index| index.index_id)
                    .ok_or_else(|| SqlError::cannot_find(name))?,
            ],
            None => target.table.indexes.iter().map(|index| index.index_id).collect(),
        };
        let alterations: Vec<Alteration> = match action {
            "DISABLE" => ids.into_iter().map(Alteration::DisableIndex).collect(),
            "REBUILD" => ids.into_iter().map(Alteration::RebuildIndex).collect(),
            "REORGANIZE" | "SET" => return Ok(()),
            other => return Err(SqlError::unsupported(format!("ALTER INDEX … {other}"))),
        };
        change(execution, &target, alterations, text)
    })
}

pub fn alter(execution: &mut Execution<'_>, name: &Name, actions: &[AlterAction], text: &str) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let mut target = target::find(execution, name)
            .map_err(|error| if error.number == 208 { SqlError::cannot_find(&name.to_string()) } else { error })?;
        let own = execution.state.database;
        if target.database != DatabaseId::TEMPDB {
            execution.state.database = target.database;
        }
        let outcome = alter_in(execution, &mut target, actions, text);
        execution.state.database = own;
        outcome
    })
}

fn alter_in(execution: &mut Execution<'_>, target: &mut Target, actions: &[AlterAction], text: &str) -> SqlResult<()> {
    let mut alterations = Vec::new();
    let mut added = Vec::new();
    // Constraints written with new columns refer to them: they are seen in a table that has them already.
    let mut shape = Table::clone(&target.table);
    let mut constraints: Vec<ConstraintDefinition> = Vec::new();
    for action in actions {
        match action {
            AlterAction::AddColumn(definition) => {
                let mut column = column(execution, &shape, definition)?;
                missing_value(execution, target, &mut column, definition)?;
                shape.push_column(column.clone());
                added.push(column);
                constraints.extend(definition.constraints.iter().cloned());
            }
            AlterAction::AddConstraint(constraint) => constraints.push(constraint.clone()),
            AlterAction::Switch { target: to, partition } => {
                if partition.is_some() && !target.table.partitioned {
                    return Err(SqlError::unsupported("partitions"));
                }
                let to = target::find(execution, to)?;
                return execution.state.transaction().switch(
                    target.database,
                    target.table.object_id,
                    to.table.object_id,
                );
            }
            AlterAction::EnableTriggers { enable, names } => {
                super::module::enable_triggers(execution, target, *enable, names)?
            }
            other => alterations.extend(alteration(target, other, execution)?),
        }
    }
    if !added.is_empty() {
        alterations.push(Alteration::AddColumns(added));
    }
    for constraint in &constraints {
        alterations.push(added_constraint(execution, target, &mut shape, constraint)?);
    }
    if alterations.is_empty() { Ok(()) } else { change(execution, target, alterations, text) }
}

/// What rows that are there already have in a new column: its default where it isn't nullable or WITH VALUES says so.
fn missing_value(
    execution: &mut Execution<'_>,
    target: &Target,
    column: &mut Column,
    definition: &ColumnDefinition,
) -> SqlResult<()> {
    if column.computed.is_some() {
        return Ok(());
    }
    let empty = execution.state.storage.row_count(target.database, target.table.object_id) == 0;
    if let Some((_, default)) = definition.default.as_ref().filter(|_| !column.nullable || definition.with_values) {
        let mut binder = Binder::new(execution);
        let bound = binder.scalar(&default.expression)?;
        let bound = binder.converted(bound, column.sql_type)?;
        column.missing = Some(bound.evaluate(execution, &super::super::evaluate::Scope::EMPTY)?);
    } else if !column.nullable && !empty {
        if column.identity.is_some() || column.sql_type == SqlType::RowVersion {
            return Err(SqlError::unsupported("identity and rowversion columns added to a table that has rows"));
        }
        let text = format!(
            "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition specified, or the column being added is an identity or timestamp column, or alternatively if none of the previous conditions are satisfied the table must be empty to allow addition of this column. Column '{}' cannot be added to non-empty table '{}' because it does not satisfy these conditions.",
            column.name, target.table.name
        );
        return Err(SqlError::new(4901, 16, text));
    }
    Ok(())
}

fn added_constraint(
    execution: &mut Execution<'_>,
    target: &Target,
    shape: &mut Table,
    constraint: &ConstraintDefinition,
) -> SqlResult<Alteration> {
    let name = constraint.name.as_deref();
    Ok(match &constraint.kind {
        ConstraintKind::PrimaryKey { clustered, columns } => {
            let index = key_index(execution, shape, name, true, *clustered, columns)?;
            for key in &index.key {
                if shape.column(key.column_id).is_some_and(|column| column.nullable) {
                    let text =
                        format!("Cannot define PRIMARY KEY constraint on nullable column in table '{}'.", shape.name);
                    return Err(SqlError::new(8111, 16, text));
                }
            }
            shape.indexes.push(index.clone());
            Alteration::AddIndex(index)
        }
        ConstraintKind::Unique { clustered, columns } => {
            let index = key_index(execution, shape, name, false, *clustered, columns)?;
            shape.indexes.push(index.clone());
            Alteration::AddIndex(index)
        }
        ConstraintKind::Check(check) => Alteration::AddCheck(check_of(execution, shape, name, check)?),
        ConstraintKind::ForeignKey { .. } => {
            let key = foreign_key(execution, shape, name, &constraint.kind)?;
            check_existing(execution, target, &key)?;
            Alteration::AddForeignKey(key)
        }
        ConstraintKind::Default { column, value } => {
            let found = shape.column_named(column).cloned().ok_or_else(|| SqlError::invalid_column(column))?;
            if found.default.is_some() {
                return Err(SqlError::new(1781, 16, "Column already has a DEFAULT bound to it."));
            }
            let mut binder = Binder::new(execution);
            let bound = binder.scalar(&value.expression)?;
            binder.converted(bound, found.sql_type)?;
            let name = match name {
                Some(name) => Arc::from(name),
                None => made_name(execution, "DF", &format!("{}__{column}", shape.name)),
            };
            let default = DefaultConstraint { object_id: ObjectId(0), name, definition: definition(&value.text) };
            Alteration::SetDefault { column: found.column_id, default }
        }
    })
}

/// Rows that are there already must satisfy a new foreign key.
fn check_existing(execution: &mut Execution<'_>, target: &Target, key: &ForeignKey) -> SqlResult<()> {
    let request = crate::storage::ReadRequest::all(target.database, Arc::clone(&target.table));
    let rows = execution.state.transaction().read_all(&request)?;
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    let mut table = Table::clone(&target.table);
    table.foreign_keys = vec![key.clone()];
    let with_key = Target { table: Arc::new(table), ..target.clone() };
    super::reference::check_children(execution, &with_key, &rows, "ALTER TABLE")
}

fn alteration(target: &Target, action: &AlterAction, execution: &Execution<'_>) -> SqlResult<Vec<Alteration>> {
    let table = &target.table;
    let no_column = |name: &str| {
        let text =
            format!("ALTER TABLE DROP COLUMN failed because column '{name}' does not exist in table '{}'.", table.name);
        SqlError::new(4924, 16, text)
    };
    Ok(match action {
        AlterAction::DropColumn { name, if_exists } => match table.column_named(name) {
            Some(column) => vec![Alteration::DropColumns(vec![column.column_id])],
            None if *if_exists => Vec::new(),
            None => return Err(no_column(name)),
        },
        AlterAction::DropConstraint { name, if_exists } => match constraint_named(table, name) {
            Some(id) => vec![Alteration::DropConstraint(id)],
            None if *if_exists => Vec::new(),
            None => {
                let text = format!("'{name}' is not a constraint.");
                return Err(SqlError::new(3728, 16, text));
            }
        },
        AlterAction::AlterColumn { collation: Some(_), .. } => {
            return Err(SqlError::unsupported("ALTER COLUMN with COLLATE"));
        }
        AlterAction::AlterColumn { name, data_type, nullable, .. } => {
            let column = table.column_named(name).ok_or_else(|| {
                let text = format!(
                    "ALTER TABLE ALTER COLUMN failed because column '{name}' does not exist in table '{}'.",
                    table.name
                );
                SqlError::new(4924, 16, text)
            })?;
            if column.computed.is_some() || column.sql_type == SqlType::RowVersion {
                let text = format!(
                    "Cannot alter column '{name}' because it is '{}'.",
                    if column.computed.is_some() { "COMPUTED" } else { "timestamp" }
                );
                return Err(SqlError::new(4928, 16, text));
            }
            let sql_type = named_type(execution.state, data_type)?;
            crate::value::convert::check(column.sql_type, sql_type, crate::value::convert::Manner::Implicit)?;
            // Without NULL or NOT NULL a column becomes nullable, unless a key needs it otherwise.
            let in_key =
                table.primary_key().is_some_and(|key| key.key.iter().any(|key| key.column_id == column.column_id));
            let nullable = nullable.unwrap_or(!in_key);
            vec![Alteration::AlterColumn { column: column.column_id, sql_type, nullable }]
        }
        AlterAction::EnableConstraints { enable } => {
            let checks = table.checks.iter().map(|check| check.object_id);
            let all = checks.chain(table.foreign_keys.iter().map(|key| key.object_id));
            all.map(|constraint| Alteration::SetDisabled { constraint, disabled: !enable }).collect()
        }
        _ => Vec::new(),
    })
}

fn constraint_named(table: &Table, name: &str) -> Option<ObjectId> {
    let keys = table.indexes.iter().filter_map(|index| Some((&index.name, index.constraint.as_ref()?.object_id)));
    let defaults = table
        .columns
        .iter()
        .filter_map(|column| column.default.as_ref().map(|default| (&default.name, default.object_id)));
    let checks = table.checks.iter().map(|check| (&check.name, check.object_id));
    let foreign = table.foreign_keys.iter().map(|key| (&key.name, key.object_id));
    keys.chain(defaults).chain(checks).chain(foreign).find(|(own, _)| equal(own, name)).map(|(_, id)| id)
}

// Rows of a whole table

pub fn truncate(execution: &mut Execution<'_>, name: &Name) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let target = target::find(execution, name).map_err(|error| {
            if error.number == 208 {
                SqlError::new(
                    4701,
                    16,
                    format!(
                        "Cannot find the object \"{name}\" because it does not exist or you do not have permissions."
                    ),
                )
            } else {
                error
            }
        })?;
        target::check_permission(execution, &target, "ALTER")?;
        execution.state.transaction().truncate(target.database, target.table.object_id)
    })
}

/// Drops tables by name.
pub fn drop_tables(execution: &mut Execution<'_>, names: &[Name], if_exists: bool, text: &str) -> SqlResult<()> {
    for name in names {
        if name.is_temporary() {
            let key = folded(&name.object);
            if !execution.state.temporary.contains_key(&key) {
                if if_exists {
                    continue;
                }
                return Err(SqlError::cannot_drop("table", &name.object));
            }
            drop_temporary(execution, &[key])?;
            continue;
        }
        transaction::atomic(execution, |execution| match target::find(execution, name) {
            Ok(target) => {
                let ddl = target::ddl(execution.state, target.database, text)?;
                if !ddl.by_owner {
                    target::check_permission(execution, &target, "CONTROL")?;
                }
                super::module::drop_triggers(execution, &target)?;
                execution.state.transaction().drop_table(target.database, target.table.object_id, &ddl)
            }
            Err(error) if error.number == 208 && if_exists => Ok(()),
            Err(error) if error.number == 208 => Err(SqlError::cannot_drop("table", &name.to_string())),
            Err(error) => Err(error),
        })?;
    }
    Ok(())
}

/// Drops temporary tables by their names in lower case.
pub fn drop_temporary(execution: &mut Execution<'_>, keys: &[String]) -> SqlResult<()> {
    for key in keys {
        let Some(own) = execution.state.temporary.remove(key) else { continue };
        drop_in_tempdb(execution, &own)?;
    }
    Ok(())
}

pub fn drop_in_tempdb(execution: &mut Execution<'_>, own: &str) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let catalog = execution.state.catalog(DatabaseId::TEMPDB)?;
        // Gone already where a rollback took its creation back.
        let Some(table) = catalog.table_named(SchemaId::DBO, own).cloned() else { return Ok(()) };
        execution.state.transaction().drop_untracked(DatabaseId::TEMPDB, &table)
    })
}

/// `SELECT … INTO new`.
pub fn select_into(
    execution: &mut Execution<'_>,
    query: &sqlparser::ast::Query,
    name: &Name,
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    let rows = transaction::atomic(execution, |execution| {
        let plan = Binder::new(execution).query(query)?;
        let temporary = name.is_temporary();
        let database = if temporary { DatabaseId::TEMPDB } else { execution.state.database_of(name)? };
        let key = folded(&name.object);
        let (own, schema) = if temporary {
            if execution.state.temporary.contains_key(&key) {
                return Err(SqlError::object_exists(&name.object));
            }
            (execution.state.temporary_name(&name.object), SchemaId::DBO)
        } else {
            target::check_definer(execution.state, database)?;
            (Arc::from(name.object.as_str()), schema_for(execution, database, name)?)
        };
        let mut table = Table::new(schema, &own);
        for (at, output) in plan.columns.iter().enumerate() {
            if output.name.is_empty() {
                let text = format!(
                    "An object or column name is missing or empty. For SELECT INTO statements, verify each column has a name (column {}).",
                    at + 1
                );
                return Err(SqlError::new(1038, 15, text));
            }
            if table.column_named(&output.name).is_some() {
                let text = format!(
                    "Column names in each table must be unique. Column name '{}' in table '{}' is specified more than once.",
                    output.name, name.object
                );
                return Err(SqlError::new(2705, 16, text));
            }
            let sql_type = if output.sql_type == SqlType::RowVersion { SqlType::Binary(8) } else { output.sql_type };
            let mut column = Column::new(&output.name, sql_type);
            column.nullable = output.nullable;
            table.push_column(column);
        }
        let table = execution.state.transaction().create_table(database, table)?;
        if temporary {
            execution.state.temporary.insert(key, own);
        }
        let types: Vec<SqlType> = plan.columns.iter().map(|column| column.sql_type).collect();
        let mut rows: Vec<Vec<Value>> = Vec::new();
        run::query(execution, &plan, None, &mut |_, row| {
            rows.push(row);
            Ok(Flow::Continue)
        })?;
        let target = Target { database, table, variable: false };
        data::insert_rows(execution, target, None, &rows, &types).map(|changes| changes.len())
    })?;
    done(execution, u64::try_from(rows).ok(), out)
}

/// `sp_rename 'dbo.t.c', 'd', 'COLUMN'`.
pub fn sp_rename(execution: &mut Execution<'_>, given: &[Given], out: &mut OutputSink<'_>) -> SqlResult<()> {
    let text = |name: &str, at: usize| argument(given, name, at).and_then(Value::as_text).map(str::to_owned);
    let (Some(from), Some(to)) = (text("@objname", 0), text("@newname", 1)) else {
        return Err(SqlError::parameter_missing("sp_rename", "@objname"));
    };
    let kind = text("@objtype", 2).unwrap_or_else(|| "OBJECT".to_owned()).to_ascii_uppercase();
    let not_found = || {
        let text = format!("Either the parameter @objname is ambiguous or the claimed @objtype ({kind}) is wrong.");
        SqlError::new(15_248, 11, text)
    };
    let command = format!("EXEC sp_rename '{from}', '{to}'");
    let mut parts = parse::name_parts(&from)?;
    transaction::atomic(execution, |execution| match kind.as_str() {
        "COLUMN" | "INDEX" => {
            let last = parts.pop().unwrap_or_default();
            let target = target::find(execution, &parse_parts(&parts)).map_err(|_| not_found())?;
            let alteration = if kind == "COLUMN" {
                let column = target.table.column_named(&last).ok_or_else(not_found)?;
                if target.table.column_named(&to).is_some_and(|other| other.column_id != column.column_id) {
                    let text = format!(
                        "Error: The new name '{to}' is already in use as a COLUMN name and would cause a duplicate that is not permitted."
                    );
                    return Err(SqlError::new(15_335, 11, text));
                }
                Alteration::RenameColumn { column: column.column_id, name: Arc::from(to.as_str()) }
            } else {
                let index = target.table.index_named(&last).ok_or_else(not_found)?;
                Alteration::RenameIndex { index: index.index_id, name: Arc::from(to.as_str()) }
            };
            change(execution, &target, vec![alteration], &command)
        }
        "OBJECT" => {
            let name = parse_parts(&parts);
            let database = execution.state.database_of(&name)?;
            match execution.state.object(database, &name)? {
                Some((schema, Object::Table(table))) => {
                    if execution.state.catalog(database)?.object_named(schema, &to).is_some() {
                        let text = format!(
                            "Error: The new name '{to}' is already in use as a object name and would cause a duplicate that is not permitted."
                        );
                        return Err(SqlError::new(15_335, 11, text));
                    }
                    let target = Target { database, table, variable: false };
                    change(execution, &target, vec![Alteration::RenameTable(Arc::from(to.as_str()))], &command)
                }
                _ => Err(SqlError::new(
                    15_225,
                    11,
                    format!(
                        "No item by the name of '{from}' could be found in the current database, given that @itemtype was input as '(null)'."
                    ),
                )),
            }
        }
        other => Err(SqlError::unsupported(format!("sp_rename of {other}"))),
    })?;
    let caution = "Caution: Changing any part of an object name could break scripts and stored procedures.";
    send(out, Output::Message(SqlError::new(15_477, 10, caution)))
}

fn parse_parts(parts: &[String]) -> Name {
    let mut parts = parts.iter().rev().cloned();
    let object = parts.next().unwrap_or_default();
    let filled = |part: Option<String>| part.filter(|part| !part.is_empty());
    Name { object, schema: filled(parts.next()), database: filled(parts.next()) }
}
