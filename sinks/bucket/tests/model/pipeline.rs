//! A pipeline in small: it keeps the sink's contract and takes every liberty that the contract leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_bucket::store::{Direction, KeyRange, Keyspace, MemoryStore, Read, Store};
use millstream_bucket::{BucketReader, BucketSink, Tuning};
use millstream_core::change::{RowChange, RowChanges};
use millstream_core::row::RowBatch;
use millstream_core::sink::{PassMode, PassReport, Restored, Sink, Write, WriteItem};
use millstream_core::source::{Cursor, KeyRange as ReadRange};
use millstream_core::table::{PassRecord, RangeProgress, TableId, TableRecord, TableState};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use super::source::{
    CONFIGS, Event, IDENTITIES, Identities, Source, TABLES, Values, config, expected, expected_lookup, row_batch,
};
use crate::client::Client;
use crate::world::{Rows, batch, buckets, commit, options, position, schema, schema_by, summaries};

/// A table as the pipeline tracks it.
struct Table {
    record: TableRecord,
    /// The pass on its way, of whichever mode.
    pass: Option<Pass>,
}

struct Pass {
    mode: PassMode,
    generation: u64,
    /// The next id to read; `None` when all are.
    next: Option<i64>,
    /// Read, and waiting for the stream to reach the head of then: rows, head, where reading goes on.
    waiting: Vec<(RowBatch, usize, Option<i64>)>,
    /// The sweep's answer is waited for.
    report: Option<oneshot::Receiver<PassReport>>,
}

pub struct Pipeline {
    seed: u64,
    random: StdRng,
    source: Source,
    store: Arc<MemoryStore>,
    sink: Arc<BucketSink>,
    config: usize,
    tables: BTreeMap<&'static str, Table>,
    generation_floor: u64,
    /// The last transaction handed over, and the last one with its commit.
    reached: usize,
    accepted: usize,
    /// Whether parts of a transaction are handed over; its commit waits at least for this position.
    open_until: Option<usize>,
    clients: Vec<Downloads>,
    /// What repairing passes have reported since the last look.
    ops_of_passes: u64,
}

/// What a client has downloaded.
#[derive(Clone, Default)]
struct Downloads {
    /// The definitions that were shown then.
    serving: BTreeSet<Vec<u8>>,
    buckets: BTreeMap<String, Client>,
}

/// The cause of a pass for a changed sync config over a table that was right before.
const STALE: &str = "stale";

/// In every second run a row is more than a batch by itself.
fn tuning(seed: u64) -> Tuning {
    Tuning {
        compact_dead_ops_min: 3,
        slice_rows_max: 4,
        slice_bytes_max: 600,
        sweep_collected_bytes_max: 300,
        batch_bytes_max: if seed.is_multiple_of(2) { 2_000 } else { 40 },
        load_bytes_max: 2_000,
        load_bytes_min: 1,
    }
}

impl Pipeline {
    pub async fn new(seed: u64) -> Pipeline {
        let mut random = StdRng::seed_from_u64(seed);
        let source = Source::new(&mut random);
        let store = Arc::new(MemoryStore::new());
        let sink = BucketSink::with_tuning(Arc::clone(&store) as Arc<dyn Store>, options(CONFIGS[0]), &tuning(seed));
        let mut pipeline = Pipeline {
            seed,
            random,
            source,
            store,
            sink: sink.unwrap(),
            config: 0,
            tables: BTreeMap::new(),
            generation_floor: 0,
            reached: 0,
            accepted: 0,
            open_until: None,
            clients: vec![Downloads::default(); 3],
            ops_of_passes: 0,
        };
        pipeline.begin().await;
        pipeline
    }

    pub async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..25 => self.source.change_rows(&mut self.random),
            25..31 => self.source.change_table(&mut self.random),
            31..55 => self.deliver().await,
            55..68 => self.read_chunk(),
            68..85 => self.go_on_with_passes().await,
            85..87 => self.begin_verification().await,
            87..91 => self.check(),
            91..95 => self.sync_client(),
            95 => self.restart(true).await,
            96..98 => self.restart(false).await,
            98 => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
            _ => {
                self.config = self.random.random_range(0..CONFIGS.len());
                let graceful = self.random.random_bool(0.5);
                self.restart(graceful).await;
            }
        }
    }

    async fn accept(&self, items: Vec<WriteItem>, at: Option<usize>) {
        let commit = at.and_then(|at| commit(at as u128));
        if let Err(error) = self.sink.accept("db", Write { items, commit }).await {
            panic!("the sink failed: {error}");
        }
    }

    /// Items that belong to no transaction: with the last commit, unless one is open.
    async fn accept_between(&self, items: Vec<WriteItem>) {
        let at = if self.open_until.is_some() { None } else { Some(self.accepted) };
        self.accept(items, at).await;
    }

    /// What the real pipeline does at a session's start.
    async fn begin(&mut self) {
        let Restored { position, tables, stale, unfinished, incarnation, .. } = self.sink.restore("db").await.unwrap();
        self.generation_floor = u64::from(incarnation) << 32;
        self.tables.clear();
        let head = self.source.head();
        let Some(at) = position.map(|position| position.order() as usize) else {
            self.reached = head;
            self.accepted = head;
            let names: Vec<_> = self.source.tables.keys().copied().filter(|name| self.is_selected(name)).collect();
            let items = names
                .into_iter()
                .map(|name| self.track(name, self.source.identities[name], TableState::Loading))
                .collect();
            self.accept(items, Some(head)).await;
            return;
        };
        self.reached = at;
        self.accepted = at;
        self.open_until = unfinished.then_some(head);
        let mut items = Vec::new();
        for record in tables {
            let name = TABLES.into_iter().find(|name| *name == record.name.name).unwrap();
            let is_stale = stale.contains(&record.name);
            let mut table = Table { record, pass: None };
            if is_stale {
                // What is shown of a table that was right before stays right while it is read for a new config.
                let cause = if table.is_right() { STALE } else { "stale, and not right before" };
                table.begin_pass(self.generation_floor, cause);
            } else {
                table.resume_pass();
            }
            items.push(WriteItem::Table(Box::new(table.record.clone())));
            self.tables.insert(name, table);
        }
        let deselected: Vec<_> = self.tables.keys().copied().filter(|name| !self.is_selected(name)).collect();
        for name in deselected {
            items.extend(self.remove(name));
        }
        // Tables that exist here but that only this config selects.
        let known = &self.source.log[at];
        let grown: Vec<_> = known
            .after
            .keys()
            .filter(|name| self.is_selected(name) && !self.tables.contains_key(*name))
            .map(|name| (*name, known.identities[name]))
            .collect();
        for (name, identity) in grown {
            items.push(self.track(name, identity, TableState::Loading));
        }
        self.accept_between(items).await;
    }

    fn is_selected(&self, name: &str) -> bool {
        self.sink.selection("db").matches(&schema(name).table)
    }

    fn track(&mut self, name: &'static str, identity: usize, state: TableState) -> WriteItem {
        let id = TableId(self.tables.values().map(|table| table.record.id.0).max().unwrap_or(0) + 1);
        let record = TableRecord {
            id,
            name: schema(name).table.clone(),
            schema: Some(schema_by(name, IDENTITIES[identity])),
            visible: state == TableState::Live,
            state: state.clone(),
            generation: 0,
            pass: None,
        };
        let mut table = Table { record, pass: None };
        table.record.generation = self.generation_floor;
        if state == TableState::Loading {
            table.begin_pass(self.generation_floor, "first read");
        }
        let item = WriteItem::Table(Box::new(table.record.clone()));
        self.tables.insert(name, table);
        item
    }

    fn remove(&mut self, name: &'static str) -> Vec<WriteItem> {
        let Some(table) = self.tables.remove(name) else { return Vec::new() };
        let id = table.record.id;
        vec![WriteItem::Clear { table: id, reply: oneshot::channel().0 }, WriteItem::Forget { table: id }]
    }

    /// Hands the next transactions over, whole or in parts.
    async fn deliver(&mut self) {
        if self.reached == self.source.head() {
            return;
        }
        let last = (self.reached + self.random.random_range(1..4)).min(self.source.head());
        let events: Vec<(Event, Identities)> = self.source.log[self.reached + 1..=last]
            .iter()
            .flat_map(|transaction| {
                transaction.events.iter().map(|event| (event.clone(), transaction.identities.clone()))
            })
            .collect();
        let split_at = if self.random.random_bool(0.3) { self.random.random_range(0..=events.len()) } else { 0 };
        let (first, second) = events.split_at(split_at);
        let mut items = self.items(first);
        if !items.is_empty() {
            self.open_until = self.open_until.max(Some(last));
            self.accept(std::mem::take(&mut items), None).await;
            if self.random.random_bool(0.3) {
                self.go_on_with_passes().await;
            }
            if self.random.random_bool(0.05) {
                return self.restart(false).await;
            }
        }
        let items = self.items(second);
        self.reached = last;
        // Now and then a commit waits for the next one.
        let waits = self.random.random_bool(0.1) && last < self.source.head();
        if waits || self.open_until.is_some_and(|until| until > last) {
            self.open_until = self.open_until.max(Some(last));
            self.accept(items, None).await;
        } else {
            self.open_until = None;
            self.accepted = last;
            self.accept(items, Some(last)).await;
        }
    }

    fn items(&mut self, events: &[(Event, Identities)]) -> Vec<WriteItem> {
        let mut items = Vec::new();
        for (event, identities) in events {
            match event {
                Event::Upsert { table, id, values, before } => {
                    items.extend(self.row(table, *id, before.as_ref(), Some(values)));
                }
                Event::Delete { table, id, before } => items.extend(self.row(table, *id, Some(before), None)),
                Event::Rekeyed { table, identity } => {
                    if let Some(known) = self.tables.get_mut(table) {
                        known.record.schema = Some(schema_by(table, IDENTITIES[*identity]));
                        known.begin_pass(self.generation_floor, "another identity");
                        items.push(WriteItem::Table(Box::new(known.record.clone())));
                    }
                }
                Event::Truncated { table } => {
                    if let Some(table) = self.tables.get_mut(table) {
                        items.push(WriteItem::Clear { table: table.record.id, reply: oneshot::channel().0 });
                        match table.pass.take().map(|pass| pass.mode) {
                            Some(PassMode::Repair) => {
                                table.begin_pass(self.generation_floor, "truncated");
                                items.push(WriteItem::Table(Box::new(table.record.clone())));
                            }
                            Some(PassMode::Verify) | None => {}
                        }
                    }
                }
                Event::Dropped { table } => items.extend(self.remove(table)),
                Event::Created { table, is_empty } => {
                    if self.is_selected(table) && !self.tables.contains_key(table) {
                        let state = if *is_empty { TableState::Live } else { TableState::Loading };
                        items.push(self.track(table, identities[table], state));
                    }
                }
                Event::Replaced { table } => {
                    if let Some(table) = self.tables.get_mut(table) {
                        table.begin_pass(self.generation_floor, "replaced");
                        items.push(WriteItem::Table(Box::new(table.record.clone())));
                    }
                }
            }
        }
        items
    }

    /// A change of a row: a delete of its identity before, if that is another, and then what it is now.
    fn row(&self, name: &str, id: i64, before: Option<&Values>, after: Option<&Values>) -> Option<WriteItem> {
        let table = self.tables.get(name)?;
        let mut changes = RowChanges::new(table.record.schema.clone().unwrap());
        let key = |(owner, note): &Values| {
            let mut key = Vec::new();
            changes.schema.row_key(batch([(id, owner, note)]).row(0).unwrap(), &mut key);
            key
        };
        let is_gone = before.map(key) != after.map(key);
        let gone = before.filter(|_| is_gone).map(|row| (row, RowChange::Delete));
        for ((owner, note), change) in gone.into_iter().chain(after.map(|row| (row, RowChange::Upsert))) {
            changes.rows.push_row(batch([(id, owner, note)]).row(0).unwrap()).unwrap();
            changes.changes.push(change);
        }
        Some(WriteItem::Stream {
            table: table.record.id,
            generation: table.record.generation,
            pass_active: table.pass.is_some() || table.record.pass.is_some(),
            changes,
        })
    }

    /// Reads the next chunk of some pass, as the source is now.
    fn read_chunk(&mut self) {
        let reading: Vec<_> =
            self.tables.iter().filter(|(_, table)| table.pass.as_ref().is_some_and(Pass::is_reading)).collect();
        let Some(name) = reading.choose(&mut self.random).map(|(name, _)| **name) else { return };
        let head = self.source.head();
        let empty = BTreeMap::new();
        let rows = self.source.tables.get(name).unwrap_or(&empty);
        let pass = self.tables.get_mut(name).and_then(|table| table.pass.as_mut()).unwrap();
        let from = pass.next.unwrap();
        let upto = from + self.random.random_range(3..12);
        let chunk = rows.range(from..upto).map(|(id, row)| (*id, row.clone())).collect();
        pass.next = (upto < 25).then_some(upto);
        pass.waiting.push((row_batch(&chunk), head, pass.next));
    }

    /// Hands over the chunks that the stream has caught up with, and ends the passes that are read.
    async fn go_on_with_passes(&mut self) {
        for name in self.tables.keys().copied().collect::<Vec<_>>() {
            let Some(table) = self.tables.get_mut(name) else { continue };
            let Some(pass) = &mut table.pass else { continue };
            let mut items = Vec::new();
            let is_reached = |(_, high, _): &(RowBatch, usize, Option<i64>)| *high <= self.reached;
            if pass.waiting.first().is_some_and(is_reached) {
                let (rows, _, next) = pass.waiting.remove(0);
                let (generation, mode) = (pass.generation, pass.mode);
                let schema = table.record.schema.clone().unwrap();
                items.push(WriteItem::Chunk { table: table.record.id, generation, mode, schema, rows });
                if mode == PassMode::Repair {
                    let record = table.record.pass.as_mut().unwrap();
                    let after = next.map(|next| Cursor(next.to_string()));
                    record.ranges = vec![RangeProgress { done: next.is_none(), left: ReadRange { after, upto: None } }];
                    items.push(WriteItem::Table(Box::new(table.record.clone())));
                }
            } else if pass.next.is_none() && pass.waiting.is_empty() && pass.report.is_none() {
                let (reply, report) = oneshot::channel();
                pass.report = Some(report);
                let (generation, mode) = (pass.generation, pass.mode);
                items.push(WriteItem::Sweep { table: table.record.id, generation, mode, reply });
            } else if let Some(report) = &mut pass.report
                && let Ok(report) = report.try_recv()
            {
                if pass.mode == PassMode::Verify {
                    assert_eq!(report.differences, [], "verifying {name}");
                } else {
                    self.ops_of_passes += report.ops_written;
                    table.record.pass = None;
                    table.record.state = TableState::Live;
                    table.record.visible = true;
                    items.push(WriteItem::Table(Box::new(table.record.clone())));
                }
                table.pass = None;
            }
            if !items.is_empty() {
                self.accept_between(items).await;
            }
        }
    }

    async fn begin_verification(&mut self) {
        // What lies between the last change of a row that the log doesn't show and its event would be found, rightly.
        if self.reached != self.source.head() {
            return;
        }
        let live: Vec<_> = self
            .tables
            .iter()
            .filter(|(_, table)| table.record.state == TableState::Live && table.pass.is_none())
            .map(|(name, _)| *name)
            .collect();
        let Some(name) = live.choose(&mut self.random) else { return };
        let table = self.tables.get_mut(name).unwrap();
        table.record.generation = (table.record.generation + 1).max(self.generation_floor + 1);
        table.pass = Some(Pass::new(PassMode::Verify, table.record.generation));
        let rows = self.source.tables.get(name).cloned().unwrap_or_default();
        let pass = table.pass.as_mut().unwrap();
        pass.next = None;
        pass.waiting.push((row_batch(&rows), self.source.head(), None));
        let item = WriteItem::Table(Box::new(table.record.clone()));
        self.accept_between(vec![item]).await;
    }

    /// Ends the process, in order or not, and begins another.
    async fn restart(&mut self, in_order: bool) {
        if in_order {
            self.sink.close().await.unwrap();
            self.check();
        }
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let options = options(CONFIGS[self.config]);
        // The old one is gone before the new one begins.
        let empty = BucketSink::with_store(Arc::new(MemoryStore::new()), options.clone()).unwrap();
        drop(std::mem::replace(&mut self.sink, empty));
        self.sink = BucketSink::with_tuning(store, options, &tuning(self.seed)).unwrap();
        self.check();
        self.begin().await;
    }

    /// Whether readers see what the source had at the checkpoint's position, as far as tables are live there.
    fn check(&self) {
        let reader = self.sink.reader().unwrap();
        let Some(checkpoint) = reader.checkpoint() else {
            assert!(summaries(&reader).is_empty());
            return;
        };
        let at = checkpoint.positions["db"].order() as usize;
        let seen = buckets(&reader);
        let is_whole = self.is_whole(&reader, at);
        let live: BTreeSet<String> = reader
            .tables("db")
            .unwrap()
            .into_iter()
            .filter(|table| is_right(&table.record))
            .map(|table| table.record.name.name)
            .collect();
        if !is_whole {
            return;
        }
        for table in reader.tables("db").unwrap().iter().filter(|table| !table.record.visible) {
            let name = &table.record.name.name;
            assert!(of_table(&seen, name).is_empty(), "{name} shows before it is loaded");
        }
        let tables = &self.source.log[at].after;
        let fits = |config: &usize| {
            let config = super::source::config(*config);
            TABLES.into_iter().all(|table| {
                let rows = tables.get(table).cloned().unwrap_or_default();
                !live.contains(table) || of_table(&seen, table) == expected(&config, table, &rows)
            })
        };
        if !(0..CONFIGS.len()).any(|config| fits(&config)) {
            let config = config(self.config);
            let all: Vec<_> = TABLES
                .into_iter()
                .filter(|table| live.contains(*table))
                .map(|table| {
                    let rows = tables.get(table).cloned().unwrap_or_default();
                    (table, of_table(&seen, table), expected(&config, table, &rows))
                })
                .collect();
            panic!("at {at}, with config {}: seen and expected {all:#?}", self.config);
        }
    }

    /// Whether what is stored about tables is what the checkpoint shows: nothing newer waits for its checkpoint.
    fn is_whole(&self, reader: &BucketReader, at: usize) -> bool {
        let stored = reader.sources().unwrap().remove(0);
        let holding = [&b"publishing/"[..], b"sweeping/"];
        let is_held = holding.into_iter().any(|prefix| {
            self.store.scan(Keyspace::Meta, &KeyRange::prefix(prefix), Direction::Forward).next().is_some()
        });
        // The store may have moved on since the reader's moment; then the next look will do.
        let newest = BucketReader::of_store(Arc::clone(&self.store) as Arc<dyn Store>).unwrap();
        let is_newest = newest.checkpoint() == reader.checkpoint();
        !is_held && is_newest && stored.position == Some(position(at as u128)) && self.open_until.is_none()
    }

    /// Lets a client download what is new, and looks whether it has what it should.
    fn sync_client(&mut self) {
        let index = self.random.random_range(0..self.clients.len());
        let before = serving(&self.store);
        let reader = self.sink.reader().unwrap();
        let serving = serving(&self.store);
        if before != serving {
            return; // A deployment ended just now, on which side of the reader's moment isn't known.
        }
        let client = &mut self.clients[index];
        if client.serving != serving {
            // A bucket of the same name may be another definition's: the checksum tells a client to start over.
            *client = Downloads { serving, buckets: BTreeMap::new() };
        }
        let all = summaries(&reader);
        for (name, summary) in &all {
            let bucket = client.buckets.entry(name.clone()).or_default();
            bucket.sync(&reader, name);
            let mut fresh = Client::default();
            fresh.sync(&reader, name);
            assert_eq!(bucket.rows(), fresh.rows(), "a client's rows of {name}");
            assert_eq!(bucket.checksum(), summary.counters.checksum, "a client's checksum of {name}");
        }
        client.buckets.retain(|name, _| all.contains_key(name));
    }

    /// Lets everything come to its end, and looks closely.
    pub async fn settle(&mut self) {
        for _ in 0..10_000 {
            self.deliver().await;
            self.read_chunk();
            self.go_on_with_passes().await;
            let is_done = |table: &Table| table.pass.is_none() && table.record.state == TableState::Live;
            if self.reached == self.source.head() && self.open_until.is_none() && self.tables.values().all(is_done) {
                break;
            }
            tokio::task::yield_now().await;
        }
        // Once more over everything, so that nothing is left of passes that were given up.
        let names: Vec<_> = self.tables.keys().copied().collect();
        for name in &names {
            let table = self.tables.get_mut(name).unwrap();
            table.begin_pass(self.generation_floor, "last");
            let item = WriteItem::Table(Box::new(table.record.clone()));
            self.accept_between(vec![item]).await;
        }
        self.end_passes().await;
        self.change_identities().await;
        self.restart(true).await;
        self.sink.close().await.unwrap();
        let reader = self.sink.reader().unwrap();
        let config = config(self.config);
        let mut all: BTreeMap<String, Rows> = BTreeMap::new();
        for (table, rows) in &self.source.tables {
            for (bucket, rows) in expected(&config, table, rows) {
                all.entry(bucket).or_default().extend(rows);
            }
        }
        assert_eq!(buckets(&reader), all);
        for lookup in ["[\"u1\"]", "[\"1\"]"] {
            let found = reader.lookup("mine", 0, lookup).unwrap();
            assert_eq!(found, expected_lookup(&config, &self.source.tables, lookup));
        }
        let states = self.store.scan(Keyspace::Rows, &KeyRange::all(), Direction::Forward).count();
        let counted: u64 = reader.tables("db").unwrap().iter().map(|table| table.rows).sum();
        assert_eq!(states as u64, counted, "rows are counted, and no tombstone is left");
    }
}

impl Pipeline {
    async fn end_passes(&mut self) {
        while self.tables.values().any(|table| table.pass.is_some()) {
            self.read_chunk();
            self.go_on_with_passes().await;
            tokio::task::yield_now().await;
        }
    }

    /// Gives all tables other identities, dying half way now and then: clients get nothing for it.
    async fn change_identities(&mut self) {
        self.restart(true).await;
        self.end_passes().await;
        self.ops_of_passes = 0;
        let noticed = |sink: &BucketSink| -> Vec<_> {
            let all = summaries(&sink.reader().unwrap()).into_values();
            all.map(|summary| (summary.name, summary.counters.rows, summary.counters.checksum)).collect()
        };
        let before = noticed(&self.sink);
        for name in self.tables.keys().copied().collect::<Vec<_>>() {
            let identity = self.random.random_range(0..IDENTITIES.len());
            let table = self.tables.get_mut(name).unwrap();
            table.record.schema = Some(schema_by(name, IDENTITIES[identity]));
            table.begin_pass(self.generation_floor, "another identity");
            let item = WriteItem::Table(Box::new(table.record.clone()));
            self.accept_between(vec![item]).await;
        }
        for _ in 0..self.random.random_range(0..3) {
            for _ in 0..self.random.random_range(0..12) {
                self.read_chunk();
                self.go_on_with_passes().await;
            }
            self.restart(false).await;
        }
        self.end_passes().await;
        assert_eq!(self.ops_of_passes, 0, "another identity takes no op");
        self.restart(true).await;
        assert_eq!(noticed(&self.sink), before);
    }
}

/// The definitions that readers see: a bucket of the same name is another one when its definition is.
fn serving(store: &MemoryStore) -> BTreeSet<Vec<u8>> {
    let definitions =
        store.scan(Keyspace::Meta, &KeyRange::prefix(b"definition/"), Direction::Forward).map(Result::unwrap);
    let is_serving = |record: &[u8]| String::from_utf8_lossy(record).contains("serving");
    definitions.filter(|(_, record)| is_serving(record)).map(|(id, _)| id).collect()
}

/// What buckets hold of one table.
fn of_table(buckets: &BTreeMap<String, Rows>, table: &str) -> BTreeMap<String, Rows> {
    let mut all = BTreeMap::new();
    for (bucket, rows) in buckets {
        let of_table: Rows = rows
            .iter()
            .filter(|((object_type, _), _)| object_type == table)
            .map(|(object, data)| (object.clone(), data.clone()))
            .collect();
        if !of_table.is_empty() {
            all.insert(bucket.clone(), of_table);
        }
    }
    all
}

/// Whether what readers see of a table is what the source had.
fn is_right(record: &TableRecord) -> bool {
    let is_stale = record.visible && record.pass.as_ref().is_some_and(|pass| pass.cause == STALE);
    record.state == TableState::Live || is_stale
}

impl Table {
    fn is_right(&self) -> bool {
        is_right(&self.record)
    }

    fn begin_pass(&mut self, generation_floor: u64, cause: &str) {
        self.record.generation = (self.record.generation + 1).max(generation_floor + 1);
        self.record.state = if self.record.visible { TableState::Reconciling } else { TableState::Loading };
        self.record.pass = Some(PassRecord::new(cause, None));
        self.pass = Some(Pass::new(PassMode::Repair, self.record.generation));
    }

    fn resume_pass(&mut self) {
        let Some(record) = &self.record.pass else { return };
        let mut pass = Pass::new(PassMode::Repair, self.record.generation);
        if let Some(range) = record.ranges.first() {
            pass.next = range.left.after.as_ref().map(|after| after.0.parse().unwrap());
        }
        self.pass = Some(pass);
    }
}

impl Pass {
    fn new(mode: PassMode, generation: u64) -> Pass {
        Pass { mode, generation, next: Some(0), waiting: Vec::new(), report: None }
    }

    fn is_reading(&self) -> bool {
        self.next.is_some()
    }
}
