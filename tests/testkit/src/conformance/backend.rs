//! What a connector's tests supply.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use millstream_core::source::SourceConnector;

use crate::FaultProxy;

use super::operation::{ColumnType, Input, Operation};
use super::value::Value;

/// Why a back-end couldn't do what it was asked to; fails the case.
pub type BackendError = Box<dyn std::error::Error + Send + Sync>;

/// Something that not every source can do. What a source lacks is declared in [`Backend::lacks`]; every case that needs
/// it is then reported as not applicable, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Several row changes, also of several tables, are committed at once and become visible at once.
    Transactions,
    /// Transactions can be taken back. Needs [`Backend::roll_back`].
    Rollback,
    /// Every change of a row is in the log, not only what came of several.
    EveryVersion,
    /// Keys of several columns.
    CompositeKeys,
    /// Tables without any key, with equal rows.
    TablesWithoutKey,
    /// [`Operation::Truncate`].
    Truncate,
    /// [`Operation::RenameTable`].
    RenameTable,
    /// [`Operation::SwapTables`].
    SwapTables,
    /// The log has a place for each change of a table's name. Without it, a name that is changed and changed back between
    /// two looks at the catalog leaves no trace.
    RenamesInLog,
    /// [`Operation::AddColumn`] without a default.
    AddColumn,
    /// [`Operation::AddColumn`] with a default that existing rows get.
    AddColumnWithDefault,
    /// [`Operation::DropColumn`].
    DropColumn,
    /// [`Operation::RenameColumn`].
    RenameColumn,
    /// [`Operation::RetypeColumn`].
    RetypeColumn,
    /// [`Operation::ChangeKey`].
    ChangeKey,
    /// Connections that can be cut. Needs [`Backend::proxy`].
    CutConnections,
    /// A server that can be restarted. Needs [`Backend::restart_source`].
    RestartSource,
    /// A log that can be shortened behind the connector's back. Needs [`Backend::lose_log`].
    LoseLog,
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Capability::Transactions => "transactions",
            Capability::Rollback => "rollback",
            Capability::EveryVersion => "every version of a row in the log",
            Capability::CompositeKeys => "keys of several columns",
            Capability::TablesWithoutKey => "tables without a key",
            Capability::Truncate => "removing all rows at once",
            Capability::RenameTable => "renaming tables",
            Capability::SwapTables => "swapping the names of tables",
            Capability::RenamesInLog => "changes of tables' names in the log",
            Capability::AddColumn => "adding columns",
            Capability::AddColumnWithDefault => "adding columns with a default",
            Capability::DropColumn => "removing columns",
            Capability::RenameColumn => "renaming columns",
            Capability::RetypeColumn => "changing columns' types",
            Capability::ChangeKey => "changing keys",
            Capability::CutConnections => "connections to cut",
            Capability::RestartSource => "a server to restart",
            Capability::LoseLog => "a log to shorten",
        })
    }
}

/// A column type of the source's own, with values.
#[derive(Debug, Clone)]
pub struct TypeCase {
    /// The type, as in [`ColumnType::Native`].
    pub column: String,
    /// Values to write, each a literal in the source's own words and what the connector must deliver for it.
    pub values: Vec<(String, Value)>,
}

impl TypeCase {
    /// A case from its parts.
    pub fn new<'a>(column: &str, values: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let values = values.into_iter().map(|(literal, value)| (literal.to_owned(), value)).collect();
        Self { column: column.to_owned(), values }
    }
}

/// A source that the suite can have its way with.
///
/// One value is one empty namespace (a database, a schema, a directory) that nobody else uses, on a server that other
/// cases may share, unless the case needs [`Capability::RestartSource`] or [`Capability::LoseLog`].
#[async_trait]
pub trait Backend: Send + Sync + Sized + 'static {
    /// The source's kind in messages, and in `MILLSTREAM_SKIP_SERVERS`: `mysql`.
    const NAME: &'static str;

    /// What the source lacks, each with the reason. Whatever isn't listed must work.
    fn lacks() -> &'static [(Capability, &'static str)];

    /// Starts, with a namespace of its own. `needs` is what the case is going to use.
    async fn start(needs: &[Capability]) -> Result<Self, BackendError>;

    /// The namespace, as in [`TableName::schema`](millstream_core::schema::TableName).
    fn namespace(&self) -> String;

    /// A connector to the source, as a new process would make it: it knows nothing of the one before, which isn't used
    /// any more by then. If there is a [`proxy`](Self::proxy), every connection goes through it.
    fn connector(&self) -> Result<Arc<dyn SourceConnector>, BackendError>;

    /// Does these at the source, as one transaction where the source has [`Capability::Transactions`]; several are only
    /// asked for there. Returns once they are committed. Doesn't go through the proxy.
    async fn execute(&self, transaction: &[Operation]) -> Result<(), BackendError>;

    /// Does these in one transaction and takes it back.
    async fn roll_back(&self, transaction: &[Operation]) -> Result<(), BackendError> {
        let _ = transaction;
        Err("this back-end has no rollback: list it in lacks()".into())
    }

    /// The column types of the source, with values at their bounds. NULL is tried with each of them anyway.
    fn types(&self) -> Vec<TypeCase>;

    /// What the connector must deliver for a value in a column of this type. As it was written, unless the source is
    /// special: one that knows only texts delivers texts.
    fn delivered(&self, column: &ColumnType, input: &Input) -> Value {
        match (column, input) {
            (_, Input::Native { delivered, .. }) => delivered.clone(),
            (_, Input::Null) => Value::Null,
            (ColumnType::Text(_), Input::Integer(value)) => Value::Text(value.to_string()),
            (_, Input::Integer(value)) => Value::Int(*value),
            (_, Input::Text(text)) => Value::Text(text.clone()),
        }
    }

    /// The proxy that the connector's connections go through.
    fn proxy(&self) -> Option<&FaultProxy> {
        None
    }

    /// Restarts the server, as by a crash if `kill`, and returns once it answers again.
    async fn restart_source(&self, kill: bool) -> Result<(), BackendError> {
        let _ = kill;
        Err("this back-end can't restart its source: list it in lacks()".into())
    }

    /// Makes the source forget the log up to now.
    async fn lose_log(&self) -> Result<(), BackendError> {
        Err("this back-end can't shorten its log: list it in lacks()".into())
    }
}

/// Why a back-end lacks something, or `None` if it has it.
pub(super) fn lacks<B: Backend>(capability: Capability) -> Option<&'static str> {
    B::lacks().iter().find(|(lacking, _)| *lacking == capability).map(|(_, reason)| *reason)
}
