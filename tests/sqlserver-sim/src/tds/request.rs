//! What a client asks for once it is logged in.

use crate::engine::session::{Isolation, Parameter};
use crate::value::{SqlType, Value};

use super::bulk_load::{self, BulkLoad};
use super::decode;
use super::packet::{Kind, Message};
use super::reader::{ProtocolError, Reader, text_of_utf16};
use super::table_value;
use super::type_info;

/// A request.
#[derive(Debug)]
pub enum Request {
    Batch(String),
    /// Procedures to be called one after the other.
    Calls(Vec<Call>),
    Transaction(Transaction),
    /// The rows that an `INSERT BULK` has announced.
    BulkLoad(BulkLoad),
}

/// A procedure with its parameters.
#[derive(Debug)]
pub struct Call {
    pub procedure: Procedure,
    pub parameters: Vec<Parameter>,
}

/// Procedures that clients may call by number, and those that are part of the protocol rather than of the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Procedure {
    Named(String),
    Cursor(&'static str),
    ExecuteSql,
    Prepare,
    Execute,
    PrepareExecute,
    Unprepare,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transaction {
    Begin { name: String, isolation: Option<Isolation> },
    Commit { then: Option<Box<Transaction>> },
    Rollback { savepoint: String, then: Option<Box<Transaction>> },
    Save { savepoint: String },
}

/// The most parameters of a call.
const PARAMETERS_MAX: usize = 2100;

/// Reads a request.
pub fn read(message: &Message) -> Result<Request, ProtocolError> {
    let mut from = Reader::new(&message.payload);
    match message.kind {
        Kind::Batch => {
            skip_headers(&mut from)?;
            Ok(Request::Batch(text_of_utf16(from.rest())))
        }
        Kind::Rpc => {
            skip_headers(&mut from)?;
            read_calls(&mut from).map(Request::Calls)
        }
        Kind::TransactionManager => {
            skip_headers(&mut from)?;
            read_transaction(&mut from).map(Request::Transaction)
        }
        Kind::BulkLoad => bulk_load::read(&mut from).map(Request::BulkLoad),
        Kind::Attention | Kind::Login | Kind::Prelogin => {
            Err(ProtocolError::Invalid { what: "a packet's type within a session", value: message.kind as u64 })
        }
    }
}

/// The headers say which transaction the request is part of and which notification it wants: there is but one
/// transaction, and no notification.
fn skip_headers(from: &mut Reader<'_>) -> Result<(), ProtocolError> {
    let bytes = from.u32("the request's headers")?;
    let rest =
        bytes.checked_sub(4).ok_or(ProtocolError::Invalid { what: "the headers' length", value: bytes.into() })?;
    from.bytes(rest as usize, "the request's headers")?;
    Ok(())
}

fn read_calls(from: &mut Reader<'_>) -> Result<Vec<Call>, ProtocolError> {
    const NEXT: u8 = 0xff;
    const NEXT_OLD: u8 = 0x80;
    const NEXT_UNEXECUTED: u8 = 0xfe;
    let mut calls = Vec::new();
    loop {
        let procedure = read_procedure(from)?;
        // Whether to compile anew, and whether the client does without the columns' descriptions, which it may have
        // anyway.
        from.u16("a call's options")?;
        let mut parameters = Vec::new();
        let ends = loop {
            match from.peek() {
                None => break true,
                // The next byte is the length of a name, which is never as long as these.
                Some(NEXT | NEXT_OLD | NEXT_UNEXECUTED) => {
                    from.u8("the next call")?;
                    break from.is_empty();
                }
                Some(_) if parameters.len() == PARAMETERS_MAX => {
                    return Err(ProtocolError::TooLarge {
                        what: "the list of parameters",
                        bytes: PARAMETERS_MAX as u64 + 1,
                        bytes_max: PARAMETERS_MAX as u64,
                    });
                }
                Some(_) => parameters.push(read_parameter(from)?),
            }
        };
        calls.push(Call { procedure, parameters });
        if ends {
            return Ok(calls);
        }
    }
}

fn read_procedure(from: &mut Reader<'_>) -> Result<Procedure, ProtocolError> {
    const BY_NUMBER: u16 = 0xffff;
    let units = from.u16("a procedure's name")?;
    if units != BY_NUMBER {
        return Ok(named(from.text(usize::from(units), "a procedure's name")?));
    }
    let number = from.u16("a procedure's number")?;
    Ok(match number {
        1 => Procedure::Cursor("sp_cursor"),
        2 => Procedure::Cursor("sp_cursoropen"),
        3 => Procedure::Cursor("sp_cursorprepare"),
        4 => Procedure::Cursor("sp_cursorexecute"),
        5 => Procedure::Cursor("sp_cursorprepexec"),
        6 => Procedure::Cursor("sp_cursorunprepare"),
        7 => Procedure::Cursor("sp_cursorfetch"),
        8 => Procedure::Cursor("sp_cursoroption"),
        9 => Procedure::Cursor("sp_cursorclose"),
        10 => Procedure::ExecuteSql,
        11 => Procedure::Prepare,
        12 => Procedure::Execute,
        13 => Procedure::PrepareExecute,
        15 => Procedure::Unprepare,
        _ => return Err(ProtocolError::Invalid { what: "a procedure's number", value: u64::from(number) }),
    })
}

/// Clients call the procedures of the protocol by name, too.
fn named(name: String) -> Procedure {
    match name.to_ascii_lowercase().trim_start_matches("sys.") {
        "sp_executesql" => Procedure::ExecuteSql,
        "sp_prepare" => Procedure::Prepare,
        "sp_execute" => Procedure::Execute,
        "sp_prepexec" => Procedure::PrepareExecute,
        "sp_unprepare" => Procedure::Unprepare,
        _ => Procedure::Named(name),
    }
}

fn read_parameter(from: &mut Reader<'_>) -> Result<Parameter, ProtocolError> {
    const BY_REFERENCE: u8 = 0x01;
    const DEFAULT: u8 = 0x02;
    let name = from.short_text("a parameter's name")?;
    let status = from.u8("a parameter's status")?;
    if from.peek() == Some(type_info::code::TABLE) {
        let table = Some(Box::new(table_value::read(from)?));
        return Ok(Parameter { name, sql_type: SqlType::Int, value: Value::Null, output: false, table });
    }
    let declared = type_info::read(from)?;
    let value = decode::read(declared, from)?;
    let value = if status & DEFAULT == 0 { value } else { Value::Null };
    Ok(Parameter { name, sql_type: declared.sql_type, value, output: status & BY_REFERENCE != 0, table: None })
}

fn read_transaction(from: &mut Reader<'_>) -> Result<Transaction, ProtocolError> {
    const BEGIN: u16 = 5;
    const COMMIT: u16 = 7;
    const ROLLBACK: u16 = 8;
    const SAVE: u16 = 9;
    let kind = from.u16("a transaction request")?;
    Ok(match kind {
        BEGIN => read_begin(from)?,
        COMMIT => {
            read_name(from)?;
            Transaction::Commit { then: read_then(from)? }
        }
        ROLLBACK => Transaction::Rollback { savepoint: read_name(from)?, then: read_then(from)? },
        SAVE => Transaction::Save { savepoint: read_name(from)? },
        // Distributed transactions.
        0 | 1 | 6 => return Err(ProtocolError::Unsupported("a distributed transaction")),
        _ => return Err(ProtocolError::Invalid { what: "a transaction request", value: u64::from(kind) }),
    })
}

fn read_begin(from: &mut Reader<'_>) -> Result<Transaction, ProtocolError> {
    let isolation = match from.u8("an isolation level")? {
        0 => None,
        1 => Some(Isolation::ReadUncommitted),
        2 => Some(Isolation::ReadCommitted),
        3 => Some(Isolation::RepeatableRead),
        4 => Some(Isolation::Serializable),
        5 => Some(Isolation::Snapshot),
        level => return Err(ProtocolError::Invalid { what: "an isolation level", value: u64::from(level) }),
    };
    Ok(Transaction::Begin { name: read_name(from)?, isolation })
}

/// A name, its length in bytes before it.
fn read_name(from: &mut Reader<'_>) -> Result<String, ProtocolError> {
    let bytes = from.u8("a transaction's name")?;
    from.bytes(usize::from(bytes), "a transaction's name").map(text_of_utf16)
}

/// What ends a transaction may begin the next.
fn read_then(from: &mut Reader<'_>) -> Result<Option<Box<Transaction>>, ProtocolError> {
    match from.u8("a transaction request's flags")? & 0x01 {
        0 => Ok(None),
        _ => read_begin(from).map(|begin| Some(Box::new(begin))),
    }
}
