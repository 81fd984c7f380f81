//! The functions that readers call.

use std::sync::Arc;

use super::{Harness, number, row};
use crate::error::SqlError;
use crate::storage::{
    Alteration, Column, Grant, Login, Lsn, Permission, Principal, PrincipalId, PrincipalKind, Securable, UpdateManner,
};
use crate::value::{SqlType, Value};

#[test]
fn all_changes_leaves_before_images_out_unless_asked() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1)]);
    harness.update(&table, &[(ids[0], &row(1, "b", 1))], UpdateManner::InPlace);
    harness.scan();
    let operations = |filter: &str| -> Vec<i64> {
        harness.all_changes("dbo_t", filter).unwrap().iter().map(|row| row[2].as_integer().unwrap()).collect()
    };
    assert_eq!(operations("all"), [2, 4]);
    assert_eq!(operations(" ALL Update Old "), [2, 3, 4]);
    let row = &harness.all_changes("dbo_t", "all").unwrap()[0];
    assert_eq!(row.len(), 4 + 3, "neither __$end_lsn nor __$command_id");
}

#[test]
fn bounds_out_of_the_interval_are_313_of_state_3() {
    let (harness, table) = Harness::with_table();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.scan();
    let (low, high) = (harness.start_lsn("dbo_t").unwrap(), harness.max_lsn().unwrap());
    let call =
        |from: Value, to: Value, filter: &str| harness.function_rows("fn_cdc_get_all_changes_dbo_t", from, to, filter);
    let value = |lsn: Lsn| lsn.to_value();
    assert!(call(value(low), value(high), "all").is_ok(), "both ends belong to it");
    let wrong = [
        (value(low.previous().unwrap()), value(high), "all"),
        (value(low), value(high.next().unwrap()), "all"),
        (value(high), value(low), "all"),
        (Value::Null, value(high), "all"),
        (value(low), Value::Null, "all"),
        (value(low), value(high), "some"),
    ];
    for (from, to, filter) in wrong {
        let error: SqlError = call(from, to, filter).unwrap_err();
        assert_eq!((error.number, error.severity, error.state), (313, 16, 3));
    }
}

#[test]
fn a_dropped_instance_has_no_function() {
    let (harness, table) = Harness::with_table();
    harness.drop_table(&table);
    assert_eq!(number(harness.function_rows("fn_cdc_get_all_changes_dbo_t", Value::Null, Value::Null, "all")), 208);
}

/// Somebody who may read the table, where `granted`, and is in the role, where `in_role`.
fn reader(harness: &mut Harness, granted: bool, in_role: bool) {
    let table = harness.named("dbo", "t").unwrap();
    let user = PrincipalId(7);
    harness
        .step(|transaction| {
            transaction.edit_catalog(harness.database, |catalog| {
                let role = catalog.principal_named("readers").unwrap().principal_id;
                catalog.put_principal(Principal {
                    principal_id: user,
                    name: Arc::from("reader"),
                    kind: PrincipalKind::User { login: None },
                    roles: if in_role { vec![role] } else { Vec::new() },
                    default_schema: None,
                });
                let securable = Securable::Object(table.object_id);
                let permission = Permission { grantee: user, securable, name: Arc::from("SELECT") };
                if granted {
                    catalog.put_permission(permission, Grant::Granted);
                } else {
                    catalog.remove_permission(&permission);
                }
                Ok(())
            })
        })
        .unwrap();
    harness.user = user;
    harness.login = Arc::new(Login { sysadmin: false, ..Login::clone(&harness.login) });
}

#[test]
fn the_gating_role_and_the_right_to_select_are_needed_229() {
    let mut harness = Harness::enabled();
    let table = harness.table("t");
    harness
        .exec(
            "sp_cdc_enable_table",
            &[
                ("@source_schema", Value::text("dbo")),
                ("@source_name", Value::text("t")),
                ("@role_name", Value::text("readers")),
            ],
        )
        .unwrap();
    harness.scan();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.scan();
    let (from, to) = (harness.start_lsn("dbo_t").unwrap(), harness.max_lsn().unwrap());
    let login = Arc::clone(&harness.login);
    for (granted, in_role) in [(false, false), (true, false), (false, true), (true, true)] {
        harness.login = Arc::clone(&login);
        reader(&mut harness, granted, in_role);
        let outcome = harness.function_rows("fn_cdc_get_all_changes_dbo_t", from.to_value(), to.to_value(), "all");
        let low = harness.function("fn_cdc_get_min_lsn", &[Value::text("dbo_t")]);
        if granted && in_role {
            assert_eq!(outcome.unwrap().len(), 1);
            assert_eq!(low, from.to_value());
        } else {
            assert_eq!(number(outcome), 229);
            assert_eq!(low, Value::binary(&[0; 10]), "no interval for who may not read");
        }
    }
}

#[test]
fn net_changes_tell_what_became_of_each_key() {
    let (harness, table) = Harness::with_table();
    let old = harness.insert(&table, &[&row(1, "old", 1), &row(2, "old", 1)]);
    harness.scan();
    let from = harness.max_lsn().unwrap().next().unwrap();
    let new = harness.insert(&table, &[&row(3, "a", 1), &row(4, "a", 1)]);
    harness.update(&table, &[(new[0], &row(3, "b", 1))], UpdateManner::InPlace);
    harness.delete(&table, &[new[1], old[0]]);
    harness.update(&table, &[(old[1], &row(2, "x", 1))], UpdateManner::InPlace);
    harness.update(&table, &[(old[1], &row(2, "x", 9))], UpdateManner::InPlace);
    harness.scan();
    let net = |filter: &str| {
        let to = harness.max_lsn().unwrap().to_value();
        harness.function_rows("fn_cdc_get_net_changes_dbo_t", from.to_value(), to, filter).unwrap()
    };
    let given = |filter: &str| -> Vec<(i64, Value)> {
        net(filter).iter().map(|row| (row[1].as_integer().unwrap(), row[3].clone())).collect()
    };
    let key = Value::Int;
    assert_eq!(given("all"), [(1, key(1)), (4, key(2)), (2, key(3))]);
    assert_eq!(given("all with merge"), [(1, key(1)), (5, key(2)), (5, key(3))]);
    assert!(net("all").iter().all(|row| row[2].is_null()));
    assert_eq!(net("all with mask")[1][2].as_bytes(), Some(&[0b110][..]), "of both updates");
    assert_eq!(net("all")[1][3..], row(2, "x", 9), "the last values");
}

#[test]
fn net_changes_are_only_for_instances_that_support_them() {
    let harness = Harness::enabled();
    harness.table("t");
    harness
        .exec(
            "sp_cdc_enable_table",
            &[
                ("@source_schema", Value::text("dbo")),
                ("@source_name", Value::text("t")),
                ("@supports_net_changes", Value::Bit(false)),
            ],
        )
        .unwrap();
    harness.scan();
    assert_eq!(number(harness.net_changes("dbo_t", "all")), 208);
}

#[test]
fn lsns_count_up_and_down() {
    let harness = Harness::enabled();
    let lsn = Lsn::new(1, 2, u16::MAX);
    assert_eq!(harness.function("fn_cdc_increment_lsn", &[lsn.to_value()]), Lsn::new(1, 3, 0).to_value());
    assert_eq!(harness.function("fn_cdc_decrement_lsn", &[Lsn::new(1, 3, 0).to_value()]), lsn.to_value());
    assert_eq!(harness.function("fn_cdc_increment_lsn", &[Value::Null]), Value::Null);
}

#[test]
fn max_lsn_is_null_before_the_first_scan_and_min_lsn_zero_for_the_unknown() {
    let harness = Harness::enabled();
    assert_eq!(harness.function("fn_cdc_get_max_lsn", &[]), Value::Null);
    assert_eq!(harness.function("fn_cdc_get_min_lsn", &[Value::text("unknown")]), Value::binary(&[0; 10]));
}

#[test]
fn times_and_lsns_map_to_each_other() {
    let (harness, table) = Harness::with_table();
    let minute = std::time::Duration::from_secs(60);
    for id in 1..=3 {
        harness.control().advance_clock(minute);
        harness.insert(&table, &[&row(id, "a", 1)]);
    }
    harness.scan();
    let lsns: Vec<Value> = harness.rows("cdc", "dbo_t_CT").iter().map(|row| row[0].clone()).collect();
    let time = harness.function("fn_cdc_map_lsn_to_time", &[lsns[1].clone()]);
    let map = |relation: &str| harness.function("fn_cdc_map_time_to_lsn", &[Value::text(relation), time.clone()]);
    assert_eq!(map("largest less than"), lsns[0]);
    assert_eq!(map("largest less than or equal"), lsns[1]);
    assert_eq!(map("smallest greater than or equal"), lsns[1]);
    assert_eq!(map("smallest greater than"), lsns[2]);
    assert_eq!(map("something else"), Value::Null);
}

#[test]
fn masks_are_read_from_the_last_byte() {
    let harness = Harness::enabled();
    let columns = (1..=10).map(|n| Column::new(&format!("c{n}"), SqlType::Int)).collect::<Vec<_>>();
    let mut columns = columns;
    columns[0] = columns[0].clone().not_null();
    let table = harness.table_of("t", columns);
    harness.enable("t", None);
    let row: Vec<Value> = (1..=10).map(Value::Int).collect();
    let mut changed = row.clone();
    changed[1] = Value::Int(0);
    changed[9] = Value::Int(0);
    let ids = harness.insert(&table, &[&row]);
    harness.update(&table, &[(ids[0], &changed)], UpdateManner::InPlace);
    harness.scan();
    let mask = harness.rows("cdc", "dbo_t_CT")[2][4].clone();
    assert_eq!(mask.as_bytes(), Some(&[0b10, 0b10][..]));
    for position in 1..=10 {
        let set = harness.function("fn_cdc_is_bit_set", &[Value::Int(position), mask.clone()]);
        assert_eq!(set, Value::Bit(position == 2 || position == 10), "{position}");
    }
    let text = Value::text;
    assert_eq!(harness.function("fn_cdc_get_column_ordinal", &[text("dbo_t"), text("C10")]), Value::Int(10));
    let changed =
        |name: &str| harness.function("fn_cdc_has_column_changed", &[text("dbo_t"), text(name), mask.clone()]);
    assert_eq!((changed("c10"), changed("c9")), (Value::Bit(true), Value::Bit(false)));
}

#[test]
fn procedures_tell_of_instances_columns_and_history() {
    let (harness, table) = Harness::with_table();
    harness
        .alter(&table, Alteration::AddColumns(vec![Column::new("x", SqlType::Int)]), "ALTER TABLE t ADD x int")
        .unwrap();
    harness.scan();
    let text = Value::text;
    let one = |name: &str, arguments: &[(&str, Value)]| harness.exec(name, arguments).unwrap().results.remove(0).rows;
    let help = one("sp_cdc_help_change_data_capture", &[]);
    assert_eq!(help[0][..3], [text("dbo"), text("t"), text("dbo_t")]);
    assert_eq!(help[0][13..], [text("[id]"), text("[id], [name], [n]")]);
    let history = one("sp_cdc_get_ddl_history", &[("@capture_instance", text("dbo_t"))]);
    assert_eq!(history[0][3..5], [Value::Bit(false), text("ALTER TABLE t ADD x int")]);
    assert_eq!(one("sp_cdc_get_captured_columns", &[("@capture_instance", text("dbo_t"))]).len(), 3);
    assert_eq!(number(harness.exec("sp_cdc_get_ddl_history", &[("@capture_instance", text("none"))])), 22920);
    assert_eq!(number(harness.exec("sp_cdc_help_change_data_capture", &[("@source_name", text("t"))])), 22972);
    let wrappers = one("sp_cdc_generate_wrapper_function", &[]);
    let names: Vec<&str> = wrappers.iter().map(|row| row[0].as_text().unwrap()).collect();
    assert_eq!(names, ["fn_all_changes_dbo_t", "fn_net_changes_dbo_t"]);
}
