//! Statement text as tokens. Total: every text has tokens, and what can't be right is marked, not refused.

use std::borrow::Cow;

use crate::version::{Flavor, Version};

/// One token. Numbers are words: nothing here needs to tell them apart but [`Token::is_number`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Letters, digits, `_`, `$` and everything beyond ASCII: a keyword, an unquoted name or a number.
    Word(&'a str),
    /// A quoted name, without its quotes.
    Quoted(Cow<'a, str>),
    /// A string, as it stands between its quotes.
    Text(&'a str),
    /// Anything else.
    Symbol(char),
}

impl Token<'_> {
    /// Whether this is the given keyword, which is written in upper case. A quoted name never is.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Whether this is one of the given keywords.
    pub(crate) fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    fn is_number(&self) -> bool {
        matches!(self, Token::Word(word) if word.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// The token as a name, if it can be one. Digits alone are one only after a dot.
    pub(super) fn as_name(&self, after_dot: bool) -> Option<&str> {
        match self {
            Token::Word(word) if after_dot || !self.is_number() => Some(word),
            Token::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// What of the session's `sql_mode` decides how text is read, and what ALTER does to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SqlMode {
    /// ANSI_QUOTES: `"` quotes names, not strings.
    pub(crate) ansi_quotes: bool,
    /// NO_BACKSLASH_ESCAPES: `\` in a string is itself.
    pub(crate) no_backslash_escapes: bool,
    /// MSSQL: MariaDB takes names in `[` and `]` as well.
    pub(crate) brackets: bool,
    /// STRICT_ALL_TABLES or STRICT_TRANS_TABLES: values that don't fit make a statement fail.
    pub(crate) strict: bool,
    /// NO_ZERO_IN_DATE or NO_ZERO_DATE: 2024-00-15 isn't a day. In strict mode it makes a statement fail, otherwise it
    /// becomes 0000-00-00 where a column is written anew, even under the same type.
    pub(crate) no_zero_in_date: bool,
}

impl SqlMode {
    /// From the bits that a query event carries.
    pub(crate) fn from_bits(bits: u64) -> Self {
        let any = |places: &[u32]| places.iter().any(|place| bits & (1 << place) != 0);
        Self {
            ansi_quotes: any(&[2]),
            brackets: any(&[10]),
            no_backslash_escapes: any(&[20]),
            strict: any(&[21, 22]),
            no_zero_in_date: any(&[23, 24]),
        }
    }

    /// From names with commas between them, as the catalog has them.
    pub(crate) fn from_names(names: &str) -> Self {
        let any = |wanted: &[&str]| names.split(',').any(|name| wanted.contains(&name.trim()));
        Self {
            ansi_quotes: any(&["ANSI_QUOTES"]),
            brackets: any(&["MSSQL"]),
            no_backslash_escapes: any(&["NO_BACKSLASH_ESCAPES"]),
            strict: any(&["STRICT_ALL_TABLES", "STRICT_TRANS_TABLES"]),
            no_zero_in_date: any(&["NO_ZERO_IN_DATE", "NO_ZERO_DATE"]),
        }
    }
}

/// Tokens of one text, read as they are asked for: a statement may be longer than memory should hold twice.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'a> {
    rest: &'a str,
    mode: SqlMode,
    version: Version,
    in_version_comment: bool,
    damaged: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, mode: SqlMode, version: Version) -> Self {
        Self { rest: text, mode, version, in_version_comment: false, damaged: false }
    }

    /// Whether a string, a name or a comment had no end in what has been read: the server would have refused such a
    /// statement, so it wasn't read as the server did.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The text without its comments and with a question mark for each string and number: it tells what a statement
    /// does and no value of a row.
    pub(super) fn without_values(text: &'a str, mode: SqlMode, version: Version) -> String {
        let mut lexer = Self::new(text, mode, version);
        let mut shown = String::new();
        loop {
            let before = lexer.rest;
            lexer.skip_spaces_and_comments();
            if lexer.rest.len() < before.len() && !shown.is_empty() {
                shown.push(' ');
            }
            let from = lexer.rest;
            let Some(token) = lexer.next() else { return shown };
            let is_value = match &token {
                Token::Text(_) => true,
                Token::Word(word) => word.starts_with(|first: char| first.is_ascii_digit()),
                Token::Quoted(_) | Token::Symbol(_) => false,
            };
            match is_value {
                true => shown.push('?'),
                false => shown.push_str(from.get(..from.len() - lexer.rest.len()).unwrap_or_default()),
            }
        }
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        skipped
    }

    fn skip_spaces_and_comments(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|next: char| next.is_ascii_whitespace() || next == '\x0b');
            if self.rest.starts_with('#') || self.starts_dash_comment() {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.open_comment();
            } else if self.in_version_comment && self.rest.starts_with("*/") {
                self.in_version_comment = false;
                self.skip(2);
            } else {
                return;
            }
        }
    }

    /// `--` begins a comment only before a space or a control character: `5--1` is arithmetic.
    fn starts_dash_comment(&self) -> bool {
        let after = self.rest.strip_prefix("--");
        after.is_some_and(|after| {
            after.chars().next().is_none_or(|next| next.is_ascii_whitespace() || next.is_control())
        })
    }

    /// At `/*`: goes past the comment, or into it if the server took its content for part of the statement.
    fn open_comment(&mut self) {
        let mariadb_only = self.rest.starts_with("/*M!");
        let marker = match self.version.flavor {
            Flavor::MariaDb if mariadb_only => "/*M!",
            _ => "/*!",
        };
        let Some(content) = self.rest.strip_prefix(marker) else {
            self.skip_comment("/*".len(), false);
            return;
        };
        let digits = content.bytes().take(6).take_while(u8::is_ascii_digit).count();
        let digits = if digits >= 5 { digits } else { 0 };
        let wanted = content.get(..digits).and_then(|digits| digits.parse::<u32>().ok());
        if wanted.is_none_or(|wanted| self.applies(wanted, mariadb_only)) {
            self.in_version_comment = true;
            self.skip(marker.len() + digits);
        } else {
            self.skip_comment(marker.len(), true);
        }
    }

    /// Whether a version comment's content counts. MariaDB left MySQL's numbers behind at 5.7 and doesn't take later
    /// ones for its own.
    fn applies(&self, wanted: u32, mariadb_only: bool) -> bool {
        const OF_MYSQL_ALONE: std::ops::RangeInclusive<u32> = 50_700..=99_999;
        let foreign = self.version.flavor == Flavor::MariaDb && !mariadb_only && OF_MYSQL_ALONE.contains(&wanted);
        wanted <= self.version.number() && !foreign
    }

    /// Goes past a comment whose opening is `opening` bytes long. Within a version comment that is left out, whole
    /// comments may stand.
    fn skip_comment(&mut self, opening: usize, nested: bool) {
        self.skip(opening);
        let mut depth = 1;
        while depth > 0 {
            let end = self.rest.find("*/");
            let inner = self.rest.find("/*").filter(|_| nested);
            match (end, inner) {
                (Some(end), Some(inner)) if inner < end => {
                    depth += 1;
                    self.skip(inner + 2);
                }
                (Some(end), _) => {
                    depth -= 1;
                    self.skip(end + 2);
                }
                (None, _) => {
                    self.damaged = true;
                    self.rest = "";
                    return;
                }
            }
        }
    }

    /// At the opening quote: what is between it and its closing one, which may stand for itself when doubled.
    fn quoted(&mut self, quote: char, backslash_escapes: bool) -> &'a str {
        self.skip(quote.len_utf8());
        let mut characters = self.rest.char_indices().peekable();
        let mut end = None;
        while let Some((index, character)) = characters.next() {
            if character == '\\' && backslash_escapes {
                characters.next();
            } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
                end = Some(index);
                break;
            }
        }
        self.damaged |= end.is_none();
        let content = self.skip(end.unwrap_or(self.rest.len()));
        self.skip(quote.len_utf8());
        content
    }

    fn name(&mut self, quote: char) -> Token<'a> {
        let content = self.quoted(quote, false);
        let doubled = String::from_iter([quote, quote]);
        match content.contains(quote) {
            true => Token::Quoted(content.replace(&doubled, quote.encode_utf8(&mut [0; 4])).into()),
            false => Token::Quoted(content.into()),
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_spaces_and_comments();
        let first = self.rest.chars().next()?;
        Some(match first {
            '`' => self.name('`'),
            '"' if self.mode.ansi_quotes => self.name('"'),
            // MySQL 5.7 has the mode, too, and means less by it.
            '[' if self.mode.brackets && self.version.flavor == Flavor::MariaDb => self.name(']'),
            '"' | '\'' => Token::Text(self.quoted(first, !self.mode.no_backslash_escapes)),
            _ if is_word(first) => {
                let length = self.rest.find(|next| !is_word(next)).unwrap_or(self.rest.len());
                Token::Word(self.skip(length))
            }
            _ => {
                self.skip(first.len_utf8());
                Token::Symbol(first)
            }
        })
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, mode: SqlMode, version: Version) -> String {
        let mut lexer = Lexer::new(text, mode, version);
        let mut tokens: Vec<String> = lexer
            .by_ref()
            .map(|token| match token {
                Token::Word(word) => word.to_owned(),
                Token::Quoted(name) => format!("`{name}`"),
                Token::Text(text) => format!("'{text}'"),
                Token::Symbol(symbol) => symbol.to_string(),
            })
            .collect();
        tokens.extend(lexer.is_damaged().then(|| "damaged".to_owned()));
        tokens.join(" ")
    }

    const MYSQL: Version = Version::new(Flavor::MySql, 8, 0, 23);
    const MARIADB: Version = Version::new(Flavor::MariaDb, 10, 11, 6);

    #[test]
    fn texts_become_the_servers_tokens() {
        for (text, expected) in [
            ("a.b , `c``d`.`e.f g`", "a . b , `c`d` . `e.f g`"),
            ("'it''s' 'a\\'b' \"c\"\"d\" x", "'it''s' 'a\\'b' 'c\"\"d' x"),
            ("a--b -- c\nd # e\nf --", "a - - b d f"),
            ("a/* b */c/**/d", "a c d"),
            ("a /*!80023 b */ c /*!80024 d */ e /*! f */ g", "a b c e f g"),
            ("/*!50100 a 'x*/y' */ b /*!99999 c /* d */ e */ f", "a 'x*/y' b f"),
            ("/*M! a */ b /*M!100100 c */", "b"),
            ("t1 1t 12 $a é", "t1 1t 12 $a é"),
            ("'open", "'open' damaged"),
            ("`open", "`open` damaged"),
            ("a /* open", "a damaged"),
            ("a '\\", "a '\\' damaged"),
            ("", ""),
            ("/*", "damaged"),
        ] {
            assert_eq!(shown(text, SqlMode::default(), MYSQL), expected, "{text}");
        }
    }

    #[test]
    fn values_are_left_out_and_names_stay() {
        for (text, expected) in [
            ("UPDATE `t 1` SET a='x', b = 17 /* y */ WHERE c>\"z\"", "UPDATE `t 1` SET a=?, b = ? WHERE c>?"),
            ("INSERT INTO d.t1 VALUES(0x41,X'42',-1e5)", "INSERT INTO d.t1 VALUES(?,X?,-?)"),
            ("DELETE FROM t WHERE c = 'open", "DELETE FROM t WHERE c = ?"),
            ("-- a\nCALL p('secret');  ", "CALL p(?); "),
        ] {
            assert_eq!(Lexer::without_values(text, SqlMode::default(), MYSQL), expected, "{text}");
        }
        let ansi = SqlMode { ansi_quotes: true, ..SqlMode::default() };
        assert_eq!(Lexer::without_values("DELETE FROM \"t\"", ansi, MYSQL), "DELETE FROM \"t\"");
    }

    #[test]
    fn the_sql_mode_decides_about_quotes_and_backslashes() {
        let mode = SqlMode { brackets: false, ..SqlMode::from_bits((1 << 2) | (1 << 20)) };
        assert_eq!(shown("\"a\"\"b\" 'c\\' d", mode, MYSQL), "`a\"b` 'c\\' d");
        let mssql = SqlMode::from_bits(58_382);
        assert_eq!(shown("[a]]b].[c d]", mssql, MARIADB), "`a]b` . `c d`");
        assert_eq!(shown("[a]", mssql, MYSQL), "[ a ]");
        // MySQL 5.7's default: ONLY_FULL_GROUP_BY, STRICT_TRANS_TABLES, NO_ZERO_IN_DATE, NO_ZERO_DATE and more.
        let default = SqlMode { strict: true, no_zero_in_date: true, ..SqlMode::default() };
        assert_eq!(SqlMode::from_bits(1_436_549_152), default);
    }

    #[test]
    fn mariadb_has_comments_of_its_own_and_leaves_mysqls_later_ones_out() {
        let text = "/*M! a */ /*M!101106 b */ /*M!101107 c */ /*!50699 d */ /*!50700 e */ /*!100000 f */";
        assert_eq!(shown(text, SqlMode::default(), MARIADB), "a b d f");
    }
}
