//! Running a program to its end with a stop-watch and an eye on its memory.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::failure::Failure;

/// How often the kernel is asked for what a process has taken.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct Line {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) directory: PathBuf,
}

/// The bound on the program's memory, in MiB.
const MEMORY_MIB_MAX: u64 = 256;
/// The kernel counts CPU time in these.
const TICK: Duration = Duration::from_millis(10);

pub(crate) struct Measured {
    pub(crate) took: Duration,
    /// How long it was running on a core.
    pub(crate) cpu_time: Duration,
    /// The largest resident set, in MiB.
    peak_mib: u64,
}

impl Measured {
    /// What it took of the memory that it may take.
    pub(crate) fn weight(&self) -> String {
        let Self { peak_mib, .. } = self;
        let verdict = if *peak_mib > MEMORY_MIB_MAX { ", above the bound" } else { "" };
        format!("peak {peak_mib} MiB of {MEMORY_MIB_MAX} MiB{verdict}")
    }

    /// The same, and how much of its time went into starting up, which is told by a run that does nothing else.
    pub(crate) fn weight_beside(&self, idle: &Measured) -> String {
        let (took, starting) = (self.took.as_secs_f64(), idle.took.as_secs_f64());
        format!("{}; of the {took:.2} s, starting up takes about {starting:.2} s", self.weight())
    }
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
    let (mut peak_mib, mut cpu) = (0, Duration::ZERO);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(Failure::own(format!("waiting for {name}")))?,
            () = tokio::time::sleep(LOOK_INTERVAL) => {
                // Nothing more is told of a process that has just ended.
                peak_mib = peak_mib.max(id.and_then(resident_mib_max).unwrap_or(0));
                cpu = cpu.max(id.map(cpu_time).unwrap_or_default());
            }
        }
    };
    let took = began.elapsed();
    if !status.success() {
        let output = reading.await.unwrap_or_default();
        return Err(Failure::Program { program: name, outcome: status.to_string(), output });
    }
    Ok(Measured { took, cpu_time: cpu, peak_mib })
}

/// The kernel's own maximum (`VmHWM`), which misses no short peak.
fn resident_mib_max(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// How long a process has been running on a core since it started.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let fields = std::fs::read_to_string(format!("/proc/{process}/stat")).ok();
    // User and system time are the 12th and 13th field behind the name, which ends with the last bracket.
    let ticks = fields.as_deref().and_then(|fields| fields.rsplit_once(')')).map(|(_, fields)| {
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum::<u32>()
    });
    TICK * ticks.unwrap_or_default()
}
