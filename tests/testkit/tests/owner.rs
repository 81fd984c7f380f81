//! A server ends with the process that started it, however that ends.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_testkit::{Flavor, require_server};

const GONE_WITHIN: Duration = Duration::from_secs(10);

struct Holder {
    process: Child,
    /// Kept open, as the program goes on writing.
    _output: Lines<BufReader<ChildStdout>>,
    server: PathBuf,
    data: PathBuf,
}

/// Runs the test kit's own program, which starts a server and waits.
fn hold_a_server(flavor: Flavor) -> Holder {
    let mut process = Command::new(env!("CARGO_BIN_EXE_millstream-testkit"))
        .args([flavor.name(), "max_connections=20"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut field = |name: &str| loop {
        let line = lines.next().expect("the program ended").unwrap();
        if let Some(value) = line.strip_prefix(name) {
            return value.trim().to_owned();
        }
    };
    let data = PathBuf::from(field("data"));
    let server = Path::new("/proc").join(field("process"));
    assert!(server.exists() && data.exists());
    Holder { process, _output: lines, server, data }
}

fn assert_gone(holder: &Holder) {
    let deadline = Instant::now() + GONE_WITHIN;
    let dir = holder.data.parent().unwrap();
    while running(&holder.server) || dir.exists() {
        assert!(Instant::now() < deadline, "still there: {} or {}", holder.server.display(), dir.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A killed process stays in /proc until it is waited for.
fn running(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_server_dies_with_a_killed_owner() {
    require_server!(Flavor::MariaDb);
    let mut holder = hold_a_server(Flavor::MariaDb);
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
    assert_gone(&holder);
}

#[test]
fn a_server_dies_with_an_interrupted_owner() {
    require_server!(Flavor::MySql);
    let mut holder = hold_a_server(Flavor::MySql);
    // The shell's own `kill`: small machines lack the program.
    let interrupt = format!("kill -INT {}", holder.process.id());
    let interrupt = Command::new("sh").args(["-c", &interrupt]).status().unwrap();
    assert!(interrupt.success());
    assert!(holder.process.wait().unwrap().success());
    assert_gone(&holder);
}
