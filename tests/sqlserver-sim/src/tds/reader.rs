//! Reading what a client sent, field by field, from bytes that may be wrong in any way.

use thiserror::Error;

/// What a client sent can't be understood.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ProtocolError {
    #[error("the message ends within {0}")]
    Truncated(&'static str),
    #[error("{what} can't be {value:#x}")]
    Invalid { what: &'static str, value: u64 },
    #[error("{what} has {bytes} bytes, more than {bytes_max}")]
    TooLarge { what: &'static str, bytes: u64, bytes_max: u64 },
    #[error("{0} isn't supported")]
    Unsupported(&'static str),
}

/// The unread rest of a message. Nothing is allocated for a length that a client claims before that many bytes are
/// known to be there.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub fn bytes(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], ProtocolError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(ProtocolError::Truncated(what))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ProtocolError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(ProtocolError::Truncated(what))?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte, left where it is.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, ProtocolError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub fn u16(&mut self, what: &'static str) -> Result<u16, ProtocolError> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub fn i16(&mut self, what: &'static str) -> Result<i16, ProtocolError> {
        self.array(what).map(i16::from_le_bytes)
    }

    pub fn u16_big_endian(&mut self, what: &'static str) -> Result<u16, ProtocolError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, ProtocolError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub fn i32(&mut self, what: &'static str) -> Result<i32, ProtocolError> {
        self.array(what).map(i32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64, ProtocolError> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub fn i64(&mut self, what: &'static str) -> Result<i64, ProtocolError> {
        self.array(what).map(i64::from_le_bytes)
    }

    /// A text of so many UTF-16 code units.
    pub fn text(&mut self, units: usize, what: &'static str) -> Result<String, ProtocolError> {
        let bytes = units.checked_mul(2).ok_or(ProtocolError::Truncated(what))?;
        self.bytes(bytes, what).map(text_of_utf16)
    }

    /// A text with its length in code units in one byte before it.
    pub fn short_text(&mut self, what: &'static str) -> Result<String, ProtocolError> {
        let units = self.u8(what)?;
        self.text(usize::from(units), what)
    }

    /// A text with its length in code units in two bytes before it.
    pub fn medium_text(&mut self, what: &'static str) -> Result<String, ProtocolError> {
        let units = self.u16(what)?;
        self.text(usize::from(units), what)
    }
}

/// The text of UTF-16 bytes; what isn't a character becomes U+FFFD, and a last odd byte is dropped.
pub fn text_of_utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| match pair {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// The bytes of a text in UTF-16.
pub fn utf16_of_text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 2);
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_order_and_the_end_is_noticed() {
        let mut reader = Reader::new(&[1, 2, 0, 0, 3, 1, b'a', 0]);
        assert_eq!(reader.u8("a"), Ok(1));
        assert_eq!(reader.u16("b"), Ok(2));
        assert_eq!(reader.u16_big_endian("c"), Ok(3));
        assert_eq!(reader.short_text("d"), Ok("a".to_owned()));
        assert!(reader.is_empty());
        assert_eq!(reader.u8("e"), Err(ProtocolError::Truncated("e")));
    }

    #[test]
    fn a_claimed_length_beyond_the_end_is_refused() {
        assert_eq!(Reader::new(&[0xff, 0xff, 1]).medium_text("name"), Err(ProtocolError::Truncated("name")));
        assert_eq!(Reader::new(&[]).text(usize::MAX, "name"), Err(ProtocolError::Truncated("name")));
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        assert_eq!(text_of_utf16(&[0x3d, 0xd8]), "\u{fffd}");
        assert_eq!(text_of_utf16(&utf16_of_text("ä😀")), "ä😀");
    }
}
