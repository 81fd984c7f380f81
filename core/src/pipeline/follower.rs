//! The loop: deliveries, chunks, requests and replies, one at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use crate::change::{Commit, Delivery, Event, RowChanges};
use crate::error::{SinkError, SourceError, chain};
use crate::position::Position;
use crate::reconcile::{PassMessage, Readers};
use crate::row::ValueTooLong;
use crate::schema::TableName;
use crate::selection::Selection;
use crate::sink::{PassReport, Sink, Write, WriteItem};
use crate::source::{Catalog, Discovery, Remark, SourceConnector};
use crate::table::{OpenHistory, TableId};

use super::backoff::Backoff;
use super::handle::Command;
use super::head::Head;
use super::meter::Meter;
use super::passes::Passes;
use super::progress::Progress;
use super::recheck::{Answer, Rechecks};
use super::status::{ConnectionStatus, SourceStatus};
use super::tables::Tables;
use super::waiters::Waiters;
use super::{PipelineError, PipelineOptions};

/// How often the status is renewed and the source's head asked for.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// What stops a session with the source.
#[derive(Debug)]
pub(super) enum Interruption {
    Source(SourceError),
    Sink(SinkError),
    Value(ValueTooLong),
    /// The sink wants other tables than the session was opened for.
    Reselected,
}

impl From<SourceError> for Interruption {
    fn from(error: SourceError) -> Self {
        Interruption::Source(error)
    }
}

impl From<SinkError> for Interruption {
    fn from(error: SinkError) -> Self {
        Interruption::Sink(error)
    }
}

impl From<ValueTooLong> for Interruption {
    fn from(error: ValueTooLong) -> Self {
        Interruption::Value(error)
    }
}

/// The sink's word that a sweep or a removal is stored.
pub(super) enum Ended {
    Sweep { table: TableId, generation: u64, report: Option<PassReport> },
    Clear { history: OpenHistory, report: Option<PassReport> },
}

pub(super) struct Follower {
    pub(super) name: String,
    pub(super) connector: Arc<dyn SourceConnector>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) options: PipelineOptions,
    pub(super) tables: Tables,
    pub(super) passes: Passes,
    pub(super) pass_messages: Option<mpsc::Receiver<PassMessage>>,
    pub(super) rechecks: Rechecks,
    pub(super) recheck_answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    pub(super) endings: FuturesUnordered<BoxFuture<'static, Ended>>,
    pub(super) progress: Progress,
    /// That somebody wants something: no time to wait before the source is tried again.
    pub(super) asked: Arc<Notify>,
    pub(super) last_history_id: u64,
    pub(super) durable: watch::Receiver<Option<Position>>,
    /// Counts the sessions with the source.
    pub(super) session: u64,
    pub(super) waiters: Waiters,
    /// What the session with the source was opened for.
    selection: Selection,
    /// Selected tables that exist and aren't tracked, until the stream tells of them: nobody is current without them.
    pub(super) expected: HashSet<TableName>,
    pub(super) head: Head,
    pub(super) connection: ConnectionStatus,
    /// Why nothing arrives, as it was last told.
    pub(super) standstill: Option<Remark>,
    pub(super) changes: Meter,
    pub(super) rows_read: Meter,
    pub(super) schema_changes: u64,
    pub(super) status: watch::Sender<SourceStatus>,
}

impl Follower {
    pub(super) fn new(
        name: String,
        connector: Arc<dyn SourceConnector>,
        sink: Arc<dyn Sink>,
        options: PipelineOptions,
    ) -> (Self, watch::Receiver<SourceStatus>) {
        let (readers, pass_messages) = Readers::new(
            Arc::clone(&connector),
            options.chunks_in_flight_max,
            options.ranges_per_table,
            options.chunk_rows_max,
            options.rows_per_second_max.map(|rate| rate / options.ranges_per_table.max(1) as u64),
        );
        let initial = SourceStatus { name: name.clone(), kind: connector.kind().to_owned(), ..SourceStatus::default() };
        let (status, status_receiver) = watch::channel(initial);
        let durable = sink.durable(&name);
        let follower = Self {
            name,
            connector,
            sink,
            passes: Passes::new(readers, options.tables_read_at_once_max),
            options,
            tables: Tables::default(),
            pass_messages: Some(pass_messages),
            rechecks: Rechecks::default(),
            recheck_answers: FuturesUnordered::new(),
            endings: FuturesUnordered::new(),
            progress: Progress::default(),
            asked: Arc::default(),
            last_history_id: 0,
            durable,
            session: 0,
            waiters: Waiters::default(),
            selection: Selection::default(),
            expected: HashSet::new(),
            head: Head::default(),
            connection: ConnectionStatus::Starting,
            standstill: None,
            changes: Meter::new(),
            rows_read: Meter::new(),
            schema_changes: 0,
            status,
        };
        (follower, status_receiver)
    }

    /// Follows until stopped or until something definite is in the way, and says in the status that it is over and why.
    pub(super) async fn run(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), PipelineError> {
        let outcome = self.sessions(commands, stop).await;
        self.connection = match &outcome {
            Ok(()) => ConnectionStatus::Stopped,
            Err(error) => ConnectionStatus::Failed { reason: error.diagnosis(), remedy: error.remedy() },
        };
        self.publish_status();
        outcome
    }

    /// Sessions with the source, one after another.
    async fn sessions(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), PipelineError> {
        let mut messages = self.pass_messages.take();
        self.restore().await?;
        self.publish_status();
        let mut backoff = Backoff::default();
        loop {
            let interruption = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                result = self.session(commands, &mut messages, &mut backoff) => match result {
                    Ok(never) => match never {},
                    Err(interruption) => interruption,
                },
            };
            let pause = match interruption {
                Interruption::Sink(error) => return Err(PipelineError::Sink(error)),
                Interruption::Reselected => continue,
                Interruption::Value(error) => return Err(PipelineError::Value { name: self.name.clone(), error }),
                Interruption::Source(SourceError::PositionLost { reason, .. }) => {
                    warn!(source = %self.name, %reason, "the log no longer reaches back to where we are: reading all tables again");
                    self.relocate(&reason);
                    backoff.next_pause()
                }
                Interruption::Source(error) if error.is_transient() => {
                    let pause = backoff.next_pause();
                    warn!(source = %self.name, error = %chain(&error), "lost the source, trying again in {pause:?}");
                    self.connection = ConnectionStatus::Retrying { error: chain(&error), attempts: backoff.attempts() };
                    self.publish_status();
                    pause
                }
                Interruption::Source(error) => {
                    return Err(PipelineError::Source { name: self.name.clone(), error });
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                () = tokio::time::sleep(pause) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    async fn restore(&mut self) -> Result<(), SinkError> {
        let restored = self.sink.restore(&self.name).await?;
        self.tables = Tables::restored(restored.tables, restored.incarnation);
        self.last_history_id = restored.last_history_id;
        self.progress = Progress::restored(restored.position, restored.unfinished);
        for table in self.tables.iter_mut() {
            let stale = restored.stale.contains(&table.record.name);
            let lost = table.record.pass.as_ref().is_some_and(|pass| pass.again || pass.rechecked);
            if table.record.schema.is_some() && (stale || lost) {
                table.begin_pass_anew(if stale { "sync config changed" } else { "resumed" });
            }
        }
        Ok(())
    }

    /// Forgets the position: the next session begins at the source's head and reads every table again.
    fn relocate(&mut self, reason: &str) {
        self.progress.relocate();
        self.rechecks.clear();
        self.passes.clear(reason);
        self.publish_status();
    }

    /// From opening the stream to whatever ends it. Never returns `Ok`.
    async fn session(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        messages: &mut Option<mpsc::Receiver<PassMessage>>,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, Interruption> {
        self.session = self.session.saturating_add(1);
        // Where a former run stopped, before the connector names positions of its own.
        self.on_durable().await?;
        self.selection = self.sink.selection(&self.name);
        let discovery = self.discover().await?;
        self.progress.begin_session(&discovery.position);
        let (catalog, from) = self.open_session(discovery).await?;
        let mut stream = self.connector.stream(&from, catalog).await?;
        let opened_at = tokio::time::Instant::now();
        self.progress.begin_stream(from);
        self.connection = ConnectionStatus::Following;
        self.schedule_passes().await?;
        self.publish_status();
        let mut ticker = tokio::time::interval(STATUS_INTERVAL);
        loop {
            // In this order, so that the same happenings give the same outcome. The stream comes last and isn't starved:
            // chunks wait for it to reach their high position, and only so many may wait.
            tokio::select! {
                biased;
                Some(message) = receive(messages) => self.on_pass_message(message).await?,
                Some(answer) = self.recheck_answers.next() => {
                    self.rechecks.answered(answer);
                    self.settle_rechecks().await?;
                }
                Some(ended) = self.endings.next() => self.on_ended(ended).await?,
                Some(command) = commands.recv() => self.on_command(command).await?,
                Some(asked) = self.waiters.fences.next() => self.on_fence(asked)?,
                Some((synced, waiters)) = self.waiters.syncs.next() => self.on_synced(synced, waiters)?,
                Some(asked) = self.head.asked.next() => {
                    let taken = self.head.take(asked, self.durable.borrow().as_ref());
                    match taken {
                        // An idle source delivers nothing; that it answers shows as well that it can be reached.
                        Ok(()) => backoff.worked_for(opened_at.elapsed()),
                        Err(_) if self.head.fails_again() => {}
                        // Only the status wants it; if the source is in trouble, the stream tells.
                        Err(error) => {
                            info!(source = %self.name, error = %chain(&error), "could not ask for the source's head");
                        }
                    }
                }
                changed = self.durable.changed() => match changed {
                    Ok(()) => self.on_durable().await?,
                    // The sink has failed; the next write is told why.
                    Err(_) => self.accept(Write::default()).await?,
                },
                _ = ticker.tick() => self.on_tick().await?,
                delivery = stream.next() => {
                    let delivery = delivery.unwrap_or_else(|| {
                        Err(SourceError::transient("following the source", "the stream ended"))
                    })?;
                    backoff.worked_for(opened_at.elapsed());
                    self.on_delivery(delivery).await?;
                }
            }
            self.answer_waiters();
        }
    }

    /// What the source has, which may take a while to settle: what it waits for is shown meanwhile.
    async fn discover(&mut self) -> Result<Discovery, SourceError> {
        let (connector, selection) = (Arc::clone(&self.connector), self.selection.clone());
        let mut discovering = std::pin::pin!(async move { connector.discover(&selection).await });
        let mut ticker = tokio::time::interval(STATUS_INTERVAL);
        loop {
            tokio::select! {
                biased;
                discovery = &mut discovering => return discovery,
                _ = ticker.tick() => self.publish_status(),
            }
        }
    }

    /// Brings the list of tables and the source together; gives what the stream starts with.
    async fn open_session(&mut self, discovery: Discovery) -> Result<(Catalog, Position), Interruption> {
        let selection = self.selection.clone();
        let from = match self.progress.accepted().map(|commit| commit.position.clone()) {
            Some(position) => {
                self.roll_back().await?;
                self.forget_deselected(&selection).await?;
                position
            }
            None => {
                self.adopt(&discovery).await?;
                discovery.position.clone()
            }
        };
        let mut tables: Vec<_> =
            self.tables.iter().map(|table| (table.record.name.clone(), table.record.schema.clone())).collect();
        // Selected tables that exist but aren't tracked: the selection grew, or they came to be after `from`, in which
        // case the stream tells, too. The connector settles what shape they have.
        self.expected.clear();
        for schema in &discovery.tables {
            if self.tables.id(&schema.table).is_none() {
                self.expected.insert(schema.table.clone());
                tables.push((schema.table.clone(), None));
            }
        }
        Ok((Catalog { selection, tables }, from))
    }

    async fn on_delivery(&mut self, delivery: Delivery) -> Result<(), Interruption> {
        let Delivery { events, commit } = delivery;
        let place = commit.as_ref().map(|commit| &commit.position).or(self.progress.reached()).cloned();
        let mut items = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::Rows(changes) => self.on_rows(changes, &mut items)?,
                Event::Schema(change) => self.on_schema_change(change, place.as_ref(), &mut items)?,
            }
        }
        if let Some(commit) = &commit {
            self.progress.reach(commit.position.clone());
        }
        match commit {
            // Rows before this commit are still unknown: what is stored isn't yet what a read here would give.
            Some(commit) if self.must_hold_commit() => {
                self.progress.hold(commit);
                self.accept(Write { items, commit: None }).await?;
            }
            Some(commit) => self.accept_commit(items, commit).await?,
            None => {
                self.progress.begin_part();
                self.accept(Write { items, commit: None }).await?;
            }
        }
        self.ask_rechecks()?;
        self.settle_rechecks().await?;
        self.apply_waiting_chunks().await?;
        self.schedule_passes().await
    }

    fn on_rows(&mut self, changes: RowChanges, items: &mut Vec<WriteItem>) -> Result<(), Interruption> {
        let name = &changes.schema.table;
        let Some(table) = self.tables.named_mut(name) else {
            return Err(SourceError::definite(
                format!("the connector delivered rows of table {name}, which isn't tracked"),
                "This is a fault in the connector: please report it",
            )
            .into());
        };
        let id = table.record.id;
        let generation = table.record.generation;
        self.changes.add(changes.changes.len() as u64);
        let pass_active = self.passes.concerns(id) || table.record.pass.is_some();
        let changes = self.rechecks.take(id, changes)?;
        if let Some(pass) = table.record.pass.as_mut().filter(|pass| !pass.rechecked)
            && self.rechecks.concerns(id)
        {
            pass.rechecked = true;
            items.push(WriteItem::Table(Box::new(table.record.clone())));
        }
        if !changes.changes.is_empty() {
            items.push(WriteItem::Stream { table: id, generation, pass_active, changes });
        }
        Ok(())
    }

    /// Hands over items that belong to no transaction of the stream.
    pub(super) async fn accept_between(&mut self, items: Vec<WriteItem>) -> Result<(), Interruption> {
        let commit = self.progress.commit_between();
        self.accept(Write { items, commit }).await
    }

    pub(super) async fn accept_commit(&mut self, items: Vec<WriteItem>, commit: Commit) -> Result<(), Interruption> {
        self.accept(Write { items, commit: Some(commit.clone()) }).await?;
        self.progress.accept(commit);
        Ok(())
    }

    async fn accept(&mut self, write: Write) -> Result<(), Interruption> {
        Ok(self.sink.accept(&self.name, write).await?)
    }

    async fn on_durable(&mut self) -> Result<(), Interruption> {
        let durable = self.durable.borrow_and_update().clone();
        if let Some(position) = durable {
            self.connector.acknowledge(&position).await?;
        }
        Ok(())
    }

    async fn on_command(&mut self, command: Command) -> Result<(), Interruption> {
        match command {
            Command::UntilCurrent { aim, reply } => {
                self.ask_fence(aim, reply);
                Ok(())
            }
            // Whoever asked has given up: what they were told has failed mustn't happen all the same.
            Command::Reload { reply, .. } if reply.is_closed() => Ok(()),
            Command::Reload { table, reply } => self.reload(table, reply).await,
            Command::Verify { tables, reply } => self.verify(tables, reply).await,
            Command::Tables { reply } => {
                // Nobody waits for the answer any more: then nobody needs it.
                let _ = reply.send(self.tables.iter().map(|table| table.record.clone()).collect());
                Ok(())
            }
        }
    }

    /// Whether the sink wants other tables than before, as it does once a changed configuration is deployed.
    pub(super) fn is_reselected(&self) -> bool {
        self.sink.selection(&self.name) != self.selection
    }

    async fn on_tick(&mut self) -> Result<(), Interruption> {
        // Amid a transaction nothing may be removed by itself.
        if !self.progress.is_open() && self.is_reselected() {
            return Err(Interruption::Reselected);
        }
        let durable = self.durable.borrow().clone();
        self.head.ask(&self.connector, durable);
        self.waiters.forget_gone();
        self.publish_status();
        self.settle_rechecks().await?;
        self.schedule_passes().await
    }
}

async fn receive(messages: &mut Option<mpsc::Receiver<PassMessage>>) -> Option<PassMessage> {
    match messages {
        Some(messages) => messages.recv().await,
        None => std::future::pending().await,
    }
}
