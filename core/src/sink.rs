//! The contract of a sink.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::change::{Commit, RowChanges};
use crate::error::SinkError;
use crate::position::Position;
use crate::row::RowBatch;
use crate::schema::{TableName, TableSchema};
use crate::schema_change::HistoryEntry;
use crate::selection::Selection;
use crate::table::{TableId, TableRecord};

/// Where changes go.
///
/// # Accepted and durable
///
/// [`accept`](Sink::accept) returns when a write is *accepted*: it is in a bounded queue, its order is fixed, and what
/// it contains will be stored unless the process dies. A write's commit is *durable* once
/// [`durable`](Sink::durable) shows its position: it is on disk together with everything accepted before it from the
/// same source: ops, row states, table records, history and position, all or nothing. Only durable positions are
/// acknowledged to the source.
///
/// # Exactly once
///
/// After a crash the pipeline resumes at the durable position and offers what followed again. Writes without a commit
/// (parts of a large transaction, chunks) may or may not have been stored by then. Storing them again must change
/// nothing: an op is written only where the output differs from what is stored.
///
/// # Generations
///
/// Every stored row carries the generation that it was last written with. Three rules, which together make a pass end
/// with exactly the rows that exist (the argument stands in [`crate::reconcile`]):
///
/// * a row written by the stream is stamped with the generation of its write, whether or not its output changed; a row
///   deleted by the stream leaves a tombstone with that stamp as long as a pass is on its way;
/// * a row of a chunk is skipped if the stored row, or tombstone, has the chunk's generation already, else it is
///   written and stamped;
/// * a sweep removes every stored row with an older stamp, and all tombstones.
///
/// # Visibility
///
/// A checkpoint is a consistent state for readers. None is made while any source has an open transaction, while a
/// removal or a sweep's end is half done, or before every source has finished its first load: until each has been
/// restored, has a position, and has no table in state `loading`. Rows of a table whose record isn't `visible` while
/// readers can already see other tables become visible all at once, with the record that says `visible`.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The tables wanted of a source.
    fn selection(&self, source: &str) -> Selection;

    /// What was durable when the process last ended. Called once for each source, before anything is accepted from it.
    /// Rows of tables of which there is no record (written without a commit before a crash) are removed by then.
    async fn restore(&self, source: &str) -> Result<Restored, SinkError>;

    /// Accepts a write; waits while the queue is full. Writes of one source are stored in the order in which they were
    /// accepted. Cancelling leaves it either accepted or not.
    async fn accept(&self, source: &str, write: Write) -> Result<(), SinkError>;

    /// The durable position of a source, as it moves. The channel closes when the sink has failed; `accept` then tells
    /// why.
    fn durable(&self, source: &str) -> watch::Receiver<Option<Position>>;

    /// Waits until every write accepted from a source so far is durable, as far as it has a commit. The position of
    /// [`durable`](Sink::durable) alone doesn't tell: what is stored between two transactions of the source has the
    /// position of the one before.
    async fn sync(&self, source: &str) -> Result<(), SinkError>;

    /// How many rows are stored of a table, tombstones not counted; `None` if the sink doesn't count or doesn't know
    /// the table.
    fn stored_rows(&self, source: &str, table: TableId) -> Option<u64>;

    /// Waits until everything accepted so far is stored, and stops.
    async fn close(&self) -> Result<(), SinkError>;
}

/// What a sink remembers of a source.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Where to resume; `None` for a source never followed before.
    pub position: Option<Position>,
    /// The tables at that position.
    pub tables: Vec<TableRecord>,
    /// Stored tables whose rows must be read again because what the sink makes of them has changed.
    pub stale: Vec<TableName>,
    /// The largest history id in use; new ones are larger.
    pub last_history_id: u64,
    /// Whether row changes may have been stored that lie beyond the position: parts of a transaction whose commit
    /// wasn't. A sink notes that in the same store batch as such parts, and takes it back with the commit.
    pub unfinished: bool,
    /// How many times this source has been restored, this time included; on disk before this is returned.
    ///
    /// Writes without a commit may survive a crash with stamps of a generation that no stored record tells of. The
    /// number keeps generations apart that were given before a crash and after it.
    pub incarnation: u32,
}

/// A sequence of items, stored in order.
#[derive(Debug, Default)]
pub struct Write {
    /// What to do.
    pub items: Vec<WriteItem>,
    /// Present if this write ends a transaction; see [`Commit`].
    pub commit: Option<Commit>,
}

/// Whether a pass mends differences or only reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassMode {
    /// Write what differs.
    Repair,
    /// Report what differs, write stamps only.
    Verify,
}

/// One thing to store.
#[derive(Debug)]
pub enum WriteItem {
    /// Row changes from the stream. Contain no `Recheck`.
    Stream {
        /// Of which table.
        table: TableId,
        /// The table's generation.
        generation: u64,
        /// Whether a pass is on its way, so that deletes must leave tombstones.
        pass_active: bool,
        /// The changes.
        changes: RowChanges,
    },
    /// Rows of a pass, read at a state not beyond what the stream has brought by now.
    Chunk {
        /// Of which table.
        table: TableId,
        /// The pass's generation.
        generation: u64,
        /// Mend or report.
        mode: PassMode,
        /// The shape of the rows.
        schema: Arc<TableSchema>,
        /// The rows.
        rows: RowBatch,
    },
    /// The end of a pass: everything has been read. May be worked off in slices between other writes; the reply comes
    /// when all is stored.
    Sweep {
        /// Of which table.
        table: TableId,
        /// The pass's generation.
        generation: u64,
        /// Mend or report.
        mode: PassMode,
        /// Where to report.
        reply: oneshot::Sender<PassReport>,
    },
    /// All stored rows of a table are gone, at this place in the stream: they are removed before the next commit.
    Clear {
        /// Of which table.
        table: TableId,
        /// Where to report, once it is stored; only the ops are counted.
        reply: oneshot::Sender<PassReport>,
    },
    /// The new record of a table.
    Table(Box<TableRecord>),
    /// The table isn't tracked any more; its rows have been cleared.
    Forget {
        /// Which table.
        table: TableId,
    },
    /// A line of the history, new or (by its id) replaced.
    History {
        /// Its number, growing within the source.
        id: u64,
        /// The line.
        entry: HistoryEntry,
    },
}

/// How a pass ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PassReport {
    /// Ops written by its chunks and its sweep.
    pub ops_written: u64,
    /// Rows compared, those included that the stream had brought meanwhile.
    pub rows_compared: u64,
    /// Differences found; in mode [`PassMode::Repair`] they are mended by then.
    pub differences_total: u64,
    /// The first of them, at most [`DIFFERENCES_SHOWN_MAX`].
    pub differences: Vec<Difference>,
}

/// How many differences a report spells out.
pub const DIFFERENCES_SHOWN_MAX: usize = 100;

/// One row whose stored output isn't what a fresh read gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The row's identity, readable.
    pub key: String,
    /// What differs.
    pub kind: DifferenceKind,
    /// Where: a bucket, or a parameter lookup.
    pub place: String,
}

/// How a stored row differs from a fresh read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// The source has it, the sink doesn't.
    Missing,
    /// The sink has it, the source doesn't.
    Extra,
    /// Both have it, with other values.
    Changed,
}
