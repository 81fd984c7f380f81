//! Where a stream begins: the same place of the same log, or the same transactions in another server's.

use std::time::Duration;

use millstream_core::error::SourceError;

use super::dump::Start;
use crate::connect::Connection;
use crate::gtid::GtidSet;
use crate::log;
use crate::position::{FIRST_EVENT_OFFSET, LogFile, LogPlace, MySqlPosition};

/// A beginning that the server has confirmed.
#[derive(Debug)]
pub(super) struct Beginning {
    /// What to ask the server for.
    pub(super) start: Start,
    /// The place of the first event that will come.
    pub(super) place: LogPlace,
    /// Events of the first file before this offset have been seen and are left out.
    pub(super) skip_until: u64,
    /// The transactions before it.
    pub(super) gtid: Option<GtidSet>,
    /// The epoch from here on.
    pub(super) epoch: u16,
}

/// Finds the place in this server's log, or says why it isn't there.
pub(super) async fn find(
    connection: &mut Connection,
    limit: Duration,
    from: &MySqlPosition,
) -> Result<Beginning, SourceError> {
    let lost = |reason: String| SourceError::PositionLost { position: from.to_string(), reason };
    let files = log::files(connection, limit).await?;
    let same_server = from.server == connection.server.identity;
    let held = files.iter().find(|size| size.file == from.file);
    let gtid = from.gtid.as_ref().filter(|_| connection.server.gtid);
    // A file of that name and length may be another one, if the log was reset or the server restored from a backup:
    // then it lacks transactions that we have seen.
    if let Some(gtid) = gtid {
        let executed = log::executed(connection, limit).await?;
        if !gtid.is_subset_of(&executed.all) {
            return Err(lost("the server lacks transactions that were there before".to_owned()));
        }
        if !executed.purged.is_subset_of(gtid) {
            return Err(lost("the server has purged transactions that follow it".to_owned()));
        }
    }
    match (same_server, held, gtid) {
        (true, Some(size), _) if size.bytes >= from.offset => Ok(at_file(from)),
        (_, _, Some(gtid)) => {
            let first = files.first().ok_or_else(|| lost("the server has no binary log".to_owned()))?;
            Ok(at_gtid(from, gtid, &first.file))
        }
        (true, Some(size), None) => {
            Err(lost(format!("the file has only {} bytes: the server lost the end of its log", size.bytes)))
        }
        (true, None, None) => Err(lost(format!("the server has no file {} any more", from.file))),
        (false, _, None) => {
            let server = connection.server.identity;
            Err(lost(format!("this is another server ({server}), and without GTIDs its log can't be compared")))
        }
    }
}

fn at_file(from: &MySqlPosition) -> Beginning {
    // The request has 32 bits for the offset. Beyond, the file is read from its beginning.
    let requested = if u32::try_from(from.offset).is_ok() { from.offset } else { FIRST_EVENT_OFFSET };
    Beginning {
        start: Start::File { file: from.file.clone(), offset: requested },
        place: LogPlace::new(from.file.clone(), requested),
        skip_until: from.offset,
        gtid: from.gtid.clone(),
        epoch: from.epoch,
    }
}

fn at_gtid(from: &MySqlPosition, gtid: &GtidSet, first: &LogFile) -> Beginning {
    Beginning {
        start: Start::Gtid(gtid.clone()),
        // The server's first event names the file.
        place: LogPlace::new(first.clone(), FIRST_EVENT_OFFSET),
        skip_until: FIRST_EVENT_OFFSET,
        gtid: Some(gtid.clone()),
        epoch: from.epoch.saturating_add(1),
    }
}
