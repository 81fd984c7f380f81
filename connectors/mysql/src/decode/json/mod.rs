//! JSON documents: the log holds them in the server's binary form, queries give text.
//!
//! The one text for both is the server's own without the spaces between its tokens: keys in the server's order (by
//! length, then by bytes), numbers and escapes digit for digit as it writes them. [`compact`] takes the spaces out of
//! what a query gives; [`write_binary`] writes the same from the binary form; [`apply_diffs`] does so for a document of
//! which the log tells only what changed.
//!
//! MariaDB has no such type: its JSON is text, which passes through as it was stored.

mod binary;
mod diff;
mod text;

pub(crate) use binary::write_binary;
pub(crate) use diff::{Patched, apply_diffs};
pub(crate) use text::{compact, write_json_string};
