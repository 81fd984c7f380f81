//! The store on disk, on the engine fjall: a log-structured merge tree for each keyspace behind one journal.

mod clusters;
mod journal;
pub(super) mod synced;
mod tuning;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use ::fjall as engine;
use engine::{AbstractTree as _, PersistMode, Readable as _};

use self::clusters::clusters;
use self::journal::Cut;
use self::synced::{Commits, Mark};
use super::batch::{Batch, BatchEntry};
use super::directory::{self, Directory, is_disk_full};
use super::error::{PoisonCause, StoreError};
use super::range::{Direction, KeyRange};
use super::{Durability, KEY_BYTES_MAX, Keyspace, Read, Scan, ScanItem, Store};

/// A bucket store on disk.
///
/// Dropping it stops the engine's threads; it isn't necessary for durability.
pub struct FjallStore {
    // Declared in the order in which they must be dropped: the engine lets go of its files before the directory's
    // lock is given up.
    keyspaces: Arc<Keyspaces>,
    commits: Commits,
    database: engine::Database,
    failure: Mutex<Option<PoisonCause>>,
    directory: Directory,
}

/// The engine's handles, one for each keyspace.
struct Keyspaces {
    path: PathBuf,
    handles: [(Keyspace, engine::Keyspace); Keyspace::ALL.len()],
}

impl FjallStore {
    /// Opens the store in a directory, or creates it if the directory is empty or missing. What an interrupted creation
    /// has left is completed; a commit that was cut short by a crash is undone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Held`] if another process has it open, [`StoreError::NewerFormat`], [`StoreError::OlderFormat`],
    /// [`StoreError::Foreign`], [`StoreError::Damaged`] and [`StoreError::Io`] as they say.
    pub fn open(path: &Path) -> Result<FjallStore, StoreError> {
        let directory = Directory::open(path)?;
        let cut = Cut::torn_tail(directory.engine_path()).map_err(|source| StoreError::Io {
            path: path.to_path_buf(),
            doing: "reading the journal of",
            source: Arc::new(source),
        })?;
        let database = open_engine(&directory)?;
        // Of a cut that isn't settled the original is put back by the next attempt.
        check_whole(&directory, &database)?;
        let keyspaces = Arc::new(Keyspaces::open(&directory, &database)?);
        let (commits, mark) =
            Commits::open(&directory.synced_path(), &database).map_err(|error| open_error(path, error))?;
        let store = FjallStore { keyspaces, commits, database, failure: Mutex::new(None), directory };
        let store = match cut {
            Some(cut) => store.settle(cut, mark)?,
            None if mark.is_behind() => return Err(cut_short(path, mark)),
            None => store,
        };
        store.check_format()?;
        store.directory.mark_created()?;
        Ok(store)
    }

    /// Keeps the cut in the journal if nothing in it had been synced, by what is noted and by what is in the tables; else
    /// undoes it and gives up.
    fn settle(self, cut: Cut, mark: Mark) -> Result<FjallStore, StoreError> {
        let path = self.path().to_path_buf();
        let io_error =
            |source| StoreError::Io { path: path.clone(), doing: "mending the journal of", source: Arc::new(source) };
        let newest = |handle: &engine::Keyspace| handle.tree.get_highest_persisted_seqno();
        // What is ingested isn't in the journal, and is newer than what is there. Its note is, before and after.
        let is_loading = self.get(Keyspace::Meta, super::META_LOADING_KEY)?.is_some();
        let is_ingested = |keyspace| is_loading && matches!(keyspace, Keyspace::Rows | Keyspace::Ops);
        let mut handles = self.keyspaces.handles.iter().filter(|(keyspace, _)| !is_ingested(*keyspace));
        let contradicts = handles.any(|(_, handle)| cut.contradicts(newest(handle)));
        if contradicts || mark.is_behind() {
            drop(self);
            cut.undo().map_err(io_error)?;
            if mark.is_behind() {
                return Err(cut_short(&path, mark));
            }
            let reason = "commits that had been synced are broken in the journal".to_string();
            return Err(StoreError::Damaged { path, doing: "opening", reason });
        }
        tracing::warn!(
            store = %path.display(),
            bytes = cut.bytes,
            "the process or the machine stopped while it was writing: the unfinished end of the journal is dropped"
        );
        cut.confirm().map_err(io_error)?;
        Ok(self)
    }

    /// The directory that it was opened in.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The engine's own record of the format, inside the atomic part of the store: the marker file beside it could be
    /// copied from elsewhere, this can't.
    fn check_format(&self) -> Result<(), StoreError> {
        match self.get(Keyspace::Meta, super::META_FORMAT_KEY)? {
            Some(record) => {
                self.directory.check_format_record(&record)?;
                // An interrupted creation has stored that record and nothing else.
                if self.directory.is_created() || self.has_record_only()? {
                    return Ok(());
                }
                Err(self.directory.lacks_marker())
            }
            None if self.is_blank()? => {
                let mut batch = Batch::new();
                batch.put(Keyspace::Meta, super::META_FORMAT_KEY, &directory::format_record());
                self.commit(&batch, Durability::Synced)
            }
            None if self.directory.is_created() => Err(StoreError::Damaged {
                path: self.path().to_path_buf(),
                doing: "opening",
                reason: "its record of the format is gone".to_string(),
            }),
            None => Err(StoreError::Foreign {
                path: self.path().to_path_buf(),
                found: "it holds data but no record of Millstream's format".to_string(),
            }),
        }
    }

    fn is_blank(&self) -> Result<bool, StoreError> {
        self.holds_at_most(0)
    }

    fn has_record_only(&self) -> Result<bool, StoreError> {
        self.holds_at_most(1)
    }

    fn holds_at_most(&self, pairs: usize) -> Result<bool, StoreError> {
        let scans = Keyspace::ALL.into_iter().map(|keyspace| self.scan(keyspace, &KeyRange::all(), Direction::Forward));
        let found = scans.flatten().take(pairs + 1).collect::<Result<Vec<_>, _>>()?;
        Ok(found.len() <= pairs)
    }

    /// Makes the engine put away what has gathered in memory, and waits if it is behind with that.
    ///
    /// The engine would do this itself, but leaves it to the thread that also merges tables: while that one is busy for
    /// seconds the memtables would grow without a bound. And where it stops writers it does so for ever if that thread
    /// has died. So its own limits are never reached: the writer hands each full memtable over, waits for its turn here,
    /// and notices a failure while it waits.
    ///
    /// A memtable that a large commit would bring to the engine's limit is handed over before.
    fn make_room(&self, coming: &[BatchEntry<'_>]) -> Result<(), StoreError> {
        let bytes_for = |keyspace| {
            let entries = coming.iter().filter(|entry| entry.keyspace == keyspace);
            entries.map(|entry| entry.key.len() + entry.value.map_or(0, <[u8]>::len)).sum::<usize>() as u64
        };
        let handles = self.keyspaces.handles.iter();
        let handles = handles.map(|(keyspace, handle)| (*keyspace, handle, bytes_for(*keyspace)));
        for (keyspace, handle, coming_bytes) in handles.chain([(Keyspace::Meta, self.commits.handle(), 0)]) {
            let bytes = handle.tree.active_memtable().size();
            let has_room = bytes < tuning::memtable_bytes_max(keyspace)
                && bytes + coming_bytes < tuning::engine_memtable_bytes_max(keyspace);
            if bytes == 0 || has_room {
                continue;
            }
            while handle.tree.sealed_memtable_count() >= tuning::SEALED_MEMTABLES_MAX {
                self.pause()?;
            }
            self.await_merges(handle)?;
            handle.rotate_memtable().map_err(|error| self.poison("handing over writes", error))?;
        }
        Ok(())
    }

    /// Lets the engine catch up with merging tables. A pause, not a condition: what merges tables is only started by the
    /// flush that follows.
    fn await_merges(&self, handle: &engine::Keyspace) -> Result<(), StoreError> {
        let patience = Instant::now() + tuning::MERGE_WAIT_MAX;
        while handle.tree.l0_run_count() >= tuning::UNSORTED_RUNS_MAX && Instant::now() < patience {
            self.pause()?;
        }
        Ok(())
    }

    /// Writes the tables of a batch, and then makes them part of the store if `may_finish` says so.
    fn ingest_batch(&self, batch: &Batch, may_finish: impl FnOnce() -> bool) -> Result<(), StoreError> {
        let poison = |error| self.poison("ingesting", error);
        let entries = batch.entries_in_key_order();
        let mut ingestions = Vec::new();
        for entries in entries.chunk_by(|one, other| one.keyspace == other.keyspace) {
            let Some(keyspace) = entries.first().map(|entry| entry.keyspace) else { continue };
            let handle = self.keyspaces.handle(keyspace)?;
            self.await_merges(handle)?;
            for cluster in clusters(entries) {
                let mut ingestion = handle.start_ingestion().map_err(poison)?;
                for entry in cluster {
                    let written = match entry.value {
                        Some(value) => ingestion.write(entry.key, value),
                        None => ingestion.write_tombstone(entry.key),
                    };
                    written.map_err(poison)?;
                }
                ingestions.push((handle, ingestion));
            }
        }
        if !may_finish() {
            return Ok(());
        }
        for (handle, ingestion) in ingestions {
            self.await_moves(handle)?;
            ingestion.finish().map_err(poison)?;
        }
        Ok(())
    }

    /// Lets the engine move the table ingested before to where the sorted ones are, which it does at once if it is
    /// alone; several at a time it merges, unless nothing lies between them. Not worth much waiting.
    fn await_moves(&self, handle: &engine::Keyspace) -> Result<(), StoreError> {
        let patience = Instant::now() + tuning::MOVE_WAIT_MAX;
        while handle.tree.l0_run_count() > 0 && Instant::now() < patience {
            self.pause()?;
        }
        Ok(())
    }

    /// Gives the engine's thread a moment, if it still lives.
    fn pause(&self) -> Result<(), StoreError> {
        const PAUSE: Duration = Duration::from_millis(1);
        self.database.persist(PersistMode::Buffer).map_err(|error| self.poison("flushing and merging", error))?;
        std::thread::sleep(PAUSE);
        Ok(())
    }

    fn note_synced(&self, commit: u64, durability: Durability) -> Result<(), StoreError> {
        match durability {
            Durability::Buffered => Ok(()),
            Durability::Synced => {
                let noted = self.commits.note_synced(commit);
                noted.map_err(|error| self.poison("noting how far it is synced", engine::Error::Io(error)))
            }
        }
    }

    fn failure(&self) -> MutexGuard<'_, Option<PoisonCause>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_if_poisoned(&self) -> Result<(), StoreError> {
        match &*self.failure() {
            Some(cause) => Err(StoreError::Poisoned { path: self.path().to_path_buf(), cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Notes the first failure, and answers with it now and ever after.
    fn poison(&self, doing: &'static str, error: engine::Error) -> StoreError {
        let mut failure = self.failure();
        let cause = failure.get_or_insert_with(|| self.cause(doing, error)).clone();
        StoreError::Poisoned { path: self.path().to_path_buf(), cause }
    }

    /// The engine only says *that* one of its threads has failed; whether for want of space is found by trying.
    fn cause(&self, doing: &'static str, error: engine::Error) -> PoisonCause {
        let is_full = match &error {
            engine::Error::Io(error) => is_disk_full(error),
            engine::Error::Storage(engine::LsmError::Io(error)) => is_disk_full(error),
            engine::Error::Poisoned => self.directory.is_full(),
            _ => false,
        };
        if is_full { PoisonCause::DiskFull { doing } } else { PoisonCause::Failed { doing, reason: reason(&error) } }
    }
}

fn open_engine(directory: &Directory) -> Result<engine::Database, StoreError> {
    tuning::database(directory.engine_path()).open().map_err(|error| open_error(directory.path(), error))
}

/// Whether all is there that a finished store has, before what is missing is created as new and empty.
fn check_whole(directory: &Directory, database: &engine::Database) -> Result<(), StoreError> {
    let lost = Keyspace::ALL.into_iter().find(|keyspace| !database.keyspace_exists(keyspace.name()));
    if let Some(keyspace) = lost.filter(|_| directory.is_created()) {
        return Err(directory.damaged(format!("all that it had of the keyspace {keyspace} is gone")));
    }
    if Commits::are_numbered(database) && directory.synced_commit()?.is_none() {
        let file = directory.synced_path();
        let reason =
            format!("{} is missing or overwritten, so it can't be told whether commits are lost", file.display());
        return Err(directory.damaged(reason));
    }
    Ok(())
}

impl Keyspaces {
    fn open(directory: &Directory, database: &engine::Database) -> Result<Keyspaces, StoreError> {
        let mut handles = Vec::with_capacity(Keyspace::ALL.len());
        for keyspace in Keyspace::ALL {
            let handle = database
                .keyspace(keyspace.name(), || tuning::keyspace(keyspace))
                .map_err(|error| open_error(directory.path(), error))?;
            handles.push((keyspace, handle));
        }
        let handles = handles.try_into().map_err(|_| StoreError::Damaged {
            path: directory.path().to_path_buf(),
            doing: "opening its keyspaces",
            reason: "their number isn't as it must be".to_string(),
        })?;
        Ok(Keyspaces { path: directory.path().to_path_buf(), handles })
    }

    fn handle(&self, keyspace: Keyspace) -> Result<&engine::Keyspace, StoreError> {
        let found = self.handles.iter().find(|(name, _)| *name == keyspace);
        found.map(|(_, handle)| handle).ok_or_else(|| StoreError::Damaged {
            path: self.path.clone(),
            doing: "looking for a keyspace",
            reason: format!("{keyspace} isn't there"),
        })
    }

    fn read_error(&self, error: engine::Error) -> StoreError {
        engine_error(&self.path, "reading", error)
    }
}

/// A moment of the store, kept by the engine as long as this lives.
struct FjallSnapshot {
    snapshot: engine::Snapshot,
    keyspaces: Arc<Keyspaces>,
}

impl Read for FjallSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let value = self.snapshot.get(self.keyspaces.handle(keyspace)?, key);
        Ok(value.map_err(|error| self.keyspaces.read_error(error))?.map(|value| value.to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        scan(&self.snapshot, &self.keyspaces, keyspace, range, direction)
    }
}

impl Read for FjallStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let value = self.keyspaces.handle(keyspace)?.get(key);
        Ok(value.map_err(|error| self.keyspaces.read_error(error))?.map(|value| value.to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        scan(&self.database.snapshot(), &self.keyspaces, keyspace, range, direction)
    }
}

/// The engine's iterator owns what it needs, so it outlives the snapshot's handle.
fn scan(
    snapshot: &engine::Snapshot,
    keyspaces: &Arc<Keyspaces>,
    keyspace: Keyspace,
    range: &KeyRange,
    direction: Direction,
) -> Scan<'static> {
    if range.is_empty() {
        return Box::new(std::iter::empty());
    }
    let handle = match keyspaces.handle(keyspace) {
        Ok(handle) => handle,
        Err(error) => return Box::new(std::iter::once(Err(error))),
    };
    let pairs = snapshot.range::<&[u8], _>(handle, range.bounds());
    Box::new(FjallScan { pairs: Some(pairs), direction, keyspaces: Arc::clone(keyspaces) })
}

struct FjallScan {
    /// `None` after an error.
    pairs: Option<engine::Iter>,
    direction: Direction,
    keyspaces: Arc<Keyspaces>,
}

impl Iterator for FjallScan {
    type Item = ScanItem;

    fn next(&mut self) -> Option<ScanItem> {
        let pairs = self.pairs.as_mut()?;
        let guard = match self.direction {
            Direction::Forward => pairs.next(),
            Direction::Backward => pairs.next_back(),
        }?;
        match guard.into_inner() {
            Ok((key, value)) => Some(Ok((key.to_vec(), value.to_vec()))),
            Err(error) => {
                self.pairs = None;
                Some(Err(self.keyspaces.read_error(error)))
            }
        }
    }
}

impl Store for FjallStore {
    fn snapshot(&self) -> Box<dyn Read> {
        Box::new(FjallSnapshot { snapshot: self.database.snapshot(), keyspaces: Arc::clone(&self.keyspaces) })
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        self.refuse_if_poisoned()?;
        batch.check_lengths()?;
        let mode = match durability {
            Durability::Buffered => PersistMode::Buffer,
            Durability::Synced => PersistMode::SyncData,
        };
        let mut last = self.commits.last();
        if batch.is_empty() {
            self.database.persist(mode).map_err(|error| self.poison("syncing", error))?;
            return self.note_synced(*last, durability);
        }
        let entries = batch.entries_in_key_order();
        self.make_room(&entries)?;
        let mut write =
            engine::OwnedWriteBatch::with_capacity(self.database.clone(), entries.len()).durability(Some(mode));
        for entry in entries {
            let handle = self.keyspaces.handle(entry.keyspace)?;
            match entry.value {
                Some(value) => write.insert(handle, entry.key, value),
                None => write.remove(handle, entry.key),
            }
        }
        self.commits.number(&mut write, *last + 1);
        write.commit().map_err(|error| self.poison("committing", error))?;
        *last += 1;
        self.note_synced(*last, durability)
    }

    /// Past the journal and the memtables, as tables of their own. Those of both batches are written side by side, which
    /// is most of the work, and become part of the store one after the other.
    fn ingest(&self, first: &Batch, second: &Batch, between: &mut dyn FnMut()) -> Result<(), StoreError> {
        self.refuse_if_poisoned()?;
        first.check_lengths()?;
        second.check_lengths()?;
        std::thread::scope(|scope| {
            // Dropped without a word if the first batch fails.
            let (is_first_stored, first_stored) = mpsc::sync_channel(1);
            let work = move || self.ingest_batch(second, || first_stored.recv().is_ok());
            let second = std::thread::Builder::new().name("bucket-loader-2".to_string());
            let second = second.spawn_scoped(scope, work).map_err(StoreError::no_thread)?;
            let outcome = self.ingest_batch(first, || true);
            if outcome.is_ok() {
                between();
                // If it isn't heard, the second batch has failed already.
                let _heard = is_first_stored.send(());
            }
            drop(is_first_stored);
            let second = second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome.and(second)
        })
    }

    fn reclaim(&self, keyspace: Keyspace) -> Result<(), StoreError> {
        self.refuse_if_poisoned()?;
        let handle = self.keyspaces.handle(keyspace)?;
        handle.rotate_memtable().map_err(|error| self.poison("handing over writes", error))?;
        while handle.tree.sealed_memtable_count() > 0 {
            self.pause()?;
        }
        handle.major_compact().map_err(|error| engine_error(self.path(), "compacting", error))
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.directory.disk_bytes()
    }
}

/// The store lacks commits that it had.
fn cut_short(path: &Path, Mark { stored, synced }: Mark) -> StoreError {
    let reason = format!(
        "it goes up to commit {stored}, while commit {synced} had been synced: its journal is cut short, broken or gone"
    );
    StoreError::Damaged { path: path.to_path_buf(), doing: "opening", reason }
}

fn open_error(path: &Path, error: engine::Error) -> StoreError {
    let lacks_file = |error: &io::Error| {
        // Looking for a place before the beginning of a file that is too short is invalid input.
        let kinds = [ErrorKind::NotFound, ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::InvalidInput];
        kinds.contains(&error.kind())
    };
    match error {
        engine::Error::Locked => StoreError::Held { path: path.to_path_buf(), holder: None },
        // The disk works; what the engine looks for isn't there.
        engine::Error::Io(error) | engine::Error::Storage(engine::LsmError::Io(error)) if lacks_file(&error) => {
            let reason = format!("a file of its engine is missing, cut short or overwritten ({error})");
            StoreError::Damaged { path: path.to_path_buf(), doing: "opening", reason }
        }
        error => engine_error(path, "opening", error),
    }
}

fn engine_error(path: &Path, doing: &'static str, error: engine::Error) -> StoreError {
    let path = path.to_path_buf();
    match error {
        engine::Error::Io(source) | engine::Error::Storage(engine::LsmError::Io(source)) => {
            StoreError::Io { path, doing, source: Arc::new(source) }
        }
        error => StoreError::Damaged { path, doing, reason: reason(&error) },
    }
}

/// What the engine means, in words: its errors display as debug output.
fn reason(error: &engine::Error) -> String {
    use engine::{Error, LsmError};
    let words = match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => return error.to_string(),
        Error::Poisoned => "a background thread of the engine has failed",
        Error::JournalRecovery(_) => "its journal can't be read",
        Error::InvalidVersion(_) | Error::Storage(LsmError::InvalidVersion(_)) => {
            "a file of its engine has a version that this release doesn't know"
        }
        Error::Decompress(_) | Error::Storage(LsmError::Decompress(_)) => "a block can't be decompressed",
        Error::Storage(LsmError::ChecksumMismatch { .. }) => "a block's checksum is wrong",
        Error::Unrecoverable | Error::Storage(LsmError::Unrecoverable) => {
            "files of its engine are missing, cut short or overwritten"
        }
        _ => "a file of its engine has content that makes no sense",
    };
    words.to_string()
}
