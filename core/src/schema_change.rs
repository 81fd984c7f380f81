//! Schema changes as events of the stream, and what each requires.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::schema::{Column, TableName, TableSchema};

/// A change to one selected table's shape or to its rows as a whole, at its place in the log.
#[derive(Debug, Clone)]
pub struct SchemaChange {
    /// The name that the change concerns.
    pub table: TableName,
    /// What happened.
    pub kind: SchemaChangeKind,
    /// The statement as the log has it, where there was one.
    pub statement: Option<String>,
    /// When it happened, by the source's clock, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
}

/// What happened to a table.
///
/// Every schema in here is certain at this place in the log. A connector that can't be certain says
/// [`Unreadable`](SchemaChangeKind::Unreadable), delivers no rows of the table, and says
/// [`Settled`](SchemaChangeKind::Settled) once it is.
#[derive(Debug, Clone)]
pub enum SchemaChangeKind {
    /// The name now denotes a table that didn't exist under it before. `empty` if it was created just now, so that all
    /// its rows will come by the stream; otherwise it has rows that the stream didn't show (a rename, a selection that
    /// grew).
    Created {
        /// Its shape.
        schema: Arc<TableSchema>,
        /// Whether it has no rows yet.
        empty: bool,
    },
    /// The name denotes no table any more.
    Dropped,
    /// All rows were removed at once.
    Truncated,
    /// The name denotes another table than before, with rows of its own (one side of a rename).
    Replaced {
        /// The shape of the table that the name denotes now.
        schema: Arc<TableSchema>,
    },
    /// The table has another shape.
    Altered {
        /// The new shape.
        schema: Arc<TableSchema>,
        /// Columns whose definition changed although no stored value can have: a widened text, for instance.
        values_kept: Vec<String>,
        /// Whether rows were replaced as well, with no row events to show for it: a dropped partition, for instance.
        rows_replaced: bool,
    },
    /// Rows were changed with no row events to show for it: a dropped partition, a statement in statement format, a
    /// cascade inside the storage engine. The shape is the one of the last word on it.
    RowsReplaced {
        /// What did it, for a person.
        cause: String,
    },
    /// The shape at this place can't be known (yet). No rows of the table are delivered until `Settled`.
    Unreadable {
        /// Why, for a person.
        reason: String,
        /// What a person has to do about it; `None` if it ends by itself.
        remedy: Option<String>,
    },
    /// The shape is known again from here on.
    Settled {
        /// The shape.
        schema: Arc<TableSchema>,
    },
}

impl SchemaChangeKind {
    /// The word for it in the history and in logs.
    pub fn word(&self) -> &'static str {
        match self {
            SchemaChangeKind::Created { .. } => "created",
            SchemaChangeKind::Dropped => "dropped",
            SchemaChangeKind::Truncated => "truncated",
            SchemaChangeKind::Replaced { .. } => "replaced",
            SchemaChangeKind::Altered { .. } => "altered",
            SchemaChangeKind::RowsReplaced { .. } => "rows replaced",
            SchemaChangeKind::Unreadable { .. } => "unreadable",
            SchemaChangeKind::Settled { .. } => "settled",
        }
    }
}

/// What a schema change requires of the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Nothing: what is stored is what a fresh read would give.
    Keep,
    /// Read the table for the first time.
    Load,
    /// Remove the table's rows.
    Remove,
    /// Re-read the table and write the differences.
    Reconcile,
    /// Skip the table's changes until its shape is known again.
    Hold,
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Effect::Keep => "keep",
            Effect::Load => "load",
            Effect::Remove => "remove",
            Effect::Reconcile => "reconcile",
            Effect::Hold => "hold",
        })
    }
}

/// The effect of a change on a table whose shape before it was `before` (`None`: the table wasn't tracked, or its
/// shape wasn't known). A pure function.
pub fn effect(before: Option<&TableSchema>, kind: &SchemaChangeKind) -> Effect {
    match (kind, before) {
        (SchemaChangeKind::Created { empty: true, .. }, None) => Effect::Keep,
        (SchemaChangeKind::Created { empty: false, .. }, None) => Effect::Load,
        (SchemaChangeKind::Dropped | SchemaChangeKind::Truncated, _) => Effect::Remove,
        (SchemaChangeKind::Altered { schema, values_kept, rows_replaced: false }, Some(before)) => {
            alteration(before, schema, values_kept)
        }
        (SchemaChangeKind::Unreadable { .. }, _) => Effect::Hold,
        // CREATE TABLE IF NOT EXISTS is logged for a table that exists, too: its rows stay, so this is a comparison.
        (SchemaChangeKind::Created { .. }, Some(_))
        | (SchemaChangeKind::Replaced { .. } | SchemaChangeKind::RowsReplaced { .. }, _)
        | (SchemaChangeKind::Settled { .. } | SchemaChangeKind::Altered { .. }, _) => Effect::Reconcile,
    }
}

/// Reconcile unless every stored row provably reads the same under the new shape.
fn alteration(before: &TableSchema, after: &TableSchema, values_kept: &[String]) -> Effect {
    // Stored rows are filed by identity, so another identity (other columns, other values in them) files them anew.
    let identity_kept =
        before.identity.kind == after.identity.kind && before.identity_names().eq(after.identity_names());
    let whole_row_grew =
        after.identity.kind == crate::schema::IdentityKind::WholeRow && before.columns.len() != after.columns.len();
    if !identity_kept || whole_row_grew || before.table != after.table {
        return Effect::Reconcile;
    }
    let kept = |column: &Column| match after.columns.iter().find(|other| other.name == column.name) {
        None => false,
        Some(other) => same_values(column, other) || values_kept.contains(&column.name),
    };
    // What is computed from a column may differ although the column's own values are kept.
    let is_computed_from_kept =
        !values_kept.is_empty() && after.columns.iter().any(|column| column.generated.is_some());
    let added_reads_null = |column: &Column| {
        let existed = before.columns.iter().any(|other| other.name == column.name);
        existed || (column.nullable && column.default.is_none() && column.generated.is_none())
    };
    if !is_computed_from_kept && before.columns.iter().all(kept) && after.columns.iter().all(added_reads_null) {
        Effect::Keep
    } else {
        Effect::Reconcile
    }
}

/// Whether a column's stored values can't differ between two definitions of it. The default doesn't matter: it is for
/// rows to come. Becoming NOT NULL may have replaced NULLs.
fn same_values(before: &Column, after: &Column) -> bool {
    before.source_type == after.source_type
        && before.collation == after.collation
        && before.generated == after.generated
        && (after.nullable || !before.nullable)
}

/// One line of the history of schema changes, as users read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Where in the log.
    pub position: String,
    /// When, in milliseconds since 1970 (UTC), by the source's clock.
    pub at_ms: i64,
    /// Which table.
    pub table: TableName,
    /// The kind of change, in a word or two, or another cause of a pass over the table.
    pub change: String,
    /// What it required.
    pub effect: Effect,
    /// The statement, where there was one.
    pub statement: Option<String>,
    /// Rows read again from the source for it.
    pub rows_read: u64,
    /// Ops written for it.
    pub ops_written: u64,
    /// From the change's arrival to the end of its effect, in milliseconds; `None` while it lasts.
    pub duration_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Generated, Identity, IdentityKind};

    fn column(name: &str, source_type: &str) -> Column {
        Column {
            name: name.into(),
            source_type: source_type.into(),
            nullable: true,
            collation: None,
            generated: None,
            default: None,
        }
    }

    fn table(columns: Vec<Column>) -> TableSchema {
        TableSchema {
            table: TableName::new("shop", "t"),
            columns,
            identity: Identity { kind: IdentityKind::PrimaryKey, columns: vec![0] },
            origin: None,
        }
    }

    fn altered(before: &TableSchema, after: TableSchema) -> Effect {
        let (schema, values_kept) = (Arc::new(after), vec!["wide".into()]);
        effect(Some(before), &SchemaChangeKind::Altered { schema, values_kept, rows_replaced: false })
    }

    #[test]
    fn an_alteration_is_kept_only_when_no_stored_value_can_differ() {
        let before = table(vec![column("id", "int"), column("wide", "varchar(10)"), column("c", "int")]);
        let with = |edit: &dyn Fn(&mut Vec<Column>)| {
            let mut after = before.clone();
            edit(&mut after.columns);
            altered(&before, after)
        };
        assert_eq!(with(&|_| {}), Effect::Keep);
        assert_eq!(with(&|columns| columns.push(column("d", "int"))), Effect::Keep);
        assert_eq!(with(&|columns| columns.swap(1, 2)), Effect::Keep);
        assert_eq!(with(&|columns| columns[1].source_type = "varchar(20)".into()), Effect::Keep);
        assert_eq!(with(&|columns| columns[2].default = Some("1".into())), Effect::Keep);
        // What is computed from a column follows its type.
        let computed = table(vec![
            column("id", "int"),
            column("wide", "varchar(10)"),
            Column { generated: Some(Generated::Stored("wide = 'X'".into())), ..column("g", "int") },
        ]);
        let mut wider = computed.clone();
        wider.columns[1].source_type = "varchar(20)".into();
        assert_eq!(altered(&computed, wider), Effect::Reconcile);
        assert_eq!(with(&|columns| columns[2].source_type = "bigint".into()), Effect::Reconcile);
        assert_eq!(with(&|columns| columns[2].nullable = false), Effect::Reconcile);
        assert_eq!(with(&|columns| columns[2].name = "renamed".into()), Effect::Reconcile);
        assert_eq!(with(&|columns| drop(columns.pop())), Effect::Reconcile);
        assert_eq!(
            with(&|columns| columns.push(Column { default: Some("5".into()), ..column("d", "int") })),
            Effect::Reconcile
        );
        assert_eq!(with(&|columns| columns.push(Column { nullable: false, ..column("d", "int") })), Effect::Reconcile);
    }

    #[test]
    fn replaced_rows_are_read_again_whatever_the_shape() {
        let before = table(vec![column("id", "int")]);
        let (schema, values_kept) = (Arc::new(before.clone()), Vec::new());
        let kind = SchemaChangeKind::Altered { schema, values_kept, rows_replaced: true };
        assert_eq!(effect(Some(&before), &kind), Effect::Reconcile);
    }

    #[test]
    fn another_identity_is_reconciled() {
        let before = table(vec![column("id", "int"), column("c", "int")]);
        let mut after = before.clone();
        after.identity.columns = vec![1];
        assert_eq!(altered(&before, after), Effect::Reconcile);
    }
}
