//! Answers of a process that follows the sources.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use millstream_bucket::{BucketSink, StoredTable};
use millstream_core::pipeline::{ConnectionStatus, Handle, RequestError, SourceStatus, TableStatus};
use millstream_core::reconcile::PassSummary;
use millstream_core::schema::TableName;
use tokio::time::{interval, sleep};

use crate::config::{FileText, without_password};
use crate::control::{
    DifferenceReport, NotComparedReport, ProgressReport, ReloadReport, Replies, Reply, Request, Service, SourceReport,
    StatusReport, TableReport, TroubleReport, VerifiedTableReport, VerifyReport,
};
use crate::engine::naming::{Candidate, find};
use crate::engine::stored::{answer_from, checkpoint_report, table_report, waiting_reports};
use crate::engine::{Followed, Waiting, blocking, busy, deployment};
use crate::failure::Failure;

/// How often whoever waits for a reading is told of its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// After how many attempts in a row a source counts as out of reach for a command that waits for it: a second and a half
/// after the first that was refused. A log that is reset takes up to three.
const ATTEMPTS_MAX: u32 = 5;
const REACH_POLL: Duration = Duration::from_millis(250);

/// Answers everything.
pub(crate) struct FollowingService {
    files: Vec<FileText>,
    sources: Vec<Followed>,
    sink: Arc<BucketSink>,
    /// The command that all this is done for, and since when, if it isn't `run`: it takes no others in.
    work: Option<String>,
}

impl FollowingService {
    pub(super) fn new(
        files: Vec<FileText>,
        sources: Vec<Followed>,
        sink: Arc<BucketSink>,
        work: Option<String>,
    ) -> Self {
        Self { files, sources, sink, work }
    }

    /// Whether a changed sync config is on its way into the buckets.
    pub(super) async fn is_deploying(&self) -> Result<bool, Failure> {
        Ok(deployment(&self.sink).await?.is_under_way)
    }

    /// What is stored comes from one moment of the store, so that position, tables and checkpoint fit together; the
    /// pipelines add what is not stored.
    async fn status(&self) -> Result<StatusReport, Failure> {
        let sink = Arc::clone(&self.sink);
        let (files, followed, at_work) = (self.files.clone(), self.sources.clone(), self.work.clone());
        blocking(move || {
            let outdated = files.iter().filter(|file| file.is_outdated());
            let outdated_files = outdated.map(|file| file.path.display().to_string()).collect();
            let reader = sink.reader()?;
            let stored = reader.sources()?;
            let reports = followed.iter().map(|source| {
                let stored = stored.iter().find(|stored| stored.name == source.name);
                let position = stored.and_then(|stored| stored.position.as_ref()).map(ToString::to_string);
                Ok(source_report(source.handle.status(), position, &reader.tables(&source.name)?))
            });
            let sources = reports.collect::<Result<_, Failure>>()?;
            let checkpoint = checkpoint_report(&reader);
            let waiting = waiting_reports(&reader)?;
            Ok(StatusReport { running: true, at_work, outdated_files, sources, waiting, checkpoint })
        })
        .await
    }

    async fn verify(
        &self,
        source: Option<&str>,
        wanted: &[String],
        replies: &Replies,
    ) -> Result<VerifyReport, Failure> {
        let mut chosen: Vec<(&Followed, Option<Vec<TableName>>)> = Vec::new();
        if wanted.is_empty() {
            chosen.extend(self.named(source).map(|source| (source, None)));
        }
        for name in wanted {
            let (source, table) = self.find(source, name).await?;
            match chosen.iter_mut().find(|(other, _)| other.name == source.name) {
                Some((_, tables)) => tables.get_or_insert_default().push(table),
                None => chosen.push((source, Some(vec![table]))),
            }
        }
        let compared = chosen.into_iter().map(|(source, tables)| async move {
            let report = within_reach(&source.handle, source.handle.verify(tables.clone())).await;
            (source, tables, report)
        });
        let (mut all, mut reached, mut first_failure) = (VerifyReport::default(), 0, None);
        for (source, tables, report) in join_all(compared).await {
            let report = match report {
                Ok(report) => report,
                // One source's trouble stays its own: the others' tables are compared all the same.
                Err(failure) => {
                    all.not_compared.extend(not_compared(source, tables, &failure));
                    first_failure.get_or_insert(failure);
                    continue;
                }
            };
            reached += 1;
            for table in &report.tables {
                if let Some(remark) = self.remark(&source.name, &table.table) {
                    replies.send(Reply::Note(format!("{}: {remark}", table.table))).await?;
                }
            }
            all.tables.extend(report.tables.into_iter().map(|table| verified_table(&source.name, table)));
            all.not_compared.extend(report.not_compared.into_iter().map(|table| NotComparedReport {
                source: source.name.clone(),
                table: table.table.to_string(),
                reason: table.reason,
            }));
        }
        match first_failure {
            Some(failure) if reached == 0 => Err(failure),
            _ => Ok(all),
        }
    }

    /// What is amiss with a table although it is live.
    fn remark(&self, source: &str, table: &TableName) -> Option<String> {
        let followed = self.sources.iter().find(|followed| followed.name == source)?;
        followed.handle.status().tables.into_iter().find(|status| status.table == *table)?.reason
    }

    async fn reload(&self, source: Option<&str>, name: &str) -> Result<ReloadReport, Failure> {
        let (source, table) = self.find(source, name).await?;
        let summary = within_reach(&source.handle, source.handle.reload(table.clone())).await?;
        Ok(ReloadReport {
            source: source.name.clone(),
            table: table.to_string(),
            rows_read: summary.rows_read,
            ops_written: summary.ops_written,
            duration_ms: summary.duration_ms,
        })
    }

    /// The one table that a name means, of this source or of any.
    async fn find<'a>(&'a self, source: Option<&'a str>, name: &str) -> Result<(&'a Followed, TableName), Failure> {
        let mut tables = Vec::new();
        for source in self.named(source) {
            tables.push((source, tables_of(source).await?));
        }
        let candidates: Vec<Candidate<'_>> = tables
            .iter()
            .flat_map(|(source, tables)| tables.iter().map(|table| Candidate { source: &source.name, table }))
            .collect();
        let Candidate { source, table } = find(&candidates, name)?;
        let followed = tables.iter().find(|(followed, _)| followed.name == source).map(|(followed, _)| *followed);
        let lost = || Failure::new("a source got lost", "this is a fault of millstream: please report it");
        Ok((followed.ok_or_else(lost)?, table.clone()))
    }

    fn named<'a>(&'a self, name: Option<&'a str>) -> impl Iterator<Item = &'a Followed> {
        self.sources.iter().filter(move |source| name.is_none_or(|name| source.name == name))
    }

    /// Carries a request out and tells of the progress meanwhile.
    pub(super) async fn with_progress<T>(
        &self,
        replies: &Replies,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::pin!(work);
        let mut ticker = interval(PROGRESS_INTERVAL);
        let mut waiting = Waiting::new();
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                _ = ticker.tick() => {
                    if let Some(news) = waiting.news(&self.sources) {
                        replies.send(Reply::Note(news)).await?;
                    }
                    replies.send(Reply::Progress(progress(&self.sources))).await?;
                }
            }
        }
    }
}

impl Service for FollowingService {
    async fn answer(&self, request: Request, replies: Replies) -> Result<(), Failure> {
        if let (Some(work), Request::Verify { .. } | Request::Reload { .. }) = (&self.work, &request) {
            // This process ends with the command that it was started for.
            return Err(busy(work));
        }
        let reply = match &request {
            Request::Status => Reply::Status(self.status().await?),
            Request::Verify { source, tables } => {
                let work = self.verify(source.as_deref(), tables, &replies);
                Reply::Verified(self.with_progress(&replies, work).await?)
            }
            Request::Reload { source, table } => {
                let work = self.reload(source.as_deref(), table);
                Reply::Reloaded(self.with_progress(&replies, work).await?)
            }
            Request::Schema | Request::History | Request::Buckets | Request::Rows { .. } | Request::Ops { .. } => {
                let sink = Arc::clone(&self.sink);
                let reader = blocking(move || Ok(Arc::new(sink.reader()?))).await?;
                let names = self.sources.iter().map(|source| source.name.clone()).collect();
                return answer_from(reader, names, request, replies).await;
            }
        };
        replies.send(reply).await
    }
}

/// The tables that are being read.
pub(crate) fn progress(sources: &[Followed]) -> Vec<ProgressReport> {
    let tables = sources.iter().flat_map(|source| {
        let SourceStatus { name, tables, .. } = source.handle.status();
        // A table that is held is only tried again and again.
        tables.into_iter().filter(|table| table.state != "held").filter_map(move |table| progress_report(&name, &table))
    });
    tables.collect()
}

fn progress_report(source: &str, table: &TableStatus) -> Option<ProgressReport> {
    table.progress.as_ref().map(|progress| ProgressReport {
        source: source.to_owned(),
        table: table.table.to_string(),
        rows_read: progress.rows_read,
        rows_estimate: progress.rows_estimate,
        elapsed_ms: progress.elapsed_ms,
    })
}

/// The names of a source's tables; waits for a source that is only just being connected to.
async fn tables_of(source: &Followed) -> Result<Vec<TableName>, Failure> {
    let known: Vec<TableName> = source.handle.status().tables.into_iter().map(|table| table.table).collect();
    if !known.is_empty() {
        return Ok(known);
    }
    let records = within_reach(&source.handle, source.handle.tables()).await?;
    Ok(records.into_iter().map(|record| record.name).collect())
}

/// Waits for an answer as long as the source can be reached. `millstream run` itself tries again for ever; whoever
/// waits at a terminal wants to know.
pub(super) async fn within_reach<T>(
    handle: &Handle,
    asked: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, Failure> {
    let out_of_reach = async {
        // Attempts of before say nothing of now. To ask brings about a new one.
        let mut attempts_before = u32::MAX;
        loop {
            match handle.status().connection {
                ConnectionStatus::Retrying { error, attempts }
                    if attempts >= ATTEMPTS_MAX && attempts > attempts_before =>
                {
                    return error;
                }
                ConnectionStatus::Retrying { attempts, .. } => attempts_before = attempts_before.min(attempts),
                _ => attempts_before = 0,
            }
            sleep(REACH_POLL).await;
        }
    };
    tokio::select! {
        answer = asked => answer.map_err(|error| match error {
            RequestError::Stopped => over(handle.status()),
            RequestError::Refused(reason) => Failure::new(reason, "`millstream status` shows how the table stands"),
        }),
        error = out_of_reach => Err(Failure::new(
            format!("source {} can't be reached: {error}", handle.status().name),
            "see that the database runs and can be reached from here; `millstream check` tells more",
        )),
    }
}

/// A source that isn't followed any more.
fn over(status: SourceStatus) -> Failure {
    let (diagnosis, remedy) = match trouble(&status) {
        Some(TroubleReport { diagnosis, remedy }) => (diagnosis, remedy.unwrap_or_default()),
        None => (RequestError::Stopped.to_string(), "start millstream again".to_owned()),
    };
    Failure::new(format!("source {}: {diagnosis}", status.name), remedy)
}

/// The tables of a source that could not be asked.
fn not_compared(source: &Followed, tables: Option<Vec<TableName>>, failure: &Failure) -> Vec<NotComparedReport> {
    let known = || source.handle.status().tables.into_iter().map(|table| table.table).collect::<Vec<_>>();
    let mut names: Vec<String> = tables.unwrap_or_else(known).iter().map(ToString::to_string).collect();
    if names.is_empty() {
        // Nobody knows which it has.
        names.push("%".to_owned());
    }
    let reason = failure.to_string().replace("\n  fix: ", ". ");
    names
        .into_iter()
        .map(|table| NotComparedReport { source: source.name.clone(), table, reason: reason.clone() })
        .collect()
}

fn source_report(status: SourceStatus, position: Option<String>, tables: &[StoredTable]) -> SourceReport {
    let live = |table: &StoredTable| status.tables.iter().find(|live| live.table == table.record.name);
    let mut tables: Vec<TableReport> =
        tables.iter().map(|table| overlaid(table_report(&status.name, table), live(table), &status.name)).collect();
    tables.sort_by(|a, b| a.table.cmp(&b.table));
    // The pipeline looked at the head a moment ago. Where it had nothing more to read then, what is stored since is the
    // newest that is known.
    let trouble = trouble(&status);
    let head = if status.behind_ms == Some(0) { position.clone() } else { status.head };
    SourceReport {
        trouble,
        name: status.name,
        kind: status.kind,
        position,
        head,
        behind_ms: status.behind_ms,
        behind_bytes: status.behind_bytes,
        changes_per_second: Some(status.changes_per_second),
        rows_read_per_second: Some(status.rows_read_per_second),
        tables,
    }
}

/// Adds what isn't stored: a reading's progress of this moment, and what is in its way.
fn overlaid(mut report: TableReport, live: Option<&TableStatus>, source: &str) -> TableReport {
    if let Some(live) = live {
        if report.progress.is_some() {
            report.progress = progress_report(source, live).or(report.progress);
        }
        // What is stored may be a moment younger or older.
        if report.state == live.state && report.reason.is_none() {
            report.reason.clone_from(&live.reason);
        }
    }
    report
}

fn trouble(status: &SourceStatus) -> Option<TroubleReport> {
    match &status.connection {
        ConnectionStatus::Retrying { error, attempts } => Some(TroubleReport {
            diagnosis: format!("{error} (attempt {attempts}, trying again)"),
            remedy: Some("see that the database runs and can be reached; `millstream check` tells more".into()),
        }),
        ConnectionStatus::Failed { reason, remedy } => Some(TroubleReport {
            diagnosis: without_password(&format!("it isn't being followed any more: {reason}")),
            remedy: Some(format!("{}. Then start millstream again", remedy.trim_end_matches('.'))),
        }),
        ConnectionStatus::Stopped => Some(TroubleReport {
            diagnosis: "it isn't being followed any more".into(),
            remedy: Some("see the log for why, and start millstream again".into()),
        }),
        ConnectionStatus::Starting | ConnectionStatus::Following => status
            .standstill
            .as_ref()
            .map(|remark| TroubleReport { diagnosis: remark.found.clone(), remedy: Some(remark.remedy.clone()) }),
    }
}

fn verified_table(source: &str, summary: PassSummary) -> VerifiedTableReport {
    let differences = summary.differences.into_iter().map(|difference| DifferenceReport {
        key: difference.key,
        kind: difference.kind,
        place: difference.place,
    });
    VerifiedTableReport {
        source: source.to_owned(),
        table: summary.table.to_string(),
        rows_compared: summary.rows_compared,
        differences_total: summary.differences_total,
        differences: differences.collect(),
    }
}
