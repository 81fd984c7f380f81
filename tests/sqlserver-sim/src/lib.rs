//! A simulated SQL Server with change data capture, for the tests of programs that follow one.
//!
//! It speaks TDS 7.4, so any client can talk to it, and runs T-SQL on an engine of its own.

mod cdc;
mod control;
mod engine;
mod error;
mod server;
mod storage;
mod tds;
mod value;
