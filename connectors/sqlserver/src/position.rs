//! Where in a database's log something is, in the connector's own terms.
//!
//! The log gives every record a sequence number (LSN), and every transaction the LSN of its commit record, by which
//! transactions are ordered. Rows and statements that change tables share this one domain. So a position is a commit's
//! LSN: everything committed up to and with it lies before. An epoch grows whenever the log starts over (the database
//! was restored from a backup), which makes positions totally ordered along the log as it was followed.
//!
//! A reader that stops amid a transaction resumes at the commit before it: the transaction comes again, whole. Which
//! capture instance serves a table there is stored with the table's schema, in its `origin`.

use std::fmt;
use std::str::FromStr;

use millstream_core::position::Position;

/// The bits of an LSN.
const LSN_BITS: u32 = 80;

/// A log sequence number: virtual log file, block in it, slot in the block. Zero means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lsn(u128);

impl Lsn {
    /// No LSN; before all others.
    pub(crate) const ZERO: Lsn = Lsn(0);
    /// Behind all others.
    pub(crate) const MAX: Lsn = Lsn((1 << LSN_BITS) - 1);

    /// From its parts.
    pub(crate) fn new(file: u32, block: u32, slot: u16) -> Self {
        Self((u128::from(file) << 48) | (u128::from(block) << 16) | u128::from(slot))
    }

    /// From the ten bytes of a `binary(10)`; `None` for another length.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 10] = bytes.try_into().ok()?;
        Some(Self(bytes.iter().fold(0, |number, byte| (number << 8) | u128::from(*byte))))
    }

    /// The ten bytes of a `binary(10)`, as parameters of queries and comparisons on the server want it.
    pub(crate) fn bytes(self) -> [u8; 10] {
        let [_, _, _, _, _, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    /// The number as a `binary(10)` in a statement.
    pub(crate) fn literal(self) -> String {
        format!("0x{:020x}", self.0)
    }

    /// The next number, as `sys.fn_cdc_increment_lsn` has it. Stays at the last.
    pub(crate) fn next(self) -> Self {
        Self((self.0 + 1).min(Self::MAX.0))
    }

    /// The number before, as `sys.fn_cdc_decrement_lsn` has it. Stays at zero.
    pub(crate) fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Whether it is none.
    pub(crate) fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The number as a whole.
    pub(crate) fn number(self) -> u128 {
        self.0
    }

    /// How many bytes of log lie between two numbers, if both are in the same virtual log file: blocks are counted
    /// in units of 512 bytes. Of the sizes of the files between two different ones nothing is known here.
    pub(crate) fn bytes_until(self, later: Lsn) -> Option<u64> {
        const BLOCK_BYTES: u64 = 512;
        let block = |lsn: Lsn| u64::try_from((lsn.0 >> 16) & u128::from(u32::MAX)).ok();
        if self >= later {
            return Some(0);
        }
        (self.0 >> 48 == later.0 >> 48).then_some(())?;
        Some(block(later)?.saturating_sub(block(self)?) * BLOCK_BYTES)
    }
}

impl fmt::Display for Lsn {
    /// `0000002c:00000108:0003`, as the server's own views write it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}:{:08x}:{:04x}", self.0 >> 48, (self.0 >> 16) & 0xffff_ffff, self.0 & 0xffff)
    }
}

impl FromStr for Lsn {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let error = || PositionError { text: text.to_owned(), what: "it isn't file:block:slot in hexadecimal" };
        let mut parts = text.split(':');
        let (Some(file), Some(block), Some(slot), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(error());
        };
        let digits = |part: &str, length: usize| {
            let valid = !part.is_empty() && part.len() <= length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            valid.then(|| u32::from_str_radix(part, 16).ok()).flatten()
        };
        let slot = digits(slot, 4).and_then(|slot| u16::try_from(slot).ok());
        match (digits(file, 8), digits(block, 8), slot) {
            (Some(file), Some(block), Some(slot)) => Ok(Self::new(file, block, slot)),
            _ => Err(error()),
        }
    }
}

/// A place in the log of one database, with all that is needed to resume there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlServerPosition {
    /// How many times the log has started over since it was first followed.
    pub(crate) epoch: u16,
    /// Every transaction whose commit has this LSN or a lower one lies before.
    pub(crate) lsn: Lsn,
    /// The last entry that the capture process had made before, if it had made any. A log in which that is another isn't
    /// the one that was followed.
    pub(crate) mark: Option<Mark>,
}

/// An entry of `cdc.lsn_time_mapping`, by which a log is recognised: a transaction that was captured, or a place at which
/// the capture process found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The commit's LSN, or the place.
    pub(crate) lsn: Lsn,
    /// When the transaction ended, or nothing was found, in milliseconds since 1970 by the clock on the server's wall.
    pub(crate) at_ms: i64,
}

impl SqlServerPosition {
    /// A place and nothing else.
    pub(crate) fn at(epoch: u16, lsn: Lsn) -> Self {
        Self { epoch, lsn, mark: None }
    }

    fn order(&self) -> u128 {
        (u128::from(self.epoch) << LSN_BITS) | self.lsn.number()
    }
}

impl From<&SqlServerPosition> for Position {
    fn from(position: &SqlServerPosition) -> Self {
        Position::new(position.order(), position.to_string())
    }
}

impl TryFrom<&Position> for SqlServerPosition {
    type Error = PositionError;

    fn try_from(position: &Position) -> Result<Self, PositionError> {
        position.token().parse()
    }
}

impl fmt::Display for SqlServerPosition {
    /// `0000002c:00000108:0003 mark=0000002c:00000108:0003@1795312800123 epoch=1`; what doesn't apply is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.lsn)?;
        if let Some(Mark { lsn, at_ms }) = self.mark {
            write!(formatter, " mark={lsn}@{at_ms}")?;
        }
        match self.epoch {
            0 => Ok(()),
            epoch => write!(formatter, " epoch={epoch}"),
        }
    }
}

impl FromStr for SqlServerPosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let error = |what| PositionError { text: text.to_owned(), what };
        let mut fields = text.split(' ');
        let lsn = fields.next().unwrap_or_default().parse().map_err(|_| error("it doesn't begin with an LSN"))?;
        let mut position = Self::at(0, lsn);
        for field in fields {
            match field.split_once('=') {
                Some(("mark", value)) => {
                    let mark = value
                        .split_once('@')
                        .and_then(|(lsn, at_ms)| Some(Mark { lsn: lsn.parse().ok()?, at_ms: at_ms.parse().ok()? }));
                    position.mark = Some(mark.ok_or(error("the mark can't be read"))?);
                }
                Some(("epoch", value)) => {
                    position.epoch = value.parse().map_err(|_| error("the epoch is no number"))?;
                }
                _ => return Err(error("it has an unknown part")),
            }
        }
        Ok(position)
    }
}

/// A text isn't a position of this connector's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no position in a SQL Server log: {what}")]
pub(crate) struct PositionError {
    text: String,
    what: &'static str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_lsn_reads_and_writes_as_the_server_does() {
        let lsn = Lsn::from_bytes(&[0, 0, 0, 0x2c, 0, 0, 1, 8, 0, 3]).unwrap();
        assert_eq!(lsn, Lsn::new(0x2c, 0x108, 3));
        assert_eq!(lsn.to_string(), "0000002c:00000108:0003");
        assert_eq!("0000002c:00000108:0003".parse(), Ok(lsn));
        assert_eq!(lsn.bytes(), [0, 0, 0, 0x2c, 0, 0, 1, 8, 0, 3]);
        assert_eq!(Lsn::from_bytes(&[0; 9]), None);
        for text in ["", "1:2", "1:2:3:4", "1:2:10000", "+1:2:3", "g:0:0", "123456789:0:0"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_next_lsn_carries_over() {
        assert_eq!(Lsn::new(1, 2, u16::MAX).next(), Lsn::new(1, 3, 0));
        assert_eq!(Lsn::new(1, u32::MAX, u16::MAX).next(), Lsn::new(2, 0, 0));
        assert_eq!(Lsn::new(2, 0, 0).previous(), Lsn::new(1, u32::MAX, u16::MAX));
        assert_eq!((Lsn::MAX.next(), Lsn::ZERO.previous()), (Lsn::MAX, Lsn::ZERO));
    }

    #[test]
    fn bytes_are_told_within_one_file_of_the_log() {
        let lsn = |file, block| Lsn::new(file, block, 1);
        assert_eq!(lsn(1, 10).bytes_until(lsn(1, 12)), Some(1_024));
        assert_eq!(lsn(1, 12).bytes_until(lsn(1, 10)), Some(0));
        assert_eq!(lsn(1, 10).bytes_until(lsn(2, 0)), None);
    }

    fn lsns() -> impl Strategy<Value = Lsn> {
        (any::<u32>(), any::<u32>(), any::<u16>()).prop_map(|(file, block, slot)| Lsn::new(file, block, slot))
    }

    proptest! {
        #[test]
        fn lsns_order_as_their_bytes(one in lsns(), other in lsns()) {
            prop_assert_eq!(one.cmp(&other), one.bytes().cmp(&other.bytes()));
            prop_assert_eq!(Lsn::from_bytes(&one.bytes()), Some(one));
            prop_assert!(one.next() >= one && one.previous() <= one);
        }

        #[test]
        fn positions_come_back_from_their_text(
            epoch in any::<u16>(),
            lsn in lsns(),
            mark in any::<Option<(u32, i64)>>(),
        ) {
            let mark = mark.map(|(block, at_ms)| Mark { lsn: Lsn::new(1, block, 2), at_ms });
            let position = SqlServerPosition { epoch, lsn, mark };
            prop_assert_eq!(position.to_string().parse::<SqlServerPosition>().unwrap(), position);
        }

        #[test]
        fn positions_order_by_epoch_and_then_along_the_log(a in (any::<u16>(), lsns()), b in (any::<u16>(), lsns())) {
            let position = |(epoch, lsn)| Position::from(&SqlServerPosition::at(epoch, lsn));
            prop_assert_eq!(position(a).cmp(&position(b)), a.cmp(&b));
        }

        #[test]
        fn no_text_makes_the_reader_fail_otherwise_than_by_an_error(text in "[0-9a-f]{0,9}:[0-9a-f]{0,9}:[0-9a-f]{0,5}( (mark|epoch)=[0-9a-f:@-]{0,30}){0,3}|.{0,40}") {
            if let Ok(position) = text.parse::<SqlServerPosition>() {
                prop_assert_eq!(position.to_string().parse::<SqlServerPosition>().unwrap(), position);
            }
        }
    }
}
