//! The one way to open a connection, and the few that stay open for reading rows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use millstream_core::error::SourceError;
use tiberius::error::Error;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, QueryItem, QueryStream, Row, SqlBrowser, ToSql};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::address::Address;
use crate::config::{Authentication, Settings, TlsMode};
use crate::error::{QueryError, number};
use crate::server::Server;

/// How long a server may take for the next rows of a table: the first come after a sort at times.
const ROWS_WAIT_MAX: Duration = Duration::from_secs(600);
/// How often a server may send us on to another address. Azure SQL does once.
const REDIRECTS_MAX: usize = 3;
/// How large the packets that we ask for are, in bytes, as rows come by the megabyte: the largest that fit into a record
/// of TLS, which servers insist on.
const PACKET_BYTES: u32 = 16_383;

/// Settings of the session that queries of ours rely on, whatever the server's own are: whole values of any length,
/// comparisons as the standard has them, no wait without end for a lock, and the application wins every deadlock.
const SESSION: &str = "SET TEXTSIZE 2147483647; SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET QUOTED_IDENTIFIER ON; \
                       SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; SET NUMERIC_ROUNDABORT OFF; \
                       SET IMPLICIT_TRANSACTIONS OFF; SET XACT_ABORT ON; SET LOCK_TIMEOUT 20000; \
                       SET DEADLOCK_PRIORITY LOW; SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Whether this machine doesn't say which authorities to trust, as in a container's image of one program. Then those count
/// that the program was built with. Authorities that are named and can't be read are another thing, and an error.
static MACHINE_NAMES_NO_AUTHORITY: LazyLock<bool> = LazyLock::new(|| {
    let named = rustls_native_certs::load_native_certs();
    named.certs.is_empty() && named.errors.is_empty()
});

/// A connection and the server that it leads to. Behind one address there may be another server tomorrow.
///
/// It serves one request at a time. A request that is given up half-way (its future or its rows are dropped) leaves
/// answers on the line: such a connection is [spoilt](Connection::is_spoilt) and must be discarded.
pub(crate) struct Connection {
    client: Client<Compat<TcpStream>>,
    pub(crate) server: Arc<Server>,
    spoilt: bool,
}

/// Opens connections.
pub(crate) struct Connector {
    settings: Settings,
    idle_readers: Mutex<Vec<Connection>>,
    readers: Arc<Semaphore>,
    /// Whether the database could be entered before.
    has_connected: AtomicBool,
}

/// A reader connection on loan. Dropped, it is closed: whoever was cancelled may have left an answer half read. Only
/// [`give_back`](Connector::give_back) keeps it.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    _permit: OwnedSemaphorePermit,
}

/// The rows of one query, one by one.
pub(crate) struct Rows<'a> {
    stream: QueryStream<'a>,
    spoilt: &'a mut bool,
    what: String,
}

impl Connector {
    pub(crate) fn new(settings: Settings) -> Self {
        let readers = Arc::new(Semaphore::new(settings.readers));
        Self { settings, idle_readers: Mutex::new(Vec::new()), readers, has_connected: AtomicBool::new(false) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A new connection, set up for our queries. An answer may take as long as the configuration says.
    pub(crate) async fn open(&self) -> Result<Connection, SourceError> {
        self.open_within(self.settings.query_timeout).await
    }

    /// A new connection for reading rows of tables, which may take longer to begin.
    pub(crate) async fn open_for_rows(&self) -> Result<Connection, SourceError> {
        self.open_within(ROWS_WAIT_MAX.max(self.settings.query_timeout)).await
    }

    async fn open_within(&self, answer_wait_max: Duration) -> Result<Connection, SourceError> {
        let limit = self.settings.connect_timeout;
        let what = format!("connect to {}", self.settings.address);
        let opened = timeout(limit, async {
            let config = self.config(answer_wait_max)?;
            let client = Box::pin(self.log_in(config)).await.map_err(|error| self.refused(&what, error))?;
            self.has_connected.store(true, Ordering::Relaxed);
            let server = Arc::new(Server::default());
            let mut connection = Connection { client, server, spoilt: false };
            connection.execute("set up a session", SESSION).await?;
            connection.server = Arc::new(Server::ask(&mut connection).await?);
            Ok::<_, SourceError>(connection)
        });
        match opened.await {
            Ok(opened) => opened,
            Err(elapsed) => Err(SourceError::transient(format!("{what} within {} s", limit.as_secs()), elapsed)),
        }
    }

    fn refused(&self, what: &str, error: Error) -> SourceError {
        let error = QueryError::new(what, error);
        match &self.settings.authentication {
            // A token that has run out is replaced by whoever renews it, so it is read again and again.
            Authentication::EntraToken(file) if error.number() == Some(number::LOGIN_FAILED) => {
                SourceError::transient(format!("log in by the access token in {}", file.display()), error.error)
            }
            _ if self.has_connected.load(Ordering::Relaxed) => error.into(),
            _ => error.of_first_login(),
        }
    }

    async fn log_in(&self, mut config: Config) -> Result<Client<Compat<TcpStream>>, Error> {
        let address = &self.settings.address;
        let mut tcp = match &self.settings.instance {
            Some(instance) => {
                let asked = TcpStream::connect_named(&config).await;
                let connected = asked.map_err(|error| unresolved(instance, address, error))?;
                // From here on the driver is told of no other place than this.
                config.port(connected.peer_addr()?.port());
                connected
            }
            None => TcpStream::connect((address.host.as_str(), address.port())).await?,
        };
        for _ in 0..REDIRECTS_MAX {
            tcp.set_nodelay(true)?;
            match Box::pin(Client::connect(config.clone(), tcp.compat_write())).await {
                Err(Error::Routing { host, port }) => {
                    tcp = TcpStream::connect((host.as_str(), port)).await?;
                    config.host(host);
                    config.port(port);
                }
                outcome => return outcome,
            }
        }
        Err(Error::Protocol(format!("the server sends us on more than {REDIRECTS_MAX} times").into()))
    }

    fn config(&self, answer_wait_max: Duration) -> Result<Config, SourceError> {
        let Settings { address, tls, .. } = &self.settings;
        let mut config = Config::new();
        config.host(&address.host);
        config.port(match self.settings.instance {
            Some(_) => address.browser_port(),
            None => address.port(),
        });
        config.database(&address.database);
        config.application_name("millstream");
        config.packet_size(PACKET_BYTES);
        config.handshake_timeout(Some(self.settings.connect_timeout));
        config.command_timeout(Some(answer_wait_max));
        // A text may hold half of a surrogate pair: it becomes U+FFFD, in every path alike, instead of an error.
        config.lossy_utf16_decoding(true);
        if let Some(instance) = &self.settings.instance {
            config.instance_name(instance);
        }
        config.authentication(self.auth_method()?);
        config.encryption(match tls.mode {
            TlsMode::VerifyIdentity | TlsMode::Required => EncryptionLevel::Required,
            TlsMode::Strict => EncryptionLevel::Strict,
            TlsMode::Disabled => EncryptionLevel::Off,
        });
        match tls.mode {
            TlsMode::Required | TlsMode::Disabled => config.trust_cert(),
            TlsMode::VerifyIdentity | TlsMode::Strict => {
                if *MACHINE_NAMES_NO_AUTHORITY {
                    config.trust_webpki_roots();
                }
                tls.ca_certificate.iter().for_each(|file| config.trust_cert_ca(file.display()));
                tls.certificate_host.iter().for_each(|host| config.hostname_in_certificate(host));
            }
        }
        if let Some((certificate, key)) = tls.client_certificate.as_ref().zip(tls.client_key.as_ref()) {
            config.client_certificate(certificate, key);
        }
        Ok(config)
    }

    fn auth_method(&self) -> Result<AuthMethod, SourceError> {
        match &self.settings.authentication {
            Authentication::Sql => {
                let address = &self.settings.address;
                Ok(AuthMethod::sql_server(&address.user, &address.password))
            }
            Authentication::EntraToken(file) => match std::fs::read_to_string(file) {
                Ok(token) => Ok(AuthMethod::aad_token(token.trim())),
                // Whoever renews it may be about to.
                Err(error) => Err(SourceError::transient(format!("read the token in {}", file.display()), error)),
            },
            #[cfg(feature = "kerberos")]
            Authentication::Kerberos => Ok(AuthMethod::Integrated),
            #[cfg(not(feature = "kerberos"))]
            Authentication::Kerberos => {
                Err(SourceError::definite("this build has no Kerberos", "Build it with `--features kerberos`"))
            }
        }
    }

    /// One of the reader connections; waits until one is free.
    pub(crate) async fn reader(&self) -> Result<Reader, SourceError> {
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let permit = permit.map_err(|closed| SourceError::transient("wait for a reader connection", closed))?;
        let idle = self.idle_readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open_for_rows().await?,
        };
        Ok(Reader { connection, _permit: permit })
    }

    /// Keeps a reader for the next read, unless it is spoilt. No transaction is open on it.
    pub(crate) fn give_back(&self, reader: Reader) {
        if !reader.connection.is_spoilt() {
            self.idle_readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader.connection);
        }
    }
}

impl Connection {
    /// Whether a request was given up half-way or the line failed, so that nothing more can be asked.
    pub(crate) fn is_spoilt(&self) -> bool {
        self.spoilt
    }

    /// Asks a query, whose parameters are `@P1`, `@P2`…, and gives its rows one by one. Rows of several statements in
    /// one query come one after the other ([`Row::result_index`] tells them apart). `what` says what is being done,
    /// for errors.
    pub(crate) async fn query<'a>(
        &'a mut self,
        what: impl Into<String>,
        sql: &str,
        parameters: &[&dyn ToSql],
    ) -> Result<Rows<'a>, QueryError> {
        let what = what.into();
        if self.spoilt {
            let left = std::io::Error::from(std::io::ErrorKind::NotConnected);
            return Err(QueryError::new(what, left.into()));
        }
        self.spoilt = true;
        let Self { client, spoilt, .. } = self;
        let asked = match parameters {
            // As a batch, so that what it sets holds for the session.
            [] => client.simple_query(sql).await,
            parameters => client.query(sql, parameters).await,
        };
        match asked {
            Ok(stream) => Ok(Rows { stream, spoilt, what }),
            Err(error) => {
                *spoilt = ends_the_line(&error);
                Err(QueryError::new(what, error))
            }
        }
    }

    /// All rows of a query whose answer is small.
    pub(crate) async fn rows(
        &mut self,
        what: impl Into<String>,
        sql: &str,
        parameters: &[&dyn ToSql],
    ) -> Result<Vec<Row>, QueryError> {
        let mut rows = self.query(what, sql, parameters).await?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().await? {
            all.push(row);
        }
        Ok(all)
    }

    /// The only or first row of a query.
    pub(crate) async fn row(
        &mut self,
        what: impl Into<String>,
        sql: &str,
        parameters: &[&dyn ToSql],
    ) -> Result<Option<Row>, QueryError> {
        Ok(self.rows(what, sql, parameters).await?.into_iter().next())
    }

    /// Statements of ours that have no rows to answer.
    pub(crate) async fn execute(&mut self, what: impl Into<String>, sql: &str) -> Result<(), QueryError> {
        self.rows(what, sql, &[]).await.map(drop)
    }
}

impl Rows<'_> {
    /// The next row; `None` at the end. Only then is the connection free for another query.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>, QueryError> {
        loop {
            match self.stream.try_next().await {
                Ok(Some(QueryItem::Row(row))) => return Ok(Some(row)),
                Ok(Some(QueryItem::Metadata(_))) => {}
                Ok(None) => {
                    *self.spoilt = false;
                    return Ok(None);
                }
                Err(error) => {
                    *self.spoilt = ends_the_line(&error);
                    return Err(QueryError::new(self.what.clone(), error));
                }
            }
        }
    }
}

/// What it means that the port of an instance couldn't be had: the service doesn't answer for instances that it doesn't
/// know, either, and it may be about to come to know this one.
fn unresolved(instance: &str, address: &Address, error: Error) -> Error {
    match error {
        Error::Conversion(_) => Error::Io {
            kind: std::io::ErrorKind::TimedOut,
            message: format!(
                "the SQL Server Browser service at {}, UDP port {}, doesn't answer where instance {instance} listens",
                address.host,
                address.browser_port()
            ),
        },
        other => other,
    }
}

/// Whether nothing more can be asked on a connection after this error. The driver reads an answer to its end before
/// it tells an error that the server sent in it; whatever else fails leaves the line in an unknown state.
fn ends_the_line(error: &Error) -> bool {
    const CLASS_FATAL: u8 = 20;
    match error {
        Error::Server(server) => server.class() >= CLASS_FATAL,
        _ => true,
    }
}
