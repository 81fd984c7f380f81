//! What is remembered about each selected table, in one record that a sink stores beside its data.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::schema::{TableName, TableSchema};
use crate::schema_change::HistoryEntry;
use crate::source::KeyRange;

/// The number of a table within its source; not given to another while any row of it is stored.
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

/// A line of the history whose effect lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHistory {
    /// The line's number.
    pub id: u64,
    /// The line as it was written when the change arrived.
    pub entry: HistoryEntry,
    /// When the change arrived, in milliseconds since 1970 (UTC), by this machine's clock.
    pub arrived_at_ms: i64,
}

impl OpenHistory {
    /// The line once its effect has ended, now.
    pub fn closed(self, rows_read: u64, ops_written: u64) -> HistoryEntry {
        let duration_ms = u64::try_from(now_ms().saturating_sub(self.arrived_at_ms)).unwrap_or(0);
        HistoryEntry { rows_read, ops_written, duration_ms: Some(duration_ms), ..self.entry }
    }
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
    /// The line of the history that this pass completes.
    pub history: Option<OpenHistory>,
    /// Something happened meanwhile that this pass may have missed: when it ends, another begins.
    pub again: bool,
    /// The line of the history that the other pass completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<OpenHistory>,
    /// Rows had to be asked for one by one meanwhile, which is remembered in memory only: after a restart of the
    /// process the pass begins anew instead of going on.
    pub rechecked: bool,
}

impl PassRecord {
    /// A pass that begins now.
    pub fn new(cause: impl Into<String>, history: Option<OpenHistory>) -> Self {
        Self {
            cause: cause.into(),
            ranges: Vec::new(),
            rows_read: 0,
            rows_estimate: None,
            started_at_ms: now_ms(),
            history,
            again: false,
            next: None,
            rechecked: false,
        }
    }
}

/// This machine's clock, in milliseconds since 1970 (UTC).
pub fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
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
    /// The generation that every write to a stored row of the table is stamped with. Grows with every pass; never
    /// given twice, not even when a crash takes back what was written (see [`crate::sink::Restored::incarnation`]).
    pub generation: u64,
    /// The pass in progress.
    pub pass: Option<PassRecord>,
}
