use super::*;

#[test]
fn select_one() {
    assert_eq!(client().ask("SELECT 1"), "1");
}

#[test]
fn expressions_follow_the_rules_of_t_sql() {
    let mut client = client();
    for (sql, expected) in [
        ("7 / 2, 7 % 2, -7 / 2, 7.0 / 2", "3,1,-3,3.500000"),
        ("1 + NULL, 'a' + NULL, CONCAT('a', NULL, 1)", "NULL,NULL,a1"),
        ("'1' + 1, 'a' + 'b', N'é' + 'x'", "2,ab,éx"),
        ("CASE WHEN 'a' = 'A ' THEN 1 ELSE 0 END, IIF(1 > 2, 'x', 'y')", "1,y"),
        ("ISNULL(NULL, 5), COALESCE(NULL, NULL, 'z'), NULLIF(1, 1)", "5,z,NULL"),
        (
            "CAST(2.5 AS int), CAST('2024-01-31' AS date), CONVERT(varchar(10), CAST('2024-01-31' AS datetime), 112)",
            "2,2024-01-31,20240131",
        ),
        (
            "LEN('ab  '), DATALENGTH(N'ab'), SUBSTRING('abcdef', 2, 3), CHARINDEX('c', 'abc'), LEFT('abc', 2), RIGHT('abc', 2)",
            "2,4,bcd,3,ab,bc",
        ),
        (
            "REPLACE('aXbx', 'x', '-'), STUFF('abcd', 2, 2, 'Z'), REPLICATE('ab', 3), UPPER('a'), LTRIM('  a')",
            "a-b-,aZd,ababab,A,a",
        ),
        (
            "DATEADD(month, 1, CAST('2024-01-31' AS date)), DATEDIFF(day, '2024-01-01', '2024-02-01'), DATEPART(year, '2024-05-06')",
            "2024-02-29,31,2024",
        ),
        ("0xFF, CAST(255 AS varbinary(2)), CONVERT(varchar(10), 0x0A, 1)", "0xFF,0x00FF,0x0A"),
        ("ROUND(123.456, 2), ABS(-5), FLOOR(1.7), CEILING(1.2), POWER(2, 10)", "123.460,5,1,2,1024"),
        (
            "QUOTENAME('a]b'), DB_NAME(), SCHEMA_NAME(), SUSER_SNAME(), IS_SRVROLEMEMBER('sysadmin')",
            "[a]]b],master,dbo,sa,1",
        ),
        (
            "CONVERT(varchar(23), GETDATE(), 121), SYSUTCDATETIME()",
            "2023-11-14 22:13:20.000,2023-11-14 22:13:20.0000000",
        ),
        ("TRY_CAST('x' AS int), TRY_CONVERT(int, '5')", "NULL,5"),
        ("1 & 3, 1 | 2, 5 ^ 1, ~1", "1,3,4,-2"),
        ("CAST(10 AS decimal(10, 2)) / 3, CAST(1 AS money) / 3", "3.333333,0.33"),
        (
            "CHOOSE(2, 'a', 'b'), PARSENAME('a.b.c', 1), ISNUMERIC('1e5'), ISDATE('x'), EOMONTH('2024-02-01')",
            "b,c,1,0,2024-02-29",
        ),
        ("CAST(NULL AS int), CAST('' AS int), CAST('1900-01-01' AS datetime) + 1.5", "NULL,0,Jan  2 1900 12:00PM"),
        ("CAST(1.0 / 3 AS decimal(5, 3)), 1.1 * 1.1, 2 * 1.5, 5 - 2.25", "0.333,1.21,3.0,2.75"),
        ("N'日本' + 'x', UNICODE(N'日'), NCHAR(26085), ASCII('A'), CHAR(65)", "日本x,26085,日,65,A"),
        ("SERVERPROPERTY('EngineEdition'), DATABASEPROPERTYEX('master', 'Updateability')", "3,READ_WRITE"),
    ] {
        assert_eq!(client.ask(&format!("SELECT {sql}")), expected, "{sql}");
    }
}

#[test]
fn conditions_know_unknown() {
    let mut client = client();
    for (condition, expected) in [
        ("NULL = NULL", "0"),
        ("NOT (NULL = 1)", "0"),
        ("1 IN (1, NULL)", "1"),
        ("2 NOT IN (1, NULL)", "0"),
        ("'abc' LIKE 'A%'", "1"),
        ("5 BETWEEN 1 AND 5", "1"),
        ("NULL IS NOT DISTINCT FROM NULL", "1"),
        ("EXISTS (SELECT 1 WHERE 1 = 0)", "0"),
        ("1 < ALL (SELECT 2 UNION ALL SELECT 3)", "1"),
        ("CAST('2024-01-01' AS datetime) = '20240101'", "1"),
        ("1.50 = 1.5", "1"),
    ] {
        assert_eq!(client.ask(&format!("SELECT CASE WHEN {condition} THEN 1 ELSE 0 END")), expected, "{condition}");
    }
}

fn filled() -> Client {
    let mut client = client();
    client.ask(
        "CREATE DATABASE d; USE d; \
         CREATE TABLE t (id int NOT NULL PRIMARY KEY, g varchar(10), v decimal(10, 2)); \
         CREATE TABLE u (id int NOT NULL, t_id int NOT NULL, n nvarchar(20), PRIMARY KEY (t_id, id)); \
         INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', 2), (3, 'a', NULL), (4, NULL, 4); \
         INSERT INTO u VALUES (1, 1, N'x'), (2, 1, N'y'), (1, 2, N'z'), (1, 9, N'q')",
    );
    client
}

#[test]
fn tables_are_joined_in_every_way() {
    let mut client = filled();
    assert_eq!(client.ask("SELECT t.id, u.n FROM t JOIN u ON u.t_id = t.id ORDER BY t.id, u.n"), "1,x|1,y|2,z");
    assert_eq!(
        client.ask("SELECT t.id, u.n FROM t LEFT JOIN u ON u.t_id = t.id AND u.id = 1 ORDER BY 1"),
        "1,x|2,z|3,NULL|4,NULL"
    );
    assert_eq!(client.ask("SELECT t.id, u.n FROM t RIGHT JOIN u ON u.t_id = t.id ORDER BY u.n"), "NULL,q|1,x|1,y|2,z");
    assert_eq!(client.ask("SELECT COUNT(*) FROM t FULL JOIN u ON u.t_id = t.id"), "6");
    assert_eq!(client.ask("SELECT COUNT(*) FROM t CROSS JOIN u"), "16");
    assert_eq!(client.ask("SELECT t.id, x.n FROM t CROSS APPLY (SELECT TOP 1 n FROM u WHERE u.t_id = t.id ORDER BY n DESC) x ORDER BY 1"), "1,y|2,z");
    assert_eq!(
        client.ask("SELECT t.id, x.n FROM t OUTER APPLY (SELECT MAX(n) AS n FROM u WHERE u.t_id = t.id) x ORDER BY 1"),
        "1,y|2,z|3,NULL|4,NULL"
    );
    assert_eq!(client.ask("SELECT a.id FROM t a, t b WHERE a.id = b.id + 1 ORDER BY 1"), "2|3|4");
}

#[test]
fn rows_are_grouped_and_counted() {
    let mut client = filled();
    assert_eq!(
        client.ask("SELECT g, COUNT(*), COUNT(v), SUM(v), AVG(v) FROM t GROUP BY g ORDER BY g"),
        "NULL,1,1,4.00,4.000000|a,2,1,1.50,1.500000|b,1,1,2.00,2.000000"
    );
    assert_eq!(client.ask("SELECT g FROM t GROUP BY g HAVING COUNT(*) > 1"), "a");
    assert_eq!(client.ask("SELECT MIN(id), MAX(id), COUNT(DISTINCT g) FROM t"), "1,4,2");
    assert_eq!(client.ask("SELECT COUNT(*) FROM t WHERE id > 100"), "0");
    assert_eq!(
        client
            .ask("SELECT UPPER(g) + '!', COUNT(*) FROM t WHERE g IS NOT NULL GROUP BY UPPER(g) ORDER BY COUNT(*) DESC"),
        "A!,2|B!,1"
    );
    assert_eq!(client.ask("SELECT STRING_AGG(n, ',') WITHIN GROUP (ORDER BY n DESC) FROM u"), "z,y,x,q");
    assert_eq!(client.fails("SELECT g, id FROM t GROUP BY g"), 8120);
    assert_eq!(
        client.ask("SELECT id, ROW_NUMBER() OVER (PARTITION BY g ORDER BY id DESC) FROM t ORDER BY id"),
        "1,2|2,1|3,1|4,1"
    );
    assert_eq!(
        client.ask("SELECT id, SUM(id) OVER (ORDER BY id), LAG(id) OVER (ORDER BY id) FROM t ORDER BY id"),
        "1,1,NULL|2,3,1|3,6,2|4,10,3"
    );
}

#[test]
fn results_are_ordered_paged_and_united() {
    let mut client = filled();
    assert_eq!(client.ask("SELECT id FROM t ORDER BY id DESC"), "4|3|2|1");
    assert_eq!(client.ask("SELECT TOP (2) id FROM t ORDER BY v DESC"), "4|2");
    assert_eq!(client.ask("SELECT id FROM t ORDER BY id OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY"), "2|3");
    assert_eq!(client.ask("SELECT id AS x FROM t WHERE id < 3 UNION SELECT t_id FROM u ORDER BY x"), "1|2|9");
    assert_eq!(client.ask("SELECT id FROM t EXCEPT SELECT t_id FROM u ORDER BY id"), "3|4");
    assert_eq!(client.ask("SELECT DISTINCT g FROM t ORDER BY g"), "NULL|a|b");
    assert_eq!(
        client.ask("WITH a AS (SELECT id FROM t WHERE id > 2), b (n) AS (SELECT COUNT(*) FROM a) SELECT n FROM b"),
        "2"
    );
    assert_eq!(
        client.ask("WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT SUM(i) FROM n"),
        "15"
    );
    assert_eq!(client.ask("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(x, y) WHERE y = 'b'"), "2,b");
    assert_eq!(client.ask("SELECT id FROM t WHERE id IN (SELECT t_id FROM u) AND NOT EXISTS (SELECT 1 FROM u WHERE u.t_id = t.id AND n = 'y')"), "2");
    assert_eq!(client.ask("SELECT (SELECT MAX(n) FROM u WHERE u.t_id = t.id) FROM t WHERE id = 1"), "y");
    assert_eq!(client.ask("SELECT TOP 1 WITH TIES g FROM t WHERE g IS NOT NULL ORDER BY g"), "a|a");
}

#[test]
fn keys_find_rows_by_range_and_by_page() {
    let mut client = filled();
    client.ask("CREATE TABLE k (a int, b int, c int, PRIMARY KEY (a, b))");
    client.ask("DECLARE @i int = 0 WHILE @i < 100 BEGIN INSERT INTO k VALUES (@i / 10, @i % 10, @i) SET @i += 1 END");
    assert_eq!(client.ask("SELECT COUNT(*) FROM k WHERE a = 5"), "10");
    assert_eq!(client.ask("SELECT c FROM k WHERE a = 5 AND b >= 8"), "58|59");
    assert_eq!(client.ask("SELECT TOP 3 c FROM k WHERE (a > 5 OR (a = 5 AND b > 8)) ORDER BY a, b"), "59|60|61");
    assert_eq!(client.ask("SELECT TOP 2 c FROM k ORDER BY a DESC, b DESC"), "99|98");
    assert_eq!(client.ask("SELECT MAX(a), MIN(a) FROM k"), "9,0");
    assert_eq!(client.ask("SELECT MAX(b) FROM k WHERE a = 3"), "9");
    assert_eq!(client.ask("SELECT c FROM k WHERE a = 3 AND b = 4.0"), "34");
    assert_eq!(client.ask("SELECT c FROM k WHERE a = '3' AND b BETWEEN 2 AND 3"), "32|33");
    assert_eq!(client.ask("SELECT COUNT(*) FROM k WHERE a = NULL"), "0");
    assert_eq!(client.ask("SELECT MAX(a) FROM k WHERE a < 0"), "NULL");
}

#[test]
fn many_unions_are_run() {
    let mut client = filled();
    let parts: Vec<String> = (0..1000).map(|i| format!("SELECT {i} AS i, MAX(id) AS m FROM t")).collect();
    let answer = client.answer(&parts.join(" UNION ALL "), Vec::new());
    assert_eq!(answer.errors, []);
    assert_eq!(answer.results[0].len(), 1000);
}

#[test]
fn names_that_are_wrong_have_their_numbers() {
    let mut client = filled();
    assert_eq!(client.fails("SELECT nope FROM t"), 207);
    assert_eq!(client.fails("SELECT x.id FROM t"), 4104);
    assert_eq!(client.fails("SELECT * FROM nope"), 208);
    assert_eq!(client.fails("SELECT id FROM t JOIN u ON 1 = 1"), 209);
    assert_eq!(client.fails("SELECT @nope"), 137);
    assert_eq!(client.fails("SELECT nope(1)"), 195);
    assert_eq!(client.fails("SELECT * FROM nope.dbo.t"), 911);
    assert_eq!(client.fails("EXEC nope"), 2812);
    assert_eq!(client.fails("SELECT 1 / 0"), 8134);
    assert_eq!(client.fails("SELECT CAST('x' AS int)"), 245);
    assert_eq!(client.fails("SELECT 1 WHERE 1"), 4145);
    assert_eq!(client.fails("SELECT id FROM t UNION SELECT 1, 2"), 205);
}

#[test]
fn the_catalog_can_be_read() {
    let mut client = filled();
    assert_eq!(
        client.ask("SELECT s.name, t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE t.is_ms_shipped = 0 ORDER BY t.name"),
        "dbo,t|dbo,u"
    );
    assert_eq!(
        client.ask("SELECT c.name, ty.name, c.max_length, c.precision, c.scale, c.is_nullable FROM sys.columns c JOIN sys.types ty ON ty.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID('dbo.t') ORDER BY c.column_id"),
        "id,int,4,10,0,0|g,varchar,10,0,0,1|v,decimal,9,10,2,1"
    );
    assert_eq!(
        client
            .ask("SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'u' ORDER BY ORDINAL_POSITION"),
        "id|t_id|n"
    );
    assert_eq!(
        client.ask("SELECT i.name, ic.key_ordinal, c.name FROM sys.indexes i JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id JOIN sys.columns c ON c.object_id = ic.object_id AND c.column_id = ic.column_id WHERE i.object_id = OBJECT_ID(N'u') AND i.is_primary_key = 1 ORDER BY ic.key_ordinal")
            .split('|')
            .map(|row| row.split(',').next_back().unwrap().to_owned())
            .collect::<Vec<_>>(),
        ["t_id", "id"]
    );
    assert_eq!(client.ask("SELECT name FROM sys.databases WHERE database_id > 4"), "d");
}

#[test]
fn reading_a_range_of_many_rows_reads_that_range() {
    let mut client = filled();
    client.ask("CREATE TABLE big (l binary(10) NOT NULL, c int NOT NULL, v varchar(20)); CREATE UNIQUE CLUSTERED INDEX i ON big (l, c)");
    client.ask("INSERT INTO big SELECT CAST(value AS binary(10)), value, 'x' FROM GENERATE_SERIES(1, 50000)");
    let began = std::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(
            client.ask("SELECT TOP (3) c FROM big WHERE l > CAST(40000 AS binary(10)) ORDER BY l, c"),
            "40001|40002|40003"
        );
        assert_eq!(client.ask("SELECT MAX(l) FROM big"), "0x0000000000000000C350");
    }
    // Reading all rows 400 times would take far longer than this, even on a slow machine.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn parameters_are_typed() {
    let mut client = filled();
    let parameter =
        |name: &str, sql_type, value, output| Parameter { name: name.to_owned(), sql_type, value, output, table: None };
    let answer = client.answer(
        "SELECT id FROM t WHERE id >= @a ORDER BY id; SET @b = @a * 2",
        vec![
            parameter("@a", SqlType::BigInt, Value::BigInt(3), false),
            parameter("@b", SqlType::Int, Value::Null, true),
        ],
    );
    assert_eq!(answer.errors, []);
    assert_eq!(answer.results[0], [["3"], ["4"]]);
    assert_eq!(answer.values, [("@b".to_owned(), "6".to_owned())]);
}

#[test]
fn values_keep_to_their_types() {
    let mut client = in_database();
    assert_eq!(client.ask("SELECT ISNULL(CAST(NULL AS varchar(2)), 'abcdef')"), "ab");
    assert_eq!(client.ask("SELECT COALESCE(CAST(NULL AS varchar(2)), 'abcdef')"), "abcdef");
    assert_eq!(client.ask("SELECT IIF(N'a  ' LIKE N'a', 1, 0), IIF('a  ' LIKE 'a', 1, 0)"), "0,1");
    assert_eq!(
        client
            .ask("SELECT CAST(CAST('2024-01-01 00:00 +02:00' AS datetimeoffset(0)) AT TIME ZONE 'UTC' AS varchar(40))"),
        "2023-12-31 22:00:00 +00:00"
    );
    assert_eq!(client.ask("SELECT UPPER(N'straße'), UNICODE(NCHAR(8364)), NCHAR(65536)"), "STRAßE,8364,NULL");
    assert_eq!(client.fails("SELECT CAST('<a' AS xml)"), 9400);
    assert_eq!(client.fails("CREATE TABLE x (x xml); INSERT INTO x VALUES (N'<a><b></a>')"), 9436);
    for sql in ["SELECT NCHAR(55357)", "SELECT CAST('/1/' AS hierarchyid)", "SELECT CAST('POINT (1 1)' AS geometry)"] {
        assert_eq!(client.fails(sql), 40_517, "{sql}");
    }
    assert_eq!(client.ask("DECLARE @i int = 0; WHILE @i < 3 BEGIN DECLARE @n int; SET @n = ISNULL(@n, 0) + 1; SET @i += 1 END; SELECT @n"), "3");
}

#[test]
fn a_select_adds_to_variables() {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, a varchar(5)); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')");
    let sql = "DECLARE @s varchar(20) = '', @n int = 100, @m int = 7;
         SELECT @s += a + ',', @n -= id - 1, @m = @m * 2 FROM t WHERE id > 1 ORDER BY id;
         SELECT @s, @n, @m";
    assert_eq!(client.ask(sql), "y,z,,97,28");
    for (sign, result) in [("+=", 9), ("-=", 3), ("*=", 18), ("/=", 2), ("%=", 0), ("&=", 2), ("|=", 7), ("^=", 5)] {
        assert_eq!(client.ask(&format!("DECLARE @n int = 6; SELECT @n {sign} 1 + 2; SELECT @n")), result.to_string());
    }
    assert_eq!(client.fails("SELECT @nope += 1"), 137);
    assert_eq!(client.fails("DECLARE @n int = 1; SELECT @n += 1, id FROM t"), 141);
}
