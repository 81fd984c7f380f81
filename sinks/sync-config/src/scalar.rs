//! A YAML scalar, and the way back from a place in its text to the place in the file.

use serde_saphyr::granit_parser::ScalarStyle;

use crate::fault::Place;
use crate::lines::Lines;

/// A scalar's text and where it came from.
#[derive(Debug)]
pub struct Scalar {
    /// The text after unquoting, unescaping and folding.
    pub text: String,
    /// Whether it was written without quotes or block markers, so that YAML may take it for more than text.
    plain: bool,
    /// Where it begins in the file, in bytes.
    start: usize,
    /// Where each visible (not white) character begins, in bytes: in `text`, and in the file.
    visible: Vec<(usize, usize)>,
}

impl Scalar {
    /// `start` is where `source`, the scalar as written, begins in the file.
    pub(crate) fn new(text: String, plain: bool, style: ScalarStyle, start: usize, source: &str) -> Self {
        // Quoting, escaping and folding change white space and add marks, but every visible character of the text is
        // written exactly once, in order. So the n-th visible one of the text is the n-th of the source.
        let visible = match style {
            ScalarStyle::DoubleQuoted => visible_double_quoted(source),
            ScalarStyle::SingleQuoted => visible_single_quoted(source),
            // The parser leaves out the line of a block's `|` or `>`.
            ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => visible_plain(source),
        };
        let in_file = visible.into_iter().map(|offset| start + offset);
        let visible = visible_plain(&text).into_iter().zip(in_file).collect();
        Self { text, plain, start, visible }
    }

    /// Where the byte at `offset` of the text stands in the file; between visible characters, the next one's place.
    pub(crate) fn place(&self, offset: usize, file: &Lines<'_>) -> Place {
        let index = self.visible.partition_point(|(in_text, _)| *in_text < offset);
        match self.visible.get(index) {
            Some((_, in_file)) => file.place(*in_file),
            None => match self.visible.last() {
                Some((_, in_file)) => {
                    let mut place = file.place(*in_file);
                    place.column = place.column.saturating_add(1);
                    place
                }
                None => file.place(self.start),
            },
        }
    }

    /// Whether YAML reads it as null.
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The boolean that YAML's core schema reads it as.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            _ => None,
        }
    }

    /// The integer that YAML's core schema reads it as.
    pub(crate) fn integer(&self) -> Option<i64> {
        if !self.plain {
            return None;
        }
        if let Some(digits) = self.text.strip_prefix("0x") {
            return i64::from_str_radix(digits, 16).ok();
        }
        if let Some(digits) = self.text.strip_prefix("0o") {
            return i64::from_str_radix(digits, 8).ok();
        }
        self.text.parse().ok()
    }
}

fn visible_plain(source: &str) -> Vec<usize> {
    source.char_indices().filter(|(_, c)| !c.is_whitespace()).map(|(offset, _)| offset).collect()
}

fn visible_single_quoted(source: &str) -> Vec<usize> {
    let mut visible = Vec::new();
    let mut chars = source.char_indices().skip(1).peekable();
    while let Some((offset, c)) = chars.next() {
        if c == '\'' && chars.next_if(|(_, next)| *next == '\'').is_none() {
            break;
        }
        if !c.is_whitespace() {
            visible.push(offset);
        }
    }
    visible
}

fn visible_double_quoted(source: &str) -> Vec<usize> {
    let mut visible = Vec::new();
    let mut chars = source.char_indices().skip(1);
    while let Some((offset, c)) = chars.next() {
        let shown = match c {
            '"' => break,
            '\\' => match chars.next() {
                Some((_, 'x')) => escaped_visible(&mut chars, 2),
                Some((_, 'u')) => escaped_visible(&mut chars, 4),
                Some((_, 'U')) => escaped_visible(&mut chars, 8),
                Some((_, '0' | 'a' | 'b' | 'e' | '"' | '/' | '\\')) => true,
                // The others stand for white space, or join lines.
                _ => false,
            },
            c => !c.is_whitespace(),
        };
        if shown {
            visible.push(offset);
        }
    }
    visible
}

/// Takes the hexadecimal digits of an escape; whether the character they stand for is visible.
fn escaped_visible(chars: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> bool {
    let code = chars.take(digits).fold(0, |code: u32, (_, c)| code.wrapping_shl(4) | c.to_digit(16).unwrap_or(0));
    char::from_u32(code).is_none_or(|c| !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::Config;

    use crate::document::{Content, read};
    use crate::fault::Faults;
    use crate::lines::Lines;

    /// Where `needle` of the only entry's text stands in `file`, as line and column.
    fn place_of(file: &str, needle: &str) -> (u32, u32) {
        let mut faults = Faults::new("f.yaml");
        let root = read(file, &mut faults).unwrap();
        let Content::Mapping(entries) = &root.content else { panic!("not a mapping") };
        let scalar = entries[0].1.scalar().unwrap();
        let place = scalar.place(scalar.text.find(needle).unwrap(), &Lines::new(file));
        (place.line, place.column)
    }

    #[test]
    fn an_empty_scalar_is_where_it_begins() {
        for file in ["# a\nsql: \"\"\n", "# a\nsql: ''\n", "# a\nsql: '  '\n"] {
            assert_eq!(place_of(file, ""), (2, 6), "{file}");
        }
    }

    #[test]
    fn plain_scalars_map_on_one_line_and_over_several() {
        assert_eq!(place_of("sql: SELECT a FROM t\n", "t"), (1, 20));
        assert_eq!(place_of("sql: SELECT a\n   FROM\n\n     tab\n", "tab"), (4, 6));
        assert_eq!(place_of("# é\n'ö': SELECT é FROM t", "FROM"), (2, 15));
    }

    #[test]
    fn quoted_scalars_map_past_their_escapes() {
        assert_eq!(place_of("sql: 'a = ''x'' AND b'", "b"), (1, 21));
        assert_eq!(place_of("sql: 'a = ''x'' AND b'", "'x'"), (1, 11));
        assert_eq!(place_of(r#"sql: "a = \"x\" \u0041\tAND b""#, "b"), (1, 29));
        assert_eq!(place_of("sql: \"a \\\n  AND\n\n  b\"", "b"), (4, 3));
    }

    #[test]
    fn block_scalars_map_past_their_header_and_indentation() {
        assert_eq!(place_of("sql: |\n  SELECT a\n    FROM t\n", "t"), (3, 10));
        assert_eq!(place_of("sql: >-  # why > not\n  SELECT a\n  FROM t\n\n  WHERE x\n", "x"), (5, 9));
        assert_eq!(place_of("sql: >+\r\n  SELECT a\r\n  FROM t\r\n", "t"), (3, 8));
    }

    proptest! {
        #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

        /// However a text is written, each of its visible characters maps to where that character stands in the file.
        #[test]
        fn every_visible_character_is_found_again(
            words in prop::collection::vec("[a-z'\"é😀(){}=,.*<>|&%#:-]{1,6}", 1..12),
            breaks in prop::collection::vec(0..4_usize, 12),
            style in 0..4_usize,
        ) {
            let separators = [" ", "   ", "\n    ", "\n\n    "];
            let body: String = words
                .iter()
                .zip(breaks)
                .map(|(word, at)| format!("{word}{}", separators[at]))
                .collect();
            // A blank after the first word keeps the text from being anything but text.
            let body = format!("x {}", body.trim_end());
            let file = match style {
                0 => format!("# é\nsql: '{}'\n", body.replace('\'', "''")),
                1 => format!("# é\nsql: \"{}\"\n", body.replace('"', "\\\"").replace('é', "\\u00e9")),
                2 => format!("# é\nsql: |-\n    {body}\n"),
                _ => format!("# é\nsql: > # why\n    {body}\n"),
            };
            let mut faults = Faults::new("f.yaml");
            let root = read(&file, &mut faults).unwrap();
            let Content::Mapping(entries) = &root.content else { panic!("not a mapping") };
            let scalar = entries[0].1.scalar().unwrap();
            let lines = Lines::new(&file);
            for (offset, c) in scalar.text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
                let place = scalar.place(offset, &lines);
                let found = file[lines.offset(place.line.into(), place.column.into())..].chars().next().unwrap();
                prop_assert!(found == c || (style == 1 && found == '\\'), "{:?}: {} is {}", file, c, found);
            }
        }
    }
}
