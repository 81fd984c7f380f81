//! The entries of op logs: what clients download, in order, and fold into rows and a checksum.

use xxhash_rust::xxh3::xxh3_64;

use crate::record::{Cursor, Malformed, put_bytes, put_number};

const VERSION: u8 = 1;

const PUT: u8 = 1;
const REMOVE: u8 = 2;
const MOVE: u8 = 3;
const CLEAR: u8 = 4;

/// One op, without its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Op<'a> {
    /// What clients add to the bucket's checksum.
    pub(crate) checksum: u32,
    pub(crate) kind: OpKind<'a>,
}

/// What an op does to a client's copy of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpKind<'a> {
    /// The object has this content now.
    Put { object: ObjectRef<'a>, data: &'a str },
    /// The object is gone.
    Remove { object: ObjectRef<'a> },
    /// Nothing but its checksum is left of an op that a later one, at or before `target`, has replaced.
    Move { target: u64 },
    /// The client starts over with this op's checksum; replaces all ops before it, whose last target is `target`.
    Clear { target: u64 },
}

/// What an op is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectRef<'a> {
    pub(crate) object_type: &'a str,
    pub(crate) object_id: &'a str,
    /// The address of the source row that it came from: two rows may give objects of the same type and id, which
    /// clients tell apart by the [`subkey`](ObjectRef::subkey) made of this. Of an object that has come over to another
    /// row it stays that of the first.
    pub(crate) row: &'a [u8],
}

impl<'a> Op<'a> {
    /// An op that puts. Its checksum is the lower half of the content's hash.
    pub(crate) fn put(object: ObjectRef<'a>, data: &'a str, content_hash: u64) -> Op<'a> {
        Op { checksum: content_hash as u32, kind: OpKind::Put { object, data } }
    }

    /// An op that removes. Its checksum is a hash of the object.
    pub(crate) fn remove(object: ObjectRef<'a>) -> Op<'a> {
        let mut content = vec![REMOVE];
        object.encode_into(&mut content);
        Op { checksum: xxh3_64(&content) as u32, kind: OpKind::Remove { object } }
    }

    /// Appends the stored form: version, kind, checksum, then what the kind needs.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            OpKind::Put { .. } => PUT,
            OpKind::Remove { .. } => REMOVE,
            OpKind::Move { .. } => MOVE,
            OpKind::Clear { .. } => CLEAR,
        };
        out.extend_from_slice(&[VERSION, kind]);
        out.extend_from_slice(&self.checksum.to_le_bytes());
        match self.kind {
            OpKind::Put { object, data } => {
                object.encode_into(out);
                out.extend_from_slice(data.as_bytes());
            }
            OpKind::Remove { object } => object.encode_into(out),
            OpKind::Move { target } | OpKind::Clear { target } => put_number(out, target),
        }
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Op<'a>, Malformed> {
        let mut cursor = Cursor::versioned(bytes, VERSION, "an op")?;
        let kind = cursor.byte()?;
        let checksum = u32::from_le_bytes(cursor.array()?);
        let kind = match kind {
            PUT => {
                let object = ObjectRef::decode(&mut cursor)?;
                let data = std::str::from_utf8(cursor.rest()).map_err(|_| cursor.malformed())?;
                OpKind::Put { object, data }
            }
            REMOVE => OpKind::Remove { object: ObjectRef::decode(&mut cursor)? },
            MOVE => OpKind::Move { target: cursor.number()? },
            CLEAR => OpKind::Clear { target: cursor.number()? },
            _ => return Err(cursor.malformed()),
        };
        cursor.end()?;
        Ok(Op { checksum, kind })
    }
}

impl<'a> ObjectRef<'a> {
    /// Appends an encoding that no other object has.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.object_type.as_bytes());
        put_bytes(out, self.object_id.as_bytes());
        put_bytes(out, self.row);
    }

    fn decode(cursor: &mut Cursor<'a>) -> Result<ObjectRef<'a>, Malformed> {
        Ok(ObjectRef { object_type: cursor.text()?, object_id: cursor.text()?, row: cursor.bytes()? })
    }

    /// The text by which clients tell objects of the same type and id apart: 16 hexadecimal digits that stay the same
    /// for an object as long as it is in the bucket.
    pub(crate) fn subkey(&self) -> String {
        format!("{:016x}", xxh3_64(self.row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: ObjectRef<'static> = ObjectRef { object_type: "orders", object_id: "7", row: &[0, 1, 2] };

    #[test]
    fn ops_come_back_as_they_were_stored() {
        let ops = [
            Op::put(OBJECT, r#"{"id":7}"#, 0x1234_5678_9abc_def0),
            Op::remove(OBJECT),
            Op { checksum: 1, kind: OpKind::Move { target: 300 } },
            Op { checksum: u32::MAX, kind: OpKind::Clear { target: 0 } },
        ];
        for op in ops {
            let mut bytes = Vec::new();
            op.encode_into(&mut bytes);
            assert_eq!(Op::decode(&bytes), Ok(op));
            assert!(Op::decode(&bytes[..5]).is_err());
        }
        assert_eq!(ops[0].checksum, 0x9abc_def0);
    }

    /// Clients hold these numbers: a change of the functions makes every one of them download everything again.
    #[test]
    fn checksums_are_fixed() {
        assert_eq!(Op::remove(OBJECT).checksum, 2_456_643_675);
        assert_eq!(OBJECT.subkey(), "5f4299fc161c9cbb");
    }

    /// Stores of earlier releases hold these bytes.
    #[test]
    fn the_stored_form_is_fixed() {
        let mut bytes = Vec::new();
        Op::put(OBJECT, "{}", 0x1234_5678).encode_into(&mut bytes);
        assert_eq!(bytes, b"\x01\x01\x78\x56\x34\x12\x06orders\x017\x03\x00\x01\x02{}");
        bytes.clear();
        Op { checksum: 2, kind: OpKind::Clear { target: 300 } }.encode_into(&mut bytes);
        assert_eq!(bytes, b"\x01\x04\x02\x00\x00\x00\xac\x02");
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let mut bytes = Vec::new();
        Op::remove(OBJECT).encode_into(&mut bytes);
        bytes[0] = 2;
        assert_eq!(Op::decode(&bytes), Err(Malformed("an op")));
    }
}
