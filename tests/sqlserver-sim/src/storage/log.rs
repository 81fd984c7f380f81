//! A database's log, as far as the capture process reads it: what transactions did to tracked tables, in the order of
//! their commits.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::value::{Moment, SqlType};

use super::catalog::ObjectId;
use super::lsn::{LogEnd, Lsn};
use super::table::{ColumnId, Row, Table};

#[derive(Clone, Debug)]
pub struct Log {
    end: LogEnd,
    /// Committed and not yet behind the capture process.
    pending: VecDeque<Arc<LoggedTransaction>>,
    /// The last commit that wasn't the capture process's own.
    last_commit: Lsn,
}

/// A committed transaction that touched tracked tables.
#[derive(Debug)]
pub struct LoggedTransaction {
    pub begin_lsn: Lsn,
    pub commit_lsn: Lsn,
    pub began: Moment,
    pub committed: Moment,
    pub transaction_id: u64,
    pub records: Vec<LogRecord>,
}

#[derive(Clone, Debug)]
pub struct LogRecord {
    pub lsn: Lsn,
    /// From 1 within the transaction.
    pub command_id: i32,
    pub change: LogChange,
}

#[derive(Clone, Debug)]
pub enum LogChange {
    Insert {
        table: Arc<Table>,
        row: Row,
    },
    Delete {
        table: Arc<Table>,
        row: Row,
    },
    Update {
        table: Arc<Table>,
        before: Row,
        after: Row,
    },
    /// A statement that changed a tracked table's shape.
    Ddl {
        table: ObjectId,
        command: Arc<str>,
        retyped: Vec<Retyped>,
    },
    /// A capture instance was created.
    Enabled {
        change_table: ObjectId,
    },
}

/// A column whose type a statement changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retyped {
    pub column: ColumnId,
    pub sql_type: SqlType,
}

impl Log {
    pub fn new(file: u32) -> Self {
        Self { end: LogEnd::new(file), pending: VecDeque::new(), last_commit: Lsn::ZERO }
    }

    /// The place of a record of about `bytes`.
    pub(super) fn append(&mut self, bytes: u32) -> Lsn {
        self.end.append(bytes)
    }

    /// Ends a transaction by a commit record and gives its place.
    pub(super) fn commit(&mut self, of_capture: bool) -> Lsn {
        let lsn = self.end.append(64);
        self.end.flush();
        if !of_capture {
            self.last_commit = lsn;
        }
        lsn
    }

    pub(super) fn push(&mut self, transaction: LoggedTransaction) {
        self.pending.push_back(Arc::new(transaction));
    }

    pub fn last_commit(&self) -> Lsn {
        self.last_commit
    }

    pub fn end(&self) -> Lsn {
        self.end.last()
    }

    /// The next transactions for the capture process, at most `transactions_max`.
    pub fn pending(&self, transactions_max: usize) -> Vec<Arc<LoggedTransaction>> {
        self.pending.iter().take(transactions_max).cloned().collect()
    }

    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Lets go of what the capture process has done with.
    pub fn discard(&mut self, transactions: usize) {
        self.pending.drain(..transactions.min(self.pending.len()));
    }
}
