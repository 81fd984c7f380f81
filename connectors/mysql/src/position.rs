//! Where in a binlog something is, in the connector's own terms.
//!
//! A binlog is a numbered series of files. Within one server's series, file number and offset order every event. GTIDs
//! don't: a set of them is only partially ordered, but it alone means something to another server. So a position holds
//! both, and an epoch that grows whenever the series starts over (another server took its place, the logs were reset,
//! the files got another name), which makes positions totally ordered along the log as it was followed.

use std::fmt;
use std::str::FromStr;

use millstream_core::position::Position;
use mysql_common::binlog::consts::EventFlags;
use mysql_common::binlog::events::BinlogEventHeader;

use crate::gtid::GtidSet;
use crate::version::Flavor;

/// The offset of a file's first event: what comes before is the file's magic number.
pub(crate) const FIRST_EVENT_OFFSET: u64 = 4;

const FILE_NUMBER_BITS: u32 = 48;
const FILE_NUMBER_MAX: u64 = (1 << FILE_NUMBER_BITS) - 1;
const OFFSET_BITS: u32 = 64;

/// A place in the log of one server, with all that is needed to resume there or at another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MySqlPosition {
    /// How many times the series of files has started over since it was first followed.
    pub(crate) epoch: u16,
    /// Whose files these are.
    pub(crate) server: ServerIdentity,
    /// Which file.
    pub(crate) file: LogFile,
    /// The offset in bytes at which the next event begins.
    pub(crate) offset: u64,
    /// When the server began the file, in seconds since 1970, as the file's first event says: tells it from another of
    /// the same name. `None` until the stream has seen that event.
    pub(crate) begun: Option<u32>,
    /// Every transaction before this place, where the server keeps GTIDs.
    pub(crate) gtid: Option<GtidSet>,
    /// What statements before this place set off was found out when the log ended there, further on. Until there a
    /// statement may drop what took part without having been seen.
    pub(crate) relied_until: Option<SeriesPlace>,
}

impl MySqlPosition {
    /// Whether both positions lie in the same series of files, so that file number and offset compare.
    pub(crate) fn same_log(&self, other: &Self) -> bool {
        self.server == other.server && self.file.stem() == other.file.stem()
    }

    fn order(&self) -> u128 {
        (u128::from(self.epoch) << (FILE_NUMBER_BITS + OFFSET_BITS))
            | (u128::from(self.file.number) << OFFSET_BITS)
            | u128::from(self.offset)
    }
}

impl From<&MySqlPosition> for Position {
    fn from(position: &MySqlPosition) -> Self {
        Position::new(position.order(), position.to_string())
    }
}

impl TryFrom<&Position> for MySqlPosition {
    type Error = PositionError;

    fn try_from(position: &Position) -> Result<Self, PositionError> {
        position.token().parse()
    }
}

impl fmt::Display for MySqlPosition {
    /// `binlog.000003:157 server=3e11fa47-71ca-11e1-9e33-c80aa9429562 epoch=1 begun=1790000000 relied=3:800
    /// gtid=3e11fa47-…:1-5`; the epoch is left out while it is 0, the others where there are none.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{} server={}", self.file, self.offset, self.server)?;
        if self.epoch > 0 {
            write!(formatter, " epoch={}", self.epoch)?;
        }
        if let Some(begun) = self.begun {
            write!(formatter, " begun={begun}")?;
        }
        if let Some(SeriesPlace { file_number, offset }) = self.relied_until {
            write!(formatter, " relied={file_number}:{offset}")?;
        }
        match &self.gtid {
            Some(gtid) => write!(formatter, " gtid={gtid}"),
            None => Ok(()),
        }
    }
}

impl FromStr for MySqlPosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let error = |what| PositionError { text: text.to_owned(), what };
        // A file name may hold anything, the rest can't hold these words: so the last of them is the right one.
        let (place, rest) = text.rsplit_once(" server=").ok_or(error("it names no server"))?;
        let (file, offset) = place.rsplit_once(':').ok_or(error("it has no offset"))?;
        let file = LogFile::new(file).ok_or(error("the file's name doesn't end in a number"))?;
        let offset = offset.parse().map_err(|_| error("the offset is no number"))?;
        let mut fields = rest.split(' ');
        let server =
            fields.next().unwrap_or_default().parse().map_err(|()| error("the server is neither UUID nor id"))?;
        let mut position = Self { epoch: 0, server, file, offset, begun: None, gtid: None, relied_until: None };
        for field in fields {
            match field.split_once('=') {
                Some(("epoch", value)) => {
                    position.epoch = value.parse().map_err(|_| error("the epoch is no number"))?
                }
                Some(("begun", value)) => {
                    position.begun = Some(value.parse().map_err(|_| error("the file's beginning is no number"))?);
                }
                Some(("relied", value)) => {
                    let place = SeriesPlace::parse(value).ok_or(error("the place relied on is none"))?;
                    position.relied_until = Some(place);
                }
                Some(("gtid", value)) => {
                    let gtid = GtidSet::parse(server.flavor(), value);
                    position.gtid = Some(gtid.map_err(|_| error("the GTID set can't be read"))?);
                }
                _ => return Err(error("it has an unknown part")),
            }
        }
        Ok(position)
    }
}

/// A text isn't a position of this connector's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no position in a binlog: {what}")]
pub(crate) struct PositionError {
    text: String,
    what: &'static str,
}

/// What tells one server from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerIdentity {
    /// MySQL's `@@server_uuid`.
    Uuid(ServerUuid),
    /// MariaDB's `@@server_id`: it has no UUID.
    Id(u32),
}

impl ServerIdentity {
    /// The family of servers that have this kind of identity.
    pub(crate) fn flavor(self) -> Flavor {
        match self {
            ServerIdentity::Uuid(_) => Flavor::MySql,
            ServerIdentity::Id(_) => Flavor::MariaDb,
        }
    }
}

impl fmt::Display for ServerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerIdentity::Uuid(uuid) => uuid.fmt(formatter),
            ServerIdentity::Id(id) => id.fmt(formatter),
        }
    }
}

impl FromStr for ServerIdentity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let id = || text.parse().map(ServerIdentity::Id).map_err(drop);
        text.parse().map(ServerIdentity::Uuid).or_else(|()| id())
    }
}

/// A MySQL server's UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServerUuid(u128);

impl ServerUuid {
    /// From the 16 bytes that a GTID event carries.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The 16 bytes that the protocol carries.
    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for ServerUuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = |shift: u32, digits: u32| (self.0 >> shift) & ((1 << (digits * 4)) - 1);
        write!(
            formatter,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits(96, 8),
            bits(80, 4),
            bits(64, 4),
            bits(48, 4),
            bits(0, 12)
        )
    }
}

impl FromStr for ServerUuid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
        let in_groups = text.split('-').map(str::len).eq(GROUPS);
        let in_digits = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        if !in_groups || !in_digits {
            return Err(());
        }
        u128::from_str_radix(&text.replace('-', ""), 16).map(Self).map_err(drop)
    }
}

/// A place in a series of files, which its files' numbers order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeriesPlace {
    /// The number at the end of the file's name.
    pub(crate) file_number: u64,
    /// In bytes.
    pub(crate) offset: u64,
}

impl SeriesPlace {
    fn parse(text: &str) -> Option<Self> {
        let (file_number, offset) = text.split_once(':')?;
        Some(Self { file_number: file_number.parse().ok()?, offset: offset.parse().ok()? })
    }
}

/// The name of a binlog file: a stem that the server's configuration gives, a dot, and a number that grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFile {
    name: String,
    number: u64,
}

impl LogFile {
    /// `None` if the name doesn't end in a dot and a number.
    pub(crate) fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let (_, digits) = name.rsplit_once('.')?;
        let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|number| all_digits && *number <= FILE_NUMBER_MAX)?;
        Some(Self { name, number })
    }

    /// The whole name, as the server gives and wants it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number at its end.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What all files of the series share.
    pub(crate) fn stem(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(stem, _)| stem)
    }
}

impl fmt::Display for LogFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// The place that a reader of the log has reached, moved on event by event.
///
/// A header tells where its event ends in 32 bits only, though files grow beyond 4 GiB (a large transaction is never
/// divided). An event is at most 4 GiB long, so its end is the first place beyond its beginning whose low 32 bits are
/// the header's. That holds as well where the server leaves out events that weren't asked for, unless it leaves out
/// 4 GiB in one go; after such a gap comes a heartbeat, or the next file, with the whole offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogPlace {
    file: LogFile,
    offset: u64,
}

impl LogPlace {
    /// A place to start reading from.
    pub(crate) fn new(file: LogFile, offset: u64) -> Self {
        Self { file, offset }
    }

    /// The file being read.
    pub(crate) fn file(&self) -> &LogFile {
        &self.file
    }

    /// Where in it the next event begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Where that is in the series of files.
    pub(crate) fn in_series(&self) -> SeriesPlace {
        SeriesPlace { file_number: self.file.number(), offset: self.offset }
    }

    /// Moves past an event that was received. Events that aren't in the file (the server makes some up: the first
    /// rotate event, a repeated format description, heartbeats) don't move it.
    pub(crate) fn advance(&mut self, header: &BinlogEventHeader) {
        const HEARTBEATS: [u8; 2] = [0x1b, 0x29];
        let made_up = header.log_pos() == 0
            || header.flags().contains(EventFlags::LOG_EVENT_ARTIFICIAL_F)
            || HEARTBEATS.contains(&header.event_type_raw());
        if !made_up {
            self.offset = first_beyond(self.offset, header.log_pos());
        }
    }

    /// Goes to a place that the server named: by a rotate event, or by a heartbeat of the second kind.
    pub(crate) fn jump(&mut self, file: LogFile, offset: u64) {
        *self = Self { file, offset };
    }
}

/// The smallest number above `offset` with these low 32 bits.
fn first_beyond(offset: u64, low_bits: u32) -> u64 {
    const WRAP: u64 = 1 << 32;
    let same_turn = (offset & !(WRAP - 1)) | u64::from(low_bits);
    if same_turn > offset { same_turn } else { same_turn.saturating_add(WRAP) }
}

#[cfg(test)]
mod tests {
    use mysql_common::binlog::consts::EventType;
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn parsed(text: &str) -> MySqlPosition {
        text.parse().unwrap()
    }

    #[test]
    fn a_position_is_readable_and_reads_back_exactly() {
        for text in [
            format!("binlog.000003:157 server={UUID}"),
            format!("binlog.000003:157 server={UUID} epoch=2 begun=1790000000 relied=4:5 gtid={UUID}:1-5:7:blue:1"),
            format!("my log.server=x.1000000:8589934592 server={UUID} gtid="),
            "mariadb-bin.000001:4 server=17 gtid=0-17-3,2-4-1".to_owned(),
        ] {
            let position = parsed(&text);
            assert_eq!(position.to_string(), text);
            let core = Position::from(&position);
            assert_eq!(MySqlPosition::try_from(&core).unwrap(), position);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "names no server"),
            ("binlog.000001:4", "names no server"),
            ("binlog.000001 server=1", "no offset"),
            ("binlog:4 server=1", "doesn't end in a number"),
            ("binlog.+1:4 server=1", "doesn't end in a number"),
            ("binlog.000001:x server=1", "offset is no number"),
            ("binlog.000001:4 server=me", "neither UUID nor id"),
            ("binlog.000001:4 server=1 gtid=x", "GTID set"),
            ("binlog.000001:4 server=1 epoch=70000", "epoch"),
            ("binlog.000001:4 server=1 begun=-1", "beginning"),
            ("binlog.000001:4 server=1 relied=5", "relied on"),
            ("binlog.000001:4 server=1 more", "unknown part"),
        ] {
            let error = text.parse::<MySqlPosition>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn positions_order_by_epoch_then_file_then_offset() {
        let ordered = [
            format!("binlog.999999:4294967400 server={UUID}"),
            format!("binlog.1000000:4 server={UUID}"),
            format!("binlog.1000000:4294967400 server={UUID}"),
            format!("other.000001:4 server={UUID} epoch=1"),
            format!("other.000001:5 server={UUID} epoch=1"),
        ];
        let positions: Vec<Position> = ordered.iter().map(|text| Position::from(&parsed(text))).collect();
        assert!(positions.is_sorted() && positions.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn only_positions_of_one_servers_series_compare_by_file() {
        let position = parsed(&format!("binlog.000003:157 server={UUID}"));
        assert!(position.same_log(&parsed(&format!("binlog.000004:4 server={UUID}"))));
        assert!(!position.same_log(&parsed(&format!("mysql-bin.000004:4 server={UUID}"))));
        assert!(!position.same_log(&parsed("binlog.000004:4 server=1")));
    }

    fn header(kind: EventType, size: u32, log_pos: u32, flags: EventFlags) -> BinlogEventHeader {
        BinlogEventHeader::new(0, kind, 1, size, log_pos, flags)
    }

    #[test]
    fn a_place_goes_on_beyond_4_gib() {
        let mut place = LogPlace::new(LogFile::new("binlog.000001").unwrap(), FIRST_EVENT_OFFSET);
        let (size, plain) = (1_000_000_000_u32, EventFlags::empty());
        for number in 1..=10_u64 {
            let end = FIRST_EVENT_OFFSET + number * u64::from(size);
            place.advance(&header(EventType::WRITE_ROWS_EVENT, size, end as u32, plain));
            assert_eq!(place.offset(), end);
        }
    }

    #[test]
    fn events_that_the_server_made_up_dont_move_a_place() {
        let mut place = LogPlace::new(LogFile::new("binlog.000001").unwrap(), 1_000);
        place.advance(&header(EventType::FORMAT_DESCRIPTION_EVENT, 120, 0, EventFlags::empty()));
        place.advance(&header(EventType::HEARTBEAT_EVENT, 40, 900, EventFlags::empty()));
        place.advance(&header(EventType::ROTATE_EVENT, 40, 1_040, EventFlags::LOG_EVENT_ARTIFICIAL_F));
        assert_eq!(place.offset(), 1_000);
        place.jump(LogFile::new("binlog.000002").unwrap(), 4);
        assert_eq!((place.file().name(), place.offset()), ("binlog.000002", 4));
    }

    proptest! {
        #[test]
        fn a_place_is_the_sum_of_the_events_lengths(sizes in prop::collection::vec(1..u32::MAX, 1..50)) {
            let mut place = LogPlace::new(LogFile::new("binlog.000001").unwrap(), FIRST_EVENT_OFFSET);
            let mut end = FIRST_EVENT_OFFSET;
            for size in sizes {
                end += u64::from(size);
                // A wrapped end of exactly 0 can't be told from an event that was made up, so no server test can see it.
                prop_assume!(end as u32 != 0);
                place.advance(&header(EventType::WRITE_ROWS_EVENT, size, end as u32, EventFlags::empty()));
                prop_assert_eq!(place.offset(), end);
            }
        }

        #[test]
        fn no_text_makes_the_reader_fail_otherwise_than_by_an_error(text in "(binlog.[0-9]{0,8}:[0-9]{0,22}( (server|epoch|begun|relied|gtid)=[0-9a-f:,-]{0,40}){0,4})|.{0,40}") {
            if let Ok(position) = text.parse::<MySqlPosition>() {
                prop_assert_eq!(position.to_string().parse::<MySqlPosition>().unwrap(), position);
            }
        }
    }
}
