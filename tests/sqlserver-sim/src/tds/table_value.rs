//! Table-valued parameters: a type's name, its columns, and rows.

use crate::engine::session::TableArgument;
use crate::value::Value;

use super::decode;
use super::reader::{ProtocolError, Reader};
use super::type_info::{self, Declared};

const NO_COLUMNS: u16 = 0xffff;
const ORDER_UNIQUE: u8 = 0x10;
const COLUMN_ORDERING: u8 = 0x11;
const ROW: u8 = 0x01;
const END: u8 = 0x00;
/// The column takes its default in every row, and no value is sent for it.
const DEFAULTED: u16 = 0x0200;

/// Reads a parameter from its type's code on.
pub fn read(from: &mut Reader<'_>) -> Result<TableArgument, ProtocolError> {
    from.u8("a parameter's type")?;
    // Types are found in the session's own database.
    from.short_text("a table type's database")?;
    let schema = from.short_text("a table type's schema")?;
    let type_name = from.short_text("a table type's name")?;
    let columns = read_columns(from)?;
    read_orders(from)?;
    let mut rows = Vec::new();
    loop {
        match from.u8("a row of a table")? {
            END => break,
            ROW => rows.push(read_row(&columns, from)?),
            token => return Err(ProtocolError::Invalid { what: "a token of a table", value: u64::from(token) }),
        }
    }
    let columns = columns.into_iter().map(|(declared, _)| declared.sql_type).collect();
    Ok(TableArgument { schema, type_name, columns, rows })
}

/// The columns, and whether each is left to its default.
fn read_columns(from: &mut Reader<'_>) -> Result<Vec<(Declared, bool)>, ProtocolError> {
    let count = from.u16("the columns of a table")?;
    let mut columns = Vec::new();
    if count == NO_COLUMNS {
        return Ok(columns);
    }
    for _ in 0..count {
        from.u32("a column's user type")?;
        let flags = from.u16("a column's flags")?;
        let declared = type_info::read(from)?;
        from.short_text("a column's name")?;
        columns.push((declared, flags & DEFAULTED != 0));
    }
    Ok(columns)
}

/// How the rows are ordered is a hint for plans. An order of columns other than the type's own is refused.
fn read_orders(from: &mut Reader<'_>) -> Result<(), ProtocolError> {
    loop {
        match from.u8("the description of a table")? {
            END => return Ok(()),
            ORDER_UNIQUE => {
                let count = from.u16("the order of a table's rows")?;
                from.bytes(usize::from(count) * 3, "the order of a table's rows")?;
            }
            COLUMN_ORDERING => {
                return Err(ProtocolError::Unsupported("an order of columns in a table-valued parameter"));
            }
            token => return Err(ProtocolError::Invalid { what: "a token of a table", value: u64::from(token) }),
        }
    }
}

fn read_row(columns: &[(Declared, bool)], from: &mut Reader<'_>) -> Result<Vec<Option<Value>>, ProtocolError> {
    let value = |(declared, defaulted): &(Declared, bool)| {
        if *defaulted { Ok(None) } else { decode::read(*declared, from).map(Some) }
    };
    columns.iter().map(value).collect()
}
