//! Faults in files, each with its place and what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

use millstream_core::source::Severity;
use serde::Serialize;

use crate::failure::Failure;

/// A place in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// One thing wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub(crate) severity: Severity,
    pub(crate) file: PathBuf,
    pub(crate) place: Option<Place>,
    pub(crate) message: String,
    /// What to write or do instead.
    pub(crate) suggestion: Option<String>,
}

impl Fault {
    pub(crate) fn error(file: &Path, place: Option<Place>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, file: file.to_owned(), place, message: message.into(), suggestion: None }
    }

    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// `file:line:column`, as editors understand it.
    pub(crate) fn location(&self) -> String {
        match self.place {
            Some(place) => format!("{}:{}:{}", self.file.display(), place.line, place.column),
            None => self.file.display().to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.location(), self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, "\n    fix: {suggestion}"),
            None => Ok(()),
        }
    }
}

/// All faults of one load. At least one is an error.
#[derive(Debug, Clone)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// What is wrong, without places: for a text that nobody has in a file.
    pub(crate) fn into_failure(self) -> Failure {
        let (messages, suggestions): (Vec<_>, Vec<_>) =
            self.0.into_iter().map(|fault| (fault.message, fault.suggestion)).unzip();
        let suggestions: Vec<String> = suggestions.into_iter().flatten().collect();
        Failure::new(messages.join("; "), suggestions.join("; "))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            fault.fmt(formatter)?;
        }
        Ok(())
    }
}

/// The word among `known` that was probably meant.
pub(crate) fn did_you_mean(written: &str, known: &[&'static str]) -> Option<&'static str> {
    /// Below this, the advice would puzzle more often than help. The measure goes from 0 to 1.
    const SIMILARITY_MIN: f64 = 0.7;
    known
        .iter()
        .map(|word| (strsim::jaro_winkler(&written.to_lowercase(), word), *word))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_recognised_and_another_is_not() {
        let known = ["sources", "sync_config", "data"];
        assert_eq!(did_you_mean("souces", &known), Some("sources"));
        assert_eq!(did_you_mean("sync-config", &known), Some("sync_config"));
        assert_eq!(did_you_mean("SOURCES", &known), Some("sources"));
        assert_eq!(did_you_mean("retention", &known), None);
    }
}
