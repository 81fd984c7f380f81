//! The filter of an index: conditions on single columns, all of which hold for the rows that the index has.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::value::Value;

use super::table::{ColumnId, Row, Table};

#[derive(Clone, PartialEq, Debug)]
pub struct Filter {
    /// In T-SQL.
    pub definition: Arc<str>,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    pub column_id: ColumnId,
    pub test: Test,
}

/// What a column's value must be. NULL passes the first alone.
#[derive(Clone, PartialEq, Debug)]
pub enum Test {
    Null,
    NotNull,
    /// One of some values.
    In(Vec<Value>),
    /// In one of these orders to a value.
    Compared(Vec<Ordering>, Value),
}

impl Test {
    fn passes(&self, value: &Value) -> bool {
        if value.is_null() {
            return *self == Self::Null;
        }
        match self {
            Self::Null => false,
            Self::NotNull => true,
            Self::In(values) => values.contains(value),
            Self::Compared(orders, than) => orders.contains(&value.cmp(than)),
        }
    }
}

/// A filter over rows as they are stored.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct RowFilter(Vec<ColumnTest>);

#[derive(Clone, PartialEq, Debug)]
struct ColumnTest {
    slot: usize,
    /// What rows have that were written before the column was added.
    missing: Value,
    test: Test,
}

impl RowFilter {
    pub fn new(table: &Table, filter: Option<&Filter>) -> Self {
        let conditions = filter.map_or(&[][..], |filter| &filter.conditions);
        let test = |condition: &Condition| {
            let column = table.column(condition.column_id)?;
            let missing = column.missing.clone().unwrap_or(Value::Null);
            Some(ColumnTest { slot: column.slot()?, missing, test: condition.test.clone() })
        };
        Self(conditions.iter().filter_map(test).collect())
    }

    pub fn passes(&self, row: &Row) -> bool {
        self.0.iter().all(|it| it.test.passes(row.get(it.slot).unwrap_or(&it.missing)))
    }
}
