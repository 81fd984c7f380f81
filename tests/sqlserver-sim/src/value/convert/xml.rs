//! Whether a text is XML: that its elements are closed, each by its own end. Names, entities and attributes aren't looked
//! at, and the text is kept as it is.

use crate::error::{SqlError, SqlResult};

/// # Errors
/// 9400 where the text ends within something, 9436 where an end isn't that of the element that is open.
pub fn check_form(text: &str) -> SqlResult<()> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let markup = rest.get(start..).unwrap_or_default();
        let (length, tag) = markup_end(markup).ok_or_else(|| ended(text))?;
        rest = markup.get(length..).unwrap_or_default();
        let Some(tag) = tag else { continue };
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name.trim_end()) {
                let (line, character) = place(text, text.len() - rest.len());
                let text = format!("XML parsing: line {line}, character {character}, end tag does not match start tag");
                return Err(SqlError::new(9436, 16, text));
            }
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap_or_default());
        }
    }
    if open.is_empty() { Ok(()) } else { Err(ended(text)) }
}

/// How long the markup is that the text begins with, and what stands within it where it is a tag. None where the text
/// ends before it.
fn markup_end(markup: &str) -> Option<(usize, Option<&str>)> {
    for (start, end) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>"), ("<!", ">")] {
        if let Some(inner) = markup.strip_prefix(start) {
            return inner.find(end).map(|at| (start.len() + at + end.len(), None));
        }
    }
    let mut quote = None;
    let end = markup.char_indices().find(|(_, character)| match quote {
        Some(open) => {
            if *character == open {
                quote = None;
            }
            false
        }
        None => {
            if matches!(character, '"' | '\'') {
                quote = Some(*character);
            }
            *character == '>'
        }
    });
    end.map(|(at, _)| (at + 1, markup.get(1..at)))
}

fn ended(text: &str) -> SqlError {
    let (line, character) = place(text, text.len());
    SqlError::new(9400, 16, format!("XML parsing: line {line}, character {character}, unexpected end of input"))
}

/// Line and character of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_closed_by_their_own_ends() {
        for text in [
            "",
            "text",
            "<a/>",
            "<a></a>",
            "<?xml version=\"1.0\"?><a  b='>' c=\"</a>\"><b />x<!-- <c> --><![CDATA[<d>]]></a ><e/>",
        ] {
            assert!(check_form(text).is_ok(), "{text}");
        }
        for (text, number) in [("<a", 9400), ("<a>", 9400), ("<a><!--</a>", 9400), ("<a><b></a>", 9436), ("</a>", 9436)]
        {
            assert_eq!(check_form(text).unwrap_err().number, number, "{text}");
        }
    }
}
