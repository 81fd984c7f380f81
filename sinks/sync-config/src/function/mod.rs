//! The functions of the config language.

mod geometry;
mod text;
mod time;

use std::borrow::Cow;

use crate::expression::{EvaluationError, Expression, Scope};
use crate::json;
use crate::json_path::JsonPath;
use crate::value::Value;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    TypeOf,
    IfNull,
    Iif,
    /// Of a value: NULL for NULL.
    Of(ValueFunction),
}

/// A function that gives NULL if its first argument is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ValueFunction {
    Upper,
    Lower,
    Substring,
    Hex,
    Length,
    Base64,
    UuidBlob,
    Instr,
    JsonExtract,
    JsonArrayLength,
    JsonValid,
    JsonKeys,
    UnixEpoch,
    DateTime,
    StAsGeoJson,
    StAsText,
    StX,
    StY,
}

/// Every function by name, with the fewest and the most arguments it takes.
const FUNCTIONS: [(&str, Function, usize, usize); 22] = [
    ("upper", Function::Of(ValueFunction::Upper), 1, 1),
    ("lower", Function::Of(ValueFunction::Lower), 1, 1),
    ("substring", Function::Of(ValueFunction::Substring), 2, 3),
    ("substr", Function::Of(ValueFunction::Substring), 2, 3),
    ("hex", Function::Of(ValueFunction::Hex), 1, 1),
    ("length", Function::Of(ValueFunction::Length), 1, 1),
    ("base64", Function::Of(ValueFunction::Base64), 1, 1),
    ("uuid_blob", Function::Of(ValueFunction::UuidBlob), 1, 1),
    ("typeof", Function::TypeOf, 1, 1),
    ("ifnull", Function::IfNull, 2, 2),
    ("iif", Function::Iif, 3, 3),
    ("instr", Function::Of(ValueFunction::Instr), 2, 2),
    ("json_extract", Function::Of(ValueFunction::JsonExtract), 2, 2),
    ("json_array_length", Function::Of(ValueFunction::JsonArrayLength), 1, 2),
    ("json_valid", Function::Of(ValueFunction::JsonValid), 1, 1),
    ("json_keys", Function::Of(ValueFunction::JsonKeys), 1, 1),
    ("unixepoch", Function::Of(ValueFunction::UnixEpoch), 1, 4),
    ("datetime", Function::Of(ValueFunction::DateTime), 1, 4),
    ("st_asgeojson", Function::Of(ValueFunction::StAsGeoJson), 1, 1),
    ("st_astext", Function::Of(ValueFunction::StAsText), 1, 1),
    ("st_x", Function::Of(ValueFunction::StX), 1, 1),
    ("st_y", Function::Of(ValueFunction::StY), 1, 1),
];

/// What a call's name and number of arguments come to.
pub(crate) enum Found {
    Function(Function),
    WrongCount { wanted: String },
    Unknown,
}

impl Function {
    pub(crate) fn find(name: &str, count: usize) -> Found {
        match FUNCTIONS.iter().find(|(known, ..)| *known == name) {
            Some((_, function, fewest, most)) if (*fewest..=*most).contains(&count) => Found::Function(*function),
            Some((_, _, 1, 1)) => Found::WrongCount { wanted: "1 argument".to_owned() },
            Some((_, _, fewest, most)) if fewest == most => Found::WrongCount { wanted: format!("{fewest} arguments") },
            Some((_, _, fewest, most)) => Found::WrongCount { wanted: format!("{fewest} to {most} arguments") },
            None => Found::Unknown,
        }
    }

    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        FUNCTIONS.iter().map(|(name, ..)| *name)
    }

    /// Evaluates a call.
    pub(crate) fn call<'s, L, S: Scope<L>>(
        self,
        arguments: &'s [Expression<L>],
        scope: &'s S,
    ) -> Result<Value<'s>, EvaluationError> {
        let argument = |index: usize| arguments.get(index).map_or(Ok(Value::Null), |found| found.evaluate(scope));
        let first = argument(0)?;
        match self {
            Function::TypeOf => Ok(Value::Text(Cow::Borrowed(first.type_name()))),
            // These two leave an argument unevaluated, so that its failure doesn't matter.
            Function::IfNull => {
                if first.is_null() {
                    argument(1)
                } else {
                    Ok(first)
                }
            }
            Function::Iif => argument(if first.is_true() { 1 } else { 2 }),
            Function::Of(_) if first.is_null() => Ok(Value::Null),
            Function::Of(function) => {
                let others = arguments.get(1..).unwrap_or_default().iter().map(|found| found.evaluate(scope));
                function.call(first, &others.collect::<Result<Vec<_>, _>>()?)
            }
        }
    }
}

impl ValueFunction {
    /// `first` isn't NULL; `others` are as many as the function takes.
    fn call<'s>(self, first: Value<'s>, others: &[Value<'_>]) -> Result<Value<'s>, EvaluationError> {
        let second = others.first().unwrap_or(&Value::Null);
        Ok(match self {
            ValueFunction::Upper => text::upper(&first),
            ValueFunction::Lower => text::lower(&first),
            ValueFunction::Substring => text::substring(&first, second, others.get(1)),
            ValueFunction::Hex => text::hex(first),
            ValueFunction::Length => text::length(&first),
            ValueFunction::Base64 => text::base64(first),
            ValueFunction::UuidBlob => text::uuid_blob(&first),
            ValueFunction::Instr => text::instr(&first, second),
            ValueFunction::JsonExtract => json_extract(&first, second)?,
            ValueFunction::JsonArrayLength => {
                json_array_length(&first, others.first().unwrap_or(&Value::Text(Cow::Borrowed("$"))))?
            }
            ValueFunction::JsonValid => {
                first.to_text().map_or(Value::Null, |text| Value::boolean(json::parse(&text).is_ok()))
            }
            ValueFunction::JsonKeys => json_keys(&first)?,
            ValueFunction::UnixEpoch => time::unixepoch(&first, others),
            ValueFunction::DateTime => time::datetime(&first, others),
            ValueFunction::StAsGeoJson => geometry::as_geojson(first)?,
            ValueFunction::StAsText => geometry::as_text(first)?,
            ValueFunction::StX => geometry::coordinate(first, geometry::Axis::X)?,
            ValueFunction::StY => geometry::coordinate(first, geometry::Axis::Y)?,
        })
    }
}

fn json_extract(document: &Value<'_>, path: &Value<'_>) -> Result<Value<'static>, EvaluationError> {
    let (Some(document), Some(path)) = (document.to_text(), path.to_text()) else { return Ok(Value::Null) };
    let document = json::parse(&document)?;
    Ok(JsonPath::of_extract(&path)?.find(&document).map_or(Value::Null, json::element_value))
}

fn json_array_length(document: &Value<'_>, path: &Value<'_>) -> Result<Value<'static>, EvaluationError> {
    let (Some(document), Some(path)) = (document.to_text(), path.to_text()) else { return Ok(Value::Null) };
    let document = json::parse(&document)?;
    Ok(match JsonPath::of_extract(&path)?.find(&document) {
        None => Value::Null,
        Some(serde_json::Value::Array(items)) => Value::Int(items.len() as i64),
        Some(_) => Value::Int(0),
    })
}

fn json_keys(document: &Value<'_>) -> Result<Value<'static>, EvaluationError> {
    let Some(text) = document.to_text() else { return Ok(Value::Null) };
    match json::parse(&text)? {
        serde_json::Value::Object(entries) => {
            let keys: Vec<Value<'_>> = entries.keys().map(|key| Value::Text(Cow::Borrowed(key.as_str()))).collect();
            Ok(Value::text(json::parameter_array(&keys)))
        }
        serde_json::Value::Null => Ok(Value::Null),
        _ => Err(EvaluationError::NotObject),
    }
}
