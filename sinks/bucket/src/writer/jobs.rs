//! Work that is done in slices, between writes.

use std::collections::{BTreeSet, VecDeque};

use millstream_core::error::SinkError;

use super::Writer;
use super::compaction::Compaction;
use super::publish::{Publishing, Withdrawal};
use super::retire::Retirement;
use super::survey::Survey;
use super::sweep::Sweep;
use crate::key::{BucketId, TableKey};
use crate::meta::{self, Checkpoint, TableFact};
use crate::sink::Tuning;
use crate::store::Read;

/// How many compactions wait at most.
pub(super) const COMPACTIONS_MAX: usize = 1_000;

/// Something to do, as far as it has come.
pub(super) enum Job {
    Sweep(Sweep),
    Publish(Publishing),
    Withdraw(Withdrawal),
    Retire(Retirement),
    Compact(Compaction),
    Survey(Survey),
}

/// Whether a job has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Done,
}

/// What one slice of a job may still look at.
#[derive(Debug)]
pub(super) struct Slice {
    rows_left: usize,
    bytes_left: usize,
}

impl Slice {
    pub(super) fn new(tuning: &Tuning) -> Slice {
        Slice { rows_left: tuning.slice_rows_max, bytes_left: tuning.slice_bytes_max }
    }

    /// Counts a pair that has been looked at; gives whether that is enough.
    pub(super) fn is_over_after(&mut self, (key, value): &(Vec<u8>, Vec<u8>)) -> bool {
        self.rows_left = self.rows_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(key.len() + value.len());
        self.rows_left == 0 || self.bytes_left == 0
    }
}

/// All that is to be done, in turn.
#[derive(Default)]
pub(super) struct Jobs {
    queue: VecDeque<Job>,
    /// The buckets whose compaction is in the queue.
    compacting: BTreeSet<BucketId>,
}

impl Jobs {
    /// What an earlier process had begun and readers must not see half done.
    pub(super) fn load(from: &dyn Read) -> Result<Jobs, SinkError> {
        let mut jobs = Jobs::default();
        for (table, generation) in meta::table_facts::<u64>(from, TableFact::Sweeping)? {
            jobs.queue.push_back(Job::Sweep(Sweep::resumed(table, generation)));
        }
        for (table, ()) in meta::table_facts::<()>(from, TableFact::Publishing)? {
            jobs.queue.push_back(Job::Publish(Publishing::new(table)));
        }
        if meta::read::<Checkpoint>(from, meta::CHECKPOINT)?.is_none() {
            for (table, ()) in meta::table_facts::<()>(from, TableFact::Withdrawn)? {
                jobs.queue.push_back(Job::Withdraw(Withdrawal::new(table)));
            }
        }
        Ok(jobs)
    }

    pub(super) fn add(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// Adds a compaction, unless the bucket has one already. Gives `false` if too many wait.
    pub(super) fn add_compaction(&mut self, compaction: Compaction) -> bool {
        if self.compacting.contains(&compaction.bucket) {
            return true;
        }
        if self.compacting.len() >= COMPACTIONS_MAX {
            return false;
        }
        self.compacting.insert(compaction.bucket);
        self.queue.push_back(Job::Compact(compaction));
        true
    }

    /// A bucket's compaction has ended.
    pub(super) fn forget_compaction(&mut self, bucket: BucketId) {
        self.compacting.remove(&bucket);
    }

    /// Whether a table's pass waits for its end.
    pub(super) fn has_sweep(&self) -> bool {
        self.queue.iter().any(|job| matches!(job, Job::Sweep(_)))
    }

    /// Whether something is half done that readers must not see so.
    pub(super) fn holds_checkpoints(&self) -> bool {
        self.queue.iter().any(|job| match job {
            Job::Sweep(sweep) => sweep.is_removing(),
            Job::Publish(_) | Job::Withdraw(_) => true,
            Job::Retire(_) | Job::Compact(_) | Job::Survey(_) => false,
        })
    }

    /// Drops what there was to do about a table; gives back its sweep.
    pub(super) fn forget(&mut self, table: TableKey) -> Option<Sweep> {
        let mut forgotten = None;
        for job in std::mem::take(&mut self.queue) {
            match job {
                Job::Sweep(sweep) if sweep.table == table => forgotten = Some(sweep),
                Job::Publish(publishing) if publishing.table == table => {}
                Job::Withdraw(withdrawal) if withdrawal.table == table => {}
                job => self.queue.push_back(job),
            }
        }
        forgotten
    }

    /// Stops taking a table out of the buckets: it is to be shown after all.
    pub(super) fn stop_withdrawing(&mut self, table: TableKey) {
        self.queue.retain(|job| !matches!(job, Job::Withdraw(withdrawal) if withdrawal.table == table));
    }

    /// Takes a table's sweep out, if there is one.
    pub(super) fn take_sweep(&mut self, table: TableKey) -> Option<Sweep> {
        let at = self.queue.iter().position(|job| matches!(job, Job::Sweep(sweep) if sweep.table == table))?;
        match self.queue.remove(at) {
            Some(Job::Sweep(sweep)) => Some(sweep),
            _ => None,
        }
    }
}

impl Writer {
    /// Whether a slice of a job ends after this pair: enough has been looked at, or what is pending fills a batch.
    pub(super) fn is_over_after(&self, pair: &(Vec<u8>, Vec<u8>), slice: &mut Slice) -> bool {
        slice.is_over_after(pair) || self.is_full()
    }

    /// Does one slice of one job; nothing may be pending. Gives `false` if there is nothing to do.
    pub(super) fn run_job(&mut self) -> Result<bool, SinkError> {
        let next = self.jobs.queue.pop_front().or_else(|| self.take_survey().map(Job::Survey));
        let Some(mut job) = next else { return Ok(false) };
        // While a job is out of the queue it can't hold checkpoints back, so nothing is stored before it is in again.
        let progress = match &mut job {
            Job::Sweep(sweep) => self.sweep_slice(sweep)?,
            Job::Publish(publishing) => self.publish_slice(publishing)?,
            Job::Withdraw(withdrawal) => self.withdraw_slice(withdrawal)?,
            Job::Retire(retirement) => self.retire_slice(retirement)?,
            Job::Compact(compaction) => self.compact_slice(compaction)?,
            Job::Survey(survey) => self.survey_slice(survey)?,
        };
        match (progress, job) {
            (Progress::More, job) => self.jobs.queue.push_back(job),
            (Progress::Done, Job::Sweep(sweep)) => self.end_sweep(sweep)?,
            (Progress::Done, Job::Publish(publishing)) => self.end_publishing(&publishing),
            (Progress::Done, Job::Retire(_) | Job::Withdraw(_) | Job::Survey(_)) => {}
            (Progress::Done, Job::Compact(compaction)) => self.end_compaction(compaction)?,
        }
        Ok(true)
    }

    /// Brings everything to its end that somebody waits for or that holds checkpoints back; the rest goes on after the
    /// next start.
    pub(super) fn finish_jobs(&mut self) -> Result<(), SinkError> {
        self.jobs.queue.retain(|job| matches!(job, Job::Sweep(_) | Job::Publish(_) | Job::Withdraw(_)));
        self.is_survey_due = false;
        self.flush(true)?;
        while self.run_job()? {
            self.flush(false)?;
        }
        Ok(())
    }
}
