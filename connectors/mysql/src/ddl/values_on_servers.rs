//! [`values_kept`] against real servers: wherever it says that values are kept, they are.

use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};
use millstream_testkit::{Endpoint, Flavor, require_server, shared};
use mysql_async::prelude::Queryable;

use super::*;

/// Definitions, and values for each that go to the ends of what it holds.
const DEFINITIONS: &[(&str, &str)] = &[
    ("TINYINT", "-128, 127, 0"),
    ("TINYINT(3) UNSIGNED ZEROFILL", "0, 5, 255"),
    ("SMALLINT UNSIGNED", "0, 65535"),
    ("MEDIUMINT", "-8388608, 8388607"),
    ("INT", "-2147483648, 2147483647"),
    ("INT UNSIGNED", "0, 4294967295"),
    ("BIGINT", "-9223372036854775808, 9223372036854775807"),
    ("BIGINT UNSIGNED", "0, 18446744073709551615"),
    ("DECIMAL(5,2)", "-999.99, 0, 0.10, 12"),
    ("DECIMAL(7,2) UNSIGNED", "99999.99, 0"),
    ("DECIMAL(9,2)", "-9999999.99"),
    ("CHAR(3) CHARACTER SET latin1", "'', 'a  ', ' b ', 'é'"),
    ("CHAR(5) CHARACTER SET latin1 COLLATE latin1_bin", "'', 'abcde'"),
    ("CHAR(3) CHARACTER SET utf8mb3", "'', 'é  ', '語'"),
    ("CHAR(4) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "'', '😀  '"),
    ("VARCHAR(3) CHARACTER SET latin1", "'', 'a  ', ' b ', 'é'"),
    ("VARCHAR(300) CHARACTER SET latin1 COLLATE latin1_bin", "'', REPEAT('é', 300)"),
    ("VARCHAR(3) CHARACTER SET utf8mb3", "'', 'a  ', '語  '"),
    ("VARCHAR(300) CHARACTER SET utf8mb3", "'', REPEAT('語', 300)"),
    ("VARCHAR(300) CHARACTER SET utf8mb4", "'', REPEAT('😀', 300)"),
    ("VARCHAR(20000) CHARACTER SET utf8mb3", "REPEAT('語', 20000)"),
    ("TINYTEXT CHARACTER SET utf8mb3", "'', REPEAT('語', 85)"),
    ("TEXT CHARACTER SET utf8mb3", "'', REPEAT('語', 21845)"),
    ("TEXT CHARACTER SET utf8mb4", "'', ' 😀 '"),
    ("MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "'', 'x '"),
    ("LONGTEXT CHARACTER SET utf8mb4", "'', 'x '"),
    ("VARBINARY(3)", "'', 'a  ', X'00ff00'"),
    ("VARBINARY(300)", "'', X'00ff00'"),
    ("TINYBLOB", "'', X'00ff00'"),
    ("BLOB", "'', X'00ff00'"),
    ("LONGBLOB", "'', X'00ff00'"),
    ("ENUM('a', 'b ', 'c''d') CHARACTER SET latin1", "'a', 'b', 'c''d', 'nothing'"),
    ("ENUM('a', 'b ', 'c''d', 'e', '') CHARACTER SET latin1", "'e', '', 'nothing'"),
    ("ENUM('a', 'b') CHARACTER SET utf8mb3", "'a', 'b', 'nothing'"),
    ("ENUM('a', 'b', '😀') CHARACTER SET utf8mb4", "'a', '😀'"),
    ("SET('a', 'b')", "'', 'a', 'a,b'"),
    ("SET('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i')", "'', 'a,i', 'b'"),
    ("DATETIME", "'0000-00-00', '2024-00-15', '2024-02-29 23:59:59', '9999-12-31 23:59:59'"),
    ("DATETIME(1)", "'2024-02-29 23:59:59.9'"),
    ("DATETIME(3)", "'0000-00-00', '2024-02-29 23:59:59.999'"),
    ("TIMESTAMP NULL", "'0000-00-00', '2024-02-29 23:59:59'"),
    ("TIMESTAMP(2) NULL", "'2024-02-29 23:59:59.99'"),
];

const PLAIN: SqlMode =
    SqlMode { ansi_quotes: false, no_backslash_escapes: false, brackets: false, strict: false, no_zero_in_date: false };
const MODES: &[(&str, SqlMode)] = &[
    ("", PLAIN),
    ("NO_ZERO_IN_DATE,NO_ZERO_DATE,PAD_CHAR_TO_FULL_LENGTH", SqlMode { no_zero_in_date: true, ..PLAIN }),
    ("STRICT_ALL_TABLES", SqlMode { strict: true, ..PLAIN }),
    ("STRICT_TRANS_TABLES", SqlMode { strict: true, ..PLAIN }),
    (
        "STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,PAD_CHAR_TO_FULL_LENGTH",
        SqlMode { strict: true, no_zero_in_date: true, ..PLAIN },
    ),
];

/// Whether the effect reader asks for a re-read anyway.
fn replaces_rows(alter: &str, flavor: Flavor, mode: SqlMode) -> bool {
    let flavor = if flavor == Flavor::MySql { crate::version::Flavor::MySql } else { crate::version::Flavor::MariaDb };
    let context = Context {
        database: "d",
        mode,
        client_collation: None,
        thread_specific: false,
        version: crate::version::Version::new(flavor, 10, 11, 0),
        names: NameCase::Sensitive,
    };
    match read(alter.as_bytes(), &context) {
        Statement::Alter(alter) => alter.rows,
        other => panic!("{alter}: {other:?}"),
    }
}

fn schema(column: Column) -> TableSchema {
    TableSchema {
        table: TableName::new("d", "t"),
        columns: vec![column],
        identity: Identity { kind: IdentityKind::WholeRow, columns: vec![0] },
        origin: None,
    }
}

/// The column as the catalog has it.
async fn column(server: &Endpoint, database: &str, table: &str) -> Column {
    let query = format!(
        "SELECT column_type, is_nullable, collation_name FROM information_schema.columns \
         WHERE table_schema = '{database}' AND table_name = '{table}' AND column_name = 'c'"
    );
    let mut row = server.rows(&query).await.unwrap().remove(0);
    Column {
        name: "c".into(),
        collation: row.pop().unwrap(),
        nullable: row.pop().unwrap().unwrap() == "YES",
        source_type: row.pop().unwrap().unwrap(),
        generated: None,
        default: None,
    }
}

/// Values as they are delivered: numbers without leading zeroes, moments with at least three digits of fraction.
fn delivered(definition: &str, value: Option<String>) -> Option<String> {
    let value = value?;
    if definition.contains("INT") {
        return Some(value.parse::<i128>().unwrap().to_string());
    }
    if definition.starts_with("DATETIME") || definition.starts_with("TIMESTAMP") {
        let (day, fraction) = value.split_once('.').unwrap_or((&value, ""));
        return Some(format!("{day}.{fraction:0<3}"));
    }
    Some(value)
}

async fn values(server: &Endpoint, database: &str, definition: &str) -> Vec<Option<String>> {
    let cast = match definition.contains("BLOB") || definition.contains("BINARY") {
        true => "HEX(c)",
        false => "c",
    };
    let rows = server.rows(&format!("SELECT {cast} FROM {database}.t ORDER BY id")).await.unwrap();
    rows.into_iter().map(|mut row| delivered(definition, row.remove(0))).collect()
}

async fn run(flavor: Flavor) {
    let server = shared(flavor).await.unwrap();
    let database = server.create_database("kept").await.unwrap();
    let mut columns = Vec::new();
    for null in ["NULL", "NOT NULL"] {
        for (definition, _) in DEFINITIONS {
            let definition = format!("{} {null}", definition.trim_end_matches(" NULL"));
            server
                .sql_in(
                    &database,
                    &format!("DROP TABLE IF EXISTS u; SET sql_mode = ''; CREATE TABLE u (c {definition})"),
                )
                .await
                .unwrap();
            columns.push((definition, column(&server, &database, "u").await));
        }
    }
    let mut conn = server.connect().await.unwrap();
    let (mut altered, mut faults) = (0, String::new());
    for (old_index, (old_definition, old)) in columns.iter().enumerate() {
        for (new_index, (new_definition, new)) in columns.iter().enumerate() {
            // One mode for each pair, another for each next: all pairs under all modes take minutes.
            let (name, mode) = MODES[(old_index + new_index) % MODES.len()];
            let alter = format!("ALTER TABLE t MODIFY c {new_definition}");
            let kept = values_kept(&schema(old.clone()), &schema(new.clone()), mode.strict);
            if kept.is_empty() || replaces_rows(&alter, flavor, mode) {
                continue;
            }
            let engine = ["InnoDB", "MyISAM"][old_index % 2];
            let null = if old.nullable { ", (NULL)" } else { "" };
            let rows = format!("({})", split(DEFINITIONS[old_index % DEFINITIONS.len()].1).join("), ("));
            let setup = format!(
                "SET NAMES utf8mb4; USE {database}; SET sql_mode = ''; DROP TABLE IF EXISTS t; \
                 CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, c {old_definition}) ENGINE = {engine}; \
                 INSERT IGNORE INTO t (c) VALUES {rows}{null}; SET sql_mode = '{name}'"
            );
            conn.query_drop(setup).await.unwrap();
            let before = values(&server, &database, old_definition).await;
            if conn.query_drop(&alter).await.is_err() {
                continue;
            }
            altered += 1;
            let after = values(&server, &database, new_definition).await;
            if before != after {
                faults.push_str(&format!("{engine} {name}: {old_definition} -> {alter}: {before:?} -> {after:?}\n"));
            }
        }
    }
    conn.disconnect().await.unwrap();
    assert!(faults.is_empty(), "{faults}");
    assert!(altered > 150, "only {altered} statements succeeded");
}

/// The values of a list; commas in quotes and parentheses don't part them.
fn split(list: &str) -> Vec<String> {
    let (mut parts, mut quoted, mut depth) = (vec![String::new()], false, 0);
    for letter in list.chars() {
        match letter {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(letter);
    }
    parts
}

#[tokio::test]
async fn values_said_to_be_kept_are_kept_on_mysql() {
    require_server!(Flavor::MySql);
    run(Flavor::MySql).await;
}

#[tokio::test]
async fn values_said_to_be_kept_are_kept_on_mariadb() {
    require_server!(Flavor::MariaDb);
    run(Flavor::MariaDb).await;
}
