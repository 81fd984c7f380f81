//! Functions of texts.

use crate::error::{SqlError, SqlResult};
use crate::value::collation::same_character;
use crate::value::sql_type::Family;
use crate::value::{Length, SqlType, Value, convert, format};

use super::super::pattern;
use super::Parameter::{Any, Integer, Text};
use super::{Builtin, first, int, integer_at, sysname, text_at};

pub const FUNCTIONS: &[Builtin] = &[
    // What the method `value` of xml gives for a path to the whole text.
    Builtin::new(
        "XML_TEXT",
        1..=1,
        &[Any],
        |_| Ok(SqlType::NVarChar(Length::Max)),
        |_, values, _, _| Ok(Value::text(&super::super::form::text_of_xml(text_at(values, 0)))),
    ),
    Builtin::new("LEN", 1..=1, &[Text], int, |_, values, types, _| {
        Ok(Value::Int(count(units(text_at(values, 0).trim_end_matches(' '), types.first().copied()))))
    }),
    Builtin::new("DATALENGTH", 1..=1, &[Any], int, |_, values, types, _| Ok(data_length(values, types))),
    Builtin::new("LOWER", 1..=1, &[Text], first, |_, values, _, _| Ok(Value::text(&text_at(values, 0).to_lowercase()))),
    Builtin::new("UPPER", 1..=1, &[Text], first, |_, values, _, _| {
        // Characters whose capitals are several, such as ß, stay as they are.
        let capital = |character: char| {
            let mut capitals = character.to_uppercase();
            match (capitals.next(), capitals.next()) {
                (Some(only), None) => only,
                _ => character,
            }
        };
        Ok(Value::text(&text_at(values, 0).chars().map(capital).collect::<String>()))
    }),
    Builtin::new("LTRIM", 1..=2, &[Text, Text], varying, |_, values, _, _| {
        let set = trimmed_set(values, 1);
        Ok(Value::text(text_at(values, 0).trim_start_matches(|c| set.contains(&c))))
    }),
    Builtin::new("RTRIM", 1..=2, &[Text, Text], varying, |_, values, _, _| {
        let set = trimmed_set(values, 1);
        Ok(Value::text(text_at(values, 0).trim_end_matches(|c| set.contains(&c))))
    }),
    Builtin::new("TRIM", 1..=1, &[Text], varying, |_, values, _, _| {
        Ok(Value::text(text_at(values, 0).trim_matches(' ')))
    }),
    Builtin::new("LEFT", 2..=2, &[Text, Integer], varying, |_, values, _, _| {
        let wanted = length_at(values, 1, "LEFT")?;
        Ok(Value::text(&text_at(values, 0).chars().take(wanted).collect::<String>()))
    }),
    Builtin::new("RIGHT", 2..=2, &[Text, Integer], varying, |_, values, _, _| {
        let wanted = length_at(values, 1, "RIGHT")?;
        let text = text_at(values, 0);
        let skipped = text.chars().count().saturating_sub(wanted);
        Ok(Value::text(&text.chars().skip(skipped).collect::<String>()))
    }),
    Builtin::new("SUBSTRING", 3..=3, &[Any, Integer, Integer], part_of, |_, values, _, _| substring(values)),
    Builtin::new("CHARINDEX", 2..=3, &[Text, Text, Integer], int, |_, values, _, _| {
        Ok(Value::Int(count(char_index(values))))
    }),
    Builtin::new("PATINDEX", 2..=2, &[Text, Text], int, |_, values, _, _| {
        Ok(Value::Int(count(pattern::position(text_at(values, 1), text_at(values, 0)))))
    }),
    Builtin::new("REPLACE", 3..=3, &[Text, Text, Text], widest, |_, values, _, _| Ok(replace(values))),
    Builtin::new("REPLICATE", 2..=2, &[Text, Integer], widest, |_, values, _, _| {
        let Some(times) = integer_at(values, 1).and_then(|times| usize::try_from(times).ok()) else {
            return Ok(Value::Null);
        };
        repeated(text_at(values, 0), times)
    }),
    Builtin::new("SPACE", 1..=1, &[Integer], widest_of_numbers, |_, values, _, _| {
        let Some(times) = integer_at(values, 0).and_then(|times| usize::try_from(times).ok()) else {
            return Ok(Value::Null);
        };
        repeated(" ", times)
    }),
    Builtin::new("REVERSE", 1..=1, &[Text], first, |_, values, _, _| {
        Ok(Value::text(&text_at(values, 0).chars().rev().collect::<String>()))
    }),
    Builtin::new("STUFF", 4..=4, &[Text, Integer, Integer, Text], widest, |_, values, _, _| Ok(stuff(values))),
    Builtin::new("ASCII", 1..=1, &[Text], int, |_, values, _, _| {
        let byte = encoding_rs::WINDOWS_1252.encode(text_at(values, 0)).0.first().copied();
        Ok(byte.map_or(Value::Null, |byte| Value::Int(i32::from(byte))))
    }),
    Builtin::new("UNICODE", 1..=1, &[Text], int, |_, values, _, _| {
        let unit = text_at(values, 0).encode_utf16().next();
        Ok(unit.map_or(Value::Null, |unit| Value::Int(i32::from(unit))))
    }),
    Builtin::new(
        "CHAR",
        1..=1,
        &[Integer],
        |_| Ok(SqlType::Char(1)),
        |_, values, _, _| {
            let byte = integer_at(values, 0).and_then(|code| u8::try_from(code).ok());
            Ok(byte.map_or(Value::Null, |byte| {
                Value::text(&encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[byte]).0)
            }))
        },
    ),
    Builtin::new(
        "NCHAR",
        1..=1,
        &[Integer],
        |_| Ok(SqlType::NChar(1)),
        |_, values, _, _| {
            let Some(code) = integer_at(values, 0).and_then(|code| u16::try_from(code).ok()) else {
                return Ok(Value::Null);
            };
            match char::from_u32(u32::from(code)) {
                Some(character) => Ok(Value::text(&character.to_string())),
                None => Err(SqlError::unsupported("halves of surrogate pairs; write the whole character")),
            }
        },
    ),
    Builtin::new(
        "QUOTENAME",
        1..=2,
        &[Text, Text],
        |_| Ok(SqlType::NVarChar(Length::Limited(258))),
        |_, values, _, _| Ok(quoted(values)),
    ),
    Builtin::new("PARSENAME", 2..=2, &[Text, Integer], sysname, |_, values, _, _| {
        let text = text_at(values, 0);
        // Versions are taken apart with it, too, and they aren't names.
        let parts =
            super::super::parse::name_parts(text).unwrap_or_else(|_| text.split('.').map(str::to_owned).collect());
        let wanted = integer_at(values, 1).and_then(|part| usize::try_from(part).ok()).unwrap_or(0);
        let part = wanted.checked_sub(1).and_then(|part| parts.iter().rev().nth(part)).filter(|part| !part.is_empty());
        Ok(part.map_or(Value::Null, |part| Value::text(part)))
    }),
    Builtin::new("CONCAT", 2..=254, &[Any], widest, |_, values, types, result| Ok(joined(values, types, "", result)))
        .with_nulls(),
    Builtin::new("CONCAT_WS", 3..=254, &[Any], widest, |_, values, types, result| {
        let separator = text_at(values, 0).to_owned();
        let (values, types) = (values.get(1..).unwrap_or_default(), types.get(1..).unwrap_or_default());
        let kept: Vec<(Value, SqlType)> =
            values.iter().cloned().zip(types.iter().copied()).filter(|(value, _)| !value.is_null()).collect();
        let (values, types): (Vec<Value>, Vec<SqlType>) = kept.into_iter().unzip();
        Ok(joined(&values, &types, &separator, result))
    })
    .with_nulls(),
    Builtin::new(
        "STR",
        1..=3,
        &[super::Parameter::Float, Integer, Integer],
        |_| Ok(SqlType::VarChar(Length::Limited(8000))),
        |_, values, _, _| Ok(number_as_text(values)),
    ),
    Builtin::new("TRANSLATE", 3..=3, &[Text, Text, Text], first, |_, values, _, _| {
        let (from, to): (Vec<char>, Vec<char>) =
            (text_at(values, 1).chars().collect(), text_at(values, 2).chars().collect());
        if from.len() != to.len() {
            return Err(SqlError::new(
                9828,
                16,
                "The second and third arguments of the TRANSLATE built-in function must contain an equal number of characters.",
            ));
        }
        let translated = |c: char| {
            from.iter().position(|from| same_character(*from, c)).and_then(|at| to.get(at)).copied().unwrap_or(c)
        };
        Ok(Value::text(&text_at(values, 0).chars().map(translated).collect::<String>()))
    }),
    Builtin::new("STRING_ESCAPE", 2..=2, &[Text, Text], widest, |_, values, _, _| {
        let escaped: String = text_at(values, 0)
            .chars()
            .map(|c| match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\t' => "\\t".to_owned(),
                c => c.to_string(),
            })
            .collect();
        Ok(Value::text(&escaped))
    }),
];

/// The longest text that a function makes of a shorter one, in bytes.
const MADE_BYTES_MAX: usize = 256 << 20;

/// A length that doesn't fit is no text's.
fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn units(text: &str, sql_type: Option<SqlType>) -> usize {
    if sql_type.is_some_and(SqlType::is_unicode) { text.encode_utf16().count() } else { text.chars().count() }
}

fn varying(types: &[SqlType]) -> SqlResult<SqlType> {
    let of = first(types)?;
    Ok(if of.is_unicode() { SqlType::NVarChar(of.character_length()) } else { SqlType::VarChar(of.character_length()) })
}

/// Texts that may grow.
fn widest(types: &[SqlType]) -> SqlResult<SqlType> {
    let texts = || types.iter().filter(|sql_type| sql_type.is_character());
    let unicode = texts().any(|sql_type| sql_type.is_unicode());
    let unbounded = texts().any(|sql_type| sql_type.character_length() == Length::Max);
    let length = |limit| if unbounded { Length::Max } else { Length::Limited(limit) };
    Ok(if unicode { SqlType::NVarChar(length(4000)) } else { SqlType::VarChar(length(8000)) })
}

fn widest_of_numbers(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::VarChar(Length::Limited(8000)))
}

fn part_of(types: &[SqlType]) -> SqlResult<SqlType> {
    let of = first(types)?;
    if of.family() == Family::Binary { Ok(SqlType::VarBinary(of.character_length())) } else { varying(types) }
}

fn data_length(values: &[Value], types: &[SqlType]) -> Value {
    let sql_type = types.first().copied().unwrap_or(SqlType::Int);
    match values.first() {
        Some(Value::Text(text)) if sql_type.is_unicode() => Value::Int(count(text.encode_utf16().count() * 2)),
        Some(Value::Text(text)) => Value::Int(count(text.chars().count())),
        Some(Value::Binary(bytes)) => Value::Int(count(bytes.len())),
        _ => Value::Int(i32::from(sql_type.max_length())),
    }
}

fn trimmed_set(values: &[Value], at: usize) -> Vec<char> {
    values.get(at).and_then(Value::as_text).map_or_else(|| vec![' '], |set| set.chars().collect())
}

fn length_at(values: &[Value], at: usize, name: &str) -> SqlResult<usize> {
    integer_at(values, at).and_then(|length| usize::try_from(length).ok()).ok_or_else(|| {
        SqlError::new(537, 16, format!("Invalid length parameter passed to the {name} or SUBSTRING function."))
    })
}

/// From a position that may lie before the beginning.
fn substring(values: &[Value]) -> SqlResult<Value> {
    let start = integer_at(values, 1).unwrap_or(1);
    let length = integer_at(values, 2).unwrap_or(0);
    if length < 0 {
        return Err(SqlError::new(537, 16, "Invalid length parameter passed to the LEFT or SUBSTRING function."));
    }
    let end = usize::try_from(start.saturating_add(length).saturating_sub(1)).unwrap_or(0);
    let skipped = usize::try_from(start - 1).unwrap_or(0);
    let taken = end.saturating_sub(skipped);
    Ok(match values.first() {
        Some(Value::Binary(bytes)) => Value::Binary(bytes.iter().skip(skipped).take(taken).copied().collect()),
        Some(Value::Text(text)) => Value::text(&text.chars().skip(skipped).take(taken).collect::<String>()),
        Some(other) => {
            let text = format::text(other, other.natural_type(), None).unwrap_or_default();
            Value::text(&text.chars().skip(skipped).take(taken).collect::<String>())
        }
        None => Value::Null,
    })
}

fn find_from(text: &[char], wanted: &[char], from: usize) -> Option<usize> {
    if wanted.is_empty() || wanted.len() > text.len() {
        return None;
    }
    (from..=text.len() - wanted.len()).find(|at| text.iter().skip(*at).zip(wanted).all(|(a, b)| same_character(*a, *b)))
}

fn char_index(values: &[Value]) -> usize {
    let wanted: Vec<char> = text_at(values, 0).chars().collect();
    let text: Vec<char> = text_at(values, 1).chars().collect();
    let from = integer_at(values, 2).and_then(|from| usize::try_from(from).ok()).unwrap_or(1).max(1) - 1;
    find_from(&text, &wanted, from).map_or(0, |at| at + 1)
}

fn replace(values: &[Value]) -> Value {
    let text: Vec<char> = text_at(values, 0).chars().collect();
    let wanted: Vec<char> = text_at(values, 1).chars().collect();
    let by = text_at(values, 2);
    let mut result = String::new();
    let mut at = 0;
    while let Some(found) = find_from(&text, &wanted, at) {
        result.extend(text.iter().skip(at).take(found - at));
        result.push_str(by);
        at = found + wanted.len();
    }
    result.extend(text.iter().skip(at));
    Value::text(&result)
}

fn repeated(text: &str, times: usize) -> SqlResult<Value> {
    if text.len().saturating_mul(times) > MADE_BYTES_MAX {
        return Err(SqlError::unsupported("texts of more than 256 MiB made by one function"));
    }
    Ok(Value::text(&text.repeat(times)))
}

fn stuff(values: &[Value]) -> Value {
    let text: Vec<char> = text_at(values, 0).chars().collect();
    let start = integer_at(values, 1).and_then(|start| usize::try_from(start).ok()).unwrap_or(0);
    let Some(length) = integer_at(values, 2).and_then(|length| usize::try_from(length).ok()) else {
        return Value::Null;
    };
    if start == 0 || start > text.len() {
        return Value::Null;
    }
    let mut result: String = text.iter().take(start - 1).collect();
    result.push_str(text_at(values, 3));
    result.extend(text.iter().skip(start - 1 + length));
    Value::text(&result)
}

fn quoted(values: &[Value]) -> Value {
    let name = text_at(values, 0);
    let mark = values.get(1).and_then(Value::as_text).and_then(|mark| mark.chars().next()).unwrap_or('[');
    let (open, close) = match mark {
        '[' | ']' => ('[', ']'),
        '(' | ')' => ('(', ')'),
        '<' | '>' => ('<', '>'),
        '{' | '}' => ('{', '}'),
        '\'' | '"' | '`' => (mark, mark),
        _ => return Value::Null,
    };
    if name.chars().count() > 128 {
        return Value::Null;
    }
    Value::text(&format!("{open}{}{close}", name.replace(close, &format!("{close}{close}"))))
}

fn joined(values: &[Value], types: &[SqlType], separator: &str, result: SqlType) -> Value {
    let text = |(value, sql_type): (&Value, &SqlType)| match value {
        Value::Null => String::new(),
        Value::Text(text) => text.to_string(),
        other => format::text(other, *sql_type, None).unwrap_or_default(),
    };
    let texts: Vec<String> = values.iter().zip(types).map(text).collect();
    let joined = Value::text(&texts.join(separator));
    convert::convert(&joined, result, result, None).unwrap_or(joined)
}

/// `STR(number, length, decimals)`: right-aligned, stars where it doesn't fit.
fn number_as_text(values: &[Value]) -> Value {
    let Some(Value::Float(number)) = values.first() else { return Value::Null };
    let length = integer_at(values, 1).and_then(|length| usize::try_from(length).ok()).unwrap_or(10);
    let decimals = integer_at(values, 2).and_then(|decimals| usize::try_from(decimals).ok()).unwrap_or(0).min(16);
    let text = format!("{number:.decimals$}");
    if length > 8000 {
        return Value::Null;
    }
    Value::text(&if text.len() > length { "*".repeat(length) } else { format!("{text:>length$}") })
}
