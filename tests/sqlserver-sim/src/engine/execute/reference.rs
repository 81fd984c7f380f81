//! Foreign keys.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    ColumnId, DatabaseId, ForeignKey, KeyRange, ReadRequest, ReferentialAction, Row, RowId, Table, UpdateManner,
    Visibility,
};
use crate::value::Value;

use super::super::state::Execution;
use super::data::Change;
use super::row::Maker;
use super::target::Target;
use super::versioning;

fn values(table: &Table, columns: &[ColumnId], row: &Row) -> Vec<Value> {
    let value = |id: &ColumnId| table.column(*id).map_or(Value::Null, |column| table.value(column, row).clone());
    columns.iter().map(value).collect()
}

/// The rows that have these values in these columns, by an index if there is one.
fn matching(
    execution: &mut Execution<'_>,
    database: DatabaseId,
    table: &Arc<Table>,
    columns: &[ColumnId],
    wanted: &[Value],
    first: bool,
) -> SqlResult<Vec<(RowId, Row)>> {
    let mut request = ReadRequest::all(database, Arc::clone(table)).visible(Visibility::Current);
    let index = table.indexes.iter().filter(|index| index.is_readable()).find(|index| {
        index.key.len() >= columns.len()
            && index.key.iter().take(columns.len()).all(|key| columns.contains(&key.column_id))
    });
    if let Some(index) = index {
        let key = index.key.iter().take(columns.len()).filter_map(|key| {
            columns.iter().position(|column| *column == key.column_id).and_then(|at| wanted.get(at)).cloned()
        });
        request = request.range(index.index_id, KeyRange::prefix(key.collect()));
    }
    let mut rows = execution.state.transaction().read_all(&request)?;
    rows.retain(|(_, row)| values(table, columns, row) == wanted);
    if first {
        rows.truncate(1);
    }
    Ok(rows)
}

fn conflict(
    execution: &Execution<'_>,
    operation: &str,
    kind: &str,
    key: &ForeignKey,
    database: DatabaseId,
    table: &Arc<Table>,
    columns: &[ColumnId],
) -> SqlError {
    let state = &*execution.state;
    let target = Target { database, table: Arc::clone(table), variable: false };
    let column = match columns {
        [only] => table.column(*only).map(|column| column.name.to_string()),
        _ => None,
    };
    SqlError::constraint_conflict(
        operation,
        kind,
        &key.name,
        &state.database_name(database),
        &target.short_name(state),
        column.as_deref(),
    )
}

/// Rows written must refer to rows that are there.
pub fn check_children(execution: &mut Execution<'_>, target: &Target, rows: &[Row], operation: &str) -> SqlResult<()> {
    for key in target.table.foreign_keys.iter().filter(|key| !key.disabled) {
        let catalog = execution.state.catalog(target.database)?;
        let Some(parent) = catalog.table(key.referenced_table).cloned() else { continue };
        for row in rows {
            let wanted = values(&target.table, &key.columns, row);
            if wanted.iter().any(Value::is_null) {
                continue;
            }
            if matching(execution, target.database, &parent, &key.referenced_columns, &wanted, true)?.is_empty() {
                return Err(conflict(
                    execution,
                    operation,
                    "FOREIGN KEY",
                    key,
                    target.database,
                    &parent,
                    &key.referenced_columns,
                ));
            }
        }
    }
    Ok(())
}

/// Rows that others refer to were changed or removed: refused, or followed.
pub fn parents_changed(
    execution: &mut Execution<'_>,
    target: &Target,
    changes: &[Change],
    operation: &str,
) -> SqlResult<()> {
    let catalog = execution.state.catalog(target.database)?;
    let referring: Vec<(Arc<Table>, ForeignKey)> = catalog
        .tables()
        .flat_map(|table| table.foreign_keys.iter().map(move |key| (Arc::clone(table), key.clone())))
        .filter(|(_, key)| key.referenced_table == target.table.object_id && !key.disabled)
        .collect();
    for (child, key) in referring {
        for change in changes {
            let Some(before) = &change.before else { continue };
            let old = values(&target.table, &key.referenced_columns, before);
            let new = change.after.as_ref().map(|after| values(&target.table, &key.referenced_columns, after));
            if new.as_ref() == Some(&old) || old.iter().any(Value::is_null) {
                continue;
            }
            // Another row may have taken the key over.
            if !matching(execution, target.database, &target.table, &key.referenced_columns, &old, true)?.is_empty() {
                continue;
            }
            let children = matching(execution, target.database, &child, &key.columns, &old, false)?;
            if !children.is_empty() {
                follow(execution, target.database, &child, &key, children, new, operation)?;
            }
        }
    }
    Ok(())
}

fn follow(
    execution: &mut Execution<'_>,
    database: DatabaseId,
    child: &Arc<Table>,
    key: &ForeignKey,
    children: Vec<(RowId, Row)>,
    new: Option<Vec<Value>>,
    operation: &str,
) -> SqlResult<()> {
    let action = if new.is_some() { key.on_update } else { key.on_delete };
    let target = Target { database, table: Arc::clone(child), variable: false };
    let by = match (action, new) {
        (ReferentialAction::NoAction, _) => {
            return Err(conflict(execution, operation, "REFERENCE", key, database, child, &key.columns));
        }
        (ReferentialAction::Cascade, None) => {
            let ids: Vec<RowId> = children.iter().map(|(id, _)| *id).collect();
            execution.state.transaction().delete(database, child, &ids)?;
            let changes: Vec<Change> = children
                .into_iter()
                .map(|(_, row)| Change { before: Some(row), after: None, found_with: Vec::new() })
                .collect();
            versioning::keep(execution, &target, &changes)?;
            return parents_changed(execution, &target, &changes, operation);
        }
        (ReferentialAction::Cascade, Some(new)) => new,
        (ReferentialAction::SetNull, _) => vec![Value::Null; key.columns.len()],
        (ReferentialAction::SetDefault, _) => {
            let maker = Maker::new(execution, target.clone())?;
            let mut defaults = Vec::with_capacity(key.columns.len());
            for column in &key.columns {
                let slot = child.column(*column).and_then(crate::storage::Column::slot).unwrap_or(0);
                defaults.push(maker.default_of(execution, slot)?);
            }
            defaults
        }
    };
    let maker = Maker::new(execution, target.clone())?;
    let mut written = Vec::with_capacity(children.len());
    let mut changes = Vec::with_capacity(children.len());
    for (id, row) in children {
        let mut after = row.to_vec();
        after.resize(child.row_width(), Value::Null);
        for (column, value) in key.columns.iter().zip(&by) {
            if let Some(place) =
                child.column(*column).and_then(crate::storage::Column::slot).and_then(|slot| after.get_mut(slot))
            {
                *place = value.clone();
            }
        }
        let after = maker.finished(execution, after, "UPDATE")?;
        written.push((id, after.clone()));
        changes.push(Change { before: Some(row), after: Some(after), found_with: Vec::new() });
    }
    execution.state.transaction().update(database, child, &written, UpdateManner::InPlace)?;
    versioning::keep(execution, &target, &changes)?;
    let after: Vec<Row> = written.into_iter().map(|(_, row)| row).collect();
    check_children(execution, &target, &after, operation)?;
    parents_changed(execution, &target, &changes, operation)
}
