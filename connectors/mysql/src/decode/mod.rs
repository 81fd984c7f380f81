//! From the bytes of the log's row events to values.
//!
//! A [`TableMap`] tells which columns the rows that follow it have. A [`RowDecoder`] is built once per table map and
//! schema version, and only if the two agree: rows are never decoded by a schema that may be wrong. It then turns each
//! [`RowsEvent`] into row changes, column by column, straight from the event's bytes.
//!
//! The texts of values that this module writes (dates, decimals, JSON) are the ones that [`read`](crate::read) gives
//! for the same rows.

mod agreement;
pub(crate) mod bytes;
pub(crate) mod charset;
mod charset_runs;
mod charset_tables;
mod column;
pub(crate) mod column_type;
mod compressed;
pub(crate) mod decimal;
mod east_asian;
#[cfg(test)]
mod hostile;
pub(crate) mod json;
pub(crate) mod labels;
mod metadata;
mod network;
pub(crate) mod number;
mod row_decoder;
mod rows;
mod table_map;
pub(crate) mod temporal;
mod versioning;

pub(crate) use column::push_unsigned;
pub(crate) use row_decoder::{Decoded, RowDecoder};
pub(crate) use rows::{RowsEvent, RowsKind};
pub(crate) use table_map::{TableMap, TableMapHead};
pub(crate) use versioning::{is_period, is_row_end};

use millstream_core::row::ValueTooLong;

/// Bytes from the server that aren't what the format prescribes. It tells where, never what a row holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Fewer bytes than what is being read needs.
    #[error("the bytes end within {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// Something that the format doesn't allow.
    #[error("{what} can't be read: {found}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What stood there instead.
        found: String,
    },
    /// A value beyond the limits of a batch.
    #[error(transparent)]
    TooLong(#[from] ValueTooLong),
}

impl DecodeError {
    pub(crate) fn malformed(what: &'static str, found: impl Into<String>) -> Self {
        DecodeError::Malformed { what, found: found.into() }
    }
}
