//! What `millstream run` says while it works, on standard error.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::arguments::LogFormat;

/// Chooses how much is logged, in the form of tracing's filters.
const VARIABLE: &str = "MILLSTREAM_LOG";
/// Libraries speak up when something is wrong; their everyday is not ours.
const DEFAULT_FILTER: &str = "info,fjall=warn,lsm_tree=warn,mysql_async=warn,rustls=warn,tiberius=off";

/// Begins to log. Lines go around the progress bars.
pub(crate) fn start(format: LogFormat, bars: &MultiProgress) {
    let chosen = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = EnvFilter::new(chosen.as_deref().unwrap_or(DEFAULT_FILTER));
    let writer = AroundBars { bars: bars.clone() };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => builder.with_target(false).with_ansi(console::colors_enabled_stderr()).init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
}

/// Writes each line where the bars aren't.
#[derive(Clone)]
struct AroundBars {
    bars: MultiProgress,
}

impl Write for AroundBars {
    /// Called with whole lines only.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for AroundBars {
    type Writer = AroundBars;

    fn make_writer(&'a self) -> AroundBars {
        self.clone()
    }
}
