//! The tasks that read a table's chunks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::error::{SourceError, chain};
use crate::pipeline::backoff::Backoff;
use crate::position::Position;
use crate::schema::{IdentityKind, TableSchema};
use crate::source::{Chunk, KeyRange, ReadRequest, ReadScope, SourceConnector};
use crate::table::{RangeProgress, TableId};

use super::pass::ReadyChunk;

/// The longest pause between attempts at a table that can't be read until somebody changes something: whoever has done
/// that is looking at it.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How many messages of all readers wait for the pipeline at most. Chunks are bounded by their permits besides.
const MESSAGES_MAX: usize = 64;

/// What readers tell the pipeline.
pub(crate) struct PassMessage {
    pub(crate) table: TableId,
    pub(crate) generation: u64,
    pub(crate) reading: PassReading,
}

pub(crate) enum PassReading {
    /// The table has been divided; nothing of it has been read.
    Split { ranges: Vec<RangeProgress>, rows_estimate: Option<u64> },
    /// A chunk of a range.
    Chunk(ReadyChunk),
    /// Reading fails and is being retried; so many attempts in a row have failed.
    Retrying { error: SourceError, attempts: u32, explained_by: Option<Position> },
    /// Reading can't succeed until somebody changes something; it is retried all the same.
    Refused { diagnosis: String, remedy: String },
    /// The held-open scan of a table without any key is gone: begin anew.
    ScanLost { reason: String },
}

/// What all readers of one source share.
pub(crate) struct Readers {
    connector: Arc<dyn SourceConnector>,
    /// One for each chunk that is being read or waits to be applied.
    chunk_permits: Arc<Semaphore>,
    ranges_per_table: usize,
    chunk_rows_max: usize,
    rows_per_second_max: Option<u64>,
    sender: mpsc::Sender<PassMessage>,
}

impl Readers {
    pub(crate) fn new(
        connector: Arc<dyn SourceConnector>,
        chunks_in_flight_max: usize,
        ranges_per_table: usize,
        chunk_rows_max: usize,
        rows_per_second_max: Option<u64>,
    ) -> (Self, mpsc::Receiver<PassMessage>) {
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        let chunk_permits = Arc::new(Semaphore::new(chunks_in_flight_max));
        (Self { connector, chunk_permits, ranges_per_table, chunk_rows_max, rows_per_second_max, sender }, receiver)
    }

    /// A task that divides a table.
    pub(crate) fn split(
        &self,
        table: TableId,
        generation: u64,
        schema: Arc<TableSchema>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let reader = self.reader(table, generation, schema);
        let parts = self.ranges_per_table;
        async move { reader.split(parts).await }
    }

    /// A task that reads what is left of a range. `scans_lost` is how many scans of it in a row came to nothing.
    pub(crate) fn read(
        &self,
        table: TableId,
        generation: u64,
        schema: Arc<TableSchema>,
        range: usize,
        left: KeyRange,
        scans_lost: u32,
    ) -> impl Future<Output = ()> + Send + 'static {
        let reader = self.reader(table, generation, schema);
        async move { reader.read(range, left, scans_lost).await }
    }

    fn reader(&self, table: TableId, generation: u64, schema: Arc<TableSchema>) -> Reader {
        Reader {
            connector: Arc::clone(&self.connector),
            chunk_permits: Arc::clone(&self.chunk_permits),
            chunk_rows_max: self.chunk_rows_max,
            rows_per_second_max: self.rows_per_second_max,
            sender: self.sender.clone(),
            table,
            generation,
            schema,
        }
    }
}

/// Attempts in a row that failed.
#[derive(Default)]
struct Failures {
    backoff: Backoff,
    /// The log's end after the first of them that met another table than expected. A stream that has come so far has
    /// delivered whatever statement made it another.
    explained_by: Option<Position>,
}

struct Reader {
    connector: Arc<dyn SourceConnector>,
    chunk_permits: Arc<Semaphore>,
    chunk_rows_max: usize,
    rows_per_second_max: Option<u64>,
    sender: mpsc::Sender<PassMessage>,
    table: TableId,
    generation: u64,
    schema: Arc<TableSchema>,
}

/// The reader has nobody to read for any more.
struct Abandoned;

impl Reader {
    async fn tell(&self, reading: PassReading) -> Result<(), Abandoned> {
        let message = PassMessage { table: self.table, generation: self.generation, reading };
        self.sender.send(message).await.map_err(|_| Abandoned)
    }

    async fn split(&self, parts: usize) {
        let mut failures = Failures::default();
        loop {
            let found = async {
                let ranges = self.connector.split(&self.schema, parts).await?;
                let rows_estimate = self.connector.estimate_rows(&self.schema).await?;
                Ok((ranges, rows_estimate))
            };
            match found.await {
                Ok((ranges, rows_estimate)) => {
                    let ranges = ranges.into_iter().map(|left| RangeProgress { left, done: false }).collect();
                    let _ = self.tell(PassReading::Split { ranges, rows_estimate }).await;
                    return;
                }
                Err(error) => {
                    if self.failed(error, &mut failures).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn read(&self, range: usize, mut left: KeyRange, scans_lost: u32) {
        let mut failures = Failures::default();
        let is_one_scan = self.schema.identity.kind == IdentityKind::WholeRow;
        let mut is_begun = false;
        loop {
            let Ok(permit) = Arc::clone(&self.chunk_permits).acquire_owned().await else { return };
            let began = Instant::now();
            let request = ReadRequest {
                table: Arc::clone(&self.schema),
                scope: ReadScope::Range(left.clone()),
                limit_rows: self.chunk_rows_max,
            };
            match self.connector.read(request).await {
                Ok(chunk) => {
                    failures = Failures::default();
                    is_begun = true;
                    let next = chunk.next.clone();
                    let rows = chunk.rows.len();
                    if self.hand_over(range, chunk, permit).await.is_err() {
                        return;
                    }
                    let Some(next) = next else { return };
                    left.after = Some(next);
                    self.throttle(rows, began).await;
                }
                Err(error) => {
                    drop(permit);
                    let told = match error {
                        // Nothing in the middle of a scan can be asked for again.
                        error if is_one_scan && is_begun => self.lost(&error, scans_lost).await,
                        error => self.failed(error, &mut failures).await,
                    };
                    if told.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn hand_over(&self, range: usize, chunk: Chunk, permit: OwnedSemaphorePermit) -> Result<(), Abandoned> {
        self.tell(PassReading::Chunk(ReadyChunk { range, chunk, permit })).await
    }

    /// Sleeps so long that this reader stays below the set rate.
    async fn throttle(&self, rows: usize, began: Instant) {
        if let Some(rows_per_second_max) = self.rows_per_second_max.filter(|rate| *rate > 0) {
            let due = Duration::from_secs_f64(rows as f64 / rows_per_second_max as f64);
            tokio::time::sleep_until(began + due).await;
        }
    }

    /// Tells what went wrong and waits before the next attempt.
    async fn failed(&self, error: SourceError, failures: &mut Failures) -> Result<(), Abandoned> {
        let mut pause = failures.backoff.next_pause();
        let attempts = failures.backoff.attempts();
        match error {
            SourceError::Definite { diagnosis, remedy } => {
                pause = pause.min(REFUSED_PAUSE_MAX);
                self.tell(PassReading::Refused { diagnosis, remedy }).await?;
            }
            error @ SourceError::Table { .. } => {
                pause = pause.min(REFUSED_PAUSE_MAX);
                let explained_by = failures.explained_by.clone();
                self.tell(PassReading::Retrying { error, attempts, explained_by }).await?;
                if failures.explained_by.is_none() {
                    // If it can't be told now, the next attempt asks again.
                    failures.explained_by = self.connector.head().await.ok();
                }
            }
            error => self.tell(PassReading::Retrying { error, attempts, explained_by: None }).await?,
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Tells that the scan is gone, and the later the more often that has happened: whoever hears of it begins another.
    async fn lost(&self, error: &SourceError, scans_lost: u32) -> Result<(), Abandoned> {
        tokio::time::sleep(Backoff::after(scans_lost).next_pause()).await;
        self.tell(PassReading::ScanLost { reason: chain(error) }).await?;
        Err(Abandoned)
    }
}
