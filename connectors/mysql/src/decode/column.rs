//! One column's decoder: where its value ends in a row, and what the value is.

use millstream_core::row::RowBatch;
use millstream_core::schema::Column;
use millstream_core::value::ValueRef;

use super::DecodeError;
use super::bytes::{Bytes, big_endian, little_endian};
use super::charset::Charset;
use super::column_type::ColumnType;
use super::compressed::inflate;
use super::decimal::DecimalLayout;
use super::json::write_binary;
use super::labels::{EnumLabels, SetLabels};
use super::network::{write_inet4, write_inet6, write_uuid_of_row};
use super::number::double_of_float;
use super::table_map::WireType;
use super::temporal::{DateTime, Duration, micros};

/// How a column's values lie in rows and what they become.
#[derive(Debug)]
pub(super) struct LogColumn {
    extent: Extent,
    render: Render,
}

/// Where a value ends.
#[derive(Debug, Clone, Copy)]
enum Extent {
    Fixed(usize),
    /// After a length of so many bytes.
    Prefixed(u8),
}

#[derive(Debug)]
enum Render {
    Int { bytes: u8, unsigned: bool },
    Float,
    Double,
    Decimal(DecimalLayout),
    Year,
    Date,
    Time { fraction: u8 },
    DateTime { fraction: u8 },
    Timestamp { fraction: u8 },
    OldTime { fraction: u8 },
    OldDateTime { fraction: u8 },
    OldTimestamp { fraction: u8 },
    Text(Charset),
    Blob,
    PaddedBlob { length: usize },
    CompressedText(Charset),
    CompressedBlob,
    Enum(EnumLabels),
    Set(SetLabels),
    Json,
    Uuid,
    Inet4,
    Inet6,
}

/// Memory that rendering reuses from value to value.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: String,
    bytes: Vec<u8>,
}

impl LogColumn {
    /// `None` if rows that hold the column so can't be of this type.
    pub(super) fn new(wire: WireType, column_type: &ColumnType, column: &Column) -> Option<LogColumn> {
        let charset = || Charset::of_collation(column.collation.as_deref()?);
        let prefix = |bytes: u16| Extent::Prefixed(if bytes > 255 { 2 } else { 1 });
        let labels_extent = |bytes: u8| Extent::Fixed(bytes.into());
        let (extent, render) = match (wire, column_type) {
            (WireType::Int { bytes }, ColumnType::Int { bytes: expected, unsigned }) if bytes == *expected => {
                (Extent::Fixed(bytes.into()), Render::Int { bytes, unsigned: *unsigned })
            }
            (WireType::Float, ColumnType::Float { .. }) => (Extent::Fixed(4), Render::Float),
            (WireType::Double, ColumnType::Double { .. }) => (Extent::Fixed(8), Render::Double),
            (WireType::Decimal { precision, scale }, ColumnType::Decimal { precision: p, scale: s, .. })
                if (precision, scale) == (*p, *s) =>
            {
                let layout = DecimalLayout::new(precision, scale)?;
                (Extent::Fixed(layout.size_bytes()), Render::Decimal(layout))
            }
            (WireType::Year, ColumnType::Year) => (Extent::Fixed(1), Render::Year),
            (WireType::Bit { bits }, ColumnType::Bit { bits: expected }) if bits == u16::from(*expected) => {
                (Extent::Fixed(usize::from(bits.div_ceil(8))), Render::Blob)
            }
            (WireType::String { bytes }, ColumnType::Char { characters }) => {
                let charset = charset().filter(|charset| charset.fits(*characters, bytes))?;
                (prefix(bytes), Render::Text(charset))
            }
            (WireType::VarChar { bytes, compressed: false }, ColumnType::VarChar { characters, compressed: false }) => {
                let charset = charset().filter(|charset| charset.fits(*characters, bytes))?;
                (prefix(bytes), Render::Text(charset))
            }
            (WireType::VarChar { bytes, compressed: true }, ColumnType::VarChar { compressed: true, .. }) => {
                (prefix(bytes), Render::CompressedText(charset()?))
            }
            (WireType::VarChar { bytes, compressed: true }, ColumnType::VarBinary { compressed: true, .. }) => {
                (prefix(bytes), Render::CompressedBlob)
            }
            (WireType::String { bytes }, ColumnType::Binary { length }) if bytes == u16::from(*length) => {
                (prefix(bytes), Render::PaddedBlob { length: usize::from(*length) })
            }
            (WireType::VarChar { bytes, compressed: false }, ColumnType::VarBinary { length, compressed: false })
                if u32::from(bytes) == *length =>
            {
                (prefix(bytes), Render::Blob)
            }
            (WireType::Blob { length_bytes, compressed }, ColumnType::Text { length_bytes: l, compressed: c })
                if (length_bytes, compressed) == (*l, *c) =>
            {
                let charset = charset()?;
                let render = if compressed { Render::CompressedText(charset) } else { Render::Text(charset) };
                (Extent::Prefixed(length_bytes), render)
            }
            (WireType::Blob { length_bytes, compressed }, ColumnType::Blob { length_bytes: l, compressed: c })
                if (length_bytes, compressed) == (*l, *c) =>
            {
                (Extent::Prefixed(length_bytes), if compressed { Render::CompressedBlob } else { Render::Blob })
            }
            (WireType::Enum { bytes }, ColumnType::Enum { labels }) if bytes == enum_bytes(labels.len()) => {
                (labels_extent(bytes), Render::Enum(EnumLabels::new(labels.clone())))
            }
            (WireType::Set { bytes }, ColumnType::Set { labels }) if bytes == set_bytes(labels.len()) => {
                (labels_extent(bytes), Render::Set(SetLabels::new(labels)))
            }
            (WireType::Json { length_bytes }, ColumnType::Json) => (Extent::Prefixed(length_bytes), Render::Json),
            (WireType::Geometry { length_bytes }, ColumnType::Geometry)
            | (WireType::Vector { length_bytes }, ColumnType::Vector) => (Extent::Prefixed(length_bytes), Render::Blob),
            (WireType::String { bytes: 16 }, ColumnType::Uuid) => (Extent::Prefixed(1), Render::Uuid),
            (WireType::String { bytes: 16 }, ColumnType::Inet6) => (Extent::Prefixed(1), Render::Inet6),
            (WireType::String { bytes: 4 }, ColumnType::Inet4) => (Extent::Prefixed(1), Render::Inet4),
            (wire, column_type) => temporal(wire, column_type)?,
        };
        Some(LogColumn { extent, render })
    }

    /// A column that the schema doesn't have, of which only the end is looked for.
    pub(super) fn hidden(wire: WireType) -> Option<LogColumn> {
        let extent = match wire {
            WireType::Int { bytes } => Extent::Fixed(bytes.into()),
            WireType::Timestamp { fraction } => Extent::Fixed(4 + usize::from(fraction.div_ceil(2))),
            _ => return None,
        };
        Some(LogColumn { extent, render: Render::Blob })
    }

    /// Takes one value's bytes off the front of a row, without its length.
    pub(super) fn take<'a>(&self, row: &mut Bytes<'a>) -> Result<&'a [u8], DecodeError> {
        const VALUE: &str = "a row's value";
        match self.extent {
            Extent::Fixed(length) => row.take(length, VALUE),
            Extent::Prefixed(1) => {
                let length = row.u8(VALUE)?;
                row.take(usize::from(length), VALUE)
            }
            Extent::Prefixed(bytes) => {
                let length = row.uint(usize::from(bytes), VALUE)?;
                row.take(usize::try_from(length).unwrap_or(usize::MAX), VALUE)
            }
        }
    }

    /// Whether partial updates may concern it.
    pub(super) fn is_json(&self) -> bool {
        matches!(self.render, Render::Json)
    }

    /// Appends the value that these bytes are to the batch.
    pub(super) fn push(&self, raw: &[u8], batch: &mut RowBatch, scratch: &mut Scratch) -> Result<(), DecodeError> {
        let text = &mut scratch.text;
        text.clear();
        match &self.render {
            Render::Int { bytes, unsigned } => return push_int(raw, *bytes, *unsigned, batch, text),
            Render::Float => {
                let value = f32::from_bits(little_endian(raw) as u32);
                return Ok(batch.push(ValueRef::Real(double_of_float(value, text)))?);
            }
            Render::Double => return Ok(batch.push(ValueRef::Real(f64::from_bits(little_endian(raw))))?),
            Render::Year => {
                let year = little_endian(raw) as i64;
                return Ok(batch.push(ValueRef::Int(if year == 0 { 0 } else { 1_900 + year }))?);
            }
            Render::Blob => return Ok(batch.push(ValueRef::Blob(raw))?),
            Render::PaddedBlob { length } => {
                scratch.bytes.clear();
                scratch.bytes.extend_from_slice(raw);
                // Rows lack the zero bytes at the end of a BINARY, which queries show.
                scratch.bytes.resize((*length).max(raw.len()), 0);
                return Ok(batch.push(ValueRef::Blob(&scratch.bytes))?);
            }
            Render::CompressedBlob => {
                return Ok(batch.push(ValueRef::Blob(inflate(raw, &mut scratch.bytes)?))?);
            }
            Render::Text(charset) => return Ok(batch.push(ValueRef::Text(charset.decode(raw, text)))?),
            Render::CompressedText(charset) => {
                let bytes = inflate(raw, &mut scratch.bytes)?;
                return Ok(batch.push(ValueRef::Text(charset.decode(bytes, text)))?);
            }
            Render::Enum(labels) => return Ok(batch.push(ValueRef::Text(labels.label(little_endian(raw))?))?),
            Render::Set(labels) => labels.write(little_endian(raw), text)?,
            Render::Decimal(layout) => layout.write(raw, text)?,
            Render::Date => DateTime::from_date(raw)?.write_date(text),
            Render::Time { fraction } => Duration::from_packed(raw, *fraction)?.write(*fraction, text),
            Render::DateTime { fraction } => DateTime::from_packed(raw, *fraction)?.write(*fraction, text),
            Render::Timestamp { fraction } => {
                let (seconds, rest) = raw.split_at_checked(4).unwrap_or((raw, &[]));
                let seconds = big_endian(seconds) as u32;
                DateTime::from_unix(seconds, micros(rest, *fraction)?).write(*fraction, text);
            }
            Render::OldTime { fraction: 0 } => Duration::from_decimal(raw)?.write(0, text),
            Render::OldTime { fraction } => Duration::from_shifted(raw, *fraction)?.write(*fraction, text),
            Render::OldDateTime { fraction: 0 } => DateTime::from_decimal(little_endian(raw))?.write(0, text),
            Render::OldDateTime { fraction } => DateTime::from_mixed_radix(raw, *fraction)?.write(*fraction, text),
            Render::OldTimestamp { fraction } => DateTime::from_old_timestamp(raw, *fraction)?.write(*fraction, text),
            Render::Json => write_binary(raw, text)?,
            Render::Uuid => write_uuid_of_row(raw, text)?,
            Render::Inet4 => write_inet4(raw, text)?,
            Render::Inet6 => write_inet6(raw, text)?,
        }
        Ok(batch.push(ValueRef::Text(text))?)
    }
}

/// The types of time, each in its present and its old form.
fn temporal(wire: WireType, column_type: &ColumnType) -> Option<(Extent, Render)> {
    let with_fraction = |bytes: usize, fraction: u8| Extent::Fixed(bytes + usize::from(fraction.div_ceil(2)));
    Some(match (wire, column_type) {
        (WireType::Date, ColumnType::Date) => (Extent::Fixed(3), Render::Date),
        (WireType::Time { fraction }, ColumnType::Time { fraction: declared }) if fraction == *declared => {
            (with_fraction(3, fraction), Render::Time { fraction })
        }
        (WireType::DateTime { fraction }, ColumnType::DateTime { fraction: declared }) if fraction == *declared => {
            (with_fraction(5, fraction), Render::DateTime { fraction })
        }
        (WireType::Timestamp { fraction }, ColumnType::Timestamp { fraction: declared }) if fraction == *declared => {
            (with_fraction(4, fraction), Render::Timestamp { fraction })
        }
        // The old forms don't tell their fraction in the log.
        (WireType::OldTime, ColumnType::Time { fraction }) => {
            let bytes = match fraction {
                0 => 3,
                1 | 2 => 4,
                3..=5 => 5,
                _ => 6,
            };
            (Extent::Fixed(bytes), Render::OldTime { fraction: *fraction })
        }
        (WireType::OldDateTime, ColumnType::DateTime { fraction }) => {
            let bytes = match fraction {
                1 | 2 => 6,
                3..=5 => 7,
                _ => 8,
            };
            (Extent::Fixed(bytes), Render::OldDateTime { fraction: *fraction })
        }
        (WireType::OldTimestamp, ColumnType::Timestamp { fraction }) => {
            (with_fraction(4, *fraction), Render::OldTimestamp { fraction: *fraction })
        }
        _ => return None,
    })
}

fn push_int(raw: &[u8], bytes: u8, unsigned: bool, batch: &mut RowBatch, text: &mut String) -> Result<(), DecodeError> {
    let value = little_endian(raw);
    if unsigned {
        return push_unsigned(value, batch, text);
    }
    let unused_bits = 64 - 8 * u32::from(bytes.clamp(1, 8));
    Ok(batch.push(ValueRef::Int(((value << unused_bits) as i64) >> unused_bits))?)
}

/// An unsigned integer, as text where it is too large for a signed one.
pub(crate) fn push_unsigned(value: u64, batch: &mut RowBatch, text: &mut String) -> Result<(), DecodeError> {
    match i64::try_from(value) {
        Ok(value) => Ok(batch.push(ValueRef::Int(value))?),
        Err(_) => {
            text.push_str(&value.to_string());
            Ok(batch.push(ValueRef::Text(text))?)
        }
    }
}

fn enum_bytes(labels: usize) -> u8 {
    if labels < 256 { 1 } else { 2 }
}

fn set_bytes(labels: usize) -> u8 {
    match labels.div_ceil(8) {
        0 | 1 => 1,
        2 => 2,
        3 => 3,
        4 => 4,
        _ => 8,
    }
}
