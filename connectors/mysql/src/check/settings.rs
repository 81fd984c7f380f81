//! The server's settings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::selection::Selection;
use millstream_core::source::{Problem, Severity};
use mysql_async::{FromRowError, Row, Value, prelude::FromRow};

use super::{Grants, attempt, problem};
use crate::connect::Connection;
use crate::ddl::NameCase;
use crate::version::{Flavor, Version};

/// A log that is kept for less than this may be gone after a weekend.
const RETENTION_SECONDS_MIN: f64 = 3.0 * DAY_SECONDS;
const DAY_SECONDS: f64 = 86_400.0;
const RETENTION_SECONDS_ADVISED: u32 = 7 * 86_400;

/// The variables' values by their names.
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    }
}

/// Problems with settings, and with what they make of the selection.
pub(super) async fn problems(
    connection: &mut Connection,
    limit: Duration,
    selection: &Selection,
    grants: &Grants,
) -> Result<Vec<Problem>, SourceError> {
    let variables: Vec<(String, String)> =
        connection.rows(limit, "read the server's variables", "SHOW GLOBAL VARIABLES").await?;
    let variables = Variables(variables.into_iter().collect());
    let server = connection.server.clone();
    let mut problems = variable_problems(server.version, &variables);
    problems.extend(sight_problem(server.version, &variables, grants));
    problems.extend(name_case_problems(server.names, selection));
    if variables.is("log_bin", "ON") {
        problems.extend(filter_problems(connection, limit, selection).await?);
        problems.extend(replica_problem(connection, limit, &variables).await?);
    }
    Ok(problems)
}

/// The statement that changes a setting for good.
fn set(version: Version, name: &str, value: &str) -> String {
    match version.flavor {
        Flavor::MySql if version.at_least(8, 0, 0) => format!("SET PERSIST {name} = {value};"),
        _ => {
            let plain = value.trim_matches('\'');
            format!(
                "SET GLOBAL {name} = {value}; and, to outlast a restart, `{name} = {plain}` in the server's [mysqld] section"
            )
        }
    }
}

fn variable_problems(version: Version, variables: &Variables) -> Vec<Problem> {
    let mut problems = Vec::new();
    let oldest = match version.flavor {
        Flavor::MySql => Version::new(Flavor::MySql, 5, 7, 0),
        Flavor::MariaDb => Version::new(Flavor::MariaDb, 10, 5, 0),
    };
    if version.number() < oldest.number() {
        problems.push(problem(
            Severity::Error,
            "server version",
            version.to_string(),
            format!("Upgrade the server to {oldest} or later"),
        ));
    }
    if variables.is("log_bin", "OFF") {
        problems.push(problem(
            Severity::Error,
            "log_bin",
            "OFF: the server writes no binary log",
            "Put `log_bin = binlog`, `binlog_format = ROW` and a `server_id` of its own into the server's [mysqld] \
             section (take `skip_log_bin` out) and restart it",
        ));
        // What the log's other settings are doesn't matter yet, but they may as well be mended in the same go.
    }
    if variables.is("server_id", "0") {
        problems.push(problem(
            Severity::Error,
            "server_id",
            "0: the server refuses to send its binary log",
            set(version, "server_id", "1"),
        ));
    }
    problems.extend(format_problems(version, variables));
    problems.extend(metadata_problem(version, variables));
    problems.extend(gtid_problem(version, variables));
    problems.extend(retention_problem(version, variables));
    problems
}

fn format_problems(version: Version, variables: &Variables) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(format) = variables.get("binlog_format").filter(|format| !format.eq_ignore_ascii_case("ROW")) {
        let sessions = " -- and let sessions reconnect that are connected already: they keep their format";
        problems.push(problem(
            Severity::Error,
            "binlog_format",
            format!("{format}: the log holds statements instead of rows, and whatever each may have written to is read again"),
            set(version, "binlog_format", "'ROW'") + sessions,
        ));
    }
    if let Some(image) = variables.get("binlog_row_image").filter(|image| !image.eq_ignore_ascii_case("FULL")) {
        problems.push(problem(
            Severity::Warning,
            "binlog_row_image",
            format!("{image}: the log holds parts of rows, so that every changed row is read again"),
            set(version, "binlog_row_image", "'FULL'"),
        ));
    }
    if variables.get("binlog_row_value_options").is_some_and(|options| options.contains("PARTIAL_JSON")) {
        problems.push(problem(
            Severity::Warning,
            "binlog_row_value_options",
            "PARTIAL_JSON: the log holds parts of JSON values, so that such rows are read again",
            set(version, "binlog_row_value_options", "''"),
        ));
    }
    problems
}

/// What triggers and functions do is in no log that holds statements.
fn sight_problem(version: Version, variables: &Variables, grants: &Grants) -> Option<Problem> {
    variables.get("binlog_format").filter(|format| !format.eq_ignore_ascii_case("ROW"))?;
    let missing = grants.missing_on_stored_objects(version)?;
    Some(problem(
        Severity::Warning,
        "privileges on views, triggers and functions",
        "the user can't see all of them, so that every table is read again after each statement that the log holds \
         instead of rows",
        format!("{missing} It isn't needed once binlog_format is ROW in every session"),
    ))
}

fn metadata_problem(version: Version, variables: &Variables) -> Option<Problem> {
    let metadata = variables.get("binlog_row_metadata").filter(|metadata| !metadata.eq_ignore_ascii_case("FULL"))?;
    Some(problem(
        Severity::Warning,
        "binlog_row_metadata",
        format!(
            "{metadata}: rows in the log come without the names of their columns, so that more schema changes end in a re-read"
        ),
        set(version, "binlog_row_metadata", "'FULL'"),
    ))
}

fn gtid_problem(version: Version, variables: &Variables) -> Option<Problem> {
    let mode = variables.get("gtid_mode").filter(|mode| !mode.eq_ignore_ascii_case("ON"))?;
    let steps = [
        ("enforce_gtid_consistency", "WARN"),
        ("enforce_gtid_consistency", "ON"),
        ("gtid_mode", "OFF_PERMISSIVE"),
        ("gtid_mode", "ON_PERMISSIVE"),
        ("gtid_mode", "ON"),
    ];
    let order = ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];
    let reached = order.iter().position(|step| step.eq_ignore_ascii_case(mode)).unwrap_or(0);
    let left = steps.iter().filter(|(name, value)| {
        let place = order.iter().position(|step| step == value).unwrap_or(0);
        *name != "gtid_mode" || place > reached
    });
    let semi_synchronous = ["rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"];
    let too_early = match semi_synchronous.iter().any(|name| variables.is(name, "ON")) {
        true => {
            ", and while semi-synchronous replication waits for a replica, rows that the log tells of are read as they were before"
        }
        false => "",
    };
    let persist = if version.at_least(8, 0, 0) { "PERSIST" } else { "GLOBAL" };
    let statements: Vec<String> = left.map(|(name, value)| format!("SET {persist} {name} = {value};")).collect();
    let lasting =
        if version.at_least(8, 0, 0) { "" } else { " and the last two values in the server's [mysqld] section" };
    Some(problem(
        Severity::Warning,
        "gtid_mode",
        format!("{mode}: after a failover to another server everything has to be read again{too_early}"),
        format!(
            "{}{lasting} (one by one, looking for warnings in the server's log before the second)",
            statements.join(" ")
        ),
    ))
}

fn retention_problem(version: Version, variables: &Variables) -> Option<Problem> {
    if variables.is("binlog_expire_logs_auto_purge", "OFF") {
        return None;
    }
    let number =
        |name: &str| variables.get(name).and_then(|value| value.parse::<f64>().ok()).filter(|number| *number > 0.0);
    let in_seconds = number("binlog_expire_logs_seconds");
    let seconds = in_seconds.or_else(|| number("expire_logs_days").map(|days| days * DAY_SECONDS))?;
    if seconds >= RETENTION_SECONDS_MIN {
        return None;
    }
    let remedy = match variables.get("binlog_expire_logs_seconds") {
        Some(_) => set(version, "binlog_expire_logs_seconds", &RETENTION_SECONDS_ADVISED.to_string()),
        None => set(version, "expire_logs_days", &(RETENTION_SECONDS_ADVISED / 86_400).to_string()),
    };
    Some(problem(
        Severity::Warning,
        "binary log retention",
        format!("{:.1} hours: if Millstream is stopped for longer, everything has to be read again", seconds / 3_600.0),
        remedy,
    ))
}

/// Patterns that can't match because the server keeps names in lower case, or compares them so.
fn name_case_problems(names: NameCase, selection: &Selection) -> Vec<Problem> {
    let found = match names {
        NameCase::Sensitive => return Vec::new(),
        NameCase::Lower => {
            "it has capital letters, but the server keeps all names in lower case (lower_case_table_names = 1)"
        }
        NameCase::Insensitive => {
            "it has capital letters, but the server compares names in lower case (lower_case_table_names = 2)"
        }
    };
    let misspelt = selection.patterns.iter().filter_map(|pattern| {
        let folded = format!("{}.{}", names.fold(&pattern.schema), names.fold(&pattern.table));
        let written = pattern.to_string();
        (folded != written).then(|| {
            problem(Severity::Error, format!("table pattern {written}"), found, format!("Write it as {folded}"))
        })
    });
    misspelt.collect()
}

/// One row of a SHOW statement by its columns' names: which columns there are differs between versions.
struct Named(BTreeMap<String, String>);

impl FromRow for Named {
    fn from_row_opt(row: Row) -> Result<Self, FromRowError> {
        let names: Vec<String> =
            row.columns_ref().iter().map(|column| column.name_str().to_ascii_lowercase()).collect();
        let values = row.unwrap_raw().into_iter().map(|value| match value {
            Some(Value::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            _ => String::new(),
        });
        Ok(Self(names.into_iter().zip(values).collect()))
    }
}

/// Databases whose changes the server doesn't log.
async fn filter_problems(
    connection: &mut Connection,
    limit: Duration,
    selection: &Selection,
) -> Result<Vec<Problem>, SourceError> {
    let version = connection.server.version;
    let query = match version.flavor {
        Flavor::MySql if version.at_least(8, 2, 0) => "SHOW BINARY LOG STATUS",
        _ => "SHOW MASTER STATUS",
    };
    let status: Option<Vec<Named>> = attempt(connection, limit, query).await?;
    let Some(Named(status)) = status.and_then(|rows| rows.into_iter().next()) else { return Ok(Vec::new()) };
    let list = |name: &str| -> BTreeSet<String> {
        let text = status.get(name).map_or("", String::as_str);
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let (logged, ignored) = (list("binlog_do_db"), list("binlog_ignore_db"));
    let schemas: BTreeSet<&String> = selection.patterns.iter().map(|pattern| &pattern.schema).collect();
    let unlogged = schemas.into_iter().filter_map(|schema| {
        let setting = match () {
            () if ignored.contains(schema) => "binlog_ignore_db",
            () if !logged.is_empty() && !logged.contains(schema) => "binlog_do_db",
            () => return None,
        };
        Some(problem(
            Severity::Error,
            setting,
            format!("changes in the database {schema} aren't logged"),
            format!(
                "Take {setting} out of the server's configuration, or add to it what is missing, and restart the server"
            ),
        ))
    });
    Ok(unlogged.collect())
}

/// A replica that doesn't log what it receives.
async fn replica_problem(
    connection: &mut Connection,
    limit: Duration,
    variables: &Variables,
) -> Result<Option<Problem>, SourceError> {
    let updates = ["log_replica_updates", "log_slave_updates"].into_iter().find(|name| variables.is(name, "OFF"));
    let Some(setting) = updates else { return Ok(None) };
    let version = connection.server.version;
    let query = match version.flavor {
        Flavor::MySql if version.at_least(8, 0, 22) => "SHOW REPLICA STATUS",
        _ => "SHOW SLAVE STATUS",
    };
    let status: Option<Vec<Named>> = attempt(connection, limit, query).await?;
    let is_replica = status.is_some_and(|rows| !rows.is_empty());
    Ok(is_replica.then(|| {
        problem(
            Severity::Error,
            setting,
            "OFF: the server is a replica and doesn't log the changes that it receives",
            format!(
                "Put `{setting} = ON` into the server's [mysqld] section and restart it, or follow the primary instead"
            ),
        )
    }))
}

#[cfg(test)]
mod tests {
    use millstream_core::selection::TablePattern;

    use super::*;

    fn subjects(version: Version, variables: &[(&str, &str)]) -> Vec<String> {
        let variables = Variables(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
        variable_problems(version, &variables).into_iter().map(|problem| problem.subject).collect()
    }

    const GOOD: [(&str, &str); 7] = [
        ("log_bin", "ON"),
        ("server_id", "7"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("gtid_mode", "ON"),
        ("binlog_expire_logs_seconds", "2592000"),
    ];

    fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
        GOOD.into_iter().filter(|(other, _)| *other != name).chain([(name, value)]).collect()
    }

    #[test]
    fn each_bad_setting_is_found_alone() {
        let version = Version::new(Flavor::MySql, 8, 4, 0);
        assert!(subjects(version, &GOOD).is_empty());
        for (name, value, subject) in [
            ("log_bin", "OFF", "log_bin"),
            ("server_id", "0", "server_id"),
            ("binlog_format", "MIXED", "binlog_format"),
            ("binlog_row_image", "minimal", "binlog_row_image"),
            ("binlog_row_metadata", "MINIMAL", "binlog_row_metadata"),
            ("binlog_row_value_options", "PARTIAL_JSON", "binlog_row_value_options"),
            ("gtid_mode", "OFF_PERMISSIVE", "gtid_mode"),
            ("binlog_expire_logs_seconds", "3600", "binary log retention"),
        ] {
            assert_eq!(subjects(version, &with(name, value)), [subject], "{name}={value}");
        }
        let mut unpurged = with("binlog_expire_logs_seconds", "3600");
        unpurged.push(("binlog_expire_logs_auto_purge", "OFF"));
        assert!(subjects(version, &unpurged).is_empty());
    }

    #[test]
    fn servers_from_before_a_setting_arent_blamed_for_it() {
        let old = Version::new(Flavor::MySql, 5, 7, 44);
        let settings = [
            ("log_bin", "ON"),
            ("server_id", "1"),
            ("binlog_format", "ROW"),
            ("gtid_mode", "ON"),
            ("expire_logs_days", "0"),
        ];
        assert!(subjects(old, &settings).is_empty());
        let short: Vec<_> = settings.into_iter().chain([("expire_logs_days", "1.5")]).collect();
        assert_eq!(subjects(old, &short), ["binary log retention"]);
        assert_eq!(subjects(Version::new(Flavor::MySql, 5, 6, 51), &settings), ["server version"]);
        assert_eq!(subjects(Version::new(Flavor::MariaDb, 10, 4, 1), &[]), ["server version"]);
    }

    #[test]
    fn remedies_go_on_from_where_the_server_is() {
        let variables = Variables([("gtid_mode".to_owned(), "OFF_PERMISSIVE".to_owned())].into());
        let remedy = gtid_problem(Version::new(Flavor::MySql, 8, 4, 0), &variables).unwrap().remedy;
        assert!(remedy.contains("SET PERSIST gtid_mode = ON_PERMISSIVE; SET PERSIST gtid_mode = ON;"), "{remedy}");
        assert!(!remedy.contains("gtid_mode = OFF_PERMISSIVE"), "{remedy}");
        let remedy = set(Version::new(Flavor::MariaDb, 10, 11, 0), "binlog_format", "'ROW'");
        assert_eq!(
            remedy,
            "SET GLOBAL binlog_format = 'ROW'; and, to outlast a restart, `binlog_format = ROW` in the server's [mysqld] section"
        );
    }

    #[test]
    fn capital_letters_are_told_where_there_are_none() {
        let selection = Selection { patterns: vec![TablePattern { schema: "Shop".into(), table: "item".into() }] };
        assert!(name_case_problems(NameCase::Sensitive, &selection).is_empty());
        let problems = name_case_problems(NameCase::Lower, &selection);
        assert_eq!(problems[0].remedy, "Write it as shop.item");
    }
}
