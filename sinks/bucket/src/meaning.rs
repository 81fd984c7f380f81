//! Which tables the definitions' queries meant when their buckets were filled.
//!
//! A query may name a table without its source or schema, and then the configuration of sources says which is meant. If
//! that says otherwise one day, the wording of a definition is still the same, but its buckets are filled from other
//! tables. That isn't a deployment, which goes by the wording, so it is refused.

use std::collections::BTreeMap;

use millstream_core::error::SinkError;
use millstream_core::selection::TablePattern;
use millstream_sync_config::{BucketDefinition, SyncConfig};

use crate::evaluation::Source;
use crate::meta;
use crate::store::{Batch, Read};

/// The tables by the definition's fingerprint and the source's name.
type Meanings = BTreeMap<u64, BTreeMap<String, Vec<(String, String)>>>;

/// Stores what a config means now.
///
/// # Errors
///
/// If a definition that has been filled means other tables of a source that was there before.
pub(crate) fn renew(
    store: &dyn Read,
    sources: &[Source],
    config: &SyncConfig,
    batch: &mut Batch,
) -> Result<(), SinkError> {
    let before: Meanings = meta::read(store, meta::MEANINGS)?.unwrap_or_default();
    let mut now = Meanings::new();
    for definition in config.definitions() {
        let tables: BTreeMap<_, _> =
            sources.iter().map(|source| (source.name.clone(), tables(definition, source))).collect();
        if let Some(before) = before.get(&definition.fingerprint()) {
            let differing =
                tables.iter().find(|(source, tables)| before.get(*source).is_some_and(|old| old != *tables));
            if let Some((source, _)) = differing {
                return Err(refused(definition.name(), source));
            }
        }
        now.insert(definition.fingerprint(), tables);
    }
    if now != before {
        meta::put(batch, meta::MEANINGS, &now)?;
    }
    Ok(())
}

fn tables(definition: &BucketDefinition, source: &Source) -> Vec<(String, String)> {
    let name = |pattern: TablePattern| (pattern.schema, pattern.table);
    definition.patterns(source.scope()).into_iter().map(name).collect()
}

fn refused(definition: &str, source: &str) -> SinkError {
    SinkError::new(
        format!(
            "The tables that `{definition}` of the sync config names mean others of source {source} than those that its \
             buckets were filled from: the order of the sources or a default database has changed"
        ),
        format!(
            "Name them with their database, and with their source where there are several, or give the definition \
             another name than `{definition}`: either deploys it anew. Or put the sources back as they were"
        ),
    )
}
