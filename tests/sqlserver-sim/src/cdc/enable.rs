//! Beginning capture: of a database, of a table.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    CaptureInstance, CapturedColumn, Column, ColumnId, DatabaseId, Edition, LockDuration, LockMode, Module, ModuleKind,
    ObjectId, Principal, PrincipalId, PrincipalKind, Schema, SchemaId, Table, Transaction,
};
use crate::value::{Length, SqlType, Value};

use super::errors::Metadata;
use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult};
use super::request::Request;
use super::system_table::{SystemTable, broken, definition};
use super::{change_table, errors, jobs};

const METADATA_LOCK_WAIT: Duration = Duration::from_secs(60);

pub static PROCEDURES: &[Procedure] = &[
    Procedure { name: "sp_cdc_enable_db", parameters: &[], run: enable_db },
    Procedure { name: "sp_cdc_enable_table", parameters: ENABLE_TABLE, run: enable_table },
];

const fn optional(name: &'static str, sql_type: SqlType) -> ProcedureParameter {
    ProcedureParameter { name, sql_type, default: Some(Value::Null) }
}

static ENABLE_TABLE: &[ProcedureParameter] = &[
    ProcedureParameter { name: "@source_schema", sql_type: SqlType::SysName, default: None },
    ProcedureParameter { name: "@source_name", sql_type: SqlType::SysName, default: None },
    optional("@capture_instance", SqlType::NVarChar(Length::Limited(4000))),
    optional("@supports_net_changes", SqlType::Bit),
    ProcedureParameter { name: "@role_name", sql_type: SqlType::SysName, default: None },
    optional("@index_name", SqlType::SysName),
    optional("@captured_column_list", SqlType::NVarChar(Length::Max)),
    optional("@filegroup_name", SqlType::SysName),
    ProcedureParameter { name: "@allow_partition_switch", sql_type: SqlType::Bit, default: Some(Value::Bit(true)) },
    optional("@enable_extended_ddl_handling", SqlType::Bit),
];

/// Enabling and disabling a database is for sysadmin, in Azure SQL Database for db_owner.
pub fn check_may_enable(context: &CdcContext<'_>) -> SqlResult<()> {
    let may = match context.storage().edition() {
        Edition::AzureSqlDatabase => context.is_owner()?,
        Edition::Developer | Edition::Express | Edition::ManagedInstance => context.is_sysadmin(),
    };
    if may { Ok(()) } else { Err(errors::not_sysadmin()) }
}

fn enable_db(context: &mut CdcContext<'_>, _arguments: &[Value]) -> SqlResult<ProcedureResult> {
    check_may_enable(context)?;
    if let Some(edition) = context.storage().edition().without_capture() {
        return Err(errors::edition_refused(edition));
    }
    let database = context.database;
    let name = context.storage().database(database).map_or_else(String::new, |info| info.name.to_string());
    if database <= DatabaseId::MSDB {
        return Err(errors::system_database(&name));
    }
    let catalog = context.catalog()?;
    if catalog.options.cdc_enabled {
        return Ok(ProcedureResult { messages: vec![errors::already_enabled(&name)], ..ProcedureResult::default() });
    }
    if catalog.schema_named("cdc").is_some() {
        return Err(errors::cdc_name_taken("schema", &name));
    }
    if catalog.principal_named("cdc").is_some() {
        return Err(errors::cdc_name_taken("user", &name));
    }
    check_database_owner(context)
        .map_err(|error| errors::wrapped(Metadata::EnableDatabase, "sp_cdc_enable_db", &error))?;
    let schema = context.transaction.edit_catalog(database, |catalog| {
        let user = catalog.next_principal_id();
        catalog.put_principal(Principal {
            principal_id: user,
            name: Arc::from("cdc"),
            kind: PrincipalKind::User { login: None },
            roles: vec![PrincipalId::DB_OWNER],
            default_schema: Some(Arc::from("cdc")),
        });
        let schema = catalog.next_schema_id();
        catalog.put_schema(Schema { schema_id: schema, name: Arc::from("cdc"), owner: user });
        catalog.options.cdc_enabled = true;
        Ok(schema)
    })?;
    for table in SystemTable::ALL {
        context.transaction.create_table(database, table.definition(schema))?;
    }
    context.transaction.create_table(database, systranschemas())?;
    Ok(ProcedureResult::default())
}

fn systranschemas() -> Table {
    let columns = [
        ("tabid", SqlType::Int, false),
        ("startlsn", SqlType::Binary(10), false),
        ("endlsn", SqlType::Binary(10), false),
        ("typeid", SqlType::Int, false),
    ];
    definition(SchemaId::DBO, "systranschemas", &columns, ("uncsystranschemas", &[1], true))
}

fn enable_table(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let catalog = context.catalog()?;
    if !catalog.options.cdc_enabled {
        return Err(errors::not_enabled(context.transaction, context.database));
    }
    if !context.is_owner()? {
        return Err(errors::not_owner());
    }
    let source = Request::read(&catalog, arguments)?.table.object_id;
    let database = context.database;
    lock_metadata(context)?;
    let lock = (LockMode::SchemaModification, LockDuration::Transaction);
    let locked = context.transaction.lock_table(database, source, lock.0, lock.1);
    locked.map_err(|error| errors::wrapped(Metadata::EnableTable, "sp_cdc_enable_table", &error))?;
    // As it is now: others may have altered the table, or had it captured, while it was waited for.
    let catalog = context.catalog()?;
    let request = Request::read(&catalog, arguments)?;
    let savepoint = context.transaction.savepoint();
    let created = create(context, &request);
    if let Err(error) = created {
        context.transaction.rollback_to(&savepoint);
        return Err(errors::wrapped(Metadata::EnableTable, "sp_cdc_enable_table", &error));
    }
    let mut messages: Vec<SqlError> = request.partition_warning.into_iter().collect();
    if jobs::create_missing(context.transaction, database)? {
        let name = context.storage().database(database).map_or_else(String::new, |info| info.name.to_string());
        for (job, doing) in [("capture", "started"), ("cleanup", "started")] {
            let text = format!("Job 'cdc.{name}_{job}' {doing} successfully.");
            messages.push(SqlError::new(22803, 0, text));
        }
    }
    Ok(ProcedureResult { messages, ..ProcedureResult::default() })
}

/// Lets one session at a time change the metadata of a database.
///
/// # Errors
/// 22840 with the reason.
pub fn lock_metadata(context: &mut CdcContext<'_>) -> SqlResult<()> {
    let resource = "change_data_capture_metadata";
    let database = context.database;
    let wait = context.transaction.lock_timeout().map_or(METADATA_LOCK_WAIT, |own| own.min(METADATA_LOCK_WAIT));
    let locked = context.transaction.lock_named(database, resource, LockMode::Exclusive, Some(wait));
    locked.map_err(|error| errors::lock_not_got(resource, &error))
}

/// The procedures run as dbo, which a database doesn't have whose owner's login is gone.
fn check_database_owner(context: &CdcContext<'_>) -> SqlResult<()> {
    let storage = context.storage();
    if !storage.capture().with(context.database, |capture| capture.owner_missing) {
        return Ok(());
    }
    let name = storage.database(context.database).map_or_else(String::new, |info| info.name.to_string());
    Err(errors::no_owner(&name))
}

/// Creates the instance. The table is locked, so that in the log every change of it lies wholly before or after.
fn create(context: &mut CdcContext<'_>, request: &Request) -> SqlResult<()> {
    let database = context.database;
    let table = &request.table;
    check_database_owner(context)?;
    let transaction = &mut *context.transaction;
    let role = request.role.as_deref().map(|role| ensure_role(transaction, database, role)).transpose()?;
    let schema = transaction.catalog(database)?.schema_named("cdc").ok_or_else(|| broken("the schema cdc"))?.schema_id;
    let captured: Vec<CapturedColumn> =
        (1..).zip(&request.columns).map(|(ordinal, column)| captured(ordinal, column)).collect();
    let index = request.index.as_ref();
    let key: Vec<ColumnId> = index
        .filter(|_| request.net_changes)
        .map_or_else(Vec::new, |index| index.key.iter().map(|key| key.column_id).collect());
    let tells_commands = transaction.storage().capture().tells_commands();
    let definition = change_table::definition(schema, &request.instance, &captured, &key, tells_commands);
    let change_table = transaction.create_table(database, definition)?;
    let instance = CaptureInstance {
        name: Arc::from(request.instance.as_str()),
        source: table.object_id,
        change_table: change_table.object_id,
        columns: captured,
        key,
        index_name: index.map(|index| Arc::clone(&index.name)),
        supports_net_changes: request.net_changes,
        role,
        allow_partition_switch: request.allow_partition_switch,
    };
    write_rows(transaction, database, request, &instance)?;
    create_functions(transaction, database, schema, &instance)?;
    transaction.edit_catalog(database, |catalog| {
        catalog.put_instance(instance);
        Ok(())
    })?;
    transaction.set_tracked(database, table.object_id, true)?;
    transaction.log_enabled(database, change_table.object_id)
}

fn captured(ordinal: i32, column: &Column) -> CapturedColumn {
    CapturedColumn {
        source: column.column_id,
        name: Arc::clone(&column.name),
        sql_type: column.sql_type,
        was_text: false,
        computed: column.computed.is_some(),
        ordinal,
    }
}

/// The gating role is created where it doesn't exist.
fn ensure_role(transaction: &mut Transaction, database: DatabaseId, role: &str) -> SqlResult<Arc<str>> {
    transaction.edit_catalog(database, |catalog| {
        if let Some(known) = catalog.principal_named(role) {
            return Ok(Arc::clone(&known.name));
        }
        if role.contains('\\') {
            let text = format!("'{role}' is not a valid name because it contains invalid characters.");
            return Err(errors::role_not_created(role, &SqlError::new(15006, 16, text)));
        }
        let name: Arc<str> = Arc::from(role);
        let kind = PrincipalKind::Role { fixed: false };
        let principal_id = catalog.next_principal_id();
        catalog.put_principal(Principal {
            principal_id,
            name: Arc::clone(&name),
            kind,
            roles: Vec::new(),
            default_schema: None,
        });
        Ok(name)
    })
}

fn write_rows(
    transaction: &mut Transaction,
    database: DatabaseId,
    request: &Request,
    instance: &CaptureInstance,
) -> SqlResult<()> {
    let text = |text: &str| Value::text(text);
    let optional = |text: Option<&str>| text.map_or(Value::Null, Value::text);
    let object = Value::Int(instance.change_table.0);
    let row = vec![
        object.clone(),
        Value::Int(0),
        Value::Int(instance.source.0),
        text(&instance.name),
        Value::Null,
        Value::Null,
        Value::Bit(instance.supports_net_changes),
        Value::Bit(false),
        optional(instance.role.as_deref()),
        optional(instance.index_name.as_deref()),
        optional(request.filegroup.as_deref()),
        change_table::datetime(transaction.storage().clock().now()),
        Value::Bit(instance.allow_partition_switch),
    ];
    SystemTable::ChangeTables.insert(transaction, database, vec![row])?;
    let column = |column: &CapturedColumn| {
        vec![
            object.clone(),
            text(&column.name),
            Value::Int(column.source.0),
            text(change_table::type_name(column.sql_type)),
            Value::Int(column.ordinal),
            Value::Bit(column.computed),
            Value::Null,
        ]
    };
    SystemTable::CapturedColumns.insert(transaction, database, instance.columns.iter().map(column).collect())?;
    let keys = request.index.as_ref().map_or(&[][..], |index| &index.key);
    let key_row = |(ordinal, key): (u8, &crate::storage::KeyColumn)| {
        let name = request.table.column(key.column_id).map_or("", |column| &column.name);
        vec![object.clone(), text(name), Value::TinyInt(ordinal), Value::Int(key.column_id.0)]
    };
    SystemTable::IndexColumns.insert(transaction, database, (1..).zip(keys).map(key_row).collect())
}

fn create_functions(
    transaction: &mut Transaction,
    database: DatabaseId,
    schema: SchemaId,
    instance: &CaptureInstance,
) -> SqlResult<()> {
    let mut names = vec![format!("fn_cdc_get_all_changes_{}", instance.name)];
    if instance.supports_net_changes {
        names.push(format!("fn_cdc_get_net_changes_{}", instance.name));
    }
    for name in names {
        let object_id: ObjectId = transaction.next_object_id(database)?;
        let now = transaction.storage().clock().now();
        let definition = format!(
            "create function [cdc].[{name}] (@from_lsn binary(10), @to_lsn binary(10), @row_filter_option nvarchar(30)) returns table"
        );
        transaction.edit_catalog(database, |catalog| {
            catalog.put_module(Module {
                object_id,
                schema_id: schema,
                name: Arc::from(name.as_str()),
                kind: ModuleKind::InlineFunction,
                definition: Arc::from(definition),
                signature: Arc::default(),
                created: now,
                modified: now,
                system: true,
                disabled: false,
            });
            Ok(())
        })?;
    }
    Ok(())
}
