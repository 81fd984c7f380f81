//! The server and the database as a whole.

use millstream_core::error::SourceError;
use millstream_core::source::{Problem, Severity};
use tiberius::Row;

use super::permissions::Permissions;
use super::{attempt, problem};
use crate::capture::statements;
use crate::connect::Connection;
use crate::field::{bit, int, text};
use crate::quote::{literal, quoted};
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
    host: Host,
    /// The service tier of an Azure SQL Database that is too small for change data capture.
    small_tier: Option<String>,
}

/// Whoever runs the server, as far as capture is turned on in a way of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Host {
    #[default]
    Unknown,
    AmazonRds,
    GoogleCloud,
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
        let (host, small_tier) = match found.server.engine {
            Engine::AzureDatabase => (Host::Unknown, small_tier(connection).await?),
            _ => (Host::ask(connection).await?, None),
        };
        Ok(Self { delayed_durability: !delayed.is_empty(), host, small_tier, ..found })
    }

    fn from_row(server: Server, row: &Row) -> Self {
        Self {
            server,
            captures: bit(row, 0),
            row_versions: bit(row, 1),
            read_only: text(row, 2) == "READ_ONLY",
            ..Self::default()
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
            Engine::AzureDatabase => self.small_tier.as_ref().map(|tier| {
                problem(
                    Severity::Error,
                    "service tier",
                    format!("{tier} has no change data capture, which needs vCores or at least S3"),
                    format!("ALTER DATABASE {} MODIFY (SERVICE_OBJECTIVE = 'S3');", quoted(&self.server.database)),
                )
            }),
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
        let remedy = match (self.host, self.server.engine) {
            (Host::AmazonRds, _) => format!("EXEC msdb.dbo.rds_cdc_enable_db {};", literal(database)),
            (Host::GoogleCloud, _) => format!("EXEC msdb.dbo.gcloudsql_cdc_enable_db {};", literal(database)),
            (Host::Unknown, engine) => {
                let who = match engine {
                    Engine::AzureDatabase if permissions.is_owner() => "",
                    Engine::AzureDatabase => " -- as a member of db_owner",
                    _ => " -- as a member of sysadmin",
                };
                format!("USE {}; {};{who}", quoted(database), statements::ENABLE_DATABASE)
            }
        };
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

impl Host {
    /// Each has something of its own in the server.
    async fn ask(connection: &mut Connection) -> Result<Self, SourceError> {
        let query = "SELECT DB_ID(N'rdsadmin'), OBJECT_ID(N'msdb.dbo.gcloudsql_cdc_enable_db')";
        let rows = attempt(connection, query).await?.unwrap_or_default();
        let Some(row) = rows.first() else { return Ok(Host::Unknown) };
        // DB_ID is a smallint.
        let is_rds = row.try_get::<i16, _>(0).ok().flatten().is_some() || int(row, 0).is_some();
        Ok(match int(row, 1) {
            _ if is_rds => Host::AmazonRds,
            Some(_) => Host::GoogleCloud,
            None => Host::Unknown,
        })
    }
}

async fn small_tier(connection: &mut Connection) -> Result<Option<String>, SourceError> {
    let query = "SELECT edition, service_objective FROM sys.database_service_objectives";
    let rows = attempt(connection, query).await?.unwrap_or_default();
    let Some(row) = rows.first() else { return Ok(None) };
    let (edition, tier) = (text(row, 0), text(row, 1));
    Ok((edition == "Basic" || ["S0", "S1", "S2"].contains(&tier.as_str())).then(|| format!("{edition} {tier}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(engine: Engine, major: u16) -> Database {
        let version = Version { major, minor: 0, build: 1_000 };
        let server = Server { engine, version, database: "shop".into(), collation: String::new() };
        Database { server, captures: true, row_versions: true, ..Database::default() }
    }

    #[test]
    fn only_servers_that_can_capture_are_taken() {
        assert_eq!(database(Engine::Enterprise, 16).version_problem(), None);
        assert_eq!(database(Engine::AzureDatabase, 12).version_problem(), None, "Azure says 12 for ever");
        let small = Database { small_tier: Some("Standard S0".into()), ..database(Engine::AzureDatabase, 12) };
        assert!(small.version_problem().unwrap().remedy.contains("SERVICE_OBJECTIVE = 'S3'"));
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
