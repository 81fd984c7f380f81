//! The rows of a bulk load: their columns, then row by row, as in a result.

use crate::value::{SqlType, Value};

use super::decode;
use super::reader::{ProtocolError, Reader};
use super::type_info::{self, Declared};

const COLUMNS: u8 = 0x81;
const ROW: u8 = 0xd1;
/// A row whose NULLs are bits before it.
const COMPRESSED_ROW: u8 = 0xd2;
const DONE: u8 = 0xfd;

/// The rows, and the type of each of their columns.
#[derive(Debug)]
pub struct BulkLoad {
    pub types: Vec<SqlType>,
    pub rows: Vec<Vec<Value>>,
}

/// Reads the message that follows `INSERT BULK`.
pub fn read(from: &mut Reader<'_>) -> Result<BulkLoad, ProtocolError> {
    let token = from.u8("a bulk load")?;
    if token != COLUMNS {
        return Err(ProtocolError::Invalid { what: "the first token of a bulk load", value: u64::from(token) });
    }
    let columns = read_columns(from)?;
    let mut rows = Vec::new();
    while !from.is_empty() {
        match from.u8("a token of a bulk load")? {
            ROW => {
                let row: Result<Vec<Value>, _> = columns.iter().map(|column| read_value(*column, from)).collect();
                rows.push(row?);
            }
            COMPRESSED_ROW => {
                let nulls = from.bytes(columns.len().div_ceil(8), "the NULLs of a row")?;
                let is_null = |at: usize| nulls.get(at / 8).is_some_and(|byte| byte & (1 << (at % 8)) != 0);
                let mut row = Vec::with_capacity(columns.len());
                for (at, column) in columns.iter().enumerate() {
                    row.push(if is_null(at) { Value::Null } else { read_value(*column, from)? });
                }
                rows.push(row);
            }
            DONE => break,
            token => return Err(ProtocolError::Invalid { what: "a token of a bulk load", value: u64::from(token) }),
        }
    }
    Ok(BulkLoad { types: columns.iter().map(|column| column.sql_type).collect(), rows })
}

fn read_columns(from: &mut Reader<'_>) -> Result<Vec<Declared>, ProtocolError> {
    let count = from.u16("the columns of a bulk load")?;
    let mut columns = Vec::new();
    for _ in 0..count {
        from.u32("a column's user type")?;
        from.u16("a column's flags")?;
        let declared = type_info::read(from)?;
        if is_old(declared.sql_type) {
            // Whole here, not in parts as in results.
            from.medium_text("a table's name")?;
        }
        from.short_text("a column's name")?;
        columns.push(declared);
    }
    Ok(columns)
}

/// Types whose values come with a pointer to where they once were.
fn is_old(sql_type: SqlType) -> bool {
    matches!(sql_type, SqlType::Text | SqlType::NText | SqlType::Image)
}

fn read_value(declared: Declared, from: &mut Reader<'_>) -> Result<Value, ProtocolError> {
    const TIMESTAMP_BYTES: usize = 8;
    if is_old(declared.sql_type) {
        match from.u8("a text's pointer")? {
            0 => return Ok(Value::Null),
            bytes => {
                from.bytes(usize::from(bytes) + TIMESTAMP_BYTES, "a text's pointer")?;
            }
        }
    }
    decode::read(declared, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns, `int` and `nvarchar(10)`.
    fn columns() -> Vec<u8> {
        let mut bytes = vec![COLUMNS, 2, 0];
        bytes.extend([0, 0, 0, 0, 9, 0, 0x26, 4, 1, 0x61, 0]);
        bytes.extend([0, 0, 0, 0, 9, 0, 0xe7, 20, 0, 9, 4, 0xd0, 0, 0x34, 1, 0x62, 0]);
        bytes
    }

    #[test]
    fn rows_are_read_with_and_without_compression() {
        let mut bytes = columns();
        bytes.extend([ROW, 4, 7, 0, 0, 0, 2, 0, 0x78, 0]);
        bytes.extend([COMPRESSED_ROW, 0b10, 4, 8, 0, 0, 0]);
        bytes.extend([ROW, 0, 0xff, 0xff]);
        bytes.extend([DONE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let load = read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(
            load.rows,
            [vec![Value::Int(7), Value::text("x")], vec![Value::Int(8), Value::Null], vec![Value::Null, Value::Null]]
        );
    }

    #[test]
    fn a_message_that_ends_too_early_or_begins_wrongly_is_refused() {
        let mut bytes = columns();
        bytes.extend([ROW, 4, 7]);
        assert!(read(&mut Reader::new(&bytes)).is_err());
        assert!(read(&mut Reader::new(&[ROW])).is_err());
        bytes.truncate(columns().len());
        bytes.push(0x55);
        assert!(read(&mut Reader::new(&bytes)).is_err());
    }
}
