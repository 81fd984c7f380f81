//! Those who wait until the sink holds what the source had when they asked.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;

use crate::error::{SinkError, SourceError};
use crate::position::Position;
use crate::schema::TableName;
use crate::source::SourceConnector;

use super::detached::detached;
use super::follower::{Follower, Interruption};
use super::tables::{Table, Tables};

/// All of them.
#[derive(Default)]
pub(super) struct Waiters {
    /// Who waits for the head to be told.
    pub(super) fences: FuturesUnordered<BoxFuture<'static, FenceAsked>>,
    /// Who waits for the stream, and for the tables.
    current: Vec<CurrentWaiter>,
    /// Who waits for the sink.
    pub(super) syncs: FuturesUnordered<BoxFuture<'static, Synced>>,
}

impl Waiters {
    fn ask(&mut self, connector: &Arc<dyn SourceConnector>, session: u64, aim: Aim, reply: oneshot::Sender<()>) {
        let connector = Arc::clone(connector);
        self.fences.push(Box::pin(async move {
            let head = detached(async move { connector.head().await }).await;
            FenceAsked { session, head, aim, reply }
        }));
    }

    /// Takes out those whose fence is durable and whose aim is reached.
    fn take_ready(&mut self, durable: Option<&Position>, tables: &Tables) -> Vec<CurrentWaiter> {
        let is_ready = |waiter: &mut CurrentWaiter| {
            durable.is_some_and(|durable| *durable >= waiter.fence) && waiter.aim.is_reached(tables)
        };
        self.current.extract_if(.., is_ready).collect()
    }

    /// Whoever has given up while a long load lasted would be remembered until its end.
    pub(super) fn forget_gone(&mut self) {
        self.current.retain(|waiter| !waiter.reply.is_closed());
    }
}

/// Somebody who waits until a fence is durable and tables are settled.
pub(super) struct CurrentWaiter {
    fence: Position,
    aim: Aim,
    reply: oneshot::Sender<()>,
}

/// Which tables somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aim {
    /// All, until each is settled.
    Settled,
    /// These, or all; of those whose reads fail again and again, no longer than it takes to see that they do.
    Readable(Option<Vec<TableName>>),
}

impl Aim {
    fn is_reached(&self, tables: &Tables) -> bool {
        match self {
            Aim::Settled => tables.iter().all(Table::is_settled),
            Aim::Readable(None) => tables.iter().all(is_decided),
            Aim::Readable(Some(names)) => names.iter().filter_map(|name| tables.named(name)).all(is_decided),
        }
    }
}

/// Whether it is known by now whether a table can be read.
fn is_decided(table: &Table) -> bool {
    table.is_settled() || table.fails_again_and_again()
}

/// What came of waiting for the sink on behalf of those who wait.
pub(super) type Synced = (Result<(), SinkError>, Vec<CurrentWaiter>);

/// The head that somebody wants to be current with, as the source told it.
pub(super) struct FenceAsked {
    /// The session in which it was asked for.
    session: u64,
    head: Result<Position, SourceError>,
    aim: Aim,
    reply: oneshot::Sender<()>,
}

impl Follower {
    pub(super) fn ask_fence(&mut self, aim: Aim, reply: oneshot::Sender<()>) {
        self.waiters.ask(&self.connector, self.session, aim, reply);
    }

    /// Whoever waits goes on waiting if the head couldn't be told: it is asked for again. What went wrong ends this
    /// session, but not if it belongs to an earlier one: that has ended already, mostly of the same cause, and a log
    /// that was lost once would count as lost twice.
    pub(super) fn on_fence(&mut self, asked: FenceAsked) -> Result<(), Interruption> {
        let FenceAsked { session, head, aim, reply } = asked;
        match head {
            Ok(fence) => self.waiters.current.push(CurrentWaiter { fence, aim, reply }),
            Err(error) => {
                self.ask_fence(aim, reply);
                if session == self.session {
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Those who wait for what is durable by now are answered once what was stored besides is durable, too: that a table
    /// is live, for instance, which has no position of its own.
    pub(super) fn answer_waiters(&mut self) {
        if self.waiters.current.is_empty()
            || !self.progress.is_whole()
            || !self.expected.is_empty()
            || self.is_reselected()
        {
            return;
        }
        let durable = self.durable.borrow().clone();
        let ready = self.waiters.take_ready(durable.as_ref(), &self.tables);
        if !ready.is_empty() {
            let (sink, name) = (Arc::clone(&self.sink), self.name.clone());
            self.waiters.syncs.push(Box::pin(async move { (sink.sync(&name).await, ready) }));
        }
    }

    pub(super) fn on_synced(
        &mut self,
        synced: Result<(), SinkError>,
        waiters: Vec<CurrentWaiter>,
    ) -> Result<(), Interruption> {
        synced?;
        self.publish_status();
        for waiter in waiters {
            // A waiter that has gone away needs no answer.
            let _ = waiter.reply.send(());
        }
        Ok(())
    }
}
