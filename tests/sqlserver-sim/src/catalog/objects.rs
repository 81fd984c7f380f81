//! What has a name in a schema: `sys.objects` and the views of one kind of object each.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{Module, ModuleKind, ObjectId, SchemaId, Table, TriggerEvent};
use crate::value::{Moment, SqlType, Value};

use super::Named;
use super::scope::Scope;
use super::view::{BIT, DATETIME, INT, SYSNAME, TEXT, TINYINT, View, bit, datetime, int, nvarchar, text};

/// A row of `sys.objects`.
#[derive(Clone)]
pub struct Object {
    pub id: ObjectId,
    pub schema: SchemaId,
    pub name: Arc<str>,
    /// Of the table that a constraint or trigger belongs to.
    pub parent: Option<ObjectId>,
    pub kind: Kind,
    pub created: Moment,
    pub modified: Moment,
    pub system: bool,
}

/// A kind of object: its two letters and its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub code: &'static str,
    pub description: &'static str,
}

const fn kind(code: &'static str, description: &'static str) -> Kind {
    Kind { code, description }
}

pub const TABLE: Kind = kind("U ", "USER_TABLE");
pub const VIEW: Kind = kind("V ", "VIEW");
pub const PRIMARY_KEY: Kind = kind("PK", "PRIMARY_KEY_CONSTRAINT");
pub const UNIQUE: Kind = kind("UQ", "UNIQUE_CONSTRAINT");
pub const DEFAULT: Kind = kind("D ", "DEFAULT_CONSTRAINT");
pub const CHECK: Kind = kind("C ", "CHECK_CONSTRAINT");
pub const FOREIGN_KEY: Kind = kind("F ", "FOREIGN_KEY_CONSTRAINT");
const PROCEDURE: Kind = kind("P ", "SQL_STORED_PROCEDURE");
const SCALAR_FUNCTION: Kind = kind("FN", "SQL_SCALAR_FUNCTION");
const INLINE_FUNCTION: Kind = kind("IF", "SQL_INLINE_TABLE_VALUED_FUNCTION");
const TABLE_FUNCTION: Kind = kind("TF", "SQL_TABLE_VALUED_FUNCTION");
const TRIGGER: Kind = kind("TR", "SQL_TRIGGER");
const SYNONYM: Kind = kind("SN", "SYNONYM");
const SEQUENCE: Kind = kind("SO", "SEQUENCE_OBJECT");
const TYPE: Kind = kind("TT", "TYPE_TABLE");

fn kind_of(module: ModuleKind) -> Kind {
    match module {
        ModuleKind::View => VIEW,
        ModuleKind::Procedure => PROCEDURE,
        ModuleKind::ScalarFunction => SCALAR_FUNCTION,
        ModuleKind::InlineFunction => INLINE_FUNCTION,
        ModuleKind::TableFunction => TABLE_FUNCTION,
        ModuleKind::Trigger => TRIGGER,
        ModuleKind::Synonym => SYNONYM,
        ModuleKind::Sequence => SEQUENCE,
        ModuleKind::Type => TYPE,
    }
}

fn of_table(table: &Table) -> Object {
    Object {
        id: table.object_id,
        schema: table.schema_id,
        name: Arc::clone(&table.name),
        parent: None,
        kind: TABLE,
        created: table.created,
        modified: table.modified,
        system: table.system,
    }
}

fn of_module(module: &Module) -> Object {
    Object {
        id: module.object_id,
        schema: module.schema_id,
        name: Arc::clone(&module.name),
        parent: module.signature.trigger.as_ref().map(|(table, _)| *table),
        kind: kind_of(module.kind),
        created: module.created,
        modified: module.modified,
        system: module.system,
    }
}

/// A constraint of a table, which shares its schema and dates.
pub fn of_constraint(table: &Table, id: ObjectId, name: &Arc<str>, kind: Kind) -> Object {
    Object { id, name: Arc::clone(name), parent: Some(table.object_id), kind, ..of_table(table) }
}

/// Every object that the session may see.
pub fn all(scope: &Scope<'_>) -> Vec<Object> {
    let mut objects = Vec::new();
    for table in scope.tables() {
        objects.push(of_table(&table));
        constraints(&table, &mut objects);
    }
    // Types have no name among objects.
    let modules = scope.modules();
    objects.extend(modules.iter().filter(|module| module.kind != ModuleKind::Type).map(|module| of_module(module)));
    objects
}

fn constraints(table: &Table, objects: &mut Vec<Object>) {
    for index in &table.indexes {
        if let Some(constraint) = &index.constraint {
            let kind = if constraint.primary { PRIMARY_KEY } else { UNIQUE };
            objects.push(of_constraint(table, constraint.object_id, &index.name, kind));
        }
    }
    let defaults = table.columns.iter().filter_map(|column| column.default.as_ref());
    objects.extend(defaults.map(|default| of_constraint(table, default.object_id, &default.name, DEFAULT)));
    objects.extend(table.checks.iter().map(|check| of_constraint(table, check.object_id, &check.name, CHECK)));
    objects.extend(table.foreign_keys.iter().map(|key| of_constraint(table, key.object_id, &key.name, FOREIGN_KEY)));
}

/// A thing with its row of `sys.objects`.
pub struct Described<T> {
    pub object: Object,
    pub thing: T,
}

/// A view of things that are objects; its first columns are those of `sys.objects`.
pub fn view_of<T: 'static>(things: for<'a> fn(&Scope<'a>) -> Vec<Described<T>>) -> View<Described<T>> {
    View::of(things)
        .field("name", SYSNAME, |it, _| text(&it.object.name))
        .field("object_id", INT, |it, _| int(it.object.id.0))
        .always("principal_id", INT, Value::Null)
        .field("schema_id", INT, |it, _| int(it.object.schema.0))
        .field("parent_object_id", INT, |it, _| int(it.object.parent.map_or(0, |id| id.0)))
        .field("type", SqlType::Char(2), |it, _| text(it.object.kind.code))
        .field("type_desc", nvarchar(60), |it, _| text(it.object.kind.description))
        .field("create_date", DATETIME, |it, _| datetime(it.object.created))
        .field("modify_date", DATETIME, |it, _| datetime(it.object.modified))
        .field("is_ms_shipped", BIT, |it, _| bit(it.object.system))
        .unset(&["is_published", "is_schema_published"])
}

/// A view of every object, or of those of some kinds.
fn plain(things: for<'a> fn(&Scope<'a>) -> Vec<Described<()>>) -> View<Described<()>> {
    view_of(things)
}

fn of_kinds(scope: &Scope<'_>, kinds: &[Kind]) -> Vec<Described<()>> {
    let fits = |object: &Object| kinds.is_empty() || kinds.contains(&object.kind);
    all(scope).into_iter().filter(fits).map(|object| Described { object, thing: () }).collect()
}

fn tables(scope: &Scope<'_>) -> Vec<Described<Arc<Table>>> {
    scope.tables().into_iter().map(|table| Described { object: of_table(&table), thing: table }).collect()
}

pub fn modules_of(scope: &Scope<'_>, fits: fn(ModuleKind) -> bool) -> Vec<Described<Arc<Module>>> {
    let modules = scope.modules().into_iter().filter(|module| fits(module.kind));
    modules.map(|module| Described { object: of_module(&module), thing: module }).collect()
}

fn temporal_type(table: &Table) -> (u8, &'static str) {
    if table.is_history {
        (1, "HISTORY_TABLE")
    } else if table.system_time.as_ref().is_some_and(|system_time| system_time.history.is_some()) {
        (2, "SYSTEM_VERSIONED_TEMPORAL_TABLE")
    } else {
        (0, "NON_TEMPORAL_TABLE")
    }
}

fn tables_view() -> Arc<dyn Relation> {
    view_of(tables)
        .always("lob_data_space_id", INT, int(0))
        .always("filestream_data_space_id", INT, Value::Null)
        .field("max_column_id_used", INT, |it, _| int(it.thing.column_id_max))
        .unset(&["lock_on_bulk_load"])
        .always("uses_ansi_nulls", BIT, bit(true))
        .field("is_replicated", BIT, |it, _| bit(it.thing.tracked))
        .unset(&[
            "has_replication_filter",
            "is_merge_published",
            "is_sync_tran_subscribed",
            "has_unchecked_assembly_data",
        ])
        .always("text_in_row_limit", INT, int(0))
        .unset(&["large_value_types_out_of_row"])
        .field("is_tracked_by_cdc", BIT, |it, _| bit(it.thing.tracked))
        .always("lock_escalation", TINYINT, Value::TinyInt(0))
        .always("lock_escalation_desc", nvarchar(60), text("TABLE"))
        .unset(&["is_filetable", "is_memory_optimized"])
        .always("durability", TINYINT, Value::TinyInt(0))
        .always("durability_desc", nvarchar(60), text("SCHEMA_AND_DATA"))
        .field("temporal_type", TINYINT, |it, _| Value::TinyInt(temporal_type(&it.thing).0))
        .field("temporal_type_desc", nvarchar(60), |it, _| text(temporal_type(&it.thing).1))
        .nullable("history_table_id", INT, |it, _| {
            let history = it.thing.system_time.as_ref().and_then(|system_time| system_time.history);
            history.map_or(Value::Null, |id| int(id.0))
        })
        .unset(&["is_remote_data_archive_enabled", "is_external", "is_node", "is_edge"])
        .always("history_retention_period", INT, Value::Null)
        .always("ledger_type", TINYINT, Value::TinyInt(0))
        .always("ledger_type_desc", nvarchar(60), text("NON_LEDGER_TABLE"))
        .unset(&["is_dropped_ledger_table"])
        .build()
}

fn views_view() -> Arc<dyn Relation> {
    view_of(|scope| modules_of(scope, |kind| kind == ModuleKind::View))
        .unset(&["is_replicated", "has_replication_filter", "has_opaque_metadata", "has_unchecked_assembly_data"])
        .unset(&["with_check_option", "is_date_correlation_view", "is_tracked_by_cdc"])
        .build()
}

fn procedures_view() -> Arc<dyn Relation> {
    view_of(|scope| modules_of(scope, |kind| kind == ModuleKind::Procedure))
        .unset(&["is_auto_executed", "is_execution_replicated", "is_repl_serializable_only", "skips_repl_constraints"])
        .build()
}

/// The trigger by which change data capture learns of definitions. It is the database's, and nobody's to change.
fn capture_trigger(scope: &Scope<'_>) -> Option<Object> {
    let schema = scope.catalog().schema_named("cdc").filter(|_| scope.catalog().options.cdc_enabled)?;
    let history = scope.catalog().table_named(schema.schema_id, "ddl_history")?;
    Some(Object {
        // Between the numbers that objects get.
        id: ObjectId(history.object_id.0 + 8),
        name: Arc::from("tr_MScdc_ddl_event"),
        kind: TRIGGER,
        ..of_table(history)
    })
}

/// The triggers of tables, each with its module, and that of the database.
fn triggers(scope: &Scope<'_>) -> Vec<Described<Option<Arc<Module>>>> {
    let of_tables = modules_of(scope, |kind| kind == ModuleKind::Trigger);
    let of_tables = of_tables.into_iter().map(|it| Described { object: it.object, thing: Some(it.thing) });
    let of_database = capture_trigger(scope).map(|object| Described { object, thing: None });
    of_tables.chain(of_database).collect()
}

fn triggers_view() -> Arc<dyn Relation> {
    View::of(triggers)
        .field("name", SYSNAME, |it, _| text(&it.object.name))
        .field("object_id", INT, |it, _| int(it.object.id.0))
        .field("parent_class", TINYINT, |it, _| Value::TinyInt(u8::from(it.thing.is_some())))
        .field("parent_class_desc", nvarchar(60), |it, _| {
            text(if it.thing.is_some() { "OBJECT_OR_COLUMN" } else { "DATABASE" })
        })
        .field("parent_id", INT, |it, _| int(it.object.parent.map_or(0, |table| table.0)))
        .always("type", SqlType::Char(2), text("TR"))
        .always("type_desc", nvarchar(60), text("SQL_TRIGGER"))
        .field("create_date", DATETIME, |it, _| datetime(it.object.created))
        .field("modify_date", DATETIME, |it, _| datetime(it.object.modified))
        .field("is_ms_shipped", BIT, |it, _| bit(it.object.system))
        .field("is_disabled", BIT, |it, _| bit(it.thing.as_ref().is_some_and(|module| module.disabled)))
        .unset(&["is_not_for_replication", "is_instead_of_trigger"])
        .build()
}

fn trigger_events(scope: &Scope<'_>) -> Vec<(ObjectId, TriggerEvent)> {
    let triggers = scope.modules().into_iter();
    let events = triggers.filter_map(|trigger| Some((trigger.object_id, trigger.signature.trigger.clone()?.1)));
    events.flat_map(|(trigger, events)| events.into_iter().map(move |event| (trigger, event))).collect()
}

fn event_name(event: TriggerEvent) -> (i32, &'static str) {
    match event {
        TriggerEvent::Insert => (1, "INSERT"),
        TriggerEvent::Update => (2, "UPDATE"),
        TriggerEvent::Delete => (3, "DELETE"),
    }
}

fn trigger_events_view() -> Arc<dyn Relation> {
    View::of(trigger_events)
        .field("object_id", INT, |(trigger, _), _| int(trigger.0))
        .field("type", INT, |(_, event), _| int(event_name(*event).0))
        .field("type_desc", nvarchar(60), |(_, event), _| text(event_name(*event).1))
        .unset(&["is_first", "is_last"])
        .nulls(INT, &["event_group_type"])
        .nulls(nvarchar(60), &["event_group_type_desc"])
        .always("is_trigger_event", BIT, bit(true))
        .build()
}

fn synonyms_view() -> Arc<dyn Relation> {
    view_of(|scope| modules_of(scope, |kind| kind == ModuleKind::Synonym))
        .field("base_object_name", nvarchar(1035), |it, _| text(&it.thing.definition))
        .build()
}

fn modules_with_text(scope: &Scope<'_>) -> Vec<Arc<Module>> {
    let textless = [ModuleKind::Synonym, ModuleKind::Sequence, ModuleKind::Type];
    scope.modules().into_iter().filter(|module| !textless.contains(&module.kind)).collect()
}

fn definitions_view() -> Arc<dyn Relation> {
    View::of(modules_with_text)
        .field("object_id", INT, |module, _| int(module.object_id.0))
        .nullable("definition", TEXT, |module, _| text(&module.definition))
        .always("uses_ansi_nulls", BIT, bit(true))
        .always("uses_quoted_identifier", BIT, bit(true))
        .unset(&["is_schema_bound", "uses_database_collation", "is_recompiled", "null_on_null_input"])
        .always("execute_as_principal_id", INT, Value::Null)
        .unset(&["uses_native_compilation", "inline_type", "is_inlineable"])
        .build()
}

fn schemas_view() -> Arc<dyn Relation> {
    View::of(|scope| scope.catalog().schemas().cloned().collect())
        .field("name", SYSNAME, |schema, _| text(&schema.name))
        .field("schema_id", INT, |schema, _| int(schema.schema_id.0))
        .field("principal_id", INT, |schema, _| int(schema.owner.0))
        .build()
}

pub fn views() -> Vec<Named> {
    vec![
        ("sys", "objects", plain(|scope| of_kinds(scope, &[])).build()),
        ("sys", "all_objects", plain(|scope| of_kinds(scope, &[])).build()),
        ("sys", "tables", tables_view()),
        ("sys", "views", views_view()),
        ("sys", "all_views", views_view()),
        ("sys", "procedures", procedures_view()),
        ("sys", "triggers", triggers_view()),
        ("sys", "trigger_events", trigger_events_view()),
        ("sys", "synonyms", synonyms_view()),
        ("sys", "sql_modules", definitions_view()),
        ("sys", "all_sql_modules", definitions_view()),
        ("sys", "schemas", schemas_view()),
    ]
}
