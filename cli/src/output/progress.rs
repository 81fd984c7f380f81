//! Progress bars for tables that are being read, on a terminal.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::control::ProgressReport;
use crate::output::{count, duration_ms, rate};

/// More would fill the screen.
const BARS_MAX: usize = 8;
/// Redraws a second; more would only flicker.
const REDRAWS_PER_SECOND: u8 = 10;

/// One bar for each table that is being read. Draws nothing where standard error isn't a terminal.
pub(crate) struct Bars {
    all: MultiProgress,
    by_table: HashMap<String, ProgressBar>,
}

impl Bars {
    pub(crate) fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
        Self { all: MultiProgress::with_draw_target(target), by_table: HashMap::new() }
    }

    /// For whoever writes to the terminal between the bars.
    pub(crate) fn terminal(&self) -> &MultiProgress {
        &self.all
    }

    /// Shows these tables and no others.
    pub(crate) fn show(&mut self, tables: &[ProgressReport]) {
        let named: HashMap<String, &ProgressReport> =
            tables.iter().map(|table| (format!("{} {}", table.source, table.table), table)).collect();
        self.by_table.retain(|name, bar| {
            let stays = named.contains_key(name);
            if !stays {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
            stays
        });
        for (name, table) in named {
            if !self.by_table.contains_key(&name) && self.by_table.len() >= BARS_MAX {
                continue;
            }
            let bar = self.by_table.entry(name).or_insert_with(|| self.all.add(new_bar(&table.table)));
            // An estimate may be too small; a bar over its end would look like a fault.
            bar.set_length(table.rows_estimate.unwrap_or(table.rows_read).max(table.rows_read).max(1));
            bar.set_position(table.rows_read);
        }
    }

    /// Takes all bars away.
    pub(crate) fn clear(&mut self) {
        self.show(&[]);
    }
}

fn new_bar(table: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:>24.cyan} {bar:32.cyan/dim} {percent:>3}%  {of} rows  {speed}  {left}");
    // A template that can't be read would be this file's own mistake; a plain bar is shown for it.
    let style = style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
        .with_key("of", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _written = write!(out, "{} of {}", count(state.pos()), count(state.len().unwrap_or_default()));
        })
        .with_key("speed", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _written = write!(out, "{}", rate(state.per_sec()));
        })
        .with_key("left", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let left = state.eta().as_millis().try_into().unwrap_or(u64::MAX);
            let _written = write!(out, "{} left", duration_ms(left));
        });
    ProgressBar::new(1).with_style(style).with_prefix(table.to_owned())
}
