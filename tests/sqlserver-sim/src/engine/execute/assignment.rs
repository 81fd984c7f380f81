//! The SET of statements that change rows.

use crate::error::{SqlError, SqlResult};
use crate::storage::Row;
use crate::value::SqlType;

use super::super::bind::{Binder, NamedSource};
use super::super::evaluate::Scope;
use super::super::expression::Expression;
use super::super::state::Execution;
use super::super::statement::Assignment;
use super::row::Maker;
use super::through::Through;

/// A bound assignment: the column's place, the variable's, the value.
pub struct BoundAssignment {
    pub slot: Option<usize>,
    pub variable: Option<usize>,
    /// None stands for DEFAULT.
    pub value: Option<Expression>,
}

/// Binds the assignments of a SET over the sources.
pub fn bind_assignments(
    execution: &mut Execution<'_>,
    maker: &Maker,
    assignments: &[Assignment],
    sources: &[NamedSource],
    target_slot: usize,
    through: Option<&Through>,
) -> SqlResult<Vec<BoundAssignment>> {
    let mut bound: Vec<BoundAssignment> = Vec::with_capacity(assignments.len());
    for assignment in assignments {
        let column = match (&assignment.column, through) {
            (Some(name), Some(through)) => Some(through.column(name)?),
            (Some(name), None) => {
                Some(maker.target.table.column_named(name).cloned().ok_or_else(|| SqlError::invalid_column(name))?)
            }
            (None, _) => None,
        };
        let slot = column.as_ref().and_then(crate::storage::Column::slot);
        if let Some(column) = &column {
            if maker.check_given(slot.unwrap_or(usize::MAX)).is_err() {
                let text = format!("Cannot update GENERATED ALWAYS columns in table '{}'.", maker.target.table.name);
                return Err(SqlError::new(13_537, 16, text));
            }
            if column.identity.is_some() {
                return Err(SqlError::new(8102, 16, format!("Cannot update identity column '{}'.", column.name)));
            }
            if column.sql_type == SqlType::RowVersion {
                return Err(SqlError::new(272, 16, "Cannot update a timestamp column."));
            }
            if column.computed.is_some() {
                maker.check_insertable(execution, slot.unwrap_or(0))?;
            }
        }
        if let (Some(slot), Some(name)) = (slot, &assignment.column)
            && bound.iter().any(|other| other.slot == Some(slot))
        {
            let text = format!(
                "The column name '{name}' is specified more than once in the SET clause. A column cannot be assigned more than one value in the same SET clause. Modify the SET clause to make sure that a column is updated only once."
            );
            return Err(SqlError::new(264, 16, text));
        }
        let variable = match &assignment.variable {
            Some(name) => Some(execution.variables.find(name).ok_or_else(|| SqlError::undeclared(name))?),
            None => None,
        };
        let mut binder = Binder::with_sources(execution, sources.to_vec());
        let value = match &assignment.value {
            None => None,
            Some(value) => {
                let mut value = binder.scalar(value)?;
                if let Some(operator) = assignment.operator {
                    let own = match (slot, variable, assignment.column.as_ref().zip(through)) {
                        (_, _, Some((name, through))) => through.value(name)?,
                        (Some(slot), ..) => column_value(maker, slot, target_slot),
                        (None, Some(variable), _) => variable_value(binder.execution, variable),
                        (None, None, _) => return Err(SqlError::syntax_near("=")),
                    };
                    value = binder.operation(operator, own, value)?;
                }
                Some(value)
            }
        };
        if let (Some(slot), Some(value)) = (slot, &value)
            && !value.is_null_literal()
        {
            maker.check_type(slot, value.sql_type)?;
        }
        bound.push(BoundAssignment { slot, variable, value });
    }
    Ok(bound)
}

fn column_value(maker: &Maker, slot: usize, source: usize) -> Expression {
    let column = maker.target.table.columns.iter().find(|column| column.slot() == Some(slot));
    let sql_type = column.map_or(SqlType::Int, |column| column.sql_type);
    let reference = super::super::expression::ColumnRef { depth: 0, source, column: slot };
    Expression { node: super::super::expression::Node::Column(reference), sql_type, nullable: true }
}

fn variable_value(execution: &Execution<'_>, slot: usize) -> Expression {
    let sql_type = execution.variables.get(slot).map_or(SqlType::Int, |variable| variable.sql_type);
    Expression { node: super::super::expression::Node::Variable(slot), sql_type, nullable: true }
}

/// The row with its assignments made.
pub fn assigned(
    execution: &mut Execution<'_>,
    maker: &Maker,
    assignments: &[BoundAssignment],
    row: &Row,
    with: &[Row],
) -> SqlResult<Row> {
    let mut values = row.to_vec();
    for assignment in assignments {
        let (value, from) = match &assignment.value {
            Some(expression) => {
                (expression.evaluate(execution, &Scope { row: with, outer: None })?, Some(expression.sql_type))
            }
            None => (maker.default_of(execution, assignment.slot.unwrap_or(0))?, None),
        };
        let value = match (assignment.slot, from) {
            (Some(slot), Some(from)) => maker.stored(execution, slot, &value, from)?,
            _ => value,
        };
        if let Some(place) = assignment.slot.and_then(|slot| values.get_mut(slot)) {
            *place = value.clone();
        }
        if let Some(variable) = assignment.variable {
            let to = execution.variables.get(variable).map_or(SqlType::Int, |variable| variable.sql_type);
            let from = assignment
                .slot
                .and_then(|slot| maker.target.table.columns.iter().find(|column| column.slot() == Some(slot)))
                .map(|column| column.sql_type)
                .or(from);
            let value = crate::value::convert::convert(&value, from.unwrap_or(to), to, None)?;
            execution.variables.set(variable, value);
        }
    }
    maker.finished(execution, values, "UPDATE")
}
