//! The contract, method by method.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use millstream_core::error::SourceError;
use millstream_core::position::Position;
use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::selection::Selection;
use millstream_core::source::{
    Catalog, Chunk, Cursor, DeliveryStream, Discovery, KeyRange, Problem, ReadRequest, ReadScope, Severity,
    SourceConnector,
};
use millstream_core::value::ValueRef;

use crate::Directory;
use crate::directory::Watched;
use crate::journal::{position, sequence};
use crate::stream::{follow, too_long};
use crate::table::{MEND, Table, full_name, push, schema};

/// A directory as a source.
#[derive(Clone)]
pub(crate) struct CsvSource {
    watched: Arc<Mutex<Watched>>,
}

impl CsvSource {
    pub(crate) fn open(directory: Directory) -> Result<Self, SourceError> {
        let journal = directory.journal.display().to_string();
        let watched = Watched::open(directory).map_err(|error| {
            let remedy = "Mend or remove it: without it, everything is read again";
            SourceError::definite(format!("the journal {journal} can't be used: {error}"), remedy)
        })?;
        Ok(Self { watched: Arc::new(Mutex::new(watched)) })
    }

    /// Works on the directory on a thread that may block. A caller that is dropped meanwhile disturbs nothing: the work
    /// is done to its end.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Watched) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let watched = Arc::clone(&self.watched);
        let done = tokio::task::spawn_blocking(move || {
            // A panic leaves nothing half-done: the journal in memory is changed after the one on disk.
            work(&mut watched.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.map_err(|error| SourceError::transient("working on the directory", error))?
    }

    /// As [`blocking`](Self::blocking), after a look at the files: what was there before this call is in the journal.
    pub(crate) async fn looked<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Watched) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        self.blocking(|watched| {
            watched.look().map_err(|error| SourceError::transient("looking at the directory", error))?;
            work(watched)
        })
        .await
    }
}

#[async_trait]
impl SourceConnector for CsvSource {
    fn kind(&self) -> &'static str {
        "csv"
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Problem>, SourceError> {
        let found = self.blocking(|watched| Ok(watched.doubtful())).await?;
        Ok(match found {
            Ok(doubtful) => {
                let selected = doubtful.into_iter().filter(|(table, _)| selection.matches(&full_name(table)));
                selected.map(|(table, reason)| unreadable(&table, reason)).collect()
            }
            Err(error) => vec![out_of_reach(&error)],
        })
    }

    async fn discover(&self, selection: &Selection) -> Result<Discovery, SourceError> {
        let selection = selection.clone();
        self.looked(move |watched| {
            let tables = watched.journal.now().iter().filter(|(name, _)| selection.matches(&full_name(name)));
            let tables =
                tables.filter_map(|(name, table)| table.as_ref().map(|table| schema(name, &table.columns))).collect();
            Ok(Discovery { tables, position: position(watched.journal.end()) })
        })
        .await
    }

    async fn head(&self) -> Result<Position, SourceError> {
        self.looked(|watched| Ok(position(watched.journal.end()))).await
    }

    async fn bytes_between(&self, _: &Position, _: &Position) -> Result<Option<u64>, SourceError> {
        Ok(None)
    }

    async fn stream(&self, from: &Position, catalog: Catalog) -> Result<DeliveryStream, SourceError> {
        let from = from.clone();
        let source = self.clone();
        self.looked(move |watched| match watched.journal.at(sequence(&from)) {
            Some(tables) => Ok(follow(source, sequence(&from), catalog, &tables)),
            None => Err(SourceError::PositionLost {
                position: from.to_string(),
                reason: "the journal doesn't know it: it begins after it, or was put back from a backup".to_owned(),
            }),
        })
        .await
    }

    async fn split(&self, _: &TableSchema, _: usize) -> Result<Vec<KeyRange>, SourceError> {
        Ok(vec![KeyRange::default()])
    }

    async fn estimate_rows(&self, table: &TableSchema) -> Result<Option<u64>, SourceError> {
        let name = table.table.name.clone();
        self.blocking(move |watched| {
            let table = watched.journal.now().get(&name).and_then(Option::as_ref);
            Ok(table.map(|table| table.rows.len() as u64))
        })
        .await
    }

    /// Reads what the journal knows after a look, so that a chunk and the stream can't disagree.
    async fn read(&self, request: ReadRequest) -> Result<Chunk, SourceError> {
        self.looked(move |watched| {
            let name = &request.table.table.name;
            let table = watched.journal.now().get(name).and_then(Option::as_ref);
            let table = table.filter(|table| schema(name, &table.columns).version() == request.table.version());
            let table = table.ok_or_else(|| SourceError::Table {
                table: request.table.table.clone(),
                reason: "its file is gone, or has another header".to_owned(),
            })?;
            let high = position(watched.journal.end());
            let (rows, next) = match &request.scope {
                ReadScope::Range(range) => range_of(table, range, request.limit_rows)?,
                ReadScope::Keys(identities) => (rows_with(table, identities)?, None),
            };
            Ok(Chunk { rows, high, next })
        })
        .await
    }

    async fn acknowledge(&self, position: &Position) -> Result<(), SourceError> {
        let sequence = sequence(position);
        self.blocking(move |watched| {
            let forgotten = watched.journal.forget(sequence);
            forgotten.map_err(|error| SourceError::transient("writing the journal anew", error))
        })
        .await
    }
}

fn range_of(table: &Table, range: &KeyRange, limit_rows: usize) -> Result<(RowBatch, Option<Cursor>), SourceError> {
    let after = range.after.as_ref().map_or(Bound::Unbounded, |Cursor(identity)| Bound::Excluded(identity.as_str()));
    let upto = range.upto.as_ref().map(|Cursor(identity)| identity.as_str());
    let mut batch = RowBatch::new(table.columns.len());
    let mut last = None;
    let rows = table.rows.range::<str, _>((after, Bound::Unbounded));
    for (identity, fields) in rows.take_while(|(identity, _)| upto.is_none_or(|upto| identity.as_str() <= upto)) {
        if batch.len() == limit_rows {
            return Ok((batch, last));
        }
        push(&mut batch, fields).map_err(too_long)?;
        last = Some(Cursor(identity.clone()));
    }
    Ok((batch, None))
}

fn rows_with(table: &Table, identities: &RowBatch) -> Result<RowBatch, SourceError> {
    let mut batch = RowBatch::new(table.columns.len());
    for row in identities.rows() {
        let Some(ValueRef::Text(identity)) = row.get(0) else { continue };
        if let Some(fields) = table.rows.get(identity) {
            push(&mut batch, fields).map_err(too_long)?;
        }
    }
    Ok(batch)
}

fn unreadable(table: &str, reason: String) -> Problem {
    Problem { severity: Severity::Warning, subject: format!("{table}.csv"), found: reason, remedy: MEND.to_owned() }
}

fn out_of_reach(error: &io::Error) -> Problem {
    Problem {
        severity: Severity::Error,
        subject: "the directory".to_owned(),
        found: error.to_string(),
        remedy: "Make the directory, or let this user read it".to_owned(),
    }
}
