//! The removal of all rows of a table at once.

use std::collections::BTreeSet;

use millstream_core::error::SinkError;
use millstream_core::sink::PassReport;
use tracing::info;

use super::Writer;
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
        loop {
            let rows = self.ledger.slice(Keyspace::Rows, &rest, self.tuning.slice_max)?;
            for (address, state) in &rows {
                let placing = Placing::removal(address, 0);
                let placed = self.ledger.place(placing, Some(state), None)?;
                self.tables.entry(table).count(&placed);
                report.ops_written += placed.ops;
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == self.tuning.slice_max) else { break };
            rest = rest.starting_after(last);
            self.flush(false)?;
            self.kill.pass(KillPoint::MidClear);
        }
        self.is_removing = was_removing;
        self.settle(table, None)?;
        if let Some(sweep) = sweep {
            self.end_sweep(sweep)?;
        }
        Ok(report)
    }

    /// Removes rows that belong to nothing: of tables without a record, which a transaction without its commit has left
    /// behind, and of sources that are no longer configured.
    pub(super) fn remove_orphans(&mut self) -> Result<(), SinkError> {
        self.remove_former_sources()?;
        let mut rest = KeyRange::all();
        while let Some((address, _)) = self.ledger.slice(Keyspace::Rows, &rest, 1)?.pop() {
            let (table, _) = TableKey::split(&address)?;
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
