//! A pipeline in small: it keeps the sink's contract and takes every liberty that the contract leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_bucket::store::{MemoryStore, Store};
use millstream_bucket::{BucketSink, Tuning};
use millstream_core::change::{RowChange, RowChanges};
use millstream_core::sink::{PassMode, Restored, Sink, Write, WriteItem};
use millstream_core::table::{TableId, TableRecord, TableState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use super::holds::{Definitions, Hold};
use super::passes::Table;
use super::source::{CONFIGS, Event, Identities, Source, TABLES, Values, shape};
use crate::client::Client;
use crate::world::{batch, commit, options, schema};

pub struct Pipeline {
    seed: u64,
    pub(super) random: StdRng,
    pub(super) source: Source,
    pub(super) store: Arc<MemoryStore>,
    pub(super) sink: Arc<BucketSink>,
    pub(super) config: usize,
    pub(super) tables: BTreeMap<&'static str, Table>,
    pub(super) generation_floor: u64,
    /// The last transaction handed over, and the last one with its commit.
    pub(super) reached: usize,
    accepted: usize,
    /// Whether parts of a transaction are handed over; its commit waits at least for this position.
    pub(super) open_until: Option<usize>,
    pub(super) clients: Vec<Downloads>,
    /// What repairing passes have reported since the last look.
    pub(super) ops_of_passes: u64,
    /// Of every table that was held, what readers must go on to see of it; a record tells its index.
    pub(super) holds: Vec<Hold>,
}

/// What a client has downloaded.
#[derive(Clone, Default)]
pub struct Downloads {
    /// The definitions that were shown then.
    pub(super) shown: Definitions,
    pub(super) buckets: BTreeMap<String, Client>,
}

/// The cause of a pass for a changed sync config over a table that was right before.
pub(super) const STALE: &str = "stale";

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
            holds: Vec::new(),
        };
        pipeline.begin().await;
        pipeline
    }

    pub async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..25 => self.source.change_rows(&mut self.random),
            25..30 => self.source.change_table(&mut self.random),
            30 => self.hold().await,
            31 => self.release().await,
            32..55 => self.deliver().await,
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
    pub(super) async fn accept_between(&self, items: Vec<WriteItem>) {
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
            if table.is_held() && self.random.random_bool(0.7) {
                // It can't be read now either.
            } else if is_stale {
                self.holds.iter_mut().filter(|hold| hold.table == name).for_each(|hold| hold.by.clear());
                table.record.schema = Some(shape(name, self.source.log[at].identities[name]));
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
            schema: Some(shape(name, identity)),
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
    pub(super) async fn deliver(&mut self) {
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
            if event.skippable().is_some_and(|name| self.tables.get(name).is_some_and(Table::is_held)) {
                continue;
            }
            match event {
                Event::Upsert { table, id, values, before } => {
                    items.extend(self.row(table, *id, before.as_ref(), Some(values)));
                }
                Event::Delete { table, id, before } => items.extend(self.row(table, *id, Some(before), None)),
                Event::Rekeyed { table, identity } => {
                    if let Some(known) = self.tables.get_mut(table) {
                        known.record.schema = Some(shape(table, *identity));
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

    /// Ends the process, in order or not, and begins another.
    pub(super) async fn restart(&mut self, in_order: bool) {
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
}
