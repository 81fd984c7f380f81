//! Resolves names and types: from statements as they are written to plans.

mod access;
mod aggregate;
mod common_table;
mod form;
mod function;
mod hint;
mod output;
mod pivot;
mod predicate;
mod query;
mod scalar;
mod source;
mod table_function;
mod types;
mod unify;

use std::sync::Arc;

use sqlparser::ast;

use crate::error::{SqlError, SqlResult};
use crate::value::SqlType;
use crate::value::collation::equal;
use crate::value::convert::{self, Manner};

use super::evaluate::{Scope, comparable};
use super::expression::{ColumnRef, Expression, Node};
use super::plan::{Aggregate, Window};
use super::state::Execution;

pub use source::table_source;
pub use types::{named_type, table_type};

/// A column that can be named.
#[derive(Clone, Debug)]
pub struct NamedColumn {
    pub name: Arc<str>,
    pub sql_type: SqlType,
    pub nullable: bool,
    /// In the source's rows.
    pub at: usize,
    pub identity: bool,
    pub computed: bool,
    /// Not among those that `*` stands for.
    pub hidden: bool,
}

/// A source that can be named.
#[derive(Clone, Debug)]
pub struct NamedSource {
    pub slot: usize,
    /// The alias, or the table's own name.
    pub name: String,
    /// Where there is no alias: schema and database as they are written.
    pub schema: Option<String>,
    pub columns: Vec<NamedColumn>,
    /// Common pseudo-tables of OUTPUT and the like are seen by their name only.
    pub by_name_only: bool,
}

/// A query that is being resolved.
#[derive(Clone, Debug, Default)]
pub struct Level {
    pub sources: Vec<NamedSource>,
    pub width: usize,
    /// Not seen from within: a subquery in FROM doesn't see what stands beside it.
    pub hidden: bool,
    /// The keys, once rows have been grouped: from then on columns are those of groups.
    pub keys: Option<Vec<Expression>>,
    pub aggregates: Vec<Aggregate>,
    /// Within an aggregate's argument, which sees the rows before grouping.
    pub within_aggregate: bool,
    /// An aggregate was met before grouping.
    pub met_aggregate: bool,
    /// Aggregates have no meaning here (WHERE, ON).
    pub no_aggregates: bool,
    pub windows: Vec<Window>,
}

/// `WITH name AS (…)`.
#[derive(Clone, Debug)]
struct CommonTable {
    name: String,
    columns: Vec<String>,
    query: Arc<ast::Query>,
    /// While its recursive part is resolved: its columns, and where its rows are.
    working: Option<(usize, Vec<NamedColumn>)>,
}

/// Views within views, at most.
const VIEW_DEPTH_MAX: u32 = 32;

pub struct Binder<'e, 's> {
    pub execution: &'e mut Execution<'s>,
    levels: Vec<Level>,
    common: Vec<CommonTable>,
    working_tables: usize,
    /// Steps of a recursive common table expression, at most; 0 for no limit.
    recursion_max: u32,
}

/// Where nothing else is said.
const RECURSION_MAX: u32 = 100;

impl<'e, 's> Binder<'e, 's> {
    pub fn new(execution: &'e mut Execution<'s>) -> Self {
        let working_tables = execution.working.len();
        Self { execution, levels: Vec::new(), common: Vec::new(), working_tables, recursion_max: RECURSION_MAX }
    }

    /// With sources that can be named from the beginning: `inserted` and `deleted`, or a table's own columns.
    pub fn with_sources(execution: &'e mut Execution<'s>, sources: Vec<NamedSource>) -> Self {
        let mut binder = Self::new(execution);
        let width = sources.iter().map(|source| source.slot + 1).max().unwrap_or(0);
        binder.levels.push(Level { sources, width, ..Level::default() });
        binder
    }

    /// The sources of the innermost query.
    pub fn sources(&self) -> &[NamedSource] {
        self.levels.last().map_or(&[], |level| &level.sources)
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        // There is one: it was just made if there was none.
        #[expect(clippy::indexing_slicing, reason = "the index is that of the last")]
        &mut self.levels[last]
    }

    /// Runs with an innermost query of its own, and gives that back too.
    fn within<T>(&mut self, level: Level, read: impl FnOnce(&mut Self) -> SqlResult<T>) -> SqlResult<(T, Level)> {
        self.levels.push(level);
        let result = read(self);
        let level = self.levels.pop().unwrap_or_default();
        Ok((result?, level))
    }

    /// Runs without the queries around: a view or common table doesn't see them.
    fn apart<T>(&mut self, common: Vec<CommonTable>, read: impl FnOnce(&mut Self) -> SqlResult<T>) -> SqlResult<T> {
        if self.execution.view_depth >= VIEW_DEPTH_MAX {
            return Err(SqlError::new(
                217,
                16,
                "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32).",
            ));
        }
        let levels = std::mem::take(&mut self.levels);
        let common = std::mem::replace(&mut self.common, common);
        self.execution.view_depth += 1;
        let result = read(self);
        self.execution.view_depth -= 1;
        self.levels = levels;
        self.common = common;
        result
    }

    // Columns

    /// A column by its parts: `c`, `t.c`, `s.t.c`, `d.s.t.c`.
    fn column(&mut self, parts: &[ast::Ident]) -> SqlResult<Expression> {
        let Some((column, qualifiers)) = parts.split_last() else { return Err(SqlError::syntax_near(".")) };
        for depth in 0..self.levels.len() {
            let Some(level) = self.levels.iter().rev().nth(depth) else { break };
            if level.hidden {
                continue;
            }
            if let Some((source, named)) = find(level, qualifiers, &column.value)? {
                let reference = ColumnRef { depth, source, column: named.at };
                let expression =
                    Expression { node: Node::Column(reference), sql_type: named.sql_type, nullable: named.nullable };
                return self.grouped_column(depth, expression, parts);
            }
        }
        let visible = self.levels.iter().filter(|level| !level.hidden);
        let is_source = visible.flat_map(|level| &level.sources).any(|source| is_called(source, qualifiers));
        Err(if qualifiers.is_empty() || is_source {
            SqlError::invalid_column(&column.value)
        } else {
            SqlError::unbound(&dotted(parts))
        })
    }

    /// Once rows are grouped, a column is one of the keys.
    fn grouped_column(&self, depth: usize, expression: Expression, parts: &[ast::Ident]) -> SqlResult<Expression> {
        let Some(level) = self.levels.iter().rev().nth(depth) else { return Ok(expression) };
        let Some(keys) = level.keys.as_ref().filter(|_| !level.within_aggregate) else { return Ok(expression) };
        let own = expression.as_column().map(|column| ColumnRef { depth: 0, ..column });
        match keys.iter().position(|key| key.as_column() == own) {
            Some(at) => Ok(Expression { node: Node::Column(ColumnRef { depth, source: 0, column: at }), ..expression }),
            None => {
                let text = format!(
                    "Column '{}' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.",
                    dotted(parts)
                );
                Err(SqlError::new(8120, 16, text))
            }
        }
    }

    // Conversions

    /// The expression in a type, as the server converts it by itself.
    pub fn converted(&self, expression: Expression, to: SqlType) -> SqlResult<Expression> {
        if expression.sql_type == to {
            return Ok(expression);
        }
        if expression.is_null_literal() {
            return Ok(Expression { sql_type: to, ..expression });
        }
        convert::check(expression.sql_type, to, Manner::Implicit)?;
        Ok(Self::wrapped(expression, to, None, false))
    }

    /// A conversion; that of a constant is made at once if it can be.
    fn wrapped(value: Expression, to: SqlType, style: Option<Expression>, attempt: bool) -> Expression {
        if let (Node::Literal(literal), None) = (&value.node, &style)
            && let Ok(converted) = convert::convert(literal, value.sql_type, to, None)
        {
            return Expression { node: Node::Literal(converted), sql_type: to, nullable: value.nullable };
        }
        let nullable = value.nullable || attempt;
        let node = Node::Convert { value: Box::new(value), style: style.map(Box::new), attempt };
        Expression { node, sql_type: to, nullable }
    }

    /// Both sides of a comparison, brought to one type where theirs can't be compared as they are.
    fn compared(&self, left: Expression, right: Expression) -> SqlResult<(Expression, Expression)> {
        if left.is_null_literal() || right.is_null_literal() || comparable(left.sql_type, right.sql_type) {
            for side in [&left, &right] {
                if side.sql_type.is_incomparable()
                    && !side.is_null_literal()
                    && side.sql_type != SqlType::Text
                    && side.sql_type != SqlType::NText
                {
                    let text = format!("The data type {} cannot be compared.", side.sql_type.name());
                    return Err(SqlError::new(306, 16, text));
                }
            }
            return Ok((left, right));
        }
        let both = left.sql_type.unify(right.sql_type);
        // A variant is compared by the value that it holds.
        if both == SqlType::Variant {
            let own = |side: Expression, other: SqlType| {
                if side.sql_type == SqlType::Variant { Self::wrapped(side, other, None, false) } else { side }
            };
            let (left_type, right_type) = (left.sql_type, right.sql_type);
            return Ok((own(left, right_type), own(right, left_type)));
        }
        Ok((self.converted(left, both)?, self.converted(right, both)?))
    }

    /// All in the one type that they share.
    fn unified(&self, expressions: Vec<Expression>) -> SqlResult<(Vec<Expression>, SqlType)> {
        let typed = expressions.iter().filter(|expression| !expression.is_null_literal());
        let sql_type = typed.map(|expression| expression.sql_type).reduce(SqlType::unify).unwrap_or(SqlType::Int);
        let converted = expressions.into_iter().map(|expression| self.converted(expression, sql_type));
        Ok((converted.collect::<SqlResult<Vec<_>>>()?, sql_type))
    }
}

/// A column of a level; error 209 where two sources have it.
fn find<'l>(level: &'l Level, qualifiers: &[ast::Ident], name: &str) -> SqlResult<Option<(usize, &'l NamedColumn)>> {
    let mut found = None;
    for source in &level.sources {
        if !is_called(source, qualifiers) {
            continue;
        }
        let Some(column) = source.columns.iter().find(|column| equal(&column.name, name)) else { continue };
        if found.replace((source.slot, column)).is_some() {
            return Err(SqlError::ambiguous_column(name));
        }
    }
    Ok(found)
}

fn is_called(source: &NamedSource, qualifiers: &[ast::Ident]) -> bool {
    match qualifiers {
        [] => !source.by_name_only,
        [.., schema, table] => {
            equal(&source.name, &table.value)
                && source.schema.as_deref().is_some_and(|own| equal(own, &schema.value) || schema.value.is_empty())
        }
        [table] => equal(&source.name, &table.value),
    }
}

fn dotted(parts: &[ast::Ident]) -> String {
    parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
}
