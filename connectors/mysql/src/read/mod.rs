//! Rows by queries: ranges of a table in identity order, rows by identity, and whole tables without any key.
//!
//! Texts of values are those of [`decode`](crate::decode).

mod chunk;
mod key_column;
mod key_value;
mod plan;
mod result_column;
mod row_sizes;
mod scan;
mod split;

pub(crate) use chunk::{Answer, read_keys, read_range};
pub(crate) use row_sizes::RowSizes;
pub(crate) use scan::{SCAN_IDLE_MAX, part_limit, read_whole};
pub(crate) use split::{estimate_rows, split};
