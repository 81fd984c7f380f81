//! Capture instances as the catalog shows them, with the statements that came after them.

use millstream_core::schema::Column;

use super::ddl::{self, Action};
use crate::position::Lsn;

/// One capture instance: a change table and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// The object id of its change table.
    pub(crate) change_table: i32,
    /// Its name, by which procedures know it and after which its change table is called.
    pub(crate) name: String,
    /// Its rows are complete from here on; `None` until the capture process has noticed it.
    pub(crate) start: Option<Lsn>,
    /// Orders a table's instances; the server's clock in milliseconds.
    pub(crate) created_at_ms: i64,
    /// The captured columns that change rows hold values of (of computed ones they don't), by ordinal.
    pub(crate) columns: Vec<CapturedColumn>,
    /// The columns that name a row: the primary key of when it was made, or the unique index chosen then. While the
    /// instance exists the server refuses to change them.
    pub(crate) key: Vec<i32>,
    /// Whether the key is the primary key.
    pub(crate) key_is_primary: bool,
    /// Whether its rows say which of their transaction's commands they belong to. Change tables that were made before
    /// the server learnt that (updates of 2012 to 2016) don't, even once it has.
    pub(crate) tells_commands: bool,
    /// Statements about the table since it was made, in order.
    pub(crate) statements: Vec<Statement>,
    /// What else its successor should have of it.
    pub(crate) options: InstanceOptions,
}

/// How an instance was made, as far as it doesn't matter for reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InstanceOptions {
    /// Who may read it, beside owners.
    pub(crate) role: Option<String>,
    /// Whether it can tell net changes.
    pub(crate) net_changes: bool,
    /// The index that was chosen for it.
    pub(crate) index: Option<String>,
    /// Where its change table lies.
    pub(crate) filegroup: Option<String>,
    /// Whether partitions may be switched.
    pub(crate) partition_switch: bool,
}

/// A column of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CapturedColumn {
    /// The table's column, by the number that is never given again.
    pub(crate) column_id: i32,
    /// Its name and shape. The type is the change table's, which is what its rows have.
    pub(crate) column: Column,
    /// Whether the table still has the column now; whether that is already true at a place in the log is another
    /// question.
    pub(crate) exists: bool,
}

/// A line of `cdc.ddl_history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its place among the changes.
    pub(crate) at: Lsn,
    /// Its text.
    pub(crate) command: String,
    /// When, in milliseconds since 1970 (UTC) by the server's clock.
    pub(crate) at_ms: i64,
}

impl Statement {
    /// What it did.
    pub(crate) fn action(&self) -> Action {
        ddl::read(&self.command)
    }
}

impl Instance {
    /// Whether it is the later made of two.
    pub(crate) fn is_newer_than(&self, other: &Instance) -> bool {
        (self.created_at_ms, self.change_table) > (other.created_at_ms, other.change_table)
    }

    /// Whether it is to be preferred to another of the same table: no column is lost by going over to it, and something
    /// is won. Whoever makes an instance of a few columns for purposes of their own doesn't change what others read.
    pub(crate) fn supersedes(&self, other: &Instance) -> bool {
        self.covers(other) && (self.is_newer_than(other) || !other.covers(self))
    }

    /// Whether it captures all columns of the other that the table still has.
    fn covers(&self, other: &Instance) -> bool {
        other.columns.iter().all(|captured| !captured.exists || self.captures(captured.column_id))
    }

    /// Whether its rows are complete from this commit on.
    pub(crate) fn reaches_back_to(&self, lsn: Lsn) -> bool {
        self.start.is_some_and(|start| start <= lsn)
    }

    /// Whether it captures this column of the table.
    pub(crate) fn captures(&self, column_id: i32) -> bool {
        self.columns.iter().any(|captured| captured.column_id == column_id)
    }

    /// Statements at places above `after`, up to and with `upto`.
    pub(crate) fn statements_between(&self, after: Lsn, upto: Lsn) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(move |statement| statement.at > after && statement.at <= upto)
    }

    /// The newest statement so far; `None` if there was none.
    pub(crate) fn last_statement(&self) -> Option<Lsn> {
        self.statements.last().map(|statement| statement.at)
    }
}
