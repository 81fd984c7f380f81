//! Whether a table map and a schema are of the same shape, as far as the map tells.

use millstream_core::schema::{Column, IdentityKind, TableSchema};

use super::charset::{Charset, charset_of_collation_id};
use super::column::LogColumn;
use super::column_type::ColumnType;
use super::table_map::{MapColumn, TableMap};
use super::versioning::{are_hidden, is_period};
use crate::version::Flavor;

/// The map's columns, each with what the schema says of it; else what they disagree on.
pub(super) fn log_columns(flavor: Flavor, map: &TableMap, schema: &TableSchema) -> Result<Vec<LogColumn>, String> {
    let (mapped, rest) = map.columns.split_at_checked(schema.columns.len()).unwrap_or((&[], &[]));
    let rest_is_hidden = flavor == Flavor::MariaDb && are_hidden(rest, schema);
    if mapped.is_empty() || !rest.is_empty() && !rest_is_hidden {
        return Err(format!("the log has {} columns, the schema {}", map.columns.len(), schema.columns.len()));
    }
    check_key(map, schema)?;
    let shown = mapped.iter().zip(&schema.columns).map(|(mapped, column)| log_column(mapped, column));
    let hidden = rest.iter().map(|mapped| LogColumn::hidden(mapped.wire).ok_or_else(|| "a hidden column".to_owned()));
    shown.chain(hidden).collect()
}

fn log_column(mapped: &MapColumn, column: &Column) -> Result<LogColumn, String> {
    let complain = |what: String| format!("column `{}`: {what}", column.name);
    if let Some(name) = &mapped.name
        && *name != column.name
    {
        return Err(complain(format!("the log calls it `{name}`")));
    }
    let column_type = ColumnType::parse(&column.source_type)
        .ok_or_else(|| complain(format!("the type `{}` isn't one that can be read", column.source_type)))?;
    if mapped.nullable != column.nullable {
        let word = if mapped.nullable { "nullable" } else { "NOT NULL" };
        return Err(complain(format!("the log says that it is {word}")));
    }
    if let (Some(mapped), Some(unsigned)) = (mapped.unsigned, column_type.unsigned())
        && mapped != unsigned
    {
        return Err(complain(format!("the log says that it is {}", if mapped { "unsigned" } else { "signed" })));
    }
    check_charset(mapped, &column_type, column).map_err(complain)?;
    check_labels(mapped, &column_type, column).map_err(complain)?;
    LogColumn::new(mapped.wire, &column_type, column)
        .ok_or_else(|| complain(format!("the schema says `{}`, the log {:?}", column.source_type, mapped.wire)))
}

fn check_charset(mapped: &MapColumn, column_type: &ColumnType, column: &Column) -> Result<(), String> {
    const BINARY: u64 = 63;
    let is_text = column_type.has_charset();
    let Some(id) = mapped.collation.filter(|_| is_text || column_type.is_bytes()) else { return Ok(()) };
    let known = column.collation.as_deref().filter(|_| is_text).and_then(Charset::of_collation);
    match (charset_of_collation_id(id), known) {
        (Some(told), Some(known)) if told == known.name() => Ok(()),
        (Some(told), _) => Err(format!("the log says that its character set is {told}")),
        (None, Some(_)) if id == BINARY => Err("the log says that it has no character set".to_owned()),
        // No text on either side, or a collation that is newer than this program, which is no disagreement.
        (None, _) => Ok(()),
    }
}

fn check_labels(mapped: &MapColumn, column_type: &ColumnType, column: &Column) -> Result<(), String> {
    let (ColumnType::Enum { labels } | ColumnType::Set { labels }) = column_type else { return Ok(()) };
    let Some(mapped) = &mapped.labels else { return Ok(()) };
    let Some(charset) = column.collation.as_deref().and_then(Charset::of_collation) else { return Ok(()) };
    // The schema's labels come through the server's own names' character set, which has a question mark in place of
    // what lies beyond three bytes.
    let readable = |label: &Vec<u8>| -> String {
        let mut scratch = String::new();
        let text = charset.decode(label, &mut scratch);
        text.chars().map(|character| if character > '\u{ffff}' { '?' } else { character }).collect()
    };
    if mapped.len() == labels.len() && mapped.iter().zip(labels).all(|(mapped, label)| readable(mapped) == *label) {
        return Ok(());
    }
    Err("the log has other labels".to_owned())
}

/// The server uses the primary key or, without one, a unique key that need not be the one in our schema.
fn check_key(map: &TableMap, schema: &TableSchema) -> Result<(), String> {
    let tells_all = map.columns.iter().any(|column| column.name.is_some());
    // The end of a row's life is part of the key of a versioned table, whether hidden or declared. Of rows that haven't
    // ended it is always the same.
    let counts = |index: &&usize| schema.columns.get(**index).is_some_and(|column| !is_period(column));
    let key: Option<Vec<usize>> = map.primary_key.as_ref().map(|key| key.iter().filter(counts).copied().collect());
    let identity: Vec<usize> = schema.identity.columns.iter().filter(counts).copied().collect();
    let agrees = match (schema.identity.kind, &key) {
        (IdentityKind::PrimaryKey, Some(key)) => *key == identity,
        (IdentityKind::PrimaryKey | IdentityKind::UniqueKey, None) => !tells_all,
        (IdentityKind::UniqueKey, Some(_)) | (IdentityKind::WholeRow, None) => true,
        (IdentityKind::WholeRow, Some(key)) => key.is_empty(),
    };
    if agrees { Ok(()) } else { Err("the log has another key".to_owned()) }
}

#[cfg(test)]
mod tests {
    use millstream_core::schema::{Identity, TableName};

    use super::super::table_map::WireType;
    use super::*;

    fn mapped(wire: WireType) -> MapColumn {
        MapColumn { wire, nullable: false, unsigned: None, collation: None, name: None, labels: None }
    }

    fn column(name: &str, source_type: &str, collation: Option<&str>) -> Column {
        Column {
            name: name.to_owned(),
            source_type: source_type.to_owned(),
            nullable: false,
            collation: collation.map(str::to_owned),
            generated: None,
            default: None,
        }
    }

    /// A table of which the log tells all it can.
    fn told() -> (TableMap, TableSchema) {
        let mut columns = [
            mapped(WireType::Int { bytes: 4 }),
            mapped(WireType::VarChar { bytes: 40, compressed: false }),
            mapped(WireType::Enum { bytes: 1 }),
        ];
        columns[0].unsigned = Some(true);
        columns[1].collation = Some(45);
        columns[2].labels = Some(vec![b"a".to_vec(), "ö".as_bytes().to_vec()]);
        for (column, name) in columns.iter_mut().zip(["id", "name", "kind"]) {
            column.name = Some(name.to_owned());
        }
        let map = TableMap {
            table_id: 1,
            schema: "d".to_owned(),
            table: "t".to_owned(),
            columns: columns.to_vec(),
            primary_key: Some(vec![0]),
            has_metadata: true,
        };
        let schema = TableSchema {
            table: TableName::new("d", "t"),
            columns: vec![
                column("id", "int unsigned", None),
                column("name", "varchar(10)", Some("utf8mb4_0900_ai_ci")),
                column("kind", "enum('a','ö')", Some("utf8mb4_0900_ai_ci")),
            ],
            identity: Identity { kind: IdentityKind::PrimaryKey, columns: vec![0] },
            origin: None,
        };
        (map, schema)
    }

    #[test]
    fn a_schema_that_differs_in_anything_that_is_told_is_refused() {
        let (map, schema) = told();
        assert!(log_columns(Flavor::MySql, &map, &schema).is_ok());
        let changes: [fn(&mut TableSchema); 13] = [
            |schema| drop(schema.columns.pop()),
            |schema| schema.columns.push(column("more", "bigint unsigned", None)),
            |schema| schema.columns[0].name = "key".to_owned(),
            |schema| schema.columns[0].nullable = true,
            |schema| schema.columns[0].source_type = "int".to_owned(),
            |schema| schema.columns[0].source_type = "bigint unsigned".to_owned(),
            |schema| schema.columns[0].source_type = "hologram".to_owned(),
            |schema| schema.columns[1].collation = Some("latin1_swedish_ci".to_owned()),
            |schema| schema.columns[1].source_type = "varchar(11)".to_owned(),
            |schema| schema.columns[1] = column("name", "varbinary(40)", None),
            |schema| schema.columns[2].source_type = "enum('ö','a')".to_owned(),
            |schema| schema.columns.swap(1, 2),
            |schema| schema.identity.columns = vec![1],
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut other = schema.clone();
            change(&mut other);
            assert!(log_columns(Flavor::MySql, &map, &other).is_err(), "change {number}");
        }
    }

    #[test]
    fn bytes_arent_texts() {
        let (mut map, mut schema) = told();
        map.columns[1].collation = Some(63);
        assert!(log_columns(Flavor::MySql, &map, &schema).is_err());
        schema.columns[1] = column("name", "varbinary(40)", None);
        assert!(log_columns(Flavor::MySql, &map, &schema).is_ok());
    }

    #[test]
    fn only_mariadb_keeps_columns_that_its_schemas_dont_show() {
        let (mut map, mut schema) = told();
        let mut hash = mapped(WireType::Int { bytes: 8 });
        hash.unsigned = Some(true);
        hash.name = Some("DB_ROW_HASH_1".to_owned());
        map.columns.push(hash);
        schema.columns[1].source_type = "varchar(300)".to_owned();
        map.columns[1].wire = WireType::VarChar { bytes: 1_200, compressed: false };
        assert!(log_columns(Flavor::MySql, &map, &schema).is_err());
        assert!(log_columns(Flavor::MariaDb, &map, &schema).is_ok());
        map.columns[3].name = Some("added".to_owned());
        assert!(log_columns(Flavor::MariaDb, &map, &schema).is_err());
    }
}
