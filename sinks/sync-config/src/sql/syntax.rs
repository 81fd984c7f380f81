//! The syntax tree of a query, with names as they are written and places as offsets into the text.

use std::fmt::{self, Write};

/// A query that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxFault {
    /// Where, as an offset into the text in bytes.
    pub(crate) at: usize,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl SyntaxFault {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), suggestion: None }
    }

    pub(crate) fn suggesting(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

/// A name, in lower case unless it was quoted.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) at: usize,
}

/// `SELECT columns FROM source WHERE filter`.
#[derive(Debug, Clone)]
pub(crate) struct Select {
    pub(crate) at: usize,
    pub(crate) columns: Vec<SelectItem>,
    pub(crate) from: Option<From>,
    pub(crate) filter: Option<Expr>,
}

/// One item of the select list.
#[derive(Debug, Clone)]
pub(crate) enum SelectItem {
    /// `*` or `name.*`.
    Star { at: usize, qualifier: Option<Name> },
    /// An expression, perhaps with a name given to it.
    Expression { expr: Expr, alias: Option<Name> },
}

/// What a query reads.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// A table: one to three names.
    Table { path: Vec<Name>, alias: Option<Name> },
    /// A table-valued function.
    Call { name: Name, arguments: Vec<Expr>, alias: Option<Name> },
}

/// An expression.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    /// Where it begins.
    pub(crate) at: usize,
    /// How many levels it has, itself included.
    pub(crate) depth: usize,
    pub(crate) kind: ExprKind,
}

/// Expressions are evaluated and dropped by recursion; nobody writes deeper ones.
const DEPTH_MAX: usize = 200;

#[derive(Debug, Clone)]
pub(crate) enum ExprKind {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    /// `name` or `qualifier.name`.
    Column {
        qualifier: Option<Name>,
        name: Name,
    },
    /// `name(..)` or `namespace.name(..)`.
    Call {
        namespace: Option<Name>,
        name: Name,
        arguments: Vec<Expr>,
    },
    Unary(UnaryOperator, Box<Expr>),
    Binary(BinaryOperator, Box<Expr>, Box<Expr>),
    /// An element of a JSON document.
    Json {
        result: JsonResult,
        document: Box<Expr>,
        path: Box<Expr>,
    },
    In {
        negated: bool,
        needle: Box<Expr>,
        array: Box<Expr>,
    },
    Cast(Box<Expr>, CastType),
    /// Two or more.
    And(Vec<Expr>),
    /// Two or more.
    Or(Vec<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum UnaryOperator {
    Not,
    Negate,
    IsNull,
    IsNotNull,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BinaryOperator {
    Compare(Comparison),
    Calculate(Arithmetic),
    Bits(Bits),
    Concatenate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bits {
    And,
    Or,
    ShiftLeft,
    ShiftRight,
}

/// What a JSON operator gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum JsonResult {
    /// `->`: JSON text.
    Text,
    /// `->>`: a value.
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CastType {
    Text,
    Numeric,
    Integer,
    Real,
    Blob,
}

impl Select {
    /// All expressions of the query, wherever they stand.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let columns = self.columns.iter().filter_map(|item| match item {
            SelectItem::Star { .. } => None,
            SelectItem::Expression { expr, .. } => Some(expr),
        });
        let arguments: &[Expr] = match &self.from {
            Some(From::Call { arguments, .. }) => arguments,
            _ => &[],
        };
        columns.chain(arguments).chain(&self.filter)
    }
}

impl Expr {
    /// Builds a node over its parts; too deep a tree is refused.
    pub(super) fn new(at: usize, kind: ExprKind) -> Result<Self, SyntaxFault> {
        let depth = 1 + kind.parts().map(|part| part.depth).max().unwrap_or(0);
        match depth > DEPTH_MAX {
            true => Err(SyntaxFault::new(at, format!("the expression nests more than {DEPTH_MAX} levels deep"))),
            false => Ok(Self { at, depth, kind }),
        }
    }

    /// Whether any part of the expression, itself included, satisfies `test`.
    pub(crate) fn any(&self, test: &mut dyn FnMut(&Expr) -> bool) -> bool {
        test(self) || self.kind.parts().any(|part| part.any(test))
    }
}

impl ExprKind {
    /// The expressions right below.
    fn parts(&self) -> impl Iterator<Item = &Expr> {
        let (list, first, second): (&[Expr], Option<&Expr>, Option<&Expr>) = match self {
            ExprKind::Null | ExprKind::Integer(_) | ExprKind::Real(_) | ExprKind::Text(_) | ExprKind::Column { .. } => {
                (&[], None, None)
            }
            ExprKind::Call { arguments: list, .. } | ExprKind::And(list) | ExprKind::Or(list) => (list, None, None),
            ExprKind::Unary(_, part) | ExprKind::Cast(part, _) => (&[], Some(part), None),
            ExprKind::Binary(_, left, right)
            | ExprKind::Json { document: left, path: right, .. }
            | ExprKind::In { needle: left, array: right, .. } => (&[], Some(left), Some(right)),
        };
        list.iter().chain(first).chain(second)
    }
}

impl BinaryOperator {
    fn text(self) -> &'static str {
        match self {
            BinaryOperator::Compare(Comparison::Equal) => "=",
            BinaryOperator::Compare(Comparison::NotEqual) => "!=",
            BinaryOperator::Compare(Comparison::Less) => "<",
            BinaryOperator::Compare(Comparison::LessOrEqual) => "<=",
            BinaryOperator::Compare(Comparison::Greater) => ">",
            BinaryOperator::Compare(Comparison::GreaterOrEqual) => ">=",
            BinaryOperator::Calculate(Arithmetic::Add) => "+",
            BinaryOperator::Calculate(Arithmetic::Subtract) => "-",
            BinaryOperator::Calculate(Arithmetic::Multiply) => "*",
            BinaryOperator::Calculate(Arithmetic::Divide) => "/",
            BinaryOperator::Calculate(Arithmetic::Remainder) => "%",
            BinaryOperator::Bits(Bits::And) => "&",
            BinaryOperator::Bits(Bits::Or) => "|",
            BinaryOperator::Bits(Bits::ShiftLeft) => "<<",
            BinaryOperator::Bits(Bits::ShiftRight) => ">>",
            BinaryOperator::Concatenate => "||",
        }
    }
}

impl CastType {
    pub(crate) const NAMES: [(&'static str, CastType); 5] = [
        ("text", CastType::Text),
        ("numeric", CastType::Numeric),
        ("integer", CastType::Integer),
        ("real", CastType::Real),
        ("blob", CastType::Blob),
    ];

    fn text(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

// The texts below are canonical: two queries that differ in layout, comments, letter case of keywords or redundant
// brackets only give the same text. Fingerprints are taken from them, so changing them re-reads every bucket.

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.text.replace('"', "\"\""))
    }
}

impl fmt::Display for Select {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SELECT ")?;
        separated(formatter, ", ", &self.columns)?;
        if let Some(from) = &self.from {
            write!(formatter, " FROM {from}")?;
        }
        match &self.filter {
            Some(filter) => write!(formatter, " WHERE {filter}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for SelectItem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // There is one source at most, so its name says nothing.
            SelectItem::Star { .. } => formatter.write_char('*'),
            SelectItem::Expression { expr, alias: None } => expr.fmt(formatter),
            SelectItem::Expression { expr, alias: Some(alias) } => write!(formatter, "{expr} AS {alias}"),
        }
    }
}

impl fmt::Display for From {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alias = match self {
            From::Table { path, alias } => {
                separated(formatter, ".", path)?;
                alias
            }
            From::Call { name, arguments, alias } => {
                write!(formatter, "{name}(")?;
                separated(formatter, ", ", arguments)?;
                formatter.write_char(')')?;
                alias
            }
        };
        match alias {
            Some(alias) => write!(formatter, " AS {alias}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Null => formatter.write_str("NULL"),
            ExprKind::Integer(value) => value.fmt(formatter),
            ExprKind::Real(value) => write!(formatter, "{value:?}"),
            ExprKind::Text(text) => write!(formatter, "'{}'", text.replace('\'', "''")),
            ExprKind::Column { qualifier: None, name } => name.fmt(formatter),
            ExprKind::Column { qualifier: Some(qualifier), name } => write!(formatter, "{qualifier}.{name}"),
            ExprKind::Call { namespace, name, arguments } => {
                if let Some(namespace) = namespace {
                    write!(formatter, "{namespace}.")?;
                }
                write!(formatter, "{name}(")?;
                separated(formatter, ", ", arguments)?;
                formatter.write_char(')')
            }
            ExprKind::Unary(UnaryOperator::Not, part) => write!(formatter, "(NOT {part})"),
            ExprKind::Unary(UnaryOperator::Negate, part) => write!(formatter, "(- {part})"),
            ExprKind::Unary(UnaryOperator::IsNull, part) => write!(formatter, "({part} IS NULL)"),
            ExprKind::Unary(UnaryOperator::IsNotNull, part) => write!(formatter, "({part} IS NOT NULL)"),
            ExprKind::Binary(operator, left, right) => write!(formatter, "({left} {} {right})", operator.text()),
            ExprKind::Json { result: JsonResult::Text, document, path } => write!(formatter, "({document} -> {path})"),
            ExprKind::Json { result: JsonResult::Value, document, path } => {
                write!(formatter, "({document} ->> {path})")
            }
            ExprKind::In { negated: false, needle, array } => write!(formatter, "({needle} IN {array})"),
            ExprKind::In { negated: true, needle, array } => write!(formatter, "({needle} NOT IN {array})"),
            ExprKind::Cast(part, to) => write!(formatter, "CAST({part} AS {})", to.text()),
            ExprKind::And(parts) => bracketed(formatter, " AND ", parts),
            ExprKind::Or(parts) => bracketed(formatter, " OR ", parts),
        }
    }
}

fn bracketed(formatter: &mut fmt::Formatter<'_>, separator: &str, items: &[Expr]) -> fmt::Result {
    formatter.write_char('(')?;
    separated(formatter, separator, items)?;
    formatter.write_char(')')
}

fn separated<T: fmt::Display>(formatter: &mut fmt::Formatter<'_>, separator: &str, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            formatter.write_str(separator)?;
        }
        item.fmt(formatter)?;
    }
    Ok(())
}
