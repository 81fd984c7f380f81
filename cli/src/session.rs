//! Asking: of the `millstream run` in progress, or of the store where there is none.

use std::path::Path;

use crate::config::Config;
use crate::control::{Answers, Reply, Request};
use crate::engine;
use crate::failure::Failure;
use crate::output::Bars;

/// A configuration to ask about.
pub(crate) struct Session {
    config: Config,
}

impl Session {
    pub(crate) fn open(config_file: &Path) -> Result<Self, Failure> {
        Ok(Self { config: Config::load(config_file)? })
    }

    /// Refuses a name that no source has.
    pub(crate) fn require_source(&self, name: Option<&str>) -> Result<(), Failure> {
        let names: Vec<&str> = self.config.sources.iter().map(|source| source.name.as_str()).collect();
        match name {
            Some(name) if !names.contains(&name) => Err(Failure::new(
                format!("there is no source `{name}`"),
                format!("the configuration has: {}", names.join(", ")),
            )),
            _ => Ok(()),
        }
    }

    /// A table's name for people: with its source's where there are several. Commands take it as it is.
    pub(crate) fn label(&self, source: &str, table: &str) -> String {
        if self.config.sources.len() > 1 { engine::full_name(source, table) } else { table.to_owned() }
    }

    /// Asks whoever holds the store; takes hold of it if nobody does.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answers, Failure> {
        engine::ask(&self.config, &request).await
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
