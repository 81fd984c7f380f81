//! A database on a real server as the suite's source.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use millstream_core::source::SourceConnector;
use millstream_mysql::MySqlConfig;
use millstream_testkit::conformance::sql::{Dialect, definition, names, statement};
use millstream_testkit::conformance::{Backend, BackendError, Capability, ColumnType, Operation, TypeCase};
use millstream_testkit::{Endpoint, FaultProxy, Flavor, Server, ServerOptions, shared};
use tokio::sync::Mutex;

use super::types;

/// The session that the suite's literals are meant for.
const SESSION: &str = "SET NAMES utf8mb4; SET time_zone = '+00:00'";

pub trait Kind: Send + Sync + 'static {
    const FLAVOR: Flavor;
    const NAME: &'static str;
}

pub struct OnMySql;
pub struct OnMariaDb;

impl Kind for OnMySql {
    const FLAVOR: Flavor = Flavor::MySql;
    const NAME: &'static str = "mysql";
}

impl Kind for OnMariaDb {
    const FLAVOR: Flavor = Flavor::MariaDb;
    const NAME: &'static str = "mariadb";
}

pub type MySql = Database<OnMySql>;
pub type MariaDb = Database<OnMariaDb>;

/// A database of a case's own.
pub struct Database<K> {
    endpoint: Endpoint,
    /// A server of the case's own, where it does to it what others wouldn't like.
    own: Option<Mutex<Server>>,
    name: String,
    proxy: FaultProxy,
    kind: PhantomData<K>,
}

struct MySqlDialect;

impl Dialect for MySqlDialect {
    fn quoted(&self, name: &str) -> String {
        format!("`{name}`")
    }

    fn column_type(&self, kind: &ColumnType) -> String {
        match kind {
            ColumnType::Integer => "INT".to_owned(),
            ColumnType::LongInteger => "BIGINT".to_owned(),
            ColumnType::Text(chars) => format!("VARCHAR({chars})"),
            ColumnType::Native(kind) => kind.clone(),
        }
    }

    fn one_row(&self) -> (&'static str, &'static str) {
        ("", " LIMIT 1")
    }
}

fn sql(operation: &Operation) -> String {
    statement(&MySqlDialect, operation).unwrap_or_else(|| match operation {
        Operation::RenameTable { from, to } => format!("RENAME TABLE `{from}` TO `{to}`"),
        Operation::SwapTables { left, right } => {
            format!("RENAME TABLE `{left}` TO `swap`, `{right}` TO `{left}`, `swap` TO `{right}`")
        }
        Operation::RenameColumn { table, from, to } => {
            format!("ALTER TABLE `{table}` RENAME COLUMN `{from}` TO `{to}`")
        }
        Operation::RetypeColumn { table, column } => {
            format!("ALTER TABLE `{table}` MODIFY COLUMN {}", definition(&MySqlDialect, column))
        }
        Operation::ChangeKey { table, key } => {
            let key = names(&MySqlDialect, key);
            format!("ALTER TABLE `{table}` DROP PRIMARY KEY, ADD PRIMARY KEY ({key})")
        }
        other => panic!("no SQL for {other:?}"),
    })
}

impl<K: Kind> Database<K> {
    async fn run(&self, transaction: &[Operation], end: &str) -> Result<(), BackendError> {
        let statements: Vec<String> = transaction.iter().map(sql).collect();
        let statements = match statements.as_slice() {
            [one] if end == "COMMIT" => format!("{SESSION}; {one}"),
            several => format!("{SESSION}; BEGIN; {}; {end}", several.join("; ")),
        };
        Ok(self.endpoint.sql_in(&self.name, &statements).await?)
    }
}

#[async_trait]
impl<K: Kind> Backend for Database<K> {
    const NAME: &'static str = K::NAME;

    fn lacks() -> &'static [(Capability, &'static str)] {
        &[]
    }

    async fn start(needs: &[Capability]) -> Result<Self, BackendError> {
        let disturbs = needs.contains(&Capability::RestartSource) || needs.contains(&Capability::LoseLog);
        let own = if disturbs { Some(Server::start(K::FLAVOR, ServerOptions::new()).await?) } else { None };
        let endpoint = match &own {
            Some(server) => server.endpoint(),
            None => shared(K::FLAVOR).await?,
        };
        let name = endpoint.create_database("conformance").await?;
        endpoint.sql(&format!("ALTER DATABASE `{name}` CHARACTER SET utf8mb4")).await?;
        let proxy = FaultProxy::start(endpoint.address()).await?;
        Ok(Self { endpoint, own: own.map(Mutex::new), name, proxy, kind: PhantomData })
    }

    fn namespace(&self) -> String {
        self.name.clone()
    }

    fn connector(&self) -> Result<Arc<dyn SourceConnector>, BackendError> {
        let uri = format!("mysql://root@127.0.0.1:{}/{}", self.proxy.port(), self.name);
        Ok(MySqlConfig::new(uri).build("conformance")?)
    }

    async fn execute(&self, transaction: &[Operation]) -> Result<(), BackendError> {
        self.run(transaction, "COMMIT").await
    }

    async fn roll_back(&self, transaction: &[Operation]) -> Result<(), BackendError> {
        self.run(transaction, "ROLLBACK").await
    }

    fn types(&self) -> Vec<TypeCase> {
        types::of(K::FLAVOR)
    }

    fn proxy(&self) -> Option<&FaultProxy> {
        Some(&self.proxy)
    }

    async fn restart_source(&self, kill: bool) -> Result<(), BackendError> {
        let server = self.own.as_ref().ok_or("the server belongs to others as well")?;
        let mut server = server.lock().await;
        if kill {
            server.kill().await?;
        }
        Ok(server.restart().await?)
    }

    async fn lose_log(&self) -> Result<(), BackendError> {
        self.endpoint.sql("FLUSH BINARY LOGS").await?;
        let files = self.endpoint.rows("SHOW BINARY LOGS").await?;
        let newest = files.last().and_then(|row| row.first()).cloned().flatten().ok_or("no binary log")?;
        Ok(self.endpoint.sql(&format!("PURGE BINARY LOGS TO '{newest}'")).await?)
    }
}
