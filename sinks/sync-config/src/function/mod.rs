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
    Upper,
    Lower,
    Substring,
    Hex,
    Length,
    Base64,
    UuidBlob,
    TypeOf,
    IfNull,
    Iif,
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
    ("upper", Function::Upper, 1, 1),
    ("lower", Function::Lower, 1, 1),
    ("substring", Function::Substring, 2, 3),
    ("substr", Function::Substring, 2, 3),
    ("hex", Function::Hex, 1, 1),
    ("length", Function::Length, 1, 1),
    ("base64", Function::Base64, 1, 1),
    ("uuid_blob", Function::UuidBlob, 1, 1),
    ("typeof", Function::TypeOf, 1, 1),
    ("ifnull", Function::IfNull, 2, 2),
    ("iif", Function::Iif, 3, 3),
    ("instr", Function::Instr, 2, 2),
    ("json_extract", Function::JsonExtract, 2, 2),
    ("json_array_length", Function::JsonArrayLength, 1, 2),
    ("json_valid", Function::JsonValid, 1, 1),
    ("json_keys", Function::JsonKeys, 1, 1),
    ("unixepoch", Function::UnixEpoch, 1, 4),
    ("datetime", Function::DateTime, 1, 4),
    ("st_asgeojson", Function::StAsGeoJson, 1, 1),
    ("st_astext", Function::StAsText, 1, 1),
    ("st_x", Function::StX, 1, 1),
    ("st_y", Function::StY, 1, 1),
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

    /// Evaluates a call. Every function gives NULL for NULL but `typeof`, `ifnull` and `iif`.
    pub(crate) fn call<'s, L, S: Scope<L>>(
        self,
        arguments: &'s [Expression<L>],
        scope: &'s S,
    ) -> Result<Value<'s>, EvaluationError> {
        let argument = |index: usize| match arguments.get(index) {
            Some(argument) => argument.evaluate(scope),
            None => Ok(Value::Null),
        };
        let first = argument(0)?;
        // The two that may leave an argument unevaluated, so that its failure doesn't matter.
        match self {
            Function::IfNull => return if first.is_null() { argument(1) } else { Ok(first) },
            Function::Iif => return argument(if first.is_true() { 1 } else { 2 }),
            Function::TypeOf => return Ok(Value::Text(Cow::Borrowed(first.type_name()))),
            _ if first.is_null() => return Ok(Value::Null),
            _ => {}
        }
        let modifiers = || arguments.get(1..).unwrap_or_default().iter().map(|argument| argument.evaluate(scope));
        match self {
            Function::Upper => Ok(text::upper(&first)),
            Function::Lower => Ok(text::lower(&first)),
            Function::Substring => {
                let length = if arguments.len() > 2 { Some(argument(2)?) } else { None };
                Ok(text::substring(&first, &argument(1)?, length.as_ref()))
            }
            Function::Hex => Ok(text::hex(first)),
            Function::Length => Ok(text::length(&first)),
            Function::Base64 => Ok(text::base64(first)),
            Function::UuidBlob => Ok(text::uuid_blob(&first)),
            Function::Instr => Ok(text::instr(&first, &argument(1)?)),
            Function::JsonExtract => json_extract(&first, &argument(1)?),
            Function::JsonArrayLength => {
                let path = if arguments.len() > 1 { argument(1)? } else { Value::Text(Cow::Borrowed("$")) };
                json_array_length(&first, &path)
            }
            Function::JsonValid => {
                Ok(first.to_text().map_or(Value::Null, |text| Value::boolean(json::parse(&text).is_ok())))
            }
            Function::JsonKeys => json_keys(&first),
            Function::UnixEpoch => Ok(time::unixepoch(&first, modifiers().collect::<Result<Vec<_>, _>>()?)),
            Function::DateTime => Ok(time::datetime(&first, modifiers().collect::<Result<Vec<_>, _>>()?)),
            Function::StAsGeoJson => geometry::as_geojson(first),
            Function::StAsText => geometry::as_text(first),
            Function::StX => geometry::coordinate(first, geometry::Axis::X),
            Function::StY => geometry::coordinate(first, geometry::Axis::Y),
            Function::TypeOf | Function::IfNull | Function::Iif => Ok(Value::Null),
        }
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
