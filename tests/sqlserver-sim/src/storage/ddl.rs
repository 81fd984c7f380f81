//! Creating and dropping tables, and everything of the catalog that has no rows.

use std::sync::Arc;

use crate::cdc::guard;
use crate::error::{SqlError, SqlResult};
use crate::value::collation::folded;

use super::alter::Ddl;
use super::catalog::{Catalog, DatabaseId, ObjectId};
use super::data::TableData;
use super::lock::{LockDuration, LockMode, Resource};
use super::rowset::Rowsets;
use super::server::State;
use super::table::Table;
use super::transaction::{OwnCatalog, Transaction, Undo};

impl Transaction {
    /// The database's catalog with the transaction's own changes.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn catalog(&self, database: DatabaseId) -> SqlResult<Arc<Catalog>> {
        self.own_or_committed(&self.storage.read_state(), database)
    }

    pub(super) fn own_or_committed(&self, state: &State, database: DatabaseId) -> SqlResult<Arc<Catalog>> {
        let committed = &state.database(database)?.catalog;
        Ok(match self.parts.get(&database).and_then(|part| part.catalog.as_ref()) {
            None => Arc::clone(committed),
            Some(own) if Arc::ptr_eq(&own.base, committed) => Arc::clone(&own.mine),
            Some(own) => {
                let mut merged = Catalog::clone(committed);
                merged.merge(&own.base, &own.mine);
                Arc::new(merged)
            }
        })
    }

    /// Changes the catalog. Others see it once the transaction commits.
    ///
    /// # Errors
    /// Those of `edit`, which leaves the catalog as it was; 911 where the database is gone.
    pub fn edit_catalog<T>(
        &mut self,
        database: DatabaseId,
        edit: impl FnOnce(&mut Catalog) -> SqlResult<T>,
    ) -> SqlResult<T> {
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        self.edit(&mut state, database, edit)
    }

    pub(super) fn edit<T>(
        &mut self,
        state: &mut State,
        database: DatabaseId,
        edit: impl FnOnce(&mut Catalog) -> SqlResult<T>,
    ) -> SqlResult<T> {
        let base = Arc::clone(&state.database(database)?.catalog);
        let mut mine = Catalog::clone(&*self.own_or_committed(state, database)?);
        let edited = edit(&mut mine)?;
        let part = Self::part(&mut self.parts, state, database)?;
        part.last = state.database_mut(database)?.log.append(256);
        let before = part.catalog.replace(OwnCatalog { base, mine: Arc::new(mine) });
        self.undo.push(Undo::Catalog(database, before));
        Ok(edited)
    }

    /// A number for an object that is about to be created.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn next_object_id(&mut self, database: DatabaseId) -> SqlResult<ObjectId> {
        Ok(self.storage.write_state().database_mut(database)?.next_object_id())
    }

    /// Locks a name that is to be given or taken away.
    ///
    /// # Errors
    /// 1205, 1222 or cancellation.
    pub(super) fn lock_name(&mut self, database: DatabaseId, schema: i32, name: &str) -> SqlResult<()> {
        let resource = Resource::Name(database, schema, folded(name));
        self.storage.locks.acquire(&self.waiter(), &resource, LockMode::Exclusive, LockDuration::Transaction)
    }

    /// Creates a table. Numbers of the table, its constraints and its defaults are given here.
    ///
    /// # Errors
    /// 2714 where the name is taken; 1205, 1222 or cancellation; 911.
    pub fn create_table(&mut self, database: DatabaseId, mut table: Table) -> SqlResult<Arc<Table>> {
        self.lock_name(database, table.schema_id.0, &table.name)?;
        let now = self.storage.clock().now();
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        let catalog = self.own_or_committed(&state, database)?;
        if catalog.object_named(table.schema_id, &table.name).is_some() {
            return Err(name_taken(&table.name));
        }
        table.object_id = state.database_mut(database)?.next_object_id();
        let partitions = catalog.partitioning(&table).map_or(1, |(function, _)| function.count());
        table.rowsets = Rowsets::new(table.object_id, partitions);
        table.created = now;
        table.modified = now;
        number_constraints(&mut table, || Ok(state.database_mut(database)?.next_object_id()))?;
        let table = self.edit(&mut state, database, |catalog| Ok(catalog.put_table(table)))?;
        state.database_mut(database)?.data.insert(table.object_id, TableData::new(&table));
        self.undo.push(Undo::Created(database, table.object_id));
        drop(state);
        self.lock_table(database, table.object_id, LockMode::SchemaModification, LockDuration::Transaction)?;
        Ok(table)
    }

    /// Drops a table. Capture of it ends.
    ///
    /// # Errors
    /// 3701 where it is gone, 3726 where a foreign key refers to it, 22914 without the right; 1205, 1222 or
    /// cancellation; 911.
    pub fn drop_table(&mut self, database: DatabaseId, table: ObjectId, ddl: &Ddl<'_>) -> SqlResult<()> {
        self.lock_table(database, table, LockMode::SchemaModification, LockDuration::Transaction)?;
        let catalog = self.catalog(database)?;
        let table = Arc::clone(catalog.table(table).ok_or_else(|| SqlError::cannot_drop("table", "?"))?);
        let refers = |other: &&Arc<Table>| {
            other.object_id != table.object_id
                && other.foreign_keys.iter().any(|key| key.referenced_table == table.object_id)
        };
        if catalog.tables().any(|other| refers(&other)) {
            let text =
                format!("Could not drop object '{}' because it is referenced by a FOREIGN KEY constraint.", table.name);
            return Err(SqlError::new(3726, 16, text));
        }
        if table.tracked {
            guard::before_drop(self, database, &table, ddl)?;
        }
        self.drop_untracked(database, &table)
    }

    /// Drops a table that isn't captured.
    pub(crate) fn drop_untracked(&mut self, database: DatabaseId, table: &Table) -> SqlResult<()> {
        self.lock_table(database, table.object_id, LockMode::SchemaModification, LockDuration::Transaction)?;
        self.lock_name(database, table.schema_id.0, &table.name)?;
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        self.edit(&mut state, database, |catalog| {
            catalog.remove_table(table.object_id);
            Ok(())
        })?;
        self.undo.push(Undo::Dropped(database, table.object_id));
        Ok(())
    }

    /// Marks a table as tracked by change data capture, or not.
    pub(crate) fn set_tracked(&mut self, database: DatabaseId, table: ObjectId, tracked: bool) -> SqlResult<()> {
        self.edit_catalog(database, |catalog| {
            if let Some(table) = catalog.table(table) {
                let table = Table { tracked, ..Table::clone(table) };
                catalog.put_table(table);
            }
            Ok(())
        })
    }

    /// Lets past rows of a table be kept in another, or not.
    ///
    /// # Errors
    /// 911 where the database is gone; 1205, 1222 or cancellation.
    pub fn set_history(&mut self, database: DatabaseId, table: ObjectId, history: Option<ObjectId>) -> SqlResult<()> {
        self.lock_table(database, table, LockMode::SchemaModification, LockDuration::Transaction)?;
        self.edit_catalog(database, |catalog| {
            let Some(found) = catalog.table(table).cloned() else { return Ok(()) };
            let mut changed = Table::clone(&found);
            let before = changed.system_time.as_mut().and_then(|it| std::mem::replace(&mut it.history, history));
            catalog.put_table(changed);
            for (id, is_history) in before.map(|id| (id, false)).into_iter().chain(history.map(|id| (id, true))) {
                if let Some(found) = catalog.table(id) {
                    let changed = Table { is_history, ..Table::clone(found) };
                    catalog.put_table(changed);
                }
            }
            Ok(())
        })
    }

    /// Removes all rows of a table. Its identity begins anew.
    ///
    /// # Errors
    /// 4711 where the table is tracked, 4712 where a foreign key refers to it; 1205, 1222 or cancellation; 911, 208.
    pub fn truncate(&mut self, database: DatabaseId, table: ObjectId) -> SqlResult<()> {
        self.lock_table(database, table, LockMode::SchemaModification, LockDuration::Transaction)?;
        let catalog = self.catalog(database)?;
        let table = catalog.table(table).ok_or_else(|| SqlError::cannot_find("?"))?;
        if table.tracked {
            return Err(guard::truncate_refused(&table.name));
        }
        let refers = |other: &Arc<Table>| {
            other.object_id != table.object_id
                && other.foreign_keys.iter().any(|key| key.referenced_table == table.object_id)
        };
        if catalog.tables().any(refers) {
            let text = format!(
                "Cannot truncate table '{}' because it is being referenced by a FOREIGN KEY constraint.",
                table.name
            );
            return Err(SqlError::new(4712, 16, text));
        }
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        Self::part(&mut self.parts, &mut state, database)?;
        let database_state = state.database_mut(database)?;
        database_state.log.append(512);
        let old = std::mem::replace(database_state.data_mut(table.object_id)?, TableData::new(table));
        self.undo.push(Undo::Replaced(database, table.object_id, Box::new(old)));
        Ok(())
    }
}

pub(super) fn name_taken(name: &str) -> SqlError {
    SqlError::new(2714, 16, format!("There is already an object named '{name}' in the database.")).with_state(6)
}

/// Gives numbers to constraints that have none yet.
pub(super) fn number_constraints(table: &mut Table, mut next: impl FnMut() -> SqlResult<ObjectId>) -> SqlResult<()> {
    let keys = table.indexes.iter_mut().filter_map(|index| index.constraint.as_mut().map(|key| &mut key.object_id));
    let defaults = table.columns.iter_mut().filter_map(|column| column.default.as_mut().map(|it| &mut it.object_id));
    let checks = table.checks.iter_mut().map(|check| &mut check.object_id);
    let foreign = table.foreign_keys.iter_mut().map(|key| &mut key.object_id);
    for id in keys.chain(defaults).chain(checks).chain(foreign).filter(|id| id.0 == 0) {
        *id = next()?;
    }
    Ok(())
}
