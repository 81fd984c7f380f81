//! The shapes of tables as the server's catalog has them now.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::schema::{Column, Generated, Identity, IdentityKind, TableName, TableSchema};
use millstream_core::selection::{Selection, TablePattern};

use crate::connect::Connection;
use crate::decode::is_row_end;
use crate::version::{Flavor, Version};
use crate::virtual_columns::session_dependent;

/// Everything in the catalog that a selection matches and that holds rows of its own; views don't.
///
/// Three queries, whatever the number of tables. They may see a statement half-way when it alters the catalog between
/// them, so a caller that needs one state reads twice, or compares positions.
pub(crate) async fn selected(
    connection: &mut Connection,
    limit: Duration,
    selection: &Selection,
) -> Result<BTreeMap<TableName, TableSchema>, SourceError> {
    let mut found = read(connection, limit, &condition(&selection.patterns)).await?;
    found.retain(|name, _| selection.matches(name));
    Ok(found)
}

/// The same for names, compared exactly.
pub(crate) async fn named(
    connection: &mut Connection,
    limit: Duration,
    names: &[TableName],
) -> Result<BTreeMap<TableName, TableSchema>, SourceError> {
    let exact = |name: &TableName| TablePattern { schema: name.schema.clone(), table: name.name.clone() };
    let patterns: Vec<TablePattern> = names.iter().map(exact).collect();
    let mut found = read(connection, limit, &condition(&patterns)).await?;
    found.retain(|name, _| names.contains(name));
    Ok(found)
}

/// The WHERE clause that covers these patterns; the catalog's own comparison may let through more.
fn condition(patterns: &[TablePattern]) -> String {
    let one = |pattern: &TablePattern| {
        let schema = literal(&pattern.schema);
        match pattern.table.strip_suffix('%') {
            Some("") => format!("(table_schema = {schema})"),
            Some(beginning) => {
                let escaped: String = beginning
                    .chars()
                    .flat_map(|letter| matches!(letter, '_' | '%' | '|').then_some('|').into_iter().chain([letter]))
                    .collect();
                format!("(table_schema = {schema} AND table_name LIKE {} ESCAPE '|')", literal(&(escaped + "%")))
            }
            None => format!("(table_schema = {schema} AND table_name = {})", literal(&pattern.table)),
        }
    };
    match patterns {
        [] => "FALSE".to_owned(),
        _ => patterns.iter().map(one).collect::<Vec<_>>().join(" OR "),
    }
}

/// A string literal for a session whose `sql_mode` is empty.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A quoted identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Values of the catalog; NULL where there is none.
type Field = Option<Vec<u8>>;
type ColumnFields = (Field, Field, Field, Field, Field, Field, Field, Field, Field);
type KeyFields = (Field, Field, Field, Field, Field, Field, Field);

fn text(field: Field) -> String {
    field.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

async fn read(
    connection: &mut Connection,
    limit: Duration,
    condition: &str,
) -> Result<BTreeMap<TableName, TableSchema>, SourceError> {
    let names = connection.server.names;
    let query = format!("SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE {condition}");
    let tables: Vec<(Field, Field, Field)> = connection.rows(limit, "read the list of tables", &query).await?;
    let mut columns_of = read_columns(connection, limit, condition).await?;
    let mut keys_of = read_keys(connection, limit, condition).await?;
    let mut found = BTreeMap::new();
    for (schema, table, table_type) in tables {
        let name = names.table(&text(schema), &text(table));
        // A table that was created between the queries has no columns yet; whoever asks again sees it whole.
        let Some(columns) = columns_of.remove(&name) else { continue };
        let mut keys = keys_of.remove(&name).unwrap_or_default();
        match text(table_type).as_str() {
            "BASE TABLE" => {}
            // Its keys have the end of a row's life besides, which is the same for all rows that exist.
            "SYSTEM VERSIONED" => keys.retain(|part| !is_end_of_life(part, &columns)),
            _ => continue,
        }
        let identity = identity(&columns, &keys, connection.server.version.flavor);
        found.insert(name.clone(), TableSchema { table: name, columns, identity, origin: None });
    }
    Ok(found)
}

async fn read_columns(
    connection: &mut Connection,
    limit: Duration,
    condition: &str,
) -> Result<BTreeMap<TableName, Vec<Column>>, SourceError> {
    let (version, names) = (connection.server.version, connection.server.names);
    let query = format!(
        "SELECT table_schema, table_name, column_name, column_type, is_nullable, collation_name, \
         generation_expression, extra, column_default FROM information_schema.columns WHERE {condition} \
         ORDER BY table_schema, table_name, ordinal_position"
    );
    let columns: Vec<ColumnFields> = connection.rows(limit, "read the tables' columns", &query).await?;
    let mut columns_of: BTreeMap<TableName, Vec<Column>> = BTreeMap::new();
    for (schema, table, name, source_type, nullable, collation, expression, extra, default) in columns {
        let default = default.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        columns_of.entry(names.table(&text(schema), &text(table))).or_default().push(Column {
            name: text(name),
            source_type: text(source_type),
            nullable: text(nullable) == "YES",
            collation: collation.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            generated: generated(version, text(expression), &text(extra)),
            // MariaDB writes the default NULL as the word, and a text that reads NULL with quotes.
            default: default.filter(|default| version.flavor == Flavor::MySql || default != "NULL"),
        });
    }
    Ok(columns_of)
}

fn generated(version: Version, expression: String, extra: &str) -> Option<Generated> {
    let expression = match version.flavor {
        // It stands there as within a string.
        Flavor::MySql if version.at_least(8, 0, 0) => unescaped(&expression),
        Flavor::MySql | Flavor::MariaDb => expression,
    };
    match () {
        () if expression.is_empty() => None,
        () if extra.to_ascii_uppercase().contains("VIRTUAL") => Some(Generated::Virtual(expression)),
        () => Some(Generated::Stored(expression)),
    }
}

fn unescaped(text: &str) -> String {
    let mut letters = text.chars();
    std::iter::from_fn(|| letters.next().and_then(|letter| if letter == '\\' { letters.next() } else { Some(letter) }))
        .collect()
}

async fn read_keys(
    connection: &mut Connection,
    limit: Duration,
    condition: &str,
) -> Result<BTreeMap<TableName, Vec<KeyPart>>, SourceError> {
    let names = connection.server.names;
    let query = format!(
        "SELECT table_schema, table_name, index_name, column_name, sub_part, nullable, index_type \
         FROM information_schema.statistics WHERE non_unique = 0 AND ({condition}) \
         ORDER BY table_schema, table_name, index_name, seq_in_index"
    );
    let keys: Vec<KeyFields> = connection.rows(limit, "read the tables' keys", &query).await?;
    let mut keys_of: BTreeMap<TableName, Vec<KeyPart>> = BTreeMap::new();
    for (schema, table, index, column, sub_part, nullable, index_type) in keys {
        keys_of.entry(names.table(&text(schema), &text(table))).or_default().push(KeyPart {
            index: text(index),
            column: column.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            prefix: sub_part.is_some(),
            nullable: text(nullable) == "YES",
            hash: text(index_type) == "HASH",
        });
    }
    Ok(keys_of)
}

/// Whether a key's part is the column that MariaDB adds to the keys of a versioned table, declared or hidden.
fn is_end_of_life(part: &KeyPart, columns: &[Column]) -> bool {
    let Some(name) = &part.column else { return false };
    columns.iter().find(|column| column.name == *name).is_none_or(is_row_end)
}

/// One column, or expression, of a unique key.
#[derive(Debug, Clone)]
struct KeyPart {
    index: String,
    column: Option<String>,
    prefix: bool,
    nullable: bool,
    hash: bool,
}

/// The primary key; else the unique key with the fewest columns, by name among several, of whole columns that are
/// never NULL and the same for every session; else the whole row.
fn identity(columns: &[Column], parts: &[KeyPart], flavor: Flavor) -> Identity {
    let index_of = |part: &KeyPart| {
        let name = part.column.as_deref()?;
        columns.iter().position(|column| column.name == name)
    };
    let key = |index: &str| parts.iter().filter(|part| part.index == index).map(index_of).collect::<Option<Vec<_>>>();
    if let Some(columns) = key("PRIMARY").filter(|columns| !columns.is_empty()) {
        return Identity { kind: IdentityKind::PrimaryKey, columns };
    }
    let mut names: Vec<&str> = parts.iter().map(|part| part.index.as_str()).collect();
    names.dedup();
    let usable = |name: &&str| {
        let mut parts = parts.iter().filter(|part| part.index == **name);
        parts.all(|part| !part.nullable && !part.prefix && !part.hash)
    };
    let dependent = session_dependent(columns, flavor);
    let is_the_same = |key: &Vec<usize>| key.iter().all(|column| dependent.get(*column) == Some(&false));
    let keys = names.into_iter().filter(usable).filter_map(key).filter(is_the_same);
    match keys.min_by_key(Vec::len) {
        Some(columns) => Identity { kind: IdentityKind::UniqueKey, columns },
        None => Identity { kind: IdentityKind::WholeRow, columns: (0..columns.len()).collect() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Column {
        Column {
            name: name.into(),
            source_type: "int".into(),
            nullable: false,
            collation: None,
            generated: None,
            default: None,
        }
    }

    fn part(index: &str, column: Option<&str>) -> KeyPart {
        KeyPart { index: index.into(), column: column.map(Into::into), prefix: false, nullable: false, hash: false }
    }

    #[test]
    fn the_identity_is_the_best_key() {
        let columns = [column("a"), column("b"), column("c")];
        let of = |parts: &[KeyPart]| {
            let identity = identity(&columns, parts, Flavor::MySql);
            (identity.kind, identity.columns)
        };
        let primary = [part("PRIMARY", Some("c")), part("PRIMARY", Some("a")), part("u", Some("b"))];
        assert_eq!(of(&primary), (IdentityKind::PrimaryKey, vec![2, 0]));
        let unique = [part("two", Some("a")), part("two", Some("b")), part("wun", Some("c"))];
        assert_eq!(of(&unique), (IdentityKind::UniqueKey, vec![2]));
        let unusable = [
            KeyPart { nullable: true, ..part("n", Some("a")) },
            KeyPart { prefix: true, ..part("p", Some("a")) },
            KeyPart { hash: true, ..part("h", Some("a")) },
            part("f", None),
        ];
        assert_eq!(of(&unusable), (IdentityKind::WholeRow, vec![0, 1, 2]));
    }

    #[test]
    fn patterns_become_conditions_that_no_name_can_break_out_of() {
        let pattern = |table: &str| TablePattern { schema: "s'".into(), table: table.into() };
        assert_eq!(condition(&[]), "FALSE");
        assert_eq!(
            condition(&[pattern("a_b%"), pattern("%"), pattern("c\\")]),
            "(table_schema = 's''' AND table_name LIKE 'a|_b%' ESCAPE '|') OR (table_schema = 's''') OR \
             (table_schema = 's''' AND table_name = 'c\\\\')"
        );
        assert_eq!(quoted("a`b"), "`a``b`");
    }
}
