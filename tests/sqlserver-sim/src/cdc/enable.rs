//! Beginning capture: of a database, of a table.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    CaptureInstance, CapturedColumn, Catalog, Column, ColumnId, DatabaseId, Edition, Index, LockDuration, LockMode,
    Module, ModuleKind, ObjectId, Principal, PrincipalId, PrincipalKind, Schema, SchemaId, Table, Transaction,
};
use crate::value::{Length, SqlType, Value, collation};

use super::errors::Metadata;
use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult};
use super::system_table::{SystemTable, broken, definition};
use super::{change_table, errors, jobs};

/// What a capture instance's name may have, so that the names of its objects fit.
const INSTANCE_NAME_CHARACTERS_MAX: usize = 100;
const CAPTURED_COLUMNS_MAX: usize = 1018;
const CAPTURE_INSTANCES_MAX: usize = 2;
/// What leaves room in the index of the change table beside its own columns.
const NET_CHANGES_KEY_COLUMNS_MAX: usize = 14;
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

/// The arguments of `sp_cdc_enable_table`, checked.
struct Request {
    table: Arc<Table>,
    instance: String,
    role: Option<String>,
    columns: Vec<Column>,
    index: Option<Index>,
    net_changes: bool,
    filegroup: Option<String>,
    allow_partition_switch: bool,
    /// What is said of switching partitions.
    partition_warning: Option<SqlError>,
}

fn enable_table(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let catalog = context.catalog()?;
    if !catalog.options.cdc_enabled {
        return Err(errors::not_enabled(context.transaction, context.database));
    }
    if !context.is_owner()? {
        return Err(errors::not_owner());
    }
    let request = Request::read(&catalog, arguments)?;
    let database = context.database;
    lock_metadata(context)?;
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

/// The text of an argument that must have one.
///
/// # Errors
/// 22963 where it is NULL or empty.
pub fn named<'v>(argument: &'v Value, parameter: &str) -> SqlResult<&'v str> {
    argument.as_text().filter(|text| !text.is_empty()).ok_or_else(|| errors::argument_missing(parameter))
}

/// The table that a schema and name are of.
///
/// # Errors
/// 22931 where there is none.
pub fn source_table(catalog: &Catalog, schema: &str, name: &str) -> SqlResult<Arc<Table>> {
    let found = catalog.schema_named(schema).and_then(|schema| catalog.table_named(schema.schema_id, name));
    found.cloned().ok_or_else(|| errors::no_source_table(schema, name))
}

/// What is said of switching partitions: that it isn't captured, that it is forbidden, or that there is none.
fn partition_warning(table: &Table, allowed: bool) -> Option<SqlError> {
    let name = &table.name;
    let (number, text) = match (table.partitioned, allowed) {
        (true, true) => (
            22855,
            format!(
                "Warning: switching partitions of the table '{name}' is allowed, and the rows that are switched are not captured."
            ),
        ),
        (true, false) => {
            (22856, format!("Warning: partitions of the table '{name}' cannot be switched while capture is enabled."))
        }
        (false, false) => {
            (22857, format!("Warning: @allow_partition_switch is ignored, as the table '{name}' is not partitioned."))
        }
        (false, true) => return None,
    };
    Some(SqlError::new(number, 10, text))
}

impl Request {
    fn read(catalog: &Catalog, arguments: &[Value]) -> SqlResult<Self> {
        let [schema, name, instance, net_changes, role, index, columns, filegroup, allow_switch, ..] = arguments else {
            return Err(broken("an argument"));
        };
        let (schema, name) = (named(schema, "@source_schema")?, named(name, "@source_name")?);
        let table = source_table(catalog, schema, name)?;
        let schema = catalog.schema(table.schema_id).ok_or_else(|| broken("the table's schema"))?;
        if collation::equal(&schema.name, "cdc") {
            return Err(errors::cdc_schema_table());
        }
        let role = match role.as_text() {
            Some(role) if role.trim().is_empty() => return Err(errors::role_missing()),
            role => role.map(str::to_owned),
        };
        let instance = match instance.as_text() {
            Some(instance) if !instance.is_empty() => instance.to_owned(),
            _ => format!("{}_{}", schema.name, table.name),
        };
        if instance.chars().count() > INSTANCE_NAME_CHARACTERS_MAX {
            return Err(errors::instance_name_long(&instance));
        }
        if catalog.instances_of(table.object_id).count() >= CAPTURE_INSTANCES_MAX {
            return Err(errors::two_instances(&table.name));
        }
        if catalog.instance_named(&instance).is_some() {
            return Err(errors::instance_taken(&instance));
        }
        if let Some(filegroup) = filegroup.as_text().filter(|name| !collation::equal(name, "PRIMARY")) {
            return Err(errors::no_filegroup(filegroup));
        }
        if table.columns.iter().any(|column| column.column_set) {
            return Err(errors::column_set(&table.name));
        }
        let index = chosen_index(&table, index.as_text())?;
        let columns = captured_columns(&table, columns.as_text())?;
        let net_changes = match net_changes {
            Value::Null => table.primary_key().is_some(),
            given => given.as_integer() == Some(1),
        };
        if net_changes {
            let index = index.as_ref().ok_or_else(|| errors::net_changes_without_key(&table.name))?;
            if index.key.len() > NET_CHANGES_KEY_COLUMNS_MAX {
                return Err(errors::key_too_wide(&index.name, &table.name, NET_CHANGES_KEY_COLUMNS_MAX));
            }
            let captured = |id: ColumnId| columns.iter().any(|column| column.column_id == id);
            if !index.key.iter().all(|key| captured(key.column_id)) {
                return Err(errors::key_not_captured(&table.name, &index.name));
            }
        }
        let allowed = allow_switch.as_integer() != Some(0);
        Ok(Self {
            instance,
            role,
            columns,
            index,
            net_changes,
            filegroup: filegroup.as_text().map(str::to_owned),
            // The parameter is for partitioned tables.
            allow_partition_switch: allowed || !table.partitioned,
            partition_warning: partition_warning(&table, allowed),
            table,
        })
    }
}

/// The index named, or the primary key's; none where neither is there.
fn chosen_index(table: &Table, name: Option<&str>) -> SqlResult<Option<Index>> {
    let Some(name) = name else { return Ok(table.primary_key().cloned()) };
    let index = table.index_named(name).ok_or_else(|| errors::no_index(name, &table.name))?;
    if !index.is_key() {
        return Err(errors::index_not_unique(name));
    }
    if index.disabled {
        return Err(errors::index_disabled(name, &table.name));
    }
    let nullable = |id: ColumnId| table.column(id).is_some_and(|column| column.nullable);
    if index.key.iter().any(|key| nullable(key.column_id)) {
        return Err(errors::index_nullable(name));
    }
    Ok(Some(index.clone()))
}

/// The columns of the list in the table's order, or all.
fn captured_columns(table: &Table, list: Option<&str>) -> SqlResult<Vec<Column>> {
    let columns = match list.filter(|list| !list.trim().is_empty()) {
        None => table.columns.clone(),
        Some(list) => {
            let names = split_names(list).ok_or_else(errors::bad_column_list)?;
            let mut chosen = Vec::with_capacity(names.len());
            for name in &names {
                let column = table.column_named(name).ok_or_else(|| errors::no_source_column(name))?;
                if chosen.iter().any(|other: &Column| other.column_id == column.column_id) {
                    return Err(errors::bad_column_list());
                }
                chosen.push(column.clone());
            }
            chosen.sort_by_key(|column| column.column_id);
            chosen
        }
    };
    if columns.len() > CAPTURED_COLUMNS_MAX {
        return Err(errors::too_many_columns());
    }
    match columns.iter().find(|column| change_table::is_reserved(&column.name)) {
        Some(column) => Err(errors::reserved_column(&column.name)),
        None => Ok(columns),
    }
}

/// Names separated by commas, each plain, in brackets or in quotes. None where a bracket or quote stays open or a name is
/// missing.
pub(super) fn split_names(list: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    loop {
        let close = match rest.chars().next()? {
            '[' => Some(']'),
            '"' => Some('"'),
            _ => None,
        };
        let name = match close {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let name = rest.get(..end)?.trim();
                rest = rest.get(end..)?;
                name.to_owned()
            }
            Some(close) => {
                let mut name = String::new();
                let mut characters = rest.char_indices().skip(1).peekable();
                let end = loop {
                    let (at, character) = characters.next()?;
                    if character != close {
                        name.push(character);
                    } else if characters.next_if(|(_, next)| *next == close).is_some() {
                        name.push(close);
                    } else {
                        break at + close.len_utf8();
                    }
                };
                rest = rest.get(end..)?.trim_start();
                name
            }
        };
        if name.is_empty() {
            return None;
        }
        names.push(name);
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => return Some(names),
            None => return None,
        }
    }
}

/// Creates the instance. The table is locked, so that in the log every change of it lies wholly before or after.
fn create(context: &mut CdcContext<'_>, request: &Request) -> SqlResult<()> {
    let database = context.database;
    let table = &request.table;
    check_database_owner(context)?;
    let transaction = &mut *context.transaction;
    transaction.lock_table(database, table.object_id, LockMode::SchemaModification, LockDuration::Transaction)?;
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

#[cfg(test)]
mod tests {
    use super::split_names;

    #[test]
    fn column_lists_have_plain_bracketed_and_quoted_names() {
        let names = |list: &str| split_names(list).map(|names| names.join("|"));
        assert_eq!(names("a, b ,c").as_deref(), Some("a|b|c"));
        assert_eq!(names("[a,b], \"c\"\"d\" ,[e]]f]").as_deref(), Some("a,b|c\"d|e]f"));
        assert_eq!(names("a,,b"), None);
        assert_eq!(names("[a"), None);
        assert_eq!(names("a,"), None);
    }
}
