//! Which values of change rows are asked for.
//!
//! The row before an update tells two things only: which row it was, and of large values whether they were there. All
//! else of it would be sent, read and thrown away, which is nearly half of what a table that is mostly updated has in
//! its change rows. So the server is asked for NULL in its place.

use millstream_core::schema::{Column, IdentityKind, TableSchema};

use crate::capture::shape::may_be_left_out;
use crate::decode::select_column;
use crate::quote::quoted;

/// The expressions for all columns, in the schema's order, each under its own name.
pub(super) fn select(schema: &TableSchema) -> String {
    let expression = |(index, column): (usize, &Column)| {
        let (value, name) = (select_column(column, ""), quoted(&column.name));
        match is_needed_of_old_rows(schema, index, column) {
            true => format!("{value} AS {name}"),
            false => format!("CASE WHEN [__$operation] <> 3 THEN {value} END AS {name}"),
        }
    };
    schema.columns.iter().enumerate().map(expression).collect::<Vec<_>>().join(", ")
}

/// What [`rows::push`](super::rows::push) looks at in the row before an update.
fn is_needed_of_old_rows(schema: &TableSchema, index: usize, column: &Column) -> bool {
    let identity = &schema.identity;
    identity.kind == IdentityKind::WholeRow || identity.columns.contains(&index) || may_be_left_out(column)
}

#[cfg(test)]
mod tests {
    use millstream_core::schema::{Identity, TableName};

    use super::*;

    fn schema(kind: IdentityKind) -> TableSchema {
        let column = |name: &str, source_type: &str| Column {
            name: name.into(),
            source_type: source_type.into(),
            nullable: true,
            collation: None,
            generated: None,
            default: None,
        };
        let columns = vec![column("id", "int"), column("price", "money"), column("body", "nvarchar(max)")];
        let identity = if kind == IdentityKind::WholeRow { vec![0, 1, 2] } else { vec![0] };
        TableSchema {
            table: TableName::new("dbo", "t"),
            columns,
            identity: Identity { kind, columns: identity },
            origin: None,
        }
    }

    #[test]
    fn of_a_row_before_an_update_only_its_identity_and_large_values_are_asked_for() {
        assert_eq!(
            select(&schema(IdentityKind::PrimaryKey)),
            "[id] AS [id], CASE WHEN [__$operation] <> 3 THEN CAST([price] AS decimal(19,4)) END AS [price], \
             [body] AS [body]"
        );
    }

    #[test]
    fn a_row_without_a_key_is_asked_for_whole() {
        assert_eq!(
            select(&schema(IdentityKind::WholeRow)),
            "[id] AS [id], CAST([price] AS decimal(19,4)) AS [price], [body] AS [body]"
        );
    }
}
