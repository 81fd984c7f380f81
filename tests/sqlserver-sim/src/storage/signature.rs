//! What users of a module see of it, as it was when it was defined: columns, parameters, and the type that it returns.

use std::sync::Arc;

use crate::value::SqlType;

use super::catalog::ObjectId;
use super::table::Column;

#[derive(Clone, Debug, Default)]
pub struct Signature {
    /// Of a view, a table function or a type of tables.
    pub columns: Vec<Column>,
    pub parameters: Vec<Parameter>,
    /// Of a scalar function or a sequence; what a type is another name of.
    pub returns: Option<SqlType>,
    /// Of a trigger: its table, and after what it fires.
    pub trigger: Option<(ObjectId, Vec<TriggerEvent>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TriggerEvent {
    Insert,
    Update,
    Delete,
}

#[derive(Clone, Debug)]
pub struct Parameter {
    /// With its `@`.
    pub name: Arc<str>,
    /// None for a table.
    pub sql_type: Option<SqlType>,
    pub output: bool,
    pub read_only: bool,
}
