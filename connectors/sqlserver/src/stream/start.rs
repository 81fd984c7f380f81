//! Whether a stream's beginning lies in this database's log at all.
//!
//! A database that was restored from a backup, or that another server has taken the place of, goes on with its log from
//! an earlier place; sequence numbers are given a second time then. Three things tell. The log ends before the position.
//! Or the entry that the position names (its mark) is of another time than it was, or isn't known although earlier ones
//! are: cleanup removes the oldest first. Or there is a transaction between the mark and the position, where there was
//! none: the mark was the last entry when everything up to the position had been captured.
//!
//! Nothing of this tells where no entry was ever made before the position, and another database has none there, either.
//! Its tables aren't those that were followed, then, which their [`Origin`](crate::capture::origin::Origin) tells.

use millstream_core::error::SourceError;

use crate::connect::Connection;
use crate::error::{QueryError, number};
use crate::fence::log_end;
use crate::field::{self, bigint};
use crate::position::{Lsn, Mark, SqlServerPosition};

/// Nothing if the log is the one that the position lies in, as far as can be told; else a lost position.
pub(super) async fn verify(connection: &mut Connection, from: &SqlServerPosition) -> Result<(), SourceError> {
    let lost = |reason: String| SourceError::PositionLost { position: from.to_string(), reason };
    let end = log_end(connection).await?;
    if end < from.lsn {
        return Err(lost(format!("the log ends at {end}: the database was restored from a backup")));
    }
    if let Some(known) = from.mark {
        match mark_at(connection, known.lsn).await? {
            Some(found) if found == known => {}
            Some(_) => {
                return Err(lost(format!("what was captured at {} isn't what was: this is another log", known.lsn)));
            }
            None if is_before_the_first(connection, known.lsn).await? => {}
            None => return Err(lost(format!("nothing was captured at {}: this is another log", known.lsn))),
        }
    }
    match commit_between(connection, from.mark.map_or(Lsn::ZERO, |mark| mark.lsn), from.lsn).await? {
        Some(commit) => Err(lost(format!("a transaction at {commit} wasn't there before: this is another log"))),
        None => Ok(()),
    }
}

/// The entry of a place; `None` if there is none, or isn't any more.
pub(super) async fn mark_at(connection: &mut Connection, lsn: Lsn) -> Result<Option<Mark>, QueryError> {
    let bytes = lsn.bytes();
    let row = connection
        .row(
            "ask when a transaction ended",
            "SELECT DATEDIFF_BIG(millisecond, '19700101', tran_end_time) FROM cdc.lsn_time_mapping \
             WHERE start_lsn = CAST(@P1 AS binary(10))",
            &[&bytes.as_slice()],
        )
        .await;
    match row {
        Err(error) if error.number() == Some(number::OBJECT_UNKNOWN) => Ok(None),
        row => {
            let at_ms = row?.and_then(|row| bigint(&row, 0));
            Ok(at_ms.map(|at_ms| Mark { lsn, at_ms }))
        }
    }
}

/// The first captured transaction above one place, and up to another.
async fn commit_between(connection: &mut Connection, after: Lsn, upto: Lsn) -> Result<Option<Lsn>, SourceError> {
    let (after, upto) = (after.bytes(), upto.bytes());
    let row = connection
        .row(
            "ask for transactions before the position",
            "SELECT TOP (1) start_lsn FROM cdc.lsn_time_mapping WHERE start_lsn > CAST(@P1 AS binary(10)) AND \
             start_lsn <= CAST(@P2 AS binary(10)) AND tran_id <> 0x00 ORDER BY start_lsn",
            &[&after.as_slice(), &upto.as_slice()],
        )
        .await;
    match row {
        Err(error) if error.number() == Some(number::OBJECT_UNKNOWN) => Ok(None),
        row => Ok(row?.and_then(|row| field::lsn(&row, 0))),
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
