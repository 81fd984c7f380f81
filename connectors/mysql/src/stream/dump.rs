//! The server's log as events: asked for, taken in piece by piece, checked, decompressed, and handed on in batches.
//!
//! An event is taken into memory whole, as rows have to be, except a compressed transaction: its bytes go through the
//! decompressor as they arrive, and the events within are handed on one by one, so that its size doesn't matter. The
//! last of them ends the transaction; it is held back until the whole has been read and its checksum is right.

use std::sync::Arc;
use std::time::Duration;

use crc32fast::Hasher;
use millstream_core::error::SourceError;
use mysql_async::Error;
use mysql_common::binlog::events::BinlogEventHeader;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{ComBinlogDump, ComBinlogDumpGtid, ComRegisterSlave};
use mysql_common::proto::MySerialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::event::{RawEvent, kind};
use super::payload::{Decompressor, PayloadHead};
use crate::connect::{Connector, Server, address};
use crate::decode::DecodeError;
use crate::error::classify;
use crate::gtid::GtidSet;
use crate::position::{FIRST_EVENT_OFFSET, LogFile, ServerIdentity};
use crate::version::Flavor;
use crate::wire::{self, Packets};

/// How often the server says that it is there while it has nothing else to say.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A server that is silent for this long is gone, whatever the operating system says of the connection.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Events that have arrived are handed on together up to this size.
const BATCH_BYTES: usize = 256 << 10;
/// How many batches may wait.
const BATCHES_MAX: usize = 8;
/// The largest event that a server sends (`max_allowed_packet` ends there), with what is around it.
const EVENT_BYTES_MAX: usize = (1 << 30) + (1 << 20);
/// Memory is taken for an event as its bytes arrive, beyond this much at the beginning.
const TAKEN_AT_ONCE_BYTES: usize = 1 << 20;
const CHECKSUM_BYTES: usize = 4;

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
pub(super) async fn open(
    connector: &Connector,
    server: &Arc<Server>,
    replica_id: u32,
    start: &Start,
) -> Result<Batches, SourceError> {
    let settings = connector.settings();
    let context = format!("ask {} for the binary log", address(&settings.opts));
    let asked = timeout(settings.connect_timeout, ask(connector, server, replica_id, start));
    let dump = match asked.await {
        Ok(asked) => asked.map_err(|failure| failure.into_source_error(&context))?,
        Err(elapsed) => return Err(SourceError::transient(context, elapsed)),
    };
    let (sender, receiver) = mpsc::channel(BATCHES_MAX);
    tokio::spawn(dump.run(sender));
    Ok(receiver)
}

async fn ask(connector: &Connector, server: &Arc<Server>, replica_id: u32, start: &Start) -> Result<Dump, Failure> {
    let settings = connector.settings();
    let mut packets = wire::login(&settings.opts, &settings.tls).await?;
    let flavor = server.version.flavor;
    let identity = if flavor == Flavor::MySql { "@@server_uuid" } else { "@@server_id" };
    let rows: Vec<(String, String)> = packets.query(&format!("SELECT {identity}, @@GLOBAL.binlog_checksum")).await?;
    let Some((identity, checksum)) = rows.first() else { return Err(Failure::Malformed("a row")) };
    if identity.parse::<ServerIdentity>() != Ok(server.identity) {
        return Err(Failure::OtherServer(identity.clone()));
    }
    for statement in session(flavor, start) {
        packets.execute(&statement).await?;
    }
    packets.command(&serialized(&ComRegisterSlave::new(replica_id))).await?;
    packets.answer().await?;
    let request = match start {
        Start::File { file, offset } => {
            let offset = u32::try_from(*offset).map_err(|_| Failure::Malformed("an offset of 32 bits"))?;
            let request = ComBinlogDump::new(replica_id).with_filename(file.name().as_bytes()).with_pos(offset);
            serialized(&request)
        }
        Start::Gtid(GtidSet::MySql(set)) => {
            let request = ComBinlogDumpGtid::new(replica_id).with_pos(FIRST_EVENT_OFFSET).with_sids(set.sids());
            serialized(&request)
        }
        Start::Gtid(GtidSet::MariaDb(_)) => serialized(&ComBinlogDump::new(replica_id)),
    };
    packets.command(&request).await?;
    let checksums = checksum.eq_ignore_ascii_case("CRC32");
    Ok(Dump { packets, checksums, batch: Vec::new(), batch_bytes: 0 })
}

/// What the session says of this replica before it asks.
fn session(flavor: Flavor, start: &Start) -> Vec<String> {
    let period_ns = HEARTBEAT.as_nanos();
    let mut statements = vec![
        format!("SET @master_heartbeat_period = {period_ns}, @source_heartbeat_period = {period_ns}"),
        "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, @source_binlog_checksum = @@GLOBAL.binlog_checksum"
            .to_owned(),
    ];
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

fn serialized(command: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.serialize(&mut bytes);
    bytes
}

/// Why reading ended.
#[derive(Debug)]
enum Failure {
    Wire(Error),
    Decode(DecodeError),
    /// Something else came than this.
    Malformed(&'static str),
    WrongChecksum,
    OtherServer(String),
    EndedByServer,
    /// Nobody listens any more.
    Abandoned,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Wire(error)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Failure::Decode(error)
    }
}

impl Failure {
    fn into_source_error(self, context: &str) -> SourceError {
        match self {
            Failure::Wire(error) => classify(context, error),
            Failure::Decode(error) => SourceError::definite(
                format!("{context}: an event can't be read: {error}"),
                "Check that the server's version is supported; report this with the server's version otherwise",
            ),
            Failure::Malformed(expected) => {
                SourceError::transient(context, format!("the server didn't send {expected}"))
            }
            Failure::WrongChecksum => SourceError::transient(context, "an event's checksum is wrong"),
            Failure::OtherServer(identity) => {
                SourceError::transient(context, format!("the address leads to server {identity} now"))
            }
            Failure::EndedByServer => SourceError::transient(context, "the server ended it"),
            Failure::Abandoned => SourceError::transient(context, "nobody listens"),
        }
    }
}

/// A log being read.
struct Dump {
    packets: Packets,
    /// Whether events have checksums.
    checksums: bool,
    batch: Vec<RawEvent>,
    batch_bytes: usize,
}

impl Dump {
    async fn run(mut self, sender: mpsc::Sender<Result<Vec<RawEvent>, SourceError>>) {
        loop {
            let failure = tokio::select! {
                outcome = self.next(&sender) => match outcome {
                    Ok(()) => continue,
                    Err(failure) => failure,
                },
                () = sender.closed() => return,
            };
            // What was read before the failure comes first; the consumer may be gone meanwhile, and needs neither.
            if !matches!(failure, Failure::Abandoned) && self.hand_on(&sender).await.is_ok() {
                let error = failure.into_source_error("read the binary log");
                drop(sender.send(Err(error)).await);
            }
            return;
        }
    }

    /// Takes in one event. Before it waits for the server, what there is is handed on.
    async fn next(&mut self, sender: &mpsc::Sender<Result<Vec<RawEvent>, SourceError>>) -> Result<(), Failure> {
        const EVENT: u8 = 0x00;
        const END: u8 = 0xfe;
        if self.packets.is_drained() {
            self.hand_on(sender).await?;
        }
        let begun = timeout(SILENCE_MAX, self.packets.begin()).await;
        begun.map_err(|_| silent())??;
        match self.packets.piece(1).await? {
            [EVENT] => {}
            [END] => return Err(Failure::EndedByServer),
            [other] => {
                let mut packet = vec![*other];
                while self.packets.left().await? > 0 {
                    let piece = self.packets.piece(usize::MAX).await?;
                    packet.extend_from_slice(piece);
                }
                return Err(Failure::Wire(wire::server_error(&packet)));
            }
            _ => return Err(Failure::Malformed("an event")),
        }
        let mut head = Vec::with_capacity(BinlogEventHeader::LEN);
        self.packets.take(BinlogEventHeader::LEN, &mut head).await?;
        let header: BinlogEventHeader = ParseBuf(&head).parse(()).map_err(Error::from)?;
        let size = usize::try_from(header.event_size()).unwrap_or(usize::MAX);
        let body = size.checked_sub(BinlogEventHeader::LEN).filter(|_| size <= EVENT_BYTES_MAX);
        let body = body.ok_or(Failure::Malformed("an event of a possible size"))?;
        match header.event_type_raw() {
            kind::TRANSACTION_PAYLOAD => self.payload(header, &head, body, sender).await,
            _ => self.whole(header, head, body, sender).await,
        }
    }

    async fn whole(
        &mut self,
        header: BinlogEventHeader,
        mut head: Vec<u8>,
        body_bytes: usize,
        sender: &mpsc::Sender<Result<Vec<RawEvent>, SourceError>>,
    ) -> Result<(), Failure> {
        let mut body = Vec::with_capacity(body_bytes.min(TAKEN_AT_ONCE_BYTES));
        // Between the pieces of an event the server isn't silent, however long the event is.
        while body.len() < body_bytes {
            let wanted = (body_bytes - body.len()).min(TAKEN_AT_ONCE_BYTES);
            timeout(SILENCE_MAX, self.packets.take(wanted, &mut body)).await.map_err(|_| silent())??;
        }
        if header.event_type_raw() == kind::FORMAT_DESCRIPTION {
            self.checksums = tells_checksums(&mut head, &mut body)?;
        } else if self.checksums {
            let checksum = split_checksum(&mut body)?;
            let mut hasher = Hasher::new();
            hasher.update(&head);
            hasher.update(&body);
            verify(hasher, checksum)?;
        }
        self.push(RawEvent { header, body, inner: false }, sender).await
    }

    /// A compressed transaction: first the event itself, without its contents, then the events within.
    async fn payload(
        &mut self,
        header: BinlogEventHeader,
        head: &[u8],
        body_bytes: usize,
        sender: &mpsc::Sender<Result<Vec<RawEvent>, SourceError>>,
    ) -> Result<(), Failure> {
        let checksum_bytes = if self.checksums { CHECKSUM_BYTES } else { 0 };
        let too_short = || Failure::Malformed("a whole compressed transaction");
        let mut left = body_bytes.checked_sub(checksum_bytes).ok_or_else(too_short)?;
        let mut hasher = Hasher::new();
        hasher.update(head);
        self.push(RawEvent { header, body: Vec::new(), inner: false }, sender).await?;
        let mut fields = Vec::new();
        let mut decompressor = loop {
            left = left.checked_sub(1).ok_or_else(too_short)?;
            self.packets.take(1, &mut fields).await?;
            if let Some(payload) = PayloadHead::parse(&fields)? {
                break Decompressor::new(payload, left)?;
            }
        };
        hasher.update(&fields);
        let mut last = None;
        while left > 0 {
            let piece = timeout(SILENCE_MAX, self.packets.piece(left)).await.map_err(|_| silent())??;
            left -= piece.len();
            hasher.update(piece);
            decompressor.feed(piece);
            while let Some(event) = decompressor.next()? {
                if let Some(before) = last.replace(event) {
                    self.push(before, sender).await?;
                }
            }
        }
        decompressor.end()?;
        if self.checksums {
            let mut checksum = Vec::new();
            self.packets.take(CHECKSUM_BYTES, &mut checksum).await?;
            verify(hasher, split_checksum(&mut checksum)?)?;
        }
        match last {
            Some(last) => self.push(last, sender).await,
            None => Ok(()),
        }
    }

    async fn push(
        &mut self,
        event: RawEvent,
        sender: &mpsc::Sender<Result<Vec<RawEvent>, SourceError>>,
    ) -> Result<(), Failure> {
        self.batch_bytes += event.size_bytes();
        self.batch.push(event);
        match self.batch_bytes >= BATCH_BYTES {
            true => self.hand_on(sender).await,
            false => Ok(()),
        }
    }

    async fn hand_on(&mut self, sender: &mpsc::Sender<Result<Vec<RawEvent>, SourceError>>) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        sender.send(Ok(batch)).await.map_err(|_| Failure::Abandoned)
    }
}

/// The event that begins a file tells, before its own checksum, whether events have one. Servers before MySQL 5.6 don't
/// know of checksums; what their events have in that place is the length of another event's fixed part, which is never 1.
fn tells_checksums(head: &mut [u8], body: &mut Vec<u8>) -> Result<bool, Failure> {
    const CRC32: u8 = 1;
    const FLAGS_AT: usize = 17;
    const IN_USE: u8 = 1;
    let checksum = split_checksum(body)?;
    let checksums = body.last() == Some(&CRC32);
    if checksums {
        // Servers set this flag while they write the file, and leave it out of the sum.
        if let Some(flags) = head.get_mut(FLAGS_AT) {
            *flags &= !IN_USE;
        }
        let mut hasher = Hasher::new();
        hasher.update(head);
        hasher.update(body);
        verify(hasher, checksum)?;
    }
    body.pop();
    Ok(checksums)
}

fn silent() -> Failure {
    let error = format!("the server has sent nothing for {} s, not even a heartbeat", SILENCE_MAX.as_secs());
    Failure::Wire(Error::from(std::io::Error::new(std::io::ErrorKind::TimedOut, error)))
}

fn split_checksum(body: &mut Vec<u8>) -> Result<u32, Failure> {
    let (_, checksum) = body.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Failure::Malformed("a checksum"))?;
    let checksum = u32::from_le_bytes(*checksum);
    body.truncate(body.len() - CHECKSUM_BYTES);
    Ok(checksum)
}

fn verify(hasher: Hasher, checksum: u32) -> Result<(), Failure> {
    match hasher.finalize() == checksum {
        true => Ok(()),
        false => Err(Failure::WrongChecksum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header and the body of the event that begins a file: of a server's version, with the lengths of the fixed
    /// parts, then what the server says of checksums.
    fn beginning(version: &str, lengths: &[u8], checksum: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut body = 4_u16.to_le_bytes().to_vec();
        let mut name = version.as_bytes().to_vec();
        name.resize(50, 0);
        body.extend_from_slice(&name);
        body.extend_from_slice(&[0, 0, 0, 0, 19]);
        body.extend_from_slice(lengths);
        body.extend_from_slice(checksum);
        let size = (19 + body.len()) as u32;
        let mut head = vec![0, 0, 0, 0, kind::FORMAT_DESCRIPTION, 1, 0, 0, 0];
        head.extend_from_slice(&size.to_le_bytes());
        head.extend_from_slice(&(size + 4).to_le_bytes());
        head.extend_from_slice(&[0, 0]);
        (head, body)
    }

    const OF_5_5: [u8; 27] = [56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 84, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0];
    const OF_5_7: [u8; 38] = [
        56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 95, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10, 42,
        42, 0, 18, 52, 0,
    ];

    #[test]
    fn a_file_of_any_version_says_whether_its_events_have_checksums() {
        let (mut head, mut body) = beginning("5.5.62-log", &OF_5_5, &[]);
        assert!(!tells_checksums(&mut head, &mut body).unwrap());
        let (mut head, mut body) = beginning("5.7.44-log", &OF_5_7, &[0, 0, 0, 0, 0]);
        assert!(!tells_checksums(&mut head, &mut body).unwrap());

        let (mut head, mut body) = beginning("5.7.44-log", &OF_5_7, &[1]);
        let mut hasher = Hasher::new();
        hasher.update(&head);
        hasher.update(&body);
        body.extend_from_slice(&hasher.finalize().to_le_bytes());
        // The server is still writing the file.
        head[17] |= 1;
        let (whole_head, whole_body) = (head.clone(), body.clone());
        assert!(tells_checksums(&mut head, &mut body).unwrap());
        assert_eq!(body.len(), 57 + OF_5_7.len(), "neither the checksum nor its kind is left");
        let (mut head, mut body) = (whole_head, whole_body);
        body[60] ^= 1;
        assert!(matches!(tells_checksums(&mut head, &mut body), Err(Failure::WrongChecksum)));
    }
}
