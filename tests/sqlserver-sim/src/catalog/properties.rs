//! `sys.extended_properties`.

use std::collections::HashSet;
use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{Property, PropertyClass};
use crate::value::{SqlType, Value};

use super::Named;
use super::objects;
use super::scope::Scope;
use super::view::{INT, SYSNAME, TINYINT, View, int, nvarchar, text};

/// Those of things that are still there and that the session may see.
fn properties(scope: &Scope<'_>) -> Vec<Arc<Property>> {
    let mut objects: HashSet<i32> = objects::all(scope).into_iter().map(|object| object.id.0).collect();
    objects.extend(scope.modules().iter().map(|module| module.object_id.0));
    let is_there = |property: &&Arc<Property>| {
        let owner = property.owner;
        match owner.class {
            PropertyClass::Database => true,
            PropertyClass::Schema => scope.catalog().schemas().any(|schema| schema.schema_id.0 == owner.major_id),
            PropertyClass::Parameter | PropertyClass::Type => objects.contains(&owner.major_id),
            PropertyClass::ObjectOrColumn | PropertyClass::Index => {
                let table = scope.catalog().tables().find(|table| table.object_id.0 == owner.major_id);
                objects.contains(&owner.major_id)
                    && table.is_none_or(|table| {
                        owner.minor_id == 0
                            || table.columns.iter().any(|column| column.column_id.0 == owner.minor_id)
                            || table.indexes.iter().any(|index| index.index_id.0 == owner.minor_id)
                    })
            }
        }
    };
    scope.catalog().properties().filter(is_there).cloned().collect()
}

fn class(property: &Property) -> (u8, &'static str) {
    match property.owner.class {
        PropertyClass::Database => (0, "DATABASE"),
        PropertyClass::ObjectOrColumn => (1, "OBJECT_OR_COLUMN"),
        PropertyClass::Parameter => (2, "PARAMETER"),
        PropertyClass::Schema => (3, "SCHEMA"),
        PropertyClass::Type => (6, "TYPE"),
        PropertyClass::Index => (7, "INDEX"),
    }
}

fn view() -> Arc<dyn Relation> {
    View::of(properties)
        .field("class", TINYINT, |it, _| Value::TinyInt(class(it).0))
        .nullable("class_desc", nvarchar(60), |it, _| text(class(it).1))
        .field("major_id", INT, |it, _| int(it.owner.major_id))
        .field("minor_id", INT, |it, _| int(it.owner.minor_id))
        .field("name", SYSNAME, |it, _| text(&it.name))
        .nullable("value", SqlType::Variant, |it, _| it.value.clone())
        .build()
}

pub fn views() -> Vec<Named> {
    vec![("sys", "extended_properties", view())]
}
