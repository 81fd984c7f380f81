//! Growing pauses between attempts.

use std::time::Duration;

/// The next pause is twice the last, from a tenth of a second to half a minute.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    const PAUSE_MIN: Duration = Duration::from_millis(100);
    pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(30);

    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = Self::PAUSE_MIN.saturating_mul(2_u32.saturating_pow(self.attempts)).min(Self::PAUSE_MAX);
        self.attempts = self.attempts.saturating_add(1);
        pause
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
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
}
