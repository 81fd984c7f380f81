//! Partition functions and schemes, and the tables that lie on them.

use std::sync::Arc;

use sqlparser::ast::Expr;

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, PartitionFunction, PartitionKey, PartitionScheme, Table};
use crate::value::{SqlType, Value};

use super::super::bind::{Binder, named_type};
use super::super::evaluate::Scope;
use super::super::state::Execution;
use super::super::statement::{OnScheme, PartitionStatement};
use super::{target, transaction, value_of};

fn missing(kind: &str, name: &str) -> SqlError {
    SqlError::new(7718, 16, format!("Partition {kind} '{name}' does not exist."))
}

fn taken(kind: &str, name: &str) -> SqlError {
    let text = format!("There is already an object named '{name}' in the database, a partition {kind}.");
    SqlError::new(2714, 16, text)
}

pub fn statement(execution: &mut Execution<'_>, statement: &PartitionStatement) -> SqlResult<()> {
    let database = execution.state.database;
    target::check_definer(execution.state, database)?;
    transaction::atomic(execution, |execution| match statement {
        PartitionStatement::CreateFunction { name, data_type, right, boundaries } => {
            let sql_type = named_type(execution.state, data_type)?;
            if execution.state.catalog(database)?.partition_function(name).is_some() {
                return Err(taken("function", name));
            }
            let mut values = Vec::with_capacity(boundaries.len());
            for boundary in boundaries {
                values.push(boundary_value(execution, boundary, sql_type)?);
            }
            values.sort_by(Value::order);
            if values.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
                let text = "Duplicate values are not allowed in partition function boundary values list.";
                return Err(SqlError::new(7708, 16, text));
            }
            put(execution, database, function(name, sql_type, *right, values))
        }
        PartitionStatement::CreateScheme { name, function, places, all } => {
            create_scheme(execution, database, name, function, *places, *all)
        }
        PartitionStatement::AlterFunction { name, split, boundary } => {
            alter_function(execution, database, name, *split, boundary.as_ref())
        }
        // Where the next partition is stored is nobody's business here.
        PartitionStatement::AlterScheme { name } => {
            let catalog = execution.state.catalog(database)?;
            catalog.partition_scheme(name).map(|_| ()).ok_or_else(|| missing("scheme", name))
        }
        PartitionStatement::DropFunction { name } => drop_function(execution, database, name),
        PartitionStatement::DropScheme { name } => drop_scheme(execution, database, name),
    })
}

fn function(name: &str, sql_type: SqlType, right: bool, boundaries: Vec<Value>) -> PartitionFunction {
    PartitionFunction { name: Arc::from(name), sql_type, right, boundaries }
}

fn boundary_value(execution: &mut Execution<'_>, boundary: &Expr, sql_type: SqlType) -> SqlResult<Value> {
    let mut binder = Binder::new(execution);
    let bound = binder.scalar(boundary)?;
    let bound = binder.converted(bound, sql_type)?;
    bound.evaluate(execution, &Scope::EMPTY)
}

fn put(execution: &mut Execution<'_>, database: DatabaseId, function: PartitionFunction) -> SqlResult<()> {
    execution.state.transaction().edit_catalog(database, |catalog| {
        catalog.put_partition_function(function);
        Ok(())
    })
}

fn create_scheme(
    execution: &mut Execution<'_>,
    database: DatabaseId,
    name: &str,
    function: &str,
    places: usize,
    all: bool,
) -> SqlResult<()> {
    execution.state.transaction().edit_catalog(database, |catalog| {
        if catalog.partition_scheme(name).is_some() {
            return Err(taken("scheme", name));
        }
        let found = catalog.partition_function(function).ok_or_else(|| missing("function", function))?;
        if !all && places < found.count() {
            let text = format!(
                "The associated partition function '{function}' generates more partitions than there are file groups mentioned in the scheme '{name}'."
            );
            return Err(SqlError::new(7707, 16, text));
        }
        let scheme = PartitionScheme { name: Arc::from(name), function: Arc::clone(&found.name) };
        catalog.put_partition_scheme(scheme);
        Ok(())
    })
}

/// SPLIT adds a boundary, MERGE takes one away. Rows follow by themselves, as their partition is computed.
fn alter_function(
    execution: &mut Execution<'_>,
    database: DatabaseId,
    name: &str,
    split: bool,
    boundary: Option<&Expr>,
) -> SqlResult<()> {
    let catalog = execution.state.catalog(database)?;
    let mut found =
        PartitionFunction::clone(catalog.partition_function(name).ok_or_else(|| missing("function", name))?);
    let boundary = boundary.ok_or_else(|| SqlError::unsupported("SPLIT RANGE without a boundary"))?;
    let value = boundary_value(execution, boundary, found.sql_type)?;
    let place = found.boundaries.iter().position(|own| *own == value);
    match (split, place) {
        (true, None) => {
            found.boundaries.push(value.clone());
            found.boundaries.sort_by(Value::order);
        }
        (true, Some(_)) => {
            let text = "Duplicate values are not allowed in partition function boundary values list.";
            return Err(SqlError::new(7721, 16, text));
        }
        (false, Some(at)) => {
            found.boundaries.remove(at);
        }
        (false, None) => {
            let text = "The specified partition range value could not be found. Reissue ALTER PARTITION FUNCTION with a partition boundary value that exists.";
            return Err(SqlError::new(7715, 16, text));
        }
    }
    execution.state.transaction().put_boundary(database, found, &value, split)
}

fn drop_function(execution: &mut Execution<'_>, database: DatabaseId, name: &str) -> SqlResult<()> {
    execution.state.transaction().edit_catalog(database, |catalog| {
        let found = catalog.partition_function(name).ok_or_else(|| missing("function", name))?;
        let used = catalog.partition_schemes().any(|scheme| scheme.function == found.name);
        if used {
            let text = format!("Partition function '{name}' is being used by one or more partition schemes.");
            return Err(SqlError::new(7706, 16, text));
        }
        catalog.remove_partition_function(name);
        Ok(())
    })
}

fn drop_scheme(execution: &mut Execution<'_>, database: DatabaseId, name: &str) -> SqlResult<()> {
    execution.state.transaction().edit_catalog(database, |catalog| {
        let found = catalog.partition_scheme(name).ok_or_else(|| missing("scheme", name))?;
        let lies_on = |table: &Arc<Table>| table.partition.as_ref().is_some_and(|key| key.scheme == found.name);
        if catalog.tables().any(lies_on) {
            let text =
                format!("The partition scheme \"{name}\" is currently being used to partition one or more tables.");
            return Err(SqlError::new(7717, 16, text));
        }
        catalog.remove_partition_scheme(name);
        Ok(())
    })
}

/// Lays a new table on a scheme.
///
/// # Errors
/// 2714-like where there is no scheme of that name, 1911 where there is no such column, 7726 where its type is another.
pub fn lay(execution: &Execution<'_>, database: DatabaseId, table: &mut Table, on: &OnScheme) -> SqlResult<()> {
    let catalog = execution.state.catalog(database)?;
    let unknown = || {
        let text = format!("Invalid filegroup '{}' specified.", on.scheme);
        SqlError::new(1921, 16, text)
    };
    let scheme = catalog.partition_scheme(&on.scheme).ok_or_else(unknown)?;
    let function = catalog.partition_function(&scheme.function).ok_or_else(|| missing("function", &scheme.function))?;
    let column = table.column_named(&on.column).ok_or_else(|| SqlError::invalid_column(&on.column))?;
    if column.sql_type != function.sql_type {
        let text = format!(
            "Partition column '{}' has data type {} which is different from the partition function '{}' parameter data type {}.",
            column.name,
            column.sql_type.name(),
            function.name,
            function.sql_type.name()
        );
        return Err(SqlError::new(7726, 16, text));
    }
    let unique = table.indexes.iter().filter(|index| index.unique);
    let apart = unique.into_iter().find(|index| index.key.iter().all(|key| key.column_id != column.column_id));
    if let Some(index) = apart {
        let text = format!(
            "Column '{}' is partitioning column of the index '{}'. Partition columns for a unique index must be a subset of the index key.",
            column.name, index.name
        );
        return Err(SqlError::new(1908, 16, text));
    }
    let key = PartitionKey { scheme: Arc::clone(&scheme.name), column: column.column_id };
    table.partitioned = true;
    table.partition = Some(key);
    Ok(())
}

/// The number of a partition as a statement gives it.
pub fn number(execution: &mut Execution<'_>, expression: &Expr) -> SqlResult<usize> {
    let number = value_of(execution, expression)?.0.as_integer();
    number
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| SqlError::new(7722, 16, "Invalid partition number."))
}
