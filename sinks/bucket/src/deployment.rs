//! Replacing one sync config by another without anybody having to download what hasn't changed.
//!
//! Definitions are told apart by the fingerprint of their wording. Those that both configs have keep their buckets. For
//! those that only the new one has, the tables that they read are read again, while rows are evaluated by both: the old
//! ones' buckets stay readable and up to date, the new ones' fill out of sight. When every such pass has ended, one
//! checkpoint shows the new definitions instead of the old, and what belongs to these is removed. A deployment survives
//! restarts; one that a third config interrupts is taken back.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_core::error::SinkError;
use millstream_core::schema::TableName;
use millstream_core::selection::TablePattern;
use millstream_core::table::TableRecord;
use millstream_sync_config::{BucketDefinition, SyncConfig};
use tracing::info;

use crate::definitions::Definitions;
use crate::evaluation::{Evaluation, NumberedConfig, Source};
use crate::key::{DefinitionId, SourceId, TableKey};
use crate::meaning;
use crate::meta::{self, ConfigRecord, DefinitionRecord, Deployment, PendingTable, Phase, TableFact};
use crate::store::{Batch, Keyspace, Read};

/// A parsed sync config and the text that it was parsed from.
#[derive(Debug, Clone)]
pub struct DeployedConfig {
    config: Arc<SyncConfig>,
    record: ConfigRecord,
}

impl DeployedConfig {
    /// `config` is what parsing `text`, of the file called `file`, gave.
    pub fn new(config: SyncConfig, file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { config: Arc::new(config), record: ConfigRecord { file: file.into(), text: text.into() } }
    }
}

/// How the sink begins, as far as the sync config goes.
pub(crate) struct Plan {
    pub(crate) definitions: Definitions,
    pub(crate) evaluation: Evaluation,
    pub(crate) rollout: Option<Rollout>,
}

/// A deployment on its way.
pub(crate) struct Rollout {
    deployment: Deployment,
    config: Arc<SyncConfig>,
    patterns: Vec<(SourceId, TablePattern)>,
}

/// What is deployed, and on what.
pub(crate) struct Stage<'a> {
    pub(crate) store: &'a dyn Read,
    pub(crate) sources: &'a [Source],
    pub(crate) given: &'a DeployedConfig,
}

impl Stage<'_> {
    /// Compares the given config with what is stored. What has to be stored for it goes into the batch.
    pub(crate) fn plan(&self, batch: &mut Batch) -> Result<Plan, SinkError> {
        let mut definitions = Definitions::load(self.store)?;
        meaning::renew(self.store, self.sources, &self.given.config, batch)?;
        let serving: Option<ConfigRecord> = meta::read(self.store, meta::SERVING_CONFIG)?;
        let Some(serving) = serving else { return self.first_plan(definitions, batch) };
        let given = fingerprints(&self.given.config);
        self.take_back(&mut definitions, &given, batch)?;
        let served: BTreeSet<u64> =
            definitions.in_phase(Phase::Serving).map(|(_, record)| record.fingerprint).collect();
        self.renew_priorities(&mut definitions, batch)?;
        if served == given {
            if serving != self.given.record {
                meta::put(batch, meta::SERVING_CONFIG, &self.given.record)?;
            }
            batch.delete(Keyspace::Meta, meta::DEPLOYMENT);
            let evaluation = Evaluation { configs: vec![self.numbered(&definitions, &self.given.config, |_| true)] };
            return Ok(Plan { definitions, evaluation, rollout: None });
        }
        let rollout = self.roll_out(&mut definitions, batch)?;
        let old = parse_stored(&serving)?;
        let evaluation = Evaluation {
            configs: vec![
                self.numbered(&definitions, &old, |phase| phase == Phase::Serving),
                self.numbered(&definitions, &self.given.config, |phase| phase == Phase::Deploying),
            ],
        };
        Ok(Plan { definitions, evaluation, rollout: Some(rollout) })
    }

    fn first_plan(&self, mut definitions: Definitions, batch: &mut Batch) -> Result<Plan, SinkError> {
        for definition in self.given.config.definitions() {
            definitions.add(record(definition, Phase::Serving), batch)?;
        }
        meta::put(batch, meta::SERVING_CONFIG, &self.given.record)?;
        let evaluation = Evaluation { configs: vec![self.numbered(&definitions, &self.given.config, |_| true)] };
        Ok(Plan { definitions, evaluation, rollout: None })
    }

    /// Retires what an interrupted deployment has begun and the given config doesn't want.
    fn take_back(
        &self,
        definitions: &mut Definitions,
        given: &BTreeSet<u64>,
        batch: &mut Batch,
    ) -> Result<(), SinkError> {
        let unwanted: Vec<DefinitionId> = definitions
            .in_phase(Phase::Deploying)
            .filter(|(_, record)| !given.contains(&record.fingerprint))
            .map(|(id, _)| id)
            .collect();
        unwanted.into_iter().try_for_each(|id| definitions.change(id, batch, |record| record.phase = Phase::Retired))
    }

    fn renew_priorities(&self, definitions: &mut Definitions, batch: &mut Batch) -> Result<(), SinkError> {
        for definition in self.given.config.definitions() {
            if let Some(id) = definitions.live(definition.fingerprint()) {
                definitions.change(id, batch, |record| record.priority = definition.priority())?;
            }
        }
        Ok(())
    }

    /// Begins a deployment, or goes on with it if it is the one that was interrupted.
    fn roll_out(&self, definitions: &mut Definitions, batch: &mut Batch) -> Result<Rollout, SinkError> {
        let interrupted: Option<Deployment> = meta::read(self.store, meta::DEPLOYMENT)?;
        let mut is_continued = interrupted.is_some();
        for definition in self.given.config.definitions() {
            if definitions.live(definition.fingerprint()).is_none() {
                is_continued = false;
                definitions.add(record(definition, Phase::Deploying), batch)?;
            }
        }
        let patterns = self.patterns_of_new(definitions);
        let pending = match interrupted.filter(|_| is_continued) {
            Some(interrupted) => interrupted.pending,
            None => self.tables_matching(&patterns)?,
        };
        info!(tables = pending.len(), "deploying a changed sync config: tables to be read again");
        let deployment = Deployment { config: self.given.record.clone(), pending };
        meta::put(batch, meta::DEPLOYMENT, &deployment)?;
        Ok(Rollout { deployment, config: Arc::clone(&self.given.config), patterns })
    }

    fn patterns_of_new(&self, definitions: &Definitions) -> Vec<(SourceId, TablePattern)> {
        let is_new = |definition: &&BucketDefinition| {
            let id = definitions.live(definition.fingerprint());
            id.and_then(|id| definitions.phase(id)) == Some(Phase::Deploying)
        };
        let new = self.given.config.definitions().iter().filter(is_new);
        let of_source = |definition: &BucketDefinition, source: &Source| -> Vec<_> {
            definition.patterns(source.scope()).into_iter().map(|pattern| (source.id, pattern)).collect()
        };
        new.flat_map(|definition| self.sources.iter().flat_map(move |source| of_source(definition, source))).collect()
    }

    fn tables_matching(&self, patterns: &[(SourceId, TablePattern)]) -> Result<Vec<PendingTable>, SinkError> {
        let records = meta::table_facts::<TableRecord>(self.store, TableFact::Record)?;
        let concerned = records.into_iter().filter(|(table, record)| matches(patterns, *table, &record.name));
        Ok(concerned.map(|(table, record)| PendingTable { table, generation: record.generation }).collect())
    }

    /// A config with the numbers of those of its definitions that are in a phase.
    fn numbered(
        &self,
        definitions: &Definitions,
        config: &Arc<SyncConfig>,
        is_wanted: impl Fn(Phase) -> bool,
    ) -> NumberedConfig {
        numbered(definitions, config, is_wanted)
    }
}

impl Rollout {
    /// The stored tables of a source that must be read again. A pass that was begun for that already just goes on.
    pub(crate) fn stale(&self, source: SourceId, records: &[TableRecord]) -> Vec<TableName> {
        let is_stale = |record: &&TableRecord| {
            let key = TableKey { source, table: record.id };
            let pending = self.deployment.pending.iter().find(|pending| pending.table == key);
            pending.is_some_and(|pending| record.pass.is_none() || record.generation <= pending.generation)
        };
        records.iter().filter(is_stale).map(|record| record.name.clone()).collect()
    }

    /// The tables that must be read again, as far as they haven't been.
    pub(crate) fn pending(&self) -> &[PendingTable] {
        &self.deployment.pending
    }

    /// Whether a new definition reads the table.
    pub(crate) fn concerns(&self, table: TableKey, name: &TableName) -> bool {
        matches(&self.patterns, table, name)
    }

    /// All stored rows of a table have been evaluated by the new definitions, if their pass had a generation above that
    /// at which the deployment began, or if there are none (without a generation).
    pub(crate) fn settle(
        &mut self,
        table: TableKey,
        generation: Option<u64>,
        batch: &mut Batch,
    ) -> Result<(), SinkError> {
        let before = self.deployment.pending.len();
        let is_settled = |pending: &PendingTable| {
            pending.table == table && generation.is_none_or(|generation| generation > pending.generation)
        };
        self.deployment.pending.retain(|pending| !is_settled(pending));
        if self.deployment.pending.len() == before {
            return Ok(());
        }
        meta::put(batch, meta::DEPLOYMENT, &self.deployment)
    }

    /// Makes the new definitions the ones that readers see. Gives what rows are to be evaluated by from here on, and
    /// what is to be removed.
    pub(crate) fn switch(
        self,
        definitions: &mut Definitions,
        batch: &mut Batch,
    ) -> Result<(Evaluation, Vec<DefinitionId>), SinkError> {
        let wanted = fingerprints(&self.config);
        let old: Vec<DefinitionId> = definitions
            .in_phase(Phase::Serving)
            .filter(|(_, record)| !wanted.contains(&record.fingerprint))
            .map(|(id, _)| id)
            .collect();
        let new: Vec<DefinitionId> = definitions.in_phase(Phase::Deploying).map(|(id, _)| id).collect();
        for id in &old {
            definitions.change(*id, batch, |record| record.phase = Phase::Retired)?;
        }
        for id in &new {
            definitions.change(*id, batch, |record| record.phase = Phase::Serving)?;
        }
        meta::put(batch, meta::SERVING_CONFIG, &self.deployment.config)?;
        batch.delete(Keyspace::Meta, meta::DEPLOYMENT);
        info!(shown = new.len(), removed = old.len(), "the changed sync config is deployed");
        let evaluation = Evaluation { configs: vec![numbered(definitions, &self.config, |_| true)] };
        Ok((evaluation, old))
    }
}

fn matches(patterns: &[(SourceId, TablePattern)], table: TableKey, name: &TableName) -> bool {
    patterns.iter().any(|(source, pattern)| *source == table.source && pattern.matches(name))
}

fn numbered(definitions: &Definitions, config: &Arc<SyncConfig>, is_wanted: impl Fn(Phase) -> bool) -> NumberedConfig {
    let number = |definition: &BucketDefinition| {
        let id = definitions.live(definition.fingerprint())?;
        definitions.phase(id).filter(|phase| is_wanted(*phase)).map(|_| id)
    };
    NumberedConfig { config: Arc::clone(config), definitions: config.definitions().iter().map(number).collect() }
}

fn fingerprints(config: &SyncConfig) -> BTreeSet<u64> {
    config.definitions().iter().map(BucketDefinition::fingerprint).collect()
}

fn record(definition: &BucketDefinition, phase: Phase) -> DefinitionRecord {
    DefinitionRecord {
        name: definition.name().to_string(),
        fingerprint: definition.fingerprint(),
        priority: definition.priority(),
        phase,
    }
}

fn parse_stored(record: &ConfigRecord) -> Result<Arc<SyncConfig>, SinkError> {
    SyncConfig::parse(&record.text, &record.file).map(Arc::new).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        SinkError::new(
            format!("The sync config that the bucket store was filled by can't be read by this release: {first}"),
            "Use the release that wrote the store, or name an empty directory as the store; the buckets are then \
             filled from the source again",
        )
    })
}
