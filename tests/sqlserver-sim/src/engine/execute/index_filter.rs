//! `CREATE INDEX … WHERE …`: columns compared with constants, joined by AND.

use std::cmp::Ordering;

use sqlparser::ast::{BinaryOperator, Expr};

use crate::error::{SqlError, SqlResult};
use crate::storage::{Column, Condition, Filter, Table, Test};
use crate::value::{Value, convert};

use super::super::bind::Binder;
use super::super::expression::Node;
use super::super::state::Execution;
use super::super::statement::CreateIndex;
use super::table::definition;

/// The filter of an index, where it has one.
///
/// # Errors
/// 10735 for a condition of another form, 10620 where a value can't be one of the column's, 207.
pub fn filter_of(execution: &mut Execution<'_>, table: &Table, index: &CreateIndex) -> SqlResult<Option<Filter>> {
    let Some(written) = &index.filter else { return Ok(None) };
    let mut reader = Reader { execution, table, index: &index.name, conditions: Vec::new() };
    reader.read(&written.expression)?;
    let conditions = reader.conditions;
    Ok(Some(Filter { definition: definition(&written.text), conditions }))
}

struct Reader<'r, 'e> {
    execution: &'r mut Execution<'e>,
    table: &'r Table,
    index: &'r str,
    conditions: Vec<Condition>,
}

impl Reader<'_, '_> {
    fn read(&mut self, expression: &Expr) -> SqlResult<()> {
        match expression {
            Expr::Nested(inner) => self.read(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.read(left)?;
                self.read(right)
            }
            Expr::IsNull(column) => self.test(column, |_, _| Ok(Test::Null)),
            Expr::IsNotNull(column) => self.test(column, |_, _| Ok(Test::NotNull)),
            Expr::InList { expr, list, negated: false } => self.test(expr, |reader, column| {
                let values = list.iter().map(|value| reader.constant(column, value));
                Ok(Test::In(values.collect::<SqlResult<_>>()?))
            }),
            Expr::BinaryOp { left, op, right } => {
                let orders = orders(op).ok_or_else(|| self.refused())?;
                self.test(left, |reader, column| Ok(Test::Compared(orders, reader.constant(column, right)?)))
            }
            _ => Err(self.refused()),
        }
    }

    fn test(&mut self, column: &Expr, test: impl FnOnce(&mut Self, &Column) -> SqlResult<Test>) -> SqlResult<()> {
        let Expr::Identifier(name) = column else { return Err(self.refused()) };
        let column = self.table.column_named(&name.value).ok_or_else(|| SqlError::invalid_column(&name.value))?;
        if column.computed.is_some() || column.sql_type.is_incomparable() {
            return Err(self.refused());
        }
        let test = test(self, column)?;
        self.conditions.push(Condition { column_id: column.column_id, test });
        Ok(())
    }

    /// A constant as a value of the column. One that conversion would change compares otherwise than it is written.
    fn constant(&mut self, column: &Column, written: &Expr) -> SqlResult<Value> {
        if matches!(written, Expr::Identifier(_)) {
            return Err(self.refused());
        }
        let bound = Binder::new(self.execution).scalar(written)?;
        let Node::Literal(literal) = &bound.node else { return Err(self.refused()) };
        let value = convert::convert(literal, bound.sql_type, column.sql_type, None)?;
        let back = convert::convert(&value, column.sql_type, bound.sql_type, None)?;
        if back == *literal && !value.is_null() {
            return Ok(value);
        }
        let text = format!(
            "Filtered index '{}' cannot be created on table '{}' because the column '{}' in the filter expression is compared with a constant of higher data type precedence or of a different collation.",
            self.index, self.table.name, column.name
        );
        Err(SqlError::new(10_620, 16, text))
    }

    fn refused(&self) -> SqlError {
        let text =
            format!("Incorrect WHERE clause for filtered index '{}' on table '{}'.", self.index, self.table.name);
        SqlError::new(10_735, 15, text)
    }
}

fn orders(operator: &BinaryOperator) -> Option<Vec<Ordering>> {
    use Ordering::{Equal, Greater, Less};
    Some(match operator {
        BinaryOperator::Eq => vec![Equal],
        BinaryOperator::NotEq => vec![Less, Greater],
        BinaryOperator::Lt => vec![Less],
        BinaryOperator::LtEq => vec![Less, Equal],
        BinaryOperator::Gt => vec![Greater],
        BinaryOperator::GtEq => vec![Greater, Equal],
        _ => return None,
    })
}
