//! Removing rows from change tables that are durable at our end, where the configuration wants it.
//!
//! The server's own job removes rows once they are older than its retention time, usually three days. A busy database
//! may not want to keep that many. Since a stream only ever asks for what follows an acknowledged position, whatever
//! lies before one is of no use to us; whether it is to others only the operator knows.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millstream_core::error::{SourceError, chain};
use millstream_core::selection::Selection;
use tracing::{debug, info, warn};

use crate::config::Cleanup;
use crate::connect::{Connection, Connector};
use crate::discover::Which;
use crate::error::number;
use crate::field::{lsn, optional_text};
use crate::position::Lsn;
use crate::progress::Progress;
use crate::quote::literal;

/// How long after one cleanup the next begins.
const PAUSE: Duration = Duration::from_secs(15 * 60);
/// How many rows the server removes in one statement: small enough to take no lock on a whole change table.
const ROWS_PER_DELETE: u32 = 4_500;

/// Cleans up now and then, one cleanup at a time.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    last: Mutex<Option<Instant>>,
    running: Arc<AtomicBool>,
    refused: Arc<Refused>,
}

/// The instances for which the server refused a mark. Once that is nothing much, as others clean up beside us; an
/// instance that stays here keeps what should go.
type Refused = Mutex<HashSet<String>>;

impl Cleaner {
    /// Begins a cleanup in the background if it is wanted, time has come, and none is running.
    pub(crate) fn begin(&self, connector: &Arc<Connector>, progress: &Arc<Progress>, selection: Selection) {
        if connector.settings().cleanup == Cleanup::Server || !self.is_due() {
            return;
        }
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let (connector, progress) = (Arc::clone(connector), Arc::clone(progress));
        let (running, refused) = (Arc::clone(&self.running), Arc::clone(&self.refused));
        tokio::spawn(async move {
            if let Err(error) = clean(&connector, &selection, progress.acknowledged(), &refused).await {
                // The next attempt may do better, and the server's own cleanup goes on beside it.
                warn!(error = chain(&error), "can't remove acknowledged rows from change tables");
            }
            running.store(false, Ordering::Release);
        });
    }

    /// Whether it is time for the next one; it counts as begun then.
    fn is_due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

/// Removes what lies before the newest commit that is acknowledged, of the selected tables' instances.
async fn clean(
    connector: &Connector,
    selection: &Selection,
    acknowledged: Lsn,
    refused: &Refused,
) -> Result<(), SourceError> {
    // Removing many rows takes a while.
    let mut connection = connector.open_for_rows().await?;
    // The procedure takes only LSNs of transactions that the mapping knows; scans of an idle log write others into it.
    // It goes back to the first transaction that ended at the same time, to three milliseconds.
    let query = format!(
        "SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping WHERE start_lsn <= {} AND tran_id <> 0x00",
        acknowledged.literal()
    );
    let row = connection.row("look for the newest acknowledged commit", &query, &[]).await?;
    let mark = row.and_then(|row| lsn(&row, 0));
    let Some(mark) = mark.filter(|mark| !mark.is_zero()) else { return Ok(()) };
    let instances = instances(&mut connection, selection, mark).await?;
    lock(refused).retain(|instance| instances.contains(instance));
    for instance in instances {
        clean_up(&mut connection, &instance, mark, refused).await?;
    }
    Ok(())
}

/// One instance. Trouble with it is told, and none of the others'; a connection that broke is everybody's.
async fn clean_up(
    connection: &mut Connection,
    instance: &str,
    mark: Lsn,
    refused: &Refused,
) -> Result<(), SourceError> {
    use number::{CDC_INSTANCE_GONE, CDC_INSTANCE_UNKNOWN, CDC_LSN_OUTSIDE, CDC_LSN_UNKNOWN};
    const FAILED: &str = "can't remove acknowledged rows from a change table";
    let statement = format!(
        "EXEC sys.sp_cdc_cleanup_change_table @capture_instance = {}, @low_water_mark = {}, @threshold = \
         {ROWS_PER_DELETE}",
        literal(instance),
        mark.literal()
    );
    let Err(error) = connection.execute(format!("clean up capture instance {instance}"), &statement).await else {
        lock(refused).remove(instance);
        info!(instance, before = %mark, "removed acknowledged rows from a change table");
        return Ok(());
    };
    match error.number() {
        Some(CDC_INSTANCE_GONE | CDC_INSTANCE_UNKNOWN) => {
            debug!(instance, error = chain(&error), "an instance was dropped before it was cleaned up");
        }
        // The server's own cleanup has been there meanwhile; else that is worth knowing, but not every time.
        Some(CDC_LSN_OUTSIDE | CDC_LSN_UNKNOWN) if !lock(refused).insert(instance.to_owned()) => {
            debug!(instance, before = %mark, error = chain(&error), "{FAILED}");
        }
        _ if connection.is_spoilt() => return Err(error.into()),
        _ => warn!(instance, before = %mark, error = chain(&error), "{FAILED}"),
    }
    Ok(())
}

fn lock(refused: &Refused) -> MutexGuard<'_, HashSet<String>> {
    refused.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The selected tables' instances that hold anything before this.
async fn instances(connection: &mut Connection, selection: &Selection, mark: Lsn) -> Result<Vec<String>, SourceError> {
    let query = format!(
        "SELECT c.capture_instance FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         JOIN cdc.change_tables AS c ON c.source_object_id = t.object_id WHERE {} AND c.start_lsn < {}",
        Which::Selection(selection).condition(),
        mark.literal()
    );
    let rows = connection.rows("list capture instances", &query, &[]).await?;
    Ok(rows.iter().filter_map(|row| optional_text(row, 0)).collect())
}
