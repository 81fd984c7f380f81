//! A store that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_bucket::BucketSink;
use millstream_bucket::store::{
    Batch, Direction, Durability, KeyRange, Keyspace, MemoryStore, PoisonCause, Read, Scan, Store, StoreError,
};
use millstream_core::sink::{Sink, Write};
use millstream_core::table::TableState;

use crate::world::*;

/// Keeps its word until it is told to fail.
#[derive(Default)]
struct Failing {
    store: MemoryStore,
    fails: AtomicBool,
}

impl Read for Failing {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        self.store.scan(keyspace, range, direction)
    }
}

impl Store for Failing {
    fn snapshot(&self) -> Box<dyn Read> {
        self.store.snapshot()
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Poisoned {
                path: "the-store".into(),
                cause: PoisonCause::DiskFull { doing: "committing" },
            });
        }
        self.store.commit(batch, durability)
    }

    fn reclaim(&self, keyspace: Keyspace) -> Result<(), StoreError> {
        self.store.reclaim(keyspace)
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.store.disk_bytes()
    }
}

#[tokio::test]
async fn a_failed_store_stops_the_sink_with_its_reason() {
    let store = Arc::new(Failing::default());
    let sink = BucketSink::with_store(Arc::clone(&store) as Arc<dyn Store>, options(CONFIG)).unwrap();
    sink.restore("db").await.unwrap();
    let record = table(record(ITEMS, "items", TableState::Live, 1));
    sink.accept("db", Write { items: vec![record], commit: commit(1) }).await.unwrap();
    sink.checkpoints().wait_for(Option::is_some).await.unwrap();
    let before = buckets(&sink.reader().unwrap());
    store.fails.store(true, Ordering::SeqCst);
    let rows = || vec![stream(ITEMS, 1, false, &[put((1, "ann", "x"))])];
    let mut durable = sink.durable("db");
    sink.accept("db", Write { items: rows(), commit: commit(2) }).await.unwrap();
    assert!(durable.wait_for(|durable| *durable == Some(position(2))).await.is_err(), "the channel closes");
    let error = loop {
        // Until the thread has told why, a write may still be taken in.
        if let Err(error) = sink.accept("db", Write { items: rows(), commit: commit(3) }).await {
            break error;
        }
    };
    assert!(error.diagnosis.contains("No space") && error.diagnosis.contains("the-store"), "{error}");
    assert!(error.remedy.contains("Make space"), "{error}");
    assert!(sink.close().await.unwrap_err().diagnosis.contains("No space"));
    assert_eq!(buckets(&sink.reader().unwrap()), before, "reading goes on");
}
