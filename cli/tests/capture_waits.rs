//! What commands do while the capture of a SQL Server's changes keeps them waiting.

use serde_json::Value;

use millstream_sqlserver_sim::Schedule;

use crate::sqlserver_shop::SqlServerShop;
use crate::workspace::{Running, wait_for};

const TABLE: &str = "CREATE TABLE dbo.t (id int PRIMARY KEY, a int); INSERT INTO dbo.t VALUES (1, 10), (2, 20)";
/// By the server's clock; a job that scans every five seconds by default is late by then.
const LATE: std::time::Duration = std::time::Duration::from_secs(60);

impl SqlServerShop {
    /// Starts a command whose output can be read while it runs.
    fn start(&self, arguments: &[&str], log: &str) -> Running {
        self.workspace.start_logging(self.workspace.command(arguments), log)
    }

    /// Waits until a command has said something.
    fn wait_until_said(&self, log: &str, text: &str) {
        wait_for(&format!("{text} in {log}"), || {
            self.workspace.path(log).exists() && self.workspace.read(log).contains(text)
        });
    }

    fn source(&self) -> Value {
        self.workspace.json(&["status"])[0]["sources"][0].clone()
    }

    /// What is said of the table: its state, and the reason.
    fn table(&self) -> (String, String) {
        let table = &self.source()["tables"][0];
        let text = |key: &str| table[key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("reason"))
    }

    fn ids(&self) -> Vec<String> {
        self.workspace.rows().into_iter().map(|(id, _)| id).collect()
    }
}

#[test]
fn a_capture_job_that_stands_still_is_told_by_whoever_waits_for_it() {
    let shop = SqlServerShop::with_job(TABLE, "");
    shop.workspace.run(&["run", "--until-current"]).good();
    shop.sim.control().stop_agent();
    shop.sql("INSERT INTO dbo.t VALUES (3, 30)");
    shop.sim.control().advance_clock(LATE);

    let mut until_current = shop.start(&["run", "--until-current"], "until-current.log");
    shop.wait_until_said("until-current.log", "the capture job stands still");
    shop.wait_until_said("until-current.log", "sp_cdc_start_job");
    assert!(!until_current.has_ended(), "the row isn't there");
    shop.sim.control().start_agent().unwrap();
    assert_eq!(until_current.wait().code, Some(0));
    assert_eq!(shop.ids(), ["t/1", "t/2", "t/3"]);

    let running = shop.workspace.follow();
    shop.workspace.run(&["verify"]).good();
    shop.sim.control().stop_agent();
    shop.sql("DELETE FROM dbo.t WHERE id = 1");
    shop.sim.control().advance_clock(LATE);
    let mut verify = shop.start(&["verify"], "verify.log");
    shop.wait_until_said("verify.log", "the capture job stands still");
    assert!(!verify.has_ended(), "it doesn't compare what hasn't arrived");
    let source = shop.source();
    assert!(source["reason"].as_str().unwrap_or_default().contains("stands still"), "{source}");
    assert_eq!(shop.table().0, "live");
    shop.sim.control().start_agent().unwrap();
    assert_eq!(verify.wait().code, Some(0));
    assert_eq!(shop.ids(), ["t/2", "t/3"]);
    wait_for("the standstill to be over", || shop.source()["reason"].is_null());
    running.signal("TERM");
    running.wait().good();
}

#[test]
fn a_table_that_waits_for_its_second_instance_is_held_and_waited_for() {
    let shop = SqlServerShop::new(Schedule::ByHand, TABLE, "    capture_instances: auto\n");
    let scan = || drop(shop.sim.control().scan("shop"));
    let scan_until_it_ends = |mut command: Running| {
        wait_for("the command to end", || {
            scan();
            command.has_ended()
        });
        assert_eq!(command.wait().code, Some(0));
    };
    scan_until_it_ends(shop.start(&["run", "--until-current"], "first.log"));

    let running = shop.workspace.follow();
    shop.sql("ALTER TABLE dbo.t ADD b int NULL");
    shop.sql("UPDATE dbo.t SET b = 7 WHERE id = 1");
    scan();
    wait_for("the table to be held", || shop.table().0 == "held");
    let (_, reason) = shop.table();
    assert!(reason.contains("doesn't capture b") || reason.contains("instance isn't ready"), "{reason}");
    assert_eq!(shop.ids(), ["t/1", "t/2"], "what is there stays");
    // Nobody scans the log, so nothing takes over.
    let mut verify = shop.start(&["verify"], "verify.log");
    shop.wait_until_said("verify.log", "waiting for");
    assert!(!verify.has_ended());
    running.signal("TERM");
    running.wait().good();
    assert_ne!(verify.wait().code, Some(0), "nothing was compared");

    let mut until_current = shop.start(&["run", "--until-current"], "until-current.log");
    shop.wait_until_said("until-current.log", "waiting for");
    assert!(!until_current.has_ended());
    scan_until_it_ends(until_current);
    assert_eq!(shop.table(), ("live".to_owned(), String::new()));
    assert_eq!(shop.workspace.rows()[0].1["b"], 7);
}

#[test]
fn a_table_with_two_instances_of_others_goes_on_and_says_what_it_lacks() {
    let shop = SqlServerShop::with_job(TABLE, "");
    shop.capture("others");
    shop.workspace.run(&["run", "--until-current"]).good();
    shop.sql("ALTER TABLE dbo.t ADD b int NULL");
    shop.sql("UPDATE dbo.t SET a = 11, b = 7 WHERE id = 1");
    let running = shop.workspace.follow();
    wait_for("what is left out to be told", || !shop.table().1.is_empty());
    let (state, reason) = shop.table();
    assert_eq!(state, "live");
    assert!(reason.contains("doesn't capture b") && reason.contains("two instances"), "{reason}");
    let verified = shop.workspace.run(&["verify"]);
    assert!(verified.stderr.contains("doesn't capture b"), "{}", verified.stderr);
    verified.good();
    let row = shop.workspace.rows()[0].1.clone();
    assert_eq!((&row["a"], &row["b"]), (&Value::from(11), &Value::Null));

    // What `check` says makes room, and then the instance.
    let found = shop.workspace.run(&["check", "--json"]).lines_json().remove(0);
    shop.sql(&statement_in(&found).unwrap_or_else(|| panic!("{found:#}")));
    wait_for("b to be there", || shop.workspace.rows()[0].1["b"] == 7);
    shop.workspace.run(&["verify"]).good();
    assert_eq!(shop.table(), ("live".to_owned(), String::new()));
    running.signal("TERM");
    running.wait().good();
}

/// The statement that a problem of the table is mended with.
fn statement_in(found: &Value) -> Option<String> {
    let of_table = found["problems"].as_array()?.iter().filter(|problem| problem["subject"] == "table dbo.t");
    let mut remedies = of_table.filter_map(|problem| problem["remedy"].as_str());
    remedies.find(|remedy| remedy.contains("EXEC sys.sp_cdc_")).map(str::to_owned)
}
