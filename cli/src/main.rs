//! The `millstream` command.

mod arguments;
mod command;
mod config;
mod control;
mod deployment;
mod engine;
mod failure;
mod log;
mod output;
mod session;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    command::execute(arguments::Arguments::parse())
}
