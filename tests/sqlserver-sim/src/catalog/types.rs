//! Types: those of the server, and those that users have made.

use std::sync::Arc;

use crate::storage::{Module, ModuleKind};
use crate::value::{Length, SqlType, Value};

use super::Named;
use super::columns::COLLATION;
use super::scope::Scope;
use super::view::{BIT, INT, SMALLINT, SYSNAME, TINYINT, View, bit, int, optional_text, text};

/// Every type that there is, with the lengths that its declaration may have at most.
pub const TYPES: [SqlType; 34] = [
    SqlType::Image,
    SqlType::Text,
    SqlType::UniqueIdentifier,
    SqlType::Date,
    SqlType::Time(7),
    SqlType::DateTime2(7),
    SqlType::DateTimeOffset(7),
    SqlType::TinyInt,
    SqlType::SmallInt,
    SqlType::Int,
    SqlType::SmallDateTime,
    SqlType::Real,
    SqlType::Money,
    SqlType::DateTime,
    SqlType::Float,
    SqlType::Variant,
    SqlType::NText,
    SqlType::Bit,
    SqlType::Decimal { precision: 38, scale: 38 },
    SqlType::Numeric { precision: 38, scale: 38 },
    SqlType::SmallMoney,
    SqlType::BigInt,
    SqlType::HierarchyId,
    SqlType::Geometry,
    SqlType::Geography,
    SqlType::VarBinary(Length::Limited(8000)),
    SqlType::VarChar(Length::Limited(8000)),
    SqlType::Binary(8000),
    SqlType::Char(8000),
    SqlType::RowVersion,
    SqlType::NVarChar(Length::Limited(4000)),
    SqlType::NChar(4000),
    SqlType::Xml,
    SqlType::SysName,
];

/// A type of the server, another name that a user gave one, or a type of tables.
enum Type {
    System(SqlType),
    Alias(Arc<Module>, SqlType),
    Table(Arc<Module>),
}

/// `table type`, as the server numbers it.
pub const TABLE_TYPE: u8 = 243;

impl Type {
    fn of(module: Arc<Module>) -> Self {
        match module.signature.returns {
            Some(base) => Self::Alias(module, base),
            None => Self::Table(module),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::System(sql_type) => sql_type.name(),
            Self::Alias(module, _) | Self::Table(module) => &module.name,
        }
    }

    /// What it is made of; None for tables.
    fn base(&self) -> Option<SqlType> {
        match self {
            Self::System(base) | Self::Alias(_, base) => Some(*base),
            Self::Table(_) => None,
        }
    }

    fn module(&self) -> Option<&Module> {
        match self {
            Self::System(_) => None,
            Self::Alias(module, _) | Self::Table(module) => Some(module),
        }
    }

    /// Types of users are numbered as objects are.
    fn user_type_id(&self) -> i32 {
        match self {
            Self::System(sql_type) => sql_type.user_type_id(),
            Self::Alias(module, _) | Self::Table(module) => module.object_id.0,
        }
    }
}

fn of_users(scope: &Scope<'_>) -> impl Iterator<Item = Type> {
    scope.modules().into_iter().filter(|module| module.kind == ModuleKind::Type).map(Type::of)
}

fn all(scope: &Scope<'_>) -> Vec<Type> {
    TYPES.into_iter().map(Type::System).chain(of_users(scope)).collect()
}

fn of_tables(scope: &Scope<'_>) -> Vec<Type> {
    of_users(scope).filter(|it| it.base().is_none()).collect()
}

fn view_of(things: for<'a> fn(&Scope<'a>) -> Vec<Type>) -> View<Type> {
    View::of(things)
        .field("name", SYSNAME, |it, _| text(it.name()))
        .field("system_type_id", TINYINT, |it, _| Value::TinyInt(it.base().map_or(TABLE_TYPE, SqlType::system_type_id)))
        .field("user_type_id", INT, |it, _| int(it.user_type_id()))
        .field("schema_id", INT, |it, _| int(it.module().map_or(4, |module| module.schema_id.0)))
        .nulls(INT, &["principal_id"])
        .field("max_length", SMALLINT, |it, _| Value::SmallInt(it.base().map_or(-1, SqlType::max_length)))
        .field("precision", TINYINT, |it, _| Value::TinyInt(it.base().map_or(0, SqlType::precision)))
        .field("scale", TINYINT, |it, _| Value::TinyInt(it.base().map_or(0, SqlType::scale)))
        .nullable("collation_name", SYSNAME, |it, _| {
            optional_text(it.base().is_some_and(SqlType::is_character).then_some(COLLATION))
        })
        .nullable("is_nullable", BIT, |it, _| {
            bit(!matches!(it, Type::System(SqlType::SysName | SqlType::RowVersion) | Type::Table(_)))
        })
        .field("is_user_defined", BIT, |it, _| bit(it.module().is_some()))
        .field("is_assembly_type", BIT, |it, _| {
            bit(matches!(it, Type::System(SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography)))
        })
        .always("default_object_id", INT, int(0))
        .always("rule_object_id", INT, int(0))
        .field("is_table_type", BIT, |it, _| bit(it.base().is_none()))
}

pub fn views() -> Vec<Named> {
    // The columns of a type of tables are found under the type's own number.
    let tables = view_of(of_tables).field("type_table_object_id", INT, |it, _| int(it.user_type_id())).nullable(
        "is_memory_optimized",
        BIT,
        |_, _| bit(false),
    );
    vec![("sys", "types", view_of(all).build()), ("sys", "table_types", tables.build())]
}
