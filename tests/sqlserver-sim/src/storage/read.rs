//! Reading rows, a batch at a time.

use std::ops::Bound;
use std::sync::Arc;

use crate::engine::session::Isolation;
use crate::error::{SqlError, SqlResult};
use crate::value::Value;

use super::catalog::{Catalog, DatabaseId};
use super::data::{Reached, ReadCursor, Span, View};
use super::key::RowId;
use super::lock::{LockDuration, LockMode};
use super::table::{IndexId, Row, Table};
use super::transaction::Transaction;

/// Rows that one step reads at most, so that writers get their turn.
const STEP_ROWS_MAX: usize = 4096;

/// A range of an index in its own order. Each bound is a prefix of the index's key whose values are of the columns' types.
#[derive(Clone, Debug)]
pub struct KeyRange {
    pub low: Bound<Vec<Value>>,
    pub high: Bound<Vec<Value>>,
}

impl KeyRange {
    pub const ALL: Self = Self { low: Bound::Unbounded, high: Bound::Unbounded };

    /// Keys that begin with these values.
    pub fn prefix(values: Vec<Value>) -> Self {
        Self { low: Bound::Included(values.clone()), high: Bound::Included(values) }
    }
}

/// Which rows a reader sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visibility {
    /// As the transaction's isolation says.
    Isolation,
    /// `NOLOCK`: whatever was written, committed or not.
    Uncommitted,
    /// `READPAST`: what is committed; rows that others hold are left out.
    SkipHeld,
    /// What was committed last, waiting for others, also where isolation says otherwise (`READCOMMITTEDLOCK`, and the
    /// rows that a statement means to change).
    Current,
}

#[derive(Clone, Debug)]
pub struct ReadRequest {
    pub database: DatabaseId,
    pub table: Arc<Table>,
    /// None reads in the order of the clustered index, or of a heap's rows.
    pub index: Option<IndexId>,
    pub range: KeyRange,
    /// From the high end.
    pub descending: bool,
    pub visibility: Visibility,
}

impl ReadRequest {
    /// All rows of a table in clustered order.
    pub fn all(database: DatabaseId, table: Arc<Table>) -> Self {
        Self {
            database,
            table,
            index: None,
            range: KeyRange::ALL,
            descending: false,
            visibility: Visibility::Isolation,
        }
    }

    pub fn range(mut self, index: IndexId, range: KeyRange) -> Self {
        self.index = Some(index);
        self.range = range;
        self
    }

    pub fn visible(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }
}

impl Transaction {
    /// Reads on from the cursor and adds at most `rows_max` rows to `out`. False once all were read.
    ///
    /// # Errors
    /// 1205, 1222 or cancellation while waiting for rows that others hold; 3952 where snapshots aren't allowed; 911 or
    /// 208 where database or table are gone.
    pub fn read(
        &mut self,
        request: &ReadRequest,
        cursor: &mut ReadCursor,
        rows_max: usize,
        out: &mut Vec<(RowId, Row)>,
    ) -> SqlResult<bool> {
        let rows_max = out.len() + rows_max.min(STEP_ROWS_MAX);
        let view = self.view(request.database, &request.table, request.visibility)?;
        let mode = match view {
            View::Newest | View::Snapshot(_) => LockMode::SchemaStability,
            View::Committed | View::SkipHeld => LockMode::IntentShared,
        };
        self.lock_for_reading(request.database, request.table.object_id, mode)?;
        let span = Span {
            index: request.index,
            low: &request.range.low,
            high: &request.range.high,
            descending: request.descending,
        };
        let before = out.len();
        let more = self.read_span(request, view, &span, cursor, rows_max, out);
        self.storage.count_rows_read(out.len() - before);
        more
    }

    fn read_span(
        &self,
        request: &ReadRequest,
        view: View,
        span: &Span<'_>,
        cursor: &mut ReadCursor,
        rows_max: usize,
        out: &mut Vec<(RowId, Row)>,
    ) -> SqlResult<bool> {
        let before = out.len();
        let deadline = self.waiter().deadline();
        loop {
            let generation = self.storage.locks.generation();
            let reached = {
                let state = self.storage.read_state();
                let data = state.database(request.database)?.data(request.table.object_id)?;
                data.read(self.id, view, span, cursor, rows_max, out)?
            };
            match reached {
                Reached::End => return Ok(false),
                Reached::Limit => return Ok(true),
                Reached::Held(_) if out.len() > before => return Ok(true),
                Reached::Held(holder) => self.storage.locks.wait(&self.waiter(), holder, generation, deadline)?,
            }
        }
    }

    /// All rows that a request gives, for tables that are known to be small.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(&mut self, request: &ReadRequest) -> SqlResult<Vec<(RowId, Row)>> {
        let mut rows = Vec::new();
        let mut cursor = ReadCursor::default();
        while self.read(request, &mut cursor, STEP_ROWS_MAX, &mut rows)? {}
        Ok(rows)
    }

    /// The first row that a request gives.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_first(&mut self, request: &ReadRequest) -> SqlResult<Option<(RowId, Row)>> {
        let mut rows = Vec::new();
        let mut cursor = ReadCursor::default();
        while self.read(request, &mut cursor, 1, &mut rows)? && rows.is_empty() {}
        Ok(rows.into_iter().next())
    }

    /// A row as it is now.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn row(&mut self, database: DatabaseId, table: &Table, id: RowId) -> SqlResult<Option<Row>> {
        let deadline = self.waiter().deadline();
        loop {
            let generation = self.storage.locks.generation();
            let seen =
                self.storage.read_state().database(database)?.data(table.object_id)?.row(self.id, id, View::Committed);
            match seen {
                Ok(row) => return Ok(row),
                Err(holder) => self.storage.locks.wait(&self.waiter(), holder, generation, deadline)?,
            }
        }
    }

    fn view(&mut self, database: DatabaseId, table: &Table, visibility: Visibility) -> SqlResult<View> {
        match (visibility, self.isolation()) {
            (Visibility::Uncommitted, _) | (Visibility::Isolation, Isolation::ReadUncommitted) => Ok(View::Newest),
            (Visibility::SkipHeld, _) => Ok(View::SkipHeld),
            (Visibility::Current, _) => Ok(View::Committed),
            (Visibility::Isolation, Isolation::Snapshot) => {
                self.check_snapshot_allowed(database)?;
                Ok(View::Snapshot(self.transaction_snapshot()))
            }
            (Visibility::Isolation, Isolation::RepeatableRead | Isolation::Serializable) => {
                self.lock_table(database, table.object_id, LockMode::Shared, LockDuration::Transaction)?;
                Ok(View::Committed)
            }
            (Visibility::Isolation, Isolation::ReadCommitted) => {
                let versioned = self.catalog(database)?.options.read_committed_snapshot;
                Ok(if versioned { View::Snapshot(self.statement_snapshot()) } else { View::Committed })
            }
        }
    }

    /// System databases are always readable in snapshots.
    fn check_snapshot_allowed(&self, database: DatabaseId) -> SqlResult<()> {
        let catalog: Arc<Catalog> = self.catalog(database)?;
        if catalog.options.allow_snapshot_isolation || database <= DatabaseId::MSDB {
            return Ok(());
        }
        let name = self.storage.database(database).map_or_else(String::new, |database| database.name.to_string());
        let text = format!(
            "Snapshot isolation transaction failed accessing database '{name}' because snapshot isolation is not allowed in this database. Use ALTER DATABASE to allow snapshot isolation."
        );
        Err(SqlError::new(3952, 16, text))
    }
}
