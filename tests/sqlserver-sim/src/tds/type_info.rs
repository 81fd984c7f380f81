//! How a type is written before values of it: in the columns of a result, and before a parameter.

use crate::value::{Length, SqlType};

use super::reader::{ProtocolError, Reader};

/// `SQL_Latin1_General_CP1_CI_AS`: locale 0x0409, case, kana and width ignored, sort order 52.
pub const COLLATION: [u8; 5] = [0x09, 0x04, 0xd0, 0x00, 0x34];

/// The length that says "no bound": the value then comes in chunks.
const UNBOUNDED: u16 = 0xffff;

/// The codes of types on the wire.
pub mod code {
    pub const NULL: u8 = 0x1f;
    pub const IMAGE: u8 = 0x22;
    pub const TEXT: u8 = 0x23;
    pub const GUID: u8 = 0x24;
    pub const SHORT_VARBINARY: u8 = 0x25;
    pub const INT_N: u8 = 0x26;
    pub const SHORT_VARCHAR: u8 = 0x27;
    pub const DATE: u8 = 0x28;
    pub const TIME: u8 = 0x29;
    pub const DATETIME2: u8 = 0x2a;
    pub const DATETIMEOFFSET: u8 = 0x2b;
    pub const SHORT_BINARY: u8 = 0x2d;
    pub const SHORT_CHAR: u8 = 0x2f;
    pub const INT1: u8 = 0x30;
    pub const BIT: u8 = 0x32;
    pub const INT2: u8 = 0x34;
    pub const OLD_DECIMAL: u8 = 0x37;
    pub const INT4: u8 = 0x38;
    pub const DATETIME4: u8 = 0x3a;
    pub const FLOAT4: u8 = 0x3b;
    pub const MONEY: u8 = 0x3c;
    pub const DATETIME: u8 = 0x3d;
    pub const FLOAT8: u8 = 0x3e;
    pub const OLD_NUMERIC: u8 = 0x3f;
    pub const VARIANT: u8 = 0x62;
    pub const NTEXT: u8 = 0x63;
    pub const BIT_N: u8 = 0x68;
    pub const DECIMAL: u8 = 0x6a;
    pub const NUMERIC: u8 = 0x6c;
    pub const FLOAT_N: u8 = 0x6d;
    pub const MONEY_N: u8 = 0x6e;
    pub const DATETIME_N: u8 = 0x6f;
    pub const MONEY4: u8 = 0x7a;
    pub const INT8: u8 = 0x7f;
    pub const VARBINARY: u8 = 0xa5;
    pub const VARCHAR: u8 = 0xa7;
    pub const BINARY: u8 = 0xad;
    pub const CHAR: u8 = 0xaf;
    pub const NVARCHAR: u8 = 0xe7;
    pub const NCHAR: u8 = 0xef;
    pub const UDT: u8 = 0xf0;
    pub const XML: u8 = 0xf1;
    pub const TABLE: u8 = 0xf3;
}

/// What tells a `rowversion` from a `binary(8)`.
pub fn user_type(sql_type: SqlType) -> u32 {
    if sql_type == SqlType::RowVersion { 80 } else { 0 }
}

/// Appends a type. Types that have a form without NULL are written in the one with it, which says no more of a column
/// than its flags do and can't be wrong for an expression.
pub fn write(sql_type: SqlType, out: &mut Vec<u8>) {
    match sql_type {
        SqlType::Bit => out.extend([code::BIT_N, 1]),
        SqlType::TinyInt => out.extend([code::INT_N, 1]),
        SqlType::SmallInt => out.extend([code::INT_N, 2]),
        SqlType::Int => out.extend([code::INT_N, 4]),
        SqlType::BigInt => out.extend([code::INT_N, 8]),
        SqlType::Decimal { precision, scale } => {
            out.extend([code::DECIMAL, decimal_bytes(precision), precision, scale]);
        }
        SqlType::Numeric { precision, scale } => {
            out.extend([code::NUMERIC, decimal_bytes(precision), precision, scale]);
        }
        SqlType::Money => out.extend([code::MONEY_N, 8]),
        SqlType::SmallMoney => out.extend([code::MONEY_N, 4]),
        SqlType::Real => out.extend([code::FLOAT_N, 4]),
        SqlType::Float => out.extend([code::FLOAT_N, 8]),
        SqlType::Char(length) => characters(code::CHAR, Length::Limited(length), 1, out),
        SqlType::VarChar(length) => characters(code::VARCHAR, length, 1, out),
        SqlType::NChar(length) => characters(code::NCHAR, Length::Limited(length), 2, out),
        SqlType::NVarChar(length) => characters(code::NVARCHAR, length, 2, out),
        SqlType::SysName => characters(code::NVARCHAR, Length::Limited(128), 2, out),
        SqlType::Binary(length) => sized(code::BINARY, Length::Limited(length), 1, out),
        SqlType::RowVersion => sized(code::BINARY, Length::Limited(8), 1, out),
        SqlType::VarBinary(length) => sized(code::VARBINARY, length, 1, out),
        SqlType::Text => {
            out.push(code::TEXT);
            out.extend(i32::MAX.to_le_bytes());
            out.extend(COLLATION);
        }
        SqlType::NText => {
            out.push(code::NTEXT);
            out.extend((i32::MAX - 1).to_le_bytes());
            out.extend(COLLATION);
        }
        SqlType::Image => {
            out.push(code::IMAGE);
            out.extend(i32::MAX.to_le_bytes());
        }
        SqlType::Date => out.push(code::DATE),
        SqlType::Time(scale) => out.extend([code::TIME, scale]),
        SqlType::DateTime2(scale) => out.extend([code::DATETIME2, scale]),
        SqlType::DateTimeOffset(scale) => out.extend([code::DATETIMEOFFSET, scale]),
        SqlType::SmallDateTime => out.extend([code::DATETIME_N, 4]),
        SqlType::DateTime => out.extend([code::DATETIME_N, 8]),
        SqlType::UniqueIdentifier => out.extend([code::GUID, 16]),
        SqlType::Variant => {
            out.push(code::VARIANT);
            out.extend(super::variant::BYTES_MAX.to_le_bytes());
        }
        // No schema collection.
        SqlType::Xml => out.extend([code::XML, 0]),
        SqlType::HierarchyId => user_defined(892, "hierarchyid", "SqlHierarchyId", out),
        SqlType::Geometry => user_defined(UNBOUNDED, "geometry", "SqlGeometry", out),
        SqlType::Geography => user_defined(UNBOUNDED, "geography", "SqlGeography", out),
    }
}

/// The most bytes that a decimal's value takes, its sign included.
pub fn decimal_bytes(precision: u8) -> u8 {
    match precision {
        0..=9 => 5,
        10..=19 => 9,
        20..=28 => 13,
        _ => 17,
    }
}

fn characters(code: u8, length: Length, width: u16, out: &mut Vec<u8>) {
    sized(code, length, width, out);
    out.extend(COLLATION);
}

fn sized(code: u8, length: Length, width: u16, out: &mut Vec<u8>) {
    let bytes = match length {
        Length::Limited(units) => units.saturating_mul(width).min(8000),
        Length::Max => UNBOUNDED,
    };
    out.push(code);
    out.extend(bytes.to_le_bytes());
}

fn user_defined(bytes_max: u16, name: &str, class: &str, out: &mut Vec<u8>) {
    out.push(code::UDT);
    out.extend(bytes_max.to_le_bytes());
    super::token::short_text("master", out);
    super::token::short_text("sys", out);
    super::token::short_text(name, out);
    let assembly = "Microsoft.SqlServer.Types";
    super::token::medium_text(&format!("{assembly}.{class}, {assembly}, Version=11.0.0.0"), out);
}

/// How the value after a parameter's type says its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// Always so many bytes; never NULL.
    Fixed(usize),
    /// One byte of length; 0 for NULL.
    ShortOrNull,
    /// One byte of length, as old clients send texts; 0xFF for NULL.
    Short,
    /// Two bytes of length; 0xFFFF for NULL.
    Medium,
    /// Four bytes of length; 0xFFFFFFFF for NULL.
    Long,
    /// Four bytes of length; 0 for NULL.
    Variant,
    /// Eight bytes of total length, then chunks.
    Chunked,
}

/// A parameter's type, and how its value follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Declared {
    pub sql_type: SqlType,
    pub framing: Framing,
}

/// Reads a parameter's type.
pub fn read(from: &mut Reader<'_>) -> Result<Declared, ProtocolError> {
    let code = from.u8("a parameter's type")?;
    let fixed = |sql_type, bytes| Ok(Declared { sql_type, framing: Framing::Fixed(bytes) });
    let nullable = |sql_type| Ok(Declared { sql_type, framing: Framing::ShortOrNull });
    match code {
        code::NULL => fixed(SqlType::Int, 0),
        code::INT1 => fixed(SqlType::TinyInt, 1),
        code::BIT => fixed(SqlType::Bit, 1),
        code::INT2 => fixed(SqlType::SmallInt, 2),
        code::INT4 => fixed(SqlType::Int, 4),
        code::INT8 => fixed(SqlType::BigInt, 8),
        code::DATETIME4 => fixed(SqlType::SmallDateTime, 4),
        code::DATETIME => fixed(SqlType::DateTime, 8),
        code::FLOAT4 => fixed(SqlType::Real, 4),
        code::FLOAT8 => fixed(SqlType::Float, 8),
        code::MONEY => fixed(SqlType::Money, 8),
        code::MONEY4 => fixed(SqlType::SmallMoney, 4),
        code::DATE => nullable(SqlType::Date),
        code::TIME => nullable(SqlType::Time(time_scale(from)?)),
        code::DATETIME2 => nullable(SqlType::DateTime2(time_scale(from)?)),
        code::DATETIMEOFFSET => nullable(SqlType::DateTimeOffset(time_scale(from)?)),
        code::GUID | code::INT_N | code::BIT_N | code::FLOAT_N | code::MONEY_N | code::DATETIME_N => {
            let bytes = from.u8("a parameter's length")?;
            nullable(type_of_width(code, bytes)?)
        }
        code::DECIMAL | code::NUMERIC | code::OLD_DECIMAL | code::OLD_NUMERIC => nullable(read_decimal(code, from)?),
        code::SHORT_CHAR | code::SHORT_VARCHAR | code::SHORT_BINARY | code::SHORT_VARBINARY => {
            let length = Length::Limited(u16::from(from.u8("a parameter's length")?).max(1));
            let binary = matches!(code, code::SHORT_BINARY | code::SHORT_VARBINARY);
            let sql_type = if binary { SqlType::VarBinary(length) } else { SqlType::VarChar(length) };
            Ok(Declared { sql_type, framing: Framing::Short })
        }
        code::CHAR | code::VARCHAR | code::NCHAR | code::NVARCHAR | code::BINARY | code::VARBINARY => {
            read_sized(code, from)
        }
        code::TEXT | code::NTEXT | code::IMAGE => {
            from.u32("a parameter's length")?;
            if code != code::IMAGE {
                from.bytes(COLLATION.len(), "a collation")?;
            }
            let sql_type = match code {
                code::TEXT => SqlType::Text,
                code::NTEXT => SqlType::NText,
                _ => SqlType::Image,
            };
            Ok(Declared { sql_type, framing: Framing::Long })
        }
        code::VARIANT => {
            from.u32("a parameter's length")?;
            Ok(Declared { sql_type: SqlType::Variant, framing: Framing::Variant })
        }
        code::XML => {
            if from.u8("an XML schema's presence")? == 1 {
                from.short_text("an XML schema's database")?;
                from.short_text("an XML schema's owner")?;
                from.medium_text("an XML schema's name")?;
            }
            Ok(Declared { sql_type: SqlType::Xml, framing: Framing::Chunked })
        }
        code::UDT => Err(ProtocolError::Unsupported("a parameter of a CLR type")),
        code::TABLE => Err(ProtocolError::Unsupported("a table-valued parameter")),
        _ => Err(ProtocolError::Invalid { what: "a parameter's type", value: u64::from(code) }),
    }
}

fn type_of_width(code: u8, bytes: u8) -> Result<SqlType, ProtocolError> {
    Ok(match (code, bytes) {
        (code::GUID, 16) => SqlType::UniqueIdentifier,
        (code::BIT_N, 1) => SqlType::Bit,
        (code::INT_N, 1) => SqlType::TinyInt,
        (code::INT_N, 2) => SqlType::SmallInt,
        (code::INT_N, 4) => SqlType::Int,
        (code::INT_N, 8) => SqlType::BigInt,
        (code::FLOAT_N, 4) => SqlType::Real,
        (code::FLOAT_N, 8) => SqlType::Float,
        (code::MONEY_N, 4) => SqlType::SmallMoney,
        (code::MONEY_N, 8) => SqlType::Money,
        (code::DATETIME_N, 4) => SqlType::SmallDateTime,
        (code::DATETIME_N, 8) => SqlType::DateTime,
        _ => return Err(ProtocolError::Invalid { what: "a parameter's length", value: u64::from(bytes) }),
    })
}

fn time_scale(from: &mut Reader<'_>) -> Result<u8, ProtocolError> {
    match from.u8("a time's scale")? {
        scale @ 0..=7 => Ok(scale),
        scale => Err(ProtocolError::Invalid { what: "a time's scale", value: u64::from(scale) }),
    }
}

/// A decimal after its code: bytes, precision, scale.
fn read_decimal(code: u8, from: &mut Reader<'_>) -> Result<SqlType, ProtocolError> {
    from.u8("a decimal's length")?;
    let (precision, scale) = read_decimal_shape(from)?;
    Ok(match code {
        code::DECIMAL | code::OLD_DECIMAL => SqlType::Decimal { precision, scale },
        _ => SqlType::Numeric { precision, scale },
    })
}

pub fn read_decimal_shape(from: &mut Reader<'_>) -> Result<(u8, u8), ProtocolError> {
    let precision = from.u8("a decimal's precision")?;
    let scale = from.u8("a decimal's scale")?;
    if !(1..=38).contains(&precision) || scale > precision {
        return Err(ProtocolError::Invalid { what: "a decimal's precision", value: u64::from(precision) });
    }
    Ok((precision, scale))
}

fn read_sized(code: u8, from: &mut Reader<'_>) -> Result<Declared, ProtocolError> {
    let bytes = from.u16("a parameter's length")?;
    if !matches!(code, code::BINARY | code::VARBINARY) {
        from.bytes(COLLATION.len(), "a collation")?;
    }
    let framing = if bytes == UNBOUNDED { Framing::Chunked } else { Framing::Medium };
    let sql_type = sized_type(code, bytes);
    Ok(Declared { sql_type, framing })
}

/// The type of a code with a length of so many bytes.
pub fn sized_type(code: u8, bytes: u16) -> SqlType {
    let units = |width: u16| (bytes / width).max(1);
    let length = |width: u16| if bytes == UNBOUNDED { Length::Max } else { Length::Limited(units(width)) };
    match code {
        // Of no bound there is no fixed length.
        code::CHAR if bytes != UNBOUNDED => SqlType::Char(units(1)),
        code::NCHAR if bytes != UNBOUNDED => SqlType::NChar(units(2)),
        code::BINARY if bytes != UNBOUNDED => SqlType::Binary(units(1)),
        code::BINARY | code::VARBINARY => SqlType::VarBinary(length(1)),
        code::NCHAR | code::NVARCHAR => SqlType::NVarChar(length(2)),
        _ => SqlType::VarChar(length(1)),
    }
}
