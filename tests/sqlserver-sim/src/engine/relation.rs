//! What can stand in `FROM` without being a stored table: catalog views, dynamic views, table functions.

use std::sync::Arc;

use crate::error::SqlResult;
use crate::value::{SqlType, Value};

use super::context::Context;

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: Arc<str>,
    pub sql_type: SqlType,
    pub nullable: bool,
}

impl Column {
    pub fn new(name: &str, sql_type: SqlType, nullable: bool) -> Self {
        Self { name: Arc::from(name), sql_type, nullable }
    }
}

/// What the query needs of a relation. Everything in it is a help that may be passed over: the engine filters again, and
/// reads no column that it didn't ask for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only rows in which these columns have these values (by position; already of the column's type).
    pub equal: Vec<(usize, Value)>,
    /// By position: whether the column's value will be looked at. Empty: all are.
    pub columns: Vec<bool>,
}

impl Wanted {
    /// Whether a column's value will be looked at.
    pub fn has(&self, column: usize) -> bool {
        self.columns.get(column).copied().unwrap_or(true)
    }
}

/// Where a relation puts its rows, each with a value for every column. An error ends the reading.
pub type RowSink<'a> = dyn FnMut(Vec<Value>) -> SqlResult<()> + 'a;

/// A view of the catalog or of the server's state.
pub trait Relation: Send + Sync {
    fn columns(&self) -> &[Column];

    /// Gives every row that the session may see, at least those that `wanted` describes.
    fn rows(&self, context: &Context<'_>, wanted: &Wanted, sink: &mut RowSink<'_>) -> SqlResult<()>;
}
