//! An example of a connector: follows a directory of CSV files.
//!
//! Each file `NAME.csv` is a table `NAME`. Its header names the columns, its first column is the identity, every value
//! is text, and an empty field is NULL. Files are replaced as a whole, by renaming a new one over the old. Everything
//! is kept in memory: it is an example, written to be read.
//!
//! A directory keeps no log, so the connector keeps one: it looks at the files, and writes what has changed since it
//! last looked into a *journal*. Positions are places in that journal.
//!
//! [`Directory::connector`] is the only way in. `docs/writing-a-connector.md` walks through this crate.
#![warn(missing_docs)]

mod connector;
mod directory;
mod journal;
mod stream;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use millstream_core::error::SourceError;
use millstream_core::source::SourceConnector;

/// The namespace of all tables, as a directory has none of its own.
pub const NAMESPACE: &str = "csv";

/// Where the files are, and where to remember what they held.
#[derive(Debug, Clone)]
pub struct Directory {
    /// The folder with the files. Only names that end with `.csv` count.
    pub files: PathBuf,
    /// The journal, a file of this connector's own; made if it isn't there. One process at a time works with it.
    pub journal: PathBuf,
}

impl Directory {
    /// A connector that goes on where the journal ends.
    ///
    /// # Errors
    ///
    /// A definite error if the journal can't be read or made.
    pub fn connector(self) -> Result<Arc<dyn SourceConnector>, SourceError> {
        Ok(Arc::new(connector::CsvSource::open(self)?))
    }
}
