//! Where a stream begins: the same place of the same log, or the same transactions in another server's.

use std::time::Duration;

use millstream_core::error::SourceError;

use super::dump::Start;
use crate::connect::{Connection, Connector};
use crate::gtid::GtidSet;
use crate::log::{self, LogSize};
use crate::position::{FIRST_EVENT_OFFSET, LogFile, LogPlace, MySqlPosition, SeriesPlace, ServerIdentity};

/// A beginning that the server has confirmed.
#[derive(Debug)]
pub(super) struct Beginning {
    /// What to ask the server for.
    pub(super) start: Start,
    /// The place of the first event that will come.
    pub(super) place: LogPlace,
    /// Events of the first file before this offset have been seen and are left out.
    pub(super) skip_until: u64,
    /// When the first file was begun, if that is known: the file that the server sends must be the same.
    pub(super) begun: Option<u32>,
    /// The transactions before it.
    pub(super) gtid: Option<GtidSet>,
    /// The epoch from here on.
    pub(super) epoch: u16,
    /// Until where statements before it may have set off what can't be seen any more.
    pub(super) relied_until: Option<SeriesPlace>,
}

impl Beginning {
    /// The place as a position in this server's log.
    pub(super) fn position(&self, server: ServerIdentity) -> MySqlPosition {
        MySqlPosition {
            epoch: self.epoch,
            server,
            file: self.place.file().clone(),
            offset: self.skip_until.max(self.place.offset()),
            begun: self.begun,
            gtid: self.gtid.clone(),
            relied_until: self.relied_until,
        }
    }
}

/// Finds the place in this server's log, or says why it isn't there.
pub(super) async fn find(
    connection: &mut Connection,
    limit: Duration,
    from: &MySqlPosition,
) -> Result<Beginning, SourceError> {
    let lost = |reason: String| SourceError::PositionLost { position: from.to_string(), reason };
    let files = log::files(connection, limit).await?;
    let first = files.first().map(|size| &size.file);
    let same_server = from.server == connection.server.identity;
    let gtid = from.gtid.as_ref().filter(|_| connection.server.gtid);
    // A file of that name and length may be another one, if the log was reset or the server restored from a backup:
    // then it may lack transactions that we have seen.
    if let Some(gtid) = gtid {
        let executed = log::executed(connection, limit, first).await?;
        if !gtid.is_subset_of(&executed.all) {
            return Err(lost("the server lacks transactions that were there before".to_owned()));
        }
        if !executed.purged.is_subset_of(gtid) {
            return Err(lost("the server has purged transactions that follow it".to_owned()));
        }
    }
    if same_server && let Some(reason) = fault_of_series(&files, from) {
        return Err(lost(reason));
    }
    match (same_server && files.iter().any(|size| size.file == from.file), gtid, files.as_slice()) {
        (true, _, _) => Ok(at_file(from)),
        (false, Some(gtid), [first, ..]) => Ok(Beginning {
            // Its files have other numbers. What was in the other server's log by then is in this one's by now.
            relied_until: from.relied_until.and(files.last()).map(LogSize::end),
            ..at_gtid(from, gtid, &first.file)
        }),
        (false, _, []) => Err(lost("the server has no binary log".to_owned())),
        (false, None, _) if same_server => Err(lost(format!("the server has no file {} any more", from.file))),
        (false, None, _) => {
            let server = connection.server.identity;
            Err(lost(format!("this is another server ({server}), and without GTIDs its log can't be compared")))
        }
    }
}

/// Whether the same server's files can't be those that the position was taken in. GTIDs don't tell, as their numbers
/// start over as well after a reset: the same numbers may be other transactions.
fn fault_of_series(files: &[LogSize], from: &MySqlPosition) -> Option<String> {
    if let Some(size) = files.iter().find(|size| size.file == from.file) {
        return (size.bytes < from.offset).then(|| {
            format!("{} has only {} bytes now: the log was reset, or the server lost its end", size.file, size.bytes)
        });
    }
    // What is purged is the oldest, so files that are left have higher numbers.
    let same_stem = files.iter().filter(|size| size.file.stem() == from.file.stem());
    let earlier = same_stem.map(|size| &size.file).find(|file| file.number() < from.file.number())?;
    Some(format!("the server has {earlier} but not {}: the log was reset", from.file))
}

fn at_file(from: &MySqlPosition) -> Beginning {
    // The request has 32 bits for the offset. Beyond, the file is read from its beginning.
    let requested = if u32::try_from(from.offset).is_ok() { from.offset } else { FIRST_EVENT_OFFSET };
    Beginning {
        start: Start::File { file: from.file.clone(), offset: requested },
        place: LogPlace::new(from.file.clone(), requested),
        skip_until: from.offset,
        begun: from.begun,
        gtid: from.gtid.clone(),
        epoch: from.epoch,
        relied_until: from.relied_until,
    }
}

fn at_gtid(from: &MySqlPosition, gtid: &GtidSet, first: &LogFile) -> Beginning {
    Beginning {
        start: Start::Gtid(gtid.clone()),
        // The server's first event names the file.
        place: LogPlace::new(first.clone(), FIRST_EVENT_OFFSET),
        skip_until: FIRST_EVENT_OFFSET,
        begun: None,
        gtid: Some(gtid.clone()),
        epoch: from.epoch.saturating_add(1),
        relied_until: None,
    }
}

/// The server refused to send its log from a position on, or broke off there, with an error that may mean many things:
/// that the place is gone or damaged, but also that another replica has the same id, or that an event is larger than
/// `max_allowed_packet`. What it says of its log when asked tells which.
pub(super) async fn confirm(connector: &Connector, from: &MySqlPosition, refusal: String) -> SourceError {
    match has_place(connector, from).await {
        Ok(true) => SourceError::transient("read the binary log", refusal),
        Ok(false) => {
            let reason = format!("no event of the server's {} begins there: {refusal}", from.file);
            SourceError::PositionLost { position: from.to_string(), reason }
        }
        Err(error) => error,
    }
}

async fn has_place(connector: &Connector, from: &MySqlPosition) -> Result<bool, SourceError> {
    let limit = connector.query_timeout();
    let mut connection = connector.open().await?;
    let beginning = find(&mut connection, limit, from).await?;
    if matches!(beginning.start, Start::Gtid(_)) {
        return Ok(true);
    }
    let files = log::files(&mut connection, limit).await?;
    let Some(size) = files.iter().find(|size| size.file == from.file) else { return Ok(false) };
    match log::has_event_at(&mut connection, limit, size, from.offset).await {
        Ok(there) => Ok(there),
        // The connection works, so it is the place that can't be read.
        Err(_) => {
            log::head(&mut connection, limit).await?;
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(files: &[(&str, u64)], from: &str) -> Option<String> {
        let size = |(name, bytes): &(&str, u64)| LogSize { file: LogFile::new(*name).unwrap(), bytes: *bytes };
        let files: Vec<LogSize> = files.iter().map(size).collect();
        fault_of_series(&files, &format!("{from} server=1").parse().unwrap())
    }

    #[test]
    fn a_reset_log_is_told_from_a_purged_one() {
        let files = [("binlog.000002", 500), ("binlog.000003", 900)];
        assert_eq!(fault(&files, "binlog.000003:900"), None);
        assert_eq!(fault(&files, "binlog.000001:300"), None, "purged");
        assert_eq!(fault(&files, "other.000009:300"), None, "another series");
        assert!(fault(&files, "binlog.000002:501").unwrap().contains("only 500 bytes"));
        assert!(fault(&files, "binlog.000004:4").unwrap().contains("reset"));
        assert!(fault(&[("binlog.000001", 200)], "binlog.000007:500").unwrap().contains("reset"));
    }

    #[test]
    fn an_offset_beyond_4_gib_is_reached_from_the_files_beginning() {
        for (offset, requested) in [(157, 157), (u64::from(u32::MAX), u64::from(u32::MAX)), (1 << 32, 4), (9 << 32, 4)]
        {
            let beginning = at_file(&format!("binlog.000001:{offset} server=1 begun=5").parse().unwrap());
            assert!(matches!(&beginning.start, Start::File { offset, .. } if *offset == requested), "{beginning:?}");
            assert_eq!((beginning.place.offset(), beginning.skip_until), (requested, offset));
        }
    }
}
