//! Queries whose names are resolved, and how they are to be run.

use std::sync::Arc;

use crate::storage::{DatabaseId, IndexId, Table};
use crate::value::{SqlType, Value};

use super::expression::{ColumnRef, Expression, Predicate};
use super::form::{Form, FormColumn};
use super::relation::Relation;
use super::system::SystemTable;

#[derive(Clone, Debug)]
pub struct Query {
    pub body: Body,
    pub columns: Vec<OutputColumn>,
    /// Of a set operation: positions in its columns. A SELECT has its own.
    pub order: Vec<(usize, bool)>,
    pub offset: Option<Expression>,
    pub fetch: Option<Expression>,
}

#[derive(Clone, Debug)]
pub struct OutputColumn {
    pub name: String,
    pub sql_type: SqlType,
    pub nullable: bool,
    pub identity: bool,
    pub computed: bool,
}

#[derive(Clone, Debug)]
pub enum Body {
    Select(Box<Select>),
    /// All rows of each, one after the other. A list, as programs ask hundreds of tables in one statement.
    UnionAll(Vec<Query>),
    Set {
        operation: SetOperation,
        left: Box<Query>,
        right: Box<Query>,
    },
    Values(Vec<Vec<Expression>>),
    /// FOR JSON and FOR XML: the rows of a query as one text.
    Formed {
        query: Box<Query>,
        form: Form,
        columns: Vec<FormColumn>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetOperation {
    Union,
    Except,
    Intersect,
}

#[derive(Clone, Debug)]
pub struct Select {
    pub source: Source,
    /// How many sources the rows of `source` have.
    pub width: usize,
    /// What of WHERE isn't checked by the sources themselves.
    pub filter: Vec<Predicate>,
    pub grouping: Option<Grouping>,
    pub having: Option<Predicate>,
    pub windows: Vec<Window>,
    pub output: Vec<Expression>,
    /// `SELECT @a = …`: the variable for each output.
    pub assignments: Option<Vec<usize>>,
    pub distinct: bool,
    pub top: Option<Top>,
    pub order: Vec<OrderKey>,
    /// The sources give their rows in the order wanted.
    pub ordered: bool,
}

#[derive(Clone, Debug)]
pub struct Top {
    pub quantity: Expression,
    pub percent: bool,
    pub ties: bool,
}

#[derive(Clone, Debug)]
pub struct OrderKey {
    pub value: OrderValue,
    pub descending: bool,
}

#[derive(Clone, Debug)]
pub enum OrderValue {
    /// A column of the output.
    Output(usize),
    Expression(Expression),
}

/// Rows are grouped by the keys. What follows sees one source per group: the keys, then the aggregates.
#[derive(Clone, Debug)]
pub struct Grouping {
    pub keys: Vec<Expression>,
    pub aggregates: Vec<Aggregate>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AggregateKind {
    CountRows,
    Count,
    Sum,
    Average,
    Minimum,
    Maximum,
    Concatenate,
    Deviation { population: bool, variance: bool },
}

#[derive(Clone, Debug)]
pub struct Aggregate {
    pub kind: AggregateKind,
    pub distinct: bool,
    pub value: Option<Expression>,
    /// The separator of STRING_AGG.
    pub separator: Option<Expression>,
    /// WITHIN GROUP (ORDER BY …).
    pub order: Vec<(Expression, bool)>,
    pub sql_type: SqlType,
}

#[derive(Clone, Debug)]
pub struct Window {
    pub kind: WindowKind,
    pub partition: Vec<Expression>,
    pub order: Vec<(Expression, bool)>,
}

#[derive(Clone, Debug)]
pub enum WindowKind {
    RowNumber,
    Rank,
    DenseRank,
    Tiles(Expression),
    /// LAG and LEAD: the value, how far (behind if `back`), and what stands in beyond the ends.
    Neighbour {
        value: Expression,
        distance: Option<Expression>,
        default: Option<Expression>,
        back: bool,
    },
    First(Expression),
    Last(Expression),
    Aggregate {
        aggregate: Aggregate,
        running: Running,
    },
}

/// Over which rows of the partition an aggregate goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Running {
    Whole,
    /// From the first row to this one and its equals in order.
    ToPeers,
    /// From the first row to this one.
    ToRow,
}

#[derive(Clone, Debug)]
pub enum Source {
    Nothing,
    Table(Box<TableSource>),
    Relation(Box<RelationSource>),
    /// A subquery in FROM, a view, a common table expression, an inline function.
    Derived {
        slot: usize,
        query: Box<Query>,
        filter: Vec<Predicate>,
    },
    Function {
        slot: usize,
        function: TableFunction,
        arguments: Vec<Expression>,
        filter: Vec<Predicate>,
    },
    /// What a recursive common table expression has found in its last step.
    Working {
        slot: usize,
        table: usize,
    },
    Recursive {
        slot: usize,
        table: usize,
        /// 0 for no limit.
        steps_max: u32,
        anchor: Box<Query>,
        step: Box<Query>,
        filter: Vec<Predicate>,
    },
    /// Rows held by the statement: the `inserted` and `deleted` of a trigger.
    Held {
        slot: usize,
        rows: Arc<Vec<Arc<[Value]>>>,
        filter: Vec<Predicate>,
    },
    Join(Box<Join>),
}

#[derive(Clone, Debug)]
pub struct Join {
    pub kind: JoinKind,
    pub left: Source,
    pub right: Source,
    pub on: Vec<Predicate>,
    /// Equalities between the left and the right side: the rows of the right are looked up by their values.
    pub keys: Vec<(Expression, Expression)>,
    /// The right side looks at the left's row, so it runs anew for each.
    pub dependent: bool,
    pub left_slots: Vec<usize>,
    pub right_slots: Vec<usize>,
    /// The number of columns of each right slot, for rows of NULLs.
    pub right_widths: Vec<usize>,
    pub left_widths: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

#[derive(Clone, Debug)]
pub enum TableFunction {
    /// A function of change data capture, by its name.
    System {
        function: Arc<SystemTable>,
        database: DatabaseId,
    },
    /// Whether the number of each part is wanted.
    SplitString {
        numbered: bool,
    },
    /// A table function of a user.
    User(Arc<super::module::TableFunction>),
    OpenJson(Arc<super::functions::OpenJson>),
    GenerateSeries(SqlType),
}

#[derive(Clone, Debug)]
pub struct TableSource {
    pub slot: usize,
    pub database: DatabaseId,
    pub table: Arc<Table>,
    /// For each column that isn't stored in the row, the expression that computes it over this table alone.
    pub computed: Vec<(usize, Expression)>,
    pub access: Access,
    pub filter: Vec<Predicate>,
    pub hints: Hints,
    /// The rows that it gives have their number behind their values.
    pub tells_id: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hints {
    pub no_lock: bool,
    pub read_past: bool,
    pub update_lock: bool,
    /// `UPDLOCK` and `XLOCK`: rows that are given stay locked against others that mean to change them.
    pub lock_rows: bool,
    pub exclusive: bool,
    pub table_lock: bool,
    pub hold: bool,
    pub read_committed_lock: bool,
}

/// How a table's rows are found.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub index: Option<IndexId>,
    /// Values of the index's first columns.
    pub equal: Vec<Expression>,
    /// Bounds of the next column.
    pub bounds: Option<(ColumnRef, Vec<Predicate>)>,
    pub descending: bool,
}

#[derive(Clone)]
pub struct RelationSource {
    pub slot: usize,
    pub name: String,
    pub database: DatabaseId,
    pub relation: Arc<dyn Relation>,
    pub equal: Vec<(usize, Expression)>,
    pub filter: Vec<Predicate>,
}

impl std::fmt::Debug for RelationSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelationSource").field("name", &self.name).field("equal", &self.equal).finish_non_exhaustive()
    }
}

impl Source {
    fn columns_within(&self, inner: usize, visit: &mut dyn FnMut(ColumnRef)) {
        let filters = |filter: &[Predicate], visit: &mut dyn FnMut(ColumnRef)| {
            filter.iter().for_each(|part| part.columns_within(inner, visit));
        };
        match self {
            Self::Nothing | Self::Working { .. } => {}
            Self::Held { filter, .. } => filters(filter, visit),
            Self::Table(table) => {
                table.access.equal.iter().for_each(|value| value.columns_within(inner, visit));
                filters(&table.filter, visit);
            }
            Self::Relation(relation) => {
                relation.equal.iter().for_each(|(_, value)| value.columns_within(inner, visit));
                filters(&relation.filter, visit);
            }
            // What stands in FROM sees the query's own row as one further out, as a subquery does.
            Self::Derived { query, filter, .. } => {
                query.columns_within(inner + 1, visit);
                filters(filter, visit);
            }
            Self::Recursive { anchor, step, filter, .. } => {
                anchor.columns_within(inner + 1, visit);
                step.columns_within(inner + 1, visit);
                filters(filter, visit);
            }
            Self::Function { arguments, filter, .. } => {
                arguments.iter().for_each(|argument| argument.columns_within(inner, visit));
                filters(filter, visit);
            }
            Self::Join(join) => {
                join.left.columns_within(inner, visit);
                join.right.columns_within(inner, visit);
                join.on.iter().for_each(|part| part.columns_within(inner, visit));
            }
        }
    }

    /// The places of its rows.
    pub fn slots(&self) -> Vec<usize> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Table(table) => vec![table.slot],
            Self::Relation(relation) => vec![relation.slot],
            Self::Derived { slot, .. }
            | Self::Function { slot, .. }
            | Self::Working { slot, .. }
            | Self::Recursive { slot, .. }
            | Self::Held { slot, .. } => vec![*slot],
            Self::Join(join) => join.left_slots.iter().chain(&join.right_slots).copied().collect(),
        }
    }

    /// The columns of this query's own row, and those further out, that the source looks at to give its rows.
    pub fn columns(&self, visit: &mut dyn FnMut(ColumnRef)) {
        self.columns_within(0, visit);
    }
}

impl Query {
    pub(super) fn columns_within(&self, inner: usize, visit: &mut dyn FnMut(ColumnRef)) {
        let mut expressions: Vec<&Expression> = self.offset.iter().chain(&self.fetch).collect();
        match &self.body {
            Body::Set { left, right, .. } => {
                left.columns_within(inner, visit);
                right.columns_within(inner, visit);
            }
            Body::UnionAll(parts) => parts.iter().for_each(|part| part.columns_within(inner, visit)),
            Body::Values(rows) => expressions.extend(rows.iter().flatten()),
            Body::Formed { query, .. } => query.columns_within(inner, visit),
            Body::Select(select) => {
                select.source.columns_within(inner, visit);
                select.filter.iter().for_each(|part| part.columns_within(inner, visit));
                if let Some(having) = &select.having {
                    having.columns_within(inner, visit);
                }
                if let Some(grouping) = &select.grouping {
                    expressions.extend(&grouping.keys);
                    for aggregate in &grouping.aggregates {
                        expressions.extend(&aggregate.value);
                        expressions.extend(&aggregate.separator);
                        expressions.extend(aggregate.order.iter().map(|(value, _)| value));
                    }
                }
                for window in &select.windows {
                    expressions.extend(window.expressions());
                }
                expressions.extend(&select.output);
                expressions.extend(select.top.iter().map(|top| &top.quantity));
                expressions.extend(select.order.iter().filter_map(|key| match &key.value {
                    OrderValue::Expression(value) => Some(value),
                    OrderValue::Output(_) => None,
                }));
            }
        }
        for expression in expressions {
            expression.columns_within(inner, visit);
        }
    }
}

impl Window {
    fn expressions(&self) -> Vec<&Expression> {
        let mut all: Vec<&Expression> =
            self.partition.iter().chain(self.order.iter().map(|(value, _)| value)).collect();
        match &self.kind {
            WindowKind::RowNumber | WindowKind::Rank | WindowKind::DenseRank => {}
            WindowKind::Tiles(value) | WindowKind::First(value) | WindowKind::Last(value) => all.push(value),
            WindowKind::Neighbour { value, distance, default, .. } => {
                all.push(value);
                all.extend(distance);
                all.extend(default);
            }
            WindowKind::Aggregate { aggregate, .. } => all.extend(&aggregate.value),
        }
        all
    }
}
