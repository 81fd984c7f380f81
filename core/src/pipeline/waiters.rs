//! Those who wait until the sink holds what the source had when they asked.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::{SinkError, SourceError};
use crate::position::Position;

use super::detached::detached;
use super::follower::{Follower, Interruption};
use super::tables::Table;

/// Somebody who waits until a fence is durable and all tables are settled.
pub(super) struct CurrentWaiter {
    fence: Position,
    patience: Patience,
    pub(super) reply: oneshot::Sender<()>,
}

/// How long somebody waits for a table whose reads fail again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it can be read.
    Endless,
    /// No longer than it takes to see that they do.
    Short,
}

/// What came of waiting for the sink on behalf of those who wait.
pub(super) type Synced = (Result<(), SinkError>, Vec<CurrentWaiter>);

/// The head that somebody wants to be current with, as the source told it.
pub(super) struct FenceAsked {
    /// The session in which it was asked for.
    session: u64,
    head: Result<Position, SourceError>,
    patience: Patience,
    reply: oneshot::Sender<()>,
}

impl Follower {
    pub(super) fn ask_fence(&mut self, patience: Patience, reply: oneshot::Sender<()>) {
        let (connector, session) = (Arc::clone(&self.connector), self.session);
        self.fences.push(Box::pin(async move {
            let head = detached(async move { connector.head().await }).await;
            FenceAsked { session, head, patience, reply }
        }));
    }

    /// Whoever waits goes on waiting if the head couldn't be told: it is asked for again. What went wrong ends this
    /// session, but not if it belongs to an earlier one: that has ended already, mostly of the same cause, and a log
    /// that was lost once would count as lost twice.
    pub(super) fn on_fence(&mut self, asked: FenceAsked) -> Result<(), Interruption> {
        let FenceAsked { session, head, patience, reply } = asked;
        match head {
            Ok(fence) => self.waiters.push(CurrentWaiter { fence, patience, reply }),
            Err(error) => {
                self.ask_fence(patience, reply);
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
        if self.waiters.is_empty() || !self.expected.is_empty() || self.is_reselected() {
            return;
        }
        let mut unsettled = self.tables.iter().filter(|table| !table.is_settled()).peekable();
        let all_settled = unsettled.peek().is_none();
        if !unsettled.all(Table::fails_again_and_again) {
            return;
        }
        let durable = self.durable.borrow().clone();
        let settled_at_the_end = self.held_commit.is_none() && !self.open;
        let (ready, waiting) = std::mem::take(&mut self.waiters).into_iter().partition::<Vec<_>, _>(|waiter| {
            let is_patient = waiter.patience == Patience::Endless;
            settled_at_the_end
                && (all_settled || !is_patient)
                && durable.as_ref().is_some_and(|durable| *durable >= waiter.fence)
        });
        self.waiters = waiting;
        if !ready.is_empty() {
            let (sink, name) = (Arc::clone(&self.sink), self.name.clone());
            self.syncs.push(Box::pin(async move { (sink.sync(&name).await, ready) }));
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
