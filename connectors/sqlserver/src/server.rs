//! What a server says of itself and of the database that it is asked for.

use tiberius::Row;

use crate::connect::Connection;
use crate::error::QueryError;
use crate::field::{int, text};

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) version: Version,
    /// The database that the connection is in.
    pub(crate) database: String,
    /// The database's collation.
    pub(crate) collation: String,
}

/// Which of its kinds a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Engine {
    /// SQL Server with all features (Enterprise, Developer, Evaluation).
    #[default]
    Enterprise,
    /// SQL Server Standard.
    Standard,
    /// SQL Server Express or Personal: without the agent, and without change data capture.
    Express,
    /// Azure SQL Database: no agent, capture by a scheduler of its own.
    AzureDatabase,
    /// Azure SQL Managed Instance.
    AzureManagedInstance,
    /// Something else of the family, by its number.
    Other(i32),
}

impl Engine {
    fn from_edition(edition: i32) -> Self {
        match edition {
            2 => Engine::Standard,
            3 => Engine::Enterprise,
            1 | 4 => Engine::Express,
            5 => Engine::AzureDatabase,
            8 => Engine::AzureManagedInstance,
            other => Engine::Other(other),
        }
    }

    /// Whether an agent runs the capture job, whose state and settings can be looked at.
    pub(crate) fn has_agent(self) -> bool {
        !matches!(self, Engine::AzureDatabase | Engine::Express)
    }
}

/// `15.0.4000`: 13 is SQL Server 2016, 14 is 2017, 15 is 2019, 16 is 2022, 17 is 2025. Azure SQL says 12 for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Version {
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) build: u16,
}

impl Version {
    /// What can't be read counts as 0.
    fn parse(text: &str) -> Self {
        let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        Self { major: next(), minor: next(), build: next() }
    }
}

impl Server {
    pub(crate) async fn ask(connection: &mut Connection) -> Result<Self, QueryError> {
        let row = connection
            .row(
                "ask the server what it is",
                "SELECT CAST(SERVERPROPERTY('EngineEdition') AS int), \
                 CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), DB_NAME(), \
                 CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128))",
                &[],
            )
            .await?;
        Ok(row.map(|row| Self::from_row(&row)).unwrap_or_default())
    }

    fn from_row(row: &Row) -> Self {
        Self {
            engine: Engine::from_edition(int(row, 0).unwrap_or_default()),
            version: Version::parse(&text(row, 1)),
            database: text(row, 2),
            collation: text(row, 3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare() {
        let version = |text| Version::parse(text);
        assert_eq!(version("15.0.4123.1"), Version { major: 15, minor: 0, build: 4_123 });
        assert!(version("16.0.1000.6") > version("15.0.4123.1"));
        assert_eq!(version("nonsense"), Version::default());
    }
}
