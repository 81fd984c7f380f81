//! What a test drives, seen from outside.

use std::time::{Duration, Instant};

use millstream_sqlserver_sim::{Edition, Options, Restore, Scan, Schedule, SqlServerSim};

use crate::client::{Tiberius, config, connect_with};

const PATIENCE: Duration = Duration::from_secs(60);
/// 2026-01-01.
const START: Duration = Duration::from_secs(1_767_225_600);

const SETUP: &str = "
CREATE DATABASE shop;
ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON;
GO
USE shop;
EXEC sys.sp_cdc_enable_db;
GO
CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, note nvarchar(max) NULL);
EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'orders', @role_name = NULL;
";

fn shop_on(edition: Edition, schedule: Schedule) -> SqlServerSim {
    let options = Options { schedule, edition, clock: Some(START), ..Options::default() };
    let sim = SqlServerSim::start(&options).unwrap();
    sim.run_script(SETUP).unwrap();
    sim
}

/// Driven by hand, with the instance recognised.
fn shop() -> SqlServerSim {
    let sim = shop_on(Edition::Developer, Schedule::ByHand);
    sim.control().scan("shop").unwrap();
    sim
}

async fn connect(sim: &SqlServerSim) -> Tiberius {
    let mut config = config(sim);
    config.database("shop");
    connect_with(config).await.unwrap()
}

async fn run(client: &mut Tiberius, sql: &str) -> tiberius::Result<()> {
    client.simple_query(sql).await?.into_results().await.map(drop)
}

/// The first value of the first row, as text.
async fn ask(client: &mut Tiberius, sql: &str) -> Option<String> {
    let sql = format!("SELECT CAST(({sql}) AS nvarchar(4000))");
    let row = client.simple_query(&sql).await.unwrap().into_row().await.unwrap().unwrap();
    row.get::<&str, _>(0).map(str::to_owned)
}

async fn count(client: &mut Tiberius, table: &str) -> String {
    ask(client, &format!("SELECT COUNT(*) FROM {table}")).await.unwrap()
}

async fn max_lsn(client: &mut Tiberius) -> Vec<u8> {
    let row = client.simple_query("SELECT sys.fn_cdc_get_max_lsn()").await.unwrap().into_row().await.unwrap().unwrap();
    row.get::<&[u8], _>(0).unwrap().to_vec()
}

#[tokio::test]
async fn scans_go_step_by_step() {
    let sim = shop();
    let mut client = connect(&sim).await;
    for id in 1..=3 {
        run(&mut client, &format!("INSERT INTO dbo.orders VALUES ({id}, N'a')")).await.unwrap();
    }
    let control = sim.control();
    assert_eq!(control.pending("shop").unwrap(), 3);
    assert_eq!(control.scan_cycle("shop", 2).unwrap(), Scan { transactions: 2, rows: 2 });
    assert_eq!(count(&mut client, "cdc.dbo_orders_CT").await, "2");
    assert_eq!(
        ask(&mut client, "SELECT log_reuse_wait_desc FROM sys.databases WHERE name = 'shop'").await.unwrap(),
        "REPLICATION"
    );
    assert_eq!(control.scan("shop").unwrap(), Scan { transactions: 1, rows: 1 });
    assert_eq!(
        ask(&mut client, "SELECT log_reuse_wait_desc FROM sys.databases WHERE name = 'shop'").await.unwrap(),
        "NOTHING"
    );
    assert_eq!(control.scan("nowhere").unwrap_err().number(), None);
    run(&mut client, "CREATE DATABASE plain").await.unwrap();
    assert_eq!(control.scan("plain").unwrap_err().number(), Some(22_901));
}

#[tokio::test]
async fn time_is_the_tests() {
    let sim = shop();
    let control = sim.control();
    let mut client = connect(&sim).await;
    let now = "SELECT CONVERT(varchar(19), SYSUTCDATETIME(), 126)";
    assert_eq!(ask(&mut client, now).await.unwrap(), "2026-01-01T00:00:00");
    control.advance_clock(Duration::from_secs(90));
    assert_eq!(ask(&mut client, now).await.unwrap(), "2026-01-01T00:01:30");
    run(&mut client, "INSERT INTO dbo.orders VALUES (1, N'a')").await.unwrap();
    control.scan("shop").unwrap();
    let time = "SELECT CONVERT(varchar(19), sys.fn_cdc_map_lsn_to_time(sys.fn_cdc_get_max_lsn()), 126)";
    assert_eq!(ask(&mut client, time).await.unwrap(), "2026-01-01T00:01:30");

    // Rows of idle time, at the interval that the test wants.
    let before = max_lsn(&mut client).await;
    control.scan("shop").unwrap();
    assert_eq!(max_lsn(&mut client).await, before);
    control.set_idle_interval(Duration::from_secs(10));
    control.advance_clock(Duration::from_secs(11));
    control.scan("shop").unwrap();
    assert!(max_lsn(&mut client).await > before);
    let idle =
        "SELECT COUNT(*) FROM cdc.lsn_time_mapping WHERE tran_id = 0x00 AND start_lsn = sys.fn_cdc_get_max_lsn()";
    assert_eq!(ask(&mut client, idle).await.unwrap(), "1");
}

#[tokio::test]
async fn cleanup_goes_by_retention_or_to_a_mark() {
    let sim = shop();
    let control = sim.control();
    let mut client = connect(&sim).await;
    let day = Duration::from_secs(86_400);
    for id in 1..=4 {
        run(&mut client, &format!("INSERT INTO dbo.orders VALUES ({id}, NULL)")).await.unwrap();
        control.advance_clock(day);
        control.scan("shop").unwrap();
    }
    control.clean_up("shop").unwrap();
    assert_eq!(count(&mut client, "cdc.dbo_orders_CT").await, "4", "within three days");
    control.advance_clock(day);
    run(&mut client, "INSERT INTO dbo.orders VALUES (5, NULL)").await.unwrap();
    control.scan("shop").unwrap();
    control.clean_up("shop").unwrap();
    let left = "SELECT STRING_AGG(CAST(id AS varchar(9)), ',') WITHIN GROUP (ORDER BY id) FROM cdc.dbo_orders_CT";
    assert_eq!(ask(&mut client, left).await.unwrap(), "3,4,5");
    let last: [u8; 10] = max_lsn(&mut client).await.try_into().unwrap();
    control.clean_up_below("shop", last).unwrap();
    assert_eq!(ask(&mut client, left).await.unwrap(), "5");
    let low = "SELECT CASE WHEN sys.fn_cdc_get_min_lsn('dbo_orders') = sys.fn_cdc_get_max_lsn() THEN 1 ELSE 0 END";
    assert_eq!(ask(&mut client, low).await.unwrap(), "1");
}

#[tokio::test]
async fn the_agent_stops_and_starts() {
    let sim = shop_on(Edition::Developer, Schedule::Every(Duration::from_millis(20)));
    let control = sim.control();
    let mut client = connect(&sim).await;
    let captured = async |client: &mut Tiberius, rows: &str| {
        let deadline = Instant::now() + PATIENCE;
        while count(client, "cdc.dbo_orders_CT").await != rows {
            assert!(Instant::now() < deadline, "not captured");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    run(&mut client, "INSERT INTO dbo.orders VALUES (1, NULL)").await.unwrap();
    captured(&mut client, "1").await;
    control.stop_agent();
    let agent = "SELECT status_desc FROM sys.dm_server_services WHERE servicename LIKE 'SQL Server Agent%'";
    assert_eq!(ask(&mut client, agent).await.unwrap(), "Stopped");
    run(&mut client, "INSERT INTO dbo.orders VALUES (2, NULL)").await.unwrap();
    // A scan that had begun may still end; none begins.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(count(&mut client, "cdc.dbo_orders_CT").await, "1");
    assert_eq!(control.pending("shop").unwrap(), 1);
    let refused = run(&mut client, "EXEC sys.sp_cdc_start_job 'capture'").await.unwrap_err();
    assert_eq!(refused.code(), Some(22_022));
    control.start_agent().unwrap();
    assert_eq!(ask(&mut client, agent).await.unwrap(), "Running");
    captured(&mut client, "2").await;
}

/// The newest database's number is the next one's after it is dropped.
#[tokio::test]
async fn a_database_in_a_dropped_ones_place_is_captured_from_the_start() {
    let sim = shop_on(Edition::Developer, Schedule::Every(Duration::from_millis(10)));
    sim.run_script("DROP DATABASE shop").unwrap();
    sim.run_script(SETUP).unwrap();
    let mut client = connect(&sim).await;
    run(&mut client, "INSERT INTO dbo.orders VALUES (1, N'a')").await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while count(&mut client, "cdc.dbo_orders_CT").await != "1" {
        assert!(Instant::now() < deadline, "nobody captures it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count(&mut client, "msdb.dbo.cdc_jobs").await, "2");
}

#[tokio::test]
async fn connections_are_killed_and_their_transactions_rolled_back() {
    let sim = shop();
    let control = sim.control();
    let (mut one, mut other) = (connect(&sim).await, connect(&sim).await);
    assert_eq!(control.connections(), 2);
    run(&mut one, "BEGIN TRANSACTION; INSERT INTO dbo.orders VALUES (1, NULL)").await.unwrap();
    let session: u32 = ask(&mut one, "SELECT @@SPID").await.unwrap().parse().unwrap();
    assert!(control.kill_connection(session));
    assert!(!control.kill_connection(session), "it is gone");
    run(&mut one, "SELECT 1").await.unwrap_err();
    assert_eq!(count(&mut other, "dbo.orders").await, "0", "and its lock is, too");
    assert_eq!(control.kill_connections(), 1);
    run(&mut other, "SELECT 1").await.unwrap_err();
    assert_eq!(control.connections(), 0);
    assert_eq!(count(&mut connect(&sim).await, "dbo.orders").await, "0");
}

#[tokio::test]
async fn requests_wait_as_long_as_the_test_wants() {
    let sim = shop();
    let mut client = connect(&sim).await;
    let latency = Duration::from_millis(300);
    sim.control().set_latency(latency);
    let begun = Instant::now();
    run(&mut client, "SELECT 1").await.unwrap();
    assert!(begun.elapsed() >= latency);
    sim.control().set_latency(Duration::ZERO);
    run(&mut client, "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_crash_loses_what_is_not_committed_and_no_more() {
    let sim = shop();
    let control = sim.control();
    let mut client = connect(&sim).await;
    run(&mut client, "INSERT INTO dbo.orders VALUES (1, NULL)").await.unwrap();
    run(&mut client, "BEGIN TRANSACTION; INSERT INTO dbo.orders VALUES (2, NULL)").await.unwrap();
    control.crash().unwrap();
    run(&mut client, "COMMIT").await.unwrap_err();
    let mut client = connect(&sim).await;
    assert_eq!(count(&mut client, "dbo.orders").await, "1");
    assert_eq!(count(&mut client, "sys.dm_cdc_log_scan_sessions").await, "0", "the views begin anew");
    control.scan("shop").unwrap();
    assert_eq!(count(&mut client, "cdc.dbo_orders_CT").await, "1", "the log is kept");
}

#[tokio::test]
async fn lsns_go_on_after_a_failover_and_capture_where_the_jobs_are() {
    let sim = shop_on(Edition::Developer, Schedule::ByHand);
    let control = sim.control();
    control.scan("shop").unwrap();
    let mut client = connect(&sim).await;
    run(&mut client, "INSERT INTO dbo.orders VALUES (1, NULL)").await.unwrap();
    control.scan("shop").unwrap();
    let before = max_lsn(&mut client).await;
    for has_jobs in [true, false] {
        control.fail_over(has_jobs).unwrap();
        run(&mut client, "SELECT 1").await.unwrap_err();
        client = connect(&sim).await;
        let jobs = "msdb.dbo.cdc_jobs WHERE database_id = DB_ID()";
        assert_eq!(count(&mut client, jobs).await, if has_jobs { "2" } else { "0" });
        assert_eq!(
            ask(&mut client, "SELECT is_tracked_by_cdc FROM sys.tables WHERE name = 'orders'").await.unwrap(),
            "1"
        );
    }
    run(&mut client, "INSERT INTO dbo.orders VALUES (2, NULL)").await.unwrap();
    run(&mut client, "EXEC sys.sp_cdc_add_job 'capture'").await.unwrap();
    control.scan("shop").unwrap();
    assert!(max_lsn(&mut client).await > before);
    assert_eq!(count(&mut client, "cdc.dbo_orders_CT").await, "2");
}

#[tokio::test]
async fn a_restore_takes_rows_and_lsns_back_and_another_server_loses_capture() {
    let sim = shop();
    let control = sim.control();
    let mut client = connect(&sim).await;
    run(&mut client, "INSERT INTO dbo.orders VALUES (1, NULL)").await.unwrap();
    control.scan("shop").unwrap();
    let backup = control.back_up("shop").unwrap();
    let then = max_lsn(&mut client).await;
    run(&mut client, "INSERT INTO dbo.orders VALUES (2, NULL)").await.unwrap();
    control.scan("shop").unwrap();
    let later = max_lsn(&mut client).await;
    assert!(then < later);

    control.restore("shop", &backup, Restore::SameServer).unwrap();
    run(&mut client, "SELECT 1").await.unwrap_err();
    client = connect(&sim).await;
    assert_eq!(max_lsn(&mut client).await, then);
    assert_eq!(count(&mut client, "dbo.orders").await, "1");
    assert_eq!(count(&mut client, "msdb.dbo.cdc_jobs").await, "2");
    run(&mut client, "INSERT INTO dbo.orders VALUES (3, NULL)").await.unwrap();
    control.scan("shop").unwrap();
    assert_eq!(max_lsn(&mut client).await, later, "the same place for something else");

    control.restore("shop", &backup, Restore::OtherServerKeepCdc).unwrap();
    client = connect(&sim).await;
    assert_eq!(count(&mut client, "cdc.dbo_orders_CT").await, "1");
    assert_eq!(count(&mut client, "msdb.dbo.cdc_jobs").await, "0");

    control.restore("shop", &backup, Restore::OtherServer).unwrap();
    client = connect(&sim).await;
    assert_eq!(ask(&mut client, "SELECT is_cdc_enabled FROM sys.databases WHERE name = 'shop'").await.unwrap(), "0");
    assert_eq!(ask(&mut client, "SELECT COUNT(*) FROM sys.schemas WHERE name = 'cdc'").await.unwrap(), "0");
    assert_eq!(count(&mut client, "dbo.orders").await, "1");

    // A backup goes to another server, too, where its rows are seen by snapshots as well.
    let other = shop();
    other.control().restore("shop", &backup, Restore::OtherServerKeepCdc).unwrap();
    let mut client = connect(&other).await;
    run(&mut client, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT").await.unwrap();
    assert_eq!(count(&mut client, "dbo.orders").await, "1");
    assert_eq!(max_lsn(&mut client).await, then);

    let express = SqlServerSim::start(&Options { edition: Edition::Express, ..Options::default() }).unwrap();
    express.run_script("CREATE DATABASE shop").unwrap();
    let refused = express.control().restore("shop", &backup, Restore::OtherServerKeepCdc).unwrap_err();
    assert_eq!(refused.number(), Some(934));
}

#[tokio::test]
async fn a_test_makes_capture_and_enabling_fail() {
    let sim = shop();
    let control = sim.control();
    let mut client = connect(&sim).await;
    let long = "INSERT INTO dbo.orders VALUES (1, REPLICATE(CAST(N'x' AS nvarchar(max)), 40000))";
    assert_eq!(run(&mut client, long).await.unwrap_err().code(), Some(7139));
    control.set_max_text_repl_size(None);
    run(&mut client, long).await.unwrap();

    run(&mut client, "CREATE TABLE dbo.t (id int PRIMARY KEY, path hierarchyid)").await.unwrap();
    let enable = "EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 't', @role_name = NULL";
    control.set_owner_missing("shop", true).unwrap();
    assert_eq!(run(&mut client, enable).await.unwrap_err().code(), Some(22_832));
    control.set_owner_missing("shop", false).unwrap();
    run(&mut client, enable).await.unwrap();
    run(&mut client, "INSERT INTO dbo.t VALUES (1, CAST(0x58 AS hierarchyid))").await.unwrap();
    control.set_clr_types_break(true);
    assert_eq!(control.scan("shop").unwrap_err().number(), Some(913));
    let told = "SELECT STRING_AGG(CAST(error_number AS varchar(9)), ',') FROM sys.dm_cdc_errors";
    assert_eq!(ask(&mut client, told).await.unwrap(), "913,22863,22859");
    let failed = "SELECT TOP 1 scan_phase FROM sys.dm_cdc_log_scan_sessions ORDER BY session_id DESC";
    assert_eq!(ask(&mut client, failed).await.unwrap(), "Aborted");
    control.set_clr_types_break(false);
    control.scan("shop").unwrap();

    control.set_published("shop", true).unwrap();
    assert_eq!(ask(&mut client, "SELECT is_published FROM sys.databases WHERE name = 'shop'").await.unwrap(), "1");
    assert_eq!(run(&mut client, "EXEC sys.sp_cdc_scan").await.unwrap_err().code(), Some(22_911));
    run(&mut client, "INSERT INTO dbo.t VALUES (2, NULL)").await.unwrap();
    assert_eq!(control.scan("shop").unwrap().rows, 1, "the log reader's doing");
}

#[tokio::test]
async fn unique_keys_may_be_updated_in_place() {
    let sim = shop();
    let mut client = connect(&sim).await;
    run(&mut client, "INSERT INTO dbo.orders VALUES (1, NULL)").await.unwrap();
    for on in [false, true] {
        sim.control().set_trace_flag_8207(on);
        run(&mut client, "UPDATE dbo.orders SET id = id + 1").await.unwrap();
    }
    sim.control().scan("shop").unwrap();
    let operations = "SELECT STRING_AGG(CAST(__$operation AS varchar(9)), ',') \
                      WITHIN GROUP (ORDER BY __$start_lsn, __$command_id, __$operation) FROM cdc.dbo_orders_CT";
    assert_eq!(ask(&mut client, operations).await.unwrap(), "2,1,2,3,4");
}

#[tokio::test]
async fn change_tables_of_old_servers_have_no_command_ids() {
    let sim = shop();
    let control = sim.control();
    control.set_command_ids(false);
    let mut client = connect(&sim).await;
    run(&mut client, "EXEC sys.sp_cdc_enable_table 'dbo', 'orders', 'old', @role_name = NULL").await.unwrap();
    run(&mut client, "INSERT INTO dbo.orders VALUES (1, NULL)").await.unwrap();
    control.scan("shop").unwrap();
    let columns = |table: &str| {
        format!("SELECT COUNT(*) FROM sys.columns WHERE object_id = OBJECT_ID('{table}') AND name = '__$command_id'")
    };
    assert_eq!(ask(&mut client, &columns("cdc.old_CT")).await.unwrap(), "0");
    assert_eq!(ask(&mut client, &columns("cdc.dbo_orders_CT")).await.unwrap(), "1");
    assert_eq!(count(&mut client, "cdc.old_CT").await, "1");
}

#[tokio::test]
async fn azure_scans_by_itself_and_has_no_agent() {
    let sim = shop_on(Edition::AzureSqlDatabase, Schedule::ByHand);
    let mut client = connect(&sim).await;
    assert_eq!(ask(&mut client, "SELECT SERVERPROPERTY('EngineEdition')").await.unwrap(), "5");
    let refused = run(&mut client, "SELECT * FROM sys.dm_server_services").await.unwrap_err();
    assert_eq!(refused.code(), Some(208));
    assert_eq!(count(&mut client, "cdc.cdc_jobs").await, "2");
}
