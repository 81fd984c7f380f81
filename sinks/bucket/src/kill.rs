//! Places at which a test can have the process killed.
//!
//! The environment variable `MILLSTREAM_KILL_AT`, read once when the sink is opened, holds one or several places with
//! counts, separated by commas: `before_commit:3,mid_sweep:1` kills the process, as `kill -9` would, the third time
//! that it is about to commit, or the first time that a sweep is half done, whichever comes first. Without it a place
//! costs one look at an empty list. The places are the variants of [`KillPoint`] in lower case with underscores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_core::error::SinkError;

/// The environment variable.
pub const VARIABLE: &str = "MILLSTREAM_KILL_AT";

/// A place at which the process can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillPoint {
    /// Before a batch is given to the store.
    BeforeCommit,
    /// After the store has taken it, before anybody has been told.
    AfterCommit,
    /// After one of the steps by which rows of a first load are stored.
    MidLoad,
    /// Between two slices of a sweep's removals.
    MidSweep,
    /// Between two slices of a clear.
    MidClear,
    /// Between two slices of publishing a loaded table.
    MidPublish,
    /// After a new sync config has been switched to, while the old one's buckets are being removed.
    MidSwitch,
    /// Between two slices of a compaction.
    MidCompaction,
}

impl KillPoint {
    /// Every place.
    pub const ALL: [KillPoint; 8] = [
        KillPoint::BeforeCommit,
        KillPoint::AfterCommit,
        KillPoint::MidLoad,
        KillPoint::MidSweep,
        KillPoint::MidClear,
        KillPoint::MidPublish,
        KillPoint::MidSwitch,
        KillPoint::MidCompaction,
    ];

    /// Its name in the environment variable.
    pub fn name(self) -> &'static str {
        match self {
            KillPoint::BeforeCommit => "before_commit",
            KillPoint::AfterCommit => "after_commit",
            KillPoint::MidLoad => "mid_load",
            KillPoint::MidSweep => "mid_sweep",
            KillPoint::MidClear => "mid_clear",
            KillPoint::MidPublish => "mid_publish",
            KillPoint::MidSwitch => "mid_switch",
            KillPoint::MidCompaction => "mid_compaction",
        }
    }
}

/// The places that are armed, with how many times each is still passed. Clones count together.
#[derive(Debug, Default, Clone)]
pub(crate) struct KillPoints {
    armed: Arc<[(KillPoint, AtomicU64)]>,
}

impl KillPoints {
    /// What the environment asks for. A misspelt place is an error: a test that never kills must not pass.
    pub(crate) fn from_environment() -> Result<KillPoints, SinkError> {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text),
            Err(_) => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> Result<KillPoints, SinkError> {
        let mut armed = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, count) = part.split_once(':').unwrap_or((part, "1"));
            let point = KillPoint::ALL.into_iter().find(|point| point.name() == name);
            match (point, count.parse()) {
                (Some(point), Ok(count)) if count > 0 => armed.push((point, AtomicU64::new(count))),
                _ => return Err(unknown(part)),
            }
        }
        Ok(KillPoints { armed: armed.into() })
    }

    /// Passes a place, or dies there.
    pub(crate) fn pass(&self, point: KillPoint) {
        for (armed, left) in self.armed.iter() {
            if *armed == point && left.fetch_sub(1, Ordering::Relaxed) == 1 {
                std::process::abort();
            }
        }
    }
}

fn unknown(part: &str) -> SinkError {
    let names: Vec<_> = KillPoint::ALL.iter().map(|point| point.name()).collect();
    SinkError::new(
        format!("The environment variable {VARIABLE} names no place to be killed at: {part}"),
        format!("Unset it, or write PLACE:COUNT with one of {}", names.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_by_name() {
        let points = KillPoints::parse("before_commit:3, mid_sweep").unwrap();
        let armed: Vec<_> = points.armed.iter().map(|(point, left)| (*point, left.load(Ordering::Relaxed))).collect();
        assert_eq!(armed, [(KillPoint::BeforeCommit, 3), (KillPoint::MidSweep, 1)]);
        assert!(KillPoints::parse("").unwrap().armed.is_empty());
        for wrong in ["before_comit:3", "before_commit:0", "before_commit:x"] {
            assert!(KillPoints::parse(wrong).unwrap_err().diagnosis.contains(wrong));
        }
    }
}
