//! Whole tables without any key. Nothing orders their rows, so a read can't go on where another ended: one query stays
//! open instead, and each read takes the next part of its answer. All parts show the table as it was when the query
//! began.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::source::Cursor;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::chunk::{Answer, CHUNK_BYTES_MAX};
use super::plan::Plan;
use crate::error::classify_read;
use crate::wire::Packets;

/// How long a query waits for its next part to be asked for before it is given up, with what the server holds for it.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// How long the server waits for us to take in rows, in seconds: longer than we wait ourselves.
const SERVER_WAITS_SECONDS: u64 = 2 * IDLE_MAX.as_secs();
/// How many queries may be open; another is refused until one ends.
const SCANS_MAX: usize = 64;
/// How many parts are read ahead. One is enough to keep both sides busy.
const PARTS_AHEAD_MAX: usize = 1;

/// The queries that are open.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    last_id: AtomicU64,
    open: Mutex<HashMap<u64, Scan>>,
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

impl Scans {
    /// Begins to read a table and answers its first rows. The connection is the query's own until it ends; what is
    /// visible on it now, and a transaction that is open on it, are what the query sees.
    ///
    /// # Errors
    ///
    /// [`SourceError::Table`] if the table isn't as the schema says, and what the query meets.
    pub(crate) async fn begin(
        &self,
        conn: Packets,
        schema: Arc<TableSchema>,
        limit_rows: usize,
    ) -> Result<Answer, SourceError> {
        self.forget_idle(&schema)?;
        let (sender, parts) = mpsc::channel(PARTS_AHEAD_MAX);
        tokio::spawn(run(conn, schema.clone(), limit_rows.max(1), sender));
        let scan = Scan { parts, parts_read: 0, read_at: Instant::now() };
        self.next_part(self.last_id.fetch_add(1, Ordering::Relaxed), scan, &schema).await
    }

    /// The rows after those that ended with this cursor.
    ///
    /// # Errors
    ///
    /// [`SourceError::Table`] if the query isn't open any more or has gone on already: the table has to be read anew.
    pub(crate) async fn resume(&self, cursor: &Cursor, schema: &TableSchema) -> Result<Answer, SourceError> {
        let place = cursor.0.split_once('/').and_then(|(id, part)| Some((id.parse().ok()?, part.parse::<u64>().ok()?)));
        let scan = place.and_then(|(id, part)| {
            let scan = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)?;
            (scan.parts_read == part).then_some((id, scan))
        });
        // Out of the map while its part is awaited: if this call is cancelled, nobody knows how far it came.
        let (id, scan) = scan.ok_or_else(|| gone(schema))?;
        self.next_part(id, scan, schema).await
    }

    async fn next_part(&self, id: u64, mut scan: Scan, schema: &TableSchema) -> Result<Answer, SourceError> {
        let Part { rows, is_last } = scan.parts.recv().await.ok_or_else(|| gone(schema))??;
        if is_last {
            return Ok(Answer { rows, next: None, unread: false });
        }
        scan.parts_read += 1;
        scan.read_at = Instant::now();
        let next = Some(Cursor(format!("{id}/{}", scan.parts_read)));
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, scan);
        Ok(Answer { rows, next, unread: false })
    }

    /// Whoever began them has lost interest, for instance because a schema change began another pass.
    fn forget_idle(&self, schema: &TableSchema) -> Result<(), SourceError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, scan| scan.read_at.elapsed() < IDLE_MAX);
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

/// Runs a query to its end, or until nobody wants it any more.
async fn run(
    mut conn: Packets,
    schema: Arc<TableSchema>,
    limit_rows: usize,
    parts: mpsc::Sender<Result<Part, SourceError>>,
) {
    if let Err(error) = read_all(&mut conn, &schema, limit_rows, &parts).await {
        // Whoever has gone doesn't miss it.
        let _heard = timeout(IDLE_MAX, parts.send(Err(error))).await;
    }
}

async fn read_all(
    conn: &mut Packets,
    schema: &TableSchema,
    limit_rows: usize,
    parts: &mpsc::Sender<Result<Part, SourceError>>,
) -> Result<(), SourceError> {
    let plan = Plan::new(schema)?;
    let failed = |error| classify_read(plan.table(), error);
    conn.execute(&format!("SET SESSION net_write_timeout = {SERVER_WAITS_SECONDS}")).await.map_err(failed)?;
    let mut answer = conn.select(&plan.select()).await.map_err(failed)?;
    plan.check(answer.columns())?;
    let mut rows = RowBatch::new(schema.columns.len());
    let mut text = String::new();
    while let Some(row) = answer.next().await.map_err(failed)? {
        // A full part is sent when it is known that more follows.
        if rows.len() >= limit_rows || rows.size_bytes() >= CHUNK_BYTES_MAX {
            let full = std::mem::replace(&mut rows, RowBatch::new(schema.columns.len()));
            if !send(parts, Part { rows: full, is_last: false }).await {
                return Ok(());
            }
        }
        plan.push(row, &mut rows, &mut text)?;
    }
    send(parts, Part { rows, is_last: true }).await;
    Ok(())
}

/// Whether anybody took it in time.
async fn send(parts: &mpsc::Sender<Result<Part, SourceError>>, part: Part) -> bool {
    matches!(timeout(IDLE_MAX, parts.send(Ok(part))).await, Ok(Ok(())))
}
