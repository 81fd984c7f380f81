//! Expressions ready to be evaluated, over leaves of any kind: columns of a row, facts of a request.

use crate::function::Function;
use crate::json;
use crate::json_path::{JsonPath, Quoting};
use crate::sql::syntax::{Arithmetic, BinaryOperator, Bits, CastType, Comparison, JsonResult, UnaryOperator};
use crate::value::{Number, Value};

/// Why a row has no place in a bucket: an expression has no value for it. Never carries the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EvaluationError {
    /// A JSON operator or function met a text that isn't JSON, or more than is read of it.
    #[error("the text isn't JSON, is nested deeper than 127 levels or has a number beyond 1.8e308")]
    NotJson,
    /// The right side of IN, or a column that a parameter is looked for in, isn't a JSON array.
    #[error("IN needs a JSON array on its right side")]
    NotArray,
    /// `json_keys` met JSON that isn't an object.
    #[error("json_keys needs a JSON object")]
    NotObject,
    /// The path of `json_extract` is malformed.
    #[error("a JSON path starts with `$` and goes on with `.key` or `[index]`")]
    BadPath,
    /// A geometry function met bytes that aren't a geometry in well-known binary.
    #[error("the blob isn't a geometry in well-known binary (WKB)")]
    NotGeometry,
    /// `st_x` or `st_y` met a geometry that isn't a point.
    #[error("st_x and st_y need a point")]
    NotPoint,
    /// The `id` of a row is a blob whose bytes aren't text.
    #[error("the id is binary: select it as hex(id) AS id, base64(id) AS id or another text")]
    BinaryId,
}

/// An expression over leaves of type `L`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression<L> {
    Literal(Value<'static>),
    Leaf(L),
    Unary(UnaryOperator, Box<Expression<L>>),
    Binary(BinaryOperator, Box<Expression<L>>, Box<Expression<L>>),
    In {
        negated: bool,
        needle: Box<Expression<L>>,
        array: Box<Expression<L>>,
    },
    /// `IN` with a right side that is known beforehand.
    InList {
        negated: bool,
        needle: Box<Expression<L>>,
        list: Vec<Value<'static>>,
    },
    /// `->` and `->>`.
    Json {
        result: JsonResult,
        quoting: Quoting,
        document: Box<Expression<L>>,
        path: JsonOperand<L>,
    },
    Cast(Box<Expression<L>>, CastType),
    And(Vec<Expression<L>>),
    Or(Vec<Expression<L>>),
    Call(Function, Vec<Expression<L>>),
}

/// The right side of a JSON operator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JsonOperand<L> {
    Path(JsonPath),
    Computed(Box<Expression<L>>),
}

/// Gives leaves their values.
pub(crate) trait Scope<L> {
    fn value<'s>(&'s self, leaf: &'s L) -> Value<'s>;
}

impl<L> Expression<L> {
    pub(crate) fn evaluate<'s, S: Scope<L>>(&'s self, scope: &'s S) -> Result<Value<'s>, EvaluationError> {
        Ok(match self {
            Expression::Literal(value) => value.borrow(),
            Expression::Leaf(leaf) => scope.value(leaf),
            Expression::Unary(operator, part) => unary(*operator, &part.evaluate(scope)?),
            Expression::Binary(operator, left, right) => {
                binary(*operator, &left.evaluate(scope)?, &right.evaluate(scope)?)
            }
            Expression::In { negated, needle, array } => {
                let needle = needle.evaluate(scope)?;
                match json::array_values(&array.evaluate(scope)?)? {
                    Some(list) => membership(&needle, &list, *negated),
                    None => Value::Null,
                }
            }
            Expression::InList { negated, needle, list } => membership(&needle.evaluate(scope)?, list, *negated),
            Expression::Json { result, quoting, document, path } => {
                let document = document.evaluate(scope)?;
                match path {
                    JsonOperand::Path(path) => extract(&document, path, *result, *quoting)?,
                    JsonOperand::Computed(path) => match JsonPath::of_operand(&path.evaluate(scope)?, *quoting)? {
                        Some(path) => extract(&document, &path, *result, *quoting)?,
                        None => Value::Null,
                    },
                }
            }
            Expression::Cast(part, to) => cast(part.evaluate(scope)?, *to),
            // NULL counts as false, so the result is never NULL.
            Expression::And(parts) => {
                for part in parts {
                    if !part.evaluate(scope)?.is_true() {
                        return Ok(Value::boolean(false));
                    }
                }
                Value::boolean(true)
            }
            Expression::Or(parts) => {
                for part in parts {
                    if part.evaluate(scope)?.is_true() {
                        return Ok(Value::boolean(true));
                    }
                }
                Value::boolean(false)
            }
            Expression::Call(function, arguments) => function.call(arguments, scope)?,
        })
    }

    /// The same expression over other leaves.
    pub(crate) fn map<M>(&self, leaf: &mut dyn FnMut(&L) -> Expression<M>) -> Expression<M> {
        let boxed = |part: &Expression<L>, leaf: &mut dyn FnMut(&L) -> Expression<M>| Box::new(part.map(leaf));
        match self {
            Expression::Literal(value) => Expression::Literal(value.clone()),
            Expression::Leaf(inner) => leaf(inner),
            Expression::Unary(operator, part) => Expression::Unary(*operator, boxed(part, leaf)),
            Expression::Binary(operator, left, right) => {
                let left = boxed(left, leaf);
                Expression::Binary(*operator, left, boxed(right, leaf))
            }
            Expression::In { negated, needle, array } => {
                let needle = boxed(needle, leaf);
                Expression::In { negated: *negated, needle, array: boxed(array, leaf) }
            }
            Expression::InList { negated, needle, list } => {
                Expression::InList { negated: *negated, needle: boxed(needle, leaf), list: list.clone() }
            }
            Expression::Json { result, quoting, document, path } => Expression::Json {
                result: *result,
                quoting: *quoting,
                document: boxed(document, leaf),
                path: match path {
                    JsonOperand::Path(path) => JsonOperand::Path(path.clone()),
                    JsonOperand::Computed(part) => JsonOperand::Computed(boxed(part, leaf)),
                },
            },
            Expression::Cast(part, to) => Expression::Cast(boxed(part, leaf), *to),
            Expression::And(parts) => Expression::And(parts.iter().map(|part| part.map(leaf)).collect()),
            Expression::Or(parts) => Expression::Or(parts.iter().map(|part| part.map(leaf)).collect()),
            Expression::Call(function, arguments) => {
                Expression::Call(*function, arguments.iter().map(|part| part.map(leaf)).collect())
            }
        }
    }
}

fn extract(
    document: &Value<'_>,
    path: &JsonPath,
    result: JsonResult,
    quoting: Quoting,
) -> Result<Value<'static>, EvaluationError> {
    let Some(text) = document.to_text() else { return Ok(Value::Null) };
    let document = json::parse(&text)?;
    Ok(match path.find(&document) {
        None => Value::Null,
        Some(serde_json::Value::Null) => quoting.json_null(),
        Some(element) => match result {
            JsonResult::Text => Value::text(element.to_string()),
            JsonResult::Value => json::element_value(element),
        },
    })
}

fn unary<'v>(operator: UnaryOperator, value: &Value<'_>) -> Value<'v> {
    match operator {
        // As NULL isn't true, NOT NULL is.
        UnaryOperator::Not => Value::boolean(!value.is_true()),
        UnaryOperator::IsNull => Value::boolean(value.is_null()),
        UnaryOperator::IsNotNull => Value::boolean(!value.is_null()),
        UnaryOperator::Negate => arithmetic(Arithmetic::Subtract, &Value::Int(0), value),
    }
}

fn membership<'v>(needle: &Value<'_>, list: &[Value<'_>], negated: bool) -> Value<'v> {
    match needle {
        Value::Null => Value::Null,
        needle => Value::boolean(list.iter().any(|item| item.equals(needle)) != negated),
    }
}

fn binary<'v>(operator: BinaryOperator, left: &Value<'_>, right: &Value<'_>) -> Value<'v> {
    match operator {
        BinaryOperator::Compare(comparison) => compare(comparison, left, right),
        BinaryOperator::Calculate(operation) => arithmetic(operation, left, right),
        BinaryOperator::Bits(operation) => bits(operation, left, right),
        BinaryOperator::Concatenate => match (left.to_text(), right.to_text()) {
            (Some(left), Some(right)) => Value::text(format!("{left}{right}")),
            _ => Value::Null,
        },
    }
}

fn compare<'v>(comparison: Comparison, left: &Value<'_>, right: &Value<'_>) -> Value<'v> {
    let Some(ordering) = left.compare(right) else { return Value::Null };
    Value::boolean(match comparison {
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
    })
}

/// Integers stay integers, also in a division; an overflow or a real operand makes the result real. Dividing by zero
/// gives NULL, as does what is no finite number.
fn arithmetic<'v>(operation: Arithmetic, left: &Value<'_>, right: &Value<'_>) -> Value<'v> {
    let (Some(left), Some(right)) = (left.to_number(), right.to_number()) else { return Value::Null };
    if let (Number::Int(left), Number::Int(right)) = (left, right) {
        if right == 0 && matches!(operation, Arithmetic::Divide | Arithmetic::Remainder) {
            return Value::Null;
        }
        let result = match operation {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide => left.checked_div(right),
            // The only overflow is that of MIN % -1, which is 0.
            Arithmetic::Remainder => Some(left.wrapping_rem(right)),
        };
        if let Some(result) = result {
            return Value::Int(result);
        }
    }
    let real = |number: Number| match number {
        Number::Int(value) => value as f64,
        Number::Real(value) => value,
    };
    let (left, right) = (real(left), real(right));
    let result = match operation {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => left % right,
    };
    if result.is_finite() { Value::Real(result) } else { Value::Null }
}

fn bits<'v>(operation: Bits, left: &Value<'_>, right: &Value<'_>) -> Value<'v> {
    let (Some(left), Some(right)) = (left.to_integer(), right.to_integer()) else { return Value::Null };
    Value::Int(match operation {
        Bits::And => left & right,
        Bits::Or => left | right,
        Bits::ShiftLeft => shift(left, right),
        Bits::ShiftRight => shift(left, right.saturating_neg()),
    })
}

/// Shifts left, or right if `by` is negative. Bits that leave the 64 are lost; the sign fills from the left.
fn shift(value: i64, by: i64) -> i64 {
    match by {
        64.. => 0,
        0..64 => value.wrapping_shl(by as u32),
        -63..0 => value.wrapping_shr(by.unsigned_abs() as u32),
        _ => value >> 63,
    }
}

fn cast(value: Value<'_>, to: CastType) -> Value<'_> {
    match to {
        CastType::Text => value.into_text().map_or(Value::Null, Value::Text),
        CastType::Blob => value.into_bytes().map_or(Value::Null, Value::Blob),
        CastType::Integer => value.to_integer().map_or(Value::Null, Value::Int),
        CastType::Real => value.to_real().map_or(Value::Null, Value::Real),
        CastType::Numeric => value.to_number().map_or(Value::Null, Value::from),
    }
}
