//! The real program, run as a user runs it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// How long any command may take before it counts as hanging.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// A directory with a configuration, and the program on it.
pub struct Program {
    directory: PathBuf,
    running: Option<Child>,
}

/// What a finished command left.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), running: None }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.args(arguments).current_dir(&self.directory).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// The file that `run` logs to, all runs one after another.
    pub fn log(&self) -> PathBuf {
        self.directory.join("run.log")
    }

    /// Starts `millstream run`; `kill_at` names a place where it is to kill itself.
    pub fn start(&mut self, kill_at: Option<&str>) {
        let open = || OpenOptions::new().create(true).append(true).open(self.log()).expect("the log opens");
        let mut command = self.command(&["run"]);
        command.stdout(open()).stderr(open());
        if let Some(place) = kill_at {
            command.env("MILLSTREAM_KILL_AT", place);
        }
        self.running = Some(command.spawn().expect("the program starts"));
    }

    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill().await;
        }
    }

    /// SIGINT, as Ctrl-C sends it; it must end by itself, and well.
    pub async fn stop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        let Some(id) = child.id() else { return };
        let sent = Command::new("kill").args(["-INT", &id.to_string()]).status().await.expect("kill runs");
        assert!(sent.success(), "the program was gone before it was asked to stop:\n{}", self.log_tail());
        let ended = tokio::time::timeout(COMMAND_TIMEOUT, child.wait()).await.expect("it stops").expect("it ends");
        assert_eq!(ended.code(), Some(0), "run, stopped by Ctrl-C:\n{}", self.log_tail());
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        let output = tokio::time::timeout(COMMAND_TIMEOUT, self.command(arguments).output()).await;
        let output = output
            .unwrap_or_else(|_| panic!("{arguments:?} takes longer than {COMMAND_TIMEOUT:?}:\n{}", self.log_tail()))
            .expect("the program runs");
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}
