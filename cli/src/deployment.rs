//! The sync config of a configuration, and what it means for each source.

use std::path::Path;

use millstream_bucket::{BucketSinkOptions, DeployedConfig, SourceOptions};
use millstream_core::schema::TableSchema;
use millstream_core::selection::Selection;
use millstream_core::source::{Problem, Severity};
use millstream_sync_config::{Draft, SourceScope, SyncConfig};

use crate::config::{Config, Fault, Faults, FileText, Place, SourceConfig};
use crate::failure::Failure;

/// What connectors call a problem's subject begins with where it is about what the sync config names.
pub(crate) const PATTERN_SUBJECT: &str = "table pattern ";

/// A sync config as it stands in its file, sound or not.
pub(crate) struct DraftDeployment {
    draft: Draft,
    file: FileText,
}

/// A sync config that can be used.
pub(crate) struct Deployment {
    config: SyncConfig,
    file: FileText,
}

impl DraftDeployment {
    /// Reads the sync config of a configuration as far as it can be read. Every fault in it is told, warnings included.
    pub(crate) fn read(config: &Config) -> (Option<Self>, Vec<Fault>) {
        let path = config.sync_config.as_path();
        let file = match FileText::read(path) {
            Ok(Some(file)) => file,
            Ok(None) => {
                let fault = Fault::error(path, None, "there is no such sync config");
                let remedy =
                    "name it by the key `sync_config` of the configuration, or write one with `millstream init`";
                return (None, vec![fault.suggest(remedy)]);
            }
            Err(fault) => return (None, vec![fault]),
        };
        let draft = Draft::read(&file.text, &path.display().to_string());
        let unknown = known_sources(config).map(|known| draft.unknown_sources(&known)).unwrap_or_default();
        let faults = draft.faults().iter().cloned().chain(unknown).map(|fault| translated(path, fault)).collect();
        (Some(Self { draft, file }), faults)
    }

    /// Whether all of it could be read.
    pub(crate) fn is_whole(&self) -> bool {
        self.draft.is_sound()
    }

    /// The tables of a source that its sound queries read.
    pub(crate) fn selection(&self, source: &SourceConfig) -> Selection {
        Selection { patterns: self.draft.patterns(scope(source, &default_schema(source))) }
    }

    /// A connector's problems with what the queries name, at the places where they name it, and the other problems.
    pub(crate) fn placed(&self, source: &SourceConfig, problems: Vec<Problem>) -> (Vec<Fault>, Vec<Problem>) {
        let places = self.draft.places(scope(source, &default_schema(source)));
        let (mut faults, mut others) = (Vec::new(), Vec::new());
        for problem in problems {
            let named = problem.subject.strip_prefix(PATTERN_SUBJECT);
            let found = named.and_then(|named| places.iter().find(|(pattern, _)| pattern.to_string() == named));
            let Some((pattern, place)) = found else {
                others.push(problem);
                continue;
            };
            let what = if pattern.is_wildcard() { "tables" } else { "table" };
            faults.push(Fault {
                severity: problem.severity,
                file: self.file.path.clone(),
                place: Some(Place { line: place.line.into(), column: place.column.into() }),
                message: format!("{what} {pattern} of source {}: {}", source.name, problem.found),
                suggestion: Some(problem.remedy),
            });
        }
        (faults, others)
    }

    /// What doesn't fit between its sound queries and a source's tables.
    pub(crate) fn faults_with<'a>(
        &self,
        source: &SourceConfig,
        tables: impl IntoIterator<Item = &'a TableSchema>,
    ) -> Vec<Fault> {
        let default_schema = default_schema(source);
        let scope = scope(source, &default_schema);
        let misfits = tables.into_iter().flat_map(|table| self.draft.misfits(scope, table));
        misfits.map(|fault| translated(&self.file.path, fault)).collect()
    }
}

impl Deployment {
    /// Reads a sync config that must be sound.
    pub(crate) fn load(config: &Config) -> Result<Self, Failure> {
        let (draft, mut faults) = DraftDeployment::read(config);
        faults.retain(|fault| fault.severity == Severity::Error);
        match draft.map(|DraftDeployment { draft, file }| (draft.finish(), file)) {
            Some((Ok(config), file)) if faults.is_empty() => Ok(Self { config, file }),
            _ => Err(Failure::Faults(Faults(faults))),
        }
    }

    /// The tables of a source that the definitions read.
    pub(crate) fn selection(&self, source: &SourceConfig) -> Selection {
        Selection { patterns: self.config.patterns(scope(source, &default_schema(source))) }
    }

    /// The file that it was read from.
    pub(crate) fn file(&self) -> &FileText {
        &self.file
    }

    /// What a bucket sink is opened with.
    pub(crate) fn into_options(self, config: &Config) -> BucketSinkOptions {
        let sources = config.sources.iter();
        let name = self.file.path.display().to_string();
        BucketSinkOptions {
            sources: sources
                .map(|source| SourceOptions { name: source.name.clone(), default_schema: default_schema(source) })
                .collect(),
            sync_config: DeployedConfig::new(self.config, name, self.file.text),
        }
    }
}

/// The names of all sources; `None` if one isn't known, as any name may be meant to be its.
fn known_sources(config: &Config) -> Option<Vec<&str>> {
    let sound = config.sources.iter().map(|source| Some(source.name.as_str()));
    sound.chain(config.faulty_sources.iter().map(Option::as_deref)).collect()
}

/// The configuration refuses URIs without a database, so there is one.
fn default_schema(source: &SourceConfig) -> String {
    source.default_schema().unwrap_or_default()
}

/// Names without a source are the first one's, here as in the sink.
fn scope<'a>(source: &'a SourceConfig, default_schema: &'a str) -> SourceScope<'a> {
    SourceScope { name: &source.name, default_schema, is_default: source.is_default }
}

fn translated(path: &Path, fault: millstream_sync_config::Fault) -> Fault {
    Fault {
        severity: match fault.severity {
            millstream_sync_config::Severity::Error => Severity::Error,
            millstream_sync_config::Severity::Warning => Severity::Warning,
        },
        file: path.to_owned(),
        place: Some(Place { line: fault.line.into(), column: fault.column.into() }),
        message: fault.message,
        suggestion: fault.suggestion,
    }
}
