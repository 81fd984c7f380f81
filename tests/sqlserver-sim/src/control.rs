//! What a test drives: the clock, the capture process, the agent, and what goes wrong.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::cdc::agent::Agent;
use crate::cdc::{cleanup, disable, errors, jobs, scan};
use crate::engine::session::Isolation;
use crate::error::SqlError;
use crate::server::Connections;
use crate::storage::{Backup, Begin, DatabaseId, Lsn, Storage, never_cancelled};

/// When changes are captured and cleaned up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Schedule {
    /// By the agent, as on a real server, at the polling interval of each capture job.
    #[default]
    Jobs,
    /// By the agent, at this interval whatever the jobs say.
    Every(Duration),
    /// Only when the test says so, by [`Control::scan`] and [`Control::clean_up`], or a client by `sys.sp_cdc_scan`.
    ByHand,
}

/// What a scan read and wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scan {
    /// Transactions read from the log.
    pub transactions: usize,
    /// Rows written to change tables.
    pub rows: usize,
}

/// Where a backup is restored to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restore {
    /// The server that it came from, under the same name: change data capture and its jobs stay.
    SameServer,
    /// Another server, `WITH KEEP_CDC`: change data capture stays, its jobs don't come along.
    OtherServerKeepCdc,
    /// Another server: change data capture is taken out of the database.
    OtherServer,
}

/// A step that the server refused.
#[derive(Debug, Error)]
pub enum ControlError {
    #[error("there is no database named {0}")]
    NoDatabase(String),
    #[error("error {}: {}", .0.number, .0.message)]
    Refused(SqlError),
}

impl ControlError {
    /// The server's number for it, where it has one.
    pub fn number(&self) -> Option<i32> {
        match self {
            Self::Refused(error) => Some(error.number),
            Self::NoDatabase(_) => None,
        }
    }
}

impl From<SqlError> for ControlError {
    fn from(error: SqlError) -> Self {
        Self::Refused(error)
    }
}

/// A database as it was, to be restored.
#[derive(Debug)]
pub struct DatabaseBackup(Backup);

/// A server's strings. Clones pull the same ones.
#[derive(Clone, Debug)]
pub struct Control {
    storage: Arc<Storage>,
    connections: Arc<Connections>,
}

impl Control {
    pub(crate) fn new(storage: Arc<Storage>, connections: Arc<Connections>) -> Self {
        Self { storage, connections }
    }

    pub(crate) fn start_schedule(&self, schedule: Schedule) -> std::io::Result<Option<Agent>> {
        Ok(match schedule {
            Schedule::Jobs => Some(Agent::start(&self.storage, None)?),
            Schedule::Every(interval) => Some(Agent::start(&self.storage, Some(interval))?),
            Schedule::ByHand => None,
        })
    }

    fn database(&self, name: &str) -> Result<DatabaseId, ControlError> {
        self.storage.database_named(name).ok_or_else(|| ControlError::NoDatabase(name.to_owned()))
    }

    /// Moves the server's clock on.
    pub fn advance_clock(&self, by: Duration) {
        self.storage.clock().advance(by);
    }

    /// How many rows of tables all queries together have come by, also those that their conditions didn't let through.
    pub fn rows_read(&self) -> u64 {
        self.storage.rows_read()
    }

    // Capture

    /// Captures all that has been committed in a database up to now.
    ///
    /// # Errors
    /// Error 22901 where the database isn't enabled, 22903 where a scan is going on, and what a scan breaks at, which
    /// `sys.dm_cdc_errors` shows too: 2628 and 8115 where a column was narrowed.
    pub fn scan(&self, database: &str) -> Result<Scan, ControlError> {
        let progress = scan::run_to_end(&self.storage, self.database(database)?)?;
        Ok(Scan { transactions: progress.transactions, rows: progress.rows })
    }

    /// One cycle of at most so many transactions, visible at once.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub fn scan_cycle(&self, database: &str, transactions_max: usize) -> Result<Scan, ControlError> {
        let parameters = jobs::one_cycle(transactions_max);
        let progress = scan::run(&self.storage, self.database(database)?, parameters)?;
        Ok(Scan { transactions: progress.transactions, rows: progress.rows })
    }

    /// Committed transactions with captured changes that no scan has read yet.
    ///
    /// # Errors
    /// Where there is no such database.
    pub fn pending(&self, database: &str) -> Result<usize, ControlError> {
        Ok(self.storage.with_log(self.database(database)?, |log| log.pending_count())?)
    }

    /// Runs the cleanup job: what ended before the retention goes.
    ///
    /// # Errors
    /// Error 22901 where the database isn't enabled.
    pub fn clean_up(&self, database: &str) -> Result<(), ControlError> {
        Ok(cleanup::run(&self.storage, self.database(database)?)?)
    }

    /// Cleans up below a mark in all instances, whatever the retention is. The mark's ten bytes are a `start_lsn`.
    ///
    /// # Errors
    /// Error 22901 where the database isn't enabled.
    pub fn clean_up_below(&self, database: &str, low_water_mark: [u8; 10]) -> Result<(), ControlError> {
        let low = Lsn::from_bytes(&low_water_mark).unwrap_or(Lsn::ZERO);
        Ok(cleanup::run_to(&self.storage, self.database(database)?, low, CLEANUP_ROWS)?)
    }

    /// How long the log must be idle before a scan writes a row without transaction into `cdc.lsn_time_mapping`; five
    /// minutes at first. Where others have committed something that isn't captured, such a row is written at once.
    pub fn set_idle_interval(&self, interval: Duration) {
        self.storage.capture().set_idle_after(interval);
    }

    /// Trace flag 8207: an update of one row shows as an update though a unique key changes.
    pub fn set_trace_flag_8207(&self, on: bool) {
        self.storage.capture().set_in_place_singletons(on);
    }

    /// Whether change tables that are made from now on have `__$command_id`, as they do since updates of SQL Server 2012
    /// to 2016.
    pub fn set_command_ids(&self, on: bool) {
        self.storage.capture().set_tells_commands(on);
    }

    /// `max text repl size`: how many bytes a large value may have that is written to a captured table, 65,536 at first;
    /// None for no limit. Longer ones fail with error 7139.
    pub fn set_max_text_repl_size(&self, bytes: Option<usize>) {
        self.storage.capture().set_lob_bytes_max(bytes);
    }

    /// Lets the login that owns a database be gone, so that enabling fails with error 15517 within its wrapper.
    ///
    /// # Errors
    /// Where there is no such database.
    pub fn set_owner_missing(&self, database: &str, missing: bool) -> Result<(), ControlError> {
        let database = self.database(database)?;
        self.storage.capture().with(database, |capture| capture.owner_missing = missing);
        Ok(())
    }

    /// Whether a database has transactional publications. Then the log reader of replication captures, at its own interval,
    /// and a capture job is refused (error 22911). Jobs that are there stop.
    ///
    /// # Errors
    /// Where there is no such database.
    pub fn set_published(&self, database: &str, published: bool) -> Result<(), ControlError> {
        let database = self.database(database)?;
        self.storage.capture().with(database, |capture| {
            capture.published = published;
            capture.capture = None;
        });
        Ok(())
    }

    /// Lets the scan break at values of CLR types, as servers before 2016 do: error 913.
    pub fn set_clr_types_break(&self, on: bool) {
        self.storage.capture().set_clr_types_break(on);
    }

    // The agent

    /// Stops the agent: nothing is captured by the schedule, and the log grows.
    pub fn stop_agent(&self) {
        self.storage.capture().set_agent_running(false);
    }

    /// Starts the agent; capture jobs begin with it.
    ///
    /// # Errors
    /// Those of reading the jobs.
    pub fn start_agent(&self) -> Result<(), ControlError> {
        self.storage.capture().set_agent_running(true);
        for database in self.storage.databases().into_iter().filter(|database| database.catalog.options.cdc_enabled) {
            let mut transaction = self.storage.begin(internal());
            jobs::start_at_boot(&mut transaction, database.id)?;
            transaction.commit()?;
        }
        Ok(())
    }

    // Connections

    pub fn connections(&self) -> usize {
        self.connections.count()
    }

    /// Cuts all connections off. Their transactions are rolled back. Gives their number.
    pub fn kill_connections(&self) -> usize {
        self.connections.kill_all()
    }

    /// Cuts one connection off by its `@@SPID`. False where there is none.
    pub fn kill_connection(&self, session_id: u32) -> bool {
        self.connections.kill(session_id)
    }

    /// Lets each request wait so long before it runs.
    pub fn set_latency(&self, latency: Duration) {
        self.connections.set_latency(latency);
    }

    // Disasters

    /// The server crashes and comes up again: what wasn't committed is gone, and so is what the views of the capture
    /// process had.
    ///
    /// # Errors
    /// Those of reading the jobs.
    pub fn crash(&self) -> Result<(), ControlError> {
        self.connections.kill_all();
        let capture = self.storage.capture();
        let agent_ran = capture.agent_running();
        let databases = self.storage.databases();
        let turns: Vec<_> = databases.iter().map(|database| capture.seize_turn(database.id)).collect();
        databases.iter().for_each(|database| capture.forget(database.id));
        drop(turns);
        if agent_ran { self.start_agent() } else { Ok(()) }
    }

    /// Another replica becomes the primary: connections end, LSNs go on, and the views of the capture process begin anew.
    /// Capture goes on only where the jobs exist on that replica too.
    ///
    /// # Errors
    /// Those of reading and removing the jobs.
    pub fn fail_over(&self, replica_has_jobs: bool) -> Result<(), ControlError> {
        self.crash()?;
        if replica_has_jobs {
            return Ok(());
        }
        for database in self.storage.databases().into_iter().filter(|database| database.catalog.options.cdc_enabled) {
            self.remove_jobs(database.id)?;
        }
        Ok(())
    }

    /// A copy of a database, log included. Transactions that go on aren't in it.
    ///
    /// # Errors
    /// Where there is no such database.
    pub fn back_up(&self, database: &str) -> Result<DatabaseBackup, ControlError> {
        Ok(DatabaseBackup(self.storage.back_up(self.database(database)?)?))
    }

    /// Puts a database back to a backup, which may be another server's. Its connections, and all others, are cut off first.
    /// LSNs go back with it.
    ///
    /// # Errors
    /// Where there is no such database; 934 where an edition without change data capture is to keep it; and those of
    /// taking it out.
    pub fn restore(&self, database: &str, backup: &DatabaseBackup, to: Restore) -> Result<(), ControlError> {
        let id = self.database(database)?;
        let keeps = to != Restore::OtherServer && backup.0.cdc_enabled();
        if keeps && self.storage.edition().without_capture().is_some() {
            return Err(errors::database_refused(database).into());
        }
        self.connections.kill_all();
        let turn = self.storage.capture().seize_turn(id);
        self.storage.restore(id, &backup.0)?;
        self.storage.capture().forget(id);
        drop(turn);
        match to {
            Restore::SameServer => self.start_jobs(id),
            Restore::OtherServerKeepCdc => self.remove_jobs(id),
            Restore::OtherServer => {
                let mut transaction = self.storage.begin(internal());
                if transaction.catalog(id)?.options.cdc_enabled {
                    disable::database(&mut transaction, id)?;
                }
                transaction.commit()?;
                Ok(())
            }
        }
    }

    fn start_jobs(&self, database: DatabaseId) -> Result<(), ControlError> {
        let mut transaction = self.storage.begin(internal());
        jobs::start_at_boot(&mut transaction, database)?;
        Ok(transaction.commit()?)
    }

    fn remove_jobs(&self, database: DatabaseId) -> Result<(), ControlError> {
        let mut transaction = self.storage.begin(internal());
        jobs::remove_all(&mut transaction, database)?;
        Ok(transaction.commit()?)
    }
}

/// Rows that cleanup deletes in a transaction.
const CLEANUP_ROWS: usize = 5000;

fn internal() -> Begin {
    Begin {
        isolation: Isolation::ReadCommitted,
        session_id: 0,
        cancelled: never_cancelled(),
        lock_timeout: None,
        deadlock_priority: 0,
        of_capture: true,
    }
}
