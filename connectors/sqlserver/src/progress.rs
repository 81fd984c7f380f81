//! How far the stream is, as far as other calls have to know it.

use tokio::sync::watch;

use crate::position::{Lsn, SqlServerPosition};

/// Shared by the stream and by everything else that makes positions.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: watch::Sender<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    epoch: u16,
    reached: Lsn,
    acknowledged: Lsn,
    scanned: Lsn,
}

impl Progress {
    /// The stream follows the log in this epoch from now on, and has reached this LSN.
    pub(crate) fn follow(&self, epoch: u16, from: Lsn) {
        self.state.send_modify(|state| {
            let former = if state.epoch == epoch { *state } else { State::default() };
            *state = State { epoch, reached: from, ..former };
        });
    }

    /// The stream is about to hand over everything up to this LSN.
    pub(crate) fn reach(&self, lsn: Lsn) {
        self.state.send_modify(|state| state.reached = state.reached.max(lsn));
    }

    /// Everything up to here is durable, maybe since a former run of the process.
    pub(crate) fn acknowledge(&self, position: &SqlServerPosition) {
        self.state.send_modify(|state| {
            if position.epoch > state.epoch {
                *state = State { epoch: position.epoch, ..State::default() };
            }
            if position.epoch == state.epoch {
                state.reached = state.reached.max(position.lsn);
                state.acknowledged = state.acknowledged.max(position.lsn);
            }
        });
    }

    /// Everything up to here was seen to have been scanned, or further before: gives the furthest of this epoch.
    pub(crate) fn scanned(&self, lsn: Lsn) -> Lsn {
        self.state.send_modify(|state| state.scanned = state.scanned.max(lsn));
        self.state.borrow().scanned
    }

    /// Waits until everything up to here was seen to have been scanned, or until the log is another.
    pub(crate) async fn until_scanned(&self, lsn: Lsn) {
        let mut states = self.state.subscribe();
        let epoch = states.borrow_and_update().epoch;
        // It can't fail, as the sender is at hand.
        let _state = states.wait_for(|state| state.scanned >= lsn || state.epoch != epoch).await;
    }

    /// How far the stream has come.
    pub(crate) fn reached(&self) -> Lsn {
        self.state.borrow().reached
    }

    /// How far the sink has made everything durable.
    pub(crate) fn acknowledged(&self) -> Lsn {
        self.state.borrow().acknowledged
    }

    /// The log isn't the one that was followed in `epoch`: what comes next is in the epoch after it.
    pub(crate) fn lose(&self, epoch: u16) {
        self.state.send_modify(|state| {
            if state.epoch <= epoch {
                *state = State { epoch: epoch.saturating_add(1), ..State::default() };
            }
        });
    }

    /// The epoch of positions made now.
    pub(crate) fn epoch(&self) -> u16 {
        self.state.borrow().epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lsn(block: u32) -> Lsn {
        Lsn::new(1, block, 1)
    }

    #[test]
    fn a_former_run_tells_the_epoch() {
        let progress = Progress::default();
        progress.acknowledge(&SqlServerPosition::at(3, lsn(7)));
        assert_eq!((progress.epoch(), progress.reached(), progress.acknowledged()), (3, lsn(7), lsn(7)));
        progress.follow(3, lsn(7));
        progress.reach(lsn(9));
        progress.acknowledge(&SqlServerPosition::at(3, lsn(8)));
        assert_eq!((progress.reached(), progress.acknowledged()), (lsn(9), lsn(8)));
    }

    #[test]
    fn what_was_scanned_stays_scanned_within_an_epoch() {
        let progress = Progress::default();
        assert_eq!(progress.scanned(lsn(7)), lsn(7));
        assert_eq!(progress.scanned(lsn(5)), lsn(7), "the view of scans had been emptied");
        progress.follow(0, lsn(6));
        assert_eq!(progress.scanned(Lsn::ZERO), lsn(7));
        progress.lose(0);
        assert_eq!(progress.scanned(lsn(2)), lsn(2), "another log");
    }

    #[test]
    fn a_lost_log_begins_the_next_epoch_once() {
        let progress = Progress::default();
        progress.follow(1, lsn(7));
        progress.lose(1);
        progress.lose(1);
        assert_eq!((progress.epoch(), progress.reached()), (2, Lsn::ZERO));
        progress.acknowledge(&SqlServerPosition::at(1, lsn(7)));
        assert_eq!((progress.epoch(), progress.acknowledged()), (2, Lsn::ZERO), "that log is lost");
    }

    #[tokio::test]
    async fn a_place_is_waited_for_until_it_is_scanned_or_in_another_log() {
        use futures::FutureExt;
        let progress = Progress::default();
        progress.until_scanned(Lsn::ZERO).await;
        let mut waiting = Box::pin(progress.until_scanned(lsn(7)));
        progress.scanned(lsn(6));
        assert!(waiting.as_mut().now_or_never().is_none());
        progress.scanned(lsn(7));
        waiting.await;
        let mut waiting = Box::pin(progress.until_scanned(lsn(9)));
        assert!(waiting.as_mut().now_or_never().is_none());
        progress.lose(0);
        waiting.await;
    }
}
