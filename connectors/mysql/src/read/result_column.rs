//! One column of a query's answer: what it must look like, and what its values are.
//!
//! Answers come by the binary protocol, which has floating-point numbers and dates as such, and without conversion of
//! texts: their bytes are those of the column, as in the log.

use millstream_core::row::RowBatch;
use millstream_core::schema::Column;
use millstream_core::value::ValueRef;
use mysql_async::consts::{ColumnFlags, ColumnType as ResultType};
use mysql_async::{Column as AnswerColumn, Value};

use crate::decode::DecodeError;
use crate::decode::charset::{Charset, charset_of_collation_id};
use crate::decode::column_type::ColumnType;
use crate::decode::decimal::without_zerofill;
use crate::decode::json::compact;
use crate::decode::labels::{EnumLabels, SetLabels};
use crate::decode::number::double_of_float;
use crate::decode::push_unsigned;
use crate::decode::temporal::{DateTime, Duration};
use crate::wire::Field;

/// How one column is asked for and read.
#[derive(Debug)]
pub(super) struct ResultColumn {
    pub(super) column_type: ColumnType,
    render: Render,
}

#[derive(Debug)]
enum Render {
    /// The number, float or blob as it comes.
    Plain,
    Decimal,
    Text(Charset),
    Enum(EnumLabels),
    Set(SetLabels),
    Json,
    Date,
    DateTime {
        fraction: u8,
    },
    Time {
        fraction: u8,
    },
    /// Text of the server's own making, in ASCII.
    Ascii,
}

impl ResultColumn {
    /// Fails with the reason if the schema's type can't be read.
    pub(super) fn new(column: &Column) -> Result<ResultColumn, String> {
        let column_type = ColumnType::parse(&column.source_type)
            .ok_or_else(|| format!("column `{}` has the type `{}`", column.name, column.source_type))?;
        let charset = || {
            column
                .collation
                .as_deref()
                .and_then(Charset::of_collation)
                .ok_or_else(|| format!("column `{}` has the collation {:?}", column.name, column.collation))
        };
        let render = match &column_type {
            ColumnType::Decimal { .. } => Render::Decimal,
            ColumnType::Char { .. } | ColumnType::VarChar { .. } | ColumnType::Text { .. } => Render::Text(charset()?),
            ColumnType::Enum { labels } => Render::Enum(EnumLabels::new(labels.clone())),
            ColumnType::Set { labels } => Render::Set(SetLabels::new(labels)),
            ColumnType::Json => Render::Json,
            ColumnType::Date => Render::Date,
            ColumnType::DateTime { fraction } | ColumnType::Timestamp { fraction } => {
                Render::DateTime { fraction: *fraction }
            }
            ColumnType::Time { fraction } => Render::Time { fraction: *fraction },
            ColumnType::Uuid | ColumnType::Inet4 | ColumnType::Inet6 => Render::Ascii,
            _ => Render::Plain,
        };
        Ok(ResultColumn { column_type, render })
    }

    /// What to select. Labels are asked for by number, so that they come from the schema on both paths: the server
    /// shows a schema's labels in a narrower character set than the values.
    pub(super) fn expression(&self, quoted_name: &str) -> String {
        match self.render {
            Render::Enum(_) | Render::Set(_) => format!("CAST({quoted_name} AS UNSIGNED)"),
            _ => quoted_name.to_owned(),
        }
    }

    /// Whether the answer's column is what the schema says; else how it differs.
    pub(super) fn check(&self, answer: &AnswerColumn) -> Result<(), String> {
        let kind = answer.column_type();
        let expected: &[ResultType] = match &self.column_type {
            ColumnType::Int { bytes: 1, .. } => &[ResultType::MYSQL_TYPE_TINY],
            ColumnType::Int { bytes: 2, .. } => &[ResultType::MYSQL_TYPE_SHORT],
            ColumnType::Int { bytes: 3, .. } => &[ResultType::MYSQL_TYPE_INT24],
            ColumnType::Int { bytes: 4, .. } => &[ResultType::MYSQL_TYPE_LONG],
            ColumnType::Int { .. } => &[ResultType::MYSQL_TYPE_LONGLONG],
            // As numbers; MariaDB answers with as narrow a type as they need.
            ColumnType::Enum { .. } | ColumnType::Set { .. } => {
                &[ResultType::MYSQL_TYPE_LONGLONG, ResultType::MYSQL_TYPE_LONG]
            }
            ColumnType::Decimal { .. } => &[ResultType::MYSQL_TYPE_NEWDECIMAL],
            ColumnType::Float { .. } => &[ResultType::MYSQL_TYPE_FLOAT],
            ColumnType::Double { .. } => &[ResultType::MYSQL_TYPE_DOUBLE],
            ColumnType::Bit { .. } => &[ResultType::MYSQL_TYPE_BIT],
            ColumnType::Year => &[ResultType::MYSQL_TYPE_YEAR],
            ColumnType::Date => &[ResultType::MYSQL_TYPE_DATE],
            ColumnType::Time { .. } => &[ResultType::MYSQL_TYPE_TIME],
            ColumnType::DateTime { .. } => &[ResultType::MYSQL_TYPE_DATETIME],
            ColumnType::Timestamp { .. } => &[ResultType::MYSQL_TYPE_TIMESTAMP],
            ColumnType::Char { .. }
            | ColumnType::Binary { .. }
            | ColumnType::Uuid
            | ColumnType::Inet4
            | ColumnType::Inet6 => &[ResultType::MYSQL_TYPE_STRING],
            ColumnType::VarChar { .. } | ColumnType::VarBinary { .. } => &[ResultType::MYSQL_TYPE_VAR_STRING],
            ColumnType::Text { .. } | ColumnType::Blob { .. } => &[ResultType::MYSQL_TYPE_BLOB],
            ColumnType::Json => &[ResultType::MYSQL_TYPE_JSON],
            ColumnType::Geometry => &[ResultType::MYSQL_TYPE_GEOMETRY],
            ColumnType::Vector => &[ResultType::MYSQL_TYPE_VECTOR],
        };
        if !expected.contains(&kind) {
            return Err(format!("it is of type {kind:?}"));
        }
        let is_unsigned = answer.flags().contains(ColumnFlags::UNSIGNED_FLAG);
        if let Some(unsigned) = self.column_type.unsigned()
            && unsigned != is_unsigned
        {
            return Err(format!("it is {}", if is_unsigned { "unsigned" } else { "signed" }));
        }
        let answered_charset = charset_of_collation_id(u64::from(answer.character_set()));
        match (&self.render, answered_charset) {
            (Render::Text(charset), Some(answered)) if charset.name() == answered => Ok(()),
            (Render::Text(_), answered) => Err(format!("its character set is {}", answered.unwrap_or("binary"))),
            _ => Ok(()),
        }
    }

    /// Appends a value of the answer to the batch; fails with the reason if it isn't one that the type can have.
    pub(super) fn push(&self, field: &Field<'_>, batch: &mut RowBatch, text: &mut String) -> Result<(), String> {
        text.clear();
        match field {
            Field::Bytes(bytes) => self.push_bytes(bytes, batch, text),
            Field::Value(value) => self.push_value(value, batch, text),
        }
    }

    fn push_bytes(&self, bytes: &[u8], batch: &mut RowBatch, text: &mut String) -> Result<(), String> {
        let value = match &self.render {
            Render::Plain => ValueRef::Blob(bytes),
            Render::Text(charset) => ValueRef::Text(charset.decode(bytes, text)),
            Render::Decimal => ValueRef::Text(without_zerofill(ascii(bytes)?)),
            Render::Ascii => ValueRef::Text(ascii(bytes)?),
            Render::Json => {
                compact(&String::from_utf8_lossy(bytes), text);
                ValueRef::Text(text)
            }
            Render::Enum(_) | Render::Set(_) | Render::Date | Render::DateTime { .. } | Render::Time { .. } => {
                return Err("a value of another type".to_owned());
            }
        };
        batch.push(value).map_err(|error| error.to_string())
    }

    fn push_value(&self, value: &Value, batch: &mut RowBatch, text: &mut String) -> Result<(), String> {
        let malformed = |error: DecodeError| error.to_string();
        match (&self.render, value) {
            (_, Value::NULL) => return batch.push(ValueRef::Null).map_err(|error| error.to_string()),
            (Render::Plain, Value::UInt(value)) => return push_unsigned(*value, batch, text).map_err(malformed),
            (Render::Plain, value) => {
                let number = match value {
                    Value::Int(value) => ValueRef::Int(*value),
                    Value::Float(value) => ValueRef::Real(double_of_float(*value, text)),
                    Value::Double(value) => ValueRef::Real(*value),
                    _ => return Err("a value of another type".to_owned()),
                };
                return batch.push(number).map_err(|error| error.to_string());
            }
            (Render::Enum(labels), value) => text.push_str(labels.label(number(value)?).map_err(malformed)?),
            (Render::Set(labels), value) => labels.write(number(value)?, text).map_err(malformed)?,
            (Render::Date, value) => date_time(value)?.write_date(text),
            (Render::DateTime { fraction }, value) => date_time(value)?.write(*fraction, text),
            (Render::Time { fraction }, value) => duration(value)?.write(*fraction, text),
            _ => return Err("a value of another type".to_owned()),
        }
        batch.push(ValueRef::Text(text)).map_err(|error| error.to_string())
    }
}

fn ascii(bytes: &[u8]) -> Result<&str, String> {
    str::from_utf8(bytes).map_err(|_| "a number that isn't ASCII".to_owned())
}

pub(super) fn number(value: &Value) -> Result<u64, String> {
    match value {
        Value::UInt(number) => Ok(*number),
        Value::Int(number) => u64::try_from(*number).map_err(|_| "a negative number for labels".to_owned()),
        _ => Err("something else than a number for labels".to_owned()),
    }
}

pub(super) fn date_time(value: &Value) -> Result<DateTime, String> {
    let Value::Date(year, month, day, hour, minute, second, micros) = *value else {
        return Err("a value that isn't a date".to_owned());
    };
    DateTime { year, month, day, hour, minute, second, micros }.checked().map_err(|error| error.to_string())
}

pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    let Value::Time(negative, days, hours, minutes, seconds, micros) = *value else {
        return Err("a value that isn't a time".to_owned());
    };
    let hours = days.saturating_mul(24).saturating_add(u32::from(hours));
    Duration { negative, hours, minutes, seconds, micros }.checked().map_err(|error| error.to_string())
}
