//! A file's text, and whether it is still what the file holds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::fault::{Fault, Place};

/// A file as it was when it was read.
#[derive(Debug, Clone)]
pub(crate) struct FileText {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl FileText {
    /// Reads a file; `None` if there is no such file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Fault> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let fault = Fault::error(path, None, format!("can't be read: {error}"));
                return Err(fault.suggest("make it a file that the user who runs millstream may read"));
            }
        };
        String::from_utf8(bytes).map(|text| Some(Self { path: path.to_owned(), text })).map_err(|error| {
            let sound = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let sound = String::from_utf8_lossy(sound);
            let last_line = sound.rsplit('\n').next().unwrap_or_default();
            let place =
                Place { line: sound.matches('\n').count() as u64 + 1, column: last_line.chars().count() as u64 + 1 };
            Fault::error(path, Some(place), "from here on this isn't UTF-8 text").suggest("save the file as UTF-8")
        })
    }

    /// Whether the file holds something else by now, or can't be read any more.
    pub(crate) fn is_outdated(&self) -> bool {
        fs::read(&self.path).ok().as_deref() != Some(self.text.as_bytes())
    }
}
