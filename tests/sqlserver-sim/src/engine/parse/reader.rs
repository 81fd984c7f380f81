//! The way through a batch's tokens: looking at them, taking them, and finding where something ends.

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{Name, TypeName};
use super::tokens::Lexeme;
use super::{Reader, STATEMENT_WORDS};

impl Reader<'_> {
    // Looking

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.lexemes.len()
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<&Lexeme> {
        self.lexemes.get(self.at + ahead)
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.peek(0).is_some_and(|lexeme| lexeme.is(word))
    }

    pub(super) fn is_at(&self, ahead: usize, word: &str) -> bool {
        self.peek(ahead).is_some_and(|lexeme| lexeme.is(word))
    }

    pub(super) fn is_token(&self, token: &Token) -> bool {
        self.peek(0).is_some_and(|lexeme| lexeme.token == *token)
    }

    pub(super) fn is_token_at(&self, ahead: usize, token: &Token) -> bool {
        self.peek(ahead).is_some_and(|lexeme| lexeme.token == *token)
    }

    pub(super) fn line(&self) -> u32 {
        self.peek(0).or(self.lexemes.last()).map_or(1, |lexeme| lexeme.line)
    }

    /// The error for the token that stands here.
    pub(super) fn unexpected(&self) -> SqlError {
        self.unexpected_at(self.at)
    }

    pub(super) fn unexpected_at(&self, at: usize) -> SqlError {
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

    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    /// Takes all of the words or none.
    pub(super) fn take_all(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(ahead, word)| self.is_at(ahead, word));
        if found {
            self.at += words.len();
        }
        found
    }

    pub(super) fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(word))
    }

    pub(super) fn take_token(&mut self, token: &Token) -> bool {
        let found = self.is_token(token);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, word: &str) -> SqlResult<()> {
        if self.take(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> SqlResult<()> {
        if self.take_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn skip_semicolons(&mut self) {
        while self.take_token(&Token::SemiColon) {}
    }

    /// A name of one part, quoted or not.
    pub(super) fn identifier(&mut self) -> SqlResult<String> {
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
    pub(super) fn variable(&mut self) -> SqlResult<String> {
        match self.peek(0).and_then(Lexeme::word) {
            Some(word) if word.starts_with('@') => {
                let name = word.to_owned();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn is_variable(&self) -> bool {
        self.peek(0).and_then(Lexeme::word).is_some_and(|word| word.starts_with('@'))
    }

    pub(super) fn parts(&mut self) -> SqlResult<Vec<String>> {
        let mut parts = vec![self.identifier()?];
        while self.take_token(&Token::Period) {
            // `database..object` leaves the schema out.
            parts.push(if self.is_token(&Token::Period) { String::new() } else { self.identifier()? });
        }
        Ok(parts)
    }

    pub(super) fn name(&mut self) -> SqlResult<Name> {
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
    pub(super) fn string_or_identifier(&mut self) -> SqlResult<String> {
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
    pub(super) fn integer(&mut self) -> SqlResult<i64> {
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

    pub(super) fn type_name(&mut self) -> SqlResult<TypeName> {
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
    pub(super) fn parenthesised_names(&mut self) -> SqlResult<Vec<String>> {
        self.expect_token(&Token::LParen)?;
        let mut names = vec![self.identifier()?];
        while self.take_token(&Token::Comma) {
            names.push(self.identifier()?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    /// Passes over `( … )`.
    pub(super) fn skip_parenthesised(&mut self) -> SqlResult<()> {
        if !self.is_token(&Token::LParen) {
            return Err(self.unexpected());
        }
        self.at = self.closing(self.at)? + 1;
        Ok(())
    }

    // Ends

    /// The parenthesis that closes the one at `open`.
    pub(super) fn closing(&self, open: usize) -> SqlResult<usize> {
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
    pub(super) fn end(&self, stops: impl Fn(&Lexeme) -> bool) -> usize {
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
    pub(super) fn begins_statement(&self, at: usize) -> bool {
        let (Some(lexeme), previous) = (self.lexemes.get(at), at.checked_sub(1).and_then(|at| self.lexemes.get(at)))
        else {
            return false;
        };
        if at == self.at || previous.is_some_and(|previous| previous.token == Token::Period) {
            return false;
        }
        let after = |words: &[&str]| previous.is_some_and(|previous| previous.is_any(words));
        let next = |word: &str| self.lexemes.get(at + 1).is_some_and(|next| next.is(word));
        // A label.
        if lexeme.word().is_some() && self.lexemes.get(at + 1).is_some_and(|next| next.token == Token::Colon) {
            return true;
        }
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

    // Text

    pub(super) fn text_between(&self, from: usize, to: usize) -> String {
        let start = self.lexemes.get(from).map_or(self.text.len(), |lexeme| lexeme.start);
        let end = to.checked_sub(1).and_then(|last| self.lexemes.get(last)).map_or(start, |lexeme| lexeme.end);
        self.text.get(start..end).unwrap_or_default().to_owned()
    }
}
