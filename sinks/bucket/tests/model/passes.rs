//! The passes of the pipeline in small.

use std::collections::BTreeMap;

use millstream_core::row::RowBatch;
use millstream_core::sink::{PassMode, PassReport, WriteItem};
use millstream_core::source::{Cursor, KeyRange as ReadRange};
use millstream_core::table::{PassRecord, RangeProgress, TableRecord, TableState};
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::sync::oneshot;

use super::pipeline::{Pipeline, STALE};
use super::source::row_batch;

/// A table as the pipeline tracks it.
pub struct Table {
    pub(super) record: TableRecord,
    /// The pass on its way, of whichever mode.
    pub(super) pass: Option<Pass>,
}

pub struct Pass {
    pub(super) mode: PassMode,
    generation: u64,
    /// The next id to read; `None` when all are.
    next: Option<i64>,
    /// Read, and waiting for the stream to reach the head of then: rows, head, where reading goes on.
    waiting: Vec<(RowBatch, usize, Option<i64>)>,
    /// The sweep's answer is waited for.
    report: Option<oneshot::Receiver<PassReport>>,
}

impl Pipeline {
    /// Reads the next chunk of some pass, as the source is now.
    pub(super) fn read_chunk(&mut self) {
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
    pub(super) async fn go_on_with_passes(&mut self) {
        for name in self.tables.keys().copied().collect::<Vec<_>>() {
            let Some(table) = self.tables.get_mut(name) else { continue };
            let mut items = Vec::new();
            let Some(pass) = &mut table.pass else { continue };
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

    pub(super) async fn begin_verification(&mut self) {
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
}

impl Table {
    pub(super) fn is_right(&self) -> bool {
        is_right(&self.record)
    }

    pub(super) fn begin_pass(&mut self, generation_floor: u64, cause: &str) {
        self.record.generation = (self.record.generation + 1).max(generation_floor + 1);
        self.record.state = if self.record.visible { TableState::Reconciling } else { TableState::Loading };
        self.record.pass = Some(PassRecord::new(cause, None));
        self.pass = Some(Pass::new(PassMode::Repair, self.record.generation));
    }

    pub(super) fn is_held(&self) -> bool {
        matches!(self.record.state, TableState::Held { .. })
    }

    pub(super) fn resume_pass(&mut self) {
        let Some(record) = self.record.pass.as_ref().filter(|_| !self.is_held()) else { return };
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

/// Whether what readers see of a table is what the source had.
pub(super) fn is_right(record: &TableRecord) -> bool {
    let is_stale = record.pass.as_ref().is_some_and(|pass| pass.cause == STALE);
    record.state == TableState::Live || (record.state == TableState::Reconciling && is_stale)
}
