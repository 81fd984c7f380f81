//! Rows that changed otherwise than the log shows: their tables are to be read again.

use millstream_core::schema::TableName;
use millstream_core::schema_change::SchemaChangeKind;

use super::event;
use super::follower::{Follower, Open};
use super::tables::Standing;

impl Follower {
    pub(super) fn touch(&mut self, name: &TableName) {
        if let Some(open) = &mut self.open
            && !open.touched.contains(name)
        {
            open.touched.push(name.clone());
        }
    }

    /// What the log showed of the open transaction didn't happen, or only a part of it. Some of it may have been
    /// handed over.
    pub(super) fn rolled_back(&mut self) {
        let touched = self.open.as_mut().map(|open| std::mem::take(&mut open.touched)).unwrap_or_default();
        for name in touched {
            self.rows_replaced(&name, "a transaction that the log shows was rolled back");
        }
    }

    pub(super) fn broken_off(&mut self) {
        if self.open.is_some() {
            self.rolled_back();
            // It has no place among the executed ones.
            self.open = None;
        }
    }

    /// The server couldn't write events to its log. Which, nobody knows; the message says why. It stands for the
    /// transaction that it is in, and ends it unless that has an end of its own.
    pub(super) fn incident(&mut self, body: &[u8]) {
        let message = event::incident_message(body).unwrap_or_default();
        self.lost_rows(format!("the server lost events of its log: {message}").trim_end_matches([':', ' ']));
        if self.open.as_ref().is_some_and(|open| !open.began) {
            self.commit();
        }
    }

    /// The log doesn't tell what happened to rows of any table.
    pub(super) fn lost_rows(&mut self, cause: &str) {
        let names: Vec<TableName> = self.tables.known().map(|(name, _)| name.clone()).collect();
        for name in names {
            self.rows_replaced(&name, cause);
        }
    }

    /// Says that rows of a table changed unseen; no need where its rows will be read again anyway.
    pub(super) fn rows_replaced(&mut self, name: &TableName, cause: &str) {
        self.rows_replaced_by(name, cause, None);
    }

    /// The same where a statement did it.
    pub(super) fn rows_replaced_by(&mut self, name: &TableName, cause: &str, statement: Option<&str>) {
        if matches!(self.tables.get(name), Some(Standing::Known(_))) {
            self.change(name, SchemaChangeKind::RowsReplaced { cause: cause.to_owned() }, statement);
        }
    }

    /// The same for what the open transaction did: a prepared one's changes count when it is committed.
    pub(super) fn rows_replaced_in_transaction(
        &mut self,
        name: &TableName,
        cause: &'static str,
        statement: Option<&str>,
    ) {
        match self.open.as_mut().and_then(|open| open.branch.as_mut()) {
            Some(branch) => branch.replaced(name, cause, statement),
            None => self.rows_replaced_by(name, cause, statement),
        }
    }

    /// The same of tables that the transaction doesn't name, of each once, and at its end: a row that it hands on
    /// afterwards would count as seen by the read, though it may have been removed unseen in its turn.
    pub(super) fn replaced_unseen(&mut self, names: impl IntoIterator<Item = TableName>, cause: &'static str) {
        for name in names {
            match &mut self.open {
                Some(Open { branch: Some(branch), .. }) => branch.replaced(&name, cause, None),
                Some(open) => drop(open.replaced_unseen.entry(name).or_insert(cause)),
                None => self.rows_replaced(&name, cause),
            }
        }
    }
}
