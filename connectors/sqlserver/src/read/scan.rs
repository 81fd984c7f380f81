//! Whole tables without any key, by one query that stays open while its parts are taken
//! ([`open_scan`](millstream_core::open_scan)). A row is as it was when the query came by, some time since it began.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::open_scan::{PartLimit, Parts};
use millstream_core::schema::TableSchema;

use super::chunk::CHUNK_BYTES_MAX;
use super::plan::Plan;
use crate::connect::Connection;

/// How long a query waits for its next part to be asked for before it is given up: as long as it is open, nobody can
/// alter the table.
pub(crate) const SCAN_IDLE_MAX: Duration = Duration::from_secs(5 * 60);

/// How large the parts are.
pub(crate) fn part_limit(rows_max: usize) -> PartLimit {
    PartLimit { rows_max, bytes_max: CHUNK_BYTES_MAX }
}

/// Reads a table. The connection is the query's own, and is closed after it.
///
/// # Errors
///
/// [`SourceError::Table`] if the table isn't as the schema says, and what the query meets.
pub(crate) async fn read_whole(
    mut connection: Connection,
    schema: Arc<TableSchema>,
    mut parts: Parts,
) -> Result<(), SourceError> {
    let mut plan = Plan::new(&schema);
    let asked = connection.query(plan.what(), &plan.select(""), &[]).await;
    let mut answer = asked.map_err(|error| error.of_table(&schema.table))?;
    while let Some(row) = answer.next().await.map_err(|error| error.of_table(&schema.table))? {
        let Some(rows) = parts.room().await else { return Ok(()) };
        plan.push(&row, rows)?;
    }
    drop(answer);
    plan.check_denoted(&mut connection).await?;
    parts.finish().await;
    Ok(())
}
