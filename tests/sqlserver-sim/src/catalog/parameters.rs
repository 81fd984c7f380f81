//! Parameters of procedures and functions.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{Module, ModuleKind};
use crate::value::{SqlType, Value};

use super::Named;
use super::scope::Scope;
use super::types::TABLE_TYPE;
use super::view::{BIT, INT, SMALLINT, SYSNAME, TINYINT, View, bit, int, nvarchar, text, varchar};

const NAME: SqlType = nvarchar(128);

/// A parameter, or what a scalar function returns, which is the parameter 0.
struct ModuleParameter {
    module: Arc<Module>,
    position: i32,
    name: Arc<str>,
    /// None for a table.
    sql_type: Option<SqlType>,
    output: bool,
    read_only: bool,
}

fn parameters(scope: &Scope<'_>) -> Vec<ModuleParameter> {
    let mut parameters = Vec::new();
    for module in scope.modules() {
        let is_function = module.kind == ModuleKind::ScalarFunction;
        if let Some(returns) = module.signature.returns.filter(|_| is_function) {
            parameters.push(ModuleParameter {
                module: Arc::clone(&module),
                position: 0,
                name: Arc::from(""),
                sql_type: Some(returns),
                output: true,
                read_only: false,
            });
        }
        for (parameter, position) in module.signature.parameters.iter().zip(1..) {
            parameters.push(ModuleParameter {
                module: Arc::clone(&module),
                position,
                name: Arc::clone(&parameter.name),
                sql_type: parameter.sql_type,
                output: parameter.output,
                read_only: parameter.read_only,
            });
        }
    }
    parameters
}

fn view() -> Arc<dyn Relation> {
    View::of(parameters)
        .field("object_id", INT, |it, _| int(it.module.object_id.0))
        .nullable("name", SYSNAME, |it, _| text(&it.name))
        .field("parameter_id", INT, |it, _| int(it.position))
        .field("system_type_id", TINYINT, |it, _| {
            Value::TinyInt(it.sql_type.map_or(TABLE_TYPE, SqlType::system_type_id))
        })
        .field("user_type_id", INT, |it, _| int(it.sql_type.map_or(TABLE_TYPE.into(), SqlType::user_type_id)))
        .field("max_length", SMALLINT, |it, _| Value::SmallInt(it.sql_type.map_or(-1, SqlType::max_length)))
        .field("precision", TINYINT, |it, _| Value::TinyInt(it.sql_type.map_or(0, SqlType::precision)))
        .field("scale", TINYINT, |it, _| Value::TinyInt(it.sql_type.map_or(0, SqlType::scale)))
        .field("is_output", BIT, |it, _| bit(it.output))
        // The server tells defaults of CLR modules alone.
        .unset(&["is_cursor_ref", "has_default_value", "is_xml_document"])
        .nulls(SqlType::Variant, &["default_value"])
        .always("xml_collection_id", INT, int(0))
        .field("is_readonly", BIT, |it, _| bit(it.read_only))
        .always("is_nullable", BIT, bit(true))
        .build()
}

fn standard_view() -> Arc<dyn Relation> {
    View::of(parameters)
        .nullable("SPECIFIC_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("SPECIFIC_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.module.schema_id)))
        .field("SPECIFIC_NAME", SYSNAME, |it, _| text(&it.module.name))
        .field("ORDINAL_POSITION", INT, |it, _| int(it.position))
        .nullable("PARAMETER_MODE", nvarchar(10), |it, _| {
            text(match (it.position, it.output) {
                (0, _) => "OUT",
                (_, true) => "INOUT",
                (_, false) => "IN",
            })
        })
        .nullable("IS_RESULT", nvarchar(10), |it, _| text(if it.position == 0 { "YES" } else { "NO" }))
        .always("AS_LOCATOR", nvarchar(10), text("NO"))
        .nullable("PARAMETER_NAME", SYSNAME, |it, _| text(&it.name))
        .nullable("DATA_TYPE", NAME, |it, _| {
            text(it.sql_type.map_or("table type", super::information_schema::data_type))
        })
        .nullable("CHARACTER_MAXIMUM_LENGTH", INT, |it, _| {
            it.sql_type.and_then(super::information_schema::characters).map_or(Value::Null, int)
        })
        .nulls(varchar(3), &["COLLATION_CATALOG", "COLLATION_SCHEMA"])
        .build()
}

pub fn views() -> Vec<Named> {
    vec![
        ("sys", "parameters", view()),
        ("sys", "all_parameters", view()),
        ("INFORMATION_SCHEMA", "PARAMETERS", standard_view()),
    ]
}
