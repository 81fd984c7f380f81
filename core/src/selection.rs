//! Which tables of a source are wanted.

use std::fmt;

use crate::schema::TableName;

/// A table's name, or the beginning of several: a trailing `%` stands for any rest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TablePattern {
    /// The namespace, exactly.
    pub schema: String,
    /// The table's name, or its beginning followed by `%`.
    pub table: String,
}

impl TablePattern {
    /// One table. A name that ends in `%` can't be told from a wildcard and covers what that does.
    pub fn exactly(table: &TableName) -> Self {
        Self { schema: table.schema.clone(), table: table.name.clone() }
    }

    /// Whether the pattern covers a table.
    pub fn matches(&self, table: &TableName) -> bool {
        self.schema == table.schema
            && match self.table.strip_suffix('%') {
                Some(beginning) => table.name.starts_with(beginning),
                None => self.table == table.name,
            }
    }

    /// Whether it can cover several tables.
    pub fn is_wildcard(&self) -> bool {
        self.table.ends_with('%')
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.schema, self.table)
    }
}

/// The tables that a sink wants of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// A table is selected if any of these matches.
    pub patterns: Vec<TablePattern>,
}

impl Selection {
    /// Whether a table is selected.
    pub fn matches(&self, table: &TableName) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(table))
    }
}
