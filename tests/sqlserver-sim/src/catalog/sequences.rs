//! `sys.sequences`.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{Module, ModuleKind, Sequence};
use crate::value::{SqlType, Value, convert};

use super::Named;
use super::objects::{self, Described};
use super::scope::Scope;
use super::view::{BIT, INT, TINYINT, bit, int};

type Known = (Arc<Module>, Sequence);

fn sequences(scope: &Scope<'_>) -> Vec<Described<Known>> {
    let modules = objects::modules_of(scope, |kind| kind == ModuleKind::Sequence).into_iter();
    let known = modules.filter_map(|it| {
        let sequence = Sequence::read(&it.thing.definition)?;
        Some(Described { object: it.object, thing: (it.thing, sequence) })
    });
    known.collect()
}

fn sql_type(known: &Known) -> SqlType {
    known.0.signature.returns.unwrap_or(SqlType::BigInt)
}

/// A number in the sequence's type, as a variant holds it.
fn number(known: &Known, number: i128) -> Value {
    convert::integer(number, sql_type(known)).unwrap_or(Value::Null)
}

/// What was given last, or what will be given first.
fn current(known: &Known, scope: &Scope<'_>) -> Value {
    let last = scope.storage().settings().sequence_last((scope.database(), known.0.object_id));
    number(known, last.unwrap_or(known.1.start))
}

fn view() -> Arc<dyn Relation> {
    objects::view_of(sequences)
        .field("start_value", SqlType::Variant, |it, _| number(&it.thing, it.thing.1.start))
        .field("increment", SqlType::Variant, |it, _| number(&it.thing, it.thing.1.increment))
        .nullable("minimum_value", SqlType::Variant, |it, _| number(&it.thing, it.thing.1.minimum))
        .nullable("maximum_value", SqlType::Variant, |it, _| number(&it.thing, it.thing.1.maximum))
        .nullable("is_cycling", BIT, |it, _| bit(it.thing.1.cycle))
        .always("is_cached", BIT, bit(true))
        .nulls(INT, &["cache_size"])
        .field("system_type_id", TINYINT, |it, _| Value::TinyInt(sql_type(&it.thing).system_type_id()))
        .field("user_type_id", INT, |it, _| int(sql_type(&it.thing).user_type_id()))
        .field("precision", TINYINT, |it, _| Value::TinyInt(sql_type(&it.thing).precision()))
        .nullable("scale", TINYINT, |it, _| Value::TinyInt(sql_type(&it.thing).scale()))
        .field("current_value", SqlType::Variant, |it, scope| current(&it.thing, scope))
        .field("is_exhausted", BIT, |it, scope| {
            let last = scope.storage().settings().sequence_last((scope.database(), it.thing.0.object_id));
            bit(it.thing.1.after(last).is_none())
        })
        .nullable("last_used_value", SqlType::Variant, |it, scope| {
            let last = scope.storage().settings().sequence_last((scope.database(), it.thing.0.object_id));
            last.map_or(Value::Null, |last| number(&it.thing, last))
        })
        .build()
}

pub fn views() -> Vec<Named> {
    vec![("sys", "sequences", view())]
}
