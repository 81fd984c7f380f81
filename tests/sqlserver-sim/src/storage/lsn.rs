//! Log sequence numbers: where a record is in a database's log.

use std::fmt;

use crate::value::Value;

/// Sectors of 512 bytes that one virtual log file has; then the next one begins.
const VIRTUAL_LOG_FILE_SECTORS: u32 = 0x8_0000;
/// A block is written at the latest when it has this many bytes.
const BLOCK_BYTES_MAX: u32 = 61_440;
const SECTOR_BYTES: u32 = 512;
/// Where a virtual log file's first block is.
const FIRST_BLOCK: u32 = 0x10;

/// Virtual log file, block and slot. They compare in this order, as their ten bytes do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Lsn {
    pub file: u32,
    pub block: u32,
    pub slot: u16,
}

impl Lsn {
    /// No place in the log.
    pub const ZERO: Self = Self { file: 0, block: 0, slot: 0 };

    pub const fn new(file: u32, block: u32, slot: u16) -> Self {
        Self { file, block, slot }
    }

    /// As `binary(10)` holds it.
    pub fn to_bytes(self) -> [u8; 10] {
        let [a, b, c, d] = self.file.to_be_bytes();
        let [e, f, g, h] = self.block.to_be_bytes();
        let [i, j] = self.slot.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j]
    }

    /// Shorter bytes count as padded with zeros at the end, as the server pads them; more than ten are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > 10 {
            return None;
        }
        let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
        Some(Self {
            file: u32::from_be_bytes([at(0), at(1), at(2), at(3)]),
            block: u32::from_be_bytes([at(4), at(5), at(6), at(7)]),
            slot: u16::from_be_bytes([at(8), at(9)]),
        })
    }

    pub fn to_value(self) -> Value {
        Value::binary(&self.to_bytes())
    }

    /// None for NULL and for what isn't binary.
    pub fn from_value(value: &Value) -> Option<Self> {
        value.as_bytes().and_then(Self::from_bytes)
    }

    /// The number that the transaction views show: file, block in ten digits, slot in five.
    pub fn to_decimal(self) -> i128 {
        i128::from(self.file) * 1_000_000_000_000_000 + i128::from(self.block) * 100_000 + i128::from(self.slot)
    }

    /// The binary number after this one, which need not be that of a record. The last one has none.
    pub fn next(self) -> Option<Self> {
        Self::from_number(self.number().checked_add(1)?)
    }

    /// The binary number before this one.
    pub fn previous(self) -> Option<Self> {
        Self::from_number(self.number().checked_sub(1)?)
    }

    fn number(self) -> u128 {
        u128::from(self.file) << 48 | u128::from(self.block) << 16 | u128::from(self.slot)
    }

    fn from_number(number: u128) -> Option<Self> {
        Some(Self {
            file: u32::try_from(number >> 48).ok()?,
            block: u32::try_from((number >> 16) & u128::from(u32::MAX)).ok()?,
            slot: u16::try_from(number & u128::from(u16::MAX)).ok()?,
        })
    }
}

/// `vlf:block:slot` in hexadecimal.
impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}:{:08x}:{:04x}", self.file, self.block, self.slot)
    }
}

/// Gives each record its place. A commit ends its block, so that no two transactions commit in one.
#[derive(Clone, Debug)]
pub struct LogEnd {
    last: Lsn,
    block_bytes: u32,
}

impl LogEnd {
    pub fn new(file: u32) -> Self {
        Self { last: Lsn::new(file, FIRST_BLOCK, 0), block_bytes: 0 }
    }

    /// The last record's place.
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// The place of a record of about `bytes`.
    pub fn append(&mut self, bytes: u32) -> Lsn {
        if self.block_bytes.saturating_add(bytes) > BLOCK_BYTES_MAX || self.last.slot == u16::MAX {
            self.flush();
        }
        self.block_bytes = self.block_bytes.saturating_add(bytes);
        self.last.slot += 1;
        self.last
    }

    /// Ends the block.
    pub fn flush(&mut self) {
        let sectors = self.block_bytes.min(BLOCK_BYTES_MAX).div_ceil(SECTOR_BYTES).max(1);
        self.block_bytes = 0;
        self.last.slot = 0;
        self.last.block += sectors;
        if self.last.block >= VIRTUAL_LOG_FILE_SECTORS {
            self.last = Lsn::new(self.last.file.saturating_add(1), FIRST_BLOCK, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_compare_as_numbers_do() {
        let mut end = LogEnd::new(0x24);
        let mut before = end.append(100);
        for record in 0..200_000 {
            if record % 3 == 0 {
                end.flush();
            }
            let lsn = end.append(record % 70_000);
            assert!(lsn > before && lsn.to_bytes() > before.to_bytes(), "{before} {lsn}");
            assert_eq!(Lsn::from_bytes(&lsn.to_bytes()), Some(lsn));
            before = lsn;
        }
        assert!(before.file > 0x24, "the log goes on in further files");
    }

    #[test]
    fn the_next_number_carries_into_block_and_file() {
        let lsn = Lsn::new(1, u32::MAX, u16::MAX);
        assert_eq!(lsn.next(), Some(Lsn::new(2, 0, 0)));
        assert_eq!(Lsn::new(2, 0, 0).previous(), Some(lsn));
        assert_eq!(Lsn::new(u32::MAX, u32::MAX, u16::MAX).next(), None);
        assert_eq!(Lsn::ZERO.previous(), None);
    }

    #[test]
    fn text_and_decimal_forms_are_those_of_the_server() {
        let lsn = Lsn::new(0x24, 0x0a30, 3);
        assert_eq!(lsn.to_string(), "00000024:00000a30:0003");
        assert_eq!(lsn.to_decimal(), 36_000_000_260_800_003);
    }
}
