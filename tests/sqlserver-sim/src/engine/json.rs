//! JSON texts: reading them without building anything, as what is asked for is a part of the text itself.

use std::fmt::Write as _;

use crate::error::{SqlError, SqlResult};

/// How deep arrays and objects may lie in one another.
const DEPTH_MAX: usize = 128;

/// What a value is, by the numbers of `OPENJSON`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Null = 0,
    Text = 1,
    Number = 2,
    Boolean = 3,
    Array = 4,
    Object = 5,
}

/// A value where it stands in its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slice<'a> {
    pub kind: Kind,
    /// With its quotes or brackets.
    pub raw: &'a str,
}

/// Reads a whole text, which is an object or an array.
///
/// # Errors
/// 13609 where it isn't JSON.
pub fn read(text: &str) -> SqlResult<Slice<'_>> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_spaces();
    let value = reader.value(0).ok_or_else(|| reader.refused())?;
    reader.skip_spaces();
    if reader.at < text.len() || !matches!(value.kind, Kind::Array | Kind::Object) {
        return Err(reader.refused());
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn refused(&self) -> SqlError {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let character = rest.chars().next().unwrap_or('.');
        let text = format!(
            "JSON text is not properly formatted. Unexpected character '{character}' is found at position {}.",
            self.at
        );
        SqlError::new(13_609, 16, text).with_state(4)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Slice<'a>> {
        let start = self.at;
        let kind = match self.peek()? {
            b'{' => self.members(depth, &mut |_, _| {}).map(|()| Kind::Object),
            b'[' => self.items(depth, &mut |_| {}).map(|()| Kind::Array),
            b'"' => self.text().map(|_| Kind::Text),
            b't' => self.word("true").map(|()| Kind::Boolean),
            b'f' => self.word("false").map(|()| Kind::Boolean),
            b'n' => self.word("null").map(|()| Kind::Null),
            _ => self.number().map(|()| Kind::Number),
        }?;
        Some(Slice { kind, raw: self.text.get(start..self.at)? })
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.take(b'-');
        self.digits()?;
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            let _ = self.take(b'-').or_else(|| self.take(b'+'));
            self.digits()?;
        }
        Some(())
    }

    /// A text in quotes, which are left off.
    fn text(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    let text = self.text.get(start..self.at);
                    self.at += 1;
                    return text;
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'u' => {
                            let digits = self.text.get(self.at + 1..self.at + 5)?;
                            u16::from_str_radix(digits, 16).ok()?;
                            self.at += 5;
                        }
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        _ => return None,
                    }
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
    }

    fn members(&mut self, depth: usize, visit: &mut dyn FnMut(&'a str, Slice<'a>)) -> Option<()> {
        if depth >= DEPTH_MAX {
            return None;
        }
        self.take(b'{')?;
        self.skip_spaces();
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            self.skip_spaces();
            let key = self.text()?;
            self.skip_spaces();
            self.take(b':')?;
            self.skip_spaces();
            let value = self.value(depth + 1)?;
            visit(key, value);
            self.skip_spaces();
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    fn items(&mut self, depth: usize, visit: &mut dyn FnMut(Slice<'a>)) -> Option<()> {
        if depth >= DEPTH_MAX {
            return None;
        }
        self.take(b'[')?;
        self.skip_spaces();
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            self.skip_spaces();
            let value = self.value(depth + 1)?;
            visit(value);
            self.skip_spaces();
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }
}

impl<'a> Slice<'a> {
    /// The members of an object with their keys, or the items of an array with their numbers.
    pub fn parts(&self) -> Vec<(String, Slice<'a>)> {
        let mut parts = Vec::new();
        let mut reader = Reader { text: self.raw, at: 0 };
        // The text was read before, so that it can be read.
        let _ = match self.kind {
            Kind::Object => reader.members(0, &mut |key, value| parts.push((unescaped(key), value))),
            Kind::Array => reader.items(0, &mut |value| {
                let number = parts.len().to_string();
                parts.push((number, value));
            }),
            _ => None,
        };
        parts
    }

    /// A text without its quotes, anything else as it is written; None for null.
    pub fn scalar(&self) -> Option<String> {
        match self.kind {
            Kind::Null => None,
            Kind::Text => {
                let inner = self.raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
                Some(unescaped(inner.unwrap_or(self.raw)))
            }
            _ => Some(self.raw.to_owned()),
        }
    }

    /// The value that a path leads to.
    pub fn at(&self, steps: &[Step]) -> Option<Slice<'a>> {
        let mut value = *self;
        for step in steps {
            let parts = value.parts();
            let found = match (step, value.kind) {
                (Step::Key(key), Kind::Object) => parts.into_iter().find(|(own, _)| own == key),
                (Step::Index(index), Kind::Array) => parts.into_iter().nth(*index),
                _ => None,
            };
            value = found?.1;
        }
        Some(value)
    }
}

fn unescaped(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let plain = match characters.next() {
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                units.push(u16::from_str_radix(&digits, 16).unwrap_or(0xfffd));
                continue;
            }
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(other) => other,
            None => continue,
        };
        units.extend(plain.encode_utf16(&mut [0; 2]).iter());
    }
    String::from_utf16_lossy(&units)
}

/// Appends a text in quotes.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A step of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// `lax $.a."b c"[2]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// What isn't there is an error, not NULL.
    pub strict: bool,
    /// `append`, before a path of `JSON_MODIFY`.
    pub append: bool,
    pub steps: Vec<Step>,
}

/// Reads a path.
///
/// # Errors
/// 13607 where it isn't one.
pub fn path(text: &str) -> SqlResult<Path> {
    let refused = |at: usize| {
        let character = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or('.');
        let text = format!(
            "JSON path is not properly formatted. Unexpected character '{character}' is found at position {at}."
        );
        SqlError::new(13_607, 16, text).with_state(4)
    };
    let mut rest = text.trim_start();
    let append = rest.starts_with("append ");
    rest = rest.strip_prefix("append ").unwrap_or(rest).trim_start();
    let strict = rest.starts_with("strict ");
    rest = rest.strip_prefix("strict ").or_else(|| rest.strip_prefix("lax ")).unwrap_or(rest).trim_start();
    let place = |rest: &str| text.len() - rest.len();
    rest = rest.strip_prefix('$').ok_or_else(|| refused(place(rest)))?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(".\"") {
            let end = after.find('"').ok_or_else(|| refused(place(after)))?;
            steps.push(Step::Key(unescaped(after.get(..end).unwrap_or_default())));
            rest = after.get(end + 1..).unwrap_or_default();
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let key = after.get(..end).unwrap_or_default();
            if key.is_empty() || !key.chars().all(|character| character.is_alphanumeric() || character == '_') {
                return Err(refused(place(after)));
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after.get(end..).unwrap_or_default();
        } else if let Some(after) = rest.strip_prefix('[') {
            let end = after.find(']').ok_or_else(|| refused(place(after)))?;
            let index = after.get(..end).unwrap_or_default().trim().parse().map_err(|_| refused(place(after)))?;
            steps.push(Step::Index(index));
            rest = after.get(end + 1..).unwrap_or_default();
        } else {
            return Err(refused(place(rest)));
        }
    }
    Ok(Path { strict, append, steps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_where_they_stand() {
        let json = read(r#" {"a": {"b c": [1, 2.5e3, "x\"\u00e9\/"]}, "n": null, "t": true} "#).unwrap();
        let at = |text: &str| json.at(&path(text).unwrap().steps);
        assert_eq!(at("$.a.\"b c\"[1]").unwrap().raw, "2.5e3");
        assert_eq!(at("lax $.a.\"b c\"[2]").unwrap().scalar().unwrap(), "x\"é/");
        assert_eq!(at("$.a").unwrap().raw, r#"{"b c": [1, 2.5e3, "x\"\u00e9\/"]}"#);
        assert_eq!((at("$.n").unwrap().scalar(), at("$.x"), at("$.a[0]")), (None, None, None));
        assert_eq!(at("$.t").unwrap().kind, Kind::Boolean);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "1", "{", "[1,]", "{\"a\" 1}", "{\"a\":1} x", "[01x]", "[\"\\q\"]", "[tru]", "[-]"] {
            assert_eq!(read(text).unwrap_err().number, 13_609, "{text}");
        }
        assert!(read(&format!("{}{}", "[".repeat(127), "]".repeat(127))).is_ok());
        assert!(read(&"[".repeat(100_000)).is_err());
        for text in ["", "a", "$a", "$.", "$.a b", "$[x]", "$.\"a"] {
            assert_eq!(path(text).unwrap_err().number, 13_607, "{text}");
        }
    }

    #[test]
    fn texts_are_quoted() {
        let mut out = String::new();
        quote("a\"b\\c/d\n\u{1}é", &mut out);
        assert_eq!(out, r#""a\"b\\c\/d\n\u0001é""#);
        assert_eq!(read(&format!("[{out}]")).unwrap().parts()[0].1.scalar().unwrap(), "a\"b\\c/d\n\u{1}é");
    }
}
