//! Reads batches: where statements begin and end is found here, token by token, as T-SQL needs no semicolons; queries and
//! expressions are handed to sqlparser whole, which must read all that it is handed.

mod control;
mod data;
mod definition;
mod module;
mod security;
mod table;
mod tokens;

use std::sync::Arc;

use sqlparser::ast::{Expr, Query};
use sqlparser::dialect::MsSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::error::{SqlError, SqlResult};

use super::statement::{Kind, Name, Statement, TypeName, Written};
use tokens::Lexeme;

pub use tokens::QUOTED;

/// sqlparser's own limit.
const DEPTH_MAX: usize = 50;

/// Reads a batch.
///
/// # Errors
/// 102, 105, 113 and 156 where it can't be read, with the line.
pub fn batch(text: &str) -> SqlResult<Vec<Statement>> {
    let mut reader = Reader::new(text)?;
    let mut statements = Vec::new();
    reader.skip_semicolons();
    while !reader.is_at_end() {
        statements.push(reader.statement(statements.is_empty())?);
        reader.skip_semicolons();
    }
    Ok(statements)
}

/// Reads one expression: a default, a check, a computed column.
///
/// # Errors
/// As [`batch`].
pub fn expression(text: &str) -> SqlResult<Expr> {
    let mut reader = Reader::new(text)?;
    let end = reader.lexemes.len();
    reader.expression_to(end)
}

/// Reads a type: `decimal(10,2)`.
///
/// # Errors
/// As [`batch`].
pub fn type_name(text: &str) -> SqlResult<TypeName> {
    let mut reader = Reader::new(text)?;
    let name = reader.type_name()?;
    if reader.is_at_end() { Ok(name) } else { Err(reader.unexpected()) }
}

/// Reads a name of up to three parts: what `OBJECT_ID` and `sp_rename` are given.
///
/// # Errors
/// As [`batch`].
pub fn name(text: &str) -> SqlResult<Name> {
    let mut reader = Reader::new(text)?;
    let name = reader.name()?;
    if reader.is_at_end() { Ok(name) } else { Err(reader.unexpected()) }
}

/// Reads the parts of a dotted name, quotes taken off.
///
/// # Errors
/// As [`batch`].
pub fn name_parts(text: &str) -> SqlResult<Vec<String>> {
    let mut reader = Reader::new(text)?;
    let parts = reader.parts()?;
    if reader.is_at_end() { Ok(parts) } else { Err(reader.unexpected()) }
}

/// How deep blocks, branches and loops may be nested.
const STATEMENTS_DEPTH_MAX: usize = 24;

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

fn too_deep() -> SqlError {
    SqlError::new(
        191,
        15,
        "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.",
    )
}

struct Reader<'a> {
    text: &'a str,
    lexemes: Vec<Lexeme>,
    at: usize,
    depth: usize,
}

/// Words with which a statement begins, wherever they stand outside of parentheses. All are reserved.
const STATEMENT_WORDS: &[&str] = &[
    "ALTER",
    "BACKUP",
    "BEGIN",
    "BREAK",
    "CHECKPOINT",
    "CLOSE",
    "COMMIT",
    "CONTINUE",
    "CREATE",
    "DBCC",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DENY",
    "DROP",
    "EXEC",
    "EXECUTE",
    "GOTO",
    "GRANT",
    "IF",
    "INSERT",
    "KILL",
    "OPEN",
    "PRINT",
    "RAISERROR",
    "RECONFIGURE",
    "RESTORE",
    "RETURN",
    "REVERT",
    "REVOKE",
    "ROLLBACK",
    "SAVE",
    "SET",
    "SHUTDOWN",
    "TRUNCATE",
    "UPDATE",
    "USE",
    "WAITFOR",
    "WHILE",
];

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> SqlResult<Self> {
        Ok(Self { text, lexemes: tokens::lexemes(text)?, at: 0, depth: 0 })
    }

    // Looking

    fn is_at_end(&self) -> bool {
        self.at >= self.lexemes.len()
    }

    fn peek(&self, ahead: usize) -> Option<&Lexeme> {
        self.lexemes.get(self.at + ahead)
    }

    fn is(&self, word: &str) -> bool {
        self.peek(0).is_some_and(|lexeme| lexeme.is(word))
    }

    fn is_at(&self, ahead: usize, word: &str) -> bool {
        self.peek(ahead).is_some_and(|lexeme| lexeme.is(word))
    }

    fn is_token(&self, token: &Token) -> bool {
        self.peek(0).is_some_and(|lexeme| lexeme.token == *token)
    }

    fn is_token_at(&self, ahead: usize, token: &Token) -> bool {
        self.peek(ahead).is_some_and(|lexeme| lexeme.token == *token)
    }

    fn line(&self) -> u32 {
        self.peek(0).or(self.lexemes.last()).map_or(1, |lexeme| lexeme.line)
    }

    /// The error for the token that stands here.
    fn unexpected(&self) -> SqlError {
        self.unexpected_at(self.at)
    }

    fn unexpected_at(&self, at: usize) -> SqlError {
        match self.lexemes.get(at) {
            Some(lexeme)
                if lexeme.is_any(STATEMENT_WORDS)
                    || lexeme.is_any(&[
                        "SELECT", "FROM", "WHERE", "END", "ELSE", "AND", "OR", "ORDER", "BY", "AS", "TABLE", "WITH",
                        "INTO", "VALUES", "ON", "JOIN",
                    ]) =>
            {
                let text = format!("Incorrect syntax near the keyword '{}'.", lexeme.shown());
                SqlError::new(156, 15, text).at_line(lexeme.line)
            }
            Some(lexeme) => SqlError::syntax_near(&lexeme.shown()).at_line(lexeme.line),
            None => {
                let last = self.lexemes.last();
                SqlError::syntax_near(&last.map(Lexeme::shown).unwrap_or_default())
                    .at_line(last.map_or(1, |last| last.line))
            }
        }
    }

    // Taking

    fn take(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    /// Takes all of the words or none.
    fn take_all(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(ahead, word)| self.is_at(ahead, word));
        if found {
            self.at += words.len();
        }
        found
    }

    fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(word))
    }

    fn take_token(&mut self, token: &Token) -> bool {
        let found = self.is_token(token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, word: &str) -> SqlResult<()> {
        if self.take(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_token(&mut self, token: &Token) -> SqlResult<()> {
        if self.take_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn skip_semicolons(&mut self) {
        while self.take_token(&Token::SemiColon) {}
    }

    /// A name of one part, quoted or not.
    fn identifier(&mut self) -> SqlResult<String> {
        match self.peek(0).map(|lexeme| &lexeme.token) {
            Some(Token::Word(word)) => {
                let name = word.value.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A variable, with its `@`.
    fn variable(&mut self) -> SqlResult<String> {
        match self.peek(0).and_then(Lexeme::word) {
            Some(word) if word.starts_with('@') => {
                let name = word.to_owned();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn is_variable(&self) -> bool {
        self.peek(0).and_then(Lexeme::word).is_some_and(|word| word.starts_with('@'))
    }

    fn parts(&mut self) -> SqlResult<Vec<String>> {
        let mut parts = vec![self.identifier()?];
        while self.take_token(&Token::Period) {
            // `database..object` leaves the schema out.
            parts.push(if self.is_token(&Token::Period) { String::new() } else { self.identifier()? });
        }
        Ok(parts)
    }

    fn name(&mut self) -> SqlResult<Name> {
        let at = self.at;
        let mut parts = self.parts()?.into_iter().rev();
        let filled = |part: Option<String>| part.filter(|part| !part.is_empty());
        let (object, schema, database) = (parts.next(), filled(parts.next()), filled(parts.next()));
        if parts.next().is_some() {
            return Err(SqlError::unsupported("names of four parts"));
        }
        match object {
            Some(object) => Ok(Name { database, schema, object }),
            None => Err(self.unexpected_at(at)),
        }
    }

    /// A string, or a name.
    fn string_or_identifier(&mut self) -> SqlResult<String> {
        match self.peek(0).map(|lexeme| &lexeme.token) {
            Some(Token::SingleQuotedString(text) | Token::NationalStringLiteral(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => self.identifier(),
        }
    }

    /// A whole number with an optional sign.
    fn integer(&mut self) -> SqlResult<i64> {
        let negative = self.take_token(&Token::Minus);
        match self.peek(0).map(|lexeme| &lexeme.token) {
            Some(Token::Number(digits, _)) => {
                let number: i64 = digits.parse().map_err(|_| self.unexpected())?;
                self.at += 1;
                Ok(if negative { -number } else { number })
            }
            _ => Err(self.unexpected()),
        }
    }

    fn type_name(&mut self) -> SqlResult<TypeName> {
        let mut name = self.name()?;
        // Types of two words.
        for (first, second, plain) in
            [("double", "precision", "float"), ("char", "varying", "varchar"), ("character", "varying", "varchar")]
        {
            if name.object.eq_ignore_ascii_case(first) && self.take(second) {
                plain.clone_into(&mut name.object);
            }
        }
        let mut arguments = Vec::new();
        if self.is_token(&Token::LParen) {
            self.at += 1;
            loop {
                let lexeme = self.peek(0).ok_or_else(|| self.unexpected())?;
                arguments.push(lexeme.shown());
                self.at += 1;
                if !self.take_token(&Token::Comma) {
                    break;
                }
            }
            self.expect_token(&Token::RParen)?;
        }
        Ok(TypeName { name, arguments })
    }

    /// `(a, b, c)`.
    fn parenthesised_names(&mut self) -> SqlResult<Vec<String>> {
        self.expect_token(&Token::LParen)?;
        let mut names = vec![self.identifier()?];
        while self.take_token(&Token::Comma) {
            names.push(self.identifier()?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    /// Passes over `( … )`.
    fn skip_parenthesised(&mut self) -> SqlResult<()> {
        if !self.is_token(&Token::LParen) {
            return Err(self.unexpected());
        }
        self.at = self.closing(self.at)? + 1;
        Ok(())
    }

    // Ends

    /// The parenthesis that closes the one at `open`.
    fn closing(&self, open: usize) -> SqlResult<usize> {
        let mut depth = 0_usize;
        for (at, lexeme) in self.lexemes.iter().enumerate().skip(open) {
            match lexeme.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 1 => return Ok(at),
                Token::RParen => depth -= 1,
                _ => {}
            }
        }
        Err(self.unexpected_at(self.lexemes.len()))
    }

    /// Where what begins here ends: before a semicolon, a closing parenthesis, the next statement, or the first token
    /// that `stops`, all outside of parentheses and CASE.
    fn end(&self, stops: impl Fn(&Lexeme) -> bool) -> usize {
        let (mut depth, mut cases) = (0_usize, 0_usize);
        for (at, lexeme) in self.lexemes.iter().enumerate().skip(self.at) {
            match lexeme.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => return at,
                Token::RParen => depth -= 1,
                _ if depth > 0 => {}
                Token::SemiColon => return at,
                _ if lexeme.is("CASE") => cases += 1,
                _ if lexeme.is("END") && cases > 0 => cases -= 1,
                _ if cases > 0 => {}
                _ if stops(lexeme) || self.begins_statement(at) => return at,
                _ => {}
            }
        }
        self.lexemes.len()
    }

    /// Whether a statement begins at a token outside of parentheses and CASE, seen from within what was begun at
    /// `self.at`.
    fn begins_statement(&self, at: usize) -> bool {
        let (Some(lexeme), previous) = (self.lexemes.get(at), at.checked_sub(1).and_then(|at| self.lexemes.get(at)))
        else {
            return false;
        };
        if at == self.at || previous.is_some_and(|previous| previous.token == Token::Period) {
            return false;
        }
        let after = |words: &[&str]| previous.is_some_and(|previous| previous.is_any(words));
        let next = |word: &str| self.lexemes.get(at + 1).is_some_and(|next| next.is(word));
        if lexeme.is("SELECT") {
            return !after(&["UNION", "ALL", "EXCEPT", "INTERSECT"]);
        }
        if lexeme.is("MERGE") {
            return !next("JOIN");
        }
        if lexeme.is("FETCH") {
            return !after(&["ROW", "ROWS"]);
        }
        if lexeme.is("UPDATE") {
            return !after(&["FOR"]) && self.lexemes.get(at + 1).is_none_or(|next| next.token != Token::LParen);
        }
        lexeme.is_any(STATEMENT_WORDS) || lexeme.is_any(&["END", "ELSE"])
    }

    // sqlparser's part

    fn expression_to(&mut self, end: usize) -> SqlResult<Expr> {
        if end <= self.at {
            return Err(self.unexpected());
        }
        let from = self.at;
        self.at = end;
        self.read_by_sqlparser(from, end, |parser| parser.parse_expr())
    }

    /// An expression up to a comma, or up to what `stops`.
    fn expression(&mut self, stops: &[&str]) -> SqlResult<Expr> {
        let end = self.end(|lexeme| lexeme.token == Token::Comma || lexeme.is_any(stops));
        self.expression_to(end)
    }

    /// An expression and its text.
    fn written(&mut self, stops: &[&str]) -> SqlResult<Written> {
        let from = self.at;
        let expression = self.expression(stops)?;
        Ok(Written { expression, text: self.text_between(from, self.at) })
    }

    /// `( expression )`, with the text between the parentheses.
    fn parenthesised(&mut self) -> SqlResult<Written> {
        let close = if self.is_token(&Token::LParen) { self.closing(self.at)? } else { return Err(self.unexpected()) };
        self.at += 1;
        let from = self.at;
        let expression = self.expression_to(close)?;
        self.at = close + 1;
        Ok(Written { expression, text: self.text_between(from, close) })
    }

    /// A whole query, from SELECT or WITH or a parenthesis to the end of the statement.
    fn query(&mut self) -> SqlResult<Box<Query>> {
        let from = self.at;
        // The SELECT that follows common table expressions begins no statement of its own.
        let after_with = if self.is("WITH") { self.after_common_tables()? } else { self.at };
        self.at = after_with;
        let end = self.end(|lexeme| lexeme.is("OPTION"));
        self.at = end;
        self.skip_option()?;
        self.read_by_sqlparser(from, end, |parser| parser.parse_query())
    }

    /// The first token after `WITH a AS (…), b AS (…)`.
    fn after_common_tables(&self) -> SqlResult<usize> {
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

    /// Hints for the optimizer change no result.
    fn skip_option(&mut self) -> SqlResult<()> {
        if self.is("OPTION") && self.is_token_at(1, &Token::LParen) {
            self.at += 1;
            self.skip_parenthesised()?;
        }
        Ok(())
    }

    /// A query made of some tokens written by us and some of the text.
    fn query_of(&self, before: &str, ranges: &[(usize, usize)]) -> SqlResult<Box<Query>> {
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

    fn read_by_sqlparser<T>(
        &self,
        from: usize,
        to: usize,
        read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
    ) -> SqlResult<T> {
        let tokens = tokens::for_sqlparser(self.lexemes.get(from..to).unwrap_or_default());
        let origin: Vec<usize> = (from..to).collect();
        self.run_sqlparser(tokens, &origin, read)
    }

    /// Runs sqlparser over tokens; `origin` says for each where in our tokens it comes from.
    fn run_sqlparser<T>(
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

    // Text

    fn text_between(&self, from: usize, to: usize) -> String {
        let start = self.lexemes.get(from).map_or(self.text.len(), |lexeme| lexeme.start);
        let end = to.checked_sub(1).and_then(|last| self.lexemes.get(last)).map_or(start, |lexeme| lexeme.end);
        self.text.get(start..end).unwrap_or_default().to_owned()
    }

    // Statements

    /// `first`: whether it is the batch's first, which may be a procedure's name without EXEC.
    fn statement(&mut self, first: bool) -> SqlResult<Statement> {
        self.depth += 1;
        if self.depth > STATEMENTS_DEPTH_MAX {
            return Err(SqlError::new(
                191,
                15,
                "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.",
            ));
        }
        let (from, line) = (self.at, self.line());
        let kind = self.kind(first).map_err(|error| error.at_line(line))?;
        self.depth -= 1;
        Ok(Statement { kind, line, text: Arc::from(self.text_between(from, self.at)) })
    }

    fn kind(&mut self, first: bool) -> SqlResult<Kind> {
        let Some(lexeme) = self.peek(0) else { return Err(self.unexpected()) };
        if lexeme.token == Token::LParen {
            return self.query().map(Kind::Select);
        }
        let Some(word) = lexeme.word() else {
            return if first { self.bare_procedure() } else { Err(self.unexpected()) };
        };
        match word.to_ascii_uppercase().as_str() {
            "SELECT" => self.query().map(Kind::Select),
            "WITH" => self.with_common_tables(),
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" => self.data_statement(None),
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop_statement(),
            "GRANT" | "DENY" | "REVOKE" => self.permission(),
            "ENABLE" | "DISABLE" if self.is_at(1, "TRIGGER") => self.trigger_state(),
            upper => match self.control(upper)? {
                Some(kind) => Ok(kind),
                None if first => self.bare_procedure(),
                None => Err(self.unexpected()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
