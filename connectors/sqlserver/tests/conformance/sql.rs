//! The suite's operations in T-SQL.

use millstream_testkit::conformance::sql::{Dialect, definition, names, statement};
use millstream_testkit::conformance::{ColumnType, Operation};

struct TSql;

impl Dialect for TSql {
    fn quoted(&self, name: &str) -> String {
        format!("[{name}]")
    }

    fn column_type(&self, kind: &ColumnType) -> String {
        match kind {
            ColumnType::Integer => "int".to_owned(),
            ColumnType::LongInteger => "bigint".to_owned(),
            ColumnType::Text(chars) => format!("nvarchar({chars})"),
            ColumnType::Native(kind) => kind.clone(),
        }
    }

    fn text(&self, text: &str) -> String {
        format!("N'{text}'")
    }

    fn one_row(&self) -> (&'static str, &'static str) {
        (" TOP (1)", "")
    }

    fn add_column(&self) -> &'static str {
        "ADD"
    }
}

/// One batch.
pub(super) fn sql(operation: &Operation) -> String {
    match operation {
        // Existing rows get the default of a column that may be NULL only if asked to.
        Operation::AddColumn { column, .. } if column.default.is_some() => {
            format!("{} WITH VALUES", statement(&TSql, operation).unwrap())
        }
        Operation::RenameTable { from, to } => format!("EXEC sp_rename N'dbo.{from}', N'{to}'"),
        Operation::SwapTables { left, right } => format!(
            "BEGIN TRAN; EXEC sp_rename N'dbo.{left}', N'swap'; EXEC sp_rename N'dbo.{right}', N'{left}'; \
             EXEC sp_rename N'dbo.swap', N'{right}'; COMMIT"
        ),
        Operation::RetypeColumn { table, column } => format!(
            "{}; ALTER TABLE [{table}] ALTER COLUMN {}",
            drop_default(table, &column.name),
            definition(&TSql, column)
        ),
        Operation::DropColumn { table, column } => {
            format!("{}; {}", drop_default(table, column), statement(&TSql, operation).unwrap())
        }
        // As an administrator has to: the server refuses it while the table is captured.
        Operation::ChangeKey { table, key } => {
            let old = format!(
                "SELECT name FROM sys.key_constraints WHERE parent_object_id = OBJECT_ID(N'dbo.{table}') AND type = 'PK'"
            );
            format!(
                "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N'{table}', @capture_instance = \
                 N'all'; {}; ALTER TABLE [{table}] ADD PRIMARY KEY ({})",
                drop_constraint(table, &old),
                names(&TSql, key)
            )
        }
        operation => statement(&TSql, operation).unwrap_or_else(|| panic!("declared as lacking: {operation:?}")),
    }
}

/// Drops a column's default, if it has one: a constraint, without which the column can neither go nor change its type.
fn drop_default(table: &str, column: &str) -> String {
    let default = format!(
        "SELECT d.name FROM sys.default_constraints AS d JOIN sys.columns AS c ON c.object_id = d.parent_object_id AND \
         c.column_id = d.parent_column_id WHERE d.parent_object_id = OBJECT_ID(N'dbo.{table}') AND c.name = N'{column}'"
    );
    drop_constraint(table, &default)
}

/// Drops the constraint that a query names, if it names one.
fn drop_constraint(table: &str, query: &str) -> String {
    let script = format!(
        "DECLARE @name sysname = ({query}); IF @name IS NOT NULL EXEC(N'ALTER TABLE [{table}] DROP CONSTRAINT [' + \
         @name + N']')"
    );
    format!("EXEC sp_executesql N'{}'", script.replace('\'', "''"))
}
