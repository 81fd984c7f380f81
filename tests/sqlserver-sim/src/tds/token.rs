//! The parts that a response is made of.

use crate::engine::session::ColumnMetadata;
use crate::error::SqlError;
use crate::value::{SqlType, Value};

use super::encode::{self, Mismatch};
use super::login::Version;
use super::type_info::{self, COLLATION};

const RETURN_STATUS: u8 = 0x79;
const COLUMN_METADATA: u8 = 0x81;
const ERROR: u8 = 0xaa;
const INFORMATION: u8 = 0xab;
const RETURN_VALUE: u8 = 0xac;
const LOGIN_ACK: u8 = 0xad;
const ROW: u8 = 0xd1;
/// A row whose NULLs are bits before it.
const COMPRESSED_ROW: u8 = 0xd2;
const ENVIRONMENT_CHANGE: u8 = 0xe3;

/// What a message's text is cut to, in UTF-16 code units, as the server does.
const MESSAGE_UNITS_MAX: usize = 2047;

/// What kind of end a DONE token tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Done {
    Statement = 0xfd,
    Procedure = 0xfe,
    InProcedure = 0xff,
}

/// What a DONE token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoneToken {
    pub done: Done,
    pub rows: Option<u64>,
    pub failed: bool,
    /// Whether the statement gave a result, so that its count is that of the rows sent.
    pub selected: bool,
}

/// Whether another token follows in the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    More,
    Last,
}

const DONE_MORE: u16 = 0x01;
const DONE_ERROR: u16 = 0x02;
const DONE_COUNT: u16 = 0x10;
const DONE_ATTENTION: u16 = 0x20;
const SELECT: u16 = 0xc1;

pub fn done(token: DoneToken, place: Place, out: &mut Vec<u8>) {
    let mut status = 0;
    if place == Place::More {
        status |= DONE_MORE;
    }
    if token.failed {
        status |= DONE_ERROR;
    }
    if token.rows.is_some() {
        status |= DONE_COUNT;
    }
    write_done(token.done, status, if token.selected { SELECT } else { 0 }, token.rows.unwrap_or(0), out);
}

/// Tells the client that its attention was noticed: nothing of the cancelled request follows.
pub fn attention_acknowledged(out: &mut Vec<u8>) {
    write_done(Done::Statement, DONE_ATTENTION, 0, 0, out);
}

fn write_done(done: Done, status: u16, command: u16, rows: u64, out: &mut Vec<u8>) {
    out.push(done as u8);
    out.extend(status.to_le_bytes());
    out.extend(command.to_le_bytes());
    out.extend(rows.to_le_bytes());
}

pub fn return_status(status: i32, out: &mut Vec<u8>) {
    out.push(RETURN_STATUS);
    out.extend(status.to_le_bytes());
}

/// An output parameter, by its place among the parameters.
pub fn return_value(
    ordinal: u16,
    name: &str,
    sql_type: SqlType,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), Mismatch> {
    out.push(RETURN_VALUE);
    out.extend(ordinal.to_le_bytes());
    short_text(name, out);
    out.push(1);
    out.extend(type_info::user_type(sql_type).to_le_bytes());
    out.extend(0_u16.to_le_bytes());
    type_info::write(sql_type, out);
    encode::write(value, sql_type, out)
}

pub fn columns(columns: &[ColumnMetadata], out: &mut Vec<u8>) {
    const NULLABLE: u16 = 0x01;
    const UPDATABLE_UNKNOWN: u16 = 0x08;
    const IDENTITY: u16 = 0x10;
    const COMPUTED: u16 = 0x20;
    out.push(COLUMN_METADATA);
    out.extend(u16::try_from(columns.len()).unwrap_or(u16::MAX).to_le_bytes());
    for column in columns {
        let read_only = column.identity || column.computed || column.sql_type == SqlType::RowVersion;
        let flags = [
            (column.nullable, NULLABLE),
            (!read_only, UPDATABLE_UNKNOWN),
            (column.identity, IDENTITY),
            (column.computed, COMPUTED),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag);
        out.extend(type_info::user_type(column.sql_type).to_le_bytes());
        out.extend(flags.to_le_bytes());
        type_info::write(column.sql_type, out);
        if matches!(column.sql_type, SqlType::Text | SqlType::NText | SqlType::Image) {
            // The table that the pointer is of: one part, without a name.
            out.push(1);
            medium_text("", out);
        }
        short_text(&column.name, out);
    }
}

pub fn row(row: &[Value], columns: &[ColumnMetadata], compress: bool, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let mask_bytes = row.len().div_ceil(8);
    let nulls = row.iter().filter(|value| value.is_null()).count();
    let compressed = compress && nulls > mask_bytes;
    out.push(if compressed { COMPRESSED_ROW } else { ROW });
    if compressed {
        for eight in row.chunks(8) {
            out.push(eight.iter().rev().fold(0, |mask, value| (mask << 1) | u8::from(value.is_null())));
        }
    }
    for (value, column) in row.iter().zip(columns) {
        if !(compressed && value.is_null()) {
            encode::write(value, column.sql_type, out)?;
        }
    }
    Ok(())
}

/// An error, or a message if its severity is that of one.
pub fn message(message: &SqlError, server: &str, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    body.extend(message.number.to_le_bytes());
    // A severity of 10 is one for programs of old, and told as 0: clients may take all above it for errors.
    let class = if message.severity == 10 { 0 } else { message.severity };
    body.extend([message.state, class]);
    let text: Vec<u16> = message.message.encode_utf16().take(MESSAGE_UNITS_MAX).collect();
    medium_units(&text, &mut body);
    short_text(server, &mut body);
    short_text(&message.procedure, &mut body);
    body.extend(message.line.to_le_bytes());
    out.push(if message.is_information() { INFORMATION } else { ERROR });
    with_length(&body, out);
}

pub fn login_accepted(version: Version, (major, minor, build): (u8, u8, u16), out: &mut Vec<u8>) {
    let mut body = vec![1];
    body.extend(version.code());
    short_text("Microsoft SQL Server", &mut body);
    body.extend([major, minor]);
    body.extend(build.to_be_bytes());
    out.push(LOGIN_ACK);
    with_length(&body, out);
}

/// A change of what the client should know of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Environment<'a> {
    Database {
        from: &'a str,
        to: &'a str,
    },
    Language,
    PacketBytes {
        from: usize,
        to: usize,
    },
    Collation,
    TransactionBegan(u64),
    TransactionCommitted(u64),
    TransactionRolledBack(u64),
    /// The session was made as new.
    Reset,
}

pub fn environment(change: Environment<'_>, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    let texts = |code: u8, to: &str, from: &str, body: &mut Vec<u8>| {
        body.push(code);
        short_text(to, body);
        short_text(from, body);
    };
    let bytes = |code: u8, to: &[u8], from: &[u8], body: &mut Vec<u8>| {
        body.push(code);
        for value in [to, from] {
            body.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
            body.extend_from_slice(value);
        }
    };
    match change {
        Environment::Database { from, to } => texts(1, to, from, &mut body),
        Environment::Language => texts(2, "us_english", "", &mut body),
        Environment::PacketBytes { from, to } => texts(4, &to.to_string(), &from.to_string(), &mut body),
        Environment::Collation => bytes(7, &COLLATION, &[], &mut body),
        Environment::TransactionBegan(id) => bytes(8, &id.to_le_bytes(), &[], &mut body),
        Environment::TransactionCommitted(id) => bytes(9, &[], &id.to_le_bytes(), &mut body),
        Environment::TransactionRolledBack(id) => bytes(10, &[], &id.to_le_bytes(), &mut body),
        Environment::Reset => bytes(18, &[], &[], &mut body),
    }
    out.push(ENVIRONMENT_CHANGE);
    with_length(&body, out);
}

fn with_length(body: &[u8], out: &mut Vec<u8>) {
    out.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(body);
}

/// A text after its length in one byte, cut where that is too little.
pub fn short_text(text: &str, out: &mut Vec<u8>) {
    let units: Vec<u16> = text.encode_utf16().take(usize::from(u8::MAX)).collect();
    out.push(u8::try_from(units.len()).unwrap_or(u8::MAX));
    out.extend(units.into_iter().flat_map(u16::to_le_bytes));
}

/// A text after its length in two bytes.
pub fn medium_text(text: &str, out: &mut Vec<u8>) {
    let units: Vec<u16> = text.encode_utf16().take(usize::from(u16::MAX)).collect();
    medium_units(&units, out);
}

fn medium_units(units: &[u16], out: &mut Vec<u8>) {
    out.extend(u16::try_from(units.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_severity_of_ten_is_told_as_another() {
        for (severity, class) in [(0, 0), (9, 9), (10, 0), (11, 11), (16, 16)] {
            let mut out = Vec::new();
            message(&SqlError::new(50_000, severity, "x"), "s", &mut out);
            // After the kind of token, its length, the number and the state.
            assert_eq!(out[8], class, "{severity}");
        }
    }
}
