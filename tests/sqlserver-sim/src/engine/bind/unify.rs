//! Brings the columns of several queries to common types.

use crate::error::{SqlError, SqlResult};
use crate::value::convert::{self, Manner};
use crate::value::{SqlType, Value};

use super::super::expression::Expression;
use super::super::plan::{Body, OutputColumn, Query};
use super::Binder;

/// Brings the columns of several queries to common types; the names are those of the first.
pub fn unify_columns(queries: &mut [Query]) -> SqlResult<Vec<OutputColumn>> {
    let Some(first) = queries.first() else { return Ok(Vec::new()) };
    let mut columns = first.columns.clone();
    for query in queries.iter().skip(1) {
        if query.columns.len() != columns.len() {
            return Err(SqlError::new(
                205,
                16,
                "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.",
            ));
        }
    }
    for (at, column) in columns.iter_mut().enumerate() {
        let typed = queries.iter().filter(|query| !is_null_column(query, at));
        let types = typed.filter_map(|query| query.columns.get(at)).map(|column| column.sql_type);
        if let Some(sql_type) = types.reduce(SqlType::unify) {
            column.sql_type = sql_type;
        }
        column.nullable = queries.iter().filter_map(|query| query.columns.get(at)).any(|column| column.nullable);
        column.identity = false;
        column.computed = false;
    }
    let types: Vec<SqlType> = columns.iter().map(|column| column.sql_type).collect();
    for query in queries {
        convert_columns(query, &types)?;
    }
    Ok(columns)
}

fn is_null_column(query: &Query, at: usize) -> bool {
    match &query.body {
        Body::Select(select) => select.output.get(at).is_some_and(Expression::is_null_literal),
        _ => false,
    }
}

/// Converts a query's columns.
pub fn convert_columns(query: &mut Query, types: &[SqlType]) -> SqlResult<()> {
    if query.columns.len() != types.len() {
        return Err(SqlError::new(
            205,
            16,
            "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.",
        ));
    }
    for (at, to) in types.iter().enumerate() {
        let null = is_null_column(query, at);
        let Some(column) = query.columns.get_mut(at) else { continue };
        if column.sql_type == *to {
            continue;
        }
        if !null {
            convert::check(column.sql_type, *to, Manner::Implicit)?;
        }
        column.sql_type = *to;
        convert_column(&mut query.body, at, *to)?;
    }
    Ok(())
}

fn convert_column(body: &mut Body, at: usize, to: SqlType) -> SqlResult<()> {
    let wrap = |cell: &mut Expression| {
        let own = std::mem::replace(cell, Expression::literal(Value::Null, to));
        *cell = if own.is_null_literal() {
            Expression { sql_type: to, ..own }
        } else {
            Binder::wrapped(own, to, None, false)
        };
    };
    match body {
        Body::Select(select) => {
            if let Some(cell) = select.output.get_mut(at) {
                wrap(cell);
            }
        }
        Body::Values(rows) => rows.iter_mut().filter_map(|row| row.get_mut(at)).for_each(wrap),
        Body::Formed { .. } => return Err(SqlError::unsupported("FOR JSON and FOR XML within a set operation")),
        Body::UnionAll(parts) => {
            for part in parts {
                convert_in(part, at, to)?;
            }
        }
        Body::Set { left, right, .. } => {
            convert_in(left, at, to)?;
            convert_in(right, at, to)?;
        }
    }
    Ok(())
}

fn convert_in(query: &mut Query, at: usize, to: SqlType) -> SqlResult<()> {
    if let Some(column) = query.columns.get_mut(at) {
        column.sql_type = to;
    }
    convert_column(&mut query.body, at, to)
}
