//! Whoever makes and drops capture instances: Millstream itself, or an administrator who is told what to run.
//!
//! A table needs its next instance as soon as a column has been added, since what is changed before it is made has to
//! be read again. The one before is dropped once nothing needs it any more: when the hand-over is durable, so that no
//! restart can begin before it. Only two instances may exist, so a change that comes meanwhile waits for the drop.
//!
//! The statements wait for locks on the table, so a task of its own runs them, one after another. Each can be run again:
//! what has been done already is an error that means success, and the catalog tells what remains.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millstream_core::error::{SourceError, chain};
use millstream_core::schema::TableName;
use millstream_core::source::Remark;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use super::catalog::Catalog;
use super::instance::Instance;
use super::statements;
use super::table::{CapturedTable, Want};
use crate::config::{CaptureInstances, Settings};
use crate::connect::{Connection, Connector};
use crate::error::{QueryError, number};
use crate::position::Lsn;
use crate::progress::Progress;
use crate::quote::within;

/// How long to wait before a statement that failed is run again.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// How long a table whose instance is gone may be without one before another is made: whoever drops one to make it anew
/// takes a moment.
const WITHOUT_MAX: Duration = Duration::from_secs(5);
/// How long after it was run a statement may still be wanted by a catalog that was read before.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// See the module's docs.
pub(crate) struct Caretaker {
    progress: Arc<Progress>,
    /// The task's list, if there is a task.
    errands: Option<watch::Sender<BTreeSet<Errand>>>,
    task: Option<AbortHandle>,
    failures: Arc<Failures>,
    /// What an administrator has been told.
    told: HashSet<Want>,
    /// Since which place each table is read through the instance that it is, or through none.
    in_use_since: HashMap<TableName, (Option<i32>, Lsn)>,
}

/// Why statements couldn't be run, by their tables.
type Failures = Mutex<BTreeMap<TableName, Remark>>;

/// What became of a statement.
enum Outcome {
    Done,
    /// Somebody else had done it.
    WasDone,
    /// The catalog that wanted it was an older one: the table has two instances.
    Outdated,
}

/// One statement to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Errand {
    table: TableName,
    want: Want,
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Caretaker {
    pub(crate) fn new(connector: Arc<Connector>, progress: Arc<Progress>) -> Self {
        let is_active = connector.settings().capture_instances == CaptureInstances::Auto;
        let (errands, list) = watch::channel(BTreeSet::new());
        let failures = Arc::<Failures>::default();
        let task = is_active.then(|| tokio::spawn(run(connector, list, Arc::clone(&failures))).abort_handle());
        Self {
            progress,
            errands: is_active.then_some(errands),
            task,
            failures,
            told: HashSet::new(),
            in_use_since: HashMap::new(),
        }
    }

    /// Whether instances that are missing are made.
    pub(crate) fn is_active(&self) -> bool {
        self.errands.is_some()
    }

    /// Which tables' statements can't be run, and why.
    pub(crate) fn failures(&self) -> BTreeMap<TableName, Remark> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an administrator has to do for tables that are followed for the time being without all of their columns, or
    /// without the key that they have now.
    pub(crate) fn left_to_others(&self, catalog: &Catalog) -> BTreeMap<TableName, Remark> {
        if self.is_active() {
            return BTreeMap::new();
        }
        let taken = |name: &str| catalog.is_taken(name);
        let remark = |(name, table): (&TableName, &CapturedTable)| {
            let Want { reason, statement } = table.wanted_next(taken)?;
            let remedy = match table.instances.len() {
                0 | 1 => format!("Run: {}", catalog.within(&format!("{statement};"))),
                // The server refuses a third.
                _ => "It has two instances, which is the most there can be: `millstream check` tells which to drop"
                    .to_owned(),
            };
            Some((name.clone(), Remark { found: format!("{reason}, so Millstream can't, either"), remedy }))
        };
        catalog.tables().iter().filter_map(remark).collect()
    }

    /// Looks after what the catalog shows. `in_use` are the change tables read from, of held tables none, and `after` is
    /// how far.
    pub(crate) fn attend(&mut self, catalog: &Catalog, in_use: &BTreeMap<TableName, Option<i32>>, after: Lsn) {
        if !catalog.is_enabled() {
            return;
        }
        self.in_use_since.retain(|name, _| in_use.contains_key(name));
        for (name, change_table) in in_use {
            let since = self.in_use_since.entry(name.clone()).or_insert((*change_table, after));
            if since.0 != *change_table {
                *since = (*change_table, after);
            }
        }
        let taken = |name: &str| catalog.is_taken(name);
        let mut errands = BTreeSet::new();
        for (name, table) in catalog.tables() {
            let want = match table.instances.len() {
                0 => match catalog.former(table.object) {
                    Some((_, gone)) if self.is_active() && gone.elapsed() < WITHOUT_MAX => None,
                    Some((former, _)) => table.wanted_like(former, taken),
                    None => table.wanted_first(taken),
                },
                1 => table.wanted_next(taken),
                _ => self.dispensable(name, table),
            };
            errands.extend(want.map(|want| Errand { table: name.clone(), want }));
        }
        match &self.errands {
            Some(list) => {
                list.send_if_modified(|current| {
                    let differs = *current != errands;
                    if differs {
                        *current = errands;
                    }
                    differs
                });
            }
            None => self.tell(catalog, &errands),
        }
    }

    /// The one of two instances that has to go. Those that others made are none of our business: we drop only what was
    /// made for us. That is the older one, once no restart can need it any more; or the newer one, if it overlooked a column,
    /// or if the table waits for an instance that there is no room for otherwise, as the table is read again then anyway.
    fn dispensable(&self, name: &TableName, table: &CapturedTable) -> Option<Want> {
        let newest = table.preferred()?;
        let (in_use, since) = self.in_use_since.get(name)?;
        let is_ours = |instance: &Instance| statements::is_own_name(&instance.name);
        let drop = |instance: &Instance, reason: String| {
            Some(Want { reason, statement: statements::disable(name, &instance.name) })
        };
        if self.is_active() && !table.overlooked_by(newest).is_empty() {
            return drop(newest, format!("capture instance {} was made while a column was being added", newest.name));
        }
        let older = table.instances.iter().find(|instance| newest.is_newer_than(instance));
        if let Some(older) = older.filter(|older| !self.is_active() || is_ours(older)) {
            let is_done = in_use.is_none_or(|in_use| in_use == newest.change_table);
            let is_durable = is_done && self.progress.acknowledged() >= *since;
            let taken_over = format!("capture instance {} has taken over from {}", newest.name, older.name);
            let reason = match self.is_active() {
                true => taken_over,
                false => format!("{taken_over}, which can be dropped if nobody else reads it"),
            };
            return is_durable.then(|| drop(older, reason)).flatten();
        }
        let wanted = table.wanted_next(|_| false).filter(|_| self.is_active() && is_ours(newest))?;
        drop(newest, format!("{}, and the table's other instance isn't ours", wanted.reason))
    }

    /// Tells an administrator, once. A table without any instance is held, and its state says why.
    fn tell(&mut self, catalog: &Catalog, errands: &BTreeSet<Errand>) {
        for Errand { table, want } in errands {
            let has_instance = catalog.tables().get(table).is_some_and(|table| !table.instances.is_empty());
            if has_instance && self.told.insert(want.clone()) {
                let Want { reason, statement } = want;
                warn!(%table, %reason, run = %catalog.within(statement), "the table's capture has to be brought up to date");
            }
        }
        self.told.retain(|want| errands.iter().any(|errand| errand.want == *want));
    }
}

/// Runs what is on the list, until it is dropped.
async fn run(connector: Arc<Connector>, mut list: watch::Receiver<BTreeSet<Errand>>, failures: Arc<Failures>) {
    let mut connection: Option<Connection> = None;
    let mut not_before: HashMap<Errand, Instant> = HashMap::new();
    loop {
        let errands: Vec<Errand> = list.borrow_and_update().iter().cloned().collect();
        not_before.retain(|errand, _| errands.contains(errand));
        let failed = || failures.lock().unwrap_or_else(PoisonError::into_inner);
        failed().retain(|table, _| errands.iter().any(|errand| errand.table == *table));
        for errand in errands {
            if not_before.get(&errand).is_some_and(|moment| Instant::now() < *moment) {
                continue;
            }
            let pause = match carry_out(&connector, &mut connection, &errand).await {
                Ok(outcome) => {
                    if matches!(outcome, Outcome::Done) {
                        info!(table = %errand.table, reason = %errand.want.reason, statement = %errand.want.statement, "changed the table's capture");
                    }
                    failed().remove(&errand.table);
                    SETTLES_WITHIN
                }
                Err(error) => {
                    failed().insert(errand.table.clone(), failure(&errand, &error, connector.settings()));
                    let error = chain(&error);
                    warn!(table = %errand.table, reason = %errand.want.reason, run = %errand.want.statement, %error, "can't change the table's capture; trying again");
                    connection = None;
                    RETRY_AFTER
                }
            };
            not_before.insert(errand, Instant::now() + pause);
        }
        let next = not_before.values().min().copied();
        let wait = next.map_or(RETRY_AFTER, |moment| moment.saturating_duration_since(Instant::now()));
        tokio::select! {
            changed = list.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait.max(Duration::from_millis(100))) => {}
        }
    }
}

/// What to say of a statement that couldn't be run.
fn failure(errand: &Errand, error: &SourceError, settings: &Settings) -> Remark {
    let statement = within(&settings.address.database, &format!("{};", errand.want.statement));
    let (why, remedy) = match error {
        SourceError::Definite { diagnosis, remedy } => {
            (diagnosis.clone(), format!("{remedy}. Or run, as a member of db_owner: {statement}"))
        }
        other => (chain(other), format!("It is tried again; or run: {statement}")),
    };
    Remark { found: format!("Millstream can't: {why}"), remedy }
}

async fn carry_out(
    connector: &Connector,
    kept: &mut Option<Connection>,
    errand: &Errand,
) -> Result<Outcome, SourceError> {
    if kept.as_ref().is_none_or(Connection::is_spoilt) {
        *kept = Some(connector.open().await?);
    }
    let Some(connection) = kept else { return Ok(Outcome::Outdated) };
    let what = format!("change the capture of {}", errand.table);
    match connection.execute(what, &errand.want.statement).await {
        Ok(()) => Ok(Outcome::Done),
        Err(error) if is_done_already(&error) => Ok(Outcome::WasDone),
        Err(error) if error.number() == Some(number::CDC_THIRD_INSTANCE) => Ok(Outcome::Outdated),
        Err(error) => Err(error.into()),
    }
}

/// Somebody else made or dropped the instance first.
fn is_done_already(error: &QueryError) -> bool {
    use number::*;
    let numbers = [CDC_INSTANCE_EXISTS, CDC_INSTANCE_UNKNOWN, CDC_TABLE_DISABLED, CDC_TABLE_UNKNOWN];
    error.number().is_some_and(|number| numbers.contains(&number))
}
