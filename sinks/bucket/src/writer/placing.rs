//! From a row's fresh outputs to ops: only what differs from what is stored is written.

use std::collections::HashSet;

use millstream_core::error::SinkError;
use millstream_core::sink::{DIFFERENCES_SHOWN_MAX, DifferenceKind};

use super::adoption::Adopting;
use super::buckets::Slot;
use super::ledger::{Ledger, Put};
use super::matching::Matching;
use crate::evaluated::{FreshLookup, FreshOutput, FreshRow};
use crate::key::BucketId;
use crate::op::ObjectRef;
use crate::record::Malformed;
use crate::row_state::{Lookup, Output, Place, RowState};

/// How many differences of one row are spelt out at most; all are counted.
pub(super) const SPELT_OUT_MAX: usize = DIFFERENCES_SHOWN_MAX;

/// How a row is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placing<'a> {
    pub(super) address: &'a [u8],
    pub(super) generation: u64,
    /// Whether new objects are kept out of the buckets for now.
    pub(super) is_staged: bool,
    /// Whether a row that goes nowhere leaves a tombstone.
    pub(super) leaves_tombstone: bool,
    /// Whether it goes by the load: nothing is stored of it, nothing is pending, and readers see nothing yet.
    pub(super) is_loaded: bool,
    /// Where it takes over what rows of former identities have left behind.
    pub(super) adopting: Adopting<'a>,
    /// Whether only some of its outputs are told yet: what else is stored of it stays as it is, its stamp included, as
    /// if nothing had been written.
    pub(super) is_partial: bool,
    /// How many of its differences are spelt out.
    pub(super) spelt_out_max: usize,
}

impl<'a> Placing<'a> {
    /// For a row that is taken out for good.
    pub(super) fn removal(address: &'a [u8], generation: u64) -> Self {
        Self {
            address,
            generation,
            is_staged: false,
            leaves_tombstone: false,
            is_loaded: false,
            adopting: Adopting::Nothing,
            is_partial: false,
            spelt_out_max: SPELT_OUT_MAX,
        }
    }
}

/// What writing a row came to.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) ops: u64,
    /// Whether the row was stored before, and is now; tombstones don't count.
    pub(super) was_stored: bool,
    pub(super) is_stored: bool,
    /// How many rows of former identities have nothing left and aren't stored any more.
    pub(super) emptied: u64,
    pub(super) differences: Differences,
}

impl Placed {
    /// Adds what was written of the row, and counted, before.
    pub(super) fn add(&mut self, begun: Option<Placed>) {
        let Some(begun) = begun else { return };
        self.ops += begun.ops;
        self.differences.total += begun.differences.total;
        self.differences.first.extend(begun.differences.first);
    }
}

/// Where the outcome differs from what was stored.
#[derive(Debug)]
pub(super) struct Differences {
    pub(super) total: u64,
    spelt_out_max: usize,
    pub(super) first: Vec<(DifferenceKind, DifferencePlace)>,
}

#[derive(Debug)]
pub(super) enum DifferencePlace {
    Bucket(BucketId),
    Lookup(String),
}

impl Default for Differences {
    fn default() -> Self {
        Self::spelling_out(SPELT_OUT_MAX)
    }
}

impl Differences {
    pub(super) fn spelling_out(spelt_out_max: usize) -> Self {
        Self { total: 0, spelt_out_max, first: Vec::new() }
    }

    pub(super) fn add(&mut self, kind: DifferenceKind, place: impl FnOnce() -> DifferencePlace) {
        self.total += 1;
        if self.first.len() < self.spelt_out_max {
            self.first.push((kind, place()));
        }
    }
}

impl Ledger {
    /// Makes a row what `fresh` says; without it the row goes nowhere.
    pub(super) fn place(
        &mut self,
        placing: Placing<'_>,
        stored: Option<&[u8]>,
        fresh: Option<&FreshRow<'_>>,
    ) -> Result<Placed, SinkError> {
        let mut before = match stored {
            Some(stored) => RowState::decode(stored)?,
            None => RowState::tombstone(0),
        };
        let mut placed = Placed {
            was_stored: !before.is_tombstone(),
            differences: Differences::spelling_out(placing.spelt_out_max),
            ..Placed::default()
        };
        let op_before = self.last_op();
        self.retain_live(&mut before);
        let adopted = match fresh {
            Some(fresh) if !matches!(placing.adopting, Adopting::Nothing) => {
                self.adopt_all(placing, &before, fresh, &mut placed)?
            }
            _ => Vec::new(),
        };
        let mut after = RowState::tombstone(placing.generation);
        let mut kept = vec![false; before.outputs.len()];
        let mut matching = Matching::new(&before.outputs);
        for (index, output) in fresh.into_iter().flat_map(FreshRow::outputs).enumerate() {
            if !self.definitions.is_live(output.definition) {
                continue;
            }
            let slot = self.bucket(output.definition, output.bucket)?;
            let wanted = self.wanted(slot, &output)?;
            let found = matching.find(&wanted);
            if let Some(kept) = found.and_then(|at| kept.get_mut(at)) {
                *kept = true;
            }
            let come_over = adopted.get(index).and_then(Option::as_ref).map(|adopted| adopted.output(&wanted));
            let old = found.and_then(|at| before.outputs.get(at)).copied().or(come_over);
            let place = self.place_output(placing, slot, &wanted, output.data, old, &mut placed)?;
            after.outputs.push(Output { place, ..wanted });
        }
        let others = before.outputs.iter().zip(&kept).filter(|(_, kept)| !**kept).map(|(output, _)| output);
        if placing.is_partial {
            after.generation = before.generation;
            after.outputs.extend(others);
            after.lookups.clone_from(&before.lookups);
        } else {
            for output in others {
                self.remove_output(placing.address, output, &mut placed)?;
            }
            let fresh_lookups = fresh.into_iter().flat_map(FreshRow::lookups);
            after.lookups = self.place_lookups(placing, &before, fresh_lookups, &mut placed);
        }
        placed.is_stored = !after.is_tombstone();
        if placing.is_loaded && !after.is_tombstone() {
            self.load_state(placing.address, &after, op_before + 1);
        } else {
            self.keep_state(placing, stored, &before, &after);
        }
        Ok(placed)
    }

    /// Drops what belongs to definitions that are gone: it is removed as a whole, by the definition.
    pub(super) fn retain_live(&self, state: &mut RowState<'_>) {
        state.outputs.retain(|output| self.definitions.is_live(output.bucket.definition));
        state.lookups.retain(|lookup| self.definitions.is_live(lookup.definition));
    }

    pub(super) fn wanted<'a>(&self, slot: Slot, output: &FreshOutput<'a>) -> Result<Output<'a>, SinkError> {
        Ok(Output {
            bucket: self.buckets.id(slot).ok_or(Malformed("a bucket"))?,
            object_type: output.object_type,
            object_id: output.object_id,
            content_hash: output.content_hash,
            place: Place::Staged { data: output.data },
        })
    }

    /// Puts one object where it belongs, unless it is there. Gives its place.
    fn place_output<'a>(
        &mut self,
        placing: Placing<'_>,
        slot: Slot,
        wanted: &Output<'a>,
        data: &'a str,
        old: Option<Output<'a>>,
        placed: &mut Placed,
    ) -> Result<Place<'a>, SinkError> {
        let kind = match old {
            Some(old) if old.content_hash == wanted.content_hash => None,
            Some(_) => Some(DifferenceKind::Changed),
            None => Some(DifferenceKind::Missing),
        };
        if let Some(kind) = kind {
            placed.differences.add(kind, || DifferencePlace::Bucket(wanted.bucket));
        }
        match old.map(|old| old.place) {
            // What is in the log already stays there, whatever happened to the table since.
            Some(place @ Place::Log { .. }) if kind.is_none() => return Ok(place),
            None | Some(Place::Staged { .. }) if placing.is_staged => {
                // The op that it becomes when the table is shown, after its pass has been reported.
                placed.ops += u64::from(kind.is_some());
                return Ok(Place::Staged { data });
            }
            _ => {}
        }
        let (is_new, origin) = match old.map(|old| old.place) {
            Some(Place::Log { origin, .. }) => (false, origin),
            Some(Place::Staged { .. }) | None => (true, None),
        };
        let row = origin.unwrap_or(placing.address);
        let object = ObjectRef { object_type: wanted.object_type, object_id: wanted.object_id, row };
        let put = Put { is_new, is_loaded: placing.is_loaded };
        placed.ops += 1;
        let op_id = self.put_object(slot, object, data, wanted.content_hash, put)?;
        Ok(Place::Log { op_id, origin })
    }

    fn remove_output(&mut self, address: &[u8], output: &Output<'_>, placed: &mut Placed) -> Result<(), SinkError> {
        placed.differences.add(DifferenceKind::Extra, || DifferencePlace::Bucket(output.bucket));
        if let Place::Log { .. } = output.place {
            let slot = self.bucket_numbered(output.bucket)?;
            self.remove_object(slot, output.object(address))?;
            self.disown(output);
            placed.ops += 1;
        }
        Ok(())
    }

    fn place_lookups<'a>(
        &mut self,
        placing: Placing<'_>,
        before: &RowState<'_>,
        fresh: impl Iterator<Item = FreshLookup<'a>>,
        placed: &mut Placed,
    ) -> Vec<Lookup<'a>> {
        let mut after: Vec<Lookup<'a>> = Vec::new();
        let mut entries = HashSet::new();
        let mut matching = Matching::new(&before.lookups);
        for fresh in fresh {
            let FreshLookup { definition, query, lookup, output } = fresh;
            let mut wanted = Lookup { definition, query, lookup, output, op_id: None };
            if !self.definitions.is_live(definition) || !entries.insert(wanted.entry()) {
                continue;
            }
            let old = matching.find(&wanted).and_then(|at| before.lookups.get(at));
            if old.is_none() {
                placed.differences.add(DifferenceKind::Missing, || lookup_place(&wanted));
            }
            wanted.op_id = match old.and_then(|old| old.op_id) {
                Some(op_id) => Some(op_id),
                None if placing.is_staged => None,
                None => Some(self.add_lookup(&wanted, placing.address)),
            };
            after.push(wanted);
        }
        for old in &before.lookups {
            if !entries.contains(&old.entry()) {
                placed.differences.add(DifferenceKind::Extra, || lookup_place(old));
                self.remove_lookup(old, placing.address);
            }
        }
        after
    }

    fn keep_state(&mut self, placing: Placing<'_>, stored: Option<&[u8]>, before: &RowState<'_>, after: &RowState<'_>) {
        if after.is_tombstone() && !placing.leaves_tombstone {
            if stored.is_some() {
                self.set_row(placing.address, None);
            }
        } else if stored.is_none() || before != after {
            self.set_row(placing.address, Some(after.encode()));
        }
    }
}

fn lookup_place(lookup: &Lookup<'_>) -> DifferencePlace {
    DifferencePlace::Lookup(format!("lookup {}", lookup.lookup))
}
