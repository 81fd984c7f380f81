//! The tests of the bucket sink through its public face.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test doesn't expect ends it"
)]

mod another_key;
mod client;
mod compaction;
mod deployment;
mod failure;
mod identity;
mod kill;
mod memory;
mod model;
mod passes;
mod store;
mod stream;
mod world;
