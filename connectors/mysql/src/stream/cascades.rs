//! Rows that foreign keys change inside the storage engine, with no word in the log.
//!
//! What the log does show is the change of the parent's row that set them off. So the stream looks at the changes of
//! every table that is such a parent, selected or not, and says of each selected table at the end of the chains that
//! its rows were replaced.
//!
//! (What they do on behalf of a statement in statement format is in [`statement_format`](super::statement_format).)
//!
//! The foreign keys are read from the catalog, that is as they are now; statements that may change them are followed by
//! another reading. Before the end that the log had at the newest reading, a statement may have removed a foreign key that
//! is in no reading: there, whatever removes one counts as a change of the child's rows, and of the rows that foreign keys
//! further down the chain can have changed. For that the first such statement of a stream asks for a reading as well: rows
//! of the parent may have been changed before the stream began.

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
        /// Where the log ended when the foreign keys were read.
        at: Head,
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
        self.state = State::Read { at: log::head(connection, limit).await?, outdated: false };
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

    /// The tables whose rows may have been changed by foreign keys that this statement removes or gives other names. The
    /// foreign keys that are left name tables as they are called now.
    fn hidden_by(&self, statement: &Statement, text: &[u8]) -> BTreeSet<TableName> {
        let below = |name: &TableName| self.cascades.affected_by_statement(name);
        let below_all = |is_gone: &dyn Fn(&TableName) -> bool| {
            self.cascades.iter().filter(|cascade| is_gone(&cascade.parent)).flat_map(|c| below(&c.parent)).collect()
        };
        match statement {
            Statement::Alter(alter) => {
                let mut children = alter.rename_to.as_ref().map(below).unwrap_or_default();
                // The words without which no foreign key is removed.
                if mentions(text, b"DROP") && (mentions(text, b"FOREIGN") || mentions(text, b"CONSTRAINT")) {
                    children.extend(below(&alter.table));
                    children.insert(alter.table.clone());
                }
                children
            }
            Statement::Rename { pairs } => pairs.iter().flat_map(|(_, to)| below(to)).collect(),
            Statement::Drop { tables, .. } => tables.iter().flat_map(below).collect(),
            Statement::Create(create) => below(&create.table),
            Statement::DropDatabase { database } => below_all(&|parent| parent.schema == *database),
            Statement::Unknown(suspects) => below_all(&|parent| suspects.include(parent)),
            _ => BTreeSet::new(),
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
        | Statement::Optimize { .. }
        | Statement::Dml(_) => false,
        Statement::Create(create) => !create.temporary && (create.foreign_keys || create.or_replace),
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
    pub(super) async fn note_foreign_keys(&mut self, statement: &Statement, text: &[u8]) -> Result<(), End> {
        if !may_change_foreign_keys(statement) {
            return Ok(());
        }
        if matches!(self.watch.state, State::Unread) {
            self.watch_cascades().await?;
        }
        let State::Read { at, outdated } = &mut self.watch.state else { return Ok(()) };
        *outdated = true;
        if was_written_by(&self.place, at) {
            for child in self.watch.hidden_by(statement, text) {
                self.rows_replaced(&child, CAUSE);
            }
        }
        Ok(())
    }

    pub(super) fn cascaded(&mut self, affected: BTreeSet<TableName>) {
        self.replaced_unseen(affected, CAUSE);
    }
}

fn mentions(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
