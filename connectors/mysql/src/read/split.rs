//! Dividing a table into ranges that can be read side by side.

use millstream_core::error::SourceError;
use millstream_core::schema::TableSchema;
use millstream_core::source::{Cursor, KeyRange};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use super::key_column::{KeyColumn, quoted_name};
use super::key_value::KeyValue;
use super::plan::{Plan, cursor_of};
use crate::connect::ROW_SESSION;
use crate::decode::bytes::big_endian;
use crate::decode::column_type::ColumnType;
use crate::error::classify_read;

/// A range of fewer rows isn't worth a connection of its own.
const ROWS_PER_RANGE_MIN: u64 = 20_000;
/// Up to how many rows an index is walked along to find where ranges end.
const ROWS_STEPPED_MAX: u64 = 4_000_000;

/// About how many rows a table has, as its engine guesses; `None` if it doesn't.
///
/// # Errors
///
/// What the statement meets.
pub(crate) async fn estimate_rows(conn: &mut Conn, schema: &TableSchema) -> Result<Option<u64>, SourceError> {
    let query = "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";
    let rows: Option<Option<u64>> = conn
        .exec_first(query, (&schema.table.schema, &schema.table.name))
        .await
        .map_err(|error| classify_read(&schema.table, error))?;
    Ok(rows.flatten())
}

/// At most `parts` ranges in order, together covering every identity.
///
/// Where the key begins with an integer or with bytes, what lies between the least and the greatest is divided evenly.
/// Other keys are walked along in the index, unless the table is too large for that.
///
/// # Errors
///
/// [`SourceError::Table`] if the table isn't as the schema says, and what the statements meet.
pub(crate) async fn split(conn: &mut Conn, schema: &TableSchema, parts: usize) -> Result<Vec<KeyRange>, SourceError> {
    let plan = Plan::new(schema)?;
    let rows = estimate_rows(conn, schema).await?.unwrap_or_default();
    let parts = (parts as u64).min(rows / ROWS_PER_RANGE_MIN).max(1);
    let Some(first) = plan.key().first().copied().filter(|_| plan.has_key() && parts > 1) else {
        return Ok(vec![KeyRange::default()]);
    };
    conn.query_drop(ROW_SESSION).await.map_err(|error| classify_read(plan.table(), error))?;
    let ends = match first.column_type() {
        ColumnType::Int { .. } | ColumnType::Binary { .. } => between_extremes(conn, &plan, first, parts).await?,
        _ if rows <= ROWS_STEPPED_MAX => step_along(conn, &plan, rows / parts, parts).await?,
        _ => Vec::new(),
    };
    Ok(KeyRange::divided_at(ends))
}

async fn between_extremes(
    conn: &mut Conn,
    plan: &Plan<'_>,
    first: KeyColumn<'_>,
    parts: u64,
) -> Result<Vec<Cursor>, SourceError> {
    let name = quoted_name(&first.column.name);
    let query = format!("SELECT MIN({name}), MAX({name}) FROM {}", plan.quoted_table());
    let row: Option<Row> = conn.exec_first(query, ()).await.map_err(|error| classify_read(plan.table(), error))?;
    let extreme = |index| row.as_ref().and_then(|row| row.as_ref(index)).and_then(number);
    let (Some(least), Some(greatest)) = (extreme(0), extreme(1)) else { return Ok(Vec::new()) };
    Ok(even_ends(least, greatest, parts).map(|end| cursor_of(&[value_of(end, first.column_type())])).collect())
}

/// The first eight bytes stand for all.
const LEADING_BYTES: usize = 8;

/// As a number that sorts as the value does.
fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::UInt(number) => Some(i128::from(*number)),
        Value::Bytes(bytes) => {
            let mut leading = [0; LEADING_BYTES];
            leading.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
            Some(i128::from(big_endian(&leading)))
        }
        _ => None,
    }
}

fn value_of(number: i128, column_type: &ColumnType) -> KeyValue {
    match column_type {
        ColumnType::Binary { .. } => KeyValue::from_bytes(&(number as u64).to_be_bytes()),
        _ => KeyValue::from_integer(number),
    }
}

/// Where `parts` ranges of the same width end, the last one's end left out. Growing and without repetition.
fn even_ends(least: i128, greatest: i128, parts: u64) -> impl Iterator<Item = i128> {
    let parts = i128::from(parts);
    let width = (greatest - least) / parts;
    (1..parts).map(move |part| least + width * part).take_while(move |_| width > 0)
}

async fn step_along(conn: &mut Conn, plan: &Plan<'_>, step: u64, parts: u64) -> Result<Vec<Cursor>, SourceError> {
    let mut ends: Vec<Cursor> = Vec::new();
    while (ends.len() as u64) < parts - 1 {
        let after = KeyRange { after: ends.last().cloned(), upto: None };
        let query = format!(
            "SELECT {} FROM {}{}{} ORDER BY {} LIMIT 1 OFFSET {step}",
            plan.key_list(),
            plan.quoted_table(),
            plan.key_hint(),
            plan.within(&after)?,
            plan.key_order()
        );
        let row: Option<Row> = conn.exec_first(query, ()).await.map_err(|error| classify_read(plan.table(), error))?;
        let Some(row) = row else { break };
        let key = plan.key();
        let values = key.iter().enumerate().map(|(index, column)| (*column, row.as_ref(index).unwrap_or(&Value::NULL)));
        ends.push(plan.cursor(values)?);
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_divide_evenly_and_dont_repeat() {
        assert_eq!(even_ends(0, 100, 4).collect::<Vec<_>>(), [25, 50, 75]);
        assert_eq!(even_ends(5, 5, 4).collect::<Vec<_>>(), Vec::<i128>::new());
        assert_eq!(even_ends(0, 2, 4).collect::<Vec<_>>(), Vec::<i128>::new());
        let all = even_ends(i128::from(i64::MIN), i128::from(u64::MAX), 3).collect::<Vec<_>>();
        assert!(all.is_sorted() && all.len() == 2);
    }

    #[test]
    fn bytes_sort_as_their_numbers() {
        let of = |bytes: &[u8]| number(&Value::Bytes(bytes.to_vec())).unwrap();
        assert!(of(b"a") < of(b"ab") && of(b"ab") < of(b"b") && of(b"") < of(b"\x01"));
        assert_eq!(number(&Value::NULL), None);
    }
}
