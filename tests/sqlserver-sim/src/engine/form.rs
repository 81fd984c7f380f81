//! FOR JSON and FOR XML: a result as one text.

use crate::error::{SqlError, SqlResult};
use crate::value::{Length, SqlType, Value, convert};

use super::json;

/// How a query's rows are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Form {
    Json { root: Option<String>, nulls: bool, wrapper: bool, nested: bool },
    Xml { row: Option<String>, root: Option<String>, attributes: bool, typed: bool },
}

/// A column of the rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FormColumn {
    pub name: String,
    pub sql_type: SqlType,
    /// It is a text of the form already, and put in as it is.
    pub ready: bool,
}

impl Form {
    /// What the one column of the result is called, and its type.
    pub fn column(&self) -> (&'static str, SqlType) {
        match self {
            Self::Json { .. } => ("JSON_F52E2B61-18A1-11d1-B105-00805F49916B", SqlType::NVarChar(Length::Max)),
            Self::Xml { typed: true, .. } => ("", SqlType::Xml),
            Self::Xml { .. } => ("XML_F52E2B61-18A1-11d1-B105-00805F49916B", SqlType::NVarChar(Length::Max)),
        }
    }

    /// Whether columns of such names can be written.
    ///
    /// # Errors
    /// 13605 and 6809 for a column without a name, 6864 for an attribute of no element, 13601 for two of one name.
    pub fn check(&self, columns: &[FormColumn]) -> SqlResult<()> {
        match self {
            Self::Json { .. } => {
                for (at, column) in columns.iter().enumerate() {
                    if column.name.is_empty() {
                        let text = "Column expressions and data sources without names or aliases cannot be formatted as JSON text using FOR JSON clause. Add alias to the unnamed column or table.";
                        return Err(SqlError::new(13_605, 16, text));
                    }
                    if columns.iter().take(at).any(|other| other.name == column.name) {
                        let text = format!(
                            "Property '{}' cannot be generated in JSON output due to a conflict with another column name or alias. Use different names and aliases for each column in SELECT list.",
                            column.name
                        );
                        return Err(SqlError::new(13_601, 16, text));
                    }
                }
                Ok(())
            }
            Self::Xml { attributes: true, .. } if columns.iter().any(|column| column.name.is_empty()) => {
                let text = "Unnamed tables cannot be used as XML identifiers as well as unnamed columns cannot be used for attribute names. Name unnamed columns/tables using AS in the SELECT statement.";
                Err(SqlError::new(6809, 16, text))
            }
            Self::Xml { row: None, attributes: false, .. }
                if columns.iter().any(|column| column.name.starts_with('@')) =>
            {
                let text = "Row tag omission (empty row tag name) cannot be used with attribute-centric FOR XML serialization.";
                Err(SqlError::new(6864, 16, text))
            }
            Self::Xml { .. } => Ok(()),
        }
    }

    /// Writes the rows; None where there are none.
    ///
    /// # Errors
    /// Those of converting values to text.
    pub fn write(&self, columns: &[FormColumn], rows: &[Vec<Value>]) -> SqlResult<Option<String>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let mut out = String::new();
        match self {
            Self::Json { root, nulls, wrapper, nested } => {
                let mut objects = Vec::with_capacity(rows.len());
                for row in rows {
                    objects.push(object(columns, row, *nulls, *nested)?);
                }
                let inner = objects.join(",");
                out = if *wrapper { format!("[{inner}]") } else { inner };
                if let Some(root) = root {
                    let mut whole = String::from("{");
                    json::quote(root, &mut whole);
                    whole.push(':');
                    out = format!("{whole}{out}}}");
                }
            }
            Self::Xml { row: element, root, attributes, .. } => {
                for row in rows {
                    if *attributes {
                        attribute_row(element.as_deref().unwrap_or("row"), columns, row, &mut out)?;
                    } else {
                        element_row(element.as_deref(), columns, row, &mut out)?;
                    }
                }
                if let Some(root) = root {
                    out = format!("<{root}>{out}</{root}>");
                }
            }
        }
        Ok(Some(out))
    }
}

// JSON

/// A member of an object: a value, or an object made of the columns with a common beginning of their names.
enum Member {
    Value(String),
    Object(Vec<(String, Member)>),
}

fn object(columns: &[FormColumn], row: &[Value], nulls: bool, nested: bool) -> SqlResult<String> {
    let mut members = Vec::new();
    for (column, value) in columns.iter().zip(row) {
        if value.is_null() && !nulls {
            continue;
        }
        let written = json_value(value, column)?;
        let path: Vec<&str> = if nested { column.name.split('.').collect() } else { vec![column.name.as_str()] };
        put(&mut members, &path, written, &column.name)?;
    }
    let mut out = String::new();
    write_members(&members, &mut out);
    Ok(out)
}

fn put(members: &mut Vec<(String, Member)>, path: &[&str], written: String, name: &str) -> SqlResult<()> {
    let conflict = || {
        let text = format!(
            "Property '{name}' cannot be generated in JSON output due to a conflict with another column name or alias. Use different names and aliases for each column in SELECT list."
        );
        SqlError::new(13_601, 16, text)
    };
    match path {
        [] => Err(conflict()),
        [last] => {
            if members.iter().any(|(own, _)| own == last) {
                return Err(conflict());
            }
            members.push(((*last).to_owned(), Member::Value(written)));
            Ok(())
        }
        [first, rest @ ..] => {
            // Only the member before can be gone on with, so that objects stay whole.
            match members.last_mut() {
                Some((own, Member::Object(inner))) if own == first => return put(inner, rest, written, name),
                _ => {}
            }
            if members.iter().any(|(own, _)| own == first) {
                return Err(conflict());
            }
            let mut inner = Vec::new();
            put(&mut inner, rest, written, name)?;
            members.push(((*first).to_owned(), Member::Object(inner)));
            Ok(())
        }
    }
}

fn write_members(members: &[(String, Member)], out: &mut String) {
    out.push('{');
    for (at, (name, member)) in members.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::quote(name, out);
        out.push(':');
        match member {
            Member::Value(written) => out.push_str(written),
            Member::Object(inner) => write_members(inner, out),
        }
    }
    out.push('}');
}

fn json_value(value: &Value, column: &FormColumn) -> SqlResult<String> {
    if value.is_null() {
        return Ok("null".to_owned());
    }
    if column.ready {
        return Ok(value.as_text().unwrap_or("null").to_owned());
    }
    let sql_type = if column.sql_type == SqlType::Variant { value.natural_type() } else { column.sql_type };
    Ok(match value {
        Value::Bit(bit) => bit.to_string(),
        Value::Float(number) => scientific(*number, 15),
        Value::Real(number) => scientific(f64::from(*number), 7),
        _ if sql_type.is_number() => shown(value, sql_type)?,
        _ => {
            let mut out = String::new();
            json::quote(&shown(value, sql_type)?, &mut out);
            out
        }
    })
}

/// `1.500000000000000e+000`.
fn scientific(number: f64, places: usize) -> String {
    let written = format!("{number:.places$e}");
    let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>3}")
}

/// A value as text: dates as ISO 8601 says, bytes in base 64.
fn shown(value: &Value, sql_type: SqlType) -> SqlResult<String> {
    if let Value::Binary(bytes) = value {
        return Ok(base64(bytes));
    }
    let text = convert::convert(value, sql_type, SqlType::NVarChar(Length::Max), Some(126))?;
    let text = text.as_text().unwrap_or_default();
    // Parts of a second are written where there are any.
    let whole = match (value, text.rsplit_once('.')) {
        (Value::DateTime2(_) | Value::Time(_), Some((whole, fraction)))
            if fraction.bytes().all(|digit| digit == b'0') =>
        {
            whole
        }
        _ => text,
    };
    Ok(whole.to_owned())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for at in 0..4_usize {
            let digit = usize::try_from((group >> (18 - 6 * at)) & 63).unwrap_or(0);
            let character = DIGITS.get(digit).map_or('=', |digit| char::from(*digit));
            out.push(if at <= chunk.len() { character } else { '=' });
        }
    }
    out
}

// XML

fn escape(text: &str, attribute: bool, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\r' => out.push_str("&#x0D;"),
            '\n' if attribute => out.push_str("&#x0A;"),
            '\t' if attribute => out.push_str("&#x09;"),
            other => out.push(other),
        }
    }
}

fn content(value: &Value, column: &FormColumn, out: &mut String) -> SqlResult<()> {
    if column.ready || column.sql_type == SqlType::Xml {
        out.push_str(value.as_text().unwrap_or_default());
        return Ok(());
    }
    escape(&xml_text(value, column)?, false, out);
    Ok(())
}

fn xml_text(value: &Value, column: &FormColumn) -> SqlResult<String> {
    let sql_type = if column.sql_type == SqlType::Variant { value.natural_type() } else { column.sql_type };
    Ok(match value {
        Value::Bit(bit) => u8::from(*bit).to_string(),
        Value::Float(number) => scientific(*number, 15),
        Value::Real(number) => scientific(f64::from(*number), 7),
        _ => shown(value, sql_type)?,
    })
}

/// `<row a="1" b="2"/>`.
fn attribute_row(element: &str, columns: &[FormColumn], row: &[Value], out: &mut String) -> SqlResult<()> {
    out.push('<');
    out.push_str(element);
    for (column, value) in columns.iter().zip(row).filter(|(_, value)| !value.is_null()) {
        out.push_str(&format!(" {}=\"", name(&column.name)));
        escape(&xml_text(value, column)?, true, out);
        out.push('"');
    }
    out.push_str("/>");
    Ok(())
}

/// A row of elements: `@a` is an attribute, `a/b` an element in another, what has no name stands as it is.
fn element_row(element: Option<&str>, columns: &[FormColumn], row: &[Value], out: &mut String) -> SqlResult<()> {
    let mut inner = String::new();
    let mut attributes = String::new();
    let mut open: Vec<String> = Vec::new();
    let mut any = false;
    let mut data = false;
    for (column, value) in columns.iter().zip(row) {
        if value.is_null() {
            continue;
        }
        any = true;
        if let Some(attribute) = column.name.strip_prefix('@') {
            attributes.push_str(&format!(" {}=\"", name(attribute)));
            escape(&xml_text(value, column)?, true, &mut attributes);
            attributes.push('"');
            continue;
        }
        let mut path: Vec<String> = column.name.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let bare = path.last().is_none_or(|last| matches!(last.as_str(), "text()" | "node()" | "data()" | "*"));
        let is_data = path.last().is_some_and(|last| last == "data()");
        // What stands bare has no element of its own.
        let last = path.pop().filter(|_| !bare);
        go_to(&mut open, &path, &mut inner);
        if is_data && data {
            inner.push(' ');
        }
        data = is_data;
        match last {
            Some(last) => {
                let last = name(&last);
                inner.push_str(&format!("<{last}>"));
                content(value, column, &mut inner)?;
                inner.push_str(&format!("</{last}>"));
            }
            None => content(value, column, &mut inner)?,
        }
    }
    go_to(&mut open, &[], &mut inner);
    match element {
        None => out.push_str(&inner),
        Some(element) if any => out.push_str(&format!("<{element}{attributes}>{inner}</{element}>")),
        Some(element) => out.push_str(&format!("<{element}/>")),
    }
    Ok(())
}

/// Closes and opens elements until those of the path are open.
fn go_to(open: &mut Vec<String>, path: &[String], out: &mut String) {
    let shared = open.iter().zip(path).take_while(|(a, b)| a == b).count();
    for closed in open.drain(shared..).rev() {
        out.push_str(&format!("</{}>", name(&closed)));
    }
    for opened in path.iter().skip(shared) {
        out.push_str(&format!("<{}>", name(opened)));
        open.push(opened.clone());
    }
}

/// A name of XML: what can't stand in one is written by its number.
fn name(column: &str) -> String {
    let mut out = String::with_capacity(column.len());
    for (at, character) in column.chars().enumerate() {
        let fits = character.is_alphanumeric() && !(at == 0 && character.is_ascii_digit())
            || character == '_'
            || (at > 0 && matches!(character, '-' | '.' | ':'));
        if fits { out.push(character) } else { out.push_str(&format!("_x{:04X}_", u32::from(character))) }
    }
    out
}

/// The text of an XML fragment: what stands in no tag.
pub fn text_of_xml(xml: &str) -> String {
    let mut out = String::with_capacity(xml.len());
    let mut rest = xml;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(rest.get(..at).unwrap_or_default());
        let tail = rest.get(at..).unwrap_or_default();
        let (end, close) = if tail.starts_with('<') { (tail.find('>'), '>') } else { (tail.find(';'), ';') };
        let Some(end) = end else {
            rest = tail;
            break;
        };
        if close == ';' {
            out.push_str(&entity(tail.get(1..end).unwrap_or_default()));
        }
        rest = tail.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> String {
    let number = |digits: &str, radix: u32| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match name {
        "amp" => "&".to_owned(),
        "lt" => "<".to_owned(),
        "gt" => ">".to_owned(),
        "quot" => "\"".to_owned(),
        "apos" => "'".to_owned(),
        other => {
            let character = match (other.strip_prefix("#x"), other.strip_prefix('#')) {
                (Some(digits), _) => number(digits, 16),
                (None, Some(digits)) => number(digits, 10),
                (None, None) => None,
            };
            character.map_or_else(|| format!("&{other};"), String::from)
        }
    }
}
