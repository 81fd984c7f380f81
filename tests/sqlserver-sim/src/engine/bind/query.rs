//! Queries.

use sqlparser::ast::{self, Expr, GroupByExpr, SetExpr, SetOperator, SetQuantifier};

use crate::error::{SqlError, SqlResult};
use crate::value::collation::equal;
use crate::value::{SqlType, Value};

use super::super::expression::Expression;
use super::super::parse::RECURSION;
use super::super::plan::{Body, Grouping, OutputColumn, Query, Select, SetOperation, Top};
use super::output::is_descending;
use super::{Binder, Level, NamedSource, access};

impl Binder<'_, '_> {
    /// A query that stands by itself, or in FROM.
    pub fn query(&mut self, query: &ast::Query) -> SqlResult<Query> {
        if let Some(clause) = &query.for_clause {
            return self.formed(query, clause);
        }
        if let Some(recursion_max) = query.settings.as_ref().and_then(|settings| recursion_max(settings)) {
            let before = std::mem::replace(&mut self.recursion_max, recursion_max);
            let bound = self.query(&ast::Query { settings: None, ..query.clone() });
            self.recursion_max = before;
            return bound;
        }
        if !query.locks.is_empty()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            return Err(SqlError::syntax_near("FOR"));
        }
        self.with_common(query.with.as_ref(), |binder| binder.query_without_with(query))
    }

    /// A query within an expression, which sees the rows around it.
    pub(super) fn subquery(&mut self, query: &ast::Query, in_exists: bool) -> SqlResult<Query> {
        let has_top = matches!(query.body.as_ref(), SetExpr::Select(select) if select.top.is_some());
        if query.order_by.is_some()
            && query.for_clause.is_none()
            && !has_top
            && query.fetch.is_none()
            && query.limit_clause.is_none()
        {
            return Err(order_by_refused());
        }
        let bound = self.query(query)?;
        if !in_exists && bound.columns.len() != 1 {
            return Err(super::predicate::one_column_wanted());
        }
        Ok(bound)
    }

    /// The list of OUTPUT: columns and values over the sources that the binder was given.
    pub fn output_list(&mut self, query: &ast::Query) -> SqlResult<(Vec<OutputColumn>, Vec<Expression>)> {
        let SetExpr::Select(select) = query.body.as_ref() else { return Err(SqlError::syntax_near("OUTPUT")) };
        let sources = self.level().sources.clone();
        let outputs = self.outputs(select, &[], &sources)?;
        Ok((outputs.columns, outputs.output))
    }

    /// A query of one SELECT, with its sources by name: the rows of an UPDATE or DELETE.
    pub fn query_with_sources(&mut self, query: &ast::Query) -> SqlResult<(Query, Vec<NamedSource>)> {
        let SetExpr::Select(select) = query.body.as_ref() else { return Err(SqlError::syntax_near("FROM")) };
        self.with_common(query.with.as_ref(), |binder| {
            let (plan, level) = binder.within(Level::default(), |binder| binder.select_within(select, &[]))?;
            Ok((plan, level.sources))
        })
    }

    fn query_without_with(&mut self, query: &ast::Query) -> SqlResult<Query> {
        let order = order_expressions(query)?;
        let mut bound = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, order)?,
            body => {
                let mut bound = self.body(body)?;
                bound.order = order_of_columns(&bound.columns, order)?;
                bound
            }
        };
        let (offset, fetch) = page(query)?;
        if offset.is_some() || fetch.is_some() {
            if order.is_empty() {
                return Err(SqlError::syntax_near("OFFSET"));
            }
            let (offset, fetch) = (self.optional(offset)?, self.optional(fetch)?);
            // A nested paging is kept apart.
            bound.offset = offset;
            bound.fetch = fetch;
        }
        Ok(bound)
    }

    fn optional(&mut self, expression: Option<&Expr>) -> SqlResult<Option<Expression>> {
        let Some(expression) = expression else { return Ok(None) };
        let (bound, _) = self.within(Level::default(), |binder| binder.scalar(expression))?;
        self.converted(bound, SqlType::BigInt).map(Some)
    }

    fn body(&mut self, body: &SetExpr) -> SqlResult<Query> {
        match body {
            SetExpr::Select(select) => self.select(select, &[]),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { .. } => self.set_operation(body),
            _ => Err(SqlError::syntax_near("VALUES")),
        }
    }

    fn values(&mut self, values: &ast::Values) -> SqlResult<Query> {
        let ((rows, types), _) = self.within(Level::default(), |binder| {
            let mut rows = Vec::with_capacity(values.rows.len());
            for row in &values.rows {
                let bound: SqlResult<Vec<Expression>> = row.content.iter().map(|value| binder.scalar(value)).collect();
                rows.push(bound?);
            }
            let width = rows.first().map_or(0, Vec::len);
            if rows.iter().any(|row: &Vec<Expression>| row.len() != width) {
                return Err(SqlError::new(
                    10_709,
                    16,
                    "The number of columns for each row in a table value constructor must be the same.",
                ));
            }
            let mut types = Vec::with_capacity(width);
            for column in 0..width {
                let cells = rows.iter_mut().filter_map(|row| row.get_mut(column));
                let typed = cells.filter(|cell| !cell.is_null_literal()).map(|cell| cell.sql_type);
                types.push(typed.reduce(SqlType::unify).unwrap_or(SqlType::Int));
            }
            for row in &mut rows {
                for (cell, sql_type) in row.iter_mut().zip(&types) {
                    let own = std::mem::replace(cell, Expression::literal(Value::Null, SqlType::Int));
                    *cell = binder.converted(own, *sql_type)?;
                }
            }
            Ok((rows, types))
        })?;
        let column =
            |sql_type| OutputColumn { name: String::new(), sql_type, nullable: true, identity: false, computed: false };
        let columns = types.into_iter().map(column).collect();
        Ok(Query { body: Body::Values(rows), columns, order: Vec::new(), offset: None, fetch: None })
    }

    /// Chains of UNION ALL are nested to the left: walked without recursion, as they may have a thousand parts.
    fn set_operation(&mut self, body: &SetExpr) -> SqlResult<Query> {
        let mut parts = Vec::new();
        let mut rest = body;
        while let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier: SetQuantifier::All, right } =
            rest
        {
            parts.push(right.as_ref());
            rest = left;
        }
        if parts.is_empty() {
            let SetExpr::SetOperation { left, op, set_quantifier, right } = body else {
                return Err(SqlError::syntax_near("UNION"));
            };
            let operation = match (op, set_quantifier) {
                (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => SetOperation::Union,
                (SetOperator::Except, SetQuantifier::None) => SetOperation::Except,
                (SetOperator::Intersect, SetQuantifier::None) => SetOperation::Intersect,
                _ => return Err(SqlError::syntax_near(&op.to_string())),
            };
            let mut sides = vec![self.body(left)?, self.body(right)?];
            let columns = super::unify::unify_columns(&mut sides)?;
            let (Some(right), Some(left)) = (sides.pop(), sides.pop()) else {
                return Err(SqlError::syntax_near("UNION"));
            };
            let body = Body::Set { operation, left: Box::new(left), right: Box::new(right) };
            return Ok(Query { body, columns, order: Vec::new(), offset: None, fetch: None });
        }
        let mut bound = vec![self.body(rest)?];
        for part in parts.into_iter().rev() {
            bound.push(self.body(part)?);
        }
        let columns = super::unify::unify_columns(&mut bound)?;
        Ok(Query { body: Body::UnionAll(bound), columns, order: Vec::new(), offset: None, fetch: None })
    }

    fn select(&mut self, select: &ast::Select, order: &[ast::OrderByExpr]) -> SqlResult<Query> {
        refuse_foreign(select)?;
        let level = self.fresh_level();
        let (query, _) = self.within(level, |binder| binder.select_within(select, order))?;
        Ok(query)
    }

    fn select_within(&mut self, select: &ast::Select, order: &[ast::OrderByExpr]) -> SqlResult<Query> {
        let source = self.from(&select.from)?;
        let mut filter = Vec::new();
        if let Some(selection) = &select.selection {
            self.level().no_aggregates = true;
            let predicate = self.predicate(selection);
            self.level().no_aggregates = false;
            predicate?.conjuncts(&mut filter);
        }
        let top = self.top(select)?;
        let keys = self.group_keys(select)?;
        let grouped = keys.is_some() || select.having.is_some();
        let sources = self.level().sources.clone();
        let bound = if grouped {
            self.level().keys = Some(keys.unwrap_or_default());
            self.outputs(select, order, &sources)?
        } else {
            let first = self.outputs(select, order, &sources);
            if self.level().met_aggregate {
                // An aggregate without GROUP BY makes one group of everything.
                self.level().keys = Some(Vec::new());
                self.level().windows.clear();
                self.outputs(select, order, &sources)?
            } else {
                first?
            }
        };
        let level = self.level();
        let grouping =
            level.keys.take().map(|keys| Grouping { keys, aggregates: std::mem::take(&mut level.aggregates) });
        let mut plan = Select {
            source,
            width: level.width,
            filter,
            grouping,
            having: bound.having,
            windows: std::mem::take(&mut level.windows),
            output: bound.output,
            assignments: bound.assignments,
            distinct: matches!(select.distinct, Some(ast::Distinct::Distinct)),
            top,
            order: bound.order,
            ordered: false,
        };
        access::choose(&mut plan);
        Ok(Query {
            body: Body::Select(Box::new(plan)),
            columns: bound.columns,
            order: Vec::new(),
            offset: None,
            fetch: None,
        })
    }

    fn top(&mut self, select: &ast::Select) -> SqlResult<Option<Top>> {
        let Some(top) = &select.top else { return Ok(None) };
        let quantity = match &top.quantity {
            Some(ast::TopQuantity::Constant(number)) => {
                let number = i64::try_from(*number).map_err(|_| SqlError::syntax_near("TOP"))?;
                Expression::literal(Value::BigInt(number), SqlType::BigInt)
            }
            Some(ast::TopQuantity::Expr(expression)) => {
                let (bound, _) = self.within(Level::default(), |binder| binder.scalar(expression))?;
                bound
            }
            None => return Err(SqlError::syntax_near("TOP")),
        };
        Ok(Some(Top { quantity, percent: top.percent, ties: top.with_ties }))
    }

    fn group_keys(&mut self, select: &ast::Select) -> SqlResult<Option<Vec<Expression>>> {
        let GroupByExpr::Expressions(expressions, modifiers) = &select.group_by else {
            return Err(SqlError::unsupported("GROUP BY ALL"));
        };
        if !modifiers.is_empty() {
            return Err(SqlError::unsupported("GROUP BY with modifiers"));
        }
        if expressions.is_empty() {
            return Ok(None);
        }
        let mut keys = Vec::with_capacity(expressions.len());
        for expression in expressions {
            let key = self.scalar(expression)?;
            if key.sql_type.is_incomparable() {
                return Err(SqlError::new(
                    306,
                    16,
                    "The text, ntext, and image data types cannot be compared or sorted, except when using IS NULL or LIKE operator.",
                ));
            }
            keys.push(key);
        }
        Ok(Some(keys))
    }
}

/// What `OPTION (MAXRECURSION n)` says.
fn recursion_max(settings: &[ast::Setting]) -> Option<u32> {
    let setting = settings.iter().find(|setting| setting.key.value == RECURSION)?;
    setting.value.to_string().parse().ok()
}

fn order_by_refused() -> SqlError {
    SqlError::new(
        1033,
        15,
        "The ORDER BY clause is invalid in views, inline functions, derived tables, subqueries, and common table expressions, unless TOP, OFFSET or FOR XML is also specified.",
    )
}

fn order_expressions(query: &ast::Query) -> SqlResult<&[ast::OrderByExpr]> {
    match &query.order_by {
        None => Ok(&[]),
        Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(list), interpolate: None }) => Ok(list),
        Some(_) => Err(SqlError::syntax_near("ALL")),
    }
}

/// OFFSET and FETCH.
fn page(query: &ast::Query) -> SqlResult<(Option<&Expr>, Option<&Expr>)> {
    let offset = match &query.limit_clause {
        None => None,
        Some(ast::LimitClause::LimitOffset { limit: None, offset: Some(offset), limit_by }) if limit_by.is_empty() => {
            Some(&offset.value)
        }
        Some(_) => return Err(SqlError::syntax_near("LIMIT")),
    };
    let fetch = match &query.fetch {
        None => None,
        Some(ast::Fetch { with_ties: false, percent: false, quantity: Some(quantity) }) => Some(quantity),
        Some(_) => return Err(SqlError::syntax_near("FETCH")),
    };
    if fetch.is_some() && offset.is_none() {
        return Err(SqlError::syntax_near("FETCH"));
    }
    Ok((offset, fetch))
}

/// The order of a set operation's rows: by the names or positions of its columns.
fn order_of_columns(columns: &[OutputColumn], order: &[ast::OrderByExpr]) -> SqlResult<Vec<(usize, bool)>> {
    let refused = || {
        SqlError::new(
            104,
            16,
            "ORDER BY items must appear in the select list if the statement contains a UNION, INTERSECT or EXCEPT operator.",
        )
    };
    let mut keys = Vec::with_capacity(order.len());
    for item in order {
        let at = match &item.expr {
            Expr::Identifier(name) => columns.iter().position(|column| equal(&column.name, &name.value)),
            Expr::Value(value) => match &value.value {
                ast::Value::Number(digits, _) => {
                    digits.parse::<usize>().ok().and_then(|at| at.checked_sub(1)).filter(|at| *at < columns.len())
                }
                _ => None,
            },
            _ => None,
        };
        keys.push((at.ok_or_else(refused)?, is_descending(&item.options)?));
    }
    Ok(keys)
}

/// What sqlparser reads and T-SQL doesn't know.
fn refuse_foreign(select: &ast::Select) -> SqlResult<()> {
    let foreign = select.exclude.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || !select.named_window.is_empty()
        || select.qualify.is_some()
        || select.value_table_mode.is_some()
        || matches!(select.distinct, Some(ast::Distinct::On(_)));
    if foreign { Err(SqlError::syntax_near("SELECT")) } else { Ok(()) }
}
