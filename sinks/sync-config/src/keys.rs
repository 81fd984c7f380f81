//! Reading mappings: known keys, each once, and values of the right kind.

use std::rc::Rc;

use crate::document::{Content, Node};
use crate::report::Report;
use crate::scalar::Scalar;
use crate::spelling::suggest;

/// The entries of a mapping, whatever the keys. Keys that aren't texts or stand twice are reported and left out.
pub(crate) fn any_entries<'n>(
    node: &'n Node,
    what: &str,
    report: &mut Report<'_>,
) -> Option<Vec<(&'n str, &'n Node, &'n Node)>> {
    let Content::Mapping(pairs) = &node.content else {
        report.faults.error(node.place, format!("{what} must be a mapping, not {}", node.kind()), None);
        return None;
    };
    let mut entries: Vec<(&str, &Node, &Node)> = Vec::new();
    for (key, value) in pairs {
        match key.scalar().map(|scalar| scalar.text.as_str()) {
            None | Some("") => report.faults.error(key.place, "a key must be a name", None),
            Some(name) if entries.iter().any(|(known, ..)| *known == name) => {
                report.faults.error(key.place, format!("the key `{name}` stands here twice"), None);
            }
            Some(name) => entries.push((name, key, value)),
        }
    }
    Some(entries)
}

/// The entries of a mapping with the keys `known`; others are reported and left out.
pub(crate) fn entries<'n>(
    node: &'n Node,
    what: &str,
    known: &[&str],
    report: &mut Report<'_>,
) -> Option<Vec<(&'n str, &'n Node)>> {
    let all = any_entries(node, what, report)?;
    let mut entries = Vec::new();
    for (name, key, value) in all {
        if known.contains(&name) {
            entries.push((name, value));
        } else {
            let suggestion = suggest(name, known.iter().copied());
            let suggestion = suggestion.or_else(|| Some(format!("known are {}", known.join(", "))));
            report.faults.error(key.place, format!("{what} has no key `{name}`"), suggestion);
        }
    }
    Some(entries)
}

pub(crate) fn boolean(node: &Node, name: &str, report: &mut Report<'_>) -> Option<bool> {
    let found = node.scalar().and_then(Scalar::boolean);
    if found.is_none() {
        report.faults.error(node.place, format!("{name} must be true or false"), None);
    }
    found
}

/// The texts of a list of queries.
pub(crate) fn queries<'n>(items: &'n [Rc<Node>], report: &mut Report<'_>) -> Vec<&'n Scalar> {
    items.iter().filter_map(|item| query(item, report)).collect()
}

/// A query's text.
pub(crate) fn query<'n>(node: &'n Node, report: &mut Report<'_>) -> Option<&'n Scalar> {
    match node.scalar() {
        Some(scalar) if !scalar.is_null() => Some(scalar),
        _ => {
            // A cast as `x :: text` is the likely cause of a mapping.
            let suggestion = matches!(node.content, Content::Mapping(_))
                .then(|| "put the query in quotes or after `|`: a colon and a blank make a mapping".to_owned());
            report.faults.error(node.place, format!("a query must be a text, not {}", node.kind()), suggestion);
            None
        }
    }
}
