//! Rows that foreign keys change inside the storage engine, with no word in the log.
//!
//! What the log does show is the change of the parent's row that set them off. So the stream looks at the changes of
//! every table that is such a parent, selected or not, and says of each selected table at the end of the chains that
//! its rows were replaced.
//!
//! (What they do on behalf of a statement in statement format is in [`statement_format`](super::statement_format).)
//!
//! The foreign keys are read from the catalog, that is as they are now; statements that may change them are followed by
//! another reading. Behind the stream's beginning but before the end that the log had then, a statement may have
//! removed a foreign key that is in no reading: there, whatever removes one counts as a change of the child's rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::schema::{TableName, TableSchema};

use super::follower::{End, Follower};
use super::settle::was_written_by;
use crate::check::{Cascades, ParentChange, unlogged_cascades};
use crate::connect::Connection;
use crate::ddl::Statement;
use crate::decode::{RowDecoder, RowsEvent, RowsKind, TableMap};
use crate::discover;
use crate::log::{self, Head};
use crate::version::Flavor;

const CAUSE: &str = "foreign keys changed rows inside the storage engine";

/// The foreign keys to watch: those whose work the log doesn't show.
#[derive(Debug, Default)]
pub(super) struct Watch {
    cascades: Cascades,
    /// The shapes of the parents now, for finding out which columns an update changed.
    parents: BTreeMap<TableName, Arc<TableSchema>>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unread,
    /// The log shows all that foreign keys do, so there is nothing to watch.
    Logged,
    Read {
        /// Where the log ended when the foreign keys were first read.
        first_at: Head,
        /// Whether they may have changed since.
        outdated: bool,
    },
}

/// How to read the changes of a parent.
#[derive(Debug)]
pub(super) struct Parent {
    name: TableName,
    /// With the names of its columns. Without it, every update counts as one of every column.
    reader: Option<(RowDecoder, Arc<TableSchema>)>,
}

impl Watch {
    /// Where there is no server to ask.
    #[cfg(test)]
    pub(super) fn of_nothing() -> Self {
        Self { state: State::Logged, ..Self::default() }
    }

    async fn read(&mut self, connection: &mut Connection, limit: Duration) -> Result<(), SourceError> {
        let Some(cascades) = unlogged_cascades(connection, limit).await? else {
            self.state = State::Logged;
            return Ok(());
        };
        self.cascades = cascades;
        let names: BTreeSet<TableName> = self.cascades.iter().map(|cascade| cascade.parent.clone()).collect();
        let names: Vec<TableName> = names.into_iter().collect();
        self.parents = match names.is_empty() {
            true => BTreeMap::new(),
            false => {
                let found = discover::named(connection, limit, &names).await?;
                found.into_iter().map(|(name, schema)| (name, Arc::new(schema))).collect()
            }
        };
        match &mut self.state {
            State::Read { outdated, .. } => *outdated = false,
            state => *state = State::Read { first_at: log::head(connection, limit).await?, outdated: false },
        }
        Ok(())
    }

    /// `None` if nothing depends on the table's rows. Without a map that can be read, its updates are taken to change
    /// every column.
    pub(super) fn parent(&self, name: &TableName, map: Option<&TableMap>, flavor: Flavor) -> Option<Parent> {
        if !self.is_parent(name) {
            return None;
        }
        let reader = map.zip(self.parents.get(name)).and_then(|(map, schema)| {
            let decoder = RowDecoder::new(flavor, map, schema).ok()?;
            Some((decoder, Arc::clone(schema)))
        });
        Some(Parent { name: name.clone(), reader })
    }

    pub(super) fn is_parent(&self, name: &TableName) -> bool {
        self.cascades.is_parent(name)
    }

    /// The tables whose rows an event of this parent's may have changed as well.
    pub(super) fn affected(&self, parent: &Parent, event: &RowsEvent<'_>) -> BTreeSet<TableName> {
        match event.kind {
            RowsKind::Write => BTreeSet::new(),
            RowsKind::Delete => self.cascades.affected(&parent.name, ParentChange::Deleted),
            RowsKind::Update | RowsKind::PartialUpdate => {
                let columns = self.updated(parent, event);
                let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                self.cascades.affected(&parent.name, ParentChange::Updated(&columns))
            }
        }
    }

    fn updated(&self, parent: &Parent, event: &RowsEvent<'_>) -> Vec<String> {
        if let Some((decoder, schema)) = &parent.reader
            && let Ok(updated) = decoder.updated(event)
        {
            return updated.iter().filter_map(|index| schema.columns.get(*index)).map(|c| c.name.clone()).collect();
        }
        let of_parent = self.cascades.iter().filter(|cascade| cascade.parent == parent.name);
        of_parent.flat_map(|cascade| cascade.parent_columns.iter().cloned()).collect()
    }
}

/// Whether a statement may bring or remove foreign keys, or give their tables other names.
pub(super) fn may_change_foreign_keys(statement: &Statement) -> bool {
    match statement {
        Statement::Noise
        | Statement::Transaction(_)
        | Statement::StoredObjects(_)
        | Statement::Truncate { .. }
        | Statement::Dml(_) => false,
        Statement::Create(create) => !create.temporary && create.foreign_keys,
        Statement::Drop { temporary, .. } => !temporary,
        Statement::Alter(alter) => alter.foreign_keys || alter.rename_to.is_some(),
        Statement::DropDatabase { .. } | Statement::Rename { .. } | Statement::Unknown(_) => true,
    }
}

impl Follower {
    /// Makes sure that the foreign keys are those of now, before rows of any table are looked at.
    pub(super) async fn watch_cascades(&mut self) -> Result<(), End> {
        if matches!(self.watch.state, State::Logged | State::Read { outdated: false, .. }) {
            return Ok(());
        }
        let limit = self.connector.query_timeout();
        let mut connection = self.connector.open().await?;
        let before = self.watch.cascades.clone();
        self.watch.read(&mut connection, limit).await?;
        if self.watch.cascades != before {
            self.tables.outdate_routes();
        }
        Ok(())
    }

    /// Takes note of a statement, whatever tables it is about.
    pub(super) fn note_foreign_keys(&mut self, statement: &Statement, text: &[u8]) {
        if !may_change_foreign_keys(statement) {
            return;
        }
        let State::Read { first_at, outdated } = &mut self.watch.state else { return };
        *outdated = true;
        if !was_written_by(&self.place, first_at) {
            return;
        }
        let children = match statement {
            // The words without which no foreign key is removed.
            Statement::Alter(alter) if mentions(text, b"FOREIGN") || mentions(text, b"CONSTRAINT") => {
                BTreeSet::from([alter.table.clone()])
            }
            // The foreign keys of now name the parent as it is called now.
            Statement::Rename { pairs } => {
                let affected =
                    |(_, to): &(TableName, TableName)| self.watch.cascades.affected(to, ParentChange::Deleted);
                pairs.iter().flat_map(affected).collect()
            }
            Statement::Alter(alter) => match &alter.rename_to {
                Some(to) => self.watch.cascades.affected(to, ParentChange::Deleted),
                None => BTreeSet::new(),
            },
            _ => BTreeSet::new(),
        };
        for child in children {
            self.rows_replaced(&child, CAUSE);
        }
    }

    pub(super) fn cascaded(&mut self, affected: BTreeSet<TableName>) {
        self.replaced_unseen(affected, CAUSE);
    }
}

fn mentions(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
