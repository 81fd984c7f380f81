//! Cursors: DECLARE, OPEN, FETCH, CLOSE, DEALLOCATE.

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{CursorDefinition, CursorName, Fetch, Kind};
use super::Reader;

impl Reader<'_> {
    /// Whether `name [INSENSITIVE] [SCROLL] CURSOR` stands here, the name not being a variable.
    pub(super) fn begins_cursor(&self) -> bool {
        !self.is_variable() && (1..=3).any(|ahead| self.is_at(ahead, "CURSOR"))
    }

    /// `c CURSOR LOCAL FAST_FORWARD FOR SELECT …`, from the name on.
    pub(super) fn cursor_declaration(&mut self) -> SqlResult<Kind> {
        let name = self.identifier()?;
        let (mut local, mut scroll) = (false, false);
        while !self.take("CURSOR") {
            if self.take("SCROLL") {
                scroll = true;
            } else {
                self.expect("INSENSITIVE")?;
            }
        }
        let definition = self.cursor_definition(&mut local, &mut scroll)?;
        Ok(Kind::DeclareCursor { name: CursorName { name, global: !local }, definition })
    }

    /// The options after CURSOR, and the query.
    pub(super) fn cursor_definition(&mut self, local: &mut bool, scroll: &mut bool) -> SqlResult<CursorDefinition> {
        while !self.take("FOR") {
            if self.take("LOCAL") {
                *local = true;
            } else if self.take_any(&["SCROLL", "STATIC"]) {
                *scroll = true;
            } else if self.is("KEYSET") || self.is("DYNAMIC") || self.is("SCROLL_LOCKS") || self.is("OPTIMISTIC") {
                return Err(SqlError::unsupported(
                    "cursors that follow changes (KEYSET, DYNAMIC) or lock what they read",
                ));
            } else if !self.take_any(&["GLOBAL", "FORWARD_ONLY", "FAST_FORWARD", "READ_ONLY", "TYPE_WARNING"]) {
                return Err(self.unexpected());
            }
        }
        let end = self.cursor_query_end()?;
        let query = self.query_to(end)?;
        if self.take("FOR") {
            if self.take("UPDATE") {
                return Err(SqlError::unsupported("cursors FOR UPDATE"));
            }
            if !self.take_all(&["READ", "ONLY"]) {
                return Err(self.unexpected());
            }
        }
        Ok(CursorDefinition { query, scroll: *scroll })
    }

    /// The query ends with the statement, or at FOR UPDATE and FOR READ ONLY, which no other FOR of a query is followed
    /// by.
    fn cursor_query_end(&mut self) -> SqlResult<usize> {
        let from = self.at;
        self.at = if self.is("WITH") { self.after_common_tables()? } else { from };
        let end = self.statement_end();
        self.at = from;
        let of_cursor = |at: &usize| {
            let word = |at: usize, words: &[&str]| self.lexemes.get(at).is_some_and(|lexeme| lexeme.is_any(words));
            word(*at, &["FOR"]) && word(at + 1, &["UPDATE", "READ"])
        };
        Ok((from..end).find(of_cursor).unwrap_or(end))
    }

    fn cursor_name(&mut self) -> SqlResult<CursorName> {
        let global = self.is("GLOBAL") && !self.is_token_at(1, &Token::SemiColon) && self.take("GLOBAL");
        Ok(CursorName { name: self.identifier()?, global })
    }

    pub(super) fn open_cursor(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        self.cursor_name().map(Kind::OpenCursor)
    }

    pub(super) fn close_cursor(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        self.cursor_name().map(Kind::CloseCursor)
    }

    pub(super) fn deallocate_cursor(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        self.cursor_name().map(Kind::DeallocateCursor)
    }

    /// `FETCH NEXT FROM c INTO @a, @b`.
    pub(super) fn fetch_cursor(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        let fetch = if self.take("NEXT") {
            Fetch::Next
        } else if self.take("PRIOR") {
            Fetch::Prior
        } else if self.take("FIRST") {
            Fetch::First
        } else if self.take("LAST") {
            Fetch::Last
        } else if self.take("ABSOLUTE") {
            Fetch::Absolute(self.expression(&["FROM"])?)
        } else if self.take("RELATIVE") {
            Fetch::Relative(self.expression(&["FROM"])?)
        } else {
            Fetch::Next
        };
        let _ = self.take("FROM");
        let name = self.cursor_name()?;
        let mut into = Vec::new();
        if self.take("INTO") {
            into.push(self.variable()?);
            while self.take_token(&Token::Comma) {
                into.push(self.variable()?);
            }
        }
        Ok(Kind::FetchCursor { fetch, name, into })
    }
}
