//! A client as the protocol asks for it: it folds ops into rows and a checksum, and never looks back.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use millstream_bucket::{BucketChange, BucketReader};

/// Type, id, subkey.
pub type Object = (String, String, String);

/// One client's copy of one bucket.
#[derive(Debug, Clone, Default)]
pub struct Client {
    last_op: u64,
    /// The checksum of everything that has been superseded.
    folded: u32,
    live: BTreeMap<Object, (u32, String)>,
    /// How many ops it has been sent.
    pub ops_seen: u64,
}

impl Client {
    /// Gets what is new in a bucket.
    pub fn sync(&mut self, reader: &BucketReader, bucket: &str) {
        let after = self.last_op;
        reader
            .ops(bucket, after, &mut |op| {
                assert!(op.op_id > self.last_op, "ops come in their order");
                self.last_op = op.op_id;
                self.ops_seen += 1;
                self.apply(op.checksum, op.change);
                ControlFlow::Continue(())
            })
            .unwrap();
    }

    fn apply(&mut self, checksum: u32, change: BucketChange<'_>) {
        match change {
            BucketChange::Put { object_type, object_id, subkey, data } => {
                let object = (object_type.to_string(), object_id.to_string(), subkey);
                if let Some((before, _)) = self.live.insert(object, (checksum, data.to_string())) {
                    self.fold(before);
                }
            }
            BucketChange::Remove { object_type, object_id, subkey } => {
                let object = (object_type.to_string(), object_id.to_string(), subkey);
                if let Some((before, _)) = self.live.remove(&object) {
                    self.fold(before);
                }
                self.fold(checksum);
            }
            BucketChange::Move { .. } => self.fold(checksum),
            BucketChange::Clear { .. } => {
                self.live.clear();
                self.folded = checksum;
            }
        }
    }

    fn fold(&mut self, checksum: u32) {
        self.folded = self.folded.wrapping_add(checksum);
    }

    /// What must equal the bucket's checksum at the checkpoint.
    pub fn checksum(&self) -> u32 {
        self.live.values().fold(self.folded, |sum, (checksum, _)| sum.wrapping_add(*checksum))
    }

    pub fn rows(&self) -> BTreeMap<Object, String> {
        self.live.iter().map(|(object, (_, data))| (object.clone(), data.clone())).collect()
    }
}
