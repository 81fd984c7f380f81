//! What is stored about each source row: the generation it was last written with, and where its content went.

use crate::key::{BucketId, DefinitionId};
use crate::op::ObjectRef;
use crate::record::{Cursor, Malformed, put_bytes, put_number};

const VERSION: u8 = 2;

/// Stands for an op id where there is none yet; op ids begin at 1.
const STAGED: u64 = 0;
/// The same, and the data is that of the output before: a large row that goes to many buckets is kept once.
const STAGED_LIKE_BEFORE: u64 = 1;

/// One row. Without outputs and lookups it is a tombstone: a row that is gone, or goes nowhere, which a pass on its
/// way must not bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowState<'a> {
    pub(crate) generation: u64,
    pub(crate) outputs: Vec<Output<'a>>,
    pub(crate) lookups: Vec<Lookup<'a>>,
}

/// One object that a row puts into a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Output<'a> {
    pub(crate) bucket: BucketId,
    pub(crate) object_type: &'a str,
    pub(crate) object_id: &'a str,
    pub(crate) content_hash: u64,
    pub(crate) place: Place<'a>,
}

impl<'a> Output<'a> {
    /// What makes it the same object in the same bucket as another, whatever its content.
    pub(crate) fn object_in_bucket(&self) -> (BucketId, &'a str, &'a str) {
        (self.bucket, self.object_type, self.object_id)
    }

    /// Whether both are the same object in the same bucket.
    pub(crate) fn is_same_object(&self, other: &Output<'_>) -> bool {
        self.object_in_bucket() == other.object_in_bucket()
    }
}

impl<'a> Output<'a> {
    /// The object as its ops tell it, the address of the row being given.
    pub(crate) fn object(&self, address: &'a [u8]) -> ObjectRef<'a> {
        let row = match self.place {
            Place::Log { origin: Some(origin), .. } => origin,
            Place::Log { origin: None, .. } | Place::Staged { .. } => address,
        };
        ObjectRef { object_type: self.object_type, object_id: self.object_id, row }
    }
}

/// Where an object's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// In the op log.
    Log {
        /// Put there by the op with this id.
        op_id: u64,
        /// The address of the row that the object has come over from when the table's identity changed; its ops go on
        /// telling that one, so that clients know it again.
        origin: Option<&'a [u8]>,
    },
    /// Here, until the table becomes visible.
    Staged { data: &'a str },
}

/// One entry that a row has in the parameter index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lookup<'a> {
    pub(crate) definition: DefinitionId,
    pub(crate) query: u32,
    pub(crate) lookup: &'a str,
    pub(crate) output: &'a str,
    /// The version that the index has it under; `None` until the table becomes visible.
    pub(crate) op_id: Option<u64>,
}

impl<'a> Lookup<'a> {
    /// What makes it the same entry as another.
    pub(crate) fn entry(&self) -> (DefinitionId, u32, &'a str, &'a str) {
        (self.definition, self.query, self.lookup, self.output)
    }
}

impl<'a> RowState<'a> {
    /// A row that goes nowhere.
    pub(crate) fn tombstone(generation: u64) -> Self {
        Self { generation, outputs: Vec::new(), lookups: Vec::new() }
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        self.outputs.is_empty() && self.lookups.is_empty()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 48 * (self.outputs.len() + self.lookups.len()));
        self.encode_into(&mut out);
        out
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_number(out, self.generation);
        put_number(out, self.outputs.len() as u64);
        let mut data_before = None;
        for output in &self.outputs {
            output.encode_into(data_before, out);
            data_before = output.staged_data();
        }
        put_number(out, self.lookups.len() as u64);
        self.lookups.iter().for_each(|lookup| lookup.encode_into(out));
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<RowState<'a>, Malformed> {
        let mut cursor = Cursor::versioned(bytes, VERSION, "a row's state")?;
        let generation = cursor.number()?;
        // The counts aren't trusted with memory before that many entries have been read.
        let mut outputs: Vec<Output<'a>> = Vec::new();
        for _ in 0..cursor.number()? {
            let data_before = outputs.last().and_then(Output::staged_data);
            outputs.push(Output::decode(data_before, &mut cursor)?);
        }
        let mut lookups = Vec::new();
        for _ in 0..cursor.number()? {
            lookups.push(Lookup::decode(&mut cursor)?);
        }
        cursor.end()?;
        Ok(RowState { generation, outputs, lookups })
    }
}

impl<'a> Output<'a> {
    fn staged_data(&self) -> Option<&'a str> {
        match self.place {
            Place::Staged { data } => Some(data),
            Place::Log { .. } => None,
        }
    }

    /// `data_before` is the data of the output before, if that is staged.
    fn encode_into(&self, data_before: Option<&str>, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.bucket.definition.0));
        put_number(out, u64::from(self.bucket.number));
        put_bytes(out, self.object_type.as_bytes());
        put_bytes(out, self.object_id.as_bytes());
        out.extend_from_slice(&self.content_hash.to_le_bytes());
        match self.place {
            // The lowest bit tells whether an origin follows. Op ids stay below 2^63 for millions of years.
            Place::Log { op_id, origin: None } => put_number(out, op_id << 1),
            Place::Log { op_id, origin: Some(origin) } => {
                put_number(out, op_id << 1 | 1);
                put_bytes(out, origin);
            }
            Place::Staged { data } if data_before == Some(data) => put_number(out, STAGED_LIKE_BEFORE),
            Place::Staged { data } => {
                put_number(out, STAGED);
                put_bytes(out, data.as_bytes());
            }
        }
    }

    fn decode(data_before: Option<&'a str>, cursor: &mut Cursor<'a>) -> Result<Output<'a>, Malformed> {
        let definition = DefinitionId(cursor.number_u32()?);
        let number = cursor.number_u32()?;
        Ok(Output {
            bucket: BucketId { definition, number },
            object_type: cursor.text()?,
            object_id: cursor.text()?,
            content_hash: u64::from_le_bytes(cursor.array()?),
            place: match cursor.number()? {
                STAGED => Place::Staged { data: cursor.text()? },
                STAGED_LIKE_BEFORE => Place::Staged { data: data_before.ok_or(cursor.malformed())? },
                number => {
                    let origin = if number & 1 == 1 { Some(cursor.bytes()?) } else { None };
                    Place::Log { op_id: number >> 1, origin }
                }
            },
        })
    }
}

impl<'a> Lookup<'a> {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.definition.0));
        put_number(out, u64::from(self.query));
        put_bytes(out, self.lookup.as_bytes());
        put_bytes(out, self.output.as_bytes());
        put_number(out, self.op_id.unwrap_or(STAGED));
    }

    fn decode(cursor: &mut Cursor<'a>) -> Result<Lookup<'a>, Malformed> {
        Ok(Lookup {
            definition: DefinitionId(cursor.number_u32()?),
            query: cursor.number_u32()?,
            lookup: cursor.text()?,
            output: cursor.text()?,
            op_id: Some(cursor.number()?).filter(|op_id| *op_id != STAGED),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was_stored() {
        let bucket = BucketId { definition: DefinitionId(3), number: 900 };
        let output = Output {
            bucket,
            object_type: "orders",
            object_id: "7",
            content_hash: u64::MAX - 5,
            place: Place::Log { op_id: 77, origin: None },
        };
        let come_over = Place::Log { op_id: 77, origin: Some(b"row") };
        let staged = Place::Staged { data: "{\"a\":1}" };
        let lookup = Lookup { definition: DefinitionId(1), query: 2, lookup: "[\"u1\"]", output: "{}", op_id: Some(8) };
        let state = RowState {
            generation: 12,
            outputs: [output.place, staged, staged, come_over].map(|place| Output { place, ..output }).to_vec(),
            lookups: vec![lookup, Lookup { op_id: None, ..lookup }],
        };
        let bytes = state.encode();
        assert_eq!(RowState::decode(&bytes), Ok(state));
        for length in 0..bytes.len() {
            assert_eq!(RowState::decode(&bytes[..length]), Err(Malformed("a row's state")), "{length}");
        }
        // Stores of earlier releases hold these bytes.
        let stored = b"\x02\x0c\x04\x03\x84\x07\x06orders\x017\xfa\xff\xff\xff\xff\xff\xff\xff\x9a\x01\
                       \x03\x84\x07\x06orders\x017\xfa\xff\xff\xff\xff\xff\xff\xff\x00\x07{\"a\":1}\
                       \x03\x84\x07\x06orders\x017\xfa\xff\xff\xff\xff\xff\xff\xff\x01\
                       \x03\x84\x07\x06orders\x017\xfa\xff\xff\xff\xff\xff\xff\xff\x9b\x01\x03row\
                       \x02\x01\x02\x06[\"u1\"]\x02{}\x08\x01\x02\x06[\"u1\"]\x02{}\x00";
        assert_eq!(bytes, stored);
        let tombstone = RowState::tombstone(4);
        assert!(RowState::decode(&tombstone.encode()).unwrap().is_tombstone());
    }
}
