//! Rows that a statement in statement format changed: in the tables that it names, and in others.
//!
//! The log has the statement alone. What views, triggers, functions and foreign keys made of it is found out from the
//! catalog, which is asked when such a statement comes, and again only after one that may have changed the answer.
//!
//! The catalog tells of now, the statement is of its place in the log. Where the log had gone on beyond that place when
//! the catalog was read, a trigger that took part may have been dropped in between: then the statement that dropped it
//! is still to come, and whatever it may have hidden counts as changed there. For that it is enough to know the
//! databases of everything that those statements, and what they set off, named; and after a restart, that there were
//! such statements, which the position tells.

use std::collections::BTreeSet;
use std::time::Instant;

use millstream_core::schema::TableName;

use super::cascades::may_change_foreign_keys;
use super::event::Query;
use super::follower::{End, Follower};
use super::settle::RETRY_AFTER;
use super::statements::kept;
use crate::check::{Cascades, cascades};
use crate::ddl::{Dml, Statement, Suspects};
use crate::log;
use crate::position::SeriesPlace;
use crate::stored_objects::{self, Reached, StoredObjects};

const CAUSE: &str = "a statement in statement format changed rows";
const REACHED_CAUSE: &str =
    "a statement in statement format may have changed rows by a view, a trigger, a function or a foreign key";
const UNSEEN_CAUSE: &str =
    "a statement in statement format may have changed rows by triggers and functions, which the user can't all see";
const HIDDEN_CAUSE: &str = "a view, trigger, function or foreign key that took part in statements may be gone";
/// Of so many databases it is remembered that statements named something of them; beyond, of all.
const DATABASES_MAX: usize = 10_000;

/// What statements may set off.
#[derive(Debug, Default)]
pub(super) struct SetOff {
    answer: Answer,
    relied_on: ReliedOn,
}

/// The catalog's answer.
#[derive(Debug, Default)]
enum Answer {
    /// It hasn't been asked, or something has changed since.
    #[default]
    Unknown,
    /// The user doesn't see all of it; it may be asked again at this moment.
    Unseen(Instant),
    Known(Known),
}

#[derive(Debug, Default)]
struct Known {
    stored_objects: StoredObjects,
    foreign_keys: Cascades,
    /// Where the log ended behind the answer; `None` if nothing comes before that.
    read_at: Option<SeriesPlace>,
}

/// What statements, and what they set off, named before the place that the log had gone on to when the catalog was
/// asked about them.
#[derive(Debug, Default)]
struct ReliedOn {
    databases: Databases,
    /// The furthest such place.
    until: Option<SeriesPlace>,
}

#[derive(Debug)]
enum Databases {
    These(BTreeSet<String>),
    /// Too many to remember, or they were known before a restart.
    All,
}

impl Default for Databases {
    fn default() -> Self {
        Databases::These(BTreeSet::new())
    }
}

impl SetOff {
    /// Where there is no server to ask.
    #[cfg(test)]
    pub(super) fn nothing() -> Self {
        Self { answer: Answer::Known(Known::default()), ..Self::default() }
    }

    /// Where a stream goes on that had relied on the catalog's answer until this place.
    pub(super) fn resumed(relied_until: Option<SeriesPlace>) -> Self {
        let relied_on = match relied_until {
            Some(until) => ReliedOn { databases: Databases::All, until: Some(until) },
            None => ReliedOn::default(),
        };
        Self { relied_on, ..Self::default() }
    }

    /// Until where a stream that resumes at a place has to be wary of what statements drop.
    pub(super) fn relied_until(&self, place: SeriesPlace) -> Option<SeriesPlace> {
        self.relied_on.until.filter(|until| place < *until)
    }
}

impl ReliedOn {
    fn add(&mut self, reached: &Reached, place: SeriesPlace, read_at: SeriesPlace) {
        if self.until.is_some_and(|until| place >= until) {
            self.databases = Databases::default();
        }
        self.until = self.until.max(Some(read_at));
        for name in reached.written.iter().chain(&reached.named) {
            let Databases::These(databases) = &mut self.databases else { return };
            if !databases.contains(&name.schema) {
                databases.insert(name.schema.clone());
            }
            if databases.len() > DATABASES_MAX {
                self.databases = Databases::All;
            }
        }
    }

    /// Whether what took part in one of those statements may be gone by this one.
    fn may_have_lost(&self, statement: &Statement) -> bool {
        let Databases::These(databases) = &self.databases else { return true };
        let includes = |name: &TableName| databases.contains(&name.schema);
        match statement {
            Statement::StoredObjects(names) => names.is_empty() || names.iter().any(includes),
            Statement::Drop { tables, .. } => tables.iter().any(includes),
            Statement::DropDatabase { database } => databases.contains(database),
            Statement::Rename { pairs } => pairs.iter().any(|(from, _)| includes(from)),
            Statement::Create(create) => create.or_replace && includes(&create.table),
            Statement::Alter(alter) => includes(&alter.table),
            _ => true,
        }
    }
}

/// Whether a statement may change what others set off.
fn may_change(statement: &Statement) -> bool {
    match statement {
        Statement::StoredObjects(_) => true,
        // A trigger goes with its table, and a foreign key as well.
        statement => may_change_foreign_keys(statement),
    }
}

impl Follower {
    /// Takes note of a statement that may change what others set off.
    pub(super) fn note_set_off(&mut self, statement: &Statement) {
        if !may_change(statement) {
            return;
        }
        self.set_off.answer = Answer::Unknown;
        let relied_on = &self.set_off.relied_on;
        let lags = relied_on.until.is_some_and(|until| self.place.in_series() <= until);
        if lags && relied_on.may_have_lost(statement) {
            self.set_off.relied_on = ReliedOn::default();
            self.lost_rows(HIDDEN_CAUSE);
        }
    }

    /// Says of each selected table that a statement may have written to that its rows were replaced.
    pub(super) async fn rows_changed(
        &mut self,
        dml: &Dml,
        statement: &Statement,
        query: &Query<'_>,
    ) -> Result<(), End> {
        let (others, cause) = match &dml.written {
            Suspects::Everything => (Suspects::Everything, CAUSE),
            _ => self.reached_by(dml).await?,
        };
        let known: Vec<TableName> = self.tables.known().map(|(name, _)| name.clone()).collect();
        let (named, rest): (Vec<_>, Vec<_>) = known.into_iter().partition(|name| dml.written.include(name));
        if !named.is_empty() {
            let text = kept(statement, query, &self.server);
            for name in named {
                self.rows_replaced_in_transaction(&name, CAUSE, Some(&text));
            }
        }
        self.replaced_unseen(rest.into_iter().filter(|name| others.include(name)), cause);
        Ok(())
    }

    /// The tables that a statement may have written to, and why it is said of those that it doesn't name.
    async fn reached_by(&mut self, dml: &Dml) -> Result<(Suspects, &'static str), End> {
        self.ask_what_is_set_off().await?;
        let SetOff { answer: Answer::Known(known), relied_on } = &mut self.set_off else {
            return Ok((Suspects::Everything, UNSEEN_CAUSE));
        };
        let Some(reached) = known.stored_objects.reached_by(dml, &known.foreign_keys) else {
            return Ok((Suspects::Everything, REACHED_CAUSE));
        };
        let place = self.place.in_series();
        if let Some(read_at) = known.read_at.filter(|read_at| place < *read_at) {
            relied_on.add(&reached, place, read_at);
        }
        Ok((Suspects::Named(reached.written), REACHED_CAUSE))
    }

    async fn ask_what_is_set_off(&mut self) -> Result<(), End> {
        match &self.set_off.answer {
            Answer::Known(_) => return Ok(()),
            Answer::Unseen(until) if Instant::now() < *until => return Ok(()),
            Answer::Unknown | Answer::Unseen(_) => {}
        }
        let limit = self.connector.query_timeout();
        let mut connection = self.connector.open().await?;
        self.set_off.answer = match stored_objects::read(&mut connection, limit).await? {
            None => Answer::Unseen(Instant::now() + RETRY_AFTER),
            Some(stored_objects) => {
                let foreign_keys = cascades(&mut connection, limit).await?;
                let read_at = Some(log::head(&mut connection, limit).await?.in_series());
                Answer::Known(Known { stored_objects, foreign_keys, read_at })
            }
        };
        Ok(())
    }
}
