//! How the keys of every keyspace are laid out, and the numbers that they are made of.
//!
//! Numbers in keys are big-endian, so that keys of one kind lie in the order of their numbers and everything that
//! belongs to a source, table, definition or bucket is one range.
//!
//! ```text
//! rows      source u16, table u32, identity u16, row key
//! ops       definition u32, bucket u32, op id u64
//! buckets   0, definition u32, bucket u32            -> the bucket's record
//!           1, definition u32, name                  -> its number
//! lookups   1, definition u32, query u32, lookup, row address, output hash u64, op id u64
//!           2, op id u64                             -> what may be deleted once a checkpoint has passed the op id
//!           3, source u16, table u32, definition u32, bucket u32, object hash u64, content hash u64, row address
//!                                                    -> nothing: an object that a row of a former identity has
//!           4, definition u32, bucket u32, hash of the object with its subkey u128
//!                                                    -> the address of the row that has come to have the object
//! history   source u16, id u64
//! meta      a word, then numbers or a name
//! ```

use millstream_core::table::TableId;

use crate::op::ObjectRef;
use crate::record::{Cursor, Malformed, put_bytes};
use crate::store::KeyRange;

/// The number of a source within a store; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct SourceId(pub(crate) u16);

/// A table of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct TableKey {
    pub(crate) source: SourceId,
    pub(crate) table: TableId,
}

impl TableKey {
    pub(crate) const BYTES: usize = 6;
    /// The table and the identity, with which addresses begin.
    pub(crate) const FILED_BYTES: usize = Self::BYTES + 2;

    pub(crate) fn bytes(self) -> [u8; Self::BYTES] {
        let [a, b] = self.source.0.to_be_bytes();
        let [c, d, e, f] = self.table.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// The addresses of all rows of the table.
    pub(crate) fn rows(self) -> KeyRange {
        KeyRange::prefix(&self.bytes())
    }

    /// The smallest address behind all rows of the table.
    pub(crate) fn rows_end(self) -> Vec<u8> {
        let [a, b, c, d, e, f] = self.bytes();
        let number = u64::from_be_bytes([0, 0, a, b, c, d, e, f]) + 1;
        number.to_be_bytes().into_iter().skip(2).collect()
    }

    /// The addresses of all rows that are filed under identities before this one.
    pub(crate) fn rows_before(self, identity: IdentityNumber) -> KeyRange {
        KeyRange::between(&self.filed(IdentityNumber::default()), &self.filed(identity))
    }

    /// The addresses of all rows that are filed under this identity or later ones.
    pub(crate) fn rows_from(self, identity: IdentityNumber) -> KeyRange {
        self.rows().starting_at(&self.filed(identity))
    }

    /// What the addresses of all rows begin with that are filed under an identity.
    pub(crate) fn filed(self, identity: IdentityNumber) -> [u8; Self::FILED_BYTES] {
        let [a, b, c, d, e, f] = self.bytes();
        let [g, h] = identity.0.to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// The table that the bytes begin with.
    pub(crate) fn of(bytes: &[u8]) -> Result<TableKey, Malformed> {
        let mut cursor = Cursor::new(bytes, "a row's address");
        let source = SourceId(u16::from_be_bytes(cursor.array()?));
        let table = TableId(u32::from_be_bytes(cursor.array()?));
        Ok(TableKey { source, table })
    }
}

/// Which of the identities that a table has had one after the other; never reused while any row of the table is stored.
///
/// It is a part of a row's address: the same bytes name different rows under different identities. And as nothing else
/// ever gets an address of a former identity, an op may go on telling such an address for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct IdentityNumber(pub(crate) u16);

/// The identity that a row's address is of, and the row's key.
pub(crate) fn row(address: &[u8]) -> Result<(IdentityNumber, &[u8]), Malformed> {
    let mut cursor = Cursor::new(address, "a row's address");
    cursor.take(TableKey::BYTES)?;
    Ok((IdentityNumber(u16::from_be_bytes(cursor.array()?)), cursor.rest()))
}

/// The number of a definition in one wording; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct DefinitionId(pub(crate) u32);

/// A bucket of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BucketId {
    pub(crate) definition: DefinitionId,
    /// Never reused within a store.
    pub(crate) number: u32,
}

impl BucketId {
    fn bytes(self) -> [u8; 8] {
        (u64::from(self.definition.0) << 32 | u64::from(self.number)).to_be_bytes()
    }
}

/// Where an op lies in [`Keyspace::Ops`](crate::store::Keyspace::Ops).
pub(crate) fn op(bucket: BucketId, op_id: u64) -> [u8; 16] {
    (u128::from(u64::from_be_bytes(bucket.bytes())) << 64 | u128::from(op_id)).to_be_bytes()
}

/// The op id that an op's key ends with.
pub(crate) fn op_id(key: &[u8]) -> Result<u64, Malformed> {
    let bytes: &[u8; 8] = key.last_chunk().ok_or(Malformed("an op's key"))?;
    Ok(u64::from_be_bytes(*bytes))
}

/// The op log of a bucket from one op id to another, both included.
pub(crate) fn ops(bucket: BucketId, first: u64, last: u64) -> KeyRange {
    match last.checked_add(1) {
        Some(end) => KeyRange::between(&op(bucket, first), &op(bucket, end)),
        None => KeyRange::prefix(&bucket.bytes()).starting_at(&op(bucket, first)),
    }
}

/// All ops of all buckets of a definition.
pub(crate) fn ops_of(definition: DefinitionId) -> KeyRange {
    KeyRange::prefix(&definition.0.to_be_bytes())
}

pub(crate) fn bucket(bucket: BucketId) -> [u8; 9] {
    let mut key = [0; 9];
    if let Some(place) = key.last_chunk_mut() {
        *place = bucket.bytes();
    }
    key
}

/// Which bucket a record is of.
pub(crate) fn bucket_of(key: &[u8]) -> Result<BucketId, Malformed> {
    let malformed = || Malformed("a bucket's key");
    let number: [u8; 4] = *key.last_chunk().ok_or_else(malformed)?;
    let definition: [u8; 4] = *key.get(1..).and_then(<[u8]>::first_chunk).ok_or_else(malformed)?;
    Ok(BucketId { definition: DefinitionId(u32::from_be_bytes(definition)), number: u32::from_be_bytes(number) })
}

/// The names of all buckets of a definition, in the order of the names that are stored whole.
pub(crate) fn bucket_names_of(definition: DefinitionId) -> KeyRange {
    KeyRange::prefix(&prefixed(1, definition))
}

/// The records of all buckets of a definition.
pub(crate) fn buckets_of(definition: DefinitionId) -> KeyRange {
    KeyRange::prefix(&prefixed(0, definition))
}

pub(crate) fn bucket_name(definition: DefinitionId, name: &str) -> Vec<u8> {
    let mut key = prefixed(1, definition);
    put_text(&mut key, name, Ends::WithKey);
    key
}

fn prefixed(kind: u8, definition: DefinitionId) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&definition.0.to_be_bytes());
    key
}

/// One lookup of one parameter query.
pub(crate) fn lookup(definition: DefinitionId, query: u32, lookup: &str) -> Vec<u8> {
    let mut key = prefixed(1, definition);
    key.extend_from_slice(&query.to_be_bytes());
    put_text(&mut key, lookup, Ends::Before);
    key
}

/// One output that a row has in one lookup. Its versions follow by op id.
pub(crate) fn lookup_entry(mut lookup: Vec<u8>, address: &[u8], output: &str) -> Vec<u8> {
    lookup.extend_from_slice(address);
    lookup.extend_from_slice(&xxhash_rust::xxh3::xxh3_64(output.as_bytes()).to_be_bytes());
    lookup
}

/// One version of an entry.
pub(crate) fn lookup_version(mut entry: Vec<u8>, op_id: u64) -> Vec<u8> {
    entry.extend_from_slice(&op_id.to_be_bytes());
    entry
}

/// All lookups of a definition.
pub(crate) fn lookups_of(definition: DefinitionId) -> KeyRange {
    KeyRange::prefix(&prefixed(1, definition))
}

/// What may be deleted once a checkpoint has passed this op id.
pub(crate) fn superseded(op_id: u64) -> Vec<u8> {
    let mut key = vec![2];
    key.extend_from_slice(&op_id.to_be_bytes());
    key
}

/// What may be deleted once a checkpoint at this op id has been made.
pub(crate) fn superseded_upto(op_id: u64) -> KeyRange {
    KeyRange::between(&[2], &superseded(op_id.saturating_add(1)))
}

/// All objects that rows of a table's former identities have.
pub(crate) fn left_of(table: TableKey) -> KeyRange {
    KeyRange::prefix(&[&[3], &table.bytes()[..]].concat())
}

/// What the keys of an object begin with that rows of a table's former identities have in a bucket.
pub(crate) fn left_object(table: TableKey, bucket: BucketId, object_type: &str, object_id: &str) -> Vec<u8> {
    let mut object = Vec::with_capacity(object_type.len() + object_id.len() + 10);
    put_bytes(&mut object, object_type.as_bytes());
    object.extend_from_slice(object_id.as_bytes());
    let mut key = Vec::with_capacity(64);
    key.push(3);
    key.extend_from_slice(&table.bytes());
    key.extend_from_slice(&bucket.bytes());
    key.extend_from_slice(&xxhash_rust::xxh3::xxh3_64(&object).to_be_bytes());
    key
}

/// The same for one content of it.
pub(crate) fn left_content(mut object: Vec<u8>, content_hash: u64) -> Vec<u8> {
    object.extend_from_slice(&content_hash.to_be_bytes());
    object
}

/// One row that has an object with a content.
pub(crate) fn left(mut content: Vec<u8>, address: &[u8]) -> Vec<u8> {
    content.extend_from_slice(address);
    content
}

/// The address that the key of an object of a former identity's row ends with.
pub(crate) fn left_row(key: &[u8]) -> Result<&[u8], Malformed> {
    let mut cursor = Cursor::new(key, "a key of an object left behind");
    cursor.take(1 + TableKey::BYTES + 8 + 8 + 8)?;
    Ok(cursor.rest())
}

/// Where it is noted which row has come to have an object that tells another row's address.
pub(crate) fn owner(bucket: BucketId, object: &ObjectRef<'_>) -> [u8; 25] {
    let mut content = Vec::with_capacity(64);
    object.encode_into(&mut content);
    let mut key = [4; 25];
    let hash = xxhash_rust::xxh3::xxh3_128(&content).to_be_bytes();
    let parts = bucket.bytes().into_iter().chain(hash);
    key.iter_mut().skip(1).zip(parts).for_each(|(place, byte)| *place = byte);
    key
}

/// All that is noted so of a definition.
pub(crate) fn owners_of(definition: DefinitionId) -> KeyRange {
    KeyRange::prefix(&prefixed(4, definition))
}

pub(crate) fn history(source: SourceId, id: u64) -> Vec<u8> {
    let mut key = source.0.to_be_bytes().to_vec();
    key.extend_from_slice(&id.to_be_bytes());
    key
}

pub(crate) fn history_of(source: SourceId) -> KeyRange {
    KeyRange::prefix(&source.0.to_be_bytes())
}

/// The number of the line of history that a key is for.
pub(crate) fn history_id(key: &[u8]) -> Result<u64, Malformed> {
    op_id(key).map_err(|_| Malformed("a key of the history"))
}

/// Whether something follows a text within its key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Before,
    WithKey,
}

/// Texts up to this length are in keys as they are, longer ones as a hash.
const TEXT_BYTES_MAX: usize = 1024;

fn put_text(key: &mut Vec<u8>, text: &str, ends: Ends) {
    if text.len() > TEXT_BYTES_MAX {
        key.push(1);
        key.extend_from_slice(&xxhash_rust::xxh3::xxh3_128(text.as_bytes()).to_be_bytes());
        return;
    }
    key.push(0);
    if ends == Ends::Before {
        // At most 1024, so it fits.
        key.extend_from_slice(&(text.len() as u16).to_be_bytes());
    }
    key.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_of_a_bucket_are_one_range_in_their_order() {
        let id = BucketId { definition: DefinitionId(1), number: 2 };
        assert!(op(id, 255) < op(id, 256));
        assert!(op(id, u64::MAX) < op(BucketId { number: 3, ..id }, 0));
        assert_eq!(op_id(&op(id, 77)), Ok(77));
        assert_eq!(ops(id, 3, 9), KeyRange::between(&op(id, 3), &op(id, 10)));
        assert!(!ops(id, 3, u64::MAX).is_empty());
    }

    #[test]
    fn an_address_splits_into_what_it_was_made_of() {
        let table = TableKey { source: SourceId(3), table: TableId(70_000) };
        let identity = IdentityNumber(400);
        let mut address = table.filed(identity).to_vec();
        address.extend_from_slice(b"key");
        assert_eq!(TableKey::of(&address), Ok(table));
        assert_eq!(row(&address), Ok((identity, b"key".as_slice())));
        assert!(TableKey::of(b"abc").is_err());
        assert!(row(&table.bytes()).is_err());
        assert!(table.rows_before(IdentityNumber(0)).is_empty());
        let before = table.rows_before(identity);
        assert!(before.starting_at(&table.filed(IdentityNumber(399))).starting_after(b"") != before);
        assert!(before.starting_at(&address).is_empty());
    }

    #[test]
    fn an_object_left_behind_is_found_by_its_beginning_and_tells_its_row() {
        let table = TableKey { source: SourceId(3), table: TableId(7) };
        let bucket = BucketId { definition: DefinitionId(1), number: 2 };
        let object = left_object(table, bucket, "orders", "7");
        let key = left(left_content(object.clone(), 99), b"address");
        assert!(key.starts_with(&object));
        assert_eq!(left_row(&key), Ok(b"address".as_slice()));
        assert_ne!(object, left_object(table, bucket, "order", "s7"));
        let object = |row| ObjectRef { object_type: "orders", object_id: "7", row };
        assert_ne!(owner(bucket, &object(b"a")), owner(bucket, &object(b"b")));
        assert!(owner(bucket, &object(b"a")).starts_with(b"\x04\0\0\0\x01\0\0\0\x02"));
    }

    /// Stores of earlier releases hold these bytes.
    #[test]
    fn the_layout_is_fixed() {
        let id = BucketId { definition: DefinitionId(1), number: 2 };
        assert_eq!(op(id, 3), *b"\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x03");
        assert_eq!(bucket(id), *b"\0\0\0\0\x01\0\0\0\x02");
        assert_eq!(bucket_name(DefinitionId(1), "a[]"), b"\x01\0\0\0\x01\0a[]");
        assert_eq!(lookup(DefinitionId(1), 4, "[1]"), b"\x01\0\0\0\x01\0\0\0\x04\0\0\x03[1]");
        assert_eq!(superseded(5), b"\x02\0\0\0\0\0\0\0\x05");
        assert_eq!(history(SourceId(1), 2), b"\0\x01\0\0\0\0\0\0\0\x02");
        let table = TableKey { source: SourceId(1), table: TableId(2) };
        assert_eq!(table.filed(IdentityNumber(3)), *b"\0\x01\0\0\0\x02\0\x03");
    }

    #[test]
    fn no_lookup_is_the_beginning_of_another() {
        let definition = DefinitionId(1);
        let short = lookup(definition, 0, "[1]");
        let longer = lookup(definition, 0, "[1][2]");
        assert!(!longer.starts_with(&short));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert!(lookup(definition, 0, &long).len() < 64);
        assert!(bucket_name(definition, &long).len() < 64);
    }
}
