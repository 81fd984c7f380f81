//! The test kit against the real servers.
// Clippy knows test functions, not the helpers beside them: in a test a panic is the report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod owner;
mod proxy;
mod server;
