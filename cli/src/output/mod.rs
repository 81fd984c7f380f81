//! What commands print: tables for people, JSON for programs.

mod grid;
mod moment;
mod progress;
mod unit;

use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

pub(crate) use grid::{Align, Grid};
pub(crate) use moment::iso;
pub(crate) use progress::Bars;
pub(crate) use unit::{bytes, count, duration_ms, rate, rows};

use crate::failure::Failure;

/// Standard output. A reader that closes it ends the command quietly, as `| head` does.
pub(crate) struct Out {
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Out {
    pub(crate) fn new() -> Self {
        Self { stdout: BufWriter::new(io::stdout().lock()) }
    }

    /// A line of text.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(self.stdout, "{}", text.as_ref()).map_err(|error| closed(&error))
    }

    /// A value as JSON in one line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.stdout, value).map_err(|error| closed(&error.into()))?;
        self.line("")
    }

    /// Must be called at the end: what a buffer can't get rid of when it is dropped is lost without a word.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }

    /// Shows what was printed so far.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|error| closed(&error))
    }
}

fn closed(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::io("write to standard output", error, "see that the disk it goes to isn't full"),
    }
}
