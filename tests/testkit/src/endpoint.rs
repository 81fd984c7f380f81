//! How to reach a server, and SQL on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};

use crate::error::Error;
use crate::prefix::Flavor;

/// How to reach a server. It says nothing about who keeps the server running; see [`Server`](crate::Server) and
/// [`shared`](crate::shared()).
///
/// The test's own statements go over the server's Unix socket as `root`, so that they work whatever the test does to
/// the network, to TLS or to its users; to a server in a container they go over TCP.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(crate) flavor: Flavor,
    pub(crate) version: String,
    /// `None` for a server in a container, which is reached by its port alone.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) port: u16,
}

/// How much of a failed statement its error shows.
const STATEMENT_SHOWN_CHARS: usize = 200;

impl Endpoint {
    /// The kind of server.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// The server's version, as `9.7.4`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The port on 127.0.0.1, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// 127.0.0.1 and the port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// `mysql://user:password@127.0.0.1:port/database`; the parts are put in as they are, so keep to plain letters.
    pub fn uri(&self, user: &str, password: &str, database: &str) -> String {
        let secret = if password.is_empty() { String::new() } else { format!(":{password}") };
        format!("mysql://{user}{secret}@127.0.0.1:{}/{database}", self.port)
    }

    /// Options for a connection as `root`.
    pub fn opts(&self) -> Opts {
        let builder = OptsBuilder::default().user(Some("root"));
        match &self.socket {
            Some(socket) => builder.socket(Some(socket.display().to_string())).into(),
            None => builder.ip_or_hostname("127.0.0.1").tcp_port(self.port).prefer_socket(false).into(),
        }
    }

    /// A connection as `root`, for statements that belong to one session.
    pub async fn connect(&self) -> Result<Conn, Error> {
        Conn::new(self.opts()).await.map_err(self.sql_error("(connecting)"))
    }

    /// Runs statements, separated by semicolons, one after the other; stops at the first that fails.
    pub async fn sql(&self, statements: &str) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let outcome = connection.query_drop(statements).await.map_err(self.sql_error(statements));
        disconnect(connection).await;
        outcome
    }

    /// As [`sql`](Self::sql), with `database` as the default database.
    pub async fn sql_in(&self, database: &str, statements: &str) -> Result<(), Error> {
        self.sql(&format!("USE `{database}`;\n{statements}")).await
    }

    /// The rows of one query as text, `None` being NULL. Bytes that are no UTF-8 are shown as replacement characters.
    pub async fn rows(&self, query: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut connection = self.connect().await?;
        let rows: Result<Vec<Row>, Error> = connection.query(query).await.map_err(self.sql_error(query));
        disconnect(connection).await;
        Ok(rows?.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
    }

    /// The first column of the first row of a query; `None` when that is NULL or there is no row.
    pub async fn value(&self, query: &str) -> Result<Option<String>, Error> {
        Ok(self.rows(query).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// Makes a database for one test: its name begins with `stem` and no other test has it, in this process or, on a
    /// shared server, in another.
    pub async fn create_database(&self, stem: &str) -> Result<String, Error> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{stem}_{}_{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE `{name}`")).await?;
        Ok(name)
    }

    /// Makes a user with these privileges, as `SELECT, REPLICATION SLAVE`, on everything; `""` for none at all.
    pub async fn create_user(&self, user: &str, password: &str, privileges: &str) -> Result<(), Error> {
        let mut statements = format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}';");
        if !privileges.is_empty() {
            statements.push_str(&format!("GRANT {privileges} ON *.* TO '{user}'@'%';"));
        }
        self.sql(&statements).await
    }

    /// What a user needs to follow the binlog and read the tables.
    pub async fn create_replication_user(&self, user: &str, password: &str) -> Result<(), Error> {
        self.create_user(user, password, "SELECT, REPLICATION SLAVE, REPLICATION CLIENT").await
    }

    fn sql_error(&self, statement: &str) -> impl FnOnce(mysql_async::Error) -> Error + use<> {
        let flavor = self.flavor().name();
        let statement = statement.chars().take(STATEMENT_SHOWN_CHARS).collect();
        move |source| Error::Sql { flavor, statement, source }
    }
}

/// A dropped connection says good-bye in a task of the test's runtime, which may be gone by then.
async fn disconnect(connection: Conn) {
    // The statement's own outcome is what counts; a connection that is lost anyway needs no good-bye.
    let _outcome = connection.disconnect().await;
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        // The text protocol sends nothing else.
        other => Some(other.as_sql(true)),
    }
}
