//! The definitions whose buckets are in the store, each wording by itself.

use std::collections::BTreeMap;

use millstream_core::error::SinkError;
use millstream_core::schema::TableName;
use millstream_core::table::TableRecord;

use crate::key::{DefinitionId, SourceId, TableKey};
use crate::meta::{self, DefinitionRecord, PendingTable, Phase};
use crate::store::{Batch, Keyspace, Read};

/// All that aren't entirely removed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definitions {
    records: BTreeMap<DefinitionId, DefinitionRecord>,
    last_id: u32,
}

/// The key of the largest number given out, so that none is ever given out again.
const LAST_ID: &[u8] = b"last_definition";

impl Definitions {
    pub(crate) fn load(from: &dyn Read) -> Result<Definitions, SinkError> {
        let last_id = meta::read(from, LAST_ID)?.unwrap_or(0);
        Ok(Definitions { records: meta::definitions(from)?.into_iter().collect(), last_id })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether anything is written for it.
    pub(crate) fn is_live(&self, id: DefinitionId) -> bool {
        self.records.get(&id).is_some_and(|record| record.phase != Phase::Retired)
    }

    /// What a definition is called; `None` if it is gone.
    pub(crate) fn name(&self, id: DefinitionId) -> Option<&str> {
        self.records.get(&id).map(|record| record.name.as_str())
    }

    /// The live definition of a wording.
    pub(crate) fn live(&self, fingerprint: u64) -> Option<DefinitionId> {
        let is_it = |record: &DefinitionRecord| record.fingerprint == fingerprint && record.phase != Phase::Retired;
        self.records.iter().find(|(_, record)| is_it(record)).map(|(id, _)| *id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DefinitionId, &DefinitionRecord)> {
        self.records.iter().map(|(id, record)| (*id, record))
    }

    /// Those that readers see. No two have the same name.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (DefinitionId, &DefinitionRecord)> {
        self.iter().filter(|(_, record)| matches!(record.phase, Phase::Serving | Phase::Leaving))
    }

    /// Those that readers see until others take their place.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = (DefinitionId, &DefinitionRecord)> {
        self.iter().filter(|(_, record)| record.phase == Phase::Leaving)
    }

    /// Those that are being filled in, with the tables that they haven't evaluated to the end.
    pub(crate) fn deploying(&self) -> impl Iterator<Item = (DefinitionId, &DefinitionRecord, &[PendingTable])> {
        self.iter().filter_map(|(id, record)| match &record.phase {
            Phase::Deploying { pending } => Some((id, record, pending.as_slice())),
            Phase::Serving | Phase::Leaving | Phase::Retired => None,
        })
    }

    /// The stored tables of a source that must be read again. A pass that was begun for that already just goes on.
    pub(crate) fn stale(&self, source: SourceId, records: &[TableRecord]) -> Vec<TableName> {
        let is_stale = |record: &&TableRecord| {
            let key = TableKey { source, table: record.id };
            let is_behind = |pending: &PendingTable| record.pass.is_none() || record.generation <= pending.generation;
            let mut pending = self.deploying().flat_map(|(_, _, pending)| pending);
            pending.any(|pending| pending.table == key && is_behind(pending))
        };
        records.iter().filter(is_stale).map(|record| record.name.clone()).collect()
    }

    /// All stored rows of a table have been evaluated by all live definitions, in a pass of this generation, or because
    /// there are none (without a generation).
    pub(crate) fn settle(
        &mut self,
        table: TableKey,
        generation: Option<u64>,
        batch: &mut Batch,
    ) -> Result<(), SinkError> {
        let is_settled = |pending: &PendingTable| {
            pending.table == table && generation.is_none_or(|generation| generation > pending.generation)
        };
        let deploying = self.deploying().filter(|(_, _, pending)| pending.iter().any(is_settled));
        for id in deploying.map(|(id, ..)| id).collect::<Vec<_>>() {
            self.change(id, batch, |record| {
                if let Phase::Deploying { pending } = &mut record.phase {
                    pending.retain(|pending| !is_settled(pending));
                }
            })?;
        }
        Ok(())
    }

    /// Adds a definition in a new wording.
    pub(crate) fn add(&mut self, record: DefinitionRecord, batch: &mut Batch) -> Result<DefinitionId, SinkError> {
        self.last_id += 1;
        let id = DefinitionId(self.last_id);
        meta::put(batch, LAST_ID, &self.last_id)?;
        meta::put(batch, &meta::definition_key(id), &record)?;
        self.records.insert(id, record);
        Ok(id)
    }

    /// Changes what is known about a definition.
    pub(crate) fn change(
        &mut self,
        id: DefinitionId,
        batch: &mut Batch,
        change: impl FnOnce(&mut DefinitionRecord),
    ) -> Result<(), SinkError> {
        let Some(record) = self.records.get_mut(&id) else { return Ok(()) };
        let before = record.clone();
        change(record);
        if *record != before {
            meta::put(batch, &meta::definition_key(id), record)?;
        }
        Ok(())
    }

    /// Forgets a definition of which nothing is left.
    pub(crate) fn remove(&mut self, id: DefinitionId, batch: &mut Batch) {
        self.records.remove(&id);
        batch.delete(Keyspace::Meta, &meta::definition_key(id));
    }
}
