//! Answers from the store: while nothing runs, and for whatever is the same while something does.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use millstream_bucket::{BucketChange, BucketOp, BucketReader, BucketSummary, LiveRow, StoredSource, StoredTable};
use millstream_core::position::Position;
use millstream_core::schema_change::HistoryEntry;
use millstream_core::table::{TableRecord, TableState};
use tokio::time::timeout;

use crate::config::{Config, SourceConfig};
use crate::control::{
    BucketReport, ChangeReport, CheckpointReport, ColumnReport, OpReport, ProgressReport, Replies, Reply, Request,
    RowReport, SchemaReport, Service, SourceReport, StatusReport, TableReport, TroubleReport, WaitingReport,
};
use crate::engine::{blocking, store_folder, try_open_store};
use crate::failure::Failure;

/// How long a source may take to tell its head. The status of a store is of use without it.
const HEAD_WAIT: Duration = Duration::from_secs(3);

/// Answers what can be answered without following anything.
pub(crate) struct StoredService {
    sources: Vec<SourceConfig>,
    /// `None` if nothing was ever stored.
    reader: Option<Arc<BucketReader>>,
}

impl StoredService {
    /// Opens the store if there is one, and creates none; `None` if another process holds it.
    pub(super) async fn open(config: &Config) -> Result<Option<Self>, Failure> {
        let sources = config.sources.clone();
        if !store_folder(&config.data).exists() {
            return Ok(Some(Self { sources, reader: None }));
        }
        let Some(store) = try_open_store(&config.data).await? else { return Ok(None) };
        let reader = blocking(move || Ok(BucketReader::of_store(Arc::new(store))?)).await?;
        Ok(Some(Self { sources, reader: Some(Arc::new(reader)) }))
    }

    async fn status(&self, reader: &BucketReader) -> Result<StatusReport, Failure> {
        let stored = reader.sources()?;
        let reports = self.sources.iter().map(|source| {
            let stored = stored.iter().find(|stored| stored.name == source.name);
            let tables = reader.tables(&source.name);
            async move { Ok(source_report(source, stored, tables?).await) }
        });
        let sources = join_all(reports).await.into_iter().collect::<Result<_, Failure>>()?;
        let checkpoint = checkpoint_report(reader);
        let waiting = waiting_reports(reader)?;
        Ok(StatusReport { running: false, at_work: None, outdated_files: Vec::new(), sources, waiting, checkpoint })
    }
}

impl Service for StoredService {
    async fn answer(&self, request: Request, replies: Replies) -> Result<(), Failure> {
        match (&self.reader, request) {
            (Some(reader), Request::Status) => replies.send(Reply::Status(self.status(reader).await?)).await,
            (Some(reader), request) => {
                let names = self.sources.iter().map(|source| source.name.clone()).collect();
                answer_from(Arc::clone(reader), names, request, replies).await
            }
            (None, Request::Status) => {
                let reports = join_all(self.sources.iter().map(|source| source_report(source, None, Vec::new()))).await;
                let report = StatusReport {
                    running: false,
                    at_work: None,
                    outdated_files: Vec::new(),
                    sources: reports,
                    waiting: Vec::new(),
                    checkpoint: CheckpointReport::default(),
                };
                replies.send(Reply::Status(report)).await
            }
            (None, Request::Rows { bucket: Some(name) } | Request::Ops { bucket: Some(name) }) => Err(no_bucket(&name)),
            // Nothing stored, nothing to tell.
            (None, _) => Ok(()),
        }
    }
}

/// How a source stands that nobody follows.
async fn source_report(source: &SourceConfig, stored: Option<&StoredSource>, tables: Vec<StoredTable>) -> SourceReport {
    let position = stored.and_then(|stored| stored.position.clone());
    let (head, bytes, trouble) = match timeout(HEAD_WAIT, head(source, position.as_ref())).await {
        Ok(Ok((head, bytes))) => (Some(head), bytes, None),
        Ok(Err(failure)) => {
            let (diagnosis, remedy) = failure.into_parts();
            (None, None, Some(TroubleReport { diagnosis, remedy: Some(remedy) }))
        }
        Err(_) => {
            let diagnosis = format!("{} didn't answer within {} s", source.address, HEAD_WAIT.as_secs());
            (None, None, Some(TroubleReport { diagnosis, remedy: None }))
        }
    };
    // Since when there is more to read, the store can't know.
    let is_current = head.is_some() && position >= head;
    SourceReport {
        name: source.name.clone(),
        kind: source.kind().to_owned(),
        behind_ms: is_current.then_some(0),
        behind_bytes: if is_current { Some(0) } else { bytes },
        // The same place is told alike, whatever else the one that is stored knows of it.
        head: if is_current { position.as_ref() } else { head.as_ref() }.map(Position::to_string),
        position: position.map(|position| position.to_string()),
        changes_per_second: None,
        rows_read_per_second: None,
        trouble,
        tables: tables.into_iter().map(|table| table_report(&source.name, &table)).collect(),
    }
}

async fn head(source: &SourceConfig, position: Option<&Position>) -> Result<(Position, Option<u64>), Failure> {
    let connector = source.connector()?;
    if let Some(position) = position {
        // It names its positions in terms of where a former run stopped.
        connector.acknowledge(position).await?;
    }
    let head = connector.head().await?;
    let bytes = match position {
        Some(position) => connector.bytes_between(position, &head).await?,
        None => None,
    };
    Ok((head, bytes))
}

pub(super) fn table_report(source: &str, StoredTable { record, rows }: &StoredTable) -> TableReport {
    let table = record.name.to_string();
    let progress = record.pass.as_ref().map(|pass| ProgressReport {
        source: source.to_owned(),
        table: table.clone(),
        rows_read: pass.rows_read,
        rows_estimate: pass.rows_estimate,
        elapsed_ms: 0,
    });
    let reason = match &record.state {
        TableState::Held { reason, remedy } => Some(format!("{reason}. {remedy}")),
        _ => None,
    };
    TableReport { table, state: record.state.word().to_owned(), rows: *rows, reason, progress }
}

pub(super) fn waiting_reports(reader: &BucketReader) -> Result<Vec<WaitingReport>, Failure> {
    let reports = reader.deployment()?.waiting.into_iter().map(|waiting| WaitingReport {
        definition: waiting.definition,
        source: waiting.source,
        table: waiting.table.to_string(),
        reason: format!("{}. {}", waiting.reason, waiting.remedy),
    });
    Ok(reports.collect())
}

pub(super) fn checkpoint_report(reader: &BucketReader) -> CheckpointReport {
    match reader.checkpoint() {
        None => CheckpointReport::default(),
        Some(checkpoint) => CheckpointReport {
            op_id: checkpoint.op_id,
            positions: checkpoint
                .positions
                .iter()
                .map(|(name, position)| (name.clone(), position.to_string()))
                .collect(),
        },
    }
}

/// Answers everything that the store alone can tell.
pub(super) async fn answer_from(
    reader: Arc<BucketReader>,
    sources: Vec<String>,
    request: Request,
    replies: Replies,
) -> Result<(), Failure> {
    blocking(move || {
        let mut sending = Sending { replies: &replies, outcome: Ok(()) };
        match request {
            Request::Schema => {
                for source in &sources {
                    let mut tables = reader.tables(source)?;
                    tables.sort_by(|a, b| a.record.name.cmp(&b.record.name));
                    for table in tables {
                        replies.send_blocking(Reply::Schema(schema_report(source, &table.record)))?;
                    }
                }
            }
            Request::History => {
                for source in &sources {
                    reader
                        .history(source, &mut |_, entry| sending.send(Reply::Change(change_report(source, entry))))?;
                }
            }
            Request::Buckets => {
                reader.buckets(&mut |bucket| sending.send(Reply::Bucket(bucket_report(bucket))))?;
            }
            Request::Rows { bucket } => {
                for bucket in named_buckets(&reader, bucket)? {
                    reader.live_rows(&bucket, &mut |row| sending.send(Reply::Row(row_report(&bucket, &row))))?;
                }
            }
            Request::Ops { bucket } => {
                for bucket in named_buckets(&reader, bucket)? {
                    reader.ops(&bucket, 0, &mut |op| sending.send(Reply::Op(op_report(&bucket, &op))))?;
                }
            }
            Request::Status | Request::Verify { .. } | Request::Reload { .. } => {
                return Err(Failure::new(
                    "this can't be read from the store",
                    "this is a fault of millstream: please report it",
                ));
            }
        }
        sending.outcome
    })
    .await
}

/// Sends replies until the asker has enough.
struct Sending<'a> {
    replies: &'a Replies,
    outcome: Result<(), Failure>,
}

impl Sending<'_> {
    fn send(&mut self, reply: Reply) -> ControlFlow<()> {
        match self.replies.send_blocking(reply) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                self.outcome = Err(failure);
                ControlFlow::Break(())
            }
        }
    }
}

/// The bucket of this name, or all.
fn named_buckets(reader: &BucketReader, name: Option<String>) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    reader.buckets(&mut |bucket| {
        if name.as_ref().is_none_or(|name| *name == bucket.name) {
            names.push(bucket.name);
        }
        ControlFlow::Continue(())
    })?;
    match name {
        Some(name) if names.is_empty() => Err(no_bucket(&name)),
        _ => Ok(names),
    }
}

fn no_bucket(name: &str) -> Failure {
    Failure::new(format!("there is no bucket `{name}`"), "`millstream buckets` lists their names")
}

fn schema_report(source: &str, record: &TableRecord) -> SchemaReport {
    let schema = record.schema.as_deref();
    SchemaReport {
        source: source.to_owned(),
        table: record.name.to_string(),
        version: schema.map(|schema| schema.version().to_string()),
        identity: schema.map(|schema| schema.identity_names().map(str::to_owned).collect()).unwrap_or_default(),
        columns: schema
            .map(|schema| schema.columns.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|column| ColumnReport {
                name: column.name.clone(),
                kind: column.source_type.clone(),
                nullable: column.nullable,
            })
            .collect(),
    }
}

fn change_report(source: &str, entry: HistoryEntry) -> ChangeReport {
    ChangeReport {
        source: source.to_owned(),
        position: entry.position,
        at_ms: entry.at_ms,
        table: entry.table.to_string(),
        change: entry.change,
        effect: entry.effect.to_string(),
        statement: entry.statement,
        rows_read: entry.rows_read,
        ops_written: entry.ops_written,
        duration_ms: entry.duration_ms,
    }
}

fn bucket_report(bucket: BucketSummary) -> BucketReport {
    let counters = bucket.counters;
    BucketReport {
        bucket: bucket.name,
        ops: counters.ops,
        rows: counters.rows,
        bytes: counters.bytes,
        checksum: counters.checksum,
    }
}

fn row_report(bucket: &str, row: &LiveRow<'_>) -> RowReport {
    RowReport {
        bucket: bucket.to_owned(),
        kind: row.object_type.to_owned(),
        id: row.object_id.to_owned(),
        data: row.data.to_owned(),
    }
}

fn op_report(bucket: &str, op: &BucketOp<'_>) -> OpReport {
    let (word, object, data) = match &op.change {
        BucketChange::Put { object_type, object_id, subkey, data } => {
            ("PUT", Some((*object_type, *object_id, subkey)), Some(*data))
        }
        BucketChange::Remove { object_type, object_id, subkey } => {
            ("REMOVE", Some((*object_type, *object_id, subkey)), None)
        }
        BucketChange::Move { .. } => ("MOVE", None, None),
        BucketChange::Clear { .. } => ("CLEAR", None, None),
    };
    OpReport {
        bucket: bucket.to_owned(),
        op_id: op.op_id,
        op: word.to_owned(),
        kind: object.map(|(kind, ..)| kind.to_owned()),
        id: object.map(|(_, id, _)| id.to_owned()),
        subkey: object.map(|(.., subkey)| subkey.clone()),
        checksum: op.checksum,
        data: data.map(str::to_owned),
    }
}
