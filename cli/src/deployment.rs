//! The sync config of a configuration, and what it means for each source.

use std::path::Path;

use millstream_bucket::{BucketSinkOptions, DeployedConfig, SourceOptions};
use millstream_core::schema::TableSchema;
use millstream_core::selection::Selection;
use millstream_core::source::Severity;
use millstream_sync_config::{SourceScope, SyncConfig};

use crate::config::{Config, Fault, Faults, Place, SourceConfig, text_of};
use crate::failure::Failure;

/// A sync config that can be used, and the text that it was read from.
pub(crate) struct Deployment {
    config: SyncConfig,
    file: String,
    text: String,
}

impl Deployment {
    /// Reads the sync config of a configuration. Every fault in it is told, warnings included; with an error among them
    /// there is no deployment.
    pub(crate) fn read(config: &Config) -> (Option<Self>, Vec<Fault>) {
        let path = config.sync_config.as_path();
        let text = match text_of(path) {
            Ok(Some(text)) => text,
            Ok(None) => {
                let fault = Fault::error(path, None, "there is no such sync config");
                let remedy =
                    "name it by the key `sync_config` of the configuration, or write one with `millstream init`";
                return (None, vec![fault.suggest(remedy)]);
            }
            Err(fault) => return (None, vec![fault]),
        };
        let file = path.display().to_string();
        match SyncConfig::parse(&text, &file) {
            Err(faults) => (None, faults.into_iter().map(|fault| translated(path, fault)).collect()),
            Ok(parsed) => {
                let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
                let unknown = parsed.unknown_sources(&names);
                let is_sound = unknown.is_empty();
                let faults = parsed.warnings().iter().cloned().chain(unknown);
                let faults = faults.map(|fault| translated(path, fault)).collect();
                (is_sound.then_some(Self { config: parsed, file, text }), faults)
            }
        }
    }

    /// Reads a sync config that must be sound.
    pub(crate) fn load(config: &Config) -> Result<Self, Failure> {
        let (deployment, mut faults) = Self::read(config);
        deployment.ok_or_else(|| {
            faults.retain(|fault| fault.severity == Severity::Error);
            Failure::Faults(Faults(faults))
        })
    }

    /// The tables of a source that the definitions read.
    pub(crate) fn selection(&self, config: &Config, source: &SourceConfig) -> Selection {
        Selection { patterns: self.config.patterns(scope(config, source, &default_schema(source))) }
    }

    /// What doesn't fit between the definitions and a source's tables.
    pub(crate) fn faults_with<'a>(
        &self,
        config: &Config,
        source: &SourceConfig,
        tables: impl IntoIterator<Item = &'a TableSchema>,
    ) -> Vec<Fault> {
        let default_schema = default_schema(source);
        let scope = scope(config, source, &default_schema);
        let bound = tables.into_iter().map(|table| self.config.bind(scope, table));
        bound.flat_map(|table| table.faults().to_vec()).map(|fault| translated(&config.sync_config, fault)).collect()
    }

    /// What a bucket sink is opened with.
    pub(crate) fn into_options(self, config: &Config) -> BucketSinkOptions {
        let sources = config.sources.iter();
        BucketSinkOptions {
            sources: sources
                .map(|source| SourceOptions { name: source.name.clone(), default_schema: default_schema(source) })
                .collect(),
            sync_config: DeployedConfig::new(self.config, self.file, self.text),
        }
    }
}

/// The configuration refuses URIs without a database, so there is one.
fn default_schema(source: &SourceConfig) -> String {
    source.default_schema().unwrap_or_default()
}

/// Names without a source are the first one's, here as in the sink.
fn scope<'a>(config: &Config, source: &'a SourceConfig, default_schema: &'a str) -> SourceScope<'a> {
    let is_default = config.sources.first().is_some_and(|first| first.name == source.name);
    SourceScope { name: &source.name, default_schema, is_default }
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
