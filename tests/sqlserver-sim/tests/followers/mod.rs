//! What programs that follow changes ask of a server, in the form in which they ask it, each through clients that know
//! nothing of the simulator: tiberius, FreeTDS and a Python driver.
//!
//! Parameters are written `@name`; each client passes them in its own way.

mod clients;
mod debezium;
mod estuary;
mod materialize;
mod powersync;

use std::time::Duration;

use millstream_sqlserver_sim::{Options, Schedule, SqlServerSim};

/// Two captured tables; the statements begin in their database.
const SETUP: &str = "
CREATE DATABASE shop;
ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON;
GO
USE shop;
EXEC sys.sp_cdc_enable_db;
GO
CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, note nvarchar(50) NULL, total decimal(10,2) NOT NULL,
  twice AS total * 2);
CREATE TABLE dbo.items (id int NOT NULL PRIMARY KEY, order_id int NOT NULL);
EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'orders', @role_name = NULL;
EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'items', @role_name = NULL;
GO
";

/// Each a transaction of its own, a second apart.
const CHANGES: [&str; 3] = [
    "INSERT INTO dbo.orders VALUES (1, N'first', 10), (2, N'second', 20)",
    "BEGIN TRAN; UPDATE dbo.orders SET note = N'changed' WHERE id = 1; INSERT INTO dbo.items VALUES (1, 1); COMMIT",
    "DELETE FROM dbo.orders WHERE id = 2",
];

/// 2026-01-01.
const START: Duration = Duration::from_secs(1_767_225_600);

fn shop() -> SqlServerSim {
    let options = Options { schedule: Schedule::ByHand, clock: Some(START), ..Options::default() };
    let sim = SqlServerSim::start(&options).unwrap();
    sim.run_script(SETUP).unwrap();
    sim.control().scan("shop").unwrap();
    for change in CHANGES {
        sim.control().advance_clock(Duration::from_secs(1));
        sim.run_script(&format!("USE shop; {change}")).unwrap();
    }
    sim.control().scan("shop").unwrap();
    sim
}

/// The LSNs of [`CHANGES`], and the low end of `dbo.orders` before them.
#[derive(Clone, Debug)]
struct Lsns {
    low: Vec<u8>,
    commits: [Vec<u8>; 3],
}

impl Lsns {
    fn max(&self) -> &[u8] {
        &self.commits[2]
    }
}

/// A parameter's value.
#[derive(Clone, Debug)]
enum Argument {
    Lsn(Vec<u8>),
    Text(&'static str),
    Number(i32),
}

impl From<&Vec<u8>> for Argument {
    fn from(lsn: &Vec<u8>) -> Self {
        Self::Lsn(lsn.clone())
    }
}

impl From<&[u8]> for Argument {
    fn from(lsn: &[u8]) -> Self {
        Self::Lsn(lsn.to_vec())
    }
}

impl From<&'static str> for Argument {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl From<i32> for Argument {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

/// What must come of a statement.
#[derive(Clone, Debug)]
enum Expected {
    /// No error.
    Done,
    /// So many rows.
    Rows(usize),
    /// The texts of the values of some columns by position, row by row: `NULL`, hexadecimal digits, 1 and 0 for bits.
    Values(Vec<usize>, Vec<Vec<String>>),
    /// This error.
    Error(u32),
}

/// One statement of a follower.
#[derive(Clone, Debug)]
struct Statement {
    what: &'static str,
    sql: String,
    arguments: Vec<(&'static str, Argument)>,
    expected: Expected,
}

fn statement(what: &'static str, sql: &str) -> Statement {
    Statement { what, sql: sql.to_owned(), arguments: Vec::new(), expected: Expected::Done }
}

impl Statement {
    fn with(mut self, name: &'static str, value: impl Into<Argument>) -> Self {
        self.arguments.push((name, value.into()));
        self
    }

    fn gives_rows(self, rows: usize) -> Self {
        Self { expected: Expected::Rows(rows), ..self }
    }

    /// The first column's values.
    fn gives(self, values: &[&str]) -> Self {
        self.gives_in(0, values)
    }

    /// A column's values.
    fn gives_in(self, column: usize, values: &[&str]) -> Self {
        let rows: Vec<[&str; 1]> = values.iter().map(|value| [*value]).collect();
        let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
        self.gives_all(&[column], &rows)
    }

    /// The values of some columns.
    fn gives_all(self, columns: &[usize], rows: &[&[&str]]) -> Self {
        let rows = rows.iter().map(|row| row.iter().map(|value| (*value).to_owned()).collect()).collect();
        Self { expected: Expected::Values(columns.to_vec(), rows), ..self }
    }

    fn fails(self, number: u32) -> Self {
        Self { expected: Expected::Error(number), ..self }
    }

    fn check(&self, client: &str, outcome: &Outcome) {
        let told = || format!("{} through {client}: {}", self.what, self.sql);
        match (&self.expected, outcome) {
            (Expected::Error(number), Outcome::Failed(failed)) => assert_eq!(number, failed, "{}", told()),
            (Expected::Error(number), Outcome::Rows(rows)) => panic!("{}: not error {number} but {rows:?}", told()),
            (_, Outcome::Failed(number)) => panic!("{}: error {number}", told()),
            (Expected::Done, Outcome::Rows(_)) => {}
            (Expected::Rows(count), Outcome::Rows(rows)) => assert_eq!(*count, rows.len(), "{}: {rows:?}", told()),
            (Expected::Values(columns, expected), Outcome::Rows(rows)) => {
                let seen: Vec<Vec<String>> =
                    rows.iter().map(|row| columns.iter().map(|column| row[*column].clone()).collect()).collect();
                assert_eq!(expected, &seen, "{}: {rows:?}", told());
            }
        }
    }
}

/// What came of a statement: the rows of all its results as texts, or the number of its error.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    Rows(Vec<Vec<String>>),
    Failed(u32),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a follower's statements one after another in one session of each client, each client on a server of its own.
fn follow(statements: impl Fn(&Lsns) -> Vec<Statement>) {
    for client in clients::all() {
        let sim = shop();
        let statements = statements(&clients::lsns(&sim));
        let outcomes = client.run(&sim, &statements);
        assert_eq!(outcomes.len(), statements.len(), "{}: {outcomes:?}", client.name());
        for (statement, outcome) in statements.iter().zip(&outcomes) {
            statement.check(client.name(), outcome);
        }
    }
}
