//! The passes of one source: which run, what their chunks do, how they end.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::error::{SourceError, chain};
use crate::position::Position;
use crate::reconcile::{Pass, PassMessage, PassReading, PassSummary, Readers, ReadyChunk};
use crate::schema::TableName;
use crate::sink::{PassMode, PassReport, WriteItem};
use crate::table::{RangeProgress, TableId, TableState, now_ms};

use super::follower::{Ended, Follower, Interruption};
use super::handle::{NotCompared, VerifyReport};
use super::tables::{Table, Trouble};

/// What mends a table that doesn't let itself be read, as far as that can be told whatever the source.
const UNREADABLE_REMEDY: &str =
    "Make it readable at the source: it is read again within seconds of that. Or leave it out of the sync config";

/// Somebody who waits for the end of a pass; the error is for a person.
type PassWaiter = oneshot::Sender<Result<PassSummary, String>>;

/// A comparison somebody asked for: one pass a table.
struct Verification {
    queued: VecDeque<TableId>,
    running: HashSet<TableId>,
    report: VerifyReport,
    reply: oneshot::Sender<VerifyReport>,
}

/// The passes on their way.
pub(super) struct Passes {
    readers: Readers,
    tables_at_once_max: usize,
    running: BTreeMap<TableId, Pass>,
    waiters: HashMap<TableId, Vec<PassWaiter>>,
    verification: Option<Verification>,
    verifications_queued: VecDeque<(Option<Vec<TableName>>, oneshot::Sender<VerifyReport>)>,
    /// Passes that ended early, for the verification to learn of: name and reason.
    cancelled: Vec<(TableId, String)>,
}

impl Passes {
    pub(super) fn new(readers: Readers, tables_at_once_max: usize) -> Self {
        Self {
            readers,
            tables_at_once_max,
            running: BTreeMap::new(),
            waiters: HashMap::new(),
            verification: None,
            verifications_queued: VecDeque::new(),
            cancelled: Vec::new(),
        }
    }

    /// Whether a pass, of any mode, is on its way over a table.
    pub(super) fn concerns(&self, table: TableId) -> bool {
        self.running.contains_key(&table)
    }

    /// Ends a table's pass; its chunks are dropped on arrival.
    pub(super) fn cancel(&mut self, table: TableId, reason: &str) {
        if self.running.remove(&table).is_some_and(|pass| pass.mode == PassMode::Verify) {
            self.cancelled.push((table, reason.to_owned()));
        }
    }

    /// Ends all passes.
    pub(super) fn clear(&mut self, reason: &str) {
        for table in self.running.keys().copied().collect::<Vec<_>>() {
            self.cancel(table, reason);
        }
    }

    /// Answers everybody who waits for a table's pass. A waiter that has gone away needs no answer.
    pub(super) fn answer(&mut self, table: TableId, answer: Result<PassSummary, String>) {
        for waiter in self.waiters.remove(&table).unwrap_or_default() {
            let _ = waiter.send(answer.clone());
        }
    }

    fn start(&mut self, mut pass: Pass, ranges: &[RangeProgress]) {
        if ranges.is_empty() {
            pass.tasks.spawn(self.readers.split(pass.table, pass.generation, Arc::clone(&pass.schema)));
        } else {
            self.read_ranges(&mut pass, ranges);
        }
        self.running.insert(pass.table, pass);
    }

    fn read_ranges(&self, pass: &mut Pass, ranges: &[RangeProgress]) {
        pass.ranges_left = Some(ranges.iter().filter(|range| !range.done).count());
        for (index, range) in ranges.iter().enumerate().filter(|(_, range)| !range.done) {
            let schema = Arc::clone(&pass.schema);
            let left = range.left.clone();
            pass.tasks.spawn(self.readers.read(pass.table, pass.generation, schema, index, left, pass.scans_lost));
        }
    }

    fn split(&mut self, table: TableId, ranges: &[RangeProgress]) {
        if let Some(mut pass) = self.running.remove(&table) {
            self.read_ranges(&mut pass, ranges);
            self.running.insert(table, pass);
        }
    }

    /// The pass that a message belongs to, if it is still the one.
    fn addressed(&mut self, message: &PassMessage) -> Option<&mut Pass> {
        self.running.get_mut(&message.table).filter(|pass| pass.generation == message.generation)
    }

    /// Takes the chunks out that the stream has caught up with, in the order of each range.
    fn take_ready(&mut self, reached: &Position) -> Vec<(TableId, ReadyChunk)> {
        let mut ready = Vec::new();
        for pass in self.running.values_mut() {
            let mut blocked = HashSet::new();
            for chunk in std::mem::take(&mut pass.waiting) {
                // Progress is stored by range, so a later chunk may not overtake an earlier one.
                if !blocked.contains(&chunk.range) && chunk.chunk.high <= *reached {
                    ready.push((pass.table, chunk));
                } else {
                    blocked.insert(chunk.range);
                    pass.waiting.push(chunk);
                }
            }
        }
        ready
    }
}

impl Follower {
    /// Starts as many passes as may run at once.
    pub(super) async fn schedule_passes(&mut self) -> Result<(), Interruption> {
        self.attend_verification();
        while self.reading() < self.passes.tables_at_once_max {
            let mut items = Vec::new();
            if !self.start_repair(&mut items) && !self.start_verify(&mut items) {
                return Ok(());
            }
            self.accept_between(items).await?;
        }
        Ok(())
    }

    /// How many tables are being read. Those that can't be, and are tried now and then, are in nobody's way.
    fn reading(&self) -> usize {
        let is_stuck = |pass: &&Pass| self.tables.get(pass.table).is_some_and(Table::is_stuck);
        self.passes.running.values().filter(|pass| !pass.sweeping && !is_stuck(pass)).count()
    }

    fn start_repair(&mut self, items: &mut Vec<WriteItem>) -> bool {
        let next = self.tables.iter().find(|table| {
            table.record.pass.is_some() && table.record.schema.is_some() && !self.passes.concerns(table.record.id)
        });
        let Some(id) = next.map(|table| table.record.id) else { return false };
        let Some(table) = self.tables.get_mut(id) else { return false };
        let (Some(schema), Some(record)) = (table.record.schema.clone(), table.record.pass.as_mut()) else {
            return false;
        };
        let mut pass = Pass::new(id, table.record.generation, PassMode::Repair, schema);
        pass.scans_lost = table.scans_lost;
        if pass.is_one_scan() && !record.ranges.is_empty() {
            // One scan can't be resumed.
            let cause = record.cause.clone();
            table.begin_pass_anew(&cause);
            pass.generation = table.record.generation;
        }
        let record = &table.record;
        pass.rows_read = record.pass.as_ref().map_or(0, |pass| pass.rows_read);
        let ranges = record.pass.as_ref().map(|pass| pass.ranges.clone()).unwrap_or_default();
        items.push(WriteItem::Table(Box::new(record.clone())));
        self.passes.start(pass, &ranges);
        true
    }

    fn start_verify(&mut self, items: &mut Vec<WriteItem>) -> bool {
        let Some(verification) = &mut self.passes.verification else { return false };
        let Some(id) = verification.queued.pop_front() else { return false };
        let Some(table) = self.tables.get_mut(id) else { return true };
        let schema = match (&table.record.state, &table.record.schema) {
            (TableState::Live, Some(schema)) => Arc::clone(schema),
            (state, _) => {
                let reason = match state {
                    TableState::Held { reason, remedy } => format!("it is held: {reason}. {remedy}"),
                    state => match &table.trouble {
                        Some(trouble) => format!("it is {state}; {}", trouble.text),
                        None => format!("it is {state}; try again when it is live"),
                    },
                };
                verification.report.not_compared.push(NotCompared { table: table.record.name.clone(), reason });
                return true;
            }
        };
        table.next_generation();
        items.push(WriteItem::Table(Box::new(table.record.clone())));
        verification.running.insert(id);
        let mut pass = Pass::new(id, table.record.generation, PassMode::Verify, schema);
        pass.scans_lost = table.scans_lost;
        self.passes.start(pass, &[]);
        true
    }

    pub(super) async fn on_pass_message(&mut self, message: PassMessage) -> Result<(), Interruption> {
        let id = message.table;
        let Some(pass) = self.passes.addressed(&message) else { return Ok(()) };
        let mode = pass.mode;
        match message.reading {
            PassReading::Split { ranges, rows_estimate } => self.on_split(id, mode, &ranges, rows_estimate).await?,
            PassReading::Chunk(chunk) => {
                pass.waiting.push(chunk);
                if let Some(table) = self.tables.get_mut(id) {
                    table.trouble = None;
                    if mode == PassMode::Repair && matches!(table.record.state, TableState::Held { .. }) {
                        table.record.state = table.state_while_read();
                    }
                }
                self.apply_waiting_chunks().await?;
            }
            PassReading::Retrying { error, attempts, explained_by } => {
                self.on_retrying(id, mode, &error, attempts, explained_by).await?;
            }
            PassReading::Refused { diagnosis, remedy } => self.on_refused(id, mode, diagnosis, remedy).await?,
            PassReading::ScanLost { reason } => self.on_scan_lost(id, mode, &reason).await?,
        }
        self.schedule_passes().await
    }

    async fn on_split(
        &mut self,
        id: TableId,
        mode: PassMode,
        ranges: &[RangeProgress],
        rows_estimate: Option<u64>,
    ) -> Result<(), Interruption> {
        self.passes.split(id, ranges);
        let Some(table) = self.tables.get_mut(id) else { return Ok(()) };
        let record = table.record.pass.as_mut().filter(|_| mode == PassMode::Repair);
        if let Some(record) = record {
            record.ranges = ranges.to_vec();
            record.rows_estimate = rows_estimate;
            let item = WriteItem::Table(Box::new(table.record.clone()));
            self.accept_between(vec![item]).await?;
        }
        self.finish_read_passes().await
    }

    /// A table that can't be read as expected, though the stream has come so far that it would have told of a statement
    /// which made it another, stays so until somebody does something.
    async fn on_retrying(
        &mut self,
        id: TableId,
        mode: PassMode,
        error: &SourceError,
        attempts: u32,
        explained_by: Option<Position>,
    ) -> Result<(), Interruption> {
        let is_unexplained = explained_by.is_some() && self.progress.reached() >= explained_by.as_ref();
        let is_to_be_explained = matches!(error, SourceError::Table { .. }) && !is_unexplained;
        let Some(table) = self.tables.get_mut(id) else { return Ok(()) };
        let text = chain(error);
        if !matches!(table.record.state, TableState::Held { .. }) {
            warn!(source = %self.name, table = %table.record.name, error = %text, "reading the table fails, trying again");
        }
        table.trouble = Some(Trouble { text: format!("reading it fails, trying again: {text}"), attempts });
        if !table.fails_again_and_again() || is_to_be_explained {
            return Ok(());
        }
        if is_unexplained && mode == PassMode::Repair {
            return self.on_refused(id, mode, text, UNREADABLE_REMEDY.to_owned()).await;
        }
        self.give_up_waiting(id, mode, &format!("reading it fails again and again: {text}"));
        Ok(())
    }

    /// Whoever waits for the end of a pass is told why it doesn't come. The pass goes on, unless it was for them alone.
    fn give_up_waiting(&mut self, id: TableId, mode: PassMode, reason: &str) {
        match mode {
            PassMode::Verify => self.passes.cancel(id, reason),
            PassMode::Repair => self.passes.answer(id, Err(reason.to_owned())),
        }
    }

    async fn on_refused(
        &mut self,
        id: TableId,
        mode: PassMode,
        diagnosis: String,
        remedy: String,
    ) -> Result<(), Interruption> {
        self.give_up_waiting(id, mode, &format!("{diagnosis}. {remedy}"));
        let Some(table) = self.tables.get_mut(id).filter(|_| mode == PassMode::Repair) else { return Ok(()) };
        let state = TableState::Held { reason: diagnosis, remedy };
        // It is tried every few seconds, and says the same each time.
        if table.record.state == state {
            return Ok(());
        }
        if let TableState::Held { reason, remedy } = &state {
            warn!(source = %self.name, table = %table.record.name, reason, remedy, "the table can't be read");
        }
        table.record.state = state;
        let item = WriteItem::Table(Box::new(table.record.clone()));
        self.accept_between(vec![item]).await
    }

    async fn on_scan_lost(&mut self, id: TableId, mode: PassMode, reason: &str) -> Result<(), Interruption> {
        warn!(source = %self.name, reason, "a scan was lost, beginning it anew");
        if let Some(table) = self.tables.get_mut(id) {
            table.scans_lost = table.scans_lost.saturating_add(1);
        }
        let gives_up = self.tables.get(id).is_some_and(Table::fails_again_and_again);
        if gives_up {
            self.give_up_waiting(id, mode, &format!("its scan is lost again and again: {reason}"));
        }
        if mode == PassMode::Verify {
            self.passes.running.remove(&id);
            if !gives_up
                && let Some(verification) = &mut self.passes.verification
                && verification.running.remove(&id)
            {
                verification.queued.push_back(id);
            }
            return Ok(());
        }
        let record = self.tables.get(id).and_then(|table| table.record.pass.clone());
        let Some(record) = record else { return Ok(()) };
        let mut items = Vec::new();
        self.begin_pass(id, &record.cause, record.history, &mut items);
        self.accept_between(items).await
    }

    /// Stores the chunks that the stream has caught up with.
    pub(super) async fn apply_waiting_chunks(&mut self) -> Result<(), Interruption> {
        let Some(reached) = self.progress.reached().cloned() else { return Ok(()) };
        for (id, ReadyChunk { range, chunk, permit }) in self.passes.take_ready(&reached) {
            let items = self.chunk_items(id, range, chunk);
            self.accept_between(items).await?;
            drop(permit);
        }
        self.finish_read_passes().await
    }

    fn chunk_items(&mut self, id: TableId, range: usize, chunk: crate::source::Chunk) -> Vec<WriteItem> {
        let Some(pass) = self.passes.running.get_mut(&id) else { return Vec::new() };
        let rows = chunk.rows.len() as u64;
        let done = chunk.next.is_none();
        pass.rows_read += rows;
        if done {
            pass.ranges_left = pass.ranges_left.map(|left| left.saturating_sub(1));
        }
        self.rows_read.add(rows);
        let mut items = vec![WriteItem::Chunk {
            table: id,
            generation: pass.generation,
            mode: pass.mode,
            schema: Arc::clone(&pass.schema),
            rows: chunk.rows,
        }];
        let table = self.tables.get_mut(id).filter(|_| pass.mode == PassMode::Repair);
        if let Some(table) = table
            && let Some(record) = table.record.pass.as_mut()
        {
            record.rows_read = pass.rows_read;
            if let Some(progress) = record.ranges.get_mut(range) {
                progress.done = done;
                progress.left.after = chunk.next.or(progress.left.after.take());
            }
            items.push(WriteItem::Table(Box::new(table.record.clone())));
        }
        items
    }

    /// Hands the sweep of every pass that has been read to its end to the sink.
    pub(super) async fn finish_read_passes(&mut self) -> Result<(), Interruption> {
        let mut items = Vec::new();
        for pass in self.passes.running.values_mut() {
            if !pass.is_read() || pass.sweeping || self.rechecks.concerns(pass.table) {
                continue;
            }
            pass.sweeping = true;
            let (table, generation) = (pass.table, pass.generation);
            let (reply, report) = oneshot::channel();
            items.push(WriteItem::Sweep { table, generation, mode: pass.mode, reply });
            self.endings.push(Box::pin(async move { Ended::Sweep { table, generation, report: report.await.ok() } }));
        }
        if items.is_empty() { Ok(()) } else { self.accept_between(items).await }
    }

    pub(super) async fn on_ended(&mut self, ended: Ended) -> Result<(), Interruption> {
        match ended {
            Ended::Clear { history, report: Some(report) } => {
                let item = WriteItem::History { id: history.id, entry: history.closed(0, report.ops_written) };
                self.accept_between(vec![item]).await
            }
            Ended::Sweep { table, generation, report: Some(report) } => {
                let is_current = self.passes.running.get(&table).is_some_and(|pass| pass.generation == generation);
                if is_current && let Some(pass) = self.passes.running.remove(&table) {
                    self.finish_pass(pass, report).await?;
                }
                self.schedule_passes().await
            }
            // The sink has failed; the next write is told why.
            Ended::Clear { report: None, .. } | Ended::Sweep { report: None, .. } => {
                self.accept_between(Vec::new()).await
            }
        }
    }

    async fn finish_pass(&mut self, pass: Pass, report: PassReport) -> Result<(), Interruption> {
        let Some(table) = self.tables.get_mut(pass.table) else { return Ok(()) };
        table.forget_trouble();
        let mut summary = PassSummary {
            table: table.record.name.clone(),
            rows_read: pass.rows_read,
            ops_written: report.ops_written,
            rows_compared: report.rows_compared,
            differences_total: report.differences_total,
            differences: report.differences,
            duration_ms: u64::try_from(pass.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        if pass.mode == PassMode::Verify {
            if let Some(verification) = &mut self.passes.verification {
                verification.running.remove(&pass.table);
                verification.report.tables.push(summary);
            }
            return Ok(());
        }
        let mut items = Vec::new();
        let Some(record) = table.record.pass.take() else { return Ok(()) };
        // Of the process that began it, which may have been a former one.
        summary.duration_ms = u64::try_from(now_ms().saturating_sub(record.started_at_ms)).unwrap_or(0);
        if let Some(history) = record.history {
            let entry = history.clone().closed(summary.rows_read, summary.ops_written);
            items.push(WriteItem::History { id: history.id, entry });
        }
        if record.again {
            table.begin_pass(&record.cause, record.next);
        } else {
            info!(
                source = %self.name, table = %summary.table, cause = %record.cause, rows_read = summary.rows_read,
                ops_written = summary.ops_written, duration_ms = summary.duration_ms, "the table is live"
            );
            table.become_live();
            // A pass that was begun anew stands for both.
            items.extend(record.next.map(|next| WriteItem::History { id: next.id, entry: next.closed(0, 0) }));
            self.passes.answer(pass.table, Ok(summary));
        }
        if let Some(table) = self.tables.get(pass.table) {
            items.push(WriteItem::Table(Box::new(table.record.clone())));
        }
        self.accept_between(items).await
    }

    /// Reads a table again because somebody asked for it.
    pub(super) async fn reload(&mut self, name: TableName, reply: PassWaiter) -> Result<(), Interruption> {
        let known = self.tables.named(&name).map(|table| (table.record.id, table.record.schema.is_some()));
        let Some((id, true)) = known else {
            let reason = match known {
                Some(_) => format!("table {name} is held until its shape is known; it is read again then anyway"),
                None => format!("no selected table is called {name}; `millstream status` lists them"),
            };
            // A waiter that has gone away needs no answer.
            let _ = reply.send(Err(reason));
            return Ok(());
        };
        self.passes.waiters.entry(id).or_default().push(reply);
        let mut items = Vec::new();
        self.rows_replaced(&name, "reload", None, &mut items);
        self.accept_between(items).await?;
        self.schedule_passes().await
    }

    /// Compares tables with the source because somebody asked for it.
    pub(super) async fn verify(
        &mut self,
        tables: Option<Vec<TableName>>,
        reply: oneshot::Sender<VerifyReport>,
    ) -> Result<(), Interruption> {
        self.passes.verifications_queued.push_back((tables, reply));
        self.schedule_passes().await
    }

    /// Ends a verification that has nothing left to do, and begins the next one.
    fn attend_verification(&mut self) {
        for (id, reason) in std::mem::take(&mut self.passes.cancelled) {
            let table = self.tables.get_mut(id);
            let name = table.as_ref().map(|table| table.record.name.clone());
            // What was in the way of the comparison is in the way of nothing now.
            if let Some(table) = table.filter(|table| table.record.pass.is_none()) {
                table.forget_trouble();
            }
            if let Some(verification) = &mut self.passes.verification
                && verification.running.remove(&id)
            {
                let table = name.unwrap_or_else(|| TableName::new("?", format!("table {}", id.0)));
                verification.report.not_compared.push(NotCompared { table, reason });
            }
        }
        let done = |verification: &mut Verification| verification.queued.is_empty() && verification.running.is_empty();
        if let Some(mut verification) = self.passes.verification.take_if(done) {
            verification.report.tables.sort_by(|a, b| a.table.cmp(&b.table));
            // Whoever asked may have gone away.
            let _ = verification.reply.send(verification.report);
        }
        // Whoever has given up gets no comparison, which would read every table.
        self.passes.verifications_queued.retain(|(_, reply)| !reply.is_closed());
        if self.passes.verification.is_none()
            && let Some((tables, reply)) = self.passes.verifications_queued.pop_front()
        {
            let mut report = VerifyReport::default();
            let queued = match tables {
                None => self.tables.ids().into(),
                Some(names) => self.ids_to_verify(names, &mut report),
            };
            self.passes.verification = Some(Verification { queued, running: HashSet::new(), report, reply });
        }
    }

    fn ids_to_verify(&self, names: Vec<TableName>, report: &mut VerifyReport) -> VecDeque<TableId> {
        let mut ids = VecDeque::new();
        for table in names {
            match self.tables.id(&table) {
                Some(id) => ids.push_back(id),
                None => {
                    report.not_compared.push(NotCompared { table, reason: "no selected table is called so".to_owned() })
                }
            }
        }
        ids
    }
}
