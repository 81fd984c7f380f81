//! What the audience sees.

use std::error::Error;
use std::time::Instant;

use console::{Term, style};

use crate::Outcome;
use crate::command::Happening;

/// Prints; a little more vividly on a terminal.
pub(crate) struct Stage {
    terminal: Term,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { terminal: Term::stdout() }
    }

    pub(crate) fn heading(&self, text: &str) {
        self.line("");
        self.line(&style(text).bold().cyan().to_string());
    }

    /// A command as a user would type it.
    pub(crate) fn command(&self, text: &str) {
        self.line(&style(format!("$ {text}")).bold().to_string());
    }

    /// A statement as it is run at the source.
    pub(crate) fn statement(&self, text: &str) {
        self.line(&format!("  {}", style(format!("{text};")).yellow()));
    }

    pub(crate) fn line(&self, text: &str) {
        // An audience that has left needs no words.
        let _written = self.terminal.write_line(text);
    }

    /// Does something that takes a while; on a terminal it is announced.
    pub(crate) async fn timed<T, E: Error + Send + Sync + 'static>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Outcome<T> {
        let started = Instant::now();
        if self.terminal.is_term() {
            let _written = self.terminal.write_str(&format!("{what} …"));
        }
        let outcome = work.await;
        if self.terminal.is_term() {
            let _cleared = self.terminal.clear_line();
        }
        self.line(&format!("{what}: {:.1} s", started.elapsed().as_secs_f64()));
        Ok(outcome?)
    }

    /// A statement, and what it did to the buckets.
    pub(crate) fn happening(&self, about: &str, statements: &[String], happening: &Happening) {
        self.line("");
        self.line(&style(about).italic().to_string());
        statements.iter().for_each(|statement| self.statement(statement));
        for change in &happening.changes {
            let effect = match change.effect.as_str() {
                "keep" => style(&change.effect).green(),
                _ => style(&change.effect).magenta(),
            };
            self.line(&format!("    {} {}: {effect}, {}", change.table, change.change, rows_read(change.rows_read)));
        }
        let ops = match happening.ops_written {
            0 => style("0 ops: clients download nothing".to_owned()).green(),
            1 => style("1 op".to_owned()).bold(),
            several => style(format!("{several} ops")).bold(),
        };
        let rows = match happening.rows_after.cmp(&happening.rows_before) {
            std::cmp::Ordering::Equal => format!("{} live rows", happening.rows_after),
            _ => format!("{} → {} live rows", happening.rows_before, happening.rows_after),
        };
        let took = happening.milliseconds;
        self.line(&format!("    → {ops}, {rows}, checkpointed {took} ms later"));
    }
}

fn rows_read(rows: u64) -> String {
    match rows {
        0 => "nothing re-read".to_owned(),
        1 => "1 row re-read".to_owned(),
        several => format!("{several} rows re-read"),
    }
}
