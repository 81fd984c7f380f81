//! A transaction: what it sees, what it holds, and how it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::engine::session::Isolation;
use crate::error::{SqlError, SqlResult};
use crate::value::Moment;

use super::catalog::{Catalog, DatabaseId, ObjectId};
use super::data::{TableData, Written};
use super::lock::{LockDuration, LockMode, Resource, TransactionId, Waiter};
use super::log::{LogChange, LogRecord, LoggedTransaction};
use super::lsn::Lsn;
use super::server::{State, Storage};

/// How a transaction begins.
#[derive(Clone, Debug)]
pub struct Begin {
    pub isolation: Isolation,
    /// The session's number, for messages.
    pub session_id: u32,
    /// Ends waits when it is set.
    pub cancelled: Arc<AtomicBool>,
    /// `LOCK_TIMEOUT`; None waits for ever.
    pub lock_timeout: Option<Duration>,
    /// From -10 to 10; in a deadlock the lowest is the victim.
    pub deadlock_priority: i8,
    /// Of the capture process itself: its commits don't count as work in the database.
    pub of_capture: bool,
}

/// A place to go back to.
#[derive(Clone, Debug)]
pub struct Savepoint {
    undo: usize,
    records: Vec<(DatabaseId, usize)>,
}

/// Where a transaction is in a database's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPositions {
    pub begin: Lsn,
    pub last: Lsn,
}

/// Dropped unfinished, it rolls back.
#[derive(Debug)]
pub struct Transaction {
    pub(super) storage: Arc<Storage>,
    pub(super) id: TransactionId,
    begin: Begin,
    began: Moment,
    /// Of a SNAPSHOT transaction, from its first reading on.
    snapshot: Option<u64>,
    /// Of a statement under READ_COMMITTED_SNAPSHOT.
    statement_snapshot: Option<u64>,
    /// Tables that the statement has locked for reading.
    read_locks: Vec<(DatabaseId, ObjectId, LockMode)>,
    pub(super) undo: Vec<Undo>,
    pub(super) parts: BTreeMap<DatabaseId, Part>,
    ended: bool,
}

/// What a transaction has done in one database.
#[derive(Debug)]
pub(super) struct Part {
    pub begin: Lsn,
    pub last: Lsn,
    pub records: Vec<LogRecord>,
    pub commands: i32,
    /// Its own version of the catalog, and the committed one that it was made from.
    pub catalog: Option<OwnCatalog>,
}

#[derive(Clone, Debug)]
pub(super) struct OwnCatalog {
    pub base: Arc<Catalog>,
    pub mine: Arc<Catalog>,
}

#[derive(Debug)]
pub(super) enum Undo {
    Row(DatabaseId, ObjectId, Written),
    /// The catalog as it was before.
    Catalog(DatabaseId, Option<OwnCatalog>),
    Created(DatabaseId, ObjectId),
    /// Its data is let go at the commit.
    Dropped(DatabaseId, ObjectId),
    /// Indexes are to be made to agree with the catalog, once that is back.
    Reshaped(DatabaseId, ObjectId),
    Replaced(DatabaseId, ObjectId, Box<TableData>),
}

impl Transaction {
    pub(super) fn new(storage: Arc<Storage>, id: TransactionId, begin: Begin) -> Self {
        let began = storage.clock().now();
        Self {
            storage,
            id,
            begin,
            began,
            snapshot: None,
            statement_snapshot: None,
            read_locks: Vec::new(),
            undo: Vec::new(),
            parts: BTreeMap::new(),
            ended: false,
        }
    }

    pub fn id(&self) -> TransactionId {
        self.id
    }

    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    pub fn began(&self) -> Moment {
        self.began
    }

    pub fn isolation(&self) -> Isolation {
        self.begin.isolation
    }

    pub fn set_isolation(&mut self, isolation: Isolation) {
        self.begin.isolation = isolation;
    }

    pub fn set_lock_timeout(&mut self, timeout: Option<Duration>) {
        self.begin.lock_timeout = timeout;
    }

    /// From now on it has this rank in deadlocks.
    pub fn set_deadlock_priority(&mut self, priority: i8) {
        self.begin.deadlock_priority = priority;
    }

    /// How long it waits for a lock; None for ever.
    pub fn lock_timeout(&self) -> Option<Duration> {
        self.begin.lock_timeout
    }

    /// Where it is in the database's log; None before it wrote there.
    pub fn log_positions(&self, database: DatabaseId) -> Option<LogPositions> {
        self.parts.get(&database).map(|part| LogPositions { begin: part.begin, last: part.last })
    }

    pub(super) fn waiter(&self) -> Waiter<'_> {
        Waiter {
            transaction: self.id,
            process: self.begin.session_id,
            cancelled: &self.begin.cancelled,
            timeout: self.begin.lock_timeout,
            priority: self.begin.deadlock_priority,
        }
    }

    // Statements

    /// Begins a statement, which under READ_COMMITTED_SNAPSHOT sees what is committed now.
    pub fn begin_statement(&mut self) {
        self.end_statement();
    }

    /// Lets go of what only the statement needed.
    pub fn end_statement(&mut self) {
        if let Some(commit) = self.statement_snapshot.take() {
            self.storage.drop_snapshot(commit);
        }
        self.read_locks.clear();
        self.storage.locks.release(self.id, true);
    }

    /// Keeps a table as it is while the statement reads it.
    pub(super) fn lock_for_reading(&mut self, database: DatabaseId, table: ObjectId, mode: LockMode) -> SqlResult<()> {
        if !self.read_locks.contains(&(database, table, mode)) {
            self.lock_table(database, table, mode, LockDuration::Statement)?;
            self.read_locks.push((database, table, mode));
        }
        Ok(())
    }

    /// The commit up to which a SNAPSHOT transaction sees; taken at its first reading.
    pub(super) fn transaction_snapshot(&mut self) -> u64 {
        match self.snapshot {
            Some(commit) => commit,
            None => *self.snapshot.insert(self.storage.take_snapshot()),
        }
    }

    pub(super) fn statement_snapshot(&mut self) -> u64 {
        match self.statement_snapshot {
            Some(commit) => commit,
            None => *self.statement_snapshot.insert(self.storage.take_snapshot()),
        }
    }

    /// The snapshot that writes must not overtake, where there is one.
    pub(super) fn write_snapshot(&mut self) -> Option<u64> {
        (self.begin.isolation == Isolation::Snapshot && !self.begin.of_capture).then(|| self.transaction_snapshot())
    }

    // Locks

    /// Locks a table.
    ///
    /// # Errors
    /// 1205, 1222, or the mark of cancellation.
    pub fn lock_table(
        &mut self,
        database: DatabaseId,
        table: ObjectId,
        mode: LockMode,
        duration: LockDuration,
    ) -> SqlResult<()> {
        self.storage.locks.acquire(&self.waiter(), &Resource::Table(database, table), mode, duration)
    }

    /// Locks a table for the rest of the transaction if nobody is in the way. False where somebody is.
    ///
    /// # Errors
    /// The mark of cancellation.
    pub fn try_lock_table(&mut self, database: DatabaseId, table: ObjectId, mode: LockMode) -> SqlResult<bool> {
        const LOCK_TIMEOUT: i32 = 1222;
        const DEADLOCK: i32 = 1205;
        let waiter = Waiter { timeout: Some(Duration::ZERO), ..self.waiter() };
        let resource = Resource::Table(database, table);
        match self.storage.locks.acquire(&waiter, &resource, mode, LockDuration::Transaction) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.number, LOCK_TIMEOUT | DEADLOCK) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Locks a name for the rest of the transaction, as `sp_getapplock` does.
    ///
    /// # Errors
    /// 1205, 1222, or the mark of cancellation.
    pub fn lock_named(
        &mut self,
        database: DatabaseId,
        name: &str,
        mode: LockMode,
        timeout: Option<Duration>,
    ) -> SqlResult<()> {
        let waiter = Waiter { timeout, ..self.waiter() };
        let resource = Resource::Application(database, name.to_owned());
        self.storage.locks.acquire(&waiter, &resource, mode, LockDuration::Transaction)
    }

    /// False where it wasn't locked.
    pub fn release_named(&mut self, database: DatabaseId, name: &str) -> bool {
        self.storage.locks.release_one(self.id, &Resource::Application(database, name.to_owned()))
    }

    // The log

    /// The transaction's part in a database, begun if it hasn't one, by a record of its own.
    pub(super) fn part<'a>(
        parts: &'a mut BTreeMap<DatabaseId, Part>,
        state: &mut State,
        database: DatabaseId,
    ) -> SqlResult<&'a mut Part> {
        Ok(match parts.entry(database) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let begin = state.database_mut(database)?.log.append(76);
                entry.insert(Part { begin, last: begin, records: Vec::new(), commands: 0, catalog: None })
            }
        })
    }

    /// Adds a record that the capture process is to find.
    pub(super) fn log(&mut self, state: &mut State, database: DatabaseId, change: LogChange) -> SqlResult<()> {
        let part = Self::part(&mut self.parts, state, database)?;
        part.last = state.database_mut(database)?.log.append(128);
        part.push(part.last, change);
        Ok(())
    }

    /// Marks that a capture instance begins here.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn log_enabled(&mut self, database: DatabaseId, change_table: ObjectId) -> SqlResult<()> {
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        self.log(&mut state, database, LogChange::Enabled { change_table })
    }

    /// A place of its own in the log, for the row that says that nothing happened. None where something has been committed
    /// before it that the capture process is yet to read.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn log_idle(&mut self, database: DatabaseId) -> SqlResult<Option<Lsn>> {
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        if state.database(database)?.log.pending_count() > 0 {
            return Ok(None);
        }
        let part = Self::part(&mut self.parts, &mut state, database)?;
        part.last = state.database_mut(database)?.log.append(64);
        Ok(Some(part.last))
    }

    // Ends

    /// A place to go back to. In the log it is a record of its own.
    pub fn savepoint(&mut self) -> Savepoint {
        Savepoint {
            undo: self.undo.len(),
            records: self.parts.iter().map(|(database, part)| (*database, part.records.len())).collect(),
        }
    }

    /// Writes a savepoint's record into the log of a database, as `SAVE TRANSACTION` does even where nothing was written
    /// before.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn log_savepoint(&mut self, database: DatabaseId) -> SqlResult<()> {
        let storage = Arc::clone(&self.storage);
        let mut state = storage.write_state();
        let part = Self::part(&mut self.parts, &mut state, database)?;
        part.last = state.database_mut(database)?.log.append(88);
        Ok(())
    }

    /// Takes back what was done since. Locks are kept.
    pub fn rollback_to(&mut self, savepoint: &Savepoint) {
        if self.undo.len() > savepoint.undo {
            let storage = Arc::clone(&self.storage);
            let mut state = storage.write_state();
            self.undo_to(&mut state, savepoint.undo);
        }
        for (database, part) in &mut self.parts {
            let kept = savepoint.records.iter().find(|(of, _)| of == database).map_or(0, |(_, records)| *records);
            part.records.truncate(kept);
        }
        self.storage.locks.touch();
    }

    pub(super) fn undo_to(&mut self, state: &mut State, length: usize) {
        while self.undo.len() > length {
            let Some(undo) = self.undo.pop() else { break };
            let database = match &undo {
                Undo::Row(database, ..)
                | Undo::Catalog(database, _)
                | Undo::Created(database, _)
                | Undo::Dropped(database, _)
                | Undo::Reshaped(database, _)
                | Undo::Replaced(database, ..) => *database,
            };
            let Ok(database) = state.database_mut(database) else { continue };
            match undo {
                Undo::Row(_, table, written) => {
                    if let Some(data) = database.data.get_mut(&table) {
                        data.undo(self.id, written);
                    }
                }
                Undo::Catalog(id, before) => {
                    if let Some(part) = self.parts.get_mut(&id) {
                        part.catalog = before;
                    }
                }
                Undo::Created(_, table) => {
                    database.data.remove(&table);
                }
                Undo::Dropped(..) => {}
                Undo::Reshaped(id, table) => {
                    let mine = self.parts.get(&id).and_then(|part| part.catalog.as_ref()).map(|own| &own.mine);
                    let catalog = mine.unwrap_or(&database.catalog);
                    if let (Some(table), Some(data)) = (catalog.table(table), database.data.get_mut(&table)) {
                        data.conform(table);
                    }
                }
                Undo::Replaced(_, table, data) => {
                    database.data.insert(table, *data);
                }
            }
        }
    }

    /// Makes it lasting and visible, at once in all databases.
    ///
    /// # Errors
    /// 911 where one of its databases was dropped meanwhile; it is rolled back then.
    pub fn commit(mut self) -> SqlResult<()> {
        let outcome = self.commit_in_place();
        self.end();
        outcome
    }

    fn commit_in_place(&mut self) -> SqlResult<()> {
        if self.undo.is_empty() && self.parts.is_empty() {
            return Ok(());
        }
        let storage = Arc::clone(&self.storage);
        // Its own snapshot is no reason to keep the versions that it replaces.
        if let Some(snapshot) = self.snapshot.take() {
            storage.drop_snapshot(snapshot);
        }
        let mut state = storage.write_state();
        if let Some(gone) = self.parts.keys().find(|database| !state.databases.contains_key(database)) {
            let error = SqlError::new(911, 16, format!("The database with the number {} was dropped.", gone.0));
            self.undo_to(&mut state, 0);
            return Err(error);
        }
        let committed = storage.clock().now();
        state.commits += 1;
        let commit = state.commits;
        for (id, part) in std::mem::take(&mut self.parts) {
            let database = state.database_mut(id)?;
            let commit_lsn = database.log.commit(self.begin.of_capture);
            if let Some(own) = part.catalog {
                Arc::make_mut(&mut database.catalog).merge(&own.base, &own.mine);
            }
            if !part.records.is_empty() {
                database.log.push(LoggedTransaction {
                    begin_lsn: part.begin,
                    commit_lsn,
                    began: self.began,
                    committed,
                    transaction_id: self.id,
                    records: part.records,
                });
            }
        }
        let oldest = state.oldest_snapshot();
        for undo in std::mem::take(&mut self.undo) {
            match undo {
                Undo::Row(database, table, written) => {
                    let data = state.databases.get_mut(&database).and_then(|database| database.data.get_mut(&table));
                    let Some(data) = data else { continue };
                    if data.commit(self.id, written, commit, oldest)
                        && let Written::Version(row) | Written::Lock(row) = written
                    {
                        state.keep_stale(database, table, row);
                    }
                }
                Undo::Dropped(database, table) => {
                    if let Some(database) = state.databases.get_mut(&database) {
                        database.data.remove(&table);
                    }
                }
                Undo::Catalog(..) | Undo::Created(..) | Undo::Reshaped(..) | Undo::Replaced(..) => {}
            }
        }
        Ok(())
    }

    /// Takes everything back; dropping a transaction does as well.
    #[cfg(test)]
    pub fn rollback(mut self) {
        self.rollback_in_place();
    }

    fn rollback_in_place(&mut self) {
        if !self.undo.is_empty() {
            let storage = Arc::clone(&self.storage);
            let mut state = storage.write_state();
            self.undo_to(&mut state, 0);
        }
        self.end();
    }

    fn end(&mut self) {
        self.ended = true;
        self.parts.clear();
        for snapshot in [self.snapshot.take(), self.statement_snapshot.take()].into_iter().flatten() {
            self.storage.drop_snapshot(snapshot);
        }
        self.storage.locks.release(self.id, false);
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended {
            self.rollback_in_place();
        }
    }
}

impl Part {
    /// Adds a record with the next command's number.
    pub fn push(&mut self, lsn: Lsn, change: LogChange) {
        self.commands += 1;
        self.records.push(LogRecord { lsn, command_id: self.commands, change });
    }
}
