//! A config as it stands in its file, sound or not.

use millstream_core::schema::TableSchema;
use millstream_core::selection::TablePattern;

use crate::config::SyncConfig;
use crate::definition::BucketDefinition;
use crate::fault::{Fault, Place, Severity};
use crate::table_name::SourceScope;

/// A file and everything that is wrong with it. Its sound queries can be held against tables while others have faults,
/// so that nobody has to mend a file in rounds.
#[derive(Debug)]
pub struct Draft {
    config: SyncConfig,
    /// In the order of the file.
    faults: Vec<Fault>,
}

impl Draft {
    /// Reads a file. `file` is what faults call it.
    pub fn read(text: &str, file: &str) -> Self {
        let (config, faults) = SyncConfig::read(text, file);
        Self { config, faults }
    }

    /// Whether it can be used: whether nothing worse than warnings was found.
    pub fn is_sound(&self) -> bool {
        self.faults.iter().all(|fault| fault.severity != Severity::Error)
    }

    /// The tables of a source that its sound queries read.
    pub fn patterns(&self, scope: SourceScope<'_>) -> Vec<TablePattern> {
        self.config.patterns(scope)
    }

    /// The same, each with every place that names it.
    pub fn places(&self, scope: SourceScope<'_>) -> Vec<(TablePattern, Place)> {
        let tables = self.config.definitions.iter().flat_map(BucketDefinition::tables);
        tables.filter_map(|table| table.pattern(scope).map(|pattern| (pattern, table.place))).collect()
    }

    /// As [`SyncConfig::unknown_sources`], of its sound queries.
    pub fn unknown_sources(&self, sources: &[&str]) -> Vec<Fault> {
        self.config.unknown_sources(sources)
    }

    /// What doesn't fit between its sound queries and a table.
    pub fn misfits(&self, scope: SourceScope<'_>, schema: &TableSchema) -> Vec<Fault> {
        self.config.bind(scope, schema).faults().to_vec()
    }

    /// What was found in the file, in its order.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The config.
    ///
    /// # Errors
    /// Everything that is wrong, errors and warnings, in the order of the file, if it can't be used.
    pub fn finish(self) -> Result<SyncConfig, Vec<Fault>> {
        if !self.is_sound() {
            return Err(self.faults);
        }
        let mut config = self.config;
        config.warnings = self.faults;
        Ok(config)
    }
}
