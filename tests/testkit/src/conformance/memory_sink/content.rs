//! What a sink in memory holds, and what each write does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_core::change::{RowChange, RowChanges};
use millstream_core::position::Position;
use millstream_core::row::{RowBatch, RowRef};
use millstream_core::schema::TableSchema;
use millstream_core::schema_change::HistoryEntry;
use millstream_core::sink::{
    DIFFERENCES_SHOWN_MAX, Difference, DifferenceKind, PassMode, PassReport, Restored, WriteItem,
};
use millstream_core::table::{TableId, TableRecord};

use crate::conformance::model::fingerprint;
use crate::conformance::value::Row;

/// A row, with its share of the table's fingerprint.
#[derive(Debug, PartialEq)]
struct Fingerprinted {
    row: Row,
    fingerprint: u64,
}

#[derive(Clone, Default)]
struct Stored {
    generation: u64,
    /// `None` is a tombstone.
    row: Option<Arc<Fingerprinted>>,
}

type Rows = BTreeMap<Vec<u8>, Stored>;

/// Everything of one source. Cloning it shares the rows of tables until one of the clones changes them.
#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) tables: BTreeMap<TableId, TableRecord>,
    rows: BTreeMap<TableId, Arc<Rows>>,
    reports: BTreeMap<(TableId, u64), PassReport>,
    pub(super) history: BTreeMap<u64, HistoryEntry>,
    pub(super) position: Option<Position>,
    pub(super) incarnation: u32,
    pub(super) unfinished: bool,
    /// How many commits made it.
    pub(super) commits: u64,
}

impl Content {
    pub(super) fn rows_of(&self, table: TableId) -> BTreeSet<Row> {
        self.stored(table).map(|stored| stored.row.clone()).collect()
    }

    pub(super) fn fingerprint(&self, table: TableId) -> u64 {
        self.stored(table).fold(0, |sum, stored| sum.wrapping_add(stored.fingerprint))
    }

    fn stored(&self, table: TableId) -> impl Iterator<Item = &Fingerprinted> {
        let rows = self.rows.get(&table).into_iter().flat_map(|rows| rows.values());
        rows.filter_map(|stored| stored.row.as_deref())
    }

    /// Takes over the rows, but not the records, of another.
    pub(super) fn keep_rows_of(&mut self, other: &Content) {
        self.rows.clone_from(&other.rows);
        self.unfinished = true;
    }

    pub(super) fn restore(&mut self) -> Restored {
        self.incarnation += 1;
        self.rows.retain(|table, _| self.tables.contains_key(table));
        Restored {
            incarnation: self.incarnation,
            unfinished: self.unfinished,
            position: self.position.clone(),
            tables: self.tables.values().cloned().collect(),
            stale: Vec::new(),
            last_history_id: self.history.keys().next_back().copied().unwrap_or(0),
        }
    }

    /// Stores an item; gives the number of rows that differ afterwards.
    pub(super) fn apply(&mut self, item: WriteItem) -> u64 {
        match item {
            WriteItem::Stream { table, generation, pass_active, changes } => {
                self.stream(table, generation, pass_active, &changes)
            }
            WriteItem::Chunk { table, generation, mode, schema, rows } => {
                self.chunk(table, generation, mode, &schema, &rows)
            }
            WriteItem::Sweep { table, generation, mode, reply } => {
                let ops = self.sweep(table, generation, mode);
                // Nobody waits for the report any more: then nobody needs it.
                let _ = reply.send(self.reports.remove(&(table, generation)).unwrap_or_default());
                ops
            }
            WriteItem::Clear { table, reply } => {
                let ops = self.stored(table).count() as u64;
                self.rows.remove(&table);
                let _ = reply.send(PassReport { ops_written: ops, ..PassReport::default() });
                ops
            }
            WriteItem::Table(record) => {
                self.tables.insert(record.id, *record);
                0
            }
            WriteItem::Forget { table } => {
                self.tables.remove(&table);
                0
            }
            WriteItem::History { id, entry } => {
                self.history.insert(id, entry);
                0
            }
        }
    }

    fn stream(&mut self, table: TableId, generation: u64, pass_active: bool, changes: &RowChanges) -> u64 {
        let record = self.tables.get(&table).expect("row changes of a table that has a record");
        assert_eq!(record.generation, generation, "a write of another generation than the table's");
        let rows = Arc::make_mut(self.rows.entry(table).or_default());
        let (mut ops, mut key) = (0, Vec::new());
        for (row, change) in changes.rows.rows().zip(&changes.changes) {
            changes.schema.row_key(row, &mut key);
            let new = match change {
                RowChange::Upsert => Some(fingerprinted(&changes.schema, row)),
                RowChange::Delete => None,
                RowChange::Recheck => panic!("a recheck reached the sink"),
            };
            let is_gone = new.is_none() && !pass_active;
            let before = if is_gone {
                rows.remove(&key)
            } else {
                rows.insert(key.clone(), Stored { generation, row: new.clone() })
            };
            ops += u64::from(before.and_then(|stored| stored.row) != new);
        }
        ops
    }

    fn chunk(
        &mut self,
        table: TableId,
        generation: u64,
        mode: PassMode,
        schema: &TableSchema,
        chunk: &RowBatch,
    ) -> u64 {
        let rows = Arc::make_mut(self.rows.entry(table).or_default());
        let report = self.reports.entry((table, generation)).or_default();
        let (mut ops, mut key) = (0, Vec::new());
        for row in chunk.rows() {
            schema.row_key(row, &mut key);
            report.rows_compared += 1;
            let stored = rows.entry(key.clone()).or_default();
            if stored.generation == generation {
                continue;
            }
            stored.generation = generation;
            let new = Some(fingerprinted(schema, row));
            if stored.row == new {
                continue;
            }
            let kind = if stored.row.is_some() { DifferenceKind::Changed } else { DifferenceKind::Missing };
            note(report, &Row::of(schema, row), kind);
            if mode == PassMode::Repair {
                stored.row = new;
                ops += 1;
            }
        }
        report.ops_written += ops;
        ops
    }

    fn sweep(&mut self, table: TableId, generation: u64, mode: PassMode) -> u64 {
        let rows = Arc::make_mut(self.rows.entry(table).or_default());
        let report = self.reports.entry((table, generation)).or_default();
        let mut ops = 0;
        rows.retain(|_, stored| {
            let Some(row) = stored.row.as_ref().filter(|_| stored.generation < generation) else {
                return stored.row.is_some();
            };
            note(report, &row.row, DifferenceKind::Extra);
            ops += u64::from(mode == PassMode::Repair);
            mode == PassMode::Verify
        });
        report.ops_written += ops;
        ops
    }
}

fn fingerprinted(schema: &TableSchema, row: RowRef<'_>) -> Arc<Fingerprinted> {
    let row = Row::of(schema, row);
    let fingerprint = fingerprint(std::iter::once(&row));
    Arc::new(Fingerprinted { row, fingerprint })
}

fn note(report: &mut PassReport, row: &Row, kind: DifferenceKind) {
    report.differences_total += 1;
    if report.differences.len() < DIFFERENCES_SHOWN_MAX {
        report.differences.push(Difference { key: row.to_string(), kind, place: "memory".to_owned() });
    }
}
