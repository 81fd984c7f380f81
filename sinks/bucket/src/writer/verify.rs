//! Comparing what is stored with a fresh read, without changing it.
//!
//! Hashes that were stored together with what they describe can't tell whether that is still so. What is compared with
//! is the data in the op log itself, and the entries in the parameter index.

use std::collections::BTreeMap;

use millstream_core::error::SinkError;
use millstream_core::sink::DifferenceKind;
use serde_json::Value;

use super::Writer;
use super::matching::Matching;
use super::placing::{DifferencePlace, Differences};
use crate::evaluated::{EvaluatedRows, FreshOutput, FreshRow};
use crate::key::{self, TableKey};
use crate::op::{Op, OpKind};
use crate::row_state::{Lookup, Output, Place, RowState};
use crate::store::Keyspace;
use crate::writer::LOOKUP_PRESENT;

impl Writer {
    /// Compares one row, and stamps it.
    pub(super) fn verify_row(
        &mut self,
        key: TableKey,
        generation: u64,
        rows: &EvaluatedRows,
        row: &FreshRow<'_>,
        address: &[u8],
        stored: Option<&[u8]>,
    ) -> Result<(), SinkError> {
        let state = match stored {
            Some(stored) => RowState::decode(stored)?,
            None => RowState::tombstone(0),
        };
        let mut live = state.clone();
        self.ledger.retain_live(&mut live);
        let mut differences = Differences::default();
        self.compare_outputs(row, address, &live, &mut differences)?;
        self.compare_lookups(row, address, &live, &mut differences)?;
        self.note_differences(key, generation, Some(&rows.schema), row.key, &differences)?;
        if stored.is_some() {
            self.ledger.set_row(address, Some(RowState { generation, ..state }.encode()));
        }
        Ok(())
    }

    fn compare_outputs(
        &mut self,
        row: &FreshRow<'_>,
        address: &[u8],
        state: &RowState<'_>,
        differences: &mut Differences,
    ) -> Result<(), SinkError> {
        let mut seen = vec![false; state.outputs.len()];
        let mut matching = Matching::new(&state.outputs);
        for fresh in
            row.outputs().filter(|output| self.ledger.definitions.is_live(output.definition)).collect::<Vec<_>>()
        {
            let slot = self.ledger.bucket(fresh.definition, fresh.bucket)?;
            let wanted = self.ledger.wanted(slot, &fresh)?;
            let bucket = wanted.bucket;
            let kind = match matching.find(&wanted).and_then(|at| Some((at, state.outputs.get(at)?))) {
                Some((at, output)) => {
                    if let Some(seen) = seen.get_mut(at) {
                        *seen = true;
                    }
                    self.compare_output(output, &fresh, address)?
                }
                None => Some(DifferenceKind::Missing),
            };
            if let Some(kind) = kind {
                differences.add(kind, || DifferencePlace::Bucket(bucket));
            }
        }
        for (output, _) in state.outputs.iter().zip(seen).filter(|(_, seen)| !seen) {
            differences.add(DifferenceKind::Extra, || DifferencePlace::Bucket(output.bucket));
        }
        Ok(())
    }

    /// Compares the data that clients get with what they should.
    fn compare_output(
        &self,
        output: &Output<'_>,
        fresh: &FreshOutput<'_>,
        address: &[u8],
    ) -> Result<Option<DifferenceKind>, SinkError> {
        let is_same = match output.place {
            Place::Staged { data } => is_same_data(data, fresh.data),
            Place::Log { op_id, .. } => {
                let Some(op) = self.ledger.store.get(Keyspace::Ops, &key::op(output.bucket, op_id))? else {
                    return Ok(Some(DifferenceKind::Missing));
                };
                match Op::decode(&op)?.kind {
                    OpKind::Put { object, data } => is_same_data(data, fresh.data) && object == output.object(address),
                    _ => return Ok(Some(DifferenceKind::Missing)),
                }
            }
        };
        let is_same = is_same && output.content_hash == fresh.content_hash;
        Ok((!is_same).then_some(DifferenceKind::Changed))
    }

    fn compare_lookups(
        &self,
        row: &FreshRow<'_>,
        address: &[u8],
        state: &RowState<'_>,
        differences: &mut Differences,
    ) -> Result<(), SinkError> {
        let place = |lookup: &str| DifferencePlace::Lookup(format!("lookup {lookup}"));
        let mut seen = vec![false; state.lookups.len()];
        let mut matching = Matching::new(&state.lookups);
        for fresh in row.lookups().filter(|lookup| self.ledger.definitions.is_live(lookup.definition)) {
            let wanted = Lookup {
                definition: fresh.definition,
                query: fresh.query,
                lookup: fresh.lookup,
                output: fresh.output,
                op_id: None,
            };
            let found = matching.find(&wanted).and_then(|at| state.lookups.get(at).zip(seen.get_mut(at)));
            let is_there = match found {
                Some((lookup, seen)) => {
                    *seen = true;
                    self.is_in_index(lookup, address)?
                }
                None => false,
            };
            if !is_there {
                differences.add(DifferenceKind::Missing, || place(fresh.lookup));
            }
        }
        for (lookup, _) in state.lookups.iter().zip(seen).filter(|(_, seen)| !seen) {
            differences.add(DifferenceKind::Extra, || place(lookup.lookup));
        }
        Ok(())
    }

    fn is_in_index(&self, lookup: &Lookup<'_>, address: &[u8]) -> Result<bool, SinkError> {
        // Not in the index before the table is visible.
        let Some(op_id) = lookup.op_id else { return Ok(true) };
        let entry =
            key::lookup_entry(key::lookup(lookup.definition, lookup.query, lookup.lookup), address, lookup.output);
        let version = self.ledger.store.get(Keyspace::Lookups, &key::lookup_version(entry, op_id))?;
        Ok(version.as_deref().and_then(<[u8]>::split_first) == Some((&LOOKUP_PRESENT, lookup.output.as_bytes())))
    }
}

/// Whether a client can't tell one row's fields from the other's: it can't tell NULL from absent, nor in what order they
/// are.
fn is_same_data(stored: &str, fresh: &str) -> bool {
    let fields = |text: &str| -> Option<BTreeMap<String, Value>> {
        let fields: BTreeMap<String, Value> = serde_json::from_str(text).ok()?;
        Some(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
    };
    stored == fresh || fields(stored).is_some_and(|stored| Some(stored) == fields(fresh))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_null_and_order_does_not_matter() {
        assert!(is_same_data(r#"{"a":1,"b":"x"}"#, r#"{"b":"x","c":null,"a":1}"#));
        for other in [r#"{"a":1.0,"b":"x"}"#, r#"{"a":"1","b":"x"}"#, r#"{"a":1}"#, "nothing"] {
            assert!(!is_same_data(r#"{"a":1,"b":"x"}"#, other), "{other}");
        }
        assert!(!is_same_data(r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#));
    }
}
