//! One source into one sink: read, decide, store, acknowledge.
//!
//! A [`Pipeline`] follows one source. Several pipelines, of sources of different kinds, may feed one sink. It owns the
//! list of tables, asks the connector for changes and chunks, decides by [`effect`](crate::schema_change::effect) what
//! each schema change requires, runs the passes that this takes, and hands everything to the sink in an order in which
//! it is right to store it.

pub(crate) mod backoff;
mod detached;
mod follower;
mod handle;
mod head;
mod meter;
mod passes;
mod progress;
mod recheck;
mod schema_changes;
mod status;
mod tables;
mod waiters;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::error::{SinkError, SourceError, chain};
use crate::row::ValueTooLong;
use crate::sink::Sink;
use crate::source::SourceConnector;

pub use handle::{Handle, NotCompared, RequestError, VerifyReport};
pub use status::{ConnectionStatus, PassProgress, SourceStatus, TableStatus};

use follower::Follower;
use handle::Command;

/// How many requests may wait for a pipeline.
const COMMANDS_MAX: usize = 32;

/// What can be set about a pipeline. The defaults are meant to stay.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// How many ranges of one table are read at once.
    pub ranges_per_table: usize,
    /// How many tables are read at once.
    pub tables_read_at_once_max: usize,
    /// How many chunks may be on their way at once, read or being read; bounds the memory of passes.
    pub chunks_in_flight_max: usize,
    /// How many rows a chunk has at most.
    pub chunk_rows_max: usize,
    /// A limit on the rows that passes read a second, to spare the source; `None` for as fast as it goes.
    pub rows_per_second_max: Option<u64>,
    /// For how long a commit may wait for rows that have to be asked for one by one.
    pub recheck_hold_max: Duration,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            ranges_per_table: 2,
            tables_read_at_once_max: 2,
            chunks_in_flight_max: 4,
            chunk_rows_max: 20_000,
            rows_per_second_max: None,
            recheck_hold_max: Duration::from_secs(2),
        }
    }
}

/// Why a pipeline ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source, as it is configured, can't be followed.
    #[error("source {name}: {error}")]
    Source {
        /// The source's name.
        name: String,
        /// What is wrong and how to mend it.
        error: SourceError,
    },
    /// The sink can't store.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A row holds a value that is longer than any source may have.
    #[error("source {name}: {error}")]
    Value {
        /// The source's name.
        name: String,
        /// Which limit.
        error: ValueTooLong,
    },
}

impl PipelineError {
    /// What is wrong.
    pub fn diagnosis(&self) -> String {
        match self {
            PipelineError::Source { error: SourceError::Definite { diagnosis, .. }, .. } => diagnosis.clone(),
            PipelineError::Source { error, .. } => chain(error),
            PipelineError::Sink(error) => error.diagnosis.clone(),
            PipelineError::Value { error, .. } => error.to_string(),
        }
    }

    /// How to mend it, so that the pipeline can be started again.
    pub fn remedy(&self) -> String {
        match self {
            PipelineError::Source { error: SourceError::Definite { remedy, .. }, .. } => remedy.clone(),
            PipelineError::Source { .. } => "see that the database runs and can be reached".to_owned(),
            PipelineError::Sink(error) => error.remedy.clone(),
            PipelineError::Value { .. } => "leave the column's table out of the sync config".to_owned(),
        }
    }
}

/// Follows one source into a sink.
pub struct Pipeline {
    follower: Follower,
    commands: mpsc::Receiver<Command>,
    stop: watch::Receiver<bool>,
}

impl Pipeline {
    /// A pipeline and the handle to talk to it. `name` is the source's name in the configuration.
    pub fn new(
        name: impl Into<String>,
        connector: Arc<dyn SourceConnector>,
        sink: Arc<dyn Sink>,
        options: PipelineOptions,
    ) -> (Self, Handle) {
        let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (stop_sender, stop) = watch::channel(false);
        let (follower, status) = Follower::new(name.into(), connector, sink, options);
        let asked = Arc::clone(&follower.asked);
        (Self { follower, commands, stop }, Handle { commands: command_sender, asked, status, stop: stop_sender })
    }

    /// Runs until [`Handle::stop`], or until something definite is in the way.
    ///
    /// Transient errors of the source are retried for ever and shown in the status. When this returns, everything
    /// that was handed to the sink has been accepted; closing the sink makes it durable.
    pub async fn run(self) -> Result<(), PipelineError> {
        let Self { mut follower, mut commands, mut stop } = self;
        follower.run(&mut commands, &mut stop).await
    }
}
