//! How far the stream is, as far as other calls have to know it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::gtid::GtidSet;
use crate::position::{LogFile, MySqlPosition, ServerIdentity};

/// Shared by the stream and by everything else that makes positions.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    followed: Option<Followed>,
    reached: Option<Reached>,
}

/// Whose log is being followed.
#[derive(Debug, Clone, Copy)]
struct Followed {
    server: ServerIdentity,
    epoch: u16,
}

/// A place that reads may not lie before.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub(crate) file: LogFile,
    pub(crate) offset: u64,
    pub(crate) gtid: Option<GtidSet>,
    pub(crate) at: Instant,
}

impl Progress {
    /// The stream follows this server's log from now on, in this epoch.
    pub(crate) fn follow(&self, server: ServerIdentity, epoch: u16) {
        self.lock().followed = Some(Followed { server, epoch });
    }

    /// Called before what lies before this position is relied on: handed over, or left to reads.
    pub(crate) fn reach(&self, position: &MySqlPosition) {
        self.lock().reached = Some(Reached {
            file: position.file.clone(),
            offset: position.offset,
            gtid: position.gtid.clone(),
            at: Instant::now(),
        });
    }

    pub(crate) fn reached(&self) -> Option<Reached> {
        self.lock().reached.clone()
    }

    /// The epoch of positions in this server's log. Another server than the one followed will be followed next, if at
    /// all, and then in the next epoch.
    pub(crate) fn epoch(&self, server: ServerIdentity) -> u16 {
        match self.lock().followed {
            Some(followed) if followed.server == server => followed.epoch,
            Some(followed) => followed.epoch.saturating_add(1),
            None => 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
