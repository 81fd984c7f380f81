//! Dividing a table into ranges that can be read side by side.

use millstream_core::error::SourceError;
use millstream_core::row::RowBatch;
use millstream_core::schema::{TableName, TableSchema};
use millstream_core::source::{Cursor, KeyRange};
use tiberius::Row;

use super::key::KeyColumn;
use super::plan::{Plan, cursor_of};
use super::statement::Parameter;
use crate::connect::Connection;
use crate::decode::{ColumnType, RowDecoder, select_list};
use crate::field::bigint;
use crate::quote::{literal, quoted_table};

/// A range of fewer rows isn't worth a connection of its own.
const ROWS_PER_RANGE_MIN: u64 = 20_000;
/// Up to how many rows an index is walked along to find where ranges end.
const ROWS_STEPPED_MAX: u64 = 4_000_000;

/// About how many rows a table has, as the server counts them by and by; `None` if there is no such table.
///
/// # Errors
///
/// What the statement meets.
pub(crate) async fn estimate_rows(connection: &mut Connection, table: &TableName) -> Result<Option<u64>, SourceError> {
    // The heap or the clustered index, which have every row.
    let query = format!(
        "SELECT SUM(CAST(rows AS bigint)) FROM sys.partitions WHERE object_id = OBJECT_ID({}) AND index_id IN (0, 1)",
        literal(&quoted_table(table))
    );
    let row = connection.row(format!("estimate the rows of {table}"), &query, &[]).await?;
    let rows = row.and_then(|row| bigint(&row, 0));
    Ok(rows.and_then(|rows| u64::try_from(rows).ok()))
}

/// At most `parts` ranges in order, together covering every identity.
///
/// Where the key begins with an integer, what lies between the least and the greatest is divided evenly. Other keys are
/// walked along in the index, unless the table is too large for that.
///
/// # Errors
///
/// [`SourceError::Table`] if the table isn't as the schema says, and what the statements meet.
pub(crate) async fn split(
    connection: &mut Connection,
    schema: &TableSchema,
    parts: usize,
) -> Result<Vec<KeyRange>, SourceError> {
    let plan = Plan::new(schema);
    let rows = estimate_rows(connection, &schema.table).await?.unwrap_or_default();
    let parts = (parts as u64).min(rows / ROWS_PER_RANGE_MIN).max(1);
    let Some(first) = plan.key().first().copied().filter(|_| plan.has_key() && parts > 1) else {
        return Ok(vec![KeyRange::default()]);
    };
    let ends = match first.column_type {
        // A bit has no least and no greatest.
        ColumnType::Integer if first.column.source_type != "bit" => {
            between_extremes(connection, &plan, first, parts).await?
        }
        _ if rows <= ROWS_STEPPED_MAX => step_along(connection, &plan, first, rows / parts, parts).await?,
        _ => Vec::new(),
    };
    Ok(KeyRange::divided_at(ends))
}

async fn between_extremes(
    connection: &mut Connection,
    plan: &Plan<'_>,
    first: KeyColumn<'_>,
    parts: u64,
) -> Result<Vec<Cursor>, SourceError> {
    let name = first.name();
    let query = format!("SELECT MIN({name}), MAX({name}) FROM {}", plan.table());
    let asked = connection.row(plan.what(), &query, &[]).await;
    let row = asked.map_err(|error| error.of_table(&plan.schema().table))?;
    let extreme = |place| row.as_ref().and_then(|row| integer(row, place));
    let (Some(least), Some(greatest)) = (extreme(0), extreme(1)) else { return Ok(Vec::new()) };
    Ok(even_ends(least, greatest, parts).map(|end| cursor_of(&[Some(Parameter::Int(end))])).collect())
}

fn integer(row: &Row, place: usize) -> Option<i64> {
    use tiberius::ColumnData;
    match row.get_column_data(place).ok()? {
        ColumnData::U8(value) => value.map(i64::from),
        ColumnData::I16(value) => value.map(i64::from),
        ColumnData::I32(value) => value.map(i64::from),
        ColumnData::I64(value) => *value,
        _ => None,
    }
}

/// Where `parts` ranges of the same width end, the last one's end left out. Growing and without repetition.
fn even_ends(least: i64, greatest: i64, parts: u64) -> impl Iterator<Item = i64> {
    let parts = i128::from(parts);
    let (least, greatest) = (i128::from(least), i128::from(greatest));
    let width = (greatest - least) / parts;
    let ends = (1..parts).map(move |part| least + width * part).take_while(move |_| width > 0);
    ends.filter_map(|end| i64::try_from(end).ok())
}

/// Every so many rows along the key's index.
async fn step_along(
    connection: &mut Connection,
    plan: &Plan<'_>,
    first: KeyColumn<'_>,
    step: u64,
    parts: u64,
) -> Result<Vec<Cursor>, SourceError> {
    // A schema of nothing but the key's first column, so that its value is read as any other.
    let schema = TableSchema { columns: vec![first.column.clone()], ..plan.schema().clone() };
    let name = first.name();
    let query = format!(
        "SELECT {} FROM (SELECT {name}, ROW_NUMBER() OVER (ORDER BY {}) AS [place in order] FROM {}) AS walked \
         WHERE [place in order] % {} = 0 ORDER BY [place in order]",
        select_list(&schema, ""),
        plan.key_order(),
        plan.table(),
        step.max(1)
    );
    let asked = connection.rows(plan.what(), &query, &[]).await;
    let rows = asked.map_err(|error| error.of_table(&schema.table))?;
    let mut decoder = RowDecoder::new(&schema);
    let mut values = RowBatch::new(1);
    for row in &rows {
        decoder.push(row, 0, &mut values).map_err(|error| plan.mismatch(error.to_string()))?;
    }
    let mut ends: Vec<Cursor> = Vec::new();
    for value in values.rows().filter_map(|row| row.get(0)) {
        let end = plan.cursor(std::iter::once(value))?;
        // Rows that begin alike fall into one range.
        if ends.last() != Some(&end) && (ends.len() as u64) < parts - 1 {
            ends.push(end);
        }
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_grow_and_stay_between_the_extremes() {
        let ends = |least, greatest, parts| even_ends(least, greatest, parts).collect::<Vec<_>>();
        assert_eq!(ends(0, 100, 4), [25, 50, 75]);
        assert_eq!(ends(5, 6, 4), [0_i64; 0]);
        let all = ends(i64::MIN, i64::MAX, 3);
        assert!(all.len() == 2 && all.is_sorted(), "{all:?}");
    }
}
