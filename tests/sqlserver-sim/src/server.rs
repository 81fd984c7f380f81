//! The server: it listens, and gives each client a connection.

mod certificate;
mod connection;
mod connections;
mod handshake;
mod prepared;
mod response;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::Options;
use crate::engine::session::{Login, Session};
use crate::error::SqlError;
use crate::script::{self, ScriptError};
use crate::storage::Storage;
use crate::tds::prelogin::Encryption as Wish;

use certificate::Encryption;
pub use connections::Connections;
use handshake::{HANDSHAKE_TIME_MAX, Transport};

/// The version that the server says it has: 2022.
const VERSION: (u8, u8, u16) = (16, 0, 1000);

/// The session in which scripts run; those of users come after the server's own.
const SCRIPT_SESSION: u32 = 50;

/// Whether connections are encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EncryptionPolicy {
    /// None is, and clients that insist on it are sent away.
    Off,
    /// Those are whose client wants it.
    #[default]
    Optional,
    /// All are, and clients that can't are sent away.
    Required,
}

impl EncryptionPolicy {
    fn wish(self) -> Wish {
        match self {
            Self::Off => Wish::NotSupported,
            Self::Optional => Wish::Login,
            Self::Required => Wish::Required,
        }
    }
}

/// Why a server didn't start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("can't listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("can't start the server's threads: {0}")]
    Threads(io::Error),
    #[error("can't make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("can't use the certificate: {0}")]
    Tls(#[from] rustls::Error),
}

/// What all connections share.
struct Host {
    server_name: String,
    encryption: Encryption,
    wish: Wish,
    password: String,
    access_token: Option<String>,
    storage: Arc<Storage>,
    connections: Arc<Connections>,
}

impl Host {
    fn open(&self, session_id: u32, login: Login, cancelled: Arc<AtomicBool>) -> Result<Session, SqlError> {
        let mut session = Session::open(Arc::clone(&self.storage), session_id, login, cancelled)?;
        session.set_peers(self.connections.clone());
        Ok(session)
    }
}

/// A running listener; it and all its connections end when it is dropped.
pub struct Server {
    address: SocketAddr,
    authority_pem: String,
    host: Arc<Host>,
    runtime: Option<Runtime>,
}

impl Server {
    pub fn start(options: &Options, storage: Arc<Storage>) -> Result<Self, StartError> {
        let listen = options.listen;
        let refused = |error| StartError::Listen { address: listen, error };
        let listener = TcpListener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let encryption = Encryption::new(&options.server_name)?;
        let authority_pem = encryption.authority_pem.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sqlserver-sim")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(refused)?
        };
        let host = Arc::new(Host {
            server_name: options.server_name.clone(),
            encryption,
            wish: options.encryption.wish(),
            password: options.password.clone(),
            access_token: options.access_token.clone(),
            storage,
            connections: Arc::default(),
        });
        runtime.spawn(accept(listener, host.clone()));
        Ok(Self { address, authority_pem, host, runtime: Some(runtime) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs a script in a session of its own, on a thread with as much stack as a connection's.
    pub fn run_script(&self, script: &str) -> Result<(), ScriptError> {
        let login = Login {
            name: "sa".to_owned(),
            password: self.host.password.clone(),
            database: String::new(),
            host: String::new(),
            application: "sqlserver-sim".to_owned(),
            encrypted: false,
        };
        thread::scope(|scope| {
            let run = || {
                let mut session = self.host.open(SCRIPT_SESSION, login, Arc::default())?;
                script::run(&mut session, script)
            };
            let thread = thread::Builder::new().stack_size(connection::STACK_BYTES).spawn_scoped(scope, run);
            match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(done)) => done,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(error) => Err(SqlError::new(701, 17, format!("No thread for the script: {error}.")).into()),
            }
        })
    }

    pub fn connections(&self) -> &Arc<Connections> {
        &self.host.connections
    }

    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In the background, as a server may be dropped within another runtime, where nothing may block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, host: Arc<Host>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let host = host.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, host).await {
                        tracing::debug!(%from, %error, "a connection broke");
                    }
                });
            }
            // One that was gone before it was accepted, or too many open files: neither is the listener's end.
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, host: Arc<Host>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let shaken = handshake::shake(stream, &host.encryption, host.wish);
    let (transport, login) = tokio::time::timeout(HANDSHAKE_TIME_MAX, shaken).await??;
    match transport {
        Transport::Plain(stream) => connection::serve(stream, login, false, host).await?,
        Transport::Encrypted(stream) => connection::serve(stream, login, true, host).await?,
    }
    Ok(())
}
