//! A folder to run `millstream` in.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use millstream_testkit::Endpoint;
use serde_json::Value;
use tempfile::TempDir;

/// No command of these tests takes longer, however busy the machine.
const COMMAND_WAIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

pub struct Workspace {
    folder: TempDir,
}

/// How a command ended.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A command at work. Dropping it kills it.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Workspace {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// One with the files that `init` writes for a database.
    pub async fn on(endpoint: &Endpoint, database: &str) -> Self {
        let workspace = Self::new();
        let user = format!("ms_{database}");
        endpoint.create_replication_user(&user, "secret").await.unwrap();
        workspace.run(&["init", &endpoint.uri(&user, "secret", database)]).good();
        workspace
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.current_dir(self.folder.path()).args(arguments).env_remove("MILLSTREAM_PASSWORD");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).wait()
    }

    /// Starts a command whose output goes to the end of a file, that of several one after another.
    pub fn start_logging(&self, mut command: Command, log: &str) -> Running {
        let open = || OpenOptions::new().create(true).append(true).open(self.path(log)).unwrap();
        let child = command.stdin(Stdio::null()).stdout(open()).stderr(open()).spawn().unwrap();
        Running { child, stdout: None, stderr: None }
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::spawn(self.command(arguments))
    }

    /// The lines that a command prints, as JSON.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let finished = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        finished.lines_json()
    }

    /// The live rows of all buckets, by type and id.
    pub fn rows(&self) -> Vec<(String, Value)> {
        let rows = self.json(&["buckets", "dump"]);
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let mut rows: Vec<(String, Value)> = rows
            .iter()
            .map(|row| (format!("{}/{}", text(row, "type"), text(row, "id")), row["data"].clone()))
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows
    }

    /// Starts `run` and waits until it answers commands.
    pub fn follow(&self) -> Running {
        let running = self.start(&["run"]);
        wait_for("the control socket", || self.path("millstream-data/control.sock").exists());
        running
    }
}

impl Finished {
    /// The output of a command that must have ended well.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What a command that must have failed said.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        format!("{}{}", self.stdout, self.stderr)
    }

    pub fn lines_json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }
}

impl Running {
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self { child, stdout, stderr }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn wait(mut self) -> Finished {
        let status = self.wait_for_exit();
        Finished { code: status.code(), stdout: said(&mut self.stdout), stderr: said(&mut self.stderr) }
    }

    /// The most memory that the process has had so far, in MiB.
    pub fn peak_mib(&self) -> u64 {
        peak_mib(self.child.id())
    }

    /// Waits as well, and tells the most memory that the process was seen to have, in MiB.
    pub fn wait_and_weigh(mut self) -> (Finished, u64) {
        let deadline = Instant::now() + COMMAND_WAIT;
        let mut peak = 0;
        while !self.has_ended() && Instant::now() < deadline {
            peak = peak.max(self.peak_mib());
            sleep(Duration::from_millis(5));
        }
        (self.wait(), peak)
    }

    fn wait_for_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + COMMAND_WAIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                // Where it hangs, for whoever looks into it: no process is asked twice.
                let threads = thread_states(self.child.id());
                self.child.kill().unwrap();
                let said = said(&mut self.stderr);
                panic!("the command didn't end within {COMMAND_WAIT:?}; its threads:\n{threads}\nit said:\n{said}");
            }
            sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What was collected; nothing of a command that wrote to a file.
fn said(collected: &mut Option<JoinHandle<String>>) -> String {
    collected.take().map(|handle| handle.join().unwrap()).unwrap_or_default()
}

/// The most memory that a process has had so far, in MiB; 0 once it has ended.
fn peak_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or(0, |peak| peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024)
}

/// The name, state and kernel function of each thread of a process.
fn thread_states(process: u32) -> String {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return "unknown".to_owned() };
    let of = |folder: &Path, file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_owned();
    let lines = tasks.flatten().map(|task| {
        let folder = task.path();
        let status = of(&folder, "status");
        let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or_default().to_owned();
        format!("{} {state} {}", of(&folder, "comm"), of(&folder, "wchan"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has been read as far as it goes.
        let _read = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits until something is so.
#[track_caller]
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + COMMAND_WAIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(POLL);
    }
}

/// How many files of a folder and below hold a text.
pub fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if path.is_file() && fs::read(&path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}
