//! The bytes of stored records: numbers of variable length and byte strings with their length in front.

use millstream_core::error::SinkError;

/// Appends a number in 1 to 10 bytes, seven bits a byte, lowest first.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // Seven bits and the sign that more follow.
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a byte string with its length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A stored record can't be read. Whoever asked for it says which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl From<Malformed> for SinkError {
    fn from(malformed: Malformed) -> SinkError {
        SinkError::new(
            format!("The bucket store holds {} that can't be read", malformed.0),
            "Check the disk, and restore the store's directory from a back-up, or move it away and start again: the \
             buckets are then filled from the source again",
        )
    }
}

/// What is left of a record that is being read. `what` names it in errors.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// A record that begins with the version that this release writes.
    pub(crate) fn versioned(bytes: &'a [u8], version: u8, what: &'static str) -> Result<Self, Malformed> {
        let mut cursor = Self::new(bytes, what);
        if cursor.byte()? == version { Ok(cursor) } else { Err(cursor.malformed()) }
    }

    pub(crate) fn malformed(&self) -> Malformed {
        Malformed(self.what)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.malformed())
    }

    pub(crate) fn number_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| self.malformed())
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| self.malformed())?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.malformed())
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Says that nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_back() {
        let mut out = Vec::new();
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        numbers.iter().for_each(|number| put_number(&mut out, *number));
        put_bytes(&mut out, b"text");
        let mut cursor = Cursor::new(&out, "a record");
        for number in numbers {
            assert_eq!(cursor.number(), Ok(number));
        }
        assert_eq!(cursor.text(), Ok("text"));
        assert_eq!(cursor.end(), Ok(()));
        assert_eq!(cursor.byte(), Err(Malformed("a record")));
    }

    #[test]
    fn a_number_without_an_end_is_malformed() {
        assert_eq!(Cursor::new(&[0xff; 11], "a number").number(), Err(Malformed("a number")));
    }
}
