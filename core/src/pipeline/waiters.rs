//! Those who wait until the sink holds what the source had when they asked.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::{SinkError, SourceError};
use crate::position::Position;

use super::detached::detached;
use super::follower::{Follower, Interruption};

/// Somebody who waits until a fence is durable and all tables are settled.
pub(super) struct CurrentWaiter {
    fence: Position,
    pub(super) reply: oneshot::Sender<()>,
}

/// What came of waiting for the sink on behalf of those who wait.
pub(super) type Synced = (Result<(), SinkError>, Vec<CurrentWaiter>);

/// The head that somebody wants to be current with, as the source told it.
pub(super) struct FenceAsked {
    /// The session in which it was asked for.
    session: u64,
    head: Result<Position, SourceError>,
    reply: oneshot::Sender<()>,
}

impl Follower {
    pub(super) fn ask_fence(&mut self, reply: oneshot::Sender<()>) {
        let (connector, session) = (Arc::clone(&self.connector), self.session);
        self.fences.push(Box::pin(async move {
            let head = detached(async move { connector.head().await }).await;
            FenceAsked { session, head, reply }
        }));
    }

    /// Whoever waits goes on waiting if the head couldn't be told: it is asked for again. What went wrong ends this
    /// session, but not if it belongs to an earlier one: that has ended already, mostly of the same cause, and a log
    /// that was lost once would count as lost twice.
    pub(super) fn on_fence(&mut self, FenceAsked { session, head, reply }: FenceAsked) -> Result<(), Interruption> {
        match head {
            Ok(fence) => self.waiters.push(CurrentWaiter { fence, reply }),
            Err(error) => {
                self.ask_fence(reply);
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
        let is_settled = self.expected.is_empty() && self.tables.iter().all(|table| table.is_settled());
        if self.waiters.is_empty() || !is_settled || self.is_reselected() {
            return;
        }
        let durable = self.durable.borrow().clone();
        let settled_at_the_end = self.held_commit.is_none() && !self.open;
        let (ready, waiting) = std::mem::take(&mut self.waiters).into_iter().partition::<Vec<_>, _>(|waiter| {
            settled_at_the_end && durable.as_ref().is_some_and(|durable| *durable >= waiter.fence)
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
