//! Talking to a running pipeline.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::reconcile::PassSummary;
use crate::schema::TableName;
use crate::table::TableRecord;

use super::status::{ConnectionStatus, SourceStatus};
use super::waiters::Aim;

/// What can be asked of a running pipeline.
pub(super) enum Command {
    UntilCurrent { aim: Aim, reply: oneshot::Sender<()> },
    Reload { table: TableName, reply: oneshot::Sender<Result<PassSummary, String>> },
    Verify { tables: Option<Vec<TableName>>, reply: oneshot::Sender<VerifyReport> },
    Tables { reply: oneshot::Sender<Vec<TableRecord>> },
}

/// The result of comparing stored rows with a fresh read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct VerifyReport {
    /// The tables compared.
    pub tables: Vec<PassSummary>,
    /// The tables that couldn't be, each with the reason.
    pub not_compared: Vec<NotCompared>,
}

impl VerifyReport {
    /// Whether every table was compared and no row differs.
    pub fn is_equal(&self) -> bool {
        self.not_compared.is_empty() && self.tables.iter().all(|table| table.differences_total == 0)
    }
}

/// A table that couldn't be compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NotCompared {
    /// Which.
    pub table: TableName,
    /// Why.
    pub reason: String,
}

/// Why a request to a pipeline wasn't carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The pipeline has stopped.
    #[error("the source isn't being followed any more; the process's log tells why")]
    Stopped,
    /// The request can't be met.
    #[error("{0}")]
    Refused(String),
}

/// A cheap, cloneable way to talk to a running [`Pipeline`](super::Pipeline).
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) asked: Arc<Notify>,
    pub(super) status: watch::Receiver<SourceStatus>,
    pub(super) stop: watch::Sender<bool>,
}

impl Handle {
    /// Asks the pipeline to stop after what it is doing; [`Pipeline::run`](super::Pipeline::run) then returns.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The source now; at most half a second old.
    pub fn status(&self) -> SourceStatus {
        let mut status = self.status.borrow().clone();
        let is_over = matches!(status.connection, ConnectionStatus::Failed { .. } | ConnectionStatus::Stopped);
        if self.commands.is_closed() && !is_over {
            // Its task broke off, without a last word.
            status.connection = ConnectionStatus::Stopped;
            status.behind_ms = None;
        }
        status
    }

    /// The status as it changes.
    pub fn watch_status(&self) -> watch::Receiver<SourceStatus> {
        self.status.clone()
    }

    /// Waits until everything that was committed at the source before this call is durable in the sink, and every
    /// table is live, or held until somebody changes something.
    pub async fn until_current(&self) -> Result<(), RequestError> {
        self.ask(|reply| Command::UntilCurrent { aim: Aim::Settled, reply }).await
    }

    /// As [`until_current`](Handle::until_current), but for these tables only (`None` means all), and passes over those
    /// whose reads fail again and again: these are tried for as long as it takes.
    pub async fn until_readable(&self, tables: Option<Vec<TableName>>) -> Result<(), RequestError> {
        self.ask(|reply| Command::UntilCurrent { aim: Aim::Readable(tables), reply }).await
    }

    /// Reads a table again, writes what differs, and waits for the end of it, or until it turns out that it can't be
    /// read. It is tried further then.
    pub async fn reload(&self, table: TableName) -> Result<PassSummary, RequestError> {
        self.ask(|reply| Command::Reload { table, reply }).await?.map_err(RequestError::Refused)
    }

    /// Waits as [`until_readable`](Handle::until_readable) does, then reads tables again and compares, changing nothing.
    /// `None` means all tables.
    pub async fn verify(&self, tables: Option<Vec<TableName>>) -> Result<VerifyReport, RequestError> {
        self.until_readable(tables.clone()).await?;
        self.ask(|reply| Command::Verify { tables, reply }).await
    }

    /// The tracked tables with their schemas, by name.
    pub async fn tables(&self) -> Result<Vec<TableRecord>, RequestError> {
        self.ask(|reply| Command::Tables { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| RequestError::Stopped)?;
        self.asked.notify_one();
        answer.await.map_err(|_| RequestError::Stopped)
    }
}
