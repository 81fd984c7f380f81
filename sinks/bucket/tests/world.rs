//! A sink on a store in memory, and short words to feed and read it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use millstream_bucket::store::{MemoryStore, Store};
use millstream_bucket::{
    BucketReader, BucketSink, BucketSinkOptions, BucketSummary, DeployedConfig, SourceOptions, Tuning,
};
use millstream_core::change::{Commit, RowChange, RowChanges};
use millstream_core::error::SinkError;
use millstream_core::position::Position;
use millstream_core::row::RowBatch;
use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};
use millstream_core::sink::{PassMode, PassReport, Restored, Sink, Write, WriteItem};
use millstream_core::table::{PassRecord, TableId, TableRecord, TableState};
use millstream_core::value::ValueRef;
use millstream_sync_config::SyncConfig;
use tokio::sync::oneshot;

use crate::client::Client;

/// Everything takes milliseconds; this is for machines that are busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// The table `items`, and others of the same shape.
pub const ITEMS: TableId = TableId(1);

/// Items by their owner, all items, and who may see what.
pub const CONFIG: &str = r"
bucket_definitions:
  all:
    data:
      - SELECT id, owner, note FROM items
  mine:
    parameters: SELECT owner FROM items WHERE note = request.user_id()
    data:
      - SELECT id, note FROM items WHERE owner = bucket.owner
";

/// A row of a table: id, owner, note.
pub type Row = (i64, &'static str, &'static str);

/// A bucket's rows: the data by type and id.
pub type Rows = BTreeMap<(String, String), String>;

/// The same where several rows may have given an object: type, id and data of each, in order.
pub type Objects = Vec<(String, String, String)>;

pub fn schema(table: &str) -> Arc<TableSchema> {
    let column = |name: &str, source_type: &str| Column {
        name: name.to_string(),
        source_type: source_type.to_string(),
        nullable: true,
        collation: None,
        generated: None,
        default: None,
    };
    Arc::new(TableSchema {
        table: TableName::new("shop", table),
        columns: vec![column("id", "int"), column("owner", "text"), column("note", "text")],
        identity: Identity { kind: IdentityKind::PrimaryKey, columns: vec![0] },
        origin: None,
    })
}

/// Stands for the columns of an identity without a key.
pub const WHOLE_ROW: &[usize] = &[];

/// A table's shape with another identity.
pub fn schema_by(table: &str, identity: &[usize]) -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&schema(table));
    schema.identity = match identity {
        WHOLE_ROW => Identity { kind: IdentityKind::WholeRow, columns: vec![0, 1, 2] },
        columns => Identity { kind: IdentityKind::PrimaryKey, columns: columns.to_vec() },
    };
    Arc::new(schema)
}

pub fn batch(rows: impl IntoIterator<Item = (i64, impl AsRef<str>, impl AsRef<str>)>) -> RowBatch {
    let mut batch = RowBatch::new(3);
    for (id, owner, note) in rows {
        for value in [ValueRef::Int(id), ValueRef::Text(owner.as_ref()), ValueRef::Text(note.as_ref())] {
            batch.push(value).unwrap();
        }
    }
    batch
}

pub fn position(order: u128) -> Position {
    Position::new(order, format!("at-{order}"))
}

pub fn commit(order: u128) -> Option<Commit> {
    Some(Commit { position: position(order), committed_at_ms: 0, transactions: 1, log_bytes: 0 })
}

pub fn record(table: TableId, name: &str, state: TableState, generation: u64) -> TableRecord {
    let visible = matches!(state, TableState::Live | TableState::Reconciling);
    let pass = (state != TableState::Live).then(|| PassRecord::new("test", None));
    let schema = schema(name);
    TableRecord { id: table, name: schema.table.clone(), schema: Some(schema), state, visible, generation, pass }
}

/// The record of a table that has been live and can't be read at present.
pub fn held(table: TableId, name: &str, generation: u64) -> TableRecord {
    let state = TableState::Held { reason: "it is hidden".to_string(), remedy: "GRANT it".to_string() };
    TableRecord { visible: true, pass: None, ..record(table, name, state, generation) }
}

pub fn put(row: Row) -> (RowChange, Row) {
    (RowChange::Upsert, row)
}

pub fn delete(id: i64) -> (RowChange, Row) {
    (RowChange::Delete, (id, "", ""))
}

pub fn options(config: &str) -> BucketSinkOptions {
    let parsed = SyncConfig::parse(config, "sync.yaml").unwrap();
    BucketSinkOptions {
        sync_config: DeployedConfig::new(parsed, "sync.yaml", config),
        sources: vec![SourceOptions { name: "db".to_string(), default_schema: "shop".to_string() }],
    }
}

pub struct World {
    pub store: Arc<dyn Store>,
    pub sink: Arc<BucketSink>,
    pub restored: Restored,
}

impl World {
    pub async fn new() -> World {
        World::with_config(CONFIG).await
    }

    pub async fn with_config(config: &str) -> World {
        World::on(Arc::new(MemoryStore::new()), config).await
    }

    pub async fn on(store: Arc<dyn Store>, config: &str) -> World {
        let tuning = Tuning { compact_dead_ops_min: 4, ..Tuning::default() };
        World::tuned(store, config, &tuning).await
    }

    pub async fn tuned(store: Arc<dyn Store>, config: &str, tuning: &Tuning) -> World {
        let sink = BucketSink::with_tuning(Arc::clone(&store), options(config), tuning).unwrap();
        let restored = sink.restore("db").await.unwrap();
        World { store, sink, restored }
    }

    /// A world whose table `items` is live and empty, at position 1.
    pub async fn live() -> World {
        let world = World::new().await;
        world.accept(vec![table(record(ITEMS, "items", TableState::Live, 1))], commit(1)).await;
        world.reach(1).await;
        world
    }

    /// As after a crash: what hasn't been stored is lost.
    pub async fn crash(self, config: &str) -> World {
        let store = Arc::clone(&self.store);
        drop(self.sink);
        World::on(store, config).await
    }

    pub async fn accept(&self, items: Vec<WriteItem>, commit: Option<Commit>) {
        self.sink.accept("db", Write { items, commit }).await.unwrap();
    }

    pub async fn try_accept(&self, items: Vec<WriteItem>, commit: Option<Commit>) -> Result<(), SinkError> {
        self.sink.accept("db", Write { items, commit }).await
    }

    /// Waits for a checkpoint at a position or behind it.
    pub async fn reach(&self, order: u128) {
        self.wait(&format!("a checkpoint at {order}"), |position| position.is_some_and(|position| position >= order))
            .await;
    }

    async fn wait(&self, what: &str, is_it: impl Fn(Option<u128>) -> bool) {
        let mut checkpoints = self.sink.checkpoints();
        let reached = checkpoints.wait_for(|checkpoint| {
            is_it(checkpoint.as_ref().and_then(|checkpoint| Some(checkpoint.positions.get("db")?.order())))
        });
        let Ok(reached) = tokio::time::timeout(PATIENCE, reached).await else { panic!("no {what}") };
        if reached.is_err() {
            panic!("the sink failed: {}", self.sink.accept("db", Write::default()).await.unwrap_err());
        }
    }

    /// Waits until everything up to a position is on disk.
    pub async fn durable(&self, order: u128) {
        let mut durable = self.sink.durable("db");
        let reached = durable.wait_for(|durable| durable.as_ref().is_some_and(|durable| *durable >= position(order)));
        tokio::time::timeout(PATIENCE, reached).await.expect("the position becomes durable").unwrap();
    }

    pub fn checkpoint_order(&self) -> Option<u128> {
        let checkpoint = self.sink.checkpoints().borrow().clone();
        Some(checkpoint?.positions.get("db")?.order())
    }

    pub async fn sweep(&self, table: TableId, generation: u64, mode: PassMode) -> PassReport {
        let (reply, report) = oneshot::channel();
        self.accept(vec![WriteItem::Sweep { table, generation, mode, reply }], None).await;
        report.await.unwrap()
    }

    pub fn reader(&self) -> BucketReader {
        self.sink.reader().unwrap()
    }

    pub fn buckets(&self) -> BTreeMap<String, Rows> {
        buckets(&self.reader())
    }

    /// One bucket's rows; empty if there is none.
    pub fn bucket(&self, name: &str) -> Vec<String> {
        self.buckets().remove(name).unwrap_or_default().into_values().collect()
    }

    pub fn ops(&self, name: &str) -> u64 {
        summaries(&self.reader()).get(name).map_or(0, |summary| summary.counters.ops)
    }
}

pub fn table(record: TableRecord) -> WriteItem {
    WriteItem::Table(Box::new(record))
}

pub fn stream(table: TableId, generation: u64, pass_active: bool, changes: &[(RowChange, Row)]) -> WriteItem {
    stream_of("items", table, generation, pass_active, changes)
}

/// Changes of any of the tables.
pub fn stream_of(
    name: &str,
    table: TableId,
    generation: u64,
    pass_active: bool,
    changes: &[(RowChange, Row)],
) -> WriteItem {
    let mut all = RowChanges::new(schema(name));
    all.rows = batch(changes.iter().map(|(_, row)| *row));
    all.changes = changes.iter().map(|(change, _)| *change).collect();
    WriteItem::Stream { table, generation, pass_active, changes: all }
}

pub fn chunk(table: TableId, generation: u64, mode: PassMode, rows: &[Row]) -> WriteItem {
    WriteItem::Chunk { table, generation, mode, schema: schema("items"), rows: batch(rows.iter().copied()) }
}

/// Rows that a repairing pass has read, of any of the tables.
pub fn chunk_of(name: &str, table: TableId, generation: u64, rows: &[Row]) -> WriteItem {
    let rows = batch(rows.iter().copied());
    WriteItem::Chunk { table, generation, mode: PassMode::Repair, schema: schema(name), rows }
}

pub fn clear(table: TableId) -> (WriteItem, oneshot::Receiver<PassReport>) {
    let (reply, report) = oneshot::channel();
    (WriteItem::Clear { table, reply }, report)
}

pub fn summaries(reader: &BucketReader) -> BTreeMap<String, BucketSummary> {
    let mut all = BTreeMap::new();
    reader
        .buckets(&mut |summary| {
            all.insert(summary.name.clone(), summary);
            ControlFlow::Continue(())
        })
        .unwrap();
    all
}

/// All rows of all buckets that have any, see [`objects`].
pub fn buckets(reader: &BucketReader) -> BTreeMap<String, Rows> {
    let rows = |objects: Objects| objects.into_iter().map(|(kind, id, data)| ((kind, id), data)).collect();
    objects(reader).into_iter().map(|(bucket, objects)| (bucket, rows(objects))).collect()
}

/// All objects of all buckets that have any. Checks on the way that the counters tell the truth, that no bucket holds an
/// object twice, and that a client which reads the op log has the same.
pub fn objects(reader: &BucketReader) -> BTreeMap<String, Objects> {
    let mut all = BTreeMap::new();
    for (name, summary) in summaries(reader) {
        let mut client = Client::default();
        client.sync(reader, &name);
        let counters = summary.counters;
        assert_eq!(client.checksum(), counters.checksum, "checksum of {name}");
        assert_eq!(client.ops_seen, counters.ops, "ops of {name}");

        let mut live = BTreeMap::new();
        reader
            .live_rows(&name, &mut |row| {
                let object = (row.object_type.to_string(), row.object_id.to_string(), row.subkey.to_string());
                let before = live.insert(object.clone(), row.data.to_string());
                assert_eq!(before, None, "{name} holds {object:?} twice");
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(client.rows(), live, "rows of {name}");
        assert_eq!(live.len() as u64, counters.rows, "row count of {name}");
        let mut objects: Objects = live.into_iter().map(|((kind, id, _), data)| (kind, id, data)).collect();
        objects.sort_unstable();
        if !objects.is_empty() {
            all.insert(name, objects);
        }
    }
    all
}
