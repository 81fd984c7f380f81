//! How far the stream is, as far as other calls have to know it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::position::{MySqlPosition, ServerIdentity};

/// Shared by the stream and by everything else that makes positions.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
    alarm: watch::Sender<Option<Alarm>>,
}

#[derive(Debug, Default)]
struct State {
    followed: Option<Followed>,
    reached: Option<Reached>,
}

/// Which log is being followed.
#[derive(Debug, Clone)]
struct Followed {
    server: ServerIdentity,
    stem: String,
    epoch: u16,
    /// How often the server had been told to RESET something when the stream began.
    resets: Option<u64>,
}

/// A place that reads may not lie before.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub(crate) position: MySqlPosition,
    pub(crate) at: Instant,
}

/// Ends the stream that is in use.
#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    /// The epoch of the stream.
    pub(crate) epoch: u16,
    /// Whether its log certainly isn't there any more. Otherwise the stream has to begin anew to find out.
    pub(crate) is_lost: bool,
    /// Why.
    pub(crate) reason: String,
}

impl Progress {
    /// Where a former run of the process stopped. What this run knows better stays.
    pub(crate) fn resume(&self, position: &MySqlPosition) {
        let mut state = self.lock();
        if state.followed.is_none() {
            state.followed = Some(Followed::of(position));
            state.reached = Some(Reached { position: position.clone(), at: Instant::now() });
        }
    }

    /// A stream follows the log of this place from now on, in its epoch, and has reached the place. `resets` is from
    /// before it was found to be the right log.
    pub(crate) fn follow(&self, position: &MySqlPosition, resets: Option<u64>) {
        let mut state = self.lock();
        self.alarm.send_replace(None);
        state.followed = Some(Followed { resets, ..Followed::of(position) });
        state.reached = Some(Reached { position: position.clone(), at: Instant::now() });
    }

    /// Called before what lies before this position is relied on: handed over, or left to reads.
    pub(crate) fn reach(&self, position: &MySqlPosition) {
        let mut state = self.lock();
        // A stream that hasn't heard yet that its log is lost goes on for a moment.
        if state.followed.as_ref().is_none_or(|followed| followed.epoch == position.epoch) {
            state.reached = Some(Reached { position: position.clone(), at: Instant::now() });
        }
    }

    pub(crate) fn reached(&self) -> Option<Reached> {
        self.lock().reached.clone()
    }

    /// The epoch of positions in the log with this server and this stem of its files' names. Another log than the one
    /// followed will be followed next, if at all, and then in the next epoch.
    pub(crate) fn epoch(&self, server: ServerIdentity, stem: &str) -> u16 {
        match &self.lock().followed {
            Some(followed) if followed.server == server && followed.stem == stem => followed.epoch,
            Some(followed) => followed.epoch.saturating_add(1),
            None => 0,
        }
    }

    /// The log that this position lies in isn't there any more, or doesn't hold what follows it. Whatever comes is
    /// another log, with an epoch of its own, even if the files have the same names.
    pub(crate) fn lose(&self, position: &MySqlPosition, reason: &str) {
        let mut state = self.lock();
        if state.followed.as_ref().is_some_and(|followed| followed.epoch > position.epoch) {
            return;
        }
        let mut next = Followed::of(position);
        next.epoch = next.epoch.saturating_add(1);
        state.followed = Some(next);
        state.reached = None;
        self.alarm.send_replace(Some(Alarm { epoch: position.epoch, is_lost: true, reason: reason.to_owned() }));
    }

    /// Takes in how often this server was told to RESET something; tells whether that may have been the log that is
    /// being followed, in which case the stream is ended.
    pub(crate) fn is_doubtful(&self, server: ServerIdentity, resets: Option<u64>) -> bool {
        let state = self.lock();
        let Some(followed) = &state.followed else { return false };
        let doubtful = followed.server == server && followed.resets.is_some() && followed.resets != resets;
        if doubtful {
            let reason = "the server was told to RESET something, perhaps its log".to_owned();
            self.alarm.send_replace(Some(Alarm { epoch: followed.epoch, is_lost: false, reason }));
        }
        doubtful
    }

    /// Tells when the stream in use has to end.
    pub(crate) fn alarms(&self) -> watch::Receiver<Option<Alarm>> {
        self.alarm.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    fn of(position: &MySqlPosition) -> Self {
        let MySqlPosition { server, epoch, file, .. } = position;
        Self { server: *server, stem: file.stem().to_owned(), epoch: *epoch, resets: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str) -> MySqlPosition {
        text.parse().unwrap()
    }

    #[test]
    fn every_log_has_an_epoch_of_its_own() {
        let progress = Progress::default();
        let here = position("binlog.000007:500 server=1 epoch=3");
        assert_eq!(progress.epoch(here.server, "binlog"), 0, "nothing is known yet");
        progress.resume(&here);
        assert_eq!(progress.epoch(here.server, "binlog"), 3);
        assert_eq!(progress.epoch(here.server, "other"), 4);
        assert_eq!(progress.epoch(ServerIdentity::Id(2), "binlog"), 4);
        progress.lose(&here, "it was reset");
        progress.lose(&here, "it was reset, says another call");
        assert_eq!(progress.epoch(here.server, "binlog"), 4);
        assert!(progress.reached().is_none());
        progress.reach(&here);
        assert!(progress.reached().is_none(), "that log is lost");
        let alarm = progress.alarms().borrow().clone().unwrap();
        assert!(alarm.is_lost && alarm.epoch == 3);
    }

    #[test]
    fn a_reset_ends_the_stream_that_began_before_it() {
        let progress = Progress::default();
        let here = position("binlog.000007:500 server=1");
        progress.follow(&here, Some(2));
        assert!(!progress.is_doubtful(here.server, Some(2)));
        assert!(!progress.is_doubtful(ServerIdentity::Id(2), Some(9)), "another server");
        assert!(progress.is_doubtful(here.server, Some(3)));
        assert!(progress.alarms().borrow().as_ref().is_some_and(|alarm| !alarm.is_lost));
        progress.follow(&here, Some(3));
        assert!(progress.alarms().borrow().is_none() && !progress.is_doubtful(here.server, Some(3)));
    }
}
