//! Reporting from inside a file, and from inside a query in it.

use crate::fault::{Faults, Place};
use crate::json_path::Quoting;
use crate::lines::Lines;
use crate::scalar::Scalar;
use crate::sql::syntax::{Select, SyntaxFault};

/// The file being read and what is wrong with it so far.
pub(crate) struct Report<'a> {
    pub(crate) lines: Lines<'a>,
    pub(crate) faults: Faults,
}

/// A query being read: its text knows where it stands in the file.
pub(crate) struct QueryReport<'r, 'a> {
    scalar: &'r Scalar,
    report: &'r mut Report<'a>,
    /// How the config reads JSON paths.
    pub(crate) quoting: Quoting,
}

impl<'r, 'a> QueryReport<'r, 'a> {
    /// Parses a query; a fault ends up in the report.
    pub(crate) fn parse(report: &'r mut Report<'a>, scalar: &'r Scalar, quoting: Quoting) -> Option<(Select, Self)> {
        let mut query = Self { scalar, report, quoting };
        match crate::sql::parser::parse(&scalar.text) {
            Ok(select) => Some((select, query)),
            Err(SyntaxFault { at, message, suggestion }) => {
                query.error(at, message, suggestion);
                None
            }
        }
    }

    /// Where the byte at `at` of the query's text stands in the file.
    pub(crate) fn place(&self, at: usize) -> Place {
        self.scalar.place(at, &self.report.lines)
    }

    pub(crate) fn error(&mut self, at: usize, message: impl Into<String>, suggestion: Option<String>) {
        let place = self.place(at);
        self.report.faults.error(place, message, suggestion);
    }

    pub(crate) fn warning(&mut self, at: usize, message: impl Into<String>, suggestion: Option<String>) {
        let place = self.place(at);
        self.report.faults.warning(place, message, suggestion);
    }
}
