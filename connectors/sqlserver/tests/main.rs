//! The connector on a simulated SQL Server; the conformance suite and the values on one in a container as well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test doesn't expect ends it"
)]

mod check;
mod cleanup;
mod conformance;
mod connections;
mod database;
mod discovery;
mod faults;
mod large_transactions;
mod polls;
mod reads;
mod scenarios;
mod server;
mod values;
