//! Ending capture: of an instance, of a table, of a database.

use crate::error::SqlResult;
use crate::storage::{DatabaseId, LockMode, ObjectId, PrincipalId, Transaction};
use crate::value::{Length, SqlType, Value, collation};

use super::errors::Metadata;
use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult};
use super::system_table::{SystemTable, broken, change_tables, value};
use super::{enable, errors, jobs, request};

pub static PROCEDURES: &[Procedure] = &[
    Procedure { name: "sp_cdc_disable_db", parameters: &[], run: disable_db },
    Procedure { name: "sp_cdc_disable_table", parameters: DISABLE_TABLE, run: disable_table },
];

static DISABLE_TABLE: &[ProcedureParameter] = &[
    ProcedureParameter { name: "@source_schema", sql_type: SqlType::SysName, default: None },
    ProcedureParameter { name: "@source_name", sql_type: SqlType::SysName, default: None },
    ProcedureParameter { name: "@capture_instance", sql_type: SqlType::NVarChar(Length::Limited(128)), default: None },
];

fn disable_table(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let [schema, name, instance] = arguments else { return Err(broken("an argument")) };
    let catalog = context.catalog()?;
    if !catalog.options.cdc_enabled {
        return Err(errors::not_enabled(context.transaction, context.database));
    }
    if !context.is_owner()? {
        return Err(errors::not_owner());
    }
    let schema = request::named(schema, "@source_schema")?;
    let name = request::named(name, "@source_name")?;
    let instance = request::named(instance, "@capture_instance")?.trim();
    let table = request::source_table(&catalog, schema, name)?;
    if !table.tracked {
        return Err(errors::table_not_enabled(schema, name));
    }
    let all = collation::equal(instance, "all");
    if !all && !catalog.instances_of(table.object_id).any(|known| collation::equal(&known.name, instance)) {
        return Err(errors::no_instance_of_table(instance, name));
    }
    let only = (!all).then_some(instance);
    enable::lock_metadata(context)?;
    let savepoint = context.transaction.savepoint();
    let disabled = instances(context.transaction, context.database, table.object_id, only);
    disabled.map(|()| ProcedureResult::default()).map_err(|error| {
        context.transaction.rollback_to(&savepoint);
        errors::wrapped(Metadata::DisableTable, "sp_cdc_disable_table", &error)
    })
}

/// A captured table is about to be dropped: its capture instances go with it. One whose change table somebody reads just
/// now is only marked, and goes with the first scan that finds nobody there.
///
/// # Errors
/// As [`instances`].
pub fn with_source(transaction: &mut Transaction, database: DatabaseId, source: ObjectId) -> SqlResult<()> {
    let catalog = transaction.catalog(database)?;
    for instance in catalog.instances_of(source) {
        let object = instance.change_table;
        if transaction.try_lock_table(database, object, LockMode::SchemaModification)? {
            instances(transaction, database, source, Some(&instance.name))?;
            continue;
        }
        for row in SystemTable::ChangeTables.current_rows(transaction, database, Some(Value::Int(object.0)))? {
            let column = change_tables::HAS_DROP_PENDING;
            SystemTable::ChangeTables.set(transaction, database, &row, column, Value::Bit(true))?;
        }
    }
    Ok(())
}

/// Removes the instances that wait for it, as far as nobody reads their change tables.
///
/// # Errors
/// As [`instances`].
pub fn pending(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<()> {
    let catalog = transaction.catalog(database)?;
    for (_, row) in SystemTable::ChangeTables.current_rows(transaction, database, None)? {
        if value(&row, change_tables::HAS_DROP_PENDING) != &Value::Bit(true) {
            continue;
        }
        let object = value(&row, 0).as_integer();
        let Some(instance) = catalog.instances().find(|known| Some(i64::from(known.change_table.0)) == object) else {
            continue;
        };
        if transaction.try_lock_table(database, instance.change_table, LockMode::SchemaModification)? {
            instances(transaction, database, instance.source, Some(&instance.name))?;
        }
    }
    Ok(())
}

/// Removes a table's capture instances, or one of them: its change table, its functions and all its rows in the catalog,
/// those of its history included. Changes that weren't read are lost.
///
/// # Errors
/// 1205, 1222 or cancellation while waiting for readers of the change table.
pub fn instances(
    transaction: &mut Transaction,
    database: DatabaseId,
    source: ObjectId,
    only: Option<&str>,
) -> SqlResult<()> {
    let catalog = transaction.catalog(database)?;
    let chosen =
        catalog.instances_of(source).filter(|instance| only.is_none_or(|only| collation::equal(&instance.name, only)));
    let mut removed = 0;
    for instance in chosen {
        removed += 1;
        let object = Value::Int(instance.change_table.0);
        for table in SystemTable::ALL.into_iter().filter(|table| *table != SystemTable::LsnTimeMapping) {
            // The history's first key column is the change table too.
            table.delete(transaction, database, object.clone())?;
        }
        if let Some(change_table) = catalog.table(instance.change_table) {
            transaction.drop_untracked(database, change_table)?;
        }
        transaction.edit_catalog(database, |catalog| {
            catalog.remove_instance(instance.change_table);
            if let Some(schema) = catalog.schema_named("cdc").map(|schema| schema.schema_id) {
                for prefix in ["fn_cdc_get_all_changes_", "fn_cdc_get_net_changes_"] {
                    let module = catalog.module_named(schema, &format!("{prefix}{}", instance.name));
                    if let Some(id) = module.map(|module| module.object_id) {
                        catalog.remove_module(id);
                    }
                }
            }
            Ok(())
        })?;
    }
    if catalog.instances_of(source).count() == removed {
        transaction.set_tracked(database, source, false)?;
    }
    Ok(())
}

fn disable_db(context: &mut CdcContext<'_>, _arguments: &[Value]) -> SqlResult<ProcedureResult> {
    enable::check_may_enable(context)?;
    if !context.catalog()?.options.cdc_enabled {
        return Ok(ProcedureResult::default());
    }
    database(context.transaction, context.database)?;
    Ok(ProcedureResult::default())
}

/// Removes all that belongs to change data capture from a database, jobs included.
///
/// # Errors
/// 1205, 1222 or cancellation while waiting for readers of its tables.
pub fn database(transaction: &mut Transaction, database: DatabaseId) -> SqlResult<()> {
    let catalog = transaction.catalog(database)?;
    let mut sources: Vec<ObjectId> = catalog.instances().map(|instance| instance.source).collect();
    sources.dedup();
    for source in sources {
        instances(transaction, database, source, None)?;
    }
    let catalog = transaction.catalog(database)?;
    let schema = catalog.schema_named("cdc").ok_or_else(|| broken("the schema cdc"))?.schema_id;
    let own = catalog
        .tables()
        .filter(|table| table.schema_id == schema || (table.system && collation::equal(&table.name, "systranschemas")));
    for table in own {
        transaction.drop_untracked(database, table)?;
    }
    transaction.edit_catalog(database, |catalog| {
        let modules: Vec<ObjectId> =
            catalog.modules().filter(|module| module.schema_id == schema).map(|module| module.object_id).collect();
        for module in modules {
            catalog.remove_module(module);
        }
        catalog.remove_schema(schema);
        let user: Option<PrincipalId> = catalog.principal_named("cdc").map(|user| user.principal_id);
        if let Some(user) = user {
            catalog.remove_principal(user);
        }
        catalog.options.cdc_enabled = false;
        Ok(())
    })?;
    jobs::remove_all(transaction, database)
}
