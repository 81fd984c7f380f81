//! From change rows to row changes.

use millstream_core::change::{RowChange, RowChanges};
use millstream_core::row::{RowBatch, RowRef, ValueTooLong};
use millstream_core::schema::{IdentityKind, TableSchema};
use millstream_core::value::ValueRef;

use super::cursor::{ChangedRow, RowPlace};
use crate::capture::shape::{is_left_out_of_old_rows, may_be_left_out};

/// Whether a change row told which row changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It did.
    Whole,
    /// The old row of a table without a key lacks values, so nothing says which row it was.
    IdentityUnknown,
}

/// Appends a change. Where the row doesn't tell what is in the table now, it is marked to be asked for.
pub(super) fn push(row: &ChangedRow<'_>, changes: &mut RowChanges) -> Result<Told, ValueTooLong> {
    let ChangedRow { rows, place, is_in_order, .. } = *row;
    let keyless = changes.schema.identity.kind == IdentityKind::WholeRow;
    // Of several equal rows one may be left; and an update in two rows may come with its insert before its delete.
    let gone = if keyless || !is_in_order { RowChange::Recheck } else { RowChange::Delete };
    match place {
        RowPlace::Insert(at) => append(rows, at, RowChange::Upsert, changes)?,
        RowPlace::Delete(at) => {
            if keyless && lacks_values(&changes.schema, rows.row(at), is_left_out_of_old_rows) {
                return Ok(Told::IdentityUnknown);
            }
            append(rows, at, gone, changes)?;
        }
        RowPlace::Update { before, after } => {
            let (old, new) = (rows.row(before), rows.row(after));
            if keyless {
                if lacks_values(&changes.schema, old, may_be_left_out) {
                    return Ok(Told::IdentityUnknown);
                }
                append(rows, before, gone, changes)?;
            } else if !same_identity(&changes.schema, old, new) {
                append(rows, before, gone, changes)?;
            }
            let kind = if is_whole(&changes.schema, old, new) { RowChange::Upsert } else { RowChange::Recheck };
            append(rows, after, kind, changes)?;
        }
    }
    Ok(Told::Whole)
}

fn append(rows: &RowBatch, at: usize, change: RowChange, changes: &mut RowChanges) -> Result<(), ValueTooLong> {
    if let Some(row) = rows.row(at) {
        changes.rows.push_row(row)?;
        changes.changes.push(change);
    }
    Ok(())
}

fn is_null(row: Option<RowRef<'_>>, column: usize) -> bool {
    row.and_then(|row| row.get(column)).is_none_or(|value| value.is_null())
}

/// Whether a column of the row is NULL that may have a value nevertheless. Besides large values, deletes have been seen
/// to come with NULL in columns that can't be.
fn lacks_values(
    schema: &TableSchema,
    row: Option<RowRef<'_>>,
    may_lack: impl Fn(&millstream_core::schema::Column) -> bool,
) -> bool {
    let mut columns = schema.columns.iter().enumerate();
    columns.any(|(index, column)| (may_lack(column) || !column.nullable) && is_null(row, index))
}

fn same_identity(schema: &TableSchema, old: Option<RowRef<'_>>, new: Option<RowRef<'_>>) -> bool {
    fn value(row: Option<RowRef<'_>>, column: usize) -> ValueRef<'_> {
        row.and_then(|row| row.get(column)).unwrap_or(ValueRef::Null)
    }
    schema.identity.columns.iter().all(|column| match (value(old, *column), value(new, *column)) {
        // The two zeros are equal, but not the same.
        (ValueRef::Real(old), ValueRef::Real(new)) => old.to_bits() == new.to_bits(),
        (old, new) => old == new,
    })
}

/// Whether the new row of an update holds all its values. A large one that the update didn't touch is NULL in both
/// rows; so is one that was NULL before, which can't be told apart.
fn is_whole(schema: &TableSchema, old: Option<RowRef<'_>>, new: Option<RowRef<'_>>) -> bool {
    let mut columns = schema.columns.iter().enumerate();
    !columns.any(|(index, column)| is_null(new, index) && is_null(old, index) && may_be_left_out(column))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millstream_core::schema::{Column, Identity, TableName};

    use super::*;

    fn changes(kind: IdentityKind, note: &str) -> RowChanges {
        let column = |name: &str, source_type: &str, nullable| Column {
            name: name.into(),
            source_type: source_type.into(),
            nullable,
            collation: None,
            generated: None,
            default: None,
        };
        let columns = vec![column("id", "int", false), column("note", note, true)];
        let identity = match kind {
            IdentityKind::WholeRow => vec![0, 1],
            _ => vec![0],
        };
        RowChanges::new(Arc::new(TableSchema {
            table: TableName::new("dbo", "t"),
            columns,
            identity: Identity { kind, columns: identity },
            origin: None,
        }))
    }

    fn rows(values: &[(i64, Option<&str>)]) -> RowBatch {
        let mut rows = RowBatch::new(2);
        for (id, note) in values {
            rows.push(ValueRef::Int(*id)).unwrap();
            rows.push(note.map_or(ValueRef::Null, ValueRef::Text)).unwrap();
        }
        rows
    }

    const UPDATE: RowPlace = RowPlace::Update { before: 0, after: 1 };

    fn told(kind: IdentityKind, note: &str, values: &[(i64, Option<&str>)], place: RowPlace) -> (Told, Vec<RowChange>) {
        let mut changes = changes(kind, note);
        let schema = Arc::clone(&changes.schema);
        let rows = rows(values);
        let row = ChangedRow { rows: &rows, schema: &schema, place, is_in_order: true };
        let told = push(&row, &mut changes).unwrap();
        assert_eq!(changes.rows.len(), changes.changes.len());
        (told, changes.changes)
    }

    #[test]
    fn an_update_is_the_new_row_and_where_the_key_changed_the_end_of_the_old() {
        let key = IdentityKind::PrimaryKey;
        let small = "varchar(10)";
        assert_eq!(told(key, small, &[(1, None), (1, Some("a"))], UPDATE), (Told::Whole, vec![RowChange::Upsert]));
        let moved = told(key, small, &[(1, None), (2, None)], UPDATE);
        assert_eq!(moved, (Told::Whole, vec![RowChange::Delete, RowChange::Upsert]));
    }

    #[test]
    fn a_delete_that_may_stand_in_the_wrong_place_is_asked_for() {
        let mut changes = changes(IdentityKind::PrimaryKey, "varchar(10)");
        let schema = Arc::clone(&changes.schema);
        let rows = rows(&[(1, None)]);
        let row = ChangedRow { rows: &rows, schema: &schema, place: RowPlace::Delete(0), is_in_order: false };
        assert_eq!(push(&row, &mut changes).unwrap(), Told::Whole);
        assert_eq!(changes.changes, [RowChange::Recheck]);
    }

    #[test]
    fn a_large_value_that_was_left_out_is_asked_for() {
        let key = IdentityKind::PrimaryKey;
        for large in ["varchar(max)", "xml", "ntext"] {
            let left_out = told(key, large, &[(1, None), (1, None)], UPDATE);
            assert_eq!(left_out, (Told::Whole, vec![RowChange::Recheck]), "{large}");
            let cleared = told(key, large, &[(1, Some("a")), (1, None)], UPDATE);
            assert_eq!(cleared, (Told::Whole, vec![RowChange::Upsert]), "{large}");
            let inserted = told(key, large, &[(1, None)], RowPlace::Insert(0));
            assert_eq!(inserted, (Told::Whole, vec![RowChange::Upsert]), "{large}");
        }
    }

    #[test]
    fn without_a_key_the_old_row_is_asked_for_or_unknown() {
        let keyless = IdentityKind::WholeRow;
        let values = [(1, Some("a")), (1, Some("b"))];
        assert_eq!(
            told(keyless, "varchar(10)", &values, UPDATE),
            (Told::Whole, vec![RowChange::Recheck, RowChange::Upsert])
        );
        assert_eq!(told(keyless, "varchar(10)", &values, RowPlace::Delete(0)), (Told::Whole, vec![RowChange::Recheck]));
        let unknown = (Told::IdentityUnknown, vec![]);
        assert_eq!(told(keyless, "varchar(max)", &[(1, None), (1, Some("b"))], UPDATE), unknown);
        assert_eq!(told(keyless, "text", &[(1, None)], RowPlace::Delete(0)), unknown);
        assert_eq!(told(keyless, "varchar(max)", &[(1, None)], RowPlace::Delete(0)).0, Told::Whole);
    }
}
