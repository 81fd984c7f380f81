//! What the suite asks a source to do, in terms that sources of any kind can understand.

use std::fmt;

use super::value::Value;

/// A type that every source has something for, or one of the source's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// Integers of at least 32 bits.
    Integer,
    /// Integers of 64 bits.
    LongInteger,
    /// Text of at most so many characters, compared and kept as it is.
    Text(u32),
    /// A type in the source's own words; only ones that [`Backend::types`](super::Backend::types) named are used.
    Native(String),
}

/// A value to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// Text without quotes, backslashes or line breaks, and never empty.
    Text(String),
    /// A literal in the source's own words, and how the connector must deliver it.
    Native {
        /// The literal.
        literal: String,
        /// What it must come out as.
        delivered: Value,
    },
}

impl Input {
    /// Text, from anything that can be.
    pub fn text(text: impl Into<String>) -> Self {
        Input::Text(text.into())
    }

    /// What it is once its column has become text.
    pub(super) fn as_text(&self) -> Self {
        match self {
            Input::Integer(value) => Input::Text(value.to_string()),
            other => other.clone(),
        }
    }
}

/// A column to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    /// Its name: lower-case letters, digits and underscores.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// Whether it may be NULL. Columns of a key may not.
    pub nullable: bool,
    /// What rows that exist hold in it after it is added; never for columns of a new table.
    pub default: Option<Input>,
}

impl ColumnDefinition {
    /// A column that may be NULL, without default.
    pub fn nullable(name: &str, kind: ColumnType) -> Self {
        Self { name: name.to_owned(), kind, nullable: true, default: None }
    }

    /// A column that may not be NULL.
    pub fn required(name: &str, kind: ColumnType) -> Self {
        Self { nullable: false, ..Self::nullable(name, kind) }
    }
}

/// One thing to do at the source. Tables are named without their namespace.
///
/// The suite only asks for what is possible: tables and columns exist, keys are unique, and a transaction of several
/// operations holds row changes alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Makes an empty table.
    CreateTable {
        /// Its name.
        table: String,
        /// Its columns, the key's first.
        columns: Vec<ColumnDefinition>,
        /// The primary key's columns; empty for a table without any key.
        key: Vec<String>,
    },
    /// Removes a table with its rows.
    DropTable {
        /// Which.
        table: String,
    },
    /// Removes all rows at once.
    Truncate {
        /// Of which table.
        table: String,
    },
    /// Gives a table another name, which no table has.
    RenameTable {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// Exchanges the names of two tables, at once.
    SwapTables {
        /// The one.
        left: String,
        /// The other.
        right: String,
    },
    /// Adds rows; one statement where the source has such.
    Insert {
        /// To which table.
        table: String,
        /// Values for all columns, in their order.
        rows: Vec<Vec<Input>>,
    },
    /// Changes one row.
    Update {
        /// In which table.
        table: String,
        /// Which: the key's columns with their values; without a key all columns, of which one equal row changes.
        row: Vec<(String, Input)>,
        /// The new values; may concern the key's columns.
        set: Vec<(String, Input)>,
    },
    /// Removes one row.
    Delete {
        /// From which table.
        table: String,
        /// Which, as in `Update`.
        row: Vec<(String, Input)>,
    },
    /// Adds a column behind the others.
    AddColumn {
        /// To which table.
        table: String,
        /// The column.
        column: ColumnDefinition,
    },
    /// Removes a column that isn't part of the key.
    DropColumn {
        /// From which table.
        table: String,
        /// Its name.
        column: String,
    },
    /// Gives a column another name.
    RenameColumn {
        /// In which table.
        table: String,
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// Gives a column another type that all its values can have: a wider one, or text instead of integers.
    RetypeColumn {
        /// In which table.
        table: String,
        /// The column as it is to be.
        column: ColumnDefinition,
    },
    /// Makes other columns the primary key.
    ChangeKey {
        /// Of which table.
        table: String,
        /// The new key's columns, none of which is nullable.
        key: Vec<String>,
    },
}

impl Operation {
    /// The tables that it names.
    pub fn tables(&self) -> Vec<&str> {
        match self {
            Operation::RenameTable { from, to } => vec![from, to],
            Operation::SwapTables { left, right } => vec![left, right],
            Operation::CreateTable { table, .. }
            | Operation::DropTable { table }
            | Operation::Truncate { table }
            | Operation::Insert { table, .. }
            | Operation::Update { table, .. }
            | Operation::Delete { table, .. }
            | Operation::AddColumn { table, .. }
            | Operation::DropColumn { table, .. }
            | Operation::RenameColumn { table, .. }
            | Operation::RetypeColumn { table, .. }
            | Operation::ChangeKey { table, .. } => vec![table],
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Null => formatter.write_str("NULL"),
            Input::Integer(value) => write!(formatter, "{value}"),
            Input::Text(text) => write!(formatter, "'{text}'"),
            Input::Native { literal, .. } => formatter.write_str(literal),
        }
    }
}

impl fmt::Display for ColumnDefinition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?}", self.name, self.kind)?;
        if !self.nullable {
            formatter.write_str(" not null")?;
        }
        match &self.default {
            Some(default) => write!(formatter, " default {default}"),
            None => Ok(()),
        }
    }
}

/// For the report of a failed case, so short.
impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::CreateTable { table, columns, key } => {
                write!(formatter, "create {table} ({}) key ({})", listed(columns.iter()), key.join(", "))
            }
            Operation::DropTable { table } => write!(formatter, "drop {table}"),
            Operation::Truncate { table } => write!(formatter, "truncate {table}"),
            Operation::RenameTable { from, to } => write!(formatter, "rename {from} to {to}"),
            Operation::SwapTables { left, right } => write!(formatter, "swap {left} and {right}"),
            Operation::Insert { table, rows } => {
                let rows: Vec<String> = rows.iter().map(|row| format!("({})", listed(row.iter()))).collect();
                write!(formatter, "insert into {table} {}", rows.join(" "))
            }
            Operation::Update { table, row, set } => {
                write!(formatter, "update {table} where {} set {}", assigned(row), assigned(set))
            }
            Operation::Delete { table, row } => write!(formatter, "delete from {table} where {}", assigned(row)),
            Operation::AddColumn { table, column } => write!(formatter, "alter {table} add {column}"),
            Operation::DropColumn { table, column } => write!(formatter, "alter {table} drop {column}"),
            Operation::RenameColumn { table, from, to } => write!(formatter, "alter {table} rename {from} to {to}"),
            Operation::RetypeColumn { table, column } => write!(formatter, "alter {table} retype {column}"),
            Operation::ChangeKey { table, key } => write!(formatter, "alter {table} key ({})", key.join(", ")),
        }
    }
}

fn listed<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

fn assigned(values: &[(String, Input)]) -> String {
    listed(values.iter().map(|(name, value)| format!("{name}={value}")))
}
