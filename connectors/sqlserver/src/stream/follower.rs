//! The loop: how far may be read, what has happened up to there, hand it over, wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::error::SourceError;
use millstream_core::outbox::{Abandoned, Outbox};
use millstream_core::position::Position;
use millstream_core::row::ValueTooLong;
use millstream_core::schema::TableName;
use millstream_core::schema_change::{SchemaChange, SchemaChangeKind};
use millstream_core::selection::Selection;
use millstream_core::source::{HiddenTable, Remark};
use tracing::warn;

use super::agenda::{Overtaken, Waiting, agenda, missing};
use super::cursor::{Cursor, Obstacle, Place};
use super::idle::{Agenda, skip_idle};
use super::lookout::Lookout;
use super::rows::{self, Told};
use super::tables::{Standing, Tables};
use crate::capture;
use crate::capture::caretaker::Caretaker;
use crate::capture::catalog::Catalog;
use crate::capture::plan::{Change, Reach};
use crate::connect::{Connection, Connector};
use crate::fence::Fence;
use crate::noticed::Noticed;
use crate::position::{Lsn, Mark, SqlServerPosition};
use crate::progress::Progress;
use crate::pulse::Pulse;

/// A delivery is due this often, even if nothing happens.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// How often a plan may turn out to be outdated before a pause is made.
const PLANS_AT_ONCE_MAX: u32 = 5;
/// How long a table whose change rows can't be read is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody listens any more.
    Abandoned,
    /// It can't go on.
    Failed(SourceError),
}

impl From<Abandoned> for End {
    fn from(_: Abandoned) -> Self {
        End::Abandoned
    }
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        End::Failed(error)
    }
}

impl From<ValueTooLong> for End {
    fn from(error: ValueTooLong) -> Self {
        End::Failed(SourceError::definite(error.to_string(), "Leave the table out of the sync config"))
    }
}

/// What stops a reading half-way.
enum Halt {
    End(End),
    Obstacle(Obstacle),
}

impl<E: Into<End>> From<E> for Halt {
    fn from(end: E) -> Self {
        Halt::End(end.into())
    }
}

impl From<Obstacle> for Halt {
    fn from(obstacle: Obstacle) -> Self {
        Halt::Obstacle(obstacle)
    }
}

/// Follows one database from one place on.
pub(super) struct Follower {
    connector: Arc<Connector>,
    progress: Arc<Progress>,
    noticed: Arc<Noticed>,
    connection: Connection,
    selection: Selection,
    fence: Fence,
    pulse: Pulse,
    lookout: Lookout,
    catalog: Catalog,
    tables: Tables,
    waiting: Waiting,
    caretaker: Caretaker,
    outbox: Outbox,
    epoch: u16,
    /// Everything up to here has been handed over.
    after: Lsn,
    /// The last entry of the capture process before it, as far as is known.
    mark: Option<Mark>,
    /// The transaction whose rows are being handed on.
    open: Option<Lsn>,
    /// Whether a part of it has been handed over.
    open_is_parted: bool,
    /// The last whole transaction in the outbox.
    rested: Lsn,
    /// When the last known transaction ended, in milliseconds since 1970 (UTC).
    committed_at_ms: i64,
    /// Tables of which it has been said in this reading that rows of them changed unseen. The rest of their rows is left
    /// out: a read that begins now shows what all of this reading's commits left, while a row that is handed on would
    /// count as seen by it, though a later change that says no more of its row may have removed it.
    doubted: HashSet<TableName>,
    delivered: Instant,
    plans_outdated: u32,
}

impl Follower {
    pub(super) fn new(
        connector: Arc<Connector>,
        progress: Arc<Progress>,
        noticed: Arc<Noticed>,
        connection: Connection,
        outbox: Outbox,
        from: &SqlServerPosition,
        catalog: &millstream_core::source::Catalog,
    ) -> Self {
        let caretaker = Caretaker::new(Arc::clone(&connector), Arc::clone(&progress));
        let waiting = Waiting::new(caretaker.is_active());
        let pulse = Pulse::new(Arc::clone(&noticed));
        Self {
            connector,
            progress,
            noticed,
            connection,
            selection: catalog.selection.clone(),
            fence: Fence::default(),
            pulse,
            lookout: Lookout::default(),
            catalog: Catalog::default(),
            tables: Tables::new(catalog),
            waiting,
            caretaker,
            outbox,
            epoch: from.epoch,
            after: from.lsn,
            mark: from.mark,
            open: None,
            open_is_parted: false,
            rested: from.lsn,
            committed_at_ms: 0,
            doubted: HashSet::new(),
            delivered: Instant::now(),
            plans_outdated: 0,
        }
    }

    /// Runs until nobody listens or something ends it.
    pub(super) async fn run(mut self) -> End {
        loop {
            match self.poll().await {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(self.connector.settings().poll_interval).await,
                Err(end) => return end,
            }
        }
    }

    /// One reading. Says whether it should go on at once.
    async fn poll(&mut self) -> Result<bool, End> {
        let scanned = self.fence.scanned(&mut self.connection).await.map_err(SourceError::from)?;
        self.pulse.feel(&mut self.connection, self.fence.seen()).await.map_err(SourceError::from)?;
        // Places handed over once have been scanned, even if this server's views don't show it any more.
        let upto = scanned.map_or(self.after, |scanned| scanned.lsn.max(self.after));
        self.progress.scanned(upto);
        let mark = scanned.and_then(|scanned| scanned.mark);
        let moved = upto > self.after;
        let has_failed = self.waiting.set_failures(self.caretaker.failures());
        let read = if moved || has_failed || self.lookout.is_due(self.fence.end()) {
            self.look_and_read(upto).await
        } else {
            Ok(())
        };
        match read {
            Ok(()) => {
                self.plans_outdated = 0;
                self.finish(upto, mark).await?;
                self.caretaker.attend(&self.catalog, &self.tables_in_use(), self.after);
                self.noticed.set_tables(self.remarks());
                Ok(moved)
            }
            Err(Halt::End(end)) => Err(end),
            Err(Halt::Obstacle(obstacle)) => self.step_back(obstacle).await,
        }
    }

    /// The change tables that are being read; of held tables none.
    fn tables_in_use(&self) -> BTreeMap<TableName, Option<i32>> {
        let in_use = |(name, standing): (&TableName, &Standing)| match standing {
            Standing::Followed(following) => (name.clone(), Some(following.origin.change_table)),
            Standing::Held { .. } => (name.clone(), None),
        };
        self.tables.iter().map(in_use).collect()
    }

    /// What is amiss with tables that are followed.
    fn remarks(&self) -> BTreeMap<TableName, Remark> {
        let is_followed = |name: &TableName| matches!(self.tables.get(name), Some(Standing::Followed(_)));
        let mut remarks = self.caretaker.left_to_others(&self.catalog);
        remarks.extend(self.caretaker.failures());
        remarks.retain(|name, _| is_followed(name));
        remarks
    }

    /// Reads and hands on everything up to a place that has been scanned.
    async fn look_and_read(&mut self, upto: Lsn) -> Result<(), Halt> {
        self.lookout.begin(self.fence.end());
        let looked = self.catalog.look_to_end(&mut self.connection, &self.selection).await;
        let reach = Reach { after: self.after, upto, end: looked.map_err(SourceError::from)? };
        self.doubted.clear();
        let hidden = self.hidden().await?;
        let planned = agenda(&self.tables, &self.catalog, &hidden, &mut self.waiting, reach);
        let mut agenda = planned.map_err(|Overtaken| Obstacle::Outdated)?;
        skip_idle(&mut self.connection, &mut agenda).await?;
        self.merge(agenda).await
    }

    /// Tables that have vanished from the catalog, but perhaps only from this user's sight. What is told of one holds
    /// until it is seen again.
    async fn hidden(&mut self) -> Result<Vec<HiddenTable>, SourceError> {
        let missing = missing(&self.tables, &self.catalog);
        Ok(capture::hidden::hidden(&mut self.connection, &missing).await?)
    }

    /// Hands on what all tables' cursors bring, in the order of the log.
    async fn merge(&mut self, agenda: Agenda) -> Result<(), Halt> {
        let count = agenda.len();
        let mut cursors: Vec<Cursor> =
            agenda.into_iter().map(|(name, steps)| Cursor::new(name, steps, count)).collect();
        let mut heads: BinaryHeap<Reverse<(Place, usize)>> = BinaryHeap::with_capacity(count);
        for (index, cursor) in cursors.iter_mut().enumerate() {
            let place = cursor.peek(&mut self.connection).await?;
            heads.extend(place.map(|place| Reverse((place, index))));
        }
        while let Some(Reverse((mut place, index))) = heads.pop() {
            let Some(cursor) = cursors.get_mut(index) else { continue };
            let next_of_others = heads.peek().map(|Reverse(next)| *next);
            // The cursor goes on for as long as it is the first.
            loop {
                self.close_before(place.commit).await?;
                self.hand_on(cursor, place).await?;
                match cursor.in_hand() {
                    Some(next) if next_of_others.is_none_or(|others| (next, index) < others) => place = next,
                    _ => break,
                }
            }
            let next = cursor.peek(&mut self.connection).await?;
            self.outbox.count_log(cursor.take_read_bytes());
            heads.extend(next.map(|place| Reverse((place, index))));
        }
        Ok(())
    }

    /// The next change or row of a cursor.
    async fn hand_on(&mut self, cursor: &mut Cursor, place: Place) -> Result<(), Halt> {
        if let Some(change) = cursor.take_change() {
            self.change(cursor.name(), change);
            return Ok(());
        }
        self.open = Some(place.commit);
        let is_doubted = self.doubted.contains(cursor.name());
        let Some(row) = cursor.take_row()?.filter(|_| !is_doubted) else { return Ok(()) };
        let told = match self.outbox.rows(row.schema) {
            Some(changes) => rows::push(&row, changes)?,
            None => Told::Whole,
        };
        if told == Told::IdentityUnknown && self.doubted.insert(cursor.name().clone()) {
            let cause = "rows of a table without a key changed, and the log doesn't tell which".to_owned();
            self.tell(cursor.name(), SchemaChangeKind::RowsReplaced { cause }, None, 0);
        }
        if self.outbox.overflows() {
            self.hand_over_part().await?;
        }
        Ok(())
    }

    fn change(&mut self, name: &TableName, change: Change) {
        let standing = match (&change.kind, change.then) {
            (SchemaChangeKind::Dropped, _) => None,
            (SchemaChangeKind::Unreadable { reason, .. }, _) => {
                Some(Standing::Held { reason: reason.clone(), not_before: None })
            }
            (_, Some(following)) => Some(Standing::Followed(following)),
            (_, None) => self.tables.get(name).cloned(),
        };
        self.tables.set(name, standing);
        self.doubted.remove(name);
        self.tell(name, change.kind, change.statement, change.at_ms);
    }

    fn tell(&mut self, name: &TableName, kind: SchemaChangeKind, statement: Option<String>, at_ms: i64) {
        self.outbox.schema_change(SchemaChange { table: name.clone(), kind, statement, at_ms });
    }

    /// Ends the open transaction if this commit is a later one.
    async fn close_before(&mut self, commit: Lsn) -> Result<(), End> {
        let Some(open) = self.open.filter(|open| *open < commit) else { return Ok(()) };
        self.close(open);
        if self.outbox.is_full() {
            let mark = self.mark_at(open).await?;
            self.hand_over(mark).await?;
        }
        Ok(())
    }

    fn close(&mut self, commit: Lsn) {
        self.open = None;
        self.open_is_parted = false;
        self.rested = commit;
        self.outbox.commit(self.committed_at_ms);
        self.tables.rest();
    }

    /// The entry of a commit.
    async fn mark_at(&mut self, commit: Lsn) -> Result<Option<Mark>, SourceError> {
        Ok(super::start::mark_at(&mut self.connection, commit).await?)
    }

    /// Everything up to here has been read.
    async fn finish(&mut self, upto: Lsn, mark: Option<Mark>) -> Result<(), End> {
        if let Some(open) = self.open {
            self.close(open);
        }
        let is_news = upto > self.after || !self.outbox.is_empty();
        if !is_news && self.delivered.elapsed() < SIGN_OF_LIFE {
            return Ok(());
        }
        self.rested = upto;
        self.outbox.rest();
        self.tables.rest();
        self.hand_over(mark).await
    }

    /// Hands over all whole transactions, up to the last one's commit.
    async fn hand_over(&mut self, mark: Option<Mark>) -> Result<(), End> {
        self.mark = mark.or(self.mark);
        self.committed_at_ms = match self.mark {
            Some(mark) => self.catalog.utc_ms(mark.at_ms),
            None => millstream_core::table::now_ms(),
        };
        let position = SqlServerPosition { epoch: self.epoch, lsn: self.rested, mark: self.mark };
        // First, so that a read that is asked for on account of this delivery isn't older than it.
        self.progress.reach(self.rested);
        self.outbox.set_committed_at(self.committed_at_ms);
        self.outbox.hand_over(Position::from(&position)).await?;
        self.after = self.rested;
        self.tables.handed_over();
        self.delivered = Instant::now();
        Ok(())
    }

    /// Hands over a part of the open transaction, and before it all whole ones.
    async fn hand_over_part(&mut self) -> Result<(), End> {
        if self.outbox.has_rested() {
            let mark = self.mark_at(self.rested).await?;
            self.hand_over(mark).await?;
        }
        if self.outbox.overflows() {
            self.outbox.hand_over_part().await?;
            self.open_is_parted = true;
        }
        Ok(())
    }

    /// A reading can't go on: what is whole is handed over, the rest is read again by a new plan.
    async fn step_back(&mut self, obstacle: Obstacle) -> Result<bool, End> {
        if let Obstacle::Source(error) = obstacle {
            return Err(error.into());
        }
        self.lookout.forget();
        if self.open_is_parted {
            let error = "a change table was altered, cleaned up or dropped meanwhile";
            return Err(SourceError::transient("read a large transaction to its end", error).into());
        }
        if self.outbox.has_rested() {
            let mark = self.mark_at(self.rested).await?;
            self.hand_over(mark).await?;
        }
        self.open = None;
        self.rested = self.after;
        self.outbox.discard_open()?;
        self.tables.take_back();
        if let Obstacle::Table { name, reason, remedy } = obstacle {
            warn!(table = %name, %reason, "the table's changes can't be read");
            let not_before = Some(Instant::now() + RETRY_AFTER);
            self.tables.set(&name, Some(Standing::Held { reason: reason.clone(), not_before }));
            self.tell(&name, SchemaChangeKind::Unreadable { reason, remedy }, None, 0);
        }
        self.plans_outdated += 1;
        Ok(!self.plans_outdated.is_multiple_of(PLANS_AT_ONCE_MAX))
    }
}
