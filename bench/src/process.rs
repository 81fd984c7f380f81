//! Running a program to its end with a stop-watch and an eye on its memory.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::failure::Failure;

/// How often the kernel is asked for the peak.
const PEAK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct Line {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) directory: PathBuf,
}

pub(crate) struct Measured {
    pub(crate) took: Duration,
    /// The largest resident set, in bytes.
    pub(crate) peak_bytes: u64,
}

/// Runs a program; its output is read and thrown away, as writing it to a disk isn't what is measured.
pub(crate) async fn run(line: &Line) -> Result<Measured, Failure> {
    let name = line.program.display().to_string();
    let began = Instant::now();
    let mut child = Command::new(&line.program)
        .args(&line.arguments)
        .current_dir(&line.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Failure::own(format!("starting {name}")))?;
    let id = child.id();
    let mut stderr = child.stderr.take();
    let reading = tokio::spawn(async move {
        let mut text = Vec::new();
        if let Some(stderr) = &mut stderr {
            let _ = stderr.read_to_end(&mut text).await;
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut peak_bytes = 0;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(Failure::own(format!("waiting for {name}")))?,
            () = tokio::time::sleep(PEAK_INTERVAL) => peak_bytes = peak_bytes.max(id.and_then(peak).unwrap_or(0)),
        }
    };
    let took = began.elapsed();
    if !status.success() {
        let output = reading.await.unwrap_or_default();
        return Err(Failure::Program { program: name, outcome: status.to_string(), output });
    }
    Ok(Measured { took, peak_bytes })
}

/// The kernel's own maximum (`VmHWM`), which misses no short peak.
fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
