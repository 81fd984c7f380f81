//! What hangs on a column, and keeps it from being altered, dropped or renamed.

use super::*;

const REFUSED: [i32; 2] = [5074, 4922];

#[test]
fn a_default_keeps_its_column_and_its_type() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int, n int NULL CONSTRAINT df DEFAULT 5, s varchar(5) CONSTRAINT ds DEFAULT 'a')");
    let answer = client.answer("ALTER TABLE t ALTER COLUMN n bigint", Vec::new());
    let texts: Vec<&str> = answer.errors.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "The object 'df' is dependent on column 'n'.",
            "ALTER TABLE ALTER COLUMN n failed because one or more objects access this column."
        ]
    );
    assert_eq!(client.errors("ALTER TABLE t DROP COLUMN n"), REFUSED);
    assert_eq!(client.errors("ALTER TABLE t ALTER COLUMN s nvarchar(5)"), REFUSED);
    // Another length, another collation, and whether it may be NULL, are nothing to a default.
    client.ask("ALTER TABLE t ALTER COLUMN n int NOT NULL; ALTER TABLE t ALTER COLUMN s varchar(9)");
    client.ask("ALTER TABLE t DROP CONSTRAINT df; ALTER TABLE t ALTER COLUMN n bigint; ALTER TABLE t DROP COLUMN n");
    assert_eq!(client.ask("SELECT name FROM sys.columns WHERE object_id = OBJECT_ID('t')"), "id|s");
    assert_eq!(
        client.ask("BEGIN TRY ALTER TABLE t DROP COLUMN s END TRY BEGIN CATCH SELECT ERROR_NUMBER() END CATCH"),
        "4922",
        "a handler is given the last"
    );
}

#[test]
fn a_check_keeps_its_columns() {
    let mut client = in_database();
    client.ask(
        "CREATE TABLE t (a int, b int, s varchar(5) CHECK (LEN(s) > 0), CONSTRAINT ab CHECK (a < b OR a IS NULL))",
    );
    for column in ["a", "b"] {
        assert_eq!(client.errors(&format!("ALTER TABLE t ALTER COLUMN {column} bigint")), REFUSED);
        assert_eq!(client.errors(&format!("ALTER TABLE t DROP COLUMN {column}")), REFUSED);
    }
    client.ask("ALTER TABLE t ALTER COLUMN s varchar(9)");
    assert_eq!(client.errors("ALTER TABLE t ALTER COLUMN s varchar(9) COLLATE Latin1_General_BIN2"), REFUSED);
    assert_eq!(client.fails("EXEC sp_rename 't.a', 'z', 'COLUMN'"), 15_336, "the check calls it by its name");
    client.ask("ALTER TABLE t DROP CONSTRAINT ab; ALTER TABLE t ALTER COLUMN a bigint; ALTER TABLE t DROP COLUMN b");
    client.ask("EXEC sp_rename 't.a', 'z', 'COLUMN'");
}

#[test]
fn an_index_keeps_its_columns_but_lets_texts_grow() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, s varchar(5), n int NULL, i int, UNIQUE (s)); CREATE INDEX x ON t (n) INCLUDE (i)");
    for refused in [
        "ALTER COLUMN id bigint NOT NULL",
        "ALTER COLUMN id int NULL",
        "DROP COLUMN id",
        "ALTER COLUMN s varchar(4)",
        "ALTER COLUMN s nvarchar(9)",
        "ALTER COLUMN s varchar(9) COLLATE Latin1_General_BIN2",
        "DROP COLUMN s",
        "ALTER COLUMN n bigint",
        "ALTER COLUMN n int NOT NULL",
        "ALTER COLUMN i bigint",
        "DROP COLUMN i",
    ] {
        assert_eq!(client.errors(&format!("ALTER TABLE t {refused}")), REFUSED, "{refused}");
    }
    client.ask("ALTER TABLE t ALTER COLUMN s varchar(9); ALTER TABLE t ALTER COLUMN s varchar(900)");
    client.ask("DROP INDEX x ON t; ALTER TABLE t ALTER COLUMN n bigint NOT NULL; ALTER TABLE t DROP COLUMN i");
}

#[test]
fn a_foreign_key_keeps_both_its_ends() {
    let mut client = in_database();
    client.ask("CREATE TABLE p (k varchar(5) UNIQUE, n int); CREATE TABLE c (k varchar(5) REFERENCES p (k))");
    assert_eq!(client.errors("ALTER TABLE c ALTER COLUMN k varchar(9)"), REFUSED);
    assert_eq!(client.errors("ALTER TABLE c DROP COLUMN k"), REFUSED);
    assert_eq!(client.errors("ALTER TABLE p ALTER COLUMN k varchar(9)"), REFUSED);
    assert_eq!(client.errors("ALTER TABLE p DROP COLUMN k"), [5074, 5074, 4922], "the reference and the key");
    client
        .ask("ALTER TABLE c ALTER COLUMN k varchar(5) NOT NULL; DROP TABLE c; ALTER TABLE p ALTER COLUMN k varchar(9)");
}

#[test]
fn a_computed_column_keeps_what_it_is_computed_from() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (a int, b int, twice AS a * 2); INSERT INTO t VALUES (1, 2)");
    for refused in ["ALTER COLUMN a bigint", "ALTER COLUMN a int NOT NULL", "DROP COLUMN a"] {
        let answer = client.answer(&format!("ALTER TABLE t {refused}"), Vec::new());
        assert_eq!(answer.errors.first().unwrap().1, "The column 'twice' is dependent on column 'a'.", "{refused}");
    }
    assert_eq!(client.fails("EXEC sp_rename 't.a', 'z', 'COLUMN'"), 15_336);
    client.ask("ALTER TABLE t ALTER COLUMN b bigint; ALTER TABLE t DROP COLUMN twice; ALTER TABLE t DROP COLUMN a");
    assert_eq!(client.ask("SELECT * FROM t"), "2");
}

#[test]
fn a_partitioned_table_keeps_the_column_that_divides_it() {
    let mut client = in_database();
    client.ask("CREATE PARTITION FUNCTION f (int) AS RANGE RIGHT FOR VALUES (10); CREATE PARTITION SCHEME s AS PARTITION f ALL TO ([PRIMARY]); CREATE TABLE t (id int, v int) ON s (id)");
    assert_eq!(client.errors("ALTER TABLE t DROP COLUMN id"), REFUSED);
    client.ask("ALTER TABLE t DROP COLUMN v");
}
