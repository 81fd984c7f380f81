//! What a source's stream delivers.

use std::sync::Arc;

use crate::position::Position;
use crate::row::RowBatch;
use crate::schema::TableSchema;
use crate::schema_change::SchemaChange;

/// What happened to one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChange {
    /// The row exists now with exactly these values; it replaces whatever its identity named before.
    Upsert,
    /// The row that this identity names is gone. Only the identity's columns need hold their values.
    Delete,
    /// The log tells that the row with this identity changed, but not what it is now: a partial image, or one of
    /// several equal rows of a table without any key was removed. The identity's columns hold their values.
    /// Whoever receives this asks the source.
    Recheck,
}

/// Changes to rows of one table, in the order in which they were made.
///
/// An update that changes a row's identity is two changes: a delete of the old and an upsert of the new.
#[derive(Debug, Clone)]
pub struct RowChanges {
    /// The schema by which the rows were decoded.
    pub schema: Arc<TableSchema>,
    /// One row a change.
    pub rows: RowBatch,
    /// What happened to each, as many as there are rows.
    pub changes: Vec<RowChange>,
}

impl RowChanges {
    /// No changes yet.
    pub fn new(schema: Arc<TableSchema>) -> Self {
        Self { rows: RowBatch::new(schema.columns.len()), schema, changes: Vec::new() }
    }
}

/// One item of the stream.
#[derive(Debug, Clone)]
pub enum Event {
    /// Row changes of one table.
    Rows(RowChanges),
    /// A schema change, at its place among the row changes.
    Schema(SchemaChange),
}

/// The end of one or several whole transactions.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Where to resume after them.
    pub position: Position,
    /// When the last of them was committed, by the source's clock, in milliseconds since 1970 (UTC).
    pub committed_at_ms: i64,
    /// How many transactions end here, counting those that concerned no selected table.
    pub transactions: u32,
    /// How many bytes of log were read for them.
    pub log_bytes: u64,
}

/// What the stream hands over at once: a part of a large transaction, or several whole small ones.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What happened, in commit order.
    pub events: Vec<Event>,
    /// Present if the last event ends a transaction; absent if more of the same transaction follows.
    /// A delivery without events and with a commit says that nothing selected happened up to there.
    pub commit: Option<Commit>,
}
