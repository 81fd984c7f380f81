//! A pass on its way, as the pipeline holds it.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use crate::schema::{IdentityKind, TableName, TableSchema};
use crate::sink::{Difference, PassMode};
use crate::source::Chunk;
use crate::table::TableId;

/// How a pass went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PassSummary {
    /// Which table.
    pub table: TableName,
    /// Rows read from the source.
    pub rows_read: u64,
    /// Ops written.
    pub ops_written: u64,
    /// Rows compared, those included that the stream had brought meanwhile.
    pub rows_compared: u64,
    /// Rows that differed.
    pub differences_total: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// From the begin to the end, in milliseconds. Where restarts of the process interrupted it, from its first begin,
    /// and the time in which no process ran counts as well.
    pub duration_ms: u64,
}

/// A chunk that has been read and not yet applied. Its permit bounds how many there are.
pub(crate) struct ReadyChunk {
    pub(crate) range: usize,
    pub(crate) chunk: Chunk,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// One table being read.
pub(crate) struct Pass {
    pub(crate) table: TableId,
    pub(crate) generation: u64,
    pub(crate) mode: PassMode,
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) started: Instant,
    pub(crate) rows_read: u64,
    /// How many ranges aren't read to their end; `None` until the table has been split.
    pub(crate) ranges_left: Option<usize>,
    /// Read, and waiting for the stream to reach their high position.
    pub(crate) waiting: Vec<ReadyChunk>,
    /// How many scans of the table in a row came to nothing before this.
    pub(crate) scans_lost: u32,
    /// Whether the sweep has been handed to the sink.
    pub(crate) sweeping: bool,
    /// The tasks that read; dropping the pass ends them.
    pub(crate) tasks: JoinSet<()>,
}

impl Pass {
    pub(crate) fn new(table: TableId, generation: u64, mode: PassMode, schema: Arc<TableSchema>) -> Self {
        Self {
            table,
            generation,
            mode,
            schema,
            started: Instant::now(),
            rows_read: 0,
            ranges_left: None,
            waiting: Vec::new(),
            scans_lost: 0,
            sweeping: false,
            tasks: JoinSet::new(),
        }
    }

    /// Whether all chunks have been read and applied.
    pub(crate) fn is_read(&self) -> bool {
        self.ranges_left == Some(0) && self.waiting.is_empty()
    }

    /// Whether its scan can't be resumed in the middle.
    pub(crate) fn is_one_scan(&self) -> bool {
        self.schema.identity.kind == IdentityKind::WholeRow
    }
}
