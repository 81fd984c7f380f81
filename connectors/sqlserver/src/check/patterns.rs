//! Patterns that match no table, and why.

use std::collections::BTreeMap;

use millstream_core::error::SourceError;
use millstream_core::schema::TableName;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::{Problem, Severity};
use strsim::levenshtein;

use super::permissions::Permissions;
use super::problem;
use crate::capture::hidden::sees_schema;
use crate::capture::table::CapturedTable;
use crate::connect::Connection;
use crate::field::{int, text};

/// How many names are looked at to find one that may have been meant.
const NAMES_MAX: usize = 20_000;
/// A name further from what was written than this isn't a misspelling of it, in letters.
const DISTANCE_MAX: usize = 3;

pub(super) async fn problems(
    connection: &mut Connection,
    selection: &Selection,
    found: &BTreeMap<TableName, CapturedTable>,
    permissions: &Permissions,
) -> Result<Vec<Problem>, SourceError> {
    let is_unmatched = |pattern: &&TablePattern| !found.keys().any(|name| pattern.matches(name));
    let unmatched: Vec<&TablePattern> = selection.patterns.iter().filter(is_unmatched).collect();
    if unmatched.is_empty() {
        return Ok(Vec::new());
    }
    let query = format!(
        "SELECT TOP ({NAMES_MAX}) s.name, o.name, CASE WHEN o.type = 'V' THEN 1 ELSE 0 END FROM sys.objects AS o JOIN \
         sys.schemas AS s ON s.schema_id = o.schema_id WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0"
    );
    let (mut names, mut views) = (Vec::new(), Vec::new());
    for row in connection.rows("read the names of tables", &query, &[]).await? {
        let list = if int(&row, 2) == Some(1) { &mut views } else { &mut names };
        list.push(TableName::new(text(&row, 0), text(&row, 1)));
    }
    let mut problems = Vec::new();
    for pattern in unmatched {
        if views.iter().any(|view| pattern.matches(view)) {
            problems.push(of_views(pattern));
        } else {
            let visible = sees_schema(connection, &pattern.schema).await?;
            problems.push(without_match(pattern, &names, visible, permissions));
        }
    }
    Ok(problems)
}

fn of_views(pattern: &TablePattern) -> Problem {
    problem(
        Severity::Warning,
        format!("table pattern {pattern}"),
        "it matches views alone, which have no rows of their own",
        "Select from the tables that they are made of instead",
    )
}

fn without_match(pattern: &TablePattern, names: &[TableName], visible: bool, permissions: &Permissions) -> Problem {
    let subject = format!("table pattern {pattern}");
    let correction = correction(pattern, names);
    if visible {
        let remedy = format!("Create the table (it will be followed once it is captured), or {correction}");
        return problem(Severity::Warning, subject, "it matches no table", remedy);
    }
    let grant = match pattern.is_wildcard() {
        true => permissions.grant_select_schema(&pattern.schema),
        false => permissions.grant_select(&TableName::new(&pattern.schema, &pattern.table)),
    };
    let found = "no such table, or SELECT isn't granted on it";
    problem(Severity::Error, subject, found, format!("{grant} -- or {correction}"))
}

fn correction(pattern: &TablePattern, names: &[TableName]) -> String {
    match nearest(pattern, names) {
        Some(name) if name.to_lowercase() == pattern.to_string().to_lowercase() => {
            format!("write {name}: names in the sync config are told apart by case")
        }
        Some(name) => format!("did you mean {name}?"),
        None => "correct the name in the sync config".to_owned(),
    }
}

/// The name that was most likely meant.
fn nearest(pattern: &TablePattern, names: &[TableName]) -> Option<String> {
    let wildcard = pattern.is_wildcard();
    let wanted = pattern.table.trim_end_matches('%');
    let distance = |one: &str, other: &str| levenshtein(&one.to_lowercase(), &other.to_lowercase());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let names = [TableName::new("dbo", "items"), TableName::new("dbo", "orders"), TableName::new("sales", "item")];
        let suggestion =
            |schema: &str, table: &str| nearest(&TablePattern { schema: schema.into(), table: table.into() }, &names);
        assert_eq!(suggestion("dbo", "Item").as_deref(), Some("dbo.items"));
        assert_eq!(suggestion("doo", "orders").as_deref(), Some("dbo.orders"));
        assert_eq!(suggestion("dbo", "ordrs%").as_deref(), Some("dbo.order%"));
        assert_eq!(suggestion("dbo", "something_else"), None);
    }
}
