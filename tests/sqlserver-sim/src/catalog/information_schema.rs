//! `INFORMATION_SCHEMA`: what the standard has of the catalog.

use std::sync::Arc;

use crate::engine::relation::Relation;
use crate::storage::{ForeignKey, Module, ModuleKind, ReferentialAction, Table};
use crate::value::{Length, SqlType, Value};

use super::Named;
use super::columns::{self, TableColumn};
use super::scope::Scope;
use super::view::{
    DATETIME, INT, SMALLINT, SYSNAME, TINYINT, View, count, datetime, nvarchar, optional_text, text, varchar,
};

const NAME: SqlType = nvarchar(128);

fn yes(yes: bool) -> Value {
    text(if yes { "YES" } else { "NO" })
}

/// A table or a view.
enum TableOrView {
    Table(Arc<Table>),
    View(Arc<Module>),
}

impl TableOrView {
    fn schema<'a>(&self, scope: &'a Scope<'_>) -> &'a str {
        scope.schema_name(match self {
            Self::Table(table) => table.schema_id,
            Self::View(view) => view.schema_id,
        })
    }

    fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View(view) => &view.name,
        }
    }
}

fn tables(scope: &Scope<'_>) -> Vec<TableOrView> {
    let tables = scope.tables().into_iter().map(TableOrView::Table);
    tables.chain(views_of(scope).into_iter().map(TableOrView::View)).collect()
}

fn views_of(scope: &Scope<'_>) -> Vec<Arc<Module>> {
    scope.modules().into_iter().filter(|module| module.kind == ModuleKind::View).collect()
}

fn tables_view() -> Arc<dyn Relation> {
    View::of(tables)
        .nullable("TABLE_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("TABLE_SCHEMA", SYSNAME, |it, scope| text(it.schema(scope)))
        .field("TABLE_NAME", SYSNAME, |it, _| text(it.name()))
        .nullable("TABLE_TYPE", varchar(10), |it, _| {
            text(if matches!(it, TableOrView::Table(_)) { "BASE TABLE" } else { "VIEW" })
        })
        .build()
}

fn views_view() -> Arc<dyn Relation> {
    View::of(views_of)
        .nullable("TABLE_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("TABLE_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.schema_id)))
        .field("TABLE_NAME", SYSNAME, |it, _| text(&it.name))
        .nullable("VIEW_DEFINITION", nvarchar(4000), |it, _| text(&it.definition))
        .always("CHECK_OPTION", varchar(7), text("NONE"))
        .always("IS_UPDATABLE", varchar(2), text("NO"))
        .build()
}

fn schemata_view() -> Arc<dyn Relation> {
    View::of(|scope| scope.catalog().schemas().cloned().collect())
        .nullable("CATALOG_NAME", NAME, |_, scope| text(scope.database_name()))
        .field("SCHEMA_NAME", SYSNAME, |it, _| text(&it.name))
        .nullable("SCHEMA_OWNER", NAME, |it, scope| {
            optional_text(scope.catalog().principal(it.owner).map(|owner| &*owner.name))
        })
        .nulls(varchar(6), &["DEFAULT_CHARACTER_SET_CATALOG", "DEFAULT_CHARACTER_SET_SCHEMA"])
        .always("DEFAULT_CHARACTER_SET_NAME", SYSNAME, text("iso_1"))
        .build()
}

/// The length that `CHARACTER_MAXIMUM_LENGTH` tells: characters or bytes, -1 without a bound.
pub fn characters(sql_type: SqlType) -> Option<i32> {
    Some(match sql_type {
        SqlType::Char(n) | SqlType::NChar(n) | SqlType::Binary(n) => i32::from(n),
        SqlType::VarChar(length) | SqlType::NVarChar(length) | SqlType::VarBinary(length) => match length {
            Length::Limited(n) => i32::from(n),
            Length::Max => -1,
        },
        SqlType::SysName => 128,
        SqlType::Text | SqlType::Image => i32::MAX,
        SqlType::NText => i32::MAX / 2,
        SqlType::Xml => -1,
        _ => return None,
    })
}

fn octets(sql_type: SqlType) -> Option<i32> {
    let characters = characters(sql_type)?;
    let wide = matches!(sql_type, SqlType::NChar(_) | SqlType::NVarChar(Length::Limited(_)) | SqlType::SysName);
    Some(if wide {
        characters * 2
    } else if sql_type == SqlType::NText {
        i32::MAX - 1
    } else {
        characters
    })
}

fn optional_int(number: Option<i32>) -> Value {
    number.map_or(Value::Null, Value::Int)
}

fn optional_small(number: Option<i16>) -> Value {
    number.map_or(Value::Null, Value::SmallInt)
}

fn numeric_precision(sql_type: SqlType) -> Option<u8> {
    (sql_type.is_number() && sql_type != SqlType::Bit).then(|| sql_type.precision())
}

fn radix(sql_type: SqlType) -> Option<i16> {
    numeric_precision(sql_type)?;
    Some(if matches!(sql_type, SqlType::Real | SqlType::Float) { 2 } else { 10 })
}

fn numeric_scale(sql_type: SqlType) -> Option<i32> {
    numeric_precision(sql_type)?;
    (!matches!(sql_type, SqlType::Real | SqlType::Float)).then(|| i32::from(sql_type.scale()))
}

fn datetime_precision(sql_type: SqlType) -> Option<i16> {
    Some(match sql_type {
        SqlType::Date | SqlType::SmallDateTime => 0,
        SqlType::DateTime => 3,
        SqlType::Time(scale) | SqlType::DateTime2(scale) | SqlType::DateTimeOffset(scale) => i16::from(scale),
        _ => return None,
    })
}

/// What type a column is said to have: `sysname` is but another name.
pub fn data_type(sql_type: SqlType) -> &'static str {
    if sql_type == SqlType::SysName { "nvarchar" } else { sql_type.name() }
}

fn columns_view() -> Arc<dyn Relation> {
    View::of(columns::of_tables_and_views)
        .nullable("TABLE_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("TABLE_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
        .field("TABLE_NAME", SYSNAME, |it, _| text(&it.table.name))
        .nullable("COLUMN_NAME", SYSNAME, |it, _| text(&it.column.name))
        .nullable("ORDINAL_POSITION", INT, |it, _| count(it.position + 1))
        .nullable("COLUMN_DEFAULT", nvarchar(4000), |it, _| {
            optional_text(it.column.default.as_ref().map(|default| &*default.definition))
        })
        .nullable("IS_NULLABLE", varchar(3), |it, _| yes(it.column.nullable))
        .nullable("DATA_TYPE", NAME, |it, _| text(data_type(it.column.sql_type)))
        .nullable("CHARACTER_MAXIMUM_LENGTH", INT, |it, _| optional_int(characters(it.column.sql_type)))
        .nullable("CHARACTER_OCTET_LENGTH", INT, |it, _| optional_int(octets(it.column.sql_type)))
        .nullable("NUMERIC_PRECISION", TINYINT, |it, _| {
            numeric_precision(it.column.sql_type).map_or(Value::Null, Value::TinyInt)
        })
        .nullable("NUMERIC_PRECISION_RADIX", SMALLINT, |it, _| optional_small(radix(it.column.sql_type)))
        .nullable("NUMERIC_SCALE", INT, |it, _| optional_int(numeric_scale(it.column.sql_type)))
        .nullable("DATETIME_PRECISION", SMALLINT, |it, _| optional_small(datetime_precision(it.column.sql_type)))
        .nulls(SYSNAME, &["CHARACTER_SET_CATALOG", "CHARACTER_SET_SCHEMA"])
        .nullable("CHARACTER_SET_NAME", SYSNAME, |it, _| {
            let sql_type = it.column.sql_type;
            let set = if sql_type.is_unicode() { "UNICODE" } else { "iso_1" };
            optional_text(sql_type.is_character().then_some(set))
        })
        .nulls(SYSNAME, &["COLLATION_CATALOG", "COLLATION_SCHEMA"])
        .nullable("COLLATION_NAME", SYSNAME, |it: &TableColumn, _| optional_text(columns::collation(&it.column)))
        .nulls(SYSNAME, &["DOMAIN_CATALOG", "DOMAIN_SCHEMA", "DOMAIN_NAME"])
        .build()
}

/// A constraint, with the columns that it is made of.
struct Constraint {
    table: Arc<Table>,
    name: Arc<str>,
    kind: &'static str,
    columns: Vec<Arc<str>>,
}

fn constraints(scope: &Scope<'_>) -> Vec<Constraint> {
    let mut constraints = Vec::new();
    for table in scope.tables() {
        let named = |id| table.column(id).map(|column| Arc::clone(&column.name));
        let mut push = |name: &Arc<str>, kind, columns| {
            constraints.push(Constraint { table: Arc::clone(&table), name: Arc::clone(name), kind, columns });
        };
        for index in &table.indexes {
            if let Some(constraint) = &index.constraint {
                let kind = if constraint.primary { "PRIMARY KEY" } else { "UNIQUE" };
                push(&index.name, kind, index.key.iter().filter_map(|key| named(key.column_id)).collect());
            }
        }
        for key in &table.foreign_keys {
            push(&key.name, "FOREIGN KEY", key.columns.iter().filter_map(|column| named(*column)).collect());
        }
        for check in &table.checks {
            push(&check.name, "CHECK", Vec::new());
        }
    }
    constraints
}

fn table_constraints_view() -> Arc<dyn Relation> {
    View::of(constraints)
        .nullable("CONSTRAINT_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("CONSTRAINT_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
        .field("CONSTRAINT_NAME", SYSNAME, |it, _| text(&it.name))
        .nullable("TABLE_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("TABLE_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
        .nullable("TABLE_NAME", SYSNAME, |it, _| text(&it.table.name))
        .nullable("CONSTRAINT_TYPE", varchar(11), |it, _| text(it.kind))
        .always("IS_DEFERRABLE", varchar(2), text("NO"))
        .always("INITIALLY_DEFERRED", varchar(2), text("NO"))
        .build()
}

/// A column of a constraint.
struct Usage {
    table: Arc<Table>,
    constraint: Arc<str>,
    column: Arc<str>,
    /// From 1.
    position: usize,
}

fn usages(scope: &Scope<'_>) -> Vec<Usage> {
    let mut usages = Vec::new();
    for constraint in constraints(scope) {
        for (column, position) in constraint.columns.iter().zip(1..) {
            usages.push(Usage {
                table: Arc::clone(&constraint.table),
                constraint: Arc::clone(&constraint.name),
                column: Arc::clone(column),
                position,
            });
        }
    }
    usages
}

fn key_usage_view() -> Arc<dyn Relation> {
    View::of(usages)
        .nullable("CONSTRAINT_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("CONSTRAINT_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
        .field("CONSTRAINT_NAME", NAME, |it, _| text(&it.constraint))
        .nullable("TABLE_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("TABLE_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
        .field("TABLE_NAME", SYSNAME, |it, _| text(&it.table.name))
        .nullable("COLUMN_NAME", NAME, |it, _| text(&it.column))
        .field("ORDINAL_POSITION", INT, |it, _| count(it.position))
        .build()
}

fn column_usage_view() -> Arc<dyn Relation> {
    View::of(usages)
        .nullable("TABLE_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("TABLE_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
        .field("TABLE_NAME", SYSNAME, |it, _| text(&it.table.name))
        .nullable("COLUMN_NAME", NAME, |it, _| text(&it.column))
        .nullable("CONSTRAINT_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("CONSTRAINT_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
        .field("CONSTRAINT_NAME", NAME, |it, _| text(&it.constraint))
        .build()
}

/// A foreign key, and the key that it points to.
struct Reference {
    table: Arc<Table>,
    key: ForeignKey,
    to: Option<(Arc<Table>, Arc<str>)>,
}

fn references(scope: &Scope<'_>) -> Vec<Reference> {
    let mut references = Vec::new();
    for table in scope.tables() {
        for key in &table.foreign_keys {
            let to = scope.catalog().table(key.referenced_table).and_then(|to| {
                let points_to = |columns: &[_]| key.referenced_columns == columns;
                let index = to
                    .indexes
                    .iter()
                    .find(|index| points_to(&index.key.iter().map(|key| key.column_id).collect::<Vec<_>>()))?;
                Some((Arc::clone(to), Arc::clone(&index.name)))
            });
            references.push(Reference { table: Arc::clone(&table), key: key.clone(), to });
        }
    }
    references
}

fn rule(action: ReferentialAction) -> Value {
    text(match action {
        ReferentialAction::NoAction => "NO ACTION",
        ReferentialAction::Cascade => "CASCADE",
        ReferentialAction::SetNull => "SET NULL",
        ReferentialAction::SetDefault => "SET DEFAULT",
    })
}

fn references_view() -> Arc<dyn Relation> {
    View::of(references)
        .nullable("CONSTRAINT_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("CONSTRAINT_SCHEMA", NAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
        .field("CONSTRAINT_NAME", SYSNAME, |it, _| text(&it.key.name))
        .nullable("UNIQUE_CONSTRAINT_CATALOG", NAME, |_, scope| text(scope.database_name()))
        .nullable("UNIQUE_CONSTRAINT_SCHEMA", NAME, |it, scope| {
            optional_text(it.to.as_ref().map(|(table, _)| scope.schema_name(table.schema_id)))
        })
        .nullable("UNIQUE_CONSTRAINT_NAME", SYSNAME, |it, _| optional_text(it.to.as_ref().map(|(_, name)| &**name)))
        .always("MATCH_OPTION", varchar(7), text("SIMPLE"))
        .nullable("UPDATE_RULE", varchar(11), |it, _| rule(it.key.on_update))
        .nullable("DELETE_RULE", varchar(11), |it, _| rule(it.key.on_delete))
        .build()
}

fn checks_view() -> Arc<dyn Relation> {
    View::of(|scope| {
        let tables = scope.tables().into_iter();
        tables
            .flat_map(|table| table.checks.iter().map(|check| (Arc::clone(&table), check.clone())).collect::<Vec<_>>())
            .collect()
    })
    .nullable("CONSTRAINT_CATALOG", NAME, |_, scope| text(scope.database_name()))
    .nullable("CONSTRAINT_SCHEMA", NAME, |(table, _), scope| text(scope.schema_name(table.schema_id)))
    .field("CONSTRAINT_NAME", SYSNAME, |(_, check), _| text(&check.name))
    .nullable("CHECK_CLAUSE", nvarchar(4000), |(_, check), _| text(&check.definition))
    .build()
}

fn routines_view() -> Arc<dyn Relation> {
    View::of(|scope| {
        let routine = |module: &Arc<Module>| {
            matches!(
                module.kind,
                ModuleKind::Procedure
                    | ModuleKind::ScalarFunction
                    | ModuleKind::InlineFunction
                    | ModuleKind::TableFunction
            )
        };
        scope.modules().into_iter().filter(routine).collect::<Vec<_>>()
    })
    .nullable("ROUTINE_CATALOG", NAME, |_, scope| text(scope.database_name()))
    .nullable("ROUTINE_SCHEMA", SYSNAME, |it, scope| text(scope.schema_name(it.schema_id)))
    .field("ROUTINE_NAME", SYSNAME, |it, _| text(&it.name))
    .nullable("ROUTINE_TYPE", nvarchar(20), |it, _| {
        text(if it.kind == ModuleKind::Procedure { "PROCEDURE" } else { "FUNCTION" })
    })
    .nullable("ROUTINE_DEFINITION", nvarchar(4000), |it, _| text(&it.definition))
    .field("CREATED", DATETIME, |it, _| datetime(it.created))
    .field("LAST_ALTERED", DATETIME, |it, _| datetime(it.modified))
    .build()
}

pub fn views() -> Vec<Named> {
    let views = [
        ("TABLES", tables_view()),
        ("VIEWS", views_view()),
        ("SCHEMATA", schemata_view()),
        ("COLUMNS", columns_view()),
        ("TABLE_CONSTRAINTS", table_constraints_view()),
        ("KEY_COLUMN_USAGE", key_usage_view()),
        ("CONSTRAINT_COLUMN_USAGE", column_usage_view()),
        ("REFERENTIAL_CONSTRAINTS", references_view()),
        ("CHECK_CONSTRAINTS", checks_view()),
        ("ROUTINES", routines_view()),
    ];
    views.map(|(name, view)| ("INFORMATION_SCHEMA", name, view)).into()
}
