//! Prints how many rows a second one core evaluates.
//!
//!     cargo run --release -p millstream-sync-config --example rate

use std::hint::black_box;
use std::time::Instant;

use millstream_core::row::RowBatch;
use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};
use millstream_core::value::ValueRef;
use millstream_sync_config::{Evaluated, SourceScope, SyncConfig};

const ROWS: usize = 10_000;
const ROUNDS: usize = 100;

const QUERIES: [(&str, &str); 4] = [
    ("all columns, one parameter", "SELECT * FROM orders WHERE customer = bucket.x"),
    ("a condition that fails", "SELECT * FROM orders WHERE customer = bucket.x AND status = 'lost'"),
    ("two expressions", "SELECT id, upper(note) AS note, quantity * 2 AS twice FROM orders WHERE customer = bucket.x"),
    ("an array of parameters", "SELECT id, note FROM orders WHERE bucket.x IN tags"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = schema();
    let mut batch = RowBatch::new(schema.columns.len());
    for row in 0..ROWS as i64 {
        batch.push(ValueRef::Int(row))?;
        batch.push(ValueRef::Int(row % 500))?;
        batch.push(ValueRef::Text("a note of some sixty characters, as people leave them on orders"))?;
        batch.push(ValueRef::Text(r#"["red","green"]"#))?;
        batch.push(ValueRef::Real(row as f64 / 8.0))?;
        batch.push(ValueRef::Text("2026-05-01T10:20:30.123456Z"))?;
        batch.push(ValueRef::Text("shipped"))?;
    }
    for (name, query) in QUERIES {
        let text = format!(
            "bucket_definitions:\n  d:\n    parameters: SELECT request.user_id() AS x\n    data:\n      - {query}\n"
        );
        let config = SyncConfig::parse(&text, name).map_err(|faults| format!("{faults:?}"))?;
        let scope = SourceScope { name: "shop", default_schema: "shop", is_default: true };
        let evaluator = config.bind(scope, &schema);
        let mut out = Evaluated::default();
        let (mut rows, mut bytes) = (0_usize, 0_usize);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for row in batch.rows() {
                evaluator.evaluate(row, &mut out);
                rows += out.rows.len();
                bytes += out.rows.iter().map(|row| row.data.len()).sum::<usize>();
                black_box(&out);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{name:28} {:>10.0} source rows/s, {:.1} bucket rows each, {:.0} MB/s of data",
            (ROWS * ROUNDS) as f64 / seconds,
            rows as f64 / (ROWS * ROUNDS) as f64,
            bytes as f64 / seconds / 1e6,
        );
    }
    Ok(())
}

fn schema() -> TableSchema {
    let columns = [
        ("id", "bigint"),
        ("customer", "int"),
        ("note", "varchar(100)"),
        ("tags", "json"),
        ("weight", "double"),
        ("ordered_at", "datetime(6)"),
        ("status", "varchar(20)"),
    ];
    let columns = columns.map(|(name, source_type)| Column {
        name: name.to_owned(),
        source_type: source_type.to_owned(),
        nullable: true,
        collation: None,
        generated: None,
        default: None,
    });
    TableSchema {
        table: TableName::new("shop", "orders"),
        columns: columns.into(),
        identity: Identity { kind: IdentityKind::PrimaryKey, columns: vec![0] },
        origin: None,
    }
}
