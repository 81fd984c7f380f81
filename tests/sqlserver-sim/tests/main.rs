//! The simulator, through clients that know nothing of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test doesn't expect ends it"
)]

mod bulk;
mod client;
mod control;
mod followers;
mod login;
mod other_clients;
mod prepared;
mod program;
mod programs;
mod requests;
mod tricky;
mod types;
