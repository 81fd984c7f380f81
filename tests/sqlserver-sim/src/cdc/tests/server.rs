//! Crashes, failovers and restores.

use super::{Harness, insert, row};
use crate::control::Restore;
use crate::engine::session::Isolation;
use crate::storage::{Alteration, Column, UpdateManner};
use crate::value::{SqlType, Value};

#[test]
fn a_restore_takes_lsns_backward() {
    let (harness, table) = Harness::with_table();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.scan();
    let control = harness.control();
    let backup = control.back_up("shop").unwrap();
    let at_backup = harness.max_lsn();
    harness.insert(&table, &[&row(2, "lost", 1)]);
    harness.scan();
    let later = harness.max_lsn();
    control.restore("shop", &backup, Restore::SameServer).unwrap();
    assert_eq!(harness.max_lsn(), at_backup);
    harness.insert(&table, &[&row(3, "instead", 1)]);
    harness.scan();
    assert_eq!(harness.max_lsn(), later, "the same place for something else");
    assert_eq!(harness.changes("dbo_t"), [(2, row(1, "a", 1)), (2, row(3, "instead", 1))]);
}

#[test]
fn a_restore_elsewhere_drops_capture_or_at_least_its_jobs() {
    let (harness, table) = Harness::with_table();
    let control = harness.control();
    let backup = control.back_up("shop").unwrap();
    control.restore("shop", &backup, Restore::OtherServerKeepCdc).unwrap();
    assert!(harness.exec("sp_cdc_help_jobs", &[]).unwrap().results[0].rows.is_empty());
    assert!(harness.current(&table).tracked);
    harness.exec("sp_cdc_add_job", &[("@job_type", Value::text("capture"))]).unwrap();
    control.restore("shop", &backup, Restore::OtherServer).unwrap();
    assert!(!harness.storage.catalog(harness.database).unwrap().options.cdc_enabled);
    assert!(!harness.current(&table).tracked);
    assert!(harness.named("cdc", "dbo_t_CT").is_none());
}

#[test]
fn a_backup_has_what_was_committed_and_what_was_not_scanned() {
    let (harness, table) = Harness::with_table();
    let control = harness.control();
    harness.insert(&table, &[&row(1, "committed", 1)]);
    let mut open = harness.begin(Isolation::ReadCommitted);
    insert(&harness, &mut open, &table, &[&row(2, "open", 1)]).unwrap();
    let backup = control.back_up("shop").unwrap();
    open.commit().unwrap();
    control.restore("shop", &backup, Restore::SameServer).unwrap();
    assert_eq!(harness.rows("dbo", "t").len(), 1);
    harness.scan();
    assert_eq!(harness.changes("dbo_t"), [(2, row(1, "committed", 1))]);
}

#[test]
fn a_restored_table_is_as_it_was() {
    let (harness, table) = Harness::with_table();
    let ids = harness.insert(&table, &[&row(1, "a", 1), &row(2, "b", 2)]);
    let backup = harness.control().back_up("shop").unwrap();
    harness.update(&table, &[(ids[0], &row(9, "a", 1))], UpdateManner::InPlace);
    harness.alter(&table, Alteration::AddColumns(vec![Column::new("x", SqlType::Int)]), "ALTER").unwrap();
    harness.control().restore("shop", &backup, Restore::SameServer).unwrap();
    assert_eq!(harness.current(&table).columns.len(), 3);
    let rows: Vec<Vec<Value>> = harness.rows("dbo", "t").iter().map(|row| row.to_vec()).collect();
    assert_eq!(rows, [row(1, "a", 1), row(2, "b", 2)]);
}

#[test]
fn a_crash_forgets_sessions_and_capture_begins_again() {
    let (harness, _) = Harness::with_table();
    harness.control().crash().unwrap();
    harness.storage.capture().with(harness.database, |capture| {
        assert!(capture.sessions.is_empty());
        assert!(capture.capture.is_some());
    });
}

#[test]
fn a_failover_to_a_replica_without_jobs_captures_nothing() {
    let (harness, _) = Harness::with_table();
    let runs = || harness.storage.capture().with(harness.database, |capture| capture.capture.is_some());
    harness.control().fail_over(true).unwrap();
    assert!(runs());
    harness.control().fail_over(false).unwrap();
    assert!(!runs());
}
