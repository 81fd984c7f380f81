//! A statement as it is written, with the values that go beside it.

use std::fmt;

use tiberius::{ColumnData, ToSql};

/// A value beside a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parameter {
    Int(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl ToSql for Parameter {
    fn to_sql(&self) -> ColumnData<'_> {
        match self {
            Parameter::Int(value) => ColumnData::I64(Some(*value)),
            Parameter::Real(value) => ColumnData::F64(Some(*value)),
            Parameter::Text(value) => ColumnData::String(Some(value.as_str().into())),
            Parameter::Bytes(value) => ColumnData::Binary(Some(value.as_slice().into())),
        }
    }
}

/// See the module's docs.
#[derive(Debug, Default)]
pub(super) struct Statement {
    pub(super) sql: String,
    parameters: Vec<Parameter>,
}

impl Statement {
    /// Adds a value and gives the name that stands for it in the text.
    pub(super) fn bind(&mut self, parameter: Parameter) -> Placeholder {
        self.parameters.push(parameter);
        Placeholder(self.parameters.len())
    }

    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// How many values there are.
    pub(super) fn parameter_count(&self) -> usize {
        self.parameters.len()
    }

    pub(super) fn parameters(&self) -> Vec<&dyn ToSql> {
        self.parameters.iter().map(|parameter| parameter as &dyn ToSql).collect()
    }
}

/// The name of a value in a statement's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placeholder(usize);

impl fmt::Display for Placeholder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "@P{}", self.0)
    }
}
