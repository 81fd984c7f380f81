//! `millstream.yaml`: which sources, which sync config, where the data goes.
//!
//! One reading reports every fault of every file, each with its place.

mod document;
mod environment;
mod fault;
mod fields;
mod file_text;
mod kind;
mod source;
mod uri;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use millstream_core::source::Severity;

pub(crate) use environment::{ENVIRONMENT_FILE, line as environment_line};
pub(crate) use fault::{Fault, Faults, Place};
pub(crate) use file_text::FileText;
pub(crate) use kind::Kind;
pub(crate) use source::SourceConfig;
pub(crate) use uri::{Given, without_password};

use document::parse;
use environment::Environment;
use fields::{Fields, Reading};

/// The file that `--config` means by default.
pub(crate) const CONFIG_FILE: &str = "millstream.yaml";
/// What `sync_config` means by default, beside the configuration.
pub(crate) const SYNC_CONFIG_FILE: &str = "sync-config.yaml";
/// What `data` means by default, beside the configuration.
pub(crate) const DATA_FOLDER: &str = "millstream-data";

/// A configuration.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file as it was read.
    pub(crate) file: FileText,
    /// At least one, with different names, if the file has no faults.
    pub(crate) sources: Vec<SourceConfig>,
    /// The names, where they are known, of sources that are too faulty to be used.
    pub(crate) faulty_sources: Vec<Option<String>>,
    /// The path of the sync config.
    pub(crate) sync_config: PathBuf,
    /// The folder of the store and the control socket.
    pub(crate) data: PathBuf,
    /// Where the file names that folder, if it does.
    pub(crate) data_place: Option<Place>,
}

impl Config {
    /// Reads a file without an error in it.
    pub(crate) fn load(file: &Path) -> Result<Self, Faults> {
        let (config, faults) = Self::read(file);
        let failed = faults.iter().any(|fault| fault.severity == Severity::Error);
        config.filter(|_| !failed).ok_or(Faults(faults))
    }

    /// Reads a file as far as it can be read, and every fault in it, in the order of the lines.
    pub(crate) fn read(file: &Path) -> (Option<Self>, Vec<Fault>) {
        let text = match FileText::read(file) {
            Ok(Some(text)) => text,
            Ok(None) => {
                let fault = Fault::error(file, None, "there is no such configuration");
                let remedy = "name it with --config FILE, or write one with `millstream init URI`";
                return (None, vec![fault.suggest(remedy)]);
            }
            Err(fault) => return (None, vec![fault]),
        };
        let mut faults = Vec::new();
        let folder = folder_of(file);
        let environment = Environment::load(&folder, &mut faults);
        let config = read(text, &folder, &environment, &mut faults);
        faults.sort_by_key(|fault| (fault.file != file, fault.place));
        (config, faults)
    }

    /// Reads the text of a file that isn't written yet, in which the name of one secret stands.
    pub(crate) fn of_text(text: &str, file: &Path, secret: (&str, &str)) -> Result<Self, Faults> {
        let folder = folder_of(file);
        let environment = Environment::with(&folder, secret.0, secret.1);
        let mut faults = Vec::new();
        let text = FileText { path: file.to_owned(), text: text.to_owned() };
        let config = read(text, &folder, &environment, &mut faults);
        let failed = faults.iter().any(|fault| fault.severity == Severity::Error);
        config.filter(|_| !failed).ok_or(Faults(faults))
    }
}

/// The folder that relative paths in a configuration begin at.
pub(crate) fn folder_of(file: &Path) -> PathBuf {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// A path relative to a folder, without the `.` in front that would only clutter messages.
pub(crate) fn within(folder: &Path, path: &str) -> PathBuf {
    if folder == Path::new(".") { PathBuf::from(path) } else { folder.join(path) }
}

fn read(file: FileText, folder: &Path, environment: &Environment, faults: &mut Vec<Fault>) -> Option<Config> {
    let root = match parse(&file.text, &file.path) {
        Ok(root) => root,
        Err(fault) => {
            faults.push(fault);
            return None;
        }
    };
    let reading = &mut Reading { file: &file.path, environment, faults };
    let mut fields = Fields::of("the configuration", &["sources", "sync_config", "data"], root, reading)?;
    let place = fields.place();
    let items = fields.list("sources", reading);
    if items.is_empty() {
        reading.error(
            place,
            "no source is configured",
            "add `sources:` with one item that has `name`, `type` and `uri`; `millstream init URI` writes a whole file",
        );
    }
    let mut names = HashMap::new();
    let (mut sources, mut faulty_sources) = (Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        match SourceConfig::read(item, index == 0, &mut names, reading) {
            Ok(source) => sources.push(source),
            Err(name) => faulty_sources.push(name),
        }
    }
    let mut path = |key, default: &str| match fields.text(key, reading) {
        Some(text) => (within(folder, &text.value), Some(text.place)),
        None => (within(folder, default), None),
    };
    let ((sync_config, _), (data, data_place)) = (path("sync_config", SYNC_CONFIG_FILE), path("data", DATA_FOLDER));
    Some(Config { file, sources, faulty_sources, sync_config, data, data_place })
}

#[cfg(test)]
mod tests;
