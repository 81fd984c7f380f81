//! The directory of a store on disk: its lock, its format marker, and what an interrupted creation leaves.
//!
//! ```text
//! PATH/lock      held while a process works on the store; contains that process's id
//! PATH/format    what this is and in which version; written last, so its presence says that creation was finished
//! PATH/synced    how far it has been synced
//! PATH/engine/   the engine's own files
//! ```
//!
//! The marker is read before the engine touches anything: a directory of another program or of a newer release stays as
//! it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Keyspace;
use super::error::StoreError;
use super::fjall::synced;

/// The first line of the marker, and the beginning of the record inside the engine.
const MAGIC: &str = "millstream bucket store";

/// The version of everything on disk: the engine, its settings that matter for reading, and the keyspaces. How the sink
/// encodes keys and values is part of it.
const FORMAT: u32 = 3;

const LOCK_FILE: &str = "lock";
const FORMAT_FILE: &str = "format";
const FORMAT_FILE_NEW: &str = "format.new";
const SYNCED_FILE: &str = "synced";
const ENGINE_DIRECTORY: &str = "engine";
const PROBE_FILE: &str = "probe";

/// Written by the engine as the last step of its own creation.
const ENGINE_MARKER: &str = "version";

/// Where the engine keeps its keyspaces, and in each of them its tables and which of them count.
const ENGINE_KEYSPACES: &str = "keyspaces";
const ENGINE_TABLES: &str = "tables";
const ENGINE_CURRENT: &str = "current";

/// A marker is shorter by far; another program's file of that name needn't be.
const MARKER_BYTES_MAX: u64 = 256;

/// A locked store directory.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    engine: PathBuf,
    /// Whether the marker was there.
    is_created: bool,
    /// The lock is given up when the file is closed.
    _lock: File,
}

/// The record of the format that is kept inside the engine.
pub(super) fn format_record() -> Vec<u8> {
    format!("{MAGIC}\nformat {FORMAT}\n").into_bytes()
}

impl Directory {
    /// Locks a directory that is a store, is empty, or doesn't exist, and clears away what an interrupted creation has
    /// left if it is of no use.
    pub(super) fn open(path: &Path) -> Result<Directory, StoreError> {
        fs::create_dir_all(path).map_err(|error| io_error(path, "creating", error))?;
        refuse_foreign(path)?;
        let lock = lock(path)?;
        let is_created = match read_marker(path)? {
            Some(marker) => {
                check_format(path, &marker)?;
                true
            }
            None => false,
        };
        let directory =
            Directory { path: path.to_path_buf(), engine: path.join(ENGINE_DIRECTORY), is_created, _lock: lock };
        // Its creation ends with the marker, and makes one commit before.
        let synced = directory.synced_commit()?;
        if !is_created && synced.is_some_and(|synced| synced > 1) {
            return Err(directory.lacks_marker());
        }
        directory.clear_unfinished_engine()?;
        directory.check_keyspaces(synced)?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the engine keeps its files.
    pub(super) fn engine_path(&self) -> &Path {
        &self.engine
    }

    /// Where it is noted how far the store has been synced.
    pub(super) fn synced_path(&self) -> PathBuf {
        self.path.join(SYNCED_FILE)
    }

    /// The newest commit that is noted there as synced; `None` if the note is missing or makes no sense.
    pub(super) fn synced_commit(&self) -> Result<Option<u64>, StoreError> {
        let path = self.synced_path();
        synced::noted(&path).map_err(|error| io_error(&path, "reading", error))
    }

    /// What is there can't be all that was.
    pub(super) fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), doing: "opening", reason }
    }

    /// It holds data, so its creation was finished, but nothing says so.
    pub(super) fn lacks_marker(&self) -> StoreError {
        self.damaged(format!("{} is missing", self.path.join(FORMAT_FILE).display()))
    }

    /// Whether a record from inside the engine is this release's.
    pub(super) fn check_format_record(&self, record: &[u8]) -> Result<(), StoreError> {
        check_format(&self.path, &String::from_utf8_lossy(record))
    }

    /// Writes the marker, unless it is there: the store is complete.
    pub(super) fn mark_created(&self) -> Result<(), StoreError> {
        if self.is_created {
            return Ok(());
        }
        let new = self.path.join(FORMAT_FILE_NEW);
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&format_record())?;
            file.sync_all()?;
            fs::rename(&new, self.path.join(FORMAT_FILE))?;
            sync_directory(&self.path)?;
            // The directory's own entry, without which all this is nowhere after a power cut.
            match self.path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
                _ => sync_directory(Path::new(".")),
            }
        };
        write().map_err(|error| io_error(&self.path, "writing the format marker of", error))
    }

    /// The engine can't open what it hadn't finished creating. Nothing can have been stored in it: the engine's marker
    /// comes before the first commit.
    fn clear_unfinished_engine(&self) -> Result<(), StoreError> {
        let doing = "looking into";
        let exists = self.engine.try_exists().map_err(|error| io_error(&self.engine, doing, error))?;
        let marker = self.engine.join(ENGINE_MARKER);
        let is_finished = match fs::metadata(&marker) {
            Ok(metadata) => metadata.len() > 0,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(io_error(&marker, doing, error)),
        };
        match (self.is_created, exists, is_finished) {
            (_, _, true) | (false, false, _) => Ok(()),
            (false, true, false) => {
                fs::remove_dir_all(&self.engine).map_err(|error| io_error(&self.engine, "clearing", error))?;
                match fs::remove_file(self.synced_path()) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        Err(io_error(&self.synced_path(), "clearing", error))
                    }
                    _ => Ok(()),
                }
            }
            (true, _, false) => Err(self.damaged(format!("{} is missing or empty", marker.display()))),
        }
    }

    /// The engine takes a keyspace without the file that lists its tables for a new one, and removes the tables; without
    /// the folder of its own keyspace it removes all the others. So they are counted before it is asked.
    fn check_keyspaces(&self, synced: Option<u64>) -> Result<(), StoreError> {
        let keyspaces = self.engine.join(ENGINE_KEYSPACES);
        let list = |path: &Path| match fs::read_dir(path) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>(),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let mut found = 0;
        for keyspace in list(&keyspaces).map_err(|error| io_error(&keyspaces, "listing", error))? {
            let tables = keyspace.join(ENGINE_TABLES);
            let tables = list(&tables).map_err(|error| io_error(&tables, "listing", error))?;
            let current = keyspace.join(ENGINE_CURRENT);
            match current.exists() {
                true => found += 1,
                false if tables.is_empty() => {}
                false => return Err(self.damaged(format!("{} is missing", current.display()))),
            }
        }
        // The engine's own is one, and where commits are numbered there is one for that.
        let expected = 1 + Keyspace::ALL.len() + usize::from(synced.is_some_and(|synced| synced > 0));
        if self.is_created && found < expected {
            let reason = format!("{} has {found} keyspaces of {expected}", keyspaces.display());
            return Err(self.damaged(reason));
        }
        Ok(())
    }

    /// Whether its creation had been finished when it was opened.
    pub(super) fn is_created(&self) -> bool {
        self.is_created
    }

    /// The space that the directory takes on disk, in bytes. Holes in preallocated files don't count.
    pub(super) fn disk_bytes(&self) -> Result<u64, StoreError> {
        blocks_bytes(&self.path).map_err(|error| io_error(&self.path, "measuring", error))
    }

    /// Whether a file of the size of the engine's can't be stored for want of space.
    pub(super) fn is_full(&self) -> bool {
        const PROBE_PART_BYTES: usize = 1024 * 1024;
        const PROBE_PARTS: usize = 16;
        let probe = self.path.join(PROBE_FILE);
        let write = || -> io::Result<()> {
            let mut file = File::create(&probe)?;
            for _ in 0..PROBE_PARTS {
                file.write_all(&vec![0xa5; PROBE_PART_BYTES])?;
            }
            file.sync_all()
        };
        let result = write();
        // If it can't be removed, it is in nobody's way but its size's: the next probe overwrites it.
        if let Err(error) = fs::remove_file(&probe) {
            tracing::warn!(file = %probe.display(), %error, "a probe for free space can't be removed");
        }
        result.is_err_and(|error| is_disk_full(&error))
    }
}

/// Whether an error says that there is no space, or no right to use more of it.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Refuses a directory with entries that no store has, before anything is written to it.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    let known = [LOCK_FILE, FORMAT_FILE, FORMAT_FILE_NEW, SYNCED_FILE, ENGINE_DIRECTORY, PROBE_FILE, "lost+found"];
    let entries = fs::read_dir(path).map_err(|error| io_error(path, "listing", error))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(|error| io_error(path, "listing", error))?.file_name());
    }
    // With the marker it is a store, whatever else somebody has put there.
    if names.iter().any(|name| name == FORMAT_FILE) {
        return Ok(());
    }
    match names.iter().find(|name| !known.iter().any(|known| name == known)) {
        Some(name) => Err(StoreError::Foreign {
            path: path.to_path_buf(),
            found: format!("it isn't empty, it contains {}", name.to_string_lossy()),
        }),
        None => Ok(()),
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = path.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(|error| io_error(&lock_path, "opening", error))?;
    match file.try_lock() {
        Ok(()) => {
            write_holder(&mut file).map_err(|error| io_error(&lock_path, "writing", error))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::Held { path: path.to_path_buf(), holder: read_holder(&mut file) })
        }
        Err(TryLockError::Error(error)) => Err(io_error(&lock_path, "locking", error)),
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MARKER_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn read_marker(path: &Path) -> Result<Option<String>, StoreError> {
    let marker_path = path.join(FORMAT_FILE);
    let file = match File::open(&marker_path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(&marker_path, "opening", error)),
    };
    let mut bytes = Vec::new();
    file.take(MARKER_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| io_error(&marker_path, "reading", error))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether a marker or record names this program and a format that this release reads.
fn check_format(path: &Path, marker: &str) -> Result<(), StoreError> {
    let version = marker
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.strip_prefix("\nformat "))
        .and_then(|rest| rest.lines().next())
        .and_then(|version| version.parse::<u32>().ok());
    match version {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => {
            Err(StoreError::NewerFormat { path: path.to_path_buf(), found, supported: FORMAT })
        }
        Some(found) => Err(StoreError::OlderFormat { path: path.to_path_buf(), found, supported: FORMAT }),
        None => Err(StoreError::Foreign {
            path: path.to_path_buf(),
            found: format!("its record of the format doesn't begin with \"{MAGIC}\" and a known version"),
        }),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Files may vanish while they are counted: the engine removes them in the background.
fn blocks_bytes(path: &Path) -> io::Result<u64> {
    const BLOCK_BYTES: u64 = 512;
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut bytes = metadata.blocks() * BLOCK_BYTES;
    if metadata.is_dir() {
        match fs::read_dir(path) {
            Ok(entries) => {
                for entry in entries {
                    bytes += blocks_bytes(&entry?.path())?;
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

fn io_error(path: &Path, doing: &'static str, source: io::Error) -> StoreError {
    StoreError::Io { path: path.to_path_buf(), doing, source: Arc::new(source) }
}
