//! The way from the sources' tasks to the writer's thread: a queue bounded in bytes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use millstream_core::change::Commit;
use millstream_core::error::SinkError;
use millstream_core::schema_change::HistoryEntry;
use millstream_core::sink::{PassMode, PassReport};
use millstream_core::table::{TableId, TableRecord};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::evaluated::EvaluatedRows;
use crate::key::SourceId;

/// How much may wait for the writer. A single write that is larger is let in when nothing else waits.
const QUEUE_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// How much of that the rows of passes may take. What the stream brings waits until they are worked off, and rows that have
/// to be looked up take ten times as long as new ones.
const CHUNKS_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// What a write takes of that at least, so that no more than 4096 of them wait.
const WRITE_BYTES_MIN: u32 = 4 * 1024;

/// What the writer is sent.
#[derive(Debug)]
pub(crate) enum Message {
    /// A write.
    Write(Accepted),
    /// A source has been told what is stored of it.
    Restored(SourceId),
    /// Whoever asks is told once everything before is on disk.
    Sync(oneshot::Sender<()>),
    /// Everything before is to be stored.
    Close(oneshot::Sender<()>),
}

/// A write, evaluated.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) source: SourceId,
    pub(crate) items: Vec<Item>,
    pub(crate) commit: Option<Commit>,
    /// Gives the queue's room back when the write has been worked off.
    pub(crate) permits: Vec<OwnedSemaphorePermit>,
}

/// The items of a write, evaluated; see [`WriteItem`](millstream_core::sink::WriteItem).
#[derive(Debug)]
pub(crate) enum Item {
    Stream { table: TableId, generation: u64, pass_active: bool, rows: EvaluatedRows },
    Chunk { table: TableId, generation: u64, mode: PassMode, rows: EvaluatedRows },
    Sweep { table: TableId, generation: u64, mode: PassMode, reply: oneshot::Sender<PassReport> },
    Clear { table: TableId, reply: oneshot::Sender<PassReport> },
    Table(Box<TableRecord>),
    Forget { table: TableId },
    History { id: u64, entry: HistoryEntry },
}

impl Item {
    /// How many rows of the stream it has.
    pub(crate) fn streamed_rows(&self) -> usize {
        match self {
            Item::Stream { rows, .. } => rows.len(),
            _ => 0,
        }
    }
}

/// The sink's end.
#[derive(Debug)]
pub(crate) struct Queue {
    room: Room,
    sender: Mutex<Option<mpsc::Sender<Message>>>,
    state: Arc<WriterState>,
}

/// What is left of the queue's room, in bytes.
#[derive(Debug, Clone)]
struct Room {
    all: Arc<Semaphore>,
    chunks: Arc<Semaphore>,
}

/// What the writer's thread and the sink tell each other besides the queue.
#[derive(Debug, Default)]
pub(crate) struct WriterState {
    failure: Mutex<Option<Failure>>,
    /// The writer is to stop at once, leaving unstored what isn't stored.
    is_abandoned: AtomicBool,
}

#[derive(Debug, Clone)]
struct Failure {
    diagnosis: String,
    remedy: String,
}

impl Room {
    /// Nobody waits any more.
    fn close(&self) {
        self.all.close();
        self.chunks.close();
    }
}

impl WriterState {
    /// Notes why the writer has stopped.
    pub(crate) fn fail(&self, error: &SinkError) {
        let failure = Failure { diagnosis: error.diagnosis.clone(), remedy: error.remedy.clone() };
        self.failure().get_or_insert(failure);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Relaxed)
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing can be sent.
    fn error(&self) -> SinkError {
        match self.failure().clone() {
            Some(Failure { diagnosis, remedy }) => SinkError::new(diagnosis, remedy),
            None => SinkError::new("The bucket sink is closed", "Start the process again"),
        }
    }
}

impl Queue {
    pub(crate) fn new() -> (Queue, mpsc::Receiver<Message>, Arc<WriterState>) {
        let (sender, receiver) = mpsc::channel();
        let state = Arc::new(WriterState::default());
        let room = |bytes: u32| Arc::new(Semaphore::new(bytes as usize));
        let room = Room { all: room(QUEUE_BYTES_MAX), chunks: room(CHUNKS_BYTES_MAX) };
        (Queue { room, sender: Mutex::new(Some(sender)), state: Arc::clone(&state) }, receiver, state)
    }

    /// Sends a write of a size, once there is room. Cancelling sends it or doesn't.
    pub(crate) async fn send_write(&self, mut write: Accepted, bytes: usize) -> Result<(), SinkError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(WRITE_BYTES_MIN);
        let has_chunk = write.items.iter().any(|item| matches!(item, Item::Chunk { .. }));
        let chunks = has_chunk.then_some((&self.room.chunks, CHUNKS_BYTES_MAX));
        for (room, bytes_max) in chunks.into_iter().chain([(&self.room.all, QUEUE_BYTES_MAX)]) {
            let permit = Arc::clone(room).acquire_many_owned(bytes.min(bytes_max)).await;
            write.permits.push(permit.map_err(|_| self.state.error())?);
        }
        self.send(Message::Write(write))
    }

    pub(crate) fn send(&self, message: Message) -> Result<(), SinkError> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a receiver, or a sender, the writer has stopped or was told to.
        let is_sent = sender.as_ref().is_some_and(|sender| sender.send(message).is_ok());
        if is_sent { Ok(()) } else { Err(self.state.error()) }
    }

    /// Fails if the writer has.
    pub(crate) fn check(&self) -> Result<(), SinkError> {
        if self.state.failure().is_some() { Err(self.state.error()) } else { Ok(()) }
    }

    /// Why the writer has stopped.
    pub(crate) fn error(&self) -> SinkError {
        self.state.error()
    }

    /// Sends nothing more.
    pub(crate) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.room.close();
    }

    /// Tells the writer to stop where it is.
    pub(crate) fn abandon(&self) {
        self.state.is_abandoned.store(true, Ordering::Relaxed);
        self.close();
    }

    /// What the writer's thread holds while it runs.
    pub(crate) fn watch(&self) -> WriterWatch {
        WriterWatch { room: self.room.clone(), state: Arc::clone(&self.state) }
    }
}

/// Sees to it, when the writer's thread ends in whichever way, that nobody waits for room for ever.
pub(crate) struct WriterWatch {
    room: Room,
    state: Arc<WriterState>,
}

impl Drop for WriterWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.state.fail(&SinkError::new(
                "The bucket sink's thread has stopped by a defect; its message stands on standard error",
                "Report this, with that message. Nothing that was reported as durable is lost: start again",
            ));
        }
        self.room.close();
    }
}
