//! Isolation, locks and indexes, which everything else rests upon.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::{Harness, insert, number, row, unique_index, update};
use crate::engine::session::Isolation;
use crate::storage::{
    Alteration, Column, ColumnId, Edition, IndexId, KeyRange, LockDuration, LockMode, ReadCursor, ReadRequest, Row,
    RowId, Table, Transaction, UpdateManner, Visibility,
};
use crate::value::{SqlType, Value};

fn plain() -> (Harness, Arc<Table>) {
    let harness = Harness::plain(Edition::Developer);
    let table = harness.table("t");
    (harness, table)
}

fn read(harness: &Harness, transaction: &mut Transaction, table: &Arc<Table>, visibility: Visibility) -> Vec<i64> {
    let request = ReadRequest::all(harness.database, Arc::clone(table)).visible(visibility);
    ids(&transaction.read_all(&request).unwrap())
}

fn ids(rows: &[(RowId, Row)]) -> Vec<i64> {
    rows.iter().map(|(_, row)| row[0].as_integer().unwrap()).collect()
}

fn options(harness: &Harness, snapshot: bool, versioned: bool) {
    harness
        .step(|transaction| {
            transaction.edit_catalog(harness.database, |catalog| {
                catalog.options.allow_snapshot_isolation = snapshot;
                catalog.options.read_committed_snapshot = versioned;
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn read_committed_waits_for_rows_that_others_hold() {
    let (harness, table) = plain();
    harness.insert(&table, &[&row(1, "a", 1)]);
    let mut writer = harness.begin(Isolation::ReadCommitted);
    insert(&harness, &mut writer, &table, &[&row(2, "b", 1)]).unwrap();
    let mut reader = harness.begin(Isolation::ReadCommitted);
    let request = ReadRequest::all(harness.database, Arc::clone(&table));
    assert_eq!(number(reader.read_all(&request)), 1222);
    assert_eq!(read(&harness, &mut reader, &table, Visibility::Uncommitted), [1, 2]);
    assert_eq!(read(&harness, &mut reader, &table, Visibility::SkipHeld), [1]);
    let waiting = {
        let (storage, request) = (Arc::clone(&harness.storage), request.clone());
        std::thread::spawn(move || {
            let mut reader = storage.begin(crate::storage::Begin {
                isolation: Isolation::ReadCommitted,
                session_id: 52,
                cancelled: crate::storage::never_cancelled(),
                lock_timeout: Some(Duration::from_secs(20)),
                deadlock_priority: 0,
                of_capture: false,
            });
            ids(&reader.read_all(&request).unwrap())
        })
    };
    std::thread::sleep(Duration::from_millis(50));
    writer.commit().unwrap();
    assert_eq!(waiting.join().unwrap(), [1, 2]);
}

#[test]
fn a_snapshot_sees_what_was_committed_at_its_first_reading() {
    let (harness, table) = plain();
    options(&harness, true, false);
    let rows = harness.insert(&table, &[&row(1, "a", 1), &row(2, "b", 1)]);
    let mut snapshot = harness.begin(Isolation::Snapshot);
    assert_eq!(read(&harness, &mut snapshot, &table, Visibility::Isolation), [1, 2]);
    harness.update(&table, &[(rows[0], &row(7, "changed", 1))], UpdateManner::InPlace);
    harness.delete(&table, &[rows[1]]);
    harness.insert(&table, &[&row(3, "c", 1)]);
    assert_eq!(read(&harness, &mut snapshot, &table, Visibility::Isolation), [1, 2]);
    let mut now = harness.begin(Isolation::ReadCommitted);
    assert_eq!(read(&harness, &mut now, &table, Visibility::Isolation), [3, 7]);
    let conflict = update(&harness, &mut snapshot, &table, &[(rows[0], &row(1, "mine", 1))], UpdateManner::InPlace);
    assert_eq!(number(conflict), 3960);
    drop(snapshot);
    assert_eq!(read(&harness, &mut now, &table, Visibility::Isolation), [3, 7]);
}

#[test]
fn snapshots_must_be_allowed_3952() {
    let (harness, table) = plain();
    let mut snapshot = harness.begin(Isolation::Snapshot);
    let request = ReadRequest::all(harness.database, table);
    assert_eq!(number(snapshot.read_all(&request)), 3952);
}

#[test]
fn read_committed_snapshot_does_not_wait_and_moves_with_each_statement() {
    let (harness, table) = plain();
    options(&harness, false, true);
    harness.insert(&table, &[&row(1, "a", 1)]);
    let mut writer = harness.begin(Isolation::ReadCommitted);
    insert(&harness, &mut writer, &table, &[&row(2, "b", 1)]).unwrap();
    let mut reader = harness.begin(Isolation::ReadCommitted);
    reader.begin_statement();
    assert_eq!(read(&harness, &mut reader, &table, Visibility::Isolation), [1]);
    writer.commit().unwrap();
    assert_eq!(read(&harness, &mut reader, &table, Visibility::Isolation), [1], "the statement's own moment");
    reader.end_statement();
    assert_eq!(read(&harness, &mut reader, &table, Visibility::Isolation), [1, 2]);
}

#[test]
fn repeatable_reads_keep_writers_out() {
    let (harness, table) = plain();
    harness.insert(&table, &[&row(1, "a", 1)]);
    let mut reader = harness.begin(Isolation::RepeatableRead);
    assert_eq!(read(&harness, &mut reader, &table, Visibility::Isolation), [1]);
    let outcome = harness.step(|transaction| insert(&harness, transaction, &table, &[&row(2, "b", 1)]));
    assert_eq!(number(outcome), 1222);
    reader.commit().unwrap();
    harness.insert(&table, &[&row(2, "b", 1)]);
}

#[test]
fn two_who_hold_what_the_other_wants_are_a_deadlock_1205() {
    let (harness, table) = plain();
    let rows = harness.insert(&table, &[&row(1, "a", 1), &row(2, "b", 1)]);
    let harness = Arc::new(harness);
    let begin = || {
        let mut transaction = harness.begin(Isolation::ReadCommitted);
        transaction.set_lock_timeout(None);
        transaction
    };
    let (mut first, mut second) = (begin(), begin());
    update(&harness, &mut first, &table, &[(rows[0], &row(1, "x", 1))], UpdateManner::InPlace).unwrap();
    update(&harness, &mut second, &table, &[(rows[1], &row(2, "x", 1))], UpdateManner::InPlace).unwrap();
    let other = {
        let (harness, table, id) = (Arc::clone(&harness), Arc::clone(&table), rows[1]);
        std::thread::spawn(move || {
            let outcome = update(&harness, &mut first, &table, &[(id, &row(2, "y", 1))], UpdateManner::InPlace);
            outcome.map(|()| first.commit())
        })
    };
    std::thread::sleep(Duration::from_millis(50));
    let mine = update(&harness, &mut second, &table, &[(rows[0], &row(1, "y", 1))], UpdateManner::InPlace);
    assert_eq!(number(mine), 1205);
    drop(second);
    other.join().unwrap().unwrap().unwrap();
}

#[test]
fn unique_keys_are_kept_and_may_go_from_row_to_row_in_one_statement() {
    let (harness, table) = plain();
    let rows = harness.insert(&table, &[&row(1, "a", 1), &row(2, "b", 1)]);
    let duplicate =
        harness.step(|transaction| insert(&harness, transaction, &table, &[&row(3, "c", 1), &row(2, "d", 1)]));
    assert_eq!(number(duplicate), 2627);
    assert_eq!(harness.rows("dbo", "t").len(), 2, "all or nothing");
    harness.update(&table, &[(rows[0], &row(2, "a", 1)), (rows[1], &row(1, "b", 1))], UpdateManner::InPlace);
    let swapped: Vec<Vec<Value>> = harness.rows("dbo", "t").iter().map(|row| row.to_vec()).collect();
    assert_eq!(swapped, [row(1, "b", 1), row(2, "a", 1)]);
    let clash = harness.step(|transaction| {
        update(&harness, transaction, &table, &[(rows[0], &row(1, "a", 1))], UpdateManner::InPlace)
    });
    assert_eq!(number(clash), 2627);
}

#[test]
fn a_key_that_another_is_about_to_free_is_waited_for() {
    let (harness, table) = plain();
    let rows = harness.insert(&table, &[&row(1, "a", 1)]);
    let mut other = harness.begin(Isolation::ReadCommitted);
    other.delete(harness.database, &table, &rows).unwrap();
    let early = harness.step(|transaction| insert(&harness, transaction, &table, &[&row(1, "b", 1)]));
    assert_eq!(number(early), 1222);
    other.commit().unwrap();
    harness.insert(&table, &[&row(1, "b", 1)]);
}

#[test]
fn indexes_read_ranges_in_both_directions_in_batches() {
    let (harness, table) = plain();
    let table = harness
        .alter(
            &table,
            Alteration::AddIndex({
                let mut index = unique_index("by_n", IndexId(2), 3, false);
                index.unique = false;
                index.constraint = None;
                index
            }),
            "",
        )
        .unwrap();
    let rows: Vec<Vec<Value>> = (0..100).map(|id| row(id, "a", id % 10)).collect();
    harness.insert(&table, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let key = |n: i32| vec![Value::Int(n)];
    let range = KeyRange { low: Bound::Excluded(key(3)), high: Bound::Included(key(5)) };
    let mut request = ReadRequest::all(harness.database, table).range(IndexId(2), range);
    let mut transaction = harness.begin(Isolation::ReadCommitted);
    let forward = transaction.read_all(&request).unwrap();
    let values: Vec<i64> = forward.iter().map(|(_, row)| row[2].as_integer().unwrap()).collect();
    assert_eq!(values, [[4; 10], [5; 10]].concat());
    request.descending = true;
    let (mut backward, mut cursor) = (Vec::new(), ReadCursor::default());
    while transaction.read(&request, &mut cursor, 3, &mut backward).unwrap() {}
    backward.reverse();
    assert_eq!(ids(&backward), ids(&forward));
}

#[test]
fn rows_older_than_a_column_have_its_missing_value() {
    let (harness, table) = plain();
    harness.insert(&table, &[&row(1, "a", 1)]);
    let mut column = Column::new("added", SqlType::Int).not_null();
    column.missing = Some(Value::Int(42));
    let table = harness.alter(&table, Alteration::AddColumns(vec![column]), "").unwrap();
    let old = harness.rows("dbo", "t").remove(0);
    assert_eq!(table.value(table.column_named("added").unwrap(), &old), &Value::Int(42));
    let table = harness
        .alter(&table, Alteration::AlterColumn { column: ColumnId(4), sql_type: SqlType::BigInt, nullable: false }, "")
        .unwrap();
    let old = harness.rows("dbo", "t").remove(0);
    assert_eq!(table.value(table.column_named("added").unwrap(), &old).as_integer(), Some(42));
}

#[test]
fn definitions_are_seen_by_others_after_the_commit() {
    let (harness, table) = plain();
    let mut transaction = harness.begin(Isolation::ReadCommitted);
    transaction.create_table(harness.database, Table::new(table.schema_id, "new")).unwrap();
    assert!(harness.named("dbo", "new").is_none());
    let mut other = harness.begin(Isolation::ReadCommitted);
    assert_eq!(number(other.create_table(harness.database, Table::new(table.schema_id, "NEW"))), 1222);
    other.create_table(harness.database, Table::new(table.schema_id, "another")).unwrap();
    other.commit().unwrap();
    transaction.commit().unwrap();
    assert!(harness.named("dbo", "new").is_some() && harness.named("dbo", "another").is_some());
}

#[test]
fn a_table_lock_keeps_others_out() {
    let (harness, table) = plain();
    let mut holder = harness.begin(Isolation::ReadCommitted);
    holder.lock_table(harness.database, table.object_id, LockMode::Exclusive, LockDuration::Transaction).unwrap();
    let mut other = harness.begin(Isolation::ReadCommitted);
    let shared = other.lock_table(harness.database, table.object_id, LockMode::IntentShared, LockDuration::Statement);
    assert_eq!(number(shared), 1222);
    holder.rollback();
    insert(&harness, &mut other, &table, &[&row(1, "a", 1)]).unwrap();
}

#[test]
fn a_statement_prepared_before_a_column_changed_writes_what_the_table_has_now() {
    let (harness, table) = plain();
    let wide = Alteration::AlterColumn { column: ColumnId(3), sql_type: SqlType::BigInt, nullable: true };
    harness.alter(&table, wide, "").unwrap();
    let mut added = Column::new("added", SqlType::Int);
    added.missing = Some(Value::Int(42));
    harness.alter(&table, Alteration::AddColumns(vec![added]), "").unwrap();
    let old: Vec<Row> = vec![Row::from(row(1, "a", 7))];
    harness.step(|transaction| transaction.insert(harness.database, &table, &old)).unwrap();
    let written = harness.rows("dbo", "t").remove(0);
    assert!(matches!(&written[2..], [Value::BigInt(7), Value::Int(42)]), "{written:?}");
}

#[test]
fn a_reader_keeps_the_table_as_it_is_while_its_statement_lasts() {
    let (harness, table) = plain();
    harness.insert(&table, &[&row(1, "a", 1)]);
    let mut reader = harness.begin(Isolation::ReadCommitted);
    reader.begin_statement();
    assert_eq!(read(&harness, &mut reader, &table, Visibility::Isolation), [1]);
    let add = || Alteration::AddColumns(vec![Column::new("x", SqlType::Int)]);
    assert_eq!(number(harness.alter(&table, add(), "")), 1222);
    reader.end_statement();
    harness.alter(&table, add(), "").unwrap();
}

#[test]
fn rows_that_changed_since_they_were_read_are_told() {
    let (harness, table) = plain();
    let rows = harness.insert(&table, &[&row(1, "a", 1), &row(2, "b", 1)]);
    let mut reader = harness.begin(Isolation::ReadCommitted);
    let request = ReadRequest::all(harness.database, Arc::clone(&table));
    let seen = reader.read_all(&request).unwrap();
    harness.update(&table, &[(rows[0], &row(1, "changed", 1))], UpdateManner::InPlace);
    assert_eq!(reader.lock_rows(harness.database, &table, &seen).unwrap(), [rows[0]]);
    let changed = reader.row(harness.database, &table, rows[0]).unwrap().unwrap();
    assert_eq!(changed[1], Value::text("changed"));
    let outcome = harness.step(|transaction| transaction.delete(harness.database, &table, &[rows[1]]));
    assert_eq!(number(outcome), 1222, "both are locked now");
}
