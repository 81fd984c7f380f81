//! The server and the database as a whole.

use millstream_core::error::SourceError;
use millstream_core::source::{Problem, Severity};
use tiberius::Row;

use super::permissions::Permissions;
use super::{attempt, bit, problem, text};
use crate::capture::statements;
use crate::connect::Connection;
use crate::quote::quoted;
use crate::server::{Engine, Server, Version};

/// SQL Server 2017: the first with all functions that the queries use.
const VERSION_MIN: Version = Version { major: 14, minor: 0, build: 0 };

/// What the server says of the database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Database {
    server: Server,
    /// Whether change data capture is on.
    pub(super) captures: bool,
    row_versions: bool,
    read_only: bool,
    /// Whether commits may become visible before they are in the log.
    delayed_durability: bool,
}

impl Database {
    pub(super) async fn read(connection: &mut Connection) -> Result<Self, SourceError> {
        let query = "SELECT is_cdc_enabled, is_read_committed_snapshot_on, \
                     CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(128)) \
                     FROM sys.databases WHERE name = DB_NAME()";
        let row = connection.row("look at the database", query, &[]).await?;
        let server = connection.server.as_ref().clone();
        let found = row.map(|row| Self::from_row(server, &row)).unwrap_or_default();
        let query = "SELECT 1 FROM sys.databases WHERE name = DB_NAME() AND delayed_durability <> 0";
        let delayed = attempt(connection, query).await?.unwrap_or_default();
        Ok(Self { delayed_durability: !delayed.is_empty(), ..found })
    }

    fn from_row(server: Server, row: &Row) -> Self {
        Self {
            server,
            captures: bit(row, 0),
            row_versions: bit(row, 1),
            read_only: text(row, 2) == "READ_ONLY",
            delayed_durability: false,
        }
    }

    pub(super) fn problems(&self, permissions: &Permissions) -> Vec<Problem> {
        let found = [
            self.version_problem(),
            self.replica_problem(),
            self.capture_problem(permissions),
            self.durability_problem(),
            self.isolation_problem(),
        ];
        found.into_iter().flatten().collect()
    }

    fn version_problem(&self) -> Option<Problem> {
        let Server { engine, version, .. } = &self.server;
        match engine {
            Engine::Express => Some(problem(
                Severity::Error,
                "edition",
                "SQL Server Express has no change data capture",
                "Move the database to SQL Server Standard, Enterprise or Developer, or to Azure SQL",
            )),
            Engine::Other(number) => Some(problem(
                Severity::Warning,
                "edition",
                format!("engine edition {number} is none that Millstream is made for"),
                "Use SQL Server 2017 or later, Azure SQL Database or Azure SQL Managed Instance",
            )),
            Engine::Standard | Engine::Enterprise if *version < VERSION_MIN => Some(problem(
                Severity::Error,
                "version",
                format!("{}.{}.{} is too old", version.major, version.minor, version.build),
                "Upgrade to SQL Server 2017 or later",
            )),
            _ => None,
        }
    }

    fn replica_problem(&self) -> Option<Problem> {
        self.read_only.then(|| {
            problem(
                Severity::Error,
                format!("database {}", self.server.database),
                "it is read-only here: a secondary replica, or set so",
                "Connect to the primary replica, for instance by the availability group's listener",
            )
        })
    }

    fn capture_problem(&self, permissions: &Permissions) -> Option<Problem> {
        if self.captures {
            return None;
        }
        let database = &self.server.database;
        let who = match (self.server.engine, permissions.is_owner()) {
            (Engine::AzureDatabase, true) => "as this user",
            (Engine::AzureDatabase, false) => "as a member of db_owner",
            _ => "as a member of sysadmin",
        };
        let mut remedy = format!("Run {who}: USE {}; {};", quoted(database), statements::ENABLE_DATABASE);
        match self.server.engine {
            // It tells hosted servers no other way.
            Engine::Standard | Engine::Enterprise => remedy.push_str(&format!(
                " On Amazon RDS: EXEC msdb.dbo.rds_cdc_enable_db {0}; on Google Cloud SQL: EXEC \
                 msdb.dbo.gcloudsql_cdc_enable_db {0};",
                crate::quote::literal(database)
            )),
            Engine::AzureDatabase => remedy.push_str(
                " The database must have vCores, or at least the service tier S3: smaller ones have no change data \
                 capture",
            ),
            _ => {}
        }
        Some(problem(Severity::Error, format!("database {database}"), "change data capture is off", remedy))
    }

    /// The server doesn't support change data capture with it, and how far the log goes can't be told then.
    fn durability_problem(&self) -> Option<Problem> {
        self.delayed_durability.then(|| {
            problem(
                Severity::Error,
                "setting DELAYED_DURABILITY",
                "on: transactions may be seen before they are in the log, and may be lost after that",
                format!("ALTER DATABASE {} SET DELAYED_DURABILITY = DISABLED;", quoted(&self.server.database)),
            )
        })
    }

    fn isolation_problem(&self) -> Option<Problem> {
        // Snapshot isolation isn't needed. Without row versions reads wait for writers, and writers for reads.
        (!self.row_versions).then(|| {
            problem(
                Severity::Warning,
                "setting READ_COMMITTED_SNAPSHOT",
                "off: while tables are read for the first time or again, reads and the application's writes wait for \
                 each other",
                format!("ALTER DATABASE {} SET READ_COMMITTED_SNAPSHOT ON;", quoted(&self.server.database)),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(engine: Engine, major: u16) -> Database {
        let version = Version { major, minor: 0, build: 1_000 };
        let server = Server { engine, version, database: "shop".into(), collation: String::new() };
        Database { server, captures: true, row_versions: true, read_only: false, delayed_durability: false }
    }

    #[test]
    fn only_servers_that_can_capture_are_taken() {
        assert_eq!(database(Engine::Enterprise, 16).version_problem(), None);
        assert_eq!(database(Engine::AzureDatabase, 12).version_problem(), None, "Azure says 12 for ever");
        assert_eq!(database(Engine::Standard, 13).version_problem().unwrap().severity, Severity::Error);
        assert_eq!(database(Engine::Express, 16).version_problem().unwrap().severity, Severity::Error);
    }

    #[test]
    fn what_hinders_is_told() {
        let database = Database {
            row_versions: false,
            read_only: true,
            delayed_durability: true,
            ..database(Engine::Enterprise, 16)
        };
        assert!(database.replica_problem().unwrap().remedy.contains("primary"));
        assert!(database.durability_problem().unwrap().remedy.contains("DELAYED_DURABILITY = DISABLED"));
        assert!(database.isolation_problem().unwrap().remedy.contains("ALTER DATABASE [shop]"));
    }
}
