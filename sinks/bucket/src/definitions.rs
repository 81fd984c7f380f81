//! The definitions whose buckets are in the store, each wording by itself.

use std::collections::BTreeMap;

use millstream_core::error::SinkError;

use crate::key::DefinitionId;
use crate::meta::{self, DefinitionRecord, Phase};
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

    /// How far a definition has come; `None` if it is gone.
    pub(crate) fn phase(&self, id: DefinitionId) -> Option<Phase> {
        self.records.get(&id).map(|record| record.phase)
    }

    /// Whether anything is written for it.
    pub(crate) fn is_live(&self, id: DefinitionId) -> bool {
        matches!(self.phase(id), Some(Phase::Serving | Phase::Deploying))
    }

    /// Whether readers see it.
    pub(crate) fn is_serving(&self, id: DefinitionId) -> bool {
        self.phase(id) == Some(Phase::Serving)
    }

    /// The live definition of a wording.
    pub(crate) fn live(&self, fingerprint: u64) -> Option<DefinitionId> {
        let is_it = |record: &DefinitionRecord| record.fingerprint == fingerprint && record.phase != Phase::Retired;
        self.records.iter().find(|(_, record)| is_it(record)).map(|(id, _)| *id)
    }

    pub(crate) fn in_phase(&self, phase: Phase) -> impl Iterator<Item = (DefinitionId, &DefinitionRecord)> {
        self.records.iter().filter(move |(_, record)| record.phase == phase).map(|(id, record)| (*id, record))
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
