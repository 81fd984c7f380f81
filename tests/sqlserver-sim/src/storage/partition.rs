//! Partitions: which of a table's rows belong together, by the value of one column.
//!
//! Rows of all partitions lie together; a partition is found by looking at each row, as tests have few.

use std::sync::Arc;

use crate::cdc::guard;
use crate::error::{SqlError, SqlResult};
use crate::value::{SqlType, Value, collation};

use super::catalog::{Catalog, DatabaseId, ObjectId};
use super::data::{TableData, Written};
use super::lock::{LockDuration, LockMode};
use super::server::State;
use super::table::{ColumnId, Row, Table};
use super::transaction::{Transaction, Undo};

/// Where one partition ends and the next begins.
#[derive(Clone, Debug)]
pub struct PartitionFunction {
    pub name: Arc<str>,
    pub sql_type: SqlType,
    /// A boundary belongs to the partition on its right.
    pub right: bool,
    /// In their order, none twice.
    pub boundaries: Vec<Value>,
}

impl PartitionFunction {
    /// The number of a value's partition, from 1. NULL lies before all others.
    pub fn partition_of(&self, value: &Value) -> usize {
        let before = |boundary: &&Value| {
            let order = boundary.order(value);
            order.is_lt() || (self.right && order.is_eq())
        };
        1 + self.boundaries.iter().filter(before).count()
    }

    pub fn count(&self) -> usize {
        self.boundaries.len() + 1
    }
}

/// Which function divides the tables that lie on the scheme. Where their partitions are stored is nobody's business here.
#[derive(Clone, Debug)]
pub struct PartitionScheme {
    pub name: Arc<str>,
    pub function: Arc<str>,
}

/// The scheme that a table lies on, and the column that it is divided by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionKey {
    pub scheme: Arc<str>,
    pub column: ColumnId,
}

/// A table, or one partition of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    pub table: ObjectId,
    /// From 1; None for a table that isn't divided.
    pub partition: Option<usize>,
}

impl Catalog {
    /// The function that divides a table, and the column that it looks at.
    pub fn partitioning(&self, table: &Table) -> Option<(&Arc<PartitionFunction>, ColumnId)> {
        let key = table.partition.as_ref()?;
        let scheme = self.partition_scheme(&key.scheme)?;
        Some((self.partition_function(&scheme.function)?, key.column))
    }

    /// The number of a row's partition: 1 where its table isn't divided.
    pub fn partition_of_row(&self, table: &Table, row: &Row) -> usize {
        let found = self.partitioning(table).and_then(|(function, column)| Some((function, table.column(column)?)));
        found.map_or(1, |(function, column)| function.partition_of(table.value(column, row)))
    }

    /// Whether a row is in a part of its table.
    fn is_in(&self, table: &Table, row: &Row, partition: Option<usize>) -> bool {
        partition.is_none_or(|partition| self.partition_of_row(table, row) == partition)
    }

    /// # Errors
    /// 4911 where a table that is divided comes without a number, 7729 where another comes with one, 7722 where there is
    /// no such partition.
    pub fn check_part(&self, table: &Table, partition: Option<usize>) -> SqlResult<()> {
        match (self.partitioning(table), partition) {
            (None, None) => Ok(()),
            (Some((function, _)), Some(number)) if (1..=function.count()).contains(&number) => Ok(()),
            (Some((function, _)), Some(number)) => {
                let text = format!(
                    "Invalid partition number {number} specified for table '{}', partition number can range from 1 to {}.",
                    table.name,
                    function.count()
                );
                Err(SqlError::new(7722, 16, text))
            }
            (Some(_), None) => {
                let text = format!(
                    "Cannot specify a partitioned table without partition number in ALTER TABLE SWITCH statement. The table '{}' is partitioned.",
                    table.name
                );
                Err(SqlError::new(4911, 16, text))
            }
            (None, Some(_)) => {
                let text = format!(
                    "Cannot specify partition number in the ALTER TABLE SWITCH statement as the table '{}' is not partitioned.",
                    table.name
                );
                Err(SqlError::new(7729, 16, text))
            }
        }
    }
}

impl Transaction {
    /// Gives a function another boundary, or takes one away (`ALTER PARTITION FUNCTION`). Of the two partitions on its
    /// sides, the one that the boundary belongs to comes to be or ends.
    ///
    /// # Errors
    /// 1205, 1222 or cancellation; 911.
    pub fn put_boundary(
        &mut self,
        database: DatabaseId,
        function: PartitionFunction,
        boundary: &Value,
        split: bool,
    ) -> SqlResult<()> {
        let catalog = self.catalog(database)?;
        let lies_on = |table: &&Arc<Table>| {
            catalog.partitioning(table).is_some_and(|(own, _)| collation::equal(&own.name, &function.name))
        };
        let tables: Vec<ObjectId> = catalog.tables().filter(lies_on).map(|table| table.object_id).collect();
        for table in &tables {
            self.lock_table(database, *table, LockMode::SchemaModification, LockDuration::Transaction)?;
        }
        self.edit_catalog(database, |catalog| {
            let whole =
                if split { Some(&function) } else { catalog.partition_function(&function.name).map(Arc::as_ref) };
            let place = whole.map_or(1, |function| function.partition_of(boundary)) - 1;
            for table in &tables {
                let Some(mut table) = catalog.table(*table).map(|table| Table::clone(table)) else { continue };
                if split {
                    table.rowsets.split(place);
                } else {
                    table.rowsets.merge(place);
                }
                catalog.put_table(table);
            }
            catalog.put_partition_function(function);
            Ok(())
        })
    }

    /// Removes the rows of some partitions.
    ///
    /// # Errors
    /// 4711 where the table is tracked, 7722 and 7729 where it has no such partition; 1205, 1222 or cancellation; 911.
    pub fn truncate_partitions(
        &mut self,
        database: DatabaseId,
        table: ObjectId,
        partitions: &[usize],
    ) -> SqlResult<()> {
        self.lock_table(database, table, LockMode::SchemaModification, LockDuration::Transaction)?;
        let catalog = self.catalog(database)?;
        let table = Arc::clone(catalog.table(table).ok_or_else(|| SqlError::cannot_find("?"))?);
        for partition in partitions {
            catalog.check_part(&table, Some(*partition))?;
        }
        if table.tracked {
            return Err(guard::truncate_refused(&table.name));
        }
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        Self::part(&mut self.parts, &mut state, database)?;
        let kept = rows(&state, database, table.object_id)?
            .into_iter()
            .filter(|row| !partitions.contains(&catalog.partition_of_row(&table, row)))
            .collect();
        state.database_mut(database)?.log.append(512);
        self.replace_rows(&mut state, database, &table, kept)
    }

    /// Moves all rows of one table or partition to another of the same shape, which must be empty
    /// (`ALTER TABLE … SWITCH`). The capture process sees nothing of it.
    ///
    /// # Errors
    /// 4904/4905 where the target isn't empty, 4943 where the shapes differ, 4972 where rows don't belong to the target,
    /// 4911, 7722 and 7729 where there is no such partition, 22842 or 22843 where capture forbids it.
    pub fn switch(&mut self, database: DatabaseId, from: Part, to: Part) -> SqlResult<()> {
        for table in [from.table, to.table] {
            self.lock_table(database, table, LockMode::SchemaModification, LockDuration::Transaction)?;
        }
        let catalog = self.catalog(database)?;
        let find = |id: ObjectId| catalog.table(id).map(Arc::clone).ok_or_else(|| SqlError::cannot_find("?"));
        let (source, target) = (find(from.table)?, find(to.table)?);
        catalog.check_part(&source, from.partition)?;
        catalog.check_part(&target, to.partition)?;
        guard::before_switch(&catalog, &source, &target)?;
        check_shapes(&source, &target)?;
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        Self::part(&mut self.parts, &mut state, database)?;
        let there = rows(&state, database, target.object_id)?;
        if there.iter().any(|row| catalog.is_in(&target, row, to.partition)) {
            return Err(not_empty(&target, to.partition));
        }
        let (moved, kept): (Vec<Row>, Vec<Row>) = rows(&state, database, source.object_id)?
            .into_iter()
            .partition(|row| catalog.is_in(&source, row, from.partition));
        if moved.iter().any(|row| !catalog.is_in(&target, row, to.partition)) {
            let text = format!(
                "ALTER TABLE SWITCH statement failed. Check constraints or partition function of source table '{}' allows values that are not allowed by check constraints or partition function on target table '{}'.",
                source.name, target.name
            );
            return Err(SqlError::new(4972, 16, text));
        }
        state.database_mut(database)?.log.append(512);
        self.replace_rows(&mut state, database, &source, kept)?;
        let all = there.into_iter().chain(moved).collect();
        self.replace_rows(&mut state, database, &target, all)?;
        // What is switched are the places, not the rows in them: each table has the other's now.
        let (mut source, mut target) = (Table::clone(&source), Table::clone(&target));
        let place = |part: Part| part.partition.unwrap_or(1) - 1;
        source.rowsets.exchange(place(from), &mut target.rowsets, place(to));
        self.edit(&mut state, database, |catalog| {
            catalog.put_table(source);
            catalog.put_table(target);
            Ok(())
        })
    }

    /// Gives a table other rows. Its identity goes on as it was.
    fn replace_rows(
        &mut self,
        state: &mut State,
        database: DatabaseId,
        table: &Table,
        rows: Vec<Row>,
    ) -> SqlResult<()> {
        let data = state.database_mut(database)?.data_mut(table.object_id)?;
        let mut new = TableData::new(table);
        new.identity_last = data.identity_last;
        let old = std::mem::replace(data, new);
        self.undo.push(Undo::Replaced(database, table.object_id, Box::new(old)));
        for row in rows {
            let id = data.insert(self.id, row).map_err(|_| {
                let text = format!("ALTER TABLE SWITCH statement failed: rows of '{}' break a key.", table.name);
                SqlError::new(4972, 16, text)
            })?;
            self.undo.push(Undo::Row(database, table.object_id, Written::Version(id)));
        }
        Ok(())
    }
}

fn rows(state: &State, database: DatabaseId, table: ObjectId) -> SqlResult<Vec<Row>> {
    let data = state.database(database)?.data(table)?;
    Ok(data.ids().into_iter().filter_map(|id| data.newest(id).cloned()).collect())
}

fn check_shapes(from: &Table, to: &Table) -> SqlResult<()> {
    let shape = |table: &Table| {
        let column = |column: &super::table::Column| {
            (crate::value::collation::folded(&column.name), column.sql_type, column.nullable, column.column_id)
        };
        table.columns.iter().map(column).collect::<Vec<_>>()
    };
    if shape(from) == shape(to) {
        return Ok(());
    }
    let text = format!(
        "ALTER TABLE SWITCH statement failed because tables '{}' and '{}' have different columns.",
        from.name, to.name
    );
    Err(SqlError::new(4943, 16, text))
}

fn not_empty(table: &Table, partition: Option<usize>) -> SqlError {
    match partition {
        Some(number) => {
            let text = format!(
                "ALTER TABLE SWITCH statement failed. The specified partition {number} of target table '{}' must be empty.",
                table.name
            );
            SqlError::new(4904, 16, text)
        }
        None => {
            let text = format!("ALTER TABLE SWITCH statement failed. The target table '{}' must be empty.", table.name);
            SqlError::new(4905, 16, text)
        }
    }
}
