//! Chunks, keys, ranges and whole tables.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::error::{SourceError, chain};
use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::source::{Chunk, KeyRange, ReadRequest, ReadScope, SourceConnector};
use millstream_core::value::ValueRef;
use tokio::time::timeout;

use crate::database::{Database, cells, discovered, selection};
use crate::server::Session;

async fn schema(source: &dyn SourceConnector, table: &str) -> Arc<TableSchema> {
    let found = source.tables(&selection(&[table])).await.unwrap();
    found.into_iter().next().expect("the table is there")
}

async fn read(source: &dyn SourceConnector, table: &Arc<TableSchema>, scope: ReadScope, limit_rows: usize) -> Chunk {
    source.read(ReadRequest { table: Arc::clone(table), scope, limit_rows }).await.unwrap()
}

fn firsts(rows: &RowBatch) -> Vec<String> {
    rows.rows().map(|row| cells(row).swap_remove(0)).collect()
}

/// The first column of all rows of a range, chunk by chunk.
async fn walk(
    source: &dyn SourceConnector,
    table: &Arc<TableSchema>,
    mut range: KeyRange,
    limit: usize,
) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let chunk = read(source, table, ReadScope::Range(range.clone()), limit).await;
        assert!(chunk.rows.len() <= limit);
        found.extend(firsts(&chunk.rows));
        match chunk.next {
            Some(next) => range.after = Some(next),
            None => return found,
        }
    }
}

#[tokio::test]
async fn a_table_is_read_in_the_order_of_its_key_whatever_that_is() {
    let database = Database::start();
    // Types of keys, and values in the server's order.
    let keys = [
        ("int", vec!["-5", "0", "7", "2147483647"]),
        ("bigint", vec!["-9223372036854775808", "3", "9223372036854775807"]),
        ("decimal(10,3)", vec!["-1.500", "0.001", "99.000"]),
        ("money", vec!["-0.0001", "0.5", "922337203685477.5807"]),
        ("float", vec!["-1.5E10", "0.1", "0.3"]),
        ("real", vec!["-0.1", "0.1", "0.3"]),
        ("varchar(10)", vec!["'a'", "'b c'", "'\u{e9}'"]),
        ("nvarchar(10)", vec!["N'a'", "N'b'", "N'\u{e9}'", "N'\u{65e5}'"]),
        ("date", vec!["'0001-01-01'", "'2024-02-29'"]),
        ("time(3)", vec!["'00:00:00'", "'00:00:00.001'", "'23:59:59.999'"]),
        ("datetime", vec!["'1753-01-01'", "'2024-02-29T12:34:56.003'", "'2024-02-29T12:34:56.007'"]),
        ("datetime2(7)", vec!["'0001-01-01'", "'2024-02-29T12:34:56.0000001'"]),
        ("datetimeoffset(7)", vec!["'2024-01-01T00:00:00+02:00'", "'2024-01-01T00:00:00+00:00'"]),
        ("uniqueidentifier", vec!["'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-010000000000'"]),
        ("varbinary(4)", vec!["0x", "0x0001", "0x01ff", "0xff"]),
    ];
    let source = database.source();
    for (number, (source_type, values)) in keys.iter().enumerate() {
        let name = format!("k{number}");
        database.run(&format!("CREATE TABLE dbo.{name} (k {source_type} NOT NULL PRIMARY KEY, place int NOT NULL)"));
        for (place, value) in values.iter().enumerate().rev() {
            database.run(&format!("INSERT INTO dbo.{name} VALUES ({value}, {place})"));
        }
        let schema = schema(source.as_ref(), &name).await;
        let mut range = KeyRange::default();
        for place in 0..values.len() {
            let chunk = read(source.as_ref(), &schema, ReadScope::Range(range.clone()), 1).await;
            let row = chunk.rows.row(0).unwrap_or_else(|| panic!("{source_type} ends at {place}"));
            assert_eq!(row.get(1), Some(ValueRef::Int(place as i64)), "{source_type}");
            let keys = ReadScope::Keys(chunk.rows.clone());
            assert_eq!(read(source.as_ref(), &schema, keys, 9).await.rows, chunk.rows, "{source_type}");
            range.after = chunk.next;
        }
        let last = read(source.as_ref(), &schema, ReadScope::Range(range), 1).await;
        assert!(last.rows.is_empty() && last.next.is_none(), "{source_type}");
    }
}

#[tokio::test]
async fn a_key_of_two_columns_goes_on_behind_both() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (id int NOT NULL, a int NOT NULL, b nvarchar(5) NOT NULL, PRIMARY KEY (a, b))");
    for a in 0..3 {
        for b in 0..4 {
            database.run(&format!("INSERT INTO dbo.t VALUES ({}, {a}, N'{b}')", a * 4 + b));
        }
    }
    let source = database.source();
    let schema = schema(source.as_ref(), "t").await;
    let expected: Vec<String> = (0..12).map(|id| id.to_string()).collect();
    for limit in [1, 2, 3, 5, 12, 100] {
        assert_eq!(walk(source.as_ref(), &schema, KeyRange::default(), limit).await, expected);
    }
    let first = read(source.as_ref(), &schema, ReadScope::Range(KeyRange::default()), 6).await;
    let second =
        read(source.as_ref(), &schema, ReadScope::Range(KeyRange { after: first.next.clone(), upto: None }), 4).await;
    let middle = KeyRange { after: first.next, upto: second.next };
    assert_eq!(walk(source.as_ref(), &schema, middle, 3).await, ["6", "7", "8", "9"]);
}

/// Each chunk began with the first row of the same beginning of the key, so that the rows came by once for each chunk.
#[tokio::test]
async fn rows_whose_keys_begin_alike_come_by_once() {
    let database = Database::start();
    database.run(
        "CREATE TABLE dbo.t (tenant int NOT NULL, id int NOT NULL, PRIMARY KEY (tenant, id))\nGO\n\
         INSERT INTO dbo.t SELECT 7, value FROM GENERATE_SERIES(1, 20000)",
    );
    let source = database.source();
    let schema = schema(source.as_ref(), "t").await;
    let control = database.sim().control();
    let before = control.rows_read();
    assert_eq!(walk(source.as_ref(), &schema, KeyRange::default(), 1_000).await.len(), 20_000);
    // The server reads some ahead of what is wanted.
    let read = control.rows_read() - before;
    assert!(read < 40_000, "{read} rows for 20,000");
}

/// The index that names a table's rows has to be of columns that are NOT NULL only when it is chosen.
#[tokio::test]
async fn a_key_that_came_to_take_null_is_walked_through() {
    let database = Database::start();
    database.run(
        "CREATE TABLE dbo.t (a int NOT NULL, b int NOT NULL, INDEX u UNIQUE (a, b))\nGO\n\
         EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, @index_name = \
         N'u', @supports_net_changes = 0\nGO\n\
         ALTER TABLE dbo.t ALTER COLUMN a int NULL\nGO\nALTER TABLE dbo.t ALTER COLUMN b int NULL\nGO\n\
         INSERT INTO dbo.t VALUES (NULL, NULL), (NULL, 1), (NULL, 2), (1, NULL), (1, 1), (2, NULL), (2, 5)",
    );
    let source = database.source();
    let schema = discovered(source.as_ref(), &["t"]).await.tables.swap_remove(0);
    assert_eq!(schema.identity.columns, [0, 1]);
    for limit in [1, 2, 3] {
        let mut range = KeyRange::default();
        let mut found = Vec::new();
        loop {
            let chunk = read(source.as_ref(), &schema, ReadScope::Range(range.clone()), limit).await;
            found.extend(chunk.rows.rows().map(|row| cells(row).join(",")));
            // What was passed is one range, and what is left another.
            let passed = KeyRange { after: None, upto: chunk.next.clone() };
            let again = read(source.as_ref(), &schema, ReadScope::Range(passed), 100).await;
            assert_eq!(again.rows.len(), found.len(), "up to {:?}", chunk.next);
            match chunk.next {
                Some(next) => range.after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, ["NULL,NULL", "NULL,1", "NULL,2", "1,NULL", "1,1", "2,NULL", "2,5"], "{limit} at once");
    }
}

#[tokio::test]
async fn ranges_of_a_large_table_cover_it_once() {
    let database = Database::start();
    database.run(
        "CREATE TABLE dbo.n (id int NOT NULL PRIMARY KEY)\nGO\nCREATE TABLE dbo.s (id nvarchar(12) NOT NULL PRIMARY KEY)",
    );
    let rows = 45_000;
    for first in (0..rows).step_by(1_000) {
        let values = |quote: &str| {
            (first..first + 1_000).map(|id| format!("({quote}{id}{quote})")).collect::<Vec<_>>().join(", ")
        };
        database.run(&format!("INSERT INTO dbo.n VALUES {}\nINSERT INTO dbo.s VALUES {}", values(""), values("'")));
    }
    let source = database.source();
    for table in ["n", "s"] {
        let schema = schema(source.as_ref(), table).await;
        assert_eq!(source.estimate_rows(&schema).await.unwrap(), Some(rows));
        let ranges = source.split(&schema, 4).await.unwrap();
        assert_eq!(ranges.len(), 2, "{ranges:?}");
        let mut found = Vec::new();
        for range in ranges {
            let part = walk(source.as_ref(), &schema, range, 10_000).await;
            assert!(part.len() > 10_000, "{}", part.len());
            found.extend(part);
        }
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len() as u64, rows, "{table}");
    }
}

#[tokio::test]
async fn a_table_without_a_key_is_read_in_one_scan() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (a int NULL, b nvarchar(5) NULL)");
    for row in 0..10 {
        database.run(&format!("INSERT INTO dbo.t VALUES ({}, N'x')", row / 2));
    }
    let source = database.source();
    let schema = schema(source.as_ref(), "t").await;
    let mut found = walk(source.as_ref(), &schema, KeyRange::default(), 3).await;
    found.sort_unstable();
    assert_eq!(found, ["0", "0", "1", "1", "2", "2", "3", "3", "4", "4"]);
    // A scan goes on once.
    let first = read(source.as_ref(), &schema, ReadScope::Range(KeyRange::default()), 3).await;
    let again = ReadScope::Range(KeyRange { after: first.next.clone(), upto: None });
    read(source.as_ref(), &schema, again.clone(), 3).await;
    let request = ReadRequest { table: Arc::clone(&schema), scope: again, limit_rows: 3 };
    assert!(matches!(source.read(request).await, Err(SourceError::Table { .. })));
}

#[tokio::test]
async fn rows_without_a_key_are_found_by_all_their_values() {
    let database = Database::start();
    database.run(
        "CREATE TABLE dbo.t (a int NULL, b nvarchar(5) NULL, c varbinary(max) NULL)\nGO\n\
         INSERT INTO dbo.t VALUES (1, N'x', 0x01), (1, N'x', 0x01), (1, N'X', 0x01), (NULL, NULL, NULL), (2, N'y', 0x02)",
    );
    let source = database.source();
    let schema = schema(source.as_ref(), "t").await;
    let mut wanted = RowBatch::new(3);
    let blob = ValueRef::Blob;
    for row in [
        [ValueRef::Int(1), ValueRef::Text("x"), blob(&[1])],
        [ValueRef::Null, ValueRef::Null, ValueRef::Null],
        [ValueRef::Int(2), ValueRef::Text("y"), blob(&[3])],
    ] {
        row.into_iter().for_each(|value| wanted.push(value).unwrap());
    }
    let found = read(source.as_ref(), &schema, ReadScope::Keys(wanted), 100).await.rows;
    let mut found: Vec<Vec<String>> = found.rows().map(cells).collect();
    found.sort_unstable();
    assert_eq!(found, [["1", "'x'", "x01"], ["NULL", "NULL", "NULL"]]);
}

#[tokio::test]
async fn many_keys_are_asked_for_at_once() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    let values = (0..1_000).map(|id| format!("({})", id * 2)).collect::<Vec<_>>().join(", ");
    database.run(&format!("INSERT INTO dbo.t VALUES {values}"));
    let source = database.source();
    let schema = schema(source.as_ref(), "t").await;
    let mut wanted = RowBatch::new(1);
    (0..1_500).for_each(|id| wanted.push(ValueRef::Int(id)).unwrap());
    let found = read(source.as_ref(), &schema, ReadScope::Keys(wanted), 10).await.rows;
    assert_eq!(found.len(), 750);
}

#[tokio::test]
async fn a_chunk_of_wide_rows_ends_early() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, wide varbinary(max) NULL)");
    for id in 0..6 {
        database.run(&format!(
            "INSERT INTO dbo.t VALUES ({id}, CAST(REPLICATE(CAST('x' AS varchar(max)), 1500000) AS varbinary(max)))"
        ));
    }
    let source = database.source();
    let schema = schema(source.as_ref(), "t").await;
    let chunk = read(source.as_ref(), &schema, ReadScope::Range(KeyRange::default()), 100).await;
    assert!((1..6).contains(&chunk.rows.len()), "{}", chunk.rows.len());
    assert_eq!(walk(source.as_ref(), &schema, KeyRange::default(), 100).await.len(), 6);
}

#[tokio::test]
async fn a_table_that_isnt_as_expected_is_its_own_trouble() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a int NULL)");
    database.capture("t");
    let source = database.source();
    let schema = discovered(source.as_ref(), &["t"]).await.tables.swap_remove(0);
    let refused = async || {
        let scope = ReadScope::Range(KeyRange::default());
        let request = ReadRequest { table: Arc::clone(&schema), scope, limit_rows: 10 };
        match source.read(request).await {
            Err(SourceError::Table { table, .. }) => assert_eq!(table, schema.table),
            other => panic!("{other:?}"),
        }
    };
    database.run("ALTER TABLE dbo.t DROP COLUMN a");
    refused().await;
    database.run("DROP TABLE dbo.t");
    refused().await;
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a int NULL)");
    refused().await;
    database.run("INSERT INTO dbo.t VALUES (1, 1)");
    refused().await;
}

/// A read gives up after a while, so that the status can say why no rows come; other transactions that end meanwhile
/// don't make it wait longer.
#[tokio::test]
async fn a_row_that_somebody_keeps_locked_is_told_in_time() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)\nGO\nINSERT INTO dbo.t VALUES (1), (2)");
    let source = database.source();
    let schema = schema(source.as_ref(), "t").await;
    let mut other = Session::open(&database.login(), "shop").await.unwrap();
    other.run_all(&["BEGIN TRAN", "UPDATE dbo.t SET id = 3 WHERE id = 2"]).await.unwrap();
    let request = || {
        let scope = ReadScope::Range(KeyRange::default());
        ReadRequest { table: Arc::clone(&schema), scope, limit_rows: 10 }
    };
    let refused = timeout(Duration::from_secs(60), source.read(request())).await.expect("it gives up");
    let error = chain(&refused.unwrap_err());
    assert!(error.contains("1222") && error.contains("ock request time out"), "{error}");
    other.run_all(&["COMMIT"]).await.unwrap();
    assert_eq!(firsts(&source.read(request()).await.unwrap().rows), ["1", "3"]);
}

#[tokio::test]
async fn a_chunk_lies_before_its_high_and_behind_what_was_committed() {
    let database = Database::start();
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)");
    let source = database.source();
    let schema = schema(source.as_ref(), "t").await;
    let mut last = database.head(source.as_ref()).await;
    for id in 0..5 {
        database.run(&format!("INSERT INTO dbo.t VALUES ({id})"));
        let chunk = read(source.as_ref(), &schema, ReadScope::Range(KeyRange::default()), 100).await;
        assert_eq!(chunk.rows.len(), id + 1);
        assert!(chunk.high > last, "{} isn't behind {last}", chunk.high);
        last = chunk.high;
    }
    assert!(database.head(source.as_ref()).await >= last);
}
