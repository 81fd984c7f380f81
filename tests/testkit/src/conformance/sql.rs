//! Operations as SQL, for the back-ends of databases that speak it. What every dialect says in its own way (renames,
//! other types, keys) is left to the back-end.

use super::operation::{ColumnDefinition, ColumnType, Input, Operation};

/// How one database writes SQL.
pub trait Dialect {
    /// A name of a table or column in its quotes.
    fn quoted(&self, name: &str) -> String;

    /// The type of a column that is not [`ColumnType::Native`].
    fn column_type(&self, kind: &ColumnType) -> String;

    /// Text as a literal; it holds neither quotes nor backslashes.
    fn text(&self, text: &str) -> String {
        format!("'{text}'")
    }

    /// What limits an UPDATE or DELETE to one row: behind the verb, and at the statement's end.
    fn one_row(&self) -> (&'static str, &'static str);

    /// The keywords that begin a new column's definition in ALTER TABLE.
    fn add_column(&self) -> &'static str {
        "ADD COLUMN"
    }
}

/// The statement for an operation, or `None` for those that have no common form.
pub fn statement(dialect: &dyn Dialect, operation: &Operation) -> Option<String> {
    let quoted = |name: &str| dialect.quoted(name);
    Some(match operation {
        Operation::CreateTable { table, columns, key } => {
            let mut parts: Vec<String> = columns.iter().map(|column| definition(dialect, column)).collect();
            if !key.is_empty() {
                parts.push(format!("PRIMARY KEY ({})", names(dialect, key)));
            }
            format!("CREATE TABLE {} ({})", quoted(table), parts.join(", "))
        }
        Operation::DropTable { table } => format!("DROP TABLE {}", quoted(table)),
        Operation::Truncate { table } => format!("TRUNCATE TABLE {}", quoted(table)),
        Operation::Insert { table, rows } => {
            let row = |row: &Vec<Input>| {
                let values: Vec<String> = row.iter().map(|value| literal(dialect, value)).collect();
                format!("({})", values.join(", "))
            };
            let rows: Vec<String> = rows.iter().map(row).collect();
            format!("INSERT INTO {} VALUES {}", quoted(table), rows.join(", "))
        }
        Operation::Update { table, row, set } => {
            let set: Vec<String> =
                set.iter().map(|(name, value)| format!("{} = {}", quoted(name), literal(dialect, value))).collect();
            let (top, limit) = dialect.one_row();
            format!("UPDATE{top} {} SET {} WHERE {}{limit}", quoted(table), set.join(", "), condition(dialect, row))
        }
        Operation::Delete { table, row } => {
            let (top, limit) = dialect.one_row();
            format!("DELETE{top} FROM {} WHERE {}{limit}", quoted(table), condition(dialect, row))
        }
        Operation::AddColumn { table, column } => {
            format!("ALTER TABLE {} {} {}", quoted(table), dialect.add_column(), definition(dialect, column))
        }
        Operation::DropColumn { table, column } => {
            format!("ALTER TABLE {} DROP COLUMN {}", quoted(table), quoted(column))
        }
        Operation::RenameTable { .. }
        | Operation::SwapTables { .. }
        | Operation::RenameColumn { .. }
        | Operation::RetypeColumn { .. }
        | Operation::ChangeKey { .. } => return None,
    })
}

/// A column's definition: name, type, nullability, default.
pub fn definition(dialect: &dyn Dialect, column: &ColumnDefinition) -> String {
    let kind = match &column.kind {
        ColumnType::Native(kind) => kind.clone(),
        kind => dialect.column_type(kind),
    };
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    let default = column.default.as_ref().map(|value| format!(" DEFAULT {}", literal(dialect, value)));
    format!("{} {kind} {null}{}", dialect.quoted(&column.name), default.unwrap_or_default())
}

/// Names with commas between them.
pub fn names(dialect: &dyn Dialect, names: &[String]) -> String {
    names.iter().map(|name| dialect.quoted(name)).collect::<Vec<_>>().join(", ")
}

fn literal(dialect: &dyn Dialect, value: &Input) -> String {
    match value {
        Input::Null => "NULL".to_owned(),
        Input::Integer(value) => value.to_string(),
        Input::Text(text) => dialect.text(text),
        Input::Native { literal, .. } => literal.clone(),
    }
}

fn condition(dialect: &dyn Dialect, row: &[(String, Input)]) -> String {
    let equal = |(name, value): &(String, Input)| match value {
        Input::Null => format!("{} IS NULL", dialect.quoted(name)),
        value => format!("{} = {}", dialect.quoted(name), literal(dialect, value)),
    };
    row.iter().map(equal).collect::<Vec<_>>().join(" AND ")
}
