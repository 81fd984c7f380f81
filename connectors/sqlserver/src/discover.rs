//! The tables that a database has now, as its catalog shows them.

use std::collections::BTreeMap;

use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};
use millstream_core::selection::{Selection, TablePattern};
use tiberius::Row;

use crate::connect::Connection;
use crate::error::QueryError;
use crate::field::{bit, int, optional_text, text};
use crate::quote::literal;

/// Which tables to look at.
pub(crate) enum Which<'a> {
    /// Those that a selection matches.
    Selection(&'a Selection),
    /// Those with these object ids, whatever they are called; also change tables.
    Objects(&'a [i32]),
}

/// A table as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveTable {
    pub(crate) object_id: i32,
    pub(crate) name: TableName,
    /// In the order of their ids.
    pub(crate) columns: Vec<LiveColumn>,
    /// The primary key's columns by their ids, in the key's order; empty without one.
    pub(crate) primary_key: Vec<i32>,
    /// The unique indexes that could name rows just as well, by name.
    pub(crate) unique_keys: Vec<UniqueKey>,
}

/// A column as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveColumn {
    /// Given once in a table's life, whatever happens to names and places.
    pub(crate) column_id: i32,
    pub(crate) column: Column,
    /// Change data capture has only NULL for such a column.
    pub(crate) computed: bool,
    /// Not part of `SELECT *`.
    pub(crate) hidden: bool,
}

/// A unique index of columns that are never NULL and always captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UniqueKey {
    pub(crate) name: String,
    /// The columns' ids, in the index's order.
    pub(crate) columns: Vec<i32>,
}

impl LiveTable {
    /// The shape that the table would be followed with if all of it were captured.
    pub(crate) fn schema(&self) -> TableSchema {
        let columns: Vec<&LiveColumn> =
            self.columns.iter().filter(|column| !column.computed && !column.hidden).collect();
        let place = |id: &i32| columns.iter().position(|column| column.column_id == *id);
        let key = |ids: &[i32]| ids.iter().map(place).collect::<Option<Vec<_>>>().filter(|key| !key.is_empty());
        let primary = key(&self.primary_key).map(|columns| (IdentityKind::PrimaryKey, columns));
        let unique = || {
            let columns = self.unique_keys.iter().find_map(|unique| key(&unique.columns))?;
            Some((IdentityKind::UniqueKey, columns))
        };
        let whole = || (IdentityKind::WholeRow, (0..columns.len()).collect());
        let (kind, key) = primary.or_else(unique).unwrap_or_else(whole);
        TableSchema {
            table: self.name.clone(),
            columns: columns.iter().map(|column| column.column.clone()).collect(),
            identity: Identity { kind, columns: key },
            origin: None,
        }
    }
}

/// What the catalog shows of these tables. Three queries, whatever the number of tables. They may see a statement
/// half-way when it alters the catalog between them, so a caller that needs one state reads twice.
pub(crate) async fn live(connection: &mut Connection, which: Which<'_>) -> Result<Vec<LiveTable>, QueryError> {
    let condition = which.condition();
    let mut tables = read_tables(connection, &condition).await?;
    if let Which::Selection(selection) = which {
        tables.retain(|_, table| selection.matches(&table.name));
    }
    if !tables.is_empty() {
        read_columns(connection, &condition, &mut tables).await?;
        read_keys(connection, &condition, &mut tables).await?;
    }
    // A table that was created between the queries has no columns yet; whoever asks again sees it whole.
    let mut found: Vec<LiveTable> = tables.into_values().filter(|table| !table.columns.is_empty()).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

impl Which<'_> {
    /// A condition on `s` (sys.schemas) and `t` (sys.tables); the catalog's own comparison may let through more.
    pub(crate) fn condition(&self) -> String {
        match self {
            Which::Objects([]) => "1 = 0".to_owned(),
            Which::Objects(ids) => {
                let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
                format!("t.object_id IN ({})", ids.join(", "))
            }
            Which::Selection(selection) if selection.patterns.is_empty() => "1 = 0".to_owned(),
            Which::Selection(selection) => format!("t.is_ms_shipped = 0 AND ({})", selected(&selection.patterns)),
        }
    }
}

/// A condition that patterns make. Names are listed by schema: a thousand conditions to choose from would be tried one
/// after the other for each table.
fn selected(patterns: &[TablePattern]) -> String {
    let mut by_schema: BTreeMap<&str, Vec<&TablePattern>> = BTreeMap::new();
    patterns.iter().for_each(|pattern| by_schema.entry(&pattern.schema).or_default().push(pattern));
    let of_schema = |(schema, patterns): (&str, Vec<&TablePattern>)| {
        let (wild, exact): (Vec<_>, Vec<_>) = patterns.into_iter().partition(|pattern| pattern.is_wildcard());
        let mut names: Vec<String> = wild.into_iter().map(wildcard).collect();
        if !exact.is_empty() {
            let exact: Vec<String> = exact.iter().map(|pattern| literal(&pattern.table)).collect();
            names.push(format!("t.name IN ({})", exact.join(", ")));
        }
        format!("(s.name = {} AND ({}))", literal(schema), names.join(" OR "))
    };
    by_schema.into_iter().map(of_schema).collect::<Vec<_>>().join(" OR ")
}

fn wildcard(pattern: &TablePattern) -> String {
    let beginning = pattern.table.strip_suffix('%').unwrap_or(&pattern.table);
    let escape = |letter: char| matches!(letter, '_' | '%' | '[' | '|').then_some('|').into_iter().chain([letter]);
    let escaped: String = beginning.chars().flat_map(escape).collect();
    format!("t.name LIKE {} ESCAPE N'|'", literal(&(escaped + "%")))
}

async fn read_tables(connection: &mut Connection, condition: &str) -> Result<BTreeMap<i32, LiveTable>, QueryError> {
    let query = format!(
        "SELECT t.object_id, s.name, t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         WHERE {condition}"
    );
    let rows = connection.rows("read the list of tables", &query, &[]).await?;
    let table = |row: &Row| {
        let object_id = int(row, 0).unwrap_or_default();
        let name = TableName::new(text(row, 1), text(row, 2));
        let table =
            LiveTable { object_id, name, columns: Vec::new(), primary_key: Vec::new(), unique_keys: Vec::new() };
        (object_id, table)
    };
    Ok(rows.iter().map(table).collect())
}

async fn read_columns(
    connection: &mut Connection,
    condition: &str,
    tables: &mut BTreeMap<i32, LiveTable>,
) -> Result<(), QueryError> {
    // The type that an alias stands for has the same id twice; a .NET type has none such, and is its own.
    let query = format!(
        "SELECT t.object_id, c.column_id, c.name, base.name, own.name, CAST(c.max_length AS int), \
         CAST(c.precision AS int), CAST(c.scale AS int), c.is_nullable, c.collation_name, c.is_computed, c.is_hidden, \
         preset.definition \
         FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         JOIN sys.columns AS c ON c.object_id = t.object_id \
         JOIN sys.types AS own ON own.user_type_id = c.user_type_id \
         LEFT JOIN sys.types AS base ON base.user_type_id = c.system_type_id \
         LEFT JOIN sys.default_constraints AS preset ON preset.object_id = c.default_object_id \
         WHERE {condition} ORDER BY t.object_id, c.column_id"
    );
    for row in connection.rows("read the tables' columns", &query, &[]).await? {
        let Some(table) = tables.get_mut(&int(&row, 0).unwrap_or_default()) else { continue };
        let base = optional_text(&row, 3).unwrap_or_else(|| text(&row, 4));
        table.columns.push(LiveColumn {
            column_id: int(&row, 1).unwrap_or_default(),
            column: Column {
                name: text(&row, 2),
                source_type: type_text(
                    &base,
                    int(&row, 5).unwrap_or_default(),
                    int(&row, 6).unwrap_or_default(),
                    int(&row, 7).unwrap_or_default(),
                ),
                nullable: bit(&row, 8),
                collation: optional_text(&row, 9),
                // Change data capture leaves computed columns out, so no table of ours has any.
                generated: None,
                default: optional_text(&row, 12),
            },
            computed: bit(&row, 10),
            hidden: bit(&row, 11),
        });
    }
    Ok(())
}

async fn read_keys(
    connection: &mut Connection,
    condition: &str,
    tables: &mut BTreeMap<i32, LiveTable>,
) -> Result<(), QueryError> {
    let query = format!(
        "SELECT t.object_id, i.name, i.is_primary_key, ic.column_id \
         FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         JOIN sys.indexes AS i ON i.object_id = t.object_id \
         JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id \
         WHERE {condition} AND i.is_unique = 1 AND i.is_disabled = 0 AND i.has_filter = 0 AND ic.key_ordinal > 0 \
         ORDER BY t.object_id, i.index_id, ic.key_ordinal"
    );
    for row in connection.rows("read the tables' keys", &query, &[]).await? {
        let Some(table) = tables.get_mut(&int(&row, 0).unwrap_or_default()) else { continue };
        let column_id = int(&row, 3).unwrap_or_default();
        if bit(&row, 2) {
            table.primary_key.push(column_id);
            continue;
        }
        let name = text(&row, 1);
        match table.unique_keys.last_mut().filter(|key| key.name == name) {
            Some(key) => key.columns.push(column_id),
            None => table.unique_keys.push(UniqueKey { name, columns: vec![column_id] }),
        }
    }
    for table in tables.values_mut() {
        let LiveTable { columns, unique_keys, .. } = table;
        let usable = |id: &i32| {
            columns.iter().any(|column| column.column_id == *id && !column.column.nullable && !column.computed)
        };
        unique_keys.retain(|key| key.columns.iter().all(usable));
    }
    Ok(())
}

/// A type as its definition would write it: `decimal(10,2)`, `nvarchar(max)`, `datetime2(7)`.
fn type_text(name: &str, length_bytes: i32, precision: i32, scale: i32) -> String {
    let length = |bytes_per_letter: i32| match length_bytes {
        -1 => format!("{name}(max)"),
        bytes => format!("{name}({})", bytes / bytes_per_letter),
    };
    match name {
        "char" | "varchar" | "binary" | "varbinary" => length(1),
        "nchar" | "nvarchar" => length(2),
        "decimal" | "numeric" => format!("{name}({precision},{scale})"),
        "time" | "datetime2" | "datetimeoffset" => format!("{name}({scale})"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_in_their_definitions() {
        assert_eq!(type_text("int", 4, 10, 0), "int");
        assert_eq!(type_text("nvarchar", 100, 0, 0), "nvarchar(50)");
        assert_eq!(type_text("varchar", -1, 0, 0), "varchar(max)");
        assert_eq!(type_text("decimal", 9, 12, 3), "decimal(12,3)");
        assert_eq!(type_text("datetime2", 8, 27, 7), "datetime2(7)");
        assert_eq!(type_text("datetime", 8, 23, 3), "datetime");
    }

    #[test]
    fn a_table_is_known_by_its_best_key() {
        let column = |column_id: i32, computed: bool| LiveColumn {
            column_id,
            column: Column {
                name: format!("c{column_id}"),
                source_type: "int".into(),
                nullable: false,
                collation: None,
                generated: None,
                default: None,
            },
            computed,
            hidden: false,
        };
        let mut table = LiveTable {
            object_id: 1,
            name: TableName::new("dbo", "t"),
            columns: vec![column(1, true), column(2, false), column(5, false)],
            primary_key: vec![5, 2],
            unique_keys: vec![UniqueKey { name: "u".into(), columns: vec![5] }],
        };
        let identity = |table: &LiveTable| table.schema().identity;
        assert_eq!(identity(&table), Identity { kind: IdentityKind::PrimaryKey, columns: vec![1, 0] });
        table.primary_key = vec![1, 2];
        assert_eq!(identity(&table), Identity { kind: IdentityKind::UniqueKey, columns: vec![1] });
        table.unique_keys.clear();
        assert_eq!(identity(&table), Identity { kind: IdentityKind::WholeRow, columns: vec![0, 1] });
    }

    #[test]
    fn a_selection_becomes_a_condition() {
        let pattern = |schema: &str, table: &str| TablePattern { schema: schema.into(), table: table.into() };
        let patterns =
            [("dbo", "o'r"), ("x", "%"), ("dbo", "a_%"), ("dbo", "b")].map(|(schema, table)| pattern(schema, table));
        let selection = Selection { patterns: patterns.into() };
        assert_eq!(
            Which::Selection(&selection).condition(),
            "t.is_ms_shipped = 0 AND ((s.name = N'dbo' AND (t.name LIKE N'a|_%' ESCAPE N'|' OR t.name IN (N'o''r', \
             N'b'))) OR (s.name = N'x' AND (t.name LIKE N'%' ESCAPE N'|')))"
        );
        assert_eq!(Which::Objects(&[1, -2]).condition(), "t.object_id IN (1, -2)");
        assert_eq!(Which::Objects(&[]).condition(), "1 = 0");
    }
}
