//! What is to be done for each table between two places: the catalog compared with what is known.
//!
//! Some things happen without a place in the log to show for it: a table is dropped or renamed, an instance is dropped.
//! They are told at the beginning of what is read next. That is right for each of them: rows that follow are either
//! left out, or belong to a table that is read again from there on.
//!
//! A table is told of as soon as the catalog shows it, so that nobody who waits for a place comes there before all that
//! happened up to it has been told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::schema::{TableName, TableSchema};
use millstream_core::schema_change::SchemaChangeKind;
use millstream_core::source::{HiddenTable, Remark};

use super::idle::Agenda;
use super::tables::{Standing, Tables};
use crate::capture::catalog::Catalog;
use crate::capture::plan::{Change, Following, Gaps, Plan, Reach, Step, begin, plan};
use crate::capture::statements::ENABLE_DATABASE;
use crate::capture::table::CapturedTable;

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
    /// Why they could not, where they could not.
    failures: BTreeMap<TableName, Remark>,
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
        match waiting.planned(tables.get(name), table, reach) {
            Some(Plan::Follow(steps, _)) => {
                waiting.since.remove(&table.object);
                agenda.insert(name.clone(), steps);
            }
            Some(Plan::Overtaken) => return Err(Overtaken),
            Some(Plan::Uncaptured) => {
                let kind = waiting.uncaptured(name, tables.get(name), table, catalog);
                agenda.extend(kind.map(|kind| (name.clone(), told(kind))));
            }
            None => {}
        }
    }
    Ok(agenda)
}

impl Waiting {
    pub(super) fn new(help_is_coming: bool) -> Self {
        Self { since: HashMap::new(), help_is_coming, failures: BTreeMap::new() }
    }

    /// The tables whose instances can't be made by whoever is about to. Says whether that is news.
    pub(super) fn set_failures(&mut self, failures: BTreeMap<TableName, Remark>) -> bool {
        let is_news = failures != self.failures;
        self.failures = failures;
        is_news
    }

    /// `None` if the table is left alone for a while.
    fn planned(&self, standing: Option<&Standing>, table: &CapturedTable, reach: Reach) -> Option<Plan> {
        let gaps = if self.help_is_coming { Gaps::Hold } else { Gaps::LeaveOut };
        let begin = |kind: fn(Arc<TableSchema>) -> SchemaChangeKind| Some(begin(table, gaps, reach, kind));
        match standing {
            None => begin(|schema| SchemaChangeKind::Created { schema, empty: false }),
            Some(Standing::Held { not_before: Some(moment), .. }) if Instant::now() < *moment => None,
            Some(Standing::Held { .. }) => begin(|schema| SchemaChangeKind::Settled { schema }),
            Some(Standing::Followed(Following { origin, .. }))
                if (origin.object, origin.made_ms) != (table.object, table.made_ms) =>
            {
                begin(|schema| SchemaChangeKind::Replaced { schema })
            }
            Some(Standing::Followed(Following { origin, .. })) if origin.partitions != table.partitions => {
                begin(|schema| SchemaChangeKind::Altered { schema, values_kept: Vec::new(), rows_replaced: true })
            }
            Some(Standing::Followed(following)) => Some(plan(table, following, gaps, reach.after, reach.upto)),
        }
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
        let is_coming =
            catalog.is_enabled() && !table.has_no_room() && (!table.instances.is_empty() || self.help_is_coming);
        // Rows of a table that was followed are being missed, and whoever waits for a table in a gap must know of it.
        let in_gap = table.instances.iter().any(|instance| instance.start.is_some());
        // The log has yet to be read up to where the instance was made.
        let is_made = catalog.is_enabled() && !table.instances.is_empty();
        if is_made && !is_followed && !in_gap && since.elapsed() < READY_WITHIN {
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
            Some(format!("Run: {}", catalog.within(&format!("{ENABLE_DATABASE}; {}", want.statement)))),
        ),
        Some(want) if table.has_no_room() => (
            format!("{}, and it has two instances, which is the most there can be", want.reason),
            Some("Drop one that nobody else reads: `millstream check` prints the statement".to_owned()),
        ),
        Some(want) => (want.reason, Some(format!("Run: {}", catalog.within(&want.statement)))),
        None => (
            "its capture instance isn't ready: the capture process hasn't come to it".to_owned(),
            Some("Nothing to do if the capture job runs; see that SQL Server Agent and the job do".to_owned()),
        ),
    }
}
