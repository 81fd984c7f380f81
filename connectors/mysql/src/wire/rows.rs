//! Queries on a connection of our own, and the rows of a table straight from its bytes.
//!
//! The driver makes a vector of each row and another of each text, only for the values to be copied out of them. That
//! was a seventh of the work of a first read, so rows are taken from the packets as they lie in the connection's buffer.

use std::sync::Arc;

use mysql_async::consts::ColumnType;
use mysql_async::prelude::FromRow;
use mysql_async::{Column, DriverError, Error, Row, Value};
use mysql_common::io::ParseBuf;
use mysql_common::packets::StmtPacket;
use mysql_common::proto::{MyDeserialize, Text};
use mysql_common::row::{RowDeserializer, convert::from_row_opt};
use mysql_common::value::{BinValue, ValueDeserializer};

use super::packets::{Packets, server_error};
use crate::decode::DecodeError;
use crate::decode::bytes::{Bytes, bit};

const QUERY: u8 = 0x03;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const CLOSE: u8 = 0x19;

const ROW: u8 = 0x00;
const END_OF_ROWS: u8 = 0xfe;
const ERROR: u8 = 0xff;

/// No table and no answer has more columns.
const COLUMNS_MAX: u64 = 4_096;
/// The most rows that a query whose rows are taken all at once may answer.
const QUERY_ROWS_MAX: usize = 100_000;

impl Packets {
    /// Runs a statement without an answer of rows.
    pub(crate) async fn execute(&mut self, statement: &str) -> Result<(), Error> {
        self.query::<Row>(statement).await.map(drop)
    }

    /// The rows of a query, all at once.
    pub(crate) async fn query<T: FromRow>(&mut self, query: &str) -> Result<Vec<T>, Error> {
        self.text_command(QUERY, query).await?;
        let columns = self.columns_of_answer().await?;
        let mut rows = Vec::new();
        if columns.is_empty() {
            return Ok(rows);
        }
        loop {
            let packet = self.answer().await?;
            if is_end(&packet) {
                return Ok(rows);
            }
            if rows.len() >= QUERY_ROWS_MAX {
                return Err(Error::Driver(DriverError::PacketTooLarge));
            }
            let row: RowDeserializer<(), Text> = ParseBuf(&packet).parse(Arc::clone(&columns))?;
            let row = from_row_opt(row.into()).map_err(|error| DriverError::FromRow { row: error.0 })?;
            rows.push(row);
        }
    }

    /// Asks for rows, to be taken one after the other in the binary protocol.
    pub(crate) async fn select(&mut self, query: &str) -> Result<Rows<'_>, Error> {
        self.text_command(PREPARE, query).await?;
        let prepared = self.answer().await?;
        let prepared: StmtPacket = ParseBuf(&prepared).parse(())?;
        self.columns(prepared.num_params().into()).await?;
        self.columns(prepared.num_columns().into()).await?;
        let statement = prepared.statement_id();
        let [a, b, c, d] = statement.to_le_bytes();
        // Without a cursor, once.
        self.command(&[EXECUTE, a, b, c, d, 0, 1, 0, 0, 0]).await?;
        let columns = self.columns_of_answer().await?;
        Ok(Rows { packets: self, statement, columns })
    }

    async fn text_command(&mut self, command: u8, text: &str) -> Result<(), Error> {
        let mut payload = Vec::with_capacity(text.len() + 1);
        payload.push(command);
        payload.extend_from_slice(text.as_bytes());
        self.command(&payload).await
    }

    /// The columns of an answer of rows; none if it has no rows to tell.
    async fn columns_of_answer(&mut self) -> Result<Arc<[Column]>, Error> {
        let packet = self.answer().await?;
        let count = Bytes::new(&packet).length("the number of columns").map_err(|_| unexpected(&packet))?;
        self.columns(count).await
    }

    /// So many descriptions of columns, and the mark at their end.
    async fn columns(&mut self, count: u64) -> Result<Arc<[Column]>, Error> {
        if count > COLUMNS_MAX {
            return Err(Error::Driver(DriverError::PacketTooLarge));
        }
        let mut columns = Vec::new();
        for _ in 0..count {
            let packet = self.answer().await?;
            columns.push(ParseBuf(&packet).parse(())?);
        }
        if count > 0 {
            self.answer().await?;
        }
        Ok(columns.into())
    }
}

/// The rows of an answer. If they aren't taken to their end the connection is of no use any more.
pub(crate) struct Rows<'c> {
    packets: &'c mut Packets,
    statement: u32,
    columns: Arc<[Column]>,
}

impl Rows<'_> {
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The next row; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<BinaryRow<'_>>, Error> {
        let packet = self.packets.packet().await?;
        match packet {
            [ROW, body @ ..] => {
                let (nulls, values) =
                    body.split_at_checked(BinaryRow::null_bytes(&self.columns)).ok_or_else(|| unexpected(&[]))?;
                Ok(Some(BinaryRow { columns: &self.columns, nulls, values }))
            }
            [ERROR, ..] => Err(server_error(packet)),
            packet if is_end(packet) => Ok(None),
            // Not what it is: it may hold values.
            _ => Err(unexpected(&[])),
        }
    }

    /// Lets the server forget the query. All rows have been taken.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let [a, b, c, d] = self.statement.to_le_bytes();
        self.packets.command(&[CLOSE, a, b, c, d]).await
    }
}

/// A row in the binary protocol.
#[derive(Clone, Copy)]
pub(crate) struct BinaryRow<'p> {
    columns: &'p [Column],
    /// A bit for each column that is NULL.
    nulls: &'p [u8],
    values: &'p [u8],
}

/// One value of a row.
pub(crate) enum Field<'p> {
    /// Text, digits or bytes, as they came.
    Bytes(&'p [u8]),
    /// NULL, a number, a date or a time.
    Value(Value),
}

impl<'p> BinaryRow<'p> {
    /// The bits before those of the columns.
    const NULLS_BEGIN: usize = 2;

    fn null_bytes(columns: &[Column]) -> usize {
        (columns.len() + Self::NULLS_BEGIN).div_ceil(8)
    }

    /// The row's values in order; none after one that can't be read.
    pub(crate) fn fields(self) -> impl Iterator<Item = Result<Field<'p>, DecodeError>> {
        let mut left = Bytes::new(self.values);
        self.columns.iter().enumerate().map(move |(index, column)| match bit(self.nulls, index + Self::NULLS_BEGIN) {
            true => Ok(Field::Value(Value::NULL)),
            false => field(column, &mut left),
        })
    }

    /// The row's values in order.
    pub(crate) fn values(self) -> Result<Vec<Value>, DecodeError> {
        let values = self.fields().map(|field| match field? {
            Field::Bytes(bytes) => Ok(Value::Bytes(bytes.to_vec())),
            Field::Value(value) => Ok(value),
        });
        values.collect()
    }
}

fn field<'p>(column: &Column, left: &mut Bytes<'p>) -> Result<Field<'p>, DecodeError> {
    let kind = column.column_type();
    match kind {
        ColumnType::MYSQL_TYPE_TINY
        | ColumnType::MYSQL_TYPE_SHORT
        | ColumnType::MYSQL_TYPE_YEAR
        | ColumnType::MYSQL_TYPE_INT24
        | ColumnType::MYSQL_TYPE_LONG
        | ColumnType::MYSQL_TYPE_LONGLONG
        | ColumnType::MYSQL_TYPE_FLOAT
        | ColumnType::MYSQL_TYPE_DOUBLE
        | ColumnType::MYSQL_TYPE_DATE
        | ColumnType::MYSQL_TYPE_TIME
        | ColumnType::MYSQL_TYPE_DATETIME
        | ColumnType::MYSQL_TYPE_TIMESTAMP => {
            let mut buffer = ParseBuf(left.rest());
            let value = ValueDeserializer::<BinValue>::deserialize((kind, column.flags()), &mut buffer)
                .map_err(|_| DecodeError::Truncated { what: "a value of a row" })?;
            *left = Bytes::new(buffer.0);
            Ok(Field::Value(value.0))
        }
        _ => left.with_length("a value of a row").map(Field::Bytes),
    }
}

fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&END_OF_ROWS) && packet.len() < 9
}

fn unexpected(packet: &[u8]) -> Error {
    Error::Driver(DriverError::UnexpectedPacket { payload: packet.to_vec() })
}
