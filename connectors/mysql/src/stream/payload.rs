//! Compressed parts of the log: whole transactions (MySQL), single events (MariaDB).

use std::io::Read;

use mysql_common::binlog::events::BinlogEventHeader;
use mysql_common::io::ParseBuf;

use super::event::{RawEvent, kind};
use crate::decode::DecodeError;
use crate::decode::bytes::Bytes;

/// The largest event that a server sends (`max_allowed_packet` ends there) and the fixed parts around it.
const EVENT_BYTES_MAX: u64 = (1 << 30) + (1 << 20);

const WHAT: &str = "a compressed transaction";

/// The events of one compressed transaction, decompressed one after the other: memory holds one of them, and what the
/// server says of the size of the whole isn't relied on.
pub(super) struct Payload<'a> {
    reader: Box<dyn Read + Send + 'a>,
}

impl<'a> Payload<'a> {
    const END: u64 = 0;
    const SIZE: u64 = 1;
    const COMPRESSION: u64 = 2;
    const ZSTD: u64 = 0;
    const NONE: u64 = 255;

    pub(super) fn open(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut bytes = Bytes::new(body);
        let (mut size, mut compression) = (None, Self::ZSTD);
        loop {
            match bytes.length(WHAT)? {
                Self::END => break,
                field => {
                    let mut value = Bytes::new(bytes.with_length(WHAT)?);
                    match field {
                        Self::SIZE => size = Some(value.length(WHAT)?),
                        Self::COMPRESSION => compression = value.length(WHAT)?,
                        _ => {}
                    }
                }
            }
        }
        if size.is_some_and(|size| size != bytes.len() as u64) {
            return Err(DecodeError::malformed(WHAT, "another length than it says"));
        }
        let reader: Box<dyn Read + Send> = match compression {
            Self::ZSTD => {
                let reader = zstd::stream::read::Decoder::with_buffer(bytes.rest());
                Box::new(reader.map_err(|error| DecodeError::malformed(WHAT, error.to_string()))?)
            }
            Self::NONE => Box::new(bytes.rest()),
            other => return Err(DecodeError::malformed(WHAT, format!("compression number {other}"))),
        };
        Ok(Self { reader })
    }

    /// The next event; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<RawEvent>, DecodeError> {
        let header_bytes = self.read(BinlogEventHeader::LEN as u64)?;
        if header_bytes.is_empty() {
            return Ok(None);
        }
        if header_bytes.len() < BinlogEventHeader::LEN {
            return Err(DecodeError::Truncated { what: WHAT });
        }
        let header: BinlogEventHeader = ParseBuf(&header_bytes)
            .parse(())
            .map_err(|error: std::io::Error| DecodeError::malformed(WHAT, error.to_string()))?;
        let size = u64::from(header.event_size());
        let body_size = size.checked_sub(BinlogEventHeader::LEN as u64).filter(|_| size <= EVENT_BYTES_MAX);
        let body_size = body_size.ok_or_else(|| DecodeError::malformed(WHAT, format!("an event of {size} bytes")))?;
        let body = self.read(body_size)?;
        if body.len() as u64 != body_size {
            return Err(DecodeError::Truncated { what: WHAT });
        }
        Ok(Some(RawEvent { header, body }))
    }

    /// As many bytes, fewer only at the end. Memory grows with what is there, not with what was announced.
    fn read(&mut self, count: u64) -> Result<Vec<u8>, DecodeError> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(count).read_to_end(&mut bytes);
        read.map_err(|error| DecodeError::malformed(WHAT, error.to_string()))?;
        Ok(bytes)
    }
}

/// MariaDB's compressed statement: everything up to the text is plain.
pub(super) fn inflate_query(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    const WHAT: &str = "a compressed statement";
    let mut bytes = Bytes::new(body);
    bytes.take(8, WHAT)?;
    let database_bytes = usize::from(bytes.u8(WHAT)?);
    bytes.take(2, WHAT)?;
    let status_bytes = usize::from(bytes.u16(WHAT)?);
    bytes.take(status_bytes + database_bytes + 1, WHAT)?;
    inflate(body, bytes, WHAT)
}

/// MariaDB's compressed rows: everything up to the rows is plain. Also the kind of the plain event.
pub(super) fn inflate_rows(compressed_kind: u8, body: &[u8]) -> Result<(u8, Vec<u8>), DecodeError> {
    const WHAT: &str = "compressed rows";
    const FIRST_V2: u8 = 169;
    let mut bytes = Bytes::new(body);
    bytes.take(8, WHAT)?;
    let place = compressed_kind - kind::MARIADB_WRITE_ROWS_COMPRESSED_V1;
    let plain_kind = match compressed_kind {
        FIRST_V2.. => {
            let extra_bytes = usize::from(bytes.u16(WHAT)?);
            bytes.take(extra_bytes.saturating_sub(2), WHAT)?;
            kind::WRITE_ROWS + (compressed_kind - FIRST_V2)
        }
        _ => kind::WRITE_ROWS_V1 + place,
    };
    let columns = usize::try_from(bytes.length(WHAT)?).unwrap_or(usize::MAX);
    let images = if plain_kind == kind::WRITE_ROWS_V1 + 1 || plain_kind == kind::WRITE_ROWS + 1 { 2 } else { 1 };
    bytes.take(columns.div_ceil(8).saturating_mul(images), WHAT)?;
    Ok((plain_kind, inflate(body, bytes, WHAT)?))
}

/// `body` with what is left in `bytes` replaced by what it decompresses to. A byte with the algorithm (zlib is the
/// only one) and the width of the length, the length, the data.
fn inflate(body: &[u8], mut bytes: Bytes<'_>, what: &'static str) -> Result<Vec<u8>, DecodeError> {
    const ZLIB: u8 = 0;
    let plain = body.len() - bytes.len();
    let head = bytes.u8(what)?;
    let (algorithm, width) = ((head & 0x70) >> 4, usize::from(head & 0x07));
    if algorithm != ZLIB || !(1..=4).contains(&width) {
        return Err(DecodeError::malformed(what, format!("a head of {head:#04x}")));
    }
    let size = bytes.uint_be(width, what)?;
    if size > EVENT_BYTES_MAX {
        return Err(DecodeError::malformed(what, format!("a size of {size} bytes")));
    }
    let mut whole = body.get(..plain).unwrap_or_default().to_vec();
    let mut reader = flate2::read::ZlibDecoder::new(bytes.rest()).take(size.saturating_add(1));
    let read = reader.read_to_end(&mut whole).map_err(|error| DecodeError::malformed(what, error.to_string()))?;
    if read as u64 != size {
        return Err(DecodeError::malformed(what, "another size than it says"));
    }
    Ok(whole)
}
