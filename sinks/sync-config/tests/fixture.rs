//! Tables, rows and configs in a line each.

use std::sync::Arc;

use millstream_core::row::RowBatch;
use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};
use millstream_core::value::ValueRef;
use millstream_sync_config::{Evaluated, Fault, SourceScope, SyncConfig};

pub const SHOP: SourceScope<'static> = SourceScope { name: "shop", default_schema: "shop", is_default: true };

pub fn config(text: &str) -> SyncConfig {
    SyncConfig::parse(text, "sync-config.yaml").unwrap_or_else(|faults| panic!("{}", report(&faults)))
}

pub fn report(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

/// A table named `schema.table` with columns written `name type`.
pub fn table(name: &str, columns: &[&str]) -> Arc<TableSchema> {
    let (schema, name) = name.split_once('.').unwrap();
    let columns = columns.iter().map(|column| {
        let (name, source_type) = column.split_once(' ').unwrap();
        Column {
            name: name.to_owned(),
            source_type: source_type.to_owned(),
            nullable: true,
            collation: None,
            generated: None,
            default: None,
        }
    });
    Arc::new(TableSchema {
        table: TableName::new(schema, name),
        columns: columns.collect(),
        identity: Identity { kind: IdentityKind::PrimaryKey, columns: vec![0] },
        origin: None,
    })
}

pub fn evaluate(config: &SyncConfig, schema: &TableSchema, values: &[ValueRef<'_>]) -> Evaluated {
    let mut batch = RowBatch::new(values.len());
    values.iter().for_each(|value| batch.push(*value).unwrap());
    let mut out = Evaluated::default();
    config.bind(SHOP, schema).evaluate(batch.row(0).unwrap(), &mut out);
    out
}

/// The rows as `bucket type id data`.
pub fn rows(evaluated: &Evaluated) -> Vec<String> {
    let line = |row: &millstream_sync_config::EvaluatedRow| {
        format!("{} {} {} {}", row.bucket, row.object_type, row.object_id, row.data)
    };
    evaluated.rows.iter().map(line).collect()
}
