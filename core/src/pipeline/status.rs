//! What users can see of a source at any time.

use serde::{Deserialize, Serialize};

use crate::schema::TableName;

/// A source and its tables, now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The source's name in the configuration.
    pub name: String,
    /// The kind of source.
    #[serde(rename = "type")]
    pub kind: String,
    /// Up to where its changes are durable; `None` before the first.
    pub position: Option<String>,
    /// The end of its log, as last asked.
    pub head: Option<String>,
    /// How long ago the last durable transaction was committed, in milliseconds, while there is more to read; 0 when
    /// there isn't; `None` while that isn't known.
    pub behind_ms: Option<u64>,
    /// How many bytes of log lie between position and head.
    pub behind_bytes: Option<u64>,
    /// Whether changes are arriving.
    pub connection: ConnectionStatus,
    /// Row changes accepted a second, over the last seconds.
    pub changes_per_second: f64,
    /// Rows read a second by passes, over the last seconds.
    pub rows_read_per_second: f64,
    /// Schema changes seen since the process started.
    pub schema_changes: u64,
    /// The selected tables, by name.
    pub tables: Vec<TableStatus>,
}

/// Whether changes are arriving.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ConnectionStatus {
    /// Not asked for yet.
    #[default]
    Starting,
    /// The stream is open.
    Following,
    /// The outside world is in the way; trying again.
    Retrying {
        /// What went wrong, with its causes.
        error: String,
        /// How many attempts have failed in a row.
        attempts: u32,
    },
    /// Stopped.
    Stopped,
}

/// One table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TableStatus {
    /// Its name.
    pub table: TableName,
    /// `loading`, `live`, `reconciling` or `held`.
    pub state: String,
    /// How many of its rows are stored.
    pub rows: Option<u64>,
    /// Why it isn't live, or what is in the way, with the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How far its pass has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<PassProgress>,
}

/// How far a pass has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassProgress {
    /// Why the table is being read.
    pub cause: String,
    /// Rows read so far.
    pub rows_read: u64,
    /// About how many there are.
    pub rows_estimate: Option<u64>,
    /// How long it has been going on, in milliseconds.
    pub elapsed_ms: u64,
}
