//! Values and rows as the suite compares them: owned, ordered, and without the differences that don't count.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use millstream_core::row::RowRef;
use millstream_core::schema::TableSchema;
use millstream_core::value::ValueRef;

/// A value as a connector delivers it; see [`ValueRef`].
///
/// Reals are equal when their bits are, so that a conversion that loses the sign of zero is noticed.
#[derive(Debug, Clone)]
pub enum Value {
    /// SQL NULL, or whatever means "nothing" in the source.
    Null,
    /// A signed integer.
    Int(i64),
    /// A double.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// Text, from anything that can be.
    pub fn text(text: impl Into<String>) -> Self {
        Value::Text(text.into())
    }

    /// The value as the core hands it around.
    pub fn borrowed(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Int(*value),
            Value::Real(value) => ValueRef::Real(*value),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Int(_) => 1,
            Value::Real(_) => 2,
            Value::Text(_) => 3,
            Value::Blob(_) => 4,
        }
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Value::Null,
            ValueRef::Int(value) => Value::Int(value),
            ValueRef::Real(value) => Value::Real(value),
            ValueRef::Text(text) => Value::Text(text.to_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => formatter.write_str("NULL"),
            Value::Int(value) => write!(formatter, "{value}"),
            Value::Real(value) => write!(formatter, "{value:?}"),
            Value::Text(text) => write!(formatter, "'{text}'"),
            Value::Blob(bytes) => {
                formatter.write_str("x")?;
                bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }
    }
}

/// A row by its columns' names. NULL and absent are the same, as they are to whoever reads buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(BTreeMap<String, Value>);

impl Row {
    /// A row of these columns; NULLs are left out.
    pub fn new(columns: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self(columns.into_iter().filter(|(_, value)| *value != Value::Null).collect())
    }

    /// A row as a connector delivered it.
    pub fn of(schema: &TableSchema, row: RowRef<'_>) -> Self {
        Self::new(schema.columns.iter().map(|column| column.name.clone()).zip(row.iter().map(Value::from)))
    }

    /// The value of a column.
    pub fn get(&self, column: &str) -> Value {
        self.0.get(column).cloned().unwrap_or(Value::Null)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        write!(formatter, "({})", columns.join(", "))
    }
}
