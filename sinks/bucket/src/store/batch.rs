//! Writes that are stored together.

use std::ops::Range;

use super::error::StoreError;
use super::range::{Direction, KeyRange};
use super::{KEY_BYTES_MAX, Keyspace, Read, VALUE_BYTES_MAX};

/// Puts and deletes, stored whole or not at all by [`Store::commit`](super::Store::commit).
///
/// Keys and values lie one after the other in one buffer, so that filling a batch allocates nothing once it has been
/// filled and [cleared](Batch::clear) before.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    keyspace: Keyspace,
    key_start: usize,
    key_end: usize,
    /// Where the value ends, which begins at `key_end`; `None` for a delete.
    value_end: Option<usize>,
}

/// One write of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEntry<'a> {
    /// Where.
    pub keyspace: Keyspace,
    /// Which.
    pub key: &'a [u8],
    /// The new value; `None` deletes the key.
    pub value: Option<&'a [u8]>,
}

impl<'a> BatchEntry<'a> {
    fn place(&self) -> (Keyspace, &'a [u8]) {
        (self.keyspace, self.key)
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Sets the value of a key.
    pub fn put(&mut self, keyspace: Keyspace, key: &[u8], value: &[u8]) {
        let key = self.append(key);
        let value = self.append(value);
        self.entries.push(Entry { keyspace, key_start: key.start, key_end: key.end, value_end: Some(value.end) });
    }

    /// Removes a key, whether or not it is there.
    pub fn delete(&mut self, keyspace: Keyspace, key: &[u8]) {
        let key = self.append(key);
        self.entries.push(Entry { keyspace, key_start: key.start, key_end: key.end, value_end: None });
    }

    /// Removes the first `keys_max` keys of a range that `from` holds. Returns what remains of the range, to be worked
    /// off in later batches, or `None` if that was all.
    pub fn delete_range(
        &mut self,
        from: &dyn Read,
        keyspace: Keyspace,
        range: &KeyRange,
        keys_max: usize,
    ) -> Result<Option<KeyRange>, StoreError> {
        let mut scan = from.scan(keyspace, range, Direction::Forward);
        for _ in 0..keys_max {
            match scan.next() {
                Some(pair) => self.delete(keyspace, &pair?.0),
                None => return Ok(None),
            }
        }
        match scan.next() {
            Some(pair) => Ok(Some(range.starting_at(&pair?.0))),
            None => Ok(None),
        }
    }

    /// The number of puts and deletes.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The memory that the batch's content takes, in bytes: what to bound batches by.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    /// Forgets everything but the memory, for the next batch.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
    }

    /// The writes in their order.
    pub fn entries(&self) -> impl Iterator<Item = BatchEntry<'_>> {
        self.entries.iter().map(|entry| BatchEntry {
            keyspace: entry.keyspace,
            key: self.slice(entry.key_start..entry.key_end),
            value: entry.value_end.map(|end| self.slice(entry.key_end..end)),
        })
    }

    /// What the writes come to, in the order of their keys: each key once, with its last write.
    ///
    /// A sorted structure takes neighbours one after the other at a third less cost than the same in any order, as the
    /// path to the second is still in the processor's cache.
    pub fn entries_in_key_order(&self) -> Vec<BatchEntry<'_>> {
        let mut entries: Vec<BatchEntry<'_>> = self.entries().collect();
        // Ops mostly come in this order.
        if entries.is_sorted_by(|one, next| one.place() < next.place()) {
            return entries;
        }
        // Stable, so that of the writes of one key the last is the last.
        entries.sort_by(|one, other| one.place().cmp(&other.place()));
        entries.dedup_by(|next, kept| {
            let is_same = next.place() == kept.place();
            if is_same {
                *kept = *next;
            }
            is_same
        });
        entries
    }

    /// Whether every key and value can be stored.
    pub(super) fn check_lengths(&self) -> Result<(), StoreError> {
        for entry in self.entries() {
            if entry.key.len() > KEY_BYTES_MAX {
                return Err(StoreError::KeyTooLong { keyspace: entry.keyspace, key_bytes: entry.key.len() });
            }
            let value_bytes = entry.value.map_or(0, <[u8]>::len);
            if value_bytes > VALUE_BYTES_MAX {
                return Err(StoreError::ValueTooLong { keyspace: entry.keyspace, value_bytes });
            }
        }
        Ok(())
    }

    fn append(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }

    /// The ranges come from `append` and the buffer only grows until it is cleared together with them.
    fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_put_in() {
        let mut batch = Batch::new();
        for _ in 0..2 {
            batch.put(Keyspace::Ops, b"k", b"value");
            batch.delete(Keyspace::Rows, b"gone");
            batch.put(Keyspace::Meta, b"empty", b"");
            let entries: Vec<_> = batch.entries().collect();
            assert_eq!(
                entries,
                [
                    BatchEntry { keyspace: Keyspace::Ops, key: b"k", value: Some(b"value") },
                    BatchEntry { keyspace: Keyspace::Rows, key: b"gone", value: None },
                    BatchEntry { keyspace: Keyspace::Meta, key: b"empty", value: Some(b"") },
                ]
            );
            assert!(batch.bytes() >= 15);
            batch.clear();
            assert!(batch.is_empty());
            assert_eq!(batch.bytes(), 0);
        }
    }

    #[test]
    fn in_key_order_the_last_write_of_a_key_is_left() {
        let mut batch = Batch::new();
        batch.put(Keyspace::Rows, b"b", b"1");
        batch.put(Keyspace::Rows, b"a", b"1");
        batch.delete(Keyspace::Rows, b"b");
        batch.put(Keyspace::Ops, b"b", b"2");
        batch.put(Keyspace::Rows, b"a", b"3");
        assert_eq!(
            batch.entries_in_key_order(),
            [
                BatchEntry { keyspace: Keyspace::Ops, key: b"b", value: Some(b"2") },
                BatchEntry { keyspace: Keyspace::Rows, key: b"a", value: Some(b"3") },
                BatchEntry { keyspace: Keyspace::Rows, key: b"b", value: None },
            ]
        );
    }

    #[test]
    fn lengths_are_checked() {
        let mut batch = Batch::new();
        batch.put(Keyspace::Rows, &vec![0; KEY_BYTES_MAX], b"");
        batch.check_lengths().unwrap();
        batch.delete(Keyspace::Rows, &vec![0; KEY_BYTES_MAX + 1]);
        assert!(matches!(batch.check_lengths(), Err(StoreError::KeyTooLong { .. })));
    }
}
