//! A simulated SQL Server with change data capture, for the tests of programs that follow one.
//!
//! It speaks TDS 7.4, so any client can talk to it, and runs T-SQL on an engine of its own.

mod catalog;
mod cdc;
mod control;
mod engine;
mod error;
mod script;
mod server;
mod storage;
mod tds;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use storage::{Clock, Storage, StorageOptions};

pub use control::{Control, ControlError, DatabaseBackup, Restore, Scan, Schedule};
pub use script::ScriptError;
pub use server::{EncryptionPolicy, StartError};
pub use storage::Edition;

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 for any that is free.
    pub listen: SocketAddr,
    /// What it calls itself: `@@SERVERNAME`, and the server in every message.
    pub server_name: String,
    /// The password of `sa`.
    pub password: String,
    /// An access token of Microsoft Entra by which clients log in as `sa`, too.
    pub access_token: Option<String>,
    /// Whether connections are encrypted.
    pub encryption: EncryptionPolicy,
    /// Which kind of server it takes itself for.
    pub edition: Edition,
    /// When changes are captured.
    pub schedule: Schedule,
    /// A clock that stands at this time since 1970 until [`Control::advance_clock`] moves it; None for the machine's.
    pub clock: Option<Duration>,
}

impl Default for Options {
    /// A free port of the loopback address, encryption where the client wants it, and everything else as on a real
    /// server that was just installed.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            server_name: "SQLSERVER-SIM".to_owned(),
            password: "Simulated-1433".to_owned(),
            access_token: None,
            encryption: EncryptionPolicy::default(),
            edition: Edition::default(),
            schedule: Schedule::default(),
            clock: None,
        }
    }
}

/// A running server. Dropping it ends its connections, and all that it holds is gone.
pub struct SqlServerSim {
    // Ends first, so that no job runs in a server that is ending.
    _agent: Option<cdc::agent::Agent>,
    control: Control,
    server: server::Server,
}

impl SqlServerSim {
    /// Starts a server of its own; a process may have many.
    ///
    /// # Errors
    /// Where it can't listen, or has no threads or random numbers.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let storage = Storage::new(StorageOptions {
            server_name: options.server_name.clone(),
            sa_password: options.password.clone(),
            edition: options.edition,
            clock: options.clock.map_or_else(Clock::real, Clock::manual),
        });
        let server = server::Server::start(options, Arc::clone(&storage))?;
        let control = Control::new(storage, Arc::clone(server.connections()));
        let agent = control.start_schedule(options.schedule).map_err(StartError::Threads)?;
        Ok(Self { _agent: agent, control, server })
    }

    /// What a test drives. Clones outlive the server, but then do nothing that anybody sees.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Runs a script as `sa`, without a client; lines of `GO` part its batches.
    ///
    /// # Errors
    /// The first error of a statement, which ends the script.
    pub fn run_script(&self, script: &str) -> Result<(), ScriptError> {
        self.server.run_script(script)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The authority that signed its certificate, in PEM, for clients that check it. The certificate is good for
    /// `localhost` and the loopback addresses.
    pub fn authority_pem(&self) -> &str {
        self.server.authority_pem()
    }
}
