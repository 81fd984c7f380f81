//! The events that hold rows: what precedes the rows themselves.

use super::DecodeError;
use super::bytes::{Bytes, bit};

const ROWS: &str = "a rows event";

/// What a rows event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowsKind {
    /// New rows.
    Write,
    /// Rows before and after.
    Update,
    /// As `Update`, but JSON documents may be there as what changed in them.
    PartialUpdate,
    /// Rows that are gone.
    Delete,
}

/// A rows event, up to its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowsEvent<'a> {
    /// What it does.
    pub(crate) kind: RowsKind,
    /// How many columns the table has.
    pub(super) width: usize,
    /// Which columns the rows before have; of inserts, none.
    pub(super) before: Present<'a>,
    /// Which columns the rows after have; of deletes, none.
    pub(super) after: Present<'a>,
    pub(super) rows: &'a [u8],
}

/// Which columns an image of a row has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present<'a> {
    bitmap: &'a [u8],
    count: usize,
}

impl Present<'_> {
    pub(super) fn has(&self, column: usize) -> bool {
        bit(self.bitmap, column)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl<'a> RowsEvent<'a> {
    /// Reads an event's body (what follows its header, without the checksum). `version` is 1 for the event types 23 to
    /// 25 and for MariaDB's, 2 for 30 to 32 and 39.
    pub(crate) fn parse(kind: RowsKind, version: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut bytes = Bytes::new(body);
        let _table_id = bytes.uint(6, ROWS)?;
        let _flags = bytes.u16(ROWS)?;
        if version >= 2 {
            // The length counts itself.
            let extra = usize::from(bytes.u16(ROWS)?).saturating_sub(2);
            bytes.take(extra, ROWS)?;
        }
        let width = usize::try_from(bytes.length(ROWS)?).unwrap_or(usize::MAX);
        let none = Present { bitmap: &[], count: 0 };
        let mut present = || {
            let bitmap = bytes.take(width.div_ceil(8), ROWS)?;
            let count = (0..width).filter(|column| bit(bitmap, *column)).count();
            Ok::<_, DecodeError>(Present { bitmap, count })
        };
        let (before, after) = match kind {
            RowsKind::Write => (none, present()?),
            RowsKind::Delete => (present()?, none),
            RowsKind::Update | RowsKind::PartialUpdate => (present()?, present()?),
        };
        Ok(Self { kind, width, before, after, rows: bytes.rest() })
    }
}
