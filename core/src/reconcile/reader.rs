//! The tasks that read a table's chunks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::error::SourceError;
use crate::pipeline::backoff::Backoff;
use crate::schema::TableSchema;
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
    /// Reading fails and is being retried.
    Retrying { error: SourceError },
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
        async move { reader.read(range, left, Backoff::after(scans_lost)).await }
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
        let mut backoff = Backoff::default();
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
                    if self.failed(error, &mut backoff).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn read(&self, range: usize, mut left: KeyRange, mut backoff: Backoff) {
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
                    backoff.reset();
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
                    if self.failed(error, &mut backoff).await.is_err() {
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
    async fn failed(&self, error: SourceError, backoff: &mut Backoff) -> Result<(), Abandoned> {
        let pause = match &error {
            SourceError::Transient { .. } | SourceError::PositionLost { .. } => backoff.next_pause(),
            // A changed shape is told by the stream, which begins a new pass; until then there is nothing to do.
            SourceError::Table { .. } => backoff.next_pause(),
            SourceError::Definite { .. } => backoff.next_pause().min(REFUSED_PAUSE_MAX),
        };
        let one_scan = self.schema.identity.kind == crate::schema::IdentityKind::WholeRow;
        match error {
            SourceError::Definite { diagnosis, remedy } => {
                self.tell(PassReading::Refused { diagnosis, remedy }).await?
            }
            error if one_scan => {
                tokio::time::sleep(pause).await;
                self.tell(PassReading::ScanLost { reason: crate::error::chain(&error) }).await?;
                return Err(Abandoned);
            }
            error => self.tell(PassReading::Retrying { error }).await?,
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
