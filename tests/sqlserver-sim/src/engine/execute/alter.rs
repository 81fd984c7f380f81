//! ALTER TABLE, and the indexes of tables that are there.

use std::collections::HashMap;
use std::sync::Arc;

use sqlparser::ast::Expr;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    Alteration, DatabaseId, DefaultConstraint, IndexId, ObjectId, Part, ReadRequest, Row, RowId, Table,
};
use crate::value::collation::equal;
use crate::value::{SqlType, Value};

use super::super::bind::{Binder, named_type, table_source};
use super::super::run;
use super::super::state::Execution;
use super::super::statement::{AlterAction, ConstraintDefinition, ConstraintKind, CreateIndex, Name};
use super::constraint::{check_of, constraint_named, foreign_key, index_of, key_index};
use super::filling::filling;
use super::reference::check_children;
use super::row::Maker;
use super::table::{column, definition, made_name};
use super::target::{self, Target};
use super::{partition, transaction, versioning};

pub fn change(
    execution: &mut Execution<'_>,
    target: &Target,
    alterations: Vec<Alteration>,
    text: &str,
) -> SqlResult<()> {
    let ddl = target::ddl(execution.state, target.database, text)?;
    if !ddl.by_owner && target.database != DatabaseId::TEMPDB {
        target::check_permission(execution, target, "ALTER")?;
    }
    execution.state.transaction().alter_table(target.database, target.table.object_id, alterations, &ddl).map(|_| ())
}

pub fn create_index(execution: &mut Execution<'_>, index: &CreateIndex, text: &str) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let target = target::find(execution, &index.table)?;
        let alteration = if index.drop_existing {
            replaced_index(execution, &target.table, index)?
        } else {
            Alteration::AddIndex(index_of(execution, &target.table, index)?)
        };
        change(execution, &target, vec![alteration], text)
    })
}

/// `WITH (DROP_EXISTING = ON)`: the index keeps its number, unless it comes to be the clustered one.
fn replaced_index(execution: &mut Execution<'_>, table: &Table, index: &CreateIndex) -> SqlResult<Alteration> {
    let old = table.index_named(&index.name).ok_or_else(|| {
        let text = format!("Could not find any index named '{}' for table '{}'.", index.name, table.name);
        SqlError::new(7999, 16, text)
    })?;
    let mut others = table.clone();
    others.indexes.retain(|other| other.index_id != old.index_id);
    let mut made = index_of(execution, &others, index)?;
    if old.constraint.is_some() {
        let same = made.unique && made.key == old.key && index.clustered == old.is_clustered();
        if same && made.included.is_empty() && made.filter.is_none() {
            return Ok(Alteration::RebuildIndex(old.index_id));
        }
        let text = format!(
            "Cannot recreate index '{}'. The new index definition does not match the constraint being enforced by the existing index.",
            old.name
        );
        return Err(SqlError::new(1907, 16, text));
    }
    if old.is_clustered() && !index.clustered {
        let text = "Cannot convert a clustered index to a nonclustered index by using the DROP_EXISTING option. To change the index type from clustered to nonclustered, delete the clustered index, and then create a nonclustered index by using two separate statements.";
        return Err(SqlError::new(1925, 16, text));
    }
    if !index.clustered {
        made.index_id = old.index_id;
    }
    Ok(Alteration::ReplaceIndex { index: old.index_id, with: made })
}

pub fn drop_index(
    execution: &mut Execution<'_>,
    index: &str,
    table: &Name,
    if_exists: bool,
    text: &str,
) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let target = target::find(execution, table)?;
        let Some(found) = target.table.index_named(index) else {
            return if if_exists { Ok(()) } else { Err(SqlError::cannot_drop("index", &format!("{table}.{index}"))) };
        };
        if found.constraint.is_some() {
            let text = format!(
                "An explicit DROP INDEX is not allowed on index '{table}.{index}'. It is being used for PRIMARY KEY or UNIQUE KEY constraint enforcement."
            );
            return Err(SqlError::new(3723, 16, text));
        }
        change(execution, &target, vec![Alteration::DropIndex(found.index_id)], text)
    })
}

pub fn alter_index(
    execution: &mut Execution<'_>,
    index: Option<&str>,
    table: &Name,
    action: &str,
    text: &str,
) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let target = target::find(execution, table)?;
        let ids: Vec<IndexId> = match index {
            Some(name) => vec![
                target
                    .table
                    .index_named(name)
                    .map(|index| index.index_id)
                    .ok_or_else(|| SqlError::cannot_find(name))?,
            ],
            None => target.table.indexes.iter().map(|index| index.index_id).collect(),
        };
        let alterations: Vec<Alteration> = match action {
            "DISABLE" => ids.into_iter().map(Alteration::DisableIndex).collect(),
            "REBUILD" => ids.into_iter().map(Alteration::RebuildIndex).collect(),
            "REORGANIZE" | "SET" => return Ok(()),
            other => return Err(SqlError::unsupported(format!("ALTER INDEX … {other}"))),
        };
        change(execution, &target, alterations, text)
    })
}

pub fn alter(execution: &mut Execution<'_>, name: &Name, actions: &[AlterAction], text: &str) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let mut target = target::find(execution, name)
            .map_err(|error| if error.number == 208 { SqlError::cannot_find(&name.to_string()) } else { error })?;
        let own = execution.state.database;
        if target.database != DatabaseId::TEMPDB {
            execution.state.database = target.database;
        }
        let outcome = alter_in(execution, &mut target, actions, text);
        execution.state.database = own;
        outcome
    })
}

fn alter_in(execution: &mut Execution<'_>, target: &mut Target, actions: &[AlterAction], text: &str) -> SqlResult<()> {
    let mut alterations = Vec::new();
    let (mut added, mut fillings, mut numbered) = (Vec::new(), Vec::new(), None);
    // Constraints written with new columns refer to them: they are seen in a table that has them already.
    let mut shape = Table::clone(&target.table);
    let mut constraints: Vec<ConstraintDefinition> = Vec::new();
    for action in actions {
        match action {
            AlterAction::AddColumn(definition) => {
                versioning::check_altered(target)?;
                if definition.row_start.is_some() {
                    return Err(SqlError::unsupported("GENERATED ALWAYS columns added to a table"));
                }
                let mut column = column(execution, &shape, definition)?;
                let filling = filling(execution, target, &mut column, definition)?;
                if column.identity.is_some() {
                    numbered = Some(filling.identity_last);
                }
                let id = shape.push_column(column.clone());
                fillings.push(Alteration::Fill { column: id, values: filling.values });
                added.push(column);
                constraints.extend(definition.constraints.iter().cloned());
            }
            AlterAction::AddConstraint(constraint) => constraints.push(constraint.clone()),
            AlterAction::Switch { target: to, partition, target_partition } => {
                let to = target::find(execution, to)?;
                return switch(execution, target, partition.as_ref(), &to, target_partition.as_ref());
            }
            AlterAction::SystemVersioning(versioning) => {
                return versioning::set(execution, target, versioning.as_ref());
            }
            AlterAction::AddPeriod | AlterAction::DropPeriod => {
                return Err(SqlError::unsupported("ALTER TABLE … ADD or DROP PERIOD"));
            }
            AlterAction::EnableTriggers { enable, names } => {
                super::module::enable_triggers(execution, target, *enable, names)?
            }
            other => {
                versioning::check_altered(target)?;
                let own = alteration(target, other, execution)?;
                if let AlterAction::EnableConstraints { enable: true, check_rows: true, .. } = other {
                    check_rows(execution, target, &own)?;
                }
                alterations.extend(own);
            }
        }
    }
    if !added.is_empty() {
        alterations.push(Alteration::AddColumns(added));
        alterations.append(&mut fillings);
    }
    for constraint in &constraints {
        let added = added_constraint(execution, target, &mut shape, constraint, &alterations)?;
        alterations.push(added);
    }
    if !alterations.is_empty() {
        change(execution, target, alterations, text)?;
    }
    if let Some(last) = numbered {
        // A column that was numbered before may be gone, and its numbers with it.
        execution.state.transaction().set_identity_last(target.database, target.table.object_id, last)?;
    }
    Ok(())
}

/// `WITH CHECK CHECK CONSTRAINT`: the rows that are there must satisfy what is enabled again.
fn check_rows(execution: &mut Execution<'_>, target: &Target, enabled: &[Alteration]) -> SqlResult<()> {
    let wanted = |id: ObjectId| {
        enabled
            .iter()
            .any(|alteration| matches!(alteration, Alteration::SetDisabled { constraint, .. } if *constraint == id))
    };
    let mut table = Table::clone(&target.table);
    table.checks.retain(|check| wanted(check.object_id));
    table.foreign_keys.retain(|key| wanted(key.object_id));
    table.checks.iter_mut().for_each(|check| check.disabled = false);
    table.foreign_keys.iter_mut().for_each(|key| key.disabled = false);
    satisfied(execution, target, table, &[])
}

/// Whether the rows that are there satisfy the checks and references of a table as it will be.
///
/// # Errors
/// 547 where one doesn't.
fn satisfied(
    execution: &mut Execution<'_>,
    target: &Target,
    shape: Table,
    alterations: &[Alteration],
) -> SqlResult<()> {
    let shape = Target { table: Arc::new(shape), ..target.clone() };
    let rows = rows_under(execution, target, &shape.table, alterations)?;
    let maker = Maker::new(execution, shape.clone())?;
    for row in &rows {
        maker.check(execution, row, "ALTER TABLE")?;
    }
    check_children(execution, &shape, &rows, "ALTER TABLE")
}

/// The rows that are there, as a table will have them after what fills its new columns.
fn rows_under(
    execution: &mut Execution<'_>,
    target: &Target,
    shape: &Arc<Table>,
    alterations: &[Alteration],
) -> SqlResult<Vec<Row>> {
    let fillings = alterations.iter().filter_map(|alteration| match alteration {
        Alteration::Fill { column, values } => {
            let values: HashMap<RowId, &Value> = values.iter().map(|(id, value)| (*id, value)).collect();
            Some((shape.column(*column)?.slot()?, values))
        }
        _ => None,
    });
    let fillings: Vec<_> = fillings.collect();
    let request = ReadRequest::all(target.database, Arc::clone(&target.table));
    let rows = execution.state.transaction().read_all(&request)?;
    let (source, _) = table_source(&mut Binder::new(execution), 0, target.database, shape)?;
    let whole = rows.into_iter().map(|(id, mut row)| {
        for (slot, values) in &fillings {
            if let Some(value) = values.get(&id) {
                row = shape.with_value(&row, *slot, Value::clone(value));
            }
        }
        run::whole_row(execution, &source, row)
    });
    whole.collect()
}

fn switch(
    execution: &mut Execution<'_>,
    from: &Target,
    partition: Option<&Expr>,
    to: &Target,
    target_partition: Option<&Expr>,
) -> SqlResult<()> {
    let mut part = |target: &Target, partition: Option<&Expr>| -> SqlResult<Part> {
        target::check_permission(execution, target, "ALTER")?;
        let partition = partition.map(|partition| partition::number(execution, partition)).transpose()?;
        Ok(Part { table: target.table.object_id, partition })
    };
    let (source, target) = (part(from, partition)?, part(to, target_partition)?);
    execution.state.transaction().switch(from.database, source, target)
}

fn added_constraint(
    execution: &mut Execution<'_>,
    target: &Target,
    shape: &mut Table,
    constraint: &ConstraintDefinition,
    alterations: &[Alteration],
) -> SqlResult<Alteration> {
    let name = constraint.name.as_deref();
    Ok(match &constraint.kind {
        ConstraintKind::PrimaryKey { clustered, columns } => {
            let index = key_index(execution, shape, name, true, *clustered, columns)?;
            for key in &index.key {
                if shape.column(key.column_id).is_some_and(|column| column.nullable) {
                    let text =
                        format!("Cannot define PRIMARY KEY constraint on nullable column in table '{}'.", shape.name);
                    return Err(SqlError::new(8111, 16, text));
                }
            }
            shape.indexes.push(index.clone());
            Alteration::AddIndex(index)
        }
        ConstraintKind::Unique { clustered, columns } => {
            let index = key_index(execution, shape, name, false, *clustered, columns)?;
            shape.indexes.push(index.clone());
            Alteration::AddIndex(index)
        }
        ConstraintKind::Check(check) => {
            let check = check_of(execution, shape, name, check)?;
            let mut with_check = shape.clone();
            with_check.checks = vec![check.clone()];
            with_check.foreign_keys.clear();
            satisfied(execution, target, with_check, alterations)?;
            Alteration::AddCheck(check)
        }
        ConstraintKind::ForeignKey { .. } => {
            let key = foreign_key(execution, shape, name, &constraint.kind)?;
            let mut with_key = shape.clone();
            with_key.foreign_keys = vec![key.clone()];
            with_key.checks.clear();
            satisfied(execution, target, with_key, alterations)?;
            Alteration::AddForeignKey(key)
        }
        ConstraintKind::Default { column, value } => {
            let found = shape.column_named(column).cloned().ok_or_else(|| SqlError::invalid_column(column))?;
            if found.default.is_some() {
                return Err(SqlError::new(1781, 16, "Column already has a DEFAULT bound to it."));
            }
            let mut binder = Binder::new(execution);
            let bound = binder.scalar(&value.expression)?;
            binder.converted(bound, found.sql_type)?;
            let name = match name {
                Some(name) => Arc::from(name),
                None => made_name(execution, "DF", &format!("{}__{column}", shape.name)),
            };
            let default = DefaultConstraint { object_id: ObjectId(0), name, definition: definition(&value.text) };
            Alteration::SetDefault { column: found.column_id, default }
        }
    })
}

fn alteration(target: &Target, action: &AlterAction, execution: &Execution<'_>) -> SqlResult<Vec<Alteration>> {
    let table = &target.table;
    let no_column = |name: &str| {
        let text =
            format!("ALTER TABLE DROP COLUMN failed because column '{name}' does not exist in table '{}'.", table.name);
        SqlError::new(4924, 16, text)
    };
    Ok(match action {
        AlterAction::DropColumn { name, if_exists } => match table.column_named(name) {
            Some(column) => vec![Alteration::DropColumns(vec![column.column_id])],
            None if *if_exists => Vec::new(),
            None => return Err(no_column(name)),
        },
        AlterAction::DropConstraint { name, if_exists } => match constraint_named(table, name) {
            Some(id) => vec![Alteration::DropConstraint(id)],
            None if *if_exists => Vec::new(),
            None => {
                let text = format!("'{name}' is not a constraint.");
                return Err(SqlError::new(3728, 16, text));
            }
        },
        AlterAction::AlterColumn { name, data_type, nullable, collation } => {
            let column = table.column_named(name).ok_or_else(|| {
                let text = format!(
                    "ALTER TABLE ALTER COLUMN failed because column '{name}' does not exist in table '{}'.",
                    table.name
                );
                SqlError::new(4924, 16, text)
            })?;
            if column.computed.is_some() || column.sql_type == SqlType::RowVersion {
                let text = format!(
                    "Cannot alter column '{name}' because it is '{}'.",
                    if column.computed.is_some() { "COMPUTED" } else { "timestamp" }
                );
                return Err(SqlError::new(4928, 16, text));
            }
            let sql_type = named_type(execution.state, data_type)?;
            crate::value::convert::check(column.sql_type, sql_type, crate::value::convert::Manner::Implicit)?;
            // Without NULL or NOT NULL a column becomes nullable, unless a key needs it otherwise.
            let in_key =
                table.primary_key().is_some_and(|key| key.key.iter().any(|key| key.column_id == column.column_id));
            let nullable = nullable.unwrap_or(!in_key);
            let mut alterations = vec![Alteration::AlterColumn { column: column.column_id, sql_type, nullable }];
            // Without COLLATE a text takes the database's collation again.
            let collation = collation.as_deref().map(Arc::from);
            if sql_type.is_character() && collation != column.collation {
                alterations.push(Alteration::SetCollation { column: column.column_id, collation });
            } else if !sql_type.is_character() && collation.is_some() {
                let text = format!("Expression type {} is invalid for COLLATE clause.", sql_type.name());
                return Err(SqlError::new(447, 16, text));
            }
            alterations
        }
        AlterAction::EnableConstraints { enable, names, .. } => {
            let checks = table.checks.iter().map(|check| (&check.name, check.object_id));
            let all: Vec<_> = checks.chain(table.foreign_keys.iter().map(|key| (&key.name, key.object_id))).collect();
            for name in names {
                if !all.iter().any(|(own, _)| equal(own, name)) {
                    let text = format!("Constraint '{name}' does not exist.");
                    return Err(SqlError::new(4917, 16, text));
                }
            }
            let named = |own: &Arc<str>| names.is_empty() || names.iter().any(|name| equal(own, name));
            let chosen = all.into_iter().filter(|(own, _)| named(own));
            chosen.map(|(_, constraint)| Alteration::SetDisabled { constraint, disabled: !enable }).collect()
        }
        _ => Vec::new(),
    })
}
