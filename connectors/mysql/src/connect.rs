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
use crate::wire::{self, Packets};

/// How long a statement of ours may wait for a lock on a table's definition, in seconds. While it waits, statements
/// that come after it wait as well.
const LOCK_WAIT_SECONDS: u32 = 20;

/// What reading values asks of a session: texts as the bytes that the columns hold, as they are in the log.
pub(crate) const ROW_SESSION: &str = "SET SESSION character_set_results = NULL";

/// All rows, whatever limit the server gives to sessions: the variable's largest value, which means none.
const NO_SELECT_LIMIT: u64 = u64::MAX;

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
pub(crate) struct Connection<S = Conn> {
    pub(crate) conn: S,
    pub(crate) server: Arc<Server>,
}

/// What a connection is made of: the driver's for questions about the server and its tables, our own for the tables'
/// rows.
pub(crate) trait Session: Send + Sized {
    /// The rows of a query, all at once.
    fn rows<T: FromRow + Send + 'static>(&mut self, query: &str) -> impl Future<Output = Result<Vec<T>, Error>> + Send;

    /// Runs a statement without an answer of rows.
    fn execute(&mut self, statement: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Session for Conn {
    async fn rows<T: FromRow + Send + 'static>(&mut self, query: &str) -> Result<Vec<T>, Error> {
        self.query(query).await
    }

    async fn execute(&mut self, statement: &str) -> Result<(), Error> {
        self.query_drop(statement).await
    }
}

impl Session for Packets {
    async fn rows<T: FromRow + Send + 'static>(&mut self, query: &str) -> Result<Vec<T>, Error> {
        self.query(query).await
    }

    async fn execute(&mut self, statement: &str) -> Result<(), Error> {
        Packets::execute(self, statement).await
    }
}

/// Opens connections.
pub(crate) struct Connector {
    settings: Settings,
    idle_readers: Idle<Conn>,
    idle_row_readers: Idle<Packets>,
    readers: Arc<Semaphore>,
}

/// Connections that wait to be used again.
type Idle<S> = Arc<Mutex<Vec<Connection<S>>>>;

/// A reader connection on loan. Dropped, it is closed: whoever was cancelled may have left an answer half read. Only
/// [`give_back`](Reader::give_back) keeps it.
pub(crate) struct Reader<S = Conn> {
    pub(crate) connection: Connection<S>,
    idle: Idle<S>,
    _permit: OwnedSemaphorePermit,
}

impl Connector {
    pub(crate) fn new(settings: Settings) -> Self {
        let readers = Arc::new(Semaphore::new(settings.readers));
        Self { settings, idle_readers: Idle::default(), idle_row_readers: Idle::default(), readers }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A new connection, set up for our queries.
    pub(crate) async fn open(&self) -> Result<Connection, SourceError> {
        let connect = async {
            match (Conn::new(self.settings.opts.clone()).await, &self.settings.unencrypted) {
                (Err(Error::Driver(DriverError::NoClientSslFlagFromServer)), Some(opts)) => {
                    Conn::new(opts.clone()).await
                }
                (outcome, _) => outcome,
            }
        };
        self.set_up(connect, "").await
    }

    /// A new connection for reading the rows of tables.
    pub(crate) async fn open_for_rows(&self) -> Result<Connection<Packets>, SourceError> {
        self.set_up(wire::login(&self.settings.opts, &self.settings.tls), ROW_SESSION).await
    }

    async fn set_up<S: Session>(
        &self,
        connect: impl Future<Output = Result<S, Error>> + Send,
        settings: &str,
    ) -> Result<Connection<S>, SourceError> {
        let limit = self.settings.connect_timeout;
        let opened = timeout(limit, async {
            let mut conn = connect.await?;
            let server = Server::ask(&mut conn).await?;
            prepare(&mut conn, &server).await?;
            if !settings.is_empty() {
                conn.execute(settings).await?;
            }
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
        self.lend(&self.idle_readers, || self.open()).await
    }

    /// The same for the rows of tables.
    pub(crate) async fn row_reader(&self) -> Result<Reader<Packets>, SourceError> {
        self.lend(&self.idle_row_readers, || self.open_for_rows()).await
    }

    async fn lend<S, F>(&self, idle: &Idle<S>, open: impl FnOnce() -> F) -> Result<Reader<S>, SourceError>
    where
        F: Future<Output = Result<Connection<S>, SourceError>>,
    {
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let permit = permit.map_err(|closed| SourceError::transient("wait for a reader connection", closed))?;
        let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => open().await?,
        };
        Ok(Reader { connection, idle: Arc::clone(idle), _permit: permit })
    }

    /// How long an answer may take that isn't rows of a table.
    pub(crate) fn query_timeout(&self) -> Duration {
        self.settings.query_timeout
    }
}

impl<S> Reader<S> {
    /// Keeps it for the next read. Its last answer has been read to the end and no transaction is open.
    pub(crate) fn give_back(self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.connection);
    }
}

impl<S: Session> Connection<S> {
    /// The rows of a query of ours, all at once, within a time limit.
    pub(crate) async fn rows<T>(&mut self, limit: Duration, what: &str, query: &str) -> Result<Vec<T>, SourceError>
    where
        T: FromRow + Send + 'static,
    {
        match timeout(limit, self.conn.rows(query)).await {
            Ok(rows) => rows.map_err(|error| classify(what, error)),
            Err(elapsed) => Err(SourceError::transient(format!("{what} within {} s", limit.as_secs()), elapsed)),
        }
    }

    /// A statement of ours that has no rows to answer.
    pub(crate) async fn execute(&mut self, limit: Duration, what: &str, statement: &str) -> Result<(), SourceError> {
        match timeout(limit, self.conn.execute(statement)).await {
            Ok(done) => done.map_err(|error| classify(what, error)),
            Err(elapsed) => Err(SourceError::transient(format!("{what} within {} s", limit.as_secs()), elapsed)),
        }
    }
}

/// For errors and logs.
pub(crate) fn address(opts: &Opts) -> String {
    match opts.ip_or_hostname() {
        host if host.contains(':') => format!("[{host}]:{}", opts.tcp_port()),
        host => format!("{host}:{}", opts.tcp_port()),
    }
}

impl Server {
    async fn ask(conn: &mut impl Session) -> Result<Self, Error> {
        let rows: Vec<(String, u8)> = conn.rows("SELECT VERSION(), @@lower_case_table_names").await?;
        let (text, lower_case_table_names) = rows.into_iter().next().unwrap_or_default();
        let version = Version::parse(&text);
        let version = version.ok_or(DriverError::CantParseServerVersion { version_string: text })?;
        let (identity, gtid) = match version.flavor {
            // The id is unique among the servers of one replication set-up, which is all that a failover chooses from.
            Flavor::MariaDb => {
                let ids: Vec<u32> = conn.rows("SELECT @@server_id").await?;
                (ServerIdentity::Id(ids.into_iter().next().unwrap_or_default()), true)
            }
            Flavor::MySql => {
                let rows: Vec<(String, String)> = conn.rows("SELECT @@server_uuid, @@gtid_mode").await?;
                let (uuid, gtid_mode) = rows.into_iter().next().unwrap_or_default();
                let uuid = uuid.parse().map_err(|()| DriverError::CantParseServerVersion { version_string: uuid })?;
                (ServerIdentity::Uuid(uuid), gtid_mode == "ON")
            }
        };
        let names = NameCase::from_variable(lower_case_table_names).unwrap_or(NameCase::Sensitive);
        Ok(Self { version, identity, names, gtid })
    }
}

/// Settings of the session that queries of ours rely on, whatever the server's own are.
async fn prepare(conn: &mut impl Session, server: &Server) -> Result<(), Error> {
    // Instants as UTC, as the log has them; names quoted, as those who read definitions and grants expect; no limits on
    // long scans; no wait without end for a table's lock.
    let mut settings = format!(
        "SET SESSION time_zone = '+00:00', sql_mode = '', sql_quote_show_create = ON, lock_wait_timeout = {LOCK_WAIT_SECONDS}, \
         sql_select_limit = {NO_SELECT_LIMIT}, sql_big_selects = ON, net_write_timeout = 600, wait_timeout = 28800"
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
        // Rows as they are now, not as of the moment that the server may name for all its sessions.
        Flavor::MariaDb if server.version.at_least(10, 3, 4) => {
            settings.push_str(", max_statement_time = 0, system_versioning_asof = DEFAULT");
        }
        Flavor::MariaDb => settings.push_str(", max_statement_time = 0"),
    }
    conn.execute(&settings).await?;
    conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await
}
