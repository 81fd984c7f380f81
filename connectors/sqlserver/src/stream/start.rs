//! Whether a stream's beginning lies in this database's log at all.
//!
//! A database that was restored from a backup, or that another server has taken the place of, goes on with its log from
//! an earlier place; sequence numbers are given a second time then. Two things tell. The log ends before the position.
//! Or the transaction that the position names ended at another time than it did, or isn't known although earlier ones
//! are: cleanup removes the oldest first.

use millstream_core::error::SourceError;

use crate::connect::Connection;
use crate::error::{QueryError, number};
use crate::fence::log_end;
use crate::position::{LastCommit, Lsn, SqlServerPosition};

/// Nothing if the log is the one that the position lies in, as far as can be told; else a lost position.
pub(super) async fn verify(connection: &mut Connection, from: &SqlServerPosition) -> Result<(), SourceError> {
    let lost = |reason: String| SourceError::PositionLost { position: from.to_string(), reason };
    let end = log_end(connection).await?;
    if end < from.lsn {
        return Err(lost(format!("the log ends at {end}: the database was restored from a backup")));
    }
    let Some(known) = from.last_commit else { return Ok(()) };
    match last_commit(connection, known.lsn).await? {
        Some(found) if found == known => Ok(()),
        Some(_) => Err(lost(format!("the transaction at {} isn't the one that was: this is another log", known.lsn))),
        None if is_before_the_first(connection, known.lsn).await? => Ok(()),
        None => Err(lost(format!("no transaction was committed at {}: this is another log", known.lsn))),
    }
}

/// The transaction of a commit with the time of its end; `None` if there is no such transaction, or isn't any more.
pub(super) async fn last_commit(connection: &mut Connection, commit: Lsn) -> Result<Option<LastCommit>, QueryError> {
    let bytes = commit.bytes();
    let row = connection
        .row(
            "ask when a transaction ended",
            "SELECT DATEDIFF_BIG(millisecond, '19700101', tran_end_time) FROM cdc.lsn_time_mapping \
             WHERE start_lsn = CAST(@P1 AS binary(10)) AND tran_id <> 0x00",
            &[&bytes.as_slice()],
        )
        .await;
    match row {
        Err(error) if error.number() == Some(number::OBJECT_UNKNOWN) => Ok(None),
        row => {
            let ended_at_ms = row?.and_then(|row| row.try_get::<i64, _>(0).ok().flatten());
            Ok(ended_at_ms.map(|ended_at_ms| LastCommit { lsn: commit, ended_at_ms }))
        }
    }
}

/// Whether the mapping begins behind a place, so that it can't know it.
async fn is_before_the_first(connection: &mut Connection, lsn: Lsn) -> Result<bool, SourceError> {
    let bytes = lsn.bytes();
    let row = connection
        .row(
            "ask for an earlier transaction",
            "SELECT TOP (1) 1 FROM cdc.lsn_time_mapping WHERE start_lsn < CAST(@P1 AS binary(10))",
            &[&bytes.as_slice()],
        )
        .await;
    match row {
        Err(error) if error.number() == Some(number::OBJECT_UNKNOWN) => Ok(true),
        row => Ok(row?.is_none()),
    }
}
