//! Functions, triggers, types, sequences, synonyms, constraints that are switched off.

use super::*;

#[test]
fn functions_of_several_statements_give_rows() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10), (2, 20)");
    client.ask(
        "CREATE FUNCTION dbo.upto (@n int) RETURNS @r TABLE (i int PRIMARY KEY, text varchar(10) DEFAULT 'x') AS
         BEGIN
             DECLARE @i int = 1
             WHILE @i <= @n BEGIN INSERT INTO @r (i) VALUES (@i); SET @i += 1 END
             UPDATE @r SET text = 'last' WHERE i = @n
             RETURN
         END",
    );
    assert_eq!(client.ask("SELECT i, text FROM dbo.upto(3) ORDER BY i"), "1,x|2,x|3,last");
    assert_eq!(client.ask("SELECT t.id, u.i FROM t CROSS APPLY dbo.upto(t.id) AS u ORDER BY 1, 2"), "1,1|2,1|2,2");
    assert_eq!(client.ask("SELECT type FROM sys.objects WHERE name = 'upto'"), "TF");
    client.ask("CREATE FUNCTION dbo.fact (@n int) RETURNS bigint AS BEGIN DECLARE @r bigint = 1 WHILE @n > 1 BEGIN SET @r *= @n SET @n -= 1 END RETURN @r END");
    assert_eq!(client.ask("SELECT dbo.fact(5)"), "120");
    assert_eq!(
        client.fails("CREATE FUNCTION dbo.bad () RETURNS int AS BEGIN INSERT INTO t VALUES (3, 3) RETURN 1 END"),
        443
    );
    client.ask("CREATE FUNCTION dbo.sly () RETURNS int AS BEGIN UPDATE t SET v = 1 RETURN 1 END");
    assert_eq!(client.fails("SELECT dbo.sly()"), 443);
    client.ask("DROP FUNCTION dbo.upto, dbo.fact");
}

#[test]
fn triggers_fire_unless_they_are_disabled() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE log (what varchar(10), n int)");
    client.ask("CREATE TRIGGER tr ON t AFTER INSERT, UPDATE, DELETE AS INSERT INTO log SELECT 'rows', (SELECT COUNT(*) FROM inserted) * 10 + (SELECT COUNT(*) FROM deleted)");
    client.ask("INSERT INTO t VALUES (1, 1), (2, 2); UPDATE t SET v = 3 WHERE id = 1; DELETE FROM t WHERE id = 99");
    assert_eq!(client.ask("SELECT n FROM log"), "20|11|0");
    client.ask("DISABLE TRIGGER tr ON t; DELETE FROM log; INSERT INTO t VALUES (3, 3)");
    assert_eq!(client.ask("SELECT COUNT(*), (SELECT is_disabled FROM sys.triggers) FROM log"), "0,1");
    client.ask("ALTER TABLE t ENABLE TRIGGER ALL; DELETE FROM t");
    assert_eq!(client.ask("SELECT n FROM log"), "3");
}

#[test]
fn tables_are_parameters_by_their_type() {
    let mut client = in_database();
    client.ask("CREATE TYPE dbo.ids AS TABLE (id int PRIMARY KEY, note varchar(10) DEFAULT 'n'); CREATE TYPE dbo.phone FROM varchar(20)");
    client.ask(
        "CREATE PROCEDURE p @rows dbo.ids READONLY, @factor int = 1 AS SELECT SUM(id) * @factor, COUNT(*) FROM @rows",
    );
    assert_eq!(client.ask("DECLARE @t dbo.ids; INSERT INTO @t (id) VALUES (1), (2); EXEC p @t, 10"), "30,2");
    assert_eq!(client.ask("EXEC p"), "NULL,0");
    assert_eq!(client.ask("DECLARE @t dbo.ids; INSERT INTO @t (id) VALUES (4); EXEC sp_executesql N'SELECT note FROM @x', N'@x dbo.ids READONLY', @x = @t"), "n");
    client.ask("CREATE PROCEDURE w @rows dbo.ids READONLY AS DELETE FROM @rows");
    assert_eq!(client.fails("EXEC w"), 10_700);
    assert_eq!(client.fails("EXEC p 5"), 206);
    client.ask("CREATE TABLE c (a dbo.phone); INSERT INTO c VALUES ('1'); DROP TYPE dbo.ids");
    assert_eq!(
        client.ask("SELECT TYPE_NAME(system_type_id), max_length FROM sys.columns WHERE object_id = OBJECT_ID('c')"),
        "varchar,20"
    );
}

#[test]
fn sequences_count() {
    let mut client = in_database();
    client.ask("CREATE SEQUENCE dbo.s AS int START WITH 5 INCREMENT BY 2 MAXVALUE 9 CYCLE MINVALUE 1");
    assert_eq!(client.ask("SELECT NEXT VALUE FOR dbo.s; "), "5");
    client.ask("CREATE TABLE t (id int DEFAULT (NEXT VALUE FOR s), v int); BEGIN TRAN; INSERT INTO t (v) VALUES (1); ROLLBACK; INSERT INTO t (v) VALUES (2), (3)");
    assert_eq!(client.ask("SELECT id FROM t ORDER BY v"), "9|1");
    client.ask("ALTER SEQUENCE s RESTART WITH 3 NO CYCLE MAXVALUE 4; DECLARE @n int = NEXT VALUE FOR s");
    assert_eq!(client.fails("SELECT NEXT VALUE FOR s"), 11_728);
    assert_eq!(client.fails("SELECT NEXT VALUE FOR nowhere"), 208);
    client.ask("DROP TABLE t; DROP SEQUENCE s");
}

#[test]
fn synonyms_stand_for_tables() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE SYNONYM dbo.other FOR dbo.t");
    assert_eq!(client.ask("SELECT id FROM other"), "1");
    client.ask("INSERT INTO other VALUES (2); DELETE FROM other WHERE id = 1");
    assert_eq!(client.ask("SELECT id FROM t"), "2");
    client.ask("DROP SYNONYM dbo.other");
    assert_eq!(client.fails("SELECT * FROM other"), 208);
}

#[test]
fn constraints_are_switched_off_by_name() {
    let mut client = in_database();
    client.ask("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int CONSTRAINT small CHECK (id < 10), v int CONSTRAINT big CHECK (v > 5), p int CONSTRAINT fk REFERENCES p (id))");
    client.ask("ALTER TABLE t NOCHECK CONSTRAINT small; INSERT INTO t VALUES (20, 6, NULL)");
    assert_eq!(client.fails("INSERT INTO t VALUES (20, 1, NULL)"), 547);
    assert_eq!(client.fails("INSERT INTO t VALUES (20, 6, 7)"), 547);
    client.ask("ALTER TABLE t NOCHECK CONSTRAINT fk, big; INSERT INTO t VALUES (20, 1, 7)");
    assert_eq!(client.fails("ALTER TABLE t WITH CHECK CHECK CONSTRAINT small"), 547);
    client.ask("ALTER TABLE t CHECK CONSTRAINT small");
    assert_eq!(client.fails("INSERT INTO t VALUES (20, 6, NULL)"), 547);
    assert_eq!(client.fails("ALTER TABLE t CHECK CONSTRAINT nope"), 4917);
    assert_eq!(client.fails("ALTER TABLE t WITH CHECK CHECK CONSTRAINT fk"), 547);
    client.ask("DELETE FROM t; ALTER TABLE t WITH CHECK CHECK CONSTRAINT ALL");
    assert_eq!(client.fails("INSERT INTO t VALUES (1, 6, 7)"), 547);
}

#[test]
fn a_column_takes_another_collation() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (a varchar(10), n int); ALTER TABLE t ALTER COLUMN a varchar(20) COLLATE Latin1_General_BIN2 NULL");
    assert_eq!(
        client
            .ask("SELECT collation_name, max_length FROM sys.columns WHERE name = 'a' AND object_id = OBJECT_ID('t')"),
        "Latin1_General_BIN2,20"
    );
    client.ask("ALTER TABLE t ALTER COLUMN a varchar(20)");
    assert_eq!(
        client.ask("SELECT collation_name FROM sys.columns WHERE name = 'a' AND object_id = OBJECT_ID('t')"),
        "SQL_Latin1_General_CP1_CI_AS"
    );
    assert_eq!(client.fails("ALTER TABLE t ALTER COLUMN n int COLLATE Latin1_General_BIN2"), 447);
}

#[test]
fn a_variant_tells_of_its_value() {
    let mut client = client();
    assert_eq!(
        client.ask("DECLARE @v sql_variant = CAST(1.25 AS decimal(5,2)); SELECT SQL_VARIANT_PROPERTY(@v, 'BaseType'), SQL_VARIANT_PROPERTY(@v, 'Scale'), SQL_VARIANT_PROPERTY(SYSUTCDATETIME(), 'BaseType'), SQL_VARIANT_PROPERTY(CAST('ab' AS varchar(5)), 'MaxLength'), SQL_VARIANT_PROPERTY(NULL, 'Nonsense')"),
        "numeric,2,datetime2,5,NULL"
    );
}

#[test]
fn system_versioned_tables_keep_past_rows() {
    let storage = storage();
    let mut client = Client::new(&storage);
    client.ask("CREATE DATABASE d; USE d");
    client.ask(
        "CREATE TABLE t (id int PRIMARY KEY, v int,
             since datetime2(3) GENERATED ALWAYS AS ROW START HIDDEN NOT NULL,
             until datetime2(3) GENERATED ALWAYS AS ROW END HIDDEN NOT NULL,
             PERIOD FOR SYSTEM_TIME (since, until)) WITH (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.past))",
    );
    client.ask("INSERT INTO t VALUES (1, 10), (2, 20)");
    assert_eq!(client.ask("SELECT * FROM t ORDER BY id"), "1,10|2,20");
    let second = || storage.clock().advance(Duration::from_secs(1));
    second();
    client.ask("UPDATE t SET v = 11 WHERE id = 1");
    second();
    client.ask("DELETE FROM t WHERE id = 2; MERGE t USING (SELECT 1 AS id) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = 12;");
    assert_eq!(
        client.ask("SELECT id, v, DATEDIFF(second, since, until) FROM past ORDER BY until, id"),
        "1,10,1|1,11,1|2,20,2"
    );
    assert_eq!(client.ask("SELECT v, until FROM t"), "12,9999-12-31 23:59:59.999");
    assert_eq!(
        client.ask("DECLARE @at datetime2 = (SELECT MIN(since) FROM past); SELECT id, v FROM t FOR SYSTEM_TIME AS OF @at AS x WHERE x.id > 0 ORDER BY id"),
        "1,10|2,20"
    );
    assert_eq!(client.ask("SELECT name, temporal_type FROM sys.tables ORDER BY name"), "past,1|t,2");
    assert_eq!(client.fails("UPDATE t SET since = SYSUTCDATETIME()"), 13_537);
    assert_eq!(client.fails("INSERT INTO t (id, v, since) VALUES (5, 5, SYSUTCDATETIME())"), 13_536);
    assert_eq!(client.fails("DROP TABLE t"), 13_552);
    assert_eq!(client.fails("TRUNCATE TABLE t"), 13_545);
    client.ask("ALTER TABLE t SET (SYSTEM_VERSIONING = OFF); DELETE FROM t; DROP TABLE t");
    assert_eq!(client.ask("SELECT COUNT(*) FROM past"), "3");
    client.ask("EXEC sys.sp_cdc_enable_db; CREATE TABLE c (id int PRIMARY KEY, a datetime2 GENERATED ALWAYS AS ROW START NOT NULL, b datetime2 GENERATED ALWAYS AS ROW END NOT NULL, PERIOD FOR SYSTEM_TIME (a, b)) WITH (SYSTEM_VERSIONING = ON)");
    client.ask("EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 'c', @role_name = NULL; INSERT INTO c (id) VALUES (1); DELETE FROM c; EXEC sys.sp_cdc_scan");
    assert_eq!(
        client.ask("SELECT __$operation, id, CAST(b AS date) FROM cdc.dbo_c_CT ORDER BY __$start_lsn"),
        "2,1,9999-12-31|1,1,9999-12-31"
    );
}

#[test]
fn constraints_hold_for_rows_that_are_there() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (a int CONSTRAINT c CHECK (a > 0), b AS a * 2); ALTER TABLE t NOCHECK CONSTRAINT ALL; INSERT INTO t VALUES (-1)");
    assert_eq!(client.fails("ALTER TABLE t WITH CHECK CHECK CONSTRAINT ALL"), 547);
    assert_eq!(client.fails("ALTER TABLE t ADD CONSTRAINT d CHECK (a > 3)"), 547);
    assert_eq!(client.fails("ALTER TABLE t ADD CONSTRAINT d CHECK (b > 0)"), 547);
    assert_eq!(client.fails("ALTER TABLE t ADD n int NOT NULL DEFAULT 5 CHECK (n > 6)"), 547);
    client.ask("ALTER TABLE t ADD n int NOT NULL DEFAULT 5 CHECK (n > 4), m int NULL CHECK (m > 4)");
    client.ask("ALTER TABLE t ADD CONSTRAINT d CHECK (a < 3)");
    assert_eq!(client.fails("INSERT INTO t (a) VALUES (4)"), 547);
}

#[test]
fn what_views_and_assignments_say_twice_or_not_at_all_is_refused() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int, v int, u varchar(9))");
    assert_eq!(client.fails("UPDATE t SET v = 1, v = 2"), 264);
    assert_eq!(client.fails("CREATE VIEW w AS SELECT 1"), 4511);
    assert_eq!(client.fails("CREATE VIEW w AS SELECT id FROM t ORDER BY id"), 1033);
    client.ask("CREATE VIEW w (one) AS SELECT 1");
    client.ask("CREATE VIEW x AS SELECT TOP 5 id FROM t ORDER BY id");
    assert_eq!(client.fails("SELECT * FROM t WITH (INDEX(nope))"), 308);
    client.ask("CREATE INDEX i ON t (id); SELECT * FROM t WITH (NOLOCK, INDEX(i)); SELECT * FROM t WITH (INDEX(0))");
    assert_eq!(client.fails("SELECT * FROM t WITH (INDEX = nope)"), 308);
    assert_eq!(client.fails("CREATE TABLE c (a varchar(10) COLLATE Nonsense)"), 448);
    for sql in [
        "CREATE TABLE c (a varchar(10) COLLATE Latin1_General_CS_AS PRIMARY KEY)",
        "MERGE x USING t ON x.id = t.id WHEN MATCHED THEN DELETE;",
        "WITH y AS (SELECT * FROM sys.tables) DELETE FROM y",
        "UPDATE t SET u.WRITE('a', 1, 1)",
        "SELECT FORMAT(1, 'N')",
        "SELECT HASHBYTES('MD5', 'a')",
        "SELECT v, COUNT(*) FROM t GROUP BY ROLLUP(v)",
        "DECLARE @x xml = '<a/>'; SELECT @x.value('(/a)[1]', 'int')",
        "EXEC sp_help 't'",
        "EXEC sp_who2",
        "GRANT SELECT ON dbo.t (v) TO public",
    ] {
        assert_eq!(client.fails(sql), 40_517, "{sql}");
    }
}
