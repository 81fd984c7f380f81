//! Why a measurement couldn't be made.

use std::path::PathBuf;

use millstream_core::error::{SinkError, SourceError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Server(#[from] millstream_testkit::Error),
    #[error("{action}")]
    Io { action: String, source: std::io::Error },
    #[error("{program} ended with {outcome}:\n{output}")]
    Program { program: String, outcome: String, output: String },
    #[error("no program at {}: build it with `cargo build --release -p {package}`", expected.display())]
    NoProgram { expected: PathBuf, package: &'static str },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("executing a change")]
    Sql(#[from] mysql_async::Error),
    #[error("asking the simulated SQL Server")]
    Tds(#[from] tiberius::error::Error),
    #[error("the latency's set-up: {0}")]
    Setup(String),
}

impl Failure {
    pub(crate) fn own(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Failure {
        let action = action.into();
        move |source| Failure::Io { action, source }
    }
}
