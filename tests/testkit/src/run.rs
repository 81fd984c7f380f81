//! What the tests of one run share.
//!
//! A test runner may give each test a process of its own (cargo-nextest) or run the tests of one binary as threads
//! (`cargo test`). What is shared belongs to the test run, that is to the runner's process in the first case and to the
//! test binary's in the second.

use std::env;
use std::fs::{self, File};
#[cfg(feature = "servers")]
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process;

use tokio::task::spawn_blocking;

use crate::error::{Error, io};

/// The runner sets it to a name of its run, the same in every test process.
const RUN_VARIABLE: &str = "NEXTEST_RUN_ID";

/// A server that the tests of this run share. While one test holds it, the others wait: the first starts the server and
/// notes its port, and the others find that.
pub(crate) struct Held {
    /// The folder for the server's files; it may not be there yet.
    pub(crate) dir: PathBuf,
    _lock: File,
}

/// The process that decides over the life of what is shared.
#[cfg(feature = "servers")]
pub(crate) fn owner() -> u32 {
    if env::var_os(RUN_VARIABLE).is_some() { parent_id() } else { process::id() }
}

impl Held {
    /// Waits until no other test holds the server of this name.
    pub(crate) async fn take(name: &str) -> Result<Self, Error> {
        let run = env::var(RUN_VARIABLE).unwrap_or_else(|_| process::id().to_string());
        let run_dir = env::temp_dir().join(format!("millstream-shared-{run}"));
        let dir = run_dir.join(name);
        let lock_path = run_dir.join(format!("{name}.lock"));
        let lock = spawn_blocking(move || {
            fs::create_dir_all(&run_dir).map_err(io("create", run_dir))?;
            let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
            lock.lock().map_err(io("lock", &lock_path))?;
            Ok::<_, Error>(lock)
        });
        Ok(Self { dir, _lock: lock.await?? })
    }

    /// The port that was noted, if the server has been started.
    pub(crate) fn port(&self) -> Option<u16> {
        fs::read_to_string(self.port_file()).ok()?.trim().parse().ok()
    }

    /// Notes the port of the server, by which the others find it.
    pub(crate) fn note_port(&self, port: u16) -> Result<(), Error> {
        fs::create_dir_all(&self.dir).map_err(io("create", &self.dir))?;
        fs::write(self.port_file(), port.to_string()).map_err(io("write", self.port_file()))
    }

    fn port_file(&self) -> PathBuf {
        self.dir.join("port")
    }
}
