//! One column of a key, compared in SQL so that indexes serve it.

use millstream_core::schema::Column;

use super::result_column::ResultColumn;
use crate::decode::column_type::ColumnType;

/// How many labels a list of them may have in a condition.
const LABELS_LISTED_MAX: usize = 1_000;

/// One column of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyColumn<'p> {
    pub(super) index: usize,
    pub(super) column: &'p Column,
    pub(super) result: &'p ResultColumn,
}

/// How a column compares with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    Equal,
    /// As `Equal`, but NULL equals NULL.
    Same,
    Greater,
}

impl Comparison {
    fn operator(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::Equal => "=",
            Comparison::Same => "<=>",
            Comparison::Greater => ">",
        }
    }

    fn holds(self, left: usize, right: usize) -> bool {
        match self {
            Comparison::Less => left < right,
            Comparison::Equal | Comparison::Same => left == right,
            Comparison::Greater => left > right,
        }
    }
}

impl KeyColumn<'_> {
    pub(super) fn column_type(&self) -> &ColumnType {
        &self.result.column_type
    }

    /// The condition that the column compares so with a literal.
    ///
    /// Labels compare as text but sort by their number, so they are compared by number; and as indexes don't serve
    /// that, the labels in question are listed too.
    pub(super) fn compare(&self, comparison: Comparison, literal: &str) -> String {
        let (name, operator) = (quoted_name(&self.column.name), comparison.operator());
        match self.column_type() {
            ColumnType::Enum { labels } => {
                let by_number = format!("{name} + 0 {operator} {literal}");
                match literal.parse().ok().and_then(|number| listed(labels, comparison, number)) {
                    Some(list) => format!("{name} IN ({list}) AND {by_number}"),
                    None => by_number,
                }
            }
            ColumnType::Set { .. } => format!("{name} + 0 {operator} {literal}"),
            _ => format!("{name} {operator} {literal}"),
        }
    }
}

/// The labels whose numbers compare so with a number. `None` if a list can't be made or isn't worth it.
fn listed(labels: &[String], comparison: Comparison, number: usize) -> Option<String> {
    // Number 0 is the mark for what wasn't a label, and reads as empty.
    let numbered = std::iter::once("").chain(labels.iter().map(String::as_str)).enumerate();
    let chosen: Vec<&str> =
        numbered.filter(|(other, _)| comparison.holds(*other, number)).map(|(_, label)| label).collect();
    // The server shows labels beyond three bytes with a question mark in place of what they are.
    if chosen.is_empty() || chosen.len() > LABELS_LISTED_MAX || chosen.iter().any(|label| label.contains('?')) {
        return None;
    }
    let literals: Vec<String> = chosen.iter().map(|label| text_literal(label)).collect();
    Some(literals.join(", "))
}

/// A text that the server turns into the character set of what it is compared with.
pub(super) fn text_literal(text: &str) -> String {
    format!("_utf8mb4 X'{}'", hexadecimal(text.as_bytes()))
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| DIGITS.get(usize::from(digit))).collect()
}

/// A name in backquotes.
pub(super) fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_listed_where_that_helps() {
        let labels = ["b", "a", "what?"].map(str::to_owned);
        assert_eq!(listed(&labels, Comparison::Less, 2).unwrap(), "_utf8mb4 X'', _utf8mb4 X'62'");
        assert_eq!(listed(&labels, Comparison::Equal, 2).unwrap(), "_utf8mb4 X'61'");
        assert_eq!(listed(&labels, Comparison::Greater, 1), None);
        assert_eq!(listed(&labels, Comparison::Greater, 3), None);
    }

    #[test]
    fn names_and_bytes_are_written_safely() {
        assert_eq!(quoted_name("a`b"), "`a``b`");
        assert_eq!(hexadecimal(&[0, 0x9f, 0xff]), "009FFF");
    }
}
