//! What sqlparser reads: queries and expressions, handed over whole.

use sqlparser::ast::{Expr, Ident, Query, Setting};
use sqlparser::dialect::MsSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::error::{SqlError, SqlResult};

use super::super::statement::Written;
use super::{Reader, tokens, too_deep};

/// The hint that says how often a common table expression may call itself.
pub const RECURSION: &str = "MAXRECURSION";

/// sqlparser's own limit.
const DEPTH_MAX: usize = 50;

/// How deep parentheses may be nested in what sqlparser reads: it tries several readings of each, one within the other.
const PARENTHESES_MAX: usize = 24;

fn parentheses(tokens: &[TokenWithSpan]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in tokens {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

impl Reader<'_> {
    pub(super) fn expression_to(&mut self, end: usize) -> SqlResult<Expr> {
        if end <= self.at {
            return Err(self.unexpected());
        }
        let from = self.at;
        self.at = end;
        self.read_by_sqlparser(from, end, |parser| parser.parse_expr())
    }

    /// An expression up to a comma, or up to what `stops`.
    pub(super) fn expression(&mut self, stops: &[&str]) -> SqlResult<Expr> {
        let end = self.end(|lexeme| lexeme.token == Token::Comma || lexeme.is_any(stops));
        self.expression_to(end)
    }

    /// An expression and its text.
    pub(super) fn written(&mut self, stops: &[&str]) -> SqlResult<Written> {
        let from = self.at;
        let expression = self.expression(stops)?;
        Ok(Written { expression, text: self.text_between(from, self.at) })
    }

    /// `( expression )`, with the text between the parentheses.
    pub(super) fn parenthesised(&mut self) -> SqlResult<Written> {
        let close = if self.is_token(&Token::LParen) { self.closing(self.at)? } else { return Err(self.unexpected()) };
        self.at += 1;
        let from = self.at;
        let expression = self.expression_to(close)?;
        self.at = close + 1;
        Ok(Written { expression, text: self.text_between(from, close) })
    }

    /// A whole query, from SELECT or WITH or a parenthesis to the end of the statement.
    pub(super) fn query(&mut self) -> SqlResult<Box<Query>> {
        let from = self.at;
        // The SELECT that follows common table expressions begins no statement of its own.
        let after_with = if self.is("WITH") { self.after_common_tables()? } else { self.at };
        self.at = after_with;
        let end = self.end(|lexeme| lexeme.is("OPTION"));
        self.at = end;
        let recursion_max = self.option()?;
        let mut query = self.read_by_sqlparser(from, end, |parser| parser.parse_query())?;
        query.settings = recursion_max;
        Ok(query)
    }

    /// A query up to a place that is known.
    pub(super) fn query_to(&mut self, end: usize) -> SqlResult<Box<Query>> {
        let from = self.at;
        self.at = end;
        self.read_by_sqlparser(from, end, |parser| parser.parse_query())
    }

    /// The first token after `WITH a AS (…), b AS (…)`.
    pub(super) fn after_common_tables(&self) -> SqlResult<usize> {
        let mut at = self.at;
        let mut depth = 0_usize;
        while let Some(lexeme) = self.lexemes.get(at) {
            match lexeme.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ if depth == 0 && lexeme.is_any(&["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"]) => return Ok(at),
                _ => {}
            }
            at += 1;
        }
        Err(self.unexpected_at(at))
    }

    /// Hints for the optimizer change no result, but for `MAXRECURSION`, which is handed on as a setting of the query.
    pub(super) fn option(&mut self) -> SqlResult<Option<Vec<Setting>>> {
        if !self.is("OPTION") || !self.is_token_at(1, &Token::LParen) {
            return Ok(None);
        }
        self.at += 1;
        let close = self.closing(self.at)?;
        let mut settings = None;
        for at in self.at..close {
            if let (Some(word), Some(Token::Number(digits, _))) =
                (self.lexemes.get(at), self.lexemes.get(at + 1).map(|next| &next.token))
                && word.is(RECURSION)
            {
                let value = Expr::value(sqlparser::ast::Value::Number(digits.clone(), false));
                settings = Some(vec![Setting { key: Ident::new(RECURSION), value }]);
            }
        }
        self.at = close + 1;
        Ok(settings)
    }

    pub(super) fn skip_option(&mut self) -> SqlResult<()> {
        self.option().map(|_| ())
    }

    /// A query made of some tokens written by us and some of the text.
    pub(super) fn query_of(&self, before: &str, ranges: &[(usize, usize)]) -> SqlResult<Box<Query>> {
        let mut tokens = tokens::for_sqlparser(&tokens::lexemes(before)?);
        let own = tokens.len();
        let mut origin = vec![0; own];
        for (from, to) in ranges {
            let part = self.lexemes.get(*from..*to).unwrap_or_default();
            tokens.extend(tokens::for_sqlparser(part));
            origin.extend(*from..*to);
        }
        self.run_sqlparser(tokens, &origin, |parser| parser.parse_query())
    }

    pub(super) fn read_by_sqlparser<T>(
        &self,
        from: usize,
        to: usize,
        read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
    ) -> SqlResult<T> {
        let lexemes = self.lexemes.get(from..to).unwrap_or_default();
        if let Some((joined, origin)) = super::compound::joined(lexemes, from) {
            return self.run_sqlparser(tokens::for_sqlparser(&joined), &origin, read);
        }
        let origin: Vec<usize> = (from..to).collect();
        self.run_sqlparser(tokens::for_sqlparser(lexemes), &origin, read)
    }

    /// Runs sqlparser over tokens; `origin` says for each where in our tokens it comes from.
    pub(super) fn run_sqlparser<T>(
        &self,
        tokens: Vec<TokenWithSpan>,
        origin: &[usize],
        read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
    ) -> SqlResult<T> {
        let dialect = MsSqlDialect {};
        let count = tokens.len();
        // Each token's column is its place among them, by which an error tells which one it is about.
        let place = |(at, token): (usize, TokenWithSpan)| {
            let location = Location::new(1, u64::try_from(at).unwrap_or(0) + 1);
            TokenWithSpan::at(token.token, location, location)
        };
        let tokens: Vec<TokenWithSpan> = tokens.into_iter().enumerate().map(place).collect();
        if parentheses(&tokens) > PARENTHESES_MAX {
            return Err(too_deep());
        }
        let mut parser = Parser::new(&dialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
        let result = read(&mut parser);
        let end = origin.last().map_or(self.lexemes.len(), |last| last + 1);
        let here = |index: usize| self.unexpected_at(origin.get(index).copied().unwrap_or(end));
        match result {
            Ok(read) if parser.index() >= count => Ok(read),
            Ok(_) => Err(here(parser.index())),
            Err(ParserError::RecursionLimitExceeded) => Err(SqlError::new(
                191,
                15,
                "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.",
            )),
            Err(ParserError::ParserError(text) | ParserError::TokenizerError(text)) => {
                let column = text.rsplit_once("Column: ").and_then(|(_, column)| column.trim().parse::<usize>().ok());
                let index = column.and_then(|column| column.checked_sub(1)).unwrap_or_else(|| parser.index());
                Err(here(index.min(count)))
            }
        }
    }
}
