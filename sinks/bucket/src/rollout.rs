//! The steps by which readers come to see a changed sync config.
//!
//! Mostly there is one: when all new definitions have evaluated every table that they read, one checkpoint shows them
//! instead of the old ones, and what belongs to these is removed. So queries that move from one definition to another
//! are never seen in both or in neither.
//!
//! A table that is held can't be evaluated, perhaps for months. A new definition that takes the place of one by the same
//! name and lacks such a table, which the other shows rows of, *waits*: shown now, it would take these rows away from
//! clients, though nobody says that they are gone. The old one goes on serving meanwhile, up to date for its other
//! tables. All else is shown without those that wait, and each of them in a later step, when its tables have been read.
//! Readers then see definitions of two configs beside each other; what a definition shows is whole by itself, as buckets
//! are. Definitions of other names, or held tables that the old one doesn't read or never showed, have nothing to lose,
//! so nothing waits for these.
//!
//! A step is part of the batch that makes a checkpoint, so a crash leaves it done or not begun.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_core::error::SinkError;
use millstream_core::table::{TableRecord, TableState};
use millstream_sync_config::{BucketDefinition, SyncConfig};
use tracing::info;

use crate::definitions::Definitions;
use crate::deployment::{Reads, reads_table};
use crate::evaluation::{Evaluation, NumberedConfig};
use crate::key::{DefinitionId, TableKey};
use crate::meta::{self, ConfigRecord, PendingTable, Phase};
use crate::store::{Batch, Keyspace};

/// The sync configs that rows are evaluated by.
pub(crate) struct Configs {
    pub(crate) given: Arc<SyncConfig>,
    /// Those that have definitions which are leaving.
    pub(crate) former: Vec<FormerConfig>,
}

/// A config that was given before.
pub(crate) struct FormerConfig {
    pub(crate) record: ConfigRecord,
    pub(crate) config: Arc<SyncConfig>,
}

/// A deployment on its way.
pub(crate) struct Rollout {
    configs: Configs,
    /// What each definition reads that is being filled in.
    reads: BTreeMap<DefinitionId, Reads>,
    waiting: BTreeSet<(DefinitionId, TableKey)>,
}

/// How far a definition that is being filled in has come.
#[derive(Debug, PartialEq, Eq)]
enum Filling {
    /// A table is still to be read.
    Reading,
    /// Only held tables are, and without these rows would vanish from readers.
    Waiting(Vec<TableKey>),
    /// It can be shown.
    Done,
}

/// What can be done, by what is known of the tables.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// Whether some definition has tables that are still to be read, for which all others wait.
    is_reading: bool,
    shown: Vec<DefinitionId>,
    removed: Vec<DefinitionId>,
    waiting: BTreeSet<(DefinitionId, TableKey)>,
}

impl Configs {
    /// What rows are to be evaluated by: each definition by the first config that has it. Configs that aren't needed any
    /// more are dropped, in the store as well.
    pub(crate) fn evaluation(&mut self, definitions: &Definitions, batch: &mut Batch) -> Result<Evaluation, SinkError> {
        let mut numbered = BTreeSet::new();
        let mut number = |config: &Arc<SyncConfig>| {
            let live = |definition: &BucketDefinition| definitions.live(definition.fingerprint());
            let all = config.definitions().iter();
            let all = all.map(|definition| live(definition).filter(|id| numbered.insert(*id)));
            NumberedConfig { config: Arc::clone(config), definitions: all.collect() }
        };
        let mut configs = vec![number(&self.given)];
        self.former.retain(|former| {
            let former = number(&former.config);
            let is_needed = former.definitions.iter().any(Option::is_some);
            configs.extend(is_needed.then_some(former));
            is_needed
        });
        if self.former.is_empty() {
            batch.delete(Keyspace::Meta, meta::FORMER_CONFIGS);
        } else {
            let records: Vec<_> = self.former.iter().map(|former| &former.record).collect();
            meta::put(batch, meta::FORMER_CONFIGS, &records)?;
        }
        Ok(Evaluation { configs })
    }
}

impl Filling {
    fn of<'t>(pending: &[PendingTable], record_of: impl Fn(TableKey) -> Option<&'t TableRecord>) -> Filling {
        let mut waiting = Vec::new();
        for pending in pending {
            // A table without a record has no rows.
            let Some(record) = record_of(pending.table) else { continue };
            if !matches!(record.state, TableState::Held { .. }) {
                return Filling::Reading;
            }
            if pending.has_rows_to_lose && record.visible {
                waiting.push(pending.table);
            }
        }
        if waiting.is_empty() { Filling::Done } else { Filling::Waiting(waiting) }
    }
}

impl Rollout {
    /// What is on its way, if anything is.
    pub(crate) fn of(
        configs: Configs,
        definitions: &Definitions,
        reads: impl Fn(&BucketDefinition) -> Reads,
    ) -> Option<Rollout> {
        let is_deploying = |id: &DefinitionId| definitions.deploying().any(|(deploying, ..)| deploying == *id);
        let all = configs.given.definitions().iter();
        let deploying = all.filter_map(|definition| {
            let id = definitions.live(definition.fingerprint()).filter(is_deploying)?;
            Some((id, reads(definition)))
        });
        let reads: BTreeMap<_, _> = deploying.collect();
        let is_over = reads.is_empty() && definitions.leaving().next().is_none();
        (!is_over).then(|| Rollout { configs, reads, waiting: BTreeSet::new() })
    }

    /// The next step; `None` as long as there is a definition to be filled in first.
    pub(crate) fn step<'t>(
        &self,
        definitions: &Definitions,
        record_of: impl Fn(TableKey) -> Option<&'t TableRecord>,
        mut loading: impl Iterator<Item = (TableKey, &'t TableRecord)>,
    ) -> Option<Step> {
        let step = Step::of(definitions, record_of);
        // Those that were there before are pending; of these nothing has been read at all.
        let mut is_loading =
            || loading.any(|(table, record)| self.reads.values().any(|reads| reads_table(reads, table, record)));
        (!step.is_reading && !is_loading()).then_some(step)
    }

    /// Notes what waits. Gives what didn't before.
    pub(crate) fn note_waiting(&mut self, step: &Step) -> Vec<(DefinitionId, TableKey)> {
        let new = step.waiting.difference(&self.waiting).copied().collect();
        self.waiting.clone_from(&step.waiting);
        new
    }

    /// Makes the new definitions the ones that readers see. Gives what rows are to be evaluated by from here on.
    pub(crate) fn take(
        &mut self,
        step: &Step,
        definitions: &mut Definitions,
        batch: &mut Batch,
    ) -> Result<Evaluation, SinkError> {
        for id in &step.removed {
            definitions.change(*id, batch, |record| record.phase = Phase::Retired)?;
        }
        for id in &step.shown {
            definitions.change(*id, batch, |record| record.phase = Phase::Serving)?;
            self.reads.remove(id);
        }
        let (shown, removed, waiting) = (step.shown.len(), step.removed.len(), self.reads.len());
        match waiting {
            0 => info!(shown, removed, "the changed sync config is deployed"),
            _ => info!(
                shown,
                removed, waiting, "the changed sync config is deployed, but for what waits for held tables"
            ),
        }
        self.configs.evaluation(definitions, batch)
    }

    /// Whether everything is shown that is to be.
    pub(crate) fn is_over(&self) -> bool {
        self.reads.is_empty()
    }
}

impl Step {
    pub(crate) fn of<'t>(definitions: &Definitions, record_of: impl Fn(TableKey) -> Option<&'t TableRecord>) -> Step {
        let mut step = Step::default();
        let mut replaced_later = BTreeSet::new();
        for (id, record, pending) in definitions.deploying() {
            match Filling::of(pending, &record_of) {
                Filling::Reading => step.is_reading = true,
                Filling::Waiting(tables) => {
                    step.waiting.extend(tables.into_iter().map(|table| (id, table)));
                    replaced_later.insert(record.name.as_str());
                }
                Filling::Done => step.shown.push(id),
            }
        }
        let leaving = definitions.leaving().filter(|(_, record)| !replaced_later.contains(record.name.as_str()));
        step.removed = leaving.map(|(id, _)| id).collect();
        step
    }

    /// Whether anything is to be expected before a held table can be read again.
    pub(crate) fn is_under_way(&self) -> bool {
        self.is_reading || !self.is_empty()
    }

    /// The definitions that wait, each with a held table.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (DefinitionId, TableKey)> + '_ {
        self.waiting.iter().copied()
    }

    /// Whether there is nothing to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.removed.is_empty()
    }

    /// The definitions that readers won't see any more.
    pub(crate) fn into_removed(self) -> Vec<DefinitionId> {
        self.removed
    }
}
