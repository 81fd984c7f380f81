//! What is to be done for each table between two places: the catalog compared with what is known.
//!
//! Some things happen without a place in the log to show for it: a table is dropped or renamed, an instance is dropped.
//! They are told at the beginning of what is read next. That is right for each of them: rows that follow are either
//! left out, or belong to a table that is read again from there on.
//!
//! A table that is begun, for the first time or again, must not have been switched behind the place where it is begun
//! ([`partitions`](crate::capture::partitions)). Where nobody knows what its partitions were, it waits for its
//! [`Anchor`].

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use millstream_core::schema::TableName;
use millstream_core::schema_change::SchemaChangeKind;
use millstream_core::source::{HiddenTable, Remark};

use super::idle::Agenda;
use super::tables::{Standing, Tables};
use crate::capture::catalog::Catalog;
use crate::capture::partitions::PartitionMark;
use crate::capture::plan::{Change, Following, Gaps, Plan, Step, begin, plan};
use crate::capture::statements::ENABLE_DATABASE;
use crate::capture::table::CapturedTable;
use crate::position::Lsn;

/// How long a table may be without an instance that is ready before anybody is told: it takes a moment.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The cleanup of the server is ahead of the upper place: ask for a new one.
#[derive(Debug)]
pub(super) struct Overtaken;

/// A stretch of the log, as it is being planned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Everything up to here has been handed over.
    pub(super) after: Lsn,
    /// The upper place.
    pub(super) upto: Lsn,
    /// Where the log ended behind the look at the catalog.
    pub(super) end: Lsn,
}

/// What remains to be told of tables that can't be followed.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Since when tables without an instance that is ready have been waited for, by object id.
    since: HashMap<i32, Instant>,
    /// Where tables can be begun, by object id.
    anchors: HashMap<i32, Anchor>,
    /// Whether somebody is about to make instances.
    help_is_coming: bool,
    /// Why they could not, where they could not.
    failures: BTreeMap<TableName, Remark>,
}

/// A place that nothing was switched behind which these partitions don't show.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    partitions: Option<PartitionMark>,
    at: Lsn,
}

/// Tables that the catalog doesn't show any more, with their object ids where these are known.
pub(super) fn missing(tables: &Tables, catalog: &Catalog) -> Vec<(TableName, Option<i32>)> {
    let gone = tables.iter().filter(|(name, _)| !catalog.tables().contains_key(name));
    let with_object = |(name, standing): (&TableName, &Standing)| match standing {
        Standing::Followed(following) => (name.clone(), Some(following.origin.object)),
        Standing::Held { .. } => (name.clone(), None),
    };
    gone.map(with_object).collect()
}

/// Everything for the commits of a stretch of the log. `hidden` are those of the missing tables that may exist.
pub(super) fn agenda(
    tables: &Tables,
    catalog: &Catalog,
    hidden: &[HiddenTable],
    waiting: &mut Waiting,
    reach: Reach,
) -> Result<Agenda, Overtaken> {
    let mut agenda = Agenda::new();
    let first = reach.after.next();
    let told = |kind| vec![Step::Change(Change { at: first, kind, statement: None, at_ms: 0, then: None })];
    for (name, standing) in tables.iter().filter(|(name, _)| !catalog.tables().contains_key(name)) {
        let kind = match (hidden.iter().find(|hidden| hidden.table == *name), standing) {
            (None, _) => SchemaChangeKind::Dropped,
            (Some(hidden), Standing::Held { reason, .. }) if *reason == hidden.reason => continue,
            (Some(HiddenTable { reason, remedy, .. }), _) => {
                SchemaChangeKind::Unreadable { reason: reason.clone(), remedy: remedy.clone() }
            }
        };
        agenda.insert(name.clone(), told(kind));
    }
    for (name, table) in catalog.tables() {
        match waiting.planned(tables, name, table, reach) {
            Next::Steps(Plan::Follow(steps, _)) => {
                waiting.since.remove(&table.object);
                agenda.insert(name.clone(), steps);
            }
            Next::Steps(Plan::Overtaken) => return Err(Overtaken),
            Next::Steps(Plan::Uncaptured) => {
                let kind = waiting.uncaptured(name, tables.get(name), table, catalog);
                agenda.extend(kind.map(|kind| (name.clone(), told(kind))));
            }
            Next::Hold(reason) => {
                let kind = SchemaChangeKind::Unreadable { reason: reason.to_owned(), remedy: None };
                agenda.insert(name.clone(), told(kind));
            }
            Next::Nothing => {}
        }
    }
    waiting.anchors.retain(|object, _| catalog.tables().values().any(|table| table.object == *object));
    Ok(agenda)
}

/// What comes next for one table.
enum Next {
    Steps(Plan),
    /// It can't be followed for a moment.
    Hold(&'static str),
    Nothing,
}

const SWITCHED: &str = "rows were switched into it or out of it, or its clustered index was built anew, which capture \
                        doesn't show: it is read again once the log has been captured up to there";
const ROTATED: &str = "its capture instance has just been made, in place of another: it is read once the log has been \
                       captured up to there";
const ANOTHER: &str = "the name denotes another table now, which is read once the log has been captured up to there";

impl Waiting {
    pub(super) fn new(help_is_coming: bool) -> Self {
        Self { since: HashMap::new(), anchors: HashMap::new(), help_is_coming, failures: BTreeMap::new() }
    }

    /// The tables whose instances can't be made by whoever is about to.
    pub(super) fn set_failures(&mut self, failures: BTreeMap<TableName, Remark>) {
        self.failures = failures;
    }

    fn planned(&mut self, tables: &Tables, name: &TableName, table: &CapturedTable, reach: Reach) -> Next {
        let gaps = if self.help_is_coming { Gaps::Hold } else { Gaps::LeaveOut };
        let Reach { after, upto, .. } = reach;
        let standing = tables.get(name);
        let (replaces, reason) = match standing {
            Some(Standing::Followed(Following { origin, .. }))
                if (origin.object, origin.made_ms) != (table.object, table.made_ms) =>
            {
                (true, ANOTHER)
            }
            Some(Standing::Followed(following)) if following.origin.partitions != table.partitions => (true, SWITCHED),
            Some(Standing::Followed(following)) => {
                self.anchors.remove(&table.object);
                return Next::Steps(plan(table, following, gaps, after, upto));
            }
            Some(Standing::Held { not_before, .. }) if not_before.is_some_and(|moment| Instant::now() < moment) => {
                return Next::Nothing;
            }
            Some(Standing::Held { .. }) | None => (false, ""),
        };
        let anchor = self.anchor(tables, table, reach);
        let place = after.max(anchor);
        // Whether it can be read at all comes first.
        let planned = begin(table, gaps, place.min(upto), upto, |schema| match standing {
            Some(Standing::Followed(_)) => SchemaChangeKind::Replaced { schema },
            Some(Standing::Held { .. }) => SchemaChangeKind::Settled { schema },
            None => SchemaChangeKind::Created { schema, empty: false },
        });
        match planned {
            Plan::Follow(..) if anchor > upto => {
                if replaces {
                    Next::Hold(reason)
                } else if standing.is_none() && table.instances.len() > 1 {
                    // It isn't new, so whoever waits for all tables must know of it.
                    Next::Hold(ROTATED)
                } else {
                    Next::Nothing
                }
            }
            planned => Next::Steps(planned),
        }
    }

    /// The place where a table may be begun, which may lie above what can be read now.
    fn anchor(&mut self, tables: &Tables, table: &CapturedTable, reach: Reach) -> Lsn {
        // Whoever followed it under another name knows its partitions.
        if tables.knows(table) {
            return reach.after;
        }
        let seen_now = Anchor { partitions: table.partitions, at: reach.end };
        let anchor = self.anchors.entry(table.object).or_insert(seen_now);
        if anchor.partitions != table.partitions {
            *anchor = seen_now;
        }
        anchor.at
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
        let in_gap = table.instances.iter().any(|instance| instance.start.is_some());
        if is_coming && !is_followed && !in_gap && since.elapsed() < READY_WITHIN {
            return None;
        }
        let (reason, remedy) = why_uncaptured(name, table, catalog);
        let (reason, remedy) = match self.failures.get(name) {
            Some(Remark { found, remedy }) => (format!("{reason}; {found}"), Some(remedy.clone())),
            None => (reason, remedy.filter(|_| !is_coming || since.elapsed() >= READY_WITHIN)),
        };
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
