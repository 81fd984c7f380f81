//! What is asked and answered. The socket carries these as they are; `--json` prints the documented part of them.

use serde::{Deserialize, Serialize};

use millstream_core::sink::DifferenceKind;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// One [`Reply::Status`].
    Status,
    /// A [`Reply::Schema`] for each table.
    Schema,
    /// A [`Reply::Change`] for each line of the history, oldest first.
    History,
    /// A [`Reply::Bucket`] for each bucket.
    Buckets,
    /// A [`Reply::Row`] for each live row.
    Rows { bucket: Option<String> },
    /// A [`Reply::Op`] for each op.
    Ops { bucket: Option<String> },
    /// [`Reply::Progress`] now and then, and one [`Reply::Verified`].
    Verify { source: Option<String>, tables: Vec<String> },
    /// [`Reply::Progress`] now and then, and one [`Reply::Reloaded`].
    Reload { source: Option<String>, table: String },
}

/// What can be answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Status(StatusReport),
    Schema(SchemaReport),
    Change(ChangeReport),
    Bucket(BucketReport),
    Row(RowReport),
    Op(OpReport),
    Progress(Vec<ProgressReport>),
    /// What is being done first, for people who wait.
    Note(String),
    Verified(VerifyReport),
    Reloaded(ReloadReport),
    /// Nothing more comes.
    End,
    /// The request could not be answered (any further).
    Failed {
        diagnosis: String,
        remedy: Option<String>,
    },
}

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatusReport {
    /// Whether somebody answered who follows the sources, as opposed to the store.
    pub(crate) running: bool,
    /// The command that follows the sources for itself alone, and since when, where it isn't `millstream run`.
    #[serde(default)]
    pub(crate) at_work: Option<String>,
    /// The files that have changed since `millstream run` read them.
    #[serde(default)]
    pub(crate) outdated_files: Vec<String>,
    pub(crate) sources: Vec<SourceReport>,
    /// What of a changed sync config isn't deployed yet because of tables that are held.
    #[serde(default)]
    pub(crate) waiting: Vec<WaitingReport>,
    pub(crate) checkpoint: CheckpointReport,
}

/// A changed definition that a held table keeps from taking the place of the one by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingReport {
    pub(crate) definition: String,
    pub(crate) source: String,
    pub(crate) table: String,
    pub(crate) reason: String,
}

/// The newest consistent state for readers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointReport {
    /// 0 while there is none.
    pub(crate) op_id: u64,
    /// Each source's position in it, by the source's name.
    pub(crate) positions: Vec<(String, String)>,
}

/// How one source stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SourceReport {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// What is durable in the buckets; absent before the first read.
    pub(crate) position: Option<String>,
    /// The source's own newest position; absent if it can't be asked.
    pub(crate) head: Option<String>,
    pub(crate) behind_ms: Option<u64>,
    pub(crate) behind_bytes: Option<u64>,
    pub(crate) changes_per_second: Option<f64>,
    pub(crate) rows_read_per_second: Option<f64>,
    /// What keeps it from being followed right now.
    pub(crate) trouble: Option<TroubleReport>,
    pub(crate) tables: Vec<TableReport>,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TroubleReport {
    pub(crate) diagnosis: String,
    pub(crate) remedy: Option<String>,
}

/// How one table stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableReport {
    pub(crate) table: String,
    pub(crate) state: String,
    pub(crate) rows: u64,
    pub(crate) reason: Option<String>,
    pub(crate) progress: Option<ProgressReport>,
}

/// How far the reading of a table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProgressReport {
    pub(crate) source: String,
    pub(crate) table: String,
    pub(crate) rows_read: u64,
    pub(crate) rows_estimate: Option<u64>,
    /// How long it has been going on; 0 if it isn't at the moment.
    pub(crate) elapsed_ms: u64,
}

/// One table as it is tracked now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchemaReport {
    pub(crate) source: String,
    pub(crate) table: String,
    /// Absent while the table's shape isn't known.
    pub(crate) version: Option<String>,
    pub(crate) identity: Vec<String>,
    pub(crate) columns: Vec<ColumnReport>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnReport {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) nullable: bool,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeReport {
    pub(crate) source: String,
    pub(crate) position: String,
    /// In milliseconds since 1970 (UTC).
    pub(crate) at_ms: i64,
    pub(crate) table: String,
    pub(crate) change: String,
    pub(crate) effect: String,
    pub(crate) statement: Option<String>,
    pub(crate) rows_read: u64,
    pub(crate) ops_written: u64,
    /// Absent while it lasts.
    pub(crate) duration_ms: Option<u64>,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketReport {
    pub(crate) bucket: String,
    pub(crate) ops: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) checksum: u32,
}

/// One live row of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowReport {
    pub(crate) bucket: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) id: String,
    /// The JSON text exactly as it is stored.
    pub(crate) data: String,
}

/// One op of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpReport {
    pub(crate) bucket: String,
    pub(crate) op_id: u64,
    /// `PUT`, `REMOVE`, `MOVE` or `CLEAR`.
    pub(crate) op: String,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) id: Option<String>,
    /// Tells objects of the same type and id apart.
    pub(crate) subkey: Option<String>,
    pub(crate) checksum: u32,
    /// The JSON text exactly as it is stored.
    pub(crate) data: Option<String>,
}

/// How a comparison ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VerifyReport {
    pub(crate) tables: Vec<VerifiedTableReport>,
    pub(crate) not_compared: Vec<NotComparedReport>,
}

/// One compared table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VerifiedTableReport {
    pub(crate) source: String,
    pub(crate) table: String,
    pub(crate) rows_compared: u64,
    pub(crate) differences_total: u64,
    /// The first of them.
    pub(crate) differences: Vec<DifferenceReport>,
}

/// One row that isn't in the buckets as it is at the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DifferenceReport {
    pub(crate) key: String,
    pub(crate) kind: DifferenceKind,
    pub(crate) place: String,
}

/// One table that could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotComparedReport {
    pub(crate) source: String,
    pub(crate) table: String,
    pub(crate) reason: String,
}

/// How a reload ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReloadReport {
    pub(crate) source: String,
    pub(crate) table: String,
    pub(crate) rows_read: u64,
    pub(crate) ops_written: u64,
    pub(crate) duration_ms: u64,
}
