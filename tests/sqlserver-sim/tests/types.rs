//! Every type that rows of change tables have, by what a client that knows nothing of the simulator reads.

use tiberius::{ColumnData, Row};

use crate::client::{Tiberius, connect, start};

/// Type, a value in T-SQL, the value's text as the server converts it.
const TYPES: [(&str, &str, &str); 38] = [
    ("bit", "1", "1"),
    ("tinyint", "255", "255"),
    ("smallint", "-32768", "-32768"),
    ("int", "-2147483648", "-2147483648"),
    ("bigint", "9223372036854775807", "9223372036854775807"),
    ("decimal(38,0)", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
    ("decimal(38,38)", "-0.00000000000000000000000000000000000001", "-0.00000000000000000000000000000000000001"),
    ("numeric(9,2)", "1234567.89", "1234567.89"),
    ("decimal(19,4)", "-0.0001", "-0.0001"),
    ("money", "-922337203685477.5808", "-922337203685477.5808"),
    ("smallmoney", "214748.3647", "214748.3647"),
    ("real", "1.5", "1.5"),
    ("float", "-0.1", "-0.1"),
    ("date", "'0001-01-01'", "0001-01-01"),
    ("date", "'9999-12-31'", "9999-12-31"),
    ("time(0)", "'23:59:59'", "23:59:59"),
    ("time(3)", "'23:59:59.999'", "23:59:59.999"),
    ("time(7)", "'23:59:59.9999999'", "23:59:59.9999999"),
    ("datetime", "'1753-01-01 00:00:00.003'", "1753-01-01 00:00:00.003"),
    ("datetime", "'9999-12-31 23:59:59.997'", "9999-12-31 23:59:59.997"),
    ("smalldatetime", "'2079-06-06 23:59:00'", "2079-06-06 23:59:00"),
    ("datetime2(0)", "'2024-02-29 12:00:01'", "2024-02-29 12:00:01"),
    ("datetime2(7)", "'0001-01-01 00:00:00.0000001'", "0001-01-01 00:00:00.0000001"),
    ("datetimeoffset(3)", "'2024-02-29 23:30:00.125 +05:30'", "2024-02-29 23:30:00.125 +05:30"),
    ("datetimeoffset(7)", "'2024-03-01 00:30:00.0000001 -14:00'", "2024-03-01 00:30:00.0000001 -14:00"),
    ("char(5)", "'ab'", "ab   "),
    ("varchar(20)", "'größe €'", "größe €"),
    ("varchar(max)", "REPLICATE(CAST('y' AS varchar(max)), 20000)", ""),
    ("text", "'long ago'", "long ago"),
    ("nchar(4)", "N'漢'", "漢   "),
    ("nvarchar(20)", "N'漢字😀'", "漢字😀"),
    ("nvarchar(max)", "N''", ""),
    ("ntext", "N'漢字'", "漢字"),
    ("binary(4)", "0x0102", "0x01020000"),
    ("varbinary(10)", "0x", "0x"),
    ("varbinary(max)", "0x00FF", "0x00FF"),
    ("image", "0xDEADBEEF", "0xDEADBEEF"),
    ("uniqueidentifier", "'00112233-4455-6677-8899-AABBCCDDEEFF'", "00112233-4455-6677-8899-AABBCCDDEEFF"),
];

async fn rows(client: &mut Tiberius, sql: &str) -> Vec<Row> {
    client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).into_first_result().await.unwrap()
}

async fn run(client: &mut Tiberius, sql: &str) {
    client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).into_results().await.unwrap();
}

fn days_of(days: u32) -> String {
    let (mut year, mut left) = (1, days);
    let leap = |year: u32| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = |year| if leap(year) { 366 } else { 365 };
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let months = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= months[month] {
        left -= months[month];
        month += 1;
    }
    format!("{year:04}-{:02}-{:02}", month + 1, left + 1)
}

/// A time of so many units of its scale.
fn time(units: u64, scale: u8) -> String {
    let unit = 10_u64.pow(u32::from(scale));
    let (seconds, fraction) = (units / unit, units % unit);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if scale == 0 { clock } else { format!("{clock}.{fraction:0width$}", width = usize::from(scale)) }
}

/// What a client reads, as the text that the server would make of it. Arithmetic of its own, so that a value that is
/// wrong on both ways doesn't look right.
fn text(data: &ColumnData<'_>) -> Option<String> {
    const DAYS_TO_1900: i64 = 693_595;
    let day = |days: i64| days_of(u32::try_from(days).unwrap());
    let hex = |bytes: &[u8]| format!("0x{}", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>());
    match data {
        ColumnData::Bit(bit) => bit.map(|bit| u8::from(bit).to_string()),
        ColumnData::U8(n) => n.map(|n| n.to_string()),
        ColumnData::I16(n) => n.map(|n| n.to_string()),
        ColumnData::I32(n) => n.map(|n| n.to_string()),
        ColumnData::I64(n) => n.map(|n| n.to_string()),
        ColumnData::F32(n) => n.map(|n| n.to_string()),
        ColumnData::F64(n) => n.map(|n| n.to_string()),
        ColumnData::Numeric(n) => n.map(|n| {
            let digits = n.value().unsigned_abs().to_string();
            let scale = usize::from(n.scale());
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let sign = if n.value() < 0 { "-" } else { "" };
            format!("{sign}{whole}{}{fraction}", if scale == 0 { "" } else { "." })
        }),
        ColumnData::String(text) => text.as_ref().map(ToString::to_string),
        ColumnData::Binary(bytes) => bytes.as_ref().map(|bytes| hex(bytes)),
        ColumnData::Guid(id) => id.map(|id| id.to_string().to_uppercase()),
        ColumnData::Date(date) => date.map(|date| days_of(date.days())),
        ColumnData::Time(it) => it.map(|it| time(it.increments(), it.scale())),
        ColumnData::SmallDateTime(it) => it.map(|it| {
            format!("{} {}", day(DAYS_TO_1900 + i64::from(it.days())), time(u64::from(it.seconds_fragments()) * 60, 0))
        }),
        ColumnData::DateTime(it) => it.map(|it| {
            let thousandths = (u64::from(it.seconds_fragments()) * 1000 + 150) / 300;
            format!("{} {}", day(DAYS_TO_1900 + i64::from(it.days())), time(thousandths, 3))
        }),
        ColumnData::DateTime2(it) => {
            it.map(|it| format!("{} {}", days_of(it.date().days()), time(it.time().increments(), it.time().scale())))
        }
        ColumnData::DateTimeOffset(it) => it.map(|it| {
            let scale = it.datetime2().time().scale();
            let second = 10_i64.pow(u32::from(scale));
            let of_day = i64::try_from(it.datetime2().time().increments()).unwrap();
            let units = i64::from(it.datetime2().date().days()) * 86_400 * second
                + of_day
                + i64::from(it.offset()) * 60 * second;
            let of_day = u64::try_from(units.rem_euclid(86_400 * second)).unwrap();
            let sign = if it.offset() < 0 { '-' } else { '+' };
            let minutes = it.offset().abs();
            format!(
                "{} {} {sign}{:02}:{:02}",
                day(units.div_euclid(86_400 * second)),
                time(of_day, scale),
                minutes / 60,
                minutes % 60
            )
        }),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn values_of_every_type_are_read_as_they_were_written() {
    let sim = start();
    let mut client = connect(&sim).await;
    let columns: Vec<String> =
        TYPES.iter().enumerate().map(|(n, (sql_type, ..))| format!("c{n} {sql_type} NULL")).collect();
    run(&mut client, &format!("CREATE TABLE t (id int PRIMARY KEY, {})", columns.join(", "))).await;
    let values: Vec<&str> = TYPES.iter().map(|(_, value, _)| *value).collect();
    run(&mut client, &format!("INSERT INTO t VALUES (1, {}); INSERT INTO t (id) VALUES (2)", values.join(", "))).await;
    let rows = rows(&mut client, "SELECT * FROM t ORDER BY id").await;
    assert_eq!(rows.len(), 2);
    for ((sql_type, value, expected), (_, data)) in TYPES.iter().zip(rows[0].cells().skip(1)) {
        let read = text(data).unwrap_or_else(|| panic!("{sql_type} {value} is NULL"));
        if *sql_type == "varchar(max)" {
            assert_eq!(read, "y".repeat(20_000));
        } else if sql_type.contains("money") {
            // tiberius reads money as a float.
            assert_eq!(read.parse::<f64>().unwrap(), expected.parse::<f64>().unwrap(), "{sql_type}");
        } else {
            assert_eq!(read, *expected, "{sql_type} {value}");
        }
    }
    for ((sql_type, ..), (_, data)) in TYPES.iter().zip(rows[1].cells().skip(1)) {
        assert_eq!(text(data), None, "{sql_type}");
    }
}

#[tokio::test]
async fn variants_keep_their_own_type() {
    let sim = start();
    let mut client = connect(&sim).await;
    let values = "1, N'ä', 0x01, CAST('2024-02-29' AS date), CAST(1.5 AS decimal(5,2)), CAST(1 AS bit)";
    run(&mut client, "CREATE TABLE t (id int IDENTITY, v sql_variant)").await;
    for value in values.split(", ") {
        run(&mut client, &format!("INSERT INTO t (v) VALUES ({value})")).await;
    }
    let rows = rows(&mut client, "SELECT v FROM t ORDER BY id").await;
    let read: Vec<Option<String>> = rows.iter().map(|row| text(row.cells().next().unwrap().1)).collect();
    let read: Vec<&str> = read.iter().map(|text| text.as_deref().unwrap()).collect();
    assert_eq!(read, ["1", "ä", "0x01", "2024-02-29", "1.50", "1"]);
}

#[tokio::test]
async fn columns_tell_their_names_and_types() {
    let sim = start();
    let mut client = connect(&sim).await;
    run(&mut client, "CREATE TABLE t (id int IDENTITY PRIMARY KEY, v rowversion, n nvarchar(10), x xml)").await;
    let mut stream = client.simple_query("SELECT *, id + 1 FROM t").await.unwrap();
    let columns = stream.columns().await.unwrap().unwrap();
    let names: Vec<&str> = columns.iter().map(tiberius::Column::name).collect();
    assert_eq!(names, ["id", "v", "n", "x", ""]);
}
