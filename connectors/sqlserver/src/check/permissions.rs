//! What the user may do, as far as following needs it.

use millstream_core::error::SourceError;
use millstream_core::schema::TableName;
use millstream_core::source::{Problem, Severity};

use super::problem;
use crate::config::{CaptureInstances, Cleanup, Settings};
use crate::connect::Connection;
use crate::field::{int, text};
use crate::quote::{quoted, quoted_table, within};
use crate::server::{Engine, Version};

/// SQL Server 2022 divided VIEW DATABASE STATE; the part that performance belongs to suffices.
const DIVIDED_STATE: Version = Version { major: 16, minor: 0, build: 0 };

/// See the module's docs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Permissions {
    database: String,
    /// The user in the database.
    pub(super) user: String,
    /// Whether the views of the log and of its scans may be read.
    pub(super) sees_state: bool,
    /// Whether the permission for them is one of its own, which is less than all of VIEW DATABASE STATE.
    divided_state: bool,
    /// Whether change tables and CDC's catalog may be read; `None` while there is no such schema.
    reads_changes: Option<bool>,
    /// Whether the user is a member of `db_owner`.
    is_owner: bool,
}

impl Permissions {
    pub(super) async fn read(connection: &mut Connection) -> Result<Self, SourceError> {
        let query = "SELECT USER_NAME(), HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'VIEW DATABASE STATE'), \
                     HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'VIEW DATABASE PERFORMANCE STATE'), \
                     HAS_PERMS_BY_NAME('cdc', 'SCHEMA', 'SELECT'), IS_MEMBER('db_owner'), SCHEMA_ID('cdc')";
        let row = connection.row("look at the user's permissions", query, &[]).await?;
        let granted = |place| row.as_ref().and_then(|row| int(row, place)) == Some(1);
        let divided_state = connection.server.version >= DIVIDED_STATE;
        Ok(Self {
            database: connection.server.database.clone(),
            user: row.as_ref().map(|row| text(row, 0)).unwrap_or_default(),
            sees_state: granted(1) || granted(2),
            divided_state: divided_state && connection.server.engine != Engine::AzureDatabase,
            reads_changes: row.as_ref().and_then(|row| int(row, 5)).map(|_| granted(3)),
            is_owner: granted(4),
        })
    }

    /// What has to be granted. `captures`: whether change data capture is on for the database.
    pub(super) fn problems(&self, settings: &Settings, captures: bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        let user = quoted(&self.user);
        let subject = |what: &str| format!("permission {what}");
        if !self.sees_state {
            let permission = match self.divided_state {
                true => "VIEW DATABASE PERFORMANCE STATE",
                false => "VIEW DATABASE STATE",
            };
            problems.push(problem(
                Severity::Error,
                subject(permission),
                "not granted: how far the log goes, and how far it has been captured, can't be seen",
                self.within(&format!("GRANT {permission} TO {user};")),
            ));
        }
        // There is no such schema before; but then it is clear that the grant will be needed.
        let reads_changes = if captures { self.reads_changes != Some(false) } else { self.is_owner };
        if !reads_changes {
            problems.push(problem(
                Severity::Error,
                subject("SELECT on schema cdc"),
                "not granted: changes can't be read",
                self.within(&format!("GRANT SELECT ON SCHEMA::cdc TO {user};")),
            ));
        }
        let wants_owner = [
            (
                settings.capture_instances == CaptureInstances::Auto,
                "capture_instances: auto",
                "capture_instances: manual",
            ),
            (settings.cleanup == Cleanup::Acknowledged, "cleanup: acknowledged", "cleanup: server"),
        ];
        for (_, setting, otherwise) in wants_owner.into_iter().filter(|(wanted, ..)| *wanted && !self.is_owner) {
            problems.push(problem(
                Severity::Error,
                format!("setting {setting}"),
                format!("user {} isn't a member of db_owner, which the server's procedures for it require", self.user),
                self.within(&format!("ALTER ROLE db_owner ADD MEMBER {user}; -- or set {otherwise}")),
            ));
        }
        problems
    }

    /// Lets the user read a table.
    pub(super) fn grant_select(&self, table: &TableName) -> String {
        self.within(&format!("GRANT SELECT ON {} TO {};", quoted_table(table), quoted(&self.user)))
    }

    /// Lets the user read all tables of a schema.
    pub(super) fn grant_select_schema(&self, schema: &str) -> String {
        self.within(&format!("GRANT SELECT ON SCHEMA::{} TO {};", quoted(schema), quoted(&self.user)))
    }

    /// Lets the user see values that are masked.
    pub(super) fn grant_unmask(&self) -> String {
        self.within(&format!("GRANT UNMASK TO {};", quoted(&self.user)))
    }

    /// Statements as they are to be run in whatever session.
    pub(super) fn within(&self, statements: &str) -> String {
        within(&self.database, statements)
    }

    /// Who runs statements of ours that only owners may run.
    pub(super) fn is_owner(&self) -> bool {
        self.is_owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SqlServerConfig;

    #[test]
    fn everything_that_is_lacking_is_told_with_its_grant() {
        let permissions = Permissions {
            database: "shop".into(),
            user: "mill]stream".into(),
            sees_state: false,
            divided_state: false,
            reads_changes: Some(false),
            is_owner: false,
        };
        let config = SqlServerConfig {
            capture_instances: CaptureInstances::Auto,
            cleanup: Cleanup::Acknowledged,
            ..SqlServerConfig::new("mssql://me:x@h/d")
        };
        let remedies: Vec<String> = permissions
            .problems(&config.settings("s").unwrap(), true)
            .into_iter()
            .map(|problem| problem.remedy)
            .collect();
        assert_eq!(
            remedies,
            [
                "USE [shop]; GRANT VIEW DATABASE STATE TO [mill]]stream];",
                "USE [shop]; GRANT SELECT ON SCHEMA::cdc TO [mill]]stream];",
                "USE [shop]; ALTER ROLE db_owner ADD MEMBER [mill]]stream]; -- or set capture_instances: manual",
                "USE [shop]; ALTER ROLE db_owner ADD MEMBER [mill]]stream]; -- or set cleanup: server",
            ]
        );
    }
}
