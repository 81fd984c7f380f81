use super::*;

fn filled() -> Client {
    let mut client = client();
    client.ask(
        "CREATE DATABASE d; USE d; \
         CREATE TABLE t (id int IDENTITY(1,1) PRIMARY KEY, a int NOT NULL DEFAULT 7, b varchar(5), c AS (a * 2), CHECK (a < 100))",
    );
    client
}

#[test]
fn rows_are_inserted_with_defaults_identities_and_computed_columns() {
    let mut client = filled();
    assert_eq!(client.ask("INSERT INTO t (b) VALUES ('x'); SELECT SCOPE_IDENTITY(), @@IDENTITY, @@ROWCOUNT"), "1,1,1");
    client.ask("INSERT t (a, b) SELECT 5, 'y' UNION ALL SELECT DEFAULT_A, 'z' FROM (SELECT 6 AS DEFAULT_A) q; INSERT INTO t DEFAULT VALUES; INSERT INTO t (a, b) VALUES (DEFAULT, NULL)");
    assert_eq!(
        client.ask("SELECT id, a, b, c FROM t ORDER BY id"),
        "1,7,x,14|2,5,y,10|3,6,z,12|4,7,NULL,14|5,7,NULL,14"
    );
    assert_eq!(client.ask("INSERT INTO t (a) OUTPUT inserted.id, inserted.c VALUES (1), (2)"), "6,2|7,4");
    client.ask("SET IDENTITY_INSERT t ON; INSERT INTO t (id, a) VALUES (50, 1); SET IDENTITY_INSERT t OFF; INSERT INTO t (a) VALUES (2)");
    assert_eq!(client.ask("SELECT MAX(id) FROM t"), "51");
}

#[test]
fn rows_that_break_a_rule_are_refused_whole() {
    let mut client = filled();
    client.ask("CREATE TABLE k (id int PRIMARY KEY, u int UNIQUE); CREATE UNIQUE INDEX i ON k (u, id); INSERT INTO k VALUES (1, 1); CREATE TABLE f (id int REFERENCES k (id))");
    for (sql, number) in [
        ("INSERT INTO t (a) VALUES (NULL)", 515),
        ("INSERT INTO t (b) VALUES ('toolong')", 2628),
        ("INSERT INTO t (a) VALUES (100)", 547),
        ("INSERT INTO t (id) VALUES (1)", 544),
        ("INSERT INTO t (c) VALUES (1)", 271),
        ("INSERT INTO t (nope) VALUES (1)", 207),
        ("INSERT INTO k VALUES (2, 2), (1, 3)", 2627),
        ("INSERT INTO k VALUES (1)", 213),
        ("INSERT INTO k (id, u) VALUES (1)", 109),
        ("INSERT INTO f VALUES (9)", 547),
        ("INSERT INTO t (a) VALUES ('x')", 245),
        ("INSERT INTO k VALUES (3000000000, 1)", 8115),
        ("UPDATE t SET id = 1", 8102),
    ] {
        assert_eq!(client.fails(sql), number, "{sql}");
    }
    assert_eq!(client.ask("SELECT COUNT(*) FROM k"), "1");
    client.ask("INSERT INTO f VALUES (1), (NULL)");
    assert_eq!(client.fails("DELETE FROM k"), 547);
    assert_eq!(client.fails("TRUNCATE TABLE k"), 4712);
}

#[test]
fn rows_are_updated_and_deleted() {
    let mut client = filled();
    client.ask("INSERT INTO t (a, b) VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    assert_eq!(client.ask("UPDATE t SET a += 10, b = b + '!' OUTPUT deleted.a, inserted.a WHERE a > 1"), "2,12|3,13");
    client.ask("CREATE TABLE s (id int, x int); INSERT INTO s VALUES (1, 50), (2, 60)");
    assert_eq!(
        client.ask("UPDATE q SET q.a = s.x FROM t q JOIN s ON s.id = q.id; SELECT a, c FROM t ORDER BY id"),
        "50,100|60,120|13,26"
    );
    assert_eq!(client.ask("UPDATE TOP (1) t SET a = DEFAULT; SELECT @@ROWCOUNT"), "1");
    assert_eq!(client.ask("DECLARE @o TABLE (id int); DELETE t OUTPUT deleted.id INTO @o FROM t JOIN s ON s.id = t.id; SELECT id FROM @o ORDER BY id"), "1|2");
    assert_eq!(client.ask("DECLARE @v int; UPDATE t SET @v = a = a + 1; SELECT @v, a FROM t"), "14,14");
    assert_eq!(client.ask("DELETE FROM t; SELECT COUNT(*) FROM t"), "0");
}

#[test]
fn merge_does_all_three() {
    let mut client = client();
    client.ask("CREATE DATABASE d; USE d; CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
    let answer = client.ask(
        "MERGE t AS x USING (VALUES (1, 10), (4, 40)) AS s (id, v) ON x.id = s.id \
         WHEN MATCHED THEN UPDATE SET v = s.v \
         WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v) \
         WHEN NOT MATCHED BY SOURCE AND x.id = 3 THEN DELETE \
         OUTPUT $action, inserted.id, deleted.id;",
    );
    assert_eq!(answer, "UPDATE,1,1|INSERT,4,NULL|DELETE,NULL,3");
    assert_eq!(client.ask("SELECT id, v FROM t ORDER BY id"), "1,10|2,2|4,40");
}

#[test]
fn foreign_keys_cascade() {
    let mut client = client();
    client.ask(
        "CREATE DATABASE d; USE d; CREATE TABLE p (id int PRIMARY KEY); \
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE); \
         CREATE TABLE n (id int PRIMARY KEY, p int REFERENCES p (id) ON DELETE SET NULL); \
         INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 1), (2, 2); INSERT INTO n VALUES (1, 1)",
    );
    client.ask("DELETE FROM p WHERE id = 1; UPDATE p SET id = 5");
    assert_eq!(client.ask("SELECT id, p FROM c"), "2,5");
    assert_eq!(client.ask("SELECT id, p FROM n"), "1,NULL");
}

#[test]
fn triggers_see_the_rows() {
    let mut client = filled();
    client.ask("CREATE TABLE log (what varchar(10), id int)");
    client.ask("CREATE TRIGGER tr ON t AFTER INSERT, UPDATE, DELETE AS BEGIN INSERT INTO log SELECT 'new', id FROM inserted; INSERT INTO log SELECT 'old', id FROM deleted; IF UPDATE(b) AND EXISTS (SELECT 1 FROM inserted WHERE b = 'bad') ROLLBACK END");
    client.ask("INSERT INTO t (a) VALUES (1), (2); UPDATE t SET a = 3 WHERE id = 1; DELETE t WHERE id = 2");
    assert_eq!(client.ask("SELECT what, COUNT(*) FROM log GROUP BY what ORDER BY what"), "new,3|old,2");
    assert_eq!(client.fails("UPDATE t SET b = 'bad'"), 3609);
    assert_eq!(client.ask("SELECT b FROM t; "), "NULL");
}

#[test]
fn text_and_dates_are_stored_as_their_types_hold_them() {
    let mut client = client();
    client.ask("CREATE DATABASE d; USE d; CREATE TABLE t (c char(4), n nchar(3), d datetime, s smalldatetime, d2 datetime2(3), b binary(4), r rowversion, u uniqueidentifier, m money, f float, x sql_variant)");
    client.ask("INSERT INTO t (c, n, d, s, d2, b, u, m, f, x) VALUES ('a', N'b', '2024-01-01T00:00:00.002', '2024-01-01 00:00:31', '2024-01-01 00:00:00.0006', 0x01, '00112233-4455-6677-8899-AABBCCDDEEFF', 1.23456, 0.1, 'v')");
    assert_eq!(
        client.ask("SELECT '[' + c + ']', '[' + n + ']', CONVERT(varchar(30), d, 121), CONVERT(varchar(30), s, 120), d2, b, u, CONVERT(varchar(20), m, 2), f, x FROM t"),
        "[a   ],[b  ],2024-01-01 00:00:00.003,2024-01-01 00:01:00,2024-01-01 00:00:00.001,0x01000000,00112233-4455-6677-8899-AABBCCDDEEFF,1.2346,0.1,v"
    );
    assert_eq!(client.ask("DECLARE @r binary(8) = (SELECT r FROM t); UPDATE t SET f = 1; SELECT CASE WHEN r > @r THEN 1 ELSE 0 END FROM t"), "1");
}

#[test]
fn rows_that_are_there_get_numbers_and_versions() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (a varchar(5)); INSERT INTO t VALUES ('x'), ('y')");
    client.ask("ALTER TABLE t ADD _row_id bigint IDENTITY NOT NULL PRIMARY KEY, v rowversion");
    assert_eq!(client.ask("SELECT _row_id FROM t ORDER BY _row_id"), "1|2");
    assert_eq!(client.ask("SELECT COUNT(DISTINCT v) FROM t WHERE v <= @@DBTS"), "2");
    client.ask("INSERT INTO t (a) VALUES ('z')");
    assert_eq!(client.ask("SELECT _row_id, a FROM t WHERE _row_id = 3"), "3,z");
    assert_eq!(client.fails("ALTER TABLE t ADD n int IDENTITY"), 2744);
    assert_eq!(client.fails("ALTER TABLE t ADD w rowversion"), 2738);
    client.ask("CREATE TABLE u (a int); INSERT INTO u VALUES (1), (2), (3)");
    assert_eq!(client.fails("ALTER TABLE u ADD n tinyint IDENTITY(200, 50)"), 8115);
    client.ask("BEGIN TRAN; ALTER TABLE u ADD n int IDENTITY; ROLLBACK; ALTER TABLE u ADD n int IDENTITY(10, -5)");
    assert_eq!(client.ask("INSERT INTO u VALUES (4); SELECT n FROM u ORDER BY n DESC"), "10|5|0|-5");
    client.ask("ALTER TABLE u DROP COLUMN n; DELETE FROM u; ALTER TABLE u ADD n int IDENTITY(7, 1)");
    assert_eq!(client.ask("INSERT INTO u VALUES (4); SELECT n FROM u"), "7");
}

#[test]
fn each_row_that_is_there_gets_a_default_of_its_own() {
    let mut client = in_database();
    client
        .ask("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3); CREATE SEQUENCE s START WITH 5");
    client.ask(
        "ALTER TABLE t ADD g uniqueidentifier NOT NULL DEFAULT NEWID(), h uniqueidentifier NOT NULL DEFAULT NEWSEQUENTIALID(),
             n int NOT NULL DEFAULT NEXT VALUE FOR s, at datetime2 NOT NULL DEFAULT SYSDATETIME(),
             later uniqueidentifier NULL DEFAULT NEWID()",
    );
    let sql = "SELECT COUNT(DISTINCT g), COUNT(DISTINCT h), MIN(n), MAX(n), COUNT(DISTINCT at), COUNT(later) FROM t";
    assert_eq!(client.ask(sql), "3,3,5,7,1,0");
    let before = client.ask("SELECT id, g FROM t ORDER BY id");
    assert_eq!(client.ask("SELECT id, g FROM t ORDER BY id"), before);
    client.ask("ALTER TABLE t ADD u uniqueidentifier NOT NULL DEFAULT NEWID() UNIQUE");
    assert_eq!(client.ask("SELECT COUNT(DISTINCT u) FROM t"), "3");
}

#[test]
fn constraints_see_what_rows_get_in_a_new_column() {
    let mut client = in_database();
    client.ask("CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (2)");
    client.ask("CREATE TABLE t (a int); INSERT INTO t VALUES (10), (11), (12)");
    assert_eq!(client.fails("ALTER TABLE t ADD n int IDENTITY CHECK (n < 3)"), 547);
    assert_eq!(client.fails("ALTER TABLE t ADD n int IDENTITY REFERENCES p (id)"), 547);
    assert_eq!(client.fails("ALTER TABLE t ADD n int NOT NULL DEFAULT 3 REFERENCES p (id)"), 547);
    client.ask("INSERT INTO p VALUES (3)");
    client.ask("ALTER TABLE t ADD n int IDENTITY CHECK (n < 4) REFERENCES p (id), m AS n * 2, CHECK (a + n > 10)");
    assert_eq!(client.ask("SELECT n, m FROM t ORDER BY n"), "1,2|2,4|3,6");
    assert_eq!(client.fails("INSERT INTO t VALUES (13)"), 547);
}
