//! The whole server's state, and how it is reached.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cdc::state::CaptureState;
use crate::error::{SqlError, SqlResult};
use crate::value::Moment;
use crate::value::collation::folded;

use super::catalog::{Catalog, DatabaseId, ObjectId};
use super::clock::Clock;
use super::database::Database;
use super::key::RowId;
use super::lock::{Locks, TransactionId};
use super::log::Log;
use super::principal::Login;
use super::settings::Settings;
use super::transaction::{Begin, Transaction};

/// The first virtual log file of a new database.
const LOG_FILE_FIRST: u32 = 0x24;

/// Which kind of server it takes itself for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Edition {
    /// With everything, an agent included.
    #[default]
    Developer,
    /// Without change data capture, and without an agent.
    Express,
    /// No agent: capture and cleanup are the service's own.
    AzureSqlDatabase,
    ManagedInstance,
}

impl Edition {
    /// `SERVERPROPERTY('EngineEdition')`.
    pub fn engine_edition(self) -> i32 {
        match self {
            Self::Developer => 3,
            Self::Express => 4,
            Self::AzureSqlDatabase => 5,
            Self::ManagedInstance => 8,
        }
    }

    /// Its name, where it has no change data capture.
    pub fn without_capture(self) -> Option<&'static str> {
        match self {
            Self::Express => Some("Express Edition"),
            Self::Developer | Self::AzureSqlDatabase | Self::ManagedInstance => None,
        }
    }
}

#[derive(Debug)]
pub struct StorageOptions {
    pub clock: Clock,
    pub edition: Edition,
    /// `@@SERVERNAME`.
    pub server_name: String,
    /// Of the login `sa`.
    pub sa_password: String,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            clock: Clock::real(),
            edition: Edition::Developer,
            server_name: "SQLSERVER-SIM".to_owned(),
            sa_password: "Password_1".to_owned(),
        }
    }
}

/// A database as `sys.databases` shows it.
#[derive(Clone, Debug)]
pub struct DatabaseInfo {
    pub id: DatabaseId,
    pub name: Arc<str>,
    pub created: Moment,
    pub catalog: Arc<Catalog>,
}

/// A database as it was.
#[derive(Debug)]
pub struct Backup(Database);

impl Backup {
    pub fn cdc_enabled(&self) -> bool {
        self.0.catalog.options.cdc_enabled
    }
}

/// One server: its databases, logins and clock.
#[derive(Debug)]
pub struct Storage {
    clock: Clock,
    edition: Edition,
    server_name: String,
    pub(super) locks: Locks,
    capture: CaptureState,
    settings: Settings,
    /// Rows that readers have come by, since the beginning.
    rows_read: AtomicU64,
    state: RwLock<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub databases: BTreeMap<DatabaseId, Database>,
    logins: BTreeMap<String, Arc<Login>>,
    /// The number of the last commit.
    pub commits: u64,
    transaction_last: TransactionId,
    /// How many readers hold the snapshot of each commit.
    snapshots: BTreeMap<u64, usize>,
    /// Rows with versions that were kept for a snapshot.
    stale: Vec<(DatabaseId, ObjectId, RowId)>,
}

impl State {
    pub fn database(&self, id: DatabaseId) -> SqlResult<&Database> {
        self.databases.get(&id).ok_or_else(|| no_database(id))
    }

    pub fn database_mut(&mut self, id: DatabaseId) -> SqlResult<&mut Database> {
        self.databases.get_mut(&id).ok_or_else(|| no_database(id))
    }

    /// The oldest commit that somebody may still look back to.
    pub fn oldest_snapshot(&self) -> u64 {
        self.snapshots.keys().next().copied().unwrap_or(self.commits)
    }

    pub fn keep_stale(&mut self, database: DatabaseId, table: ObjectId, row: RowId) {
        self.stale.push((database, table, row));
    }
}

fn no_database(id: DatabaseId) -> SqlError {
    SqlError::new(911, 16, format!("The database with the number {} does not exist.", id.0))
}

impl Storage {
    /// A server with its system databases and the login `sa`.
    pub fn new(options: StorageOptions) -> Arc<Self> {
        let now = options.clock.now();
        let system = [
            (DatabaseId::MASTER, "master"),
            (DatabaseId::TEMPDB, "tempdb"),
            (DatabaseId::MODEL, "model"),
            (DatabaseId::MSDB, "msdb"),
        ];
        let databases = system.map(|(id, name)| (id, Database::new(id, name, now, LOG_FILE_FIRST)));
        let sa = Login {
            name: Arc::from("sa"),
            password: Arc::from(options.sa_password),
            sysadmin: true,
            default_database: Arc::from("master"),
            permissions: Vec::new(),
        };
        Arc::new(Self {
            clock: options.clock,
            edition: options.edition,
            server_name: options.server_name,
            locks: Locks::default(),
            capture: CaptureState::default(),
            settings: Settings::default(),
            rows_read: AtomicU64::new(0),
            state: RwLock::new(State {
                databases: BTreeMap::from(databases),
                logins: BTreeMap::from([("sa".to_owned(), Arc::new(sa))]),
                commits: 1,
                transaction_last: 0,
                snapshots: BTreeMap::new(),
                stale: Vec::new(),
            }),
        })
    }

    pub fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    pub(super) fn count_rows_read(&self, rows: usize) {
        self.rows_read.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Steps on the state don't panic half-way by the lints that forbid it, so a poisoned lock still guards a sound one.
    pub(super) fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the capture process knows of its databases.
    pub fn capture(&self) -> &CaptureState {
        &self.capture
    }

    /// What the whole server is set to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn edition(&self) -> Edition {
        self.edition
    }

    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The number of the last commit, which grows with every transaction that wrote.
    pub fn commits(&self) -> u64 {
        self.read_state().commits
    }

    // Databases

    pub fn databases(&self) -> Vec<DatabaseInfo> {
        self.read_state().databases.values().map(info).collect()
    }

    pub fn database(&self, id: DatabaseId) -> Option<DatabaseInfo> {
        self.read_state().databases.get(&id).map(info)
    }

    pub fn database_named(&self, name: &str) -> Option<DatabaseId> {
        let name = folded(name);
        self.read_state().databases.values().find(|database| folded(&database.name) == name).map(|database| database.id)
    }

    /// The committed catalog.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn catalog(&self, database: DatabaseId) -> SqlResult<Arc<Catalog>> {
        Ok(Arc::clone(&self.read_state().database(database)?.catalog))
    }

    /// # Errors
    /// 1801 where the name is taken.
    pub fn create_database(&self, name: &str) -> SqlResult<DatabaseId> {
        let now = self.clock.now();
        let mut state = self.write_state();
        if state.databases.values().any(|database| folded(&database.name) == folded(name)) {
            let text = format!("Database '{name}' already exists. Choose a different database name.");
            return Err(SqlError::new(1801, 16, text).with_state(3));
        }
        let greatest = state.databases.keys().next_back().map_or(4, |id| id.0);
        let id = DatabaseId(greatest.max(4) + 1);
        state.databases.insert(id, Database::new(id, name, now, LOG_FILE_FIRST));
        Ok(id)
    }

    /// # Errors
    /// 3701 where it isn't there, 3708 for a system database.
    pub fn drop_database(&self, name: &str) -> SqlResult<()> {
        let id = self.database_named(name).ok_or_else(|| SqlError::cannot_drop("database", name))?;
        if id <= DatabaseId::MSDB {
            let text = format!("Cannot drop the database '{name}' because it is a system database.");
            return Err(SqlError::new(3708, 16, text));
        }
        self.write_state().databases.remove(&id);
        self.locks.touch();
        Ok(())
    }

    /// Lets a step look at a database's log.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn with_log<T>(&self, database: DatabaseId, step: impl FnOnce(&mut Log) -> T) -> SqlResult<T> {
        Ok(step(&mut self.write_state().database_mut(database)?.log))
    }

    /// A copy of a database, log included, without what isn't committed.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn back_up(&self, database: DatabaseId) -> SqlResult<Backup> {
        Ok(Backup(self.read_state().database(database)?.committed()))
    }

    /// Puts a database back to what it was. No transaction may have to do with it meanwhile.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn restore(&self, database: DatabaseId, backup: &Backup) -> SqlResult<()> {
        let mut restored = backup.0.committed();
        let mut state = self.write_state();
        let current = state.database_mut(database)?;
        restored.id = database;
        restored.name = Arc::clone(&current.name);
        *current = restored;
        Ok(())
    }

    /// The next number that the database's rowversion columns get.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn next_row_version(&self, database: DatabaseId) -> SqlResult<u64> {
        let mut state = self.write_state();
        let database = state.database_mut(database)?;
        database.row_version_last += 1;
        Ok(database.row_version_last)
    }

    /// `@@DBTS`: the last such number.
    ///
    /// # Errors
    /// 911 where the database is gone.
    pub fn row_version(&self, database: DatabaseId) -> SqlResult<u64> {
        Ok(self.read_state().database(database)?.row_version_last)
    }

    /// Rows of a table, those of open transactions included.
    pub fn row_count(&self, database: DatabaseId, table: ObjectId) -> u64 {
        let state = self.read_state();
        state.databases.get(&database).and_then(|database| database.data.get(&table)).map_or(0, |data| data.live())
    }

    /// Rows of each partition of a table, those of open transactions included; of a table that isn't divided, all.
    pub fn partition_rows(&self, database: DatabaseId, table: ObjectId) -> Vec<u64> {
        let state = self.read_state();
        let Some(database) = state.databases.get(&database) else { return Vec::new() };
        let (Some(data), Some(shape)) = (database.data.get(&table), database.catalog.table(table)) else {
            return Vec::new();
        };
        let Some((function, _)) = database.catalog.partitioning(shape) else { return vec![data.live()] };
        let mut rows = vec![0; function.count()];
        for row in data.ids().into_iter().filter_map(|id| data.newest(id)) {
            let partition = database.catalog.partition_of_row(shape, row);
            if let Some(count) = rows.get_mut(partition.saturating_sub(1)) {
                *count += 1;
            }
        }
        rows
    }

    // Logins

    pub fn logins(&self) -> Vec<Arc<Login>> {
        self.read_state().logins.values().cloned().collect()
    }

    pub fn login_named(&self, name: &str) -> Option<Arc<Login>> {
        self.read_state().logins.get(&folded(name)).cloned()
    }

    pub fn put_login(&self, login: Login) {
        self.write_state().logins.insert(folded(&login.name), Arc::new(login));
    }

    pub fn remove_login(&self, name: &str) -> bool {
        self.write_state().logins.remove(&folded(name)).is_some()
    }

    // Transactions

    pub fn begin(self: &Arc<Self>, begin: Begin) -> Transaction {
        let id = {
            let mut state = self.write_state();
            state.transaction_last += 1;
            state.transaction_last
        };
        Transaction::new(Arc::clone(self), id, begin)
    }

    /// Holds what is committed now for a reader.
    pub(super) fn take_snapshot(&self) -> u64 {
        let mut state = self.write_state();
        let commit = state.commits;
        *state.snapshots.entry(commit).or_default() += 1;
        commit
    }

    /// Lets go of it, and of the row versions that were kept for nobody else.
    pub(super) fn drop_snapshot(&self, commit: u64) {
        let mut state = self.write_state();
        if let Some(count) = state.snapshots.get_mut(&commit) {
            *count -= 1;
            if *count == 0 {
                state.snapshots.remove(&commit);
            }
        }
        let oldest = state.oldest_snapshot();
        let stale = std::mem::take(&mut state.stale);
        let left = stale.into_iter().filter(|(database, table, row)| {
            let data = state.databases.get_mut(database).and_then(|database| database.data.get_mut(table));
            data.is_some_and(|data| data.prune(*row, oldest))
        });
        let left: Vec<_> = left.collect();
        state.stale = left;
    }
}

fn info(database: &Database) -> DatabaseInfo {
    DatabaseInfo {
        id: database.id,
        name: Arc::clone(&database.name),
        created: database.created,
        catalog: Arc::clone(&database.catalog),
    }
}
