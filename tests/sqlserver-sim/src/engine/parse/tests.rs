use super::*;

fn kinds(sql: &str) -> Vec<String> {
    let debug = |statement: &Statement| format!("{:?}", statement.kind);
    let word = |text: String| text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).iter().map(debug).map(word).collect()
}

#[test]
fn statements_need_no_semicolons() {
    assert_eq!(
        kinds(
            "DECLARE @a int = 1 SET @a = @a + 1 IF @a = 2 SELECT 1 ELSE SELECT 2 SELECT 3 PRINT 'x' EXEC p @a, @b = 1 OUTPUT"
        ),
        ["Declare", "SetVariable", "If", "Select", "Print", "Execute"]
    );
    assert_eq!(
        kinds("SELECT 1 FROM t INSERT INTO t VALUES (1), (2) UPDATE t SET a = 1 WHERE b = 2 DELETE t"),
        ["Select", "Insert", "Update", "Delete"]
    );
    assert_eq!(kinds("BEGIN TRAN SELECT 1 COMMIT TRAN ROLLBACK"), ["Begin", "Select", "Commit", "Rollback"]);
    assert_eq!(kinds("BEGIN TRY SELECT 1/0 END TRY BEGIN CATCH THROW; END CATCH"), ["TryCatch"]);
    assert_eq!(kinds("sp_help 'a'"), ["Execute"]);
    assert_eq!(kinds("SELECT 1 UNION ALL SELECT 2 SELECT 3"), ["Select", "Select"]);
    assert_eq!(kinds("SELECT CASE WHEN 1 = 1 THEN 2 ELSE 3 END SELECT 4"), ["Select", "Select"]);
}

#[test]
fn statements_that_other_programs_send_are_read() {
    for sql in [
        "WITH a AS (SELECT 1 AS x) INSERT INTO t (c) SELECT x FROM a",
        "SELECT TOP (@n) * FROM [db].[cdc].[t_CT] AS c WITH (NOLOCK) WHERE c.[__$start_lsn] >= @a ORDER BY c.[__$start_lsn] OPTION (RECOMPILE)",
        "SELECT format, [limit], t.offset, minus FROM settings sample WHERE qualify = 1",
        "MERGE INTO t WITH (HOLDLOCK) AS a USING (VALUES (1, 2)) AS s(x, y) ON a.x = s.x WHEN MATCHED AND a.y > 1 THEN UPDATE SET y = s.y WHEN NOT MATCHED THEN INSERT (x, y) VALUES (s.x, s.y) WHEN NOT MATCHED BY SOURCE THEN DELETE OUTPUT $action, inserted.x;",
        "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_t(@a, @b, N'all update old') ORDER BY 1 OFFSET 0 ROWS FETCH NEXT 5 ROWS ONLY",
        "UPDATE TOP (5) a SET a.x += 1, @v = y = 2 OUTPUT deleted.x, inserted.* INTO @t FROM t a JOIN u ON a.id = u.id WHERE u.z IS NULL",
        "DELETE FROM t OUTPUT deleted.id WHERE id IN (SELECT id FROM u)",
        "CREATE TABLE #t (id int IDENTITY(1,1) NOT NULL PRIMARY KEY CLUSTERED, a AS (id * 2) PERSISTED, b decimal(10, 2) CONSTRAINT d DEFAULT ((0)), c varchar(max) COLLATE Latin1_General_CI_AS NULL CHECK (c <> ''), CONSTRAINT u UNIQUE NONCLUSTERED (b ASC, c DESC) WITH (PAD_INDEX = OFF) ON [PRIMARY]) ON [PRIMARY]",
        "ALTER TABLE t ADD x int NOT NULL CONSTRAINT df DEFAULT 5 WITH VALUES, y int",
        "ALTER TABLE t DROP COLUMN IF EXISTS a, b",
        "ALTER TABLE t WITH CHECK ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES u (b) ON DELETE CASCADE",
        "ALTER DATABASE d SET ALLOW_SNAPSHOT_ISOLATION ON WITH ROLLBACK IMMEDIATE",
        "ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON",
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT",
        "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, @supports_net_changes = 0",
        "CREATE PROCEDURE p @a int, @b varchar(10) = 'x' OUTPUT AS BEGIN SELECT @a END",
        "CREATE TRIGGER tr ON t AFTER INSERT, UPDATE AS BEGIN INSERT INTO log SELECT id FROM inserted END",
        "CREATE VIEW v (a) AS SELECT 1",
        "GRANT SELECT ON SCHEMA::cdc TO reader",
        "GRANT VIEW DATABASE STATE TO reader",
        "CREATE USER u FOR LOGIN l ALTER ROLE db_owner ADD MEMBER u",
        "INSERT INTO t EXEC p 1",
        "IF EXISTS (SELECT 1 FROM t) BEGIN PRINT 'a' END ELSE IF 1 = 2 PRINT 'b'",
        "WHILE @i < 3 BEGIN SET @i += 1; IF @i = 2 CONTINUE; BREAK END",
        "WAITFOR DELAY '00:00:01' RAISERROR('a %d', 16, 1, 5) WITH NOWAIT",
        "SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b DESC) AS rn, COUNT(*) OVER () FROM t",
        "SELECT x FROM t CROSS APPLY (SELECT TOP 1 y FROM u WHERE u.id = t.id) a OUTER APPLY f(t.id) b",
        "SELECT LEFT(a, 1), RIGHT('b', 2), COALESCE(a, b), NULLIF(a, 1), CONVERT(varchar(23), d, 121), TRY_CAST(a AS int), CAST(x AS decimal(10, 2)) FROM t",
        "SELECT a = 1, [b c] = 2, 'd' = 3",
    ] {
        batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[test]
fn what_cannot_be_read_is_a_syntax_error_with_its_line() {
    let error = |sql: &str| batch(sql).map(|_| ()).unwrap_err();
    assert_eq!((error("SELECT 1 +").number, error("SELECT 1\nSELECT * FORM t").line), (102, 2));
    assert_eq!(error("SELECT 1 FROM WHERE x = 1").severity, 15);
    assert_eq!(error("SELECT * FROM t LIMIT 5").number, 102);
    assert_eq!(error("nonsense 1 2 3 )").number, 102);
    assert_eq!(error("BEGIN SELECT 1").number, 102);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(batch(&deep).map(|_| ()).unwrap_err().number, 191);
    assert_eq!(batch(&"BEGIN ".repeat(5000)).map(|_| ()).unwrap_err().number, 191);
}
