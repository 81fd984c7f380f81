//! What the stream has shown must be visible to a read that begins afterwards.
//!
//! A server writes a transaction to its log, where the stream finds it, a little before the transaction becomes
//! visible in its tables. A read in between would miss rows that the stream has delivered already, and would undo them.
//!
//! - MySQL with GTIDs: a GTID is among the executed ones only once its transaction is visible, so the read waits for
//!   all those that the stream has delivered.
//! - MariaDB: a snapshot that is taken consistently with the log tells its own place in it, exactly. The read takes
//!   place in such a snapshot, which is taken again until it isn't before the stream's place.
//! - MySQL without GTIDs has no means to tell. Between the two moments there is no waiting for another machine, unless
//!   semi-synchronous replication waits there, of which `check` warns, and for the disk only as long as the server's
//!   settings say. So a pause after the last delivery is what can be done.

use std::time::Duration;

use millstream_core::error::SourceError;
use mysql_async::Row;
use tokio::time::{Instant, sleep};

use crate::connect::{Connection, Session};
use crate::discover::literal;
use crate::gtid::GtidSet;
use crate::position::LogFile;
use crate::progress::Reached;
use crate::version::Flavor;

/// How long a transaction is given to become visible where the server can't tell, besides what it waits by its settings.
const VISIBLE_AFTER: Duration = Duration::from_millis(50);
/// How long to wait between two snapshots.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(2);

/// Waits until everything that was reached is visible on this connection.
pub(crate) async fn await_visible(
    connection: &mut Connection<impl Session>,
    limit: Duration,
    reached: Option<&Reached>,
) -> Result<(), SourceError> {
    let Some(reached) = reached else { return Ok(()) };
    match (&reached.position.gtid, &connection.server.gtid) {
        (Some(GtidSet::MySql(set)), true) => {
            let statement =
                format!("SELECT WAIT_FOR_EXECUTED_GTID_SET({}, {})", literal(&set.to_string()), limit.as_secs());
            let rows: Vec<Row> = connection.rows(limit * 2, "wait for delivered transactions", &statement).await?;
            match rows.first().and_then(|row| row.get_opt::<i64, _>(0)) {
                Some(Ok(0)) => Ok(()),
                _ => {
                    let error = format!("they aren't visible after {} s", limit.as_secs());
                    Err(SourceError::transient("wait for delivered transactions", error))
                }
            }
        }
        (Some(GtidSet::MariaDb(_)), _) => await_snapshot(connection, limit, reached).await,
        _ => {
            let pause = VISIBLE_AFTER + sync_delay(connection, limit).await?;
            sleep(pause.saturating_sub(reached.at.elapsed())).await;
            Ok(())
        }
    }
}

/// How long MySQL waits for more transactions before it brings its log to the disk. Where not every transaction is
/// brought there, that is after the stream has got them.
async fn sync_delay(connection: &mut Connection<impl Session>, limit: Duration) -> Result<Duration, SourceError> {
    let statement = "SELECT @@sync_binlog, @@binlog_group_commit_sync_delay";
    let rows: Vec<(u64, u64)> = connection.rows(limit, "read how the log is brought to the disk", statement).await?;
    Ok(match rows.first() {
        Some((1, _)) | None => Duration::ZERO,
        Some((_, microseconds)) => Duration::from_micros(*microseconds),
    })
}

/// MariaDB: leaves a transaction open whose snapshot isn't before the place reached. The caller ends it.
async fn await_snapshot(
    connection: &mut Connection<impl Session>,
    limit: Duration,
    reached: &Reached,
) -> Result<(), SourceError> {
    const WHAT: &str = "take a snapshot";
    let deadline = Instant::now() + limit;
    let wanted = (reached.position.file.number(), reached.position.offset);
    loop {
        connection.execute(limit, WHAT, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
        let statement = "SHOW STATUS WHERE Variable_name IN ('Binlog_snapshot_file', 'Binlog_snapshot_position')";
        let rows: Vec<(String, String)> = connection.rows(limit, WHAT, statement).await?;
        let value = |name: &str| rows.iter().find(|row| row.0.eq_ignore_ascii_case(name)).map(|row| row.1.clone());
        let file = value("binlog_snapshot_file").and_then(LogFile::new);
        let offset = value("binlog_snapshot_position").and_then(|text| text.parse::<u64>().ok());
        match file.zip(offset) {
            Some(place) if (place.0.number(), place.1) >= wanted => return Ok(()),
            _ if Instant::now() >= deadline => {
                let error = format!("it is still before the stream's place after {} s", limit.as_secs());
                return Err(SourceError::transient(WHAT, error));
            }
            _ => sleep(SNAPSHOT_PAUSE).await,
        }
    }
}

/// Ends what [`await_visible`] may have left open.
pub(crate) async fn end(connection: &mut Connection<impl Session>, limit: Duration) -> Result<(), SourceError> {
    match connection.server.version.flavor {
        Flavor::MySql => Ok(()),
        Flavor::MariaDb => connection.execute(limit, "end a snapshot", "COMMIT").await,
    }
}
