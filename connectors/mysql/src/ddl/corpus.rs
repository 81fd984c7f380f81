//! The statements of tests/ddl/statements.txt, each read as written there; and texts of any kind at all.

use millstream_core::schema::TableName;
use proptest::prelude::*;

use super::*;
use crate::version::{Flavor, Version};

const CORPUS: &str = include_str!("../../tests/ddl/statements.txt");

/// How the statements below a line with `@` are to be read.
#[derive(Debug, Clone, Copy)]
struct Circumstances {
    version: Version,
    mode: SqlMode,
    names: NameCase,
    client_collation: Option<u16>,
    thread_specific: bool,
}

impl Circumstances {
    fn parse(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let flavor = if words.next() == Some("mariadb") { "-MariaDB" } else { "" };
        let version = Version::parse(&format!("{}{flavor}", words.next().unwrap())).unwrap();
        let mut this = Self {
            version,
            mode: SqlMode::default(),
            names: NameCase::Sensitive,
            client_collation: None,
            thread_specific: false,
        };
        for word in words {
            match word {
                "ansi_quotes" => this.mode.ansi_quotes = true,
                "no_backslash_escapes" => this.mode.no_backslash_escapes = true,
                "no_zero_in_date" => this.mode.no_zero_in_date = true,
                "strict" => this.mode.strict = true,
                "mssql" => this.mode = SqlMode::from_bits(58_382),
                "lower" => this.names = NameCase::Lower,
                "latin1" => this.client_collation = Some(8),
                "thread_specific" => this.thread_specific = true,
                other => panic!("unknown circumstance {other}"),
            }
        }
        this
    }

    fn read(&self, statement: &[u8]) -> Statement {
        let Self { version, mode, names, client_collation, thread_specific } = *self;
        read(statement, &Context { database: "d", mode, client_collation, thread_specific, version, names })
    }
}

/// The statement's bytes: `\n`, `\t`, `\r`, `\xNN` stand for what they do everywhere.
fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, length) = match tail {
            [b'n', ..] if *first == b'\\' => (b'\n', 2),
            [b't', ..] if *first == b'\\' => (b'\t', 2),
            [b'r', ..] if *first == b'\\' => (b'\r', 2),
            [b'x', high, low, ..] if *first == b'\\' => {
                let digits = String::from_utf8(vec![*high, *low]).unwrap();
                (u8::from_str_radix(&digits, 16).unwrap(), 4)
            }
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

/// Line number, circumstances, statement, expected reading.
fn cases() -> Vec<(usize, Circumstances, String, String)> {
    let mut cases = Vec::new();
    let mut circumstances = None;
    let mut statement = None;
    for (index, line) in CORPUS.lines().enumerate() {
        if let Some(reading) = line.strip_prefix("    ") {
            // A comment line of the file may be a statement, too, and so may an empty one.
            let statement: String = statement.take().unwrap_or_default();
            cases.push((index + 1, circumstances.unwrap(), statement, reading.trim_end().to_owned()));
        } else if let Some(line) = line.strip_prefix("@ ") {
            circumstances = Some(Circumstances::parse(line));
        } else {
            statement = Some(line.to_owned());
        }
    }
    cases
}

/// A reading in the words of the corpus; `Err` for those that list suspects.
fn words(statement: &Statement) -> Result<String, (&'static str, &Suspects)> {
    let tables = |tables: &[TableName]| tables.iter().map(|table| format!(" {table}")).collect::<String>();
    let flag = |set: bool, word: &str| if set { format!(" {word}") } else { String::new() };
    Ok(match statement {
        Statement::Noise => "noise".to_owned(),
        Statement::Transaction(control) => transaction_words(control),
        Statement::Create(create) => {
            let like = create.like.as_ref().map(|like| format!(" like {like}")).unwrap_or_default();
            let flags = flag(create.or_replace, "or replace")
                + &flag(create.if_not_exists, "if not exists")
                + &flag(create.temporary, "temporary")
                + &flag(create.as_select, "with rows")
                + &flag(create.foreign_keys, "foreign keys");
            format!("create {}{like}{flags}", create.table)
        }
        Statement::Drop { tables: dropped, temporary } => {
            format!("drop{}{}", tables(dropped), flag(*temporary, "temporary"))
        }
        Statement::DropDatabase { database } => format!("drop database {database}"),
        Statement::Truncate { table } => format!("truncate {table}"),
        Statement::Optimize { tables: optimized } => format!("optimize{}", tables(optimized)),
        Statement::Rename { pairs } => {
            pairs.iter().fold("rename".to_owned(), |text, (from, to)| format!("{text} {from}>{to}"))
        }
        Statement::Alter(alter) => {
            let to = alter.rename_to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            let flags =
                flag(alter.shape, "shape") + &flag(alter.rows, "rows") + &flag(alter.foreign_keys, "foreign keys");
            let others = flag(!alter.others.is_empty(), "others") + &tables(&alter.others);
            format!("alter {}{flags}{to}{others}", alter.table)
        }
        Statement::StoredObjects(names) => format!("stored{}", tables(names)),
        Statement::Dml(dml) => return Err(("dml", &dml.written)),
        Statement::Unknown(suspects) => return Err(("unknown", suspects)),
    })
}

fn transaction_words(control: &Transaction) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let xid = |xid: &Xid| format!("{},{},{}", hex(&xid.global), hex(&xid.branch), xid.format);
    match control {
        Transaction::Begin => "begin".to_owned(),
        Transaction::Commit => "commit".to_owned(),
        Transaction::Rollback => "rollback".to_owned(),
        Transaction::Savepoint(name) => format!("savepoint {name}"),
        Transaction::RollbackTo(name) => format!("rollback to {name}"),
        Transaction::Release(name) => format!("release {name}"),
        Transaction::XaStart(id) => format!("xa start {}", xid(id)),
        Transaction::XaEnd(id) => format!("xa end {}", xid(id)),
        Transaction::XaPrepare(id) => format!("xa prepare {}", xid(id)),
        Transaction::XaCommit { xid: id, one_phase } => {
            format!("xa commit {}{}", xid(id), if *one_phase { " one phase" } else { "" })
        }
        Transaction::XaRollback(id) => format!("xa rollback {}", xid(id)),
    }
}

fn suspects_as_expected(kind: &str, suspects: &Suspects, expected: &str) -> bool {
    let Some(list) = expected.strip_prefix(kind) else { return false };
    if list.trim() == "*" {
        return *suspects == Suspects::Everything;
    }
    let (among, not) = list.split_once("but not").unwrap_or((list, ""));
    let table = |name: &str| {
        let (schema, name) = name.split_once('.').unwrap();
        TableName::new(schema, name)
    };
    among.split_whitespace().all(|name| suspects.include(&table(name)))
        && !not.split_whitespace().any(|name| suspects.include(&table(name)))
}

#[test]
fn every_statement_of_the_corpus_is_read_as_written_there() {
    let cases = cases();
    assert!(cases.len() > 250, "{} cases", cases.len());
    let mut wrong = String::new();
    for (line, circumstances, statement, expected) in cases {
        let reading = circumstances.read(&unescape(&statement));
        let right = match words(&reading) {
            Ok(words) => words == expected,
            Err((kind, suspects)) => suspects_as_expected(kind, suspects, &expected),
        };
        if !right {
            let found = words(&reading).unwrap_or_else(|(kind, suspects)| format!("{kind} {suspects:?}"));
            wrong.push_str(&format!("line {line}: {statement}\n  expected {expected}\n  found    {found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Pieces that texts with trouble are made of.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = CORPUS.split_whitespace().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let signs =
        ["'", "\"", "`", "/*", "*/", "/*!", "/*!80000 ", "/*M!", "--", "-- ", "#", "\\", "\n", ";", "(", ")", ",", "."];
    prop_oneof![
        4 => prop::sample::select(words),
        2 => prop::sample::select(signs.map(|sign| sign.as_bytes().to_vec()).to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
        2 => Just(b" ".to_vec()),
    ]
}

fn circumstances() -> impl Strategy<Value = Circumstances> {
    let collations = prop::option::of(prop::sample::select(vec![8_u16, 13, 28, 33, 63, 255]));
    (any::<[bool; 7]>(), collations).prop_map(
        |([maria, ansi, backslash, brackets, lower, specific, dates], collation)| Circumstances {
            version: match maria {
                true => Version::new(Flavor::MariaDb, 10, 11, 19),
                false => Version::new(Flavor::MySql, 9, 7, 4),
            },
            mode: SqlMode {
                ansi_quotes: ansi,
                no_backslash_escapes: backslash,
                brackets,
                strict: false,
                no_zero_in_date: dates,
            },
            names: if lower { NameCase::Lower } else { NameCase::Sensitive },
            client_collation: collation,
            thread_specific: specific,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_text_has_a_reading(pieces in prop::collection::vec(piece(), 0..40), circumstances in circumstances()) {
        circumstances.read(&pieces.concat());
    }

    #[test]
    fn every_sequence_of_bytes_has_a_reading(bytes in prop::collection::vec(any::<u8>(), 0..200), circumstances in circumstances()) {
        circumstances.read(&bytes);
    }

    /// Whatever else stands around it, a table whose name the reader hears in a statement about tables is named.
    #[test]
    fn a_table_named_in_an_unknown_statement_is_suspected(
        before in prop::sample::select(vec!["FROB", "ALTER FROB", "DROP FROB", "REPAIR TABLE", "CREATE FROB TABLE"]),
        name in "[a-z][a-z0-9 ._`]{0,8}",
        after in prop::sample::select(vec!["", "x", ", y.z", "(", "'open", "; COMMIT"]),
    ) {
        let statement = format!("{before} `{}` {after}", name.replace('`', "``"));
        let circumstances = Circumstances::parse("mysql 8.4.0");
        prop_assert!(circumstances.read(statement.as_bytes()).concerns(&TableName::new("d", name)));
    }
}
