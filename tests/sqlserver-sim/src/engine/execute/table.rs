//! Definitions of tables: created, emptied, dropped.

use std::sync::Arc;

use sqlparser::ast::Expr;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Column, Computed, DatabaseId, DefaultConstraint, Identity, ObjectId, SchemaId, Table};
use crate::value::collation::folded;
use crate::value::{SqlType, Value};

use super::super::bind::{Binder, named_type};
use super::super::parse;
use super::super::run;
use super::super::session::{Flow, OutputSink};
use super::super::state::Execution;
use super::super::statement::{ColumnDefinition, ConstraintDefinition, ConstraintKind, CreateTable, Name, TableShape};
use super::constraint::{add_constraint, index_of, note_column};
use super::row::named;
use super::target::{self, Target};
use super::{done, insert, partition, transaction, versioning};

/// Gives constraints without a name one like the server's: the table, the kind, and a number that no other has.
pub fn made_name(execution: &mut Execution<'_>, prefix: &str, table: &str) -> Arc<str> {
    let id = execution.state.next_uuid();
    let digits: String = id.iter().take(4).map(|byte| format!("{byte:02X}")).collect();
    let short: String = table.chars().take(9).collect();
    Arc::from(format!("{prefix}__{short}__{digits}"))
}

/// Definitions are shown in parentheses; a number that stands by itself, in two.
pub fn definition(text: &str) -> Arc<str> {
    let text = text.trim();
    let bare = text.trim_start_matches('(').trim_end_matches(')').trim();
    if bare.parse::<f64>().is_ok() && bare.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return Arc::from(format!("(({bare}))"));
    }
    let whole = text.starts_with('(')
        && text.ends_with(')')
        && parse::expression(text).is_ok_and(|e| matches!(e, sqlparser::ast::Expr::Nested(_)));
    if whole { Arc::from(text) } else { Arc::from(format!("({text})")) }
}

/// The schema that a new object of this name gets.
pub fn schema_for(execution: &Execution<'_>, database: DatabaseId, name: &Name) -> SqlResult<SchemaId> {
    let state = &*execution.state;
    let catalog = state.catalog(database)?;
    let own = catalog.principal(state.user(database)?).and_then(|user| user.default_schema.clone());
    let schema = name.schema.clone().or(own.map(|own| own.to_string())).unwrap_or_else(|| "dbo".to_owned());
    let found = catalog.schema_named(&schema).map(|schema| schema.schema_id);
    found.ok_or_else(|| {
        let text = format!(
            "The specified schema name \"{schema}\" either does not exist or you do not have permission to use it."
        );
        SqlError::new(2760, 16, text)
    })
}

pub fn create(execution: &mut Execution<'_>, create: &CreateTable) -> SqlResult<()> {
    let key = folded(&create.name.object);
    let temporary = create.name.is_temporary();
    transaction::atomic(execution, |execution| {
        if temporary {
            if execution.state.temporary.contains_key(&key) {
                return Err(SqlError::object_exists(&create.name.object));
            }
            let own = execution.state.temporary_name(&create.name.object);
            let table = described(execution, &own, SchemaId::DBO, &create.shape)?;
            if create.versioning.is_some() || create.shape.period.is_some() {
                return Err(SqlError::new(13_516, 16, "System-versioned temporal tables can't be temporary tables."));
            }
            execution.state.transaction().create_table(DatabaseId::TEMPDB, table)?;
            execution.state.temporary.insert(key, own);
            return Ok(());
        }
        let database = execution.state.database_of(&create.name)?;
        target::check_definer(execution.state, database)?;
        let schema = schema_for(execution, database, &create.name)?;
        if execution.state.catalog(database)?.object_named(schema, &create.name.object).is_some() {
            return Err(SqlError::object_exists(&create.name.object));
        }
        let own = std::mem::replace(&mut execution.state.database, database);
        let table = described(execution, &create.name.object, schema, &create.shape);
        execution.state.database = own;
        let mut table = table?;
        if let Some(on) = &create.on {
            partition::lay(execution, database, &mut table, on)?;
        }
        versioning::create(execution, database, table, create)
    })
}

/// A table as its definition describes it.
pub fn described(execution: &mut Execution<'_>, name: &str, schema: SchemaId, shape: &TableShape) -> SqlResult<Table> {
    let mut table = Table::new(schema, name);
    let mut constraints: Vec<ConstraintDefinition> = Vec::new();
    for definition in &shape.columns {
        let column = column(execution, &table, definition)?;
        table.push_column(column);
        constraints.extend(definition.constraints.iter().cloned());
    }
    constraints.extend(shape.constraints.iter().cloned());
    // A clustered index takes the first number, so what is clustered must be known before names are given.
    for constraint in constraints {
        add_constraint(execution, &mut table, &constraint)?;
    }
    for index in &shape.indexes {
        let made = index_of(execution, &table, index)?;
        table.indexes.push(made);
    }
    versioning::describe(&mut table, shape)?;
    Ok(table)
}

pub fn column(execution: &mut Execution<'_>, table: &Table, definition: &ColumnDefinition) -> SqlResult<Column> {
    if table.column_named(&definition.name).is_some() {
        let text = format!(
            "Column names in each table must be unique. Column name '{}' in table '{}' is specified more than once.",
            definition.name, table.name
        );
        return Err(SqlError::new(2705, 16, text));
    }
    if let Some(computed) = &definition.computed {
        let bound = Binder::with_sources(execution, vec![named(table, &table.name, 0)]).scalar(&computed.expression)?;
        let mut column = Column::new(&definition.name, bound.sql_type);
        column.nullable = definition.nullable.unwrap_or(bound.nullable);
        let mut columns = Vec::new();
        bound.columns(&mut |reference| note_column(table, reference.column, &mut columns));
        let text = self::definition(&computed.text);
        column.computed = Some(Computed { definition: text, persisted: definition.persisted, columns });
        return Ok(column);
    }
    let written = definition.data_type.as_ref().ok_or_else(|| SqlError::syntax_near(&definition.name))?;
    let sql_type = named_type(execution.state, written)?;
    let mut column = Column::new(&definition.name, sql_type);
    column.column_set = definition.column_set;
    let primary =
        definition.constraints.iter().any(|constraint| matches!(constraint.kind, ConstraintKind::PrimaryKey { .. }));
    if primary && definition.nullable == Some(true) {
        let text = format!("Cannot define PRIMARY KEY constraint on nullable column in table '{}'.", table.name);
        return Err(SqlError::new(8111, 16, text));
    }
    let identity = definition
        .identity
        .map(|(seed, increment)| Identity { seed: i128::from(seed), increment: i128::from(increment) });
    column.nullable = definition
        .nullable
        .unwrap_or(!primary && identity.is_none() && sql_type != SqlType::RowVersion && sql_type != SqlType::SysName);
    check_once(table, &column, identity.is_some())?;
    if let Some(identity) = identity {
        let whole = matches!(sql_type, SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt)
            || sql_type.decimal_shape().is_some_and(|(_, scale)| scale == 0);
        if !whole || sql_type == SqlType::Bit {
            let text = format!(
                "Identity column '{}' must be of data type int, bigint, smallint, tinyint, or decimal or numeric with a scale of 0, unencrypted, and constrained to be nonnullable.",
                definition.name
            );
            return Err(SqlError::new(2749, 16, text));
        }
        column.identity = Some(identity);
    }
    if let Some(collation) = &definition.collation {
        check_collation(collation)?;
        column.collation = Some(Arc::from(collation.as_str()));
    }
    column.hidden = definition.hidden;
    if definition.row_start.is_some() {
        column.nullable = false;
    }
    if let Some((name, default)) = &definition.default {
        // An expression that can't be converted is refused now, not at the first row.
        let mut binder = Binder::new(execution);
        let bound = binder.scalar(&default.expression)?;
        binder.converted(bound, sql_type)?;
        let name = match name {
            Some(name) => Arc::from(name.as_str()),
            None => made_name(execution, "DF", &format!("{}__{}", table.name, definition.name)),
        };
        column.default =
            Some(DefaultConstraint { object_id: ObjectId(0), name, definition: self::definition(&default.text) });
    }
    Ok(column)
}

/// # Errors
/// 2744 and 2738 for a second identity or rowversion column.
fn check_once(table: &Table, column: &Column, identity: bool) -> SqlResult<()> {
    if identity && table.columns.iter().any(|other| other.identity.is_some()) {
        let text = format!(
            "Multiple identity columns specified for table '{}'. Only one identity column per table is allowed.",
            table.name
        );
        return Err(SqlError::new(2744, 16, text).with_state(2));
    }
    let versions = |column: &Column| column.sql_type == SqlType::RowVersion;
    if versions(column) && table.columns.iter().any(versions) {
        let text = format!(
            "A table can only have one timestamp column. Because table '{}' already has one, the column '{}' cannot be added.",
            table.name, column.name
        );
        return Err(SqlError::new(2738, 16, text).with_state(2));
    }
    Ok(())
}

/// As many partitions as a table may have.
const PARTITIONS_MAX: usize = 15_000;

// Rows of a whole table

pub fn truncate(execution: &mut Execution<'_>, name: &Name, partitions: &[(Expr, Expr)]) -> SqlResult<()> {
    let mut numbers = Vec::new();
    for (first, last) in partitions {
        let (first, last) = (partition::number(execution, first)?, partition::number(execution, last)?);
        // No function makes more partitions than this.
        if last > PARTITIONS_MAX {
            return Err(SqlError::new(
                7722,
                16,
                format!("Invalid partition number {last} specified for table '{name}'."),
            ));
        }
        numbers.extend(first..=last);
    }
    transaction::atomic(execution, |execution| {
        let target = target::find(execution, name).map_err(|error| {
            if error.number == 208 {
                SqlError::new(
                    4701,
                    16,
                    format!(
                        "Cannot find the object \"{name}\" because it does not exist or you do not have permissions."
                    ),
                )
            } else {
                error
            }
        })?;
        target::check_permission(execution, &target, "ALTER")?;
        versioning::check_truncated(&target)?;
        let transaction = execution.state.transaction();
        if numbers.is_empty() {
            transaction.truncate(target.database, target.table.object_id)
        } else {
            transaction.truncate_partitions(target.database, target.table.object_id, &numbers)
        }
    })
}

/// Drops tables by name.
pub fn drop_tables(execution: &mut Execution<'_>, names: &[Name], if_exists: bool, text: &str) -> SqlResult<()> {
    for name in names {
        if name.is_temporary() {
            let key = folded(&name.object);
            if !execution.state.temporary.contains_key(&key) {
                if if_exists {
                    continue;
                }
                return Err(SqlError::cannot_drop("table", &name.object));
            }
            drop_temporary(execution, &[key])?;
            continue;
        }
        transaction::atomic(execution, |execution| match target::find(execution, name) {
            Ok(target) => {
                let ddl = target::ddl(execution.state, target.database, text)?;
                if !ddl.by_owner {
                    target::check_permission(execution, &target, "CONTROL")?;
                }
                versioning::check_dropped(&target)?;
                super::module::drop_triggers(execution, &target)?;
                execution.state.transaction().drop_table(target.database, target.table.object_id, &ddl)
            }
            Err(error) if error.number == 208 && if_exists => Ok(()),
            Err(error) if error.number == 208 => Err(SqlError::cannot_drop("table", &name.to_string())),
            Err(error) => Err(error),
        })?;
    }
    Ok(())
}

/// Drops temporary tables by their names in lower case.
pub fn drop_temporary(execution: &mut Execution<'_>, keys: &[String]) -> SqlResult<()> {
    for key in keys {
        let Some(own) = execution.state.temporary.remove(key) else { continue };
        drop_in_tempdb(execution, &own)?;
    }
    Ok(())
}

pub fn drop_in_tempdb(execution: &mut Execution<'_>, own: &str) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let catalog = execution.state.catalog(DatabaseId::TEMPDB)?;
        // Gone already where a rollback took its creation back.
        let Some(table) = catalog.table_named(SchemaId::DBO, own).cloned() else { return Ok(()) };
        execution.state.transaction().drop_untracked(DatabaseId::TEMPDB, &table)
    })
}

/// `SELECT … INTO new`.
pub fn select_into(
    execution: &mut Execution<'_>,
    query: &sqlparser::ast::Query,
    name: &Name,
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    let rows = transaction::atomic(execution, |execution| {
        let plan = Binder::new(execution).query(query)?;
        let temporary = name.is_temporary();
        let database = if temporary { DatabaseId::TEMPDB } else { execution.state.database_of(name)? };
        let key = folded(&name.object);
        let (own, schema) = if temporary {
            if execution.state.temporary.contains_key(&key) {
                return Err(SqlError::object_exists(&name.object));
            }
            (execution.state.temporary_name(&name.object), SchemaId::DBO)
        } else {
            target::check_definer(execution.state, database)?;
            (Arc::from(name.object.as_str()), schema_for(execution, database, name)?)
        };
        let mut table = Table::new(schema, &own);
        for (at, output) in plan.columns.iter().enumerate() {
            if output.name.is_empty() {
                let text = format!(
                    "An object or column name is missing or empty. For SELECT INTO statements, verify each column has a name (column {}).",
                    at + 1
                );
                return Err(SqlError::new(1038, 15, text));
            }
            if table.column_named(&output.name).is_some() {
                let text = format!(
                    "Column names in each table must be unique. Column name '{}' in table '{}' is specified more than once.",
                    output.name, name.object
                );
                return Err(SqlError::new(2705, 16, text));
            }
            let sql_type = if output.sql_type == SqlType::RowVersion { SqlType::Binary(8) } else { output.sql_type };
            let mut column = Column::new(&output.name, sql_type);
            column.nullable = output.nullable;
            table.push_column(column);
        }
        let table = execution.state.transaction().create_table(database, table)?;
        if temporary {
            execution.state.temporary.insert(key, own);
        }
        let types: Vec<SqlType> = plan.columns.iter().map(|column| column.sql_type).collect();
        let mut rows: Vec<Vec<Value>> = Vec::new();
        run::query(execution, &plan, None, &mut |_, row| {
            rows.push(row);
            Ok(Flow::Continue)
        })?;
        let target = Target { database, table, variable: false };
        insert::insert_rows(execution, target, None, &rows, &types).map(|changes| changes.len())
    })?;
    done(execution, u64::try_from(rows).ok(), out)
}

/// # Errors
/// 448 for what is no name of a collation: each tells how it takes case, or that it compares bytes.
pub fn check_collation(name: &str) -> SqlResult<()> {
    let upper = name.to_ascii_uppercase();
    let known = ["_CI_", "_CS_"].iter().any(|part| upper.contains(part))
        || ["_BIN", "_BIN2", "_BIN2_UTF8"].iter().any(|end| upper.ends_with(end))
        || matches!(upper.as_str(), "DATABASE_DEFAULT" | "CATALOG_DEFAULT");
    if known { Ok(()) } else { Err(SqlError::new(448, 16, format!("Invalid collation '{name}'."))) }
}
