//! When a changed sync config has been filled in, and the step from the old one to it.

use millstream_core::error::SinkError;
use millstream_core::table::TableState;

use super::Writer;
use super::jobs::Job;
use super::retire::Retirement;
use crate::key::TableKey;
use crate::kill::KillPoint;
use crate::meta::Phase;

impl Writer {
    /// All stored rows of a table have been evaluated by the definitions that are being deployed: by a pass of this
    /// generation, or because there are none.
    pub(super) fn settle(&mut self, table: TableKey, generation: Option<u64>) -> Result<(), SinkError> {
        match &mut self.rollout {
            Some(rollout) => rollout.settle(table, generation, &mut self.ledger.batch),
            None => Ok(()),
        }
    }

    /// Shows the new definitions instead of the old, with the batch that is pending, if that may be done with it. Gives
    /// whether it was.
    pub(super) fn switch_if_ready(&mut self) -> Result<bool, SinkError> {
        if !self.is_filled_in() {
            return Ok(false);
        }
        let Some(rollout) = self.rollout.take() else { return Ok(false) };
        let (evaluation, retired) = rollout.switch(&mut self.ledger.definitions, &mut self.ledger.batch)?;
        self.evaluator.switch(evaluation);
        if !retired.is_empty() {
            self.jobs.add(Job::Retire(Retirement::new(retired)));
        }
        Ok(true)
    }

    /// Whether every table that a new definition reads has been evaluated by it. A table that is held doesn't hold up
    /// the others: it is read again when it can be.
    fn is_filled_in(&self) -> bool {
        let Some(rollout) = &self.rollout else { return false };
        // The first commit of a run brings the tables that the new config is the first to select.
        if !self.is_consistent() || !self.sources.values().all(|source| source.has_committed) {
            return false;
        }
        let is_held = |table: TableKey| {
            let record = self.tables.get(table).and_then(|table| table.record.as_ref());
            record.is_none_or(|record| matches!(record.state, TableState::Held { .. }))
        };
        let mut loading = self.tables.records().filter(|(_, record)| record.state == TableState::Loading);
        rollout.pending().iter().all(|pending| is_held(pending.table))
            && !loading.any(|(table, record)| rollout.concerns(table, &record.name))
    }

    /// Goes on with removing what an earlier process has left of former definitions.
    pub(super) fn resume_retirement(&mut self) {
        let retired: Vec<_> = self.ledger.definitions.in_phase(Phase::Retired).map(|(id, _)| id).collect();
        if !retired.is_empty() {
            self.jobs.add(Job::Retire(Retirement::new(retired)));
        }
    }

    pub(super) fn pass_mid_switch(&mut self) {
        self.kill.pass(KillPoint::MidSwitch);
    }
}
