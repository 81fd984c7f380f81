//! Partial updates of documents: what `binlog_row_value_options = PARTIAL_JSON` logs instead of the whole.

use super::super::DecodeError;
use super::super::bytes::Bytes;
use super::binary::write_binary;
use super::text::write_json_string;

const DIFFS: &str = "a partial JSON update";

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patched {
    /// The new document has been written.
    Whole,
    /// A change doesn't fit the document it is for: whatever the new one is, it isn't known from here.
    Unknown,
}

/// Appends the text of the document that `diffs` make of `before`.
pub(crate) fn apply_diffs(before: &[u8], diffs: &[u8], out: &mut String) -> Result<Patched, DecodeError> {
    let mut text = String::new();
    write_binary(before, &mut text)?;
    let Some(mut document) = Node::parse(&text) else { return Ok(Patched::Unknown) };
    let mut diffs = Bytes::new(diffs);
    while !diffs.is_empty() {
        let operation = Operation::read(&mut diffs)?;
        if operation.apply(&mut document).is_none() {
            return Ok(Patched::Unknown);
        }
    }
    document.write(out);
    Ok(Patched::Whole)
}

/// A document taken apart as far as changes can reach.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// Anything that isn't an array or object, as its text.
    Scalar(String),
    Array(Vec<Node>),
    /// Keys in the server's order.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Reads the text that [`write_binary`] wrote.
    fn parse(text: &str) -> Option<Node> {
        let mut rest = text;
        let node = Node::parse_value(&mut rest)?;
        rest.is_empty().then_some(node)
    }

    /// Recursion ends where [`write_binary`] ended it.
    fn parse_value(rest: &mut &str) -> Option<Node> {
        match rest.bytes().next()? {
            b'[' => {
                let mut elements = Vec::new();
                parse_elements(rest, ']', |rest| {
                    elements.push(Node::parse_value(rest)?);
                    Some(())
                })?;
                Some(Node::Array(elements))
            }
            b'{' => {
                let mut members = Vec::new();
                parse_elements(rest, '}', |rest| {
                    let key: String = serde_json::from_str(take_string(rest)?).ok()?;
                    *rest = rest.strip_prefix(':')?;
                    members.push((key, Node::parse_value(rest)?));
                    Some(())
                })?;
                Some(Node::Object(members))
            }
            b'"' => take_string(rest).map(|text| Node::Scalar(text.to_owned())),
            _ => {
                let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
                let (scalar, after) = rest.split_at_checked(end)?;
                *rest = after;
                Some(Node::Scalar(scalar.to_owned()))
            }
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Node::Scalar(text) => out.push_str(text),
            Node::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    element.write(out);
                }
                out.push(']');
            }
            Node::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_json_string(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    fn child(&mut self, leg: &Leg) -> Option<&mut Node> {
        match (self, leg) {
            (Node::Array(elements), Leg::Index(index)) => elements.get_mut(*index),
            (Node::Object(members), Leg::Key(key)) => {
                members.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

/// Whatever stands between the brackets, one element at a time.
fn parse_elements(rest: &mut &str, close: char, mut element: impl FnMut(&mut &str) -> Option<()>) -> Option<()> {
    *rest = rest.get(1..)?;
    if let Some(after) = rest.strip_prefix(close) {
        *rest = after;
        return Some(());
    }
    loop {
        element(rest)?;
        if let Some(after) = rest.strip_prefix(close) {
            *rest = after;
            return Some(());
        }
        *rest = rest.strip_prefix(',')?;
    }
}

/// Takes a string with its quotation marks off the front.
fn take_string<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let mut escaped = false;
    let body = rest.strip_prefix('"')?;
    let end = body.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let (text, after) = rest.split_at_checked(end + 2)?;
    *rest = after;
    Some(text)
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Leg {
    Key(String),
    Index(usize),
}

/// The steps of `$.a[1]."b c"`.
fn parse_path(path: &str) -> Option<Vec<Leg>> {
    let mut rest = path.strip_prefix('$')?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            legs.push(Leg::Index(index.parse().ok()?));
            rest = after;
        } else {
            rest = rest.strip_prefix('.')?;
            if rest.starts_with('"') {
                legs.push(Leg::Key(serde_json::from_str(take_string(&mut rest)?).ok()?));
            } else {
                let (key, after) = rest.split_at_checked(rest.find(['.', '[']).unwrap_or(rest.len()))?;
                legs.push(Leg::Key(key.to_owned()));
                rest = after;
            }
        }
    }
    Some(legs)
}

/// One change to a document.
struct Operation {
    action: Action,
    path: Vec<Leg>,
}

enum Action {
    Replace(Node),
    Insert(Node),
    Remove,
}

impl Operation {
    fn read(diffs: &mut Bytes<'_>) -> Result<Operation, DecodeError> {
        let code = diffs.u8(DIFFS)?;
        let path = str::from_utf8(diffs.with_length(DIFFS)?).ok().and_then(parse_path);
        let path = path.ok_or_else(|| DecodeError::malformed(DIFFS, "a path that isn't one"))?;
        let mut value = || {
            let mut text = String::new();
            write_binary(diffs.with_length(DIFFS)?, &mut text)?;
            Node::parse(&text).ok_or_else(|| DecodeError::malformed(DIFFS, "a value that isn't one"))
        };
        let action = match code {
            0 => Action::Replace(value()?),
            1 => Action::Insert(value()?),
            2 => Action::Remove,
            other => return Err(DecodeError::malformed(DIFFS, format!("operation {other}"))),
        };
        Ok(Operation { action, path })
    }

    /// `None` if the path leads nowhere in the document.
    fn apply(self, document: &mut Node) -> Option<()> {
        let Some((last, path)) = self.path.split_last() else {
            let Action::Replace(value) = self.action else { return None };
            *document = value;
            return Some(());
        };
        let parent = path.iter().try_fold(document, |node, leg| node.child(leg))?;
        match (self.action, parent, last) {
            (Action::Replace(value), parent, leg) => *parent.child(leg)? = value,
            (Action::Insert(value), Node::Array(elements), Leg::Index(index)) => {
                elements.insert((*index).min(elements.len()), value);
            }
            (Action::Insert(value), Node::Object(members), Leg::Key(key)) => {
                let order =
                    |known: &(String, Node)| (known.0.len(), known.0.as_bytes()).cmp(&(key.len(), key.as_bytes()));
                let place = members.binary_search_by(order).err()?;
                members.insert(place, (key.clone(), value));
            }
            (Action::Remove, Node::Array(elements), Leg::Index(index)) if *index < elements.len() => {
                elements.remove(*index);
            }
            (Action::Remove, Node::Object(members), Leg::Key(key)) => {
                members.remove(members.iter().position(|(known, _)| known == key)?);
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": 1}`
    const BEFORE: &[u8] = &[0, 1, 0, 12, 0, 11, 0, 1, 0, 5, 1, 0, b'a'];

    fn diff(operation: u8, path: &str, value: Option<&[u8]>) -> Vec<u8> {
        let mut diff = vec![operation, path.len() as u8];
        diff.extend_from_slice(path.as_bytes());
        if let Some(value) = value {
            diff.push(value.len() as u8);
            diff.extend_from_slice(value);
        }
        diff
    }

    fn apply(diffs: &[Vec<u8>]) -> (Patched, String) {
        let mut out = String::new();
        let patched = apply_diffs(BEFORE, &diffs.concat(), &mut out).unwrap();
        (patched, out)
    }

    #[test]
    fn documents_are_changed_in_order() {
        let two = [5, 2, 0].as_slice();
        let empty_array = [2, 0, 0, 4, 0].as_slice();
        let changes = [
            diff(0, "$.a", Some(two)),
            diff(1, "$.\"b c\"", Some(empty_array)),
            diff(1, "$.\"b c\"[0]", Some(two)),
            diff(1, "$.\"b c\"[0]", Some(&[4, 0])),
            diff(1, "$.B", Some(two)),
        ];
        assert_eq!(apply(&changes), (Patched::Whole, r#"{"B":2,"a":2,"b c":[null,2]}"#.to_owned()));
        assert_eq!(apply(&[diff(2, "$.a", None)]), (Patched::Whole, "{}".to_owned()));
        assert_eq!(apply(&[diff(0, "$", Some(two))]), (Patched::Whole, "2".to_owned()));
    }

    #[test]
    fn changes_that_dont_fit_leave_the_document_unknown() {
        assert_eq!(apply(&[diff(2, "$.x", None)]).0, Patched::Unknown);
        assert_eq!(apply(&[diff(0, "$.a.b", Some(&[4, 0]))]).0, Patched::Unknown);
        assert_eq!(apply(&[diff(1, "$.a", Some(&[4, 0]))]).0, Patched::Unknown);
        assert!(apply_diffs(BEFORE, &diff(0, "$[", Some(&[4, 0])), &mut String::new()).is_err());
        assert!(apply_diffs(BEFORE, &[7], &mut String::new()).is_err());
    }

    #[test]
    fn text_is_taken_apart_and_put_together_again() {
        let text = r#"{"a":[1,-2.5e10,"x\"],{"],"b":{},"c\\":[[]],"d":null}"#;
        let mut out = String::new();
        Node::parse(text).unwrap().write(&mut out);
        assert_eq!(out, text);
        assert_eq!(Node::parse("[1"), None);
        assert_eq!(Node::parse("[1]]"), None);
    }
}
