//! What is known about each bucket as a whole.

use crate::record::{Cursor, Malformed, put_bytes, put_number};

const VERSION: u8 = 1;

/// What a bucket's op log adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// How many ops it has.
    pub ops: u64,
    /// How many live rows: objects put and not removed since.
    pub rows: u64,
    /// The stored size of its ops, in bytes, before compression.
    pub bytes: u64,
    /// The wrapping sum of its ops' checksums.
    pub checksum: u32,
}

impl Counters {
    /// Counts one op more.
    pub(crate) fn add_op(&mut self, bytes: usize, checksum: u32) {
        self.ops += 1;
        self.bytes += bytes as u64;
        self.checksum = self.checksum.wrapping_add(checksum);
    }

    /// How many ops put nothing that is still there.
    pub(crate) fn dead(&self) -> u64 {
        self.ops.saturating_sub(self.rows)
    }
}

/// The stored record of a bucket.
///
/// Readers see a bucket as it was at the newest checkpoint, while its log may have grown since. So two sets of counters
/// are kept: those of now, and those of before the first op that the newest checkpoint doesn't contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketRecord {
    pub(crate) name: String,
    now: Counters,
    before: Counters,
    last_op: u64,
    /// How many dead ops the last compaction had to leave.
    pub(crate) dead_after_compaction: u64,
}

impl BucketRecord {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_string(),
            now: Counters::default(),
            before: Counters::default(),
            last_op: 0,
            dead_after_compaction: 0,
        }
    }

    /// The counters to change for an op that is being written, the newest checkpoint being at `checkpoint_op`.
    pub(crate) fn grow(&mut self, op_id: u64, checkpoint_op: u64) -> &mut Counters {
        if self.last_op <= checkpoint_op {
            self.before = self.now;
        }
        self.last_op = op_id;
        &mut self.now
    }

    /// The counters to change when the log is rewritten without changing what it says. Only for a bucket that is
    /// [whole](Self::is_whole_at).
    pub(crate) fn rewrite(&mut self) -> &mut Counters {
        &mut self.now
    }

    pub(crate) fn now(&self) -> Counters {
        self.now
    }

    /// Whether a checkpoint at this op id contains all of the log.
    pub(crate) fn is_whole_at(&self, checkpoint_op: u64) -> bool {
        self.last_op <= checkpoint_op
    }

    /// The counters that the newest checkpoint shows.
    pub(crate) fn at(&self, checkpoint_op: u64) -> Counters {
        if self.is_whole_at(checkpoint_op) { self.now } else { self.before }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_bytes(&mut out, self.name.as_bytes());
        for counters in [&self.now, &self.before] {
            put_number(&mut out, counters.ops);
            put_number(&mut out, counters.rows);
            put_number(&mut out, counters.bytes);
            out.extend_from_slice(&counters.checksum.to_le_bytes());
        }
        put_number(&mut out, self.last_op);
        put_number(&mut out, self.dead_after_compaction);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<BucketRecord, Malformed> {
        let mut cursor = Cursor::versioned(bytes, VERSION, "a bucket's record")?;
        let name = cursor.text()?.to_string();
        let now = decode_counters(&mut cursor)?;
        let before = decode_counters(&mut cursor)?;
        let last_op = cursor.number()?;
        let dead_after_compaction = cursor.number()?;
        cursor.end()?;
        Ok(BucketRecord { name, now, before, last_op, dead_after_compaction })
    }
}

fn decode_counters(cursor: &mut Cursor<'_>) -> Result<Counters, Malformed> {
    Ok(Counters {
        ops: cursor.number()?,
        rows: cursor.number()?,
        bytes: cursor.number()?,
        checksum: u32::from_le_bytes(cursor.array()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_stored() {
        let mut record = BucketRecord::new("by_user[\"u1\"]");
        record.grow(7, 0).add_op(100, 5);
        record.grow(9, 7).add_op(50, u32::MAX);
        record.dead_after_compaction = 3;
        // Stores of earlier releases hold these bytes.
        let stored = b"\x01\x0dby_user[\"u1\"]\x02\x00\x96\x01\x04\x00\x00\x00\x01\x00\x64\x05\x00\x00\x00\x09\x03";
        assert_eq!(record.encode(), stored);
        assert_eq!(BucketRecord::decode(stored), Ok(record));
    }

    #[test]
    fn readers_see_the_counters_of_the_checkpoint() {
        let mut record = BucketRecord::new("b");
        record.grow(3, 0).add_op(10, 1);
        record.grow(4, 0).add_op(10, 1);
        assert_eq!(record.at(0).ops, 0);
        assert_eq!(record.at(4).ops, 2);
        // A checkpoint at 5, then two more ops.
        record.grow(6, 5).add_op(10, 1);
        record.grow(8, 5).add_op(10, 1);
        assert_eq!(record.at(5), Counters { ops: 2, rows: 0, bytes: 20, checksum: 2 });
        assert_eq!(record.at(8).ops, 4);
    }
}
