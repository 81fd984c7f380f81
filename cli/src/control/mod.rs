//! How commands talk to a `millstream run` in progress, or to a `verify` or `reload` that works without one: a Unix
//! socket in the data folder, one JSON object a line.
//!
//! A client sends one [`Request`] and receives [`Reply`] lines until [`Reply::End`] or [`Reply::Failed`]. The socket
//! answers its own user only. A command that finds nobody listening answers its request itself, from the store, by the
//! same [`Service`]; so a command's output doesn't depend on who answered.

mod address;
mod client;
mod message;
mod server;

use std::future::Future;

use tokio::sync::mpsc;

pub(crate) use client::{Answers, connect};
pub(crate) use message::{
    BucketReport, ChangeReport, CheckpointReport, ColumnReport, DifferenceReport, NotComparedReport, OpReport,
    ProgressReport, ReloadReport, Reply, Request, RowReport, SchemaReport, SourceReport, StatusReport, TableReport,
    TroubleReport, VerifiedTableReport, VerifyReport, WaitingReport,
};
pub(crate) use server::ControlSocket;

use crate::failure::Failure;

/// How many replies wait for a slow reader before the answering pauses.
const REPLIES_QUEUED_MAX: usize = 64;

/// Whoever can answer requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers a request. May be cancelled at any await, when the asker has gone.
    fn answer(&self, request: Request, replies: Replies) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Where replies go.
#[derive(Debug, Clone)]
pub(crate) struct Replies(mpsc::Sender<Reply>);

impl Replies {
    /// Sends a reply; waits while the asker is slow. Fails when the asker has gone.
    pub(crate) async fn send(&self, reply: Reply) -> Result<(), Failure> {
        self.0.send(reply).await.map_err(|_| Failure::OutputClosed)
    }

    /// As [`send`](Self::send), from code that may block.
    pub(crate) fn send_blocking(&self, reply: Reply) -> Result<(), Failure> {
        self.0.blocking_send(reply).map_err(|_| Failure::OutputClosed)
    }
}

#[cfg(test)]
mod tests;
