//! A table's rows, each with the versions that somebody may still see, and its indexes.
//!
//! A row's newest version bears the stamp of the transaction that wrote it, which thereby holds the row, or the number
//! of the commit that made it last. An index has an entry for every key that any kept version of a row has; readers
//! compare the version that they see with the entry by which they came.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::error::{SqlError, SqlResult};
use crate::value::Value;

use super::index_data::IndexData;
use super::key::{self, Entry, RowId};
use super::lock::TransactionId;
use super::table::{Index, IndexId, Row, Table};

/// Who wrote a version: a transaction that goes on, or a commit by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stamp {
    Open(TransactionId),
    Committed(u64),
}

#[derive(Clone, Debug)]
struct Version {
    stamp: Stamp,
    /// None where the row was deleted.
    row: Option<Row>,
}

#[derive(Clone, Debug)]
struct Slot {
    head: Version,
    /// Oldest first.
    older: Vec<Version>,
    /// Who has locked the row without writing it; 0 for nobody.
    locked: TransactionId,
}

/// Which version a reader sees.
#[derive(Clone, Copy, Debug)]
pub(super) enum View {
    /// Whatever was written last.
    Newest,
    /// What was committed last; rows that others hold make it wait.
    Committed,
    /// As [`View::Committed`], but rows that others hold are passed over.
    SkipHeld,
    /// What was committed up to this commit.
    Snapshot(u64),
}

/// What a reader finds at a row.
enum Seen<'a> {
    Row(&'a Row),
    Nothing,
    Held(TransactionId),
}

impl Slot {
    fn holder(&self, me: TransactionId) -> Option<TransactionId> {
        match self.head.stamp {
            Stamp::Open(other) if other != me => Some(other),
            _ if self.locked != 0 && self.locked != me => Some(self.locked),
            _ => None,
        }
    }

    fn seen(&self, view: View, me: TransactionId) -> Seen<'_> {
        let version = match (view, self.head.stamp) {
            (View::Committed, Stamp::Open(other)) if other != me => return Seen::Held(other),
            (View::SkipHeld, Stamp::Open(other)) if other != me => return Seen::Nothing,
            (View::Snapshot(last), _) => {
                let visible = |version: &&Version| match version.stamp {
                    Stamp::Open(writer) => writer == me,
                    Stamp::Committed(commit) => commit <= last,
                };
                Some(&self.head).filter(visible).or_else(|| self.older.iter().rev().find(visible))
            }
            _ => Some(&self.head),
        };
        version.and_then(|version| version.row.as_ref()).map_or(Seen::Nothing, Seen::Row)
    }
}

/// Why a write can't be done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another transaction holds the row; it is to be tried again once that one has ended.
    Held(TransactionId),
    /// A unique index has the key already.
    Duplicate(IndexId, Vec<Value>),
    /// Changed since the snapshot was taken.
    Conflict,
}

/// A write that can be taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    Version(RowId),
    Lock(RowId),
}

#[derive(Debug, Default)]
pub(super) struct TableData {
    rows: BTreeMap<RowId, Slot>,
    indexes: Vec<IndexData>,
    next_row: u64,
    /// Rows whose newest version isn't a deletion.
    live: u64,
    /// The last identity given, None before the first.
    pub identity_last: Option<i128>,
}

/// Where reading goes on.
#[derive(Clone, Debug, Default)]
pub struct ReadCursor(Place);

#[derive(Clone, Debug, Default)]
enum Place {
    #[default]
    Start,
    AfterEntry(Entry),
    AfterRow(RowId),
    End,
}

/// What to read: an index in a range, or all rows.
pub(super) struct Span<'a> {
    pub index: Option<IndexId>,
    pub low: &'a Bound<Vec<Value>>,
    pub high: &'a Bound<Vec<Value>>,
    pub descending: bool,
}

impl TableData {
    pub fn new(table: &Table) -> Self {
        let mut data = Self { next_row: 1, ..Self::default() };
        data.conform(table);
        data
    }

    /// Brings the indexes to what the table's description says. Gives those that had to be built.
    pub fn conform(&mut self, table: &Table) -> Vec<IndexId> {
        let mut built = Vec::new();
        let wanted: Vec<&Index> = table.indexes.iter().filter(|index| index.is_kept()).collect();
        let wanted: Vec<IndexData> = wanted.into_iter().map(|index| IndexData::new(table, index)).collect();
        self.indexes.retain(|have| wanted.iter().any(|index| index.is_like(have)));
        for mut index in wanted {
            if self.indexes.iter().all(|have| have.id != index.id) {
                for (id, slot) in &self.rows {
                    versions(slot).for_each(|row| index.put(row, *id));
                }
                built.push(index.id);
                self.indexes.push(index);
            }
        }
        self.indexes.sort_by_key(|index| index.id);
        built
    }

    /// A copy without what isn't committed.
    pub fn committed(&self, table: &Table) -> Self {
        let mut copy = Self { next_row: self.next_row, identity_last: self.identity_last, ..Self::default() };
        for (id, slot) in &self.rows {
            let committed = |version: &&Version| matches!(version.stamp, Stamp::Committed(_));
            let newest = Some(&slot.head).filter(committed).or_else(|| slot.older.iter().rev().find(committed));
            if let Some(version) = newest.filter(|version| version.row.is_some()) {
                // Commits are numbered by the server, and this one may come to another.
                let head = Version { stamp: Stamp::Committed(0), ..version.clone() };
                copy.rows.insert(*id, Slot { head, older: Vec::new(), locked: 0 });
                copy.live += 1;
            }
        }
        copy.conform(table);
        copy
    }

    pub fn live(&self) -> u64 {
        self.live
    }

    /// The least of the entries by their order in an index that two rows share, for an index that is to be unique.
    pub fn duplicate_in(&self, index: IndexId) -> Option<Vec<Value>> {
        let index = self.indexes.iter().find(|have| have.id == index)?;
        let mut before: Option<Vec<u8>> = None;
        for entry in &index.entries {
            let Some(row) = self.rows.get(&key::row_of(entry)).and_then(|slot| slot.head.row.as_ref()) else {
                continue;
            };
            let Some(key) = index.prefix(row).filter(|key| entry.starts_with(key)) else { continue };
            if before.as_ref() == Some(&key) {
                return Some(index.key_values(row));
            }
            before = Some(key);
        }
        None
    }

    /// Adds a row.
    pub fn insert(&mut self, me: TransactionId, row: Row) -> Result<RowId, Refusal> {
        for index in self.indexes.iter().filter(|index| index.unique) {
            self.check_unique(index, &row, None, me)?;
        }
        let id = RowId(self.next_row);
        self.next_row += 1;
        for index in &mut self.indexes {
            index.put(&row, id);
        }
        let head = Version { stamp: Stamp::Open(me), row: Some(row) };
        self.rows.insert(id, Slot { head, older: Vec::new(), locked: 0 });
        self.live += 1;
        Ok(id)
    }

    /// Gives a row a new version, or deletes it. Unique keys are looked at by [`Self::check_row`] once all rows of the
    /// statement are written, as they may hand keys to each other. False where the row is gone.
    pub fn write(
        &mut self,
        me: TransactionId,
        id: RowId,
        row: Option<Row>,
        snapshot: Option<u64>,
    ) -> Result<bool, Refusal> {
        let Some(slot) = self.rows.get_mut(&id) else { return Ok(false) };
        if let Some(holder) = slot.holder(me) {
            return Err(Refusal::Held(holder));
        }
        if let (Some(last), Stamp::Committed(commit)) = (snapshot, slot.head.stamp)
            && commit > last
        {
            return Err(Refusal::Conflict);
        }
        if slot.head.row.is_none() {
            return Ok(false);
        }
        match &row {
            Some(row) => {
                for index in &mut self.indexes {
                    index.put(row, id);
                }
            }
            None => self.live = self.live.saturating_sub(1),
        }
        let head = Version { stamp: Stamp::Open(me), row };
        slot.older.push(std::mem::replace(&mut slot.head, head));
        Ok(true)
    }

    /// Whether a row's newest version has a key that another has too.
    pub fn check_row(&self, me: TransactionId, id: RowId) -> Result<(), Refusal> {
        let Some(Slot { head: Version { row: Some(row), .. }, older, .. }) = self.rows.get(&id) else { return Ok(()) };
        let before = older.last().and_then(|version| version.row.as_ref());
        for index in self.indexes.iter().filter(|index| index.unique) {
            let same_key = |before: &Row| index.prefix(before) == index.prefix(row);
            if !before.is_some_and(same_key) {
                self.check_unique(index, row, Some(id), me)?;
            }
        }
        Ok(())
    }

    fn check_unique(&self, index: &IndexData, row: &Row, own: Option<RowId>, me: TransactionId) -> Result<(), Refusal> {
        let Some(prefix) = index.prefix(row) else { return Ok(()) };
        let low: Entry = prefix.clone().into_boxed_slice();
        // Entries of one key differ in the row's number alone, and no key is the beginning of another.
        let equal = index.entries.range(low..).take_while(|entry| entry.starts_with(&prefix));
        for entry in equal {
            let id = key::row_of(entry);
            let Some(slot) = self.rows.get(&id).filter(|_| own != Some(id)) else { continue };
            if let Stamp::Open(other) = slot.head.stamp
                && other != me
            {
                return Err(Refusal::Held(other));
            }
            let head = slot.head.row.as_ref();
            if head.is_some_and(|head| index.prefix(head).as_ref() == Some(&prefix)) {
                return Err(Refusal::Duplicate(index.id, index.key_values(row)));
            }
        }
        Ok(())
    }

    /// Locks a row that was read. False where it isn't the row that was read any more.
    pub fn lock(&mut self, me: TransactionId, id: RowId, read: &Row, snapshot: Option<u64>) -> Result<Locked, Refusal> {
        let Some(slot) = self.rows.get_mut(&id) else { return Ok(Locked::Changed) };
        if let Some(holder) = slot.holder(me) {
            return Err(Refusal::Held(holder));
        }
        if let (Some(last), Stamp::Committed(commit)) = (snapshot, slot.head.stamp)
            && commit > last
        {
            return Err(Refusal::Conflict);
        }
        let same = slot.head.row.as_ref().is_some_and(|row| std::sync::Arc::ptr_eq(row, read));
        let fresh = slot.locked == 0 && slot.head.stamp != Stamp::Open(me);
        if fresh {
            slot.locked = me;
        }
        Ok(match (same, fresh) {
            (false, false) => Locked::Changed,
            (false, true) => Locked::ChangedNow,
            (true, true) => Locked::Now,
            (true, false) => Locked::Before,
        })
    }

    /// A row as `me` would see it.
    pub fn row(&self, me: TransactionId, id: RowId, view: View) -> Result<Option<Row>, TransactionId> {
        match self.rows.get(&id).map_or(Seen::Nothing, |slot| slot.seen(view, me)) {
            Seen::Row(row) => Ok(Some(Row::clone(row))),
            Seen::Nothing => Ok(None),
            Seen::Held(holder) => Err(holder),
        }
    }

    /// The version before the newest one, where the newest is a transaction's own.
    pub fn newest(&self, id: RowId) -> Option<&Row> {
        self.rows.get(&id)?.head.row.as_ref()
    }

    /// All rows' numbers whose newest version isn't a deletion.
    pub fn ids(&self) -> Vec<RowId> {
        self.rows.iter().filter(|(_, slot)| slot.head.row.is_some()).map(|(id, _)| *id).collect()
    }

    /// Takes the last write of `me` to a row back.
    pub fn undo(&mut self, me: TransactionId, written: Written) {
        match written {
            Written::Lock(id) => {
                if let Some(slot) = self.rows.get_mut(&id).filter(|slot| slot.locked == me) {
                    slot.locked = 0;
                }
            }
            Written::Version(id) => self.undo_version(id),
        }
    }

    fn undo_version(&mut self, id: RowId) {
        let Some(slot) = self.rows.get_mut(&id) else { return };
        let undone = match slot.older.pop() {
            Some(before) => std::mem::replace(&mut slot.head, before),
            None => {
                let gone = slot.head.clone();
                self.rows.remove(&id);
                self.live = self.live.saturating_sub(1);
                self.forget(id, &gone);
                return;
            }
        };
        match (&undone.row, &slot.head.row) {
            (None, Some(_)) => self.live += 1,
            (Some(_), None) => self.live = self.live.saturating_sub(1),
            _ => {}
        }
        self.forget(id, &undone);
    }

    /// Removes the entries of a version that is no longer kept, unless a kept one has the same key.
    fn forget(&mut self, id: RowId, version: &Version) {
        let Some(row) = &version.row else { return };
        let slot = self.rows.get(&id);
        for index in &mut self.indexes {
            let Some(entry) = index.entry(row, id) else { continue };
            let same = |kept: &Row| index.entry(kept, id).as_ref() == Some(&entry);
            let kept = slot.is_some_and(|slot| versions(slot).any(same));
            if !kept {
                index.entries.remove(&entry);
            }
        }
    }

    /// Makes the writes of `me` to a row those of commit `commit`, and drops versions that nobody sees any more.
    /// True where some must be kept for a snapshot: the row is to be [`Self::prune`]d later.
    pub fn commit(&mut self, me: TransactionId, written: Written, commit: u64, oldest_snapshot: u64) -> bool {
        let id = match written {
            Written::Lock(id) => {
                self.undo(me, written);
                id
            }
            Written::Version(id) => id,
        };
        let Some(slot) = self.rows.get_mut(&id) else { return false };
        if slot.locked == me {
            slot.locked = 0;
        }
        if slot.head.stamp != Stamp::Open(me) {
            return false;
        }
        slot.head.stamp = Stamp::Committed(commit);
        let mut gone = Vec::new();
        while slot.older.last().is_some_and(|version| version.stamp == Stamp::Open(me)) {
            gone.extend(slot.older.pop());
        }
        for version in &gone {
            self.forget(id, version);
        }
        self.prune(id, oldest_snapshot)
    }

    /// Drops the versions of a row that no snapshot from `oldest_snapshot` on sees. True where some are left.
    pub fn prune(&mut self, id: RowId, oldest_snapshot: u64) -> bool {
        let Some(slot) = self.rows.get_mut(&id) else { return false };
        let seen = |version: &Version| matches!(version.stamp, Stamp::Committed(commit) if commit <= oldest_snapshot);
        let keep_from =
            if seen(&slot.head) { slot.older.len() } else { slot.older.iter().rposition(seen).unwrap_or(0) };
        let gone: Vec<Version> = slot.older.drain(..keep_from).collect();
        let left = !slot.older.is_empty();
        let dead = !left && slot.head.row.is_none() && seen(&slot.head);
        if dead {
            self.rows.remove(&id);
        }
        for version in &gone {
            self.forget(id, version);
        }
        left || (!dead && self.rows.get(&id).is_some_and(|slot| slot.head.row.is_none()))
    }

    /// Reads on from the cursor until `rows_max` rows are there, the span ends, or a row is held by another.
    pub fn read(
        &self,
        me: TransactionId,
        view: View,
        span: &Span<'_>,
        cursor: &mut ReadCursor,
        rows_max: usize,
        out: &mut Vec<(RowId, Row)>,
    ) -> SqlResult<Reached> {
        let index = match span.index {
            Some(id) => Some(self.indexes.iter().find(|index| index.id == id).ok_or_else(|| no_index(id))?),
            None => self.indexes.iter().find(|index| index.id == IndexId::CLUSTERED),
        };
        match index {
            Some(index) => Ok(self.read_index(index, me, view, span, cursor, rows_max, out)),
            None => Ok(self.read_heap(me, view, span.descending, cursor, rows_max, out)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parameters of `read` and the index found")]
    fn read_index(
        &self,
        index: &IndexData,
        me: TransactionId,
        view: View,
        span: &Span<'_>,
        cursor: &mut ReadCursor,
        rows_max: usize,
        out: &mut Vec<(RowId, Row)>,
    ) -> Reached {
        let (mut low, mut high) = key::bounds(&index.parts, span.low, span.high);
        match &cursor.0 {
            Place::AfterEntry(entry) if span.descending => high = Bound::Excluded(entry.clone()),
            Place::AfterEntry(entry) => low = Bound::Excluded(entry.clone()),
            Place::End => return Reached::End,
            Place::Start | Place::AfterRow(_) => {}
        }
        if is_empty(&low, &high) {
            cursor.0 = Place::End;
            return Reached::End;
        }
        let range = index.entries.range((low, high));
        let mut walk: Box<dyn Iterator<Item = &Entry>> =
            if span.descending { Box::new(range.rev()) } else { Box::new(range) };
        let mut last: Option<&Entry> = None;
        let reached = loop {
            if out.len() >= rows_max {
                break Reached::Limit;
            }
            let Some(entry) = walk.next() else { break Reached::End };
            let id = key::row_of(entry);
            let Some(slot) = self.rows.get(&id) else { continue };
            match slot.seen(view, me) {
                Seen::Held(holder) => break Reached::Held(holder),
                Seen::Row(row) if slot.older.is_empty() || key::entry(&index.parts, row, id) == *entry => {
                    out.push((id, Row::clone(row)));
                }
                Seen::Row(_) | Seen::Nothing => {}
            }
            last = Some(entry);
        };
        match (&reached, last) {
            (Reached::End, _) => cursor.0 = Place::End,
            (_, Some(entry)) => cursor.0 = Place::AfterEntry(entry.clone()),
            (_, None) => {}
        }
        reached
    }

    fn read_heap(
        &self,
        me: TransactionId,
        view: View,
        descending: bool,
        cursor: &mut ReadCursor,
        rows_max: usize,
        out: &mut Vec<(RowId, Row)>,
    ) -> Reached {
        let range = match cursor.0 {
            Place::AfterRow(id) if descending => (Bound::Unbounded, Bound::Excluded(id)),
            Place::AfterRow(id) => (Bound::Excluded(id), Bound::Unbounded),
            Place::End => return Reached::End,
            Place::Start | Place::AfterEntry(_) => (Bound::Unbounded, Bound::Unbounded),
        };
        let range = self.rows.range(range);
        let mut walk: Box<dyn Iterator<Item = (&RowId, &Slot)>> =
            if descending { Box::new(range.rev()) } else { Box::new(range) };
        loop {
            if out.len() >= rows_max {
                return Reached::Limit;
            }
            let Some((id, slot)) = walk.next() else {
                cursor.0 = Place::End;
                return Reached::End;
            };
            match slot.seen(view, me) {
                Seen::Held(holder) => return Reached::Held(holder),
                Seen::Row(row) => out.push((*id, Row::clone(row))),
                Seen::Nothing => {}
            }
            cursor.0 = Place::AfterRow(*id);
        }
    }
}

/// What came of locking a row that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Locked {
    /// As it was read.
    Now,
    /// It was this transaction's already.
    Before,
    /// Changed since it was read, and this transaction's already.
    Changed,
    /// Changed since it was read, and locked now.
    ChangedNow,
}

/// Why reading paused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reached {
    Limit,
    End,
    Held(TransactionId),
}

fn no_index(id: IndexId) -> SqlError {
    SqlError::new(308, 16, format!("The index with the number {} is no longer there.", id.0))
}

/// `BTreeSet::range` panics where the low bound is above the high one.
fn is_empty(low: &Bound<Entry>, high: &Bound<Entry>) -> bool {
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => low >= high,
    }
}

fn versions(slot: &Slot) -> impl Iterator<Item = &Row> {
    std::iter::once(&slot.head).chain(&slot.older).filter_map(|version| version.row.as_ref())
}
