//! The effect reader against what statements really did: random statements on a real server, and for every table that
//! looks otherwise afterwards, the log's text of the statement must have been read as saying so.
//!
//! `MILLSTREAM_SEED` replays one run, `MILLSTREAM_STATEMENTS` sets its length.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::schema::TableName;
use millstream_testkit::{Endpoint, Flavor, Server, ServerOptions, require_server};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::version::Version;

const SETUP: &str = "
    DROP DATABASE IF EXISTS d; DROP DATABASE IF EXISTS e; CREATE DATABASE d; CREATE DATABASE e; USE d;
    CREATE TABLE t (id INT NOT NULL, c INT, s VARCHAR(10), PRIMARY KEY (id)) PARTITION BY RANGE (id)
        (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30));
    CREATE TABLE u (id INT NOT NULL, c INT, s VARCHAR(10), PRIMARY KEY (id));
    CREATE TABLE v (id INT PRIMARY KEY, c INT NOT NULL, x ENUM('a', 'b'), y TEXT, UNIQUE KEY k (c), KEY l (x));
    CREATE TABLE `odd ``name` (c INT, x INT);
    CREATE TABLE e.t (id INT PRIMARY KEY, c INT);
    INSERT INTO t VALUES (1, 0, 'a'), (11, 1, 'b'), (21, NULL, '');
    INSERT INTO u VALUES (2, 0, 'u');
    INSERT INTO v VALUES (1, 0, 'a', NULL), (2, 1, 'b', 'text');
    INSERT INTO `odd ``name` VALUES (1, 1), (1, 1), (2, NULL);
    INSERT INTO e.t VALUES (1, 5);";

/// `T` stands for a table's name, `U` for another, `C` for a column's; `~` for a place where a comment may stand.
const TEMPLATES: &[&str] = &[
    "ALTER~TABLE~T~ADD COLUMN C INT",
    "ALTER TABLE T ADD (C INT, C VARCHAR(5) DEFAULT 'a,b')",
    "ALTER TABLE T ADD COLUMN C INT NOT NULL DEFAULT 5 COMMENT 'x, RENAME TO U' FIRST",
    "ALTER TABLE T ADD C BIGINT AS (1 + 1) VIRTUAL, ALGORITHM=INPLACE",
    "ALTER TABLE T DROP~C",
    "ALTER TABLE T DROP COLUMN C, ADD COLUMN C TEXT",
    "ALTER TABLE T MODIFY C BIGINT",
    "ALTER TABLE T MODIFY C BIGINT NOT NULL AUTO_INCREMENT",
    "ALTER TABLE T CHANGE C C VARCHAR(30) CHARACTER SET latin1",
    "ALTER TABLE T RENAME COLUMN C TO C",
    "ALTER TABLE T RENAME COLUMN c TO id, RENAME COLUMN id TO c",
    "ALTER TABLE T CHANGE c x INT, CHANGE x c INT",
    "ALTER TABLE T ADD (C INT), DROP C",
    "ALTER TABLE T RENAME COLUMN C TO C, ADD COLUMN C INT",
    "ALTER TABLE T ALTER C SET DEFAULT 7",
    "ALTER TABLE T RENAME~U",
    "ALTER TABLE T RENAME TO U, ADD COLUMN C INT",
    "ALTER TABLE T~RENAME AS~U",
    "ALTER TABLE T ADD UNIQUE (C)",
    "ALTER TABLE T ADD UNIQUE KEY k2 (C), ADD INDEX k3 (C)",
    "ALTER TABLE T ADD PRIMARY KEY (C)",
    "ALTER TABLE T DROP PRIMARY KEY",
    "ALTER TABLE T DROP INDEX k",
    "ALTER TABLE T DROP KEY l",
    "ALTER TABLE T RENAME INDEX k TO k9",
    "ALTER TABLE T ENGINE=MyISAM",
    "ALTER TABLE T ENGINE=InnoDB, COMMENT 'RENAME TO x'",
    "ALTER TABLE T ENGINE=MEMORY",
    "ALTER TABLE T ENGINE=BLACKHOLE",
    "ALTER TABLE T CONVERT TO CHARACTER SET latin1",
    "ALTER TABLE T DEFAULT CHARSET=latin1",
    "ALTER TABLE T ORDER BY C, C DESC",
    "ALTER TABLE T FORCE",
    "ALTER TABLE T AUTO_INCREMENT = 100 ROW_FORMAT=DYNAMIC",
    "ALTER TABLE T PARTITION BY HASH (id) PARTITIONS 3",
    "ALTER TABLE T REMOVE PARTITIONING",
    "ALTER TABLE T TRUNCATE PARTITION p0",
    "ALTER TABLE T TRUNCATE PARTITION ALL",
    "ALTER TABLE T DROP~PARTITION p1",
    "ALTER TABLE T DROP PARTITION p0, p1",
    "ALTER TABLE T EXCHANGE PARTITION p0 WITH~TABLE U",
    "ALTER TABLE T EXCHANGE PARTITION p1 WITH TABLE U WITHOUT VALIDATION",
    "ALTER TABLE T ADD PARTITION (PARTITION p8 VALUES LESS THAN (80))",
    "ALTER TABLE T REORGANIZE PARTITION p0, p1 INTO (PARTITION p0 VALUES LESS THAN (20))",
    "ALTER TABLE T REBUILD PARTITION ALL",
    "ALTER IGNORE TABLE T ADD UNIQUE (C)",
    "ALTER TABLE T CONVERT PARTITION p1 TO TABLE U",
    "ALTER TABLE T CONVERT TABLE U TO PARTITION p9 VALUES LESS THAN (90)",
    "CREATE UNIQUE INDEX i9 ON T (C)",
    "CREATE INDEX i8 USING BTREE ON T (C)",
    "DROP INDEX k ON T",
    "DROP~TABLE~T",
    "DROP TABLE IF EXISTS T, U",
    "DROP TABLES U",
    "TRUNCATE T",
    "TRUNCATE~TABLE T",
    "RENAME TABLE T TO U",
    "RENAME TABLE T TO d.tmp, U TO T, d.tmp TO U",
    "RENAME~TABLE T TO e.z, U~TO T",
    "CREATE TABLE T (id INT PRIMARY KEY, C INT)",
    "CREATE TABLE IF NOT EXISTS T (id INT PRIMARY KEY)",
    "CREATE TABLE T LIKE U",
    "CREATE TABLE T (LIKE U)",
    "CREATE TABLE T AS SELECT * FROM U",
    "CREATE TABLE T SELECT 1 AS id",
    "CREATE OR REPLACE TABLE T (id INT PRIMARY KEY, C DATE)",
    "CREATE OR REPLACE TABLE T AS SELECT 2 AS id",
    "SET STATEMENT max_statement_time = 100 FOR ALTER TABLE T ADD COLUMN C INT",
    "SET STATEMENT lock_wait_timeout = 9 FOR DROP TABLE T",
    "DROP DATABASE e",
    "CREATE OR REPLACE DATABASE e",
    "ALTER DATABASE d CHARACTER SET latin1",
    "/*!50000 ALTER TABLE T ADD COLUMN C INT */",
    "/*!100000 DROP TABLE T */",
    "/*!80000 ALTER TABLE T RENAME TO U */",
    "/*M!100000 ALTER TABLE T ADD COLUMN C INT */",
    "CREATE OR REPLACE VIEW w AS SELECT * FROM T",
    "DROP VIEW IF EXISTS w",
    "ANALYZE TABLE T",
    "OPTIMIZE TABLE T",
    "REPAIR TABLE T",
];

const TABLES: &[&str] =
    &["t", "u", "v", "`odd ``name`", "e.t", "`d`.`t`", "d . v", "e.`u`", "new", "`e`.z", "t", "u", "v", "`odd ``name`"];
const COLUMNS: &[&str] = &["c", "x", "id", "`s`", "y", "`n,e)w`", "w"];
const COMMENTS: &[&str] = &[" ", " ", " ", " /* DROP TABLE v */ ", " -- ; x\n", "\n\t# `\n", "/**/"];

fn pick<'a>(from: &[&'a str], rng: &mut StdRng) -> &'a str {
    from[rng.random_range(0..from.len())]
}

/// A name without quotes and the default database.
fn plain(name: &str) -> String {
    let name = name.replace(['`', ' '], "");
    name.strip_prefix("d.").unwrap_or(&name).to_owned()
}

fn statement(rng: &mut StdRng) -> String {
    let template = pick(TEMPLATES, rng);
    let (first, mut second) = (pick(TABLES, rng), pick(TABLES, rng));
    // MariaDB 10.11 takes a partition's conversion to its own table's name, and loses the table without logging it.
    while template.contains("CONVERT PARTITION") && plain(first) == plain(second) {
        second = pick(TABLES, rng);
    }
    let mut text = String::new();
    let mut letters = template.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let alone = !before.is_alphanumeric() && letters.peek().is_none_or(|next| !next.is_alphanumeric());
        match letter {
            'T' if alone => text.push_str(first),
            'U' if alone => text.push_str(second),
            'C' if alone => text.push_str(pick(COLUMNS, rng)),
            '~' => text.push_str(pick(COMMENTS, rng)),
            other => text.push(other),
        }
        before = letter;
    }
    text
}

/// What a table looks like: its columns and unique keys, and its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    shape: Vec<Vec<Option<String>>>,
    rows: Vec<Vec<Option<String>>>,
}

async fn looks(server: &Endpoint) -> BTreeMap<TableName, Look> {
    let scope = "table_schema IN ('d', 'e')";
    let queries = [
        format!(
            "SELECT table_schema, table_name, column_name, column_type, is_nullable, collation_name, \
             generation_expression, column_default FROM information_schema.columns WHERE {scope} \
             ORDER BY column_name"
        ),
        format!(
            "SELECT table_schema, table_name, index_name, column_name, seq_in_index FROM information_schema.statistics \
             WHERE non_unique = 0 AND {scope} ORDER BY index_name, seq_in_index"
        ),
    ];
    let names = format!(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE {scope} AND table_type = 'BASE TABLE'"
    );
    let name = |row: &[Option<String>]| TableName::new(row[0].clone().unwrap(), row[1].clone().unwrap());
    let mut looks = BTreeMap::new();
    for row in server.rows(&names).await.unwrap() {
        let table = name(&row);
        // In the order of their names: as whoever compares shapes column by column sees them.
        let columns = format!(
            "SELECT GROUP_CONCAT(CONCAT('`', column_name, '`') ORDER BY column_name) FROM information_schema.columns \
             WHERE table_schema = '{}' AND table_name = '{}'",
            table.schema, table.name
        );
        let columns = server.value(&columns).await.unwrap().unwrap();
        let query = format!("SELECT {columns} FROM `{}`.`{}`", table.schema, table.name.replace('`', "``"));
        let mut rows = server.rows(&query).await.unwrap();
        rows.sort();
        looks.insert(table, Look { shape: Vec::new(), rows });
    }
    for query in queries {
        for row in server.rows(&query).await.unwrap() {
            if let Some(look) = looks.get_mut(&name(&row)) {
                look.shape.push(row);
            }
        }
    }
    looks
}

/// The statements that the log got since `from`, and where it ends.
async fn logged(server: &Endpoint, flavor: Flavor, from: &mut (String, String)) -> Vec<String> {
    let status = if flavor == Flavor::MySql { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let query = format!("SHOW BINLOG EVENTS IN '{}' FROM {}", from.0, from.1);
    let events = if from.0.is_empty() { Vec::new() } else { server.rows(&query).await.unwrap() };
    let row = server.rows(status).await.unwrap().remove(0);
    *from = (row[0].clone().unwrap(), row[1].clone().unwrap());
    let texts = events.into_iter().filter(|event| event[2].as_deref() == Some("Query"));
    texts
        .map(|event| event[5].clone().unwrap())
        .map(|text| match text.split_once("; ") {
            Some((before, statement)) if before.starts_with("use `") => statement.to_owned(),
            _ => text,
        })
        .collect()
}

fn says_shape(statement: &Statement, table: &TableName) -> bool {
    match statement {
        Statement::Alter(alter) if alter.table == *table => alter.shape || alter.rename_to.is_some(),
        other => other.concerns(table),
    }
}

fn says_rows(statement: &Statement, table: &TableName) -> bool {
    match statement {
        Statement::Alter(alter) if alter.table == *table => alter.rows || alter.rename_to.is_some(),
        other => other.concerns(table),
    }
}

/// What is wrong with the readings of what was logged between two states, if anything.
fn fault(
    before: &BTreeMap<TableName, Look>,
    after: &BTreeMap<TableName, Look>,
    readings: &[Statement],
) -> Option<String> {
    let names: BTreeSet<&TableName> = before.keys().chain(after.keys()).collect();
    names.into_iter().find_map(|name| {
        let (was, is) = (before.get(name), after.get(name));
        let said = |says: fn(&Statement, &TableName) -> bool| readings.iter().any(|reading| says(reading, name));
        match (was, is) {
            (Some(was), Some(is)) if was.shape != is.shape => {
                (!said(says_shape)).then(|| format!("{name} has another shape: {was:?} -> {is:?}"))
            }
            (Some(was), Some(is)) if was.rows != is.rows => {
                (!said(says_rows)).then(|| format!("{name} has other rows"))
            }
            (Some(_), Some(_)) => None,
            _ => (!said(Statement::concerns)).then(|| format!("{name} came or went")),
        }
    })
}

async fn run(flavor: Flavor) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("MILLSTREAM_SEED").unwrap_or_else(rand::random);
    let count = number("MILLSTREAM_STATEMENTS").unwrap_or(250);
    println!("seed {seed} (replay: MILLSTREAM_SEED={seed})");
    let mut rng = StdRng::seed_from_u64(seed);
    let server = Server::start(flavor, ServerOptions::new()).await.unwrap();
    let version = server.version().to_owned() + if flavor == Flavor::MariaDb { "-MariaDB" } else { "" };
    let version = Version::parse(&version).unwrap();
    let mut position = (String::new(), String::new());
    let mut conn: Conn = server.connect().await.unwrap();
    let (mut before, mut ansi_quotes, mut done) = (BTreeMap::new(), false, 0);
    for index in 0..count {
        if index % 20 == 0 {
            server.sql(SETUP).await.unwrap();
            ansi_quotes = rng.random_bool(0.3);
            let mode = match (ansi_quotes, rng.random_bool(0.5)) {
                (true, _) => "ANSI_QUOTES",
                (false, true) => "STRICT_ALL_TABLES",
                (false, false) => "",
            };
            conn.query_drop(format!("SET sql_mode = '{mode}'; USE d")).await.unwrap();
            logged(&server, flavor, &mut position).await;
            before = looks(&server).await;
        }
        let mut text = statement(&mut rng);
        if ansi_quotes && rng.random_bool(0.5) {
            text = text.replace("``", "\u{1}").replace('`', "\"").replace('\u{1}', "`");
        }
        if conn.query_drop(&text).await.is_err() {
            // Some do a part of their work even so.
        } else {
            done += 1;
        }
        let after = looks(&server).await;
        let statements = logged(&server, flavor, &mut position).await;
        let context = Context {
            database: "d",
            mode: SqlMode { ansi_quotes, ..SqlMode::default() },
            client_collation: None,
            thread_specific: false,
            version,
            names: NameCase::Sensitive,
        };
        let readings: Vec<Statement> = statements.iter().map(|text| read(text.as_bytes(), &context)).collect();
        if let Some(fault) = fault(&before, &after, &readings) {
            panic!("statement {index}: {text}\nlogged {statements:?}\nread {readings:?}\n{fault}");
        }
        before = after;
    }
    println!("{done} of {count} statements succeeded");
    assert!(done > count / 10, "only {done} of {count} statements succeeded");
    conn.disconnect().await.unwrap();
}

#[tokio::test]
async fn every_table_that_a_statement_changed_is_named_on_mysql() {
    require_server!(Flavor::MySql);
    run(Flavor::MySql).await;
}

#[tokio::test]
async fn every_table_that_a_statement_changed_is_named_on_mariadb() {
    require_server!(Flavor::MariaDb);
    run(Flavor::MariaDb).await;
}
