//! The binlog connection: from the server's packets to events, in batches.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use millstream_core::error::SourceError;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Error};
use mysql_common::binlog::consts::BinlogChecksumAlg;
use mysql_common::binlog::events::{BinlogEventHeader, Event};
use mysql_common::proto::MySerialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::event::RawEvent;
use crate::connect::Connection;
use crate::error::classify;
use crate::gtid::GtidSet;
use crate::position::{FIRST_EVENT_OFFSET, LogFile};
use crate::version::Flavor;

/// How often the server says that it is there while it has nothing else to say.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A server that is silent for this long is gone, whatever the operating system says of the connection.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Events that have arrived are handed on together up to this size.
const BATCH_BYTES: usize = 256 << 10;
/// How many batches may wait.
const BATCHES_MAX: usize = 8;

/// What the network task hands on: events in the log's order, then at most one error.
pub(super) type Batches = mpsc::Receiver<Result<Vec<RawEvent>, SourceError>>;

/// Where the server is to begin.
#[derive(Debug, Clone)]
pub(super) enum Start {
    /// At an event of a file of this server's.
    File { file: LogFile, offset: u64 },
    /// After these transactions, wherever they are.
    Gtid(GtidSet),
}

/// Asks the server for its log and starts the task that reads it. The task ends with the connection, or when nobody
/// listens any more.
pub(super) async fn open(mut connection: Connection, replica_id: u32, start: &Start) -> Result<Batches, SourceError> {
    let asked = "ask for the binary log";
    let flavor = connection.server.version.flavor;
    for statement in session(flavor, start) {
        connection.conn.query_drop(statement).await.map_err(|error| classify(asked, error))?;
    }
    let request = BinlogStreamRequest::new(replica_id);
    let stream = match start {
        Start::File { file, offset } => {
            let request = request.with_filename(file.name().as_bytes()).with_pos(*offset);
            connection.conn.get_binlog_stream(request).await
        }
        Start::Gtid(GtidSet::MySql(set)) => {
            let request = request.with_gtid().with_pos(FIRST_EVENT_OFFSET).with_gtid_set(set.sids());
            connection.conn.get_binlog_stream(request).await
        }
        Start::Gtid(GtidSet::MariaDb(_)) => {
            connection.conn.get_binlog_stream(request.with_pos(FIRST_EVENT_OFFSET)).await
        }
    };
    let stream = stream.map_err(|error| classify(asked, error))?;
    let (sender, receiver) = mpsc::channel(BATCHES_MAX);
    tokio::spawn(pump(stream, sender));
    Ok(receiver)
}

/// What the session says of this replica before it asks.
fn session(flavor: Flavor, start: &Start) -> Vec<String> {
    let period_ns = HEARTBEAT.as_nanos();
    let mut statements =
        vec![format!("SET @master_heartbeat_period = {period_ns}, @source_heartbeat_period = {period_ns}")];
    if flavor == Flavor::MariaDb {
        // The fourth capability is to know GTID events; with less the server hides them.
        statements.push("SET @mariadb_slave_capability = 4".to_owned());
    }
    if let Start::Gtid(GtidSet::MariaDb(set)) = start {
        statements.push(format!("SET @slave_connect_state = '{set}'"));
        statements.push("SET @slave_gtid_strict_mode = 0".to_owned());
    }
    statements
}

async fn pump(mut stream: BinlogStream, sender: mpsc::Sender<Result<Vec<RawEvent>, SourceError>>) {
    loop {
        let batch = tokio::select! {
            batch = batch(&mut stream) => batch,
            () = sender.closed() => break,
        };
        let ended = batch.is_err();
        if sender.send(batch).await.is_err() || ended {
            break;
        }
    }
}

/// Waits for one event and takes those along that are there already.
async fn batch(stream: &mut BinlogStream) -> Result<Vec<RawEvent>, SourceError> {
    let silent = |elapsed| {
        let context = format!("the server has sent nothing for {} s, not even a heartbeat", SILENCE_MAX.as_secs());
        SourceError::transient(context, elapsed)
    };
    let mut next = timeout(SILENCE_MAX, stream.next()).await.map_err(silent)?;
    let (mut events, mut size_bytes) = (Vec::new(), 0);
    loop {
        if let Some(event) = raw(next)? {
            size_bytes += event.size_bytes();
            events.push(event);
        }
        if size_bytes >= BATCH_BYTES {
            return Ok(events);
        }
        match stream.next().now_or_never() {
            Some(another) => next = another,
            None => return Ok(events),
        }
    }
}

/// `None` for an event that the library took out of a compressed transaction: that is done elsewhere, where an error
/// doesn't go unnoticed.
fn raw(item: Option<Result<Event, Error>>) -> Result<Option<RawEvent>, SourceError> {
    let Some(item) = item else {
        return Err(SourceError::transient("read the binary log", "the server ended it"));
    };
    let event = item.map_err(|error| classify("read the binary log", error))?;
    if !event.footer().get_checksum_enabled() {
        return Ok(None);
    }
    if let Some(checksum) = event.checksum()
        && event.footer().get_checksum_alg() == Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32))
        && u32::from_le_bytes(checksum) != event.calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)
    {
        return Err(SourceError::transient("read the binary log", "an event's checksum is wrong"));
    }
    let mut body = event.data().to_vec();
    if event.checksum().is_none() {
        strip_unannounced_checksum(&event, &mut body);
    }
    Ok(Some(RawEvent { header: event.header(), body }))
}

/// MariaDB's first event comes before the one that tells whether there are checksums, and has one all the same.
fn strip_unannounced_checksum(event: &Event, body: &mut Vec<u8>) {
    let Some((plain, checksum)) = body.split_last_chunk::<4>() else { return };
    let mut header = Vec::with_capacity(BinlogEventHeader::LEN);
    event.header().serialize(&mut header);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header);
    hasher.update(plain);
    if hasher.finalize() == u32::from_le_bytes(*checksum) {
        body.truncate(plain.len());
    }
}
