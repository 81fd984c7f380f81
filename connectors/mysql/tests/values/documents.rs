//! JSON.

use super::bed::Bed;

on_servers!(common_documents, large_documents);
on_one!(MySql, documents_as_the_server_orders_them, values_of_sql_types, random_doubles, deep_documents);
on_one!(MySql, partial_updates, random_partial_updates);
on_one!(MariaDb, documents_as_they_were_stored);

/// MariaDB keeps the text, so that it is written without spaces here.
async fn common_documents(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, j JSON)",
            r#"INSERT INTO t VALUES (1, '{"a":[1,2.5,"x y",null,true,false,{}],"b":"c"}'), (2, '[]'), (3, '"é 😀"'),
                                    (4, 'null'), (5, NULL), (6, '[-9223372036854775808,18446744073709551615]'),
                                    (7, '[32767,32768,-32769,65536,2147483648,4294967296]')"#,
        )
        .await;
    assert_eq!(rows[0], r#"1,'{"a":[1,2.5,"x y",null,true,false,{}],"b":"c"}'"#);
    assert_eq!(rows[3..6], ["4,'null'", "5,NULL", "6,'[-9223372036854775808,18446744073709551615]'"]);
}

async fn documents_as_they_were_stored(bed: &Bed) {
    let text = r#"{"b": 1, "a":  [ ]}"#;
    let rows = bed.rows("id INT PRIMARY KEY, j JSON)", &format!("INSERT INTO t VALUES (1, '{text}')")).await;
    assert_eq!(rows, [format!("1,'{text}'")]);
}

async fn documents_as_the_server_orders_them(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, j JSON)",
            r#"INSERT INTO t VALUES (1, '{"bb": 1, "c": [1, 2.5 , "x  y"], "a": {"": -1}, "a": 2}'),
                                    (2, '"str \\" \\\\ \\b\\t\\n\\f\\r \\u0001 \\u001f \\/ \\u007f"'),
                                    (3, '{"k\\"e\\\\y\\n": 1}')"#,
        )
        .await;
    let expected = [
        r#"1,'{"a":2,"c":[1,2.5,"x  y"],"bb":1}'"#,
        "2,'\"str \\\" \\\\ \\b\\t\\n\\f\\r \\u0001 \\u001f / \u{7f}\"'",
        r#"3,'{"k\"e\\y\n":1}'"#,
    ];
    assert_eq!(rows, expected);
}

/// Documents of more than 64 KiB count in other widths; keys are limited to 64 KiB.
async fn large_documents(bed: &Bed) {
    bed.rows(
        "id INT PRIMARY KEY, j JSON)",
        r#"INSERT INTO t VALUES (1, JSON_ARRAY(REPEAT('x', 70000), 1, 2, 100000, 3000000000, -5, TRUE));
           INSERT INTO t VALUES (2, CONCAT('[', REPEAT('1,', 30000), '70000]'));
           INSERT INTO t VALUES (3, JSON_OBJECT(REPEAT('k', 300), 1, '', 2, 'b', 3, 'big', REPEAT('y', 66000)));
           INSERT INTO t VALUES (4, JSON_OBJECT('a', REPEAT('x', 127), 'b', REPEAT('x', 128), 'c', REPEAT('x', 16384)))"#,
    )
    .await;
}

async fn deep_documents(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, j JSON)",
            r#"INSERT INTO t VALUES (1, CONCAT(REPEAT('[', 99), REPEAT(']', 99))),
                                    (2, CONCAT(REPEAT('{"a":', 99), '1', REPEAT('}', 99)))"#,
        )
        .await;
    assert_eq!(rows[0], format!("1,'{}{}'", "[".repeat(99), "]".repeat(99)));
}

async fn values_of_sql_types(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, j JSON)",
            "INSERT INTO t VALUES
             (1, JSON_ARRAY(CAST(1.10 AS DECIMAL(10,2)), CAST('2024-01-02' AS DATE), CAST('10:11:12.5' AS TIME(1)),
                            CAST('-10:11:12.5' AS TIME(1)), CAST('2024-01-02 03:04:05.123456' AS DATETIME(6)))),
             (2, JSON_ARRAY(X'00FF', B'101', CAST('abc' AS BINARY), REPEAT(X'AB', 100))),
             (3, CAST(CAST(-1.50 AS DECIMAL(10,2)) AS JSON)), (4, CAST(18446744073709551615 AS JSON)),
             (5, CAST(CAST('0000-00-00' AS DATE) AS JSON)), (6, CAST(ST_GeomFromText('POINT(1 2)') AS JSON)),
             (7, JSON_ARRAY(CAST('2024-01-02 03:04:05' AS DATETIME), TIMESTAMP('2024-01-02 03:04:05.5'), YEAR('2024-01-01')))",
        )
        .await;
    assert_eq!(rows[0], r#"1,'[1.10,"2024-01-02","10:11:12.500000","-10:11:12.500000","2024-01-02 03:04:05.123456"]'"#);
    assert!(rows[1].starts_with(r#"2,'["base64:type15:AP8=","#), "{}", rows[1]);
    assert_eq!(rows[2..4], ["3,'-1.50'", "4,'18446744073709551615'"]);
}

/// The server's rules for when to write an exponent, and which of two equally short texts to take.
async fn random_doubles(bed: &Bed) {
    let mut random = Random::from_environment();
    let mut texts = Vec::new();
    while texts.len() < 3_000 {
        let double = f64::from_bits(random.next());
        if double.is_finite() {
            texts.push(format!("{double:e}"));
        }
    }
    texts.extend((0..3_000).map(|_| format!("{}e{}", random.below(1_000_000_000), random.below(40) as i64 - 22)));
    texts.extend((0..3_000).map(|_| format!("{}.5e0", random.below(1 << 52))));
    for exponent in -25..25 {
        texts.extend((1..10).map(|digit| format!("-{digit}.{digit}e{exponent}")));
        texts.extend((1..10).map(|digit| format!("{digit}e{exponent}")));
    }
    texts.push("1221953339504170.25".to_owned());
    let values = texts.iter().enumerate().map(|(id, text)| format!("({id}, '{text}')")).collect::<Vec<_>>();
    bed.rows("id INT PRIMARY KEY, j JSON)", &format!("INSERT INTO t VALUES {}", values.join(","))).await;
}

async fn partial_updates(bed: &Bed) {
    let long = "so long that changes in it are worth telling apart from the whole document, which is longer still";
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, j JSON, x INT, k JSON)",
            &format!(
                r#"INSERT INTO t VALUES (1, '{{"a": 1, "b": [1,2,3], "c d": {{"e": "{long}"}}, "z": "{long}"}}', 1,
                                         '[1, "{long}"]');
                   SET binlog_row_value_options = PARTIAL_JSON;
                   UPDATE t SET j = JSON_SET(j, '$.a', 2);
                   UPDATE t SET j = JSON_REPLACE(j, '$."c d".e', 'short');
                   UPDATE t SET j = JSON_REMOVE(j, '$.b[1]'), x = 5;
                   UPDATE t SET j = JSON_SET(j, '$.new', JSON_ARRAY(1, 2));
                   UPDATE t SET k = JSON_SET(k, '$[0]', 78), j = JSON_SET(j, '$.b[5]', 'end');
                   UPDATE t SET k = JSON_SET(k, '$[0]', 79);
                   SET binlog_row_image = MINIMAL;
                   UPDATE t SET k = JSON_SET(k, '$[0]', 80);
                   SET binlog_row_image = NOBLOB;
                   UPDATE t SET j = JSON_REMOVE(j, '$.a')"#
            ),
        )
        .await;
    let document = format!(r#"{{"b":[1,3,"end"],"z":"{long}","c d":{{"e":"short"}},"new":[1,2]}}"#);
    assert_eq!(rows, [format!(r#"1,'{document}',5,'[80,"{long}"]'"#)]);
}

async fn random_partial_updates(bed: &Bed) {
    const PATHS: [&str; 12] = [
        "$.a[0]",
        "$.a[1]",
        "$.a[2].b",
        "$.a[2].c",
        r#"$."k y"."q\\"t""#,
        r#"$."k y"."""#,
        r#"$."k y"."é"[0]"#,
        "$.n",
        "$.a[7]",
        r#"$."k y".z"#,
        "$.new",
        "$.a[2]",
    ];
    const VALUES: [&str; 10] = [
        "1",
        "'s'",
        "JSON_ARRAY(1, 'x')",
        "JSON_OBJECT('m', 1.5, 'b', NULL)",
        "NULL",
        "1.25",
        "REPEAT('y', 100)",
        "CAST('2024-01-01' AS DATE)",
        "12345678901234567890",
        "TRUE",
    ];
    let mut random = Random::from_environment();
    let long = "x".repeat(300);
    let mut statements = String::new();
    for id in 0..5 {
        let inner = r#"{"q\\"t": 1, "": 2, "é": [[]]}"#;
        statements += &format!(
            r#"INSERT INTO t VALUES ({id}, '{{"a": [1, 2, {{"b": "{long}"}}], "k y": {inner}, "n": null}}');"#
        );
    }
    statements += "SET binlog_row_value_options = PARTIAL_JSON;";
    for _ in 0..300 {
        let (path, value) = (PATHS[random.below(12) as usize], VALUES[random.below(10) as usize]);
        let expression = match random.below(5) {
            0 => format!("JSON_REMOVE(j, '{path}')"),
            1 => format!("JSON_REPLACE(j, '{path}', {value})"),
            2 => format!("JSON_INSERT(j, '{path}', {value})"),
            3 => format!("JSON_ARRAY_INSERT(j, '$.a[0]', {value})"),
            _ => format!("JSON_SET(j, '{path}', {value})"),
        };
        statements += &format!("UPDATE IGNORE t SET j = {expression} WHERE id = {};", random.below(5));
    }
    bed.rows("id INT PRIMARY KEY, j JSON)", &statements).await;
}

/// Repeatable: the seed is printed, and taken from `MILLSTREAM_VALUES_SEED` where that is set.
struct Random(u64);

impl Random {
    fn from_environment() -> Self {
        let seed = std::env::var("MILLSTREAM_VALUES_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = seed.unwrap_or_else(|| rand::random::<u64>() | 1);
        println!("MILLSTREAM_VALUES_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
