//! What users can see of a source at any time.

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::position::Position;
use crate::schema::TableName;
use crate::source::{Remark, Remarks};
use crate::table::{TableState, now_ms};

use super::follower::Follower;
use super::tables::Table;

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
    /// For how long, in milliseconds, something committed at the source has been waiting to become durable here: 0 when
    /// nothing is, `None` while that isn't known. An upper bound, half a second too high at most on a source that had
    /// been idle.
    pub behind_ms: Option<u64>,
    /// How many bytes of log lie between position and head.
    pub behind_bytes: Option<u64>,
    /// Whether changes are arriving.
    pub connection: ConnectionStatus,
    /// Why none arrive although the stream is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standstill: Option<Remark>,
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
    /// Over, because something definite is in the way.
    Failed {
        /// What.
        reason: String,
        /// How to mend it.
        remedy: String,
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

impl Follower {
    pub(super) fn publish_status(&mut self) {
        let durable = self.durable.borrow().clone();
        // Nobody renews the rates, either, while nothing is followed.
        let is_following = self.connection == ConnectionStatus::Following;
        // Whatever the head was when it was last asked for, nobody knows what has been committed since.
        let behind_ms = match is_following {
            true => self.head.behind_ms(durable.as_ref(), self.progress.accepted()),
            false => None,
        };
        let Remarks { standstill, tables: remarks } = match self.connection {
            ConnectionStatus::Starting | ConnectionStatus::Following => self.connector.remarks(),
            ConnectionStatus::Retrying { .. } | ConnectionStatus::Failed { .. } | ConnectionStatus::Stopped => {
                Remarks::default()
            }
        };
        self.log_standstill(standstill.as_ref());
        let remark = |table: &Table| remarks.get(&table.record.name);
        let mut tables: Vec<TableStatus> =
            self.tables.iter().map(|table| self.table_status(table, remark(table))).collect();
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        let status = SourceStatus {
            name: self.name.clone(),
            kind: self.connector.kind().to_owned(),
            position: durable.map(|position| position.to_string()),
            head: self.head.position().map(Position::to_string),
            behind_ms,
            behind_bytes: self.head.behind_bytes(),
            connection: self.connection.clone(),
            standstill: standstill.clone(),
            changes_per_second: if is_following { self.changes.sample() } else { 0.0 },
            rows_read_per_second: if is_following { self.rows_read.sample() } else { 0.0 },
            schema_changes: self.schema_changes,
            tables,
        };
        self.standstill = standstill;
        self.status.send_replace(status);
    }

    /// Says once that nothing arrives, and once that it is over.
    fn log_standstill(&self, now: Option<&Remark>) {
        match (&self.standstill, now) {
            (before, Some(Remark { found, remedy })) if before.as_ref() != now => {
                warn!(source = %self.name, reason = found, remedy, "no changes arrive");
            }
            (Some(_), None) if self.connection == ConnectionStatus::Following => {
                info!(source = %self.name, "changes arrive again");
            }
            _ => {}
        }
    }

    fn table_status(&self, table: &Table, remark: Option<&Remark>) -> TableStatus {
        let record = &table.record;
        let remark = || remark.map(|Remark { found, remedy }| format!("{found}. {remedy}"));
        let reason = match &record.state {
            TableState::Held { reason, remedy } => Some(format!("{reason}. {remedy}")),
            _ => table.trouble.as_ref().map(|trouble| trouble.text.clone()).or_else(remark),
        };
        TableStatus {
            table: record.name.clone(),
            state: record.state.word().to_owned(),
            rows: self.sink.stored_rows(&self.name, record.id),
            reason,
            progress: record.pass.as_ref().map(|pass| PassProgress {
                cause: pass.cause.clone(),
                rows_read: pass.rows_read,
                rows_estimate: pass.rows_estimate,
                elapsed_ms: u64::try_from(now_ms().saturating_sub(pass.started_at_ms)).unwrap_or(0),
            }),
        }
    }
}
