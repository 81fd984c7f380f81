//! How far the stream is, as far as other calls have to know it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::position::Lsn;

/// Shared by the stream and by everything else that makes positions.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    epoch: u16,
    reached: Lsn,
}

impl Progress {
    /// The stream follows the log in this epoch from now on, from this LSN.
    pub(crate) fn follow(&self, epoch: u16, from: Lsn) {
        *self.lock() = State { epoch, reached: from };
    }

    /// The stream is about to hand over everything up to this LSN.
    pub(crate) fn reach(&self, lsn: Lsn) {
        let mut state = self.lock();
        state.reached = state.reached.max(lsn);
    }

    /// How far the stream has come; what is read now lies behind it in any case, since it reads from the same
    /// database.
    pub(crate) fn reached(&self) -> Lsn {
        self.lock().reached
    }

    /// The log isn't the one that was followed in `epoch`: what comes next is in the epoch after it.
    pub(crate) fn lose(&self, epoch: u16) {
        *self.lock() = State { epoch: epoch.saturating_add(1), reached: Lsn::ZERO };
    }

    /// The epoch of positions made now.
    pub(crate) fn epoch(&self) -> u16 {
        self.lock().epoch
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
