//! The connector against real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test doesn't expect ends it"
)]

mod check;
mod conformance;
mod stream;
mod values;
