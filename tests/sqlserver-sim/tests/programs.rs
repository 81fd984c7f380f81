//! Clients that are programs of their own: where they are, and how they are run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use millstream_sqlserver_sim::{Options, SqlServerSim};

/// Gets a program; a test that can't have it is recorded as skipped, with the reason.
pub fn get(script: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    let output = Command::new(&script).stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        millstream_testkit::skip(errors.lines().last().unwrap_or("its client can't be had"));
        return None;
    }
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()))
}

/// Runs a Python script with the server's port and password as arguments, and gives what it prints.
pub fn python(python: &Path, sim: &SqlServerSim, script: &str) -> String {
    let port = sim.address().port().to_string();
    let output = Command::new(python)
        .args(["-c", script, &port, &Options::default().password])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{errors}");
    out.into_owned()
}

/// Feeds batches to tsql, and gives what it prints without prompts, rows first and then messages.
pub fn tsql(tsql: &Path, sim: &SqlServerSim, batches: &str) -> String {
    let mut command = Command::new(tsql);
    command.stderr(Stdio::piped());
    let (out, errors) = fed(command, sim, batches);
    format!("{out}{errors}")
}

/// Feeds batches to tsql, and gives its rows and messages in the order in which they came.
pub fn tsql_in_order(tsql: &Path, sim: &SqlServerSim, batches: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", "exec stdbuf -oL \"$0\" \"$@\" 2>&1"]).arg(tsql);
    fed(command, sim, batches).0
}

fn fed(mut command: Command, sim: &SqlServerSim, batches: &str) -> (String, String) {
    use std::io::Write;
    let port = sim.address().port().to_string();
    let mut child = command
        .args(["-o", "fhq", "-H", "127.0.0.1", "-p", &port, "-U", "sa", "-P", &Options::default().password])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // What it prints is read at the same time, so that neither waits for the other.
    let script = format!("{batches}\nEXIT\n");
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{errors}");
    (out.into_owned(), errors.into_owned())
}
