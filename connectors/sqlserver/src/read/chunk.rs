//! Reads that end: one range of a table, and rows by identity.

use std::collections::HashSet;

use millstream_core::error::SourceError;
use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::source::{Cursor, KeyRange};

use super::plan::Plan;
use super::statement::Statement;
use crate::connect::Connection;
use crate::keyset::in_turn;

/// How large the values of one chunk may be before it ends early, in bytes. A row that is larger is a chunk of its own.
pub(super) const CHUNK_BYTES_MAX: usize = 4 << 20;
/// How many rows one statement asks for by identity.
const IDENTITIES_PER_STATEMENT_MAX: usize = 500;
/// How many values may go beside one statement before it is sent: the server takes 2,100, and the last identity may
/// have as many as a table has columns.
const PARAMETERS_PER_STATEMENT_MAX: usize = 1_000;

/// Rows that were read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// They themselves.
    pub(crate) rows: RowBatch,
    /// Where the range goes on; `None` at its end.
    pub(crate) next: Option<Cursor>,
}

/// The first rows of a range in identity order, of a table with a key. The connection is spoilt where the chunk ended
/// early because of its size.
///
/// # Errors
///
/// [`SourceError::Table`] if the table isn't as the schema says, and what its statement meets.
pub(crate) async fn read_range(
    connection: &mut Connection,
    schema: &TableSchema,
    range: &KeyRange,
    limit_rows: usize,
) -> Result<Answer, SourceError> {
    let mut plan = Plan::new(schema);
    let limit_rows = limit_rows.max(1);
    let mut statement = Statement::default();
    let stretches = plan.stretches(range, &mut statement)?;
    let order = plan.key_order();
    let select = |top: &str, stretch: &str| {
        let condition = if stretch.is_empty() { String::new() } else { format!(" WHERE {stretch}") };
        format!("{}{condition} ORDER BY {order}", plan.select(top))
    };
    statement.push(&in_turn(&limit_rows.to_string(), &stretches, select));
    let answer = take_chunk(connection, &mut plan, &statement, limit_rows).await?;
    if answer.rows.is_empty() {
        plan.check_denoted(connection).await?;
    }
    Ok(answer)
}

async fn take_chunk(
    connection: &mut Connection,
    plan: &mut Plan<'_>,
    statement: &Statement,
    limit_rows: usize,
) -> Result<Answer, SourceError> {
    let table = &plan.schema().table;
    let asked = connection.query(plan.what(), &statement.sql, &statement.parameters()).await;
    let mut answer = asked.map_err(|error| error.of_table(table))?;
    let mut rows = RowBatch::new(plan.schema().columns.len());
    while let Some(row) = answer.next().await.map_err(|error| error.of_table(table))? {
        plan.push(&row, &mut rows)?;
        if rows.size_bytes() >= CHUNK_BYTES_MAX && rows.len() < limit_rows {
            return ended(plan, rows);
        }
    }
    if rows.len() < limit_rows { Ok(Answer { rows, next: None }) } else { ended(plan, rows) }
}

/// A chunk after which more may follow.
fn ended(plan: &Plan<'_>, rows: RowBatch) -> Result<Answer, SourceError> {
    let last = rows.len().checked_sub(1).and_then(|last| rows.row(last));
    let next = last.map(|row| plan.cursor_after(row)).transpose()?;
    Ok(Answer { rows, next })
}

/// The rows with these identities. Those that don't exist aren't in the answer.
///
/// Comparisons in SQL may find more than what was asked for (collations hold different texts for equal, and some types
/// don't compare at all), so each row found is held against the identities themselves.
///
/// # Errors
///
/// As [`read_range`].
pub(crate) async fn read_keys(
    connection: &mut Connection,
    schema: &TableSchema,
    identities: &RowBatch,
) -> Result<RowBatch, SourceError> {
    let mut plan = Plan::new(schema);
    let mut wanted = HashSet::with_capacity(identities.len());
    let mut key = Vec::new();
    for identity in identities.rows() {
        schema.row_key(identity, &mut key);
        wanted.insert(key.clone());
    }
    let mut found = RowBatch::new(schema.columns.len());
    let mut first = 0;
    while first < identities.len() {
        let (statement, count) = ask_for(&plan, identities, first);
        first += count;
        read_matching(connection, &mut plan, &statement, &mut wanted, &mut found).await?;
    }
    if found.is_empty() {
        plan.check_denoted(connection).await?;
    }
    Ok(found)
}

/// As many identities as fit into one statement.
fn ask_for(plan: &Plan<'_>, identities: &RowBatch, first: usize) -> (Statement, usize) {
    let mut statement = Statement::default();
    statement.push(&plan.select(""));
    let mut word = " WHERE ";
    let mut count = 0;
    while count < IDENTITIES_PER_STATEMENT_MAX && statement.parameter_count() < PARAMETERS_PER_STATEMENT_MAX {
        let Some(identity) = identities.row(first + count) else { break };
        let condition = plan.has_identity(identity, &mut statement);
        statement.push(word);
        statement.push(&condition);
        word = " OR ";
        count += 1;
    }
    (statement, count.max(1))
}

/// Every identity is found once: of equal rows without a key one stands for all.
async fn read_matching(
    connection: &mut Connection,
    plan: &mut Plan<'_>,
    statement: &Statement,
    wanted: &mut HashSet<Vec<u8>>,
    found: &mut RowBatch,
) -> Result<(), SourceError> {
    let schema = plan.schema();
    let asked = connection.query(plan.what(), &statement.sql, &statement.parameters()).await;
    let mut answer = asked.map_err(|error| error.of_table(&schema.table))?;
    let mut key = Vec::new();
    while let Some(row) = answer.next().await.map_err(|error| error.of_table(&schema.table))? {
        let mut candidate = RowBatch::new(schema.columns.len());
        plan.push(&row, &mut candidate)?;
        let Some(row) = candidate.row(0) else { continue };
        schema.row_key(row, &mut key);
        if wanted.remove(&key) {
            found.push_row(row).map_err(|error| plan.mismatch(error.to_string()))?;
        }
    }
    Ok(())
}
