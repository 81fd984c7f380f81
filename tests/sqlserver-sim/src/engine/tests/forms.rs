//! JSON, XML, PIVOT, and other ways to turn rows into texts and columns.

use super::*;

fn with_rows() -> Client {
    let mut client = in_database();
    client.ask("CREATE TABLE t (id int PRIMARY KEY, name nvarchar(20), n decimal(5,2), b bit); INSERT INTO t VALUES (1, N'a\"b', 1.5, 1), (2, N'c&<d>', NULL, 0)");
    client
}

#[test]
fn rows_become_json() {
    let mut client = with_rows();
    assert_eq!(
        client.ask("SELECT id, name, n AS [amount.value], b AS [amount.flag] FROM t ORDER BY id FOR JSON PATH"),
        r#"[{"id":1,"name":"a\"b","amount":{"value":1.50,"flag":true}},{"id":2,"name":"c&<d>","amount":{"flag":false}}]"#
    );
    assert_eq!(
        client.ask("SELECT TOP 1 id, (SELECT n FROM t u WHERE u.id = t.id FOR JSON PATH, INCLUDE_NULL_VALUES) AS inside FROM t ORDER BY id DESC FOR JSON AUTO, ROOT('rows')"),
        r#"{"rows":[{"id":2,"inside":[{"n":null}]}]}"#
    );
    assert_eq!(client.ask("SELECT id FROM t WHERE id = 1 FOR JSON PATH, WITHOUT_ARRAY_WRAPPER"), r#"{"id":1}"#);
    assert_eq!(client.ask("SELECT id FROM t WHERE id = 9 FOR JSON PATH"), "");
    assert_eq!(client.ask("SELECT CAST(0.1 AS float) AS f, CAST('2024-02-29T01:02:03' AS datetime2(3)) AS d, 0x0102 AS x FOR JSON PATH"), r#"[{"f":1.000000000000000e-001,"d":"2024-02-29T01:02:03","x":"AQI="}]"#);
    assert_eq!(client.fails("SELECT id + 1 FROM t FOR JSON PATH"), 13_605);
    assert_eq!(client.fails("SELECT id AS a, id AS [a.b] FROM t FOR JSON PATH"), 13_601);
}

#[test]
fn rows_become_xml() {
    let mut client = with_rows();
    assert_eq!(
        client.ask("SELECT STUFF((SELECT ', ' + name FROM t ORDER BY id FOR XML PATH('')), 1, 2, '')"),
        "a\"b, c&amp;&lt;d&gt;"
    );
    assert_eq!(
        client.ask("SELECT STUFF((SELECT ', ' + name FROM t ORDER BY id FOR XML PATH(''), TYPE).value('.', 'nvarchar(max)'), 1, 2, '')"),
        "a\"b, c&<d>"
    );
    assert_eq!(
        client.ask("SELECT id AS [@id], name AS [who/name], b AS [who/flag], n FROM t ORDER BY id FOR XML PATH('r'), ROOT('all')"),
        "<all><r id=\"1\"><who><name>a\"b</name><flag>1</flag></who><n>1.50</n></r><r id=\"2\"><who><name>c&amp;&lt;d&gt;</name><flag>0</flag></who></r></all>"
    );
    assert_eq!(client.ask("SELECT id, n FROM t ORDER BY id FOR XML RAW"), "<row id=\"1\" n=\"1.50\"/><row id=\"2\"/>");
    assert_eq!(client.fails("SELECT id FROM t FOR XML AUTO"), 40_517);
}

#[test]
fn json_is_read() {
    let mut client = client();
    let json = r#"{"a":{"b":[1,{"c":"x"}]},"s":"t\u00e9","n":null}"#;
    assert_eq!(
        client.ask(&format!("DECLARE @j nvarchar(max) = N'{json}'; SELECT JSON_VALUE(@j, '$.a.b[1].c'), JSON_VALUE(@j, '$.s'), JSON_VALUE(@j, '$.a'), JSON_QUERY(@j, '$.a.b'), ISJSON(@j), ISJSON('x')")),
        r#"x,té,NULL,[1,{"c":"x"}],1,0"#
    );
    assert_eq!(client.fails(&format!("SELECT JSON_VALUE('{json}', 'strict $.none')")), 13_608);
    assert_eq!(client.fails("SELECT JSON_VALUE('nonsense', '$.a')"), 13_609);
    assert_eq!(
        client.ask(&format!("SELECT [key], value, type FROM OPENJSON('{json}')")),
        r#"a,{"b":[1,{"c":"x"}]},5|s,té,1|n,NULL,0"#
    );
    assert_eq!(
        client.ask(r#"SELECT o.id, o.name, o.rest FROM OPENJSON('{"r":[{"id":1,"p":{"name":"x"},"rest":[1]},{"id":"2"}]}', '$.r') WITH (id int, name varchar(5) '$.p.name', rest nvarchar(max) AS JSON) AS o"#),
        "1,x,[1]|2,NULL,NULL"
    );
    assert_eq!(
        client.ask("SELECT a.v, j.value FROM (VALUES ('[1,2]')) AS a(v) CROSS APPLY OPENJSON(a.v) AS j"),
        "[1,2],1|[1,2],2"
    );
    assert_eq!(
        client.ask(
            r#"SELECT JSON_MODIFY(JSON_MODIFY(JSON_MODIFY('{"a":1,"l":[1]}', '$.a', 2), '$.b', 'x'), 'append $.l', 3)"#
        ),
        r#"{"a":2,"l":[1,3],"b":"x"}"#
    );
    assert_eq!(client.ask(r#"SELECT JSON_MODIFY('{"a":1,"b":2}', '$.a', NULL)"#), r#"{"b":2}"#);
}

#[test]
fn rows_become_columns_and_columns_rows() {
    let mut client = in_database();
    client.ask("CREATE TABLE sales (shop varchar(5), year int, total int); INSERT INTO sales VALUES ('a', 2023, 1), ('a', 2023, 2), ('a', 2024, 5), ('b', 2024, 7)");
    assert_eq!(
        client.ask(
            "SELECT shop, [2023], [2024] FROM sales PIVOT (SUM(total) FOR year IN ([2023], [2024])) AS p ORDER BY shop"
        ),
        "a,3,5|b,NULL,7"
    );
    assert_eq!(
        client
            .ask("SELECT * FROM (SELECT shop, total FROM sales) AS s PIVOT (COUNT(total) FOR shop IN ([a], [b])) AS p"),
        "3,1"
    );
    client.ask("CREATE TABLE wide (id int, x int, y int); INSERT INTO wide VALUES (1, 10, NULL), (2, 20, 30)");
    assert_eq!(
        client.ask("SELECT id, name, value FROM wide UNPIVOT (value FOR name IN (x, y)) AS u ORDER BY id, name"),
        "1,x,10|2,x,20|2,y,30"
    );
}

#[test]
fn lists_are_split_and_put_together() {
    let mut client = client();
    assert_eq!(client.ask("SELECT value, ordinal FROM STRING_SPLIT('a,b', ',', 1)"), "a,1|b,2");
    assert_eq!(client.ask("SELECT STRING_AGG(value, '+') FROM STRING_SPLIT('a,b', ',')"), "a+b");
    assert_eq!(client.ask("SELECT TRY_CAST('x' AS int), TRY_CONVERT(int, '5')"), "NULL,5");
    assert_eq!(client.ask("WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 150) SELECT COUNT(*) FROM n OPTION (MAXRECURSION 0)"), "150");
    assert_eq!(
        client.fails("WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 150) SELECT COUNT(*) FROM n"),
        530
    );
    assert_eq!(client.fails("WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 50) SELECT COUNT(*) FROM n OPTION (MAXRECURSION 10)"), 530);
    assert_eq!(client.ask("CREATE TABLE #t (i int); INSERT TOP (2) INTO #t SELECT value FROM GENERATE_SERIES(1, 9); SELECT COUNT(*) FROM #t"), "2");
}
