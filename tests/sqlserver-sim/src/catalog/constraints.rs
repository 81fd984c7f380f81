//! Constraints: keys, foreign keys, checks and defaults.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{Check, Column, ColumnId, ForeignKey, Index, ReferentialAction, Table};
use crate::value::Value;

use super::Named;
use super::objects::{self, Described};
use super::scope::Scope;
use super::view::{BIT, INT, TEXT, TINYINT, View, bit, count, int, nvarchar, optional_text, text};

/// Gives each constraint of each table its row of `sys.objects`.
fn described<T>(scope: &Scope<'_>, of: impl Fn(&Arc<Table>) -> Vec<(objects::Object, T)>) -> Vec<Described<T>> {
    let tables = scope.tables();
    let constraints = tables.iter().flat_map(of);
    constraints.map(|(object, thing)| Described { object, thing }).collect()
}

fn keys(scope: &Scope<'_>) -> Vec<Described<Index>> {
    described(scope, |table| {
        let constraints = table.indexes.iter().filter_map(|index| Some((index, index.constraint.as_ref()?)));
        let keys = constraints.map(|(index, constraint)| {
            let kind = if constraint.primary { objects::PRIMARY_KEY } else { objects::UNIQUE };
            (objects::of_constraint(table, constraint.object_id, &index.name, kind), index.clone())
        });
        keys.collect()
    })
}

fn foreign_keys(scope: &Scope<'_>) -> Vec<Described<ForeignKey>> {
    described(scope, |table| {
        let keys = table.foreign_keys.iter();
        keys.map(|key| (objects::of_constraint(table, key.object_id, &key.name, objects::FOREIGN_KEY), key.clone()))
            .collect()
    })
}

fn checks(scope: &Scope<'_>) -> Vec<Described<Check>> {
    described(scope, |table| {
        let checks = table.checks.iter();
        checks
            .map(|check| (objects::of_constraint(table, check.object_id, &check.name, objects::CHECK), check.clone()))
            .collect()
    })
}

fn defaults(scope: &Scope<'_>) -> Vec<Described<Column>> {
    described(scope, |table| {
        let columns = table.columns.iter().filter_map(|column| Some((column, column.default.as_ref()?)));
        let defaults = columns.map(|(column, default)| {
            (objects::of_constraint(table, default.object_id, &default.name, objects::DEFAULT), column.clone())
        });
        defaults.collect()
    })
}

fn action(action: ReferentialAction) -> (u8, &'static str) {
    match action {
        ReferentialAction::NoAction => (0, "NO_ACTION"),
        ReferentialAction::Cascade => (1, "CASCADE"),
        ReferentialAction::SetNull => (2, "SET_NULL"),
        ReferentialAction::SetDefault => (3, "SET_DEFAULT"),
    }
}

/// The index of the table that a foreign key points to.
fn referenced_index(key: &ForeignKey, scope: &Scope<'_>) -> i32 {
    let table = scope.catalog().table(key.referenced_table);
    let index = table.and_then(|table| {
        let unique = table.indexes.iter().filter(|index| index.unique);
        unique
            .into_iter()
            .find(|index| index.key.iter().map(|key| key.column_id).eq(key.referenced_columns.iter().copied()))
    });
    index.map_or(0, |index| index.index_id.0)
}

/// Whether the server made a constraint's name: those end in two underscores and digits.
fn is_made(name: &str) -> bool {
    let digits = name.rsplit_once("__").map_or("", |(_, digits)| digits);
    matches!(digits.len(), 8 | 16) && digits.chars().all(|digit| digit.is_ascii_hexdigit() && !digit.is_lowercase())
}

fn keys_view() -> Arc<dyn Relation> {
    objects::view_of(keys)
        .nullable("unique_index_id", INT, |it, _| int(it.thing.index_id.0))
        .field("is_system_named", BIT, |it, _| bit(is_made(&it.object.name)))
        .always("is_enforced", BIT, bit(true))
        .build()
}

fn foreign_keys_view() -> Arc<dyn Relation> {
    objects::view_of(foreign_keys)
        .nullable("referenced_object_id", INT, |it, _| int(it.thing.referenced_table.0))
        .nullable("key_index_id", INT, |it, scope| int(referenced_index(&it.thing, scope)))
        .field("is_disabled", BIT, |it, _| bit(it.thing.disabled))
        .unset(&["is_not_for_replication"])
        .field("is_not_trusted", BIT, |it, _| bit(it.thing.disabled))
        .nullable("delete_referential_action", TINYINT, |it, _| Value::TinyInt(action(it.thing.on_delete).0))
        .nullable("delete_referential_action_desc", nvarchar(60), |it, _| text(action(it.thing.on_delete).1))
        .nullable("update_referential_action", TINYINT, |it, _| Value::TinyInt(action(it.thing.on_update).0))
        .nullable("update_referential_action_desc", nvarchar(60), |it, _| text(action(it.thing.on_update).1))
        .field("is_system_named", BIT, |it, _| bit(is_made(&it.object.name)))
        .build()
}

/// A column of a foreign key with the one that it points to.
struct Pair {
    key: Described<ForeignKey>,
    /// From 1.
    position: usize,
    column: ColumnId,
    referenced: ColumnId,
}

fn pairs(scope: &Scope<'_>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for key in foreign_keys(scope) {
        let columns = key.thing.columns.iter().zip(&key.thing.referenced_columns).enumerate();
        for (position, (column, referenced)) in columns {
            let key = Described { object: key.object.clone(), thing: key.thing.clone() };
            pairs.push(Pair { key, position: position + 1, column: *column, referenced: *referenced });
        }
    }
    pairs
}

fn pairs_view() -> Arc<dyn Relation> {
    View::of(pairs)
        .field("constraint_object_id", INT, |it, _| int(it.key.object.id.0))
        .field("constraint_column_id", INT, |it, _| count(it.position))
        .field("parent_object_id", INT, |it, _| int(it.key.object.parent.map_or(0, |table| table.0)))
        .field("parent_column_id", INT, |it, _| int(it.column.0))
        .field("referenced_object_id", INT, |it, _| int(it.key.thing.referenced_table.0))
        .field("referenced_column_id", INT, |it, _| int(it.referenced.0))
        .build()
}

fn checks_view() -> Arc<dyn Relation> {
    objects::view_of(checks)
        .field("is_disabled", BIT, |it, _| bit(it.thing.disabled))
        .unset(&["is_not_for_replication"])
        .field("is_not_trusted", BIT, |it, _| bit(it.thing.disabled))
        .always("parent_column_id", INT, int(0))
        .nullable("definition", TEXT, |it, _| text(&it.thing.definition))
        .always("uses_database_collation", BIT, bit(true))
        .field("is_system_named", BIT, |it, _| bit(is_made(&it.object.name)))
        .build()
}

fn defaults_view() -> Arc<dyn Relation> {
    objects::view_of(defaults)
        .field("parent_column_id", INT, |it, _| int(it.thing.column_id.0))
        .nullable("definition", TEXT, |it, _| {
            optional_text(it.thing.default.as_ref().map(|default| &*default.definition))
        })
        .field("is_system_named", BIT, |it, _| bit(is_made(&it.object.name)))
        .build()
}

pub fn views() -> Vec<Named> {
    vec![
        ("sys", "key_constraints", keys_view()),
        ("sys", "foreign_keys", foreign_keys_view()),
        ("sys", "foreign_key_columns", pairs_view()),
        ("sys", "check_constraints", checks_view()),
        ("sys", "default_constraints", defaults_view()),
    ]
}
