//! The tables that queries name.

use millstream_core::schema::TableName;
use millstream_core::selection::TablePattern;

use crate::fault::Place;
use crate::report::QueryReport;
use crate::sql::syntax::Name;

/// A source as a sync config sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceScope<'a> {
    /// The source's name: the first part of `name.schema.table`.
    pub name: &'a str,
    /// The schema (a database in MySQL) of tables that are named without one.
    pub default_schema: &'a str,
    /// Whether names without a source mean this one. True for exactly one source of a sink: its only or first one.
    pub is_default: bool,
}

/// A table or several, as a query names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableReference {
    /// The source and where it is named.
    pub(crate) source: Option<(String, Place)>,
    schema: Option<String>,
    /// A trailing `%` stands for any rest.
    table: String,
    /// Where that is named.
    pub(crate) place: Place,
}

impl TableReference {
    pub(crate) fn new(path: &[Name], query: &mut QueryReport<'_, '_>) -> Option<Self> {
        let (table, before) = path.split_last()?;
        let (schema, source) = match before {
            [] => (None, None),
            [schema] => (Some(schema), None),
            [source, schema, ..] => (Some(schema), Some(source)),
        };
        let beginning = table.text.strip_suffix('%').unwrap_or(&table.text);
        if beginning.contains('%') {
            let message = "`%` stands for the rest of a table's name, so it can only be its last character";
            query.error(table.at, message, None);
            return None;
        }
        if let Some(name) = before.iter().find(|name| name.text.contains('%')) {
            query.error(name.at, "`%` can't be used for schemas or sources", Some("name each one".to_owned()));
            return None;
        }
        if let Some(name) = path.iter().find(|name| name.text.is_empty()) {
            query.error(name.at, "a name is empty", None);
            return None;
        }
        Some(Self {
            source: source.map(|name| (name.text.clone(), query.place(name.at))),
            schema: schema.map(|name| name.text.clone()),
            table: table.text.clone(),
            place: query.place(table.at),
        })
    }

    /// The table's own name, wildcard included.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    pub(crate) fn is_wildcard(&self) -> bool {
        self.table.ends_with('%')
    }

    /// What it means in one source; `None` if it names another source.
    pub(crate) fn pattern(&self, scope: SourceScope<'_>) -> Option<TablePattern> {
        let here = self.source.as_ref().map_or(scope.is_default, |(source, _)| source == scope.name);
        here.then(|| TablePattern {
            schema: self.schema.clone().unwrap_or_else(|| scope.default_schema.to_owned()),
            table: self.table.clone(),
        })
    }

    /// What the wildcard stands for in a table that matches.
    pub(crate) fn suffix<'t>(&self, table: &'t TableName) -> &'t str {
        let beginning = self.table.strip_suffix('%').unwrap_or(&self.table);
        table.name.strip_prefix(beginning).unwrap_or_default()
    }
}
