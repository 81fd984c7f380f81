//! Rows by queries: ranges of a table in identity order, rows by identity, and whole tables without any key.
//!
//! Values are those of [`decode`](crate::decode). Why such reads and the stream fit together is argued in
//! [`fence`](crate::fence).

mod chunk;
mod key;
mod plan;
mod scan;
mod split;
mod statement;

pub(crate) use chunk::{Answer, read_keys, read_range};
pub(crate) use scan::{SCAN_IDLE_MAX, part_limit, read_whole};
pub(crate) use split::{estimate_rows, split};
