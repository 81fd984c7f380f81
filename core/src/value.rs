//! One value of one row, as every connector delivers it and every sink receives it.

/// A borrowed value.
///
/// Connectors translate their database's types to these five, losslessly: what doesn't fit an `i64` or an `f64`
/// exactly (decimals, unsigned integers over 2^63 - 1) is [`Text`](ValueRef::Text); dates and times are ISO 8601 text.
/// A row read by a query and the same row read from the log must give identical values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// A signed integer of at most 64 bits.
    Int(i64),
    /// An IEEE 754 double.
    Real(f64),
    /// Text in UTF-8.
    Text(&'a str),
    /// Bytes without a character set.
    Blob(&'a [u8]),
}

impl ValueRef<'_> {
    /// Whether this is SQL NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// Appends an encoding that is equal exactly when the values are: no two values share one, and none is a prefix
    /// of another. Used for identities and hashes, never for ordering.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match *self {
            ValueRef::Null => out.push(0),
            ValueRef::Int(value) => {
                out.push(1);
                out.extend_from_slice(&value.to_be_bytes());
            }
            ValueRef::Real(value) => {
                out.push(2);
                out.extend_from_slice(&value.to_bits().to_be_bytes());
            }
            ValueRef::Text(text) => encode_bytes(3, text.as_bytes(), out),
            ValueRef::Blob(bytes) => encode_bytes(4, bytes, out),
        }
    }
}

fn encode_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    // The length goes first, so that no value's encoding is a prefix of another's.
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}
