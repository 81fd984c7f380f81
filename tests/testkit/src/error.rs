//! What can go wrong with a test's server, told so that the reader of a failed test can act on it.

use std::path::PathBuf;

/// Why a test can't have what it asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The script that fetches a server failed; its own message says why and what to do.
    #[error("No {flavor} server for the tests: {script} failed and said:\n{output}")]
    GetServer { flavor: &'static str, script: PathBuf, output: String },

    /// A file, folder or process could not be used.
    #[error("Can't {what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },

    /// A new data directory could not be made.
    #[error("The server's `{program}` could not make a data directory; its log ends with:\n{log}")]
    Initialize { program: PathBuf, log: String },

    /// The server ended by itself while it was awaited.
    #[error("The {flavor} server ended (code {code}) instead of starting; its log ends with:\n{log}")]
    Ended { flavor: &'static str, code: i32, log: String },

    /// The server did not answer within the time that a start may take.
    #[error("The {flavor} server didn't answer within {seconds} s of its start; its log ends with:\n{log}")]
    NotReady { flavor: &'static str, seconds: u64, log: String },

    /// A call needs a running server and this one was stopped or killed.
    #[error("The {flavor} server is not running: call `restart` first")]
    NotRunning { flavor: &'static str },

    /// No free port was found.
    #[error("No free TCP port found on 127.0.0.1 after {attempts} attempts: are many other servers running?")]
    NoPort { attempts: u32 },

    /// The path of the server's socket is longer than the operating system allows.
    #[error("The socket path {path} has {length} bytes and may have {limit}: set TMPDIR to a shorter folder, as /tmp")]
    LongSocketPath { path: PathBuf, length: usize, limit: usize },

    /// A statement failed, or the connection to run it on.
    #[cfg(feature = "servers")]
    #[error("SQL failed on the test's {flavor} server, in: {statement}")]
    Sql {
        flavor: &'static str,
        statement: String,
        #[source]
        source: mysql_async::Error,
    },

    /// A TLS certificate could not be made.
    #[cfg(feature = "servers")]
    #[error("Can't make a TLS certificate for the test's server")]
    Certificate(#[from] rcgen::Error),

    /// The engine couldn't run a server's container.
    #[cfg(feature = "containers")]
    #[error("Can't {what} a container of {image}: is the engine running, and can it pull the image?")]
    Container {
        what: &'static str,
        image: String,
        #[source]
        source: Box<testcontainers::TestcontainersError>,
    },

    /// Containers were asked for of a test kit that can't have them.
    #[cfg(not(feature = "containers"))]
    #[error("MILLSTREAM_CONTAINERS is set, but the tests were built without the test kit's feature `containers`")]
    NoContainers,

    /// The test needs something of its server that one in a container hasn't got.
    #[cfg(feature = "servers")]
    #[error("Servers in containers have no {what}: run this test without MILLSTREAM_CONTAINERS")]
    NotInContainers { what: &'static str },

    /// A blocking step of the test kit was cancelled or panicked.
    #[error("A background step of the test kit did not finish")]
    Background(#[from] tokio::task::JoinError),
}

pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { what, path, source }
}
