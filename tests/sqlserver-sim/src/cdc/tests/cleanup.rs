//! Cleanup and the validity interval.

use std::time::Duration;

use super::{Harness, number, row};
use crate::error::SqlResult;
use crate::storage::Lsn;
use crate::value::Value;

fn clean(harness: &Harness, instance: &str, low: Value) -> SqlResult<super::registry::ProcedureResult> {
    harness.exec(
        "sp_cdc_cleanup_change_table",
        &[("@capture_instance", Value::text(instance)), ("@low_water_mark", low), ("@threshold", Value::BigInt(2))],
    )
}

/// Rows one to five, a commit and a minute each, captured.
fn five() -> (Harness, Vec<Lsn>) {
    let (harness, table) = Harness::with_table();
    for id in 1..=5 {
        harness.control().advance_clock(Duration::from_secs(60));
        harness.insert(&table, &[&row(id, "a", 1)]);
    }
    harness.scan();
    let lsns = harness.rows("cdc", "dbo_t_CT").iter().map(|row| Lsn::from_value(&row[0]).unwrap()).collect();
    (harness, lsns)
}

#[test]
fn cleanup_raises_start_lsn_and_deletes_below_in_batches() {
    let (harness, lsns) = five();
    let result = clean(&harness, "dbo_t", lsns[3].to_value()).unwrap();
    assert_eq!(result.outputs[0].1, Value::Bit(false));
    assert_eq!(harness.start_lsn("dbo_t"), Some(lsns[3]));
    let left: Vec<Value> = harness.changes("dbo_t").into_iter().map(|(_, row)| row[0].clone()).collect();
    assert_eq!(left, [Value::Int(4), Value::Int(5)]);
}

#[test]
fn the_mark_must_be_mapped_22964_and_in_the_interval_22957() {
    let (harness, lsns) = five();
    assert_eq!(number(clean(&harness, "dbo_t", lsns[2].next().unwrap().to_value())), 22964);
    clean(&harness, "dbo_t", lsns[3].to_value()).unwrap();
    assert_eq!(number(clean(&harness, "dbo_t", lsns[1].to_value())), 22957);
    assert_eq!(number(clean(&harness, "missing", lsns[3].to_value())), 22920);
}

#[test]
fn the_job_raises_every_instance_below_its_mark() {
    let (harness, table) = Harness::with_table();
    harness.enable("t", Some("second"));
    harness.insert(&table, &[&row(1, "old", 1)]);
    harness.scan();
    let (first, second) = (harness.start_lsn("dbo_t"), harness.start_lsn("second"));
    assert!(first < second);
    harness.control().advance_clock(Duration::from_secs(4 * 86_400));
    harness.insert(&table, &[&row(2, "new", 1)]);
    harness.scan();
    harness.control().clean_up("shop").unwrap();
    assert!(harness.start_lsn("dbo_t") > second);
    assert_eq!(harness.start_lsn("dbo_t"), harness.start_lsn("second"), "they became equal");
    assert_eq!(harness.changes("dbo_t"), [(2, row(2, "new", 1))]);
    let mapped = Lsn::from_value(&harness.rows("cdc", "lsn_time_mapping")[0][0]);
    assert_eq!(mapped, harness.start_lsn("dbo_t"), "times below are forgotten");
}

#[test]
fn the_job_keeps_what_the_retention_covers() {
    let (harness, _) = five();
    harness.control().clean_up("shop").unwrap();
    assert_eq!(harness.changes("dbo_t").len(), 5);
}

#[test]
fn a_reader_that_cleanup_overtakes_gets_313_and_a_direct_one_reads_what_is_left() {
    let (harness, lsns) = five();
    clean(&harness, "dbo_t", lsns[3].to_value()).unwrap();
    let function = "fn_cdc_get_all_changes_dbo_t";
    let outcome = harness.function_rows(function, lsns[0].to_value(), lsns[4].to_value(), "all");
    assert_eq!(number(outcome), 313);
    assert_eq!(harness.changes("dbo_t").len(), 2);
}
