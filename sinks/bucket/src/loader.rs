//! Loads on their way into the store, while the writer fills the next.
//!
//! Storing a load is half work for a processor and half waiting for the disk, and as much of it as all else that the
//! writer does for the load's rows. So it is done on a thread of its own, one load at a time.
//!
//! Nobody must see the store as it is meanwhile, except whoever adds rows to the next load, of which nothing is known
//! and for which nothing is looked up. So the writer sees the store through the [`Loader`]: whatever is read or written
//! waits until the load is stored with all that belongs to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::kill::{KillPoint, KillPoints};
use crate::load::{Load, WholeLoad};
use crate::store::{Batch, Direction, Durability, KeyRange, Keyspace, Read, Scan, Store, StoreError};

/// A store, and the load that is on its way into it.
pub(crate) struct Loader {
    store: Arc<dyn Store>,
    kill: KillPoints,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Ends with the load, emptied.
    thread: Option<JoinHandle<Result<Load, StoreError>>>,
    /// The last load, for its memory.
    spare: Option<Load>,
    /// Why a load isn't stored. What was to be seen after it can't be.
    failure: Option<StoreError>,
}

impl Loader {
    pub(crate) fn new(store: Arc<dyn Store>, kill: KillPoints) -> Loader {
        Loader { store, kill, state: Mutex::default() }
    }

    /// Begins to store a load, once the one before is stored. Gives an empty one to go on with.
    pub(crate) fn begin(&self, load: WholeLoad) -> Result<Load, StoreError> {
        self.settle()?;
        let (store, kill) = (Arc::clone(&self.store), self.kill.clone());
        let work = move || load.store(&*store, || kill.pass(KillPoint::MidLoad));
        let mut state = self.state();
        let thread = std::thread::Builder::new().name("bucket-loader".to_string()).spawn(work);
        state.thread = Some(thread.map_err(StoreError::no_thread)?);
        Ok(state.spare.take().unwrap_or_default())
    }

    /// Waits until the load that is on its way is stored.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(thread) = state.thread.take() {
            match thread.join() {
                Ok(Ok(load)) => state.spare = Some(load),
                Ok(Err(error)) => state.failure = Some(error),
                // The writer tells of a defect for both.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        state.failure.clone().map_or(Ok(()), Err)
    }

    /// Gives the memory back that was kept for another load.
    pub(crate) fn forget_spare(&self) {
        self.state().spare = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // The thread holds the store, whose directory another process may want to open next. Nobody is left to be told
        // how it went.
        if let Some(thread) = self.state().thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Read for Loader {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.settle()?;
        self.store.get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        match self.settle() {
            Ok(()) => self.store.scan(keyspace, range, direction),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}

impl Store for Loader {
    fn snapshot(&self) -> Box<dyn Read> {
        match self.settle() {
            Ok(()) => self.store.snapshot(),
            Err(error) => Box::new(Unreadable(error)),
        }
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        self.settle()?;
        self.store.commit(batch, durability)
    }

    fn ingest(&self, first: &Batch, second: &Batch, between: &mut dyn FnMut()) -> Result<(), StoreError> {
        self.settle()?;
        self.store.ingest(first, second, between)
    }

    fn reclaim(&self, keyspace: Keyspace) -> Result<(), StoreError> {
        self.settle()?;
        self.store.reclaim(keyspace)
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.store.disk_bytes()
    }
}

/// What is seen of a store after a load has failed.
struct Unreadable(StoreError);

impl Read for Unreadable {
    fn get(&self, _: Keyspace, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Err(self.0.clone())
    }

    fn scan(&self, _: Keyspace, _: &KeyRange, _: Direction) -> Scan<'_> {
        Box::new(std::iter::once(Err(self.0.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    const ROW: &[u8] = b"row";

    /// Waits within an ingestion until the test lets it go on, and then does what it says.
    struct SlowStore {
        store: MemoryStore,
        outcome: Mutex<std::sync::mpsc::Receiver<Result<(), StoreError>>>,
    }

    impl Read for SlowStore {
        fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            self.store.get(keyspace, key)
        }

        fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
            self.store.scan(keyspace, range, direction)
        }
    }

    impl Store for SlowStore {
        fn snapshot(&self) -> Box<dyn Read> {
            self.store.snapshot()
        }

        fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
            self.store.commit(batch, durability)
        }

        fn ingest(&self, first: &Batch, second: &Batch, between: &mut dyn FnMut()) -> Result<(), StoreError> {
            self.outcome.lock().unwrap().recv().unwrap()?;
            self.store.ingest(first, second, between)
        }

        fn reclaim(&self, _: Keyspace) -> Result<(), StoreError> {
            Ok(())
        }

        fn disk_bytes(&self) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    /// A loader with a load on its way, and what lets its ingestion end.
    fn loading() -> (Arc<Loader>, std::sync::mpsc::Sender<Result<(), StoreError>>) {
        let (sender, outcome) = std::sync::mpsc::channel();
        let store = SlowStore { store: MemoryStore::new(), outcome: Mutex::new(outcome) };
        let loader = Arc::new(Loader::new(Arc::new(store), KillPoints::default()));
        let mut load = Load::default();
        load.put_op(b"op", b"op");
        load.put_row(ROW, b"state", 1..=1);
        let mut batch = Batch::new();
        batch.put(Keyspace::Meta, b"position", b"1");
        let empty = loader.begin(load.whole(batch, Durability::Synced).unwrap()).unwrap();
        assert!(empty.is_empty());
        (loader, sender)
    }

    #[test]
    fn who_reads_meanwhile_waits_and_sees_all() {
        let (loader, outcome) = loading();
        let reader = Arc::clone(&loader);
        let reading = std::thread::spawn(move || {
            let row = reader.get(Keyspace::Rows, ROW).unwrap();
            (row, reader.get(Keyspace::Meta, b"position").unwrap())
        });
        outcome.send(Ok(())).unwrap();
        assert_eq!(reading.join().unwrap(), (Some(b"state".to_vec()), Some(b"1".to_vec())));
        assert_eq!(loader.get(Keyspace::Meta, crate::store::META_LOADING_KEY).unwrap(), None);
    }

    #[test]
    fn after_a_failure_nothing_is_read_or_written() {
        let (loader, outcome) = loading();
        let refused = StoreError::KeyTooLong { keyspace: Keyspace::Ops, key_bytes: 1 };
        outcome.send(Err(refused)).unwrap();
        for _ in 0..2 {
            assert!(loader.settle().is_err());
            assert!(loader.get(Keyspace::Rows, ROW).is_err());
            assert!(loader.scan(Keyspace::Rows, &KeyRange::all(), Direction::Forward).next().unwrap().is_err());
            assert!(loader.snapshot().get(Keyspace::Rows, ROW).is_err());
            assert!(loader.commit(&Batch::new(), Durability::Synced).is_err());
        }
    }
}
