//! The server's clock: that of the machine, or one that a test sets.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::value::Moment;

const TICKS_PER_SECOND: i128 = 10_000_000;

/// In UTC.
#[derive(Debug)]
pub struct Clock(Mutex<Time>);

#[derive(Clone, Copy, Debug)]
enum Time {
    /// The machine's, moved by so many ticks.
    Real { ahead: i128 },
    /// Ticks since 1970; stands still until it is moved.
    Manual(i128),
}

impl Clock {
    pub fn real() -> Self {
        Self(Mutex::new(Time::Real { ahead: 0 }))
    }

    /// A clock that stands at this time since 1970.
    pub fn manual(since_1970: Duration) -> Self {
        Self(Mutex::new(Time::Manual(ticks(since_1970))))
    }

    pub fn now(&self) -> Moment {
        let ticks = match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Time::Manual(ticks) => ticks,
            Time::Real { ahead } => {
                ticks(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)) + ahead
            }
        };
        Moment::from_unix_ticks(ticks).unwrap_or(Moment { days: 0, ticks: 0 })
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Time::Manual(now) => *now += ticks(by),
            Time::Real { ahead } => *ahead += ticks(by),
        }
    }
}

fn ticks(duration: Duration) -> i128 {
    i128::from(duration.as_secs()) * TICKS_PER_SECOND + i128::from(duration.subsec_nanos() / 100)
}
