//! `sp_addextendedproperty` and its kin.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{
    Catalog, DatabaseId, IndexId, Module, ModuleKind, Object, ObjectId, Property, PropertyClass, PropertyOwner,
    SchemaId, Table,
};
use crate::value::collation::equal;
use crate::value::{Length, SqlType, Value, convert};

use super::super::state::Execution;
use super::constraint::constraint_named;
use super::procedure::{Given, argument};
use super::{target, transaction};

/// What is done with a property.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    Add,
    Update,
    Drop,
}

/// A property's value has this many bytes at most.
const VALUE: SqlType = SqlType::NVarChar(Length::Limited(3750));

/// `sp_addextendedproperty 'MS_Description', 'What it is', 'SCHEMA', 'dbo', 'TABLE', 't', 'COLUMN', 'c'`.
///
/// # Errors
/// 15135 where the object isn't there, 15233 where the property is there already, 15217 where it isn't.
pub fn change(execution: &mut Execution<'_>, manner: Manner, given: &[Given]) -> SqlResult<()> {
    // A drop has no value, so that what follows stands one place further on.
    let first = if manner == Manner::Drop { 1 } else { 2 };
    let text = |name: &str, at: usize| {
        argument(given, name, at).and_then(Value::as_text).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let name = text("@name", 0).ok_or_else(|| SqlError::parameter_missing("sp_addextendedproperty", "@name"))?;
    let level = |level: usize| {
        let at = first + 2 * level;
        Some((text(&format!("@level{level}type"), at)?, text(&format!("@level{level}name"), at + 1)?))
    };
    let levels: Vec<(String, String)> = (0..3).map_while(level).collect();
    let value = given.iter().find(|given| given.name.as_deref().is_some_and(|own| equal(own, "@value")));
    let value = value.or_else(|| given.get(1).filter(|given| given.name.is_none() && manner != Manner::Drop));
    let value = match value.and_then(|given| given.value.as_ref()) {
        Some((value, from)) if from.is_character() => convert::convert(value, *from, VALUE, None)?,
        Some((value, _)) => value.clone(),
        None => Value::Null,
    };
    transaction::atomic(execution, |execution| {
        let database = execution.state.database;
        target::check_definer(execution.state, database)?;
        let owner = owner_of(execution, database, &levels)?;
        execution.state.transaction().edit_catalog(database, |catalog| {
            match (manner, catalog.property(owner, &name).is_some()) {
                (Manner::Add, true) => Err(property_exists(&name, &levels)),
                (Manner::Update | Manner::Drop, false) => Err(no_property(&name, &levels)),
                (Manner::Drop, true) => {
                    catalog.remove_property(owner, &name);
                    Ok(())
                }
                (Manner::Add, false) | (Manner::Update, true) => {
                    catalog.put_property(Property { owner, name: Arc::from(name.as_str()), value });
                    Ok(())
                }
            }
        })
    })
}

fn path(levels: &[(String, String)]) -> String {
    let names: Vec<&str> = levels.iter().map(|(_, name)| name.as_str()).collect();
    if names.is_empty() { "object specified".to_owned() } else { names.join(".") }
}

fn property_exists(name: &str, levels: &[(String, String)]) -> SqlError {
    let text = format!("Property cannot be added. Property '{name}' already exists for '{}'.", path(levels));
    SqlError::new(15_233, 16, text)
}

fn no_property(name: &str, levels: &[(String, String)]) -> SqlError {
    let text =
        format!("Property cannot be updated or deleted. Property '{name}' does not exist for '{}'.", path(levels));
    SqlError::new(15_217, 16, text)
}

fn owner_of(execution: &Execution<'_>, database: DatabaseId, levels: &[(String, String)]) -> SqlResult<PropertyOwner> {
    let refused = || {
        let text = format!(
            "Object is invalid. Extended properties are not permitted on '{}', or the object does not exist.",
            path(levels)
        );
        SqlError::new(15_135, 16, text)
    };
    let catalog = execution.state.catalog(database)?;
    let owner = |class, major_id, minor_id| PropertyOwner { class, major_id, minor_id };
    let Some(((kind, schema), below)) = levels.split_first() else {
        return Ok(owner(PropertyClass::Database, 0, 0));
    };
    if !equal(kind, "SCHEMA") {
        return Err(SqlError::unsupported(format!("extended properties of {kind}")));
    }
    let schema = catalog.schema_named(schema).ok_or_else(refused)?.schema_id;
    let Some(((kind, name), below)) = below.split_first() else {
        return Ok(owner(PropertyClass::Schema, schema.0, 0));
    };
    let object = object_of(&catalog, schema, kind, name).ok_or_else(refused)?;
    let own = match &object {
        Object::Table(table) => table.object_id,
        Object::Module(module) => module.object_id,
    };
    let Some((kind, name)) = below.first() else {
        let class = if equal(kind, "TYPE") { PropertyClass::Type } else { PropertyClass::ObjectOrColumn };
        return Ok(owner(class, own.0, 0));
    };
    part_of(&catalog, &object, own, kind, name).ok_or_else(refused)
}

fn object_of(catalog: &Catalog, schema: SchemaId, kind: &str, name: &str) -> Option<Object> {
    let object = catalog.object_named(schema, name)?;
    let fits = match &object {
        Object::Table(_) => equal(kind, "TABLE"),
        Object::Module(module) => equal(
            kind,
            match module.kind {
                ModuleKind::View => "VIEW",
                ModuleKind::Procedure => "PROCEDURE",
                ModuleKind::ScalarFunction | ModuleKind::InlineFunction | ModuleKind::TableFunction => "FUNCTION",
                ModuleKind::Synonym => "SYNONYM",
                ModuleKind::Sequence => "SEQUENCE",
                ModuleKind::Type => "TYPE",
                ModuleKind::Trigger => return None,
            },
        ),
    };
    fits.then_some(object)
}

/// A column, constraint, index, trigger or parameter.
fn part_of(catalog: &Catalog, object: &Object, own: ObjectId, kind: &str, name: &str) -> Option<PropertyOwner> {
    let of_object =
        |id: ObjectId, minor_id| Some(PropertyOwner { class: PropertyClass::ObjectOrColumn, major_id: id.0, minor_id });
    match (kind.to_ascii_uppercase().as_str(), object) {
        ("COLUMN", Object::Table(table)) => of_object(own, table.column_named(name)?.column_id.0),
        ("COLUMN", Object::Module(module)) => {
            let column = module.signature.columns.iter().find(|column| equal(&column.name, name))?;
            of_object(own, column.column_id.0)
        }
        ("CONSTRAINT", Object::Table(table)) => of_object(constraint_named(table, name)?, 0),
        ("INDEX", Object::Table(table)) => index_of(table, own, name),
        ("TRIGGER", Object::Table(_)) => of_object(trigger_of(catalog, own, name)?.object_id, 0),
        ("PARAMETER", Object::Module(module)) => {
            let at = module.signature.parameters.iter().position(|parameter| equal(&parameter.name, name))?;
            let minor_id = i32::try_from(at + 1).ok()?;
            Some(PropertyOwner { class: PropertyClass::Parameter, major_id: own.0, minor_id })
        }
        _ => None,
    }
}

fn index_of(table: &Table, own: ObjectId, name: &str) -> Option<PropertyOwner> {
    let IndexId(minor_id) = table.index_named(name)?.index_id;
    Some(PropertyOwner { class: PropertyClass::Index, major_id: own.0, minor_id })
}

fn trigger_of<'c>(catalog: &'c Catalog, table: ObjectId, name: &str) -> Option<&'c Arc<Module>> {
    catalog.modules().find(|module| {
        let of_table = module.signature.trigger.as_ref().is_some_and(|(own, _)| *own == table);
        of_table && equal(&module.name, name)
    })
}
