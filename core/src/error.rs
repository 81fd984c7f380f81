//! Errors in two families.
//!
//! *Transient* ones are the outside world's: a lost connection, a server that restarts. They are retried for ever,
//! visibly, with growing pauses. *Definite* ones say that something named (a setting, a table, the store) is not as it
//! must be: retrying can't help, so they carry a diagnosis and a remedy and affect only what they name. Which family an
//! error belongs to is decided where it arises, by its code, never by its message.

use crate::schema::TableName;

/// What a connector can answer instead of what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The outside world; worth trying again.
    #[error("{context}")]
    Transient {
        /// What was being done.
        context: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The source as configured can't be followed until somebody changes something.
    #[error("{diagnosis}. {remedy}")]
    Definite {
        /// What is wrong and where.
        diagnosis: String,
        /// What to do about it.
        remedy: String,
    },
    /// The log no longer holds what follows the position: every table must be read again.
    #[error("the log no longer holds what follows position {position}: {reason}")]
    PositionLost {
        /// The position asked for.
        position: String,
        /// Why it can't be had.
        reason: String,
    },
    /// One table isn't as its schema says (any more); the stream will tell or has told.
    #[error("table {table} can't be read as expected: {reason}")]
    Table {
        /// Which.
        table: TableName,
        /// What was found.
        reason: String,
    },
}

impl SourceError {
    /// A transient error with its cause.
    pub fn transient(
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SourceError {
        SourceError::Transient { context: context.into(), source: source.into() }
    }

    /// A definite error with its remedy.
    pub fn definite(diagnosis: impl Into<String>, remedy: impl Into<String>) -> SourceError {
        SourceError::Definite { diagnosis: diagnosis.into(), remedy: remedy.into() }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, SourceError::Transient { .. })
    }
}

/// What a sink can answer. Every one stops the pipeline: a sink that can't store must not be fed.
#[derive(Debug, thiserror::Error)]
#[error("{diagnosis}. {remedy}")]
pub struct SinkError {
    /// What is wrong and where.
    pub diagnosis: String,
    /// What to do about it.
    pub remedy: String,
}

impl SinkError {
    /// An error with its remedy.
    pub fn new(diagnosis: impl Into<String>, remedy: impl Into<String>) -> SinkError {
        SinkError { diagnosis: diagnosis.into(), remedy: remedy.into() }
    }
}

/// An error with all its causes, in one line, for people.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}
