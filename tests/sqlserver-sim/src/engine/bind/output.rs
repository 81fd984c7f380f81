//! What a SELECT gives of its sources' rows, and in which order.

use sqlparser::ast::{self, Expr, SelectItem};

use crate::error::{SqlError, SqlResult};
use crate::value::SqlType;
use crate::value::collation::equal;

use super::super::expression::{ColumnRef, Expression, Node, Predicate};
use super::super::parse::{QUOTED, parted};
use super::super::plan::{OrderKey, OrderValue, OutputColumn};
use super::{Binder, NamedSource};

#[derive(Default)]
pub(super) struct Outputs {
    pub(super) output: Vec<Expression>,
    pub(super) columns: Vec<OutputColumn>,
    pub(super) assignments: Option<Vec<usize>>,
    pub(super) having: Option<Predicate>,
    pub(super) order: Vec<OrderKey>,
}

impl Binder<'_, '_> {
    pub(super) fn outputs(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        sources: &[NamedSource],
    ) -> SqlResult<Outputs> {
        let mut outputs = Outputs::default();
        for item in &select.projection {
            self.output_item(item, sources, &mut outputs)?;
        }
        if let Some(variables) = &outputs.assignments
            && variables.len() != outputs.output.len()
        {
            return Err(SqlError::new(
                141,
                15,
                "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.",
            ));
        }
        outputs.having = select.having.as_ref().map(|having| self.predicate(having)).transpose()?;
        let distinct = matches!(select.distinct, Some(ast::Distinct::Distinct));
        for item in order {
            let descending = is_descending(&item.options)?;
            let value = self.order_value(&item.expr, &outputs)?;
            if distinct && matches!(value, OrderValue::Expression(_)) {
                return Err(SqlError::new(
                    145,
                    15,
                    "ORDER BY items must appear in the select list if SELECT DISTINCT is specified.",
                ));
            }
            outputs.order.push(OrderKey { value, descending });
        }
        Ok(outputs)
    }

    /// A position, a name of the output, or any value of the sources.
    fn order_value(&mut self, expression: &Expr, outputs: &Outputs) -> SqlResult<OrderValue> {
        if let Expr::Value(value) = expression
            && let ast::Value::Number(digits, _) = &value.value
        {
            let position: usize = digits.parse().map_err(|_| SqlError::syntax_near(digits))?;
            if position == 0 || position > outputs.columns.len() {
                let text = format!(
                    "The ORDER BY position number {position} is out of range of the number of items in the select list."
                );
                return Err(SqlError::new(108, 16, text));
            }
            return Ok(OrderValue::Output(position - 1));
        }
        if let Expr::Identifier(name) = expression
            && let Some(at) = outputs.columns.iter().position(|column| equal(&column.name, &name.value))
        {
            return Ok(OrderValue::Output(at));
        }
        let bound = self.scalar(expression)?;
        let same = outputs.output.iter().position(|output| output.same(&bound));
        Ok(same.map_or(OrderValue::Expression(bound), OrderValue::Output))
    }

    fn output_item(&mut self, item: &SelectItem, sources: &[NamedSource], outputs: &mut Outputs) -> SqlResult<()> {
        match item {
            SelectItem::Wildcard(_) => {
                if sources.is_empty() {
                    return Err(SqlError::new(263, 16, "Must specify table to select from."));
                }
                for source in sources.iter().filter(|source| !source.by_name_only) {
                    self.all_columns(source, outputs)?;
                }
                Ok(())
            }
            SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let name = super::source::object_name(name)?;
                let source = sources.iter().find(|source| equal(&source.name, &name.object));
                let source = source.ok_or_else(|| SqlError::new(107, 15, format!("The column prefix '{name}' does not match with a table name or alias name used in the query.")))?;
                self.all_columns(source, outputs)
            }
            SelectItem::ExprWithAlias { expr, alias }
                if alias.value.starts_with('@') && alias.quote_style != Some(QUOTED) =>
            {
                self.assignment(alias, expr, outputs)
            }
            SelectItem::ExprWithAlias { expr, alias } => self.plain_output(expr, Some(&alias.value), outputs),
            SelectItem::UnnamedExpr(Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right }) => match left.as_ref()
            {
                Expr::Identifier(name) if name.value.starts_with('@') && name.quote_style != Some(QUOTED) => {
                    self.assignment(name, right, outputs)
                }
                Expr::Identifier(name) => self.plain_output(right, Some(&name.value), outputs),
                Expr::Value(value) => match &value.value {
                    ast::Value::SingleQuotedString(name) => self.plain_output(right, Some(name), outputs),
                    _ => Err(SqlError::syntax_near("=")),
                },
                _ => Err(SqlError::syntax_near("=")),
            },
            SelectItem::UnnamedExpr(expr) => {
                let name = match expr {
                    Expr::Identifier(name) if !name.value.starts_with('@') || name.quote_style == Some(QUOTED) => {
                        Some(name.value.clone())
                    }
                    Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()),
                    _ => None,
                };
                self.plain_output(expr, name.as_deref(), outputs)
            }
            _ => Err(SqlError::syntax_near(&item.to_string())),
        }
    }

    fn plain_output(&mut self, expression: &Expr, name: Option<&str>, outputs: &mut Outputs) -> SqlResult<()> {
        let bound = self.scalar(expression)?;
        let (identity, computed, own) = self.traits_of(&bound);
        // A column is called as its table calls it, whatever its case in the statement.
        let name = match (expression, own) {
            (Expr::Identifier(_) | Expr::CompoundIdentifier(_), Some(own))
                if name.is_some_and(|name| equal(name, &own)) =>
            {
                own
            }
            _ => name.unwrap_or_default().to_owned(),
        };
        outputs.columns.push(OutputColumn {
            name,
            sql_type: bound.sql_type,
            nullable: bound.nullable,
            identity,
            computed,
        });
        outputs.output.push(bound);
        Ok(())
    }

    /// Whether a value is a table's identity or computed column, and the column's own name.
    fn traits_of(&self, bound: &Expression) -> (bool, bool, Option<String>) {
        let Some(level) = self.levels.last() else { return (false, false, None) };
        let Some(column) = bound.as_column().filter(|column| column.depth == 0 && level.keys.is_none()) else {
            return (false, false, None);
        };
        let source = level.sources.iter().find(|source| source.slot == column.source);
        let named = source.and_then(|source| source.columns.iter().find(|named| named.at == column.column));
        named.map_or((false, false, None), |named| (named.identity, named.computed, Some(named.name.to_string())))
    }

    fn assignment(&mut self, variable: &ast::Ident, value: &Expr, outputs: &mut Outputs) -> SqlResult<()> {
        let (name, operator) = parted(&variable.value);
        let slot = self.execution.variables.find(name).ok_or_else(|| SqlError::undeclared(name))?;
        let sql_type = self.execution.variables.get(slot).map_or(SqlType::Int, |variable| variable.sql_type);
        let mut bound = self.scalar(value)?;
        if let Some(operator) = operator {
            let own = Expression { node: Node::Variable(slot), sql_type, nullable: true };
            bound = self.operation(operator, own, bound)?;
        }
        let bound = self.converted(bound, sql_type)?;
        outputs.assignments.get_or_insert_with(Vec::new).push(slot);
        outputs.columns.push(OutputColumn {
            name: String::new(),
            sql_type,
            nullable: true,
            identity: false,
            computed: false,
        });
        outputs.output.push(bound);
        Ok(())
    }

    fn all_columns(&mut self, source: &NamedSource, outputs: &mut Outputs) -> SqlResult<()> {
        for column in source.columns.iter().filter(|column| !column.hidden) {
            let reference = ColumnRef { depth: 0, source: source.slot, column: column.at };
            let expression =
                Expression { node: Node::Column(reference), sql_type: column.sql_type, nullable: column.nullable };
            let ident = ast::Ident::new(column.name.to_string());
            outputs.output.push(self.grouped_column(0, expression, &[ident])?);
            outputs.columns.push(OutputColumn {
                name: column.name.to_string(),
                sql_type: column.sql_type,
                nullable: column.nullable,
                identity: column.identity,
                computed: column.computed,
            });
        }
        Ok(())
    }
}

pub fn is_descending(options: &ast::OrderByOptions) -> SqlResult<bool> {
    match (&options.sort, options.nulls_first) {
        (None | Some(ast::OrderBySort::Asc), None) => Ok(false),
        (Some(ast::OrderBySort::Desc), None) => Ok(true),
        _ => Err(SqlError::syntax_near("NULLS")),
    }
}
