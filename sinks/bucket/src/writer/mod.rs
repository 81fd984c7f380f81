//! The one thread that writes: it turns evaluated rows into ops, and stores them.
//!
//! # Group commit
//!
//! Writes go into one pending batch, which is stored when the queue has run empty or the batch has grown large enough.
//! While more is waiting it is only handed to the operating system; synced, and reported as durable, it is when the
//! queue is empty or the last sync is some time ago. So an idle sink is quick, and a busy one spends its time writing.
//!
//! # What is stored together
//!
//! Ops, row states and counters may be stored ahead of their commit. What a restart goes by (positions, table records,
//! history) never is: it waits, in memory, for the commit of its transaction and is stored in the same batch as that.
//! Every batch that leaves a consistent state contains a checkpoint.

mod adoption;
mod buckets;
mod clear;
mod compaction;
mod coverage;
mod deploy;
mod filing;
mod jobs;
mod known_rows;
mod ledger;
mod matching;
mod placing;
mod publish;
mod retire;
mod rows;
mod sources;
mod survey;
mod sweep;
mod tables;
mod tally;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use millstream_core::change::Commit;
use millstream_core::error::SinkError;
use millstream_core::position::Position;
use millstream_core::sink::PassReport;
use millstream_core::table::{TableId, TableRecord, now_ms};
use tokio::sync::{oneshot, watch};
use tracing::info;

pub(crate) use self::ledger::LOOKUP_PRESENT;
pub(crate) use self::tables::RowCounts;

use self::jobs::{COMPACTIONS_MAX, Jobs};
use self::ledger::{Ledger, Stored, Storing};
use self::sources::{DeferredTable, Source};
use self::tables::Tables;
use crate::bucket::BucketRecord;
use crate::definitions::Definitions;
use crate::evaluation::Evaluator;
use crate::former_keys::FormerKeys;
use crate::key::{self, BucketId, SourceId, TableKey};
use crate::kill::{KillPoint, KillPoints};
use crate::meta::{self, Checkpoint, SourceRecord, TableFact};
use crate::queue::{Accepted, Item, Message, WriterState};
use crate::rollout::Rollout;
use crate::sink::Tuning;
use crate::store::{Durability, Keyspace, Store};

/// For how long what is stored may stay unsynced while there is more to do.
const SYNC_INTERVAL: Duration = Duration::from_millis(25);

/// How long rows of a load wait for more of them.
const LOAD_PAUSE_MAX: Duration = Duration::from_millis(50);

/// What the writer begins with.
pub(crate) struct WriterStart {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) definitions: Definitions,
    pub(crate) rollout: Option<Rollout>,
    pub(crate) evaluator: Arc<Evaluator>,
    pub(crate) former_keys: Arc<FormerKeys>,
    pub(crate) sources: Vec<(String, SourceRecord, watch::Sender<Option<Position>>)>,
    pub(crate) counts: Arc<RowCounts>,
    pub(crate) checkpoints: watch::Sender<Option<Checkpoint>>,
    pub(crate) tuning: Tuning,
    pub(crate) kill: KillPoints,
}

/// The writer.
pub(crate) struct Writer {
    ledger: Ledger,
    sources: BTreeMap<SourceId, Source>,
    tables: Tables,
    jobs: Jobs,
    /// Buckets with much that is dead, changed since the last checkpoint: compacted once the next one shows them.
    to_compact: BTreeSet<BucketId>,
    /// Whether buckets may be worth compacting that nothing brings up by itself.
    is_survey_due: bool,
    /// The sync config that is being deployed.
    rollout: Option<Rollout>,
    evaluator: Arc<Evaluator>,
    former_keys: Arc<FormerKeys>,
    /// Reports of what is pending, to be sent once it is on disk.
    replies: Vec<(oneshot::Sender<PassReport>, PassReport)>,
    /// Those who wait until what is pending is on disk.
    syncs: Vec<oneshot::Sender<()>>,
    checkpoint: Option<Checkpoint>,
    checkpoints: watch::Sender<Option<Checkpoint>>,
    last_sync: Instant,
    /// Where the sources were when a load was handed over that is to be synced; reported once it is stored.
    positions_on_their_way: Vec<(SourceId, Option<Position>)>,
    /// Whether rows are being removed that readers must see all or none of.
    is_removing: bool,
    tuning: Tuning,
    kill: KillPoints,
}

/// Whether the writer goes on.
enum Next {
    GoOn,
    Stop,
}

impl Writer {
    /// Takes up what an earlier process has left, jobs included.
    pub(crate) fn open(start: WriterStart) -> Result<Writer, SinkError> {
        let WriterStart {
            store,
            definitions,
            rollout,
            evaluator,
            former_keys,
            sources,
            counts,
            checkpoints,
            tuning,
            kill,
        } = start;
        let tables = Tables::load(&*store, counts)?;
        for (table, filing) in tables.filings() {
            if let Some((newest, former)) = filing.columns() {
                former_keys.load(table, newest.clone(), former.cloned());
            }
        }
        let jobs = Jobs::load(&*store)?;
        let checkpoint: Option<Checkpoint> = meta::read(&*store, meta::CHECKPOINT)?;
        checkpoints.send_replace(checkpoint.clone());
        let sources = sources
            .into_iter()
            .map(|(name, record, durable)| (record.id, Source::new(name, record, durable)))
            .collect();
        let mut writer = Writer {
            ledger: Ledger::open(store, definitions, tuning.load_bytes_min, kill.clone())?,
            sources,
            tables,
            jobs,
            to_compact: BTreeSet::new(),
            is_survey_due: true,
            rollout,
            evaluator,
            former_keys,
            replies: Vec::new(),
            syncs: Vec::new(),
            checkpoint,
            checkpoints,
            last_sync: Instant::now(),
            positions_on_their_way: Vec::new(),
            is_removing: false,
            tuning,
            kill,
        };
        writer.resume_retirement();
        writer.remove_orphans()?;
        Ok(writer)
    }

    /// Works until it is told to stop, or fails.
    pub(crate) fn run(mut self, queue: &Receiver<Message>, state: &WriterState) -> Result<(), SinkError> {
        while !state.is_abandoned() {
            let message = match queue.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => match self.idle(queue)? {
                    Some(message) => message,
                    None => continue,
                },
            };
            if let Next::Stop = self.take(message)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What to do while the queue is empty: stores what is pending, works at a job, or waits.
    fn idle(&mut self, queue: &Receiver<Message>) -> Result<Option<Message>, SinkError> {
        // After a sweep has been asked for nothing more comes of its table.
        if self.ledger.load_bytes() > 0
            && !self.jobs.has_sweep()
            && let Ok(message) = queue.recv_timeout(LOAD_PAUSE_MAX)
        {
            return Ok(Some(message));
        }
        self.flush(true)?;
        if self.run_job()? {
            return Ok(None);
        }
        // Without senders the next attempt to receive tells so.
        Ok(queue.recv().ok())
    }

    fn take(&mut self, message: Message) -> Result<Next, SinkError> {
        match message {
            Message::Write(write) => {
                self.write(write)?;
                if self.is_full() {
                    self.flush(false)?;
                    self.run_job()?;
                }
            }
            Message::Restored(source) => {
                if let Some(source) = self.sources.get_mut(&source) {
                    source.is_restored = true;
                }
            }
            Message::Sync(reply) => self.syncs.push(reply),
            Message::Close(reply) => {
                self.finish_jobs()?;
                self.flush(true)?;
                // Whoever asked may have gone away.
                let _ = reply.send(());
                return Ok(Next::Stop);
            }
        }
        Ok(Next::GoOn)
    }

    fn write(&mut self, write: Accepted) -> Result<(), SinkError> {
        let Accepted { source, items, commit, permits } = write;
        // What is pending may be stored at any time from here on, so the source counts as being inside a transaction.
        let is_part_of_stream = |item: &Item| matches!(item, Item::Stream { .. } | Item::Clear { .. });
        if items.iter().any(is_part_of_stream)
            && let Some(source) = self.sources.get_mut(&source)
        {
            source.begin();
        }
        let mut items = items.into_iter();
        // So many rows that come next have been looked up.
        let mut rows_ahead = 0_usize;
        while !items.as_slice().is_empty() {
            if rows_ahead == 0 {
                rows_ahead = self.look_ahead(source, items.as_slice())?;
            }
            let Some(item) = items.next() else { break };
            rows_ahead = rows_ahead.saturating_sub(item.streamed_rows());
            self.item(source, item)?;
            if rows_ahead == 0 {
                self.ledger.forget_ahead();
            }
        }
        // What is pending from here on is bounded by itself.
        drop(permits);
        match commit {
            Some(commit) => self.commit(source, &commit),
            None => Ok(()),
        }
    }

    fn item(&mut self, source: SourceId, item: Item) -> Result<(), SinkError> {
        let key = |table| TableKey { source, table };
        match item {
            Item::Stream { table, generation, pass_active, rows } => {
                self.stream_rows(key(table), generation, pass_active, &rows)
            }
            Item::Chunk { table, generation, mode, rows } => self.chunk_rows(key(table), generation, mode, &rows),
            Item::Sweep { table, generation, mode, reply } => {
                self.begin_sweep(key(table), generation, mode, reply);
                Ok(())
            }
            Item::Clear { table, reply } => {
                let report = self.clear(key(table))?;
                self.replies.push((reply, report));
                Ok(())
            }
            Item::Table(record) => {
                let table = record.id;
                self.defer(source, table, |deferred| deferred.record = Some(record));
                Ok(())
            }
            Item::Forget { table } => {
                self.tables.entry(key(table)).tally = tally::Tally::default();
                self.defer(source, table, |deferred| *deferred = DeferredTable { is_forgotten: true, record: None });
                Ok(())
            }
            Item::History { id, entry } => {
                if let Some(source) = self.sources.get_mut(&source) {
                    source.deferred.history.push((id, entry));
                }
                Ok(())
            }
        }
    }

    fn defer(&mut self, source: SourceId, table: TableId, change: impl FnOnce(&mut DeferredTable)) {
        if let Some(source) = self.sources.get_mut(&source) {
            change(source.deferred.tables.entry(table).or_default());
        }
    }

    /// Ends a source's transaction: what waited for that becomes part of the pending batch.
    fn commit(&mut self, source: SourceId, commit: &Commit) -> Result<(), SinkError> {
        let Some(known) = self.sources.get_mut(&source) else { return Ok(()) };
        known.commit(commit);
        let deferred = std::mem::take(&mut known.deferred);
        known.store(&mut self.ledger.batch)?;
        for (id, entry) in deferred.history {
            let entry = meta::json(&entry)?;
            self.ledger.batch.put(Keyspace::History, &key::history(source, id), &entry);
        }
        for (table, DeferredTable { is_forgotten, record }) in deferred.tables {
            let key = TableKey { source, table };
            match record {
                Some(record) => self.store_record(key, record, is_forgotten)?,
                None => {
                    self.settle(key, None)?;
                    self.tables.forget(key, &mut self.ledger.batch);
                }
            }
        }
        Ok(())
    }

    fn store_record(&mut self, key: TableKey, record: Box<TableRecord>, is_new: bool) -> Result<(), SinkError> {
        let is_visible = record.visible;
        let before = self.tables.set_record(key, record, &mut self.ledger.batch)?;
        let was_visible = !is_new && before.is_some_and(|before| before.visible);
        let has_staged = self.ledger.has_checkpoint() || self.tables.entry(key).is_withdrawn;
        if is_visible && !was_visible && has_staged {
            self.jobs.stop_withdrawing(key);
            self.tables.entry(key).is_withdrawn = false;
            self.ledger.batch.delete(Keyspace::Meta, &TableFact::Withdrawn.key(key));
            self.begin_publishing(key)?;
        }
        Ok(())
    }

    /// Whether a table's new objects are kept out of the buckets for now: readers see other tables, and shall see this
    /// one all at once.
    fn is_staged(&self, key: TableKey) -> bool {
        if !self.ledger.has_checkpoint() {
            return self.tables.get(key).is_some_and(|table| table.is_withdrawn);
        }
        let deferred = self.sources.get(&key.source).and_then(|source| source.deferred.tables.get(&key.table));
        let stored = || self.tables.get(key).and_then(|table| table.record.as_deref());
        let deferred_record = || deferred.and_then(|deferred| deferred.record.as_deref());
        let record = match deferred {
            Some(DeferredTable { is_forgotten: true, .. }) => deferred_record(),
            _ => stored().or_else(deferred_record),
        };
        !record.is_some_and(|record| record.visible)
    }

    /// Stores what is pending. With `sync` everything up to here is on disk afterwards; without it that is so from time
    /// to time, and a load may still be on its way.
    fn flush(&mut self, sync: bool) -> Result<(), SinkError> {
        self.settle_load()?;
        let is_awaited = sync;
        let sync = (sync || self.last_sync.elapsed() >= SYNC_INTERVAL) && self.awaits_sync();
        self.withdraw_if_first()?;
        let has_switched = self.switch_if_ready()?;
        let checkpoint = self.next_checkpoint(has_switched);
        if self.ledger.is_clean() && checkpoint.is_none() && !sync {
            return Ok(());
        }
        for source in self.sources.values_mut() {
            source.store(&mut self.ledger.batch)?;
        }
        self.tables.store(&mut self.ledger.batch)?;
        self.kill.pass(KillPoint::BeforeCommit);
        let durability = if sync { Durability::Synced } else { Durability::Buffered };
        let (to_compact, dead_ops_min) = (&mut self.to_compact, self.tuning.compact_dead_ops_min);
        let is_survey_due = &mut self.is_survey_due;
        let visit = |bucket, record: &BucketRecord| {
            if compaction::is_worthwhile(record, dead_ops_min) {
                match to_compact.len() < COMPACTIONS_MAX {
                    true => to_compact.insert(bucket),
                    false => std::mem::replace(is_survey_due, true),
                };
            }
        };
        let is_awaited = is_awaited || !self.replies.is_empty() || !self.syncs.is_empty();
        let may_go_on = !is_awaited && checkpoint.is_none();
        let how = Storing { durability, checkpoint: checkpoint.as_ref(), may_go_on };
        if self.ledger.commit(how, visit)? == Stored::OnItsWay {
            if sync {
                let positions = self.sources.iter().map(|(id, source)| (*id, source.position().cloned()));
                self.positions_on_their_way = positions.collect();
            }
            return Ok(());
        }
        self.kill.pass(KillPoint::AfterCommit);
        if let Some(checkpoint) = checkpoint {
            if self.checkpoint.is_none() {
                info!(checkpoint.op_id, "the first checkpoint: every table has been read");
            }
            self.checkpoint = Some(checkpoint);
            std::mem::take(&mut self.to_compact).into_iter().for_each(|bucket| self.begin_compaction(bucket));
        }
        if sync {
            self.report_synced();
        }
        Ok(())
    }

    /// Whether somebody waits for what is pending, or stored but not synced, to be on disk.
    fn awaits_sync(&self) -> bool {
        !self.replies.is_empty()
            || !self.syncs.is_empty()
            || self.sources.values().any(Source::awaits_sync)
            || *self.checkpoints.borrow() != self.checkpoint
            || self.next_checkpoint(false).is_some()
    }

    /// Waits until the load that is on its way is stored, and reports what is stored with it.
    fn settle_load(&mut self) -> Result<(), SinkError> {
        self.ledger.settle_load()?;
        for (source, position) in std::mem::take(&mut self.positions_on_their_way) {
            self.last_sync = Instant::now();
            if let Some(source) = self.sources.get(&source) {
                source.report_durable(position.as_ref());
            }
        }
        Ok(())
    }

    fn report_synced(&mut self) {
        self.last_sync = Instant::now();
        for source in self.sources.values() {
            source.report_durable(source.position());
        }
        if *self.checkpoints.borrow() != self.checkpoint {
            self.checkpoints.send_replace(self.checkpoint.clone());
        }
        for (reply, report) in self.replies.drain(..) {
            // Whoever asked may have gone away.
            let _ = reply.send(report);
        }
        for sync in self.syncs.drain(..) {
            let _ = sync.send(());
        }
    }

    /// Whether what is pending leaves a state that readers may see.
    fn is_consistent(&self) -> bool {
        !self.is_removing && !self.jobs.holds_checkpoints() && !self.sources.values().any(Source::is_open)
    }

    /// Whether every source has finished its first load.
    fn is_loaded(&self) -> bool {
        let is_ready = |source: &Source| source.is_restored && source.position().is_some();
        self.sources.values().all(is_ready) && !self.tables.any_loading()
    }

    /// The checkpoint that storing what is pending makes, if it leaves a state that readers may see. One that shows what
    /// the last one shows is only made if there is another `reason`.
    fn next_checkpoint(&self, reason: bool) -> Option<Checkpoint> {
        if !self.is_consistent() {
            return None;
        }
        if self.checkpoint.is_none() && !self.is_loaded() {
            return None;
        }
        let positions: BTreeMap<_, _> = self
            .sources
            .values()
            .filter_map(|source| Some((source.name.clone(), source.position()?.clone())))
            .collect();
        let op_id = self.ledger.last_op();
        let is_same = |last: &Checkpoint| last.op_id == op_id && last.positions == positions;
        if !reason && self.checkpoint.as_ref().is_some_and(is_same) {
            return None;
        }
        Some(Checkpoint { op_id, positions, time_ms: now_ms() })
    }
}
