//! Shrinking op logs, while clients at any place in them go on to end with the same rows and the same checksum.
//!
//! * A put that a later put or removal of the same object has replaced becomes a MOVE: its checksum stays, its data goes.
//!   So does a removal after which the object was put again. A client that has the op already isn't sent it again; one
//!   that hasn't would have undone it on the way.
//! * The ops before the first live one become one CLEAR in the place of the last of them, with the sum of their
//!   checksums. A client that is behind it has no row from before that it should keep: all live rows come after.
//!
//! Whether a put is the live one stands in the state of its row, so a compaction needs no memory. That state must be the
//! one that readers see, so a bucket is only compacted while its whole log is part of the newest checkpoint; one that
//! isn't is left for later: what made it so brings it up again with the next checkpoint. A bucket is compacted when its
//! dead ops have come to outnumber its live rows, not counting those that the last compaction looked at and had to leave.

use std::sync::Arc;

use millstream_core::error::SinkError;

use super::Writer;
use super::jobs::{Progress, Slice};
use super::ledger::Ledger;
use crate::bucket::BucketRecord;
use crate::key::{self, BucketId};
use crate::kill::KillPoint;
use crate::op::{Op, OpKind};
use crate::store::{Direction, Keyspace};

/// A bucket that is being compacted.
pub(super) struct Compaction {
    pub(super) bucket: BucketId,
    /// The first op not looked at yet.
    next: u64,
    /// The last op to look at; what comes later is for the next time.
    last: u64,
    /// Whether no live op has been met yet.
    is_leading: bool,
    /// How many dead ops it has had to leave so far.
    left: u64,
}

/// The leading run of dead ops, as far as it lies in one slice.
#[derive(Default)]
struct Run {
    keys: Vec<Vec<u8>>,
    bytes: u64,
    checksum: u32,
    target: u64,
}

/// What rewriting a slice has saved.
#[derive(Default)]
struct Saved {
    ops: u64,
    bytes_before: u64,
    bytes_after: u64,
}

/// What is to become of an op.
enum Fate {
    Stays,
    /// It has been replaced, at or before this op.
    Replaced {
        target: u64,
    },
    /// A removal that still matters to clients which have the object.
    Removal,
}

impl Compaction {
    fn new(bucket: BucketId, last: u64) -> Compaction {
        Compaction { bucket, next: 0, last, is_leading: true, left: 0 }
    }
}

/// Whether enough of a bucket's log is dead for compacting it.
pub(super) fn is_worthwhile(record: &BucketRecord, dead_ops_min: u64) -> bool {
    let counters = record.now();
    let dead = counters.dead().saturating_sub(record.dead_after_compaction);
    dead >= dead_ops_min && dead > counters.rows
}

impl Ledger {
    /// What is to become of an op, by the state of its row.
    fn fate(&self, bucket: BucketId, op_id: u64, op: &Op<'_>, last: u64) -> Result<Fate, SinkError> {
        Ok(match op.kind {
            OpKind::Put { object, .. } => match self.live_op(bucket, &object)? {
                Some(live) if live > op_id => Fate::Replaced { target: live },
                Some(_) => Fate::Stays,
                None => Fate::Replaced { target: last },
            },
            OpKind::Remove { object } => match self.live_op(bucket, &object)? {
                Some(live) if live > op_id => Fate::Replaced { target: live },
                _ => Fate::Removal,
            },
            OpKind::Move { target } | OpKind::Clear { target } => Fate::Replaced { target },
        })
    }
}

impl Writer {
    /// Begins to compact a bucket that is worth it.
    pub(super) fn begin_compaction(&mut self, bucket: BucketId) {
        let last = self.ledger.checkpoint_op();
        self.is_survey_due |= !self.jobs.add_compaction(Compaction::new(bucket, last));
    }

    /// What was written while a bucket was compacted may be worth another.
    pub(super) fn end_compaction(&mut self, Compaction { bucket, last, .. }: Compaction) -> Result<(), SinkError> {
        self.jobs.forget_compaction(bucket);
        if !self.ledger.definitions.is_live(bucket.definition) {
            return Ok(());
        }
        let slot = self.ledger.bucket_numbered(bucket)?;
        let (checkpoint_op, dead_ops_min) = (self.ledger.checkpoint_op(), self.tuning.compact_dead_ops_min);
        let is_due = |record: &BucketRecord| {
            !record.is_whole_at(last) && record.is_whole_at(checkpoint_op) && is_worthwhile(record, dead_ops_min)
        };
        if self.ledger.buckets.record(slot).is_some_and(is_due) {
            self.begin_compaction(bucket);
        }
        Ok(())
    }

    pub(super) fn compact_slice(&mut self, compaction: &mut Compaction) -> Result<Progress, SinkError> {
        let bucket = compaction.bucket;
        if !self.ledger.definitions.is_live(bucket.definition) {
            return Ok(Progress::Done);
        }
        let slot = self.ledger.bucket_numbered(bucket)?;
        let checkpoint_op = self.ledger.checkpoint_op();
        if !self.ledger.buckets.record(slot).is_some_and(|record| record.is_whole_at(checkpoint_op)) {
            return Ok(Progress::Done);
        }
        let (saved, progress) = self.compact_ops(compaction)?;
        let is_last = progress == Progress::Done;
        if let Some(record) = self.ledger.buckets.change(slot) {
            let counters = record.rewrite();
            counters.ops = counters.ops.saturating_sub(saved.ops);
            counters.bytes = (counters.bytes + saved.bytes_after).saturating_sub(saved.bytes_before);
            if is_last {
                record.dead_after_compaction = compaction.left;
            }
        }
        if !is_last {
            self.kill.pass(KillPoint::MidCompaction);
        }
        Ok(progress)
    }

    /// Rewrites a slice of ops.
    fn compact_ops(&mut self, compaction: &mut Compaction) -> Result<(Saved, Progress), SinkError> {
        let mut run = Run::default();
        let mut saved = Saved::default();
        let mut progress = Progress::Done;
        let mut slice = Slice::new(&self.tuning);
        let store = Arc::clone(&self.ledger.store);
        let range = key::ops(compaction.bucket, compaction.next, compaction.last);
        for pair in store.scan(Keyspace::Ops, &range, Direction::Forward) {
            let pair = pair?;
            let (op_key, bytes) = &pair;
            let op_id = key::op_id(op_key)?;
            let op = Op::decode(bytes)?;
            let fate = self.ledger.fate(compaction.bucket, op_id, &op, compaction.last)?;
            compaction.next = op_id.saturating_add(1);
            match fate {
                Fate::Stays => compaction.is_leading = false,
                Fate::Replaced { target } if compaction.is_leading => run.add(op_key, bytes, &op, target),
                Fate::Removal if compaction.is_leading => run.add(op_key, bytes, &op, op_id),
                Fate::Replaced { target } if !matches!(op.kind, OpKind::Move { .. } | OpKind::Clear { .. }) => {
                    compaction.left += 1;
                    saved.bytes_before += bytes.len() as u64;
                    saved.bytes_after += self.rewrite(op_key, op.checksum, OpKind::Move { target });
                }
                Fate::Replaced { .. } | Fate::Removal => compaction.left += 1,
            }
            // One op alone, however large, would stand for itself by a CLEAR, and the run would end there: clients forget at a
            // CLEAR all sums before it.
            let can_pause = !compaction.is_leading || run.keys.len() > 1;
            if self.is_over_after(&pair, &mut slice) && can_pause {
                progress = Progress::More;
                break;
            }
        }
        if let Some((last, before)) = run.keys.split_last() {
            before.iter().for_each(|op_key| self.ledger.batch.delete(Keyspace::Ops, op_key));
            saved.ops = before.len() as u64;
            saved.bytes_before += run.bytes;
            saved.bytes_after += self.rewrite(last, run.checksum, OpKind::Clear { target: run.target });
            // The run may go on in the next slice: from the op that stands for it now.
            if compaction.is_leading && progress == Progress::More {
                compaction.next = key::op_id(last)?;
            } else {
                compaction.left += 1;
            }
        }
        Ok((saved, progress))
    }

    /// Puts another op in the place of one. Gives its size in bytes.
    fn rewrite(&mut self, op_key: &[u8], checksum: u32, kind: OpKind<'_>) -> u64 {
        let mut encoded = Vec::new();
        Op { checksum, kind }.encode_into(&mut encoded);
        self.ledger.batch.put(Keyspace::Ops, op_key, &encoded);
        encoded.len() as u64
    }
}

impl Run {
    fn add(&mut self, op_key: &[u8], bytes: &[u8], op: &Op<'_>, target: u64) {
        self.keys.push(op_key.to_vec());
        self.bytes += bytes.len() as u64;
        self.checksum = self.checksum.wrapping_add(op.checksum);
        self.target = self.target.max(target);
    }
}
