//! The `config` block: the edition and the options that it sets.

use crate::document::Node;
use crate::fault::Place;
use crate::json_path::Quoting;
use crate::keys::{boolean, entries};
use crate::report::Report;
use crate::spelling::suggest;
use crate::timestamp::Precision;

const KEYS: [&str; 8] = [
    "edition",
    "storage_version",
    "timestamp_max_precision",
    "timestamps_iso8601",
    "versioned_bucket_ids",
    "fixed_json_extract",
    "custom_postgres_types",
    "unstable_sqlite_expression_engine",
];

/// The options that change what queries give.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) quoting: Quoting,
    /// What `timestamp_max_precision` says.
    pub(crate) precision: Option<Precision>,
}

impl Options {
    /// What a config without a `config` block has.
    pub(crate) fn edition_1() -> Self {
        Self { quoting: Quoting::CutAlways, precision: None }
    }

    /// A canonical text of all that changes what queries give.
    pub(crate) fn fingerprint(self) -> String {
        let quoting = match self.quoting {
            Quoting::CutAlways => "cut",
            Quoting::OneKey => "key",
        };
        let digits = self.precision.map_or_else(|| "default".to_owned(), |precision| precision.digits().to_string());
        format!("json {quoting}, timestamps {digits}")
    }

    pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Self {
        let mut options = Self::edition_1();
        let Some(entries) = entries(node, "`config`", &KEYS, report) else { return options };
        let find = |wanted: &str| entries.iter().find(|(key, _)| *key == wanted).map(|(_, node)| *node);
        let later_edition = find("edition").is_some_and(|node| edition(node, report) == Some(2));
        // From edition 2 all of these are on unless they are switched off one by one.
        let flag = |name: &str, default: bool, report: &mut Report<'_>| match find(name) {
            Some(node) => boolean(node, name, report).unwrap_or(default),
            None => default,
        };
        if flag("fixed_json_extract", later_edition, report) {
            options.quoting = Quoting::OneKey;
        }
        let iso8601 = flag("timestamps_iso8601", later_edition, report);
        // Bucket names are the store's business, and there are no Postgres sources: these are only checked.
        flag("versioned_bucket_ids", later_edition, report);
        flag("custom_postgres_types", later_edition, report);
        if flag("unstable_sqlite_expression_engine", false, report)
            && let Some(node) = find("unstable_sqlite_expression_engine")
        {
            let message = "unstable_sqlite_expression_engine has no effect: there is one expression engine";
            report.faults.warning(node.place, message, None);
        }
        if let Some(node) = find("storage_version")
            && !matches!(node.scalar().and_then(|scalar| scalar.integer()), Some(1..=3))
        {
            report.faults.error(node.place, "storage_version must be 1, 2 or 3", None);
        }
        if let Some(node) = find("timestamp_max_precision") {
            options.precision = precision(node, report);
            if !iso8601 {
                report.faults.error(
                    node.place,
                    "timestamp_max_precision needs ISO 8601 timestamps",
                    Some("add `timestamps_iso8601: true` or `edition: 2`".to_owned()),
                );
            }
        }
        options
    }
}

fn edition(node: &Node, report: &mut Report<'_>) -> Option<i64> {
    match node.scalar().and_then(|scalar| scalar.integer()) {
        Some(edition @ (1 | 2)) => Some(edition),
        Some(3) => {
            refuse_streams(node.place, "edition 3", report);
            None
        }
        _ => {
            report.faults.error(node.place, "edition must be 1 or 2", None);
            None
        }
    }
}

/// Streams are refused wherever they show.
pub(crate) fn refuse_streams(place: Place, what: &str, report: &mut Report<'_>) {
    report.faults.error(
        place,
        format!("{what} isn't supported: Millstream reads bucket definitions, not sync streams"),
        Some("write `bucket_definitions`, with edition 1 or 2".to_owned()),
    );
}

fn precision(node: &Node, report: &mut Report<'_>) -> Option<Precision> {
    let text = node.scalar().map_or("", |scalar| scalar.text.as_str());
    let found = Precision::NAMES.iter().find(|(name, _)| *name == text).map(|(_, precision)| *precision);
    if found.is_none() {
        let names = || Precision::NAMES.iter().map(|(name, _)| *name);
        let known = names().collect::<Vec<_>>().join(", ");
        report.faults.error(
            node.place,
            "this isn't a precision of timestamps",
            suggest(text, names()).or(Some(format!("use one of {known}"))),
        );
    }
    found
}
