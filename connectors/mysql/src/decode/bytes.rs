//! A reader over bytes that somebody else wrote: every step is checked against the end.

use super::DecodeError;

/// What is left to read of a byte slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a> {
    rest: &'a [u8],
}

macro_rules! fixed_width {
    ($name:ident, $type:ty, $from:ident, $width:literal) => {
        pub(crate) fn $name(&mut self, what: &'static str) -> Result<$type, DecodeError> {
            let (head, rest) = self.rest.split_first_chunk::<$width>().ok_or(DecodeError::Truncated { what })?;
            self.rest = rest;
            Ok(<$type>::$from(*head))
        }
    };
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(head)
    }

    fixed_width!(u8, u8, from_le_bytes, 1);
    fixed_width!(u16, u16, from_le_bytes, 2);
    fixed_width!(u32, u32, from_le_bytes, 4);
    fixed_width!(u64, u64, from_le_bytes, 8);

    /// A little-endian unsigned integer of 1 to 8 bytes.
    pub(crate) fn uint(&mut self, width: usize, what: &'static str) -> Result<u64, DecodeError> {
        Ok(little_endian(self.take(width, what)?))
    }

    /// A big-endian unsigned integer of 1 to 8 bytes.
    pub(crate) fn uint_be(&mut self, width: usize, what: &'static str) -> Result<u64, DecodeError> {
        Ok(big_endian(self.take(width, what)?))
    }

    /// The protocol's integer of one, three, four or nine bytes.
    pub(crate) fn length(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        match self.u8(what)? {
            short @ 0..=250 => Ok(u64::from(short)),
            252 => self.uint(2, what),
            253 => self.uint(3, what),
            254 => self.uint(8, what),
            found => Err(DecodeError::malformed(what, format!("a length that begins with {found}"))),
        }
    }

    /// A length as above and then as many bytes.
    pub(crate) fn with_length(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.length(what)?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX), what)
    }
}

/// Up to eight bytes, the least significant first.
pub(crate) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Up to eight bytes, the most significant first.
pub(crate) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// One bit of a bitmap whose first bit is the lowest of the first byte; absent bits are unset.
pub(crate) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_four_forms_and_no_other() {
        let length = |bytes: &[u8]| Bytes::new(bytes).length("length").ok();
        assert_eq!(length(&[250]), Some(250));
        assert_eq!(length(&[252, 1, 2]), Some(0x201));
        assert_eq!(length(&[253, 1, 2, 3]), Some(0x3_0201));
        assert_eq!(length(&[254, 1, 0, 0, 0, 0, 0, 0, 0]), Some(1));
        assert_eq!(length(&[251]), None);
        assert_eq!(length(&[255]), None);
        assert_eq!(length(&[253, 1, 2]), None);
    }

    #[test]
    fn a_length_beyond_the_end_takes_nothing() {
        let mut bytes = Bytes::new(&[254, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert!(bytes.with_length("text").is_err());
    }
}
