//! Locks on things larger than a row, and waiting, for those and for rows alike.
//!
//! A row is locked by the transaction whose stamp it bears; who meets such a row waits here for that transaction. One
//! graph holds who waits for whom, so that circles through rows and tables are found alike. Who would close a circle is
//! its victim.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{SqlError, SqlResult};

use super::catalog::{DatabaseId, ObjectId};

/// How often a waiting request looks whether it has been cancelled.
const CANCEL_CHECK_MILLIS: u64 = 20;

/// A transaction's number, from 1.
pub type TransactionId = u64;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Resource {
    Table(DatabaseId, ObjectId),
    /// A name that is being given or taken away: schema and name in lower case.
    Name(DatabaseId, i32, String),
    /// A name that programs agree on (`sp_getapplock`).
    Application(DatabaseId, String),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LockMode {
    SchemaStability,
    IntentShared,
    Shared,
    IntentExclusive,
    Exclusive,
    SchemaModification,
}

impl LockMode {
    fn admits(self, other: Self) -> bool {
        use LockMode::{Exclusive, IntentExclusive, IntentShared, SchemaModification, SchemaStability, Shared};
        match (self.min(other), self.max(other)) {
            (_, SchemaModification) => false,
            (SchemaStability, _) => true,
            (_, Exclusive) => false,
            (IntentShared, _) => true,
            (Shared, Shared) | (IntentExclusive, IntentExclusive) => true,
            _ => false,
        }
    }
}

/// How long a lock is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockDuration {
    Statement,
    Transaction,
}

/// Who waits, and how long at most.
pub(super) struct Waiter<'a> {
    pub transaction: TransactionId,
    pub process: u32,
    pub cancelled: &'a AtomicBool,
    /// None waits for ever.
    pub timeout: Option<Duration>,
    /// Its rank in deadlocks: the lowest is the victim.
    pub priority: i8,
}

impl Waiter<'_> {
    /// Until when it waits if it begins to now; None for ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.timeout.map(|timeout| Instant::now() + timeout)
    }
}

#[derive(Debug, Default)]
pub(super) struct Locks {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    resources: HashMap<Resource, Queue>,
    /// Which resources a transaction has locks on.
    held_by: HashMap<TransactionId, HashSet<Resource>>,
    waits: HashMap<TransactionId, Waiting>,
    /// Counts whatever may let a waiting transaction go on.
    generation: u64,
}

#[derive(Debug)]
struct Waiting {
    holders: Vec<TransactionId>,
    priority: i8,
}

#[derive(Debug, Default)]
struct Queue {
    held: Vec<Held>,
    /// In the order of their coming, so that nobody starves.
    waiting: Vec<(TransactionId, LockMode)>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    owner: TransactionId,
    mode: LockMode,
    duration: LockDuration,
}

impl Locks {
    /// A state that no panic leaves half changed: each change is one call on a collection.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be read before looking at a row, and given to [`Self::wait`] after.
    pub fn generation(&self) -> u64 {
        self.state().generation
    }

    /// Tells everybody who waits that something was let go.
    pub fn touch(&self) {
        self.state().generation += 1;
        self.changed.notify_all();
    }

    /// Waits until something was let go since `generation`, which need not be the row that is waited for. So the deadline
    /// is of the row's first wait.
    ///
    /// # Errors
    /// 1205 where the wait would close a circle, 1222 after the deadline, and the mark of cancellation.
    pub fn wait(
        &self,
        waiter: &Waiter<'_>,
        holder: TransactionId,
        generation: u64,
        deadline: Option<Instant>,
    ) -> SqlResult<()> {
        let state = self.state();
        if state.generation != generation {
            return Ok(());
        }
        self.wait_in(state, waiter, vec![holder], deadline).map(drop)
    }

    fn wait_in<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        waiter: &Waiter<'_>,
        holders: Vec<TransactionId>,
        deadline: Option<Instant>,
    ) -> SqlResult<MutexGuard<'a, State>> {
        let generation = state.generation;
        state.waits.insert(waiter.transaction, Waiting { holders, priority: waiter.priority });
        let outcome = loop {
            if state.generation != generation {
                break Ok(());
            }
            if state.is_victim(waiter) {
                break Err(SqlError::deadlock(waiter.process));
            }
            if waiter.cancelled.load(Ordering::Relaxed) {
                break Err(SqlError::cancelled());
            }
            let mut pause = Duration::from_millis(CANCEL_CHECK_MILLIS);
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break Err(SqlError::lock_timeout());
                }
                pause = pause.min(left);
            }
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        };
        state.waits.remove(&waiter.transaction);
        outcome.map(|()| state)
    }

    /// Takes a lock, waiting for those whom it must wait for.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn acquire(
        &self,
        waiter: &Waiter<'_>,
        resource: &Resource,
        mode: LockMode,
        duration: LockDuration,
    ) -> SqlResult<()> {
        let deadline = waiter.deadline();
        let me = waiter.transaction;
        let mut state = self.state();
        loop {
            let queue = state.resources.entry(resource.clone()).or_default();
            let blockers = queue.blockers(me, mode);
            if blockers.is_empty() {
                queue.waiting.retain(|(owner, _)| *owner != me);
                queue.hold(Held { owner: me, mode, duration });
                state.held_by.entry(me).or_default().insert(resource.clone());
                return Ok(());
            }
            if !queue.waiting.iter().any(|(owner, _)| *owner == me) {
                queue.waiting.push((me, mode));
            }
            match self.wait_in(state, waiter, blockers, deadline) {
                Ok(guard) => state = guard,
                Err(error) => {
                    self.leave(resource, me);
                    return Err(error);
                }
            }
        }
    }

    fn leave(&self, resource: &Resource, owner: TransactionId) {
        let mut state = self.state();
        if let Some(queue) = state.resources.get_mut(resource) {
            queue.waiting.retain(|(waiting, _)| *waiting != owner);
        }
        state.forget_if_free(resource);
        state.generation += 1;
        self.changed.notify_all();
    }

    /// Lets go of a transaction's locks: all of them, or those of its statement.
    pub fn release(&self, owner: TransactionId, only_of_statement: bool) {
        let mut state = self.state();
        let Some(resources) = state.held_by.remove(&owner) else {
            if !only_of_statement {
                state.generation += 1;
                self.changed.notify_all();
            }
            return;
        };
        let mut kept = HashSet::new();
        for resource in resources {
            if let Some(queue) = state.resources.get_mut(&resource) {
                queue.held.retain(|held| {
                    held.owner != owner || (only_of_statement && held.duration == LockDuration::Transaction)
                });
                if queue.held.iter().any(|held| held.owner == owner) {
                    kept.insert(resource.clone());
                }
            }
            state.forget_if_free(&resource);
        }
        if !kept.is_empty() {
            state.held_by.insert(owner, kept);
        }
        state.generation += 1;
        self.changed.notify_all();
    }

    /// Lets go of one lock (`sp_releaseapplock`). False where it isn't held.
    pub fn release_one(&self, owner: TransactionId, resource: &Resource) -> bool {
        let mut state = self.state();
        let held = state.held_by.get_mut(&owner).is_some_and(|resources| resources.remove(resource));
        if let Some(queue) = state.resources.get_mut(resource) {
            queue.held.retain(|held| held.owner != owner);
        }
        state.forget_if_free(resource);
        state.generation += 1;
        self.changed.notify_all();
        held
    }
}

impl State {
    /// Whether the wait is one of a circle of which nobody else has a lower priority. Of equals the one that closes the
    /// circle is the first to look.
    fn is_victim(&self, waiter: &Waiter<'_>) -> bool {
        // A circle without anybody of a lower priority: those are left out, and look for themselves.
        let (start, priority) = (waiter.transaction, waiter.priority);
        let waits_for = |transaction: &TransactionId| {
            let waiting = self.waits.get(transaction).filter(|waiting| waiting.priority >= priority);
            waiting.into_iter().flat_map(|waiting| waiting.holders.iter().copied())
        };
        let mut seen = HashSet::new();
        let mut open: Vec<TransactionId> = waits_for(&start).collect();
        while let Some(transaction) = open.pop() {
            if transaction == start {
                return true;
            }
            if seen.insert(transaction) {
                open.extend(waits_for(&transaction));
            }
        }
        false
    }

    fn forget_if_free(&mut self, resource: &Resource) {
        if self.resources.get(resource).is_some_and(|queue| queue.held.is_empty() && queue.waiting.is_empty()) {
            self.resources.remove(resource);
        }
    }
}

impl Queue {
    /// Who must go before `owner` may have `mode`. Who already holds a lock here doesn't queue behind others, as they
    /// may be waiting for it.
    fn blockers(&self, owner: TransactionId, mode: LockMode) -> Vec<TransactionId> {
        let mut blockers: Vec<TransactionId> = self
            .held
            .iter()
            .filter(|held| held.owner != owner && !held.mode.admits(mode))
            .map(|held| held.owner)
            .collect();
        if !self.held.iter().any(|held| held.owner == owner) {
            let before = self.waiting.iter().take_while(|(waiting, _)| *waiting != owner);
            blockers.extend(before.filter(|(_, other)| !other.admits(mode)).map(|(waiting, _)| *waiting));
        }
        blockers
    }

    fn hold(&mut self, new: Held) {
        let same = self.held.iter_mut().find(|held| held.owner == new.owner && held.mode == new.mode);
        match same {
            Some(held) if new.duration == LockDuration::Transaction => held.duration = LockDuration::Transaction,
            Some(_) => {}
            None => self.held.push(new),
        }
    }
}

/// A flag that is never set, for work that nobody cancels.
pub fn never_cancelled() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use LockMode::{Exclusive, IntentExclusive, IntentShared, SchemaModification, SchemaStability, Shared};

    const TABLE: Resource = Resource::Table(DatabaseId(5), ObjectId(7));

    fn waiter(transaction: TransactionId, cancelled: &AtomicBool, millis: Option<u64>) -> Waiter<'_> {
        Waiter { transaction, process: 51, cancelled, timeout: millis.map(Duration::from_millis), priority: 0 }
    }

    #[test]
    fn modes_admit_each_other_as_documented() {
        let modes = [SchemaStability, IntentShared, Shared, IntentExclusive, Exclusive, SchemaModification];
        let admitted: Vec<String> =
            modes.iter().map(|a| modes.iter().map(|b| if a.admits(*b) { 'y' } else { 'n' }).collect()).collect();
        assert_eq!(admitted, ["yyyyyn", "yyyynn", "yyynnn", "yynynn", "ynnnnn", "nnnnnn"]);
    }

    #[test]
    fn who_waits_too_long_gets_1222() {
        let (locks, free) = (Locks::default(), AtomicBool::new(false));
        locks.acquire(&waiter(1, &free, None), &TABLE, Exclusive, LockDuration::Transaction).unwrap();
        let error = locks.acquire(&waiter(2, &free, Some(0)), &TABLE, Shared, LockDuration::Statement).unwrap_err();
        assert_eq!(error.number, 1222);
        locks.release(1, false);
        locks.acquire(&waiter(2, &free, Some(0)), &TABLE, Shared, LockDuration::Statement).unwrap();
    }

    /// Others' locks that were let go meanwhile made the wait begin anew.
    #[test]
    fn the_deadline_of_a_wait_for_a_row_stays() {
        const LONG: Duration = Duration::from_secs(10);
        let (locks, free, done) = (Locks::default(), AtomicBool::new(false), AtomicBool::new(false));
        let waiting = waiter(2, &free, Some(50));
        let (deadline, began) = (waiting.deadline(), Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) && began.elapsed() < LONG {
                    locks.touch();
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let error = loop {
                if let Err(error) = locks.wait(&waiting, 1, locks.generation(), deadline) {
                    break error;
                }
            };
            done.store(true, Ordering::Relaxed);
            assert_eq!(error.number, 1222);
            assert!(began.elapsed() < LONG, "it began anew");
        });
    }

    #[test]
    fn the_lowest_priority_is_the_victim() {
        let (locks, free) = (Arc::new(Locks::default()), Arc::new(AtomicBool::new(false)));
        let other = Resource::Table(DatabaseId(5), ObjectId(8));
        locks.acquire(&waiter(1, &free, None), &TABLE, Exclusive, LockDuration::Transaction).unwrap();
        locks.acquire(&waiter(2, &free, None), &other, Exclusive, LockDuration::Transaction).unwrap();
        let first = {
            let (locks, free, other) = (Arc::clone(&locks), Arc::clone(&free), other.clone());
            std::thread::spawn(move || {
                let low = Waiter { priority: -5, ..waiter(1, &free, None) };
                let outcome = locks.acquire(&low, &other, Exclusive, LockDuration::Transaction);
                locks.release(1, false);
                outcome.map_err(|error| error.number)
            })
        };
        // Whichever comes last, the second isn't the victim.
        locks.acquire(&waiter(2, &free, None), &TABLE, Exclusive, LockDuration::Transaction).unwrap();
        assert_eq!(first.join().unwrap(), Err(1205));
    }

    #[test]
    fn who_closes_a_circle_gets_1205() {
        let (locks, free) = (Arc::new(Locks::default()), Arc::new(AtomicBool::new(false)));
        let other = Resource::Table(DatabaseId(5), ObjectId(8));
        locks.acquire(&waiter(1, &free, None), &TABLE, Exclusive, LockDuration::Transaction).unwrap();
        locks.acquire(&waiter(2, &free, None), &other, Exclusive, LockDuration::Transaction).unwrap();
        let first = {
            let (locks, free, other) = (Arc::clone(&locks), Arc::clone(&free), other.clone());
            std::thread::spawn(move || {
                locks.acquire(&waiter(1, &free, None), &other, Exclusive, LockDuration::Transaction)
            })
        };
        while locks.state().waits.is_empty() {
            std::thread::yield_now();
        }
        let error = locks.acquire(&waiter(2, &free, None), &TABLE, Exclusive, LockDuration::Transaction).unwrap_err();
        assert_eq!(error.number, 1205);
        locks.release(2, false);
        first.join().unwrap().unwrap();
    }

    #[test]
    fn readers_queue_behind_a_waiting_schema_change() {
        let (locks, free) = (Arc::new(Locks::default()), Arc::new(AtomicBool::new(false)));
        locks.acquire(&waiter(1, &free, None), &TABLE, IntentShared, LockDuration::Statement).unwrap();
        let change = {
            let (locks, free) = (Arc::clone(&locks), Arc::clone(&free));
            std::thread::spawn(move || {
                locks.acquire(&waiter(2, &free, None), &TABLE, SchemaModification, LockDuration::Transaction)
            })
        };
        while locks.state().waits.is_empty() {
            std::thread::yield_now();
        }
        let late = locks.acquire(&waiter(3, &free, Some(0)), &TABLE, IntentShared, LockDuration::Statement);
        assert_eq!(late.unwrap_err().number, 1222);
        locks.acquire(&waiter(1, &free, Some(0)), &TABLE, IntentShared, LockDuration::Statement).unwrap();
        locks.release(1, true);
        change.join().unwrap().unwrap();
    }
}
