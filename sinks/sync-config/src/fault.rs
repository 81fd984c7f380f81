//! What is wrong with a config, and where.

use std::fmt;

/// How much a fault matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The config can't be used.
    Error,
    /// The config can be used, but it may not do what its author means.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// A place in a text file. Both numbers count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The character within the line.
    pub column: u32,
}

impl Place {
    /// The first character of a file.
    pub const START: Place = Place { line: 1, column: 1 };
}

/// One thing that is wrong, for a person to read and mend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The file's name, as it was given to the parser.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The character within the line, counted from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// How to mend it, where that is known.
    pub suggestion: Option<String>,
    /// Whether the config can be used all the same.
    pub severity: Severity,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}: {}: {}", self.file, self.line, self.column, self.severity, self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, " ({suggestion})"),
            None => Ok(()),
        }
    }
}

/// More faults than anybody reads at once aren't kept.
const FAULTS_MAX: usize = 200;

/// Collects the faults of one file.
#[derive(Debug)]
pub(crate) struct Faults {
    file: String,
    list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new() }
    }

    pub(crate) fn error(&mut self, place: Place, message: impl Into<String>, suggestion: Option<String>) {
        self.push(place, message.into(), suggestion, Severity::Error);
    }

    pub(crate) fn warning(&mut self, place: Place, message: impl Into<String>, suggestion: Option<String>) {
        self.push(place, message.into(), suggestion, Severity::Warning);
    }

    fn push(&mut self, place: Place, message: String, suggestion: Option<String>, severity: Severity) {
        let fault =
            Fault { file: self.file.clone(), line: place.line, column: place.column, message, suggestion, severity };
        // One expression may be looked at more than once, as the branches of an OR share what stands beside it.
        if self.list.len() < FAULTS_MAX && !self.list.contains(&fault) {
            self.list.push(fault);
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// All faults, in the order of the file.
    pub(crate) fn into_list(mut self) -> Vec<Fault> {
        self.list.sort_by_key(|fault| (fault.line, fault.column));
        self.list
    }
}
