//! What a statement of `cdc.ddl_history` did to its table, by its tokens.
//!
//! Nothing here decides what columns look like: types and names come from the catalog. The tokens only tell which kind
//! of statement it was and which columns it names, so that its place in the log can be given to what the catalog shows.
//! Reading never fails; what isn't understood is [`Action::Unclear`], which costs reading the table again.

/// One thing that a statement did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Added columns. Capture instances that exist don't see them.
    AddColumns(Vec<String>),
    /// Dropped columns. Capture instances that exist go on with NULL in their place.
    DropColumns(Vec<String>),
    /// Gave a column another type, or made it nullable or not.
    AlterColumn(String),
    /// Moved rows between this table and another, which capture doesn't show.
    SwitchRows {
        /// The other table's own name, without its schema.
        target: Option<String>,
    },
    /// Nothing that rows or columns show: constraints, defaults, indexes, settings.
    Nothing,
    /// Not understood.
    Unclear,
}

/// Reads a statement.
pub(crate) fn read(command: &str) -> Action {
    let tokens = tokens(command);
    let mut reader = Reader { tokens: &tokens };
    match (reader.keyword(), reader.peek_keyword()) {
        (Some("ALTER"), Some("TABLE")) => {
            reader.skip();
            reader.alter_table()
        }
        (Some("CREATE" | "ALTER" | "DROP"), Some(_)) if reader.is_about_an_accessory() => Action::Nothing,
        _ => Action::Unclear,
    }
}

/// Whether a statement names this column, whatever it does.
pub(crate) fn names(command: &str, column: &str) -> bool {
    tokens(command).iter().any(|token| matches!(token, Token::Name { text, .. } if same_name(text, column)))
}

/// Names compare as most databases have it. Where two columns differ in case only, more is taken for named.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name or a keyword; in brackets or quotes it is a name for certain.
    Name { text: String, quoted: bool },
    /// A string, number or anything else of no interest.
    Literal,
    /// One character.
    Mark(char),
}

struct Reader<'a> {
    tokens: &'a [Token],
}

impl Reader<'_> {
    fn skip(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn peek_keyword(&self) -> Option<&'static str> {
        keyword(self.tokens.first()?)
    }

    /// Takes the next token if it is a keyword.
    fn keyword(&mut self) -> Option<&'static str> {
        let found = self.peek_keyword()?;
        self.skip();
        Some(found)
    }

    fn take_keyword(&mut self, wanted: &str) -> bool {
        let found = self.peek_keyword() == Some(wanted);
        if found {
            self.skip();
        }
        found
    }

    fn take_mark(&mut self, wanted: char) -> bool {
        let found = self.tokens.first() == Some(&Token::Mark(wanted));
        if found {
            self.skip();
        }
        found
    }

    fn name(&mut self) -> Option<String> {
        match self.tokens.first() {
            Some(Token::Name { text, .. }) => {
                let text = text.clone();
                self.skip();
                Some(text)
            }
            _ => None,
        }
    }

    /// The last part of `a.b.c`.
    fn compound_name(&mut self) -> Option<String> {
        let mut last = self.name()?;
        while self.take_mark('.') {
            // Parts in the middle may be left out: `database..table`.
            if let Some(part) = self.name() {
                last = part;
            }
        }
        Some(last)
    }

    fn is_about_an_accessory(&self) -> bool {
        const ACCESSORIES: [&str; 4] = ["INDEX", "STATISTICS", "TRIGGER", "CONSTRAINT"];
        // `CREATE UNIQUE CLUSTERED INDEX`: the word is among the first few.
        let mut words = self.tokens.iter().take(4).map_while(keyword);
        words.any(|word| ACCESSORIES.contains(&word))
    }

    fn alter_table(mut self) -> Action {
        if self.compound_name().is_none() {
            return Action::Unclear;
        }
        if self.take_keyword("WITH") {
            // CHECK or NOCHECK, for constraints that follow.
            self.skip();
        }
        match self.keyword() {
            Some("ADD") => self.add(),
            Some("DROP") => self.drop(),
            Some("ALTER") => match (self.take_keyword("COLUMN"), self.name()) {
                (true, Some(column)) => Action::AlterColumn(column),
                (true, None) => Action::Unclear,
                (false, _) => Action::Nothing,
            },
            Some("SWITCH") => self.switch(),
            Some("CHECK" | "NOCHECK" | "ENABLE" | "DISABLE" | "SET" | "REBUILD") => Action::Nothing,
            _ => Action::Unclear,
        }
    }

    /// `ADD` and a list of columns and constraints, divided by the commas outside parentheses.
    fn add(&mut self) -> Action {
        const CONSTRAINTS: [&str; 7] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "DEFAULT", "INDEX"];
        let mut columns = Vec::new();
        loop {
            match self.peek_keyword() {
                Some(word) if CONSTRAINTS.contains(&word) || self.is_at_period() => {}
                _ => match self.name() {
                    Some(column) => columns.push(column),
                    None => return Action::Unclear,
                },
            }
            if !self.skip_item() {
                break;
            }
        }
        if columns.is_empty() { Action::Nothing } else { Action::AddColumns(columns) }
    }

    /// A period of system time. The word alone is as good a name as any.
    fn is_at_period(&self) -> bool {
        let mut words = self.tokens.iter().take(2).map_while(keyword);
        words.next() == Some("PERIOD") && words.next() == Some("FOR")
    }

    /// `DROP` and a list of columns and constraints; `COLUMN` holds until `CONSTRAINT`, and the other way round.
    fn drop(&mut self) -> Action {
        let mut columns = Vec::new();
        let mut of_columns = false;
        loop {
            match self.peek_keyword() {
                Some("COLUMN") => {
                    of_columns = true;
                    self.skip();
                }
                Some("CONSTRAINT") => {
                    of_columns = false;
                    self.skip();
                }
                // The end of it.
                Some(_) if self.is_at_period() => return Action::Nothing,
                _ => {}
            }
            if self.take_keyword("IF") {
                // EXISTS
                self.skip();
            }
            match self.name() {
                Some(name) if of_columns => columns.push(name),
                Some(_) => {}
                None => return Action::Unclear,
            }
            if !self.skip_item() {
                break;
            }
        }
        if columns.is_empty() { Action::Nothing } else { Action::DropColumns(columns) }
    }

    fn switch(&mut self) -> Action {
        while !self.tokens.is_empty() {
            if self.take_keyword("TO") {
                return Action::SwitchRows { target: self.compound_name() };
            }
            self.skip();
        }
        Action::SwitchRows { target: None }
    }

    /// Goes behind the next comma outside parentheses; `false` if there is none.
    fn skip_item(&mut self) -> bool {
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.first() {
            match token {
                Token::Mark('(') => depth += 1,
                Token::Mark(')') => depth = depth.saturating_sub(1),
                Token::Mark(',') if depth == 0 => {
                    self.skip();
                    return true;
                }
                Token::Mark(';') if depth == 0 => return false,
                _ => {}
            }
            self.skip();
        }
        false
    }
}

/// The keywords that matter here.
const KEYWORDS: [&str; 38] = [
    "ADD",
    "ALTER",
    "CHECK",
    "CLUSTERED",
    "COLUMN",
    "COLUMNSTORE",
    "CONSTRAINT",
    "CREATE",
    "DEFAULT",
    "DISABLE",
    "DROP",
    "ENABLE",
    "EXISTS",
    "FOR",
    "FOREIGN",
    "FULLTEXT",
    "IF",
    "INDEX",
    "KEY",
    "NOCHECK",
    "NONCLUSTERED",
    "OR",
    "PARTITION",
    "PERIOD",
    "PRIMARY",
    "REBUILD",
    "SET",
    "SPATIAL",
    "STATISTICS",
    "SWITCH",
    "SYSTEM_TIME",
    "TABLE",
    "TO",
    "TRIGGER",
    "TRUNCATE",
    "UNIQUE",
    "WITH",
    "XML",
];

fn keyword(token: &Token) -> Option<&'static str> {
    match token {
        Token::Name { text, quoted: false } => KEYWORDS.into_iter().find(|word| text.eq_ignore_ascii_case(word)),
        _ => None,
    }
}

/// All tokens but comments and spaces. Total: what isn't closed ends with the text.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            _ if first.is_whitespace() => rest.trim_start(),
            '-' if rest.starts_with("--") => rest.split_once('\n').map_or("", |(_, rest)| rest),
            '/' if rest.starts_with("/*") => behind_comment(rest),
            '[' => {
                let (text, rest) = enclosed(rest, ']');
                tokens.push(Token::Name { text, quoted: true });
                rest
            }
            '"' => {
                let (text, rest) = enclosed(rest, '"');
                tokens.push(Token::Name { text, quoted: true });
                rest
            }
            '\'' => {
                tokens.push(Token::Literal);
                enclosed(rest, '\'').1
            }
            'N' | 'n' if rest.get(1..).is_some_and(|rest| rest.starts_with('\'')) => {
                tokens.push(Token::Literal);
                enclosed(rest.get(1..).unwrap_or_default(), '\'').1
            }
            _ if is_of_name(first) => {
                let end = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
                let (text, rest) = rest.split_at(end);
                let is_number = first.is_ascii_digit();
                tokens.push(if is_number { Token::Literal } else { Token::Name { text: text.into(), quoted: false } });
                rest
            }
            mark => {
                tokens.push(Token::Mark(mark));
                rest.get(mark.len_utf8()..).unwrap_or_default()
            }
        };
    }
    tokens
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '@' | '#' | '$')
}

/// What stands between an opening mark and the closing one, which is doubled where it is meant itself; and the rest.
fn enclosed(text: &str, close: char) -> (String, &str) {
    let mut inner = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != close {
            inner.push(letter);
        } else if letters.next_if(|(_, next)| *next == close).is_some() {
            inner.push(close);
        } else {
            return (inner, text.get(at + close.len_utf8()..).unwrap_or_default());
        }
    }
    (inner, "")
}

/// Comments of this kind nest.
fn behind_comment(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("/*") {
            depth += 1;
            rest = inner;
        } else if let Some(outer) = rest.strip_prefix("*/") {
            depth = depth.saturating_sub(1);
            rest = outer;
            if depth == 0 {
                return rest;
            }
        } else {
            let mut letters = rest.chars();
            letters.next();
            rest = letters.as_str();
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn added(columns: &[&str]) -> Action {
        Action::AddColumns(columns.iter().map(|column| (*column).to_owned()).collect())
    }

    fn dropped(columns: &[&str]) -> Action {
        Action::DropColumns(columns.iter().map(|column| (*column).to_owned()).collect())
    }

    #[test]
    fn added_columns_are_named() {
        assert_eq!(read("ALTER TABLE dbo.t ADD c int NULL"), added(&["c"]));
        assert_eq!(
            read("alter table [my db]..[t]]x] add [a,b] decimal(10, 2) default (0), \"c\"\"d\" as (a + 1), e int"),
            added(&["a,b", "c\"d", "e"])
        );
        assert_eq!(
            read("ALTER TABLE t WITH NOCHECK ADD CONSTRAINT k CHECK (a > 0), c int DEFAULT 'x, y'"),
            added(&["c"])
        );
        assert_eq!(read("ALTER TABLE t ADD period int NOT NULL DEFAULT 5"), added(&["period"]));
        assert_eq!(read("ALTER TABLE t ADD PERIOD FOR SYSTEM_TIME (a, b)"), Action::Nothing);
        assert_eq!(read("/* a /* nested */ */ ALTER -- x\n TABLE t ADD é int;"), added(&["é"]));
    }

    #[test]
    fn dropped_columns_are_told_from_dropped_constraints() {
        assert_eq!(read("ALTER TABLE dbo.t DROP COLUMN a, b"), dropped(&["a", "b"]));
        assert_eq!(read("ALTER TABLE t DROP COLUMN IF EXISTS a"), dropped(&["a"]));
        assert_eq!(read("ALTER TABLE t DROP CONSTRAINT k, COLUMN [column], CONSTRAINT l"), dropped(&["column"]));
        assert_eq!(read("ALTER TABLE t DROP CONSTRAINT k WITH (ONLINE = ON, MAXDOP = 2)"), Action::Nothing);
        assert_eq!(read("ALTER TABLE t DROP k"), Action::Nothing);
        assert_eq!(read("ALTER TABLE t DROP COLUMN a, period"), dropped(&["a", "period"]));
        assert_eq!(read("ALTER TABLE t DROP PERIOD FOR SYSTEM_TIME"), Action::Nothing);
    }

    #[test]
    fn the_rest_is_told_apart() {
        assert_eq!(read("ALTER TABLE t ALTER COLUMN c bigint NOT NULL"), Action::AlterColumn("c".into()));
        assert_eq!(
            read("ALTER TABLE t SWITCH PARTITION 2 TO archive.old PARTITION 1"),
            Action::SwitchRows { target: Some("old".into()) }
        );
        for nothing in [
            "ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY (a, b)",
            "ALTER TABLE t ADD DEFAULT 0 FOR a",
            "ALTER TABLE t NOCHECK CONSTRAINT ALL",
            "ALTER TABLE t ENABLE TRIGGER g",
            "ALTER TABLE t REBUILD WITH (DATA_COMPRESSION = PAGE)",
            "CREATE UNIQUE NONCLUSTERED INDEX i ON t (a)",
            "DROP INDEX i ON t",
        ] {
            assert_eq!(read(nothing), Action::Nothing, "{nothing}");
        }
        for unclear in ["", "ALTER TABLE", "ALTER TABLE t", "EXEC sp_rename 't.a', 'b', 'COLUMN'", "ALTER TABLE t ADD"]
        {
            assert_eq!(read(unclear), Action::Unclear, "{unclear}");
        }
    }

    #[test]
    fn a_name_is_found_wherever_it_stands() {
        assert!(names("ALTER TABLE t ADD [My Col] int", "my col"));
        assert!(!names("ALTER TABLE t ADD a varchar(9) DEFAULT 'b' -- b", "b"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(ALTER|TABLE|ADD|DROP|COLUMN|t|a|,|\\(|\\)|\\[|\\]|'|\"|/\\*|\\*/|--|\n| |.){0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn a_quoted_name_comes_back(name in "[^\u{0}]{1,20}") {
            let statement = format!("ALTER TABLE t DROP COLUMN [{}]", name.replace(']', "]]"));
            prop_assert_eq!(read(&statement), Action::DropColumns(vec![name]));
        }
    }
}
