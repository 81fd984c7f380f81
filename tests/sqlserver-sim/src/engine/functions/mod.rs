//! The scalar functions of T-SQL.

mod date;
mod json;
mod metadata;
mod number;
mod permission;
mod session;
mod text;
mod variant_property;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use crate::error::SqlResult;
use crate::value::{SqlType, Value};

use super::state::Execution;

pub use date::date_part;
pub use json::{JsonColumn, OpenJson};

/// What a function takes; arguments are converted to it beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parameter {
    Any,
    Text,
    /// `bigint`.
    Integer,
    /// Any number, as it is.
    Number,
    Float,
    /// A date, a time or both.
    Moment,
}

type Returns = fn(&[SqlType]) -> SqlResult<SqlType>;
/// Gets the arguments, their types, and the type of the result.
type Run = fn(&mut Execution<'_>, &[Value], &[SqlType], SqlType) -> SqlResult<Value>;

#[derive(Debug)]
pub struct Builtin {
    /// In capitals.
    pub name: &'static str,
    pub arguments: RangeInclusive<usize>,
    /// Of each argument; the last one's holds for all that follow.
    pub parameters: &'static [Parameter],
    pub returns: Returns,
    /// NULL for any argument gives NULL.
    pub null_in_null_out: bool,
    pub run: Run,
}

impl Builtin {
    const fn new(
        name: &'static str,
        arguments: RangeInclusive<usize>,
        parameters: &'static [Parameter],
        returns: Returns,
        run: Run,
    ) -> Self {
        Self { name, arguments, parameters, returns, null_in_null_out: true, run }
    }

    /// One that looks at NULLs itself.
    const fn with_nulls(self) -> Self {
        Self { null_in_null_out: false, ..self }
    }
}

static ALL: LazyLock<HashMap<&'static str, &'static Builtin>> = LazyLock::new(|| {
    let lists: [&'static [Builtin]; 8] = [
        text::FUNCTIONS,
        number::FUNCTIONS,
        date::FUNCTIONS,
        session::FUNCTIONS,
        metadata::FUNCTIONS,
        permission::FUNCTIONS,
        json::FUNCTIONS,
        variant_property::FUNCTIONS,
    ];
    lists.into_iter().flatten().map(|function| (function.name, function)).collect()
});

/// The function of this name, which is in capitals.
pub fn find(name: &str) -> Option<&'static Builtin> {
    ALL.get(name).copied()
}

/// Functions of a real server that aren't here.
const MISSING: &str = "\
    APPLOCK_MODE APPLOCK_TEST APPROX_COUNT_DISTINCT ASSEMBLYPROPERTY ASYMKEY_ID ATN2 BINARY_CHECKSUM BIT_COUNT \
    CERTENCODED CERT_ID CHECKSUM_AGG COMPRESS COT CUBE CUME_DIST DATETIMEOFFSETFROMPARTS DATETRUNC DATE_BUCKET \
    DECOMPRESS DEGREES DIFFERENCE FILE_ID FILE_IDEX FILE_NAME FORMAT FORMATMESSAGE FULLTEXTSERVICEPROPERTY \
    GENERATE_SERIES GETANSINULL GET_BIT GREATEST GROUPING GROUPING_ID HASHBYTES INDEXKEY_PROPERTY JSON_ARRAY \
    JSON_ARRAYAGG JSON_OBJECT JSON_OBJECTAGG JSON_PATH_EXISTS LEAST LEFT_SHIFT MIN_ACTIVE_ROWVERSION OPENQUERY \
    OPENROWSET PARSE PERCENTILE_CONT PERCENTILE_DISC PERCENT_RANK PWDCOMPARE PWDENCRYPT RADIANS REGEXP_LIKE \
    REGEXP_REPLACE RIGHT_SHIFT ROLLUP SET_BIT SMALLDATETIMEFROMPARTS SOUNDEX TERTIARY_WEIGHTS TIMEFROMPARTS \
    TRY_PARSE TYPEPROPERTY VECTOR_DISTANCE";

/// Whether a real server has a function of this name, which is in capitals, that isn't here.
pub fn is_missing(name: &str) -> bool {
    MISSING.split(' ').any(|missing| missing == name)
}

// Types of results that several share.

fn int(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Int)
}

fn bigint(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::BigInt)
}

fn sysname(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::NVarChar(crate::value::Length::Limited(128)))
}

fn float(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Float)
}

fn variant(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Variant)
}

fn first(types: &[SqlType]) -> SqlResult<SqlType> {
    Ok(types.first().copied().unwrap_or(SqlType::Int))
}

// Arguments.

fn text_at(values: &[Value], at: usize) -> &str {
    values.get(at).and_then(Value::as_text).unwrap_or_default()
}

fn integer_at(values: &[Value], at: usize) -> Option<i64> {
    values.get(at).and_then(Value::as_integer)
}
