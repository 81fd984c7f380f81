//! Values: read or streamed, written at once or by an update, a value is the same, and it is what it must be.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::source::{KeyRange, ReadRequest, ReadScope, SourceConnector};

use crate::conformance::recording::{Item, Recording};
use crate::conformance::{Backend, ColumnDefinition, ColumnType, Input, Operation, Row, Scene, Value};

/// Rows from here on were NULL before they had their value.
const UPDATED_FROM: i64 = 1_000;

pub async fn every_value_is_the_same_read_and_streamed<B: Backend>(mut scene: Scene<B>) {
    let cases = scene.backend.types();
    assert!(!cases.is_empty(), "the back-end names no types");
    for (number, case) in cases.iter().enumerate() {
        let columns = vec![
            ColumnDefinition::required("id", ColumnType::Integer),
            ColumnDefinition::nullable("v", ColumnType::Native(case.column.clone())),
        ];
        let table = format!("t{number}");
        scene.writer.execute_one(Operation::CreateTable { table, columns, key: vec!["id".to_owned()] }).await;
    }
    let connector = scene.connector();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    let mut expected: Vec<BTreeMap<Value, Value>> = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let table = format!("t{number}");
        let mut rows = BTreeMap::new();
        let mut row = |id: i64, input: Input| {
            let kind = ColumnType::Native(case.column.clone());
            let id_value = scene.backend.delivered(&ColumnType::Integer, &Input::Integer(id));
            rows.insert(id_value, scene.backend.delivered(&kind, &input));
        };
        let mut operations = vec![insertion(&table, 0, Input::Null)];
        row(0, Input::Null);
        for (index, (literal, delivered)) in (1_i64..).zip(&case.values) {
            let input = Input::Native { literal: literal.clone(), delivered: delivered.clone() };
            let updated = UPDATED_FROM + index;
            operations.push(insertion(&table, index, input.clone()));
            operations.push(insertion(&table, updated, Input::Null));
            operations.push(Operation::Update {
                table: table.clone(),
                row: vec![("id".to_owned(), Input::Integer(updated))],
                set: vec![("v".to_owned(), input.clone())],
            });
            row(index, input.clone());
            row(updated, input);
        }
        for operation in operations {
            scene.writer.execute_one(operation).await;
        }
        expected.push(rows);
    }
    recording.catch_up(connector.as_ref()).await;
    let mut faults = Vec::new();
    for ((number, case), expected) in cases.iter().enumerate().zip(&expected) {
        let table = format!("t{number}");
        let schema = recording.schema(&table);
        compare(&mut faults, &case.column, "streamed", expected, &streamed(&recording, &table));
        compare(&mut faults, &case.column, "read in chunks", expected, &chunks(connector.as_ref(), &schema).await);
        compare(&mut faults, &case.column, "looked up", expected, &looked_up(connector.as_ref(), &schema).await);
    }
    assert!(faults.is_empty(), "{} values aren't as they must be:\n{}", faults.len(), faults.join("\n"));
}

fn insertion(table: &str, id: i64, value: Input) -> Operation {
    Operation::Insert { table: table.to_owned(), rows: vec![vec![Input::Integer(id), value]] }
}

fn compare(
    faults: &mut Vec<String>,
    column: &str,
    how: &str,
    expected: &BTreeMap<Value, Value>,
    found: &BTreeMap<Value, Value>,
) {
    for (id, value) in expected {
        match found.get(id) {
            Some(other) if other == value => {}
            Some(other) => faults.push(format!("  {column}, row {id}: {other} {how}, {value} expected")),
            None => faults.push(format!("  {column}, row {id} wasn't {how}")),
        }
    }
    for id in found.keys().filter(|id| !expected.contains_key(id)) {
        faults.push(format!("  {column}, row {id} was {how}, and isn't there"));
    }
}

fn cell(row: &Row) -> (Value, Value) {
    (row.get("id"), row.get("v"))
}

fn streamed(recording: &Recording, table: &str) -> BTreeMap<Value, Value> {
    let upserts = recording.items.iter().filter(|item| item.table() == table).map(|item| match item {
        Item::Upsert { row, .. } => cell(row),
        other => panic!("rows were inserted and updated, but the stream says {other:?}"),
    });
    upserts.collect()
}

async fn chunks(connector: &dyn SourceConnector, schema: &Arc<TableSchema>) -> BTreeMap<Value, Value> {
    let mut found = BTreeMap::new();
    let mut range = KeyRange::default();
    loop {
        let scope = ReadScope::Range(range.clone());
        let request = ReadRequest { table: Arc::clone(schema), scope, limit_rows: 3 };
        let chunk = connector.read(request).await.expect("the table can be read");
        found.extend(chunk.rows.rows().map(|row| cell(&Row::of(schema, row))));
        range.after = chunk.next;
        if range.after.is_none() {
            return found;
        }
    }
}

async fn looked_up(connector: &dyn SourceConnector, schema: &Arc<TableSchema>) -> BTreeMap<Value, Value> {
    let all =
        ReadRequest { table: Arc::clone(schema), scope: ReadScope::Range(KeyRange::default()), limit_rows: 10_000 };
    let rows = connector.read(all).await.expect("the table can be read").rows;
    let mut identities = RowBatch::new(rows.width());
    for row in rows.rows() {
        identities.push_row(row).expect("no value is too long");
    }
    let request = ReadRequest { table: Arc::clone(schema), scope: ReadScope::Keys(identities), limit_rows: 10_000 };
    let chunk = connector.read(request).await.expect("rows can be looked up");
    chunk.rows.rows().map(|row| cell(&Row::of(schema, row))).collect()
}
