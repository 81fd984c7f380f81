//! The other candidate: redb, a copy-on-write B-tree in one file.

use std::path::{Path, PathBuf};

use millstream_bucket::store::{
    Batch, Direction, Durability, KeyRange, Keyspace, PoisonCause, Read, Scan, Store, StoreError,
};
use redb::{Database, ReadOnlyTable, ReadableDatabase as _, TableDefinition};

const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;

pub struct RedbStore {
    database: Database,
    path: PathBuf,
}

type Pair<'a> = (redb::AccessGuard<'a, &'static [u8]>, redb::AccessGuard<'a, &'static [u8]>);

/// With its tables open: opening one for each read would cost redb more than it must.
struct RedbSnapshot {
    tables: Vec<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    path: PathBuf,
}

fn table(keyspace: Keyspace) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(keyspace.name())
}

fn failed(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    let cause = PoisonCause::Failed { doing: "using redb", reason: error.into().to_string() };
    StoreError::Poisoned { path: path.to_path_buf(), cause }
}

impl RedbStore {
    pub fn open(path: &Path) -> Result<RedbStore, StoreError> {
        let database =
            Database::builder().set_cache_size(CACHE_BYTES_MAX).create(path).map_err(|error| failed(path, error))?;
        let store = RedbStore { database, path: path.to_path_buf() };
        store.create_tables().map_err(|error| failed(path, error))?;
        Ok(store)
    }

    fn create_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        for keyspace in Keyspace::ALL {
            transaction.open_table(table(keyspace))?;
        }
        Ok(transaction.commit()?)
    }

    fn begin(&self) -> Result<RedbSnapshot, redb::Error> {
        let transaction = self.database.begin_read()?;
        let open = |keyspace| transaction.open_table(table(keyspace));
        Ok(RedbSnapshot {
            tables: Keyspace::ALL.into_iter().map(open).collect::<Result<_, _>>()?,
            path: self.path.clone(),
        })
    }

    fn try_commit(&self, batch: &Batch, durability: Durability) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(match durability {
            Durability::Buffered => redb::Durability::None,
            Durability::Synced => redb::Durability::Immediate,
        })?;
        // Tables are opened once a commit: opening one for each entry would cost redb more than it must.
        for entries in batch.entries_in_key_order().chunk_by(|one, other| one.keyspace == other.keyspace) {
            let mut table = transaction.open_table(table(entries[0].keyspace))?;
            for entry in entries {
                match entry.value {
                    Some(value) => table.insert(entry.key, value)?,
                    None => table.remove(entry.key)?,
                };
            }
        }
        Ok(transaction.commit()?)
    }
}

impl RedbSnapshot {
    fn table(&self, keyspace: Keyspace) -> &ReadOnlyTable<&'static [u8], &'static [u8]> {
        &self.tables[keyspace as usize]
    }
}

impl Read for RedbSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.table(keyspace).get(key).map_err(|error| failed(&self.path, error))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        let pairs = match self.table(keyspace).range::<&[u8]>(range.bounds()) {
            Ok(pairs) => pairs,
            Err(error) => return Box::new(std::iter::once(Err(failed(&self.path, error)))),
        };
        let pair = |pair: Result<Pair, redb::StorageError>| {
            let (key, value) = pair.map_err(|error| failed(&self.path, error))?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        };
        match direction {
            Direction::Forward => Box::new(pairs.map(pair)),
            Direction::Backward => Box::new(pairs.rev().map(pair)),
        }
    }
}

impl Read for RedbStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.begin().map_err(|error| failed(&self.path, error))?.get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        match self.begin() {
            Ok(snapshot) => Box::new(snapshot.scan(keyspace, range, direction).collect::<Vec<_>>().into_iter()),
            Err(error) => Box::new(std::iter::once(Err(failed(&self.path, error)))),
        }
    }
}

impl Store for RedbStore {
    fn snapshot(&self) -> Box<dyn Read> {
        match self.begin() {
            Ok(snapshot) => Box::new(snapshot),
            Err(error) => panic!("redb can't begin reading: {error}"),
        }
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        self.try_commit(batch, durability).map_err(|error| failed(&self.path, error))
    }

    fn reclaim(&self, _keyspace: Keyspace) -> Result<(), StoreError> {
        Ok(())
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        use std::os::unix::fs::MetadataExt as _;
        Ok(std::fs::metadata(&self.path).map_or(0, |metadata| metadata.blocks() * 512))
    }
}
