//! How a command can end other than well.

use std::fmt;
use std::io;
use std::process::ExitCode;

use millstream_core::error::{SinkError, SourceError, chain};

use crate::config::{Faults, without_password};

/// The exit code of a failure or a negative answer.
pub(crate) const FAILED: u8 = 1;
/// The exit code when a comparison could not be made; the command line's own errors have it, too.
pub(crate) const NOT_COMPARABLE: u8 = 2;
/// The exit code after a second Ctrl-C: 128 and the signal's number, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ends early: what is wrong and where, and what to do about it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something is not as it must be.
    Trouble {
        /// What and where.
        diagnosis: String,
        /// What to do about it.
        remedy: Option<String>,
    },
    /// Files have faults.
    Faults(Faults),
    /// Whoever read the output has enough of it.
    OutputClosed,
}

impl Failure {
    pub(crate) fn new(diagnosis: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure::Trouble { diagnosis: diagnosis.into(), remedy: Some(remedy.into()) }
    }

    /// Something failed at the operating system; `doing` reads like "create the folder x".
    pub(crate) fn io(doing: impl fmt::Display, error: &io::Error, remedy: impl Into<String>) -> Self {
        Failure::new(format!("can't {doing}: {error}"), remedy)
    }

    /// What is wrong, and what to do about it.
    pub(crate) fn into_parts(self) -> (String, String) {
        match self {
            Failure::Trouble { diagnosis, remedy } => (diagnosis, remedy.unwrap_or_default()),
            other => (other.to_string(), String::new()),
        }
    }

    /// Prints it to standard error and gives the exit code.
    pub(crate) fn report(&self, code: u8) -> ExitCode {
        if let Failure::OutputClosed = self {
            return ExitCode::SUCCESS;
        }
        let mark = console::style("error:").red().bold().for_stderr();
        eprintln!("{mark} {self}");
        ExitCode::from(code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Trouble { diagnosis, remedy: None } => formatter.write_str(diagnosis),
            Failure::Trouble { diagnosis, remedy: Some(remedy) } => write!(formatter, "{diagnosis}\n  fix: {remedy}"),
            Failure::Faults(faults) => {
                let count = faults.0.len();
                write!(formatter, "{count} {}\n{faults}", if count == 1 { "fault" } else { "faults" })
            }
            Failure::OutputClosed => formatter.write_str("the output was closed"),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Failure::Faults(faults)
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Failure::new(error.diagnosis, error.remedy)
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Definite { diagnosis, remedy } => Failure::new(diagnosis, remedy),
            SourceError::Transient { .. } => Failure::new(
                without_password(&chain(&error)),
                "see that the database runs and can be reached from here; `millstream check` tells more",
            ),
            SourceError::PositionLost { .. } => Failure::new(
                chain(&error),
                "run `millstream run`: it reads every table again and writes the differences",
            ),
            SourceError::Table { .. } => {
                Failure::new(chain(&error), "try again once `millstream status` shows the table as live")
            }
        }
    }
}
