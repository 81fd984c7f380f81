//! Rows of one table map, read by one schema.

use std::collections::BTreeSet;

use millstream_core::change::{RowChange, RowChanges};
use millstream_core::schema::{Column, IdentityKind, TableSchema};
use millstream_core::value::ValueRef;

use super::DecodeError;
use super::agreement::log_columns;
use super::bytes::{Bytes, bit};
use super::column::{LogColumn, Scratch};
use super::json::{Patched, apply_diffs};
use super::rows::{Present, RowsEvent, RowsKind};
use super::table_map::TableMap;
use super::versioning::{has_ended, is_period, row_end};
use crate::version::Flavor;
use crate::virtual_columns::session_dependent;

const ROW: &str = "a row";

/// Turns rows events into row changes.
#[derive(Debug)]
pub(crate) struct RowDecoder {
    columns: Vec<LogColumn>,
    /// How many of the columns the schema has; those after them are the server's own.
    width: usize,
    identity: Vec<usize>,
    has_key: bool,
    /// Whether the identity has a generated column whose value before an update the log may not tell: MySQL 5.7 shows
    /// the new value of virtual ones there.
    identity_is_doubtful: bool,
    /// The column that tells since when a row is history, of tables that keep it.
    row_end: Option<usize>,
    /// For each column whether it is generated: an image that lacks it says nothing about it.
    generated: Vec<bool>,
    /// Whether some column's value isn't ours to take from the log, because it depends on the session that wrote it.
    depends_on_session: bool,
    /// Whether such a column is part of the identity, so that no image tells it.
    identity_depends_on_session: bool,
    /// How many columns may be concerned by partial updates.
    json_columns: usize,
}

/// A table map and a schema disagree: rows that follow the map can't be read by the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Mismatch {
    /// On what.
    pub(crate) what: String,
}

/// How the decoding of an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "rows whose identity isn't known change the table all the same"]
pub(crate) enum Decoded {
    /// Every row's change is told.
    Whole,
    /// The log lacks the identity of some row: that rows changed is all that is known, as if they had been replaced
    /// without row events. The changes decoded before stand.
    IdentityUnknown,
}

/// A column's value in one image of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field<'a> {
    Absent,
    Null,
    Raw(&'a [u8]),
    /// What changed in a JSON document.
    Diffs(&'a [u8]),
}

impl RowDecoder {
    /// Fails if map and schema aren't of the same table or disagree about its shape.
    pub(crate) fn new(flavor: Flavor, map: &TableMap, schema: &TableSchema) -> Result<RowDecoder, Mismatch> {
        let columns = log_columns(flavor, map, schema).map_err(|what| Mismatch { what })?;
        let is_generated = |column: &Column| column.generated.is_some() && !is_period(column);
        let generated: Vec<bool> = schema.columns.iter().map(is_generated).collect();
        let identity = schema.identity.columns.clone();
        let dependent = session_dependent(&schema.columns, flavor);
        Ok(RowDecoder {
            width: schema.columns.len(),
            has_key: schema.identity.kind != IdentityKind::WholeRow,
            identity_is_doubtful: flavor == Flavor::MySql
                && !map.has_metadata
                && identity.iter().any(|index| generated.get(*index) == Some(&true)),
            row_end: (flavor == Flavor::MariaDb).then(|| row_end(map, schema)).flatten(),
            depends_on_session: dependent.contains(&true),
            identity_depends_on_session: identity.iter().any(|index| dependent.get(*index) == Some(&true)),
            identity,
            generated,
            json_columns: columns.iter().filter(|column| column.is_json()).count(),
            columns,
        })
    }

    /// Appends the changes of an event's rows. After an error, `changes` holds the whole rows before it.
    pub(crate) fn decode(&self, event: &RowsEvent<'_>, changes: &mut RowChanges) -> Result<Decoded, DecodeError> {
        if event.width != self.columns.len() {
            let found = format!("{} columns where the table map has {}", event.width, self.columns.len());
            return Err(DecodeError::malformed("a rows event", found));
        }
        // Rows without any column take no bytes, so not even their number is told.
        if event.before.count() + event.after.count() == 0 {
            return Ok(Decoded::IdentityUnknown);
        }
        let mut rows = Rows::new(self, event);
        let mut outcome = Decoded::Whole;
        while !rows.bytes.is_empty() {
            match rows.next(event, changes) {
                Ok(Decoded::Whole) => {}
                Ok(Decoded::IdentityUnknown) => outcome = Decoded::IdentityUnknown,
                Err(error) => {
                    changes.rows.abandon_row();
                    return Err(error);
                }
            }
        }
        Ok(outcome)
    }

    /// Which columns got another value in some row of an update, by their indexes. A column that only one of the two
    /// images has counts if that is the later one: servers leave out of it what stayed.
    pub(crate) fn updated(&self, event: &RowsEvent<'_>) -> Result<BTreeSet<usize>, DecodeError> {
        let mut updated = BTreeSet::new();
        let mut rows = Rows::new(self, event);
        while !rows.bytes.is_empty() {
            rows.read_update(event)?;
            let images = rows.before.iter().zip(&rows.after).enumerate();
            let others = images.filter(|(_, (before, after))| **after != Field::Absent && before != after);
            updated.extend(others.map(|(index, _)| index));
        }
        Ok(updated)
    }
}

/// The rows of one event while they are read, with memory that serves every row.
struct Rows<'d, 'a> {
    decoder: &'d RowDecoder,
    bytes: Bytes<'a>,
    before: Vec<Field<'a>>,
    after: Vec<Field<'a>>,
    scratch: Scratch,
    patched: String,
}

impl<'d, 'a> Rows<'d, 'a> {
    fn new(decoder: &'d RowDecoder, event: &RowsEvent<'a>) -> Self {
        let absent = || vec![Field::Absent; decoder.columns.len()];
        let (before, after) = (absent(), absent());
        let bytes = Bytes::new(event.rows);
        Self { decoder, bytes, before, after, scratch: Scratch::default(), patched: String::new() }
    }

    /// Reads the two images of an updated row.
    fn read_update(&mut self, event: &RowsEvent<'a>) -> Result<(), DecodeError> {
        read_image(self.decoder, &mut self.bytes, &event.before, &[], &mut self.before)?;
        let partial = if event.kind == RowsKind::PartialUpdate { self.read_partial_columns()? } else { &[] };
        read_image(self.decoder, &mut self.bytes, &event.after, partial, &mut self.after)
    }

    fn next(&mut self, event: &RowsEvent<'a>, changes: &mut RowChanges) -> Result<Decoded, DecodeError> {
        match event.kind {
            RowsKind::Write => {
                read_image(self.decoder, &mut self.bytes, &event.after, &[], &mut self.after)?;
                if self.decoder.is_history(&self.after) { Ok(Decoded::Whole) } else { self.upsert(changes) }
            }
            RowsKind::Delete => {
                read_image(self.decoder, &mut self.bytes, &event.before, &[], &mut self.before)?;
                if self.decoder.is_history(&self.before) { Ok(Decoded::Whole) } else { self.gone(changes) }
            }
            RowsKind::Update | RowsKind::PartialUpdate => {
                self.read_update(event)?;
                match (self.decoder.is_history(&self.before), self.decoder.is_history(&self.after)) {
                    (false, false) => self.update(changes),
                    (false, true) => self.gone(changes),
                    (true, false) => self.upsert(changes),
                    (true, true) => Ok(Decoded::Whole),
                }
            }
        }
    }

    /// Which of the JSON columns hold what changed instead of the document: a bit each.
    fn read_partial_columns(&mut self) -> Result<&'a [u8], DecodeError> {
        const PARTIAL_JSON: u64 = 1;
        let options = self.bytes.length(ROW)?;
        if options & !PARTIAL_JSON != 0 {
            return Err(DecodeError::malformed(ROW, format!("value options {options}")));
        }
        if options == 0 { Ok(&[]) } else { self.bytes.take(self.decoder.json_columns.div_ceil(8), ROW) }
    }

    fn update(&mut self, changes: &mut RowChanges) -> Result<Decoded, DecodeError> {
        let decoder = self.decoder;
        if decoder.identity_is_doubtful || !decoder.has_identity(&self.before) {
            return Ok(Decoded::IdentityUnknown);
        }
        let is_moved = decoder.identity.iter().any(|index| {
            let after = self.after.get(*index).copied().unwrap_or(Field::Absent);
            after != Field::Absent && self.before.get(*index) != Some(&after)
        });
        if is_moved {
            let gone = self.gone(changes)?;
            debug_assert_eq!(gone, Decoded::Whole, "its identity was there");
        }
        // What the image after lacks is what it was, unless it follows from what changed.
        for ((after, before), generated) in self.after.iter_mut().zip(&self.before).zip(&decoder.generated) {
            if *after == Field::Absent && !generated {
                *after = *before;
            }
        }
        self.upsert(changes)
    }

    /// The row after exists.
    fn upsert(&mut self, changes: &mut RowChanges) -> Result<Decoded, DecodeError> {
        let decoder = self.decoder;
        let is_whole = || self.after.iter().take(decoder.width).all(|field| *field != Field::Absent);
        if !decoder.depends_on_session && is_whole() && self.push_whole(changes)? {
            changes.changes.push(RowChange::Upsert);
            return Ok(Decoded::Whole);
        }
        // JSON is part of an identity only where all columns are, and then a document that isn't known makes the
        // identity unknown too.
        if !decoder.has_identity(&self.after) {
            return Ok(Decoded::IdentityUnknown);
        }
        decoder.push_identity(&self.after, changes, &mut self.scratch)?;
        changes.changes.push(RowChange::Recheck);
        Ok(Decoded::Whole)
    }

    /// The row before is gone. Of equal rows without a key only one is, so somebody must look whether another is left.
    fn gone(&mut self, changes: &mut RowChanges) -> Result<Decoded, DecodeError> {
        if !self.decoder.has_identity(&self.before) {
            return Ok(Decoded::IdentityUnknown);
        }
        self.decoder.push_identity(&self.before, changes, &mut self.scratch)?;
        changes.changes.push(if self.decoder.has_key { RowChange::Delete } else { RowChange::Recheck });
        Ok(Decoded::Whole)
    }

    /// Appends the row after; says no, and appends nothing, if a changed document can't be put together.
    fn push_whole(&mut self, changes: &mut RowChanges) -> Result<bool, DecodeError> {
        let decoder = self.decoder;
        for (index, (column, field)) in decoder.columns.iter().zip(&self.after).take(decoder.width).enumerate() {
            match field {
                Field::Absent | Field::Null => changes.rows.push(ValueRef::Null)?,
                Field::Raw(raw) => column.push(raw, &mut changes.rows, &mut self.scratch)?,
                Field::Diffs(diffs) => {
                    self.patched.clear();
                    let document = match self.before.get(index) {
                        Some(Field::Raw(before)) => apply_diffs(before, diffs, &mut self.patched)?,
                        _ => Patched::Unknown,
                    };
                    if document == Patched::Unknown {
                        changes.rows.abandon_row();
                        return Ok(false);
                    }
                    changes.rows.push(ValueRef::Text(&self.patched))?;
                }
            }
        }
        Ok(true)
    }
}

impl RowDecoder {
    fn is_history(&self, image: &[Field<'_>]) -> bool {
        let row_end = self.row_end.and_then(|index| image.get(index));
        matches!(row_end, Some(Field::Raw(row_end)) if has_ended(row_end))
    }

    fn has_identity(&self, image: &[Field<'_>]) -> bool {
        let is_there = |index: &usize| matches!(image.get(*index), Some(Field::Null | Field::Raw(_)));
        !self.identity_depends_on_session && self.identity.iter().all(is_there)
    }

    /// Appends a row of which only the identity's columns hold their values.
    fn push_identity(
        &self,
        image: &[Field<'_>],
        changes: &mut RowChanges,
        scratch: &mut Scratch,
    ) -> Result<(), DecodeError> {
        for (index, (column, field)) in self.columns.iter().zip(image).take(self.width).enumerate() {
            match field {
                Field::Raw(raw) if self.identity.contains(&index) => column.push(raw, &mut changes.rows, scratch)?,
                _ => changes.rows.push(ValueRef::Null)?,
            }
        }
        Ok(())
    }
}

/// Reads one image: a bit for each column that it has, set where that is NULL, and the values of the others.
fn read_image<'a>(
    decoder: &RowDecoder,
    bytes: &mut Bytes<'a>,
    present: &Present<'_>,
    partial: &[u8],
    image: &mut [Field<'a>],
) -> Result<(), DecodeError> {
    let nulls = bytes.take(present.count().div_ceil(8), ROW)?;
    let mut ordinal = 0;
    let mut json_ordinal = 0;
    for (index, (column, field)) in decoder.columns.iter().zip(image).enumerate() {
        let is_partial = column.is_json() && bit(partial, json_ordinal);
        json_ordinal += usize::from(column.is_json());
        if !present.has(index) {
            *field = Field::Absent;
            continue;
        }
        *field = if bit(nulls, ordinal) {
            Field::Null
        } else if is_partial {
            let length = bytes.u32(ROW)?;
            Field::Diffs(bytes.take(usize::try_from(length).unwrap_or(usize::MAX), ROW)?)
        } else {
            Field::Raw(column.take(bytes)?)
        };
        ordinal += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millstream_core::schema::{Generated, Identity, TableName};

    use super::*;

    /// A table without a key, of a column and one computed from it, as a server without metadata tells of it.
    fn decoder(flavor: Flavor) -> (RowDecoder, Arc<TableSchema>) {
        let column = |name: &str, generated: Option<&str>| Column {
            name: name.to_owned(),
            source_type: "tinyint".to_owned(),
            nullable: true,
            collation: None,
            generated: generated.map(|expression| Generated::Virtual(expression.to_owned())),
            default: None,
        };
        let schema = TableSchema {
            table: TableName::new("d", "t"),
            columns: vec![column("a", None), column("v", Some("`a` * 2"))],
            identity: Identity { kind: IdentityKind::WholeRow, columns: vec![0, 1] },
            origin: None,
        };
        let map = [1, 0, 0, 0, 0, 0, 0, 0, 1, b'd', 0, 1, b't', 0, 2, 1, 1, 0, 3];
        let map = TableMap::parse(flavor, &map).unwrap();
        (RowDecoder::new(flavor, &map, &schema).unwrap(), Arc::new(schema))
    }

    /// MySQL 5.7 shows the new value of a virtual column among the values before an update (its bug 88791).
    #[test]
    fn an_identity_that_may_show_its_new_value_early_is_not_trusted() {
        // From (1, 2) to (2, 4), as that server logs it.
        let body = [1, 0, 0, 0, 0, 0, 0, 0, 2, 3, 3, 0, 1, 4, 0, 2, 4];
        let event = RowsEvent::parse(RowsKind::Update, 1, &body).unwrap();
        let (mysql, schema) = decoder(Flavor::MySql);
        let mut changes = RowChanges::new(Arc::clone(&schema));
        assert_eq!(mysql.decode(&event, &mut changes).unwrap(), Decoded::IdentityUnknown);
        assert!(changes.changes.is_empty());
        let (mariadb, _) = decoder(Flavor::MariaDb);
        assert_eq!(mariadb.decode(&event, &mut changes).unwrap(), Decoded::Whole);
        assert_eq!(changes.changes, [RowChange::Recheck, RowChange::Upsert]);
    }

    #[test]
    fn rows_before_a_fault_stay_whole() {
        let (decoder, schema) = decoder(Flavor::MySql);
        // Two rows, the second cut short.
        let body = [1, 0, 0, 0, 0, 0, 0, 0, 2, 3, 0, 1, 2, 0, 5];
        let event = RowsEvent::parse(RowsKind::Write, 1, &body).unwrap();
        let mut changes = RowChanges::new(schema);
        assert!(decoder.decode(&event, &mut changes).is_err());
        assert_eq!((changes.rows.len(), changes.changes.len()), (1, 1));
    }
}
