//! What a store can answer instead of what was asked.

use std::path::PathBuf;
use std::sync::Arc;

use millstream_core::error::SinkError;

use super::Keyspace;

/// Why a store can't be opened, read or written. Each says what and where, and how to mend it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}. {}", self.diagnosis(), self.remedy())]
pub enum StoreError {
    /// Another process works on the store.
    Held {
        /// The store's directory.
        path: PathBuf,
        /// The process id that the holder has left there, if it can be read.
        holder: Option<u32>,
    },
    /// The store was written by a newer release.
    NewerFormat {
        /// The store's directory.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest format version that this release reads.
        supported: u32,
    },
    /// The store was written before the first release, in a format that no release reads.
    OlderFormat {
        /// The store's directory.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The oldest format version that this release reads.
        supported: u32,
    },
    /// The directory holds something else.
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What was found there.
        found: String,
    },
    /// What is on disk contradicts itself.
    Damaged {
        /// The store's directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the engine says.
        reason: String,
    },
    /// The operating system refused.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What it said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A write failed, this time or earlier.
    Poisoned {
        /// The store's directory.
        path: PathBuf,
        /// The first failure.
        cause: PoisonCause,
    },
    /// A key is longer than [`KEY_BYTES_MAX`](super::KEY_BYTES_MAX).
    KeyTooLong {
        /// For which keyspace.
        keyspace: Keyspace,
        /// Its length.
        key_bytes: usize,
    },
    /// A value is longer than [`VALUE_BYTES_MAX`](super::VALUE_BYTES_MAX).
    ValueTooLong {
        /// For which keyspace.
        keyspace: Keyspace,
        /// Its length.
        value_bytes: usize,
    },
}

/// The failure after which a store takes no more writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoisonCause {
    /// The file system is full, or a quota or file size limit is reached.
    DiskFull {
        /// What was being done.
        doing: &'static str,
    },
    /// Anything else.
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What the engine or the operating system said.
        reason: String,
    },
}

impl StoreError {
    /// The operating system gives the store no thread to work on.
    pub(crate) fn no_thread(error: std::io::Error) -> StoreError {
        StoreError::Io { path: PathBuf::new(), doing: "starting a thread", source: Arc::new(error) }
    }

    /// What is wrong and where.
    pub fn diagnosis(&self) -> String {
        match self {
            StoreError::Held { path, holder } => {
                let by = match holder {
                    Some(pid) => format!("another millstream process (process id {pid})"),
                    None => "another millstream process".to_string(),
                };
                format!("The bucket store {} is in use by {by}", path.display())
            }
            StoreError::NewerFormat { path, found, supported } => format!(
                "The bucket store {} has format {found}, written by a newer release; this one reads format {supported} only",
                path.display()
            ),
            StoreError::OlderFormat { path, found, supported } => format!(
                "The bucket store {} has format {found}, which was in no release; this one reads format {supported} only",
                path.display()
            ),
            StoreError::Foreign { path, found } => {
                format!("The directory {} isn't a bucket store of Millstream: {found}", path.display())
            }
            StoreError::Damaged { path, doing, reason } => {
                format!("The bucket store {} is damaged, found while {doing}: {reason}", path.display())
            }
            StoreError::Io { path, doing, source } => {
                format!("The bucket store can't be used: {doing} {} failed: {source}", path.display())
            }
            StoreError::Poisoned { path, cause: PoisonCause::DiskFull { doing } } => {
                format!("No space is left for the bucket store {}, found while {doing}", path.display())
            }
            StoreError::Poisoned { path, cause: PoisonCause::Failed { doing, reason } } => {
                format!("The bucket store {} couldn't be written, while {doing}: {reason}", path.display())
            }
            StoreError::KeyTooLong { keyspace, key_bytes } => {
                format!("A key of {key_bytes} bytes for {keyspace} is longer than a bucket store takes")
            }
            StoreError::ValueTooLong { keyspace, value_bytes } => {
                format!("A value of {value_bytes} bytes for {keyspace} is longer than a bucket store takes")
            }
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            StoreError::Held { .. } => "Stop that process, or use the commands that ask a running `millstream run` \
                                        through its control socket (status, schema, buckets, verify, reload)"
                .to_string(),
            StoreError::NewerFormat { .. } => {
                "Use the release that wrote it or a newer one, or name an empty directory as the store; the buckets \
                 are then filled from the source again"
                    .to_string()
            }
            StoreError::OlderFormat { .. } => {
                "Remove it, or name an empty directory as the store; the buckets are then filled from the source again"
                    .to_string()
            }
            StoreError::Foreign { .. } => "Name another directory as the store: an empty one, or one that doesn't \
                                           exist yet"
                .to_string(),
            StoreError::Damaged { .. } => "Check the disk, and restore the directory from a back-up, or move it away \
                                           and start again: the buckets are then filled from the source again"
                .to_string(),
            StoreError::Io { .. } => {
                "Check that the directory exists on a working disk with free space, and that this user may read and \
                 write it"
                    .to_string()
            }
            StoreError::Poisoned { cause: PoisonCause::DiskFull { .. }, .. } => {
                "Make space on that file system, then start again: nothing that was reported as durable is lost, and \
                 reading resumes where it stopped"
                    .to_string()
            }
            StoreError::Poisoned { cause: PoisonCause::Failed { .. }, .. } => {
                "Check the disk and the system's log, then start again: nothing that was reported as durable is lost, \
                 and reading resumes where it stopped"
                    .to_string()
            }
            StoreError::KeyTooLong { .. } | StoreError::ValueTooLong { .. } => {
                "Leave the table or the column out of the sync config".to_string()
            }
        }
    }
}

impl From<StoreError> for SinkError {
    fn from(error: StoreError) -> SinkError {
        SinkError::new(error.diagnosis(), error.remedy())
    }
}
