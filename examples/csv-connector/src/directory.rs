//! Looking at the files, and finding out what has changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::Directory;
use crate::journal::{Change, Journal};
use crate::table::{Table, Unread};

/// A file that was changed this shortly before it was looked at is read again: clocks of file systems are coarse, so it
/// may be changed once more and look the same.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What tells, without reading it, that a file is the one that was read.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    /// The file's number in its file system, which goes with it where it is renamed.
    number: u64,
    length_bytes: u64,
    modified: SystemTime,
}

/// A directory and the journal of what happened in it.
pub(crate) struct Watched {
    files: PathBuf,
    pub(crate) journal: Journal,
    /// The files that needn't be read as long as they look like this.
    settled: BTreeMap<String, Stamp>,
}

impl Watched {
    pub(crate) fn open(directory: Directory) -> io::Result<Self> {
        let journal = Journal::open(directory.journal)?;
        Ok(Self { files: directory.files, journal, settled: BTreeMap::new() })
    }

    /// Looks at all files and notes what has changed in the journal, as one entry.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        let files = list(&self.files)?;
        let mut changes = Vec::new();
        for table in self.journal.now().keys().filter(|table| !files.contains_key(*table)) {
            changes.push(Change::Dropped { table: table.clone() });
        }
        for (table, stamp) in files {
            if self.settled.get(&table) == Some(&stamp) {
                continue;
            }
            self.compare(&table, &mut changes);
            if stamp.modified.elapsed().is_ok_and(|age| age > SETTLED_AFTER) {
                self.settled.insert(table, stamp);
            }
        }
        if changes.is_empty() { Ok(()) } else { self.journal.append(changes) }
    }

    fn compare(&self, name: &str, changes: &mut Vec<Change>) {
        let before = self.journal.now().get(name);
        match Table::read(&self.files.join(format!("{name}.csv"))) {
            Ok(after) => changes.extend(differences(name, before.and_then(Option::as_ref), &after)),
            // It went away since the list was made: the next look finds it gone.
            Err(Unread::Gone) => {}
            Err(Unread::Doubtful(reason)) => {
                if !matches!(before, Some(None)) {
                    changes.push(Change::Doubtful { table: name.to_owned(), reason });
                }
            }
        }
    }

    /// The files that can't be read as tables now, with the reasons.
    pub(crate) fn doubtful(&self) -> io::Result<Vec<(String, String)>> {
        let names = list(&self.files)?.into_keys();
        let reason = |name: String| match Table::read(&self.files.join(format!("{name}.csv"))) {
            Err(Unread::Doubtful(reason)) => Some((name, reason)),
            Ok(_) | Err(Unread::Gone) => None,
        };
        Ok(names.filter_map(reason).collect())
    }
}

fn list(files: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(files)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(table) = name.to_str().and_then(|name| name.strip_suffix(".csv")) else { continue };
        match entry.metadata() {
            Ok(metadata) => {
                let (number, length_bytes) = (metadata.ino(), metadata.len());
                let stamp = Stamp { number, length_bytes, modified: metadata.modified()? };
                found.insert(table.to_owned(), stamp);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What leads from one content of a file to another.
fn differences(name: &str, before: Option<&Table>, after: &Table) -> Vec<Change> {
    let mut changes = Vec::new();
    let reshaped = before.unwrap_or(&Table::default()).reshaped(&after.columns);
    if before.is_none_or(|before| before.columns != after.columns) {
        changes.push(Change::Shape { table: name.to_owned(), columns: after.columns.clone() });
    }
    let changed = after.rows.iter().filter(|(identity, fields)| reshaped.rows.get(*identity) != Some(*fields));
    let rows: Vec<_> = changed.map(|(_, fields)| fields.clone()).collect();
    let gone: Vec<_> = reshaped.rows.keys().filter(|identity| !after.rows.contains_key(*identity)).cloned().collect();
    if !rows.is_empty() || !gone.is_empty() {
        changes.push(Change::Rows { table: name.to_owned(), rows, gone });
    }
    changes
}
