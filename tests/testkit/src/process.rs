//! One run of a server under its supervisor, `servers/supervise.sh`.
//!
//! Everything here blocks and is called on tokio's blocking threads, or in `drop`. It is on `std::process` because a
//! process of tokio is tied to the runtime that started it, and each test has a runtime of its own.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, io};

const SUPERVISOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/servers/supervise.sh");
const EXIT_POLL: Duration = Duration::from_millis(5);

/// Who keeps the server alive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// The `Process` value: the server ends with it.
    Value,
    /// Another process, by its id: the server outlives the value and ends with that process.
    ProcessId(u32),
}

/// A server's process and its supervisor.
#[derive(Debug)]
pub(crate) struct Process {
    supervisor: Child,
    /// Signals to pass on. Closing it is what kills an owned server.
    orders: Option<ChildStdin>,
    dir: PathBuf,
}

impl Process {
    pub(crate) fn spawn(dir: &Path, owner: Owner, program: &Path, arguments: &[String]) -> Result<Self, Error> {
        let mut command = Command::new("/bin/sh");
        command.arg(SUPERVISOR).arg(dir);
        match owner {
            Owner::Value => command.arg("pipe").stdin(Stdio::piped()),
            Owner::ProcessId(id) => command.arg(id.to_string()).stdin(Stdio::null()),
        };
        // Its own process group: a Ctrl-C at the terminal must reach the tests, and the supervisor must live on to
        // clean up after them. Its output would otherwise keep the test runner waiting for the end of ours.
        command.arg(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut supervisor = command.spawn().map_err(io("run", "/bin/sh"))?;
        let orders = supervisor.stdin.take();
        Ok(Self { supervisor, orders, dir: dir.to_owned() })
    }

    /// The exit code, if the server has ended. A server that was killed by a signal has 128 plus the signal's number.
    pub(crate) fn exit_code(&mut self) -> Result<Option<i32>, Error> {
        let status = self.supervisor.try_wait().map_err(io("wait for the server in", &self.dir))?;
        Ok(status.map(|status| status.code().unwrap_or(-1)))
    }

    /// Passes a signal on to the server, by its name without SIG.
    pub(crate) fn signal(&mut self, name: &str) -> Result<(), Error> {
        match &mut self.orders {
            Some(orders) => {
                writeln!(orders, "{name}").and_then(|()| orders.flush()).map_err(io("signal the server in", &self.dir))
            }
            None => Ok(()),
        }
    }

    /// Waits for the server to end; says whether it did.
    pub(crate) fn wait(&mut self, at_most: Duration) -> Result<bool, Error> {
        let deadline = Instant::now() + at_most;
        while self.exit_code()?.is_none() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(EXIT_POLL);
        }
        Ok(true)
    }

    /// Lets go of the server, which its supervisor then kills, and whose data it removes.
    pub(crate) fn abandon(&mut self, at_most: Duration) {
        if self.orders.take().is_some() {
            // Only a courtesy to what follows, so that it finds the machine free; the supervisor works on regardless.
            let _ended = self.wait(at_most);
        }
    }

    /// The server's own process id, once the supervisor has written it.
    pub(crate) fn server_id(&self) -> Option<u32> {
        std::fs::read_to_string(self.dir.join("server.pid")).ok()?.trim().parse().ok()
    }
}
