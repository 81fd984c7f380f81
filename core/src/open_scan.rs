//! For connectors: reading whole tables that have no key. Nothing orders their rows, so a read can't go on where another
//! ended: one query stays open instead, and each read takes the next part of its answer.
//!
//! A connector keeps one [`OpenScans`] and answers `read` of such a table by [`begin`](OpenScans::begin), or by
//! [`resume`](OpenScans::resume) where the range has a cursor. The query itself is the connector's: a future that puts
//! row after row into [`Parts`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::error::SourceError;
use crate::row::RowBatch;
use crate::schema::TableSchema;
use crate::source::Cursor;

/// How many queries may be open; another is refused until one ends.
const SCANS_MAX: usize = 64;
/// How many parts are read ahead. One is enough to keep both sides busy.
const PARTS_AHEAD_MAX: usize = 1;

/// The queries that are open. Dropping it ends them.
#[derive(Debug)]
pub struct OpenScans {
    /// How long a query waits for its next part to be asked for before it is given up.
    idle_max: Duration,
    last_id: AtomicU64,
    open: Mutex<HashMap<u64, Scan>>,
}

/// How large the parts of an answer are at most: whichever comes first. A row that is larger is a part by itself.
#[derive(Debug, Clone, Copy)]
pub struct PartLimit {
    /// In rows; at least one.
    pub rows_max: usize,
    /// In bytes, as [`RowBatch::size_bytes`] counts them.
    pub bytes_max: usize,
}

/// A part of a table.
#[derive(Debug)]
pub struct ScannedPart {
    /// Its rows.
    pub rows: RowBatch,
    /// Where the scan goes on; `None` at its end.
    pub next: Option<Cursor>,
}

/// An open query, seen from whoever reads it. Dropping it ends the query.
#[derive(Debug)]
struct Scan {
    parts: mpsc::Receiver<Result<Part, SourceError>>,
    parts_read: u64,
    read_at: Instant,
}

#[derive(Debug)]
struct Part {
    rows: RowBatch,
    is_last: bool,
}

impl OpenScans {
    /// None is open yet. `idle_max` is how long a query waits for its next part to be asked for before it is given up,
    /// with what the server holds for it.
    pub fn new(idle_max: Duration) -> Self {
        Self { idle_max, last_id: AtomicU64::default(), open: Mutex::default() }
    }

    /// Begins to read a table and answers its first rows. `query` makes the future that runs on a task of its own until
    /// it has put all rows into the parts, meets an error, or finds that nobody wants more; what it owns, its connection
    /// for one, ends with it.
    ///
    /// # Errors
    ///
    /// What the query meets, and [`SourceError::Transient`] while too many are open.
    pub async fn begin<F>(
        &self,
        schema: &Arc<TableSchema>,
        limit: PartLimit,
        query: impl FnOnce(Arc<TableSchema>, Parts) -> F,
    ) -> Result<ScannedPart, SourceError>
    where
        F: Future<Output = Result<(), SourceError>> + Send + 'static,
    {
        self.forget_idle(schema)?;
        let (sender, parts) = mpsc::channel(PARTS_AHEAD_MAX);
        let idle_max = self.idle_max;
        let taker = Parts { sender: sender.clone(), idle_max, limit, rows: RowBatch::new(schema.columns.len()) };
        let query = query(Arc::clone(schema), taker);
        tokio::spawn(async move {
            if let Err(error) = query.await {
                // Whoever has gone doesn't miss it.
                let _heard = timeout(idle_max, sender.send(Err(error))).await;
            }
        });
        let scan = Scan { parts, parts_read: 0, read_at: Instant::now() };
        self.next_part(self.last_id.fetch_add(1, Ordering::Relaxed), scan, schema).await
    }

    /// The rows after those that ended with this cursor.
    ///
    /// # Errors
    ///
    /// [`SourceError::Table`] if the query isn't open any more or has gone on already: the table has to be read anew.
    pub async fn resume(&self, cursor: &Cursor, schema: &TableSchema) -> Result<ScannedPart, SourceError> {
        let place = cursor.0.split_once('/').and_then(|(id, part)| Some((id.parse().ok()?, part.parse::<u64>().ok()?)));
        let scan = place.and_then(|(id, part)| {
            let scan = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)?;
            (scan.parts_read == part).then_some((id, scan))
        });
        // Out of the map while its part is awaited: if this call is cancelled, nobody knows how far it came.
        let (id, scan) = scan.ok_or_else(|| gone(schema))?;
        self.next_part(id, scan, schema).await
    }

    async fn next_part(&self, id: u64, mut scan: Scan, schema: &TableSchema) -> Result<ScannedPart, SourceError> {
        let Part { rows, is_last } = scan.parts.recv().await.ok_or_else(|| gone(schema))??;
        if is_last {
            return Ok(ScannedPart { rows, next: None });
        }
        scan.parts_read += 1;
        scan.read_at = Instant::now();
        let next = Some(Cursor(format!("{id}/{}", scan.parts_read)));
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, scan);
        Ok(ScannedPart { rows, next })
    }

    /// Whoever began them has lost interest, for instance because a schema change began another pass.
    fn forget_idle(&self, schema: &TableSchema) -> Result<(), SourceError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, scan| scan.read_at.elapsed() < self.idle_max);
        if open.len() < SCANS_MAX {
            return Ok(());
        }
        let error = format!("{SCANS_MAX} tables without a key are being read already");
        Err(SourceError::transient(format!("read {}", schema.table), error))
    }
}

fn gone(schema: &TableSchema) -> SourceError {
    SourceError::Table { table: schema.table.clone(), reason: "the query that was reading it has ended".to_owned() }
}

/// What a query puts its rows into.
#[derive(Debug)]
pub struct Parts {
    sender: mpsc::Sender<Result<Part, SourceError>>,
    idle_max: Duration,
    limit: PartLimit,
    rows: RowBatch,
}

impl Parts {
    /// Where the next row goes; waits until what came before is wanted. `None` if nobody wants more: the query ends.
    ///
    /// Asked for only when there is a next row: a full part is handed on when it is known that more follows.
    pub async fn room(&mut self) -> Option<&mut RowBatch> {
        if self.rows.len() >= self.limit.rows_max.max(1) || self.rows.size_bytes() >= self.limit.bytes_max {
            let empty = RowBatch::new(self.rows.width());
            let rows = std::mem::replace(&mut self.rows, empty);
            if !self.send(Part { rows, is_last: false }).await {
                return None;
            }
        }
        Some(&mut self.rows)
    }

    /// All rows have been put in.
    pub async fn finish(mut self) {
        let rows = std::mem::replace(&mut self.rows, RowBatch::new(0));
        // Whoever has gone doesn't miss them.
        self.send(Part { rows, is_last: true }).await;
    }

    /// Whether anybody took it in time.
    async fn send(&self, part: Part) -> bool {
        matches!(timeout(self.idle_max, self.sender.send(Ok(part))).await, Ok(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Identity, IdentityKind, TableName};
    use crate::value::ValueRef;

    const LIMIT: PartLimit = PartLimit { rows_max: 2, bytes_max: 1 << 20 };

    fn schema() -> Arc<TableSchema> {
        Arc::new(TableSchema {
            table: TableName::new("shop", "log"),
            columns: vec![Column {
                name: "n".into(),
                source_type: "int".into(),
                nullable: false,
                collation: None,
                generated: None,
                default: None,
            }],
            identity: Identity { kind: IdentityKind::WholeRow, columns: vec![0] },
            origin: None,
        })
    }

    async fn numbers(count: usize, mut parts: Parts) -> Result<(), SourceError> {
        for _ in 0..count {
            let Some(rows) = parts.room().await else { return Ok(()) };
            rows.push(ValueRef::Null).unwrap();
        }
        parts.finish().await;
        Ok(())
    }

    #[tokio::test]
    async fn parts_come_one_after_the_other() {
        for (count, expected) in [(0, vec![0]), (1, vec![1]), (2, vec![2]), (3, vec![2, 1]), (5, vec![2, 2, 1])] {
            let scans = OpenScans::new(Duration::from_secs(60));
            let mut part = scans.begin(&schema(), LIMIT, |_, parts| numbers(count, parts)).await.unwrap();
            let mut lengths = vec![part.rows.len()];
            while let Some(next) = part.next {
                part = scans.resume(&next, &schema()).await.unwrap();
                lengths.push(part.rows.len());
            }
            assert_eq!(lengths, expected, "{count} rows");
        }
    }

    #[tokio::test]
    async fn a_part_comes_once() {
        let scans = OpenScans::new(Duration::from_secs(60));
        let first = scans.begin(&schema(), LIMIT, |_, parts| numbers(9, parts)).await.unwrap();
        let cursor = first.next.unwrap();
        scans.resume(&cursor, &schema()).await.unwrap();
        for cursor in [cursor, Cursor("7/1".into()), Cursor("nonsense".into())] {
            let again = scans.resume(&cursor, &schema()).await;
            assert!(matches!(again, Err(SourceError::Table { .. })), "{again:?}");
        }
    }

    #[tokio::test]
    async fn what_a_query_meets_is_told() {
        let scans = OpenScans::new(Duration::from_secs(60));
        let failing = |_, _| async { Err(SourceError::transient("read", "cut off")) };
        assert!(scans.begin(&schema(), LIMIT, failing).await.unwrap_err().is_transient());
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_nobody_reads_is_given_up() {
        let scans = OpenScans::new(Duration::from_secs(60));
        let cursor = scans.begin(&schema(), LIMIT, |_, parts| numbers(9, parts)).await.unwrap().next.unwrap();
        tokio::time::sleep(Duration::from_secs(200)).await;
        // The parts that were read ahead are there still, and then no more come.
        let second = scans.resume(&cursor, &schema()).await.unwrap();
        assert!(matches!(scans.resume(&second.next.unwrap(), &schema()).await, Err(SourceError::Table { .. })));
        for _ in 0..SCANS_MAX {
            scans.begin(&schema(), LIMIT, |_, parts| numbers(9, parts)).await.unwrap();
        }
        let refused = scans.begin(&schema(), LIMIT, |_, parts| numbers(9, parts)).await;
        assert!(refused.unwrap_err().is_transient());
        tokio::time::sleep(Duration::from_secs(61)).await;
        scans.begin(&schema(), LIMIT, |_, parts| numbers(9, parts)).await.unwrap();
    }
}
