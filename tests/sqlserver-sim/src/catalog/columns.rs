//! Columns and their types.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{Column, Table};
use crate::value::{Length, SqlType, Value};

use super::Named;
use super::scope::Scope;
use super::view::{BIT, INT, SMALLINT, SYSNAME, TEXT, TINYINT, View, bit, int, nvarchar, optional_text, text};

/// The collation of the server and all databases.
pub const COLLATION: &str = "SQL_Latin1_General_CP1_CI_AS";

/// A column of a table.
pub struct TableColumn {
    pub table: Arc<Table>,
    /// Among the table's columns as they are now, from 0.
    pub position: usize,
    pub column: Column,
}

/// The columns of every table that the session may see.
pub fn all(scope: &Scope<'_>) -> Vec<TableColumn> {
    let mut columns = Vec::new();
    for table in scope.tables() {
        for (position, column) in table.columns.iter().enumerate() {
            columns.push(TableColumn { table: Arc::clone(&table), position, column: column.clone() });
        }
    }
    columns
}

fn identities(scope: &Scope<'_>) -> Vec<TableColumn> {
    all(scope).into_iter().filter(|it| it.column.identity.is_some()).collect()
}

fn computed(scope: &Scope<'_>) -> Vec<TableColumn> {
    all(scope).into_iter().filter(|it| it.column.computed.is_some()).collect()
}

pub fn collation(column: &Column) -> Option<&str> {
    column.sql_type.is_character().then(|| column.collation.as_deref().unwrap_or(COLLATION))
}

fn is_padded(sql_type: SqlType) -> bool {
    sql_type.is_character()
        || matches!(sql_type, SqlType::Binary(_) | SqlType::VarBinary(_) | SqlType::Image | SqlType::Variant)
}

/// The columns of `sys.columns`, with which the views of some of them begin.
fn of_columns(things: for<'a> fn(&Scope<'a>) -> Vec<TableColumn>) -> View<TableColumn> {
    View::of(things)
        .field("object_id", INT, |it, _| int(it.table.object_id.0))
        .nullable("name", SYSNAME, |it, _| text(&it.column.name))
        .field("column_id", INT, |it, _| int(it.column.column_id.0))
        .field("system_type_id", TINYINT, |it, _| Value::TinyInt(it.column.sql_type.system_type_id()))
        .field("user_type_id", INT, |it, _| int(it.column.sql_type.user_type_id()))
        .field("max_length", SMALLINT, |it, _| Value::SmallInt(it.column.sql_type.max_length()))
        .field("precision", TINYINT, |it, _| Value::TinyInt(it.column.sql_type.precision()))
        .field("scale", TINYINT, |it, _| Value::TinyInt(it.column.sql_type.scale()))
        .nullable("collation_name", SYSNAME, |it, _| optional_text(collation(&it.column)))
        .nullable("is_nullable", BIT, |it, _| bit(it.column.nullable))
        .field("is_ansi_padded", BIT, |it, _| bit(is_padded(it.column.sql_type)))
        .field("is_rowguidcol", BIT, |it, _| bit(it.column.row_guid))
        .field("is_identity", BIT, |it, _| bit(it.column.identity.is_some()))
}

fn columns_view() -> Arc<dyn Relation> {
    of_columns(all)
        .field("is_computed", BIT, |it, _| bit(it.column.computed.is_some()))
        .unset(&["is_filestream"])
        .field("is_replicated", BIT, |it, _| bit(it.table.tracked))
        .unset(&["is_non_sql_subscribed", "is_merge_published", "is_dts_replicated", "is_xml_document"])
        .always("xml_collection_id", INT, int(0))
        .field("default_object_id", INT, |it, _| int(it.column.default.as_ref().map_or(0, |it| it.object_id.0)))
        .always("rule_object_id", INT, int(0))
        .field("is_sparse", BIT, |it, _| bit(it.column.sparse))
        .unset(&["is_column_set"])
        .always("generated_always_type", TINYINT, Value::TinyInt(0))
        .always("generated_always_type_desc", nvarchar(60), text("NOT_APPLICABLE"))
        .nulls(INT, &["encryption_type"])
        .nulls(nvarchar(64), &["encryption_type_desc"])
        .nulls(SYSNAME, &["encryption_algorithm_name"])
        .nulls(INT, &["column_encryption_key_id"])
        .nulls(SYSNAME, &["column_encryption_key_database_name"])
        .field("is_hidden", BIT, |it, _| bit(it.column.hidden))
        .unset(&["is_masked"])
        .nulls(INT, &["graph_type"])
        .nulls(nvarchar(60), &["graph_type_desc"])
        .build()
}

fn identities_view() -> Arc<dyn Relation> {
    of_columns(identities)
        .unset(&["is_computed"])
        .nullable("seed_value", SqlType::Variant, |it, _| identity_value(it, |identity| identity.seed))
        .nullable("increment_value", SqlType::Variant, |it, _| identity_value(it, |identity| identity.increment))
        .nullable("last_value", SqlType::Variant, |it, scope| {
            let last = scope.identity_last(it.table.object_id);
            last.map_or(Value::Null, |last| of_type(last, it.column.sql_type))
        })
        .unset(&["is_not_for_replication"])
        .build()
}

fn identity_value(it: &TableColumn, part: fn(&crate::storage::Identity) -> i128) -> Value {
    it.column.identity.as_ref().map_or(Value::Null, |identity| of_type(part(identity), it.column.sql_type))
}

/// A number in the type of its column, as a variant holds it.
fn of_type(number: i128, sql_type: SqlType) -> Value {
    crate::value::convert::integer(number, sql_type).unwrap_or(Value::Null)
}

fn computed_view() -> Arc<dyn Relation> {
    of_columns(computed)
        .always("is_computed", BIT, bit(true))
        .nullable("definition", TEXT, |it, _| {
            optional_text(it.column.computed.as_ref().map(|computed| &*computed.definition))
        })
        .always("uses_database_collation", BIT, bit(true))
        .field("is_persisted", BIT, |it, _| bit(it.column.computed.as_ref().is_some_and(|it| it.persisted)))
        .build()
}

/// Every type that there is, with the lengths that its declaration may have at most.
const TYPES: [SqlType; 34] = [
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

fn types_view() -> Arc<dyn Relation> {
    View::of(|_| TYPES.to_vec())
        .field("name", SYSNAME, |it, _| text(it.name()))
        .field("system_type_id", TINYINT, |it, _| Value::TinyInt(it.system_type_id()))
        .field("user_type_id", INT, |it, _| int(it.user_type_id()))
        .always("schema_id", INT, int(4))
        .nulls(INT, &["principal_id"])
        .field("max_length", SMALLINT, |it, _| Value::SmallInt(it.max_length()))
        .field("precision", TINYINT, |it, _| Value::TinyInt(it.precision()))
        .field("scale", TINYINT, |it, _| Value::TinyInt(it.scale()))
        .nullable("collation_name", SYSNAME, |it, _| optional_text(it.is_character().then_some(COLLATION)))
        .nullable("is_nullable", BIT, |it, _| bit(!matches!(it, SqlType::SysName | SqlType::RowVersion)))
        .unset(&["is_user_defined"])
        .field("is_assembly_type", BIT, |it, _| {
            bit(matches!(it, SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography))
        })
        .always("default_object_id", INT, int(0))
        .always("rule_object_id", INT, int(0))
        .unset(&["is_table_type"])
        .build()
}

/// Old clients find the columns here.
fn old_columns_view() -> Arc<dyn Relation> {
    View::of(all)
        .nullable("name", SYSNAME, |it, _| text(&it.column.name))
        .field("id", INT, |it, _| int(it.table.object_id.0))
        .field("xtype", TINYINT, |it, _| Value::TinyInt(it.column.sql_type.system_type_id()))
        .field("xusertype", SMALLINT, |it, _| {
            Value::SmallInt(i16::try_from(it.column.sql_type.user_type_id()).unwrap_or(i16::MAX))
        })
        .field("length", SMALLINT, |it, _| Value::SmallInt(it.column.sql_type.max_length()))
        .field("colid", SMALLINT, |it, _| Value::SmallInt(i16::try_from(it.column.column_id.0).unwrap_or(i16::MAX)))
        .field("prec", SMALLINT, |it, _| Value::SmallInt(i16::from(it.column.sql_type.precision())))
        .field("scale", INT, |it, _| int(i32::from(it.column.sql_type.scale())))
        .field("iscomputed", INT, |it, _| int(i32::from(it.column.computed.is_some())))
        .field("isnullable", INT, |it, _| int(i32::from(it.column.nullable)))
        .nullable("collation", SYSNAME, |it, _| optional_text(collation(&it.column)))
        .build()
}

fn extended_properties_view() -> Arc<dyn Relation> {
    View::<()>::of(|_| Vec::new())
        .always("class", TINYINT, Value::TinyInt(1))
        .always("class_desc", nvarchar(60), text("OBJECT_OR_COLUMN"))
        .always("major_id", INT, int(0))
        .always("minor_id", INT, int(0))
        .always("name", SYSNAME, text(""))
        .always("value", SqlType::Variant, Value::Null)
        .build()
}

fn masked_columns_view() -> Arc<dyn Relation> {
    of_columns(|_| Vec::new()).unset(&["is_computed", "is_masked"]).nulls(nvarchar(4000), &["masking_function"]).build()
}

fn periods_view() -> Arc<dyn Relation> {
    View::<()>::of(|_| Vec::new())
        .always("name", SYSNAME, text(""))
        .always("period_type", TINYINT, Value::TinyInt(1))
        .always("period_type_desc", nvarchar(60), text("SYSTEM_TIME_PERIOD"))
        .always("object_id", INT, int(0))
        .always("start_column_id", INT, int(0))
        .always("end_column_id", INT, int(0))
        .build()
}

pub fn views() -> Vec<Named> {
    vec![
        ("sys", "columns", columns_view()),
        ("sys", "all_columns", columns_view()),
        ("sys", "identity_columns", identities_view()),
        ("sys", "computed_columns", computed_view()),
        ("sys", "masked_columns", masked_columns_view()),
        ("sys", "types", types_view()),
        ("sys", "syscolumns", old_columns_view()),
        ("sys", "extended_properties", extended_properties_view()),
        ("sys", "periods", periods_view()),
    ]
}
