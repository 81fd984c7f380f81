//! The simulated source: tables, a log, and what a fresh read would put into the buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_sync_config::{Evaluated, SourceScope, SyncConfig};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::world::{Objects, WHOLE_ROW, batch, schema, schema_by};

/// Owner and note.
pub type Values = (String, String);

/// A table's rows by id.
pub type TableRows = BTreeMap<i64, Values>;

/// Which columns a table's identity may have, and whether their types are other ones: then rows don't tell what they were
/// called before.
const IDENTITIES: [(&[usize], bool); 6] =
    [(&[0], false), (&[2, 0], false), (WHOLE_ROW, false), (&[1, 0], false), (&[0], true), (&[2, 0], true)];

/// How many there are.
pub const IDENTITIES_MAX: usize = IDENTITIES.len();

/// A table's shape with one of its identities.
pub fn shape(table: &str, identity: usize) -> Arc<TableSchema> {
    let (columns, is_retyped) = IDENTITIES[identity];
    let mut shape = TableSchema::clone(&schema_by(table, columns));
    if is_retyped {
        shape.columns.iter_mut().for_each(|column| column.source_type.insert_str(0, "wide "));
    }
    Arc::new(shape)
}

/// The identity of each table, by its index.
pub type Identities = BTreeMap<&'static str, usize>;

/// The tables that exist.
pub type Tables = BTreeMap<&'static str, TableRows>;

pub const TABLES: [&str; 3] = ["items", "notes", "extras"];

/// Each differs from the others in some definitions; `all` is in most of them.
pub const CONFIGS: [&str; 4] = [
    r"
bucket_definitions:
  all: { data: [ 'SELECT id, owner, note FROM items', 'SELECT id, note FROM notes' ] }
  mine:
    parameters: SELECT owner FROM items WHERE note = request.user_id()
    data: [ 'SELECT id, note FROM items WHERE owner = bucket.owner', 'SELECT id, owner, note FROM extras WHERE owner = bucket.owner' ]
  # Objects that several rows have, with the same content or another.
  shared: { data: [ 'SELECT owner AS id, note FROM items', 'SELECT note AS id FROM notes' ] }
",
    r"
# all is the same
bucket_definitions:
  mine:
    parameters: SELECT owner FROM notes WHERE note = request.user_id()
    data: [ 'SELECT id, note FROM items WHERE owner = bucket.owner' ]
  all: { data: [ 'SELECT id, owner, note FROM items', 'SELECT id, note FROM notes' ] }
",
    r"
bucket_definitions:
  all: { data: [ 'SELECT id, owner, note FROM items', 'SELECT id, note FROM notes' ] }
  extra: { data: [ 'SELECT id, owner FROM extras', 'SELECT id, note FROM extras WHERE note = 1' ] }
  shared: { data: [ 'SELECT owner AS id, note FROM items', 'SELECT note AS id FROM notes' ] }
",
    r"
bucket_definitions:
  all: { data: [ 'SELECT id, owner FROM items', 'SELECT id, note AS name FROM notes' ] }
",
];

pub fn config(index: usize) -> SyncConfig {
    SyncConfig::parse(CONFIGS[index], "sync.yaml").unwrap()
}

#[derive(Debug, Clone)]
pub enum Event {
    Upsert {
        table: &'static str,
        id: i64,
        values: Values,
        before: Option<Values>,
    },
    Delete {
        table: &'static str,
        id: i64,
        before: Values,
    },
    Truncated {
        table: &'static str,
    },
    Dropped {
        table: &'static str,
    },
    /// There from here on; if it isn't empty, with rows that the log doesn't show (a rename).
    Created {
        table: &'static str,
        is_empty: bool,
    },
    /// Its rows have another identity from here on, the one of this index.
    Rekeyed {
        table: &'static str,
        identity: usize,
    },
    /// Rows changed with nothing else to show for it.
    Replaced {
        table: &'static str,
    },
}

impl Event {
    /// The table that it passes by while that is held.
    pub fn skippable(&self) -> Option<&'static str> {
        match self {
            Event::Upsert { table, .. }
            | Event::Delete { table, .. }
            | Event::Truncated { table }
            | Event::Rekeyed { table, .. }
            | Event::Replaced { table } => Some(table),
            Event::Dropped { .. } | Event::Created { .. } => None,
        }
    }
}

/// A transaction, and what the tables were after it.
#[derive(Debug, Clone)]
pub struct Transaction {
    pub events: Vec<Event>,
    pub after: Tables,
    pub identities: Identities,
}

pub struct Source {
    pub tables: Tables,
    pub identities: Identities,
    /// A transaction's position is its index here.
    pub log: Vec<Transaction>,
}

impl Source {
    pub fn new(random: &mut StdRng) -> Source {
        let mut tables = Tables::new();
        for table in TABLES {
            if random.random_bool(0.8) {
                let rows = (0..random.random_range(0..20)).map(|id| (id, values(random))).collect();
                tables.insert(table, rows);
            }
        }
        let identities: Identities = TABLES.into_iter().map(|table| (table, 0)).collect();
        let first = Transaction { events: Vec::new(), after: tables.clone(), identities: identities.clone() };
        Source { log: vec![first], tables, identities }
    }

    pub fn head(&self) -> usize {
        self.log.len() - 1
    }

    fn commit(&mut self, events: Vec<Event>) {
        self.log.push(Transaction { events, after: self.tables.clone(), identities: self.identities.clone() });
    }

    /// A transaction of row changes.
    pub fn change_rows(&mut self, random: &mut StdRng) {
        let mut events = Vec::new();
        for _ in 0..random.random_range(1..8) {
            let existing: Vec<&'static str> = self.tables.keys().copied().collect();
            let Some(table) = existing.choose(random).copied() else { return };
            let rows = self.tables.get_mut(table).unwrap();
            let id = random.random_range(0..25);
            if random.random_bool(0.3) {
                if let Some(before) = rows.remove(&id) {
                    events.push(Event::Delete { table, id, before });
                }
            } else {
                let values = values(random);
                let before = rows.insert(id, values.clone());
                events.push(Event::Upsert { table, id, values, before });
            }
        }
        self.commit(events);
    }

    /// A change of a table as a whole.
    pub fn change_table(&mut self, random: &mut StdRng) {
        let table = *TABLES.choose(random).unwrap();
        let event = match (self.tables.get_mut(table), random.random_range(0..6)) {
            (None, _) => {
                let is_empty = random.random_bool(0.4);
                let rows = if is_empty { 0 } else { random.random_range(1..20) };
                self.tables.insert(table, (0..rows).map(|id| (id, values(random))).collect());
                Event::Created { table, is_empty }
            }
            (Some(_), 0) => {
                self.tables.remove(table);
                Event::Dropped { table }
            }
            (Some(rows), 1) => {
                rows.clear();
                Event::Truncated { table }
            }
            (Some(_), 2..4) => {
                let identity = random.random_range(0..IDENTITIES_MAX);
                self.identities.insert(table, identity);
                Event::Rekeyed { table, identity }
            }
            (Some(rows), _) => {
                for _ in 0..random.random_range(1..6) {
                    let id = random.random_range(0..25);
                    match random.random_bool(0.5) {
                        true => drop(rows.remove(&id)),
                        false => drop(rows.insert(id, values(random))),
                    }
                }
                Event::Replaced { table }
            }
        };
        self.commit(vec![event]);
    }
}

fn values(random: &mut StdRng) -> (String, String) {
    let owner = ["ann", "bob", "cid", "é\"1"].choose(random).unwrap().to_string();
    let note = ["0", "1", "a longer note than the others, to have something to weigh", "u1"].choose(random).unwrap();
    (owner, note.to_string())
}

/// What a fresh read would put into the buckets, one table's rows at a time.
pub fn expected(config: &SyncConfig, table: &'static str, rows: &TableRows) -> BTreeMap<String, Objects> {
    (0..config.definitions().len()).flat_map(|definition| expected_of(config, definition, table, rows)).collect()
}

/// The same for one definition.
pub fn expected_of(
    config: &SyncConfig,
    definition: usize,
    table: &'static str,
    rows: &TableRows,
) -> BTreeMap<String, Objects> {
    let scope = SourceScope { name: "db", default_schema: "shop", is_default: true };
    let schema: Arc<TableSchema> = schema(table);
    let evaluator = config.bind(scope, &schema);
    let mut evaluated = Evaluated::default();
    let mut buckets: BTreeMap<String, Objects> = BTreeMap::new();
    for row in row_batch(rows).rows() {
        evaluator.evaluate(row, &mut evaluated);
        assert!(evaluated.faults.is_empty());
        for output in evaluated.rows.iter().filter(|output| output.definition == definition) {
            let object = (output.object_type.to_string(), output.object_id.clone(), output.data.clone());
            buckets.entry(output.bucket.clone()).or_default().push(object);
        }
    }
    buckets.values_mut().for_each(|objects| objects.sort_unstable());
    buckets
}

/// What a fresh read would answer to a lookup.
pub fn expected_lookup(config: &SyncConfig, tables: &Tables, lookup: &str) -> Vec<String> {
    let scope = SourceScope { name: "db", default_schema: "shop", is_default: true };
    let mut outputs = Vec::new();
    for (table, rows) in tables {
        let evaluator = config.bind(scope, &schema(table));
        let mut evaluated = Evaluated::default();
        for row in row_batch(rows).rows() {
            evaluator.evaluate(row, &mut evaluated);
            let found = evaluated.lookups.iter().filter(|found| found.lookup == lookup);
            outputs.extend(found.map(|found| found.output.clone()));
        }
    }
    outputs.sort_unstable();
    outputs.dedup();
    outputs
}

pub fn row_batch(rows: &TableRows) -> RowBatch {
    batch(rows.iter().map(|(id, (owner, note))| (*id, owner, note)))
}
