//! What rows that are there already have in a column that ALTER TABLE adds.

use crate::error::{SqlError, SqlResult};
use crate::storage::{Column, Identity, LockDuration, LockMode, ReadRequest, RowId, Visibility};
use crate::value::{SqlType, Value};

use super::super::bind::Binder;
use super::super::evaluate::Scope;
use super::super::expression::{Expression, Node};
use super::super::state::Execution;
use super::super::statement::ColumnDefinition;
use super::row::identity_value;
use super::target::Target;

/// Values of single rows in a new column.
#[derive(Default)]
pub struct Filling {
    pub values: Vec<(RowId, Value)>,
    /// The last of the numbers that an identity column gave.
    pub identity_last: Option<i128>,
}

/// Finds what the rows get: one value for all is noted with the column, others are given back. Numbers and row versions
/// are each row's own, and a default is evaluated for each row, as NEWID() differs from one to the next.
///
/// # Errors
/// 4901 where rows are there and nothing says what they get; 8115 where numbers don't fit; those of the default.
pub fn filling(
    execution: &mut Execution<'_>,
    target: &Target,
    column: &mut Column,
    definition: &ColumnDefinition,
) -> SqlResult<Filling> {
    if column.computed.is_some() {
        return Ok(Filling::default());
    }
    if let Some(identity) = column.identity {
        return numbered(execution, target, identity, column.sql_type);
    }
    if column.sql_type == SqlType::RowVersion {
        let values = each(execution, target, |execution| {
            let version = execution.state.storage.next_row_version(target.database)?;
            Ok(Value::binary(&version.to_be_bytes()))
        })?;
        return Ok(Filling { values, identity_last: None });
    }
    if let Some((_, default)) = definition.default.as_ref().filter(|_| !column.nullable || definition.with_values) {
        let mut binder = Binder::new(execution);
        let bound = binder.scalar(&default.expression)?;
        let bound = binder.converted(bound, column.sql_type)?;
        return by_default(execution, target, column, &bound);
    }
    if column.nullable || execution.state.storage.row_count(target.database, target.table.object_id) == 0 {
        return Ok(Filling::default());
    }
    let text = format!(
        "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition specified, or the column being added is an identity or timestamp column, or alternatively if none of the previous conditions are satisfied the table must be empty to allow addition of this column. Column '{}' cannot be added to non-empty table '{}' because it does not satisfy these conditions.",
        column.name, target.table.name
    );
    Err(SqlError::new(4901, 16, text))
}

/// A value for each row, in the order of the clustered index. Nobody adds or removes rows from here on.
fn each(
    execution: &mut Execution<'_>,
    target: &Target,
    mut value: impl FnMut(&mut Execution<'_>) -> SqlResult<Value>,
) -> SqlResult<Vec<(RowId, Value)>> {
    let (database, table) = (target.database, &target.table);
    let transaction = execution.state.transaction();
    transaction.lock_table(database, table.object_id, LockMode::SchemaModification, LockDuration::Transaction)?;
    let request = ReadRequest::all(database, table.clone()).visible(Visibility::Current);
    let rows = transaction.read_all(&request)?;
    rows.into_iter().map(|(id, _)| Ok((id, value(execution)?))).collect()
}

fn numbered(
    execution: &mut Execution<'_>,
    target: &Target,
    identity: Identity,
    sql_type: SqlType,
) -> SqlResult<Filling> {
    let mut last = None;
    let values = each(execution, target, |_| {
        let next = last.map_or(identity.seed, |last: i128| last.saturating_add(identity.increment));
        last = Some(next);
        identity_value(next, sql_type)
    })?;
    Ok(Filling { values, identity_last: last })
}

fn by_default(
    execution: &mut Execution<'_>,
    target: &Target,
    column: &mut Column,
    default: &Expression,
) -> SqlResult<Filling> {
    if is_literal(default) {
        column.missing = Some(default.evaluate(execution, &Scope::EMPTY)?);
        return Ok(Filling::default());
    }
    let values = each(execution, target, |execution| default.evaluate(execution, &Scope::EMPTY))?;
    let first = values.first().map(|(_, value)| value.clone());
    if values.iter().all(|(_, value)| Some(value) == first.as_ref()) {
        column.missing = first;
        return Ok(Filling::default());
    }
    Ok(Filling { values, identity_last: None })
}

fn is_literal(expression: &Expression) -> bool {
    match &expression.node {
        Node::Literal(_) => true,
        Node::Convert { value, style, .. } => is_literal(value) && style.as_deref().is_none_or(is_literal),
        _ => false,
    }
}
