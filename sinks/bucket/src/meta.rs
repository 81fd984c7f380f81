//! The small records about the whole, as JSON: few, rarely written, and readable with any tool.

use std::collections::BTreeMap;

use millstream_core::error::SinkError;
use millstream_core::position::Position;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::key::{DefinitionId, SourceId, TableKey};
use crate::record::Malformed;
use crate::store::{Batch, Direction, KeyRange, Keyspace, Read};

pub(crate) const SEQUENCE: &[u8] = b"sequence";
pub(crate) const CHECKPOINT: &[u8] = b"checkpoint";
/// The newest sync config: readers see its definitions, or will.
pub(crate) const SERVING_CONFIG: &[u8] = b"config/serving";
/// Older ones, while readers see a definition of theirs that the newest hasn't.
pub(crate) const FORMER_CONFIGS: &[u8] = b"config/former";
/// Which tables the definitions' queries mean.
pub(crate) const MEANINGS: &[u8] = b"config/meanings";

const SOURCE: &[u8] = b"source/";
const DEFINITION: &[u8] = b"definition/";

/// What exists once for each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableFact {
    /// The table's record.
    Record,
    /// How many rows are stored.
    Rows,
    /// What the pass has done so far.
    Tally,
    /// The differences that the pass has found so far.
    Differences,
    /// Present while a sweep is removing rows: its generation.
    Sweeping,
    /// Present while staged rows are being published.
    Publishing,
    /// Present from when a table is taken out of the buckets before anybody has seen it there, until it is shown.
    Withdrawn,
    /// Under which identity the rows are filed.
    Filing,
}

impl TableFact {
    pub(crate) fn prefix(self) -> &'static [u8] {
        match self {
            TableFact::Record => b"table/",
            TableFact::Rows => b"rows/",
            TableFact::Tally => b"tally/",
            TableFact::Differences => b"differences/",
            TableFact::Sweeping => b"sweeping/",
            TableFact::Publishing => b"publishing/",
            TableFact::Withdrawn => b"withdrawn/",
            TableFact::Filing => b"filing/",
        }
    }

    pub(crate) const ALL: [TableFact; 8] = [
        TableFact::Record,
        TableFact::Rows,
        TableFact::Tally,
        TableFact::Differences,
        TableFact::Sweeping,
        TableFact::Publishing,
        TableFact::Withdrawn,
        TableFact::Filing,
    ];

    pub(crate) fn key(self, table: TableKey) -> Vec<u8> {
        [self.prefix(), &table.bytes()].concat()
    }
}

pub(crate) fn source_key(name: &str) -> Vec<u8> {
    [SOURCE, name.as_bytes()].concat()
}

pub(crate) fn definition_key(id: DefinitionId) -> Vec<u8> {
    [DEFINITION, &id.0.to_be_bytes()].concat()
}

/// The numbers given out so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) last_op: u64,
    pub(crate) last_bucket: u32,
}

/// What is stored about a source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SourceRecord {
    pub(crate) id: SourceId,
    pub(crate) position: Option<Position>,
    /// When the last transaction up to there was committed, by the source's clock.
    pub(crate) committed_at_ms: i64,
    /// Whether parts of a transaction after that position have been stored already.
    pub(crate) has_open_transaction: bool,
    /// How many times it has been restored.
    pub(crate) incarnation: u32,
}

/// A consistent state for readers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// It contains the ops up to this one.
    pub op_id: u64,
    /// What it contains of each source.
    pub positions: BTreeMap<String, Position>,
    /// When it was made, in milliseconds since 1970 (UTC), by this machine's clock.
    pub time_ms: i64,
}

/// A sync config as it was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfigRecord {
    pub(crate) file: String,
    pub(crate) text: String,
}

/// A table that must be read again before a definition can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingTable {
    pub(crate) table: TableKey,
    /// Only a pass with a larger generation counts: one with this has evaluated rows without the definition.
    pub(crate) generation: u64,
    /// Whether the definition whose place is taken reads the table, too, so that readers may see rows of it.
    pub(crate) has_rows_to_lose: bool,
}

/// A definition in one wording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DefinitionRecord {
    pub(crate) name: String,
    #[serde(with = "hexadecimal")]
    pub(crate) fingerprint: u64,
    pub(crate) priority: u8,
    pub(crate) phase: Phase,
}

/// How far a definition has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Its buckets are being filled and not visible yet.
    Deploying {
        /// The tables that it hasn't evaluated to the end.
        pending: Vec<PendingTable>,
    },
    /// Readers see its buckets.
    Serving,
    /// Readers see its buckets until another takes its place: the newest sync config hasn't got it any more.
    Leaving,
    /// Nobody sees its buckets any more, they are being removed.
    Retired,
}

/// The value of a key.
pub(crate) fn read<T: DeserializeOwned>(from: &dyn Read, key: &[u8]) -> Result<Option<T>, SinkError> {
    match from.get(Keyspace::Meta, key)? {
        Some(bytes) => Ok(Some(parse(&bytes)?)),
        None => Ok(None),
    }
}

/// Sets the value of a key.
pub(crate) fn put<T: Serialize>(batch: &mut Batch, key: &[u8], value: &T) -> Result<(), SinkError> {
    let bytes = json(value)?;
    batch.put(Keyspace::Meta, key, &bytes);
    Ok(())
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, SinkError> {
    serde_json::to_vec(value).map_err(|error| {
        SinkError::new(format!("A record for the bucket store can't be written: {error}"), "Report this as a defect")
    })
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SinkError> {
    serde_json::from_slice(bytes).map_err(|_| Malformed("a record about the whole").into())
}

/// All sources ever followed, with their names.
pub(crate) fn sources(from: &dyn Read) -> Result<Vec<(String, SourceRecord)>, SinkError> {
    let mut sources = Vec::new();
    for pair in from.scan(Keyspace::Meta, &KeyRange::prefix(SOURCE), Direction::Forward) {
        let (key, value) = pair?;
        let name = key.get(SOURCE.len()..).unwrap_or_default();
        sources.push((String::from_utf8_lossy(name).into_owned(), parse(&value)?));
    }
    Ok(sources)
}

/// All definitions that are not entirely removed.
pub(crate) fn definitions(from: &dyn Read) -> Result<Vec<(DefinitionId, DefinitionRecord)>, SinkError> {
    let mut definitions = Vec::new();
    for pair in from.scan(Keyspace::Meta, &KeyRange::prefix(DEFINITION), Direction::Forward) {
        let (key, value) = pair?;
        let id = key.last_chunk().ok_or(Malformed("a definition's key"))?;
        definitions.push((DefinitionId(u32::from_be_bytes(*id)), parse(&value)?));
    }
    Ok(definitions)
}

/// One fact about every table that has it.
pub(crate) fn table_facts<T: DeserializeOwned>(
    from: &dyn Read,
    fact: TableFact,
) -> Result<Vec<(TableKey, T)>, SinkError> {
    let mut facts = Vec::new();
    for pair in from.scan(Keyspace::Meta, &KeyRange::prefix(fact.prefix()), Direction::Forward) {
        let (key, value) = pair?;
        let table = TableKey::of(key.get(fact.prefix().len()..).unwrap_or_default())?;
        facts.push((table, parse(&value)?));
    }
    Ok(facts)
}

/// JSON numbers end at 2^53 for many readers.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        u64::from_str_radix(&String::deserialize(deserializer)?, 16).map_err(D::Error::custom)
    }
}
