//! What expressions and conditions give for a row.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::value::sql_type::Family;
use crate::value::{SqlType, Value, arithmetic, convert};

use super::expression::{Comparison, Expression, Node, Predicate};
use super::pattern::{self, Trailing};
use super::plan::Query;
use super::run;
use super::session::Flow;
use super::state::Execution;

/// The row of a query, and those of the queries around it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub row: &'a [Arc<[Value]>],
    pub outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    /// No row at all.
    pub const EMPTY: Scope<'static> = Scope { row: &[], outer: None };

    fn at(&self, depth: usize) -> Option<&Self> {
        let mut scope = self;
        for _ in 0..depth {
            scope = scope.outer?;
        }
        Some(scope)
    }
}

impl Expression {
    pub fn evaluate(&self, execution: &mut Execution<'_>, scope: &Scope<'_>) -> SqlResult<Value> {
        match &self.node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Variable(slot) => {
                Ok(execution.variables.get(*slot).map_or(Value::Null, |variable| variable.value.clone()))
            }
            Node::Column(column) => {
                let row = scope.at(column.depth).and_then(|scope| scope.row.get(column.source));
                Ok(row.and_then(|row| row.get(column.column)).cloned().unwrap_or(Value::Null))
            }
            Node::Convert { value, style, attempt } => {
                let from = value.sql_type;
                let style = match style {
                    Some(style) => {
                        style.evaluate(execution, scope)?.as_integer().and_then(|style| i32::try_from(style).ok())
                    }
                    None => None,
                };
                let value = value.evaluate(execution, scope)?;
                match convert::convert(&value, from, self.sql_type, style) {
                    Err(_) if *attempt => Ok(Value::Null),
                    other => other,
                }
            }
            Node::Arithmetic { operator, left, right } => {
                let left = left.evaluate(execution, scope)?;
                let right = right.evaluate(execution, scope)?;
                arithmetic::apply(*operator, &left, &right, self.sql_type)
            }
            Node::Negate(value) => arithmetic::negate(&value.evaluate(execution, scope)?, self.sql_type),
            Node::Complement(value) => match value.evaluate(execution, scope)? {
                Value::Null => Ok(Value::Null),
                Value::Bit(bit) => Ok(Value::Bit(!bit)),
                Value::TinyInt(n) => Ok(Value::TinyInt(!n)),
                other => other
                    .as_integer()
                    .and_then(|n| convert::integer(i128::from(!n), self.sql_type))
                    .ok_or_else(|| SqlError::arithmetic_overflow("expression", self.sql_type.name())),
            },
            Node::Case { branches, otherwise } => {
                for (when, then) in branches {
                    if when.holds(execution, scope)? {
                        return then.evaluate(execution, scope);
                    }
                }
                otherwise.as_ref().map_or(Ok(Value::Null), |otherwise| otherwise.evaluate(execution, scope))
            }
            Node::Coalesce(list) => {
                for item in list {
                    let value = item.evaluate(execution, scope)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            Node::Function { function, arguments } => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(argument.evaluate(execution, scope)?);
                }
                if function.null_in_null_out && values.iter().any(Value::is_null) {
                    return Ok(Value::Null);
                }
                let types: Vec<SqlType> = arguments.iter().map(|argument| argument.sql_type).collect();
                (function.run)(execution, &values, &types, self.sql_type)
            }
            Node::System { function, arguments } => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(argument.evaluate(execution, scope)?);
                }
                super::system::call_function(execution, function, &values)
            }
            Node::User { function, arguments } => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(argument.evaluate(execution, scope)?);
                }
                super::module::call_scalar(execution, function, values)
            }
            Node::Subquery(query) => single_value(execution, query, scope),
        }
    }
}

fn single_value(execution: &mut Execution<'_>, query: &Query, scope: &Scope<'_>) -> SqlResult<Value> {
    let mut found = None;
    run::query(execution, query, Some(scope), &mut |_, row| {
        if found.is_some() {
            return Err(SqlError::new(
                512,
                16,
                "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= or when the subquery is used as an expression.",
            ));
        }
        found = Some(row.into_iter().next().unwrap_or(Value::Null));
        Ok(Flow::Continue)
    })?;
    Ok(found.unwrap_or(Value::Null))
}

/// NULL on either side is unknown.
fn compare(comparison: Comparison, left: &Value, right: &Value) -> Option<bool> {
    if left.is_null() || right.is_null() { None } else { Some(comparison.holds(left.order(right))) }
}

impl Predicate {
    /// Whether it is true; unknown isn't.
    pub fn holds(&self, execution: &mut Execution<'_>, scope: &Scope<'_>) -> SqlResult<bool> {
        Ok(self.test(execution, scope)? == Some(true))
    }

    /// None for unknown.
    pub fn test(&self, execution: &mut Execution<'_>, scope: &Scope<'_>) -> SqlResult<Option<bool>> {
        match self {
            Self::Compare { comparison, left, right } => {
                let left = left.evaluate(execution, scope)?;
                if left.is_null() {
                    return Ok(None);
                }
                let right = right.evaluate(execution, scope)?;
                Ok(compare(*comparison, &left, &right))
            }
            Self::And(parts) => {
                let mut known = true;
                for part in parts {
                    match part.test(execution, scope)? {
                        Some(false) => return Ok(Some(false)),
                        Some(true) => {}
                        None => known = false,
                    }
                }
                Ok(known.then_some(true))
            }
            Self::Or(parts) => {
                let mut known = true;
                for part in parts {
                    match part.test(execution, scope)? {
                        Some(true) => return Ok(Some(true)),
                        Some(false) => {}
                        None => known = false,
                    }
                }
                Ok(known.then_some(false))
            }
            Self::Not(part) => Ok(part.test(execution, scope)?.map(|held| !held)),
            Self::IsNull(value) => Ok(Some(value.evaluate(execution, scope)?.is_null())),
            Self::Like { value, pattern, escape } => {
                let unicode = value.sql_type.is_unicode() || pattern.sql_type.is_unicode();
                let trailing = if unicode { Trailing::Counts } else { Trailing::Ignored };
                let (value, pattern) = (value.evaluate(execution, scope)?, pattern.evaluate(execution, scope)?);
                let escape = match escape {
                    Some(escape) => escape.evaluate(execution, scope)?.as_text().and_then(|text| text.chars().next()),
                    None => None,
                };
                Ok(match (value.as_text(), pattern.as_text()) {
                    (Some(value), Some(pattern)) => Some(pattern::like(value, pattern, escape, trailing)),
                    _ => None,
                })
            }
            Self::In { value, list } => {
                let value = value.evaluate(execution, scope)?;
                let mut known = !value.is_null();
                for item in list {
                    match compare(Comparison::Equal, &value, &item.evaluate(execution, scope)?) {
                        Some(true) => return Ok(Some(true)),
                        Some(false) => {}
                        None => known = false,
                    }
                }
                Ok(known.then_some(false))
            }
            Self::InQuery { value, query } => quantified(execution, scope, Comparison::Equal, value, query, false),
            Self::Quantified { comparison, value, query, all } => {
                quantified(execution, scope, *comparison, value, query, *all)
            }
            Self::Exists(query) => {
                let mut found = false;
                run::query(execution, query, Some(scope), &mut |_, _| {
                    found = true;
                    Ok(Flow::Stop)
                })?;
                Ok(Some(found))
            }
            Self::Distinct { left, right } => {
                let (left, right) = (left.evaluate(execution, scope)?, right.evaluate(execution, scope)?);
                Ok(Some(left.order(&right) != Ordering::Equal))
            }
            Self::Updated(column) => {
                let trigger = execution.trigger.as_ref();
                Ok(Some(trigger.is_some_and(|trigger| trigger.updated.iter().any(|name| **name == **column))))
            }
        }
    }
}

/// `value = ANY (query)`, or ALL.
fn quantified(
    execution: &mut Execution<'_>,
    scope: &Scope<'_>,
    comparison: Comparison,
    value: &Expression,
    query: &Query,
    all: bool,
) -> SqlResult<Option<bool>> {
    let value = value.evaluate(execution, scope)?;
    let (mut decided, mut known) = (false, true);
    run::query(execution, query, Some(scope), &mut |_, row| {
        match compare(comparison, &value, row.first().unwrap_or(&Value::Null)) {
            Some(held) if held != all => {
                decided = true;
                return Ok(Flow::Stop);
            }
            Some(_) => {}
            None => known = false,
        }
        Ok(Flow::Continue)
    })?;
    Ok(if decided { Some(!all) } else { known.then_some(all) })
}

/// Whether values of two types can be compared as they are.
pub fn comparable(left: SqlType, right: SqlType) -> bool {
    let same_kind = std::mem::discriminant(&left) == std::mem::discriminant(&right);
    left.family() == right.family()
        && match left.family() {
            Family::DateTime | Family::Approximate => same_kind,
            Family::Variant => false,
            _ => true,
        }
}
