//! The log that a directory hasn't got: what changed, in the order in which it was found out.
//!
//! A file of JSON lines. The first is the *base*: all tables at some place. Each further one is an [`Entry`]: what one
//! look at the directory found. An entry is on disk before anybody sees it, so a place in the journal means the same
//! after a crash; half a line at the end is one that nobody has seen.
//!
//! Entries are numbered by the clock. So a journal that was lost, or put back from a backup, gives no new entry a number
//! that another had before, as long as the clock isn't set back; a place that it knows is the very one that is asked for.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_core::position::Position;
use millstream_core::table::now_ms;
use serde::{Deserialize, Serialize};

use crate::table::{Fields, Table};

/// The tables by name; `None` for files that can't be read as tables.
pub(crate) type Tables = BTreeMap<String, Option<Table>>;

/// The journal is written anew once so many entries aren't needed any more.
const FORGOTTEN_ENTRIES_MAX: usize = 1_000;

/// One thing that happened to a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// It is there, with these columns; rows keep what they had in columns of the same name.
    Shape { table: String, columns: Vec<String> },
    /// Rows that are new or have changed, and identities that are gone.
    Rows { table: String, rows: Vec<Fields>, gone: Vec<String> },
    /// Its file is gone.
    Dropped { table: String },
    /// Its file can't be read as a table.
    Doubtful { table: String, reason: String },
}

/// What one look at the directory found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) at_ms: i64,
    pub(crate) changes: Vec<Change>,
}

/// All tables at some place.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Base {
    sequence: u64,
    tables: Tables,
}

pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    base: Base,
    /// What came after the base.
    entries: VecDeque<Arc<Entry>>,
    now: Tables,
}

impl Journal {
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        // Half a line at the end is an entry that nobody has seen.
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        let mut lines = whole.lines();
        let base = match lines.next() {
            Some(line) => serde_json::from_str(line)?,
            None => Base { sequence: next_after(0), tables: Tables::new() },
        };
        let entries: VecDeque<Arc<Entry>> =
            lines.map(|line| serde_json::from_str(line).map(Arc::new)).collect::<Result<_, _>>()?;
        let mut now = base.tables.clone();
        entries.iter().for_each(|entry| apply(&mut now, entry));
        let file = write(&path, &base, &entries)?;
        Ok(Self { path, file, base, entries, now })
    }

    /// The tables as they were last seen.
    pub(crate) fn now(&self) -> &Tables {
        &self.now
    }

    /// The place of the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.entries.back().map_or(self.base.sequence, |entry| entry.sequence)
    }

    /// The tables at a place; `None` if the journal doesn't know it: it begins after it, or was put back from a backup
    /// that was made before it.
    pub(crate) fn at(&self, sequence: u64) -> Option<Tables> {
        let known = sequence == self.base.sequence || self.entries.iter().any(|entry| entry.sequence == sequence);
        let mut tables = known.then(|| self.base.tables.clone())?;
        let before = self.entries.iter().take_while(|entry| entry.sequence <= sequence);
        before.for_each(|entry| apply(&mut tables, entry));
        Some(tables)
    }

    /// The entry after a place.
    pub(crate) fn after(&self, sequence: u64) -> Option<Arc<Entry>> {
        let index = self.entries.partition_point(|entry| entry.sequence <= sequence);
        self.entries.get(index).map(Arc::clone)
    }

    /// Notes what was found out just now.
    pub(crate) fn append(&mut self, changes: Vec<Change>) -> io::Result<()> {
        let entry = Entry { sequence: next_after(self.end()), at_ms: now_ms(), changes };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let outcome = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = outcome {
            // Whatever was written of it is cut off, so that the file goes on to end with a whole line.
            self.file = write(&self.path, &self.base, &self.entries)?;
            return Err(error);
        }
        apply(&mut self.now, &entry);
        self.entries.push_back(Arc::new(entry));
        Ok(())
    }

    /// Nobody will ask for entries up to this place any more.
    pub(crate) fn forget(&mut self, sequence: u64) -> io::Result<()> {
        if self.entries.partition_point(|entry| entry.sequence <= sequence) < FORGOTTEN_ENTRIES_MAX {
            return Ok(());
        }
        while self.entries.front().is_some_and(|entry| entry.sequence <= sequence) {
            let Some(entry) = self.entries.pop_front() else { break };
            apply(&mut self.base.tables, &entry);
            self.base.sequence = entry.sequence;
        }
        self.file = write(&self.path, &self.base, &self.entries)?;
        Ok(())
    }
}

/// The number of an entry after this one.
fn next_after(sequence: u64) -> u64 {
    u64::try_from(now_ms()).unwrap_or(0).max(sequence + 1)
}

/// Writes a whole journal beside the old one and puts it in its place.
fn write(path: &Path, base: &Base, entries: &VecDeque<Arc<Entry>>) -> io::Result<File> {
    let beside = path.with_extension("new");
    let mut content = serde_json::to_vec(base)?;
    content.push(b'\n');
    for entry in entries {
        serde_json::to_writer(&mut content, entry.as_ref())?;
        content.push(b'\n');
    }
    let mut file = File::create(&beside)?;
    file.write_all(&content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    OpenOptions::new().append(true).open(path)
}

fn apply(tables: &mut Tables, entry: &Entry) {
    for change in &entry.changes {
        match change {
            Change::Shape { table, columns } => {
                let before = tables.remove(table).flatten().unwrap_or_default();
                tables.insert(table.clone(), Some(before.reshaped(columns)));
            }
            Change::Rows { table, rows, gone } => {
                let Some(Some(table)) = tables.get_mut(table) else { continue };
                gone.iter().for_each(|identity| drop(table.rows.remove(identity)));
                for fields in rows {
                    let identity = fields.first().cloned().flatten().unwrap_or_default();
                    table.rows.insert(identity, fields.clone());
                }
            }
            Change::Dropped { table } => drop(tables.remove(table)),
            Change::Doubtful { table, .. } => drop(tables.insert(table.clone(), None)),
        }
    }
}

/// A place in the journal as the core knows it.
pub(crate) fn position(sequence: u64) -> Position {
    Position::new(u128::from(sequence), sequence.to_string())
}

/// The other way round.
pub(crate) fn sequence(position: &Position) -> u64 {
    u64::try_from(position.order()).unwrap_or(u64::MAX)
}
