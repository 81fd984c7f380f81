//! What is remembered about each selected table, in one record that a sink stores beside its data.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::schema::{TableName, TableSchema};
use crate::source::KeyRange;

/// The number of a table within its source; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId(pub u32);

/// How a table stands to the promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum TableState {
    /// Its first read isn't finished; not visible yet.
    Loading,
    /// What is stored is what a fresh read would give.
    Live,
    /// Visible, and being read again.
    Reconciling,
    /// Its row changes are being skipped.
    Held {
        /// Why.
        reason: String,
        /// What ends it, by itself or by the operator.
        remedy: String,
    },
}

impl TableState {
    /// The state's word, as in `status`.
    pub fn word(&self) -> &'static str {
        match self {
            TableState::Loading => "loading",
            TableState::Live => "live",
            TableState::Reconciling => "reconciling",
            TableState::Held { .. } => "held",
        }
    }
}

impl fmt::Display for TableState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// How far one range of a pass has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeProgress {
    /// What is left of it.
    pub left: KeyRange,
    /// Whether nothing is.
    pub done: bool,
}

/// A re-read of a whole table in progress, as persisted with every chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassRecord {
    /// Why the table is being read: one or two words for the history, `first read` or `altered`.
    pub cause: String,
    /// The ranges; empty until the table has been split.
    pub ranges: Vec<RangeProgress>,
    /// Rows read so far.
    pub rows_read: u64,
    /// About how many rows there are.
    pub rows_estimate: Option<u64>,
    /// When it began, in milliseconds since 1970 (UTC), by this machine's clock.
    pub started_at_ms: i64,
    /// The entry of the history that this pass completes.
    pub history_id: Option<u64>,
}

/// Everything remembered about one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// Its number.
    pub id: TableId,
    /// Its name.
    pub name: TableName,
    /// Its shape at the stored position; `None` while that isn't known.
    pub schema: Option<Arc<TableSchema>>,
    /// How it stands.
    pub state: TableState,
    /// Whether readers see its rows: from the first time that it is `live`, for as long as it is tracked.
    pub visible: bool,
    /// The generation that every write to a stored row of the table is stamped with. Grows with every pass.
    pub generation: u64,
    /// The pass in progress.
    pub pass: Option<PassRecord>,
}
