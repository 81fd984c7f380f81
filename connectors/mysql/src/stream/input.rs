//! Events in the log's order, with a way to look at those that are still to come.

use std::collections::VecDeque;

use millstream_core::error::SourceError;

use super::dump::Batches;
use super::event::RawEvent;

/// The events to handle next. What is looked at ahead is kept and comes later, in its turn.
pub(super) struct Input {
    batches: Batches,
    waiting: VecDeque<RawEvent>,
    waiting_bytes: usize,
}

impl Input {
    pub(super) fn new(batches: Batches) -> Self {
        Self { batches, waiting: VecDeque::new(), waiting_bytes: 0 }
    }

    /// The next event; waits for it.
    pub(super) async fn next(&mut self) -> Result<RawEvent, SourceError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.waiting_bytes -= event.size_bytes();
                return Ok(event);
            }
            self.receive().await?;
        }
    }

    /// Whether nothing is there at this moment.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.batches.is_empty()
    }

    /// Whether [`ahead`](Self::ahead) would have to wait for the server.
    pub(super) fn would_wait(&self, index: usize) -> bool {
        self.waiting.len() <= index && self.batches.is_empty()
    }

    /// The event this many places after the next one, without taking it; waits for it.
    pub(super) async fn ahead(&mut self, index: usize) -> Result<&RawEvent, SourceError> {
        while self.waiting.len() <= index {
            self.receive().await?;
        }
        let missing = || SourceError::transient("look ahead in the binary log", "an event got lost");
        self.waiting.get(index).ok_or_else(missing)
    }

    /// The memory that waiting events take, in bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    async fn receive(&mut self) -> Result<(), SourceError> {
        let gone = || SourceError::transient("read the binary log", "its connection's task has ended");
        let batch = self.batches.recv().await.ok_or_else(gone)??;
        self.waiting_bytes += batch.iter().map(RawEvent::size_bytes).sum::<usize>();
        self.waiting.extend(batch);
        Ok(())
    }
}
