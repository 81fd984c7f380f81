//! Names that are looked up before a batch runs.

use super::in_database;

#[test]
fn an_unknown_column_ends_the_batch_before_its_first_statement() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, v int)");
    for batch in [
        "INSERT INTO t VALUES (1, 1); SELECT nothing FROM t",
        "INSERT INTO t VALUES (1, 1); IF 1 = 0 SELECT t.nothing FROM t",
        "INSERT INTO t VALUES (1, 1); UPDATE t SET nothing = 1",
        "INSERT INTO t VALUES (1, 1); UPDATE t SET v = nothing",
        "INSERT INTO t VALUES (1, 1); DELETE FROM t WHERE nothing = 1",
        "INSERT INTO t VALUES (1, 1); INSERT INTO t (id, nothing) VALUES (2, 2)",
        "INSERT INTO t VALUES (1, 1); MERGE t USING (SELECT 1 AS id) AS s ON t.id = s.nothing WHEN MATCHED THEN DELETE;",
        "INSERT INTO t VALUES (1, 1); WHILE EXISTS (SELECT 1 FROM t WHERE nothing = 1) PRINT 'x'",
        "INSERT INTO t VALUES (1, 1); DECLARE @n int = (SELECT MAX(nothing) FROM t)",
        "INSERT INTO t VALUES (1, 1); BEGIN TRY SELECT nothing FROM t END TRY BEGIN CATCH PRINT 'x' END CATCH",
        "ALTER TABLE t ADD nothing int; UPDATE t SET nothing = 1",
        "EXEC('INSERT INTO t VALUES (1, 1); SELECT nothing FROM t')",
        "EXEC sp_executesql N'INSERT INTO t VALUES (1, 1); SELECT nothing + @n FROM t', N'@n int', 1",
    ] {
        assert_eq!(client.fails(batch), 207, "{batch}");
        assert_eq!(client.ask("SELECT COUNT(*) FROM t; SELECT COUNT(*) FROM sys.columns WHERE name = 'nothing'"), "0");
        assert_eq!(client.ask("SELECT COUNT(*) FROM t"), "0", "{batch}");
    }
    assert_eq!(client.fails("INSERT INTO t VALUES (1, 1); SELECT x.id FROM t"), 4104);
    assert_eq!(client.fails("INSERT INTO t VALUES (1, 1); SELECT id, COUNT(*) FROM t"), 8120);
    assert_eq!(client.fails("INSERT INTO t VALUES (1, 1); SELECT id FROM t, t AS u"), 209);
    assert_eq!(client.ask("SELECT COUNT(*) FROM t"), "0");
}

#[test]
fn what_is_not_there_yet_is_looked_up_when_its_statement_runs() {
    let mut client = in_database();
    assert_eq!(
        client.ask("CREATE TABLE t (a int); ALTER TABLE t ADD b int; INSERT INTO t VALUES (1, 2); SELECT b FROM t"),
        "2"
    );
    assert_eq!(client.ask("IF 1 = 0 SELECT x FROM missing; SELECT 3"), "3");
    assert_eq!(client.ask("SELECT 1 AS x INTO #n; SELECT x FROM #n; DROP TABLE #n"), "1");
    assert_eq!(client.ask("DECLARE @t TABLE (x int); INSERT INTO @t VALUES (4); SELECT x FROM @t"), "4");
    assert_eq!(
        client.ask("DECLARE @s nvarchar(100) = N'ALTER TABLE t ADD c int'; EXEC(@s); EXEC('SELECT c FROM t')"),
        "NULL"
    );
    // Statements before one whose table is missing have run.
    assert_eq!(client.fails("INSERT INTO t (a) VALUES (9); SELECT * FROM missing"), 208);
    assert_eq!(client.ask("SELECT COUNT(*) FROM t WHERE a = 9"), "1");
    client.ask("CREATE DATABASE other");
    client.ask("USE other; CREATE TABLE t (z int)");
    client.ask("USE d");
    assert_eq!(client.ask("USE other; INSERT INTO t VALUES (5); SELECT z FROM t"), "5");
}

#[test]
fn modules_are_checked_when_they_are_defined() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, v int)");
    assert_eq!(client.fails("CREATE PROCEDURE p @n int AS IF @n > 0 SELECT nothing FROM t"), 207);
    assert_eq!(client.fails("CREATE TRIGGER tr ON t AFTER INSERT AS SELECT nothing FROM inserted"), 207);
    assert_eq!(client.fails("CREATE FUNCTION f () RETURNS TABLE AS RETURN SELECT nothing FROM t"), 207);
    client.ask("CREATE PROCEDURE p @n int AS SELECT x + @n FROM missing; SELECT i FROM #mine");
    client.ask("CREATE TRIGGER tr ON t AFTER UPDATE AS IF UPDATE(v) INSERT INTO audit SELECT i.id, d.v FROM inserted AS i JOIN deleted AS d ON i.id = d.id");
    assert_eq!(client.fails("EXEC p 1"), 208);
}
