//! Tokens with their offsets.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Location, Token as SqlToken, Tokenizer};

use super::syntax::SyntaxFault;
use crate::lines::Lines;

/// Longer queries are refused.
const TOKENS_MAX: usize = 20_000;

/// One token that isn't white space or a comment.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: SqlToken,
    /// Where it begins in the text, in bytes.
    pub(super) at: usize,
}

/// Cuts a text into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxFault> {
    let lines = Lines::new(text);
    let offset = |location: Location| lines.offset(location.line, location.column);
    let raw = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().map_err(|error| {
        SyntaxFault::new(offset(error.location), format!("this isn't SQL: {}", lower_first(&error.message)))
    })?;
    let tokens: Vec<Token> = raw
        .into_iter()
        .filter(|token| !matches!(token.token, SqlToken::Whitespace(_) | SqlToken::EOF))
        .map(|token| Token { at: offset(token.span.start), kind: token.token })
        .collect();
    match tokens.get(TOKENS_MAX) {
        Some(token) => Err(SyntaxFault::new(token.at, format!("the query is longer than {TOKENS_MAX} words"))),
        None => Ok(tokens),
    }
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
