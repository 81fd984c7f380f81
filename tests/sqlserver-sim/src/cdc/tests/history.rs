//! Statements on captured tables: what is blocked, what the scan writes to history, what becomes of change tables.

use std::sync::Arc;

use super::{Harness, insert, number, row, unique_index};
use crate::engine::session::Isolation;
use crate::storage::{Alteration, Column, ColumnId, Ddl, IndexId, Lsn};
use crate::value::{Length, SqlType, Value};

fn added(name: &str) -> Alteration {
    Alteration::AddColumns(vec![Column::new(name, SqlType::Int)])
}

#[test]
fn an_added_column_is_in_history_and_not_in_the_instance() {
    let (harness, table) = Harness::with_table();
    let table = harness.alter(&table, added("extra"), "ALTER TABLE t ADD extra int").unwrap();
    assert!(harness.history().is_empty(), "the scan writes it");
    harness.insert(&table, &[&[row(1, "a", 1), vec![Value::Int(7)]].concat()]);
    harness.scan();
    assert_eq!(harness.changes("dbo_t"), [(2, row(1, "a", 1))]);
    let [(_, required, command, _)] = &harness.history()[..] else { panic!("one row") };
    assert_eq!((*required, command.as_str()), (false, "ALTER TABLE t ADD extra int"));
}

#[test]
fn ddl_lsn_lies_between_the_commits_before_and_after() {
    let (harness, table) = Harness::with_table();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.alter(&table, added("x"), "ALTER").unwrap();
    harness.insert(&table, &[&row(2, "a", 1)]);
    harness.scan();
    let rows = harness.rows("cdc", "dbo_t_CT");
    let lsn = |at: usize| Lsn::from_value(&rows[at][0]).unwrap();
    let (_, _, _, ddl) = harness.history()[0];
    assert!(lsn(0) < ddl && ddl < lsn(1));
    assert!(ddl <= harness.max_lsn().unwrap());
}

#[test]
fn history_has_a_row_for_each_instance_and_none_for_later_ones() {
    let (harness, table) = Harness::with_table();
    harness.alter(&table, added("x"), "first").unwrap();
    harness.enable("t", Some("second"));
    harness.alter(&table, added("y"), "second").unwrap();
    harness.scan();
    let mut commands: Vec<String> = harness.history().into_iter().map(|(_, _, command, _)| command).collect();
    commands.sort();
    assert_eq!(commands, ["first", "second", "second"]);
}

#[test]
fn the_hand_over_is_exact() {
    let (harness, table) = Harness::with_table();
    let table = harness.alter(&table, added("x"), "ALTER").unwrap();
    let wide = |id: i32| [row(id, "a", 1), vec![Value::Int(id)]].concat();
    harness.insert(&table, &[&wide(1)]);
    harness.enable("t", Some("second"));
    harness.insert(&table, &[&wide(2)]);
    harness.scan();
    assert_eq!(harness.changes("dbo_t").len(), 2, "the old one goes on");
    assert_eq!(harness.changes("second"), [(2, wide(2))]);
    let start = harness.start_lsn("second").unwrap();
    let commits: Vec<Lsn> =
        harness.rows("cdc", "dbo_t_CT").iter().map(|row| Lsn::from_value(&row[0]).unwrap()).collect();
    assert!(commits[0] < start && start <= commits[1]);
}

#[test]
fn a_dropped_column_is_null_from_then_on() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1)]);
    let table = harness.alter(&table, Alteration::DropColumns(vec![ColumnId(3)]), "ALTER").unwrap();
    harness.update(&table, &[(ids[0], &row(1, "b", 1))], crate::storage::UpdateManner::InPlace);
    harness.scan();
    let dropped = |name: &str| vec![Value::Int(1), Value::text(name), Value::Null];
    assert_eq!(harness.changes("dbo_t"), [(2, row(1, "a", 1)), (3, dropped("a")), (4, dropped("b"))]);
    assert!(harness.named("cdc", "dbo_t_CT").unwrap().column_named("n").is_some());
    assert!(!harness.history()[0].1);
}

#[test]
fn a_column_that_is_dropped_and_added_again_is_another() {
    let (harness, table) = Harness::with_table();
    harness.alter(&table, Alteration::DropColumns(vec![ColumnId(3)]), "ALTER").unwrap();
    let table = harness.alter(&table, added("n"), "ALTER").unwrap();
    assert_eq!(table.column_named("n").unwrap().column_id, ColumnId(4));
    harness.insert(&table, &[&[Value::Int(1), Value::text("a"), Value::Null, Value::Int(5)]]);
    harness.scan();
    assert_eq!(harness.changes("dbo_t"), [(2, vec![Value::Int(1), Value::text("a"), Value::Null])]);
}

fn retype(sql_type: SqlType, column: i32) -> Alteration {
    Alteration::AlterColumn { column: ColumnId(column), sql_type, nullable: true }
}

#[test]
fn a_widened_column_widens_the_change_table_when_the_scan_is_there() {
    let (harness, table) = Harness::with_table();
    harness.insert(&table, &[&row(1, "a", 1)]);
    let table = harness.alter(&table, retype(SqlType::BigInt, 3), "ALTER").unwrap();
    let change_type = || harness.named("cdc", "dbo_t_CT").unwrap().column_named("n").unwrap().sql_type;
    assert_eq!(change_type(), SqlType::Int);
    let big = vec![Value::Int(2), Value::text("b"), Value::BigInt(1 << 40)];
    harness.insert(&table, &[&big]);
    harness.scan();
    assert_eq!(change_type(), SqlType::BigInt);
    assert_eq!(harness.changes("dbo_t")[1], (2, big));
    assert!(harness.history()[0].1, "required_column_update");
    assert_eq!(harness.rows("cdc", "captured_columns")[2][3], Value::text("bigint"));
}

#[test]
fn narrowing_breaks_the_scan_until_the_change_table_is_emptied() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a long name", 1)]);
    harness.scan();
    harness.delete(&table, &ids);
    harness.scan();
    let narrow = SqlType::NVarChar(Length::Limited(3));
    harness.alter(&table, retype(narrow, 2), "ALTER").unwrap();
    let control = harness.control();
    for _ in 0..2 {
        assert_eq!(control.scan("shop").unwrap_err().number(), Some(2628));
    }
    assert!(harness.history().is_empty(), "a broken cycle leaves nothing");
    let errors = harness.storage.capture().with(harness.database, |capture| capture.errors.clone());
    assert_eq!(errors.iter().map(|entry| entry.error.number).collect::<Vec<_>>(), [2628, 22976, 22860].repeat(2));
    let other = harness.table("other");
    harness.insert(&other, &[&row(1, "a", 1)]);
    control.clean_up_below("shop", [0xff; 10]).unwrap();
    control.scan("shop").unwrap();
    assert_eq!(harness.history().len(), 1);
    assert_eq!(harness.named("cdc", "dbo_t_CT").unwrap().column_named("name").unwrap().sql_type, narrow);
}

#[test]
fn a_narrowed_number_breaks_the_scan_with_an_overflow() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1_000_000)]);
    harness.scan();
    harness.delete(&table, &ids);
    harness.alter(&table, retype(SqlType::TinyInt, 3), "ALTER").unwrap();
    let number = harness.control().scan("shop").unwrap_err().number().unwrap();
    assert!([220, 8115].contains(&number), "{number}");
}

#[test]
fn only_nullability_is_history_without_column_update() {
    let (harness, table) = Harness::with_table();
    let not_null = Alteration::AlterColumn { column: ColumnId(3), sql_type: SqlType::Int, nullable: false };
    harness.alter(&table, not_null, "ALTER").unwrap();
    harness.scan();
    assert!(!harness.history()[0].1);
    assert!(harness.named("cdc", "dbo_t_CT").unwrap().column_named("n").unwrap().nullable);
}

#[test]
fn renaming_a_captured_column_is_blocked_4928_and_another_is_not() {
    let (harness, table) = Harness::with_table();
    let rename = |column: i32| Alteration::RenameColumn { column: ColumnId(column), name: Arc::from("renamed") };
    let error = harness.alter(&table, rename(2), "sp_rename").unwrap_err();
    assert_eq!((error.number, error.severity), (4928, 16));
    harness.alter(&table, added("extra"), "ALTER").unwrap();
    harness.alter(&table, rename(4), "sp_rename").unwrap();
}

#[test]
fn a_renamed_table_keeps_its_instance_and_is_captured_on() {
    let (harness, table) = Harness::with_table();
    let table = harness.alter(&table, Alteration::RenameTable(Arc::from("renamed")), "sp_rename").unwrap();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2]);
    assert_eq!(harness.rows("cdc", "change_tables")[0][2], Value::Int(table.object_id.0));
    assert!(harness.history().is_empty());
}

#[test]
fn truncate_is_blocked_4711() {
    let (harness, table) = Harness::with_table();
    let outcome = harness.step(|transaction| transaction.truncate(harness.database, table.object_id));
    assert_eq!(number(outcome), 4711);
    let other = harness.table("other");
    harness.insert(&other, &[&row(1, "a", 1)]);
    harness.step(|transaction| transaction.truncate(harness.database, other.object_id)).unwrap();
    assert!(harness.rows("dbo", "other").is_empty());
}

#[test]
fn the_index_that_tells_rows_apart_stays() {
    let harness = Harness::enabled();
    let table = harness.table("t");
    let not_null = Alteration::AlterColumn { column: ColumnId(3), sql_type: SqlType::Int, nullable: false };
    harness.alter(&table, not_null, "").unwrap();
    let mut unique = unique_index("by_n", IndexId(2), 3, false);
    unique.constraint = None;
    harness.alter(&table, Alteration::AddIndex(unique), "").unwrap();
    harness.enable("t", None);
    harness
        .exec(
            "sp_cdc_enable_table",
            &[
                ("@source_schema", Value::text("dbo")),
                ("@source_name", Value::text("t")),
                ("@capture_instance", Value::text("second")),
                ("@index_name", Value::text("by_n")),
            ],
        )
        .unwrap();
    let table = harness.current(&table);
    let key = table.primary_key().unwrap().constraint.as_ref().unwrap().object_id;
    assert_eq!(number(harness.alter(&table, Alteration::DropConstraint(key), "")), 22979);
    let index = table.index_named("by_n").unwrap().index_id;
    assert_eq!(number(harness.alter(&table, Alteration::DisableIndex(IndexId::CLUSTERED), "")), 22979);
    assert_eq!(number(harness.alter(&table, Alteration::DropIndex(index), "")), 22983);
    assert_eq!(number(harness.alter(&table, Alteration::DisableIndex(index), "")), 22983);
}

#[test]
fn ddl_without_the_right_is_22914() {
    let (harness, table) = Harness::with_table();
    let ddl = Ddl { command: "ALTER", by_owner: false };
    let outcome =
        harness.step(|transaction| transaction.alter_table(harness.database, table.object_id, vec![added("x")], &ddl));
    assert_eq!(number(outcome), 22914);
}

#[test]
fn dropping_a_table_removes_its_instance_and_loses_unread_changes() {
    let (harness, table) = Harness::with_table();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.drop_table(&table);
    assert!(harness.named("cdc", "dbo_t_CT").is_none());
    for table in ["change_tables", "captured_columns", "index_columns"] {
        assert!(harness.rows("cdc", table).is_empty(), "{table}");
    }
    harness.scan();
    let again = harness.table("t");
    assert_ne!(again.object_id, table.object_id);
    assert!(!again.tracked);
    harness.insert(&again, &[&row(1, "not captured", 1)]);
    harness.enable("t", None);
    harness.insert(&again, &[&row(2, "captured", 1)]);
    harness.scan();
    assert_eq!(harness.changes("dbo_t"), [(2, row(2, "captured", 1))]);
}

fn drop_pending(harness: &Harness) -> Vec<Value> {
    harness.rows("cdc", "change_tables").iter().map(|row| row[7].clone()).collect()
}

#[test]
fn an_instance_that_is_read_while_its_table_is_dropped_waits_for_the_scan() {
    let (harness, table) = Harness::with_table();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.scan();
    harness.insert(&table, &[&row(2, "never captured", 1)]);
    let change_table = harness.named("cdc", "dbo_t_CT").unwrap();
    let mut reader = harness.begin(Isolation::ReadCommitted);
    let shared = crate::storage::LockDuration::Transaction;
    reader.lock_table(harness.database, change_table.object_id, crate::storage::LockMode::Shared, shared).unwrap();
    harness.drop_table(&table);
    assert_eq!(drop_pending(&harness), [Value::Bit(true)]);
    assert_eq!(harness.operations("dbo_t"), [2], "it can be read");
    harness.table("t");
    assert_eq!(number(harness.try_enable("t", None)), 22926, "the name is taken");
    reader.rollback();
    harness.scan();
    assert!(drop_pending(&harness).is_empty() && harness.named("cdc", "dbo_t_CT").is_none());
    harness.enable("t", None);
    assert_eq!(drop_pending(&harness), [Value::Bit(false)]);
}

#[test]
fn what_keeps_the_scan_from_writing_definitions_is_told_with_its_consequences() {
    let told = |spoil: &dyn Fn(&Harness)| {
        let (harness, table) = Harness::with_table();
        spoil(&harness);
        harness.alter(&table, retype(SqlType::BigInt, 3), "ALTER").unwrap();
        let cause = harness.control().scan("shop").unwrap_err().number().unwrap();
        let errors = harness.storage.capture().with(harness.database, |capture| capture.errors.clone());
        let numbers: Vec<i32> = errors.iter().map(|entry| entry.error.number).collect();
        assert_eq!(numbers[0], cause);
        numbers[1..].to_vec()
    };
    // The tables are like any other: an owner can break them.
    let drop_own = |name: &'static str| {
        move |harness: &Harness| {
            let table = harness.named("cdc", name).unwrap();
            harness.step(|transaction| transaction.drop_untracked(harness.database, &table)).unwrap();
        }
    };
    assert_eq!(told(&drop_own("ddl_history")), [22977, 22860]);
    assert_eq!(told(&drop_own("captured_columns")), [22978, 22860]);
    assert_eq!(told(&drop_own("lsn_time_mapping")), [22858, 22859]);
}

#[test]
fn rows_that_do_not_fit_are_told_with_their_consequences() {
    let (harness, table) = Harness::with_table();
    // Somebody narrowed the change table by hand.
    let change_table = harness.named("cdc", "dbo_t_CT").unwrap();
    let name = change_table.column_named("name").unwrap().column_id;
    let narrow =
        Alteration::AlterColumn { column: name, sql_type: SqlType::NVarChar(Length::Limited(2)), nullable: true };
    harness.alter(&change_table, narrow, "ALTER").unwrap();
    harness.insert(&table, &[&row(1, "long", 1)]);
    assert_eq!(harness.control().scan("shop").unwrap_err().number(), Some(2628));
    let errors = harness.storage.capture().with(harness.database, |capture| capture.errors.clone());
    assert_eq!(errors.iter().map(|entry| entry.error.number).collect::<Vec<_>>(), [2628, 22863, 22859]);
}

#[test]
fn clr_types_break_the_scan_of_old_servers_913() {
    let harness = Harness::enabled();
    let columns = vec![Column::new("id", SqlType::Int).not_null(), Column::new("path", SqlType::HierarchyId)];
    let table = harness.table_of("t", columns);
    harness.enable("t", None);
    harness.insert(&table, &[&[Value::Int(1), Value::binary(&[0x58])]]);
    let control = harness.control();
    control.set_clr_types_break(true);
    assert_eq!(control.scan("shop").unwrap_err().number(), Some(913));
    control.set_clr_types_break(false);
    harness.scan();
    assert_eq!(harness.changes("dbo_t"), [(2, vec![Value::Int(1), Value::binary(&[0x58])])]);
}

#[test]
fn a_column_that_is_not_captured_leaves_history_when_it_is_dropped() {
    let (harness, table) = Harness::with_table();
    let table = harness.alter(&table, added("extra"), "ADD").unwrap();
    harness.alter(&table, Alteration::DropColumns(vec![ColumnId(4)]), "DROP").unwrap();
    harness.scan();
    let commands: Vec<(bool, String)> =
        harness.history().into_iter().map(|(_, followed, text, _)| (followed, text)).collect();
    assert_eq!(commands, [(false, "ADD".to_owned()), (false, "DROP".to_owned())]);
}

#[test]
fn a_primary_key_that_comes_later_leaves_history_and_no_net_changes() {
    let harness = Harness::enabled();
    let mut heap = crate::storage::Table::new(crate::storage::SchemaId::DBO, "t");
    heap.push_column(Column::new("id", SqlType::Int).not_null());
    let table = harness.step(|transaction| transaction.create_table(harness.database, heap)).unwrap();
    harness.enable("t", None);
    harness.alter(&table, Alteration::AddIndex(unique_index("PK_t", IndexId::CLUSTERED, 1, true)), "ADD KEY").unwrap();
    harness.scan();
    assert_eq!(harness.history()[0].2, "ADD KEY");
    let instance = harness.rows("cdc", "change_tables").remove(0);
    assert_eq!((&instance[6], &instance[9]), (&Value::Bit(false), &Value::Null));
}

#[test]
fn a_table_that_goes_to_another_schema_is_captured_on() {
    let (harness, table) = Harness::with_table();
    let schema = harness
        .step(|transaction| {
            transaction.edit_catalog(harness.database, |catalog| {
                let schema_id = catalog.next_schema_id();
                let owner = crate::storage::PrincipalId::DBO;
                catalog.put_schema(crate::storage::Schema { schema_id, name: Arc::from("other"), owner });
                Ok(schema_id)
            })
        })
        .unwrap();
    let table = harness.alter(&table, Alteration::TransferTo(schema), "ALTER SCHEMA").unwrap();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2]);
    assert!(harness.history().is_empty());
}

#[test]
fn switched_rows_are_not_captured_which_tables_without_partitions_cannot_forbid() {
    let (harness, table) = Harness::with_table();
    let staging = harness.table("staging");
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.scan();
    let switch = |from: &crate::storage::Table, to: &crate::storage::Table| {
        harness.step(|transaction| {
            let whole =
                |table: &crate::storage::Table| crate::storage::Part { table: table.object_id, partition: None };
            transaction.switch(harness.database, whole(from), whole(to))
        })
    };
    switch(&table, &staging).unwrap();
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2]);
    assert_eq!((harness.rows("dbo", "t").len(), harness.rows("dbo", "staging").len()), (0, 1));
    harness
        .exec(
            "sp_cdc_enable_table",
            &[
                ("@source_schema", Value::text("dbo")),
                ("@source_name", Value::text("t")),
                ("@capture_instance", Value::text("strict")),
                ("@allow_partition_switch", Value::Bit(false)),
            ],
        )
        .unwrap();
    switch(&staging, &table).unwrap();
    assert!(harness.rows("cdc", "change_tables").iter().all(|instance| instance[12] == Value::Bit(true)));
}

#[test]
fn ddl_in_a_transaction_with_rows_is_ordered_within() {
    let (harness, table) = Harness::with_table();
    harness
        .step(|transaction| {
            insert(&harness, transaction, &table, &[&row(1, "a", 1)])?;
            let ddl = Ddl { command: "ALTER", by_owner: true };
            transaction.alter_table(
                harness.database,
                table.object_id,
                vec![Alteration::DropColumns(vec![ColumnId(3)])],
                &ddl,
            )?;
            insert(&harness, transaction, &table, &[&row(2, "b", 9)])
        })
        .unwrap();
    harness.scan();
    let without = vec![Value::Int(2), Value::text("b"), Value::Null];
    assert_eq!(harness.changes("dbo_t"), [(2, row(1, "a", 1)), (2, without)]);
    assert_eq!(Some(harness.history()[0].3), Lsn::from_value(&harness.rows("cdc", "dbo_t_CT")[0][0]));
}

#[test]
fn rolled_back_ddl_leaves_neither_history_nor_shape() {
    let (harness, table) = Harness::with_table();
    let mut transaction = harness.begin(crate::engine::session::Isolation::ReadCommitted);
    let ddl = Ddl { command: "ALTER", by_owner: true };
    transaction
        .alter_table(harness.database, table.object_id, vec![added("x"), retype(SqlType::BigInt, 3)], &ddl)
        .unwrap();
    assert!(transaction.catalog(harness.database).unwrap().table(table.object_id).unwrap().column_named("x").is_some());
    transaction.rollback();
    assert_eq!(harness.current(&table).columns.len(), 3);
    harness.scan();
    assert!(harness.history().is_empty());
}

#[test]
fn off_row_values_after_text_became_max_break_the_scan() {
    let harness = Harness::enabled();
    let columns = vec![Column::new("id", SqlType::Int).not_null(), Column::new("t", SqlType::Text)];
    let table = harness.table_of("t", columns);
    harness.enable("t", None);
    let ids = harness.insert(&table, &[&[Value::Int(1), Value::text("short")]]);
    harness.scan();
    let max = Alteration::AlterColumn { column: ColumnId(2), sql_type: SqlType::VarChar(Length::Max), nullable: true };
    let table = harness.alter(&table, max, "ALTER").unwrap();
    let set = |text: &str| {
        harness.update(&table, &[(ids[0], &[Value::Int(1), Value::text(text)])], crate::storage::UpdateManner::InPlace);
    };
    set("still short");
    harness.scan();
    set(&"x".repeat(9000));
    assert_eq!(harness.control().scan("shop").unwrap_err().number(), Some(22859));
}
