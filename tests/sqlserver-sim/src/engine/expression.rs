//! Expressions whose names are resolved and whose types are known.

use std::sync::Arc;

use crate::value::arithmetic::Operator;
use crate::value::{SqlType, Value};

use super::functions::Builtin;
use super::module::ScalarFunction;
use super::plan::Query;
use super::system::Function;

#[derive(Clone, Debug)]
pub struct Expression {
    pub node: Node,
    pub sql_type: SqlType,
    pub nullable: bool,
}

#[derive(Clone, Debug)]
pub enum Node {
    Literal(Value),
    Variable(usize),
    Column(ColumnRef),
    Convert {
        value: Box<Expression>,
        style: Option<Box<Expression>>,
        attempt: bool,
    },
    Arithmetic {
        operator: Operator,
        left: Box<Expression>,
        right: Box<Expression>,
    },
    Negate(Box<Expression>),
    Complement(Box<Expression>),
    Case {
        branches: Vec<(Predicate, Expression)>,
        otherwise: Option<Box<Expression>>,
    },
    Coalesce(Vec<Expression>),
    Function {
        function: &'static Builtin,
        arguments: Vec<Expression>,
    },
    /// A function of change data capture.
    System {
        function: Function,
        arguments: Vec<Expression>,
    },
    User {
        function: Arc<ScalarFunction>,
        arguments: Vec<Expression>,
    },
    Subquery(Box<Query>),
}

/// A column of a source: `depth` queries further out, the `source`th of that query.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct ColumnRef {
    pub depth: usize,
    pub source: usize,
    pub column: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// As it reads from the other side.
    pub fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            other => other,
        }
    }

    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// A condition: true, false or unknown.
#[derive(Clone, Debug)]
pub enum Predicate {
    Compare {
        comparison: Comparison,
        left: Expression,
        right: Expression,
    },
    And(Vec<Predicate>),
    Or(Vec<Predicate>),
    Not(Box<Predicate>),
    IsNull(Expression),
    Like {
        value: Expression,
        pattern: Expression,
        escape: Option<Expression>,
    },
    In {
        value: Expression,
        list: Vec<Expression>,
    },
    InQuery {
        value: Expression,
        query: Box<Query>,
    },
    Exists(Box<Query>),
    Quantified {
        comparison: Comparison,
        value: Expression,
        query: Box<Query>,
        all: bool,
    },
    /// NULL is equal to NULL and different from the rest.
    Distinct {
        left: Expression,
        right: Expression,
    },
    /// `UPDATE(column)` in a trigger: whether the statement set the column.
    Updated(Arc<str>),
}

impl Expression {
    pub fn literal(value: Value, sql_type: SqlType) -> Self {
        let nullable = value.is_null();
        Self { node: Node::Literal(value), sql_type, nullable }
    }

    pub fn is_null_literal(&self) -> bool {
        matches!(self.node, Node::Literal(Value::Null))
    }

    pub fn as_column(&self) -> Option<ColumnRef> {
        match self.node {
            Node::Column(column) => Some(column),
            _ => None,
        }
    }

    /// Whether two expressions say the same, for GROUP BY. Subqueries never do.
    pub fn same(&self, other: &Self) -> bool {
        let all = |a: &[Self], b: &[Self]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b));
        self.sql_type == other.sql_type
            && match (&self.node, &other.node) {
                (Node::Literal(a), Node::Literal(b)) => a == b,
                (Node::Variable(a), Node::Variable(b)) => a == b,
                (Node::Column(a), Node::Column(b)) => a == b,
                (Node::Convert { value: a, style: sa, .. }, Node::Convert { value: b, style: sb, .. }) => {
                    a.same(b)
                        && match (sa, sb) {
                            (None, None) => true,
                            (Some(a), Some(b)) => a.same(b),
                            _ => false,
                        }
                }
                (
                    Node::Arithmetic { operator: ao, left: al, right: ar },
                    Node::Arithmetic { operator: bo, left: bl, right: br },
                ) => ao == bo && al.same(bl) && ar.same(br),
                (Node::Negate(a), Node::Negate(b)) | (Node::Complement(a), Node::Complement(b)) => a.same(b),
                (Node::Coalesce(a), Node::Coalesce(b)) => all(a, b),
                (Node::Case { branches: a, otherwise: ao }, Node::Case { branches: b, otherwise: bo }) => {
                    a.len() == b.len()
                        && a.iter().zip(b).all(|((ap, ae), (bp, be))| ap.same(bp) && ae.same(be))
                        && match (ao, bo) {
                            (None, None) => true,
                            (Some(a), Some(b)) => a.same(b),
                            _ => false,
                        }
                }
                (Node::Function { function: a, arguments: aa }, Node::Function { function: b, arguments: ba }) => {
                    a.name == b.name && all(aa, ba)
                }
                (Node::System { function: a, arguments: aa }, Node::System { function: b, arguments: ba }) => {
                    a.name == b.name && all(aa, ba)
                }
                _ => false,
            }
    }

    /// Calls `visit` for each column that it looks at, with the depth seen from here. Within subqueries, columns of
    /// queries further in are left out.
    pub fn columns(&self, visit: &mut dyn FnMut(ColumnRef)) {
        self.columns_within(0, visit);
    }

    pub(super) fn columns_within(&self, inner: usize, visit: &mut dyn FnMut(ColumnRef)) {
        match &self.node {
            Node::Literal(_) | Node::Variable(_) => {}
            Node::Column(column) => {
                if let Some(depth) = column.depth.checked_sub(inner) {
                    visit(ColumnRef { depth, ..*column });
                }
            }
            Node::Convert { value, style, .. } => {
                value.columns_within(inner, visit);
                if let Some(style) = style {
                    style.columns_within(inner, visit);
                }
            }
            Node::Arithmetic { left, right, .. } => {
                left.columns_within(inner, visit);
                right.columns_within(inner, visit);
            }
            Node::Negate(value) | Node::Complement(value) => value.columns_within(inner, visit),
            Node::Case { branches, otherwise } => {
                for (when, then) in branches {
                    when.columns_within(inner, visit);
                    then.columns_within(inner, visit);
                }
                if let Some(otherwise) = otherwise {
                    otherwise.columns_within(inner, visit);
                }
            }
            Node::Coalesce(list)
            | Node::Function { arguments: list, .. }
            | Node::System { arguments: list, .. }
            | Node::User { arguments: list, .. } => {
                for argument in list {
                    argument.columns_within(inner, visit);
                }
            }
            Node::Subquery(query) => query.columns_within(inner + 1, visit),
        }
    }
}

impl Predicate {
    /// The parts that must all hold.
    pub fn conjuncts(self, into: &mut Vec<Self>) {
        match self {
            Self::And(parts) => parts.into_iter().for_each(|part| part.conjuncts(into)),
            other => into.push(other),
        }
    }

    fn same(&self, other: &Self) -> bool {
        let all = |a: &[Self], b: &[Self]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b));
        match (self, other) {
            (
                Self::Compare { comparison: a, left: al, right: ar },
                Self::Compare { comparison: b, left: bl, right: br },
            ) => a == b && al.same(bl) && ar.same(br),
            (Self::And(a), Self::And(b)) | (Self::Or(a), Self::Or(b)) => all(a, b),
            (Self::Not(a), Self::Not(b)) => a.same(b),
            (Self::IsNull(a), Self::IsNull(b)) => a.same(b),
            _ => false,
        }
    }

    pub fn columns(&self, visit: &mut dyn FnMut(ColumnRef)) {
        self.columns_within(0, visit);
    }

    pub(super) fn columns_within(&self, inner: usize, visit: &mut dyn FnMut(ColumnRef)) {
        match self {
            Self::Compare { left, right, .. } | Self::Distinct { left, right } => {
                left.columns_within(inner, visit);
                right.columns_within(inner, visit);
            }
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.columns_within(inner, visit)),
            Self::Not(part) => part.columns_within(inner, visit),
            Self::IsNull(value) => value.columns_within(inner, visit),
            Self::Like { value, pattern, escape } => {
                value.columns_within(inner, visit);
                pattern.columns_within(inner, visit);
                if let Some(escape) = escape {
                    escape.columns_within(inner, visit);
                }
            }
            Self::In { value, list } => {
                value.columns_within(inner, visit);
                list.iter().for_each(|item| item.columns_within(inner, visit));
            }
            Self::InQuery { value, query } | Self::Quantified { value, query, .. } => {
                value.columns_within(inner, visit);
                query.columns_within(inner + 1, visit);
            }
            Self::Exists(query) => query.columns_within(inner + 1, visit),
            Self::Updated(_) => {}
        }
    }
}
