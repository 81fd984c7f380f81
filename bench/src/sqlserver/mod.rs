//! SQL Server's figures, on the simulated server, which is a process of its own: it shares the machine, and its CPU time
//! is told apart. What is compared with is a plain read of the same change tables by the driver that Millstream uses,
//! and the smallest question that a server can be asked.

mod idle;
mod meter;
mod raw;
mod server;
mod stream;
mod workload;

pub(crate) use idle::print as print_idle;
pub(crate) use server::SimulatedServer;
pub(crate) use stream::print as print_stream;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for work that takes its time; not shown where the output is no terminal.
fn bar(what: &'static str, unit: &'static str, count: u64) -> ProgressBar {
    let template =
        format!("{{prefix:22}} {{wide_bar}} {{human_pos}} of {{human_len}} {unit}  {{per_sec}}  {{eta}} left");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count).with_style(style).with_prefix(what)
}

/// The one in the middle; nothing of nothing.
fn median<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
