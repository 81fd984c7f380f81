//! Arithmetic: the type of a result by the rules of precision and scale, and the result.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};

use super::convert::{self, exact};
use super::decimal::{DIGITS_MAX, Overflow};
use super::sql_type::Family;
use super::{Decimal, Length, SqlType, Value};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    And,
    Or,
    Xor,
}

impl Operator {
    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Divide => "divide",
            Self::Modulo => "modulo",
            Self::And => "'&'",
            Self::Or => "'|'",
            Self::Xor => "'^'",
        }
    }

    fn is_bitwise(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Xor)
    }
}

/// What an operation gives, and what its operands must be converted to first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    pub left: SqlType,
    pub right: SqlType,
    pub result: SqlType,
}

/// The shape of `left operator right`.
///
/// # Errors
/// 402 or 8117 where the types don't go with the operator.
pub fn shape(operator: Operator, left: SqlType, right: SqlType) -> SqlResult<Shape> {
    let refused = || {
        let text = format!(
            "The data types {} and {} are incompatible in the {} operator.",
            left.name(),
            right.name(),
            operator.symbol()
        );
        SqlError::new(402, 16, text)
    };
    let unified = left.unify(right);
    match unified.family() {
        Family::Character if operator == Operator::Add => Ok(Shape { left, right, result: left.concatenated(right) }),
        Family::Character | Family::Uuid | Family::Variant | Family::Xml | Family::Clr => Err(refused()),
        Family::Binary if operator == Operator::Add => {
            Ok(Shape { left, right, result: concatenated_binary(left, right) })
        }
        Family::Binary => Err(refused()),
        Family::DateTime => {
            let days = matches!(unified, SqlType::DateTime | SqlType::SmallDateTime);
            if !days || !matches!(operator, Operator::Add | Operator::Subtract) {
                return Err(refused());
            }
            Ok(Shape { left: SqlType::DateTime, right: SqlType::DateTime, result: unified })
        }
        Family::Integer => {
            let result = if unified == SqlType::Bit && !operator.is_bitwise() { SqlType::Int } else { unified };
            Ok(Shape { left: result, right: result, result })
        }
        _ if operator.is_bitwise() => Err(refused()),
        Family::Money | Family::Approximate => Ok(Shape { left: unified, right: unified, result: unified }),
        Family::Decimal => {
            let as_number = |side: SqlType| if side.decimal_shape().is_some() { side } else { unified };
            let (left, right) = (as_number(left), as_number(right));
            Ok(Shape { left, right, result: decimal_result(operator, left, right, unified) })
        }
    }
}

fn concatenated_binary(left: SqlType, right: SqlType) -> SqlType {
    match (left.character_length(), right.character_length()) {
        (Length::Limited(a), Length::Limited(b)) => SqlType::VarBinary(Length::Limited(a.saturating_add(b).min(8000))),
        _ => SqlType::VarBinary(Length::Max),
    }
}

/// The documented rules; where 38 digits don't do, places after the point give way, but not below six of them in
/// products and quotients.
fn decimal_result(operator: Operator, left: SqlType, right: SqlType, unified: SqlType) -> SqlType {
    let (p1, s1) = left.decimal_shape().map_or((38, 0), |(p, s)| (u16::from(p), u16::from(s)));
    let (p2, s2) = right.decimal_shape().map_or((38, 0), |(p, s)| (u16::from(p), u16::from(s)));
    let whole = (p1 - s1).max(p2 - s2);
    let (precision, scale) = match operator {
        Operator::Multiply => (p1 + p2 + 1, s1 + s2),
        Operator::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        Operator::Modulo => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
        _ => (s1.max(s2) + whole + 1, s1.max(s2)),
    };
    let limit = u16::from(DIGITS_MAX);
    let scale = if precision <= limit {
        scale
    } else if matches!(operator, Operator::Multiply | Operator::Divide) {
        scale.min(6.max(limit.saturating_sub(precision - scale)))
    } else {
        scale.min(limit - whole.min(limit))
    };
    let narrow = |n: u16| u8::try_from(n.min(limit)).unwrap_or(DIGITS_MAX);
    unified.with_decimal_shape(narrow(precision).max(1), narrow(scale))
}

/// The result of an operation whose operands have been converted as [`shape`] says.
///
/// # Errors
/// 8134 for a division by zero, 8115 for an overflow.
pub fn apply(operator: Operator, left: &Value, right: &Value, result: SqlType) -> SqlResult<Value> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
        (Value::Text(a), Value::Text(b)) => {
            let text = Value::Text(Arc::from([a.as_ref(), b.as_ref()].concat()));
            convert::convert(&text, result, result, None)
        }
        (Value::Binary(a), Value::Binary(b)) => {
            let bytes = Value::Binary(Arc::from([a.as_ref(), b.as_ref()].concat()));
            convert::convert(&bytes, result, result, None)
        }
        (Value::DateTime { days: a, ticks: at }, Value::DateTime { days: b, ticks: bt }) => {
            let per_day = i64::from(super::calendar::DATETIME_TICKS_PER_DAY);
            let total = |days: i32, ticks: u32| i64::from(days) * per_day + i64::from(ticks);
            let sum = if operator == Operator::Add {
                total(*a, *at) + total(*b, *bt)
            } else {
                total(*a, *at) - total(*b, *bt)
            };
            let moment = i32::try_from(sum.div_euclid(per_day)).ok().zip(u32::try_from(sum.rem_euclid(per_day)).ok());
            let in_range = |days: &i32| (super::calendar::DATETIME_DAY_FIRST..=2_958_463).contains(days);
            let (days, ticks) = moment
                .filter(|(days, _)| in_range(days))
                .ok_or_else(|| SqlError::new(517, 16, "Adding a value to a 'datetime' column caused an overflow."))?;
            convert::convert(&Value::DateTime { days, ticks }, SqlType::DateTime, result, None)
        }
        _ => number(operator, left, right, result),
    }
}

fn overflow(result: SqlType) -> SqlError {
    let name = if result.family() == Family::Decimal { "numeric" } else { result.name() };
    SqlError::arithmetic_overflow("expression", name)
}

fn number(operator: Operator, left: &Value, right: &Value, result: SqlType) -> SqlResult<Value> {
    match result.family() {
        Family::Integer => {
            let (Some(a), Some(b)) = (left.as_integer(), right.as_integer()) else { return Err(overflow(result)) };
            let (a, b) = (i128::from(a), i128::from(b));
            let whole = match operator {
                Operator::Add => a + b,
                Operator::Subtract => a - b,
                Operator::Multiply => a * b,
                Operator::Divide if b == 0 => return Err(SqlError::divide_by_zero()),
                Operator::Modulo if b == 0 => return Err(SqlError::divide_by_zero()),
                Operator::Divide => a / b,
                Operator::Modulo => a % b,
                Operator::And => a & b,
                Operator::Or => a | b,
                Operator::Xor => a ^ b,
            };
            convert::integer(whole, result).ok_or_else(|| overflow(result))
        }
        Family::Decimal => {
            let (Some(a), Some(b)) = (exact(left), exact(right)) else { return Err(overflow(result)) };
            let (precision, scale) = result.decimal_shape().unwrap_or((38, 0));
            let value = decimal(operator, a, b, scale)?.and_then(|value| value.fitted(precision, scale));
            value.map(Value::Decimal).map_err(|Overflow| overflow(result))
        }
        Family::Money => {
            let (Some(a), Some(b)) = (exact(left), exact(right)) else { return Err(overflow(result)) };
            let value = decimal(operator, a, b, 4)?.and_then(|value| value.rescaled(4));
            let value = value.map_err(|Overflow| overflow(result))?;
            convert::convert(&Value::Decimal(value), SqlType::Numeric { precision: 38, scale: 4 }, result, None)
        }
        _ => approximate(operator, left, right, result),
    }
}

fn decimal(operator: Operator, a: Decimal, b: Decimal, scale: u8) -> SqlResult<Result<Decimal, Overflow>> {
    if matches!(operator, Operator::Divide | Operator::Modulo) && b.is_zero() {
        return Err(SqlError::divide_by_zero());
    }
    Ok(match operator {
        Operator::Add => a.plus(b),
        Operator::Subtract => a.plus(b.negated()),
        Operator::Multiply => a.times(b, scale),
        Operator::Divide => a.divided_by(b, scale),
        _ => a.remainder(b),
    })
}

fn approximate(operator: Operator, left: &Value, right: &Value, result: SqlType) -> SqlResult<Value> {
    let as_float = |value: &Value| match value {
        Value::Float(n) => Some(*n),
        Value::Real(n) => Some(f64::from(*n)),
        other => exact(other).map(Decimal::to_f64),
    };
    let (Some(a), Some(b)) = (as_float(left), as_float(right)) else { return Err(overflow(result)) };
    let number = match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide if b == 0.0 => return Err(SqlError::divide_by_zero()),
        Operator::Modulo if b == 0.0 => return Err(SqlError::divide_by_zero()),
        Operator::Divide => a / b,
        _ => a % b,
    };
    convert::convert(&Value::Float(number), SqlType::Float, result, None)
}

/// `-value`.
///
/// # Errors
/// 8115 where the number has no counterpart.
pub fn negate(value: &Value, result: SqlType) -> SqlResult<Value> {
    Ok(match value {
        Value::Null => Value::Null,
        Value::Decimal(n) => Value::Decimal(n.negated()),
        Value::Money(n) => Value::Money(n.checked_neg().ok_or_else(|| overflow(result))?),
        Value::Real(n) => Value::Real(-n),
        Value::Float(n) => Value::Float(-n),
        other => {
            let whole = other.as_integer().ok_or_else(|| overflow(result))?;
            convert::integer(-i128::from(whole), result).ok_or_else(|| overflow(result))?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(precision: u8, scale: u8) -> SqlType {
        SqlType::Numeric { precision, scale }
    }

    #[test]
    fn results_have_the_documented_precision_and_scale() {
        let result = |operator, left, right| shape(operator, left, right).unwrap().result;
        assert_eq!(result(Operator::Add, numeric(10, 2), numeric(5, 3)), numeric(12, 3));
        assert_eq!(result(Operator::Multiply, numeric(10, 2), numeric(5, 3)), numeric(16, 5));
        assert_eq!(result(Operator::Divide, numeric(10, 2), numeric(5, 3)), numeric(19, 8));
        assert_eq!(result(Operator::Multiply, numeric(38, 10), numeric(38, 10)), numeric(38, 6));
        assert_eq!(result(Operator::Divide, SqlType::Int, SqlType::Int), SqlType::Int);
        assert_eq!(result(Operator::Add, SqlType::TinyInt, SqlType::BigInt), SqlType::BigInt);
        assert_eq!(
            result(Operator::Add, SqlType::Char(3), SqlType::VarChar(Length::Limited(4))),
            SqlType::VarChar(Length::Limited(7))
        );
        assert_eq!(shape(Operator::Add, SqlType::Date, SqlType::Int).unwrap_err().number, 402);
    }

    #[test]
    fn integers_divide_without_rest_and_overflow_with_an_error() {
        let int = |n| Value::Int(n);
        assert_eq!(apply(Operator::Divide, &int(-7), &int(2), SqlType::Int).unwrap(), int(-3));
        assert_eq!(apply(Operator::Modulo, &int(-7), &int(2), SqlType::Int).unwrap(), int(-1));
        assert_eq!(apply(Operator::Add, &int(i32::MAX), &int(1), SqlType::Int).unwrap_err().number, 8115);
        assert_eq!(apply(Operator::Divide, &int(1), &int(0), SqlType::Int).unwrap_err().number, 8134);
        assert!(apply(Operator::Add, &Value::Null, &int(1), SqlType::Int).unwrap().is_null());
    }
}
