//! Asking: of the `millstream run` in progress, or of the store where there is none.

use std::path::Path;

use millstream_core::source::Severity;

use crate::config::{Config, Faults};
use crate::control::{self, Answers, Reply, Request};
use crate::engine;
use crate::failure::Failure;
use crate::output::Bars;

/// A configuration to ask about.
pub(crate) struct Session {
    config: Config,
    /// Errors in its file. Then only a `run` in progress is asked, which goes on by what the file was when it began: where
    /// its data is, is all that it takes to find it.
    faults: Option<Faults>,
}

impl Session {
    pub(crate) fn open(config_file: &Path) -> Result<Self, Failure> {
        let (config, faults) = Config::read(config_file);
        let failed = faults.iter().any(|fault| fault.severity == Severity::Error);
        let faults = Faults(faults);
        match config {
            Some(config) => Ok(Self { config, faults: failed.then_some(faults) }),
            None => Err(Failure::Faults(faults)),
        }
    }

    /// Refuses a name that no source has.
    pub(crate) fn require_source(&self, name: Option<&str>) -> Result<(), Failure> {
        if self.faults.is_some() {
            return Ok(());
        }
        let names: Vec<&str> = self.config.sources.iter().map(|source| source.name.as_str()).collect();
        match name {
            Some(name) if !names.contains(&name) => Err(Failure::new(
                format!("there is no source `{name}`"),
                format!("the configuration has: {}", names.join(", ")),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn has_several_sources(&self) -> bool {
        self.config.sources.len() + self.config.faulty_sources.len() > 1
    }

    /// A table's name for people: with its source's where there are several. Commands take it as it is.
    pub(crate) fn label(&self, source: &str, table: &str) -> String {
        if self.has_several_sources() { engine::full_name(source, table) } else { table.to_owned() }
    }

    /// Asks whoever holds the store; takes hold of it if nobody does.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answers, Failure> {
        let Some(faults) = &self.faults else { return engine::ask(&self.config, &request).await };
        let Some(answers) = control::connect(&self.config.data, &request).await? else {
            return Err(Failure::Faults(faults.clone()));
        };
        let mark = console::style("warning:").yellow().bold().for_stderr();
        eprintln!("{mark} `millstream run` goes on as it began, and would not begin again:\n{faults}");
        Ok(answers)
    }

    /// Asks for something that takes a while, and shows meanwhile what is being done. `result` takes the last reply
    /// apart; any other is `None`.
    pub(crate) async fn work<T>(&self, request: Request, result: impl Fn(Reply) -> Option<T>) -> Result<T, Failure> {
        let mut answers = self.ask(request).await?;
        let mut bars = Bars::new();
        loop {
            match answers.next().await? {
                Some(Reply::Progress(tables)) => bars.show(&tables),
                Some(Reply::Note(text)) => bars.note(&text),
                Some(last) => {
                    bars.clear();
                    // Where this process answered, it lets go of the store now.
                    while answers.next().await?.is_some() {}
                    let otherwise = unexpected(Some(&last));
                    return result(last).ok_or(otherwise);
                }
                None => return Err(unexpected(None)),
            }
        }
    }
}

/// A reply that doesn't belong to the request: two versions that don't fit.
pub(crate) fn unexpected(reply: Option<&Reply>) -> Failure {
    let what = if reply.is_some() { "gave an answer to another question" } else { "gave no answer" };
    Failure::new(
        format!("the running millstream {what}"),
        "use the same version of millstream for the command and for `run`",
    )
}
