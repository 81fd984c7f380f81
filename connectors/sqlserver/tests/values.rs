//! Every type: the value that a row has, and that it is the same from the table and from the change table.

use millstream_core::change::RowChange;
use millstream_testkit::is_unwanted;

use crate::database::{cells, discovered, read_all, row_changes};
use crate::server::CapturedDatabase;

/// A column's type, and pairs of a T-SQL literal and the value that it becomes, as [`cells`] writes it.
const TYPES: &[(&str, &[(&str, &str)])] = &[
    ("bit", &[("0", "0"), ("1", "1"), ("NULL", "NULL")]),
    ("tinyint", &[("0", "0"), ("255", "255"), ("NULL", "NULL")]),
    ("smallint", &[("-32768", "-32768"), ("32767", "32767"), ("NULL", "NULL")]),
    ("int", &[("-2147483648", "-2147483648"), ("2147483647", "2147483647"), ("NULL", "NULL")]),
    ("bigint", &[("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")]),
    ("decimal(5,2)", &[("-999.99", "'-999.99'"), ("0.5", "'0.50'"), ("0", "'0.00'"), ("NULL", "NULL")]),
    (
        "decimal(38,0)",
        &[
            ("99999999999999999999999999999999999999", "'99999999999999999999999999999999999999'"),
            ("-99999999999999999999999999999999999999", "'-99999999999999999999999999999999999999'"),
        ],
    ),
    ("decimal(38,38)", &[("0.00000000000000000000000000000000000001", "'0.00000000000000000000000000000000000001'")]),
    ("numeric(19,4)", &[("-922337203685477.5808", "'-922337203685477.5808'")]),
    (
        "money",
        &[
            ("-922337203685477.5808", "'-922337203685477.5808'"),
            ("922337203685477.5807", "'922337203685477.5807'"),
            ("0.1", "'0.1000'"),
            ("NULL", "NULL"),
        ],
    ),
    ("smallmoney", &[("-214748.3648", "'-214748.3648'"), ("214748.3647", "'214748.3647'"), ("NULL", "NULL")]),
    ("real", &[("0.1", "0.1"), ("-3.4E38", "-3.4e38"), ("16777217", "16777216.0"), ("NULL", "NULL")]),
    ("float", &[("0.1", "0.1"), ("-1.79E308", "-1.79e308"), ("2.2250738585072014E-308", "2.2250738585072014e-308")]),
    ("char(5)", &[("'ab'", "'ab   '"), ("''", "'     '"), ("NULL", "NULL")]),
    (
        "varchar(10)",
        &[("'ab '", "'ab '"), ("''", "''"), ("'caf\u{e9} \u{20ac}'", "'caf\u{e9} \u{20ac}'"), ("NULL", "NULL")],
    ),
    ("varchar(max)", &[("'long'", "'long'"), ("''", "''"), ("NULL", "NULL")]),
    ("text", &[("'old'", "'old'"), ("NULL", "NULL")]),
    ("nchar(3)", &[("N'\u{e9}'", "'\u{e9}  '"), ("NULL", "NULL")]),
    (
        "nvarchar(10)",
        &[("N'\u{65e5}\u{672c} \u{1f600}'", "'\u{65e5}\u{672c} \u{1f600}'"), ("N''", "''"), ("NULL", "NULL")],
    ),
    ("nvarchar(max)", &[("REPLICATE(CAST(N'\u{e9}' AS nvarchar(max)), 9000)", "9000 letters"), ("NULL", "NULL")]),
    ("ntext", &[("N'\u{e4}lter'", "'\u{e4}lter'"), ("NULL", "NULL")]),
    ("xml", &[("N'<a b=\"1\">x</a>'", "'<a b=\"1\">x</a>'"), ("NULL", "NULL")]),
    ("date", &[("'0001-01-01'", "'0001-01-01'"), ("'9999-12-31'", "'9999-12-31'"), ("'2024-02-29'", "'2024-02-29'")]),
    ("time(0)", &[("'23:59:59'", "'23:59:59'"), ("NULL", "NULL")]),
    ("time(7)", &[("'23:59:59.9999999'", "'23:59:59.9999999'"), ("'00:00:00'", "'00:00:00.0000000'")]),
    (
        "smalldatetime",
        &[
            ("'1900-01-01T00:00:00'", "'1900-01-01T00:00:00.000Z'"),
            ("'2079-06-06T23:59:00'", "'2079-06-06T23:59:00.000Z'"),
        ],
    ),
    (
        "datetime",
        &[
            ("'1753-01-01T00:00:00'", "'1753-01-01T00:00:00.000Z'"),
            ("'9999-12-31T23:59:59.997'", "'9999-12-31T23:59:59.997Z'"),
            ("'2024-02-29T12:34:56.003'", "'2024-02-29T12:34:56.003Z'"),
            ("NULL", "NULL"),
        ],
    ),
    ("datetime2(0)", &[("'0001-01-01T00:00:00'", "'0001-01-01T00:00:00.000Z'")]),
    ("datetime2(7)", &[("'9999-12-31T23:59:59.9999999'", "'9999-12-31T23:59:59.9999999Z'"), ("NULL", "NULL")]),
    (
        "datetimeoffset(7)",
        &[
            ("'2024-02-29T23:30:00.1234567+14:00'", "'2024-02-29T23:30:00.1234567+14:00'"),
            ("'2024-02-29T00:30:00-05:30'", "'2024-02-29T00:30:00.0000000-05:30'"),
            ("NULL", "NULL"),
        ],
    ),
    (
        "uniqueidentifier",
        &[("'0e984725-c51c-4bf4-9960-e1c80e27aba0'", "'0E984725-C51C-4BF4-9960-E1C80E27ABA0'"), ("NULL", "NULL")],
    ),
    ("binary(3)", &[("0x01ff", "x01ff00"), ("NULL", "NULL")]),
    ("varbinary(10)", &[("0x", "x"), ("0x00ff10", "x00ff10"), ("NULL", "NULL")]),
    ("varbinary(max)", &[("0x0102", "x0102"), ("NULL", "NULL")]),
    ("image", &[("0x0304", "x0304"), ("NULL", "NULL")]),
];

/// A table with a column of each type, and the literals for its rows with the values that they become.
struct Bed {
    create: String,
    rows: Vec<(String, Vec<String>)>,
}

fn bed() -> Bed {
    let columns: Vec<String> =
        TYPES.iter().enumerate().map(|(place, (source_type, _))| format!("c{place} {source_type} NULL")).collect();
    let create = format!("CREATE TABLE dbo.beds (id int NOT NULL PRIMARY KEY, {})", columns.join(", "));
    let most = TYPES.iter().map(|(_, pairs)| pairs.len()).max().unwrap_or_default();
    let rows = (0..most).map(|row| {
        let pairs: Vec<(&str, &str)> = TYPES.iter().map(|(_, pairs)| pairs[row % pairs.len()]).collect();
        let literals: Vec<&str> = pairs.iter().map(|(literal, _)| *literal).collect();
        let insert = format!("INSERT INTO dbo.beds VALUES ({row}, {})", literals.join(", "));
        let mut expected = vec![row.to_string()];
        expected.extend(pairs.iter().map(|(_, value)| (*value).to_owned()));
        (insert, expected)
    });
    Bed { create, rows: rows.collect() }
}

fn shortened(cells: Vec<String>) -> Vec<String> {
    let shorten = |cell: String| match cell.chars().count() {
        letters if letters > 1_000 => format!("{} letters", letters - 2),
        _ => cell,
    };
    cells.into_iter().map(shorten).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_as_documented_and_the_same_from_the_table_and_from_the_log() {
    if is_unwanted("sqlserver") {
        return;
    }
    let database = CapturedDatabase::start(false).await.expect("a database is made");
    let Bed { create, rows } = bed();
    database.run(&create).await.expect("a table is made");
    database.capture("beds").await.expect("the table is captured");
    let source = database.source().expect("the configuration has no fault");
    let discovery = discovered(source.as_ref(), &["beds"]).await;
    let schema = discovery.tables.first().cloned().expect("the table is captured");
    for (insert, _) in &rows {
        database.run(insert).await.expect("a row is inserted");
    }
    // From the table.
    let read = read_all(source.as_ref(), &schema).await;
    let read: Vec<Vec<String>> = read.rows().map(|row| shortened(cells(row))).collect();
    for ((insert, expected), found) in rows.iter().zip(&read) {
        for (place, (expected, found)) in expected.iter().zip(found).enumerate() {
            let source_type = place.checked_sub(1).map_or("int", |place| TYPES[place].0);
            assert_eq!(found, expected, "{source_type} in {insert}");
        }
    }
    assert_eq!(read.len(), rows.len());
    // From the log.
    let changes = row_changes(source.as_ref(), &discovery, rows.len()).await;
    assert!(changes.iter().all(|(change, _)| *change == RowChange::Upsert), "{changes:?}");
    let streamed: Vec<Vec<String>> = changes.into_iter().map(|(_, cells)| shortened(cells)).collect();
    assert_eq!(streamed, read);
}
