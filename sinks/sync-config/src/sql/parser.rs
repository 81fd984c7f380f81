//! The grammar: recursive descent for the clauses, precedence climbing for expressions.

use sqlparser::tokenizer::{Token as Sql, Word};

use super::syntax::{
    Arithmetic, BinaryOperator, Bits, CastType, Comparison, Expr, ExprKind, From, JsonResult, Name, Select, SelectItem,
    SyntaxFault, UnaryOperator,
};
use super::token::{Token, tokens};
use crate::spelling::suggest;

/// Brackets and NOT may nest this deep.
const NESTING_MAX: usize = 64;

/// Words that end an expression or a name, so that they can't be a name themselves unless quoted.
const RESERVED: [&str; 33] = [
    "select",
    "from",
    "where",
    "and",
    "or",
    "not",
    "in",
    "is",
    "as",
    "null",
    "true",
    "false",
    "join",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "natural",
    "on",
    "using",
    "group",
    "having",
    "order",
    "limit",
    "offset",
    "union",
    "intersect",
    "except",
    "distinct",
    "with",
    "case",
    "cast",
];

/// Functions over several rows, as people try them.
const AGGREGATES: [&str; 9] =
    ["avg", "count", "group_concat", "json_agg", "json_group_array", "max", "min", "string_agg", "sum"];

/// What is expected where a name could stand.
const NAMES_WANTED: [&str; 3] = ["an expression", "a table", "a name"];

/// Reads one query; a semicolon may end it.
pub(crate) fn parse(text: &str) -> Result<Select, SyntaxFault> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.trim_end().len(), nesting: 0 };
    let select = parser.select()?;
    if parser.take_if(&Sql::SemiColon) && parser.peek().is_some() {
        return Err(SyntaxFault::new(parser.at(), "a second statement follows; one query is one text"));
    }
    match parser.peek() {
        None => Ok(select),
        Some(_) => Err(parser.unexpected("the end of the query")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// The offset that stands for the end of the text.
    end: usize,
    nesting: usize,
}

/// How tightly an operator binds; higher binds tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Not,
    Is,
    Equality,
    Order,
    In,
    Bits,
    Sum,
    Product,
    Concatenation,
    Sign,
    Element,
}

impl Parser {
    fn peek(&self) -> Option<&Sql> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn peek_after(&self, count: usize) -> Option<&Sql> {
        self.tokens.get(self.next + count).map(|token| &token.kind)
    }

    /// Where the next token begins, or where the text ends.
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |token| token.at)
    }

    fn take_if(&mut self, kind: &Sql) -> bool {
        let found = self.peek() == Some(kind);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, kind: &Sql, what: &str) -> Result<(), SyntaxFault> {
        match self.take_if(kind) {
            true => Ok(()),
            false => Err(self.unexpected(what)),
        }
    }

    fn is_keyword(&self, word: &str) -> bool {
        keyword(self.peek()).as_deref() == Some(word)
    }

    fn take_keyword(&mut self, word: &str) -> bool {
        let found = self.is_keyword(word);
        self.next += usize::from(found);
        found
    }

    /// The fault of a token that doesn't fit, in the words of somebody who knows what the language lacks.
    fn unexpected(&self, wanted: &str) -> SyntaxFault {
        let at = self.at();
        let Some(token) = self.peek() else {
            return SyntaxFault::new(at, format!("the query ends where {wanted} is expected"));
        };
        let missing = |what: &str, remedy: &str| {
            SyntaxFault::new(at, format!("bucket definitions have no {what}")).suggesting(remedy.to_owned())
        };
        let word = keyword(Some(token)).unwrap_or_default();
        let begins_something = matches!(word.as_str(), "case" | "distinct" | "select" | "from" | "where");
        if RESERVED.contains(&word.as_str()) && !begins_something && NAMES_WANTED.contains(&wanted) {
            return SyntaxFault::new(at, format!("found the keyword `{token}` where {wanted} is expected"))
                .suggesting(format!("write \"{word}\" in double quotes if it is a name"));
        }
        match word.as_str() {
            "join" | "inner" | "left" | "right" | "full" | "cross" | "natural" => {
                missing("joins", "read one table; let a parameter query look up the other one")
            }
            "group" | "having" | "distinct" => missing("aggregation", "remove the clause"),
            "order" | "limit" | "offset" => missing("order or limits", "remove the clause"),
            "union" | "intersect" | "except" => missing("set operations", "write one query for each part"),
            "with" => missing("common table expressions", "write the query out"),
            "case" => missing("CASE", "use iif(condition, then, else)"),
            "between" => missing("BETWEEN", "write x >= a AND x <= b"),
            "like" | "ilike" | "similar" => missing("LIKE", "use instr(text, part) > 0 or substring()"),
            _ if *token == Sql::Char('`') => {
                SyntaxFault::new(at, "names aren't quoted by backticks").suggesting("write \"name\", in double quotes")
            }
            _ if *token == Sql::Overlap => missing("&&", "use bucket.name IN column"),
            _ if *token == Sql::DoubleEq => SyntaxFault::new(at, "`==` isn't an operator").suggesting("write `=`"),
            _ if *token == Sql::Comma && wanted == "the end of the query" => {
                missing("joins", "read one table; let a parameter query look up the other one")
            }
            _ => SyntaxFault::new(at, format!("found `{token}` where {wanted} is expected")),
        }
    }

    fn select(&mut self) -> Result<Select, SyntaxFault> {
        let at = self.at();
        if !self.take_keyword("select") {
            let fault = self.unexpected("SELECT");
            return Err(match self.peek() {
                Some(Sql::Word(word)) => match suggest(&word.value, ["select"]) {
                    Some(suggestion) => fault.suggesting(suggestion),
                    None => fault,
                },
                _ => fault,
            });
        }
        let columns = self.select_list()?;
        let from = if self.take_keyword("from") { Some(self.from()?) } else { None };
        let filter = if self.take_keyword("where") { Some(self.expression()?) } else { None };
        Ok(Select { at, columns, from, filter })
    }

    /// The select list, which may be empty: `SELECT FROM users WHERE ..` says who gets a bucket without parameters.
    fn select_list(&mut self) -> Result<Vec<SelectItem>, SyntaxFault> {
        let mut columns = Vec::new();
        if self.is_keyword("from") || self.is_keyword("where") || self.peek().is_none() {
            return Ok(columns);
        }
        loop {
            columns.push(self.select_item()?);
            if !self.take_if(&Sql::Comma) {
                return Ok(columns);
            }
        }
    }

    fn select_item(&mut self) -> Result<SelectItem, SyntaxFault> {
        let at = self.at();
        if self.take_if(&Sql::Mul) {
            return Ok(SelectItem::Star { at, qualifier: None });
        }
        if self.peek_after(1) == Some(&Sql::Period) && self.peek_after(2) == Some(&Sql::Mul) {
            let qualifier = self.name("a table")?;
            self.next += 2;
            return Ok(SelectItem::Star { at, qualifier: Some(qualifier) });
        }
        let expr = self.expression()?;
        let alias = self.alias()?;
        Ok(SelectItem::Expression { expr, alias })
    }

    fn alias(&mut self) -> Result<Option<Name>, SyntaxFault> {
        if self.take_keyword("as") {
            return match self.peek() {
                // After AS any word is a name.
                Some(Sql::Word(word)) => {
                    let name = name_of(word, self.at());
                    self.next += 1;
                    Ok(Some(name))
                }
                _ => Err(self.unexpected("a name")),
            };
        }
        match self.peek() {
            Some(Sql::Word(word)) if !is_reserved(word) && !is_later_clause(word) => Ok(Some(self.name("a name")?)),
            _ => Ok(None),
        }
    }

    fn from(&mut self) -> Result<From, SyntaxFault> {
        if self.peek() == Some(&Sql::LParen) {
            return Err(SyntaxFault::new(self.at(), "bucket definitions have no subqueries")
                .suggesting("read one table; let a parameter query look up the other one"));
        }
        let mut path = vec![self.name("a table")?];
        if self.take_if(&Sql::LParen) {
            let name = path.remove(0);
            let arguments = self.arguments()?;
            return Ok(From::Call { name, arguments, alias: self.alias()? });
        }
        while self.take_if(&Sql::Period) {
            path.push(self.name("a table")?);
        }
        match path.get(3) {
            Some(name) => Err(SyntaxFault::new(name.at, "a table's name has at most three parts")
                .suggesting("write source.schema.table, schema.table or table")),
            None => Ok(From::Table { path, alias: self.alias()? }),
        }
    }

    fn name(&mut self, what: &str) -> Result<Name, SyntaxFault> {
        match self.peek() {
            Some(Sql::Word(word)) if !is_reserved(word) => {
                let name = name_of(word, self.at());
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// The arguments of a call and its closing bracket.
    fn arguments(&mut self) -> Result<Vec<Expr>, SyntaxFault> {
        let mut arguments = Vec::new();
        if self.take_if(&Sql::RParen) {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.take_if(&Sql::Comma) {
                self.expect(&Sql::RParen, "`,` or `)`")?;
                return Ok(arguments);
            }
        }
    }

    fn expression(&mut self) -> Result<Expr, SyntaxFault> {
        self.operation(None)
    }

    /// An expression of operators that bind tighter than `outer`.
    fn operation(&mut self, outer: Option<Binding>) -> Result<Expr, SyntaxFault> {
        if self.nesting >= NESTING_MAX {
            return Err(SyntaxFault::new(self.at(), format!("brackets nest more than {NESTING_MAX} levels deep")));
        }
        self.nesting += 1;
        let mut left = self.operand()?;
        while let Some(infix) = self.infix().filter(|infix| Some(infix.binding()) > outer) {
            left = self.complete(left, infix)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// What stands before any infix operator.
    fn operand(&mut self) -> Result<Expr, SyntaxFault> {
        let at = self.at();
        let kind = match self.peek() {
            Some(Sql::Number(digits, _)) => number(digits, at)?,
            Some(Sql::SingleQuotedString(text) | Sql::EscapedStringLiteral(text)) => ExprKind::Text(text.clone()),
            Some(Sql::LParen) => return self.bracketed(),
            Some(Sql::Minus) => return self.negated(),
            Some(Sql::Word(word)) if word.quote_style.is_none() => match word.value.to_ascii_lowercase().as_str() {
                "null" => ExprKind::Null,
                "true" => ExprKind::Integer(1),
                "false" => ExprKind::Integer(0),
                "not" => {
                    self.next += 1;
                    let part = self.operation(Some(Binding::Not))?;
                    return Expr::new(at, ExprKind::Unary(UnaryOperator::Not, Box::new(part)));
                }
                "cast" => return self.cast_call(),
                _ => return self.reference(),
            },
            Some(Sql::Word(_)) => return self.reference(),
            _ => return Err(self.unexpected("an expression")),
        };
        self.next += 1;
        Expr::new(at, kind)
    }

    fn bracketed(&mut self) -> Result<Expr, SyntaxFault> {
        self.next += 1;
        if self.is_keyword("select") {
            return Err(SyntaxFault::new(self.at(), "bucket definitions have no subqueries")
                .suggesting("let a parameter query look up the values"));
        }
        let inner = self.expression()?;
        self.expect(&Sql::RParen, "`)`")?;
        Ok(inner)
    }

    fn negated(&mut self) -> Result<Expr, SyntaxFault> {
        let at = self.at();
        self.next += 1;
        if let Some(Sql::Number(digits, _)) = self.peek() {
            let literal = number(&format!("-{digits}"), at)?;
            self.next += 1;
            return Expr::new(at, literal);
        }
        let part = self.operation(Some(Binding::Sign))?;
        Expr::new(at, ExprKind::Unary(UnaryOperator::Negate, Box::new(part)))
    }

    fn cast_call(&mut self) -> Result<Expr, SyntaxFault> {
        let at = self.at();
        self.next += 1;
        self.expect(&Sql::LParen, "`(`")?;
        let part = self.expression()?;
        if !self.take_keyword("as") {
            return Err(self.unexpected("AS"));
        }
        let to = self.cast_type()?;
        self.expect(&Sql::RParen, "`)`")?;
        Expr::new(at, ExprKind::Cast(Box::new(part), to))
    }

    fn cast_type(&mut self) -> Result<CastType, SyntaxFault> {
        let at = self.at();
        let Some(Sql::Word(word)) = self.peek() else { return Err(self.unexpected("a type")) };
        let name = word.value.to_ascii_lowercase();
        self.next += 1;
        let known = CastType::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, to)| *to).ok_or_else(|| {
            let fault = SyntaxFault::new(at, format!("there is no cast to `{name}`"));
            let names = CastType::NAMES.iter().map(|(name, _)| *name);
            fault.suggesting(suggest(&name, names).unwrap_or("cast to text, numeric, integer, real or blob".to_owned()))
        })
    }

    /// A column or a call, with or without a qualifier.
    fn reference(&mut self) -> Result<Expr, SyntaxFault> {
        let at = self.at();
        let first = self.name("an expression")?;
        let (qualifier, name) = match self.take_if(&Sql::Period) {
            true => (Some(first), self.any_word("a name")?),
            false => (None, first),
        };
        if self.peek() == Some(&Sql::Period) {
            return Err(SyntaxFault::new(at, "a column's name has at most two parts").suggesting("write table.column"));
        }
        let kind = match self.take_if(&Sql::LParen) {
            true if qualifier.is_none() && AGGREGATES.contains(&name.text.as_str()) => {
                return Err(SyntaxFault::new(at, "bucket definitions have no aggregation")
                    .suggesting("select the rows themselves; clients can count and add them up"));
            }
            true => ExprKind::Call { namespace: qualifier, name, arguments: self.arguments()? },
            false => ExprKind::Column { qualifier, name },
        };
        Expr::new(at, kind)
    }

    /// After a period any word is a name.
    fn any_word(&mut self, what: &str) -> Result<Name, SyntaxFault> {
        match self.peek() {
            Some(Sql::Word(word)) => {
                let name = name_of(word, self.at());
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// The operator that follows, without taking it.
    fn infix(&self) -> Option<Infix> {
        use BinaryOperator::{Bits as Bitwise, Calculate, Compare};
        Some(match self.peek()? {
            Sql::Eq => Infix::Binary(Compare(Comparison::Equal)),
            Sql::Neq => Infix::Binary(Compare(Comparison::NotEqual)),
            Sql::Lt => Infix::Binary(Compare(Comparison::Less)),
            Sql::LtEq => Infix::Binary(Compare(Comparison::LessOrEqual)),
            Sql::Gt => Infix::Binary(Compare(Comparison::Greater)),
            Sql::GtEq => Infix::Binary(Compare(Comparison::GreaterOrEqual)),
            Sql::Plus => Infix::Binary(Calculate(Arithmetic::Add)),
            Sql::Minus => Infix::Binary(Calculate(Arithmetic::Subtract)),
            Sql::Mul => Infix::Binary(Calculate(Arithmetic::Multiply)),
            Sql::Div => Infix::Binary(Calculate(Arithmetic::Divide)),
            Sql::Mod => Infix::Binary(Calculate(Arithmetic::Remainder)),
            Sql::Ampersand => Infix::Binary(Bitwise(Bits::And)),
            Sql::Pipe => Infix::Binary(Bitwise(Bits::Or)),
            Sql::ShiftLeft => Infix::Binary(Bitwise(Bits::ShiftLeft)),
            Sql::ShiftRight => Infix::Binary(Bitwise(Bits::ShiftRight)),
            Sql::StringConcat => Infix::Binary(BinaryOperator::Concatenate),
            Sql::Arrow => Infix::Json(JsonResult::Text),
            Sql::LongArrow => Infix::Json(JsonResult::Value),
            Sql::DoubleColon => Infix::Cast,
            token => match keyword(Some(token))?.as_str() {
                "and" => Infix::And,
                "or" => Infix::Or,
                "in" => Infix::In { negated: false },
                "not" if keyword(self.peek_after(1)).as_deref() == Some("in") => Infix::In { negated: true },
                "is" => Infix::Is,
                _ => return None,
            },
        })
    }

    /// Takes an infix operator and what stands after it.
    fn complete(&mut self, left: Expr, infix: Infix) -> Result<Expr, SyntaxFault> {
        let at = left.at;
        let operator_at = self.at();
        self.next += 1;
        let kind = match infix {
            Infix::And => ExprKind::And(self.chain(left, "and", Binding::And)?),
            Infix::Or => ExprKind::Or(self.chain(left, "or", Binding::Or)?),
            Infix::Cast => ExprKind::Cast(Box::new(left), self.cast_type()?),
            Infix::Is => {
                let operator = if self.take_keyword("not") { UnaryOperator::IsNotNull } else { UnaryOperator::IsNull };
                if !self.take_keyword("null") {
                    return Err(SyntaxFault::new(operator_at, "IS takes only NULL or NOT NULL")
                        .suggesting("compare other values by = or !="));
                }
                ExprKind::Unary(operator, Box::new(left))
            }
            Infix::In { negated } => {
                self.next += usize::from(negated);
                self.refuse_list()?;
                let array = Box::new(self.operation(Some(Binding::In))?);
                ExprKind::In { negated, needle: Box::new(left), array }
            }
            Infix::Json(result) => {
                let path = Box::new(self.operation(Some(Binding::Element))?);
                ExprKind::Json { result, document: Box::new(left), path }
            }
            Infix::Binary(operator) => {
                let right = self.operation(Some(infix.binding()))?;
                ExprKind::Binary(operator, Box::new(left), Box::new(right))
            }
        };
        Expr::new(at, kind)
    }

    /// The operands of a run of AND or of OR, as one flat list.
    fn chain(&mut self, first: Expr, word: &str, binding: Binding) -> Result<Vec<Expr>, SyntaxFault> {
        let mut parts = vec![first];
        loop {
            parts.push(self.operation(Some(binding))?);
            if !self.take_keyword(word) {
                return Ok(parts);
            }
        }
    }

    /// `IN` takes a JSON array; a list of SQL gets the array that says the same as a suggestion.
    fn refuse_list(&self) -> Result<(), SyntaxFault> {
        if self.peek() != Some(&Sql::LParen) {
            return Ok(());
        }
        let mut items = Vec::new();
        for index in (self.next + 1..).step_by(2) {
            let Some(token) = self.tokens.get(index) else { return Ok(()) };
            items.push(match &token.kind {
                Sql::SingleQuotedString(text) => serde_json::Value::from(text.as_str()),
                Sql::Number(digits, _) => match serde_json::from_str(digits) {
                    Ok(value) => value,
                    Err(_) => return Ok(()),
                },
                _ => return Ok(()),
            });
            match self.tokens.get(index + 1).map(|token| &token.kind) {
                Some(Sql::Comma) => {}
                // One text in brackets may be the array itself.
                Some(Sql::RParen) if matches!(items.as_slice(), [serde_json::Value::String(text)] if text.starts_with('[')) =>
                {
                    return Ok(());
                }
                Some(Sql::RParen) => break,
                _ => return Ok(()),
            }
        }
        let array = serde_json::Value::Array(items).to_string().replace('\'', "''");
        Err(SyntaxFault::new(self.at(), "IN takes a JSON array").suggesting(format!("write IN '{array}'")))
    }
}

/// An infix operator.
#[derive(Debug, Clone, Copy)]
enum Infix {
    And,
    Or,
    Is,
    In { negated: bool },
    Cast,
    Json(JsonResult),
    Binary(BinaryOperator),
}

impl Infix {
    fn binding(self) -> Binding {
        match self {
            Infix::Or => Binding::Or,
            Infix::And => Binding::And,
            Infix::Is => Binding::Is,
            Infix::In { .. } => Binding::In,
            Infix::Cast | Infix::Json(_) => Binding::Element,
            Infix::Binary(operator) => match operator {
                BinaryOperator::Compare(Comparison::Equal | Comparison::NotEqual) => Binding::Equality,
                BinaryOperator::Compare(_) => Binding::Order,
                BinaryOperator::Bits(_) => Binding::Bits,
                BinaryOperator::Calculate(Arithmetic::Add | Arithmetic::Subtract) => Binding::Sum,
                BinaryOperator::Calculate(_) => Binding::Product,
                BinaryOperator::Concatenate => Binding::Concatenation,
            },
        }
    }
}

fn keyword(token: Option<&Sql>) -> Option<String> {
    match token? {
        Sql::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_lowercase()),
        _ => None,
    }
}

fn is_reserved(word: &Word) -> bool {
    word.quote_style.is_none() && RESERVED.contains(&word.value.to_ascii_lowercase().as_str())
}

/// Operators that are words and that other databases have: they would otherwise be read as names given to columns.
fn is_later_clause(word: &Word) -> bool {
    let text = word.value.to_ascii_lowercase();
    word.quote_style.is_none() && matches!(text.as_str(), "between" | "like" | "ilike" | "similar" | "window" | "for")
}

/// Unquoted names are lower-case, as in Postgres.
fn name_of(word: &Word, at: usize) -> Name {
    let text = match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_lowercase(),
    };
    Name { text, at }
}

fn number(digits: &str, at: usize) -> Result<ExprKind, SyntaxFault> {
    if let Ok(value) = digits.parse::<i64>() {
        return Ok(ExprKind::Integer(value));
    }
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() && digits.contains(['.', 'e', 'E']) => Ok(ExprKind::Real(value)),
        _ => Err(SyntaxFault::new(at, format!("`{digits}` isn't a number of at most 64 bits"))),
    }
}
