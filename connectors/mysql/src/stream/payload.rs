//! Compressed parts of the log: whole transactions (MySQL), single events (MariaDB).

use std::io::Read;

use mysql_common::binlog::events::BinlogEventHeader;
use mysql_common::io::ParseBuf;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::event::{RawEvent, kind};
use crate::decode::DecodeError;
use crate::decode::bytes::Bytes;

/// The largest event that a server sends (`max_allowed_packet` ends there) and the fixed parts around it.
const EVENT_BYTES_MAX: u64 = (1 << 30) + (1 << 20);

const WHAT: &str = "a compressed transaction";

/// The fields before a compressed transaction's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PayloadHead {
    size_bytes: Option<u64>,
    compression: u64,
}

impl PayloadHead {
    const END: u64 = 0;
    const SIZE: u64 = 1;
    const COMPRESSION: u64 = 2;
    const ZSTD: u64 = 0;
    const NONE: u64 = 255;
    /// Three fields of at most three numbers, and the mark at their end.
    const BYTES_MAX: usize = 64;

    /// `None` if more bytes are needed.
    pub(super) fn parse(fields: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut head = Self { size_bytes: None, compression: Self::ZSTD };
        match head.read(Bytes::new(fields)) {
            Ok(()) => Ok(Some(head)),
            Err(DecodeError::Truncated { .. }) if fields.len() < Self::BYTES_MAX => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, mut bytes: Bytes<'_>) -> Result<(), DecodeError> {
        loop {
            match bytes.length(WHAT)? {
                Self::END => return Ok(()),
                field => {
                    let mut value = Bytes::new(bytes.with_length(WHAT)?);
                    match field {
                        Self::SIZE => self.size_bytes = Some(value.length(WHAT)?),
                        Self::COMPRESSION => self.compression = value.length(WHAT)?,
                        // What the server says of the size of the whole isn't relied on.
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Takes a compressed transaction's data piece by piece and gives the events within, one by one. Memory holds one
/// piece and one event.
pub(super) struct Decompressor {
    /// `None` for data that isn't compressed.
    decoder: Option<Decoder<'static>>,
    piece: Vec<u8>,
    taken: usize,
    /// What there is of the next event.
    event: Vec<u8>,
    scratch: Vec<u8>,
    /// Whether a compressed frame has begun and not ended.
    in_frame: bool,
}

impl Decompressor {
    const SCRATCH_BYTES: usize = 64 << 10;

    /// `size_bytes` is how many bytes of data there are.
    pub(super) fn new(head: PayloadHead, size_bytes: usize) -> Result<Self, DecodeError> {
        if head.size_bytes.is_some_and(|size| size != size_bytes as u64) {
            return Err(DecodeError::malformed(WHAT, "another length than it says"));
        }
        let decoder = match head.compression {
            PayloadHead::ZSTD => Some(Decoder::new().map_err(failed)?),
            PayloadHead::NONE => None,
            other => return Err(DecodeError::malformed(WHAT, format!("compression number {other}"))),
        };
        let scratch = vec![0; Self::SCRATCH_BYTES];
        Ok(Self { decoder, piece: Vec::new(), taken: 0, event: Vec::new(), scratch, in_frame: false })
    }

    /// The next piece of the data. The piece before has been used up: `next` has said that there is nothing more.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        self.piece.clear();
        self.piece.extend_from_slice(piece);
        self.taken = 0;
    }

    /// The next event; `None` if more data is needed.
    pub(super) fn next(&mut self) -> Result<Option<RawEvent>, DecodeError> {
        loop {
            let wanted = match self.header()? {
                None => BinlogEventHeader::LEN,
                Some(header) => {
                    let size = header.event_size();
                    let possible = u64::from(size) <= EVENT_BYTES_MAX && size as usize >= BinlogEventHeader::LEN;
                    if !possible {
                        return Err(DecodeError::malformed(WHAT, format!("an event of {size} bytes")));
                    }
                    if self.event.len() == size as usize {
                        let mut body = std::mem::take(&mut self.event);
                        body.drain(..BinlogEventHeader::LEN);
                        return Ok(Some(RawEvent { header, body, inner: true }));
                    }
                    size as usize
                }
            };
            if !self.grow(wanted)? {
                return Ok(None);
            }
        }
    }

    /// Checks that nothing is left over.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        match self.event.is_empty() && !self.in_frame {
            true => Ok(()),
            false => Err(DecodeError::Truncated { what: WHAT }),
        }
    }

    fn header(&self) -> Result<Option<BinlogEventHeader>, DecodeError> {
        let Some(bytes) = self.event.get(..BinlogEventHeader::LEN) else { return Ok(None) };
        ParseBuf(bytes).parse(()).map(Some).map_err(failed)
    }

    /// Brings the event nearer to this size; says no if that takes more data.
    fn grow(&mut self, wanted: usize) -> Result<bool, DecodeError> {
        let room = (wanted - self.event.len()).min(self.scratch.len());
        let data = self.piece.get(self.taken..).unwrap_or_default();
        let Some(decoder) = &mut self.decoder else {
            let copied = data.get(..room).unwrap_or(data);
            self.event.extend_from_slice(copied);
            self.taken += copied.len();
            return Ok(!copied.is_empty());
        };
        if data.is_empty() && !self.in_frame {
            // To ask the decoder for more would begin another frame.
            return Ok(false);
        }
        let scratch = self.scratch.get_mut(..room).unwrap_or_default();
        let mut input = InBuffer::around(data);
        let mut output = OutBuffer::around(scratch);
        let hint = decoder.run(&mut input, &mut output).map_err(failed)?;
        self.in_frame = hint != 0;
        self.taken += input.pos();
        let filled = output.as_slice();
        self.event.extend_from_slice(filled);
        // An output that isn't full means that the decoder holds nothing back.
        Ok(filled.len() == room || self.taken < self.piece.len())
    }
}

fn failed(error: std::io::Error) -> DecodeError {
    DecodeError::malformed(WHAT, error.to_string())
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

#[cfg(test)]
mod tests {
    use mysql_common::binlog::consts::{EventFlags, EventType};
    use mysql_common::proto::MySerialize;
    use proptest::prelude::*;

    use super::*;

    fn event(body: &[u8]) -> Vec<u8> {
        let size = (BinlogEventHeader::LEN + body.len()) as u32;
        let header = BinlogEventHeader::new(0, EventType::QUERY_EVENT, 1, size, 0, EventFlags::empty());
        let mut bytes = Vec::new();
        header.serialize(&mut bytes);
        bytes.extend_from_slice(body);
        bytes
    }

    fn bodies(data: &[u8], compression: u64, piece_bytes: usize) -> Result<Vec<Vec<u8>>, DecodeError> {
        let head = PayloadHead { size_bytes: None, compression };
        let mut decompressor = Decompressor::new(head, data.len())?;
        let mut bodies = Vec::new();
        for piece in data.chunks(piece_bytes) {
            decompressor.feed(piece);
            while let Some(event) = decompressor.next()? {
                bodies.push(event.body);
            }
        }
        decompressor.end()?;
        Ok(bodies)
    }

    #[test]
    fn the_end_of_a_frame_begins_no_other() {
        let plain = event(&[]);
        let compressed = zstd::encode_all(plain.as_slice(), 3).unwrap();
        assert_eq!(bodies(&compressed, PayloadHead::ZSTD, 1).unwrap(), [Vec::<u8>::new()]);
    }

    proptest! {
        // A failing case becomes a plain test above, so none is kept in a file.
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn events_come_out_whole_whatever_the_pieces(
            sizes in prop::collection::vec(0..200_000_usize, 0..8),
            piece_bytes in 1..5_000_usize,
            byte: u8,
        ) {
            let expected: Vec<Vec<u8>> =
                sizes.iter().map(|size| (0..*size).map(|at| (at / 7) as u8 ^ byte).collect()).collect();
            let plain: Vec<u8> = expected.iter().flat_map(|body| event(body)).collect();
            let compressed = zstd::encode_all(plain.as_slice(), 3).unwrap();
            prop_assert_eq!(&bodies(&compressed, PayloadHead::ZSTD, piece_bytes).unwrap(), &expected);
            prop_assert_eq!(&bodies(&plain, PayloadHead::NONE, piece_bytes).unwrap(), &expected);
            if !plain.is_empty() {
                let cut = compressed.len() - 1;
                prop_assert!(bodies(&compressed[..cut], PayloadHead::ZSTD, piece_bytes).is_err());
                prop_assert!(bodies(&plain[..plain.len() - 1], PayloadHead::NONE, piece_bytes).is_err());
            }
        }

        #[test]
        fn no_bytes_make_the_reader_fail_otherwise_than_by_an_error(data: Vec<u8>, piece_bytes in 1..9_usize) {
            let _either = bodies(&data, PayloadHead::ZSTD, piece_bytes);
            let _either = bodies(&data, PayloadHead::NONE, piece_bytes);
            let _either = PayloadHead::parse(&data);
            let _either = inflate_query(&data);
            let _either = inflate_rows(kind::MARIADB_WRITE_ROWS_COMPRESSED_V1, &data);
        }
    }
}
