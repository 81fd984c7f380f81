//! Progress bars for tables that are being read, on a terminal.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

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
            bar.set_message(words(table));
        }
    }

    /// Says something between the bars.
    pub(crate) fn note(&self, text: &str) {
        self.all.suspend(|| eprintln!("{text}"));
    }

    /// Takes all bars away.
    pub(crate) fn clear(&mut self) {
        self.show(&[]);
    }
}

fn new_bar(table: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:22!.cyan} {wide_bar:.cyan/dim} {percent:>3}%  {msg:44}");
    // A template that can't be read would be this file's own mistake; a plain bar is shown for it.
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─");
    ProgressBar::new(1).with_style(style).with_prefix(table.to_owned())
}

/// `12 k of 36 k rows  90 k rows/s  1 s left`, as far as it can be told.
fn words(table: &ProgressReport) -> String {
    let ProgressReport { rows_read, rows_estimate, elapsed_ms, .. } = *table;
    let mut words = match rows_estimate {
        Some(estimate) => format!("{} of {} rows", count(rows_read), count(estimate.max(rows_read))),
        None => format!("{} rows", count(rows_read)),
    };
    if rows_read > 0 && elapsed_ms > 0 {
        let rows_per_ms = rows_read as f64 / elapsed_ms as f64;
        words.push_str(&format!("  {}", rate(rows_per_ms * 1000.0)));
        if let Some(left) = rows_estimate.and_then(|estimate| estimate.checked_sub(rows_read)).filter(|left| *left > 0)
        {
            words.push_str(&format!("  {} left", duration_ms((left as f64 / rows_per_ms) as u64)));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_what_it_can() {
        let mut table = ProgressReport {
            source: "shop".into(),
            table: "shop.orders".into(),
            rows_read: 12_000,
            rows_estimate: Some(36_000),
            elapsed_ms: 1000,
        };
        assert_eq!(words(&table), "12 k of 36 k rows  12 k rows/s  2.0 s left");
        table.rows_estimate = Some(10_000);
        assert_eq!(words(&table), "12 k of 12 k rows  12 k rows/s");
        table.rows_estimate = None;
        assert_eq!(words(&table), "12 k rows  12 k rows/s");
        table.rows_read = 0;
        assert_eq!(words(&table), "0 rows");
    }
}
