//! The sink: evaluates on the caller's task, stores on a thread of its own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use millstream_core::change::RowChanges;
use millstream_core::error::SinkError;
use millstream_core::position::Position;
use millstream_core::selection::Selection;
use millstream_core::sink::{Restored, Sink, Write, WriteItem};
use millstream_core::table::{TableId, TableRecord};
use tokio::sync::{oneshot, watch};
use tracing::error;

use crate::definitions::Definitions;
use crate::deployment::{DeployedConfig, Plan, Stage};
use crate::evaluation::{Evaluator, Source};
use crate::former_keys::FormerKeys;
use crate::key::{self, SourceId, TableKey};
use crate::kill::KillPoints;
use crate::load;
use crate::meta::{self, Checkpoint, SourceRecord, TableFact};
use crate::queue::{Accepted, Item, Message, Queue};
use crate::reader::BucketReader;
use crate::store::{Batch, Direction, Durability, FjallStore, Keyspace, Read, Store};
use crate::writer::{RowCounts, Writer, WriterStart};

/// What a bucket sink is opened with.
#[derive(Debug, Clone)]
pub struct BucketSinkOptions {
    /// The definitions of the buckets.
    pub sync_config: DeployedConfig,
    /// The sources that feed the sink. Tables that the sync config names without a source are the first one's.
    pub sources: Vec<SourceOptions>,
}

/// What can be set about the sink's work. The defaults are meant to stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// How many dead ops a bucket has at least before it is compacted.
    pub compact_dead_ops_min: u64,
    /// How many rows, keys or ops a job that is done between writes looks at before writes get their turn again.
    pub slice_rows_max: usize,
    /// How many bytes of them.
    pub slice_bytes_max: usize,
    /// How many bytes of rows to remove, addresses and states, a sweep comes across before it begins to remove them,
    /// checkpoints being held back then.
    pub sweep_collected_bytes_max: usize,
    /// How large the writes that are stored together grow.
    pub batch_bytes_max: usize,
    /// The same for rows of a first load, of which there is nothing stored yet. As much again is on its way meanwhile.
    pub load_bytes_max: usize,
    /// How large they must have grown for being stored by the way that is quick for many of them.
    pub load_bytes_min: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            compact_dead_ops_min: 1_000,
            slice_rows_max: 1_000,
            slice_bytes_max: 2 * 1024 * 1024,
            sweep_collected_bytes_max: 4 * 1024 * 1024,
            batch_bytes_max: 4 * 1024 * 1024,
            load_bytes_max: 16 * 1024 * 1024,
            load_bytes_min: 2 * 1024 * 1024,
        }
    }
}

/// A source that feeds the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOptions {
    /// Its name in the configuration.
    pub name: String,
    /// The schema (in MySQL: the database) of tables that the sync config names without one.
    pub default_schema: String,
}

/// A sink that keeps sync buckets in a store.
///
/// Dropping it without [`close`](Sink::close) leaves unstored what isn't stored, as a crash would.
pub struct BucketSink {
    store: Arc<dyn Store>,
    sources: HashMap<String, SourceEnd>,
    evaluator: Arc<Evaluator>,
    former_keys: Arc<FormerKeys>,
    counts: Arc<RowCounts>,
    queue: Queue,
    checkpoints: watch::Receiver<Option<Checkpoint>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the sink keeps about each source.
#[derive(Debug)]
struct SourceEnd {
    source: Source,
    durable: watch::Receiver<Option<Position>>,
    restored: Mutex<Option<Restored>>,
}

impl BucketSink {
    /// Opens the store in a directory, creates it if there is none, and begins to wait for writes.
    ///
    /// # Errors
    /// If the store can't be opened, see [`StoreError`](crate::store::StoreError), or holds what this release can't
    /// read.
    pub fn open(directory: &Path, options: BucketSinkOptions) -> Result<Arc<BucketSink>, SinkError> {
        Self::with_store(Arc::new(FjallStore::open(directory)?), options)
    }

    /// The same on a store that is open already.
    pub fn with_store(store: Arc<dyn Store>, options: BucketSinkOptions) -> Result<Arc<BucketSink>, SinkError> {
        Self::with_tuning(store, options, &Tuning::default())
    }

    /// The same with other settings than the default ones.
    pub fn with_tuning(
        store: Arc<dyn Store>,
        options: BucketSinkOptions,
        tuning: &Tuning,
    ) -> Result<Arc<BucketSink>, SinkError> {
        load::undo(&*store)?;
        let mut batch = Batch::new();
        let records = number_sources(&*store, &options.sources, &mut batch)?;
        let sources: Vec<Source> = options
            .sources
            .iter()
            .zip(&records)
            .enumerate()
            .map(|(index, (options, record))| Source {
                id: record.id,
                name: options.name.clone(),
                default_schema: options.default_schema.clone(),
                is_default: index == 0,
            })
            .collect();
        let stage = Stage { store: &*store, sources: &sources, given: &options.sync_config };
        let Plan { definitions, evaluation, rollout } = stage.plan(&mut batch)?;
        store.commit(&batch, Durability::Synced)?;

        let mut ends = HashMap::new();
        let mut writer_sources = Vec::new();
        for (source, record) in sources.into_iter().zip(records) {
            let (sender, durable) = watch::channel(record.position.clone());
            let restored = Mutex::new(Some(restored(&*store, &record, &definitions)?));
            writer_sources.push((source.name.clone(), record, sender));
            ends.insert(source.name.clone(), SourceEnd { source, durable, restored });
        }
        let (queue, receiver, state) = Queue::new();
        let (checkpoint_sender, checkpoints) = watch::channel(None);
        let counts = Arc::new(RowCounts::default());
        let evaluator = Arc::new(Evaluator::new(evaluation));
        let former_keys = Arc::new(FormerKeys::default());
        let writer = Writer::open(WriterStart {
            store: Arc::clone(&store),
            definitions,
            rollout,
            evaluator: Arc::clone(&evaluator),
            former_keys: Arc::clone(&former_keys),
            sources: writer_sources,
            counts: Arc::clone(&counts),
            checkpoints: checkpoint_sender,
            tuning: tuning.clone(),
            kill: KillPoints::from_environment()?,
        })?;
        let watch = queue.watch();
        let work = move || {
            if let Err(error) = writer.run(&receiver, &state) {
                error!(diagnosis = %error.diagnosis, remedy = %error.remedy, "the bucket sink has failed");
                state.fail(&error);
            }
            drop(watch);
        };
        let thread = std::thread::Builder::new().name("bucket-writer".to_string()).spawn(work).map_err(no_thread)?;
        let thread = Mutex::new(Some(thread));
        Ok(Arc::new(BucketSink { store, sources: ends, evaluator, former_keys, counts, queue, checkpoints, thread }))
    }

    /// What readers see: the state at the newest checkpoint.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn reader(&self) -> Result<BucketReader, SinkError> {
        BucketReader::of(self.store.snapshot())
    }

    /// The newest checkpoint that is on disk, as it moves.
    pub fn checkpoints(&self) -> watch::Receiver<Option<Checkpoint>> {
        self.checkpoints.clone()
    }

    /// The space that the store takes, in bytes.
    ///
    /// # Errors
    /// If the store's directory can't be read.
    pub fn disk_bytes(&self) -> Result<u64, SinkError> {
        Ok(self.store.disk_bytes()?)
    }

    fn source(&self, name: &str) -> Result<&SourceEnd, SinkError> {
        self.sources.get(name).ok_or_else(|| {
            SinkError::new(
                format!("The bucket sink wasn't told of a source called {name}"),
                "This is a defect: please report it",
            )
        })
    }

    async fn evaluate(&self, source: &Source, item: WriteItem, out: &mut Evaluation) -> Result<(), SinkError> {
        match item {
            WriteItem::Stream { table, generation, pass_active, changes } => {
                let key = TableKey { source: source.id, table };
                let RowChanges { schema, rows, changes } = &changes;
                let mut slices = self.evaluator.evaluate(source, key, schema, rows, Some(changes)).await?;
                self.former_keys.tell(key, schema, rows, &mut slices);
                for rows in slices {
                    out.bytes += rows.size_bytes();
                    out.items.push(Item::Stream { table, generation, pass_active, rows });
                }
            }
            WriteItem::Chunk { table, generation, mode, schema, rows } => {
                let key = TableKey { source: source.id, table };
                let mut slices = self.evaluator.evaluate(source, key, &schema, &rows, None).await?;
                self.former_keys.tell(key, &schema, &rows, &mut slices);
                for rows in slices {
                    out.bytes += rows.size_bytes();
                    out.items.push(Item::Chunk { table, generation, mode, rows });
                }
            }
            WriteItem::Sweep { table, generation, mode, reply } => {
                out.items.push(Item::Sweep { table, generation, mode, reply });
            }
            WriteItem::Clear { table, reply } => out.items.push(Item::Clear { table, reply }),
            WriteItem::Table(record) => out.items.push(Item::Table(record)),
            WriteItem::Forget { table } => {
                self.former_keys.forget(TableKey { source: source.id, table });
                out.items.push(Item::Forget { table });
            }
            WriteItem::History { id, entry } => out.items.push(Item::History { id, entry }),
        }
        Ok(())
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write that is being evaluated.
#[derive(Default)]
struct Evaluation {
    items: Vec<Item>,
    bytes: usize,
}

#[async_trait]
impl Sink for BucketSink {
    fn selection(&self, source: &str) -> Selection {
        self.sources.get(source).map(|end| self.evaluator.selection(&end.source)).unwrap_or_default()
    }

    async fn restore(&self, source: &str) -> Result<Restored, SinkError> {
        let end = self.source(source)?;
        let restored = end.restored.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.queue.send(Message::Restored(end.source.id))?;
        restored.ok_or_else(|| {
            SinkError::new(format!("The source {source} is followed twice"), "This is a defect: please report it")
        })
    }

    async fn accept(&self, source: &str, write: Write) -> Result<(), SinkError> {
        self.queue.check()?;
        let source = &self.source(source)?.source;
        let mut evaluation = Evaluation::default();
        for item in write.items {
            self.evaluate(source, item, &mut evaluation).await?;
        }
        let Evaluation { items, bytes } = evaluation;
        let write = Accepted { source: source.id, items, commit: write.commit, permits: Vec::new() };
        self.queue.send_write(write, bytes).await
    }

    fn durable(&self, source: &str) -> watch::Receiver<Option<Position>> {
        match self.sources.get(source) {
            Some(end) => end.durable.clone(),
            // Closed at once, as a sink that has failed is; `accept` tells why.
            None => watch::channel(None).1,
        }
    }

    async fn sync(&self, _source: &str) -> Result<(), SinkError> {
        let (reply, synced) = oneshot::channel();
        self.queue.send(Message::Sync(reply))?;
        synced.await.map_err(|_| self.queue.error())
    }

    fn stored_rows(&self, source: &str, table: TableId) -> Option<u64> {
        let source = self.sources.get(source)?.source.id;
        self.counts.get(TableKey { source, table })
    }

    async fn close(&self) -> Result<(), SinkError> {
        let (reply, closed) = oneshot::channel();
        self.queue.send(Message::Close(reply))?;
        let is_closed = closed.await;
        self.queue.close();
        is_closed.map_err(|_| self.queue.error())
    }
}

impl Drop for BucketSink {
    fn drop(&mut self) {
        self.queue.abandon();
        // The thread holds the store, whose directory another process may want to open next. It has told of its failure
        // already if it panicked.
        if let Some(thread) = self.thread().take() {
            let _ = thread.join();
        }
    }
}

/// Gives each source its number, and counts that it is restored.
fn number_sources(
    store: &dyn Read,
    options: &[SourceOptions],
    batch: &mut Batch,
) -> Result<Vec<SourceRecord>, SinkError> {
    let known: HashMap<String, SourceRecord> = meta::sources(store)?.into_iter().collect();
    let mut last = known.values().map(|record| record.id.0).max().unwrap_or(0);
    let mut records = Vec::new();
    for SourceOptions { name, .. } in options {
        let mut record = match known.get(name) {
            Some(record) => record.clone(),
            None => {
                last = last.checked_add(1).ok_or_else(too_many_sources)?;
                SourceRecord {
                    id: SourceId(last),
                    position: None,
                    committed_at_ms: 0,
                    has_open_transaction: false,
                    incarnation: 0,
                }
            }
        };
        record.incarnation = record.incarnation.saturating_add(1);
        meta::put(batch, &meta::source_key(name), &record)?;
        records.push(record);
    }
    Ok(records)
}

fn restored(store: &dyn Read, record: &SourceRecord, definitions: &Definitions) -> Result<Restored, SinkError> {
    let tables: Vec<TableRecord> = meta::table_facts::<TableRecord>(store, TableFact::Record)?
        .into_iter()
        .filter(|(table, _)| table.source == record.id)
        .map(|(_, record)| record)
        .collect();
    let mut lines = store.scan(Keyspace::History, &key::history_of(record.id), Direction::Backward);
    let last_history_id = match lines.next() {
        Some(line) => key::history_id(&line?.0)?,
        None => 0,
    };
    let stale = definitions.stale(record.id, &tables);
    Ok(Restored {
        position: record.position.clone(),
        tables,
        stale,
        last_history_id,
        unfinished: record.has_open_transaction,
        incarnation: record.incarnation,
    })
}

fn too_many_sources() -> SinkError {
    SinkError::new("The bucket store has given out all of its 65535 source numbers", "Start with an empty store")
}

fn no_thread(error: std::io::Error) -> SinkError {
    SinkError::new(
        format!("The bucket sink's thread can't be started: {error}"),
        "Raise the limits on this user's threads and memory",
    )
}
