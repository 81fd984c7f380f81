//! One random life of a database and of the program that follows it.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::task::block_in_place;

use millstream_testkit::Server;

use super::comparison::{difference, dumped, expected};
use super::statements::{rows, schema_change, tables};
use crate::workspace::{Finished, Running, Workspace, wait_for};

/// Places where the program can be made to kill itself; the number says at which arrival.
const KILL_PLACES: &[&str] =
    &["before_commit", "after_commit", "mid_sweep", "mid_clear", "mid_publish", "mid_compaction"];

/// The file that `run` logs to, all runs one after another.
const LOG: &str = "run.log";

const SYNC_CONFIG: &str = r#"bucket_definitions:
  all:
    data:
      - SELECT * FROM "t%"
  by_a:
    parameters: SELECT a FROM t1 WHERE id = request.user_id()
    data:
      - SELECT id, a FROM t0 WHERE a = bucket.a
"#;

pub struct Life<'a> {
    server: &'a Server,
    database: String,
    random: StdRng,
    workspace: Workspace,
    running: Option<Run>,
    seed: u64,
    rows_compared: usize,
    /// What was executed, for the report of a failure.
    statements: Vec<String>,
}

/// A `millstream run` at work.
struct Run {
    process: Running,
    /// It may kill itself.
    armed: bool,
    /// Where its part of the log begins, in bytes.
    log_from: usize,
}

impl<'a> Life<'a> {
    pub async fn begin(server: &'a Server, seed: u64) -> Self {
        let database = server.create_database("oracle").await.expect("a database");
        let workspace = Workspace::new();
        let uri = server.uri("root", "", &database);
        let config =
            format!("sources:\n  - name: source\n    type: mysql\n    uri: {uri}\nsync_config: sync-config.yaml\n");
        workspace.write("millstream.yaml", &config);
        workspace.write("sync-config.yaml", SYNC_CONFIG);
        let mut life = Self {
            server,
            database,
            random: StdRng::seed_from_u64(seed),
            workspace,
            running: None,
            seed,
            rows_compared: 0,
            statements: Vec::new(),
        };
        life.execute(
            "CREATE TABLE t0 (id INT PRIMARY KEY, a INT, b VARCHAR(20)); \
             CREATE TABLE t1 (id INT PRIMARY KEY, a INT); \
             CREATE TABLE t2 (id INT, b VARCHAR(20)); \
             CREATE TABLE t3 (id INT, d DECIMAL(10,2), u VARCHAR(10) NOT NULL, UNIQUE KEY (id, u), PRIMARY KEY (id))",
        )
        .await;
        for _ in 0..20 {
            life.change_rows().await;
        }
        life
    }

    /// Lives, and tells how many rows it compared.
    pub async fn live(mut self, end: Instant) -> usize {
        let rounds = self.random.random_range(2..6);
        for round in 0..rounds {
            if round > 0 && Instant::now() > end {
                break;
            }
            self.round().await;
        }
        self.kill();
        self.execute(&format!("DROP DATABASE `{}`", self.database.clone())).await;
        self.rows_compared
    }

    async fn round(&mut self) {
        // What happens while the program is away must be found out afterwards.
        for _ in 0..self.random.random_range(0..8) {
            self.change_something().await;
        }
        if !self.is_running() {
            let place = KILL_PLACES.choose(&mut self.random).expect("not empty");
            let kill_at = format!("{place}:{}", self.random.random_range(1..30));
            let armed = self.random.random_bool(0.4);
            self.start(armed.then_some(kill_at.as_str()));
        }
        for _ in 0..self.random.random_range(5..50) {
            self.change_something().await;
            tokio::time::sleep(Duration::from_millis(self.random.random_range(0..60))).await;
            if self.random.random_bool(0.03) {
                self.kill();
                self.start(None);
            }
        }
        match self.random.random_range(0..4) {
            0 => self.kill(),
            1 if self.is_running() => self.stop(),
            _ => {}
        }
        self.compare().await;
    }

    /// Starts `millstream run`; `kill_at` names a place where it is to kill itself.
    fn start(&mut self, kill_at: Option<&str>) {
        let mut command = self.workspace.command(&["run"]);
        if let Some(place) = kill_at {
            command.env("MILLSTREAM_KILL_AT", place);
        }
        let log_from = self.log().len();
        let process = self.workspace.start_logging(command, LOG);
        self.running = Some(Run { process, armed: kill_at.is_some(), log_from });
    }

    fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|run| !run.process.has_ended())
    }

    /// Whether a run that was to kill itself at some place has come to it; a command may have been waiting for it.
    fn has_killed_itself(&mut self) -> bool {
        self.running.as_mut().is_some_and(|run| run.armed && run.process.has_ended())
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.running = None;
    }

    /// SIGINT, as Ctrl-C sends it; it must end by itself, and well.
    fn stop(&mut self) {
        let Some(mut run) = self.running.take() else { return };
        // Before it listens for the signal it would be killed by it; or go on, where whoever started the tests ignores
        // SIGINT, as shells let their background processes do.
        block_in_place(|| {
            wait_for("the program to follow, or to end", || {
                run.process.has_ended() || self.log().get(run.log_from..).is_some_and(|log| log.contains("following"))
            })
        });
        if run.process.has_ended() && run.armed {
            return;
        }
        run.process.signal("INT");
        let ended = block_in_place(|| run.process.wait());
        let killed_itself = run.armed && ended.code.is_none();
        assert!(
            killed_itself || ended.code == Some(0),
            "run, stopped by Ctrl-C: {:?}\n{}",
            ended.code,
            self.log_tail()
        );
    }

    /// Runs a command to its end.
    fn run(&self, arguments: &[&str]) -> Finished {
        block_in_place(|| self.workspace.run(arguments))
    }

    fn log(&self) -> String {
        if self.workspace.path(LOG).exists() { self.workspace.read(LOG) } else { String::new() }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Compares; only `run` begins a source, so that where it ended before it stored anything it is run once more.
    fn verify(&mut self) -> Finished {
        if !self.is_running() && !self.has_begun() {
            let filled = self.run(&["run", "--until-current"]);
            if filled.code != Some(0) {
                self.fail(&format!("run --until-current exits {:?}\n{}", filled.code, filled.stderr));
            }
        }
        self.run(&["verify", "--json"])
    }

    /// Whether anything of the source is stored.
    fn has_begun(&mut self) -> bool {
        let status = self.run(&["status", "--json"]);
        let Ok(status) = serde_json::from_str::<Value>(&status.stdout) else {
            self.fail(&format!("status exits {:?}\n{}", status.code, status.stderr))
        };
        !status["sources"][0]["position"].is_null()
    }

    async fn compare(&mut self) {
        let mut verified = self.verify();
        if verified.code == Some(2) && self.has_killed_itself() {
            verified = self.verify();
        }
        if verified.code != Some(0) {
            self.fail(&format!("verify exits {:?}\n{}\n{}", verified.code, verified.stdout, verified.stderr));
        }
        let dump = self.run(&["buckets", "dump", "all[]", "--json"]);
        if dump.code != Some(0) {
            self.fail(&format!("buckets dump exits {:?}\n{}", dump.code, dump.stderr));
        }
        let expected = expected(self.server, &self.database).await;
        if let Some(difference) = difference(&expected, &dumped(&dump.stdout)) {
            self.fail(&format!("verify says equal, but:\n{difference}"));
        }
        self.rows_compared += expected.len();
        if let Err(fault) = self.op_log() {
            self.fail(&format!("the op log: {fault}"));
        }
    }

    /// Every op once, in order, and the bucket's checksum the sum of theirs.
    fn op_log(&self) -> Result<(), String> {
        let ops = self.run(&["buckets", "dump", "all[]", "--ops", "--json"]);
        let buckets = self.run(&["buckets", "--json"]);
        let (mut last, mut sum) = (0, 0_u32);
        for line in ops.stdout.lines() {
            let op: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
            let id = op["op_id"].as_u64().ok_or_else(|| format!("no op id: {line}"))?;
            if id <= last {
                return Err(format!("op {id} follows op {last}"));
            }
            last = id;
            sum = sum.wrapping_add(op["checksum"].as_u64().unwrap_or_default() as u32);
        }
        let stored = buckets.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let stored = stored.into_iter().find(|bucket| bucket["bucket"] == "all[]");
        let checksum = stored.and_then(|bucket| bucket["checksum"].as_i64()).unwrap_or_default();
        // Written as signed or as unsigned, it is the same 32 bits.
        if checksum as u32 == sum { Ok(()) } else { Err(format!("checksum {checksum}, sum of the ops {sum}")) }
    }

    async fn change_something(&mut self) {
        if self.random.random_bool(0.25) {
            let tables = tables(self.server, &self.database).await;
            let statement = schema_change(&mut self.random, self.server.flavor(), &tables);
            self.execute(&statement).await;
        } else {
            self.change_rows().await;
        }
    }

    async fn change_rows(&mut self) {
        let tables = tables(self.server, &self.database).await;
        let statement = rows(&mut self.random, &tables);
        self.execute(&statement).await;
    }

    /// Refusals are outcomes: what counts is what the source holds afterwards.
    async fn execute(&mut self, statements: &str) {
        let outcome = self.server.sql_in(&self.database, statements).await;
        let note = match outcome {
            Ok(()) => String::new(),
            Err(error) => format!("   -- refused: {error}"),
        };
        self.statements.push(format!("{statements};{note}"));
    }

    fn fail(&mut self, what: &str) -> ! {
        let status = self.run(&["status"]);
        let kept = std::env::temp_dir().join(format!("millstream-oracle-{}", self.seed));
        let _ = std::fs::create_dir_all(&kept);
        let _ = std::fs::copy(self.workspace.path(LOG), kept.join("run.log"));
        let _ = std::fs::write(kept.join("statements.sql"), self.statements.join("\n"));
        self.kill();
        panic!(
            "seed {}: {what}\nstatus:\n{}{}\nlog and statements: {}\nlast statements:\n{}\nlog:\n{}",
            self.seed,
            status.stdout,
            status.stderr,
            kept.display(),
            self.statements.iter().rev().take(30).rev().cloned().collect::<Vec<_>>().join("\n"),
            self.log_tail()
        );
    }
}
