//! Random work on the store on disk and on its twin in memory, which must always look the same.

use millstream_bucket::store::{
    Batch, Direction, Durability, FjallStore, KeyRange, Keyspace, MemoryStore, Read, ScanItem, Store,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const STEPS: usize = 120;

/// Replay one with `MILLSTREAM_SEED=n`, try more with `MILLSTREAM_SEEDS=count`.
#[test]
fn the_store_on_disk_is_its_twin_in_memory() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a whole number"));
    let first = number("MILLSTREAM_SEED");
    let count = number("MILLSTREAM_SEEDS").unwrap_or(if first.is_some() { 1 } else { 12 });
    let first = first.unwrap_or(0);
    for seed in first..first + count {
        println!("seed {seed}");
        Pair::new(seed).run();
    }
}

struct Pair {
    random: StdRng,
    directory: tempfile::TempDir,
    disk: FjallStore,
    memory: MemoryStore,
    snapshots: Vec<(Box<dyn Read>, Box<dyn Read>)>,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let directory = tempfile::tempdir().unwrap();
        let disk = FjallStore::open(directory.path()).unwrap();
        let memory = MemoryStore::new();
        // What the store on disk keeps for itself is in its twin too, so that scans can be compared whole.
        let mut format = Batch::new();
        for pair in disk.scan(Keyspace::Meta, &KeyRange::all(), Direction::Forward) {
            let (key, value) = pair.unwrap();
            format.put(Keyspace::Meta, &key, &value);
        }
        memory.commit(&format, Durability::Synced).unwrap();
        Pair { random: StdRng::seed_from_u64(seed), directory, disk, memory, snapshots: Vec::new() }
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            match self.random.random_range(0..100) {
                0..50 => self.commit(),
                50..60 => self.delete_range(),
                60..80 => self.read_now(),
                80..88 => self.take_snapshot(),
                88..94 => self.read_snapshot(),
                94..97 => self.reclaim(),
                _ => self = self.reopen(),
            }
        }
        self = self.reopen();
        for keyspace in Keyspace::ALL {
            same_scan(&self.disk, &self.memory, keyspace, &KeyRange::all(), Direction::Forward);
        }
    }

    fn commit(&mut self) {
        let mut batch = Batch::new();
        for _ in 0..self.random.random_range(0..60) {
            let keyspace = self.any_keyspace();
            let key = self.any_key();
            if self.random.random_ratio(3, 4) {
                let value = self.any_value();
                batch.put(keyspace, &key, &value);
            } else {
                batch.delete(keyspace, &key);
            }
        }
        self.commit_both(&batch);
    }

    fn delete_range(&mut self) {
        let keyspace = self.any_keyspace();
        let mut range = Some(self.any_range());
        if keyspace == Keyspace::Meta {
            // Its own record of the format is in it.
            return;
        }
        while let Some(rest) = range {
            let keys_max = self.random.random_range(1..20);
            let mut batch = Batch::new();
            let rest_on_disk = batch.delete_range(&self.disk, keyspace, &rest, keys_max).unwrap();
            let mut twin = Batch::new();
            range = twin.delete_range(&self.memory, keyspace, &rest, keys_max).unwrap();
            assert_eq!(rest_on_disk, range);
            assert!(batch.entries().eq(twin.entries()));
            self.commit_both(&batch);
        }
    }

    fn commit_both(&mut self, batch: &Batch) {
        let durability = if self.random.random() { Durability::Synced } else { Durability::Buffered };
        self.disk.commit(batch, durability).unwrap();
        self.memory.commit(batch, durability).unwrap();
    }

    fn read_now(&mut self) {
        let (keyspace, key, range, direction) = self.any_question();
        assert_eq!(self.disk.get(keyspace, &key).unwrap(), self.memory.get(keyspace, &key).unwrap());
        same_scan(&self.disk, &self.memory, keyspace, &range, direction);
    }

    fn take_snapshot(&mut self) {
        if self.snapshots.len() == 3 {
            self.snapshots.remove(0);
        }
        self.snapshots.push((self.disk.snapshot(), self.memory.snapshot()));
    }

    fn read_snapshot(&mut self) {
        let (keyspace, key, range, direction) = self.any_question();
        for (disk, memory) in &self.snapshots {
            assert_eq!(disk.get(keyspace, &key).unwrap(), memory.get(keyspace, &key).unwrap());
            same_scan(disk.as_ref(), memory.as_ref(), keyspace, &range, direction);
        }
    }

    fn reclaim(&mut self) {
        let keyspace = self.any_keyspace();
        self.disk.reclaim(keyspace).unwrap();
    }

    fn reopen(self) -> Pair {
        let Pair { random, directory, disk, memory, snapshots } = self;
        drop(snapshots);
        drop(disk);
        let disk = FjallStore::open(directory.path()).unwrap();
        Pair { random, directory, disk, memory, snapshots: Vec::new() }
    }

    fn any_question(&mut self) -> (Keyspace, Vec<u8>, KeyRange, Direction) {
        let direction = if self.random.random() { Direction::Forward } else { Direction::Backward };
        (self.any_keyspace(), self.any_key(), self.any_range(), direction)
    }

    fn any_keyspace(&mut self) -> Keyspace {
        Keyspace::ALL[self.random.random_range(0..Keyspace::ALL.len())]
    }

    /// Few enough that keys meet, with the bytes that orders and prefixes go wrong at.
    fn any_key(&mut self) -> Vec<u8> {
        const BYTES: [u8; 5] = [0, 1, b'a', 254, 255];
        let length = self.random.random_range(1..5);
        let mut key: Vec<u8> = (0..length).map(|_| BYTES[self.random.random_range(0..BYTES.len())]).collect();
        if self.random.random_ratio(1, 40) {
            key.extend_from_slice(&[7; 3000]);
        }
        key
    }

    /// Now and then large, so that memtables fill and tables are written and merged.
    fn any_value(&mut self) -> Vec<u8> {
        let length = match self.random.random_range(0..30) {
            0 => self.random.random_range(100_000..600_000),
            1..10 => 0,
            _ => self.random.random_range(1..200),
        };
        let mut value = vec![0; length];
        self.random.fill(&mut value[..]);
        value
    }

    fn any_range(&mut self) -> KeyRange {
        let (one, other) = (self.any_key(), self.any_key());
        match self.random.random_range(0..6) {
            0 => KeyRange::all(),
            1 => KeyRange::prefix(&one),
            2 => KeyRange::prefix(&one[..1]),
            3 => KeyRange::all().starting_after(&one),
            4 => KeyRange::all().ending_before(&one),
            // In half of the cases an empty one.
            _ => KeyRange::between(&one, &other),
        }
    }
}

fn same_scan(one: &dyn Read, other: &dyn Read, keyspace: Keyspace, range: &KeyRange, direction: Direction) {
    let mut pairs = other.scan(keyspace, range, direction).map(ScanItem::unwrap);
    for pair in one.scan(keyspace, range, direction) {
        let (key, value) = pair.unwrap();
        let expected = pairs.next();
        assert!(expected == Some((key.clone(), value)), "{keyspace} differs at key {key:?} in {range:?}");
    }
    assert!(pairs.next().is_none(), "{keyspace} ends early in {range:?}");
}
