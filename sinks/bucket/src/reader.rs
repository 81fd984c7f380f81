//! What readers see: the buckets at the newest checkpoint.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use millstream_core::error::SinkError;
use millstream_core::schema::TableName;
use millstream_core::schema_change::HistoryEntry;
use millstream_core::table::{TableRecord, TableState};
use xxhash_rust::xxh3::xxh3_128;

use crate::bucket::{BucketRecord, Counters};
use crate::definitions::Definitions;
use crate::key::{self, BucketId, SourceId, TableKey};
use crate::meta::{self, Checkpoint, SourceRecord, TableFact};
use crate::op::{ObjectRef, Op, OpKind};
use crate::record::Malformed;
use crate::rollout::Step;
use crate::store::{Direction, FjallStore, Keyspace, Read, Store};
use crate::writer::LOOKUP_PRESENT;

/// How many ops of a bucket are sorted out at once. A bucket with more is read several times, so that memory stays
/// bounded whatever its size.
const OPS_AT_ONCE_MAX: u64 = 500_000;

/// A moment of a bucket store. What comes later doesn't change it.
///
/// It keeps disk space from being reused, so it should live for seconds or minutes. Visitors end a reading early by
/// [`ControlFlow::Break`].
pub struct BucketReader {
    read: Box<dyn Read>,
    /// Only there to be kept open.
    _store: Option<Arc<dyn Store>>,
    checkpoint: Option<Checkpoint>,
    definitions: Definitions,
}

/// A bucket as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSummary {
    /// Its full name.
    pub name: String,
    /// Clients get buckets with a lower number first.
    pub priority: u8,
    /// What its op log adds up to.
    pub counters: Counters,
}

/// A live row of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveRow<'a> {
    /// The op that put it.
    pub op_id: u64,
    /// What clients call the table.
    pub object_type: &'a str,
    /// What names the row among those of its type.
    pub object_id: &'a str,
    /// Tells rows of the same type and id apart that come from different source rows.
    pub subkey: &'a str,
    /// Its fields, as the text of a JSON object.
    pub data: &'a str,
}

/// An entry of a bucket's op log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketOp<'a> {
    /// Its place in the log.
    pub op_id: u64,
    /// What clients add to the bucket's checksum.
    pub checksum: u32,
    /// What it does.
    pub change: BucketChange<'a>,
}

/// What an op does to a client's copy of the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketChange<'a> {
    /// The object has this content now.
    Put {
        /// What clients call the table.
        object_type: &'a str,
        /// What names the row among those of its type.
        object_id: &'a str,
        /// Tells rows of the same type and id apart.
        subkey: String,
        /// The row's fields, as the text of a JSON object.
        data: &'a str,
    },
    /// The object is gone.
    Remove {
        /// What clients call the table.
        object_type: &'a str,
        /// What names the row among those of its type.
        object_id: &'a str,
        /// Tells rows of the same type and id apart.
        subkey: String,
    },
    /// Nothing but the checksum is left of an op that another has replaced.
    Move {
        /// A client that hasn't got the ops up to this one may lack a row.
        target_op_id: u64,
    },
    /// The client starts over with this op's checksum.
    Clear {
        /// A client that hasn't got the ops up to this one may lack a row.
        target_op_id: u64,
    },
}

/// What is stored about a source.
#[derive(Debug, Clone)]
pub struct StoredSource {
    /// Its name.
    pub name: String,
    /// Where reading resumes.
    pub position: Option<millstream_core::position::Position>,
    /// When the last transaction up to there was committed, by the source's clock, in milliseconds since 1970 (UTC).
    pub committed_at_ms: i64,
}

/// How far a changed sync config has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentProgress {
    /// Whether definitions are being filled in, out of sight of readers, or are about to take the place of others.
    pub is_under_way: bool,
    /// What isn't shown yet for the sake of rows that clients would lose.
    pub waiting: Vec<WaitingDefinition>,
}

/// A changed definition, and a held table that it can't be shown without. Until then readers see the one by its name that
/// was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingDefinition {
    /// Its name.
    pub definition: String,
    /// The table's source.
    pub source: String,
    /// The table.
    pub table: TableName,
    /// Why the table is held.
    pub reason: String,
    /// What ends that.
    pub remedy: String,
}

/// What is stored about a table.
#[derive(Debug, Clone)]
pub struct StoredTable {
    /// Its record.
    pub record: TableRecord,
    /// How many of its rows are stored.
    pub rows: u64,
}

impl BucketReader {
    /// Opens a store that no process works on, to read it.
    ///
    /// # Errors
    /// As [`FjallStore::open`] has them.
    pub fn open(directory: &Path) -> Result<BucketReader, SinkError> {
        Self::of_store(Arc::new(FjallStore::open(directory)?))
    }

    /// Reads a store as it is now, and keeps it open.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn of_store(store: Arc<dyn Store>) -> Result<BucketReader, SinkError> {
        Ok(BucketReader { _store: Some(Arc::clone(&store)), ..Self::of(store.snapshot())? })
    }

    pub(crate) fn of(read: Box<dyn Read>) -> Result<BucketReader, SinkError> {
        let checkpoint = meta::read(&*read, meta::CHECKPOINT)?;
        let definitions = Definitions::load(&*read)?;
        Ok(BucketReader { read, _store: None, checkpoint, definitions })
    }

    /// The newest checkpoint; `None` before the first.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Everything that buckets are read by hangs on a checkpoint: without one there is nothing to see.
    fn checkpoint_op(&self) -> Option<u64> {
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.op_id)
    }

    /// All buckets that have ops, by definition and name.
    pub fn buckets(&self, visit: &mut dyn FnMut(BucketSummary) -> ControlFlow<()>) -> Result<(), SinkError> {
        let Some(checkpoint) = self.checkpoint_op() else { return Ok(()) };
        let mut shown: Vec<_> = self.definitions.shown().collect();
        shown.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        for (definition, record) in shown {
            for pair in self.read.scan(Keyspace::Buckets, &key::bucket_names_of(definition), Direction::Forward) {
                let id = BucketId { definition, number: bucket_number(&pair?.1)? };
                let Some(bucket) = self.bucket_record(id)? else { continue };
                let counters = bucket.at(checkpoint);
                if counters.ops == 0 {
                    continue;
                }
                let summary = BucketSummary { name: bucket.name, priority: record.priority, counters };
                if visit(summary).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The rows of a bucket, as clients have them; none if there is no such bucket.
    pub fn live_rows(
        &self,
        bucket: &str,
        visit: &mut dyn FnMut(LiveRow<'_>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        let Some((id, counters, checkpoint)) = self.find(bucket)? else { return Ok(()) };
        let parts = u128::from(counters.ops.div_ceil(OPS_AT_ONCE_MAX).max(1));
        // Where nothing was ever replaced or removed, every op has put a row that is still there.
        if counters.dead() == 0 {
            return self.visit_live(id, checkpoint, &mut |_, _| true, visit).map(drop);
        }
        for part in 0..parts {
            let live = self.live_ops(id, checkpoint, &|object| object % parts == part)?;
            let mut is_live = |op_id: u64, object: &ObjectRef<'_>| live.get(&object_hash(object)) == Some(&op_id);
            if self.visit_live(id, checkpoint, &mut is_live, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// For each object of a part of a bucket that is there at the checkpoint, the op that put it: what a client keeps.
    fn live_ops(
        &self,
        bucket: BucketId,
        checkpoint: u64,
        is_in_part: &dyn Fn(u128) -> bool,
    ) -> Result<HashMap<u128, u64>, SinkError> {
        let mut live = HashMap::new();
        for pair in self.read.scan(Keyspace::Ops, &key::ops(bucket, 0, checkpoint), Direction::Forward) {
            let (op_key, op) = pair?;
            match Op::decode(&op)?.kind {
                OpKind::Put { object, .. } => {
                    let hash = object_hash(&object);
                    if is_in_part(hash) {
                        live.insert(hash, key::op_id(&op_key)?);
                    }
                }
                OpKind::Remove { object } => drop(live.remove(&object_hash(&object))),
                OpKind::Clear { .. } => live.clear(),
                OpKind::Move { .. } => {}
            }
        }
        Ok(live)
    }

    fn visit_live(
        &self,
        bucket: BucketId,
        checkpoint: u64,
        is_live: &mut dyn FnMut(u64, &ObjectRef<'_>) -> bool,
        visit: &mut dyn FnMut(LiveRow<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SinkError> {
        for pair in self.read.scan(Keyspace::Ops, &key::ops(bucket, 0, checkpoint), Direction::Forward) {
            let (op_key, op) = pair?;
            let op_id = key::op_id(&op_key)?;
            let OpKind::Put { object, data } = Op::decode(&op)?.kind else { continue };
            if !is_live(op_id, &object) {
                continue;
            }
            let subkey = object.subkey();
            let ObjectRef { object_type, object_id, .. } = object;
            if visit(LiveRow { op_id, object_type, object_id, subkey: &subkey, data }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The ops of a bucket after an op id, in their order.
    pub fn ops(
        &self,
        bucket: &str,
        after: u64,
        visit: &mut dyn FnMut(BucketOp<'_>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        let Some((id, _, checkpoint)) = self.find(bucket)? else { return Ok(()) };
        let range = key::ops(id, after.saturating_add(1), checkpoint);
        for pair in self.read.scan(Keyspace::Ops, &range, Direction::Forward) {
            let (op_key, op) = pair?;
            let Op { checksum, kind } = Op::decode(&op)?;
            if visit(BucketOp { op_id: key::op_id(&op_key)?, checksum, change: change(&kind) }).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the rows that are filed under a lookup of a definition's parameter query give a request, each once. `query`
    /// counts from 0; both are as [`EvaluatedLookup`](millstream_sync_config::EvaluatedLookup) has them.
    pub fn lookup(&self, definition: &str, query: usize, lookup: &str) -> Result<Vec<String>, SinkError> {
        let Some(checkpoint) = self.checkpoint_op() else { return Ok(Vec::new()) };
        let shown = self.definitions.shown().find(|(_, record)| record.name == definition);
        let (Some((id, _)), Ok(query)) = (shown, u32::try_from(query)) else { return Ok(Vec::new()) };
        let range = crate::store::KeyRange::prefix(&key::lookup(id, query, lookup));
        let mut outputs: Vec<String> = Vec::new();
        let mut newest: Option<(Vec<u8>, Vec<u8>)> = None;
        // The versions of an entry follow each other, so the last one before another entry is the newest.
        for pair in self.read.scan(Keyspace::Lookups, &range, Direction::Forward) {
            let (version, value) = pair?;
            if key::op_id(&version)? > checkpoint {
                continue;
            }
            let entry = version.get(..version.len().saturating_sub(8)).unwrap_or_default().to_vec();
            let done = newest.replace((entry.clone(), value)).filter(|(before, _)| *before != entry);
            outputs.extend(done.and_then(|(_, value)| output(&value)));
        }
        outputs.extend(newest.and_then(|(_, value)| output(&value)));
        outputs.sort_unstable();
        outputs.dedup();
        Ok(outputs)
    }

    /// How far a changed sync config has come.
    pub fn deployment(&self) -> Result<DeploymentProgress, SinkError> {
        let mut progress = DeploymentProgress::default();
        if self.definitions.leaving().next().is_none() && self.definitions.deploying().next().is_none() {
            return Ok(progress);
        }
        let records: HashMap<TableKey, TableRecord> =
            meta::table_facts(&*self.read, TableFact::Record)?.into_iter().collect();
        let sources: HashMap<SourceId, String> =
            meta::sources(&*self.read)?.into_iter().map(|(name, record)| (record.id, name)).collect();
        let step = Step::of(&self.definitions, |table| records.get(&table));
        progress.is_under_way = step.is_under_way();
        progress.waiting.extend(step.waiting().filter_map(|(id, table)| {
            let TableRecord { name, state: TableState::Held { reason, remedy }, .. } = records.get(&table)? else {
                return None;
            };
            Some(WaitingDefinition {
                definition: self.definitions.name(id)?.to_owned(),
                source: sources.get(&table.source)?.clone(),
                table: name.clone(),
                reason: reason.clone(),
                remedy: remedy.clone(),
            })
        }));
        Ok(progress)
    }

    /// The sources that have ever been followed into this store and are still configured.
    pub fn sources(&self) -> Result<Vec<StoredSource>, SinkError> {
        let stored = |(name, record): (String, SourceRecord)| StoredSource {
            name,
            position: record.position,
            committed_at_ms: record.committed_at_ms,
        };
        Ok(meta::sources(&*self.read)?.into_iter().map(stored).collect())
    }

    /// The tables of a source, by number.
    pub fn tables(&self, source: &str) -> Result<Vec<StoredTable>, SinkError> {
        let Some(source) = self.source_id(source)? else { return Ok(Vec::new()) };
        let rows: HashMap<TableKey, u64> = meta::table_facts(&*self.read, TableFact::Rows)?.into_iter().collect();
        let records = meta::table_facts::<TableRecord>(&*self.read, TableFact::Record)?;
        Ok(records
            .into_iter()
            .filter(|(table, _)| table.source == source)
            .map(|(table, record)| StoredTable { record, rows: rows.get(&table).copied().unwrap_or(0) })
            .collect())
    }

    /// The history of a source's schema changes, oldest first.
    pub fn history(
        &self,
        source: &str,
        visit: &mut dyn FnMut(u64, HistoryEntry) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        let Some(source) = self.source_id(source)? else { return Ok(()) };
        for pair in self.read.scan(Keyspace::History, &key::history_of(source), Direction::Forward) {
            let (line_key, line) = pair?;
            if visit(key::history_id(&line_key)?, meta::parse(&line)?).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn source_id(&self, name: &str) -> Result<Option<SourceId>, SinkError> {
        let record: Option<SourceRecord> = meta::read(&*self.read, &meta::source_key(name))?;
        Ok(record.map(|record| record.id))
    }

    /// A bucket by its name, with what the checkpoint shows of it.
    fn find(&self, name: &str) -> Result<Option<(BucketId, Counters, u64)>, SinkError> {
        let Some(checkpoint) = self.checkpoint_op() else { return Ok(None) };
        for (definition, _) in self.definitions.shown() {
            let Some(number) = self.read.get(Keyspace::Buckets, &key::bucket_name(definition, name))? else { continue };
            let id = BucketId { definition, number: bucket_number(&number)? };
            return Ok(self.bucket_record(id)?.map(|record| (id, record.at(checkpoint), checkpoint)));
        }
        Ok(None)
    }

    fn bucket_record(&self, id: BucketId) -> Result<Option<BucketRecord>, SinkError> {
        let record = self.read.get(Keyspace::Buckets, &key::bucket(id))?;
        Ok(record.map(|record| BucketRecord::decode(&record)).transpose()?)
    }
}

fn bucket_number(bytes: &[u8]) -> Result<u32, Malformed> {
    bytes.try_into().map(u32::from_be_bytes).map_err(|_| Malformed("a bucket's number"))
}

/// The output of a version of a lookup's entry, unless it says that the entry is gone.
fn output(value: &[u8]) -> Option<String> {
    match value.split_first() {
        Some((&LOOKUP_PRESENT, output)) => Some(String::from_utf8_lossy(output).into_owned()),
        _ => None,
    }
}

/// Stands for an object; with 128 bits no two objects of a bucket share one.
fn object_hash(object: &ObjectRef<'_>) -> u128 {
    let mut content = Vec::with_capacity(64);
    object.encode_into(&mut content);
    xxh3_128(&content)
}

fn change<'a>(kind: &OpKind<'a>) -> BucketChange<'a> {
    match *kind {
        OpKind::Put { object, data } => BucketChange::Put {
            object_type: object.object_type,
            object_id: object.object_id,
            subkey: object.subkey(),
            data,
        },
        OpKind::Remove { object } => BucketChange::Remove {
            object_type: object.object_type,
            object_id: object.object_id,
            subkey: object.subkey(),
        },
        OpKind::Move { target } => BucketChange::Move { target_op_id: target },
        OpKind::Clear { target } => BucketChange::Clear { target_op_id: target },
    }
}
