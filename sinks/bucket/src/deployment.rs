//! Replacing one sync config by another without anybody having to download what hasn't changed.
//!
//! Definitions are told apart by the fingerprint of their wording. Those that both configs have keep their buckets. For
//! those that only the new one has, the tables that they read are read again, while rows are evaluated by both: the old
//! ones' buckets stay readable and up to date, the new ones' fill out of sight. What then shows the new ones is in
//! [`rollout`](crate::rollout).
//!
//! How far each definition has come stands in its own record and nowhere else. So a restart goes on where it was, and a
//! third config that comes meanwhile is compared with the definitions that there are, whatever config each is from: it
//! keeps those that it has as well, shown or not, and lets the others go. The configs' texts are kept for the wording
//! only. Which of them a definition is taken from doesn't matter, as the same wording says the same in all.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_core::error::SinkError;
use millstream_core::selection::TablePattern;
use millstream_core::table::TableRecord;
use millstream_sync_config::{BucketDefinition, SyncConfig};
use tracing::info;

use crate::definitions::Definitions;
use crate::evaluation::{Evaluation, Source};
use crate::key::{SourceId, TableKey};
use crate::meaning;
use crate::meta::{self, ConfigRecord, DefinitionRecord, PendingTable, Phase, TableFact};
use crate::record::Malformed;
use crate::rollout::{Configs, FormerConfig, Rollout};
use crate::store::{Batch, Read};

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

/// What is deployed, and on what.
pub(crate) struct Stage<'a> {
    pub(crate) store: &'a dyn Read,
    pub(crate) sources: &'a [Source],
    pub(crate) given: &'a DeployedConfig,
}

/// The tables that a definition reads.
pub(crate) type Reads = Vec<(SourceId, TablePattern)>;

impl Stage<'_> {
    /// Compares the given config with what is stored. What has to be stored for it goes into the batch.
    pub(crate) fn plan(&self, batch: &mut Batch) -> Result<Plan, SinkError> {
        let mut definitions = Definitions::load(self.store)?;
        meaning::renew(self.store, self.sources, &self.given.config, batch)?;
        let newest: Option<ConfigRecord> = meta::read(self.store, meta::SERVING_CONFIG)?;
        let former = match &newest {
            Some(newest) => {
                self.mark(&mut definitions, batch)?;
                let former = self.former(&definitions, newest)?;
                self.begin(&mut definitions, &former, batch)?;
                former
            }
            None if definitions.is_empty() => {
                for definition in self.given.config.definitions() {
                    definitions.add(record(definition, Phase::Serving), batch)?;
                }
                Vec::new()
            }
            None => return Err(Malformed("definitions without a sync config").into()),
        };
        self.renew_priorities(&mut definitions, batch)?;
        if newest.as_ref() != Some(&self.given.record) {
            meta::put(batch, meta::SERVING_CONFIG, &self.given.record)?;
        }
        let mut configs = Configs { given: Arc::clone(&self.given.config), former };
        let evaluation = configs.evaluation(&definitions, batch)?;
        let reads = |definition: &BucketDefinition| self.reads(definition);
        let rollout = Rollout::of(configs, &definitions, reads);
        Ok(Plan { definitions, evaluation, rollout })
    }

    /// Lets go what the given config hasn't got: at once where it isn't shown, else as soon as what comes instead is. What
    /// it has again stays.
    fn mark(&self, definitions: &mut Definitions, batch: &mut Batch) -> Result<(), SinkError> {
        let given = fingerprints(&self.given.config);
        let next = |record: &DefinitionRecord| match (&record.phase, given.contains(&record.fingerprint)) {
            (Phase::Serving, false) => Some(Phase::Leaving),
            (Phase::Leaving, true) => Some(Phase::Serving),
            (Phase::Deploying { .. }, false) => Some(Phase::Retired),
            (Phase::Serving | Phase::Deploying { .. }, true) | (Phase::Leaving, false) | (Phase::Retired, _) => None,
        };
        let changed: Vec<_> = definitions.iter().filter_map(|(id, record)| Some((id, next(record)?))).collect();
        changed.into_iter().try_for_each(|(id, phase)| definitions.change(id, batch, |record| record.phase = phase))
    }

    /// The configs that have the definitions which are leaving.
    fn former(&self, definitions: &Definitions, newest: &ConfigRecord) -> Result<Vec<FormerConfig>, SinkError> {
        let mut missing: BTreeSet<u64> = definitions.leaving().map(|(_, record)| record.fingerprint).collect();
        let older: Vec<ConfigRecord> = meta::read(self.store, meta::FORMER_CONFIGS)?.unwrap_or_default();
        let mut former = Vec::new();
        for record in std::iter::once(newest).chain(&older) {
            if missing.is_empty() {
                break;
            }
            let config = parse_stored(record)?;
            let found = fingerprints(&config);
            missing.retain(|fingerprint| !found.contains(fingerprint));
            former.push(FormerConfig { record: record.clone(), config });
        }
        Ok(former)
    }

    /// Begins to fill in what the given config has and nothing else had.
    fn begin(
        &self,
        definitions: &mut Definitions,
        former: &[FormerConfig],
        batch: &mut Batch,
    ) -> Result<(), SinkError> {
        let tables: Vec<(TableKey, TableRecord)> = meta::table_facts(self.store, TableFact::Record)?;
        let mut to_read = BTreeSet::new();
        for definition in self.given.config.definitions() {
            if definitions.live(definition.fingerprint()).is_some() {
                continue;
            }
            let reads = self.reads(definition);
            let shown = self.predecessor(definition, definitions, former).map_or_else(Vec::new, |old| self.reads(old));
            let concerned = tables.iter().filter(|(table, record)| reads_table(&reads, *table, record));
            let pending: Vec<_> = concerned
                .map(|(table, record)| PendingTable {
                    table: *table,
                    generation: record.generation,
                    has_rows_to_lose: reads_table(&shown, *table, record),
                })
                .collect();
            to_read.extend(pending.iter().map(|pending| pending.table));
            definitions.add(record(definition, Phase::Deploying { pending }), batch)?;
        }
        if !to_read.is_empty() {
            info!(tables = to_read.len(), "deploying a changed sync config: tables to be read again");
        }
        Ok(())
    }

    /// The definition that readers see and whose place a new one takes: the one of the same name. A release that
    /// evaluates otherwise than that which filled it gives it another fingerprint.
    fn predecessor<'a>(
        &self,
        definition: &BucketDefinition,
        definitions: &Definitions,
        former: &'a [FormerConfig],
    ) -> Option<&'a BucketDefinition> {
        let (_, leaving) = definitions.leaving().find(|(_, record)| record.name == definition.name())?;
        let named = || {
            let all = former.iter().flat_map(|former| former.config.definitions());
            all.filter(|former| former.name() == definition.name())
        };
        named().find(|former| former.fingerprint() == leaving.fingerprint).or_else(|| named().next())
    }

    fn renew_priorities(&self, definitions: &mut Definitions, batch: &mut Batch) -> Result<(), SinkError> {
        for definition in self.given.config.definitions() {
            if let Some(id) = definitions.live(definition.fingerprint()) {
                definitions.change(id, batch, |record| record.priority = definition.priority())?;
            }
        }
        Ok(())
    }

    fn reads(&self, definition: &BucketDefinition) -> Reads {
        let of_source = |source: &Source| -> Reads {
            definition.patterns(source.scope()).into_iter().map(|pattern| (source.id, pattern)).collect()
        };
        self.sources.iter().flat_map(of_source).collect()
    }
}

pub(crate) fn reads_table(reads: &Reads, table: TableKey, record: &TableRecord) -> bool {
    reads.iter().any(|(source, pattern)| *source == table.source && pattern.matches(&record.name))
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
