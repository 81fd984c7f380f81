//! PIVOT and UNPIVOT, which are other ways to write a grouping and an APPLY.

use sqlparser::ast::{self, Expr, TableFactor};

use crate::error::{SqlError, SqlResult};
use crate::value::collation::equal;

use super::super::parse;
use super::super::plan::Source;
use super::super::statement::Kind;
use super::{Binder, Level};

/// A name in brackets.
fn bracketed(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

fn quoted(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

/// sqlparser writes a variable as a name in brackets, in which it would be a column.
pub fn with_variables(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find("[@") {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let end = tail.find(']').unwrap_or(tail.len());
        out.push_str(tail.get(1..end).unwrap_or_default());
        rest = tail.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The last part of a name that stands as an expression.
fn name_of(expression: &Expr) -> SqlResult<String> {
    match expression {
        Expr::Identifier(name) => Ok(name.value.clone()),
        Expr::CompoundIdentifier(parts) => Ok(parts.last().map(|part| part.value.clone()).unwrap_or_default()),
        other => Err(SqlError::syntax_near(&other.to_string())),
    }
}

fn names_of(list: &[ast::ExprWithAlias]) -> SqlResult<Vec<String>> {
    list.iter().map(|item| name_of(&item.expr)).collect()
}

impl Binder<'_, '_> {
    /// `t PIVOT (SUM(x) FOR c IN ([a], [b])) AS p`: one row for each value of all other columns, with a column for each of
    /// the values in the list.
    pub(super) fn pivot(
        &mut self,
        table: &TableFactor,
        aggregates: &[ast::ExprWithAlias],
        column: &[Expr],
        values: &ast::PivotValueSource,
        alias: Option<&ast::TableAlias>,
    ) -> SqlResult<Source> {
        let ([aggregate], [column]) = (aggregates, column) else { return Err(SqlError::syntax_near("PIVOT")) };
        let ast::PivotValueSource::List(values) = values else { return Err(SqlError::syntax_near("IN")) };
        let Expr::Function(function) = &aggregate.expr else { return Err(SqlError::syntax_near("PIVOT")) };
        let argument = match &function.args {
            ast::FunctionArguments::List(list) => match list.args.as_slice() {
                [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument))] => name_of(argument)?,
                _ => return Err(SqlError::syntax_near(&function.to_string())),
            },
            _ => return Err(SqlError::syntax_near(&function.to_string())),
        };
        let column = name_of(column)?;
        let others: Vec<String> = self
            .columns_of(table)?
            .into_iter()
            .filter(|other| !equal(other, &column) && !equal(other, &argument))
            .map(|other| bracketed(&other))
            .collect();
        let mut outputs = others.clone();
        for value in names_of(values)? {
            outputs.push(format!(
                "{}(CASE WHEN {} = {} THEN {} END) AS {}",
                function.name,
                bracketed(&column),
                quoted(&value),
                bracketed(&argument),
                bracketed(&value)
            ));
        }
        let grouping = if others.is_empty() { String::new() } else { format!(" GROUP BY {}", others.join(", ")) };
        self.rewritten(&format!("SELECT {} FROM {table}{grouping}", outputs.join(", ")), alias)
    }

    /// `t UNPIVOT (v FOR n IN (a, b)) AS u`: a row for each of the columns in the list that isn't NULL.
    pub(super) fn unpivot(
        &mut self,
        table: &TableFactor,
        value: &Expr,
        name: &ast::Ident,
        columns: &[ast::ExprWithAlias],
        alias: Option<&ast::TableAlias>,
    ) -> SqlResult<Source> {
        let (value, name) = (bracketed(&name_of(value)?), bracketed(&name.value));
        let columns = names_of(columns)?;
        let others = self.columns_of(table)?.into_iter();
        let mut outputs: Vec<String> = others
            .filter(|other| !columns.iter().any(|own| equal(own, other)))
            .map(|other| bracketed(&other))
            .collect();
        outputs.push(format!("[~u].{value}"));
        outputs.push(format!("[~u].{name}"));
        let rows: Vec<String> =
            columns.iter().map(|column| format!("({}, {})", quoted(column), bracketed(column))).collect();
        let sql = format!(
            "SELECT {} FROM {table} CROSS APPLY (VALUES {}) AS [~u] ({name}, {value}) WHERE [~u].{value} IS NOT NULL",
            outputs.join(", "),
            rows.join(", ")
        );
        self.rewritten(&sql, alias)
    }

    /// The names of a source's columns.
    fn columns_of(&mut self, table: &TableFactor) -> SqlResult<Vec<String>> {
        let (_, level) = self.within(Level::default(), |binder| binder.factor(table, false))?;
        Ok(level
            .sources
            .iter()
            .flat_map(|source| source.columns.iter().map(|column| column.name.to_string()))
            .collect())
    }

    /// A query that was written anew, in FROM.
    pub(super) fn rewritten(&mut self, sql: &str, alias: Option<&ast::TableAlias>) -> SqlResult<Source> {
        let alias = alias.ok_or_else(|| SqlError::syntax_near(")"))?;
        let mut statements = parse::batch(&with_variables(sql))?.into_iter();
        let Some(Kind::Select(query)) = statements.next().map(|statement| statement.kind) else {
            return Err(SqlError::syntax_near("FROM"));
        };
        let was_hidden = std::mem::replace(&mut self.level().hidden, true);
        let query = self.query(&query);
        self.level().hidden = was_hidden;
        self.derived(query?, &alias.name.value, None, &super::source::alias_columns(Some(alias)))
    }
}
