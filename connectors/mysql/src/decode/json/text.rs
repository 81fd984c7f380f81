//! JSON as text.

/// Appends what the server prints for a document, without the spaces between its tokens.
pub(crate) fn compact(text: &str, out: &mut String) {
    let mut rest = text;
    let mut inside = false;
    // Everything from one quotation mark to the next is one piece: strings are copied whole, the rest without spaces.
    while let Some(quote) = rest.find('"') {
        let (piece, after) = rest.split_at_checked(quote + 1).unwrap_or((rest, ""));
        if inside {
            out.push_str(piece);
            inside = is_escaped(piece);
        } else {
            push_without_spaces(piece, out);
            inside = true;
        }
        rest = after;
    }
    push_without_spaces(rest, out);
}

/// Whether the quotation mark at the end of `piece` has an odd number of backslashes before it.
fn is_escaped(piece: &str) -> bool {
    piece.bytes().rev().skip(1).take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn push_without_spaces(piece: &str, out: &mut String) {
    piece.split(' ').for_each(|part| out.push_str(part));
}

/// Appends a string with quotation marks and the escapes that the server uses.
pub(crate) fn write_json_string(text: &str, out: &mut String) {
    const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut rest = text;
    while let Some(index) = rest.find(|c: char| matches!(c, '"' | '\\' | '\0'..='\u{1f}')) {
        let (plain, special) = rest.split_at_checked(index).unwrap_or((rest, ""));
        out.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\t') => out.push_str("\\t"),
            Some('\n') => out.push_str("\\n"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\r') => out.push_str("\\r"),
            Some(control) => {
                out.push_str("\\u00");
                let code = control as usize;
                for digit in [code >> 4 & 15, code & 15] {
                    out.push(HEXADECIMAL.get(digit).copied().map_or('0', char::from));
                }
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compacted(text: &str) -> String {
        let mut out = String::new();
        compact(text, &mut out);
        out
    }

    #[test]
    fn spaces_go_between_tokens_and_stay_in_strings() {
        assert_eq!(compacted(r#"{"a b": [1, "c  d"], "e\" ,": {}}"#), r#"{"a b":[1,"c  d"],"e\" ,":{}}"#);
        assert_eq!(compacted(r#"["\\", " x"]"#), r#"["\\"," x"]"#);
        assert_eq!(compacted(r#""a \\\" b ""#), r#""a \\\" b ""#);
        assert_eq!(compacted("1"), "1");
        assert_eq!(compacted("[1, 2, null]"), "[1,2,null]");
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = String::new();
        write_json_string("a\"\\\u{8}\t\n\u{c}\r\u{1}\u{1f}é/\u{7f}", &mut out);
        assert_eq!(out, "\"a\\\"\\\\\\b\\t\\n\\f\\r\\u0001\\u001fé/\u{7f}\"");
    }
}
