//! Walking over a statement's tokens.

use std::collections::BTreeSet;

use millstream_core::schema::TableName;

use super::Context;
use super::lexer::{Lexer, SqlMode, Token};
use super::names::UNDECODABLE;
use super::statement::Suspects;

/// A statement that names more tables than this is said to concern all.
const SUSPECTS_MAX: usize = 10_000;

/// A place in a statement.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    lexer: Lexer<'a>,
    next: Option<Token<'a>>,
    context: &'a Context<'a>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, context: &'a Context<'a>) -> Self {
        let mut lexer = Lexer::new(text, context.mode, context.version);
        let next = lexer.next();
        Self { lexer, next, context }
    }

    pub(super) fn mode(&self) -> SqlMode {
        self.context.mode
    }

    /// The next token.
    pub(super) fn peek(&self) -> Option<&Token<'a>> {
        self.next.as_ref()
    }

    /// Takes the next token.
    pub(super) fn bump(&mut self) -> Option<Token<'a>> {
        std::mem::replace(&mut self.next, self.lexer.next())
    }

    pub(super) fn at(&self, keyword: &str) -> bool {
        self.next.as_ref().is_some_and(|token| token.is(keyword))
    }

    pub(super) fn at_any(&self, keywords: &[&str]) -> bool {
        self.next.as_ref().is_some_and(|token| token.is_any(keywords))
    }

    pub(super) fn at_symbol(&self, symbol: char) -> bool {
        self.next == Some(Token::Symbol(symbol))
    }

    /// Takes the keyword if it is next.
    pub(super) fn eat(&mut self, keyword: &str) -> bool {
        let eaten = self.at(keyword);
        if eaten {
            self.bump();
        }
        eaten
    }

    /// Takes one of the keywords if it is next.
    pub(super) fn eat_any(&mut self, keywords: &[&str]) -> bool {
        let eaten = self.at_any(keywords);
        if eaten {
            self.bump();
        }
        eaten
    }

    /// Takes these keywords if all of them are next, in this order; none of them otherwise.
    pub(super) fn eat_all(&mut self, keywords: &[&str]) -> bool {
        let mut ahead = self.clone();
        let eaten = keywords.iter().all(|keyword| ahead.eat(keyword));
        if eaten {
            *self = ahead;
        }
        eaten
    }

    pub(super) fn eat_symbol(&mut self, symbol: char) -> bool {
        let eaten = self.at_symbol(symbol);
        if eaten {
            self.bump();
        }
        eaten
    }

    /// Whether nothing follows but a semicolon.
    pub(super) fn at_end(&self) -> bool {
        let mut ahead = self.clone();
        while ahead.eat_symbol(';') {}
        ahead.next.is_none()
    }

    /// Takes `IF EXISTS` or `IF NOT EXISTS`; says whether the latter was there.
    pub(super) fn eat_if_exists(&mut self) -> bool {
        let not = self.eat_all(&["IF", "NOT", "EXISTS"]);
        if !not {
            self.eat_all(&["IF", "EXISTS"]);
        }
        not
    }

    /// Takes MariaDB's `WAIT n` or `NOWAIT`.
    pub(super) fn eat_wait(&mut self) {
        if self.eat("WAIT") {
            self.bump();
        } else {
            self.eat("NOWAIT");
        }
    }

    /// Takes a name of one part.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = self.next.as_ref()?.as_name(false)?.to_owned();
        self.bump();
        Some(self.context.names.fold(&name))
    }

    /// Takes a table's name, with its database's or without.
    pub(super) fn table(&mut self) -> Option<TableName> {
        let parts = self.path()?;
        match parts.as_slice() {
            [name] => Some(self.in_default(name)),
            [database, name] => Some(TableName::new(database, name)),
            _ => None,
        }
    }

    /// Takes table names between commas.
    pub(super) fn tables(&mut self) -> Option<Vec<TableName>> {
        let mut tables = vec![self.table()?];
        while self.eat_symbol(',') {
            tables.push(self.table()?);
        }
        Some(tables)
    }

    fn in_default(&self, name: &str) -> TableName {
        TableName::new(self.context.names.fold(self.context.database), name)
    }

    /// Takes names with dots between them, folded: `a`, `a.b`, `.b`.
    fn path(&mut self) -> Option<Vec<String>> {
        // ODBC writes `.t` for a table of the default database.
        let mut after_dot = self.at_symbol('.');
        let mut ahead = self.clone();
        ahead.eat_symbol('.');
        let mut parts = Vec::new();
        loop {
            let part = ahead.next.as_ref()?.as_name(after_dot)?;
            parts.push(self.context.names.fold(part));
            ahead.bump();
            if !ahead.eat_symbol('.') {
                *self = ahead;
                return Some(parts);
            }
            after_dot = true;
        }
    }

    /// Every table that the rest of the statement could name. A name of several parts may be database and table, table
    /// and column, or all three.
    pub(super) fn suspects(mut self) -> Suspects {
        let mut tables = BTreeSet::new();
        while self.next.is_some() {
            let Some(parts) = self.path() else {
                self.bump();
                continue;
            };
            let database_and_table = parts.windows(2).filter_map(|pair| match pair {
                [database, name] => Some(TableName::new(database, name)),
                _ => None,
            });
            tables.extend(database_and_table);
            tables.extend(parts.first().map(|name| self.in_default(name)));
            if tables.len() > SUSPECTS_MAX {
                return Suspects::Everything;
            }
        }
        match tables.iter().any(|table| table.schema.contains(UNDECODABLE) || table.name.contains(UNDECODABLE)) {
            true => Suspects::Everything,
            false => Suspects::Named(tables),
        }
    }

    /// Reads to the end; says whether the text was read as the server must have read it.
    pub(super) fn reads_whole(mut self) -> bool {
        while self.bump().is_some() {}
        !self.lexer.is_damaged()
    }
}
