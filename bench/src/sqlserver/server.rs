//! The simulated server as a process, and connections to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::failure::Failure;
use crate::process;

const PASSWORD: &str = "Only-for-this-bench-1";
/// Between scans of the log, in seconds.
const CAPTURE_INTERVAL: &str = "0.1";
/// How large packets are, in bytes; what Millstream asks for.
const PACKET_BYTES: u32 = 16_383;

pub(crate) type Connection = Client<Compat<TcpStream>>;

/// Ends with the process that it is, and all that it holds is gone.
pub(crate) struct SimulatedServer {
    process: Child,
    /// Kept open, as a server that has nobody to tell something to ends.
    _output: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
    directory: TempDir,
}

impl SimulatedServer {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let directory = TempDir::new().map_err(Failure::own("making a directory"))?;
        let program = crate::beside("sqlserver-sim", "millstream-sqlserver-sim")?;
        let name = program.display().to_string();
        let mut process = Command::new(&program)
            .args(["--port", "0", "--password", PASSWORD, "--capture-interval", CAPTURE_INTERVAL])
            .arg("--authority")
            .arg(directory.path().join("authority.pem"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::own(format!("starting {name}")))?;
        let stdout = process.stdout.take().ok_or_else(|| Failure::Setup(format!("{name} has no output")))?;
        let mut output = BufReader::new(stdout).lines();
        let said = output.next_line().await.map_err(Failure::own(format!("reading {name}")))?.unwrap_or_default();
        let address = said.split_once("listens on ").and_then(|(_, rest)| rest.split(';').next()?.parse().ok());
        let address =
            address.ok_or_else(|| Failure::Setup(format!("{name} doesn't say where it listens: {said:?}")))?;
        Ok(Self { process, _output: output, address, directory })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority that signed the server's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn uri(&self, port: u16, database: &str) -> String {
        format!("mssql://sa:{PASSWORD}@localhost:{port}/{database}")
    }

    /// A connection such as Millstream makes, encrypted too.
    pub(crate) async fn connect(&self, address: SocketAddr, database: &str) -> Result<Connection, Failure> {
        let mut config = Config::new();
        config.host("localhost");
        config.port(address.port());
        config.database(database);
        config.authentication(AuthMethod::sql_server("sa", PASSWORD));
        config.encryption(EncryptionLevel::Required);
        config.trust_cert_ca(self.authority().display());
        config.packet_size(PACKET_BYTES);
        let tcp = TcpStream::connect(address).await.map_err(Failure::own(format!("connecting to {address}")))?;
        tcp.set_nodelay(true).map_err(Failure::own(format!("connecting to {address}")))?;
        Ok(Box::pin(Client::connect(config, tcp.compat_write())).await?)
    }

    /// How long the server has been running on a core since it started.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.process.id().map(process::cpu_time).unwrap_or_default()
    }
}

/// Runs statements whose answer doesn't matter.
pub(crate) async fn execute(connection: &mut Connection, sql: &str) -> Result<(), Failure> {
    connection.simple_query(sql).await?.into_results().await?;
    Ok(())
}
