//! Tables that can't be read for a while, and what becomes of their rows.

use std::collections::{BTreeMap, BTreeSet};

use millstream_bucket::store::{Direction, KeyRange, Keyspace, MemoryStore, Read};
use millstream_core::sink::WriteItem;
use millstream_core::table::TableState;
use millstream_sync_config::SourceScope;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::Value;

use super::pipeline::Pipeline;
use super::source::{CONFIGS, TableRows, config, expected_of, shape};
use crate::world::{Objects, schema};

/// Definitions by their numbers.
pub type Definitions = BTreeMap<Vec<u8>, Definition>;

/// A definition that readers see.
#[derive(Clone, PartialEq, Eq)]
pub struct Definition {
    pub(super) name: String,
    pub(super) fingerprint: u64,
    /// A config that has it, and where.
    config: usize,
    index: usize,
}

impl Definition {
    /// What it makes of a table's rows.
    pub(super) fn makes_of(&self, table: &'static str, rows: &TableRows) -> BTreeMap<String, Objects> {
        expected_of(&config(self.config), self.index, table, rows)
    }

    fn reads(&self, table: &str) -> bool {
        let scope = SourceScope { name: "db", default_schema: "shop", is_default: true };
        let patterns = config(self.config).definitions()[self.index].patterns(scope);
        patterns.iter().any(|pattern| pattern.matches(&schema(table).table))
    }
}

/// What readers see of a table that is held.
pub struct Hold {
    pub(super) table: &'static str,
    /// The rows that it had before, all of them in the buckets.
    pub(super) rows: TableRows,
    /// The definitions that have shown them ever since.
    pub(super) by: BTreeSet<String>,
}

impl Pipeline {
    pub(super) async fn hold(&mut self) {
        let readable: Vec<_> =
            self.tables.iter().filter(|(_, table)| !table.is_held()).map(|(name, _)| *name).collect();
        let Some(name) = readable.choose(&mut self.random).copied() else { return };
        let table = self.tables.get_mut(name).unwrap();
        // While a transaction is open, or comes again, parts of it may be stored.
        let is_whole = table.record.state == TableState::Live && table.pass.is_none() && self.open_until.is_none();
        let all = shown(&self.store).into_values();
        let by = all.filter(|definition| is_whole && definition.reads(name)).map(|definition| definition.name);
        let rows = self.source.log[self.reached].after.get(name).cloned().unwrap_or_default();
        table.pass = None;
        if self.random.random_bool(0.5) {
            table.record.pass = None;
        }
        table.record.state = TableState::Held { reason: self.holds.len().to_string(), remedy: String::new() };
        self.holds.push(Hold { table: name, rows, by: by.collect() });
        let item = WriteItem::Table(Box::new(table.record.clone()));
        self.accept_between(vec![item]).await;
    }

    /// Lets a table be read again.
    pub(super) async fn release(&mut self) {
        let held: Vec<_> = self.tables.iter().filter(|(_, table)| table.is_held()).map(|(name, _)| *name).collect();
        let Some(name) = held.choose(&mut self.random) else { return };
        let identity = self.source.log[self.reached].identities[name];
        let table = self.tables.get_mut(name).unwrap();
        // Rows may be stored by this pass that outlast a crash, while the record of its beginning doesn't.
        self.holds.iter_mut().filter(|hold| hold.table == *name).for_each(|hold| hold.by.clear());
        table.record.schema = Some(shape(name, identity));
        table.begin_pass(self.generation_floor, "readable again");
        let item = WriteItem::Table(Box::new(table.record.clone()));
        self.accept_between(vec![item]).await;
    }

    /// Forgets of definitions that are gone, or don't read a table any more, what they have shown.
    pub(super) fn forget_former(&mut self, shown: &Definitions) {
        for hold in &mut self.holds {
            let still = |name: &String| shown.values().any(|other| other.name == *name && other.reads(hold.table));
            hold.by.retain(still);
        }
    }
}

/// The definitions that readers see: a bucket of the same name is another one when its definition is.
pub(super) fn shown(store: &MemoryStore) -> Definitions {
    let definitions = store.scan(Keyspace::Meta, &KeyRange::prefix(b"definition/"), Direction::Forward);
    let shown = definitions.map(Result::unwrap).filter_map(|(id, record)| {
        let record: Value = serde_json::from_slice(&record).unwrap();
        let is_shown = record["phase"] == "serving" || record["phase"] == "leaving";
        is_shown.then(|| (id, definition(record["fingerprint"].as_str().unwrap())))
    });
    shown.collect()
}

fn definition(fingerprint: &str) -> Definition {
    let fingerprint = u64::from_str_radix(fingerprint, 16).unwrap();
    let find = |number: usize| {
        let config = config(number);
        let index = config.definitions().iter().position(|definition| definition.fingerprint() == fingerprint)?;
        let name = config.definitions()[index].name().to_owned();
        Some(Definition { name, fingerprint, config: number, index })
    };
    (0..CONFIGS.len()).find_map(find).unwrap()
}
