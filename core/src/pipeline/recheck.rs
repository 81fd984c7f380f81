//! Rows of which the log tells that they changed but not what they are now: the source is asked.
//!
//! A row asked for is right when it is applied by the same argument as a chunk's (see [`crate::reconcile`]), with the
//! place of the mark in place of the generation: the answer shows the row at some *q*, the stream has reached
//! *s ≥ high ≥ q*, and it counts only if the stream brought nothing about the row after it was asked for, which a later
//! mark, or an upsert or delete that takes the mark away, would tell.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::change::{RowChange, RowChanges};
use crate::error::SourceError;
use crate::row::{RowBatch, ValueTooLong};
use crate::schema::{TableName, TableSchema};
use crate::sink::WriteItem;
use crate::source::{Chunk, ReadRequest, ReadScope};
use crate::table::TableId;

use super::detached::detached;
use super::follower::{Follower, Interruption};

/// How many rows are asked for in one read.
const ASKED_ROWS_MAX: usize = 500;
/// How many of them as long as it isn't known how large the table's rows are.
const ASKED_ROWS_FIRST: usize = 16;
/// How large an answer should be; rows are asked for as the mean of the last answer lets expect.
const ANSWER_BYTES_WANTED: usize = 4 << 20;
/// How long to wait before asking for rows again after the source didn't answer.
const RECHECK_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How many rows of one table may wait; beyond that reading the whole table is cheaper.
const PENDING_ROWS_MAX: usize = 50_000;
/// How much memory the identities of all rows that wait may take: without a key they are whole rows.
const PENDING_BYTES_MAX: usize = 16 << 20;

/// The rows of one table that must be asked for.
struct Pending {
    schema: Arc<TableSchema>,
    rows: HashMap<Vec<u8>, PendingRow>,
    /// The memory that `rows` takes, about.
    bytes: usize,
    /// How many rows the next read asks for.
    asked_rows: usize,
    since: Instant,
    /// Whether a read is on its way.
    asking: bool,
    /// A finished read that waits for the stream to reach its high position.
    answered: Option<Answer>,
}

struct PendingRow {
    /// Which mark this is, so that an answer to an older one is recognised.
    mark: u64,
    identity: RowBatch,
}

impl PendingRow {
    fn size_bytes(&self, key: &[u8]) -> usize {
        size_of::<Self>() + key.len() + self.identity.size_bytes()
    }
}

/// A finished read.
pub(super) struct Answer {
    pub(super) table: TableId,
    asked: Vec<(Vec<u8>, u64)>,
    result: Result<Chunk, SourceError>,
}

/// A read to be made.
pub(super) struct Question {
    pub(super) table: TableId,
    pub(super) schema: Arc<TableSchema>,
    pub(super) identities: RowBatch,
    asked: Vec<(Vec<u8>, u64)>,
}

impl Question {
    pub(super) fn answer(self, result: Result<Chunk, SourceError>) -> Answer {
        Answer { table: self.table, asked: self.asked, result }
    }
}

/// What a table's rechecks ask of the pipeline.
pub(super) enum Verdict {
    /// Nothing yet.
    Wait,
    /// Rows to apply as if the stream had brought them.
    Apply(RowChanges),
    /// Asking row by row doesn't work out: read the whole table.
    ReadWhole { table: TableName, reason: String },
}

/// All rows of one source that must be asked for.
#[derive(Default)]
pub(super) struct Rechecks {
    tables: BTreeMap<TableId, Pending>,
    last_mark: u64,
}

impl Rechecks {
    /// Takes the rechecks out of a table's changes and notes them; what the stream tells about noted rows settles them.
    pub(super) fn take(&mut self, table: TableId, changes: RowChanges) -> Result<RowChanges, ValueTooLong> {
        let contains_rechecks = changes.changes.contains(&RowChange::Recheck);
        if !contains_rechecks && !self.tables.contains_key(&table) {
            return Ok(changes);
        }
        let pending = self.tables.entry(table).or_insert_with(|| Pending::new(Arc::clone(&changes.schema)));
        let mut rest = RowChanges::new(Arc::clone(&changes.schema));
        let mut key = Vec::new();
        for (row, change) in changes.rows.rows().zip(&changes.changes) {
            changes.schema.row_key(row, &mut key);
            if *change == RowChange::Recheck {
                self.last_mark += 1;
                let mut identity = RowBatch::new(changes.schema.columns.len());
                identity.push_row(row)?;
                pending.insert(key.clone(), PendingRow { mark: self.last_mark, identity });
            } else {
                pending.remove(&key);
                rest.rows.push_row(row)?;
                rest.changes.push(*change);
            }
        }
        if self.tables.get(&table).is_some_and(Pending::is_done) {
            self.tables.remove(&table);
        }
        Ok(rest)
    }

    /// The next read to make, of any table that has rows waiting and no read on its way.
    pub(super) fn next_question(&mut self) -> Result<Option<Question>, ValueTooLong> {
        let idle = self.tables.iter_mut().find(|(_, pending)| !pending.asking && pending.answered.is_none());
        let Some((table, pending)) = idle else { return Ok(None) };
        let mut identities = RowBatch::new(pending.schema.columns.len());
        let mut asked = Vec::new();
        for (key, row) in pending.rows.iter().take(pending.asked_rows) {
            if let Some(identity) = row.identity.row(0) {
                identities.push_row(identity)?;
                asked.push((key.clone(), row.mark));
            }
        }
        pending.asking = true;
        Ok(Some(Question { table: *table, schema: Arc::clone(&pending.schema), identities, asked }))
    }

    /// Takes the answer to a question in; `None` for one whose rows nobody waits for any more.
    pub(super) fn answered(&mut self, answer: Answer) {
        if let Some(pending) = self.tables.get_mut(&answer.table) {
            pending.asking = false;
            pending.answered = Some(answer);
        }
    }

    /// What to do about a table now that the stream has reached `reached`.
    pub(super) fn settle(
        &mut self,
        table: TableId,
        reached: Option<&crate::position::Position>,
        hold_max: Duration,
        under_pass: bool,
    ) -> Result<Verdict, ValueTooLong> {
        let bytes: usize = self.tables.values().map(|pending| pending.bytes).sum();
        let Some(pending) = self.tables.get_mut(&table) else { return Ok(Verdict::Wait) };
        if bytes > PENDING_BYTES_MAX {
            let reason = format!("rows of {} MiB would have to be asked for one by one", bytes >> 20);
            return Ok(self.give_up(table, reason));
        }
        if pending.rows.len() > PENDING_ROWS_MAX {
            let reason = format!("more than {PENDING_ROWS_MAX} rows would have to be asked for one by one");
            return Ok(self.give_up(table, reason));
        }
        // An answer that is there only waits for the stream, which some sources take seconds to bring that far.
        if !under_pass && pending.answered.is_none() && pending.since.elapsed() > hold_max {
            let reason = "rows change faster than they can be asked for one by one".to_owned();
            return Ok(self.give_up(table, reason));
        }
        match pending.answered.take() {
            None => Ok(Verdict::Wait),
            Some(Answer { result: Err(error), .. }) if error.is_transient() => Ok(Verdict::Wait),
            Some(Answer { result: Err(error), .. }) => {
                let reason = crate::error::chain(&error);
                Ok(self.give_up(table, reason))
            }
            Some(Answer { table: id, asked, result: Ok(chunk) }) => {
                if reached.is_none_or(|reached| *reached < chunk.high) {
                    pending.answered = Some(Answer { table: id, asked, result: Ok(chunk) });
                    return Ok(Verdict::Wait);
                }
                let changes = pending.apply(&asked, &chunk)?;
                if pending.is_done() {
                    self.tables.remove(&table);
                }
                Ok(Verdict::Apply(changes))
            }
        }
    }

    fn give_up(&mut self, table: TableId, reason: String) -> Verdict {
        match self.tables.remove(&table) {
            Some(pending) => Verdict::ReadWhole { table: pending.schema.table.clone(), reason },
            None => Verdict::Wait,
        }
    }

    pub(super) fn forget(&mut self, table: TableId) {
        self.tables.remove(&table);
    }

    pub(super) fn clear(&mut self) {
        self.tables.clear();
    }

    pub(super) fn tables(&self) -> Vec<TableId> {
        self.tables.keys().copied().collect()
    }

    pub(super) fn concerns(&self, table: TableId) -> bool {
        self.tables.contains_key(&table)
    }
}

impl Pending {
    fn new(schema: Arc<TableSchema>) -> Self {
        let asked_rows = ASKED_ROWS_FIRST;
        Self {
            schema,
            rows: HashMap::new(),
            bytes: 0,
            asked_rows,
            since: Instant::now(),
            asking: false,
            answered: None,
        }
    }

    fn insert(&mut self, key: Vec<u8>, row: PendingRow) {
        self.bytes += row.size_bytes(&key);
        if let Some(before) = self.rows.insert(key.clone(), row) {
            self.bytes = self.bytes.saturating_sub(before.size_bytes(&key));
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<PendingRow> {
        let row = self.rows.remove(key)?;
        self.bytes = self.bytes.saturating_sub(row.size_bytes(key));
        Some(row)
    }

    /// Learns from an answer how many rows come to about as much as one should.
    fn learn(&mut self, chunk: &Chunk) {
        if let Some(row_bytes) = chunk.rows.size_bytes().checked_div(chunk.rows.len()) {
            self.asked_rows = (ANSWER_BYTES_WANTED / row_bytes.max(1)).clamp(1, ASKED_ROWS_MAX);
        }
    }

    fn is_done(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows of an answer whose marks still stand, as changes; their marks are taken away.
    fn apply(&mut self, asked: &[(Vec<u8>, u64)], chunk: &Chunk) -> Result<RowChanges, ValueTooLong> {
        self.learn(chunk);
        let mut found = HashMap::new();
        let mut key = Vec::new();
        for row in chunk.rows.rows() {
            self.schema.row_key(row, &mut key);
            found.insert(key.clone(), row);
        }
        let mut changes = RowChanges::new(Arc::clone(&self.schema));
        for (key, mark) in asked {
            if self.rows.get(key).is_none_or(|row| row.mark != *mark) {
                continue;
            }
            let Some(row) = self.remove(key) else { continue };
            let (change, values) = match found.get(key) {
                Some(current) => (RowChange::Upsert, Some(*current)),
                None => (RowChange::Delete, row.identity.row(0)),
            };
            if let Some(values) = values {
                changes.rows.push_row(values)?;
                changes.changes.push(change);
            }
        }
        Ok(changes)
    }
}

impl Follower {
    /// Whether what is stored isn't yet what a read at the position reached would give: rows of a live table still
    /// have to be asked for, or rows from beyond that position are there already.
    pub(super) fn must_hold_commit(&mut self) -> bool {
        let asking = |id| self.tables.get(id).is_some_and(|table| table.record.pass.is_none());
        self.progress.is_behind_the_sink() || self.rechecks.tables().into_iter().any(asking)
    }

    pub(super) fn ask_rechecks(&mut self) -> Result<(), Interruption> {
        while let Some(question) = self.rechecks.next_question()? {
            let connector = Arc::clone(&self.connector);
            self.recheck_answers.push(Box::pin(async move {
                let request = ReadRequest {
                    table: Arc::clone(&question.schema),
                    limit_rows: question.identities.len(),
                    scope: ReadScope::Keys(question.identities.clone()),
                };
                let result = detached(async move { connector.read(request).await }).await;
                if result.is_err() {
                    tokio::time::sleep(RECHECK_RETRY_PAUSE).await;
                }
                question.answer(result)
            }));
        }
        Ok(())
    }

    /// Applies answers that the stream has caught up with, and lets go of the commit that waited for them.
    pub(super) async fn settle_rechecks(&mut self) -> Result<(), Interruption> {
        let mut items = Vec::new();
        for id in self.rechecks.tables() {
            let Some(table) = self.tables.get(id) else {
                self.rechecks.forget(id);
                continue;
            };
            let under_pass = table.record.pass.is_some();
            let generation = table.record.generation;
            match self.rechecks.settle(id, self.progress.reached(), self.options.recheck_hold_max, under_pass)? {
                Verdict::Wait => {}
                Verdict::Apply(changes) => {
                    let pass_active = under_pass || self.passes.concerns(id);
                    items.push(WriteItem::Stream { table: id, generation, pass_active, changes });
                }
                Verdict::ReadWhole { table, reason } => self.rows_replaced(&table, &reason, None, &mut items),
            }
        }
        let held = if self.must_hold_commit() { None } else { self.progress.release() };
        if let Some(commit) = held {
            self.accept_commit(items, commit).await?;
        } else if !items.is_empty() {
            self.accept_between(items).await?;
        }
        self.ask_rechecks()?;
        self.finish_read_passes().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;
    use crate::schema::{Column, Identity, IdentityKind};
    use crate::value::ValueRef;

    const TABLE: TableId = TableId(1);

    fn schema() -> Arc<TableSchema> {
        let column = Column {
            name: "note".into(),
            source_type: "text".into(),
            nullable: true,
            collation: None,
            generated: None,
            default: None,
        };
        Arc::new(TableSchema {
            table: TableName::new("shop", "t"),
            columns: vec![column],
            identity: Identity { kind: IdentityKind::WholeRow, columns: vec![0] },
            origin: None,
        })
    }

    fn rechecks(rows: usize, bytes: usize) -> Rechecks {
        let mut changes = RowChanges::new(schema());
        for row in 0..rows {
            changes.rows.push(ValueRef::Text(&format!("{row} {}", "x".repeat(bytes)))).unwrap();
            changes.changes.push(RowChange::Recheck);
        }
        let mut rechecks = Rechecks::default();
        assert!(rechecks.take(TABLE, changes).unwrap().changes.is_empty());
        rechecks
    }

    #[test]
    fn an_answer_is_bounded_by_what_the_last_one_came_to() {
        let mut rechecks = rechecks(5_000, 2_000);
        let mut asked = Vec::new();
        while let Some(question) = rechecks.next_question().unwrap() {
            asked.push(question.identities.len());
            let chunk = Chunk { rows: question.identities.clone(), high: Position::new(1, "1"), next: None };
            rechecks.answered(question.answer(Ok(chunk)));
            let reached = Position::new(2, "2");
            let verdict = rechecks.settle(TABLE, Some(&reached), Duration::from_secs(60), false).unwrap();
            assert!(matches!(verdict, Verdict::Apply(_)));
        }
        assert_eq!(asked[..2], [ASKED_ROWS_FIRST, ASKED_ROWS_MAX]);
        assert_eq!(asked.iter().sum::<usize>(), 5_000);
        assert!(!rechecks.concerns(TABLE));

        let mut rechecks = self::rechecks(15, 1_000_000);
        let question = rechecks.next_question().unwrap().unwrap();
        let chunk = Chunk { rows: question.identities.clone(), high: Position::new(1, "1"), next: None };
        let pending = rechecks.tables.get_mut(&TABLE).unwrap();
        pending.learn(&chunk);
        assert_eq!(pending.asked_rows, 4);
    }

    #[test]
    fn more_than_fits_into_memory_is_not_asked_for() {
        let wait = Duration::from_secs(60);
        assert!(matches!(rechecks(10, 1_000_000).settle(TABLE, None, wait, false).unwrap(), Verdict::Wait));
        let mut rechecks = rechecks(20, 1_000_000);
        let verdict = rechecks.settle(TABLE, None, wait, false).unwrap();
        assert!(matches!(verdict, Verdict::ReadWhole { reason, .. } if reason.contains("MiB")));
        assert!(!rechecks.concerns(TABLE));
    }
}
