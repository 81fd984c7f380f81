//! From the text of a batch to tokens, and from our tokens to those that sqlparser reads rightly.
//!
//! sqlparser knows one list of keywords for all its dialects, in which many words are special that T-SQL leaves to its
//! users: a table may be called `format`, a column `limit`. So each word that T-SQL doesn't reserve is handed over as a
//! quoted identifier, except where its place makes it a keyword (`OFFSET 5 ROWS`, `OVER (PARTITION BY …)`). Types and
//! functions are names like others then, which suits the engine: it has its own tables of both.

use sqlparser::dialect::MsSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use crate::error::{SqlError, SqlResult};

/// How a name that was quoted in the text is marked; one that sqlparser shall take as a name only is marked `[`.
pub const QUOTED: char = '"';
const PLAIN: char = '[';

/// The function that gives a sequence's next value.
pub const NEXT_VALUE: &str = "NEXT_VALUE_FOR";

/// A token and where it stands in the text.
#[derive(Clone, Debug)]
pub struct Lexeme {
    pub token: Token,
    pub line: u32,
    /// In bytes.
    pub start: usize,
    pub end: usize,
}

impl Lexeme {
    /// The word, if it stands there unquoted.
    pub fn word(&self) -> Option<&str> {
        match &self.token {
            Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    pub fn is(&self, word: &str) -> bool {
        self.word().is_some_and(|own| own.eq_ignore_ascii_case(word))
    }

    pub fn is_any(&self, words: &[&str]) -> bool {
        self.word().is_some_and(|own| words.iter().any(|word| own.eq_ignore_ascii_case(word)))
    }

    /// As error messages quote it.
    pub fn shown(&self) -> String {
        match &self.token {
            Token::Word(word) => word.value.clone(),
            Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Reads the whole text.
pub fn lexemes(text: &str) -> SqlResult<Vec<Lexeme>> {
    let dialect = MsSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| {
        let line = u32::try_from(error.location.line).unwrap_or(0);
        if error.message.contains("comment") {
            SqlError::new(113, 15, "Missing end comment mark '*/'.").at_line(line)
        } else {
            let rest: String = text
                .lines()
                .nth(error.location.line.saturating_sub(1).try_into().unwrap_or(0))
                .unwrap_or("")
                .chars()
                .take(40)
                .collect();
            SqlError::new(105, 15, format!("Unclosed quotation mark after the character string '{rest}'."))
                .at_line(line)
        }
    })?;
    let mut offsets = Offsets::new(text);
    let mut lexemes = Vec::with_capacity(tokens.len() / 2);
    for TokenWithSpan { token, span } in tokens {
        if matches!(token, Token::Whitespace(_) | Token::EOF) {
            continue;
        }
        let (start, end) = (offsets.of(span.start), offsets.of(span.end));
        lexemes.push(Lexeme { token, line: u32::try_from(span.start.line).unwrap_or(0), start, end });
    }
    Ok(lexemes)
}

/// `NEXT VALUE FOR dbo.s` as a call of a function, which sqlparser can read.
pub fn with_sequences(lexemes: Vec<Lexeme>) -> Vec<Lexeme> {
    let begins = |at: usize| {
        ["NEXT", "VALUE", "FOR"]
            .iter()
            .enumerate()
            .all(|(ahead, word)| lexemes.get(at + ahead).is_some_and(|lexeme| lexeme.is(word)))
    };
    if !(0..lexemes.len()).any(begins) {
        return lexemes;
    }
    let mut made = Vec::with_capacity(lexemes.len());
    let mut at = 0;
    while let Some(lexeme) = lexemes.get(at) {
        if !begins(at) {
            made.push(lexeme.clone());
            at += 1;
            continue;
        }
        at += 3;
        let mut name = String::new();
        let mut last = lexeme.clone();
        while let Some(part) = lexemes.get(at) {
            match &part.token {
                Token::Word(word) if name.is_empty() || name.ends_with('.') => {
                    name.push_str(&format!("[{}]", word.value.replace(']', "]]")));
                }
                Token::Period => name.push('.'),
                _ => break,
            }
            last = part.clone();
            at += 1;
        }
        let word = Word { value: NEXT_VALUE.to_owned(), quote_style: None, keyword: Keyword::NoKeyword };
        made.push(Lexeme { token: Token::Word(word), ..lexeme.clone() });
        made.push(Lexeme { token: Token::LParen, ..last.clone() });
        made.push(Lexeme { token: Token::SingleQuotedString(name), ..last.clone() });
        made.push(Lexeme { token: Token::RParen, ..last });
    }
    made
}

/// Turns lines and columns into byte offsets, going forward only, so that a long text is walked once.
struct Offsets<'a> {
    text: &'a str,
    line: u64,
    column: u64,
    at: usize,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, line: 1, column: 1, at: 0 }
    }

    fn of(&mut self, location: Location) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for character in rest.chars() {
            if (self.line, self.column) >= (location.line, location.column) {
                break;
            }
            self.at += character.len_utf8();
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at
    }
}

/// Which contextual words are keywords at this place.
#[derive(Default)]
struct Places {
    depth: i32,
    /// The depth of the parentheses after `OVER`.
    over: Option<i32>,
    /// Between OFFSET and the end of FETCH.
    paging: bool,
    /// The depth at which FOR JSON or FOR XML stands.
    form: Option<i32>,
}

/// The tokens as sqlparser shall see them.
pub fn for_sqlparser(lexemes: &[Lexeme]) -> Vec<TokenWithSpan> {
    let mut places = Places::default();
    let mut tokens = Vec::with_capacity(lexemes.len());
    for (at, lexeme) in lexemes.iter().enumerate() {
        let previous = at.checked_sub(1).and_then(|at| lexemes.get(at));
        let next = lexemes.get(at + 1);
        let token = match &lexeme.token {
            Token::LParen => {
                places.depth += 1;
                if previous.is_some_and(|previous| previous.is("OVER")) {
                    places.over = Some(places.depth);
                }
                Token::LParen
            }
            Token::RParen => {
                if places.over == Some(places.depth) {
                    places.over = None;
                }
                places.depth -= 1;
                places.paging = false;
                if places.form.is_some_and(|depth| places.depth < depth) {
                    places.form = None;
                }
                Token::RParen
            }
            Token::Word(word) => Token::Word(places.word(word, previous, next, lexemes.get(at + 2))),
            // `$action` of MERGE is a column to us; `$1.5` is money.
            Token::Placeholder(name) if name.chars().nth(1).is_some_and(char::is_alphabetic) => {
                Token::Word(Word { value: name.clone(), quote_style: Some(PLAIN), keyword: Keyword::NoKeyword })
            }
            other => other.clone(),
        };
        let location = Location::new(u64::from(lexeme.line), u64::try_from(at).unwrap_or(0) + 1);
        tokens.push(TokenWithSpan::at(token, location, location));
    }
    tokens
}

impl Places {
    fn word(&mut self, word: &Word, previous: Option<&Lexeme>, next: Option<&Lexeme>, after: Option<&Lexeme>) -> Word {
        if word.quote_style.is_some() {
            return Word { quote_style: Some(QUOTED), keyword: Keyword::NoKeyword, ..word.clone() };
        }
        let upper = word.value.to_ascii_uppercase();
        if self.is_keyword(&upper, previous, next, after) {
            return word.clone();
        }
        Word { quote_style: Some(PLAIN), keyword: Keyword::NoKeyword, ..word.clone() }
    }

    fn is_keyword(
        &mut self,
        upper: &str,
        previous: Option<&Lexeme>,
        next: Option<&Lexeme>,
        after: Option<&Lexeme>,
    ) -> bool {
        let opens = next.is_some_and(|next| next.token == Token::LParen);
        // A part of a longer name is a name whatever it is called.
        let dotted = |lexeme: Option<&Lexeme>| lexeme.is_some_and(|lexeme| lexeme.token == Token::Period);
        if dotted(previous) {
            return false;
        }
        match upper {
            // Functions that bear the names of keywords.
            "LEFT" | "RIGHT" | "COALESCE" | "NULLIF" | "UPDATE" if opens => false,
            "XML" | "JSON" if previous.is_some_and(|previous| previous.is("FOR")) => {
                self.form = Some(self.depth);
                true
            }
            "SYSTEM_TIME" => previous.is_some_and(|previous| previous.is("FOR")),
            "OF" => previous.is_some_and(|previous| previous.is("AS")),
            "JSON" => previous.is_some_and(|previous| previous.is("AS")),
            "OPENJSON" => {
                opens
                    && previous.is_some_and(|previous| {
                        previous.token == Token::Comma || previous.is_any(&["FROM", "JOIN", "APPLY"])
                    })
            }
            "AUTO"
            | "PATH"
            | "RAW"
            | "EXPLICIT"
            | "ROOT"
            | "ELEMENTS"
            | "TYPE"
            | "BINARY"
            | "BASE64"
            | "INCLUDE_NULL_VALUES"
            | "WITHOUT_ARRAY_WRAPPER"
                if self.form == Some(self.depth) =>
            {
                true
            }
            "CAST" | "TRY_CAST" | "TRY_CONVERT" => opens,
            "OFFSET" => {
                let amount = next.is_some_and(|next| {
                    matches!(next.token, Token::Number(..) | Token::LParen)
                        || next.word().is_some_and(|word| word.starts_with('@'))
                });
                let operand = previous.is_some_and(|previous| {
                    matches!(
                        previous.token,
                        Token::Word(_) | Token::RParen | Token::Number(..) | Token::SingleQuotedString(_)
                    ) && !previous.is_any(&["SELECT", "BY", "AND", "OR", "NOT", "WHERE", "ON"])
                });
                self.paging |= amount && operand;
                amount && operand
            }
            "ROW" | "ROWS" | "NEXT" | "FIRST" | "ONLY" if self.paging => true,
            "PARTITION" | "ROWS" | "RANGE" | "ROW" | "UNBOUNDED" | "PRECEDING" | "FOLLOWING" => self.over.is_some(),
            "APPLY" => previous.is_some_and(|previous| previous.is_any(&["CROSS", "OUTER"])),
            "TIES" => previous.is_some_and(|previous| previous.is("WITH")),
            "AT" => next.is_some_and(|next| next.is("TIME")) && after.is_some_and(|after| after.is("ZONE")),
            "TIME" => previous.is_some_and(|previous| previous.is("AT")) && next.is_some_and(|next| next.is("ZONE")),
            "ZONE" => previous.is_some_and(|previous| previous.is("TIME")),
            _ => RESERVED.binary_search(&upper).is_ok(),
        }
    }
}

/// Words that T-SQL reserves and that have a meaning within a query or expression, sorted.
const RESERVED: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "COLLATE",
    "CONVERT",
    "CROSS",
    "CURRENT",
    "CURRENT_TIMESTAMP",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "FETCH",
    "FOR",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "NOT",
    "NULL",
    "ON",
    "OPTION",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PERCENT",
    "PIVOT",
    "RIGHT",
    "SELECT",
    "SET",
    "SOME",
    "TABLE",
    "TABLESAMPLE",
    "THEN",
    "TOP",
    "UNION",
    "UNPIVOT",
    "UPDATE",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
    "WITHIN",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_keywords_by_their_place() {
        let seen = |sql: &str| {
            for_sqlparser(&lexemes(sql).unwrap())
                .into_iter()
                .filter_map(|token| match token.token {
                    Token::Word(word) if word.keyword != Keyword::NoKeyword => Some(word.value),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(seen("SELECT [limit], offset, rows FROM format"), ["SELECT", "FROM"]);
        assert_eq!(
            seen("SELECT 1 ORDER BY a OFFSET 5 ROWS FETCH NEXT 2 ROWS ONLY"),
            ["SELECT", "ORDER", "BY", "OFFSET", "ROWS", "FETCH", "NEXT", "ROWS", "ONLY"]
        );
        assert_eq!(seen("ROW_NUMBER() OVER (PARTITION BY partition_id)"), ["OVER", "PARTITION", "BY"]);
        assert_eq!(seen("LEFT(a, 1)"), Vec::<String>::new());
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn offsets_are_in_bytes() {
        let text = "SELECT 'é',\n  x";
        let read = lexemes(text).unwrap();
        let last = read.last().unwrap();
        assert_eq!((&text[last.start..last.end], last.line), ("x", 2));
    }

    #[test]
    fn unclosed_texts_and_comments_have_their_numbers() {
        assert_eq!(lexemes("SELECT 'a").unwrap_err().number, 105);
        assert_eq!(lexemes("/* a").unwrap_err().number, 113);
    }
}
