//! Under which identity a table's rows are filed, and what becomes of them when that changes.
//!
//! A row's address tells the number of the identity that its key is of, which grows when the table's identity changes.
//! So rows of before and of after never meet at one address, though a key of the one may have the bytes of a key of the
//! other. What is filed under former identities is *left behind*: the pass that follows the change finds the same rows
//! under the new one, where they take their objects over ([`super::adoption`]), and its sweep removes the rest. Rows that
//! don't tell what they were called before need a list of all objects that are left, which is made in one go.
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
use super::adoption::{Filed, Finding};
use super::jobs::{Progress, Slice};
use crate::evaluated::EvaluatedRows;
use crate::former_keys::{FORMER_KEYS_MAX, KeyColumns};
use crate::key::{self, IdentityNumber, TableKey};
use crate::row_state::{Place, RowState};
use crate::store::{Direction, KeyRange, Keyspace};

/// The identity of a table's newest rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filing {
    number: IdentityNumber,
    identity: Identity,
    left: Left,
    /// The columns of the identity; `None` in stores that are older than this field, until rows come.
    #[serde(default)]
    columns: Option<KeyColumns>,
    /// The identities that rows may be left of, the newest last; `None` if not all are known.
    #[serde(default)]
    former: Option<Vec<Former>>,
}

/// A former identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    number: IdentityNumber,
    columns: KeyColumns,
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
    /// There are some, and their objects aren't listed: where rows tell their former keys they needn't be.
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
    /// The first of a table.
    fn first(identity: Identity, columns: KeyColumns) -> Filing {
        let (number, left) = (IdentityNumber::default(), Left::Nothing);
        Filing { number, identity, left, columns: Some(columns), former: Some(Vec::new()) }
    }

    /// The one that follows, of which no row is stored.
    fn next(&self, identity: Identity, columns: KeyColumns, left: Left) -> Result<Filing, SinkError> {
        let number = self.number.0.checked_add(1).map(IdentityNumber).ok_or_else(too_many_identities)?;
        let former = if left == Left::Nothing { Some(Vec::new()) } else { self.with_former() };
        Ok(Filing { number, identity, left, columns: Some(columns), former })
    }

    /// This identity and those before that rows may be left of; `None` if not all are known, or they are too many.
    fn with_former(&self) -> Option<Vec<Former>> {
        let mut former = if self.has_left() { self.former.clone()? } else { Vec::new() };
        former.push(Former { number: self.number, columns: self.columns.clone()? });
        (former.len() <= FORMER_KEYS_MAX).then_some(former)
    }

    /// By which of the keys that the rows tell each of the former identities names them, the newest first; `None` if one
    /// of these keys isn't told.
    fn told_by(&self, rows: &EvaluatedRows) -> Option<Vec<(IdentityNumber, usize)>> {
        let told = |former: &Former| Some((former.number, rows.former_key_of(&former.columns)?));
        self.former.as_ref()?.iter().rev().map(told).collect()
    }

    /// What can be told of the identities, the newest and those before.
    pub(super) fn columns(&self) -> Option<(&KeyColumns, impl Iterator<Item = &KeyColumns>)> {
        Some((self.columns.as_ref()?, self.former.iter().flatten().map(|former| &former.columns)))
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
    /// How rows of a generation are filed. `is_written` tells that they are not only compared.
    pub(super) fn file(
        &mut self,
        key: TableKey,
        generation: u64,
        rows: &EvaluatedRows,
        is_written: bool,
    ) -> Result<Filed, SinkError> {
        self.identify(key, generation, &rows.schema, is_written)?;
        let Some(filing) = self.tables.get(key).and_then(|table| table.filing.as_ref()) else {
            return Ok(Filed::default());
        };
        let identity = filing.number;
        if !is_written || filing.left == Left::Nothing {
            return Ok(Filed { identity, finding: Finding::Nothing });
        }
        if let Some(former) = filing.told_by(rows) {
            return Ok(Filed { identity, finding: Finding::ByFormerKeys(former) });
        }
        if filing.left == Left::Unlisted {
            self.list_left(key)?;
        }
        Ok(Filed { identity, finding: Finding::ByList })
    }

    /// Takes notice of the identity of rows of this shape and generation.
    fn identify(
        &mut self,
        key: TableKey,
        generation: u64,
        schema: &Arc<TableSchema>,
        is_written: bool,
    ) -> Result<(), SinkError> {
        let table = self.tables.entry(key);
        if table.filing.is_some()
            && let Some((filed, of)) = &table.last_filed
            && *of == generation
            && Arc::ptr_eq(filed, schema)
        {
            return Ok(());
        }
        let identity = Identity::of(schema);
        let is_other = match &table.filing {
            None => {
                table.set_filing(Filing::first(identity, KeyColumns::of(schema)));
                false
            }
            // A wider type alone is no reason, unless the table is read again anyway: it leaves the rows where they are.
            Some(filing) => {
                let has_other_types = filing.identity.types != identity.types;
                let is_other =
                    filing.identity.names != identity.names || has_other_types && self.is_read_again(key, generation);
                if is_other && is_written {
                    self.begin_identity(key, identity, KeyColumns::of(schema))?;
                }
                is_other
            }
        };
        let table = self.tables.entry(key);
        // What is only compared is compared with what is there.
        if is_written || !is_other {
            table.last_filed = Some((Arc::clone(schema), generation));
        }
        if !is_other {
            table.note_columns(schema);
        }
        Ok(())
    }

    /// Whether a repairing pass of this generation is on its way, by what is known of the table at this place.
    fn is_read_again(&self, key: TableKey, generation: u64) -> bool {
        let deferred = self.sources.get(&key.source).and_then(|source| source.deferred.tables.get(&key.table));
        let record: Option<&TableRecord> = deferred
            .and_then(|deferred| deferred.record.as_deref())
            .or_else(|| self.tables.get(key).and_then(|table| table.record.as_deref()));
        record.is_some_and(|record| record.generation == generation && record.pass.is_some())
    }

    fn begin_identity(&mut self, key: TableKey, identity: Identity, columns: KeyColumns) -> Result<(), SinkError> {
        // What is pending isn't found by looking into the store.
        self.flush(false)?;
        // So far every row of the table is of this identity or of those before.
        let left =
            if self.ledger.first(Keyspace::Rows, &key.rows())?.is_some() { Left::Unlisted } else { Left::Nothing };
        let table = self.tables.entry(key);
        let filing = match &table.filing {
            Some(before) => before.next(identity, columns, left)?,
            None => Filing::first(identity, columns),
        };
        let number = filing.number.0;
        table.set_filing(filing);
        table.forget_look();
        info!(table = key.table.0, identity = number, "another identity names the rows of the table");
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
        self.tables.entry(key).set_listed();
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
            let gone = self.tables.entry(key).forget_left();
            self.former_keys.forget_former(key, &gone);
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

    fn set_listed(&mut self) {
        if let Some(filing) = &mut self.filing {
            filing.left = Left::Listed;
            self.filing_changed = true;
        }
    }

    /// Notes that no row of a former identity is left; gives by which keys there may have been some.
    fn forget_left(&mut self) -> Vec<KeyColumns> {
        let Some(filing) = &mut self.filing else { return Vec::new() };
        filing.left = Left::Nothing;
        self.filing_changed = true;
        let former = filing.former.replace(Vec::new()).unwrap_or_default();
        former.into_iter().map(|former| former.columns).collect()
    }

    /// Notes the columns that the identity has now: their types may have become wider.
    fn note_columns(&mut self, schema: &TableSchema) {
        let Some(filing) = &mut self.filing else { return };
        if !filing.columns.as_ref().is_some_and(|columns| columns.are_of(schema)) {
            filing.columns = Some(KeyColumns::of(schema));
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
