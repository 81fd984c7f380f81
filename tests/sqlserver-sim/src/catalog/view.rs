//! A view of the catalog: what its rows are about, and its columns, each with how its value is found.

use std::sync::Arc;

use crate::engine::context::Context;
use crate::engine::relation::{Column, Relation, RowSink, Wanted};
use crate::error::SqlResult;
use crate::value::{Length, Moment, SqlType, Value};

use super::scope::Scope;

pub const BIT: SqlType = SqlType::Bit;
pub const TINYINT: SqlType = SqlType::TinyInt;
pub const SMALLINT: SqlType = SqlType::SmallInt;
pub const INT: SqlType = SqlType::Int;
pub const BIGINT: SqlType = SqlType::BigInt;
pub const DATETIME: SqlType = SqlType::DateTime;
pub const SYSNAME: SqlType = SqlType::SysName;
pub const TEXT: SqlType = SqlType::NVarChar(Length::Max);

pub const fn nvarchar(characters: u16) -> SqlType {
    SqlType::NVarChar(Length::Limited(characters))
}

pub const fn varchar(characters: u16) -> SqlType {
    SqlType::VarChar(Length::Limited(characters))
}

pub const fn varbinary(bytes: u16) -> SqlType {
    SqlType::VarBinary(Length::Limited(bytes))
}

pub fn text(text: &str) -> Value {
    Value::text(text)
}

pub fn optional_text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::text)
}

pub fn bit(bit: bool) -> Value {
    Value::Bit(bit)
}

pub fn int(number: i32) -> Value {
    Value::Int(number)
}

pub fn bigint(number: u64) -> Value {
    Value::BigInt(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A number of something; no server has more of it than fits.
pub fn count(number: usize) -> Value {
    Value::Int(i32::try_from(number).unwrap_or(i32::MAX))
}

pub fn datetime(moment: Moment) -> Value {
    moment.to_datetime().map_or(Value::Null, |(days, ticks)| Value::DateTime { days, ticks })
}

type Finder<T> = for<'a> fn(&T, &Scope<'a>) -> Value;

enum Source<T> {
    Found(Finder<T>),
    /// What is the same on every server of this kind.
    Always(Value),
}

/// A view whose rows are about things of type `T`.
pub struct View<T> {
    columns: Vec<Column>,
    sources: Vec<Source<T>>,
    things: for<'a> fn(&Scope<'a>) -> Vec<T>,
}

impl<T: 'static> View<T> {
    pub fn of(things: for<'a> fn(&Scope<'a>) -> Vec<T>) -> Self {
        Self { columns: Vec::new(), sources: Vec::new(), things }
    }

    /// A column that is never NULL.
    pub fn field(self, name: &str, sql_type: SqlType, find: Finder<T>) -> Self {
        self.push(name, sql_type, false, Source::Found(find))
    }

    /// A column that may be NULL.
    pub fn nullable(self, name: &str, sql_type: SqlType, find: Finder<T>) -> Self {
        self.push(name, sql_type, true, Source::Found(find))
    }

    pub fn always(self, name: &str, sql_type: SqlType, value: Value) -> Self {
        let nullable = value.is_null();
        self.push(name, sql_type, nullable, Source::Always(value))
    }

    /// Bits that are never set.
    pub fn unset(self, names: &[&str]) -> Self {
        names.iter().fold(self, |view, name| view.always(name, BIT, Value::Bit(false)))
    }

    /// Columns without a value.
    pub fn nulls(self, sql_type: SqlType, names: &[&str]) -> Self {
        names.iter().fold(self, |view, name| view.always(name, sql_type, Value::Null))
    }

    /// Columns that several views share.
    pub fn with(self, more: impl FnOnce(Self) -> Self) -> Self {
        more(self)
    }

    pub fn build(self) -> Arc<dyn Relation> {
        Arc::new(self)
    }

    fn push(mut self, name: &str, sql_type: SqlType, nullable: bool, source: Source<T>) -> Self {
        self.columns.push(Column::new(name, sql_type, nullable));
        self.sources.push(source);
        self
    }
}

impl<T: 'static> Relation for View<T> {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn rows(&self, context: &Context<'_>, wanted: &Wanted, sink: &mut RowSink<'_>) -> SqlResult<()> {
        let scope = Scope::of(context)?;
        let find = |source: &Source<T>, thing: &T| match source {
            Source::Found(find) => find(thing, &scope),
            Source::Always(value) => value.clone(),
        };
        for thing in (self.things)(&scope) {
            let fits = wanted.equal.iter().all(|(column, value)| match self.sources.get(*column) {
                Some(source) => find(source, &thing) == *value,
                None => true,
            });
            if !fits {
                continue;
            }
            let row = self
                .sources
                .iter()
                .enumerate()
                .map(|(column, source)| if wanted.has(column) { find(source, &thing) } else { Value::Null });
            sink(row.collect())?;
        }
        Ok(())
    }
}
