//! Rows under evaluation: columns found once per schema, then read by index.

use std::borrow::Cow;

use millstream_core::row::RowRef;
use millstream_core::schema::TableSchema;
use millstream_core::value::ValueRef;

use crate::expression::{EvaluationError, Expression, Scope};
use crate::fault::{Fault, Severity};
use crate::json;
use crate::names::RowLeaf;
use crate::spelling::nearest;
use crate::timestamp::{self, Precision};
use crate::value::Value;

/// A column by its index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BoundColumn {
    index: usize,
    /// The precision that its texts are brought to, if they are timestamps.
    precision: Option<Precision>,
}

/// A row as a scope.
pub(crate) struct RowScope<'r> {
    pub(crate) row: RowRef<'r>,
}

impl Scope<BoundColumn> for RowScope<'_> {
    fn value<'s>(&'s self, leaf: &'s BoundColumn) -> Value<'s> {
        match (self.row.get(leaf.index), leaf.precision) {
            (None, _) => Value::Null,
            (Some(ValueRef::Text(text)), Some(precision)) => Value::Text(timestamp::with_precision(text, precision)),
            (Some(value), _) => Value::from(value),
        }
    }
}

/// How many columns a suggestion names.
const COLUMNS_SHOWN_MAX: usize = 12;

/// Binds the expressions of one query to one table's columns.
pub(crate) struct Binder<'a> {
    pub(crate) schema: &'a TableSchema,
    /// What the query's wildcard stands for in this table.
    pub(crate) suffix: &'a str,
    /// The precision that the config asks of timestamps.
    pub(crate) precision: Option<Precision>,
    pub(crate) file: &'a str,
    pub(crate) faults: &'a mut Vec<Fault>,
}

impl Binder<'_> {
    /// A column that the table doesn't have is reported and is NULL.
    pub(crate) fn expression(&mut self, expression: &Expression<RowLeaf>) -> Expression<BoundColumn> {
        expression.map(&mut |leaf| match leaf {
            RowLeaf::TableSuffix => Expression::Literal(Value::text(self.suffix)),
            RowLeaf::Column { name, place } => match self.schema.column_index(name) {
                Some(index) => Expression::Leaf(self.column(index)),
                None => {
                    let columns = || self.schema.columns.iter().map(|column| column.name.as_str());
                    let suggestion = match columns().find(|column| column.eq_ignore_ascii_case(name)) {
                        Some(other_case) => format!("write \"{other_case}\" in double quotes to keep its case"),
                        None => match nearest(name, columns()) {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => format!("it has {}", first_of(columns())),
                        },
                    };
                    let fault = Fault {
                        file: self.file.to_owned(),
                        line: place.line,
                        column: place.column,
                        message: format!("the table {} has no column `{name}`; it reads as NULL", self.schema.table),
                        suggestion: Some(suggestion),
                        severity: Severity::Warning,
                    };
                    if !self.faults.contains(&fault) {
                        self.faults.push(fault);
                    }
                    Expression::Literal(Value::Null)
                }
            },
        })
    }

    /// A column by its index.
    pub(crate) fn column(&self, index: usize) -> BoundColumn {
        let source_type = self.schema.columns.get(index).map_or("", |column| column.source_type.as_str());
        let default = timestamp::default_precision(source_type);
        BoundColumn { index, precision: default.map(|default| self.precision.unwrap_or(default)) }
    }
}

/// Columns in words, as many as can be taken in.
fn first_of<'a>(columns: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = columns.map(|column| format!("`{column}`")).collect();
    let shown = names.get(..COLUMNS_SHOWN_MAX).unwrap_or(&names).join(", ");
    match names.len().saturating_sub(COLUMNS_SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Where a row's value for a parameter comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SlotValue<L> {
    /// Which parameter.
    pub(crate) slot: usize,
    pub(crate) value: Expression<L>,
    /// Whether the value is an array, each of whose elements counts.
    pub(crate) each: bool,
}

/// One alternative of a query's condition. Every slot has at least one value; at most one is an array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RowBranch<L> {
    pub(crate) conditions: Vec<Expression<L>>,
    pub(crate) slots: Vec<SlotValue<L>>,
}

impl RowBranch<RowLeaf> {
    pub(crate) fn bind(&self, binder: &mut Binder<'_>) -> RowBranch<BoundColumn> {
        RowBranch {
            conditions: self.conditions.iter().map(|condition| binder.expression(condition)).collect(),
            slots: self
                .slots
                .iter()
                .map(|slot| SlotValue { slot: slot.slot, value: binder.expression(&slot.value), each: slot.each })
                .collect(),
        }
    }
}

impl RowBranch<BoundColumn> {
    /// Calls `found` with the value of each of the `slots` parameters, once for each combination the row matches.
    pub(crate) fn assignments(
        &self,
        scope: &RowScope<'_>,
        slots: usize,
        found: &mut dyn FnMut(&[Value<'_>]),
    ) -> Result<(), EvaluationError> {
        for condition in &self.conditions {
            if !condition.evaluate(scope)?.is_true() {
                return Ok(());
            }
        }
        let mut values = vec![Value::Null; slots];
        for slot in self.slots.iter().filter(|slot| !slot.each) {
            let value = slot.value.evaluate(scope)?;
            if !fill(&mut values, slot.slot, value) {
                return Ok(());
            }
        }
        let Some(array) = self.slots.iter().find(|slot| slot.each) else {
            found(&values);
            return Ok(());
        };
        let elements = json::array_values(&array.value.evaluate(scope)?)?;
        for element in elements.into_iter().flatten() {
            let mut values: Vec<Value<'_>> = values.iter().map(Value::borrow).collect();
            if fill(&mut values, array.slot, element) {
                found(&values);
            }
        }
        Ok(())
    }
}

/// Sets a slot. False if the value can't be a parameter's, or if the slot holds another one: the same parameter then
/// has to equal two different things.
fn fill<'v>(values: &mut [Value<'v>], slot: usize, value: Value<'v>) -> bool {
    match values.get_mut(slot) {
        Some(held @ Value::Null) if json::is_parameter(&value) => {
            *held = value;
            true
        }
        Some(held) => held.equals(&value),
        None => false,
    }
}

/// The text of an id.
pub(crate) fn id_text(value: Value<'_>) -> Result<Cow<'_, str>, EvaluationError> {
    match value {
        Value::Blob(bytes) => match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Cow::Owned(text.to_owned())),
            // Replacing bytes would give different rows one id.
            Err(_) => Err(EvaluationError::BinaryId),
        },
        other => Ok(other.into_text().unwrap_or_default()),
    }
}
