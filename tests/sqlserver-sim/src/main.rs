//! The simulated server as a program.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, ValueEnum};
use millstream_sqlserver_sim::{Edition, EncryptionPolicy, Options, Schedule, SqlServerSim, StartError};
use tokio::runtime::Runtime;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A SQL Server with change data capture for tests and trials. It holds everything in memory, and forgets it when it
/// ends.
///
/// Any client of SQL Server can connect: sqlcmd, tsql, a driver, a design tool. Change data capture works as on the real
/// one: EXEC sys.sp_cdc_enable_db, EXEC sys.sp_cdc_enable_table, and rows appear in cdc.<instance>_CT.
#[derive(Parser, Debug)]
#[command(name = "sqlserver-sim", version, after_help = EXAMPLES)]
struct Arguments {
    /// The port to listen on; 0 for any that is free
    #[arg(long, default_value_t = 1433)]
    port: u16,

    /// The address to listen on; 0.0.0.0 for all of them
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    listen: IpAddr,

    /// The password of the login sa
    #[arg(long, default_value_t = Options::default().password, value_parser = NonEmptyStringValueParser::new())]
    password: String,

    /// What the server calls itself
    #[arg(long, default_value_t = Options::default().server_name, value_name = "NAME",
          value_parser = NonEmptyStringValueParser::new())]
    server_name: String,

    /// Whether connections are encrypted
    #[arg(long, value_enum, default_value_t = Encryption::Optional)]
    encryption: Encryption,

    /// Seconds between scans of the log for changes, whatever the capture jobs say
    #[arg(long, value_name = "SECONDS", value_parser = interval, allow_negative_numbers = true)]
    capture_interval: Option<Duration>,

    /// Which kind of server it takes itself for
    #[arg(long, value_enum, default_value_t = Kind::Developer)]
    edition: Kind,

    /// Where to write the authority that signed the server's certificate, for clients that check it
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,

    /// A script to run as sa at the start; lines of GO part its batches. May be given more than once
    #[arg(long, value_name = "FILE")]
    script: Vec<PathBuf>,

    /// What to tell on standard error: error, warn, info, debug
    #[arg(long, default_value = "warn", value_name = "LEVEL")]
    log: tracing::Level,
}

const EXAMPLES: &str = "\
Examples:
  Start it, with a database of your own, and look around with FreeTDS:
    sqlserver-sim --script shop.sql
    tsql -H 127.0.0.1 -p 1433 -U sa -P Simulated-1433

  shop.sql:
    CREATE DATABASE shop;
    GO
    USE shop;
    EXEC sys.sp_cdc_enable_db;
    CREATE TABLE dbo.orders (id int PRIMARY KEY, total decimal(10,2));
    EXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 'orders', @role_name = NULL;
    GO

  For clients that check certificates:
    sqlserver-sim --authority authority.pem

What it does and what it doesn't is told in docs/sqlserver-sim.md.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Developer Edition: everything, an agent included
    Developer,
    /// Express Edition: without change data capture
    Express,
    /// Azure SQL Database: no agent, capture is the service's own
    Azure,
    /// Azure SQL Managed Instance
    Managed,
}

impl From<Kind> for Edition {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Developer => Self::Developer,
            Kind::Express => Self::Express,
            Kind::Azure => Self::AzureSqlDatabase,
            Kind::Managed => Self::ManagedInstance,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Encryption {
    /// Refuse clients that insist on it
    Off,
    /// Where the client wants it
    Optional,
    /// Refuse clients that can't
    Required,
}

impl From<Encryption> for EncryptionPolicy {
    fn from(encryption: Encryption) -> Self {
        match encryption {
            Encryption::Off => Self::Off,
            Encryption::Optional => Self::Optional,
            Encryption::Required => Self::Required,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_max_level(arguments.log)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sqlserver-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let schedule = arguments.capture_interval.map_or(Schedule::Jobs, Schedule::Every);
    let options = Options {
        listen: SocketAddr::new(arguments.listen, arguments.port),
        server_name: arguments.server_name.clone(),
        password: arguments.password.clone(),
        access_token: None,
        encryption: arguments.encryption.into(),
        schedule,
        edition: arguments.edition.into(),
        clock: None,
    };
    let scripts = arguments.script.iter().map(|path| {
        fs::read_to_string(path).map_err(|error| format!("can't read the script {}: {error}", path.display()))
    });
    let scripts = scripts.collect::<Result<Vec<_>, _>>()?;
    let sim = SqlServerSim::start(&options).map_err(|error| match error {
        StartError::Listen { .. } => format!("{error}. Choose another port by --port, or 0 for any that is free."),
        other => other.to_string(),
    })?;
    for (path, script) in arguments.script.iter().zip(&scripts) {
        sim.run_script(script).map_err(|error| format!("the script {} failed: {error}", path.display()))?;
    }
    if let Some(path) = &arguments.authority {
        fs::write(path, sim.authority_pem()).map_err(|error| format!("can't write {}: {error}", path.display()))?;
    }
    // Whoever reads the first line may end it at once.
    let end = End::listen()?;
    let mut out = io::stdout().lock();
    writeln!(out, "sqlserver-sim listens on {}; log in as sa. Ctrl-C ends it, and all it holds.", sim.address())?;
    writeln!(out, "Try it: {}", hint(arguments, sim.address()))?;
    out.flush()?;
    Ok(end.wait()?)
}

/// How a client connects. A password that was chosen isn't shown.
fn hint(arguments: &Arguments, address: SocketAddr) -> String {
    let host = match address.ip() {
        everywhere if everywhere.is_unspecified() => "localhost".to_owned(),
        one => one.to_string(),
    };
    let default = Options::default().password;
    let password = if arguments.password == default { default.as_str() } else { "<the password>" };
    format!("tsql -H {host} -p {} -U sa -P {password}", address.port())
}

/// Seconds, with a fraction or without.
fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it must be a number of seconds, such as 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "it must be a number of seconds from 0 on".to_owned())
}

/// Ctrl-C and, where there are such, a signal to terminate.
struct End {
    runtime: Runtime,
    #[cfg(unix)]
    signals: [Signal; 2],
}

impl End {
    /// From here on no signal is lost.
    fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        #[cfg(unix)]
        let signals = {
            let _context = runtime.enter();
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]
        };
        Ok(Self {
            runtime,
            #[cfg(unix)]
            signals,
        })
    }

    fn wait(self) -> io::Result<()> {
        #[cfg(unix)]
        {
            let [mut interrupt, mut terminate] = self.signals;
            self.runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => Ok(()),
                    _ = terminate.recv() => Ok(()),
                }
            })
        }
        #[cfg(not(unix))]
        self.runtime.block_on(tokio::signal::ctrl_c())
    }
}
