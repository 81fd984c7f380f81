//! The procedures by which drivers ask for the catalog: `sp_tables`, `sp_columns` and their kin.
//!
//! Each is a view whose rows are chosen by patterns that the caller gives for some columns.

use std::sync::{Arc, LazyLock};

use crate::cdc::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult, RowSet};
use crate::engine::context::Context;
use crate::engine::pattern::{Trailing, like};
use crate::engine::relation::{Relation, Wanted};
use crate::error::SqlResult;
use crate::storage::{Index, ModuleKind, Table};
use crate::value::{SqlType, Value};

use super::columns::{self, TableColumn};
use super::scope::Scope;
use super::view::{BIT, INT, SMALLINT, SYSNAME, TINYINT, View, count, int, nvarchar, optional_text, text, varchar};

const REMARKS: SqlType = varchar(254);

const fn parameter(name: &'static str, sql_type: SqlType) -> ProcedureParameter {
    ProcedureParameter { name, sql_type, default: Some(Value::Null) }
}

const PATTERN: SqlType = nvarchar(384);

static OF_TABLES: [ProcedureParameter; 5] = [
    parameter("@table_name", PATTERN),
    parameter("@table_owner", PATTERN),
    parameter("@table_qualifier", SYSNAME),
    parameter("@table_type", varchar(100)),
    parameter("@fusepattern", BIT),
];

static OF_COLUMNS: [ProcedureParameter; 6] = [
    parameter("@table_name", PATTERN),
    parameter("@table_owner", PATTERN),
    parameter("@table_qualifier", SYSNAME),
    parameter("@column_name", PATTERN),
    parameter("@odbcver", INT),
    parameter("@fusepattern", BIT),
];

static OF_KEYS: [ProcedureParameter; 3] =
    [parameter("@table_name", SYSNAME), parameter("@table_owner", SYSNAME), parameter("@table_qualifier", SYSNAME)];

static OF_INDEXES: [ProcedureParameter; 6] = [
    parameter("@table_name", SYSNAME),
    parameter("@table_owner", SYSNAME),
    parameter("@table_qualifier", SYSNAME),
    parameter("@index_name", SYSNAME),
    parameter("@is_unique", SqlType::Char(1)),
    parameter("@accuracy", SqlType::Char(1)),
];

/// The procedure of this name, which is in lower case.
pub fn procedure(name: &str) -> Option<Procedure> {
    Some(match name {
        "sp_databases" => Procedure { name: "sp_databases", parameters: &[], run: databases },
        "sp_tables" => Procedure { name: "sp_tables", parameters: &OF_TABLES, run: tables },
        "sp_columns" | "sp_columns_90" | "sp_columns_100" => {
            Procedure { name: "sp_columns", parameters: &OF_COLUMNS, run: columns_of }
        }
        "sp_pkeys" => Procedure { name: "sp_pkeys", parameters: &OF_KEYS, run: keys },
        "sp_statistics" | "sp_statistics_100" => {
            Procedure { name: "sp_statistics", parameters: &OF_INDEXES, run: indexes }
        }
        _ => return None,
    })
}

/// How a value given by the caller chooses rows.
#[derive(Clone, Copy)]
enum Choice {
    Like,
    Equal,
}

/// The rows of a view whose first columns, from the second on, are what the caller gave; NULL chooses all.
fn chosen(
    context: &mut CdcContext<'_>,
    view: &dyn Relation,
    choice: Choice,
    given: &[(usize, &Value)],
) -> SqlResult<ProcedureResult> {
    let storage = Arc::clone(context.transaction.storage());
    let login = Arc::clone(&context.login.name);
    let asking = Context {
        storage: &storage,
        database: context.database,
        session_id: 0,
        login: &login,
        client: None,
        user: Some(context.user),
        sysadmin: context.login.sysadmin,
        now: storage.clock().now(),
        transaction_count: 0,
        transaction: context.transaction,
    };
    let fits = |row: &[Value]| {
        given.iter().all(|(column, wanted)| match (row.get(*column), wanted) {
            (_, Value::Null) => true,
            (Some(value), wanted) => match (choice, value.as_text(), wanted.as_text()) {
                (Choice::Like, Some(value), Some(pattern)) => like(value, pattern, Some('\\'), Trailing::Ignored),
                _ => value == *wanted,
            },
            (None, _) => false,
        })
    };
    let mut rows = Vec::new();
    view.rows(&asking, &Wanted::default(), &mut |row| {
        if fits(&row) {
            rows.push(row);
        }
        Ok(())
    })?;
    let set = RowSet { columns: view.columns().to_vec(), rows };
    Ok(ProcedureResult { results: vec![set], ..ProcedureResult::default() })
}

/// The arguments that choose by the view's columns: owner in the second, table in the third, and more.
fn by_table<'v>(arguments: &'v [Value], more: &[(usize, usize)]) -> Vec<(usize, &'v Value)> {
    let places = [(2, 0), (1, 1), (0, 2)];
    places.iter().chain(more).filter_map(|(column, at)| Some((*column, arguments.get(*at)?))).collect()
}

fn databases(context: &mut CdcContext<'_>, _arguments: &[Value]) -> SqlResult<ProcedureResult> {
    static VIEW: LazyLock<Arc<dyn Relation>> = LazyLock::new(|| {
        View::of(|scope| scope.storage().databases())
            .field("DATABASE_NAME", SYSNAME, |it, _| text(&it.name))
            .always("DATABASE_SIZE", INT, int(8192))
            .always("REMARKS", REMARKS, Value::Null)
            .build()
    });
    chosen(context, &**VIEW, Choice::Equal, &[])
}

/// Schema, name and type of a table or view.
fn tables_and_views(scope: &Scope<'_>) -> Vec<(Arc<str>, Arc<str>, &'static str)> {
    let schema = |id| Arc::from(scope.schema_name(id));
    let tables = scope.tables().into_iter().map(|table| (schema(table.schema_id), Arc::clone(&table.name), "TABLE"));
    let mut all: Vec<_> = tables.collect();
    let views = scope.modules().into_iter().filter(|module| module.kind == ModuleKind::View);
    all.extend(views.map(|view| (schema(view.schema_id), Arc::clone(&view.name), "VIEW")));
    all.sort();
    all
}

fn tables(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    static VIEW: LazyLock<Arc<dyn Relation>> = LazyLock::new(|| {
        View::of(tables_and_views)
            .field("TABLE_QUALIFIER", SYSNAME, |_, scope| text(scope.database_name()))
            .field("TABLE_OWNER", SYSNAME, |(schema, ..), _| text(schema))
            .field("TABLE_NAME", SYSNAME, |(_, name, _), _| text(name))
            .field("TABLE_TYPE", varchar(32), |(.., kind), _| text(kind))
            .always("REMARKS", REMARKS, Value::Null)
            .build()
    });
    let mut result = chosen(context, &**VIEW, Choice::Like, &by_table(arguments, &[]))?;
    // The types come as a list: 'TABLE','VIEW'.
    if let Some(kinds) = arguments.get(3).and_then(Value::as_text) {
        let kinds: Vec<String> = kinds.split(',').map(|kind| kind.trim_matches([' ', '\'']).to_uppercase()).collect();
        for set in &mut result.results {
            set.rows.retain(|row| {
                let kind = row.get(3).and_then(Value::as_text).unwrap_or_default();
                kinds.iter().any(|wanted| wanted == kind)
            });
        }
    }
    Ok(result)
}

/// The number of a type in ODBC.
fn odbc_type(sql_type: SqlType) -> i16 {
    match sql_type {
        SqlType::Bit => -7,
        SqlType::TinyInt => -6,
        SqlType::SmallInt => 5,
        SqlType::Int => 4,
        SqlType::BigInt => -5,
        SqlType::Decimal { .. } | SqlType::Money | SqlType::SmallMoney => 3,
        SqlType::Numeric { .. } => 2,
        SqlType::Real => 7,
        SqlType::Float => 6,
        SqlType::Char(_) => 1,
        SqlType::VarChar(_) => 12,
        SqlType::Text => -1,
        SqlType::NChar(_) => -8,
        SqlType::NVarChar(_) | SqlType::SysName => -9,
        SqlType::NText => -10,
        SqlType::Binary(_) | SqlType::RowVersion => -2,
        SqlType::VarBinary(_) => -3,
        SqlType::Image => -4,
        SqlType::Date => 91,
        SqlType::Time(_) => -154,
        SqlType::SmallDateTime | SqlType::DateTime | SqlType::DateTime2(_) => 93,
        SqlType::DateTimeOffset(_) => -155,
        SqlType::UniqueIdentifier => -11,
        SqlType::Variant => -150,
        SqlType::Xml => -152,
        SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography => -151,
    }
}

/// What clients take as a column's size: digits, characters or bytes.
fn size(sql_type: SqlType) -> i32 {
    let characters = sql_type.character_length().units().and_then(|units| i32::try_from(units).ok()).unwrap_or(0);
    match sql_type {
        SqlType::Char(_) | SqlType::VarChar(_) | SqlType::NChar(_) | SqlType::NVarChar(_) | SqlType::SysName => {
            characters
        }
        SqlType::Binary(_) | SqlType::VarBinary(_) => characters,
        SqlType::Text | SqlType::Image => i32::MAX,
        SqlType::NText => i32::MAX / 2,
        SqlType::RowVersion => 8,
        SqlType::UniqueIdentifier => 36,
        _ => i32::from(sql_type.precision()),
    }
}

fn has_scale(sql_type: SqlType) -> bool {
    !sql_type.is_character() && !matches!(sql_type, SqlType::Real | SqlType::Float | SqlType::Xml)
}

fn columns_of(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    static VIEW: LazyLock<Arc<dyn Relation>> = LazyLock::new(columns_view);
    chosen(context, &**VIEW, Choice::Like, &by_table(arguments, &[(3, 3)]))
}

fn columns_view() -> Arc<dyn Relation> {
    let small = |view: View<TableColumn>, name| {
        view.field(name, SMALLINT, |it, _| Value::SmallInt(odbc_type(it.column.sql_type)))
    };
    let view = View::of(columns::of_tables_and_views)
        .field("TABLE_QUALIFIER", SYSNAME, |_, scope| text(scope.database_name()))
        .field("TABLE_OWNER", SYSNAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
        .field("TABLE_NAME", SYSNAME, |it, _| text(&it.table.name))
        .field("COLUMN_NAME", SYSNAME, |it, _| text(&it.column.name));
    small(view, "DATA_TYPE")
        .field("TYPE_NAME", SYSNAME, |it, _| {
            let identity = if it.column.identity.is_some() { " identity" } else { "" };
            text(&format!("{}{identity}", it.column.sql_type.name()))
        })
        .nullable("PRECISION", INT, |it, _| int(size(it.column.sql_type)))
        .nullable("LENGTH", INT, |it, _| int(i32::from(it.column.sql_type.max_length())))
        .nullable("SCALE", SMALLINT, |it, _| {
            let sql_type = it.column.sql_type;
            if has_scale(sql_type) { Value::SmallInt(i16::from(sql_type.scale())) } else { Value::Null }
        })
        .nullable(
            "RADIX",
            SMALLINT,
            |it, _| {
                if it.column.sql_type.is_number() { Value::SmallInt(10) } else { Value::Null }
            },
        )
        .field("NULLABLE", SMALLINT, |it, _| Value::SmallInt(i16::from(it.column.nullable)))
        .always("REMARKS", REMARKS, Value::Null)
        .nullable("COLUMN_DEF", nvarchar(4000), |it, _| {
            optional_text(it.column.default.as_ref().map(|default| &*default.definition))
        })
        .with(|view| small(view, "SQL_DATA_TYPE"))
        .nulls(SMALLINT, &["SQL_DATETIME_SUB"])
        .nullable("CHAR_OCTET_LENGTH", INT, |it, _| {
            if it.column.sql_type.is_character() {
                int(i32::from(it.column.sql_type.max_length()))
            } else {
                Value::Null
            }
        })
        .field("ORDINAL_POSITION", INT, |it, _| count(it.position + 1))
        .nullable("IS_NULLABLE", varchar(254), |it, _| text(if it.column.nullable { "YES" } else { "NO" }))
        .field("SS_IS_SPARSE", SMALLINT, |it, _| Value::SmallInt(i16::from(it.column.sparse)))
        .always("SS_IS_COLUMN_SET", SMALLINT, Value::SmallInt(0))
        .field("SS_IS_COMPUTED", SMALLINT, |it, _| Value::SmallInt(i16::from(it.column.computed.is_some())))
        .field("SS_IS_IDENTITY", SMALLINT, |it, _| Value::SmallInt(i16::from(it.column.identity.is_some())))
        .nulls(SYSNAME, &["SS_UDT_CATALOG_NAME", "SS_UDT_SCHEMA_NAME", "SS_UDT_ASSEMBLY_TYPE_NAME"])
        .nulls(SYSNAME, &["SS_XML_SCHEMACOLLECTION_CATALOG_NAME", "SS_XML_SCHEMACOLLECTION_SCHEMA_NAME"])
        .nulls(SYSNAME, &["SS_XML_SCHEMACOLLECTION_NAME"])
        .field("SS_DATA_TYPE", TINYINT, |it, _| Value::TinyInt(it.column.sql_type.system_type_id()))
        .build()
}

/// A column of an index, from 1.
struct KeyColumn {
    table: Arc<Table>,
    index: Index,
    position: i16,
    name: Arc<str>,
    descending: bool,
}

fn key_columns(scope: &Scope<'_>) -> Vec<KeyColumn> {
    let mut columns = Vec::new();
    for table in scope.tables() {
        for index in &table.indexes {
            for (key, position) in index.key.iter().zip(1..) {
                let Some(column) = table.column(key.column_id) else { continue };
                columns.push(KeyColumn {
                    table: Arc::clone(&table),
                    index: index.clone(),
                    position,
                    name: Arc::clone(&column.name),
                    descending: key.descending,
                });
            }
        }
    }
    columns
}

fn keys(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    static VIEW: LazyLock<Arc<dyn Relation>> = LazyLock::new(|| {
        View::of(|scope| key_columns(scope).into_iter().filter(|it| it.index.is_primary()).collect())
            .field("TABLE_QUALIFIER", SYSNAME, |_, scope| text(scope.database_name()))
            .field("TABLE_OWNER", SYSNAME, |it: &KeyColumn, scope| text(scope.schema_name(it.table.schema_id)))
            .field("TABLE_NAME", SYSNAME, |it, _| text(&it.table.name))
            .field("COLUMN_NAME", SYSNAME, |it, _| text(&it.name))
            .field("KEY_SEQ", SMALLINT, |it, _| Value::SmallInt(it.position))
            .nullable("PK_NAME", SYSNAME, |it, _| text(&it.index.name))
            .build()
    });
    chosen(context, &**VIEW, Choice::Equal, &by_table(arguments, &[]))
}

fn indexes(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    static VIEW: LazyLock<Arc<dyn Relation>> = LazyLock::new(|| {
        View::of(key_columns)
            .field("TABLE_QUALIFIER", SYSNAME, |_, scope| text(scope.database_name()))
            .field("TABLE_OWNER", SYSNAME, |it, scope| text(scope.schema_name(it.table.schema_id)))
            .field("TABLE_NAME", SYSNAME, |it, _| text(&it.table.name))
            .field("NON_UNIQUE", SMALLINT, |it, _| Value::SmallInt(i16::from(!it.index.unique)))
            .field("INDEX_QUALIFIER", SYSNAME, |it, _| text(&it.table.name))
            .field("INDEX_NAME", SYSNAME, |it, _| text(&it.index.name))
            .field("TYPE", SMALLINT, |it, _| Value::SmallInt(if it.index.is_clustered() { 1 } else { 3 }))
            .field("SEQ_IN_INDEX", SMALLINT, |it, _| Value::SmallInt(it.position))
            .field("COLUMN_NAME", SYSNAME, |it, _| text(&it.name))
            .field("COLLATION", SqlType::Char(1), |it, _| text(if it.descending { "D" } else { "A" }))
            .nullable("CARDINALITY", INT, |it, scope| {
                int(i32::try_from(scope.row_count(it.table.object_id)).unwrap_or(i32::MAX))
            })
            .nulls(INT, &["PAGES"])
            .nulls(varchar(128), &["FILTER_CONDITION"])
            .build()
    });
    let only_unique =
        arguments.get(4).and_then(Value::as_text).is_some_and(|wish| wish.trim().eq_ignore_ascii_case("Y"));
    let unique = Value::SmallInt(0);
    let mut given = by_table(arguments, &[]);
    // '%' stands for all.
    let name = arguments.get(3).filter(|name| name.as_text() != Some("%"));
    given.extend(name.map(|name| (5, name)));
    if only_unique {
        given.push((3, &unique));
    }
    chosen(context, &**VIEW, Choice::Equal, &given)
}
