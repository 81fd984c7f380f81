//! The one way to open a connection, and the few that stay open for reading rows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_core::error::SourceError;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, DriverError, Error, Opts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::Settings;
use crate::ddl::NameCase;
use crate::error::classify;
use crate::position::ServerIdentity;
use crate::version::{Flavor, Version};

/// How long a statement of ours may wait for a lock on a table's definition, in seconds. While it waits, statements
/// that come after it wait as well.
const LOCK_WAIT_SECONDS: u32 = 20;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) version: Version,
    /// Names this server among all others, so that a failover is noticed.
    pub(crate) identity: ServerIdentity,
    /// How names of tables compare.
    pub(crate) names: NameCase,
    /// Whether every transaction has a GTID.
    pub(crate) gtid: bool,
}

/// A connection and the server that it leads to. Behind one address there may be another server tomorrow.
pub(crate) struct Connection {
    pub(crate) conn: Conn,
    pub(crate) server: Arc<Server>,
}

/// Opens connections.
pub(crate) struct Connector {
    settings: Settings,
    idle_readers: Mutex<Vec<Connection>>,
    readers: Arc<Semaphore>,
}

/// A reader connection on loan. Dropped, it is closed: whoever was cancelled may have left an answer half read. Only
/// [`give_back`](Reader::give_back) keeps it.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    _permit: OwnedSemaphorePermit,
}

impl Connector {
    pub(crate) fn new(settings: Settings) -> Self {
        let readers = Arc::new(Semaphore::new(settings.readers));
        Self { settings, idle_readers: Mutex::new(Vec::new()), readers }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A new connection, set up for our queries.
    pub(crate) async fn open(&self) -> Result<Connection, SourceError> {
        let limit = self.settings.connect_timeout;
        let opened = timeout(limit, async {
            let mut conn = match (Conn::new(self.settings.opts.clone()).await, &self.settings.unencrypted) {
                (Err(Error::Driver(DriverError::NoClientSslFlagFromServer)), Some(opts)) => {
                    Conn::new(opts.clone()).await?
                }
                (outcome, _) => outcome?,
            };
            let server = Server::ask(&mut conn).await?;
            prepare(&mut conn, &server).await?;
            Ok::<_, Error>(Connection { conn, server: Arc::new(server) })
        });
        let context = format!("connect to {}", address(&self.settings.opts));
        match opened.await {
            Ok(opened) => opened.map_err(|error| classify(context, error)),
            Err(elapsed) => Err(SourceError::transient(format!("{context} within {} s", limit.as_secs()), elapsed)),
        }
    }

    /// One of the reader connections; waits until one is free.
    pub(crate) async fn reader(&self) -> Result<Reader, SourceError> {
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let permit = permit.map_err(|closed| SourceError::transient("wait for a reader connection", closed))?;
        let idle = self.idle_readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().await?,
        };
        Ok(Reader { connection, _permit: permit })
    }

    /// Keeps a reader for the next read. Its last answer has been read to the end and no transaction is open.
    pub(crate) fn give_back(&self, reader: Reader) {
        self.idle_readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader.connection);
    }

    /// How long an answer may take that isn't rows of a table.
    pub(crate) fn query_timeout(&self) -> Duration {
        self.settings.query_timeout
    }
}

impl Reader {
    /// Closes the connection without reading what is left of an answer, which dropping it would do first.
    pub(crate) async fn close(self) {
        // A server that doesn't hear the good-bye notices by itself.
        let _closed = self.connection.conn.disconnect().await;
    }
}

impl Connection {
    /// The rows of a query of ours, all at once, within a time limit.
    pub(crate) async fn rows<T>(&mut self, limit: Duration, what: &str, query: &str) -> Result<Vec<T>, SourceError>
    where
        T: FromRow + Send + 'static,
    {
        match timeout(limit, self.conn.query(query)).await {
            Ok(rows) => rows.map_err(|error| classify(what, error)),
            Err(elapsed) => Err(SourceError::transient(format!("{what} within {} s", limit.as_secs()), elapsed)),
        }
    }
}

impl Connection {
    /// A statement of ours that has no rows to answer.
    pub(crate) async fn execute(&mut self, limit: Duration, what: &str, statement: &str) -> Result<(), SourceError> {
        match timeout(limit, self.conn.query_drop(statement)).await {
            Ok(done) => done.map_err(|error| classify(what, error)),
            Err(elapsed) => Err(SourceError::transient(format!("{what} within {} s", limit.as_secs()), elapsed)),
        }
    }
}

/// For errors and logs.
pub(crate) fn address(opts: &Opts) -> String {
    format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port())
}

impl Server {
    async fn ask(conn: &mut Conn) -> Result<Self, Error> {
        let row: Option<(String, u8)> = conn.query_first("SELECT VERSION(), @@lower_case_table_names").await?;
        let (text, lower_case_table_names) = row.unwrap_or_default();
        let version = Version::parse(&text);
        let version = version.ok_or(DriverError::CantParseServerVersion { version_string: text })?;
        let (identity, gtid) = match version.flavor {
            // The id is unique among the servers of one replication set-up, which is all that a failover chooses from.
            Flavor::MariaDb => {
                let id: Option<u32> = conn.query_first("SELECT @@server_id").await?;
                (ServerIdentity::Id(id.unwrap_or_default()), true)
            }
            Flavor::MySql => {
                let row: Option<(String, String)> = conn.query_first("SELECT @@server_uuid, @@gtid_mode").await?;
                let (uuid, gtid_mode) = row.unwrap_or_default();
                let uuid = uuid.parse().map_err(|()| DriverError::CantParseServerVersion { version_string: uuid })?;
                (ServerIdentity::Uuid(uuid), gtid_mode == "ON")
            }
        };
        let names = NameCase::from_variable(lower_case_table_names).unwrap_or(NameCase::Sensitive);
        Ok(Self { version, identity, names, gtid })
    }
}

/// Settings of the session that queries of ours rely on, whatever the server's own are.
async fn prepare(conn: &mut Conn, server: &Server) -> Result<(), Error> {
    // Instants as UTC, as the log has them; no time limit on long scans; no wait without end for a table's lock.
    let mut settings = format!(
        "SET SESSION time_zone = '+00:00', sql_mode = '', lock_wait_timeout = {LOCK_WAIT_SECONDS}, \
         net_write_timeout = 600, wait_timeout = 28800"
    );
    match server.version.flavor {
        Flavor::MySql => {
            settings.push_str(", max_execution_time = 0");
            if server.version.at_least(8, 0, 0) {
                // Row counts as they are, not as they were yesterday.
                settings.push_str(", information_schema_stats_expiry = 0");
            }
            if server.version.at_least(8, 0, 30) {
                // Rows in the log carry a generated invisible primary key, so schemas must show it.
                settings.push_str(", show_gipk_in_create_table_and_information_schema = ON");
            }
        }
        Flavor::MariaDb => settings.push_str(", max_statement_time = 0"),
    }
    conn.query_drop(settings).await?;
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await
}
