//! Objects that come over from rows of a former identity.
//!
//! When a table's identity changes, most of its rows give the same objects as before. They are other rows to the store,
//! as other columns name them, but no client should notice: a row that has no object of its own takes over the one that
//! a row of a former identity has left behind, with its op. If only the content differs, one op puts it, under the
//! address that the object's ops have always told.
//!
//! # Why nothing is lost or doubled
//!
//! An object in a bucket belongs to exactly one row's state at any time: taking it over removes it from the one state
//! and adds it to the other, in one batch. So the sweep, which removes what the states of unread rows still have,
//! removes exactly what nobody has taken over; and after a crash in the middle the objects taken over so far are found
//! with their new rows, the others with their old ones. Where to look is told by the row itself, if the columns of the
//! former key are still there as they were ([`crate::former_keys`]), or else by a list of all objects; whether an object
//! is still there is told by the state. Two objects never tell the same address in the same bucket: no
//! row gets an address of a former identity, so whatever tells one has come over.
//!
//! By its former key a row finds what it has put itself. If that key's values have changed since the table's identity did,
//! it is another row, as it would have been before: it puts its own object, and the sweep removes the one that is left.
//!
//! By the list it matters which object a row takes over where several rows left the same one (same bucket, type and id)
//! behind. One of the same content is as good as any other. If none is, and there are several, the row takes none, as the
//! rows that they belong to may come yet.

use std::sync::Arc;

use millstream_core::error::SinkError;

use super::ledger::Ledger;
use super::matching::Matching;
use super::placing::{Placed, Placing};
use crate::evaluated::{EvaluatedRows, FreshRow};
use crate::key::{self, BucketId, IdentityNumber, TableKey};
use crate::op::ObjectRef;
use crate::row_state::{Output, Place, RowState};
use crate::store::{Direction, KeyRange, Keyspace};

/// How many rows that are listed with an object are looked at. Those that are found to have lost it are taken off the
/// list, so there are more only if as many have lost it with one batch.
const LISTED_LOOKED_AT_MAX: usize = 64;

/// How a slice of rows is filed.
#[derive(Debug, Default)]
pub(super) struct Filed {
    pub(super) identity: IdentityNumber,
    pub(super) finding: Finding,
}

/// How the objects are found that rows of former identities have left.
#[derive(Debug, Default)]
pub(super) enum Finding {
    /// There are none, or nobody takes them over.
    #[default]
    Nothing,
    /// The rows tell under which keys they were filed: by which identity, and which of the keys that they tell.
    ByFormerKeys(Vec<(IdentityNumber, usize)>),
    /// All of them are listed.
    ByList,
}

/// Where the objects are that a row takes over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Adopting<'a> {
    Nothing,
    /// With the rows of these addresses, which are the same row.
    From(&'a [Vec<u8>]),
    /// With the rows that are listed with the object.
    ByList,
}

impl Filed {
    /// The addresses under which a row was filed before, the newest first.
    pub(super) fn former_addresses(&self, table: TableKey, rows: &EvaluatedRows, row: usize, into: &mut Vec<Vec<u8>>) {
        into.clear();
        let Finding::ByFormerKeys(former) = &self.finding else { return };
        into.extend(former.iter().filter_map(|(identity, told)| {
            let key = rows.former_key(*told, row)?;
            Some([&table.filed(*identity), key].concat())
        }));
    }

    /// Where a row of these addresses takes objects over from.
    pub(super) fn adopting<'a>(&self, former: &'a [Vec<u8>]) -> Adopting<'a> {
        match self.finding {
            Finding::Nothing => Adopting::Nothing,
            Finding::ByFormerKeys(_) => Adopting::From(former),
            Finding::ByList => Adopting::ByList,
        }
    }
}

/// An object that has come over.
pub(super) struct Adopted {
    op_id: u64,
    content_hash: u64,
    /// The address that its ops tell.
    origin: Vec<u8>,
}

/// A row of a former identity that still has an object.
struct LeftRow {
    address: Vec<u8>,
    state: Vec<u8>,
}

impl Adopted {
    /// What it is to the row that has it now.
    pub(super) fn output<'a>(&'a self, wanted: &Output<'a>) -> Output<'a> {
        let place = Place::Log { op_id: self.op_id, origin: Some(&self.origin) };
        Output { content_hash: self.content_hash, place, ..*wanted }
    }
}

impl Ledger {
    /// Takes over, for each output of a row that it doesn't have yet, what is left behind of it.
    pub(super) fn adopt_all(
        &mut self,
        placing: Placing<'_>,
        before: &RowState<'_>,
        fresh: &FreshRow<'_>,
        placed: &mut Placed,
    ) -> Result<Vec<Option<Adopted>>, SinkError> {
        let table = TableKey::of(placing.address)?;
        let mut all = Vec::new();
        let mut matching = Matching::new(&before.outputs);
        for output in fresh.outputs() {
            let mut adopted = None;
            if self.definitions.is_live(output.definition) {
                let slot = self.bucket(output.definition, output.bucket)?;
                let wanted = self.wanted(slot, &output)?;
                if matching.find(&wanted).is_none()
                    && let Some(from) = self.find_left(table, placing.adopting, &wanted)?
                {
                    adopted = self.adopt(placing.address, &from, &wanted, placed)?;
                }
            }
            all.push(adopted);
        }
        Ok(all)
    }

    /// The row that has left an object behind which another should take over.
    fn find_left(
        &mut self,
        table: TableKey,
        adopting: Adopting<'_>,
        wanted: &Output<'_>,
    ) -> Result<Option<LeftRow>, SinkError> {
        match adopting {
            Adopting::Nothing => Ok(None),
            Adopting::From(former) => self.find_among(former, wanted),
            Adopting::ByList => self.find_listed(table, wanted),
        }
    }

    /// The first of some rows that has an object.
    fn find_among(&self, addresses: &[Vec<u8>], wanted: &Output<'_>) -> Result<Option<LeftRow>, SinkError> {
        for address in addresses {
            if let Some(state) = self.row(address)?
                && has_adoptable(&RowState::decode(&state)?, wanted)
            {
                return Ok(Some(LeftRow { address: address.clone(), state }));
            }
        }
        Ok(None)
    }

    fn find_listed(&mut self, table: TableKey, wanted: &Output<'_>) -> Result<Option<LeftRow>, SinkError> {
        let object = key::left_object(table, wanted.bucket, wanted.object_type, wanted.object_id);
        let equal = key::left_content(object.clone(), wanted.content_hash);
        if let Some(found) = self.listed(&equal, wanted, 1)?.pop() {
            return Ok(Some(found));
        }
        let mut others = self.listed(&object, wanted, 2)?;
        Ok(if others.len() == 1 { others.pop() } else { None })
    }

    /// Rows among those listed with an object that still have it, `found_max` at most.
    fn listed(&mut self, prefix: &[u8], wanted: &Output<'_>, found_max: usize) -> Result<Vec<LeftRow>, SinkError> {
        let mut found = Vec::new();
        let store = Arc::clone(&self.store);
        let scan = store.scan(Keyspace::Lookups, &KeyRange::prefix(prefix), Direction::Forward);
        for pair in scan.take(LISTED_LOOKED_AT_MAX) {
            let (listed, _) = pair?;
            let address = key::left_row(&listed)?;
            let state = self.row(address)?;
            match state {
                Some(state) if has_adoptable(&RowState::decode(&state)?, wanted) => {
                    found.push(LeftRow { address: address.to_vec(), state });
                }
                _ => self.batch.delete(Keyspace::Lookups, &listed),
            }
            if found.len() == found_max {
                break;
            }
        }
        Ok(found)
    }

    /// Takes an object out of the state of the row that has it, and notes who has it now.
    fn adopt(
        &mut self,
        address: &[u8],
        from: &LeftRow,
        wanted: &Output<'_>,
        placed: &mut Placed,
    ) -> Result<Option<Adopted>, SinkError> {
        let LeftRow { address: from, state } = from;
        let mut state = RowState::decode(state)?;
        let Some(at) = state.outputs.iter().position(|output| is_adoptable(output, wanted)) else { return Ok(None) };
        let output = state.outputs.remove(at);
        let Place::Log { op_id, .. } = output.place else { return Ok(None) };
        let object = output.object(from);
        self.batch.put(Keyspace::Lookups, &key::owner(output.bucket, &object), address);
        let adopted = Adopted { op_id, content_hash: output.content_hash, origin: object.row.to_vec() };
        self.retain_live(&mut state);
        if state.is_tombstone() {
            self.set_row(from, None);
            placed.emptied += 1;
        } else {
            let state = state.encode();
            self.set_row(from, Some(state));
        }
        Ok(Some(adopted))
    }

    /// Notes that an object which has come over belongs to nobody any more.
    pub(super) fn disown(&mut self, output: &Output<'_>) {
        if let Place::Log { origin: Some(origin), .. } = output.place {
            self.batch.delete(Keyspace::Lookups, &key::owner(output.bucket, &output.object(origin)));
        }
    }

    /// The op that has put an object which is in the bucket now.
    pub(super) fn live_op(&self, bucket: BucketId, object: &ObjectRef<'_>) -> Result<Option<u64>, SinkError> {
        if let Some(op_id) = self.live_op_of(object.row, bucket, object)? {
            return Ok(Some(op_id));
        }
        match self.store.get(Keyspace::Lookups, &key::owner(bucket, object))? {
            Some(owner) => self.live_op_of(&owner, bucket, object),
            None => Ok(None),
        }
    }

    fn live_op_of(&self, address: &[u8], bucket: BucketId, object: &ObjectRef<'_>) -> Result<Option<u64>, SinkError> {
        let Some(state) = self.row(address)? else { return Ok(None) };
        let state = RowState::decode(&state)?;
        let is_it = |output: &&Output<'_>| output.bucket == bucket && output.object(address) == *object;
        Ok(state.outputs.iter().find(is_it).and_then(|output| match output.place {
            Place::Log { op_id, .. } => Some(op_id),
            Place::Staged { .. } => None,
        }))
    }
}

fn has_adoptable(state: &RowState<'_>, wanted: &Output<'_>) -> bool {
    state.outputs.iter().any(|output| is_adoptable(output, wanted))
}

/// Whether it is the wanted object, and in the log.
fn is_adoptable(output: &Output<'_>, wanted: &Output<'_>) -> bool {
    output.is_same_object(wanted) && matches!(output.place, Place::Log { .. })
}
