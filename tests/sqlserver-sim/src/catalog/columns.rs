//! Columns and their types.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{Column, Module, ModuleKind, SystemTime, Table};
use crate::value::{SqlType, Value};

use super::Named;
use super::scope::Scope;
use super::view::{BIT, INT, SMALLINT, SYSNAME, TEXT, TINYINT, View, bit, int, nvarchar, optional_text, text};

/// The collation of the server and all databases.
pub const COLLATION: &str = "SQL_Latin1_General_CP1_CI_AS";

/// A column of a table, or of a view or function, which stands as a table without anything else then.
pub struct TableColumn {
    pub table: Arc<Table>,
    /// Among the table's columns as they are now, from 0.
    pub position: usize,
    pub column: Column,
}

fn columns_of(table: &Arc<Table>) -> impl Iterator<Item = TableColumn> {
    let columns = table.columns.iter().enumerate();
    columns.map(|(position, column)| TableColumn { table: Arc::clone(table), position, column: column.clone() })
}

/// A module as a table of its columns.
fn as_table(module: &Module) -> Arc<Table> {
    let mut table = Table::new(module.schema_id, &module.name);
    table.object_id = module.object_id;
    table.columns.clone_from(&module.signature.columns);
    Arc::new(table)
}

/// The columns of every table and view that the session may see.
pub fn of_tables_and_views(scope: &Scope<'_>) -> Vec<TableColumn> {
    let views = scope.modules().into_iter().filter(|module| module.kind == ModuleKind::View);
    let views = views.map(|view| as_table(&view));
    scope.tables().into_iter().chain(views).flat_map(|table| columns_of(&table).collect::<Vec<_>>()).collect()
}

/// The columns of everything that has some and that the session may see.
fn all(scope: &Scope<'_>) -> Vec<TableColumn> {
    // Functions, and types of tables.
    let functions = scope.modules().into_iter();
    let functions = functions
        .filter(|module| module.kind != ModuleKind::View)
        .flat_map(|function| columns_of(&as_table(&function)).collect::<Vec<_>>());
    let mut columns = of_tables_and_views(scope);
    columns.extend(functions);
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
        .field("is_column_set", BIT, |it, _| bit(it.column.column_set))
        .nullable("generated_always_type", TINYINT, |it, _| Value::TinyInt(generated(it).0))
        .nullable("generated_always_type_desc", nvarchar(60), |it, _| text(generated(it).1))
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

/// Which end of a system-versioned table's period a column is.
fn generated(it: &TableColumn) -> (u8, &'static str) {
    match &it.table.system_time {
        Some(period) if period.start == it.column.column_id => (1, "AS_ROW_START"),
        Some(period) if period.end == it.column.column_id => (2, "AS_ROW_END"),
        _ => (0, "NOT_APPLICABLE"),
    }
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

fn masked_columns_view() -> Arc<dyn Relation> {
    of_columns(|_| Vec::new()).unset(&["is_computed", "is_masked"]).nulls(nvarchar(4000), &["masking_function"]).build()
}

fn periods(scope: &Scope<'_>) -> Vec<(Arc<Table>, SystemTime)> {
    let tables = scope.tables().into_iter();
    tables.filter_map(|table| Some((Arc::clone(&table), table.system_time.clone()?))).collect()
}

fn periods_view() -> Arc<dyn Relation> {
    View::of(periods)
        .always("name", SYSNAME, text("SYSTEM_TIME"))
        .always("period_type", TINYINT, Value::TinyInt(1))
        .always("period_type_desc", nvarchar(60), text("SYSTEM_TIME_PERIOD"))
        .field("object_id", INT, |(table, _), _| int(table.object_id.0))
        .field("start_column_id", INT, |(_, period), _| int(period.start.0))
        .field("end_column_id", INT, |(_, period), _| int(period.end.0))
        .build()
}

pub fn views() -> Vec<Named> {
    vec![
        ("sys", "columns", columns_view()),
        ("sys", "all_columns", columns_view()),
        ("sys", "identity_columns", identities_view()),
        ("sys", "computed_columns", computed_view()),
        ("sys", "masked_columns", masked_columns_view()),
        ("sys", "syscolumns", old_columns_view()),
        ("sys", "periods", periods_view()),
    ]
}
