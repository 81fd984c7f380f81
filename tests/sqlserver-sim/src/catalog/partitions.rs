//! Partition functions, their boundaries, and schemes.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{PartitionFunction, PartitionScheme};
use crate::value::{SqlType, Value};

use super::Named;
use super::scope::Scope;
use super::view::{BIT, INT, SMALLINT, SYSNAME, TINYINT, View, bit, count, int, nvarchar, text};

/// Schemes and functions have numbers of their own, which begin here.
const FIRST_ID: i32 = 65_536;

fn functions(scope: &Scope<'_>) -> Vec<(i32, Arc<PartitionFunction>)> {
    (FIRST_ID..).zip(scope.catalog().partition_functions().cloned()).collect()
}

fn schemes(scope: &Scope<'_>) -> Vec<(i32, Arc<PartitionScheme>)> {
    (FIRST_ID + 1..).zip(scope.catalog().partition_schemes().cloned()).collect()
}

/// The number of the scheme that a table lies on.
pub fn scheme_id(scope: &Scope<'_>, name: &str) -> Option<i32> {
    schemes(scope).into_iter().find(|(_, scheme)| crate::value::collation::equal(&scheme.name, name)).map(|(id, _)| id)
}

fn function_id(scope: &Scope<'_>, name: &str) -> i32 {
    let named = |(_, function): &(i32, Arc<PartitionFunction>)| crate::value::collation::equal(&function.name, name);
    functions(scope).into_iter().find(named).map_or(0, |(id, _)| id)
}

fn functions_view() -> Arc<dyn Relation> {
    View::of(functions)
        .field("name", SYSNAME, |(_, it), _| text(&it.name))
        .field("function_id", INT, |(id, _), _| int(*id))
        .always("type", SqlType::Char(2), text("R "))
        .always("type_desc", nvarchar(60), text("RANGE"))
        .field("fanout", INT, |(_, it), _| count(it.count()))
        .field("boundary_value_on_right", BIT, |(_, it), _| bit(it.right))
        .unset(&["is_system"])
        .build()
}

fn parameters_view() -> Arc<dyn Relation> {
    View::of(functions)
        .field("function_id", INT, |(id, _), _| int(*id))
        .always("parameter_id", INT, int(1))
        .field("system_type_id", TINYINT, |(_, it), _| Value::TinyInt(it.sql_type.system_type_id()))
        .field("max_length", SMALLINT, |(_, it), _| Value::SmallInt(it.sql_type.max_length()))
        .field("precision", TINYINT, |(_, it), _| Value::TinyInt(it.sql_type.precision()))
        .field("scale", TINYINT, |(_, it), _| Value::TinyInt(it.sql_type.scale()))
        .nulls(SYSNAME, &["collation_name"])
        .field("user_type_id", INT, |(_, it), _| int(it.sql_type.user_type_id()))
        .build()
}

fn boundaries(scope: &Scope<'_>) -> Vec<(i32, usize, Value)> {
    let mut boundaries = Vec::new();
    for (id, function) in functions(scope) {
        boundaries.extend(function.boundaries.iter().enumerate().map(|(at, value)| (id, at + 1, value.clone())));
    }
    boundaries
}

fn boundaries_view() -> Arc<dyn Relation> {
    View::of(boundaries)
        .field("function_id", INT, |(id, ..), _| int(*id))
        .field("boundary_id", INT, |(_, at, _), _| count(*at))
        .always("parameter_id", INT, int(1))
        .nullable("value", SqlType::Variant, |(.., value), _| value.clone())
        .build()
}

fn schemes_view() -> Arc<dyn Relation> {
    View::of(schemes)
        .field("name", SYSNAME, |(_, it), _| text(&it.name))
        .field("data_space_id", INT, |(id, _), _| int(*id))
        .always("type", SqlType::Char(2), text("PS"))
        .always("type_desc", nvarchar(60), text("PARTITION_SCHEME"))
        .unset(&["is_default", "is_system"])
        .field("function_id", INT, |(_, it), scope| int(function_id(scope, &it.function)))
        .build()
}

pub fn views() -> Vec<Named> {
    vec![
        ("sys", "partition_functions", functions_view()),
        ("sys", "partition_parameters", parameters_view()),
        ("sys", "partition_range_values", boundaries_view()),
        ("sys", "partition_schemes", schemes_view()),
    ]
}
