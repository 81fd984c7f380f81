//! The agent: it runs capture jobs at their intervals, and cleanup once a day. Where a test drives time itself, it isn't
//! started, and the test runs scans and cleanups step by step.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::storage::{DatabaseId, Edition, Storage};

use super::state::DatabaseCapture;
use super::{cleanup, jobs, scan};

/// How often it looks whether a job is due.
const TICK_MILLIS: u64 = 20;
/// When cleanup runs, in ticks after midnight.
const CLEANUP_HOUR: u64 = 2;
const TICKS_PER_HOUR: u64 = 36_000_000_000;

/// Ends with the value.
#[derive(Debug)]
pub struct Agent {
    storage: Weak<Storage>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts it. A polling interval given here takes the place of the jobs' own.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub fn start(storage: &Arc<Storage>, polling_interval: Option<Duration>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        storage.capture().set_has_agent(true);
        let thread = {
            let (storage, stop) = (Arc::downgrade(storage), Arc::clone(&stop));
            std::thread::Builder::new()
                .name("agent".to_owned())
                .spawn(move || run(&storage, &stop, polling_interval))?
        };
        Ok(Self { storage: Arc::downgrade(storage), stop, thread: Some(thread) })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed already.
            let _ = thread.join();
        }
        if let Some(storage) = self.storage.upgrade() {
            storage.capture().set_has_agent(false);
        }
    }
}

#[derive(Default)]
struct Schedule {
    scanned: HashMap<DatabaseId, Instant>,
    /// The last period in which cleanup ran: a day, or an hour in Azure SQL Database.
    cleaned: HashMap<DatabaseId, u64>,
}

fn run(storage: &Weak<Storage>, stop: &AtomicBool, polling_interval: Option<Duration>) {
    let mut schedule = Schedule::default();
    while !stop.load(Ordering::Relaxed) {
        let Some(storage) = storage.upgrade() else { return };
        if storage.capture().agent_running() {
            for database in storage.databases().into_iter().filter(|database| database.catalog.options.cdc_enabled) {
                schedule.scan_if_due(&storage, database.id, polling_interval);
                schedule.clean_if_due(&storage, database.id);
            }
        }
        drop(storage);
        std::thread::sleep(Duration::from_millis(TICK_MILLIS));
    }
}

impl Schedule {
    /// A scan that fails is tried again at the next interval, as the agent does; what failed is in `sys.dm_cdc_errors`.
    fn scan_if_due(&mut self, storage: &Arc<Storage>, database: DatabaseId, polling_interval: Option<Duration>) {
        let reader = |capture: &mut DatabaseCapture| match capture.published {
            true => jobs::log_reader_parameters().ok(),
            false => capture.capture,
        };
        let Some(parameters) = storage.capture().with(database, reader) else { return };
        let interval = polling_interval.unwrap_or(parameters.polling_interval);
        if self.scanned.get(&database).is_some_and(|scanned| scanned.elapsed() < interval) {
            return;
        }
        let outcome = scan::run(storage, database, parameters);
        self.scanned.insert(database, Instant::now());
        if outcome.is_ok() && !parameters.continuous {
            storage.capture().with(database, |capture| capture.capture = None);
        }
    }

    fn clean_if_due(&mut self, storage: &Arc<Storage>, database: DatabaseId) {
        let now = storage.clock().now();
        let hours = u64::try_from(now.days).unwrap_or(0) * 24 + now.ticks / TICKS_PER_HOUR;
        let period = match storage.edition() {
            Edition::AzureSqlDatabase => hours,
            Edition::Developer | Edition::Express | Edition::ManagedInstance => hours.saturating_sub(CLEANUP_HOUR) / 24,
        };
        // The first look only notes the period: cleanup runs when the next one begins.
        let before = self.cleaned.insert(database, period);
        if before.is_some_and(|before| before != period) && cleanup::run(storage, database).is_err() {
            // A deadlock, say: it is due again at the next tick.
            self.cleaned.insert(database, period.wrapping_sub(1));
        }
    }
}
