//! The `millstream` command on real servers, as a user runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test doesn't expect ends it"
)]

mod capture_waits;
mod faults;
mod first_steps;
mod help;
mod history;
mod identity;
mod identity_sqlserver;
mod interruptions;
mod kills;
mod lost_source;
mod memory;
mod odd_statements;
mod oracle;
mod privileges;
mod resets;
mod running;
mod sqlserver_shop;
mod unreadable;
mod workspace;
