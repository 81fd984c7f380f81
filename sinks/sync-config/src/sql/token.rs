//! Tokens with their offsets.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Location, Token as SqlToken, Tokenizer};

use super::syntax::SyntaxFault;

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
    let raw = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().map_err(|error| {
        SyntaxFault::new(lines.offset(error.location), format!("this isn't SQL: {}", lower_first(&error.message)))
    })?;
    let tokens: Vec<Token> = raw
        .into_iter()
        .filter(|token| !matches!(token.token, SqlToken::Whitespace(_) | SqlToken::EOF))
        .map(|token| Token { at: lines.offset(token.span.start), kind: token.token })
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

/// Turns the tokenizer's lines and columns back into offsets.
struct Lines<'a> {
    text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
    /// Lines of one byte a character need no counting.
    ascii: bool,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts, ascii: text.is_ascii() }
    }

    fn offset(&self, location: Location) -> usize {
        let count = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let start = self.starts.get(count(location.line)).copied().unwrap_or(self.text.len());
        let column = count(location.column);
        if self.ascii {
            return start.saturating_add(column).min(self.text.len());
        }
        let line = self.text.get(start..).unwrap_or_default();
        line.char_indices().nth(column).map_or(self.text.len(), |(offset, _)| start + offset)
    }
}
