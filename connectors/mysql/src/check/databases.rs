//! Databases that aren't there, as far as the user sees.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::selection::Selection;
use millstream_core::source::{Problem, Severity};

use super::Grants;
use super::patterns::{DISTANCE_MAX, distance};
use super::problem;
use crate::connect::Connection;

/// A problem for each database that certainly doesn't exist, and for the one in the source's uri if it can't be seen.
pub(super) async fn problems(
    connection: &mut Connection,
    limit: Duration,
    selection: &Selection,
    in_uri: Option<&str>,
    grants: &Grants,
) -> Result<BTreeMap<String, Problem>, SourceError> {
    let query = "SELECT schema_name FROM information_schema.schemata";
    let there: Vec<String> = connection.rows(limit, "read the names of databases", query).await?;
    let selected = selection.patterns.iter().map(|pattern| pattern.schema.as_str());
    let mut problems = BTreeMap::new();
    for name in selected.clone().chain(in_uri).filter(|name| !there.iter().any(|other| other == name)) {
        let certain = grants.select_all(name);
        // What a pattern wants and can't see is told with the pattern.
        if certain || !selected.clone().any(|other| other == name) {
            problems.insert(name.to_owned(), missing(name, certain, in_uri == Some(name), &there, grants));
        }
    }
    Ok(problems)
}

fn missing(name: &str, certain: bool, is_in_uri: bool, there: &[String], grants: &Grants) -> Problem {
    let place = if is_in_uri { "the source's uri" } else { "the sync config" };
    let meant = there.iter().map(|other| (distance(name, other), other)).min().filter(|(far, _)| *far <= DISTANCE_MAX);
    let correction = match meant {
        Some((_, other)) => format!("correct its name in {place}: did you mean {other}?"),
        None => format!("correct its name in {place}"),
    };
    let (found, remedy) = match certain {
        true => ("the server has no such database", format!("Create the database, or {correction}")),
        false => (
            "the server has no such database, or the user may see nothing in it",
            format!("{} or {correction}", grants.grant_select(name, None)),
        ),
    };
    // One that only the sync config names may come later, as tables may.
    let severity = if is_in_uri { Severity::Error } else { Severity::Warning };
    problem(severity, format!("database {name}"), found, remedy)
}
