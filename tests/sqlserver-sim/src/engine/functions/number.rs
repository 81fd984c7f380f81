//! Functions of numbers.

use crate::error::{SqlError, SqlResult};
use crate::value::convert::{self, exact};
use crate::value::sql_type::Family;
use crate::value::{Decimal, SqlType, Value, arithmetic};

use super::Parameter::{Any, Float, Integer, Number};
use super::{Builtin, first, float, int, integer_at};

pub const FUNCTIONS: &[Builtin] = &[
    Builtin::new("ABS", 1..=1, &[Number], number_type, |_, values, _, result| match values.first() {
        Some(value) if is_negative(value) => arithmetic::negate(value, result),
        Some(value) => convert::convert(value, value.natural_type(), result, None),
        None => Ok(Value::Null),
    }),
    Builtin::new("SIGN", 1..=1, &[Number], number_type, |_, values, _, result| {
        let value = values.first().unwrap_or(&Value::Null);
        let sign = if is_negative(value) { -1 } else { i32::from(!is_zero(value)) };
        convert::convert(&Value::Int(sign), SqlType::Int, result, None)
    }),
    Builtin::new("CEILING", 1..=1, &[Number], whole_type, |_, values, types, result| {
        rounded(values, types, result, Direction::Up)
    }),
    Builtin::new("FLOOR", 1..=1, &[Number], whole_type, |_, values, types, result| {
        rounded(values, types, result, Direction::Down)
    }),
    Builtin::new("ROUND", 2..=3, &[Number, Integer, Integer], number_type, |_, values, types, result| {
        round(values, types, result)
    }),
    Builtin::new("POWER", 2..=2, &[Number, Float], number_type, |_, values, types, result| {
        let base = as_float(values.first(), types.first())?;
        let exponent = as_float(values.get(1), Some(&SqlType::Float))?;
        convert::convert(&Value::Float(base.powf(exponent)), SqlType::Float, result, None)
    }),
    Builtin::new("SQRT", 1..=1, &[Float], float, |_, values, _, _| {
        let number = as_float(values.first(), Some(&SqlType::Float))?;
        if number < 0.0 { Err(invalid_operation()) } else { Ok(Value::Float(number.sqrt())) }
    }),
    Builtin::new("SQUARE", 1..=1, &[Float], float, |_, values, _, _| of_float(values, |number| number * number)),
    Builtin::new("EXP", 1..=1, &[Float], float, |_, values, _, _| of_float(values, f64::exp)),
    Builtin::new("SIN", 1..=1, &[Float], float, |_, values, _, _| of_float(values, f64::sin)),
    Builtin::new("COS", 1..=1, &[Float], float, |_, values, _, _| of_float(values, f64::cos)),
    Builtin::new("TAN", 1..=1, &[Float], float, |_, values, _, _| of_float(values, f64::tan)),
    Builtin::new("PI", 0..=0, &[], float, |_, _, _, _| Ok(Value::Float(std::f64::consts::PI))),
    Builtin::new("LOG10", 1..=1, &[Float], float, |_, values, _, _| logarithm(values, |number| number.log10())),
    Builtin::new("LOG", 1..=2, &[Float, Float], float, |_, values, _, _| match values.get(1) {
        Some(base) => {
            let base = as_float(Some(base), Some(&SqlType::Float))?;
            logarithm(values, move |number| number.log(base))
        }
        None => logarithm(values, f64::ln),
    }),
    Builtin::new("CHECKSUM", 1..=254, &[Any], int, |_, _, _, _| Err(SqlError::unsupported("CHECKSUM"))),
    Builtin::new("ISNUMERIC", 1..=1, &[Any], int, |_, values, types, _| {
        let value = values.first().unwrap_or(&Value::Null);
        let from = types.first().copied().unwrap_or(SqlType::Int);
        let numeric = match value {
            Value::Null => false,
            Value::Text(text) => {
                !text.trim().is_empty()
                    && (convert::convert(value, from, SqlType::Float, None).is_ok()
                        || convert::convert(value, from, SqlType::Money, None).is_ok())
            }
            _ => from.is_number(),
        };
        Ok(Value::Int(i32::from(numeric)))
    })
    .with_nulls(),
    Builtin::new("RAND", 0..=1, &[Integer], float, |execution, values, _, _| {
        Ok(Value::Float(execution.state.next_random(integer_at(values, 0))))
    })
    .with_nulls(),
];

fn number_type(types: &[SqlType]) -> SqlResult<SqlType> {
    Ok(match first(types)? {
        SqlType::Bit | SqlType::TinyInt | SqlType::SmallInt => SqlType::Int,
        SqlType::Real => SqlType::Float,
        SqlType::SmallMoney => SqlType::Money,
        other => other,
    })
}

fn whole_type(types: &[SqlType]) -> SqlResult<SqlType> {
    Ok(match number_type(types)? {
        SqlType::Decimal { precision, .. } => SqlType::Decimal { precision, scale: 0 },
        SqlType::Numeric { precision, .. } => SqlType::Numeric { precision, scale: 0 },
        other => other,
    })
}

fn is_negative(value: &Value) -> bool {
    match value {
        Value::Real(n) => *n < 0.0,
        Value::Float(n) => *n < 0.0,
        other => exact(other).is_some_and(|n| n.units() < 0),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Real(n) => *n == 0.0,
        Value::Float(n) => *n == 0.0,
        other => exact(other).is_some_and(Decimal::is_zero),
    }
}

fn as_float(value: Option<&Value>, from: Option<&SqlType>) -> SqlResult<f64> {
    let from = from.copied().unwrap_or(SqlType::Float);
    match convert::convert(value.unwrap_or(&Value::Null), from, SqlType::Float, None)? {
        Value::Float(number) => Ok(number),
        _ => Err(invalid_operation()),
    }
}

fn of_float(values: &[Value], function: impl Fn(f64) -> f64) -> SqlResult<Value> {
    let result = function(as_float(values.first(), Some(&SqlType::Float))?);
    if result.is_finite() {
        Ok(Value::Float(result))
    } else {
        Err(SqlError::arithmetic_overflow("expression", "float"))
    }
}

fn logarithm(values: &[Value], function: impl Fn(f64) -> f64) -> SqlResult<Value> {
    if as_float(values.first(), Some(&SqlType::Float))? <= 0.0 {
        Err(invalid_operation())
    } else {
        of_float(values, function)
    }
}

fn invalid_operation() -> SqlError {
    SqlError::new(3623, 16, "An invalid floating point operation occurred.")
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Up,
    Down,
}

fn rounded(values: &[Value], types: &[SqlType], result: SqlType, direction: Direction) -> SqlResult<Value> {
    let value = values.first().unwrap_or(&Value::Null);
    if let (Family::Approximate, Some(from)) = (result.family(), types.first()) {
        let number = as_float(Some(value), Some(from))?;
        return Ok(Value::Float(if direction == Direction::Up { number.ceil() } else { number.floor() }));
    }
    let overflow = || SqlError::arithmetic_overflow("expression", result.name());
    let number = exact(value).ok_or_else(overflow)?;
    let cut = number.truncated(0).map_err(|_| overflow())?;
    let rest = number.compare(&cut);
    let step = match direction {
        Direction::Up if rest.is_gt() => 1,
        Direction::Down if rest.is_lt() => -1,
        _ => 0,
    };
    let whole = Decimal::new(cut.units() + step, 0);
    convert::convert(&Value::Decimal(whole), SqlType::Numeric { precision: 38, scale: 0 }, result, None)
}

/// To places after the point, or before it where negative. A third argument other than 0 cuts.
fn round(values: &[Value], types: &[SqlType], result: SqlType) -> SqlResult<Value> {
    let value = values.first().unwrap_or(&Value::Null);
    let places = i32::try_from(integer_at(values, 1).unwrap_or(0)).unwrap_or(0).clamp(-38, 38);
    let cut = integer_at(values, 2).unwrap_or(0) != 0;
    if let (Family::Approximate, Some(from)) = (result.family(), types.first()) {
        let number = as_float(Some(value), Some(from))?;
        let factor = 10_f64.powi(places);
        let scaled = number * factor;
        return Ok(Value::Float(if cut { scaled.trunc() } else { scaled.round() } / factor));
    }
    let overflow = || SqlError::arithmetic_overflow("expression", result.name());
    let number = exact(value).ok_or_else(overflow)?;
    let rounded = if places >= 0 {
        let scale = u8::try_from(places).unwrap_or(38).min(number.scale());
        if cut { number.truncated(scale) } else { number.rescaled(scale) }.map_err(|_| overflow())?
    } else {
        // As a number with more places: 1234 rounded to hundreds is 12.34 rounded to none.
        let shift = u8::try_from(-places).unwrap_or(38);
        let scale = number.scale().checked_add(shift).filter(|scale| *scale <= 76).ok_or_else(overflow)?;
        let shifted = Decimal::new(number.units(), scale);
        let whole = if cut { shifted.truncated(0) } else { shifted.rescaled(0) }.map_err(|_| overflow())?;
        let factor = 10_i128.checked_pow(u32::from(shift)).ok_or_else(overflow)?;
        Decimal::new(whole.units().checked_mul(factor).ok_or_else(overflow)?, 0)
    };
    convert::convert(&Value::Decimal(rounded), SqlType::Numeric { precision: 38, scale: rounded.scale() }, result, None)
}
