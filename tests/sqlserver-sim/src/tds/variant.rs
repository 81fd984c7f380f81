//! `sql_variant`: a value that brings its type along.

use crate::value::{Length, SqlType, Value};

use super::decode;
use super::encode::{self, Mismatch};
use super::reader::{ProtocolError, Reader};
use super::type_info::{self, COLLATION, code};

/// The most that a variant takes, its type included.
pub const BYTES_MAX: u32 = 8009;

/// Appends a value that isn't NULL: length, type, the type's properties, content.
pub fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let start = out.len();
    out.extend([0; 4]);
    let sql_type = match value.natural_type() {
        // What is longer than a variant may be can't come from one; an expression's text is cut by its column's type.
        SqlType::NVarChar(Length::Max) => SqlType::NVarChar(Length::Limited(4000)),
        SqlType::VarBinary(Length::Max) => SqlType::VarBinary(Length::Limited(8000)),
        other => other,
    };
    properties(sql_type, out);
    match encode::content(value, sql_type) {
        Some(content) => out.extend(content),
        None => {
            // The natural type of a value is one that it can be written as.
            encode::plain(value, sql_type, out);
        }
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX).to_le_bytes();
    for (place, byte) in out.iter_mut().skip(start).zip(length) {
        *place = byte;
    }
    Ok(())
}

fn properties(sql_type: SqlType, out: &mut Vec<u8>) {
    let plain = |code| [code, 0];
    match sql_type {
        SqlType::Bit => out.extend(plain(code::BIT)),
        SqlType::TinyInt => out.extend(plain(code::INT1)),
        SqlType::SmallInt => out.extend(plain(code::INT2)),
        SqlType::BigInt => out.extend(plain(code::INT8)),
        SqlType::Money => out.extend(plain(code::MONEY)),
        SqlType::Real => out.extend(plain(code::FLOAT4)),
        SqlType::Float => out.extend(plain(code::FLOAT8)),
        SqlType::DateTime => out.extend(plain(code::DATETIME)),
        SqlType::SmallDateTime => out.extend(plain(code::DATETIME4)),
        SqlType::Date => out.extend(plain(code::DATE)),
        SqlType::UniqueIdentifier => out.extend(plain(code::GUID)),
        SqlType::Numeric { precision, scale } => out.extend([code::NUMERIC, 2, precision, scale]),
        SqlType::Time(scale) => out.extend([code::TIME, 1, scale]),
        SqlType::DateTime2(scale) => out.extend([code::DATETIME2, 1, scale]),
        SqlType::DateTimeOffset(scale) => out.extend([code::DATETIMEOFFSET, 1, scale]),
        SqlType::NVarChar(_) => {
            out.extend([code::NVARCHAR, 7]);
            out.extend(COLLATION);
            out.extend(8000_u16.to_le_bytes());
        }
        SqlType::VarBinary(_) => {
            out.extend([code::VARBINARY, 2]);
            out.extend(8000_u16.to_le_bytes());
        }
        _ => out.extend(plain(code::INT4)),
    }
}

/// Reads a variant's type and content from its bytes.
pub fn read(bytes: &[u8]) -> Result<Value, ProtocolError> {
    let mut from = Reader::new(bytes);
    let code = from.u8("a variant's type")?;
    let count = from.u8("a variant's properties")?;
    let mut properties = Reader::new(from.bytes(usize::from(count), "a variant's properties")?);
    let sql_type = match code {
        code::BIT => SqlType::Bit,
        code::INT1 => SqlType::TinyInt,
        code::INT2 => SqlType::SmallInt,
        code::INT4 => SqlType::Int,
        code::INT8 => SqlType::BigInt,
        code::MONEY => SqlType::Money,
        code::MONEY4 => SqlType::SmallMoney,
        code::FLOAT4 => SqlType::Real,
        code::FLOAT8 => SqlType::Float,
        code::DATETIME => SqlType::DateTime,
        code::DATETIME4 => SqlType::SmallDateTime,
        code::DATE => SqlType::Date,
        code::GUID => SqlType::UniqueIdentifier,
        code::TIME | code::DATETIME2 | code::DATETIMEOFFSET => {
            let scale = properties.u8("a variant's scale")?;
            if scale > 7 {
                return Err(ProtocolError::Invalid { what: "a variant's scale", value: u64::from(scale) });
            }
            match code {
                code::TIME => SqlType::Time(scale),
                code::DATETIME2 => SqlType::DateTime2(scale),
                _ => SqlType::DateTimeOffset(scale),
            }
        }
        code::DECIMAL | code::NUMERIC => {
            let (precision, scale) = type_info::read_decimal_shape(&mut properties)?;
            SqlType::Numeric { precision, scale }
        }
        code::CHAR | code::VARCHAR | code::NCHAR | code::NVARCHAR | code::BINARY | code::VARBINARY => {
            if !matches!(code, code::BINARY | code::VARBINARY) {
                properties.bytes(COLLATION.len(), "a variant's collation")?;
            }
            type_info::sized_type(code, properties.u16("a variant's length")?)
        }
        _ => return Err(ProtocolError::Invalid { what: "a variant's type", value: u64::from(code) }),
    };
    decode::content(from.rest(), sql_type)
}
