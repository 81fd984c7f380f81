//! What must be so, whatever the pipeline has done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_bucket::store::{Direction, KeyRange, Keyspace, Read, Store};
use millstream_bucket::{BucketReader, BucketSink};
use millstream_core::sink::{Sink, WriteItem};
use millstream_core::table::TableState;
use millstream_sync_config::BucketDefinition;
use rand::Rng;

use super::holds::shown;
use super::passes::{Table, is_right};
use super::pipeline::{Downloads, Pipeline};
use super::source::{CONFIGS, IDENTITIES_MAX, TABLES, config, expected, expected_lookup, shape};
use crate::client::Client;
use crate::world::{Objects, objects, position, summaries};

impl Pipeline {
    /// Whether readers see what the source had at the checkpoint's position, as far as tables are live there, and of
    /// tables that are held what they had.
    pub(super) fn check(&mut self) {
        let before = shown(&self.store);
        let reader = self.sink.reader().unwrap();
        let shown = shown(&self.store);
        if before != shown {
            return; // A step of a deployment was taken just now, on which side of the reader's moment isn't known.
        }
        self.forget_former(&shown);
        let Some(checkpoint) = reader.checkpoint() else {
            assert!(summaries(&reader).is_empty());
            return;
        };
        let at = checkpoint.positions["db"].order() as usize;
        let seen = objects(&reader);
        if !self.is_whole(&reader, at) {
            return;
        }
        for table in reader.tables("db").unwrap() {
            let name = TABLES.into_iter().find(|name| *name == table.record.name.name).unwrap();
            let seen = of_table(&seen, name);
            if !table.record.visible {
                assert!(seen.is_empty(), "{name} shows before it is loaded");
            }
            if is_right(&table.record) {
                let rows = self.source.log[at].after.get(name).cloned().unwrap_or_default();
                let expected: BTreeMap<_, _> =
                    shown.values().flat_map(|definition| definition.makes_of(name, &rows)).collect();
                assert_eq!(seen, expected, "{name} at {at}, config {} being deployed", self.config);
            }
            if let TableState::Held { reason, .. } = &table.record.state {
                let hold = &self.holds[reason.parse::<usize>().unwrap()];
                for definition in shown.values().filter(|definition| hold.by.contains(&definition.name)) {
                    let seen = of_definition(&seen, &definition.name);
                    assert_eq!(seen, definition.makes_of(name, &hold.rows), "{name}, which is held, at {at}");
                }
            }
        }
        // Without tables that are held a deployment is one step.
        let wordings: BTreeSet<u64> = shown.values().map(|definition| definition.fingerprint).collect();
        let is_one = |index| {
            let config = config(index);
            config.definitions().iter().map(BucketDefinition::fingerprint).collect::<BTreeSet<_>>() == wordings
        };
        assert!(!self.holds.is_empty() || (0..CONFIGS.len()).any(is_one));
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
        let before = shown(&self.store);
        let reader = self.sink.reader().unwrap();
        let shown = shown(&self.store);
        if before != shown {
            return; // As in `check`.
        }
        let client = &mut self.clients[index];
        if client.shown != shown {
            // A bucket of the same name may be another definition's: the checksum tells a client to start over.
            *client = Downloads { shown, buckets: BTreeMap::new() };
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
        self.end_deployment().await;
        for _ in 0..10_000 {
            self.release().await;
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

    /// Lets the deployment come as far as it comes without the tables that are held.
    async fn end_deployment(&mut self) {
        for _ in 0..10_000 {
            self.deliver().await;
            self.read_chunk();
            self.go_on_with_passes().await;
            let progress = self.sink.reader().unwrap().deployment().unwrap();
            let is_done = |table: &Table| table.is_held() || table.record.state == TableState::Live;
            let is_reached = self.reached == self.source.head() && self.open_until.is_none();
            if is_reached && self.tables.values().all(is_done) && !progress.is_under_way {
                break;
            }
            tokio::task::yield_now().await;
        }
        let progress = self.sink.reader().unwrap().deployment().unwrap();
        assert!(!progress.is_under_way);
        let waiting: BTreeSet<_> = progress.waiting.into_iter().map(|waiting| waiting.definition).collect();
        let shown: Vec<_> = shown(&self.store).into_values().collect();
        for definition in config(self.config).definitions() {
            let is_shown = shown.iter().any(|shown| shown.fingerprint == definition.fingerprint());
            assert!(is_shown != waiting.contains(definition.name()), "{}", definition.name());
        }
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

/// What buckets hold of one table.
fn of_table(buckets: &BTreeMap<String, Objects>, table: &str) -> BTreeMap<String, Objects> {
    let of_table = |objects: &Objects| -> Objects {
        objects.iter().filter(|(object_type, ..)| object_type == table).cloned().collect()
    };
    let all = buckets.iter().map(|(bucket, objects)| (bucket.clone(), of_table(objects)));
    all.filter(|(_, objects)| !objects.is_empty()).collect()
}

/// What they hold of one definition.
fn of_definition(buckets: &BTreeMap<String, Objects>, name: &str) -> BTreeMap<String, Objects> {
    let is_its = |bucket: &str| bucket.split('[').next() == Some(name);
    buckets.iter().filter(|(bucket, _)| is_its(bucket)).map(|(bucket, rows)| (bucket.clone(), rows.clone())).collect()
}
