//! Reads that end: one range of a table, and rows by identity.

use std::collections::HashSet;

use millstream_core::error::SourceError;
use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::source::{Cursor, KeyRange};

use super::plan::Plan;
use crate::error::classify_read;
use crate::wire::Packets;

/// How large the values of one chunk may be before it ends early. A row that is larger is a chunk of its own.
pub(super) const CHUNK_BYTES_MAX: usize = 4 << 20;
/// How many rows one statement asks for by identity.
const IDENTITIES_PER_STATEMENT_MAX: usize = 500;
/// How long such a statement may become, in bytes, before it is sent.
const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// Rows that were read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// They themselves.
    pub(crate) rows: RowBatch,
    /// Where the range goes on; `None` at its end.
    pub(crate) next: Option<Cursor>,
    /// Whether the connection still holds rows that nobody wants. It is of no use then, and closing it is cheaper than
    /// reading them.
    pub(crate) unread: bool,
}

/// The first rows of a range in identity order, of a table with a key.
///
/// # Errors
///
/// [`SourceError::Table`] if the table isn't as the schema says, and what its statement meets. After an error the
/// connection is of no use.
pub(crate) async fn read_range(
    conn: &mut Packets,
    schema: &TableSchema,
    range: &KeyRange,
    limit_rows: usize,
) -> Result<Answer, SourceError> {
    let plan = Plan::new(schema)?;
    let limit_rows = limit_rows.max(1);
    let query = format!(
        "{}{}{} ORDER BY {} LIMIT {limit_rows}",
        plan.select(),
        plan.key_hint(),
        plan.within(range)?,
        plan.key_order()
    );
    let failed = |error| classify_read(plan.table(), error);
    let mut answer = conn.select(&query).await.map_err(failed)?;
    plan.check(answer.columns())?;
    let mut rows = RowBatch::new(schema.columns.len());
    let mut text = String::new();
    let mut next = None;
    while let Some(row) = answer.next().await.map_err(failed)? {
        plan.push(row, &mut rows, &mut text)?;
        if rows.len() >= limit_rows {
            // Nothing but the mark of the end follows.
            next = Some(plan.cursor_after(row)?);
        } else if rows.size_bytes() >= CHUNK_BYTES_MAX {
            let next = Some(plan.cursor_after(row)?);
            return Ok(Answer { rows, next, unread: true });
        }
    }
    answer.close().await.map_err(failed)?;
    Ok(Answer { rows, next, unread: false })
}

/// The rows with these identities. Those that don't exist aren't in the answer.
///
/// Comparisons in SQL may find more than what was asked for (collations hold different texts for equal, and some types
/// don't compare at all), so that each row found is held against the identities themselves.
///
/// # Errors
///
/// As [`read_range`].
pub(crate) async fn read_keys(
    conn: &mut Packets,
    schema: &TableSchema,
    identities: &RowBatch,
) -> Result<RowBatch, SourceError> {
    let plan = Plan::new(schema)?;
    let mut wanted = HashSet::with_capacity(identities.len());
    let mut key = Vec::new();
    for identity in identities.rows() {
        schema.row_key(identity, &mut key);
        wanted.insert(key.clone());
    }
    let mut found = RowBatch::new(schema.columns.len());
    let mut first = 0;
    while first < identities.len() {
        let (condition, count) = conditions(&plan, identities, first);
        first += count;
        read_matching(conn, &plan, schema, &condition, &mut wanted, &mut found).await?;
    }
    Ok(found)
}

/// As many identities as fit into one statement.
fn conditions(plan: &Plan<'_>, identities: &RowBatch, first: usize) -> (String, usize) {
    let mut condition = String::new();
    let mut count = 0;
    while count < IDENTITIES_PER_STATEMENT_MAX && condition.len() < STATEMENT_BYTES_MAX {
        let Some(identity) = identities.row(first + count) else { break };
        condition.push_str(if count == 0 { "" } else { " OR " });
        condition.push_str(&plan.has_identity(identity));
        count += 1;
    }
    (condition, count.max(1))
}

/// Every identity is found once: of equal rows without a key one stands for all.
async fn read_matching(
    conn: &mut Packets,
    plan: &Plan<'_>,
    schema: &TableSchema,
    condition: &str,
    wanted: &mut HashSet<Vec<u8>>,
    found: &mut RowBatch,
) -> Result<(), SourceError> {
    let failed = |error| classify_read(plan.table(), error);
    let query = format!("{} WHERE {condition}", plan.select());
    let mut answer = conn.select(&query).await.map_err(failed)?;
    plan.check(answer.columns())?;
    let mut candidate = RowBatch::new(schema.columns.len());
    let (mut text, mut key) = (String::new(), Vec::new());
    while let Some(row) = answer.next().await.map_err(failed)? {
        plan.push(row, &mut candidate, &mut text)?;
        if let Some(row) = candidate.row(0) {
            schema.row_key(row, &mut key);
            if wanted.remove(&key) {
                found.push_row(row).map_err(|error| plan.mismatch(error.to_string()))?;
            }
        }
        candidate = RowBatch::new(schema.columns.len());
    }
    answer.close().await.map_err(failed)
}
