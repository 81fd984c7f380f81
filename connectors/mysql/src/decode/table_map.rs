//! The event that tells which columns the rows after it have.

use super::DecodeError;
use super::bytes::{Bytes, bit};
use super::metadata::Metadata;
use crate::version::Flavor;

const TABLE_MAP: &str = "a table map";

/// A table's name and number in the log: all that is needed to see whether the rest matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableMapHead<'a> {
    /// The number by which rows events refer to this map until the next of the same number.
    pub(crate) table_id: u64,
    /// The database.
    pub(crate) schema: &'a str,
    /// The table.
    pub(crate) table: &'a str,
}

/// A table map event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableMap {
    /// The number by which rows events refer to this map until the next of the same number.
    pub(crate) table_id: u64,
    /// The database.
    pub(crate) schema: String,
    /// The table.
    pub(crate) table: String,
    /// The columns in order, hidden ones included.
    pub(crate) columns: Vec<MapColumn>,
    /// Indexes of the columns of the key that the server identifies rows by, where the map tells them: the primary
    /// key, or a unique key that it uses instead.
    pub(crate) primary_key: Option<Vec<usize>>,
    /// Whether the map tells more than types. Servers do so since MySQL 8.0 and MariaDB 10.5.
    pub(crate) has_metadata: bool,
}

/// What a table map tells of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MapColumn {
    /// How rows hold its values.
    pub(crate) wire: WireType,
    /// Whether it may be NULL.
    pub(crate) nullable: bool,
    /// Whether it is unsigned; for numbers, where the map tells.
    pub(crate) unsigned: Option<bool>,
    /// The number of its collation; for texts and labels, where the map tells.
    pub(crate) collation: Option<u64>,
    /// Its name, where the map tells.
    pub(crate) name: Option<String>,
    /// The labels of an ENUM or SET as bytes in its character set, where the map tells.
    pub(crate) labels: Option<Vec<Vec<u8>>>,
}

/// How rows hold a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    /// An integer of as many bytes.
    Int {
        bytes: u8,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Year,
    Date,
    /// Before MySQL 5.6, and MariaDB's old format.
    OldTime,
    OldDateTime,
    OldTimestamp,
    Time {
        fraction: u8,
    },
    DateTime {
        fraction: u8,
    },
    Timestamp {
        fraction: u8,
    },
    Bit {
        bits: u16,
    },
    /// CHAR or BINARY of at most so many bytes; also MariaDB's UUID and INET types.
    String {
        bytes: u16,
    },
    VarChar {
        bytes: u16,
        compressed: bool,
    },
    /// Texts and blobs, preceded by a length of so many bytes.
    Blob {
        length_bytes: u8,
        compressed: bool,
    },
    Json {
        length_bytes: u8,
    },
    Geometry {
        length_bytes: u8,
    },
    Vector {
        length_bytes: u8,
    },
    Enum {
        bytes: u8,
    },
    Set {
        bytes: u8,
    },
}

impl<'a> TableMapHead<'a> {
    /// Reads the beginning of an event's body (what follows its header, without the checksum).
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::read(&mut Bytes::new(body))
    }

    fn read(bytes: &mut Bytes<'a>) -> Result<Self, DecodeError> {
        let table_id = bytes.uint(6, TABLE_MAP)?;
        let _flags = bytes.u16(TABLE_MAP)?;
        let mut name = || {
            let length = bytes.u8(TABLE_MAP)?;
            let name = bytes.take(usize::from(length), TABLE_MAP)?;
            let _closing_zero = bytes.u8(TABLE_MAP)?;
            str::from_utf8(name).map_err(|_| DecodeError::malformed(TABLE_MAP, "a name that isn't UTF-8"))
        };
        Ok(Self { table_id, schema: name()?, table: name()? })
    }
}

impl TableMap {
    /// Reads an event's body (what follows its header, without the checksum).
    pub(crate) fn parse(flavor: Flavor, body: &[u8]) -> Result<TableMap, DecodeError> {
        let mut bytes = Bytes::new(body);
        let head = TableMapHead::read(&mut bytes)?;
        let types = bytes.with_length(TABLE_MAP)?;
        let mut type_metadata = Bytes::new(bytes.with_length(TABLE_MAP)?);
        let nullable = bytes.take(types.len().div_ceil(8), TABLE_MAP)?;
        let wires =
            types.iter().map(|code| WireType::read(*code, &mut type_metadata)).collect::<Result<Vec<_>, _>>()?;
        let has_metadata = !bytes.is_empty();
        let mut metadata = Metadata::parse(flavor, bytes.rest(), &wires)?;
        let primary_key = metadata.primary_key.take();
        let columns = wires.into_iter().enumerate().map(|(index, wire)| MapColumn {
            wire,
            nullable: bit(nullable, index),
            unsigned: metadata.unsigned.get(index).copied().flatten(),
            collation: metadata.collations.get(index).copied().flatten(),
            name: metadata.names.get_mut(index).map(std::mem::take),
            labels: metadata.labels.get_mut(index).and_then(Option::take),
        });
        Ok(TableMap {
            table_id: head.table_id,
            schema: head.schema.to_owned(),
            table: head.table.to_owned(),
            columns: columns.collect(),
            primary_key,
            has_metadata,
        })
    }
}

impl WireType {
    /// From the type's code and the bytes that describe it further.
    fn read(code: u8, metadata: &mut Bytes<'_>) -> Result<WireType, DecodeError> {
        Ok(match code {
            1 => WireType::Int { bytes: 1 },
            2 => WireType::Int { bytes: 2 },
            3 => WireType::Int { bytes: 4 },
            4 => {
                metadata.u8(TABLE_MAP)?;
                WireType::Float
            }
            5 => {
                metadata.u8(TABLE_MAP)?;
                WireType::Double
            }
            7 => WireType::OldTimestamp,
            8 => WireType::Int { bytes: 8 },
            9 => WireType::Int { bytes: 3 },
            // The second is its number within the server, which no log should have.
            10 | 14 => WireType::Date,
            11 => WireType::OldTime,
            12 => WireType::OldDateTime,
            13 => WireType::Year,
            15 => WireType::VarChar { bytes: metadata.u16(TABLE_MAP)?, compressed: false },
            16 => {
                let (odd_bits, bytes) = (metadata.u8(TABLE_MAP)?, metadata.u8(TABLE_MAP)?);
                WireType::Bit { bits: u16::from(bytes) * 8 + u16::from(odd_bits) }
            }
            17 => WireType::Timestamp { fraction: fraction(metadata)? },
            18 => WireType::DateTime { fraction: fraction(metadata)? },
            19 => WireType::Time { fraction: fraction(metadata)? },
            140 => WireType::Blob { length_bytes: length_bytes(metadata)?, compressed: true },
            141 => WireType::VarChar { bytes: metadata.u16(TABLE_MAP)?, compressed: true },
            242 => WireType::Vector { length_bytes: length_bytes(metadata)? },
            245 => WireType::Json { length_bytes: length_bytes(metadata)? },
            246 => WireType::Decimal { precision: metadata.u8(TABLE_MAP)?, scale: metadata.u8(TABLE_MAP)? },
            252 => WireType::Blob { length_bytes: length_bytes(metadata)?, compressed: false },
            254 => string(metadata.u8(TABLE_MAP)?, metadata.u8(TABLE_MAP)?)?,
            255 => WireType::Geometry { length_bytes: length_bytes(metadata)? },
            other => return Err(DecodeError::malformed(TABLE_MAP, format!("column type {other}"))),
        })
    }
}

/// The code 254 stands for three types. ENUM and SET name themselves in the first byte; of CHAR and BINARY it holds
/// the two upper bits of the length, flipped, as older servers knew lengths of one byte only.
fn string(first: u8, second: u8) -> Result<WireType, DecodeError> {
    match (first, second) {
        (247, 1 | 2) => Ok(WireType::Enum { bytes: second }),
        (248, 1..=8) => Ok(WireType::Set { bytes: second }),
        (247 | 248, _) => Err(DecodeError::malformed(TABLE_MAP, format!("labels of {second} bytes"))),
        _ => Ok(WireType::String { bytes: u16::from(second) | u16::from(first & 0x30 ^ 0x30) << 4 }),
    }
}

fn fraction(metadata: &mut Bytes<'_>) -> Result<u8, DecodeError> {
    match metadata.u8(TABLE_MAP)? {
        digits @ 0..=6 => Ok(digits),
        digits => Err(DecodeError::malformed(TABLE_MAP, format!("{digits} digits of a second"))),
    }
}

fn length_bytes(metadata: &mut Bytes<'_>) -> Result<u8, DecodeError> {
    match metadata.u8(TABLE_MAP)? {
        bytes @ 1..=4 => Ok(bytes),
        bytes => Err(DecodeError::malformed(TABLE_MAP, format!("a length of {bytes} bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(types: &[u8], metadata: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut body = vec![7, 0, 0, 0, 0, 0, 1, 0, 2, b'd', b'b', 0, 1, b't', 0];
        body.push(types.len() as u8);
        body.extend_from_slice(types);
        body.push(metadata.len() as u8);
        body.extend_from_slice(metadata);
        body.extend_from_slice(rest);
        body
    }

    #[test]
    fn names_types_and_nulls_are_read() {
        let body = body(&[3, 15, 254, 254], &[44, 1, 0xce, 0x20, 247, 1], &[0b0000_0110]);
        let map = TableMap::parse(Flavor::MySql, &body).unwrap();
        assert_eq!((map.table_id, map.schema.as_str(), map.table.as_str()), (7, "db", "t"));
        let wires: Vec<_> = map.columns.iter().map(|column| column.wire).collect();
        let expected = [
            WireType::Int { bytes: 4 },
            WireType::VarChar { bytes: 300, compressed: false },
            WireType::String { bytes: 0x320 },
            WireType::Enum { bytes: 1 },
        ];
        assert_eq!(wires, expected);
        assert_eq!(map.columns.iter().map(|column| column.nullable).collect::<Vec<_>>(), [false, true, true, false]);
        assert_eq!(TableMapHead::parse(&body).unwrap().table, "t");
    }

    #[test]
    fn every_cut_is_refused() {
        let body = body(&[3, 15], &[44, 1], &[0]);
        for length in 0..body.len() {
            assert!(TableMap::parse(Flavor::MySql, &body[..length]).is_err(), "cut at {length}");
        }
    }
}
