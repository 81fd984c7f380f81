//! Rates over the last seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how long a rate is taken.
const WINDOW: Duration = Duration::from_secs(5);

/// Counts, and how fast the count has grown lately.
pub(super) struct Meter {
    total: u64,
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { total: 0, samples: VecDeque::from([(Instant::now(), 0)]) }
    }

    pub(super) fn add(&mut self, count: u64) {
        self.total += count;
    }

    /// The growth a second since the window's begin. Called at every tick, which is what bounds the samples.
    pub(super) fn sample(&mut self) -> f64 {
        let now = Instant::now();
        while self.samples.len() > 1 && self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.samples.pop_front();
        }
        let (since, before) = self.samples.front().copied().unwrap_or((now, self.total));
        self.samples.push_back((now, self.total));
        let seconds = now.duration_since(since).as_secs_f64();
        if seconds > 0.0 { (self.total - before) as f64 / seconds } else { 0.0 }
    }
}
