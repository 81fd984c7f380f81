//! What is to be done for each table between two places: the catalog compared with what is known.
//!
//! Some things happen without a place in the log to show for it: a table is dropped or renamed, an instance is dropped.
//! They are told at the beginning of what is read next. That is right for each of them: rows that follow are either
//! left out, or belong to a table that is read again from there on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use millstream_core::schema::TableName;
use millstream_core::schema_change::SchemaChangeKind;

use super::idle::Agenda;
use super::tables::{Standing, Tables};
use crate::capture::catalog::Catalog;
use crate::capture::plan::{Change, Gaps, Plan, Step, begin, plan};
use crate::capture::statements::ENABLE_DATABASE;
use crate::capture::table::CapturedTable;
use crate::position::Lsn;

/// How long a table may be without an instance that is ready before anybody is told: it takes a moment.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The cleanup of the server is ahead of the upper place: ask for a new one.
#[derive(Debug)]
pub(super) struct Overtaken;

/// What remains to be told of tables that can't be followed.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Since when tables without an instance that is ready have been waited for, by object id.
    since: HashMap<i32, Instant>,
    /// Whether somebody is about to make instances.
    help_is_coming: bool,
}

/// Everything for the commits above `after` and up to `upto`.
pub(super) fn agenda(
    tables: &Tables,
    catalog: &Catalog,
    waiting: &mut Waiting,
    after: Lsn,
    upto: Lsn,
) -> Result<Agenda, Overtaken> {
    let gaps = if waiting.help_is_coming { Gaps::Hold } else { Gaps::LeaveOut };
    let mut agenda = Agenda::new();
    let told = |kind| Step::Change(Change { at: after.next(), kind, statement: None, at_ms: 0, then: None });
    for (name, _) in tables.iter().filter(|(name, _)| !catalog.tables().contains_key(name)) {
        agenda.insert(name.clone(), vec![told(SchemaChangeKind::Dropped)]);
    }
    for (name, table) in catalog.tables() {
        let standing = tables.get(name);
        let planned = match standing {
            Some(Standing::Followed(following)) if following.object == table.object => {
                plan(table, following, gaps, after, upto)
            }
            Some(Standing::Followed(_)) => {
                begin(table, gaps, after, upto, |schema| SchemaChangeKind::Replaced { schema })
            }
            Some(Standing::Held { not_before, .. }) if not_before.is_some_and(|moment| Instant::now() < moment) => {
                continue;
            }
            Some(Standing::Held { .. }) => {
                begin(table, gaps, after, upto, |schema| SchemaChangeKind::Settled { schema })
            }
            None => begin(table, gaps, after, upto, |schema| SchemaChangeKind::Created { schema, empty: false }),
        };
        match planned {
            Plan::Follow(steps, _) => {
                waiting.since.remove(&table.object);
                agenda.insert(name.clone(), steps);
            }
            Plan::Overtaken => return Err(Overtaken),
            Plan::Uncaptured => {
                let kind = waiting.uncaptured(name, standing, table, catalog);
                agenda.extend(kind.map(|kind| (name.clone(), vec![told(kind)])));
            }
        }
    }
    Ok(agenda)
}

impl Waiting {
    pub(super) fn new(help_is_coming: bool) -> Self {
        Self { since: HashMap::new(), help_is_coming }
    }

    /// What to tell of a table that has no instance to be read through; `None` if nothing, or nothing yet.
    fn uncaptured(
        &mut self,
        name: &TableName,
        standing: Option<&Standing>,
        table: &CapturedTable,
        catalog: &Catalog,
    ) -> Option<SchemaChangeKind> {
        let since = *self.since.entry(table.object).or_insert_with(Instant::now);
        let is_followed = matches!(standing, Some(Standing::Followed(_)));
        let is_coming = catalog.is_enabled() && (!table.instances.is_empty() || self.help_is_coming);
        // Rows of a table that was followed are being missed, and whoever waits for a table in a gap must know of it.
        let in_gap = table.newest().is_some_and(|newest| newest.start.is_some());
        if is_coming && !is_followed && !in_gap && since.elapsed() < READY_WITHIN {
            return None;
        }
        let (reason, remedy) = why_uncaptured(name, table, catalog);
        let remedy = remedy.filter(|_| !is_coming || since.elapsed() >= READY_WITHIN);
        match standing {
            Some(Standing::Held { reason: told, .. }) if *told == reason => None,
            _ => Some(SchemaChangeKind::Unreadable { reason, remedy }),
        }
    }
}

fn why_uncaptured(name: &TableName, table: &CapturedTable, catalog: &Catalog) -> (String, Option<String>) {
    let taken = |instance: &str| catalog.is_taken(instance);
    match table.wanted_first(taken).or_else(|| table.wanted_next(taken)) {
        Some(want) if !catalog.is_enabled() => (
            format!("change data capture is off for the database of {name}"),
            Some(format!("Run: {ENABLE_DATABASE}; {}", want.statement)),
        ),
        Some(want) => (want.reason, Some(format!("Run: {}", want.statement))),
        None => (
            "its capture instance isn't ready: the capture process hasn't come to it".to_owned(),
            Some("Nothing to do if the capture job runs; see that SQL Server Agent and the job do".to_owned()),
        ),
    }
}
