//! When a changed sync config has been filled in, and the steps from the old one to it.

use millstream_core::error::SinkError;
use millstream_core::table::{TableRecord, TableState};
use tracing::warn;

use super::Writer;
use super::jobs::Job;
use super::retire::Retirement;
use crate::key::{DefinitionId, TableKey};
use crate::kill::KillPoint;
use crate::meta::Phase;

impl Writer {
    /// All stored rows of a table have been evaluated by the definitions that are being deployed: by a pass of this
    /// generation, or because there are none.
    pub(super) fn settle(&mut self, table: TableKey, generation: Option<u64>) -> Result<(), SinkError> {
        self.ledger.definitions.settle(table, generation, &mut self.ledger.batch)
    }

    /// Shows new definitions instead of old ones, with the batch that is pending, if that may be done with it. Gives
    /// whether any were.
    pub(super) fn switch_if_ready(&mut self) -> Result<bool, SinkError> {
        // The first commit of a run brings the tables that the new config is the first to select.
        if !self.is_consistent() || !self.sources.values().all(|source| source.has_committed) {
            return Ok(false);
        }
        let Some(mut rollout) = self.rollout.take() else { return Ok(false) };
        let record_of = |table| self.tables.get(table).and_then(|table| table.record.as_deref());
        let loading = self.tables.records().filter(|(_, record)| record.state == TableState::Loading);
        let step = rollout.step(&self.ledger.definitions, record_of, loading);
        for (definition, table) in step.iter().flat_map(|step| rollout.note_waiting(step)) {
            self.tell_waiting(definition, table);
        }
        let Some(step) = step.filter(|step| !step.is_empty()) else {
            self.rollout = Some(rollout);
            return Ok(false);
        };
        let evaluation = rollout.take(&step, &mut self.ledger.definitions, &mut self.ledger.batch)?;
        self.evaluator.switch(evaluation);
        let removed = step.into_removed();
        if !removed.is_empty() {
            self.jobs.add(Job::Retire(Retirement::new(removed)));
        }
        self.rollout = (!rollout.is_over()).then_some(rollout);
        Ok(true)
    }

    fn tell_waiting(&self, id: DefinitionId, table: TableKey) {
        let definition = self.ledger.definitions.name(id).unwrap_or_default();
        let source = self.sources.get(&table.source).map(|source| source.name.as_str()).unwrap_or_default();
        let record = self.tables.get(table).and_then(|table| table.record.as_deref());
        let Some(TableRecord { name, state: TableState::Held { reason, remedy }, .. }) = record else { return };
        warn!(
            definition, source, table = %name, reason, remedy,
            "a changed definition waits for a table that is held; until it can be read, the former definition goes on serving"
        );
    }

    /// Goes on with removing what an earlier process has left of former definitions.
    pub(super) fn resume_retirement(&mut self) {
        let all = self.ledger.definitions.iter();
        let retired: Vec<_> = all.filter(|(_, record)| record.phase == Phase::Retired).map(|(id, _)| id).collect();
        if !retired.is_empty() {
            self.jobs.add(Job::Retire(Retirement::new(retired)));
        }
    }

    pub(super) fn pass_mid_switch(&mut self) {
        self.kill.pass(KillPoint::MidSwitch);
    }
}
