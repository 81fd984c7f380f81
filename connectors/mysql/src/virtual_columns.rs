//! Virtual generated columns whose values depend on who reads them.
//!
//! A virtual column is computed by every session that reads or writes its row. The log holds what the writer's session
//! made of it, a read what ours makes of it, and the two differ where the expression asks the session for its time
//! zone, its language, its SQL mode or how many digits a division gives. The promise is about what a read gives, so
//! such a value is never taken from the log: the row is read again by its identity. A stored column of that kind is what
//! the writer's session saw, for everybody, until a statement writes the table anew: then it is what that one's saw.
//!
//! Which expressions do that is decided from their tokens by a list of what is known not to. Whatever isn't on the
//! list counts as depending on the session: that costs queries, the opposite error would cost the promise. The server
//! writes each expression anew from what it understood, with every column quoted, so no unquoted word is a column.

use std::iter::Peekable;

use millstream_core::schema::{Column, Generated};

use crate::ddl::{Lexer, SqlMode, Token};
use crate::decode::is_period;
use crate::version::{Flavor, Version};

/// Words that mean the same in every session: operators, types, and functions of their arguments alone.
const CONSTANT: &[&str] = &[
    "ABS",
    "AND",
    "AS",
    "ASCII",
    "BETWEEN",
    "BINARY",
    "BIT_COUNT",
    "BIT_LENGTH",
    "BOTH",
    "CASE",
    "CAST",
    "CEIL",
    "CEILING",
    "CHAR",
    "CHARACTER_LENGTH",
    "CHAR_LENGTH",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "CONVERT",
    "CRC32",
    "DECIMAL",
    "DIV",
    "DOUBLE",
    "ELSE",
    "ELT",
    "END",
    "ESCAPE",
    "FALSE",
    "FIELD",
    "FIND_IN_SET",
    "FLOAT",
    "FLOOR",
    "FROM",
    "FROM_BASE64",
    "GREATEST",
    "HEX",
    "IF",
    "IFNULL",
    "IN",
    "INET6_ATON",
    "INET6_NTOA",
    "INET_ATON",
    "INET_NTOA",
    "INSTR",
    "INT",
    "INTEGER",
    "IS",
    "ISNULL",
    "JSON",
    "JSON_ARRAY",
    "JSON_CONTAINS",
    "JSON_CONTAINS_PATH",
    "JSON_DEPTH",
    "JSON_EXTRACT",
    "JSON_KEYS",
    "JSON_LENGTH",
    "JSON_OBJECT",
    "JSON_OVERLAPS",
    "JSON_QUOTE",
    "JSON_SEARCH",
    "JSON_TYPE",
    "JSON_UNQUOTE",
    "JSON_VALID",
    "JSON_VALUE",
    "LCASE",
    "LEADING",
    "LEAST",
    "LEFT",
    "LENGTH",
    "LOCATE",
    "LOWER",
    "LPAD",
    "LTRIM",
    "MD5",
    "MID",
    "MOD",
    "NOT",
    "NULL",
    "NULLIF",
    "OCTET_LENGTH",
    "OR",
    "ORD",
    "POSITION",
    "QUOTE",
    "REAL",
    "REPLACE",
    "RETURNING",
    "REVERSE",
    "RIGHT",
    "ROUND",
    "RPAD",
    "RTRIM",
    "SHA",
    "SHA1",
    "SHA2",
    "SIGN",
    "SIGNED",
    "SPACE",
    "SQRT",
    "STRCMP",
    "SUBSTR",
    "SUBSTRING",
    "SUBSTRING_INDEX",
    "THEN",
    "TO_BASE64",
    "TRAILING",
    "TRIM",
    "TRUE",
    "TRUNCATE",
    "UCASE",
    "UNHEX",
    "UNSIGNED",
    "UPPER",
    "WHEN",
    "XOR",
];

/// Words that mean the same in every session, of one column that is a `DATE` or `DATETIME`: where a day meets a text, or
/// a moment, a session asks its SQL mode which days exist.
const CONSTANT_OF_DAYS: &[&str] = &["DAY", "DAYOFMONTH", "HOUR", "MINUTE", "MONTH", "QUARTER", "SECOND", "YEAR"];

/// Words after which a character set or a collation is named.
const NAMING: &[&str] = &["CHARSET", "COLLATE", "USING"];

/// Words that give something else at every call, or by who asks, which only MariaDB allows in a column.
const NEVER_THE_SAME: &[&str] = &[
    "CONNECTION_ID",
    "CURDATE",
    "CURRENT_DATE",
    "CURRENT_ROLE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "CURTIME",
    "DATABASE",
    "LAST_INSERT_ID",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NOW",
    "RAND",
    "RANDOM_BYTES",
    "SCHEMA",
    "SESSION_USER",
    "SYSDATE",
    "SYSTEM_USER",
    "SYS_GUID",
    "USER",
    "UTC_DATE",
    "UTC_TIME",
    "UTC_TIMESTAMP",
    "UUID",
    "UUID_SHORT",
];

/// What MySQL computes as the session asked for that happened to open the table, which then serves other sessions.
const OF_WHO_OPENED: &[&str] = &["DAYNAME", "MONTHNAME"];

/// For each column whether it is virtual and its value depends on the session that reads it.
pub(crate) fn session_dependent(columns: &[Column], flavor: Flavor) -> Vec<bool> {
    let is_virtual = |column: &Column| matches!(column.generated, Some(Generated::Virtual(_)));
    columns.iter().zip(dependent(columns, flavor)).map(|(column, dependent)| dependent && is_virtual(column)).collect()
}

/// Whether a statement that writes a table anew, and changes nothing, may change values all the same: its session
/// computes the stored columns again.
pub(crate) fn is_recomputed_otherwise(columns: &[Column], flavor: Flavor) -> bool {
    let is_stored = |column: &Column| matches!(column.generated, Some(Generated::Stored(_))) && !is_period(column);
    columns.iter().zip(dependent(columns, flavor)).any(|(column, dependent)| dependent && is_stored(column))
}

/// For each column whether it is generated and its value depends on the session that computes it.
fn dependent(columns: &[Column], flavor: Flavor) -> Vec<bool> {
    let expressions: Vec<Option<Expression<'_>>> =
        columns.iter().map(|column| Some(Expression::read(expression(column)?, columns, flavor))).collect();
    let mut dependent: Vec<bool> = columns
        .iter()
        .zip(&expressions)
        .map(|(column, expression)| expression.as_ref().is_some_and(|read| !read.is_constant(column, columns)))
        .collect();
    // What is computed from a dependent column depends as well. Each round finds one more or is the last.
    for _ in 0..columns.len() {
        let before = dependent.clone();
        for (is_dependent, expression) in dependent.iter_mut().zip(&expressions) {
            let refers = |read: &Expression<'_>| read.columns.iter().any(|index| before.get(*index) == Some(&true));
            *is_dependent |= expression.as_ref().is_some_and(refers);
        }
        if before == dependent {
            break;
        }
    }
    dependent
}

/// Whether two reads of a column by the same session may differ though nobody changed the row.
pub(crate) fn is_restless(column: &Column, flavor: Flavor) -> bool {
    let is_restless = |token: Token<'_>| {
        let is_of_who_opened = token.is_any(OF_WHO_OPENED) || token == Token::Symbol('/');
        token.is_any(NEVER_THE_SAME) || (flavor == Flavor::MySql && is_of_who_opened)
    };
    match &column.generated {
        Some(Generated::Virtual(expression)) => tokens(expression, flavor).any(is_restless),
        Some(Generated::Stored(_)) | None => false,
    }
}

fn expression(column: &Column) -> Option<&str> {
    match &column.generated {
        Some(Generated::Virtual(expression) | Generated::Stored(expression)) => Some(expression),
        None => None,
    }
}

/// The catalog of our sessions, whose SQL mode is empty, quotes names by backticks only and writes no comments.
fn tokens(text: &str, flavor: Flavor) -> Lexer<'_> {
    Lexer::new(text, SqlMode::default(), Version::new(flavor, 0, 0, 0))
}

/// What of an expression decides about it.
#[derive(Debug, Default)]
struct Expression<'a> {
    /// The columns that it refers to, by their indexes.
    columns: Vec<usize>,
    /// Words that aren't names.
    words: Vec<&'a str>,
    has_text: bool,
    subtracts: bool,
    /// It has something that isn't known to mean the same everywhere.
    is_foreign: bool,
}

impl<'a> Expression<'a> {
    fn read(text: &'a str, columns: &[Column], flavor: Flavor) -> Self {
        let mut read = Expression::default();
        let mut tokens = tokens(text, flavor).peekable();
        while let Some(token) = tokens.next() {
            read.add(token, &mut tokens, columns);
        }
        read
    }

    fn add(&mut self, token: Token<'a>, rest: &mut Peekable<Lexer<'a>>, columns: &[Column]) {
        match token {
            Token::Text(_) => self.has_text = true,
            Token::Quoted(name) => match columns.iter().position(|column| column.name == name) {
                Some(index) => self.columns.push(index),
                None => self.is_foreign = true,
            },
            Token::Word(word) if word.starts_with(|first: char| first.is_ascii_digit()) => {}
            // The character set of the string that follows.
            Token::Word(word) if word.starts_with('_') && matches!(rest.peek(), Some(Token::Text(_))) => {}
            Token::Word(word) if NAMING.iter().any(|naming| word.eq_ignore_ascii_case(naming)) => {
                self.is_foreign |= !matches!(rest.next(), Some(Token::Word(_)));
            }
            Token::Word(word) => self.words.push(word),
            // How many digits a quotient has is a setting.
            Token::Symbol('-') => self.subtracts = true,
            Token::Symbol(symbol) => self.is_foreign |= !"()+*%<>=!&|^~,.".contains(symbol),
        }
    }

    /// Whether it gives the column the same value in every session, as far as the columns that it refers to do.
    fn is_constant(&self, column: &Column, columns: &[Column]) -> bool {
        let has = |words: &[&str], word: &&str| words.iter().any(|known| word.eq_ignore_ascii_case(known));
        let is_known = |word: &&str| has(CONSTANT, word) || has(CONSTANT_OF_DAYS, word);
        let is_day = |column: &Column| matches!(base_type(column), "date" | "datetime");
        // A mode decides whether a moment that has more digits of the second than the column is rounded or cut.
        if self.is_foreign || !self.words.iter().all(is_known) || !has_constant_type(column) || is_day(column) {
            return false;
        }
        let referred = || self.columns.iter().filter_map(|index| columns.get(*index));
        let of_days = |word: &&str| has(CONSTANT_OF_DAYS, word);
        let is_about_days = referred().any(is_day) || self.words.iter().any(of_days);
        let is_of_one = self.columns.iter().all(|column| Some(column) == self.columns.first());
        let is_plainly_of_days =
            referred().all(is_day) && is_of_one && self.words.iter().all(of_days) && !self.has_text;
        // A mode decides whether the difference of unsigned numbers may be negative. Many functions give such a number.
        referred().all(has_constant_type)
            && (!is_about_days || is_plainly_of_days)
            && (!self.subtracts || (self.words.is_empty() && referred().all(is_signed_number)))
    }
}

/// Whether a value of the column is the same in every session: a `TIMESTAMP` is a moment that each shows by its time
/// zone, a `TIME` becomes a moment of the day on which it is asked, and a `CHAR` is padded in an SQL mode.
fn has_constant_type(column: &Column) -> bool {
    !matches!(base_type(column), "timestamp" | "time" | "char")
}

fn is_signed_number(column: &Column) -> bool {
    let is_number = matches!(
        base_type(column),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "float" | "double"
    );
    is_number && !column.source_type.contains("unsigned")
}

/// The type without its width and attributes, as the catalog writes it: in lower case.
fn base_type(column: &Column) -> &str {
    let end =
        column.source_type.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(column.source_type.len());
    column.source_type.get(..end).unwrap_or_default()
}
