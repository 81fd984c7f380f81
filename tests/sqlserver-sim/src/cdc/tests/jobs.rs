//! Jobs, their parameters, and the agent.

use std::time::{Duration, Instant};

use super::{Harness, number, row};
use crate::cdc::agent::Agent;
use crate::engine::session::Isolation;
use crate::error::SqlResult;
use crate::storage::{DatabaseId, Edition, ReadRequest, SchemaId};
use crate::value::Value;

fn help(harness: &Harness) -> Vec<Vec<Value>> {
    harness.exec("sp_cdc_help_jobs", &[]).unwrap().results.remove(0).rows
}

fn change(harness: &Harness, job: &str, given: &[(&str, Value)]) -> SqlResult<super::registry::ProcedureResult> {
    let mut arguments = vec![("@job_type", Value::text(job))];
    arguments.extend(given.iter().cloned());
    harness.exec("sp_cdc_change_job", &arguments)
}

#[test]
fn the_first_table_creates_both_jobs_with_their_defaults() {
    let harness = Harness::enabled();
    assert!(help(&harness).is_empty());
    harness.table("t");
    harness.enable("t", None);
    let jobs = help(&harness);
    assert_eq!(
        jobs[0][2..7],
        [Value::text("cdc.shop_capture"), Value::Int(500), Value::Int(10), Value::Bit(true), Value::BigInt(5),]
    );
    assert_eq!(jobs[1][2], Value::text("cdc.shop_cleanup"));
    assert_eq!(jobs[1][7..], [Value::BigInt(4320), Value::BigInt(5000)]);
    let catalog = harness.storage.catalog(DatabaseId::MSDB).unwrap();
    let table = catalog.table_named(SchemaId::DBO, "cdc_jobs").unwrap().clone();
    let request = ReadRequest::all(DatabaseId::MSDB, table);
    assert_eq!(harness.step(|transaction| transaction.read_all(&request)).unwrap().len(), 2);
    assert!(harness.storage.capture().with(harness.database, |capture| capture.capture.is_some()), "capture runs");
}

#[test]
fn parameters_have_their_ranges() {
    let (harness, _) = Harness::with_table();
    let refused = |job: &str, given: &[(&str, Value)]| number(change(&harness, job, given));
    let not_continuous = [("@continuous", Value::Bit(false)), ("@pollinginterval", Value::BigInt(5))];
    assert_eq!(refused("capture", &not_continuous), 22999);
    assert_eq!(refused("capture", &[("@pollinginterval", Value::BigInt(86_400))]), 22990);
    assert_eq!(refused("capture", &[("@pollinginterval", Value::BigInt(-1))]), 22990);
    assert_eq!(refused("capture", &[("@maxtrans", Value::Int(0))]), 22991);
    assert_eq!(refused("capture", &[("@maxscans", Value::Int(0))]), 22970);
    assert_eq!(refused("cleanup", &[("@retention", Value::BigInt(52_594_801))]), 22994);
    assert_eq!(refused("cleanup", &[("@retention", Value::BigInt(0))]), 22994);
    assert_eq!(refused("cleanup", &[("@threshold", Value::BigInt(0))]), 22850);
    assert_eq!(refused("other", &[]), 22992);
    change(&harness, "cleanup", &[("@retention", Value::BigInt(52_594_800))]).unwrap();
    change(&harness, "capture", &[("@continuous", Value::Bit(false))]).unwrap();
    assert_eq!(help(&harness)[0][6], Value::BigInt(0), "polling ends with continuous");
}

#[test]
fn a_changed_job_takes_effect_when_it_is_started_again() {
    let (harness, _) = Harness::with_table();
    let running = || harness.storage.capture().with(harness.database, |capture| capture.capture);
    change(&harness, "capture", &[("@maxtrans", Value::Int(7))]).unwrap();
    assert_eq!(running().unwrap().transactions_max, 500);
    harness.exec("sp_cdc_stop_job", &[]).unwrap();
    assert_eq!(running(), None);
    assert_eq!(number(harness.exec("sp_cdc_stop_job", &[])), 22022);
    harness.exec("sp_cdc_start_job", &[]).unwrap();
    assert_eq!(running().unwrap().transactions_max, 7);
    assert_eq!(number(harness.exec("sp_cdc_start_job", &[])), 22022);
}

#[test]
fn jobs_can_be_dropped_and_added() {
    let (harness, _) = Harness::with_table();
    let capture = [("@job_type", Value::text("capture"))];
    assert_eq!(number(harness.exec("sp_cdc_add_job", &capture)), 14261);
    harness.exec("sp_cdc_drop_job", &capture).unwrap();
    assert_eq!(help(&harness).len(), 1);
    assert_eq!(number(harness.exec("sp_cdc_start_job", &capture)), 14262);
    harness.exec("sp_cdc_add_job", &capture).unwrap();
    assert_eq!(help(&harness).len(), 2);
}

#[test]
fn a_stopped_agent_captures_nothing_and_the_log_grows() {
    let (harness, table) = Harness::with_table();
    let control = harness.control();
    let agent = Agent::start(&harness.storage, Some(Duration::ZERO)).unwrap();
    control.stop_agent();
    assert_eq!(number(harness.exec("sp_cdc_start_job", &[])), 22022);
    harness.insert(&table, &[&row(1, "a", 1)]);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(control.pending("shop").unwrap(), 1);
    control.start_agent().unwrap();
    wait_for(|| !harness.operations("dbo_t").is_empty());
    drop(agent);
}

#[test]
fn a_crash_ends_the_scan_that_goes_on() {
    let (harness, table) = Harness::with_table();
    for _ in 0..3 {
        harness.scan();
    }
    harness.insert(&table, &[&row(1, "a", 1)]);
    let control = harness.control();
    let change_table = harness.named("cdc", "dbo_t_CT").unwrap();
    let mut reader = harness.begin(Isolation::Serializable);
    reader.read_all(&ReadRequest::all(harness.database, change_table)).unwrap();
    std::thread::scope(|scope| {
        // It waits for the reader when the server crashes.
        let scan = scope.spawn(|| control.scan("shop"));
        wait_for(|| harness.storage.capture().with(harness.database, |capture| capture.turn.is_some()));
        control.crash().unwrap();
        assert!(harness.storage.capture().with(harness.database, |capture| capture.sessions.is_empty()));
        assert!(scan.join().unwrap().is_err());
    });
    drop(reader);
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2]);
    let sessions = harness.storage.capture().with(harness.database, |capture| capture.sessions.clone());
    assert_eq!(sessions.iter().map(|session| session.session_id).collect::<Vec<_>>(), [1], "they are counted anew");
}

#[test]
fn a_job_that_goes_on_keeps_the_log_to_itself_22903() {
    let (harness, _) = Harness::with_table();
    harness.exec("sp_cdc_scan", &[]).unwrap();
    let agent = Agent::start(&harness.storage, Some(Duration::from_secs(3600))).unwrap();
    assert_eq!(number(harness.exec("sp_cdc_scan", &[])), 22903);
    assert_eq!(number(harness.exec("sp_mscdc_capture_job", &[])), 22903);
    harness.exec("sp_cdc_stop_job", &[]).unwrap();
    wait_for(|| harness.exec("sp_cdc_scan", &[]).is_ok());
    harness.exec("sp_cdc_start_job", &[]).unwrap();
    drop(agent);
    harness.exec("sp_cdc_scan", &[]).unwrap();
}

#[test]
fn a_published_database_has_no_capture_job_22911_and_its_log_reader_captures() {
    let harness = Harness::enabled();
    let control = harness.control();
    control.set_published("shop", true).unwrap();
    let table = harness.table("t");
    harness.enable("t", None);
    let jobs = help(&harness);
    assert_eq!(jobs.iter().map(|job| job[2].clone()).collect::<Vec<_>>(), [Value::text("cdc.shop_cleanup")]);
    let capture = [("@job_type", Value::text("capture"))];
    for procedure in ["sp_cdc_add_job", "sp_cdc_start_job"] {
        assert_eq!(number(harness.exec(procedure, &capture)), 22911, "{procedure}");
    }
    for procedure in ["sp_cdc_scan", "sp_mscdc_capture_job"] {
        assert_eq!(number(harness.exec(procedure, &[])), 22911, "{procedure}");
    }
    harness.insert(&table, &[&row(1, "a", 1)]);
    let agent = Agent::start(&harness.storage, Some(Duration::ZERO)).unwrap();
    wait_for(|| harness.named("cdc", "dbo_t_CT").is_some() && harness.operations("dbo_t") == [2]);
    drop(agent);
    control.set_published("shop", false).unwrap();
    harness.exec("sp_cdc_add_job", &capture).unwrap();
}

#[test]
fn the_agent_cleans_up_at_two_in_the_morning() {
    let (harness, table) = Harness::with_table();
    let control = harness.control();
    harness.insert(&table, &[&row(1, "old", 1)]);
    harness.scan();
    let hour = Duration::from_secs(3600);
    // It is midnight; four days on the row is past its retention.
    control.advance_clock(hour * 96);
    harness.insert(&table, &[&row(2, "new", 1)]);
    harness.scan();
    let agent = Agent::start(&harness.storage, Some(Duration::ZERO)).unwrap();
    // A row that only a scan by the agent writes tells that it has been there.
    let seen = |name: &str, id: i32| {
        harness.insert(&table, &[&row(id, name, 1)]);
        wait_for(|| harness.changes("dbo_t").last().is_some_and(|(_, values)| values[0] == Value::Int(id)));
    };
    seen("midnight", 3);
    assert_eq!(harness.operations("dbo_t").len(), 3, "not yet");
    control.advance_clock(hour * 2);
    wait_for(|| harness.operations("dbo_t").len() == 2);
    drop(agent);
}

fn wait_for(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_scan_by_hand_reads_maxtrans_times_maxscans() {
    let (harness, table) = Harness::with_table();
    for id in 1..=5 {
        harness.insert(&table, &[&row(id, "a", 1)]);
    }
    let scan = |maxtrans: i32, maxscans: i32| {
        harness.exec("sp_cdc_scan", &[("@maxtrans", Value::Int(maxtrans)), ("@maxscans", Value::Int(maxscans))])
    };
    scan(1, 1).unwrap();
    assert_eq!(harness.operations("dbo_t").len(), 1);
    scan(1, 3).unwrap();
    assert_eq!(harness.operations("dbo_t").len(), 4);
    scan(500, 10).unwrap();
    assert_eq!(harness.operations("dbo_t").len(), 5);
}

#[test]
fn sessions_of_scans_are_kept_and_empty_ones_counted() {
    let (harness, table) = Harness::with_table();
    let sessions = || harness.storage.capture().with(harness.database, |capture| capture.sessions.clone());
    let before = sessions().len();
    harness.insert(&table, &[&row(1, "a", 1)]);
    for _ in 0..4 {
        harness.scan();
    }
    let sessions = sessions();
    assert_eq!(sessions.len(), before + 2);
    let (busy, empty) = (&sessions[before], &sessions[before + 1]);
    assert_eq!((busy.transactions, busy.commands, busy.phase, busy.empty_scans), (1, 1, "Done", 0));
    assert_eq!((empty.transactions, empty.empty_scans), (0, 3));
}

#[test]
fn azure_keeps_its_jobs_in_the_database_and_its_own_interval() {
    let harness = Harness::plain(Edition::AzureSqlDatabase);
    harness.exec("sp_cdc_enable_db", &[]).unwrap();
    harness.table("t");
    harness.enable("t", None);
    assert!(harness.named("cdc", "cdc_jobs").is_some());
    let running = harness.storage.capture().with(harness.database, |capture| capture.capture).unwrap();
    assert_eq!(running.polling_interval, Duration::from_secs(20));
    assert_eq!(number(change(&harness, "capture", &[("@pollinginterval", Value::BigInt(1))])), 22990);
    change(&harness, "capture", &[("@maxtrans", Value::Int(9))]).unwrap();
}
