//! Finding buckets that are worth compacting and that may never change again, as a change is what brings a bucket up:
//! those that a former process hadn't come to, and those that were too many at once.

use std::collections::VecDeque;
use std::sync::Arc;

use millstream_core::error::SinkError;

use super::Writer;
use super::compaction::is_worthwhile;
use super::jobs::{Progress, Slice};
use crate::bucket::BucketRecord;
use crate::key;
use crate::store::{Direction, KeyRange, Keyspace};

/// A look at every bucket.
pub(super) struct Survey {
    /// The records not looked at yet.
    left: VecDeque<KeyRange>,
}

impl Writer {
    /// Whether there is a survey to begin. It waits until there is nothing else to do.
    pub(super) fn take_survey(&mut self) -> Option<Survey> {
        std::mem::take(&mut self.is_survey_due).then(|| {
            let shown = self.ledger.definitions.shown();
            Survey { left: shown.map(|(definition, _)| key::buckets_of(definition)).collect() }
        })
    }

    pub(super) fn survey_slice(&mut self, survey: &mut Survey) -> Result<Progress, SinkError> {
        let Some(range) = survey.left.pop_front() else { return Ok(Progress::Done) };
        let mut slice = Slice::new(&self.tuning);
        let store = Arc::clone(&self.ledger.store);
        let checkpoint_op = self.ledger.checkpoint_op();
        for pair in store.scan(Keyspace::Buckets, &range, Direction::Forward) {
            let pair = pair?;
            let record = BucketRecord::decode(&pair.1)?;
            if is_worthwhile(&record, self.tuning.compact_dead_ops_min) && record.is_whole_at(checkpoint_op) {
                self.begin_compaction(key::bucket_of(&pair.0)?);
            }
            if self.is_over_after(&pair, &mut slice) {
                survey.left.push_front(range.starting_after(&pair.0));
                break;
            }
        }
        Ok(Progress::More)
    }
}
