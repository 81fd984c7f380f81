//! From the rows that the driver gives to values.
//!
//! A row of a table and the row of a change table that tells of the same change are selected by the same expressions
//! ([`ColumnType::select`]) and read by the same [`RowDecoder`], so their values are identical by construction. Where
//! the protocol or the driver would lose something on the way (money as a binary float, texts in code pages, objects
//! of the server's .NET types), the expression has the server convert it first.
//!
//! | SQL Server | value |
//! |---|---|
//! | `bit`, `tinyint`, `smallint`, `int`, `bigint` | integer |
//! | `real`, `float` | real; a `real` as the double nearest to its shortest decimal text |
//! | `decimal`, `numeric`, `money`, `smallmoney` | text with all digits of the scale |
//! | `char`, `varchar`, `text`, `nchar`, `nvarchar`, `ntext`, `xml`, `json` | text |
//! | `uniqueidentifier` | text, in capitals as the server writes it |
//! | `date` | text: `2026-02-28` |
//! | `time` | text: `23:59:58`, with as many digits of the second as the column declares |
//! | `smalldatetime`, `datetime`, `datetime2` | text: `2026-02-28T23:59:58.123Z`, with the declared digits, at least three |
//! | `datetimeoffset` | text: `2026-02-28T23:59:58.123+02:00`: the time there, and how far from UTC |
//! | `binary`, `varbinary`, `image`, `rowversion` | blob |
//! | `hierarchyid`, `geometry`, `geography`, other .NET types | blob: the server's own serialisation |
//! | `vector` | text: a JSON array |
//! | `sql_variant` | as the type that the single value has |

mod column_type;
mod number;
mod row_decoder;
mod temporal;

pub(crate) use column_type::{ColumnType, select_column, select_list};
pub(crate) use row_decoder::RowDecoder;

use millstream_core::row::ValueTooLong;

/// A row isn't what was asked for. It tells where, never what the row holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Fewer columns than the schema has.
    #[error("the row has no column at place {place}")]
    Missing {
        /// Counted from 0.
        place: usize,
    },
    /// A value outside what its type can hold.
    #[error("column {column} holds {what}")]
    Malformed {
        /// Whose.
        column: String,
        /// What was found, without the value.
        what: &'static str,
    },
    /// A value beyond the limits of a batch.
    #[error(transparent)]
    TooLong(#[from] ValueTooLong),
}
