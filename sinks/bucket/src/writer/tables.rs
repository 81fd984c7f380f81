//! The tables, as far as they have been written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use millstream_core::error::SinkError;
use millstream_core::schema::TableSchema;
use millstream_core::sink::Difference;
use millstream_core::table::{TableRecord, TableState};

use super::coverage::Coverage;
use super::filing::Filing;
use super::placing::Placed;
use super::tally::Tally;
use crate::key::{IdentityNumber, TableKey};
use crate::meta::{self, TableFact};
use crate::store::{Batch, Keyspace, Read};

/// How many rows are stored of each table, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct RowCounts {
    counts: RwLock<HashMap<TableKey, Arc<AtomicU64>>>,
}

impl RowCounts {
    pub(crate) fn get(&self, table: TableKey) -> Option<u64> {
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        counts.get(&table).map(|count| count.load(Ordering::Relaxed))
    }

    fn set(&self, table: TableKey, rows: Option<u64>) {
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        match rows {
            Some(rows) => counts.entry(table).or_default().store(rows, Ordering::Relaxed),
            None => drop(counts.remove(&table)),
        }
    }
}

/// One table.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// As stored; `None` before its first commit.
    pub(super) record: Option<Box<TableRecord>>,
    rows: u64,
    rows_changed: bool,
    pub(super) tally: Tally,
    /// Under which identity its rows are filed; `None` before the first.
    pub(super) filing: Option<Filing>,
    pub(super) filing_changed: bool,
    /// The shape and generation of the rows that were filed last.
    pub(super) last_filed: Option<(Arc<TableSchema>, u64)>,
    /// Whether its rows are kept out of the buckets although there is no checkpoint yet.
    pub(super) is_withdrawn: bool,
    /// The newest generation whose pass has been read to its end: nothing can bring its rows back any more.
    pub(super) read_generation: u64,
    /// What has been written of it under its newest identity since nothing was seen to be there; `None` if something was.
    pub(super) coverage: Option<Coverage>,
    /// The pass at whose beginning it was looked whether it is empty.
    pub(super) looked_generation: u64,
    /// Whether every row, since it was seen to be empty, has been stored with that pass's generation and stayed.
    is_all_of_pass: bool,
}

impl Table {
    /// Notes what writing a row came to.
    pub(super) fn count(&mut self, placed: &Placed) {
        let fewer = u64::from(placed.was_stored) + placed.emptied;
        if u64::from(placed.is_stored) != fewer {
            self.rows = (self.rows + u64::from(placed.is_stored)).saturating_sub(fewer);
            self.rows_changed = true;
        }
    }

    /// Notes at the beginning of a pass whether there are no rows or tombstones, and none under the newest identity.
    pub(super) fn note_look(&mut self, generation: u64, is_empty: bool, is_newest_empty: bool) {
        self.looked_generation = generation;
        self.coverage = is_newest_empty.then(Coverage::default);
        self.is_all_of_pass = is_empty;
    }

    /// The shape of its rows, if those filed under this identity have it.
    pub(super) fn schema_of(&self, identity: IdentityNumber) -> Option<Arc<TableSchema>> {
        let is_newest = self.filing.as_ref().is_none_or(|filing| filing.number() == identity);
        self.record.as_ref().filter(|_| is_newest).and_then(|record| record.schema.clone())
    }

    /// Forgets what was seen of it: nothing is known to be new.
    pub(super) fn forget_look(&mut self) {
        self.note_look(0, false, false);
    }

    /// Notes that the stream has written a row, which leaves a tombstone if it isn't stored.
    pub(super) fn note_streamed(&mut self, row_key: &[u8], generation: u64, placed: &Placed) {
        if let Some(coverage) = &mut self.coverage {
            coverage.add(row_key, row_key);
        }
        self.is_all_of_pass &= generation == self.looked_generation && placed.is_stored;
    }

    /// Whether a pass's sweep has nothing to find: the table was empty when the pass began, every row that came since
    /// carries its generation, and there are no tombstones.
    pub(super) fn is_all_of(&self, generation: u64) -> bool {
        self.is_all_of_pass && self.looked_generation == generation
    }

    /// Whether a pass of this generation may still bring rows. Its record may wait for the commit of a transaction.
    pub(super) fn is_being_read(&self, generation: u64) -> bool {
        let is_on_its_way = |record: &TableRecord| {
            record.generation < generation || (record.pass.is_some() && record.generation == generation)
        };
        generation > self.read_generation && self.record.as_deref().is_none_or(is_on_its_way)
    }

    /// Notes that a row isn't stored any more.
    pub(super) fn uncount(&mut self) {
        self.rows = self.rows.saturating_sub(1);
        self.rows_changed = true;
    }
}

/// All tables of all sources.
#[derive(Debug)]
pub(super) struct Tables {
    tables: BTreeMap<TableKey, Table>,
    /// Those that may have changed since they were stored.
    touched: BTreeSet<TableKey>,
    counts: Arc<RowCounts>,
}

impl Tables {
    pub(super) fn load(from: &dyn Read, counts: Arc<RowCounts>) -> Result<Tables, SinkError> {
        let mut tables = BTreeMap::<TableKey, Table>::new();
        for (key, record) in meta::table_facts::<TableRecord>(from, TableFact::Record)? {
            tables.entry(key).or_default().record = Some(Box::new(record));
        }
        for (key, rows) in meta::table_facts::<u64>(from, TableFact::Rows)? {
            tables.entry(key).or_default().rows = rows;
            counts.set(key, Some(rows));
        }
        for (key, ()) in meta::table_facts(from, TableFact::Withdrawn)? {
            tables.entry(key).or_default().is_withdrawn = true;
        }
        for (key, tally) in meta::table_facts::<Tally>(from, TableFact::Tally)? {
            tables.entry(key).or_default().tally = tally;
        }
        for (key, filing) in meta::table_facts::<Filing>(from, TableFact::Filing)? {
            tables.entry(key).or_default().filing = Some(filing);
        }
        for (key, differences) in meta::table_facts::<Vec<Difference>>(from, TableFact::Differences)? {
            tables.entry(key).or_default().tally.differences = differences;
        }
        Ok(Tables { tables, touched: BTreeSet::new(), counts })
    }

    pub(super) fn get(&self, key: TableKey) -> Option<&Table> {
        self.tables.get(&key)
    }

    /// The table, known from now on if it wasn't.
    pub(super) fn entry(&mut self, key: TableKey) -> &mut Table {
        self.touched.insert(key);
        self.tables.entry(key).or_default()
    }

    /// The tables, with how their rows are filed.
    pub(super) fn filings(&self) -> impl Iterator<Item = (TableKey, &Filing)> {
        self.tables.iter().filter_map(|(key, table)| Some((*key, table.filing.as_ref()?)))
    }

    /// The identity that a table's newest rows are filed under.
    pub(super) fn identity(&self, key: TableKey) -> Option<IdentityNumber> {
        self.get(key).and_then(|table| table.filing.as_ref()).map(Filing::number)
    }

    /// Whether rows of former identities of a table may be there.
    pub(super) fn has_left(&self, key: TableKey) -> bool {
        self.get(key).and_then(|table| table.filing.as_ref()).is_some_and(Filing::has_left)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (TableKey, &TableRecord)> {
        self.tables.iter().filter_map(|(key, table)| Some((*key, table.record.as_deref()?)))
    }

    /// Whether any table hasn't been read for the first time.
    pub(super) fn any_loading(&self) -> bool {
        self.records().any(|(_, record)| record.state == TableState::Loading)
    }

    /// Tables with rows in buckets that the first checkpoint must not show.
    pub(super) fn to_withdraw(&self) -> Vec<TableKey> {
        let is_it = |table: &Table| {
            table.rows > 0 && !table.is_withdrawn && table.record.as_ref().is_some_and(|record| !record.visible)
        };
        self.tables.iter().filter(|(_, table)| is_it(table)).map(|(key, _)| *key).collect()
    }

    /// Stores a table's new record; gives the one before.
    pub(super) fn set_record(
        &mut self,
        key: TableKey,
        record: Box<TableRecord>,
        batch: &mut Batch,
    ) -> Result<Option<Box<TableRecord>>, SinkError> {
        meta::put(batch, &TableFact::Record.key(key), &record)?;
        Ok(self.entry(key).record.replace(record))
    }

    /// Forgets a table; its rows have been removed.
    pub(super) fn forget(&mut self, key: TableKey, batch: &mut Batch) {
        self.tables.remove(&key);
        self.counts.set(key, None);
        for fact in TableFact::ALL {
            batch.delete(Keyspace::Meta, &fact.key(key));
        }
    }

    /// Adds what has changed about tables to a batch.
    pub(super) fn store(&mut self, batch: &mut Batch) -> Result<(), SinkError> {
        for key in std::mem::take(&mut self.touched) {
            let Some(table) = self.tables.get_mut(&key) else { continue };
            if table.rows_changed {
                meta::put(batch, &TableFact::Rows.key(key), &table.rows)?;
                self.counts.set(key, Some(table.rows));
                table.rows_changed = false;
            }
            if table.filing_changed {
                meta::put(batch, &TableFact::Filing.key(key), &table.filing)?;
                table.filing_changed = false;
            }
            if table.tally.is_changed {
                meta::put(batch, &TableFact::Tally.key(key), &table.tally)?;
                table.tally.is_changed = false;
            }
            if table.tally.differences_changed {
                meta::put(batch, &TableFact::Differences.key(key), &table.tally.differences)?;
                table.tally.differences_changed = false;
            }
        }
        Ok(())
    }
}
