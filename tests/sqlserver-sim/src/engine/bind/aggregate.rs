//! Groups: which expressions are keys of them, and aggregates over them.

use sqlparser::ast::{self, Expr};

use crate::error::{SqlError, SqlResult};
use crate::value::{SqlType, Value};

use super::super::expression::{ColumnRef, Expression, Node};
use super::super::plan::{Aggregate, AggregateKind, Running, Window, WindowKind};
use super::super::run::aggregate_type;
use super::Binder;

fn kind_of(name: &str) -> Option<AggregateKind> {
    Some(match name {
        "COUNT" | "COUNT_BIG" => AggregateKind::Count,
        "SUM" => AggregateKind::Sum,
        "AVG" => AggregateKind::Average,
        "MIN" => AggregateKind::Minimum,
        "MAX" => AggregateKind::Maximum,
        "STRING_AGG" => AggregateKind::Concatenate,
        "STDEV" => AggregateKind::Deviation { population: false, variance: false },
        "STDEVP" => AggregateKind::Deviation { population: true, variance: false },
        "VAR" => AggregateKind::Deviation { population: false, variance: true },
        "VARP" => AggregateKind::Deviation { population: true, variance: true },
        _ => return None,
    })
}

impl Binder<'_, '_> {
    /// The key of the groups that an expression is, once rows are grouped.
    pub(super) fn group_key(&mut self, expression: &Expr) -> SqlResult<Option<Expression>> {
        let Some(level) = self.levels.last() else { return Ok(None) };
        let Some(keys) = level.keys.clone().filter(|keys| !level.within_aggregate && !keys.is_empty()) else {
            return Ok(None);
        };
        if matches!(expression, Expr::Value(_) | Expr::Subquery(_) | Expr::Nested(_)) {
            return Ok(None);
        }
        // What it is over the rows before grouping; if that can't be said, it is no key.
        let aggregates = level.aggregates.len();
        self.level().within_aggregate = true;
        let raw = self.scalar(expression);
        self.level().within_aggregate = false;
        self.level().aggregates.truncate(aggregates);
        let Ok(raw) = raw else { return Ok(None) };
        Ok(keys.iter().position(|key| key.same(&raw)).map(|at| {
            let node = Node::Column(ColumnRef { depth: 0, source: 0, column: at });
            Expression { node, ..raw }
        }))
    }

    /// An aggregate or a window function; None for other functions.
    pub(super) fn aggregate(&mut self, name: &str, function: &ast::Function) -> SqlResult<Option<Expression>> {
        if let Some(over) = &function.over {
            return self.window(name, function, over).map(Some);
        }
        let Some(kind) = kind_of(name) else { return Ok(None) };
        let level = self.level();
        if level.within_aggregate && level.keys.is_some() {
            return Err(SqlError::new(
                130,
                15,
                "Cannot perform an aggregate function on an expression containing an aggregate or a subquery.",
            ));
        }
        if level.no_aggregates {
            return Err(SqlError::new(
                147,
                15,
                "An aggregate may not appear in the WHERE clause unless it is in a subquery contained in a HAVING clause or a select list, and the column being aggregated is an outer reference.",
            ));
        }
        if level.keys.is_none() {
            // Found before grouping: the caller groups, and resolves again.
            level.met_aggregate = true;
            return Ok(Some(Expression::literal(Value::Null, SqlType::Int)));
        }
        let aggregate = self.aggregate_of(kind, name, function)?;
        let level = self.level();
        let keys = level.keys.as_ref().map_or(0, Vec::len);
        let column = keys + level.aggregates.len();
        let sql_type = aggregate.sql_type;
        let nullable = !matches!(aggregate.kind, AggregateKind::Count | AggregateKind::CountRows);
        level.aggregates.push(aggregate);
        let node = Node::Column(ColumnRef { depth: 0, source: 0, column });
        Ok(Some(Expression { node, sql_type, nullable }))
    }

    fn aggregate_of(&mut self, kind: AggregateKind, name: &str, function: &ast::Function) -> SqlResult<Aggregate> {
        let ast::FunctionArguments::List(list) = &function.args else { return Err(SqlError::syntax_near(name)) };
        let distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
        let count_type = if name == "COUNT_BIG" { SqlType::BigInt } else { SqlType::Int };
        if let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)] = list.args.as_slice() {
            if kind != AggregateKind::Count {
                return Err(SqlError::syntax_near("*"));
            }
            let kind = AggregateKind::CountRows;
            return Ok(Aggregate {
                kind,
                distinct,
                value: None,
                separator: None,
                order: Vec::new(),
                sql_type: count_type,
            });
        }
        let before = self.level().within_aggregate;
        self.level().within_aggregate = true;
        let bound = self.aggregate_arguments(kind, list, function);
        self.level().within_aggregate = before;
        let (value, separator, order) = bound?;
        let sql_type = if kind == AggregateKind::Count { count_type } else { aggregate_type(kind, value.sql_type)? };
        Ok(Aggregate { kind, distinct, value: Some(value), separator, order, sql_type })
    }

    #[expect(clippy::type_complexity, reason = "the three parts of an aggregate's call")]
    fn aggregate_arguments(
        &mut self,
        kind: AggregateKind,
        list: &ast::FunctionArgumentList,
        function: &ast::Function,
    ) -> SqlResult<(Expression, Option<Expression>, Vec<(Expression, bool)>)> {
        let mut arguments = Vec::with_capacity(list.args.len());
        for argument in &list.args {
            arguments.push(self.argument(argument)?);
        }
        let wanted = if kind == AggregateKind::Concatenate { 2 } else { 1 };
        if arguments.len() != wanted {
            return Err(SqlError::new(174, 15, format!("The function requires {wanted} argument(s).")));
        }
        let separator = if wanted == 2 { arguments.pop() } else { None };
        let value = arguments.pop().ok_or_else(|| SqlError::syntax_near(")"))?;
        let order = self.order_list(&function.within_group)?;
        Ok((value, separator, order))
    }

    pub(super) fn order_list(&mut self, list: &[ast::OrderByExpr]) -> SqlResult<Vec<(Expression, bool)>> {
        let mut order = Vec::with_capacity(list.len());
        for item in list {
            order.push((self.scalar(&item.expr)?, super::output::is_descending(&item.options)?));
        }
        Ok(order)
    }

    fn window(&mut self, name: &str, function: &ast::Function, over: &ast::WindowType) -> SqlResult<Expression> {
        let ast::WindowType::WindowSpec(spec) = over else { return Err(SqlError::unsupported("named windows")) };
        if self.level().no_aggregates {
            return Err(SqlError::new(
                4108,
                15,
                "Windowed functions can only appear in the SELECT or ORDER BY clauses.",
            ));
        }
        let mut partition = Vec::with_capacity(spec.partition_by.len());
        for item in &spec.partition_by {
            partition.push(self.scalar(item)?);
        }
        let order = self.order_list(&spec.order_by)?;
        let (kind, sql_type) = self.window_kind(name, function, spec, !order.is_empty())?;
        let level = self.level();
        // Grouped rows have one source, so the windows' values are the second.
        let source = if level.keys.is_some() { 1 } else { level.width };
        let column = level.windows.len();
        level.windows.push(Window { kind, partition, order });
        Ok(Expression { node: Node::Column(ColumnRef { depth: 0, source, column }), sql_type, nullable: true })
    }

    fn window_kind(
        &mut self,
        name: &str,
        function: &ast::Function,
        spec: &ast::WindowSpec,
        ordered: bool,
    ) -> SqlResult<(WindowKind, SqlType)> {
        let ranking = matches!(
            name,
            "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "NTILE" | "LAG" | "LEAD" | "FIRST_VALUE" | "LAST_VALUE"
        );
        if ranking && !ordered {
            let text = format!("The function '{name}' must have an OVER clause with ORDER BY.");
            return Err(SqlError::new(4112, 15, text));
        }
        if let Some(kind) = kind_of(name) {
            let aggregate = self.aggregate_of_window(kind, name, function)?;
            let sql_type = aggregate.sql_type;
            return Ok((WindowKind::Aggregate { aggregate, running: running(spec, ordered)? }, sql_type));
        }
        if spec.window_frame.is_some() {
            return Err(SqlError::unsupported(format!("window frames with {name}")));
        }
        let mut arguments = self.arguments(function)?.into_iter();
        let mut next = || arguments.next();
        let missing = || SqlError::new(189, 15, format!("The {name} function requires more arguments."));
        Ok(match name {
            "ROW_NUMBER" => (WindowKind::RowNumber, SqlType::BigInt),
            "RANK" => (WindowKind::Rank, SqlType::BigInt),
            "DENSE_RANK" => (WindowKind::DenseRank, SqlType::BigInt),
            "NTILE" => (WindowKind::Tiles(next().ok_or_else(missing)?), SqlType::BigInt),
            "LAG" | "LEAD" => {
                let (value, distance) = (next().ok_or_else(missing)?, next());
                let default = next().map(|default| self.converted(default, value.sql_type)).transpose()?;
                let sql_type = value.sql_type;
                (WindowKind::Neighbour { value, distance, default, back: name == "LAG" }, sql_type)
            }
            "FIRST_VALUE" | "LAST_VALUE" => {
                let value = next().ok_or_else(missing)?;
                let sql_type = value.sql_type;
                (if name == "FIRST_VALUE" { WindowKind::First(value) } else { WindowKind::Last(value) }, sql_type)
            }
            _ => return Err(SqlError::unsupported(format!("{name} as a window function"))),
        })
    }

    /// The argument of an aggregate over a window sees the rows that the window does: groups, if there are any.
    fn aggregate_of_window(
        &mut self,
        kind: AggregateKind,
        name: &str,
        function: &ast::Function,
    ) -> SqlResult<Aggregate> {
        if kind == AggregateKind::Concatenate {
            return Err(SqlError::unsupported("STRING_AGG as a window function"));
        }
        let ast::FunctionArguments::List(list) = &function.args else { return Err(SqlError::syntax_near(name)) };
        let count_type = if name == "COUNT_BIG" { SqlType::BigInt } else { SqlType::Int };
        if let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)] = list.args.as_slice() {
            let kind = AggregateKind::CountRows;
            return Ok(Aggregate {
                kind,
                distinct: false,
                value: None,
                separator: None,
                order: Vec::new(),
                sql_type: count_type,
            });
        }
        let [argument] = list.args.as_slice() else { return Err(SqlError::syntax_near(name)) };
        let value = self.argument(argument)?;
        let sql_type = if kind == AggregateKind::Count { count_type } else { aggregate_type(kind, value.sql_type)? };
        Ok(Aggregate { kind, distinct: false, value: Some(value), separator: None, order: Vec::new(), sql_type })
    }
}

/// The frames that are known: the whole partition, and from its start to this row or its equals.
fn running(spec: &ast::WindowSpec, ordered: bool) -> SqlResult<Running> {
    use ast::{WindowFrameBound, WindowFrameUnits};
    let Some(frame) = &spec.window_frame else {
        return Ok(if ordered { Running::ToPeers } else { Running::Whole });
    };
    let from_start = matches!(frame.start_bound, WindowFrameBound::Preceding(None));
    match (frame.units, &frame.end_bound) {
        (WindowFrameUnits::Rows, None | Some(WindowFrameBound::CurrentRow)) if from_start => Ok(Running::ToRow),
        (WindowFrameUnits::Range, None | Some(WindowFrameBound::CurrentRow)) if from_start => Ok(Running::ToPeers),
        (_, Some(WindowFrameBound::Following(None))) if from_start => Ok(Running::Whole),
        _ => Err(SqlError::unsupported("window frames that don't begin with the partition")),
    }
}
