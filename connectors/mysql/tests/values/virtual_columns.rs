//! Virtual generated columns: what the log has of them is what the writer's session saw, and only what every session
//! sees alike may be taken from it.

use millstream_core::source::Severity;
use millstream_testkit::Flavor;

use super::bed::Bed;

on_servers!(constant_columns, dependent_columns, dependent_keyless_tables, columns_of_who_opened_the_table);
on_one!(MySql, identities_without_dependent_columns);
on_one!(MariaDb, restless_columns);

const BASE: &str = "id INT PRIMARY KEY, n INT, a INT, u INT UNSIGNED, x DOUBLE, m DECIMAL(10,3), s VARCHAR(60), c CHAR(9), \
    b VARBINARY(9), ts TIMESTAMP(3) NULL, dt DATETIME(6), d DATE, ti TIME, j JSON, e ENUM('x','Y'), `odd ``\"'name` INT";

const ROWS: &str = "INSERT INTO t (id, n, a, u, x, m, s, c, b, ts, dt, d, ti, j, e, `odd ``\"'name`) VALUES
    (1, 0, 5, 7, 0.1, 12.345, 'xaX', 'cc', X'00ff', '2024-03-10 02:30:00.5', '2024-12-31 23:59:59.999999', '2024-12-31',
     '23:59:59', '{\"name\": \"é\"}', 'x', 1),
    (2, 0, -5, 0, -2.5e10, -0.005, '12.5abc', '', '', '2038-01-01 00:00:00', '2024-02-31 00:00:00', '2024-02-31',
     '-05:00:00', '[1, \"2024-02-31\"]', 'Y', -1),
    (3, 0, 2147483647, 4294967295, 1e-300, 0, '2024-02-31', '   c', 'abc', NULL, '0000-00-00', '0000-00-00',
     '00:00:00', 'null', NULL, NULL),
    (4, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (5, 0, 0, 1, 0.5, 1.5, '', ' ', 'x', '1970-01-02 00:00:01', '2024-00-00', '2024-01-00', '24:00:01',
     '{\"name\": \"\\\\\"\"}', 'x', 0)";

/// Whether expressions give the same to every session is asked of sessions that differ in all that there is to set.
const SESSIONS: &[&str] = &[
    "SET time_zone = '+09:00', lc_time_names = 'de_DE', div_precision_increment = 9, default_week_format = 5",
    "SET time_zone = '-11:30', sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO'",
    "SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,TIME_ROUND'",
    "SET sql_mode = 'NO_UNSIGNED_SUBTRACTION,HIGH_NOT_PRECEDENCE,REAL_AS_FLOAT'",
    "SET sql_mode = 'ANSI,ALLOW_INVALID_DATES'; SET NAMES latin1",
    "SET sql_mode = '', collation_connection = 'utf8mb4_bin', lc_time_names = 'ja_JP', timestamp = 1",
];

/// Of expressions that every session computes alike.
const CONSTANT: &[&str] = &[
    "BIGINT AS (a * 2 + 1)",
    "BIGINT AS (a - 7)",
    "BIGINT AS (-a)",
    "DECIMAL(12,1) AS (m - a)",
    "INT AS (a % 3 + a DIV 2)",
    "INT AS ((a & 3) << 2 | 1)",
    "BIGINT AS (u + 1)",
    "DOUBLE AS (x * 1.5e0)",
    "FLOAT AS (x)",
    "INT AS (ROUND(m))",
    "DECIMAL(6,2) AS (m)",
    "INT AS (`odd ``\"'name` + 1) VIRTUAL",
    "INT AS (CASE WHEN a > 3 AND s = 'xaX' THEN 1 WHEN a IS NULL THEN 2 ELSE NULL END)",
    "INT AS (IF(s IN ('xaX', 'b'), a, CAST(s AS SIGNED)))",
    "INT AS (a BETWEEN 1 AND 9 XOR NOT (a <=> u))",
    "INT AS (s COLLATE utf8mb4_bin = 'XAX')",
    "INT AS (CHAR_LENGTH(s) + LOCATE('a', s))",
    "VARCHAR(99) AS (CONCAT(s, ' it''s \\\\ \"q\" now() ', a))",
    "VARCHAR(9) AS (UPPER(SUBSTRING(s, 2, 3)))",
    "VARCHAR(3) AS (s)",
    "VARCHAR(64) AS (SHA2(s, 256))",
    "VARCHAR(9) AS (e)",
    "VARCHAR(20) AS (CAST(a AS CHAR(9)))",
    "DECIMAL(9,2) AS (CAST(s AS DECIMAL(9,3)))",
    "VARCHAR(20) AS (TRIM(LEADING 'x' FROM s))",
    "VARCHAR(20) AS (HEX(b))",
    "VARBINARY(20) AS (CONCAT(b, b))",
    "VARCHAR(99) AS (CONVERT(s USING utf8mb4))",
    "VARCHAR(20) AS (JSON_UNQUOTE(JSON_EXTRACT(j, '$.name')))",
    "VARCHAR(20) AS (COALESCE(NULLIF(s, ''), 'none'))",
    "INT AS (GREATEST(a, LENGTH(s)))",
    "INT AS (YEAR(d) * 100 + MONTH(d))",
    "INT AS (DAY(dt))",
    "INT AS (QUARTER(dt) + HOUR(dt) * MINUTE(dt) + SECOND(dt))",
];

/// Of expressions whose value is, or might be, another in another session.
const DEPENDENT: &[&str] = &[
    "DATE AS (DATE(ts))",
    "VARCHAR(30) AS (CONCAT(ts))",
    "INT AS (HOUR(ts))",
    "VARCHAR(30) AS (FROM_UNIXTIME(n))",
    "VARCHAR(20) AS (DATE_FORMAT(dt, '%M'))",
    "VARCHAR(20) AS (CONCAT(c, '|'))",
    "DATETIME AS (dt)",
    "DATE AS (CAST(s AS DATE))",
    "INT AS (YEAR(s))",
    "DATETIME AS (ti)",
    "INT AS (d > s)",
    "INT AS (s BETWEEN d AND dt)",
    "VARCHAR(40) AS (COALESCE(d, dt))",
    "INT AS (s LIKE 'a\\\\_b')",
    "VARCHAR(20) AS (DATE_FORMAT(dt, '%W')), w VARCHAR(20) AS (UPPER(v))",
];

async fn constant_columns(bed: &Bed) {
    let columns: Vec<String> =
        CONSTANT.iter().enumerate().map(|(index, column)| format!("g{index} {column}")).collect();
    bed.sql(&format!(
        "DROP TABLE IF EXISTS t; CREATE TABLE t ({BASE}, {}) CHARACTER SET utf8mb4; {ROWS}",
        columns.join(", ")
    ))
    .await;
    for session in SESSIONS {
        let (from, schema) = bed.found().await;
        bed.sql(&format!("{}; UPDATE IGNORE t SET n = n + 1", known(bed, session))).await;
        let told = bed.told(&from, &schema).await;
        assert_eq!(told.lines.len(), 5, "{session}");
        let taken = told.lines.iter().filter(|line| line.starts_with('+')).count();
        assert_eq!(taken, 5, "rows are taken from the log: {session}: {:?}", told.lines);
        bed.compare(&told).await;
    }
}

async fn dependent_columns(bed: &Bed) {
    for column in DEPENDENT {
        bed.sql(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t ({BASE}, v {column}); {ROWS}")).await;
        for session in SESSIONS {
            let (from, schema) = bed.found().await;
            bed.sql(&format!(
                "{}; UPDATE IGNORE t SET n = n + 1 WHERE id < 3; DELETE FROM t WHERE id = 6",
                known(bed, session)
            ))
            .await;
            let told = bed.told(&from, &schema).await;
            assert_eq!(told.lines, ["? 1", "? 2"], "{column}: {session}");
        }
        let (from, schema) = bed.found().await;
        bed.sql("SET time_zone = '+09:00'; UPDATE t SET n = n + 1; DELETE FROM t WHERE id = 5").await;
        let told = bed.told(&from, &schema).await;
        assert_eq!(told.lines.last().map(String::as_str), Some("- 5"), "{column}");
        bed.compare(&told).await;
    }
    let problems = bed.source.check(&bed.selection()).await.unwrap();
    let found = problems.iter().find(|problem| problem.found.contains("virtual columns `v`, `w`"));
    assert!(found.is_some_and(|problem| problem.severity == Severity::Warning), "{problems:?}");
}

/// What a mode is called by one of the servers only is left out for the other.
fn known(bed: &Bed, session: &str) -> String {
    match bed.endpoint.flavor() {
        Flavor::MySql => session.replace("TIME_ROUND", "TIME_TRUNCATE_FRACTIONAL"),
        Flavor::MariaDb => session.replace("TIME_ROUND", "TIME_ROUND_FRACTIONAL"),
    }
}

/// A unique key with such a column names no row: what the log calls the key isn't what a read calls it.
async fn identities_without_dependent_columns(bed: &Bed) {
    let columns = "ts TIMESTAMP NOT NULL, k INT NOT NULL, v VARCHAR(30) AS (CONCAT(ts)) VIRTUAL NOT NULL, a INT, \
                   UNIQUE KEY one (v), UNIQUE KEY two (k, ts))";
    let (from, schema) = bed.create(columns).await;
    assert_eq!(schema.identity.columns, [1, 0]);
    bed.sql("SET time_zone = '+09:00'; INSERT INTO t (ts, k) VALUES ('2024-01-01', 1), ('2024-01-02', 2); DELETE FROM t WHERE k = 2")
        .await;
    let told = bed.told(&from, &schema).await;
    assert_eq!(bed.compare(&told).await, ["'2023-12-31T15:00:00.000Z',1,'2023-12-31 15:00:00',NULL"]);
}

/// Without any key a row is named by all its columns, one of which the log doesn't tell.
async fn dependent_keyless_tables(bed: &Bed) {
    let (from, schema) = bed.create("a INT, v DECIMAL(20,9) AS (a / 7) VIRTUAL)").await;
    bed.sql("INSERT INTO t (a) VALUES (1)").await;
    assert!(bed.told(&from, &schema).await.replaced);
}

/// A quotient has the digits, and a day the language, of whoever opened the table.
async fn columns_of_who_opened_the_table(bed: &Bed) {
    let columns = "id INT PRIMARY KEY, q DECIMAL(30,12) AS (id / 7), l VARCHAR(20) AS (DAYNAME(FROM_DAYS(id))))";
    let (from, schema) = bed.create(columns).await;
    bed.sql("SET div_precision_increment = 9, lc_time_names = 'de_DE'; INSERT INTO t (id) VALUES (1)").await;
    assert_eq!(bed.told(&from, &schema).await.lines, ["? 1"]);
    let problems = bed.source.check(&bed.selection()).await.unwrap();
    let found = problems.iter().find(|problem| problem.found.contains("virtual columns `q`, `l` give may d"));
    assert!(found.is_some(), "{problems:?}");
}

/// MariaDB lets a column ask the clock, or dice.
async fn restless_columns(bed: &Bed) {
    bed.sql("DROP TABLE IF EXISTS t; CREATE TABLE t (id INT PRIMARY KEY, v DATETIME AS (NOW()), r DOUBLE AS (RAND()), a INT AS (id / 2))")
        .await;
    let problems = bed.source.check(&bed.selection()).await.unwrap();
    let found = problems.iter().find(|problem| problem.found.contains("virtual columns `v`, `r` give may differ"));
    assert!(found.is_some(), "{problems:?}");
}
