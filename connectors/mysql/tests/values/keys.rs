//! Reading in the order of every kind of key, in small steps, and by identity.

use millstream_core::row::RowBatch;
use millstream_core::source::KeyRange;
use millstream_core::value::ValueRef;

use super::bed::{Bed, line};

on_servers!(keys_of_one_column, keys_of_several_columns, keys_by_their_collation, ranges_that_split, identities_only);

/// `rows` compares chunks of three rows with the log, so that cursors stand between rows of every kind.
async fn keys_of_one_column(bed: &Bed) {
    let kinds = [
        ("BIGINT", "-9223372036854775808, -1, 0, 1, 2, 9223372036854775807"),
        ("BIGINT UNSIGNED", "0, 1, 9223372036854775807, 9223372036854775808, 18446744073709551615"),
        ("DECIMAL(20,5)", "-1.5, -1.4, 0, 0.00001, 99999999999999.99999"),
        ("FLOAT", "-3.4e38, -0.1, 0, 0.1, 0.2, 0.3, 16777216, 1e30"),
        ("DOUBLE", "-1.7976931348623157e308, -0.1, 0, 5e-324, 0.1, 0.30000000000000004, 1e22"),
        ("BIT(9)", "0, 1, 255, 256, 511"),
        ("YEAR", "0, 1901, 1999, 2000, 2155"),
        ("DATE", "'0000-00-00', '2024-00-15', '2024-02-29', '2024-03-01', '9999-12-31'"),
        ("DATETIME(6)", "0, '1000-01-01', '2024-01-01 00:00:00.000001', '2024-01-01 00:00:00.000002', '9999-12-31'"),
        ("TIMESTAMP(3)", "'1970-01-01 00:00:01', '2024-01-01 00:00:00.001', '2024-01-01 00:00:00.002', '2038-01-19'"),
        ("TIME(2)", "'-838:59:59', '-00:00:00.01', '00:00:00', '00:00:00.01', '838:59:59'"),
        ("VARCHAR(20)", "'', 'A', 'b', 'C', 'é', 'zz', '😀', '\\'\"\\\\'"),
        ("BINARY(3)", "x'', x'01', x'0100ff', x'ff', x'ffffff'"),
        ("VARBINARY(20)", "x'', x'00', x'0000', x'01', x'ff'"),
        ("ENUM('z','a','m','')", "'z', 'a', 'm', ''"),
        ("SET('z','a')", "'', 'z', 'a', 'z,a'"),
    ];
    for (kind, values) in kinds {
        let values: Vec<String> = values.split(", ").map(|value| format!("({value}, 'v')")).collect();
        let statements = format!("INSERT INTO t VALUES {}", values.join(", "));
        let columns = format!("k {kind} NOT NULL PRIMARY KEY, v VARCHAR(9)) CHARACTER SET utf8mb4");
        let rows = bed.rows(&columns, &statements).await;
        assert_eq!(rows.len(), values.len(), "{kind}");
    }
}

async fn keys_of_several_columns(bed: &Bed) {
    let values = |a: u32, b: u32, c: u32| format!("('{}', {b}, '2024-01-0{c}', 0)", ["x", "y", "z"][a as usize]);
    let all = (0..3).flat_map(|a| (0..3).flat_map(move |b| (1..4).map(move |c| values(a, b, c))));
    let statements = format!("INSERT INTO t VALUES {}", all.collect::<Vec<_>>().join(", "));
    let statements = statements + "; INSERT IGNORE INTO t VALUES ('none of them', 7, '2024-01-01', 1)";
    for key in ["PRIMARY KEY (a, b, c)", "PRIMARY KEY (c, a, b)", "UNIQUE (b, c, a)"] {
        let columns = format!("a ENUM('z','x','y') NOT NULL, b INT NOT NULL, c DATE NOT NULL, v INT, {key})");
        assert_eq!(bed.rows(&columns, &statements).await.len(), 28);
    }
}

/// Texts follow their collation, in every character set.
async fn keys_by_their_collation(bed: &Bed) {
    let texts = ["'a'", "'B'", "'c'", "'ä'", "'Z'", "'ß'", "''", "' x'", "'o'", "'Ö'"];
    let statements = format!(
        "INSERT INTO t VALUES {}",
        texts.iter().map(|text| format!("({text}, 1)")).collect::<Vec<_>>().join(", ")
    );
    for collation in [
        "latin1_german1_ci",
        "latin1_bin",
        "utf8mb4_bin",
        "utf16_bin",
        "utf32_bin",
        "ucs2_bin",
        "cp850_bin",
        "utf8mb3_bin",
    ] {
        let charset = collation.split('_').next().unwrap();
        let kind = format!("VARCHAR(10) CHARACTER SET {charset} COLLATE {collation}");
        // German collations hold some of the texts for equal.
        let insert = statements.replace("INSERT", "INSERT IGNORE");
        let rows = bed.rows(&format!("k {kind} NOT NULL PRIMARY KEY, v INT)"), &insert).await;
        assert!(rows.len() >= 8, "{collation}: {rows:?}");
    }
}

async fn ranges_that_split(bed: &Bed) {
    for (key, value) in
        [("INT", "n * 7"), ("BINARY(8)", "LEFT(UNHEX(SHA2(n, 256)), 8)"), ("VARCHAR(40)", "LEFT(SHA2(n, 256), 40)")]
    {
        let (_, schema) = bed.create(&format!("k {key} NOT NULL PRIMARY KEY, v CHAR(1))")).await;
        let count = "WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 900)";
        for times in 0..100 {
            let select =
                format!("{count} SELECT {}, 'x' FROM seq", value.replace('n', &format!("(n + {})", times * 900)));
            bed.sql(&format!("INSERT INTO t {select}")).await;
        }
        bed.sql("ANALYZE TABLE t").await;
        let estimate = bed.source.estimate_rows(&schema).await.unwrap().expect("an estimate");
        assert!((45_000..180_000).contains(&estimate), "{key}: {estimate}");
        let ranges = bed.source.split(&schema, 4).await.unwrap();
        assert!((2..=4).contains(&ranges.len()), "{key}: {ranges:?}");
        let mut total = 0;
        for range in ranges {
            let rows = bed.read(&schema, range, 10_000).await.len();
            assert!(rows > 5_000, "{key}: {rows}");
            total += rows;
        }
        assert_eq!(total, 90_000, "{key}");
        assert_eq!(bed.source.split(&schema, 1).await.unwrap(), [KeyRange::default()]);
    }
}

/// What isn't there isn't in the answer, and neither is what only compares equal.
async fn identities_only(bed: &Bed) {
    let (_, schema) = bed.create("a VARCHAR(5), b INT, PRIMARY KEY (a, b)) COLLATE utf8mb4_general_ci").await;
    bed.sql("INSERT INTO t VALUES ('abc', 1), ('abc', 2), ('x', 3)").await;
    let mut identities = RowBatch::new(2);
    for (a, b) in [("ABC", 1), ("abc", 2), ("abc ", 2), ("nobody", 3), ("x", 3), ("x", 3), ("x' OR 1=1", 3)] {
        identities.push(ValueRef::Text(a)).unwrap();
        identities.push(ValueRef::Int(b)).unwrap();
    }
    let found = bed.read_keys(&schema, identities).await;
    let mut lines: Vec<&String> = found.values().collect();
    lines.sort();
    assert_eq!(lines, ["'abc',2", "'x',3"]);
    let mut many = RowBatch::new(2);
    for number in 0..1_200 {
        many.push(ValueRef::Text("abc")).unwrap();
        many.push(ValueRef::Int(number)).unwrap();
    }
    assert_eq!(bed.read_keys(&schema, many).await.len(), 2);
    let none = bed.read(&schema, KeyRange::default(), 1).await;
    assert_eq!(none.rows().map(line).collect::<Vec<_>>(), ["'abc',1", "'abc',2", "'x',3"]);
}
