//! MariaDB's compressed columns, whose values the log holds as the table stores them.

use std::io::Read;

use flate2::read::{DeflateDecoder, ZlibDecoder};

use super::DecodeError;
use super::bytes::big_endian;

const VALUE: &str = "a compressed value";
/// The largest packet a server can be set to, which no value exceeds.
const VALUE_BYTES_MAX: u64 = 1 << 30;

/// The value itself; `buffer` holds it if it was compressed.
///
/// The first byte tells: zero for a value left as it is; else zlib in the upper bits, whether the stream lacks its
/// wrapping, and how many bytes follow that tell the original length.
pub(super) fn inflate<'a>(raw: &'a [u8], buffer: &'a mut Vec<u8>) -> Result<&'a [u8], DecodeError> {
    let Some((head, body)) = raw.split_first() else { return Ok(&[]) };
    if *head == 0 {
        return Ok(body);
    }
    if head & 0xf0 != 0x80 {
        return Err(DecodeError::malformed(VALUE, format!("method {}", head >> 4)));
    }
    let length_bytes = usize::from(head & 7);
    let (length, stream) = body.split_at_checked(length_bytes).ok_or(DecodeError::Truncated { what: VALUE })?;
    let length = big_endian(length);
    if length > VALUE_BYTES_MAX {
        return Err(DecodeError::malformed(VALUE, format!("{length} bytes")));
    }
    buffer.clear();
    // The buffer grows with what comes out, not by the length that is claimed.
    let outcome = if head & 8 == 0 {
        ZlibDecoder::new(stream).take(length + 1).read_to_end(buffer)
    } else {
        DeflateDecoder::new(stream).take(length + 1).read_to_end(buffer)
    };
    match outcome {
        Ok(written) if written as u64 == length => Ok(buffer),
        Ok(_) => Err(DecodeError::malformed(VALUE, "another length than it claims")),
        Err(error) => Err(DecodeError::malformed(VALUE, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn compressed(text: &[u8], claimed: u8) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(vec![0x81, claimed], Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn values_come_back_whole() {
        let text = [b'x'; 200];
        assert_eq!(inflate(&compressed(&text, 200), &mut Vec::new()).unwrap(), text);
        assert_eq!(inflate(b"\0short", &mut Vec::new()).unwrap(), b"short");
        assert_eq!(inflate(b"", &mut Vec::new()).unwrap(), b"");
    }

    #[test]
    fn wrong_lengths_and_streams_are_refused() {
        let text = [b'x'; 200];
        for raw in [compressed(&text, 199), compressed(&text, 201), vec![0x81], vec![0x81, 5, 1, 2], vec![0x10, 1]] {
            assert!(inflate(&raw, &mut Vec::new()).is_err());
        }
        assert!(inflate(&[0x87, 255, 255, 255, 255, 255, 255, 255], &mut Vec::new()).is_err());
    }
}
