//! The user's privileges, as SHOW GRANTS tells them: in force, those by roles included.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::schema::TableName;
use millstream_core::source::{Problem, Severity};

use super::problem;
use crate::access;
use crate::connect::Connection;
use crate::version::{Flavor, Version};

/// What the connected user may do.
pub(crate) struct Grants {
    user: String,
    global: BTreeSet<String>,
    /// Databases with SELECT on all their tables; names with `%` and `_` as wildcards, `\` before a plain one.
    select_on: Vec<String>,
    /// SELECT on `mysql.proc`, where servers before MySQL 8.0 keep functions and procedures.
    select_on_proc: bool,
    /// Of what is granted on everything, something is taken back for some databases.
    restricted: bool,
}

impl Grants {
    pub(crate) async fn read(connection: &mut Connection, limit: Duration) -> Result<Self, SourceError> {
        let user = access::account(connection, limit).await?;
        let lines: Vec<String> = connection.rows(limit, "read the user's privileges", "SHOW GRANTS").await?;
        Ok(Self::parse(user, &lines))
    }

    fn parse(user: String, lines: &[String]) -> Self {
        let restricted = lines.iter().any(|line| line.starts_with("REVOKE "));
        let (global, select_on) = (BTreeSet::new(), Vec::new());
        let mut grants = Self { user, global, select_on, select_on_proc: false, restricted };
        for line in lines {
            let Some((privileges, scope)) = line.strip_prefix("GRANT ").and_then(|line| line.split_once(" ON ")) else {
                continue;
            };
            let names: BTreeSet<String> = privileges.split(',').map(|name| name.trim().to_ascii_uppercase()).collect();
            let select = names.contains("SELECT") || names.contains("ALL PRIVILEGES");
            if scope.starts_with("*.*") {
                grants.global.extend(names);
            } else if select && scope.starts_with("`mysql`.`proc` ") {
                grants.select_on_proc = true;
            } else if let Some((database, _)) = scope.strip_prefix('`').and_then(|scope| scope.split_once("`.*"))
                && select
            {
                grants.select_on.push(database.replace("``", "`"));
            }
        }
        grants
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().chain(&["ALL PRIVILEGES"]).any(|name| self.global.contains(*name))
    }

    /// Whether SELECT is granted on every table of a database.
    pub(super) fn select_all(&self, database: &str) -> bool {
        self.has(&["SELECT"]) || self.select_on.iter().any(|pattern| matches(pattern, database))
    }

    /// The statement that lets the user read these tables of a database: all of them if none is named.
    pub(super) fn grant_select(&self, database: &str, table: Option<&TableName>) -> String {
        access::grant_select(&self.user, database, table)
    }

    /// The statements that let the user see every view, trigger, function and procedure with its body; `None` if it
    /// sees them. It has to be every one, as those of any database may write to the selected tables.
    pub(crate) fn missing_on_stored_objects(&self, version: Version) -> Option<String> {
        let (names, proc): (&[&str], bool) = match version.flavor {
            Flavor::MySql if version.at_least(8, 0, 20) => (&["SHOW_ROUTINE", "SELECT"], false),
            Flavor::MySql if version.at_least(8, 0, 0) => (&["SELECT"], false),
            Flavor::MySql | Flavor::MariaDb => (&["SELECT"], true),
        };
        let sees_routines = self.has(names) || (proc && (self.select_on_proc || self.select_all("mysql")));
        if sees_routines && self.has(&["TRIGGER"]) && self.has(&["SHOW VIEW"]) && !self.restricted {
            return None;
        }
        Some(match (proc, names) {
            (true, _) => {
                let user = &self.user;
                format!("GRANT TRIGGER, SHOW VIEW ON *.* TO {user}; GRANT SELECT ON mysql.proc TO {user};")
            }
            (false, names) => {
                format!("GRANT TRIGGER, SHOW VIEW, {} ON *.* TO {};", names.first().unwrap_or(&"SELECT"), self.user)
            }
        })
    }

    /// What following the log takes.
    pub(super) fn problems(&self, version: Version) -> Vec<Problem> {
        let (monitor, monitor_names): (_, &[&str]) = match version.flavor {
            Flavor::MySql => ("REPLICATION CLIENT", &["REPLICATION CLIENT", "SUPER"]),
            Flavor::MariaDb => ("BINLOG MONITOR", &["BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"]),
        };
        let needed: [(&str, &[&str], &str); 2] = [
            ("REPLICATION SLAVE", &["REPLICATION SLAVE"], "receive the binary log"),
            (monitor, monitor_names, "ask for the log's position and files"),
        ];
        let missing = needed.iter().filter(|(_, names, _)| !self.has(names));
        let to_problem = |(name, _, purpose): &(&str, &[&str], &str)| {
            problem(
                Severity::Error,
                format!("privilege {name}"),
                format!("{} lacks it; it is needed to {purpose}", self.user),
                format!("GRANT {name} ON *.* TO {};", self.user),
            )
        };
        missing.map(to_problem).collect()
    }
}

/// Whether a database's name fits one in a GRANT.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('%') => {
            let starts = name.char_indices().map(|(index, _)| index).chain([name.len()]);
            starts.into_iter().any(|start| name.get(start..).is_some_and(|tail| matches(rest.as_str(), tail)))
        }
        Some(first) => {
            let (wanted, any) = match first {
                '\\' => (rest.next().unwrap_or('\\'), false),
                '_' => ('_', true),
                other => (other, false),
            };
            let mut tail = name.chars();
            tail.next().is_some_and(|next| (any || next == wanted) && matches(rest.as_str(), tail.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        Grants::parse("'u'@'%'".to_owned(), &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }

    fn missing(lines: &[&str], flavor: Flavor) -> Vec<String> {
        grants(lines).problems(Version::new(flavor, 10, 11, 0)).into_iter().map(|problem| problem.remedy).collect()
    }

    #[test]
    fn missing_privileges_come_with_their_grants() {
        let nothing = ["GRANT USAGE ON *.* TO `u`@`%`"];
        assert_eq!(
            missing(&nothing, Flavor::MySql),
            ["GRANT REPLICATION SLAVE ON *.* TO 'u'@'%';", "GRANT REPLICATION CLIENT ON *.* TO 'u'@'%';"]
        );
        assert_eq!(missing(&nothing, Flavor::MariaDb)[1], "GRANT BINLOG MONITOR ON *.* TO 'u'@'%';");
        let roles = [
            "GRANT `r1` TO `u`@`%`",
            "GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `r1`",
            "SET DEFAULT ROLE `r1` FOR `u`@`%`",
        ];
        assert!(missing(&roles, Flavor::MariaDb).is_empty());
        assert!(missing(&["GRANT ALL PRIVILEGES ON *.* TO `u`@`%` WITH GRANT OPTION"], Flavor::MySql).is_empty());
    }

    #[test]
    fn select_counts_for_the_databases_it_is_granted_on() {
        let grants = grants(&[
            "GRANT SELECT, INSERT ON `shop\\_1`.* TO `u`@`%`",
            "GRANT ALL PRIVILEGES ON `test_%`.* TO `u`@`%`",
            "GRANT SELECT ON `other`.`table` TO `u`@`%`",
            "GRANT INSERT ON `written`.* TO `u`@`%`",
        ]);
        for (database, expected) in [
            ("shop_1", true),
            ("shop21", false),
            ("test_a", true),
            ("testxyz", true),
            ("test_", true),
            ("tes", false),
            ("other", false),
            ("written", false),
        ] {
            assert_eq!(grants.select_all(database), expected, "{database}");
        }
        assert_eq!(
            grants.grant_select("a`b", Some(&TableName::new("a`b", "t"))),
            "GRANT SELECT ON `a``b`.`t` TO 'u'@'%';"
        );
    }
}
