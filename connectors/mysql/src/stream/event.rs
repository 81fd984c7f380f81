//! Events as the server sends them, and the contents of those that aren't rows.

use std::borrow::Cow;

use mysql_common::binlog::BinlogCtx;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::{BinlogEventHeader, FormatDescriptionEvent, GtidEvent};
use mysql_common::io::ParseBuf;

use crate::ddl::Xid;
use crate::decode::DecodeError;
use crate::decode::bytes::Bytes;
use crate::gtid::{Gtid, MariaDbGtid, MySqlGtid};
use crate::position::ServerUuid;

/// The numbers of the kinds of events, MySQL's and MariaDB's in one list as none has two meanings.
pub(crate) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const STOP: u8 = 3;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const INTVAR: u8 = 5;
    pub(crate) const APPEND_BLOCK: u8 = 9;
    pub(crate) const DELETE_FILE: u8 = 11;
    pub(crate) const RAND: u8 = 13;
    pub(crate) const USER_VAR: u8 = 14;
    pub(crate) const FORMAT_DESCRIPTION: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const BEGIN_LOAD_QUERY: u8 = 17;
    pub(crate) const EXECUTE_LOAD_QUERY: u8 = 18;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const WRITE_ROWS_V1: u8 = 23;
    pub(crate) const DELETE_ROWS_V1: u8 = 25;
    pub(crate) const INCIDENT: u8 = 26;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const IGNORABLE: u8 = 28;
    pub(crate) const ROWS_QUERY: u8 = 29;
    pub(crate) const WRITE_ROWS: u8 = 30;
    pub(crate) const DELETE_ROWS: u8 = 32;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const ANONYMOUS_GTID: u8 = 34;
    pub(crate) const PREVIOUS_GTIDS: u8 = 35;
    pub(crate) const TRANSACTION_CONTEXT: u8 = 36;
    pub(crate) const VIEW_CHANGE: u8 = 37;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(crate) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(crate) const HEARTBEAT_V2: u8 = 41;
    pub(crate) const GTID_TAGGED: u8 = 42;
    pub(crate) const MARIADB_ANNOTATE_ROWS: u8 = 160;
    pub(crate) const MARIADB_BINLOG_CHECKPOINT: u8 = 161;
    pub(crate) const MARIADB_GTID: u8 = 162;
    pub(crate) const MARIADB_GTID_LIST: u8 = 163;
    pub(crate) const MARIADB_START_ENCRYPTION: u8 = 164;
    pub(crate) const MARIADB_QUERY_COMPRESSED: u8 = 165;
    pub(crate) const MARIADB_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub(crate) const MARIADB_DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// The flag of events that a reader who doesn't know them may leave out.
const IGNORABLE_FLAG: u16 = 0x80;

/// One event. `body` has neither header nor checksum.
#[derive(Debug, Clone)]
pub(crate) struct RawEvent {
    pub(crate) header: BinlogEventHeader,
    pub(crate) body: Vec<u8>,
    /// Whether it comes out of a compressed transaction: then it has no place of its own in the log.
    pub(crate) inner: bool,
}

impl RawEvent {
    pub(crate) fn kind(&self) -> u8 {
        self.header.event_type_raw()
    }

    /// Whether the server says that nothing is lost on a reader who doesn't know this kind.
    pub(crate) fn is_ignorable(&self) -> bool {
        self.header.flags_raw() & IGNORABLE_FLAG != 0
    }

    /// The memory it takes, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.body.len()
    }

    pub(crate) fn at_ms(&self) -> i64 {
        i64::from(self.header.timestamp()) * 1_000
    }
}

/// A statement in the log.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    /// The default database, empty for none.
    pub(crate) database: Cow<'a, str>,
    /// The statement, in the client's character set.
    pub(crate) text: &'a [u8],
    /// The server's error code, 0 if the statement was carried out whole.
    pub(crate) error_code: u16,
    /// The session.
    pub(crate) session: Session,
    /// Whether it has to do with temporary tables of its session.
    pub(crate) thread_specific: bool,
}

/// What a statement's meaning depends on of the session that it was given in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Session {
    /// `sql_mode`, as bits.
    pub(crate) sql_mode: u64,
    /// The id of the client's collation, where the event has one.
    pub(crate) client_collation: Option<u16>,
}

impl<'a> Query<'a> {
    /// The body of a query event, or of the event that ends a LOAD DATA in statement format, which has more fixed
    /// fields.
    pub(crate) fn parse(header: &BinlogEventHeader, body: &'a [u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "a statement's event";
        const THREAD_SPECIFIC_FLAG: u16 = 0x4;
        let mut bytes = Bytes::new(body);
        bytes.take(8, WHAT)?;
        let database_bytes = usize::from(bytes.u8(WHAT)?);
        let error_code = bytes.u16(WHAT)?;
        let status_bytes = usize::from(bytes.u16(WHAT)?);
        if header.event_type_raw() == kind::EXECUTE_LOAD_QUERY {
            bytes.take(13, WHAT)?;
        }
        let session = Session::parse(bytes.take(status_bytes, WHAT)?)?;
        let database = String::from_utf8_lossy(bytes.take(database_bytes, WHAT)?);
        bytes.take(1, WHAT)?;
        let thread_specific = header.flags_raw() & THREAD_SPECIFIC_FLAG != 0;
        Ok(Self { database, text: bytes.rest(), error_code, session, thread_specific })
    }
}

impl Session {
    /// Servers write the variables in the order of their numbers' age, so those that count come before any that
    /// isn't known here.
    fn parse(variables: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "a statement's session variables";
        let mut session = Self::default();
        let mut bytes = Bytes::new(variables);
        while !bytes.is_empty() {
            match bytes.u8(WHAT)? {
                // Flags.
                0 => drop(bytes.take(4, WHAT)?),
                1 => session.sql_mode = bytes.u64(WHAT)?,
                // Auto-increment.
                3 => drop(bytes.take(4, WHAT)?),
                // Character sets of client, connection and server.
                4 => {
                    session.client_collation = Some(bytes.u16(WHAT)?);
                    break;
                }
                // Catalog.
                6 => {
                    let length = usize::from(bytes.u8(WHAT)?);
                    bytes.take(length, WHAT)?;
                }
                _ => break,
            }
        }
        Ok(session)
    }
}

/// Where the log goes on: the next file and the offset in it.
pub(crate) fn rotate(body: &[u8]) -> Result<(u64, Cow<'_, str>), DecodeError> {
    let mut bytes = Bytes::new(body);
    let offset = bytes.u64("a rotate event")?;
    Ok((offset, String::from_utf8_lossy(bytes.rest())))
}

/// What the server says of events that it couldn't write to its log.
pub(crate) fn incident_message(body: &[u8]) -> Result<String, DecodeError> {
    const WHAT: &str = "an incident event";
    let mut bytes = Bytes::new(body);
    bytes.u16(WHAT)?;
    let length = usize::from(bytes.u8(WHAT)?);
    Ok(String::from_utf8_lossy(bytes.take(length, WHAT)?).into_owned())
}

/// The beginning of a transaction.
#[derive(Debug)]
pub(crate) struct Begin {
    /// `None` for an anonymous transaction.
    pub(crate) gtid: Option<Gtid>,
    /// When it was committed at this server, in milliseconds since 1970, where the event says so.
    pub(crate) committed_at_ms: Option<i64>,
    /// MariaDB: one event follows and ends it. Otherwise it lasts until its own end.
    pub(crate) standalone: bool,
    /// MariaDB: the distributed transaction that it is to prepare; MySQL has a statement for that.
    pub(crate) xid: Option<Xid>,
}

/// MySQL's GTID events of all three kinds.
pub(crate) fn mysql_begin(event: &RawEvent) -> Result<Begin, DecodeError> {
    let malformed = |found: std::io::Error| DecodeError::malformed("a GTID event", found.to_string());
    let format = FormatDescriptionEvent::new(BinlogVersion::Version4);
    let context = BinlogCtx::new(BinlogEventHeader::LEN + event.body.len(), &format, event.kind());
    let parsed: GtidEvent = ParseBuf(&event.body).parse(context).map_err(malformed)?;
    // The topmost of the 56 bits says whether another time follows.
    let committed_us = parsed.immediate_commit_timestamp() & ((1 << 55) - 1);
    let named = event.kind() != kind::ANONYMOUS_GTID;
    let gtid = || MySqlGtid::new(ServerUuid::from_bytes(parsed.sid()), parsed.tag().cloned(), parsed.gno());
    Ok(Begin {
        gtid: named.then(|| Gtid::MySql(gtid())),
        committed_at_ms: (committed_us > 0).then(|| i64::try_from(committed_us / 1_000).unwrap_or(i64::MAX)),
        standalone: false,
        xid: None,
    })
}

/// MariaDB's GTID event.
pub(crate) fn mariadb_begin(event: &RawEvent) -> Result<Begin, DecodeError> {
    const WHAT: &str = "a GTID event";
    const STANDALONE: u8 = 1;
    const GROUP_COMMIT: u8 = 2;
    const PREPARES: u8 = 64;
    let mut bytes = Bytes::new(&event.body);
    let number = bytes.u64(WHAT)?;
    let domain = bytes.u32(WHAT)?;
    let flags = bytes.u8(WHAT)?;
    if flags & GROUP_COMMIT != 0 {
        bytes.u64(WHAT)?;
    }
    let xid = if flags & PREPARES != 0 { Some(mariadb_xid(&mut bytes)?) } else { None };
    let gtid = Gtid::MariaDb(MariaDbGtid { domain, server: event.header.server_id(), number });
    Ok(Begin { gtid: Some(gtid), committed_at_ms: None, standalone: flags & STANDALONE != 0, xid })
}

fn mariadb_xid(bytes: &mut Bytes<'_>) -> Result<Xid, DecodeError> {
    const WHAT: &str = "a GTID event's XA id";
    let format = bytes.u32(WHAT)?;
    let (global_bytes, branch_bytes) = (bytes.u8(WHAT)?, bytes.u8(WHAT)?);
    let mut part = |length: u8| Ok::<_, DecodeError>(bytes.take(usize::from(length), WHAT)?.to_vec());
    Ok(Xid { global: part(global_bytes)?, branch: part(branch_bytes)?, format })
}

/// Whether an XA PREPARE event is in truth a commit in one phase.
pub(crate) fn xa_is_one_phase(body: &[u8]) -> Result<bool, DecodeError> {
    Ok(Bytes::new(body).u8("an XA PREPARE event")? != 0)
}

/// The number of the table that a table map or a rows event is about.
pub(crate) fn table_number(body: &[u8]) -> Result<u64, DecodeError> {
    Bytes::new(body).uint(6, "a table's number")
}
