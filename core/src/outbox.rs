//! Deliveries being put together, for connectors: whole transactions collected, large ones divided.

use std::sync::Arc;

use crate::change::{Commit, Delivery, Event, RowChanges};
use crate::error::SourceError;
use crate::position::Position;
use crate::row::ValueTooLong;
use crate::schema::TableSchema;
use crate::schema_change::SchemaChange;
use tokio::sync::mpsc;

/// Whole transactions are collected up to this size while more of the log is waiting.
const DELIVERY_BYTES: usize = 1 << 20;
/// A transaction larger than this is handed over in parts of this size.
const PART_BYTES: usize = 4 << 20;
/// Log without anything selected in it is confirmed at least this often.
const CONFIRMED_LOG_BYTES: u64 = 8 << 20;
/// How many deliveries may wait.
pub const DELIVERIES_MAX: usize = 3;

/// Where the last whole transaction in the outbox ends.
#[derive(Debug, Clone, Copy, Default)]
struct Boundary {
    /// This many events are of whole transactions.
    events: usize,
    /// And of the last of them, if it is rows, this many rows; what follows belongs to the open transaction.
    rows: usize,
}

/// Collects events and hands them over.
///
/// Rows of one table that follow each other are one item, across transactions too. Where an open transaction grows
/// too large to wait for, the item is divided at the boundary, so that whole transactions never wait for it.
pub struct Outbox {
    sender: mpsc::Sender<Result<Delivery, SourceError>>,
    events: Vec<Event>,
    /// The size of all events but the last.
    earlier_bytes: usize,
    boundary: Boundary,
    /// Whether there is anything to confirm that hasn't been.
    rested: bool,
    transactions: u32,
    committed_at_ms: i64,
    /// Log read for the transactions counted above, and for the open one.
    log_bytes: u64,
    open_log_bytes: u64,
}

/// Nobody listens any more.
#[derive(Debug)]
pub struct Abandoned;

impl Outbox {
    /// Deliveries go to `sender`.
    pub fn new(sender: mpsc::Sender<Result<Delivery, SourceError>>) -> Self {
        Self {
            sender,
            events: Vec::new(),
            earlier_bytes: 0,
            boundary: Boundary::default(),
            rested: false,
            transactions: 0,
            committed_at_ms: 0,
            log_bytes: 0,
            open_log_bytes: 0,
        }
    }

    /// Where row changes decoded by this schema go.
    pub fn rows(&mut self, schema: &Arc<TableSchema>) -> Option<&mut RowChanges> {
        let goes_on = matches!(self.events.last(), Some(Event::Rows(last)) if Arc::ptr_eq(&last.schema, schema));
        if !goes_on {
            self.push(Event::Rows(RowChanges::new(Arc::clone(schema))));
        }
        match self.events.last_mut() {
            Some(Event::Rows(rows)) => Some(rows),
            _ => None,
        }
    }

    /// A schema change, at this place.
    pub fn schema_change(&mut self, change: SchemaChange) {
        self.push(Event::Schema(change));
    }

    /// Puts changes here that were decoded elsewhere.
    pub fn push(&mut self, event: Event) {
        self.earlier_bytes += self.events.last().map_or(0, size_bytes);
        self.events.push(event);
    }

    /// So much of the log was read for the open transaction.
    pub fn count_log(&mut self, bytes: u64) {
        self.open_log_bytes += bytes;
    }

    /// A transaction ends here.
    pub fn commit(&mut self, at_ms: i64) {
        self.transactions += 1;
        self.committed_at_ms = at_ms;
        self.rest();
    }

    /// No transaction is open here.
    pub fn rest(&mut self) {
        let rows = match self.events.last() {
            Some(Event::Rows(rows)) => rows.changes.len(),
            _ => 0,
        };
        self.boundary = Boundary { events: self.events.len(), rows };
        self.log_bytes += std::mem::take(&mut self.open_log_bytes);
        self.rested = true;
    }

    /// Whether there is something to confirm or to hand over.
    pub fn has_rested(&self) -> bool {
        self.rested
    }

    /// Whether nothing has been put in since the last was handed over.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// When the last whole transaction was committed, where that is found out only as it is handed over.
    pub fn set_committed_at(&mut self, at_ms: i64) {
        self.committed_at_ms = at_ms;
    }

    /// Whether whole transactions should be handed over although more of the log is waiting.
    pub fn is_full(&self) -> bool {
        self.size_bytes() >= DELIVERY_BYTES || self.log_bytes >= CONFIRMED_LOG_BYTES
    }

    /// Whether the open transaction is too large to wait for.
    pub fn overflows(&self) -> bool {
        self.size_bytes() >= PART_BYTES
    }

    fn size_bytes(&self) -> usize {
        self.earlier_bytes + self.events.last().map_or(0, size_bytes)
    }

    /// Hands over all whole transactions; `position` is where to resume after them. What belongs to an open one stays.
    pub async fn hand_over(&mut self, position: Position) -> Result<(), Abandoned> {
        let open = self.split_off_open().map_err(|ValueTooLong { .. }| Abandoned)?;
        let events = std::mem::replace(&mut self.events, open);
        self.earlier_bytes = match self.events.split_last() {
            Some((_, earlier)) => earlier.iter().map(size_bytes).sum(),
            None => 0,
        };
        self.boundary = Boundary::default();
        self.rested = false;
        let commit = Commit {
            position,
            committed_at_ms: self.committed_at_ms,
            transactions: std::mem::take(&mut self.transactions),
            log_bytes: std::mem::take(&mut self.log_bytes),
        };
        self.send(Delivery { events, commit: Some(commit) }).await
    }

    /// Hands over a part of the open transaction. Whole ones have been handed over before.
    pub async fn hand_over_part(&mut self) -> Result<(), Abandoned> {
        let events = std::mem::take(&mut self.events);
        self.earlier_bytes = 0;
        self.send(Delivery { events, commit: None }).await
    }

    async fn send(&mut self, delivery: Delivery) -> Result<(), Abandoned> {
        self.sender.send(Ok(delivery)).await.map_err(|_| Abandoned)
    }

    /// Forgets what belongs to the open transaction and hasn't been handed over: it will be read again.
    pub fn discard_open(&mut self) -> Result<(), ValueTooLong> {
        self.split_off_open()?;
        self.earlier_bytes = match self.events.split_last() {
            Some((_, earlier)) => earlier.iter().map(size_bytes).sum(),
            None => 0,
        };
        self.open_log_bytes = 0;
        Ok(())
    }

    /// Divides at the boundary; at most one item has to be copied, and only if two transactions share it.
    fn split_off_open(&mut self) -> Result<Vec<Event>, ValueTooLong> {
        let mut open = self.events.split_off(self.boundary.events.min(self.events.len()));
        let Some(Event::Rows(last)) = self.events.last_mut() else { return Ok(open) };
        if last.changes.len() > self.boundary.rows {
            let (done, tail) = divide(last, self.boundary.rows)?;
            *last = done;
            open.insert(0, Event::Rows(tail));
        }
        Ok(open)
    }
}

fn divide(rows: &RowChanges, at: usize) -> Result<(RowChanges, RowChanges), ValueTooLong> {
    let mut parts = (RowChanges::new(Arc::clone(&rows.schema)), RowChanges::new(Arc::clone(&rows.schema)));
    for (index, (row, change)) in rows.rows.rows().zip(&rows.changes).enumerate() {
        let part = if index < at { &mut parts.0 } else { &mut parts.1 };
        part.rows.push_row(row)?;
        part.changes.push(*change);
    }
    Ok(parts)
}

fn size_bytes(event: &Event) -> usize {
    match event {
        Event::Rows(rows) => rows.rows.size_bytes() + rows.changes.len(),
        Event::Schema(_) => 256,
    }
}
