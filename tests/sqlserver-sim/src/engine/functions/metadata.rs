//! Functions of the catalog.

use std::sync::Arc;

use crate::catalog::TYPES;
use crate::error::SqlResult;
use crate::storage::{Catalog, DatabaseId, ModuleKind, Object, ObjectId, Table};
use crate::value::{SqlType, Value};

use super::super::parse;
use super::super::state::Execution;
use super::super::statement::Name;
use super::Parameter::{Any, Integer, Text};
use super::{Builtin, int, integer_at, sysname, text_at, variant};

/// The number of a type that a user has made.
fn type_of_user(execution: &Execution<'_>, name: &Name) -> Option<i32> {
    let catalog = execution.state.catalog(execution.state.database).ok()?;
    let schema = catalog.schema_named(name.schema.as_deref().unwrap_or("dbo"))?.schema_id;
    let module = catalog.module_named(schema, &name.object).filter(|module| module.kind == ModuleKind::Type)?;
    Some(module.object_id.0)
}

pub const FUNCTIONS: &[Builtin] = &[
    Builtin::new("OBJECT_ID", 1..=2, &[Text, Text], int, |execution, values, _, _| object_id(execution, values)),
    Builtin::new("OBJECT_NAME", 1..=2, &[Integer, Integer], sysname, |execution, values, _, _| {
        Ok(named_object(execution, values)?.map_or(Value::Null, |(name, _)| Value::Text(name)))
    }),
    Builtin::new("OBJECT_SCHEMA_NAME", 1..=2, &[Integer, Integer], sysname, |execution, values, _, _| {
        Ok(named_object(execution, values)?.map_or(Value::Null, |(_, schema)| Value::Text(schema)))
    }),
    Builtin::new(
        "OBJECT_DEFINITION",
        1..=1,
        &[Integer],
        |_| Ok(SqlType::NVarChar(crate::value::Length::Max)),
        |execution, values, _, _| {
            let module = object_at(execution, values)?;
            Ok(match module {
                Some(Object::Module(module)) => Value::Text(Arc::clone(&module.definition)),
                _ => Value::Null,
            })
        },
    ),
    Builtin::new("SCHEMA_ID", 0..=1, &[Text], int, |execution, values, _, _| {
        let name = if values.is_empty() { "dbo" } else { text_at(values, 0) };
        Ok(catalog(execution)?.schema_named(name).map_or(Value::Null, |schema| Value::Int(schema.schema_id.0)))
    }),
    Builtin::new("SCHEMA_NAME", 0..=1, &[Integer], sysname, |execution, values, _, _| {
        let catalog = catalog(execution)?;
        let id = if values.is_empty() { Some(1) } else { integer_at(values, 0).and_then(|id| i32::try_from(id).ok()) };
        let schema = id.and_then(|id| catalog.schema(crate::storage::SchemaId(id)).cloned());
        Ok(schema.map_or(Value::Null, |schema| Value::Text(Arc::clone(&schema.name))))
    }),
    Builtin::new("COL_NAME", 2..=2, &[Integer, Integer], sysname, |execution, values, _, _| {
        let table = table_at(execution, values)?;
        let column = table.as_ref().and_then(|table| {
            table.columns.iter().find(|column| Some(i64::from(column.column_id.0)) == integer_at(values, 1))
        });
        Ok(column.map_or(Value::Null, |column| Value::Text(Arc::clone(&column.name))))
    }),
    Builtin::new(
        "COL_LENGTH",
        2..=2,
        &[Text, Text],
        |_| Ok(SqlType::SmallInt),
        |execution, values, _, _| {
            let Some(Object::Table(table)) = object_named(execution, text_at(values, 0))? else {
                return Ok(Value::Null);
            };
            let column = table.column_named(text_at(values, 1));
            Ok(column.map_or(Value::Null, |column| Value::SmallInt(column.sql_type.max_length())))
        },
    ),
    Builtin::new("COLUMNPROPERTY", 3..=3, &[Integer, Text, Text], int, |execution, values, _, _| {
        column_property(execution, values)
    }),
    Builtin::new("OBJECTPROPERTY", 2..=2, &[Integer, Text], int, |execution, values, _, _| {
        object_property(execution, values)
    }),
    Builtin::new("OBJECTPROPERTYEX", 2..=2, &[Integer, Text], variant, |execution, values, _, _| {
        object_property(execution, values)
    }),
    Builtin::new("DATABASEPROPERTYEX", 2..=2, &[Text, Text], variant, |execution, values, _, _| {
        Ok(database_property(execution, values))
    }),
    Builtin::new("INDEX_COL", 3..=3, &[Text, Integer, Integer], sysname, |execution, values, _, _| {
        let Some(Object::Table(table)) = object_named(execution, text_at(values, 0))? else { return Ok(Value::Null) };
        let index = table.indexes.iter().find(|index| Some(i64::from(index.index_id.0)) == integer_at(values, 1));
        let position =
            integer_at(values, 2).and_then(|position| usize::try_from(position).ok()).and_then(|p| p.checked_sub(1));
        let key = index.zip(position).and_then(|(index, position)| index.key.get(position));
        let column = key.and_then(|key| table.column(key.column_id));
        Ok(column.map_or(Value::Null, |column| Value::Text(Arc::clone(&column.name))))
    }),
    Builtin::new("INDEXPROPERTY", 3..=3, &[Integer, Text, Text], int, |execution, values, _, _| {
        let table = table_at(execution, values)?;
        let Some(index) = table.as_ref().and_then(|table| table.index_named(text_at(values, 1))) else {
            return Ok(Value::Null);
        };
        Ok(match text_at(values, 2).to_ascii_lowercase().as_str() {
            "isunique" => flag(index.unique),
            "isclustered" => flag(index.is_clustered()),
            "indexid" => Value::Int(index.index_id.0),
            "isdisabled" => flag(index.disabled),
            _ => Value::Null,
        })
    }),
    Builtin::new("TYPE_ID", 1..=1, &[Text], int, |execution, values, _, _| {
        let name = parse::type_name(text_at(values, 0)).ok();
        if let Some(own) = name.as_ref().and_then(|name| type_of_user(execution, &name.name)) {
            return Ok(Value::Int(own));
        }
        let sql_type = name.and_then(|name| super::super::bind::named_type(execution.state, &name).ok());
        Ok(sql_type.map_or(Value::Null, |sql_type| Value::Int(sql_type.user_type_id())))
    }),
    Builtin::new("TYPE_NAME", 1..=1, &[Integer], sysname, |execution, values, _, _| {
        let id = integer_at(values, 0).and_then(|id| i32::try_from(id).ok());
        let name = TYPES.iter().find(|sql_type| Some(sql_type.user_type_id()) == id).map(|sql_type| sql_type.name());
        if let Some(name) = name {
            return Ok(Value::text(name));
        }
        let catalog = execution.state.catalog(execution.state.database)?;
        let mut types = catalog.modules().filter(|module| module.kind == ModuleKind::Type);
        Ok(types.find(|it| Some(it.object_id.0) == id).map_or(Value::Null, |it| Value::text(&it.name)))
    }),
    Builtin::new(
        "IDENT_CURRENT",
        1..=1,
        &[Text],
        |_| Ok(SqlType::Numeric { precision: 38, scale: 0 }),
        |execution, values, _, _| {
            let Some(Object::Table(table)) = object_named(execution, text_at(values, 0))? else {
                return Ok(Value::Null);
            };
            let Some(identity) = table.columns.iter().find_map(|column| column.identity) else {
                return Ok(Value::Null);
            };
            let database = execution.state.database;
            let last = execution.state.transaction().identity_last(database, table.object_id)?;
            Ok(Value::Decimal(crate::value::Decimal::new(last.unwrap_or(identity.seed), 0)))
        },
    ),
    Builtin::new("STATS_DATE", 2..=2, &[Any, Any], |_| Ok(SqlType::DateTime), |_, _, _, _| Ok(Value::Null)),
    Builtin::new("FILEGROUP_NAME", 1..=1, &[Integer], sysname, |_, values, _, _| {
        Ok(if integer_at(values, 0) == Some(1) { Value::text("PRIMARY") } else { Value::Null })
    }),
];

fn flag(is: bool) -> Value {
    Value::Int(i32::from(is))
}

fn catalog(execution: &Execution<'_>) -> SqlResult<Arc<Catalog>> {
    execution.state.catalog(execution.state.database)
}

fn object_named(execution: &Execution<'_>, name: &str) -> SqlResult<Option<Object>> {
    let Ok(name) = parse::name(name) else { return Ok(None) };
    if name.is_temporary() {
        let own = execution.state.temporary.get(&crate::value::collation::folded(&name.object));
        let catalog = execution.state.catalog(DatabaseId::TEMPDB)?;
        return Ok(own.and_then(|own| catalog.object_named(crate::storage::SchemaId::DBO, own)));
    }
    let Ok(database) = execution.state.database_of(&name) else { return Ok(None) };
    Ok(execution.state.object(database, &name)?.map(|(_, object)| object))
}

fn object_id(execution: &Execution<'_>, values: &[Value]) -> SqlResult<Value> {
    let Some(object) = object_named(execution, text_at(values, 0))? else { return Ok(Value::Null) };
    let kind = text_at(values, 1).trim().to_ascii_uppercase();
    let (id, own_kind) = match &object {
        Object::Table(table) => (table.object_id, "U"),
        Object::Module(module) => (
            module.object_id,
            match module.kind {
                ModuleKind::View => "V",
                ModuleKind::Procedure => "P",
                ModuleKind::ScalarFunction => "FN",
                ModuleKind::InlineFunction => "IF",
                ModuleKind::TableFunction => "TF",
                ModuleKind::Trigger => "TR",
                ModuleKind::Synonym => "SN",
                ModuleKind::Sequence => "SO",
                // Types have no number among objects.
                ModuleKind::Type => return Ok(Value::Null),
            },
        ),
    };
    Ok(if kind.is_empty() || kind == own_kind { Value::Int(id.0) } else { Value::Null })
}

fn object_at(execution: &Execution<'_>, values: &[Value]) -> SqlResult<Option<Object>> {
    let id = integer_at(values, 0).and_then(|id| i32::try_from(id).ok());
    Ok(match id {
        Some(id) => catalog(execution)?.object(ObjectId(id)),
        None => None,
    })
}

fn table_at(execution: &Execution<'_>, values: &[Value]) -> SqlResult<Option<Arc<Table>>> {
    Ok(match object_at(execution, values)? {
        Some(Object::Table(table)) => Some(table),
        _ => None,
    })
}

/// The names of an object and its schema, in the current or a given database.
fn named_object(execution: &Execution<'_>, values: &[Value]) -> SqlResult<Option<(Arc<str>, Arc<str>)>> {
    let database =
        integer_at(values, 1).and_then(|id| u32::try_from(id).ok()).map_or(execution.state.database, DatabaseId);
    let Ok(catalog) = execution.state.catalog(database) else { return Ok(None) };
    let object =
        integer_at(values, 0).and_then(|id| i32::try_from(id).ok()).and_then(|id| catalog.object(ObjectId(id)));
    let (name, schema) = match object {
        Some(Object::Table(table)) => (Arc::clone(&table.name), table.schema_id),
        Some(Object::Module(module)) => (Arc::clone(&module.name), module.schema_id),
        None => return Ok(None),
    };
    Ok(catalog.schema(schema).map(|schema| (name, Arc::clone(&schema.name))))
}

fn column_property(execution: &Execution<'_>, values: &[Value]) -> SqlResult<Value> {
    let table = table_at(execution, values)?;
    let Some(table) = table else { return Ok(Value::Null) };
    let Some(column) = table.column_named(text_at(values, 1)) else { return Ok(Value::Null) };
    let position = table.columns.iter().position(|other| other.column_id == column.column_id);
    Ok(match text_at(values, 2).to_ascii_lowercase().as_str() {
        "allowsnull" => flag(column.nullable),
        "isidentity" => flag(column.identity.is_some()),
        "iscomputed" => flag(column.computed.is_some()),
        "isrowguidcol" => flag(column.row_guid),
        "issparse" => flag(column.sparse),
        "ishidden" => flag(column.hidden),
        "columnid" => Value::Int(column.column_id.0),
        "ordinal" => position.and_then(|position| i32::try_from(position + 1).ok()).map_or(Value::Null, Value::Int),
        "precision" => match column.sql_type.character_length().units() {
            Some(units) if column.sql_type.is_character() => i32::try_from(units).map_or(Value::Null, Value::Int),
            _ if column.sql_type.is_character() => Value::Int(-1),
            _ => Value::Int(i32::from(column.sql_type.precision())),
        },
        "scale" if column.sql_type.is_character() => Value::Null,
        "scale" => Value::Int(i32::from(column.sql_type.scale())),
        "charmaxlen" if column.sql_type.is_character() => Value::Int(
            column.sql_type.character_length().units().and_then(|units| i32::try_from(units).ok()).unwrap_or(-1),
        ),
        "generatedalwaystype" | "iscolumnset" | "isfulltextindexed" => Value::Int(0),
        _ => Value::Null,
    })
}

fn object_property(execution: &Execution<'_>, values: &[Value]) -> SqlResult<Value> {
    let Some(object) = object_at(execution, values)? else { return Ok(Value::Null) };
    let property = text_at(values, 1).to_ascii_lowercase();
    let kind = |kind: ModuleKind| matches!(&object, Object::Module(module) if module.kind == kind);
    let table = match &object {
        Object::Table(table) => Some(table),
        Object::Module(_) => None,
    };
    let shipped = match &object {
        Object::Table(table) => table.system,
        Object::Module(module) => module.system,
    };
    let of_table = |test: fn(&Table) -> bool| table.map_or(Value::Null, |table| flag(test(table)));
    Ok(match property.as_str() {
        "istable" => flag(table.is_some()),
        "isusertable" => flag(table.is_some_and(|table| !table.system)),
        "isview" => flag(kind(ModuleKind::View)),
        "isprocedure" => flag(kind(ModuleKind::Procedure)),
        "istrigger" => flag(kind(ModuleKind::Trigger)),
        "ismsshipped" => flag(shipped),
        "tablehasprimarykey" => of_table(|table| table.primary_key().is_some()),
        "tablehasidentity" => of_table(|table| table.columns.iter().any(|column| column.identity.is_some())),
        "tablehasclustindex" => of_table(|table| table.clustered().is_some()),
        "ownerid" => Value::Int(1),
        "schemaid" => match &object {
            Object::Table(table) => Value::Int(table.schema_id.0),
            Object::Module(module) => Value::Int(module.schema_id.0),
        },
        _ => Value::Null,
    })
}

fn database_property(execution: &Execution<'_>, values: &[Value]) -> Value {
    let storage = &execution.state.storage;
    let Some(database) = storage.database_named(text_at(values, 0)).and_then(|id| storage.database(id)) else {
        return Value::Null;
    };
    match text_at(values, 1).to_ascii_lowercase().as_str() {
        "status" => Value::text("ONLINE"),
        "updateability" => Value::text(if database.catalog.options.read_only { "READ_ONLY" } else { "READ_WRITE" }),
        "useraccess" => Value::text("MULTI_USER"),
        "recovery" => Value::text("FULL"),
        "collation" => Value::text("SQL_Latin1_General_CP1_CI_AS"),
        "version" => Value::Int(957),
        "isinstandby" | "isautoclose" | "isautoshrink" => Value::Int(0),
        _ => Value::Null,
    }
}
