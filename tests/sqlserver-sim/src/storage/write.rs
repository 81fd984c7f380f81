//! Writing rows: each call is one statement's rows, done whole or not at all.

use std::sync::Arc;

use crate::cdc::guard;
use crate::error::{SqlError, SqlResult};
use crate::value::{Value, format};

use super::alter::stored;
use super::catalog::{Catalog, DatabaseId, ObjectId};
use super::data::{Locked, Refusal, TableData, Written};
use super::key::RowId;
use super::lock::{LockDuration, LockMode};
use super::log::LogChange;
use super::lsn::Lsn;
use super::server::State;
use super::table::{Column, IndexId, Row, Table};
use super::transaction::{Part, Transaction, Undo};

/// How an update is carried out, which shows in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpdateManner {
    /// In place, unless a unique key's values change: those rows are deleted and inserted again.
    InPlace,
    /// As a deletion and an insertion, which is what MERGE does.
    Deferred,
}

/// About how many bytes a row's record takes in the log.
const RECORD_BYTES: u32 = 96;

impl Transaction {
    /// Adds rows, in the order given.
    ///
    /// # Errors
    /// 2627 or 2601 where a unique index has a key already; 7139 for large values that capture can't take; 1205, 1222 or cancellation while waiting; 911 or 208.
    pub fn insert(&mut self, database: DatabaseId, table: &Arc<Table>, rows: &[Row]) -> SqlResult<Vec<RowId>> {
        self.lock_table(database, table.object_id, LockMode::IntentExclusive, LockDuration::Transaction)?;
        let (table, rows) = &self.as_now(database, table, rows)?;
        guard::check_large_values(&*self.catalog(database)?, &self.storage, table, rows.iter())?;
        let id = self.id;
        self.write_whole(database, table, |data, written| {
            let mut ids = Vec::with_capacity(rows.len());
            for row in rows {
                let row = data.insert(id, Arc::clone(row))?;
                written.push(Written::Version(row));
                ids.push(row);
            }
            Ok(ids)
        })
        .and_then(|ids| {
            self.log_rows(database, table, rows.iter().map(|row| RowChange::Insert(Arc::clone(row))).collect())?;
            Ok(ids)
        })
    }

    /// Gives rows new values. Rows that are gone meanwhile are passed over; [`Self::lock_rows`] prevents that.
    ///
    /// # Errors
    /// As [`Self::insert`], and 3960 where a row changed since the transaction's snapshot.
    pub fn update(
        &mut self,
        database: DatabaseId,
        table: &Arc<Table>,
        rows: &[(RowId, Row)],
        manner: UpdateManner,
    ) -> SqlResult<()> {
        self.lock_table(database, table.object_id, LockMode::IntentExclusive, LockDuration::Transaction)?;
        let (ids, images): (Vec<RowId>, Vec<Row>) = rows.iter().cloned().unzip();
        let (table, images) = &self.as_now(database, table, &images)?;
        let rows: Vec<(RowId, Row)> = ids.into_iter().zip(images.iter().cloned()).collect();
        guard::check_large_values(&*self.catalog(database)?, &self.storage, table, images.iter())?;
        let id = self.id;
        let snapshot = self.write_snapshot();
        let changes = self.write_whole(database, table, |data, written| {
            let mut changes = Vec::with_capacity(rows.len());
            for (row_id, row) in &rows {
                let before = data.newest(*row_id).cloned();
                if data.write(id, *row_id, Some(Arc::clone(row)), snapshot)? {
                    written.push(Written::Version(*row_id));
                    changes.extend(before.map(|before| (before, Arc::clone(row))));
                }
            }
            for (row_id, _) in &rows {
                data.check_row(id, *row_id)?;
            }
            Ok(changes)
        })?;
        let singletons_in_place = self.storage.capture().in_place_singletons();
        self.log_rows(database, table, update_changes(table, changes, manner, singletons_in_place))
    }

    /// Removes rows. Those that are gone already are passed over.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn delete(&mut self, database: DatabaseId, table: &Arc<Table>, rows: &[RowId]) -> SqlResult<()> {
        self.lock_table(database, table.object_id, LockMode::IntentExclusive, LockDuration::Transaction)?;
        let id = self.id;
        let snapshot = self.write_snapshot();
        let changes = self.write_whole(database, table, |data, written| {
            let mut changes = Vec::with_capacity(rows.len());
            for row_id in rows {
                let before = data.newest(*row_id).cloned();
                if data.write(id, *row_id, None, snapshot)? {
                    written.push(Written::Version(*row_id));
                    changes.extend(before.map(RowChange::Delete));
                }
            }
            Ok(changes)
        })?;
        self.log_rows(database, table, changes)
    }

    /// Locks rows that were read, so that they stay as they are until the transaction ends. Gives those that have changed
    /// since they were read: [`Self::row`] gives what they are now.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn lock_rows(
        &mut self,
        database: DatabaseId,
        table: &Arc<Table>,
        rows: &[(RowId, Row)],
    ) -> SqlResult<Vec<RowId>> {
        self.lock_table(database, table.object_id, LockMode::IntentExclusive, LockDuration::Transaction)?;
        let id = self.id;
        let snapshot = self.write_snapshot();
        self.write_whole(database, table, |data, written| {
            let mut changed = Vec::new();
            for (row_id, row) in rows {
                let locked = data.lock(id, *row_id, row, snapshot)?;
                if matches!(locked, Locked::Now | Locked::ChangedNow) {
                    written.push(Written::Lock(*row_id));
                }
                if matches!(locked, Locked::Changed | Locked::ChangedNow) {
                    changed.push(*row_id);
                }
            }
            Ok(changed)
        })
    }

    /// As [`Self::lock_rows`], for one row and without waiting: whether it is still as it was read, or None where another
    /// transaction holds it.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn try_lock_row(
        &mut self,
        database: DatabaseId,
        table: &Arc<Table>,
        row_id: RowId,
        row: &Row,
    ) -> SqlResult<Option<bool>> {
        self.lock_table(database, table.object_id, LockMode::IntentExclusive, LockDuration::Transaction)?;
        let id = self.id;
        let snapshot = self.write_snapshot();
        self.write_whole(database, table, |data, written| {
            let locked = match data.lock(id, row_id, row, snapshot) {
                Err(Refusal::Held(_)) => return Ok(None),
                locked => locked?,
            };
            if matches!(locked, Locked::Now | Locked::ChangedNow) {
                written.push(Written::Lock(row_id));
            }
            Ok(Some(matches!(locked, Locked::Now | Locked::Before)))
        })
    }

    /// The next value of the table's identity column. It isn't given back by a rollback.
    ///
    /// # Errors
    /// 911 or 208 where database or table are gone, 8115 where there is none left.
    pub fn next_identity(&mut self, database: DatabaseId, table: &Table) -> SqlResult<i128> {
        let identity = table.columns.iter().find_map(|column| column.identity);
        let identity = identity.unwrap_or(super::table::Identity { seed: 1, increment: 1 });
        let mut state = self.storage.write_state();
        let last = &mut state.database_mut(database)?.data_mut(table.object_id)?.identity_last;
        let next = match *last {
            Some(last) => last.checked_add(identity.increment),
            None => Some(identity.seed),
        };
        let next = next.ok_or_else(|| SqlError::arithmetic_overflow("IDENTITY", "bigint"))?;
        *last = Some(next);
        Ok(next)
    }

    /// The last identity given; None before the first.
    ///
    /// # Errors
    /// 911 or 208 where database or table are gone.
    pub fn identity_last(&self, database: DatabaseId, table: ObjectId) -> SqlResult<Option<i128>> {
        Ok(self.storage.read_state().database(database)?.data(table)?.identity_last)
    }

    /// Sets it, as explicit values and `DBCC CHECKIDENT` do.
    ///
    /// # Errors
    /// 911 or 208 where database or table are gone.
    pub fn set_identity_last(&mut self, database: DatabaseId, table: ObjectId, last: Option<i128>) -> SqlResult<()> {
        self.storage.write_state().database_mut(database)?.data_mut(table)?.identity_last = last;
        Ok(())
    }

    /// The table as it is now that it is locked, and the rows as it has them. A statement may have been prepared before
    /// another changed the table that it then had to wait for.
    fn as_now(&self, database: DatabaseId, table: &Arc<Table>, rows: &[Row]) -> SqlResult<(Arc<Table>, Vec<Row>)> {
        let catalog = self.catalog(database)?;
        let Some(now) = catalog.table(table.object_id).filter(|now| !Arc::ptr_eq(now, table)) else {
            return Ok((Arc::clone(table), rows.to_vec()));
        };
        let same =
            |column: &Column| table.column(column.column_id).is_some_and(|then| then.sql_type == column.sql_type);
        if now.columns.len() == table.columns.len() && now.columns.iter().all(same) {
            return Ok((Arc::clone(now), rows.to_vec()));
        }
        let brought = rows.iter().map(|row| {
            let mut values = vec![Value::Null; now.row_width()];
            for column in &now.columns {
                let value = match table.column(column.column_id) {
                    Some(then) => {
                        stored(table.value(then, row), then.sql_type, column.sql_type, &now.name, &column.name)?
                    }
                    None => column.missing.clone().unwrap_or(Value::Null),
                };
                if let Some(target) = column.slot().and_then(|slot| values.get_mut(slot)) {
                    *target = value;
                }
            }
            Ok(Row::from(values))
        });
        Ok((Arc::clone(now), brought.collect::<SqlResult<Vec<Row>>>()?))
    }

    /// Writes all of a statement's rows in one step. Where another transaction holds one of them, what was written is taken
    /// back, and everything is tried again once that one has ended.
    fn write_whole<T>(
        &mut self,
        database: DatabaseId,
        table: &Arc<Table>,
        write: impl Fn(&mut TableData, &mut Vec<Written>) -> Result<T, Refusal>,
    ) -> SqlResult<T> {
        let storage = Arc::clone(&self.storage);
        let mut waits_for = None;
        loop {
            let generation = storage.locks.generation();
            let refusal = {
                let mut state = storage.write_state();
                Self::part(&mut self.parts, &mut state, database)?;
                let data = state.database_mut(database)?.data_mut(table.object_id)?;
                let mut written = Vec::new();
                match write(data, &mut written) {
                    Ok(done) => {
                        let undo = written.into_iter().map(|written| Undo::Row(database, table.object_id, written));
                        self.undo.extend(undo);
                        return Ok(done);
                    }
                    Err(refusal) => {
                        for written in written.into_iter().rev() {
                            data.undo(self.id, written);
                        }
                        refusal
                    }
                }
            };
            match refusal {
                Refusal::Held(holder) => {
                    let waiter = self.waiter();
                    let deadline = match waits_for {
                        Some((before, deadline)) if before == holder => deadline,
                        _ => waiter.deadline(),
                    };
                    waits_for = Some((holder, deadline));
                    storage.locks.wait(&waiter, holder, generation, deadline)?;
                }
                Refusal::Duplicate(index, key) => {
                    return Err(duplicate(&*self.catalog(database)?, table, index, &key));
                }
                Refusal::Conflict => return Err(conflict(&*self.catalog(database)?, table)),
            }
        }
    }

    fn log_rows(&mut self, database: DatabaseId, table: &Arc<Table>, changes: Vec<RowChange>) -> SqlResult<()> {
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        // The description in hand may be older than the statement that changed it, or that enabled capture.
        let catalog = self.own_or_committed(&state, database)?;
        let table = catalog.table(table.object_id).unwrap_or(table);
        let tracked = table.tracked;
        let part = Self::part(&mut self.parts, &mut state, database)?;
        for change in changes {
            append(&mut state, database, part, table, change, tracked)?;
        }
        Ok(())
    }
}

/// What happened to a row, as the log tells it.
enum RowChange {
    Insert(Row),
    Delete(Row),
    Update(Row, Row),
    /// The same row under a new key: two records at one place.
    Moved(Row, Row),
}

fn append(
    state: &mut State,
    database: DatabaseId,
    part: &mut Part,
    table: &Arc<Table>,
    change: RowChange,
    tracked: bool,
) -> SqlResult<()> {
    let lsn: Lsn = state.database_mut(database)?.log.append(RECORD_BYTES);
    part.last = lsn;
    if !tracked {
        return Ok(());
    }
    let table = Arc::clone(table);
    match change {
        RowChange::Insert(row) => part.push(lsn, LogChange::Insert { table, row }),
        RowChange::Delete(row) => part.push(lsn, LogChange::Delete { table, row }),
        RowChange::Update(before, after) => part.push(lsn, LogChange::Update { table, before, after }),
        RowChange::Moved(before, after) => {
            part.push(lsn, LogChange::Delete { table: Arc::clone(&table), row: before });
            part.push(lsn, LogChange::Insert { table, row: after });
        }
    }
    Ok(())
}

/// Rows whose unique keys change, and all rows of a deferred update, are deleted and inserted again. Of one row both
/// records are at one place in the log; of several, all are deleted before the first is inserted, as keys may go from one
/// row to another. Trace flag 8207 keeps updates of one row what they are. Rows that don't change leave nothing in the log.
fn update_changes(
    table: &Table,
    changes: Vec<(Row, Row)>,
    manner: UpdateManner,
    singletons_in_place: bool,
) -> Vec<RowChange> {
    let changes: Vec<(Row, Row)> =
        changes.into_iter().filter(|(before, after)| !same_row(table, before, after)).collect();
    let moves = |before: &Row, after: &Row| manner == UpdateManner::Deferred || key_changed(table, before, after);
    if changes.len() == 1 {
        let single = |(before, after): (Row, Row)| {
            if !singletons_in_place && moves(&before, &after) {
                RowChange::Moved(before, after)
            } else {
                RowChange::Update(before, after)
            }
        };
        return changes.into_iter().map(single).collect();
    }
    let mut first = Vec::with_capacity(changes.len());
    let mut inserted = Vec::new();
    for (before, after) in changes {
        if moves(&before, &after) {
            first.push(RowChange::Delete(before));
            inserted.push(RowChange::Insert(after));
        } else {
            first.push(RowChange::Update(before, after));
        }
    }
    first.extend(inserted);
    first
}

fn same_row(table: &Table, before: &Row, after: &Row) -> bool {
    table.columns.iter().all(|column| identical(table.value(column, before), table.value(column, after)))
}

fn key_changed(table: &Table, before: &Row, after: &Row) -> bool {
    let keys = table.indexes.iter().filter(|index| !index.disabled && (index.unique || index.is_clustered()));
    keys.flat_map(|index| &index.key)
        .filter_map(|key| table.column(key.column_id))
        .any(|column| !identical(table.value(column, before), table.value(column, after)))
}

/// Whether two values are the same to the last bit, not only equal: the log records a change of `'a'` to `'A'`.
pub fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Binary(a), Value::Binary(b)) => a == b,
        (Value::DateTimeOffset(a, a_offset), Value::DateTimeOffset(b, b_offset)) => a == b && a_offset == b_offset,
        (Value::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

fn duplicate(catalog: &Catalog, table: &Table, index: IndexId, key: &[Value]) -> SqlError {
    let Some(index) = table.index(index) else { return SqlError::new(2601, 14, "Cannot insert duplicate key row.") };
    let schema = catalog.schema(table.schema_id).map_or("", |schema| &schema.name);
    let values: Vec<String> = index
        .key
        .iter()
        .zip(key)
        .map(|(key, value)| {
            let sql_type = table.column(key.column_id).map_or_else(|| value.natural_type(), |column| column.sql_type);
            format::text(value, sql_type, None).unwrap_or_else(|| "<NULL>".to_owned())
        })
        .collect();
    let values = values.join(", ");
    match &index.constraint {
        Some(constraint) => {
            let kind = if constraint.primary { "PRIMARY KEY" } else { "UNIQUE KEY" };
            let text = format!(
                "Violation of {kind} constraint '{}'. Cannot insert duplicate key in object '{schema}.{}'. The duplicate key value is ({values}).",
                index.name, table.name
            );
            SqlError::new(2627, 14, text)
        }
        None => {
            let text = format!(
                "Cannot insert duplicate key row in object '{schema}.{}' with unique index '{}'. The duplicate key value is ({values}).",
                table.name, index.name
            );
            SqlError::new(2601, 14, text)
        }
    }
}

fn conflict(catalog: &Catalog, table: &Table) -> SqlError {
    let schema = catalog.schema(table.schema_id).map_or("", |schema| &schema.name);
    let text = format!(
        "Snapshot isolation transaction aborted due to update conflict. Table '{schema}.{}' was changed by another transaction since the snapshot was taken. Retry the transaction.",
        table.name
    );
    SqlError::new(3960, 16, text)
}
