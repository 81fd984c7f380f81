//! Distributed transactions: their rows stand in the log where they were prepared, and count where they are committed.
//!
//! A prepared transaction's rows must not be visible before its XA COMMIT, which may come much later or never. So they
//! are kept by its id, in bounded memory. Where they can't be kept (too large, too many, or prepared before this
//! stream began) its XA COMMIT says instead that the tables' rows were replaced: a re-read finds what it changed,
//! whatever that was. No row of it can change between PREPARE and COMMIT, as its locks last until then.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::change::{Event, RowChanges};
use millstream_core::schema::{TableName, TableSchema};

use super::event::RawEvent;
use super::follower::{End, Follower};
use super::tables::Standing;
use crate::ddl::Xid;

/// How much all prepared transactions together may keep.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// How many prepared transactions are remembered.
const BRANCHES_MAX: usize = 10_000;

/// The rows of one distributed transaction.
#[derive(Debug)]
pub(super) struct Branch {
    xid: Xid,
    tables: Vec<TableName>,
    /// `None` once they have become too many.
    events: Option<Vec<Event>>,
    /// Tables whose rows it changed unseen, and how; with the statement that did, where one did.
    replaced: BTreeMap<TableName, (&'static str, Option<String>)>,
}

impl Branch {
    pub(super) fn new(xid: Xid) -> Self {
        Self { xid, tables: Vec::new(), events: Some(Vec::new()), replaced: BTreeMap::new() }
    }

    /// Where row changes decoded by this schema go; `None` if they aren't kept.
    pub(super) fn rows(&mut self, schema: &Arc<TableSchema>) -> Option<&mut RowChanges> {
        if !self.tables.contains(&schema.table) {
            self.tables.push(schema.table.clone());
        }
        if self.size_bytes() > KEPT_BYTES_MAX {
            self.events = None;
        }
        let events = self.events.as_mut()?;
        let goes_on = matches!(events.last(), Some(Event::Rows(last)) if Arc::ptr_eq(&last.schema, schema));
        if !goes_on {
            events.push(Event::Rows(RowChanges::new(Arc::clone(schema))));
        }
        match events.last_mut() {
            Some(Event::Rows(rows)) => Some(rows),
            _ => None,
        }
    }

    pub(super) fn replaced(&mut self, name: &TableName, cause: &'static str, statement: Option<&str>) {
        self.replaced.insert(name.clone(), (cause, statement.map(str::to_owned)));
    }

    fn size_bytes(&self) -> usize {
        let size = |event: &Event| match event {
            Event::Rows(rows) => rows.rows.size_bytes(),
            Event::Schema(_) => 0,
        };
        self.events.iter().flatten().map(size).sum()
    }
}

/// The prepared ones.
#[derive(Debug, Default)]
pub(super) struct Branches {
    prepared: BTreeMap<Xid, Branch>,
    kept_bytes: usize,
}

impl Branches {
    /// One that isn't remembered counts as prepared before the stream began.
    fn prepare(&mut self, mut branch: Branch) {
        let size = branch.size_bytes();
        if self.kept_bytes + size > KEPT_BYTES_MAX {
            branch.events = None;
        } else {
            self.kept_bytes += size;
        }
        if self.prepared.len() < BRANCHES_MAX {
            self.prepared.insert(branch.xid.clone(), branch);
        }
    }

    fn take(&mut self, xid: &Xid) -> Option<Branch> {
        let branch = self.prepared.remove(xid)?;
        self.kept_bytes = self.kept_bytes.saturating_sub(branch.size_bytes());
        Some(branch)
    }
}

impl Follower {
    pub(super) fn xa_start(&mut self, xid: Xid) {
        let open = self.open.get_or_insert_default();
        open.stays_open();
        open.branch = Some(Branch::new(xid));
    }

    /// The event that prepares, or commits in one phase, what is open.
    pub(super) fn xa_prepare(&mut self, event: &RawEvent) -> Result<(), End> {
        let one_phase = super::event::xa_is_one_phase(&event.body)?;
        if one_phase {
            let branch = self.open.as_mut().and_then(|open| open.branch.take());
            branch.into_iter().for_each(|branch| self.deliver(branch));
        } else {
            self.keep_prepared();
        }
        self.commit();
        Ok(())
    }

    pub(super) fn keep_prepared(&mut self) {
        if let Some(branch) = self.open.as_mut().and_then(|open| open.branch.take()) {
            self.branches().prepare(branch);
        }
    }

    /// XA COMMIT; the caller ends the transaction that it stands in.
    pub(super) fn xa_commit(&mut self, xid: &Xid) {
        let open = self.open.as_mut().and_then(|open| open.branch.take());
        match open.or_else(|| self.branches().take(xid)) {
            Some(branch) => self.deliver(branch),
            None => self.lost_rows("a distributed transaction was committed that was prepared long before"),
        }
    }

    pub(super) fn xa_rollback(&mut self, xid: &Xid) {
        self.branches().take(xid);
        if let Some(open) = &mut self.open {
            open.branch = None;
        }
    }

    fn deliver(&mut self, branch: Branch) {
        // Its locks keep the tables' shapes; whatever else may have happened, only rows of the shape that the table
        // has now are handed on.
        let current = |event: &Event| match event {
            Event::Rows(rows) => matches!(
                self.tables.get(&rows.schema.table),
                Some(Standing::Known(schema)) if Arc::ptr_eq(schema, &rows.schema)
            ),
            Event::Schema(_) => true,
        };
        match branch.events {
            Some(events) if events.iter().all(current) => events.into_iter().for_each(|event| self.outbox.push(event)),
            _ => {
                for name in &branch.tables {
                    self.rows_replaced(name, "a large distributed transaction was committed");
                }
            }
        }
        for (name, (cause, statement)) in &branch.replaced {
            self.rows_replaced_by(name, cause, statement.as_deref());
        }
    }
}
