//! MariaDB's columns that its schemas don't show, and its tables that keep what rows were (`WITH SYSTEM VERSIONING`).
//!
//! Such a table has two columns that tell from when and until when a row was like this, declared or hidden. The log
//! shows an update as an update of the row and an insert of what it was; a delete as an update that ends the row. A
//! row that has ended is history: queries don't show it unless they ask, and so it doesn't exist for us.

use millstream_core::schema::{Column, Generated, TableSchema};

use super::column_type::ColumnType;
use super::table_map::{MapColumn, TableMap, WireType};

/// A row whose end this is hasn't ended: the last moment of TIMESTAMP(6), in 31 bits and since MariaDB 11.5 in 32, or
/// of transaction numbers.
const NEVER: [&[u8]; 3] = [
    &[0x7f, 0xff, 0xff, 0xff, 0x0f, 0x42, 0x3f],
    &[0xff, 0xff, 0xff, 0xff, 0x0f, 0x42, 0x3f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

/// Whether a row with this end is history.
pub(super) fn has_ended(row_end: &[u8]) -> bool {
    !NEVER.contains(&row_end)
}

/// Whether a column is one of the two, as the schema tells.
pub(crate) fn is_period(column: &Column) -> bool {
    matches!(&column.generated, Some(Generated::Stored(moment)) if moment == "ROW START") || is_row_end(column)
}

/// Whether a column is declared to tell a row's end.
pub(crate) fn is_row_end(column: &Column) -> bool {
    matches!(&column.generated, Some(Generated::Stored(moment)) if moment == "ROW END")
}

/// The index of the column that tells a row's end.
pub(super) fn row_end(map: &TableMap, schema: &TableSchema) -> Option<usize> {
    let declared = schema.columns.iter().position(is_row_end);
    let second_hidden = schema.columns.len() + 1;
    let hidden = || map.columns.get(second_hidden).filter(|column| is_moment(column)).map(|_| second_hidden);
    declared.or_else(hidden)
}

/// Whether these can be the columns that MariaDB keeps behind those of the schema: the two of a versioned table, then
/// the hashes by which it keeps values unique that are too long for an index.
pub(super) fn are_hidden(columns: &[MapColumn], schema: &TableSchema) -> bool {
    let hashes = match columns {
        [start, end, hashes @ ..] if is_moment(start) && is_moment(end) => hashes,
        hashes => hashes,
    };
    hashes.is_empty() || hashes.iter().all(is_hash) && schema.columns.iter().any(is_long)
}

fn is_moment(column: &MapColumn) -> bool {
    let name_fits = column.name.as_deref().is_none_or(|name| matches!(name, "row_start" | "row_end"));
    column.wire == WireType::Timestamp { fraction: 6 } && !column.nullable && name_fits
}

fn is_hash(column: &MapColumn) -> bool {
    let name_fits = column.name.as_deref().is_none_or(|name| name.starts_with("DB_ROW_HASH_"));
    column.wire == WireType::Int { bytes: 8 } && column.unsigned != Some(false) && name_fits
}

/// Whether its values may be too long for an index.
fn is_long(column: &Column) -> bool {
    const INDEXED_CHARACTERS_MIN: u32 = 190;
    match ColumnType::parse(&column.source_type) {
        Some(ColumnType::Text { .. } | ColumnType::Blob { .. }) => true,
        Some(ColumnType::VarChar { characters: length, .. } | ColumnType::VarBinary { length, .. }) => {
            length > INDEXED_CHARACTERS_MIN
        }
        _ => false,
    }
}
