//! Functions of JSON texts.

use crate::error::{SqlError, SqlResult};
use crate::value::{Length, SqlType, Value, convert};

use super::super::json::{self, Kind, Path, Slice, Step};
use super::super::relation::Column;
use super::Parameter::{Any, Text};
use super::{Builtin, int, text_at};

/// The longest text that `JSON_VALUE` gives, in UTF-16 units.
const VALUE_UNITS_MAX: usize = 4000;

pub const FUNCTIONS: &[Builtin] = &[
    Builtin::new("ISJSON", 1..=1, &[Text], int, |_, values, _, _| {
        Ok(Value::Int(i32::from(json::read(text_at(values, 0)).is_ok())))
    }),
    Builtin::new(
        "JSON_VALUE",
        2..=2,
        &[Text, Text],
        |_| Ok(SqlType::NVarChar(Length::Limited(4000))),
        |_, values, _, _| {
            let path = json::path(text_at(values, 1))?;
            let found = json::read(text_at(values, 0))?.at(&path.steps);
            match found.filter(|found| !matches!(found.kind, Kind::Array | Kind::Object)) {
                Some(found) => {
                    let text = found.scalar();
                    let fits = |text: &String| text.encode_utf16().count() <= VALUE_UNITS_MAX;
                    Ok(text.filter(fits).map_or(Value::Null, |text| Value::text(&text)))
                }
                None => missing(&path),
            }
        },
    ),
    Builtin::new(
        "JSON_QUERY",
        1..=2,
        &[Text, Text],
        |_| Ok(SqlType::NVarChar(Length::Max)),
        |_, values, _, _| {
            let path = json::path(values.get(1).and_then(Value::as_text).unwrap_or("$"))?;
            let found = json::read(text_at(values, 0))?.at(&path.steps);
            match found.filter(|found| matches!(found.kind, Kind::Array | Kind::Object)) {
                Some(found) => Ok(Value::text(found.raw)),
                None => missing(&path),
            }
        },
    ),
    Builtin::new(
        "JSON_MODIFY",
        3..=3,
        &[Text, Text, Any],
        |_| Ok(SqlType::NVarChar(Length::Max)),
        |_, values, types, _| {
            if values.iter().take(2).any(Value::is_null) {
                return Ok(Value::Null);
            }
            let path = json::path(text_at(values, 1))?;
            let value = values.get(2).unwrap_or(&Value::Null);
            let from = types.get(2).copied().unwrap_or(SqlType::Int);
            modify(json::read(text_at(values, 0))?, &path, value, from).map(|text| Value::text(&text))
        },
    )
    .with_nulls(),
];

fn missing(path: &Path) -> SqlResult<Value> {
    if !path.strict {
        return Ok(Value::Null);
    }
    Err(SqlError::new(13_608, 16, "Property cannot be found on the specified JSON path."))
}

/// A value as JSON.
pub fn literal(value: &Value, from: SqlType) -> SqlResult<String> {
    let text = SqlType::NVarChar(Length::Max);
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Bit(bit) => bit.to_string(),
        _ if from.is_number() => convert::convert(value, from, text, None)?.as_text().unwrap_or_default().to_owned(),
        _ => {
            let shown = convert::convert(value, from, text, Some(126))?;
            let mut out = String::new();
            json::quote(shown.as_text().unwrap_or_default(), &mut out);
            out
        }
    })
}

/// The text with one value put in, changed, or (by NULL) taken out.
fn modify(json: Slice<'_>, path: &Path, value: &Value, from: SqlType) -> SqlResult<String> {
    let Some((step, rest)) = path.steps.split_first() else {
        return Err(SqlError::unsupported("JSON_MODIFY of the whole text"));
    };
    let new = if value.is_null() && !path.append && !path.strict { None } else { Some(literal(value, from)?) };
    Ok(changed(json, step, rest, new.as_deref(), path))
}

fn changed(json: Slice<'_>, step: &Step, rest: &[Step], new: Option<&str>, path: &Path) -> String {
    let mut parts: Vec<(String, String)> = Vec::new();
    let mut met = false;
    for (at, (key, value)) in json.parts().into_iter().enumerate() {
        let here = match (step, json.kind) {
            (Step::Key(wanted), Kind::Object) => *wanted == key,
            (Step::Index(wanted), Kind::Array) => *wanted == at,
            _ => false,
        };
        if !here {
            parts.push((key, value.raw.to_owned()));
            continue;
        }
        met = true;
        match (rest.split_first(), new) {
            (Some((step, rest)), _) => parts.push((key, changed(value, step, rest, new, path))),
            (None, Some(new)) if path.append && value.kind == Kind::Array => {
                parts.push((key, appended(value, new)));
            }
            (None, Some(new)) => parts.push((key, new.to_owned())),
            // In an array a place stays.
            (None, None) if json.kind == Kind::Array => parts.push((key, "null".to_owned())),
            (None, None) => {}
        }
    }
    if let (false, true, Some(new), Step::Key(key), Kind::Object) = (met, rest.is_empty(), new, step, json.kind) {
        parts.push((key.clone(), if path.append { format!("[{new}]") } else { new.to_owned() }));
    }
    written(json.kind, &parts)
}

fn appended(array: Slice<'_>, new: &str) -> String {
    let mut items: Vec<(String, String)> =
        array.parts().into_iter().map(|(key, value)| (key, value.raw.to_owned())).collect();
    items.push((String::new(), new.to_owned()));
    written(Kind::Array, &items)
}

fn written(kind: Kind, parts: &[(String, String)]) -> String {
    let mut out = String::from(if kind == Kind::Array { "[" } else { "{" });
    for (at, (key, value)) in parts.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        if kind == Kind::Object {
            json::quote(key, &mut out);
            out.push(':');
        }
        out.push_str(value);
    }
    out.push(if kind == Kind::Array { ']' } else { '}' });
    out
}

/// A column of `OPENJSON … WITH`.
#[derive(Clone, Debug)]
pub struct JsonColumn {
    pub name: String,
    pub sql_type: SqlType,
    pub path: String,
    pub as_json: bool,
}

/// `OPENJSON`: where in the text, and which columns of each row.
#[derive(Clone, Debug)]
pub struct OpenJson {
    path: Path,
    /// None where the rows are keys with their values.
    with: Option<Vec<(JsonColumn, Path)>>,
}

impl OpenJson {
    /// # Errors
    /// 13607 for a path that isn't one.
    pub fn new(path: &str, columns: Vec<JsonColumn>) -> SqlResult<Self> {
        let mut with = Vec::with_capacity(columns.len());
        for column in columns {
            let path = json::path(&column.path)?;
            with.push((column, path));
        }
        Ok(Self { path: json::path(path)?, with: (!with.is_empty()).then_some(with) })
    }

    pub fn columns(&self) -> Vec<Column> {
        match &self.with {
            Some(with) => with.iter().map(|(column, _)| Column::new(&column.name, column.sql_type, true)).collect(),
            None => vec![
                Column::new("key", SqlType::NVarChar(Length::Limited(4000)), false),
                Column::new("value", SqlType::NVarChar(Length::Max), true),
                Column::new("type", SqlType::TinyInt, false),
            ],
        }
    }

    /// # Errors
    /// 13608 and 13609; those of conversion to a column's type.
    pub fn rows(&self, arguments: &[Value]) -> SqlResult<Vec<Vec<Value>>> {
        let Some(text) = arguments.first().and_then(Value::as_text) else { return Ok(Vec::new()) };
        let Some(found) = json::read(text)?.at(&self.path.steps) else {
            return missing(&self.path).map(|_| Vec::new());
        };
        let Some(with) = &self.with else {
            let row = |(key, value): (String, Slice<'_>)| {
                let kind = value.kind as u8;
                let shown = value.scalar().map_or(Value::Null, |text| Value::text(&text));
                vec![Value::text(&key), shown, Value::TinyInt(kind)]
            };
            return Ok(found.parts().into_iter().map(row).collect());
        };
        let items: Vec<Slice<'_>> = match found.kind {
            Kind::Array => found.parts().into_iter().map(|(_, value)| value).collect(),
            _ => vec![found],
        };
        let mut rows = Vec::with_capacity(items.len());
        for item in items {
            let mut row = Vec::with_capacity(with.len());
            for (column, path) in with {
                row.push(cell(item, column, path)?);
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

fn cell(item: Slice<'_>, column: &JsonColumn, path: &Path) -> SqlResult<Value> {
    let whole = |found: &Slice<'_>| matches!(found.kind, Kind::Array | Kind::Object);
    match item.at(&path.steps).filter(|found| whole(found) == column.as_json || found.kind == Kind::Null) {
        Some(found) if column.as_json => Ok(found.scalar().map_or(Value::Null, |_| Value::text(found.raw))),
        Some(found) => match found.scalar() {
            Some(text) => convert::convert(&Value::text(&text), SqlType::NVarChar(Length::Max), column.sql_type, None),
            None => Ok(Value::Null),
        },
        None => missing(path),
    }
}
