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
    let Some(id) = mapped.collation.filter(|_| column_type.has_charset()) else { return Ok(()) };
    let known = column.collation.as_deref().and_then(Charset::of_collation);
    // A collation that is newer than this program is no disagreement.
    let Some(charset) = charset_of_collation_id(id) else { return Ok(()) };
    match known {
        Some(known) if known.name() == charset => Ok(()),
        _ => Err(format!("the log says that its character set is {charset}")),
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
