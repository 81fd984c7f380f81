//! Whole tables without any key, by one query that stays open while its parts are taken
//! ([`open_scan`](millstream_core::open_scan)). All parts show the table as it was when the query began.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::open_scan::{PartLimit, Parts};
use millstream_core::schema::TableSchema;

use super::chunk::CHUNK_BYTES_MAX;
use super::plan::Plan;
use crate::error::classify_read;
use crate::wire::Packets;

/// How long a query waits for its next part to be asked for before it is given up, with what the server holds for it.
pub(crate) const SCAN_IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// How long the server waits for us to take in rows, in seconds: longer than we wait ourselves.
const SERVER_WAITS_SECONDS: u64 = 2 * SCAN_IDLE_MAX.as_secs();

/// How large the parts are.
pub(crate) fn part_limit(rows_max: usize) -> PartLimit {
    PartLimit { rows_max, bytes_max: CHUNK_BYTES_MAX }
}

/// Reads a table. The connection is the query's own until it ends; what is visible on it now, and a transaction that is
/// open on it, are what the query sees.
///
/// # Errors
///
/// [`SourceError::Table`] if the table isn't as the schema says, and what the query meets.
pub(crate) async fn read_whole(
    mut conn: Packets,
    schema: Arc<TableSchema>,
    mut parts: Parts,
) -> Result<(), SourceError> {
    let plan = Plan::new(&schema)?;
    let failed = |error| classify_read(plan.table(), error);
    conn.execute(&format!("SET SESSION net_write_timeout = {SERVER_WAITS_SECONDS}")).await.map_err(failed)?;
    let mut answer = conn.select(&plan.select()).await.map_err(failed)?;
    plan.check(answer.columns())?;
    let mut text = String::new();
    while let Some(row) = answer.next().await.map_err(failed)? {
        let Some(rows) = parts.room().await else { return Ok(()) };
        plan.push(row, rows, &mut text)?;
    }
    parts.finish().await;
    Ok(())
}
