//! The conformance suite on a directory of files, and what is peculiar to files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test doesn't expect ends it"
)]

mod conformance;
mod files;
