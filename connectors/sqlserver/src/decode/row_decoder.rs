//! From one row of the driver's to one row of a batch.

use std::fmt::Write;

use millstream_core::row::RowBatch;
use millstream_core::schema::TableSchema;
use millstream_core::value::ValueRef;
use tiberius::{ColumnData, Row};

use super::DecodeError;
use super::number::{double_of_real, write_decimal};
use super::temporal::{self, OutOfRange};

/// Reads rows that were selected by a schema's [`select_list`](super::select_list).
pub(crate) struct RowDecoder {
    /// The columns' names, for errors.
    columns: Vec<String>,
    /// Texts are written here before they go into the batch.
    scratch: String,
}

impl RowDecoder {
    pub(crate) fn new(table: &TableSchema) -> Self {
        let columns = table.columns.iter().map(|column| column.name.clone()).collect();
        Self { columns, scratch: String::new() }
    }

    /// Appends a row whose first column stands at `first` in the driver's row. Nothing is appended on an error.
    pub(crate) fn push(&mut self, row: &Row, first: usize, batch: &mut RowBatch) -> Result<(), DecodeError> {
        let Self { columns, scratch } = self;
        let mut cells = row.cells().skip(first);
        for (place, column) in columns.iter().enumerate() {
            let pushed = match cells.next() {
                Some((_, data)) => push_value(column, data, scratch, batch),
                None => Err(DecodeError::Missing { place: first + place }),
            };
            if let Err(error) = pushed {
                batch.abandon_row();
                return Err(error);
            }
        }
        Ok(())
    }
}

fn push_value(
    column: &str,
    data: &ColumnData<'static>,
    scratch: &mut String,
    batch: &mut RowBatch,
) -> Result<(), DecodeError> {
    let value = match data {
        ColumnData::U8(value) => value.map(i64::from).map_or(ValueRef::Null, ValueRef::Int),
        ColumnData::I16(value) => value.map(i64::from).map_or(ValueRef::Null, ValueRef::Int),
        ColumnData::I32(value) => value.map(i64::from).map_or(ValueRef::Null, ValueRef::Int),
        ColumnData::I64(value) => value.map_or(ValueRef::Null, ValueRef::Int),
        ColumnData::Bit(value) => value.map(i64::from).map_or(ValueRef::Null, ValueRef::Int),
        ColumnData::F32(value) => {
            value.map(|value| double_of_real(value, scratch)).map_or(ValueRef::Null, ValueRef::Real)
        }
        ColumnData::F64(value) => value.map_or(ValueRef::Null, ValueRef::Real),
        ColumnData::String(value) => value.as_deref().map_or(ValueRef::Null, ValueRef::Text),
        ColumnData::Binary(value) => value.as_deref().map_or(ValueRef::Null, ValueRef::Blob),
        ColumnData::Xml(value) => value.as_ref().map_or(ValueRef::Null, |xml| ValueRef::Text(xml.as_ref().as_ref())),
        other => {
            let text = text_of(other, scratch);
            let out_of_range =
                |OutOfRange| DecodeError::Malformed { column: column.to_owned(), what: "a time that can't be" };
            match text.map_err(out_of_range)? {
                Written::Null => ValueRef::Null,
                Written::Text => ValueRef::Text(scratch),
                Written::Unknown => {
                    let what = "a value of a type that Millstream doesn't know";
                    return Err(DecodeError::Malformed { column: column.to_owned(), what });
                }
            }
        }
    };
    Ok(batch.push(value)?)
}

enum Written {
    Null,
    Text,
    Unknown,
}

/// Writes what has its value in a text of ours.
fn text_of(data: &ColumnData<'static>, out: &mut String) -> Result<Written, OutOfRange> {
    out.clear();
    let written = match data {
        ColumnData::Guid(value) => value.map(|value| write!(out, "{value:X}").map_err(|_| OutOfRange)),
        ColumnData::Numeric(value) => value.map(|value| {
            write_decimal(value, out);
            Ok(())
        }),
        ColumnData::DateTime(value) => value.map(|value| temporal::write_date_time(value, out)),
        ColumnData::SmallDateTime(value) => value.map(|value| temporal::write_small_date_time(value, out)),
        ColumnData::Time(value) => value.map(|value| temporal::write_time(value, out)),
        ColumnData::Date(value) => value.map(|value| temporal::write_date(value, out)),
        ColumnData::DateTime2(value) => value.map(|value| temporal::write_date_time2(value, out)),
        ColumnData::DateTimeOffset(value) => value.map(|value| temporal::write_date_time_offset(value, out)),
        _ => return Ok(Written::Unknown),
    };
    match written {
        None => Ok(Written::Null),
        Some(outcome) => outcome.map(|()| Written::Text),
    }
}
