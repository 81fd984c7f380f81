//! The selected tables as the stream knows them at its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::schema::{TableName, TableSchema};
use millstream_core::selection::Selection;

use crate::ddl::Statement;
use crate::log::Head;

/// What is known of one table.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// Its shape at this place, for certain.
    Known(Arc<TableSchema>),
    /// Its shape isn't known: its rows are left out.
    Unknown(Retry),
}

/// When to find out about a table again.
#[derive(Debug, Clone)]
pub(super) enum Retry {
    /// A statement is coming that concerns it.
    AtStatement,
    /// Once the stream is here, what the catalog said holds, unless a statement comes before.
    Beyond(Head, Option<Arc<TableSchema>>),
    /// When its rows appear, but not before this moment.
    NotBefore(Instant),
    /// At this moment, a pause after the last try: the user may not read it, and the server doesn't tell when that changes.
    WhenAllowed { at: Instant, pause: Duration },
}

/// All tables that are selected and exist, as far as is known.
#[derive(Debug)]
pub(super) struct Tables {
    selection: Selection,
    standings: BTreeMap<TableName, Standing>,
    /// Grows with every change, so that what was derived from a standing can be recognised as old.
    version: u64,
}

impl Tables {
    pub(super) fn new(selection: Selection) -> Self {
        Self { selection, standings: BTreeMap::new(), version: 0 }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// What was derived from the tables has to be derived again.
    pub(super) fn outdate_routes(&mut self) {
        self.version += 1;
    }

    pub(super) fn selection(&self) -> &Selection {
        &self.selection
    }

    pub(super) fn is_selected(&self, name: &TableName) -> bool {
        self.selection.matches(name)
    }

    pub(super) fn get(&self, name: &TableName) -> Option<&Standing> {
        self.standings.get(name)
    }

    pub(super) fn set(&mut self, name: &TableName, standing: Standing) {
        self.version += 1;
        self.standings.insert(name.clone(), standing);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, name: &TableName) -> bool {
        self.version += 1;
        self.standings.remove(name).is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &TableName> {
        self.standings.keys()
    }

    /// The tables whose shape is known.
    pub(super) fn known(&self) -> impl Iterator<Item = (&TableName, &Arc<TableSchema>)> {
        self.standings.iter().filter_map(|(name, standing)| match standing {
            Standing::Known(schema) => Some((name, schema)),
            Standing::Unknown(_) => None,
        })
    }

    /// The tables that the user may not read, with the moment to ask again.
    pub(super) fn denied(&self) -> impl Iterator<Item = (&TableName, Instant)> {
        self.standings.iter().filter_map(|(name, standing)| match standing {
            Standing::Unknown(Retry::WhenAllowed { at, .. }) => Some((name, *at)),
            _ => None,
        })
    }

    /// The selected tables that a statement may concern: those that are there, and those that it makes.
    pub(super) fn concerned(&self, statement: &Statement) -> Vec<TableName> {
        let mut names: Vec<TableName> =
            self.standings.keys().filter(|name| statement.concerns(name)).cloned().collect();
        for made in made(statement) {
            if self.is_selected(made) && !names.contains(made) {
                names.push(made.clone());
            }
        }
        names
    }

    /// What is to be settled once the stream has passed a place.
    pub(super) fn waiting(&self) -> Vec<(TableName, Head, Option<Arc<TableSchema>>)> {
        let waiting = |(name, standing): (&TableName, &Standing)| match standing {
            Standing::Unknown(Retry::Beyond(head, found)) => Some((name.clone(), head.clone(), found.clone())),
            _ => None,
        };
        self.standings.iter().filter_map(waiting).collect()
    }
}

/// The names that denote a table after a statement, or another than before.
fn made(statement: &Statement) -> Vec<&TableName> {
    match statement {
        Statement::Create(create) if !create.temporary => vec![&create.table],
        Statement::Rename { pairs } => pairs.iter().map(|(_, to)| to).collect(),
        Statement::Alter(alter) => alter.rename_to.iter().chain([&alter.table]).chain(&alter.others).collect(),
        Statement::Unknown(crate::ddl::Suspects::Named(names)) => names.iter().collect(),
        _ => Vec::new(),
    }
}
