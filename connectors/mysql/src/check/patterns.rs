//! Patterns that match no table, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::schema::{TableName, TableSchema};
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::{Problem, Severity};

use super::Grants;
use super::problem;
use crate::connect::Connection;

/// How many names are looked at to find one that may have been meant.
const NAMES_MAX: usize = 20_000;
/// A name further from what was written than this isn't a misspelling of it, in letters.
pub(super) const DISTANCE_MAX: usize = 3;

pub(super) async fn problems(
    connection: &mut Connection,
    limit: Duration,
    selection: &Selection,
    found: &BTreeMap<TableName, TableSchema>,
    missing_databases: &BTreeMap<String, Problem>,
    grants: &Grants,
) -> Result<Vec<Problem>, SourceError> {
    let in_databases = || selection.patterns.iter().filter(|pattern| !missing_databases.contains_key(&pattern.schema));
    let unmatched: Vec<&TablePattern> =
        in_databases().filter(|pattern| !found.keys().any(|name| pattern.matches(name))).collect();
    let partly_visible = in_databases()
        .filter(|pattern| pattern.is_wildcard() && !grants.select_all(&pattern.schema) && !unmatched.contains(pattern));
    let mut problems: Vec<Problem> = partly_visible.map(|pattern| partial(pattern, grants)).collect();
    if unmatched.is_empty() {
        return Ok(problems);
    }
    let query = format!(
        "SELECT table_schema, table_name, table_type LIKE '%VIEW' FROM information_schema.tables WHERE table_schema \
         NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') LIMIT {NAMES_MAX}"
    );
    let rows: Vec<(String, String, bool)> = connection.rows(limit, "read the names of tables", &query).await?;
    let (mut names, mut views) = (Vec::new(), Vec::new());
    for (schema, name, is_view) in rows {
        if is_view { &mut views } else { &mut names }.push(TableName::new(schema, name));
    }
    problems.extend(unmatched.into_iter().map(|pattern| match views.iter().any(|view| pattern.matches(view)) {
        true => of_views(pattern),
        false => without_match(pattern, &names, grants),
    }));
    Ok(problems)
}

fn partial(pattern: &TablePattern, grants: &Grants) -> Problem {
    problem(
        Severity::Warning,
        format!("table pattern {pattern}"),
        "SELECT isn't granted on the whole database, so that tables without a grant of their own aren't seen",
        grants.grant_select(&pattern.schema, None),
    )
}

fn of_views(pattern: &TablePattern) -> Problem {
    problem(
        Severity::Warning,
        format!("table pattern {pattern}"),
        "it matches views alone, which have no rows of their own",
        "Select from the tables that they are made of instead",
    )
}

fn without_match(pattern: &TablePattern, names: &[TableName], grants: &Grants) -> Problem {
    let subject = format!("table pattern {pattern}");
    if !grants.select_all(&pattern.schema) {
        let table = TableName::new(&pattern.schema, &pattern.table);
        let grant = grants.grant_select(&pattern.schema, (!pattern.is_wildcard()).then_some(&table));
        let found = "no such table, or SELECT isn't granted on it";
        return problem(Severity::Error, subject, found, format!("{grant} or {}", correction(pattern, names)));
    }
    problem(
        Severity::Warning,
        subject,
        "it matches no table",
        format!("Create the table (it will be followed from then on), or {}", correction(pattern, names)),
    )
}

fn correction(pattern: &TablePattern, names: &[TableName]) -> String {
    match nearest(pattern, names) {
        Some(name) => format!("did you mean {name}?"),
        None => "correct the name in the sync config".to_owned(),
    }
}

/// The name that was most likely meant.
fn nearest(pattern: &TablePattern, names: &[TableName]) -> Option<String> {
    let wildcard = pattern.is_wildcard();
    let wanted = pattern.table.trim_end_matches('%');
    let candidates = names.iter().filter_map(|name| {
        // Of a pattern with a wildcard only the beginning can be misspelt.
        let letters = if wildcard { wanted.chars().count() } else { usize::MAX };
        let beginning: String = name.name.chars().take(letters).collect();
        let far = distance(&pattern.schema, &name.schema).checked_add(distance(wanted, &beginning))?;
        let shown = format!("{}.{beginning}{}", name.schema, if wildcard { "%" } else { "" });
        (far <= DISTANCE_MAX).then_some((far, shown))
    });
    candidates.min().map(|(_, name)| name)
}

/// How many letters must be added, left out or replaced to make one text from the other; capital letters are half
/// right, which here is right.
pub(super) fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=left.len()).collect();
    for (line, letter) in right.to_lowercase().chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&left) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            before = replaced.min(before + 1).min(*cell + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (left, right, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("Item", "items", 1),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let names =
            [TableName::new("shop", "items"), TableName::new("shop", "orders"), TableName::new("other", "item")];
        let suggestion =
            |schema: &str, table: &str| nearest(&TablePattern { schema: schema.into(), table: table.into() }, &names);
        assert_eq!(suggestion("shop", "Item").as_deref(), Some("shop.items"));
        assert_eq!(suggestion("shoop", "orders").as_deref(), Some("shop.orders"));
        assert_eq!(suggestion("shop", "ordrs%").as_deref(), Some("shop.order%"));
        assert_eq!(suggestion("shop", "something_else"), None);
    }
}
