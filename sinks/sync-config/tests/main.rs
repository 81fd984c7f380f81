//! The crate's public behaviour.
// Clippy knows test functions, not the helpers beside them: in a test a panic is the report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod config;
mod data_queries;
mod examples;
mod expressions;
mod fixture;
mod geometry;
mod parameter_queries;
mod properties;
