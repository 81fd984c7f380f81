//! The removal of all rows of a table at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_core::error::SinkError;
use millstream_core::sink::PassReport;
use tracing::info;

use super::Writer;
use super::jobs::{Progress, Slice};
use super::placing::Placing;
use crate::key::{self, SourceId, TableKey};
use crate::kill::KillPoint;
use crate::meta::{self, TableFact};
use crate::store::{Direction, KeyRange, Keyspace};

impl Writer {
    /// Removes all rows of a table, here and now: what follows in the stream may be rows of the same table. Checkpoints
    /// are held back by the transaction that this belongs to.
    pub(super) fn clear(&mut self, table: TableKey) -> Result<PassReport, SinkError> {
        let sweep = self.jobs.forget(table);
        self.ledger.batch.delete(Keyspace::Meta, &TableFact::Publishing.key(table));
        self.ledger.batch.delete(Keyspace::Meta, &TableFact::Sweeping.key(table));
        let was_removing = std::mem::replace(&mut self.is_removing, true);
        self.flush(false)?;
        let mut report = PassReport::default();
        let mut rest = table.rows();
        while self.clear_slice(table, &mut rest, &mut report)? == Progress::More {
            self.flush(false)?;
            self.kill.pass(KillPoint::MidClear);
        }
        self.forget_all_left(table)?;
        self.is_removing = was_removing;
        self.settle(table, None)?;
        if let Some(sweep) = sweep {
            self.end_sweep(sweep)?;
        }
        Ok(report)
    }

    fn clear_slice(
        &mut self,
        table: TableKey,
        rest: &mut KeyRange,
        report: &mut PassReport,
    ) -> Result<Progress, SinkError> {
        let mut slice = Slice::new(&self.tuning);
        let store = Arc::clone(&self.ledger.store);
        for pair in store.scan(Keyspace::Rows, rest, Direction::Forward) {
            let pair = pair?;
            let placed = self.ledger.place(Placing::removal(&pair.0, 0), Some(&pair.1), None)?;
            self.tables.entry(table).count(&placed);
            report.ops_written += placed.ops;
            if self.is_over_after(&pair, &mut slice) {
                *rest = rest.starting_after(&pair.0);
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    /// Removes rows that belong to nothing: of tables without a record, which a transaction without its commit has left
    /// behind, and of sources that are no longer configured.
    pub(super) fn remove_orphans(&mut self) -> Result<(), SinkError> {
        self.remove_former_sources()?;
        let mut rest = KeyRange::all();
        while let Some(address) = self.ledger.first(Keyspace::Rows, &rest)? {
            let table = TableKey::of(&address)?;
            if self.tables.get(table).is_none_or(|table| table.record.is_none()) {
                info!(table = table.table.0, "removing rows that an interrupted transaction has left");
                self.clear(table)?;
                self.tables.forget(table, &mut self.ledger.batch);
                self.flush(false)?;
            }
            rest = rest.starting_at(&table.rows_end());
        }
        Ok(())
    }

    fn remove_former_sources(&mut self) -> Result<(), SinkError> {
        for (name, record) in meta::sources(&*self.ledger.store)? {
            if self.sources.contains_key(&record.id) {
                continue;
            }
            info!(source = %name, "removing the rows of a source that is no longer configured");
            for table in self.tables_of(record.id) {
                self.clear(table)?;
                self.tables.forget(table, &mut self.ledger.batch);
            }
            for pair in self.ledger.store.scan(Keyspace::History, &key::history_of(record.id), Direction::Forward) {
                self.ledger.batch.delete(Keyspace::History, &pair?.0);
            }
            self.ledger.batch.delete(Keyspace::Meta, &meta::source_key(&name));
            self.flush(false)?;
        }
        Ok(())
    }

    fn tables_of(&self, source: SourceId) -> BTreeSet<TableKey> {
        self.tables.records().map(|(table, _)| table).filter(|table| table.source == source).collect()
    }
}
