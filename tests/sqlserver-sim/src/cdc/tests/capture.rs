//! What the scan writes to change tables.

use std::sync::Arc;
use std::time::Duration;

use super::super::scan::Cycle;
use super::{Harness, insert, row, unique_index, update};
use crate::engine::session::Isolation;
use crate::storage::{Alteration, Column, Computed, IndexId, Lsn, UpdateManner, never_cancelled};
use crate::value::{Length, SqlType, Value};

#[test]
fn inserts_updates_and_deletes_become_rows_in_the_order_of_the_log() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1), &row(2, "b", 2)]);
    harness.update(&table, &[(ids[0], &row(1, "c", 1))], UpdateManner::InPlace);
    harness.delete(&table, &[ids[1]]);
    harness.scan();
    assert_eq!(
        harness.changes("dbo_t"),
        [(2, row(1, "a", 1)), (2, row(2, "b", 2)), (3, row(1, "a", 1)), (4, row(1, "c", 1)), (1, row(2, "b", 2)),]
    );
}

#[test]
fn an_update_has_one_place_and_one_command_and_its_mask() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1)]);
    harness.update(&table, &[(ids[0], &row(1, "c", 1))], UpdateManner::InPlace);
    harness.scan();
    let rows = harness.rows("cdc", "dbo_t_CT");
    assert_eq!(rows[0][4].as_bytes(), Some(&[0b111][..]), "all bits for an insert");
    let (before, after) = (&rows[1], &rows[2]);
    for at in [0, 2, 4, 8] {
        assert_eq!(before[at], after[at]);
    }
    assert_eq!(before[4].as_bytes(), Some(&[0b010][..]));
    assert!(before[1].is_null(), "__$end_lsn is NULL");
}

#[test]
fn updates_that_change_nothing_or_nothing_captured_leave_no_rows() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1)]);
    let table =
        harness.alter(&table, Alteration::AddColumns(vec![Column::new("extra", SqlType::Int)]), "ALTER").unwrap();
    harness.update(&table, &[(ids[0], &row(1, "a", 1))], UpdateManner::InPlace);
    let with_extra = [row(1, "a", 1), vec![Value::Int(7)]].concat();
    harness.update(&table, &[(ids[0], &with_extra)], UpdateManner::InPlace);
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2]);
}

#[test]
fn a_change_of_case_alone_is_a_change() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1)]);
    harness.update(&table, &[(ids[0], &row(1, "A", 1))], UpdateManner::InPlace);
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2, 3, 4]);
}

#[test]
fn a_primary_key_update_of_one_row_is_delete_and_insert_at_one_place_with_two_commands() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1)]);
    harness.update(&table, &[(ids[0], &row(9, "a", 1))], UpdateManner::InPlace);
    harness.scan();
    let rows = harness.rows("cdc", "dbo_t_CT");
    assert_eq!(harness.operations("dbo_t"), [2, 1, 2]);
    assert_eq!(rows[1][0], rows[2][0], "start_lsn");
    assert_eq!(rows[1][2], rows[2][2], "seqval");
    assert!(rows[1][8] < rows[2][8], "command_id");
    assert_eq!((&rows[1][5], &rows[2][5]), (&Value::Int(1), &Value::Int(9)));
}

#[test]
fn primary_key_updates_of_many_rows_have_different_places_and_replay_in_order() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1), &row(2, "b", 2)]);
    let moved = [(ids[0], row(2, "a", 1)), (ids[1], row(3, "b", 2))];
    let moved: Vec<_> = moved.iter().map(|(id, row)| (*id, row.as_slice())).collect();
    harness.update(&table, &moved, UpdateManner::InPlace);
    harness.scan();
    let rows = harness.rows("cdc", "dbo_t_CT");
    let mut places: Vec<&Value> = rows[2..].iter().map(|row| &row[2]).collect();
    places.dedup();
    assert_eq!(places.len(), 4);
    let mut replayed = std::collections::BTreeMap::new();
    for (operation, values) in harness.changes("dbo_t") {
        match operation {
            1 => drop(replayed.remove(&values[0])),
            _ => drop(replayed.insert(values[0].clone(), values)),
        }
    }
    assert_eq!(replayed.into_values().collect::<Vec<_>>(), [row(2, "a", 1), row(3, "b", 2)]);
}

#[test]
fn deferred_updates_by_merge_are_delete_and_insert() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1)]);
    harness.update(&table, &[(ids[0], &row(1, "b", 1))], UpdateManner::Deferred);
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2, 1, 2]);
}

#[test]
fn updates_of_another_unique_key_are_delete_and_insert() {
    let harness = Harness::enabled();
    let table = harness.table("t");
    let unique = unique_index("UQ_name", IndexId(2), 2, false);
    let table = harness.alter(&table, Alteration::AddIndex(unique), "ALTER").unwrap();
    harness.enable("t", None);
    let ids = harness.insert(&table, &[&row(1, "a", 1)]);
    harness.update(&table, &[(ids[0], &row(1, "b", 1))], UpdateManner::InPlace);
    harness.update(&table, &[(ids[0], &row(1, "b", 2))], UpdateManner::InPlace);
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2, 1, 2, 3, 4]);
}

#[test]
fn trace_flag_8207_keeps_single_updates() {
    let (harness, table) = Harness::with_table();
    harness.control().set_trace_flag_8207(true);
    let ids = harness.insert(&table, &[&row(1, "a", 1)]);
    harness.update(&table, &[(ids[0], &row(9, "a", 1))], UpdateManner::InPlace);
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2, 3, 4]);
}

#[test]
fn large_values_follow_their_rules() {
    let harness = Harness::enabled();
    let table = harness.table_of(
        "t",
        vec![
            Column::new("id", SqlType::Int).not_null(),
            Column::new("old", SqlType::Text),
            Column::new("changed", SqlType::NVarChar(Length::Max)),
            Column::new("same", SqlType::VarBinary(Length::Max)),
            Column::new("short", SqlType::VarChar(Length::Limited(10))),
        ],
    );
    harness.enable("t", None);
    let text = Value::text;
    let first = vec![Value::Int(1), text("o"), text("c"), Value::binary(&[1]), text("s")];
    let second = vec![Value::Int(1), text("o"), text("d"), Value::binary(&[1]), text("t")];
    let ids = harness.insert(&table, &[&first]);
    harness.update(&table, &[(ids[0], &second)], UpdateManner::InPlace);
    harness.delete(&table, &[ids[0]]);
    harness.scan();
    let null = Value::Null;
    assert_eq!(
        harness.changes("dbo_t"),
        [
            (2, first),
            (3, vec![Value::Int(1), null.clone(), text("c"), null.clone(), text("s")]),
            (4, second),
            (1, vec![Value::Int(1), null, text("d"), Value::binary(&[1]), text("t")]),
        ]
    );
}

#[test]
fn computed_columns_are_null_and_timestamps_are_binary() {
    let harness = Harness::enabled();
    let mut computed = Column::new("twice", SqlType::Int);
    computed.computed = Some(Computed { definition: Arc::from("[n]*2"), persisted: true, columns: Vec::new() });
    let columns = vec![
        Column::new("id", SqlType::Int).not_null(),
        computed,
        Column::new("version", SqlType::RowVersion).not_null(),
    ];
    let table = harness.table_of("t", columns);
    harness.enable("t", None);
    let version = Value::binary(&[0, 0, 0, 0, 0, 0, 7, 0xd1]);
    harness.insert(&table, &[&[Value::Int(1), Value::Int(2), version.clone()]]);
    harness.scan();
    assert_eq!(harness.changes("dbo_t"), [(2, vec![Value::Int(1), Value::Null, version])]);
    let change_table = harness.named("cdc", "dbo_t_CT").unwrap();
    assert_eq!(change_table.column_named("version").unwrap().sql_type, SqlType::Binary(8));
    assert!(change_table.column_named("version").unwrap().nullable);
    let computed = harness.rows("cdc", "captured_columns").iter().map(|row| row[5].clone()).collect::<Vec<_>>();
    assert_eq!(computed, [false, true, false].map(Value::Bit));
}

#[test]
fn commands_number_the_changes_of_a_transaction_across_tables() {
    let (harness, first) = Harness::with_table();
    let second = harness.table("u");
    harness.enable("u", None);
    harness
        .step(|transaction| {
            insert(&harness, transaction, &first, &[&row(1, "a", 1)])?;
            insert(&harness, transaction, &second, &[&row(1, "a", 1)])?;
            insert(&harness, transaction, &first, &[&row(2, "a", 1)])
        })
        .unwrap();
    harness.scan();
    let (t, u) = (harness.rows("cdc", "dbo_t_CT"), harness.rows("cdc", "dbo_u_CT"));
    assert_eq!([&t[0][8], &u[0][8], &t[1][8]], [&Value::Int(1), &Value::Int(2), &Value::Int(3)]);
    assert!(t[0][0] == t[1][0] && t[0][0] == u[0][0], "one commit");
    assert!(t[0][2] < u[0][2] && u[0][2] < t[1][2], "records of their own");
}

#[test]
fn every_commit_has_its_own_lsn_and_rows_come_in_the_order_of_commits() {
    let (harness, table) = Harness::with_table();
    let mut early = harness.begin(Isolation::ReadCommitted);
    insert(&harness, &mut early, &table, &[&row(1, "began first", 1)]).unwrap();
    harness.insert(&table, &[&row(2, "committed first", 1)]);
    early.commit().unwrap();
    harness.scan();
    let rows = harness.rows("cdc", "dbo_t_CT");
    assert_eq!((&rows[0][5], &rows[1][5]), (&Value::Int(2), &Value::Int(1)));
    assert!(rows[0][0] < rows[1][0], "by commit");
    assert!(rows[0][2] > rows[1][2], "not by record");
}

#[test]
fn what_is_rolled_back_is_not_captured() {
    let (harness, table) = Harness::with_table();
    let mut transaction = harness.begin(Isolation::ReadCommitted);
    insert(&harness, &mut transaction, &table, &[&row(1, "kept", 1)]).unwrap();
    let savepoint = transaction.savepoint();
    insert(&harness, &mut transaction, &table, &[&row(2, "undone", 1)]).unwrap();
    transaction.rollback_to(&savepoint);
    transaction.commit().unwrap();
    let mut transaction = harness.begin(Isolation::ReadCommitted);
    insert(&harness, &mut transaction, &table, &[&row(3, "rolled back", 1)]).unwrap();
    transaction.rollback();
    harness.scan();
    assert_eq!(harness.changes("dbo_t"), [(2, row(1, "kept", 1))]);
}

#[test]
fn a_cycle_becomes_visible_at_once_and_reads_so_many_transactions() {
    let (harness, table) = Harness::with_table();
    for id in 1..=5 {
        harness.insert(&table, &[&row(id, "a", 1)]);
    }
    let control = harness.control();
    assert_eq!(control.scan_cycle("shop", 2).unwrap().transactions, 2);
    assert_eq!(harness.operations("dbo_t").len(), 2);
    assert_eq!(control.pending("shop").unwrap(), 3);
    let before = harness.max_lsn().unwrap();
    assert_eq!(Lsn::from_value(&harness.rows("cdc", "dbo_t_CT")[1][0]), Some(before));
    assert_eq!(control.scan("shop").unwrap().transactions, 3);
}

#[test]
fn one_row_of_the_mapping_for_each_transaction() {
    let (harness, table) = Harness::with_table();
    let before = harness.rows("cdc", "lsn_time_mapping").len();
    harness.insert(&table, &[&row(1, "a", 1), &row(2, "a", 1)]);
    harness.insert(&table, &[&row(3, "a", 1)]);
    harness.scan();
    let mapping = harness.rows("cdc", "lsn_time_mapping");
    assert_eq!(mapping.len(), before + 2);
    let last = mapping.last().unwrap();
    assert_eq!(last[0], harness.rows("cdc", "dbo_t_CT").last().unwrap()[0]);
    assert_ne!(last[3].as_bytes(), Some(&[0][..]));
    assert!(Lsn::from_value(&last[4]) < Lsn::from_value(&last[0]), "it began before it ended");
}

#[test]
fn idle_rows_have_the_transaction_zero() {
    let (harness, table) = Harness::with_table();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.scan();
    let busy = harness.max_lsn();
    harness.scan();
    assert_eq!(harness.max_lsn(), busy, "nothing new, and not long ago");
    harness.control().advance_clock(std::time::Duration::from_secs(301));
    harness.scan();
    assert!(harness.max_lsn() > busy);
    assert_eq!(harness.rows("cdc", "lsn_time_mapping").last().unwrap()[3].as_bytes(), Some(&[0][..]));
    let other = harness.table("not_captured");
    let idle = harness.max_lsn();
    harness.insert(&other, &[&row(1, "a", 1)]);
    harness.scan();
    assert!(harness.max_lsn() > idle, "others' commits move the end");
    harness.insert(&table, &[&row(2, "a", 1)]);
    let end = harness.max_lsn();
    harness.scan();
    assert!(harness.max_lsn() > end);
}

#[test]
fn a_scan_that_runs_already_is_error_22903() {
    let (harness, _) = Harness::with_table();
    let _turn = harness.storage.capture().take_turn(harness.database);
    assert_eq!(harness.control().scan("shop").unwrap_err().number(), Some(22903));
}

#[test]
fn a_lot_of_updates_in_one_statement_keeps_pairs_together() {
    let (harness, table) = Harness::with_table();
    let rows: Vec<Vec<Value>> = (0..500).map(|id| row(id, "a", 0)).collect();
    let ids = harness.insert(&table, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let changed: Vec<Vec<Value>> = (0..500).map(|id| row(id, "b", 1)).collect();
    harness
        .step(|transaction| {
            let pairs: Vec<_> = ids.iter().copied().zip(changed.iter().map(Vec::as_slice)).collect();
            update(&harness, transaction, &table, &pairs, UpdateManner::InPlace)
        })
        .unwrap();
    harness.scan();
    let operations = harness.operations("dbo_t");
    assert_eq!(operations.len(), 1500);
    assert!(operations[500..].chunks(2).all(|pair| pair == [3, 4]));
}

#[test]
fn large_values_over_the_limit_are_refused_7139() {
    let harness = Harness::enabled();
    let columns = vec![Column::new("id", SqlType::Int).not_null(), Column::new("v", SqlType::NVarChar(Length::Max))];
    let table = harness.table_of("t", columns);
    let long = [Value::Int(1), Value::text(&"x".repeat(40_000))];
    let ids = harness.insert(&table, &[&long]);
    harness.delete(&table, &ids);
    harness.enable("t", None);
    let outcome = harness.step(|transaction| insert(&harness, transaction, &table, &[&long]));
    assert_eq!(super::number(outcome), 7139);
    harness.control().set_max_text_repl_size(None);
    harness.insert(&table, &[&long]);
}

/// The row's place was the log's end when it was written, not when the log had been found to hold nothing more.
#[test]
fn an_idle_row_stays_before_what_was_committed_since_the_log_was_looked_at() {
    let (harness, table) = Harness::with_table();
    let idle = || harness.storage.clock().advance(Duration::from_secs(301));
    idle();
    let mut cycle = Cycle::new(&harness.storage, harness.database, 500).unwrap();
    harness.insert(&table, &[&row(1, "a", 1)]);
    let commit = harness.storage.with_log(harness.database, |log| log.pending(1)).unwrap()[0].commit_lsn;
    cycle.run(&never_cancelled()).unwrap();
    assert!(harness.max_lsn().unwrap() < commit, "the row isn't captured yet");
    assert_eq!(harness.operations("dbo_t"), [0_i64; 0]);
    harness.scan();
    assert_eq!((harness.max_lsn().unwrap(), harness.operations("dbo_t")), (commit, vec![2]));
    idle();
    harness.scan();
    assert!(harness.max_lsn().unwrap() > commit, "nothing is left behind it");
}
