use super::*;

#[test]
fn columns_are_added_altered_and_dropped() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, a varchar(5)); INSERT INTO t VALUES (1, 'x')");
    client.ask("ALTER TABLE t ADD b int NOT NULL CONSTRAINT df DEFAULT 5, c int NULL DEFAULT 6, d int NULL CONSTRAINT dd DEFAULT 7 WITH VALUES");
    assert_eq!(client.ask("SELECT * FROM t"), "1,x,5,NULL,7");
    assert_eq!(client.fails("ALTER TABLE t ADD e int NOT NULL"), 4901);
    client.ask("ALTER TABLE t ALTER COLUMN a nvarchar(20) NOT NULL");
    assert_eq!(client.ask("SELECT TYPE_NAME(system_type_id), max_length, is_nullable FROM sys.columns WHERE object_id = OBJECT_ID('t') AND name = 'a'"), "nvarchar,40,0");
    assert_eq!(client.fails("ALTER TABLE t DROP COLUMN nope"), 4924);
    client
        .ask("ALTER TABLE t DROP CONSTRAINT df; ALTER TABLE t DROP COLUMN b; ALTER TABLE t DROP COLUMN IF EXISTS nope");
    assert_eq!(client.ask("SELECT * FROM t; "), "1,x,NULL,7");
    client.ask("EXEC sp_rename 't.a', 'z', 'COLUMN'; EXEC sp_rename 'dbo.t', 'w'");
    assert_eq!(client.ask("SELECT z FROM w"), "x");
    assert_eq!(client.fails("SELECT 1 FROM t"), 208);
    client.ask("ALTER TABLE w ADD CONSTRAINT q CHECK (d > 1), CONSTRAINT uq UNIQUE (d)");
    assert_eq!(client.fails("INSERT INTO w VALUES (2, 'y', 1, 7)"), 2627);
    assert_eq!(client.fails("INSERT INTO w VALUES (2, 'y', 1, 1)"), 547);
}

#[test]
fn objects_that_are_or_are_not_there_have_their_numbers() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int); CREATE INDEX i ON t (id)");
    for (sql, number) in [
        ("CREATE TABLE t (id int)", 2714),
        ("DROP TABLE nope", 3701),
        ("ALTER TABLE nope ADD a int", 4902),
        ("CREATE TABLE x (a nope)", 2715),
        ("CREATE TABLE x (a int, a int)", 2705),
        ("CREATE DATABASE d", 1801),
        ("USE nope", 911),
        ("DROP INDEX nope ON t", 3701),
        ("CREATE INDEX i ON t (id)", 1913),
        ("CREATE INDEX j ON t (nope)", 1911),
        ("CREATE TABLE nope.x (a int)", 2760),
        ("TRUNCATE TABLE nope", 4701),
        ("CREATE TABLE x (a int PRIMARY KEY, b int PRIMARY KEY)", 1779),
        ("DROP PROCEDURE nope", 3701),
    ] {
        assert_eq!(client.fails(sql), number, "{sql}");
    }
    client.ask("DROP TABLE IF EXISTS nope; DROP INDEX i ON t; DROP TABLE t");
    assert_eq!(client.ask("SELECT OBJECT_ID('t')"), "NULL");
}

#[test]
fn views_procedures_and_functions_are_run() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10), (2, 20)");
    client.ask("CREATE VIEW big (n, m) AS SELECT id, v FROM t WHERE v > 15");
    assert_eq!(client.ask("SELECT m FROM dbo.big b WHERE b.n = 2"), "20");
    client.ask("CREATE PROCEDURE p @a int, @b int = 5, @c int OUTPUT AS BEGIN SET NOCOUNT ON; SELECT @a + @b; SET @c = @a * 2; RETURN 3 END");
    let answer = client.answer("DECLARE @x int, @r int; EXEC @r = p 1, @c = @x OUTPUT; SELECT @x, @r", Vec::new());
    assert_eq!(answer.errors, []);
    assert_eq!(answer.results, [vec![vec!["6"]], vec![vec!["2", "3"]]]);
    assert_eq!(client.fails("EXEC p"), 201);
    assert_eq!(client.fails("DECLARE @x int; EXEC p 1, 2, @x, 4"), 8144);
    assert_eq!(client.fails("EXEC p @nope = 1"), 8145);
    client.ask("CREATE FUNCTION dbo.twice (@n int) RETURNS int AS BEGIN IF @n IS NULL RETURN 0; RETURN @n * 2 END");
    assert_eq!(client.ask("SELECT dbo.twice(v), dbo.twice(NULL) FROM t ORDER BY id"), "20,0|40,0");
    client.ask("CREATE FUNCTION dbo.above (@n int) RETURNS TABLE AS RETURN (SELECT id FROM t WHERE v > @n)");
    assert_eq!(client.ask("SELECT id FROM dbo.above(15)"), "2");
    assert_eq!(client.ask("EXEC sp_executesql N'SELECT v FROM t WHERE id = @i', N'@i int', @i = 2"), "20");
    assert_eq!(client.ask("DECLARE @s nvarchar(100) = N'SELECT 5'; EXEC (@s)"), "5");
    assert_eq!(
        client.ask("CREATE TABLE #r (n int); INSERT INTO #r EXEC ('SELECT id FROM t'); SELECT COUNT(*) FROM #r"),
        "2"
    );
    client.ask("ALTER PROCEDURE p AS SELECT 9");
    assert_eq!(client.ask("p"), "9");
    client.ask("DROP PROCEDURE p; DROP VIEW big; DROP FUNCTION dbo.twice");
}

#[test]
fn temporary_tables_end_with_their_session_or_procedure() {
    let storage = storage();
    let mut first = Client::new(&storage);
    let mut second = Client::new(&storage);
    first.ask("CREATE TABLE #t (id int); INSERT INTO #t VALUES (1)");
    second.ask("CREATE TABLE #t (id int)");
    assert_eq!(
        (first.ask("SELECT COUNT(*) FROM #t"), second.ask("SELECT COUNT(*) FROM #t")),
        ("1".to_owned(), "0".to_owned())
    );
    first.ask("EXEC('CREATE TABLE #inner (id int)')");
    assert_eq!(first.fails("SELECT * FROM #inner"), 208);
    first.ask("SELECT id, 'a' AS b INTO #copy FROM #t");
    assert_eq!(first.ask("SELECT * FROM #copy"), "1,a");
    assert_eq!(first.ask("SELECT CASE WHEN OBJECT_ID('tempdb..#t') IS NULL THEN 0 ELSE 1 END"), "1");
    first.ask("DROP TABLE #t");
    assert_eq!(first.fails("SELECT * FROM #t"), 208);
}

#[test]
fn permissions_are_kept() {
    let storage = storage();
    let mut admin = Client::new(&storage);
    admin.ask("CREATE DATABASE d; USE d; CREATE TABLE t (id int); CREATE TABLE s (id int); CREATE LOGIN reader WITH PASSWORD = 'pw'; CREATE USER reader FOR LOGIN reader; GRANT SELECT ON dbo.t TO reader");
    let mut reader = Client::login(&storage, "reader", "pw");
    assert_eq!(reader.ask("USE d; SELECT COUNT(*) FROM t"), "0");
    assert_eq!(reader.fails("SELECT * FROM s"), 229);
    assert_eq!(reader.fails("INSERT INTO t VALUES (1)"), 229);
    assert_eq!(reader.ask("SELECT HAS_PERMS_BY_NAME('dbo.t', 'OBJECT', 'SELECT'), HAS_PERMS_BY_NAME('dbo.s', 'OBJECT', 'SELECT'), IS_MEMBER('db_owner'), IS_SRVROLEMEMBER('sysadmin'), USER_NAME()"), "1,0,0,0,reader");
    admin.ask(
        "ALTER ROLE db_datareader ADD MEMBER reader; DENY SELECT ON t TO reader; GRANT INSERT ON SCHEMA::dbo TO reader",
    );
    assert_eq!(reader.ask("SELECT COUNT(*) FROM s"), "0");
    assert_eq!(reader.fails("SELECT * FROM t"), 229);
    reader.ask("INSERT INTO s VALUES (1)");
    assert_eq!(reader.fails("CREATE TABLE x (id int)"), 262);
    let wrong = Login {
        name: "reader".into(),
        password: "no".into(),
        database: String::new(),
        host: String::new(),
        application: String::new(),
        encrypted: false,
    };
    assert_eq!(Session::open(storage, 60, wrong, never_cancelled()).unwrap_err().number, 18456);
}

#[test]
fn a_name_may_change_in_its_case_alone() {
    let mut client = in_database();
    client.ask("CREATE TABLE t3 (id int); CREATE TABLE u (id int)");
    client.ask("CREATE VIEW v AS SELECT 1 AS a");
    client.ask("EXEC sp_rename 't3', 'T3'; EXEC sp_rename 'v', 'V'; EXEC sp_rename 'u.id', 'ID', 'COLUMN'");
    assert_eq!(client.ask("SELECT name FROM sys.objects WHERE type IN ('U', 'V') ORDER BY name"), "T3|u|V");
    assert_eq!(client.ask("SELECT ID FROM u; SELECT name FROM sys.columns WHERE object_id = OBJECT_ID('u')"), "ID");
    assert_eq!(client.fails("EXEC sp_rename 'T3', 'U'"), 15_335);
    assert_eq!(client.fails("EXEC sp_rename 'V', 't3'"), 15_335);
}

#[test]
fn a_column_may_be_called_period() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int); ALTER TABLE t ADD period int; INSERT INTO t VALUES (1, 2)");
    assert_eq!(client.ask("SELECT period FROM t"), "2");
    assert_eq!(client.fails("ALTER TABLE t ADD PERIOD FOR SYSTEM_TIME (a, b)"), 40_517);
    client.ask("ALTER TABLE t ADD a int");
    client.ask("ALTER TABLE t DROP COLUMN a, period");
}

#[test]
fn values_without_bound_are_no_keys() {
    let mut client = in_database();
    for of in ["varbinary(max)", "varchar(max)", "nvarchar(max)", "xml", "image"] {
        assert_eq!(client.fails(&format!("CREATE TABLE t (id {of} NOT NULL PRIMARY KEY)")), 1919, "{of}");
    }
    client.ask("CREATE TABLE t (id varbinary(8) NOT NULL PRIMARY KEY, b varbinary(max))");
    assert_eq!(client.fails("CREATE INDEX i ON t (b)"), 1919);
}

#[test]
fn who_owns_a_schema_is_not_dropped() {
    let mut client = in_database();
    client.ask("EXEC sys.sp_cdc_enable_db; CREATE USER u WITHOUT LOGIN");
    client.ask("CREATE SCHEMA s AUTHORIZATION u");
    assert_eq!(client.fails("DROP USER cdc"), 15_138);
    assert_eq!(client.fails("DROP USER u"), 15_138);
    client.ask("ALTER AUTHORIZATION ON SCHEMA::s TO dbo; DROP USER u");
}

#[test]
fn an_index_takes_the_place_of_another() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int NOT NULL CONSTRAINT pk PRIMARY KEY NONCLUSTERED, a int, b int); INSERT INTO t VALUES (1, 1, 1), (2, 1, 2)");
    client.ask("CREATE INDEX i ON t (a); CREATE INDEX j ON t (b)");
    let shown = "SELECT name, index_id, is_unique FROM sys.indexes WHERE object_id = OBJECT_ID('t') AND index_id > 0 ORDER BY name";
    assert_eq!(client.ask(shown), "i,3,0|j,4,0|pk,2,1");
    assert_eq!(client.fails("CREATE UNIQUE INDEX i ON t (a) WITH (DROP_EXISTING = ON)"), 1505);
    client.ask("CREATE UNIQUE INDEX i ON t (b) WITH (DROP_EXISTING = ON, FILLFACTOR = 90)");
    assert_eq!(client.ask(shown), "i,3,1|j,4,0|pk,2,1");
    assert_eq!(client.fails("INSERT INTO t VALUES (3, 1, 2)"), 2601);
    client.ask("CREATE CLUSTERED INDEX j ON t (a) WITH (DROP_EXISTING = ON)");
    assert_eq!(client.ask(shown), "i,3,1|j,1,0|pk,2,1");
    assert_eq!(client.ask("SELECT id FROM t WHERE a = 1 ORDER BY id"), "1|2");
    client.ask("CREATE UNIQUE INDEX pk ON t (id) WITH (DROP_EXISTING = ON)");
    for (sql, number) in [
        ("CREATE INDEX nope ON t (a) WITH (DROP_EXISTING = ON)", 7999),
        ("CREATE INDEX i ON t (a) WITH (DROP_EXISTING = OFF)", 1913),
        ("CREATE INDEX j ON t (a) WITH (DROP_EXISTING = ON)", 1925),
        ("CREATE UNIQUE INDEX pk ON t (a) WITH (DROP_EXISTING = ON)", 1907),
        ("CREATE INDEX pk ON t (id) WITH (DROP_EXISTING = ON)", 1907),
    ] {
        assert_eq!(client.fails(sql), number, "{sql}");
    }
    client.ask("BEGIN TRAN; CREATE INDEX i ON t (a) WITH (DROP_EXISTING = ON); ROLLBACK");
    assert_eq!(client.fails("INSERT INTO t VALUES (3, 1, 2)"), 2601);
}

#[test]
fn a_unique_index_is_not_built_anew_over_duplicates() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (a int); CREATE UNIQUE INDEX i ON t (a); ALTER INDEX i ON t DISABLE");
    client.ask("INSERT INTO t VALUES (1), (1)");
    assert_eq!(client.fails("ALTER INDEX i ON t REBUILD"), 1505);
    client.ask("DELETE TOP (1) FROM t; ALTER INDEX i ON t REBUILD");
    assert_eq!(client.fails("INSERT INTO t VALUES (1)"), 2601);
}
