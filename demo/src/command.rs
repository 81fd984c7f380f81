//! Driving the `millstream` command, and looking at what it did.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_testkit::{Endpoint, Error};
use serde_json::Value;
use tokio::time::sleep;

use crate::Outcome;

/// How long anything here may take on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

/// The command, in a folder of its own. Dropping it kills the `run` in progress.
pub(crate) struct Millstream {
    program: PathBuf,
    folder: PathBuf,
    running: Option<Child>,
}

/// How everything stands.
pub(crate) struct Look {
    at: Instant,
    op_id: u64,
    rows: u64,
    /// How many lines the history has.
    changes: usize,
}

/// What a statement did to the buckets.
pub(crate) struct Happening {
    pub(crate) changes: Vec<Change>,
    pub(crate) ops_written: u64,
    pub(crate) rows_before: u64,
    pub(crate) rows_after: u64,
    pub(crate) milliseconds: u128,
}

/// A line of the history.
pub(crate) struct Change {
    pub(crate) table: String,
    pub(crate) change: String,
    pub(crate) effect: String,
    pub(crate) rows_read: u64,
}

impl Millstream {
    /// The program lies beside this one.
    pub(crate) fn new(folder: &Path) -> Outcome<Self> {
        let program = std::env::current_exe()?.with_file_name("millstream");
        if !program.exists() {
            return Err(format!("{} is missing: build it first, as `make run` does", program.display()).into());
        }
        Ok(Self { program, folder: folder.to_owned(), running: None })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(arguments).env_remove("MILLSTREAM_PASSWORD");
        command
    }

    /// Runs a command for the audience.
    pub(crate) fn show(&self, arguments: &[&str]) -> Outcome<()> {
        let status = self.command(arguments).status()?;
        if status.success() { Ok(()) } else { Err(format!("millstream {arguments:?} ended with {status}").into()) }
    }

    /// The lines that a command prints for programs.
    fn ask(&self, arguments: &[&str]) -> Outcome<Vec<Value>> {
        let output = self.command(&[arguments, &["--json"]].concat()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("millstream {arguments:?} ended with {}", output.status).into());
        }
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    /// Begins to follow. What it says goes into a file: the audience watches something else.
    pub(crate) fn start(&mut self) -> Outcome<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = self.command(&["run"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running = Some(command.spawn()?);
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("run.log")
    }

    /// Ends the `run` in progress as Ctrl-C does.
    pub(crate) fn stop(&mut self) -> Outcome<()> {
        let Some(mut child) = self.running.take() else { return Ok(()) };
        let asked = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
        let status = child.wait()?;
        if asked.success() && status.success() {
            Ok(())
        } else {
            Err(format!("millstream run ended with {status}").into())
        }
    }

    /// Ends the `run` in progress without a warning.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        if let Some(mut child) = self.running.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// How everything stands now.
    pub(crate) fn look(&self) -> Outcome<Look> {
        let status = self.ask(&["status"])?;
        let op_id = status.first().and_then(|status| status.pointer("/checkpoint/op_id")).and_then(Value::as_u64);
        let buckets = self.ask(&["buckets"])?;
        Ok(Look {
            at: Instant::now(),
            op_id: op_id.unwrap_or_default(),
            rows: buckets.iter().filter_map(|bucket| bucket.get("rows")?.as_u64()).sum(),
            changes: self.ask(&["schema", "--history"])?.len(),
        })
    }

    /// Lets something happen at the source and looks at what came of it.
    pub(crate) async fn observe(
        &mut self,
        server: &Endpoint,
        happens: impl Future<Output = Result<(), Error>>,
    ) -> Outcome<Happening> {
        let mut before = self.look()?;
        happens.await?;
        before.at = Instant::now();
        self.observe_from(before, server).await
    }

    /// What came of everything since an earlier look.
    pub(crate) async fn observe_from(&mut self, before: Look, server: &Endpoint) -> Outcome<Happening> {
        let at = self.wait_until_live(server).await?;
        let after = self.look()?;
        let history = self.ask(&["schema", "--history"])?;
        let text = |line: &Value, key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let changes = history.iter().skip(before.changes).map(|line| Change {
            table: text(line, "table"),
            change: text(line, "change"),
            effect: text(line, "effect"),
            rows_read: line.get("rows_read").and_then(Value::as_u64).unwrap_or_default(),
        });
        Ok(Happening {
            changes: changes.collect(),
            ops_written: after.op_id.saturating_sub(before.op_id),
            rows_before: before.rows,
            rows_after: after.rows,
            milliseconds: at.duration_since(before.at).as_millis(),
        })
    }

    /// Waits until the checkpoint contains what the server has committed, and every table is live. Gives the moment.
    pub(crate) async fn wait_until_live(&mut self, server: &Endpoint) -> Outcome<Instant> {
        let head = server.rows("SHOW BINARY LOG STATUS").await?;
        let head = head.first().and_then(|row| match &row[..] {
            [Some(file), Some(offset), ..] => Some((file.clone(), offset.parse::<u64>().ok()?)),
            _ => None,
        });
        let head = head.ok_or("the server doesn't tell where its log ends")?;
        self.wait_until("the buckets are up to date", |status, _| is_live_at(status, &head)).await
    }

    /// Waits until status and history say so. Gives the moment.
    pub(crate) async fn wait_until(
        &mut self,
        what: &str,
        is_so: impl Fn(&Value, &[Value]) -> bool,
    ) -> Outcome<Instant> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.running.as_mut().and_then(|child| child.try_wait().transpose()) {
                let log = std::fs::read_to_string(self.log())?;
                return Err(format!("millstream run ended by itself with {}:\n{log}", status?).into());
            }
            let status = self.ask(&["status"])?;
            let history = self.ask(&["schema", "--history"])?;
            if status.first().is_some_and(|status| is_so(status, &history)) {
                return Ok(Instant::now());
            }
            if Instant::now() > deadline {
                return Err(format!("not after {} s: {what}", PATIENCE.as_secs()).into());
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for Millstream {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.kill();
    }
}

/// Whether every table is live.
pub(crate) fn is_live(status: &Value) -> bool {
    let tables = status.pointer("/sources/0/tables").and_then(Value::as_array);
    tables.is_some_and(|tables| {
        !tables.is_empty() && tables.iter().all(|table| table.get("state").and_then(Value::as_str) == Some("live"))
    })
}

fn is_live_at(status: &Value, head: &(String, u64)) -> bool {
    let reached = status.pointer("/checkpoint/position").and_then(Value::as_str).and_then(file_and_offset);
    is_live(status) && reached.is_some_and(|reached| reached >= *head)
}

/// The beginning of a position: `binlog.000002:1547`.
fn file_and_offset(position: &str) -> Option<(String, u64)> {
    let (file, offset) = position.split_whitespace().next()?.rsplit_once(':')?;
    Some((file.to_owned(), offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_compared_with_the_servers_head() {
        assert_eq!(file_and_offset("binlog.000002:1547 server=a gtid=b:1-2"), Some(("binlog.000002".into(), 1547)));
        let status = |state: &str| serde_json::json!({"sources": [{"tables": [{"state": state}]}], "checkpoint": {"position": "b.01:20"}});
        assert!(is_live_at(&status("live"), &("b.01".into(), 20)));
        assert!(!is_live_at(&status("live"), &("b.01".into(), 21)));
        assert!(!is_live_at(&status("reconciling"), &("b.01".into(), 20)));
    }
}
