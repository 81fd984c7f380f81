//! The clients: each runs statements in one session and gives what comes of them as texts.

use std::fmt::Write as _;
use std::path::PathBuf;

use futures::TryStreamExt;
use millstream_sqlserver_sim::SqlServerSim;
use tiberius::{ColumnData, QueryItem, ToSql};

use crate::client::{Tiberius, config, connect_with};
use crate::programs::{get, python, tsql_in_order};

use super::{Argument, Lsns, Outcome, Statement, hex};

pub enum Client {
    Tiberius,
    FreeTds(PathBuf),
    Python(PathBuf),
}

/// Tiberius, and the others where they can be had.
pub fn all() -> Vec<Client> {
    let mut all = vec![Client::Tiberius];
    all.extend(get("get-freetds").map(Client::FreeTds));
    all.extend(get("get-python").map(Client::Python));
    all
}

impl Client {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tiberius => "tiberius",
            Self::FreeTds(_) => "FreeTDS",
            Self::Python(_) => "python-tds",
        }
    }

    pub fn run(&self, sim: &SqlServerSim, statements: &[Statement]) -> Vec<Outcome> {
        match self {
            Self::Tiberius => through_tiberius(sim, statements),
            Self::FreeTds(program) => through_tsql(program, sim, statements),
            Self::Python(program) => through_python(program, sim, statements),
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connected(sim: &SqlServerSim) -> Tiberius {
    let mut config = config(sim);
    config.database("shop");
    connect_with(config).await.unwrap()
}

pub fn lsns(sim: &SqlServerSim) -> Lsns {
    let rows = runtime().block_on(async {
        let mut client = connected(sim).await;
        let low = rows_of(&mut client, "SELECT sys.fn_cdc_get_min_lsn('dbo_orders')", &[]).await.unwrap();
        let commits = "SELECT start_lsn FROM cdc.lsn_time_mapping WHERE tran_id <> 0x00 ORDER BY start_lsn";
        [low, rows_of(&mut client, commits, &[]).await.unwrap()].concat()
    });
    let bytes = |text: &String| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let [low, first, second, third] = &rows[..] else { panic!("{rows:?}") };
    Lsns { low: bytes(&low[0]), commits: [bytes(&first[0]), bytes(&second[0]), bytes(&third[0])] }
}

/// The parts of a statement between its parameters, and the parameters.
fn parts(statement: &Statement) -> Vec<(&str, Option<&Argument>)> {
    let mut parts = Vec::new();
    let mut rest = statement.sql.as_str();
    loop {
        let found = statement
            .arguments
            .iter()
            .filter_map(|(name, argument)| Some((place_of(rest, name)?, name.len() + 1, argument)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, length, argument)) = found else {
            parts.push((rest, None));
            return parts;
        };
        parts.push((&rest[..at], Some(argument)));
        rest = &rest[at + length..];
    }
}

/// Where `@name` is, which isn't the beginning of another name.
fn place_of(text: &str, name: &str) -> Option<usize> {
    let whole = format!("@{name}");
    let ends = |at: usize| !text[at + whole.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_');
    text.match_indices(&whole).map(|(at, _)| at).find(|at| ends(*at))
}

/// A text with a parameter's place written by `place`, and the parameters in order.
fn placed(statement: &Statement, place: impl Fn(usize) -> String) -> (String, Vec<&Argument>) {
    let (mut sql, mut arguments) = (String::new(), Vec::new());
    for (text, argument) in parts(statement) {
        sql.push_str(text);
        if let Some(argument) = argument {
            arguments.push(argument);
            sql.push_str(&place(arguments.len()));
        }
    }
    (sql, arguments)
}

// Tiberius: typed parameters of sp_executesql, and plain batches without.

fn through_tiberius(sim: &SqlServerSim, statements: &[Statement]) -> Vec<Outcome> {
    runtime().block_on(async {
        let mut client = connected(sim).await;
        let mut outcomes = Vec::new();
        for statement in statements {
            let (sql, arguments) = placed(statement, |number| format!("@P{number}"));
            let values: Vec<Box<dyn ToSql>> = arguments
                .into_iter()
                .map(|argument| match argument {
                    Argument::Lsn(lsn) => Box::new(lsn.clone()) as Box<dyn ToSql>,
                    Argument::Text(text) => Box::new(*text),
                    Argument::Number(number) => Box::new(*number),
                })
                .collect();
            let values: Vec<&dyn ToSql> = values.iter().map(|value| &**value).collect();
            outcomes.push(match rows_of(&mut client, &sql, &values).await {
                Ok(rows) => Outcome::Rows(rows),
                Err(error) => Outcome::Failed(error.code().unwrap_or_else(|| panic!("{sql}: {error}"))),
            });
        }
        outcomes
    })
}

async fn rows_of(client: &mut Tiberius, sql: &str, values: &[&dyn ToSql]) -> tiberius::Result<Vec<Vec<String>>> {
    let mut stream =
        if values.is_empty() { client.simple_query(sql).await? } else { client.query(sql, values).await? };
    let mut rows = Vec::new();
    while let Some(item) = stream.try_next().await? {
        if let QueryItem::Row(row) = item {
            rows.push(row.into_iter().map(|value| text(&value)).collect());
        }
    }
    Ok(rows)
}

fn text(value: &ColumnData<'static>) -> String {
    let shown = match value {
        ColumnData::U8(value) => value.map(|value| value.to_string()),
        ColumnData::I16(value) => value.map(|value| value.to_string()),
        ColumnData::I32(value) => value.map(|value| value.to_string()),
        ColumnData::I64(value) => value.map(|value| value.to_string()),
        ColumnData::Bit(value) => value.map(|value| u8::from(value).to_string()),
        ColumnData::Numeric(value) => value.map(|value| value.to_string()),
        ColumnData::String(value) => value.as_ref().map(ToString::to_string),
        ColumnData::Binary(value) => value.as_ref().map(|value| hex(value)),
        // None of the statements is judged by these.
        other => Some(format!("{other:?}")),
    };
    shown.unwrap_or_else(|| "NULL".to_owned())
}

// FreeTDS: declared variables, and a row before each statement that tells that it begins.

const MARK: &str = "== statement ";

fn through_tsql(program: &std::path::Path, sim: &SqlServerSim, statements: &[Statement]) -> Vec<Outcome> {
    let mut script = "USE shop\nGO\n".to_owned();
    for (number, statement) in statements.iter().enumerate() {
        let (sql, arguments) = placed(statement, |number| format!("@v{number}"));
        let mut declared = String::new();
        for (number, argument) in (1..).zip(arguments) {
            match argument {
                Argument::Lsn(lsn) => write!(declared, "DECLARE @v{number} varbinary(10) = 0x{}; ", hex(lsn)).unwrap(),
                Argument::Text(text) => write!(declared, "DECLARE @v{number} nvarchar(128) = N'{text}'; ").unwrap(),
                Argument::Number(value) => write!(declared, "DECLARE @v{number} int = {value}; ").unwrap(),
            }
        }
        writeln!(script, "SELECT '{MARK}{number}'\nGO\n{declared}{sql}\nGO").unwrap();
    }
    outcomes(&tsql_in_order(program, sim, &script), |line| {
        // `Msg 313 (severity 16, state 3) from …`, and the text on lines of its own.
        let (number, rest) = line.strip_prefix("Msg ")?.split_once(" (severity ")?;
        let severity: u8 = rest.split(',').next()?.parse().ok()?;
        Some((severity > 10).then(|| number.parse().unwrap()))
    })
}

/// Rows by statement. `message` tells whether a line is a message, and the number of an error.
fn outcomes(out: &str, message: impl Fn(&str) -> Option<Option<u32>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for line in out.lines().filter(|line| !line.is_empty()) {
        if line.starts_with(MARK) {
            outcomes.push(Outcome::Rows(Vec::new()));
            continue;
        }
        let last = outcomes.last_mut().unwrap_or_else(|| panic!("{out}"));
        match (message(line), last) {
            (Some(Some(number)), last @ Outcome::Rows(_)) => *last = Outcome::Failed(number),
            (None, Outcome::Rows(rows)) if !line.starts_with("\t\"") => {
                rows.push(line.split('\t').map(str::to_owned).collect());
            }
            _ => {}
        }
    }
    outcomes
}

// Python: the driver's own placeholders, each statement as its text and the list of its values.

const SCRIPT: &str = r#"
import sys, pytds
c = pytds.connect('127.0.0.1', user='sa', password=sys.argv[2], port=int(sys.argv[1]), database='shop', autocommit=True)
cur = c.cursor()
def text(v):
    if v is None: return 'NULL'
    if isinstance(v, bool): return '1' if v else '0'
    if isinstance(v, (bytes, bytearray)): return bytes(v).hex()
    return str(v)
for number, (sql, values) in enumerate(STATEMENTS):
    print('== statement %d' % number)
    try:
        if values: cur.execute(sql, tuple(values))
        else: cur.execute(sql)
        while True:
            if cur.description:
                for row in cur.fetchall(): print('\t'.join(text(v) for v in row))
            if not cur.nextset(): break
    except pytds.Error as e:
        print('== error %d' % e.number)
"#;

fn through_python(program: &std::path::Path, sim: &SqlServerSim, statements: &[Statement]) -> Vec<Outcome> {
    let mut list = "import pytds\nSTATEMENTS = [\n".to_owned();
    for statement in statements {
        let doubled = Statement { sql: statement.sql.replace('%', "%%"), ..statement.clone() };
        let (mut sql, arguments) = placed(&doubled, |_| "%s".to_owned());
        if arguments.is_empty() {
            sql.clone_from(&statement.sql);
        }
        let values: Vec<String> = arguments
            .into_iter()
            .map(|argument| match argument {
                Argument::Lsn(lsn) => format!("pytds.Binary(bytes.fromhex('{}'))", hex(lsn)),
                Argument::Text(text) => format!("{text:?}"),
                Argument::Number(number) => number.to_string(),
            })
            .collect();
        writeln!(list, "({sql:?}, [{}]),", values.join(", ")).unwrap();
    }
    outcomes(&python(program, sim, &format!("{list}]\n{SCRIPT}")), |line| {
        line.strip_prefix("== error ").map(|number| Some(number.parse().unwrap()))
    })
}
