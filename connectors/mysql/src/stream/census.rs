//! Which transactions lie before a place in the log, exactly.
//!
//! MySQL tells the end of its log and the transactions that it has in one answer, but not of one moment: transactions
//! that are in the log already are missing while they are being committed. Taken for the set of that place, it would
//! have holes for ever: reads wouldn't wait for those transactions to be visible, another server would send them again,
//! and once they were purged there it would seem that something is missing. So they are counted in the log itself: the
//! file says which transactions are in earlier files, and its own are read up to the place. That is one file at most,
//! and less where a place before in the same file is known with its transactions.

use std::sync::Arc;

use millstream_core::error::SourceError;

use super::dump::{self, Start};
use super::event::{self, RawEvent, kind};
use super::follower::advance;
use crate::connect::{Connection, Connector, Server};
use crate::decode::DecodeError;
use crate::gtid::GtidSet;
use crate::log::{self, Head};
use crate::position::{FIRST_EVENT_OFFSET, LogPlace, MySqlPosition};
use crate::version::Flavor;

/// So many heartbeats in a row say that the server has nothing more to send.
const HEARTBEATS_MAX: usize = 2;

/// What a place in the log is known by besides its file and offset.
#[derive(Debug)]
pub(crate) struct Marks {
    /// The transactions before it; `None` where the server has no GTIDs.
    pub(crate) gtid: Option<GtidSet>,
    /// When its file was begun, where the file's first event says so.
    pub(crate) begun: Option<u32>,
}

/// The marks of a place at which no transaction is half-way. `known` is a place
/// whose transactions are known. `replica_id` must not be that of a stream in use, which the server would end.
///
/// # Errors
///
/// [`SourceError::PositionLost`] if the place that was said to be known isn't in this log.
pub(crate) async fn marks_of(
    connector: &Connector,
    connection: &mut Connection,
    replica_id: u32,
    place: &Head,
    known: Option<&MySqlPosition>,
) -> Result<Marks, SourceError> {
    let limit = connector.query_timeout();
    let server = Arc::clone(&connection.server);
    if !server.gtid || server.version.flavor == Flavor::MariaDb {
        let gtid = match server.gtid {
            true => Some(log::gtid_at(connection, limit, &place.file, place.offset).await?),
            false => None,
        };
        return Ok(Marks { gtid, begun: begun(connector, &server, replica_id, place).await? });
    }
    let usable = |known: &&MySqlPosition| {
        known.server == server.identity && known.file == place.file && known.offset <= place.offset
    };
    let known = known.filter(usable).filter(|known| u32::try_from(known.offset).is_ok());
    let mut count = match known.and_then(|known| Some((known, known.gtid.clone()?))) {
        Some((known, set)) => {
            let reached = LogPlace::new(place.file.clone(), known.offset);
            Count { reached, set, begun_expected: known.begun, begun: known.begun }
        }
        None => {
            let set = log::previous_gtids(connection, limit, &place.file).await?;
            let reached = LogPlace::new(place.file.clone(), FIRST_EVENT_OFFSET);
            Count { reached, set, begun_expected: None, begun: None }
        }
    };
    count.go_on(connector, &server, replica_id, place).await?;
    Ok(Marks { gtid: Some(count.set), begun: count.begun })
}

/// When the file of a place was begun. Wherever a server begins to send a file, that file's first event comes first.
async fn begun(
    connector: &Connector,
    server: &Arc<Server>,
    replica_id: u32,
    place: &Head,
) -> Result<Option<u32>, SourceError> {
    // The request has 32 bits for the offset.
    let offset = if u32::try_from(place.offset).is_ok() { place.offset } else { FIRST_EVENT_OFFSET };
    let start = Start::File { file: place.file.clone(), offset };
    let mut batches = dump::open(connector, server, replica_id, &start).await?;
    let ended = || SourceError::transient("ask when a file of the log was begun", "its connection's task has ended");
    loop {
        for event in batches.recv().await.ok_or_else(ended)?? {
            if event.kind() == kind::FORMAT_DESCRIPTION {
                return Ok(begun_at(&event));
            }
        }
    }
}

/// What a file's first event says.
fn begun_at(event: &RawEvent) -> Option<u32> {
    Some(event.header.timestamp()).filter(|seconds| *seconds > 0)
}

/// How far the log has been read.
struct Count {
    reached: LogPlace,
    /// The transactions before that.
    set: GtidSet,
    /// When the file must have been begun to be the right one, where that is known.
    begun_expected: Option<u32>,
    /// When it was.
    begun: Option<u32>,
}

impl Count {
    /// Reads on to a place in the same file, adding each transaction.
    async fn go_on(
        &mut self,
        connector: &Connector,
        server: &Arc<Server>,
        replica_id: u32,
        place: &Head,
    ) -> Result<(), SourceError> {
        const WHAT: &str = "count the transactions in the log";
        if self.reached.offset() >= place.offset {
            return Ok(());
        }
        let reached = &mut self.reached;
        let start = Start::File { file: place.file.clone(), offset: reached.offset() };
        let mut batches = dump::open(connector, server, replica_id, &start).await?;
        let mut heartbeats = 0;
        while reached.offset() < place.offset {
            let ended = || SourceError::transient(WHAT, "its connection's task has ended");
            for event in batches.recv().await.ok_or_else(ended)?? {
                heartbeats = if event.kind() == kind::HEARTBEAT { heartbeats + 1 } else { 0 };
                if reached.offset() >= place.offset {
                    break;
                }
                advance(reached, &event).map_err(unreadable)?;
                if *reached.file() != place.file || heartbeats >= HEARTBEATS_MAX {
                    return Err(SourceError::transient(WHAT, "the log ends before a place that it had"));
                }
                if event.kind() == kind::FORMAT_DESCRIPTION {
                    self.begun = begun_at(&event);
                    if self.begun_expected.is_some() && self.begun_expected != self.begun {
                        let file = &place.file;
                        let reason = format!("the server's {file} is another file of that name: the log was reset");
                        return Err(SourceError::PositionLost { position: file.to_string(), reason });
                    }
                }
                if !event.inner && matches!(event.kind(), kind::GTID | kind::GTID_TAGGED) {
                    let gtid = event::mysql_begin(&event).map_err(unreadable)?.gtid;
                    gtid.iter().for_each(|gtid| self.set.add(gtid));
                }
            }
        }
        Ok(())
    }
}

fn unreadable(error: DecodeError) -> SourceError {
    SourceError::definite(
        format!("an event of the binary log can't be read: {error}"),
        "Check that the server's version is supported; report this with the server's version otherwise",
    )
}
