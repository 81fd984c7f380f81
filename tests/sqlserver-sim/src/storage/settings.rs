//! What `sp_configure` sets for the whole server, and what sequences have given.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::catalog::{DatabaseId, ObjectId};

/// The server's settings.
#[derive(Debug, Default)]
pub struct Settings(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Options that were given a value, by name, whether or not it is in use yet.
    configured: HashMap<&'static str, i64>,
    /// Options that run with another value than their first.
    running: HashMap<&'static str, i64>,
    /// The value that each sequence gave last. No rollback takes one back.
    sequences: HashMap<(DatabaseId, ObjectId), i128>,
}

impl Settings {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an option is set to, and what it runs with; `first` where it was never set.
    pub fn option(&self, name: &'static str, first: i64) -> (i64, i64) {
        let inner = self.inner();
        let running = inner.running.get(name).copied().unwrap_or(first);
        (inner.configured.get(name).copied().unwrap_or(running), running)
    }

    /// Sets an option; it runs with the value once [`Self::reconfigure`] is called.
    pub fn configure(&self, name: &'static str, value: i64) {
        self.inner().configured.insert(name, value);
    }

    /// Lets all options run with what they are set to. Gives those that were set.
    pub fn reconfigure(&self) -> Vec<(&'static str, i64)> {
        let mut inner = self.inner();
        let set: Vec<(&'static str, i64)> = inner.configured.drain().collect();
        inner.running.extend(set.iter().copied());
        set
    }

    /// The next value of a sequence: what `next` makes of the one before, which is None at first.
    ///
    /// # Errors
    /// Those of `next`, which leave the sequence as it was.
    pub fn advance_sequence<E>(
        &self,
        sequence: (DatabaseId, ObjectId),
        next: impl FnOnce(Option<i128>) -> Result<i128, E>,
    ) -> Result<i128, E> {
        let mut inner = self.inner();
        let value = next(inner.sequences.get(&sequence).copied())?;
        inner.sequences.insert(sequence, value);
        Ok(value)
    }

    /// The value that a sequence gave last; None before the first.
    pub fn sequence_last(&self, sequence: (DatabaseId, ObjectId)) -> Option<i128> {
        self.inner().sequences.get(&sequence).copied()
    }

    /// Lets a sequence begin anew.
    pub fn restart_sequence(&self, sequence: (DatabaseId, ObjectId)) {
        self.inner().sequences.remove(&sequence);
    }
}
