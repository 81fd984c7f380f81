//! Tables without any key.

use std::sync::Arc;

use millstream_core::error::SourceError;
use millstream_core::row::RowBatch;
use millstream_core::schema::{IdentityKind, TableSchema};
use millstream_core::source::{Cursor, KeyRange, ReadRequest, ReadScope};

use super::bed::{Bed, line};

on_servers!(rows_of_every_type, parts_of_one_scan, scans_that_are_gone);

/// Of equal rows one may go: the source is asked whether another is left. Not every type compares in SQL.
async fn rows_of_every_type(bed: &Bed) {
    let columns = "a INT, b FLOAT, c DOUBLE, d DECIMAL(9,3), e VARCHAR(20), f JSON, g BLOB, h DATETIME(3), i TIME, j ENUM('x','y'),
                   k SET('p','q'), l BIT(5), m YEAR, n GEOMETRY, o DATE)";
    let (from, schema) = bed.create(columns).await;
    assert_eq!(schema.identity.kind, IdentityKind::WholeRow);
    let row = "1, 0.1, 0.2, 0.125, 'it''s', '[1]', x'00ff', '2024-01-01 00:00:00.5', '-01:00:00', 'x', 'p,q', 5, 2024,
               ST_GeomFromText('POINT(1 2)'), '2024-01-01'";
    let nulls = "NULL".to_owned() + &", NULL".repeat(14);
    bed.sql(&format!(
        "INSERT INTO t VALUES ({row}), ({row}), ({nulls}), ({nulls}); DELETE FROM t LIMIT 1;
         INSERT INTO t (a, f) VALUES (2, '[1]'), (2, '[2]'); UPDATE t SET f = '[3]' WHERE a = 2 LIMIT 1;
         DELETE FROM t WHERE a IS NULL LIMIT 1"
    ))
    .await;
    let told = bed.told(&from, &schema).await;
    let doubtful = told.lines.iter().filter(|line| line.starts_with('?')).count();
    assert_eq!(doubtful, 3, "{:?}", told.lines);
    let mut found: Vec<String> = bed.read(&schema, KeyRange::default(), 2).await.rows().map(line).collect();
    found.sort();
    let short = |f: &str| format!("2,NULL,NULL,NULL,NULL,'{f}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL");
    assert_eq!(found[1..3], [short("[2]"), short("[3]")]);
    assert_eq!(found.len(), 4);
    // What the log told and what was looked up after it is what a query gives.
    assert_eq!(told.distinct(), found);
}

async fn parts_of_one_scan(bed: &Bed) {
    let (_, schema) = bed.create("a INT, b VARCHAR(300))").await;
    assert_eq!(bed.read(&schema, KeyRange::default(), 5).await.len(), 0);
    for _ in 0..10 {
        bed.sql("INSERT INTO t SELECT 1, REPEAT('x', 300) FROM information_schema.COLUMNS LIMIT 500").await;
    }
    for limit_rows in [1_000, 4_999, 5_000, 5_001] {
        assert_eq!(bed.read(&schema, KeyRange::default(), limit_rows).await.len(), 5_000);
    }
    // The scan shows the table as it was when it began.
    let (first, cursor) = part(bed, &schema, None, 2_000).await.unwrap();
    bed.sql("DELETE FROM t").await;
    let (second, cursor) = part(bed, &schema, cursor, 2_000).await.unwrap();
    let (third, cursor) = part(bed, &schema, cursor, 2_000).await.unwrap();
    assert_eq!([first.len(), second.len(), third.len()], [2_000, 2_000, 1_000]);
    assert_eq!(cursor, None);
}

async fn part(
    bed: &Bed,
    schema: &Arc<TableSchema>,
    after: Option<Cursor>,
    limit_rows: usize,
) -> Result<(RowBatch, Option<Cursor>), SourceError> {
    let scope = ReadScope::Range(KeyRange { after, upto: None });
    let chunk = bed.source.read(ReadRequest { table: schema.clone(), scope, limit_rows }).await?;
    Ok((chunk.rows, chunk.next))
}

/// A place in a scan is passed once.
async fn scans_that_are_gone(bed: &Bed) {
    let (_, schema) = bed.create("a INT)").await;
    bed.sql("INSERT INTO t VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)").await;
    let (_, cursor) = part(bed, &schema, None, 2).await.unwrap();
    part(bed, &schema, cursor.clone(), 2).await.unwrap();
    for gone in [cursor, Some(Cursor("99/1".into())), Some(Cursor("nonsense".into()))] {
        let outcome = part(bed, &schema, gone, 2).await;
        assert!(matches!(outcome, Err(SourceError::Table { .. })), "{outcome:?}");
    }
}
