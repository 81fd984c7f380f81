//! Conditions. T-SQL keeps them apart from values: neither can stand where the other is wanted.

use sqlparser::ast::{self, BinaryOperator, Expr, UnaryOperator};

use crate::error::{SqlError, SqlResult};
use crate::value::{Length, SqlType};

use super::super::expression::{Comparison, Expression, Predicate};
use super::Binder;

pub fn comparison(operator: &BinaryOperator) -> Option<Comparison> {
    Some(match operator {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn negated(predicate: Predicate, negate: bool) -> Predicate {
    if negate { Predicate::Not(Box::new(predicate)) } else { predicate }
}

impl Binder<'_, '_> {
    pub fn predicate(&mut self, expression: &Expr) -> SqlResult<Predicate> {
        Ok(match expression {
            Expr::Nested(inner) => self.predicate(inner)?,
            Expr::BinaryOp { op: BinaryOperator::And, .. } => {
                let mut parts = Vec::new();
                self.chain(expression, &BinaryOperator::And, &mut parts)?;
                Predicate::And(parts)
            }
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
                let mut parts = Vec::new();
                self.chain(expression, &BinaryOperator::Or, &mut parts)?;
                Predicate::Or(parts)
            }
            Expr::BinaryOp { left, op, right } => match comparison(op) {
                Some(comparison) => {
                    let (left, right) = (self.scalar(left)?, self.scalar(right)?);
                    let (left, right) = self.compared(left, right)?;
                    Predicate::Compare { comparison, left, right }
                }
                None => return Err(not_a_condition()),
            },
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => negated(self.predicate(expr)?, true),
            Expr::IsNull(value) => Predicate::IsNull(self.scalar(value)?),
            Expr::IsNotNull(value) => negated(Predicate::IsNull(self.scalar(value)?), true),
            Expr::IsDistinctFrom(left, right) => self.distinct(left, right)?,
            Expr::IsNotDistinctFrom(left, right) => negated(self.distinct(left, right)?, true),
            Expr::Between { expr, negated: not, low, high } => {
                let (value, low, high) = (self.scalar(expr)?, self.scalar(low)?, self.scalar(high)?);
                let (from, low) = self.compared(value.clone(), low)?;
                let (to, high) = self.compared(value, high)?;
                let low = Predicate::Compare { comparison: Comparison::GreaterOrEqual, left: from, right: low };
                let high = Predicate::Compare { comparison: Comparison::LessOrEqual, left: to, right: high };
                negated(Predicate::And(vec![low, high]), *not)
            }
            Expr::Like { negated: not, any: false, expr, pattern, escape_char } => {
                let value = self.text(expr)?;
                let pattern = self.text(pattern)?;
                let escape = match escape_char {
                    Some(escape) => Some(self.text(escape)?),
                    None => None,
                };
                negated(Predicate::Like { value, pattern, escape }, *not)
            }
            Expr::InList { expr, list, negated: not } => {
                let value = self.scalar(expr)?;
                negated(self.in_list(value, list)?, *not)
            }
            Expr::InSubquery { expr, subquery, negated: not } => {
                let value = self.scalar(expr)?;
                let (value, query) = self.compared_with_query(value, subquery)?;
                negated(Predicate::InQuery { value, query: Box::new(query) }, *not)
            }
            Expr::Exists { subquery, negated: not } => {
                let query = self.subquery(subquery, true)?;
                negated(Predicate::Exists(Box::new(query)), *not)
            }
            Expr::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, right, false)?,
            Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, true)?,
            Expr::Function(function) if is_updated(function) => {
                let column = match &function.args {
                    ast::FunctionArguments::List(list) => {
                        list.args.first().map(ToString::to_string).unwrap_or_default()
                    }
                    _ => String::new(),
                };
                let name = column.trim_matches(['[', ']', '"']).to_lowercase();
                Predicate::Updated(name.into())
            }
            _ => return Err(not_a_condition()),
        })
    }

    /// The operands of a chain of ANDs or ORs, which the parser nests to the left: walked without recursion, as programs
    /// write thousands of them.
    fn chain(&mut self, expression: &Expr, operator: &BinaryOperator, parts: &mut Vec<Predicate>) -> SqlResult<()> {
        let mut rights = Vec::new();
        let mut left = expression;
        while let Expr::BinaryOp { left: inner, op, right } = left
            && op == operator
        {
            rights.push(right);
            left = inner;
        }
        parts.push(self.predicate(left)?);
        for right in rights.into_iter().rev() {
            parts.push(self.predicate(right)?);
        }
        Ok(())
    }

    fn distinct(&mut self, left: &Expr, right: &Expr) -> SqlResult<Predicate> {
        let (left, right) = (self.scalar(left)?, self.scalar(right)?);
        let (left, right) = self.compared(left, right)?;
        Ok(Predicate::Distinct { left, right })
    }

    fn in_list(&mut self, value: Expression, list: &[Expr]) -> SqlResult<Predicate> {
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            items.push(self.scalar(item)?);
        }
        // All items and the value meet in one type.
        let mut value = value;
        let typed = items.iter().filter(|item| !item.is_null_literal());
        let both = typed.map(|item| item.sql_type).fold(value.sql_type, SqlType::unify);
        if !items.iter().all(|item| item.is_null_literal() || super::comparable(item.sql_type, value.sql_type)) {
            value = self.converted(value, both)?;
            items = items.into_iter().map(|item| self.converted(item, both)).collect::<SqlResult<_>>()?;
        }
        Ok(Predicate::In { value, list: items })
    }

    fn compared_with_query(
        &mut self,
        value: Expression,
        query: &ast::Query,
    ) -> SqlResult<(Expression, super::super::plan::Query)> {
        let mut query = self.subquery(query, false)?;
        let [column] = query.columns.as_slice() else { return Err(one_column_wanted()) };
        let of_query = column.sql_type;
        if super::comparable(value.sql_type, of_query) || value.is_null_literal() {
            return Ok((value, query));
        }
        let both = value.sql_type.unify(of_query);
        if both != of_query {
            super::unify::convert_columns(&mut query, &[both])?;
        }
        Ok((self.converted(value, both)?, query))
    }

    fn quantified(&mut self, left: &Expr, operator: &BinaryOperator, right: &Expr, all: bool) -> SqlResult<Predicate> {
        let comparison = comparison(operator).ok_or_else(not_a_condition)?;
        let mut right = right;
        while let Expr::Nested(inner) = right {
            right = inner;
        }
        let Expr::Subquery(query) = right else { return Err(SqlError::syntax_near(&right.to_string())) };
        let value = self.scalar(left)?;
        let (value, query) = self.compared_with_query(value, query)?;
        Ok(Predicate::Quantified { comparison, value, query: Box::new(query), all })
    }

    /// A value as text.
    pub(super) fn text(&mut self, expression: &Expr) -> SqlResult<Expression> {
        let value = self.scalar(expression)?;
        if value.sql_type.is_character() { Ok(value) } else { self.converted(value, SqlType::NVarChar(Length::Max)) }
    }
}

fn is_updated(function: &ast::Function) -> bool {
    function.name.0.len() == 1
        && function
            .name
            .0
            .first()
            .and_then(ast::ObjectNamePart::as_ident)
            .is_some_and(|name| name.value.eq_ignore_ascii_case("UPDATE"))
}

pub fn one_column_wanted() -> SqlError {
    SqlError::new(
        116,
        16,
        "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.",
    )
}

fn not_a_condition() -> SqlError {
    SqlError::new(4145, 15, "An expression of non-boolean type specified in a context where a condition is expected.")
}
