//! Global transaction identifiers: which transactions a position lies after, whatever files they are in.

mod mariadb;
mod mysql;

use std::fmt;

pub(crate) use mariadb::{MariaDbGtid, MariaDbGtidSet};
pub(crate) use mysql::{MySqlGtid, MySqlGtidSet};

use crate::version::Flavor;

/// A set of transactions. The two families' sets have nothing in common but their purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GtidSet {
    /// Intervals of numbers by server and tag.
    MySql(MySqlGtidSet),
    /// The last transaction of each domain.
    MariaDb(MariaDbGtidSet),
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gtid {
    /// `server:number` or `server:tag:number`.
    MySql(MySqlGtid),
    /// `domain-server-number`.
    MariaDb(MariaDbGtid),
}

/// A text isn't a set of the family that it was said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is no part of a {flavor} GTID set: {reason}")]
pub(crate) struct GtidError {
    flavor: Flavor,
    part: String,
    reason: &'static str,
}

impl GtidError {
    fn new(flavor: Flavor, part: impl Into<String>, reason: &'static str) -> Self {
        Self { flavor, part: part.into(), reason }
    }
}

impl GtidSet {
    /// Reads a set as the server writes it (`@@gtid_executed`, `@@gtid_binlog_pos`), line breaks included.
    pub(crate) fn parse(flavor: Flavor, text: &str) -> Result<Self, GtidError> {
        match flavor {
            Flavor::MySql => text.parse().map(GtidSet::MySql),
            Flavor::MariaDb => text.parse().map(GtidSet::MariaDb),
        }
    }

    /// Whether it holds no transaction.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            GtidSet::MySql(set) => set.is_empty(),
            GtidSet::MariaDb(set) => set.is_empty(),
        }
    }

    /// Adds one transaction. One of the other family is no member of this set and changes nothing.
    pub(crate) fn add(&mut self, gtid: &Gtid) {
        match (self, gtid) {
            (GtidSet::MySql(set), Gtid::MySql(gtid)) => set.add(gtid),
            (GtidSet::MariaDb(set), Gtid::MariaDb(gtid)) => set.add(*gtid),
            (GtidSet::MySql(_), Gtid::MariaDb(_)) | (GtidSet::MariaDb(_), Gtid::MySql(_)) => {}
        }
    }

    /// Whether every transaction of this set is in `other`.
    pub(crate) fn is_subset_of(&self, other: &Self) -> bool {
        match (self, other) {
            (GtidSet::MySql(set), GtidSet::MySql(other)) => set.is_subset_of(other),
            (GtidSet::MariaDb(set), GtidSet::MariaDb(other)) => set.is_subset_of(other),
            _ => self.is_empty(),
        }
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GtidSet::MySql(set) => set.fmt(formatter),
            GtidSet::MariaDb(set) => set.fmt(formatter),
        }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gtid::MySql(gtid) => gtid.fmt(formatter),
            Gtid::MariaDb(gtid) => gtid.fmt(formatter),
        }
    }
}
