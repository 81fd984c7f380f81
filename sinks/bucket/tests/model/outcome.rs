//! What must be so, whatever the pipeline has done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_bucket::store::{Direction, KeyRange, Keyspace, MemoryStore, Read, Store};
use millstream_bucket::{BucketReader, BucketSink};
use millstream_core::sink::{Sink, WriteItem};
use millstream_core::table::TableState;
use rand::Rng;

use super::passes::{Table, is_right};
use super::pipeline::{Downloads, Pipeline};
use super::source::{CONFIGS, IDENTITIES_MAX, TABLES, config, expected, expected_lookup, shape};
use crate::client::Client;
use crate::world::{Objects, objects, position, summaries};

impl Pipeline {
    /// Whether readers see what the source had at the checkpoint's position, as far as tables are live there.
    pub(super) fn check(&self) {
        let reader = self.sink.reader().unwrap();
        let Some(checkpoint) = reader.checkpoint() else {
            assert!(summaries(&reader).is_empty());
            return;
        };
        let at = checkpoint.positions["db"].order() as usize;
        let seen = objects(&reader);
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
    pub(super) fn sync_client(&mut self) {
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
        let mut all: BTreeMap<String, Objects> = BTreeMap::new();
        for (table, rows) in &self.source.tables {
            for (bucket, objects) in expected(&config, table, rows) {
                all.entry(bucket).or_default().extend(objects);
            }
        }
        all.values_mut().for_each(|objects| objects.sort_unstable());
        assert_eq!(objects(&reader), all);
        for lookup in ["[\"u1\"]", "[\"1\"]"] {
            let found = reader.lookup("mine", 0, lookup).unwrap();
            assert_eq!(found, expected_lookup(&config, &self.source.tables, lookup));
        }
        let states = self.store.scan(Keyspace::Rows, &KeyRange::all(), Direction::Forward).count();
        let counted: u64 = reader.tables("db").unwrap().iter().map(|table| table.rows).sum();
        assert_eq!(states as u64, counted, "rows are counted, and no tombstone is left");
    }

    async fn end_passes(&mut self) {
        while self.tables.values().any(|table| table.pass.is_some()) {
            self.read_chunk();
            self.go_on_with_passes().await;
            tokio::task::yield_now().await;
        }
    }

    /// Gives all tables other identities, dying or changing them again half way now and then: clients get nothing for it.
    async fn change_identities(&mut self) {
        self.restart(true).await;
        self.end_passes().await;
        self.ops_of_passes = 0;
        let noticed = |sink: &BucketSink| -> Vec<_> {
            let all = summaries(&sink.reader().unwrap()).into_values();
            all.map(|summary| (summary.name, summary.counters.rows, summary.counters.checksum)).collect()
        };
        let before = noticed(&self.sink);
        self.begin_identities().await;
        for _ in 0..self.random.random_range(0..3) {
            for _ in 0..self.random.random_range(0..12) {
                self.read_chunk();
                self.go_on_with_passes().await;
            }
            if self.random.random_bool(0.5) {
                self.restart(false).await;
            } else {
                // Before the rows of the one before have all come over.
                self.begin_identities().await;
            }
        }
        self.end_passes().await;
        assert_eq!(self.ops_of_passes, 0, "another identity takes no op");
        self.restart(true).await;
        assert_eq!(noticed(&self.sink), before);
    }

    async fn begin_identities(&mut self) {
        for name in self.tables.keys().copied().collect::<Vec<_>>() {
            let identity = self.random.random_range(0..IDENTITIES_MAX);
            let table = self.tables.get_mut(name).unwrap();
            table.record.schema = Some(shape(name, identity));
            table.begin_pass(self.generation_floor, "another identity");
            let item = WriteItem::Table(Box::new(table.record.clone()));
            self.accept_between(vec![item]).await;
        }
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
fn of_table(buckets: &BTreeMap<String, Objects>, table: &str) -> BTreeMap<String, Objects> {
    let of_table = |objects: &Objects| -> Objects {
        objects.iter().filter(|(object_type, ..)| object_type == table).cloned().collect()
    };
    let all = buckets.iter().map(|(bucket, objects)| (bucket.clone(), of_table(objects)));
    all.filter(|(_, objects)| !objects.is_empty()).collect()
}
