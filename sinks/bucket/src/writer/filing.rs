//! Under which identity a table's rows are filed, and what becomes of them when that changes.
//!
//! A row's address tells the number of the identity that its key is of, which grows when the table's identity changes.
//! So rows of before and of after never meet at one address, though a key of the one may have the bytes of a key of the
//! other. What is filed under former identities is *left behind*: the pass that follows the change finds the same rows
//! under the new one, where they take their objects over ([`super::adoption`]), and its sweep removes the rest.
//!
//! The number grows with the first row that is written under the new identity, in the same batch, and never goes back.
//! Where a stream starts over, or the process does, before the change is committed, rows of before the change come once
//! more; they are filed under a new number, as if the identity had changed back. What that makes of the table nobody
//! sees, as no checkpoint is made before the change has come again, and the pass that it begins puts it right.

use std::sync::Arc;
use std::time::Instant;

use millstream_core::error::SinkError;
use millstream_core::schema::{IdentityKind, TableSchema};
use millstream_core::table::TableRecord;
use serde::{Deserialize, Serialize};
use tracing::info;
use xxhash_rust::xxh3::Xxh3;

use super::Writer;
use super::adoption::Filed;
use super::jobs::{Progress, Slice};
use crate::key::{self, IdentityNumber, TableKey};
use crate::row_state::{Place, RowState};
use crate::store::{Direction, KeyRange, Keyspace};

/// The identity of a table's newest rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filing {
    number: IdentityNumber,
    identity: Identity,
    left: Left,
}

/// What can be told of an identity without its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    /// A hash of the columns' names.
    names: String,
    /// The same with their types: values of another type may have another encoding, or the same.
    types: String,
}

/// Rows of former identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Left {
    Nothing,
    /// There are some, and not all of their objects can be found yet.
    Unlisted,
    /// There may be some, and [`key::left_of`] tells where each object is.
    Listed,
}

impl Identity {
    fn of(schema: &TableSchema) -> Identity {
        let (mut names, mut types) = (Xxh3::new(), Xxh3::new());
        let is_whole_row = schema.identity.kind == IdentityKind::WholeRow;
        let columns = schema.identity.columns.iter().filter_map(|index| schema.columns.get(*index));
        names.update(&[u8::from(is_whole_row)]);
        for column in columns {
            for (hash, text) in [(&mut names, &column.name), (&mut types, &column.source_type)] {
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
        let hexadecimal = |hash: Xxh3| format!("{:016x}", hash.digest());
        Identity { names: hexadecimal(names), types: hexadecimal(types) }
    }
}

impl Filing {
    fn filed(&self) -> Filed {
        Filed { identity: self.number, may_adopt: self.left == Left::Listed }
    }

    /// Whether rows of former identities may be there.
    pub(super) fn has_left(&self) -> bool {
        self.left != Left::Nothing
    }

    pub(super) fn number(&self) -> IdentityNumber {
        self.number
    }
}

impl Writer {
    /// How rows of this shape and generation are filed. `is_written` tells that they are not only compared.
    pub(super) fn file(
        &mut self,
        key: TableKey,
        generation: u64,
        schema: &Arc<TableSchema>,
        is_written: bool,
    ) -> Result<Filed, SinkError> {
        let table = self.tables.entry(key);
        if let (Some(filing), Some((filed, of))) = (&table.filing, &table.last_filed)
            && *of == generation
            && Arc::ptr_eq(filed, schema)
        {
            return Ok(filing.filed());
        }
        let identity = Identity::of(schema);
        let is_other = match &table.filing {
            None => {
                table.set_filing(Filing { number: IdentityNumber::default(), identity, left: Left::Nothing });
                false
            }
            // A wider type alone is no reason, unless the table is read again anyway: it leaves the rows where they are.
            Some(filing) => {
                let has_other_types = filing.identity.types != identity.types;
                let is_other =
                    filing.identity.names != identity.names || has_other_types && self.is_read_again(key, generation);
                if is_other && is_written {
                    self.begin_identity(key, identity)?;
                }
                is_other
            }
        };
        let table = self.tables.entry(key);
        // What is only compared is compared with what is there.
        if is_written || !is_other {
            table.last_filed = Some((Arc::clone(schema), generation));
        }
        if table.filing.as_ref().is_some_and(|filing| filing.left == Left::Unlisted) {
            self.list_left(key)?;
        }
        let filing = self.tables.entry(key).filing.as_ref();
        Ok(filing.map(Filing::filed).unwrap_or_default())
    }

    /// Whether a repairing pass of this generation is on its way, by what is known of the table at this place.
    fn is_read_again(&self, key: TableKey, generation: u64) -> bool {
        let deferred = self.sources.get(&key.source).and_then(|source| source.deferred.tables.get(&key.table));
        let record: Option<&TableRecord> = deferred
            .and_then(|deferred| deferred.record.as_deref())
            .or_else(|| self.tables.get(key).and_then(|table| table.record.as_deref()));
        record.is_some_and(|record| record.generation == generation && record.pass.is_some())
    }

    fn begin_identity(&mut self, key: TableKey, identity: Identity) -> Result<(), SinkError> {
        // What is pending isn't found by looking into the store.
        self.flush(false)?;
        let before = self.tables.entry(key).filing.as_ref().map_or(IdentityNumber::default(), Filing::number);
        let number = before.0.checked_add(1).map(IdentityNumber).ok_or_else(too_many_identities)?;
        let mut left = self.ledger.store.scan(Keyspace::Rows, &key.rows_before(number), Direction::Forward);
        let left = if left.next().transpose()?.is_some() { Left::Unlisted } else { Left::Nothing };
        let table = self.tables.entry(key);
        table.set_filing(Filing { number, identity, left });
        table.forget_look();
        info!(table = key.table.0, identity = number.0, "another identity names the rows of the table");
        Ok(())
    }

    /// Lists the objects of all rows that are left behind.
    fn list_left(&mut self, key: TableKey) -> Result<(), SinkError> {
        // What an earlier attempt has listed may not be so any more.
        let mut listed = key::left_of(key);
        while self.unlist_slice(&mut listed)? == Progress::More {
            self.flush(false)?;
        }
        self.flush(false)?;
        let number = self.tables.entry(key).filing.as_ref().map_or(IdentityNumber::default(), Filing::number);
        let began = Instant::now();
        let mut rest = key.rows_before(number);
        while self.list_slice(key, &mut rest)? == Progress::More {
            self.flush_if_full()?;
        }
        self.tables.entry(key).set_left(Left::Listed);
        let took_ms = began.elapsed().as_millis();
        info!(table = key.table.0, took_ms, "listed the objects of rows of former identities");
        self.flush(false)
    }

    /// A slice of it. Nothing may be stored while the rows are scanned: as long as a scan goes on, the engine keeps in
    /// memory what has been written since it began.
    fn list_slice(&mut self, key: TableKey, rest: &mut KeyRange) -> Result<Progress, SinkError> {
        let mut slice = Slice::new(&self.tuning);
        let store = Arc::clone(&self.ledger.store);
        for pair in store.scan(Keyspace::Rows, rest, Direction::Forward) {
            let pair = pair?;
            let (address, state) = &pair;
            self.list(key, address, &RowState::decode(state)?);
            if self.is_over_after(&pair, &mut slice) {
                *rest = rest.starting_after(address);
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    fn list(&mut self, key: TableKey, address: &[u8], state: &RowState<'_>) {
        for output in &state.outputs {
            let is_live = self.ledger.definitions.is_live(output.bucket.definition);
            if is_live && matches!(output.place, Place::Log { .. }) {
                let object = key::left_object(key, output.bucket, output.object_type, output.object_id);
                let listed = key::left(key::left_content(object, output.content_hash), address);
                self.ledger.batch.put(Keyspace::Lookups, &listed, &[]);
            }
        }
    }

    /// A slice of removing the list again. `rest` is what remains of it: to look for that from the beginning would cost
    /// a step for each entry that earlier slices have removed.
    fn unlist_slice(&mut self, rest: &mut KeyRange) -> Result<Progress, SinkError> {
        let store = &*self.ledger.store;
        let slice_rows_max = self.tuning.slice_rows_max;
        let Some(remaining) = self.ledger.batch.delete_range(store, Keyspace::Lookups, rest, slice_rows_max)? else {
            return Ok(Progress::Done);
        };
        *rest = remaining;
        Ok(Progress::More)
    }

    /// A slice of the end of what is left behind: no row of the identities before `number` is stored any more. `listed`
    /// is what remains of the list, at first [`key::left_of`] the table.
    pub(super) fn forget_left_slice(
        &mut self,
        key: TableKey,
        number: IdentityNumber,
        listed: &mut KeyRange,
    ) -> Result<Progress, SinkError> {
        let filing = self.tables.get(key).and_then(|table| table.filing.as_ref());
        if !filing.is_some_and(|filing| filing.number == number && filing.has_left()) {
            return Ok(Progress::Done);
        }
        let progress = self.unlist_slice(listed)?;
        if progress == Progress::Done {
            self.tables.entry(key).set_left(Left::Nothing);
        }
        Ok(progress)
    }

    /// Forgets what was left behind of a table that has no rows any more.
    pub(super) fn forget_all_left(&mut self, key: TableKey) -> Result<(), SinkError> {
        let Some(number) = self.tables.get(key).and_then(|table| table.filing.as_ref()).map(Filing::number) else {
            return Ok(());
        };
        let mut listed = key::left_of(key);
        while self.forget_left_slice(key, number, &mut listed)? == Progress::More {
            self.flush(false)?;
        }
        Ok(())
    }
}

impl super::tables::Table {
    fn set_filing(&mut self, filing: Filing) {
        self.filing = Some(filing);
        self.filing_changed = true;
    }

    fn set_left(&mut self, left: Left) {
        if let Some(filing) = &mut self.filing {
            filing.left = left;
            self.filing_changed = true;
        }
    }
}

fn too_many_identities() -> SinkError {
    SinkError::new(
        "A table's identity has changed 65535 times, more than the bucket store can tell apart",
        "Name an empty directory as the store: the buckets are then filled from the source again",
    )
}
