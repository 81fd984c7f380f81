//! What the capture process and the agent know beside what is in tables: it goes when the server restarts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::SqlError;
use crate::storage::{DatabaseId, Lsn};
use crate::value::Moment;

/// Rows that the views of sessions and errors keep.
const SESSIONS_MAX: usize = 1000;
const ERRORS_MAX: usize = 32;
/// `max text repl size` as it is at first.
const LOB_BYTES_MAX: usize = 65_536;

/// Of all databases.
#[derive(Debug)]
pub struct CaptureState {
    inner: Mutex<Inner>,
    /// Told whenever a turn is given up.
    turn_over: Condvar,
}

#[derive(Debug)]
struct Inner {
    agent_running: bool,
    /// Whether there is an agent that runs jobs, rather than a test.
    has_agent: bool,
    databases: HashMap<DatabaseId, DatabaseCapture>,
    /// How long the log must be idle before a row without transaction is written.
    idle_after: Duration,
    in_place_singletons: bool,
    tells_commands: bool,
    lob_bytes_max: Option<usize>,
    clr_types_break: bool,
}

/// Of one database.
#[derive(Debug, Default)]
pub struct DatabaseCapture {
    /// With what the capture job runs; None while it is stopped.
    pub capture: Option<CaptureParameters>,
    /// Whether the login that owns the database is gone.
    pub owner_missing: bool,
    /// Whether the database has transactional publications.
    pub published: bool,
    /// While somebody has the turn to scan: set, it ends the scan.
    pub turn: Option<Arc<AtomicBool>>,
    pub sessions: VecDeque<ScanSession>,
    pub errors: VecDeque<ScanError>,
    session_last: i32,
}

/// As read from `msdb.dbo.cdc_jobs` when the job starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaptureParameters {
    /// Transactions of one cycle.
    pub transactions_max: usize,
    /// Cycles before a pause.
    pub scans_max: usize,
    pub continuous: bool,
    pub polling_interval: Duration,
}

/// One log scan session as `sys.dm_cdc_log_scan_sessions` shows it.
#[derive(Clone, Debug)]
pub struct ScanSession {
    pub session_id: i32,
    pub start_time: Moment,
    pub end_time: Moment,
    pub phase: &'static str,
    pub error_count: i32,
    pub start_lsn: Lsn,
    pub end_lsn: Lsn,
    pub transactions: i64,
    pub last_commit_lsn: Lsn,
    pub last_commit_time: Option<Moment>,
    pub records: i64,
    pub schema_changes: i32,
    pub commands: i64,
    pub empty_scans: i32,
    pub failed_sessions: i32,
}

/// As `sys.dm_cdc_errors` shows it.
#[derive(Clone, Debug)]
pub struct ScanError {
    pub session_id: i32,
    pub time: Moment,
    pub error: SqlError,
    pub start_lsn: Lsn,
    pub begin_lsn: Lsn,
}

impl Default for CaptureState {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                agent_running: true,
                has_agent: false,
                databases: HashMap::new(),
                idle_after: Duration::from_secs(300),
                in_place_singletons: false,
                tells_commands: true,
                lob_bytes_max: Some(LOB_BYTES_MAX),
                clr_types_break: false,
            }),
            turn_over: Condvar::new(),
        }
    }
}

/// The right to scan a database's log, which one has at a time; given up when it is dropped.
#[derive(Debug)]
pub struct ScanTurn<'a> {
    state: &'a CaptureState,
    database: DatabaseId,
    cancelled: Arc<AtomicBool>,
}

impl ScanTurn<'_> {
    /// Set when the scan has to end.
    pub fn cancelled(&self) -> &Arc<AtomicBool> {
        &self.cancelled
    }
}

impl Drop for ScanTurn<'_> {
    fn drop(&mut self) {
        self.state.with(self.database, |capture| capture.turn = None);
        self.state.turn_over.notify_all();
    }
}

impl CaptureState {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn agent_running(&self) -> bool {
        self.inner().agent_running
    }

    /// Starts or stops the agent. Jobs that ran stop with it.
    pub fn set_agent_running(&self, running: bool) {
        let mut inner = self.inner();
        inner.agent_running = running;
        if !running {
            for database in inner.databases.values_mut() {
                database.capture = None;
            }
        }
    }

    /// Notes that an agent runs the jobs.
    pub fn set_has_agent(&self, has_agent: bool) {
        self.inner().has_agent = has_agent;
    }

    /// Whether a job goes on that keeps the log reader to itself, also between its scans.
    pub fn job_goes_on(&self, database: DatabaseId) -> bool {
        let inner = self.inner();
        let job = inner.databases.get(&database).and_then(|known| known.capture);
        inner.has_agent && inner.agent_running && job.is_some_and(|job| job.continuous)
    }

    /// The turn to scan, or None where a scan is going on.
    pub fn take_turn(&self, database: DatabaseId) -> Option<ScanTurn<'_>> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut inner = self.inner();
        let known = inner.databases.entry(database).or_default();
        if known.turn.is_some() {
            return None;
        }
        known.turn = Some(Arc::clone(&cancelled));
        Some(ScanTurn { state: self, database, cancelled })
    }

    /// Ends the scan that goes on, if any, and takes the turn. A scan that outlived a crash or a restore would tell of a
    /// time that is over, and discard records that it never read.
    pub fn seize_turn(&self, database: DatabaseId) -> ScanTurn<'_> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let goes_on = |inner: &mut Inner| {
            let turn = inner.databases.get(&database).and_then(|known| known.turn.as_ref());
            turn.inspect(|cancelled| cancelled.store(true, Ordering::Relaxed)).is_some()
        };
        let waited = self.turn_over.wait_while(self.inner(), goes_on);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner);
        inner.databases.entry(database).or_default().turn = Some(Arc::clone(&cancelled));
        ScanTurn { state: self, database, cancelled }
    }

    pub fn idle_after(&self) -> Duration {
        self.inner().idle_after
    }

    pub fn set_idle_after(&self, idle: Duration) {
        self.inner().idle_after = idle;
    }

    /// Trace flag 8207: an update of one row stays an update though a unique key changes.
    pub fn in_place_singletons(&self) -> bool {
        self.inner().in_place_singletons
    }

    pub fn set_in_place_singletons(&self, on: bool) {
        self.inner().in_place_singletons = on;
    }

    /// `max text repl size`: what a captured large value may have; None for no limit.
    pub fn lob_bytes_max(&self) -> Option<usize> {
        self.inner().lob_bytes_max
    }

    pub fn set_lob_bytes_max(&self, bytes: Option<usize>) {
        self.inner().lob_bytes_max = bytes;
    }

    /// Whether change tables that are made now say which command of its transaction a row belongs to.
    pub fn tells_commands(&self) -> bool {
        self.inner().tells_commands
    }

    pub fn set_tells_commands(&self, on: bool) {
        self.inner().tells_commands = on;
    }

    /// Whether the scan breaks at values of CLR types, as old servers do.
    pub fn clr_types_break(&self) -> bool {
        self.inner().clr_types_break
    }

    pub fn set_clr_types_break(&self, on: bool) {
        self.inner().clr_types_break = on;
    }

    pub fn with<T>(&self, database: DatabaseId, step: impl FnOnce(&mut DatabaseCapture) -> T) -> T {
        step(self.inner().databases.entry(database).or_default())
    }

    /// Forgets what the capture process knew of a database, as a restart or a restore does. What the test made of the
    /// database itself stays.
    pub fn forget(&self, database: DatabaseId) {
        if let Some(known) = self.inner().databases.get_mut(&database) {
            known.forget();
        }
    }

    /// Forgets a database that is no more.
    pub fn remove(&self, database: DatabaseId) {
        self.inner().databases.remove(&database);
    }
}

impl DatabaseCapture {
    fn forget(&mut self) {
        let (owner_missing, published, turn) = (self.owner_missing, self.published, self.turn.take());
        *self = Self { owner_missing, published, turn, ..Self::default() };
    }

    /// Begins a session's row.
    pub fn next_session_id(&mut self) -> i32 {
        self.session_last += 1;
        self.session_last
    }

    /// Adds a session's row. Sessions that found nothing, one after another, share a row that counts them.
    pub fn push_session(&mut self, session: ScanSession) {
        if session.empty_scans > 0
            && let Some(last) = self.sessions.back_mut().filter(|last| last.empty_scans > 0)
        {
            last.empty_scans += session.empty_scans;
            last.end_time = session.end_time;
            last.end_lsn = session.end_lsn;
            return;
        }
        self.sessions.push_back(session);
        if self.sessions.len() > SESSIONS_MAX {
            self.sessions.pop_front();
        }
    }

    pub fn push_error(&mut self, error: ScanError) {
        self.errors.push_back(error);
        if self.errors.len() > ERRORS_MAX {
            self.errors.pop_front();
        }
    }
}
