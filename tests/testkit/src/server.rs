//! A server of a test's own.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::container::{Container, containers_are_wanted};
use crate::endpoint::Endpoint;
use crate::error::{Error, io};
use crate::options::ServerOptions;
use crate::port::{free_port, random};
use crate::prefix::{Flavor, Prefix, copy_folder, remove_folder, tail};
use crate::process::{Owner, Process};
use crate::tls;

const START_TIMEOUT: Duration = Duration::from_secs(90);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
const KILL_TIMEOUT: Duration = Duration::from_secs(15);
const READY_POLL: Duration = Duration::from_millis(20);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Another process may take a port between our look at it and the server's start.
const START_ATTEMPTS: u32 = 5;
const SERVER_ID_MIN: u32 = 100_000;
/// The size of `sun_path`, less the closing zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A running server with a data directory of its own. Dropping it kills the server and removes the data.
///
/// It dereferences to its [`Endpoint`], which can be cloned for use in other tasks.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    options: ServerOptions,
    server_id: u32,
    /// Its programs and its folder; `None` for a server in a container.
    home: Option<Home>,
    container: Option<Container>,
    process: Option<Process>,
    /// Given away: another process's life decides over this server now.
    released: bool,
}

#[derive(Debug)]
struct Home {
    prefix: Prefix,
    dir: PathBuf,
}

impl Deref for Server {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Server {
    /// Starts a server with an empty database and waits until it answers. The first call on a machine fetches the
    /// server's programs and makes a template of a data directory; later ones take about a second.
    ///
    /// Where `MILLSTREAM_CONTAINERS` is set the server is one in a container, which can be stopped, killed and
    /// restarted, but has neither TLS of the test kit's making nor its files here.
    pub async fn start(flavor: Flavor, options: ServerOptions) -> Result<Self, Error> {
        if containers_are_wanted() {
            return Self::start_in_container(flavor, options).await;
        }
        let dir = spawn_blocking(move || {
            let builder = tempfile::Builder::new().prefix(&format!("millstream-{flavor}-")).tempdir();
            builder.map(tempfile::TempDir::keep).map_err(io("create a folder in", std::env::temp_dir()))
        });
        Self::start_in(flavor, options, dir.await??, Owner::Value).await
    }

    async fn start_in_container(flavor: Flavor, options: ServerOptions) -> Result<Self, Error> {
        if options.tls {
            return Err(Error::NotInContainers { what: "certificates" });
        }
        let container = Container::start(&options.container(flavor)).await?;
        let endpoint = in_container(flavor, container.port()).await?;
        let container = Some(container);
        Ok(Self { endpoint, options, server_id: 0, home: None, container, process: None, released: false })
    }

    /// Starts a server in this folder, which must exist and be empty.
    pub(crate) async fn start_in(
        flavor: Flavor,
        options: ServerOptions,
        dir: PathBuf,
        owner: Owner,
    ) -> Result<Self, Error> {
        let prepared = dir.clone();
        let with_tls = options.tls;
        let name_case = options.name_case(flavor).map(str::to_owned);
        let prefix = spawn_blocking(move || {
            let prefix = Prefix::get(flavor)?;
            let template = prefix.template(name_case.as_deref())?;
            copy_folder(&template, &prepared.join("data"))?;
            if with_tls {
                tls::make(&prepared)?;
            }
            let tmp = prepared.join("tmp");
            fs::create_dir_all(&tmp).map_err(io("create", tmp))?;
            Ok::<_, Error>(prefix)
        });
        let socket = dir.join("s");
        let length = socket.as_os_str().len();
        if length > SOCKET_PATH_BYTES_MAX {
            return Err(Error::LongSocketPath { path: socket, length, limit: SOCKET_PATH_BYTES_MAX });
        }
        let prefix = prefix.await??;
        let version = prefix.version().to_owned();
        let endpoint = Endpoint { flavor, version, socket: Some(socket), port: free_port()? };
        let home = Some(Home { prefix, dir });
        let server_id = random_server_id();
        let mut server = Self { endpoint, options, server_id, home, container: None, process: None, released: false };
        for attempt in 1.. {
            match server.run(owner).await {
                Err(Error::Ended { log, .. }) if attempt < START_ATTEMPTS && port_was_taken(&log) => {
                    server.endpoint.port = free_port()?;
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        Ok(server)
    }

    /// The way to a server that ends with its owner and not with this value.
    pub(crate) fn release(mut self) -> Endpoint {
        self.released = true;
        self.endpoint.clone()
    }

    /// Stops the server cleanly, as an operator would; kills it if that takes too long.
    pub async fn stop(&mut self) -> Result<(), Error> {
        if let Some(container) = &self.container {
            return container.stop(STOP_TIMEOUT).await;
        }
        self.end("TERM", STOP_TIMEOUT).await
    }

    /// Kills the server with SIGKILL: it recovers from its logs at the next start.
    pub async fn kill(&mut self) -> Result<(), Error> {
        if let Some(container) = &self.container {
            return container.stop(Duration::ZERO).await;
        }
        self.end("KILL", KILL_TIMEOUT).await
    }

    /// Starts the server again on the same data and port; stops it first if it runs.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await?;
        if let Some(container) = &self.container {
            container.start_again().await?;
            return in_container(self.endpoint.flavor, self.endpoint.port).await.map(drop);
        }
        self.run(Owner::Value).await
    }

    /// As [`restart`](Self::restart), with other settings.
    pub async fn restart_with(&mut self, options: ServerOptions) -> Result<(), Error> {
        if self.container.is_some() {
            return Err(Error::NotInContainers { what: "settings to change" });
        }
        self.options = options;
        self.restart().await
    }

    /// Freezes the server's process (SIGSTOP): its connections stay open and silent.
    pub fn freeze(&mut self) -> Result<(), Error> {
        self.running()?.signal("STOP")
    }

    /// Lets a frozen server go on.
    pub fn thaw(&mut self) -> Result<(), Error> {
        self.running()?.signal("CONT")
    }

    /// The way to the server, for other tasks.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Whether the server's process runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.exit_code(), Ok(None)))
    }

    /// The server's process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::server_id)
    }

    /// The end of the server's error log.
    pub fn log_tail(&self) -> String {
        self.home.as_ref().map_or_else(String::new, |home| tail(&home.dir.join("server.log")))
    }

    /// The server's Unix socket.
    pub fn socket(&self) -> Result<&Path, Error> {
        self.endpoint.socket.as_deref().ok_or(Error::NotInContainers { what: "socket here" })
    }

    /// The server's data directory, with its binlog files `binlog.NNNNNN`.
    pub fn data_dir(&self) -> Result<PathBuf, Error> {
        Ok(self.home()?.dir.join("data"))
    }

    /// The certificate of the authority that signed the server's own, if [`ServerOptions::tls`] was asked for.
    pub fn ca_certificate(&self) -> Result<PathBuf, Error> {
        Ok(tls::authority(&self.home()?.dir))
    }

    /// One of the server's tools by MySQL's name: `mysql`, `mysqldump`, `mysqlbinlog`, `mysqladmin`.
    pub fn tool(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.home()?.prefix.program(name))
    }

    fn home(&self) -> Result<&Home, Error> {
        self.home.as_ref().ok_or(Error::NotInContainers { what: "files here" })
    }

    fn running(&mut self) -> Result<&mut Process, Error> {
        if self.container.is_some() {
            return Err(Error::NotInContainers { what: "process here" });
        }
        let flavor = self.endpoint.flavor().name();
        self.process.as_mut().ok_or(Error::NotRunning { flavor })
    }

    async fn run(&mut self, owner: Owner) -> Result<(), Error> {
        let Home { prefix, dir } = self.home()?;
        let (socket, port) = (self.socket()?, self.endpoint.port);
        // A killed server leaves its socket behind; without it nothing can mistake the old one for the new.
        match fs::remove_file(socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", socket)(error)),
            _ => {}
        }
        let arguments = self.options.arguments(prefix.flavor(), dir, socket, port, self.server_id);
        self.process = Some(Process::spawn(dir, owner, &prefix.program("server"), &arguments)?);
        self.ready().await
    }

    async fn ready(&mut self) -> Result<(), Error> {
        let flavor = self.endpoint.flavor().name();
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(code) = self.running()?.exit_code()? {
                self.process = None;
                return Err(Error::Ended { flavor, code, log: self.log_tail() });
            }
            if self.socket()?.exists() && answers(&self.endpoint).await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::NotReady { flavor, seconds: START_TIMEOUT.as_secs(), log: self.log_tail() });
            }
            sleep(READY_POLL).await;
        }
    }

    async fn end(&mut self, signal: &'static str, at_most: Duration) -> Result<(), Error> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let ended = spawn_blocking(move || {
            // A frozen server can't act on a signal, except to be killed; a server that has ended hears none.
            let _heard = process.signal("CONT").and_then(|()| process.signal(signal));
            if !process.wait(at_most)? {
                let _heard = process.signal("KILL");
                process.wait(KILL_TIMEOUT)?;
            }
            Ok::<(), Error>(())
        });
        ended.await?
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        if let Some(mut process) = self.process.take() {
            process.abandon(KILL_TIMEOUT);
        }
        if let Some(home) = &self.home {
            // Nobody is left to hear of a folder that can't be removed; it is in the system's temporary folder.
            let _removed = remove_folder(&home.dir);
        }
    }
}

/// The way to a server in a container, once it answers.
pub(crate) async fn in_container(flavor: Flavor, port: u16) -> Result<Endpoint, Error> {
    let mut endpoint = Endpoint { flavor, version: String::new(), socket: None, port };
    let deadline = Instant::now() + START_TIMEOUT;
    while !answers(&endpoint).await {
        if Instant::now() >= deadline {
            let log = format!("(see docker logs of the container with port {port})");
            return Err(Error::NotReady { flavor: flavor.name(), seconds: START_TIMEOUT.as_secs(), log });
        }
        sleep(READY_POLL).await;
    }
    endpoint.version = endpoint.value("SELECT VERSION()").await?.unwrap_or_default();
    Ok(endpoint)
}

async fn answers(endpoint: &Endpoint) -> bool {
    let probe = async {
        let mut connection = endpoint.connect().await.ok()?;
        connection.ping().await.ok()?;
        connection.query_drop("DO 1").await.ok()?;
        connection.disconnect().await.ok()
    };
    timeout(PROBE_TIMEOUT, probe).await.is_ok_and(|answer| answer.is_some())
}

fn port_was_taken(log: &str) -> bool {
    log.contains("Address already in use") || log.contains("Bind on TCP/IP port")
}

/// Not zero, which means none, nor a small number, which another replica of a test is likely to have.
pub(crate) fn random_server_id() -> u32 {
    SERVER_ID_MIN + (random() % u64::from(u32::MAX - SERVER_ID_MIN)) as u32
}
