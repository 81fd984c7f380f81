//! Growing pauses between attempts.

use std::time::Duration;

/// The next pause is twice the last, from a tenth of a second to half a minute.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
    last_pause: Duration,
}

impl Backoff {
    const PAUSE_MIN: Duration = Duration::from_millis(100);
    pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(30);

    /// As it is after so many attempts that failed elsewhere.
    pub(crate) fn after(attempts: u32) -> Self {
        Self { attempts, ..Self::default() }
    }

    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = Self::PAUSE_MIN.saturating_mul(2_u32.saturating_pow(self.attempts)).min(Self::PAUSE_MAX);
        self.attempts = self.attempts.saturating_add(1);
        self.last_pause = pause;
        pause
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// What was tried has worked for so long by now. Only beyond the last pause that is a success: what works for a
    /// moment and fails again, each time, would otherwise be tried ten times a second for ever.
    pub(crate) fn worked_for(&mut self, duration: Duration) {
        if duration >= self.last_pause {
            self.reset();
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_start_over() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..12).map(|_| backoff.next_pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]);
        backoff.reset();
        assert_eq!(backoff.next_pause().as_millis(), 100);
    }

    #[test]
    fn what_works_for_a_moment_only_is_tried_less_and_less() {
        let mut backoff = Backoff::default();
        for expected in [100, 200, 400, 800] {
            assert_eq!(backoff.next_pause().as_millis(), expected);
            backoff.worked_for(Duration::from_millis(90));
        }
        backoff.worked_for(Duration::from_millis(800));
        assert_eq!((backoff.attempts(), backoff.next_pause().as_millis()), (0, 100));
    }
}
