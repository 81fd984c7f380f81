//! One table's steps, with its change rows read in batches.
//!
//! A batch is complete if, *after* it was read, its instance still reaches back to the stretch's first commit: cleanup
//! raises an instance's start first and removes rows then. And its rows have the shape they were planned with if no
//! statement about the instance has been added since: the capture process adds the statement in the same transaction
//! in which it alters the change table. So both are asked for behind each batch, in the same query, and a batch of which
//! one isn't true any more is thrown away, with the plan.

use std::collections::VecDeque;
use std::sync::Arc;

use millstream_core::error::SourceError;
use millstream_core::row::RowBatch;
use millstream_core::schema::{TableName, TableSchema};
use tiberius::Row;

use super::values;
use crate::capture::plan::{Change, Step, Stretch};
use crate::capture::shape::may_be_left_out;
use crate::connect::Connection;
use crate::decode::RowDecoder;
use crate::error::{QueryError, number};
use crate::field::{int, lsn};
use crate::keyset::{KeyPart, in_turn, stretches_behind};
use crate::position::Lsn;
use crate::quote::quoted;

/// Rows in hand, of all tables together.
const BATCHES_BYTES: usize = 16 << 20;
/// Rows of one batch.
const BATCH_ROWS_MAX: usize = 20_000;
/// Rows of a table's first batch, whose size isn't known: small and large ones.
const FIRST_ROWS: usize = 1_000;
const FIRST_LARGE_ROWS: usize = 16;
/// An update is two rows that must not be parted.
const BATCH_ROWS_MIN: usize = 4;
/// The columns in front of the table's own.
const OWN_COLUMNS: usize = 4;

/// The place of a change among all of the database. Changes to tables come before the rows of the same commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The commit that the row belongs to.
    pub(super) commit: Lsn,
    /// Which of the transaction's commands it was.
    command: i64,
    sequence: Lsn,
    operation: i32,
}

impl Place {
    fn of_change(at: Lsn) -> Self {
        Self { commit: at, command: i64::MIN, sequence: Lsn::ZERO, operation: 0 }
    }

    fn of_row(row: &Row) -> Option<(Self, Operation)> {
        let operation = int(row, 3)?;
        let command = i64::from(int(row, 1).unwrap_or_default());
        let place = Self { commit: lsn(row, 0)?, command, sequence: lsn(row, 2)?, operation };
        Some((place, Operation::from_number(operation)?))
    }

    /// Whether both are rows of one update.
    fn is_with(self, other: Place) -> bool {
        (self.commit, self.command, self.sequence) == (other.commit, other.command, other.sequence)
    }
}

/// What a change row tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Delete,
    Insert,
    /// A row as it was before an update; the next is the same row after it.
    Before,
    After,
}

impl Operation {
    fn from_number(number: i32) -> Option<Self> {
        match number {
            1 => Some(Operation::Delete),
            2 => Some(Operation::Insert),
            3 => Some(Operation::Before),
            4 => Some(Operation::After),
            _ => None,
        }
    }
}

/// One row change: the row, and for an update the row before it. Numbers of rows in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowPlace {
    Delete(usize),
    Insert(usize),
    Update { before: usize, after: usize },
}

/// A row change in the batch that holds it, and the shape of its rows.
pub(super) struct ChangedRow<'a> {
    pub(super) rows: &'a RowBatch,
    pub(super) schema: &'a Arc<TableSchema>,
    pub(super) place: RowPlace,
    /// Whether it is certain that it comes in its transaction where it stands.
    pub(super) is_in_order: bool,
}

/// Why a batch or an answer about a table can't be had.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// The catalog isn't what the plan was made from any more: plan anew.
    Outdated,
    /// The table's change rows can't be read.
    Table { name: TableName, reason: String, remedy: Option<String> },
    /// Nothing can be read.
    Source(SourceError),
}

impl Obstacle {
    /// Change rows that aren't as they must be.
    fn unreadable(name: &TableName, reason: String) -> Self {
        let remedy = "Check that the server's version is supported, and report this; it is tried again now and then";
        Obstacle::Table { name: name.clone(), reason, remedy: Some(remedy.to_owned()) }
    }
}

impl From<SourceError> for Obstacle {
    fn from(error: SourceError) -> Self {
        Obstacle::Source(error)
    }
}

/// Rows of one stretch, decoded.
#[derive(Default)]
struct Batch {
    places: Vec<(Place, Operation)>,
    rows: RowBatch,
    next: usize,
    /// Whether the stretch has no more behind it.
    is_last: bool,
}

/// See the module's docs.
pub(super) struct Cursor {
    name: TableName,
    steps: VecDeque<Step>,
    batch: Option<Batch>,
    /// The last row read of the stretch.
    resume: Option<Place>,
    decoder: Option<(Arc<TableSchema>, RowDecoder, String)>,
    batch_bytes_max: usize,
    batch_rows_max: usize,
    /// Bytes read since this was last asked.
    read_bytes: u64,
}

impl Cursor {
    /// `cursors` read at the same time.
    pub(super) fn new(name: TableName, steps: Vec<Step>, cursors: usize) -> Self {
        Self {
            name,
            steps: steps.into(),
            batch: None,
            resume: None,
            decoder: None,
            batch_bytes_max: BATCHES_BYTES / cursors.max(1),
            batch_rows_max: 0,
            read_bytes: 0,
        }
    }

    pub(super) fn name(&self) -> &TableName {
        &self.name
    }

    /// The bytes of rows read since the last call.
    pub(super) fn take_read_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.read_bytes)
    }

    /// The place of what comes next; `None` at the end. Reads a batch if there is none in hand.
    pub(super) async fn peek(&mut self, connection: &mut Connection) -> Result<Option<Place>, Obstacle> {
        loop {
            match self.steps.front() {
                None => return Ok(None),
                Some(Step::Change(change)) => return Ok(Some(Place::of_change(change.at))),
                Some(Step::Read(stretch)) => {
                    if let Some((place, _)) = self.batch.as_ref().and_then(|batch| batch.places.get(batch.next)) {
                        return Ok(Some(*place));
                    }
                    if self.batch.take().is_some_and(|batch| batch.is_last) {
                        self.steps.pop_front();
                        self.resume = None;
                        continue;
                    }
                    let stretch = stretch.clone();
                    self.read_batch(connection, &stretch).await?;
                }
            }
        }
    }

    /// The place of what comes next, if nothing has to be read for it.
    pub(super) fn in_hand(&self) -> Option<Place> {
        match self.steps.front()? {
            Step::Change(change) => Some(Place::of_change(change.at)),
            Step::Read(_) => {
                self.batch.as_ref().and_then(|batch| batch.places.get(batch.next)).map(|(place, _)| *place)
            }
        }
    }

    /// Takes the change that comes next, if it is one.
    pub(super) fn take_change(&mut self) -> Option<Change> {
        match self.steps.front() {
            Some(Step::Change(_)) => match self.steps.pop_front() {
                Some(Step::Change(change)) => Some(change),
                _ => None,
            },
            _ => None,
        }
    }

    /// Takes the row that comes next, if it is one that is in hand.
    pub(super) fn take_row(&mut self) -> Result<Option<ChangedRow<'_>>, Obstacle> {
        let Some(batch) = &mut self.batch else { return Ok(None) };
        let Some(Step::Read(stretch)) = self.steps.front() else { return Ok(None) };
        let at = batch.next;
        let Some((place, operation)) = batch.places.get(at).copied() else { return Ok(None) };
        let row = match operation {
            Operation::Delete => RowPlace::Delete(at),
            Operation::Insert => RowPlace::Insert(at),
            Operation::Before | Operation::After => match batch.places.get(at + 1) {
                Some((next, Operation::After)) if operation == Operation::Before && next.is_with(place) => {
                    batch.next += 1;
                    RowPlace::Update { before: at, after: at + 1 }
                }
                _ => {
                    let reason = format!("commit {} has an update with one row only", place.commit);
                    return Err(Obstacle::unreadable(&self.name, reason));
                }
            },
        };
        batch.next += 1;
        Ok(Some(ChangedRow {
            rows: &batch.rows,
            schema: &stretch.schema,
            place: row,
            is_in_order: stretch.tells_commands,
        }))
    }

    async fn read_batch(&mut self, connection: &mut Connection, stretch: &Stretch) -> Result<(), Obstacle> {
        let is_large = stretch.schema.columns.iter().any(may_be_left_out);
        if self.batch_rows_max == 0 {
            self.batch_rows_max = if is_large { FIRST_LARGE_ROWS } else { FIRST_ROWS };
        }
        let limit = self.batch_rows_max;
        let mut batch = self.ask(connection, stretch, limit).await?;
        batch.is_last = batch.places.len() < limit;
        let (rows, bytes) = (batch.places.len(), batch.rows.size_bytes());
        self.read_bytes += bytes as u64;
        if let Some(row_bytes) = bytes.checked_div(rows).filter(|_| rows > 0) {
            let fitting = self.batch_bytes_max / row_bytes.max(1);
            self.batch_rows_max = fitting.min(limit * 8).clamp(BATCH_ROWS_MIN, BATCH_ROWS_MAX);
        }
        // The second row of the update comes with the next batch, and the first again with it.
        if !batch.is_last && batch.places.last().is_some_and(|(_, operation)| *operation == Operation::Before) {
            batch.places.pop();
        }
        self.resume = batch.places.last().map(|(place, _)| *place).or(self.resume);
        self.batch = Some(batch);
        Ok(())
    }

    async fn ask(&mut self, connection: &mut Connection, stretch: &Stretch, limit: usize) -> Result<Batch, Obstacle> {
        let (decoder, select) = decoder(&mut self.decoder, &stretch.schema);
        let (statement, results_of_rows) = statement(stretch, select, self.resume.is_some());
        let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
        let needed = self.resume.map_or(stretch.from, |place| place.commit);
        let (from, upto) = (needed.bytes(), stretch.upto.bytes());
        let resume = self.resume.unwrap_or(Place::of_change(stretch.from));
        let sequence = resume.sequence.bytes();
        let what = format!("read the changes of {}", self.name);
        let mut parameters: Vec<&dyn tiberius::ToSql> = vec![&rows_max, &stretch.change_table];
        let (from, upto, sequence) = (from.as_slice(), upto.as_slice(), sequence.as_slice());
        parameters.extend([&from as &dyn tiberius::ToSql, &upto]);
        if self.resume.is_some() {
            parameters.extend([&resume.command as &dyn tiberius::ToSql, &sequence, &resume.operation]);
        }
        let asked = connection.query(what, &statement, &parameters).await;
        let mut rows = asked.map_err(|error| obstacle(&self.name, error))?;
        let mut batch = Batch { rows: RowBatch::new(stretch.schema.columns.len()), ..Batch::default() };
        let mut malformed: Option<String> = None;
        let mut bounds: Option<(Option<Lsn>, Option<Lsn>)> = None;
        // To the end in any case, so that the connection can be used again.
        while let Some(row) = rows.next().await.map_err(|error| obstacle(&self.name, error))? {
            if row.result_index() >= results_of_rows {
                bounds = Some((lsn(&row, 0), lsn(&row, 1)));
            } else if malformed.is_none() {
                match Place::of_row(&row) {
                    None => malformed = Some("a change row doesn't say where it belongs or what it tells".to_owned()),
                    Some(place) => match decoder.push(&row, OWN_COLUMNS, &mut batch.rows) {
                        Ok(()) => batch.places.push(place),
                        Err(error) => malformed = Some(error.to_string()),
                    },
                }
            }
        }
        match bounds {
            Some((Some(start), last)) if start <= needed && last == stretch.last_statement => {}
            _ => return Err(Obstacle::Outdated),
        }
        match malformed {
            Some(reason) => Err(Obstacle::unreadable(&self.name, reason)),
            None => Ok(batch),
        }
    }
}

/// The decoder for a shape; made once for the rows of a stretch.
fn decoder<'a>(
    kept: &'a mut Option<(Arc<TableSchema>, RowDecoder, String)>,
    schema: &Arc<TableSchema>,
) -> (&'a mut RowDecoder, &'a str) {
    if kept.as_ref().is_none_or(|(of, _, _)| !Arc::ptr_eq(of, schema)) {
        *kept = None;
    }
    let (_, decoder, select) =
        kept.get_or_insert_with(|| (Arc::clone(schema), RowDecoder::new(schema), values::select(schema)));
    (decoder, select.as_str())
}

/// The rows of a stretch from a place on, in the order of the change table's clustered index, and behind them what
/// tells whether they are all. Where rows don't tell their command, all of a transaction count as of one. With it comes
/// how many of the results are rows.
fn statement(stretch: &Stretch, select: &str, resumes: bool) -> (String, usize) {
    let change_table = quoted(&format!("{}_CT", stretch.instance));
    let (command, order) = match stretch.tells_commands {
        true => ("[__$command_id]", "[__$start_lsn], [__$command_id], [__$seqval], [__$operation]"),
        false => ("0", "[__$start_lsn], [__$seqval], [__$operation]"),
    };
    let upto = "[__$start_lsn] <= CAST(@P4 AS binary(10))";
    let stretches: Vec<String> = match resumes {
        true => behind(stretch.tells_commands).iter().map(|stretch| format!("{stretch} AND {upto}")).collect(),
        false => vec![format!("[__$start_lsn] >= CAST(@P3 AS binary(10)) AND {upto}")],
    };
    let comma = if select.is_empty() { "" } else { ", " };
    let rows = in_turn("@P1", &stretches, |top, condition| {
        format!(
            "SELECT {top} [__$start_lsn], {command}, [__$seqval], [__$operation]{comma}{select} FROM \
             [cdc].{change_table} WHERE {condition} ORDER BY {order}"
        )
    });
    let statement = format!(
        "{rows}; SELECT c.start_lsn, (SELECT MAX(h.ddl_lsn) FROM cdc.ddl_history AS h WHERE h.object_id = c.object_id) \
         FROM cdc.change_tables AS c WHERE c.object_id = @P2"
    );
    (statement, stretches.len())
}

/// The stretches of the clustered index behind the last row that was read.
fn behind(tells_commands: bool) -> Vec<String> {
    let mut key = vec![KeyPart::new("[__$start_lsn]", "CAST(@P3 AS binary(10))")];
    if tells_commands {
        key.push(KeyPart::new("[__$command_id]", "CAST(@P5 AS int)"));
    }
    key.push(KeyPart::new("[__$seqval]", "CAST(@P6 AS binary(10))"));
    key.push(KeyPart::new("[__$operation]", "@P7"));
    stretches_behind(&key)
}

/// What an error of a query about one table's change rows means.
pub(super) fn obstacle(name: &TableName, error: QueryError) -> Obstacle {
    match error.number() {
        // Dropped, or altered, since it was planned.
        Some(number::OBJECT_UNKNOWN | number::COLUMN_UNKNOWN) => Obstacle::Outdated,
        Some(number::PERMISSION_DENIED | number::COLUMN_PERMISSION_DENIED) => Obstacle::Table {
            name: name.clone(),
            reason: error.to_string(),
            remedy: Some("Let the login read the change tables: GRANT SELECT ON SCHEMA::cdc TO its user".to_owned()),
        },
        number => match SourceError::from(error) {
            // The server has answered, and says that this query can't be run: of other tables that says nothing.
            SourceError::Definite { diagnosis, remedy } if number.is_some() => {
                Obstacle::Table { name: name.clone(), reason: diagnosis, remedy: Some(remedy) }
            }
            error => Obstacle::Source(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_to_a_table_comes_before_rows_of_the_same_commit() {
        let row = |commit, command, sequence, operation| Place {
            commit: Lsn::new(1, commit, 0),
            command,
            sequence: Lsn::new(1, sequence, 0),
            operation,
        };
        let ordered = [
            row(1, 9, 9, 4),
            Place::of_change(Lsn::new(1, 2, 0)),
            row(2, 0, 9, 1),
            row(2, 1, 1, 3),
            row(2, 1, 1, 4),
            row(2, 1, 2, 2),
            row(2, 2, 1, 2),
        ];
        assert!(ordered.is_sorted());
        assert!(ordered[3].is_with(ordered[4]) && !ordered[4].is_with(ordered[5]));
    }
}
