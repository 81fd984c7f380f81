//! The journal's torn tail, which a power cut leaves.
//!
//! Between two syncs the operating system writes a file's pages in an order of its own. When the power goes, the part
//! after the last sync may hold later pages and lack earlier ones. The engine discards a batch that breaks off, but one
//! that is there in full length with wrong bytes makes it refuse to open. Here such a tail is cut off where the first
//! broken batch begins, which gives what the store promises: a prefix of the commits, with all that were synced.
//!
//! Cutting is right only if nothing after the cut has been synced. The engine syncs the journal before it flushes
//! memtables to tables, so if a table holds something newer than the last batch that is kept, then the tail had been
//! synced and what broke it is not a power cut but a failing disk. That is checked once the engine has opened the rest
//! ([`Cut::contradicts`]), and until then the original is kept beside it.
//!
//! The journal is a sequence of batches. A batch is a start (tag 1, items u32, sequence number u64), its items (put or
//! delete: tag 2, kind u8, compression u8, keyspace u64, key length u16, value length u32, stored length u32, key,
//! stored value; clear: tag 4, keyspace u64), and an end (tag 3, XXH3 of the items' bytes u64, `FJL\x03`), all little
//! endian. After the last batch come zeros, as the file is allocated ahead, or nothing.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TAG_CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";

/// What is read at once: mostly zeros, 64 MiB of them in a new journal.
static ZEROS: [u8; 128 * 1024] = [0; 128 * 1024];

const EXTENSION: &str = "jnl";
const EXTENSION_ASIDE: &str = "torn";

/// A journal whose tail has been cut off.
#[derive(Debug)]
pub(super) struct Cut {
    journal: PathBuf,
    original: PathBuf,
    /// The sequence number of the last batch that was kept.
    last_sequence: Option<u64>,
    /// How much was cut off, zeros at its end included.
    pub(super) bytes: u64,
}

impl Cut {
    /// Cuts the torn tail off the journal that was being written, if it has one. The engine must not be running.
    pub(super) fn torn_tail(engine: &Path) -> io::Result<Option<Cut>> {
        put_back(engine)?;
        let Some(journal) = active_journal(engine)? else { return Ok(None) };
        let file = File::open(&journal)?;
        let file_bytes = file.metadata()?.len();
        let sound = Reader { file: BufReader::with_capacity(ZEROS.len(), file), position: 0 }.read()?;
        if !sound.is_followed_by_more {
            return Ok(None);
        }
        let original = journal.with_extension(EXTENSION_ASIDE);
        fs::rename(&journal, &original)?;
        let mut kept = File::create_new(&journal)?;
        io::copy(&mut File::open(&original)?.take(sound.end), &mut kept)?;
        kept.sync_all()?;
        File::open(engine)?.sync_all()?;
        Ok(Some(Cut { journal, original, last_sequence: sound.last_sequence, bytes: file_bytes - sound.end }))
    }

    /// Whether a table's newest sequence number says that what was cut off had been synced.
    pub(super) fn contradicts(&self, newest_in_table: Option<u64>) -> bool {
        matches!((newest_in_table, self.last_sequence), (Some(table), Some(kept)) if table > kept)
    }

    /// Drops what was cut off.
    pub(super) fn confirm(self) -> io::Result<()> {
        fs::remove_file(&self.original)
    }

    /// Undoes the cut. The engine must have been closed.
    pub(super) fn undo(self) -> io::Result<()> {
        fs::rename(&self.original, &self.journal)
    }
}

/// Undoes a cut that was neither confirmed nor undone before the process ended.
fn put_back(engine: &Path) -> io::Result<()> {
    for original in files(engine, EXTENSION_ASIDE)? {
        fs::rename(&original, original.with_extension(EXTENSION))?;
    }
    Ok(())
}

/// The journal with the largest number is the one that was being written; the others were synced when they were full.
fn active_journal(engine: &Path) -> io::Result<Option<PathBuf>> {
    let number =
        |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
    Ok(files(engine, EXTENSION)?.into_iter().filter(|path| number(path).is_some()).max_by_key(number))
}

fn files(directory: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    Ok(files)
}

/// The sound beginning of a journal.
struct Sound {
    end: u64,
    last_sequence: Option<u64>,
    /// Whether something else than zeros follows.
    is_followed_by_more: bool,
}

struct Reader {
    file: BufReader<File>,
    position: u64,
}

/// Why a batch can't be read.
enum Broken {
    /// Nothing but zeros or the end of the file was found where a batch would begin.
    End,
    /// Its bytes make no sense or break off.
    Torn,
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        if error.kind() == ErrorKind::UnexpectedEof { Broken::Torn } else { Broken::Io(error) }
    }
}

impl Reader {
    fn read(mut self) -> io::Result<Sound> {
        let mut sound = Sound { end: 0, last_sequence: None, is_followed_by_more: false };
        loop {
            match self.batch() {
                Ok(sequence) => {
                    sound.end = self.position;
                    sound.last_sequence = Some(sequence);
                }
                Err(Broken::End) => {
                    sound.is_followed_by_more = !self.is_zero_from(sound.end)?;
                    return Ok(sound);
                }
                Err(Broken::Torn) => {
                    sound.is_followed_by_more = true;
                    return Ok(sound);
                }
                Err(Broken::Io(error)) => return Err(error),
            }
        }
    }

    /// Reads a batch and returns its sequence number.
    fn batch(&mut self) -> Result<u64, Broken> {
        let mut tag = [0];
        if self.file.read(&mut tag)? == 0 || tag == [0] {
            return Err(Broken::End);
        }
        self.position += 1;
        if tag != [TAG_START] {
            return Err(Broken::Torn);
        }
        let items = u32::from_le_bytes(self.bytes()?);
        let sequence = u64::from_le_bytes(self.bytes()?);
        let mut checksum = Xxh3::new();
        for _ in 0..items {
            self.item(&mut checksum)?;
        }
        if self.bytes()? != [TAG_END]
            || u64::from_le_bytes(self.bytes()?) != checksum.digest()
            || self.bytes()? != TRAILER
        {
            return Err(Broken::Torn);
        }
        Ok(sequence)
    }

    fn item(&mut self, checksum: &mut Xxh3) -> Result<(), Broken> {
        let tag: [u8; 1] = self.bytes()?;
        checksum.update(&tag);
        match tag {
            [TAG_ITEM] => {
                let kind_and_keyspace: [u8; 10] = self.bytes()?;
                let key_length: [u8; 2] = self.bytes()?;
                let value_length: [u8; 4] = self.bytes()?;
                let stored_length: [u8; 4] = self.bytes()?;
                for part in [&kind_and_keyspace[..], &key_length, &value_length, &stored_length] {
                    checksum.update(part);
                }
                let rest = u64::from(u16::from_le_bytes(key_length)) + u64::from(u32::from_le_bytes(stored_length));
                self.hash(rest, checksum)
            }
            [TAG_CLEAR] => {
                let keyspace: [u8; 8] = self.bytes()?;
                checksum.update(&keyspace);
                Ok(())
            }
            _ => Err(Broken::Torn),
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn hash(&mut self, length: u64, checksum: &mut Xxh3) -> Result<(), Broken> {
        let mut left = length;
        while left > 0 {
            let part = io::BufRead::fill_buf(&mut self.file)?;
            let part = part.get(..part.len().min(usize::try_from(left).unwrap_or(usize::MAX))).unwrap_or(part);
            let part_length = part.len();
            if part_length == 0 {
                return Err(Broken::Torn);
            }
            checksum.update(part);
            io::BufRead::consume(&mut self.file, part_length);
            left -= part_length as u64;
        }
        self.position += length;
        Ok(())
    }

    fn is_zero_from(&mut self, position: u64) -> io::Result<bool> {
        self.file.seek(io::SeekFrom::Start(position))?;
        loop {
            let part = io::BufRead::fill_buf(&mut self.file)?;
            if part.is_empty() {
                return Ok(true);
            }
            if ZEROS.get(..part.len()) != Some(part) {
                return Ok(false);
            }
            let part_length = part.len();
            io::BufRead::consume(&mut self.file, part_length);
        }
    }
}
