//! Names and texts inside statements.

use millstream_core::schema::TableName;

/// A name in brackets.
pub(crate) fn quoted(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// A table's name with its schema, both in brackets.
pub(crate) fn quoted_table(table: &TableName) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

/// Statements as somebody has to run them whose session may be in another database.
pub(crate) fn within(database: &str, statements: &str) -> String {
    format!("USE {}; {statements}", quoted(database))
}

/// A text as a literal.
pub(crate) fn literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_ends_it() {
        assert_eq!(quoted("a]b[c"), "[a]]b[c]");
        assert_eq!(quoted_table(&TableName::new("dbo", "x.y")), "[dbo].[x.y]");
        assert_eq!(literal("O'Hara"), "N'O''Hara'");
    }
}
