//! Views, procedures, functions, triggers, schemas and types.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    Alteration, LockMode, Module as Stored, ModuleKind as StoredKind, Object, ObjectId, PrincipalId, Row, Schema,
    Signature,
};
use crate::value::collation::equal;
use crate::value::{Moment, Value};

use super::super::bind::named_type;
use super::super::module as modules;
use super::super::parse;
use super::super::session::OutputSink;
use super::super::state::{Execution, TriggerRows};
use super::super::statement::{CreateManner, Kind, Module, ModuleKind, Name, ObjectKind, TriggerEvents};
use super::data::Change;
use super::procedure::{Answer, Given, argument};
use super::target::{self, Target};
use super::{compilation, run_all, security, signature, table, transaction};

fn stored_kind(kind: &ModuleKind) -> StoredKind {
    match kind {
        ModuleKind::View { .. } => StoredKind::View,
        ModuleKind::Procedure { .. } => StoredKind::Procedure,
        ModuleKind::InlineFunction { .. } => StoredKind::InlineFunction,
        ModuleKind::ScalarFunction { .. } => StoredKind::ScalarFunction,
        ModuleKind::TableFunction { .. } => StoredKind::TableFunction,
        ModuleKind::Trigger { .. } => StoredKind::Trigger,
    }
}

pub fn create(execution: &mut Execution<'_>, module: &Module) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let database = execution.state.database_of(&module.name)?;
        target::check_definer(execution.state, database)?;
        let schema = table::schema_for(execution, database, &module.name)?;
        match &module.kind {
            ModuleKind::Trigger { instead: true, .. } => return Err(SqlError::unsupported("INSTEAD OF triggers")),
            ModuleKind::ScalarFunction { body, .. } | ModuleKind::TableFunction { body, .. } => {
                modules::check_function(body)?;
            }
            ModuleKind::View { .. }
            | ModuleKind::Procedure { .. }
            | ModuleKind::InlineFunction { .. }
            | ModuleKind::Trigger { .. } => {}
        }
        // What can't be resolved now never could be.
        let signature = signature::of(execution, schema, module)?;
        compilation::check_module(execution, module)?;
        let catalog = execution.state.catalog(database)?;
        let existing = catalog.object_named(schema, &module.name.object);
        let now = execution.state.now;
        let object_id = match (&existing, module.manner) {
            (Some(Object::Module(old)), CreateManner::Alter | CreateManner::CreateOrAlter)
                if old.kind == stored_kind(&module.kind) =>
            {
                old.object_id
            }
            (Some(_), CreateManner::Create | CreateManner::CreateOrAlter) => {
                return Err(SqlError::object_exists(&module.name.object));
            }
            (_, CreateManner::Alter) => return Err(SqlError::invalid_object(&module.name.to_string())),
            (None, _) => execution.state.transaction().next_object_id(database)?,
        };
        let created = match &existing {
            Some(Object::Module(old)) => old.created,
            _ => now,
        };
        let stored = stored(module, signature, object_id, schema, created, now);
        execution.state.transaction().edit_catalog(database, |catalog| {
            catalog.put_module(stored);
            Ok(())
        })
    })
}

/// The text is kept as a CREATE, however the statement began.
fn stored(
    module: &Module,
    signature: Signature,
    object_id: ObjectId,
    schema_id: crate::storage::SchemaId,
    created: Moment,
    modified: Moment,
) -> Stored {
    let text = module.definition.as_ref();
    let definition = match module.manner {
        CreateManner::Alter => format!("CREATE{}", text.get("ALTER".len()..).unwrap_or_default()),
        CreateManner::Create | CreateManner::CreateOrAlter => text.to_owned(),
    };
    Stored {
        object_id,
        schema_id,
        name: Arc::from(module.name.object.as_str()),
        kind: stored_kind(&module.kind),
        definition: Arc::from(definition),
        signature: Arc::new(signature),
        created,
        modified,
        system: false,
        disabled: false,
    }
}

pub fn define(execution: &mut Execution<'_>, kind: &Kind, text: &str) -> SqlResult<()> {
    match kind {
        Kind::CreateSchema { name, owner } => create_schema(execution, name, owner.as_deref()),
        Kind::TransferSchema { schema, object } => transfer(execution, schema, object, text),
        Kind::CreateType { name, base, nullable } => {
            let sql_type = named_type(execution.state, base)?;
            if !nullable {
                return Err(SqlError::unsupported("CREATE TYPE … NOT NULL; say NOT NULL of each column"));
            }
            let arguments =
                if base.arguments.is_empty() { String::new() } else { format!("({})", base.arguments.join(",")) };
            let signature = Signature { returns: Some(sql_type), ..Signature::default() };
            create_named(execution, name, StoredKind::Type, &format!("TYPE {}{arguments}", base.name), signature)
        }
        Kind::CreateTableType { name, definition } => {
            let shape = parse::table_shape(definition)?;
            let table = table::described(execution, "", crate::storage::SchemaId::DBO, &shape)?;
            let signature = Signature { columns: table.columns, ..Signature::default() };
            create_named(execution, name, StoredKind::Type, definition, signature)
        }
        Kind::CreateSynonym { name, target } => {
            create_named(execution, name, StoredKind::Synonym, target, Signature::default())
        }
        Kind::Drop { kind: ObjectKind::Table, names, if_exists } => {
            table::drop_tables(execution, names, *if_exists, text)
        }
        Kind::Drop { kind: ObjectKind::Schema, names, if_exists } => drop_schemas(execution, names, *if_exists),
        Kind::Drop { kind: kind @ (ObjectKind::Login | ObjectKind::User | ObjectKind::Role), names, if_exists } => {
            security::drop_principals(execution, *kind, names, *if_exists)
        }
        Kind::Drop { kind, names, if_exists } => drop_modules(execution, *kind, names, *if_exists),
        _ => Err(SqlError::unsupported("this statement")),
    }
}

fn create_schema(execution: &mut Execution<'_>, name: &str, owner: Option<&str>) -> SqlResult<()> {
    let database = execution.state.database;
    target::check_definer(execution.state, database)?;
    transaction::atomic(execution, |execution| {
        execution.state.transaction().edit_catalog(database, |catalog| {
            if catalog.schema_named(name).is_some() {
                return Err(SqlError::object_exists(name));
            }
            let owner = match owner {
                Some(owner) => catalog.principal_named(owner).map(|owner| owner.principal_id).ok_or_else(|| {
                    SqlError::new(
                        15_151,
                        16,
                        format!(
                            "Cannot find the user '{owner}', because it does not exist or you do not have permission."
                        ),
                    )
                })?,
                None => PrincipalId::DBO,
            };
            let schema_id = catalog.next_schema_id();
            catalog.put_schema(Schema { schema_id, name: Arc::from(name), owner });
            Ok(())
        })
    })
}

fn drop_schemas(execution: &mut Execution<'_>, names: &[Name], if_exists: bool) -> SqlResult<()> {
    let database = execution.state.database;
    for name in names {
        transaction::atomic(execution, |execution| {
            execution.state.transaction().edit_catalog(database, |catalog| {
                let Some(schema) = catalog.schema_named(&name.object).map(|schema| schema.schema_id) else {
                    return if if_exists { Ok(()) } else { Err(SqlError::new(15_151, 16, format!("Cannot drop the schema '{name}', because it does not exist or you do not have permission."))) };
                };
                let table = catalog.tables().find(|table| table.schema_id == schema).map(|table| table.name.clone());
                let module = catalog.modules().find(|module| module.schema_id == schema).map(|module| module.name.clone());
                if let Some(inside) = table.or(module) {
                    return Err(SqlError::new(3729, 16, format!("Cannot drop schema '{name}' because it is being referenced by object '{inside}'.")));
                }
                catalog.remove_schema(schema);
                Ok(())
            })
        })?;
    }
    Ok(())
}

fn transfer(execution: &mut Execution<'_>, schema: &str, object: &Name, text: &str) -> SqlResult<()> {
    let database = execution.state.database;
    transaction::atomic(execution, |execution| {
        let catalog = execution.state.catalog(database)?;
        let schema = catalog.schema_named(schema).map(|schema| schema.schema_id).ok_or_else(|| {
            SqlError::new(
                15_151,
                16,
                format!("Cannot find the schema '{schema}', because it does not exist or you do not have permission."),
            )
        })?;
        let target = target::find(execution, object)?;
        let ddl = target::ddl(execution.state, database, text)?;
        let alterations = vec![Alteration::TransferTo(schema)];
        execution.state.transaction().alter_table(database, target.table.object_id, alterations, &ddl).map(|_| ())
    })
}

/// What has a name and a short text, and no statement of its own to be read again.
pub fn create_named(
    execution: &mut Execution<'_>,
    name: &Name,
    kind: StoredKind,
    text: &str,
    signature: Signature,
) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let database = execution.state.database_of(name)?;
        target::check_definer(execution.state, database)?;
        let schema_id = table::schema_for(execution, database, name)?;
        if execution.state.catalog(database)?.object_named(schema_id, &name.object).is_some() {
            return Err(SqlError::object_exists(&name.object));
        }
        let object_id = execution.state.transaction().next_object_id(database)?;
        let now = execution.state.now;
        execution.state.transaction().edit_catalog(database, |catalog| {
            catalog.put_module(Stored {
                object_id,
                schema_id,
                name: Arc::from(name.object.as_str()),
                kind,
                definition: Arc::from(text),
                signature: Arc::new(signature),
                created: now,
                modified: now,
                system: false,
                disabled: false,
            });
            Ok(())
        })
    })
}

fn fits(kind: ObjectKind, stored: StoredKind) -> bool {
    match kind {
        ObjectKind::View => stored == StoredKind::View,
        ObjectKind::Procedure => stored == StoredKind::Procedure,
        ObjectKind::Function => {
            matches!(stored, StoredKind::ScalarFunction | StoredKind::InlineFunction | StoredKind::TableFunction)
        }
        ObjectKind::Trigger => stored == StoredKind::Trigger,
        ObjectKind::Synonym => stored == StoredKind::Synonym,
        ObjectKind::Sequence => stored == StoredKind::Sequence,
        ObjectKind::Type => stored == StoredKind::Type,
        _ => false,
    }
}

fn drop_modules(execution: &mut Execution<'_>, kind: ObjectKind, names: &[Name], if_exists: bool) -> SqlResult<()> {
    for name in names {
        transaction::atomic(execution, |execution| {
            let database = execution.state.database_of(name)?;
            target::check_definer(execution.state, database)?;
            match execution.state.object(database, name)? {
                Some((_, Object::Module(module))) if fits(kind, module.kind) && !module.system => {
                    execution.state.transaction().edit_catalog(database, |catalog| {
                        catalog.remove_module(module.object_id);
                        Ok(())
                    })
                }
                Some(_) => Err(SqlError::new(
                    3705,
                    16,
                    format!(
                        "Cannot use DROP {} with '{name}' because it is of another kind.",
                        kind.noun().to_uppercase()
                    ),
                )),
                None if if_exists => Ok(()),
                None => Err(SqlError::cannot_drop(kind.noun(), &name.to_string())),
            }
        })?;
    }
    Ok(())
}

// Triggers

/// The triggers of a table, by their texts.
fn triggers(execution: &Execution<'_>, target: &Target) -> SqlResult<Vec<(Arc<Stored>, Module)>> {
    let catalog = execution.state.catalog(target.database)?;
    let mut found = Vec::new();
    for stored in catalog.modules().filter(|module| module.kind == StoredKind::Trigger) {
        let module = modules::read(&stored.definition)?;
        let ModuleKind::Trigger { table, .. } = &module.kind else { continue };
        let of_table = match execution.state.object(target.database, table)? {
            Some((_, Object::Table(own))) => own.object_id == target.table.object_id,
            _ => false,
        };
        if of_table {
            found.push((Arc::clone(stored), module));
        }
    }
    Ok(found)
}

/// Runs the triggers of what a statement did, whether or not it touched a row.
pub fn fire(
    execution: &mut Execution<'_>,
    target: &Target,
    changes: &[Change],
    happened: TriggerEvents,
    updated: &[String],
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    if target.database == crate::storage::DatabaseId::TEMPDB {
        return Ok(());
    }
    let triggers = triggers(execution, target)?;
    if triggers.is_empty() {
        return Ok(());
    }
    for (stored, module) in triggers.into_iter().filter(|(stored, _)| !stored.disabled) {
        let ModuleKind::Trigger { events, body, .. } = module.kind else { continue };
        // MERGE does several things at once: each event fires with its own rows.
        for (wanted, present, rows) in [
            (events.insert, happened.insert, rows_of(changes, |change| change.before.is_none())),
            (
                events.update,
                happened.update,
                rows_of(changes, |change| change.before.is_some() && change.after.is_some()),
            ),
            (events.delete, happened.delete, rows_of(changes, |change| change.after.is_none())),
        ] {
            if wanted && present {
                run_trigger(execution, target, &stored, &body, rows, updated, out)?;
            }
        }
    }
    Ok(())
}

fn rows_of(changes: &[Change], wanted: impl Fn(&Change) -> bool) -> (Vec<Row>, Vec<Row>) {
    let changes: Vec<&Change> = changes.iter().filter(|change| wanted(change)).collect();
    let inserted = changes.iter().filter_map(|change| change.after.clone()).collect();
    let deleted = changes.iter().filter_map(|change| change.before.clone()).collect();
    (inserted, deleted)
}

fn run_trigger(
    execution: &mut Execution<'_>,
    target: &Target,
    stored: &Stored,
    body: &[super::super::statement::Statement],
    (inserted, deleted): (Vec<Row>, Vec<Row>),
    updated: &[String],
    out: &mut OutputSink<'_>,
) -> SqlResult<()> {
    if execution.state.nesting >= modules::NESTING_MAX {
        return Err(modules::too_deep());
    }
    let rows = TriggerRows {
        database: target.database,
        table: Arc::clone(&target.table),
        inserted: Arc::new(inserted),
        deleted: Arc::new(deleted),
        updated: if updated.is_empty() {
            target.table.columns.iter().map(|column| column.name.to_lowercase()).collect()
        } else {
            updated.to_vec()
        },
    };
    let state = &mut *execution.state;
    let before = (state.database, state.options.clone(), state.transaction_count, state.tries);
    state.nesting += 1;
    state.database = target.database;
    // A trigger runs in the statement's transaction: it can roll it back, and an error in it ends the statement.
    state.transaction_count = state.transaction_count.max(1);
    state.tries += 1;
    let mut inner = Execution::new(state);
    inner.trigger = Some(Arc::new(rows));
    inner.procedure = Some(Arc::clone(&stored.name));
    let outcome = run_all(&mut inner, body, out);
    let state = &mut *execution.state;
    let rolled_back = state.transaction_count == 0;
    state.nesting -= 1;
    (state.database, state.options, state.tries) = (before.0, before.1, before.3);
    if rolled_back {
        return Err(SqlError::new(3609, 16, "The transaction ended in the trigger. The batch has been aborted."));
    }
    state.transaction_count = before.2;
    outcome.map(|_| ())
}

pub fn drop_triggers(execution: &mut Execution<'_>, target: &Target) -> SqlResult<()> {
    for (stored, _) in triggers(execution, target)? {
        execution.state.transaction().edit_catalog(target.database, |catalog| {
            catalog.remove_module(stored.object_id);
            Ok(())
        })?;
    }
    Ok(())
}

pub fn enable_triggers(
    execution: &mut Execution<'_>,
    target: &Target,
    enable: bool,
    names: &[String],
) -> SqlResult<()> {
    let own = triggers(execution, target)?;
    for name in names {
        if !own.iter().any(|(stored, _)| equal(&stored.name, name)) {
            return Err(SqlError::cannot_find(name));
        }
    }
    let named = |stored: &Stored| names.is_empty() || names.iter().any(|name| equal(&stored.name, name));
    for (stored, _) in own.into_iter().filter(|(stored, _)| named(stored)) {
        execution.state.transaction().edit_catalog(target.database, |catalog| {
            catalog.put_module(Stored { disabled: !enable, ..Stored::clone(&stored) });
            Ok(())
        })?;
    }
    Ok(())
}

// Application locks

pub fn application_lock(execution: &mut Execution<'_>, given: &[Given]) -> SqlResult<Answer> {
    let text =
        |name: &str, at: usize| argument(given, name, at).and_then(Value::as_text).unwrap_or_default().to_owned();
    let name = text("@Resource", 0);
    let mode = match text("@LockMode", 1).to_ascii_lowercase().as_str() {
        "shared" => LockMode::Shared,
        "exclusive" | "update" => LockMode::Exclusive,
        other => return Err(SqlError::unsupported(format!("the lock mode '{other}'"))),
    };
    if text("@LockOwner", 2).eq_ignore_ascii_case("Session") {
        return Err(SqlError::unsupported("application locks of a session"));
    }
    if execution.state.transaction_count == 0 {
        return Ok(Answer { status: -999, outputs: Vec::new() });
    }
    let timeout = argument(given, "@LockTimeout", 3).and_then(Value::as_integer);
    let timeout = timeout.and_then(|wait| u64::try_from(wait).ok()).map(Duration::from_millis);
    let database = execution.state.database;
    let status = match execution.state.transaction().lock_named(database, &name, mode, timeout) {
        Ok(()) => 0,
        Err(error) if error.number == 1222 => -1,
        Err(error) if error.number == 1205 => -3,
        Err(error) => return Err(error),
    };
    Ok(Answer { status, outputs: Vec::new() })
}

pub fn application_unlock(execution: &mut Execution<'_>, given: &[Given]) -> SqlResult<Answer> {
    let name = argument(given, "@Resource", 0).and_then(Value::as_text).unwrap_or_default().to_owned();
    let database = execution.state.database;
    let released = execution.state.transaction().release_named(database, &name);
    Ok(Answer { status: if released { 0 } else { -999 }, outputs: Vec::new() })
}
