//! Changing a table's shape.

use std::sync::Arc;

use crate::cdc::guard;
use crate::error::{SqlError, SqlResult};
use crate::value::convert::{Manner, check, convert, truncated_text};
use crate::value::{SqlType, Value, collation};

use super::catalog::{DatabaseId, ObjectId, SchemaId};
use super::data::Written;
use super::ddl::{name_taken, number_constraints};
use super::dependence::{self, Change};
use super::key::RowId;
use super::lock::{LockDuration, LockMode};
use super::log::{LogChange, Retyped};
use super::server::State;
use super::table::{Check, Column, ColumnId, DefaultConstraint, ForeignKey, Index, IndexId, Table};
use super::transaction::{Transaction, Undo};

/// The statement that asks for a change.
#[derive(Clone, Copy, Debug)]
pub struct Ddl<'a> {
    /// Its whole text, as `cdc.ddl_history` keeps it.
    pub command: &'a str,
    /// Whether the user is sysadmin, db_owner or db_ddladmin, as changes of tracked tables require.
    pub by_owner: bool,
}

/// One change of a table's shape.
#[derive(Clone, Debug)]
pub enum Alteration {
    /// Numbers are given here. What existing rows have in the column is its `missing` value.
    AddColumns(Vec<Column>),
    /// Values of single rows in a column that the same statement adds.
    Fill {
        column: ColumnId,
        values: Vec<(RowId, Value)>,
    },
    DropColumns(Vec<ColumnId>),
    AlterColumn {
        column: ColumnId,
        sql_type: SqlType,
        nullable: bool,
    },
    /// None for the database's own.
    SetCollation {
        column: ColumnId,
        collation: Option<Arc<str>>,
    },
    RenameColumn {
        column: ColumnId,
        name: Arc<str>,
    },
    /// Of a constraint or `CREATE INDEX`. Its number is given here: that of the clustered index where it says so.
    AddIndex(Index),
    DropIndex(IndexId),
    /// By another of its name, which has its number already.
    ReplaceIndex {
        index: IndexId,
        with: Index,
    },
    RenameIndex {
        index: IndexId,
        name: Arc<str>,
    },
    DisableIndex(IndexId),
    RebuildIndex(IndexId),
    AddCheck(Check),
    AddForeignKey(ForeignKey),
    /// A check, foreign key, default, primary key or unique constraint by its number.
    DropConstraint(ObjectId),
    SetDefault {
        column: ColumnId,
        default: DefaultConstraint,
    },
    /// `NOCHECK` or `CHECK` of a check or foreign key.
    SetDisabled {
        constraint: ObjectId,
        disabled: bool,
    },
    RenameTable(Arc<str>),
    TransferTo(SchemaId),
}

impl Alteration {
    /// Whether the capture process finds a record of it: those of `ALTER TABLE`, not those of `CREATE INDEX` and
    /// `sp_rename`.
    fn is_logged(&self) -> bool {
        match self {
            Self::AddColumns(_)
            | Self::DropColumns(_)
            | Self::AlterColumn { .. }
            | Self::SetCollation { .. }
            | Self::AddCheck(_)
            | Self::AddForeignKey(_)
            | Self::DropConstraint(_)
            | Self::SetDefault { .. }
            | Self::SetDisabled { .. } => true,
            Self::AddIndex(index) => index.constraint.is_some(),
            Self::Fill { .. }
            | Self::RenameColumn { .. }
            | Self::DropIndex(_)
            | Self::ReplaceIndex { .. }
            | Self::RenameIndex { .. }
            | Self::DisableIndex(_)
            | Self::RebuildIndex(_)
            | Self::RenameTable(_)
            | Self::TransferTo(_) => false,
        }
    }
}

impl Transaction {
    /// Changes a table's shape, by all alterations of one statement or by none.
    ///
    /// # Errors
    /// Those of capture (4928, 22914, 22979, 22980, 22983); 515, 2628, 8115 and other conversion errors where rows don't
    /// fit; 1505 where they break a unique index; 4922 and 15336 where something depends on a column; 2705 and 2714 for names that
    /// are taken; 1205, 1222 or cancellation; 911, 4902.
    pub fn alter_table(
        &mut self,
        database: DatabaseId,
        table: ObjectId,
        alterations: Vec<Alteration>,
        ddl: &Ddl<'_>,
    ) -> SqlResult<Arc<Table>> {
        self.lock_table(database, table, LockMode::SchemaModification, LockDuration::Transaction)?;
        let catalog = self.catalog(database)?;
        let before = Arc::clone(catalog.table(table).ok_or_else(|| SqlError::cannot_find("?"))?);
        if before.tracked {
            guard::before_alter(&catalog, &before, &alterations, ddl)?;
        }
        self.lock_new_names(database, &before, &alterations)?;
        let savepoint = self.savepoint();
        let altered = self.alter(database, &before, &alterations, ddl);
        if altered.is_err() {
            self.rollback_to(&savepoint);
        }
        altered
    }

    fn lock_new_names(&mut self, database: DatabaseId, table: &Table, alterations: &[Alteration]) -> SqlResult<()> {
        for alteration in alterations {
            let (schema, name) = match alteration {
                Alteration::RenameTable(name) => (table.schema_id, name),
                Alteration::TransferTo(schema) => (*schema, &table.name),
                _ => continue,
            };
            self.lock_name(database, schema.0, name)?;
            if self
                .catalog(database)?
                .object_named(schema, name)
                .is_some_and(|_| schema != table.schema_id || !collation::equal(name, &table.name))
            {
                return Err(name_taken(name));
            }
        }
        Ok(())
    }

    fn alter(
        &mut self,
        database: DatabaseId,
        before: &Arc<Table>,
        alterations: &[Alteration],
        ddl: &Ddl<'_>,
    ) -> SqlResult<Arc<Table>> {
        let mut table = Table::clone(before);
        table.modified = self.storage.clock().now();
        let referencing = self.catalog(database)?.referencing(table.object_id);
        let mut retyped = Vec::new();
        for alteration in alterations {
            if let Alteration::AlterColumn { column, sql_type, .. } = alteration
                && table.column(*column).is_some_and(|column| column.sql_type != *sql_type)
            {
                retyped.push(Retyped { column: *column, sql_type: *sql_type });
            }
            check_dependents(&table, alteration, &referencing)?;
            apply(&mut table, alteration)?;
        }
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        number_constraints(&mut table, || Ok(state.database_mut(database)?.next_object_id()))?;
        self.undo.push(Undo::Reshaped(database, table.object_id));
        let table = self.edit(&mut state, database, |catalog| Ok(catalog.put_table(table)))?;
        for alteration in alterations {
            if let Alteration::AlterColumn { column, .. } = alteration {
                self.convert_rows(&mut state, database, before, &table, *column)?;
            }
            if let Alteration::Fill { column, values } = alteration {
                self.fill(&mut state, database, &table, *column, values)?;
            }
        }
        let data = state.database_mut(database)?.data_mut(table.object_id)?;
        let built = data.conform(&table);
        for index in table.indexes.iter().filter(|index| index.unique && built.contains(&index.index_id)) {
            if data.duplicate_in(index.index_id).is_some() {
                let text = format!(
                    "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name '{}' and the index name '{}'.",
                    table.name, index.name
                );
                return Err(SqlError::new(1505, 16, text));
            }
        }
        if before.tracked && alterations.iter().any(Alteration::is_logged) {
            let command = Arc::from(ddl.command.trim());
            self.log(&mut state, database, LogChange::Ddl { table: table.object_id, command, retyped })?;
        }
        Ok(table)
    }

    /// Gives rows their values in a new column. Capture sees no changes of rows in it, as in a default of all rows.
    fn fill(
        &mut self,
        state: &mut State,
        database: DatabaseId,
        table: &Table,
        column: ColumnId,
        values: &[(RowId, Value)],
    ) -> SqlResult<()> {
        let Some(slot) = table.column(column).and_then(Column::slot) else { return Ok(()) };
        let data = state.database_mut(database)?.data_mut(table.object_id)?;
        for (id, value) in values {
            let Some(row) = data.newest(*id).cloned() else { continue };
            let row = table.with_value(&row, slot, value.clone());
            if data.write(self.id, *id, Some(row), None).is_ok_and(|written| written) {
                self.undo.push(Undo::Row(database, table.object_id, Written::Version(*id)));
            }
        }
        Ok(())
    }

    /// Brings the values of all rows to a column's new type.
    fn convert_rows(
        &mut self,
        state: &mut State,
        database: DatabaseId,
        before: &Table,
        after: &Table,
        column: ColumnId,
    ) -> SqlResult<()> {
        let (Some(old), Some(new)) = (before.column(column), after.column(column)) else { return Ok(()) };
        let Some(slot) = new.slot() else { return Ok(()) };
        let data = state.database_mut(database)?.data_mut(after.object_id)?;
        for id in data.ids() {
            let Some(row) = data.newest(id).cloned() else { continue };
            let value = before.value(old, &row);
            if value.is_null() && !new.nullable {
                let text = format!(
                    "Cannot insert the value NULL into column '{}', table '{}'; column does not allow nulls. UPDATE fails.",
                    new.name, after.name
                );
                return Err(SqlError::new(515, 16, text).with_state(2));
            }
            if old.sql_type == new.sql_type {
                continue;
            }
            let converted = stored(value, old.sql_type, new.sql_type, &after.name, &new.name)?;
            let row = after.with_value(&row, slot, converted);
            if data.write(self.id, id, Some(row), None).is_ok_and(|written| written) {
                self.undo.push(Undo::Row(database, after.object_id, Written::Version(id)));
            }
        }
        Ok(())
    }
}

/// A value as a column of another type stores it: nothing may be cut off.
///
/// # Errors
/// 2628 where it would be cut, 8115, 220 and others where it has no counterpart.
pub fn stored(value: &Value, from: SqlType, to: SqlType, table: &str, column: &str) -> SqlResult<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    check(from, to, Manner::Implicit)?;
    if let Some(kept) = truncated_text(value, to) {
        let text = format!(
            "String or binary data would be truncated in table '{table}', column '{column}'. Truncated value: '{kept}'."
        );
        return Err(SqlError::new(2628, 16, text));
    }
    convert(value, from, to, None)
}

/// Whether what hangs on a column lets it be altered, dropped or renamed.
fn check_dependents(table: &Table, alteration: &Alteration, referencing: &[ForeignKey]) -> SqlResult<()> {
    let check =
        |column: &ColumnId, change: Change| dependence::check_free(table, find(table, *column)?, change, referencing);
    match alteration {
        Alteration::DropColumns(columns) => columns.iter().try_for_each(|column| check(column, Change::Drop)),
        Alteration::AlterColumn { column, sql_type, nullable } => {
            check(column, Change::Alter { sql_type: *sql_type, nullable: *nullable })
        }
        Alteration::SetCollation { column, .. } => check(column, Change::Collate),
        Alteration::RenameColumn { column, .. } if dependence::is_named_elsewhere(table, *column) => {
            let text = format!(
                "Object '{}.{}' cannot be renamed because the object participates in enforced dependencies.",
                table.name,
                find(table, *column)?.name
            );
            Err(SqlError::new(15_336, 16, text))
        }
        _ => Ok(()),
    }
}

fn apply(table: &mut Table, alteration: &Alteration) -> SqlResult<()> {
    match alteration {
        Alteration::AddColumns(columns) => {
            for column in columns {
                check_free(table, &column.name, None)?;
                table.push_column(column.clone());
            }
        }
        // The rows' business, not that of the description.
        Alteration::Fill { .. } => {}
        Alteration::DropColumns(columns) => {
            for column in columns {
                table.columns.retain(|kept| kept.column_id != *column);
            }
        }
        Alteration::AlterColumn { column, sql_type, nullable } => {
            let from = find(table, *column)?.sql_type;
            let name = table.name.clone();
            let column = find_mut(table, *column)?;
            column.missing = match &column.missing {
                Some(missing) => Some(stored(missing, from, *sql_type, &name, &column.name)?),
                None => None,
            };
            column.sql_type = *sql_type;
            column.nullable = *nullable;
        }
        Alteration::SetCollation { column, collation } => {
            find_mut(table, *column)?.collation.clone_from(collation);
        }
        Alteration::RenameColumn { column, name } => {
            check_free(table, name, Some(*column))?;
            find_mut(table, *column)?.name = Arc::clone(name);
        }
        Alteration::AddIndex(index) => add_index(table, index)?,
        Alteration::DropIndex(index) => table.indexes.retain(|kept| kept.index_id != *index),
        Alteration::ReplaceIndex { index, with } => {
            table.indexes.retain(|kept| kept.index_id != *index);
            table.indexes.push(with.clone());
            table.indexes.sort_by_key(|index| index.index_id);
        }
        Alteration::RenameIndex { index, name } => {
            for found in table.indexes.iter_mut().filter(|found| found.index_id == *index) {
                found.name = Arc::clone(name);
            }
        }
        Alteration::DisableIndex(index) | Alteration::RebuildIndex(index) => {
            for found in table.indexes.iter_mut().filter(|found| found.index_id == *index) {
                found.disabled = matches!(alteration, Alteration::DisableIndex(_));
            }
        }
        Alteration::AddCheck(check) => table.checks.push(check.clone()),
        Alteration::AddForeignKey(key) => table.foreign_keys.push(key.clone()),
        Alteration::DropConstraint(id) => drop_constraint(table, *id),
        Alteration::SetDefault { column, default } => find_mut(table, *column)?.default = Some(default.clone()),
        Alteration::SetDisabled { constraint, disabled } => {
            for check in table.checks.iter_mut().filter(|check| check.object_id == *constraint) {
                check.disabled = *disabled;
            }
            for key in table.foreign_keys.iter_mut().filter(|key| key.object_id == *constraint) {
                key.disabled = *disabled;
            }
        }
        Alteration::RenameTable(name) => table.name = Arc::clone(name),
        Alteration::TransferTo(schema) => table.schema_id = *schema,
    }
    Ok(())
}

fn add_index(table: &mut Table, index: &Index) -> SqlResult<()> {
    let clustered = index.is_clustered();
    if clustered && table.clustered().is_some() {
        let text = format!("Cannot create more than one clustered index on table '{}'.", table.name);
        return Err(SqlError::new(1902, 16, text).with_state(3));
    }
    if index.is_primary() {
        if table.primary_key().is_some() {
            let text = format!("Table '{}' already has a primary key defined on it.", table.name);
            return Err(SqlError::new(1779, 16, text));
        }
        let nullable =
            |key: &super::table::KeyColumn| table.column(key.column_id).is_some_and(|column| column.nullable);
        if index.key.iter().any(nullable) {
            let text = format!("Cannot define PRIMARY KEY constraint on nullable column in table '{}'.", table.name);
            return Err(SqlError::new(8111, 16, text));
        }
    }
    if table.index_named(&index.name).is_some() {
        let text =
            format!("The index or statistics with name '{}' already exists on table '{}'.", index.name, table.name);
        return Err(SqlError::new(1913, 16, text));
    }
    let index_id = table.next_index_id(clustered);
    table.indexes.push(Index { index_id, ..index.clone() });
    table.indexes.sort_by_key(|index| index.index_id);
    Ok(())
}

fn drop_constraint(table: &mut Table, id: ObjectId) {
    table.checks.retain(|check| check.object_id != id);
    table.foreign_keys.retain(|key| key.object_id != id);
    table.indexes.retain(|index| index.constraint.as_ref().is_none_or(|constraint| constraint.object_id != id));
    for column in &mut table.columns {
        if column.default.as_ref().is_some_and(|default| default.object_id == id) {
            column.default = None;
        }
    }
}

fn find(table: &Table, id: ColumnId) -> SqlResult<&Column> {
    table.column(id).ok_or_else(|| no_column(table, id))
}

fn find_mut(table: &mut Table, id: ColumnId) -> SqlResult<&mut Column> {
    let missing = no_column(table, id);
    table.columns.iter_mut().find(|column| column.column_id == id).ok_or(missing)
}

fn no_column(table: &Table, id: ColumnId) -> SqlError {
    SqlError::new(4924, 16, format!("Column number {} does not exist in table '{}'.", id.0, table.name))
}

fn check_free(table: &Table, name: &str, except: Option<ColumnId>) -> SqlResult<()> {
    match table.column_named(name) {
        Some(column) if Some(column.column_id) != except => {
            let text = format!(
                "Column names in each table must be unique. Column name '{name}' in table '{}' is specified more than once.",
                table.name
            );
            Err(SqlError::new(2705, 16, text).with_state(4))
        }
        _ => Ok(()),
    }
}
