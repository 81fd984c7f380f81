//! One connection: what it is asked, and what it answers.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::{SqlError, SqlResult};
use crate::value::{SqlType, Value};

/// A value that a client sends with a request.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// With its `@`; empty where it is given by position.
    pub name: String,
    pub sql_type: SqlType,
    pub value: Value,
    pub output: bool,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnMetadata {
    pub name: String,
    pub sql_type: SqlType,
    pub nullable: bool,
    pub identity: bool,
    pub computed: bool,
}

/// What ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finished {
    /// A statement of a batch: DONE.
    Statement,
    /// A statement within a procedure: DONEINPROC.
    InProcedure,
    /// A procedure, after its status: DONEPROC.
    Procedure,
}

/// A part of the answer, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// The columns of a result, which `Rows` follow.
    Columns(Vec<ColumnMetadata>),
    Rows(Vec<Vec<Value>>),
    /// A statement ended; `rows` is what it counted, or None where it counts nothing or NOCOUNT is on.
    Done {
        finished: Finished,
        rows: Option<u64>,
        /// Whether it ended by an error.
        failed: bool,
    },
    Message(SqlError),
    Error(SqlError),
    /// An output parameter of a request.
    ReturnValue {
        name: String,
        sql_type: SqlType,
        value: Value,
    },
    ReturnStatus(i32),
    DatabaseChanged {
        from: String,
        to: String,
    },
    TransactionBegan(u64),
    TransactionCommitted(u64),
    TransactionRolledBack(u64),
}

/// Whether the answer is still wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    Continue,
    /// The client has gone: the request ends as if it were cancelled.
    Stop,
}

/// Where answers go.
pub type OutputSink<'a> = dyn FnMut(Output) -> Flow + 'a;

/// Who connects, and how.
#[derive(Clone, Debug)]
pub struct Login {
    pub name: String,
    pub password: String,
    /// Empty for the login's default database.
    pub database: String,
    pub host: String,
    pub application: String,
    /// `ApplicationIntent=ReadOnly`.
    pub read_only: bool,
}

/// Isolation as a transaction-manager request names it; None leaves it as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
    Snapshot,
}

/// One connection: its login, its database, its options, its transaction and its temporary tables.
pub struct Session {
    cancelled: Arc<AtomicBool>,
    login: Login,
}

impl Session {
    /// Opens a session. Setting `cancelled` ends the running request as an attention does; the caller sets it back.
    ///
    /// # Errors
    /// 18456 where the login or password is wrong, 4060 where the database can't be opened.
    pub fn open(login: Login, cancelled: Arc<AtomicBool>) -> SqlResult<Self> {
        Ok(Self { cancelled, login })
    }

    /// The current database.
    pub fn database(&self) -> &str {
        &self.login.database
    }

    /// Runs a batch. With parameters it is that of `sp_executesql`: they are its variables, and those marked as output
    /// come back as return values.
    pub fn batch(&mut self, sql: &str, parameters: Vec<Parameter>, out: &mut OutputSink<'_>) {
        let _ = (sql, parameters, &self.cancelled, &self.login);
        out(Output::Error(SqlError::unsupported("statements")));
    }

    /// Runs a procedure as a request names it.
    pub fn procedure(&mut self, name: &str, parameters: Vec<Parameter>, out: &mut OutputSink<'_>) {
        let _ = (name, parameters);
        out(Output::Error(SqlError::no_procedure(name)));
    }

    /// Transaction-manager requests. The answer is a `TransactionBegan`, `TransactionCommitted` or
    /// `TransactionRolledBack`, or an error.
    pub fn begin(&mut self, name: &str, isolation: Option<Isolation>, out: &mut OutputSink<'_>) {
        let _ = (name, isolation);
        out(Output::Error(SqlError::unsupported("transactions")));
    }

    pub fn commit(&mut self, out: &mut OutputSink<'_>) {
        out(Output::Error(SqlError::unsupported("transactions")));
    }

    /// Rolls back the whole transaction, or to the savepoint where a name is given.
    pub fn rollback(&mut self, savepoint: &str, out: &mut OutputSink<'_>) {
        let _ = savepoint;
        out(Output::Error(SqlError::unsupported("transactions")));
    }

    pub fn save(&mut self, savepoint: &str, out: &mut OutputSink<'_>) {
        let _ = savepoint;
        out(Output::Error(SqlError::unsupported("transactions")));
    }

    /// What `sp_reset_connection` and the reset bit of a packet do: rolls back, drops temporary tables, and puts options
    /// and database back to what they were after the login.
    pub fn reset(&mut self, out: &mut OutputSink<'_>) {
        let _ = out;
    }
}
