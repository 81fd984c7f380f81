//! Unique indexes with a filter.

use super::in_database;

#[test]
fn a_key_is_unique_among_the_rows_that_the_filter_lets_in() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, mail nvarchar(50), gone bit NOT NULL, n decimal(9,2))");
    client.ask("INSERT INTO t VALUES (1, NULL, 0, 1), (2, NULL, 0, 1), (3, N'a', 1, 2), (4, N'A', 0, 2)");
    assert_eq!(client.fails("CREATE UNIQUE INDEX u ON t (mail) WHERE mail IS NOT NULL"), 1505);
    client.ask("CREATE UNIQUE INDEX u ON t (mail) WHERE mail IS NOT NULL AND gone = 0");
    assert_eq!(
        client.ask("SELECT is_unique, has_filter, filter_definition FROM sys.indexes WHERE name = 'u'"),
        "1,1,(mail IS NOT NULL AND gone = 0)"
    );
    client.ask("INSERT INTO t VALUES (5, NULL, 0, 1), (6, N'a', 1, 1)");
    assert_eq!(client.fails("INSERT INTO t VALUES (7, N'a', 0, 1)"), 2601);
    assert_eq!(client.fails("UPDATE t SET gone = 0 WHERE id = 3"), 2601, "it enters the index");
    client.ask("UPDATE t SET gone = 1 WHERE id = 4; UPDATE t SET gone = 0 WHERE id = 3");
    assert_eq!(client.fails("UPDATE t SET gone = 0 WHERE id = 4"), 2601);
    client.ask("BEGIN TRAN; DELETE FROM t WHERE id = 3; UPDATE t SET gone = 0 WHERE id = 4; ROLLBACK");
    assert_eq!(client.fails("UPDATE t SET gone = 0 WHERE id = 6"), 2601);
    // All rows are still found, though the index has but some.
    assert_eq!(client.ask("SELECT id FROM t WHERE mail = N'a' ORDER BY id"), "3|4|6");
    assert_eq!(client.ask("SELECT COUNT(*) FROM t"), "6");
    assert_eq!(client.errors("ALTER TABLE t DROP COLUMN gone"), [5074, 4922]);
}

#[test]
fn conditions_are_compared_as_the_columns_are() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, k int, n decimal(9,2), s varchar(10))");
    client.ask("CREATE UNIQUE INDEX a ON t (k) WHERE n >= 1.5 AND n < 3");
    client.ask("CREATE UNIQUE INDEX b ON t (k) WHERE s IN ('X', 'y') AND id <> 9");
    client.ask("INSERT INTO t VALUES (1, 1, 1.49, 'z'), (2, 1, 1.5, 'z'), (3, 1, 3, 'x')");
    assert_eq!(client.fails("INSERT INTO t VALUES (4, 1, 2, 'z')"), 2601);
    assert_eq!(client.fails("INSERT INTO t VALUES (4, 1, 5, 'Y')"), 2601);
    client.ask("INSERT INTO t VALUES (9, 1, 5, 'Y')");
    for refused in ["n > 1 OR n < 0", "n LIKE '1'", "k + 1 = 2", "NOT (k = 1)", "k = n", "n BETWEEN 1 AND 2"] {
        assert_eq!(client.fails(&format!("CREATE UNIQUE INDEX r ON t (k) WHERE {refused}")), 10_735, "{refused}");
    }
    assert_eq!(client.fails("CREATE UNIQUE INDEX r ON t (k) WHERE k = 1.5"), 10_620);
    assert_eq!(client.fails("CREATE UNIQUE INDEX r ON t (k) WHERE nothing = 1"), 207);
    client.ask("CREATE TABLE other (k int)");
    assert_eq!(client.fails("ALTER TABLE other ADD FOREIGN KEY (k) REFERENCES t (k)"), 1776, "it isn't a key");
}
